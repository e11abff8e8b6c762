/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * The simulated world: a clock that nobody waits for, events in their order, one source of random numbers, a network
 * that loses and delays messages and falls apart, a registration server and its peers. Core only, one thread: the same
 * seed gives the same run to the last byte, which `trace` sums up. What travels are encoded bytes, so writers and
 * parsers take part.
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

/* What background pulls ask for. */
typedef enum PullWay {
        PULL_DELTAS,                    /* as it is: 226 where it can be, 304, 200 */
        PULL_NO_DELTAS,                 /* nobody sends a 226: a 200 instead */
        PULL_WHOLE,                     /* a 200 each time */
} PullWay;

typedef struct WorldConf {
        uint64_t seed;
        unsigned n_peers;
        unsigned n_readers;             /* those of them that pull indexes; the others learn by lookups alone */
        unsigned n_documents;           /* numbers 1..n */
        usec_t ttl_usec;                /* of leases and records */
        usec_t keep_alive_usec;
        usec_t pull_usec;               /* Index.PullIntervalSec= */
        usec_t wish_usec;               /* a peer looks up something so often */
        uint32_t peers_per_reply;
        unsigned absent_permille;       /* of the peers are not there at first */
        bool liars;
        bool only_readers_look_up;      /* what others wish they just have */
        PullWay pull_way;
        bool verbose;
} WorldConf;

/* What went over the wire, heads and bodies. */
typedef struct Traffic {
        unsigned long n;
        uint64_t bytes;
} Traffic;

/* How background pulls ended, and what they cost. */
typedef struct PullCount {
        unsigned long n_full, n_delta, n_same, n_refused, n_healed;
        uint64_t bytes;                 /* heads and bodies, both ways */
        usec_t reader_usec;             /* lived by readers meanwhile */
} PullCount;

typedef struct LookupCount {
        unsigned long n, n_by_result[16];
        Traffic by_verb[_VERB_MAX];     /* sent on behalf of lookups; those that were lost too */
        usec_t usec, longest_usec;
} LookupCount;

typedef struct WorldCount {
        unsigned long events, calls, lost, cut, refused, quarantines, crashes, leaves, joins, partitions, jumps;
        unsigned long checked, copies_checked, deaths_checked, fooled;
        unsigned long copies;           /* documents fetched because too few held them */
        unsigned long copies_needless;  /* of which there were enough by then */
        uint64_t copy_bytes;
        PullCount pull;
        LookupCount lookup;
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
        void (*heard)(Call *c);         /* once, before the end: an RFCQuery is connected, or the first bytes of a
                                           document came; NULL: nobody cares */
        Slice tail;                     /* of the body, borrowed from the world */
        /* for `done` */
        uint64_t run;                   /* the lookup it is for, 0: none */
        MembershipDo what;
        void *list;                     /* of a PQuery; owned */
        void (*list_free)(void *);
        uint32_t number;
        Generation asked;               /* an RFCQuery: If-Generation: */
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
        Buf endless;                    /* more lines than an answer may have; empty until somebody sends it */
        usec_t wish_gap_usec;           /* between two lookups of anybody's */
        /* faults */
        unsigned loss_permille;         /* of requests, and of replies */
        bool split;                     /* the groups can't reach each other */
        bool server_up;
        int64_t server_wall_usec;       /* its clock on the wall is ahead by that */
        /* the server */
        PeerList *list;
        RegistrarConf registrar;
        Peer **peers;
        WorldCount count;
};

#define SIM_CALL_TIMEOUT (2 * USEC_PER_SEC)
#define SIM_LATENCY_MAX (20 * USEC_PER_MSEC)
/* It takes so long from the last word of somebody until all have it. */
#define SIM_SLACK (SIM_LATENCY_MAX + USEC_PER_MSEC)

World *world_new(const WorldConf *conf);
World *world_free(World *w);
/* Prints what went wrong, seed and time, and ends the program. */
void world_fail(const World *w, const char *format, ...) _printf_(2, 3) __attribute__((noreturn));
void world_say(const World *w, const char *format, ...) _printf_(2, 3);
/* An int result that must be 0. */
void world_must(const World *w, int r, const char *what);
/* As realloc, but never fails. */
void *world_grow(void *p, size_t n, size_t size);

uint64_t world_random(World *w);
/* 0..n-1 */
uint64_t world_draw(World *w, uint64_t n);
bool world_chance(World *w, unsigned permille);
/* usec, give or take a fifth */
usec_t world_about(World *w, usec_t usec);
/* 0..n-1, the low ones far more often: as few documents are wanted by all, and most by hardly anybody. */
uint64_t world_draw_uneven(World *w, uint64_t n);

void world_at(World *w, usec_t at, void (*fn)(World *w, void *arg, uint64_t token), void *arg, uint64_t token);
/* Lets everything happen that happens before `until`. */
void world_run(World *w, usec_t until);
static inline usec_t world_in(const World *w, usec_t usec) {
        return w->now.boottime + usec;
}

/* ---- net.c ------------------------------------------------------------------------------------------------------ */

/* The server forgets everything: its disk was lost. */
void world_server_amnesia(World *w);
/* A call, to be sent with call_send(), which owns it from then on. */
Call *call_new(Peer *from, Verb verb, CallDone done);
void call_send(Call *c, const Request *q);
Call *call_free(Call *c);

/* ---- document.c: texts, and a digest that is none of cryptography's but differs when the text does --------------- */

/* lie: 0 is the true one. */
void document_text(uint32_t number, unsigned lie, Buf *b);
void document_digest(Slice text, Digest *ret);
void document_describe(uint32_t number, unsigned lie, uint64_t *ret_size, Digest *ret);
/*
 * What a list of documents comes to, whatever their order: the sum of this. Made from the line that Index-Digest covers,
 * but here by other code than there.
 */
uint64_t document_sum(uint32_t number, uint64_t size, const Digest *digest);
#define DOCUMENT_TITLE "A Document"
