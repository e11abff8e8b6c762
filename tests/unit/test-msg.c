/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/msg.h"
#include "core/text.h"

typedef int (*Parser)(Slice bytes, MsgHead *ret);

/*
 * Gives the bytes one by one, each time in a block of memory of just that size. Until the last byte of the head the
 * answer is MSG_PARTIAL, and nothing is written; then it is what the whole is.
 */
static int parse_bytewise(Parser parser, Slice bytes, size_t head_size) {
        for (size_t n = 0; n <= bytes.size; n++) {
                _cleanup_free_ char *copy = malloc(n + !n);
                MsgHead h = { .status = 4711 };
                int r;

                assert_non_null(copy);
                memcpy(copy, bytes.data, n);
                r = parser((Slice){ copy, n }, &h);
                if (n < head_size)
                        assert_int_equal(r, MSG_PARTIAL);
                if (r != 0)
                        assert_int_equal(h.status, 4711);
                if (n >= head_size)
                        return r;
        }
        return MSG_PARTIAL;
}

static size_t empty_line(const char *p) {
        return p[0] == '\n' ? 1 : p[0] == '\r' && p[1] == '\n' ? 2 : 0;
}

/* Where the empty line ends that ends the head, told in another way than the parser has it. */
static size_t end_of_head(const char *text, bool request) {
        const char *p = text + (request ? empty_line(text) : 0);
        bool starts_line = true;

        for (; *p; p++) {
                if (starts_line && empty_line(p) > 0)
                        return (size_t) (p - text) + empty_line(p);
                starts_line = *p == '\n';
        }
        return strlen(text) + 1;
}

