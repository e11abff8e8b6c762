/* SPDX-License-Identifier: BSD-2-Clause */
#include "faults.h"

#define PERMILLE_LOST 30
/* A peer has a fault about so often; the server and the network not more often in a big world than in a small one. */
#define FAULT_USEC (2 * USEC_PER_MINUTE)
#define WORLD_FAULT_USEC (40 * USEC_PER_SEC)
#define GROUPS 3

/* ---- who holds what ---------------------------------------------------------------------------------------------- */

/*
 * By Zipf's law: the most popular document is held by a third of all, the tenth by a thirtieth, and each by one at
 * least. Who holds it is uneven too.
 */
static void place_documents(World *w) {
        const unsigned n = w->conf.n_peers;

        for (uint32_t number = 1; number <= w->conf.n_documents; number++) {
                size_t n_copies = 1 + n / (3 * number) + world_draw(w, 3);
                for (size_t i = 0; i < n_copies; i++) {
                        uint64_t at = i % 2 ? world_draw_uneven(w, n) : world_draw(w, n);
                        peer_add_document(w->peers[at], number);
                }
        }
}

/* All kinds of them, in a small world too. */
static Lie lie_of(const World *w, unsigned n) {
        const unsigned every = w->conf.n_peers < 64 ? 5 : 10;

        if (!w->conf.liars || n % every != 3)
                return LIE_NONE;
        /* Not LIE_CHORUS: that takes two. */
        static const Lie lies[] = {
                LIE_BYTES, LIE_DIGEST, LIE_TWO_FACED, LIE_HEARSAY, LIE_BABBLE, LIE_ENDLESS,
        };
        return lies[n / every % ELEMENTSOF(lies)];
}

/* From one pair that shares a host and lies together to the next. */
static unsigned chorus_gap(const World *w) {
        return w->conf.n_peers < 64 ? 16 : 128;
}

static void form_choruses(World *w) {
        for (unsigned i = 11; w->conf.liars && i < w->conf.n_peers; i += chorus_gap(w))
                if (peer_host(w->peers[i]) == i - 1)
                        w->peers[i]->lie = w->peers[i - 1]->lie = LIE_CHORUS;
}

/*
 * Who has nothing to say can't lie. A chorus speaks of what many have, both on a host of the same, and of one document
 * as the chorus before: so two hosts state the same false text.
 */
static void give_liars_documents(World *w, Peer *p) {
        const bool chorus = p->lie == LIE_CHORUS;

        if (chorus && peer_host(p) != p->n) {
                for (size_t i = 0; i < w->peers[p->n - 1]->n_has; i++)
                        peer_add_document(p, w->peers[p->n - 1]->has[i]);
                return;
        }
        for (unsigned i = 0; i < 3; i++)
                peer_add_document(p, 1 + (uint32_t) (chorus ? world_draw_uneven(w, w->conf.n_documents) :
                                                              world_draw(w, w->conf.n_documents)));
        if (chorus && p->n >= chorus_gap(w))
                peer_add_document(p, w->peers[p->n - chorus_gap(w)]->has[0]);
}

void faults_populate(World *w) {
        place_documents(w);
        for (unsigned i = 0; i < w->conf.n_peers; i++)
                w->peers[i]->lie = lie_of(w, i);
        form_choruses(w);
        for (unsigned i = 0; i < w->conf.n_peers; i++) {
                Peer *p = w->peers[i];

                if (p->lie != LIE_NONE)
                        give_liars_documents(w, p);
                /* Readers are spread over all, so that every kind of peer is among them. */
                p->reads = (uint64_t) i * w->conf.n_readers / w->conf.n_peers !=
                           (uint64_t) (i + 1) * w->conf.n_readers / w->conf.n_peers;
                if (!world_chance(w, w->conf.absent_permille))
                        peer_start(p);
        }
}

/* ---- faults ------------------------------------------------------------------------------------------------------ */

static Peer *any_peer(World *w) {
        return w->peers[world_draw(w, w->conf.n_peers)];
}

static uint32_t any_document(World *w) {
        return 1 + (uint32_t) world_draw(w, w->conf.n_documents);
}

static void fault_of_peer(World *w) {
        Peer *p = any_peer(w);
        uint64_t dice = world_draw(w, 100);

        if (!p->alive) {
                if (dice < 60) {
                        w->count.joins++;
                        peer_start(p);
                }
        } else if (dice < 20 && !p->leaving) {
                w->count.crashes++;
                peer_crash(p);
        } else if (dice < 28 && !p->leaving) {
                w->count.leaves++;
                peer_leave(p);
        } else if (dice < 55)
                peer_add_document(p, any_document(w));
        else if (dice < 80 && p->n_has > 0)
                peer_remove_document(p, p->has[world_draw(w, p->n_has)]);
        else if (dice < 85) {
                /* Somebody sets its clock: by a day, to the year 2099, to before the epoch. */
                static const int64_t jumps[] = { 86400, -86400, 2300000000, -1600000000, 0 };
                w->count.jumps++;
                p->wall_usec = jumps[world_draw(w, ELEMENTSOF(jumps))] * (int64_t) USEC_PER_SEC;
        }
}

