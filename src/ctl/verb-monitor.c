/* SPDX-License-Identifier: BSD-2-Clause */
#include "ctl/verbs.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "io/conf.h"

/* "18:20:01.123", local time. */
static void time_of_day(usec_t realtime, char ret[SHOW_TEXT_SIZE]) {
        const time_t seconds = (time_t) (realtime / USEC_PER_SEC);
        struct tm tm = {};

        (void) localtime_r(&seconds, &tm);
        (void) snprintf(ret, SHOW_TEXT_SIZE, "%02d:%02d:%02d.%03u", tm.tm_hour, tm.tm_min, tm.tm_sec,
                        (unsigned) (realtime % USEC_PER_SEC / USEC_PER_MSEC));
}

/* NULL, if the message says it already. */
static const char *unless_said(const char *message, const char *text) {
        return text && strstr(message, text) ? NULL : text;
}

/* " (get-rfc ok, 192.0.2.7:40112, 4.0K, 3ms) [6f0c2c0e8d1b4c63]" */
static void print_details(const json_t *e, const char *message) {
        char size[SHOW_TEXT_SIZE], duration[SHOW_TEXT_SIZE], bytes[SHOW_TEXT_SIZE];
        const char *operation = member_string(e, "operation"), *transaction = member_string(e, "transaction");

        (void) snprintf(bytes, sizeof(bytes), " %" PRIu64 " bytes", member_uint(e, "bytes"));
        const char *details[] = {
                operation,
                member_string(e, "result"),
                unless_said(message, member_string(e, "peer")),
                member_is_set(e, "bytes") && unless_said(message, bytes) ? show_size(member_uint(e, "bytes"), size) : NULL,
                member_is_set(e, "durationUSec") ? show_duration(member_uint(e, "durationUSec"), duration) : NULL,
        };
        bool any = false;

        for (size_t i = 0; i < ELEMENTSOF(details); i++) {
                if (!details[i])
                        continue;
                show_text(stdout, "%s%s", !any ? " (" : i == 1 && operation ? " " : ", ", details[i]);
                any = true;
        }
        if (any)
                putchar(')');
        if (transaction)
                show_text(stdout, " [%s]", transaction);
}

static void print_event(const Ctl *ctl, const json_t *e) {
        const char *message = member_string(e, "message");
        uint64_t level = member_uint(e, "level");
        char at[SHOW_TEXT_SIZE];
        size_t size;

        if (!message)
                message = "-";
        time_of_day(member_uint(e, "realtimeUSec"), at);
        printf("%s %s", at, show_colour(&ctl->style, level <= LOG_LEVEL_ERR     ? SHOW_RED :
                                                     level == LOG_LEVEL_WARNING ? SHOW_YELLOW :
                                                                                  SHOW_PLAIN));
        /* As a line of the log: the sentence goes on behind it. */
        size = strlen(message);
        show_text(stdout, "%.*s", (int) (size > 0 && message[size - 1] == '.' ? size - 1 : size), message);
        fputs(show_colour(&ctl->style, SHOW_PLAIN), stdout);
        print_details(e, message);
        putchar('\n');
}

static void print_download(const json_t *d) {
        char received[SHOW_TEXT_SIZE], size[SHOW_TEXT_SIZE];
        const char *state = member_string(d, "state"), *holder = member_string(d, "holder");

        if (holder)
                show_text(stdout, "RFC %" PRIu64 " is being fetched from %s, %s of %s", member_uint(d, "number"), holder,
                          show_size(member_uint(d, "received"), received), show_size(member_uint(d, "size"), size));
        else
                show_text(stdout, "RFC %" PRIu64 ": %s", member_uint(d, "number"), state ? state : "-");
        putchar('\n');
}

static int on_reply(json_t *parameters, _unused_ int fd, void *userdata) {
        const json_t *event = json_object_get(parameters, "event");
        const Ctl *ctl = userdata;
        int r = 0;

        if (ctl->json != SHOW_JSON_OFF)
                r = show_json(stdout, parameters, ctl->json);
        else {
                if (member_uint(parameters, "lost") > 0)
                        ctl_note("%" PRIu64 " events before this one were lost.", member_uint(parameters, "lost"));
                if (event)
                        print_event(ctl, event);
                else if (json_is_object(json_object_get(parameters, "download")))
                        print_download(json_object_get(parameters, "download"));
                else if (member_bool(parameters, "ready"))
                        ctl_note("Waiting for events.");
        }
        /* Each as it comes, also into a pipe; main() tells of a write that failed. */
        if (fflush(stdout) != 0)
                return -errno;
        return r;
}

int verb_monitor(Ctl *ctl, _unused_ int argc, _unused_ char **argv) {
        return ctl_call_more(ctl, "org.p2pdi.Peer.Monitor", NULL, on_reply, ctl);
}