static void test_request_grammar(void **state) {
        static const struct {
                const char *text;
                int result;
                const char *method, *document;
                MsgVersion version;
        } table[] = {
                { "GET PQuery P2P-DI/1.0\r\n\r\n", 0, "GET", "PQuery", MSG_P2PDI_1_0 },
                { "GET RFC 1234 P2P-DI/1.0\r\n\r\n", 0, "GET", "RFC 1234", MSG_P2PDI_1_0 },
                { "GET a b c P2P-DI/1.0\r\n\r\n", 0, "GET", "a b c", MSG_P2PDI_1_0 },
                { "POST Register P2P-DI/1.0\nPort: 1\n\n", 0, "POST", "Register", MSG_P2PDI_1_0 },
                { "POST Register P2P-DI/1.0\r\nPort: 1\n\r\n", 0, "POST", "Register", MSG_P2PDI_1_0 },
                { "\r\nGET PQuery P2P-DI/1.0\r\n\r\n", 0, "GET", "PQuery", MSG_P2PDI_1_0 },
                { "\nGET PQuery P2P-DI/1.0\r\n\r\nGET", 0, "GET", "PQuery", MSG_P2PDI_1_0 },
                { "GET / HTTP/1.0\r\n\r\n", 0, "GET", "/", MSG_HTTP_1_0 },
                { "HEAD /rfc/rfc1.txt HTTP/1.1\r\nHost: a\r\n\r\n", 0, "HEAD", "/rfc/rfc1.txt", MSG_HTTP_1_1 },
                { "GET PQuery P2P-DI/1.1\r\n\r\n", 0, "GET", "PQuery", MSG_VERSION_OTHER },
                { "GET PQuery p2p-di/1.0\r\n\r\n", 0, "GET", "PQuery", MSG_VERSION_OTHER },
                { "GET PQuery P2P-DI/1.00\r\n\r\n", 0, "GET", "PQuery", MSG_VERSION_OTHER },
                { "PRI * HTTP/2.0\r\n\r\n", 0, "PRI", "*", MSG_HTTP_OTHER },
                { "GET / HTTP/1.2\r\n\r\n", 0, "GET", "/", MSG_HTTP_OTHER },
                { "GET / http/1.1\r\n\r\n", 0, "GET", "/", MSG_VERSION_OTHER },
                { "GET \xc3\xa4 P2P-DI/1.0\r\n\r\n", 0, "GET", "\xc3\xa4", MSG_P2PDI_1_0 },
                { "GET a P2P-DI/1.0\r\nName:value\r\n\r\n", 0, "GET", "a", MSG_P2PDI_1_0 },
                { "GET a P2P-DI/1.0\r\nName:\r\n\r\n", 0, "GET", "a", MSG_P2PDI_1_0 },
                { "GET a P2P-DI/1.0\r\nName: a\tb:c\xff\r\n\r\n", 0, "GET", "a", MSG_P2PDI_1_0 },
                /* start line */
                { "\r\n\r\n", MSG_BAD, NULL, NULL, 0 },
                { "\n\nGET PQuery P2P-DI/1.0\r\n\r\n", MSG_BAD, NULL, NULL, 0 },
                { "GET\r\n\r\n", MSG_BAD, NULL, NULL, 0 },
                { "GET PQuery\r\n\r\n", MSG_BAD, NULL, NULL, 0 },
                { "GET P2P-DI/1.0\r\n\r\n", MSG_BAD, NULL, NULL, 0 },
                { "GET  P2P-DI/1.0\r\n\r\n", MSG_BAD, NULL, NULL, 0 },
                { "GET  PQuery P2P-DI/1.0\r\n\r\n", MSG_BAD, NULL, NULL, 0 },
                { "GET PQuery  P2P-DI/1.0\r\n\r\n", MSG_BAD, NULL, NULL, 0 },
                { "GET RFC  1 P2P-DI/1.0\r\n\r\n", MSG_BAD, NULL, NULL, 0 },
                { "GET PQuery P2P-DI/1.0 \r\n\r\n", MSG_BAD, NULL, NULL, 0 },
                { " GET PQuery P2P-DI/1.0\r\n\r\n", MSG_BAD, NULL, NULL, 0 },
                { "G\xc3\xa4T a P2P-DI/1.0\r\n\r\n", MSG_BAD, NULL, NULL, 0 },
                { "GET a P2P-DI/1.0\xff\r\n\r\n", MSG_BAD, NULL, NULL, 0 },
                { "GET\ta P2P-DI/1.0\r\n\r\n", MSG_BAD, NULL, NULL, 0 },
                { "GET a\tb P2P-DI/1.0\r\n\r\n", MSG_BAD, NULL, NULL, 0 },
                { "GET a\x01 P2P-DI/1.0\r\n\r\n", MSG_BAD, NULL, NULL, 0 },
                { "GET a\x7f P2P-DI/1.0\r\n\r\n", MSG_BAD, NULL, NULL, 0 },
                { "GET a\rb P2P-DI/1.0\r\n\r\n", MSG_BAD, NULL, NULL, 0 },
                { "GET a P2P-DI/1.0\r\r\n\r\n", MSG_BAD, NULL, NULL, 0 },
                /* headers */
                { "GET a P2P-DI/1.0\r\nName: a\r\n folded\r\n\r\n", MSG_BAD, NULL, NULL, 0 },
                { "GET a P2P-DI/1.0\r\nName: a\r\n\tfolded: b\r\n\r\n", MSG_BAD, NULL, NULL, 0 },
                { "GET a P2P-DI/1.0\r\n Name: a\r\n\r\n", MSG_BAD, NULL, NULL, 0 },
                { "GET a P2P-DI/1.0\r\nName : a\r\n\r\n", MSG_BAD, NULL, NULL, 0 },
                { "GET a P2P-DI/1.0\r\nName\t: a\r\n\r\n", MSG_BAD, NULL, NULL, 0 },
                { "GET a P2P-DI/1.0\r\nNa me: a\r\n\r\n", MSG_BAD, NULL, NULL, 0 },
                { "GET a P2P-DI/1.0\r\nName\r\n\r\n", MSG_BAD, NULL, NULL, 0 },
                { "GET a P2P-DI/1.0\r\n: a\r\n\r\n", MSG_BAD, NULL, NULL, 0 },
                { "GET a P2P-DI/1.0\r\nN\xc3\xa4me: a\r\n\r\n", MSG_BAD, NULL, NULL, 0 },
                { "GET a P2P-DI/1.0\r\nNa\x01me: a\r\n\r\n", MSG_BAD, NULL, NULL, 0 },
                { "GET a P2P-DI/1.0\r\nName: a\rPort: 1\r\n\r\n", MSG_BAD, NULL, NULL, 0 },
                { "GET a P2P-DI/1.0\r\nName: a\r\r\n\r\n", MSG_BAD, NULL, NULL, 0 },
                { "GET a P2P-DI/1.0\r\nName: a\x1b[31m\r\n\r\n", MSG_BAD, NULL, NULL, 0 },
                { "GET a P2P-DI/1.0\r\nName: a\x7f\r\n\r\n", MSG_BAD, NULL, NULL, 0 },
                { "GET a P2P-DI/1.0\r\nName: a\x0b\r\n\r\n", MSG_BAD, NULL, NULL, 0 },
                { "GET a P2P-DI/1.0\r\nGood: a\r\nBad\r\nGood: a\r\n\r\n", MSG_BAD, NULL, NULL, 0 },
                { "\x16\x03\x01\x02\n\n", MSG_BAD, NULL, NULL, 0 },
                /* not whole */
                { "", MSG_PARTIAL, NULL, NULL, 0 },
                { "\r\n", MSG_PARTIAL, NULL, NULL, 0 },
                { "GET a P2P-DI/1.0\r\nName: a\r\n", MSG_PARTIAL, NULL, NULL, 0 },
                { "GET a P2P-DI/1.0\r\nName: a\r\n\r", MSG_PARTIAL, NULL, NULL, 0 },
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                Slice bytes = slice_of(table[i].text);
                MsgHead h = { 0 };

                assert_int_equal(msg_parse_request(bytes, &h), table[i].result);
                assert_int_equal(parse_bytewise(msg_parse_request, bytes, end_of_head(table[i].text, true)),
                                 table[i].result);
                if (table[i].result != 0)
                        continue;
                assert_true(slice_equal(h.method, slice_of(table[i].method)));
                assert_true(slice_equal(h.document, slice_of(table[i].document)));
                assert_int_equal(h.version, table[i].version);
                assert_int_equal(h.size, end_of_head(table[i].text, true));
        }
}

