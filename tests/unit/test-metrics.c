/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>

#include "core/metrics.h"
#include "peerd/metrics.h"
#include "rsd/metrics.h"

static void expect(const Buf *b, const char *text) {
        const Slice found = buf_slice(b);
        if (!slice_equal(found, slice_of(text)))
                fail_msg("found:\n%.*s\nexpected:\n%s", (int) found.size, found.data, text);
}

/* ---- the format ---- */

static void test_gauge_without_labels(void **state) {
        const MetricInfo m = { "p2pdi_rs_connections", METRIC_GAUGE, "", "", "Open connections." };
        _cleanup_buf_ Buf b = BUF_INIT(4096);

        (void) state;
        assert_int_equal(metric_n_series(&m), 1);
        assert_int_equal(metrics_write(&b, &m, &(uint64_t){ 7 }), 0);
        expect(&b, "# TYPE p2pdi_rs_connections gauge\n"
                   "# HELP p2pdi_rs_connections Open connections.\n"
                   "p2pdi_rs_connections 7\n");
}

static void test_counter_is_described_without_total_and_with_its_unit(void **state) {
        const MetricInfo m = { "x_sent_bytes_total", METRIC_COUNTER, "bytes", "", "Bytes." };
        _cleanup_buf_ Buf b = BUF_INIT(4096);

        (void) state;
        assert_int_equal(metrics_write(&b, &m, &(uint64_t){ UINT64_MAX - 1 }), 0);
        expect(&b, "# TYPE x_sent_bytes counter\n"
                   "# UNIT x_sent_bytes bytes\n"
                   "# HELP x_sent_bytes Bytes.\n"
                   "x_sent_bytes_total 18446744073709551614\n");
}

static void test_labels_go_round_from_the_last(void **state) {
        const MetricInfo m = { "x_total", METRIC_COUNTER, "", "kind=a|b|;result=ok|bad|worse|", "X." };
        const uint64_t values[] = { 1, 2, 3, 4, METRIC_NO_VALUE, 6 };
        _cleanup_buf_ Buf b = BUF_INIT(4096);

        (void) state;
        assert_int_equal(metric_n_series(&m), 6);
        assert_int_equal(metrics_write(&b, &m, values), 0);
        expect(&b, "# TYPE x counter\n"
                   "# HELP x X.\n"
                   "x_total{kind=\"a\",result=\"ok\"} 1\n"
                   "x_total{kind=\"a\",result=\"bad\"} 2\n"
                   "x_total{kind=\"a\",result=\"worse\"} 3\n"
                   "x_total{kind=\"b\",result=\"ok\"} 4\n"
                   "x_total{kind=\"b\",result=\"worse\"} 6\n");
}

static void test_quotes_backslashes_and_line_ends_are_escaped(void **state) {
        const MetricInfo m = { "x", METRIC_GAUGE, "", "l=a\"b\\c\nd\te|", "Say \"x\\y\"\nand z." };
        _cleanup_buf_ Buf b = BUF_INIT(4096);

        (void) state;
        assert_int_equal(metrics_write(&b, &m, &(uint64_t){ 0 }), 0);
        expect(&b, "# TYPE x gauge\n"
                   "# HELP x Say \\\"x\\\\y\\\"\\nand z.\n"
                   "x{l=\"a\\\"b\\\\c\\nd\te\"} 0\n");
}

static void test_end(void **state) {
        _cleanup_buf_ Buf b = BUF_INIT(4096);

        (void) state;
        assert_int_equal(metrics_write_end(&b), 0);
        expect(&b, "# EOF\n");
}

