/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * A document on its way to a terminal: what was made for a line printer is hidden, and nothing can control the terminal.
 *
 * Hidden: a byte order mark at the start, form feeds, the carriage return of a CR LF. Blank lines next to a form feed
 * become one, a form feed within a line ends it; all other lines stay as they are. Escaped as text_escape() does it:
 * all other control bytes and characters, bidirectional controls, bytes that are no UTF-8. Tabs and backslashes stay.
 *
 * Fed in pieces of any size, with the same outcome.
 */

#include "core/base.h"
#include "core/buf.h"

/* Blank lines that may wait for a form feed; a page has 60 lines. */
#define SCREEN_BLANK_MAX 100

/* Zeroed: at the start of a document. */
typedef struct Screen {
        char held[4];                   /* the beginning of a character */
        size_t n_held;
        size_t n_ends;                  /* line ends that wait for what comes behind them */
        bool feed;                      /* among them was a form feed */
        bool cr;                        /* a carriage return waits */
        bool begun;                     /* something came, so that a byte order mark is none any more */
        bool shown;                     /* something was shown */
} Screen;

/* What one byte may become: an escaped character behind an escaped carriage return, behind all that waits. */
#define SCREEN_GROWTH (SCREEN_BLANK_MAX + 32)

/* Appends to out, which has room for in.size * SCREEN_GROWTH at worst. 0, BUF_FULL, -ENOMEM. */
int screen_filter(Screen *s, Slice in, Buf *out) _must_check_;
/* What still waits at the end of the document. */
int screen_end(Screen *s, Buf *out) _must_check_;