static void test_nul_is_a_control_byte(void **state) {
        static const char in_value[] = "GET a P2P-DI/1.0\r\nA: b\0c\r\n\r\n", in_document[] =
                "GET a\0b P2P-DI/1.0\r\n\r\n";
        MsgHead h;

        (void) state;
        assert_int_equal(msg_parse_request(SLICE_LITERAL(in_value), &h), MSG_BAD);
        assert_int_equal(msg_parse_request(SLICE_LITERAL(in_document), &h), MSG_BAD);
        assert_int_equal(msg_parse_request((Slice){ NULL, 0 }, &h), MSG_PARTIAL);
}

static void test_response_grammar(void **state) {
        static const struct {
                const char *text;
                int result;
                unsigned status;
                MsgVersion version;
        } table[] = {
                { "P2P-DI/1.0 200 OK\r\n\r\n", 0, 200, MSG_P2PDI_1_0 },
                { "P2P-DI/1.0 204 No Active Peers\n\n", 0, 204, MSG_P2PDI_1_0 },
                { "P2P-DI/1.0 200 \r\n\r\n", 0, 200, MSG_P2PDI_1_0 },
                { "P2P-DI/1.0 200\r\nTTL: 1\r\n\r\n", 0, 200, MSG_P2PDI_1_0 },
                { "P2P-DI/1.0 999 \xc3\xa4\r\n\r\nbody", 0, 999, MSG_P2PDI_1_0 },
                { "HTTP/1.1 404 Not Found\r\n\r\n", 0, 404, MSG_HTTP_1_1 },
                { "P2P-DI/2.0 505 x\r\n\r\n", 0, 505, MSG_VERSION_OTHER },
                { "\r\n\r\n", MSG_BAD, 0, 0 },
                { "P2P-DI/1.0\r\n\r\n", MSG_BAD, 0, 0 },
                { "P2P-DI/1.0 \r\n\r\n", MSG_BAD, 0, 0 },
                { "P2P-DI/1.0 20 OK\r\n\r\n", MSG_BAD, 0, 0 },
                { "P2P-DI/1.0 2000 OK\r\n\r\n", MSG_BAD, 0, 0 },
                { "P2P-DI/1.0 099 OK\r\n\r\n", MSG_BAD, 0, 0 },
                { "P2P-DI/1.0 2x0 OK\r\n\r\n", MSG_BAD, 0, 0 },
                { "P2P-DI/1.0  200 OK\r\n\r\n", MSG_BAD, 0, 0 },
                { " 200 OK\r\n\r\n", MSG_BAD, 0, 0 },
                { "P2P-DI/1.0 200 O\x01K\r\n\r\n", MSG_BAD, 0, 0 },
                { "P2P-DI/1.0 200 O\rK\r\n\r\n", MSG_BAD, 0, 0 },
                { "P2P-DI/1.0 200 OK\r\nTTL : 1\r\n\r\n", MSG_BAD, 0, 0 },
                { "P2P-DI/1.0 200 OK\r\nTTL: 1\r\n", MSG_PARTIAL, 0, 0 },
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                Slice bytes = slice_of(table[i].text);
                MsgHead h = { 0 };

                assert_int_equal(msg_parse_response(bytes, &h), table[i].result);
                assert_int_equal(parse_bytewise(msg_parse_response, bytes, end_of_head(table[i].text, false)),
                                 table[i].result);
                if (table[i].result != 0)
                        continue;
                assert_int_equal(h.status, table[i].status);
                assert_int_equal(h.version, table[i].version);
        }
}

