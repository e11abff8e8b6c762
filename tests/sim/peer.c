/* SPDX-License-Identifier: BSD-2-Clause */
#include "peer.h"

static const uint64_t hash_key[2] = { 0x65766572796f6e65, 0x2068617320616e20 };

#define INDEX_MAX 100000
#define LIARS_NOTE "This is not what was stated.\n"

/* ---- life -------------------------------------------------------------------------------------------------------- */

Peer *peer_new(World *w, unsigned n) {
        Peer *p = calloc(1, sizeof(Peer));
        if (!p)
                abort();

        p->world = w;
        p->n = n;
        p->has = calloc(w->conf.n_documents + 1, sizeof(bool));
        p->result = calloc(w->conf.n_documents + 1, sizeof(int));
        if (!p->has || !p->result)
                abort();
        world_must(w, address_from_text(SLICE_LITERAL("192.168.0.0"), &p->endpoint.address), "address");
        /* Two peers a host: address and port are what counts. */
        p->endpoint.address.bytes[14] = (uint8_t) (n / 2 >> 8);
        p->endpoint.address.bytes[15] = (uint8_t) (n / 2);
        p->endpoint.port = (uint16_t) (PROTO_RFC_PORT + n % 2);
        return p;
}

static void forget_life(Peer *p) {
        run_free_all(p);
        p->index = rfc_index_free(p->index);
        p->holders = holders_free(p->holders);
}

Peer *peer_free(Peer *p) {
        forget_life(p);
        free(p->has);
        free(p->result);
        free(p);
        return NULL;
}

static void state_own(Peer *p, uint32_t number) {
        _cleanup_buf_ Buf text = BUF_INIT(4096);
        Digest digest;

        document_text(number, &text);
        document_digest(buf_slice(&text), &digest);
        int r = rfc_index_set_own(p->index, number, text.size, &digest, SLICE_LITERAL("A Document"));
        if (r != 0 && r != RFC_INDEX_UNCHANGED)
                world_must(p->world, r, "rfc_index_set_own");
}

void peer_add_document(Peer *p, uint32_t number) {
        p->has[number] = true;
        if (p->alive)
                state_own(p, number);
}

void peer_remove_document(Peer *p, uint32_t number) {
        p->has[number] = false;
        if (p->alive)
                (void) rfc_index_remove_own(p->index, number);
}

/* The word of a holder that does not exist, which this peer then relays. */
static void learn_poison(Peer *p) {
        _cleanup_buf_ Buf body = BUF_INIT(1 << 20);
        Endpoint victim = p->endpoint;

        victim.address.bytes[13] = 77;
        for (uint32_t number = 1; number <= p->world->conf.n_documents; number++) {
                IndexLine line = {
                        .number = number, .ttl_sec = 7200, .self = true, .size = 9, .title = SLICE_LITERAL("Poison"),
                };
                world_must(p->world, proto_write_index_line(&body, &line, false), "proto_write_index_line");
        }
        (void) peer_merge(p, &victim, INDEX_MERGE_ALL, NULL, p->world->now.boottime, buf_slice(&body));
}

static void membership_step(World *w, void *arg, uint64_t life);
static void pull_round(World *w, void *arg, uint64_t life);

void peer_start(Peer *p) {
        World *w = p->world;
        const RfcIndexLimits index_limits = { .ttl_usec = w->conf.ttl_usec, .max_records = INDEX_MAX };
        const HoldersLimits holders_limits = {
                .quarantine_usec = 5 * USEC_PER_SEC,
                .quarantine_max_usec = 10 * USEC_PER_MINUTE,
        };
        const uint64_t key[2] = { hash_key[0], hash_key[1] + p->n };

        forget_life(p);
        p->alive = true;
        p->leaving = false;
        p->listed_at = 0;
        p->life++;
        world_must(w, rfc_index_new(&index_limits, 1 + world_draw(w, UINT64_MAX), key, &p->index), "rfc_index_new");
        world_must(w, holders_new(&holders_limits, key, &p->holders), "holders_new");
        for (uint32_t number = 1; number <= w->conf.n_documents; number++)
                if (p->has[number])
                        state_own(p, number);

        membership_init(&p->membership, p->cookie, true);
        p->wakes_at = 0;
        world_at(w, w->now.boottime, membership_step, p, p->life);
        world_at(w, w->now.boottime + world_about(w, 5 * USEC_PER_SEC), pull_round, p, p->life);
        world_say(w, "peer %u: starts, life %u", p->n, p->life);
}

