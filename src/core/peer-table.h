/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * PeerTable: where PeerList keeps its records, and how it finds one by cookie or by endpoint. Internal to peer-list.
 *
 * Records lie in chunks that never move, of three huge pages each; what links them are slot numbers of 32 bits, half a pointer. The hash indexes
 * are chains through the records themselves; they grow by one chain at a time (linear hashing), so that no registration
 * ever waits for a million others to be hashed anew.
 */

#include <stdalign.h>

#include "core/address.h"
#include "core/base.h"
#include "core/peer-list.h"

#define SLOT_NONE UINT32_MAX

/* Names up to this size lie in the record. */
#define PEER_HOST_INLINE 31
#define PEER_RECORD_ALIGN 64

/*
 * The first cache line is what a line of a list needs: among a million peers each that is drawn for a sample is a miss,
 * and should be no more than one. What finds, links and renews a record is in the second.
 */
typedef struct PeerRecord {
        alignas(PEER_RECORD_ALIGN) usec_t expires_at;
        Address address;
        uint32_t id;
        uint16_t port;
        uint8_t host_size;
        bool active : 1;
        bool advertised : 1;
        bool queued : 1;                /* in the queue of changes */
        bool queued_urgent : 1;
        union {
                char near[PEER_HOST_INLINE + 1];
                char *far;              /* owned */
        } host;

        uint64_t cookie;                /* 0: the slot is free */
        uint32_t cookie_next;           /* chain of the index; free slots: the next free one */
        uint32_t endpoint_next;         /* active ones */
        uint32_t term_previous, term_next;      /* peer-terms */
        usec_t registered_at;
        int32_t first_day;
        uint16_t counts[PEER_DAYS];
} PeerRecord;

/* A growing array of numbers, for whoever of peer-list needs one. Zeroed is empty. */
typedef struct Numbers {
        uint32_t *items;                /* owned */
        size_t allocated;
} Numbers;

/* Room for n in all; what is there stays. 0, -ENOMEM. */
int numbers_reserve(Numbers *n, size_t size) _must_check_;
void numbers_done(Numbers *n);

/*
 * An index by linear hashing. What a chain is made of (a record, a source) is the owner's: `next` gives the link of an
 * item, `hash` the full hash of its key.
 */
typedef struct SlotIndexType {
        uint64_t (*hash)(const void *owner, uint32_t item);
        uint32_t *(*next)(const void *owner, uint32_t item);
} SlotIndexType;

typedef struct SlotIndex {
        Numbers heads;
        uint32_t n_heads;
        uint32_t n_items;
} SlotIndex;

int slot_index_init(SlotIndex *x) _must_check_;         /* -ENOMEM */
void slot_index_done(SlotIndex *x);
/* An empty one gets chains for n items: none is split on the way there. -ENOMEM. */
int slot_index_expect(SlotIndex *x, size_t n) _must_check_;
/* The first item of the chain in which one with that hash would be; SLOT_NONE: empty. */
uint32_t slot_index_first(const SlotIndex *x, uint64_t hash);
/* Never fails: without memory for another chain the chains get longer. */
void slot_index_add(SlotIndex *x, const SlotIndexType *type, const void *owner, uint32_t item);
void slot_index_remove(SlotIndex *x, const SlotIndexType *type, const void *owner, uint32_t item);

typedef struct PeerTable {
        PeerRecord **chunks;            /* owned; the first is the heap's, the others of `memory` */
        PeerListMemory memory;
        size_t n_chunks, chunks_allocated;
        uint32_t n_slots;               /* ever used */
        uint32_t first_free;
        uint32_t n_records;
        uint64_t hash_key[2];
        SlotIndex by_cookie;
        SlotIndex by_endpoint;          /* active records only */
} PeerTable;

int peer_table_init(PeerTable *t, const uint64_t hash_key[2]) _must_check_;     /* -ENOMEM */
void peer_table_done(PeerTable *t);
/* About n records will come, all of them active as a rule. -ENOMEM. */
int peer_table_expect(PeerTable *t, size_t n) _must_check_;

#define PEER_CHUNK 32768
#define PEER_CHUNK_SIZE (PEER_CHUNK * sizeof(PeerRecord))
_Static_assert(PEER_CHUNK_SIZE % PEER_LIST_MEMORY_UNIT == 0, "chunks fill huge pages");
static inline PeerRecord *peer_table_at(const PeerTable *t, uint32_t slot) {
        return &t->chunks[slot / PEER_CHUNK][slot % PEER_CHUNK];
}

/* A record with that cookie and name, inactive, all else zero. 0, -ENOMEM. The cookie must not be there. */
int peer_table_add(PeerTable *t, uint64_t cookie, Slice host, uint32_t *ret_slot) _must_check_;
/* Must be inactive. */
void peer_table_remove(PeerTable *t, uint32_t slot);
/* 0, -ENOMEM: the old name stays. */
int peer_record_set_host(PeerRecord *p, Slice host) _must_check_;
const char *peer_record_host(const PeerRecord *p);

/* SLOT_NONE: there is none. */
uint32_t peer_table_find_cookie(const PeerTable *t, uint64_t cookie);
uint32_t peer_table_find_active(const PeerTable *t, const Endpoint *endpoint);
/* Puts an active record under its endpoint, takes it from there; so: around each change of the endpoint. */
void peer_table_list_endpoint(PeerTable *t, uint32_t slot);
void peer_table_unlist_endpoint(PeerTable *t, uint32_t slot);
