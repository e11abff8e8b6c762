/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/registrar.h"

#include <errno.h>

#define SECONDS_MAX ((usec_t) UINT32_MAX)

/* What all the handlers need. */
typedef struct Exchange {
        PeerList *list;
        const RegistrarConf *conf;
        const Request *request;
        const Address *source;
        const Now *now;
        Reply *reply;
        RegistrarOutcome *outcome;
} Exchange;

static uint32_t to_seconds(usec_t usec) {
        return (uint32_t) MIN_OF(usec / USEC_PER_SEC, SECONDS_MAX);
}

const char *registrar_refusal_text(RegistrarRefusal r) {
        static const char *const texts[_REGISTRAR_REFUSAL_MAX] = {
                [REGISTRAR_NOT_REFUSED] = "not refused",
                [REGISTRAR_UNKNOWN_COOKIE] = "unknown cookie",
                [REGISTRAR_INACTIVE] = "inactive",
                [REGISTRAR_TABLE_FULL] = "table full",
                [REGISTRAR_SOURCE_FULL] = "source full",
                [REGISTRAR_LINK_LOCAL] = "link-local source",
                [REGISTRAR_UNUSABLE] = "unusable address",
        };
        return texts[r];
}

static void refuse(Exchange *x, unsigned status, RegistrarRefusal why) {
        x->reply->status = status;
        x->outcome->refused = why;
}

static bool may_advertise(const Exchange *x) {
        for (size_t i = 0; i < x->conf->n_advertise_from; i++)
                if (prefix_contains(&x->conf->advertise_from[i], x->source))
                        return true;
        return false;
}

/* Under which address is this peer to be listed? false: under none, and the request is refused. */
static bool listed_address(Exchange *x, const Address *address) {
        if (address_is_usable(address))
                return true;
        refuse(x, 403, address_is_link_local(address) ? REGISTRAR_LINK_LOCAL : REGISTRAR_UNUSABLE);
        return false;
}

/* When there may be room again: as soon as the next lease ends. A full table has no inactive record that waits. */
static uint32_t retry_after_full(const Exchange *x) {
        uint32_t seconds = to_seconds(usec_sub(peer_list_next_expiry(x->list), x->now->boottime));

        return MIN_OF(MAX_OF(seconds, (uint32_t) REGISTRAR_RETRY_MIN_SEC), (uint32_t) REGISTRAR_RETRY_MAX_SEC);
}

/* The named answers of PeerList that all requests share. */
static void refuse_by_list(Exchange *x, int answer) {
        switch (answer) {
        case PEER_LIST_UNKNOWN:
                refuse(x, 401, REGISTRAR_UNKNOWN_COOKIE);
                break;
        case PEER_LIST_INACTIVE:
                refuse(x, 401, REGISTRAR_INACTIVE);
                break;
        case PEER_LIST_SOURCE_FULL:
                refuse(x, 429, REGISTRAR_SOURCE_FULL);
                x->reply->retry_after_sec = REGISTRAR_RETRY_MAX_SEC;
                break;
        default:                        /* FULL; TAKEN: all candidates, which nobody lives to see */
                refuse(x, 503, REGISTRAR_TABLE_FULL);
                x->reply->retry_after_sec = retry_after_full(x);
        }
}

/* What is told to a peer that has a lease now. */
static void tell_lease(Exchange *x, uint32_t id) {
        PeerInfo info;

        x->outcome->peer_id = id;
        if (!peer_list_get(x->list, id, &info))
                return;
        x->reply->status = 200;
        x->reply->ttl_sec = to_seconds(x->conf->limits.ttl_usec);
        x->reply->keep_alive_sec = to_seconds(x->conf->keep_alive_usec);
        x->reply->has_address = true;
        x->reply->address = info.endpoint.address;
        x->reply->peer_id = x->request->verb == VERB_REGISTER ? id : 0;
        x->reply->cookie = x->request->verb == VERB_REGISTER ? info.cookie : 0;
}

