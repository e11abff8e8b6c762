/* SPDX-License-Identifier: BSD-2-Clause */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "core/text.h"
#include "io/library-private.h"
#include "io/loop.h"

/* ---- scan ---- */

static int number_compare(const void *a, const void *b) {
        const uint32_t *x = a, *y = b;

        return (*x > *y) - (*x < *y);
}

static int list_add(Library *l, uint32_t **numbers, size_t *n, size_t *allocated, uint32_t number) {
        LibraryDocument *d = library_find(l, number);

        if (d)
                d->seen = l->scan_serial;
        if (*n == *allocated) {
                const size_t wanted = *allocated == 0 ? 1024 : 2 * *allocated;
                uint32_t *p = reallocarray(*numbers, wanted, sizeof(*p));

                if (!p)
                        return -ENOMEM;
                *numbers = p;
                *allocated = wanted;
        }
        (*numbers)[(*n)++] = number;
        return 0;
}

static int list_entries(Library *l, DIR *dir, uint32_t **numbers, size_t *ret_n) {
        size_t n = 0, allocated = 0;
        struct dirent *entry;
        uint32_t number;
        int r;

        for (;;) {
                errno = 0;
                entry = readdir(dir);
                if (!entry)
                        break;
                if (rfc_number_from_file_name(slice_of(entry->d_name), &number) == 0) {
                        r = list_add(l, numbers, &n, &allocated, number);
                        if (r < 0)
                                return r;
                } else if (l->n_files == 0 && slice_starts_with(slice_of(entry->d_name), LIBRARY_TEMPORARY_PREFIX))
                        /*
                         * Nobody is storing, so it is left over from a crash. If it can't be removed, it does no
                         * harm.
                         */
                        (void) unlinkat(l->dir_fd, entry->d_name, 0);
        }
        if (errno != 0)
                return -errno;
        *ret_n = n;
        return 0;
}

static int list_directory(Library *l) {
        _cleanup_free_ uint32_t *numbers = NULL;
        size_t n = 0;
        DIR *dir;
        int fd, r;

        /* Not a dup(): that would share the position, and closedir() closes what it is given. */
        fd = openat(l->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0 && errno != ENOENT)
                return -errno;
        l->scan_serial++;
        if (fd >= 0) {                  /* else it was removed: nothing is there */
                dir = fdopendir(fd);
                if (!dir) {
                        r = -errno;
                        (void) close(fd);
                        return r;
                }
                r = list_entries(l, dir, &numbers, &n);
                (void) closedir(dir);
                if (r < 0)
                        return r;
        }
        if (!numbers) {
                numbers = malloc(sizeof(*numbers));     /* NULL says that no scan is under way */
                if (!numbers)
                        return -ENOMEM;
        }
        /* Ascending: at the next start they are in that order in the catalogue, and the log is readable. */
        qsort(numbers, n, sizeof(*numbers), number_compare);
        free(l->scan);
        l->scan = TAKE_PTR(numbers);
        l->scan_size = n;
        l->scan_at = 0;
        return 0;
}

void library_scan_reset(Library *l) {
        free(l->scan);
        l->scan = NULL;
        l->scan_size = l->scan_at = 0;
        library_ahead_reset(l);
}

static bool same_directory(const struct stat *a, const struct stat *b) {
        return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

bool library_in_place(const Library *l) {
        struct stat held, found;

        return fstat(l->dir_fd, &held) == 0 && stat(l->path, &found) == 0 && same_directory(&held, &found);
}

/* error: why the path can't be opened. GONE, -errno. */
static int lose_directory(Library *l, int error) {
        int r;

        if (l->gone)
                return LIBRARY_GONE;
        /* Whatever is no directory will do, and this one is at hand. */
        if (dup3(l->inotify_fd, l->dir_fd, O_CLOEXEC) < 0)
                return -errno;
        l->n_directories++;
        library_watch_stop(l);
        l->gone = true;
        /* That of the library went with it; another one may be left. */
        r = library_refresh_index(l);
        library_withdraw_all(l);
        if (l->handler.directory)
                l->handler.directory(l->path, error, l->handler.userdata);
        return r < 0 ? r : LIBRARY_GONE;
}

/* In place: readers in other threads see the one or the other. */
static int take_over(Library *l, int fd) {
        int r;

        if (dup3(fd, l->dir_fd, O_CLOEXEC) < 0)
                return -errno;
        l->n_directories++;
        r = library_watch_start(l);
        if (r < 0)
                return r;
        l->gone = false;
        if (l->handler.directory)
                l->handler.directory(l->path, 0, l->handler.userdata);
        return 0;
}

/*
 * The library is what is at the path. Each scan looks, since not all that can happen to a directory is told by a
 * watch.
 */
static int follow_path(Library *l) {
        struct stat held, found;
        int fd, r;

        r = library_open_directory(l->path, /* make= */ false, &fd);
        if (r == -ENOMEM || r == -EMFILE || r == -ENFILE)
                return r;
        if (r < 0)
                return lose_directory(l, r);
        /* Without a watch an earlier attempt came to nothing. */
        if (fstat(fd, &found) < 0 || fstat(l->dir_fd, &held) < 0)
                r = -errno;
        else if (l->watch < 0 || !same_directory(&held, &found))
                r = take_over(l, fd);
        (void) close(fd);
        return r;
}

static int scan_start(Library *l) {
        int r = follow_path(l);

        if (r == 0)
                r = library_refresh_index(l);
        return r == 0 ? list_directory(l) : r;
}

/*
 * What is known, from before or out of the catalogue, and was not listed: gone, or came and was seen by the watch
 * since.
 */
static int scan_finish(Library *l) {
        LibraryDocument *d, *next;
        int r;

        for (d = library_first(l); d; d = next) {
                next = library_next(d);
                if (d->seen == l->scan_serial)
                        continue;
                r = library_check(l, d->number);
                if (r < 0)
                        return r;
        }
        library_scan_reset(l);
        return 0;
}

static int scan_slice(Library *l, usec_t budget) {
        const usec_t until = usec_add(monotonic_read(), budget);
        int r;

        if (!l->scan) {
                r = scan_start(l);
                if (r != 0)
                        return r;
        }
        while (l->scan_at < l->scan_size) {
                LibraryDocument *d;

                library_ahead_go(l, until);
                r = library_check(l, l->scan[l->scan_at]);
                if (r < 0)
                        return r;
                d = library_find(l, l->scan[l->scan_at++]);
                if (d)
                        d->seen = l->scan_serial;
                if (monotonic_read() >= until)
                        return LIBRARY_MORE;
        }
        return scan_finish(l);
}

int library_scan(Library *l, usec_t budget) {
        int r = scan_slice(l, budget);

        library_flush(l);
        return r;
}
