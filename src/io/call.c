/* SPDX-License-Identifier: BSD-2-Clause */
#include "io/call.h"

#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "io/deadline.h"
#include "io/dial.h"
#include "io/incoming.h"
#include "io/loop.h"
#include "io/outgoing.h"

/* Bytes of a body in one read, and reads in one turn of the loop. */
#define CHUNK_SIZE ((size_t) 64 * 1024)
#define TURN_CHUNKS 4

/*
 * How long the other side may take to close after its last byte. It was asked to, and its end shows that nothing is
 * sent beyond the length.
 */
#define CLOSE_USEC USEC_PER_SEC

typedef enum CallState {
        STATE_CONNECTING,
        STATE_READY,            /* nothing is sent yet: on_ready decides */
        STATE_SENDING,
        STATE_HEAD,
        STATE_BODY,
        STATE_CLOSING,          /* the body is whole: waits for the other side to close */
        STATE_ENDED,            /* on_end is due with `end`; there is no socket */
} CallState;

struct Call {
        sd_event *event;                /* borrowed: the sources below hold it */
        sd_event_source *io;            /* owned, and owns the socket */
        Deadline deadline;
        const CallConf *conf;
        const CallHandler *handler;
        void *userdata;
        Endpoint remote, local;
        Buf request;                    /* as sent, where it may have to be sent again; else empty */
        Outgoing out;
        Incoming in;
        uint64_t n_left;                /* bytes of the body still to come */
        uint64_t n_window;              /* that came in this window */
        usec_t connect_at, connected_at, answered_at;
        usec_t step_ends_at;            /* of what is waited for in this state; boottime, as all of these */
        usec_t window_ends_at;
        usec_t total_ends_at;
        usec_t paused_at;
        uint32_t events;
        Verb verb;
        CallState state;
        CallEnd end;
        bool is_connected;
        bool was_open;                  /* the connection is one of the pool's */
        bool stays_open;                /* the server does not close it after this exchange */
        bool paused;
        bool waits;             /* for call_go() */
        bool dispatching;
        bool dead;                      /* freed as soon as the callback under way is left */
};

static const char *const end_names[] = {
        [CALL_OK] = "ok",
        [CALL_REFUSED] = "refused",
        [CALL_TIMEOUT] = "timeout",
        [CALL_BROKEN] = "broken",
        [CALL_BAD] = "malformed",
        [CALL_TOO_SLOW] = "too-slow",
        [CALL_ABORTED] = "aborted",
        [CALL_FAILED] = "failed",
};

const char *call_end_name(CallEnd e) {
        return end_names[e];
}

static int call_fd(const Call *c) {
        return sd_event_source_get_io_fd(c->io);
}

static void call_watch(Call *c, uint32_t events) {
        if (c->events == events)
                return;
        c->events = events;
        (void) sd_event_source_set_io_events(c->io, events); /* changing takes no memory, so it does not fail */
}

static void call_destroy(Call *c) {
        buf_done(&c->request);
        outgoing_done(&c->out);
        incoming_done(&c->in);
        deadline_done(&c->deadline);
        event_source_free(c->io);
        free(c);
}

Call *call_free(Call *c) {
        if (!c || c->dead)
                return NULL;
        c->dead = true;
        c->io = event_source_free(c->io);
        deadline_done(&c->deadline);
        if (!c->dispatching)
                call_destroy(c);
        return NULL;
}

/* From event callbacks only. */
static void call_finish(Call *c, CallEnd end, int error) {
        c->state = STATE_ENDED;
        c->handler->on_end(c, end, error, c->userdata);
        call_free(c);
}

static int call_dial(Call *c);

/* The connection was an old one, and the server was just closing it: asks on a new one. false: that is no way out. */
static bool call_ask_again(Call *c) {
        int r;

        if (!c->was_open || c->request.size == 0)
                return false;
        c->was_open = false;
        c->io = event_source_free(c->io);
        incoming_done(&c->in);
        c->in = INCOMING_INIT;
        outgoing_done(&c->out);
        outgoing_begin(&c->out, buf_slice(&c->request), NULL);
        r = outgoing_keep(&c->out);
        if (r == 0)
                r = call_dial(c);
        if (r < 0)
                call_finish(c, CALL_FAILED, r);
        return true;
}

