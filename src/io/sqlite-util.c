/* SPDX-License-Identifier: BSD-2-Clause */
#include "io/sqlite-util.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* Somebody who looks into the file with sqlite3(1) while we start holds it for a moment only. */
#define BUSY_MSEC 500
/* Who has a hundred damaged files has another problem. */
#define DAMAGED_MAX 100

int sqlite_errno(const sqlite3 *db, int rc) {
        switch (rc & 0xff) {
        case SQLITE_OK:
        case SQLITE_ROW:
        case SQLITE_DONE:
                return 0;
        case SQLITE_FULL:
                return -ENOSPC;
        case SQLITE_READONLY:
                /* A log can't be made beside it: that is what SQLite makes of EACCES. */
                return rc == SQLITE_READONLY_DIRECTORY ? -EACCES : -EROFS;
        case SQLITE_NOMEM:
                return -ENOMEM;
        case SQLITE_BUSY:
        case SQLITE_LOCKED:
                return -EBUSY;
        case SQLITE_CORRUPT:
        case SQLITE_NOTADB:
                return -EUCLEAN;
        case SQLITE_PERM:
        case SQLITE_AUTH:
                return -EACCES;
        case SQLITE_TOOBIG:
                return -EFBIG;
        case SQLITE_CONSTRAINT:
                return -EEXIST;
        case SQLITE_IOERR:
        case SQLITE_CANTOPEN:
                if (rc == SQLITE_IOERR_NOMEM)
                        return -ENOMEM;
                /* sqlite3_system_errno() takes it from there, but not each time: it may be of an error before. */
                return db && errno > 0 ? -errno : -EIO;
        default:
                return -EINVAL;
        }
}

sqlite3 *sqlite_close(sqlite3 *db) {
        if (db) {
                int rc = sqlite3_close(db);

                assert(rc != SQLITE_BUSY);      /* a statement was not finalized */
                (void) rc;
        }
        return NULL;
}

sqlite3_stmt *sqlite_finalize(sqlite3_stmt *statement) {
        /* It repeats the error of the last step, which was dealt with there. */
        (void) sqlite3_finalize(statement);
        return NULL;
}

int sqlite_exec(sqlite3 *db, const char *sql) {
        errno = 0;
        return sqlite_errno(db, sqlite3_exec(db, sql, NULL, NULL, NULL));
}

int sqlite_prepare(sqlite3 *db, const char *sql, sqlite3_stmt **ret) {
        errno = 0;
        return sqlite_errno(db, sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, ret, NULL));
}

int sqlite_run(sqlite3_stmt *statement) {
        int r;

        errno = 0;
        r = sqlite_errno(sqlite3_db_handle(statement), sqlite3_step(statement));
        (void) sqlite3_reset(statement);        /* repeats the error of the step */
        (void) sqlite3_clear_bindings(statement);
        return r;
}

/* The first column of the first row, as a number. */
static int query_number(sqlite3 *db, const char *sql, int64_t *ret) {
        _cleanup_(sqlite_finalize_p) sqlite3_stmt *statement = NULL;
        int r, rc;

        r = sqlite_prepare(db, sql, &statement);
        if (r < 0)
                return r;
        rc = sqlite3_step(statement);
        if (rc != SQLITE_ROW)
                return rc == SQLITE_DONE ? -EUCLEAN : sqlite_errno(db, rc);
        *ret = sqlite3_column_int64(statement, 0);
        return 0;
}

static int quick_check(sqlite3 *db) {
        _cleanup_(sqlite_finalize_p) sqlite3_stmt *statement = NULL;
        const unsigned char *text;
        int r, rc;

        r = sqlite_prepare(db, "PRAGMA quick_check(1)", &statement);
        if (r < 0)
                return r;
        rc = sqlite3_step(statement);
        if (rc != SQLITE_ROW)
                return rc == SQLITE_DONE ? -EUCLEAN : sqlite_errno(db, rc);
        text = sqlite3_column_text(statement, 0);
        return text && strcmp((const char *) text, "ok") == 0 ? 0 : -EUCLEAN;
}

