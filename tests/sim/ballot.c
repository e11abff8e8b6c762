/* SPDX-License-Identifier: BSD-2-Clause */
#include "ballot.h"

/* A text of a document, and who states it himself. */
typedef struct Side {
        Digest digest;
        unsigned n_hosts;
        unsigned hosts[64];
} Side;

typedef struct Ballot {
        unsigned n_sides;
        Side sides[64];
} Ballot;

static void vote(const World *w, Ballot *b, const Digest *digest, unsigned host) {
        unsigned i = 0, k = 0;

        while (i < b->n_sides && !digest_equal(&b->sides[i].digest, digest))
                i++;
        if (i == ELEMENTSOF(b->sides))
                world_fail(w, "more texts of a document than the simulation counts");
        Side *s = &b->sides[i];
        if (i == b->n_sides) {
                b->n_sides++;
                s->digest = *digest;
                s->n_hosts = 0;
        }
        while (k < s->n_hosts && s->hosts[k] != host)
                k++;
        /* Beyond that it is as good as all. */
        if (k == s->n_hosts && k < ELEMENTSOF(s->hosts))
                s->hosts[s->n_hosts++] = host;
}

/* May it be taken? Only one text is stated, or enough hosts state this one, and fewer any other. */
static bool may_take(const Ballot *b, const Digest *digest) {
        unsigned own = 0, most = 0;

        for (unsigned i = 0; i < b->n_sides; i++) {
                const Side *s = &b->sides[i];
                if (digest_equal(&s->digest, digest))
                        own = s->n_hosts;
                else
                        most = MAX_OF(most, s->n_hosts);
        }
        if (b->n_sides == 0)
                return true;            /* hearsay is all there is */
        return own > 0 && (most == 0 || (own >= SIM_QUORUM && own > most));
}

/* ---- what a peer was told ---------------------------------------------------------------------------------------- */

/* Did it ever state that, within what may still be remembered of it? */
static void check_stated(const Peer *p, const RfcRecord *record) {
        const World *w = p->world;
        const Peer *holder = world_peer_at(w, &record->holder);
        uint64_t size;
        Digest digest;

        if (!holder)
                world_fail(w, "peer %u was told of document %u by a stranger himself", p->n, record->number);
        peer_describe(holder, record->number, &size, &digest);
        if (!digest_equal(&digest, &record->digest) ||
            (!peer_has(holder, record->number) && holder->removed_at + w->conf.ttl_usec < w->now.boottime))
                world_fail(w, "peer %u knows of peer %u about document %u what that one never said", p->n, holder->n,
                           record->number);
}

static Ballot hear(const Peer *p, uint32_t number) {
        const Now now = peer_now(p);
        uint32_t cursor = 0;
        RfcRecord record;
        Ballot b;

        b.n_sides = 0;
        while (rfc_index_next_record(p->index, number, &cursor, &record)) {
                if (!record.first_hand || record.expires_at <= now.boottime)
                        continue;
                check_stated(p, &record);
                vote(p->world, &b, &record.digest, peer_host(world_peer_at(p->world, &record.holder)));
        }
        return b;
}

void ballot_check_fetch(const Peer *p, const RfcRecord *record) {
        const Ballot b = hear(p, record->number);

        if (!may_take(&b, &record->digest))
                world_fail(p->world, "peer %u fetches a text of document %u that is disputed: %u are stated", p->n,
                           record->number, b.n_sides);
}

void ballot_check_disputed(const Peer *p, uint32_t number) {
        const Ballot b = hear(p, number);

        if (b.n_sides < 2)
                world_fail(p->world, "peer %u, document %u: disputed, but %s text is stated", p->n, number,
                           b.n_sides == 0 ? "no" : "only one");
        for (unsigned i = 0; i < b.n_sides; i++)
                if (may_take(&b, &b.sides[i].digest))
                        world_fail(p->world, "peer %u, document %u: disputed, but %u hosts state the same, and "
                                   "nobody as many another", p->n, number, b.sides[i].n_hosts);
}

/* ---- what there is ----------------------------------------------------------------------------------------------- */

/*
 * The true text counts by those only whom nobody shuts out, and false ones by all who state them: whoever is in
 * quarantine with some is heard by others.
 */
RunWant *ballot_want_all(const World *w, uint32_t n) {
        Ballot *ballots = calloc(n + 1, sizeof(Ballot));
        RunWant *want = calloc(n + 1, sizeof(RunWant));
        uint64_t size;
        Digest digest;

        if (!ballots || !want)
                abort();
        for (uint32_t number = 1; number <= n; number++)
                want[number] = RUN_MUST_MISS;
        for (unsigned i = 0; i < w->conf.n_peers; i++) {
                const Peer *p = w->peers[i];
                const bool honest = p->lie == LIE_NONE || p->lie == LIE_HEARSAY;

                for (size_t k = 0; p->alive && k < p->n_has && p->has[k] <= n; k++) {
                        want[p->has[k]] = RUN_ANY;
                        if (!honest && peer_text(p) == 0)
                                continue;
                        peer_describe(p, p->has[k], &size, &digest);
                        vote(w, &ballots[p->has[k]], &digest, peer_host(p));
                }
        }
        for (uint32_t number = 1; number <= n; number++) {
                document_describe(number, 0, &size, &digest);
                if (ballots[number].n_sides > 0 && may_take(&ballots[number], &digest))
                        want[number] = RUN_MUST_FIND;
        }
        free(ballots);
        return want;
}
