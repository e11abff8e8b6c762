/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Docs, peers, records and numbers of the RFC index: each change keeps all their lists, counts and orders consistent.
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
        *ret = id;
        return 0;
}

void index_doc_unref(RfcIndex *x, uint32_t id) {
        IndexDoc *d = index_doc(x, id);
        assert(d->n_refs > 0);
        if (--d->n_refs > 0)
                return;
        free(d->title);
        index_table_remove(&x->docs, id);
}

/* ---- peers ---- */

static uint32_t find_peer(const RfcIndex *x, const Endpoint *e, uint32_t hash) {
        for (uint32_t id = index_table_first(&x->peers, hash); id != 0; id = index_peer(x, id)->node.next)
                if (index_peer(x, id)->node.hash == hash && endpoint_equal(&index_peer(x, id)->endpoint, e))
                        return id;
        return 0;
}

uint32_t index_peer_find(const RfcIndex *x, const Endpoint *e) {
        return find_peer(x, e, (uint32_t) endpoint_hash(e, x->hash_key));
}

int index_peer_ref(RfcIndex *x, const Endpoint *e, uint32_t *ret) {
        uint32_t hash = (uint32_t) endpoint_hash(e, x->hash_key);
        uint32_t id = find_peer(x, e, hash);
        if (id == 0) {
                int r = index_table_reserve(&x->peers);
                if (r < 0)
                        return r;
                id = index_table_add(&x->peers, hash);
                index_peer(x, id)->endpoint = *e;
        }
        index_peer(x, id)->n_refs++;
        *ret = id;
        return 0;
}

void index_peer_unref(RfcIndex *x, uint32_t id) {
        IndexPeer *p = index_peer(x, id);
        assert(p->n_refs > 0);
        if (--p->n_refs == 0)
                index_table_remove(&x->peers, id);
}

/* ---- which source stated most ---- */

static IndexStated *stated(RfcIndex *x, uint32_t peer, IndexKind kind) {
        return &index_peer(x, peer)->stated[kind];
}

static void heap_put(RfcIndex *x, IndexKind kind, uint32_t at, uint32_t peer) {
        x->heaps[kind].peers[at - 1] = peer;
        stated(x, peer, kind)->heap_at = at;
}

/* The peer's count changed by one: it takes its place again. Places count from 1. */
static void heap_settle(RfcIndex *x, IndexKind kind, uint32_t peer) {
        IndexHeap *h = &x->heaps[kind];
        uint32_t at = stated(x, peer, kind)->heap_at, n = stated(x, peer, kind)->n;

        while (at > 1 && stated(x, h->peers[at / 2 - 1], kind)->n < n) {
                heap_put(x, kind, at, h->peers[at / 2 - 1]);
                at /= 2;
        }
        for (uint32_t child; (child = 2 * at) <= h->n; at = child) {
                if (child < h->n && stated(x, h->peers[child], kind)->n > stated(x, h->peers[child - 1], kind)->n)
                        child++;
                if (stated(x, h->peers[child - 1], kind)->n <= n)
                        break;
                heap_put(x, kind, at, h->peers[child - 1]);
        }
        heap_put(x, kind, at, peer);
}

static int heap_reserve(IndexHeap *h) {
        if (h->n < h->allocated)
                return 0;
        uint32_t wanted = h->allocated ? h->allocated * 2 : 64;
        uint32_t *grown = reallocarray(h->peers, wanted, sizeof(*grown));
        if (!grown)
                return -ENOMEM;
        h->peers = grown;
        h->allocated = wanted;
        return 0;
}

static void heap_remove(RfcIndex *x, IndexKind kind, uint32_t peer) {
        IndexHeap *h = &x->heaps[kind];
        uint32_t at = stated(x, peer, kind)->heap_at, last = h->peers[--h->n];
        stated(x, peer, kind)->heap_at = 0;
        if (last == peer)
                return;
        heap_put(x, kind, at, last);
        heap_settle(x, kind, last);
}

/* ---- the list of a source ---- */

/* At the front, as the most recently stated. heap_reserve() came before. */
static void source_link(RfcIndex *x, uint32_t id) {
        IndexRecord *rec = index_record(x, id);
        IndexKind kind = index_record_kind(rec);
        IndexStated *st = stated(x, rec->source, kind);
        IndexPeer *p = index_peer(x, rec->source);

        assert(!index_record_forgotten(x, rec));
        p->stated_at = MAX_OF(p->stated_at, rec->stated_at);

        rec->source_prev = 0;
        rec->source_next = st->first;
        if (st->first != 0)
                index_record(x, st->first)->source_prev = id;
        else
                st->last = id;
        st->first = id;
        if (st->n++ == 0)
                st->heap_at = ++x->heaps[kind].n;
        heap_settle(x, kind, rec->source);
}

