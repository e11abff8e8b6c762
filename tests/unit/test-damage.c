/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * Database files that were damaged or tampered with. Whatever is in one: it opens, as it is or moved aside; what is read
 * from it makes sense; and what is written is there at the next opening, which finds nothing wrong.
 *
 * P2PDI_DAMAGES=n: so many of those that are drawn, of each database, and all that are enumerated; P2PDI_DAMAGE_SEED=n:
 * other ones.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "temp-dir.h"

#include "core/proto.h"
#include "core/text.h"
#include "io/catalogue.h"
#include "io/registry-db.h"
#include "io/state.h"

#define DAMAGES 60
/* Of what is enumerated one in so many is tried where P2PDI_DAMAGES is not set: a second of work is enough for make check. */
#define ONE_IN 5
#define SEED 1
#define N_ROWS 60
/* The row that is written after the damage. */
#define NEW 4242

/* What is tried is no disk: nobody waits for one. SQLite calls these, as everybody does. */
int fsync(int fd) {
        (void) fd;
        return 0;
}

int fdatasync(int fd) {
        (void) fd;
        return 0;
}

/* One of the three. Both answer what the opening did: 0, or 1 where the file was moved aside. */
typedef struct Kind {
        const char *name;
        const char *const *tables;      /* "table column", up to NULL */
        /* Makes one with N_ROWS rows, and calls `open` (may be NULL) while it is open still. */
        void (*make)(const char *path, void (*open)(const char *path, void *userdata), void *userdata);
        int (*use)(const char *path);   /* reads all, then writes NEW */
        bool (*has_new)(const char *path);
} Kind;

/* ---- the registry ---- */

static const BootId boot = { { 7 } };
static const Now now = { .boottime = 1000 * USEC_PER_SEC, .realtime = UINT64_C(1700000000) * USEC_PER_SEC };

static PeerInfo info_of(uint32_t id) {
        PeerInfo info = {
                .id = id,
                .cookie = 1000000 + id,
                .active = id % 2,
                .expires_at = 2000 * USEC_PER_SEC,
                .registered_at = now.realtime,
                .first_day = 19000,
                .host = "host.example",
        };

        assert_int_equal(endpoint_from_text(SLICE_LITERAL("192.0.2.1:1"), &info.endpoint), 0);
        info.endpoint.port = (uint16_t) id;
        return info;
}

static void registry_put(RegistryDb *db, uint32_t first, size_t n) {
        PeerInfo info[N_ROWS];
        const RegistryDbBatch batch = { .records = info, .n_records = n, .last_id = first, .boot_id = boot, .now = now };

        for (uint32_t i = 0; i < n; i++)
                info[i] = info_of(first + i);
        assert_int_equal(registry_db_write(db, &batch), 0);
}

static void registry_make(const char *path, void (*open)(const char *path, void *userdata), void *userdata) {
        _cleanup_(registry_db_close_p) RegistryDb *db = NULL;

        assert_int_equal(registry_db_open(path, &db), 0);
        registry_put(db, 1, N_ROWS);
        if (open)
                open(path, userdata);
}

static int registry_row(const PeerInfo *info, void *userdata) {
        bool *has_new = userdata;

        assert_true(info->id > 0 && info->endpoint.port > 0 && info->cookie > 0 && info->cookie <= PROTO_COOKIE_MAX);
        assert_true(strlen(info->host) <= PEER_HOST_MAX && !text_has_control(slice_of(info->host)));
        *has_new = *has_new || info->id == NEW;
        return 0;
}

static bool registry_read(RegistryDb *db) {
        RegistryDbLoaded loaded;
        bool has_new = false;
        size_t n;

        assert_int_equal(registry_db_count(db, &n), 0);
        assert_int_equal(registry_db_load(db, &boot, &now, registry_row, &has_new, &loaded), 0);
        assert_int_equal(n, loaded.n_loaded + loaded.n_skipped);
        return has_new;
}

static int registry_use(const char *path) {
        _cleanup_(registry_db_close_p) RegistryDb *db = NULL;
        int r = registry_db_open(path, &db);

        if (r < 0)
                return r;
        (void) registry_read(db);
        registry_put(db, NEW, 1);
        return r;
}

