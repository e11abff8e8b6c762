/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * Lookup: how one RFC is found and fetched: registration server, a peer's index, merge, search, fetch from whoever has
 * it, next peer, until done or exhausted (protocol, section 4). A state machine that never calls back: the program asks
 * lookup_next(), does what it says, and tells how it went. It holds no sockets, and reads index and holders afresh at
 * each step, so whatever other lookups learn serves it too.
 */

#include "core/address.h"
#include "core/base.h"
#include "core/holders.h"
#include "core/rfc-index.h"
#include "core/trust.h"

#define LOOKUP_ASKS_AT_ONCE 32          /* peers whose index is being asked, protocol section 4 */
#define LOOKUP_FETCHES_AT_ONCE 2        /* the first, and one beside it that has been quiet */
/*
 * A peer that drops packets costs the whole connect limit (2 s): a thousand of them at 32 at once would be a minute. So
 * who is not connected within LOOKUP_DIAL_USEC, which is a round trip of half the world, is not counted among those
 * that are asked until it is. At most LOOKUP_DIALS_AT_ONCE hang: half a thousand, so that a thousand take two rounds,
 * and a hundredth of the descriptors that the service may have (LimitNOFILE=65536).
 */
#define LOOKUP_DIAL_USEC (50 * USEC_PER_MSEC)
#define LOOKUP_DIALS_AT_ONCE 512
#define LOOKUP_PAUSE_MIN_USEC USEC_PER_MSEC     /* between two dials: a thousand a second at most */
/* After BUSY a peer is asked again: Retry-After: of who still scans its library, protocol section 3. */
#define LOOKUP_BUSY_USEC USEC_PER_SEC

typedef struct Lookup Lookup;

typedef struct LookupConf {
        uint32_t number;
        usec_t fresh_usec;              /* Index.PullIntervalSec=: whose own documents were confirmed within this, and are
                                           all still in the index, is not asked */
        usec_t ask_pause_usec;          /* after this long without an answer the next index is asked beside it; halved
                                           each time, down to LOOKUP_PAUSE_MIN_USEC */
        usec_t hedge_usec;              /* Peers.HedgeAfterSec=: a second holder is tried beside one of which nothing has
                                           come for so long; USEC_INFINITY: never */
        Grade accept;                   /* Integrity.Accept=: what is below is not fetched; never what is disputed */
        unsigned n_asks_max;            /* at once; at most LOOKUP_ASKS_AT_ONCE */
        bool has_servers;               /* one is configured; else only static and last known peers are asked */
        bool more_servers;              /* several are: before giving up, all of them are asked */
        bool known_only;                /* what the index knows is all there is: nobody is asked, servers neither; and
                                           the holder with the fewest transfers under way comes first */
        bool servers_away;              /* with known_only: no server answered last, so last known peers count */
} LookupConf;

typedef enum LookupDo {
        LOOKUP_WAIT,                    /* for what is under way, or until at */
        LOOKUP_ASK_SERVER,              /* PQuery, all pages: the first step, of the first server that answers; who has a
                                           fresh list says OK at once. Then, with `others`, of those behind it */
        LOOKUP_ASK_INDEX,               /* RFCQuery with `RFC: number` to peer, merge */
        LOOKUP_FETCH,                   /* GetRFC from peer; `record` is what is expected */
        LOOKUP_DONE,                    /* result tells how it ended */
} LookupDo;

typedef enum LookupResult {
        LOOKUP_FOUND,                   /* fetched, verified, stored */
        LOOKUP_NOT_HELD,                /* every peer that could be asked was: nobody has it */
        LOOKUP_NO_PEERS,                /* no peer is active, or no server in reach and no last-known peer answers */
        LOOKUP_INTEGRITY,               /* somebody has it, but nothing that could be verified came */
        LOOKUP_UNREACHABLE,             /* active holders are known, none could be reached or delivered */
        LOOKUP_DISPUTED,                /* holders state different texts, and none of these may be taken */
        LOOKUP_UNTRUSTED,               /* what they state is below what is accepted */
        LOOKUP_FAILED,                  /* this host failed (disk): error is set */
} LookupResult;