/* A request of exactly that many bytes. */
static void make_request(Buf *b, size_t size) {
        buf_clear(b);
        assert_int_equal(buf_append_string(b, "GET a P2P-DI/1.0\r\nName: "), 0);
        while (b->size < size - 4)
                assert_int_equal(buf_append_char(b, 'x'), 0);
        assert_int_equal(buf_append_string(b, "\r\n\r\n"), 0);
        assert_int_equal(b->size, size);
}

static void test_a_head_is_at_most_8_kib(void **state) {
        _cleanup_buf_ Buf b = BUF_INIT(100000);
        MsgHead h;

        (void) state;
        make_request(&b, MSG_HEAD_MAX);
        assert_int_equal(parse_bytewise(msg_parse_request, buf_slice(&b), MSG_HEAD_MAX), 0);
        assert_int_equal(msg_parse_request(buf_slice(&b), &h), 0);
        assert_int_equal(h.size, MSG_HEAD_MAX);

        make_request(&b, MSG_HEAD_MAX + 1);
        assert_int_equal(msg_parse_request(buf_slice(&b), &h), MSG_TOO_LARGE);
        assert_int_equal(parse_bytewise(msg_parse_request, buf_slice(&b), MSG_HEAD_MAX), MSG_TOO_LARGE);

        /* The limit is one of the head: what comes behind it doesn't count. */
        make_request(&b, MSG_HEAD_MAX);
        assert_int_equal(buf_append_string(&b, "GET b P2P-DI/1.0\r\n\r\n"), 0);
        assert_int_equal(msg_parse_request(buf_slice(&b), &h), 0);
}

static void test_a_head_has_at_most_64_headers(void **state) {
        (void) state;
        for (unsigned n = 63; n <= 65; n++) {
                _cleanup_buf_ Buf b = BUF_INIT(MSG_HEAD_MAX);
                MsgHead h = { 0 };

                assert_int_equal(msg_begin_request(&b, MSG_P2PDI_1_0, "GET", SLICE_LITERAL("a")), 0);
                for (unsigned i = 0; i < n; i++)
                        assert_int_equal(msg_add_header(&b, "Name", "%u", i), 0);
                assert_int_equal(msg_end(&b), 0);
                assert_int_equal(msg_parse_request(buf_slice(&b), &h), n <= 64 ? 0 : MSG_TOO_LARGE);
                assert_int_equal(h.n_headers, n <= 64 ? n : 0);
        }
}

