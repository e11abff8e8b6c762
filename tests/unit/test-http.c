/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "core/http.h"
#include "core/text.h"

#define T1994 (UINT64_C(784111777) * USEC_PER_SEC)
#define DATE_1994 "Sun, 06 Nov 1994 08:49:37 GMT"
/* The digest of bytes 0x00 to 0x1f. */
#define HEX "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define TAG "\"" HEX "\""

static const HttpEntity *entity(uint64_t size) {
        static HttpEntity e;

        for (unsigned i = 0; i < DIGEST_SIZE; i++)
                e.digest.bytes[i] = (uint8_t) i;
        e.size = size;
        e.modified_at = T1994 + 5;
        return &e;
}

/* Reads what it is given byte by byte, each time in a block of memory of just that size, until it is whole. */
static int parse(const char *text, MsgHead *head, HttpRequest *ret, const char **ret_why) {
        static char *bytes;     /* the head points into it until the next call */
        const size_t size = strlen(text);

        for (size_t n = 0; n <= size; n++) {
                free(bytes);
                bytes = malloc(n + !n);
                assert_non_null(bytes);
                memcpy(bytes, text, n);
                int r = msg_parse_request((Slice){ bytes, n }, head);
                if (r != MSG_PARTIAL) {
                        assert_int_equal(r, 0);
                        assert_int_equal(n, size);
                        return http_parse_request(head, ret, ret_why);
                }
        }
        free(bytes);
        bytes = NULL;
        return -1;
}

static void done(void) {
        MsgHead head;
        HttpRequest q;
        const char *why;

        assert_int_equal(parse("", &head, &q, &why), -1);
}

static int parse_headers(const char *start, const char *headers, MsgHead *head, HttpRequest *ret,
                         const char **ret_why) {
        _cleanup_buf_ Buf b = BUF_INIT(MSG_HEAD_MAX);

        assert_int_equal(buf_printf(&b, "%s\r\n%s\r\n", start, headers), 0);
        assert_int_equal(buf_append_char(&b, '\0'), 0);
        return parse(b.data, head, ret, ret_why);
}

