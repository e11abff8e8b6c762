/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * What the INI files say of sockets, for whoever is not the daemon: the generator of socket units, and p2pdi-ctl. Other
 * keys are passed over, right or wrong, and no name service is asked, so it may run before there is one. And what the
 * two sides of a socket, the INI and the one that is open, make of each other.
 */

#include "io/conf.h"

typedef struct ConfSockets {
        ConfProgram program;
        void *conf;                     /* owned; RsConf or PeerConf, of which only that is set; NULL: it can't be used */
        const ConfCommon *common;       /* in conf */
        const char *store_path;         /* in conf; NULL where it is not set */
        char *file;                     /* the main file, else the first drop-in; NULL: there is none */
        char *listen_file;              /* the last one that adds to Server.ListenStream=; NULL: none does */
} ConfSockets;
void conf_sockets_done(ConfSockets *s);

/*
 * root: a directory above the three trees, or NULL. Answers as conf_load_peer(), but *ret is filled in after CONF_INVALID, too, as far as it is
 * known. Names of files have root in front of them.
 */
int conf_load_sockets(const char *root, ConfProgram program, const char *instance, ConfSockets *ret, ConfIssues *issues)
        _must_check_;

#define CONF_INSTANCES_MAX ((size_t) 256)
/*
 * The instances of the peer that have a file peer@NAME.ini, sorted; a name that can't be one is a warning. 0, CONF_INVALID (a directory can't be
 * read, or there are more than CONF_INSTANCES_MAX: *ret has those found), -ENOMEM.
 */
int conf_find_instances(const char *root, StringList *ret, ConfIssues *issues) _must_check_;

/* ---- what one socket unit can do ---- */

/* Answers */
enum {
        CONF_LISTEN_FAULT = 1,          /* reason says why, without full stop */
};
#define CONF_FAULT_SIZE 192
/*
 * Can the addresses be a socket unit's? Not: "auto" beside others, since either the unit is left out or it is not; one address that another one
 * has in it, since the second bind() fails.
 */
int conf_listen_check(const ConfListen *listen, size_t n, char reason[CONF_FAULT_SIZE]) _must_check_;
/* All IPv6 addresses and an IPv4 address are wanted on one port: the IPv6 socket must leave IPv4 alone. */
bool conf_listen_splits(const ConfListen *listen, size_t n);
/* "65424", "192.0.2.1:65424", "[2001:db8::1]:auto": as in the file. */
#define CONF_LISTEN_TEXT_SIZE 64
void conf_listen_to_text(const ConfListen *l, char ret[CONF_LISTEN_TEXT_SIZE]);

/* ---- drift ---- */

/* Who listens; for the words. */
typedef struct ConfListener {
        const char *daemon;             /* "p2pdi-peerd" */
        const char *instance;           /* or NULL */
        bool inherited;                 /* its sockets are those of its socket unit */
} ConfListener;

/*
 * The command that brings the configured sockets, whoever has which now: "systemctl daemon-reload && systemctl restart
 * p2pdi-peerd@b.socket". The service goes with its socket unit, also where that listens on nothing ("auto").
 */
#define CONF_COMMAND_SIZE 160
void conf_listener_command(const ConfListener *who, char ret[CONF_COMMAND_SIZE]);
/* Is a socket there what is wanted? "auto" is any port, but none that was inherited. */
bool conf_listen_matches(const ConfListen *listen, const Endpoint *at, bool inherited);
/*
 * Appends one sentence for each address that is said and not listened on, or the other way round. Where no file says any, whatever the socket unit
 * has is right: it may be the administrator's own. 0, -ENOMEM.
 */
int conf_listen_compare(const ConfCommon *c, const Endpoint *at, size_t n_at, const ConfListener *who, StringList *ret)
        _must_check_;
