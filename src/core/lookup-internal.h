/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/* What core/lookup keeps to itself: the state machine (lookup.c), and whom it turns to next (lookup-pick.c). */

#include <bsd/sys/queue.h>
#include <bsd/sys/tree.h>

#include "core/lookup.h"

/* What this lookup has to do with one peer. */
typedef struct Try Try;
struct Try {
        RB_ENTRY(Try) node;
        TAILQ_ENTRY(Try) link;  /* in `dialled` */
        Endpoint peer;
        unsigned n_fetches;
        enum {
                ASK_NONE,
                ASK_DIALLED,    /* a moment ago: it counts as asked */
                ASK_HANGING,    /* there is no connection yet */
                ASK_CONNECTED,  /* and it has not answered yet */
        } asking;
        usec_t dialled_at;
        bool asked;             /* for its index */
        bool answered;          /* and it did: it is there */
        bool busy;              /* its answer was BUSY, and it is to be asked again */
        bool was_busy;
        bool gone;              /* a fetch did not reach it: no use asking it either */
        bool fetching;
        bool spent;             /* not to be fetched from again */
};

RB_HEAD(TryTree, Try);
TAILQ_HEAD(TryQueue, Try);

typedef struct Fetch {
        Try *from;              /* NULL: none */
        usec_t heard_at;        /* it began, or something came; USEC_INFINITY: its turn is still to come */
} Fetch;

struct Lookup {
        LookupConf conf;
        struct TryTree tries;
        size_t n_tries;
        usec_t began_at;        /* 0: not yet */

        bool server_asked;
        bool server_told;
        bool more_asked;        /* the other servers, before giving up */
        bool more_told;
        bool none_active;       /* the server says so */
        bool servers_away;      /* so last known peers count */

        Fetch fetches[LOOKUP_FETCHES_AT_ONCE];

        Endpoint *queue;        /* peers to ask, best first, as of when it was filled */
        size_t n_queue, queue_at;
        struct TryQueue dialled;        /* those who are ASK_DIALLED, the first dialled first */
        unsigned n_dialled, n_hanging, n_connected;
        usec_t next_ask_at, ask_pause;
        usec_t busy_until;      /* then all who were busy may be asked again */

        bool any_answer;        /* of a peer, to this lookup or within fresh_usec */
        bool any_fault;         /* a fetch ended in one */
        bool undelivered;       /* a holder did not deliver, or is in quarantine */
        unsigned n_gone;        /* fetches that did not reach their holder */
        size_t n_asked, n_unasked;

        bool done;
        LookupResult result;
        int error;
        Grade grade;            /* with LOOKUP_UNTRUSTED */
        size_t n_agreeing;
};

/* ---- lookup-pick.c ---- */

Try *lookup_find_try(Lookup *l, const Endpoint *peer);
/* -ENOMEM. */
int lookup_find_or_add_try(Lookup *l, const Endpoint *peer, Try **ret) _must_check_;
void lookup_free_tries(Lookup *l);

typedef struct Pick {
        bool found;
        RfcRecord record;
        bool answered;          /* its holder, to this lookup */
        bool quarantined;       /* a holder who might have been */
        bool refused;           /* a holder might have been, but his text may not be taken */
        bool acceptable;        /* with refused or found: some text may be taken, by whomever */
        TrustText best;         /* with refused: the best of these */
} Pick;

/* Whom to fetch from (protocol, section 4, step 3). */
void lookup_pick_holder(Lookup *l, const RfcIndex *x, const Holders *h, const TrustConf *trust, const Now *now,
                        Pick *ret);
/* Whom to ask (step 4). 0: *ret_found tells whether there is one, and *ret is it. -ENOMEM. */
int lookup_pick_peer(Lookup *l, const RfcIndex *x, const Holders *h, const Now *now, bool *ret_found,
                     Endpoint *ret) _must_check_;
/* Peers that are being asked, connected or not. */
unsigned lookup_n_asking(const Lookup *l);