static void test_targets(void **state) {
        static const struct {
                const char *target;
                int status;
                const char *path;
        } table[] = {
                { "/", 0, "/" },
                { "/rfc/rfc7230.txt", 0, "/rfc/rfc7230.txt" },
                { "/rfc/rfc2147483647.txt", 0, "/rfc/rfc2147483647.txt" },
                { "/?C=N;O=D", 0, "/" },
                { "/rfc/?a=/../b?c", 0, "/rfc/" },
                { "/a?%zz", 0, "/a" },
                /* as proxies have it */
                { "http://alpha/rfc/rfc1.txt", 0, "/rfc/rfc1.txt" },
                { "HTTP://alpha:65424/", 0, "/" },
                { "http://[2001:db8::8]:65424/rfc/", 0, "/rfc/" },
                { "http://alpha", 0, "/" },
                { "http://alpha?x=/y", 0, "/" },
                { "http://a.b.example/http://c/", 0, "/http://c/" },
                { "http://", 400, NULL },
                { "http:///rfc/", 400, NULL },
                { "http://user@alpha/", 400, NULL },
                { "http://user:secret@alpha/", 400, NULL },
                { "http://al\"pha/", 400, NULL },
                { "https://alpha/", 400, NULL },
                { "ftp://alpha/", 400, NULL },
                { "alpha:443", 400, NULL },
                { "*", 400, NULL },
                { "rfc/rfc1.txt", 400, NULL },
                { "?a", 400, NULL },
                /* what is the same either way is decoded, all else stays */
                { "/%72fc/rfc%31.t%78t", 0, "/rfc/rfc1.txt" },
                { "/rfc/rfc1%2etxt", 0, "/rfc/rfc1.txt" },
                { "/%7E%5F%2D%2E%41%7a", 0, "/~_-.Az" },
                { "/rfc%2Frfc1.txt", 0, "/rfc%2Frfc1.txt" },
                { "/rfc%2frfc1.txt", 0, "/rfc%2frfc1.txt" },
                { "/rfc/rfc1.txt%00", 0, "/rfc/rfc1.txt%00" },
                { "/rfc/rfc1.txt%00.html", 0, "/rfc/rfc1.txt%00.html" },
                { "/%2572fc", 0, "/%2572fc" },
                { "/rfc/%2e%2e/etc/passwd", 0, "/rfc/../etc/passwd" },
                { "/%c3%a4%0d%0a", 0, "/%c3%a4%0d%0a" },
                { "/%", 400, NULL },
                { "/%2", 400, NULL },
                { "/%zz", 400, NULL },
                { "/%2g", 400, NULL },
                { "/%+2", 400, NULL },
                /* bytes that no target has */
                { "/a b", 400, NULL },
                { "/\xc3\xa4", 400, NULL },
                { "/a#b", 400, NULL },
                { "/?\xff", 400, NULL },
                /* 63 bytes are a path, more are none that we know */
                { "/23456789.123456789.123456789.123456789.123456789.123456789.123", 0,
                  "/23456789.123456789.123456789.123456789.123456789.123456789.123" },
                { "/23456789.123456789.123456789.123456789.123456789.123456789.1234", 0, "" },
                { "/23456789.123456789.123456789.123456789.123456789.123456789.123456789", 0, "" },
        };
        char line[200];
        MsgHead head;

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                HttpRequest q = { .path = "untouched" };
                const char *why = NULL;

                (void) snprintf(line, sizeof(line), "GET %s HTTP/1.1", table[i].target);
                assert_int_equal(parse_headers(line, "Host: alpha\r\n", &head, &q, &why), table[i].status);
                assert_string_equal(q.path, table[i].status == 0 ? table[i].path : "untouched");
                if (table[i].status != 0)
                        assert_non_null(why);
        }
        done();
}

