/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * The inside of RfcIndex, for rfc-index.c and the index-*.c only.
 *
 *   IndexDoc     number, size, digest, title: once, however many hold it (counted)
 *   IndexPeer    an endpoint: holder or source of records (counted); lists what it stated, first-hand and as hearsay
 *   IndexRecord  64 bytes: holder has doc, by the word of source. In four places: the table by (number, holder), the
 *                list of its number, the list of its source or that of the forgotten, the wheel of due times
 *   IndexNumber  the records of one number; a tree, for walks in order
 *   IndexOwn     an own document; a tree of its own. When it goes it stays as a tombstone, in another tree, so that a
 *                delta can tell of it
 *
 * A first-hand record lives for ttl_sec from when it was stated or from when its source last confirmed everything,
 * whichever is later. So confirming touches the source alone; the wheel learns of it when the old due time comes.
 *
 * Forgetting a source touches no record either: its lists are hung into that of the forgotten, whole, and whatever it
 * stated before forgotten_before is dead from then on. rfc_index_expire() takes them out.
 */

#include "core/index-table.h"
#include "core/rfc-index.h"

#include <bsd/sys/queue.h>
#include <bsd/sys/tree.h>

typedef struct IndexDoc {
        IndexNode node;
        uint32_t number;
        uint32_t n_refs;
        uint64_t size;
        Digest digest;
        char *title;                    /* owned; not terminated */
        size_t title_size;
} IndexDoc;

typedef enum IndexKind {
        INDEX_FIRST_HAND,
        INDEX_HEARSAY,
        _INDEX_KIND_MAX,
} IndexKind;

/* What one source stated of one kind; the most recently stated first. */
typedef struct IndexStated {
        uint32_t first, last;
        uint32_t n;
        uint32_t heap_at;               /* place in the heap of this kind, counted from 1; 0: not in it (n is 0) */
        uint64_t size;                  /* what they take, each as index_record_size() says */
} IndexStated;

typedef struct IndexPeer {
        IndexNode node;
        Endpoint endpoint;
        bool filling;                   /* an answer about all it has is going in, and nothing was lost since */
        bool whole;                     /* see rfc_index_is_whole() */
        uint32_t n_refs;
        usec_t filling_at;              /* sent_at of the latest such answer that began to go in; 0: none */
        usec_t confirmed_at;            /* sent_at of the latest such answer that is in, or 304; 0: none */
        usec_t stated_at;               /* the latest of all that it stated */
        usec_t forgotten_before;        /* what it stated before is forgotten; 0: nothing */
        IndexStated stated[_INDEX_KIND_MAX];
} IndexPeer;

typedef struct IndexRecord {
        IndexNode node;
        usec_t stated_at;
        uint32_t ttl_sec;
        uint32_t number;
        uint32_t doc;
        uint32_t holder, source;        /* peers; the same: first-hand */
        uint32_t number_next, number_prev;
        uint32_t source_next, source_prev;
        uint32_t due_next, due_prev;
        uint32_t due_sec;               /* boottime; not later than it expires, or as far ahead as the wheel goes */
} IndexRecord;

typedef struct IndexNumber {
        RB_ENTRY(IndexNumber) entry;
        uint32_t number;
        uint32_t first, last;           /* records; first-hand ones come before hearsay */
        uint32_t n_hearsay;             /* how many of them are; at most RFC_INDEX_HEARSAY_MAX */
} IndexNumber;

typedef struct IndexOwn {
        RB_ENTRY(IndexOwn) entry;
        TAILQ_ENTRY(IndexOwn) link;     /* of tombstones */
        uint32_t number;
        uint32_t doc;                   /* 0: a tombstone */
        uint64_t changed;               /* the generation that it came, changed or went with */
} IndexOwn;

typedef RB_HEAD(IndexNumberTree, IndexNumber) IndexNumberTree;
typedef RB_HEAD(IndexOwnTree, IndexOwn) IndexOwnTree;

/* Sources, the one whose records take most at the top. */
typedef struct IndexHeap {
        uint32_t *peers;                /* owned */
        uint32_t n, allocated;
} IndexHeap;

/*
 * Seconds that the wheel sees ahead: more than the usual 7200. What is due later is looked at when the wheel has
 * turned.
 */
#define INDEX_WHEEL_SLOTS 8192

struct RfcIndex {
        RfcIndexLimits limits;
        uint64_t hash_key[2];
        Generation generation;

        IndexTable docs, peers, records;
        size_t title_size;              /* of all docs */
        IndexHeap heaps[_INDEX_KIND_MAX];
        IndexStated forgotten;          /* of all sources; in no heap */
        IndexNumberTree numbers;
        size_t n_numbers;
        IndexNumber *number_hint;       /* the last one used: answers come in order */
        IndexOwnTree own;
        size_t n_own;
        IndexOwnTree gone;              /* tombstones: no number is in both trees */
        TAILQ_HEAD(, IndexOwn) gone_queue;      /* the same, the oldest first */
        size_t n_gone;
        uint64_t changes_since;         /* of older generations nobody remembers what has gone since */

        uint32_t wheel_sec;             /* everything due up to this second has been looked at */
        uint32_t wheel[INDEX_WHEEL_SLOTS];
        uint64_t wheel_used[INDEX_WHEEL_SLOTS / 64];
};

