/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * Poller: the connections of one loop, in an epoll of their own. sd-event asks the kernel anew before each callback,
 * which has it look at all sockets that are ready for each one that is served; here they come in batches, and a
 * connection is no event source: nothing is allocated for it, and no descriptor is needed but its own.
 *
 * Part of io/conn, and for nobody else but to make one. Belongs to one event loop, whose thread alone may call it.
 */

#include "core/base.h"

#include <systemd/sd-event.h>

typedef struct Poller Poller;

/* A descriptor that is waited for; within what waits, which may free itself in the callback. */
typedef struct Watch Watch;
struct Watch {
        void (*on_events)(Watch *w, uint32_t revents);
        int fd;                         /* the owner's */
};

/* The Watch within what waits: WATCH_OF(w, Conn, watch). */
#define WATCH_OF(w, type, member) ((type *) ((char *) (w) - offsetof(type, member)))

/* -errno. */
int poller_new(sd_event *e, Poller **ret) _must_check_;
/* Nothing may be watched any more. */
Poller *poller_free(Poller *p);
DEFINE_CLEANUP(Poller *, poller_free)
sd_event *poller_event(const Poller *p);

/* on_events and fd are set. events: EPOLLIN and so on; 0: only EPOLLHUP and EPOLLERR. -errno. */
int poller_add(Poller *p, Watch *w, uint32_t events) _must_check_;
/* Of one that was added. */
void poller_change(Poller *p, Watch *w, uint32_t events);
/* The same; w hears nothing any more. The owner closes fd before the next turn: the kernel forgets it then. */
void poller_remove(Poller *p, const Watch *w);
