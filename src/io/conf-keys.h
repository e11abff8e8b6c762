/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * The one table of settings: what keys there are, what they take, what they are when nobody sets them, and the words
 * that etc/rs.ini and etc/peer.ini say about them. A new key is one line here, a member in conf.h, and an item in the
 * manual page.
 */

#include "core/base.h"
#include "io/conf.h"

typedef enum ConfKind {
        /* uint32_t, uint64_t (bytes), usec_t: min and max are theirs */
        CONF_KIND_COUNT,
        CONF_KIND_SIZE,
        CONF_KIND_TIME,
        CONF_KIND_TIME_OR_INFINITY,     /* usec_t, USEC_INFINITY */
        CONF_KIND_SIZE_OR_INFINITY,     /* uint64_t, UINT64_MAX: "infinity" */
        CONF_KIND_BOOL,                 /* bool */
        CONF_KIND_LOG_LEVEL,            /* LogLevel */
        CONF_KIND_GRADE,                /* Grade: what a document may have to be taken */
        CONF_KIND_PATH,                 /* char *: absolute; NULL when empty */
        CONF_KIND_DATABASE,             /* char *: the part after "sqlite:" */
        CONF_KIND_ADVERTISE,            /* bool at offset_n, Address at offset */
        /* Lists: elements at offset, size_t at offset_n, at most max of them; blanks or repetition separate them */
        CONF_KIND_LISTEN,               /* ConfListen */
        CONF_KIND_LISTEN_OR_AUTO,
        CONF_KIND_PREFIXES,             /* Prefix */
        CONF_KIND_SERVERS,              /* ConfServer */
        CONF_KIND_ENDPOINTS,            /* Endpoint */
        CONF_KIND_USERS,                /* uint32_t */
        CONF_KIND_GROUPS,               /* uint32_t */
} ConfKind;

typedef struct ConfKey {
        const char *section, *name;
        ConfKind kind;
        size_t offset, offset_n;        /* in RsConf or PeerConf */
        uint64_t min, max;
        const char *preset;             /* default, in the form of the file; NULL: none */
        const char *comment;            /* of the template; lines ended by \n but the last */
} ConfKey;

/* All keys of one program, in the order of the template; keys of one section stand together. */
const ConfKey *conf_keys(ConfProgram program, size_t *ret_n);
/* NULL where there is none. Case counts. */
const ConfKey *conf_key_find(ConfProgram program, const char *section, const char *name);
bool conf_section_is_known(ConfProgram program, Slice section);

/* Answers */
enum {
        CONF_KEY_BAD = 1,               /* reason says what is wrong, escaped: "0 is not in 1..1000000" */
};
#define CONF_REASON_SIZE 512

/*
 * Assigns one value as it stands in the file (trimmed). conf is the RsConf or PeerConf. An empty value empties a list
 * and gives anything else its default back. Also negative errno.
 */
int conf_key_set(const ConfKey *key, void *conf, Slice value, char reason[CONF_REASON_SIZE]) _must_check_;
/* Gives every list that is empty its default. */
int conf_keys_complete(ConfProgram program, void *conf) _must_check_;
/* Gives everything its default but lists: a fresh (zeroed) conf. */
int conf_keys_preset(ConfProgram program, void *conf) _must_check_;
/* Frees what the members own. */
void conf_keys_done(ConfProgram program, void *conf);
