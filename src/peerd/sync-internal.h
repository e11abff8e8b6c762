/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/* The parts of a sync: sync.c (its course, what it tells), sync-plan.c (what is to be fetched), replicas.c (its rounds). */

#include "peerd/client-internal.h"
#include "peerd/sync.h"

struct Sync {
        Client *client;
        uint64_t request;                       /* 0: nobody's */
        SyncEvent *end;                         /* owned: tells the end, whatever memory there is by then; NULL: nobody's */
        bool replicas;                          /* a round of Store.MinReplicas= */
        bool dry_run;
        RfcSet ranges;
        ReplicatePlan plan;
        SyncProgress progress;
        usec_t began_at;                        /* boottime */
        Message step;                           /* to begin; then, to go on in the next turn */
        bool step_queued, dropped;
        uint32_t number;                        /* planning: all up to here were looked at */
        unsigned n_active, n_active_max;        /* operations under way */
        unsigned n_storing;                     /* those whose document has come: beside the others */
        bool full;                              /* there is no space left: nothing more is begun */
        /* telling */
        usec_t told_at;
        sd_event_source *timer;                 /* for what waits to be told, and for the rate */
        uint64_t received, metered[2];          /* bytes of documents; at metered_at */
        usec_t metered_at[2];
        /* rate */
        uint64_t max_rate;
        usec_t paid_until;                      /* boottime */
        /* replicas: who there is, at the beginning of the plan */
        Endpoint *peers;                        /* owned */
        size_t n_peers;
        struct Lacking *lacking;                /* owned; what this round finds, by number */
        size_t n_lacking, n_lacking_allocated;
        size_t lacking_at;                      /* in that of the round before */
};

/* Begins; s is taken, also on failure. */
void sync_begin(Client *c, Sync *s);
/* Looks at some numbers, under the lock for less than a millisecond. 0: that was all; 1: there is more; -ENOMEM. */
int sync_plan_step(Sync *s, const Now *now) _must_check_;

/* ---- replicas.c ---- */

/* Who there is and what was lacking before: to be called before the plan. 0, -ENOMEM. */
int replicas_prepare(Sync *s, const Now *now) _must_check_;
/*
 * Is it this peer that makes a copy of what the n holders have and the library has not? Numbers ascend. Under the lock.
 * 0 no, 1 yes, -ENOMEM.
 */
int replicas_take(Sync *s, uint32_t number, const Endpoint *holders, size_t n) _must_check_;
/* The plan was made: what is lacking now is what was lacking before, for the next round. */
void replicas_planned(Sync *s);
