/* SPDX-License-Identifier: BSD-2-Clause */
#include "io/conn.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "io/deadline.h"
#include "io/incoming.h"
#include "io/loop.h"
#include "io/outgoing.h"
#include "io/send-window.h"

/* In one turn of the loop, so that one fast reader does not keep the others waiting. */
#define TURN_BYTES ((size_t) 256 * 1024)
#define TURN_REQUESTS 16

#define DRAIN_BYTES_MAX (64 * 1024)
#define DRAIN_USEC USEC_PER_SEC

/* What a request has left to arrive when no further one is wanted: it was sent before anybody could know. */
#define STOP_USEC (500 * USEC_PER_MSEC)

/* Beside the answers of outgoing_send(): the turn of this reply is still to come. */
#define SEND_HELD (OUTGOING_BROKEN + 1)

typedef enum ConnState {
        STATE_READING,          /* until a head is whole; silent while `in` is empty */
        STATE_ANSWERING,        /* the owner has the request: until conn_reply() */
        STATE_SENDING,
        STATE_DRAINING,         /* sending is shut down; `why` is known */
        STATE_ENDED,            /* on_end is due with `why` */
} ConnState;

struct Conn {
        Poller *poller;                 /* borrowed */
        Watch watch;                    /* its socket owned; -1: closed */
        Deadline deadline;
        const ConnConf *conf;
        const ConnHandler *handler;
        void *userdata;
        Endpoint remote;
        usec_t born_at;                 /* boottime, as all of these */
        usec_t request_at;

        Incoming in;
        Outgoing out;
        void *tag;
        SendWindow window;
        uint64_t n_granted;             /* bytes of the reply that its turn is for, and that are not sent yet */
        size_t budget;                  /* bytes that may still be sent in this turn */
        size_t head_size;               /* of what is in `in`, while the owner is told of it */
        int sent;                       /* while was_sent: what came of sending in conn_reply() */
        uint32_t events;                /* that the socket is watched for, or will be */
        uint32_t n_drained;

        ConnState state;
        ConnEnd why;
        bool has_reply;                 /* conn_reply() was called, on_replied not yet */
        ConnAfter after;                /* this reply */
        bool waits;                     /* is with the loop: most exchanges are over before they need it */
        bool was_sent;                  /* as much of the reply as this turn allows */
        bool stopping;
        bool held;                      /* SENDING: the turn is still to come */
        bool dispatching;
        bool dead;                      /* freed as soon as the callback under way is left */
};

static int conn_fd(const Conn *c) {
        return c->watch.fd;
}

static usec_t conn_now(const Conn *c) {
        return boottime_of_event(conn_event(c));
}

static usec_t conn_ends_at(const Conn *c) {
        return usec_add(c->born_at, c->conf->lifetime);
}

static void conn_watch(Conn *c, uint32_t events) {
        if (c->events == events)
                return;
        c->events = events;
        if (c->waits)
                poller_change(c->poller, &c->watch, events);
}

/* Tells the owner how its reply ended, if there is one. The owner may free the Conn meanwhile. */
static void conn_settle(Conn *c, bool ok) {
        uint64_t n_sent = c->out.body_sent;

        if (!c->has_reply)
                return;
        c->has_reply = false;
        outgoing_done(&c->out);
        c->handler->on_replied(c, c->tag, ok, n_sent, c->userdata);
}

static void conn_destroy(Conn *c) {
        outgoing_done(&c->out);
        incoming_done(&c->in);
        free(c);
}

Conn *conn_free(Conn *c) {
        if (!c || c->dead)
                return NULL;
        c->dead = true;
        if (c->waits)
                poller_remove(c->poller, &c->watch);
        (void) close(c->watch.fd); /* what was sent is the kernel's */
        c->watch.fd = -1;
        deadline_done(&c->deadline);
        conn_settle(c, false);
        if (!c->dispatching)
                conn_destroy(c);
        return NULL;
}

