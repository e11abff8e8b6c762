/* SPDX-License-Identifier: BSD-2-Clause */
#include "io/huge-memory.h"

#include <sys/mman.h>

void *huge_memory_take(size_t size) {
        size_t mapped_size, before;
        char *mapped;

        assert(size > 0 && size % HUGE_MEMORY_PAGE == 0);
        if (__builtin_add_overflow(size, HUGE_MEMORY_PAGE, &mapped_size))
                return NULL;
        mapped = mmap(NULL, mapped_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (mapped == MAP_FAILED)
                return NULL;

        /* A mapping is aligned to a usual page: what lies before the first huge one, and behind the last, goes back. */
        before = (HUGE_MEMORY_PAGE - (uintptr_t) mapped % HUGE_MEMORY_PAGE) % HUGE_MEMORY_PAGE;
        if (before > 0)
                (void) munmap(mapped, before);
        (void) munmap(mapped + before + size, HUGE_MEMORY_PAGE - before);
        (void) madvise(mapped + before, size, MADV_HUGEPAGE);   /* a kernel without them gives usual ones */
        return mapped + before;
}

void huge_memory_give_back(void *memory, size_t size) {
        (void) munmap(memory, size);    /* fails for what was not taken only */
}
