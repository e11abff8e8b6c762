/* SPDX-License-Identifier: BSD-2-Clause */
#include "io/call-internal.h"

#include <sys/epoll.h>

#include "io/outgoing.h"

/* Reads of bodies in one turn of the loop. */
#define TURN_CHUNKS 4
/* Answers in one turn of the loop. */
#define TURN_ANSWERS CALL_PIPELINE_MAX

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

int call_push(Call *c) {
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

void call_await(Wire *w) {
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

int call_on_wire(_unused_ sd_event_source *s, _unused_ int fd, _unused_ uint32_t revents, void *userdata) {
        Wire *w = userdata;
        bool over = true;

        wire_enter(w);
        if (TAILQ_EMPTY(&w->calls))
                call_pool_drop(w);      /* closed, reset, or bytes that nobody asked for */
        /* Further answers only where they have come already. */
        for (unsigned n = 0; over && !w->dead && !TAILQ_EMPTY(&w->calls) && (n == 0 || w->in.unparsed); n++) {
                if (n >= TURN_ANSWERS)
                        break;
                over = wire_run(w);
        }
        if (!w->dead)
                call_await(w);
        wire_leave(w);
        return 0;
}
