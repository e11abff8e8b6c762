/* SPDX-License-Identifier: BSD-2-Clause */
#include "io/registry-db.h"

#include <errno.h>

#include "core/proto.h"
#include "core/text.h"
#include "io/sqlite-util.h"

#define SCHEMA_VERSION 1

/*
 * expires_at is a point on the boottime of the boot in `meta`, of its last write. No index beside the id: nothing is
 * looked up here, and each one would be written with every renewal.
 */
static const char schema[] =
        "CREATE TABLE IF NOT EXISTS meta ("
        "  one INTEGER PRIMARY KEY CHECK (one = 1),"
        "  last_id INTEGER NOT NULL,"
        "  boot_id BLOB NOT NULL,"
        "  boottime INTEGER NOT NULL,"          /* of the last write */
        "  realtime INTEGER NOT NULL);"
        "INSERT OR IGNORE INTO meta VALUES (1, 0, zeroblob(16), 0, 0);"
        "CREATE TABLE IF NOT EXISTS peers ("
        "  id INTEGER PRIMARY KEY,"
        "  cookie INTEGER NOT NULL,"
        "  active INTEGER NOT NULL,"
        "  advertised INTEGER NOT NULL,"
        "  address BLOB NOT NULL,"
        "  port INTEGER NOT NULL,"
        "  expires_at INTEGER NOT NULL,"
        "  registered_at INTEGER NOT NULL,"
        "  first_day INTEGER NOT NULL,"
        "  counts BLOB NOT NULL,"               /* 30 of 16 bits, little-endian */
        "  host TEXT NOT NULL);";

#define PEER_COLUMNS "id, cookie, active, advertised, address, port, expires_at, registered_at, first_day, counts, host"
#define COUNTS_SIZE (2 * PEER_DAYS)

struct RegistryDb {
        sqlite3 *db;
        sqlite3_stmt *put, *delete, *put_meta, *check;
};

/* Columns of PEER_COLUMNS, and parameters from 1. */
enum {
        COLUMN_ID,
        COLUMN_COOKIE,
        COLUMN_ACTIVE,
        COLUMN_ADVERTISED,
        COLUMN_ADDRESS,
        COLUMN_PORT,
        COLUMN_EXPIRES_AT,
        COLUMN_REGISTERED_AT,
        COLUMN_FIRST_DAY,
        COLUMN_COUNTS,
        COLUMN_HOST,
};

static int prepare_all(RegistryDb *db) {
        int r;

        r = sqlite_prepare(db->db, "INSERT OR REPLACE INTO peers (" PEER_COLUMNS ")"
                                   "  VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", &db->put);
        if (r == 0)
                r = sqlite_prepare(db->db, "DELETE FROM peers WHERE id = ?", &db->delete);
        if (r == 0)
                r = sqlite_prepare(db->db, "INSERT OR REPLACE INTO meta (one, last_id, boot_id, boottime, realtime)"
                                           "  VALUES (1, ?, ?, ?, ?)", &db->put_meta);
        if (r == 0)
                r = sqlite_prepare(db->db, "SELECT last_id FROM meta WHERE one = 1", &db->check);
        return r;
}

int registry_db_open(const char *path, RegistryDb **ret) {
        _cleanup_(registry_db_close_p) RegistryDb *db = NULL;
        int r, opened;

        db = calloc(1, sizeof(*db));
        if (!db)
                return -ENOMEM;
        opened = sqlite_open(path, SCHEMA_VERSION, schema, true, &db->db);
        if (opened < 0)
                return opened;
        r = prepare_all(db);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(db);
        return opened == SQLITE_UTIL_DAMAGED ? REGISTRY_DB_DAMAGED : 0;
}

RegistryDb *registry_db_close(RegistryDb *db) {
        if (!db)
                return NULL;
        (void) sqlite_finalize(db->put);
        (void) sqlite_finalize(db->delete);
        (void) sqlite_finalize(db->put_meta);
        (void) sqlite_finalize(db->check);
        (void) sqlite_close(db->db);
        free(db);
        return NULL;
}

/* A point in time as SQLite's signed number and back; the largest stands for never. */
static int64_t usec_to_column(usec_t t) {
        return t > INT64_MAX ? INT64_MAX : (int64_t) t;
}

