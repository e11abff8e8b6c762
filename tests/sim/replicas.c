/* SPDX-License-Identifier: BSD-2-Clause */
#include "replicas.h"

#include <stdio.h>

#include "check.h"
#include "core/replicate.h"
#include "faults.h"
#include "peer.h"

/* A peer crashes about so often. */
#define CRASH_USEC (2 * USEC_PER_HOUR)
/*
 * It takes so many rounds at most from when the dead is forgotten until the copy is there: one to pull, one to miss it,
 * and one for each peer that is meant before the one that does it but is dead too, or has only just started.
 */
#define ROUNDS 10

typedef struct Group {
        World *w;
        usec_t reaction_usec;
        usec_t faults_until;
        usec_t *lost_at;                /* [number]: a holder was lost, or it all began */
        uint32_t **lacking;             /* [peer][number]: rounds that found it so */
        unsigned long n_lacking, n_lost;    /* copies */
} Group;

/* ---- a peer's rounds --------------------------------------------------------------------------------------------- */

static uint64_t token_of(const Peer *p) {
        return (uint64_t) p->life << 32 | p->n;
}

static size_t find_holders(const Peer *p, uint32_t number, Endpoint *ret, size_t n) {
        const Now now = peer_now(p);
        RfcRecord record;
        uint32_t cursor = 0;
        size_t n_holders = 0;

        while (n_holders < n && rfc_index_next_record(p->index, number, &cursor, &record))
                if (record.first_hand && record.expires_at > now.boottime)
                        ret[n_holders++] = record.holder;
        return n_holders;
}

/* As replicas_take() in peerd. */
static void look_at(Group *g, Peer *p, uint32_t number, const Endpoint *peers, size_t n_peers) {
        uint32_t *rounds = &g->lacking[p->n][number];
        Endpoint holders[64];
        size_t n = peer_has(p, number) ? 0 : find_holders(p, number, holders, ELEMENTSOF(holders));

        if (n == 0 || n >= REPLICAS_WANTED) {
                *rounds = 0;
                return;
        }
        if (replicate_takes(number, REPLICAS_WANTED, *rounds, &p->endpoint, 1, peers, n_peers, holders, n))
                peer_look_up(p, number, RUN_COPY);
        ++*rounds;
}

static void on_round(World *w, void *arg, uint64_t token) {
        Group *g = arg;
        Peer *p = w->peers[(uint32_t) token];
        const Now now = peer_now(p);

        if (!p->alive || token_of(p) != token)
                return;
        size_t n = holders_dialable(p->holders, p->servers_away, &now, NULL, 0);
        _cleanup_free_ Endpoint *peers = world_grow(NULL, n, sizeof(Endpoint));
        (void) holders_dialable(p->holders, p->servers_away, &now, peers, n);
        for (uint32_t number = 1; number <= w->conf.n_documents; number++)
                look_at(g, p, number, peers, n);
        world_at(w, world_in(w, world_about(w, w->conf.pull_usec)), on_round, g, token);
}

static void start_rounds(Group *g, Peer *p) {
        World *w = g->w;

        memset(g->lacking[p->n], 0, (w->conf.n_documents + 1) * sizeof(uint32_t));
        world_at(w, world_in(w, world_about(w, w->conf.pull_usec)), on_round, g, token_of(p));
}

/* ---- faults ------------------------------------------------------------------------------------------------------ */

static void start_again(World *w, void *arg, uint64_t n) {
        Peer *p = w->peers[n];

        if (p->alive)
                return;
        peer_start(p);
        start_rounds(arg, p);
}

static void lose_disk(World *w, void *arg _unused_, uint64_t n) {
        if (!w->peers[n]->alive)
                peer_remove_all(w->peers[n]);
}

/* Half of them lose their disks; of the others some are back before anybody noticed. */
static void on_crash(World *w, void *arg, uint64_t unused _unused_) {
        Group *g = arg;
        Peer *p = w->peers[world_draw(w, w->conf.n_peers)];

        if (w->now.boottime >= g->faults_until)
                return;
        if (p->alive) {
                w->count.crashes++;
                g->n_lost += p->n_has;
                for (size_t i = 0; i < p->n_has; i++)
                        g->lost_at[p->has[i]] = w->now.boottime;
                peer_crash(p);
                const bool lost = world_chance(w, 500);
                usec_t away = 1 + world_draw(w, 2 * w->conf.ttl_usec);
                /* Nobody may have records of what it held when it died and holds no more: see check_death(). */
                if (lost)
                        away += w->conf.ttl_usec + USEC_PER_SEC;
                world_at(w, world_in(w, away), start_again, g, p->n);
                if (lost)
                        world_at(w, world_in(w, w->conf.ttl_usec + USEC_PER_SEC / 2), lose_disk, g, p->n);
        }
        world_at(w, world_in(w, 1 + world_draw(w, 2 * CRASH_USEC / w->conf.n_peers)), on_crash, g, 0);
}

