/* SPDX-License-Identifier: BSD-2-Clause */
/* The beginning of a document, the editor's JSON, and anything: what comes out is a title or nothing. */
#include "core/proto.h"
#include "core/rfc-meta.h"
#include "core/text.h"

#undef NDEBUG
#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static int (*const readers[])(Slice, Buf *) = { rfc_title_from_text, rfc_title_from_json, rfc_title_clean };
        for (size_t i = 0; i < ELEMENTSOF(readers); i++) {
                _cleanup_buf_ Buf b = BUF_INIT(PROTO_TITLE_MAX);
                int r = readers[i]((Slice){ (const char *) data, size }, &b);
                assert(r == 0 || r == RFC_META_NONE);
                assert((r == 0) == (b.size > 0));
                assert(text_is_utf8(buf_slice(&b)) && !text_has_control(buf_slice(&b)));
        }
        return 0;
}
