/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "core/proto.h"
#include "io/library-private.h"
#include "io/write-all.h"

/*
 * Names tried for a temporary file, where there is no O_TMPFILE: more fetches of one document at a time don't happen.
 */
#define TEMPORARY_TRIES 100
/* From here on space is reserved. Writing less than that takes no longer than asking for it. */
#define RESERVE_MIN (UINT64_C(1) << 20)
#define TEMPORARY_NAME_SIZE (sizeof(LIBRARY_TEMPORARY_PREFIX) + sizeof("2147483647-99"))

struct LibraryFile {
        Library *library;
        uint32_t number;
        uint64_t size, received;
        Digest digest;                  /* promised */
        char *title;                    /* said; NULL: nothing of use */
        LibraryIntake intake;
        bool repairs;                   /* takes the place of a damaged file */
        int fd;
        char temporary[TEMPORARY_NAME_SIZE];    /* "": an O_TMPFILE */
};

static void file_name(const LibraryFile *f, char ret[RFC_FILE_NAME_SIZE]) {
        if (f->number == LIBRARY_EDITOR_INDEX)
                memcpy(ret, LIBRARY_INDEX_NAME, sizeof(LIBRARY_INDEX_NAME));
        else
                rfc_number_to_file_name(f->number, ret);
}

static int open_named(LibraryFile *f) {
        for (unsigned i = 0; i < TEMPORARY_TRIES; i++) {
                char name[TEMPORARY_NAME_SIZE];

                (void) snprintf(name, sizeof(name), LIBRARY_TEMPORARY_PREFIX "%u-%u", (unsigned) f->number, i);
                f->fd = openat(f->library->dir_fd, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
                if (f->fd >= 0) {
                        memcpy(f->temporary, name, sizeof(name));
                        return 0;
                }
                if (errno != EEXIST)
                        return -errno;
        }
        return -EEXIST;
}

static int open_temporary(LibraryFile *f) {
        f->fd = openat(f->library->dir_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0644);
        if (f->fd >= 0)
                return 0;
        /* NFS, overlay on some, old FUSE: each has its own way to say that it can't. */
        return errno == EOPNOTSUPP || errno == EISDIR || errno == ENOENT || errno == EINVAL ? open_named(f) : -errno;
}

/*
 * So that a full disk is known before the transfer, not at its end. Not every file system can; writing tells in that
 * case.
 */
static int reserve(int fd, uint64_t size) {
        if (size < RESERVE_MIN || fallocate(fd, 0, 0, (off_t) size) == 0)
                return 0;
        return errno == ENOSPC || errno == EDQUOT || errno == EFBIG || errno == EIO ? -errno : 0;
}

static int keep_title(LibraryFile *f, Slice title) {
        _cleanup_buf_ Buf b = BUF_INIT(PROTO_TITLE_MAX);
        int r;

        r = rfc_title_clean(title, &b);
        if (r < 0)
                return r;
        if (r == 0 && b.size > 0) {
                f->title = strndup(b.data, b.size);
                if (!f->title)
                        return -ENOMEM;
        }
        return 0;
}

int library_store_begin(Library *l, uint32_t number, uint64_t size, const Digest *digest, Slice title,
                        LibraryFile **ret) {
        _cleanup_(library_store_abort_p) LibraryFile *f = NULL;
        const LibraryDocument *d;
        int r;

        if (size > (number == LIBRARY_EDITOR_INDEX ? RFC_META_BYTES_MAX : l->max_file_size))
                return -EFBIG;
        if (l->gone)
                return -ENOENT;
        d = library_find(l, number);
        if (d && d->damaged && !d->repairing)
                return -EUCLEAN;
        f = calloc(1, sizeof(*f));
        if (!f)
                return -ENOMEM;
        l->n_files++;
        l->reserved += size;
        f->library = l;
        f->number = number;
        f->size = size;
        f->digest = *digest;
        f->repairs = d && d->damaged;
        f->fd = -1;
        r = keep_title(f, title);
        if (r == 0)
                r = library_intake_init(&f->intake);
        if (r == 0)
                r = open_temporary(f);
        if (r == 0)
                r = reserve(f->fd, size);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(f);
        return 0;
}

LibraryFile *library_store_abort(LibraryFile *f) {
        if (!f)
                return NULL;
        if (f->temporary[0] != '\0')
                (void) unlinkat(f->library->dir_fd, f->temporary, 0);   /* else the next scan does it */
        if (f->fd >= 0)
                (void) close(f->fd);
        library_intake_done(&f->intake);
        f->library->n_files--;
        f->library->reserved -= f->size;
        free(f->title);
        free(f);
        return NULL;
}

int library_store_write(LibraryFile *f, Slice bytes) {
        int r;

        if (bytes.size > f->size - f->received)
                return LIBRARY_MISMATCH;
        r = library_intake_feed(&f->intake, bytes);
        if (r < 0)
                return r;
        f->received += bytes.size;
        return write_all(f->fd, bytes);
}

static int publish_named(LibraryFile *f, const char *name) {
        const int dir_fd = f->library->dir_fd;

        if (renameat2(dir_fd, f->temporary, dir_fd, name, RENAME_NOREPLACE) < 0) {
                if (errno != EINVAL && errno != ENOSYS)
                        return -errno;
                /* The temporary name goes with the abort. */
                return linkat(dir_fd, f->temporary, dir_fd, name, 0) < 0 ? -errno : 0;
        }
        f->temporary[0] = '\0';
        return 0;
}

/* Under its name, if nothing has that name by now. 0, -EEXIST, -errno. */
static int publish(LibraryFile *f, const char *name) {
        char path[sizeof("/proc/self/fd/") + 10];

        if (f->temporary[0] != '\0')
                return publish_named(f, name);
        /* AT_EMPTY_PATH would need CAP_DAC_READ_SEARCH. */
        (void) snprintf(path, sizeof(path), "/proc/self/fd/%d", f->fd);
        return linkat(AT_FDCWD, path, f->library->dir_fd, name, AT_SYMLINK_FOLLOW) < 0 ? -errno : 0;
}

/* A dot-name for an O_TMPFILE. */
static int give_temporary_name(LibraryFile *f) {
        for (unsigned i = 0; i < TEMPORARY_TRIES; i++) {
                char name[TEMPORARY_NAME_SIZE];
                int r;

                (void) snprintf(name, sizeof(name), LIBRARY_TEMPORARY_PREFIX "%u-%u", (unsigned) f->number, i);
                r = publish(f, name);
                if (r == 0)
                        memcpy(f->temporary, name, sizeof(name));
                if (r != -EEXIST)
                        return r;
        }
        return -EEXIST;
}

/* Is what has that name the damaged file still? Somebody may have put a good one there meanwhile. 0, -errno. */
static int look_for_damaged(const LibraryFile *f, const char *name, bool *ret) {
        const LibraryDocument *d = library_find(f->library, f->number);
        LibraryReading reading = { .name = name, .max_size = UINT64_MAX };
        int r;

        *ret = false;
        if (!d || !d->damaged)
                return 0;
        r = library_look(f->library, &reading);
        if (r == LIBRARY_READ_UNFIT)
                r = reading.error;
        *ret = r == 0 && library_stamp_equal(&reading.stamp, &d->damaged_stamp);
        return MIN_OF(r, 0);
}

static int exchange(const LibraryFile *f, const char *name) {
        const int dir_fd = f->library->dir_fd;

        return renameat2(dir_fd, f->temporary, dir_fd, name, RENAME_EXCHANGE) < 0 ? -errno : 0;
}

/*
 * The good file gets the name and the damaged one the dot-name, in one step: so it can be looked at which one it was,
 * and it is there until the good one is on disk. It goes with the dot-name, at the end.
 */
static int publish_repaired(LibraryFile *f, const char *name) {
        bool is_damaged = false;
        int r, undone;

        r = f->temporary[0] == '\0' ? give_temporary_name(f) : 0;
        if (r == 0)
                r = look_for_damaged(f, name, &is_damaged);
        if (r < 0)
                return r;
        if (!is_damaged)
                return publish_named(f, name);
        r = exchange(f, name);
        if (r < 0)
                return r;
        r = look_for_damaged(f, f->temporary, &is_damaged);
        if (is_damaged)
                return 0;
        undone = exchange(f, name);
        if (undone < 0)
                return undone;
        return r < 0 ? r : -EEXIST;
}

/* What somebody put there in the meantime stays; is it a document, then that is the one we hold. */
static int accept_other(Library *l, uint32_t number) {
        LibraryDocument *d = library_find(l, number);
        int r;

        if (d)
                d->publishing = false;  /* it may be another one of ours: whole, and on disk but for its name */
        r = library_missed(l, library_check(l, number));
        if (r < 0)
                return r;
        d = library_find(l, number);
        return d && d->announced ? 0 : -EEXIST;
}

/* ---- committing: all are brought through each step together, so that a step that waits for the disk does so once ---- */

/* Are they the bytes that were promised? What they gave is known in any case. */
static int verify(LibraryCommit *c) {
        LibraryFile *f = c->file;
        struct stat st;
        int r;

        r = library_intake_finish(&f->intake, &c->found, &c->title);
        if (r < 0)
                return r;
        if (f->received != f->size || !digest_equal(&c->found, &f->digest))
                return LIBRARY_MISMATCH;
        if (fstat(f->fd, &st) < 0)
                return -errno;
        c->stamp = library_stamp(&st);
        /* Others may read the library, whatever the umask; before the flush, and before it has a name. */
        return (st.st_mode & 07777) == 0644 || fchmod(f->fd, 0644) == 0 ? 0 : -errno;
}

void library_store_prepare(LibraryCommit *commits, size_t n) {
        for (size_t i = 0; i < n; i++)
                commits[i].result = verify(&commits[i]);
}

/* The first that got so far; NULL: none. *ret_n: how many did. */
static const LibraryCommit *find_good(const LibraryCommit *commits, size_t n, size_t *ret_n) {
        const LibraryCommit *first = NULL;

        *ret_n = 0;
        for (size_t i = 0; i < n; i++)
                if (commits[i].result == 0 && (*ret_n)++ == 0)
                        first = &commits[i];
        return first;
}

/*
 * One syncfs() is one flush of the disk, however many files there are; n times fsync() are n, even where the first has
 * brought all to disk. It also writes what others have put on the file system, so a single file is better off without.
 * What it reports may have been anybody's error: then each file is asked for its own. It is asked of a file, since the
 * directory's descriptor may be none of a directory by now.
 */
static void flush_bytes(LibraryCommit *commits, size_t n) {
        size_t n_good;
        const LibraryCommit *good = find_good(commits, n, &n_good);

        if (n_good > 1 && syncfs(good->file->fd) == 0)
                return;
        for (size_t i = 0; i < n; i++)
                if (commits[i].result == 0 && fsync(commits[i].file->fd) < 0)
                        commits[i].result = -errno;
}

static void flush_names(int dir_fd, LibraryCommit *commits, size_t n) {
        int r = fsync(dir_fd) < 0 ? -errno : 0;

        for (size_t i = 0; i < n; i++)
                if (commits[i].result == 0)
                        commits[i].result = r;
}

void library_store_flush(const Library *l, LibraryCommit *commits, size_t n) {
        size_t n_good;
        const LibraryCommit *good = find_good(commits, n, &n_good);

        if (good && good->published)
                flush_names(l->dir_fd, commits, n);
        else
                flush_bytes(commits, n);
}

/* Under its name, on disk already but for that. Until it is adopted nobody looks what it is. */
static int name_file(Library *l, LibraryCommit *c) {
        LibraryDocument *d;
        char name[RFC_FILE_NAME_SIZE];
        int r;

        file_name(c->file, name);
        r = c->file->repairs ? publish_repaired(c->file, name) : publish(c->file, name);
        if (r < 0)
                return r;
        c->published = true;
        c->directory = l->n_directories;
        if (c->file->number == LIBRARY_EDITOR_INDEX)
                return 0;
        r = library_obtain(l, c->file->number, &d);
        if (r == 0)
                d->publishing = true;
        return r;
}

void library_store_publish(Library *l, LibraryCommit *commits, size_t n) {
        for (size_t i = 0; i < n; i++)
                if (commits[i].result == 0)
                        commits[i].result = name_file(l, &commits[i]);
}

/* Who was told of an error must not find it later; what was damaged comes back. */
static void take_back(Library *l, const LibraryCommit *c) {
        char name[RFC_FILE_NAME_SIZE];

        if (c->directory != l->n_directories)
                return;
        file_name(c->file, name);
        if (c->file->temporary[0] == '\0' || exchange(c->file, name) < 0)
                (void) unlinkat(l->dir_fd, name, 0);
}

/* Somebody may have moved or removed it, or the library, while the disk was waited for. -EIO: that can't be told. */
static int is_still_there(const Library *l, const LibraryCommit *c, bool *ret) {
        char name[RFC_FILE_NAME_SIZE];
        LibraryReading reading = { .name = name, .max_size = UINT64_MAX };

        file_name(c->file, name);
        int r = library_look(l, &reading);
        if (r == LIBRARY_READ_UNFIT && reading.error == -EIO)
                return reading.error;
        *ret = r == 0 && c->directory == l->n_directories && library_stamp_equal(&reading.stamp, &c->stamp);
        return 0;
}

/* It is not, or must not be: what there is instead counts, or nothing. */
static int withdraw(Library *l, const LibraryCommit *c) {
        int r;

        if (c->result < 0)
                take_back(l, c);
        r = c->file->number == LIBRARY_EDITOR_INDEX ? 0 : library_missed(l, library_check(l, c->file->number));
        return c->result < 0 ? c->result : r < 0 ? r : -ENOENT;
}

static int adopt(Library *l, LibraryCommit *c) {
        LibraryFile *f = c->file;
        LibraryDocument *d = c->published ? library_find(l, f->number) : NULL;

        if (d)
                d->publishing = false;
        if (!c->published)
                return c->result == -EEXIST && f->number != LIBRARY_EDITOR_INDEX ? accept_other(l, f->number) : c->result;
        bool there = false;
        if (c->result == 0)
                c->result = is_still_there(l, c, &there);
        if (c->result < 0 || !there)
                return withdraw(l, c);
        if (f->number == LIBRARY_EDITOR_INDEX)
                return library_missed(l, library_refresh_index(l));
        return library_missed(l, library_adopt(l, f->number, &c->stamp, &c->found,
                                               c->title ? TAKE_PTR(c->title) : TAKE_PTR(f->title)));
}

void library_store_finish(Library *l, LibraryCommit *commits, size_t n) {
        for (size_t i = 0; i < n; i++) {
                commits[i].result = adopt(l, &commits[i]);
                library_commit_done(&commits[i]);
        }
        library_flush(l);
}

void library_commit_done(LibraryCommit *c) {
        free(c->title);
        c->title = NULL;
        c->file = library_store_abort(c->file);
}

void library_store_commit_all(Library *l, LibraryCommit *commits, size_t n) {
        library_store_prepare(commits, n);
        library_store_flush(l, commits, n);
        library_store_publish(l, commits, n);
        library_store_flush(l, commits, n);
        library_store_finish(l, commits, n);
}

int library_store_commit(LibraryFile *f, Digest *ret_digest) {
        LibraryCommit c = { .file = f };

        library_store_commit_all(f->library, &c, 1);
        if (ret_digest && (c.result == 0 || c.result == LIBRARY_MISMATCH))
                *ret_digest = c.found;
        return c.result;
}
