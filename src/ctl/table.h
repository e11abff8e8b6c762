/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * Tables: cells row by row, then all at once, since a column is as wide as its widest cell. Whatever a cell holds, it
 * is escaped here.
 */

#include "core/base.h"
#include "ctl/show.h"

#include <stdio.h>

typedef struct Table Table;

/* What a cell of a cut column is wide at most. */
#define TABLE_CUT_WIDTH 40
/* On a narrow terminal the last column gives way down to this. */
#define TABLE_LAST_WIDTH_MIN 10
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
/* One whose word is a state, in its colour: "active" green, "quarantined" and "disputed" red, "obsolete" grey; unknown ones plain. */
void table_add_state(Table *t, const char *text);
size_t table_rows(const Table *t);
/* Where the style has a width, what does not fit into the last column is cut. 0, -ENOMEM. */
int table_print(const Table *t, FILE *f, const ShowStyle *style) _must_check_;
