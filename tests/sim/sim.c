/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A registration server and its peers in one process, on a virtual clock, with faults: peers crash, come back, leave;
 * documents come and go; messages are lost; the server is away or loses its memory; a few peers serve false bytes, one
 * tells of holders that do not exist. Then the network heals, and what was promised must hold:
 *
 *   - at all times: nobody is told of a peer one TTL after its last word, and no record of a dead peer is offered then;
 *     nobody dials an address that the server does not list; no false byte is taken; a lookup ends
 *   - when all is well again: every document that a live honest peer holds is found by everybody, others are not
 *
 * The seed is printed; the same seed gives the same run, which is checked too.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>

#include "peer.h"
#include "world.h"

#define PERMILLE_LOST 30
#define CHECK_EVERY (20 * USEC_PER_SEC)

typedef struct Options {
        WorldConf world;
        unsigned n_seeds;
        unsigned minutes;               /* of faults */
} Options;

/* ---- what must hold at all times --------------------------------------------------------------------------------- */

static void check_records(World *w, const Peer *p) {
        RfcRecord records[256];

        for (uint32_t number = 1; number <= w->conf.n_documents; number++) {
                size_t n = rfc_index_find(p->index, number, &w->now, records, ELEMENTSOF(records));
                for (size_t i = 0; i < MIN_OF(n, ELEMENTSOF(records)); i++) {
                        const Peer *holder = world_peer_at(w, &records[i].holder);
                        w->count.checked++;
                        if (holder == p)
                                world_fail(w, "peer %u has a record of others about itself", p->n);
                        if (holder && !holder->alive && holder->died_at + w->conf.ttl_usec <= w->now.boottime)
                                world_fail(w, "peer %u offers document %u of peer %u, dead since %.6f s", p->n, number,
                                           holder->n, (double) holder->died_at / 1e6);
                }
        }
}

static void check_all(World *w, void *arg, uint64_t unused _unused_) {
        for (unsigned i = 0; i < w->conf.n_peers; i++)
                if (w->peers[i]->alive)
                        check_records(w, w->peers[i]);
        world_at(w, w->now.boottime + CHECK_EVERY, check_all, arg, 0);
}

/* ---- faults ------------------------------------------------------------------------------------------------------ */

static Peer *any_peer(World *w) {
        return w->peers[world_draw(w, w->conf.n_peers)];
}

static uint32_t any_document(World *w) {
        return 1 + (uint32_t) world_draw(w, w->conf.n_documents);
}

static void one_fault(World *w) {
        Peer *p = any_peer(w);
        uint64_t dice = world_draw(w, 100);

        if (dice < 20) {
                if (p->alive && !p->leaving) {
                        w->count.crashes++;
                        peer_crash(p);
                }
        } else if (dice < 28) {
                if (p->alive && !p->leaving) {
                        w->count.leaves++;
                        peer_leave(p);
                }
        } else if (dice < 60) {
                if (!p->alive)
                        peer_start(p);
        } else if (dice < 75)
                peer_add_document(p, any_document(w));
        else if (dice < 90)
                peer_remove_document(p, any_document(w));
        else if (dice < 97)
                w->server_up = !w->server_up;
        else if (dice < 98) {
                world_say(w, "server: forgets everything");
                world_server_amnesia(w);
        } else
                w->loss_permille = w->loss_permille ? 0 : PERMILLE_LOST;
}

/* until: no faults after that. */
static void faults(World *w, void *arg, uint64_t until) {
        if (w->now.boottime >= until)
                return;
        one_fault(w);
        world_at(w, w->now.boottime + world_draw(w, 10 * USEC_PER_SEC), faults, arg, until);
}

static void wishes(World *w, void *arg, uint64_t until) {
        if (w->now.boottime >= until)
                return;
        peer_look_up(any_peer(w), any_document(w));
        world_at(w, w->now.boottime + world_draw(w, 2 * USEC_PER_SEC), wishes, arg, until);
}

/* ---- the course of a run ----------------------------------------------------------------------------------------- */

