/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/peer-order.h"

#include <errno.h>

void peer_order_done(PeerOrder *o) {
        numbers_done(&o->ids);
        numbers_done(&o->slots);
        for (size_t i = 0; i < ELEMENTSOF(o->sets); i++)
                peer_set_done(&o->sets[i]);
        *o = (PeerOrder){ 0 };
}

int peer_order_reserve(PeerOrder *o) {
        size_t wanted = (size_t) o->n + 1;
        int r;

        r = numbers_reserve(&o->ids, wanted);
        if (r == 0)
                r = numbers_reserve(&o->slots, wanted);
        for (size_t i = 0; r == 0 && i < ELEMENTSOF(o->sets); i++)
                r = peer_set_reserve(&o->sets[i], wanted / PEER_SET_WORD_BITS + 1);
        return r;
}

void peer_order_append(PeerOrder *o, uint32_t id, uint32_t slot) {
        assert(o->n == 0 || o->ids.items[o->n - 1] < id);

        if (o->n % PEER_SET_WORD_BITS == 0)
                for (size_t i = 0; i < ELEMENTSOF(o->sets); i++)
                        peer_set_append_word(&o->sets[i], o->n / PEER_SET_WORD_BITS);
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
                        uint64_t *words = o->sets[i].words, bit = peer_set_has(&o->sets[i], from);

                        words[from / PEER_SET_WORD_BITS] &= ~(UINT64_C(1) << (from % PEER_SET_WORD_BITS));
                        words[to / PEER_SET_WORD_BITS] |= bit << (to % PEER_SET_WORD_BITS);
                }
                to++;
        }
        o->n = to;
        o->n_gaps = 0;
        for (size_t i = 0; i < ELEMENTSOF(o->sets); i++)
                peer_set_sum_up(&o->sets[i], peer_order_words(o));
}

void peer_order_remove(PeerOrder *o, uint32_t id) {
        uint32_t position = position_of(o, id);

        assert(!peer_set_has(&o->sets[0], position) && !peer_set_has(&o->sets[1], position));
        o->slots.items[position] = SLOT_NONE;
        o->n_gaps++;
        if (o->n_gaps >= PEER_SET_WORD_BITS && o->n_gaps > o->n / 2)
                close_gaps(o);
}

void peer_order_set_active(PeerOrder *o, uint32_t id, bool loopback, bool active) {
        peer_set_put(&o->sets[loopback], peer_order_words(o), position_of(o, id), active);
}

uint32_t peer_order_position(const PeerOrder *o, uint32_t id) {
        uint32_t position = lower_bound(o, id);

        return position < o->n && o->ids.items[position] == id ? position : SLOT_NONE;
}

uint32_t peer_order_find(const PeerOrder *o, uint32_t id) {
        uint32_t position = peer_order_position(o, id);

        return position != SLOT_NONE ? o->slots.items[position] : SLOT_NONE;
}

uint32_t peer_order_next(const PeerOrder *o, uint32_t after) {
        for (uint32_t position = position_after(o, after); position < o->n; position++)
                if (o->slots.items[position] != SLOT_NONE)
                        return o->slots.items[position];
        return SLOT_NONE;
}

uint32_t peer_order_next_active(const PeerOrder *o, uint32_t after, bool loopback) {
        uint32_t from = position_after(o, after), position = peer_set_next(&o->sets[0], o->n, from);

        if (loopback)
                position = MIN_OF(position, peer_set_next(&o->sets[1], o->n, from));
        return position == SLOT_NONE ? SLOT_NONE : o->slots.items[position];
}

uint32_t peer_order_count_active(const PeerOrder *o, bool loopback) {
        return o->sets[0].n + (loopback ? o->sets[1].n : 0);
}
