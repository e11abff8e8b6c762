/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * Names on the command line that only the daemon can tell the numbers of: aliases ("bcp14", "BCP 14"), and with --follow
 * any number. What is left are the arguments that ctl/numbers.h takes. Who names numbers alone asks no daemon.
 */

#include "ctl/ctl.h"

/* Begins zeroed. */
typedef struct Resolved {
        char **argv;                    /* owned, and its strings: numbers and ranges */
        int argc;                       /* 0: nothing was named */
        int code;                       /* the highest exit code of the names that are left out, each told; else 0 */
        bool aliases;                   /* at least one argument was an alias */
        json_t *instead;                /* owned, of follow: "9110": [2616], what a number stands for */
} Resolved;

/*
 * Says on stderr what aliases stand for, and what RFCs are followed to. 0: something is left, if anything was named; an
 * exit code (told: bad arguments, nobody answers, or nothing is left: that is not everything), < 0.
 */
int resolve_arguments(Ctl *ctl, int argc, char **argv, bool follow, Resolved *ret) _must_check_;
/* The same for a verb that takes one name. */
int resolve_one(Ctl *ctl, int argc, char **argv, Resolved *ret) _must_check_;
void resolved_done(Resolved *r);
