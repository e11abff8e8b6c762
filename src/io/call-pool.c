/* SPDX-License-Identifier: BSD-2-Clause */
#include "io/call-pool.h"

#include <bsd/sys/queue.h>
#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "io/loop.h"

typedef struct Idle {
        TAILQ_ENTRY(Idle) link;
        CallPool *pool;
        sd_event_source *io;            /* owned, and owns the socket */
        Endpoint to;
        usec_t ends_at;                 /* boottime */
} Idle;

struct CallPool {
        sd_event *event;                /* borrowed: the sources hold it */
        sd_event_source *timer;         /* owned */
        TAILQ_HEAD(IdleList, Idle) idle;        /* the one that was put first comes first */
        size_t n_idle;
};

static void idle_free(Idle *i) {
        CallPool *p = i->pool;

        TAILQ_REMOVE(&p->idle, i, link);
        p->n_idle--;
        event_source_free(i->io);
        free(i);
}

static void pool_arm(CallPool *p) {
        const Idle *first = TAILQ_FIRST(&p->idle);

        (void) loop_timer_set(p->timer, first ? first->ends_at : USEC_INFINITY);        /* late is good enough */
}

static int on_timer(_unused_ sd_event_source *s, _unused_ uint64_t usec, void *userdata) {
        CallPool *p = userdata;
        Idle *i;
        Now now;

        now_of_event(p->event, &now);
        while ((i = TAILQ_FIRST(&p->idle)) && i->ends_at <= now.boottime)
                idle_free(i);
        pool_arm(p);
        return 0;
}

/* Closed, reset, or bytes that nobody asked for: of no use any more. */
static int on_io(_unused_ sd_event_source *s, _unused_ int fd, _unused_ uint32_t revents, void *userdata) {
        idle_free(userdata);
        return 0;
}

int call_pool_new(sd_event *e, CallPool **ret) {
        _cleanup_(call_pool_free_p) CallPool *p = calloc(1, sizeof(*p));
        int r;

        if (!p)
                return -ENOMEM;
        p->event = e;
        TAILQ_INIT(&p->idle);
        r = loop_timer_new(e, on_timer, p, "call-pool", &p->timer);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(p);
        return 0;
}

CallPool *call_pool_free(CallPool *p) {
        if (!p)
                return NULL;
        call_pool_clear(p);
        event_source_free(p->timer);
        free(p);
        return NULL;
}

void call_pool_clear(CallPool *p) {
        Idle *i;

        while ((i = TAILQ_FIRST(&p->idle)))
                idle_free(i);
}

bool call_pool_take(CallPool *p, const Endpoint *to, int *ret_fd) {
        Idle *i;

        TAILQ_FOREACH_REVERSE(i, &p->idle, IdleList, link)
                if (endpoint_equal(&i->to, to))
                        break;
        if (!i)
                return false;
        *ret_fd = sd_event_source_get_io_fd(i->io);
        (void) sd_event_source_set_io_fd_own(i->io, false);     /* a valid source: can't fail */
        idle_free(i);
        return true;
}

void call_pool_put(CallPool *p, const Endpoint *to, int fd) {
        Idle *i = calloc(1, sizeof(*i));
        Now now;

        if (!i || sd_event_add_io(p->event, &i->io, fd, EPOLLIN | EPOLLRDHUP, on_io, i) < 0 ||
            sd_event_source_set_io_fd_own(i->io, true) < 0) {
                if (i)
                        event_source_free(i->io);
                free(i);
                (void) close(fd);
                return;
        }
        now_of_event(p->event, &now);
        i->pool = p;
        i->to = *to;
        i->ends_at = usec_add(now.boottime, CALL_POOL_IDLE_USEC);
        TAILQ_INSERT_TAIL(&p->idle, i, link);
        if (++p->n_idle > CALL_POOL_MAX)
                idle_free(TAILQ_FIRST(&p->idle));
        pool_arm(p);
}

size_t call_pool_count(const CallPool *p) {
        return p->n_idle;
}
