/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/* Dial: opens a TCP connection without waiting for it. Part of io/call. */

#include "core/address.h"
#include "core/base.h"

/* Answers */
enum {
        DIAL_REFUSED = 1,       /* refused, reset, or no way to there */
        DIAL_TIMEOUT,           /* the kernel gave up */
};

/*
 * source: own end to bind to, NULL: any; of another family than `to` it is ignored. 0: under way, *ret_fd can be
 * written to when it is decided; DIAL_REFUSED; -errno: this host can't (-EADDRNOTAVAIL: not the own address, or no
 * port free).
 */
int dial_start(const Endpoint *to, const Address *source, int *ret_fd) _must_check_;
/* How it went, once the socket can be written to: 0, an answer, -errno. */
int dial_finish(int fd) _must_check_;