/* All that the schema is, as one text: owned by the caller. What SQLite keeps for itself is not of it (statistics). */
static int describe_schema(sqlite3 *db, char **ret) {
        _cleanup_(sqlite_finalize_p) sqlite3_stmt *statement = NULL;
        const char *text;
        int r, rc;

        r = sqlite_prepare(db, "SELECT coalesce(group_concat(quote(type) || quote(name) || quote(tbl_name) || quote(sql)), '')"
                               "  FROM (SELECT * FROM sqlite_master WHERE name NOT GLOB 'sqlite_*' ORDER BY type, name)", &statement);
        if (r < 0)
                return r;
        rc = sqlite3_step(statement);
        if (rc != SQLITE_ROW)
                return rc == SQLITE_DONE ? -EUCLEAN : sqlite_errno(db, rc);
        text = (const char *) sqlite3_column_text(statement, 0);
        *ret = text ? strdup(text) : NULL;
        return *ret ? 0 : -ENOMEM;
}

/*
 * Is it this schema, and nothing else? A column less would fail later, and where a trigger or a view takes the place of what
 * we made, what is written may not be there. The one who knows what SQLite makes of `schema` is SQLite.
 */
static int compare_schema(sqlite3 *db, const char *schema) {
        _cleanup_(sqlite_close_p) sqlite3 *model = NULL;
        _cleanup_free_ char *wanted = NULL, *found = NULL;
        int r, rc;

        rc = sqlite3_open(":memory:", &model);
        r = rc == SQLITE_OK ? sqlite_exec(model, schema) : sqlite_errno(model, rc);
        if (r == 0)
                r = describe_schema(model, &wanted);
        if (r == 0)
                r = describe_schema(db, &found);
        if (r < 0)
                return r;
        return strcmp(wanted, found) == 0 ? 0 : -EUCLEAN;
}

/* What is not as it should be is rolled back by the close. */
static int make_schema(sqlite3 *db, int found, int user_version, const char *schema) {
        char pragma[64];
        int r;

        (void) snprintf(pragma, sizeof(pragma), "PRAGMA user_version = %d", user_version);
        r = sqlite_exec(db, "BEGIN IMMEDIATE");
        if (r == 0)
                r = sqlite_exec(db, schema);
        if (r == -EINVAL || r == -EEXIST)
                return -EUCLEAN;        /* it does not go together with what is there */
        if (r == 0)
                r = compare_schema(db, schema);
        if (r == 0 && found != user_version)
                r = sqlite_exec(db, pragma);
        return r == 0 ? sqlite_exec(db, "COMMIT") : r;
}

/*
 * SQLite makes files 0644 and follows links; so the file is there before it comes. The descriptor is closed before
 * SQLite opens its own: closing any descriptor of a file drops the locks that the process has on it.
 */
static int make_file(const char *path) {
        struct stat st;
        int fd, r = 0;

        fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
        if (fd < 0)
                return -errno;
        if (fstat(fd, &st) < 0)
                r = -errno;
        else if (!S_ISREG(st.st_mode))
                r = -EBADF;
        else if ((st.st_mode & 07777) != 0600 && fchmod(fd, 0600) < 0)
                r = -errno;
        (void) close(fd);
        return r;
}

/* 0; -EUCLEAN: not of use, another one is to be made; -EROFS, -ENOENT: SQLite can't write, and forgot why; -errno. */
static int open_file(const char *path, int user_version, const char *schema, bool full_sync, sqlite3 **ret) {
        _cleanup_(sqlite_close_p) sqlite3 *db = NULL;
        int64_t found = 0, n_tables = 0;
        int r, rc;

        r = make_file(path);
        if (r < 0)
                return r;
        errno = 0;
        rc = sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_PRIVATECACHE, NULL);
        if (rc != SQLITE_OK)
                return sqlite_errno(db, rc);
        if (sqlite3_db_readonly(db, "main") == 1)
                return -EROFS;          /* see sqlite_open() */
        (void) sqlite3_extended_result_codes(db, 1);
        (void) sqlite3_busy_timeout(db, BUSY_MSEC);

        /* Before anything is read: so WAL needs no memory shared between processes, and a second daemon is kept out. */
        r = sqlite_exec(db, "PRAGMA locking_mode = EXCLUSIVE");
        if (r == 0)
                r = query_number(db, "PRAGMA user_version", &found);
        if (r == 0)
                r = query_number(db, "SELECT count(*) FROM sqlite_master", &n_tables);
        /* Of a format that this SQLite does not know, or only reads: whether the file may be written was seen before. */
        if (r == -EINVAL || (r == 0 && sqlite3_db_readonly(db, "main") == 1))
                r = -EUCLEAN;
        if (r == 0 && found != user_version && (found != 0 || n_tables != 0))
                r = -EUCLEAN;
        if (r == 0)
                r = quick_check(db);
        if (r == 0)
                r = sqlite_exec(db, "PRAGMA journal_mode = WAL");
        if (r == 0)
                r = sqlite_exec(db, full_sync ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = NORMAL");
        if (r == 0)
                r = make_schema(db, (int) found, user_version, schema);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(db);
        return 0;
}

