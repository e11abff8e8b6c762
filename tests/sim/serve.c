/* SPDX-License-Identifier: BSD-2-Clause */
/* What a simulated peer answers, be it honest or not. */
#include "peer.h"

/* Who was just started answers BUSY for so long: it scans its library. */
#define SCAN_USEC (USEC_PER_SEC / 2)
/* An answer without an end costs a reader up to 16 MiB: mostly such a peer just says nothing more. */
#define ENDLESS_PERMILLE 20
#define FALSE_HOLDERS 8

/* ---- the own index ----------------------------------------------------------------------------------------------- */

/* Encoded once, until a document changes. */
static void encode_own(Peer *p) {
        Generation g = rfc_index_generation(p->index);
        _cleanup_buf_ Buf covered = BUF_INIT(PROTO_INDEX_BYTES_MAX);
        uint32_t after = 0;

        if (p->changes && p->encoded.epoch == g.epoch && p->encoded.number == g.number)
                return;
        buf_clear(&p->body);
        world_must(p->world, rfc_index_encode_own(p->index, &after, SIZE_MAX, &p->body, &covered),
                   "rfc_index_encode_own");
        document_digest(buf_slice(&covered), &p->body_digest);
        p->encoded = g;
        p->changes = index_changes_free(p->changes);
        world_must(p->world, index_changes_new(&p->changes), "index_changes_new");
        world_must(p->world, index_changes_step(p->changes, p->index, SIZE_MAX), "index_changes_step");
        index_changes_end(p->changes, buf_slice(&p->body));
}

static int serve_generation(Peer *p, const Request *q, Reply *reply, Buf *body) {
        int r = index_changes_encode(p->changes, buf_slice(&p->body), q->if_generation, body);

        if (r == 0 && p->world->conf.pull_way == PULL_NO_DELTAS) {
                buf_clear(body);
                r = RFC_INDEX_TOO_LARGE;
        }
        reply->status = r == 0 ? 226 : r == RFC_INDEX_UNCHANGED ? 304 : 200;
        return r <= 0 ? r : reply->status == 200 ? buf_append_slice(body, buf_slice(&p->body)) : 0;
}

static void serve_index(Peer *p, const Request *q, Reply *reply, Buf *body) {
        const Now now = peer_now(p);
        int r;

        reply->status = 200;
        if (q->rfcs.n_ranges > 0)
                r = rfc_index_encode_set(p->index, &q->rfcs, &now, body);
        else {
                encode_own(p);
                reply->has_generation = true;
                reply->generation = p->encoded;
                reply->has_index_digest = true;
                reply->index_digest = p->body_digest;
                r = q->has_if_generation ? serve_generation(p, q, reply, body) :
                                           rfc_index_encode_all(p->index, &now, body);
        }
        world_must(p->world, r, "rfc_index_encode");
}

/* ---- lies -------------------------------------------------------------------------------------------------------- */

static int compare_lines(const void *a, const void *b) {
        return proto_compare_index_lines(a, b);
}

/* What is asked for is held by others who are not there, or are and know nothing of it. */
static void add_false_holders(Peer *p, const Request *q, Buf *body) {
        World *w = p->world;
        _cleanup_buf_ Buf old = *body;
        IndexLine lines[FALSE_HOLDERS + 1];
        size_t n = 0;
        RfcRecord own;
        uint32_t number = q->rfcs.n_ranges > 0 ? q->rfcs.ranges[0].first : 1;

        *body = BUF_INIT(old.max);
        if (rfc_index_get_own(p->index, number, &own))
                lines[n++] = (IndexLine){
                        .number = number, .ttl_sec = (uint32_t) (w->conf.ttl_usec / USEC_PER_SEC), .self = true,
                        .size = own.size, .digest = own.digest, .title = own.title,
                };
        for (unsigned i = 0; i < FALSE_HOLDERS; i++) {
                const Peer *victim = w->peers[world_draw(w, w->conf.n_peers)];
                if (!victim->alive)     /* nobody else would speak of it for longer than one TTL */
                        continue;
                IndexLine *l = &lines[n++];
                *l = (IndexLine){
                        .number = number, .ttl_sec = 7200, .holder = victim->endpoint,
                        .title = SLICE_LITERAL(DOCUMENT_TITLE),
                };
                document_describe(number, world_chance(w, 500) ? 0 : p->n + 1, &l->size, &l->digest);
                if (i % 2 == 0)
                        l->holder.address.bytes[12] = (uint8_t) (11 + i);
        }
        qsort(lines, n, sizeof(lines[0]), compare_lines);
        for (size_t i = 0; i < n; i++)
                if (i == 0 || proto_compare_index_lines(&lines[i - 1], &lines[i]) != 0)
                        world_must(w, proto_write_index_line(body, &lines[i], false), "proto_write_index_line");
}

