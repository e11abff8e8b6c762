/* SPDX-License-Identifier: BSD-2-Clause */
#include "ctl/verbs.h"

#include <errno.h>
#include <stdio.h>

#include "io/log.h"

static int level_on_reply(json_t *parameters, _unused_ int fd, void *userdata) {
        const Ctl *ctl = userdata;
        const json_t *level = json_object_get(parameters, "level");
        json_int_t value = json_integer_value(level);

        if (ctl->json != SHOW_JSON_OFF)
                return ctl_show_json(ctl, parameters);
        if (!json_is_integer(level) || value < LOG_LEVEL_EMERG || value > LOG_LEVEL_DEBUG)
                return ctl_fail(CTL_FAILURE, "%s gives no level that is known here.", ctl->daemon);
        puts(log_level_name((LogLevel) value));
        return 0;
}

int verb_log_level(Ctl *ctl, int argc, char **argv) {
        json_t *parameters;
        LogLevel level;

        if (argc == 0)
                return ctl_call(ctl, "io.systemd.service.GetLogLevel", NULL, level_on_reply, ctl);
        if (log_level_from_text(argv[0], &level) != 0)
                return ctl_fail(CTL_USAGE, "'%s' is no log level: emerg, alert, crit, err, warning, notice, info, debug, "
                                "or 0 to 7.", argv[0]);
        parameters = json_pack("{s:i}", "level", (int) level);
        return parameters ? ctl_call(ctl, "io.systemd.service.SetLogLevel", parameters, NULL, NULL) : -ENOMEM;
}
