/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/proto.h"

#include "core/proto-fields.h"
#include "core/text.h"

static bool has_no_body(unsigned status) {
        return status == 204 || status == 304;
}

/* Content-Length, without which nobody knows where the next reply starts. */
static int parse_length(const Fields *f, Reply *p) {
        if (fields_have(f, FIELD_TRANSFER_ENCODING))
                return PROTO_BAD;
        if (has_no_body(p->status))
                return 0;
        if (!fields_have(f, FIELD_CONTENT_LENGTH))
                return PROTO_BAD;
        p->has_length = true;
        return fields_uint64(f, FIELD_CONTENT_LENGTH, 0, PROTO_DOCUMENT_BYTES_MAX, &p->length);
}

/* "bytes N-(S-1)/S": a range always reaches to the end. */
static int parse_content_range(const Fields *f, Reply *p) {
        Slice rest = f->values[FIELD_CONTENT_RANGE], part;
        uint64_t first, last, size;

        if (!fields_have(f, FIELD_CONTENT_RANGE))
                return 0;
        if (!slice_split(&rest, ' ', &part) || !slice_equal(part, SLICE_LITERAL("bytes")))
                return PROTO_BAD;
        if (!slice_split(&rest, '-', &part) || text_to_uint64(part, PROTO_DOCUMENT_BYTES_MAX, &first) != 0)
                return PROTO_BAD;
        if (!slice_split(&rest, '/', &part) || text_to_uint64(part, PROTO_DOCUMENT_BYTES_MAX, &last) != 0)
                return PROTO_BAD;
        if (text_to_uint64(rest, PROTO_DOCUMENT_BYTES_MAX, &size) != 0 || first > last || last + 1 != size)
                return PROTO_BAD;

        p->has_content_range = true;
        p->range_first = first;
        p->range_last = last;
        p->range_size = size;
        return 0;
}

/* Without these a reader could not go on, whatever else is there. */
static bool is_complete(const Reply *p, Verb verb) {
        switch (verb) {
        case VERB_REGISTER:
                return p->status != 200 || (p->cookie > 0 && p->ttl_sec > 0);
        case VERB_RFC_INDEX:
                return p->status != 226 || p->has_generation;
        case VERB_GET_RFC:
        case VERB_GET_EDITOR_INDEX:
                if (p->status == 206 &&
                    (!p->has_content_range || p->length != p->range_last - p->range_first + 1))
                        return false;
                return (p->status != 200 && p->status != 206) || p->has_digest;
        default:
                return true;
        }
}

int proto_parse_reply(const MsgHead *head, Verb verb, Reply *ret) {
        Reply p = { .status = head->status };
        Fields f;

        if (head->version != MSG_P2PDI_1_0 || fields_collect(head, &f) != 0 || parse_length(&f, &p) != 0)
                return PROTO_BAD;

        p.close = msg_header_has_word(head, field_name(FIELD_CONNECTION), "close");
        if (fields_transaction(&f, &p.transaction) != 0 ||
            fields_uint32(&f, FIELD_RETRY_AFTER, 0, UINT32_MAX, &p.retry_after_sec) != 0 ||
            fields_uint64(&f, FIELD_COOKIE, 1, PROTO_COOKIE_MAX, &p.cookie) != 0 ||
            fields_uint32(&f, FIELD_PEER_ID, 1, UINT32_MAX, &p.peer_id) != 0 ||
            fields_uint32(&f, FIELD_TTL, 0, UINT32_MAX, &p.ttl_sec) != 0 ||
            fields_uint32(&f, FIELD_KEEP_ALIVE, 0, UINT32_MAX, &p.keep_alive_sec) != 0 ||
            fields_address(&f, FIELD_ADDRESS, &p.has_address, &p.address) != 0 ||
            fields_uint32(&f, FIELD_ACTIVE, 0, UINT32_MAX, &p.active) != 0 ||
            fields_generation(&f, FIELD_GENERATION, &p.has_generation, &p.generation) != 0 ||
            fields_digest(&f, FIELD_INDEX_DIGEST, &p.has_index_digest, &p.index_digest) != 0 ||
            fields_digest(&f, FIELD_DIGEST, &p.has_digest, &p.digest) != 0 ||
            fields_text(&f, FIELD_TITLE, PROTO_TITLE_MAX, &p.title) != 0 ||
            parse_content_range(&f, &p) != 0)
                return PROTO_BAD;
        p.has_active = fields_have(&f, FIELD_ACTIVE);

        if (!is_complete(&p, verb))
                return PROTO_BAD;
        *ret = p;
        return 0;
}

