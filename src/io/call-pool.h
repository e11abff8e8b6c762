/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * CallPool: connections to other servers that stay open between Calls of one event loop, so that many small exchanges
 * with one peer cost one connection, and none of its limit on new ones. Part of io/call: only Calls take and put.
 *
 * An idle connection goes when the other side closes it or says anything unasked, after CALL_POOL_IDLE_USEC, and, oldest
 * first, when there are more than CALL_POOL_MAX.
 */

#include "core/address.h"
#include "core/base.h"

#include <systemd/sd-event.h>

/* Well below the 60 s after which a server closes (protocol, section 1): it should not do so just when we ask. */
#define CALL_POOL_IDLE_USEC (15 * USEC_PER_SEC)
/* Twice the lookups that run at once. */
#define CALL_POOL_MAX 64

typedef struct CallPool CallPool;

/* -errno. */
int call_pool_new(sd_event *e, CallPool **ret) _must_check_;
CallPool *call_pool_free(CallPool *p);
DEFINE_CLEANUP(CallPool *, call_pool_free)

/* The connection to there that was put last; the caller owns it then. false: there is none. */
bool call_pool_take(CallPool *p, const Endpoint *to, int *ret_fd);
/* Takes fd, on which a whole exchange is over. Without memory it is closed. */
void call_pool_put(CallPool *p, const Endpoint *to, int fd);
/* Closes all: the next Call connects anew (the own address has changed). */
void call_pool_clear(CallPool *p);
size_t call_pool_count(const CallPool *p);
