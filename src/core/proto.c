/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/proto.h"

#include <stdio.h>

#include "core/proto-fields.h"
#include "core/text.h"

#define RFC_PREFIX "RFC "
#define RANGE_PREFIX "bytes="

/* The document of a GetRFC goes on with the number. */
static const struct {
        const char *operation, *method, *document;
        ProtoFace face;
} verbs[_VERB_MAX] = {
        [VERB_REGISTER] = { "register", "POST", "Register", PROTO_REGISTRATION },
        [VERB_LEAVE] = { "leave", "POST", "Leave", PROTO_REGISTRATION },
        [VERB_KEEPALIVE] = { "keepalive", "POST", "KeepAlive", PROTO_REGISTRATION },
        [VERB_PQUERY] = { "list-peers", "GET", "PQuery", PROTO_REGISTRATION },
        [VERB_RFC_INDEX] = { "get-index", "GET", "RFC-Index", PROTO_PEER },
        [VERB_GET_RFC] = { "get-rfc", "GET", RFC_PREFIX, PROTO_PEER },
        [VERB_GET_EDITOR_INDEX] = { "get-editor-index", "GET", "RFC-Editor-Index", PROTO_PEER },
};

bool verb_is_get(Verb v) {
        assert(v < _VERB_MAX);
        return strcmp(verbs[v].method, "GET") == 0;
}

const char *verb_operation(Verb v) {
        assert(v < _VERB_MAX);
        return verbs[v].operation;
}

int generation_from_text(Slice s, Generation *ret) {
        Slice epoch;
        Generation g;

        if (!slice_split(&s, '.', &epoch) || text_to_uint64(epoch, UINT64_MAX, &g.epoch) != 0 ||
            text_to_uint64(s, UINT64_MAX, &g.number) != 0)
                return TEXT_BAD;
        *ret = g;
        return 0;
}

void generation_to_text(Generation g, char ret[GENERATION_TEXT_SIZE]) {
        (void) snprintf(ret, GENERATION_TEXT_SIZE, "%llu.%llu",
                        (unsigned long long) g.epoch, (unsigned long long) g.number);
}

void transaction_to_text(uint64_t transaction, char ret[TRANSACTION_TEXT_SIZE]) {
        (void) snprintf(ret, TRANSACTION_TEXT_SIZE, "%016llx", (unsigned long long) transaction);
}

int transaction_from_text(Slice s, uint64_t *ret) {
        uint8_t bytes[8];
        uint64_t value = 0;

        for (size_t i = 0; i < s.size; i++)
                if (s.data[i] >= 'A' && s.data[i] <= 'F')
                        return TEXT_BAD;
        if (text_from_hex(s, bytes, sizeof(bytes)) != 0)
                return TEXT_BAD;
        for (size_t i = 0; i < sizeof(bytes); i++)
                value = value << 8 | bytes[i];
        if (value == 0)
                return TEXT_BAD;
        *ret = value;
        return 0;
}

bool proto_status_closes(unsigned status) {
        return status == 400 || status == 408 || status == 413 || status == 431 || status == 505;
}

void proto_peek(const MsgHead *head, uint64_t *ret_transaction, bool *ret_close) {
        uint64_t transaction = 0;
        Slice value;

        if (msg_header(head, field_name(FIELD_TRANSACTION), &value) && transaction_from_text(value, &transaction) != 0)
                transaction = 0;
        *ret_transaction = transaction;
        *ret_close = msg_header_has_word(head, field_name(FIELD_CONNECTION), "close");
}

static bool all_digits(Slice s) {
        for (size_t i = 0; i < s.size; i++)
                if (s.data[i] < '0' || s.data[i] > '9')
                        return false;
        return s.size > 0;
}

/* Is there a body? Then the connection can't be followed any further. 0, 400, 413. */
static int check_framing(const Fields *f) {
        Slice length = f->values[FIELD_CONTENT_LENGTH];
        uint64_t value;

        if (fields_have(f, FIELD_TRANSFER_ENCODING))
                return 400;
        if (!fields_have(f, FIELD_CONTENT_LENGTH))
                return 0;
        if (text_to_uint64(length, UINT64_MAX, &value) != 0)
                /* A number that has more digits than we can count is a length all the same. */
                return all_digits(length) && length.data[0] != '0' ? 413 : 400;
        return value == 0 ? 0 : 413;
}

