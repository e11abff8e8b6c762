/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Docs, records and numbers of the RFC index: each change keeps all their lists, counts and orders consistent.
 */
#include "core/rfc-index-internal.h"

#include <errno.h>

static int number_compare(const IndexNumber *a, const IndexNumber *b) {
        return a->number < b->number ? -1 : a->number > b->number;
}

RB_GENERATE_INTERNAL(IndexNumberTree, IndexNumber, entry, number_compare, __attribute__((unused)) static)

/* ---- docs ---- */

bool index_doc_equal(const IndexDoc *d, const IndexStatement *s) {
        return d->number == s->number && d->size == s->size && digest_equal(&d->digest, &s->digest) &&
               slice_equal((Slice){ d->title, d->title_size }, s->title);
}

/*
 * The digest alone would do among the honest; whoever sends one digest with many titles must not get one long bucket.
 */
static uint32_t doc_hash(const RfcIndex *x, const IndexStatement *s) {
        uint8_t bytes[DIGEST_SIZE + sizeof(uint64_t)];
        uint64_t title = bytes_hash(s->title.data, s->title.size, x->hash_key) ^ s->number ^ s->size << 32;
        memcpy(bytes, s->digest.bytes, DIGEST_SIZE);
        memcpy(bytes + DIGEST_SIZE, &title, sizeof(title));
        return (uint32_t) bytes_hash(bytes, sizeof(bytes), x->hash_key);
}

int index_doc_intern(RfcIndex *x, const IndexStatement *s, uint32_t *ret) {
        uint32_t hash = doc_hash(x, s);
        for (uint32_t id = index_table_first(&x->docs, hash); id != 0; id = index_doc(x, id)->node.next) {
                IndexDoc *d = index_doc(x, id);
                if (d->node.hash == hash && index_doc_equal(d, s)) {
                        d->n_refs++;
                        *ret = id;
                        return 0;
                }
        }

        int r = index_table_reserve(&x->docs);
        if (r < 0)
                return r;
        _cleanup_free_ char *title = malloc(MAX_OF(s->title.size, 1u));
        if (!title)
                return -ENOMEM;
        if (s->title.size > 0)
                memcpy(title, s->title.data, s->title.size);

        uint32_t id = index_table_add(&x->docs, hash);
        IndexDoc *d = index_doc(x, id);
        d->number = s->number;
        d->size = s->size;
        d->digest = s->digest;
        d->title = TAKE_PTR(title);
        d->title_size = s->title.size;
        d->n_refs = 1;
        x->title_size += d->title_size;
        *ret = id;
        return 0;
}

void index_doc_unref(RfcIndex *x, uint32_t id) {
        IndexDoc *d = index_doc(x, id);
        assert(d->n_refs > 0);
        if (--d->n_refs > 0)
                return;
        free(d->title);
        x->title_size -= d->title_size;
        index_table_remove(&x->docs, id);
}

/* ---- numbers ---- */

IndexNumber *index_number_at_least(const RfcIndex *x, uint32_t number) {
        IndexNumber key = { .number = number };
        /* The tree's functions know no const; this one changes nothing. */
        return RB_NFIND(IndexNumberTree, (IndexNumberTree *) &x->numbers, &key);
}

IndexNumber *index_number_next(IndexNumber *n) {
        return RB_NEXT(IndexNumberTree, NULL, n);
}

IndexNumber *index_number_find(RfcIndex *x, uint32_t number) {
        if (x->number_hint) {
                if (x->number_hint->number == number)
                        return x->number_hint;
                IndexNumber *next = index_number_next(x->number_hint);
                if (next && next->number == number)
                        return x->number_hint = next;
        }
        IndexNumber *n = RB_FIND(IndexNumberTree, &x->numbers, &(IndexNumber){ .number = number });
        if (n)
                x->number_hint = n;
        return n;
}

static int number_get(RfcIndex *x, uint32_t number, IndexNumber **ret) {
        IndexNumber *n = index_number_find(x, number);
        if (!n) {
                n = calloc(1, sizeof(*n));
                if (!n)
                        return -ENOMEM;
                n->number = number;
                RB_INSERT(IndexNumberTree, &x->numbers, n);
                x->n_numbers++;
                x->number_hint = n;
        }
        *ret = n;
        return 0;
}

