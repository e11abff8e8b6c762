/* SPDX-License-Identifier: BSD-2-Clause */
/* How a simulated peer asks the server who there is. */
#include "peer.h"

typedef struct Listing {
        PeerLine *lines;
        size_t n_lines, max_lines;
} Listing;

static void listing_free(void *p) {
        Listing *l = p;
        free(l->lines);
        free(l);
}

static void query_page(Peer *p, uint64_t run, Listing *l, uint32_t after);

static void listed(Peer *p, uint64_t run, LookupOutcome outcome, const Listing *l) {
        const Now now = peer_now(p);

        if (outcome != LOOKUP_GONE) {
                holders_list_begin(p->holders, 0);
                for (size_t i = 0; i < l->n_lines; i++) {
                        const PeerLine *line = &l->lines[i];
                        int r = holders_list_add(p->holders, 0, &line->endpoint, line->id, line->host, &now);
                        world_must(p->world, r, "holders_list_add");
                }
                holders_list_end(p->holders, 0, true);
                p->listed_at = now.boottime;
        }
        if (run != 0)
                run_server_told(p, run, outcome);
        else
                peer_plan_pulls(p, outcome == LOOKUP_GONE);
}

/* Nobody may be listed one lease after the server last heard of him. */
static void check_line(const Peer *p, const PeerLine *line) {
        const World *w = p->world;
        const Peer *other = world_peer_at(w, &line->endpoint);

        if (!other || other == p)
                world_fail(w, "peer %u is told of %s", p->n, other ? "itself" : "a stranger");
        if (other->heard_at + w->conf.ttl_usec + SIM_SLACK < w->now.boottime)
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
                if (l->n_lines == l->max_lines) {
                        l->max_lines = MAX_OF(2 * l->max_lines, (size_t) 64);
                        l->lines = world_grow(l->lines, l->max_lines, sizeof(PeerLine));
                }
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
