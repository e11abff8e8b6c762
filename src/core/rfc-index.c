/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/rfc-index.h"

#include <errno.h>

#include "core/rfc-index-internal.h"

static int own_compare(const IndexOwn *a, const IndexOwn *b) {
        return a->number < b->number ? -1 : a->number > b->number;
}

RB_GENERATE_INTERNAL(IndexOwnTree, IndexOwn, entry, own_compare, __attribute__((unused)) static)

int rfc_index_new(const RfcIndexLimits *limits, uint64_t epoch, const uint64_t hash_key[2], RfcIndex **ret) {
        assert(epoch != 0);
        assert(limits->ttl_usec >= USEC_PER_SEC);

        RfcIndex *x = calloc(1, sizeof(*x));
        if (!x)
                return -ENOMEM;
        x->limits = *limits;
        x->generation.epoch = epoch;
        memcpy(x->hash_key, hash_key, sizeof(x->hash_key));
        index_table_init(&x->docs, sizeof(IndexDoc));
        index_table_init(&x->peers, sizeof(IndexPeer));
        index_table_init(&x->records, sizeof(IndexRecord));
        RB_INIT(&x->numbers);
        RB_INIT(&x->own);
        RB_INIT(&x->gone);
        TAILQ_INIT(&x->gone_queue);
        *ret = x;
        return 0;
}

/* No longer a tombstone: gives it to the caller. */
static IndexOwn *gone_take(RfcIndex *x, IndexOwn *o) {
        RB_REMOVE(IndexOwnTree, &x->gone, o);
        TAILQ_REMOVE(&x->gone_queue, o, link);
        x->n_gone--;
        return o;
}

RfcIndex *rfc_index_free(RfcIndex *x) {
        if (!x)
                return NULL;

        IndexOwn *o, *next;
        RB_FOREACH_SAFE(o, IndexOwnTree, &x->own, next) {
                RB_REMOVE(IndexOwnTree, &x->own, o);
                index_doc_unref(x, o->doc);
                free(o);
        }
        while ((o = TAILQ_FIRST(&x->gone_queue)))
                free(gone_take(x, o));
        for (IndexNumber *n = index_number_at_least(x, 0); n; n = index_number_next(n))
                for (uint32_t id = n->first; id != 0; id = index_record(x, id)->number_next)
                        index_doc_unref(x, index_record(x, id)->doc);
        index_numbers_done(x);
        for (unsigned kind = 0; kind < _INDEX_KIND_MAX; kind++)
                free(x->heaps[kind].peers);
        index_table_done(&x->docs);
        index_table_done(&x->peers);
        index_table_done(&x->records);
        free(x);
        return NULL;
}

void rfc_index_set_limits(RfcIndex *x, const RfcIndexLimits *limits) {
        assert(limits->ttl_usec >= USEC_PER_SEC);
        x->limits = *limits;
}

/* ---- own documents ---- */

IndexOwn *index_own_at_least(const RfcIndex *x, uint32_t number) {
        IndexOwn key = { .number = number };
        /* The tree's functions know no const; this one changes nothing. */
        return RB_NFIND(IndexOwnTree, (IndexOwnTree *) &x->own, &key);
}

IndexOwn *index_own_next(IndexOwn *o) {
        return RB_NEXT(IndexOwnTree, NULL, o);
}

IndexOwn *index_gone_at_least(const RfcIndex *x, uint32_t number) {
        IndexOwn key = { .number = number };
        return RB_NFIND(IndexOwnTree, (IndexOwnTree *) &x->gone, &key);
}

static IndexOwn *find_own(const RfcIndex *x, uint32_t number) {
        IndexOwn *o = index_own_at_least(x, number);
        return o && o->number == number ? o : NULL;
}

