/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/follow.h"

/* Relations looked at for one: it is done under a lock. */
#define LOOKS_MAX 1024

static bool contains(const uint32_t *numbers, size_t n, uint32_t number) {
        for (size_t i = 0; i < n; i++)
                if (numbers[i] == number)
                        return true;
        return false;
}

static int compare_numbers(const void *a, const void *b) {
        const uint32_t *x = a, *y = b;
        return (*x > *y) - (*x < *y);
}

/*
 * Breadth first, each node once: so no loop goes on, no way is longer than FOLLOW_NODES_MAX, and what is cut is
 * farthest away.
 */
void follow_current(const RfcMeta *m, uint32_t number, Follow *ret) {
        uint32_t seen[FOLLOW_NODES_MAX] = { number };
        size_t n_seen = 1, n_looks = 0;
        Follow f = { .n = 0 };

        for (size_t i = 0; i < n_seen; i++) {
                RfcMetaInfo info;
                size_t n = m && rfc_meta_get(m, seen[i], &info) ? info.n_related[RFC_OBSOLETED_BY] : 0;

                if (n == 0)
                        f.current[f.n++] = seen[i];
                for (size_t k = 0; k < n; k++) {
                        uint32_t next = info.related[RFC_OBSOLETED_BY][k];

                        if (n_looks++ == LOOKS_MAX) {
                                f.cut = true;
                                n_seen = i + 1;
                                break;
                        }
                        if (contains(seen, n_seen, next))
                                continue;
                        if (n_seen < FOLLOW_NODES_MAX)
                                seen[n_seen++] = next;
                        else
                                f.cut = true;
                }
        }
        qsort(f.current, f.n, sizeof(f.current[0]), compare_numbers);
        *ret = f;
}
