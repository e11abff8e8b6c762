/* SPDX-License-Identifier: BSD-2-Clause */
/* What is answered to a request whose path is known, and how it is written. */
#include "core/http.h"
#include "core/proto.h"
#include "core/text.h"

#define RANGE_UNIT "bytes="
#define ETAG_SIZE (DIGEST_TEXT_SIZE + 2)
/* Four letters for each three bytes. */
#define BASE64_SIZE ((DIGEST_SIZE + 2) / 3 * 4 + 1)

const char *http_phrase(unsigned status) {
        switch (status) {
        case 200:
                return "OK";
        case 206:
                return "Partial Content";
        case 301:
                return "Moved Permanently";
        case 304:
                return "Not Modified";
        case 400:
                return "Bad Request";
        case 404:
                return "Not Found";
        case 405:
                return "Method Not Allowed";
        case 408:
                return "Request Timeout";
        case 412:
                return "Precondition Failed";
        case 413:
                return "Content Too Large";
        case 416:
                return "Range Not Satisfiable";
        case 431:
                return "Request Header Fields Too Large";
        case 500:
                return "Internal Server Error";
        case 503:
                return "Service Unavailable";
        case 505:
                return "HTTP Version Not Supported";
        default:
                return "Unknown";
        }
}

static void etag_to_text(const Digest *d, char ret[ETAG_SIZE]) {
        ret[0] = '"';
        digest_to_text(d, ret + 1);
        memcpy(ret + ETAG_SIZE - 2, "\"", 2);
}

/* ---- conditions ---- */

/*
 * The next tag of a list, with its quotes; commas and blanks around it are passed over. false: the end, or nothing that
 * could be read.
 */
static bool next_tag(Slice *rest, bool *ret_weak, Slice *ret) {
        const char *end;

        while (rest->size > 0 && strchr(", \t", rest->data[0]))
                *rest = (Slice){ rest->data + 1, rest->size - 1 };
        *ret_weak = slice_starts_with(*rest, "W/");
        if (*ret_weak)
                *rest = (Slice){ rest->data + 2, rest->size - 2 };
        if (rest->size < 2 || rest->data[0] != '"')
                return false;
        end = memchr(rest->data + 1, '"', rest->size - 1);
        if (!end)
                return false;
        *ret = (Slice){ rest->data, (size_t) (end + 1 - rest->data) };
        *rest = (Slice){ end + 1, rest->size - ret->size };
        return true;
}

/* Does one of the tags of these headers name it, or "*" whatever there is? */
static bool names_entity(const HttpRequest *q, const char *header, const HttpEntity *e, bool take_weak) {
        const MsgHead *h = q->message;
        char etag[ETAG_SIZE];

        etag_to_text(&e->digest, etag);
        for (size_t i = 0; i < h->n_headers; i++) {
                Slice rest = h->headers[i].value, tag;
                bool weak;

                if (!slice_equal_nocase(h->headers[i].name, slice_of(header)))
                        continue;
                if (slice_equal(rest, SLICE_LITERAL("*")))
                        return true;
                while (next_tag(&rest, &weak, &tag))
                        if ((take_weak || !weak) && slice_equal(tag, slice_of(etag)))
                                return true;
        }
        return false;
}

/* Is that header a date, and is something known about it? Then whether the document is of that second or older. */
static bool is_dated(const HttpRequest *q, const char *header, const HttpEntity *e, bool *ret_older) {
        usec_t date;
        Slice value;

        if (e->modified_at == 0 || !msg_header(q->message, header, &value) || http_date_from_text(value, &date) != 0)
                return false;
        *ret_older = e->modified_at / USEC_PER_SEC <= date / USEC_PER_SEC;
        return true;
}

/* 0: go on; 304, 412. */
static unsigned check_conditions(const HttpRequest *q, const HttpEntity *e) {
        bool older;
        Slice value;

        if (msg_header(q->message, "If-Match", &value)) {
                if (!names_entity(q, "If-Match", e, false))
                        return 412;
        } else if (is_dated(q, "If-Unmodified-Since", e, &older) && !older)
                return 412;
        if (msg_header(q->message, "If-None-Match", &value))
                return names_entity(q, "If-None-Match", e, true) ? 304 : 0;
        return is_dated(q, "If-Modified-Since", e, &older) && older ? 304 : 0;
}

/* ---- ranges ---- */

/* Digits, as many as there are; what is too big to count is as big as can be. */
static bool parse_position(Slice s, uint64_t *ret) {
        uint64_t value = 0;

        for (size_t i = 0; i < s.size; i++) {
                if (s.data[i] < '0' || s.data[i] > '9')
                        return false;
                value = value > (UINT64_MAX - 9) / 10 ? UINT64_MAX : value * 10 + (uint64_t) (s.data[i] - '0');
        }
        *ret = value;
        return s.size > 0;
}

