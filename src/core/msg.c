/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/msg.h"

#include "core/text.h"

static const char *const version_texts[] = {
        [MSG_P2PDI_1_0] = "P2P-DI/1.0",
        [MSG_HTTP_1_0] = "HTTP/1.0",
        [MSG_HTTP_1_1] = "HTTP/1.1",
};

const char *msg_version_text(MsgVersion version) {
        assert(version < ELEMENTSOF(version_texts));
        return version_texts[version];
}

const char *msg_phrase(unsigned status) {
        switch (status) {
        case 200:
                return "OK";
        case 204:
                return "No Active Peers";
        case 206:
                return "Partial Content";
        case 226:
                return "Delta";
        case 304:
                return "Not Modified";
        case 400:
                return "Bad Request";
        case 401:
                return "Unknown Cookie";
        case 403:
                return "Forbidden";
        case 404:
                return "Not Found";
        case 405:
                return "Method Not Allowed";
        case 408:
                return "Request Timeout";
        case 413:
                return "Content Too Large";
        case 416:
                return "Range Not Satisfiable";
        case 429:
                return "Too Many Requests";
        case 431:
                return "Head Too Large";
        case 500:
                return "Internal Server Error";
        case 503:
                return "Service Unavailable";
        case 505:
                return "Version Not Supported";
        default:
                return "Unknown";
        }
}

/* The next line of *rest without its line end, which *rest then starts behind. false: no line end in it. */
static bool next_line(Slice *rest, Slice *ret) {
        const char *end = rest->size > 0 ? memchr(rest->data, '\n', rest->size) : NULL;

        if (!end)
                return false;
        *ret = (Slice){ rest->data, (size_t) (end - rest->data) };
        *rest = (Slice){ end + 1, rest->size - ret->size - 1 };
        if (ret->size > 0 && ret->data[ret->size - 1] == '\r')
                ret->size--;
        return true;
}

/*
 * Where the head ends, behind its empty line. Only whole heads are looked at more closely: what a head is judged to
 * be never depends on how its bytes came in.
 */
static int find_end(Slice bytes, bool skip_empty, size_t *ret_start, size_t *ret_size) {
        Slice rest = { bytes.data, MIN_OF(bytes.size, (size_t) MSG_HEAD_MAX) }, line;
        size_t start = 0;

        while (next_line(&rest, &line)) {
                size_t size = (size_t) (rest.data - bytes.data);

                if (line.size > 0)
                        skip_empty = false;
                else if (skip_empty) {
                        skip_empty = false;
                        start = size;
                } else {
                        *ret_start = start;
                        *ret_size = size;
                        return 0;
                }
        }
        return bytes.size >= MSG_HEAD_MAX ? MSG_TOO_LARGE : MSG_PARTIAL;
}

/* Visible ASCII and at least a byte of it: what a name, a method and a version are. */
static bool is_word(Slice s) {
        for (size_t i = 0; i < s.size; i++)
                if (s.data[i] <= ' ' || s.data[i] >= 0x7f)
                        return false;
        return s.size > 0;
}

static MsgVersion version_of(Slice s) {
        for (unsigned v = 0; v < ELEMENTSOF(version_texts); v++)
                if (slice_equal(s, slice_of(version_texts[v])))
                        return (MsgVersion) v;
        return slice_starts_with(s, "HTTP/") ? MSG_HTTP_OTHER : MSG_VERSION_OTHER;
}

static int parse_request_line(Slice line, MsgHead *h) {
        const char *first, *last;
        Slice version;

        if (line.size == 0)
                return MSG_BAD;
        first = memchr(line.data, ' ', line.size);
        last = memrchr(line.data, ' ', line.size);
        if (!first || first == last)
                return MSG_BAD;

        h->method = (Slice){ line.data, (size_t) (first - line.data) };
        h->document = (Slice){ first + 1, (size_t) (last - first - 1) };
        version = (Slice){ last + 1, (size_t) (line.data + line.size - last - 1) };
        if (!is_word(h->method) || !is_word(version) || text_has_control(h->document) || h->document.size == 0)
                return MSG_BAD;

        /* Spaces in a document stand single, and between other bytes. */
        if (h->document.data[0] == ' ' || h->document.data[h->document.size - 1] == ' ' ||
            memmem(h->document.data, h->document.size, "  ", 2))
                return MSG_BAD;
        h->version = version_of(version);
        return 0;
}