static usec_t usec_from_column(int64_t value) {
        return value == INT64_MAX ? USEC_INFINITY : (usec_t) value;
}

/* ---- Write ---- */

/*
 * A failed bind (only for want of memory) leaves NULL, which the table refuses; so one look at all of them together
 * will do.
 */
static int put_record(RegistryDb *db, const PeerInfo *p) {
        sqlite3_stmt *s = db->put;
        uint8_t counts[COUNTS_SIZE];
        int rc;

        for (size_t i = 0; i < PEER_DAYS; i++) {
                counts[2 * i] = (uint8_t) p->counts[i];
                counts[2 * i + 1] = (uint8_t) (p->counts[i] >> 8);
        }
        rc = sqlite3_bind_int64(s, COLUMN_ID + 1, p->id);
        rc |= sqlite3_bind_int64(s, COLUMN_COOKIE + 1, (int64_t) p->cookie);
        rc |= sqlite3_bind_int(s, COLUMN_ACTIVE + 1, p->active);
        rc |= sqlite3_bind_int(s, COLUMN_ADVERTISED + 1, p->advertised);
        rc |= sqlite3_bind_blob(s, COLUMN_ADDRESS + 1, p->endpoint.address.bytes, sizeof(Address), SQLITE_STATIC);
        rc |= sqlite3_bind_int(s, COLUMN_PORT + 1, p->endpoint.port);
        rc |= sqlite3_bind_int64(s, COLUMN_EXPIRES_AT + 1, usec_to_column(p->expires_at));
        rc |= sqlite3_bind_int64(s, COLUMN_REGISTERED_AT + 1, usec_to_column(p->registered_at));
        rc |= sqlite3_bind_int(s, COLUMN_FIRST_DAY + 1, p->first_day);
        rc |= sqlite3_bind_blob(s, COLUMN_COUNTS + 1, counts, sizeof(counts), SQLITE_STATIC);
        rc |= sqlite3_bind_text(s, COLUMN_HOST + 1, p->host, -1, SQLITE_STATIC);
        return rc == SQLITE_OK ? sqlite_run(s) : -ENOMEM;
}

static int delete_record(RegistryDb *db, uint32_t id) {
        int rc = sqlite3_bind_int64(db->delete, 1, id);

        return rc == SQLITE_OK ? sqlite_run(db->delete) : -ENOMEM;
}

static int put_meta(RegistryDb *db, const RegistryDbBatch *batch) {
        sqlite3_stmt *s = db->put_meta;
        int rc;

        rc = sqlite3_bind_int64(s, 1, batch->last_id);
        rc |= sqlite3_bind_blob(s, 2, batch->boot_id.bytes, sizeof(batch->boot_id.bytes), SQLITE_STATIC);
        rc |= sqlite3_bind_int64(s, 3, usec_to_column(batch->now.boottime));
        rc |= sqlite3_bind_int64(s, 4, usec_to_column(batch->now.realtime));
        return rc == SQLITE_OK ? sqlite_run(s) : -ENOMEM;
}

/* Ends a transaction: commits what went well, else takes it back and forwards the error. */
static int commit(RegistryDb *db, int r) {
        if (r == 0)
                r = sqlite_exec(db->db, "COMMIT");
        if (r < 0 && sqlite3_get_autocommit(db->db) == 0) {
                int rolled_back = sqlite_exec(db->db, "ROLLBACK");

                (void) rolled_back;     /* the first error is the one to tell */
        }
        return r;
}

int registry_db_write(RegistryDb *db, const RegistryDbBatch *batch) {
        int r;

        r = sqlite_exec(db->db, "BEGIN IMMEDIATE");
        if (r < 0)
                return r;
        for (size_t i = 0; r == 0 && i < batch->n_deleted; i++)
                r = delete_record(db, batch->deleted_ids[i]);
        for (size_t i = 0; r == 0 && i < batch->n_records; i++)
                r = put_record(db, &batch->records[i]);
        if (r == 0)
                r = put_meta(db, batch);
        return commit(db, r);
}

/* ---- Load ---- */

