/* SPDX-License-Identifier: BSD-2-Clause */
/* The bytes of an INI file: first as rs.ini, then as peer.ini. */
#include "core/text.h"
#include "io/conf-internal.h"
#include "io/conf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(ConfProgram program, Slice bytes) {
        ConfIssues issues = { 0 };
        void *conf = NULL;
        bool has_error = false;
        int r;

        r = conf_load_bytes(program, "fuzz.ini", bytes, &conf, &issues);
        for (size_t i = 0; i < issues.n_issues; i++) {
                Slice text = slice_of(issues.issues[i].text);

                /* Whatever is in the file: what is said about it can be shown. */
                if (!text_is_utf8(text) || text_has_control(text))
                        abort();
                has_error = has_error || issues.issues[i].is_error;
        }
        if (r < 0 || (r == CONF_INVALID) != has_error || (r == 0) != !!conf)
                abort();
        if (r == 0 && ((ConfCommon *) conf)->n_listen == 0)
                abort();

        if (program == CONF_RS)
                (void) rs_conf_free(conf);
        else
                (void) peer_conf_free(conf);
        conf_issues_done(&issues);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        Slice bytes = { (const char *) data, size };

        /* Names of users ask the name services of this machine: nothing that an input should do a million times. */
        if (memmem(data, size, "Allow", 5) && memmem(data, size, "[Control]", 9))
                return 0;
        check(CONF_RS, bytes);
        check(CONF_PEER, bytes);
        return 0;
}
