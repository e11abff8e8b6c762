/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * PeerSet: a set of positions: a bit for each, with sums over its words (a Fenwick tree), so that the next one after any
 * gap, the k-th one, and how many come before one are found in O(log n). Internal to peer-list.
 */

#include "core/base.h"
#include "core/peer-table.h"

#define PEER_SET_WORD_BITS 64

typedef struct PeerSet {
        uint64_t *words;                /* owned; a bit for each position */
        Numbers sums;                   /* [i - 1]: node i of the tree over the words */
        size_t words_allocated;
        uint32_t n;                     /* bits that are set */
} PeerSet;

void peer_set_done(PeerSet *s);
/* Room for so many words in all. 0, -ENOMEM. */
int peer_set_reserve(PeerSet *s, size_t n_words) _must_check_;
/* One more word, empty: there are n_words so far, and there is room. */
void peer_set_append_word(PeerSet *s, uint32_t n_words);
static inline bool peer_set_has(const PeerSet *s, uint32_t position) {
        return s->words[position / PEER_SET_WORD_BITS] >> (position % PEER_SET_WORD_BITS) & 1;
}
void peer_set_put(PeerSet *s, uint32_t n_words, uint32_t position, bool on);
/* How many are set before that position. */
uint32_t peer_set_rank(const PeerSet *s, uint32_t position);
/* The position of the k-th that is set, k < s->n. */
uint32_t peer_set_select(const PeerSet *s, uint32_t n_words, uint32_t k);
/* The first of n positions that is set, at or after one; SLOT_NONE: none. */
uint32_t peer_set_next(const PeerSet *s, uint32_t n, uint32_t position);
/* All sums anew: the words were changed by hand. */
void peer_set_sum_up(PeerSet *s, uint32_t n_words);