static void test_requests(void **state) {
        static const struct {
                const char *start, *headers;
                int status;
                bool head, close, keep_alive;
                uint64_t transaction;
        } table[] = {
                { "GET / HTTP/1.1", "Host: a\r\n", 0, .head = false },
                { "HEAD / HTTP/1.1", "Host: a\r\n", 0, .head = true },
                { "GET / HTTP/1.1", "Host:\r\n", 0, .head = false },
                { "GET / HTTP/1.1", "Host: [::1]:65424\r\n", 0, .head = false },
                { "GET / HTTP/1.0", "", 0, .close = true },
                { "HEAD / HTTP/1.0", "", 0, .head = true, .close = true },
                { "GET / HTTP/1.0", "Connection: keep-alive\r\n", 0, .keep_alive = true },
                { "GET / HTTP/1.0", "Connection: Keep-Alive, TE\r\n", 0, .keep_alive = true },
                { "GET / HTTP/1.0", "Connection: keep-alive, close\r\n", 0, .close = true },
                { "GET / HTTP/1.1", "Host: a\r\nConnection: close\r\n", 0, .close = true },
                { "GET / HTTP/1.1", "Host: a\r\nConnection: keep-alive\r\n", 0, .close = false },
                { "GET / HTTP/1.1", "Host: a\r\nTransaction: 00000000000000ff\r\n", 0, .transaction = 255 },
                { "GET / HTTP/1.1", "Host: a\r\nContent-Length: 0\r\n", 0, .close = false },
                { "GET / HTTP/1.1", "Host: a\r\nCookie: a=b\r\nCookie: c=d\r\nTitle: x\r\nTitle: y\r\nX: \xff\r\n", 0,
                  .close = false },
                { "GET / HTTP/1.1", "", 400, .close = false },
                { "GET / HTTP/1.1", "Host: a\r\nhost: a\r\n", 400, .close = false },
                { "GET / HTTP/1.0", "Host: a\r\nHost: b\r\n", 400, .close = true },
                { "GET / HTTP/1.1", "Host: a/b\r\n", 400, .close = false },
                { "GET / HTTP/1.1", "Host: a@b\r\n", 400, .close = false },
                { "GET / HTTP/1.1", "Host: a b\r\n", 400, .close = false },
                { "GET / HTTP/1.1", "Host: \xc3\xa4\r\n", 400, .close = false },
                { "GET http://a/ HTTP/1.1", "", 400, .close = false },
                { "GET / HTTP/1.1", "Host: a\r\nTransaction: x\r\n", 400, .close = false },
                { "GET / HTTP/1.1", "Host: a\r\nTransaction: 00000000000000FF\r\n", 400, .close = false },
                { "GET / HTTP/1.1", "Host: a\r\nTransaction: 0000000000000001\r\nTransaction: 0000000000000001\r\n",
                  400, .transaction = 1 },
                { "GET / HTTP/1.1", "Host: a\r\nRange: bytes=0-\r\nRange: bytes=1-\r\n", 400, .close = false },
                { "GET / HTTP/1.1", "Host: a\r\nIf-Range: \"a\"\r\nIf-Range: \"a\"\r\n", 400, .close = false },
                /* bodies, and what would have somebody else see one */
                { "GET / HTTP/1.1", "Host: a\r\nContent-Length: 1\r\n", 413, .close = false },
                { "GET / HTTP/1.1", "Host: a\r\nContent-Length: 99999999999999999999999999\r\n", 413, .close = false },
                { "POST / HTTP/1.1", "Host: a\r\nContent-Length: 10\r\n", 413, .close = false },
                { "GET / HTTP/1.1", "Host: a\r\nContent-Length: 0\r\nContent-Length: 0\r\n", 400, .close = false },
                { "GET / HTTP/1.1", "Host: a\r\nContent-Length: 0\r\nContent-Length: 10\r\n", 400, .close = false },
                { "GET / HTTP/1.1", "Host: a\r\nContent-Length: 0, 0\r\n", 400, .close = false },
                { "GET / HTTP/1.1", "Host: a\r\nContent-Length:\r\n", 400, .close = false },
                { "GET / HTTP/1.1", "Host: a\r\nContent-Length: -1\r\n", 400, .close = false },
                { "GET / HTTP/1.1", "Host: a\r\nContent-Length: +0\r\n", 400, .close = false },
                { "GET / HTTP/1.1", "Host: a\r\nContent-Length: 0x0\r\n", 400, .close = false },
                { "GET / HTTP/1.1", "Host: a\r\nTransfer-Encoding: chunked\r\n", 400, .close = false },
                { "GET / HTTP/1.1", "Host: a\r\nTransfer-Encoding: identity\r\n", 400, .close = false },
                { "GET / HTTP/1.1", "Host: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n", 400,
                  .close = false },
                { "GET / HTTP/1.0", "Transfer-Encoding: chunked\r\n", 400, .close = true },
                /* methods, and what is wrong first */
                { "POST / HTTP/1.1", "Host: a\r\n", 405, .close = false },
                { "get / HTTP/1.1", "Host: a\r\n", 405, .close = false },
                { "OPTIONS * HTTP/1.1", "Host: a\r\n", 405, .close = false },
                { "CONNECT a:443 HTTP/1.1", "Host: a\r\n", 405, .close = false },
                { "HEADER / HTTP/1.1", "Host: a\r\n", 405, .close = false },
                { "POST / HTTP/1.1", "", 400, .close = false },
                { "GET / HTTP/1.2", "Host: a\r\n", 505, .close = false },
                { "PRI * HTTP/2.0", "", 505, .close = false },
                { "GET / HTTP/2.0", "Host: a\r\nContent-Length: 5\r\n", 505, .close = false },
        };
        MsgHead head;

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                HttpRequest q = { .transaction = 4711 }, peeked;
                const char *why = NULL;

                assert_int_equal(parse_headers(table[i].start, table[i].headers, &head, &q, &why), table[i].status);
                http_peek(&head, &peeked);
                if (table[i].status == 0)
                        assert_true(q.head == table[i].head && q.close == table[i].close &&
                                    q.keep_alive == table[i].keep_alive && q.transaction == table[i].transaction);
                else {
                        /* A sentence that can be shown; and nothing was changed. */
                        assert_int_equal(why[strlen(why) - 1], '.');
                        assert_int_equal(q.transaction, 4711);
                }
                /* What a refusal needs to know is known all the same. */
                assert_true(peeked.head == table[i].head && peeked.close == table[i].close &&
                            peeked.keep_alive == table[i].keep_alive && peeked.transaction == table[i].transaction);
        }
        done();
}

