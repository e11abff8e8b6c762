/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/metrics.h"

#include "core/text.h"

/* More labels at one metric than any has. */
#define LABELS_MAX 4
#define TOTAL "_total"

static const struct {
        usec_t usec;
        const char *text;
} bounds[] = {
#define BOUND(usec, text) { usec, text },
        HISTOGRAM_BOUNDS(BOUND)
#undef BOUND
};

const char *metric_type_name(MetricType type) {
        static const char *const names[] = {
                [METRIC_GAUGE] = "gauge",
                [METRIC_COUNTER] = "counter",
                [METRIC_HISTOGRAM] = "histogram",
        };
        return names[type];
}

/* ---- labels ---- */

typedef struct Label {
        Slice key, values;              /* "ok|failed|" */
        size_t n_values;
} Label;

static size_t count_values(Slice values) {
        size_t n = 0;
        for (size_t i = 0; i < values.size; i++)
                n += values.data[i] == '|';
        return n;
}

static size_t split_labels(const MetricInfo *m, Label ret[LABELS_MAX]) {
        Slice rest = slice_of(m->labels), label;
        size_t n = 0;

        while (rest.size > 0 && slice_split(&rest, ';', &label)) {
                assert(n < LABELS_MAX);
                bool has_key = slice_split(&label, '=', &ret[n].key);
                assert(has_key);
                (void) has_key;
                ret[n].values = label;
                ret[n++].n_values = count_values(label);
        }
        return n;
}

static Slice value_at(const Label *l, size_t i) {
        Slice rest = l->values, value = {};
        for (size_t n = 0; n <= i; n++)
                if (!slice_split(&rest, '|', &value))
                        break;
        return value;
}

size_t metric_n_series(const MetricInfo *m) {
        Label labels[LABELS_MAX];
        size_t n = split_labels(m, labels), n_series = 1;
        for (size_t i = 0; i < n; i++)
                n_series *= labels[i].n_values;
        return n_series;
}

/* ---- histograms ---- */

void histogram_observe(Histogram *h, usec_t duration) {
        size_t i = 0;

        duration = MIN_OF(duration, 365 * USEC_PER_DAY);
        while (i < ELEMENTSOF(bounds) && duration > bounds[i].usec)
                i++;
        atomic_fetch_add_explicit(&h->buckets[i], 1, memory_order_relaxed);
        atomic_fetch_add_explicit(&h->sum_usec, duration, memory_order_relaxed);
}

/* ---- writing ---- */

/* Of help and of the value of a label: what the format escapes, which is not what a terminal needs. */
static int append_escaped(Buf *b, Slice s) {
        int r = 0;
        for (size_t i = 0; r == 0 && i < s.size; i++) {
                if (s.data[i] == '\n')
                        r = buf_append_string(b, "\\n");
                else if (s.data[i] == '"' || s.data[i] == '\\')
                        r = buf_printf(b, "\\%c", s.data[i]);
                else
                        r = buf_append_char(b, s.data[i]);
        }
        return r;
}

/* What a metric is called where its lines are described: a counter without _total. */
static Slice family_of(const MetricInfo *m) {
        Slice name = slice_of(m->name);
        if (m->type == METRIC_COUNTER) {
                assert(name.size > strlen(TOTAL) && strcmp(m->name + name.size - strlen(TOTAL), TOTAL) == 0);
                name.size -= strlen(TOTAL);
        }
        return name;
}

static int write_head(Buf *b, const MetricInfo *m) {
        const Slice family = family_of(m);
        int r = buf_printf(b, "# TYPE %.*s %s\n", (int) family.size, family.data, metric_type_name(m->type));
        if (r == 0 && m->unit[0])
                r = buf_printf(b, "# UNIT %.*s %s\n", (int) family.size, family.data, m->unit);
        if (r == 0)
                r = buf_printf(b, "# HELP %.*s ", (int) family.size, family.data);
        if (r == 0)
                r = append_escaped(b, slice_of(m->help));
        return r == 0 ? buf_append_char(b, '\n') : r;
}

