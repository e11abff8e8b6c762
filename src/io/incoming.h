/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * Incoming: what was read of heads and not used yet. It holds memory only while something is in it. Part of io/conn
 * and io/call, and for nobody else.
 */

#include "core/base.h"
#include "core/buf.h"
#include "core/msg.h"

typedef struct Incoming {
        Buf bytes;
        bool unparsed;          /* looking for a head makes sense: there may be a whole one */
        bool more;              /* the last read took all that it had room for: more may be there */
} Incoming;

/* A whole head, and room to see that one is longer than it may be. */
#define INCOMING_MAX (MSG_HEAD_MAX + 512)
#define INCOMING_INIT ((Incoming){ .bytes = BUF_INIT(INCOMING_MAX) })

/* Answers */
enum {
        INCOMING_BLOCKED = 1,   /* nothing there now */
        INCOMING_CLOSED,        /* the other side has closed its sending half */
        INCOMING_BROKEN,        /* reset, or the way is gone */
};

/*
 * One read of at most 1 KiB: what more there is keeps the socket readable. For less than MSG_HEAD_MAX bytes held:
 * more of them without a head are not read on but refused.
 */
int incoming_read(Incoming *in, int fd) _must_check_;
/* What was read by other means; together at most INCOMING_MAX. 0, -ENOMEM. */
int incoming_put(Incoming *in, Slice bytes) _must_check_;
/* Drops the first n bytes. */
void incoming_consume(Incoming *in, size_t n);
void incoming_done(Incoming *in);
