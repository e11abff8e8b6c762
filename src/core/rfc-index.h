/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * RfcIndex: what this peer knows about who holds which RFC: its own documents, and records merged from the peers it
 * has met, each with a time to live (protocol, section 3). One RFC has as many records as holders.
 *
 * Words: a record is *first-hand* when its holder stated it, *hearsay* when somebody else did. The *source* is the
 * peer that stated it. A first-hand record and hearsay about the same number and holder are kept as one record:
 * first-hand while it lives.
 *
 * Not thread-safe: the daemon holds its one mutex around every call, for at most 1 ms at a time. So a merge is parsed
 * aside (IndexMerge, no lock) and goes in by slices.
 *
 * Sized for a million records at up to 100 bytes each: number, size, digest and title are stored once for all holders
 * of the same text.
 */

#include "core/address.h"
#include "core/base.h"
#include "core/buf.h"
#include "core/proto.h"
#include "core/rfc-number.h"

typedef struct RfcIndex RfcIndex;

/*
 * Of one number there is so much hearsay at most: four times as many holders as one lookup asks at once, and few enough
 * that whoever looks at all records of a number is done in some microseconds, whatever peers that lie together say.
 */
#define RFC_INDEX_HEARSAY_MAX 128
/*
 * Records and what belongs to them have room for 256 bytes each of max_records, two to three times what they take in a
 * group where every text has several holders, but 64 MiB at least: that is more than one answer can bring, whatever is
 * in its 16 MiB. Memory that was used once is kept, so beside 256 MB of long titles there may lie as much again of tables
 * that were full before, at worst.
 */
#define RFC_INDEX_RECORD_SIZE 256
#define RFC_INDEX_SIZE_MIN ((size_t) 64 << 20)

typedef struct RfcIndexLimits {
        usec_t ttl_usec;                        /* Index.TTLSec=: of own documents, cap for others; at least 1 s */
        size_t max_records;                     /* Index.MaxEntries=, own ones included; these always have room. See
                                                   also RFC_INDEX_RECORD_SIZE */
} RfcIndexLimits;

/* One record, as a snapshot. title stays valid until the next change of the index. */
typedef struct RfcRecord {
        uint32_t number;
        uint64_t size;
        Digest digest;
        Slice title;
        bool own;                               /* holder and source are this peer */
        bool first_hand;                        /* source is holder */
        Endpoint holder;
        Endpoint source;
        usec_t expires_at;                      /* boottime; own: USEC_INFINITY */
} RfcRecord;

/* Answers */
enum {
        RFC_INDEX_UNCHANGED = 1,
        RFC_INDEX_BAD,                          /* the body is not what the protocol says: nothing was changed */
        RFC_INDEX_MORE,                         /* call again: not all is done yet */
        RFC_INDEX_TOO_LARGE,                    /* over 65,536 records or 16 MiB: nothing was changed */
        RFC_INDEX_UNKNOWN,                      /* a generation of which the changes since then are not known */
};

/* epoch: random, drawn at every start, not 0. hash_key random. -ENOMEM. */
int rfc_index_new(const RfcIndexLimits *limits, uint64_t epoch, const uint64_t hash_key[2],
                  RfcIndex **ret) _must_check_;
RfcIndex *rfc_index_free(RfcIndex *x);
DEFINE_CLEANUP(RfcIndex *, rfc_index_free)
/* A lower TTL counts for what is stated from now on; what is over a lower max_records goes in rfc_index_expire(). */
void rfc_index_set_limits(RfcIndex *x, const RfcIndexLimits *limits);

/* ---- own documents --------------------------------------------------------------------------------------------- */

/*
 * 0: added or changed, the generation went up; UNCHANGED; -ENOMEM. title: valid UTF-8, no control bytes, at most
 * PROTO_TITLE_MAX.
 */
