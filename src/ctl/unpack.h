/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * Unpacks gzip, in pieces as they come. How much comes out is for whoever takes it to bound: a kilobyte can become a
 * megabyte, but none of it is kept here.
 */

#include "core/base.h"

#define ZLIB_CONST              /* what it only reads */
#include <zlib.h>

/* Answers */
enum {
        UNPACK_BAD = 1,                 /* no gzip, or damaged */
        UNPACK_TORN,                    /* there is more to it */
        _UNPACK_ANSWERS_END,            /* answers of a sink are above */
};

/* Takes what comes out. Anything but 0 ends it, and is given back. */
typedef int (*UnpackSink)(Slice bytes, void *userdata);

typedef struct Unpack {
        z_stream stream;
        bool inside;                    /* behind the beginning of a member, and not at its end */
        bool begun;                     /* a member was begun at all */
} Unpack;

/* -ENOMEM. */
int unpack_init(Unpack *u) _must_check_;
void unpack_done(Unpack *u);
/* 0, BAD, what sink gave, -ENOMEM. After anything but 0 it is not to be fed any more. */
int unpack_feed(Unpack *u, Slice bytes, UnpackSink sink, void *userdata) _must_check_;
/* All has come: 0, TORN. */
int unpack_end(const Unpack *u) _must_check_;
