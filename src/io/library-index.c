/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The editor's rfc-index.txt: read from where the administrator put it, or as it came from another peer. An absolute path
 * is not looked up in the directory of the library, so all of them are read alike.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "io/library-private.h"
#include "io/write-all.h"

/* It is read as what it says, and hashed as a document that others may ask for. */
typedef struct MetaIntake {
        RfcMeta *meta;                  /* owned */
        LibraryIntake intake;
} MetaIntake;

static void meta_intake_done(MetaIntake *m) {
        (void) rfc_meta_free(m->meta);
        library_intake_done(&m->intake);
}

static int meta_intake_init(MetaIntake *m) {
        int r = library_intake_init(&m->intake);

        return r < 0 ? r : rfc_meta_new(&m->meta);
}

static int feed_meta(Slice bytes, void *userdata) {
        MetaIntake *m = userdata;
        int r = library_intake_feed(&m->intake, bytes);

        return r < 0 ? r : rfc_meta_feed(m->meta, bytes);
}

static int meta_intake_hash(MetaIntake *m, Digest *ret_digest) {
        _cleanup_free_ char *title = NULL;

        return library_intake_finish(&m->intake, ret_digest, &title);
}

/* ---- the one that counts ---- */

/* NULL: there is none. The worker's own view: it alone changes own_index. */
static const char *index_name(const Library *l, LibraryIndexOrigin origin) {
        return origin == LIBRARY_INDEX_NAMED  ? l->own_index :
               origin == LIBRARY_INDEX_STORED ? LIBRARY_INDEX_NAME :
                                                l->fetched_index;
}

/* Takes info->meta. info NULL: there is none of use. */
static void index_replace(Library *l, const LibraryIndexInfo *info, RfcMeta *meta) {
        _cleanup_(rfc_meta_free_p) RfcMeta *before = l->meta;   /* others may read it until they are told */

        l->meta = meta;
        l->meta_origin = info ? info->origin : LIBRARY_INDEX_STORED;
        l->meta_stamp = info ? info->stamp : (LibraryStamp){ 0 };
        if (l->handler.editor_index && (meta || before))
                l->handler.editor_index(info, l->handler.userdata);
}

/* 0: it counts, and is read; else as library_read(), GONE also where it is of no use. */
static int refresh_from(Library *l, LibraryIndexOrigin origin, const char *name) {
        _cleanup_(meta_intake_done) MetaIntake intake = { 0 };
        LibraryReading reading = { .name = name, .max_size = RFC_META_BYTES_MAX, .feed = feed_meta, .userdata = &intake };
        LibraryIndexInfo info = { .origin = origin };
        int r;

        r = library_look(l, &reading);
        if (r == 0 && l->meta && l->meta_origin == origin && library_stamp_equal(&l->meta_stamp, &reading.stamp))
                return 0;
        if (r == 0) {
                r = meta_intake_init(&intake);
                if (r < 0)
                        return r;
                r = library_read(l, &reading);
        }
        if (r == 0)
                r = meta_intake_hash(&intake, &info.digest);
        if (r == 0) {
                r = rfc_meta_end(intake.meta);
                r = r > 0 ? LIBRARY_READ_GONE : r;     /* nothing of use in it */
        }
        if (r == LIBRARY_READ_UNFIT && reading.error == -EFBIG) {
                reading.complaint.why = "is bigger than 64 MiB";        /* RFC_META_BYTES_MAX */
                reading.error = 0;
        }
        if (r == LIBRARY_READ_UNFIT) {
                library_complain(l, &l->meta_complaints[origin], name, &reading.complaint, reading.error);
                library_missed_unfit(l, reading.error);
        } else if (r >= 0)
                l->meta_complaints[origin] = (LibraryComplaint){ 0 };
        if (r != 0)
                return r;
        info.stamp = reading.stamp;
        info.meta = intake.meta;
        index_replace(l, &info, TAKE_PTR(intake.meta));
        return 0;
}

int library_refresh_index(Library *l) {
        for (LibraryIndexOrigin origin = 0; origin < _LIBRARY_INDEX_ORIGIN_MAX; origin++) {
                const char *name = index_name(l, origin);
                int r = name ? refresh_from(l, origin, name) : LIBRARY_READ_GONE;

                /* Being written: the one that is held serves until it is closed. */
                if (r <= 0 || r == LIBRARY_READ_CHANGED)
                        return MIN_OF(r, 0);
        }
        index_replace(l, NULL, NULL);
        return 0;
}

int library_set_own_index(Library *l, const char *path) {
        char *copy = path ? strdup(path) : NULL, *before;

        if (path && !copy)
                return -ENOMEM;
        pthread_mutex_lock(&l->index_lock);
        before = l->own_index;
        l->own_index = copy;
        pthread_mutex_unlock(&l->index_lock);
        free(before);
        return 0;
}