static bool registry_has_new(const char *path) {
        _cleanup_(registry_db_close_p) RegistryDb *db = NULL;

        assert_int_equal(registry_db_open(path, &db), 0);
        return registry_read(db);
}

/* ---- the peer's state ---- */

static void server_name(unsigned i, char ret[32]) {
        (void) snprintf(ret, 32, "rs%u.example:65423", i);
}

static void state_make(const char *path, void (*open)(const char *path, void *userdata), void *userdata) {
        _cleanup_(state_free_p) State *s = NULL;
        Endpoint peers[N_ROWS];
        char name[32];

        assert_int_equal(state_open(path, &s), 0);
        for (unsigned i = 0; i < N_ROWS; i++) {
                server_name(i, name);
                assert_int_equal(state_set_cookie(s, name, 77 + i, i), 0);
                peers[i] = info_of(i + 1).endpoint;
        }
        assert_int_equal(state_set_peers(s, peers, N_ROWS), 0);
        if (open)
                open(path, userdata);
}

static int state_use(const char *path) {
        _cleanup_(state_free_p) State *s = NULL;
        int r = state_open(path, &s);
        const Endpoint peer = info_of(NEW).endpoint;
        Endpoint peers[N_ROWS];
        uint64_t cookie;
        uint32_t id;
        size_t n;
        char name[32];

        if (r < 0)
                return r;
        for (unsigned i = 0; i < N_ROWS; i++) {
                server_name(i, name);
                int k = state_get_cookie(s, name, &cookie, &id);

                assert_true(k == STATE_NONE || (k == 0 && cookie > 0 && cookie <= PROTO_COOKIE_MAX));
        }
        assert_int_equal(state_get_peers(s, peers, N_ROWS, &n), 0);
        for (size_t i = 0; i < n; i++)
                assert_true(peers[i].port > 0 && address_is_usable(&peers[i].address));
        assert_int_equal(state_set_cookie(s, "new", NEW, NEW), 0);
        assert_int_equal(state_set_peers(s, &peer, 1), 0);
        return r;
}

static bool state_has_new(const char *path) {
        _cleanup_(state_free_p) State *s = NULL;
        Endpoint peer;
        uint64_t cookie;
        uint32_t id;
        size_t n;

        assert_int_equal(state_open(path, &s), 0);
        return state_get_cookie(s, "new", &cookie, &id) == 0 && cookie == NEW && id == NEW &&
               state_get_peers(s, &peer, 1, &n) == 0 && n == 1 && peer.port == NEW;
}

/* ---- the catalogue of the library ---- */

static void catalogue_write(Catalogue *c, uint32_t first, uint32_t last) {
        for (uint32_t n = first; n <= last; n++) {
                const CatalogueRow row = {
                        .number = n,
                        .stamp = { .inode = n, .size = 1000, .mtime_nsec = 5 },
                        .digest.bytes = { (uint8_t) n },
                        .text_title = "A Title",
                };
                const CatalogueCare care = { .number = n, .pinned = true, .read_at = now.realtime, .damaged = n % 2 };

                assert_int_equal(catalogue_put(c, &row), 0);
                assert_int_equal(catalogue_put_care(c, &care), 0);
        }
        assert_int_equal(catalogue_commit(c), 0);
}

static void catalogue_make(const char *path, void (*open)(const char *path, void *userdata), void *userdata) {
        _cleanup_(catalogue_free_p) Catalogue *c = NULL;

        assert_int_equal(catalogue_open(path, &c), 0);
        catalogue_write(c, 1, N_ROWS);
        if (open)
                open(path, userdata);
}

static int catalogue_row(const CatalogueRow *row, void *userdata) {
        bool *has_new = userdata;

        assert_true(row->number > 0);
        assert_true(!row->text_title || !text_has_control(slice_of(row->text_title)));
        *has_new = *has_new || row->number == NEW;
        return 0;
}

static int catalogue_care(const CatalogueCare *care, void *userdata) {
        (void) userdata;
        assert_true(care->number > 0);
        return 0;
}

