/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * Wire: a connection to another server, for the Calls that use it: one after the other, or several whose requests were
 * sent one behind the other (pipelined). The first of them is the one that is being answered. Part of io/call and
 * io/call-pool, and for nobody else.
 *
 * It is owned by its Calls as long as it has any, then by the pool. The Calls add and remove themselves.
 */

#include "core/address.h"
#include "core/base.h"
#include "io/incoming.h"

#include <bsd/sys/queue.h>
#include <systemd/sd-event.h>

struct Call;
struct CallPool;

typedef struct Wire {
        TAILQ_ENTRY(Wire) link;                 /* in a list of the pool */
        struct CallPool *pool;                  /* that has it in a list: it was kept open before; or NULL */
        sd_event_source *io;                    /* owned, and owns the socket */
        Endpoint to;
        Endpoint local;
        bool has_local;
        uint32_t events;
        Incoming in;                            /* what came and is not yet anybody's */
        uint64_t n_skip;                        /* bytes of an answer that nobody wants, before the next begins */
        TAILQ_HEAD(, Call) calls;
        unsigned n_calls;
        bool takes_more;                        /* what was asked is sent, and the server has not said that it closes */
        bool cut;                               /* what comes behind the answer to the last Call is nobody's: not kept */
        usec_t ends_at;                         /* in a pool: boottime while idle, USEC_INFINITY in use */
        bool dispatching;
        bool dead;                              /* freed as soon as the callback under way is left */
} Wire;

/* Takes fd, also if this fails. It is watched for `events`, and callback gets the Wire as userdata. -errno. */
int wire_new(sd_event *e, int fd, const Endpoint *to, uint32_t events, sd_event_io_handler_t callback,
             Wire **ret) _must_check_;
/* Closes. Of no Call, and in no list of a pool. */
Wire *wire_free(Wire *w);
int wire_fd(const Wire *w);
/* Own end; asked for once. false: not known. */
bool wire_local(Wire *w, Endpoint *ret);
void wire_watch(Wire *w, uint32_t events);
/* Off, not only deaf: a connection that was reset would report that without end. */
void wire_enable(Wire *w, bool enable);
/* Around what may free it. */
void wire_enter(Wire *w);
void wire_leave(Wire *w);