static void source_unlink(RfcIndex *x, uint32_t id) {
        IndexRecord *rec = index_record(x, id);
        IndexKind kind = index_record_kind(rec);
        bool forgotten = index_record_forgotten(x, rec);
        IndexStated *st = forgotten ? &x->forgotten : stated(x, rec->source, kind);

        if (rec->source_prev != 0)
                index_record(x, rec->source_prev)->source_next = rec->source_next;
        else
                st->first = rec->source_next;
        if (rec->source_next != 0)
                index_record(x, rec->source_next)->source_prev = rec->source_prev;
        else
                st->last = rec->source_prev;
        st->n--;
        if (forgotten)
                return;
        if (st->n == 0)
                heap_remove(x, kind, rec->source);
        else
                heap_settle(x, kind, rec->source);
        if (kind == INDEX_FIRST_HAND)
                index_peer(x, rec->source)->whole = index_peer(x, rec->source)->filling = false;
}

/* The list as it is becomes the front of the forgotten. */
static void list_forget(RfcIndex *x, IndexStated *st) {
        IndexStated *all = &x->forgotten;

        index_record(x, st->last)->source_next = all->first;
        if (all->first != 0)
                index_record(x, all->first)->source_prev = st->last;
        else
                all->last = st->last;
        all->first = st->first;
        all->n += st->n;
        *st = (IndexStated){ 0 };
}

size_t index_source_forget(RfcIndex *x, uint32_t source) {
        IndexPeer *p = index_peer(x, source);
        size_t n = 0;

        for (unsigned kind = 0; kind < _INDEX_KIND_MAX; kind++) {
                if (p->stated[kind].n == 0)
                        continue;
                n += p->stated[kind].n;
                heap_remove(x, kind, source);
                list_forget(x, &p->stated[kind]);
        }
        p->filling = p->whole = false;
        p->confirmed_at = p->filling_at = 0;
        p->forgotten_before = p->stated_at + 1;
        return n;
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

static IndexNumber *find_number(RfcIndex *x, uint32_t number) {
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
        IndexNumber *n = find_number(x, number);
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

static void number_link(RfcIndex *x, IndexNumber *n, uint32_t id) {
        IndexRecord *rec = index_record(x, id);
        rec->number_next = n->first;
        if (n->first != 0)
                index_record(x, n->first)->number_prev = id;
        n->first = id;
}

static void number_unlink(RfcIndex *x, uint32_t id) {
        IndexRecord *rec = index_record(x, id);
        if (rec->number_next != 0)
                index_record(x, rec->number_next)->number_prev = rec->number_prev;
        if (rec->number_prev != 0) {
                index_record(x, rec->number_prev)->number_next = rec->number_next;
                return;
        }
        IndexNumber *n = find_number(x, rec->number);
        assert(n && n->first == id);
        n->first = rec->number_next;
        number_drop_if_empty(x, n);
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
        r = heap_reserve(&x->heaps[holder == source ? INDEX_FIRST_HAND : INDEX_HEARSAY]);
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
        source_link(x, id);
        index_due_add(x, id);
        return 0;
}

int index_record_restate(RfcIndex *x, uint32_t id, uint32_t source, const IndexStatement *s) {
        IndexRecord *rec = index_record(x, id);
        uint32_t doc = rec->doc;

        int r = heap_reserve(&x->heaps[rec->holder == source ? INDEX_FIRST_HAND : INDEX_HEARSAY]);
        if (r < 0)
                return r;
        if (index_doc_equal(index_doc(x, doc), s))
                index_doc(x, doc)->n_refs++;
        else {
                r = index_doc_intern(x, s, &doc);
                if (r < 0)
                        return r;
        }
        index_doc_unref(x, rec->doc);
        rec->doc = doc;

        /*
         * Also without a new source it moves to the front of the list; but that must not look as if something were
         * lost.
         */
        IndexPeer *p = index_peer(x, source);
        bool filling = p->filling, whole = p->whole;
        uint32_t old_source = rec->source;
        p->n_refs++;
        source_unlink(x, id);
        rec->source = source;
        rec->stated_at = s->stated_at;
        rec->ttl_sec = s->ttl_sec;
        source_link(x, id);
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
        source_unlink(x, id);
        number_unlink(x, id);
        index_doc_unref(x, rec->doc);
        index_table_remove(&x->records, id);
        index_peer_unref(x, source);
        index_peer_unref(x, holder);
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
        index_record_remove(x, stated(x, h->peers[0], kind)->last);
}

bool index_make_room(RfcIndex *x, uint32_t source, IndexKind kind) {
        if (x->records.n_items < index_room(x))
                return true;
        if (index_room(x) == 0)
                return false;
        if (x->forgotten.n == 0 && (x->heaps[INDEX_HEARSAY].n == 0 || kind == INDEX_HEARSAY)) {
                /*
                 * Among equals it must come out more even than it was, or two sources would push out each other's
                 * records for ever; and nobody is pushed out for hearsay but hearsay.
                 */
                if (x->heaps[kind].n == 0)
                        return false;
                uint32_t top = x->heaps[kind].peers[0];
                if (stated(x, source, kind)->n + 1 >= stated(x, top, kind)->n)
                        return false;
        }
        index_evict(x);
        return true;
}

bool index_make_room_of_own(RfcIndex *x, uint32_t source, IndexKind kind) {
        uint32_t last = stated(x, source, kind)->last;

        if (last == 0)
                return false;
        index_record_remove(x, last);
        return true;
}
