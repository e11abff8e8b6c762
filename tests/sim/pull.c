/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How a simulated peer keeps its copies of the others' indexes: does what core/pull-plan says and tells it how it went.
 */
#include "peer.h"

/* So many in a thousand first pulls ask for hearsay too, as a person's refresh does. */
#define HEARSAY_PERMILLE 10

/* In a big world not each of a million: what goes wrong stays wrong, and is seen the next time. */
static bool is_checked(World *w, unsigned status) {
        return w->conf.n_peers <= 64 || world_chance(w, status == 304 ? 4 : 60);
}

static void advance(World *w, void *arg, uint64_t life);
static void pull(Peer *p, const Endpoint *to, Generation since, bool hearsay);

/* The copy is at generation g now: it must be right, unless a lookup merged something newer meanwhile. */
static void confirm(Call *c, const Reply *reply, Generation g) {
        Peer *p = c->from;
        World *w = p->world;
        const Peer *from = world_peer_at(w, &c->to);

        if (rfc_index_is_whole(p->index, &c->to) && is_checked(w, reply->status) &&
            !peer_copy_is_right(p, &c->to, g, &reply->index_digest)) {
                if (p->touched_at[from->n] < c->sent_at)
                        world_fail(w, "peer %u: its copy of the index of peer %u is wrong after a %u to %llu", p->n,
                                   from->n, reply->status, (unsigned long long) c->asked.number);
                w->count.pull.n_healed++;
                pull(p, &c->to, (Generation){ 0, 0 }, false);
                return;
        }
        holders_confirmed(p->holders, &c->to, g, c->sent_at);
}

/* ---- pulls ------------------------------------------------------------------------------------------------------- */

static void count(PullCount *k, const Call *c, const Reply *reply, Slice body) {
        uint64_t heads = c->request.size + c->reply.size - (c->tail.size > 0 ? 0 : body.size);

        k->bytes += heads + body.size;
        k->n_full += reply->status == 200;
        k->n_delta += reply->status == 226;
        k->n_same += reply->status == 304;
}

static void on_pulled(Call *c, const Reply *reply, Slice body) {
        Peer *p = c->from;
        World *w = p->world;
        const Now now = peer_now(p);
        IndexMergeKind kind = c->number == 0 ? INDEX_MERGE_OWN : INDEX_MERGE_ALL;
        bool knew = c->asked.epoch != 0;

        pull_plan_pulled(p->plan, &c->to, reply && reply->status == 503, &now);
        world_at(w, now.boottime, advance, p, p->life);
        if (!reply) {
                holders_failed(p->holders, &c->to);
                return;
        }
        holders_answered(p->holders, &c->to, now.boottime - c->sent_at, &now);
        count(&w->count.pull, c, reply, body);
        if (!holders_may_dial(p->holders, &c->to, true, &now))
                return;         /* caught lying meanwhile, or gone */
        if (reply->status == 304 && knew) {
                rfc_index_confirm(p->index, &c->to, c->sent_at);
                confirm(c, reply, c->asked);
        } else if (reply->status == 226 && knew) {
                if (peer_merge(p, &c->to, INDEX_MERGE_DELTA, NULL, c->sent_at, NULL, body))
                        confirm(c, reply, reply->generation);
                else
                        w->count.pull.n_refused++;
        } else if (reply->status == 200) {
                if (peer_merge(p, &c->to, kind, NULL, c->sent_at, &reply->index_digest, body))
                        confirm(c, reply, reply->generation);
                else
                        w->count.pull.n_refused++;
        }
}

static void pull(Peer *p, const Endpoint *to, Generation since, bool hearsay) {
        Request q = {
                .verb = VERB_RFC_INDEX, .host = SLICE_LITERAL("host.example"), .has_if_generation = !hearsay,
                .if_generation = since,
        };
        Call *c = call_new(p, VERB_RFC_INDEX, on_pulled);

        c->to = *to;
        c->asked = since;
        c->number = hearsay;
        call_send(c, &q);
}

/* ---- the plan ---------------------------------------------------------------------------------------------------- */

static void begin_pull(Peer *p, const Endpoint *to, const Now *now) {
        HolderInfo info;

        if (!holders_may_dial(p->holders, to, p->servers_away, now) || !holders_get(p->holders, to, &info))
                pull_plan_pulled(p->plan, to, false, now);      /* in quarantine, or gone, since the list was taken */
        else if (rfc_index_is_whole(p->index, to) && p->world->conf.pull_way != PULL_WHOLE)
                pull(p, to, info.generation, false);
        else
                pull(p, to, (Generation){ 0, 0 },
                     !rfc_index_is_whole(p->index, to) && world_chance(p->world, HEARSAY_PERMILLE));
}

static void advance(World *w, void *arg, uint64_t life) {
        Peer *p = arg;
        const Now now = peer_now(p);
        PullPlanDo what;
        Endpoint peer;
        usec_t at;

        if (!p->alive || p->life != life)
                return;
        while ((what = pull_plan_next(p->plan, &now, &peer, &at)) != PULL_PLAN_WAIT)
                if (what == PULL_PLAN_LIST) {
                        while (rfc_index_expire(p->index, &now, 100))
                                ;
                        peer_query_list(p, 0);
                } else
                        begin_pull(p, &peer, &now);
        /* One timer is enough, as in membership_step(). */
        if (at != USEC_INFINITY && (p->pulls_at <= now.boottime || at < p->pulls_at)) {
                p->pulls_at = at;
                world_at(w, at, advance, p, life);
        }
}

void peer_plan_pulls(Peer *p, bool servers_away) {
        const Now now = peer_now(p);
        size_t n = holders_dialable(p->holders, servers_away, &now, NULL, 0);
        _cleanup_free_ Endpoint *peers = world_grow(NULL, n, sizeof(Endpoint));

        (void) holders_dialable(p->holders, servers_away, &now, peers, n);
        p->servers_away = servers_away;
        world_must(p->world, pull_plan_listed(p->plan, peers, n, &now), "pull_plan_listed");
        world_at(p->world, now.boottime, advance, p, p->life);
}

void peer_start_pulling(Peer *p) {
        World *w = p->world;
        const Now now = peer_now(p);

        p->pulls_at = 0;
        if (!p->reads)
                return;
        world_must(w, pull_plan_new(world_random(w), &p->plan), "pull_plan_new");
        pull_plan_set_interval(p->plan, w->conf.pull_usec, &now);
        world_at(w, now.boottime, advance, p, p->life);
}

void peer_stop_pulling(Peer *p) {
        const Now now = peer_now(p);

        if (p->plan)
                pull_plan_set_interval(p->plan, USEC_INFINITY, &now);
}
