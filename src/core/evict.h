/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * Which documents make room in a full library: those that were read the longest time ago, and no more of them than it
 * takes. What may not go is left out by the caller.
 */

#include "core/base.h"

typedef struct EvictCandidate {
        uint32_t number;
        uint64_t size;
        usec_t read_at;                 /* realtime */
} EvictCandidate;

/* Answers */
enum {
        EVICT_NOT_ENOUGH = 1,           /* all of them together are less */
};

/*
 * Sorts them: the least recently read first; of those read at the same time the biggest, so that fewer go. 0: the
 * first *ret_n together free at least `need`. NOT_ENOUGH: sorted all the same.
 */
int evict_plan(EvictCandidate *candidates, size_t n, uint64_t need, size_t *ret_n) _must_check_;