/* A number of that range. Whoever edits the file by hand may leave anything. */
static bool column_number(sqlite3_stmt *s, int column, int64_t min, int64_t max, int64_t *ret) {
        int64_t value;

        if (sqlite3_column_type(s, column) != SQLITE_INTEGER)
                return false;
        value = sqlite3_column_int64(s, column);
        if (value < min || value > max)
                return false;
        *ret = value;
        return true;
}

/* Bytes of exactly that size; valid until the next step. */
static const uint8_t *column_bytes(sqlite3_stmt *s, int column, size_t size) {
        const uint8_t *bytes;

        if (sqlite3_column_type(s, column) != SQLITE_BLOB)
                return NULL;
        bytes = sqlite3_column_blob(s, column);
        return bytes && (size_t) sqlite3_column_bytes(s, column) == size ? bytes : NULL;
}

/* A name as it could have been registered. */
static const char *column_host(sqlite3_stmt *s) {
        const char *text;
        Slice host;

        if (sqlite3_column_type(s, COLUMN_HOST) != SQLITE_TEXT)
                return NULL;
        text = (const char *) sqlite3_column_text(s, COLUMN_HOST);
        if (!text)
                return NULL;
        host = (Slice){ text, (size_t) sqlite3_column_bytes(s, COLUMN_HOST) };
        return host.size <= PEER_HOST_MAX && text_is_utf8(host) && !text_has_control(host) ? text : NULL;
}

/* false: makes no sense. */
static bool read_row(sqlite3_stmt *s, PeerInfo *ret) {
        const uint8_t *address = column_bytes(s, COLUMN_ADDRESS, sizeof(Address));
        const uint8_t *counts = column_bytes(s, COLUMN_COUNTS, COUNTS_SIZE);
        const char *host = column_host(s);
        int64_t id, cookie, active, advertised, port, expires_at, registered_at, first_day;

        if (!address || !counts || !host ||
            !column_number(s, COLUMN_ID, 1, UINT32_MAX, &id) ||
            !column_number(s, COLUMN_COOKIE, 1, PROTO_COOKIE_MAX, &cookie) ||
            !column_number(s, COLUMN_ACTIVE, 0, 1, &active) ||
            !column_number(s, COLUMN_ADVERTISED, 0, 1, &advertised) ||
            !column_number(s, COLUMN_PORT, 1, UINT16_MAX, &port) ||
            !column_number(s, COLUMN_EXPIRES_AT, 0, INT64_MAX, &expires_at) ||
            !column_number(s, COLUMN_REGISTERED_AT, 0, INT64_MAX, &registered_at) ||
            !column_number(s, COLUMN_FIRST_DAY, 0, INT32_MAX, &first_day))
                return false;

        *ret = (PeerInfo){
                .id = (uint32_t) id,
                .cookie = (uint64_t) cookie,
                .active = active,
                .advertised = advertised,
                .endpoint.port = (uint16_t) port,
                .expires_at = usec_from_column(expires_at),
                .registered_at = usec_from_column(registered_at),
                .first_day = (int32_t) first_day,
                .host = host,
        };
        memcpy(ret->endpoint.address.bytes, address, sizeof(Address));
        for (size_t i = 0; i < PEER_DAYS; i++)
                ret->counts[i] = (uint16_t) (counts[2 * i] | counts[2 * i + 1] << 8);
        return address_is_usable(&ret->endpoint.address);
}

/*
 * Who wrote last, and when. A row that makes no sense is that of an unknown boot at its zero: leases get longer, never
 * shorter. 0, -errno.
 */
static int read_meta(RegistryDb *db, BootStamp *ret, uint32_t *ret_last_id) {
        _cleanup_(sqlite_finalize_p) sqlite3_stmt *s = NULL;
        int64_t last_id, boottime, realtime;
        const uint8_t *boot_id;
        int r, rc;

        r = sqlite_prepare(db->db, "SELECT last_id, boot_id, boottime, realtime FROM meta WHERE one = 1", &s);
        if (r < 0)
                return r;
        rc = sqlite3_step(s);
        if (rc != SQLITE_ROW && rc != SQLITE_DONE)
                return sqlite_errno(db->db, rc);
        *ret = (BootStamp){ 0 };
        *ret_last_id = 0;
        if (rc == SQLITE_DONE)
                return 0;
        if (column_number(s, 0, 0, UINT32_MAX, &last_id))
                *ret_last_id = (uint32_t) last_id;
        boot_id = column_bytes(s, 1, sizeof(BootId));
        if (boot_id && column_number(s, 2, 0, INT64_MAX, &boottime) && column_number(s, 3, 0, INT64_MAX, &realtime)) {
                memcpy(ret->id.bytes, boot_id, sizeof(ret->id.bytes));
                ret->at = (Now){ .boottime = (usec_t) boottime, .realtime = (usec_t) realtime };
        }
        return 0;
}

