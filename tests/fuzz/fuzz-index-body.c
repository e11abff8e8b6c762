/* SPDX-License-Identifier: BSD-2-Clause */
/* The lines of an index body, whole and delta, each written and read again. */
#include "core/proto.h"

#undef NDEBUG
#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_lines(Slice rest, bool delta) {
        IndexLine first, second, before;
        size_t n = 0;

        while (proto_parse_index_line(&rest, delta, &first) == 0) {
                _cleanup_buf_ Buf b = BUF_INIT(PROTO_INDEX_LINE_MAX);
                Slice again;

                assert(proto_write_index_line(&b, &first, delta) == 0);
                again = buf_slice(&b);
                assert(proto_parse_index_line(&again, delta, &second) == 0 && again.size == 0);
                assert(first.removed == second.removed && first.added == second.added && first.self == second.self);
                assert(first.number == second.number && first.ttl_sec == second.ttl_sec && first.size == second.size);
                assert(endpoint_equal(&first.holder, &second.holder) && digest_equal(&first.digest, &second.digest));
                assert(slice_equal(first.title, second.title) && proto_compare_index_lines(&first, &second) == 0);
                if (n++ > 0) {
                        int there = proto_compare_index_lines(&before, &first);
                        int back = proto_compare_index_lines(&first, &before);

                        assert((there > 0) == (back < 0) && (there < 0) == (back > 0));
                }
                before = first;
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        check_lines((Slice){ (const char *) data, size }, false);
        check_lines((Slice){ (const char *) data, size }, true);
        return 0;
}
