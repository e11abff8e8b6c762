/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The three databases as somebody may leave them who can write to the state directory: rows with anything in them. The first byte says into
 * which tables they go; then comes cell after cell: a byte for what is in it, and its bytes. What is read is within its limits, the daemons
 * can go on with it, and what they write of it is read again as it was.
 */
#include <sqlite3.h>
#include <stdio.h>
#include <unistd.h>

#include "core/proto.h"
#include "core/text.h"
#include "io/catalogue.h"
#include "io/registry-db.h"
#include "io/state.h"

#undef NDEBUG
#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ROWS_MAX 8
#define PEERS_MAX 16
#define REALTIME (1700000000 * USEC_PER_SEC)

/*
 * cells: what a good cell of each column has. i: 1, n: the number of the row, p: a point in time, t: text; blobs: a: an address, b: 16 bytes,
 * c: the counts of 30 days, d: a digest.
 */
typedef struct Table {
        const char *empty, *insert, *cells;
} Table;

static const Table META = { "", "INSERT OR REPLACE INTO meta VALUES (?, ?, ?, ?, ?)", "iibpp" };
static const Table PEERS = { "DELETE FROM peers", "INSERT OR IGNORE INTO peers VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", "nniiaippict" };
static const Table SERVER = { "DELETE FROM server", "INSERT OR IGNORE INTO server VALUES (?, ?, ?)", "tin" };
static const Table PEER = { "DELETE FROM peer", "INSERT OR IGNORE INTO peer VALUES (?, ?, ?)", "nai" };
static const Table DOCUMENT = { "DELETE FROM document", "INSERT OR IGNORE INTO document VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", "niipdtiipt" };
static const Table CARE = { "DELETE FROM care", "INSERT OR IGNORE INTO care VALUES (?, ?, ?, ?, ?, ?, ?)", "nipiipd" };

static const char *path(const char *name) {
        static char directory[200], text[240];

        if (!directory[0]) {
                const char *tmp = getenv("TMPDIR");

                assert(snprintf(directory, sizeof(directory), "%s/p2pdi-fuzz-XXXXXX", tmp ? tmp : "/tmp") < (int) sizeof(directory));
                assert(mkdtemp(directory));
        }
        (void) snprintf(text, sizeof(text), "%s/%s", directory, name);
        return text;
}

static void remove_all(void) {
        static const char *const names[] = { "registry", "state", "catalogue" };

        for (size_t i = 0; i < ELEMENTSOF(names); i++)
                (void) unlink(path(names[i]));
        (void) rmdir(path(""));
}

/* ---- Rows ---- */

static Slice take(Slice *s, size_t n) {
        Slice taken = { s->data, MIN_OF(n, s->size) };

        *s = (Slice){ s->data + taken.size, s->size - taken.size };
        return taken;
}

static int bind_good(sqlite3_stmt *s, int i, char kind, int row) {
        static const char zeros[64];
        const Address address = { { [10] = 0xff, 0xff, 192, 0, 2, (uint8_t) row } };

        switch (kind) {
        case 'a':
                return sqlite3_bind_blob(s, i, address.bytes, sizeof(address.bytes), SQLITE_TRANSIENT);
        case 'b':
                return sqlite3_bind_blob(s, i, zeros, 16, SQLITE_STATIC);
        case 'c':
                return sqlite3_bind_blob(s, i, zeros, 2 * PEER_DAYS, SQLITE_STATIC);
        case 'd':
                return sqlite3_bind_blob(s, i, zeros, DIGEST_SIZE, SQLITE_STATIC);
        case 't':
                return sqlite3_bind_text(s, i, "name", -1, SQLITE_STATIC);
        default:
                return sqlite3_bind_int64(s, i, kind == 'n' ? row : kind == 'p' ? 1000 * (int64_t) USEC_PER_SEC : 1);
        }
}

static int bind_cell(sqlite3_stmt *s, int i, char kind, int row, Slice *bytes) {
        const uint8_t how = (uint8_t) *take(bytes, 1).data;
        int64_t number = 0;
        double real;
        Slice more;

        switch (how & 7) {
        case 1:
                return sqlite3_bind_null(s, i);
        case 2:
                more = take(bytes, sizeof(number));
                memcpy(&number, more.data, more.size);
                return sqlite3_bind_int64(s, i, number);
        case 3:
                return sqlite3_bind_int64(s, i, (int64_t) how - 128);
        case 4:
                real = how * 1e17;
                return sqlite3_bind_double(s, i, real);
        case 5:
                more = take(bytes, how >> 3);
                return sqlite3_bind_text(s, i, more.data, (int) more.size, SQLITE_TRANSIENT);
        case 6:
                more = take(bytes, how >> 3);
                return sqlite3_bind_blob(s, i, more.data, (int) more.size, SQLITE_TRANSIENT);
        default:
                return bind_good(s, i, kind, row);
        }
}