/* ---- what must hold ---------------------------------------------------------------------------------------------- */

static void check_copies(World *w, void *arg, uint64_t unused _unused_) {
        Group *g = arg;

        for (uint32_t number = 1; number <= w->conf.n_documents; number++) {
                unsigned n = world_count_copies(w, number);
                if (n > 0 && n < REPLICAS_WANTED && g->lost_at[number] + g->reaction_usec < w->now.boottime)
                        world_fail(w, "document %u has one copy, and no other since %.6f s", number,
                                   (double) g->lost_at[number] / 1e6);
        }
        world_at(w, world_in(w, USEC_PER_MINUTE), check_copies, g, 0);
}

static unsigned long count_lacking(const World *w) {
        unsigned long n = 0;

        for (uint32_t number = 1; number <= w->conf.n_documents; number++)
                n += REPLICAS_WANTED - MIN_OF(world_count_copies(w, number), (unsigned) REPLICAS_WANTED);
        return n;
}

static unsigned long count_gone(const World *w) {
        unsigned long n = 0;

        for (uint32_t number = 1; number <= w->conf.n_documents; number++)
                n += world_count_copies(w, number) == 0;
        return n;
}

/* ---- the course -------------------------------------------------------------------------------------------------- */

static void begin(Group *g, World *w, unsigned minutes) {
        const usec_t longest_round = w->conf.pull_usec + w->conf.pull_usec / 5;

        *g = (Group){ .w = w, .reaction_usec = w->conf.ttl_usec + ROUNDS * longest_round };
        faults_populate(w);
        g->n_lacking = count_lacking(w);
        g->lost_at = world_grow(NULL, w->conf.n_documents + 1, sizeof(usec_t));
        for (uint32_t number = 0; number <= w->conf.n_documents; number++)
                g->lost_at[number] = w->now.boottime;
        g->lacking = world_grow(NULL, w->conf.n_peers, sizeof(uint32_t *));
        for (unsigned i = 0; i < w->conf.n_peers; i++) {
                g->lacking[i] = world_grow(NULL, w->conf.n_documents + 1, sizeof(uint32_t));
                start_rounds(g, w->peers[i]);
        }
        check_start(w);
        world_at(w, w->now.boottime, check_copies, g, 0);
        world_run(w, world_in(w, g->reaction_usec));
        g->faults_until = world_in(w, minutes * USEC_PER_MINUTE);
        world_at(w, w->now.boottime, on_crash, g, 0);
}

static void end(Group *g) {
        for (unsigned i = 0; i < g->w->conf.n_peers; i++)
                free(g->lacking[i]);
        free(g->lacking);
        free(g->lost_at);
        world_free(g->w);
}

void replicas_run(const WorldConf *conf, unsigned minutes) {
        World *w = world_new(conf);
        const WorldCount *c = &w->count;
        Group g;

        begin(&g, w, minutes);
        world_run(w, g.faults_until);
        /* All are back, at the latest, and what they lack is made good. */
        world_run(w, world_in(w, 3 * w->conf.ttl_usec + g.reaction_usec));
        const unsigned long n_before = c->copies;
        world_run(w, world_in(w, 4 * g.reaction_usec));

        if (c->copies != n_before)
                world_fail(w, "%lu documents were copied though nothing has happened for long", c->copies - n_before);
        if (c->copies_needless > c->copies / 2)
                world_fail(w, "%lu copies were made, and %lu of them were not needed", c->copies, c->copies_needless);
        printf("seed %llu: %u peers, %u documents, %d copies wanted, %.1f h: %lu crashes, %lu copies lacking at first, "
               "%lu lost or away, %lu made (%llu bytes of documents), %lu needlessly; %lu documents gone with "
               "all copies at once; trace %016llx\n",
               (unsigned long long) conf->seed, conf->n_peers, conf->n_documents, REPLICAS_WANTED,
               (double) w->now.boottime / 3600e6, c->crashes, g.n_lacking, g.n_lost, c->copies,
               (unsigned long long) c->copy_bytes, c->copies_needless, count_gone(w), (unsigned long long) w->trace);
        fflush(stdout);
        end(&g);
}
