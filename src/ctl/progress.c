/* SPDX-License-Identifier: BSD-2-Clause */
#include "ctl/progress.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "ctl/show.h"

/* No line is longer, however wide the terminal. */
#define LINE_WIDTH_MAX 200
#define BAR_WIDTH_MIN 9
#define BAR_WIDTH_MAX 42
/* A holder that has less room says nothing. */
#define HOLDER_WIDTH_MIN 12
/* Of amount, rate and time left, in the usual case. */
#define AMOUNT_WIDTH 34
#define METER_STEP USEC_PER_SEC
/* A rate over less than that is noise. */
#define METER_MIN (USEC_PER_SEC / 5)

/* ---- rates ---- */

static void meter_put(Meter *m, uint64_t value, usec_t now) {
        /* It began anew, from another holder. */
        if (m->at[0] == 0 || value < m->value[1]) {
                *m = (Meter){ .at = { now, now }, .value = { value, value } };
                return;
        }
        if (usec_sub(now, m->at[1]) < METER_STEP)
                return;
        m->at[0] = m->at[1];
        m->value[0] = m->value[1];
        m->at[1] = now;
        m->value[1] = value;
}

/* Per second; 0: none, or not known yet. */
static uint64_t meter_rate(const Meter *m, uint64_t value, usec_t now) {
        usec_t elapsed = usec_sub(now, m->at[0]);

        if (m->at[0] == 0 || elapsed < METER_MIN || value <= m->value[0])
                return 0;
        return (uint64_t) ((double) (value - m->value[0]) * (double) USEC_PER_SEC / (double) elapsed);
}

/* ---- what is known ---- */

int progress_init(Progress *p, const uint32_t *numbers, size_t n, usec_t now) {
        ProgressItem *items = calloc(MAX_OF(n, (size_t) 1), sizeof(*items));

        if (!items)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++)
                items[i].number = numbers[i];
        *p = (Progress){ .items = items, .n = n, .begun_at = now };
        return 0;
}

void progress_done(Progress *p) {
        free(p->items);
        *p = (Progress){};
}

static uint64_t total_received(const Progress *p) {
        uint64_t total = 0;

        for (size_t i = 0; i < p->n; i++)
                total += p->items[i].received;
        return total;
}

void progress_update(Progress *p, size_t place, ProgressState state, uint64_t size, uint64_t received,
                     const char *holder, usec_t now) {
        ProgressItem *item = &p->items[place];
        Endpoint endpoint;

        /* Searching was no transfer, of whatever speed. */
        if (item->state != state)
                item->meter = (Meter){};
        item->state = state;
        item->size = size;
        item->received = MIN_OF(received, size);
        item->holder[0] = '\0';
        if (holder && endpoint_from_text(slice_of(holder), &endpoint) == 0)
                endpoint_to_text(&endpoint, item->holder);
        meter_put(&item->meter, item->received, now);
}

/* ---- lines ---- */

/* "3s left", for what is known to come at a known rate. */
static const char *left_text(uint64_t missing, uint64_t rate, char ret[SHOW_TEXT_SIZE]) {
        char span[SHOW_TEXT_SIZE];

        if (rate == 0)
                return strcpy(ret, "");
        /* Rounded up: what takes less than a second is not there yet. */
        (void) snprintf(ret, SHOW_TEXT_SIZE, "%.20s left",
                        show_timespan((missing / rate + 1) * USEC_PER_SEC, span));
        return ret;
}

static void put_bar(char *line, size_t size, uint64_t received, uint64_t total, unsigned width) {
        unsigned inside = width - 2;
        unsigned full = total > 0 ? (unsigned) ((double) received / (double) total * inside) : 0;
        size_t at = strlen(line);

        if (at + width + 2 > size)
                return;
        line[at++] = ' ';
        line[at++] = '[';
        for (unsigned i = 0; i < inside; i++)
                line[at++] = i < full ? '=' : i == full ? '>' : ' ';
        line[at++] = ']';
        line[at] = '\0';
}

