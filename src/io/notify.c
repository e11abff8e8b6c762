/* SPDX-License-Identifier: BSD-2-Clause */
#include "io/loop.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <systemd/sd-daemon.h>

/*
 * Results are dropped throughout: without a manager nobody waits for these, and one that cannot be reached is not
 * mended from here.
 */

#define STATUS_MAX 512

void notify_ready(void) {
        (void) sd_notify(0, "READY=1");
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
        (void) sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64, monotonic_read());
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
