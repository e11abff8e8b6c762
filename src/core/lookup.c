/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/lookup.h"

#include <bsd/sys/tree.h>
#include <errno.h>

/*
 * Records looked at in one go; those of one number are rarely more, and beyond it the table of holders is walked
 * instead.
 */
#define RECORDS_AT_ONCE 64

/* What this lookup has to do with one peer. */
typedef struct Try Try;
struct Try {
        RB_ENTRY(Try) node;
        Endpoint peer;
        unsigned n_fetches;
        bool asked;             /* its index */
        bool asking;            /* and it has not answered yet */
        bool busy;              /* its answer was BUSY, and it is to be asked again */
        bool was_busy;
        bool gone;              /* a fetch did not reach it: no use asking it either */
        bool spent;             /* not to be fetched from again */
};

RB_HEAD(TryTree, Try);

static int compare_try(const Try *a, const Try *b) {
        return endpoint_compare(&a->peer, &b->peer);
}

RB_GENERATE_INTERNAL(TryTree, Try, node, compare_try, __attribute__((unused)) static)

struct Lookup {
        LookupConf conf;
        struct TryTree tries;
        size_t n_tries;

        bool server_asked;
        bool server_told;
        bool none_active;       /* the server says so */
        bool servers_away;      /* so last known peers count */

        bool fetching;
        Endpoint fetching_from;

        Endpoint *queue;        /* peers to ask, best first, as of when it was filled */
        size_t n_queue, queue_at;
        unsigned n_asking;
        usec_t next_ask_at;
        usec_t busy_until;      /* then all who were busy may be asked again */

        bool any_answer;        /* of a peer, to this lookup or within fresh_usec */
        bool any_fault;         /* a fetch ended in one */
        bool undelivered;       /* a holder did not deliver, or is in quarantine */

        bool done;
        LookupResult result;
        int error;
};

int lookup_new(const LookupConf *conf, Lookup **ret) {
        Lookup *l = calloc(1, sizeof(Lookup));
        if (!l)
                return -ENOMEM;

        l->conf = *conf;
        l->conf.n_asks_max = MAX_OF(1u, MIN_OF(conf->n_asks_max, (unsigned) LOOKUP_ASKS_AT_ONCE));
        l->servers_away = !conf->has_servers;
        RB_INIT(&l->tries);
        *ret = l;
        return 0;
}

Lookup *lookup_free(Lookup *l) {
        if (!l)
                return NULL;

        for (Try *t; (t = RB_MIN(TryTree, &l->tries));) {
                RB_REMOVE(TryTree, &l->tries, t);
                free(t);
        }
        free(l->queue);
        free(l);
        return NULL;
}

static Try *find_try(Lookup *l, const Endpoint *peer) {
        Try key = { .peer = *peer };
        return RB_FIND(TryTree, &l->tries, &key);
}

static int find_or_add_try(Lookup *l, const Endpoint *peer, Try **ret) {
        Try *t = find_try(l, peer);
        if (!t) {
                t = calloc(1, sizeof(Try));
                if (!t)
                        return -ENOMEM;
                t->peer = *peer;
                RB_INSERT(TryTree, &l->tries, t);
                l->n_tries++;
        }
        *ret = t;
        return 0;
}

/* Peers can come and go faster than they are tried: without this bound a lookup might never end. */
static bool may_try(const Lookup *l, const Try *t) {
        return t || l->n_tries < HOLDERS_MAX;
}

/* ---- whom to fetch from (protocol, section 4, step 3) ------------------------------------------------------------ */

typedef struct Pick {
        bool found;
        RfcRecord record;
        bool quarantined;       /* a holder who might have been */
} Pick;

static void consider(Lookup *l, const Holders *h, const RfcRecord *record, const Now *now, Pick *pick) {
        const Try *t = find_try(l, &record->holder);
        if (!may_try(l, t) || (t && t->spent))
                return;

        if (!holders_may_dial(h, &record->holder, l->servers_away, now)) {
                HolderInfo info;
                if (holders_get(h, &record->holder, &info) && info.quarantined_until > now->boottime)
                        pick->quarantined |= info.listed || info.is_static || (l->servers_away && info.last_known);
                return;
        }

        if (pick->found) {
                if (pick->record.first_hand != record->first_hand) {
                        if (pick->record.first_hand)
                                return;
                } else if (holders_compare(h, &pick->record.holder, &record->holder) <= 0)
                        return;
        }
        pick->found = true;
        pick->record = *record;
}