/* One that is being fetched, in at most `width` columns: what does not fit is left out, the bar and the holder first. */
static void fetching_line(const ProgressItem *item, usec_t now, unsigned width, char line[LINE_WIDTH_MAX + 1]) {
        char received[SHOW_TEXT_SIZE], size[SHOW_TEXT_SIZE], rate[SHOW_TEXT_SIZE], left[SHOW_TEXT_SIZE];
        uint64_t per_second = meter_rate(&item->meter, item->received, now);
        unsigned percent = item->size > 0 ? (unsigned) ((double) item->received * 100 / (double) item->size) : 0;
        unsigned holder = (unsigned) strlen(item->holder);
        char amount[128];
        int head, used, rest;

        head = snprintf(line, LINE_WIDTH_MAX + 1, "RFC %" PRIu32 " %3u%%", item->number, percent);
        used = snprintf(amount, sizeof(amount), " %s/%s %s/s %s", show_size(item->received, received),
                        show_size(item->size, size), per_second > 0 ? show_size(per_second, rate) : "-",
                        left_text(item->size - item->received, per_second, left));
        /* Nothing jumps when a number gains a digit. */
        used = MAX_OF(used, AMOUNT_WIDTH);
        rest = (int) width - head - used;
        if (rest < 0)
                return;
        if (rest > BAR_WIDTH_MIN) {
                int bar = MIN_OF(rest - 1 - (holder > 0 ? (int) holder + 1 : 0), BAR_WIDTH_MAX);

                put_bar(line, LINE_WIDTH_MAX + 1, item->received, item->size, (unsigned) MAX_OF(bar, BAR_WIDTH_MIN));
        }
        head = (int) strlen(line);
        rest = (int) width - head - used - 1;
        if (rest < HOLDER_WIDTH_MIN && rest < (int) holder)
                (void) snprintf(line + head, LINE_WIDTH_MAX + 1 - (size_t) head, "%s", amount);
        else
                (void) snprintf(line + head, LINE_WIDTH_MAX + 1 - (size_t) head, "%-*s %.*s", used, amount, rest,
                                item->holder);
}

static void item_line(const ProgressItem *item, usec_t now, unsigned width, char line[LINE_WIDTH_MAX + 1]) {
        if (item->state == PROGRESS_FETCHING)
                fetching_line(item, now, width, line);
        else
                (void) snprintf(line, LINE_WIDTH_MAX + 1, "RFC %" PRIu32 " being searched for", item->number);
}

/* All together. Its time left needs all sizes, which are known one after the other. */
static void sum_line(Progress *p, size_t n_done, usec_t now, char line[LINE_WIDTH_MAX + 1]) {
        char received[SHOW_TEXT_SIZE], size[SHOW_TEXT_SIZE], rate[SHOW_TEXT_SIZE], left[SHOW_TEXT_SIZE] = "";
        uint64_t total = total_received(p), per_second = meter_rate(&p->meter, total, now), all = 0;
        bool known = true;

        for (size_t i = 0; i < p->n; i++) {
                all += p->items[i].size;
                known = known && (p->items[i].size > 0 || p->items[i].state == PROGRESS_DONE);
        }
        if (known)
                (void) left_text(all - total, per_second, left);
        (void) snprintf(line, LINE_WIDTH_MAX + 1, "%zu of %zu done, %s%s%s %s/s %s", n_done, p->n,
                        show_size(total, received), known ? "/" : "", known ? show_size(all, size) : "",
                        per_second > 0 ? show_size(per_second, rate) : "-", left);
}

void progress_set_sum(Progress *p, const ProgressSum *sum) {
        p->summed = true;
        p->sum = *sum;
}

