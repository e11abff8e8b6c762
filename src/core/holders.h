/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * Holders: the peers that this one knows and may dial: who lists them, round trip, failures, quarantine, and what they
 * said of their own index. Nobody is dialled who is not in here as listed, static or last known (protocol, section 3,
 * "Whom to dial").
 */

#include "core/address.h"
#include "core/base.h"
#include "core/proto.h"

/* Peers in the table. Registration servers list up to a million; more than that many are not of use to one peer. */
#define HOLDERS_MAX 65536

typedef struct Holders Holders;

typedef struct HoldersLimits {
        usec_t quarantine_usec;         /* first quarantine; doubles with each next */
        usec_t quarantine_max_usec;     /* 10 min; one fault-free span of this length after its end starts it anew */
} HoldersLimits;

typedef struct HolderInfo {
        Endpoint endpoint;
        uint32_t peer_id;               /* 0: not known (static, last known) */
        const char *host;               /* the peer's word; "" when not known; valid until the next change */
        bool listed;                    /* active by the word of a registration server */
        bool is_static;                 /* configured by the administrator */
        bool last_known;                /* was listed, or kept on disk, and no server has said otherwise since */
        usec_t rtt_usec;                /* smoothed round trip (connect to first byte of an answer), 0: not measured */
        usec_t quarantined_until;       /* boottime; 0 or past: is not */
        unsigned n_faults;              /* quarantines so far, without a fault-free span between them */
        usec_t seen_at;                 /* boottime of the last answer, 0: never */
        usec_t confirmed_at;            /* boottime: the request was sent that last confirmed its own index; 0: never */
        Generation generation;          /* of its own index as known here, {0,0}: nothing */
} HolderInfo;

/* Answers */
enum {
        HOLDERS_FULL = 1,
};

/*
 * hash_key: random; it orders peers of which nothing is known yet, so that not every peer turns to the same one
 * first. -ENOMEM.
 */
int holders_new(const HoldersLimits *limits, const uint64_t hash_key[2], Holders **ret) _must_check_;
Holders *holders_free(Holders *h);
DEFINE_CLEANUP(Holders *, holders_free)
/* Takes effect with the next fault. */
void holders_set_limits(Holders *h, const HoldersLimits *limits);

/*
 * A complete or partial list of one registration server (`server`: its index in the configuration, 0..31).
 * holders_list_begin(), each line, holders_list_end(complete): a complete list proves that whoever is not on it has
 * left that server; a page or sample proves nothing. An empty list (204) is begin and end(complete). One list of a
 * server at a time: a caller with several lookups gathers the pages first. An id is that of the first server, by
 * configuration, that lists the peer.
 *
 * Who is then on no list, not static and not last known leaves the table, unless it has faults: those are remembered
 * until it has served its quarantine and the fault-free span, so that leaving and coming back washes nobody clean.
 */
void holders_list_begin(Holders *h, unsigned server);
/* 0, FULL, -ENOMEM. FULL does not make the list less complete. host is cut at PROTO_HOST_MAX. */
int holders_list_add(Holders *h, unsigned server, const Endpoint *e, uint32_t peer_id, Slice host,
                     const Now *now) _must_check_;
void holders_list_end(Holders *h, unsigned server, bool complete);
/* 0, FULL, -ENOMEM. */
int holders_add_static(Holders *h, const Endpoint *e) _must_check_;
void holders_clear_static(Holders *h);
int holders_add_last_known(Holders *h, const Endpoint *e) _must_check_;

/* host valid until the next change. */
bool holders_get(const Holders *h, const Endpoint *e, HolderInfo *ret);
/* servers_away: no registration server answers, so the last known count too. A quarantined peer may not be dialled. */
bool holders_may_dial(const Holders *h, const Endpoint *e, bool servers_away, const Now *now);
/*
 * The ones that may be dialled, best first: fewer failures, then measured round trip before none, then lower round
 * trip, then keyed hash of the endpoint. Up to n (ret may be NULL where n is 0); gives how many there are in all.
 */
size_t holders_dialable(const Holders *h, bool servers_away, const Now *now, Endpoint *ret, size_t n);
/* The same order between two of them: < 0: a is better. One that is not in the table comes last. */
int holders_compare(const Holders *h, const Endpoint *a, const Endpoint *b);
/* The same, but who has fewer transfers under way comes first: for work that many share. */
int holders_compare_load(const Holders *h, const Endpoint *a, const Endpoint *b);
/* The first whose endpoint is > *after (NULL: the very first), ascending; false: none. */
bool holders_next(const Holders *h, const Endpoint *after, HolderInfo *ret);
size_t holders_count(const Holders *h);
size_t holders_count_listed(const Holders *h);

/* What happened with one of them; unknown endpoints are ignored. rtt_usec: USEC_INFINITY where it was not measured. */
void holders_answered(Holders *h, const Endpoint *e, usec_t rtt_usec, const Now *now);
void holders_failed(Holders *h, const Endpoint *e);     /* refused, timed out: no fault */
/*
 * A document begins to be fetched from it, and that ends: always both. One that left the table and came back meanwhile
 * counts from none.
 */
void holders_begin_transfer(Holders *h, const Endpoint *e);
void holders_end_transfer(Holders *h, const Endpoint *e);
/*
 * A fault (protocol, section 4): quarantined; gives for how long from now. Another fault within a quarantine (of a
 * transfer that was already under way) does not lengthen it. What it said of its own index is forgotten: the caller
 * drops its records too.
 */
usec_t holders_fault(Holders *h, const Endpoint *e, const Now *now);
/* Its own documents are as of generation g. An answer older than the last one that confirmed changes nothing. */
void holders_confirmed(Holders *h, const Endpoint *e, Generation g, usec_t sent_at);