/* From event callbacks only. */
static void conn_finish(Conn *c, ConnEnd why) {
        conn_settle(c, false);
        if (c->dead)
                return;
        c->handler->on_end(c, why, c->userdata);
        conn_free(c);
}

/* Has on_end called by the loop, where it must not be called from here. */
static void conn_finish_later(Conn *c, ConnEnd why) {
        c->state = STATE_ENDED;
        c->why = why;
        conn_watch(c, 0);
        deadline_set(&c->deadline, 0);
}

static void conn_await_request(Conn *c) {
        usec_t now = conn_now(c);

        c->state = STATE_READING;
        if (c->in.bytes.size > 0)
                deadline_set(&c->deadline, usec_add(now, c->conf->request_timeout));
        else
                deadline_set(&c->deadline, MIN_OF(usec_add(now, c->conf->idle_timeout), conn_ends_at(c)));
}

/* ---- requests ---- */

static void conn_refuse(Conn *c, unsigned status) {
        c->state = STATE_ANSWERING;
        c->after = CONN_SHUTS_DOWN;
        c->why = status == 408 ? CONN_TIMEOUT : CONN_DONE;
        deadline_set(&c->deadline, USEC_INFINITY);
        c->handler->on_bad_request(c, status, buf_slice(&c->in.bytes), c->userdata);
        incoming_done(&c->in);
}

/* Hands the next head to the owner. false: there is no whole one. */
static bool conn_next_request(Conn *c) {
        MsgHead head;
        int r;

        if (!c->in.unparsed)
                return false;
        r = msg_parse_request(buf_slice(&c->in.bytes), &head);
        if (r == MSG_PARTIAL) {
                c->in.unparsed = false;
                return false;
        }
        if (r != 0) {
                conn_refuse(c, r == MSG_TOO_LARGE ? 431 : 400);
                return true;
        }

        c->state = STATE_ANSWERING;
        c->after = CONN_STAYS;
        c->why = CONN_DONE;
        c->request_at = conn_now(c);
        deadline_set(&c->deadline, USEC_INFINITY);
        c->head_size = head.size;
        c->handler->on_request(c, &head, (Slice){ c->in.bytes.data, head.size }, c->userdata);
        c->head_size = 0;
        incoming_consume(&c->in, head.size);
        return true;
}

/* false: the connection is over. */
static bool conn_read(Conn *c) {
        bool first = c->in.bytes.size == 0;
        int r;

        r = incoming_read(&c->in, conn_fd(c));
        if (r < 0)
                conn_finish(c, CONN_FAILED);
        else if (r == INCOMING_BROKEN || (r == INCOMING_CLOSED && !first))
                conn_finish(c, CONN_BROKEN);
        else if (r == INCOMING_CLOSED)
                conn_finish(c, CONN_CLOSED_BY_PEER);
        else {
                if (r == 0 && first)
                        deadline_set(&c->deadline,
                                     usec_add(conn_now(c), c->stopping ? STOP_USEC : c->conf->request_timeout));
                return true;
        }
        return false;
}

/* ---- replies ---- */

static usec_t conn_window(const Conn *c) {
        return c->conf->rate_window > 0 ? c->conf->rate_window : RATE_WINDOW_USEC;
}

static void conn_begin_window(Conn *c) {
        deadline_set(&c->deadline, send_window_begin(&c->window, conn_fd(c), conn_window(c), conn_now(c)));
}

/* Goes on with what was held back: the turn has come, or another one is to be asked for. */
static void conn_release(Conn *c) {
        c->held = false;
        deadline_set(&c->deadline, send_window_resume(&c->window, conn_now(c)));
}

/*
 * Is it this reply's turn in what all together may send? What has no body is no matter. Who must wait takes no part in
 * the loop until then; and is not slow meanwhile.
 */
