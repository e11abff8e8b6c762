/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/msg.h"
#include "core/proto.h"
#include "core/text.h"

#define HEX_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define HEX_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define N50 "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwx"
#define N253 N50 N50 N50 N50 N50 "abc"

static Digest digest(const char *text) {
        Digest d;

        assert_int_equal(digest_from_text(slice_of(text), &d), 0);
        return d;
}

static Endpoint endpoint(const char *text) {
        Endpoint e;

        assert_int_equal(endpoint_from_text(slice_of(text), &e), 0);
        return e;
}

static void assert_content(const Buf *b, const char *expected) {
        assert_int_equal(b->size, strlen(expected));
        assert_memory_equal(b->data, expected, b->size);
}

/* Start line and headers, each line ending in "\n", without the empty line. b holds the bytes. */
static int parse_request(Buf *b, const char *text, ProtoFace face, Request *ret) {
        MsgHead head;

        buf_clear(b);
        assert_int_equal(buf_append_string(b, text), 0);
        assert_int_equal(buf_append_string(b, "\n"), 0);
        assert_int_equal(msg_parse_request(buf_slice(b), &head), 0);
        return proto_parse_request(&head, face, ret);
}

static int parse_reply(Buf *b, const char *text, Verb verb, Reply *ret) {
        MsgHead head;

        buf_clear(b);
        assert_int_equal(buf_append_string(b, text), 0);
        assert_int_equal(buf_append_string(b, "\n"), 0);
        assert_int_equal(msg_parse_response(buf_slice(b), &head), 0);
        return proto_parse_reply(&head, verb, ret);
}

