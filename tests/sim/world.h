/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * The simulated world: a clock that nobody waits for, events in their order, one source of random numbers, a network
 * that loses and delays messages, a registration server and its peers. Core only, one thread: the same seed gives the
 * same run to the last byte, which `trace` sums up. What travels are encoded bytes, so writers and parsers take part.
 */

#include "core/holders.h"
#include "core/lookup.h"
#include "core/membership.h"
#include "core/peer-list.h"
#include "core/proto.h"
#include "core/registrar.h"
#include "core/rfc-index.h"

typedef struct World World;
typedef struct Peer Peer;
typedef struct Call Call;

typedef struct WorldConf {
        uint64_t seed;
        unsigned n_peers;
        unsigned n_documents;           /* numbers 1..n */
        usec_t ttl_usec;                /* of leases and records */
        usec_t keep_alive_usec;
        usec_t pull_usec;               /* Index.PullIntervalSec= */
        uint32_t peers_per_reply;
        bool verbose;
} WorldConf;

typedef struct WorldCount {
        unsigned long events, calls, lost, refused, lookups, found, merges, deltas, quarantines, crashes, leaves, checked;
} WorldCount;

/* What becomes of a call: reply is NULL if none came. body is valid during the call. Who asked is still there. */
typedef void (*CallDone)(Call *c, const Reply *reply, Slice body);

struct Call {
        World *world;
        Call *next, **link;
        Peer *from;
        unsigned life;                  /* of `from`: who was restarted meanwhile asked for nothing */
        bool to_server;
        Endpoint to;
        Verb verb;
        Buf request, reply;
        usec_t sent_at;
        CallDone done;
        /* for `done` */
        uint64_t run;                   /* the lookup it is for, 0: none */
        MembershipDo what;
        void *list;                     /* of a PQuery; owned */
        void (*list_free)(void *);
        uint32_t number;
        RfcRecord record;               /* a GetRFC: what is expected; title not valid */
};

typedef struct Event {
        usec_t at;
        uint64_t order;                 /* of events at the same time the first made comes first */
        void (*fn)(World *w, void *arg, uint64_t token);
        void *arg;
        uint64_t token;
} Event;

struct World {
        WorldConf conf;
        Now now;
        uint64_t random;
        uint64_t trace;
        Event *events;
        size_t n_events, max_events;
        uint64_t n_made;
        uint64_t last_run;
        Call *calls;
        /* faults */
        unsigned loss_permille;         /* of requests, and of replies */
        bool server_up;
        /* the server */
        PeerList *list;
        RegistrarConf registrar;
        Peer **peers;
        WorldCount count;
};

#define SIM_CALL_TIMEOUT (2 * USEC_PER_SEC)
#define SIM_LATENCY_MAX (20 * USEC_PER_MSEC)

World *world_new(const WorldConf *conf);
World *world_free(World *w);
/* Prints what went wrong, seed and time, and ends the program. */
void world_fail(const World *w, const char *format, ...) _printf_(2, 3) __attribute__((noreturn));
void world_say(const World *w, const char *format, ...) _printf_(2, 3);
/* An int result that must be 0. */
void world_must(const World *w, int r, const char *what);

uint64_t world_random(World *w);
/* 0..n-1 */
uint64_t world_draw(World *w, uint64_t n);
bool world_chance(World *w, unsigned permille);
/* usec, give or take a fifth */
usec_t world_about(World *w, usec_t usec);

void world_at(World *w, usec_t at, void (*fn)(World *w, void *arg, uint64_t token), void *arg, uint64_t token);
/* Lets everything happen that happens before `until`. */
void world_run(World *w, usec_t until);
/* The server forgets everything: its disk was lost. */
void world_server_amnesia(World *w);

/* NULL: nobody has it. */
Peer *world_peer_at(const World *w, const Endpoint *e);

/* A call, to be sent with call_send(), which owns it from then on. */
Call *call_new(Peer *from, Verb verb, CallDone done);
void call_send(Call *c, const Request *q);

/* ---- the text of a document, and a digest that is none of cryptography's but differs when the text does ---------- */

void document_text(uint32_t number, Buf *b);
void document_digest(Slice text, Digest *ret);
