/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * Progress on the terminal that is standard error, and what has to be done about it when something else is to be
 * written there, or when the user has seen enough.
 *
 * There is one at a time. From bar_begin() to bar_end() SIGINT and SIGTERM end the tool as they do by default, once the
 * bar is gone and one sentence is told.
 */

#include "ctl/progress.h"

typedef struct Bar {
        Progress progress;
        bool shown;                     /* is there a terminal for it? */
        usec_t drawn_at;                /* boottime */
} Bar;

/* How often something is drawn. */
#define BAR_INTERVAL (100 * USEC_PER_MSEC)

/*
 * wanted: the user wants to see it. farewell: the sentence, or NULL; it has to stay. Zeroed bars may be ended, too.
 * 0, -ENOMEM.
 */
int bar_begin(Bar *b, bool wanted, const char *farewell, const uint32_t *numbers, size_t n) _must_check_;
void bar_end(Bar *b);
/* As progress_update(). */
void bar_update(Bar *b, size_t place, ProgressState state, uint64_t size, uint64_t received, const char *holder);
/* As progress_set_sum(), for a bar that began with no numbers. */
void bar_set_sum(Bar *b, const ProgressSum *sum);
/* Draws it if it is time. */
void bar_tick(Bar *b);
/* Takes it off until it is drawn again, since something else comes. Also called by ctl_fail() and ctl_note(). */
void bar_hide(void);