static void test_each_request_gets_the_status_it_deserves(void **state) {
        static const struct {
                ProtoFace face;
                const char *text;
                int status;             /* 0: taken */
        } table[] = {
                /* what each face knows */
                { PROTO_REGISTRATION, "POST Register P2P-DI/1.0\nPort: 65424\n", 0 },
                { PROTO_REGISTRATION, "POST Leave P2P-DI/1.0\nCookie: 1\n", 0 },
                { PROTO_REGISTRATION, "POST KeepAlive P2P-DI/1.0\nCookie: 1\n", 0 },
                { PROTO_REGISTRATION, "GET PQuery P2P-DI/1.0\nCookie: 1\n", 0 },
                { PROTO_REGISTRATION, "GET RFC-Index P2P-DI/1.0\n", 404 },
                { PROTO_REGISTRATION, "GET RFC 1 P2P-DI/1.0\n", 404 },
                { PROTO_REGISTRATION, "GET RFC-Editor-Index P2P-DI/1.0\n", 404 },
                { PROTO_PEER, "GET RFC-Index P2P-DI/1.0\n", 0 },
                { PROTO_PEER, "GET RFC 7230 P2P-DI/1.0\n", 0 },
                { PROTO_PEER, "GET RFC-Editor-Index P2P-DI/1.0\n", 0 },
                { PROTO_PEER, "POST Register P2P-DI/1.0\nPort: 65424\n", 404 },
                { PROTO_PEER, "GET PQuery P2P-DI/1.0\nCookie: 1\n", 404 },
                { PROTO_PEER, "GET Secrets P2P-DI/1.0\n", 404 },
                { PROTO_PEER, "GET rfc-index P2P-DI/1.0\n", 404 },
                { PROTO_PEER, "GET rfc 1 P2P-DI/1.0\n", 404 },
                { PROTO_PEER, "GET RFC P2P-DI/1.0\n", 404 },
                { PROTO_PEER, "GET RFC one P2P-DI/1.0\n", 404 },
                { PROTO_PEER, "GET RFC -1 P2P-DI/1.0\n", 404 },
                { PROTO_PEER, "GET RFC 1 2 P2P-DI/1.0\n", 404 },
                { PROTO_PEER, "GET RFC-Index 1 P2P-DI/1.0\n", 404 },
                /* versions */
                { PROTO_REGISTRATION, "GET PQuery P2P-DI/1.1\nCookie: 1\n", 505 },
                { PROTO_REGISTRATION, "GET PQuery p2p-di/1.0\nCookie: 1\n", 505 },
                { PROTO_REGISTRATION, "GET / HTTP/1.1\nHost: a\n", 505 },
                { PROTO_REGISTRATION, "GET / HTTP/1.0\n", 505 },
                { PROTO_REGISTRATION, "BREW / HTTP/1.1\nTransfer-Encoding: chunked\n", 505 },
                { PROTO_PEER, "GET RFC 1 P2P-DI/2.0\n", 505 },
                /* methods */
                { PROTO_REGISTRATION, "PUT Register P2P-DI/1.0\nPort: 1\n", 405 },
                { PROTO_REGISTRATION, "GET Register P2P-DI/1.0\nPort: 1\n", 405 },
                { PROTO_REGISTRATION, "POST PQuery P2P-DI/1.0\nCookie: 1\n", 405 },
                { PROTO_REGISTRATION, "get PQuery P2P-DI/1.0\nCookie: 1\n", 405 },
                { PROTO_PEER, "HEAD RFC 1 P2P-DI/1.0\n", 405 },
                { PROTO_PEER, "POST RFC 1 P2P-DI/1.0\n", 405 },
                { PROTO_PEER, "DELETE Nothing P2P-DI/1.0\n", 405 },
                /* documents that look like paths */
                { PROTO_PEER, "GET / P2P-DI/1.0\n", 400 },
                { PROTO_PEER, "GET /rfc/rfc1.txt P2P-DI/1.0\n", 400 },
                { PROTO_PEER, "GET RFC ../1 P2P-DI/1.0\n", 400 },
                { PROTO_PEER, "GET RFC .. P2P-DI/1.0\n", 400 },
                { PROTO_PEER, "GET RFC 1..2 P2P-DI/1.0\n", 400 },
                { PROTO_REGISTRATION, "POST Register/ P2P-DI/1.0\nPort: 1\n", 400 },
                { PROTO_PEER, "GET RFC 1.2 P2P-DI/1.0\n", 404 },
                /* RFC numbers */
                { PROTO_PEER, "GET RFC 1 P2P-DI/1.0\n", 0 },
                { PROTO_PEER, "GET RFC 2147483647 P2P-DI/1.0\n", 0 },
                { PROTO_PEER, "GET RFC 2147483648 P2P-DI/1.0\n", 400 },
                { PROTO_PEER, "GET RFC 99999999999999999999999 P2P-DI/1.0\n", 400 },
                { PROTO_PEER, "GET RFC 0 P2P-DI/1.0\n", 400 },
                { PROTO_PEER, "GET RFC 07230 P2P-DI/1.0\n", 400 },
                /* bodies */
                { PROTO_PEER, "GET RFC 1 P2P-DI/1.0\nContent-Length: 0\n", 0 },
                { PROTO_PEER, "GET RFC 1 P2P-DI/1.0\nContent-Length: 1\n", 413 },
                { PROTO_PEER, "GET RFC 1 P2P-DI/1.0\nContent-Length: 99999999999999999999999\n", 413 },
                { PROTO_PEER, "GET Secrets P2P-DI/1.0\nContent-Length: 1\n", 413 },
                { PROTO_PEER, "BREW RFC 1 P2P-DI/1.0\nContent-Length: 1\n", 413 },
                { PROTO_PEER, "GET RFC 1 P2P-DI/1.0\nContent-Length: 1x\n", 400 },
                { PROTO_PEER, "GET RFC 1 P2P-DI/1.0\nContent-Length: -1\n", 400 },
                { PROTO_PEER, "GET RFC 1 P2P-DI/1.0\nContent-Length: 00\n", 400 },
                { PROTO_PEER, "GET RFC 1 P2P-DI/1.0\nContent-Length:\n", 400 },
                { PROTO_PEER, "GET RFC 1 P2P-DI/1.0\nContent-Length: 0, 0\n", 400 },
                { PROTO_PEER, "GET RFC 1 P2P-DI/1.0\nContent-Length: 0\ncontent-length: 0\n", 400 },
                { PROTO_PEER, "GET RFC 1 P2P-DI/1.0\nTransfer-Encoding: chunked\n", 400 },
                { PROTO_PEER, "GET RFC 1 P2P-DI/1.0\nTransfer-Encoding: identity\nContent-Length: 5\n", 400 },
                { PROTO_PEER, "GET RFC 1 P2P-DI/1.0\nTransfer-Encoding:\n", 400 },
                /* twice, in any case; what the protocol doesn't define may come as it likes */
                { PROTO_REGISTRATION, "POST Register P2P-DI/1.0\nPort: 1\nport: 1\n", 400 },
                { PROTO_REGISTRATION, "POST Leave P2P-DI/1.0\nCookie: 1\nCookie: 2\n", 400 },
                { PROTO_PEER, "GET RFC 1 P2P-DI/1.0\nHost: a\nHost: a\n", 400 },
                { PROTO_PEER, "GET RFC 1 P2P-DI/1.0\nTTL: 1\nTTL: 1\n", 400 },
                { PROTO_PEER, "GET RFC 1 P2P-DI/1.0\nConnection: close\nConnection: close\n", 400 },
                { PROTO_PEER, "GET RFC 1 P2P-DI/1.0\nX-A: a\nX-A: a\nUser-Agent: /../\nAccept: */*\n", 0 },
                /* numbers */
                { PROTO_REGISTRATION, "POST Register P2P-DI/1.0\n", 400 },
                { PROTO_REGISTRATION, "POST Register P2P-DI/1.0\nPort:\n", 400 },
                { PROTO_REGISTRATION, "POST Register P2P-DI/1.0\nPort: 0\n", 400 },
                { PROTO_REGISTRATION, "POST Register P2P-DI/1.0\nPort: 1\n", 0 },
                { PROTO_REGISTRATION, "POST Register P2P-DI/1.0\nPort: 65535\n", 0 },
                { PROTO_REGISTRATION, "POST Register P2P-DI/1.0\nPort: 65536\n", 400 },
                { PROTO_REGISTRATION, "POST Register P2P-DI/1.0\nPort: 0x50\n", 400 },
                { PROTO_REGISTRATION, "POST Register P2P-DI/1.0\nPort: 1\nCookie: 0\n", 400 },
                { PROTO_REGISTRATION, "POST Register P2P-DI/1.0\nPort: 1\nCookie: 9007199254740991\n", 0 },
                { PROTO_REGISTRATION, "POST Register P2P-DI/1.0\nPort: 1\nCookie: 9007199254740992\n", 400 },
                { PROTO_REGISTRATION, "POST Leave P2P-DI/1.0\n", 400 },
                { PROTO_REGISTRATION, "POST KeepAlive P2P-DI/1.0\nHost: a\n", 400 },
                { PROTO_REGISTRATION, "GET PQuery P2P-DI/1.0\n", 400 },
                { PROTO_REGISTRATION, "GET PQuery P2P-DI/1.0\nCookie:\n", 400 },
                { PROTO_REGISTRATION, "GET PQuery P2P-DI/1.0\nCookie: abc\n", 400 },
                { PROTO_REGISTRATION, "GET PQuery P2P-DI/1.0\nCookie: 1\nLimit: 1\nAfter: 0\n", 0 },
                { PROTO_REGISTRATION, "GET PQuery P2P-DI/1.0\nCookie: 1\nLimit: 0\n", 400 },
                { PROTO_REGISTRATION, "GET PQuery P2P-DI/1.0\nCookie: 1\nLimit: 4294967296\n", 400 },
                { PROTO_REGISTRATION, "GET PQuery P2P-DI/1.0\nCookie: 1\nAfter: -1\n", 400 },
                { PROTO_REGISTRATION, "GET PQuery P2P-DI/1.0\nCookie: 1\nAfter: 4294967296\n", 400 },
                { PROTO_REGISTRATION, "POST Register P2P-DI/1.0\nPort: 1\nAdvertise: 192.0.2.1\n", 0 },
                { PROTO_REGISTRATION, "POST Register P2P-DI/1.0\nPort: 1\nAdvertise: 2001:db8::1\n", 0 },
                { PROTO_REGISTRATION, "POST Register P2P-DI/1.0\nPort: 1\nAdvertise: host\n", 400 },
                { PROTO_REGISTRATION, "POST Register P2P-DI/1.0\nPort: 1\nAdvertise: 192.0.2.1:80\n", 400 },
                /* for people only, but in lists and logs */
                { PROTO_REGISTRATION, "POST Register P2P-DI/1.0\nPort: 1\nHost: " N253 "\nOS: " N253 "\n", 0 },
                { PROTO_REGISTRATION, "POST Register P2P-DI/1.0\nPort: 1\nHost: " N253 "x\n", 400 },
                { PROTO_REGISTRATION, "POST Register P2P-DI/1.0\nPort: 1\nOS: " N253 "x\n", 400 },
                { PROTO_REGISTRATION, "POST Register P2P-DI/1.0\nPort: 1\nHost: a\tb\n", 400 },
                { PROTO_REGISTRATION, "POST Register P2P-DI/1.0\nPort: 1\nHost: \xc3\xa4\n", 0 },
                { PROTO_REGISTRATION, "POST Register P2P-DI/1.0\nPort: 1\nHost: \xe4\n", 400 },
                { PROTO_REGISTRATION, "POST Register P2P-DI/1.0\nPort: 1\nOS: a\tb\n", 400 },
                { PROTO_PEER, "GET RFC 1 P2P-DI/1.0\nHost: \xc0\x80\n", 400 },
                { PROTO_PEER, "GET RFC 1 P2P-DI/1.0\nHost:\nOS:\n", 0 },
                /* transaction */
                { PROTO_PEER, "GET RFC 1 P2P-DI/1.0\nTransaction: 6f0c2c0e8d1b4c63\n", 0 },
                { PROTO_PEER, "GET RFC 1 P2P-DI/1.0\nTransaction: 6F0C2C0E8D1B4C63\n", 400 },
                { PROTO_PEER, "GET RFC 1 P2P-DI/1.0\nTransaction: 6f0c2c0e8d1b4c6\n", 400 },
                { PROTO_PEER, "GET RFC 1 P2P-DI/1.0\nTransaction: 0000000000000000\n", 400 },
                /* index */
                { PROTO_PEER, "GET RFC-Index P2P-DI/1.0\nIf-Generation: 0.0\n", 0 },
                { PROTO_PEER, "GET RFC-Index P2P-DI/1.0\nIf-Generation: 5\n", 400 },
                { PROTO_PEER, "GET RFC-Index P2P-DI/1.0\nIf-Generation: 1.2.3\n", 400 },
                { PROTO_PEER, "GET RFC-Index P2P-DI/1.0\nRFC: 7230,9110-9114\n", 0 },
                { PROTO_PEER, "GET RFC-Index P2P-DI/1.0\nRFC:\n", 400 },
                { PROTO_PEER, "GET RFC-Index P2P-DI/1.0\nRFC: 0\n", 400 },
                { PROTO_PEER, "GET RFC-Index P2P-DI/1.0\nRFC: 2147483648\n", 400 },
                { PROTO_PEER, "GET RFC-Index P2P-DI/1.0\nRFC: 7230\nIf-Generation: 1.1\n", 400 },
                /* ranges */
                { PROTO_PEER, "GET RFC 1 P2P-DI/1.0\nRange: bytes=5-\nIf-Digest: sha-256=" HEX_A "\n", 0 },
                { PROTO_PEER, "GET RFC 1 P2P-DI/1.0\nIf-Digest: sha-256=abc\n", 400 },
                { PROTO_PEER, "GET RFC 1 P2P-DI/1.0\nIf-Digest: md5=" HEX_A "\n", 400 },
                { PROTO_PEER,
                  "GET RFC 1 P2P-DI/1.0\nRange: bytes=99999999999999999999-\nIf-Digest: sha-256=" HEX_A "\n", 400 },
                /* headers of other requests are not looked at */
                { PROTO_PEER, "GET RFC 1 P2P-DI/1.0\nCookie: x\nPort: x\nRFC: x\n", 0 },
                { PROTO_REGISTRATION, "POST Leave P2P-DI/1.0\nCookie: 1\nPort: 0\nLimit: x\nRange: x\n", 0 },
        };
        _cleanup_buf_ Buf b = BUF_INIT(MSG_HEAD_MAX);

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                _cleanup_request_ Request q = { .limit = 4711 };
                int r = parse_request(&b, table[i].text, table[i].face, &q);

                if (r != table[i].status)
                        print_error("%d, not %d: %s\n", r, table[i].status, table[i].text);
                assert_int_equal(r, table[i].status);
                if (r != 0)
                        assert_int_equal(q.limit, 4711);
        }
}