static void split(World *w) {
        w->split = !w->split;
        w->count.partitions += w->split;
        for (unsigned i = 0; w->split && i < w->conf.n_peers; i++)
                w->peers[i]->group = (unsigned) world_draw(w, GROUPS);
        world_say(w, "the network %s", w->split ? "falls apart" : "is whole again");
}

static void fault_of_world(World *w) {
        uint64_t dice = world_draw(w, 100);

        if (dice < 35) {
                w->server_up = !w->server_up;
                world_say(w, "server: is %s", w->server_up ? "back" : "away");
        } else if (dice < 40) {
                world_say(w, "server: forgets everything");
                world_server_amnesia(w);
        } else if (dice < 70)
                w->loss_permille = w->loss_permille ? 0 : PERMILLE_LOST;
        else if (dice < 95)
                split(w);
        else
                w->server_wall_usec = ((int64_t) world_draw(w, 200) - 100) * (int64_t) USEC_PER_DAY;
}

/* until: no faults after that. */
static void peer_faults(World *w, void *arg, uint64_t until) {
        if (w->now.boottime >= until)
                return;
        fault_of_peer(w);
        world_at(w, world_in(w, 1 + world_draw(w, 2 * FAULT_USEC / w->conf.n_peers)), peer_faults, arg, until);
}

static void world_faults(World *w, void *arg, uint64_t until) {
        if (w->now.boottime >= until)
                return;
        fault_of_world(w);
        world_at(w, world_in(w, world_draw(w, 2 * WORLD_FAULT_USEC)), world_faults, arg, until);
}

void faults_start(World *w, usec_t until) {
        world_at(w, w->now.boottime, peer_faults, NULL, until);
        world_at(w, w->now.boottime, world_faults, NULL, until);
}

/* ---- wishes ------------------------------------------------------------------------------------------------------ */

static void wishes(World *w, void *arg, uint64_t until) {
        if (w->now.boottime >= until)
                return;
        Peer *p = any_peer(w);
        uint32_t number = 1 + (uint32_t) world_draw_uneven(w, w->conf.n_documents);
        if (w->conf.only_readers_look_up && p->alive && !p->reads)
                peer_add_document(p, number);
        else
                peer_look_up(p, number, RUN_ANY);
        world_at(w, world_in(w, 1 + world_draw(w, 2 * w->wish_gap_usec)), wishes, arg, until);
}

void faults_start_wishes(World *w, usec_t every, usec_t until) {
        w->wish_gap_usec = every / w->conf.n_peers;
        world_at(w, w->now.boottime, wishes, NULL, until);
}

/* ---- all is well again ------------------------------------------------------------------------------------------- */

unsigned faults_step(const World *w) {
        return w->conf.n_peers <= 64 ? 1 : 1 + w->conf.n_peers / 12;
}

void faults_meet_liar(World *w) {
        const uint32_t number = w->conf.n_documents + 50;

        for (unsigned i = 0; i < w->conf.n_peers; i++)
                if (w->peers[i]->alive && w->peers[i]->lie == LIE_BYTES) {
                        peer_add_document(w->peers[i], number);
                        break;
                }
        for (unsigned i = 0; i < w->conf.n_peers; i += faults_step(w))
                peer_look_up(w->peers[i], number, RUN_ANY);
        world_run(w, world_in(w, 2 * SIM_CALL_TIMEOUT));
}

void faults_heal(World *w) {
        w->loss_permille = 0;
        w->split = false;
        w->server_up = true;
        /* Until all are registered again. */
        world_run(w, world_in(w, MEMBERSHIP_BACKOFF_MAX_USEC));
        faults_meet_liar(w);
        run_drain(w);           /* who is mended has no false bytes on the way */
        for (unsigned i = 0; i < w->conf.n_peers; i++) {
                Peer *p = w->peers[i];
                if (p->leaving && p->alive)
                        peer_crash(p);
                /* A quarantine is shorter than what follows. */
                if (p->lie == LIE_BYTES && world_chance(w, 500)) {
                        p->lie = LIE_NONE;
                        p->suspect = true;
                }
                if (p->lie == LIE_NONE && i + 1 < w->conf.n_peers && w->peers[i + 1]->lie == LIE_BYTES &&
                    address_equal(&p->endpoint.address, &w->peers[i + 1]->endpoint.address))
                        p->suspect = true;
        }

        /* The dead are forgotten after one TTL; then all pull. */
        world_run(w, world_in(w, w->conf.ttl_usec + 2 * w->conf.pull_usec));
        for (unsigned i = 0; i < w->conf.n_peers; i++)
                if (w->peers[i]->alive && w->peers[i]->membership.state != MEMBERSHIP_ACTIVE)
                        world_fail(w, "peer %u is still not registered", i);
}
