/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/holders.h"

#include <bsd/sys/queue.h>
#include <bsd/sys/tree.h>
#include <errno.h>

#define HOLDERS_SERVERS_MAX 32

typedef struct Holder Holder;
struct Holder {
        RB_ENTRY(Holder) by_endpoint;
        RB_ENTRY(Holder) by_rank;
        TAILQ_ENTRY(Holder) link;       /* in `stale`, if is_stale */
        Endpoint endpoint;
        uint64_t hash;
        char *host;                     /* owned; NULL: not known */
        uint32_t peer_id;
        uint32_t listed;                /* bit n: server n lists it */
        uint32_t marked;                /* bit n: it is on the list of server n that is being read */
        uint8_t id_server;              /* who gave peer_id */
        bool is_static;
        bool last_known;
        bool is_stale;                  /* nobody names it; kept for its faults */
        unsigned n_failures;            /* refused or timed out in a row; no fault, only a worse place */
        unsigned n_faults;
        unsigned n_transfers;           /* documents that are being fetched from it */
        usec_t rtt_usec;
        usec_t quarantined_until;
        usec_t forgiven_at;             /* end of the fault-free span after the last quarantine */
        usec_t seen_at;
        usec_t confirmed_at;
        Generation generation;
};

RB_HEAD(HolderTree, Holder);
RB_HEAD(HolderRank, Holder);
TAILQ_HEAD(HolderQueue, Holder);

struct Holders {
        struct HolderTree tree;
        struct HolderRank rank;
        struct HolderQueue stale;       /* in the order in which they became so */
        HoldersLimits limits;
        uint64_t hash_key[2];
        size_t n_holders;
        size_t n_listed;
};

static int compare_endpoint(const Holder *a, const Holder *b) {
        return endpoint_compare(&a->endpoint, &b->endpoint);
}

#define COMPARE(a, b) ((a) < (b) ? -1 : (a) > (b))

static int compare_rank(const Holder *a, const Holder *b) {
        if (a->n_failures != b->n_failures)
                return COMPARE(a->n_failures, b->n_failures);
        if ((a->rtt_usec == 0) != (b->rtt_usec == 0))
                return a->rtt_usec == 0 ? 1 : -1;
        if (a->rtt_usec != b->rtt_usec)
                return COMPARE(a->rtt_usec, b->rtt_usec);
        if (a->hash != b->hash)
                return COMPARE(a->hash, b->hash);
        return endpoint_compare(&a->endpoint, &b->endpoint);
}

RB_GENERATE_INTERNAL(HolderTree, Holder, by_endpoint, compare_endpoint, __attribute__((unused)) static)
RB_GENERATE_INTERNAL(HolderRank, Holder, by_rank, compare_rank, __attribute__((unused)) static)

int holders_new(const HoldersLimits *limits, const uint64_t hash_key[2], Holders **ret) {
        Holders *h = calloc(1, sizeof(Holders));
        if (!h)
                return -ENOMEM;

        RB_INIT(&h->tree);
        RB_INIT(&h->rank);
        TAILQ_INIT(&h->stale);
        h->limits = *limits;
        memcpy(h->hash_key, hash_key, sizeof(h->hash_key));
        *ret = h;
        return 0;
}

static void holder_remove(Holders *h, Holder *p) {
        RB_REMOVE(HolderTree, &h->tree, p);
        RB_REMOVE(HolderRank, &h->rank, p);
        if (p->is_stale)
                TAILQ_REMOVE(&h->stale, p, link);
        h->n_holders--;
        free(p->host);
        free(p);
}

Holders *holders_free(Holders *h) {
        if (!h)
                return NULL;

        for (Holder *p; (p = RB_MIN(HolderTree, &h->tree));)
                holder_remove(h, p);
        free(h);
        return NULL;
}

void holders_set_limits(Holders *h, const HoldersLimits *limits) {
        h->limits = *limits;
}

static Holder *find(const Holders *h, const Endpoint *e) {
        /* RB_FIND takes a key of the element's type and reads the endpoint only. It wants the head without const. */
        Holder key = { .endpoint = *e };
        return RB_FIND(HolderTree, (struct HolderTree *) &h->tree, &key);
}

/* The holder of that endpoint, made if there is none; then nobody names it yet. 0, FULL, -ENOMEM. */
static int find_or_add(Holders *h, const Endpoint *e, Holder **ret) {
        Holder *p = find(h, e);
        if (p) {
                *ret = p;
                return 0;
        }

        if (h->n_holders >= HOLDERS_MAX) {
                Holder *stale = TAILQ_FIRST(&h->stale);
                if (!stale)
                        return HOLDERS_FULL;
                holder_remove(h, stale);
        }

        p = calloc(1, sizeof(Holder));
        if (!p)
                return -ENOMEM;

        p->endpoint = *e;
        p->hash = endpoint_hash(e, h->hash_key);
        RB_INSERT(HolderTree, &h->tree, p);
        RB_INSERT(HolderRank, &h->rank, p);
        h->n_holders++;
        *ret = p;
        return 0;
}

