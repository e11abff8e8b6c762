/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * What the three users of SQLite (registry-db, state, the library's catalogue) have in common: opening a file that is
 * ours alone, with its schema, and errnos instead of SQLite's codes.
 */

#include <sqlite3.h>

#include "core/base.h"

/* Answers */
enum {
        SQLITE_UTIL_DAMAGED = 1,        /* open: was damaged or not of this schema; moved aside, made anew, usable */
};

/*
 * Opens the file, made 0600 where it is not there, in WAL mode and locked for this one connection as long as it is
 * open (no second one, also not in this process: -EBUSY after half a second). The calling threads may change; only
 * one at a time.
 *   user_version: of the schema, > 0; written by us, so that another program's or another version's file is told
 *                 apart
 *   schema:       SQL that makes what is not there ("CREATE TABLE IF NOT EXISTS …"), run at each opening
 *   full_sync:    a commit is on disk when it returns (synchronous=FULL); else only whole: the last ones may be lost
 *                 with the power
 * A file that SQLite finds damaged, or that has anything else in its schema, is renamed to NAME.damaged-1 (or -2 …; with
 * its -wal) and a new one is made: SQLITE_UTIL_DAMAGED, *ret is set as with 0. A full or read-only disk, missing rights
 * and the like are -errno and move nothing.
 */
int sqlite_open(const char *path, int user_version, const char *schema, bool full_sync, sqlite3 **ret) _must_check_;
/* Takes NULL, gives NULL. All statements must be finalized before. */
sqlite3 *sqlite_close(sqlite3 *db);
DEFINE_CLEANUP(sqlite3 *, sqlite_close)

/*
 * SQLite's code as a negative errno (0 for SQLITE_OK, ROW and DONE): -ENOSPC, -EROFS, -EBUSY, -ENOMEM, -EACCES,
 * -EUCLEAN for a damaged file; what the system itself said, else -EIO, where reading or writing failed: to be
 * asked at once, while it is in errno. db: where it happened; NULL: errno tells nothing.
 */
int sqlite_errno(const sqlite3 *db, int rc);

/* Statements without parameters or rows: "BEGIN", "COMMIT", "DELETE FROM x". 0, -errno. */
int sqlite_exec(sqlite3 *db, const char *sql) _must_check_;
/* A statement to be used many times. 0, -errno. */
int sqlite_prepare(sqlite3 *db, const char *sql, sqlite3_stmt **ret) _must_check_;
/* Steps a bound statement that gives no rows, then resets it and drops what was bound. 0, -errno. */
int sqlite_run(sqlite3_stmt *statement) _must_check_;
/* Takes NULL, gives NULL. */
sqlite3_stmt *sqlite_finalize(sqlite3_stmt *statement);
DEFINE_CLEANUP(sqlite3_stmt *, sqlite_finalize)
