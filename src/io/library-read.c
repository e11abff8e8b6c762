/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "core/proto.h"
#include "io/libcrypto.h"
#include "io/library-private.h"

#define CHUNK_SIZE ((size_t) 128 << 10)

/*
 * File times come from a clock that moves in steps of up to 10 ms (CONFIG_HZ=100; finer on some file systems since
 * Linux 6.13). Two writes within one step leave the same stamp, so a file that was hashed between them would pass
 * for unchanged ever after. Before a file that young is read, we wait until the clock has moved on: what is written
 * after that gives another stamp. (git marks such entries and reads them again the next time; here that would be
 * every document that was ever dropped into a running library.)
 */
#define STAMP_STEP_NSEC INT64_C(20000000)
#define NSEC_PER_SEC INT64_C(1000000000)

LibraryStamp library_stamp(const struct stat *st) {
        return (LibraryStamp){
                .device = (uint64_t) st->st_dev,
                .inode = (uint64_t) st->st_ino,
                .size = (uint64_t) st->st_size,
                .mtime_nsec = (int64_t) st->st_mtim.tv_sec * NSEC_PER_SEC + st->st_mtim.tv_nsec,
        };
}

/* ---- intake ---- */

int library_intake_init(LibraryIntake *i) {
        *i = (LibraryIntake){ .text = BUF_INIT(RFC_META_TEXT_SIZE) };
        return libcrypto_sha256_new(&i->hash);
}

void library_intake_done(LibraryIntake *i) {
        EVP_MD_CTX_free(i->hash);
        i->hash = NULL;
        buf_done(&i->text);
}

int library_intake_feed(LibraryIntake *i, Slice bytes) {
        if (bytes.size == 0)
                return 0;
        if (EVP_DigestUpdate(i->hash, bytes.data, bytes.size) != 1)
                return -EIO;
        return buf_append(&i->text, bytes.data, MIN_OF(bytes.size, i->text.max - i->text.size));
}

int library_intake_finish(LibraryIntake *i, Digest *ret_digest, char **ret_title) {
        _cleanup_buf_ Buf b = BUF_INIT(PROTO_TITLE_MAX);
        char *title = NULL;
        Digest digest;
        int r;

        if (EVP_DigestFinal_ex(i->hash, digest.bytes, NULL) != 1)
                return -EIO;
        r = rfc_title_from_text(buf_slice(&i->text), &b);
        if (r < 0)
                return r;
        if (r == 0 && b.size > 0) {
                title = strndup(b.data, b.size);
                if (!title)
                        return -ENOMEM;
        }
        *ret_digest = digest;
        *ret_title = title;
        return 0;
}

/* ---- reading ---- */

static int unfit(LibraryReading *reading, const LibraryStamp *stamp, const char *why, int error) {
        reading->complaint = (LibraryComplaint){ *stamp, why };
        reading->error = error;
        return LIBRARY_READ_UNFIT;
}

/* What an error of opening or reading says: about the file, unless this process has run out of something. */
static int file_error(LibraryReading *reading, const LibraryStamp *stamp, int error) {
        switch (error) {
        case ENOENT:
        case ENOTDIR:           /* the library is gone */
                return LIBRARY_READ_GONE;
        case ELOOP:
                return unfit(reading, stamp, "is a symbolic link", 0);
        case ENOMEM:
        case EMFILE:
        case ENFILE:
                return -error;
        default:
                return unfit(reading, stamp, "cannot be read", -error);
        }
}

static int judge(LibraryReading *reading, const struct stat *st) {
        const LibraryStamp stamp = library_stamp(st);

        if (S_ISLNK(st->st_mode))
                return unfit(reading, &stamp, "is a symbolic link", 0);
        if (!S_ISREG(st->st_mode))
                return unfit(reading, &stamp, "is not a regular file", 0);
        if (stamp.size > reading->max_size)
                return unfit(reading, &stamp, "is too big", -EFBIG);
        reading->stamp = stamp;
        reading->n_links = st->st_nlink;
        return 0;
}

