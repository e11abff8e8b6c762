/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * What a terminal shows while documents are being had: a line for each that is under way, and one for all together.
 *
 * Pure: time, width and height are arguments, bytes come out. What was drawn before is drawn over, line by line; a line
 * never fills the last column, so that none is broken in two. bar.h puts it on the terminal.
 */

#include "core/address.h"
#include "core/base.h"
#include "core/buf.h"

/* What is faster than that shows nothing. */
#define PROGRESS_DELAY (USEC_PER_SEC / 2)

typedef enum ProgressState {
        PROGRESS_WAITING,
        PROGRESS_SEARCHING,
        PROGRESS_FETCHING,
        PROGRESS_DONE,
} ProgressState;

/* How fast something grows: measured over the last second or two, so that what stands still is seen to. */
typedef struct Meter {
        usec_t at[2];                   /* 0: not begun */
        uint64_t value[2];
} Meter;

typedef struct ProgressItem {
        uint32_t number;
        ProgressState state;
        uint64_t size, received;        /* of the document; 0: not known */
        char holder[ENDPOINT_TEXT_SIZE];        /* "": not known */
        Meter meter;
} ProgressItem;

/* Many, of which only the sum is shown. */
typedef struct ProgressSum {
        const char *doing;              /* "asking peers" …; NULL: what follows tells; borrowed, a literal */
        uint64_t n_done, n;             /* documents */
        uint64_t received, size;        /* bytes */
        uint64_t rate;                  /* bytes per second; 0: not known */
        usec_t left;                    /* USEC_INFINITY: not known */
} ProgressSum;

typedef struct Progress {
        bool summed;                    /* sum is all that is shown */
        ProgressSum sum;
        ProgressItem *items;            /* owned; in the order asked */
        size_t n;
        usec_t begun_at;
        Meter meter;                    /* of all together */
        unsigned n_drawn;               /* lines that stand above the cursor */
} Progress;

/* numbers: n of them. -ENOMEM. */
int progress_init(Progress *p, const uint32_t *numbers, size_t n, usec_t now) _must_check_;
void progress_done(Progress *p);
/* What became of the item at `place`. holder: NULL, or an address; anything else counts as not known. */
void progress_update(Progress *p, size_t place, ProgressState state, uint64_t size, uint64_t received,
                     const char *holder, usec_t now);
/* From now on one line shows that, and nothing else. */
void progress_set_sum(Progress *p, const ProgressSum *sum);
/*
 * Draws over what was drawn before; nothing before PROGRESS_DELAY has passed. At most height - 1 lines. 0, BUF_FULL,
 * -ENOMEM.
 */
int progress_draw(Progress *p, usec_t now, unsigned width, unsigned height, Buf *out) _must_check_;
/* Takes off what was drawn: the cursor stands where the first line did. */
int progress_erase(Progress *p, Buf *out) _must_check_;
