/* SPDX-License-Identifier: BSD-2-Clause */
#include "io/call-internal.h"

#include <errno.h>
#include <sys/socket.h>

#include "io/incoming.h"
#include "io/loop.h"
#include "io/outgoing.h"

/* Bytes of a body in one read. */
#define CHUNK_SIZE ((size_t) 64 * 1024)
/* What is read beyond the end of a body where another answer follows: most heads come whole in it. */
#define BEYOND_SIZE 1024
/* What is left of an answer that nobody wants is read rather than asking again for the answers that follow it. */
#define SKIP_MAX (64 * 1024)
/*
 * How long the other side may take to close after its last byte. It was asked to, and its end shows that nothing is
 * sent beyond the length.
 */
#define CLOSE_USEC USEC_PER_SEC

/* Nothing on the connection is for it any more, and nothing more was sent than what others have asked for. */
static void call_finish_read(Call *c, CallEnd end) {
        call_hand_over(c);
        if (!c->dead)
                call_finish(c, end, 0);
}

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
                call_finish_read(c, CALL_ABORTED);
        } else
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

bool call_skip(Call *c) {
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

bool call_read_head(Call *c) {
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

bool call_read_body(Call *c) {
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

bool call_read_end(Call *c) {
        const Wire *w = c->wire;

        if (!w->cut && !call_is_followed(c) && (!c->stays_open || w->in.bytes.size > 0))
                return call_read_body(c);       /* finds what is beyond the length */
        call_finish_read(c, CALL_OK);
        return false;
}
