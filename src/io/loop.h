/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * The clocks, the random numbers, and what every daemon's main loop has: signals, readiness, watchdog. The only file
 * that reads a clock.
 */

#include "core/base.h"

#include <systemd/sd-event.h>

/* Both clocks, once. */
void now_read(Now *ret);
/* The time at which this turn of the loop began: constant within one dispatch. */
void now_of_event(sd_event *e, Now *ret);
usec_t boottime_of_event(sd_event *e);
/* One of them. */
usec_t boottime_read(void);
/* CLOCK_MONOTONIC: what the service manager and the journal count by, and the time slices of a scan; nothing else does. */
usec_t monotonic_read(void);

/* From getrandom(); never fails (aborts where the kernel has none). */
uint64_t random_u64(void);
/* 1..max, uniform. */
uint64_t random_range(uint64_t max);

/*
 * One-shot timer on CLOCK_BOOTTIME, disabled; set with loop_timer_set(). It may fire 10 ms late. The callback gets
 * userdata and answers 0.
 */
int loop_timer_new(sd_event *e, sd_event_time_handler_t callback, void *userdata, const char *description,
                   sd_event_source **ret) _must_check_;
/*
 * at: boottime, one in the past fires in the next turn; USEC_INFINITY disables. Fails only in a forked child
 * (-ECHILD).
 */
int loop_timer_set(sd_event_source *s, usec_t at);

/* sd_event_source_disable_unref() and NULL, for _cleanup_ and owners. */
sd_event_source *event_source_free(sd_event_source *s);
DEFINE_CLEANUP(sd_event_source *, event_source_free)

/*
 * SIGTERM and SIGINT call on_stop, SIGHUP on_reload; SIGPIPE is ignored in the whole process (sendfile() raises it
 * and takes no flag against it). Blocks the three in this thread, so call it before any thread is made. *s is copied.
 */
typedef struct LoopSignals {
        void (*on_stop)(void *userdata);
        void (*on_reload)(void *userdata);
        void *userdata;
} LoopSignals;
int loop_add_signals(sd_event *e, const LoopSignals *s) _must_check_;

/*
 * sd_event_loop(), which gives up where there is no memory to note which sources are ready: here that is tried again a
 * moment later, as nothing is lost by it but a signal at worst. The exit code, or -errno.
 */
int loop_run(sd_event *e);

/* To the service manager; nothing without one. status is shown as it is: escape what is from outside. */
void notify_ready(void);
void notify_status(const char *format, ...) _printf_(1, 2);     /* cut to 511 bytes */
void notify_reloading(void);            /* RELOADING=1 with MONOTONIC_USEC= */
void notify_again(void);                /* once a second: what of these two could not be told */
void notify_stopping(void);
void notify_error(int error);           /* ERRNO= */
/* The manager keeps a copy of fd, and passes it under that name to whoever runs next; notify_forget() of all of the name. */
void notify_store(const char *name, int fd);
void notify_forget(const char *name);

/*
 * Watchdog (architecture, section 4): every WatchdogSec/4 `ping` is called and shall end, some time later, in a call
 * of watchdog_answered() with the number that it got, when every thread has answered and one row was read from the
 * database. Only then WATCHDOG=1 is sent. While one ping is under way no further one is made: a thread that hangs
 * gets no pile of them, and the service manager ends the program. Nothing happens without a watchdog.
 */
typedef struct Watchdog Watchdog;
int watchdog_new(sd_event *e, void (*ping)(uint64_t number, void *userdata), void *userdata, Watchdog **ret)
        _must_check_;
Watchdog *watchdog_free(Watchdog *w);
DEFINE_CLEANUP(Watchdog *, watchdog_free)
void watchdog_answered(Watchdog *w, uint64_t number);