static void call_finish_broken(Call *c) {
        bool unanswered = c->state <= STATE_HEAD && c->in.bytes.size == 0;

        if (unanswered && call_ask_again(c))
                return;
        /* Before the first byte of an answer nothing tells a refusal from a server that went away. */
        call_finish(c, unanswered ? CALL_REFUSED : CALL_BROKEN, 0);
}

/* The whole exchange is over, and nothing more was sent. */
static void call_finish_well(Call *c) {
        if (c->stays_open && c->conf->pool && c->io) {  /* the pool may have gone meanwhile */
                int fd = call_fd(c);

                (void) sd_event_source_set_io_fd_own(c->io, false);     /* a valid source: can't fail */
                c->io = event_source_free(c->io);
                call_pool_put(c->conf->pool, &c->remote, fd);
        }
        call_finish(c, CALL_OK, 0);
}

static CallEnd end_of_dial(int r) {
        return r < 0 ? CALL_FAILED : r == DIAL_TIMEOUT ? CALL_TIMEOUT : CALL_REFUSED;
}

/* ---- deadlines ---- */

static void call_set_deadline(Call *c) {
        usec_t at = MIN_OF(c->step_ends_at, c->total_ends_at);

        if (c->state == STATE_BODY)
                at = MIN_OF(at, c->window_ends_at);
        deadline_set(&c->deadline, at);
}

/* The clock is read anew: a Call may be made late in a long turn, and round trips are compared between peers. */
static void call_begin_step(Call *c, CallState state, usec_t timeout) {
        c->state = state;
        c->step_ends_at = usec_add(boottime_read(), timeout);
        call_set_deadline(c);
}

static usec_t call_window(const Call *c) {
        return c->conf->rate_window > 0 ? c->conf->rate_window : RATE_WINDOW_USEC;
}

static void call_begin_window(Call *c) {
        c->n_window = 0;
        c->window_ends_at = usec_add(boottime_read(), call_window(c));
}

static bool call_is_held(const Call *c) {
        return c->waits || (c->paused && (c->state == STATE_BODY || c->state == STATE_CLOSING));
}

static void call_on_deadline(Call *c, usec_t now) {
        if (c->state == STATE_ENDED)
                call_finish(c, c->end, 0);
        else if (now >= c->total_ends_at)
                call_finish(c, CALL_TIMEOUT, 0);
        else if (now >= c->step_ends_at)
                call_finish(c, c->state == STATE_CLOSING ? CALL_OK : CALL_TIMEOUT, 0);
        else if (c->state == STATE_BODY && now >= c->window_ends_at) {
                if (c->conf->min_rate > 0 && rate_is_too_slow(c->n_window, call_window(c), c->conf->min_rate)) {
                        call_finish(c, CALL_TOO_SLOW, 0);
                        return;
                }
                call_begin_window(c);
                call_set_deadline(c);
        } else
                call_set_deadline(c);
}

/* ---- the reply ---- */

/* false: the Call is over. */
static bool call_deliver(Call *c, Slice bytes) {
        if (bytes.size > c->n_left) {
                call_finish(c, CALL_BAD, 0);
                return false;
        }
        c->n_left -= bytes.size;
        c->n_window += bytes.size;
        if (c->handler->on_body(c, bytes, c->userdata) < 0 && !c->dead)
                call_finish(c, CALL_ABORTED, 0);
        return !c->dead;
}

/* What is next, by what is left of the body. */
static void call_begin_rest(Call *c) {
        if (c->n_left > 0)
                call_begin_step(c, STATE_BODY, c->conf->idle_timeout);
        else
                call_begin_step(c, STATE_CLOSING, CLOSE_USEC);
}