int rfc_index_set_own(RfcIndex *x, uint32_t number, uint64_t size, const Digest *digest, Slice title) {
        assert(number >= 1 && number <= RFC_NUMBER_MAX);
        assert(title.size <= PROTO_TITLE_MAX);

        IndexStatement s = { .number = number, .size = size, .digest = *digest, .title = title };
        IndexOwn *o = find_own(x, number);
        if (o && index_doc_equal(index_doc(x, o->doc), &s))
                return RFC_INDEX_UNCHANGED;

        IndexOwn *gone = o ? NULL : index_gone_at_least(x, number);
        if (gone && gone->number != number)
                gone = NULL;
        _cleanup_free_ IndexOwn *fresh = NULL;
        if (!o && !gone) {
                fresh = calloc(1, sizeof(*fresh));
                if (!fresh)
                        return -ENOMEM;
                fresh->number = number;
        }
        uint32_t doc;
        int r = index_doc_intern(x, &s, &doc);
        if (r < 0)
                return r;

        if (!o) {
                o = gone ? gone_take(x, gone) : TAKE_PTR(fresh);
                RB_INSERT(IndexOwnTree, &x->own, o);
                x->n_own++;
        } else
                index_doc_unref(x, o->doc);
        o->doc = doc;
        o->changed = ++x->generation.number;
        return 0;
}

int rfc_index_remove_own(RfcIndex *x, uint32_t number) {
        IndexOwn *o = find_own(x, number);
        if (!o)
                return RFC_INDEX_UNCHANGED;
        RB_REMOVE(IndexOwnTree, &x->own, o);
        index_doc_unref(x, o->doc);
        x->n_own--;
        o->doc = 0;
        o->changed = ++x->generation.number;
        RB_INSERT(IndexOwnTree, &x->gone, o);
        TAILQ_INSERT_TAIL(&x->gone_queue, o, link);
        if (++x->n_gone > RFC_INDEX_CHANGES_MIN) {
                IndexOwn *oldest = gone_take(x, TAILQ_FIRST(&x->gone_queue));
                x->changes_since = oldest->changed;
                free(oldest);
        }
        return 0;
}

static bool fill_own(const RfcIndex *x, const IndexOwn *o, RfcRecord *ret) {
        if (!o)
                return false;
        const IndexDoc *d = index_doc(x, o->doc);
        *ret = (RfcRecord){
                .number = o->number,
                .size = d->size,
                .digest = d->digest,
                .title = { d->title, d->title_size },
                .own = true,
                .first_hand = true,
                .expires_at = USEC_INFINITY,
        };
        return true;
}

bool rfc_index_get_own(const RfcIndex *x, uint32_t number, RfcRecord *ret) {
        return fill_own(x, find_own(x, number), ret);
}

bool rfc_index_next_own(const RfcIndex *x, uint32_t after, RfcRecord *ret) {
        return after < RFC_NUMBER_MAX && fill_own(x, index_own_at_least(x, after + 1), ret);
}

uint32_t rfc_index_ttl_sec(const RfcIndex *x) {
        return (uint32_t) MIN_OF(x->limits.ttl_usec / USEC_PER_SEC, (usec_t) UINT32_MAX);
}

Generation rfc_index_generation(const RfcIndex *x) {
        return x->generation;
}

size_t rfc_index_count_own(const RfcIndex *x) {
        return x->n_own;
}

/* ---- of others ---- */

void rfc_index_confirm(RfcIndex *x, const Endpoint *source, usec_t sent_at) {
        uint32_t id = index_peer_find(x, source);
        if (id != 0)
                index_peer(x, id)->confirmed_at = MAX_OF(index_peer(x, id)->confirmed_at, sent_at);
}

bool rfc_index_is_whole(const RfcIndex *x, const Endpoint *source) {
        uint32_t id = index_peer_find(x, source);
        return id != 0 && index_peer(x, id)->whole;
}

size_t rfc_index_forget_source(RfcIndex *x, const Endpoint *source) {
        uint32_t id = index_peer_find(x, source);
        return id == 0 ? 0 : index_source_forget(x, id);
}

static uint32_t find_record(const RfcIndex *x, uint32_t number, const Endpoint *holder) {
        uint32_t id = index_peer_find(x, holder);
        return id == 0 ? 0 : index_record_find(x, number, id);
}

void rfc_index_forget_record(RfcIndex *x, uint32_t number, const Endpoint *holder) {
        uint32_t id = find_record(x, number, holder);
        if (id != 0)
                index_record_remove(x, id);
}

static bool is_better(const RfcRecord *a, const RfcRecord *b) {
        if (a->first_hand != b->first_hand)
                return a->first_hand;
        return a->expires_at > b->expires_at;
}

static int compare_better(const void *a, const void *b) {
        return is_better(a, b) ? -1 : is_better(b, a);
}

static int compare_worse(const void *a, const void *b) {
        return compare_better(b, a);
}