static void pick_holder(Lookup *l, const RfcIndex *x, const Holders *h, const Now *now, Pick *ret) {
        RfcRecord records[RECORDS_AT_ONCE];
        Pick pick = { 0 };

        size_t n = rfc_index_find(x, l->conf.number, now, records, ELEMENTSOF(records));
        for (size_t i = 0; i < MIN_OF(n, ELEMENTSOF(records)); i++)
                consider(l, h, &records[i], now, &pick);

        /* More than were looked at, and no good one among the first: false holders by the thousand must not hide the
         * true one. */
        if (n > ELEMENTSOF(records) && !(pick.found && pick.record.first_hand)) {
                HolderInfo info;
                for (bool more = holders_next(h, NULL, &info); more; more = holders_next(h, &info.endpoint, &info)) {
                        RfcRecord record;
                        if (rfc_index_get(x, l->conf.number, &info.endpoint, now, &record))
                                consider(l, h, &record, now, &pick);
                }
        }
        *ret = pick;
}

/* ---- whom to ask (step 4) ---------------------------------------------------------------------------------------- */

/* Has it told lately all that it has? Not if some of that was evicted here since: then the index can't speak for it. */
static bool is_fresh(const Lookup *l, const RfcIndex *x, const HolderInfo *info, const Now *now) {
        return info->confirmed_at != 0 && usec_sub(now->boottime, info->confirmed_at) < l->conf.fresh_usec &&
               (rfc_index_is_whole(x, &info->endpoint) || rfc_index_count_source(x, &info->endpoint) == 0);
}

static bool is_due(const Lookup *l, const Try *t, const Now *now) {
        return t->busy && !t->gone && now->boottime >= l->busy_until;
}

static bool worth_asking(Lookup *l, const RfcIndex *x, const Holders *h, const Endpoint *peer, const Now *now) {
        const Try *t = find_try(l, peer);
        if (!may_try(l, t) || (t && (t->asked || t->gone) && !is_due(l, t, now)))
                return false;
        if (!holders_may_dial(h, peer, l->servers_away, now))
                return false;

        HolderInfo info;
        if (!holders_get(h, peer, &info))
                return false;
        if (is_fresh(l, x, &info, now)) {
                l->any_answer = true;
                return false;
        }
        return true;
}

static bool next_in_queue(Lookup *l, const RfcIndex *x, const Holders *h, const Now *now, Endpoint *ret) {
        for (; l->queue_at < l->n_queue; l->queue_at++)
                if (worth_asking(l, x, h, &l->queue[l->queue_at], now)) {
                        *ret = l->queue[l->queue_at];
                        return true;
                }
        return false;
}

/* 0: *ret_found tells whether there is one, and *ret is it. */
static int pick_peer(Lookup *l, const RfcIndex *x, const Holders *h, const Now *now, bool *ret_found, Endpoint *ret) {
        if (next_in_queue(l, x, h, now, ret)) {
                *ret_found = true;
                return 0;
        }
        /* Who has come since the queue was filled is seen when it has run dry, once: filling costs a walk over all. */
        if (l->n_asking > 0) {
                *ret_found = false;
                return 0;
        }

        size_t n = holders_dialable(h, l->servers_away, now, NULL, 0);
        Endpoint *queue = reallocarray(l->queue, MAX_OF(n, (size_t) 1), sizeof(Endpoint));
        if (!queue)
                return -ENOMEM;
        l->queue = queue;
        l->n_queue = holders_dialable(h, l->servers_away, now, queue, n);
        l->queue_at = 0;
        *ret_found = next_in_queue(l, x, h, now, ret);
        return 0;
}

/* ---- the steps --------------------------------------------------------------------------------------------------- */

static void finish(Lookup *l, LookupResult result, int error) {
        l->done = true;
        l->result = result;
        l->error = error;
}

static LookupResult result_of_exhausted(const Lookup *l) {
        if (l->any_fault)
                return LOOKUP_INTEGRITY;
        if (!l->any_answer && (l->none_active || l->servers_away))
                return LOOKUP_NO_PEERS;
        return l->undelivered ? LOOKUP_UNREACHABLE : LOOKUP_NOT_HELD;
}

static LookupStep step_done(const Lookup *l) {
        return (LookupStep){
                .what = LOOKUP_DONE,
                .result = l->result,
                .error = l->error,
                .servers_away = l->conf.has_servers && l->servers_away,
        };
}

static LookupStep step_wait(usec_t at) {
        return (LookupStep){ .what = LOOKUP_WAIT, .at = at };
}

static int step_fetch(Lookup *l, const RfcRecord *record, LookupStep *ret) {
        Try *t;
        int r = find_or_add_try(l, &record->holder, &t);
        if (r < 0)
                return r;

        t->n_fetches++;
        l->fetching = true;
        l->fetching_from = record->holder;
        *ret = (LookupStep){
                .what = LOOKUP_FETCH,
                .peer = record->holder,
                .record = *record,
                .servers_away = l->conf.has_servers && l->servers_away,
        };
        return 0;
}

