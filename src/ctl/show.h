/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * How p2pdi-ctl shows things: sizes, times, digests, colours, lines with a label, JSON; and table.h for tables.
 * Whatever a string holds, it is escaped there and here, once, on its way out.
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

/* How something may look where it goes to. */
typedef struct ShowStyle {
        bool colour;
        bool header;                    /* the titles of a table */
        bool footer;                    /* what is counted below it */
        unsigned width;                 /* columns of the terminal; 0: as many as it takes */
} ShowStyle;

typedef enum ShowColour {
        SHOW_PLAIN,                     /* ends any of the others */
        SHOW_BOLD,
        SHOW_UNDERLINE,
        SHOW_GREEN,                     /* well */
        SHOW_YELLOW,                    /* worth a look */
        SHOW_RED,                       /* not well */
        SHOW_GREY,                      /* of no concern */
        SHOW_BLUE,                      /* where something is from */
} ShowColour;

/* What begins that colour; "" where there are none. */
const char *show_colour(const ShowStyle *style, ShowColour colour);

/* false: there was no memory for something, and it was left out. As ferror(), for the end. */
bool show_is_whole(void);
/* Words within a line, escaped as a whole. */
void show_text(FILE *f, const char *format, ...) _printf_(2, 3);
/* "    Listening: …": the label to the right of its column; NULL continues the line before. */
void show_line(FILE *f, const char *label, const char *format, ...) _printf_(3, 4);
/* One value; only ASCII comes out. 0, -ENOMEM. */
int show_json(FILE *f, const json_t *value, ShowJson how) _must_check_;
