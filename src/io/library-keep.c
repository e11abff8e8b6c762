/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <unistd.h>

#include "io/library-private.h"

int library_set_pinned(Library *l, uint32_t number, bool pinned) {
        LibraryDocument *d = library_find(l, number);

        /* What was pinned and went away by itself can be let go all the same. */
        if (!d || !(d->announced || d->damaged || (d->pinned && !pinned)))
                return LIBRARY_NONE;
        if (d->pinned == pinned)
                return 0;
        d->pinned = pinned;
        library_keep_care(l, d);
        library_flush(l);
        return d->announced ? library_present(l, d) : 0;
}

void library_set_read(Library *l, uint32_t number, usec_t read_at) {
        LibraryDocument *d = library_find(l, number);

        if (!d || d->read_at >= read_at)
                return;
        d->read_at = read_at;
        library_keep_care(l, d);
}

int library_evict(Library *l, uint32_t number) {
        LibraryDocument *d = library_find(l, number);
        char name[RFC_FILE_NAME_SIZE];
        int r;

        if (!d || !(d->announced || d->damaged))
                return LIBRARY_NONE;
        rfc_number_to_file_name(number, name);
        /* Who reads it has it open, and goes on. */
        if (unlinkat(l->dir_fd, name, 0) < 0 && errno != ENOENT) {
                r = -errno;
                if (d->announced)
                        (void) library_present(l, d);   /* it is known; what failed first is what is told */
                return r;
        }
        d->pinned = false;
        r = library_check(l, number);
        library_flush(l);
        return r;
}

uint64_t library_reserved(const Library *l) {
        return l->reserved;
}
