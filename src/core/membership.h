/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * Membership: a peer's standing with one registration server: register, renew, back off, leave: what next, and when.
 * Never calls back and never dials: the program asks membership_next(), does it, and tells how it went.
 */

#include "core/address.h"
#include "core/base.h"
#include "core/proto.h"

/*
 * 1 s doubling to 5 min, each drawn from [half, whole] of its step: 1,000 peers of a server that comes back do not
 * all come at once.
 */
#define MEMBERSHIP_BACKOFF_MIN_USEC (1 * USEC_PER_SEC)
#define MEMBERSHIP_BACKOFF_MAX_USEC (5 * USEC_PER_MINUTE)
/*
 * Retry-After: is the least that is waited, drawn from [whole, one and a half]; doubles with each refusal of a row up
 * to MEMBERSHIP_BACKOFF_MAX_USEC or what the server said, whichever is more. A server can't send a peer away for longer
 * than this.
 */
#define MEMBERSHIP_RETRY_AFTER_MAX_USEC (1 * USEC_PER_HOUR)
/* A server's KeepAlive interval is held to this range, and to half the lease: one that is lost must not end it. */
#define MEMBERSHIP_KEEPALIVE_MIN_USEC (1 * USEC_PER_SEC)
#define MEMBERSHIP_KEEPALIVE_MAX_USEC (1 * USEC_PER_DAY)

typedef enum MembershipDo {
        MEMBERSHIP_WAIT,                /* nothing until *ret_at */
        MEMBERSHIP_REGISTER,            /* with cookie if not 0 */
        MEMBERSHIP_KEEPALIVE,
        MEMBERSHIP_LEAVE,
} MembershipDo;

typedef enum MembershipState {
        MEMBERSHIP_AWAY,                /* not registered, wants to be */
        MEMBERSHIP_ACTIVE,
        MEMBERSHIP_LEFT,                /* does not want to be, until membership_join() */
} MembershipState;

/* To be read by everybody, written by the functions below only. */
typedef struct Membership {
        MembershipState state;
        bool busy;                      /* a request is under way: next says WAIT */
        bool leaving;                   /* LEFT, and a Leave is due */
        bool register_due;              /* ACTIVE, and a Register is due all the same */
        bool reachable;                 /* the last exchange was answered, whatever the answer */
        bool said_away;                 /* this row of failures: UNREACHABLE was told */
        bool said_refused;              /* this row of failures: REFUSED was told */
        bool heard;                     /* busy, and the server has answered something else meanwhile */
        uint64_t cookie;                /* 0: none */
        uint32_t peer_id;               /* 0: not known */
        bool has_address;
        Address address;                /* as the server lists this peer */
        usec_t renewed_at;              /* boottime at which the request that renewed was sent; 0: never */
        usec_t expires_at;              /* boottime: end of the lease by the server's word, counted from renewed_at */
        usec_t keep_alive_usec;
        usec_t next_at;                 /* boottime of the next deed */
        unsigned n_failures;            /* unanswered or refused, in a row */
} Membership;

/* What the program is to tell its users, once each. REGISTERED and REFUSED imply that the server was reached. */
typedef enum MembershipNews {
        MEMBERSHIP_NO_NEWS,
        MEMBERSHIP_REGISTERED,          /* became active */
        MEMBERSHIP_UNREACHABLE,         /* first time in a row of failures that no answer came */
        MEMBERSHIP_REACHABLE,           /* still active: a row of failures of which users were told has ended */
        MEMBERSHIP_REFUSED,             /* an answer that is no success: 403, 429, 503 …; once per row */
        MEMBERSHIP_HAS_LEFT,            /* inactive by the server's word, or because its lease must have ended */
} MembershipNews;

/* cookie: as kept on disk, or 0. Wants to be registered at once if `join`. */
void membership_init(Membership *m, uint64_t cookie, bool join);
/* Wants to be registered; tries at once if it is not. */
void membership_join(Membership *m, const Now *now);
/*
 * Stays away from now on, and leaves if the server may know this peer as active: also with a cookie from disk, or when
 * the answer to a Register was lost. A Leave that is not answered is repeated until the lease must have ended. HAS_LEFT
 * comes unless there is nothing to leave: then `leaving` is false at once.
 */
void membership_leave(Membership *m, const Now *now);
/*
 * The server has answered something else: it can be reached. What only waits because nobody answered is due now, whatever
 * the back-off says; what was refused waits on. While a request is under way that is remembered: if nobody answers it, it
 * is due again at once, once.
 */
void membership_heard(Membership *m, const Now *now);
/* Something changed that the server must know at once (own port): Register anew now. Nothing for one that has left. */
void membership_register_now(Membership *m, const Now *now);

/*
 * What is due; WAIT: not before *ret_at (USEC_INFINITY: until something is said). After another answer `busy` is set
 * until one of the following is called.
 */
MembershipDo membership_next(Membership *m, const Now *now, usec_t *ret_at);
/*
 * The answer to what was due. 401: the cookie is dropped (KeepAlive of a lapsed lease: Register with the cookie first;
 * only a Register or Leave that says 401 drops it). Other refusals: waits as said above. What a 200 leaves out has the
 * protocol's default. jitter: a random number, all 64 bits.
 */
MembershipNews membership_answered(Membership *m, MembershipDo what, const Reply *reply, usec_t sent_at,
                                   const Now *now, uint64_t jitter);
/* No answer: refused, timed out, closed. Backs off. A lease that runs on stays active until expires_at. */
MembershipNews membership_failed(Membership *m, MembershipDo what, const Now *now, uint64_t jitter);
