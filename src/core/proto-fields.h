/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * Fields: the headers that the protocol defines, picked out of a head in one pass, and their values as numbers,
 * digests and so on. Only proto.c and proto-reply.c use this.
 */

#include "core/base.h"
#include "core/msg.h"
#include "core/proto.h"

typedef enum Field {
        FIELD_ACTIVE,
        FIELD_ADDRESS,
        FIELD_ADVERTISE,
        FIELD_AFTER,
        FIELD_CONNECTION,
        FIELD_CONTENT_LENGTH,
        FIELD_CONTENT_RANGE,
        FIELD_CONTENT_TYPE,
        FIELD_COOKIE,
        FIELD_DATE,
        FIELD_DIGEST,
        FIELD_GENERATION,
        FIELD_HOST,
        FIELD_IF_DIGEST,
        FIELD_IF_GENERATION,
        FIELD_INDEX_DIGEST,
        FIELD_KEEP_ALIVE,
        FIELD_LAST_MODIFIED,
        FIELD_LIMIT,
        FIELD_OS,
        FIELD_PEER_ID,
        FIELD_PORT,
        FIELD_RANGE,
        FIELD_RETRY_AFTER,
        FIELD_RFC,
        FIELD_SERVER,
        FIELD_TITLE,
        FIELD_TRANSACTION,
        FIELD_TRANSFER_ENCODING,
        FIELD_TTL,
        _FIELD_MAX,
} Field;

typedef struct Fields {
        Slice values[_FIELD_MAX];       /* point into the head; data is NULL where there is no such header */
} Fields;

const char *field_name(Field field);

/* 0; PROTO_BAD: one of them is there twice. Headers that the protocol doesn't define are passed over. */
int fields_collect(const MsgHead *head, Fields *ret) _must_check_;

static inline bool fields_have(const Fields *f, Field field) {
        return f->values[field].data != NULL;
}

/* All of these: 0, also where there is no such header (the output is then untouched); PROTO_BAD. */
int fields_uint64(const Fields *f, Field field, uint64_t min, uint64_t max, uint64_t *ret) _must_check_;
int fields_uint32(const Fields *f, Field field, uint32_t min, uint32_t max, uint32_t *ret) _must_check_;
int fields_address(const Fields *f, Field field, bool *ret_has, Address *ret) _must_check_;
int fields_generation(const Fields *f, Field field, bool *ret_has, Generation *ret) _must_check_;
/* "sha-256=<64 hex>" */
int fields_digest(const Fields *f, Field field, bool *ret_has, Digest *ret) _must_check_;
/* UTF-8 without control bytes, at most max bytes */
int fields_text(const Fields *f, Field field, size_t max, Slice *ret) _must_check_;
int fields_transaction(const Fields *f, uint64_t *ret) _must_check_;

/* Writers: 0, BUF_FULL, -ENOMEM. */
int fields_add_uint(Buf *b, Field field, uint64_t value) _must_check_;
int fields_add_text(Buf *b, Field field, Slice value) _must_check_;
int fields_add_address(Buf *b, Field field, const Address *a) _must_check_;
int fields_add_generation(Buf *b, Field field, Generation g) _must_check_;
int fields_add_digest(Buf *b, Field field, const Digest *d) _must_check_;
int fields_add_transaction(Buf *b, uint64_t transaction) _must_check_;