static void test_register_is_read_whole(void **state) {
        _cleanup_buf_ Buf b = BUF_INIT(MSG_HEAD_MAX);
        _cleanup_request_ Request q = { 0 };
        const Endpoint expected = endpoint("[2001:db8::1]:1");

        (void) state;
        assert_int_equal(parse_request(&b,
                                       "POST Register P2P-DI/1.0\nhost:  alpha.example \nOS: Debian 12\nPORT: 65424\n"
                                       "Cookie: 4711\nAdvertise: 2001:DB8::1\nTransaction: 6f0c2c0e8d1b4c63\n"
                                       "Connection: Close\n", PROTO_REGISTRATION, &q), 0);
        assert_int_equal(q.verb, VERB_REGISTER);
        assert_int_equal(q.version, MSG_P2PDI_1_0);
        assert_true(slice_equal(q.host, SLICE_LITERAL("alpha.example")));
        assert_true(slice_equal(q.os, SLICE_LITERAL("Debian 12")));
        assert_int_equal(q.port, 65424);
        assert_int_equal(q.cookie, 4711);
        assert_true(q.has_advertise);
        assert_true(address_equal(&q.advertise, &expected.address));
        assert_true(q.transaction == UINT64_C(0x6f0c2c0e8d1b4c63));
        assert_true(q.close);
}

static void test_pquery_tells_none_from_zero(void **state) {
        _cleanup_buf_ Buf b = BUF_INIT(MSG_HEAD_MAX);
        Request q;

        (void) state;
        assert_int_equal(parse_request(&b, "GET PQuery P2P-DI/1.0\nCookie: 5\n", PROTO_REGISTRATION, &q), 0);
        assert_int_equal(q.verb, VERB_PQUERY);
        assert_int_equal(q.limit, 0);
        assert_false(q.has_after);
        assert_false(q.close);
        request_done(&q);
        assert_int_equal(parse_request(&b, "GET PQuery P2P-DI/1.0\nCookie: 5\nAfter: 0\nLimit: 30\n",
                                       PROTO_REGISTRATION, &q), 0);
        assert_int_equal(q.limit, 30);
        assert_true(q.has_after);
        assert_int_equal(q.after, 0);
        request_done(&q);
}

static void test_index_query_is_one_of_three(void **state) {
        _cleanup_buf_ Buf b = BUF_INIT(MSG_HEAD_MAX);
        Request q;

        (void) state;
        assert_int_equal(parse_request(&b, "GET RFC-Index P2P-DI/1.0\n", PROTO_PEER, &q), 0);
        assert_int_equal(q.verb, VERB_RFC_INDEX);
        assert_false(q.has_if_generation);
        assert_int_equal(q.rfcs.n_ranges, 0);
        request_done(&q);

        assert_int_equal(parse_request(&b, "GET RFC-Index P2P-DI/1.0\nIf-Generation: 18446744073709551615.7\n",
                                       PROTO_PEER, &q), 0);
        assert_true(q.has_if_generation);
        assert_true(q.if_generation.epoch == UINT64_MAX && q.if_generation.number == 7);
        request_done(&q);

        assert_int_equal(parse_request(&b, "GET RFC-Index P2P-DI/1.0\nRFC: 9110-9114,7230\n", PROTO_PEER, &q), 0);
        assert_int_equal(q.rfcs.n_ranges, 2);
        assert_true(rfc_set_contains(&q.rfcs, 9112));
        request_done(&q);
        assert_null(q.rfcs.ranges);
}

static void test_a_range_needs_a_digest(void **state) {
        static const struct {
                const char *headers;
                bool has_range, has_if_digest;
                uint64_t first;
        } table[] = {
                { "", false, false, 0 },
                { "Range: bytes=100-\nIf-Digest: sha-256=" HEX_A "\n", true, true, 100 },
                { "Range: bytes=0-\nIf-Digest: sha-256=" HEX_A "\n", true, true, 0 },
                { "Range: bytes=18446744073709551615-\nIf-Digest: sha-256=" HEX_A "\n", true, true, UINT64_MAX },
                { "If-Digest: sha-256=" HEX_A "\n", false, true, 0 },
                { "Range: bytes=100-\n", false, false, 0 },
                { "Range: bytes=nonsense\n", false, false, 0 },
                /* other forms than ours: the whole document */
                { "Range: bytes=100-200\nIf-Digest: sha-256=" HEX_A "\n", false, true, 0 },
                { "Range: bytes=-100\nIf-Digest: sha-256=" HEX_A "\n", false, true, 0 },
                { "Range: bytes=-\nIf-Digest: sha-256=" HEX_A "\n", false, true, 0 },
                { "Range: bytes=\nIf-Digest: sha-256=" HEX_A "\n", false, true, 0 },
                { "Range: lines=1-\nIf-Digest: sha-256=" HEX_A "\n", false, true, 0 },
                { "Range: bytes=1-,5-\nIf-Digest: sha-256=" HEX_A "\n", false, true, 0 },
        };
        static const char *const documents[] = { "RFC 7230", "RFC-Editor-Index" };
        const Digest a = digest(HEX_A);

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(table); i++)
                for (size_t k = 0; k < ELEMENTSOF(documents); k++) {
                        _cleanup_buf_ Buf b = BUF_INIT(MSG_HEAD_MAX), text = BUF_INIT(MSG_HEAD_MAX);
                        Request q;

                        assert_int_equal(buf_printf(&text, "GET %s P2P-DI/1.0\n%s", documents[k], table[i].headers), 0);
                        assert_int_equal(buf_append_char(&text, '\0'), 0);
                        assert_int_equal(parse_request(&b, text.data, PROTO_PEER, &q), 0);
                        assert_int_equal(q.verb, k == 0 ? VERB_GET_RFC : VERB_GET_EDITOR_INDEX);
                        assert_int_equal(q.rfc, k == 0 ? 7230 : 0);
                        assert_int_equal(q.has_range, table[i].has_range);
                        assert_true(q.range_first == table[i].first);
                        assert_int_equal(q.has_if_digest, table[i].has_if_digest);
                        if (q.has_if_digest)
                                assert_true(digest_equal(&q.if_digest, &a));
                        request_done(&q);
                }
}

