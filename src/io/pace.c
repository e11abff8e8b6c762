/* SPDX-License-Identifier: BSD-2-Clause */
#include "io/pace.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

struct Pace {
        atomic_bool limited;            /* where nothing is limited, threads are not to meet at the mutex */
        pthread_mutex_t lock;
        Flow flow;
};

int pace_new(uint64_t per_sec, Pace **ret) {
        Pace *p = calloc(1, sizeof(*p));
        if (!p)
                return -ENOMEM;
        pthread_mutex_init(&p->lock, NULL);
        pace_set(p, per_sec);
        *ret = p;
        return 0;
}

Pace *pace_free(Pace *p) {
        if (!p)
                return NULL;
        pthread_mutex_destroy(&p->lock);
        free(p);
        return NULL;
}

void pace_set(Pace *p, uint64_t per_sec) {
        assert(per_sec > 0);
        pthread_mutex_lock(&p->lock);
        if (per_sec != p->flow.per_sec)
                p->flow = (Flow){ .per_sec = per_sec };
        atomic_store(&p->limited, per_sec != FLOW_UNLIMITED);
        pthread_mutex_unlock(&p->lock);
}

uint64_t pace_take(Pace *p, uint64_t n, const Now *now, usec_t *ret_at) {
        if (!atomic_load(&p->limited)) {
                *ret_at = now->boottime;
                return n;
        }
        pthread_mutex_lock(&p->lock);
        n = MIN_OF(n, (uint64_t) flow_piece(&p->flow));
        *ret_at = flow_take(&p->flow, (size_t) n, now);
        pthread_mutex_unlock(&p->lock);
        return n;
}
