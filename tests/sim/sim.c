/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A registration server and its peers in one process, on a virtual clock, with faults: peers crash, come back, leave;
 * documents come and go; messages are lost; the network falls apart; the server is away or loses its memory; clocks are
 * set; every tenth peer lies in one of seven ways. Then all heals but the liars, and what was promised must hold:
 *
 *   - at all times: nobody is told of a peer one TTL after its last word, and no record of a dead peer is offered then;
 *     nobody dials an address that the server does not list; no false byte is taken from who did not state it; nobody
 *     honest is put into quarantine; a copy that was brought up to date by deltas is what its holder had at that
 *     generation; no rubbish is merged; a lookup ends;
 *     nothing is taken that is disputed by what the taker was told, nor is anything said to be disputed that is not
 *   - when all is well again: every document that a live honest peer holds is found by everybody, unless as many hosts
 *     state another text; what nobody holds is not
 *
 * And a group of honest peers that keeps copies of everything, see replicas.h.
 *
 * The seed is printed; the same seed gives the same run, which is checked too.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>

#include "ballot.h"
#include "check.h"
#include "faults.h"
#include "figures.h"
#include "peer.h"
#include "replicas.h"
#include "world.h"

/* So many at most look for news, see faults_step(). */
#define LOOKERS 64

typedef struct Options {
        WorldConf world;
        unsigned n_seeds;
        unsigned minutes;               /* of faults */
        bool figures;
        bool replicas;
        bool any;                       /* something was said: else all that make check wants */
} Options;

/* ---- finding all that is there ----------------------------------------------------------------------------------- */

/* Some newcomers who know nothing yet: they have to ask their way. */
static void start_newcomers(World *w) {
        for (unsigned i = 0, n = 0; i < w->conf.n_peers && n < 3; i++)
                if (!w->peers[i]->alive) {
                        peer_remove_all(w->peers[i]);
                        w->peers[i]->lie = LIE_NONE;
                        w->peers[i]->reads = false;
                        peer_start(w->peers[i]);
                        n++;
                }
        /* Two exchanges: the server may have forgotten their cookies. */
        world_run(w, world_in(w, 5 * SIM_LATENCY_MAX));
}

/*
 * In a small world all look up everything. In a big one every document is looked up by one reader or two; those who
 * have to ask their way, newcomers among them, look up some.
 */
static bool is_wanted(const World *w, const Peer *p, uint32_t number) {
        if (w->conf.n_peers <= 64)
                return true;
        if (p->reads)
                return (number + p->n) % MAX_OF(w->conf.n_readers * 2 / 3, 1u) == 0;
        bool is_new = w->now.boottime - p->started_at < USEC_PER_SEC;
        return is_new ? number % (w->conf.n_documents / 20 + 1) == 0 :
                        p->n % 100 == 1 && number % w->conf.n_documents == p->n;
}

static void find_all(World *w) {
        start_newcomers(w);
        RunWant *want = ballot_want_all(w, w->conf.n_documents);
        for (unsigned i = 0; i < w->conf.n_peers; i++)
                for (uint32_t number = 1; number <= w->conf.n_documents; number++)
                        if (is_wanted(w, w->peers[i], number))
                                peer_look_up(w->peers[i], number, want[number]);
        free(want);
        run_drain(w);
}

/*
 * News, of which nobody was told by a pull: what was confirmed longer ago than a pull interval may not stand for what a
 * holder has now. Some of it is with those whom a quarantine would hit that goes on too long, or too far.
 */
static void find_news(World *w) {
        const unsigned step = faults_step(w);
        uint32_t first = w->conf.n_documents + 100;

        for (unsigned i = 0; i < w->conf.n_peers; i++)
                if (w->peers[i]->alive)
                        peer_stop_pulling(w->peers[i]);
        for (unsigned i = 0, n = 0; i < w->conf.n_peers && n < 6; i++) {
                Peer *p = w->peers[i];
                if (!p->alive || p->lie != LIE_NONE || (!p->suspect && n > 2))
                        continue;
                /* One for each who will look: whoever found it first would be a second holder. */
                for (unsigned k = 0; k < LOOKERS; k++)
                        peer_add_document(p, first + n * LOOKERS + k);
                n++;
        }
        world_run(w, world_in(w, w->conf.pull_usec + SIM_CALL_TIMEOUT));
        faults_meet_liar(w);
        RunWant held[6 * LOOKERS] = { 0 };
        for (unsigned i = 0; i < w->conf.n_peers; i++)
                for (unsigned k = 0; k < ELEMENTSOF(held); k++)
                        if (w->peers[i]->alive && peer_has(w->peers[i], first + k))
                                held[k] = RUN_MUST_FIND;
        for (unsigned i = 0; i < w->conf.n_peers; i += step)
                for (unsigned k = i / step; k < ELEMENTSOF(held); k += LOOKERS)
                        if (held[k] == RUN_MUST_FIND)
                                peer_look_up(w->peers[i], first + k, RUN_MUST_FIND);
        run_drain(w);
}