/*
 * The points of another boot become points of this one: what was left at the last write is left now. In the file as
 * well, and at once: `meta` speaks for all records, and the next write of some of them sets it to this boot.
 */
static int rebase(RegistryDb *db, const BootStamp *then, const BootStamp *here, uint32_t last_id) {
        _cleanup_(sqlite_finalize_p) sqlite3_stmt *s = NULL;
        RegistryDbBatch batch = { .last_id = last_id, .boot_id = here->id, .now = here->at };
        int r, rc;

        r = sqlite_prepare(db->db, "UPDATE peers SET expires_at = ? + max(expires_at - ?, 0)"
                                   "  WHERE typeof(expires_at) = 'integer' AND expires_at >= 0"
                                   "  AND expires_at < 9223372036854775807", &s);
        if (r < 0)
                return r;
        rc = sqlite3_bind_int64(s, 1, usec_to_column(here->at.boottime));
        rc |= sqlite3_bind_int64(s, 2, usec_to_column(then->at.boottime));
        if (rc != SQLITE_OK)
                return -ENOMEM;
        r = sqlite_exec(db->db, "BEGIN IMMEDIATE");
        if (r < 0)
                return r;
        r = sqlite_run(s);
        if (r == 0)
                r = put_meta(db, &batch);
        return commit(db, r);
}

int registry_db_count(RegistryDb *db, size_t *ret) {
        _cleanup_(sqlite_finalize_p) sqlite3_stmt *s = NULL;
        int r, rc;

        r = sqlite_prepare(db->db, "SELECT count(*) FROM peers", &s);
        if (r < 0)
                return r;
        rc = sqlite3_step(s);
        if (rc != SQLITE_ROW)
                return rc == SQLITE_DONE ? -EUCLEAN : sqlite_errno(db->db, rc);
        *ret = (size_t) sqlite3_column_int64(s, 0);
        return 0;
}

int registry_db_load(RegistryDb *db, const BootId *boot_id, const Now *now, RegistryDbHandler handler, void *userdata,
                     RegistryDbLoaded *ret) {
        _cleanup_(sqlite_finalize_p) sqlite3_stmt *s = NULL;
        BootStamp then, here = { .id = *boot_id, .at = *now };
        RegistryDbLoaded loaded = { 0 };
        int r, rc;

        r = read_meta(db, &then, &loaded.last_id);
        if (r < 0)
                return r;
        loaded.same_boot = boot_is_same(&then, &here);
        if (!loaded.same_boot) {
                r = rebase(db, &then, &here, loaded.last_id);
                if (r < 0)
                        return r;
        }
        r = sqlite_prepare(db->db, "SELECT " PEER_COLUMNS " FROM peers ORDER BY id", &s);
        if (r < 0)
                return r;

        while ((rc = sqlite3_step(s)) == SQLITE_ROW) {
                PeerInfo info;

                if (!read_row(s, &info)) {
                        loaded.n_skipped++;
                        continue;
                }
                loaded.last_id = MAX_OF(loaded.last_id, info.id);       /* given once, wanted or not */
                r = handler(&info, userdata);
                if (r < 0)
                        return r;
                if (r > 0) {
                        loaded.n_skipped++;
                        continue;
                }
                loaded.n_loaded++;
        }
        if (rc != SQLITE_DONE)
                return sqlite_errno(db->db, rc);
        *ret = loaded;
        return 0;
}

/* ---- Watchdog ---- */

int registry_db_check(RegistryDb *db) {
        int rc = sqlite3_step(db->check), r = sqlite_errno(db->db, rc);

        (void) sqlite3_reset(db->check);        /* repeats the error of the step */
        if (r < 0)
                return r;
        return rc == SQLITE_ROW ? 0 : -EUCLEAN;
}
