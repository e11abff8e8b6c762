/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/index-table.h"

#include <errno.h>

/* Ids are kept below 2^31, far over what Index.MaxEntries= can mean. */
#define IDS_MAX (UINT32_C(1) << 31)

void index_table_init(IndexTable *t, size_t item_size) {
        assert(item_size >= sizeof(IndexNode) && item_size % 8 == 0);
        *t = (IndexTable){ .item_size = item_size, .n_ids = 1 };
}

void index_table_done(IndexTable *t) {
        for (size_t i = 0; i < t->n_chunks; i++)
                free(t->chunks[i]);
        for (size_t i = 0; i < t->n_head_chunks; i++)
                free(t->heads[i]);
        free(t->chunks);
        free(t->heads);
        *t = (IndexTable){ .item_size = t->item_size, .n_ids = 1 };
}

/* One more chunk of `size` bytes behind the *n in *chunks. */
static int add_chunk(void ***chunks, size_t *n, size_t size) {
        _cleanup_free_ void *chunk = calloc(1, size);
        if (!chunk)
                return -ENOMEM;

        /* Doubling: the capacity is the next power of two, so only then is there something to do. */
        if ((*n & (*n - 1)) == 0) {
                void **grown = reallocarray(*chunks, *n ? *n * 2 : 1, sizeof(void *));
                if (!grown)
                        return -ENOMEM;
                *chunks = grown;
        }
        (*chunks)[(*n)++] = TAKE_PTR(chunk);
        return 0;
}

int index_table_reserve(IndexTable *t) {
        if (t->first_free == 0 && t->n_ids >> INDEX_TABLE_CHUNK_SHIFT >= t->n_chunks) {
                if (t->n_ids >= IDS_MAX)
                        return -ENOMEM;
                int r = add_chunk(&t->chunks, &t->n_chunks, INDEX_TABLE_CHUNK * t->item_size);
                if (r < 0)
                        return r;
        }

        if (t->n_buckets >> INDEX_TABLE_CHUNK_SHIFT >= t->n_head_chunks)
                return add_chunk(&t->heads, &t->n_head_chunks, INDEX_TABLE_CHUNK * sizeof(uint32_t));
        return 0;
}

static uint32_t *bucket(const IndexTable *t, uint32_t i) {
        return (uint32_t *) t->heads[i >> INDEX_TABLE_CHUNK_SHIFT] + (i & (INDEX_TABLE_CHUNK - 1));
}

/* Buckets that are not there yet are the upper half: their items still lie in the lower one. */
static uint32_t bucket_of(const IndexTable *t, uint32_t hash) {
        uint32_t i = hash & t->mask;
        return i < t->n_buckets ? i : i & (t->mask >> 1);
}

/* One bucket more, which takes its share of the one that it splits. */
static void split(IndexTable *t) {
        uint32_t fresh = t->n_buckets++;
        if (fresh > t->mask)
                t->mask = t->mask << 1 | 1;
        if (fresh == 0)
                return;

        uint32_t *from = bucket(t, fresh & (t->mask >> 1)), *to = bucket(t, fresh);
        while (*from != 0) {
                IndexNode *node = index_table_item(t, *from);
                if ((node->hash & t->mask) != fresh) {
                        from = &node->next;
                        continue;
                }
                uint32_t id = *from;
                *from = node->next;
                node->next = *to;
                *to = id;
        }
}

uint32_t index_table_add(IndexTable *t, uint32_t hash) {
        if (t->n_items >= t->n_buckets)
                split(t);

        uint32_t id = t->first_free;
        if (id != 0)
                t->first_free = ((IndexNode *) index_table_item(t, id))->next;
        else
                id = t->n_ids++;
        assert(id >> INDEX_TABLE_CHUNK_SHIFT < t->n_chunks);

        IndexNode *node = index_table_item(t, id);
        memset(node, 0, t->item_size);
        uint32_t *head = bucket(t, bucket_of(t, hash));
        *node = (IndexNode){ .next = *head, .hash = hash };
        *head = id;
        t->n_items++;
        return id;
}

void index_table_remove(IndexTable *t, uint32_t id) {
        IndexNode *gone = index_table_item(t, id);
        uint32_t *link = bucket(t, bucket_of(t, gone->hash));
        while (*link != id) {
                assert(*link != 0);
                link = &((IndexNode *) index_table_item(t, *link))->next;
        }
        *link = gone->next;
        gone->next = t->first_free;
        t->first_free = id;
        t->n_items--;
}

uint32_t index_table_first(const IndexTable *t, uint32_t hash) {
        return t->n_buckets == 0 ? 0 : *bucket(t, bucket_of(t, hash));
}