/* ---- the course of a run ----------------------------------------------------------------------------------------- */

static void report(const World *w) {
        const WorldCount *c = &w->count;

        printf("seed %llu: %u peers, %.1f h: %lu events, %lu calls (%lu lost, %lu cut off, %lu refused); %lu joins, %lu "
               "crashes, %lu leaves, %lu partitions, %lu clocks set; %lu lookups (%lu found, %lu fooled, longest %.0f s); "
               "pulls: %lu full, %lu deltas, %lu unchanged, %lu refused, %lu healed; %lu quarantines; checked: %lu records, "
               "%lu copies, %lu deaths; trace %016llx\n",
               (unsigned long long) w->conf.seed, w->conf.n_peers, (double) w->now.boottime / 3600e6, c->events, c->calls,
               c->lost, c->cut, c->refused, c->joins, c->crashes, c->leaves, c->partitions, c->jumps, c->lookup.n,
               c->lookup.n_by_result[LOOKUP_FOUND], c->fooled, (double) c->lookup.longest_usec / 1e6, c->pull.n_full,
               c->pull.n_delta, c->pull.n_same, c->pull.n_refused, c->pull.n_healed, c->quarantines, c->checked,
               c->copies_checked, c->deaths_checked, (unsigned long long) w->trace);
        fflush(stdout);
}

static uint64_t run_once(const WorldConf *conf, unsigned minutes, bool tell) {
        World *w = world_new(conf);

        faults_populate(w);
        check_start(w);
        world_run(w, world_in(w, 2 * w->conf.pull_usec));

        usec_t until = world_in(w, minutes * USEC_PER_MINUTE);
        faults_start(w, until);
        faults_start_wishes(w, conf->wish_usec, until);
        world_run(w, until);
        run_drain(w);
        faults_heal(w);
        find_all(w);
        find_news(w);

        uint64_t trace = w->trace;
        if (tell)
                report(w);
        world_free(w);
        return trace;
}

static void run_twice(const WorldConf *conf, unsigned minutes) {
        WorldConf again = *conf;

        again.verbose = false;
        if (run_once(conf, minutes, true) != run_once(&again, minutes, false)) {
                fprintf(stderr, "sim: seed %llu: two runs differ\n", (unsigned long long) conf->seed);
                exit(EXIT_FAILURE);
        }
}

static void run_seeds(const Options *o) {
        WorldConf conf = o->world;

        run_twice(&conf, o->minutes);
        for (unsigned i = 1; i < o->n_seeds; i++) {
                conf.seed++;
                (void) run_once(&conf, o->minutes, true);
        }
}

/* ---- the command ------------------------------------------------------------------------------------------------- */

static const WorldConf small_world = {
        .seed = 1,
        .n_peers = 30,
        .n_readers = 24,
        .n_documents = 40,
        .ttl_usec = 10 * USEC_PER_MINUTE,
        .keep_alive_usec = 200 * USEC_PER_SEC,
        .pull_usec = 100 * USEC_PER_SEC,
        .wish_usec = USEC_PER_MINUTE,
        .peers_per_reply = 7,
        .absent_permille = 200,
        .liars = true,
};

static const WorldConf big_world = {
        .seed = 1,
        .n_peers = 1000,
        .n_readers = 10,
        .n_documents = 500,
        .ttl_usec = 20 * USEC_PER_MINUTE,
        .keep_alive_usec = 400 * USEC_PER_SEC,
        .pull_usec = 5 * USEC_PER_MINUTE,
        .wish_usec = 60 * USEC_PER_MINUTE,
        .peers_per_reply = 300,
        .absent_permille = 200,
        .liars = true,
};

/*
 * As the daemons are configured when nobody says otherwise. In a small group all pull. In a big one some do, to save
 * time: what they find and send is the same, but newcomers, who ask at random, meet more who don't know.
 */
static WorldConf figures_world(const Options *o, unsigned n_peers) {
        return (WorldConf){
                .seed = o->world.seed,
                .n_peers = n_peers,
                .n_readers = n_peers <= 100 ? n_peers : MIN_OF(n_peers, o->world.n_readers),
                .n_documents = o->world.n_documents,
                .ttl_usec = PROTO_TTL_SEC * USEC_PER_SEC,
                .keep_alive_usec = PROTO_TTL_SEC / 3 * USEC_PER_SEC,
                .pull_usec = 10 * USEC_PER_MINUTE,
                .wish_usec = USEC_PER_HOUR,
                .peers_per_reply = 1000,
                .only_readers_look_up = true,
        };
}

