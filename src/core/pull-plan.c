/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/pull-plan.h"

#include <bsd/sys/tree.h>
#include <errno.h>

typedef struct PlannedPeer {
        RB_ENTRY(PlannedPeer) by_endpoint;
        RB_ENTRY(PlannedPeer) by_due;           /* unless it is under way */
        Endpoint endpoint;
        usec_t due_at;
        uint64_t round;                         /* the last list that named it */
        bool running;
        bool again;                             /* it was pulled before */
} PlannedPeer;

RB_HEAD(PlannedTree, PlannedPeer);
RB_HEAD(DueTree, PlannedPeer);

struct PullPlan {
        struct PlannedTree peers;
        struct DueTree due;
        size_t n_peers, n_running;
        uint64_t random;                        /* state of the generator */
        usec_t interval;
        usec_t list_at;
        bool listing;
        uint64_t round;
        usec_t pull_at;                         /* no pull begins before */
};

static int compare_endpoint(const PlannedPeer *a, const PlannedPeer *b) {
        return endpoint_compare(&a->endpoint, &b->endpoint);
}

static int compare_due(const PlannedPeer *a, const PlannedPeer *b) {
        if (a->due_at != b->due_at)
                return a->due_at < b->due_at ? -1 : 1;
        return endpoint_compare(&a->endpoint, &b->endpoint);
}

RB_GENERATE_INTERNAL(PlannedTree, PlannedPeer, by_endpoint, compare_endpoint, __attribute__((unused)) static)
RB_GENERATE_INTERNAL(DueTree, PlannedPeer, by_due, compare_due, __attribute__((unused)) static)

static usec_t draw_between(PullPlan *p, usec_t low, usec_t high) {
        return low + seeded_next(&p->random) % (high - low + 1);
}

/* The interval, give or take a fifth. */
static usec_t draw_interval(PullPlan *p, usec_t interval) {
        return draw_between(p, interval - interval / 5, interval + interval / 5);
}

int pull_plan_new(uint64_t seed, PullPlan **ret) {
        PullPlan *p = calloc(1, sizeof(*p));
        if (!p)
                return -ENOMEM;
        RB_INIT(&p->peers);
        RB_INIT(&p->due);
        p->random = seed;
        p->interval = p->list_at = USEC_INFINITY;
        *ret = p;
        return 0;
}

static void peer_remove(PullPlan *p, PlannedPeer *peer) {
        RB_REMOVE(PlannedTree, &p->peers, peer);
        if (peer->running)
                p->n_running--;
        else
                RB_REMOVE(DueTree, &p->due, peer);
        p->n_peers--;
        free(peer);
}

PullPlan *pull_plan_free(PullPlan *p) {
        if (!p)
                return NULL;
        for (PlannedPeer *peer; (peer = RB_MIN(PlannedTree, &p->peers));)
                peer_remove(p, peer);
        free(p);
        return NULL;
}

static void set_due(PullPlan *p, PlannedPeer *peer, usec_t due_at) {
        if (!peer->running)
                RB_REMOVE(DueTree, &p->due, peer);
        else {
                peer->running = false;
                p->n_running--;
        }
        peer->due_at = due_at;
        RB_INSERT(DueTree, &p->due, peer);
}

void pull_plan_set_interval(PullPlan *p, usec_t interval, const Now *now) {
        assert(interval >= USEC_PER_MSEC);

        const usec_t before = p->interval;
        p->interval = interval;
        if (interval == USEC_INFINITY)
                return;
        if (before == USEC_INFINITY) {
                p->list_at = USEC_INFINITY;
                pull_plan_list_soon(p, now);
                return;
        }
        p->list_at = MIN_OF(p->list_at, usec_add(now->boottime, draw_interval(p, interval)));
        /* What is due later than the new interval allows, the latest first, until one is not. */
        for (PlannedPeer *peer; (peer = RB_MAX(DueTree, &p->due)) &&
                                peer->due_at > usec_add(now->boottime, interval + interval / 5);)
                set_due(p, peer, usec_add(now->boottime, draw_between(p, 0, interval)));
}

void pull_plan_list_soon(PullPlan *p, const Now *now) {
        if (p->interval == USEC_INFINITY)
                return;
        usec_t within = MIN_OF(PULL_PLAN_START_USEC, p->interval / 10);
        p->list_at = MIN_OF(p->list_at, usec_add(now->boottime, draw_between(p, 0, within)));
}