int rfc_index_set_own(RfcIndex *x, uint32_t number, uint64_t size, const Digest *digest, Slice title) _must_check_;
/* 0: removed, the generation went up; UNCHANGED: there was none. */
int rfc_index_remove_own(RfcIndex *x, uint32_t number);
bool rfc_index_get_own(const RfcIndex *x, uint32_t number, RfcRecord *ret);
/* The own record with the lowest number > after. */
bool rfc_index_next_own(const RfcIndex *x, uint32_t after, RfcRecord *ret);
Generation rfc_index_generation(const RfcIndex *x);
size_t rfc_index_count_own(const RfcIndex *x);

/* ---- encoding (what RFCQuery answers) -------------------------------------------------------------------------- */

/*
 * The own records with numbers > *after, up to max_records of them: their lines in the body of a 200 to If-Generation:, and the bytes that
 * Index-Digest covers. *after moves on. 0: that was all; MORE; TOO_LARGE: more than an answer may have (65,536 records), or than one of
 * the buffers takes; -ENOMEM. By slices, since it is made under a lock.
 */
int rfc_index_encode_own(const RfcIndex *x, uint32_t *after, size_t max_records, Buf *body, Buf *covered) _must_check_;
/*
 * Own records and hearsay, sorted: the body without conditions. Hearsay is one step: first-hand records of others are
 * relayed with the whole seconds they have left, what we have as hearsay ourselves is not. Where that is more than
 * 65,536 records, 16 MiB, or what b can still take: own ones first, then the freshest. 0, -ENOMEM. Goes over all
 * records twice, some 0.1 s for a million: under a lock use IndexEncode.
 */
int rfc_index_encode_all(const RfcIndex *x, const Now *now, Buf *b) _must_check_;
/* The same for these numbers; costs what there is of them. */
int rfc_index_encode_set(const RfcIndex *x, const RfcSet *set, const Now *now, Buf *b) _must_check_;

/* The same by slices, between which the index may change: what changes may be in it or not. */
typedef struct IndexEncode IndexEncode;

/* set: NULL or empty: all; set and b are borrowed. TTLs are what is left at now. -ENOMEM. */
int index_encode_new(const RfcIndex *x, const RfcSet *set, const Now *now, Buf *b, IndexEncode **ret) _must_check_;
IndexEncode *index_encode_free(IndexEncode *e);
DEFINE_CLEANUP(IndexEncode *, index_encode_free)
/*
 * Looks at up to max_records (at least 1) more, and at all of the number that it has come to. 0: b has all; MORE;
 * -ENOMEM: b is as before.
 */
int index_encode_step(IndexEncode *e, const RfcIndex *x, size_t max_records) _must_check_;

/* ---- changes of own documents (what a 226 answers) -------------------------------------------------------------- */

/*
 * So many of the last changes, at least, are remembered: a document that is there remembers when it changed last, and of
 * those that have gone so many have a tombstone.
 */
#define RFC_INDEX_CHANGES_MIN 10000

/*
 * What changed when, as of one generation. With the body of rfc_index_encode_own() of that same generation it makes the
 * body of a 226. Made by slices, as that body is and while the own documents stand still as they do for it; then
 * nothing of it changes any more. So whoever answers needs no lock, and can't mix two generations: what a delta leads
 * to is the very body that Generation: and Index-Digest: are about, though the index has moved on meanwhile.
 */
typedef struct IndexChanges IndexChanges;

int index_changes_new(IndexChanges **ret) _must_check_;         /* -ENOMEM */
IndexChanges *index_changes_free(IndexChanges *c);
DEFINE_CLEANUP(IndexChanges *, index_changes_free)
/* Looks at up to max_records (at least 1) more. 0: that was all; MORE; -ENOMEM. */
int index_changes_step(IndexChanges *c, const RfcIndex *x, size_t max_records) _must_check_;
/* Once after that: finds the lines in the body of that generation. */
void index_changes_end(IndexChanges *c, Slice body);
/*
 * Appends what changed since that generation, a line per number, ascending, as it is now: body is the one of
 * index_changes_end(). 0; UNCHANGED: it is the present one; UNKNOWN: too old, yet to come, or of another epoch;
 * TOO_LARGE: longer than the body itself, or than an answer may be; -ENOMEM. b is as before, unless it gave 0.
 */
