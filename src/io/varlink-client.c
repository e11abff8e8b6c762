/* SPDX-License-Identifier: BSD-2-Clause */
#include "io/varlink-client.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/buf.h"
#include "io/json-memory.h"
#include "io/loop.h"
#include "io/varlink-internal.h"

#define READ_SIZE (64u << 10)

struct VarlinkClient {
        int fd;
        int received_fd;                /* came along and was not asked for yet; -1: none */
        usec_t deadline;                /* boottime */
        Buf input;
        size_t input_at;                /* where the next message starts */
        size_t scanned;                 /* no NUL before this */
        char *error;                    /* owned; what the last reply's *ret_error points to */
        usec_t interval;                /* between two calls of tick() */
        void (*tick)(void *userdata);   /* NULL: none */
        void *userdata;
};

static usec_t client_left(const VarlinkClient *c) {
        Now now;

        if (c->deadline == USEC_INFINITY)
                return USEC_INFINITY;
        now_read(&now);
        return usec_sub(c->deadline, now.boottime);
}

/* 0, VARLINK_CLIENT_TIMEOUT, negative errno. Hang-ups are left to send and receive. */
static int client_wait(VarlinkClient *c, short events) {
        for (;;) {
                struct pollfd p = { .fd = c->fd, .events = events };
                usec_t left = client_left(c), wait = c->tick ? MIN_OF(left, c->interval) : left;
                struct timespec ts = { .tv_sec = (time_t) (wait / USEC_PER_SEC),
                                       .tv_nsec = (long) (wait % USEC_PER_SEC * 1000) };
                int r;

                r = ppoll(&p, 1, wait == USEC_INFINITY ? NULL : &ts, NULL);
                if (r > 0)
                        return 0;
                if (r == 0 && wait == left)
                        return VARLINK_CLIENT_TIMEOUT;
                if (r == 0) {
                        c->tick(c->userdata);
                        continue;
                }
                if (errno != EINTR)
                        return -errno;
        }
}

int varlink_client_connect(const char *path, usec_t timeout, VarlinkClient **ret) {
        _cleanup_(varlink_client_free_p) VarlinkClient *c = NULL;
        struct sockaddr_un sa = { .sun_family = AF_UNIX };
        usec_t wait = MIN_OF(timeout, USEC_PER_DAY);
        struct timeval tv = { .tv_sec = (time_t) (wait / USEC_PER_SEC),
                              .tv_usec = (suseconds_t) MAX_OF(wait % USEC_PER_SEC, (usec_t) 1) };
        Now now;

        if (strlen(path) >= sizeof(sa.sun_path))
                return -ENAMETOOLONG;
        memcpy(sa.sun_path, path, strlen(path));

        c = calloc(1, sizeof(*c));
        if (!c)
                return -ENOMEM;
        c->received_fd = -1;
        buf_init(&c->input, VARLINK_MESSAGE_MAX + 1);
        now_read(&now);
        c->deadline = usec_add(now.boottime, timeout);
        c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (c->fd < 0)
                return -errno;
        /* While the backlog is full connect() waits as long as a send would; non-blocking it would just fail. */
        if (setsockopt(c->fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv)) < 0)
                return -errno;
        if (connect(c->fd, (const struct sockaddr *) &sa, sizeof(sa)) < 0)
                return errno == EAGAIN ? VARLINK_CLIENT_TIMEOUT : -errno;
        *ret = TAKE_PTR(c);
        return 0;
}

void varlink_client_set_tick(VarlinkClient *c, usec_t interval, void (*tick)(void *userdata), void *userdata) {
        c->interval = interval;
        c->tick = tick;
        c->userdata = userdata;
}

VarlinkClient *varlink_client_free(VarlinkClient *c) {
        if (!c)
                return NULL;
        if (c->fd >= 0)
                close(c->fd);
        if (c->received_fd >= 0)
                close(c->received_fd);
        buf_done(&c->input);
        free(c->error);
        free(c);
        return NULL;
}

