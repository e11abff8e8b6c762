/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/http.h"

#include "core/proto.h"
#include "core/text.h"

#define SCHEME "http://"
/* A host name, a colon, and a port. */
#define HOST_MAX (PROTO_HOST_MAX + 6)

#define WHY_TARGET "The target is a path that starts with \"/\", or http:// with a host and a path."

static size_t count_headers(const MsgHead *head, const char *name) {
        size_t n = 0;

        for (size_t i = 0; i < head->n_headers; i++)
                n += slice_equal_nocase(head->headers[i].name, slice_of(name));
        return n;
}

void http_peek(const MsgHead *head, HttpRequest *ret) {
        const bool old = head->version == MSG_HTTP_1_0;
        HttpRequest q = { .message = head, .head = slice_equal(head->method, SLICE_LITERAL("HEAD")) };
        Slice value;

        q.close = msg_header_has_word(head, "Connection", "close");
        if (!q.close && old) {
                q.keep_alive = msg_header_has_word(head, "Connection", "keep-alive");
                q.close = !q.keep_alive;
        }
        if (msg_header(head, "Transaction", &value) && transaction_from_text(value, &q.transaction) != 0)
                q.transaction = 0;
        *ret = q;
}

/* ---- the target ---- */

static bool is_unreserved(char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
                c == '_' || c == '~';
}

/* A name or an address, and perhaps a port; never a user, who would be there to deceive. */
static bool is_authority(Slice s) {
        for (size_t i = 0; i < s.size; i++)
                if (!is_unreserved(s.data[i]) && !strchr("!$&'()*+,;=:%[]", s.data[i]))
                        return false;
        return s.size <= HOST_MAX;
}

static bool is_target(Slice s) {
        for (size_t i = 0; i < s.size; i++)
                if (s.data[i] <= ' ' || s.data[i] >= 0x7f || s.data[i] == '#')
                        return false;
        return true;
}

/* false: a '%' without two hex digits behind it. */
static bool decode_path(Slice s, char ret[HTTP_PATH_SIZE]) {
        size_t n = 0;

        for (size_t i = 0; i < s.size; i++) {
                char c = s.data[i];
                uint8_t byte;

                if (c == '%') {
                        if (s.size - i < 3 || text_from_hex((Slice){ s.data + i + 1, 2 }, &byte, 1) != 0)
                                return false;
                        if (is_unreserved((char) byte)) {
                                c = (char) byte;
                                i += 2;
                        }
                }
                if (n < HTTP_PATH_SIZE)
                        ret[n++] = c;
        }
        /* Cut, it could be the name of something else. */
        ret[n < HTTP_PATH_SIZE ? n : 0] = '\0';
        return true;
}

/* Origin form, or absolute form as proxies have it: whose name it gives doesn't matter, we are but one. 0, 400. */
static int parse_target(Slice target, char ret[HTTP_PATH_SIZE], const char **ret_why) {
        const Slice scheme = SLICE_LITERAL(SCHEME);
        const char *end;

        *ret_why = WHY_TARGET;
        if (!is_target(target))
                return 400;
        end = memchr(target.data, '?', target.size);
        if (end)
                target.size = (size_t) (end - target.data);

        if (target.size > scheme.size && slice_equal_nocase((Slice){ target.data, scheme.size }, scheme)) {
                Slice host = { target.data + scheme.size, target.size - scheme.size };

                end = memchr(host.data, '/', host.size);
                target = end ? (Slice){ end, (size_t) (host.data + host.size - end) } : SLICE_LITERAL("/");
                if (end)
                        host.size = (size_t) (end - host.data);
                if (host.size == 0 || !is_authority(host))
                        return 400;
        }
        if (target.size == 0 || target.data[0] != '/')
                return 400;
        *ret_why = "In a path, % stands before two hexadecimal digits.";
        return decode_path(target, ret) ? 0 : 400;
}

/* ---- the rest ---- */

/* Is there a body? Then the connection can't be followed any further. 0, 400, 413. */
static int check_framing(const MsgHead *head, const char **ret_why) {
        Slice length;
        bool zero = true;

        *ret_why = "No request has a body here, so none has Transfer-Encoding.";
        if (count_headers(head, "Transfer-Encoding") > 0)
                return 400;
        *ret_why = "Content-Length is one decimal number, and given once.";
        if (count_headers(head, "Content-Length") > 1)
                return 400;
        if (!msg_header(head, "Content-Length", &length))
                return 0;
        for (size_t i = 0; i < length.size; i++) {
                if (length.data[i] < '0' || length.data[i] > '9')
                        return 400;
                zero = zero && length.data[i] == '0';
        }
        if (length.size == 0)
                return 400;
        *ret_why = "No request has a body here.";
        return zero ? 0 : 413;
}

/* 0, 400 */
static int check_headers(const MsgHead *head, uint64_t transaction, const char **ret_why) {
        static const char *const once[] = { "Transaction", "Range", "If-Range", "If-Modified-Since",
                                            "If-Unmodified-Since" };
        size_t n = count_headers(head, "Host");
        Slice host;

        *ret_why = "HTTP/1.1 has one Host header, with the name or address of the server, and perhaps its port.";
        if (n > 1 || (n == 0 && head->version == MSG_HTTP_1_1))
                return 400;
        if (msg_header(head, "Host", &host) && !is_authority(host))
                return 400;
        *ret_why = "Transaction, Range, If-Range, If-Modified-Since and If-Unmodified-Since are given once at most.";
        for (size_t i = 0; i < ELEMENTSOF(once); i++)
                if (count_headers(head, once[i]) > 1)
                        return 400;
        *ret_why = "Transaction is 16 lower-case hexadecimal digits, not all of them 0.";
        return count_headers(head, "Transaction") > 0 && transaction == 0 ? 400 : 0;
}

int http_parse_request(const MsgHead *head, HttpRequest *ret, const char **ret_why) {
        HttpRequest q;
        int r;

        http_peek(head, &q);
        if (head->version != MSG_HTTP_1_0 && head->version != MSG_HTTP_1_1) {
                *ret_why = "HTTP/1.0 and HTTP/1.1 are spoken here.";
                return 505;
        }
        r = check_framing(head, ret_why);
        if (r == 0)
                r = check_headers(head, q.transaction, ret_why);
        if (r != 0)
                return r;
        if (!q.head && !slice_equal(head->method, SLICE_LITERAL("GET"))) {
                *ret_why = "GET and HEAD are all that can be done here.";
                return 405;
        }
        r = parse_target(head->document, q.path, ret_why);
        if (r == 0)
                *ret = q;
        return r;
}
