/* SPDX-License-Identifier: BSD-2-Clause */
#include "ctl/unpack.h"

#include <errno.h>
#include <limits.h>

#define OUTPUT_SIZE 65536
/* The largest window, and a header of gzip and nothing else. */
#define GZIP_WINDOW (15 + 16)

int unpack_init(Unpack *u) {
        *u = (Unpack){};
        return inflateInit2(&u->stream, GZIP_WINDOW) == Z_OK ? 0 : -ENOMEM;
}

void unpack_done(Unpack *u) {
        (void) inflateEnd(&u->stream);
}

static int next_output(Unpack *u, UnpackSink sink, void *userdata, int *ret_status) {
        unsigned char output[OUTPUT_SIZE];

        u->stream.next_out = output;
        u->stream.avail_out = sizeof(output);
        *ret_status = inflate(&u->stream, Z_NO_FLUSH);
        const size_t size = sizeof(output) - u->stream.avail_out;

        return size > 0 ? sink((Slice){ (const char *) output, size }, userdata) : 0;
}

int unpack_feed(Unpack *u, Slice bytes, UnpackSink sink, void *userdata) {
        int status = Z_OK, r;

        assert(bytes.size <= UINT_MAX);
        u->stream.next_in = (const unsigned char *) bytes.data;
        u->stream.avail_in = (unsigned) bytes.size;
        /* Full output may hide that there is more of it; without progress it says Z_BUF_ERROR. */
        while (u->stream.avail_in > 0 || (u->inside && status == Z_OK)) {
                u->inside = u->begun = true;
                r = next_output(u, sink, userdata, &status);
                if (r != 0)
                        return r;
                if (status == Z_MEM_ERROR)
                        return -ENOMEM;
                if (status == Z_STREAM_END) {
                        /* As gzip has it, files that were put one behind the other are one. */
                        u->inside = false;
                        if (inflateReset(&u->stream) != Z_OK)
                                return UNPACK_BAD;
                } else if (status != Z_OK && status != Z_BUF_ERROR)
                        return UNPACK_BAD;
                else if (status == Z_BUF_ERROR)
                        break;
        }
        return 0;
}

int unpack_end(const Unpack *u) {
        return u->begun && !u->inside ? 0 : UNPACK_TORN;
}
