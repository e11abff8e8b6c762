/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * State: what a peer keeps on disk beside its library: the cookie and id it has with each registration server, and
 * the peers that it knew last. One SQLite file in the state directory. Lives in the disk worker.
 */

#include "core/address.h"
#include "core/base.h"

typedef struct State State;

/* Answers */
enum {
        STATE_DAMAGED = 1,              /* open: moved aside as NAME.damaged-N and made anew; usable */
        STATE_NONE,                     /* nothing kept under that name */
};

/* The file is made 0600 and locked for this process. 0, STATE_DAMAGED, -errno. */
int state_open(const char *path, State **ret) _must_check_;
State *state_free(State *s);
DEFINE_CLEANUP(State *, state_free)

/* server: as configured. 0, STATE_NONE (also where what is kept makes no sense), -errno. */
int state_get_cookie(State *s, const char *server, uint64_t *ret_cookie, uint32_t *ret_peer_id) _must_check_;
/* On disk when it returns 0. cookie 0: forget it. */
int state_set_cookie(State *s, const char *server, uint64_t cookie, uint32_t peer_id) _must_check_;
/* Replaces the list of last-known peers, most worth keeping first: all or nothing. */
int state_set_peers(State *s, const Endpoint *peers, size_t n) _must_check_;
/* Up to n; *ret_n how many. Rows that make no sense are passed over. */
int state_get_peers(State *s, Endpoint *ret, size_t n, size_t *ret_n) _must_check_;
/* Reads one row: the self-check of the watchdog. 0, -errno. */
int state_check(State *s) _must_check_;
