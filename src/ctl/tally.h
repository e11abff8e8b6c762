/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * How far something is that counts, in one line on the terminal that is standard error: "Verified: 1200 of 9148 RFCs,
 * 231.4M of 520.1M, 1.2G/s". Bar (bar.h) is for documents that are told one by one. There is one at a time.
 */

#include "core/base.h"

typedef struct Tally {
        const char *what;               /* "Verified" */
        uint64_t n, n_total;            /* documents; n_total 0: not known */
        uint64_t bytes, bytes_total;
        usec_t elapsed;                 /* 0: no rate is told */
} Tally;

/* wanted: the user wants to see it. Shown from now on, if there is a terminal for it. */
void tally_begin(bool wanted);
void tally_show(const Tally *t);
/* Takes it off, since something else comes. Also called by ctl_fail() and ctl_note(). */
void tally_hide(void);
