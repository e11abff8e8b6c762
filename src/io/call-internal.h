/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * What the files of io/call share. Nobody else includes it.
 *
 *   call.c          a Call from call_new() to on_end: its deadlines, and what its owner may ask of it
 *   call-line.c     its place on a Wire: dialling, queueing behind others, moving up, leaving
 *   call-turn.c     what a Wire has its Calls do in a turn of the loop: sending, then what is next
 *   call-answer.c   reading: the head, the body, what is behind it
 *
 * Below them are io/wire (a connection, with the list of its Calls), io/call-pool (those that stay open) and io/dial.
 *
 * Only the first Call of a Wire reads; the others have sent their requests, or a part, and wait in STATE_HEAD or
 * STATE_SENDING without a deadline. A Call leaves its Wire in one of two ways. Its answer is read, or will be skipped:
 * call_hand_over(), and the next one's turn begins. Anything else: call_leave_wire(), and those behind it begin anew on
 * connections of their own, while those before it may end. Who leaves last closes the Wire or gives it to the pool.
 *
 * Any handler may free any Call, so after one was called only `dead` of the own Call may be looked at: a Call whose
 * callback is under way (`dispatching`) is freed when that is left, a Wire likewise. What calls no handler says so, or
 * is there for call_new() and call_free(), which must not.
 */

#include "core/address.h"
#include "core/base.h"
#include "core/buf.h"
#include "io/call.h"
#include "io/deadline.h"
#include "io/outgoing.h"
#include "io/wire.h"

#include <bsd/sys/queue.h>
#include <systemd/sd-event.h>

typedef enum CallState {
        STATE_CONNECTING,
        STATE_READY,            /* nothing is sent yet: on_ready decides */
        STATE_SENDING,
        STATE_HEAD,
        STATE_BODY,
        STATE_CLOSING,          /* the body is whole: waits for the other side to close */
        STATE_ENDED,            /* on_end is due; there is no connection */
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
        CallEnd end;                    /* of call_end_later() */
        int error;                      /* with CALL_FAILED */
        bool is_connected;
        bool was_open;                  /* the connection is one of the pool's */
        bool queued;                    /* sent behind others: until its turn */
        bool was_queued;
        bool stays_open;                /* the server does not close it after this exchange */
        bool paused;
        bool waits;                     /* for call_go() */
        bool dispatching;
        bool dead;                      /* freed as soon as the callback under way is left */
};

/* ---- call.c ---- */

/* The Call ends in the next turn: on_end must not come from within call_new() or call_free(). */
void call_end_later(Call *c, CallEnd end, int error);
/* Leaves the connection, tells on_end, frees. From event callbacks only. */
void call_finish(Call *c, CallEnd end, int error);
/* The callback under way is left: frees what is dead. */
void call_leave(Call *c);

/* In that state from now on, which may take `timeout` of what is waited for. */
void call_begin_step(Call *c, CallState state, usec_t timeout);
/* To whatever comes first of what limits this state. */
void call_set_deadline(Call *c);
/* What is measured against min_rate counts from now on. */
void call_begin_window(Call *c);
/* Waits for its owner: nothing is read or sent, and no deadline runs. */
bool call_is_held(const Call *c);

/* ---- call-line.c ---- */

/* On a connection that is open, if it may be, else on a new one. Calls no handler. -errno. */
int call_connect(Call *c) _must_check_;
/* STATE_CONNECTING is over. */
void call_on_connected(Call *c);
/* Are others behind it? */
static inline bool call_is_followed(const Call *c) {
        return TAILQ_NEXT(c, link);
}
/* What will come behind the answer to c is nobody's: those behind it begin anew. Calls no handler. */
void call_cut(Call *c);
/* Leaves the connection in the middle of its exchange; without one it does nothing. Calls no handler. */
void call_leave_wire(Call *c);
/*
 * Leaves the connection to whoever comes next: what was to be read for c is read, or skipped (n_skip). The end of c is
 * to follow, unless on_turn of the next, which is called, has freed it.
 */
void call_hand_over(Call *c);
/* It is closed, or broken, and c's answer has not begun: asks anew, or ends. */
void call_finish_broken(Call *c);

/* ---- call-turn.c ---- */

/* A sd_event_io_handler_t; userdata: the Wire. */
int call_on_wire(sd_event_source *s, int fd, uint32_t revents, void *userdata);
/* Has w watched for what its first Call waits for. */
void call_await(Wire *w);
/* Sends, and goes on to STATE_HEAD when all is out: 0; else as outgoing_send(). Calls no handler. */
int call_push(Call *c) _must_check_;

/* ---- call-answer.c ---- */

/* Each is for the first Call of a Wire, and reads once at most. false: no more in this turn, or the Call is over. */

/* The rest of the answer before (n_skip). */
bool call_skip(Call *c);
/* STATE_HEAD. Reads where what came with an answer before is not enough. */
bool call_read_head(Call *c);
/* STATE_BODY, or what follows it. */
bool call_read_body(Call *c);
/* STATE_CLOSING: the server closes, or the connection is kept. */
bool call_read_end(Call *c);
