/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A registration server without sockets: heads one behind another, each after a byte that says from where it comes (two bits), how much time
 * has gone by (two), and whether the next cookie collides (one). However they follow each other, the table stays within its limits, each
 * answer reads as the protocol has it, and tells of none but those that its asker may be told of. In the end all leases end.
 */
#include "core/registrar.h"

#undef NDEBUG
#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MAX_PEERS 6
#define MAX_PER_SOURCE 3
#define REALTIME (1700000000 * USEC_PER_SEC)

typedef struct Server {
        PeerList *list;
        RegistrarConf conf;
        Now now;
        uint64_t n_cookies;
} Server;

static const Address SOURCES[] = {
        { { [10] = 0xff, 0xff, 127, 0, 0, 1 } },
        { { [10] = 0xff, 0xff, 192, 0, 2, 1 } },
        { { 0x20, 0x01, 0x0d, 0xb8, [15] = 7 } },
        { { 0xfe, 0x80, [15] = 1 } },
};
static const usec_t STEPS[] = { 0, USEC_PER_SEC, 50 * USEC_PER_SEC, 200 * USEC_PER_SEC };
static const Prefix ADVERTISERS[] = { { .address = { { [10] = 0xff, 0xff, 192, 0, 2, 0 } }, .bits = 120 } };

static void expire(Server *s) {
        bool forgotten;
        uint32_t id;

        while (peer_list_expire(s->list, &s->now, &id, &forgotten))
                assert(id > 0 && id <= peer_list_last_id(s->list));
        assert(peer_list_next_expiry(s->list) > s->now.boottime);
}

static void check_list(const Server *s, const Request *q, const Reply *reply, Slice body, bool loopback) {
        uint32_t before = q->has_after ? q->after : 0, n = 0;
        PeerLine line;
        PeerInfo info;

        for (; body.size > 0; n++) {
                assert(proto_parse_peer_line(&body, &line) == 0);
                assert(line.id > before && peer_list_get(s->list, line.id, &info));
                assert(info.active && info.cookie != q->cookie && endpoint_equal(&info.endpoint, &line.endpoint));
                assert(address_is_usable(&line.endpoint.address) && (loopback || !address_is_loopback(&line.endpoint.address)));
                assert(info.expires_at > s->now.boottime && line.ttl_sec <= s->conf.limits.ttl_usec / USEC_PER_SEC);
                before = line.id;
        }
        assert(n <= reply->active && n <= s->conf.peers_per_reply && (q->limit == 0 || n <= q->limit));
}

static void check_answer(const Server *s, const Request *q, const Reply *reply, const RegistrarOutcome *outcome) {
        _cleanup_buf_ Buf b = BUF_INIT(MSG_HEAD_MAX);
        PeerInfo info;
        MsgHead head;
        Reply again;

        assert(proto_write_reply(&b, q->verb, reply, "fuzz/1", REALTIME) == 0);
        assert(msg_parse_response(buf_slice(&b), &head) == 0 && head.size == b.size);
        assert(proto_parse_reply(&head, q->verb, &again) == 0);
        assert(again.status == reply->status && again.cookie == reply->cookie && again.peer_id == reply->peer_id);
        assert(again.active == reply->active && again.ttl_sec == reply->ttl_sec && again.transaction == q->transaction);
        assert((reply->status == 200 || reply->status == 204) == (outcome->refused == REGISTRAR_NOT_REFUSED));
        /* Nobody is told another one's cookie. */
        assert(reply->cookie == 0 || q->verb == VERB_REGISTER);
        if (reply->cookie != 0) {
                assert(q->cookie == 0 ? reply->cookie <= s->n_cookies : reply->cookie == q->cookie);
                assert(peer_list_find(s->list, reply->cookie, &info) && info.active && info.id == reply->peer_id);
                assert(info.expires_at == s->now.boottime + s->conf.limits.ttl_usec);
        }
        if (q->verb == VERB_LEAVE && reply->status == 200)
                assert(peer_list_find(s->list, q->cookie, &info) && !info.active);
}

