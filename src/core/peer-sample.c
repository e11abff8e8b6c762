/* SPDX-License-Identifier: BSD-2-Clause */
/* PeerOrder: samples. Part of peer-order, apart for its size. */
#include "core/peer-order.h"

/* Numbers below this are drawn as bits on the stack, which come out in order. */
#define DRAW_BITS_MAX 8192

/* What is drawn: a number below bound; of an order, a position whose peer is seen. */
typedef struct Draw {
        const PeerOrder *order;         /* NULL: all numbers count */
        uint32_t bound, except;
        bool loopback;
        uint64_t state;
} Draw;

/* Below `bound`; the multiplication favours none by more than 2^-32. */
static uint32_t draw_below(uint64_t *state, uint32_t bound) {
        return (uint32_t) ((seeded_next(state) >> 32) * bound >> 32);
}

static bool is_seen(const PeerOrder *o, uint32_t position, bool loopback) {
        return peer_set_has(&o->sets[0], position) || (loopback && peer_set_has(&o->sets[1], position));
}

static uint32_t draw_one(Draw *d) {
        uint32_t number;

        do
                number = draw_below(&d->state, d->bound);
        while (d->order && (number == d->except || !is_seen(d->order, number, d->loopback)));
        return number;
}

static void sort_with_gap(uint32_t *numbers, size_t n, size_t gap) {
        for (size_t i = gap; i < n; i++) {
                uint32_t number = numbers[i];
                size_t to = i;

                for (; to >= gap && numbers[to - gap] > number; to -= gap)
                        numbers[to] = numbers[to - gap];
                numbers[to] = number;
        }
}

/* Shell's sort, with gaps of 1, 4, 13 and so on. */
static void sort_numbers(uint32_t *numbers, size_t n) {
        size_t gap = 1;

        while (gap < n / 3)
                gap = 3 * gap + 1;
        for (; gap > 0; gap /= 3)
                sort_with_gap(numbers, n, gap);
}

/*
 * Numbers below bound that are spread evenly: a short list goes each into the part of the range that it is in, and is
 * in order but for a step or two then. (qsort() was a sixth of a query with Limit: 50.)
 */
static void sort_draws(uint32_t *numbers, size_t n, uint32_t bound) {
        enum { PARTS = 128, SHORT_MAX = 256 };
        unsigned shift = bound > PARTS ? 32 - (unsigned) __builtin_clz((bound - 1) / PARTS) : 0;
        uint16_t places[PARTS + 1] = { 0 };
        uint32_t copy[SHORT_MAX];

        if (n > SHORT_MAX) {
                sort_numbers(numbers, n);
                return;
        }
        memcpy(copy, numbers, n * sizeof(uint32_t));
        for (size_t i = 0; i < n; i++)
                places[(copy[i] >> shift) + 1]++;
        for (size_t i = 0; i < PARTS; i++)
                places[i + 1] = (uint16_t) (places[i + 1] + places[i]);
        for (size_t i = 0; i < n; i++)
                numbers[places[copy[i] >> shift]++] = copy[i];
        sort_with_gap(numbers, n, 1);
}

static void draw_bits(Draw *d, size_t n, uint32_t *ret) {
        uint64_t drawn[DRAW_BITS_MAX / 64];
        uint32_t n_words = (d->bound + 63) / 64;

        memset(drawn, 0, n_words * sizeof(uint64_t));
        while (n > 0) {
                uint32_t number = draw_one(d);
                uint64_t bit = UINT64_C(1) << (number % 64);

                n -= !(drawn[number / 64] & bit);
                drawn[number / 64] |= bit;
        }
        for (uint32_t word = 0; word < n_words; word++)
                for (uint64_t bits = drawn[word]; bits != 0; bits &= bits - 1)
                        *ret++ = word * 64 + (uint32_t) __builtin_ctzll(bits);
}

/* n different ones, ascending; at most half of those that there are. */
static void draw_few(Draw *d, size_t n, uint32_t *ret) {
        size_t have = 0;

        if (d->bound <= DRAW_BITS_MAX) {
                draw_bits(d, n, ret);
                return;
        }
        /* Draw, drop what came twice, draw again: at most half are doubles, so a few rounds do. */
        while (have < n) {
                size_t kept = 0;

                while (have < n)
                        ret[have++] = draw_one(d);
                sort_draws(ret, have, d->bound);
                for (size_t i = 0; i < have; i++)
                        if (kept == 0 || ret[kept - 1] != ret[i])
                                ret[kept++] = ret[i];
                have = kept;
        }
}

/* n of 0..total-1, ascending: each is taken with the chance that it must have, in order. */
static void draw_many(uint32_t total, size_t n, uint64_t *state, uint32_t *ret) {
        size_t have = 0;

        for (uint32_t i = 0; have < n; i++)
                if (draw_below(state, total - i) < n - have)
                        ret[have++] = i;
}

/* ---- by number: those that are seen are numbered, first the others, then loopback ---- */

static uint32_t number_of(const PeerOrder *o, uint32_t position) {
        if (peer_set_has(&o->sets[0], position))
                return peer_set_rank(&o->sets[0], position);
        return o->sets[0].n + peer_set_rank(&o->sets[1], position);
}

static uint32_t position_at(const PeerOrder *o, uint32_t number) {
        bool loopback = number >= o->sets[0].n;

        return peer_set_select(&o->sets[loopback], peer_order_words(o), loopback ? number - o->sets[0].n : number);
}

size_t peer_order_sample(const PeerOrder *o, uint32_t except, bool loopback, size_t n, uint64_t seed, uint32_t *ret) {
        uint32_t total = peer_order_count_active(o, loopback), position = peer_order_position(o, except);
        uint32_t skip = UINT32_MAX;

        if (position != SLOT_NONE && is_seen(o, position, loopback)) {
                skip = number_of(o, position);
                total--;
        }
        n = MIN_OF(n, (size_t) total);
        if (n <= total / 2 && total >= o->n / 4) {
                /* Some of many, and most positions are of those: no number needs to be looked up. */
                Draw d = { .order = o, .bound = o->n, .except = position, .loopback = loopback, .state = seed };

                draw_few(&d, n, ret);
        } else {
                Draw d = { .bound = total, .state = seed };

                if (n > total / 2)
                        draw_many(total, n, &seed, ret);
                else
                        draw_few(&d, n, ret);
                for (size_t i = 0; i < n; i++)
                        ret[i] = position_at(o, ret[i] >= skip ? ret[i] + 1 : ret[i]);
                if (loopback)
                        sort_numbers(ret, n);   /* two ascending runs */
        }
        for (size_t i = 0; i < n; i++)
                ret[i] = o->slots.items[ret[i]];
        return n;
}