static int parse_status_line(Slice line, MsgHead *h) {
        Slice rest = line, version, status;
        uint32_t number;

        if (line.size == 0 || !slice_split(&rest, ' ', &version) || !is_word(version) ||
            !slice_split(&rest, ' ', &status))
                return MSG_BAD;
        if (text_to_uint32(status, 999, &number) != 0 || number < 100 || text_has_control(rest))
                return MSG_BAD;

        h->version = version_of(version);
        h->status = number;
        return 0;
}

/* Are tabs the only control bytes in it? */
static bool has_tabs_only(Slice s) {
        for (size_t i = 0; i < s.size; i++) {
                unsigned char c = (unsigned char) s.data[i];

                if ((c < 0x20 && c != '\t') || c == 0x7f)
                        return false;
        }
        return true;
}

static int parse_header(Slice line, MsgHeader *ret) {
        const char *colon = memchr(line.data, ':', line.size);

        if (!colon)
                return MSG_BAD;
        ret->name = (Slice){ line.data, (size_t) (colon - line.data) };
        ret->value = (Slice){ colon + 1, line.size - ret->name.size - 1 };

        /* A folded line starts with a blank, so it fails here too. */
        if (!is_word(ret->name))
                return MSG_BAD;
        if (text_has_control(ret->value) && !has_tabs_only(ret->value))
                return MSG_BAD;
        ret->value = slice_trim(ret->value);
        return 0;
}

static int parse_head(Slice bytes, bool request, MsgHead *ret) {
        MsgHead h = { 0 };
        size_t start;
        Slice rest, line;
        int r;

        r = find_end(bytes, request, &start, &h.size);
        if (r != 0)
                return r;

        rest = (Slice){ bytes.data + start, h.size - start };
        if (!next_line(&rest, &line))
                return MSG_BAD;
        r = request ? parse_request_line(line, &h) : parse_status_line(line, &h);
        if (r != 0)
                return r;

        while (next_line(&rest, &line) && line.size > 0) {
                if (h.n_headers == MSG_HEADERS_MAX)
                        return MSG_TOO_LARGE;
                r = parse_header(line, &h.headers[h.n_headers]);
                if (r != 0)
                        return r;
                h.n_headers++;
        }
        *ret = h;
        return 0;
}

int msg_parse_request(Slice bytes, MsgHead *ret) {
        return parse_head(bytes, true, ret);
}

int msg_parse_response(Slice bytes, MsgHead *ret) {
        return parse_head(bytes, false, ret);
}

MsgVersion msg_spoken_version(Slice bytes) {
        Slice rest = { bytes.data, MIN_OF(bytes.size, (size_t) MSG_HEAD_MAX) }, line;
        const char *last;

        /* One empty line before it is skipped here, too. */
        if (!next_line(&rest, &line) || (line.size == 0 && !next_line(&rest, &line)) || line.size == 0)
                return MSG_VERSION_OTHER;
        last = memrchr(line.data, ' ', line.size);
        if (!last)
                return MSG_VERSION_OTHER;
        return version_of((Slice){ last + 1, (size_t) (line.data + line.size - last - 1) });
}

bool msg_header(const MsgHead *h, const char *name, Slice *ret) {
        for (size_t i = 0; i < h->n_headers; i++)
                if (slice_equal_nocase(h->headers[i].name, slice_of(name))) {
                        *ret = h->headers[i].value;
                        return true;
                }
        return false;
}

bool msg_header_has_word(const MsgHead *h, const char *name, const char *word) {
        for (size_t i = 0; i < h->n_headers; i++) {
                Slice rest = h->headers[i].value, item;

                if (!slice_equal_nocase(h->headers[i].name, slice_of(name)))
                        continue;
                while (slice_split(&rest, ',', &item))
                        if (slice_equal_nocase(slice_trim(item), slice_of(word)))
                                return true;
        }
        return false;
}

int msg_begin_request(Buf *b, MsgVersion version, const char *method, Slice document) {
        assert(!text_has_control(document) && document.size > 0);
        return buf_printf(b, "%s %.*s %s\r\n", method, (int) document.size, document.data, msg_version_text(version));
}