int index_changes_encode(const IndexChanges *c, Slice body, Generation since, Buf *b) _must_check_;

/* ---- merging --------------------------------------------------------------------------------------------------- */

typedef struct IndexMerge IndexMerge;

/* What was asked, and so how an answer counts. */
typedef enum IndexMergeKind {
        /* No condition: own records replace what was known first-hand, hearsay is added. */
        INDEX_MERGE_ALL,
        /* 200 to If-Generation: replaces all that is known first-hand of that peer; hearsay lines are BAD. */
        INDEX_MERGE_OWN,
        /* RFC: of these numbers only (others are BAD); own records of asked numbers that are missing are gone. */
        INDEX_MERGE_SET,
        /*
         * 226: edits what is known first-hand of that peer, and confirms all the rest of it. Hearsay lines, and a number
         * twice, are BAD; a number that goes and is not known here is ignored. The copy is whole afterwards if it was
         * before: whether it is right Index-Digest tells, see rfc_index_cover_source().
         */
        INDEX_MERGE_DELTA,
} IndexMergeKind;

typedef struct IndexMergeConf {
        IndexMergeKind kind;
        Endpoint source;                        /* the peer that answered */
        const RfcSet *set;                      /* INDEX_MERGE_SET; borrowed for the life of the merge */
        const Endpoint *self;                   /* own addresses, borrowed: records about them are ignored */
        size_t n_self;
        usec_t sent_at;                         /* boottime at which the request was sent: TTLs count from here */
} IndexMergeConf;

int index_merge_new(const IndexMergeConf *conf, IndexMerge **ret) _must_check_;
IndexMerge *index_merge_free(IndexMerge *m);
DEFINE_CLEANUP(IndexMerge *, index_merge_free)

/*
 * Bytes of the body as they come; a partial line is kept. 0, BAD (out of order, double, bad line: the merge is
 * spent), TOO_LARGE, -ENOMEM.
 */
int index_merge_feed(IndexMerge *m, Slice bytes) _must_check_;
/* The end of the body: a partial line is BAD. After 0 the merge is ready for index_merge_step(). */
int index_merge_end(IndexMerge *m) _must_check_;
/*
 * The first of the answering peer's own records (holder "-") with a number > after, for Index-Digest:, in ascending
 * order. After index_merge_end(). title valid as long as the merge.
 */
bool index_merge_next_own(const IndexMerge *m, uint32_t after, RfcRecord *ret);

typedef struct IndexMergeResult {
        size_t n_added;                         /* new, or other than before: document, or who states it */
        size_t n_removed;                       /* not stated again by the holder */
        size_t n_confirmed;                     /* the same as before, its life starts anew */
        size_t n_ignored;                       /* about oneself, hearsay with nothing better, over the limit, late */
} IndexMergeResult;

/*
 * Puts up to max_records (at least 1) more into the index; RFC_INDEX_MORE until all is in, then 0 and *ret. -ENOMEM
 * leaves the index consistent with part of the answer in it (and the source unconfirmed). now tells what has expired.
 * The index may change between two steps, also by other merges, of the same source too: the answer to the later
 * request counts. A caller that forgets the source drops its merges.
 *
 * Over max_records, or over what they may take, a record makes room for another: hearsay first, of the source whose
 * hearsay takes most, then first-hand records of the source whose records take most. Hearsay pushes out hearsay only, and
 * nobody pushes out those who have no more than himself. Over RFC_INDEX_HEARSAY_MAX likewise, among the hearsay of that
 * number, and there what ends first goes first.
 */
int index_merge_step(IndexMerge *m, RfcIndex *x, size_t max_records, const Now *now,
                     IndexMergeResult *ret) _must_check_;

/* 304: all first-hand records of that peer live anew, from sent_at. O(1). */
void rfc_index_confirm(RfcIndex *x, const Endpoint *source, usec_t sent_at);
/*
 * Is everything still there that the peer stated of its own documents in the last answer about all of them? Not when
 * some of it has expired, was forgotten or evicted, or it has none. Only then ask with its generation: a 304 does not
 * bring back what is lost; else ask with {0, 0}.
 */