/* false: no range that is served, so all of it is. */
static bool parse_range(Slice value, const HttpEntity *e, HttpAnswer *ret) {
        const Slice unit = SLICE_LITERAL(RANGE_UNIT);
        uint64_t first, last = UINT64_MAX;
        Slice rest, part;

        if (value.size < unit.size || !slice_equal_nocase((Slice){ value.data, unit.size }, unit))
                return false;
        rest = slice_trim((Slice){ value.data + unit.size, value.size - unit.size });
        if (!memchr(rest.data, '-', rest.size) || !slice_split(&rest, '-', &part))
                return false;
        if (part.size == 0) {           /* the last bytes */
                if (!parse_position(rest, &last) || (last > 0 && e->size == 0))
                        return false;
                first = e->size - MIN_OF(last, e->size);
                last = UINT64_MAX;
        } else if (!parse_position(part, &first) || (rest.size > 0 && !parse_position(rest, &last)) || first > last)
                return false;

        if (first >= e->size)
                *ret = (HttpAnswer){ .status = 416 };
        else
                *ret = (HttpAnswer){ 206, first, MIN_OF(last, e->size - 1) - first + 1 };
        return true;
}

/* Neither a weak tag nor a date names bytes. */
static bool range_counts(const HttpRequest *q, const HttpEntity *e) {
        Slice value;

        return !q->head && (!msg_header(q->message, "If-Range", &value) || names_entity(q, "If-Range", e, false));
}

HttpAnswer http_decide(const HttpRequest *q, const HttpEntity *e) {
        HttpAnswer answer = { .status = check_conditions(q, e) };
        Slice value;

        if (answer.status != 0)
                return answer;
        if (msg_header(q->message, "Range", &value) && range_counts(q, e) && parse_range(value, e, &answer))
                return answer;
        return (HttpAnswer){ 200, 0, e->size };
}

/* ---- writing ---- */

static void digest_to_base64(const Digest *d, char ret[BASE64_SIZE]) {
        static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        char *p = ret;

        for (size_t i = 0; i < DIGEST_SIZE; i += 3) {
                const size_t n = MIN_OF(DIGEST_SIZE - i, (size_t) 3);
                uint32_t bits = (uint32_t) d->bytes[i] << 16;

                if (n > 1)
                        bits |= (uint32_t) d->bytes[i + 1] << 8;
                if (n > 2)
                        bits |= d->bytes[i + 2];
                for (size_t k = 0; k < 4; k++)
                        *p++ = k <= n ? letters[bits >> (18 - 6 * k) & 63] : '=';
        }
        *p = '\0';
}

static int write_entity(Buf *b, const HttpReply *p) {
        const HttpEntity *e = p->entity;
        char etag[ETAG_SIZE], base64[BASE64_SIZE];
        int r;

        if (p->status == 416)
                return msg_add_header(b, "Content-Range", "bytes */%llu", (unsigned long long) e->size);
        etag_to_text(&e->digest, etag);
        r = msg_add_header(b, "ETag", "%s", etag);
        if (r == 0 && e->modified_at > 0)
                r = msg_add_date(b, "Last-Modified", e->modified_at);
        if (r != 0 || p->status == 304 || p->status == 412)
                return r;

        digest_to_base64(&e->digest, base64);
        r = msg_add_header(b, "Repr-Digest", "sha-256=:%s:", base64);
        if (r == 0)
                r = msg_add_header(b, "Accept-Ranges", "bytes");
        if (r == 0 && p->status == 206)
                r = msg_add_header(b, "Content-Range", "bytes %llu-%llu/%llu", (unsigned long long) p->first,
                                   (unsigned long long) (p->first + p->length - 1), (unsigned long long) e->size);
        return r;
}

static int write_text(Buf *b, const char *name, const char *value) {
        return value ? msg_add_header(b, name, "%s", value) : 0;
}

static int write_fields(Buf *b, const HttpReply *p) {
        const bool close = p->close || proto_status_closes(p->status);
        char transaction[TRANSACTION_TEXT_SIZE];
        int r = 0;

        if (p->transaction != 0) {
                transaction_to_text(p->transaction, transaction);
                r = write_text(b, "Transaction", transaction);
        }
        if (r == 0)
                r = write_text(b, "Location", p->location);
        if (r == 0 && p->status == 405)
                r = write_text(b, "Allow", "GET, HEAD");
        if (r == 0 && p->retry_after_sec > 0)
                r = msg_add_header(b, "Retry-After", "%u", (unsigned) p->retry_after_sec);
        if (r == 0)
                r = write_text(b, "Content-Type", p->type);
        if (r == 0 && p->entity)
                r = write_entity(b, p);
        if (r == 0)
                r = write_text(b, "Cache-Control", p->cache);
        if (r == 0)
                r = write_text(b, "X-Content-Type-Options", "nosniff");
        if (r == 0)
                r = write_text(b, "Content-Security-Policy", p->policy);
        if (r == 0 && p->status != 304)
                r = msg_add_header(b, "Content-Length", "%llu", (unsigned long long) p->length);
        if (r == 0)
                r = write_text(b, "Connection", close ? "close" : p->keep_alive ? "keep-alive" : NULL);
        return r;
}

int http_write_reply(Buf *b, const HttpReply *p, const char *server, usec_t realtime) {
        const size_t start = b->size;
        int r;

        r = buf_printf(b, "%s %u %s", msg_version_text(MSG_HTTP_1_1), p->status, http_phrase(p->status));
        if (r == 0)
                r = msg_end(b);         /* of the line */
        if (r == 0)
                r = msg_add_date(b, "Date", realtime);
        if (r == 0)
                r = write_text(b, "Server", server);
        if (r == 0)
                r = write_fields(b, p);
        if (r == 0)
                r = msg_end(b);
        if (r != 0)
                buf_truncate(b, start);
        return r;
}
