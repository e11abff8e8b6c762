/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * Library: a directory of rfcN.txt: scanning, the catalogue (digest and title by inode, size and mtime, in SQLite, so
 * that a second start reads no document), watching, opening for readers, and storing what was fetched. The only file
 * that knows the directory: one descriptor of it, openat with O_NOFOLLOW, names made from numbers, never from the
 * wire.
 *
 * Lives in the disk worker: all calls are made there and may block, but those that say that they are for any thread, and
 * library_watch_fd().
 *
 * A document is announced only once it was hashed, and only a regular file that did not change meanwhile. Stored
 * files become visible whole, verified and flushed: O_TMPFILE, or where the file system has none a dot-name
 * (".p2pdi-…": a scan removes those left over); hashed while written; fsync, or syncfs for many; linkat or rename to
 * a name that nobody has; fsync of the directory.
 *
 * A title is that of the editor's rfc-index.txt (the one that was named, else that in the library, else the one that
 * was fetched from another peer); where that has none, of rfcN.json beside the document; else out of
 * the document's text; else the one said when it was stored (another peer's word); else "RFC N".
 */

#include "core/base.h"
#include "core/buf.h"
#include "core/rfc-meta.h"

typedef struct Library Library;

/* What a document was when it was hashed; a file whose status differs is not served as this one. */
typedef struct LibraryStamp {
        uint64_t device, inode;
        uint64_t size;
        int64_t mtime_nsec;             /* realtime */
} LibraryStamp;

typedef struct LibraryEntry {
        uint32_t number;
        LibraryStamp stamp;
        Digest digest;
        const char *title;              /* valid UTF-8 without control bytes; valid until the library is called again */
        bool pinned;
        usec_t read_at;                 /* realtime: last known to be read; where none is, the file's time */
} LibraryEntry;

typedef struct LibraryConf {
        const char *path;               /* made if it is not there, 0755; only by library_new() */
        const char *catalogue;          /* SQLite file in the state directory */
        uint64_t max_file_size;         /* bigger ones are passed over, with a warning by `skipped` */
        const char *own_index;          /* the administrator's rfc-index.txt, wherever; NULL: none is named */
        const char *fetched_index;      /* where the one is kept that came from another peer; NULL: there is none */
} LibraryConf;

/* Where the editor's index comes from; the first that is there counts. */
typedef enum LibraryIndexOrigin {
        LIBRARY_INDEX_NAMED,            /* own_index */
        LIBRARY_INDEX_STORED,           /* rfc-index.txt in the library */
        LIBRARY_INDEX_FETCHED,          /* fetched_index */
        _LIBRARY_INDEX_ORIGIN_MAX,
} LibraryIndexOrigin;

/* The editor's index that counts. */
typedef struct LibraryIndexInfo {
        LibraryIndexOrigin origin;
        LibraryStamp stamp;
        Digest digest;
        const RfcMeta *meta;
} LibraryIndexInfo;

typedef struct LibraryHandler {
        /*
         * A document is there (new, or another one, or with another stamp or title), or gone. Called from within the
         * scanning and storing calls, in the disk worker; must not call the library. present: 0, or -errno: it could not
         * be taken note of, which is what the call within which that happened gives; the next one that looks at the
         * document tells again.
         */
        int (*present)(const LibraryEntry *e, void *userdata);
        void (*gone)(uint32_t number, void *userdata);
        /*
         * An editor's rfc-index.txt is there (new or changed), or none any more: NULL. What it says may be read, by
         * any thread, until the next call, which comes before the old one is freed; or library_free(). May be NULL.
         */
        void (*editor_index)(const LibraryIndexInfo *info, void *userdata);
        /*
         * Something can't be used: `name` `why`, e.g. "rfc5.txt" "is not a regular file", "is a symbolic link", "is
         * bigger than Store.MaxFileSize=", "cannot be read"; once per file, stamp and reason. Also rfc-index.txt, and
         * the catalogue ("cannot be written": works on without). error: -errno, or 0 where `why` says it all.
         */
        void (*skipped)(const char *name, const char *why, int error, void *userdata);
        /*
         * The directory is gone from its path, and `gone` was called for each document (error: why it can't be
         * opened); or a directory is there again, or another one, and is about to be scanned (0). Once per change. May
         * be NULL.
         */
        void (*directory)(const char *path, int error, void *userdata);
        /*
         * Something could not be looked at, for a reason of which nobody tells when it is over: the disk failed, or memory
         * or descriptors lacked. It is left out, or as it was before; a scan is due in a while. Not where what a scan or
         * library_watch_process() gives says so. May be called by each scan, and be NULL.
         */
        void (*missed)(void *userdata);
        void *userdata;
} LibraryHandler;

/* Answers */
enum {
        LIBRARY_MORE = 1,               /* call again */
        LIBRARY_NONE,                   /* no such document, or not the one meant */
        LIBRARY_MISMATCH,               /* store: the bytes do not give the promised digest or length: thrown away */
        LIBRARY_DAMAGED,                /* open: the catalogue was damaged, moved aside, and made anew */
        LIBRARY_GONE,                   /* scan: there is no directory at the path */
};

