/* SPDX-License-Identifier: BSD-2-Clause */
/* A packed file: the same in one piece and byte by byte, and no more than is asked for, whatever it could become. */
#include "ctl/unpack.h"

#include "core/buf.h"

#undef NDEBUG
#include <assert.h>

/* More than comes out in one piece. */
#define OUTPUT_MAX ((size_t) 160 << 10)
#define FULL _UNPACK_ANSWERS_END

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int take(Slice bytes, void *userdata) {
        Buf *b = userdata;

        assert(bytes.size > 0);
        return bytes.size > b->max - b->size ? FULL : buf_append_slice(b, bytes);
}

static int unpack(const uint8_t *data, size_t size, size_t step, Buf *ret) {
        Unpack u;
        int r;

        assert(unpack_init(&u) == 0);
        r = 0;
        for (size_t at = 0; r == 0 && at < size; at += step)
                r = unpack_feed(&u, (Slice){ (const char *) data + at, MIN_OF(step, size - at) }, take, ret);
        if (r == 0)
                r = unpack_end(&u);
        unpack_done(&u);
        return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_buf_ Buf whole = BUF_INIT(OUTPUT_MAX), bytes = BUF_INIT(OUTPUT_MAX);
        const int r = unpack(data, size, MAX_OF(size, (size_t) 1), &whole);

        assert(r == 0 || r == UNPACK_BAD || r == UNPACK_TORN || r == FULL);
        assert(unpack(data, size, 1, &bytes) == r);
        /* Which pieces it comes in, and so what is taken of one that is too long, is not promised. */
        if (r != FULL)
                assert(slice_equal(buf_slice(&whole), buf_slice(&bytes)));
        return 0;
}
