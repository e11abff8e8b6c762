/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * How p2pdi-ctl shows things: sizes, times, digests, tables, lines with a label, JSON. Whatever a string holds, it is
 * escaped here, once, on its way out.
 */

#include "core/base.h"

#include <jansson.h>
#include <stdio.h>

typedef enum ShowJson { SHOW_JSON_OFF, SHOW_JSON_SHORT, SHOW_JSON_PRETTY } ShowJson;

#define SHOW_TEXT_SIZE 32
/* "118B", "205.9K", "1.2M": base 1024, one decimal, not rounded up. */
const char *show_size(uint64_t bytes, char ret[SHOW_TEXT_SIZE]);
/* How long something took: "21us", "0.4ms", "41ms", "1.2s", then as show_timespan(). */
const char *show_duration(usec_t t, char ret[SHOW_TEXT_SIZE]);
/* "12s", "2min 3s", "1h 48min", "3d 4h": the two biggest units, seconds at least. */
const char *show_timespan(usec_t t, char ret[SHOW_TEXT_SIZE]);
/* "5f1c…9a02"; what is no digest: "-". */
const char *show_digest(const char *hex, char ret[SHOW_TEXT_SIZE]);

typedef struct Table Table;

/* What a cell of a cut column is wide at most. */
#define TABLE_CUT_WIDTH 40
/*
 * titles: the columns in the order of their cells, separated by blanks; '>' before one aligns it to the right, '~' cuts
 * what is wider than TABLE_CUT_WIDTH and puts "…" there. -ENOMEM.
 */
int table_new(const char *titles, Table **ret) _must_check_;
Table *table_free(Table *t);
DEFINE_CLEANUP(Table *, table_free)
/* The next cell, row by row. NULL and "" are shown as "-". Lack of memory is told by table_print(). */
void table_add(Table *t, const char *text);
void table_add_uint(Table *t, uint64_t value);
/* The last column is not padded. 0, -ENOMEM. */
int table_print(const Table *t, FILE *f) _must_check_;

/* "    Listening: …": the label to the right of its column; NULL continues the line before. */
void show_line(FILE *f, const char *label, const char *format, ...) _printf_(3, 4);
/* For "%s" behind a word: nothing of one, "s" of any other number. */
static inline const char *plural(uint64_t n) {
        return n == 1 ? "" : "s";
}
/* One value; only ASCII comes out. 0, -ENOMEM. */
int show_json(FILE *f, const json_t *value, ShowJson how) _must_check_;