void peer_crash(Peer *p) {
        p->alive = false;
        p->died_at = p->world->now.boottime;
        forget_life(p);
        world_say(p->world, "peer %u: is gone", p->n);
}

void peer_leave(Peer *p) {
        p->leaving = true;
        membership_leave(&p->membership, &p->world->now);
        if (!p->membership.leaving && !p->membership.busy)
                peer_crash(p);
        else
                world_at(p->world, p->world->now.boottime, membership_step, p, p->life);
}

/* ---- membership -------------------------------------------------------------------------------------------------- */

static const Verb verb_of[] = {
        [MEMBERSHIP_REGISTER] = VERB_REGISTER,
        [MEMBERSHIP_KEEPALIVE] = VERB_KEEPALIVE,
        [MEMBERSHIP_LEAVE] = VERB_LEAVE,
};

static void on_membership(Call *c, const Reply *reply, Slice body _unused_) {
        Peer *p = c->from;
        World *w = p->world;
        MembershipNews news;

        if (reply)
                news = membership_answered(&p->membership, c->what, reply, c->sent_at, &w->now, world_random(w));
        else
                news = membership_failed(&p->membership, c->what, &w->now, world_random(w));
        p->cookie = p->membership.cookie;

        if (news != MEMBERSHIP_NO_NEWS)
                world_say(w, "peer %u: membership news %d, id %u", p->n, (int) news, p->membership.peer_id);
        if (p->leaving && news == MEMBERSHIP_HAS_LEFT)
                peer_crash(p);
        else
                membership_step(w, p, p->life);
}

static void membership_step(World *w, void *arg, uint64_t life) {
        Peer *p = arg;
        usec_t at;

        if (!p->alive || p->life != life)
                return;

        MembershipDo what = membership_next(&p->membership, &w->now, &at);
        if (what == MEMBERSHIP_WAIT) {
                /* One timer is enough: an event that comes too early finds nothing to do. */
                if (at != USEC_INFINITY && (p->wakes_at <= w->now.boottime || at < p->wakes_at)) {
                        p->wakes_at = at;
                        world_at(w, at, membership_step, p, p->life);
                }
                return;
        }

        Request q = {
                .verb = verb_of[what],
                .host = SLICE_LITERAL("host.example"),
                .os = SLICE_LITERAL("sim"),
                .cookie = p->membership.cookie,
                .port = p->endpoint.port,
        };
        Call *c = call_new(p, q.verb, on_membership);
        c->to_server = true;
        c->what = what;
        call_send(c, &q);
}

/* ---- the list of peers ------------------------------------------------------------------------------------------- */

typedef struct Listing {
        PeerLine *lines;
        size_t n_lines;
} Listing;

static void listing_free(void *p) {
        Listing *l = p;
        free(l->lines);
        free(l);
}

static void query_page(Peer *p, uint64_t run, Listing *l, uint32_t after);
static void pull_all(Peer *p);

static void listed(Peer *p, uint64_t run, LookupOutcome outcome, const Listing *l) {
        if (outcome != LOOKUP_GONE) {
                holders_list_begin(p->holders, 0);
                for (size_t i = 0; i < l->n_lines; i++) {
                        const PeerLine *line = &l->lines[i];
                        int r = holders_list_add(p->holders, 0, &line->endpoint, line->id, line->host, &p->world->now);
                        world_must(p->world, r, "holders_list_add");
                }
                holders_list_end(p->holders, 0, true);
                p->listed_at = p->world->now.boottime;
        }
        if (run != 0)
                run_server_told(p, run, outcome);
        else
                pull_all(p);
}

