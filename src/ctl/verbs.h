/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * The verbs, in one table: dispatch, --help, completion and the check of the manual page are made from it.
 *
 * To add one: write verb_NAME() in verb-NAME.c and declare it here; add its row to verbs[] in verbs.c (an option of
 * its own is a bit and a row in options.h and options.c); describe it in VERBS of man/p2pdi-ctl.1.
 */

#include "ctl/ctl.h"

/* What the arguments of a verb are, or the value of an option: for completion. */
typedef enum Completes {
        COMPLETES_NOTHING,
        COMPLETES_RFC,                  /* numbers, with their titles */
        COMPLETES_STORED,               /* of those in the store */
        COMPLETES_PEER,                 /* addresses of known peers */
        COMPLETES_LEVEL,                /* of the log */
        COMPLETES_DAEMON,               /* rs or peer */
        COMPLETES_FILE,
        COMPLETES_JSON,                 /* pretty, short or off */
} Completes;

struct Verb {
        const char *name;
        const char *arguments;          /* for --help */
        const char *help;               /* at most 55 characters: --help fits into 80 columns */
        int min_arguments, max_arguments;       /* without the verb itself; -1: any number */
        unsigned flags;                 /* VERB_… */
        unsigned options;               /* OPTION_… that it takes beside those that all verbs take */
        Completes completes;
        int (*run)(Ctl *ctl, int argc, char **argv);    /* argv[0] is the first argument; a result as in ctl.h */
};

enum {
        VERB_PEER = 1 << 0,             /* the peer knows it */
        VERB_RS = 1 << 1,               /* the registration server knows it */
        VERB_ENDLESS = 1 << 2,          /* goes on until interrupted: no time limit but that of --timeout= */
};

extern const Verb verbs[];
extern const size_t n_verbs;

/* NULL: there is none of that name. */
const Verb *verb_by_name(const char *name);
/* What begins like an RFC number is meant as one, and needs no verb: get says it better than anybody if it is none. */
bool verb_is_number(const char *word);
/*
 * The verb that the words of a command line name; *ret_skip of them (0 or 1) are its name. Without words it is status;
 * an RFC number is get's. 0, or CTL_USAGE, told: no such verb (with the nearest one), or a wrong number of arguments.
 */
int verb_find(int argc, char **argv, const Verb **ret, int *ret_skip) _must_check_;

/* verb-check-config.c */
int verb_check_config(Ctl *ctl, int argc, char **argv);
/* verb-config.c */
int verb_cat_config(Ctl *ctl, int argc, char **argv);
/* verb-get.c */
int verb_get(Ctl *ctl, int argc, char **argv);
/* verb-read.c */
int verb_cat(Ctl *ctl, int argc, char **argv);
int verb_read(Ctl *ctl, int argc, char **argv);
/* verb-list.c */
int verb_list(Ctl *ctl, int argc, char **argv);
int verb_where(Ctl *ctl, int argc, char **argv);
/* Ranges as the daemon wants them; *ret, owned by the caller, NULL where there are none: all. 0, CTL_USAGE (told), < 0. */
int ctl_ranges(int argc, char **argv, json_t **ret) _must_check_;
/* What the library has in these ranges; *ret_code: of names that stand for nothing. *ret: owned by the caller. */
int ctl_list_documents(Ctl *ctl, int argc, char **argv, int *ret_code, json_t **ret) _must_check_;
/* Holders as a table, for where and show. 0, or < 0. */
int ctl_show_holders(const Ctl *ctl, const json_t *holders) _must_check_;
/* verb-peers.c */
int verb_peers(Ctl *ctl, int argc, char **argv);
int verb_refresh(Ctl *ctl, int argc, char **argv);
int verb_join(Ctl *ctl, int argc, char **argv);
int verb_leave(Ctl *ctl, int argc, char **argv);
int verb_registrations(Ctl *ctl, int argc, char **argv);
/* verb-log-level.c */
int verb_log_level(Ctl *ctl, int argc, char **argv);
/* verb-monitor.c */
int verb_monitor(Ctl *ctl, int argc, char **argv);
/* verb-sync.c */
int verb_sync(Ctl *ctl, int argc, char **argv);
/* verb-why.c */
int verb_why(Ctl *ctl, int argc, char **argv);
/* verb-search.c */
int verb_search(Ctl *ctl, int argc, char **argv);
/* verb-show.c */
int verb_show(Ctl *ctl, int argc, char **argv);
/* verb-export.c */
int verb_export(Ctl *ctl, int argc, char **argv);
/* verb-import.c */
int verb_import(Ctl *ctl, int argc, char **argv);
/* verb-keep.c */
int verb_pin(Ctl *ctl, int argc, char **argv);
int verb_unpin(Ctl *ctl, int argc, char **argv);
int verb_evict(Ctl *ctl, int argc, char **argv);
/* verb-verify.c */
int verb_verify(Ctl *ctl, int argc, char **argv);
/* verb-metrics.c */
int verb_metrics(Ctl *ctl, int argc, char **argv);
/* verb-status.c */
int verb_status(Ctl *ctl, int argc, char **argv);