static void test_too_long_a_text_adds_nothing(void **state) {
        const MetricInfo gauge = { "x", METRIC_GAUGE, "", "l=a|b|", "X." };
        const MetricInfo histogram = { "y_seconds", METRIC_HISTOGRAM, "seconds", "", "Y." };
        Histogram h = {};

        (void) state;
        for (size_t max = 4; max < 53; max++) {
                _cleanup_buf_ Buf b = BUF_INIT(max);

                assert_int_equal(buf_append_string(&b, "old\n"), 0);
                assert_int_equal(metrics_write(&b, &gauge, (const uint64_t[]){ 1, 2 }), BUF_FULL);
                assert_int_equal(metrics_write_histogram(&b, &histogram, (const Histogram *[]){ &h }), BUF_FULL);
                expect(&b, "old\n");
        }
        _cleanup_buf_ Buf b = BUF_INIT(53);
        assert_int_equal(buf_append_string(&b, "old\n"), 0);
        assert_int_equal(metrics_write(&b, &gauge, (const uint64_t[]){ 1, 2 }), 0);
        assert_int_equal(b.size, 53);
}

/* ---- histograms ---- */

static void test_histogram_byte_by_byte(void **state) {
        const MetricInfo m = { "y_seconds", METRIC_HISTOGRAM, "seconds", "", "Y." };
        Histogram h = {};
        _cleanup_buf_ Buf b = BUF_INIT(8192);

        (void) state;
        histogram_observe(&h, 0);
        histogram_observe(&h, 100);             /* a bound is within its bucket */
        histogram_observe(&h, 101);
        histogram_observe(&h, 2 * USEC_PER_SEC);
        histogram_observe(&h, 100 * USEC_PER_SEC + 1);
        assert_int_equal(metrics_write_histogram(&b, &m, (const Histogram *[]){ &h }), 0);
        expect(&b, "# TYPE y_seconds histogram\n"
                   "# UNIT y_seconds seconds\n"
                   "# HELP y_seconds Y.\n"
                   "y_seconds_bucket{le=\"0.0001\"} 2\n"
                   "y_seconds_bucket{le=\"0.00025\"} 3\n"
                   "y_seconds_bucket{le=\"0.0005\"} 3\n"
                   "y_seconds_bucket{le=\"0.001\"} 3\n"
                   "y_seconds_bucket{le=\"0.0025\"} 3\n"
                   "y_seconds_bucket{le=\"0.005\"} 3\n"
                   "y_seconds_bucket{le=\"0.01\"} 3\n"
                   "y_seconds_bucket{le=\"0.025\"} 3\n"
                   "y_seconds_bucket{le=\"0.05\"} 3\n"
                   "y_seconds_bucket{le=\"0.1\"} 3\n"
                   "y_seconds_bucket{le=\"0.25\"} 3\n"
                   "y_seconds_bucket{le=\"0.5\"} 3\n"
                   "y_seconds_bucket{le=\"1.0\"} 3\n"
                   "y_seconds_bucket{le=\"2.5\"} 4\n"
                   "y_seconds_bucket{le=\"5.0\"} 4\n"
                   "y_seconds_bucket{le=\"10.0\"} 4\n"
                   "y_seconds_bucket{le=\"25.0\"} 4\n"
                   "y_seconds_bucket{le=\"50.0\"} 4\n"
                   "y_seconds_bucket{le=\"100.0\"} 4\n"
                   "y_seconds_bucket{le=\"+Inf\"} 5\n"
                   "y_seconds_count 5\n"
                   "y_seconds_sum 102.000202\n");
}

static void test_histogram_of_each_label(void **state) {
        const MetricInfo m = { "y_seconds", METRIC_HISTOGRAM, "seconds", "direction=up|down|", "Y." };
        Histogram h[2] = {};
        _cleanup_buf_ Buf b = BUF_INIT(8192);

        (void) state;
        histogram_observe(&h[1], 300);
        assert_int_equal(metrics_write_histogram(&b, &m, (const Histogram *[]){ &h[0], &h[1] }), 0);
        assert_int_equal(buf_append_char(&b, 0), 0);
        assert_non_null(strstr(b.data, "y_seconds_bucket{direction=\"up\",le=\"+Inf\"} 0\n"
                                       "y_seconds_count{direction=\"up\"} 0\n"
                                       "y_seconds_sum{direction=\"up\"} 0.000000\n"
                                       "y_seconds_bucket{direction=\"down\",le=\"0.0001\"} 0\n"
                                       "y_seconds_bucket{direction=\"down\",le=\"0.00025\"} 0\n"
                                       "y_seconds_bucket{direction=\"down\",le=\"0.0005\"} 1\n"));
}

