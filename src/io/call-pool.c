/* SPDX-License-Identifier: BSD-2-Clause */
#include "io/call-pool.h"

#include <errno.h>
#include <sys/epoll.h>

#include "io/loop.h"

TAILQ_HEAD(WireList, Wire);

struct CallPool {
        sd_event *event;                /* borrowed: the sources hold it */
        sd_event_source *timer;         /* owned */
        struct WireList idle;           /* owned; the one that was put first comes first */
        struct WireList used;           /* their Calls' */
        size_t n_idle;
};

static void forget(Wire *w) {
        CallPool *p = w->pool;

        if (!p)
                return;
        w->pool = NULL;
        if (w->ends_at == USEC_INFINITY)
                TAILQ_REMOVE(&p->used, w, link);
        else {
                TAILQ_REMOVE(&p->idle, w, link);
                p->n_idle--;
        }
}

void call_pool_drop(Wire *w) {
        forget(w);
        wire_free(w);
}

static void pool_arm(CallPool *p) {
        const Wire *first = TAILQ_FIRST(&p->idle);

        (void) loop_timer_set(p->timer, first ? first->ends_at : USEC_INFINITY);        /* late is good enough */
}

static int on_timer(_unused_ sd_event_source *s, _unused_ uint64_t usec, void *userdata) {
        CallPool *p = userdata;
        Wire *w;
        Now now;

        now_of_event(p->event, &now);
        while ((w = TAILQ_FIRST(&p->idle)) && w->ends_at <= now.boottime)
                call_pool_drop(w);
        pool_arm(p);
        return 0;
}

int call_pool_new(sd_event *e, CallPool **ret) {
        _cleanup_(call_pool_free_p) CallPool *p = calloc(1, sizeof(*p));
        int r;

        if (!p)
                return -ENOMEM;
        p->event = e;
        TAILQ_INIT(&p->idle);
        TAILQ_INIT(&p->used);
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
        Wire *w;

        while ((w = TAILQ_FIRST(&p->idle)))
                call_pool_drop(w);
        while ((w = TAILQ_FIRST(&p->used)))
                forget(w);
}

Wire *call_pool_take(CallPool *p, const Endpoint *to) {
        Wire *w;

        TAILQ_FOREACH_REVERSE(w, &p->idle, WireList, link)
                if (endpoint_equal(&w->to, to))
                        break;
        if (!w)
                return NULL;
        forget(w);
        w->pool = p;
        w->ends_at = USEC_INFINITY;
        w->takes_more = false;
        TAILQ_INSERT_TAIL(&p->used, w, link);
        return w;
}

Wire *call_pool_find(CallPool *p, const Endpoint *to, unsigned max_calls) {
        Wire *w;

        TAILQ_FOREACH(w, &p->used, link)
                if (w->takes_more && w->n_calls < max_calls && endpoint_equal(&w->to, to))
                        return w;
        return NULL;
}

void call_pool_put(CallPool *p, Wire *w) {
        Now now;

        assert(w->n_calls == 0 && w->in.bytes.size == 0 && w->n_skip == 0);
        forget(w);
        wire_watch(w, EPOLLIN);
        now_of_event(p->event, &now);
        w->pool = p;
        w->ends_at = usec_add(now.boottime, CALL_POOL_IDLE_USEC);
        TAILQ_INSERT_TAIL(&p->idle, w, link);
        if (++p->n_idle > CALL_POOL_MAX)
                call_pool_drop(TAILQ_FIRST(&p->idle));
        pool_arm(p);
}

size_t call_pool_count(const CallPool *p) {
        return p->n_idle;
}