int msg_begin_response(Buf *b, MsgVersion version, unsigned status) {
        const Slice version_text = slice_of(msg_version_text(version)), phrase = slice_of(msg_phrase(status));
        char line[64], *to = line;

        assert(version_text.size + phrase.size + TEXT_DECIMAL_MAX + 4 <= sizeof(line));
        to = text_put_slice(to, version_text);
        *to++ = ' ';
        to = text_put_decimal(to, status);
        *to++ = ' ';
        to = text_put_slice(to, phrase);
        to = text_put_slice(to, SLICE_LITERAL("\r\n"));
        return buf_append(b, line, (size_t) (to - line));
}

int msg_add_header(Buf *b, const char *name, const char *format, ...) {
        const size_t start = b->size;
        size_t value;
        va_list ap;
        int r;

        r = buf_printf(b, "%s: ", name);
        if (r != 0)
                return r;
        value = b->size;

        va_start(ap, format);
        r = buf_vprintf(b, format, ap);
        va_end(ap);
        if (r == 0) {
                assert(!text_has_control((Slice){ b->data + value, b->size - value }));
                r = buf_append(b, "\r\n", 2);
        }
        if (r != 0)
                buf_truncate(b, start);
        return r;
}

int msg_add_text(Buf *b, const char *name, Slice value) {
        const Slice name_slice = slice_of(name);
        char *to;
        int r;

        assert(!text_has_control(value));
        r = buf_reserve(b, name_slice.size + value.size + 4);
        if (r != 0)
                return r;
        to = text_put_slice(b->data + b->size, name_slice);
        to = text_put_slice(to, SLICE_LITERAL(": "));
        to = text_put_slice(to, value);
        to = text_put_slice(to, SLICE_LITERAL("\r\n"));
        buf_commit(b, (size_t) (to - b->data) - b->size);
        return 0;
}

static char *put_two_digits(char *to, unsigned value) {
        *to++ = (char) ('0' + value / 10 % 10);
        *to++ = (char) ('0' + value % 10);
        return to;
}

void msg_date_to_text(usec_t realtime, char ret[MSG_DATE_SIZE]) {
        static const char weekdays[][4] = { "Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed" };
        static const char months[][4] = { "Mar", "Apr", "May", "Jun", "Jul", "Aug",
                                          "Sep", "Oct", "Nov", "Dec", "Jan", "Feb" };
        const uint64_t seconds = realtime / USEC_PER_SEC, days = seconds / 86400;
        uint64_t era, year;
        unsigned day, month;
        char *to = ret;

        /* Civil date from days, counted in years that start in March: a leap day is then the last day of a year. */
        era = (days + 719468) / 146097;
        day = (unsigned) ((days + 719468) % 146097);
        year = (day - day / 1460 + day / 36524 - day / 146096) / 365;
        day -= (unsigned) (365 * year + year / 4 - year / 100);
        month = (5 * day + 2) / 153;
        day = day - (153 * month + 2) / 5 + 1;
        year += era * 400 + (month >= 10);

        /* It stands in every head: "Thu, 01 Jan 1970 00:00:00 GMT", and what realtime can hold has no longer year. */
        to = text_put_slice(to, (Slice){ weekdays[days % 7], 3 });
        to = text_put_slice(to, SLICE_LITERAL(", "));
        to = put_two_digits(to, day);
        *to++ = ' ';
        to = text_put_slice(to, (Slice){ months[month], 3 });
        *to++ = ' ';
        to = text_put_decimal(to, year);
        *to++ = ' ';
        to = put_two_digits(to, (unsigned) (seconds / 3600 % 24));
        *to++ = ':';
        to = put_two_digits(to, (unsigned) (seconds / 60 % 60));
        *to++ = ':';
        to = put_two_digits(to, (unsigned) (seconds % 60));
        memcpy(to, " GMT", sizeof(" GMT"));
}

int msg_add_date(Buf *b, const char *name, usec_t realtime) {
        char text[MSG_DATE_SIZE];

        msg_date_to_text(realtime, text);
        return msg_add_text(b, name, slice_of(text));
}

int msg_end(Buf *b) {
        return buf_append(b, "\r\n", 2);
}
