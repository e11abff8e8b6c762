/* SPDX-License-Identifier: BSD-2-Clause */
/* The network between peers and server, and the server. */
#include "peer.h"
#include "world.h"

static const uint64_t hash_key[2] = { 0x736d616c6c20776f, 0x726c64206f662073 };

/* ---- the server -------------------------------------------------------------------------------------------------- */

void world_server_amnesia(World *w) {
        peer_list_free(w->list);
        w->list = NULL;
        world_must(w, peer_list_new(&w->registrar.limits, hash_key, &w->list), "peer_list_new");
}

static void server_serve(World *w, Call *c, const MsgHead *head) {
        const Now now = { w->now.boottime, w->now.realtime + (usec_t) w->server_wall_usec };
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

        while (peer_list_expire(w->list, &now, &id, &forgotten))
                world_say(w, "server: peer id %u %s", id, forgotten ? "forgotten" : "expired");
        for (size_t i = 0; i < ELEMENTSOF(random.cookies); i++)
                random.cookies[i] = 1 + world_draw(w, PROTO_COOKIE_MAX);
        random.seed = world_random(w);
        r = registrar_handle(w->list, &w->registrar, &q, &c->from->endpoint.address, &now, &random, &reply, &body,
                             &outcome);
        world_must(w, r, "registrar_handle");
        if ((reply.status == 200 || reply.status == 204) && c->verb != VERB_LEAVE)
                c->from->heard_at = w->now.boottime;

        reply.has_length = true;
        reply.length = body.size;
        world_must(w, proto_write_reply(&c->reply, c->verb, &reply, "sim/1", now.realtime), "proto_write_reply");
        world_must(w, buf_append_slice(&c->reply, buf_slice(&body)), "body");
}

/* ---- calls ------------------------------------------------------------------------------------------------------- */

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

Call *call_free(Call *c) {
        *c->link = c->next;
        if (c->next)
                c->next->link = c->link;
        if (c->list)
                c->list_free(c->list);
        buf_done(&c->request);
        buf_done(&c->reply);
        free(c);
        return NULL;
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
                        if (c->tail.size > 0)
                                body = c->tail;
                        if (reply.has_length && reply.length != body.size)
                                world_fail(w, "%s: Content-Length does not match", verb_operation(c->verb));
                        c->done(c, &reply, body);
                } else
                        c->done(c, NULL, (Slice){ NULL, 0 });
        }
        call_free(c);
}

static void on_heard(World *w _unused_, void *arg, uint64_t unused _unused_) {
        Call *c = arg;

        if (c->from->alive && c->from->life == c->life)
                c->heard(c);
}

/* Whom a complete list leaves out is not dialled any more; a list of several pages is a second old at most. */
static void check_dialled(const World *w, const Peer *from, const Peer *to) {
        if (!to)
                world_fail(w, "peer %u dialled a stranger", from->n);
        if (to->heard_at + w->conf.ttl_usec + USEC_PER_SEC < from->listed_at)
                world_fail(w, "peer %u dialled peer %u, which is on no list since %.6f s", from->n, to->n,
                           (double) (to->heard_at + w->conf.ttl_usec) / 1e6);
}

static void time_out(Call *c) {
        world_at(c->world, c->sent_at + SIM_CALL_TIMEOUT, on_end, c, 0);
}

/* The server is in group 0. */
static bool is_cut(const World *w, const Call *c) {
        const Peer *to = c->to_server ? NULL : world_peer_at(w, &c->to);
        return w->split && c->from->group != (to ? to->group : 0);
}

/* 0: it goes on its way. */
static bool is_dropped(Call *c) {
        World *w = c->world;

        if (is_cut(w, c)) {
                w->count.cut++;
                return true;
        }
        if (!world_chance(w, w->loss_permille))
                return false;
        w->count.lost++;
        return true;
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
                usec_t at = world_chance(w, 500) ? world_in(w, USEC_PER_MSEC) : c->sent_at + SIM_CALL_TIMEOUT;
                world_at(w, at, on_end, c, 0);
                return;
        }

        trace_bytes(w, buf_slice(&c->request));
        world_must(w, msg_parse_request(buf_slice(&c->request), &head), "msg_parse_request");
        if (c->to_server)
                server_serve(w, c, &head);
        else if (!peer_serve(to, c, &head)) {
                time_out(c);
                return;
        }

        if (is_dropped(c)) {
                time_out(c);
                return;
        }
        usec_t at = world_in(w, 100 + world_draw(w, SIM_LATENCY_MAX));
        if (c->heard)
                world_at(w, at, on_heard, c, 0);
        /* A long document, or a slow line. */
        if (c->verb == VERB_GET_RFC && world_chance(w, 100))
                at += world_draw(w, SIM_CALL_TIMEOUT / 2);
        world_at(w, at, on_end, c, 1);
}

void call_send(Call *c, const Request *q) {
        World *w = c->world;

        world_must(w, proto_write_request(&c->request, q), "proto_write_request");
        if (!c->to_server)
                check_dialled(w, c->from, world_peer_at(w, &c->to));
        w->count.calls++;
        if (c->run != 0) {
                w->count.lookup.by_verb[c->verb].n++;
                w->count.lookup.by_verb[c->verb].bytes += c->request.size;
        }
        c->sent_at = w->now.boottime;
        if (is_dropped(c))
                time_out(c);
        else
                world_at(w, world_in(w, 100 + world_draw(w, SIM_LATENCY_MAX)), on_arrival, c, 0);
}