static void test_endless_durations_overflow_no_sum(void **state) {
        Histogram h = {};

        (void) state;
        for (unsigned i = 0; i < 1000; i++)
                histogram_observe(&h, USEC_INFINITY);
        assert_int_equal(atomic_load(&h.buckets[HISTOGRAM_N_BOUNDS]), 1000);
        assert_int_equal(atomic_load(&h.sum_usec), 1000 * 365 * USEC_PER_DAY);
}

/* The texts of the bounds say what the numbers are, and they ascend. */
static void test_bounds_are_what_they_say(void **state) {
        usec_t last = 0;

        (void) state;
#define CHECK(usec, text)                                                                                              \
        assert_true((usec) > last);                                                                                    \
        last = (usec);                                                                                                 \
        assert_true((uint64_t) (strtod(text, NULL) * 1e6 + 0.5) == (usec));
        HISTOGRAM_BOUNDS(CHECK)
#undef CHECK
}

/* ---- the tables of the daemons ---- */

static const MetricInfo tables[] = {
#define INFO(id, type, name, unit, labels, help) { name, METRIC_##type, unit, labels, help },
        RSD_METRICS(INFO) PEERD_METRICS(INFO)
#undef INFO
};

static bool is_word(const char *s, const char *also) {
        for (; *s; s++)
                if (!(*s >= 'a' && *s <= 'z') && !(*s >= '0' && *s <= '9') && !strchr(also, *s))
                        return false;
        return true;
}

static bool ends_with(const char *s, const char *end) {
        size_t n = strlen(s), k = strlen(end);
        return n >= k && strcmp(s + n - k, end) == 0;
}

static void test_names_follow_the_rules(void **state) {
        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(tables); i++) {
                const MetricInfo *m = &tables[i];
                char unit[64];

                assert_true(strncmp(m->name, "p2pdi_rs_", 9) == 0 || strncmp(m->name, "p2pdi_peer_", 11) == 0);
                assert_true(is_word(m->name, "_"));
                assert_int_equal(ends_with(m->name, "_total"), m->type == METRIC_COUNTER);
                /* What the format keeps for itself. */
                assert_false(ends_with(m->name, "_count") || ends_with(m->name, "_sum") ||
                             ends_with(m->name, "_bucket") || ends_with(m->name, "_created") ||
                             ends_with(m->name, "_info"));
                (void) snprintf(unit, sizeof(unit), "_%s%s", m->unit, m->type == METRIC_COUNTER ? "_total" : "");
                if (m->unit[0])
                        assert_true(ends_with(m->name, unit));
                assert_true(m->type != METRIC_HISTOGRAM || strcmp(m->unit, "seconds") == 0);
                assert_true(ends_with(m->help, ".") && !strchr(m->help, '\n'));
                for (size_t k = 0; k < i; k++)
                        assert_string_not_equal(m->name, tables[k].name);
        }
}

static void test_labels_are_complete(void **state) {
        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(tables); i++) {
                const char *labels = tables[i].labels;
                size_t n = strlen(labels);

                assert_true(n == 0 || labels[n - 1] == '|');
                assert_null(strstr(labels, "||"));
                assert_null(strstr(labels, "=|"));
                assert_true(metric_n_series(&tables[i]) >= 1);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_gauge_without_labels),
                cmocka_unit_test(test_counter_is_described_without_total_and_with_its_unit),
                cmocka_unit_test(test_labels_go_round_from_the_last),
                cmocka_unit_test(test_quotes_backslashes_and_line_ends_are_escaped),
                cmocka_unit_test(test_end),
                cmocka_unit_test(test_too_long_a_text_adds_nothing),
                cmocka_unit_test(test_histogram_byte_by_byte),
                cmocka_unit_test(test_histogram_of_each_label),
                cmocka_unit_test(test_endless_durations_overflow_no_sum),
                cmocka_unit_test(test_bounds_are_what_they_say),
                cmocka_unit_test(test_names_follow_the_rules),
                cmocka_unit_test(test_labels_are_complete),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
