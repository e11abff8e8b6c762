/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/peer-order.h"

#include <errno.h>

#define WORD_BITS 64
/* A sample of so many may be drawn by bits on the stack. */
#define DRAW_BITS_MAX 8192

/* ---- PeerSet: bits with sums ---- */

static uint32_t low_bit(uint32_t i) {
        return i & -i;
}

static int set_reserve(PeerSet *s, size_t n_words) {
        int r;

        if (n_words > s->words_allocated) {
                size_t wanted = n_words + n_words / 2 + 16;
                uint64_t *words = reallocarray(s->words, wanted, sizeof(uint64_t));

                if (!words)
                        return -ENOMEM;
                s->words = words;
                s->words_allocated = wanted;
        }
        r = numbers_reserve(&s->sums, n_words);
        return r;
}

/* Word number n_words joins, empty: its node sums up those of the words before it that are below it in the tree. */
static void set_append_word(PeerSet *s, uint32_t n_words) {
        uint32_t node = n_words + 1, sum = 0;

        for (uint32_t step = 1; step < low_bit(node); step <<= 1)
                sum += s->sums.items[node - step - 1];
        s->words[n_words] = 0;
        s->sums.items[node - 1] = sum;
}

static bool set_has(const PeerSet *s, uint32_t position) {
        return s->words[position / WORD_BITS] >> (position % WORD_BITS) & 1;
}

static void set_put(PeerSet *s, uint32_t n_words, uint32_t position, bool on) {
        if (set_has(s, position) == on)
                return;
        s->words[position / WORD_BITS] ^= UINT64_C(1) << (position % WORD_BITS);
        for (uint32_t node = position / WORD_BITS + 1; node <= n_words; node += low_bit(node))
                s->sums.items[node - 1] += on ? 1 : UINT32_MAX;
        s->n += on ? 1 : UINT32_MAX;
}

/* How many are set before that position. */
static uint32_t set_rank(const PeerSet *s, uint32_t position) {
        uint32_t rest = position % WORD_BITS, sum = 0;

        for (uint32_t node = position / WORD_BITS; node > 0; node -= low_bit(node))
                sum += s->sums.items[node - 1];
        if (rest > 0)
                sum += (uint32_t) __builtin_popcountll(s->words[position / WORD_BITS] & ((UINT64_C(1) << rest) - 1));
        return sum;
}

/* The place of the k-th bit that is set; there are more than k. First its byte, by sums over the bytes below. */
static uint32_t bit_select(uint64_t bits, uint32_t k) {
        uint64_t sums = bits - (bits >> 1 & UINT64_C(0x5555555555555555));
        const uint64_t high = UINT64_C(0x8080808080808080);
        uint32_t place;

        sums = (sums & UINT64_C(0x3333333333333333)) + (sums >> 2 & UINT64_C(0x3333333333333333));
        sums = ((sums + (sums >> 4)) & UINT64_C(0x0f0f0f0f0f0f0f0f)) * UINT64_C(0x0101010101010101);
        /* The highest bit of each byte whose sum is over k: those are from the byte on that is looked for. */
        place = (uint32_t) __builtin_ctzll(((sums | high) - (k + 1) * UINT64_C(0x0101010101010101)) & high) - 7;
        if (place > 0)
                k -= (uint32_t) (sums >> (place - 8) & 0xff);
        bits >>= place;
        while (k-- > 0)
                bits &= bits - 1;
        return place + (uint32_t) __builtin_ctzll(bits);
}

/* The position of the k-th that is set, k < s->n. */
static uint32_t set_select(const PeerSet *s, uint32_t n_words, uint32_t k) {
        uint32_t word = 0;

        for (uint32_t step = UINT32_C(1) << (31 - __builtin_clz(n_words)); step > 0; step >>= 1)
                if (word + step <= n_words && s->sums.items[word + step - 1] <= k) {
                        word += step;
                        k -= s->sums.items[word - 1];
                }
        return word * WORD_BITS + bit_select(s->words[word], k);
}

/* The first that is set at or after a position; SLOT_NONE: none. */
static uint32_t set_next(const PeerSet *s, uint32_t n, uint32_t position) {
        uint32_t n_words = (n + WORD_BITS - 1) / WORD_BITS, rank;
        uint64_t bits;

        if (position >= n)
                return SLOT_NONE;
        bits = s->words[position / WORD_BITS] >> (position % WORD_BITS);
        if (bits != 0)
                return position + (uint32_t) __builtin_ctzll(bits);
        rank = set_rank(s, position);
        return rank < s->n ? set_select(s, n_words, rank) : SLOT_NONE;
}

static void set_sum_up(PeerSet *s, uint32_t n_words) {
        for (uint32_t i = 0; i < n_words; i++)
                s->sums.items[i] = (uint32_t) __builtin_popcountll(s->words[i]);
        for (uint32_t node = 1; node <= n_words; node++)
                if (node + low_bit(node) <= n_words)
                        s->sums.items[node + low_bit(node) - 1] += s->sums.items[node - 1];
}

