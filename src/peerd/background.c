/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Pulls in the background, so that the index here answers by itself: what core/pull-plan says is done, and it is told how
 * that ended. They are of own records only: hearsay would come from everybody about everybody, and whom it tells of is
 * asked himself.
 */
#include <errno.h>

#include "core/pull-plan.h"
#include "io/log.h"
#include "io/loop.h"
#include "peerd/client-internal.h"

struct Background {
        Client *client;
        PullPlan *plan;
        sd_event_source *timer;
        uint64_t transaction;                   /* of this round */
        usec_t listed_at;                       /* boottime; 0: not yet */
        bool asking;                            /* a query is under way for it */
};

static void take_list(Background *b, const Now *now) {
        Client *c = b->client;
        _cleanup_free_ Endpoint *peers = NULL;
        size_t n = 0;

        /* The plan waits for a list in any case: without memory it is an empty one. */
        if (client_dialable(c, now, &peers, &n) < 0)
                n = 0;
        int k = pull_plan_listed(b->plan, peers, n, now);
        if (k < 0)
                (void) log_errno(LOG_LEVEL_ERR, k, "Could not plan the pulls of all peers");
        b->asking = false;
        b->listed_at = now->boottime;
}

static void begin_round(Background *b, const Now *now) {
        Client *c = b->client;

        b->transaction = random_u64() | 1;      /* never 0 */
        b->asking = true;
        if (c->settings.n_servers == 0)
                take_list(b, now);
        else {
                int k = query_start(c, b->transaction, false);
                if (k < 0) {
                        (void) log_errno(LOG_LEVEL_ERR, k, "Could not ask who there is");
                        take_list(b, now);      /* whom it knew before */
                }
        }
}

static void begin_pull(Background *b, const Endpoint *peer, const Now *now) {
        Client *c = b->client;
        int k;

        /* In quarantine, or gone, since the list was taken. */
        if (!holders_may_dial(c->holders, peer, client_servers_away(c), now)) {
                pull_plan_pulled(b->plan, peer, false, now);
                return;
        }
        k = pull_own_index(c, peer, b->transaction);
        if (k < 0) {
                (void) log_errno(LOG_LEVEL_ERR, k, "Could not ask for an index");
                pull_plan_pulled(b->plan, peer, false, now);
        }
}

static void advance(Background *b) {
        PullPlanDo what;
        Endpoint peer;
        usec_t at;
        Now now;

        now_of_event(b->client->event, &now);
        while ((what = pull_plan_next(b->plan, &now, &peer, &at)) != PULL_PLAN_WAIT)
                if (what == PULL_PLAN_LIST)
                        begin_round(b, &now);
                else
                        begin_pull(b, &peer, &now);
        (void) loop_timer_set(b->timer, at);
}

static int on_timer(sd_event_source *s, uint64_t usec, void *userdata) {
        (void) s;
        (void) usec;
        advance(userdata);
        return 0;
}

int background_new(Client *c, sd_event *e, Background **ret) {
        Background *b = calloc(1, sizeof(*b));
        if (!b)
                return -ENOMEM;
        b->client = c;
        int k = pull_plan_new(random_u64(), &b->plan);
        if (k >= 0)
                k = loop_timer_new(e, on_timer, b, "background", &b->timer);
        if (k < 0) {
                background_free(b);
                return k;
        }
        *ret = b;
        return 0;
}

Background *background_free(Background *b) {
        if (!b)
                return NULL;
        event_source_free(b->timer);
        pull_plan_free(b->plan);
        free(b);
        return NULL;
}

void background_reconfigured(Background *b) {
        Now now;
        now_of_event(b->client->event, &now);
        pull_plan_set_interval(b->plan, b->client->settings.background_interval, &now);
        pull_plan_list_soon(b->plan, &now);     /* other servers, other peers of Static= */
        /* In the next turn: the loop may not run yet. */
        (void) loop_timer_set(b->timer, now.boottime);
}

void background_server_ready(Background *b) {
        Now now;
        if (b->listed_at != 0 && !b->client->servers_away)
                return;
        now_of_event(b->client->event, &now);
        pull_plan_list_soon(b->plan, &now);
        advance(b);
}

/*
 * A list that somebody else asked for is as good; but each download asks for one, and to plan is as much work as there
 * are peers. Who has asked takes it in any case: also if pulls were turned off meanwhile, the plan waits for it.
 */
void background_query_done(Background *b) {
        const usec_t interval = b->client->settings.background_interval;
        Now now;

        now_of_event(b->client->event, &now);
        if (!b->asking && (interval == USEC_INFINITY ||
                           (b->listed_at != 0 && usec_sub(now.boottime, b->listed_at) < interval / 10)))
                return;
        take_list(b, &now);
        advance(b);
}

void background_pull_done(Background *b, const Endpoint *peer, bool busy) {
        Now now;
        now_of_event(b->client->event, &now);
        pull_plan_pulled(b->plan, peer, busy, &now);
        advance(b);
}