static usec_t spacing(const PullPlan *p) {
        return MIN_OF(PULL_PLAN_SPACING_USEC, p->interval / (2 * MAX_OF(p->n_peers, (size_t) 1)));
}

PullPlanDo pull_plan_next(PullPlan *p, const Now *now, Endpoint *ret_peer, usec_t *ret_at) {
        *ret_at = USEC_INFINITY;
        if (p->interval == USEC_INFINITY)
                return PULL_PLAN_WAIT;

        if (!p->listing) {
                if (p->list_at <= now->boottime) {
                        p->listing = true;
                        return PULL_PLAN_LIST;
                }
                *ret_at = p->list_at;
        }

        PlannedPeer *peer = RB_MIN(DueTree, &p->due);
        if (!peer || p->n_running >= PULL_PLAN_AT_ONCE)
                return PULL_PLAN_WAIT;
        usec_t at = MAX_OF(peer->due_at, p->pull_at);
        if (at > now->boottime) {
                *ret_at = MIN_OF(*ret_at, at);
                return PULL_PLAN_WAIT;
        }
        RB_REMOVE(DueTree, &p->due, peer);
        peer->running = true;
        p->n_running++;
        p->pull_at = usec_add(now->boottime, spacing(p));
        *ret_peer = peer->endpoint;
        return PULL_PLAN_PULL;
}

static PlannedPeer *find(PullPlan *p, const Endpoint *e) {
        PlannedPeer key = { .endpoint = *e };
        return RB_FIND(PlannedTree, &p->peers, &key);
}

static int add(PullPlan *p, const Endpoint *e, usec_t within, const Now *now) {
        PlannedPeer *peer = calloc(1, sizeof(*peer));
        if (!peer)
                return -ENOMEM;
        peer->endpoint = *e;
        peer->round = p->round;
        peer->due_at = usec_add(now->boottime, draw_between(p, 0, within));
        RB_INSERT(PlannedTree, &p->peers, peer);
        RB_INSERT(DueTree, &p->due, peer);
        p->n_peers++;
        return 0;
}

int pull_plan_listed(PullPlan *p, const Endpoint *peers, size_t n, const Now *now) {
        int r = 0;

        p->listing = false;
        p->round++;
        if (p->interval == USEC_INFINITY)
                n = 0;
        else
                p->list_at = usec_add(now->boottime, draw_interval(p, p->interval));

        size_t n_new = n;
        for (size_t i = 0; i < n; i++) {
                PlannedPeer *peer = find(p, &peers[i]);
                if (!peer)
                        continue;
                peer->round = p->round;
                n_new--;
        }
        PlannedPeer *next;
        for (PlannedPeer *peer = RB_MIN(PlannedTree, &p->peers); peer; peer = next) {
                next = RB_NEXT(PlannedTree, &p->peers, peer);
                if (peer->round != p->round && !peer->running)
                        peer_remove(p, peer);
        }

        /* In an order of chance, or all fresh peers of a group would begin with the same one. */
        usec_t within = MIN_OF(n_new * PULL_PLAN_SPACING_USEC, p->interval);
        for (size_t i = 0; r == 0 && n_new > 0 && i < n; i++)
                if (!find(p, &peers[i]))
                        r = add(p, &peers[i], within, now);
        return r;
}

void pull_plan_pulled(PullPlan *p, const Endpoint *peer, bool busy, const Now *now) {
        PlannedPeer *planned = find(p, peer);
        if (!planned)
                return;
        /* Nobody names it any more, or nothing is to be pulled. */
        if (planned->round != p->round || p->interval == USEC_INFINITY) {
                peer_remove(p, planned);
                return;
        }

        usec_t after = draw_interval(p, busy ? MIN_OF(PULL_PLAN_BUSY_USEC, p->interval) : p->interval);
        /* Those that came together must not stay so: after the first pull the next may come at any time. */
        if (!planned->again && !busy)
                after = draw_between(p, p->interval / 5, p->interval + p->interval / 5);
        planned->again |= !busy;
        set_due(p, planned, usec_add(now->boottime, after));
}

size_t pull_plan_count(const PullPlan *p) {
        return p->n_peers;
}