typedef struct LookupStep {
        LookupDo what;
        usec_t at;                      /* WAIT: call again then; USEC_INFINITY: when something has happened */
        Endpoint peer;                  /* ASK_INDEX, FETCH */
        RfcRecord record;               /* FETCH; title as in RfcRecord */
        LookupResult result;            /* DONE */
        int error;                      /* DONE with LOOKUP_FAILED: negative errno */
        bool servers_away;              /* DONE, FETCH: no registration server answered, last-known peers were used */
        bool others;                    /* ASK_SERVER */
        Grade grade;                    /* DONE with UNTRUSTED: of the best text that is known */
        size_t n_agreeing;              /* and the address prefixes whose holders state it */
        size_t n_asked, n_unasked;      /* DONE: peers whose index was asked for, and those of them who gave none */
} LookupStep;

/* How a step went. */
typedef enum LookupOutcome {
        LOOKUP_OK,                      /* server: complete list; index: merged; fetch: stored */
        LOOKUP_GONE,                    /* could not be reached, timed out, closed in the middle, 503 … */
        LOOKUP_BUSY,                    /* index: 503, it answers after LOOKUP_BUSY_USEC; a second time: as GONE */
        LOOKUP_EMPTY,                   /* server: 204; index: 404 or nothing; fetch: 404: the record was dropped */
        LOOKUP_CHANGED,                 /* fetch: not the record's digest; that was renewed or dropped: look again */
        LOOKUP_FAULT,                   /* wrong bytes: the peer was quarantined */
        LOOKUP_BROKEN,                  /* this host failed: ends the lookup; `error` says how */
} LookupOutcome;

int lookup_new(const LookupConf *conf, Lookup **ret) _must_check_;
Lookup *lookup_free(Lookup *l);
DEFINE_CLEANUP(Lookup *, lookup_free)

/*
 * The next thing to do; to be asked again until it says WAIT or DONE, and again after each outcome. x and trust are read under
 * the caller's lock. 0 or -ENOMEM.
 *
 * It always ends: each peer is asked for its index at most twice (the second time only after BUSY) and fetched from at
 * most twice (the second time only after CHANGED), and no more than HOLDERS_MAX peers are tried, however index and
 * holders grow meanwhile. DONE waits neither for indexes that are still being asked nor for a fetch that came second:
 * the caller drops them or lets them end. What is told after DONE is ignored.
 */
int lookup_next(Lookup *l, const RfcIndex *x, const Holders *h, const TrustConf *trust, const Now *now,
                LookupStep *ret) _must_check_;
/*
 * error: negative errno with BROKEN, else 0. Holders, index and quarantine are the caller's to bring up to date
 * before it tells.
 */
void lookup_server_told(Lookup *l, LookupOutcome outcome, int error);
/* The connection stands, and the request goes out: it is not one of those that hang. */
void lookup_index_connected(Lookup *l, const Endpoint *peer);
void lookup_index_told(Lookup *l, const Endpoint *peer, LookupOutcome outcome, int error, const Now *now);
/* Not only what is known counts from now on: somebody waits for it who wants it from wherever it is. */
void lookup_widen(Lookup *l);
/*
 * The document was asked for behind others of that peer. No second holder is needed for that before
 * lookup_fetch_heard() tells that its turn has come.
 */
void lookup_fetch_waits(Lookup *l, const Endpoint *peer);
/* The head of the answer came, or bytes of the body: no second holder is needed yet. */
void lookup_fetch_heard(Lookup *l, const Endpoint *peer, const Now *now);
void lookup_fetch_told(Lookup *l, const Endpoint *peer, LookupOutcome outcome, int error, const Now *now);
/* "ok", "not-held", "no-peers", "integrity", "unreachable", "disputed", "untrusted", "failed": P2PDI_RESULT */
const char *lookup_result_name(LookupResult r);
