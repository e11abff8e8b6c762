/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * Outgoing: one message on its way out: a head, and a body that is sent from where it is, memory by send() or sendmsg()
 * and files by sendfile(). Part of io/conn and io/call, and for nobody else: with them the only caller of send and
 * sendfile. SIGPIPE must be ignored.
 */

#include "core/base.h"
#include "io/conn.h"

typedef struct Outgoing {
        Slice head;             /* what is left of it: the caller's, or in kept_head */
        char *kept_head;        /* owned */
        ConnBody body;          /* until `release`, or its file owned */
        uint64_t body_sent;
        bool last;              /* the socket is closed as soon as all is out: the end goes in the last segment */
} Outgoing;

#define OUTGOING_INIT ((Outgoing){ .body = CONN_NO_BODY })

/* Answers */
enum {
        OUTGOING_BLOCKED = 1,   /* the socket takes no more now */
        OUTGOING_BUDGET,        /* enough for this turn */
        OUTGOING_BROKEN,        /* the other side is gone */
};

/* Of one that holds nothing. The head is the caller's until outgoing_keep(); body (NULL: none) is taken. */
void outgoing_begin(Outgoing *o, Slice head, const ConnBody *body);
/* Copies what is left of the head: nothing as a rule, if outgoing_send() was called before. 0, -ENOMEM. */
int outgoing_keep(Outgoing *o) _must_check_;
/*
 * Sends what the socket takes, at most *budget bytes; lowers *budget by what went out. 0: all is out. < 0: this host
 * failed, -ENODATA: the file is shorter than was promised.
 */
int outgoing_send(Outgoing *o, int fd, size_t *budget) _must_check_;
/* Bytes of the body that are still to be sent. */
uint64_t outgoing_body_left(const Outgoing *o);
/* Closes and releases; it holds nothing afterwards, and may hold nothing before. */
void outgoing_done(Outgoing *o);

/* Errors of a socket that mean: the other side or the way to it is gone. */
bool errno_is_broken(int error);
