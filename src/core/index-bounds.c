/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How much the RFC index may hold of what others say, and what goes first when that is reached: in all (records and
 * bytes), and of hearsay about one number.
 *
 * Who says most pays first, so that one who floods the index pushes out himself; first-hand records are last, since
 * only they are relayed and count for agreement.
 */
#include "core/rfc-index-internal.h"

/* A bucket of a table, and what malloc() adds to a block. */
#define BUCKET_SIZE sizeof(uint32_t)
#define BLOCK_SIZE 16

/* ---- in all ---- */

size_t index_record_size(size_t title_size) {
        return sizeof(IndexRecord) + sizeof(IndexDoc) + 2 * BUCKET_SIZE + BLOCK_SIZE + title_size;
}

size_t rfc_index_size(const RfcIndex *x) {
        return x->records.n_items * (sizeof(IndexRecord) + BUCKET_SIZE) +
               x->peers.n_items * (sizeof(IndexPeer) + BUCKET_SIZE) +
               x->docs.n_items * (sizeof(IndexDoc) + BUCKET_SIZE + BLOCK_SIZE) + x->title_size +
               x->n_numbers * (sizeof(IndexNumber) + BLOCK_SIZE) + x->n_own * (sizeof(IndexOwn) + BLOCK_SIZE);
}

static size_t max_size(const RfcIndex *x) {
        size_t size;
        if (__builtin_mul_overflow(x->limits.max_records, (size_t) RFC_INDEX_RECORD_SIZE, &size))
                return SIZE_MAX;
        return MAX_OF(size, RFC_INDEX_SIZE_MIN);
}

/* How many records of others there may be. */
static size_t room(const RfcIndex *x) {
        return x->limits.max_records > x->n_own ? x->limits.max_records - x->n_own : 0;
}

/* With n more records that take `size`. Own documents always have room: where they are all there is, it is enough. */
static bool is_over_with(const RfcIndex *x, size_t n, size_t size) {
        size_t n_records = x->records.n_items + n;
        return n_records > room(x) || (n_records > 0 && rfc_index_size(x) + size > max_size(x));
}

bool index_is_over(const RfcIndex *x) {
        return is_over_with(x, 0, 0);
}

/* With all that a record can bring: its text, its number and its holder, all new. */
static size_t most_of(size_t title_size) {
        return index_record_size(title_size) + sizeof(IndexNumber) + BLOCK_SIZE + sizeof(IndexPeer) + BUCKET_SIZE;
}

bool index_is_full(const RfcIndex *x) {
        return is_over_with(x, 1, most_of(PROTO_TITLE_MAX));
}

bool index_has_room(const RfcIndex *x, const IndexStatement *s) {
        return !is_over_with(x, 1, most_of(s->title.size));
}

void index_evict(RfcIndex *x) {
        if (x->forgotten.n > 0) {
                index_record_remove(x, x->forgotten.last);
                return;
        }
        IndexKind kind = x->heaps[INDEX_HEARSAY].n > 0 ? INDEX_HEARSAY : INDEX_FIRST_HAND;
        const IndexHeap *h = &x->heaps[kind];
        assert(h->n > 0);
        /* The one that it stated longest ago. */
        index_record_remove(x, index_peer(x, h->peers[0])->stated[kind].last);
}

/*
 * Among equals it must come out more even than it was, or two sources would push out each other's records for ever; and
 * nobody is pushed out for hearsay but hearsay.
 */
static bool may_evict(const RfcIndex *x, uint32_t source, IndexKind kind, const IndexStatement *s) {
        if (x->forgotten.n > 0 || (x->heaps[INDEX_HEARSAY].n > 0 && kind == INDEX_FIRST_HAND))
                return true;
        if (x->heaps[kind].n == 0)
                return false;
        uint64_t most = index_peer(x, x->heaps[kind].peers[0])->stated[kind].size;
        return index_peer(x, source)->stated[kind].size + index_record_size(s->title.size) < most;
}

bool index_make_room(RfcIndex *x, uint32_t source, IndexKind kind, const IndexStatement *s) {
        while (!index_has_room(x, s)) {
                if (room(x) == 0 || !may_evict(x, source, kind, s))
                        return false;
                index_evict(x);
        }
        return true;
}

bool index_make_room_of_own(RfcIndex *x, uint32_t source, IndexKind kind, const IndexStatement *s) {
        while (!index_has_room(x, s)) {
                uint32_t last = index_peer(x, source)->stated[kind].last;
                if (last == 0)
                        return false;
                index_record_remove(x, last);
        }
        return true;
}

/* ---- hearsay about one number ---- */

/* What one source says of it. */
typedef struct Share {
        uint32_t source;
        uint32_t n;                     /* 0: this place is free */
        uint32_t first_to_end;          /* record */
        usec_t ends_at;                 /* it does */
} Share;

/* Twice as many places as there can be sources: it is never full, and a search in it is short. */
#define SHARES (2 * RFC_INDEX_HEARSAY_MAX)

static Share *share_of(Share shares[SHARES], uint32_t source) {
        uint32_t at = source % SHARES;
        while (shares[at].n > 0 && shares[at].source != source)
                at = (at + 1) % SHARES;
        shares[at].source = source;
        return &shares[at];
}

static bool is_more(const Share *a, const Share *b) {
        return a->n != b->n ? a->n > b->n : a->ends_at < b->ends_at;
}

/*
 * What goes for one more of that source that ends then: of the source that says most of the number what ends first; of
 * its own where it says as much itself. 0: nothing does.
 */
static uint32_t find_victim(const RfcIndex *x, const IndexNumber *n, uint32_t source, usec_t ends_at, const Now *now) {
        Share shares[SHARES] = {};
        const Share *most = NULL;

        for (uint32_t id = n->last, i = 0; i < n->n_hearsay; id = index_record(x, id)->number_prev, i++) {
                const IndexRecord *rec = index_record(x, id);
                usec_t at = index_record_expires_at(x, rec);
                if (at <= now->boottime)
                        return id;
                Share *s = share_of(shares, rec->source);
                if (s->n++ == 0 || at < s->ends_at) {
                        s->first_to_end = id;
                        s->ends_at = at;
                }
                if (!most || is_more(s, most))
                        most = s;
        }
        const Share *own = share_of(shares, source);
        if (most && own->n + 1 < most->n)
                return most->first_to_end;
        return own->n > 0 && own->ends_at < ends_at ? own->first_to_end : 0;
}

bool index_make_room_in_number(RfcIndex *x, uint32_t source, const IndexStatement *s, const Now *now) {
        const IndexNumber *n = index_number_find(x, s->number);
        if (!n || n->n_hearsay < RFC_INDEX_HEARSAY_MAX)
                return true;
        uint32_t victim = find_victim(x, n, source, usec_add(s->stated_at, s->ttl_sec * USEC_PER_SEC), now);
        if (victim != 0)
                index_record_remove(x, victim);
        return victim != 0;
}
