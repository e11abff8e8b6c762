/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * Replicate: what to fetch next so that what the group holds is here too, and who of a group keeps which copy.
 *
 * The plan is made of candidates, one for each number that anybody holds. What may be taken is what cannot have been made
 * up by one liar: a number that the RFC Editor's index knows as issued, or whose text is agreed or verified; never one
 * that is disputed; and nothing that does not fit. Rarest first, so that what would be lost with one holder is safe
 * soonest; equals in an order of this peer's own, so that not all peers ask for the same at the same time.
 *
 * Who keeps which copy is told by rendezvous hashing (highest random weight): a peer's weight for a number is a hash of
 * the two that everybody computes alike, and the copies belong to the peers with the highest. No coordinator, no
 * messages: a peer that comes or goes moves only its own share, and the shares are even.
 */

#include "core/address.h"
#include "core/base.h"

/* Why a candidate is not fetched. */
typedef enum ReplicateSkip {
        REPLICATE_HELD,                 /* is in the library */
        REPLICATE_UNKNOWN,              /* not in the editor's index, and neither agreed nor verified */
        REPLICATE_DISPUTED,             /* its holders state different texts, and none is agreed */
        REPLICATE_TOO_LARGE,            /* over Store.MaxFileSize= */
        REPLICATE_NO_HOLDER,            /* nobody who may be asked says that he holds it */
        REPLICATE_NO_ROOM,              /* the library would grow over its limit */
        _REPLICATE_SKIP_MAX,
} ReplicateSkip;

/* "held", "unknown", "disputed", "too-large", "no-holder", "no-room". */
const char *replicate_skip_name(ReplicateSkip s);

/* One number; none comes twice. */
typedef struct ReplicateCandidate {
        uint32_t number;
        uint64_t size;                  /* of the text that would be taken */
        uint32_t n_holders;             /* that state that text themselves and may be asked */
        bool held;
        bool issued;                    /* the editor's index knows the number as issued */
        bool agreed;                    /* the text is agreed or verified */
        bool disputed;
} ReplicateCandidate;

typedef struct ReplicateItem {
        uint32_t number;
        uint32_t n_holders;
        uint64_t size;
        uint64_t tie;                   /* of the plan's own */
} ReplicateItem;

typedef struct ReplicateCount {
        uint64_t n, bytes;              /* documents, and what they are said to be long together */
} ReplicateCount;

typedef struct ReplicateConf {
        uint64_t room;                  /* bytes by which the library may grow */
        uint64_t max_file_size;
        uint64_t key[2];                /* random: the order among equals */
} ReplicateConf;

/* At most that many documents in one plan, 24 MiB: more than ten times as many as there are RFCs; the rest has no room. */
#define REPLICATE_ITEMS_MAX 1000000

typedef struct ReplicatePlan {
        ReplicateConf conf;
        ReplicateItem *items;           /* owned; after replicate_plan_end() in the order to fetch */
        size_t n_items, n_allocated;
        size_t at;
        ReplicateCount planned;         /* after replicate_plan_end() */
        ReplicateCount skipped[_REPLICATE_SKIP_MAX];
} ReplicatePlan;

void replicate_plan_init(ReplicatePlan *p, const ReplicateConf *conf);
void replicate_plan_done(ReplicatePlan *p);
/* Takes it in, or counts why not. 0, -ENOMEM. */
int replicate_plan_add(ReplicatePlan *p, const ReplicateCandidate *c) _must_check_;
/* All candidates were added: the order is made, and what has no room is counted as that. */
void replicate_plan_end(ReplicatePlan *p);
/* The next one; false: that was all. */
bool replicate_plan_next(ReplicatePlan *p, ReplicateItem *ret);

/* ---- who keeps which copy -------------------------------------------------------------------------------------- */

/* Store.MinReplicas= is at most this. */
#define REPLICATE_REPLICAS_MAX 64

/* The same on every peer, for ever: it decides where copies are. */
uint64_t replicate_weight(uint32_t number, const Endpoint *peer);
/*
 * How many of `others` come before this peer for that number; it counts with the best of its own n_self endpoints. Who is
 * one of these himself, or among `except`, is passed over. O(n_others * (n_self + n_except)).
 */
size_t replicate_rank(uint32_t number, const Endpoint *self, size_t n_self, const Endpoint *others, size_t n_others,
                      const Endpoint *except, size_t n_except);
/*
 * Is the own copy one of the n_replicas that stay, of all the holders (this peer not among them)? Where nothing but this
 * is looked at when a copy is given up, as many stay, whoever else gives up his at the same time. holders: all that are
 * known; n_replicas 0: none has to stay.
 */
bool replicate_keeps(uint32_t number, unsigned n_replicas, const Endpoint *self, size_t n_self,
                     const Endpoint *holders, size_t n_holders);
/*
 * Is it this peer's turn to make one of the copies that are missing? holders: those who have one, this peer not among
 * them; peers: all active ones. n_rounds: how often it was found missing before; each time but the first one more peer
 * feels meant, as those who were meant before may be full, or not take part. Missed for the first time: never, since
 * whoever was away for a moment comes back.
 */
bool replicate_takes(uint32_t number, unsigned n_replicas, unsigned n_rounds, const Endpoint *self, size_t n_self,
                     const Endpoint *peers, size_t n_peers, const Endpoint *holders, size_t n_holders);
