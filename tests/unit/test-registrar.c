/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "peer-list-test.h"

#include "core/registrar.h"

#define _cleanup_list_ _cleanup_(peer_list_free_p)

/* One exchange: who asks when and what, and what comes of it. Cookies are drawn as 101, 102, … */
typedef struct Step {
        usec_t at;                      /* seconds */
        const char *source;
        const char *request;            /* the head without its version and empty line; lines end with LF */
        const char *expected;           /* as describe() puts it */
} Step;

typedef struct Fixture {
        PeerList *list;
        RegistrarConf conf;
        Prefix advertise_from[2];
        uint64_t next_cookie;
        uint64_t seed;
        Buf body;
} Fixture;

static int setup(void **state) {
        Fixture *f = calloc(1, sizeof(*f));

        assert_non_null(f);
        f->conf = (RegistrarConf){
                .limits = { TTL, 1000, 1000, RETENTION },
                .keep_alive_usec = 2400 * USEC_PER_SEC,
                .peers_per_reply = 1000,
                .advertise_from = f->advertise_from,
        };
        assert_int_equal(peer_list_new(&f->conf.limits, test_key, &f->list), 0);
        f->next_cookie = 101;
        buf_init(&f->body, REGISTRAR_BODY_MAX);
        *state = f;
        return 0;
}

static int teardown(void **state) {
        Fixture *f = *state;

        (void) peer_list_free(f->list);
        buf_done(&f->body);
        free(f);
        return 0;
}

/* Everything that is set, in one line; the body behind it with '|' for line ends and '/' for tabs. */
static void describe(const Reply *reply, const RegistrarOutcome *o, Slice body, char *ret, size_t size) {
        Buf b = BUF_INIT(size - 1);
        char address[ADDRESS_TEXT_SIZE];
        int r;

        r = buf_printf(&b, "%u", reply->status);
        if (reply->cookie > 0)
                r |= buf_printf(&b, " cookie=%u", (unsigned) reply->cookie);
        if (reply->peer_id > 0)
                r |= buf_printf(&b, " id=%u", reply->peer_id);
        if (reply->ttl_sec > 0)
                r |= buf_printf(&b, " ttl=%u/%u", reply->ttl_sec, reply->keep_alive_sec);
        if (reply->has_address) {
                address_to_text(&reply->address, address);
                r |= buf_printf(&b, " %s", address);
        }
        if (reply->has_active)
                r |= buf_printf(&b, " active=%u", reply->active);
        if (reply->retry_after_sec > 0)
                r |= buf_printf(&b, " retry=%u", reply->retry_after_sec);
        if (o->refused)
                r |= buf_printf(&b, " (%s)", registrar_refusal_text(o->refused));
        if (o->is_new)
                r |= buf_append_string(&b, " new");
        if (o->moved)
                r |= buf_append_string(&b, " moved");
        if (o->was_active)
                r |= buf_append_string(&b, " was-active");
        if (body.size > 0)
                r |= buf_append_char(&b, ' ');
        for (size_t i = 0; i < body.size; i++)
                r |= buf_append_char(&b, body.data[i] == '\n' ? '|' : body.data[i] == '\t' ? '/' : body.data[i]);
        assert_int_equal(r, 0);
        memcpy(ret, b.data, b.size);
        ret[b.size] = 0;
        buf_done(&b);
}

