/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/lookup-internal.h"

#include <errno.h>

static void set_out(Lookup *l) {
        const LookupConf *conf = &l->conf;

        l->servers_away = conf->known_only ? conf->servers_away : !conf->has_servers;
        l->server_told = conf->known_only || !conf->has_servers;
        l->more_told = !conf->more_servers || l->server_told;
}

int lookup_new(const LookupConf *conf, Lookup **ret) {
        Lookup *l = calloc(1, sizeof(Lookup));
        if (!l)
                return -ENOMEM;

        l->conf = *conf;
        l->conf.n_asks_max = MAX_OF(1u, MIN_OF(conf->n_asks_max, (unsigned) LOOKUP_ASKS_AT_ONCE));
        set_out(l);
        l->ask_pause = conf->ask_pause_usec;
        RB_INIT(&l->tries);
        TAILQ_INIT(&l->dialled);
        *ret = l;
        return 0;
}

Lookup *lookup_free(Lookup *l) {
        if (!l)
                return NULL;

        lookup_free_tries(l);
        free(l->queue);
        free(l);
        return NULL;
}

/* ---- the end ----------------------------------------------------------------------------------------------------- */

static void finish(Lookup *l, LookupResult result, int error) {
        l->done = true;
        l->result = result;
        l->error = error;
}

static LookupResult result_of_exhausted(Lookup *l, const Pick *pick) {
        if (pick->refused && !pick->acceptable) {
                l->grade = pick->best.grade;
                l->n_agreeing = pick->best.n_prefixes;
                return l->grade == GRADE_DISPUTED ? LOOKUP_DISPUTED : LOOKUP_UNTRUSTED;
        }
        if (l->any_fault)
                return LOOKUP_INTEGRITY;
        if (!l->any_answer && !l->conf.known_only && (l->none_active || l->servers_away))
                return LOOKUP_NO_PEERS;
        return l->undelivered ? LOOKUP_UNREACHABLE : LOOKUP_NOT_HELD;
}

static LookupStep step_done(const Lookup *l) {
        return (LookupStep){
                .what = LOOKUP_DONE,
                .result = l->result,
                .error = l->error,
                .servers_away = l->conf.has_servers && l->servers_away,
                .n_asked = l->n_asked,
                .n_unasked = l->n_unasked,
                .grade = l->grade,
                .n_agreeing = l->n_agreeing,
        };
}

static LookupStep step_wait(usec_t at) {
        return (LookupStep){ .what = LOOKUP_WAIT, .at = at };
}

/* ---- fetching ---------------------------------------------------------------------------------------------------- */

static Fetch *find_fetch(Lookup *l, const Endpoint *peer) {
        for (size_t i = 0; i < ELEMENTSOF(l->fetches); i++)
                if (l->fetches[i].from && (!peer || endpoint_equal(&l->fetches[i].from->peer, peer)))
                        return &l->fetches[i];
        return NULL;
}

static Fetch *free_fetch(Lookup *l) {
        for (size_t i = 0; i < ELEMENTSOF(l->fetches); i++)
                if (!l->fetches[i].from)
                        return &l->fetches[i];
        return NULL;
}

/* When nothing will have come of any that is under way for long enough to look further; 0: there is none. */
static usec_t quiet_at(const Lookup *l) {
        usec_t at = 0;
        for (size_t i = 0; i < ELEMENTSOF(l->fetches); i++)
                if (l->fetches[i].from)
                        at = MAX_OF(at, usec_add(l->fetches[i].heard_at, l->conf.hedge_usec));
        return at;
}

static int step_fetch(Lookup *l, Fetch *f, const RfcRecord *record, const Now *now, LookupStep *ret) {
        Try *t;
        int r = lookup_find_or_add_try(l, &record->holder, &t);
        if (r < 0)
                return r;

        t->n_fetches++;
        t->fetching = true;
        *f = (Fetch){ .from = t, .heard_at = now->boottime };
        *ret = (LookupStep){
                .what = LOOKUP_FETCH,
                .peer = record->holder,
                .record = *record,
                .servers_away = l->conf.has_servers && l->servers_away,
        };
        return 0;
}

/* ---- asking ------------------------------------------------------------------------------------------------------ */

