/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * PeerOrder: the ids in ascending order, each with its slot, and which of them are active: what lists and samples are
 * made from. Internal to peer-list.
 *
 * New ids are always the highest, so the order is an array that grows at its end; a forgotten id leaves a gap, and when
 * half are gaps the array is closed up. Active ids are bits beside the array, in two sets: listed under a loopback
 * address, and the others.
 */

#include "core/base.h"
#include "core/peer-set.h"
#include "core/peer-table.h"

typedef struct PeerOrder {
        Numbers ids, slots;             /* slot SLOT_NONE: a gap */
        uint32_t n, n_gaps;
        PeerSet sets[2];                /* [1]: loopback */
} PeerOrder;

void peer_order_done(PeerOrder *o);
/* Room for one more: the next append can't fail. 0, -ENOMEM. */
int peer_order_reserve(PeerOrder *o) _must_check_;
/* id: above all others. */
void peer_order_append(PeerOrder *o, uint32_t id, uint32_t slot);
/* Must not be active. */
void peer_order_remove(PeerOrder *o, uint32_t id);
void peer_order_set_active(PeerOrder *o, uint32_t id, bool loopback, bool active);

static inline uint32_t peer_order_words(const PeerOrder *o) {
        return (o->n + PEER_SET_WORD_BITS - 1) / PEER_SET_WORD_BITS;
}

/* The highest id that was appended; 0: none yet. */
static inline uint32_t peer_order_last_id(const PeerOrder *o) {
        return o->n > 0 ? o->ids.items[o->n - 1] : 0;
}

/* These give a slot; SLOT_NONE: there is none. */
uint32_t peer_order_find(const PeerOrder *o, uint32_t id);
uint32_t peer_order_next(const PeerOrder *o, uint32_t after);
/* loopback: of both sets, else of the others only. */
uint32_t peer_order_next_active(const PeerOrder *o, uint32_t after, bool loopback);

uint32_t peer_order_count_active(const PeerOrder *o, bool loopback);
/* Where an id stands; SLOT_NONE: it is not there. */
uint32_t peer_order_position(const PeerOrder *o, uint32_t id);
/* peer-sample.c: see peer_list_sample(). */
size_t peer_order_sample(const PeerOrder *o, uint32_t except, bool loopback, size_t n, uint64_t seed, uint32_t *ret);