static void test_requests_are_written_as_the_protocol_has_them(void **state) {
        RfcRange ranges[] = { { 7230, 7230 }, { 9110, 9114 } };
        const struct {
                Request request;
                const char *text;
        } table[] = {
                { { .verb = VERB_REGISTER, .port = 65424, .host = SLICE_LITERAL("alpha"), .os =
                    SLICE_LITERAL("Debian 12") },
                  "POST Register P2P-DI/1.0\r\nHost: alpha\r\nOS: Debian 12\r\nPort: 65424\r\n\r\n" },
                { { .verb = VERB_REGISTER, .port = 1, .cookie = PROTO_COOKIE_MAX, .has_advertise = true,
                    .advertise = endpoint("192.0.2.1:1").address, .transaction = 0x1f },
                  "POST Register P2P-DI/1.0\r\nPort: 1\r\nCookie: 9007199254740991\r\nAdvertise: 192.0.2.1\r\n"
                  "Transaction: 000000000000001f\r\n\r\n" },
                { { .verb = VERB_LEAVE, .cookie = 5, .close = true },
                  "POST Leave P2P-DI/1.0\r\nCookie: 5\r\nConnection: close\r\n\r\n" },
                { { .verb = VERB_KEEPALIVE, .cookie = 5 }, "POST KeepAlive P2P-DI/1.0\r\nCookie: 5\r\n\r\n" },
                { { .verb = VERB_PQUERY, .cookie = 5, .limit = 30, .has_after = true },
                  "GET PQuery P2P-DI/1.0\r\nCookie: 5\r\nLimit: 30\r\nAfter: 0\r\n\r\n" },
                { { .verb = VERB_RFC_INDEX, .has_if_generation = true, .if_generation = { 77, 3 } },
                  "GET RFC-Index P2P-DI/1.0\r\nIf-Generation: 77.3\r\n\r\n" },
                { { .verb = VERB_RFC_INDEX, .rfcs = { ranges, 2 } },
                  "GET RFC-Index P2P-DI/1.0\r\nRFC: 7230,9110-9114\r\n\r\n" },
                { { .verb = VERB_GET_RFC, .rfc = RFC_NUMBER_MAX }, "GET RFC 2147483647 P2P-DI/1.0\r\n\r\n" },
                { { .verb = VERB_GET_RFC, .rfc = 7230, .has_range = true, .range_first = 100, .has_if_digest = true,
                    .if_digest = digest(HEX_B) },
                  "GET RFC 7230 P2P-DI/1.0\r\nRange: bytes=100-\r\nIf-Digest: sha-256=" HEX_B "\r\n\r\n" },
                { { .verb = VERB_GET_EDITOR_INDEX }, "GET RFC-Editor-Index P2P-DI/1.0\r\n\r\n" },
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                _cleanup_buf_ Buf b = BUF_INIT(MSG_HEAD_MAX);

                assert_int_equal(proto_write_request(&b, &table[i].request), 0);
                assert_content(&b, table[i].text);

                /* Whatever room there is, a head is written whole or not at all. */
                for (size_t max = 0; max < strlen(table[i].text); max++) {
                        _cleanup_buf_ Buf small = BUF_INIT(max);

                        assert_int_equal(proto_write_request(&small, &table[i].request), BUF_FULL);
                        assert_int_equal(small.size, 0);
                }
        }
}

static void test_a_head_that_nobody_takes_is_not_written(void **state) {
        _cleanup_buf_ Buf b = BUF_INIT(1 << 20);
        _cleanup_rfc_set_ RfcSet rfcs = { 0 };
        Request q = { .verb = VERB_RFC_INDEX };

        (void) state;
        for (uint32_t n = 10000; n < 14000; n += 2)
                assert_int_equal(rfc_set_add(&rfcs, (RfcRange){ n, n }), 0);
        q.rfcs = rfcs;
        assert_int_equal(proto_write_request(&b, &q), BUF_FULL);
        assert_int_equal(b.size, 0);
}

static void test_peek_reads_what_an_error_reply_echoes(void **state) {
        static const struct {
                const char *headers;
                uint64_t transaction;
                bool close;
        } table[] = {
                { "", 0, false },
                { "Transaction: 00000000000000ff\r\nConnection: close\r\n", 0xff, true },
                { "Transaction: nonsense\r\nConnection: keep-alive\r\n", 0, false },
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                _cleanup_buf_ Buf b = BUF_INIT(1000);
                uint64_t transaction = 1;
                bool close = true;
                MsgHead head;

                assert_int_equal(buf_printf(&b, "BREW /.. X/9\r\n%s\r\n", table[i].headers), 0);
                assert_int_equal(msg_parse_request(buf_slice(&b), &head), 0);
                proto_peek(&head, &transaction, &close);
                assert_true(transaction == table[i].transaction);
                assert_int_equal(close, table[i].close);
        }
}

