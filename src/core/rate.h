/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * RateTable: token buckets per source, in a table of fixed size. A source is what address_source() gives (IPv4 /32,
 * IPv6 /64). When the table is full the bucket least recently used goes: an attacker with many addresses costs no
 * memory, and what a forgotten source gains is one full bucket.
 *
 * Flow: a rate that many share, piece by piece.
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

/*
 * Bytes that flow at a rate, in pieces that are given out one after the other. Who wants to send asks for a piece, and
 * is told from when on he may send it; he asks for the next when it is out. So all come in turn, each gets the same,
 * and what a piece costs is one addition, however many they are.
 */
typedef struct Flow {
        uint64_t per_sec;       /* bytes, at least 1; FLOW_UNLIMITED */
        usec_t free_at;         /* boottime at which all that was given out has flowed; 0: nothing was */
} Flow;

#define FLOW_UNLIMITED UINT64_MAX
/* What did not flow for want of anything to send may be made up for, but not more of it than this. */
#define FLOW_BURST_USEC (100 * USEC_PER_MSEC)
/* A piece is what flows in a twentieth of a second, within these bounds. */
#define FLOW_PIECE_MIN 512
#define FLOW_PIECE_MAX ((size_t) 256 * 1024)

size_t flow_piece(const Flow *f);
/* Gives n bytes out: boottime from which on they may be sent. */
usec_t flow_take(Flow *f, size_t n, const Now *now);
