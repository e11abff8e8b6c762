/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "temp-dir.h"

#include "io/library.h"

typedef struct Fixture {
        char *directory;                /* of this test */
        char library_path[4100];
        char catalogue[4100];
        int fd;                         /* of the library */
        Library *library;
        bool present;                   /* RFC 5, as it was told last */
        Digest digest;
} Fixture;

static int on_present(const LibraryEntry *e, void *userdata) {
        Fixture *f = userdata;

        assert_int_equal(e->number, 5);
        f->present = true;
        f->digest = e->digest;
        return 0;
}

static void on_gone(uint32_t number, void *userdata) {
        Fixture *f = userdata;

        assert_int_equal(number, 5);
        f->present = false;
}

static void on_skipped(const char *name, const char *why, int error, void *userdata) {
        (void) why;
        (void) error;
        (void) userdata;
        assert_string_equal(name, "rfc5.txt");
}

static void scan(Fixture *f) {
        int r;

        do
                r = library_scan(f->library, USEC_PER_SEC);
        while (r == LIBRARY_MORE);
        assert_int_equal(r, 0);
}

static void start(Fixture *f) {
        const LibraryConf conf = { .path = f->library_path, .catalogue = f->catalogue, .max_file_size = 1000 };
        const LibraryHandler handler = {
                .present = on_present,
                .gone = on_gone,
                .skipped = on_skipped,
                .userdata = f,
        };

        f->library = library_free(f->library);
        f->present = false;
        assert_int_equal(library_new(&conf, &handler, &f->library), 0);
        scan(f);
}

/* Of 1970, as all are here: only their bytes differ, so the status of two files of the same size differs by nothing but the inode. */
static void write_file(Fixture *f, const char *name, const char *content, int flags) {
        const struct timespec times[2] = { { .tv_sec = 1 }, { .tv_sec = 1 } };
        int fd = openat(f->fd, name, O_WRONLY | O_CLOEXEC | flags, 0644);

        assert_true(fd >= 0);
        assert_int_equal(write(fd, content, strlen(content)), (ssize_t) strlen(content));
        assert_int_equal(futimens(fd, times), 0);
        assert_int_equal(close(fd), 0);
}

