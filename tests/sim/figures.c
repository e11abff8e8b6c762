/* SPDX-License-Identifier: BSD-2-Clause */
#include "figures.h"

#include <stdio.h>

#include "check.h"
#include "faults.h"
#include "peer.h"

/* Each peer is restarted so often. */
#define RESTART_USEC USEC_PER_DAY
#define NEWCOMERS 10

static void restart_some(World *w, void *arg, uint64_t until) {
        Peer *p = w->peers[world_draw(w, w->conf.n_peers)];

        if (w->now.boottime >= until)
                return;
        if (p->alive) {
                peer_crash(p);
                peer_start(p);
        }
        world_at(w, world_in(w, 1 + world_draw(w, 2 * RESTART_USEC / w->conf.n_peers)), restart_some, arg, until);
}

static void count_readers(World *w, void *arg, uint64_t until) {
        if (w->now.boottime >= until)
                return;
        for (unsigned i = 0; i < w->conf.n_peers; i++)
                if (w->peers[i]->alive && w->peers[i]->reads)
                        w->count.pull.reader_usec += USEC_PER_MINUTE;
        world_at(w, world_in(w, USEC_PER_MINUTE), count_readers, arg, until);
}

/* Peers that know nothing, and get a first document as soon as they are registered. */
static LookupCount count_newcomers(World *w) {
        w->count.lookup = (LookupCount){ 0 };
        for (unsigned i = 0; i < MIN_OF((unsigned) NEWCOMERS, w->conf.n_peers / 2); i++) {
                /* Always the same one: what it held is lost to the group. */
                Peer *p = w->peers[w->conf.n_peers - 1];

                if (p->alive)
                        peer_crash(p);
                peer_remove_all(p);
                p->reads = false;
                peer_start(p);
                world_run(w, world_in(w, USEC_PER_SEC));
                peer_look_up(p, 1 + (uint32_t) world_draw_uneven(w, w->conf.n_documents), RUN_ANY);
                world_run(w, world_in(w, USEC_PER_MINUTE));
        }
        return w->count.lookup;
}

static void print_lookups(const LookupCount *k) {
        static const Verb verbs[] = { VERB_PQUERY, VERB_RFC_INDEX, VERB_GET_RFC };

        printf(" %7lu %5.0f", k->n, 100.0 * (double) k->n_by_result[LOOKUP_FOUND] / (double) MAX_OF(k->n, 1ul));
        for (size_t i = 0; i < ELEMENTSOF(verbs); i++)
                printf(" %6.2f", (double) k->by_verb[verbs[i]].n / (double) MAX_OF(k->n, 1ul));
        printf("  ");
}

void figures_print_head(void) {
        printf("What finding and knowing costs: each peer wishes a document an hour and is restarted once a day; most\n"
               "documents have one to three holders, the most popular one a third of all peers. Lookups: how many requests\n"
               "each took, of peers that pull indexes, and the first ones of newcomers that know nothing. Index: what a\n"
               "peer that pulls sends and receives in an hour, in three runs: with deltas, without (304 or 200), and with a\n"
               "200 each time; heads and bodies, in kB.\n"
               "                           lookups                            first lookups"
               "                        index kB/peer/h\n"
               " peers  pull   docs        n  ok %% PQuery RFCQu. GetRFC          n  ok %% PQuery RFCQu. GetRFC"
               "     deltas  304/200      200\n");
}

/* A group that has lived for so long. */
static World *live(const WorldConf *conf, unsigned minutes) {
        World *w = world_new(conf);

        faults_populate(w);
        check_start(w);
        world_run(w, world_in(w, 2 * w->conf.pull_usec));

        usec_t until = world_in(w, minutes * USEC_PER_MINUTE);
        w->count = (WorldCount){ 0 };
        faults_start_wishes(w, conf->wish_usec, until);
        world_at(w, w->now.boottime, restart_some, NULL, until);
        world_at(w, w->now.boottime, count_readers, NULL, until);
        world_run(w, until);
        return w;
}

static void print_pulls(const PullCount *k) {
        double kb = (double) MAX_OF(k->reader_usec, (usec_t) 1) / (double) USEC_PER_HOUR * 1000;

        printf(" %8.1f", (double) k->bytes / kb);
        fflush(stdout);
}

void figures_run(const WorldConf *conf, unsigned minutes) {
        World *w = live(conf, minutes);
        const PullCount pulls = w->count.pull;

        printf("%6u %5u %6u ", w->conf.n_peers, w->conf.n_readers, w->conf.n_documents);
        print_lookups(&w->count.lookup);
        LookupCount newcomers = count_newcomers(w);
        print_lookups(&newcomers);
        print_pulls(&pulls);
        world_free(w);

        for (PullWay way = PULL_NO_DELTAS; way <= PULL_WHOLE; way++) {
                WorldConf other = *conf;
                other.pull_way = way;
                w = live(&other, minutes);
                print_pulls(&w->count.pull);
                world_free(w);
        }
        putchar('\n');
        fflush(stdout);
}