static int write_registration(Buf *b, const Reply *p) {
        int r = 0;

        if (p->cookie > 0)
                r = fields_add_uint(b, FIELD_COOKIE, p->cookie);
        if (r == 0 && p->peer_id > 0)
                r = fields_add_uint(b, FIELD_PEER_ID, p->peer_id);
        if (r == 0 && p->ttl_sec > 0)
                r = fields_add_uint(b, FIELD_TTL, p->ttl_sec);
        if (r == 0 && p->keep_alive_sec > 0)
                r = fields_add_uint(b, FIELD_KEEP_ALIVE, p->keep_alive_sec);
        if (r == 0 && p->has_address)
                r = fields_add_address(b, FIELD_ADDRESS, &p->address);
        if (r == 0 && p->has_active)
                r = fields_add_uint(b, FIELD_ACTIVE, p->active);
        return r;
}

static int write_peer(Buf *b, Verb verb, const Reply *p) {
        int r = 0;

        if (p->has_generation)
                r = fields_add_generation(b, FIELD_GENERATION, p->generation);
        if (r == 0 && p->has_index_digest)
                r = fields_add_digest(b, FIELD_INDEX_DIGEST, &p->index_digest);
        if (r == 0 && (verb == VERB_GET_RFC || verb == VERB_GET_EDITOR_INDEX) && (p->status == 200 || p->status == 206))
                r = msg_add_header(b, field_name(FIELD_CONTENT_TYPE), "text/plain");
        if (r == 0 && p->has_digest)
                r = fields_add_digest(b, FIELD_DIGEST, &p->digest);
        if (r == 0 && p->title.size > 0)
                r = fields_add_text(b, FIELD_TITLE, p->title);
        if (r == 0 && p->last_modified > 0)
                r = msg_add_date(b, field_name(FIELD_LAST_MODIFIED), p->last_modified);
        if (r == 0 && p->has_content_range)
                r = msg_add_header(b, field_name(FIELD_CONTENT_RANGE), "bytes %llu-%llu/%llu",
                                   (unsigned long long) p->range_first, (unsigned long long) p->range_last,
                                   (unsigned long long) p->range_size);
        return r;
}

int proto_write_reply(Buf *b, Verb verb, const Reply *p, const char *server, usec_t realtime) {
        const size_t start = b->size;
        int r;

        r = msg_begin_response(b, MSG_P2PDI_1_0, p->status);
        if (r == 0)
                r = msg_add_date(b, field_name(FIELD_DATE), realtime);
        if (r == 0)
                r = msg_add_text(b, field_name(FIELD_SERVER), slice_of(server));
        if (r == 0 && p->transaction != 0)
                r = fields_add_transaction(b, p->transaction);
        if (r == 0 && p->retry_after_sec > 0)
                r = fields_add_uint(b, FIELD_RETRY_AFTER, p->retry_after_sec);
        if (r == 0)
                r = write_registration(b, p);
        if (r == 0)
                r = write_peer(b, verb, p);
        if (r == 0 && (p->close || proto_status_closes(p->status)))
                r = msg_add_text(b, field_name(FIELD_CONNECTION), SLICE_LITERAL("close"));
        if (r == 0 && !has_no_body(p->status))
                r = fields_add_uint(b, FIELD_CONTENT_LENGTH, p->length);
        if (r == 0)
                r = msg_end(b);
        if (r != 0)
                buf_truncate(b, start);
        return r;
}
