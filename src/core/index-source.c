/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Peers of the RFC index, as holders and as sources: what each source stated, in the order of its words, and which of
 * them takes most by that.
 */
#include "core/rfc-index-internal.h"

#include <errno.h>

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

/* ---- whose records take most ---- */

static IndexStated *stated(RfcIndex *x, uint32_t peer, IndexKind kind) {
        return &index_peer(x, peer)->stated[kind];
}

static void heap_put(RfcIndex *x, IndexKind kind, uint32_t at, uint32_t peer) {
        x->heaps[kind].peers[at - 1] = peer;
        stated(x, peer, kind)->heap_at = at;
}

/* The peer has one more or one less: it takes its place again. Places count from 1. */
static void heap_settle(RfcIndex *x, IndexKind kind, uint32_t peer) {
        IndexHeap *h = &x->heaps[kind];
        uint32_t at = stated(x, peer, kind)->heap_at;
        const uint64_t size = stated(x, peer, kind)->size;

        while (at > 1 && stated(x, h->peers[at / 2 - 1], kind)->size < size) {
                heap_put(x, kind, at, h->peers[at / 2 - 1]);
                at /= 2;
        }
        for (uint32_t child; (child = 2 * at) <= h->n; at = child) {
                if (child < h->n &&
                    stated(x, h->peers[child], kind)->size > stated(x, h->peers[child - 1], kind)->size)
                        child++;
                if (stated(x, h->peers[child - 1], kind)->size <= size)
                        break;
                heap_put(x, kind, at, h->peers[child - 1]);
        }
        heap_put(x, kind, at, peer);
}

int index_source_reserve(RfcIndex *x, IndexKind kind) {
        IndexHeap *h = &x->heaps[kind];
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

/* At the front, as the most recently stated. index_source_reserve() came before. */
void index_source_link(RfcIndex *x, uint32_t id) {
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
        st->size += index_record_size(index_doc(x, rec->doc)->title_size);
        if (st->n++ == 0)
                st->heap_at = ++x->heaps[kind].n;
        heap_settle(x, kind, rec->source);
}

void index_source_unlink(RfcIndex *x, uint32_t id) {
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
        st->size -= index_record_size(index_doc(x, rec->doc)->title_size);
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
        all->size += st->size;
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