/* The log belongs to the file: SQLite looks for it beside the file, under the same name. */
static int move_companion(const char *path, const char *to, const char *suffix) {
        _cleanup_free_ char *old = NULL, *new = NULL;

        if (asprintf(&old, "%s%s", path, suffix) < 0)
                return -ENOMEM;
        if (asprintf(&new, "%s%s", to, suffix) < 0)
                return -ENOMEM;
        return rename(old, new) < 0 && errno != ENOENT ? -errno : 0;
}

static int move_aside(const char *path) {
        for (unsigned i = 1; i <= DAMAGED_MAX; i++) {
                _cleanup_free_ char *to = NULL;
                struct stat st;
                int r;

                if (asprintf(&to, "%s.damaged-%u", path, i) < 0)
                        return -ENOMEM;
                if (lstat(to, &st) == 0)
                        continue;
                if (errno != ENOENT)
                        return -errno;
                /* First what belongs to it: a log left behind would be played into the new file. */
                r = move_companion(path, to, "-wal");
                if (r == 0)
                        r = move_companion(path, to, "-journal");
                if (r == 0)
                        r = move_companion(path, to, "-shm");
                if (r == 0)
                        r = rename(path, to) < 0 ? -errno : 0;
                return r;
        }
        return -EEXIST;
}

/* Can all of it be read? What SQLite takes for damage may be a disk, or a host, that fails for a moment. */
static int read_through(const char *path) {
        char piece[4096];
        ssize_t n;
        int r = 0;
        int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

        if (fd < 0)
                return -errno;
        do {
                n = read(fd, piece, sizeof(piece));
                if (n < 0 && errno != EINTR)
                        r = -errno;
        } while (r == 0 && n != 0);
        (void) close(fd);
        return r;
}

/* Can what is there be written? 0, -errno. Nobody has it open: closing it drops all locks. */
static int may_write(const char *path, const char *suffix) {
        _cleanup_free_ char *whole = NULL;
        int fd;

        if (asprintf(&whole, "%s%s", path, suffix) < 0)
                return -ENOMEM;
        fd = open(whole, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        if (fd < 0)
                return errno == ENOENT ? 0 : -errno;
        (void) close(fd);
        return 0;
}

/* open_file(), which names the cause. */
static int open_or_tell(const char *path, int user_version, const char *schema, bool full_sync, sqlite3 **ret) {
        int r = open_file(path, user_version, schema, full_sync, ret);

        if (r != -EROFS && r != -ENOENT)
                return r;
        /*
         * Whatever keeps SQLite from opening a file for writing (too many open files, or rights), it opens it for reading
         * then, and tells what comes of that. Either the cause can be seen again, or it was for a moment only.
         */
        r = may_write(path, "");
        if (r == 0)
                r = may_write(path, "-wal");
        return r == 0 ? open_file(path, user_version, schema, full_sync, ret) : r;
}

int sqlite_open(const char *path, int user_version, const char *schema, bool full_sync, sqlite3 **ret) {
        int r;

        assert(user_version > 0);

        r = open_or_tell(path, user_version, schema, full_sync, ret);
        if (r != -EUCLEAN)
                return r;
        /* All is lost that is moved aside: not by a single verdict. */
        r = read_through(path);
        if (r < 0)
                return r;
        r = open_or_tell(path, user_version, schema, full_sync, ret);
        if (r != -EUCLEAN)
                return r;
        r = move_aside(path);
        if (r < 0)
                return r;
        r = open_or_tell(path, user_version, schema, full_sync, ret);
        if (r == -EUCLEAN)
                return -EIO;            /* it is new: what can't be read of it is not what was written */
        return r == 0 ? SQLITE_UTIL_DAMAGED : r;
}
