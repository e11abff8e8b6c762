/* SPDX-License-Identifier: BSD-2-Clause */
#include "ctl/show.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>

#include "core/text.h"

#define CELL_MAX 4096
#define LINE_MAX_SIZE 4096
#define LABEL_WIDTH 13

const char *show_size(uint64_t bytes, char ret[SHOW_TEXT_SIZE]) {
        static const char units[] = "KMGTPE";

        if (bytes < 1024) {
                (void) snprintf(ret, SHOW_TEXT_SIZE, "%" PRIu64 "B", bytes);
                return ret;
        }
        for (unsigned i = 0;; i++) {
                unsigned shift = 10 * (i + 1);

                if (bytes >> shift < 1024 || units[i + 1] == '\0') {
                        uint64_t rest = (bytes >> (shift - 10)) & 1023;

                        (void) snprintf(ret, SHOW_TEXT_SIZE, "%" PRIu64 ".%" PRIu64 "%c", bytes >> shift,
                                        rest * 10 / 1024, units[i]);
                        return ret;
                }
        }
}

const char *show_duration(usec_t t, char ret[SHOW_TEXT_SIZE]) {
        if (t < USEC_PER_MSEC / 10)
                (void) snprintf(ret, SHOW_TEXT_SIZE, "%" PRIu64 "us", t);
        else if (t < 10 * USEC_PER_MSEC)
                (void) snprintf(ret, SHOW_TEXT_SIZE, "%" PRIu64 ".%" PRIu64 "ms", t / USEC_PER_MSEC,
                                t % USEC_PER_MSEC / 100);
        else if (t < USEC_PER_SEC)
                (void) snprintf(ret, SHOW_TEXT_SIZE, "%" PRIu64 "ms", t / USEC_PER_MSEC);
        else if (t < USEC_PER_MINUTE)
                (void) snprintf(ret, SHOW_TEXT_SIZE, "%" PRIu64 ".%" PRIu64 "s", t / USEC_PER_SEC,
                                t % USEC_PER_SEC / (USEC_PER_SEC / 10));
        else
                return show_timespan(t, ret);
        return ret;
}

const char *show_timespan(usec_t t, char ret[SHOW_TEXT_SIZE]) {
        static const struct {
                const char *name;
                usec_t usec;
        } units[] = {
                { "d", USEC_PER_DAY },
                { "h", USEC_PER_HOUR },
                { "min", USEC_PER_MINUTE },
                { "s", USEC_PER_SEC },
        };
        size_t i = 0;

        while (i + 1 < ELEMENTSOF(units) && t < units[i].usec)
                i++;
        if (i + 1 < ELEMENTSOF(units) && t % units[i].usec >= units[i + 1].usec)
                (void) snprintf(ret, SHOW_TEXT_SIZE, "%" PRIu64 "%s %" PRIu64 "%s", t / units[i].usec, units[i].name,
                                t % units[i].usec / units[i + 1].usec, units[i + 1].name);
        else
                (void) snprintf(ret, SHOW_TEXT_SIZE, "%" PRIu64 "%s", t / units[i].usec, units[i].name);
        return ret;
}

const char *show_digest(const char *hex, char ret[SHOW_TEXT_SIZE]) {
        Digest digest;

        if (!hex || digest_from_text(slice_of(hex), &digest) != 0)
                return strcpy(ret, "-");
        (void) snprintf(ret, SHOW_TEXT_SIZE, "%.4s…%s", hex, hex + 2 * DIGEST_SIZE - 4);
        return ret;
}

/* ---- tables ---- */

#define TABLE_COLUMNS_MAX 16

struct Table {
        size_t n_columns;
        bool right[TABLE_COLUMNS_MAX], cut[TABLE_COLUMNS_MAX];
        size_t width[TABLE_COLUMNS_MAX];
        char **cells;                   /* owned, also what they point to; the titles come first */
        size_t n_cells, n_allocated;
        bool failed;
};

/* Columns that a terminal needs, as long as nothing is wide or combining: characters. */
static size_t text_width(const char *s) {
        size_t n = 0;

        for (; *s; s++)
                n += ((unsigned char) *s & 0xC0) != 0x80;
        return n;
}

/* Bytes of the first n characters; s is longer than that. */
static size_t text_head(const char *s, size_t n) {
        size_t at = 0;

        for (;; at++)
                if (((unsigned char) s[at] & 0xC0) != 0x80 && n-- == 0)
                        return at;
}

