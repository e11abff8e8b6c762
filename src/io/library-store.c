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

/* Is what has that name the damaged file still? Somebody may have put a good one there meanwhile. */
static bool is_damaged_file(const LibraryFile *f, const char *name) {
        const LibraryDocument *d = library_find(f->library, f->number);
        LibraryReading reading = { .name = name, .max_size = UINT64_MAX };

        return d && d->damaged && library_look(f->library, &reading) == 0 &&
                library_stamp_equal(&reading.stamp, &d->damaged_stamp);
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
        int r = f->temporary[0] == '\0' ? give_temporary_name(f) : 0;

        if (r < 0)
                return r;
        if (!is_damaged_file(f, name))
                return publish_named(f, name);
        r = exchange(f, name);
        if (r == 0 && !is_damaged_file(f, f->temporary)) {
                r = exchange(f, name);
                return r < 0 ? r : -EEXIST;
        }
        return r;
}

/* What somebody put there in the meantime stays; is it a document, then that is the one we hold. */
static int accept_other(Library *l, uint32_t number) {
        const LibraryDocument *d;
        int r;

        r = library_check(l, number);
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
        /* Others may read the library, whatever the umask; before the flush, and before it has a name. */
        if (fstat(f->fd, &st) < 0)
                return -errno;
        return (st.st_mode & 07777) == 0644 || fchmod(f->fd, 0644) == 0 ? 0 : -errno;
}

static size_t count_good(const LibraryCommit *commits, size_t n) {
        size_t good = 0;

        for (size_t i = 0; i < n; i++)
                good += commits[i].result == 0;
        return good;
}

/*
 * One syncfs() is one flush of the disk, however many files there are; n times fsync() are n, even where the first has
 * brought all to disk. It also writes what others have put on the file system, so a single file is better off without.
 * What it reports may have been anybody's error: then each file is asked for its own.
 */
static void flush_all(int dir_fd, LibraryCommit *commits, size_t n) {
        if (count_good(commits, n) > 1 && syncfs(dir_fd) == 0)
                return;
        for (size_t i = 0; i < n; i++)
                if (commits[i].result == 0 && fsync(commits[i].file->fd) < 0)
                        commits[i].result = -errno;
}

/* Under its name, on disk already but for that. */
static int name_file(LibraryCommit *c) {
        char name[RFC_FILE_NAME_SIZE];
        struct stat st;
        int r;

        if (fstat(c->file->fd, &st) < 0)
                return -errno;
        file_name(c->file, name);
        r = c->file->repairs ? publish_repaired(c->file, name) : publish(c->file, name);
        if (r < 0)
                return r;
        c->stamp = library_stamp(&st);
        return 0;
}

/* The names themselves. */
static void flush_names(int dir_fd, LibraryCommit *commits, size_t n) {
        char name[RFC_FILE_NAME_SIZE];
        int r;

        if (count_good(commits, n) == 0 || fsync(dir_fd) == 0)
                return;
        r = -errno;
        for (size_t i = 0; i < n; i++)
                if (commits[i].result == 0) {
                        file_name(commits[i].file, name);
                        /* Who was told of an error must not find it later; what was damaged comes back. */
                        if (commits[i].file->temporary[0] == '\0' || exchange(commits[i].file, name) < 0)
                                (void) unlinkat(dir_fd, name, 0);
                        commits[i].result = r;
                }
}

static int adopt(Library *l, LibraryCommit *c) {
        LibraryFile *f = c->file;

        if (c->result == -EEXIST && f->number != LIBRARY_EDITOR_INDEX)
                return accept_other(l, f->number);
        if (c->result != 0)
                return c->result;
        if (f->number == LIBRARY_EDITOR_INDEX)
                return library_refresh_index(l);
        return library_adopt(l, f->number, &c->stamp, &c->found, c->title ? TAKE_PTR(c->title) : TAKE_PTR(f->title));
}

void library_store_commit_all(Library *l, LibraryCommit *commits, size_t n) {
        for (size_t i = 0; i < n; i++)
                commits[i].result = verify(&commits[i]);
        flush_all(l->dir_fd, commits, n);
        for (size_t i = 0; i < n; i++)
                if (commits[i].result == 0)
                        commits[i].result = name_file(&commits[i]);
        flush_names(l->dir_fd, commits, n);
        for (size_t i = 0; i < n; i++) {
                commits[i].result = adopt(l, &commits[i]);
                free(commits[i].title);
                commits[i].title = NULL;
                commits[i].file = library_store_abort(commits[i].file);
        }
        library_flush(l);
}

int library_store_commit(LibraryFile *f, Digest *ret_digest) {
        LibraryCommit c = { .file = f };

        library_store_commit_all(f->library, &c, 1);
        if (ret_digest && (c.result == 0 || c.result == LIBRARY_MISMATCH))
                *ret_digest = c.found;
        return c.result;
}
