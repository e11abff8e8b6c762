/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * What both daemons do before and beside their work: options, directories, telling what a configuration holds, the limit of descriptors.
 */

#include "core/base.h"
#include "core/buf.h"
#include "io/conf-sockets.h"
#include "io/conf.h"
#include "io/confine.h"
#include "io/listener.h"

/* Longest wait for replies under way, at SIGTERM. Below TimeoutStopSec= of the units. */
#define DAEMON_STOP_USEC (5 * USEC_PER_SEC)

typedef struct DaemonOptions {
        const char *config;             /* --config=FILE, or NULL */
        const char *instance;           /* --instance=NAME, or NULL */
        char *state_dir;                /* $STATE_DIRECTORY, else --state-dir=, else built-in; owned, absolute or as given */
        char *runtime_dir;              /* $RUNTIME_DIRECTORY, else --runtime-dir=, else built-in */
        bool check_config;
} DaemonOptions;

/* Answers */
enum {
        DAEMON_EXIT = 1,                /* all is said and done (--help, --version, a usage error): exit with *ret_status */
};

/*
 * program: "p2pdi-rsd". state: name below the built-in state directory ("p2pdi-rsd"). has_instances: takes --instance=.
 */
int daemon_parse_options(int argc, char *argv[], const char *program, const char *state, bool has_instances, DaemonOptions *ret,
                         int *ret_status) _must_check_;

void daemon_options_done(DaemonOptions *o);

/* Makes the directory, with what is missing above it, mode 0755. 0 or -errno. */
int daemon_make_directory(const char *path) _must_check_;
/* directory/name, owned by the caller. */
int daemon_path(const char *directory, const char *name, char **ret) _must_check_;

/* confine(); says so in the log where it can not be had, which is no error. 0 or -errno, logged. */
int daemon_confine(Confinement what) _must_check_;

/* To the service manager, and to the log where nobody has said what failed: the start ends with that error. */
void daemon_tell_not_started(int error);

/* Logs each issue of a configuration with file and line. Also STATUS= for the first error. */
void daemon_log_issues(const ConfIssues *issues);

/*
 * Raises the soft limit of descriptors to the hard one, and gives the most connections that it allows at `per_connection` each beside `others`.
 * Says so in the log when that is less than `wanted`.
 */
uint32_t daemon_limit_connections(uint32_t wanted, unsigned per_connection, unsigned others);

void daemon_listener_conf(const ConfCommon *c, uint32_t max_connections, ListenerConf *ret);
/* At a reload: tells that all stays as it was. result: of conf_load_*(), an answer or an error. */
void daemon_log_not_reloaded(int result);
/* A connection that the listener did not take. */
void daemon_log_refused(const Endpoint *remote, ListenerRefusal why);
/* At a reload: tells that a key which needs a restart is another one now. */
void daemon_log_restart_key(const char *key);

/* ---- daemon-listen.c ---- */

/*
 * Sockets inherited under `name`, else bound as configured. stored: the name under which the service manager keeps the
 * sockets of ListenStream=auto, so that their ports stay the same over a restart and a crash; those that are of no use any
 * more are taken from it. NULL: it keeps none. *ret_inherited. -errno, told in the log and in STATUS= with the address
 * that failed.
 */
int daemon_listen(Listener *l, const ConfCommon *c, const char *name, const char *stored, bool *ret_inherited)
        _must_check_;
/*
 * What the INI and the open sockets make of each other: sentences for GetStatus, each of them logged as well. They
 * replace those in *warnings. from_trees: the INI is one that the generator of socket units reads, too.
 */
void daemon_compare_sockets(const Listener *l, const ConfCommon *c, const ConfListener *who, bool from_trees,
                            StringList *warnings);
/* Another one: its socket unit has none, and it bound one itself. */
void daemon_warn_no_socket(const ConfListener *who, const char *name, StringList *warnings);
/* " Warning: " and the first of them, to end STATUS=; else "". 0, BUF_FULL, -ENOMEM. */
int daemon_describe_warnings(StringList warnings, Buf *b) _must_check_;
/* Appends "127.0.0.1:65423, [::]:65423": for STATUS=. */
int daemon_describe_listeners(const Listener *l, Buf *b) _must_check_;

/* Host and OS of this machine, as told to others: "alpha", "Linux 6.1.0". Live as long as the program. From any thread. */
const char *daemon_hostname(void);
const char *daemon_os(void);
