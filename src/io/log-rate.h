/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * LogRate: what may be logged now, and the counts of what may not. No locks, no clock, no output: log.c has these.
 */

#include "core/base.h"
#include "core/rate.h"
#include "io/log.h"

/* Warnings and errors of one MESSAGE_ID: this many at once, then one a second. */
#define LOG_RATE_BURST 10
/* What has no id, and what is said when a configuration is read: as many as it may have issues, and some. */
#define LOG_RATE_BURST_OWN 110
/* Notices of one MESSAGE_ID: a thousand leases may end in one second. */
#define LOG_RATE_BURST_NOTICE 100
#define LOG_RATE_NOTICES_PER_SEC 10

/* Kinds of transactions that a summary tells apart; there are fewer. What is beyond is counted as "other". */
#define LOG_RATE_KINDS_MAX 48
#define LOG_RATE_WORD_SIZE 24

typedef struct LogRateKind {
        char operation[LOG_RATE_WORD_SIZE], result[LOG_RATE_WORD_SIZE];
        uint64_t n;
} LogRateKind;

/* Transactions that were only counted. */
typedef struct LogRateCounts {
        LogRateKind kinds[LOG_RATE_KINDS_MAX];
        size_t n_kinds;
        uint64_t n_other, n_all;
} LogRateCounts;

typedef struct LogRateEvent {
        Bucket bucket;
        uint64_t n_suppressed;
        LogLevel level;                 /* of the last one that was suppressed */
} LogRateEvent;

/* Zeroed, but for transactions_per_sec, is a fresh one. */
typedef struct LogRate {
        uint32_t transactions_per_sec;  /* 0: all are counted */
        Bucket transactions;
        LogRateCounts counts;
        LogRateEvent events[_LOG_EVENT_MAX];
} LogRate;

/* May this transaction be logged by itself? If not, it was counted. operation and result may be NULL. */
bool log_rate_take_transaction(LogRate *r, const char *operation, const char *result, const Now *now);
/* What was counted, and counts anew. false: nothing was. */
bool log_rate_take_counts(LogRate *r, LogRateCounts *ret);

/*
 * May this entry be logged? If so, *ret_suppressed tells how many before it were not and have not been told of. Debug
 * and info always; crit and above always; notices without an event always.
 */
bool log_rate_take_event(LogRate *r, LogLevel level, LogEvent event, const Now *now, uint64_t *ret_suppressed);
/*
 * The same for an entry that only tells what of this event was suppressed. false: nothing was, or it is not its time
 * yet.
 */
bool log_rate_take_suppressed(LogRate *r, LogEvent event, const Now *now, LogLevel *ret_level, uint64_t *ret_n);
/* Is anything counted that has not been told of? */
bool log_rate_is_pending(const LogRate *r);