static void test_replies_are_written_as_the_protocol_has_them(void **state) {
#define COMMON "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nServer: p2pdi/0.1.0\r\n"
        const struct {
                Verb verb;
                Reply reply;
                const char *text;
        } table[] = {
                { VERB_REGISTER,
                  { .status = 200, .cookie = 4711, .peer_id = 3, .ttl_sec = 7200, .keep_alive_sec = 2400,
                    .has_address = true, .address = endpoint("192.0.2.17:1").address, .transaction = 0xabc },
                  "P2P-DI/1.0 200 OK\r\n" COMMON "Transaction: 0000000000000abc\r\nCookie: 4711\r\nPeer-Id: 3\r\n"
                  "TTL: 7200\r\nKeep-Alive: 2400\r\nAddress: 192.0.2.17\r\nContent-Length: 0\r\n\r\n" },
                { VERB_KEEPALIVE, { .status = 401 },
                  "P2P-DI/1.0 401 Unknown Cookie\r\n" COMMON "Content-Length: 0\r\n\r\n" },
                { VERB_PQUERY, { .status = 204, .has_active = true },
                  "P2P-DI/1.0 204 No Active Peers\r\n" COMMON "Active: 0\r\n\r\n" },
                { VERB_PQUERY, { .status = 429, .retry_after_sec = 5, .close = true },
                  "P2P-DI/1.0 429 Too Many Requests\r\n" COMMON "Retry-After: 5\r\nConnection: close\r\n"
                  "Content-Length: 0\r\n\r\n" },
                { VERB_PQUERY, { .status = 400 },
                  "P2P-DI/1.0 400 Bad Request\r\n" COMMON "Connection: close\r\nContent-Length: 0\r\n\r\n" },
                { VERB_RFC_INDEX,
                  { .status = 226, .length = 10, .has_generation = true, .generation = { 9, 1 },
                    .has_index_digest = true, .index_digest = digest(HEX_A) },
                  "P2P-DI/1.0 226 Delta\r\n" COMMON "Generation: 9.1\r\nIndex-Digest: sha-256=" HEX_A
                  "\r\nContent-Length: 10\r\n\r\n" },
                { VERB_RFC_INDEX, { .status = 304, .length = 10, .has_generation = true },
                  "P2P-DI/1.0 304 Not Modified\r\n" COMMON "Generation: 0.0\r\n\r\n" },
                { VERB_GET_RFC,
                  { .status = 206, .length = 10, .has_digest = true, .digest = digest(HEX_B),
                    .title = SLICE_LITERAL("A Title"),
                    .last_modified = 784111777 * USEC_PER_SEC, .has_content_range = true,
                    .range_first = 90, .range_last = 99, .range_size = 100 },
                  "P2P-DI/1.0 206 Partial Content\r\n" COMMON "Content-Type: text/plain\r\nDigest: sha-256=" HEX_B
                  "\r\nTitle: A Title\r\nLast-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
                  "Content-Range: bytes 90-99/100\r\nContent-Length: 10\r\n\r\n" },
                { VERB_GET_RFC, { .status = 404 }, "P2P-DI/1.0 404 Not Found\r\n" COMMON "Content-Length: 0\r\n\r\n" },
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                _cleanup_buf_ Buf b = BUF_INIT(MSG_HEAD_MAX);

                assert_int_equal(proto_write_reply(&b, table[i].verb, &table[i].reply, "p2pdi/0.1.0",
                                                   784111777 * USEC_PER_SEC), 0);
                assert_content(&b, table[i].text);
                for (size_t max = 0; max < strlen(table[i].text); max++) {
                        _cleanup_buf_ Buf small = BUF_INIT(max);

                        assert_int_equal(proto_write_reply(&small, table[i].verb, &table[i].reply, "p2pdi/0.1.0",
                                                           784111777 * USEC_PER_SEC), BUF_FULL);
                        assert_int_equal(small.size, 0);
                }
        }
}

static void test_replies_that_break_the_protocol_are_refused(void **state) {
        static const struct {
                Verb verb;
                const char *text;
                int result;
        } table[] = {
                { VERB_LEAVE, "P2P-DI/1.0 200 OK\nContent-Length: 0\n", 0 },
                { VERB_LEAVE, "P2P-DI/1.0 200 OK\n", PROTO_BAD },
                { VERB_LEAVE, "P2P-DI/1.0 404 Not Found\n", PROTO_BAD },
                { VERB_PQUERY, "P2P-DI/1.0 204 No Active Peers\n", 0 },
                { VERB_RFC_INDEX, "P2P-DI/1.0 304 Not Modified\n", 0 },
                { VERB_LEAVE, "HTTP/1.1 200 OK\nContent-Length: 0\n", PROTO_BAD },
                { VERB_LEAVE, "P2P-DI/2.0 200 OK\nContent-Length: 0\n", PROTO_BAD },
                { VERB_LEAVE, "P2P-DI/1.0 200 OK\nContent-Length: 0\nTransfer-Encoding: chunked\n", PROTO_BAD },
                { VERB_LEAVE, "P2P-DI/1.0 200 OK\nContent-Length: 0\nContent-Length: 0\n", PROTO_BAD },
                { VERB_LEAVE, "P2P-DI/1.0 200 OK\nContent-Length: -1\n", PROTO_BAD },
                { VERB_LEAVE, "P2P-DI/1.0 200 OK\nContent-Length: 1099511627776\n", 0 },
                { VERB_LEAVE, "P2P-DI/1.0 200 OK\nContent-Length: 1099511627777\n", PROTO_BAD },
                { VERB_LEAVE, "P2P-DI/1.0 200 OK\nContent-Length: 0\nX-A: 1\nX-A: 2\n", 0 },
                { VERB_LEAVE, "P2P-DI/1.0 200 OK\nContent-Length: 0\nDate: a\nDate: b\n", PROTO_BAD },
                { VERB_LEAVE, "P2P-DI/1.0 200 OK\nContent-Length: 0\nTransaction: x\n", PROTO_BAD },
                { VERB_REGISTER, "P2P-DI/1.0 200 OK\nContent-Length: 0\nCookie: 1\nTTL: 7200\n", 0 },
                { VERB_REGISTER, "P2P-DI/1.0 200 OK\nContent-Length: 0\nTTL: 7200\n", PROTO_BAD },
                { VERB_REGISTER, "P2P-DI/1.0 200 OK\nContent-Length: 0\nCookie: 1\n", PROTO_BAD },
                { VERB_REGISTER, "P2P-DI/1.0 200 OK\nContent-Length: 0\nCookie: 1\nTTL: 0\n", PROTO_BAD },
                { VERB_REGISTER, "P2P-DI/1.0 200 OK\nContent-Length: 0\nCookie: 0\nTTL: 7200\n", PROTO_BAD },
                { VERB_REGISTER, "P2P-DI/1.0 200 OK\nContent-Length: 0\nCookie: 9007199254740992\nTTL: 7200\n",
                  PROTO_BAD },
                { VERB_REGISTER, "P2P-DI/1.0 200 OK\nContent-Length: 0\nCookie: 1\nTTL: 4294967296\n", PROTO_BAD },
                { VERB_REGISTER, "P2P-DI/1.0 200 OK\nContent-Length: 0\nCookie: 1\nTTL: 1\nPeer-Id: 0\n", PROTO_BAD },
                { VERB_REGISTER, "P2P-DI/1.0 200 OK\nContent-Length: 0\nCookie: 1\nTTL: 1\nAddress: x\n", PROTO_BAD },
                { VERB_REGISTER, "P2P-DI/1.0 503 x\nContent-Length: 0\nRetry-After: 5\n", 0 },
                { VERB_REGISTER, "P2P-DI/1.0 503 x\nContent-Length: 0\nRetry-After: soon\n", PROTO_BAD },
                { VERB_PQUERY, "P2P-DI/1.0 200 OK\nContent-Length: 0\nActive: -1\n", PROTO_BAD },
                { VERB_RFC_INDEX, "P2P-DI/1.0 200 OK\nContent-Length: 0\n", 0 },
                { VERB_RFC_INDEX, "P2P-DI/1.0 226 Delta\nContent-Length: 0\nGeneration: 1.1\n", 0 },
                { VERB_RFC_INDEX, "P2P-DI/1.0 226 Delta\nContent-Length: 0\n", PROTO_BAD },
                { VERB_RFC_INDEX, "P2P-DI/1.0 200 OK\nContent-Length: 0\nGeneration: 1\n", PROTO_BAD },
                { VERB_RFC_INDEX, "P2P-DI/1.0 200 OK\nContent-Length: 0\nIndex-Digest: " HEX_A "\n", PROTO_BAD },
                { VERB_GET_RFC, "P2P-DI/1.0 200 OK\nContent-Length: 0\nDigest: sha-256=" HEX_A "\n", 0 },
                { VERB_GET_RFC, "P2P-DI/1.0 200 OK\nContent-Length: 0\n", PROTO_BAD },
                { VERB_GET_RFC, "P2P-DI/1.0 404 Not Found\nContent-Length: 0\n", 0 },
                { VERB_GET_RFC, "P2P-DI/1.0 200 OK\nContent-Length: 0\nDigest: sha-256=" HEX_A "\nTitle: \xff\n",
                  PROTO_BAD },
                { VERB_GET_RFC, "P2P-DI/1.0 200 OK\nContent-Length: 0\nDigest: sha-256=" HEX_A "\nTitle: a\tb\n",
                  PROTO_BAD },
                { VERB_GET_EDITOR_INDEX, "P2P-DI/1.0 200 OK\nContent-Length: 0\n", PROTO_BAD },
#define PART "P2P-DI/1.0 206 Part\nDigest: sha-256=" HEX_A "\nContent-Length: 10\n"
                { VERB_GET_RFC, PART "Content-Range: bytes 90-99/100\n", 0 },
                { VERB_GET_RFC, PART, PROTO_BAD },
                { VERB_GET_RFC, PART "Content-Range: bytes 90-99/101\n", PROTO_BAD },
                { VERB_GET_RFC, PART "Content-Range: bytes 91-99/100\n", PROTO_BAD },
                { VERB_GET_RFC, PART "Content-Range: bytes 100-99/100\n", PROTO_BAD },
                { VERB_GET_RFC, PART "Content-Range: bytes 90-99/*\n", PROTO_BAD },
                { VERB_GET_RFC, PART "Content-Range: bytes */100\n", PROTO_BAD },
                { VERB_GET_RFC, PART "Content-Range: lines 90-99/100\n", PROTO_BAD },
                { VERB_GET_RFC, PART "Content-Range: bytes\n", PROTO_BAD },
                { VERB_GET_RFC, PART "Content-Range: bytes 90\n", PROTO_BAD },
                { VERB_GET_RFC, PART "Content-Range: bytes 90-99\n", PROTO_BAD },
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                _cleanup_buf_ Buf b = BUF_INIT(MSG_HEAD_MAX);
                Reply p = { .status = 4711 };
                int r = parse_reply(&b, table[i].text, table[i].verb, &p);

                if (r != table[i].result)
                        print_error("%d, not %d: %s\n", r, table[i].result, table[i].text);
                assert_int_equal(r, table[i].result);
                if (r != 0)
                        assert_int_equal(p.status, 4711);
        }
}