static void test_conditions(void **state) {
        static const struct {
                const char *headers;
                unsigned status;
        } table[] = {
                { "", 200 },
                { "If-None-Match: " TAG "\r\n", 304 },
                { "If-None-Match: W/" TAG "\r\n", 304 },
                { "If-None-Match: *\r\n", 304 },
                { "If-None-Match: \"a\", W/\"b\" ," TAG "\r\n", 304 },
                { "If-None-Match: \"a\"\r\nIf-None-Match: " TAG "\r\n", 304 },
                { "If-None-Match: ,,\t" TAG ",\r\n", 304 },
                { "If-None-Match: \"a,b\"," TAG "\r\n", 304 },
                { "If-None-Match: \"a\"\r\n", 200 },
                { "If-None-Match: " HEX "\r\n", 200 },
                { "If-None-Match: \"" HEX "\r\n", 200 },
                { "If-None-Match: w/" TAG "\r\n", 200 },
                { "If-None-Match: \"a\" x " TAG "\r\n", 200 },
                { "If-None-Match: \"a," TAG "\r\n", 200 },
                { "If-None-Match: \"\"\r\n", 200 },
                { "If-None-Match:\r\n", 200 },
                { "If-None-Match: \"*\"\r\n", 200 },
                { "If-Modified-Since: " DATE_1994 "\r\n", 304 },
                { "If-Modified-Since: Sun, 06 Nov 1994 08:49:38 GMT\r\n", 304 },
                { "If-Modified-Since: Sun, 06 Nov 1994 08:49:36 GMT\r\n", 200 },
                { "If-Modified-Since: Sunday, 06-Nov-94 08:49:37 GMT\r\n", 304 },
                { "If-Modified-Since: Sun Nov  6 08:49:37 1994\r\n", 304 },
                { "If-Modified-Since: Sun Nov  6 08:49:36 1994\r\n", 200 },
                { "If-Modified-Since: yesterday\r\n", 200 },
                { "If-Modified-Since:\r\n", 200 },
                /* A tag is the better word. */
                { "If-Modified-Since: " DATE_1994 "\r\nIf-None-Match: \"a\"\r\n", 200 },
                { "If-Modified-Since: yesterday\r\nIf-None-Match: " TAG "\r\n", 304 },
                { "If-Unmodified-Since: " DATE_1994 "\r\n", 200 },
                { "If-Unmodified-Since: Sun, 06 Nov 1994 08:49:38 GMT\r\n", 200 },
                { "If-Unmodified-Since: Sun, 06 Nov 1994 08:49:36 GMT\r\n", 412 },
                { "If-Unmodified-Since: yesterday\r\n", 200 },
                { "If-Unmodified-Since: Sun, 06 Nov 1994 08:49:36 GMT\r\nIf-Match: " TAG "\r\n", 200 },
                { "If-Unmodified-Since: " DATE_1994 "\r\nIf-None-Match: " TAG "\r\n", 304 },
                { "If-Unmodified-Since: " DATE_1994 "\r\nIf-Modified-Since: " DATE_1994 "\r\n", 304 },
                { "If-Match: " TAG "\r\n", 200 },
                { "If-Match: *\r\n", 200 },
                { "If-Match: \"a\", " TAG "\r\n", 200 },
                { "If-Match: W/" TAG "\r\n", 412 },
                { "If-Match: \"a\"\r\n", 412 },
                { "If-Match:\r\n", 412 },
                { "If-Match: \"a\"\r\nIf-None-Match: " TAG "\r\n", 412 },
                { "If-Match: " TAG "\r\nIf-None-Match: " TAG "\r\n", 304 },
                /* before any range */
                { "If-None-Match: " TAG "\r\nRange: bytes=0-1\r\n", 304 },
                { "If-Match: \"a\"\r\nRange: bytes=0-1\r\n", 412 },
        };
        HttpRequest q;
        MsgHead head;
        const char *why;

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(table); i++)
                for (unsigned method = 0; method < 2; method++) {
                        HttpAnswer a;

                        assert_int_equal(parse_headers(method == 0 ? "GET / HTTP/1.0" : "HEAD / HTTP/1.0",
                                                       table[i].headers, &head, &q, &why), 0);
                        a = http_decide(&q, entity(1000));
                        assert_int_equal(a.status, table[i].status);
                        assert_int_equal(a.size, a.status == 200 ? 1000 : 0);
                }
        done();
}

