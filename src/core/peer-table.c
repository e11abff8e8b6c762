/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/peer-table.h"

#include <errno.h>

#define HEADS_MIN 64
#define HEADS_MAX (UINT32_C(1) << 31)

int numbers_reserve(Numbers *n, size_t size) {
        size_t wanted;
        uint32_t *items;

        if (size <= n->allocated)
                return 0;
        wanted = MAX_OF(size, n->allocated + n->allocated / 2 + 16);
        items = reallocarray(n->items, wanted, sizeof(uint32_t));
        if (!items)
                return -ENOMEM;
        n->items = items;
        n->allocated = wanted;
        return 0;
}

void numbers_done(Numbers *n) {
        free(n->items);
        *n = (Numbers){ 0 };
}

/* ---- SlotIndex ---- */

int slot_index_init(SlotIndex *x) {
        *x = (SlotIndex){ 0 };
        return slot_index_expect(x, HEADS_MIN);
}

int slot_index_expect(SlotIndex *x, size_t n) {
        size_t n_heads = MIN_OF(MAX_OF(n, (size_t) HEADS_MIN), (size_t) HEADS_MAX);
        int r;

        assert(x->n_items == 0);
        r = numbers_reserve(&x->heads, n_heads);
        if (r < 0)
                return r;
        for (size_t i = 0; i < n_heads; i++)
                x->heads.items[i] = SLOT_NONE;
        x->n_heads = (uint32_t) n_heads;
        return 0;
}

void slot_index_done(SlotIndex *x) {
        numbers_done(&x->heads);
}

/* The power of two that n_heads has reached; chains at and beyond it hold what was split from those below. */
static uint32_t heads_round(const SlotIndex *x) {
        return UINT32_C(1) << (31 - __builtin_clz(x->n_heads));
}

static uint32_t chain_of(const SlotIndex *x, uint64_t hash) {
        uint32_t round = heads_round(x), chain = (uint32_t) hash & (2 * round - 1);

        return chain < x->n_heads ? chain : chain - round;
}

uint32_t slot_index_first(const SlotIndex *x, uint64_t hash) {
        return x->heads.items[chain_of(x, hash)];
}

/* One more chain: takes from the chain that it halves what belongs to it now. */
static void split_chain(SlotIndex *x, const SlotIndexType *type, const void *owner) {
        uint32_t chain = x->n_heads, old = chain - heads_round(x), *link;

        if (numbers_reserve(&x->heads, (size_t) chain + 1) < 0)
                return;
        x->heads.items[chain] = SLOT_NONE;
        x->n_heads++;

        link = &x->heads.items[old];
        while (*link != SLOT_NONE) {
                uint32_t item = *link, *next = type->next(owner, item);

                if (chain_of(x, type->hash(owner, item)) == chain) {
                        *link = *next;
                        *next = x->heads.items[chain];
                        x->heads.items[chain] = item;
                } else
                        link = next;
        }
}

void slot_index_add(SlotIndex *x, const SlotIndexType *type, const void *owner, uint32_t item) {
        uint32_t *head;

        if (x->n_items >= x->n_heads && x->n_heads < HEADS_MAX)
                split_chain(x, type, owner);
        head = &x->heads.items[chain_of(x, type->hash(owner, item))];
        *type->next(owner, item) = *head;
        *head = item;
        x->n_items++;
}

void slot_index_remove(SlotIndex *x, const SlotIndexType *type, const void *owner, uint32_t item) {
        uint32_t *link = &x->heads.items[chain_of(x, type->hash(owner, item))];

        while (*link != item) {
                assert(*link != SLOT_NONE);
                link = type->next(owner, *link);
        }
        *link = *type->next(owner, item);
        x->n_items--;
}

/* ---- PeerTable ---- */

static Endpoint record_endpoint(const PeerRecord *p) {
        return (Endpoint){ .address = p->address, .port = p->port };
}

static uint64_t cookie_hash(const void *owner, uint32_t slot) {
        const PeerTable *t = owner;
        uint64_t cookie = peer_table_at(t, slot)->cookie;

        return bytes_hash(&cookie, sizeof(cookie), t->hash_key);
}

static uint32_t *cookie_next(const void *owner, uint32_t slot) {
        return &peer_table_at(owner, slot)->cookie_next;
}

static uint64_t record_endpoint_hash(const void *owner, uint32_t slot) {
        const PeerTable *t = owner;
        Endpoint e = record_endpoint(peer_table_at(t, slot));

        return endpoint_hash(&e, t->hash_key);
}

static uint32_t *endpoint_next(const void *owner, uint32_t slot) {
        return &peer_table_at(owner, slot)->endpoint_next;
}

static const SlotIndexType by_cookie_type = { cookie_hash, cookie_next };
static const SlotIndexType by_endpoint_type = { record_endpoint_hash, endpoint_next };

static void *take_from_heap(size_t size) {
        return aligned_alloc(PEER_RECORD_ALIGN, size);
}

static void give_to_heap(void *memory, size_t size) {
        (void) size;
        free(memory);
}

static const PeerListMemory heap = { take_from_heap, give_to_heap };

int peer_table_init(PeerTable *t, const uint64_t hash_key[2]) {
        int r;

        *t = (PeerTable){ .memory = heap, .first_free = SLOT_NONE, .hash_key = { hash_key[0], hash_key[1] } };
        r = slot_index_init(&t->by_cookie);
        if (r == 0)
                r = slot_index_init(&t->by_endpoint);
        if (r < 0)
                peer_table_done(t);
        return r;
}

