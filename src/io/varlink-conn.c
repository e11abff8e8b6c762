/* SPDX-License-Identifier: BSD-2-Clause */
#include "io/varlink-internal.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

/* A tool's call is some hundred bytes. */
#define READ_SIZE (16u << 10)

static int conn_fd(const VarlinkConn *c) {
        return sd_event_source_get_io_fd(c->io);
}

bool varlink_conn_is_congested(const VarlinkConn *c) {
        return c->output.size >= VARLINK_OUTPUT_CONGESTED;
}

/* Nothing more goes out; the rest is done in the next turn, since callers up the stack still use the connection. */
static void conn_break(VarlinkConn *c) {
        c->broken = true;
        buf_done(&c->output);
        varlink_conn_wake(c);
}

/* Not for what the other end did. */
static void conn_fail(VarlinkConn *c, int error) {
        if (!c->broken)
                varlink_server_failed(c->server, NULL, error);
        conn_break(c);
}

void varlink_conn_wake(VarlinkConn *c) {
        if (!c->in_turn)
                (void) sd_event_source_set_enabled(c->wake, SD_EVENT_ONESHOT);
}

/* ---- out ---- */

typedef struct Dump {
        Buf *output;
        int result;             /* of buf_append(): not 0 is the last */
} Dump;

/* jansson goes on after some failures, and then says that all went well. */
static int conn_dump(const char *data, size_t size, void *userdata) {
        Dump *d = userdata;

        if (d->result == 0)
                d->result = buf_append(d->output, data, size);
        return d->result == 0 ? 0 : -1;
}

int varlink_conn_queue(VarlinkConn *c, json_t *message, int fd) {
        Dump dump = { .output = &c->output };
        size_t before = c->output.size;
        int r = 0;

        if (c->broken) {
                json_decref(message);
                return 0;
        }
        /* The next call waits for this descriptor to leave, so there is never a second one. */
        assert(fd < 0 || c->output_fd < 0);
        if (!message)
                r = -ENOMEM;
        else if (fd >= 0) {
                c->output_fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
                c->output_fd_at = before;
                if (c->output_fd < 0)
                        r = -errno;
        }
        if (r == 0) {
                int k = json_dump_callback(message, conn_dump, &dump, JSON_COMPACT);
                if (dump.result == 0 && k == 0)
                        dump.result = buf_append_char(&c->output, '\0');
                if (dump.result == BUF_FULL)
                        r = -ENOBUFS;
                else if (dump.result != 0 || k < 0)
                        r = -ENOMEM;    /* what else would jansson lack? */
        }
        json_decref(message);
        if (r == 0 && c->output.size - before > VARLINK_MESSAGE_MAX + 1)
                r = -EMSGSIZE;
        if (r < 0)
                conn_fail(c, r);
        return r;
}