static void test_dates(void **state) {
        static const struct {
                const char *text;
                int result;
                uint64_t seconds;
        } table[] = {
                { DATE_1994, 0, 784111777 },
                { "Sunday, 06-Nov-94 08:49:37 GMT", 0, 784111777 },
                { "Sun Nov  6 08:49:37 1994", 0, 784111777 },
                { "Sun Nov 16 08:49:37 1994", 0, 784975777 },
                { "Thu, 01 Jan 1970 00:00:00 GMT", 0, 0 },
                { "Wed, 31 Dec 1969 23:59:59 GMT", 0, 0 },
                { "Tue, 29 Feb 2000 00:00:00 GMT", 0, 951782400 },
                { "Wed, 01 Mar 2000 00:00:00 GMT", 0, 951868800 },
                { "Thu, 29 Feb 2024 00:00:00 GMT", 0, 1709164800 },
                { "Fri, 31 Dec 1999 23:59:60 GMT", 0, 946684800 },
                { "Mon, 01 Mar 2100 00:00:00 GMT", 0, 4107542400 },
                { "Fri, 31 Dec 9999 23:59:59 GMT", 0, 253402300799 },
                { "Tuesday, 31-Dec-69 00:00:00 GMT", 0, 3155673600 },
                { "Thursday, 01-Jan-70 00:00:00 GMT", 0, 0 },
                { "Sun, 31 Feb 1994 08:49:37 GMT", TEXT_BAD, 0 },
                { "Thu, 29 Feb 2100 08:49:37 GMT", TEXT_BAD, 0 },
                { "Sun, 00 Nov 1994 08:49:37 GMT", TEXT_BAD, 0 },
                { "Sun, 06 Nov 1994 24:00:00 GMT", TEXT_BAD, 0 },
                { "Sun, 06 Nov 1994 08:60:37 GMT", TEXT_BAD, 0 },
                { "Sun, 06 Nov 1994 08:49:61 GMT", TEXT_BAD, 0 },
                { "Sun, 06 nov 1994 08:49:37 GMT", TEXT_BAD, 0 },
                { "Sun, 06 Nov 1994 08:49:37 CET", TEXT_BAD, 0 },
                { "Sun, 06 Nov 1994 08:49:37", TEXT_BAD, 0 },
                { "Sun, 6 Nov 1994 08:49:37 GMT", TEXT_BAD, 0 },
                { "Sun,06 Nov 1994 08:49:37 GMT", TEXT_BAD, 0 },
                { ", 06 Nov 1994 08:49:37 GMT", TEXT_BAD, 0 },
                { "S1n, 06 Nov 1994 08:49:37 GMT", TEXT_BAD, 0 },
                { "Sun, 06-Nov-1994 08:49:37 GMT", TEXT_BAD, 0 },
                { "Sun Nov 06 08:49:37 94", TEXT_BAD, 0 },
                { "Sun Nov    08:49:37 1994", TEXT_BAD, 0 },
                { "784111777", TEXT_BAD, 0 },
                { "Sun,", TEXT_BAD, 0 },
                { "", TEXT_BAD, 0 },
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                usec_t date = 4711;

                assert_int_equal(http_date_from_text(slice_of(table[i].text), &date), table[i].result);
                assert_int_equal(date, table[i].result == 0 ? table[i].seconds * USEC_PER_SEC : 4711);
        }
        /* What we write ourselves, over some years, hours and leaps. */
        for (uint64_t seconds = 0; seconds < 8000000000; seconds += 9999991) {
                char text[MSG_DATE_SIZE];
                usec_t date;

                msg_date_to_text(seconds * USEC_PER_SEC, text);
                assert_int_equal(http_date_from_text(slice_of(text), &date), 0);
                assert_int_equal(date, seconds * USEC_PER_SEC);
        }
}

