/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include "peer-list-test.h"
#include "temp-dir.h"

#include "io/registry-db.h"

#define SEC USEC_PER_SEC

typedef struct Fixture {
        char *directory;
        char path[4200];
        RegistryDb *db;
        PeerList *list;                 /* what a load has put there */
        RegistryDbLoaded loaded;
} Fixture;

static const BootId boot_a = { { 0xa } }, boot_b = { { 0xb } }, boot_unknown = { { 0 } };

static int setup(void **state) {
        Fixture *f = calloc(1, sizeof(*f));

        assert_non_null(f);
        f->directory = temp_dir_make("registry");
        (void) snprintf(f->path, sizeof(f->path), "%s/registry.db", f->directory);
        assert_int_equal(registry_db_open(f->path, &f->db), 0);
        *state = f;
        return 0;
}

static int teardown(void **state) {
        Fixture *f = *state;

        (void) registry_db_close(f->db);
        (void) peer_list_free(f->list);
        temp_dir_remove(f->directory);
        free(f);
        return 0;
}

static void reopen(Fixture *f, int expected) {
        f->db = registry_db_close(f->db);
        assert_int_equal(registry_db_open(f->path, &f->db), expected);
}

static int restore(const PeerInfo *info, void *userdata) {
        return peer_list_restore(userdata, info);
}

static void load(Fixture *f, const BootId *boot, Now now) {
        size_t n;

        f->list = peer_list_free(f->list);
        f->list = new_list();
        assert_int_equal(registry_db_count(f->db, &n), 0);
        assert_int_equal(peer_list_restore_begin(f->list, n), 0);
        assert_int_equal(registry_db_load(f->db, boot, &now, restore, f->list, &f->loaded), 0);
        assert_int_equal(n, f->loaded.n_loaded + f->loaded.n_skipped);
        assert_int_equal(peer_list_restore_end(f->list), 0);
        peer_list_set_last_id(f->list, f->loaded.last_id);
}

static PeerInfo info_of(uint32_t id, bool active, usec_t expires_at) {
        return (PeerInfo){
                .id = id,
                .cookie = (UINT64_C(1) << 53) - id,
                .active = active,
                .endpoint = endpoint_number(id),
                .expires_at = expires_at,
                .registered_at = DAY_0 + 12345,
                .first_day = 20000,
                .counts = { 65535, 2, [29] = 256 },
                .host = "h\xc3\xa9.example",
        };
}

static void write_batch(Fixture *f, const PeerInfo *records, size_t n, const BootId *boot, Now now) {
        const RegistryDbBatch batch = { .records = records, .n_records = n, .last_id = 40, .boot_id = *boot, .now = now };

        assert_int_equal(registry_db_write(f->db, &batch), 0);
}

static Now at(usec_t boottime_sec, usec_t realtime_sec) {
        return (Now){ .boottime = boottime_sec * SEC, .realtime = DAY_0 + realtime_sec * SEC };
}

/* With another connection: ours is closed meanwhile, it keeps all others out. */
static void tamper(Fixture *f, const char *sql) {
        sqlite3 *other = NULL;
        char *error = NULL;

        f->db = registry_db_close(f->db);
        assert_int_equal(sqlite3_open(f->path, &other), SQLITE_OK);
        if (sqlite3_exec(other, sql, NULL, NULL, &error) != SQLITE_OK)
                fail_msg("%s: %s", sql, error);
        assert_int_equal(sqlite3_close(other), SQLITE_OK);
        assert_int_equal(registry_db_open(f->path, &f->db), 0);
}

