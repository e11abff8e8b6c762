/* SPDX-License-Identifier: BSD-2-Clause */
#include "io/outgoing.h"

#include <errno.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

bool errno_is_broken(int error) {
        switch (error < 0 ? -error : error) {
        case EPIPE:
        case ECONNRESET:
        case ECONNABORTED:
        case ECONNREFUSED:
        case ENOTCONN:
        case ESHUTDOWN:
        case ETIMEDOUT:
        case EHOSTUNREACH:
        case EHOSTDOWN:
        case ENETUNREACH:
        case ENETDOWN:
        case ENETRESET:
        case ENONET:
        case EPROTO:
                return true;
        default:
                return false;
        }
}

void outgoing_begin(Outgoing *o, Slice head, const ConnBody *body) {
        assert(!body || body->fd < 0 || body->memory.size == 0);

        *o = (Outgoing){ .head = head, .body = body ? *body : CONN_NO_BODY };
}

int outgoing_keep(Outgoing *o) {
        assert(!o->kept_head);

        if (o->head.size == 0)
                return 0;
        o->kept_head = malloc(o->head.size);
        if (!o->kept_head)
                return -ENOMEM;
        memcpy(o->kept_head, o->head.data, o->head.size);
        o->head.data = o->kept_head;
        return 0;
}

void outgoing_done(Outgoing *o) {
        free(o->kept_head);
        if (o->body.release)
                o->body.release(o->body.owner);
        else if (o->body.fd >= 0)
                (void) close(o->body.fd); /* read only: nothing can be lost */
        *o = OUTGOING_INIT;
}

static bool has_file(const Outgoing *o) {
        return o->body.fd >= 0;
}

static uint64_t body_size(const Outgoing *o) {
        return has_file(o) ? o->body.size : o->body.memory.size;
}

uint64_t outgoing_body_left(const Outgoing *o) {
        return body_size(o) - o->body_sent;
}

/* The head and what of the body is in memory, in one segment where that fits. */
static ssize_t send_memory(Outgoing *o, int fd, size_t budget) {
        const bool file_follows = has_file(o) && o->body.size > 0;
        const int flags = MSG_NOSIGNAL | MSG_DONTWAIT | (file_follows || o->last ? MSG_MORE : 0);
        struct iovec vectors[2] = { { (void *) o->head.data, o->head.size } };
        struct msghdr m = { .msg_iov = vectors, .msg_iovlen = 2 };
        size_t from_head;
        ssize_t n;

        if (!has_file(o) && o->body.memory.size > 0) {
                const Slice body = o->body.memory;

                vectors[1].iov_base = (void *) (body.data + o->body_sent);
                vectors[1].iov_len = MIN_OF(body.size - (size_t) o->body_sent, budget);
        }
        /* What stands in one piece, because there is but one of them or because it was laid so, costs the kernel less. */
        if (vectors[0].iov_len == 0)
                n = send(fd, vectors[1].iov_base, vectors[1].iov_len, flags);
        else if (vectors[1].iov_len == 0 || o->head.data + o->head.size == vectors[1].iov_base)
                n = send(fd, vectors[0].iov_base, vectors[0].iov_len + vectors[1].iov_len, flags);
        else
                n = sendmsg(fd, &m, flags);
        if (n < 0)
                return -errno;
        from_head = MIN_OF((size_t) n, vectors[0].iov_len);
        o->head = (Slice){ o->head.data + from_head, o->head.size - from_head };
        o->body_sent += (size_t) n - from_head;
        return n;
}

static ssize_t send_file(Outgoing *o, int fd, size_t budget) {
        uint64_t left = o->body.size - o->body_sent;
        off_t offset = (off_t) (o->body.offset + o->body_sent);
        ssize_t n;

        n = sendfile(fd, o->body.fd, &offset, (size_t) MIN_OF(left, (uint64_t) budget));
        if (n < 0)
                return -errno;
        if (n == 0)
                return -ENODATA;
        o->body_sent += (size_t) n;
        return n;
}

int outgoing_send(Outgoing *o, int fd, size_t *budget) {
        while (o->head.size > 0 || o->body_sent < body_size(o)) {
                ssize_t n;

                if (*budget == 0)
                        return OUTGOING_BUDGET;
                if (o->head.size > 0 || !has_file(o))
                        n = send_memory(o, fd, *budget);
                else
                        n = send_file(o, fd, *budget);
                if (n == -EAGAIN)
                        return OUTGOING_BLOCKED;
                if (n == -EINTR)
                        continue;
                if (n < 0)
                        return errno_is_broken((int) n) ? OUTGOING_BROKEN : (int) n;
                *budget -= MIN_OF((size_t) n, *budget); /* a head may go over it */
        }
        return 0;
}
