/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * A simulated peer: what the peer daemon wires together, without its sockets, threads and disk. Its library and its
 * cookie outlive a crash.
 */

#include "world.h"

/* A lookup that runs. */
typedef struct Run Run;
struct Run {
        Run *next;
        uint64_t id;
        uint32_t number;
        Lookup *lookup;
        usec_t wakes_at;
        unsigned n_asks, n_fetches;
};

struct Peer {
        World *world;
        unsigned n;
        Endpoint endpoint;
        /* what it is like */
        bool lies;                      /* serves other bytes than it states */
        bool poisons;                   /* tells of holders that are none */
        /* what outlives a crash */
        bool *has;                      /* [number]: document in the library */
        uint64_t cookie;
        /* what does not */
        bool alive;
        unsigned life;                  /* counts starts */
        bool leaving;                   /* stops when it has left */
        usec_t died_at;
        usec_t heard_at;                /* when the server last heard of it */
        usec_t listed_at;               /* when its last complete list was; 0: none in this life */
        Membership membership;
        usec_t wakes_at;
        RfcIndex *index;
        Holders *holders;
        Run *runs;
        int *result;                    /* [number]: LookupResult of the last lookup; -1: still running */
};

Peer *peer_new(World *w, unsigned n);
Peer *peer_free(Peer *p);

void peer_start(Peer *p);
void peer_crash(Peer *p);
/* Says goodbye first. */
void peer_leave(Peer *p);
void peer_add_document(Peer *p, uint32_t number);
void peer_remove_document(Peer *p, uint32_t number);
/* Starts a lookup, unless it has the document. */
void peer_look_up(Peer *p, uint32_t number);

/* Answers a request of another peer. */
void peer_serve(Peer *p, Call *c, const MsgHead *head);

/* lookup-run.c */
void run_free_all(Peer *p);
void run_server_told(Peer *p, uint64_t id, LookupOutcome outcome);

/* Asks the server for all pages; then tells that lookup (0: a pull round begins). */
void peer_query_list(Peer *p, uint64_t run);
/* Merges the answer to an RFCQuery; false: it was none. */
bool peer_merge(Peer *p, const Endpoint *source, IndexMergeKind kind, const RfcSet *set, usec_t sent_at, Slice body);