/* What is asked for. 0, 400, 404, 405. */
static int find_verb(const MsgHead *head, ProtoFace face, Verb *ret, uint32_t *ret_rfc) {
        const Slice get = SLICE_LITERAL("GET"), post = SLICE_LITERAL("POST");
        uint32_t rfc = 0;
        unsigned v;

        /* A native document is a name, never a path: nobody gets near a file system by it. */
        if (memchr(head->document.data, '/', head->document.size) ||
            memmem(head->document.data, head->document.size, "..", 2))
                return 400;
        if (!slice_equal(head->method, get) && !slice_equal(head->method, post))
                return 405;

        for (v = 0; v < _VERB_MAX; v++) {
                if (verbs[v].face != face)
                        continue;
                if (v == VERB_GET_RFC ? slice_starts_with(head->document, RFC_PREFIX)
                                      : slice_equal(head->document, slice_of(verbs[v].document)))
                        break;
        }
        if (v == _VERB_MAX)
                return 404;
        if (v == VERB_GET_RFC) {
                const size_t n = sizeof(RFC_PREFIX) - 1;
                Slice number = { head->document.data + n, head->document.size - n };

                if (rfc_number_from_wire(number, &rfc) != 0)
                        return all_digits(number) ? 400 : 404;
        }
        if (!slice_equal(head->method, slice_of(verbs[v].method)))
                return 405;

        *ret = (Verb) v;
        *ret_rfc = rfc;
        return 0;
}

static int parse_registration(const Fields *f, Request *q) {
        uint32_t port = 0;

        if (fields_uint64(f, FIELD_COOKIE, 1, PROTO_COOKIE_MAX, &q->cookie) != 0)
                return 400;
        if (q->verb != VERB_REGISTER && q->cookie == 0)
                return 400;

        if (q->verb == VERB_REGISTER) {
                if (fields_uint32(f, FIELD_PORT, 1, UINT16_MAX, &port) != 0 || port == 0 ||
                    fields_address(f, FIELD_ADVERTISE, &q->has_advertise, &q->advertise) != 0)
                        return 400;
                q->port = (uint16_t) port;
        }
        if (q->verb == VERB_PQUERY) {
                if (fields_uint32(f, FIELD_LIMIT, 1, UINT32_MAX, &q->limit) != 0 ||
                    fields_uint32(f, FIELD_AFTER, 0, UINT32_MAX, &q->after) != 0)
                        return 400;
                q->has_after = fields_have(f, FIELD_AFTER);
        }
        return 0;
}

/* 0, 400, -ENOMEM */
static int parse_index_query(const Fields *f, Request *q) {
        int r;

        if (fields_generation(f, FIELD_IF_GENERATION, &q->has_if_generation, &q->if_generation) != 0)
                return 400;
        if (!fields_have(f, FIELD_RFC))
                return 0;
        if (q->has_if_generation)
                return 400;
        r = rfc_set_from_wire(f->values[FIELD_RFC], &q->rfcs);
        return r > 0 ? 400 : r;
}

/*
 * A range counts only for a document that If-Digest names. Of other forms than "bytes=N-" it is ignored, as HTTP
 * does: the whole document is always a right answer.
 */
static int parse_range(const Fields *f, Request *q) {
        const size_t n = sizeof(RANGE_PREFIX) - 1;
        Slice value = f->values[FIELD_RANGE];

        if (fields_digest(f, FIELD_IF_DIGEST, &q->has_if_digest, &q->if_digest) != 0)
                return 400;
        if (!q->has_if_digest || !fields_have(f, FIELD_RANGE) || !slice_starts_with(value, RANGE_PREFIX))
                return 0;
        value = (Slice){ value.data + n, value.size - n };
        if (value.size == 0 || value.data[value.size - 1] != '-')
                return 0;
        value.size--;
        if (!all_digits(value))
                return 0;
        if (text_to_uint64(value, UINT64_MAX, &q->range_first) != 0)
                return 400;
        q->has_range = true;
        return 0;
}