int library_look(const Library *l, LibraryReading *reading) {
        const LibraryStamp none = { 0 };
        struct stat st;

        if (fstatat(l->dir_fd, reading->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return file_error(reading, &none, errno);
        return judge(reading, &st);
}

static void wait_for_next_stamp(const LibraryStamp *stamp) {
        struct timespec t;
        int64_t age;

        (void) clock_gettime(CLOCK_REALTIME, &t);       /* can't fail for this clock */
        age = (int64_t) t.tv_sec * NSEC_PER_SEC + t.tv_nsec - stamp->mtime_nsec;
        if (age < 0 || age >= STAMP_STEP_NSEC)
                return;
        t = (struct timespec){ .tv_nsec = (long) (STAMP_STEP_NSEC - age) };
        while (nanosleep(&t, &t) < 0 && errno == EINTR)
                ;
}

/* One byte more than the file had is enough to know that it grew. */
static int read_all(int fd, LibraryReading *reading) {
        _cleanup_free_ char *chunk = NULL;
        uint64_t total = 0;
        int r;

        chunk = malloc(CHUNK_SIZE);
        if (!chunk)
                return -ENOMEM;
        for (;;) {
                ssize_t n = read(fd, chunk, CHUNK_SIZE);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return file_error(reading, &reading->stamp, errno);
                if (n == 0)
                        return total == reading->stamp.size ? 0 : LIBRARY_READ_CHANGED;
                total += (uint64_t) n;
                if (total > reading->stamp.size)
                        return LIBRARY_READ_CHANGED;
                r = reading->feed((Slice){ chunk, (size_t) n }, reading->userdata);
                if (r < 0)
                        return r;
        }
}

static int read_open(int fd, LibraryReading *reading) {
        LibraryStamp before;
        struct stat st;
        int r;

        if (fstat(fd, &st) < 0)
                return -errno;
        r = judge(reading, &st);
        if (r != 0)
                return r;
        wait_for_next_stamp(&reading->stamp);
        /* Again, so that what was written during the wait is not taken for a change during the reading. */
        if (fstat(fd, &st) < 0)
                return -errno;
        r = judge(reading, &st);
        if (r != 0)
                return r;

        before = reading->stamp;
        /* What is not on disk yet stays in memory all the same; there is nothing to be done about it. */
        if (reading->from_disk)
                (void) posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
        r = read_all(fd, reading);
        if (r != 0)
                return r;
        if (fstat(fd, &st) < 0)
                return -errno;
        r = judge(reading, &st);
        if (r != 0)
                return r;
        return library_stamp_equal(&before, &reading->stamp) ? 0 : LIBRARY_READ_CHANGED;
}

int library_read(const Library *l, LibraryReading *reading) {
        int fd, r;

        /* Before the opening, which of a device or a FIFO has consequences. */
        r = library_look(l, reading);
        if (r != 0)
                return r;
        fd = openat(l->dir_fd, reading->name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        if (fd < 0)
                return file_error(reading, &reading->stamp, errno);
        r = read_open(fd, reading);
        (void) close(fd);
        return r;
}

static int feed_intake(Slice bytes, void *userdata) {
        return library_intake_feed(userdata, bytes);
}

int library_hash(const Library *l, LibraryReading *reading, Digest *ret_digest, char **ret_title) {
        _cleanup_(library_intake_done) LibraryIntake intake = { 0 };
        int r;

        r = library_intake_init(&intake);
        if (r < 0)
                return r;
        reading->feed = feed_intake;
        reading->userdata = &intake;
        r = library_read(l, reading);
        return r == 0 ? library_intake_finish(&intake, ret_digest, ret_title) : r;
}

static int feed_buf(Slice bytes, void *userdata) {
        Buf *b = userdata;
        int r = buf_append_slice(b, bytes);

        assert(r != BUF_FULL);          /* the size was judged before */
        return r;
}

int library_read_json(const Library *l, uint32_t number, LibraryStamp *stamp, char **title) {
        _cleanup_buf_ Buf content = BUF_INIT(LIBRARY_JSON_MAX), b = BUF_INIT(PROTO_TITLE_MAX);
        char name[sizeof("rfc2147483647.json")], *found = NULL;
        LibraryReading reading = { .name = name, .max_size = LIBRARY_JSON_MAX, .feed = feed_buf, .userdata = &content };
        int r;

        (void) snprintf(name, sizeof(name), "rfc%u.json", (unsigned) number);
        r = library_look(l, &reading);
        if (r != 0 || library_stamp_equal(&reading.stamp, stamp))
                return r;
        r = library_read(l, &reading);
        if (r != 0)
                return r;
        r = rfc_title_from_json(buf_slice(&content), &b);
        if (r < 0)
                return r;
        if (r == 0 && b.size > 0) {
                found = strndup(b.data, b.size);
                if (!found)
                        return -ENOMEM;
        }
        free(*title);
        *title = found;
        *stamp = reading.stamp;
        return 0;
}
