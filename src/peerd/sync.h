/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * Sync: all that the group holds and is missing here is brought, and the rounds of Store.MinReplicas=, which bring what
 * too few hold. Both are the same: the lists and indexes are asked for, a plan is made of the index (core/replicate), and
 * many downloads run at once, each an operation like those of a get, but for known holders only.
 *
 * All in the client's thread, one at a time.
 */

#include "core/replicate.h"
#include "core/rfc-number.h"
#include "peerd/client.h"

/* Slower than that, who sends would take us for somebody who does not read (Server.MinTransferRate=). */
#define SYNC_RATE_MIN 4096
/* Results that are told apart, and numbers that are shown of each. */
#define SYNC_RESULTS_MAX 12
#define SYNC_NUMBERS_SHOWN 10

typedef enum SyncState {
        SYNC_REFRESHING,                        /* lists and indexes are being asked for */
        SYNC_PLANNING,
        SYNC_FETCHING,
        SYNC_DONE,
} SyncState;

typedef struct SyncFailure {
        const char *result;                     /* as of a download; a literal */
        uint64_t n;
        uint32_t numbers[SYNC_NUMBERS_SHOWN];   /* the first of them */
} SyncFailure;

/* What a sync has come to. */
typedef struct SyncProgress {
        SyncState state;
        uint64_t transaction;
        size_t n_peers, n_peers_failed;         /* that were asked for their index */
        bool servers_away;
        ReplicateCount planned, fetched;
        ReplicateCount skipped[_REPLICATE_SKIP_MAX];
        SyncFailure failed[SYNC_RESULTS_MAX];
        size_t n_results;
        uint64_t n_failed;                      /* all of them */
        uint64_t n_elsewhere;                   /* planned ones that came in another way meanwhile */
        uint64_t bytes_per_sec;                 /* 0: not known */
        usec_t left_usec;                       /* USEC_INFINITY: not known */
        usec_t duration_usec;
} SyncProgress;

struct SyncEvent {
        ClientEvent event;                      /* first */
        uint64_t request;
        bool busy;                              /* one is under way already: nothing was begun; progress is not set */
        int error;                              /* negative errno: it could not be made; the last event, as SYNC_DONE */
        SyncProgress progress;
};

/*
 * Begins one: SyncEvents come, at most ten a second, the last with SYNC_DONE. It ends early when nobody listens to the
 * request any more: what is being fetched by then is let end. ranges is taken; none: everything. max_rate: bytes per
 * second, 0: no limit, else at least SYNC_RATE_MIN. 0 or -ENOMEM.
 */
int client_sync(Client *c, uint64_t request, uint64_t transaction, RfcSet *ranges, bool dry_run,
                uint64_t max_rate) _must_check_;
