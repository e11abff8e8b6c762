/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * Having documents in the store and telling how that went: what get, cat and read begin with.
 */

#include "ctl/bar.h"
#include "ctl/ctl.h"
#include "ctl/numbers.h"

/* The documents that were asked for, told in the order asked as soon as all before them are told. Begins zeroed. */
typedef struct Get {
        Numbers numbers;
        json_t **downloads;             /* each owned; NULL: not done yet, or told */
        size_t n_told;
        bool *good;                     /* of those told */
        json_t *answer;                 /* owned; all that are told, with --json= */
        bool quiet;                     /* tell failures only */
        const json_t *instead;          /* borrowed, as Resolved has it; NULL: none */
        bool told_servers;
        Bar bar;
} Get;

/* The arguments. 0, CTL_USAGE (told), -ENOMEM. */
int get_init(Get *g, int argc, char **argv) _must_check_;
/* Has all documents and tells how each went. The highest exit code, or < 0. */
int get_run(Ctl *ctl, Get *g) _must_check_;
void get_done(Get *g);