static bool catalogue_read(Catalogue *c) {
        bool has_new = false;

        assert_int_equal(catalogue_load(c, catalogue_row, &has_new), 0);
        assert_int_equal(catalogue_load_care(c, catalogue_care, NULL), 0);
        return has_new;
}

static int catalogue_use(const char *path) {
        _cleanup_(catalogue_free_p) Catalogue *c = NULL;
        int r = catalogue_open(path, &c);

        if (r < 0)
                return r;
        (void) catalogue_read(c);
        catalogue_write(c, NEW, NEW);
        return r;
}

static bool catalogue_has_new(const char *path) {
        _cleanup_(catalogue_free_p) Catalogue *c = NULL;

        assert_int_equal(catalogue_open(path, &c), 0);
        return catalogue_read(c);
}

static const char *const registry_tables[] = {
        "meta last_id", "meta boot_id", "meta boottime", "meta realtime", "peers id", "peers cookie", "peers active",
        "peers advertised", "peers address", "peers port", "peers expires_at", "peers registered_at", "peers first_day",
        "peers counts", "peers host", NULL,
};
static const char *const state_tables[] = {
        "server name", "server cookie", "server peer_id", "peer position", "peer address", "peer port", NULL,
};
static const char *const catalogue_tables[] = {
        "document number", "document inode", "document size", "document mtime_nsec", "document digest",
        "document text_title", "document json_inode", "document json_title", "care number", "care pinned", "care read_usec",
        "care inode", "care expected", NULL,
};
static const Kind kinds[] = {
        { "registry", registry_tables, registry_make, registry_use, registry_has_new },
        { "state", state_tables, state_make, state_use, state_has_new },
        { "catalogue", catalogue_tables, catalogue_make, catalogue_use, catalogue_has_new },
};

/* ---- a file, as it was ---- */

typedef struct Fixture {
        char *directory;
        char path[4200];
        unsigned n_tried, n_aside;
} Fixture;

typedef struct Bytes {
        uint8_t *data;
        size_t size;
} Bytes;

