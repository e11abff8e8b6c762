/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * What the files of the library share: the table of documents and what is done with one of them (library-document.c),
 * reading files (library-read.c), scan (library-scan.c, library-ahead.c), the editor's index (library-index.c), watch (library-watch.c),
 * storing (library-store.c), verifying (library-verify.c).
 */

#include <openssl/evp.h>
#include <pthread.h>
#include <sys/stat.h>

#include <bsd/sys/tree.h>

#include "core/rfc-number.h"
#include "io/catalogue.h"
#include "io/library.h"

#define LIBRARY_INDEX_NAME "rfc-index.txt"
#define LIBRARY_TEMPORARY_PREFIX ".p2pdi-"
/* The editor's have 1 to 3 kB. */
#define LIBRARY_JSON_MAX (UINT64_C(1) << 20)

/* What was found unfit, so that it is told only once. */
typedef struct LibraryComplaint {
        LibraryStamp stamp;
        const char *why;                /* NULL: nothing */
} LibraryComplaint;

typedef struct LibraryAhead LibraryAhead;

/* A number of which the directory or the catalogue holds something. */
typedef struct LibraryDocument {
        RB_ENTRY(LibraryDocument) node;
        uint32_t number;
        bool hashed;                    /* stamp, digest and text_title are of a file that was read whole */
        bool changed;                   /* stamp or digest are not in the catalogue, or were not announced */
        bool announced;                 /* present() was called, gone() not yet */
        bool unfinished;                /* somebody made it and did not close it yet */
        bool publishing;                /* by ourselves: what it is will be told by library_adopt() */
        uint64_t seen;                  /* in the listing of this scan */
        LibraryStamp stamp;             /* device 0: from the catalogue, not compared with the file yet */
        Digest digest;
        char *text_title;               /* out of the document; NULL: none */
        LibraryStamp json;              /* of rfcN.json; all 0: not there or not read */
        char *json_title;
        char *title;                    /* as announced */
        bool damaged;                   /* the file with this stamp does not give what is expected: not announced */
        bool repairing;                 /* and a fetched one may take its place */
        LibraryStamp damaged_stamp;
        Digest expected;
        bool pinned;
        usec_t read_at;                 /* realtime; 0: not known */
        LibraryComplaint complaint;
} LibraryDocument;

typedef RB_HEAD(LibraryDocuments, LibraryDocument) LibraryDocuments;

struct Library {
        char *path, *catalogue_path;
        uint64_t max_file_size;
        LibraryHandler handler;

        /*
         * Never changes its value: other threads use it. While the library is gone it is no directory (ENOTDIR), so
         * that nobody goes on in the old one, and that one can be unmounted.
         */
        int dir_fd;
        uint64_t n_directories;         /* that dir_fd was, or was not, one after the other */
        int inotify_fd;
        int watch, parent_watch;        /* -1: none */
        bool gone;                      /* and the handler was told */

        Catalogue *catalogue;
        bool catalogue_failed;          /* told */
        LibraryDocuments documents;
        size_t n_unfinished;

        RfcMeta *meta;                  /* the editor's index; NULL: there is none */
        LibraryIndexOrigin meta_origin;
        LibraryStamp meta_stamp;
        LibraryComplaint meta_complaints[_LIBRARY_INDEX_ORIGIN_MAX];
        char *fetched_index;            /* never changes; NULL: none */
        pthread_mutex_t index_lock;     /* of what follows, which other threads read */
        char *own_index;                /* NULL: none */

        uint32_t *scan;                 /* numbers of the listing; NULL: no scan under way */
        size_t scan_size, scan_at;
        uint64_t scan_serial;
        LibraryAhead *ahead;            /* owned; NULL: nothing was read ahead */

        size_t n_files;                 /* being stored */
        uint64_t reserved;              /* their bytes */
};

/* ---- library-document.c ---- */

LibraryDocument *library_find(Library *l, uint32_t number);      /* NULL: none */
LibraryDocument *library_find_after(Library *l, uint32_t after);       /* the first beyond; NULL: none */
LibraryDocument *library_first(Library *l);
LibraryDocument *library_next(LibraryDocument *d);
/* Finds or makes. */
int library_obtain(Library *l, uint32_t number, LibraryDocument **ret) _must_check_;
void library_forget(Library *l, LibraryDocument *d);
/*
 * Compares one document with its file, reads it if it has to, tells the handler, keeps it in the catalogue. 0,
 * -errno. d may be freed.
 */
int library_check(Library *l, uint32_t number) _must_check_;
/* A file was made under that name: check it if it is whole, else wait until it is closed. */
int library_check_created(Library *l, uint32_t number) _must_check_;
/* Says of all documents that they are gone; keeps what is known of them, in case they come back. */
void library_withdraw_all(Library *l);
/* Tells the handler. */
int library_present(Library *l, const LibraryDocument *d);
/* Only the title may have changed. */
int library_check_title(Library *l, uint32_t number) _must_check_;
/* Was stored by us: needs no reading. Takes text_title. */
int library_adopt(Library *l, uint32_t number, const LibraryStamp *stamp, const Digest *digest, char *text_title)
        _must_check_;
