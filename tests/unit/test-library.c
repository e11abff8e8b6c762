/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <openssl/evp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "temp-dir.h"

#include "core/text.h"
#include "io/library.h"
#include "io/sqlite-util.h"

#define MAX_FILE_SIZE 100000
#define NOBODY 65534

typedef struct Fixture {
        char *directory;                /* of this test */
        char library_path[4100];
        char catalogue[4100];
        int fd;                         /* of the library */
        Library *library;
        Buf log;                        /* what the handler was told: "present 5 Title;", "gone 5;", "skipped …;" */
        LibraryStamp stamp;             /* of the last present */
        Digest digest;
        const RfcMeta *meta;            /* of the editor's index, as told last; NULL: none */
        LibraryIndexOrigin editor_origin;
        LibraryStamp editor_stamp;
        Digest editor_digest;
        mode_t umask;
        int present_error;              /* what the next present gives */
} Fixture;

/* ---- the handler ---- */

static int on_present(const LibraryEntry *e, void *userdata) {
        Fixture *f = userdata;

        assert_true(text_is_utf8(slice_of(e->title)));
        assert_int_equal(buf_printf(&f->log, "present %u %s;", e->number, e->title), 0);
        f->stamp = e->stamp;
        f->digest = e->digest;
        int r = f->present_error;
        f->present_error = 0;
        return r;
}

static void on_gone(uint32_t number, void *userdata) {
        Fixture *f = userdata;

        assert_int_equal(buf_printf(&f->log, "gone %u;", number), 0);
}

static void on_editor_index(const LibraryIndexInfo *info, void *userdata) {
        Fixture *f = userdata;
        Slice title;

        /* The one before is still whole. */
        if (f->meta)
                assert_true(rfc_meta_title(f->meta, 3005, &title) && text_is_utf8(title) && title.size > 5);
        f->meta = info ? info->meta : NULL;
        if (info) {
                assert_non_null(info->meta);
                f->editor_origin = info->origin;
                f->editor_stamp = info->stamp;
                f->editor_digest = info->digest;
        }
}

static void on_directory(const char *path, int error, void *userdata) {
        Fixture *f = userdata;

        assert_string_equal(path, f->library_path);
        assert_int_equal(buf_printf(&f->log, "directory %s;", error < 0 ? strerrorname_np(-error) : "there"), 0);
}

static void on_missed(void *userdata) {
        Fixture *f = userdata;

        assert_int_equal(buf_append_string(&f->log, "missed;"), 0);
}

static void on_skipped(const char *name, const char *why, int error, void *userdata) {
        Fixture *f = userdata;
        const char *base = strrchr(name, '/');

        assert_true(error <= 0);
        assert_int_equal(buf_printf(&f->log, "skipped %s %s;", base ? base + 1 : name, why), 0);
}

/* Compares, and forgets. */
static void assert_told(Fixture *f, const char *expected) {
        assert_int_equal(buf_append_char(&f->log, '\0'), 0);
        assert_string_equal(f->log.data, expected);
        buf_clear(&f->log);
}

/* ---- the surroundings ---- */

