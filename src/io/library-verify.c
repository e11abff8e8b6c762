/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>

#include "io/library-private.h"

/*
 * It is not the file that was hashed, or can't be read for a reason of its own: as a scan would have it, which reads none that
 * it knows. unread: what the reading ended with, 0 if it was read.
 */
static int check_as_new(Library *l, uint32_t number, const LibraryStamp *known, int unread, LibraryVerdict *ret) {
        const LibraryDocument *d;
        int r;

        r = library_check(l, number);
        if (r < 0)
                return r;
        d = library_find(l, number);
        if (!d)
                return LIBRARY_NONE;
        if (unread != 0 && d->announced && library_stamp_equal(&d->stamp, known))
                return unread;          /* it is there again as it was, by now: nothing is known of its bytes */
        *ret = (LibraryVerdict){ .kind = LIBRARY_VERDICT_UNREADABLE };
        if (d->announced)
                *ret = (LibraryVerdict){
                        .kind = LIBRARY_VERDICT_GOOD,
                        .size = d->stamp.size,
                        .has_digest = true,
                        .found = d->digest,
                        .expected = d->digest,
                };
        return 0;
}

static void damaged(Library *l, LibraryDocument *d, const LibraryReading *reading, LibraryVerdict *verdict) {
        const LibraryStamp stamp = reading->stamp;

        verdict->kind = LIBRARY_VERDICT_DAMAGED;
        library_mark_damaged(l, d, &stamp, &verdict->expected);
}

static int verify(Library *l, LibraryDocument *d, const Digest *wanted, LibraryVerdict *ret) {
        char name[RFC_FILE_NAME_SIZE];
        LibraryReading reading = { .name = name, .max_size = l->max_file_size, .from_disk = true };
        const LibraryStamp known = d->damaged ? d->damaged_stamp : d->stamp;
        const uint32_t number = d->number;
        _cleanup_free_ char *title = NULL;
        LibraryVerdict v = { .expected = wanted ? *wanted : d->damaged ? d->expected : d->digest };
        bool same;
        int r;

        rfc_number_to_file_name(number, name);
        r = library_hash(l, &reading, &v.found, &title);
        if (r < 0)
                return r;
        same = (d->hashed || d->damaged) && library_stamp_equal(&known, &reading.stamp);
        v.size = reading.stamp.size;
        v.has_digest = r == 0;
        /* A block of it that can't be read is damage, too, and the scan would not find it: that reads no known file. */
        if (r == LIBRARY_READ_UNFIT && reading.error == -EIO && same)
                damaged(l, d, &reading, &v);
        else if (r != 0 || (!same && !wanted)) {
                const int unread = r == LIBRARY_READ_UNFIT && reading.error < 0 ? reading.error : LIBRARY_NONE;

                return check_as_new(l, number, &known, r == 0 ? 0 : unread, ret);
        } else if (!digest_equal(&v.found, &v.expected))
                damaged(l, d, &reading, &v);
        else if (d->damaged || !same || !digest_equal(&v.found, &d->digest)) {
                r = library_missed(l, library_adopt(l, number, &reading.stamp, &v.found, TAKE_PTR(title)));
                if (r < 0)
                        return r;
        }
        *ret = v;
        return 0;
}

int library_verify(Library *l, uint32_t number, const Digest *wanted, LibraryVerdict *ret) {
        LibraryDocument *d = library_find(l, number);
        int r;

        if (!d || (!d->announced && !d->damaged))
                return LIBRARY_NONE;
        d->repairing = false;
        r = verify(l, d, wanted, ret);
        library_flush(l);
        return r;
}

uint32_t library_next_number(Library *l, uint32_t after) {
        LibraryDocument *d = library_find_after(l, after);

        while (d && !d->announced && !d->damaged)
                d = library_next(d);
        return d ? d->number : 0;
}

void library_allow_repair(Library *l, uint32_t number) {
        LibraryDocument *d = library_find(l, number);

        if (d)
                d->repairing = d->damaged;
}