static void print_figures(const Options *o) {
        static const unsigned sizes[] = { 10, 100, 1000 };

        figures_print_head();
        for (size_t i = 0; i < ELEMENTSOF(sizes); i++) {
                const WorldConf conf = figures_world(o, sizes[i]);
                figures_run(&conf, o->minutes);
        }
}

/* Of a group of honest peers that all pull. */
static void run_replicas(const Options *o) {
        WorldConf conf = small_world;

        conf.n_peers = conf.n_readers = o->world.n_peers;
        conf.n_documents = o->world.n_documents;
        conf.verbose = o->world.verbose;
        conf.absent_permille = 0;
        conf.liars = false;
        conf.peers_per_reply = 100;
        for (unsigned i = 0; i < o->n_seeds; i++) {
                conf.seed = o->world.seed + i;
                replicas_run(&conf, o->minutes);
        }
}

static void run_all(void) {
        const Options small = { .world = small_world, .n_seeds = 2, .minutes = 30 };
        Options replicas = { .world = small_world, .n_seeds = 1, .minutes = 60 };
        replicas.world.n_peers = 16;
        WorldConf big = big_world;
        big.n_peers = 300;              /* a thousand take four times as long */
        big.n_documents = 150;

        run_seeds(&small);
        (void) run_once(&big, 3, true);
        run_replicas(&replicas);
}

static unsigned number_of(const char *option, const char *s) {
        char *end;
        errno = 0;
        unsigned long n = strtoul(s, &end, 10);
        if (errno != 0 || *end != '\0' || end == s || n == 0 || n > 1000000) {
                fprintf(stderr, "sim: --%s: not a number from 1 to 1000000: %s\n", option, s);
                exit(2);
        }
        return (unsigned) n;
}

static void usage(void) {
        printf("sim [--figures|--replicas] [--seed=1] [--seeds=1] [--peers=1000] [--readers=10] [--documents=500]\n"
               "    [--minutes=60] [--verbose]\n"
               "Without any option: what make check runs. Up to 64 peers: everything is checked each time; above, samples.\n");
}

static void parse(int argc, char **argv, Options *o) {
        static const struct option options[] = {
                { "seed", required_argument, NULL, 's' },      { "seeds", required_argument, NULL, 'n' },
                { "peers", required_argument, NULL, 'p' },     { "readers", required_argument, NULL, 'r' },
                { "documents", required_argument, NULL, 'd' }, { "minutes", required_argument, NULL, 'm' },
                { "figures", no_argument, NULL, 'f' },         { "replicas", no_argument, NULL, 'c' },
                { "verbose", no_argument, NULL, 'v' },         { "help", no_argument, NULL, 'h' },
                { 0 },
        };
        unsigned *const to[] = {
                ['n'] = &o->n_seeds, ['p'] = &o->world.n_peers, ['r'] = &o->world.n_readers,
                ['d'] = &o->world.n_documents, ['m'] = &o->minutes,
        };
        int c, i = 0;

        while ((c = getopt_long(argc, argv, "", options, &i)) >= 0) {
                o->any = true;
                if (c == 's')
                        o->world.seed = number_of("seed", optarg);
                else if (c == 'f')
                        o->figures = true;
                else if (c == 'c')
                        o->replicas = true;
                else if (c == 'v')
                        o->world.verbose = true;
                else if ((size_t) c < ELEMENTSOF(to) && to[c])
                        *to[c] = number_of(options[i].name, optarg);
                else {
                        usage();
                        exit(c == 'h' ? EXIT_SUCCESS : 2);
                }
        }
}

int main(int argc, char **argv) {
        Options o = { .world = big_world, .n_seeds = 1, .minutes = 60 };

        parse(argc, argv, &o);
        if (o.world.n_peers <= 64) {
                WorldConf conf = small_world;
                conf.seed = o.world.seed;
                conf.verbose = o.world.verbose;
                conf.n_peers = o.world.n_peers;
                conf.n_readers = MIN_OF(o.world.n_readers, conf.n_peers);
                conf.n_documents = MIN_OF(o.world.n_documents, conf.n_documents);
                o.world = conf;
        }
        o.world.n_readers = MIN_OF(o.world.n_readers, o.world.n_peers);
        if (!o.any)
                run_all();
        else if (o.replicas)
                run_replicas(&o);
        else if (o.figures)
                print_figures(&o);
        else
                run_seeds(&o);
        return EXIT_SUCCESS;
}