static void put_rows(sqlite3 *db, const Table *table, Slice *bytes, int n) {
        sqlite3_stmt *s;

        assert(sqlite3_exec(db, table->empty, NULL, NULL, NULL) == SQLITE_OK);
        assert(sqlite3_prepare_v2(db, table->insert, -1, &s, NULL) == SQLITE_OK);
        for (int row = 1; row <= n && bytes->size > 0; row++) {
                int rc;

                for (int i = 0; table->cells[i]; i++) {
                        rc = bytes->size > 0 ? bind_cell(s, i + 1, table->cells[i], row, bytes) : bind_good(s, i + 1, table->cells[i], row);
                        assert(rc == SQLITE_OK);
                }
                (void) sqlite3_step(s); /* the table may refuse it: then nobody could have put it there */
                (void) sqlite3_reset(s);
        }
        (void) sqlite3_finalize(s);
}

static void put_tables(const char *name, const Table *first, int n_first, const Table *second, int n_second, Slice bytes) {
        sqlite3 *db;

        assert(sqlite3_open(path(name), &db) == SQLITE_OK);
        assert(sqlite3_exec(db, "PRAGMA synchronous = OFF; PRAGMA locking_mode = EXCLUSIVE; BEGIN", NULL, NULL, NULL) == SQLITE_OK);
        put_rows(db, first, &bytes, n_first);
        put_rows(db, second, &bytes, n_second);
        assert(sqlite3_exec(db, "COMMIT", NULL, NULL, NULL) == SQLITE_OK);
        assert(sqlite3_close(db) == SQLITE_OK);
}

/* ---- The registration server's ---- */

typedef struct Restored {
        PeerList *list;
        uint32_t last_id;
        size_t n;
} Restored;

static int restore(const PeerInfo *info, void *userdata) {
        Restored *x = userdata;
        const Slice host = slice_of(info->host);
        int r;

        assert(info->id > x->last_id && info->cookie >= 1 && info->cookie <= PROTO_COOKIE_MAX && info->endpoint.port > 0);
        assert(address_is_usable(&info->endpoint.address));
        assert(host.size <= PEER_HOST_MAX && text_is_utf8(host) && !text_has_control(host));
        x->last_id = info->id;
        r = peer_list_restore(x->list, info);
        assert(r == 0 || r == PEER_LIST_TAKEN);
        x->n += r == 0;
        return r;
}

static PeerList *load(RegistryDb *db, const Now *now, RegistryDbLoaded *ret) {
        static const PeerListLimits limits = { .ttl_usec = 100 * USEC_PER_SEC, .max_peers = 100, .max_per_source = 100,
                                               .retention_usec = 300 * USEC_PER_SEC };
        static const uint64_t key[2] = { 1, 2 };
        static const BootId boot = { { 1 } };
        Restored x = { 0 };

        assert(peer_list_new(&limits, key, &x.list) == 0 && peer_list_restore_begin(x.list, 0) == 0);
        int r = registry_db_load(db, &boot, now, restore, &x, ret);
        assert(r == 0);
        assert(peer_list_restore_end(x.list) == 0 && ret->n_loaded == x.n && peer_list_count(x.list) == x.n);
        assert(ret->last_id >= x.last_id);
        peer_list_set_last_id(x.list, ret->last_id);
        return x.list;
}

static size_t take_all(const PeerList *l, PeerInfo *ret) {
        size_t n = 0;

        for (uint32_t after = 0; n < PEERS_MAX && peer_list_next(l, after, &ret[n]); n++) {
                after = ret[n].id;
                assert(peer_info_registrations(&ret[n], REALTIME) <= PEER_DAYS * UINT16_MAX);
        }
        return n;
}