/* After a change of who names it: it goes, is kept for its faults, or is no longer stale. */
static void settle(Holders *h, Holder *p) {
        bool named = p->listed != 0 || p->is_static || p->last_known;

        if (!named && p->n_faults == 0) {
                holder_remove(h, p);
                return;
        }
        if (named == !p->is_stale)
                return;

        if (named)
                TAILQ_REMOVE(&h->stale, p, link);
        else
                TAILQ_INSERT_TAIL(&h->stale, p, link);
        p->is_stale = !named;
}

/* Approximate on purpose: one that was forgiven waits for those before it, which is 2 * quarantine_max_usec at most. */
static void drop_forgiven(Holders *h, const Now *now) {
        for (Holder *p; (p = TAILQ_FIRST(&h->stale)) && p->forgiven_at <= now->boottime;)
                holder_remove(h, p);
}

void holders_list_begin(Holders *h, unsigned server) {
        Holder *p;

        assert(server < HOLDERS_SERVERS_MAX);
        RB_FOREACH(p, HolderTree, &h->tree)
                p->marked &= ~(UINT32_C(1) << server);
}

static int set_host(Holder *p, Slice host) {
        size_t size = MIN_OF(host.size, (size_t) PROTO_HOST_MAX);
        if (slice_equal(slice_of(p->host), (Slice){ host.data, size }))
                return 0;

        char *copy = NULL;
        if (size > 0) {
                copy = strndup(host.data, size);
                if (!copy)
                        return -ENOMEM;
        }
        free(p->host);
        p->host = copy;
        return 0;
}

int holders_list_add(Holders *h, unsigned server, const Endpoint *e, uint32_t peer_id, Slice host, const Now *now) {
        assert(server < HOLDERS_SERVERS_MAX);
        drop_forgiven(h, now);

        Holder *p;
        int r = find_or_add(h, e, &p);
        if (r != 0)
                return r;

        r = set_host(p, host);
        if (r < 0) {
                settle(h, p);
                return r;
        }

        uint32_t bit = UINT32_C(1) << server;
        if (p->listed == 0)
                h->n_listed++;
        p->listed |= bit;
        p->marked |= bit;
        p->last_known = true;
        if (p->peer_id == 0 || server <= p->id_server) {
                p->peer_id = peer_id;
                p->id_server = (uint8_t) server;
        }
        settle(h, p);
        return 0;
}

void holders_list_end(Holders *h, unsigned server, bool complete) {
        assert(server < HOLDERS_SERVERS_MAX);
        if (!complete)
                return;

        uint32_t bit = UINT32_C(1) << server;
        Holder *next;
        for (Holder *p = RB_MIN(HolderTree, &h->tree); p; p = next) {
                next = RB_NEXT(HolderTree, &h->tree, p);
                if (p->marked & bit)
                        continue;

                if (p->listed == bit)
                        h->n_listed--;
                if ((p->listed & bit) && p->id_server == server)
                        p->peer_id = 0;
                p->listed &= ~bit;
                if (p->listed == 0)
                        p->last_known = false;
                settle(h, p);
        }
}

int holders_add_static(Holders *h, const Endpoint *e) {
        Holder *p;
        int r = find_or_add(h, e, &p);
        if (r != 0)
                return r;

        p->is_static = true;
        settle(h, p);
        return 0;
}

void holders_clear_static(Holders *h) {
        Holder *next;
        for (Holder *p = RB_MIN(HolderTree, &h->tree); p; p = next) {
                next = RB_NEXT(HolderTree, &h->tree, p);
                p->is_static = false;
                settle(h, p);
        }
}

int holders_add_last_known(Holders *h, const Endpoint *e) {
        Holder *p;
        int r = find_or_add(h, e, &p);
        if (r != 0)
                return r;

        p->last_known = true;
        settle(h, p);
        return 0;
}

static void to_info(const Holder *p, HolderInfo *ret) {
        *ret = (HolderInfo){
                .endpoint = p->endpoint,
                .peer_id = p->peer_id,
                .host = p->host ? p->host : "",
                .listed = p->listed != 0,
                .is_static = p->is_static,
                .last_known = p->last_known,
                .rtt_usec = p->rtt_usec,
                .quarantined_until = p->quarantined_until,
                .n_faults = p->n_faults,
                .seen_at = p->seen_at,
                .confirmed_at = p->confirmed_at,
                .generation = p->generation,
        };
}

bool holders_get(const Holders *h, const Endpoint *e, HolderInfo *ret) {
        const Holder *p = find(h, e);
        if (!p)
                return false;

        to_info(p, ret);
        return true;
}

static bool may_dial(const Holder *p, bool servers_away, const Now *now) {
        if (p->quarantined_until > now->boottime)
                return false;
        return p->listed != 0 || p->is_static || (servers_away && p->last_known);
}