static void test_date_of_what_has_none(void **state) {
        HttpEntity e = *entity(1000);
        HttpRequest q;
        MsgHead head;
        const char *why;

        (void) state;
        e.modified_at = 0;
        assert_int_equal(parse_headers("GET / HTTP/1.0", "If-Modified-Since: " DATE_1994 "\r\n"
                                       "If-Unmodified-Since: Thu, 01 Jan 1970 00:00:00 GMT\r\n", &head, &q, &why), 0);
        assert_int_equal(http_decide(&q, &e).status, 200);
        done();
}

static void test_ranges(void **state) {
        static const struct {
                const char *headers;
                uint64_t size;
                unsigned status;
                uint64_t first, n;
        } table[] = {
                { "Range: bytes=0-0\r\n", 1000, 206, 0, 1 },
                { "Range: bytes=0-\r\n", 1000, 206, 0, 1000 },
                { "Range: bytes=10-19\r\n", 1000, 206, 10, 10 },
                { "Range: bytes=999-\r\n", 1000, 206, 999, 1 },
                { "Range: bytes=990-5000\r\n", 1000, 206, 990, 10 },
                { "Range: bytes=990-99999999999999999999999999\r\n", 1000, 206, 990, 10 },
                { "Range: bytes=-1\r\n", 1000, 206, 999, 1 },
                { "Range: bytes=-1000\r\n", 1000, 206, 0, 1000 },
                { "Range: bytes=-5000\r\n", 1000, 206, 0, 1000 },
                { "Range: bytes=-99999999999999999999999999\r\n", 1000, 206, 0, 1000 },
                { "Range: BYTES=007-0009\r\n", 1000, 206, 7, 3 },
                { "Range: bytes= 10-19\r\n", 1000, 206, 10, 10 },
                { "Range: bytes=1000-\r\n", 1000, 416, 0, 0 },
                { "Range: bytes=1000-2000\r\n", 1000, 416, 0, 0 },
                { "Range: bytes=18446744073709551615-\r\n", 1000, 416, 0, 0 },
                { "Range: bytes=99999999999999999999999999-\r\n", 1000, 416, 0, 0 },
                { "Range: bytes=-0\r\n", 1000, 416, 0, 0 },
                { "Range: bytes=0-\r\n", 0, 416, 0, 0 },
                { "Range: bytes=-0\r\n", 0, 416, 0, 0 },
                { "Range: bytes=-5\r\n", 0, 200, 0, 0 },
                /* not served, so all of it */
                { "Range: bytes=0-1,5-6\r\n", 1000, 200, 0, 1000 },
                { "Range: bytes=0-1,\r\n", 1000, 200, 0, 1000 },
                { "Range: lines=0-1\r\n", 1000, 200, 0, 1000 },
                { "Range: bytes 0-1\r\n", 1000, 200, 0, 1000 },
                { "Range: bytes=\r\n", 1000, 200, 0, 1000 },
                { "Range: bytes=-\r\n", 1000, 200, 0, 1000 },
                { "Range: bytes=5\r\n", 1000, 200, 0, 1000 },
                { "Range: bytes=5-4\r\n", 1000, 200, 0, 1000 },
                { "Range: bytes=a-\r\n", 1000, 200, 0, 1000 },
                { "Range: bytes=0-b\r\n", 1000, 200, 0, 1000 },
                { "Range: bytes=0 - 5\r\n", 1000, 200, 0, 1000 },
                { "Range: bytes=--5\r\n", 1000, 200, 0, 1000 },
                { "Range: bytes=+1-5\r\n", 1000, 200, 0, 1000 },
                { "Range:\r\n", 1000, 200, 0, 1000 },
                /* If-Range */
                { "Range: bytes=5-\r\nIf-Range: " TAG "\r\n", 1000, 206, 5, 995 },
                { "Range: bytes=1000-\r\nIf-Range: " TAG "\r\n", 1000, 416, 0, 0 },
                { "Range: bytes=5-\r\nIf-Range: W/" TAG "\r\n", 1000, 200, 0, 1000 },
                { "Range: bytes=5-\r\nIf-Range: \"a\"\r\n", 1000, 200, 0, 1000 },
                { "Range: bytes=1000-\r\nIf-Range: \"a\"\r\n", 1000, 200, 0, 1000 },
                { "Range: bytes=5-\r\nIf-Range: " DATE_1994 "\r\n", 1000, 200, 0, 1000 },
                { "Range: bytes=5-\r\nIf-Range:\r\n", 1000, 200, 0, 1000 },
                { "If-Range: " TAG "\r\n", 1000, 200, 0, 1000 },
                /* together with a condition that holds */
                { "Range: bytes=5-\r\nIf-Match: " TAG "\r\n", 1000, 206, 5, 995 },
                { "Range: bytes=5-\r\nIf-None-Match: \"a\"\r\n", 1000, 206, 5, 995 },
        };
        HttpRequest q;
        MsgHead head;
        const char *why;

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                HttpAnswer a;

                assert_int_equal(parse_headers("GET / HTTP/1.0", table[i].headers, &head, &q, &why), 0);
                a = http_decide(&q, entity(table[i].size));
                assert_int_equal(a.status, table[i].status);
                assert_int_equal(a.first, table[i].first);
                assert_int_equal(a.size, table[i].n);
                /* HEAD knows no range. */
                q.head = true;
                a = http_decide(&q, entity(table[i].size));
                assert_true(a.status == 200 && a.first == 0 && a.size == table[i].size);
        }
        done();
}