static int handle_register(Exchange *x, const RegistrarRandom *random) {
        const Request *q = x->request;
        bool advertised = q->has_advertise && may_advertise(x), is_new, moved;
        PeerRegistration reg = {
                .cookie = q->cookie,
                .endpoint = { .address = advertised ? q->advertise : *x->source, .port = q->port },
                .advertised = advertised,
                .host = q->host,
        };
        uint32_t id;
        int r = PEER_LIST_TAKEN;

        if (!listed_address(x, &reg.endpoint.address))
                return 0;
        for (size_t i = 0; r == PEER_LIST_TAKEN && i < ELEMENTSOF(random->cookies); i++) {
                reg.fresh_cookie = random->cookies[i];
                r = peer_list_register(x->list, &reg, x->now, &id, &is_new, &moved);
        }
        if (r < 0)
                return r;
        if (r > 0) {
                refuse_by_list(x, r);
                return 0;
        }
        tell_lease(x, id);
        x->outcome->is_new = is_new;
        x->outcome->moved = moved && !may_advertise(x);
        x->outcome->durable = true;
        return 0;
}

static int handle_keepalive(Exchange *x) {
        Address address = *x->source;
        PeerInfo info;
        uint32_t id;
        bool moved;
        int r;

        if (peer_list_find(x->list, x->request->cookie, &info)) {
                x->outcome->peer_id = info.id;
                if (info.advertised && may_advertise(x))
                        address = info.endpoint.address;
        }
        if (!listed_address(x, &address))
                return 0;
        r = peer_list_keepalive(x->list, x->request->cookie, &address, x->now, &id, &moved);
        if (r < 0)
                return r;
        if (r > 0) {
                refuse_by_list(x, r);
                return 0;
        }
        tell_lease(x, id);
        x->outcome->moved = moved && !may_advertise(x);
        return 0;
}

/* Leave and PQuery change no address, but a cookie that shows up elsewhere is worth a line all the same. */
static void look_for_move(Exchange *x) {
        PeerInfo info;

        if (peer_list_find(x->list, x->request->cookie, &info))
                x->outcome->moved = !address_equal(&info.endpoint.address, x->source) && !may_advertise(x);
}

static void handle_leave(Exchange *x) {
        bool was_active;
        uint32_t id;
        int r;

        look_for_move(x);
        r = peer_list_leave(x->list, x->request->cookie, x->now, &id, &was_active);
        if (r > 0) {
                refuse_by_list(x, r);
                return;
        }
        x->reply->status = 200;
        x->outcome->peer_id = id;
        x->outcome->was_active = was_active;
        x->outcome->durable = was_active;
}

/* ---- PQuery ---- */

#define PEER_LINE_USUAL 64

/* 0, BUF_FULL, -ENOMEM */
static int add_line(Exchange *x, const PeerListing *p, Buf *body) {
        const PeerLine line = {
                .endpoint = p->endpoint,
                .id = p->id,
                .ttl_sec = to_seconds(usec_sub(p->expires_at, x->now->boottime)),
                .host = p->host,
        };
        int r;

        r = proto_write_peer_line(body, &line);
        if (r == 0)
                x->outcome->n_listed++;
        return r;
}

/* Up to n lines by ascending id, from the one behind `after`. */
static int add_page(Exchange *x, bool loopback, size_t n, Buf *body) {
        PeerListing p;
        uint32_t after = x->request->has_after ? x->request->after : 0;
        int r = 0;

        while (r == 0 && x->outcome->n_listed < n && peer_list_next_active(x->list, after, loopback, &p)) {
                after = p.id;
                if (p.id != x->outcome->peer_id)
                        r = add_line(x, &p, body);
        }
        return r;
}

