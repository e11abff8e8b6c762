/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * CallPool: connections to other servers that stay open between Calls of one event loop, so that many small exchanges
 * with one peer cost one connection, and none of its limit on new ones. Part of io/call: only Calls take and put.
 *
 * An idle connection goes when the other side closes it or says anything unasked, after CALL_POOL_IDLE_USEC, and, oldest
 * first, when there are more than CALL_POOL_MAX. One that was idle and is in use is known, too, for Calls that are sent
 * behind others.
 */

#include "core/address.h"
#include "core/base.h"
#include "io/wire.h"

#include <systemd/sd-event.h>

/* Well below the 60 s after which a server closes (protocol, section 1): it should not do so just when we ask. */
#define CALL_POOL_IDLE_USEC (15 * USEC_PER_SEC)
/* Twice the lookups that run at once. */
#define CALL_POOL_MAX 64

typedef struct CallPool CallPool;

/* -errno. */
int call_pool_new(sd_event *e, CallPool **ret) _must_check_;
/* Connections in use are their Calls'. */
CallPool *call_pool_free(CallPool *p);
DEFINE_CLEANUP(CallPool *, call_pool_free)

/* The connection to there that was put last; it is the caller's then. NULL: there is none. */
Wire *call_pool_take(CallPool *p, const Endpoint *to);
/* One to there in use, on which fewer than max_calls are under way and one more may be sent. NULL: there is none. */
Wire *call_pool_find(CallPool *p, const Endpoint *to, unsigned max_calls);
/* Takes w, on which a whole exchange is over. */
void call_pool_put(CallPool *p, Wire *w);
/* Closes w, which has no Call and is of no use any more. Also one that no pool knows. */
void call_pool_drop(Wire *w);
/* Closes all that are idle, and forgets those in use: the next Call connects anew (the own address has changed). */
void call_pool_clear(CallPool *p);
/* Those that are idle. */
size_t call_pool_count(const CallPool *p);
