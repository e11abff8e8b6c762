/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * Drop-ins of systemd units, from what an INI file says: bytes only, nothing is opened here.
 */

#include "core/base.h"
#include "core/buf.h"
#include "io/conf.h"

typedef struct DropIn {
        const char *source;             /* the INI as the unit shall name it; NULL: none that can be named */
        const ConfCommon *common;       /* NULL: the INI can't be used, and what was shipped stands */
        const char *listen_file;        /* where Server.ListenStream= is set; NULL: nowhere */
        const char *store_path;         /* Store.Path=, or NULL */
        const char *state_dir;          /* where the service may write anyway */
} DropIn;

/* A line for each of 1024 + 1024 prefixes, 64 addresses, and some paths, each of whose bytes may be two. */
#define DROP_IN_MAX ((size_t) 256 << 10)

/* Can it stand behind "=" in a unit? A path from a directory may have anything in it. */
bool drop_in_can_name(const char *path);

/* The socket unit's. The addresses must have passed conf_listen_check(). 0, BUF_FULL, -ENOMEM. */
int drop_in_socket(const DropIn *d, Buf *b) _must_check_;
/* The service's: nothing is appended where nothing is needed. The same answers. */
int drop_in_service(const DropIn *d, Buf *b) _must_check_;
