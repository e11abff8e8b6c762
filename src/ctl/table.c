/* SPDX-License-Identifier: BSD-2-Clause */
#include "ctl/table.h"

#include <errno.h>
#include <inttypes.h>

#include "core/text.h"

#define CELL_MAX 4096
#define TABLE_COLUMNS_MAX 16

typedef struct Cell {
        char *text;                     /* owned; escaped */
        ShowColour colour;
} Cell;

struct Table {
        size_t n_columns;
        bool right[TABLE_COLUMNS_MAX], cut[TABLE_COLUMNS_MAX];
        size_t title_width[TABLE_COLUMNS_MAX], width[TABLE_COLUMNS_MAX];        /* width: without the title */
        Cell *cells;                    /* owned; the titles come first */
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

static void add(Table *t, Slice s, ShowColour colour) {
        size_t column = t->n_cells % t->n_columns, *width;
        char *text;

        if (t->failed)
                return;
        if (t->n_cells == t->n_allocated) {
                size_t n = MAX_OF(2 * t->n_allocated, (size_t) 64);
                Cell *cells = reallocarray(t->cells, n, sizeof(*cells));

                if (!cells) {
                        t->failed = true;
                        return;
                }
                t->cells = cells;
                t->n_allocated = n;
        }
        text = cell_make(s, t->cut[column]);
        if (!text) {
                t->failed = true;
                return;
        }
        width = t->n_cells < t->n_columns ? t->title_width : t->width;
        width[column] = MAX_OF(width[column], text_width(text));
        t->cells[t->n_cells++] = (Cell){ text, colour };
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
                add(t, names[i], SHOW_PLAIN);
        *ret = TAKE_PTR(t);
        return 0;
}

Table *table_free(Table *t) {
        if (!t)
                return NULL;
        for (size_t i = 0; i < t->n_cells; i++)
                free(t->cells[i].text);
        free(t->cells);
        free(t);
        return NULL;
}

void table_add(Table *t, const char *text) {
        add(t, slice_of(text), SHOW_PLAIN);
}

void table_add_uint(Table *t, uint64_t value) {
        char text[SHOW_TEXT_SIZE];

        (void) snprintf(text, sizeof(text), "%" PRIu64, value);
        table_add(t, text);
}

void table_add_state(Table *t, const char *text) {
        static const struct {
                const char *state;
                ShowColour colour;
        } states[] = {
                { "active", SHOW_GREEN },     { "own", SHOW_GREEN },       { "current", SHOW_GREEN },
                { "ok", SHOW_GREEN },         { "quarantined", SHOW_RED }, { "refused", SHOW_RED },
                { "timeout", SHOW_RED },      { "broken", SHOW_RED },      { "malformed", SHOW_RED },
                { "last-known", SHOW_GREY },  { "unlisted", SHOW_GREY },   { "absent", SHOW_GREY },
                { "obsolete", SHOW_GREY },    { "unchanged", SHOW_GREEN },
                { "verified", SHOW_GREEN },   { "agreed", SHOW_GREEN },    { "disputed", SHOW_RED },
        };
        ShowColour colour = SHOW_PLAIN;

        for (size_t i = 0; text && i < ELEMENTSOF(states); i++)
                if (strcmp(states[i].state, text) == 0)
                        colour = states[i].colour;
        add(t, slice_of(text), colour);
}

size_t table_rows(const Table *t) {
        return t->n_cells / t->n_columns - 1;
}

/* Columns and the blanks between them; the last one becomes narrower if that is too much. */
static void fit(const Table *t, const ShowStyle *style, size_t width[TABLE_COLUMNS_MAX]) {
        size_t last = t->n_columns - 1, before = last;

        for (size_t i = 0; i < t->n_columns; i++)
                width[i] = style->header ? MAX_OF(t->width[i], t->title_width[i]) : t->width[i];
        for (size_t i = 0; i < last; i++)
                before += width[i];
        if (style->width > 0 && before + width[last] > style->width)
                width[last] = MIN_OF(width[last], MAX_OF((size_t) TABLE_LAST_WIDTH_MIN,
                                                         (size_t) style->width - MIN_OF(before, style->width)));
}

static void print_cell(const Cell *cell, FILE *f, const ShowStyle *style, size_t width, bool right, bool last) {
        size_t needed = text_width(cell->text), shown = MIN_OF(needed, width);
        /* The last column is not padded. */
        int pad = right || !last ? (int) (width - shown) : 0;

        fprintf(f, "%*s", right ? pad : 0, "");
        if (cell->colour != SHOW_PLAIN)
                fputs(show_colour(style, cell->colour), f);
        if (needed > width)
                fprintf(f, "%.*s…", (int) text_head(cell->text, width - 1), cell->text);
        else
                fputs(cell->text, f);
        if (cell->colour != SHOW_PLAIN)
                fputs(show_colour(style, SHOW_PLAIN), f);
        fprintf(f, "%*s", right ? 0 : pad, "");
}

int table_print(const Table *t, FILE *f, const ShowStyle *style) {
        size_t width[TABLE_COLUMNS_MAX];

        if (t->failed)
                return -ENOMEM;
        assert(t->n_cells % t->n_columns == 0);
        fit(t, style, width);
        for (size_t i = style->header ? 0 : t->n_columns; i < t->n_cells; i++) {
                size_t column = i % t->n_columns;
                bool last = column + 1 == t->n_columns;

                if (i == 0)
                        fputs(show_colour(style, SHOW_UNDERLINE), f);
                print_cell(&t->cells[i], f, style, width[column], t->right[column], last);
                if (last && i < t->n_columns)
                        fputs(show_colour(style, SHOW_PLAIN), f);
                fputc(last ? '\n' : ' ', f);
        }
        return 0;
}