static void exchange(Fixture *f, const Step *s, Reply *ret_reply, RegistrarOutcome *ret_outcome) {
        const RegistrarRandom random = { .cookies = { 101, f->next_cookie, f->next_cookie + 1, f->next_cookie + 2 }, .seed = f->seed++ };
        const char *line_end = strchr(s->request, '\n');
        _cleanup_request_ Request request = { 0 };
        char head[1024], ended[4096];
        MsgHead parsed;
        Address source;
        int first;

        first = line_end ? (int) (line_end - s->request) : (int) strlen(s->request);
        (void) snprintf(head, sizeof(head), "%.*s P2P-DI/1.0%s%s\n", first, s->request, s->request + first, line_end ? "" : "\n");
        assert_int_equal(msg_parse_request(slice_of(head), &parsed), 0);
        assert_int_equal(proto_parse_request(&parsed, PROTO_REGISTRATION, &request), 0);
        assert_int_equal(address_from_text(slice_of(s->source), &source), 0);
        (void) snprintf(ended, sizeof(ended), "%s", expired_ids(f->list, AT(s->at)));
        assert_int_equal(registrar_handle(f->list, &f->conf, &request, &source, AT(s->at), &random, ret_reply, &f->body, ret_outcome), 0);
        if (ret_outcome->is_new)
                f->next_cookie++;
        assert_int_equal(ret_reply->transaction, request.transaction);
        assert_int_equal(ret_reply->close, request.close);
        assert_int_equal(ret_reply->has_length, ret_reply->status != 204);
        assert_int_equal(ret_reply->length, f->body.size);
        assert_int_equal(ret_outcome->durable, ret_reply->status == 200 &&
                                                  (request.verb == VERB_REGISTER ||
                                                   (request.verb == VERB_LEAVE && ret_outcome->was_active)));
        assert_int_equal(ret_outcome->refused == REGISTRAR_NOT_REFUSED, ret_reply->status < 300);
}

static void converse(Fixture *f, const Step *steps, size_t n) {
        for (size_t i = 0; i < n; i++) {
                char got[4096];
                Reply reply;
                RegistrarOutcome outcome;

                exchange(f, &steps[i], &reply, &outcome);
                describe(&reply, &outcome, buf_slice(&f->body), got, sizeof(got));
                if (strcmp(got, steps[i].expected) != 0)
                        fail_msg("step %zu: %s\n  expected: %s\n  got:      %s", i, steps[i].request, steps[i].expected, got);
        }
}

#define REGISTER(port) "POST Register\nPort: " port "\n"
#define ALSO(cookie) "Cookie: " cookie "\n"
#define KEEPALIVE(cookie) "POST KeepAlive\nCookie: " cookie "\n"
#define LEAVE(cookie) "POST Leave\nCookie: " cookie "\n"
#define PQUERY(cookie) "GET PQuery\nCookie: " cookie "\n"

static void test_the_original_scenario(void **state) {
        static const Step steps[] = {
                { 0, "192.0.2.1", REGISTER("65424") "Host: a.example\n", "200 cookie=101 id=1 ttl=7200/2400 192.0.2.1 new" },
                { 1, "192.0.2.1", PQUERY("101"), "204 active=0" },
                { 2, "192.0.2.2", REGISTER("65425") "Host: b.example\n", "200 cookie=102 id=2 ttl=7200/2400 192.0.2.2 new" },
                { 3, "192.0.2.1", PQUERY("101"), "200 active=1 192.0.2.2/65425/2/7199/b.example|" },
                { 4, "192.0.2.2", PQUERY("102"), "200 active=1 192.0.2.1/65424/1/7199/a.example|" },
                { 5, "192.0.2.2", KEEPALIVE("102"), "200 ttl=7200/2400 192.0.2.2" },
                { 6, "192.0.2.2", LEAVE("102"), "200 was-active" },
                { 7, "192.0.2.2", LEAVE("102"), "200" },
                { 8, "192.0.2.1", PQUERY("101"), "204 active=0" },
        };

        converse(*state, steps, ELEMENTSOF(steps));
}