void peer_table_done(PeerTable *t) {
        for (uint32_t slot = 0; slot < t->n_slots; slot++) {
                PeerRecord *p = peer_table_at(t, slot);

                if (p->cookie != 0 && p->host_size > PEER_HOST_INLINE)
                        free(p->host.far);
        }
        for (size_t i = 0; i < t->n_chunks; i++)
                (i == 0 ? &heap : &t->memory)->give_back(t->chunks[i], PEER_CHUNK_SIZE);
        free(t->chunks);
        slot_index_done(&t->by_cookie);
        slot_index_done(&t->by_endpoint);
        *t = (PeerTable){ .first_free = SLOT_NONE };
}

int peer_table_expect(PeerTable *t, size_t n) {
        int r;

        r = slot_index_expect(&t->by_cookie, n);
        return r == 0 ? slot_index_expect(&t->by_endpoint, n) : r;
}

static int add_chunk(PeerTable *t) {
        PeerRecord *chunk;

        if (t->n_slots > SLOT_NONE - PEER_CHUNK)
                return -ENOMEM;
        if (t->n_chunks == t->chunks_allocated) {
                size_t wanted = t->chunks_allocated * 2 + 16;
                PeerRecord **chunks = reallocarray(t->chunks, wanted, sizeof(PeerRecord *));

                if (!chunks)
                        return -ENOMEM;
                t->chunks = chunks;
                t->chunks_allocated = wanted;
        }
        /* Few peers need a few pages of the first one only: the heap gives it, page by page as it is used. */
        chunk = (t->n_chunks == 0 ? &heap : &t->memory)->take(PEER_CHUNK_SIZE);
        if (!chunk)
                return -ENOMEM;
        t->chunks[t->n_chunks++] = chunk;
        return 0;
}

int peer_record_set_host(PeerRecord *p, Slice host) {
        char *old = p->host_size > PEER_HOST_INLINE ? p->host.far : NULL, *to = p->host.near;
        size_t size = MIN_OF(host.size, (size_t) PEER_HOST_MAX);

        if (size > PEER_HOST_INLINE) {
                to = malloc(size + 1);
                if (!to)
                        return -ENOMEM;
                p->host.far = to;
        }
        if (size > 0)
                memcpy(to, host.data, size);
        to[size] = 0;
        p->host_size = (uint8_t) size;
        free(old);
        return 0;
}

const char *peer_record_host(const PeerRecord *p) {
        return p->host_size > PEER_HOST_INLINE ? p->host.far : p->host.near;
}

int peer_table_add(PeerTable *t, uint64_t cookie, Slice host, uint32_t *ret_slot) {
        bool reuse = t->first_free != SLOT_NONE;
        uint32_t slot, next_free = SLOT_NONE;
        PeerRecord fresh = { .cookie = cookie }, *p;
        int r;

        if (!reuse && t->n_slots == t->n_chunks * PEER_CHUNK) {
                r = add_chunk(t);
                if (r < 0)
                        return r;
        }
        r = peer_record_set_host(&fresh, host);
        if (r < 0)
                return r;

        slot = reuse ? t->first_free : t->n_slots;
        p = peer_table_at(t, slot);
        if (reuse) {
                next_free = p->cookie_next;
                t->first_free = next_free;
        } else
                t->n_slots++;
        *p = fresh;
        t->n_records++;
        slot_index_add(&t->by_cookie, &by_cookie_type, t, slot);
        *ret_slot = slot;
        return 0;
}

void peer_table_remove(PeerTable *t, uint32_t slot) {
        PeerRecord *p = peer_table_at(t, slot);

        assert(!p->active);
        slot_index_remove(&t->by_cookie, &by_cookie_type, t, slot);
        if (p->host_size > PEER_HOST_INLINE)
                free(p->host.far);
        *p = (PeerRecord){ .cookie_next = t->first_free };
        t->first_free = slot;
        t->n_records--;
}

uint32_t peer_table_find_cookie(const PeerTable *t, uint64_t cookie) {
        uint32_t slot = slot_index_first(&t->by_cookie, bytes_hash(&cookie, sizeof(cookie), t->hash_key));

        /*
         * Nothing of the time this takes tells how near a guess was: the chain is chosen by a keyed hash, and the
         * difference is taken of whole numbers, not digit by digit.
         */
        while (slot != SLOT_NONE && (peer_table_at(t, slot)->cookie ^ cookie) != 0)
                slot = peer_table_at(t, slot)->cookie_next;
        return slot;
}

uint32_t peer_table_find_active(const PeerTable *t, const Endpoint *endpoint) {
        uint32_t slot = slot_index_first(&t->by_endpoint, endpoint_hash(endpoint, t->hash_key));

        while (slot != SLOT_NONE) {
                const PeerRecord *p = peer_table_at(t, slot);

                if (p->port == endpoint->port && address_equal(&p->address, &endpoint->address))
                        break;
                slot = p->endpoint_next;
        }
        return slot;
}

void peer_table_list_endpoint(PeerTable *t, uint32_t slot) {
        slot_index_add(&t->by_endpoint, &by_endpoint_type, t, slot);
}

void peer_table_unlist_endpoint(PeerTable *t, uint32_t slot) {
        slot_index_remove(&t->by_endpoint, &by_endpoint_type, t, slot);
}
