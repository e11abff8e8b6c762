/* SPDX-License-Identifier: BSD-2-Clause */
#include "io/deadline.h"

#include "io/loop.h"


void deadline_done(Deadline *d) {
        d->timer = event_source_free(d->timer);
        d->at = d->armed_at = USEC_INFINITY;
}

static void deadline_arm(Deadline *d) {
        (void) loop_timer_set(d->timer, d->at); /* fails in a forked child only */
        d->armed_at = d->at;
}

int deadline_attach(Deadline *d, sd_event *e, sd_event_time_handler_t callback, void *userdata) {
        int r;

        assert(!d->timer);

        r = loop_timer_new(e, callback, userdata, NULL, &d->timer);
        if (r < 0)
                return r;
        if (d->at != USEC_INFINITY)
                deadline_arm(d);
        return 0;
}

int deadline_init(Deadline *d, sd_event *e, sd_event_time_handler_t callback, void *userdata) {
        *d = DEADLINE_INIT;
        return deadline_attach(d, e, callback, userdata);
}

void deadline_set(Deadline *d, usec_t at) {
        d->at = at;
        if (d->timer && at < d->armed_at)
                deadline_arm(d);
}

bool deadline_due(Deadline *d, usec_t now) {
        d->armed_at = USEC_INFINITY; /* one-shot, and it fired */
        if (d->at > now) {
                if (d->at != USEC_INFINITY)
                        deadline_arm(d);
                return false;
        }
        d->at = USEC_INFINITY;
        return true;
}