static void check_registry(const Now *now) {
        PeerInfo infos[PEERS_MAX], again[PEERS_MAX];
        RegistryDbLoaded loaded, reloaded;
        RegistryDb *db;

        assert(registry_db_open(path("registry"), &db) == 0);
        _cleanup_(registry_db_close_p) RegistryDb *opened = db;
        _cleanup_(peer_list_free_p) PeerList *list = load(db, now, &loaded);
        size_t n = take_all(list, infos);
        const RegistryDbBatch batch = { .records = infos, .n_records = n, .last_id = loaded.last_id, .boot_id = { { 1 } }, .now = *now };

        assert(registry_db_write(opened, &batch) == 0 && registry_db_check(db) == 0);
        _cleanup_(peer_list_free_p) PeerList *second = load(db, now, &reloaded);
        assert(reloaded.same_boot && reloaded.last_id == loaded.last_id && take_all(second, again) == n);
        for (size_t i = 0; i < n; i++) {
                assert(infos[i].id == again[i].id && infos[i].cookie == again[i].cookie && infos[i].active == again[i].active);
                assert(endpoint_equal(&infos[i].endpoint, &again[i].endpoint) && infos[i].expires_at == again[i].expires_at);
                assert(memcmp(infos[i].counts, again[i].counts, sizeof(infos[i].counts)) == 0);
                assert(strcmp(infos[i].host, again[i].host) == 0 && infos[i].first_day == again[i].first_day);
        }
        for (uint32_t id = 0; id < 2 * PEERS_MAX; id++) {
                bool forgotten;
                uint32_t ended;

                if (!peer_list_expire(list, now, &ended, &forgotten))
                        return;
        }
        assert(false);                  /* each record ends once and is forgotten once */
}

/* ---- The peer's ---- */

static void check_state(void) {
        Endpoint peers[ROWS_MAX], again[ROWS_MAX];
        size_t n, n_again;
        uint64_t cookie;
        uint32_t id;
        State *s;

        assert(state_open(path("state"), &s) == 0);
        _cleanup_(state_free_p) State *opened = s;
        int r = state_get_cookie(opened, "name", &cookie, &id);

        assert(r == 0 || r == STATE_NONE);
        assert(r != 0 || (cookie >= 1 && cookie <= PROTO_COOKIE_MAX));
        assert(state_get_peers(s, peers, ELEMENTSOF(peers), &n) == 0 && n <= ELEMENTSOF(peers));
        for (size_t i = 0; i < n; i++)
                assert(peers[i].port > 0 && address_is_usable(&peers[i].address));
        assert(state_set_peers(s, peers, n) == 0 && state_get_peers(s, again, ELEMENTSOF(again), &n_again) == 0 && n == n_again);
        for (size_t i = 0; i < n; i++)
                assert(endpoint_equal(&peers[i], &again[i]));
}

static int check_row(const CatalogueRow *row, void *userdata) {
        const char *const titles[] = { row->text_title, row->json_title };
        uint32_t *before = userdata;

        assert(row->number > *before && row->number <= RFC_NUMBER_MAX);
        *before = row->number;
        for (size_t i = 0; i < ELEMENTSOF(titles); i++) {
                const Slice title = slice_of(titles[i] ? titles[i] : "-");

                assert(title.size > 0 && title.size <= PROTO_TITLE_MAX && text_is_utf8(title) && !text_has_control(title));
        }
        return 0;
}

static int check_care(const CatalogueCare *care, void *userdata) {
        uint32_t *before = userdata;

        assert(care->number > *before && care->number <= RFC_NUMBER_MAX);
        *before = care->number;
        return 0;
}

static void check_catalogue(void) {
        uint32_t before = 0;
        Catalogue *c;

        assert(catalogue_open(path("catalogue"), &c) == 0);
        _cleanup_(catalogue_free_p) Catalogue *opened = c;
        assert(catalogue_load(opened, check_row, &before) == 0);
        before = 0;
        assert(catalogue_load_care(c, check_care, &before) == 0);
}

/* The files as the programs make them; each input then empties the tables of one. */
static void make_files(void) {
        static bool made;
        RegistryDb *db;
        Catalogue *c;
        State *s;

        if (made)
                return;
        made = true;
        assert(registry_db_open(path("registry"), &db) == 0 && state_open(path("state"), &s) == 0);
        assert(catalogue_open(path("catalogue"), &c) == 0);
        (void) registry_db_close(db);
        (void) state_free(s);
        (void) catalogue_free(c);
        (void) atexit(remove_all);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        const Now now = { .boottime = 2000 * USEC_PER_SEC, .realtime = REALTIME };
        Slice bytes = { (const char *) data, size };

        if (size == 0)
                return 0;
        make_files();
        switch ((uint8_t) *take(&bytes, 1).data % 3) {
        case 0:
                put_tables("registry", &META, 1, &PEERS, ROWS_MAX, bytes);
                check_registry(&now);
                break;
        case 1:
                put_tables("state", &SERVER, 2, &PEER, ROWS_MAX, bytes);
                check_state();
                break;
        default:
                put_tables("catalogue", &DOCUMENT, 4, &CARE, 4, bytes);
                check_catalogue();
        }
        return 0;
}
