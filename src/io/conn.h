/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * Conn: one accepted connection: reads request heads, sends replies in order, closes what is too slow. Knows framing
 * (core/msg), not verbs. With io/call the only caller of recv, send and sendfile. Belongs to one event loop.
 *
 * Deadlines: one per connection, re-armed at state changes, not at reads: a request head must be whole
 * request_timeout after its first byte; a silent connection is closed after idle_timeout; a reader slower than
 * min_rate over 30 s is cut, and one that takes nothing at all in 30 s also without min_rate (the time that a reply waits
 * for its turn, where bodies are sent at a Pace, is not the reader's and does not count); after lifetime the
 * connection ends when the reply under way is out. What is closed by this end is shut down for sending first and read
 * empty for a moment (64 KiB, 1 s), so that no reset destroys the reply.
 *
 * Handlers are called from the event loop and conn_start(), never from within conn_new(), conn_reply() or conn_stop(). conn_free() is
 * allowed in each of them. A peer that only closed its sending half after a whole request still gets its reply.
 *
 * SIGPIPE must be ignored (loop_add_signals()).
 */

#include "core/address.h"
#include "core/base.h"
#include "core/buf.h"
#include "core/msg.h"
#include "io/pace.h"
#include "io/poller.h"

#include <systemd/sd-event.h>

typedef struct Conn Conn;

typedef struct ConnConf {
        usec_t request_timeout;
        usec_t idle_timeout;
        usec_t lifetime;                /* USEC_INFINITY: none */
        uint64_t min_rate;              /* bytes per second, 0: none */
        usec_t rate_window;             /* what it is measured over; 0: 30 s */
        Pace *pace;                     /* borrowed: what all that share it may send together; NULL: no limit */
} ConnConf;

/* Why a connection ended, for log and counters. */
typedef enum ConnEnd {
        CONN_CLOSED_BY_PEER,            /* between requests */
        CONN_BROKEN,                    /* in the middle of a request or of a reply, or reset */
        CONN_DONE,                      /* after Connection: close, or after a status that closes */
        CONN_IDLE,
        CONN_TIMEOUT,                   /* request not whole in time: 408 was sent */
        CONN_TOO_SLOW,
        CONN_LIFETIME,
        CONN_FAILED,                    /* this host: no memory, file cut short while sent, conn_reply() without head */
        CONN_STOPPED,                   /* conn_stop() */
} ConnEnd;

typedef struct ConnHandler {
        /*
         * A whole head is here; slices are valid during the call only. It calls conn_reply() before it returns or
         * some time later (the next request is read only after that). bytes is the head as received.
         */
        void (*on_request)(Conn *c, const MsgHead *head, Slice bytes, void *userdata);
        /*
         * What arrived is no head: status is 400, 408, 431. It calls conn_reply() with close. `bytes`: what there is,
         * for the log.
         */
        void (*on_bad_request)(Conn *c, unsigned status, Slice bytes, void *userdata);
        /*
         * The reply of conn_reply() with `tag` is out whole (ok), or will never be. Once for each conn_reply(),
         * before on_end, and also from within conn_free(). n_sent: bytes of its body that went out.
         */
        void (*on_replied)(Conn *c, void *tag, bool ok, uint64_t n_sent, void *userdata);
        /*
         * The connection is over, also one whose request still waits for its reply; conn is freed after the call. Not
         * called for conn_free().
         */
        void (*on_end)(Conn *c, ConnEnd why, void *userdata);
} ConnHandler;

/*
 * Takes fd (non-blocking, close-on-exec, TCP_NODELAY: heads and bodies go out in as few pieces as can be, and what is
 * left must not wait for an acknowledgement), also when it fails. Poller, conf and handler are borrowed for the life of
 * the Conn; conf may change in place. -ENOMEM.
 */
int conn_new(Poller *p, int fd, const Endpoint *remote, const ConnConf *conf, const ConnHandler *handler,
             void *userdata, Conn **ret) _must_check_;
/*
 * Begins, once: takes a request that is there already, as a client's first one is as a rule; so handlers are called,
 * and the Conn may be over and freed when it returns. From a callback of its event loop, as the last thing that is done
 * with it there. An exchange that ends here has cost the loop nothing.
 */
void conn_start(Conn *c);
/* Closes at once, without on_end. */
Conn *conn_free(Conn *c);
DEFINE_CLEANUP(Conn *, conn_free)

const Endpoint *conn_remote(const Conn *c);
/* When the head being answered was whole, boottime. */
usec_t conn_request_at(const Conn *c);
sd_event *conn_event(const Conn *c);

/* What follows a head. At most one of memory and file; the rest is zeroed. */
typedef struct ConnBody {
        Slice memory;                   /* sent from where it is: must stay until `release` */
        int fd;                         /* file: `size` bytes from `offset`; -1: none */
        uint64_t offset, size;
        /* Called once when neither is needed any more. NULL: the file is the Conn's from now on, and the memory stays. */
        void (*release)(void *owner);
        void *owner;
} ConnBody;
#define CONN_NO_BODY ((ConnBody){ .fd = -1 })

/* What comes after a reply. */
typedef enum ConnAfter {
        CONN_STAYS,
        CONN_SHUTS_DOWN,                /* sends no more, and reads empty for a moment what is still sent to it */
        CONN_ENDS,                      /* closes: its client has said that this was its last word (else as above) */
} ConnAfter;

/*
 * The reply to the request that on_request or on_bad_request told of, once for each: head is copied, the body (NULL:
 * none) is sent from where it is. tag comes back in on_replied. Where there is no memory
 * for it, or the head is empty (the caller had none to write one), the connection ends as CONN_FAILED in the next
 * turn.
 */
void conn_reply(Conn *c, Slice head, const ConnBody *body, ConnAfter after, void *tag);
/*
 * A short reply on a connection that is not taken, without waiting: a courtesy, whatever was asked. The caller closes fd.
 */
void conn_send_refusal(int fd, Slice head);
/* Another rate was set of the Pace: a reply that waits asks for its turn anew. Not from within a handler. */
void conn_pace_changed(Conn *c);
/*
 * Reads no further request; on_end is called when the reply under way is out, or in the next turn where there is
 * none. A request that on_request told of is under way: its conn_reply() is waited for. One that is there, unread, is
 * still answered. The rest of one that has begun is waited for, and the first one of a connection, which its client has
 * sent as a rule: for half a second.
 */
void conn_stop(Conn *c);
