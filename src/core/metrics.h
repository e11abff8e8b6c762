/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * Metrics: what is counted, as OpenMetrics 1.0 text. A daemon has one table of its metrics, which this writes; the
 * manual is compared with it. Knows no daemon, and counts nothing but durations.
 *
 * A label takes its values from a set that is fixed when the program starts, so that a reader's memory is bounded:
 * never an address, a name or a number from outside.
 */

#include "core/base.h"
#include "core/buf.h"

#include <stdatomic.h>

typedef enum MetricType {
        METRIC_GAUGE,
        METRIC_COUNTER,
        METRIC_HISTOGRAM,
} MetricType;
/* "gauge", "counter", "histogram" */
const char *metric_type_name(MetricType type);

typedef struct MetricInfo {
        const char *name;               /* "p2pdi_rs_leaves_total": as it is asked for, so counters end with _total */
        MetricType type;
        const char *unit;               /* "seconds", "bytes", "": none. The name ends with it (before _total) */
        const char *labels;             /* "kind=full|unchanged|;result=ok|failed|": see METRIC_VALUE(); "": none */
        const char *help;               /* one sentence */
} MetricInfo;

/*
 * For a set of values that is an enum, too: given to a list X(NAME, "value") it makes the part behind the '=' of a
 * label, so that a value of the enum is the place of its word.
 */
#define METRIC_VALUE(name, value) value "|"

/* How many series there are: the product of the numbers of values of its labels; 1 without any. */
size_t metric_n_series(const MetricInfo *m);

/* ---- histograms ---- */

/*
 * Upper bounds in seconds: 1, 2.5 and 5 of each power of ten. The lowest, 100 µs, is what a request takes that is
 * answered from memory on a busy host; the highest, 100 s, what a usual RFC of 100 kB takes at the default
 * MinTransferRate=. Three of a power of ten: what is read off between two is wrong by less than a factor of 2.5, at the
 * cost of 20 lines.
 */
#define HISTOGRAM_BOUNDS(X)                                                                                            \
        X(100, "0.0001") X(250, "0.00025") X(500, "0.0005")                                                            \
        X(1000, "0.001") X(2500, "0.0025") X(5000, "0.005")                                                            \
        X(10000, "0.01") X(25000, "0.025") X(50000, "0.05")                                                            \
        X(100000, "0.1") X(250000, "0.25") X(500000, "0.5")                                                            \
        X(1000000, "1.0") X(2500000, "2.5") X(5000000, "5.0")                                                          \
        X(10000000, "10.0") X(25000000, "25.0") X(50000000, "50.0")                                                    \
        X(100000000, "100.0")
#define HISTOGRAM_ONE(usec, text) +1
#define HISTOGRAM_N_BOUNDS (0 HISTOGRAM_BOUNDS(HISTOGRAM_ONE))

/* Zeroed: nothing observed. Any number of threads may observe at once, and one write meanwhile. */
typedef struct Histogram {
        atomic_uint_fast64_t buckets[HISTOGRAM_N_BOUNDS + 1];   /* of each bound alone; the last: over all of them */
        atomic_uint_fast64_t sum_usec;
} Histogram;

/* A duration of over a year counts as a year: so no sum overflows. */
void histogram_observe(Histogram *h, usec_t duration);

/* ---- writing: 0, BUF_FULL, -ENOMEM; all or nothing ---- */

/* Instead of a value: there is no such series, or nothing is known of it now. Its line is left out. */
#define METRIC_NO_VALUE UINT64_MAX

/*
 * A gauge or a counter: head and one line for each series. values: metric_n_series() of them, the last label's going
 * round first.
 */
int metrics_write(Buf *b, const MetricInfo *m, const uint64_t *values) _must_check_;
/* The same of a histogram: one for each series. */
int metrics_write_histogram(Buf *b, const MetricInfo *m, const Histogram *const *histograms) _must_check_;
/* Behind the last one: without it a reader takes the text for cut short. */
int metrics_write_end(Buf *b) _must_check_;