bool holders_may_dial(const Holders *h, const Endpoint *e, bool servers_away, const Now *now) {
        const Holder *p = find(h, e);
        return p && may_dial(p, servers_away, now);
}

size_t holders_dialable(const Holders *h, bool servers_away, const Now *now, Endpoint *ret, size_t n) {
        size_t n_all = 0;
        Holder *p;

        RB_FOREACH(p, HolderRank, (struct HolderRank *) &h->rank) {
                if (!may_dial(p, servers_away, now))
                        continue;
                if (n_all < n)
                        ret[n_all] = p->endpoint;
                n_all++;
        }
        return n_all;
}

static int compare(const Holders *h, const Endpoint *a, const Endpoint *b, bool by_load) {
        const Holder *p = find(h, a), *q = find(h, b);
        if (p && q && by_load && p->n_transfers != q->n_transfers)
                return COMPARE(p->n_transfers, q->n_transfers);
        if (p && q)
                return compare_rank(p, q);
        if (p || q)
                return p ? -1 : 1;
        return endpoint_compare(a, b);
}

int holders_compare(const Holders *h, const Endpoint *a, const Endpoint *b) {
        return compare(h, a, b, false);
}

int holders_compare_load(const Holders *h, const Endpoint *a, const Endpoint *b) {
        return compare(h, a, b, true);
}

bool holders_next(const Holders *h, const Endpoint *after, HolderInfo *ret) {
        struct HolderTree *tree = (struct HolderTree *) &h->tree;
        Holder *p;

        if (after) {
                Holder key = { .endpoint = *after };
                p = RB_NFIND(HolderTree, tree, &key);
                if (p && endpoint_equal(&p->endpoint, after))
                        p = RB_NEXT(HolderTree, tree, p);
        } else
                p = RB_MIN(HolderTree, tree);
        if (!p)
                return false;

        to_info(p, ret);
        return true;
}

size_t holders_count(const Holders *h) {
        return h->n_holders;
}

size_t holders_count_listed(const Holders *h) {
        return h->n_listed;
}

/* Every change of what compare_rank() reads goes through here: a tree whose keys change in place is no tree. */
static void set_rank(Holders *h, Holder *p, unsigned n_failures, usec_t rtt_usec) {
        if (p->n_failures == n_failures && p->rtt_usec == rtt_usec)
                return;

        RB_REMOVE(HolderRank, &h->rank, p);
        p->n_failures = n_failures;
        p->rtt_usec = rtt_usec;
        RB_INSERT(HolderRank, &h->rank, p);
}

void holders_answered(Holders *h, const Endpoint *e, usec_t rtt_usec, const Now *now) {
        Holder *p = find(h, e);
        if (!p)
                return;
        p->seen_at = now->boottime;
        if (rtt_usec == USEC_INFINITY) {
                set_rank(h, p, 0, p->rtt_usec);
                return;
        }

        /* Jacobson's smoothing, as TCP does it (RFC 6298). 0 means "not measured", so what is too fast to measure is
         * 1. */
        usec_t sample = MIN_OF(MAX_OF(rtt_usec, (usec_t) 1), USEC_PER_HOUR);
        usec_t smooth = p->rtt_usec == 0 ? sample : (7 * p->rtt_usec + sample) / 8;
        set_rank(h, p, 0, MAX_OF(smooth, (usec_t) 1));
}

void holders_failed(Holders *h, const Endpoint *e) {
        Holder *p = find(h, e);
        if (p && p->n_failures < UINT32_MAX)
                set_rank(h, p, p->n_failures + 1, p->rtt_usec);
}

void holders_begin_transfer(Holders *h, const Endpoint *e) {
        Holder *p = find(h, e);
        if (p)
                p->n_transfers++;
}

void holders_end_transfer(Holders *h, const Endpoint *e) {
        Holder *p = find(h, e);
        if (p && p->n_transfers > 0)
                p->n_transfers--;
}

usec_t holders_fault(Holders *h, const Endpoint *e, const Now *now) {
        Holder *p = find(h, e);
        if (!p)
                return 0;

        p->generation = (Generation){ 0, 0 };
        p->confirmed_at = 0;
        if (p->quarantined_until > now->boottime)
                return p->quarantined_until - now->boottime;

        if (now->boottime >= p->forgiven_at)
                p->n_faults = 0;

        const usec_t max = h->limits.quarantine_max_usec;
        usec_t usec = usec_doubled(MIN_OF(h->limits.quarantine_usec, max), p->n_faults, max);

        p->n_faults++;
        p->quarantined_until = usec_add(now->boottime, usec);
        p->forgiven_at = usec_add(p->quarantined_until, h->limits.quarantine_max_usec);
        return usec;
}

void holders_confirmed(Holders *h, const Endpoint *e, Generation g, usec_t sent_at) {
        Holder *p = find(h, e);
        if (!p || sent_at < p->confirmed_at)
                return;

        p->generation = g;
        p->confirmed_at = sent_at;
}