static void test_cookies(void **state) {
        static const Step steps[] = {
                { 0, "192.0.2.1", REGISTER("1") ALSO("7"), "401 (unknown cookie)" },
                { 0, "192.0.2.1", KEEPALIVE("7"), "401 (unknown cookie)" },
                { 0, "192.0.2.1", LEAVE("7"), "401 (unknown cookie)" },
                { 0, "192.0.2.1", PQUERY("7"), "401 (unknown cookie)" },
                { 0, "192.0.2.1", REGISTER("1"), "200 cookie=101 id=1 ttl=7200/2400 192.0.2.1 new" },
                /* the first candidate is taken from here on: another one is used */
                { 0, "192.0.2.2", REGISTER("1"), "200 cookie=102 id=2 ttl=7200/2400 192.0.2.2 new" },
                { 1, "192.0.2.1", REGISTER("2") ALSO("101"), "200 cookie=101 id=1 ttl=7200/2400 192.0.2.1" },
                { 2, "192.0.2.1", LEAVE("101"), "200 was-active" },
                { 3, "192.0.2.1", KEEPALIVE("101"), "401 (inactive)" },
                /* an inactive one is answered and not renewed; it has nobody but itself left out */
                { 4, "192.0.2.1", PQUERY("101"), "200 active=1 192.0.2.2/1/2/7196/|" },
                { 5, "192.0.2.2", PQUERY("102"), "204 active=0" },
                { 6, "192.0.2.1", REGISTER("2") ALSO("101"), "200 cookie=101 id=1 ttl=7200/2400 192.0.2.1" },
                { 7, "192.0.2.2", PQUERY("102"), "200 active=1 192.0.2.1/2/1/7199/|" },
                /* another address: listed there from then on */
                { 8, "192.0.2.9", KEEPALIVE("101"), "200 ttl=7200/2400 192.0.2.9 moved" },
                { 9, "192.0.2.2", PQUERY("102"), "200 active=1 192.0.2.9/2/1/7199/|" },
                { 10, "192.0.2.8", REGISTER("2") ALSO("101"), "200 cookie=101 id=1 ttl=7200/2400 192.0.2.8 moved" },
                /* PQuery and Leave change no address, but are told */
                { 11, "192.0.2.7", PQUERY("101"), "200 active=1 moved 192.0.2.2/1/2/7198/|" },
                { 12, "192.0.2.8", PQUERY("101"), "200 active=1 192.0.2.2/1/2/7197/|" },
                { 13, "192.0.2.7", LEAVE("101"), "200 moved was-active" },
        };

        converse(*state, steps, ELEMENTSOF(steps));
}

/* At a thousand a second, near to the right ones and far from them; two of 2^53 are right. */
static void test_a_million_guesses_hit_nothing(void **state) {
        static const Step steps[] = {
                { 0, "192.0.2.1", REGISTER("1"), "200 cookie=101 id=1 ttl=7200/2400 192.0.2.1 new" },
                { 0, "192.0.2.2", REGISTER("2"), "200 cookie=102 id=2 ttl=7200/2400 192.0.2.2 new" },
        };
        static const Step after[] = {
                { 1000, "192.0.2.2", PQUERY("102"), "200 active=1 192.0.2.1/1/1/6200/|" },
        };
        static const Verb verbs[] = { VERB_LEAVE, VERB_KEEPALIVE, VERB_PQUERY, VERB_REGISTER };
        Fixture *f = *state;
        Address guesser;

        converse(f, steps, ELEMENTSOF(steps));
        assert_int_equal(address_from_text(SLICE_LITERAL("192.0.2.66"), &guesser), 0);
        for (uint64_t i = 0, drawn = 1; i < 1000 * 1000; i++) {
                drawn = drawn * 6364136223846793005 + 1442695040888963407;
                const uint64_t near = i < 1000 ? i + 1 : 101 + ((uint64_t) 1 << i % 52), far = (drawn >> 11) + 1;
                const Request q = { .verb = verbs[i % ELEMENTSOF(verbs)], .cookie = i % 2 > 0 ? near : far, .port = 9 };
                const RegistrarRandom random = { .cookies = { 103, 104 } };
                const Now now = { .boottime = i * USEC_PER_MSEC, .realtime = DAY_0 };
                Reply reply;
                RegistrarOutcome outcome;

                if (q.cookie == 101 || q.cookie == 102)
                        continue;
                assert_int_equal(registrar_handle(f->list, &f->conf, &q, &guesser, &now, &random, &reply, &f->body, &outcome), 0);
                if (reply.status != 401 || outcome.refused != REGISTRAR_UNKNOWN_COOKIE || reply.cookie != 0)
                        fail_msg("guess %u: %u", (unsigned) i, reply.status);
        }
        /* As if nobody had asked. */
        assert_string_equal(active_ids(f->list, true), "1 2");
        converse(f, after, ELEMENTSOF(after));
}

