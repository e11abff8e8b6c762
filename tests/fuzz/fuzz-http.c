/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A request to the HTTP face, and what is made of it: an answer that lies within the document, written as a head that
 * reads.
 */
#include "core/http.h"

#undef NDEBUG
#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_answer(const HttpRequest *q, uint64_t size) {
        _cleanup_buf_ Buf b = BUF_INIT(MSG_HEAD_MAX);
        const HttpEntity e = { .size = size, .digest = { { 1, 2, 3 } }, .modified_at = 784111777 * USEC_PER_SEC };
        const HttpAnswer a = http_decide(q, &e);
        HttpReply reply = {
                .status = a.status,
                .transaction = q->transaction,
                .close = q->close,
                .keep_alive = q->keep_alive,
                .entity = &e,
                .first = a.first,
                .length = a.size,
        };
        MsgHead head;

        assert(a.status == 200 || a.status == 206 || a.status == 304 || a.status == 412 || a.status == 416);
        assert(a.status != 200 || (a.first == 0 && a.size == size));
        assert(a.status != 206 || (!q->head && a.size > 0 && a.first < size && a.size <= size - a.first));
        assert(a.status == 200 || a.status == 206 || a.size == 0);
        assert(http_write_reply(&b, &reply, "test/1", 784111777 * USEC_PER_SEC) == 0);
        assert(msg_parse_response(buf_slice(&b), &head) == 0 && head.size == b.size && head.status == a.status);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        const Slice bytes = { (const char *) data, size };
        HttpRequest q, peeked;
        const char *why;
        MsgHead head;
        int r;

        (void) msg_spoken_version(bytes);
        if (msg_parse_request(bytes, &head) != 0)
                return 0;
        assert(msg_spoken_version(bytes) == head.version);

        http_peek(&head, &peeked);
        assert(!(peeked.close && peeked.keep_alive));
        r = http_parse_request(&head, &q, &why);
        assert(r == 0 || r == 400 || r == 405 || r == 413 || r == 505);
        if (r != 0) {
                assert(*why);
                return 0;
        }
        assert(q.path[0] == '\0' || (q.path[0] == '/' && strnlen(q.path, HTTP_PATH_SIZE) < HTTP_PATH_SIZE));
        assert(q.head == peeked.head && q.close == peeked.close && q.transaction == peeked.transaction);
        check_answer(&q, 0);
        check_answer(&q, 1);
        check_answer(&q, 1000);
        check_answer(&q, UINT64_MAX);
        return 0;
}
