/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reading ahead of a scan: what is not known yet is hashed by as many threads as there are CPUs, a window at a time, while
 * the disk worker, which is one of them, waits for the others. So nothing else of the library needs to know of threads.
 */
#include <sched.h>
#include <stdatomic.h>
#include <unistd.h>

#include "io/library-private.h"
#include "io/loop.h"
#include "io/thread.h"

/* Documents of a window. What is found of each is kept until the scan gets there. */
#define WINDOW 256
/* More threads read no faster, and each has a document in memory. */
#define THREADS_MAX 16

typedef struct Ahead {
        uint32_t number;
        bool tried;
        bool read;                      /* and what follows is set */
        LibraryStamp stamp;
        Digest digest;
        char *text_title;               /* owned; NULL: none */
} Ahead;

struct LibraryAhead {
        size_t end;                     /* place in the scan up to which it goes */
        size_t n;
        Ahead items[WINDOW];            /* by number */
};

/* What the threads share. */
typedef struct Crew {
        const Library *library;
        LibraryAhead *ahead;
        usec_t until;                   /* monotonic: nothing is begun after it */
        atomic_size_t next;
} Crew;

static void ahead_clear(LibraryAhead *a) {
        for (size_t i = 0; i < a->n; i++)
                free(a->items[i].text_title);
        a->n = a->end = 0;
}

void library_ahead_reset(Library *l) {
        if (!l->ahead)
                return;
        ahead_clear(l->ahead);
        free(l->ahead);
        l->ahead = NULL;
}

/* Whatever goes wrong is found out again by the scan, which knows what to say. */
static void read_one(const Library *l, Ahead *item) {
        char name[RFC_FILE_NAME_SIZE];
        LibraryReading reading = { .name = name, .max_size = l->max_file_size };

        rfc_number_to_file_name(item->number, name);
        item->tried = true;
        item->read = library_hash(l, &reading, &item->digest, &item->text_title) == 0;
        item->stamp = reading.stamp;
}

static void *crew_main(void *userdata) {
        Crew *crew = userdata;
        size_t i;

        while ((i = atomic_fetch_add(&crew->next, 1)) < crew->ahead->n) {
                read_one(crew->library, &crew->ahead->items[i]);
                if (monotonic_read() >= crew->until)
                        break;
        }
        return NULL;
}

static unsigned count_cpus(void) {
        cpu_set_t set;

        return sched_getaffinity(0, sizeof(set), &set) == 0 ? (unsigned) CPU_COUNT(&set) : 1;
}

/* Returns when all are done: with fewer threads than wanted it takes longer. */
static void read_all(const Library *l, LibraryAhead *a, usec_t until) {
        const unsigned n_threads = MIN_OF(MIN_OF(count_cpus(), THREADS_MAX), (unsigned) a->n);
        Crew crew = { .library = l, .ahead = a, .until = until };
        pthread_t threads[THREADS_MAX];
        unsigned n = 0;

        atomic_init(&crew.next, 0);
        while (n + 1 < n_threads && thread_start("hash", crew_main, &crew, &threads[n]) == 0)
                n++;
        (void) crew_main(&crew);
        while (n > 0)
                (void) pthread_join(threads[--n], NULL);
}

void library_ahead_go(Library *l, usec_t until) {
        LibraryAhead *a = l->ahead;
        size_t at = l->scan_at;

        if (a && at < a->end)
                return;
        if (!a)
                a = l->ahead = calloc(1, sizeof(*a));
        if (!a)
                return;         /* the scan reads each by itself */
        ahead_clear(a);
        for (; at < l->scan_size && a->n < WINDOW; at++) {
                const LibraryDocument *d = library_find(l, l->scan[at]);

                if (!d || (!d->hashed && !d->damaged))
                        a->items[a->n++] = (Ahead){ .number = l->scan[at] };
        }
        a->end = at;
        if (a->n > 1)
                read_all(l, a, until);
        /* They are taken in order, and the time may be over. */
        for (; a->n > 1 && !a->items[a->n - 1].tried; a->n--)
                while (l->scan[a->end - 1] >= a->items[a->n - 1].number)
                        a->end--;
}

static int compare_number(const void *key, const void *item) {
        const uint32_t a = *(const uint32_t *) key, b = ((const Ahead *) item)->number;

        return (a > b) - (a < b);
}

bool library_ahead_take(Library *l, uint32_t number, const LibraryStamp *stamp, Digest *ret_digest, char **ret_title) {
        Ahead *item = l->ahead ? bsearch(&number, l->ahead->items, l->ahead->n, sizeof(*item), compare_number) : NULL;

        if (!item || !item->read || item->stamp.device != stamp->device || !library_stamp_equal(&item->stamp, stamp))
                return false;
        item->read = false;
        *ret_digest = item->digest;
        *ret_title = TAKE_PTR(item->text_title);
        return true;
}
