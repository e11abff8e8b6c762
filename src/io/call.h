/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * Call: one exchange as client: connect, send a request, read the head of the reply, stream its body to whoever
 * asked. With io/conn the only caller of recv and send. Belongs to one event loop.
 *
 * Without a pool each Call makes a connection of its own and asks the server to close it (Connection: close). After the
 * last byte of the body it waits up to 1 s for that close, so that what is sent beyond the length is found; a server
 * that stays is no fault.
 *
 * With a pool it takes a connection that is open already, if there is one, and leaves it open for the next, unless the
 * server says that it closes. What was not answered when such a connection broke is asked once more on a new one, if it
 * was a GET (protocol, section 1).
 *
 * With `n_pipelined` a GET is sent behind others on a connection that was kept open before (so the server does that:
 * RFC 9112, section 9.3.2), even if another is idle. Its answer is read when theirs are. When one of them leaves in the
 * middle, or the server closes behind its answer, those behind it begin anew, each on a connection of its own. Nothing
 * of that is their server's fault, so their handlers don't hear of it.
 *
 * Handlers are called from the event loop, never from within call_new(), call_pause() or call_resume(). call_free()
 * is allowed in each of them.
 */

#include "core/address.h"
#include "core/base.h"
#include "core/msg.h"
#include "core/proto.h"
#include "io/call-pool.h"

#include <systemd/sd-event.h>

typedef struct Call Call;

/*
 * Enough that a connection is never silent for a round trip where answers are larger than what is on the way in it, and so
 * few that one slow answer does not keep many waiting.
 */
#define CALL_PIPELINE_MAX 4

typedef struct CallConf {
        usec_t connect_timeout;         /* also: nothing that was sent is acknowledged for so long */
        usec_t answer_timeout;          /* from connected to a whole head of the reply */
        usec_t idle_timeout;            /* no byte of the body for so long */
        uint64_t min_rate;              /* of the body: bytes per second over 30 s; 0: none */
        usec_t rate_window;             /* what it is measured over; 0: 30 s */
        usec_t total_timeout;           /* of the whole call; USEC_INFINITY: none */
        bool has_source;
        Address source;                 /* own end, where the administrator bound the server to a concrete address */
        /* Connections that stay open; NULL: none do. Borrowed; may change in place, also to NULL. */
        CallPool *pool;
        /* Requests under way at once on a connection; at most CALL_PIPELINE_MAX; less than 2: one waits for the other. */
        unsigned n_pipelined;
} CallConf;

typedef enum CallEnd {
        CALL_OK,                        /* reply and body came whole */
        CALL_REFUSED,                   /* connection refused, no route; closed or reset before any answer */
        CALL_TIMEOUT,
        CALL_BROKEN,                    /* closed in the middle */
        CALL_BAD,                       /* answer does not follow the protocol, or too long */
        CALL_TOO_SLOW,
        CALL_ABORTED,                   /* the handler said so */
        CALL_FAILED,                    /* this host; error is a negative errno, else 0 */
} CallEnd;
/* "ok", "refused", "timeout", "broken", "malformed", "too-slow", "aborted", "failed" */
const char *call_end_name(CallEnd e);

/* Answers of on_ready */
enum {
        CALL_HOLD = 1,                  /* not yet: call_go() will tell */
};

typedef struct CallHandler {
        /* Head of the reply; slices valid during the call. bytes: as received. < 0: abort the call. */
        int (*on_reply)(Call *c, const Reply *reply, Slice bytes, void *userdata);
        /*
         * Bytes of the body, in order. < 0 aborts. May call call_pause(). NULL: bodies are refused (longer than 0:
         * CALL_BAD).
         */
        int (*on_body)(Call *c, Slice bytes, void *userdata);
        /* The end, exactly once, never from within call_new(). The Call is freed after it. */
        void (*on_end)(Call *c, CallEnd end, int error, void *userdata);
        /*
         * The connection stands, and the request is about to be sent: the last moment for call_set_request(). 0: send;
         * CALL_HOLD: wait, without a deadline, for call_go(). < 0: this host failed, the end of it. NULL: always 0.
         * Comes again where the request has to be sent again. A Call with it is never sent behind another.
         */
        int (*on_ready)(Call *c, void *userdata);
        /*
         * Where call_is_queued() held: now the answer is what comes next, and what limits it counts from now on. NULL:
         * of no interest.
         */
        void (*on_turn)(Call *c, void *userdata);
} CallHandler;

/*
 * request is written out at once and not kept. conf and handler are borrowed for the life of
 * the Call. -errno: this host failed, and no handler will be called. Whatever is wrong at the other end comes with
 * on_end.
 */
int call_new(sd_event *e, const Endpoint *to, const Request *request, const CallConf *conf, const CallHandler *handler,
             void *userdata, Call **ret) _must_check_;
/* Ends it without a word. */
Call *call_free(Call *c);
DEFINE_CLEANUP(Call *, call_free)

/* Another request in place of the first, of the same verb: from on_ready until it is sent. -errno. */
int call_set_request(Call *c, const Request *request) _must_check_;
/* After CALL_HOLD: the request is sent now. */
void call_go(Call *c);
/* Was it sent behind others that are not yet answered? Meanwhile it has no deadline: theirs are enough. */
bool call_is_queued(const Call *c);
const Endpoint *call_remote(const Call *c);
/* Own end of the connection; false before it stands. */
bool call_local(const Call *c, Endpoint *ret);
/* When the connection was made and the request sent: boottime; 0 before. What is answered was true then or later. */
usec_t call_sent_at(const Call *c);
/*
 * One round trip: from connect() to the connection, on one that was open from the request to the answer; 0 before.
 * USEC_INFINITY: it can't be told, since the answer had others before it.
 */
usec_t call_rtt(const Call *c);
/*
 * Stop and go on reading the body: what is read is bounded by what the disk takes. Meanwhile deadlines stand still
 * and no handler is called. Either may be called at any time; before the head of the reply a pause only holds the
 * body.
 */
void call_pause(Call *c);
void call_resume(Call *c);
