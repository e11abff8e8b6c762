/* SPDX-License-Identifier: BSD-2-Clause */
#include "io/catalogue.h"

#include <errno.h>

#include "core/proto.h"
#include "core/rfc-number.h"
#include "core/text.h"
#include "io/sqlite-util.h"

#define SCHEMA_VERSION 1

static const char schema[] =
        "CREATE TABLE IF NOT EXISTS document ("
        "  number INTEGER PRIMARY KEY,"
        "  inode INTEGER NOT NULL, size INTEGER NOT NULL, mtime_nsec INTEGER NOT NULL,"
        "  digest BLOB NOT NULL, text_title TEXT,"
        "  json_inode INTEGER NOT NULL, json_size INTEGER NOT NULL, json_mtime_nsec INTEGER NOT NULL, json_title TEXT);"
        "CREATE TABLE IF NOT EXISTS care ("
        "  number INTEGER PRIMARY KEY, pinned INTEGER NOT NULL, read_usec INTEGER NOT NULL,"
        "  inode INTEGER NOT NULL, size INTEGER NOT NULL, mtime_nsec INTEGER NOT NULL, expected BLOB)";

struct Catalogue {
        sqlite3 *db;
        sqlite3_stmt *put, *remove, *put_care, *remove_care;
        bool in_transaction;
};

int catalogue_open(const char *path, Catalogue **ret) {
        _cleanup_(catalogue_free_p) Catalogue *c = NULL;
        int answer, r;

        c = calloc(1, sizeof(*c));
        if (!c)
                return -ENOMEM;
        answer = sqlite_open(path, SCHEMA_VERSION, schema, /* full_sync= */ false, &c->db);
        if (answer < 0)
                return answer;
        r = sqlite_prepare(c->db, "INSERT OR REPLACE INTO document VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", &c->put);
        if (r == 0)
                r = sqlite_prepare(c->db, "DELETE FROM document WHERE number = ?", &c->remove);
        if (r == 0)
                r = sqlite_prepare(c->db, "INSERT OR REPLACE INTO care VALUES (?, ?, ?, ?, ?, ?, ?)", &c->put_care);
        if (r == 0)
                r = sqlite_prepare(c->db, "DELETE FROM care WHERE number = ?", &c->remove_care);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(c);
        return answer == SQLITE_UTIL_DAMAGED ? CATALOGUE_DAMAGED : 0;
}

Catalogue *catalogue_free(Catalogue *c) {
        if (!c)
                return NULL;
        (void) sqlite_finalize(c->put);
        (void) sqlite_finalize(c->remove);
        (void) sqlite_finalize(c->put_care);
        (void) sqlite_finalize(c->remove_care);
        (void) sqlite_close(c->db);
        free(c);
        return NULL;
}

/* false: neither NULL nor fit to be a title. */
static bool column_title(sqlite3_stmt *s, int column, const char **ret) {
        Slice title;

        if (sqlite3_column_type(s, column) == SQLITE_NULL) {
                *ret = NULL;
                return true;
        }
        title.data = (const char *) sqlite3_column_text(s, column);
        title.size = (size_t) sqlite3_column_bytes(s, column);
        if (!title.data || title.size == 0 || title.size > PROTO_TITLE_MAX || !text_is_utf8(title) ||
            text_has_control(title))
                return false;
        *ret = title.data;
        return true;
}

static LibraryStamp column_stamp(sqlite3_stmt *s, int column) {
        return (LibraryStamp){
                .inode = (uint64_t) sqlite3_column_int64(s, column),
                .size = (uint64_t) sqlite3_column_int64(s, column + 1),
                .mtime_nsec = sqlite3_column_int64(s, column + 2),
        };
}

static bool read_row(sqlite3_stmt *s, CatalogueRow *ret) {
        const int64_t number = sqlite3_column_int64(s, 0);
        const void *digest = sqlite3_column_blob(s, 4);

        if (number < 1 || number > RFC_NUMBER_MAX || !digest || sqlite3_column_bytes(s, 4) != DIGEST_SIZE)
                return false;
        ret->number = (uint32_t) number;
        ret->stamp = column_stamp(s, 1);
        memcpy(ret->digest.bytes, digest, DIGEST_SIZE);
        ret->json = column_stamp(s, 6);
        return column_title(s, 5, &ret->text_title) && column_title(s, 9, &ret->json_title);
}

int catalogue_load(Catalogue *c, int (*row)(const CatalogueRow *row, void *userdata), void *userdata) {
        _cleanup_(sqlite_finalize_p) sqlite3_stmt *s = NULL;
        int r, rc;

        r = sqlite_prepare(c->db,
                           "SELECT number, inode, size, mtime_nsec, digest, text_title,"
                           " json_inode, json_size, json_mtime_nsec, json_title FROM document ORDER BY number",
                           &s);
        if (r < 0)
                return r;
        while ((rc = sqlite3_step(s)) == SQLITE_ROW) {
                CatalogueRow found = { 0 };

                if (!read_row(s, &found))
                        continue;
                r = row(&found, userdata);
                if (r != 0)
                        return r;
        }
        return sqlite_errno(c->db, rc);
}