static bool conn_has_turn(Conn *c) {
        uint64_t left = outgoing_body_left(&c->out);
        usec_t at;
        Now now;

        if (c->held)
                return false;
        if (!c->conf->pace || c->n_granted > 0 || left == 0)
                return true;
        now_of_event(conn_event(c), &now);
        c->n_granted = pace_take(c->conf->pace, left, &now, &at);
        if (at <= now.boottime)
                return true;
        c->held = true;
        send_window_pause(&c->window, now.boottime);
        deadline_set(&c->deadline, at);
        return false;
}

static void conn_drain(Conn *c) {
        char bytes[4096];

        while (c->n_drained < DRAIN_BYTES_MAX) {
                ssize_t n = recv(conn_fd(c), bytes, sizeof(bytes), MSG_DONTWAIT);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0 && errno == EAGAIN)
                        return;
                if (n <= 0)
                        break;
                c->n_drained += (uint32_t) n;
        }
        conn_finish(c, c->why);
}

/* Closes without losing what the peer has not read yet: closing with bytes of it unread would reset the connection. */
static void conn_shut_down(Conn *c, ConnEnd why) {
        c->state = STATE_DRAINING;
        c->why = why;
        c->n_drained = 0;
        incoming_done(&c->in);
        if (shutdown(conn_fd(c), SHUT_WR) < 0) {
                conn_finish(c, CONN_BROKEN);
                return;
        }
        deadline_set(&c->deadline, usec_add(conn_now(c), DRAIN_USEC));
        conn_watch(c, EPOLLIN);
        conn_drain(c);
}

/* Is it over with this reply, with nothing that came and was not read? Closing would reset it else. */
static bool conn_ends(const Conn *c) {
        return c->after == CONN_ENDS && c->in.bytes.size == c->head_size && !c->in.more;
}

static void conn_on_sent(Conn *c) {
        send_window_end(&c->window);
        conn_settle(c, true);
        if (c->dead)
                return;
        if (conn_ends(c))
                conn_finish(c, c->why);
        else if (c->after != CONN_STAYS)
                conn_shut_down(c, c->why);
        else if (c->stopping)
                conn_shut_down(c, CONN_STOPPED);
        else if (conn_now(c) >= conn_ends_at(c))
                conn_shut_down(c, CONN_LIFETIME);
        else
                conn_await_request(c);
}

/* Sends what can be sent now: as outgoing_send(), or SEND_HELD. Calls no handler. */
static int conn_push(Conn *c) {
        const uint64_t body_sent = c->out.body_sent;
        size_t share, n;
        int r;

        if (!conn_has_turn(c))
                return SEND_HELD;
        /* What was granted is for the body alone. */
        share = c->n_granted > 0 ? (size_t) MIN_OF((uint64_t) c->budget, c->n_granted + c->out.head.size) : c->budget;
        n = share;
        c->out.last = conn_ends(c);
        r = outgoing_send(&c->out, conn_fd(c), &share);
        n -= share;
        c->budget -= n;
        c->window.n_written += n;
        c->n_granted -= MIN_OF(c->out.body_sent - body_sent, c->n_granted);
        return r;
}

/* Sends what can be sent. false: no more in this turn, or the connection is over. */
static bool conn_send(Conn *c) {
        int r;

        r = c->was_sent ? c->sent : conn_push(c);
        c->was_sent = false;
        switch (r) {
        case SEND_HELD:
                return false;
        case 0:
                conn_on_sent(c);
                return !c->dead;
        case OUTGOING_BLOCKED:
        case OUTGOING_BUDGET:
                if (r == OUTGOING_BUDGET && c->budget > 0)
                        return true; /* the next turn may have come already */
                if (!c->window.open)
                        conn_begin_window(c);
                return false;
        case OUTGOING_BROKEN:
                conn_finish(c, CONN_BROKEN);
                return false;
        default:
                conn_finish(c, CONN_FAILED);
                return false;
        }
}

