/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "temp-dir.h"

#include "core/proto.h"
#include "io/sqlite-util.h"
#include "io/state.h"

typedef struct Fixture {
        char *directory;
        char path[4200];
        State *state;
} Fixture;

static int setup(void **state) {
        Fixture *f = calloc(1, sizeof(*f));

        assert_non_null(f);
        f->directory = temp_dir_make("state");
        (void) snprintf(f->path, sizeof(f->path), "%s/state.db", f->directory);
        *state = f;
        return 0;
}

static int teardown(void **state) {
        Fixture *f = *state;

        (void) state_free(f->state);
        temp_dir_remove(f->directory);
        free(f);
        return 0;
}

static void reopen(Fixture *f, int expected) {
        f->state = state_free(f->state);
        assert_int_equal(state_open(f->path, &f->state), expected);
}

static void write_file(const char *path, const char *content, size_t size) {
        int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

        assert_true(fd >= 0);
        assert_int_equal(write(fd, content, size), (ssize_t) size);
        assert_int_equal(close(fd), 0);
}

static bool exists(const Fixture *f, const char *suffix) {
        char path[4300];

        (void) snprintf(path, sizeof(path), "%s%s", f->path, suffix);
        return access(path, F_OK) == 0;
}

static void run_sql(const Fixture *f, const char *sql) {
        sqlite3 *db;

        assert_int_equal(sqlite3_open_v2(f->path, &db, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
        assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
        assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static void assert_cookie(Fixture *f, const char *server, uint64_t cookie, uint32_t peer_id) {
        uint64_t found = 0;
        uint32_t found_id = 0;

        assert_int_equal(state_get_cookie(f->state, server, &found, &found_id), 0);
        assert_true(found == cookie);
        assert_int_equal(found_id, peer_id);
}

static void assert_no_cookie(Fixture *f, const char *server) {
        uint64_t found = 99;
        uint32_t found_id = 99;

        assert_int_equal(state_get_cookie(f->state, server, &found, &found_id), STATE_NONE);
        assert_int_equal(found, 99);
        assert_int_equal(found_id, 99);
}

static Endpoint endpoint(const char *text) {
        Endpoint e;

        assert_int_equal(endpoint_from_text(slice_of(text), &e), 0);
        return e;
}

static void test_cookie_outlives_restart(void **state) {
        Fixture *f = *state;

        reopen(f, 0);
        assert_no_cookie(f, "rs.example:65423");
        assert_int_equal(state_set_cookie(f->state, "rs.example:65423", PROTO_COOKIE_MAX, UINT32_MAX), 0);
        assert_int_equal(state_set_cookie(f->state, "[2001:db8::1]:65423", 7, 0), 0);
        reopen(f, 0);
        assert_cookie(f, "rs.example:65423", PROTO_COOKIE_MAX, UINT32_MAX);
        assert_cookie(f, "[2001:db8::1]:65423", 7, 0);
        assert_no_cookie(f, "rs.example");
        assert_int_equal(state_check(f->state), 0);
}

static void test_cookie_is_replaced_and_forgotten(void **state) {
        Fixture *f = *state;

        reopen(f, 0);
        assert_int_equal(state_set_cookie(f->state, "a", 1, 2), 0);
        assert_int_equal(state_set_cookie(f->state, "a", 3, 4), 0);
        assert_cookie(f, "a", 3, 4);
        assert_int_equal(state_set_cookie(f->state, "a", 0, 0), 0);
        assert_no_cookie(f, "a");
        assert_int_equal(state_set_cookie(f->state, "never", 0, 0), 0);
}

static void test_peers_keep_their_order(void **state) {
        Fixture *f = *state;
        const Endpoint peers[] = {
                endpoint("192.0.2.9:65424"),
                endpoint("[2001:db8::1]:1"),
                endpoint("192.0.2.1:65535"),
        };
        Endpoint found[5];
        size_t n = 99;

        reopen(f, 0);
        assert_int_equal(state_get_peers(f->state, found, 5, &n), 0);
        assert_int_equal(n, 0);
        assert_int_equal(state_set_peers(f->state, peers, 3), 0);
        reopen(f, 0);
        assert_int_equal(state_get_peers(f->state, found, 5, &n), 0);
        assert_int_equal(n, 3);
        for (size_t i = 0; i < 3; i++)
                assert_true(endpoint_equal(&found[i], &peers[i]));

        assert_int_equal(state_get_peers(f->state, found, 2, &n), 0);
        assert_int_equal(n, 2);
        assert_int_equal(state_get_peers(f->state, NULL, 0, &n), 0);
        assert_int_equal(n, 0);

        assert_int_equal(state_set_peers(f->state, &peers[2], 1), 0);
        assert_int_equal(state_get_peers(f->state, found, 5, &n), 0);
        assert_int_equal(n, 1);
        assert_true(endpoint_equal(&found[0], &peers[2]));
        assert_int_equal(state_set_peers(f->state, NULL, 0), 0);
        assert_int_equal(state_get_peers(f->state, found, 5, &n), 0);
        assert_int_equal(n, 0);
}

static void test_rows_without_sense_are_passed_over(void **state) {
        Fixture *f = *state;
        const Endpoint peer = endpoint("192.0.2.9:65424");
        Endpoint found[5];
        size_t n;

        reopen(f, 0);
        assert_int_equal(state_set_peers(f->state, &peer, 1), 0);
        f->state = state_free(f->state);
        run_sql(f,
                "INSERT INTO peer VALUES (-3, x'0102', 5);"
                "INSERT INTO peer VALUES (-2, 'text', 'more');"
                "INSERT INTO peer VALUES (-1, zeroblob(16), 5);"
                "INSERT INTO peer SELECT 7, address, 0 FROM peer WHERE position = 0;"
                "INSERT INTO peer SELECT 8, address, 65536 FROM peer WHERE position = 0;"
                "INSERT INTO server VALUES ('zero', 0, 1), ('id', 1, -1), ('big', 1, 4294967296),"
                "  ('negative', -1, 1), ('high', 9007199254740992, 1), ('highest', 9007199254740991, 1)");
        reopen(f, 0);
        assert_int_equal(state_get_peers(f->state, found, 5, &n), 0);
        assert_int_equal(n, 1);
        assert_true(endpoint_equal(&found[0], &peer));
        assert_no_cookie(f, "zero");
        assert_no_cookie(f, "id");
        assert_no_cookie(f, "big");
        assert_no_cookie(f, "negative");
        assert_no_cookie(f, "high");
        assert_cookie(f, "highest", 9007199254740991, 1);
}

static void test_file_is_for_its_owner_only(void **state) {
        Fixture *f = *state;
        struct stat st;
        const mode_t old = umask(0);

        reopen(f, 0);
        assert_int_equal(state_set_cookie(f->state, "a", 1, 2), 0);
        assert_int_equal(stat(f->path, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0600);
        assert_true(exists(f, "-wal"));
        f->state = state_free(f->state);

        /* Also where somebody loosened it. */
        assert_int_equal(chmod(f->path, 0644), 0);
        reopen(f, 0);
        assert_int_equal(stat(f->path, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0600);
        (void) umask(old);
}

static void test_second_opener_is_kept_out(void **state) {
        Fixture *f = *state;
        State *second = NULL;

        reopen(f, 0);
        assert_int_equal(state_open(f->path, &second), -EBUSY);
        assert_null(second);
        assert_false(exists(f, ".damaged-1"));
}

static void test_damaged_file_is_moved_aside(void **state) {
        static const char garbage[8192] = "this is no database, and has not been one";
        Fixture *f = *state;

        write_file(f->path, garbage, 40);
        reopen(f, STATE_DAMAGED);
        assert_true(exists(f, ".damaged-1"));
        assert_int_equal(state_set_cookie(f->state, "a", 1, 2), 0);
        reopen(f, 0);
        assert_cookie(f, "a", 1, 2);

        f->state = state_free(f->state);
        write_file(f->path, garbage, sizeof(garbage));
        reopen(f, STATE_DAMAGED);
        assert_true(exists(f, ".damaged-2"));
        assert_no_cookie(f, "a");
}

static void test_damage_inside_is_found(void **state) {
        static const char zeros[2048];
        Fixture *f = *state;
        int fd;

        reopen(f, 0);
        assert_int_equal(state_set_cookie(f->state, "a", 1, 2), 0);
        f->state = state_free(f->state);
        fd = open(f->path, O_WRONLY | O_CLOEXEC);
        assert_true(fd >= 0);
        assert_int_equal(pwrite(fd, zeros, sizeof(zeros), 4096), sizeof(zeros));
        assert_int_equal(close(fd), 0);
        reopen(f, STATE_DAMAGED);
        assert_no_cookie(f, "a");
}

static void test_foreign_and_other_versions_are_moved_aside(void **state) {
        Fixture *f = *state;

        write_file(f->path, "", 0);
        run_sql(f, "CREATE TABLE theirs (x)");
        reopen(f, STATE_DAMAGED);
        assert_true(exists(f, ".damaged-1"));

        f->state = state_free(f->state);
        run_sql(f, "PRAGMA user_version = 999");
        reopen(f, STATE_DAMAGED);
        assert_true(exists(f, ".damaged-2"));
        reopen(f, 0);
}

static void test_empty_file_is_a_new_one(void **state) {
        Fixture *f = *state;

        write_file(f->path, "", 0);
        reopen(f, 0);
        assert_int_equal(state_set_cookie(f->state, "a", 1, 2), 0);
}

static void test_only_files_are_opened(void **state) {
        Fixture *f = *state;
        char target[4300];

        assert_int_equal(mkdir(f->path, 0700), 0);
        assert_int_equal(state_open(f->path, &f->state), -EISDIR);
        assert_int_equal(rmdir(f->path), 0);
        assert_int_equal(mkfifo(f->path, 0600), 0);
        assert_int_equal(state_open(f->path, &f->state), -EBADF);
        assert_int_equal(unlink(f->path), 0);
        (void) snprintf(target, sizeof(target), "%s/elsewhere", f->directory);
        assert_int_equal(symlink(target, f->path), 0);
        assert_int_equal(state_open(f->path, &f->state), -ELOOP);
        assert_int_equal(unlink(f->path), 0);
        (void) snprintf(target, sizeof(target), "%s/not/there.db", f->directory);
        assert_int_equal(state_open(target, &f->state), -ENOENT);
        assert_null(f->state);
}

static void test_sqlite_codes_become_errnos(void **state) {
        static const struct {
                int rc, error;
        } table[] = {
                { SQLITE_OK, 0 },
                { SQLITE_ROW, 0 },
                { SQLITE_DONE, 0 },
                { SQLITE_FULL, -ENOSPC },
                { SQLITE_IOERR, -EIO },
                { SQLITE_IOERR_FSYNC, -EIO },
                { SQLITE_IOERR_NOMEM, -ENOMEM },
                { SQLITE_READONLY, -EROFS },
                { SQLITE_READONLY_DIRECTORY, -EACCES },
                { SQLITE_NOMEM, -ENOMEM },
                { SQLITE_BUSY, -EBUSY },
                { SQLITE_BUSY_SNAPSHOT, -EBUSY },
                { SQLITE_CORRUPT, -EUCLEAN },
                { SQLITE_CORRUPT_INDEX, -EUCLEAN },
                { SQLITE_NOTADB, -EUCLEAN },
                { SQLITE_CONSTRAINT_UNIQUE, -EEXIST },
                { SQLITE_MISUSE, -EINVAL },
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(table); i++)
                assert_int_equal(sqlite_errno(NULL, table[i].rc), table[i].error);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_cookie_outlives_restart, setup, teardown),
                cmocka_unit_test_setup_teardown(test_cookie_is_replaced_and_forgotten, setup, teardown),
                cmocka_unit_test_setup_teardown(test_peers_keep_their_order, setup, teardown),
                cmocka_unit_test_setup_teardown(test_rows_without_sense_are_passed_over, setup, teardown),
                cmocka_unit_test_setup_teardown(test_file_is_for_its_owner_only, setup, teardown),
                cmocka_unit_test_setup_teardown(test_second_opener_is_kept_out, setup, teardown),
                cmocka_unit_test_setup_teardown(test_damaged_file_is_moved_aside, setup, teardown),
                cmocka_unit_test_setup_teardown(test_damage_inside_is_found, setup, teardown),
                cmocka_unit_test_setup_teardown(test_foreign_and_other_versions_are_moved_aside, setup, teardown),
                cmocka_unit_test_setup_teardown(test_empty_file_is_a_new_one, setup, teardown),
                cmocka_unit_test_setup_teardown(test_only_files_are_opened, setup, teardown),
                cmocka_unit_test(test_sqlite_codes_become_errnos),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
