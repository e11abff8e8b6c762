/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * History: the last operations (each: have one RFC) and what was decided in each, so that the tool can tell why one
 * ended as it did. In memory only; the oldest goes when there is no room for a new one, so an operation is named by an
 * id that may have gone stale: whatever is told of such a one is dropped.
 *
 * All strings are borrowed for good: literals.
 */

#include "core/address.h"
#include "core/base.h"

/* What is kept. 64 steps of 64 bytes for each of 1,000 are 4 MB at most; a usual operation has five. */
#define HISTORY_OPERATIONS_MAX 1000
/*
 * Of one operation: the first and the last ones; what is between them is counted. A lookup among 1,000 peers that have
 * nothing asks all of them.
 */
#define HISTORY_STEPS_MAX 64

typedef struct History History;

typedef enum HistoryWhat {
        HISTORY_STORE,                  /* the own library was looked into */
        HISTORY_SERVERS,                /* the registration servers were asked for a list; count: active peers */
        HISTORY_HOLDERS,                /* the merged index was looked into; count: others that hold it */
        HISTORY_INDEX,                  /* that peer was asked for its index */
        HISTORY_FETCH,                  /* that peer was asked for the document; count: bytes that came */
        HISTORY_QUARANTINE,             /* that peer is left alone; count: for how many microseconds */
        _HISTORY_WHAT_MAX,
} HistoryWhat;

/* "store", "servers", "holders", "index", "fetch", "quarantine" */
const char *history_what_name(HistoryWhat what);

typedef struct HistoryStep {
        HistoryWhat what;
        usec_t at, ended_at;            /* boottime; ended_at USEC_INFINITY: not answered yet */
        bool has_peer;
        Endpoint peer;
        uint32_t peer_id;               /* 0: not known */
        const char *result;             /* "ok" or why not; NULL while it is not answered */
        uint64_t count;
} HistoryStep;

/* One operation, as a snapshot; steps is valid until the next change. */
typedef struct HistoryInfo {
        uint64_t id;
        uint64_t transaction;
        uint32_t number;
        Now began_at;
        usec_t ended_at;                /* boottime; USEC_INFINITY: under way */
        const char *result;             /* NULL while it is under way */
        const HistoryStep *steps;
        size_t n_steps;
        size_t n_lost;                  /* steps over HISTORY_STEPS_MAX, or without memory */
} HistoryInfo;

/* Keeps up to max_operations (at least 1). -ENOMEM. */
int history_new(size_t max_operations, History **ret) _must_check_;
History *history_free(History *h);
DEFINE_CLEANUP(History *, history_free)

/* An operation begins; gives its id, never 0. Ids ascend. */
uint64_t history_begin(History *h, uint64_t transaction, uint32_t number, const Now *now);
/* A step begins that will be answered. peer NULL: it has none. */
void history_ask(History *h, uint64_t id, HistoryWhat what, const Endpoint *peer, uint32_t peer_id, const Now *now);
/*
 * It is answered: the last step of that kind with that peer that is not. Where there is none this is a whole step: it
 * needed no answer.
 */
void history_tell(History *h, uint64_t id, HistoryWhat what, const Endpoint *peer, uint32_t peer_id, const char *result,
                  uint64_t count, const Now *now);
/* The operation is over. What is not answered by now stays so. */
void history_end(History *h, uint64_t id, const char *result, const Now *now);

/* The last operation that was about that number. */
bool history_find_number(const History *h, uint32_t number, HistoryInfo *ret);
/* The first operation of that transaction whose id is > after. */
bool history_find_transaction(const History *h, uint64_t transaction, uint64_t after, HistoryInfo *ret);