static void call_parse_head(Call *c) {
        MsgHead head;
        Reply reply;
        int r;

        r = msg_parse_response(buf_slice(&c->in.bytes), &head);
        if (r == MSG_PARTIAL) {
                c->in.unparsed = false;
                return;
        }
        if (r == 0)
                r = proto_parse_reply(&head, c->verb, &reply);
        if (r < 0) {
                call_finish(c, CALL_FAILED, r);
                return;
        }
        if (r > 0) {
                call_finish(c, CALL_BAD, 0);
                return;
        }

        c->n_left = reply.has_length ? reply.length : 0;
        c->answered_at = boottime_read();
        c->stays_open = c->conf->pool && !reply.close;
        call_begin_window(c);
        call_begin_rest(c);
        r = c->handler->on_reply(c, &reply, (Slice){ c->in.bytes.data, head.size }, c->userdata);
        if (c->dead)
                return;
        if (r < 0)
                call_finish(c, CALL_ABORTED, 0);
        else if (c->n_left > 0 && !c->handler->on_body)
                call_finish(c, CALL_BAD, 0);
        else
                incoming_consume(&c->in, head.size);
}

/* One read of the head. false: no more in this turn, or the Call is over. */
static bool call_read_head(Call *c) {
        int r;

        r = incoming_read(&c->in, call_fd(c));
        if (r < 0)
                call_finish(c, CALL_FAILED, r);
        else if (r == INCOMING_CLOSED || r == INCOMING_BROKEN)
                call_finish_broken(c);
        else if (r == 0 && c->in.unparsed)
                call_parse_head(c);
        return r == 0 && !c->dead;
}

/* Bytes that came along with the head. false: the Call is over. */
static bool call_deliver_first(Call *c) {
        bool goes_on = call_deliver(c, buf_slice(&c->in.bytes));

        incoming_done(&c->in);
        return goes_on;
}

/* One read of the body, or of what follows it. false: no more in this turn, or the Call is over. */
static bool call_read_body(Call *c) {
        char chunk[CHUNK_SIZE];
        ssize_t n;

        if (c->in.bytes.size > 0) {
                if (!call_deliver_first(c))
                        return false;
        } else {
                /* One byte more than is due would be one too many. */
                n = recv(call_fd(c), chunk, (size_t) MIN_OF(c->n_left + 1, (uint64_t) sizeof(chunk)), MSG_DONTWAIT);
                if (n < 0 && (errno == EAGAIN || errno == EINTR))
                        return false;
                if (n < 0 && !errno_is_broken(errno)) {
                        call_finish(c, CALL_FAILED, -errno);
                        return false;
                }
                if (n <= 0) {
                        call_finish(c, c->state == STATE_CLOSING ? CALL_OK : CALL_BROKEN, 0);
                        return false;
                }
                if (!call_deliver(c, (Slice){ chunk, (size_t) n }))
                        return false;
        }
        call_begin_rest(c);
        return true;
}

/* The body is whole: the server closes, or the connection is kept. false: no more in this turn, or the Call is over. */
static bool call_read_end(Call *c) {
        if (!c->stays_open || c->in.bytes.size > 0)
                return call_read_body(c);       /* finds what is beyond the length */
        call_finish_well(c);
        return false;
}

/* ---- the loop ---- */

static void call_begin_sending(Call *c) {
        struct sockaddr_storage local;
        socklen_t size = sizeof(local);

        if (getsockname(call_fd(c), (struct sockaddr *) &local, &size) == 0)
                c->is_connected = endpoint_from_sockaddr((struct sockaddr *) &local, &c->local) == 0;
        c->connected_at = boottime_read();
        call_begin_step(c, STATE_READY, c->conf->answer_timeout);
}

/* Off, not only deaf, for the same reason as in call_pause(). */
static void call_on_ready(Call *c) {
        int r = c->handler->on_ready ? c->handler->on_ready(c, c->userdata) : 0;

        if (c->dead)
                return;
        if (r < 0) {
                call_finish(c, CALL_FAILED, r);
                return;
        }
        if (r != CALL_HOLD) {
                c->state = STATE_SENDING;
                return;
        }
        c->waits = true;
        (void) sd_event_source_set_enabled(c->io, SD_EVENT_OFF);
}

static void call_on_connected(Call *c) {
        int r = dial_finish(call_fd(c));

        if (r != 0)
                call_finish(c, end_of_dial(r), MIN_OF(r, 0));
        else
                call_begin_sending(c);
}

