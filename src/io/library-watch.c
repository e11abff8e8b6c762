/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "io/library-private.h"

#define WATCH_MASK                                                                                                     \
        (IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_CREATE | IN_DELETE | IN_ATTRIB | IN_DELETE_SELF |           \
         IN_MOVE_SELF | IN_ONLYDIR)
/*
 * Of the directory above, which alone tells of a removed one: its own IN_DELETE_SELF does not come before the last
 * descriptor is closed, and dir_fd is one.
 */
#define PARENT_WATCH_MASK (IN_DELETE | IN_ONLYDIR | IN_MASK_ADD)
/* Some 85 events at a time; the rest stays readable, so that a big copy does not hold up the disk worker. */
#define EVENTS_SIZE 4096

static void replace_watch(Library *l, int *watch, int fresh) {
        if (*watch >= 0 && *watch != fresh)
                (void) inotify_rm_watch(l->inotify_fd, *watch);         /* is gone by itself with a removed directory */
        *watch = fresh;
}

void library_watch_stop(Library *l) {
        replace_watch(l, &l->watch, -1);
        replace_watch(l, &l->parent_watch, -1);
}

int library_watch_start(Library *l) {
        char path[sizeof("/proc/self/fd//..") + 10];
        int watch, r;

        if (l->inotify_fd < 0) {
                l->inotify_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
                if (l->inotify_fd < 0)
                        return -errno;
        }
        /* By descriptor: what is at the path by now may be another directory. */
        (void) snprintf(path, sizeof(path), "/proc/self/fd/%d", l->dir_fd);
        watch = inotify_add_watch(l->inotify_fd, path, WATCH_MASK);
        if (watch < 0) {
                /*
                 * "No space left on device" would send people to the wrong place: it is the limit of watches per
                 * user.
                 */
                r = errno == ENOSPC ? -EMFILE : -errno;
                library_watch_stop(l);
                return r;
        }
        replace_watch(l, &l->watch, watch);
        /* It may be unreadable for us: then a removed library is noticed by the next scan only. */
        (void) snprintf(path, sizeof(path), "/proc/self/fd/%d/..", l->dir_fd);
        replace_watch(l, &l->parent_watch, inotify_add_watch(l->inotify_fd, path, PARENT_WATCH_MASK));
        return 0;
}

int library_watch_fd(const Library *l) {
        return l->inotify_fd;
}

/* "rfcN.json" */
static bool number_from_json_name(Slice name, uint32_t *ret) {
        const Slice suffix = SLICE_LITERAL(".json");
        char text[RFC_FILE_NAME_SIZE];
        size_t stem;

        if (name.size <= suffix.size || name.size - suffix.size + sizeof(".txt") > sizeof(text))
                return false;
        stem = name.size - suffix.size;
        if (memcmp(name.data + stem, suffix.data, suffix.size) != 0)
                return false;
        memcpy(text, name.data, stem);
        memcpy(text + stem, ".txt", sizeof(".txt"));
        return rfc_number_from_file_name(slice_of(text), ret) == 0;
}

/* Of a file that was just made: see library_check_created(). */
static bool made_by_link(const Library *l, Slice name, uint64_t max_size) {
        LibraryReading reading = { .name = name.data, .max_size = max_size };

        return library_look(l, &reading) == 0 && reading.n_links > 1;
}

/*
 * A descriptor that was written to was closed, of a file that was linked from O_TMPFILE: the event names it "#INODE".
 */
static int check_unfinished(Library *l) {
        LibraryDocument *d, *next;
        int r;

        for (d = library_first(l); d && l->n_unfinished > 0; d = next) {
                next = library_next(d);
                if (!d->unfinished)
                        continue;
                r = library_check(l, d->number);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int watch_document(Library *l, uint32_t mask, uint32_t number) {
        const LibraryDocument *d;

        if (mask & IN_CREATE)
                return library_check_created(l, number);
        /* "cp -p" sets times and mode before it closes. */
        d = library_find(l, number);
        if ((mask & IN_ATTRIB) && d && d->unfinished)
                return 0;
        return library_check(l, number);
}

static int watch_event(Library *l, const struct inotify_event *event) {
        const Slice name = event->len > 0 ? slice_of(event->name) : (Slice){ NULL, 0 };
        uint32_t number;

        if (event->mask & IN_Q_OVERFLOW)
                return LIBRARY_MORE;
        if (event->wd == l->parent_watch && event->wd != l->watch)
                return (event->mask & IN_ISDIR) && !library_in_place(l) ? LIBRARY_MORE : 0;
        if (event->wd != l->watch)      /* of the directory that was left */
                return 0;
        if (event->mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT))
                return LIBRARY_MORE;
        if (rfc_number_from_file_name(name, &number) == 0)
                return watch_document(l, event->mask, number);
        if (number_from_json_name(name, &number))
                return !(event->mask & IN_CREATE) || made_by_link(l, name, LIBRARY_JSON_MAX)
                        ? library_check_title(l, number) : 0;
        if (slice_equal(name, SLICE_LITERAL(LIBRARY_INDEX_NAME)))
                return !(event->mask & IN_CREATE) || made_by_link(l, name, RFC_META_BYTES_MAX) ? LIBRARY_MORE : 0;
        if ((event->mask & IN_CLOSE_WRITE) && name.size > 0 && name.data[0] == '#')
                return check_unfinished(l);
        return 0;
}

static int watch_events(Library *l) {
        _Alignas(struct inotify_event) char events[EVENTS_SIZE];
        int result = 0, failed = 0;
        ssize_t n;

        n = read(l->inotify_fd, events, sizeof(events));
        if (n < 0)
                return errno == EAGAIN || errno == EINTR ? 0 : -errno;
        for (const char *p = events; p < events + n;) {
                const struct inotify_event *event = (const struct inotify_event *) (const void *) p;
                int r = watch_event(l, event);

                /* The others are not to be lost for one. */
                if (r < 0 && failed == 0)
                        failed = r;
                if (r > 0)
                        result = r;
                p += sizeof(*event) + event->len;
        }
        /* What could not be looked at now is looked at by a new scan. */
        if (result == LIBRARY_MORE || failed < 0)
                library_scan_reset(l);
        return failed < 0 ? failed : result;
}

int library_watch_process(Library *l) {
        int r = watch_events(l);

        library_flush(l);
        return r;
}