bool rfc_index_is_whole(const RfcIndex *x, const Endpoint *source);
/*
 * The bytes that Index-Digest covers, of the copy here: what is known first-hand of that peer. Goes over all numbers
 * > *after of which others hold anything, up to max_numbers of them; *after moves on. 0: that was all; MORE; TOO_LARGE:
 * more than covered takes; -ENOMEM. By slices, as rfc_index_encode_own(); what changes meanwhile may be in it or not.
 */
int rfc_index_cover_source(const RfcIndex *x, const Endpoint *source, uint32_t *after, size_t max_numbers,
                           Buf *covered) _must_check_;
/*
 * All that this peer stated goes (it was caught lying, or is gone for good); gives how many records that are. They are
 * out of use at once: nobody finds, counts or relays them any more. Their memory is free when rfc_index_expire() has
 * been there, by slices: rfc_index_next_expiry() is 0 until then. O(1). What the peer answers to later requests counts
 * as that of any other.
 */
size_t rfc_index_forget_source(RfcIndex *x, const Endpoint *source);
/* One record goes: the holder says 404, or hearsay proved false. */
void rfc_index_forget_record(RfcIndex *x, uint32_t number, const Endpoint *holder);

/* ---- asking ---------------------------------------------------------------------------------------------------- */

/*
 * Live records of others of that number, first-hand first, then latest expiry first; up to n. Gives how many there
 * are in all.
 */
size_t rfc_index_find(const RfcIndex *x, uint32_t number, const Now *now, RfcRecord *ret, size_t n);
/* Only who they are, in no order: cheaper where there are many. Up to n; gives how many there are in all. */
size_t rfc_index_find_holders(const RfcIndex *x, uint32_t number, const Now *now, Endpoint *ret, size_t n);
/* Live record of that number and holder. */
bool rfc_index_get(const RfcIndex *x, uint32_t number, const Endpoint *holder, const Now *now, RfcRecord *ret);
/*
 * The next record of others of that number: first-hand ones first, then hearsay. *cursor is 0 at the start, then where it
 * got to, good until the next change of the index. Also what has expired, or is forgotten (then expires_at is 0): so a
 * walk that stops after some of them costs no more than these. false: that was all.
 */
bool rfc_index_next_record(const RfcIndex *x, uint32_t number, uint32_t *cursor, RfcRecord *ret);
/*
 * The lowest number > after of which anybody, this peer included, has a live record; 0: none. To walk over all. Where
 * all of a million have just died, that would take 20 ms under the lock: behind RFC_INDEX_DEAD_MAX numbers that are
 * only dead the last of these is given, of which nothing will be found.
 */
#define RFC_INDEX_DEAD_MAX 4096
uint32_t rfc_index_next_number(const RfcIndex *x, uint32_t after, const Now *now);
/* Records of others, likewise. */
size_t rfc_index_count(const RfcIndex *x);
/* Bytes that all of it takes, own documents included: what is bounded beside the number of records. */
size_t rfc_index_size(const RfcIndex *x);
/* How many RFCs others hold, by those records; and by forgotten ones, until rfc_index_expire(). */
size_t rfc_index_count_numbers(const RfcIndex *x);
/* How many first-hand records of that source; one that has expired counts until rfc_index_expire(). */
size_t rfc_index_count_source(const RfcIndex *x, const Endpoint *source);

/*
 * When to call rfc_index_expire() (boottime, USEC_INFINITY: never): within a second after the first record expires.
 * It may come too early where lives were prolonged, and is 0 while there is more than the limits allow, or something forgotten.
 */
usec_t rfc_index_next_expiry(const RfcIndex *x);
/*
 * Looks at up to max_records that are due and drops what is forgotten, has expired, or is over the limit; true: there
 * are more.
 */
bool rfc_index_expire(RfcIndex *x, const Now *now, size_t max_records);