static void number_drop_if_empty(RfcIndex *x, IndexNumber *n) {
        if (n->first != 0)
                return;
        if (x->number_hint == n)
                x->number_hint = NULL;
        RB_REMOVE(IndexNumberTree, &x->numbers, n);
        x->n_numbers--;
        free(n);
}

void index_numbers_done(RfcIndex *x) {
        IndexNumber *n, *next;
        RB_FOREACH_SAFE(n, IndexNumberTree, &x->numbers, next) {
                RB_REMOVE(IndexNumberTree, &x->numbers, n);
                free(n);
        }
        x->number_hint = NULL;
}

/*
 * First-hand records to the front, hearsay to the end: one answer can hold 65,536 lines of hearsay about one number, and
 * whoever looks at some of the records only is to see what the holders say themselves.
 */
static void number_link(RfcIndex *x, IndexNumber *n, uint32_t id) {
        IndexRecord *rec = index_record(x, id);
        bool front = n->first == 0 || index_record_kind(rec) == INDEX_FIRST_HAND;

        rec->number_next = front ? n->first : 0;
        rec->number_prev = front ? 0 : n->last;
        if (rec->number_next != 0)
                index_record(x, rec->number_next)->number_prev = id;
        else
                n->last = id;
        if (rec->number_prev != 0)
                index_record(x, rec->number_prev)->number_next = id;
        else
                n->first = id;
        n->n_hearsay += index_record_kind(rec) == INDEX_HEARSAY;
}

/* kind: what it was linked as. */
static void number_unlink(RfcIndex *x, uint32_t id, IndexKind kind) {
        IndexRecord *rec = index_record(x, id);
        if (rec->number_next != 0)
                index_record(x, rec->number_next)->number_prev = rec->number_prev;
        if (rec->number_prev != 0)
                index_record(x, rec->number_prev)->number_next = rec->number_next;
        if (rec->number_next != 0 && rec->number_prev != 0 && kind == INDEX_FIRST_HAND)
                return;
        IndexNumber *n = index_number_find(x, rec->number);
        assert(n && (kind == INDEX_FIRST_HAND || n->n_hearsay > 0));
        if (rec->number_prev == 0)
                n->first = rec->number_next;
        if (rec->number_next == 0)
                n->last = rec->number_prev;
        n->n_hearsay -= kind == INDEX_HEARSAY;
        number_drop_if_empty(x, n);
}

/* What was hearsay is first-hand now, or the other way round. */
static void number_move(RfcIndex *x, uint32_t id) {
        const IndexRecord *rec = index_record(x, id);
        IndexKind kind = index_record_kind(rec);
        bool only = rec->number_next == 0 && rec->number_prev == 0;

        if (only) {
                IndexNumber *n = index_number_find(x, rec->number);

                assert(n);
                n->n_hearsay = kind == INDEX_HEARSAY;
                return;
        }
        number_unlink(x, id, kind == INDEX_HEARSAY ? INDEX_FIRST_HAND : INDEX_HEARSAY);
        number_link(x, index_number_find(x, rec->number), id);  /* there were others: the number is still there */
}

/* ---- records ---- */

usec_t index_record_expires_at(const RfcIndex *x, const IndexRecord *rec) {
        if (index_record_forgotten(x, rec))
                return 0;
        usec_t from = rec->stated_at;
        if (index_record_kind(rec) == INDEX_FIRST_HAND)
                from = MAX_OF(from, index_peer(x, rec->source)->confirmed_at);
        return usec_add(from, rec->ttl_sec * USEC_PER_SEC);
}

bool index_record_alive(const RfcIndex *x, const IndexRecord *rec, const Now *now) {
        return now->boottime < index_record_expires_at(x, rec);
}

void index_record_fill(const RfcIndex *x, const IndexRecord *rec, RfcRecord *ret) {
        const IndexDoc *d = index_doc(x, rec->doc);
        *ret = (RfcRecord){
                .number = rec->number,
                .size = d->size,
                .digest = d->digest,
                .title = { d->title, d->title_size },
                .first_hand = index_record_kind(rec) == INDEX_FIRST_HAND,
                .holder = index_peer(x, rec->holder)->endpoint,
                .source = index_peer(x, rec->source)->endpoint,
                .expires_at = index_record_expires_at(x, rec),
        };
}