/* The next piece: a descriptor rides on the first byte of its message, so what lies before goes alone. */
static ssize_t conn_send(VarlinkConn *c) {
        union {
                struct cmsghdr header;
                char room[CMSG_SPACE(sizeof(int))];
        } control = {};
        struct iovec iov = { .iov_base = c->output.data, .iov_len = c->output.size };
        struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };

        if (c->output_fd >= 0 && c->output_fd_at > 0)
                iov.iov_len = c->output_fd_at;
        else if (c->output_fd >= 0) {
                mh.msg_control = &control;
                mh.msg_controllen = sizeof(control);
                control.header = (struct cmsghdr){
                        .cmsg_level = SOL_SOCKET,
                        .cmsg_type = SCM_RIGHTS,
                        .cmsg_len = CMSG_LEN(sizeof(int)),
                };
                memcpy(CMSG_DATA(&control.header), &c->output_fd, sizeof(int));
        }
        return sendmsg(conn_fd(c), &mh, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void conn_write(VarlinkConn *c) {
        while (!c->broken && c->output.size > 0) {
                ssize_t n = conn_send(c);

                if (n < 0) {
                        if (errno == EINTR)
                                continue;
                        if (errno != EAGAIN)
                                conn_break(c);
                        return;
                }
                if (c->output_fd >= 0) {
                        if (c->output_fd_at == 0) {
                                close(c->output_fd);
                                c->output_fd = -1;
                        } else
                                c->output_fd_at -= (size_t) n;
                }
                buf_consume(&c->output, (size_t) n);
        }
}

/* ---- in ---- */

static void conn_read(VarlinkConn *c) {
        union {
                struct cmsghdr header;
                char room[VARLINK_INPUT_CONTROL_SIZE];
        } control;
        struct iovec iov;
        struct msghdr mh = {
                .msg_iov = &iov,
                .msg_iovlen = 1,
                .msg_control = &control,
                .msg_controllen = VARLINK_INPUT_CONTROL_SIZE,
        };
        size_t before;
        ssize_t n;
        int r;

        varlink_conn_move_fds(c, c->input_at);
        buf_consume(&c->input, c->input_at);
        c->scanned -= MIN_OF(c->scanned, c->input_at);
        c->input_at = 0;

        /* The cap is the longest message and its NUL; who comes here with it full has sent a longer one. */
        iov.iov_len = MIN_OF((size_t) READ_SIZE, c->input.max - c->input.size);
        if (iov.iov_len == 0) {
                conn_break(c);
                return;
        }
        r = buf_reserve(&c->input, iov.iov_len);
        if (r != 0) {
                conn_fail(c, r);
                return;
        }
        iov.iov_base = c->input.data + c->input.size;
        n = recvmsg(conn_fd(c), &mh, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        if (n < 0) {
                if (errno != EAGAIN && errno != EINTR)
                        conn_break(c);
                return;
        }
        if (n == 0)
                c->eof = true;
        before = c->input.size;
        buf_commit(&c->input, (size_t) n);
        if (!varlink_conn_keep_fd(c, &mh, before))
                conn_break(c);
}

/* The next whole message without its NUL; false: there is none yet. */
static bool conn_peek(VarlinkConn *c, Slice *ret) {
        const char *start = c->input.data + c->input_at, *nul;

        if (c->scanned < c->input_at)
                c->scanned = c->input_at;
        if (c->scanned >= c->input.size)
                return false;
        nul = memchr(c->input.data + c->scanned, '\0', c->input.size - c->scanned);
        if (!nul) {
                c->scanned = c->input.size;
                return false;
        }
        c->scanned = (size_t) (nul - c->input.data);
        *ret = (Slice){ start, (size_t) (nul - start) };
        return true;
}

/* Takes the next message out; false: none, or the connection is broken by it. */
static bool conn_take(VarlinkConn *c, VarlinkMessage *ret) {
        Slice s;
        int fd, r;

        if (c->broken || !conn_peek(c, &s))
                return false;
        fd = varlink_conn_take_fd(c, c->input_at);
        c->input_at += s.size + 1;
        r = varlink_message_parse(s, ret);
        if (r == 0)
                ret->fd = fd;
        else {
                if (fd >= 0)
                        close(fd);
                conn_write(c);          /* what was answered before it still arrives */
                if (r < 0)
                        conn_fail(c, r);
                else
                        conn_break(c);
        }
        return r == 0;
}

static void conn_dispatch(VarlinkConn *c, VarlinkMessage *m) {
        int r;

        r = varlink_call_dispatch(c, m);
        if (r == 0)
                return;
        conn_write(c);                  /* likewise */
        if (r == -EPROTO)
                conn_break(c);
        else
                conn_fail(c, r);
}

/* ---- turns ---- */

static bool conn_may_call(const VarlinkConn *c) {
        return !c->broken && !c->call && c->output_fd < 0 && !varlink_conn_is_congested(c);
}

static void conn_resume(VarlinkConn *c) {
        void (*resume)(VarlinkCall *call, void *data);

        if (c->broken || !c->call || !c->call->resume || varlink_conn_is_congested(c))
                return;
        resume = TAKE_PTR(c->call->resume);
        resume(c->call, c->call->resume_data);
}

/* Sends, answers, sends. Frees the connection if it is over. */
static void conn_turn(VarlinkConn *c) {
        bool waiting = false;
        uint32_t events = 0;
        Slice s;
        int r;

        c->in_turn = true;
        conn_write(c);
        conn_resume(c);
        for (unsigned i = 0; conn_may_call(c) && i < VARLINK_CALLS_PER_TURN; i++) {
                VarlinkMessage m;

                if (!conn_take(c, &m))
                        break;
                conn_dispatch(c, &m);
        }
        conn_write(c);
        c->in_turn = false;

        if (!c->broken)
                waiting = conn_peek(c, &s);
        if (c->broken || (c->eof && !waiting && !c->call && c->output.size == 0)) {
                (void) varlink_conn_free(c);
                return;
        }
        /* More to do without an event: the rest of a pipeline, or of a stream that is not congested. */
        if ((waiting && conn_may_call(c)) || (c->call && c->call->resume && !varlink_conn_is_congested(c)))
                varlink_conn_wake(c);
        /* A call under way pauses reading: what the kernel holds bounds what a caller can pile up. */
        if (!c->eof && !waiting && conn_may_call(c))
                events |= EPOLLIN;
        if (c->output.size > 0)
                events |= EPOLLOUT;
        r = sd_event_source_set_io_events(c->io, events);
        if (r < 0) {
                conn_fail(c, r);
                (void) varlink_conn_free(c);
        }
}

/*
 * Nobody reads any more. Calls that want no reply are still run, since whoever makes one hangs up right after it; the
 * others were for nobody.
 */
static void conn_hang_up(VarlinkConn *c) {
        VarlinkMessage m;

        c->in_turn = true;
        buf_done(&c->output);
        if (c->call)
                varlink_call_abandon(c->call);
        if (!c->eof && !c->broken)
                conn_read(c);
        for (unsigned i = 0; i < VARLINK_CALLS_PER_TURN && conn_take(c, &m); i++) {
                if (m.oneway)
                        conn_dispatch(c, &m);
                else
                        varlink_message_done(&m);
                if (c->call)
                        varlink_call_abandon(c->call);
        }
        (void) varlink_conn_free(c);
}

static int conn_on_io(_unused_ sd_event_source *source, _unused_ int fd, uint32_t revents, void *userdata) {
        VarlinkConn *c = userdata;

        /* First. It comes even if no event is asked for: ignored while reading is paused it would spin the loop. */
        if (revents & (EPOLLHUP | EPOLLERR)) {
                conn_hang_up(c);
                return 0;
        }
        if (revents & EPOLLIN)
                conn_read(c);
        conn_turn(c);
        return 0;
}

static int conn_on_wake(_unused_ sd_event_source *source, void *userdata) {
        conn_turn(userdata);
        return 0;
}

/* ---- life ---- */

static int read_groups(int fd, gid_t **ret, size_t *ret_n) {
        _cleanup_free_ gid_t *groups = NULL;
        socklen_t size = 64 * sizeof(gid_t);

        for (;;) {
                free(groups);
                groups = malloc(size);
                if (!groups)
                        return -ENOMEM;
                if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &size) >= 0)
                        break;
                /* Too short: now size says how much is needed. */
                if (errno != ERANGE)
                        return -errno;
        }
        *ret = TAKE_PTR(groups);
        *ret_n = size / sizeof(gid_t);
        return 0;
}

