/* SPDX-License-Identifier: BSD-2-Clause */
/* A reply to each of the requests. What was taken is written, read again, and must be the same. */
#include "core/msg.h"
#include "core/proto.h"

#undef NDEBUG
#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_same(const Reply *a, const Reply *b) {
        assert(a->status == b->status && a->transaction == b->transaction);
        assert((a->close || proto_status_closes(a->status)) == b->close);
        assert(a->has_length == b->has_length && a->length == b->length && a->retry_after_sec == b->retry_after_sec);
        assert(a->cookie == b->cookie && a->peer_id == b->peer_id && a->ttl_sec == b->ttl_sec);
        assert(a->keep_alive_sec == b->keep_alive_sec && a->has_active == b->has_active && a->active == b->active);
        assert(a->has_address == b->has_address && address_equal(&a->address, &b->address));
        assert(a->has_generation == b->has_generation);
        assert(a->generation.epoch == b->generation.epoch && a->generation.number == b->generation.number);
        assert(a->has_index_digest == b->has_index_digest && digest_equal(&a->index_digest, &b->index_digest));
        assert(a->has_digest == b->has_digest && digest_equal(&a->digest, &b->digest));
        assert(slice_equal(a->title, b->title) && a->has_content_range == b->has_content_range);
        assert(a->range_first == b->range_first && a->range_last == b->range_last && a->range_size == b->range_size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        MsgHead head, again;
        Reply first, second;

        if (msg_parse_response((Slice){ (const char *) data, size }, &head) != 0)
                return 0;
        assert(head.size <= size && head.size <= MSG_HEAD_MAX && head.status >= 100 && head.status <= 999);

        for (unsigned v = 0; v < _VERB_MAX; v++) {
                _cleanup_buf_ Buf b = BUF_INIT(MSG_HEAD_MAX);

                if (proto_parse_reply(&head, (Verb) v, &first) != 0)
                        continue;
                assert(proto_write_reply(&b, (Verb) v, &first, "fuzz/1", 784111777 * USEC_PER_SEC) == 0);
                assert(msg_parse_response(buf_slice(&b), &again) == 0 && again.size == b.size);
                assert(proto_parse_reply(&again, (Verb) v, &second) == 0);
                check_same(&first, &second);
        }
        return 0;
}