int proto_parse_request(const MsgHead *head, ProtoFace face, Request *ret) {
        _cleanup_request_ Request q = { 0 };
        Fields f;
        int r;

        if (head->version != MSG_P2PDI_1_0)
                return 505;
        if (fields_collect(head, &f) != 0)
                return 400;
        r = check_framing(&f);
        if (r != 0)
                return r;
        r = find_verb(head, face, &q.verb, &q.rfc);
        if (r != 0)
                return r;

        q.version = head->version;
        q.close = msg_header_has_word(head, field_name(FIELD_CONNECTION), "close");
        if (fields_transaction(&f, &q.transaction) != 0 || fields_text(&f, FIELD_HOST, PROTO_HOST_MAX, &q.host) != 0 ||
            fields_text(&f, FIELD_OS, PROTO_OS_MAX, &q.os) != 0)
                return 400;

        if (face == PROTO_REGISTRATION)
                r = parse_registration(&f, &q);
        else if (q.verb == VERB_RFC_INDEX)
                r = parse_index_query(&f, &q);
        else
                r = parse_range(&f, &q);
        if (r != 0)
                return r;

        *ret = q;
        q = (Request){ 0 };
        return 0;
}

void request_done(Request *r) {
        rfc_set_done(&r->rfcs);
        *r = (Request){ 0 };
}

static int write_registration(Buf *b, const Request *q) {
        int r = 0;

        if (q->port > 0)
                r = fields_add_uint(b, FIELD_PORT, q->port);
        if (r == 0 && q->cookie > 0)
                r = fields_add_uint(b, FIELD_COOKIE, q->cookie);
        if (r == 0 && q->has_advertise)
                r = fields_add_address(b, FIELD_ADVERTISE, &q->advertise);
        if (r == 0 && q->limit > 0)
                r = fields_add_uint(b, FIELD_LIMIT, q->limit);
        if (r == 0 && q->has_after)
                r = fields_add_uint(b, FIELD_AFTER, q->after);
        return r;
}

static int write_numbers(Buf *b, const RfcSet *rfcs) {
        int r;

        r = buf_printf(b, "%s: ", field_name(FIELD_RFC));
        if (r == 0)
                r = rfc_set_to_wire(rfcs, b);
        if (r == 0)
                r = msg_end(b);
        return r;
}

static int write_peer(Buf *b, const Request *q) {
        int r = 0;

        if (q->has_if_generation)
                r = fields_add_generation(b, FIELD_IF_GENERATION, q->if_generation);
        if (r == 0 && q->rfcs.n_ranges > 0)
                r = write_numbers(b, &q->rfcs);
        if (r == 0 && q->has_range)
                r = msg_add_header(b, field_name(FIELD_RANGE), RANGE_PREFIX "%llu-",
                                   (unsigned long long) q->range_first);
        if (r == 0 && q->has_if_digest)
                r = fields_add_digest(b, FIELD_IF_DIGEST, &q->if_digest);
        return r;
}

int proto_write_request(Buf *b, const Request *q) {
        const size_t start = b->size;
        char document[sizeof(RFC_PREFIX) + 10];
        int r;

        assert(q->verb < _VERB_MAX && (q->verb != VERB_GET_RFC || q->rfc > 0));

        if (q->verb == VERB_GET_RFC)
                (void) snprintf(document, sizeof(document), RFC_PREFIX "%u", (unsigned) q->rfc);
        r = msg_begin_request(b, MSG_P2PDI_1_0, verbs[q->verb].method,
                              slice_of(q->verb == VERB_GET_RFC ? document : verbs[q->verb].document));
        if (r == 0 && q->host.size > 0)
                r = fields_add_text(b, FIELD_HOST, q->host);
        if (r == 0 && q->os.size > 0)
                r = fields_add_text(b, FIELD_OS, q->os);
        if (r == 0)
                r = verbs[q->verb].face == PROTO_REGISTRATION ? write_registration(b, q) : write_peer(b, q);
        if (r == 0 && q->transaction != 0)
                r = fields_add_transaction(b, q->transaction);
        if (r == 0 && q->close)
                r = msg_add_header(b, field_name(FIELD_CONNECTION), "close");
        if (r == 0)
                r = msg_end(b);
        if (r == 0 && b->size - start > MSG_HEAD_MAX)
                r = BUF_FULL;
        if (r != 0)
                buf_truncate(b, start);
        return r;
}
