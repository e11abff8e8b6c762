/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * Settings: rs.ini and peer.ini with their drop-ins, read through inih. One table of keys (conf-keys.c) feeds the parser, `etc/rs.ini`,
 * `etc/peer.ini` and the check of the manual pages.
 *
 * Search order (UAPI.6): /usr/lib/p2pdi/NAME.ini < /run/p2pdi/NAME.ini < /etc/p2pdi/NAME.ini (one replaces the other), then
 * drop-ins NAME.ini.d/ *.ini of the three trees, sorted by file name, one of the same name in a later tree replacing it; an
 * empty file or a link to /dev/null masks. --config=FILE replaces all of that by one file.
 *
 * A wrong value is an error (with file, line, value, and what is allowed), an unknown key a warning with file and line; sections [X-…] are
 * ignored. A configuration is loaded whole or not at all.
 */

#include "core/address.h"
#include "core/base.h"
#include "core/grade.h"

typedef enum ConfProgram {
        CONF_RS,
        CONF_PEER,
} ConfProgram;

/* A list of strings: owned, NULL-terminated; NULL when empty. */
typedef char **StringList;

typedef struct ConfListen {
        bool any_address;               /* only a port was given: all addresses */
        bool is_auto;                   /* "auto": any free port */
        Endpoint endpoint;
} ConfListen;

/* HOST[:PORT] of Registration.Server=. */
typedef struct ConfServer {
        char *text;                     /* as configured, trimmed: the name that cookies are stored under */
        char *host;                     /* without brackets; a name or an address */
        uint16_t port;
} ConfServer;

typedef enum LogLevel {                 /* as syslog */
        LOG_LEVEL_EMERG, LOG_LEVEL_ALERT, LOG_LEVEL_CRIT, LOG_LEVEL_ERR,
        LOG_LEVEL_WARNING, LOG_LEVEL_NOTICE, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG,
} LogLevel;

/* What both programs have. Times in microseconds, sizes in bytes. */
typedef struct ConfCommon {
        ConfListen *listen;             /* at least one */
        size_t n_listen;
        bool listen_is_preset;          /* no file sets Server.ListenStream= */
        uint32_t max_connections;
        uint32_t max_connections_per_source;
        usec_t request_timeout;
        usec_t idle_timeout;
        Prefix *allow, *deny;           /* "localhost" and "link-local" are two prefixes each */
        size_t n_allow, n_deny;
        uint32_t rate_per_source;       /* a second; 0: no limit */
        uint32_t burst;
        LogLevel log_level;
        uint32_t transactions_per_sec;
} ConfCommon;

typedef struct RsConf {
        ConfCommon common;
        usec_t connection_lifetime;
        usec_t ttl;
        usec_t keep_alive;              /* 0 in the file or unset: ttl / 3 */
        uint32_t max_peers;
        uint32_t max_peers_per_source;
        uint32_t peers_per_reply;
        usec_t cookie_retention;
        Prefix *advertise_from;
        size_t n_advertise_from;
        char *database;                 /* file name in the state directory (the part after "sqlite:") */
} RsConf;

typedef struct PeerConf {
        ConfCommon common;
        uint32_t threads;               /* 0: one per CPU */
        uint64_t min_transfer_rate;     /* bytes per second; 0: none */
        uint64_t max_upload_rate;       /* bytes per second; UINT64_MAX: no limit */
        uint64_t cache_size;            /* bytes, of all download threads; 0: none */
        ConfServer *servers;
        size_t n_servers;               /* at most 32 */
        bool has_advertise;
        Address advertise;
        bool registration_enabled;
        Endpoint *static_peers;
        size_t n_static_peers;
        uint32_t remember_max;
        usec_t connect_timeout;
        bool reuse_connections;
        usec_t hedge_after;             /* USEC_INFINITY: never */
        usec_t quarantine;
        usec_t index_ttl;
        usec_t pull_interval;                   /* USEC_INFINITY: none in the background */
        uint32_t max_entries;
        char *metadata_file;            /* Index.MetadataFile=; NULL: none is named */
        char *store_path;               /* NULL: "rfc" in the state directory */
        uint64_t max_size;              /* UINT64_MAX: no limit */
        uint64_t max_file_size;
        uint32_t min_replicas;          /* 0: off */
        uint32_t quorum;                /* 1..GRADE_QUORUM_MAX */
        Grade accept;                   /* not GRADE_DISPUTED */
        char *manifest;                 /* NULL: none */
        uint32_t *allow_uids, *allow_gids;      /* Control.AllowUsers=, AllowGroups=, resolved when loaded */
        size_t n_allow_uids, n_allow_gids;
} PeerConf;

/* One thing that was found in a file. text is a whole sentence; values from the file are escaped in it. */
typedef struct ConfIssue {
        bool is_error;                  /* else a warning */
        char *file;                     /* NULL: about none of them */
        unsigned line;                  /* 0: the file as a whole */
        char *text;
} ConfIssue;

typedef struct ConfIssues {
        ConfIssue *issues;
        size_t n_issues;                /* at most 100; the last one says how many more there were */
} ConfIssues;
void conf_issues_done(ConfIssues *i);

/* Answers */
enum {
        CONF_INVALID = 1,               /* issues holds at least one error; *ret untouched */
};

/*
 * file: from --config=, or NULL for the trees. instance: NAME of peer@NAME.ini, or NULL; an instance without any file is an error. 0 (warnings may be
 * in *issues), CONF_INVALID, -ENOMEM and the like. A missing file is fine (defaults), but not one given by --config=.
 */
int conf_load_rs(const char *file, RsConf **ret, ConfIssues *issues) _must_check_;
int conf_load_peer(const char *file, const char *instance, PeerConf **ret, ConfIssues *issues) _must_check_;
RsConf *rs_conf_free(RsConf *c);
DEFINE_CLEANUP(RsConf *, rs_conf_free)
PeerConf *peer_conf_free(PeerConf *c);
DEFINE_CLEANUP(PeerConf *, peer_conf_free)

/* The files that were or would be read, in order. NULL-terminated, owned by the caller. */
int conf_files(ConfProgram program, const char *instance, StringList *ret) _must_check_;
StringList string_list_free(StringList l);
DEFINE_CLEANUP(StringList, string_list_free)

/* Prints the shipped INI (every key commented out, with default and unit) made from the table to stdout. */
int conf_print_template(ConfProgram program) _must_check_;
