/* SPDX-License-Identifier: BSD-2-Clause */
#include "io/loop.h"

#include <errno.h>
#include <signal.h>
#include <sys/random.h>
#include <time.h>

/* How long memory may take to be there again. */
#define MEMORY_PAUSE_NSEC (10L * 1000 * 1000)
/* Timers may fire this much late, so that those close to each other share one wake-up. */
#define TIMER_ACCURACY (10 * USEC_PER_MSEC)

static usec_t clock_usec(clockid_t clock) {
        struct timespec ts;

        if (clock_gettime(clock, &ts) < 0)
                abort(); /* no Linux that this runs on lacks these clocks */
        return (usec_t) ts.tv_sec * USEC_PER_SEC + (usec_t) ts.tv_nsec / 1000;
}

void now_read(Now *ret) {
        *ret = (Now){ .boottime = clock_usec(CLOCK_BOOTTIME), .realtime = clock_usec(CLOCK_REALTIME) };
}

void now_of_event(sd_event *e, Now *ret) {
        if (sd_event_now(e, CLOCK_BOOTTIME, &ret->boottime) < 0 || sd_event_now(e, CLOCK_REALTIME, &ret->realtime) < 0)
                now_read(ret);
}

usec_t boottime_of_event(sd_event *e) {
        usec_t boottime;

        return sd_event_now(e, CLOCK_BOOTTIME, &boottime) < 0 ? clock_usec(CLOCK_BOOTTIME) : boottime;
}

usec_t boottime_read(void) {
        return clock_usec(CLOCK_BOOTTIME);
}

usec_t monotonic_read(void) {
        return clock_usec(CLOCK_MONOTONIC);
}

uint64_t random_u64(void) {
        /* A system call for 32 of them. What was given is not kept; a child of fork() runs another program only. */
        static _Thread_local uint64_t ahead[32];
        static _Thread_local size_t n_ahead;
        uint64_t value;
        ssize_t n;

        if (n_ahead == 0) {
                /* Up to 256 bytes come whole once the pool is ready; only waiting for that can be interrupted. */
                do
                        n = getrandom(ahead, sizeof(ahead), 0);
                while (n < 0 && errno == EINTR);
                if (n != sizeof(ahead))
                        abort();
                n_ahead = ELEMENTSOF(ahead);
        }
        value = ahead[--n_ahead];
        explicit_bzero(&ahead[n_ahead], sizeof(ahead[n_ahead]));
        return value;
}

uint64_t random_range(uint64_t max) {
        uint64_t value, whole;

        assert(max > 0);

        /* What is above the last whole multiple of max would favour the small values. */
        whole = UINT64_MAX - UINT64_MAX % max;
        do
                value = random_u64();
        while (value >= whole);
        return value % max + 1;
}

sd_event_source *event_source_free(sd_event_source *s) {
        return sd_event_source_disable_unref(s);
}

int loop_timer_new(sd_event *e, sd_event_time_handler_t callback, void *userdata, const char *description,
                   sd_event_source **ret) {
        _cleanup_(event_source_free_p) sd_event_source *s = NULL;
        int r;

        r = sd_event_add_time(e, &s, CLOCK_BOOTTIME, USEC_INFINITY, TIMER_ACCURACY, callback, userdata);
        if (r < 0)
                return r;
        r = sd_event_source_set_enabled(s, SD_EVENT_OFF);
        if (r < 0)
                return r;
        if (description) {
                r = sd_event_source_set_description(s, description);
                if (r < 0)
                        return r;
        }

        *ret = TAKE_PTR(s);
        return 0;
}

int loop_timer_set(sd_event_source *s, usec_t at) {
        int r;

        if (at == USEC_INFINITY)
                return sd_event_source_set_enabled(s, SD_EVENT_OFF);
        r = sd_event_source_set_time(s, at);
        if (r < 0)
                return r;
        return sd_event_source_set_enabled(s, SD_EVENT_ONESHOT);
}

int loop_run(sd_event *e) {
        const struct timespec pause = { .tv_nsec = MEMORY_PAUSE_NSEC };
        int r;

        do {
                r = sd_event_loop(e);
                if (r == -ENOMEM)
                        (void) nanosleep(&pause, NULL);
        } while (r == -ENOMEM);
        return r;
}

static int on_signal(_unused_ sd_event_source *s, const struct signalfd_siginfo *si, void *userdata) {
        const LoopSignals *signals = userdata;

        if (si->ssi_signo == SIGHUP)
                signals->on_reload(signals->userdata);
        else
                signals->on_stop(signals->userdata);
        return 0;
}

int loop_add_signals(sd_event *e, const LoopSignals *s) {
        static const int numbers[] = { SIGTERM, SIGINT, SIGHUP };
        _cleanup_(event_source_free_p) sd_event_source *first = NULL;
        _cleanup_free_ LoopSignals *copy = NULL;
        LoopSignals *signals;
        sigset_t mask;
        int r;

        if (signal(SIGPIPE, SIG_IGN) == SIG_ERR)
                return -errno;

        copy = malloc(sizeof(*copy));
        if (!copy)
                return -ENOMEM;
        *copy = *s;

        sigemptyset(&mask);
        for (size_t i = 0; i < ELEMENTSOF(numbers); i++)
                sigaddset(&mask, numbers[i]);
        r = pthread_sigmask(SIG_BLOCK, &mask, NULL);
        if (r > 0)
                return -r;

        r = sd_event_add_signal(e, &first, numbers[0], on_signal, copy);
        if (r < 0)
                return r;
        r = sd_event_source_set_destroy_callback(first, free);
        if (r < 0)
                return r;
        signals = TAKE_PTR(copy);
        r = sd_event_source_set_floating(first, true);
        if (r < 0)
                return r;
        for (size_t i = 1; i < ELEMENTSOF(numbers); i++) {
                r = sd_event_add_signal(e, NULL, numbers[i], on_signal, signals);
                if (r < 0)
                        return r;
        }
        first = sd_event_source_unref(first); /* floating: the loop keeps it */
        return 0;
}
