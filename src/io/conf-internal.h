/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/* What conf.c has for conf-sockets, tests and fuzzers: the same loading with other trees, of some keys, and from bytes. */

#include "io/conf.h"

typedef struct ConfRoots {
        const char *dirs[3];            /* weakest first; the shipped ones: /usr/lib/p2pdi, /run/p2pdi, /etc/p2pdi */
} ConfRoots;
extern const ConfRoots conf_shipped_roots;

/* Where it comes from, as far as a socket unit is concerned. Owned by whoever asked, also after CONF_INVALID. */
typedef struct ConfOrigin {
        char *first;                    /* the main file, else the first drop-in; NULL: there is no file */
        char *listen;                   /* the last one that adds to Server.ListenStream=; NULL: none does */
} ConfOrigin;
void conf_origin_done(ConfOrigin *o);

typedef struct ConfRequest {
        ConfProgram program;
        ConfRoots roots;
        const char *file;               /* as in conf_load_rs() */
        const char *instance;           /* as in conf_load_peer() */
        bool sockets_only;              /* keys that concern no socket unit are passed over, right or wrong */
        ConfOrigin *origin;             /* filled in; NULL: not wanted */
} ConfRequest;

/* *ret is a RsConf or a PeerConf. */
int conf_load_from(const ConfRequest *request, void **ret, ConfIssues *issues) _must_check_;
int conf_files_from(const ConfRequest *request, StringList *ret) _must_check_;
/* The bytes of one file, called `name` in issues. */
int conf_load_bytes(ConfProgram program, const char *name, Slice bytes, void **ret, ConfIssues *issues) _must_check_;