static int add_sample(Exchange *x, bool loopback, size_t n, uint64_t seed, Buf *body) {
        enum { AHEAD = 16, USUAL = 128 };
        _cleanup_free_ uint32_t *more = NULL;
        uint32_t usual[USUAL], *peers = usual;
        size_t n_peers;
        int r = 0;

        if (n > USUAL) {
                peers = more = reallocarray(NULL, n, sizeof(uint32_t));
                if (!more)
                        return -ENOMEM;
        }
        n_peers = peer_list_sample(x->list, x->outcome->peer_id, loopback, n, seed, peers);
        for (size_t i = 0; i < MIN_OF(n_peers, (size_t) AHEAD); i++)
                peer_list_look_ahead(x->list, peers[i]);
        for (size_t i = 0; r == 0 && i < n_peers; i++) {
                PeerListing p;

                if (i + AHEAD < n_peers)
                        peer_list_look_ahead(x->list, peers[i + AHEAD]);
                peer_list_look(x->list, peers[i], &p);
                r = add_line(x, &p, body);
        }
        return r;
}

/* How many are active beside the asker, of those that it may be told about. */
static size_t count_others(const Exchange *x, bool loopback) {
        size_t n = peer_list_count_active(x->list, loopback);
        PeerInfo self;

        if (peer_list_get(x->list, x->outcome->peer_id, &self) && self.active &&
            (loopback || !address_is_loopback(&self.endpoint.address)))
                n--;
        return n;
}

static int handle_pquery(Exchange *x, uint64_t seed, Buf *body) {
        const Request *q = x->request;
        bool loopback = address_is_loopback(x->source);
        size_t n_others, n = x->conf->peers_per_reply;
        uint32_t id;
        int r;

        look_for_move(x);
        r = peer_list_touch(x->list, q->cookie, x->now, &id);
        if (r == PEER_LIST_UNKNOWN) {
                refuse_by_list(x, r);
                return 0;
        }
        x->outcome->peer_id = id;       /* an inactive one is answered as well */
        n_others = count_others(x, loopback);
        x->reply->has_active = true;
        x->reply->active = (uint32_t) n_others;
        x->reply->status = n_others > 0 ? 200 : 204;
        if (n_others == 0)
                return 0;

        if (q->limit > 0)
                n = MIN_OF(n, (size_t) q->limit);
        /* Room for lines as they are as a rule; for longer ones it grows. */
        r = buf_reserve(body, MIN_OF(n, n_others) * PEER_LINE_USUAL);
        if (r < 0)
                return r;
        if (q->limit > 0 && !q->has_after && n < n_others)
                r = add_sample(x, loopback, n, seed, body);
        else
                r = add_page(x, loopback, n, body);
        /* BUF_FULL: a shorter page is a page too, the asker goes on behind it. */
        return r < 0 ? r : 0;
}

int registrar_handle(PeerList *l, const RegistrarConf *conf, const Request *request, const Address *source,
                     const Now *now, const RegistrarRandom *random,
                     Reply *ret_reply, Buf *body, RegistrarOutcome *ret_outcome) {
        Reply reply = { .transaction = request->transaction, .close = request->close };
        RegistrarOutcome outcome = { 0 };
        Exchange x = {
                .list = l,
                .conf = conf,
                .request = request,
                .source = source,
                .now = now,
                .reply = &reply,
                .outcome = &outcome,
        };
        int r = 0;

        buf_clear(body);
        switch (request->verb) {
        case VERB_REGISTER:
                r = handle_register(&x, random);
                break;
        case VERB_KEEPALIVE:
                r = handle_keepalive(&x);
                break;
        case VERB_LEAVE:
                handle_leave(&x);
                break;
        case VERB_PQUERY:
                r = handle_pquery(&x, random->seed, body);
                break;
        default:
                assert(false);          /* proto_parse_request() gives none but these on this face */
        }
        if (r < 0)
                return r;
        reply.has_length = reply.status != 204;
        reply.length = body->size;
        *ret_reply = reply;
        *ret_outcome = outcome;
        return 0;
}
