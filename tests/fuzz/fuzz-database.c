/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The three databases as somebody may leave them who can write to the state directory: rows with anything in them. The first byte says into
 * which tables they go; then comes cell after cell: a byte for what is in it, and its bytes. What is read is within its limits, the daemons
 * can go on with it, and what they write of it is read again as it was.
 *
 * To open a file takes twenty times as long as all else together: so it stays open, and the rows go into it over the connection that the
 * daemon has; an input may want to have it opened anew.
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

static const Table META = { "DELETE FROM meta", "INSERT OR REPLACE INTO meta VALUES (?, ?, ?, ?, ?)", "iibpp" };
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

/* ---- The files ---- */

static sqlite3 *latest;                 /* the connection to a file that was made last */
static sqlite3 *registry_sql, *state_sql, *catalogue_sql;
static RegistryDb *registry;
static State *state;
static Catalogue *catalogue;

/* Of each connection; those to no file have an empty name. */
static int take_connection(sqlite3 *db, _unused_ const char **error, _unused_ const struct sqlite3_api_routines *api) {
        const char *name = sqlite3_db_filename(db, "main");

        if (name && name[0])
                latest = db;
        return SQLITE_OK;
}

static sqlite3 *take_latest(void) {
        assert(latest && sqlite3_exec(latest, "PRAGMA synchronous = OFF", NULL, NULL, NULL) == SQLITE_OK);
        return TAKE_PTR(latest);
}

static void open_registry(void) {
        (void) registry_db_close(registry);
        assert(registry_db_open(path("registry"), &registry) == 0);
        registry_sql = take_latest();
}

static void open_state(void) {
        (void) state_free(state);
        assert(state_open(path("state"), &state) == 0);
        state_sql = take_latest();
}

static void open_catalogue(void) {
        (void) catalogue_free(catalogue);
        assert(catalogue_open(path("catalogue"), &catalogue) == 0);
        catalogue_sql = take_latest();
}

static void remove_files(void) {
        static const char *const names[] = { "registry", "state", "catalogue" };

        (void) registry_db_close(registry);
        (void) state_free(state);
        (void) catalogue_free(catalogue);
        for (size_t i = 0; i < ELEMENTSOF(names); i++)
                (void) unlink(path(names[i]));
        (void) rmdir(path(""));
}

/* As the programs make them; each input then empties the tables of one. */
static void make_files(void) {
        static bool made;

        if (made)
                return;
        made = true;
        assert(sqlite3_auto_extension((void (*)(void)) take_connection) == SQLITE_OK);
        open_registry();
        open_state();
        open_catalogue();
        (void) atexit(remove_files);
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

static void put_tables(sqlite3 *db, const Table *first, int n_first, const Table *second, int n_second, Slice bytes) {
        assert(sqlite3_exec(db, "BEGIN", NULL, NULL, NULL) == SQLITE_OK);
        put_rows(db, first, &bytes, n_first);
        put_rows(db, second, &bytes, n_second);
        assert(sqlite3_exec(db, "COMMIT", NULL, NULL, NULL) == SQLITE_OK);
}

/* ---- The registration server's ---- */

static const BootId boot = { { 1 } };

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

typedef struct Compared {
        const PeerInfo *infos;          /* those that the list took */
        size_t n_infos, n;
} Compared;

/* Without a list, which has its memory for thousands of peers: one for each input is enough. Others stay in the file. */
static int compare(const PeerInfo *info, void *userdata) {
        Compared *x = userdata;
        const PeerInfo *a = &x->infos[x->n];

        if (x->n == x->n_infos || a->id != info->id)
                return PEER_LIST_TAKEN;
        x->n++;
        assert(a->cookie == info->cookie && a->active == info->active);
        assert(endpoint_equal(&a->endpoint, &info->endpoint) && a->expires_at == info->expires_at);
        assert(memcmp(a->counts, info->counts, sizeof(a->counts)) == 0);
        assert(strcmp(a->host, info->host) == 0 && a->first_day == info->first_day);
        return 0;
}

static void check_registry(const Now *now) {
        PeerInfo infos[PEERS_MAX];
        RegistryDbLoaded loaded, reloaded;
        _cleanup_(peer_list_free_p) PeerList *list = load(registry, now, &loaded);
        size_t n = take_all(list, infos);
        Compared again = { .infos = infos, .n_infos = n };
        const RegistryDbBatch batch = { .records = infos, .n_records = n, .last_id = loaded.last_id, .boot_id = boot, .now = *now };
        int r;

        assert(registry_db_write(registry, &batch) == 0 && registry_db_check(registry) == 0);
        r = registry_db_load(registry, &boot, now, compare, &again, &reloaded);
        assert(r == 0 && again.n == n);
        assert(reloaded.same_boot && reloaded.last_id == loaded.last_id && reloaded.n_loaded == n);
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
        int r = state_get_cookie(state, "name", &cookie, &id);

        assert(r == 0 || r == STATE_NONE);
        assert(r != 0 || (cookie >= 1 && cookie <= PROTO_COOKIE_MAX));
        assert(state_get_peers(state, peers, ELEMENTSOF(peers), &n) == 0 && n <= ELEMENTSOF(peers));
        for (size_t i = 0; i < n; i++)
                assert(peers[i].port > 0 && address_is_usable(&peers[i].address));
        assert(state_set_peers(state, peers, n) == 0 && state_get_peers(state, again, ELEMENTSOF(again), &n_again) == 0 && n == n_again);
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

        assert(catalogue_load(catalogue, check_row, &before) == 0);
        before = 0;
        assert(catalogue_load_care(catalogue, check_care, &before) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        const Now now = { .boottime = 2000 * USEC_PER_SEC, .realtime = REALTIME };
        Slice bytes = { (const char *) data, size };

        if (size == 0)
                return 0;
        make_files();
        const uint8_t how = (uint8_t) *take(&bytes, 1).data;
        const bool anew = how / 3 % 8 == 7;

        switch (how % 3) {
        case 0:
                put_tables(registry_sql, &META, 1, &PEERS, ROWS_MAX, bytes);
                if (anew)
                        open_registry();
                check_registry(&now);
                break;
        case 1:
                put_tables(state_sql, &SERVER, 2, &PEER, ROWS_MAX, bytes);
                if (anew)
                        open_state();
                check_state();
                break;
        default:
                put_tables(catalogue_sql, &DOCUMENT, 4, &CARE, 4, bytes);
                if (anew)
                        open_catalogue();
                check_catalogue();
        }
        return 0;
}
