/* SPDX-License-Identifier: BSD-2-Clause */
#include "io/call-internal.h"

#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "io/dial.h"
#include "io/loop.h"
#include "io/outgoing.h"

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

/* ---- a new connection ---- */

/*
 * Who has vanished acknowledges nothing. A connection that was open then gets as much patience as a new one would: the
 * time for an answer is for those who are there, and slow.
 */
static void call_limit_silence(const Call *c, int fd) {
        int msec = (int) MIN_OF(MAX_OF(c->conf->connect_timeout / USEC_PER_MSEC, (usec_t) 1), (usec_t) INT_MAX);

        (void) setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &msec, sizeof(msec)); /* without it that takes longer */
}

static CallEnd end_of_dial(int r) {
        return r < 0 ? CALL_FAILED : r == DIAL_TIMEOUT ? CALL_TIMEOUT : CALL_REFUSED;
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
        r = wire_new(c->event, fd, &c->remote, EPOLLIN | EPOLLOUT, call_on_wire, &w);
        if (r < 0)
                return r;
        call_join(c, w);
        call_begin_step(c, STATE_CONNECTING, c->conf->connect_timeout);
        return 0;
}

void call_on_connected(Call *c) {
        int r = dial_finish(wire_fd(c->wire));

        if (r != 0) {
                call_finish(c, end_of_dial(r), MIN_OF(r, 0));
                return;
        }
        call_begin_sending(c);
        call_tell_turn(c);
}

/* ---- one that is open ---- */

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
                call_await(c->wire);
        return 0;
}

/* A connection that is kept open and in use, behind whose requests this one may be sent; or NULL. */
static Wire *call_find_line(const Call *c) {
        if (c->conf->n_pipelined < 2 || c->handler->on_ready)
                return NULL;
        return call_pool_find(c->conf->pool, &c->remote, MIN_OF(c->conf->n_pipelined, CALL_PIPELINE_MAX));
}

int call_connect(Call *c) {
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

/* ---- leaving ---- */

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

void call_cut(Call *c) {
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

void call_leave_wire(Call *c) {
        Wire *w;

        if (!c->wire)
                return;
        call_cut(c);
        w = call_part(c);
        w->cut = true;
        if (w->n_calls == 0)
                call_pool_drop(w);
}

void call_finish_broken(Call *c) {
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

static void call_begin_turn(Call *c) {
        c->total_ends_at = usec_add(boottime_read(), c->conf->total_timeout);
        call_begin_step(c, c->state, c->conf->answer_timeout);
        wire_enable(c->wire, true);     /* who was before may have paused */
        call_tell_turn(c);
}

void call_hand_over(Call *c) {
        CallPool *pool = c->conf->pool;         /* it may have gone meanwhile */
        Wire *w = call_part(c);

        c->state = STATE_ENDED;
        if (w->n_calls > 0)
                call_begin_turn(TAILQ_FIRST(&w->calls));
        else if (pool && !w->cut)
                call_pool_put(pool, w);
        else
                call_pool_drop(w);
}