/* All that stands in one line, in at most `width` columns: the bar goes first. */
static void summed_line(const ProgressSum *sum, unsigned width, char line[LINE_WIDTH_MAX + 1]) {
        char received[SHOW_TEXT_SIZE], size[SHOW_TEXT_SIZE], rate[SHOW_TEXT_SIZE], left[SHOW_TEXT_SIZE] = "";
        char span[SHOW_TEXT_SIZE], amount[128];
        int used;

        if (sum->doing) {
                (void) snprintf(line, LINE_WIDTH_MAX + 1, "%s", sum->doing);
                return;
        }
        if (sum->left != USEC_INFINITY)
                (void) snprintf(left, sizeof(left), "%.20s left", show_timespan(sum->left + USEC_PER_SEC, span));
        used = snprintf(amount, sizeof(amount), " %s/%s %s/s %s", show_size(sum->received, received),
                        show_size(sum->size, size), sum->rate > 0 ? show_size(sum->rate, rate) : "-", left);
        used = MAX_OF(used, AMOUNT_WIDTH);
        (void) snprintf(line, LINE_WIDTH_MAX + 1, "%" PRIu64 " of %" PRIu64 " RFCs", sum->n_done, sum->n);
        int rest = (int) width - (int) strlen(line) - used;
        if (rest > BAR_WIDTH_MIN)
                put_bar(line, LINE_WIDTH_MAX + 1, sum->received, sum->size, (unsigned) MIN_OF(rest - 1, BAR_WIDTH_MAX));
        (void) snprintf(line + strlen(line), LINE_WIDTH_MAX + 1 - strlen(line), "%s", amount);
}

/* ---- drawing ---- */

static int put_line(Buf *out, const char *line, unsigned width) {
        int n = (int) strlen(line);

        while (n > 0 && line[n - 1] == ' ')
                n--;
        /* Plain ASCII: a byte is a column. */
        return buf_printf(out, "%.*s\x1b[K\n", MIN_OF(n, (int) width), line);
}

static int cursor_up(const Progress *p, Buf *out) {
        return p->n_drawn > 0 ? buf_printf(out, "\r\x1b[%uA", p->n_drawn) : 0;
}

/* The items of one state, as long as there is room; *n lines. */
static int draw_items(const Progress *p, ProgressState state, usec_t now, unsigned width, size_t max, Buf *out,
                      unsigned *n) {
        int r = 0;

        for (size_t i = 0; r == 0 && i < p->n && *n < max; i++) {
                char line[LINE_WIDTH_MAX + 1];

                if (p->items[i].state != state)
                        continue;
                item_line(&p->items[i], now, width, line);
                r = put_line(out, line, width);
                ++*n;
        }
        return r;
}

int progress_draw(Progress *p, usec_t now, unsigned width, unsigned height, Buf *out) {
        unsigned columns = MIN_OF(MAX_OF(width, 2u) - 1, (unsigned) LINE_WIDTH_MAX), n = 0;
        unsigned n_before = p->n_drawn;
        size_t n_done = 0, max = height > 2 ? height - (p->n > 1 ? 2 : 1) : 1;
        int r;

        meter_put(&p->meter, total_received(p), now);
        if (usec_sub(now, p->begun_at) < PROGRESS_DELAY)
                return 0;
        for (size_t i = 0; i < p->n; i++)
                n_done += p->items[i].state == PROGRESS_DONE;
        r = cursor_up(p, out);
        if (r == 0 && p->summed) {
                char line[LINE_WIDTH_MAX + 1];

                summed_line(&p->sum, columns, line);
                p->n_drawn = 1;
                return put_line(out, line, columns);
        }
        if (r == 0)
                r = draw_items(p, PROGRESS_FETCHING, now, columns, max, out, &n);
        if (r == 0)
                r = draw_items(p, PROGRESS_SEARCHING, now, columns, max, out, &n);
        if (r == 0 && p->n > 1 && n_done < p->n && height > 2) {
                char line[LINE_WIDTH_MAX + 1];

                sum_line(p, n_done, now, line);
                r = put_line(out, line, columns);
                n++;
        }
        if (r == 0 && n < n_before)
                r = buf_append_string(out, "\x1b[J");
        p->n_drawn = n;
        return r;
}

int progress_erase(Progress *p, Buf *out) {
        int r = 0;

        if (p->n_drawn > 0)
                r = cursor_up(p, out);
        if (r == 0 && p->n_drawn > 0)
                r = buf_append_string(out, "\x1b[J");
        p->n_drawn = 0;
        return r;
}