/* ---- PeerOrder ---- */

static uint32_t order_words(const PeerOrder *o) {
        return (o->n + WORD_BITS - 1) / WORD_BITS;
}

void peer_order_done(PeerOrder *o) {
        numbers_done(&o->ids);
        numbers_done(&o->slots);
        for (size_t i = 0; i < ELEMENTSOF(o->sets); i++) {
                free(o->sets[i].words);
                numbers_done(&o->sets[i].sums);
        }
        *o = (PeerOrder){ 0 };
}

int peer_order_reserve(PeerOrder *o) {
        size_t wanted = (size_t) o->n + 1;
        int r;

        r = numbers_reserve(&o->ids, wanted);
        if (r == 0)
                r = numbers_reserve(&o->slots, wanted);
        for (size_t i = 0; r == 0 && i < ELEMENTSOF(o->sets); i++)
                r = set_reserve(&o->sets[i], wanted / WORD_BITS + 1);
        return r;
}

void peer_order_append(PeerOrder *o, uint32_t id, uint32_t slot) {
        assert(o->n == 0 || o->ids.items[o->n - 1] < id);

        if (o->n % WORD_BITS == 0)
                for (size_t i = 0; i < ELEMENTSOF(o->sets); i++)
                        set_append_word(&o->sets[i], o->n / WORD_BITS);
        o->ids.items[o->n] = id;
        o->slots.items[o->n] = slot;
        o->n++;
}

/*
 * The first position whose id is that or above it; n: none. Ids ascend by at least one, which leaves the search no more
 * than the width of the gaps: without gaps it ends at once.
 */
static uint32_t lower_bound(const PeerOrder *o, uint32_t id) {
        uint32_t first, last, low, high;

        if (o->n == 0)
                return 0;
        first = o->ids.items[0];
        last = o->ids.items[o->n - 1];
        if (id <= first)
                return 0;
        if (id > last)
                return o->n;
        low = last - id < o->n - 1 ? o->n - 1 - (last - id) : 0;
        high = MIN_OF(o->n - 1, id - first);
        while (low < high) {
                uint32_t middle = low + (high - low) / 2;

                if (o->ids.items[middle] < id)
                        low = middle + 1;
                else
                        high = middle;
        }
        return low;
}

/* The first position after that id. */
static uint32_t position_after(const PeerOrder *o, uint32_t id) {
        return id == UINT32_MAX ? o->n : lower_bound(o, id + 1);
}

/* Where an id is that must be there. */
static uint32_t position_of(const PeerOrder *o, uint32_t id) {
        uint32_t position = lower_bound(o, id);

        assert(position < o->n && o->ids.items[position] == id);
        return position;
}

static void close_gaps(PeerOrder *o) {
        uint32_t to = 0;

        for (uint32_t from = 0; from < o->n; from++) {
                if (o->slots.items[from] == SLOT_NONE)
                        continue;
                o->ids.items[to] = o->ids.items[from];
                o->slots.items[to] = o->slots.items[from];
                for (size_t i = 0; to != from && i < ELEMENTSOF(o->sets); i++) {
                        uint64_t *words = o->sets[i].words, bit = words[from / WORD_BITS] >> (from % WORD_BITS) & 1;

                        words[from / WORD_BITS] &= ~(UINT64_C(1) << (from % WORD_BITS));
                        words[to / WORD_BITS] |= bit << (to % WORD_BITS);
                }
                to++;
        }
        o->n = to;
        o->n_gaps = 0;
        for (size_t i = 0; i < ELEMENTSOF(o->sets); i++)
                set_sum_up(&o->sets[i], order_words(o));
}

void peer_order_remove(PeerOrder *o, uint32_t id) {
        uint32_t position = position_of(o, id);

        assert(!set_has(&o->sets[0], position) && !set_has(&o->sets[1], position));
        o->slots.items[position] = SLOT_NONE;
        o->n_gaps++;
        if (o->n_gaps >= WORD_BITS && o->n_gaps > o->n / 2)
                close_gaps(o);
}

void peer_order_set_active(PeerOrder *o, uint32_t id, bool loopback, bool active) {
        set_put(&o->sets[loopback], order_words(o), position_of(o, id), active);
}

uint32_t peer_order_find(const PeerOrder *o, uint32_t id) {
        uint32_t position = lower_bound(o, id);

        return position < o->n && o->ids.items[position] == id ? o->slots.items[position] : SLOT_NONE;
}

uint32_t peer_order_next(const PeerOrder *o, uint32_t after) {
        for (uint32_t position = position_after(o, after); position < o->n; position++)
                if (o->slots.items[position] != SLOT_NONE)
                        return o->slots.items[position];
        return SLOT_NONE;
}

