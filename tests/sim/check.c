/* SPDX-License-Identifier: BSD-2-Clause */
#include "check.h"

#define CHECK_EVERY (20 * USEC_PER_SEC)
/* So many records at a time: of a small world that is about all that everybody knows. */
#define CHECK_RECORDS 5000

/* ---- the dead ---------------------------------------------------------------------------------------------------- */

/* What it held when it died it holds still: only the living change their libraries. */
static void on_forgotten(World *w, void *arg, uint64_t life) {
        const Peer *dead = arg;
        RfcRecord record;

        if (dead->alive || dead->life != life)
                return;
        for (unsigned i = 0; i < w->conf.n_peers; i++) {
                const Peer *p = w->peers[i];
                if (!p->alive)
                        continue;
                const Now now = peer_now(p);
                for (size_t k = 0; k < dead->n_has; k++)
                        if (rfc_index_get(p->index, dead->has[k], &dead->endpoint, &now, &record))
                                world_fail(w, "peer %u offers document %u of peer %u, dead since %.6f s", p->n,
                                           dead->has[k], dead->n, (double) dead->died_at / 1e6);
        }
        w->count.deaths_checked++;
}

void check_death(Peer *p) {
        world_at(p->world, p->died_at + p->world->conf.ttl_usec, on_forgotten, p, p->life);
}

/* ---- records ----------------------------------------------------------------------------------------------------- */

static size_t check_records(World *w, const Peer *p) {
        const Now now = peer_now(p);
        Endpoint holders[256];
        size_t n_seen = 0;

        for (uint32_t number = 0; (number = rfc_index_next_number(p->index, number, &now));) {
                size_t n = rfc_index_find_holders(p->index, number, &now, holders, ELEMENTSOF(holders));
                for (size_t i = 0; i < MIN_OF(n, ELEMENTSOF(holders)); i++) {
                        const Peer *holder = world_peer_at(w, &holders[i]);
                        if (holder == p)
                                world_fail(w, "peer %u has a record of others about itself", p->n);
                        if (holder && !holder->alive && holder->life > 0 &&
                            holder->died_at + w->conf.ttl_usec <= now.boottime)
                                world_fail(w, "peer %u offers document %u of peer %u, dead since %.6f s", p->n, number,
                                           holder->n, (double) holder->died_at / 1e6);
                }
                n_seen += n + 1;
        }
        return n_seen;
}

static void check_some(World *w, void *arg _unused_, uint64_t turn) {
        size_t n_seen = 0;

        for (unsigned i = 0; i < w->conf.n_peers && n_seen < CHECK_RECORDS; i++, turn++) {
                const Peer *p = w->peers[turn % w->conf.n_peers];
                if (p->alive)
                        n_seen += check_records(w, p);
        }
        w->count.checked += n_seen;
        world_at(w, world_in(w, CHECK_EVERY), check_some, NULL, turn);
}

void check_start(World *w) {
        world_at(w, w->now.boottime, check_some, NULL, 0);
}
