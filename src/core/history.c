/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/history.h"

#include <errno.h>

typedef struct Operation {
        uint64_t id;                    /* 0: the place is free */
        uint64_t transaction;
        uint32_t number;
        Now began_at;
        usec_t ended_at;
        const char *result;
        HistoryStep *steps;             /* owned */
        size_t n_steps, n_allocated, n_lost;
} Operation;

/* A ring: the operation `id` lies at id % max, until the one that comes max later takes its place. */
struct History {
        size_t max;
        uint64_t last_id;
        Operation operations[];
};

const char *history_what_name(HistoryWhat what) {
        static const char *const names[_HISTORY_WHAT_MAX] = {
                [HISTORY_STORE] = "store", [HISTORY_SERVERS] = "servers", [HISTORY_HOLDERS] = "holders",
                [HISTORY_INDEX] = "index", [HISTORY_FETCH] = "fetch",     [HISTORY_QUARANTINE] = "quarantine",
        };

        assert(what < _HISTORY_WHAT_MAX);
        return names[what];
}

int history_new(size_t max_operations, History **ret) {
        History *h;

        assert(max_operations > 0 && max_operations <= SIZE_MAX / 2 / sizeof(Operation));
        h = calloc(1, sizeof(*h) + max_operations * sizeof(Operation));
        if (!h)
                return -ENOMEM;
        h->max = max_operations;
        *ret = h;
        return 0;
}

History *history_free(History *h) {
        if (!h)
                return NULL;
        for (size_t i = 0; i < h->max; i++)
                free(h->operations[i].steps);
        free(h);
        return NULL;
}

static Operation *find(History *h, uint64_t id) {
        Operation *o = &h->operations[id % h->max];

        return id > 0 && o->id == id ? o : NULL;
}

uint64_t history_begin(History *h, uint64_t transaction, uint32_t number, const Now *now) {
        Operation *o = &h->operations[++h->last_id % h->max];

        free(o->steps);
        *o = (Operation){
                .id = h->last_id,
                .transaction = transaction,
                .number = number,
                .began_at = *now,
                .ended_at = USEC_INFINITY,
        };
        return o->id;
}

/* Room for one more: of what is too much, the middle goes. How it began and how it ended tell more. */
static bool make_room(Operation *o) {
        if (o->n_steps == o->n_allocated && o->n_allocated < HISTORY_STEPS_MAX) {
                size_t n = MIN_OF(MAX_OF(2 * o->n_allocated, (size_t) 4), (size_t) HISTORY_STEPS_MAX);
                HistoryStep *steps = reallocarray(o->steps, n, sizeof(*steps));

                if (steps) {
                        o->steps = steps;
                        o->n_allocated = n;
                }
        }
        if (o->n_steps < o->n_allocated)
                return true;
        o->n_lost++;
        if (o->n_steps == 0)
                return false;
        o->n_steps--;
        memmove(&o->steps[o->n_steps / 2], &o->steps[o->n_steps / 2 + 1],
                (o->n_steps - o->n_steps / 2) * sizeof(*o->steps));
        return true;
}

static HistoryStep *add_step(Operation *o, HistoryWhat what, const Endpoint *peer, uint32_t peer_id, const Now *now) {
        HistoryStep *s;

        if (!make_room(o))
                return NULL;
        s = &o->steps[o->n_steps++];
        *s = (HistoryStep){ .what = what, .at = now->boottime, .ended_at = USEC_INFINITY, .peer_id = peer_id };
        if (peer) {
                s->has_peer = true;
                s->peer = *peer;
        }
        return s;
}

static HistoryStep *find_unanswered(Operation *o, HistoryWhat what, const Endpoint *peer) {
        for (size_t i = o->n_steps; i-- > 0;) {
                HistoryStep *s = &o->steps[i];

                if (s->what == what && !s->result && (peer ? s->has_peer && endpoint_equal(&s->peer, peer) : !s->has_peer))
                        return s;
        }
        return NULL;
}

void history_ask(History *h, uint64_t id, HistoryWhat what, const Endpoint *peer, uint32_t peer_id, const Now *now) {
        Operation *o = find(h, id);

        if (o)
                (void) add_step(o, what, peer, peer_id, now);   /* counted, where there was no room */
}

void history_tell(History *h, uint64_t id, HistoryWhat what, const Endpoint *peer, uint32_t peer_id, const char *result,
                  uint64_t count, const Now *now) {
        Operation *o = find(h, id);
        HistoryStep *s = NULL;

        if (o)
                s = find_unanswered(o, what, peer);
        if (o && !s)
                s = add_step(o, what, peer, peer_id, now);
        if (!s)
                return;
        s->result = result;
        s->count = count;
        s->ended_at = now->boottime;
}

void history_end(History *h, uint64_t id, const char *result, const Now *now) {
        Operation *o = find(h, id);

        if (!o)
                return;
        o->result = result;
        o->ended_at = now->boottime;
}

static void describe(const Operation *o, HistoryInfo *ret) {
        *ret = (HistoryInfo){
                .id = o->id,
                .transaction = o->transaction,
                .number = o->number,
                .began_at = o->began_at,
                .ended_at = o->ended_at,
                .result = o->result,
                .steps = o->steps,
                .n_steps = o->n_steps,
                .n_lost = o->n_lost,
        };
}

bool history_find_number(const History *h, uint32_t number, HistoryInfo *ret) {
        for (uint64_t id = h->last_id; id > 0 && h->last_id - id < h->max; id--) {
                const Operation *o = &h->operations[id % h->max];

                if (o->number == number) {
                        describe(o, ret);
                        return true;
                }
        }
        return false;
}

bool history_find_transaction(const History *h, uint64_t transaction, uint64_t after, HistoryInfo *ret) {
        const uint64_t oldest = h->last_id >= h->max ? h->last_id - h->max + 1 : 1;

        for (uint64_t id = MAX_OF(after + 1, oldest); id <= h->last_id; id++) {
                const Operation *o = &h->operations[id % h->max];

                if (o->transaction == transaction) {
                        describe(o, ret);
                        return true;
                }
        }
        return false;
}