/* The next piece; fd >= 0 goes with its first byte. */
static ssize_t send_piece(const VarlinkClient *c, const char *data, size_t size, int fd) {
        union {
                struct cmsghdr header;
                char room[CMSG_SPACE(sizeof(int))];
        } control = {};
        struct iovec iov = { .iov_base = (char *) (uintptr_t) data, .iov_len = size };
        struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };

        if (fd >= 0) {
                mh.msg_control = &control;
                mh.msg_controllen = sizeof(control);
                control.header = (struct cmsghdr){
                        .cmsg_level = SOL_SOCKET,
                        .cmsg_type = SCM_RIGHTS,
                        .cmsg_len = CMSG_LEN(sizeof(int)),
                };
                memcpy(CMSG_DATA(&control.header), &fd, sizeof(int));
        }
        return sendmsg(c->fd, &mh, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static int client_write(VarlinkClient *c, const char *data, size_t size, int fd) {
        while (size > 0) {
                ssize_t n;
                int r;

                r = client_wait(c, POLLOUT);
                if (r != 0)
                        return r;
                n = send_piece(c, data, size, fd);
                if (n < 0) {
                        if (errno == EAGAIN || errno == EINTR)
                                continue;
                        return errno == EPIPE || errno == ECONNRESET ? VARLINK_CLIENT_CLOSED : -errno;
                }
                fd = -1;
                data += n;
                size -= (size_t) n;
        }
        return 0;
}

int varlink_client_send(VarlinkClient *c, const char *method, json_t *parameters, int flags, int fd) {
        _cleanup_free_ char *text = NULL;
        json_t *message;

        message = json_pack("{s:s, s:o*}", "method", method, "parameters", parameters);
        if (!message)
                return -ENOMEM;
        if (flags && json_object_set_new(message, flags & VARLINK_CLIENT_MORE ? "more" : "oneway", json_true()) < 0) {
                json_decref(message);
                return -ENOMEM;
        }
        text = json_dumps(message, JSON_COMPACT);
        json_decref(message);
        if (!text)
                return -ENOMEM;
        return client_write(c, text, strlen(text) + 1, fd);
}

/* Keeps the first descriptor, closes the others. */
static void client_take_fds(VarlinkClient *c, struct msghdr *mh) {
        for (struct cmsghdr *h = CMSG_FIRSTHDR(mh); h; h = CMSG_NXTHDR(mh, h)) {
                size_t n = (h->cmsg_len - CMSG_LEN(0)) / sizeof(int);

                if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS)
                        continue;
                for (size_t i = 0; i < n; i++) {
                        int fd;

                        memcpy(&fd, CMSG_DATA(h) + i * sizeof(int), sizeof(int));
                        if (c->received_fd < 0)
                                c->received_fd = fd;
                        else
                                close(fd);
                }
        }
}

static int client_read(VarlinkClient *c) {
        union {
                struct cmsghdr header;
                char room[CMSG_SPACE(sizeof(int) * 4)];
        } control;
        struct iovec iov;
        struct msghdr mh = {
                .msg_iov = &iov,
                .msg_iovlen = 1,
                .msg_control = &control,
                .msg_controllen = sizeof(control),
        };
        ssize_t n;
        int r;

        buf_consume(&c->input, c->input_at);
        c->scanned -= c->input_at;
        c->input_at = 0;
        iov.iov_len = MIN_OF((size_t) READ_SIZE, c->input.max - c->input.size);
        if (iov.iov_len == 0)
                return VARLINK_CLIENT_BAD;
        if (buf_reserve(&c->input, iov.iov_len) != 0)
                return -ENOMEM;
        iov.iov_base = c->input.data + c->input.size;

        r = client_wait(c, POLLIN);
        if (r != 0)
                return r;
        n = recvmsg(c->fd, &mh, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        if (n < 0) {
                if (errno == EAGAIN || errno == EINTR)
                        return 0;
                return errno == ECONNRESET ? VARLINK_CLIENT_CLOSED : -errno;
        }
        client_take_fds(c, &mh);
        if (n == 0)
                return VARLINK_CLIENT_CLOSED;
        buf_commit(&c->input, (size_t) n);
        return 0;
}

/* 0, VARLINK_CLIENT_BAD, -ENOMEM. */
static int reply_parse(Slice s, json_t **ret_parameters, char **ret_error, bool *ret_continues) {
        json_t *json, *parameters, *error, *continues;
        _cleanup_free_ char *name = NULL;
        int r;

        if (!varlink_depth_is_bounded(s))
                return VARLINK_CLIENT_BAD;
        r = json_memory_parse(s, &json);
        if (r != 0)
                return r < 0 ? r : VARLINK_CLIENT_BAD;
        r = VARLINK_CLIENT_BAD;
        parameters = json_object_get(json, "parameters");
        error = json_object_get(json, "error");
        continues = json_object_get(json, "continues");
        if (json_is_object(json) && (!parameters || json_is_object(parameters)) && (!error || json_is_string(error)) &&
            (!continues || json_is_boolean(continues)))
                r = 0;
        if (r == 0 && error) {
                name = strdup(json_string_value(error));
                if (!name)
                        r = -ENOMEM;
        }
        if (r == 0) {
                *ret_continues = json_is_true(continues);
                *ret_error = TAKE_PTR(name);
                *ret_parameters = parameters ? json_incref(parameters) : json_object();
        }
        json_decref(json);
        return r;
}

int varlink_client_receive(VarlinkClient *c, json_t **ret_parameters, const char **ret_error, bool *ret_continues,
                           int *ret_fd) {
        const char *nul = NULL;
        size_t at;
        int r;

        for (;;) {
                if (c->scanned < c->input.size)
                        nul = memchr(c->input.data + c->scanned, '\0', c->input.size - c->scanned);
                if (nul)
                        break;
                c->scanned = c->input.size;
                r = client_read(c);
                if (r != 0)
                        return r;
        }
        free(c->error);
        c->error = NULL;
        at = c->input_at;
        c->input_at = c->scanned = (size_t) (nul - c->input.data) + 1;
        r = reply_parse((Slice){ c->input.data + at, c->input_at - 1 - at }, ret_parameters, &c->error, ret_continues);
        if (r != 0)
                return r;
        *ret_error = c->error;
        if (ret_fd) {
                *ret_fd = c->received_fd;
                c->received_fd = -1;
        }
        return 0;
}
