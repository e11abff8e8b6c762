/* SPDX-License-Identifier: BSD-2-Clause */
#include "ctl/verbs.h"

#include <errno.h>

#include "ctl/get.h"
#include "ctl/resolve.h"

int verb_get(Ctl *ctl, int argc, char **argv) {
        _cleanup_(resolved_done) Resolved names = {};
        _cleanup_(get_done) Get g = {};
        int code, r;

        r = resolve_arguments(ctl, argc, argv, ctl->follow, &names);
        if (r != 0)
                return r;
        r = get_init(&g, names.argc, names.argv);
        if (r != 0)
                return r;
        g.instead = names.instead;
        if (ctl->json != SHOW_JSON_OFF) {
                g.answer = json_array();
                if (!g.answer)
                        return -ENOMEM;
        }
        code = get_run(ctl, &g);
        if (code >= 0)
                code = MAX_OF(code, names.code);
        if (code < 0 || !g.answer || (code > 0 && json_array_size(g.answer) == 0))
                return code;
        r = ctl_show_json(ctl, g.answer);
        return r < 0 ? r : code;
}
