/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * PeerList: the registration server's memory of who is registered: cookies, peer ids, addresses, leases, and the
 * registrations of the last 30 days (protocol, section 2). Nothing about documents, no sockets, no disk: changes are
 * handed out as PeerInfo snapshots and come back as such at the next start.
 *
 * No operation scans the table: a renewal costs O(1), a list what it answers (O(log n) a line), expiry what expired:
 * leases of equal length end in the order in which they were renewed, so there is one list of leases per TTL in use and
 * the next to end is at the head of one of them. The same holds for inactive records and the retention.
 *
 * Loopback: peers registered under a loopback address are of use to askers on loopback only, so what lists has a bool
 * `loopback`: true, all active peers; false, all but those. Either way the others cost nothing.
 *
 * Sized for a million peers at up to 256 bytes each with a name of 24 bytes (names of 32 and more cost their size on
 * top). Beyond 32,768 their records lie in memory that the caller may provide, see PeerListMemory.
 *
 * The caller runs peer_list_expire() until it says false before it asks for a list, with the same Now: what has ended
 * by then is still listed until told so. Renewals look at the clock themselves.
 */

#include "core/address.h"
#include "core/base.h"

#define PEER_DAYS 30
#define PEER_HOST_MAX 253       /* PROTO_HOST_MAX */

typedef struct PeerList PeerList;

typedef struct PeerListLimits {
        usec_t ttl_usec;                /* of a lease that starts or is renewed from now on */
        uint32_t max_peers;             /* records, active or not */
        uint32_t max_per_source;        /* active peers listed under one source, see address_source() */
        usec_t retention_usec;          /* how long an inactive peer keeps its cookie and id, on boottime */
} PeerListLimits;

/* One peer, as it is shown, written to disk and read from it. */
typedef struct PeerInfo {
        uint32_t id;                    /* 1.. in order of first registration, never used twice */
        uint64_t cookie;
        bool active;
        bool advertised;                /* the address is what the peer named, not where it came from */
        Endpoint endpoint;
        usec_t expires_at;              /* boottime; active: end of the lease; inactive: when the record is forgotten */
        usec_t registered_at;           /* realtime of the last Register */
        int32_t first_day;              /* day of counts[0], as days since 1970-01-01 UTC */
        uint16_t counts[PEER_DAYS];     /* registrations: [0] on first_day, the latest; [i] i days before; stop at 65535 */
        const char *host;               /* its word, escaped by whoever shows it; never NULL, at most PEER_HOST_MAX bytes */
} PeerInfo;

/* Answers */
enum {
        PEER_LIST_UNKNOWN = 1,          /* no such cookie: 401 */
        PEER_LIST_INACTIVE,             /* known, but its lease has ended */
        PEER_LIST_FULL,                 /* max_peers, and no inactive record could be forgotten instead: 503 */
        PEER_LIST_SOURCE_FULL,          /* max_per_source: 429 */
        PEER_LIST_TAKEN,                /* the fresh cookie or the restored record collides */
};

/* hash_key: random. -ENOMEM. */
int peer_list_new(const PeerListLimits *limits, const uint64_t hash_key[2], PeerList **ret) _must_check_;
PeerList *peer_list_free(PeerList *l);
DEFINE_CLEANUP(PeerList *, peer_list_free)

/*
 * Where the records of many peers come from. Any of them may be asked for at any time, which huge pages make three
 * times as cheap; and the kernel is not for this layer to ask. take() gives memory aligned to a cache line, or NULL;
 * sizes are multiples of PEER_LIST_MEMORY_UNIT.
 */
#define PEER_LIST_MEMORY_UNIT ((size_t) 2 << 20)
typedef struct PeerListMemory {
        void *(*take)(size_t size);
        void (*give_back)(void *memory, size_t size);
} PeerListMemory;
/* Before the first record; the heap else. */
void peer_list_set_memory(PeerList *l, const PeerListMemory *memory);

/*
 * Takes effect for renewals and departures from now on: a lease that runs keeps its end, an inactive record its day.
 * Lower limits throw nobody out: they refuse newcomers until there is room.
 */
void peer_list_set_limits(PeerList *l, const PeerListLimits *limits);

/* What a registration does. */
typedef struct PeerRegistration {
        uint64_t cookie;                /* of the peer, or 0: a new one */
        uint64_t fresh_cookie;          /* for a new peer; random, 1..PROTO_COOKIE_MAX */
        Endpoint endpoint;
        bool advertised;                /* see PeerInfo */
        Slice host;                     /* no NUL; cut to PEER_HOST_MAX bytes */
} PeerRegistration;

/*
 * Register: makes the peer active with a full lease, counts the day, and makes another active record of the same
 * endpoint (a ghost: one address and port can hold one peer only) inactive. A full table forgets the inactive record
 * that would be forgotten first. *ret_id: the peer's id; *ret_new: first registration; *ret_moved: came back under
 * another address. -ENOMEM, UNKNOWN (a cookie that is not in the list), FULL, SOURCE_FULL, TAKEN (fresh_cookie).
 * Nothing changed unless 0.
 */
