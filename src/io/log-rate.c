/* SPDX-License-Identifier: BSD-2-Clause */
#include "io/log-rate.h"

#include <bsd/string.h>

/* What is cut is cut alike each time. */
static bool is_word(const char kept[LOG_RATE_WORD_SIZE], const char *word) {
        return strncmp(kept, word, LOG_RATE_WORD_SIZE - 1) == 0;
}

static void count(LogRateCounts *c, const char *operation, const char *result) {
        LogRateKind *kind;

        operation = operation ? operation : "";
        result = result ? result : "";
        c->n_all++;
        for (size_t i = 0; i < c->n_kinds; i++) {
                kind = &c->kinds[i];
                if (is_word(kind->operation, operation) && is_word(kind->result, result)) {
                        kind->n++;
                        return;
                }
        }
        if (c->n_kinds == LOG_RATE_KINDS_MAX) {
                c->n_other++;
                return;
        }
        kind = &c->kinds[c->n_kinds++];
        (void) strlcpy(kind->operation, operation, sizeof(kind->operation));
        (void) strlcpy(kind->result, result, sizeof(kind->result));
        kind->n = 1;
}

bool log_rate_take_transaction(LogRate *r, const char *operation, const char *result, const Now *now) {
        uint32_t per_sec = r->transactions_per_sec;

        /* For a bucket 0 means no limit. */
        if (per_sec > 0 && bucket_take(&r->transactions, per_sec, per_sec, now))
                return true;
        count(&r->counts, operation, result);
        return false;
}

bool log_rate_take_counts(LogRate *r, LogRateCounts *ret) {
        if (r->counts.n_all == 0)
                return false;
        *ret = r->counts;
        r->counts = (LogRateCounts){ 0 };
        return true;
}

static bool event_take(LogRateEvent *e, LogLevel level, LogEvent event, const Now *now) {
        if (level == LOG_LEVEL_NOTICE)
                return bucket_take(&e->bucket, LOG_RATE_NOTICES_PER_SEC, LOG_RATE_BURST_NOTICE, now);
        if (event == LOG_EVENT_NONE || event == LOG_EVENT_CONF_INVALID)
                return bucket_take(&e->bucket, 1, LOG_RATE_BURST_OWN, now);
        return bucket_take(&e->bucket, 1, LOG_RATE_BURST, now);
}

bool log_rate_take_event(LogRate *r, LogLevel level, LogEvent event, const Now *now, uint64_t *ret_suppressed) {
        LogRateEvent *e = &r->events[event];

        if (level >= LOG_LEVEL_INFO || level <= LOG_LEVEL_CRIT ||
            (level == LOG_LEVEL_NOTICE && event == LOG_EVENT_NONE)) {
                *ret_suppressed = 0;
                return true;
        }
        if (!event_take(e, level, event, now)) {
                e->n_suppressed++;
                e->level = level;
                return false;
        }
        *ret_suppressed = e->n_suppressed;
        e->n_suppressed = 0;
        return true;
}

bool log_rate_take_suppressed(LogRate *r, LogEvent event, const Now *now, LogLevel *ret_level, uint64_t *ret_n) {
        LogRateEvent *e = &r->events[event];

        if (e->n_suppressed == 0 || !event_take(e, e->level, event, now))
                return false;
        *ret_level = e->level;
        *ret_n = e->n_suppressed;
        e->n_suppressed = 0;
        return true;
}

bool log_rate_is_pending(const LogRate *r) {
        if (r->counts.n_all > 0)
                return true;
        for (size_t i = 0; i < ELEMENTSOF(r->events); i++)
                if (r->events[i].n_suppressed > 0)
                        return true;
        return false;
}
