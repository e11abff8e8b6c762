/* SPDX-License-Identifier: BSD-2-Clause */
/* io.systemd.service: what tools that know no more of a service than that it is one ask it. */
#include "io/control.h"
#include "io/log.h"

/* As systemd has it, and GetLogLevel beside, since who sets a level wants to know the one before. */
static const char description[] =
        "# An interface for controlling basic properties of systemd services.\n"
        "interface io.systemd.service\n"
        "\n"
        "# Checks if the service is running.\n"
        "method Ping() -> ()\n"
        "\n"
        "# Sets the maximum log level, using BSD syslog log level integers: 0 to 7. A reload sets it again as configured.\n"
        "method SetLogLevel(level: int) -> ()\n"
        "\n"
        "# Gets the maximum log level. Not every service that has this interface has this method.\n"
        "method GetLogLevel() -> (level: int)\n";

static int ping_run(VarlinkCall *call, _unused_ json_t *parameters, _unused_ void *userdata) {
        return varlink_call_reply(call, json_object());
}

static int set_log_level_run(VarlinkCall *call, json_t *parameters, _unused_ void *userdata) {
        json_int_t level = json_integer_value(json_object_get(parameters, "level"));
        LogLevel before = log_get_level();
        int r;

        if (level < LOG_LEVEL_EMERG || level > LOG_LEVEL_DEBUG)
                return varlink_call_invalid(call, "level");
        /* With the reply it is logged who did this: also if it is the last that is heard. */
        log_set_level(MAX_OF((LogLevel) level, before));
        r = varlink_call_reply(call, json_object());
        log_set_level((LogLevel) level);
        return r;
}

static int get_log_level_run(VarlinkCall *call, _unused_ json_t *parameters, _unused_ void *userdata) {
        return varlink_call_reply(call, json_pack("{s:i}", "level", (int) log_get_level()));
}

static const VarlinkParameter level_parameters[] = { { "level", VARLINK_INT }, {} };

static const VarlinkMethod methods[] = {
        { "io.systemd.service.Ping", 0, NULL, ping_run },
        { "io.systemd.service.SetLogLevel", VARLINK_CHANGES, level_parameters, set_log_level_run },
        { "io.systemd.service.GetLogLevel", 0, NULL, get_log_level_run },
        {},
};

const VarlinkInterface control_service_interface = { "io.systemd.service", description, methods };
