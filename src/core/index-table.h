/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * IndexTable: items of one size that are found by hash and named by a 32-bit id. Made for the RFC index, which holds
 * a million records under a mutex that may be held for 1 ms:
 *   - ids instead of pointers halve the links; items lie in chunks and never move
 *   - it grows by one chunk and one hash bucket at a time (linear hashing), so there is no pause to rehash everything
 * Memory of removed items is used again, and given back by index_table_done() only.
 */

#include "core/base.h"

/* The first member of every item; the table's. */
typedef struct IndexNode {
        uint32_t next;                  /* of the same bucket, or of the free items */
        uint32_t hash;
} IndexNode;

typedef struct IndexTable {
        size_t item_size;
        void **chunks;                  /* owned, INDEX_TABLE_CHUNK items each */
        size_t n_chunks;
        uint32_t n_ids;                 /* ids ever given out, with 0 which never is */
        uint32_t first_free;
        uint32_t n_items;
        void **heads;                   /* owned, INDEX_TABLE_CHUNK bucket heads (ids) each */
        size_t n_head_chunks;
        uint32_t n_buckets;
        uint32_t mask;                  /* 2^k - 1, the smallest >= n_buckets - 1 */
} IndexTable;

#define INDEX_TABLE_CHUNK_SHIFT 10
#define INDEX_TABLE_CHUNK (1u << INDEX_TABLE_CHUNK_SHIFT)

static inline void *index_table_item(const IndexTable *t, uint32_t id) {
        return (char *) t->chunks[id >> INDEX_TABLE_CHUNK_SHIFT] + (id & (INDEX_TABLE_CHUNK - 1)) * t->item_size;
}

/* item_size: a multiple of 8. */
void index_table_init(IndexTable *t, size_t item_size);
void index_table_done(IndexTable *t);
/* Makes sure that the next index_table_add() has the memory it needs. 0, -ENOMEM. */
int index_table_reserve(IndexTable *t) _must_check_;
/* A zeroed item; gives its id, never 0. After index_table_reserve(). */
uint32_t index_table_add(IndexTable *t, uint32_t hash);
void index_table_remove(IndexTable *t, uint32_t id);
/* The candidates: the first item of the hash's bucket, to be followed through IndexNode.next; 0: the end. */
uint32_t index_table_first(const IndexTable *t, uint32_t hash);
