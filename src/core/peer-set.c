/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/peer-set.h"

#include <errno.h>

static uint32_t low_bit(uint32_t i) {
        return i & -i;
}

void peer_set_done(PeerSet *s) {
        free(s->words);
        numbers_done(&s->sums);
        *s = (PeerSet){ 0 };
}

int peer_set_reserve(PeerSet *s, size_t n_words) {
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
void peer_set_append_word(PeerSet *s, uint32_t n_words) {
        uint32_t node = n_words + 1, sum = 0;

        for (uint32_t step = 1; step < low_bit(node); step <<= 1)
                sum += s->sums.items[node - step - 1];
        s->words[n_words] = 0;
        s->sums.items[node - 1] = sum;
}

void peer_set_put(PeerSet *s, uint32_t n_words, uint32_t position, bool on) {
        if (peer_set_has(s, position) == on)
                return;
        s->words[position / PEER_SET_WORD_BITS] ^= UINT64_C(1) << (position % PEER_SET_WORD_BITS);
        for (uint32_t node = position / PEER_SET_WORD_BITS + 1; node <= n_words; node += low_bit(node))
                s->sums.items[node - 1] += on ? 1 : UINT32_MAX;
        s->n += on ? 1 : UINT32_MAX;
}

uint32_t peer_set_rank(const PeerSet *s, uint32_t position) {
        uint32_t rest = position % PEER_SET_WORD_BITS, sum = 0;

        for (uint32_t node = position / PEER_SET_WORD_BITS; node > 0; node -= low_bit(node))
                sum += s->sums.items[node - 1];
        if (rest > 0)
                sum += (uint32_t) __builtin_popcountll(s->words[position / PEER_SET_WORD_BITS] & ((UINT64_C(1) << rest) - 1));
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

uint32_t peer_set_select(const PeerSet *s, uint32_t n_words, uint32_t k) {
        uint32_t word = 0;

        for (uint32_t step = UINT32_C(1) << (31 - __builtin_clz(n_words)); step > 0; step >>= 1)
                if (word + step <= n_words && s->sums.items[word + step - 1] <= k) {
                        word += step;
                        k -= s->sums.items[word - 1];
                }
        return word * PEER_SET_WORD_BITS + bit_select(s->words[word], k);
}

uint32_t peer_set_next(const PeerSet *s, uint32_t n, uint32_t position) {
        uint32_t n_words = (n + PEER_SET_WORD_BITS - 1) / PEER_SET_WORD_BITS, rank;
        uint64_t bits;

        if (position >= n)
                return SLOT_NONE;
        bits = s->words[position / PEER_SET_WORD_BITS] >> (position % PEER_SET_WORD_BITS);
        if (bits != 0)
                return position + (uint32_t) __builtin_ctzll(bits);
        rank = peer_set_rank(s, position);
        return rank < s->n ? peer_set_select(s, n_words, rank) : SLOT_NONE;
}

void peer_set_sum_up(PeerSet *s, uint32_t n_words) {
        for (uint32_t i = 0; i < n_words; i++)
                s->sums.items[i] = (uint32_t) __builtin_popcountll(s->words[i]);
        for (uint32_t node = 1; node <= n_words; node++)
                if (node + low_bit(node) <= n_words)
                        s->sums.items[node + low_bit(node) - 1] += s->sums.items[node - 1];
}
