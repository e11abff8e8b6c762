/* SPDX-License-Identifier: BSD-2-Clause */
#include "io/incoming.h"

#include <errno.h>
#include <sys/socket.h>

#include "io/outgoing.h"

/* Most heads come whole in it. */
#define READ_STEP 1024

int incoming_read(Incoming *in, int fd) {
        Buf *b = &in->bytes;
        size_t room;
        ssize_t n;
        int r;

        assert(b->size < MSG_HEAD_MAX);

        room = MIN_OF((size_t) READ_STEP, b->max - b->size);
        r = buf_reserve(b, room);
        if (r < 0)
                return r;
        assert(r == 0);
        n = recv(fd, b->data + b->size, room, MSG_DONTWAIT);
        if (n <= 0) {
                r = n == 0 ? INCOMING_CLOSED :
                    errno == EAGAIN || errno == EINTR ? INCOMING_BLOCKED :
                    errno_is_broken(errno) ? INCOMING_BROKEN : -errno;
                if (b->size == 0)
                        buf_done(b);
                return r;
        }

        /*
         * Only a line end can make a head whole: a peer that sends byte by byte must not have us parse 8 KiB for
         * each.
         */
        if (memchr(b->data + b->size, '\n', (size_t) n) || b->size + (size_t) n >= MSG_HEAD_MAX)
                in->unparsed = true;
        buf_commit(b, (size_t) n);
        in->more = (size_t) n == room;
        return 0;
}

int incoming_put(Incoming *in, Slice bytes) {
        int r;

        if (bytes.size == 0)
                return 0;
        r = buf_append_slice(&in->bytes, bytes);
        assert(r <= 0);
        if (r == 0)
                in->unparsed = true;
        return r;
}

void incoming_consume(Incoming *in, size_t n) {
        buf_consume(&in->bytes, n);
        in->unparsed = in->bytes.size > 0;
        if (in->bytes.size == 0)
                buf_done(&in->bytes);
}

void incoming_done(Incoming *in) {
        buf_done(&in->bytes);
        in->unparsed = false;
}