/* What somebody says that a holder has. */
typedef struct IndexStatement {
        uint32_t number;
        uint32_t ttl_sec;               /* capped already */
        uint64_t size;
        Digest digest;
        Slice title;
        usec_t stated_at;
} IndexStatement;

/* What is stated of own documents, in seconds. */
uint32_t rfc_index_ttl_sec(const RfcIndex *x);

static inline IndexDoc *index_doc(const RfcIndex *x, uint32_t id) {
        return index_table_item(&x->docs, id);
}

static inline IndexPeer *index_peer(const RfcIndex *x, uint32_t id) {
        return index_table_item(&x->peers, id);
}

static inline IndexRecord *index_record(const RfcIndex *x, uint32_t id) {
        return index_table_item(&x->records, id);
}

static inline IndexKind index_record_kind(const IndexRecord *rec) {
        return rec->holder == rec->source ? INDEX_FIRST_HAND : INDEX_HEARSAY;
}

/* ---- index-source.c: peers, and who stated what ---------------------------------------------------------------- */

uint32_t index_peer_find(const RfcIndex *x, const Endpoint *e);         /* 0: not there */
int index_peer_ref(RfcIndex *x, const Endpoint *e, uint32_t *ret) _must_check_;
void index_peer_unref(RfcIndex *x, uint32_t id);

/* Makes sure that the next index_source_link() of that kind has the memory it needs. 0, -ENOMEM. */
int index_source_reserve(RfcIndex *x, IndexKind kind) _must_check_;
/* Puts the record at the front of its source's list, as the most recently stated. */
void index_source_link(RfcIndex *x, uint32_t id);
void index_source_unlink(RfcIndex *x, uint32_t id);
/* Forgets all that it stated, in O(1). Gives how many records that are. */
size_t index_source_forget(RfcIndex *x, uint32_t source);

/* ---- index-store.c: the pieces, kept consistent with each other ------------------------------------------------ */

/* The counted doc that equals s, made where there is none. 0 or -ENOMEM. */
int index_doc_intern(RfcIndex *x, const IndexStatement *s, uint32_t *ret) _must_check_;
bool index_doc_equal(const IndexDoc *d, const IndexStatement *s);
void index_doc_unref(RfcIndex *x, uint32_t id);

static inline bool index_record_forgotten(const RfcIndex *x, const IndexRecord *rec) {
        return rec->stated_at < index_peer(x, rec->source)->forgotten_before;
}

/* 0: it is forgotten. */
usec_t index_record_expires_at(const RfcIndex *x, const IndexRecord *rec);
bool index_record_alive(const RfcIndex *x, const IndexRecord *rec, const Now *now);
void index_record_fill(const RfcIndex *x, const IndexRecord *rec, RfcRecord *ret);
uint32_t index_record_find(const RfcIndex *x, uint32_t number, uint32_t holder);        /* 0: not there */
/* There must be none of that number and holder. 0 or -ENOMEM. */
int index_record_add(RfcIndex *x, uint32_t holder, uint32_t source, const IndexStatement *s) _must_check_;
/* What was known of that number and holder is now as s, by the word of source. 0, -ENOMEM: nothing changed. */
int index_record_restate(RfcIndex *x, uint32_t id, uint32_t source, const IndexStatement *s) _must_check_;
void index_record_remove(RfcIndex *x, uint32_t id);
IndexNumber *index_number_find(RfcIndex *x, uint32_t number);           /* NULL: others hold nothing of it */
IndexNumber *index_number_at_least(const RfcIndex *x, uint32_t number);
IndexNumber *index_number_next(IndexNumber *n);
void index_numbers_done(RfcIndex *x);

/* ---- index-bounds.c: how much there may be, and what goes ------------------------------------------------------ */

/* What a record with such a title takes where nothing of it is shared: by that it is told which source takes most. */
size_t index_record_size(size_t title_size);
/* Is there more of others than there may be? */
bool index_is_over(const RfcIndex *x);
/* Would it be so with one more record, whatever that takes? */
bool index_is_full(const RfcIndex *x);
/* May this come to it as it is now? */
bool index_has_room(const RfcIndex *x, const IndexStatement *s);
/*
 * Room for one more record of that kind by that source, by dropping some of somebody else's if need be. false: there
 * is none.
 */
bool index_make_room(RfcIndex *x, uint32_t source, IndexKind kind, const IndexStatement *s);
/* The same by dropping what it stated itself longest ago. false: there is nothing of that kind. */
bool index_make_room_of_own(RfcIndex *x, uint32_t source, IndexKind kind, const IndexStatement *s);
/* The same for hearsay among the hearsay of its number. */
bool index_make_room_in_number(RfcIndex *x, uint32_t source, const IndexStatement *s, const Now *now);
/* Drops one record: a forgotten one, else hearsay, else of the source whose records take most. */
void index_evict(RfcIndex *x);

/* ---- index-due.c: when records are due ------------------------------------------------------------------------- */

/* Sees to it that the record is looked at when it expires, at the latest; call after every change of its life. */
void index_due_add(RfcIndex *x, uint32_t id);
void index_due_sooner(RfcIndex *x, uint32_t id);
void index_due_remove(RfcIndex *x, uint32_t id);

/* ---- rfc-index.c ----------------------------------------------------------------------------------------------- */

IndexOwn *index_own_at_least(const RfcIndex *x, uint32_t number);
IndexOwn *index_own_next(IndexOwn *o);
/* The same for tombstones. */
IndexOwn *index_gone_at_least(const RfcIndex *x, uint32_t number);
