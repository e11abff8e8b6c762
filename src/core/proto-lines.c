/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/proto.h"

#include "core/text.h"

/* The line at the start of bytes, without its line feed. 0, PROTO_BAD where it is longer than max, PROTO_MORE. */
static int first_line(Slice bytes, size_t max, Slice *ret) {
        size_t within = MIN_OF(bytes.size, max);
        const char *end = within > 0 ? memchr(bytes.data, '\n', within) : NULL;

        if (!end)
                return bytes.size >= max ? PROTO_BAD : PROTO_MORE;
        *ret = (Slice){ bytes.data, (size_t) (end - bytes.data) };
        return 0;
}

static void step_behind(Slice *bytes, Slice line) {
        *bytes = (Slice){ bytes->data + line.size + 1, bytes->size - line.size - 1 };
}

static bool is_shown_text(Slice s, size_t max) {
        return s.size <= max && !text_has_control(s) && text_is_utf8(s);
}

static bool split_columns(Slice *rest, size_t n, Slice *ret) {
        for (size_t i = 0; i < n; i++)
                if (!slice_split(rest, '\t', &ret[i]))
                        return false;
        return true;
}

/* Address, port, id, ttl, and what stands between them. */
#define PEER_LINE_FIXED_MAX (ADDRESS_TEXT_SIZE + 5 + 10 + 10 + 5)

int proto_write_peer_line(Buf *b, const PeerLine *l) {
        char *to;
        int r;

        assert(l->host.size <= PROTO_HOST_MAX);

        r = buf_reserve(b, PEER_LINE_FIXED_MAX + l->host.size);
        if (r != 0)
                return r;
        to = address_put(b->data + b->size, &l->endpoint.address);
        *to++ = '\t';
        to = text_put_decimal(to, l->endpoint.port);
        *to++ = '\t';
        to = text_put_decimal(to, l->id);
        *to++ = '\t';
        to = text_put_decimal(to, l->ttl_sec);
        *to++ = '\t';
        to = text_put_slice(to, l->host);
        *to++ = '\n';
        buf_commit(b, (size_t) (to - b->data) - b->size);
        return 0;
}

int proto_parse_peer_line(Slice *bytes, PeerLine *ret) {
        enum { ADDRESS, PORT, ID, TTL, HOST, N_COLUMNS };
        Slice line, rest, columns[N_COLUMNS];
        uint32_t port;
        PeerLine l;
        int r;

        r = first_line(*bytes, PROTO_PEER_LINE_MAX, &line);
        if (r != 0)
                return r;

        /* Further columns stay in `rest` and are not looked at: a later version may have some. */
        rest = line;
        if (!split_columns(&rest, N_COLUMNS, columns))
                return PROTO_BAD;
        if (address_from_text(columns[ADDRESS], &l.endpoint.address) != 0 ||
            text_to_uint32(columns[PORT], UINT16_MAX, &port) != 0 || port == 0 ||
            text_to_uint32(columns[ID], UINT32_MAX, &l.id) != 0 || l.id == 0 ||
            text_to_uint32(columns[TTL], UINT32_MAX, &l.ttl_sec) != 0 || !is_shown_text(columns[HOST], PROTO_HOST_MAX))
                return PROTO_BAD;

        l.endpoint.port = (uint16_t) port;
        l.host = columns[HOST];
        step_behind(bytes, line);
        *ret = l;
        return 0;
}

static void holder_to_text(const IndexLine *l, char ret[ENDPOINT_TEXT_SIZE]) {
        if (l->self)
                memcpy(ret, "-", sizeof("-"));
        else
                endpoint_to_text(&l->holder, ret);
}

int proto_write_digest_line(Buf *b, uint32_t number, uint64_t size, const Digest *digest, Slice title) {
        char text[DIGEST_TEXT_SIZE];

        assert(is_shown_text(title, PROTO_TITLE_MAX));

        digest_to_text(digest, text);
        return buf_printf(b, "%u\t%llu\t%s\t%.*s\n", (unsigned) number, (unsigned long long) size, text,
                          (int) title.size, title.data);
}

int proto_write_index_line(Buf *b, const IndexLine *l, bool delta) {
        char holder[ENDPOINT_TEXT_SIZE], digest[DIGEST_TEXT_SIZE];

        assert(delta == (l->added != l->removed) && (delta || !l->added));
        assert(!delta || l->self);

        if (l->removed)
                return buf_printf(b, "-%u\t-\n", (unsigned) l->number);

        assert(l->ttl_sec > 0 && is_shown_text(l->title, PROTO_TITLE_MAX));
        holder_to_text(l, holder);
        digest_to_text(&l->digest, digest);
        return buf_printf(b, "%s%u\t%u\t%s\t%llu\t%s\t%.*s\n", delta ? "+" : "", (unsigned) l->number,
                          (unsigned) l->ttl_sec, holder, (unsigned long long) l->size, digest,
                          (int) l->title.size, l->title.data);
}

static int parse_record(Slice rest, IndexLine *l) {
        enum { NUMBER, TTL, HOLDER, SIZE, DIGEST, N_COLUMNS };
        Slice columns[N_COLUMNS];

        if (!split_columns(&rest, N_COLUMNS, columns) || !rest.data)
                return PROTO_BAD;

        l->self = slice_equal(columns[HOLDER], SLICE_LITERAL("-"));
        l->title = rest;
        if (rfc_number_from_wire(columns[NUMBER], &l->number) != 0 ||
            text_to_uint32(columns[TTL], UINT32_MAX, &l->ttl_sec) != 0 || l->ttl_sec == 0 ||
            (!l->self && endpoint_from_text(columns[HOLDER], &l->holder) != 0) ||
            text_to_uint64(columns[SIZE], PROTO_DOCUMENT_BYTES_MAX, &l->size) != 0 ||
            digest_from_text(columns[DIGEST], &l->digest) != 0 || !is_shown_text(l->title, PROTO_TITLE_MAX))
                return PROTO_BAD;
        return 0;
}

static int parse_removal(Slice rest, IndexLine *l) {
        Slice number;

        if (!slice_split(&rest, '\t', &number) || !slice_equal(rest, SLICE_LITERAL("-")) ||
            rfc_number_from_wire(number, &l->number) != 0)
                return PROTO_BAD;
        l->self = true;
        return 0;
}

int proto_parse_index_line(Slice *bytes, bool delta, IndexLine *ret) {
        IndexLine l = { 0 };
        Slice line, record;
        int r;

        r = first_line(*bytes, PROTO_INDEX_LINE_MAX, &line);
        if (r != 0)
                return r;

        record = line;
        if (delta) {
                if (line.size == 0)
                        return PROTO_BAD;
                l.added = line.data[0] == '+';
                l.removed = line.data[0] == '-';
                if (!l.added && !l.removed)
                        return PROTO_BAD;
                record = (Slice){ line.data + 1, line.size - 1 };
        }
        r = l.removed ? parse_removal(record, &l) : parse_record(record, &l);
        if (r != 0)
                return r;
        /* A delta tells of the answering peer's own documents only. */
        if (delta && !l.self)
                return PROTO_BAD;

        step_behind(bytes, line);
        *ret = l;
        return 0;
}

int proto_compare_index_lines(const IndexLine *a, const IndexLine *b) {
        char a_text[ENDPOINT_TEXT_SIZE], b_text[ENDPOINT_TEXT_SIZE];

        if (a->number != b->number)
                return a->number < b->number ? -1 : 1;
        holder_to_text(a, a_text);
        holder_to_text(b, b_text);
        return strcmp(a_text, b_text);
}