/*
 * Answers come in order of numbers, so a run of numbers goes to buckets side by side, which is four times as fast.
 * Where the run begins is nothing that can be chosen from outside.
 */
static uint32_t record_hash(const RfcIndex *x, uint32_t number, uint32_t holder) {
        uint32_t key[2] = { number >> 8, holder };
        return (uint32_t) bytes_hash(key, sizeof(key), x->hash_key) + (number & 0xff);
}

uint32_t index_record_find(const RfcIndex *x, uint32_t number, uint32_t holder) {
        uint32_t hash = record_hash(x, number, holder);
        for (uint32_t id = index_table_first(&x->records, hash); id != 0; id = index_record(x, id)->node.next) {
                const IndexRecord *rec = index_record(x, id);
                if (rec->node.hash == hash && rec->number == number && rec->holder == holder)
                        return id;
        }
        return 0;
}

/* Mostly everybody holds the same text, so the doc of the number's latest record is tried before the table. */
static int intern_near(RfcIndex *x, const IndexNumber *n, const IndexStatement *s, uint32_t *ret) {
        if (n->first != 0) {
                uint32_t id = index_record(x, n->first)->doc;
                if (index_doc_equal(index_doc(x, id), s)) {
                        index_doc(x, id)->n_refs++;
                        *ret = id;
                        return 0;
                }
        }
        return index_doc_intern(x, s, ret);
}

int index_record_add(RfcIndex *x, uint32_t holder, uint32_t source, const IndexStatement *s) {
        int r = index_table_reserve(&x->records);
        if (r < 0)
                return r;
        r = index_source_reserve(x, holder == source ? INDEX_FIRST_HAND : INDEX_HEARSAY);
        if (r < 0)
                return r;
        IndexNumber *n;
        r = number_get(x, s->number, &n);
        if (r < 0)
                return r;
        uint32_t doc;
        r = intern_near(x, n, s, &doc);
        if (r < 0) {
                number_drop_if_empty(x, n);
                return r;
        }

        uint32_t id = index_table_add(&x->records, record_hash(x, s->number, holder));
        IndexRecord *rec = index_record(x, id);
        rec->stated_at = s->stated_at;
        rec->ttl_sec = s->ttl_sec;
        rec->number = s->number;
        rec->doc = doc;
        rec->holder = holder;
        rec->source = source;
        index_peer(x, holder)->n_refs++;
        index_peer(x, source)->n_refs++;
        number_link(x, n, id);
        index_source_link(x, id);
        index_due_add(x, id);
        return 0;
}

int index_record_restate(RfcIndex *x, uint32_t id, uint32_t source, const IndexStatement *s) {
        IndexRecord *rec = index_record(x, id);
        uint32_t doc = rec->doc;

        int r = index_source_reserve(x, rec->holder == source ? INDEX_FIRST_HAND : INDEX_HEARSAY);
        if (r < 0)
                return r;
        if (index_doc_equal(index_doc(x, doc), s))
                index_doc(x, doc)->n_refs++;
        else {
                r = index_doc_intern(x, s, &doc);
                if (r < 0)
                        return r;
        }
        /*
         * Also without a new source it moves to the front of the list; but that must not look as if something were
         * lost.
         */
        IndexPeer *p = index_peer(x, source);
        bool filling = p->filling, whole = p->whole;
        uint32_t old_source = rec->source;
        IndexKind old_kind = index_record_kind(rec);
        p->n_refs++;
        index_source_unlink(x, id);
        index_doc_unref(x, rec->doc);
        rec->doc = doc;
        rec->source = source;
        rec->stated_at = s->stated_at;
        rec->ttl_sec = s->ttl_sec;
        index_source_link(x, id);
        if (index_record_kind(rec) != old_kind)
                number_move(x, id);
        p->filling = filling;
        p->whole = whole;
        index_peer_unref(x, old_source);
        index_due_sooner(x, id);
        return 0;
}

void index_record_remove(RfcIndex *x, uint32_t id) {
        IndexRecord *rec = index_record(x, id);
        uint32_t holder = rec->holder, source = rec->source;

        index_due_remove(x, id);
        index_source_unlink(x, id);
        number_unlink(x, id, index_record_kind(rec));
        index_doc_unref(x, rec->doc);
        index_table_remove(&x->records, id);
        index_peer_unref(x, source);
        index_peer_unref(x, holder);
}