static void test_replies_are_read_whole(void **state) {
        _cleanup_buf_ Buf b = BUF_INIT(MSG_HEAD_MAX);
        const Endpoint e = endpoint("192.0.2.17:1");
        const Digest a = digest(HEX_A), other = digest(HEX_B);
        Reply p;

        (void) state;
        assert_int_equal(parse_reply(&b,
                                     "P2P-DI/1.0 200 OK\nContent-Length: 0\nCookie: 4711\nPeer-Id: 3\nTTL: 7200\n"
                                     "Keep-Alive: 2400\nAddress: ::ffff:192.0.2.17\nTransaction: 00000000000000ff\n"
                                     "Connection: close\n",
                                     VERB_REGISTER, &p), 0);
        assert_int_equal(p.status, 200);
        assert_true(p.has_length);
        assert_int_equal(p.length, 0);
        assert_int_equal(p.cookie, 4711);
        assert_int_equal(p.peer_id, 3);
        assert_int_equal(p.ttl_sec, 7200);
        assert_int_equal(p.keep_alive_sec, 2400);
        assert_true(p.has_address && address_equal(&p.address, &e.address));
        assert_int_equal(p.transaction, 0xff);
        assert_true(p.close);

        assert_int_equal(parse_reply(&b, "P2P-DI/1.0 204 No Active Peers\nActive: 0\nContent-Length: 5\n",
                                     VERB_PQUERY, &p), 0);
        assert_true(p.has_active);
        assert_int_equal(p.active, 0);
        assert_false(p.has_length);
        assert_int_equal(p.length, 0);

        assert_int_equal(parse_reply(&b,
                                     "P2P-DI/1.0 226 Delta\nContent-Length: 99\nGeneration: 8.9\n"
                                     "Index-Digest: sha-256=" HEX_A "\n",
                                     VERB_RFC_INDEX, &p), 0);
        assert_int_equal(p.length, 99);
        assert_true(p.has_generation && p.generation.epoch == 8 && p.generation.number == 9);
        assert_true(p.has_index_digest && digest_equal(&p.index_digest, &a));
        assert_false(p.has_digest);

        assert_int_equal(parse_reply(&b,
                                     "P2P-DI/1.0 206 Part\nContent-Length: 10\nDigest: sha-256=" HEX_B "\n"
                                     "Title: A \xc3\xa4\nContent-Range: bytes 90-99/100\nLast-Modified: whenever\n",
                                     VERB_GET_RFC, &p), 0);
        assert_true(p.has_digest && digest_equal(&p.digest, &other));
        assert_true(slice_equal(p.title, SLICE_LITERAL("A \xc3\xa4")));
        assert_true(p.has_content_range);
        assert_int_equal(p.range_first, 90);
        assert_int_equal(p.range_last, 99);
        assert_int_equal(p.range_size, 100);
        assert_int_equal(p.last_modified, 0);
}

static void test_small_texts(void **state) {
        static const char *const bad[] = { "", ".", "1", "1.", ".1", "1.1.1", "01.1", "1.01", "-1.1", "1. 1",
                                           "18446744073709551616.1" };
        static const unsigned closing[] = { 400, 408, 413, 431, 505 };
        char text[GENERATION_TEXT_SIZE], id[TRANSACTION_TEXT_SIZE];
        unsigned n_closing = 0;
        Generation g = { 1, 2 };
        uint64_t transaction;

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                assert_int_equal(generation_from_text(slice_of(bad[i]), &g), TEXT_BAD);
        assert_true(g.epoch == 1 && g.number == 2);
        generation_to_text((Generation){ UINT64_MAX, UINT64_MAX }, text);
        assert_int_equal(strlen(text), GENERATION_TEXT_SIZE - 1);
        assert_int_equal(generation_from_text(slice_of(text), &g), 0);
        assert_true(g.epoch == UINT64_MAX && g.number == UINT64_MAX);

        transaction_to_text(UINT64_C(0x00c0ffee00000001), id);
        assert_string_equal(id, "00c0ffee00000001");
        assert_int_equal(transaction_from_text(slice_of(id), &transaction), 0);
        assert_true(transaction == UINT64_C(0x00c0ffee00000001));

        for (size_t i = 0; i < ELEMENTSOF(closing); i++)
                assert_true(proto_status_closes(closing[i]));
        for (unsigned status = 100; status < 1000; status++)
                n_closing += proto_status_closes(status);
        assert_int_equal(n_closing, ELEMENTSOF(closing));

        assert_string_equal(verb_operation(VERB_REGISTER), "register");
        assert_string_equal(verb_operation(VERB_GET_RFC), "get-rfc");
        for (unsigned v = 0; v < _VERB_MAX; v++)
                assert_non_null(verb_operation((Verb) v));
}