int peer_list_register(PeerList *l, const PeerRegistration *reg, const Now *now,
                       uint32_t *ret_id, bool *ret_new, bool *ret_moved) _must_check_;
/*
 * KeepAlive: a full lease, and the address it came from (the port stays). -ENOMEM, UNKNOWN, INACTIVE, SOURCE_FULL (at
 * the new address). *ret_moved: the address changed. A moved record that now has the endpoint of another active one
 * makes that one inactive. Nothing changed unless 0.
 */
int peer_list_keepalive(PeerList *l, uint64_t cookie, const Address *address, const Now *now,
                        uint32_t *ret_id, bool *ret_moved) _must_check_;
/* PQuery: a full lease if active (0); INACTIVE (known, *ret_id is set, nothing renewed), UNKNOWN. */
int peer_list_touch(PeerList *l, uint64_t cookie, const Now *now, uint32_t *ret_id) _must_check_;
/* Leave: inactive. 0 also if it was already (*ret_was_active tells); UNKNOWN. */
int peer_list_leave(PeerList *l, uint64_t cookie, const Now *now, uint32_t *ret_id, bool *ret_was_active) _must_check_;

/* Snapshots; host stays valid until the next change of the list. false: no such id, no such cookie. */
bool peer_list_get(const PeerList *l, uint32_t id, PeerInfo *ret);
bool peer_list_find(const PeerList *l, uint64_t cookie, PeerInfo *ret);
/* What a list tells of one peer; the rest of PeerInfo is half a record, and a list has a thousand lines. */
typedef struct PeerListing {
        Endpoint endpoint;
        uint32_t id;
        usec_t expires_at;
        Slice host;
} PeerListing;
/* The first peer (active or not) whose id is > after; false: none. To walk over all: O(1) amortized. */
bool peer_list_next(const PeerList *l, uint32_t after, PeerInfo *ret);
/* The first active peer whose id is > after; false: none. O(log n), whatever gaps the inactive leave. */
bool peer_list_next_active(const PeerList *l, uint32_t after, bool loopback, PeerListing *ret);
/*
 * Up to n different active peers but the one with the id `except`, drawn uniformly, by ascending id; the draw depends on
 * `seed` alone. Gives how many. ret has room for n, and gets what peer_list_look() takes until the next change of the
 * list. O(n log n).
 */
size_t peer_list_sample(const PeerList *l, uint32_t except, bool loopback, size_t n, uint64_t seed, uint32_t *ret);
void peer_list_look(const PeerList *l, uint32_t sampled, PeerListing *ret);
/* That one will be looked at soon: among a million it is in no cache, and many can be fetched at the same time. */
void peer_list_look_ahead(const PeerList *l, uint32_t sampled);
/* Records, active or not. */
size_t peer_list_count(const PeerList *l);
size_t peer_list_count_active(const PeerList *l, bool loopback);

/* When peer_list_expire() has something to do, boottime; USEC_INFINITY: never. */
usec_t peer_list_next_expiry(const PeerList *l);
/*
 * Ends one lease (*ret_id, *ret_forgotten false) or forgets one record (its id, true) whose time has come. false: none
 * is left. To be called until it says so. A lease ends when now reaches expires_at.
 */
bool peer_list_expire(PeerList *l, const Now *now, uint32_t *ret_id, bool *ret_forgotten);

/*
 * Changes not yet on disk. Urgent are registrations (with the ghosts they lay) and departures; renewals and what time
 * has ended are not: if they are lost in a crash, time ends them again. Takes up to n ids from the queue, urgent ones
 * first, each kind oldest first; ids whose record is gone by now are to be deleted on disk (peer_list_get() says
 * false). Gives how many. An id is queued once of each kind, so it may come once more after its urgent change. Never
 * fails: the room is made when the record is.
 */
size_t peer_list_take_changes(PeerList *l, uint32_t *ret_ids, size_t n);
/*
 * It could not be written: urgent from now on. An id that is gone by now is gone on disk with the next start's
 * retention.
 */
void peer_list_put_back_change(PeerList *l, uint32_t id);
bool peer_list_has_changes(const PeerList *l);
bool peer_list_has_urgent_changes(const PeerList *l);

/*
 * Records from disk: begin an empty list, with how many are expected (a hint; 0: nobody knows), each record, end; until
 * then the list takes no requests. -ENOMEM.
 */
int peer_list_restore_begin(PeerList *l, size_t n_expected) _must_check_;
int peer_list_restore_end(PeerList *l) _must_check_;
/*
 * A record from disk. expires_at is already on this boot's clock. Ids must ascend. Of two active records with one endpoint (a crash came between the end of a lease and its writing) the
 * one whose lease ends later stays active. Queues no change, but for that. -ENOMEM, TAKEN (cookie double, or the id
 * does not ascend).
 */
int peer_list_restore(PeerList *l, const PeerInfo *info) _must_check_;
/* Ids given from now on are above this one. (Kept on disk, so that a forgotten peer's id is not given again.) */
void peer_list_set_last_id(PeerList *l, uint32_t last_id);
uint32_t peer_list_last_id(const PeerList *l);

/* Registrations in the 30 days that end with the day of `realtime`. */
uint32_t peer_info_registrations(const PeerInfo *info, usec_t realtime);
