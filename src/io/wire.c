/* SPDX-License-Identifier: BSD-2-Clause */
#include "io/wire.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "io/loop.h"

int wire_new(sd_event *e, int fd, const Endpoint *to, uint32_t events, sd_event_io_handler_t callback, Wire **ret) {
        Wire *w = malloc(sizeof(*w));
        int r = -ENOMEM;

        if (w) {
                *w = (Wire){ .to = *to, .events = events, .in = INCOMING_INIT };
                TAILQ_INIT(&w->calls);
                r = sd_event_add_io(e, &w->io, fd, events, callback, w);
                if (r >= 0)
                        r = sd_event_source_set_io_fd_own(w->io, true);
        }
        if (r < 0) {
                if (w)
                        event_source_free(w->io);
                free(w);
                (void) close(fd);
                return r;
        }
        *ret = w;
        return 0;
}

static void wire_destroy(Wire *w) {
        incoming_done(&w->in);
        free(w);
}

Wire *wire_free(Wire *w) {
        if (!w || w->dead)
                return NULL;
        assert(TAILQ_EMPTY(&w->calls) && !w->pool);
        w->io = event_source_free(w->io);
        w->dead = true;
        if (!w->dispatching)
                wire_destroy(w);
        return NULL;
}

int wire_fd(const Wire *w) {
        return sd_event_source_get_io_fd(w->io);
}

bool wire_local(Wire *w, Endpoint *ret) {
        struct sockaddr_storage local;
        socklen_t size = sizeof(local);

        if (!w->has_local && getsockname(wire_fd(w), (struct sockaddr *) &local, &size) == 0)
                w->has_local = endpoint_from_sockaddr((struct sockaddr *) &local, &w->local) == 0;
        if (w->has_local)
                *ret = w->local;
        return w->has_local;
}

void wire_watch(Wire *w, uint32_t events) {
        if (w->events == events)
                return;
        w->events = events;
        (void) sd_event_source_set_io_events(w->io, events); /* changing takes no memory, so it does not fail */
}

void wire_enable(Wire *w, bool enable) {
        /* Without memory for it, the deadline ends the Call. */
        (void) sd_event_source_set_enabled(w->io, enable ? SD_EVENT_ON : SD_EVENT_OFF);
}

void wire_enter(Wire *w) {
        w->dispatching = true;
}

void wire_leave(Wire *w) {
        w->dispatching = false;
        if (w->dead)
                wire_destroy(w);
}
