/* SPDX-License-Identifier: BSD-2-Clause */
/* The lines of a peer list, each written and read again. */
#include "core/proto.h"

#undef NDEBUG
#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        Slice rest = { (const char *) data, size }, again;
        PeerLine first, second;

        while (proto_parse_peer_line(&rest, &first) == 0) {
                _cleanup_buf_ Buf b = BUF_INIT(PROTO_PEER_LINE_MAX);

                assert(first.id > 0 && first.endpoint.port > 0);
                assert(proto_write_peer_line(&b, &first) == 0);
                again = buf_slice(&b);
                assert(proto_parse_peer_line(&again, &second) == 0 && again.size == 0);
                assert(endpoint_equal(&first.endpoint, &second.endpoint) && first.id == second.id);
                assert(first.ttl_sec == second.ttl_sec && slice_equal(first.host, second.host));
        }
        return 0;
}