static void test_leases_end_and_what_renews_them(void **state) {
        static const Step steps[] = {
                { 0, "192.0.2.1", REGISTER("1"), "200 cookie=101 id=1 ttl=7200/2400 192.0.2.1 new" },
                { 0, "192.0.2.2", REGISTER("1"), "200 cookie=102 id=2 ttl=7200/2400 192.0.2.2 new" },
                { 0, "192.0.2.3", REGISTER("1"), "200 cookie=103 id=3 ttl=7200/2400 192.0.2.3 new" },
                { 7199, "192.0.2.1", PQUERY("101"), "200 active=2 192.0.2.2/1/2/1/|192.0.2.3/1/3/1/|" },
                { 7199, "192.0.2.2", KEEPALIVE("102"), "200 ttl=7200/2400 192.0.2.2" },
                { 7200, "192.0.2.1", PQUERY("101"), "200 active=1 192.0.2.2/1/2/7199/|" },
                { 7200, "192.0.2.3", KEEPALIVE("103"), "401 (inactive)" },
                { 14399, "192.0.2.1", KEEPALIVE("101"), "200 ttl=7200/2400 192.0.2.1" },
                { 14399, "192.0.2.1", PQUERY("101"), "204 active=0" },
                { 14400, "192.0.2.3", REGISTER("1") ALSO("103"), "200 cookie=103 id=3 ttl=7200/2400 192.0.2.3" },
                /* retention: 30 days after the lease ended, here of peer 2 at 14399 */
                { 2606398, "192.0.2.2", PQUERY("102"), "204 active=0" },
                { 2606399, "192.0.2.2", PQUERY("102"), "401 (unknown cookie)" },
        };

        converse(*state, steps, ELEMENTSOF(steps));
}

static void test_addresses(void **state) {
        static const Step steps[] = {
                { 0, "127.0.0.1", REGISTER("1"), "200 cookie=101 id=1 ttl=7200/2400 127.0.0.1 new" },
                { 0, "::1", REGISTER("2"), "200 cookie=102 id=2 ttl=7200/2400 ::1 new" },
                { 0, "192.0.2.1", REGISTER("3"), "200 cookie=103 id=3 ttl=7200/2400 192.0.2.1 new" },
                { 0, "2001:db8::1", REGISTER("4"), "200 cookie=104 id=4 ttl=7200/2400 2001:db8::1 new" },
                { 0, "127.0.0.1", PQUERY("101"), "200 active=3 ::1/2/2/7200/|192.0.2.1/3/3/7200/|2001:db8::1/4/4/7200/|" },
                { 0, "192.0.2.1", PQUERY("103"), "200 active=1 2001:db8::1/4/4/7200/|" },
                /* a loopback peer that asks from elsewhere: it is not among those that it could be told about */
                { 0, "192.0.2.1", PQUERY("101"), "200 active=2 moved 192.0.2.1/3/3/7200/|2001:db8::1/4/4/7200/|" },
                { 0, "fe80::1", REGISTER("5"), "403 (link-local source)" },
                { 0, "169.254.1.1", REGISTER("5"), "403 (link-local source)" },
                { 0, "fe80::1", KEEPALIVE("103"), "403 (link-local source)" },
                { 0, "224.0.0.1", REGISTER("5"), "403 (unusable address)" },
                /* nobody is believed an address that may not name one */
                { 0, "192.0.2.6", REGISTER("6") "Advertise: 203.0.113.1\n", "200 cookie=105 id=5 ttl=7200/2400 192.0.2.6 new" },
                /* a ghost: same address and port */
                { 1, "192.0.2.6", REGISTER("6"), "200 cookie=106 id=6 ttl=7200/2400 192.0.2.6 new" },
                { 2, "192.0.2.6", KEEPALIVE("105"), "401 (inactive)" },
                { 2, "192.0.2.1", PQUERY("103"), "200 active=2 2001:db8::1/4/4/7198/|192.0.2.6/6/6/7199/|" },
        };

        converse(*state, steps, ELEMENTSOF(steps));
}

