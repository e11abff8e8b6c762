/* SPDX-License-Identifier: BSD-2-Clause */
#include "io/call.h"

#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "io/deadline.h"
#include "io/dial.h"
#include "io/incoming.h"
#include "io/loop.h"
#include "io/outgoing.h"

/* Bytes of a body in one read, and reads in one turn of the loop. */
#define CHUNK_SIZE ((size_t) 64 * 1024)
#define TURN_CHUNKS 4
/* What is read beyond the end of a body where another answer follows: most heads come whole in it. */
#define BEYOND_SIZE 1024
/* What is left of an answer that nobody wants is read rather than asking again for the answers that follow it. */
#define SKIP_MAX (64 * 1024)
/* Answers in one turn of the loop. */
#define TURN_ANSWERS CALL_PIPELINE_MAX

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
        STATE_ENDED,            /* on_end is due with `end`; there is no connection */
} CallState;

struct Call {
        TAILQ_ENTRY(Call) link;         /* in the wire's */
        sd_event *event;                /* borrowed: the sources below hold it */
        Wire *wire;                     /* NULL: there is none yet, or no more */
        Deadline deadline;
        const CallConf *conf;
        const CallHandler *handler;
        void *userdata;
        Endpoint remote, local;
        Buf request;                    /* as sent, until it can't happen any more that it is sent again */
        Outgoing out;
        uint64_t n_left;                /* bytes of the body still to come */
        uint64_t n_window;              /* that came in this window */
        usec_t connect_at, connected_at, answered_at;
        usec_t step_ends_at;            /* of what is waited for in this state; boottime, as all of these */
        usec_t window_ends_at;
        usec_t total_ends_at;
        usec_t paused_at;
        Verb verb;
        CallState state;
        CallEnd end;
        int error;                      /* with CALL_FAILED */
        bool is_connected;
        bool was_open;                  /* the connection is one of the pool's */
        bool queued;                    /* sent behind others: until its turn */
        bool was_queued;
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

static void call_destroy(Call *c) {
        buf_done(&c->request);
        outgoing_done(&c->out);
        deadline_done(&c->deadline);
        free(c);
}

/* The Call ends in the next turn: on_end must not come from within call_new() or call_free(). */
static void call_end_later(Call *c, CallEnd end, int error) {
        c->state = STATE_ENDED;
        c->end = end;
        c->error = error;
        deadline_set(&c->deadline, 0);
}

/* ---- the connection ---- */

static int call_dial(Call *c);
static void call_begin_turn(Call *c);

static bool call_is_followed(const Call *c) {
        return TAILQ_NEXT(c, link);
}

static void call_join(Call *c, Wire *w) {
        c->wire = w;
        TAILQ_INSERT_TAIL(&w->calls, c, link);
        w->n_calls++;
}

static Wire *call_part(Call *c) {
        Wire *w = TAKE_PTR(c->wire);

        TAILQ_REMOVE(&w->calls, c, link);
        w->n_calls--;
        return w;
}

/* Asks on a new connection. */
static void call_begin_anew(Call *c) {
        int r;

        c->was_open = false;
        outgoing_done(&c->out);
        outgoing_begin(&c->out, buf_slice(&c->request), NULL);
        r = call_dial(c);
        if (r < 0)
                call_end_later(c, CALL_FAILED, r);
}

/* What will come on the connection behind the answer to c is nobody's: those that were sent behind it begin anew. */
static void call_cut(Call *c) {
        Wire *w = c->wire;
        Call *next;

        w->takes_more = false;
        while ((next = TAILQ_NEXT(c, link))) {
                w->cut = true;
                (void) call_part(next);
                next->total_ends_at = usec_add(boottime_read(), next->conf->total_timeout);
                call_begin_anew(next);
        }
}

/* Leaves the connection in the middle of its exchange. Who stands before it may end. */
static void call_leave_wire(Call *c) {
        Wire *w;

        if (!c->wire)
                return;
        call_cut(c);
        w = call_part(c);
        w->cut = true;
        if (w->n_calls > 0)
                return;
        call_pool_forget(w);
        wire_free(w);
}

/* Leaves it to whoever comes next: what was to be read for c is read, or skipped. */
static void call_hand_over(Call *c) {
        CallPool *pool = c->conf->pool;         /* it may have gone meanwhile */
        Wire *w = call_part(c);

        if (w->n_calls > 0)
                call_begin_turn(TAILQ_FIRST(&w->calls));
        else if (pool && !w->cut)
                call_pool_put(pool, w);
        else {
                call_pool_forget(w);
                wire_free(w);
        }
}

Call *call_free(Call *c) {
        if (!c || c->dead)
                return NULL;
        c->dead = true;
        call_leave_wire(c);
        deadline_done(&c->deadline);
        if (!c->dispatching)
                call_destroy(c);
        return NULL;
}

/* From event callbacks only. */
static void call_finish(Call *c, CallEnd end, int error) {
        call_leave_wire(c);
        c->state = STATE_ENDED;
        c->handler->on_end(c, end, error, c->userdata);
        call_free(c);
}

/* From event callbacks only. */
static void call_finish_broken(Call *c) {
        bool unanswered = c->state <= STATE_HEAD && c->wire->in.bytes.size == 0;

        /* An old connection, and the server was just closing it: that is no answer. */
        if (unanswered && c->was_open) {
                call_leave_wire(c);
                call_begin_anew(c);
                return;
        }
        /* Before the first byte of an answer nothing tells a refusal from a server that went away. */
        call_finish(c, unanswered ? CALL_REFUSED : CALL_BROKEN, 0);
}

/* The whole exchange is over, and nothing more was sent than what others have asked for. */
static void call_finish_well(Call *c) {
        call_hand_over(c);
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
                call_finish(c, c->end, c->error);
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

/* The handler wants no more of it. Others whose answers follow need not ask again for that. */
static void call_abort(Call *c) {
        if (call_is_followed(c) && c->n_left <= SKIP_MAX) {
                c->wire->n_skip = c->n_left;
                call_hand_over(c);
        }
        call_finish(c, CALL_ABORTED, 0);
}

static void call_parse_head(Call *c) {
        Incoming *in = &c->wire->in;
        MsgHead head;
        Reply reply;
        int r;

        r = msg_parse_response(buf_slice(&in->bytes), &head);
        if (r == MSG_PARTIAL) {
                in->unparsed = false;
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
        c->stays_open = !reply.close && (c->conf->pool || call_is_followed(c));
        if (!c->stays_open)
                call_cut(c);
        call_begin_window(c);
        call_begin_rest(c);
        r = c->handler->on_reply(c, &reply, (Slice){ in->bytes.data, head.size }, c->userdata);
        if (c->dead)
                return;
        if (r == 0 && c->n_left > 0 && !c->handler->on_body) {
                call_finish(c, CALL_BAD, 0);
                return;
        }
        incoming_consume(in, head.size);
        if (r < 0)
                call_abort(c);
}

/* What may be read of the answer to c, without the bytes of those behind it. */
static size_t call_share(const Call *c, size_t n) {
        return call_is_followed(c) || c->wire->cut ? (size_t) MIN_OF((uint64_t) n, c->n_left) : n;
}

/* One recv() into chunk; *ret_n is more than 0. false: no more in this turn, or the Call is over. */
static bool call_receive(Call *c, char *chunk, size_t size, size_t *ret_n) {
        ssize_t n = recv(wire_fd(c->wire), chunk, size, MSG_DONTWAIT);

        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return false;
        if (n < 0 && !errno_is_broken(errno))
                call_finish(c, CALL_FAILED, -errno);
        else if (n <= 0 && c->state == STATE_HEAD)
                call_finish_broken(c);
        else if (n <= 0)
                call_finish(c, c->state == STATE_CLOSING ? CALL_OK : CALL_BROKEN, 0);
        else {
                *ret_n = (size_t) n;
                return true;
        }
        return false;
}

/* The rest of the answer before. false: no more in this turn, or the Call is over. */
static bool call_skip(Call *c) {
        Wire *w = c->wire;
        char chunk[CHUNK_SIZE];
        size_t n = (size_t) MIN_OF((uint64_t) w->in.bytes.size, w->n_skip);

        if (n > 0)
                incoming_consume(&w->in, n);
        else if (!call_receive(c, chunk, (size_t) MIN_OF((uint64_t) sizeof(chunk), w->n_skip), &n))
                return false;
        w->n_skip -= n;
        return true;
}

/*
 * One read of the head, where what came with an answer before is not enough. false: no more in this turn, or the Call is
 * over.
 */
static bool call_read_head(Call *c) {
        Incoming *in = &c->wire->in;
        int r = 0;

        if (!in->unparsed)
                r = incoming_read(in, wire_fd(c->wire));
        if (r < 0)
                call_finish(c, CALL_FAILED, r);
        else if (r == INCOMING_CLOSED || r == INCOMING_BROKEN)
                call_finish_broken(c);
        else if (r == 0 && in->unparsed)
                call_parse_head(c);
        return r == 0 && !c->dead;
}

/* Bytes that came along with the head. false: the Call is over. */
static bool call_deliver_first(Call *c) {
        Wire *w = c->wire;
        size_t n = call_share(c, w->in.bytes.size);

        if (!call_deliver(c, (Slice){ w->in.bytes.data, n }))
                return false;
        incoming_consume(&w->in, n);
        return true;
}

/* One read of the body, or of what follows it. false: no more in this turn, or the Call is over. */
static bool call_read_body(Call *c) {
        Wire *w = c->wire;
        char chunk[CHUNK_SIZE];

        if (w->in.bytes.size > 0) {
                if (!call_deliver_first(c))
                        return false;
        } else {
                /* One byte more than is due would be one too many, where nothing else is. */
                const size_t beyond = call_is_followed(c) ? BEYOND_SIZE : w->cut ? 0 : 1;
                size_t n, share;
                int r;

                if (!call_receive(c, chunk, (size_t) MIN_OF(c->n_left + beyond, (uint64_t) sizeof(chunk)), &n))
                        return false;
                share = call_share(c, n);
                r = incoming_put(&w->in, (Slice){ chunk + share, n - share });
                if (r < 0) {
                        call_finish(c, CALL_FAILED, r);
                        return false;
                }
                if (!call_deliver(c, (Slice){ chunk, share }))
                        return false;
        }
        call_begin_rest(c);
        return true;
}

/* The body is whole: the server closes, or the connection is kept. false: no more in this turn, or the Call is over. */
static bool call_read_end(Call *c) {
        const Wire *w = c->wire;

        if (!w->cut && !call_is_followed(c) && (!c->stays_open || w->in.bytes.size > 0))
                return call_read_body(c);       /* finds what is beyond the length */
        call_finish_well(c);
        return false;
}

/* ---- the loop ---- */

static void call_begin_sending(Call *c) {
        c->is_connected = wire_local(c->wire, &c->local);
        c->connected_at = boottime_read();
        call_begin_step(c, STATE_READY, c->conf->answer_timeout);
}

/* What comes next on the connection is for it. */
static void call_tell_turn(Call *c) {
        if (!c->queued)
                return;
        c->queued = false;
        if (c->handler->on_turn)
                c->handler->on_turn(c, c->userdata);
}

static void call_begin_turn(Call *c) {
        c->total_ends_at = usec_add(boottime_read(), c->conf->total_timeout);
        call_begin_step(c, c->state, c->conf->answer_timeout);
        wire_enable(c->wire, true);     /* who was before may have paused */
        call_tell_turn(c);
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
        wire_enable(c->wire, false);
}

static void call_on_connected(Call *c) {
        int r = dial_finish(wire_fd(c->wire));

        if (r != 0) {
                call_finish(c, end_of_dial(r), MIN_OF(r, 0));
                return;
        }
        call_begin_sending(c);
        call_tell_turn(c);
}

/* As outgoing_send(). Calls no handler. */
static int call_push(Call *c) {
        size_t budget = SIZE_MAX;
        int r;

        r = outgoing_send(&c->out, wire_fd(c->wire), &budget);
        if (r < 0 || r == OUTGOING_BLOCKED)
                return r;
        /* Broken: a server that closed before it had read all may have said why. */
        outgoing_done(&c->out);
        c->state = STATE_HEAD;
        c->wire->takes_more = r == 0 && !c->wire->cut;
        if (!c->was_open)
                buf_done(&c->request);
        return 0;
}

/* false: no more in this turn, or the Call is over. */
static bool call_send(Call *c) {
        int r = call_push(c);

        if (r < 0)
                call_finish(c, CALL_FAILED, r);
        return r == 0;
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
                        if (c->wire->n_skip > 0)
                                more = n_chunks++ < TURN_CHUNKS && call_skip(c);
                        else
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
}

/* What the first Call of w waits for. */
static void wire_await(Wire *w) {
        const Call *c = TAILQ_FIRST(&w->calls);

        if (!c)
                return;
        if (call_is_held(c)) {
                wire_enable(w, false);
                return;
        }
        /*
         * What came already, or is over already, is no reason for the socket to be readable: take the next turn by its
         * being writable. Of a head that is not whole, the rest is.
         */
        const bool has_bytes = w->in.bytes.size > 0;
        const bool at_once = c->state == STATE_HEAD    ? w->in.unparsed :
                             c->state == STATE_CLOSING ? has_bytes || c->stays_open || w->cut :
                                                         has_bytes;
        wire_watch(w, c->state <= STATE_SENDING || at_once ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

static void call_leave(Call *c) {
        c->dispatching = false;
        if (c->dead)
                call_destroy(c);
}

/* false: that Call is not over. */
static bool wire_run(Wire *w) {
        Call *c = TAILQ_FIRST(&w->calls);
        bool over;

        c->dispatching = true;
        call_run(c);
        over = c->dead || c->wire != w;
        call_leave(c);
        return over;
}

static int wire_callback(_unused_ sd_event_source *s, _unused_ int fd, _unused_ uint32_t revents, void *userdata) {
        Wire *w = userdata;
        bool over = true;

        wire_enter(w);
        if (TAILQ_EMPTY(&w->calls)) {
                /* Closed, reset, or bytes that nobody asked for: of no use any more. */
                call_pool_forget(w);
                wire_free(w);
        }
        /* Further answers only where they have come already. */
        for (unsigned n = 0; over && !w->dead && !TAILQ_EMPTY(&w->calls) && (n == 0 || w->in.unparsed); n++) {
                if (n >= TURN_ANSWERS)
                        break;
                over = wire_run(w);
        }
        if (!w->dead)
                wire_await(w);
        wire_leave(w);
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
        Request copy = *request; /* shares what the original owns */
        int r;

        copy.close = !c->conf->pool;
        r = proto_write_request(&c->request, &copy);
        if (r != 0)
                return r < 0 ? r : -E2BIG;
        outgoing_begin(&c->out, buf_slice(&c->request), NULL);
        return 0;
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
        Wire *w;
        int fd, r;

        c->connect_at = boottime_read();
        r = dial_start(&c->remote, c->conf->has_source ? &c->conf->source : NULL, &fd);
        if (r < 0)
                return r;
        if (r > 0) {
                call_end_later(c, end_of_dial(r), 0);
                return 0;
        }

        call_limit_silence(c, fd);
        r = wire_new(c->event, fd, &c->remote, EPOLLIN | EPOLLOUT, wire_callback, &w);
        if (r < 0)
                return r;
        call_join(c, w);
        call_begin_step(c, STATE_CONNECTING, c->conf->connect_timeout);
        return 0;
}

/* Sends at once on a connection that stands, where no handler is to be asked before. */
static int call_begin_open(Call *c) {
        int r;

        call_begin_sending(c);
        r = c->handler->on_ready ? OUTGOING_BLOCKED : call_push(c);
        if (r < 0)
                return r;
        if (r > 0) {
                c->state = c->handler->on_ready ? STATE_READY : STATE_SENDING;
                c->wire->takes_more = false;
        }
        if (TAILQ_FIRST(&c->wire->calls) == c)
                wire_await(c->wire);
        return 0;
}

/* A connection that is kept open and in use, behind whose requests this one may be sent; or NULL. */
static Wire *call_find_line(const Call *c) {
        if (c->conf->n_pipelined < 2 || c->handler->on_ready)
                return NULL;
        return call_pool_find(c->conf->pool, &c->remote, MIN_OF(c->conf->n_pipelined, CALL_PIPELINE_MAX));
}

static int call_connect(Call *c) {
        Wire *w = NULL;

        c->connect_at = boottime_read();
        c->total_ends_at = usec_add(c->connect_at, c->conf->total_timeout);
        /* What is no GET can't be asked again, so it gets a connection that is surely there. */
        if (c->conf->pool && verb_is_get(c->verb)) {
                w = call_find_line(c);
                c->queued = c->was_queued = w;
                if (!w)
                        w = call_pool_take(c->conf->pool, &c->remote);
        }
        if (!w)
                return call_dial(c);
        c->was_open = true;
        call_join(c, w);
        int r = call_begin_open(c);
        if (c->queued) {        /* nothing is due before its turn */
                c->total_ends_at = c->step_ends_at = USEC_INFINITY;
                call_set_deadline(c);
        }
        return r;
}

int call_new(sd_event *e, const Endpoint *to, const Request *request, const CallConf *conf, const CallHandler *handler,
             void *userdata, Call **ret) {
        _cleanup_(call_free_p) Call *c = NULL;
        int r;

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
        };
        r = deadline_init(&c->deadline, e, call_deadline_callback, c);
        if (r == 0)
                r = call_write_request(c, request);
        if (r == 0)
                r = call_connect(c);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(c);
        return 0;
}

int call_set_request(Call *c, const Request *request) {
        assert(c->state == STATE_READY && request->verb == c->verb);
        outgoing_done(&c->out);
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
        wire_enable(c->wire, true);
}

bool call_is_queued(const Call *c) {
        return c->queued;
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
        if (c->was_open)
                return c->was_queued ? USEC_INFINITY : usec_sub(c->answered_at, c->connected_at);
        return usec_sub(c->connected_at, c->connect_at);
}

void call_pause(Call *c) {
        if (c->dead || c->paused)
                return;
        c->paused = true;
        c->paused_at = boottime_read();
        if (c->state == STATE_BODY || c->state == STATE_CLOSING)
                wire_enable(c->wire, false);
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
        wire_await(c->wire);
        wire_enable(c->wire, true);
}