static int step_ask(Lookup *l, const Endpoint *peer, const Now *now, LookupStep *ret) {
        Try *t;
        int r = find_or_add_try(l, peer, &t);
        if (r < 0)
                return r;

        t->asked = t->asking = true;
        t->busy = false;
        l->n_asking++;
        l->next_ask_at = usec_add(now->boottime, l->conf.ask_pause_usec);
        *ret = (LookupStep){ .what = LOOKUP_ASK_INDEX, .peer = *peer };
        return 0;
}

int lookup_next(Lookup *l, const RfcIndex *x, const Holders *h, const Now *now, LookupStep *ret) {
        if (l->done) {
                *ret = step_done(l);
                return 0;
        }
        if (l->conf.has_servers && !l->server_told) {
                *ret = l->server_asked ? step_wait(USEC_INFINITY) : (LookupStep){ .what = LOOKUP_ASK_SERVER };
                l->server_asked = true;
                return 0;
        }
        if (l->fetching) {
                *ret = step_wait(USEC_INFINITY);
                return 0;
        }

        Pick pick;
        pick_holder(l, x, h, now, &pick);
        if (pick.found)
                return step_fetch(l, &pick.record, ret);

        if (l->n_asking >= l->conf.n_asks_max) {
                *ret = step_wait(USEC_INFINITY);
                return 0;
        }
        bool found;
        Endpoint peer;
        int r = pick_peer(l, x, h, now, &found, &peer);
        if (r < 0)
                return r;
        if (found && (l->n_asking == 0 || now->boottime >= l->next_ask_at))
                return step_ask(l, &peer, now, ret);
        if (l->n_asking > 0) {
                *ret = step_wait(found ? l->next_ask_at : USEC_INFINITY);
                return 0;
        }
        if (now->boottime < l->busy_until) {
                *ret = step_wait(l->busy_until);
                return 0;
        }

        l->undelivered = l->undelivered || pick.quarantined;
        finish(l, result_of_exhausted(l), 0);
        *ret = step_done(l);
        return 0;
}

void lookup_server_told(Lookup *l, LookupOutcome outcome, int error) {
        if (l->done || !l->server_asked || l->server_told)
                return;

        l->server_told = true;
        if (outcome == LOOKUP_BROKEN)
                finish(l, LOOKUP_FAILED, error);
        else if (outcome == LOOKUP_EMPTY)
                l->none_active = true;
        else if (outcome != LOOKUP_OK)
                l->servers_away = true;
}

void lookup_index_told(Lookup *l, const Endpoint *peer, LookupOutcome outcome, int error, const Now *now) {
        Try *t = find_try(l, peer);
        if (l->done || !t || !t->asking)
                return;

        t->asking = false;
        l->n_asking--;
        l->next_ask_at = now->boottime;
        if (outcome == LOOKUP_BROKEN)
                finish(l, LOOKUP_FAILED, error);
        else if (outcome == LOOKUP_BUSY) {
                if (t->was_busy)
                        return;
                t->busy = t->was_busy = true;
                l->busy_until = usec_add(now->boottime, LOOKUP_BUSY_USEC);
        } else if (outcome != LOOKUP_GONE)
                l->any_answer = true;
}

void lookup_fetch_told(Lookup *l, const Endpoint *peer, LookupOutcome outcome, int error, const Now *now) {
        if (l->done || !l->fetching || !endpoint_equal(&l->fetching_from, peer))
                return;

        Try *t = find_try(l, peer);
        assert(t);
        l->fetching = false;
        l->next_ask_at = now->boottime;
        t->spent = true;

        switch (outcome) {
        case LOOKUP_OK:
                finish(l, LOOKUP_FOUND, 0);
                return;
        case LOOKUP_BROKEN:
                finish(l, LOOKUP_FAILED, error);
                return;
        case LOOKUP_GONE:
        case LOOKUP_BUSY:
                l->undelivered = true;
                t->gone = true;
                return;
        case LOOKUP_EMPTY:
                break;
        case LOOKUP_CHANGED:
                /* It had another text meanwhile. Once more by the renewed record; who changes faster than that is
                 * passed over. */
                t->spent = t->n_fetches > 1;
                l->undelivered = l->undelivered || t->spent;
                break;
        case LOOKUP_FAULT:
                l->any_fault = true;
                break;
        }
        l->any_answer = true;
}

const char *lookup_result_name(LookupResult r) {
        static const char *const names[] = {
                [LOOKUP_FOUND] = "ok",
                [LOOKUP_NOT_HELD] = "not-held",
                [LOOKUP_NO_PEERS] = "no-peers",
                [LOOKUP_INTEGRITY] = "integrity",
                [LOOKUP_UNREACHABLE] = "unreachable",
                [LOOKUP_FAILED] = "failed",
        };

        assert((size_t) r < ELEMENTSOF(names));
        return names[r];
}