static void end_dialled(Lookup *l, Try *t) {
        TAILQ_REMOVE(&l->dialled, t, link);
        l->n_dialled--;
}

/* Whoever is not connected by now is not being asked: that may well be never. */
static void pass_over_hanging(Lookup *l, const Now *now) {
        for (Try *t; (t = TAILQ_FIRST(&l->dialled)) && usec_add(t->dialled_at, LOOKUP_DIAL_USEC) <= now->boottime;) {
                end_dialled(l, t);
                t->asking = ASK_HANGING;
                l->n_hanging++;
        }
}

/* When there is room for one more; USEC_INFINITY: when something has happened. */
static usec_t room_at(const Lookup *l, const Now *now) {
        if (lookup_n_asking(l) >= LOOKUP_DIALS_AT_ONCE || l->n_connected >= l->conf.n_asks_max)
                return USEC_INFINITY;
        if (l->n_connected + l->n_dialled < l->conf.n_asks_max)
                return now->boottime;
        return usec_add(TAILQ_FIRST(&l->dialled)->dialled_at, LOOKUP_DIAL_USEC);
}

static int step_ask(Lookup *l, const Endpoint *peer, const Now *now, LookupStep *ret) {
        Try *t;
        int r = lookup_find_or_add_try(l, peer, &t);
        if (r < 0)
                return r;

        /* The longer nobody answers, the more look dead, and the faster they are gone through. */
        if (lookup_n_asking(l) > 0)
                l->ask_pause = MAX_OF(l->ask_pause / 2, MIN_OF(l->conf.ask_pause_usec, (usec_t) LOOKUP_PAUSE_MIN_USEC));
        /* Timers are late by more than the shortest pause: who is woken late makes up for it, if it is not too late. */
        bool behind = usec_add(l->next_ask_at, LOOKUP_DIAL_USEC) >= now->boottime;
        l->next_ask_at = usec_add(behind ? l->next_ask_at : now->boottime, l->ask_pause);
        l->n_asked += !t->asked;
        t->asked = true;
        t->asking = ASK_DIALLED;
        t->dialled_at = now->boottime;
        TAILQ_INSERT_TAIL(&l->dialled, t, link);
        l->n_dialled++;
        t->busy = false;
        *ret = (LookupStep){ .what = LOOKUP_ASK_INDEX, .peer = *peer };
        return 0;
}

/* ---- the steps --------------------------------------------------------------------------------------------------- */

static bool ask_servers(Lookup *l, LookupStep *ret) {
        if (l->server_told)
                return false;
        *ret = l->server_asked ? step_wait(USEC_INFINITY) : (LookupStep){ .what = LOOKUP_ASK_SERVER };
        l->server_asked = true;
        return true;
}

/* The first that answered need not be the one that lists the holder. */
static bool ask_more_servers(Lookup *l, LookupStep *ret) {
        if (l->more_told || l->servers_away)
                return false;
        *ret = l->more_asked ? step_wait(USEC_INFINITY) : (LookupStep){ .what = LOOKUP_ASK_SERVER, .others = true };
        l->more_asked = true;
        return true;
}

/* Somebody to ask, or something to wait for, else *ret_exhausted. */
static int next_ask(Lookup *l, const RfcIndex *x, const Holders *h, const Now *now, LookupStep *ret,
                    bool *ret_exhausted) {
        bool found;
        Endpoint peer;

        pass_over_hanging(l, now);
        usec_t at = room_at(l, now);
        if (at > now->boottime) {
                *ret = step_wait(at);
                return 0;
        }
        int r = lookup_pick_peer(l, x, h, now, &found, &peer);
        if (r < 0)
                return r;
        if (found && (lookup_n_asking(l) == 0 || now->boottime >= l->next_ask_at))
                return step_ask(l, &peer, now, ret);
        if (lookup_n_asking(l) > 0)
                *ret = step_wait(found ? l->next_ask_at : USEC_INFINITY);
        else if (now->boottime < l->busy_until)
                *ret = step_wait(l->busy_until);
        else
                *ret_exhausted = true;
        return 0;
}

