/* SPDX-License-Identifier: BSD-2-Clause */
/* A request on either face. What was taken is written, read again, and must be the same. */
#include "core/msg.h"
#include "core/proto.h"
#include "io/log-text.h"

#undef NDEBUG
#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_same(const Request *a, const Request *b) {
        assert(a->verb == b->verb && a->transaction == b->transaction && a->close == b->close);
        assert(slice_equal(a->host, b->host) && slice_equal(a->os, b->os));
        assert(a->cookie == b->cookie && a->port == b->port && a->limit == b->limit);
        assert(a->has_advertise == b->has_advertise && address_equal(&a->advertise, &b->advertise));
        assert(a->has_after == b->has_after && a->after == b->after && a->rfc == b->rfc);
        assert(a->has_if_generation == b->has_if_generation);
        assert(a->if_generation.epoch == b->if_generation.epoch && a->if_generation.number == b->if_generation.number);
        assert(a->has_range == b->has_range && a->range_first == b->range_first);
        assert(a->has_if_digest == b->has_if_digest && digest_equal(&a->if_digest, &b->if_digest));
        assert(a->rfcs.n_ranges == b->rfcs.n_ranges);
        for (size_t i = 0; i < a->rfcs.n_ranges; i++)
                assert(a->rfcs.ranges[i].first == b->rfcs.ranges[i].first && a->rfcs.ranges[i].last ==
                       b->rfcs.ranges[i].last);
}

static void check_face(const MsgHead *head, ProtoFace face) {
        _cleanup_request_ Request first = { 0 }, second = { 0 };
        _cleanup_buf_ Buf b = BUF_INIT(2 * MSG_HEAD_MAX);
        MsgHead again;
        int r;

        r = proto_parse_request(head, face, &first);
        assert(r == 0 || r == 400 || r == 404 || r == 405 || r == 413 || r == 505);
        if (r != 0)
                return;

        /* A head that filled its 8 KiB may be longer in our own spelling: then it isn't written. */
        r = proto_write_request(&b, &first);
        assert(r == 0 || (r == BUF_FULL && head->size > MSG_HEAD_MAX / 2));
        if (r != 0)
                return;
        assert(msg_parse_request(buf_slice(&b), &again) == 0 && again.size == b.size);
        assert(proto_parse_request(&again, face, &second) == 0);
        check_same(&first, &second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        const Slice bytes = { (const char *) data, size };
        _cleanup_buf_ Buf line = BUF_INIT(SIZE_MAX / 2);
        uint64_t transaction;
        MsgHead head, part;
        bool close;
        int r;

        assert(log_text_head(&line, bytes) == 0);

        r = msg_parse_request(bytes, &head);
        if (r != 0)
                return 0;
        assert(head.size <= size && head.size <= MSG_HEAD_MAX);
        assert(msg_parse_request((Slice){ bytes.data, head.size }, &part) == 0);
        assert(msg_parse_request((Slice){ bytes.data, head.size - 1 }, &part) == MSG_PARTIAL);

        proto_peek(&head, &transaction, &close);
        check_face(&head, PROTO_REGISTRATION);
        check_face(&head, PROTO_PEER);
        return 0;
}