static void test_peer_lines_round_trip(void **state) {
        const struct {
                PeerLine line;
                const char *text;
        } table[] = {
                { { endpoint("192.0.2.17:65424"), 3, 7199, SLICE_LITERAL("alpha.example") },
                  "192.0.2.17\t65424\t3\t7199\talpha.example\n" },
                { { endpoint("[2001:db8::8]:1"), UINT32_MAX, 0, SLICE_LITERAL("") },
                  "2001:db8::8\t1\t4294967295\t0\t\n" },
                { { endpoint("192.0.2.17:1"), 3, 1, SLICE_LITERAL(N253) }, "192.0.2.17\t1\t3\t1\t" N253 "\n" },
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                _cleanup_buf_ Buf b = BUF_INIT(1000);
                Slice rest;
                PeerLine l;

                assert_int_equal(proto_write_peer_line(&b, &table[i].line), 0);
                assert_content(&b, table[i].text);
                for (size_t n = 0; n < b.size; n++) {
                        rest = (Slice){ b.data, n };
                        assert_int_equal(proto_parse_peer_line(&rest, &l), PROTO_MORE);
                        assert_int_equal(rest.size, n);
                }
                rest = buf_slice(&b);
                assert_int_equal(proto_parse_peer_line(&rest, &l), 0);
                assert_int_equal(rest.size, 0);
                assert_true(endpoint_equal(&l.endpoint, &table[i].line.endpoint));
                assert_int_equal(l.id, table[i].line.id);
                assert_int_equal(l.ttl_sec, table[i].line.ttl_sec);
                assert_true(slice_equal(l.host, table[i].line.host));
        }
}

static void test_peer_lines_may_have_further_columns(void **state) {
        Slice rest = SLICE_LITERAL("192.0.2.1\t80\t3\t5\ta\tmore\t\xff\n192.0.2.2\t80\t4\t5\tb\n");
        PeerLine l;

        (void) state;
        assert_int_equal(proto_parse_peer_line(&rest, &l), 0);
        assert_true(slice_equal(l.host, SLICE_LITERAL("a")));
        assert_int_equal(proto_parse_peer_line(&rest, &l), 0);
        assert_int_equal(l.id, 4);
        assert_int_equal(proto_parse_peer_line(&rest, &l), PROTO_MORE);
        rest = (Slice){ NULL, 0 };
        assert_int_equal(proto_parse_peer_line(&rest, &l), PROTO_MORE);
}

static void test_bad_peer_lines_are_refused(void **state) {
        static const char *const bad[] = {
                "\n",
                "192.0.2.1\n",
                "192.0.2.1\t80\t3\t5\n",
                "192.0.2.1 80 3 5 a\n",
                "192.0.2.1\t0\t3\t5\ta\n",
                "192.0.2.1\t65536\t3\t5\ta\n",
                "192.0.2.1\t80\t0\t5\ta\n",
                "192.0.2.1\t80\t4294967296\t5\ta\n",
                "192.0.2.1\t80\t3\t-5\ta\n",
                "192.0.2.1\t80\t3\t05\ta\n",
                "192.0.2.1\t80\t3\t4294967296\ta\n",
                "host\t80\t3\t5\ta\n",
                "[2001:db8::1]\t80\t3\t5\ta\n",
                "\t80\t3\t5\ta\n",
                "192.0.2.1\t80\t3\t5\ta\r\n",
                "192.0.2.1\t80\t3\t5\t\x1b[31m\n",
                "192.0.2.1\t80\t3\t5\t\xff\n",
                "192.0.2.1\t80\t3\t5\t" N253 "x\n",
        };
        char endless[PROTO_PEER_LINE_MAX + 1];
        PeerLine l = { .id = 4711 };
        Slice rest;

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                rest = slice_of(bad[i]);
                assert_int_equal(proto_parse_peer_line(&rest, &l), PROTO_BAD);
                assert_ptr_equal(rest.data, bad[i]);
        }
        assert_int_equal(l.id, 4711);

        memset(endless, 'x', sizeof(endless));
        rest = (Slice){ endless, PROTO_PEER_LINE_MAX - 1 };
        assert_int_equal(proto_parse_peer_line(&rest, &l), PROTO_MORE);
        rest = (Slice){ endless, PROTO_PEER_LINE_MAX };
        assert_int_equal(proto_parse_peer_line(&rest, &l), PROTO_BAD);
        endless[PROTO_PEER_LINE_MAX] = '\n';
        rest = (Slice){ endless, sizeof(endless) };
        assert_int_equal(proto_parse_peer_line(&rest, &l), PROTO_BAD);
}

static void test_index_lines_round_trip(void **state) {
        const struct {
                bool delta;
                IndexLine line;
                const char *text;
        } table[] = {
                { false,
                  { .number = 7230, .ttl_sec = 7200, .self = true, .size = 205947, .digest = digest(HEX_A),
                    .title = SLICE_LITERAL("HTTP/1.1: Message Syntax") },
                  "7230\t7200\t-\t205947\t" HEX_A "\tHTTP/1.1: Message Syntax\n" },
                { false,
                  { .number = RFC_NUMBER_MAX, .ttl_sec = 1, .holder = endpoint("192.0.2.1:65424"),
                    .size = PROTO_DOCUMENT_BYTES_MAX, .digest = digest(HEX_B), .title = SLICE_LITERAL("\xc3\xa4") },
                  "2147483647\t1\t192.0.2.1:65424\t1099511627776\t" HEX_B "\t\xc3\xa4\n" },
                { false,
                  { .number = 1, .ttl_sec = UINT32_MAX, .holder = endpoint("[2001:db8::1]:1"), .digest =
                    digest(HEX_B) },
                  "1\t4294967295\t[2001:db8::1]:1\t0\t" HEX_B "\t\n" },
                { true,
                  { .added = true, .number = 7230, .ttl_sec = 7200, .self = true, .size = 5, .digest = digest(HEX_A),
                    .title = SLICE_LITERAL("A") },
                  "+7230\t7200\t-\t5\t" HEX_A "\tA\n" },
                { true, { .removed = true, .number = 7230, .self = true }, "-7230\t-\n" },
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                const IndexLine *expected = &table[i].line;
                _cleanup_buf_ Buf b = BUF_INIT(1000);
                IndexLine l;
                Slice rest;

                assert_int_equal(proto_write_index_line(&b, expected, table[i].delta), 0);
                assert_content(&b, table[i].text);
                for (size_t n = 0; n < b.size; n++) {
                        rest = (Slice){ b.data, n };
                        assert_int_equal(proto_parse_index_line(&rest, table[i].delta, &l), PROTO_MORE);
                        assert_int_equal(rest.size, n);
                }

                rest = buf_slice(&b);
                assert_int_equal(proto_parse_index_line(&rest, !table[i].delta, &l), PROTO_BAD);
                assert_int_equal(proto_parse_index_line(&rest, table[i].delta, &l), 0);
                assert_int_equal(rest.size, 0);
                assert_int_equal(l.added, expected->added);
                assert_int_equal(l.removed, expected->removed);
                assert_int_equal(l.number, expected->number);
                assert_int_equal(l.ttl_sec, expected->ttl_sec);
                assert_int_equal(l.self, expected->self);
                assert_true(endpoint_equal(&l.holder, &expected->holder));
                assert_true(l.size == expected->size);
                assert_true(digest_equal(&l.digest, &expected->digest));
                assert_true(slice_equal(l.title, expected->title));
                assert_int_equal(proto_compare_index_lines(&l, expected), 0);
        }
}