static void test_pipelined_requests_come_one_by_one(void **state) {
        Slice rest = SLICE_LITERAL("GET a P2P-DI/1.0\r\n\r\nGET b P2P-DI/1.0\nA: 1\n\n\r\nGET c P2P-DI/1.0\r\n\r\nGET");
        const char *expected[] = { "a", "b", "c" };
        MsgHead h;

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(expected); i++) {
                assert_int_equal(msg_parse_request(rest, &h), 0);
                assert_true(slice_equal(h.document, slice_of(expected[i])));
                rest = (Slice){ rest.data + h.size, rest.size - h.size };
        }
        assert_int_equal(msg_parse_request(rest, &h), MSG_PARTIAL);
}

static void test_version_is_known_of_a_bad_request_too(void **state) {
        static const struct {
                const char *text;
                MsgVersion version;
        } table[] = {
                { "GET / HTTP/1.1\r\nBad\r\n\r\n", MSG_HTTP_1_1 },
                { "GET / HTTP/1.0\n", MSG_HTTP_1_0 },
                { "\r\nGET / HTTP/1.1\r\n", MSG_HTTP_1_1 },
                { "GET / HTTP/2.0\r\n", MSG_HTTP_OTHER },
                { "  HTTP/1.1\r\n", MSG_HTTP_1_1 },
                { "GET RFC 1 P2P-DI/1.0\r\n", MSG_P2PDI_1_0 },
                { "GET RFC 1 P2P-DI/2.0\r\n", MSG_VERSION_OTHER },
                { "GET / HTTP/1.1", MSG_VERSION_OTHER },
                { "HTTP/1.1\r\n", MSG_VERSION_OTHER },
                { "\r\n\r\nGET / HTTP/1.1\r\n", MSG_VERSION_OTHER },
                { "\x16\x03\x01\n", MSG_VERSION_OTHER },
                { "", MSG_VERSION_OTHER },
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(table); i++)
                assert_int_equal(msg_spoken_version(slice_of(table[i].text)), table[i].version);
}

static void parse(const char *headers, MsgHead *ret) {
        static Buf b = BUF_INIT(MSG_HEAD_MAX);  /* the head points into it */

        buf_done(&b);
        assert_int_equal(buf_printf(&b, "GET a P2P-DI/1.0\r\n%s\r\n", headers), 0);
        assert_int_equal(msg_parse_request(buf_slice(&b), ret), 0);
        /* keeps leak checkers content: freed by the last call, with no headers */
        if (!*headers)
                buf_done(&b);
}

static void test_headers_are_found_by_name(void **state) {
        Slice value = { NULL, 0 };
        MsgHead h;

        (void) state;
        parse("pOrT:  1 2 \t\r\nHost:\r\nPORT: 3\r\nPortal: 4\r\n", &h);
        assert_true(msg_header(&h, "Port", &value));
        assert_true(slice_equal(value, SLICE_LITERAL("1 2")));
        assert_true(msg_header(&h, "host", &value));
        assert_int_equal(value.size, 0);
        assert_false(msg_header(&h, "Por", &value));
        parse("", &h);
}

static void test_words_of_a_header(void **state) {
        static const struct {
                const char *headers;
                bool close;
        } table[] = {
                { "Connection: close\r\n", true },
                { "connection: CLOSE\r\n", true },
                { "Connection: keep-alive, close\r\n", true },
                { "Connection: a ,\tclose\t, b\r\n", true },
                { "Connection: keep-alive\r\nConnection: close\r\n", true },
                { "Connection: closed\r\n", false },
                { "Connection: not close\r\n", false },
                { "Connection:\r\n", false },
                { "Connections: close\r\n", false },
                { "", false },
        };
        MsgHead h;

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                parse(table[i].headers, &h);
                assert_int_equal(*table[i].headers && msg_header_has_word(&h, "Connection", "close"), table[i].close);
        }
}

static void assert_content(const Buf *b, const char *expected) {
        assert_int_equal(b->size, strlen(expected));
        assert_memory_equal(b->data, expected, b->size);
}

