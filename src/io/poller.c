/* SPDX-License-Identifier: BSD-2-Clause */
#include "io/poller.h"

#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "io/loop.h"

/* Served in one turn of the loop: timers, messages and new connections come between. */
#define BATCH_MAX 32

struct Poller {
        sd_event *event;                /* reference */
        sd_event_source *source;        /* owned, and owns the epoll */
        sd_event_source *clock;         /* owned; never fires */
        int fd;                         /* that epoll */
        struct epoll_event batch[BATCH_MAX];    /* data.ptr NULL: removed meanwhile */
        int n_batch, next;
};

static int poller_on_ready(_unused_ sd_event_source *s, int fd, _unused_ uint32_t revents, void *userdata) {
        Poller *p = userdata;

        p->n_batch = epoll_wait(fd, p->batch, BATCH_MAX, 0);    /* < 0: interrupted, which leaves it readable */
        for (p->next = 0; p->next < p->n_batch;) {
                const struct epoll_event *e = &p->batch[p->next++];
                Watch *w = e->data.ptr;

                if (w)
                        w->on_events(w, e->events);
        }
        p->n_batch = 0;
        return 0;
}

static int poller_on_clock(_unused_ sd_event_source *s, _unused_ uint64_t usec, _unused_ void *userdata) {
        return 0;
}

int poller_new(sd_event *e, Poller **ret) {
        _cleanup_(poller_free_p) Poller *p = NULL;
        int r;

        p = calloc(1, sizeof(*p));
        if (!p)
                return -ENOMEM;
        p->event = sd_event_ref(e);
        /* The loop's descriptor for its timers is made with the first one: not when a connection comes that needs it. */
        r = loop_timer_new(e, poller_on_clock, p, "clock", &p->clock);
        if (r < 0)
                return r;
        p->fd = epoll_create1(EPOLL_CLOEXEC);
        if (p->fd < 0)
                return -errno;
        r = sd_event_add_io(e, &p->source, p->fd, EPOLLIN, poller_on_ready, p);
        if (r >= 0)
                r = sd_event_source_set_io_fd_own(p->source, true);
        if (r < 0) {
                if (p->source)
                        p->source = sd_event_source_disable_unref(p->source);
                (void) close(p->fd);
                return r;
        }
        (void) sd_event_source_set_description(p->source, "connections"); /* for debugging only */
        *ret = TAKE_PTR(p);
        return 0;
}

Poller *poller_free(Poller *p) {
        if (!p)
                return NULL;
        event_source_free(p->source);
        event_source_free(p->clock);
        sd_event_unref(p->event);
        free(p);
        return NULL;
}

sd_event *poller_event(const Poller *p) {
        return p->event;
}

int poller_add(Poller *p, Watch *w, uint32_t events) {
        struct epoll_event e = { .events = events, .data.ptr = w };

        return epoll_ctl(p->fd, EPOLL_CTL_ADD, w->fd, &e) < 0 ? -errno : 0;
}

void poller_change(Poller *p, Watch *w, uint32_t events) {
        struct epoll_event e = { .events = events, .data.ptr = w };

        (void) epoll_ctl(p->fd, EPOLL_CTL_MOD, w->fd, &e); /* takes no memory, so it does not fail */
}

void poller_remove(Poller *p, const Watch *w) {
        for (int i = p->next; i < p->n_batch; i++)
                if (p->batch[i].data.ptr == w)
                        p->batch[i].data.ptr = NULL;
}
