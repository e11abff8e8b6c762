/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * A simulated peer: what the peer daemon wires together, without its sockets, threads and disk. Its library and its
 * cookie outlive a crash.
 */

#include "core/pull-plan.h"
#include "world.h"

/* What is wrong with a peer. */
typedef enum Lie {
        LIE_NONE,
        LIE_BYTES,                      /* serves other bytes than it states */
        LIE_DIGEST,                     /* states and serves texts of its own */
        LIE_CHORUS,                     /* states and serves what all of this kind do; two of them share a host */
        LIE_TWO_FACED,                  /* states texts of its own, serves the true ones */
        LIE_HEARSAY,                    /* tells that strangers and honest peers hold what they don't */
        LIE_BABBLE,                     /* its index is cut short, out of order, double, or rubbish */
        LIE_ENDLESS,                    /* its index never ends; nor does its document */
        _LIE_MAX,
} Lie;

typedef enum RunWant {
        RUN_ANY,
        RUN_MUST_FIND,                  /* an honest peer holds it, and nothing changes */
        RUN_MUST_MISS,                  /* nobody has it, likewise */
        RUN_COPY,                       /* by what is known, as for Store.MinReplicas= */
} RunWant;

/* A lookup that runs. */
typedef struct Run Run;
struct Run {
        Run *next;
        uint64_t id;
        uint32_t number;
        bool must_find, must_miss, is_copy;
        Lookup *lookup;
        usec_t began_at;
        usec_t wakes_at;
        unsigned n_asks, n_fetches;
};

/* What a peer held at a generation of its index: the sum of document_sum(). */
typedef struct Said {
        uint64_t number;
        uint64_t sum;
} Said;

struct Peer {
        World *world;
        unsigned n;
        Endpoint endpoint;
        /* what it is like */
        Lie lie;
        bool suspect;                   /* is honest, but was not always, or shares a host with one who lies */
        bool reads;                     /* pulls indexes */
        unsigned group;                 /* where it is when the network falls apart */
        int64_t wall_usec;              /* its clock on the wall is ahead by that */
        /* what outlives a crash */
        uint32_t *has;                  /* ascending */
        size_t n_has, max_has;
        usec_t removed_at;              /* the last of what it has no more */
        uint64_t cookie;
        /* what does not */
        bool alive;
        unsigned life;                  /* counts starts */
        bool leaving;                   /* stops when it has left */
        usec_t started_at;
        usec_t died_at;
        usec_t heard_at;                /* when the server last heard of it */
        usec_t listed_at;               /* when its last complete list was; 0: none in this life */
        Membership membership;
        usec_t wakes_at;
        RfcIndex *index;
        Holders *holders;
        Run *runs;
        /* its pulls */
        PullPlan *plan;                 /* NULL: it does not pull */
        usec_t pulls_at;
        bool servers_away;              /* at the last list */
        usec_t *touched_at;             /* [peer]: its copy was last changed otherwise than by a pull */
        /* its own index, as encoded last */
        Generation encoded;
        Buf body;
        IndexChanges *changes;
        Digest body_digest;
        /* what it held at each generation of this life */
        Said *said;
        size_t n_said, max_said;
};

Peer *peer_new(World *w, unsigned n);
Peer *peer_free(Peer *p);
/* NULL: nobody has it. */
Peer *world_peer_at(const World *w, const Endpoint *e);
/* Its host: two peers may share one. */
unsigned peer_host(const Peer *p);
/* Which texts it states: 0 the true ones, as in document_text(). */
unsigned peer_text(const Peer *p);
/* Living peers that have it. */
unsigned world_count_copies(const World *w, uint32_t number);
/* Its clocks. */
Now peer_now(const Peer *p);

void peer_start(Peer *p);
void peer_crash(Peer *p);
/* Says goodbye first. */
void peer_leave(Peer *p);
bool peer_has(const Peer *p, uint32_t number);
void peer_add_document(Peer *p, uint32_t number);
void peer_remove_document(Peer *p, uint32_t number);
/* The library is lost; while it is not there. */
void peer_remove_all(Peer *p);
/* By its own word, which may be a lie. */
void peer_describe(const Peer *p, uint32_t number, uint64_t *ret_size, Digest *ret);

/* serve.c: answers a request of another peer; false: never */
bool peer_serve(Peer *p, Call *c, const MsgHead *head);

/* lookup-run.c */
void run_free_all(Peer *p);
/* Until no lookup of anybody runs; that they end is seen to by each of them. */
void run_drain(World *w);
void run_server_told(Peer *p, uint64_t id, LookupOutcome outcome);
/* Starts a lookup, unless the peer is not there or has the document. */
void peer_look_up(Peer *p, uint32_t number, RunWant want);

/* list.c: asks the server for all pages; then tells that lookup (0: plans pulls) */
void peer_query_list(Peer *p, uint64_t run);

/* pull.c */
void peer_start_pulling(Peer *p);
void peer_stop_pulling(Peer *p);
/* A list is there, or could not be had. */
void peer_plan_pulls(Peer *p, bool servers_away);

/*
 * merge.c: merges the answer to an RFCQuery; false: it was none, and nothing changed. digest: what it must come to, or
 * NULL.
 */
bool peer_merge(Peer *p, const Endpoint *source, IndexMergeKind kind, const RfcSet *set, usec_t sent_at,
                const Digest *digest, Slice body);
/* A peer was caught lying. */
void peer_quarantine(Peer *p, const Endpoint *e);
/* Is the copy of that index what its holder had at that generation? */
bool peer_copy_is_right(Peer *p, const Endpoint *holder, Generation g, const Digest *expected);