static void populate(World *w) {
        for (unsigned i = 0; i < w->conf.n_peers; i++) {
                Peer *p = w->peers[i];

                p->lies = i % 10 == 3;
                p->poisons = i == 5;
                for (uint32_t number = 1; number <= w->conf.n_documents; number++)
                        p->has[number] = world_chance(w, 80);
                if (!world_chance(w, 200))
                        peer_start(p);
        }
}

static unsigned count_runs(const World *w) {
        unsigned n = 0;

        for (unsigned i = 0; i < w->conf.n_peers; i++)
                for (const Run *run = w->peers[i]->runs; run; run = run->next)
                        n++;
        return n;
}

static unsigned count_alive(const World *w) {
        unsigned n = 0;

        for (unsigned i = 0; i < w->conf.n_peers; i++)
                n += w->peers[i]->alive;
        return n;
}

/*
 * A lookup asks and fetches at most three times a peer, and each call is answered or given up within
 * SIM_CALL_TIMEOUT.
 */
static void drain(World *w) {
        usec_t until = w->now.boottime + 4 * w->conf.n_peers * SIM_CALL_TIMEOUT;

        while (count_runs(w) > 0 && w->now.boottime < until)
                world_run(w, w->now.boottime + SIM_CALL_TIMEOUT);
        if (count_runs(w) > 0)
                world_fail(w, "%u lookups did not end", count_runs(w));
}

static void heal(World *w) {
        w->loss_permille = 0;
        w->server_up = true;
        for (unsigned i = 0; i < w->conf.n_peers; i++)
                if (w->peers[i]->leaving && w->peers[i]->alive)
                        peer_crash(w->peers[i]);

        /* The dead are forgotten after one TTL; who was told to wait does so for MEMBERSHIP_BACKOFF_MAX_USEC; then
         * all pull. */
        world_run(w, w->now.boottime + w->conf.ttl_usec + MEMBERSHIP_BACKOFF_MAX_USEC + 3 * w->conf.pull_usec);
        for (unsigned i = 0; i < w->conf.n_peers; i++)
                if (w->peers[i]->alive && w->peers[i]->membership.state != MEMBERSHIP_ACTIVE)
                        world_fail(w, "peer %u is still not registered", i);

        /* Some newcomers who know nothing yet: they have to ask their way. */
        for (unsigned i = 0, n = 0; i < w->conf.n_peers && n < 3; i++)
                if (!w->peers[i]->alive) {
                        memset(w->peers[i]->has, 0, (w->conf.n_documents + 1) * sizeof(bool));
                        w->peers[i]->lies = false;
                        peer_start(w->peers[i]);
                        n++;
                }
        /* Two exchanges: the server may have forgotten their cookies. */
        world_run(w, w->now.boottime + 5 * SIM_LATENCY_MAX);
}

/* held: some live peer had the document; honest: one that serves what it states. */
static void check_result(const World *w, const Peer *p, uint32_t number, bool held, bool honest) {
        if (p->result[number] < 0)
                return;         /* its own library had it */

        const char *result = lookup_result_name((LookupResult) p->result[number]);
        if (honest && !p->has[number])
                world_fail(w, "peer %u, document %u: an honest peer holds it, but the lookup says %s", p->n, number,
                           result);
        if (!held && p->has[number])
                world_fail(w, "peer %u, document %u: nobody held it, but it was found", p->n, number);
        if (!held && p->result[number] != LOOKUP_NOT_HELD && p->result[number] != LOOKUP_NO_PEERS)
                world_fail(w, "peer %u, document %u: nobody holds it, but the lookup says %s", p->n, number, result);
        if (p->result[number] == LOOKUP_NO_PEERS && count_alive(w) > 1)
                world_fail(w, "peer %u, document %u: other peers are there, but the lookup says %s", p->n, number,
                           result);
}

static void find_all(World *w) {
        const size_t n = w->conf.n_documents;
        bool *honest = calloc(n + 1, sizeof(bool)), *held = calloc(n + 1, sizeof(bool));
        if (!honest || !held)
                abort();

        for (unsigned i = 0; i < w->conf.n_peers; i++)
                for (uint32_t number = 1; number <= n; number++)
                        if (w->peers[i]->alive && w->peers[i]->has[number]) {
                                held[number] = true;
                                honest[number] |= !w->peers[i]->lies;
                        }

        for (unsigned i = 0; i < w->conf.n_peers; i++)
                for (uint32_t number = 1; number <= n; number++) {
                        w->peers[i]->result[number] = -1;
                        peer_look_up(w->peers[i], number);
                }
        drain(w);

        for (unsigned i = 0; i < w->conf.n_peers; i++)
                for (uint32_t number = 1; number <= n && w->peers[i]->alive; number++)
                        check_result(w, w->peers[i], number, held[number], honest[number]);
        free(honest);
        free(held);
}