static void test_writers_end_lines_with_crlf(void **state) {
        _cleanup_buf_ Buf b = BUF_INIT(1000);

        (void) state;
        assert_int_equal(msg_begin_request(&b, MSG_P2PDI_1_0, "GET", SLICE_LITERAL("RFC 7230")), 0);
        assert_int_equal(msg_add_header(&b, "Host", "%s", "alpha"), 0);
        assert_int_equal(msg_end(&b), 0);
        assert_content(&b, "GET RFC 7230 P2P-DI/1.0\r\nHost: alpha\r\n\r\n");

        buf_clear(&b);
        assert_int_equal(msg_begin_response(&b, MSG_HTTP_1_1, 404), 0);
        assert_int_equal(msg_end(&b), 0);
        assert_content(&b, "HTTP/1.1 404 Not Found\r\n\r\n");
}

static void test_writers_are_all_or_nothing(void **state) {
        (void) state;
        for (size_t max = 0; max < 12; max++) {
                _cleanup_buf_ Buf b = BUF_INIT(max);

                assert_int_equal(msg_add_header(&b, "Host", "%s", "alph"), max < 12 ? BUF_FULL : 0);
                assert_int_equal(b.size, 0);
        }
}

static void test_dates_are_those_of_rfc_9110(void **state) {
        static const struct {
                uint64_t seconds;
                const char *text;
        } table[] = {
                { 0, "Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n" },
                { 784111777, "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n" },
                { 951782399, "Date: Mon, 28 Feb 2000 23:59:59 GMT\r\n" },
                { 951782400, "Date: Tue, 29 Feb 2000 00:00:00 GMT\r\n" },
                { 951868800, "Date: Wed, 01 Mar 2000 00:00:00 GMT\r\n" },
                { 978307199, "Date: Sun, 31 Dec 2000 23:59:59 GMT\r\n" },
                { 1709164800, "Date: Thu, 29 Feb 2024 00:00:00 GMT\r\n" },
                { 1735689599, "Date: Tue, 31 Dec 2024 23:59:59 GMT\r\n" },
                { 4107542400, "Date: Mon, 01 Mar 2100 00:00:00 GMT\r\n" },
                { 253402300799, "Date: Fri, 31 Dec 9999 23:59:59 GMT\r\n" },
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                _cleanup_buf_ Buf b = BUF_INIT(100);

                assert_int_equal(msg_add_date(&b, "Date", table[i].seconds * USEC_PER_SEC + 999999), 0);
                assert_content(&b, table[i].text);
        }
}

static void test_every_status_has_its_phrase(void **state) {
        static const unsigned known[] = { 200, 204, 206, 226, 304, 400, 401, 403, 404, 405,
                                          408, 413, 416, 429, 431, 500, 503, 505 };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(known); i++)
                assert_string_not_equal(msg_phrase(known[i]), "Unknown");
        assert_string_equal(msg_phrase(401), "Unknown Cookie");
        assert_string_equal(msg_phrase(204), "No Active Peers");
        assert_string_equal(msg_phrase(299), "Unknown");
        assert_string_equal(msg_version_text(MSG_P2PDI_1_0), "P2P-DI/1.0");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_request_grammar),
                cmocka_unit_test(test_nul_is_a_control_byte),
                cmocka_unit_test(test_response_grammar),
                cmocka_unit_test(test_a_head_is_at_most_8_kib),
                cmocka_unit_test(test_a_head_has_at_most_64_headers),
                cmocka_unit_test(test_pipelined_requests_come_one_by_one),
                cmocka_unit_test(test_version_is_known_of_a_bad_request_too),
                cmocka_unit_test(test_headers_are_found_by_name),
                cmocka_unit_test(test_words_of_a_header),
                cmocka_unit_test(test_writers_end_lines_with_crlf),
                cmocka_unit_test(test_writers_are_all_or_nothing),
                cmocka_unit_test(test_dates_are_those_of_rfc_9110),
                cmocka_unit_test(test_every_status_has_its_phrase),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