uint32_t peer_order_next_active(const PeerOrder *o, uint32_t after, bool loopback) {
        uint32_t from = position_after(o, after), position = set_next(&o->sets[0], o->n, from);

        if (loopback)
                position = MIN_OF(position, set_next(&o->sets[1], o->n, from));
        return position == SLOT_NONE ? SLOT_NONE : o->slots.items[position];
}

uint32_t peer_order_count_active(const PeerOrder *o, bool loopback) {
        return o->sets[0].n + (loopback ? o->sets[1].n : 0);
}

/* ---- Samples. The active ids are numbered: first the others, then loopback. ---- */

static uint32_t active_id(const PeerOrder *o, uint32_t number) {
        bool loopback = number >= o->sets[0].n;

        return o->ids.items[set_select(&o->sets[loopback], order_words(o), loopback ? number - o->sets[0].n : number)];
}

/* UINT32_MAX: not active, or not to be seen. */
static uint32_t active_number(const PeerOrder *o, uint32_t id, bool loopback) {
        uint32_t position = lower_bound(o, id);

        if (position >= o->n || o->ids.items[position] != id)
                return UINT32_MAX;
        if (set_has(&o->sets[0], position))
                return set_rank(&o->sets[0], position);
        if (loopback && set_has(&o->sets[1], position))
                return o->sets[0].n + set_rank(&o->sets[1], position);
        return UINT32_MAX;
}

/* SplitMix64. */
static uint64_t draw(uint64_t *state) {
        uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

        z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
        return z ^ (z >> 31);
}

/* Below `bound`; the multiplication favours none by more than 2^-32. */
static uint32_t draw_below(uint64_t *state, uint32_t bound) {
        return (uint32_t) ((draw(state) >> 32) * bound >> 32);
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
 * Numbers below total that are spread evenly: a short list goes each into the part of the range that it is in, and is
 * in order but for a step or two then. (qsort() was a sixth of a query with Limit: 50.)
 */
static void sort_draws(uint32_t *numbers, size_t n, uint32_t total) {
        enum { PARTS = 128, SHORT_MAX = 256 };
        unsigned shift = total > PARTS ? 32 - (unsigned) __builtin_clz((total - 1) / PARTS) : 0;
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

/* Few numbers below a small total, without sorting: a bit for each. */
static void draw_bits(uint32_t total, size_t n, uint64_t *state, uint32_t *ret) {
        uint64_t drawn[DRAW_BITS_MAX / WORD_BITS];
        uint32_t n_words = (total + WORD_BITS - 1) / WORD_BITS;
        size_t left = n;

        memset(drawn, 0, n_words * sizeof(uint64_t));
        while (left > 0) {
                uint32_t number = draw_below(state, total);
                uint64_t bit = UINT64_C(1) << (number % WORD_BITS);

                left -= !(drawn[number / WORD_BITS] & bit);
                drawn[number / WORD_BITS] |= bit;
        }
        for (uint32_t word = 0; word < n_words; word++)
                for (uint64_t bits = drawn[word]; bits != 0; bits &= bits - 1)
                        *ret++ = word * WORD_BITS + (uint32_t) __builtin_ctzll(bits);
}

/* n of 0..total-1, ascending. */
static void draw_numbers(uint32_t total, size_t n, uint64_t *state, uint32_t *ret) {
        size_t have = 0;

        /* Most of them: each is taken with the chance that it must have, in order. */
        if (n > total / 2) {
                for (uint32_t i = 0; have < n; i++)
                        if (draw_below(state, total - i) < n - have)
                                ret[have++] = i;
                return;
        }
        if (total <= DRAW_BITS_MAX) {
                draw_bits(total, n, state, ret);
                return;
        }
        /* Few: draw, drop what came twice, draw again; at most half are doubles, so a few rounds do. */
        while (have < n) {
                size_t kept = 0;

                while (have < n)
                        ret[have++] = draw_below(state, total);
                sort_draws(ret, have, total);
                for (size_t i = 0; i < have; i++)
                        if (kept == 0 || ret[kept - 1] != ret[i])
                                ret[kept++] = ret[i];
                have = kept;
        }
}

size_t peer_order_sample(const PeerOrder *o, uint32_t except, bool loopback, size_t n, uint64_t seed, uint32_t *ret) {
        uint32_t total = peer_order_count_active(o, loopback), skip = active_number(o, except, loopback);

        if (skip != UINT32_MAX)
                total--;
        n = MIN_OF(n, (size_t) total);
        draw_numbers(total, n, &seed, ret);
        for (size_t i = 0; i < n; i++)
                ret[i] = active_id(o, ret[i] >= skip ? ret[i] + 1 : ret[i]);
        /* Two ascending runs, if loopback is among them; else it is one already, and costs one look. */
        for (size_t i = 1; i < n; i++)
                if (ret[i - 1] > ret[i]) {
                        sort_numbers(ret, n);
                        break;
                }
        return n;
}