static void test_an_empty_database_loads_nothing(void **state) {
        Fixture *f = *state;
        struct stat st;

        load(f, &boot_a, at(100, 100));
        assert_int_equal(f->loaded.n_loaded, 0);
        assert_int_equal(f->loaded.n_skipped, 0);
        assert_int_equal(f->loaded.last_id, 0);
        assert_int_equal(registry_db_check(f->db), 0);
        assert_int_equal(stat(f->path, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0600);
        assert_int_equal(registry_db_open("/nowhere/at/all.db", &(RegistryDb *){ NULL }), -ENOENT);
}

static void test_records_come_back_as_they_were(void **state) {
        Fixture *f = *state;
        PeerInfo records[] = { info_of(7, true, 900 * SEC), info_of(3, false, USEC_INFINITY), info_of(UINT32_MAX - 1, true, 700 * SEC) };

        records[0].endpoint = endpoint("[2001:db8::1]:65535");
        records[2].advertised = true;
        records[2].host = "";
        write_batch(f, records, 3, &boot_a, at(100, 100));
        reopen(f, 0);
        load(f, &boot_a, at(200, 200));
        assert_true(f->loaded.same_boot);
        assert_int_equal(f->loaded.n_loaded, 3);
        assert_int_equal(f->loaded.last_id, UINT32_MAX - 1);
        for (size_t i = 0; i < 3; i++) {
                const PeerInfo got = get(f->list, records[i].id);

                assert_true(got.cookie == records[i].cookie);
                assert_int_equal(got.active, records[i].active);
                assert_int_equal(got.advertised, records[i].advertised);
                assert_true(endpoint_equal(&got.endpoint, &records[i].endpoint));
                assert_true(got.expires_at == records[i].expires_at);
                assert_true(got.registered_at == records[i].registered_at);
                assert_int_equal(got.first_day, records[i].first_day);
                assert_memory_equal(got.counts, records[i].counts, sizeof(got.counts));
                assert_string_equal(got.host, records[i].host);
        }
}

static void test_a_batch_replaces_and_deletes(void **state) {
        Fixture *f = *state;
        PeerInfo records[] = { info_of(1, true, 900 * SEC), info_of(2, true, 900 * SEC), info_of(3, true, 900 * SEC) };
        const uint32_t deleted[] = { 2, 99 };
        RegistryDbBatch batch = { records, 1, deleted, 2, 50, boot_a, at(200, 200) };

        write_batch(f, records, 3, &boot_a, at(100, 100));
        records[0].expires_at = 1000 * SEC;
        assert_int_equal(registry_db_write(f->db, &batch), 0);
        load(f, &boot_a, at(200, 200));
        assert_string_equal(active_ids(f->list, true), "1 3");
        assert_true(get(f->list, 1).expires_at == 1000 * SEC);
        /* Id 50 was given once and is forgotten. */
        assert_int_equal(f->loaded.last_id, 50);
        assert_int_equal(register_new(f->list, 5, "192.0.2.1:1", AT(200)), 51);
}

static void test_same_boot_the_point_counts(void **state) {
        Fixture *f = *state;
        const PeerInfo records[] = { info_of(1, true, 900 * SEC), info_of(2, true, 300 * SEC), info_of(3, false, 5000 * SEC) };

        write_batch(f, records, 3, &boot_a, at(100, 100));
        /* The wall clock may be anything, the ids are known. */
        load(f, &boot_a, at(500, 99999999));
        assert_true(f->loaded.same_boot);
        assert_true(get(f->list, 1).expires_at == 900 * SEC);
        assert_string_equal(expired_ids(f->list, AT(500)), "-2");
        assert_true(get(f->list, 3).expires_at == 5000 * SEC);
}

static void test_another_boot_what_was_left_counts(void **state) {
        Fixture *f = *state;
        PeerInfo records[] = { info_of(1, true, 90000 * SEC), info_of(2, true, 80100 * SEC), info_of(3, false, 95000 * SEC),
                               info_of(4, true, 79000 * SEC), info_of(5, false, USEC_INFINITY) };

        write_batch(f, records, 5, &boot_a, at(80000, 80000));
        load(f, &boot_b, at(20, 80000 + 86400));                /* a day was switched off, and is not charged */
        assert_false(f->loaded.same_boot);
        assert_int_equal(f->loaded.last_id, 40);
        assert_true(get(f->list, 1).expires_at == 10020 * SEC);
        assert_true(get(f->list, 2).expires_at == 120 * SEC);
        assert_true(get(f->list, 3).expires_at == 15020 * SEC);
        assert_true(get(f->list, 4).expires_at == 20 * SEC);
        assert_true(get(f->list, 5).expires_at == USEC_INFINITY);

        /* Some records are written in this boot, the others not; then the daemon starts again, and again after a boot. */
        records[1].expires_at = 7300 * SEC;
        write_batch(f, &records[1], 1, &boot_b, at(100, 80000 + 86480));
        reopen(f, 0);
        load(f, &boot_b, at(110, 80000 + 86490));
        assert_true(f->loaded.same_boot);
        assert_true(get(f->list, 1).expires_at == 10020 * SEC);
        assert_true(get(f->list, 2).expires_at == 7300 * SEC);
        load(f, &boot_a, at(5, 0));
        assert_true(get(f->list, 1).expires_at == (10020 - 100 + 5) * SEC);
        assert_true(get(f->list, 2).expires_at == (7300 - 100 + 5) * SEC);
}

static void test_boots_are_told_apart_without_an_id(void **state) {
        static const struct {
                usec_t then_boot, then_real, now_boot, now_real;
                bool same;
        } table[] = {
                { 100, 1000, 200, 1100, true },
                { 100, 1000, 100, 1000, true },
                { 100, 1000, 200, 1219, true },         /* the wall clock was put forward by less than two minutes */
                { 100, 1000, 200, 1220, false },
                { 100, 1000, 200, 981, true },
                { 100, 1000, 200, 980, false },
                { 100, 1000, 99, 999, false },          /* BOOTTIME does not go back */
                { 5000, 9000, 6000, 86400, false },
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                BootStamp then = { boot_unknown, at(table[i].then_boot, table[i].then_real) };
                BootStamp now = { boot_unknown, at(table[i].now_boot, table[i].now_real) };

                assert_int_equal(boot_is_same(&then, &now), table[i].same);
                then.id = boot_a;               /* known on one side only: of no help */
                assert_int_equal(boot_is_same(&then, &now), table[i].same);
                now.id = boot_a;
                assert_int_equal(boot_is_same(&then, &now), table[i].then_boot <= table[i].now_boot);
                now.id = boot_b;
                assert_false(boot_is_same(&then, &now));
        }
        assert_false(boot_is_same(&(BootStamp){ boot_unknown, { 0, INT64_MAX } }, &(BootStamp){ boot_unknown, { INT64_MAX, 0 } }));
        assert_false(boot_id_is_known(&boot_unknown));
        assert_true(boot_id_is_known(&boot_a));
        (void) boot_id_get();
}

static void test_rows_that_make_no_sense_are_skipped(void **state) {
        static const char *const faults[] = {
                "port = 0",
                "port = 65536",
                "port = 'x'",
                "cookie = 0",
                "cookie = 9007199254740992",
                "cookie = -1",
                "id = 0",
                "id = 4294967296",
                "id = -5",
                "active = 2",
                "advertised = -1",
                "address = x'01'",
                "address = 'ab'",
                "address = zeroblob(16)",
                "address = x'00000000000000000000ffffa9fe0101'",
                "counts = zeroblob(59)",
                "counts = zeroblob(0)",
                "counts = 5",
                "host = cast(x'ff' as text)",
                "host = cast(x'610a62' as text)",
                "host = cast(x'6100' as text)",
                "host = 7.5e0 || x'00'",
                "host = zeroblob(3)",
                "host = printf('%300s', 'h')",
                "expires_at = -1",
                "expires_at = 'soon'",
                "expires_at = 9223372036854775806",         /* a sum of it is no integer any more */
                "registered_at = -1",
                "first_day = 2147483648",
        };
        Fixture *f = *state;

        for (size_t i = 0; i < ELEMENTSOF(faults); i++) {
                const PeerInfo records[] = { info_of(1, true, 900 * SEC), info_of(2, true, 900 * SEC), info_of(3, true, 900 * SEC) };
                char sql[256];

                write_batch(f, records, 3, &boot_a, at(100, 100));
                (void) snprintf(sql, sizeof(sql), "UPDATE peers SET %s WHERE id = 2", faults[i]);
                tamper(f, sql);
                load(f, &boot_b, at(200, 200));
                if (f->loaded.n_loaded != 2 || f->loaded.n_skipped != 1)
                        fail_msg("%s: %zu loaded, %zu skipped", faults[i], f->loaded.n_loaded, f->loaded.n_skipped);
                assert_string_equal(active_ids(f->list, true), "1 3");
                tamper(f, "DELETE FROM peers");
        }
}

static void test_doubles_are_skipped(void **state) {
        Fixture *f = *state;
        PeerInfo records[] = { info_of(1, true, 900 * SEC), info_of(2, true, 900 * SEC), info_of(3, true, 900 * SEC) };

        records[1].cookie = records[0].cookie;
        write_batch(f, records, 3, &boot_a, at(100, 100));
        load(f, &boot_a, at(200, 200));
        assert_int_equal(f->loaded.n_loaded, 2);
        assert_int_equal(f->loaded.n_skipped, 1);
        assert_string_equal(active_ids(f->list, true), "1 3");
}

static void test_an_id_of_a_record_that_is_skipped_is_not_given_again(void **state) {
        Fixture *f = *state;
        PeerInfo records[] = { info_of(1, true, 900 * SEC), info_of(2, true, 900 * SEC) };

        records[1].cookie = records[0].cookie;
        write_batch(f, records, 2, &boot_a, at(100, 100));
        tamper(f, "UPDATE meta SET last_id = 1");
        load(f, &boot_a, at(200, 200));
        assert_int_equal(f->loaded.n_skipped, 1);
        assert_int_equal(f->loaded.last_id, 2);
}

static void test_a_lost_meta_row_costs_no_record(void **state) {
        Fixture *f = *state;
        const PeerInfo record = info_of(7, true, 900 * SEC);

        write_batch(f, &record, 1, &boot_a, at(100, 100));
        tamper(f, "DELETE FROM meta");
        load(f, &boot_a, at(200, 200));
        assert_false(f->loaded.same_boot);
        assert_int_equal(f->loaded.last_id, 7);
        assert_string_equal(active_ids(f->list, true), "7");
        assert_int_equal(registry_db_check(f->db), 0);
}

static void overwrite(const char *path, off_t offset, const char *bytes, size_t size) {
        int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

        assert_true(fd >= 0);
        assert_int_equal(pwrite(fd, bytes, size, offset), size);
        assert_int_equal(close(fd), 0);
}

static void test_a_damaged_file_is_moved_aside(void **state) {
        Fixture *f = *state;
        char damaged[4300], junk[4096];
        struct stat st;

        memset(junk, 'j', sizeof(junk));
        for (unsigned i = 1; i <= 2; i++) {
                PeerInfo record = info_of(1, true, 900 * SEC);

                write_batch(f, &record, 1, &boot_a, at(100, 100));
                f->db = registry_db_close(f->db);
                /* once the head of the file, once a page in it */
                overwrite(f->path, i == 1 ? 0 : 4096, junk, sizeof(junk));
                assert_int_equal(registry_db_open(f->path, &f->db), REGISTRY_DB_DAMAGED);
                (void) snprintf(damaged, sizeof(damaged), "%s.damaged-%u", f->path, i);
                assert_int_equal(stat(damaged, &st), 0);
                load(f, &boot_a, at(200, 200));
                assert_int_equal(f->loaded.n_loaded, 0);
                write_batch(f, &record, 1, &boot_a, at(100, 100));
                reopen(f, 0);
                load(f, &boot_a, at(200, 200));
                assert_int_equal(f->loaded.n_loaded, 1);
        }
}

static void test_a_foreign_file_is_moved_aside(void **state) {
        Fixture *f = *state;
        char damaged[4300];
        struct stat st;

        f->db = registry_db_close(f->db);
        assert_int_equal(unlink(f->path), 0);
        overwrite(f->path, 0, "my holiday pictures", 19);
        assert_int_equal(registry_db_open(f->path, &f->db), REGISTRY_DB_DAMAGED);
        (void) snprintf(damaged, sizeof(damaged), "%s.damaged-1", f->path);
        assert_int_equal(stat(damaged, &st), 0);
        assert_int_equal(st.st_size, 19);
}

static void test_a_second_process_is_kept_out(void **state) {
        Fixture *f = *state;
        RegistryDb *second = NULL;

        assert_int_equal(registry_db_open(f->path, &second), -EBUSY);
        assert_null(second);
        assert_int_equal(registry_db_check(f->db), 0);
}

static int refuse_to_go_on(const PeerInfo *info, void *userdata) {
        (void) info;
        (void) userdata;
        return -ENOMEM;
}

static void test_a_handler_can_end_the_load(void **state) {
        Fixture *f = *state;
        const PeerInfo record = info_of(1, true, 900 * SEC);
        const Now now = at(200, 200);
        RegistryDbLoaded loaded;

        write_batch(f, &record, 1, &boot_a, at(100, 100));
        assert_int_equal(registry_db_load(f->db, &boot_a, &now, refuse_to_go_on, NULL, &loaded), -ENOMEM);
        write_batch(f, &record, 1, &boot_a, at(100, 100));
}

/* As the daemon does it: what the list queues is written, batch by batch, and a list from disk is the same list. */
static void test_what_the_list_queues_is_all_there_is_to_write(void **state) {
        Fixture *f = *state;
        PeerList *l = new_list_of(300, 1000);
        PeerInfo a = { 0 }, b = { 0 };
        bool was_active, a_more, b_more;
        uint32_t id;

        for (uint32_t i = 1; i <= 1000; i++) {
                const Endpoint e = endpoint_number(i % 280);
                uint32_t ids[64], deleted[64];
                PeerInfo records[64];
                RegistryDbBatch batch = { .records = records, .deleted_ids = deleted, .boot_id = boot_a, .now = at(1000 + i, 0) };

                assert_int_equal(try_register(l, 0, i, &e, AT(i), NULL), 0);
                assert_true(peer_list_touch(l, i / 2, AT(i), &id) >= 0);
                if (i % 7 == 0)
                        assert_true(peer_list_leave(l, i - 3, AT(i), &id, &was_active) >= 0);
                for (size_t n = peer_list_take_changes(l, ids, i == 1000 ? 64 : i % 50); n > 0; n--) {
                        if (peer_list_get(l, ids[n - 1], &records[batch.n_records]))
                                batch.n_records++;
                        else
                                deleted[batch.n_deleted++] = ids[n - 1];
                }
                batch.last_id = peer_list_last_id(l);
                assert_int_equal(registry_db_write(f->db, &batch), 0);
        }
        assert_false(peer_list_has_changes(l));
        assert_int_equal(peer_list_count(l), 300);
        reopen(f, 0);
        load(f, &boot_a, at(2000, 0));
        assert_int_equal(f->loaded.n_skipped, 0);
        assert_int_equal(f->loaded.last_id, 1000);
        do {
                a_more = peer_list_next(l, a.id, &a);
                b_more = peer_list_next(f->list, b.id, &b);
                assert_int_equal(a_more, b_more);
                assert_int_equal(a.id, b.id);
                assert_true(a.cookie == b.cookie && a.active == b.active && a.expires_at == b.expires_at);
        } while (a_more);
        (void) peer_list_free(l);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        const struct CMUnitTest tests[] = {
                TEST(test_an_empty_database_loads_nothing),
                TEST(test_records_come_back_as_they_were),
                TEST(test_a_batch_replaces_and_deletes),
                TEST(test_same_boot_the_point_counts),
                TEST(test_another_boot_what_was_left_counts),
                cmocka_unit_test(test_boots_are_told_apart_without_an_id),
                TEST(test_rows_that_make_no_sense_are_skipped),
                TEST(test_doubles_are_skipped),
                TEST(test_an_id_of_a_record_that_is_skipped_is_not_given_again),
                TEST(test_a_lost_meta_row_costs_no_record),
                TEST(test_a_damaged_file_is_moved_aside),
                TEST(test_a_foreign_file_is_moved_aside),
                TEST(test_a_second_process_is_kept_out),
                TEST(test_a_handler_can_end_the_load),
                TEST(test_what_the_list_queues_is_all_there_is_to_write),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