/* Any body becomes one that nobody may take. */
static void babble(Peer *p, Buf *body) {
        static const char rubbish[] = "7230\t\t\t-\n";

        if (body->size == 0 || world_chance(p->world, 300)) {
                world_must(p->world, buf_append(body, rubbish, sizeof(rubbish) - 1), "body");
        } else if (world_chance(p->world, 500)) {
                buf_truncate(body, body->size - 1);             /* its last line has no end */
        } else {
                const char *end = memchr(body->data, '\n', body->size);
                size_t size = (size_t) (end - body->data) + 1;
                _cleanup_buf_ Buf line = BUF_INIT(PROTO_INDEX_LINE_MAX);

                world_must(p->world, buf_append(&line, body->data, size), "line");
                world_must(p->world, buf_append_slice(body, buf_slice(&line)), "body");         /* double */
        }
}

static Slice endless_body(World *w) {
        IndexLine line = { .ttl_sec = 7200, .self = true, .size = 9, .title = SLICE_LITERAL("Again") };

        if (w->endless.size == 0)
                for (line.number = 1; line.number <= PROTO_INDEX_RECORDS_MAX + 1; line.number++)
                        world_must(w, proto_write_index_line(&w->endless, &line, false), "proto_write_index_line");
        return buf_slice(&w->endless);
}

/* ---- documents --------------------------------------------------------------------------------------------------- */

static void serve_document(Peer *p, const Request *q, Reply *reply, Buf *body) {
        static const char note[] = "This is not what was stated.\n";
        RfcRecord own;

        reply->status = 404;
        if (!rfc_index_get_own(p->index, q->rfc, &own))
                return;

        reply->status = 200;
        reply->has_digest = true;
        reply->digest = own.digest;
        reply->title = own.title;
        document_text(q->rfc, p->lie == LIE_TWO_FACED ? 0 : peer_text(p), body);
        if (p->lie == LIE_TWO_FACED)
                document_digest(buf_slice(body), &reply->digest);
        if (p->lie == LIE_BYTES)
                world_must(p->world, buf_append(body, note, sizeof(note) - 1), "body");
}

/* ---- both -------------------------------------------------------------------------------------------------------- */

bool peer_serve(Peer *p, Call *c, const MsgHead *head) {
        World *w = p->world;
        _cleanup_request_ Request q = { 0 };
        _cleanup_buf_ Buf body = BUF_INIT(PROTO_INDEX_BYTES_MAX);
        Reply reply = { 0 };

        int r = proto_parse_request(head, PROTO_PEER, &q);
        if (r != 0)
                world_fail(w, "peer %u: a request of ours is answered with %d", p->n, r);

        bool scans = w->now.boottime - p->started_at < SCAN_USEC;
        if (q.verb == VERB_GET_RFC)
                serve_document(p, &q, &reply, &body);
        else if (scans) {
                reply.status = 503;
                reply.retry_after_sec = 1;
        } else
                serve_index(p, &q, &reply, &body);

        if (p->lie == LIE_ENDLESS) {
                if (q.verb == VERB_GET_RFC || q.rfcs.n_ranges > 0 || !world_chance(w, ENDLESS_PERMILLE))
                        return false;
                reply.status = 200;
                c->tail = endless_body(w);
        }
        if (p->lie == LIE_BABBLE && q.verb == VERB_RFC_INDEX && reply.status == 200)
                babble(p, &body);
        if (p->lie == LIE_HEARSAY && reply.status == 200 && q.rfcs.n_ranges > 0)
                add_false_holders(p, &q, &body);

        reply.has_length = true;
        reply.length = c->tail.size > 0 ? c->tail.size : body.size;
        world_must(w, proto_write_reply(&c->reply, q.verb, &reply, "sim/1", peer_now(p).realtime),
                   "proto_write_reply");
        if (c->tail.size == 0)
                world_must(w, buf_append_slice(&c->reply, buf_slice(&body)), "body");
        return true;
}
