/* SPDX-License-Identifier: BSD-2-Clause */
#include "ctl/verbs.h"

#include <stdio.h>

#include "core/text.h"

/* The text is for programs, so it goes out byte for byte; but only if a terminal may see it, too. */
static bool is_plain(const char *text) {
        Slice rest = slice_of(text), line;

        while (rest.size > 0 && slice_split(&rest, '\n', &line))
                if (!text_is_fit(line))
                        return false;
        return true;
}

static int metrics_on_reply(json_t *parameters, _unused_ int fd, void *userdata) {
        const Ctl *ctl = userdata;
        const char *text = member_string(parameters, "text");

        if (!text || !is_plain(text))
                return ctl_fail(CTL_FAILURE, "What %s answered is no text of metrics.", ctl->daemon);
        if (ctl->json != SHOW_JSON_OFF)
                return ctl_show_json(ctl, parameters);
        int r = ctl_open_pager(ctl);
        if (r == 0)
                (void) fputs(text, stdout);     /* main() looks for errors */
        return r;
}

int verb_metrics(Ctl *ctl, _unused_ int argc, _unused_ char **argv) {
        return ctl_call(ctl, ctl->rs ? "org.p2pdi.Registration.GetMetrics" : "org.p2pdi.Peer.GetMetrics", NULL,
                        metrics_on_reply, ctl);
}
