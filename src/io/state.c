/* SPDX-License-Identifier: BSD-2-Clause */
#include "io/state.h"

#include <errno.h>

#include "core/proto.h"
#include "io/sqlite-util.h"

#define SCHEMA_VERSION 1

static const char schema[] =
        "CREATE TABLE IF NOT EXISTS server (name TEXT PRIMARY KEY, cookie INTEGER NOT NULL, peer_id INTEGER NOT NULL) WITHOUT ROWID;"
        "CREATE TABLE IF NOT EXISTS peer (position INTEGER PRIMARY KEY, address BLOB NOT NULL, port INTEGER NOT NULL)";

struct State {
        sqlite3 *db;
};

int state_open(const char *path, State **ret) {
        _cleanup_(state_free_p) State *s = NULL;
        int r;

        s = calloc(1, sizeof(*s));
        if (!s)
                return -ENOMEM;
        r = sqlite_open(path, SCHEMA_VERSION, schema, /* full_sync= */ true, &s->db);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(s);
        return r == SQLITE_UTIL_DAMAGED ? STATE_DAMAGED : 0;
}

State *state_free(State *s) {
        if (!s)
                return NULL;
        (void) sqlite_close(s->db);
        free(s);
        return NULL;
}

int state_get_cookie(State *s, const char *server, uint64_t *ret_cookie, uint32_t *ret_peer_id) {
        _cleanup_(sqlite_finalize_p) sqlite3_stmt *statement = NULL;
        int64_t cookie, peer_id;
        int r, rc;

        r = sqlite_prepare(s->db, "SELECT cookie, peer_id FROM server WHERE name = ?", &statement);
        if (r < 0)
                return r;
        rc = sqlite3_bind_text(statement, 1, server, -1, SQLITE_STATIC);
        if (rc == SQLITE_OK)
                rc = sqlite3_step(statement);
        if (rc == SQLITE_DONE)
                return STATE_NONE;
        if (rc != SQLITE_ROW)
                return sqlite_errno(s->db, rc);
        cookie = sqlite3_column_int64(statement, 0);
        peer_id = sqlite3_column_int64(statement, 1);
        /* One that no server gives would be refused as a bad request at each try: none is better. */
        if (cookie < 1 || cookie > (int64_t) PROTO_COOKIE_MAX || peer_id < 0 || peer_id > UINT32_MAX)
                return STATE_NONE;
        *ret_cookie = (uint64_t) cookie;
        *ret_peer_id = (uint32_t) peer_id;
        return 0;
}

int state_set_cookie(State *s, const char *server, uint64_t cookie, uint32_t peer_id) {
        _cleanup_(sqlite_finalize_p) sqlite3_stmt *statement = NULL;
        int r, rc;

        r = sqlite_prepare(s->db,
                           cookie == 0 ? "DELETE FROM server WHERE name = ?1"
                                       : "INSERT OR REPLACE INTO server VALUES (?1, ?2, ?3)",
                           &statement);
        if (r < 0)
                return r;
        rc = sqlite3_bind_text(statement, 1, server, -1, SQLITE_STATIC);
        if (rc == SQLITE_OK && cookie != 0)
                rc = sqlite3_bind_int64(statement, 2, (int64_t) cookie);
        if (rc == SQLITE_OK && cookie != 0)
                rc = sqlite3_bind_int64(statement, 3, peer_id);
        return rc == SQLITE_OK ? sqlite_run(statement) : sqlite_errno(s->db, rc);
}

static int insert_peers(State *s, const Endpoint *peers, size_t n) {
        _cleanup_(sqlite_finalize_p) sqlite3_stmt *statement = NULL;
        int r, rc;

        r = sqlite_prepare(s->db, "INSERT INTO peer VALUES (?, ?, ?)", &statement);
        for (size_t i = 0; r == 0 && i < n; i++) {
                rc = sqlite3_bind_int64(statement, 1, (int64_t) i);
                if (rc == SQLITE_OK)
                        rc = sqlite3_bind_blob(statement, 2, peers[i].address.bytes, sizeof(peers[i].address.bytes),
                                               SQLITE_STATIC);
                if (rc == SQLITE_OK)
                        rc = sqlite3_bind_int64(statement, 3, peers[i].port);
                r = rc == SQLITE_OK ? sqlite_run(statement) : sqlite_errno(s->db, rc);
        }
        return r;
}

int state_set_peers(State *s, const Endpoint *peers, size_t n) {
        int r;

        r = sqlite_exec(s->db, "BEGIN IMMEDIATE");
        if (r < 0)
                return r;
        r = sqlite_exec(s->db, "DELETE FROM peer");
        if (r == 0)
                r = insert_peers(s, peers, n);
        if (r == 0)
                r = sqlite_exec(s->db, "COMMIT");
        if (r < 0 && !sqlite3_get_autocommit(s->db)) {
                int ignored = sqlite_exec(s->db, "ROLLBACK");

                (void) ignored;         /* the first error is the one to tell */
        }
        return r;
}

static bool read_peer(sqlite3_stmt *statement, Endpoint *ret) {
        const void *address = sqlite3_column_blob(statement, 0);
        const int64_t port = sqlite3_column_int64(statement, 1);

        if (!address || sqlite3_column_bytes(statement, 0) != sizeof(ret->address.bytes) || port < 1 ||
            port > UINT16_MAX)
                return false;
        memcpy(ret->address.bytes, address, sizeof(ret->address.bytes));
        ret->port = (uint16_t) port;
        return address_is_usable(&ret->address);
}

int state_get_peers(State *s, Endpoint *ret, size_t n, size_t *ret_n) {
        _cleanup_(sqlite_finalize_p) sqlite3_stmt *statement = NULL;
        size_t found = 0;
        int r, rc = SQLITE_DONE;

        r = sqlite_prepare(s->db, "SELECT address, port FROM peer ORDER BY position", &statement);
        if (r < 0)
                return r;
        while (found < n && (rc = sqlite3_step(statement)) == SQLITE_ROW)
                if (read_peer(statement, &ret[found]))
                        found++;
        if (rc != SQLITE_ROW && rc != SQLITE_DONE)
                return sqlite_errno(s->db, rc);
        *ret_n = found;
        return 0;
}

int state_check(State *s) {
        _cleanup_(sqlite_finalize_p) sqlite3_stmt *statement = NULL;
        int r, rc;

        r = sqlite_prepare(s->db, "SELECT count(*) FROM sqlite_master", &statement);
        if (r < 0)
                return r;
        rc = sqlite3_step(statement);
        return rc == SQLITE_DONE ? -EUCLEAN : sqlite_errno(s->db, rc);
}
