/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/proto-fields.h"

#include "core/text.h"

#define DIGEST_PREFIX "sha-256="

/* SLICE_LITERAL() is no constant. */
#define NAME(s) { s, sizeof(s) - 1 }

static const Slice names[_FIELD_MAX] = {
        [FIELD_ACTIVE] = NAME("Active"),
        [FIELD_ADDRESS] = NAME("Address"),
        [FIELD_ADVERTISE] = NAME("Advertise"),
        [FIELD_AFTER] = NAME("After"),
        [FIELD_CONNECTION] = NAME("Connection"),
        [FIELD_CONTENT_LENGTH] = NAME("Content-Length"),
        [FIELD_CONTENT_RANGE] = NAME("Content-Range"),
        [FIELD_CONTENT_TYPE] = NAME("Content-Type"),
        [FIELD_COOKIE] = NAME("Cookie"),
        [FIELD_DATE] = NAME("Date"),
        [FIELD_DIGEST] = NAME("Digest"),
        [FIELD_GENERATION] = NAME("Generation"),
        [FIELD_HOST] = NAME("Host"),
        [FIELD_IF_DIGEST] = NAME("If-Digest"),
        [FIELD_IF_GENERATION] = NAME("If-Generation"),
        [FIELD_INDEX_DIGEST] = NAME("Index-Digest"),
        [FIELD_KEEP_ALIVE] = NAME("Keep-Alive"),
        [FIELD_LAST_MODIFIED] = NAME("Last-Modified"),
        [FIELD_LIMIT] = NAME("Limit"),
        [FIELD_OS] = NAME("OS"),
        [FIELD_PEER_ID] = NAME("Peer-Id"),
        [FIELD_PORT] = NAME("Port"),
        [FIELD_RANGE] = NAME("Range"),
        [FIELD_RETRY_AFTER] = NAME("Retry-After"),
        [FIELD_RFC] = NAME("RFC"),
        [FIELD_SERVER] = NAME("Server"),
        [FIELD_TITLE] = NAME("Title"),
        [FIELD_TRANSACTION] = NAME("Transaction"),
        [FIELD_TRANSFER_ENCODING] = NAME("Transfer-Encoding"),
        [FIELD_TTL] = NAME("TTL"),
};

const char *field_name(Field field) {
        return names[field].data;
}

static Field field_of(Slice name) {
        unsigned field = 0;

        while (field < _FIELD_MAX && !slice_equal_nocase(name, names[field]))
                field++;
        return (Field) field;
}

int fields_collect(const MsgHead *head, Fields *ret) {
        Fields f = { 0 };

        for (size_t i = 0; i < head->n_headers; i++) {
                Field field = field_of(head->headers[i].name);

                if (field == _FIELD_MAX)
                        continue;
                if (fields_have(&f, field))
                        return PROTO_BAD;
                f.values[field] = head->headers[i].value;
        }
        *ret = f;
        return 0;
}

int fields_uint64(const Fields *f, Field field, uint64_t min, uint64_t max, uint64_t *ret) {
        uint64_t value;

        if (!fields_have(f, field))
                return 0;
        if (text_to_uint64(f->values[field], max, &value) != 0 || value < min)
                return PROTO_BAD;
        *ret = value;
        return 0;
}

int fields_uint32(const Fields *f, Field field, uint32_t min, uint32_t max, uint32_t *ret) {
        uint64_t value = *ret;

        if (fields_uint64(f, field, min, max, &value) != 0)
                return PROTO_BAD;
        *ret = (uint32_t) value;
        return 0;
}

int fields_address(const Fields *f, Field field, bool *ret_has, Address *ret) {
        if (!fields_have(f, field))
                return 0;
        if (address_from_text(f->values[field], ret) != 0)
                return PROTO_BAD;
        *ret_has = true;
        return 0;
}

int fields_generation(const Fields *f, Field field, bool *ret_has, Generation *ret) {
        if (!fields_have(f, field))
                return 0;
        if (generation_from_text(f->values[field], ret) != 0)
                return PROTO_BAD;
        *ret_has = true;
        return 0;
}

int fields_digest(const Fields *f, Field field, bool *ret_has, Digest *ret) {
        const size_t prefix = sizeof(DIGEST_PREFIX) - 1;
        Slice value = f->values[field];

        if (!fields_have(f, field))
                return 0;
        if (!slice_starts_with(value, DIGEST_PREFIX))
                return PROTO_BAD;
        if (digest_from_text((Slice){ value.data + prefix, value.size - prefix }, ret) != 0)
                return PROTO_BAD;
        *ret_has = true;
        return 0;
}

int fields_text(const Fields *f, Field field, size_t max, Slice *ret) {
        Slice value = f->values[field];

        if (!fields_have(f, field))
                return 0;
        if (value.size > max || text_has_control(value) || !text_is_utf8(value))
                return PROTO_BAD;
        *ret = value;
        return 0;
}

int fields_transaction(const Fields *f, uint64_t *ret) {
        if (!fields_have(f, FIELD_TRANSACTION))
                return 0;
        return transaction_from_text(f->values[FIELD_TRANSACTION], ret) == 0 ? 0 : PROTO_BAD;
}

int fields_add_uint(Buf *b, Field field, uint64_t value) {
        char text[TEXT_DECIMAL_MAX];

        return msg_add_text(b, names[field].data, (Slice){ text, (size_t) (text_put_decimal(text, value) - text) });
}

int fields_add_text(Buf *b, Field field, Slice value) {
        return msg_add_text(b, names[field].data, value);
}

int fields_add_address(Buf *b, Field field, const Address *a) {
        char text[ADDRESS_TEXT_SIZE];

        address_to_text(a, text);
        return msg_add_text(b, names[field].data, slice_of(text));
}

int fields_add_generation(Buf *b, Field field, Generation g) {
        char text[GENERATION_TEXT_SIZE];

        generation_to_text(g, text);
        return msg_add_text(b, names[field].data, slice_of(text));
}

int fields_add_digest(Buf *b, Field field, const Digest *d) {
        char text[DIGEST_TEXT_SIZE];

        digest_to_text(d, text);
        return msg_add_header(b, names[field].data, DIGEST_PREFIX "%s", text);
}

int fields_add_transaction(Buf *b, uint64_t transaction) {
        char text[TRANSACTION_TEXT_SIZE];

        transaction_to_text(transaction, text);
        return msg_add_text(b, names[FIELD_TRANSACTION].data, slice_of(text));
}