/* Nobody may be listed one lease after the server last heard of him. */
static void check_line(const Peer *p, const PeerLine *line) {
        const World *w = p->world;
        const Peer *other = world_peer_at(w, &line->endpoint);

        if (!other || other == p)
                world_fail(w, "peer %u is told of %s", p->n, other ? "itself" : "a stranger");
        if (other->heard_at + w->conf.ttl_usec + SIM_LATENCY_MAX + 1000 < w->now.boottime)
                world_fail(w, "peer %u is told of peer %u, which was last heard at %.6f s", p->n, other->n,
                           (double) other->heard_at / 1e6);
}

static void on_page(Call *c, const Reply *reply, Slice body) {
        Peer *p = c->from;
        Listing *l = c->list;
        size_t n_before = l->n_lines;

        if (!reply || (reply->status != 200 && reply->status != 204)) {
                listed(p, c->run, LOOKUP_GONE, l);
                return;
        }
        for (;;) {
                PeerLine line;
                int r = proto_parse_peer_line(&body, &line);
                if (r == PROTO_MORE && body.size == 0)
                        break;
                world_must(p->world, r, "proto_parse_peer_line");
                check_line(p, &line);
                line.host = SLICE_LITERAL("host.example");
                l->lines = reallocarray(l->lines, l->n_lines + 1, sizeof(PeerLine));
                if (!l->lines)
                        abort();
                l->lines[l->n_lines++] = line;
        }

        if (l->n_lines > n_before && l->n_lines < reply->active) {
                c->list = NULL;
                query_page(p, c->run, l, l->lines[l->n_lines - 1].id);
        } else
                listed(p, c->run, l->n_lines == 0 ? LOOKUP_EMPTY : LOOKUP_OK, l);
}

static void query_page(Peer *p, uint64_t run, Listing *l, uint32_t after) {
        Request q = { .verb = VERB_PQUERY, .cookie = p->membership.cookie, .has_after = after != 0, .after = after };
        Call *c = call_new(p, VERB_PQUERY, on_page);

        c->to_server = true;
        c->run = run;
        c->list = l;
        c->list_free = listing_free;
        call_send(c, &q);
}

void peer_query_list(Peer *p, uint64_t run) {
        Listing *l = calloc(1, sizeof(Listing));
        if (!l)
                abort();

        /* Without a cookie the server can't be asked: as if it did not answer. */
        if (p->membership.cookie == 0) {
                listed(p, run, LOOKUP_GONE, l);
                listing_free(l);
        } else
                query_page(p, run, l, 0);
}

/* ---- pulling indexes --------------------------------------------------------------------------------------------- */

bool peer_merge(Peer *p, const Endpoint *source, IndexMergeKind kind, const RfcSet *set, usec_t sent_at, Slice body) {
        World *w = p->world;
        _cleanup_(index_merge_free_p) IndexMerge *m = NULL;
        const IndexMergeConf conf = {
                .kind = kind, .source = *source, .set = set, .self = &p->endpoint, .n_self = 1, .sent_at = sent_at,
        };
        IndexMergeResult result;
        int r;

        world_must(w, index_merge_new(&conf, &m), "index_merge_new");
        while (body.size > 0) {
                size_t some = 1 + world_draw(w, 4096), n = MIN_OF(some, body.size);
                world_must(w, index_merge_feed(m, (Slice){ body.data, n }), "index_merge_feed");
                body = (Slice){ body.data + n, body.size - n };
        }
        world_must(w, index_merge_end(m), "index_merge_end");
        do
                r = index_merge_step(m, p->index, 1 + world_draw(w, 64), &w->now, &result);
        while (r == RFC_INDEX_MORE);
        world_must(w, r, "index_merge_step");
        w->count.merges++;
        return true;
}

