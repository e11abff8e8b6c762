/* SPDX-License-Identifier: BSD-2-Clause */
/* check-config: what the daemon would say of its configuration, and whether it listens where that says. */

#include "ctl/verb-config.h"

#include <errno.h>
#include <stdio.h>

#include "ctl/verbs.h"
#include "io/conf-sockets.h"

#define LISTENERS_MAX 64

typedef struct Check {
        Ctl *ctl;
        const ConfCommon *conf;
        json_t *findings;               /* array of { isError, file, line, text } */
} Check;

/* file NULL and line 0: it is about none. */
static int add_finding(Check *c, bool is_error, const char *file, unsigned line, const char *text) {
        json_t *f = json_pack("{s:b, s:s}", "isError", is_error, "text", text);

        if (f && file)
                (void) json_object_set_new(f, "file", json_string(file));
        if (f && line > 0)
                (void) json_object_set_new(f, "line", json_integer(line));
        return json_array_append_new(c->findings, f) < 0 ? -ENOMEM : 0;
}

static int add_issues(Check *c, const ConfIssues *issues) {
        for (size_t i = 0; i < issues->n_issues; i++) {
                const ConfIssue *n = &issues->issues[i];
                int r;

                r = add_finding(c, n->is_error, n->file, n->line, n->text);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* ---- drift ---- */

static int on_listeners(json_t *parameters, _unused_ int fd, void *userdata) {
        const json_t *listeners = json_object_get(parameters, "listeners");
        _cleanup_(string_list_free_p) StringList sentences = NULL;
        Endpoint at[LISTENERS_MAX];
        Check *c = userdata;
        ConfListener who = { .daemon = c->ctl->daemon, .instance = c->ctl->instance };
        size_t n = 0;
        int r;

        for (size_t i = 0; i < json_array_size(listeners) && n < ELEMENTSOF(at); i++) {
                const json_t *l = json_array_get(listeners, i);
                const char *address = member_string(l, "address");

                if (!address || endpoint_from_text(slice_of(address), &at[n]) != 0)
                        return ctl_fail(CTL_FAILURE, "%s does not tell where it listens.", c->ctl->daemon);
                who.inherited = member_bool(l, "inherited");
                n++;
        }
        r = conf_listen_compare(c->conf, at, n, &who, &sentences);
        for (StringList s = sentences; r == 0 && s && *s; s++)
                r = add_finding(c, false, NULL, 0, *s);
        return r;
}

/*
 * A daemon that does not run listens nowhere, and that is no fault of its configuration. A file given by --config= is not
 * that of a daemon, unless it is said which.
 */
static int find_drift(Check *c) {
        Ctl *ctl = c->ctl;
        int r;

        if (ctl->config && !ctl->control)
                return 0;
        r = varlink_client_connect(ctl->path, ctl->timeout, &ctl->client);
        if (r == -EACCES || r == -EPERM)
                ctl_note("Access to %s denied: where %s listens was not looked at.", ctl->path, ctl->daemon);
        if (r != 0)
                return 0;
        return ctl_call(ctl, ctl->rs ? "org.p2pdi.Registration.GetListeners" : "org.p2pdi.Peer.GetListeners", NULL,
                        on_listeners, c);
}

/* ---- the verb ---- */

static int load(Check *c, ConfProgram program, ConfIssues *issues, RsConf **ret_rs, PeerConf **ret_peer) {
        int r;

        if (program == CONF_RS) {
                r = conf_load_rs(c->ctl->config, ret_rs, issues);
                c->conf = r == 0 ? &(*ret_rs)->common : NULL;
        } else {
                r = conf_load_peer(c->ctl->config, c->ctl->instance, ret_peer, issues);
                c->conf = r == 0 ? &(*ret_peer)->common : NULL;
        }
        return r;
}

static int tell_findings(const Check *c) {
        size_t i;
        json_t *f;

        if (c->ctl->json != SHOW_JSON_OFF)
                return ctl_show_json(c->ctl, c->findings);
        json_array_foreach(c->findings, i, f) {
                const char *file = member_string(f, "file"), *text = member_string(f, "text");
                char line[16] = "";

                if (!file)
                        file = "";
                else if (member_is_set(f, "line"))
                        (void) snprintf(line, sizeof(line), ":%u: ", (unsigned) member_uint(f, "line"));
                else
                        (void) strcpy(line, ": ");
                if (member_bool(f, "isError"))
                        (void) ctl_fail(CTL_FAILURE, "%s%s%s", file, line, text);
                else
                        ctl_note("%s%s%s", file, line, text);
        }
        return 0;
}

static void check_done(Check *c) {
        json_decref(c->findings);
}

int verb_check_config(Ctl *ctl, int argc, char **argv) {
        _cleanup_(conf_issues_done) ConfIssues issues = {};
        _cleanup_(check_done) Check c = { .ctl = ctl };
        _cleanup_(peer_conf_free_p) PeerConf *peer = NULL;
        _cleanup_(rs_conf_free_p) RsConf *rs = NULL;
        ConfProgram program;
        int code, r;

        r = config_choose(ctl, argc, argv, &program);
        if (r != 0)
                return r;
        c.findings = json_array();
        code = c.findings ? load(&c, program, &issues, &rs, &peer) : -ENOMEM;
        if (code < 0)
                return code;
        r = add_issues(&c, &issues);
        if (r == 0 && code == 0)
                code = find_drift(&c);
        else if (code == CONF_INVALID)
                code = CTL_FAILURE;
        if (r == 0 && code >= 0)
                r = tell_findings(&c);
        return r < 0 ? r : code;
}
