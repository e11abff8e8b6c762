/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * What all verbs of p2pdi-ctl share: the options, the connection, and how failure is told.
 *
 * Results in ctl/: < 0 this host failed (told by main()), 0 done, > 0 an exit code of exit-codes.h whose sentence was
 * written to stderr already. stdout carries the answer and nothing else.
 */

#include "core/base.h"
#include "ctl/exit-codes.h"
#include "ctl/show.h"
#include "ctl/table.h"
#include "io/varlink-client.h"

typedef struct Verb Verb;           /* ctl/verbs.h */

typedef struct Ctl {
        const char *daemon;             /* "p2pdi-peerd", "p2pdi-rsd": for messages */
        char *path;                     /* owned; of the control socket */
        VarlinkClient *client;          /* owned; NULL until the first call */

        /* As given by options, named like them */
        const char *control, *instance, *config, *to;   /* borrowed; NULL: not given */
        bool help, version;
        bool rs;                        /* also for the verbs that are for nobody else */
        bool all, local, current, raw, follow;
        bool at_risk, disputed;
        bool repair, force;
        bool dry_run;
        uint64_t max_rate;              /* bytes per second; 0: not given */
        bool no_pager, no_legend, quiet;
        usec_t timeout;                 /* 0: not given, before the verb is known */
        ShowJson json;
        ShowStyle style;                /* of standard output, and of these options */
} Ctl;

/*
 * For which daemon a verb is that has found out so itself: sets rs, daemon and path. 0, CTL_USAGE (told: an instance, or
 * --control= beside it), < 0.
 */
int ctl_choose_daemon(Ctl *ctl, bool rs) _must_check_;

/* One sentence to stderr, escaped as a whole. Gives code back: a macro, so that compilers see that it is not 0. */
#define ctl_fail(code, ...) (ctl_complain(__VA_ARGS__), (code))
void ctl_complain(const char *format, ...) _printf_(1, 2);
/* The same for what is no failure; nothing with --quiet. */
void ctl_note(const char *format, ...) _printf_(1, 2);
void ctl_set_quiet(bool quiet);
/* Not even failures are told. */
void ctl_set_silent(bool silent);

/* What comes now on stdout may be longer than the screen. 0, or < 0. */
int ctl_open_pager(const Ctl *ctl) _must_check_;
/*
 * The answer as a table, and what it counts in one line below it ("3 peers listed."), as --no-legend, --quiet and the
 * pager have it. 0, or < 0.
 */
int ctl_show_table(const Ctl *ctl, const Table *t, const char *footer, ...) _must_check_ _printf_(3, 4);
/* The answer as JSON, as --json= and the pager have it. 0, or < 0. */
int ctl_show_json(const Ctl *ctl, const json_t *value) _must_check_;

/*
 * For each reply that is no error; parameters and fd (-1: none) are borrowed. What it returns other than 0 is given
 * back in the end, the highest of all replies', a negative one at once.
 */
typedef int (*CtlReply)(json_t *parameters, int fd, void *userdata);

/* Connects, as every call does if nobody did. 0, an exit code (told), < 0. */
int ctl_connect(Ctl *ctl) _must_check_;
/*
 * One call with all its replies, connecting first if need be. Takes parameters (NULL: none). An error is told and
 * becomes its exit code.
 */
int ctl_call(Ctl *ctl, const char *method, json_t *parameters, CtlReply on_reply, void *userdata) _must_check_;
/* The same with a descriptor that goes along, and stays the caller's. */
int ctl_call_fd(Ctl *ctl, const char *method, json_t *parameters, int fd, CtlReply on_reply, void *userdata) _must_check_;
/* The same with more: one reply or many. */
int ctl_call_more(Ctl *ctl, const char *method, json_t *parameters, CtlReply on_reply, void *userdata) _must_check_;
/* The member `name` of all replies in one array, *ret owned by the caller. */
int ctl_call_list(Ctl *ctl, const char *method, json_t *parameters, const char *name, json_t **ret) _must_check_;

/*
 * Tells why a document was not had and gives the exit code. result: as in Download. message: the daemon's own words, or
 * NULL. With `several` the sentence names the number even where it says nothing about the document.
 */
int ctl_fail_document(const char *result, uint32_t number, const char *message, bool several);

/* The same for many that have one result; numbers: "RFC 7, 8 and 12 more". */
int ctl_fail_documents(const char *result, const char *numbers);

/* Members of what a daemon sent; of another type or absent: NULL, 0, false. */
const char *member_string(const json_t *o, const char *name);
uint64_t member_uint(const json_t *o, const char *name);
bool member_bool(const json_t *o, const char *name);
bool member_is_set(const json_t *o, const char *name);