/* Did the holder say anything of a number after that request was sent? */
static bool has_later_word(const Peer *p, const Endpoint *holder, usec_t sent_at) {
        for (uint32_t number = 1; number <= p->world->conf.n_documents; number++) {
                RfcRecord rec;
                if (rfc_index_get(p->index, number, holder, &p->world->now, &rec) && rec.first_hand &&
                    rec.expires_at > sent_at + p->world->conf.ttl_usec)
                        return true;
        }
        return false;
}

/*
 * Whoever was whole enough to ask by generation, and then has what has changed, has what the holder has; unless that has
 * said something later already, of some numbers, which then all is asked for again.
 */
static bool check_copy(const Peer *p, const Endpoint *holder, const Digest *expected, usec_t sent_at) {
        _cleanup_buf_ Buf covered = BUF_INIT(PROTO_INDEX_BYTES_MAX);
        uint32_t after = 0;
        Digest digest;
        int r;

        do
                r = rfc_index_cover_source(p->index, holder, &after, 5, &covered);
        while (r == RFC_INDEX_MORE);
        world_must(p->world, r, "rfc_index_cover_source");
        document_digest(buf_slice(&covered), &digest);
        if (digest_equal(&digest, expected))
                return true;
        if (!has_later_word(p, holder, sent_at))
                world_fail(p->world, "peer %u: its copy of an index is not what the holder has", p->n);
        return false;
}

static void pull(Peer *p, const Endpoint *holder, Generation generation);

static void on_pulled(Call *c, const Reply *reply, Slice body) {
        Peer *p = c->from;
        World *w = p->world;
        HolderInfo info;

        if (!reply || (reply->status != 200 && reply->status != 226 && reply->status != 304)) {
                holders_failed(p->holders, &c->to);
                return;
        }
        holders_answered(p->holders, &c->to, w->now.boottime - c->sent_at, &w->now);
        if (!holders_may_dial(p->holders, &c->to, true, &w->now) || !holders_get(p->holders, &c->to, &info))
                return;         /* caught lying meanwhile, or gone */
        if (reply->status != 304)
                (void) peer_merge(p, &c->to, reply->status == 226 ? INDEX_MERGE_DELTA : INDEX_MERGE_OWN, NULL, c->sent_at,
                                  body);
        if (reply->status != 200 && !check_copy(p, &c->to, &reply->index_digest, c->sent_at)) {
                pull(p, &c->to, (Generation){ 0, 0 });
                return;
        }
        if (reply->status == 304)
                rfc_index_confirm(p->index, &c->to, c->sent_at);
        w->count.deltas += reply->status == 226;
        holders_confirmed(p->holders, &c->to, reply->generation, c->sent_at);
}

static void pull(Peer *p, const Endpoint *holder, Generation generation) {
        Request q = {
                .verb = VERB_RFC_INDEX,
                .host = SLICE_LITERAL("host.example"),
                .has_if_generation = true,
                .if_generation = generation,
        };
        Call *c = call_new(p, VERB_RFC_INDEX, on_pulled);
        c->to = *holder;
        call_send(c, &q);
}

static void pull_all(Peer *p) {
        World *w = p->world;
        HolderInfo info;

        for (const Endpoint *after = NULL; holders_next(p->holders, after, &info); after = &info.endpoint) {
                if (!holders_may_dial(p->holders, &info.endpoint, false, &w->now))
                        continue;
                bool whole = rfc_index_is_whole(p->index, &info.endpoint);
                pull(p, &info.endpoint, whole ? info.generation : (Generation){ 0, 0 });
        }
}