static bool read_care(sqlite3_stmt *s, CatalogueCare *ret) {
        const int64_t number = sqlite3_column_int64(s, 0), read_at = sqlite3_column_int64(s, 2);
        const void *expected = sqlite3_column_blob(s, 6);

        if (number < 1 || number > RFC_NUMBER_MAX)
                return false;
        ret->number = (uint32_t) number;
        ret->pinned = sqlite3_column_int64(s, 1) != 0;
        ret->read_at = read_at > 0 ? (usec_t) read_at : 0;
        ret->stamp = column_stamp(s, 3);
        ret->damaged = expected && sqlite3_column_bytes(s, 6) == DIGEST_SIZE;
        if (ret->damaged)
                memcpy(ret->expected.bytes, expected, DIGEST_SIZE);
        return true;
}

int catalogue_load_care(Catalogue *c, int (*row)(const CatalogueCare *care, void *userdata), void *userdata) {
        _cleanup_(sqlite_finalize_p) sqlite3_stmt *s = NULL;
        int r, rc;

        r = sqlite_prepare(c->db,
                           "SELECT number, pinned, read_usec, inode, size, mtime_nsec, expected FROM care"
                           " ORDER BY number",
                           &s);
        if (r < 0)
                return r;
        while ((rc = sqlite3_step(s)) == SQLITE_ROW) {
                CatalogueCare care = { 0 };

                if (!read_care(s, &care))
                        continue;
                r = row(&care, userdata);
                if (r != 0)
                        return r;
        }
        return sqlite_errno(c->db, rc);
}

static int begin(Catalogue *c) {
        int r;

        if (c->in_transaction)
                return 0;
        r = sqlite_exec(c->db, "BEGIN");
        c->in_transaction = r == 0;
        return r;
}

/* SQLite may have rolled back by itself, or not, depending on the error. */
static int finish(Catalogue *c, int r) {
        if (r < 0) {
                if (!sqlite3_get_autocommit(c->db)) {
                        int ignored = sqlite_exec(c->db, "ROLLBACK");

                        (void) ignored;         /* the first error is the one to tell */
                }
                c->in_transaction = false;
        }
        return r;
}

static int bind_stamp(sqlite3_stmt *s, int parameter, const LibraryStamp *stamp) {
        int rc = sqlite3_bind_int64(s, parameter, (int64_t) stamp->inode);

        if (rc == SQLITE_OK)
                rc = sqlite3_bind_int64(s, parameter + 1, (int64_t) stamp->size);
        return rc == SQLITE_OK ? sqlite3_bind_int64(s, parameter + 2, stamp->mtime_nsec) : rc;
}

int catalogue_put(Catalogue *c, const CatalogueRow *row) {
        int r, rc;

        r = begin(c);
        if (r < 0)
                return r;
        rc = sqlite3_bind_int64(c->put, 1, row->number);
        if (rc == SQLITE_OK)
                rc = bind_stamp(c->put, 2, &row->stamp);
        if (rc == SQLITE_OK)
                rc = sqlite3_bind_blob(c->put, 5, row->digest.bytes, DIGEST_SIZE, SQLITE_STATIC);
        if (rc == SQLITE_OK)
                rc = sqlite3_bind_text(c->put, 6, row->text_title, -1, SQLITE_STATIC);
        if (rc == SQLITE_OK)
                rc = bind_stamp(c->put, 7, &row->json);
        if (rc == SQLITE_OK)
                rc = sqlite3_bind_text(c->put, 10, row->json_title, -1, SQLITE_STATIC);
        return finish(c, rc == SQLITE_OK ? sqlite_run(c->put) : sqlite_errno(c->db, rc));
}

static int remove_from(Catalogue *c, sqlite3_stmt *statement, uint32_t number) {
        int r, rc;

        r = begin(c);
        if (r < 0)
                return r;
        rc = sqlite3_bind_int64(statement, 1, number);
        return finish(c, rc == SQLITE_OK ? sqlite_run(statement) : sqlite_errno(c->db, rc));
}

int catalogue_remove(Catalogue *c, uint32_t number) {
        return remove_from(c, c->remove, number);
}

int catalogue_put_care(Catalogue *c, const CatalogueCare *care) {
        int r, rc;

        if (!care->pinned && care->read_at == 0 && !care->damaged)
                return remove_from(c, c->remove_care, care->number);
        r = begin(c);
        if (r < 0)
                return r;
        rc = sqlite3_bind_int64(c->put_care, 1, care->number);
        if (rc == SQLITE_OK)
                rc = sqlite3_bind_int64(c->put_care, 2, care->pinned);
        if (rc == SQLITE_OK)
                rc = sqlite3_bind_int64(c->put_care, 3, (int64_t) care->read_at);
        if (rc == SQLITE_OK)
                rc = bind_stamp(c->put_care, 4, &care->stamp);
        if (rc == SQLITE_OK && care->damaged)           /* else NULL, as what was bound is dropped each time */
                rc = sqlite3_bind_blob(c->put_care, 7, care->expected.bytes, DIGEST_SIZE, SQLITE_STATIC);
        return finish(c, rc == SQLITE_OK ? sqlite_run(c->put_care) : sqlite_errno(c->db, rc));
}

int catalogue_commit(Catalogue *c) {
        int r;

        if (!c->in_transaction)
                return 0;
        r = finish(c, sqlite_exec(c->db, "COMMIT"));
        c->in_transaction = false;
        return r;
}
