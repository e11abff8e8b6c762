/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Descriptors that come with calls. One rides on the first byte of its message; the kernel ends a read behind the piece
 * that carried it, so its message is the last that begins in what was read. A read is made only where no whole message
 * waits: what waits for its end may have one, and the one that came behind it, but no third can.
 */
#include "io/varlink-internal.h"

#include <sys/socket.h>
#include <unistd.h>

void varlink_conn_close_fds(VarlinkConn *c) {
        for (size_t i = 0; i < c->n_input_fds; i++)
                close(c->input_fds[i].fd);
        c->n_input_fds = 0;
}

/* Where the last message starts that begins at `from` or behind it; SIZE_MAX: none does. */
static size_t last_start(const VarlinkConn *c, size_t from) {
        for (size_t at = c->input.size; at-- > from;)
                if (at == 0 || c->input.data[at - 1] == '\0')
                        return at;
        return SIZE_MAX;
}

bool varlink_conn_keep_fd(VarlinkConn *c, struct msghdr *mh, size_t before) {
        const struct cmsghdr *h = CMSG_FIRSTHDR(mh);
        const size_t at = last_start(c, before);
        int fd;

        if (!h || h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS || h->cmsg_len != CMSG_LEN(sizeof(int)))
                return !(mh->msg_flags & MSG_CTRUNC);
        memcpy(&fd, CMSG_DATA(h), sizeof(fd));
        /* More than one, or one in the middle of a message, or a second of the same message. */
        if (mh->msg_flags & MSG_CTRUNC || at == SIZE_MAX || c->n_input_fds == VARLINK_INPUT_FDS ||
            (c->n_input_fds > 0 && c->input_fds[c->n_input_fds - 1].at == at)) {
                close(fd);
                return false;
        }
        c->input_fds[c->n_input_fds++] = (VarlinkInputFd){ .fd = fd, .at = at };
        return true;
}

void varlink_conn_move_fds(VarlinkConn *c, size_t n) {
        for (size_t i = 0; i < c->n_input_fds; i++)
                c->input_fds[i].at -= n;
}

int varlink_conn_take_fd(VarlinkConn *c, size_t at) {
        int fd;

        if (c->n_input_fds == 0 || c->input_fds[0].at != at)
                return -1;
        fd = c->input_fds[0].fd;
        c->n_input_fds--;
        memmove(c->input_fds, c->input_fds + 1, c->n_input_fds * sizeof(*c->input_fds));
        return fd;
}