/* ---- the loop ---- */

/* Goes on until something must be waited for: bytes, the owner, room in the socket, or the next turn. */
static void conn_run(Conn *c, unsigned max_requests) {
        unsigned n_requests = 0;
        bool more = true;

        while (more && !c->dead)
                if (c->state == STATE_READING)
                        more = n_requests++ < max_requests && conn_next_request(c);
                else
                        more = c->state == STATE_SENDING && conn_send(c);
        if (c->dead)
                return;

        /* A socket that can be written to gives the next turn, also to a request that waits in the buffer. */
        if (c->state == STATE_SENDING && c->held)
                conn_watch(c, 0);
        else if (c->state == STATE_SENDING || (c->state == STATE_READING && c->in.unparsed))
                conn_watch(c, EPOLLOUT);
        else if (c->state == STATE_READING)
                conn_watch(c, EPOLLIN);
        else if (c->state == STATE_ANSWERING)
                conn_watch(c, c->events & ~(uint32_t) EPOLLOUT);
}

static void conn_on_events(Conn *c, uint32_t revents) {
        switch (c->state) {
        case STATE_READING:
                if (c->in.unparsed || conn_read(c))
                        conn_run(c, TURN_REQUESTS);
                return;
        case STATE_ANSWERING:
                if (revents & (EPOLLHUP | EPOLLERR))
                        conn_finish(c, CONN_BROKEN);
                else
                        conn_watch(c, 0); /* the next request waits in the kernel until this one is answered */
                return;
        case STATE_SENDING:
                if (revents & (EPOLLHUP | EPOLLERR))
                        conn_finish(c, CONN_BROKEN);
                else
                        conn_run(c, TURN_REQUESTS);
                return;
        case STATE_DRAINING:
                conn_drain(c);
                return;
        case STATE_ENDED:
                conn_finish(c, c->why);
        }
}

/* A last look: closing with a request unread would reset the connection, and with it the reply before. */
static void conn_end_silent(Conn *c) {
        if (!conn_read(c))
                return;
        if (c->in.bytes.size > 0)
                conn_run(c, TURN_REQUESTS);
        else
                conn_finish(c, CONN_STOPPED);
}

static void conn_on_deadline(Conn *c, usec_t now) {
        switch (c->state) {
        case STATE_READING:
                if (c->in.bytes.size > 0) {
                        conn_refuse(c, 408);
                        conn_run(c, TURN_REQUESTS);
                } else if (c->stopping)
                        conn_end_silent(c);
                else
                        conn_finish(c, now >= conn_ends_at(c) ? CONN_LIFETIME : CONN_IDLE);
                return;
        case STATE_ANSWERING:
                return;
        case STATE_SENDING:
                if (c->held) {
                        conn_release(c);
                        conn_run(c, TURN_REQUESTS);
                } else if (send_window_is_slow(&c->window, conn_fd(c), conn_window(c), c->conf->min_rate))
                        conn_finish(c, CONN_TOO_SLOW);
                else
                        conn_begin_window(c);
                return;
        case STATE_DRAINING:
        case STATE_ENDED:
                conn_finish(c, c->why);
        }
}

static int conn_deadline_callback(sd_event_source *s, uint64_t usec, void *userdata);

static int conn_attach(Conn *c) {
        int r;

        r = deadline_attach(&c->deadline, conn_event(c), conn_deadline_callback, c);
        if (r < 0)
                return r;
        r = poller_add(c->poller, &c->watch, c->events);
        if (r < 0)
                return r;
        c->waits = true;
        return 0;
}

static void conn_enter(Conn *c) {
        c->dispatching = true;
        c->budget = TURN_BYTES;
}

static void conn_leave(Conn *c) {
        if (!c->dead && !c->waits && conn_attach(c) < 0)
                conn_finish(c, CONN_FAILED);
        c->dispatching = false;
        if (c->dead)
                conn_destroy(c);
}

