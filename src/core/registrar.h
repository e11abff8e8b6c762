/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * Registrar: the whole registration server minus its sockets and its disk: (PeerList, Request, Now) -> Reply (protocol,
 * section 2).
 */

#include "core/address.h"
#include "core/base.h"
#include "core/buf.h"
#include "core/peer-list.h"
#include "core/proto.h"

typedef struct RegistrarConf {
        PeerListLimits limits;
        usec_t keep_alive_usec;                 /* told to peers */
        uint32_t peers_per_reply;
        const Prefix *advertise_from;           /* sources that may name another address; borrowed */
        size_t n_advertise_from;
} RegistrarConf;

/* Longest body that a list can be, the cap of `body`: what does not fit is left to the next page. */
#define REGISTRAR_BODY_MAX (64u << 20)
/* Retry-After: of a full table, when the next lease ends, held to this range; of a full source always the longest. */
#define REGISTRAR_RETRY_MIN_SEC 5
#define REGISTRAR_RETRY_MAX_SEC 300

/* What random numbers a request may need; drawn anew by the caller for each request that needs them. */
typedef struct RegistrarRandom {
        uint64_t cookies[4];            /* Register: candidates, each 1..PROTO_COOKIE_MAX: the chance that all are taken is nil */
        uint64_t seed;                  /* PQuery: of a sample */
} RegistrarRandom;

/* Why a request is refused. */
typedef enum RegistrarRefusal {
        REGISTRAR_NOT_REFUSED,
        REGISTRAR_UNKNOWN_COOKIE,
        REGISTRAR_INACTIVE,
        REGISTRAR_TABLE_FULL,
        REGISTRAR_SOURCE_FULL,
        REGISTRAR_LINK_LOCAL,
        REGISTRAR_UNUSABLE,
        _REGISTRAR_REFUSAL_MAX,
} RegistrarRefusal;
/* In a few words: "unknown cookie", "inactive", "table full", "source full", "link-local source", "unusable address" */
const char *registrar_refusal_text(RegistrarRefusal r);

/* What happened, for journal and metrics; the caller logs it. */
typedef struct RegistrarOutcome {
        uint32_t peer_id;                       /* 0: none known */
        bool is_new;                            /* Register: first time */
        bool moved;                             /* a known cookie came from another address than it is listed under
                                                   (and not from advertise_from) */
        bool was_active;                        /* Leave */
        bool durable;                           /* Register or Leave: the reply waits until it is on disk */
        uint32_t n_listed;                      /* PQuery */
        RegistrarRefusal refused;
} RegistrarOutcome;

/*
 * Does what the request asks (verb: one of the registration server's) and fills *ret_reply (status and length included;
 * transaction and close are copied from the request) and *body (cleared first; empty unless a list follows; not part of
 * the head). 0, -ENOMEM. The list of a request from a loopback source holds loopback peers too, that of any other does
 * not; `Active:` counts what the asker could be told. Run peer_list_expire() first. A KeepAlive from an advertise_from
 * source leaves an advertised address as it is: KeepAlive has no Advertise: of its own.
 */
int registrar_handle(PeerList *l, const RegistrarConf *conf, const Request *request, const Address *source,
                     const Now *now, const RegistrarRandom *random,
                     Reply *ret_reply, Buf *body, RegistrarOutcome *ret_outcome) _must_check_;