/*
 * 0, LIBRARY_DAMAGED (usable all the same), -errno: path or catalogue not usable; -EMFILE also at the limits of
 * inotify. The watch begins here, so nothing that comes during the first scan is missed. conf strings are copied.
 */
int library_new(const LibraryConf *conf, const LibraryHandler *handler, Library **ret) _must_check_;
/* All LibraryFiles must be committed or aborted before. */
Library *library_free(Library *l);
/* Counts for what is looked at from now on: a scan brings in what was too big. */
void library_set_max_file_size(Library *l, uint64_t size);
DEFINE_CLEANUP(Library *, library_free)
/* Another own_index from now on, or none: the next scan reads it. -ENOMEM. */
int library_set_own_index(Library *l, const char *path) _must_check_;

/*
 * Scanning, in slices of about `budget` of time (one document is read whole by each CPU: those that are not known are read by
 * as many threads), so that other work of the disk worker
 * is not held up: MORE until the whole directory was looked at, then 0. To be started again when
 * library_watch_process() says so. The first call of a scan reads the directory and rfc-index.txt. After -errno
 * (memory, descriptors) the next call goes on where it was.
 *
 * GONE: the directory was moved, removed or unmounted. Nothing is served or stored any more, lest it come from or go to
 * a place that is not the library's. It is not made anew: what comes back may be a mount. To be called again every now
 * and then until it is there. The catalogue is kept meanwhile, so documents that come back are not read again.
 */
int library_scan(Library *l, usec_t budget) _must_check_;
/*
 * inotify descriptor, non-blocking, to wait for on any loop; owned by the library. When it is readable:
 * library_watch_process() in the disk worker.
 */
int library_watch_fd(const Library *l);
/*
 * Reads some events (the descriptor stays readable if there are more), looks at what they name. MORE: a scan is due
 * from the beginning (overflow, another rfc-index.txt, or the library was moved or removed). -errno: the same, as
 * something could not be looked at. Not noticed before the next scan: a lazy unmount, another mount on top, and a
 * directory further up that was moved.
 */
int library_watch_process(Library *l) _must_check_;

/*
 * A descriptor for the document, at its beginning, if the file is still what `stamp` says. LIBRARY_NONE: gone,
 * changed or not to be read any more (tell library_recheck() in the worker). -errno. Thread-safe: uses the directory
 * descriptor only.
 */
int library_open(const Library *l, uint32_t number, const LibraryStamp *stamp, int *ret_fd) _must_check_;
/* The same question without opening it. 0, LIBRARY_NONE, -errno. Thread-safe, too. */
int library_look_at(const Library *l, uint32_t number, const LibraryStamp *stamp) _must_check_;
/*
 * Reads all stamp->size bytes of it into ret, if they are still what gave `digest`. 0, LIBRARY_NONE, -errno.
 * Thread-safe, too.
 */
int library_load(const Library *l, uint32_t number, const LibraryStamp *stamp, const Digest *digest, char *ret)
        _must_check_;
/* library_open() for the editor's index of that origin. Thread-safe, too. */
int library_open_editor_index(Library *l, LibraryIndexOrigin origin, const LibraryStamp *stamp, int *ret_fd)
        _must_check_;
/*
 * Looks at one document anew: calls the handler if it is not what was announced. Not at one that somebody made and did
 * not close yet: library_watch_process() does when it is whole. 0, -errno.
 */
int library_recheck(Library *l, uint32_t number) _must_check_;
/* The full path of a document, to show: owned by the caller. */
int library_path(const Library *l, uint32_t number, char **ret) _must_check_;

/* ---- what is kept beside the files (library-keep.c) ---- */

/* Keeps it in the catalogue, over restarts, and also while the file is away; calls `present`. LIBRARY_NONE, 0. */
int library_set_pinned(Library *l, uint32_t number, bool pinned) _must_check_;
/* The same for the time of the last reading (realtime); `present` is not called, and library_flush() is to be. */
void library_set_read(Library *l, uint32_t number, usec_t read_at);
/* Writes to the catalogue what was set. */
void library_flush(Library *l);
/* Removes the file, and what is kept beside it; `gone` is called. LIBRARY_NONE, 0, -errno: it is still there. */
int library_evict(Library *l, uint32_t number) _must_check_;
/* Bytes of what is being stored. */
uint64_t library_reserved(const Library *l);

/* ---- verifying (library-verify.c) ---- */

typedef struct LibraryVerdict {
        enum {
                LIBRARY_VERDICT_GOOD,
                LIBRARY_VERDICT_DAMAGED,        /* the file is as it was, its bytes are not: taken out */
                LIBRARY_VERDICT_UNREADABLE,     /* or no regular file any more: taken out, `skipped` was called */
        } kind;
        uint64_t size;
        bool has_digest;                /* found: not set where it could not be read */
        Digest found, expected;
} LibraryVerdict;