static void conn_watch_callback(Watch *w, uint32_t revents) {
        Conn *c = WATCH_OF(w, Conn, watch);

        conn_enter(c);
        conn_on_events(c, revents);
        conn_leave(c);
}

static int conn_deadline_callback(_unused_ sd_event_source *s, _unused_ uint64_t usec, void *userdata) {
        Conn *c = userdata;
        usec_t now = conn_now(c);

        if (!deadline_due(&c->deadline, now))
                return 0;
        conn_enter(c);
        conn_on_deadline(c, now);
        conn_leave(c);
        return 0;
}

/* ---- for the owner ---- */

int conn_new(Poller *p, int fd, const Endpoint *remote, const ConnConf *conf, const ConnHandler *handler,
             void *userdata, Conn **ret) {
        Conn *c;

        c = malloc(sizeof(*c));
        if (!c) {
                (void) close(fd);
                return -ENOMEM;
        }
        *c = (Conn){
                .poller = p,
                .watch = { .on_events = conn_watch_callback, .fd = fd },
                .events = EPOLLIN,
                .deadline = DEADLINE_INIT,
                .conf = conf,
                .handler = handler,
                .userdata = userdata,
                .remote = *remote,
                .in = INCOMING_INIT,
                .out = OUTGOING_INIT,
        };
        c->born_at = conn_now(c);
        conn_await_request(c);

        *ret = c;
        return 0;
}

void conn_start(Conn *c) {
        assert(!c->waits && !c->dispatching);

        /* One request: those that wait at the door come before a second one. */
        conn_enter(c);
        if (conn_read(c))
                conn_run(c, 1);
        conn_leave(c);
}

const Endpoint *conn_remote(const Conn *c) {
        return &c->remote;
}

usec_t conn_request_at(const Conn *c) {
        return c->request_at;
}

sd_event *conn_event(const Conn *c) {
        return poller_event(c->poller);
}

void conn_reply(Conn *c, Slice head, const ConnBody *body, ConnAfter after, void *tag) {
        assert(c->state == STATE_ANSWERING && !c->has_reply);

        c->tag = tag;
        c->has_reply = true;
        if (c->after != CONN_SHUTS_DOWN)
                c->after = after;
        outgoing_begin(&c->out, head, body);
        if (head.size == 0) {
                conn_finish_later(c, CONN_FAILED);
                return;
        }
        c->state = STATE_SENDING;
        c->n_granted = 0;
        /*
         * Within a callback all goes out that may now, as a rule the whole reply, so its head is never copied; what came
         * of it is seen to when the handler has returned. Else it goes out in the next turn.
         */
        if (c->dispatching) {
                c->sent = conn_push(c);
                c->was_sent = true;
        }
        if (outgoing_keep(&c->out) < 0)
                conn_finish_later(c, CONN_FAILED);
        else if (!c->dispatching)
                conn_watch(c, EPOLLOUT);
}

void conn_send_refusal(int fd, Slice head) {
        /* Nobody waits for it. The request is thrown away: closed with it unread, the connection would be reset. */
        (void) send(fd, head.data, head.size, MSG_DONTWAIT | MSG_NOSIGNAL);
        (void) recv(fd, NULL, MSG_HEAD_MAX, MSG_DONTWAIT | MSG_TRUNC);
}

void conn_pace_changed(Conn *c) {
        if (c->dead || !c->held)
                return;
        c->n_granted = 0;
        conn_release(c);
        conn_watch(c, EPOLLOUT);
}

void conn_stop(Conn *c) {
        if (c->dead || c->stopping)
                return;
        c->stopping = true;
        if (c->state != STATE_READING)
                return;
        /* 0: the next turn, which also reads what is there already. */
        const bool waits = c->request_at == 0 || c->in.bytes.size > 0;
        deadline_set(&c->deadline, waits ? usec_add(conn_now(c), STOP_USEC) : 0);
}
