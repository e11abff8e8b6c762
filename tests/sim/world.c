/* SPDX-License-Identifier: BSD-2-Clause */
#include "world.h"

#include <stdio.h>

#include "peer.h"

/* ---- chance ------------------------------------------------------------------------------------------------------ */

uint64_t world_random(World *w) {
        return seeded_next(&w->random);
}

uint64_t world_draw(World *w, uint64_t n) {
        return world_random(w) % n;
}

bool world_chance(World *w, unsigned permille) {
        return world_draw(w, 1000) < permille;
}

usec_t world_about(World *w, usec_t usec) {
        return usec - usec / 5 + world_draw(w, 2 * usec / 5 + 1);
}

/* By the cube of an even draw: the first thousandth of them is drawn every tenth time. */
uint64_t world_draw_uneven(World *w, uint64_t n) {
        uint64_t u = world_draw(w, 1 << 16);
        return (u * u >> 16) * u * n >> 32;
}

/* ---- words ------------------------------------------------------------------------------------------------------- */

void world_fail(const World *w, const char *format, ...) {
        va_list ap;

        fflush(stdout);
        fprintf(stderr, "sim: seed %llu, %.6f s: ", (unsigned long long) w->conf.seed, (double) w->now.boottime / 1e6);
        va_start(ap, format);
        vfprintf(stderr, format, ap);
        va_end(ap);
        fputc('\n', stderr);
        exit(EXIT_FAILURE);
}

void world_say(const World *w, const char *format, ...) {
        va_list ap;

        if (!w->conf.verbose)
                return;
        printf("%12.6f ", (double) w->now.boottime / 1e6);
        va_start(ap, format);
        vprintf(format, ap);
        va_end(ap);
        putchar('\n');
}

void world_must(const World *w, int r, const char *what) {
        if (r != 0)
                world_fail(w, "%s: %d", what, r);
}

void *world_grow(void *p, size_t n, size_t size) {
        void *grown = reallocarray(p, MAX_OF(n, (size_t) 1), size);
        if (!grown)
                abort();
        return grown;
}

/* ---- events: a heap ---------------------------------------------------------------------------------------------- */

static bool earlier(const Event *a, const Event *b) {
        return a->at != b->at ? a->at < b->at : a->order < b->order;
}

void world_at(World *w, usec_t at, void (*fn)(World *w, void *arg, uint64_t token), void *arg, uint64_t token) {
        if (w->n_events == w->max_events) {
                w->max_events = MAX_OF(2 * w->max_events, (size_t) 256);
                w->events = world_grow(w->events, w->max_events, sizeof(Event));
        }

        Event e = { MAX_OF(at, w->now.boottime), w->n_made++, fn, arg, token };
        size_t i = w->n_events++;
        for (; i > 0 && earlier(&e, &w->events[(i - 1) / 2]); i = (i - 1) / 2)
                w->events[i] = w->events[(i - 1) / 2];
        w->events[i] = e;
}

static Event take_event(World *w) {
        Event first = w->events[0], last = w->events[--w->n_events];
        size_t i = 0;

        for (;;) {
                size_t child = 2 * i + 1;
                if (child + 1 < w->n_events && earlier(&w->events[child + 1], &w->events[child]))
                        child++;
                if (child >= w->n_events || !earlier(&w->events[child], &last))
                        break;
                w->events[i] = w->events[child];
                i = child;
        }
        if (w->n_events > 0)
                w->events[i] = last;
        return first;
}

void world_run(World *w, usec_t until) {
        while (w->n_events > 0 && w->events[0].at <= until) {
                Event e = take_event(w);
                w->now.boottime = e.at;
                w->now.realtime = e.at + 1700000000 * USEC_PER_SEC;
                w->count.events++;
                e.fn(w, e.arg, e.token);
        }
        w->now.boottime = until;
}

/* ---- life -------------------------------------------------------------------------------------------------------- */

World *world_new(const WorldConf *conf) {
        World *w = calloc(1, sizeof(World));
        if (!w)
                abort();

        w->conf = *conf;
        w->random = w->trace = conf->seed;
        w->now.boottime = USEC_PER_SEC;
        w->server_up = true;
        buf_init(&w->endless, (size_t) 64 << 20);
        w->registrar = (RegistrarConf){
                .limits = {
                        .ttl_usec = conf->ttl_usec,
                        .max_peers = 1000000,
                        .max_per_source = 64,
                        .retention_usec = 30 * USEC_PER_DAY,
                },
                .keep_alive_usec = conf->keep_alive_usec,
                .peers_per_reply = conf->peers_per_reply,
        };
        world_server_amnesia(w);

        w->peers = world_grow(NULL, conf->n_peers, sizeof(Peer *));
        for (unsigned i = 0; i < conf->n_peers; i++)
                w->peers[i] = peer_new(w, i);
        return w;
}

World *world_free(World *w) {
        if (!w)
                return NULL;

        while (w->calls)
                call_free(w->calls);
        for (unsigned i = 0; i < w->conf.n_peers; i++)
                peer_free(w->peers[i]);
        free(w->peers);
        free(w->events);
        buf_done(&w->endless);
        peer_list_free(w->list);
        free(w);
        return NULL;
}
