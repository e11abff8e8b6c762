/* SPDX-License-Identifier: BSD-2-Clause */
#include "io/call.h"

#include <errno.h>

#include "io/call-internal.h"
#include "io/loop.h"

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

void call_end_later(Call *c, CallEnd end, int error) {
        c->state = STATE_ENDED;
        c->end = end;
        c->error = error;
        deadline_set(&c->deadline, 0);
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

void call_finish(Call *c, CallEnd end, int error) {
        call_leave_wire(c);
        c->state = STATE_ENDED;
        c->handler->on_end(c, end, error, c->userdata);
        call_free(c);
}

void call_leave(Call *c) {
        c->dispatching = false;
        if (c->dead)
                call_destroy(c);
}

/* ---- deadlines ---- */

void call_set_deadline(Call *c) {
        usec_t at = MIN_OF(c->step_ends_at, c->total_ends_at);

        if (c->state == STATE_BODY)
                at = MIN_OF(at, c->window_ends_at);
        deadline_set(&c->deadline, at);
}

/* The clock is read anew: a Call may be made late in a long turn, and round trips are compared between peers. */
void call_begin_step(Call *c, CallState state, usec_t timeout) {
        c->state = state;
        c->step_ends_at = usec_add(boottime_read(), timeout);
        call_set_deadline(c);
}

static usec_t call_window(const Call *c) {
        return c->conf->rate_window > 0 ? c->conf->rate_window : RATE_WINDOW_USEC;
}

void call_begin_window(Call *c) {
        c->n_window = 0;
        c->window_ends_at = usec_add(boottime_read(), call_window(c));
}

bool call_is_held(const Call *c) {
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
        call_await(c->wire);
        wire_enable(c->wire, true);
}
