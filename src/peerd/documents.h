/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * Documents: the library and the RFC index as the threads of the peer share them. The disk worker owns the library and
 * alone changes own records; everybody may look at the index, with documents_lock() held for at most 1 ms; and the
 * encoded own index is an immutable, counted snapshot (OwnIndex), which download threads send without the lock.
 */

#include "core/base.h"
#include "core/editor-index.h"
#include "core/page.h"
#include "core/rfc-index.h"
#include "core/trust.h"
#include "io/library.h"
#include "io/mailbox.h"

#include <stdatomic.h>

/* A page for people (core/page) of what an OwnIndex lists. */
typedef struct OwnPage {
        Buf body;
        Digest digest;
} OwnPage;

OwnPage *own_page_free(OwnPage *p);
DEFINE_CLEANUP(OwnPage *, own_page_free)

/* The body of a 200 to If-Generation:, for one generation, and what it takes to make that of a 226 of it. */
typedef struct OwnIndex {
        atomic_uint n_refs;             /* the one reference count of the project */
        Generation generation;
        Digest digest;                  /* Index-Digest: */
        Buf body;
        IndexChanges *changes;
        OwnPage *_Atomic pages[_PAGE_KIND_MAX]; /* made for whoever asks first: see pages_get() */
} OwnIndex;

OwnIndex *own_index_ref(OwnIndex *o);
void own_index_unref(void *p);          /* takes void *: it is a ConnBody's release */

typedef struct Documents Documents;

typedef struct DocumentsConf {
        LibraryConf library;
        RfcIndexLimits limits;
        uint64_t max_size;              /* of all documents; UINT64_MAX: no limit */
        sd_event *event;                /* main loop: for the watch */
        Worker *disk;
        Mailbox *main;
        /* The first scan is done. Called in the main loop. */
        void (*on_scanned)(void *userdata);
        void *userdata;
} DocumentsConf;

/* Opens library and index; nothing runs yet. -errno, logged. */
int documents_new(const DocumentsConf *conf, Documents **ret) _must_check_;
/*
 * New settings; documents that a lower max_file_size would have kept out stay until the next start, what is over a lower
 * max_size is evicted as far as it may be.
 */
void documents_reconfigure(Documents *d, const RfcIndexLimits *limits, uint64_t max_file_size, uint64_t max_size,
                           const char *own_index);
/* Starts scanning and watching. */
int documents_start(Documents *d) _must_check_;
/* The disk worker must be gone. */
Documents *documents_free(Documents *d);

/* The index, locked. Never across anything that blocks. */
RfcIndex *documents_lock(Documents *d);
void documents_unlock(Documents *d);
/*
 * What the editor's rfc-index.txt says, the administrator's own or one that came from a peer; NULL: there is none. To be called, and used, between
 * documents_lock() and documents_unlock().
 */
const RfcMeta *documents_meta(const Documents *d);
/* By what documents are graded. To be called, and used, likewise. */
const TrustConf *documents_trust(const Documents *d);
/*
 * Integrity.Quorum= and Manifest= (NULL: none), which is read; what is wrong with it is logged. At the start in the main
 * thread, before documents_start(); then in the disk worker.
 */
void documents_init_trust(Documents *d, unsigned quorum, const char *manifest);
void documents_reload_trust(Documents *d, unsigned quorum, const char *manifest);
/* A new reference to the present snapshot; never NULL. */
OwnIndex *documents_own_index(Documents *d);
/*
 * Own records and hearsay of these numbers, of all if there are none: as rfc_index_encode_set(), with the lock held by
 * slices. What changes meanwhile may be in it or not. -errno.
 */
int documents_encode(Documents *d, const RfcSet *set, const Now *now, Buf *b) _must_check_;
bool documents_scanned(const Documents *d);
uint64_t documents_max_size(const Documents *d);
/* Bytes and number of own documents. */
void documents_count(Documents *d, size_t *ret_n, uint64_t *ret_bytes);

/* An own document, to be served. */
typedef struct OwnDocument {
        uint64_t size;
        Digest digest;
        LibraryStamp stamp;
        char title[PROTO_TITLE_MAX + 1];
        LibraryIndexOrigin origin;      /* of the editor's index */
} OwnDocument;
/*
 * Of the library: another number whenever a document came, changed or went. Whoever keeps what documents_get() told asks
 * anew when it is another one.
 */
uint64_t documents_n_changes(const Documents *d);
/* It counts as read now. false: not in the library. */
bool documents_get(Documents *d, uint32_t number, OwnDocument *ret);
/* The same for the editor's rfc-index.txt, which has no title. */
bool documents_get_editor_index(Documents *d, OwnDocument *ret);

/* What is held of the editor's index, and whose it is. */
void documents_get_editor_held(Documents *d, EditorHeld *ret);
/* How long an own document is meant to stay. false: not in the library. */
bool documents_get_keeping(Documents *d, uint32_t number, bool *ret_pinned, usec_t *ret_read_at);

/* ---- room (documents-room.c); all of it in the disk worker ---- */

/* Answers */
enum {
        DOCUMENTS_NONE = 1,             /* not in the library */
        DOCUMENTS_PINNED,
        DOCUMENTS_LAST_COPY,            /* nobody else is known to hold it, by his own word */
};

/*
 * library_store_begin(), with room made for it: what was read the longest time ago goes, but nothing that is pinned,
 * and no last known copy. -EDQUOT: Store.MaxSize= would be passed, and not enough may go; then nothing did, and it
 * was logged. (A quota of the file system's is -ENOSPC.)
 */
int documents_store_begin(Documents *d, uint32_t number, uint64_t size, const Digest *digest, Slice title,
                          LibraryFile **ret) _must_check_;
/* force: also if it is pinned, or the last known copy. 0, an answer, -errno. */
int documents_evict(Documents *d, uint32_t number, bool force) _must_check_;

/* Store.MinReplicas=, and the addresses under which others know this peer: they decide which copies it keeps. */
void documents_set_copies(Documents *d, unsigned n_replicas, const Endpoint *self, size_t n_self);
/*
 * Is the own copy of that number one of those that the group counts on (core/replicate)? Whoever gives up a copy asks
 * this at that moment, under the lock: of all who do so at the same time as many keep theirs.
 */
bool documents_keeps_copy(const Documents *d, uint32_t number, const Now *now);

/* The library itself: library_open() and library_path() from anywhere, all else in the disk worker. */
Library *documents_library(Documents *d);
Worker *documents_disk(Documents *d);
/* Looks at all of the library anew, later. In the disk worker. */
void documents_scan(Documents *d);
/* Has the disk worker look at one document anew; then posts `done` (may be NULL) to `to`. */
void documents_recheck(Documents *d, uint32_t number, Mailbox *to, Message *done);
