/* SPDX-License-Identifier: BSD-2-Clause */
/* An rfc-index.txt, at once and byte by byte: the same titles, all of them valid. */
#include "core/proto.h"
#include "core/rfc-meta.h"
#include "core/text.h"

#undef NDEBUG
#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static RfcMeta *read_pieces(Slice text, size_t piece) {
        RfcMeta *m;
        assert(rfc_meta_new(&m) == 0);
        for (size_t i = 0; i < text.size; i += piece)
                assert(rfc_meta_feed(m, (Slice){ text.data + i, MIN_OF(piece, text.size - i) }) == 0);
        int r = rfc_meta_end(m);
        assert(r == (rfc_meta_count(m) > 0 ? 0 : RFC_META_NONE));
        return m;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        Slice text = { (const char *) data, size }, a, b;
        _cleanup_(rfc_meta_free_p) RfcMeta *whole = read_pieces(text, SIZE_MAX / 2), *bytes = read_pieces(text, 1);

        assert(rfc_meta_count(whole) == rfc_meta_count(bytes));
        for (uint32_t n = 0; n < 12000; n++) {
                bool there = rfc_meta_title(whole, n, &a);
                assert(there == rfc_meta_title(bytes, n, &b));
                if (!there)
                        continue;
                assert(n > 0 && slice_equal(a, b));
                assert(a.size > 0 && a.size <= PROTO_TITLE_MAX && text_is_utf8(a) && !text_has_control(a));
        }
        return 0;
}