static char *cell_make(Slice s, bool cut) {
        _cleanup_buf_ Buf b = BUF_INIT(CELL_MAX);

        if (s.size == 0)
                return strdup("-");
        if (text_escape(&b, s, CELL_MAX - 1) != 0 || buf_append_char(&b, '\0') != 0)
                return NULL;
        if (cut && text_width(b.data) > TABLE_CUT_WIDTH) {
                b.size = text_head(b.data, TABLE_CUT_WIDTH - 1);
                if (buf_append_string(&b, "…") != 0 || buf_append_char(&b, '\0') != 0)
                        return NULL;
        }
        return TAKE_PTR(b.data);
}

static void table_add_slice(Table *t, Slice s) {
        size_t column = t->n_cells % t->n_columns;
        char *cell;

        if (t->failed)
                return;
        if (t->n_cells == t->n_allocated) {
                size_t n = MAX_OF(2 * t->n_allocated, (size_t) 64);
                char **cells = reallocarray(t->cells, n, sizeof(*cells));

                if (!cells) {
                        t->failed = true;
                        return;
                }
                t->cells = cells;
                t->n_allocated = n;
        }
        cell = cell_make(s, t->cut[column]);
        if (!cell) {
                t->failed = true;
                return;
        }
        t->cells[t->n_cells++] = cell;
        t->width[column] = MAX_OF(t->width[column], text_width(cell));
}

int table_new(const char *titles, Table **ret) {
        _cleanup_(table_free_p) Table *t = calloc(1, sizeof(*t));
        Slice rest = slice_of(titles), s;
        Slice names[TABLE_COLUMNS_MAX];

        if (!t)
                return -ENOMEM;
        while (slice_split(&rest, ' ', &s)) {
                assert(t->n_columns < TABLE_COLUMNS_MAX);
                t->right[t->n_columns] = s.data[0] == '>';
                t->cut[t->n_columns] = s.data[0] == '~';
                if (t->right[t->n_columns] || t->cut[t->n_columns])
                        s = (Slice){ s.data + 1, s.size - 1 };
                names[t->n_columns++] = s;
        }
        for (size_t i = 0; i < t->n_columns; i++)
                table_add_slice(t, names[i]);
        *ret = TAKE_PTR(t);
        return 0;
}

Table *table_free(Table *t) {
        if (!t)
                return NULL;
        for (size_t i = 0; i < t->n_cells; i++)
                free(t->cells[i]);
        free(t->cells);
        free(t);
        return NULL;
}

void table_add(Table *t, const char *text) {
        table_add_slice(t, slice_of(text));
}

void table_add_uint(Table *t, uint64_t value) {
        char text[SHOW_TEXT_SIZE];

        (void) snprintf(text, sizeof(text), "%" PRIu64, value);
        table_add(t, text);
}

int table_print(const Table *t, FILE *f) {
        if (t->failed)
                return -ENOMEM;
        assert(t->n_cells % t->n_columns == 0);
        for (size_t i = 0; i < t->n_cells; i++) {
                size_t column = i % t->n_columns;
                bool last = column + 1 == t->n_columns;
                int pad = (int) (t->width[column] - text_width(t->cells[i]));

                if (t->right[column])
                        fprintf(f, "%*s%s", pad, "", t->cells[i]);
                else
                        fprintf(f, "%s%*s", t->cells[i], last ? 0 : pad, "");
                fputc(last ? '\n' : ' ', f);
        }
        return 0;
}

/* ---- lines and JSON ---- */

void show_line(FILE *f, const char *label, const char *format, ...) {
        _cleanup_buf_ Buf b = BUF_INIT(LINE_MAX_SIZE);
        char text[LINE_MAX_SIZE];
        va_list ap;

        va_start(ap, format);
        (void) vsnprintf(text, sizeof(text), format, ap);
        va_end(ap);
        if (text_escape(&b, slice_of(text), LINE_MAX_SIZE) != 0)
                return;
        fprintf(f, "%*s%s %.*s\n", LABEL_WIDTH, label ? label : "", label ? ":" : " ", (int) b.size, b.data);
}

int show_json(FILE *f, const json_t *value, ShowJson how) {
        _cleanup_free_ char *text = NULL;

        text = json_dumps(value, JSON_ENSURE_ASCII | (how == SHOW_JSON_PRETTY ? JSON_INDENT(8) : JSON_COMPACT));
        if (!text)
                return -ENOMEM;
        /* jansson leaves DEL as it is. It can stand in strings only. */
        for (const char *p = text; *p; p++)
                if (*p == 0x7f)
                        fputs("\\u007F", f);
                else
                        fputc(*p, f);
        fputc('\n', f);
        return 0;
}