static int setup(void **state) {
        Fixture *f = calloc(1, sizeof(*f));

        assert_non_null(f);
        f->directory = temp_dir_make("verify");
        (void) snprintf(f->library_path, sizeof(f->library_path), "%s/rfc", f->directory);
        (void) snprintf(f->catalogue, sizeof(f->catalogue), "%s/catalogue.db", f->directory);
        assert_int_equal(mkdir(f->library_path, 0755), 0);
        f->fd = open(f->library_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(f->fd >= 0);
        write_file(f, "rfc5.txt", "good text", O_CREAT);
        start(f);
        assert_true(f->present);
        *state = f;
        return 0;
}

static int teardown(void **state) {
        Fixture *f = *state;

        (void) library_free(f->library);
        (void) close(f->fd);
        temp_dir_remove(f->directory);
        free(f);
        return 0;
}

static Digest digest_of(const char *content) {
        Digest d;

        assert_int_equal(EVP_Digest(content, strlen(content), d.bytes, NULL, EVP_sha256(), NULL), 1);
        return d;
}

static void assert_digest(const Digest *found, const char *content) {
        const Digest d = digest_of(content);

        assert_memory_equal(found->bytes, d.bytes, DIGEST_SIZE);
}

static void assert_content(const Fixture *f, const char *content) {
        char found[100];
        int fd = openat(f->fd, "rfc5.txt", O_RDONLY | O_CLOEXEC);
        ssize_t n = read(fd, found, sizeof(found));

        assert_int_equal(n, (ssize_t) strlen(content));
        assert_memory_equal(found, content, strlen(content));
        assert_int_equal(close(fd), 0);
}

/* The same file with other bytes. */
static void rot(Fixture *f, const char *content) {
        write_file(f, "rfc5.txt", content, 0);
}

static int verify(Fixture *f, const char *wanted, LibraryVerdict *ret) {
        Digest d;

        if (wanted)
                d = digest_of(wanted);
        return library_verify(f->library, 5, wanted ? &d : NULL, ret);
}

static void assert_verdict(Fixture *f, const char *wanted, int kind) {
        LibraryVerdict v = { 0 };

        assert_int_equal(verify(f, wanted, &v), 0);
        assert_int_equal(v.kind, kind);
        assert_int_equal(f->present, kind == LIBRARY_VERDICT_GOOD);
}

static int store(Fixture *f, const char *content, LibraryFile **ret) {
        const Digest d = digest_of(content);
        int r = library_store_begin(f->library, 5, strlen(content), &d, slice_of("A Title"), ret);

        if (r == 0)
                assert_int_equal(library_store_write(*ret, slice_of(content)), 0);
        return r;
}

static void test_turned_bytes_are_damage_and_new_ones_are_not(void **state) {
        Fixture *f = *state;
        LibraryVerdict v = { 0 };

        assert_verdict(f, NULL, LIBRARY_VERDICT_GOOD);
        rot(f, "evil text");
        assert_int_equal(verify(f, NULL, &v), 0);
        assert_int_equal(v.kind, LIBRARY_VERDICT_DAMAGED);
        assert_false(f->present);
        assert_true(v.has_digest && v.size == strlen("evil text"));
        assert_digest(&v.found, "evil text");
        assert_digest(&v.expected, "good text");
        /* What is expected is known later, too. */
        start(f);
        assert_false(f->present);
        v = (LibraryVerdict){ 0 };
        assert_int_equal(verify(f, NULL, &v), 0);
        assert_digest(&v.expected, "good text");
        assert_int_equal(library_next_number(f->library, 0), 5);
        assert_int_equal(library_next_number(f->library, 5), 0);
        /* Somebody writes to it: it is another document, whatever it says. */
        write_file(f, "rfc5.txt", "another text", O_TRUNC);
        assert_verdict(f, NULL, LIBRARY_VERDICT_GOOD);
        assert_digest(&f->digest, "another text");
        start(f);
        assert_true(f->present);
}

static void test_what_is_wanted_counts(void **state) {
        Fixture *f = *state;

        assert_verdict(f, "good text", LIBRARY_VERDICT_GOOD);
        assert_verdict(f, "wanted is", LIBRARY_VERDICT_DAMAGED);
        /* By itself nothing is wrong with it, but who wanted something else is to say so first. */
        assert_verdict(f, NULL, LIBRARY_VERDICT_DAMAGED);
        assert_verdict(f, "good text", LIBRARY_VERDICT_GOOD);
        rot(f, "wanted is");
        assert_verdict(f, "wanted is", LIBRARY_VERDICT_GOOD);
        assert_digest(&f->digest, "wanted is");
        assert_verdict(f, NULL, LIBRARY_VERDICT_GOOD);
}

static void test_repair_needs_leave_and_replaces_the_damaged_file(void **state) {
        Fixture *f = *state;
        LibraryFile *file;

        rot(f, "evil text");
        assert_verdict(f, NULL, LIBRARY_VERDICT_DAMAGED);
        assert_int_equal(store(f, "good text", &file), -EUCLEAN);
        library_allow_repair(f->library, 5);
        assert_int_equal(store(f, "good text", &file), 0);
        assert_content(f, "evil text");
        assert_int_equal(library_store_commit(file, NULL), 0);
        assert_content(f, "good text");
        assert_true(f->present);
        assert_int_equal(faccessat(f->fd, ".p2pdi-5-0", F_OK, 0), -1);
        start(f);
        assert_true(f->present);
        assert_verdict(f, NULL, LIBRARY_VERDICT_GOOD);
}

static void test_repair_ends_with_the_next_verification(void **state) {
        Fixture *f = *state;
        LibraryFile *file;

        rot(f, "evil text");
        assert_verdict(f, NULL, LIBRARY_VERDICT_DAMAGED);
        library_allow_repair(f->library, 5);
        assert_verdict(f, NULL, LIBRARY_VERDICT_DAMAGED);
        assert_int_equal(store(f, "good text", &file), -EUCLEAN);
        /* What is not damaged needs no leave, and gets none. */
        rot(f, "good text");
        assert_verdict(f, NULL, LIBRARY_VERDICT_GOOD);
        library_allow_repair(f->library, 5);
        rot(f, "evil text");
        assert_int_equal(store(f, "good text", &file), 0);
        assert_int_equal(library_store_commit(file, NULL), 0);
        assert_content(f, "evil text");
}

static void test_repair_leaves_what_came_meanwhile(void **state) {
        Fixture *f = *state;
        LibraryFile *file;

        rot(f, "evil text");
        assert_verdict(f, NULL, LIBRARY_VERDICT_DAMAGED);
        library_allow_repair(f->library, 5);
        assert_int_equal(store(f, "good text", &file), 0);
        write_file(f, "beside", "theirs is", O_CREAT);
        assert_int_equal(renameat(f->fd, "beside", f->fd, "rfc5.txt"), 0);
        assert_int_equal(library_store_commit(file, NULL), 0);
        assert_content(f, "theirs is");
        assert_true(f->present);
        assert_digest(&f->digest, "theirs is");
        assert_int_equal(faccessat(f->fd, ".p2pdi-5-0", F_OK, 0), -1);
}

static void test_repair_where_the_file_was_removed_meanwhile(void **state) {
        Fixture *f = *state;
        LibraryFile *file;

        rot(f, "evil text");
        assert_verdict(f, NULL, LIBRARY_VERDICT_DAMAGED);
        library_allow_repair(f->library, 5);
        assert_int_equal(store(f, "good text", &file), 0);
        assert_int_equal(unlinkat(f->fd, "rfc5.txt", 0), 0);
        assert_int_equal(library_store_commit(file, NULL), 0);
        assert_content(f, "good text");
        assert_true(f->present);
}

static void test_what_is_not_there(void **state) {
        Fixture *f = *state;
        LibraryVerdict v;

        assert_int_equal(library_verify(f->library, 6, NULL, &v), LIBRARY_NONE);
        assert_int_equal(unlinkat(f->fd, "rfc5.txt", 0), 0);
        assert_int_equal(verify(f, NULL, &v), LIBRARY_NONE);
        assert_false(f->present);
        assert_int_equal(library_next_number(f->library, 0), 0);
        library_allow_repair(f->library, 5);
        assert_int_equal(symlinkat("/etc/passwd", f->fd, "rfc5.txt"), 0);
        scan(f);
        assert_int_equal(verify(f, NULL, &v), LIBRARY_NONE);
}

#define VERIFY_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                VERIFY_TEST(test_turned_bytes_are_damage_and_new_ones_are_not),
                VERIFY_TEST(test_what_is_wanted_counts),
                VERIFY_TEST(test_repair_needs_leave_and_replaces_the_damaged_file),
                VERIFY_TEST(test_repair_ends_with_the_next_verification),
                VERIFY_TEST(test_repair_leaves_what_came_meanwhile),
                VERIFY_TEST(test_repair_where_the_file_was_removed_meanwhile),
                VERIFY_TEST(test_what_is_not_there),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