/* heap[0] is the worst of n: r takes its place, and sinks to where nothing worse is below it. */
static void heap_replace(RfcRecord *heap, size_t n, const RfcRecord *r) {
        size_t at = 0;
        for (;;) {
                size_t child = 2 * at + 1;
                if (child + 1 < n && is_better(&heap[child], &heap[child + 1]))
                        child++;
                if (child >= n || !is_better(r, &heap[child]))
                        break;
                heap[at] = heap[child];
                at = child;
        }
        heap[at] = *r;
}

/* The first n as they come; from then on each better one takes the place of the worst: cheap also where both are many. */
size_t rfc_index_find(const RfcIndex *x, uint32_t number, const Now *now, RfcRecord *ret, size_t n) {
        const IndexNumber *num = index_number_at_least(x, number);
        if (!num || num->number != number)
                return 0;

        size_t n_all = 0;
        for (uint32_t id = num->first; id != 0; id = index_record(x, id)->number_next) {
                RfcRecord found;
                if (!index_record_alive(x, index_record(x, id), now))
                        continue;
                n_all++;
                if (n == 0)
                        continue;
                index_record_fill(x, index_record(x, id), &found);
                if (n_all <= n)
                        ret[n_all - 1] = found;
                if (n_all == n)         /* worst first is a heap */
                        qsort(ret, n, sizeof(*ret), compare_worse);
                else if (n_all > n && is_better(&found, &ret[0]))
                        heap_replace(ret, n, &found);
        }
        if (n_all > 0 && n > 0)
                qsort(ret, MIN_OF(n, n_all), sizeof(*ret), compare_better);
        return n_all;
}

size_t rfc_index_find_holders(const RfcIndex *x, uint32_t number, const Now *now, Endpoint *ret, size_t n) {
        const IndexNumber *num = index_number_at_least(x, number);
        if (!num || num->number != number)
                return 0;

        size_t n_all = 0;
        for (uint32_t id = num->first; id != 0; id = index_record(x, id)->number_next) {
                if (!index_record_alive(x, index_record(x, id), now))
                        continue;
                if (n_all < n)
                        ret[n_all] = index_peer(x, index_record(x, id)->holder)->endpoint;
                n_all++;
        }
        return n_all;
}

bool rfc_index_get(const RfcIndex *x, uint32_t number, const Endpoint *holder, const Now *now, RfcRecord *ret) {
        uint32_t id = find_record(x, number, holder);
        if (id == 0 || !index_record_alive(x, index_record(x, id), now))
                return false;
        index_record_fill(x, index_record(x, id), ret);
        return true;
}

bool rfc_index_next_record(const RfcIndex *x, uint32_t number, uint32_t *cursor, RfcRecord *ret) {
        uint32_t id = 0;

        if (*cursor != 0)
                id = index_record(x, *cursor)->number_next;
        else {
                const IndexNumber *num = index_number_at_least(x, number);
                if (num && num->number == number)
                        id = num->first;
        }
        if (id == 0)
                return false;
        index_record_fill(x, index_record(x, id), ret);
        *cursor = id;
        return true;
}

static bool has_live(const RfcIndex *x, const IndexNumber *n, const Now *now) {
        for (uint32_t id = n->first; id != 0; id = index_record(x, id)->number_next)
                if (index_record_alive(x, index_record(x, id), now))
                        return true;
        return false;
}

uint32_t rfc_index_next_number(const RfcIndex *x, uint32_t after, const Now *now) {
        if (after >= RFC_NUMBER_MAX)
                return 0;
        const IndexOwn *o = index_own_at_least(x, after + 1);
        uint32_t own = o ? o->number : 0;
        size_t n_dead = 0;
        for (IndexNumber *n = index_number_at_least(x, after + 1); n; n = index_number_next(n)) {
                if (own != 0 && n->number >= own)
                        break;
                if (has_live(x, n, now) || ++n_dead == RFC_INDEX_DEAD_MAX)
                        return n->number;
        }
        return own;
}

size_t rfc_index_count(const RfcIndex *x) {
        return x->records.n_items - x->forgotten.n;
}

size_t rfc_index_count_numbers(const RfcIndex *x) {
        return x->n_numbers;
}

size_t rfc_index_count_source(const RfcIndex *x, const Endpoint *source) {
        uint32_t id = index_peer_find(x, source);
        return id == 0 ? 0 : index_peer(x, id)->stated[INDEX_FIRST_HAND].n;
}
