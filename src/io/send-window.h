/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * SendWindow: how fast the other side takes what is sent to it, over a span of time in which the socket took no more.
 * Time in which this end held back by itself is left out. Part of io/conn, and for nobody else.
 */

#include "core/base.h"

typedef struct SendWindow {
        uint64_t n_written;             /* to the socket, ever */
        uint64_t base;                  /* bytes that had arrived there when the window began */
        usec_t ends_at;                 /* boottime */
        usec_t left;                    /* of a paused one */
        bool open, paused;
} SendWindow;

/* Of one that is open: -> when it ends. What had arrived of what was written to fd counts from here. */
usec_t send_window_begin(SendWindow *w, int fd, usec_t span, usec_t now);
/* It is at its end: was less taken than min_rate (bytes per second) in that span? */
bool send_window_is_slow(const SendWindow *w, int fd, usec_t span, uint64_t min_rate);
void send_window_end(SendWindow *w);
/* This end holds back from now on, and goes on later: -> when the window ends then, USEC_INFINITY: none is open. */
void send_window_pause(SendWindow *w, usec_t now);
usec_t send_window_resume(SendWindow *w, usec_t now);
