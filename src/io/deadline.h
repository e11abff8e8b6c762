/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * Deadline: the one timer of a Conn or Call. It is moved to later without a word to the kernel: the timer fires at
 * the earlier time, finds that nothing is due, and is armed anew. So an exchange that goes well costs no system call
 * for its deadlines.
 */

#include "core/base.h"

#include <systemd/sd-event.h>

typedef struct Deadline {
        sd_event_source *timer;         /* owned */
        usec_t at;                      /* boottime; USEC_INFINITY: none */
        usec_t armed_at;                /* what the timer is set to, not later than `at` */
} Deadline;

/* Not yet with a loop: deadline_set() is kept, and counts from deadline_attach() on. */
#define DEADLINE_INIT ((Deadline){ .at = USEC_INFINITY, .armed_at = USEC_INFINITY })
/* The callback begins with deadline_due(). -errno. */
int deadline_attach(Deadline *d, sd_event *e, sd_event_time_handler_t callback, void *userdata) _must_check_;
/* A fresh one, attached. */
int deadline_init(Deadline *d, sd_event *e, sd_event_time_handler_t callback, void *userdata) _must_check_;
/* Also of a zeroed one. */
void deadline_done(Deadline *d);

/* What a minimal rate is measured over, unless the owner says otherwise. */
#define RATE_WINDOW_USEC (30 * USEC_PER_SEC)

/* 0: in the next turn of the loop. USEC_INFINITY: none. */
void deadline_set(Deadline *d, usec_t at);
/* Has it passed? There is none afterwards. Else the timer is armed for it. */
bool deadline_due(Deadline *d, usec_t now);

/* Were n_bytes in `window` fewer than min_rate a second allows? None at all are too few for every rate. */
static inline bool rate_is_too_slow(uint64_t n_bytes, usec_t window, uint64_t min_rate) {
        return n_bytes == 0 || n_bytes * USEC_PER_SEC / window < min_rate;
}
