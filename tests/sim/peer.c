/* SPDX-License-Identifier: BSD-2-Clause */
#include "peer.h"

#include "check.h"

static const uint64_t hash_key[2] = { 0x65766572796f6e65, 0x2068617320616e20 };

#define INDEX_MAX 200000

/* ---- who is where ------------------------------------------------------------------------------------------------ */

/* A host each, but for every eighth: it lives with its neighbour, and only its port tells them apart. Some of them lie. */
#define SHARES_HOST(n) ((n) % 8 == 3)

static void place(unsigned n, Endpoint *ret) {
        unsigned host = n - SHARES_HOST(n);

        if (address_from_text(SLICE_LITERAL("10.0.0.0"), &ret->address) != 0)
                abort();
        ret->address.bytes[13] = (uint8_t) (host >> 16);
        ret->address.bytes[14] = (uint8_t) (host >> 8);
        ret->address.bytes[15] = (uint8_t) host;
        ret->port = (uint16_t) (PROTO_RFC_PORT + SHARES_HOST(n));
}

Peer *world_peer_at(const World *w, const Endpoint *e) {
        size_t n = (size_t) e->address.bytes[13] << 16 | (size_t) e->address.bytes[14] << 8 | e->address.bytes[15];

        n += (size_t) (e->port - PROTO_RFC_PORT);
        if (n >= w->conf.n_peers || !endpoint_equal(&w->peers[n]->endpoint, e))
                return NULL;
        return w->peers[n];
}

unsigned peer_host(const Peer *p) {
        return p->n - SHARES_HOST(p->n);
}

unsigned peer_text(const Peer *p) {
        if (p->lie == LIE_DIGEST || p->lie == LIE_TWO_FACED)
                return p->n + 1;
        return p->lie == LIE_CHORUS ? p->world->conf.n_peers + 1 : 0;
}

Now peer_now(const Peer *p) {
        const Now *now = &p->world->now;
        return (Now){ now->boottime, now->realtime + (usec_t) p->wall_usec };
}

/* ---- its library ------------------------------------------------------------------------------------------------- */

/* Where it is, or would be. */
static size_t place_of(const Peer *p, uint32_t number) {
        size_t low = 0, high = p->n_has;

        while (low < high) {
                size_t middle = (low + high) / 2;
                if (p->has[middle] < number)
                        low = middle + 1;
                else
                        high = middle;
        }
        return low;
}

bool peer_has(const Peer *p, uint32_t number) {
        size_t i = place_of(p, number);
        return i < p->n_has && p->has[i] == number;
}

unsigned world_count_copies(const World *w, uint32_t number) {
        unsigned n = 0;

        for (unsigned i = 0; i < w->conf.n_peers; i++)
                n += w->peers[i]->alive && peer_has(w->peers[i], number);
        return n;
}

void peer_describe(const Peer *p, uint32_t number, uint64_t *ret_size, Digest *ret) {
        document_describe(number, peer_text(p), ret_size, ret);
}

/* After each change of the own index: keeps what is held now under its generation. */
static void say(Peer *p, uint32_t number, bool added) {
        Generation g = rfc_index_generation(p->index);
        uint64_t size, sum = p->n_said > 0 ? p->said[p->n_said - 1].sum : 0;
        Digest digest;

        if (p->n_said > 0 && p->said[p->n_said - 1].number == g.number)
                return;
        peer_describe(p, number, &size, &digest);
        sum += added ? document_sum(number, size, &digest) : -document_sum(number, size, &digest);
        if (p->n_said == p->max_said) {
                p->max_said = MAX_OF(2 * p->max_said, (size_t) 16);
                p->said = world_grow(p->said, p->max_said, sizeof(Said));
        }
        p->said[p->n_said++] = (Said){ g.number, sum };
}

static void state_own(Peer *p, uint32_t number) {
        uint64_t size;
        Digest digest;

        peer_describe(p, number, &size, &digest);
        int r = rfc_index_set_own(p->index, number, size, &digest, SLICE_LITERAL(DOCUMENT_TITLE));
        if (r != RFC_INDEX_UNCHANGED)
                world_must(p->world, r, "rfc_index_set_own");
        say(p, number, true);
}

