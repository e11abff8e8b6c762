/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/evict.h"

static int compare(const void *a, const void *b) {
        const EvictCandidate *x = a, *y = b;

        if (x->read_at != y->read_at)
                return x->read_at < y->read_at ? -1 : 1;
        if (x->size != y->size)
                return x->size > y->size ? -1 : 1;
        return (x->number > y->number) - (x->number < y->number);
}

int evict_plan(EvictCandidate *candidates, size_t n, uint64_t need, size_t *ret_n) {
        uint64_t freed = 0;
        size_t i = 0;

        if (n > 0)
                qsort(candidates, n, sizeof(*candidates), compare);
        for (; i < n && freed < need; i++)
                freed = candidates[i].size > UINT64_MAX - freed ? UINT64_MAX : freed + candidates[i].size;
        if (freed < need)
                return EVICT_NOT_ENOUGH;
        *ret_n = i;
        return 0;
}
