/* SPDX-License-Identifier: BSD-2-Clause */
#include "ctl/verbs.h"

#include <errno.h>

#include "ctl/get.h"

int verb_get(Ctl *ctl, int argc, char **argv) {
        _cleanup_(get_done) Get g = {};
        int code, r;

        r = get_init(&g, argc, argv);
        if (r != 0)
                return r;
        if (ctl->json != SHOW_JSON_OFF) {
                g.answer = json_array();
                if (!g.answer)
                        return -ENOMEM;
        }
        code = get_run(ctl, &g);
        if (code < 0 || !g.answer || (code > 0 && json_array_size(g.answer) == 0))
                return code;
        r = ctl_show_json(ctl, g.answer);
        return r < 0 ? r : code;
}