static void test_advertise_counts_from_listed_sources(void **state) {
        static const Step steps[] = {
                { 0, "10.1.2.3", REGISTER("1") "Advertise: 203.0.113.1\n", "200 cookie=101 id=1 ttl=7200/2400 203.0.113.1 new" },
                { 0, "10.9.9.9", REGISTER("1"), "200 cookie=102 id=2 ttl=7200/2400 10.9.9.9 new" },
                { 1, "10.1.2.3", KEEPALIVE("101"), "200 ttl=7200/2400 203.0.113.1" },
                { 2, "10.1.2.4", KEEPALIVE("101"), "200 ttl=7200/2400 203.0.113.1" },
                { 3, "10.1.2.3", PQUERY("101"), "200 active=1 10.9.9.9/1/2/7197/|" },
                { 3, "10.1.2.3", REGISTER("2") "Advertise: fe80::1\n", "403 (link-local source)" },
                { 3, "10.1.2.3", REGISTER("2") "Advertise: 0.0.0.0\n", "403 (unusable address)" },
                { 3, "fe80::7", REGISTER("3") "Advertise: 203.0.113.7\n", "200 cookie=103 id=3 ttl=7200/2400 203.0.113.7 new" },
                { 4, "192.0.2.1", REGISTER("1") "Advertise: 203.0.113.9\n", "200 cookie=104 id=4 ttl=7200/2400 192.0.2.1 new" },
                /* from a listed source that advertises nothing, KeepAlive moves as ever */
                { 5, "10.9.9.8", KEEPALIVE("102"), "200 ttl=7200/2400 10.9.9.8" },
                /* one that advertised and shows up from elsewhere is listed there */
                { 6, "192.0.2.77", KEEPALIVE("101"), "200 ttl=7200/2400 192.0.2.77 moved" },
        };
        Fixture *f = *state;

        assert_int_equal(prefix_from_text(SLICE_LITERAL("10.0.0.0/8"), &f->advertise_from[0]), 0);
        assert_int_equal(prefix_from_text(SLICE_LITERAL("fe80::/10"), &f->advertise_from[1]), 0);
        f->conf.n_advertise_from = 2;
        converse(f, steps, ELEMENTSOF(steps));
}

static void test_limits_are_answers(void **state) {
        static const Step steps[] = {
                { 0, "192.0.2.1", REGISTER("1"), "200 cookie=101 id=1 ttl=7200/2400 192.0.2.1 new" },
                { 0, "192.0.2.1", REGISTER("2"), "200 cookie=102 id=2 ttl=7200/2400 192.0.2.1 new" },
                { 0, "192.0.2.1", REGISTER("3"), "429 retry=300 (source full)" },
                { 5, "192.0.2.2", REGISTER("3"), "200 cookie=103 id=3 ttl=7200/2400 192.0.2.2 new" },
                { 5, "192.0.2.1", KEEPALIVE("103"), "429 retry=300 (source full)" },
                { 10, "192.0.2.3", REGISTER("1"), "503 retry=300 (table full)" },
                { 7100, "192.0.2.3", REGISTER("1"), "503 retry=100 (table full)" },
                { 7199, "192.0.2.3", REGISTER("1"), "503 retry=5 (table full)" },
                { 7200, "192.0.2.3", REGISTER("1"), "200 cookie=104 id=4 ttl=7200/2400 192.0.2.3 new" },
                { 7200, "192.0.2.1", PQUERY("101"), "401 (unknown cookie)" },
                { 7200, "192.0.2.1", PQUERY("102"), "200 active=2 192.0.2.2/3/3/5/|192.0.2.3/1/4/7200/|" },
        };
        Fixture *f = *state;

        f->conf.limits.max_peers = 3;
        f->conf.limits.max_per_source = 2;
        peer_list_set_limits(f->list, &f->conf.limits);
        converse(f, steps, ELEMENTSOF(steps));
}