/* {kind="full",result="ok"} of that series, and le where it is not NULL; nothing without any. */
static int write_labels(Buf *b, const MetricInfo *m, size_t series, const char *le) {
        Label labels[LABELS_MAX];
        size_t n = split_labels(m, labels), n_inner = metric_n_series(m);
        const char *before = "{";
        int r = 0;

        for (size_t i = 0; r == 0 && i < n; i++) {
                n_inner /= labels[i].n_values;
                r = buf_printf(b, "%s%.*s=\"", before, (int) labels[i].key.size, labels[i].key.data);
                if (r == 0)
                        r = append_escaped(b, value_at(&labels[i], series / n_inner % labels[i].n_values));
                if (r == 0)
                        r = buf_append_char(b, '"');
                before = ",";
        }
        if (r == 0 && le) {
                r = buf_printf(b, "%sle=\"%s\"", before, le);
                before = ",";
        }
        return r == 0 && before[0] == ',' ? buf_append_char(b, '}') : r;
}

/* One line up to its value. */
static int write_series(Buf *b, const MetricInfo *m, const char *suffix, size_t series, const char *le) {
        int r = buf_printf(b, "%s%s", m->name, suffix);
        if (r == 0)
                r = write_labels(b, m, series, le);
        return r == 0 ? buf_append_char(b, ' ') : r;
}

static int write_number(Buf *b, uint64_t value) {
        int r = buf_append_decimal(b, value);
        return r == 0 ? buf_append_char(b, '\n') : r;
}

static int all_or_nothing(Buf *b, size_t before, int r) {
        if (r != 0)
                buf_truncate(b, before);
        return r;
}

int metrics_write(Buf *b, const MetricInfo *m, const uint64_t *values) {
        const size_t before = b->size, n = metric_n_series(m);

        assert(m->type != METRIC_HISTOGRAM);
        int r = write_head(b, m);
        for (size_t i = 0; r == 0 && i < n; i++) {
                if (values[i] == METRIC_NO_VALUE)
                        continue;
                r = write_series(b, m, "", i, NULL);
                if (r == 0)
                        r = write_number(b, values[i]);
        }
        return all_or_nothing(b, before, r);
}

static int write_histogram(Buf *b, const MetricInfo *m, size_t series, const Histogram *h) {
        /* The sum is read first: so what is observed meanwhile is counted at least where it is summed up. */
        const uint64_t sum = atomic_load(&h->sum_usec);
        uint64_t n = 0;
        int r = 0;

        /* The count is that of the buckets, whatever is observed meanwhile: a reader holds them against each other. */
        for (size_t i = 0; r == 0 && i < ELEMENTSOF(h->buckets); i++) {
                n += atomic_load(&h->buckets[i]);
                r = write_series(b, m, "_bucket", series, i < ELEMENTSOF(bounds) ? bounds[i].text : "+Inf");
                if (r == 0)
                        r = write_number(b, n);
        }
        if (r == 0)
                r = write_series(b, m, "_count", series, NULL);
        if (r == 0)
                r = write_number(b, n);
        if (r == 0)
                r = write_series(b, m, "_sum", series, NULL);
        return r != 0 ? r :
                        buf_printf(b, "%llu.%06llu\n", (unsigned long long) (sum / USEC_PER_SEC),
                                   (unsigned long long) (sum % USEC_PER_SEC));
}

int metrics_write_histogram(Buf *b, const MetricInfo *m, const Histogram *const *histograms) {
        const size_t before = b->size, n = metric_n_series(m);

        assert(m->type == METRIC_HISTOGRAM);
        int r = write_head(b, m);
        for (size_t i = 0; r == 0 && i < n; i++)
                r = write_histogram(b, m, i, histograms[i]);
        return all_or_nothing(b, before, r);
}

int metrics_write_end(Buf *b) {
        return buf_append_string(b, "# EOF\n");
}
