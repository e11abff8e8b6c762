/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/replicate.h"

#include <errno.h>

/* Half of the key of the weights; the number is the other. Whatever it is, it stays. */
#define WEIGHT_KEY UINT64_C(0x7032706469726663)

const char *replicate_skip_name(ReplicateSkip s) {
        static const char *const names[] = {
                [REPLICATE_HELD] = "held",
                [REPLICATE_UNKNOWN] = "unknown",
                [REPLICATE_DISPUTED] = "disputed",
                [REPLICATE_TOO_LARGE] = "too-large",
                [REPLICATE_NO_HOLDER] = "no-holder",
                [REPLICATE_NO_ROOM] = "no-room",
        };
        _Static_assert(ELEMENTSOF(names) == _REPLICATE_SKIP_MAX, "a name for each");

        assert((size_t) s < ELEMENTSOF(names));
        return names[s];
}

void replicate_plan_init(ReplicatePlan *p, const ReplicateConf *conf) {
        *p = (ReplicatePlan){ .conf = *conf };
}

void replicate_plan_done(ReplicatePlan *p) {
        free(p->items);
        *p = (ReplicatePlan){};
}

/* What is said to be long may be a lie: a sum stays where it can't grow any more. */
static void count(ReplicateCount *c, uint64_t bytes) {
        c->n++;
        c->bytes = bytes > UINT64_MAX - c->bytes ? UINT64_MAX : c->bytes + bytes;
}

/* Whether it may be taken at all; room is seen to when all are known. The first reason that holds is told. */
static bool is_skipped(const ReplicatePlan *p, const ReplicateCandidate *c, ReplicateSkip *ret) {
        if (c->held)
                *ret = REPLICATE_HELD;
        else if (c->disputed)
                *ret = REPLICATE_DISPUTED;
        else if (!c->issued && !c->agreed)
                *ret = REPLICATE_UNKNOWN;
        else if (c->size > p->conf.max_file_size)
                *ret = REPLICATE_TOO_LARGE;
        else if (c->n_holders == 0)
                *ret = REPLICATE_NO_HOLDER;
        else if (p->n_items >= REPLICATE_ITEMS_MAX)
                *ret = REPLICATE_NO_ROOM;
        else
                return false;
        return true;
}

int replicate_plan_add(ReplicatePlan *p, const ReplicateCandidate *c) {
        ReplicateSkip why;

        if (is_skipped(p, c, &why)) {
                count(&p->skipped[why], c->size);
                return 0;
        }
        if (p->n_items == p->n_allocated) {
                size_t n = MAX_OF(2 * p->n_allocated, (size_t) 64);
                ReplicateItem *items = reallocarray(p->items, n, sizeof(*items));

                if (!items)
                        return -ENOMEM;
                p->items = items;
                p->n_allocated = n;
        }
        p->items[p->n_items++] = (ReplicateItem){
                .number = c->number,
                .n_holders = c->n_holders,
                .size = c->size,
                .tie = bytes_hash(&c->number, sizeof(c->number), p->conf.key),
        };
        return 0;
}

static int compare(const void *one, const void *two) {
        const ReplicateItem *a = one, *b = two;

        if (a->n_holders != b->n_holders)
                return a->n_holders < b->n_holders ? -1 : 1;
        if (a->tie != b->tie)
                return a->tie < b->tie ? -1 : 1;
        return a->number < b->number ? -1 : a->number > b->number;
}

void replicate_plan_end(ReplicatePlan *p) {
        uint64_t room = p->conf.room;
        size_t n = 0;

        if (p->n_items > 0)
                qsort(p->items, p->n_items, sizeof(*p->items), compare);
        for (size_t i = 0; i < p->n_items; i++) {
                if (p->items[i].size > room) {
                        count(&p->skipped[REPLICATE_NO_ROOM], p->items[i].size);
                        continue;
                }
                room -= p->items[i].size;
                count(&p->planned, p->items[i].size);
                p->items[n++] = p->items[i];
        }
        p->n_items = n;
}

bool replicate_plan_next(ReplicatePlan *p, ReplicateItem *ret) {
        if (p->at >= p->n_items)
                return false;
        *ret = p->items[p->at++];
        return true;
}

/* ---- who keeps which copy -------------------------------------------------------------------------------------- */

uint64_t replicate_weight(uint32_t number, const Endpoint *peer) {
        const uint64_t key[2] = { number, WEIGHT_KEY };

        return endpoint_hash(peer, key);
}

static bool is_among(const Endpoint *e, const Endpoint *list, size_t n) {
        for (size_t i = 0; i < n; i++)
                if (endpoint_equal(e, &list[i]))
                        return true;
        return false;
}

size_t replicate_rank(uint32_t number, const Endpoint *self, size_t n_self, const Endpoint *others, size_t n_others,
                      const Endpoint *except, size_t n_except) {
        uint64_t own = 0;
        size_t rank = 0;

        for (size_t i = 0; i < n_self; i++)
                own = MAX_OF(own, replicate_weight(number, &self[i]));
        for (size_t i = 0; i < n_others; i++)
                rank += replicate_weight(number, &others[i]) > own && !is_among(&others[i], self, n_self) &&
                        !is_among(&others[i], except, n_except);
        return rank;
}

bool replicate_keeps(uint32_t number, unsigned n_replicas, const Endpoint *self, size_t n_self,
                     const Endpoint *holders, size_t n_holders) {
        return replicate_rank(number, self, n_self, holders, n_holders, NULL, 0) < n_replicas;
}

bool replicate_takes(uint32_t number, unsigned n_replicas, unsigned n_rounds, const Endpoint *self, size_t n_self,
                     const Endpoint *peers, size_t n_peers, const Endpoint *holders, size_t n_holders) {
        if (n_rounds == 0 || n_holders >= n_replicas)
                return false;
        return replicate_rank(number, self, n_self, peers, n_peers, holders, n_holders) <
               n_replicas - n_holders + (n_rounds - 1);
}
