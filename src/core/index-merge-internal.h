/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/* The inside of IndexMerge, for index-merge-lines.c (what came) and index-merge.c (how it goes into the index) only. */

#include "core/rfc-index-internal.h"

typedef struct MergeLine {
        Digest digest;
        uint64_t size;
        uint32_t number;
        uint32_t ttl_sec;
        uint32_t title_at;              /* in IndexMerge.titles */
        uint16_t title_size;
        bool self;                      /* by holder "-" */
        bool removed;                   /* INDEX_MERGE_DELTA: the source has it no more */
        Endpoint holder;                /* of self: the source */
} MergeLine;

typedef enum MergePhase {
        MERGE_FEEDING,
        MERGE_SPENT,                    /* bad, or cut off */
        MERGE_PUTTING,                  /* line by line */
        MERGE_REMOVING,                 /* what was not stated again */
        MERGE_DONE,
} MergePhase;

struct IndexMerge {
        IndexMergeConf conf;
        MergePhase phase;
        size_t n_bytes;                 /* fed so far */
        Buf partial;                    /* the start of a line whose end is still to come */
        MergeLine *lines;               /* owned, ascending */
        size_t n_lines, allocated;
        Buf titles;
        size_t n_put;                   /* lines that are in the index */
        uint32_t next_number;           /* MERGE_REMOVING for INDEX_MERGE_SET: all below have been looked at */
        bool begun;
        bool incomplete;                /* an own line could not go in */
        IndexMergeResult result;
};

/* Points into m. */
Slice index_merge_title(const IndexMerge *m, const MergeLine *l);