void peer_add_document(Peer *p, uint32_t number) {
        size_t i = place_of(p, number);

        if (i < p->n_has && p->has[i] == number)
                return;
        if (p->n_has == p->max_has) {
                p->max_has = MAX_OF(2 * p->max_has, (size_t) 8);
                p->has = world_grow(p->has, p->max_has, sizeof(uint32_t));
        }
        memmove(p->has + i + 1, p->has + i, (p->n_has++ - i) * sizeof(uint32_t));
        p->has[i] = number;
        if (p->alive)
                state_own(p, number);
}

void peer_remove_document(Peer *p, uint32_t number) {
        size_t i = place_of(p, number);

        if (i >= p->n_has || p->has[i] != number)
                return;
        memmove(p->has + i, p->has + i + 1, (--p->n_has - i) * sizeof(uint32_t));
        p->removed_at = p->world->now.boottime;
        if (p->alive) {
                (void) rfc_index_remove_own(p->index, number);
                say(p, number, false);
        }
}

void peer_remove_all(Peer *p) {
        p->n_has = 0;
        p->removed_at = p->world->now.boottime;
}

/* ---- life -------------------------------------------------------------------------------------------------------- */

Peer *peer_new(World *w, unsigned n) {
        Peer *p = calloc(1, sizeof(Peer));
        if (!p)
                abort();

        p->world = w;
        p->n = n;
        buf_init(&p->body, PROTO_INDEX_BYTES_MAX);
        place(n, &p->endpoint);
        return p;
}

static void forget_life(Peer *p) {
        run_free_all(p);
        p->index = rfc_index_free(p->index);
        p->holders = holders_free(p->holders);
        p->plan = pull_plan_free(p->plan);
        p->n_said = 0;
        p->encoded = (Generation){ 0, 0 };
        p->changes = index_changes_free(p->changes);
        buf_done(&p->body);
        free(p->touched_at);
        p->touched_at = NULL;
}

Peer *peer_free(Peer *p) {
        forget_life(p);
        free(p->said);
        free(p->has);
        free(p);
        return NULL;
}

static void membership_step(World *w, void *arg, uint64_t life);

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
        p->started_at = w->now.boottime;
        p->listed_at = 0;
        p->life++;
        p->touched_at = calloc(w->conf.n_peers, sizeof(usec_t));
        if (!p->touched_at)
                abort();
        world_must(w, rfc_index_new(&index_limits, 1 + world_draw(w, UINT64_MAX), key, &p->index), "rfc_index_new");
        world_must(w, holders_new(&holders_limits, key, &p->holders), "holders_new");
        for (size_t i = 0; i < p->n_has; i++)
                state_own(p, p->has[i]);

        membership_init(&p->membership, p->cookie, true);
        p->wakes_at = 0;
        world_at(w, w->now.boottime, membership_step, p, p->life);
        peer_start_pulling(p);
        world_say(w, "peer %u: starts, life %u", p->n, p->life);
}

void peer_crash(Peer *p) {
        p->alive = false;
        p->died_at = p->world->now.boottime;
        forget_life(p);
        check_death(p);
        world_say(p->world, "peer %u: is gone", p->n);
}

void peer_leave(Peer *p) {
        const Now now = peer_now(p);

        p->leaving = true;
        membership_leave(&p->membership, &now);
        if (!p->membership.leaving && !p->membership.busy)
                peer_crash(p);
        else
                world_at(p->world, now.boottime, membership_step, p, p->life);
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
        const Now now = peer_now(p);
        MembershipNews news;

        if (reply)
                news = membership_answered(&p->membership, c->what, reply, c->sent_at, &now, world_random(w));
        else
                news = membership_failed(&p->membership, c->what, &now, world_random(w));
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
        const Now now = peer_now(p);
        usec_t at;

        if (!p->alive || p->life != life)
                return;

        MembershipDo what = membership_next(&p->membership, &now, &at);
        if (what == MEMBERSHIP_WAIT) {
                /* One timer is enough: an event that comes too early finds nothing to do. */
                if (at != USEC_INFINITY && (p->wakes_at <= now.boottime || at < p->wakes_at)) {
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
