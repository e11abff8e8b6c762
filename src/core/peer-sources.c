/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/peer-sources.h"

#include <errno.h>

static uint64_t source_hash(const void *owner, uint32_t item) {
        const PeerSources *s = owner;

        return bytes_hash(s->items[item].source.bytes, sizeof(s->items[item].source.bytes), s->hash_key);
}

static uint32_t *source_next(const void *owner, uint32_t item) {
        const PeerSources *s = owner;

        return &s->items[item].next;
}

static const SlotIndexType by_source_type = { source_hash, source_next };

int peer_sources_init(PeerSources *s, const uint64_t hash_key[2]) {
        *s = (PeerSources){ .first_free = SLOT_NONE, .hash_key = { hash_key[0], hash_key[1] } };
        return slot_index_init(&s->index);
}

void peer_sources_done(PeerSources *s) {
        free(s->items);
        slot_index_done(&s->index);
        *s = (PeerSources){ .first_free = SLOT_NONE };
}

static uint32_t find(const PeerSources *s, const Address *source) {
        uint32_t item = slot_index_first(&s->index, bytes_hash(source->bytes, sizeof(source->bytes), s->hash_key));

        while (item != SLOT_NONE && !address_equal(&s->items[item].source, source))
                item = s->items[item].next;
        return item;
}

uint32_t peer_sources_count(const PeerSources *s, const Address *address) {
        Address source = address_source(address);
        uint32_t item = find(s, &source);

        return item == SLOT_NONE ? 0 : s->items[item].n_peers;
}

int peer_sources_reserve(PeerSources *s) {
        PeerSource *items;
        size_t wanted;

        if (s->first_free != SLOT_NONE || s->n_items < s->allocated)
                return 0;
        wanted = s->allocated + s->allocated / 2 + 16;
        items = reallocarray(s->items, wanted, sizeof(PeerSource));
        if (!items)
                return -ENOMEM;
        s->items = items;
        s->allocated = wanted;
        return 0;
}

void peer_sources_add(PeerSources *s, const Address *address) {
        Address source = address_source(address);
        uint32_t item = find(s, &source);

        if (item != SLOT_NONE) {
                s->items[item].n_peers++;
                return;
        }
        item = s->first_free;
        if (item != SLOT_NONE)
                s->first_free = s->items[item].next;
        else {
                assert(s->n_items < s->allocated);
                item = s->n_items++;
        }
        s->items[item] = (PeerSource){ .source = source, .n_peers = 1 };
        slot_index_add(&s->index, &by_source_type, s, item);
}

void peer_sources_remove(PeerSources *s, const Address *address) {
        Address source = address_source(address);
        uint32_t item = find(s, &source);

        assert(item != SLOT_NONE);
        if (--s->items[item].n_peers > 0)
                return;
        slot_index_remove(&s->index, &by_source_type, s, item);
        s->items[item].next = s->first_free;
        s->first_free = item;
}
