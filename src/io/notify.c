/* SPDX-License-Identifier: BSD-2-Clause */
#include "io/loop.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <systemd/sd-daemon.h>

/*
 * Results are dropped: without a manager nobody waits for these. But where there is no descriptor or memory to tell it
 * that a start or a reload is over it waits for that, and kills in the end who never says so.
 */

#define STATUS_MAX 512

/* The main loop's. */
static bool ready_owed, reloading_owed;

void notify_ready(void) {
        /* Not before it was told that there was something to get ready with. */
        ready_owed = reloading_owed || sd_notify(0, "READY=1") < 0;
}

void notify_again(void) {
        if (reloading_owed)
                notify_reloading();
        if (ready_owed)
                notify_ready();
}

void notify_status(const char *format, ...) {
        char text[STATUS_MAX];
        va_list ap;

        va_start(ap, format);
        (void) vsnprintf(text, sizeof(text), format, ap);
        va_end(ap);
        (void) sd_notifyf(0, "STATUS=%s", text);
}

void notify_reloading(void) {
        reloading_owed = sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64, monotonic_read()) < 0;
}

void notify_stopping(void) {
        (void) sd_notify(0, "STOPPING=1");
}

void notify_store(const char *name, int fd) {
        char text[128];

        (void) snprintf(text, sizeof(text), "FDSTORE=1\nFDNAME=%s", name);
        (void) sd_pid_notify_with_fds(0, 0, text, &fd, 1);
}

void notify_forget(const char *name) {
        (void) sd_notifyf(0, "FDSTOREREMOVE=1\nFDNAME=%s", name);
}

void notify_error(int error) {
        (void) sd_notifyf(0, "ERRNO=%d", error < 0 ? -error : error);
}