static void test_pages(void **state) {
        static const Step steps[] = {
                { 0, "192.0.2.1", REGISTER("1"), "200 cookie=101 id=1 ttl=7200/2400 192.0.2.1 new" },
                { 0, "192.0.2.2", REGISTER("1"), "200 cookie=102 id=2 ttl=7200/2400 192.0.2.2 new" },
                { 0, "192.0.2.3", REGISTER("1"), "200 cookie=103 id=3 ttl=7200/2400 192.0.2.3 new" },
                { 0, "192.0.2.4", REGISTER("1"), "200 cookie=104 id=4 ttl=7200/2400 192.0.2.4 new" },
                { 0, "192.0.2.5", REGISTER("1"), "200 cookie=105 id=5 ttl=7200/2400 192.0.2.5 new" },
                { 0, "192.0.2.2", PQUERY("102"), "200 active=4 192.0.2.1/1/1/7200/|192.0.2.3/1/3/7200/|" },
                { 0, "192.0.2.2", PQUERY("102") "After: 3\n", "200 active=4 192.0.2.4/1/4/7200/|192.0.2.5/1/5/7200/|" },
                { 0, "192.0.2.2", PQUERY("102") "After: 5\n", "200 active=4" },
                { 0, "192.0.2.2", PQUERY("102") "After: 0\nLimit: 1\n", "200 active=4 192.0.2.1/1/1/7200/|" },
                { 0, "192.0.2.2", PQUERY("102") "After: 1\nLimit: 1\n", "200 active=4 192.0.2.3/1/3/7200/|" },
                { 0, "192.0.2.2", PQUERY("102") "After: 4294967295\n", "200 active=4" },
                { 0, "192.0.2.1", LEAVE("101"), "200 was-active" },
                { 0, "192.0.2.3", LEAVE("103"), "200 was-active" },
                /* as many as asked for, or fewer: all of them, no sample */
                { 0, "192.0.2.2", PQUERY("102") "Limit: 2\n", "200 active=2 192.0.2.4/1/4/7200/|192.0.2.5/1/5/7200/|" },
                { 0, "192.0.2.2", PQUERY("102") "Limit: 100000\n", "200 active=2 192.0.2.4/1/4/7200/|192.0.2.5/1/5/7200/|" },
        };
        Fixture *f = *state;

        f->conf.peers_per_reply = 2;
        converse(f, steps, ELEMENTSOF(steps));
}

static void register_many(Fixture *f, uint32_t n) {
        for (uint32_t i = 1; i <= n; i++) {
                const Endpoint e = endpoint_number(i);

                assert_int_equal(try_register(f->list, 0, 1000 + i, &e, AT(0), NULL), 0);
        }
}

/* The ids of a list; gives how many. */
static size_t parse_list(Slice body, uint32_t *ret, size_t n_max) {
        size_t n = 0;
        PeerLine line;

        while (body.size > 0) {
                assert_int_equal(proto_parse_peer_line(&body, &line), 0);
                assert_true(n < n_max);
                ret[n++] = line.id;
        }
        return n;
}

static void test_limit_without_after_is_a_sample(void **state) {
        static const Step step = { 0, "192.0.2.1", PQUERY("1050") "Limit: 10\n", "" };
        Fixture *f = *state;
        unsigned counts[101] = { 0 };

        register_many(f, 100);
        for (unsigned i = 0; i < 1000; i++) {
                RegistrarOutcome outcome;
                uint32_t ids[10];
                Reply reply;

                exchange(f, &step, &reply, &outcome);
                assert_int_equal(reply.status, 200);
                assert_int_equal(reply.active, 99);
                assert_int_equal(outcome.n_listed, 10);
                assert_int_equal(parse_list(buf_slice(&f->body), ids, 10), 10);
                for (unsigned k = 0; k < 10; k++) {
                        assert_true(k == 0 || ids[k] > ids[k - 1]);
                        counts[ids[k]]++;
                }
        }
        assert_int_equal(counts[50], 0);                /* the asker */
        for (uint32_t id = 1; id <= 100; id++)
                assert_true(id == 50 || (counts[id] > 50 && counts[id] < 155));         /* 101 ± 5 deviations */
}

