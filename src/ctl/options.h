/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * The options, in one table: getopt_long(), --help, completion and the check of the manual page are made from it. One
 * that no verb of verbs.c takes does not exist for any of them.
 */

#include "ctl/verbs.h"

/* Options that only some verbs take: bits of Verb.options. */
enum {
        OPTION_ALL = 1 << 0,            /* Ctl.all */
        OPTION_LOCAL = 1 << 1,          /* Ctl.local */
        OPTION_CURRENT = 1 << 2,        /* Ctl.current */
        OPTION_RAW = 1 << 3,            /* Ctl.raw */
        OPTION_CONFIG = 1 << 4,         /* Ctl.config */
        OPTION_FOLLOW = 1 << 5,         /* Ctl.follow */
        OPTION_AT_RISK = 1 << 6,        /* Ctl.at_risk */
        OPTION_DISPUTED = 1 << 7,       /* Ctl.disputed */
        OPTION_DRY_RUN = 1 << 8,        /* Ctl.dry_run */
        OPTION_MAX_RATE = 1 << 9,       /* Ctl.max_rate */
        OPTION_REPAIR = 1 << 16,        /* Ctl.repair */
        OPTION_FORCE = 1 << 17,         /* Ctl.force */
        OPTION_TO = 1 << 18,            /* Ctl.to */
};

typedef struct Option {
        const char *name;               /* without the dashes */
        char letter;                    /* '\0': none */
        const char *argument;           /* for --help; NULL: takes none */
        const char *help;               /* at most 52 characters */
        unsigned bit;                   /* OPTION_…; 0: all verbs take it */
        size_t flag;                    /* where there is no set(): offset of the bool in Ctl */
        int (*set)(Ctl *ctl, const char *value);        /* 0, or CTL_USAGE, told */
        Completes completes;
} Option;

extern const Option options[];
extern const size_t n_options;

/* Does any verb take it? */
bool option_exists(const Option *o);

#define OPTIONS_SEE_HELP "; p2pdi-ctl --help lists them."

/*
 * Options may stand anywhere; "--" ends them. What is left begins at argv[optind]. *ret_given: OPTION_… of what was
 * given. 0, or CTL_USAGE, told.
 */
int options_parse(Ctl *ctl, int argc, char **argv, unsigned *ret_given) _must_check_;
/* 0, or CTL_USAGE, told: the verb does not take what was given. */
int options_check(unsigned given, const Verb *verb) _must_check_;
