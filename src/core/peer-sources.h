/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * PeerSources: how many active peers are listed under each source (see address_source()). Internal to peer-list.
 */

#include "core/address.h"
#include "core/base.h"
#include "core/peer-table.h"

typedef struct PeerSource {
        Address source;
        uint32_t n_peers;
        uint32_t next;                  /* of the chain; of the free ones */
} PeerSource;

typedef struct PeerSources {
        PeerSource *items;              /* owned */
        size_t allocated;
        uint32_t n_items;               /* ever used */
        uint32_t first_free;
        uint64_t hash_key[2];
        SlotIndex index;
} PeerSources;

int peer_sources_init(PeerSources *s, const uint64_t hash_key[2]) _must_check_;         /* -ENOMEM */
void peer_sources_done(PeerSources *s);
uint32_t peer_sources_count(const PeerSources *s, const Address *address);
/* Room for one more source: the next add can't fail. 0, -ENOMEM. */
int peer_sources_reserve(PeerSources *s) _must_check_;
void peer_sources_add(PeerSources *s, const Address *address);
/* Takes back one add. */
void peer_sources_remove(PeerSources *s, const Address *address);