/* Of any size that is less than all, whether its room is on the stack or not. */
static void test_samples_of_any_size_ascend(void **state) {
        static const uint32_t sizes[] = { 1, 127, 128, 129, 500, 998 };
        Fixture *f = *state;

        register_many(f, 1000);
        for (size_t i = 0; i < ELEMENTSOF(sizes); i++) {
                char request[64];
                const Step step = { 0, "192.0.2.1", request, "" };
                RegistrarOutcome outcome;
                uint32_t ids[1000];
                Reply reply;

                (void) snprintf(request, sizeof(request), PQUERY("1050") "Limit: %u\n", (unsigned) sizes[i]);
                exchange(f, &step, &reply, &outcome);
                assert_int_equal(outcome.n_listed, sizes[i]);
                assert_int_equal(parse_list(buf_slice(&f->body), ids, ELEMENTSOF(ids)), sizes[i]);
                for (size_t k = 0; k < sizes[i]; k++)
                        assert_true(ids[k] != 50 && ids[k] <= 1000 && (k == 0 || ids[k] > ids[k - 1]));
        }
}

static void test_pages_are_complete_without_doubles(void **state) {
        static const uint32_t pages[] = { 1, 7, 64, 99, 998, 999, 1000 };
        Fixture *f = *state;

        register_many(f, 1000);
        for (size_t i = 0; i < ELEMENTSOF(pages); i++) {
                uint32_t last = 0, n_seen = 0, active;

                f->conf.peers_per_reply = pages[i];
                do {
                        char request[64];
                        const Step step = { 0, "192.0.2.1", request, "" };
                        RegistrarOutcome outcome;
                        uint32_t ids[1000];
                        size_t n;
                        Reply reply;

                        (void) snprintf(request, sizeof(request), PQUERY("1500") "After: %u\n", last);
                        exchange(f, &step, &reply, &outcome);
                        n = parse_list(buf_slice(&f->body), ids, 1000);
                        assert_true(n > 0 && n <= pages[i]);
                        for (size_t k = 0; k < n; k++) {
                                assert_int_equal(ids[k], last + 1 == 500 ? 501 : last + 1);
                                last = ids[k];
                        }
                        n_seen += (uint32_t) n;
                        active = reply.active;
                } while (n_seen < active);
                assert_int_equal(n_seen, 999);
        }
}

/* A body that may not get that long is a page. */
static void test_a_body_that_is_full_is_a_page(void **state) {
        static const Step step = { 0, "192.0.2.1", PQUERY("1001"), "" };
        Fixture *f = *state;
        RegistrarOutcome outcome;
        uint32_t ids[100];
        Reply reply;

        register_many(f, 100);
        buf_done(&f->body);
        buf_init(&f->body, 500);
        exchange(f, &step, &reply, &outcome);
        assert_int_equal(reply.status, 200);
        assert_int_equal(reply.active, 99);
        assert_true(outcome.n_listed > 5 && outcome.n_listed < 50);
        assert_int_equal(parse_list(buf_slice(&f->body), ids, 100), outcome.n_listed);
}

static void test_transaction_and_close_are_echoed(void **state) {
        static const Step steps[] = {
                { 0, "192.0.2.1", REGISTER("1") "Transaction: 00000000000000ff\nConnection: close\n", "200 cookie=101 id=1 ttl=7200/2400 192.0.2.1 new" },
                { 0, "192.0.2.1", KEEPALIVE("7") "Transaction: 00000000000000fe\n", "401 (unknown cookie)" },
        };

        converse(*state, steps, ELEMENTSOF(steps));     /* exchange() looks */
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        const struct CMUnitTest tests[] = {
                TEST(test_the_original_scenario),
                TEST(test_cookies),
                TEST(test_a_million_guesses_hit_nothing),
                TEST(test_leases_end_and_what_renews_them),
                TEST(test_addresses),
                TEST(test_advertise_counts_from_listed_sources),
                TEST(test_limits_are_answers),
                TEST(test_pages),
                TEST(test_limit_without_after_is_a_sample),
                TEST(test_samples_of_any_size_ascend),
                TEST(test_pages_are_complete_without_doubles),
                TEST(test_a_body_that_is_full_is_a_page),
                TEST(test_transaction_and_close_are_echoed),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