int lookup_next(Lookup *l, const RfcIndex *x, const Holders *h, const TrustConf *trust, const Now *now,
                LookupStep *ret) {
        if (l->began_at == 0)
                l->began_at = now->boottime;
        if (l->done) {
                *ret = step_done(l);
                return 0;
        }
        if (ask_servers(l, ret))
                return 0;
        usec_t quiet = quiet_at(l);
        if (quiet > now->boottime) {
                *ret = step_wait(quiet);
                return 0;
        }

        Pick pick;
        Fetch *f = free_fetch(l);
        lookup_pick_holder(l, x, h, trust, now, &pick);
        if (pick.found && f)
                return step_fetch(l, f, &pick.record, now, ret);

        bool exhausted = l->conf.known_only;
        if (!exhausted) {
                int r = next_ask(l, x, h, now, ret, &exhausted);
                if (r < 0 || !exhausted)
                        return r;
        }
        if (find_fetch(l, NULL)) {
                *ret = step_wait(USEC_INFINITY);
                return 0;
        }
        if (ask_more_servers(l, ret))
                return 0;

        l->undelivered = l->undelivered || pick.quarantined;
        finish(l, result_of_exhausted(l, &pick), 0);
        *ret = step_done(l);
        return 0;
}

/* ---- how they went ----------------------------------------------------------------------------------------------- */

void lookup_server_told(Lookup *l, LookupOutcome outcome, int error) {
        if (l->done || !(l->server_told ? l->more_asked && !l->more_told : l->server_asked))
                return;

        bool more = l->server_told;
        l->server_told = true;
        l->more_told = l->more_told || more;
        if (outcome == LOOKUP_BROKEN)
                finish(l, LOOKUP_FAILED, error);
        else if (more)
                l->none_active = l->none_active && outcome != LOOKUP_OK;
        else if (outcome == LOOKUP_EMPTY)
                l->none_active = true;
        else if (outcome != LOOKUP_OK)
                l->servers_away = true;
}

void lookup_widen(Lookup *l) {
        if (!l->conf.known_only || l->done)
                return;
        l->conf.known_only = false;
        set_out(l);
}

void lookup_index_connected(Lookup *l, const Endpoint *peer) {
        Try *t = lookup_find_try(l, peer);
        if (l->done || !t || (t->asking != ASK_DIALLED && t->asking != ASK_HANGING))
                return;

        if (t->asking == ASK_DIALLED)
                end_dialled(l, t);
        else
                l->n_hanging--;
        t->asking = ASK_CONNECTED;
        l->n_connected++;
}

void lookup_index_told(Lookup *l, const Endpoint *peer, LookupOutcome outcome, int error, const Now *now) {
        Try *t = lookup_find_try(l, peer);
        if (l->done || !t || t->asking == ASK_NONE)
                return;

        lookup_index_connected(l, peer);
        t->asking = ASK_NONE;
        l->n_connected--;
        l->next_ask_at = now->boottime;
        if (outcome == LOOKUP_BROKEN) {
                finish(l, LOOKUP_FAILED, error);
                return;
        }
        if (outcome == LOOKUP_BUSY && !t->was_busy) {
                t->busy = t->was_busy = true;
                l->busy_until = usec_add(now->boottime, LOOKUP_BUSY_USEC);
                return;
        }
        t->answered = outcome != LOOKUP_GONE && outcome != LOOKUP_BUSY;
        l->any_answer = l->any_answer || t->answered;
        l->n_unasked += !t->answered;
}

void lookup_fetch_waits(Lookup *l, const Endpoint *peer) {
        Fetch *f = find_fetch(l, peer);
        if (f)
                f->heard_at = USEC_INFINITY;
}

void lookup_fetch_heard(Lookup *l, const Endpoint *peer, const Now *now) {
        Fetch *f = find_fetch(l, peer);
        if (f)
                f->heard_at = now->boottime;
}

void lookup_fetch_told(Lookup *l, const Endpoint *peer, LookupOutcome outcome, int error, const Now *now) {
        Fetch *f = find_fetch(l, peer);
        if (l->done || !f)
                return;

        Try *t = f->from;
        *f = (Fetch){ 0 };
        t->fetching = false;
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
                l->n_gone++;
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
                [LOOKUP_DISPUTED] = "disputed",
                [LOOKUP_UNTRUSTED] = "untrusted",
                [LOOKUP_FAILED] = "failed",
        };

        assert((size_t) r < ELEMENTSOF(names));
        return names[r];
}