int library_open_editor_index(Library *l, LibraryIndexOrigin origin, const LibraryStamp *stamp, int *ret_fd) {
        _cleanup_free_ char *named = NULL;

        if (origin != LIBRARY_INDEX_NAMED)
                return library_open_stamped(l, index_name(l, origin), stamp, ret_fd);
        pthread_mutex_lock(&l->index_lock);
        const bool has = l->own_index;
        if (has)
                named = strdup(l->own_index);
        pthread_mutex_unlock(&l->index_lock);
        if (!named)
                return has ? -ENOMEM : LIBRARY_NONE;
        return library_open_stamped(l, named, stamp, ret_fd);
}

/* ---- fetching one ---- */

struct LibraryIndexFile {
        Library *library;
        uint64_t size, received;
        Digest digest;
        int fd;
        char *temporary;                /* owned; is there while it is set */
        MetaIntake intake;
        bool finished;
};

int library_index_begin(Library *l, uint64_t size, const Digest *digest, LibraryIndexFile **ret) {
        _cleanup_(library_index_abort_p) LibraryIndexFile *f = NULL;
        int r;

        if (!l->fetched_index)
                return -ENOENT;
        if (size > RFC_META_BYTES_MAX)
                return -EFBIG;
        f = calloc(1, sizeof(*f));
        if (!f)
                return -ENOMEM;
        f->library = l;
        f->size = size;
        f->digest = *digest;
        f->fd = -1;
        r = meta_intake_init(&f->intake);
        if (r < 0)
                return r;
        if (asprintf(&f->temporary, "%s.new", l->fetched_index) < 0) {
                f->temporary = NULL;
                return -ENOMEM;
        }
        /* One that a crash left is written over. */
        f->fd = open(f->temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);
        if (f->fd < 0)
                return -errno;
        *ret = TAKE_PTR(f);
        return 0;
}

LibraryIndexFile *library_index_abort(LibraryIndexFile *f) {
        if (!f)
                return NULL;
        if (f->fd >= 0)
                (void) close(f->fd);
        if (f->temporary && f->fd >= 0)
                (void) unlink(f->temporary);    /* else the next one is written over it */
        free(f->temporary);
        meta_intake_done(&f->intake);
        free(f);
        return NULL;
}

int library_index_write(LibraryIndexFile *f, Slice bytes) {
        int r;

        assert(!f->finished);
        if (bytes.size > f->size - f->received)
                return LIBRARY_MISMATCH;
        r = feed_meta(bytes, &f->intake);
        if (r < 0)
                return r;
        f->received += bytes.size;
        return write_all(f->fd, bytes);
}

int library_index_finish(LibraryIndexFile *f, Digest *ret_digest) {
        int r = meta_intake_hash(&f->intake, ret_digest);

        if (r < 0)
                return r;
        if (f->received != f->size || !digest_equal(ret_digest, &f->digest))
                return LIBRARY_MISMATCH;
        r = rfc_meta_end(f->intake.meta);
        if (r != 0)
                return r < 0 ? r : LIBRARY_NONE;
        f->finished = true;
        return 0;
}

const RfcMeta *library_index_meta(const LibraryIndexFile *f) {
        return f->finished ? f->intake.meta : NULL;
}

/* The directory, so that the new name outlives a crash. */
static int flush_directory_of(const char *path) {
        _cleanup_free_ char *directory = strdup(path);
        char *slash = directory ? strrchr(directory, '/') : NULL;
        int fd, r;

        if (!directory)
                return -ENOMEM;
        if (slash)
                slash[slash == directory] = '\0';
        fd = open(slash ? directory : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        r = fsync(fd) < 0 ? -errno : 0;
        (void) close(fd);
        return r;
}

static int make_durable(LibraryIndexFile *f, LibraryStamp *ret) {
        struct stat st;

        if (fchmod(f->fd, 0644) < 0 || fsync(f->fd) < 0 || fstat(f->fd, &st) < 0 ||
            rename(f->temporary, f->library->fetched_index) < 0)
                return -errno;
        free(f->temporary);
        f->temporary = NULL;
        *ret = library_stamp(&st);
        return flush_directory_of(f->library->fetched_index);
}

int library_index_commit(LibraryIndexFile *file) {
        _cleanup_(library_index_abort_p) LibraryIndexFile *f = file;
        Library *l = f->library;
        LibraryIndexInfo info = { .origin = LIBRARY_INDEX_FETCHED, .digest = f->digest, .meta = f->intake.meta };
        int r;

        assert(f->finished);
        r = make_durable(f, &info.stamp);
        if (r < 0)
                return r;
        if (l->meta && l->meta_origin != LIBRARY_INDEX_FETCHED)
                return 0;
        index_replace(l, &info, TAKE_PTR(f->intake.meta));
        return LIBRARY_MORE;
}