static int conn_read_credentials(VarlinkConn *c, int fd) {
        struct ucred cred;
        socklen_t size = sizeof(cred);

        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &size) < 0)
                return -errno;
        c->uid = cred.uid;
        c->gid = cred.gid;
        return read_groups(fd, &c->groups, &c->n_groups);
}

int varlink_conn_new(VarlinkServer *s, int fd, VarlinkConn **ret) {
        _cleanup_(varlink_conn_free_p) VarlinkConn *c = NULL;
        int r;

        c = calloc(1, sizeof(*c));
        if (!c) {
                close(fd);
                return -ENOMEM;
        }
        c->server = s;
        c->output_fd = -1;
        buf_init(&c->input, VARLINK_MESSAGE_MAX + 1);
        buf_init(&c->output, VARLINK_OUTPUT_MAX);
        TAILQ_INSERT_TAIL(&s->conns, c, entry);

        r = sd_event_add_io(s->event, &c->io, fd, EPOLLIN, conn_on_io, c);
        if (r < 0) {
                close(fd);
                return r;
        }
        (void) sd_event_source_set_io_fd_own(c->io, true);
        r = conn_read_credentials(c, fd);
        if (r < 0)
                return r;
        r = sd_event_add_defer(s->event, &c->wake, conn_on_wake, c);
        if (r < 0)
                return r;
        r = sd_event_source_set_enabled(c->wake, SD_EVENT_OFF);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(c);
        return 0;
}

VarlinkConn *varlink_conn_free(VarlinkConn *c) {
        if (!c)
                return NULL;
        c->in_turn = true;
        if (c->io)
                conn_write(c);          /* the last replies of a daemon that ends */
        if (c->call)
                varlink_call_abandon(c->call);
        TAILQ_REMOVE(&c->server->conns, c, entry);
        sd_event_source_disable_unref(c->wake);
        sd_event_source_disable_unref(c->io);
        if (c->output_fd >= 0)
                close(c->output_fd);
        varlink_conn_close_fds(c);
        buf_done(&c->input);
        buf_done(&c->output);
        free(c->groups);
        free(c);
        return NULL;
}