static uint64_t run_once(const Options *o, bool report) {
        World *w = world_new(&o->world);
        usec_t until = w->now.boottime + o->minutes * USEC_PER_MINUTE;

        populate(w);
        world_at(w, w->now.boottime, check_all, NULL, 0);
        world_run(w, w->now.boottime + 2 * w->conf.pull_usec);
        world_at(w, w->now.boottime, faults, NULL, until);
        world_at(w, w->now.boottime, wishes, NULL, until);
        world_run(w, until);
        drain(w);
        heal(w);
        find_all(w);

        uint64_t trace = w->trace;
        if (report) {
                const WorldCount *c = &w->count;
                printf("seed %llu: %.0f s, %lu events, %lu calls (%lu lost, %lu refused), %lu lookups (%lu found), "
                       "%lu merges (%lu deltas), %lu quarantines, %lu crashes, %lu leaves, %lu records checked, trace %016llx\n",
                       (unsigned long long) o->world.seed, (double) w->now.boottime / 1e6, c->events, c->calls, c->lost,
                       c->refused, c->lookups, c->found, c->merges, c->deltas, c->quarantines, c->crashes, c->leaves, c->checked,
                       (unsigned long long) trace);
                fflush(stdout);
        }
        world_free(w);
        return trace;
}

/* ---- the command ------------------------------------------------------------------------------------------------- */

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
        printf("sim [--seed=1] [--seeds=3] [--peers=30] [--documents=40] [--minutes=30] [--verbose]\n");
}

static void parse(int argc, char **argv, Options *o) {
        static const struct option options[] = {
                { "seed", required_argument, NULL, 's' },     { "seeds", required_argument, NULL, 'n' },
                { "peers", required_argument, NULL, 'p' },    { "documents", required_argument, NULL, 'd' },
                { "minutes", required_argument, NULL, 'm' },  { "verbose", no_argument, NULL, 'v' },
                { "help", no_argument, NULL, 'h' },           { 0 },
        };
        int c, i = 0;

        while ((c = getopt_long(argc, argv, "", options, &i)) >= 0)
                switch (c) {
                case 's':
                        o->world.seed = number_of("seed", optarg);
                        break;
                case 'n':
                        o->n_seeds = number_of("seeds", optarg);
                        break;
                case 'p':
                        o->world.n_peers = number_of("peers", optarg);
                        break;
                case 'd':
                        o->world.n_documents = number_of("documents", optarg);
                        break;
                case 'm':
                        o->minutes = number_of("minutes", optarg);
                        break;
                case 'v':
                        o->world.verbose = true;
                        break;
                case 'h':
                        usage();
                        exit(EXIT_SUCCESS);
                default:
                        usage();
                        exit(2);
                }
}

int main(int argc, char **argv) {
        Options o = {
                .world = {
                        .seed = 1,
                        .n_peers = 30,
                        .n_documents = 40,
                        .ttl_usec = 10 * USEC_PER_MINUTE,
                        .keep_alive_usec = 200 * USEC_PER_SEC,
                        .pull_usec = 100 * USEC_PER_SEC,
                        .peers_per_reply = 7,
                },
                .n_seeds = 3,
                .minutes = 30,
        };
        uint64_t first = 0;
        Options again;

        parse(argc, argv, &o);
        again = o;
        again.world.verbose = false;
        for (unsigned i = 0; i < o.n_seeds; i++, o.world.seed++) {
                uint64_t trace = run_once(&o, true);
                if (i == 0)
                        first = trace;
        }
        if (run_once(&again, false) != first) {
                fprintf(stderr, "sim: seed %llu: two runs differ\n", (unsigned long long) again.world.seed);
                return EXIT_FAILURE;
        }
        return EXIT_SUCCESS;
}