/*
 * Reads a document anew, from disk as far as the system can be told, and compares it with what it gave when it was
 * hashed; with `wanted`, if that is not NULL. A file that is another one by its stamp is read as a new one. A damaged
 * one is gone for the handler, until there is another file or a later call finds it good; also over restarts. 0 and
 * *ret; LIBRARY_NONE: there is none; -errno. One document is read whole.
 */
int library_verify(Library *l, uint32_t number, const Digest *wanted, LibraryVerdict *ret) _must_check_;
/* The lowest number > after that is held, damaged or not; 0: none. */
uint32_t library_next_number(Library *l, uint32_t after);
/* What is stored next under that number may take the place of the damaged file, until it is verified again. */
void library_allow_repair(Library *l, uint32_t number);

/* ---- storing ---- */

typedef struct LibraryFile LibraryFile;

/*
 * In place of a number: rfc-index.txt, into the directory. What it says is not looked at, and counts once it is there; a
 * scan is due then for the titles. One that is there already is kept: -EEXIST.
 */
#define LIBRARY_EDITOR_INDEX 0

/*
 * size and digest as promised; title as said. The space of a big one is reserved, so -ENOSPC, -EDQUOT come now where the
 * file system can tell; -EFBIG over max_file_size; -ENOENT while the library is gone; -EUCLEAN: a damaged file has that
 * name, see library_allow_repair(); -errno. Several may be under way.
 */
int library_store_begin(Library *l, uint32_t number, uint64_t size, const Digest *digest, Slice title,
                        LibraryFile **ret) _must_check_;
int library_store_write(LibraryFile *f, Slice bytes) _must_check_;      /* 0, MISMATCH (too long), -errno */
/*
 * Verifies, flushes, makes visible, calls `present`, frees f in any case. 0, MISMATCH, -errno. A file that got this
 * name in the meantime is kept, never replaced: 0 if it is a document (announced as what it is), else -EEXIST. A
 * damaged one that may be repaired is replaced, in one step, and is there until then.
 * ret_digest: what the bytes gave, set with 0 and MISMATCH; may be NULL.
 */
int library_store_commit(LibraryFile *f, Digest *ret_digest) _must_check_;
/* One of many that are committed together. Begins zeroed but for the file. */
typedef struct LibraryCommit {
        LibraryFile *file;                      /* owned by the call; NULL after it */
        int result;                             /* as library_store_commit() gives it */
        Digest found;                           /* likewise */
        LibraryStamp stamp;                     /* the library's own */
        char *title;                            /* the library's own */
        bool published;                         /* the library's own */
        uint64_t directory;                     /* the library's own */
} LibraryCommit;
/*
 * The same for n of them, with one flush for all bytes and one for all names, so that many small documents cost little
 * more than one. Each has its own result: one that fails takes no other with it. A crash leaves each whole or not at
 * all: none has a name before all are on disk.
 */
void library_store_commit_all(Library *l, LibraryCommit *commits, size_t n);
/*
 * The same in five steps: prepare, flush, publish, flush, finish, in this order and with the same commits, so that the
 * worker can do other things while the disk is waited for. Flushing is for any thread. Results are final after finish;
 * -ENOENT: it was moved away, or the library was, between the steps.
 */
void library_store_prepare(LibraryCommit *commits, size_t n);
void library_store_flush(const Library *l, LibraryCommit *commits, size_t n);
void library_store_publish(Library *l, LibraryCommit *commits, size_t n);
void library_store_finish(Library *l, LibraryCommit *commits, size_t n);
/* Of one that does not come to its finish: frees file and title. What has its name keeps it. */
void library_commit_done(LibraryCommit *c);
LibraryFile *library_store_abort(LibraryFile *f);
DEFINE_CLEANUP(LibraryFile *, library_store_abort)

/* ---- the editor's index, fetched from another peer ---- */

typedef struct LibraryIndexFile LibraryIndexFile;

/*
 * One at a time, into a file beside fetched_index: hashed and read while it is written, so that it is known what it says
 * before it counts. size and digest as promised. -errno.
 */
int library_index_begin(Library *l, uint64_t size, const Digest *digest, LibraryIndexFile **ret) _must_check_;
int library_index_write(LibraryIndexFile *f, Slice bytes) _must_check_; /* 0, MISMATCH (too long), -errno */
/*
 * All is written. 0, MISMATCH (ret_digest: what the bytes gave), NONE (it names no RFC), -errno. Then what it says may be
 * asked.
 */
int library_index_finish(LibraryIndexFile *f, Digest *ret_digest) _must_check_;
/* NULL before it is finished. */
const RfcMeta *library_index_meta(const LibraryIndexFile *f);
/*
 * Flushes it, puts it in the place of the one fetched before, tells the handler, frees f in any case. MORE: it counts, so
 * a scan is due for the titles; 0: the administrator has one by now; -errno.
 */
int library_index_commit(LibraryIndexFile *f) _must_check_;
LibraryIndexFile *library_index_abort(LibraryIndexFile *f);
DEFINE_CLEANUP(LibraryIndexFile *, library_index_abort)
