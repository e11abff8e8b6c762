/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * The inside of Documents, for documents.c (what other threads ask), documents-copies.c (which of them
 * stay), documents-room.c (which of them go), documents-scan.c (what the disk worker finds), documents-trust.c (the manifest)
 * and own-index.c (the snapshot) only.
 */

#include <bsd/sys/tree.h>
#include <pthread.h>

#include "peerd/documents.h"

/* Records encoded per hold of the lock: some 50 µs. */
#define DOCUMENTS_ENCODE_SLICE 256

/* What the file of an own document was when it was hashed. */
typedef struct Stamped {
        RB_ENTRY(Stamped) node;
        uint32_t number;
        LibraryStamp stamp;
        bool pinned;
        bool unsaved;                   /* read_at is not in the catalogue yet */
        usec_t read_at;                 /* realtime */
} Stamped;

RB_HEAD(StampTree, Stamped);

struct Documents {
        DocumentsConf conf;
        Library *library;               /* the disk worker's */
        pthread_mutex_t lock;           /* of what follows */
        RfcIndex *index;
        struct StampTree stamps;
        OwnIndex *own;
        uint64_t own_bytes;
        const RfcMeta *meta;            /* the library's; NULL: no editor's index, and what follows is none */
        LibraryIndexOrigin editor_origin;
        LibraryStamp editor_stamp;
        Digest editor_digest;
        TrustConf trust;
        Manifest *manifest;             /* owned; that of trust */
        unsigned n_replicas;            /* Store.MinReplicas= */
        Endpoint *self;                 /* owned; how others know this peer */
        size_t n_self;
        /* --- */
        atomic_bool scanned;
        atomic_uint_fast64_t n_changes;
        atomic_uint_fast64_t max_size;
        bool trim_queued, told_full;    /* the disk worker's */
        atomic_bool reads_queued;
        bool encode_queued, scan_queued, scan_again;    /* the disk worker's */
        bool missed;                    /* a scan is due for what was missed; the disk worker's, as is: */
        unsigned n_missed;              /* such scans, in a row */
        usec_t encode_at;               /* boottime: not before; the disk worker's, the main loop's on the way to the timer */
        char *manifest_path;            /* owned; the disk worker's */
        usec_t retry_after;             /* goes with retry_message */
        usec_t missed_after;            /* likewise */
        sd_event_source *watch, *watch_timer, *retry_timer, *missed_timer, *reads_timer, *encode_timer; /* main loop */
        Message trim_message, reads_message;
        Message scan_message, scanned_message, encode_message, watch_message, watched_message, retry_message;
        Message missed_message;
};

/* ---- own-index.c ---- */

OwnIndex *own_index_new(void);
/* Encodes the own index anew; in the disk worker, which alone changes own records. -errno, logged: the old one stays. */
int documents_refresh_own(Documents *d);
/*
 * The same behind whatever else is queued there: many changes make one snapshot. And where they come all the time, as in a
 * sync, it takes a small part of the time only. In the disk worker.
 */
void documents_queue_encode(Documents *d);
/* In the main loop, for what has to wait. -errno. */
int documents_start_encoding(Documents *d) _must_check_;

/* ---- documents-trust.c ---- */

/* The disk worker is gone. */
void documents_done_trust(Documents *d);

/* ---- documents-scan.c ---- */

/* The file of an own document, under the lock; NULL: there is none. */
Stamped *documents_find_stamp(Documents *d, uint32_t number);
/* That of the lowest number > after, likewise. */
Stamped *documents_next_stamp(Documents *d, uint32_t after);
/* What the library is to call; all of it in the disk worker. */
LibraryHandler documents_library_handler(Documents *d);
void documents_free_stamps(Documents *d);

/* ---- documents-room.c ---- */

/* Evicts what is over the limit, behind whatever else is queued. In the disk worker. */
void documents_queue_trim(Documents *d);
/* Writes down when documents were last read. In the disk worker, or when it is gone. */
void documents_save_reads(Documents *d);
/* The same every now and then; in the main loop. */
int documents_start_saving(Documents *d) _must_check_;