static void handle(Server *s, const MsgHead *head, const Address *source, bool collide) {
        _cleanup_buf_ Buf body = BUF_INIT(REGISTRAR_BODY_MAX);
        _cleanup_request_ Request q = { 0 };
        const uint64_t first = collide ? 1 : s->n_cookies + 1;
        RegistrarRandom random = { .cookies = { first, s->n_cookies + 1, s->n_cookies + 2, s->n_cookies + 3 }, .seed = s->n_cookies };
        RegistrarOutcome outcome;
        Reply reply;

        if (proto_parse_request(head, PROTO_REGISTRATION, &q) != 0)
                return;
        s->n_cookies += 4;
        assert(registrar_handle(s->list, &s->conf, &q, source, &s->now, &random, &reply, &body, &outcome) == 0);
        assert(peer_list_count(s->list) <= MAX_PEERS && peer_list_count_active(s->list, true) <= peer_list_count(s->list));
        assert(peer_list_count_active(s->list, false) <= peer_list_count_active(s->list, true));
        check_answer(s, &q, &reply, &outcome);
        if (reply.status == 200 && q.verb == VERB_PQUERY)
                check_list(s, &q, &reply, buf_slice(&body), address_is_loopback(source));
        else
                assert(body.size == 0);
}

/* Endpoints of active peers are different, and no source has more than it may. */
static void check_table(const Server *s) {
        PeerInfo infos[MAX_PEERS];
        uint32_t after = 0;
        size_t n = 0;

        while (peer_list_next(s->list, after, &infos[n])) {
                const PeerInfo *p = &infos[n];
                const Address source = address_source(&p->endpoint.address);
                size_t n_same = 1;

                assert(p->id > after && p->cookie > 0 && p->endpoint.port > 0 && address_is_usable(&p->endpoint.address));
                for (size_t i = 0; i < n; i++) {
                        const Address other = address_source(&infos[i].endpoint.address);

                        assert(infos[i].cookie != p->cookie);
                        assert(!infos[i].active || !p->active || !endpoint_equal(&infos[i].endpoint, &p->endpoint));
                        n_same += infos[i].active && address_equal(&other, &source);
                }
                assert(!p->active || n_same <= MAX_PER_SOURCE);
                after = p->id;
                n++;
                if (n == MAX_PEERS)
                        break;
        }
        assert(n == peer_list_count(s->list));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static const uint64_t key[2] = { 1, 2 };
        Slice rest = { (const char *) data, size };
        Server s = {
                .conf = {
                        .limits = { .ttl_usec = 100 * USEC_PER_SEC, .max_peers = MAX_PEERS, .max_per_source = MAX_PER_SOURCE,
                                    .retention_usec = 300 * USEC_PER_SEC },
                        .keep_alive_usec = 30 * USEC_PER_SEC, .peers_per_reply = 4,
                        .advertise_from = ADVERTISERS, .n_advertise_from = ELEMENTSOF(ADVERTISERS),
                },
                .now = { .boottime = USEC_PER_SEC, .realtime = REALTIME },
        };

        assert(peer_list_new(&s.conf.limits, key, &s.list) == 0);
        _cleanup_(peer_list_free_p) PeerList *list = s.list;
        while (rest.size > 0) {
                const uint8_t how = (uint8_t) rest.data[0];
                MsgHead head;

                rest = (Slice){ rest.data + 1, rest.size - 1 };
                if (msg_parse_request(rest, &head) != 0)
                        break;
                rest = (Slice){ rest.data + head.size, rest.size - head.size };
                s.now.boottime += STEPS[how >> 2 & 3];
                s.now.realtime += STEPS[how >> 2 & 3];
                expire(&s);
                handle(&s, &head, &SOURCES[how & 3], how & 16);
                check_table(&s);
        }
        s.now.boottime += s.conf.limits.ttl_usec;
        expire(&s);
        assert(peer_list_count_active(list, true) == 0);
        s.now.boottime += s.conf.limits.retention_usec;
        expire(&s);
        assert(peer_list_count(list) == 0 && peer_list_next_expiry(list) == USEC_INFINITY);
        return 0;
}
