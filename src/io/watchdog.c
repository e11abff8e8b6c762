/* SPDX-License-Identifier: BSD-2-Clause */
#include "io/loop.h"

#include <errno.h>
#include <systemd/sd-daemon.h>

struct Watchdog {
        sd_event *event;                /* reference */
        sd_event_source *timer;         /* NULL: there is no watchdog */
        usec_t interval;
        uint64_t asked, answered;       /* numbers of pings; equal: none is under way */
        void (*ping)(uint64_t number, void *userdata);
        void *userdata;
};

static void watchdog_arm(Watchdog *w) {
        Now now;

        now_of_event(w->event, &now);
        (void) loop_timer_set(w->timer, usec_add(now.boottime, w->interval)); /* fails in a forked child only */
}

static int watchdog_on_timer(_unused_ sd_event_source *s, _unused_ uint64_t usec, void *userdata) {
        Watchdog *w = userdata;

        watchdog_arm(w);
        /* One at a time: pings that nobody answers must not pile up in the queues of a thread that is stuck. */
        if (w->asked == w->answered)
                w->ping(++w->asked, w->userdata);
        return 0;
}

int watchdog_new(sd_event *e, void (*ping)(uint64_t number, void *userdata), void *userdata, Watchdog **ret) {
        _cleanup_(watchdog_free_p) Watchdog *w = NULL;
        uint64_t usec = 0;
        int r;

        w = calloc(1, sizeof(*w));
        if (!w)
                return -ENOMEM;
        w->event = sd_event_ref(e);
        w->ping = ping;
        w->userdata = userdata;

        r = sd_watchdog_enabled(0, &usec);
        if (r < 0)
                return r;
        if (r > 0 && usec > 0) {
                w->interval = MAX_OF(usec / 4, USEC_PER_MSEC);
                r = loop_timer_new(e, watchdog_on_timer, w, "watchdog", &w->timer);
                if (r < 0)
                        return r;
                watchdog_arm(w);
        }

        *ret = TAKE_PTR(w);
        return 0;
}

Watchdog *watchdog_free(Watchdog *w) {
        if (w) {
                event_source_free(w->timer);
                sd_event_unref(w->event);
                free(w);
        }
        return NULL;
}

void watchdog_answered(Watchdog *w, uint64_t number) {
        if (number != w->asked || w->asked == w->answered)
                return;
        w->answered = number;
        (void) sd_notify(0, "WATCHDOG=1"); /* a manager that is gone needs none */
}