static int setup(void **state) {
        Fixture *f = calloc(1, sizeof(*f));

        assert_non_null(f);
        f->log = BUF_INIT(1 << 20);
        f->umask = umask(077);          /* as in the units */
        f->directory = temp_dir_make("library");
        (void) snprintf(f->library_path, sizeof(f->library_path), "%s/rfc", f->directory);
        (void) snprintf(f->catalogue, sizeof(f->catalogue), "%s/catalogue.db", f->directory);
        assert_int_equal(mkdir(f->library_path, 0755), 0);
        f->fd = open(f->library_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(f->fd >= 0);
        assert_int_equal(fchmod(f->fd, 0755), 0);
        *state = f;
        return 0;
}

static int teardown(void **state) {
        Fixture *f = *state;

        (void) library_free(f->library);
        (void) close(f->fd);
        (void) umask(f->umask);
        buf_done(&f->log);
        temp_dir_remove(f->directory);
        free(f);
        return 0;
}

static void scan(Fixture *f) {
        int r;

        do
                r = library_scan(f->library, USEC_PER_SEC);
        while (r == LIBRARY_MORE);
        assert_int_equal(r, 0);
}

/* A (new) daemon with the same directories, that did not look at them yet. */
static void start(Fixture *f, int expected) {
        const LibraryConf conf = {
                .path = f->library_path,
                .catalogue = f->catalogue,
                .max_file_size = MAX_FILE_SIZE,
        };
        const LibraryHandler handler = {
                .present = on_present,
                .gone = on_gone,
                .editor_index = on_editor_index,
                .skipped = on_skipped,
                .directory = on_directory,
                .missed = on_missed,
                .userdata = f,
        };

        f->library = library_free(f->library);
        assert_int_equal(library_new(&conf, &handler, &f->library), expected);
}

static void start_and_scan(Fixture *f) {
        start(f, 0);
        scan(f);
}

/* Everything that the kernel has to tell: it does so before the call that caused it returns. */
static int pump(Fixture *f) {
        struct pollfd p = { .fd = library_watch_fd(f->library), .events = POLLIN };
        int result = 0;

        while (poll(&p, 1, 0) > 0) {
                int r = library_watch_process(f->library);

                assert_true(r == 0 || r == LIBRARY_MORE);
                result = MAX_OF(result, r);
        }
        return result;
}

static int create(Fixture *f, const char *name) {
        int fd = openat(f->fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

        assert_true(fd >= 0);
        assert_int_equal(fchmod(fd, 0644), 0);
        return fd;
}

static void add(int fd, const char *content) {
        assert_int_equal(write(fd, content, strlen(content)), (ssize_t) strlen(content));
}

/* A file of 1970, so that the library does not wait for the clock. */
static void put(Fixture *f, const char *name, const char *content) {
        const struct timespec times[2] = { { .tv_sec = 1 }, { .tv_sec = (time_t) strlen(content) + 1 } };
        int fd = create(f, name);

        add(fd, content);
        assert_int_equal(futimens(fd, times), 0);
        assert_int_equal(close(fd), 0);
}

static void take(Fixture *f, const char *name) {
        assert_int_equal(unlinkat(f->fd, name, 0), 0);
}

static Digest digest_of(const char *content) {
        Digest d;

        assert_int_equal(EVP_Digest(content, strlen(content), d.bytes, NULL, EVP_sha256(), NULL), 1);
        return d;
}

static void assert_digest(const Fixture *f, const char *content) {
        const Digest d = digest_of(content);

        assert_memory_equal(f->digest.bytes, d.bytes, DIGEST_SIZE);
}

static void assert_content(int fd, const char *content) {
        char found[1000];
        ssize_t n = read(fd, found, sizeof(found));

        assert_int_equal(n, strlen(content));
        assert_memory_equal(found, content, strlen(content));
}

static void assert_opens(Fixture *f, uint32_t number, const char *content) {
        int fd;

        assert_int_equal(library_open(f->library, number, &f->stamp, &fd), 0);
        assert_content(fd, content);
        assert_int_equal(close(fd), 0);
}

/* How many entries the library has, whatever their names. */
static size_t count_entries(const Fixture *f) {
        DIR *dir = opendir(f->library_path);
        size_t n = 0;

        assert_non_null(dir);
        while (readdir(dir))
                n++;
        assert_int_equal(closedir(dir), 0);
        return n - 2;
}

/* To be called while the library is closed. */
static void run_sql(const Fixture *f, const char *sql) {
        sqlite3 *db;

        assert_int_equal(sqlite3_open_v2(f->catalogue, &db, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
        assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
        assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

/* Puts a digest into the catalogue that no document has: who tells it did not read the document. */
static void tamper(Fixture *f) {
        f->library = library_free(f->library);
        run_sql(f, "UPDATE document SET digest = zeroblob(32)");
}

static void assert_not_read(const Fixture *f) {
        static const Digest zero;

        assert_memory_equal(f->digest.bytes, zero.bytes, DIGEST_SIZE);
}

/* ---- scan and watch ---- */

static void test_scan_finds_documents_and_nothing_else(void **state) {
        Fixture *f = *state;

        put(f, "rfc12.txt", "twelve");
        put(f, "rfc7.txt", "seven");
        put(f, "rfc2147483647.txt", "");
        put(f, "rfc2147483648.txt", "x");
        put(f, "rfc07.txt", "x");
        put(f, "rfc0.txt", "x");
        put(f, "RFC8.txt", "x");
        put(f, "rfc8.txt.bak", "x");
        put(f, "rfc8.pdf", "x");
        put(f, ".rfc9.txt", "x");
        start_and_scan(f);
        assert_told(f, "present 7 RFC 7;present 12 RFC 12;present 2147483647 RFC 2147483647;");
        assert_digest(f, "");
        scan(f);
        assert_told(f, "");
}

/* More than are read ahead at once, by many threads, whether there is time for that or not; some are of no use. */
static void test_many_unknown_documents(void **state) {
        const usec_t budgets[] = { USEC_PER_SEC, 1 };
        Fixture *f = *state;
        char name[32], text[32];

        for (unsigned i = 1; i <= 700; i++) {
                (void) snprintf(name, sizeof(name), "rfc%u.txt", i);
                (void) snprintf(text, sizeof(text), "The text of %u", i);
                if (i % 100 == 7)
                        assert_int_equal(symlinkat("target", f->fd, name), 0);
                else
                        put(f, name, text);
        }
        for (size_t k = 0; k < ELEMENTSOF(budgets); k++) {
                _cleanup_buf_ Buf expected = BUF_INIT(1 << 20);
                int r;

                (void) unlink(f->catalogue);
                start(f, 0);
                do
                        r = library_scan(f->library, budgets[k]);
                while (r == LIBRARY_MORE);
                assert_int_equal(r, 0);
                for (unsigned i = 1; i <= 700; i++)
                        assert_int_equal(i % 100 == 7 ? buf_printf(&expected, "skipped rfc%u.txt is a symbolic link;", i) :
                                         buf_printf(&expected, "present %u RFC %u;", i, i), 0);
                assert_int_equal(buf_append_char(&expected, '\0'), 0);
                assert_told(f, expected.data);
                for (unsigned i = 1; i <= 700; i += 111) {
                        LibraryVerdict verdict;

                        (void) snprintf(text, sizeof(text), "The text of %u", i);
                        const Digest digest = digest_of(text);
                        assert_int_equal(library_verify(f->library, i, &digest, &verdict), 0);
                        assert_int_equal(verdict.kind, LIBRARY_VERDICT_GOOD);
                        assert_true(digest_equal(&verdict.expected, &digest));
                }
                assert_told(f, "");
        }
}

static void test_library_is_made_readable_for_all(void **state) {
        Fixture *f = *state;
        struct stat st;

        (void) strcat(f->library_path, "/new");
        start_and_scan(f);
        assert_int_equal(stat(f->library_path, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0755);
        assert_int_equal(stat(f->catalogue, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0600);
}

static void test_unusable_path_is_an_error(void **state) {
        Fixture *f = *state;

        (void) strcat(f->library_path, "/not/there");
        start(f, -ENOENT);
        assert_null(f->library);
        (void) snprintf(f->library_path, sizeof(f->library_path), "%s/file", f->directory);
        assert_int_equal(mknod(f->library_path, S_IFREG | 0644, 0), 0);
        start(f, -ENOTDIR);
        assert_null(f->library);
}

static void test_drop_in_change_and_removal_are_seen(void **state) {
        Fixture *f = *state;

        start_and_scan(f);
        put(f, "rfc5.txt", "first");
        put(f, "other.txt", "x");
        assert_int_equal(pump(f), 0);
        assert_told(f, "present 5 RFC 5;");
        assert_digest(f, "first");
        assert_opens(f, 5, "first");

        put(f, "rfc5.txt", "another");
        assert_int_equal(pump(f), 0);
        assert_told(f, "present 5 RFC 5;");
        assert_digest(f, "another");

        take(f, "rfc5.txt");
        assert_int_equal(pump(f), 0);
        assert_told(f, "gone 5;");
}

/* Whoever is told of a document may have no memory for it. */
static void test_a_document_that_was_not_taken_note_of_is_told_again(void **state) {
        Fixture *f = *state;

        put(f, "rfc5.txt", "first");
        start(f, 0);
        f->present_error = -ENOMEM;
        assert_int_equal(library_scan(f->library, USEC_PER_SEC), -ENOMEM);
        assert_told(f, "present 5 RFC 5;");
        scan(f);
        assert_told(f, "present 5 RFC 5;");
        scan(f);
        assert_told(f, "");
}

static void test_renames_are_seen(void **state) {
        Fixture *f = *state;

        put(f, "rfc5.txt", "five");
        start_and_scan(f);
        assert_told(f, "present 5 RFC 5;");
        put(f, "new", "better five");
        assert_int_equal(renameat(f->fd, "new", f->fd, "rfc5.txt"), 0);
        assert_int_equal(pump(f), 0);
        assert_told(f, "present 5 RFC 5;");
        assert_digest(f, "better five");
        assert_int_equal(renameat(f->fd, "rfc5.txt", f->fd, "rfc6.txt"), 0);
        assert_int_equal(pump(f), 0);
        assert_told(f, "gone 5;present 6 RFC 6;");
        assert_int_equal(renameat(f->fd, "rfc6.txt", f->fd, "away"), 0);
        assert_int_equal(pump(f), 0);
        assert_told(f, "gone 6;");
}

static void test_hard_link_is_seen(void **state) {
        Fixture *f = *state;

        put(f, "original", "linked");
        start_and_scan(f);
        assert_int_equal(linkat(f->fd, "original", f->fd, "rfc5.txt", 0), 0);
        assert_int_equal(pump(f), 0);
        assert_told(f, "present 5 RFC 5;");
        assert_digest(f, "linked");
}

static void test_unfinished_file_is_not_announced(void **state) {
        Fixture *f = *state;
        int fd;

        start_and_scan(f);
        fd = create(f, "rfc5.txt");
        add(fd, "half of ");
        assert_int_equal(fchmod(fd, 0640), 0);
        assert_int_equal(pump(f), 0);
        assert_told(f, "");
        assert_int_equal(library_recheck(f->library, 5), 0);    /* somebody asked for it */
        assert_told(f, "");
        add(fd, "it");
        assert_int_equal(close(fd), 0);
        assert_int_equal(pump(f), 0);
        assert_told(f, "present 5 RFC 5;");
        assert_digest(f, "half of it");
}

static void test_file_linked_by_others_from_o_tmpfile_is_seen(void **state) {
        Fixture *f = *state;
        char path[64];
        int fd;

        start_and_scan(f);
        fd = openat(f->fd, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0644);
        if (fd < 0) {
                print_message("skipped: this file system has no O_TMPFILE\n");
                skip();
        }
        add(fd, "content");
        (void) snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        assert_int_equal(linkat(AT_FDCWD, path, f->fd, "rfc5.txt", AT_SYMLINK_FOLLOW), 0);
        assert_int_equal(pump(f), 0);
        assert_told(f, "");
        assert_int_equal(close(fd), 0);
        assert_int_equal(pump(f), 0);
        assert_told(f, "present 5 RFC 5;");
}

static void test_two_writes_within_a_step_of_the_clock_are_told_apart(void **state) {
        Fixture *f = *state;

        start_and_scan(f);
        for (char c = 'a'; c < 'k'; c++) {
                const char content[] = { c, c, c, '\0' };
                int fd = create(f, "rfc5.txt");

                add(fd, content);
                assert_int_equal(close(fd), 0);
                assert_int_equal(pump(f), 0);
                assert_told(f, "present 5 RFC 5;");
                assert_digest(f, content);
        }
}

static void test_touched_document_gets_a_new_stamp(void **state) {
        Fixture *f = *state;
        const struct timespec times[2] = { { .tv_sec = 5 }, { .tv_sec = 5, .tv_nsec = 1 } };

        put(f, "rfc5.txt", "five");
        start_and_scan(f);
        assert_told(f, "present 5 RFC 5;");
        assert_int_equal(utimensat(f->fd, "rfc5.txt", times, 0), 0);
        assert_int_equal(pump(f), 0);
        assert_told(f, "present 5 RFC 5;");
        assert_true(f->stamp.mtime_nsec == INT64_C(5000000001));
        assert_digest(f, "five");
        assert_opens(f, 5, "five");
}

static void test_what_is_no_file_is_refused_once(void **state) {
        Fixture *f = *state;

        put(f, "target", "x");
        assert_int_equal(symlinkat("target", f->fd, "rfc1.txt"), 0);
        assert_int_equal(symlinkat("/etc/passwd", f->fd, "rfc2.txt"), 0);
        assert_int_equal(mkfifoat(f->fd, "rfc3.txt", 0644), 0);
        assert_int_equal(mkdirat(f->fd, "rfc5.txt", 0755), 0);
        start_and_scan(f);
        assert_told(f,
                    "skipped rfc1.txt is a symbolic link;skipped rfc2.txt is a symbolic link;"
                    "skipped rfc3.txt is not a regular file;skipped rfc5.txt is not a regular file;");
        scan(f);
        assert_told(f, "");

        assert_int_equal(symlinkat("target", f->fd, "rfc6.txt"), 0);
        assert_int_equal(mkfifoat(f->fd, "rfc7.txt", 0644), 0);
        assert_int_equal(pump(f), 0);
        assert_told(f, "skipped rfc6.txt is a symbolic link;skipped rfc7.txt is not a regular file;");

        /* Something else under the same name is something else to be told, and a file is a document. */
        take(f, "rfc6.txt");
        assert_int_equal(mkfifoat(f->fd, "rfc6.txt", 0644), 0);
        take(f, "rfc7.txt");
        put(f, "rfc7.txt", "seven");
        assert_int_equal(pump(f), 0);
        assert_told(f, "skipped rfc6.txt is not a regular file;present 7 RFC 7;");
}

static void test_document_replaced_by_a_link_is_gone(void **state) {
        Fixture *f = *state;
        int fd = -1;

        put(f, "rfc5.txt", "five");
        start_and_scan(f);
        assert_told(f, "present 5 RFC 5;");
        assert_int_equal(renameat(f->fd, "rfc5.txt", f->fd, "target"), 0);
        assert_int_equal(symlinkat("target", f->fd, "rfc5.txt"), 0);
        assert_int_equal(library_open(f->library, 5, &f->stamp, &fd), LIBRARY_NONE);
        assert_int_equal(fd, -1);
        assert_int_equal(library_recheck(f->library, 5), 0);
        assert_told(f, "gone 5;skipped rfc5.txt is a symbolic link;");
}

static void test_too_big_is_refused(void **state) {
        Fixture *f = *state;
        int fd = create(f, "rfc5.txt");

        assert_int_equal(ftruncate(fd, MAX_FILE_SIZE + 1), 0);
        start_and_scan(f);
        assert_told(f, "skipped rfc5.txt is bigger than Store.MaxFileSize=;");
        assert_int_equal(ftruncate(fd, MAX_FILE_SIZE), 0);
        assert_int_equal(close(fd), 0);
        assert_int_equal(pump(f), 0);
        assert_told(f, "present 5 RFC 5;");
}

/* Root reads everything: it plays nobody, for whom what only the owner may read is closed. */
static void be(uid_t uid) {
        static bool root;

        root = root || geteuid() == 0;
        if (!root)
                return;
        assert_int_equal(setresuid(uid, uid, 0), 0);
        /* Else the leak checker may not look at the process in the end. */
        (void) prctl(PR_SET_DUMPABLE, 1);
}

static void test_unreadable_is_told_once_and_tried_again(void **state) {
        Fixture *f = *state;
        const mode_t closed = geteuid() == 0 ? 0600 : 0;
        int fd;

        assert_int_equal(chmod(f->directory, 0777), 0);
        put(f, "rfc5.txt", "five");
        put(f, "rfc6.txt", "six");
        assert_int_equal(fchmodat(f->fd, "rfc5.txt", closed, 0), 0);
        be(NOBODY);
        start(f, 0);
        scan(f);
        scan(f);
        be(0);
        assert_told(f, "skipped rfc5.txt cannot be read;present 6 RFC 6;");

        assert_int_equal(fchmodat(f->fd, "rfc6.txt", closed, 0), 0);
        assert_int_equal(fchmodat(f->fd, "rfc5.txt", 0644, 0), 0);
        be(NOBODY);
        assert_int_equal(library_open(f->library, 6, &f->stamp, &fd), LIBRARY_NONE);
        assert_int_equal(pump(f), 0);
        be(0);
        assert_told(f, "gone 6;skipped rfc6.txt cannot be read;present 5 RFC 5;");
}

static void test_truncated_while_served_is_not_served_again(void **state) {
        Fixture *f = *state;
        LibraryStamp first;
        int fd, served;

        put(f, "rfc5.txt", "all of it");
        start_and_scan(f);
        assert_told(f, "present 5 RFC 5;");
        first = f->stamp;
        assert_int_equal(library_open(f->library, 5, &first, &served), 0);
        fd = openat(f->fd, "rfc5.txt", O_WRONLY | O_CLOEXEC);
        assert_true(fd >= 0);
        assert_int_equal(ftruncate(fd, 3), 0);
        assert_int_equal(library_open(f->library, 5, &first, &fd), LIBRARY_NONE);
        assert_int_equal(library_recheck(f->library, 5), 0);
        assert_told(f, "present 5 RFC 5;");
        assert_digest(f, "all");
        assert_int_equal(library_open(f->library, 5, &first, &fd), LIBRARY_NONE);
        assert_opens(f, 5, "all");
        assert_int_equal(close(served), 0);
        assert_int_equal(close(fd), 0);
}

static void test_open_compares_every_part_of_the_stamp(void **state) {
        Fixture *f = *state;
        LibraryStamp s;
        int fd;

        put(f, "rfc5.txt", "five");
        start_and_scan(f);
        s = f->stamp;
        s.device++;
        assert_int_equal(library_open(f->library, 5, &s, &fd), LIBRARY_NONE);
        s = f->stamp;
        s.inode++;
        assert_int_equal(library_open(f->library, 5, &s, &fd), LIBRARY_NONE);
        s = f->stamp;
        s.size++;
        assert_int_equal(library_open(f->library, 5, &s, &fd), LIBRARY_NONE);
        s = f->stamp;
        s.mtime_nsec++;
        assert_int_equal(library_open(f->library, 5, &s, &fd), LIBRARY_NONE);
        assert_int_equal(library_open(f->library, 6, &f->stamp, &fd), LIBRARY_NONE);
        assert_opens(f, 5, "five");
}

static void test_scan_comes_in_slices(void **state) {
        Fixture *f = *state;
        unsigned slices = 0;

        put(f, "rfc1.txt", "1");
        put(f, "rfc2.txt", "2");
        put(f, "rfc3.txt", "3");
        start(f, 0);
        assert_int_equal(library_scan(f->library, 0), LIBRARY_MORE);
        assert_told(f, "present 1 RFC 1;");
        /* What happens between the slices is not lost, whether the watch or the scan comes to it first. */
        put(f, "rfc4.txt", "4");
        take(f, "rfc3.txt");
        take(f, "rfc1.txt");
        assert_int_equal(pump(f), 0);
        assert_told(f, "present 4 RFC 4;gone 1;");
        while (library_scan(f->library, 0) == LIBRARY_MORE)
                slices++;
        assert_int_equal(slices, 2);
        assert_told(f, "present 2 RFC 2;");
}

static void test_overflow_asks_for_a_scan(void **state) {
        Fixture *f = *state;
        FILE *limit = fopen("/proc/sys/fs/inotify/max_queued_events", "re");
        unsigned max = 16384;

        if (limit) {
                assert_int_equal(fscanf(limit, "%u", &max), 1);
                assert_int_equal(fclose(limit), 0);
        }
        if (max > 100000) {
                print_message("skipped: a queue of %u events takes too long to fill\n", max);
                skip();
        }
        start_and_scan(f);
        /* Two events each: the cheapest that the kernel does not make one of. */
        assert_int_equal(mkdirat(f->fd, "d", 0755), 0);
        for (unsigned i = 0; i <= max / 2; i++)
                assert_int_equal(renameat(f->fd, i % 2 == 0 ? "d" : "e", f->fd, i % 2 == 0 ? "e" : "d"), 0);
        put(f, "rfc5.txt", "five");
        assert_int_equal(pump(f), LIBRARY_MORE);
        assert_told(f, "");
        scan(f);
        assert_told(f, "present 5 RFC 5;");
}

/* The library under its name, as a mount or an administrator puts it there. */
static void make_library(Fixture *f) {
        assert_int_equal(mkdir(f->library_path, 0755), 0);
        if (f->fd >= 0)
                assert_int_equal(close(f->fd), 0);
        f->fd = open(f->library_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(f->fd >= 0);
        assert_int_equal(fchmod(f->fd, 0755), 0);
}

static void test_library_that_was_moved_away_is_gone(void **state) {
        const Digest digest = digest_of("six");
        LibraryFile *file;
        Fixture *f = *state;
        char away[4200];
        int fd;

        put(f, "rfc5.txt", "five");
        put(f, "rfc6.txt", "six");
        start_and_scan(f);
        assert_told(f, "present 5 RFC 5;present 6 RFC 6;");
        (void) snprintf(away, sizeof(away), "%s/away", f->directory);
        assert_int_equal(rename(f->library_path, away), 0);
        assert_int_equal(pump(f), LIBRARY_MORE);
        assert_int_equal(library_scan(f->library, USEC_PER_SEC), LIBRARY_GONE);
        assert_told(f, "gone 5;gone 6;directory ENOENT;");
        assert_int_equal(access(f->library_path, F_OK), -1);

        /* Nothing goes on in the old one. */
        assert_int_equal(library_open(f->library, 6, &f->stamp, &fd), LIBRARY_NONE);
        assert_int_equal(library_store_begin(f->library, 7, 3, &digest, slice_of(""), &file), -ENOENT);
        put(f, "rfc8.txt", "eight");
        assert_int_equal(pump(f), 0);
        assert_int_equal(library_recheck(f->library, 8), 0);
        /* Once is enough. */
        assert_int_equal(library_scan(f->library, USEC_PER_SEC), LIBRARY_GONE);
        assert_told(f, "");

        assert_int_equal(rename(away, f->library_path), 0);
        scan(f);
        assert_told(f, "directory there;present 5 RFC 5;present 6 RFC 6;present 8 RFC 8;");
        put(f, "rfc7.txt", "seven");
        assert_int_equal(pump(f), 0);
        assert_told(f, "present 7 RFC 7;");
        assert_opens(f, 7, "seven");
}

static void test_library_that_comes_back_is_not_read_again(void **state) {
        Fixture *f = *state;
        char away[4200];

        put(f, "rfc5.txt", "five");
        start_and_scan(f);
        tamper(f);
        start_and_scan(f);
        (void) snprintf(away, sizeof(away), "%s/away", f->directory);
        assert_int_equal(rename(f->library_path, away), 0);
        assert_int_equal(pump(f), LIBRARY_MORE);
        assert_int_equal(library_scan(f->library, USEC_PER_SEC), LIBRARY_GONE);
        assert_int_equal(rename(away, f->library_path), 0);
        scan(f);
        assert_told(f, "present 5 RFC 5;present 5 RFC 5;gone 5;directory ENOENT;directory there;present 5 RFC 5;");
        assert_not_read(f);
}

static void test_new_directory_in_the_place_of_the_library(void **state) {
        Fixture *f = *state;
        char away[4200];

        put(f, "rfc5.txt", "five");
        start_and_scan(f);
        assert_told(f, "present 5 RFC 5;");
        (void) snprintf(away, sizeof(away), "%s/away", f->directory);
        assert_int_equal(rename(f->library_path, away), 0);
        make_library(f);
        put(f, "rfc6.txt", "six");
        assert_int_equal(pump(f), LIBRARY_MORE);
        scan(f);
        assert_told(f, "directory there;present 6 RFC 6;gone 5;");
        put(f, "rfc7.txt", "seven");
        assert_int_equal(pump(f), 0);
        assert_told(f, "present 7 RFC 7;");
}

/* Also one that was empty, so that nothing but the directory itself went. */
static void test_removed_library_is_gone(void **state) {
        Fixture *f = *state;

        start_and_scan(f);
        /* The last of the descriptors but the library's own. */
        assert_int_equal(close(f->fd), 0);
        f->fd = -1;
        assert_int_equal(rmdir(f->library_path), 0);
        assert_int_equal(pump(f), LIBRARY_MORE);
        assert_int_equal(library_scan(f->library, USEC_PER_SEC), LIBRARY_GONE);
        assert_told(f, "directory ENOENT;");

        make_library(f);
        put(f, "rfc5.txt", "five");
        scan(f);
        assert_told(f, "directory there;present 5 RFC 5;");
        put(f, "rfc6.txt", "six");
        assert_int_equal(pump(f), 0);
        assert_told(f, "present 6 RFC 6;");
}

/* ---- catalogue ---- */

static void test_second_start_reads_no_document(void **state) {
        Fixture *f = *state;

        put(f, "rfc5.txt", "five");
        put(f, "rfc6.txt", "six");
        start_and_scan(f);
        tamper(f);
        assert_told(f, "present 5 RFC 5;present 6 RFC 6;");
        start_and_scan(f);
        assert_told(f, "present 5 RFC 5;present 6 RFC 6;");
        assert_not_read(f);
        /* The device is not in the catalogue, and must be in the stamp. */
        assert_opens(f, 6, "six");
}

static void test_second_start_sees_what_changed(void **state) {
        Fixture *f = *state;

        put(f, "rfc5.txt", "five");
        put(f, "rfc6.txt", "six");
        start_and_scan(f);
        tamper(f);
        assert_told(f, "present 5 RFC 5;present 6 RFC 6;");
        take(f, "rfc5.txt");
        put(f, "rfc6.txt", "changed");
        put(f, "rfc7.txt", "7");
        start_and_scan(f);
        assert_told(f, "present 6 RFC 6;present 7 RFC 7;");
        assert_digest(f, "7");
        tamper(f);

        /* The one that is gone is not in the catalogue any more: else there were two of this number. */
        run_sql(f, "INSERT INTO document SELECT 5, inode, size, mtime_nsec, digest, NULL, 0, 0, 0, NULL FROM document"
                   " WHERE number = 6");
        put(f, "rfc5.txt", "five");
        start_and_scan(f);
        assert_told(f, "present 5 RFC 5;present 6 RFC 6;present 7 RFC 7;");
        assert_not_read(f);
        assert_int_equal(library_recheck(f->library, 5), 0);
        assert_told(f, "");
}

static void test_damaged_catalogue_is_moved_aside(void **state) {
        Fixture *f = *state;
        char aside[4200];
        int fd;

        put(f, "rfc5.txt", "five");
        start_and_scan(f);
        f->library = library_free(f->library);
        assert_told(f, "present 5 RFC 5;");
        fd = open(f->catalogue, O_WRONLY | O_CLOEXEC);
        assert_true(fd >= 0);
        add(fd, "What should have been a database");
        assert_int_equal(close(fd), 0);
        start(f, LIBRARY_DAMAGED);
        (void) snprintf(aside, sizeof(aside), "%s.damaged-1", f->catalogue);
        assert_int_equal(access(aside, F_OK), 0);
        scan(f);
        assert_told(f, "present 5 RFC 5;");
        assert_digest(f, "five");
}

static void test_rows_without_sense_are_passed_over(void **state) {
        Fixture *f = *state;

        put(f, "rfc5.txt", "five");
        start_and_scan(f);
        f->library = library_free(f->library);
        run_sql(f,
                "INSERT INTO document SELECT 2147483648, inode, size, mtime_nsec, digest, NULL, 0, 0, 0, NULL"
                " FROM document WHERE number = 5;"
                "INSERT INTO document SELECT -1, inode, size, mtime_nsec, digest, NULL, 0, 0, 0, NULL"
                " FROM document WHERE number = 5;"
                "UPDATE document SET text_title = 'es' || char(27) || 'cape'");
        start_and_scan(f);
        f->library = library_free(f->library);
        run_sql(f, "UPDATE document SET digest = x'00'");
        start_and_scan(f);
        assert_told(f, "present 5 RFC 5;present 5 RFC 5;present 5 RFC 5;");
        assert_digest(f, "five");
}

static void test_many_documents_start_quickly(void **state) {
        Fixture *f = *state;
        char name[32];

        for (unsigned i = 1; i <= 500; i++) {
                (void) snprintf(name, sizeof(name), "rfc%u.txt", i);
                put(f, name, name);
        }
        start_and_scan(f);
        tamper(f);
        buf_clear(&f->log);
        /* 1 s for 500 would be 20 s for all RFCs: it takes some 5 ms. */
        start(f, 0);
        assert_int_equal(library_scan(f->library, USEC_PER_SEC), 0);
        assert_not_read(f);
}

/* ---- titles ---- */

static const char text_with_title[] =
        "\n\n\n\n\n\n"
        "Network Working Group                                          A. Author\n"
        "Request for Comments: 3005                                  An Institute\n"
        "Category: Informational                                     January 2001\n"
        "\n\n"
        "                        A Title in the Text\n"
        "\n"
        "Status of this Memo\n"
        "\n"
        "   Words.\n";

static const char index_with_title[] =
        "                             RFC INDEX\n"
        "                           -------------\n"
        "\n"
        "3005 A Title in the Index. A. Author. January 2001. (Format: TXT, HTML)\n"
        "     (Status: INFORMATIONAL) (DOI: 10.17487/RFC3005) \n"
        "\n";

static void test_titles_come_from_four_places(void **state) {
        Fixture *f = *state;

        put(f, "rfc3005.txt", "no title at all");
        put(f, "rfc9.txt", "nine");
        start_and_scan(f);
        assert_told(f, "present 9 RFC 9;present 3005 RFC 3005;");
        put(f, "rfc3005.txt", text_with_title);
        (void) pump(f);
        assert_told(f, "present 3005 A Title in the Text;");
        put(f, "rfc3005.json", "{\"doc_id\": \"RFC3005\", \"title\": \"A Title in JSON\"}");
        assert_int_equal(pump(f), 0);
        assert_told(f, "present 3005 A Title in JSON;");
        put(f, "rfc-index.txt", index_with_title);
        assert_int_equal(pump(f), LIBRARY_MORE);
        scan(f);
        assert_told(f, "present 3005 A Title in the Index;");
        assert_digest(f, text_with_title);

        /* And back. */
        take(f, "rfc-index.txt");
        assert_int_equal(pump(f), LIBRARY_MORE);
        scan(f);
        assert_told(f, "present 3005 A Title in JSON;");
        put(f, "rfc3005.json", "{\"title\": \"Another Title in JSON\"}");
        assert_int_equal(pump(f), 0);
        assert_told(f, "present 3005 Another Title in JSON;");
        put(f, "rfc3005.json", "[]");
        assert_int_equal(pump(f), 0);
        assert_told(f, "present 3005 A Title in the Text;");
        take(f, "rfc3005.json");
        assert_int_equal(pump(f), 0);
        assert_told(f, "");
}

static void test_new_titles_need_no_reading(void **state) {
        Fixture *f = *state;

        put(f, "rfc3005.txt", text_with_title);
        start_and_scan(f);
        assert_told(f, "present 3005 A Title in the Text;");
        tamper(f);
        put(f, "rfc-index.txt", index_with_title);
        start_and_scan(f);
        assert_told(f, "present 3005 A Title in the Index;");
        assert_not_read(f);
        f->library = library_free(f->library);
        take(f, "rfc-index.txt");
        put(f, "rfc3005.json", "{\"title\": \"A Title in JSON\"}");
        start_and_scan(f);
        assert_told(f, "present 3005 A Title in JSON;");
        assert_not_read(f);

        /* Nor is the JSON read again while its stamp is the same. */
        f->library = library_free(f->library);
        run_sql(f, "UPDATE document SET json_title = 'Out of the Catalogue'");
        start_and_scan(f);
        assert_told(f, "present 3005 Out of the Catalogue;");
        f->library = library_free(f->library);
        take(f, "rfc3005.json");
        start_and_scan(f);
        assert_told(f, "present 3005 A Title in the Text;");
        assert_not_read(f);
}

static void test_unusable_index_is_told_once(void **state) {
        Fixture *f = *state;

        put(f, "rfc3005.txt", text_with_title);
        assert_int_equal(mkfifoat(f->fd, "rfc-index.txt", 0644), 0);
        assert_int_equal(symlinkat("rfc3005.txt", f->fd, "rfc3005.json"), 0);
        start_and_scan(f);
        assert_told(f, "skipped rfc-index.txt is not a regular file;present 3005 A Title in the Text;");
        scan(f);
        assert_told(f, "");
}

/* ---- storing ---- */

static const char stored[] = "The bytes of a document";

static LibraryFile *begin(Fixture *f, uint64_t size) {
        const Digest digest = digest_of(stored);
        LibraryFile *file = NULL;

        assert_int_equal(library_store_begin(f->library, 5, size, &digest, SLICE_LITERAL("A  Title\tSaid"), &file), 0);
        return file;
}

static void test_stored_document_is_there_at_once(void **state) {
        Fixture *f = *state;
        LibraryFile *file;
        struct stat st;
        Digest digest;

        start_and_scan(f);
        file = begin(f, sizeof(stored) - 1);
        assert_int_equal(library_store_write(file, (Slice){ stored, 10 }), 0);
        assert_int_equal(library_store_write(file, (Slice){ NULL, 0 }), 0);
        assert_int_equal(fstatat(f->fd, "rfc5.txt", &st, 0), -1);
        assert_int_equal(library_store_write(file, (Slice){ stored + 10, sizeof(stored) - 1 - 10 }), 0);
        assert_told(f, "");
        assert_int_equal(library_store_commit(file, &digest), 0);
        assert_told(f, "present 5 A Title Said;");
        assert_digest(f, stored);
        assert_true(digest_equal(&digest, &f->digest));
        assert_opens(f, 5, stored);
        assert_int_equal(fstatat(f->fd, "rfc5.txt", &st, AT_SYMLINK_NOFOLLOW), 0);
        assert_int_equal(st.st_mode & 07777, 0644);
        assert_int_equal(st.st_nlink, 1);
        assert_int_equal(count_entries(f), 1);

        /* Neither the watch nor the next start takes it for news. */
        assert_int_equal(pump(f), 0);
        assert_told(f, "");
        tamper(f);
        start_and_scan(f);
        assert_told(f, "present 5 A Title Said;");
        assert_not_read(f);
}

static void test_editor_index_is_a_document_too(void **state) {
        Fixture *f = *state;
        const Digest expected = digest_of(index_with_title);
        LibraryStamp other;
        Slice title;
        int fd;

        start_and_scan(f);
        assert_null(f->meta);
        put(f, "rfc-index.txt", index_with_title);
        assert_int_equal(pump(f), LIBRARY_MORE);
        scan(f);
        assert_non_null(f->meta);
        assert_true(rfc_meta_title(f->meta, 3005, &title));
        assert_true(slice_equal(title, SLICE_LITERAL("A Title in the Index")));
        assert_true(digest_equal(&f->editor_digest, &expected));
        assert_int_equal(f->editor_stamp.size, strlen(index_with_title));
        assert_int_equal(library_open_editor_index(f->library, f->editor_origin, &f->editor_stamp, &fd), 0);
        (void) close(fd);
        other = f->editor_stamp;
        other.size++;
        assert_int_equal(library_open_editor_index(f->library, f->editor_origin, &other, &fd), LIBRARY_NONE);

        take(f, "rfc-index.txt");
        assert_int_equal(pump(f), LIBRARY_MORE);
        scan(f);
        assert_null(f->meta);
}

static void test_title_of_stored_document_comes_from_its_text_first(void **state) {
        Fixture *f = *state;
        const Digest digest = digest_of(text_with_title);
        LibraryFile *file;

        start_and_scan(f);
        assert_int_equal(library_store_begin(f->library, 3005, strlen(text_with_title), &digest,
                                             SLICE_LITERAL("A Title Said"), &file), 0);
        for (const char *p = text_with_title; *p; p++)
                assert_int_equal(library_store_write(file, (Slice){ p, 1 }), 0);
        assert_int_equal(library_store_commit(file, NULL), 0);
        assert_told(f, "present 3005 A Title in the Text;");
}

static void test_mismatch_leaves_nothing(void **state) {
        static const size_t wrong[] = { 0, sizeof(stored) / 2, sizeof(stored) - 2 };
        Fixture *f = *state;
        char bytes[sizeof(stored)];
        LibraryFile *file;
        Digest digest, expected;

        start_and_scan(f);
        for (size_t i = 0; i < ELEMENTSOF(wrong); i++) {
                memcpy(bytes, stored, sizeof(stored));
                bytes[wrong[i]] ^= 1;
                file = begin(f, sizeof(stored) - 1);
                assert_int_equal(library_store_write(file, slice_of(bytes)), 0);
                assert_int_equal(library_store_commit(file, &digest), LIBRARY_MISMATCH);
                expected = digest_of(bytes);
                assert_true(digest_equal(&digest, &expected));
        }
        /* One byte short. */
        file = begin(f, sizeof(stored) - 1);
        assert_int_equal(library_store_write(file, (Slice){ stored, sizeof(stored) - 2 }), 0);
        assert_int_equal(library_store_commit(file, NULL), LIBRARY_MISMATCH);
        /* All that the digest is of, but less than the size. */
        file = begin(f, sizeof(stored));
        assert_int_equal(library_store_write(file, slice_of(stored)), 0);
        assert_int_equal(library_store_commit(file, NULL), LIBRARY_MISMATCH);
        /* One byte too many. */
        file = begin(f, sizeof(stored) - 2);
        assert_int_equal(library_store_write(file, slice_of(stored)), LIBRARY_MISMATCH);
        assert_null(library_store_abort(file));
        /* Given up. */
        file = begin(f, sizeof(stored) - 1);
        assert_int_equal(library_store_write(file, slice_of(stored)), 0);
        assert_null(library_store_abort(file));

        assert_int_equal(count_entries(f), 0);
        (void) pump(f);
        scan(f);
        assert_told(f, "");
}

static void test_stored_never_replaces_what_came_meanwhile(void **state) {
        Fixture *f = *state;
        LibraryFile *file;

        start_and_scan(f);
        file = begin(f, sizeof(stored) - 1);
        assert_int_equal(library_store_write(file, slice_of(stored)), 0);
        put(f, "rfc5.txt", "dropped in");
        assert_int_equal(library_store_commit(file, NULL), 0);
        assert_told(f, "present 5 RFC 5;");
        assert_digest(f, "dropped in");
        assert_opens(f, 5, "dropped in");
        assert_int_equal(count_entries(f), 1);

        take(f, "rfc5.txt");
        assert_int_equal(mkdirat(f->fd, "rfc5.txt", 0755), 0);
        file = begin(f, sizeof(stored) - 1);
        assert_int_equal(library_store_write(file, slice_of(stored)), 0);
        assert_int_equal(library_store_commit(file, NULL), -EEXIST);
        assert_told(f, "gone 5;skipped rfc5.txt is not a regular file;");
        assert_int_equal(count_entries(f), 1);
}

static void test_stored_file_too_big_is_refused(void **state) {
        Fixture *f = *state;
        const Digest digest = digest_of(stored);
        LibraryFile *file = NULL;

        start_and_scan(f);
        assert_int_equal(library_store_begin(f->library, 5, MAX_FILE_SIZE + 1, &digest, slice_of(NULL), &file), -EFBIG);
        assert_null(file);
}

static void test_left_over_names_are_removed(void **state) {
        Fixture *f = *state;
        LibraryFile *file;

        put(f, ".p2pdi-5-0", "half");
        put(f, ".p2pdi", "not ours");
        start(f, 0);
        /* Not while something is stored: it might be that. */
        file = begin(f, sizeof(stored) - 1);
        scan(f);
        assert_int_equal(faccessat(f->fd, ".p2pdi-5-0", F_OK, 0), 0);
        assert_int_equal(library_store_write(file, slice_of(stored)), 0);
        assert_int_equal(library_store_commit(file, NULL), 0);
        scan(f);
        assert_int_equal(faccessat(f->fd, ".p2pdi-5-0", F_OK, 0), -1);
        assert_int_equal(faccessat(f->fd, ".p2pdi", F_OK, 0), 0);
        assert_told(f, "present 5 A Title Said;");
}

static void test_two_stores_of_one_document_at_a_time(void **state) {
        Fixture *f = *state;
        LibraryFile *first, *second;

        start_and_scan(f);
        first = begin(f, sizeof(stored) - 1);
        second = begin(f, sizeof(stored) - 1);
        assert_int_equal(library_store_write(first, slice_of(stored)), 0);
        assert_int_equal(library_store_write(second, slice_of(stored)), 0);
        assert_int_equal(library_store_commit(second, NULL), 0);
        assert_int_equal(library_store_commit(first, NULL), 0);
        assert_told(f, "present 5 A Title Said;");
        assert_int_equal(count_entries(f), 1);
}

static void test_path_is_shown_whole(void **state) {
        Fixture *f = *state;
        char expected[4200];
        char *path;

        start(f, 0);
        assert_int_equal(library_path(f->library, 7230, &path), 0);
        (void) snprintf(expected, sizeof(expected), "%s/rfc7230.txt", f->library_path);
        assert_string_equal(path, expected);
        free(path);
}

/* Late: the name space of mounts stays another one. */
/* Space is reserved for such a one. */
#define BIG_SIZE (UINT64_C(1) << 20)

static void test_full_disk_is_told_and_leaves_nothing(void **state) {
        static const char small[90000];
        Fixture *f = *state;
        const Digest digest = digest_of(stored);
        LibraryFile *file = NULL;

        if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
            mount("tmpfs", f->library_path, "tmpfs", 0, "size=64k,mode=755") < 0) {
                print_message("skipped: no file system to fill: mount: %s\n", strerror(errno));
                skip();
        }
        (void) close(f->fd);
        f->fd = open(f->library_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        start_and_scan(f);
        library_set_max_file_size(f->library, BIG_SIZE);
        /* For a big one no byte is fetched in vain; of a small one it is known soon. */
        assert_int_equal(library_store_begin(f->library, 5, BIG_SIZE, &digest, slice_of(NULL), &file), -ENOSPC);
        assert_null(file);
        file = begin(f, sizeof(small));
        assert_int_equal(library_store_write(file, (Slice){ small, sizeof(small) }), -ENOSPC);
        assert_null(library_store_abort(file));
        assert_int_equal(count_entries(f), 0);
        file = begin(f, sizeof(stored) - 1);
        assert_int_equal(library_store_write(file, slice_of(stored)), 0);
        assert_int_equal(library_store_commit(file, NULL), 0);
        assert_told(f, "present 5 A Title Said;");

        f->library = library_free(f->library);
        (void) close(f->fd);
        f->fd = -1;
        assert_int_equal(umount2(f->library_path, 0), 0);
}

/* ---- file systems that can do less ---- */

/* From here on the system call gives `error` where argument `argument` has all of `bits`. */
static bool forbid(unsigned call, unsigned argument, uint32_t bits, int error) {
        const uint32_t offset = (uint32_t) (offsetof(struct seccomp_data, args) + argument * sizeof(uint64_t)) +
                (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? 4 : 0);
        struct sock_filter filter[] = {
                BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 4),
                BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offset),
                BPF_STMT(BPF_ALU | BPF_AND | BPF_K, bits),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, bits, 0, 1),
                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (uint32_t) error),
                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        };
        const struct sock_fprog program = { .len = ELEMENTSOF(filter), .filter = filter };

        return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

/* What is done while a call fails: in a thread of its own, and those that this one starts. */
typedef struct Failing {
        Fixture *fixture;
        unsigned call, argument;        /* as for forbid() */
        uint32_t bits;
        int error;
        int (*run)(Library *l);
        bool forbidden;
        int result;
} Failing;

static void *failing_main(void *userdata) {
        Failing *g = userdata;

        g->forbidden = forbid(g->call, g->argument, g->bits, g->error);
        if (g->forbidden)
                g->result = g->run(g->fixture->library);
        return NULL;
}

static int run_failing(Failing g) {
        pthread_t thread;

        assert_int_equal(pthread_create(&thread, NULL, failing_main, &g), 0);
        assert_int_equal(pthread_join(thread, NULL), 0);
        if (!g.forbidden) {
                print_message("skipped: no seccomp filter to let calls fail\n");
                skip();
        }
        return g.result;
}

static int scan_all(Library *l) {
        int r;

        do
                r = library_scan(l, USEC_PER_SEC);
        while (r == LIBRARY_MORE);
        return r;
}

static int recheck_5(Library *l) {
        return library_recheck(l, 5);
}

/* No event comes when a block can be read again: whoever is told has to look again by himself. */
static void test_what_the_disk_fails_to_give_is_looked_at_again(void **state) {
        Fixture *f = *state;
        /* Documents are read in pieces of this size, and nothing else is. */
        Failing bad = { .fixture = f, .call = __NR_read, .argument = 2, .bits = 128 << 10, .error = EIO, .run = scan_all };

        put(f, "rfc5.txt", "five");
        put(f, "rfc6.txt", "six");
        put(f, "rfc-index.txt", "3005 Title. A. Author. May 1999. (Format: TXT)\n\n");
        start(f, 0);
        assert_int_equal(run_failing(bad), 0);
        assert_told(f, "skipped rfc-index.txt cannot be read;missed;skipped rfc5.txt cannot be read;missed;"
                       "skipped rfc6.txt cannot be read;missed;");
        assert_int_equal(run_failing(bad), 0);
        assert_told(f, "missed;missed;missed;");
        assert_null(f->meta);
        scan(f);
        assert_told(f, "present 5 RFC 5;present 6 RFC 6;");
        assert_non_null(f->meta);
        scan(f);
        assert_told(f, "");

        put(f, "rfc5.txt", "other");
        bad.run = recheck_5;
        assert_int_equal(run_failing(bad), 0);
        assert_told(f, "gone 5;skipped rfc5.txt cannot be read;missed;");
        bad.run = library_watch_process;
        assert_int_equal(run_failing(bad), 0);
        assert_told(f, "missed;missed;");       /* its mode, and that it was closed */
        assert_int_equal(pump(f), 0);
        assert_told(f, "");
        scan(f);
        assert_told(f, "present 5 RFC 5;");
}

/* Neither does one when there are descriptors again. A scan and the watch give the error, and are called anew. */
static void test_what_there_is_no_descriptor_for_is_looked_at_again(void **state) {
        Fixture *f = *state;
        Failing bad = { .fixture = f, .call = __NR_openat, .argument = 2, .bits = O_NOFOLLOW, .error = EMFILE };

        start_and_scan(f);
        put(f, "rfc5.txt", "five");
        bad.run = library_watch_process;
        assert_int_equal(run_failing(bad), -EMFILE);
        bad.run = scan_all;
        assert_int_equal(run_failing(bad), -EMFILE);
        assert_told(f, "");
        bad.run = recheck_5;
        assert_int_equal(run_failing(bad), -EMFILE);
        assert_told(f, "missed;");
        scan(f);
        assert_told(f, "present 5 RFC 5;");
}

static void test_a_batch_is_committed_together(void **state);

static void assert_store_works(void **state) {
        static void (*const tests[])(void **state) = {
                test_stored_document_is_there_at_once,
                test_mismatch_leaves_nothing,
                test_stored_never_replaces_what_came_meanwhile,
                test_two_stores_of_one_document_at_a_time,
                test_a_batch_is_committed_together,
        };

        for (size_t i = 0; i < ELEMENTSOF(tests); i++) {
                tests[i](state);
                assert_int_equal(teardown(state), 0);
                assert_int_equal(setup(state), 0);
        }
}

static LibraryFile *begin_whole(Fixture *f, uint32_t number, const char *bytes, const char *promised) {
        const Digest digest = digest_of(promised);
        LibraryFile *file = NULL;

        assert_int_equal(library_store_begin(f->library, number, strlen(bytes), &digest, SLICE_LITERAL("Said"), &file), 0);
        assert_int_equal(library_store_write(file, slice_of(bytes)), 0);
        return file;
}

static void test_a_stored_one_that_was_not_taken_note_of_is_told_again(void **state) {
        Fixture *f = *state;

        start_and_scan(f);
        f->present_error = -ENOMEM;
        assert_int_equal(library_store_commit(begin_whole(f, 6, "whole", "whole"), NULL), -ENOMEM);
        assert_told(f, "present 6 Said;missed;");
        assert_int_equal(library_recheck(f->library, 6), 0);
        assert_told(f, "present 6 Said;");
}

static void assert_holds(const Fixture *f, const char *name, const char *content) {
        int fd = openat(f->fd, name, O_RDONLY | O_CLOEXEC);

        assert_content(fd, content);
        assert_int_equal(close(fd), 0);
}

/* A batch is as good as its members one by one: good ones are in, bad ones take no other with them. */
static void test_a_batch_is_committed_together(void **state) {
        Fixture *f = *state;
        LibraryCommit commits[6] = {};
        const int expected[6] = { 0, LIBRARY_MISMATCH, 0, -EEXIST, 0, 0 };
        const Digest wrong = digest_of("wrong");

        start_and_scan(f);
        commits[0].file = begin_whole(f, 7, "seven", "seven");
        commits[1].file = begin_whole(f, 8, "wrong", "right");
        commits[2].file = begin_whole(f, 9, "nine", "nine");
        commits[3].file = begin_whole(f, 10, "ten", "ten");
        commits[4].file = begin_whole(f, 9, "another nine", "another nine");
        commits[5].file = begin_whole(f, 3, "three", "three");
        assert_int_equal(mkdirat(f->fd, "rfc10.txt", 0755), 0);
        library_store_commit_all(f->library, commits, ELEMENTSOF(commits));
        for (size_t i = 0; i < ELEMENTSOF(commits); i++) {
                assert_int_equal(commits[i].result, expected[i]);
                assert_null(commits[i].file);
        }
        assert_true(digest_equal(&commits[1].found, &wrong));
        assert_told(f, "present 7 Said;present 9 Said;skipped rfc10.txt is not a regular file;present 3 Said;");
        assert_opens(f, 3, "three");
        assert_holds(f, "rfc7.txt", "seven");
        assert_holds(f, "rfc9.txt", "nine");
        assert_int_equal(count_entries(f), 4);

        /* The next start has nothing to read. */
        tamper(f);
        start_and_scan(f);
        assert_not_read(f);
}

/* Between the steps the worker does other things: it is told of what we make ourselves, and others may touch it. */
static void test_the_library_goes_on_between_the_steps_of_a_batch(void **state) {
        Fixture *f = *state;
        LibraryCommit commits[4] = {}, meanwhile = {};
        const int expected[4] = { 0, -ENOENT, 0, LIBRARY_MISMATCH };

        start_and_scan(f);
        commits[0].file = begin_whole(f, 7, "seven", "seven");
        commits[1].file = begin_whole(f, 8, "eight", "eight");
        commits[2].file = begin_whole(f, 9, "nine", "nine");
        commits[3].file = begin_whole(f, 10, "wrong", "right");
        library_store_prepare(commits, ELEMENTSOF(commits));
        library_store_flush(f->library, commits, ELEMENTSOF(commits));
        assert_int_equal(count_entries(f), 0);
        library_store_publish(f->library, commits, ELEMENTSOF(commits));
        assert_int_equal(count_entries(f), 3);

        /* Nobody hears of them before their names are on disk; but who wants to store the same finds it there. */
        assert_int_equal(pump(f), 0);
        scan(f);
        assert_told(f, "");
        meanwhile.file = begin_whole(f, 9, "nine", "nine");
        library_store_commit_all(f->library, &meanwhile, 1);
        assert_int_equal(meanwhile.result, 0);
        assert_told(f, "present 9 RFC 9;");

        assert_int_equal(unlinkat(f->fd, "rfc8.txt", 0), 0);
        assert_int_equal(pump(f), 0);
        library_store_flush(f->library, commits, ELEMENTSOF(commits));
        library_store_finish(f->library, commits, ELEMENTSOF(commits));
        for (size_t i = 0; i < ELEMENTSOF(commits); i++) {
                assert_int_equal(commits[i].result, expected[i]);
                assert_null(commits[i].file);
        }
        assert_told(f, "present 7 Said;present 9 Said;");
        assert_int_equal(pump(f), 0);
        assert_told(f, "");
        assert_int_equal(count_entries(f), 2);
        assert_opens(f, 9, "nine");
        assert_holds(f, "rfc7.txt", "seven");
}

/* A batch that does not come to its end leaves what has its name, and no memory. */
static void test_a_batch_may_stop_after_any_step(void **state) {
        Fixture *f = *state;
        LibraryCommit named = {}, unnamed = {};

        start_and_scan(f);
        named.file = begin_whole(f, 7, "seven", "seven");
        unnamed.file = begin_whole(f, 8, "eight", "eight");
        library_store_prepare(&named, 1);
        library_store_flush(f->library, &named, 1);
        library_store_publish(f->library, &named, 1);
        library_store_prepare(&unnamed, 1);
        library_commit_done(&named);
        library_commit_done(&unnamed);
        assert_told(f, "");
        assert_int_equal(count_entries(f), 1);
        start_and_scan(f);
        assert_told(f, "present 7 RFC 7;");
}

/* What somebody gives to the library as its own, however often. */
static void test_an_index_is_stored_once(void **state) {
        Fixture *f = *state;
        const Digest digest = digest_of(index_with_title);
        LibraryCommit commits[2] = {};

        put(f, "rfc3005.txt", "Without a title");
        start_and_scan(f);
        assert_told(f, "present 3005 RFC 3005;");
        for (size_t i = 0; i < ELEMENTSOF(commits); i++) {
                assert_int_equal(library_store_begin(f->library, LIBRARY_EDITOR_INDEX, strlen(index_with_title), &digest,
                                                     slice_of(NULL), &commits[i].file), 0);
                assert_int_equal(library_store_write(commits[i].file, slice_of(index_with_title)), 0);
        }
        library_store_commit_all(f->library, commits, ELEMENTSOF(commits));
        assert_int_equal(commits[0].result, 0);
        assert_int_equal(commits[1].result, -EEXIST);
        assert_holds(f, "rfc-index.txt", index_with_title);
        assert_int_equal(count_entries(f), 2);
        assert_int_equal(f->editor_origin, LIBRARY_INDEX_STORED);
        assert_non_null(f->meta);
        scan(f);
        assert_told(f, "present 3005 A Title in the Index;");
}

/* Last, and in this order: what is forbidden stays so. */
static void test_store_without_o_tmpfile(void **state) {
        Fixture *f = *state;

        if (!forbid(__NR_openat, 2, O_TMPFILE & ~O_DIRECTORY, EOPNOTSUPP)) {
                print_message("skipped: no seccomp filter to take O_TMPFILE away: %s\n", strerror(errno));
                skip();
        }
        assert_int_equal(openat(f->fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600), -1);
        assert_store_works(state);
        assert_true(forbid(__NR_renameat2, 4, RENAME_NOREPLACE, EINVAL));
        assert_store_works(state);
}

static void test_errors_of_the_disk_are_told_and_leave_nothing(void **state) {
        static const char chunk[0x5555];        /* a size that nobody else writes */
        Fixture *f = *state;
        const Digest digest = digest_of(stored);
        LibraryFile *file = NULL;
        LibraryCommit batch[2] = {};

        if (!forbid(__NR_write, 2, sizeof(chunk), ENOSPC)) {
                print_message("skipped: no seccomp filter to make the disk full: %s\n", strerror(errno));
                skip();
        }
        start_and_scan(f);
        file = begin(f, sizeof(chunk));
        assert_int_equal(library_store_write(file, (Slice){ chunk, sizeof(chunk) }), -ENOSPC);
        assert_null(library_store_abort(file));
        assert_int_equal(count_entries(f), 0);

        /* A file system that can't reserve is none that is full. */
        assert_true(forbid(__NR_fallocate, 1, 0, EOPNOTSUPP));
        library_set_max_file_size(f->library, BIG_SIZE);
        assert_null(library_store_abort(begin(f, BIG_SIZE)));
        file = begin(f, sizeof(stored) - 1);
        assert_int_equal(library_store_write(file, slice_of(stored)), 0);
        assert_true(forbid(__NR_syncfs, 1, 0, EIO));     /* whoever's error that is: fsync() tells whether it is ours */
        batch[0].file = begin_whole(f, 6, "six", "six");
        batch[1].file = begin_whole(f, 7, "seven", "seven");
        library_store_commit_all(f->library, batch, 2);
        assert_int_equal(batch[0].result, 0);
        assert_int_equal(batch[1].result, 0);
        assert_told(f, "present 6 Said;present 7 Said;");
        assert_int_equal(unlinkat(f->fd, "rfc6.txt", 0), 0);
        assert_int_equal(unlinkat(f->fd, "rfc7.txt", 0), 0);
        assert_int_equal(pump(f), 0);
        assert_told(f, "gone 6;gone 7;");

        batch[0].file = begin_whole(f, 6, "six", "six");
        batch[1].file = begin_whole(f, 7, "seven", "seven");
        assert_true(forbid(__NR_fsync, 1, 0, EIO));
        assert_int_equal(library_store_commit(file, NULL), -EIO);
        library_store_commit_all(f->library, batch, 2);
        assert_int_equal(batch[0].result, -EIO);
        assert_int_equal(batch[1].result, -EIO);
        assert_int_equal(count_entries(f), 0);

        assert_true(forbid(__NR_fallocate, 1, 0, ENOSPC));
        file = NULL;
        assert_int_equal(library_store_begin(f->library, 5, BIG_SIZE, &digest, slice_of(NULL), &file), -ENOSPC);
        assert_null(file);
        assert_int_equal(count_entries(f), 0);
        scan(f);
        assert_told(f, "");
}

#define LIBRARY_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                LIBRARY_TEST(test_scan_finds_documents_and_nothing_else),
                LIBRARY_TEST(test_many_unknown_documents),
                LIBRARY_TEST(test_library_is_made_readable_for_all),
                LIBRARY_TEST(test_unusable_path_is_an_error),
                LIBRARY_TEST(test_drop_in_change_and_removal_are_seen),
                LIBRARY_TEST(test_a_document_that_was_not_taken_note_of_is_told_again),
                LIBRARY_TEST(test_a_stored_one_that_was_not_taken_note_of_is_told_again),
                LIBRARY_TEST(test_renames_are_seen),
                LIBRARY_TEST(test_hard_link_is_seen),
                LIBRARY_TEST(test_unfinished_file_is_not_announced),
                LIBRARY_TEST(test_file_linked_by_others_from_o_tmpfile_is_seen),
                LIBRARY_TEST(test_two_writes_within_a_step_of_the_clock_are_told_apart),
                LIBRARY_TEST(test_touched_document_gets_a_new_stamp),
                LIBRARY_TEST(test_what_is_no_file_is_refused_once),
                LIBRARY_TEST(test_document_replaced_by_a_link_is_gone),
                LIBRARY_TEST(test_too_big_is_refused),
                LIBRARY_TEST(test_unreadable_is_told_once_and_tried_again),
                LIBRARY_TEST(test_truncated_while_served_is_not_served_again),
                LIBRARY_TEST(test_open_compares_every_part_of_the_stamp),
                LIBRARY_TEST(test_scan_comes_in_slices),
                LIBRARY_TEST(test_overflow_asks_for_a_scan),
                LIBRARY_TEST(test_library_that_was_moved_away_is_gone),
                LIBRARY_TEST(test_library_that_comes_back_is_not_read_again),
                LIBRARY_TEST(test_new_directory_in_the_place_of_the_library),
                LIBRARY_TEST(test_removed_library_is_gone),
                LIBRARY_TEST(test_second_start_reads_no_document),
                LIBRARY_TEST(test_second_start_sees_what_changed),
                LIBRARY_TEST(test_damaged_catalogue_is_moved_aside),
                LIBRARY_TEST(test_rows_without_sense_are_passed_over),
                LIBRARY_TEST(test_many_documents_start_quickly),
                LIBRARY_TEST(test_titles_come_from_four_places),
                LIBRARY_TEST(test_editor_index_is_a_document_too),
                LIBRARY_TEST(test_new_titles_need_no_reading),
                LIBRARY_TEST(test_unusable_index_is_told_once),
                LIBRARY_TEST(test_stored_document_is_there_at_once),
                LIBRARY_TEST(test_title_of_stored_document_comes_from_its_text_first),
                LIBRARY_TEST(test_mismatch_leaves_nothing),
                LIBRARY_TEST(test_stored_never_replaces_what_came_meanwhile),
                LIBRARY_TEST(test_stored_file_too_big_is_refused),
                LIBRARY_TEST(test_an_index_is_stored_once),
                LIBRARY_TEST(test_left_over_names_are_removed),
                LIBRARY_TEST(test_two_stores_of_one_document_at_a_time),
                LIBRARY_TEST(test_a_batch_is_committed_together),
                LIBRARY_TEST(test_the_library_goes_on_between_the_steps_of_a_batch),
                LIBRARY_TEST(test_a_batch_may_stop_after_any_step),
                LIBRARY_TEST(test_path_is_shown_whole),
                LIBRARY_TEST(test_full_disk_is_told_and_leaves_nothing),
                LIBRARY_TEST(test_what_the_disk_fails_to_give_is_looked_at_again),
                LIBRARY_TEST(test_what_there_is_no_descriptor_for_is_looked_at_again),
                LIBRARY_TEST(test_store_without_o_tmpfile),
                LIBRARY_TEST(test_errors_of_the_disk_are_told_and_leave_nothing),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