/* false: no more in this turn, or the Call is over. */
static bool call_send(Call *c) {
        size_t budget = SIZE_MAX;
        int r;

        r = outgoing_send(&c->out, call_fd(c), &budget);
        if (r < 0) {
                call_finish(c, CALL_FAILED, r);
                return false;
        }
        if (r == OUTGOING_BLOCKED)
                return false;
        /* Broken: a server that closed before it had read all may have said why. */
        outgoing_done(&c->out);
        c->state = STATE_HEAD;
        return true;
}

/* Goes on until something must be waited for. */
static void call_run(Call *c) {
        bool more = true;

        for (unsigned n_chunks = 0; more && !c->dead && !call_is_held(c);)
                switch (c->state) {
                case STATE_CONNECTING:
                        call_on_connected(c);
                        break;
                case STATE_READY:
                        call_on_ready(c);
                        break;
                case STATE_SENDING:
                        more = call_send(c);
                        break;
                case STATE_HEAD:
                        more = call_read_head(c);
                        break;
                case STATE_BODY:
                        more = n_chunks++ < TURN_CHUNKS && call_read_body(c);
                        break;
                case STATE_CLOSING:
                        more = (c->stays_open || n_chunks++ < TURN_CHUNKS) && call_read_end(c);
                        break;
                case STATE_ENDED:
                        more = false;
                        break;
                }
        if (c->dead || call_is_held(c))
                return;
        /*
         * Bytes that came with the head are no reason for the socket to be readable: take the next turn by its being
         * writable.
         */
        call_watch(c, c->state <= STATE_SENDING || c->in.bytes.size > 0 ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

static void call_leave(Call *c) {
        c->dispatching = false;
        if (c->dead)
                call_destroy(c);
}

static int call_io_callback(_unused_ sd_event_source *s, _unused_ int fd, _unused_ uint32_t revents, void *userdata) {
        Call *c = userdata;

        c->dispatching = true;
        call_run(c);
        call_leave(c);
        return 0;
}

static int call_deadline_callback(_unused_ sd_event_source *s, _unused_ uint64_t usec, void *userdata) {
        Call *c = userdata;
        usec_t now = boottime_read();

        if (!deadline_due(&c->deadline, now))
                return 0;
        if (call_is_held(c))
                return 0; /* call_resume() sets it again */
        c->dispatching = true;
        call_on_deadline(c, now);
        call_leave(c);
        return 0;
}

/* ---- for the owner ---- */

static int call_write_request(Call *c, const Request *request) {
        _cleanup_buf_ Buf head = BUF_INIT(MSG_HEAD_MAX);
        Request copy = *request; /* shares what the original owns */
        int r;

        copy.close = !c->conf->pool;
        r = proto_write_request(&head, &copy);
        if (r != 0)
                return r < 0 ? r : -E2BIG;
        if (c->was_open) {
                r = buf_append_slice(&c->request, buf_slice(&head));
                if (r != 0)
                        return r < 0 ? r : -E2BIG;
        }
        outgoing_begin(&c->out, buf_slice(&head), NULL);
        return outgoing_keep(&c->out);
}

/* The Call ends in the next turn: on_end must not come from within call_new(). */
static void call_end_later(Call *c, CallEnd end) {
        c->state = STATE_ENDED;
        c->end = end;
        deadline_set(&c->deadline, 0);
}

static int call_own(Call *c, int fd) {
        int r;

        c->events = EPOLLIN | EPOLLOUT;
        r = sd_event_add_io(c->event, &c->io, fd, c->events, call_io_callback, c);
        if (r >= 0)
                r = sd_event_source_set_io_fd_own(c->io, true);
        if (r < 0)
                (void) close(fd);
        return MIN_OF(r, 0);
}

/*
 * Who has vanished acknowledges nothing. A connection that was open then gets as much patience as a new one would: the
 * time for an answer is for those who are there, and slow.
 */
static void call_limit_silence(const Call *c, int fd) {
        int msec = (int) MIN_OF(MAX_OF(c->conf->connect_timeout / USEC_PER_MSEC, (usec_t) 1), (usec_t) INT_MAX);

        (void) setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &msec, sizeof(msec)); /* without it that takes longer */
}

static int call_dial(Call *c) {
        int fd, r;

        c->connect_at = boottime_read();
        r = dial_start(&c->remote, c->conf->has_source ? &c->conf->source : NULL, &fd);
        if (r < 0)
                return r;
        if (r > 0) {
                call_end_later(c, end_of_dial(r));
                return 0;
        }

        call_limit_silence(c, fd);
        r = call_own(c, fd);
        if (r == 0)
                call_begin_step(c, STATE_CONNECTING, c->conf->connect_timeout);
        return r;
}

/* fd: of the pool, or -1. */
static int call_connect(Call *c, int fd) {
        int r;

        c->connect_at = boottime_read();
        c->total_ends_at = usec_add(c->connect_at, c->conf->total_timeout);
        if (fd < 0)
                return call_dial(c);
        r = call_own(c, fd);
        if (r == 0)
                call_begin_sending(c);
        return r;
}

int call_new(sd_event *e, const Endpoint *to, const Request *request, const CallConf *conf, const CallHandler *handler,
             void *userdata, Call **ret) {
        _cleanup_(call_free_p) Call *c = NULL;
        int fd = -1, r;

        c = malloc(sizeof(*c));
        if (!c)
                return -ENOMEM;
        *c = (Call){
                .event = e,
                .conf = conf,
                .handler = handler,
                .userdata = userdata,
                .remote = *to,
                .verb = request->verb,
                .request = BUF_INIT(MSG_HEAD_MAX),
                .out = OUTGOING_INIT,
                .in = INCOMING_INIT,
        };
        r = deadline_init(&c->deadline, e, call_deadline_callback, c);
        if (r < 0)
                return r;
        /* What is no GET can't be asked again, so it gets a connection that is surely there. */
        c->was_open = conf->pool && verb_is_get(request->verb) && call_pool_take(conf->pool, to, &fd);
        r = call_write_request(c, request);
        if (r < 0) {
                if (fd >= 0)
                        (void) close(fd);
                return r;
        }
        r = call_connect(c, fd);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(c);
        return 0;
}

int call_set_request(Call *c, const Request *request) {
        assert(c->state == STATE_READY && request->verb == c->verb);
        outgoing_done(&c->out);
        c->out = OUTGOING_INIT;
        buf_clear(&c->request);
        return call_write_request(c, request);
}

void call_go(Call *c) {
        if (c->dead || !c->waits)
                return;
        c->waits = false;
        /* What is measured on a connection that was open begins now. */
        if (c->was_open)
                c->connected_at = boottime_read();
        call_begin_step(c, STATE_SENDING, c->conf->answer_timeout);
        (void) sd_event_source_set_enabled(c->io, SD_EVENT_ON); /* without memory for it, the deadline ends the Call */
}

const Endpoint *call_remote(const Call *c) {
        return &c->remote;
}

bool call_local(const Call *c, Endpoint *ret) {
        if (c->is_connected)
                *ret = c->local;
        return c->is_connected;
}

usec_t call_sent_at(const Call *c) {
        return c->connected_at;
}

usec_t call_rtt(const Call *c) {
        return c->was_open ? usec_sub(c->answered_at, c->connected_at) : usec_sub(c->connected_at, c->connect_at);
}

void call_pause(Call *c) {
        if (c->dead || c->paused)
                return;
        c->paused = true;
        c->paused_at = boottime_read();
        /* Off, not only deaf: a connection that was reset would report that without end. */
        if (c->state == STATE_BODY || c->state == STATE_CLOSING)
                (void) sd_event_source_set_enabled(c->io, SD_EVENT_OFF);
}

void call_resume(Call *c) {
        usec_t paused;

        if (c->dead || !c->paused)
                return;
        c->paused = false;
        if (c->state != STATE_BODY && c->state != STATE_CLOSING)
                return;
        paused = usec_sub(boottime_read(), c->paused_at);
        c->step_ends_at = usec_add(c->step_ends_at, paused);
        c->window_ends_at = usec_add(c->window_ends_at, paused);
        c->total_ends_at = usec_add(c->total_ends_at, paused);
        call_set_deadline(c);
        if (c->in.bytes.size > 0)
                call_watch(c, EPOLLIN | EPOLLOUT);
        (void) sd_event_source_set_enabled(c->io, SD_EVENT_ON); /* without memory for it, a deadline ends the Call */
}
