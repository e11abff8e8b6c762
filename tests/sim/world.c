/* SPDX-License-Identifier: BSD-2-Clause */
#include "world.h"

#include <stdio.h>

#include "peer.h"

static const uint64_t hash_key[2] = { 0x736d616c6c20776f, 0x726c64206f662073 };

/* ---- chance ------------------------------------------------------------------------------------------------------ */

/* splitmix64: small, and good enough to choose faults. */
uint64_t world_random(World *w) {
        uint64_t z = w->random += 0x9e3779b97f4a7c15u;
        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
        z = (z ^ z >> 27) * 0x94d049bb133111ebu;
        return z ^ z >> 31;
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

/* ---- words ------------------------------------------------------------------------------------------------------- */

void world_fail(const World *w, const char *format, ...) {
        va_list ap;

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

void document_text(uint32_t number, Buf *b) {
        if (buf_printf(b, "Document %u\n", number) != 0)
                abort();
        for (uint32_t i = 0; i < number % 7; i++)
                if (buf_printf(b, "Line %u of it.\n", i) != 0)
                        abort();
}

void document_digest(Slice text, Digest *ret) {
        for (uint64_t i = 0; i < DIGEST_SIZE / 8; i++) {
                const uint64_t key[2] = { i, 0 };
                uint64_t hash = bytes_hash(text.data, text.size, key);
                memcpy(ret->bytes + 8 * i, &hash, 8);
        }
}

/* ---- events: a heap ---------------------------------------------------------------------------------------------- */

static bool earlier(const Event *a, const Event *b) {
        return a->at != b->at ? a->at < b->at : a->order < b->order;
}

void world_at(World *w, usec_t at, void (*fn)(World *w, void *arg, uint64_t token), void *arg, uint64_t token) {
        if (w->n_events == w->max_events) {
                w->max_events = MAX_OF(2 * w->max_events, (size_t) 256);
                w->events = reallocarray(w->events, w->max_events, sizeof(Event));
                if (!w->events)
                        abort();
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

/* ---- the server -------------------------------------------------------------------------------------------------- */

void world_server_amnesia(World *w) {
        peer_list_free(w->list);
        w->list = NULL;
        world_must(w, peer_list_new(&w->registrar.limits, hash_key, &w->list), "peer_list_new");
}

static void server_serve(World *w, Call *c, const MsgHead *head) {
        _cleanup_request_ Request q = { 0 };
        _cleanup_buf_ Buf body = BUF_INIT(REGISTRAR_BODY_MAX);
        RegistrarRandom random;
        RegistrarOutcome outcome;
        Reply reply;
        uint32_t id;
        bool forgotten;
        int r;

        r = proto_parse_request(head, PROTO_REGISTRATION, &q);
        if (r != 0)
                world_fail(w, "server: a request of ours is answered with %d", r);

        while (peer_list_expire(w->list, &w->now, &id, &forgotten))
                world_say(w, "server: peer id %u %s", id, forgotten ? "forgotten" : "expired");
        for (size_t i = 0; i < ELEMENTSOF(random.cookies); i++)
                random.cookies[i] = 1 + world_draw(w, PROTO_COOKIE_MAX);
        random.seed = world_random(w);
        r = registrar_handle(w->list, &w->registrar, &q, &c->from->endpoint.address, &w->now, &random, &reply, &body,
                             &outcome);
        world_must(w, r, "registrar_handle");
        if ((reply.status == 200 || reply.status == 204) && c->verb != VERB_LEAVE)
                c->from->heard_at = w->now.boottime;

        reply.has_length = true;
        reply.length = body.size;
        world_must(w, proto_write_reply(&c->reply, c->verb, &reply, "sim/1", w->now.realtime), "proto_write_reply");
        world_must(w, buf_append_slice(&c->reply, buf_slice(&body)), "body");
}

/* ---- the network ------------------------------------------------------------------------------------------------- */

Call *call_new(Peer *from, Verb verb, CallDone done) {
        World *w = from->world;
        Call *c = calloc(1, sizeof(Call));
        if (!c)
                abort();

        c->world = w;
        c->from = from;
        c->life = from->life;
        c->verb = verb;
        c->done = done;
        buf_init(&c->request, MSG_HEAD_MAX);
        buf_init(&c->reply, (size_t) 64 << 20);
        c->next = w->calls;
        c->link = &w->calls;
        if (w->calls)
                w->calls->link = &c->next;
        w->calls = c;
        return c;
}

static void call_free(Call *c) {
        *c->link = c->next;
        if (c->next)
                c->next->link = c->link;
        if (c->list)
                c->list_free(c->list);
        buf_done(&c->request);
        buf_done(&c->reply);
        free(c);
}

static void trace_bytes(World *w, Slice s) {
        const uint64_t key[2] = { w->trace, w->now.boottime };
        w->trace = bytes_hash(s.data, s.size, key);
}

/* The end of a call: with the bytes of the reply, or without a word. */
static void on_end(World *w, void *arg, uint64_t answered) {
        Call *c = arg;

        if (c->from->alive && c->from->life == c->life) {
                if (answered) {
                        MsgHead head;
                        Reply reply;

                        trace_bytes(w, buf_slice(&c->reply));
                        world_must(w, msg_parse_response(buf_slice(&c->reply), &head), "msg_parse_response");
                        world_must(w, proto_parse_reply(&head, c->verb, &reply), "proto_parse_reply");
                        Slice body = { c->reply.data + head.size, c->reply.size - head.size };
                        if (reply.has_length && reply.length != body.size)
                                world_fail(w, "%s: Content-Length does not match", verb_operation(c->verb));
                        c->done(c, &reply, body);
                } else
                        c->done(c, NULL, (Slice){ NULL, 0 });
        }
        call_free(c);
}

/* Whom a complete list leaves out is not dialled any more; a list of several pages is a second old at most. */
static void check_dialled(const World *w, const Peer *from, const Peer *to) {
        if (!to)
                world_fail(w, "peer %u dialled a stranger", from->n);
        if (to->heard_at + w->conf.ttl_usec + USEC_PER_SEC < from->listed_at)
                world_fail(w, "peer %u dialled peer %u, which is on no list since %.6f s", from->n, to->n,
                           (double) (to->heard_at + w->conf.ttl_usec) / 1e6);
}

/* A request reaches whom it is for. */
static void on_arrival(World *w, void *arg, uint64_t unused _unused_) {
        Call *c = arg;
        Peer *to = c->to_server ? NULL : world_peer_at(w, &c->to);
        bool there = c->to_server ? w->server_up : to && to->alive;
        MsgHead head;

        if (!there) {
                /* A host whose program is gone refuses; one that is gone itself says nothing. */
                w->count.refused++;
                usec_t at = world_chance(w, 500) ? w->now.boottime + USEC_PER_MSEC : c->sent_at + SIM_CALL_TIMEOUT;
                world_at(w, at, on_end, c, 0);
                return;
        }

        trace_bytes(w, buf_slice(&c->request));
        world_must(w, msg_parse_request(buf_slice(&c->request), &head), "msg_parse_request");
        if (c->to_server)
                server_serve(w, c, &head);
        else
                peer_serve(to, c, &head);

        if (world_chance(w, w->loss_permille)) {
                w->count.lost++;
                world_at(w, c->sent_at + SIM_CALL_TIMEOUT, on_end, c, 0);
        } else
                world_at(w, w->now.boottime + 100 + world_draw(w, SIM_LATENCY_MAX), on_end, c, 1);
}

void call_send(Call *c, const Request *q) {
        World *w = c->world;

        world_must(w, proto_write_request(&c->request, q), "proto_write_request");
        if (!c->to_server)
                check_dialled(w, c->from, world_peer_at(w, &c->to));
        w->count.calls++;
        c->sent_at = w->now.boottime;
        if (world_chance(w, w->loss_permille)) {
                w->count.lost++;
                world_at(w, c->sent_at + SIM_CALL_TIMEOUT, on_end, c, 0);
        } else
                world_at(w, w->now.boottime + 100 + world_draw(w, SIM_LATENCY_MAX), on_arrival, c, 0);
}

/* ---- life -------------------------------------------------------------------------------------------------------- */

Peer *world_peer_at(const World *w, const Endpoint *e) {
        /* Two peers a host, see peer_new(). */
        size_t n = 2 * ((size_t) e->address.bytes[14] << 8 | e->address.bytes[15]) + e->port - PROTO_RFC_PORT;

        if (n >= w->conf.n_peers || !endpoint_equal(&w->peers[n]->endpoint, e))
                return NULL;
        return w->peers[n];
}

World *world_new(const WorldConf *conf) {
        World *w = calloc(1, sizeof(World));
        if (!w)
                abort();

        w->conf = *conf;
        w->random = w->trace = conf->seed;
        w->now.boottime = USEC_PER_SEC;
        w->server_up = true;
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

        w->peers = calloc(conf->n_peers, sizeof(Peer *));
        if (!w->peers)
                abort();
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
        peer_list_free(w->list);
        free(w);
        return NULL;
}