static void test_replies(void **state) {
        const struct {
                HttpReply reply;
                const char *text;
        } table[] = {
                { { .status = 200, .entity = entity(1000), .length = 1000, .type = "text/plain", .cache = "max-age=5" },
                  "HTTP/1.1 200 OK\r\nDate: " DATE_1994 "\r\nServer: test/1\r\nContent-Type: text/plain\r\n"
                  "ETag: " TAG "\r\n"
                  "Last-Modified: " DATE_1994 "\r\n"
                  "Repr-Digest: sha-256=:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=:\r\nAccept-Ranges: bytes\r\n"
                  "Cache-Control: max-age=5\r\nX-Content-Type-Options: nosniff\r\nContent-Length: 1000\r\n\r\n" },
                { { .status = 206, .entity = entity(1000), .first = 10, .length = 20, .transaction = 255 },
                  "HTTP/1.1 206 Partial Content\r\nDate: " DATE_1994 "\r\nServer: test/1\r\n"
                  "Transaction: 00000000000000ff\r\n"
                  "ETag: " TAG "\r\nLast-Modified: " DATE_1994 "\r\n"
                  "Repr-Digest: sha-256=:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=:\r\nAccept-Ranges: bytes\r\n"
                  "Content-Range: bytes 10-29/1000\r\nX-Content-Type-Options: nosniff\r\nContent-Length: 20\r\n\r\n" },
                { { .status = 304, .entity = entity(1000), .length = 0, .cache = "no-cache", .keep_alive = true },
                  "HTTP/1.1 304 Not Modified\r\nDate: " DATE_1994 "\r\nServer: test/1\r\nETag: " TAG "\r\n"
                  "Last-Modified: " DATE_1994 "\r\nCache-Control: no-cache\r\nX-Content-Type-Options: nosniff\r\n"
                  "Connection: keep-alive\r\n\r\n" },
                { { .status = 416, .entity = entity(1000), .length = 5, .close = true },
                  "HTTP/1.1 416 Range Not Satisfiable\r\nDate: " DATE_1994 "\r\nServer: test/1\r\n"
                  "Content-Range: bytes */1000\r\nX-Content-Type-Options: nosniff\r\nContent-Length: 5\r\n"
                  "Connection: close\r\n\r\n" },
                { { .status = 301, .location = "/rfc/", .policy = "default-src 'none'" },
                  "HTTP/1.1 301 Moved Permanently\r\nDate: " DATE_1994 "\r\nServer: test/1\r\nLocation: /rfc/\r\n"
                  "X-Content-Type-Options: nosniff\r\nContent-Security-Policy: default-src 'none'\r\n"
                  "Content-Length: 0\r\n\r\n" },
                { { .status = 405, .keep_alive = true },
                  "HTTP/1.1 405 Method Not Allowed\r\nDate: " DATE_1994 "\r\nServer: test/1\r\nAllow: GET, HEAD\r\n"
                  "X-Content-Type-Options: nosniff\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n" },
                { { .status = 503, .retry_after_sec = 1 },
                  "HTTP/1.1 503 Service Unavailable\r\nDate: " DATE_1994 "\r\nServer: test/1\r\nRetry-After: 1\r\n"
                  "X-Content-Type-Options: nosniff\r\nContent-Length: 0\r\n\r\n" },
                /* These close, whatever was asked. */
                { { .status = 431, .keep_alive = true },
                  "HTTP/1.1 431 Request Header Fields Too Large\r\nDate: " DATE_1994 "\r\nServer: test/1\r\n"
                  "X-Content-Type-Options: nosniff\r\nContent-Length: 0\r\nConnection: close\r\n\r\n" },
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                _cleanup_buf_ Buf b = BUF_INIT(MSG_HEAD_MAX);
                MsgHead head;

                assert_int_equal(http_write_reply(&b, &table[i].reply, "test/1", T1994), 0);
                assert_int_equal(b.size, strlen(table[i].text));
                assert_memory_equal(b.data, table[i].text, b.size);
                assert_int_equal(msg_parse_response(buf_slice(&b), &head), 0);
                assert_true(head.version == MSG_HTTP_1_1 && head.status == table[i].reply.status);
                /* All or nothing. */
                for (size_t max = 0; max < b.size; max++) {
                        _cleanup_buf_ Buf small = BUF_INIT(max);

                        assert_int_equal(http_write_reply(&small, &table[i].reply, "test/1", T1994), BUF_FULL);
                        assert_int_equal(small.size, 0);
                }
        }
}

static void test_every_status_has_its_phrase(void **state) {
        static const unsigned known[] = { 200, 206, 301, 304, 400, 404, 405, 408, 412, 413, 416, 431, 500, 503, 505 };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(known); i++)
                assert_string_not_equal(http_phrase(known[i]), "Unknown");
        assert_string_equal(http_phrase(226), "Unknown");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_targets),
                cmocka_unit_test(test_requests),
                cmocka_unit_test(test_conditions),
                cmocka_unit_test(test_dates),
                cmocka_unit_test(test_date_of_what_has_none),
                cmocka_unit_test(test_ranges),
                cmocka_unit_test(test_replies),
                cmocka_unit_test(test_every_status_has_its_phrase),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