static void pull_round(World *w, void *arg, uint64_t life) {
        Peer *p = arg;

        if (!p->alive || p->life != life)
                return;
        while (rfc_index_expire(p->index, &w->now, 100))
                ;
        if (p->poisons)
                learn_poison(p);
        peer_query_list(p, 0);
        world_at(w, w->now.boottime + world_about(w, w->conf.pull_usec), pull_round, p, life);
}

/* ---- answering others -------------------------------------------------------------------------------------------- */

static int encode_own(const Peer *p, Buf *body, Digest *ret) {
        _cleanup_buf_ Buf covered = BUF_INIT(PROTO_INDEX_BYTES_MAX);
        uint32_t after = 0;
        int r = rfc_index_encode_own(p->index, &after, SIZE_MAX, body, &covered);
        document_digest(buf_slice(&covered), ret);
        return r;
}

/* What changed, if that is known and shorter than all of it. */
static void serve_own(const Peer *p, const Request *q, Reply *reply, Buf *body) {
        _cleanup_(index_changes_free_p) IndexChanges *changes = NULL;
        _cleanup_buf_ Buf delta = BUF_INIT(PROTO_INDEX_BYTES_MAX);

        reply->has_index_digest = true;
        world_must(p->world, encode_own(p, body, &reply->index_digest), "rfc_index_encode_own");
        world_must(p->world, index_changes_new(&changes), "index_changes_new");
        world_must(p->world, index_changes_step(changes, p->index, SIZE_MAX), "index_changes_step");
        index_changes_end(changes, buf_slice(body));
        int r = index_changes_encode(changes, buf_slice(body), q->if_generation, &delta);
        if (r == 0 || r == RFC_INDEX_UNCHANGED) {
                reply->status = r == 0 ? 226 : 304;
                buf_clear(body);
                r = buf_append_slice(body, buf_slice(&delta));
        } else if (r > 0)
                r = 0;
        world_must(p->world, r, "index_changes_encode");
}

static void serve_index(Peer *p, const Request *q, Reply *reply, Buf *body) {
        Generation g = rfc_index_generation(p->index);
        int r = 0;

        reply->status = 200;
        if (q->rfcs.n_ranges > 0)
                r = rfc_index_encode_set(p->index, &q->rfcs, &p->world->now, body);
        else {
                reply->has_generation = true;
                reply->generation = g;
                if (!q->has_if_generation)
                        r = rfc_index_encode_all(p->index, &p->world->now, body);
                else
                        serve_own(p, q, reply, body);
        }
        world_must(p->world, r, "rfc_index_encode");
}

static void serve_document(Peer *p, const Request *q, Reply *reply, Buf *body) {
        RfcRecord own;

        reply->status = 404;
        if (!rfc_index_get_own(p->index, q->rfc, &own))
                return;

        reply->status = 200;
        reply->has_digest = true;
        reply->digest = own.digest;
        reply->title = own.title;
        document_text(q->rfc, body);
        if (p->lies)
                world_must(p->world, buf_append(body, LIARS_NOTE, sizeof(LIARS_NOTE) - 1), "body");
}

void peer_serve(Peer *p, Call *c, const MsgHead *head) {
        World *w = p->world;
        _cleanup_request_ Request q = { 0 };
        _cleanup_buf_ Buf body = BUF_INIT(PROTO_INDEX_BYTES_MAX);
        Reply reply = { 0 };

        int r = proto_parse_request(head, PROTO_PEER, &q);
        if (r != 0)
                world_fail(w, "peer %u: a request of ours is answered with %d", p->n, r);

        if (q.verb == VERB_GET_RFC)
                serve_document(p, &q, &reply, &body);
        else
                serve_index(p, &q, &reply, &body);
        reply.has_length = true;
        reply.length = body.size;
        world_must(w, proto_write_reply(&c->reply, q.verb, &reply, "sim/1", w->now.realtime), "proto_write_reply");
        world_must(w, buf_append_slice(&c->reply, buf_slice(&body)), "body");
}
