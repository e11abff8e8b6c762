/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * PullPlan: whose index is pulled next in the background, and when. Every interval, give or take a fifth, the list of
 * peers is asked for, and each peer that may be dialled is pulled. Each has a time of its own, so that what is asked of
 * the network is spread over the interval; and nothing that comes in a lump (many new peers, a host that slept for
 * hours) goes out as one.
 *
 * It never calls back: whoever runs it asks what is next, does that, and says how it ended. All of it costs O(log n) but
 * a new list, which is as long as it is.
 */

#include "core/address.h"
#include "core/base.h"

/* Pulls under way at once. */
#define PULL_PLAN_AT_ONCE 16
/*
 * Pulls begin so far apart; closer where all could not be pulled in half the interval then. So a
 * fresh peer knows the indexes of 100 others after 10 s.
 */
#define PULL_PLAN_SPACING_USEC (100 * USEC_PER_MSEC)
/* The first list is asked for within this, or a tenth of the interval. */
#define PULL_PLAN_START_USEC (1 * USEC_PER_SEC)
/* A peer that says it is busy is asked again after this, or the interval. */
#define PULL_PLAN_BUSY_USEC (5 * USEC_PER_SEC)

typedef struct PullPlan PullPlan;

typedef enum PullPlanDo {
        PULL_PLAN_WAIT,                         /* nothing before *ret_at, unless something is said meanwhile */
        PULL_PLAN_LIST,                         /* ask who there is: ends with pull_plan_listed() */
        PULL_PLAN_PULL,                         /* pull *ret_peer: ends with pull_plan_pulled() */
} PullPlanDo;

/* Nothing is due before pull_plan_set_interval(). seed: random, so that no two peers go in step. -ENOMEM. */
int pull_plan_new(uint64_t seed, PullPlan **ret) _must_check_;
PullPlan *pull_plan_free(PullPlan *p);
DEFINE_CLEANUP(PullPlan *, pull_plan_free)

/*
 * At least 1 ms; USEC_INFINITY: nothing is due any more. With the first one, and after an infinite one, it starts soon;
 * nothing waits for longer than the new one tells.
 */
void pull_plan_set_interval(PullPlan *p, usec_t interval, const Now *now);
/* There may be others to ask than at the last list (a server can be reached again): ask soon. */
void pull_plan_list_soon(PullPlan *p, const Now *now);

/* *ret_peer is set with PULL, *ret_at with WAIT (boottime, USEC_INFINITY: until something is said). */
PullPlanDo pull_plan_next(PullPlan *p, const Now *now, Endpoint *ret_peer, usec_t *ret_at);
/*
 * These are the peers now, in any order: new ones are pulled soon, those that are not named no more. Also when the list
 * was asked for by somebody else; the next one is then due an interval from now. -ENOMEM: some of the new ones wait for
 * the next list.
 */
int pull_plan_listed(PullPlan *p, const Endpoint *peers, size_t n, const Now *now) _must_check_;
/* That peer was pulled, or could not be; also on behalf of somebody else. busy: it asked for a moment. */
void pull_plan_pulled(PullPlan *p, const Endpoint *peer, bool busy, const Now *now);
size_t pull_plan_count(const PullPlan *p);      /* peers in it */
