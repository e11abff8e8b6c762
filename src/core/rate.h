/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * RateTable: token buckets per source, in a table of fixed size. A source is what address_source() gives (IPv4 /32,
 * IPv6 /64). When the table is full the bucket least recently used goes: an attacker with many addresses costs no
 * memory, and what a forgotten source gains is one full bucket.
 */

#include "core/address.h"
#include "core/base.h"

typedef struct RateTable RateTable;

/* 4096 sources of 48 bytes or so: more than the connections that a daemon of default settings holds. */
#define RATE_TABLE_SIZE 4096

/*
 * per_sec tokens a second flow into each bucket, which holds at most burst. per_sec 0 or over a million: no limit.
 * hash_key: random, so that nobody can aim at a slot. -ENOMEM.
 */
int rate_table_new(size_t n_sources, uint32_t per_sec, uint32_t burst, const uint64_t hash_key[2], RateTable **ret)
        _must_check_;
RateTable *rate_table_free(RateTable *t);
DEFINE_CLEANUP(RateTable *, rate_table_free)

/* New limits (a reload); fill levels stay, cut to the new burst. */
void rate_table_set(RateTable *t, uint32_t per_sec, uint32_t burst);
/* Takes one token. false: the source is over its limit. */
bool rate_table_take(RateTable *t, const Address *address, const Now *now);
size_t rate_table_count(const RateTable *t);

/* A single bucket, for the log and the like. Zeroed is full. */
typedef struct Bucket {
        usec_t full_at;         /* boottime at which it would be full again */
} Bucket;

bool bucket_take(Bucket *b, uint32_t per_sec, uint32_t burst, const Now *now);