static Bytes read_bytes(const char *path, const char *suffix) {
        char name[4300];
        struct stat st;
        Bytes b = { 0 };
        int fd;

        (void) snprintf(name, sizeof(name), "%s%s", path, suffix);
        fd = open(name, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return b;
        assert_int_equal(fstat(fd, &st), 0);
        b.size = (size_t) st.st_size;
        b.data = malloc(b.size + 1);
        assert_non_null(b.data);
        assert_int_equal(read(fd, b.data, b.size), b.size);
        assert_int_equal(close(fd), 0);
        return b;
}

static void write_bytes(const char *path, const char *suffix, const uint8_t *data, size_t size) {
        char name[4300];
        int fd;

        (void) snprintf(name, sizeof(name), "%s%s", path, suffix);
        fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        assert_true(fd >= 0);
        assert_int_equal(write(fd, data, size), size);
        assert_int_equal(close(fd), 0);
}

/* A directory without anything in it, for the next one. */
static void begin(Fixture *f, const Kind *k) {
        if (f->directory)
                temp_dir_remove(f->directory);
        f->directory = temp_dir_make("damage");
        (void) snprintf(f->path, sizeof(f->path), "%s/%s.db", f->directory, k->name);
}

static int setup(void **state) {
        *state = calloc(1, sizeof(Fixture));
        return *state ? 0 : -1;
}

static int teardown(void **state) {
        Fixture *f = *state;

        if (f->directory)
                temp_dir_remove(f->directory);
        free(f);
        return 0;
}

static int try(Fixture *f, const Kind *k, const char *what) {
        int r = k->use(f->path);

        if (r < 0)
                fail_msg("%s, %s: %s", k->name, what, strerror(-r));
        if (!k->has_new(f->path))
                fail_msg("%s, %s: what is written is not there", k->name, what);
        f->n_tried++;
        f->n_aside += r > 0;
        return r;
}

static void tell(const Fixture *f, const char *what) {
        print_message("%s: %u tried, %u of them moved aside, the others went on as they were\n", what, f->n_tried, f->n_aside);
}

/* ---- bytes ---- */

static unsigned long from_environment(const char *name, unsigned long otherwise) {
        const char *text = getenv(name);

        return text && *text ? strtoul(text, NULL, 10) : otherwise;
}

static bool is_passed_over(size_t i) {
        return i % ONE_IN != 0 && !getenv("P2PDI_DAMAGES");
}

static uint64_t draw(uint64_t *seed, uint64_t below) {
        *seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        return (*seed >> 33) % below;
}

/* Something that happens to files: to a part, to a page, to the end. */
static void damage(Bytes *b, uint64_t *seed) {
        size_t at = draw(seed, b->size), page = at / 4096 * 4096, size = MIN_OF((size_t) 4096, b->size - page);

        switch (draw(seed, 7)) {
        case 0:
                b->size = at;
                break;
        case 1:
                b->size = page;
                break;
        case 2:
                memset(b->data + page, draw(seed, 2) ? 0 : 0xff, size);
                break;
        case 3:
                for (size_t i = 0; i < size; i++)
                        b->data[page + i] = (uint8_t) draw(seed, 256);
                break;
        case 4:
                memcpy(b->data + page, b->data, size);
                break;
        case 5:
                b->data[draw(seed, MIN_OF((size_t) 100, b->size))] = (uint8_t) draw(seed, 256);
                break;
        default:
                for (uint64_t n = draw(seed, 8) + 1; n > 0; n--)
                        b->data[draw(seed, b->size)] ^= (uint8_t) (1 << draw(seed, 8));
        }
}

static void try_bytes(Fixture *f, const Kind *k, const Bytes *file, const Bytes *log, const char *what) {
        begin(f, k);
        write_bytes(f->path, "", file->data, file->size);
        if (log->size > 0)
                write_bytes(f->path, "-wal", log->data, log->size);
        (void) try(f, k, what);
}

static Bytes copy_of(const Bytes *b) {
        Bytes copy = { malloc(b->size + 1), b->size };

        assert_non_null(copy.data);
        memcpy(copy.data, b->data, b->size);
        return copy;
}

typedef struct Taken {
        Bytes file, log;
} Taken;

static void take(const char *path, void *userdata) {
        Taken *t = userdata;

        t->file = read_bytes(path, "");
        t->log = read_bytes(path, "-wal");
}

/* The file alone, and with its log as a crash leaves it: in one of the two something turns. */
static void test_damaged_bytes(void **state) {
        Fixture *f = *state;
        unsigned long n = from_environment("P2PDI_DAMAGES", DAMAGES), first = from_environment("P2PDI_DAMAGE_SEED", SEED);

        for (const Kind *k = kinds; k < kinds + ELEMENTSOF(kinds); k++) {
                const Bytes none = { 0 };
                Taken open = { 0 };
                Bytes closed;

                begin(f, k);
                k->make(f->path, take, &open);
                closed = read_bytes(f->path, "");
                assert_true(open.log.size > 4096 && closed.size > 8192);
                for (unsigned long i = 0; i < n; i++) {
                        uint64_t seed = first * 1000003 + i;
                        bool of_log = i % 3 == 2;
                        Bytes b = copy_of(of_log ? &open.log : i % 3 == 1 ? &open.file : &closed);
                        char what[64];

                        (void) snprintf(what, sizeof(what), "seed %lu, number %lu", first, i);
                        if (b.size > 0)
                                damage(&b, &seed);
                        if (of_log)
                                try_bytes(f, k, &open.file, &b, what);
                        else
                                try_bytes(f, k, &b, i % 3 == 1 ? &open.log : &none, what);
                        free(b.data);
                }
                free(closed.data);
                free(open.file.data);
                free(open.log.data);
        }
        tell(f, "damaged bytes");
}

/* A good one, closed in good order. */
static Bytes make_bytes(Fixture *f, const Kind *k) {
        begin(f, k);
        k->make(f->path, NULL, NULL);
        return read_bytes(f->path, "");
}

/* Each byte of the header is read by SQLite, and has its own ways to be refused. */
static void test_each_byte_of_the_header(void **state) {
        static const uint8_t values[] = { 0, 1, 3, 0xff };
        const Kind *k = &kinds[1];
        const Bytes none = { 0 };
        Fixture *f = *state;
        Bytes good = make_bytes(f, k);

        for (size_t at = 0; at < 100; at++)
                for (size_t v = 0; v < ELEMENTSOF(values); v++) {
                        Bytes b;
                        char what[64];

                        if (is_passed_over(at + v))
                                continue;
                        b = copy_of(&good);
                        (void) snprintf(what, sizeof(what), "byte %zu is %u", at, values[v]);
                        b.data[at] = values[v];
                        try_bytes(f, k, &b, &none, what);
                        free(b.data);
                }
        free(good.data);
        tell(f, "bytes of the header");
}

/* ---- SQL ---- */

static bool run_sql(const char *path, const char *sql) {
        sqlite3 *db = NULL;
        int rc;

        assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
        rc = sqlite3_exec(db, sql, NULL, NULL, NULL);
        assert_int_equal(sqlite3_close(db), SQLITE_OK);
        return rc == SQLITE_OK;
}

/* The SQL with the words of "table column" in it. */
static void fill(const char *sql, const char *words, char ret[512]) {
        size_t n = 0;

        for (; *sql; sql++) {
                const char *column = strchr(words, ' ') + 1;
                int k = *sql == '@' ? snprintf(ret + n, 512 - n, "%.*s", (int) strcspn(words, " "), words) :
                        *sql == '#' ? snprintf(ret + n, 512 - n, "%s", column) : snprintf(ret + n, 512 - n, "%c", *sql);

                n += (size_t) k;
                assert_true(n < 512);
        }
}

static bool is_first_of_table(const Kind *k, const char *const *t) {
        return t == k->tables || strncmp(t[-1], t[0], strcspn(t[0], " ") + 1) != 0;
}

/* The same file again and again, with that done to it. false: SQLite did not. */
static bool begin_with(Fixture *f, const Kind *k, const Bytes *file, const char *sql) {
        begin(f, k);
        write_bytes(f->path, "", file->data, file->size);
        return run_sql(f->path, sql);
}

/* @: a table; #: a column of it. */
static const char *const schemas[] = {
        "CREATE TRIGGER t AFTER INSERT ON @ BEGIN DELETE FROM @; END",
        "CREATE TRIGGER t BEFORE INSERT ON @ BEGIN SELECT RAISE(ABORT, 'no'); END",
        "CREATE TRIGGER t BEFORE DELETE ON @ BEGIN SELECT RAISE(IGNORE); END",
        "CREATE VIEW v AS SELECT * FROM @",
        "ALTER TABLE @ RENAME TO other",
        "ALTER TABLE @ RENAME TO other; CREATE VIEW @ AS SELECT * FROM other",
        "ALTER TABLE @ ADD COLUMN more",
        "ALTER TABLE @ ADD COLUMN more NOT NULL DEFAULT 1",
        "ALTER TABLE @ RENAME COLUMN # TO other",
        "DROP TABLE @; CREATE TABLE @ (a, b, c)",
        "CREATE TABLE more (a)",
        "CREATE UNIQUE INDEX u ON @ (#)",
        "PRAGMA user_version = 2",
        "PRAGMA user_version = -1",
        "PRAGMA writable_schema = ON; UPDATE sqlite_master SET sql = 'rubbish' WHERE name = '@'",
        "PRAGMA writable_schema = ON; UPDATE sqlite_master SET rootpage = 99 WHERE name = '@'",
        "PRAGMA writable_schema = ON; UPDATE sqlite_master SET rootpage = 1 WHERE name = '@'",
        "PRAGMA writable_schema = ON; UPDATE sqlite_master SET sql = NULL",
        "PRAGMA writable_schema = ON; UPDATE sqlite_master SET type = 'view' WHERE name = '@'",
        "PRAGMA writable_schema = ON; DELETE FROM sqlite_master",
        "PRAGMA writable_schema = ON; INSERT INTO sqlite_master SELECT * FROM sqlite_master",
        "PRAGMA writable_schema = ON; UPDATE sqlite_master SET sql = replace(sql, 'NOT NULL', 'NOT NULL CHECK (0)')",
        "PRAGMA writable_schema = ON; UPDATE sqlite_master SET sql = replace(sql, 'NOT NULL', '')",
};

static void test_another_schema(void **state) {
        Fixture *f = *state;

        for (const Kind *k = kinds; k < kinds + ELEMENTSOF(kinds); k++) {
                Bytes good = make_bytes(f, k);

                for (size_t i = 0; i < ELEMENTSOF(schemas); i++)
                        for (const char *const *t = k->tables; *t; t++) {
                                char sql[512];

                                if (!is_first_of_table(k, t))
                                        continue;
                                fill(schemas[i], *t, sql);
                                if (!begin_with(f, k, &good, sql))
                                        fail_msg("%s, %s: SQLite does not do that", k->name, sql);
                                if (try(f, k, sql) == 0)
                                        fail_msg("%s, %s: is used as it is", k->name, sql);
                        }
                free(good.data);
        }
        tell(f, "other schemas");
}

/* What does not change what is kept is no reason to lose it; nor is a table that is not there, as in a file of before it. */
static void test_the_same_schema(void **state) {
        static const char *const harmless[] = {
                "VACUUM", "ANALYZE", "DROP TABLE @", "PRAGMA journal_mode = DELETE", "PRAGMA auto_vacuum = FULL; VACUUM",
                "PRAGMA journal_mode = DELETE; PRAGMA page_size = 512; VACUUM",
                "PRAGMA journal_mode = DELETE; PRAGMA page_size = 65536; VACUUM",
        };
        Fixture *f = *state;

        for (const Kind *k = kinds; k < kinds + ELEMENTSOF(kinds); k++) {
                Bytes good = make_bytes(f, k);

                for (size_t i = 0; i < ELEMENTSOF(harmless); i++) {
                        char sql[512];

                        fill(harmless[i], k->tables[0], sql);
                        assert_true(begin_with(f, k, &good, sql));
                        assert_int_equal(try(f, k, sql), 0);
                }
                free(good.data);
        }
        tell(f, "the same schemas");
}

static const char *const values[] = {
        "-1", "0", "1", "65536", "4294967296", "9007199254740992", "9223372036854775807", "-9223372036854775808", "1.5",
        "9e999", "'text'", "''", "'12'", "char(27) || '[31m'", "CAST(x'ff' AS TEXT)", "CAST(x'610062' AS TEXT)", "x''",
        "x'00'", "zeroblob(16)", "zeroblob(32)", "zeroblob(60)", "zeroblob(100000)", "CAST(zeroblob(100000) AS TEXT)",
        "replace(hex(zeroblob(5000)), '0', 'x')",
};

static void test_values_without_sense(void **state) {
        Fixture *f = *state;

        for (const Kind *k = kinds; k < kinds + ELEMENTSOF(kinds); k++) {
                Bytes good = make_bytes(f, k);

                for (const char *const *t = k->tables; *t; t++)
                        for (size_t i = 0; i < ELEMENTSOF(values); i++) {
                                char sql[512], form[512];

                                if (is_passed_over(i + (size_t) (t - k->tables)))
                                        continue;
                                (void) snprintf(form, sizeof(form), "UPDATE OR IGNORE @ SET # = %s", values[i]);
                                fill(form, *t, sql);
                                /* A number that is the key takes no text. */
                                if (begin_with(f, k, &good, sql))
                                        (void) try(f, k, sql);
                        }
                free(good.data);
        }
        tell(f, "values without sense");
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_damaged_bytes, setup, teardown),
                cmocka_unit_test_setup_teardown(test_each_byte_of_the_header, setup, teardown),
                cmocka_unit_test_setup_teardown(test_another_schema, setup, teardown),
                cmocka_unit_test_setup_teardown(test_the_same_schema, setup, teardown),
                cmocka_unit_test_setup_teardown(test_values_without_sense, setup, teardown),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
