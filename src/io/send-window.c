/* SPDX-License-Identifier: BSD-2-Clause */
#include "io/send-window.h"

#include <linux/sockios.h>
#include <sys/ioctl.h>

#include "io/deadline.h"

/* Bytes that arrived there: those that wait in our kernel may be megabytes, and say nothing about the reader. */
static uint64_t n_arrived(const SendWindow *w, int fd) {
        int waiting = 0;

        if (ioctl(fd, SIOCOUTQ, &waiting) < 0 || waiting < 0)
                waiting = 0;
        return w->n_written - MIN_OF((uint64_t) waiting, w->n_written);
}

usec_t send_window_begin(SendWindow *w, int fd, usec_t span, usec_t now) {
        w->open = true;
        w->base = n_arrived(w, fd);
        w->ends_at = usec_add(now, span);
        return w->ends_at;
}

bool send_window_is_slow(const SendWindow *w, int fd, usec_t span, uint64_t min_rate) {
        uint64_t n = n_arrived(w, fd);
        return rate_is_too_slow(n - MIN_OF(w->base, n), span, min_rate);
}

void send_window_end(SendWindow *w) {
        w->open = w->paused = false;
}

void send_window_pause(SendWindow *w, usec_t now) {
        w->paused = true;
        w->left = usec_sub(w->ends_at, now);
}

usec_t send_window_resume(SendWindow *w, usec_t now) {
        if (!w->open)
                return USEC_INFINITY;
        if (w->paused)
                w->ends_at = usec_add(now, w->left);
        w->paused = false;
        return w->ends_at;
}
