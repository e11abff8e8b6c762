/* SPDX-License-Identifier: BSD-2-Clause */
#include "io/dial.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "io/outgoing.h"

static int answer_of_error(int error) {
        switch (error) {
        case ETIMEDOUT:
                return DIAL_TIMEOUT;
        case EACCES:            /* a packet filter of this host, or a prohibited route */
        case EPERM:
        case EAFNOSUPPORT:      /* this host has no IPv6 */
        case EINVAL:            /* link-local: no way to there without a scope */
                return DIAL_REFUSED;
        default:
                return errno_is_broken(error) ? DIAL_REFUSED : -error;
        }
}

static int bind_source(int fd, const Address *source) {
        const Endpoint from = { .address = *source };
        struct sockaddr_storage address;
        unsigned size;
        int yes = 1;

        /* The port is chosen when connecting: only then can one port serve connections to many peers. */
        (void) setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &yes, sizeof(yes));
        size = endpoint_to_sockaddr(&from, &address);
        return bind(fd, (struct sockaddr *) &address, size) < 0 ? -errno : 0;
}

static int start(int fd, const struct sockaddr_storage *to, unsigned size, const Address *source) {
        int r, yes = 1;

        (void) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes)); /* speed only */
        if (source && address_is_ipv4(source) == (to->ss_family == AF_INET)) {
                r = bind_source(fd, source);
                if (r < 0)
                        return r;
        }
        if (connect(fd, (const struct sockaddr *) to, size) < 0 && errno != EINPROGRESS)
                return answer_of_error(errno);
        return 0;
}

int dial_start(const Endpoint *to, const Address *source, int *ret_fd) {
        struct sockaddr_storage address;
        unsigned size;
        int fd, r;

        size = endpoint_to_sockaddr(to, &address);
        fd = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (fd < 0)
                return errno == EAFNOSUPPORT ? DIAL_REFUSED : -errno;
        r = start(fd, &address, size, source);
        if (r != 0) {
                (void) close(fd);
                return r;
        }
        *ret_fd = fd;
        return 0;
}

int dial_finish(int fd) {
        socklen_t size;
        int error = 0;

        size = sizeof(error);
        if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0)
                return -errno;
        return error == 0 ? 0 : answer_of_error(error);
}