static void test_bad_index_lines_are_refused(void **state) {
#define GOOD "7230\t7200\t-\t5\t" HEX_A "\tA\n"
        static const struct {
                bool delta;
                const char *text;
        } table[] = {
                { false, "\n" },
                { false, "7230\n" },
                { false, "7230\t7200\t-\t5\t" HEX_A "\n" },
                { false, "0\t7200\t-\t5\t" HEX_A "\tA\n" },
                { false, "07230\t7200\t-\t5\t" HEX_A "\tA\n" },
                { false, "2147483648\t7200\t-\t5\t" HEX_A "\tA\n" },
                { false, "rfc1\t7200\t-\t5\t" HEX_A "\tA\n" },
                { false, "7230\t0\t-\t5\t" HEX_A "\tA\n" },
                { false, "7230\t-1\t-\t5\t" HEX_A "\tA\n" },
                { false, "7230\t4294967296\t-\t5\t" HEX_A "\tA\n" },
                { false, "7230\t7200\t\t5\t" HEX_A "\tA\n" },
                { false, "7230\t7200\t--\t5\t" HEX_A "\tA\n" },
                { false, "7230\t7200\t192.0.2.1\t5\t" HEX_A "\tA\n" },
                { false, "7230\t7200\t192.0.2.1:0\t5\t" HEX_A "\tA\n" },
                { false, "7230\t7200\thost:80\t5\t" HEX_A "\tA\n" },
                { false, "7230\t7200\t-\t-5\t" HEX_A "\tA\n" },
                { false, "7230\t7200\t-\t1099511627777\t" HEX_A "\tA\n" },
                { false, "7230\t7200\t-\t5\tabc\tA\n" },
                { false, "7230\t7200\t-\t5\t" HEX_A "a\tA\n" },
                { false, "7230\t7200\t-\t5\t" HEX_A "\tA\tB\n" },
                { false, "7230\t7200\t-\t5\t" HEX_A "\tA\r\n" },
                { false, "7230\t7200\t-\t5\t" HEX_A "\t\x1b[31m\n" },
                { false, "7230\t7200\t-\t5\t" HEX_A "\t\xff\n" },
                { false, "+" GOOD },
                { false, "-7230\t-\n" },
                { true, GOOD },
                { true, "\n" },
                { true, "+\n" },
                { true, "-\n" },
                { true, "--7230\t-\n" },
                { true, "-7230\n" },
                { true, "-7230\t\n" },
                { true, "-7230\t-\t\n" },
                { true, "-7230\t192.0.2.1:80\n" },
                { true, "-0\t-\n" },
                { true, "-" GOOD },
                { true, "+\t" GOOD },
                { true, "+7230\t7200\t192.0.2.1:80\t5\t" HEX_A "\tA\n" },
        };
        IndexLine l = { .number = 4711 };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                Slice rest = slice_of(table[i].text);

                assert_int_equal(proto_parse_index_line(&rest, table[i].delta, &l), PROTO_BAD);
                assert_ptr_equal(rest.data, table[i].text);
                assert_int_equal(l.number, 4711);
        }
}

static void test_a_title_is_at_most_1_kib(void **state) {
        (void) state;
        for (size_t n = PROTO_TITLE_MAX - 1; n <= PROTO_TITLE_MAX + 1; n++) {
                _cleanup_buf_ Buf b = BUF_INIT(2000);
                IndexLine l;
                Slice rest;

                /* With the longest of all other columns */
                assert_int_equal(buf_append_string(&b,
                                                   "2147483647\t4294967295\t"
                                                   "[1111:1111:1111:1111:1111:1111:1111:1111]:65535\t"
                                                   "1099511627776\t" HEX_A "\t"), 0);
                for (size_t i = 0; i < n; i++)
                        assert_int_equal(buf_append_char(&b, 't'), 0);
                assert_int_equal(buf_append_char(&b, '\n'), 0);
                rest = buf_slice(&b);
                assert_int_equal(proto_parse_index_line(&rest, false, &l), n <= PROTO_TITLE_MAX ? 0 : PROTO_BAD);
        }
}

static void test_an_endless_line_is_refused_early(void **state) {
        char endless[PROTO_INDEX_LINE_MAX];
        Slice rest = { endless, sizeof(endless) };
        IndexLine l;

        (void) state;
        memset(endless, '1', sizeof(endless));
        assert_int_equal(proto_parse_index_line(&rest, false, &l), PROTO_BAD);
        assert_int_equal(proto_parse_index_line(&rest, true, &l), PROTO_BAD);
        rest.size--;
        assert_int_equal(proto_parse_index_line(&rest, false, &l), PROTO_MORE);
}

static void test_index_lines_are_ordered_by_number_then_holder_text(void **state) {
        const IndexLine ascending[] = {
                { .number = 9, .self = true },
                { .number = 9, .holder = endpoint("10.0.0.1:9") },
                { .number = 9, .holder = endpoint("192.0.2.1:10") },
                { .number = 9, .holder = endpoint("192.0.2.1:9") },
                { .number = 9, .holder = endpoint("2.0.0.1:9") },
                { .number = 9, .holder = endpoint("[2001:db8::1]:9") },
                { .number = 10, .self = true },
                { .number = 10, .holder = endpoint("1.0.0.1:9") },
                { .number = RFC_NUMBER_MAX, .self = true },
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(ascending); i++)
                for (size_t k = 0; k < ELEMENTSOF(ascending); k++) {
                        int c = proto_compare_index_lines(&ascending[i], &ascending[k]);

                        assert_int_equal((c > 0) - (c < 0), (i > k) - (i < k));
                }
}

static void test_digest_lines_leave_ttl_and_holder_out(void **state) {
        _cleanup_buf_ Buf b = BUF_INIT(200);
        const Digest d = digest(HEX_A);

        (void) state;
        assert_int_equal(proto_write_digest_line(&b, 7230, 205947, &d, SLICE_LITERAL("A Title")), 0);
        assert_content(&b, "7230\t205947\t" HEX_A "\tA Title\n");
        assert_int_equal(proto_write_digest_line(&b, 7230, 205947, &d, SLICE_LITERAL(N253)), BUF_FULL);
        assert_content(&b, "7230\t205947\t" HEX_A "\tA Title\n");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_each_request_gets_the_status_it_deserves),
                cmocka_unit_test(test_register_is_read_whole),
                cmocka_unit_test(test_pquery_tells_none_from_zero),
                cmocka_unit_test(test_index_query_is_one_of_three),
                cmocka_unit_test(test_a_range_needs_a_digest),
                cmocka_unit_test(test_requests_are_written_as_the_protocol_has_them),
                cmocka_unit_test(test_a_head_that_nobody_takes_is_not_written),
                cmocka_unit_test(test_peek_reads_what_an_error_reply_echoes),
                cmocka_unit_test(test_replies_are_written_as_the_protocol_has_them),
                cmocka_unit_test(test_replies_that_break_the_protocol_are_refused),
                cmocka_unit_test(test_replies_are_read_whole),
                cmocka_unit_test(test_small_texts),
                cmocka_unit_test(test_peer_lines_round_trip),
                cmocka_unit_test(test_peer_lines_may_have_further_columns),
                cmocka_unit_test(test_bad_peer_lines_are_refused),
                cmocka_unit_test(test_index_lines_round_trip),
                cmocka_unit_test(test_bad_index_lines_are_refused),
                cmocka_unit_test(test_a_title_is_at_most_1_kib),
                cmocka_unit_test(test_an_endless_line_is_refused_early),
                cmocka_unit_test(test_index_lines_are_ordered_by_number_then_holder_text),
                cmocka_unit_test(test_digest_lines_leave_ttl_and_holder_out),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