/* Keeps what the catalogue has of it beside the file. */
void library_keep_care(Library *l, const LibraryDocument *d);
/* Its file is not what it should be: out with it. It stays so until there is another file. */
void library_mark_damaged(Library *l, LibraryDocument *d, const LibraryStamp *stamp, const Digest *expected);
/* Tells the handler that something was missed, if r is an error; gives r. */
int library_missed(Library *l, int r);
/* The same for one that was found unfit: of rights, and of what it is, the watch will tell. */
void library_missed_unfit(Library *l, int error);
/* Tells the handler, unless it was told before. */
void library_complain(Library *l, LibraryComplaint *c, const char *name, const LibraryComplaint *now, int error);

/* ---- library.c ---- */

/* Opens Store.Path, made if it is not there and `make`. 0, -errno. */
int library_open_directory(const char *path, bool make, int *ret) _must_check_;

/* Opens a file that is still what `stamp` says. 0, LIBRARY_NONE, -errno. Thread-safe. */
int library_open_stamped(const Library *l, const char *name, const LibraryStamp *stamp, int *ret_fd) _must_check_;

/* ---- library-index.c ---- */

/* Reads the index that counts where it is another one than last time. 0, -errno. */
int library_refresh_index(Library *l) _must_check_;

/* ---- library-scan.c ---- */

/* Is the directory that dir_fd is still the one at the path? */
bool library_in_place(const Library *l);
/* The next library_scan() starts from the beginning. */
void library_scan_reset(Library *l);

/* ---- library-ahead.c ---- */

/*
 * Reads and hashes, on all CPUs, the next documents of the scan that are not known, if that was not done for the one that
 * is next. until: monotonic; what is begun by then is ended, one by each CPU.
 */
void library_ahead_go(Library *l, usec_t until);
/* What the file with that stamp gave; false: it was not read. *ret_title: owned by the caller; NULL: none found. */
bool library_ahead_take(Library *l, uint32_t number, const LibraryStamp *stamp, Digest *ret_digest, char **ret_title);
/* Forgets what was read. */
void library_ahead_reset(Library *l);

/* ---- library-watch.c ---- */

/* Watches the directory that dir_fd is, and no other any more. -errno: none at all. */
int library_watch_start(Library *l) _must_check_;
void library_watch_stop(Library *l);

/* ---- library-read.c ---- */

static inline bool library_stamp_equal(const LibraryStamp *a, const LibraryStamp *b) {
        return a->inode == b->inode && a->size == b->size && a->mtime_nsec == b->mtime_nsec;
}
LibraryStamp library_stamp(const struct stat *st);

/* Hashes bytes that pass by, and keeps the beginning for the title. */
typedef struct LibraryIntake {
        EVP_MD_CTX *hash;
        Buf text;
} LibraryIntake;

int library_intake_init(LibraryIntake *i) _must_check_;
void library_intake_done(LibraryIntake *i);
int library_intake_feed(LibraryIntake *i, Slice bytes) _must_check_;
/* *ret_title: owned by the caller; NULL: none found. */
int library_intake_finish(LibraryIntake *i, Digest *ret_digest, char **ret_title) _must_check_;

/* Answers of the reading calls */
enum {
        LIBRARY_READ_GONE = 1,          /* no such file */
        LIBRARY_READ_UNFIT,             /* no file to be read: complaint and error are set */
        LIBRARY_READ_CHANGED,           /* while it was read: of no use; who writes to it will close it */
};

typedef struct LibraryReading {
        const char *name;
        uint64_t max_size;
        bool from_disk;                 /* not what memory still has of it, as far as the system can be told */
        int (*feed)(Slice bytes, void *userdata);       /* 0, -errno (forwarded) */
        void *userdata;
        /* results */
        LibraryStamp stamp;
        nlink_t n_links;
        LibraryComplaint complaint;
        int error;                      /* -errno or 0 */
} LibraryReading;

/* Looks at the file without opening it. 0, GONE, UNFIT. Sets stamp and n_links when 0. */
int library_look(const Library *l, LibraryReading *reading) _must_check_;
/* library_look(), then reads it whole. 0, GONE, UNFIT, CHANGED, -errno. */
int library_read(const Library *l, LibraryReading *reading) _must_check_;
/* The same with a feed of its own: what library_intake_finish() gives of the file. */
int library_hash(const Library *l, LibraryReading *reading, Digest *ret_digest, char **ret_title) _must_check_;
/*
 * The title in rfcN.json: reads it where its stamp is not the one given, and replaces both (*title NULL: none in it,
 * else owned by the caller). 0, GONE, UNFIT, CHANGED, -errno.
 */
int library_read_json(const Library *l, uint32_t number, LibraryStamp *stamp, char **title) _must_check_;
