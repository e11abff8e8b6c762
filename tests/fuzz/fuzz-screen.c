/* SPDX-License-Identifier: BSD-2-Clause */
/* A document on its way to a terminal: the same in one piece and byte by byte, and nothing that a terminal obeys. */
#include "core/text.h"
#include "ctl/screen.h"

#undef NDEBUG
#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_buf_ Buf whole = BUF_INIT(size * SCREEN_GROWTH + SCREEN_GROWTH);
        _cleanup_buf_ Buf bytes = BUF_INIT(size * SCREEN_GROWTH + SCREEN_GROWTH);
        Screen a = {}, b = {};

        assert(screen_filter(&a, (Slice){ (const char *) data, size }, &whole) == 0);
        assert(screen_end(&a, &whole) == 0);
        for (size_t i = 0; i < size; i++)
                assert(screen_filter(&b, (Slice){ (const char *) data + i, 1 }, &bytes) == 0);
        assert(screen_end(&b, &bytes) == 0);
        assert(slice_equal(buf_slice(&whole), buf_slice(&bytes)));

        assert(text_is_utf8(buf_slice(&whole)));
        for (size_t i = 0; i < whole.size; i++) {
                char c = whole.data[i];

                /* Lines and tabs are the document's; all else is fit to be shown as it is. */
                if (c == '\n' || c == '\t' || c == '\\')
                        whole.data[i] = ' ';
        }
        buf_clear(&bytes);
        assert(text_escape(&bytes, buf_slice(&whole), whole.size) == 0);
        assert(slice_equal(buf_slice(&whole), buf_slice(&bytes)));
        return 0;
}
