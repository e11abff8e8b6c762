/* SPDX-License-Identifier: BSD-2-Clause */
#include "ctl/verbs.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "core/text.h"
#include "io/conf-sockets.h"
#include "io/loop.h"

/* As many as the daemons tell. */
#define LISTENING_MAX 64

/* well: nothing that is worth a look. */
static void show_head(const Ctl *ctl, const json_t *s, bool well) {
        const char *version = member_string(s, "version"), *hostname = member_string(s, "hostname");

        printf("%s●%s ", show_colour(&ctl->style, well ? SHOW_GREEN : SHOW_YELLOW),
               show_colour(&ctl->style, SHOW_PLAIN));
        show_text(stdout, "%s %s on %s", ctl->daemon, version ? version : "-", hostname ? hostname : "-");
        putchar('\n');
}

static void show_strings(const char *label, const json_t *strings, const char *behind) {
        for (size_t i = 0; i < json_array_size(strings); i++) {
                const char *s = json_string_value(json_array_get(strings, i));

                show_line(stdout, i == 0 ? label : NULL, "%s%s", s ? s : "-", behind);
        }
}

static void show_common(const json_t *s, const Now *now) {
        char text[SHOW_TEXT_SIZE];

        show_line(stdout, "Running", "for %s",
                  show_timespan(usec_sub(now->realtime, member_uint(s, "startedUSec")), text));
        show_strings("Warnings", json_object_get(s, "warnings"), "");
}

/* One line for each registration server. */
static void show_server(const char *label, const json_t *server, const Now *now) {
        const char *state = member_string(server, "state"), *name = member_string(server, "server");
        const char *silent = member_bool(server, "reachable") ? "" : ", which does not answer";
        char renewed[SHOW_TEXT_SIZE], expires[SHOW_TEXT_SIZE];

        if (!name)
                name = "-";
        if (state && strcmp(state, "left") == 0)
                show_line(stdout, label, "left %s", name);
        else if (!state || strcmp(state, "registered") != 0)
                show_line(stdout, label, "not registered at %s%s", name, silent);
        else
                show_line(stdout, label, "%" PRIu64 ", registered at %s%s, renewed %s ago, expires in %s",
                          member_uint(server, "peerId"), name, silent,
                          show_timespan(usec_sub(now->realtime, member_uint(server, "renewedUSec")), renewed),
                          show_timespan(member_uint(server, "expiresInSec") * USEC_PER_SEC, expires));
}

static bool is_well(const json_t *s) {
        const json_t *servers = json_object_get(s, "servers");

        for (size_t i = 0; i < json_array_size(servers); i++) {
                const char *state = member_string(json_array_get(servers, i), "state");

                if (!state || strcmp(state, "registered") != 0)
                        return false;
        }
        return json_array_size(json_object_get(s, "warnings")) == 0;
}

static void show_peer_status(const Ctl *ctl, const json_t *s, const Now *now) {
        const json_t *servers = json_object_get(s, "servers");
        const char *path = member_string(s, "storePath");
        uint64_t n_stored = member_uint(s, "storeDocuments"), n_known = member_uint(s, "indexDocuments");
        uint64_t n_records = member_uint(s, "indexRecords"), n_disputed = member_uint(s, "indexDisputed");
        uint64_t n_manifest = member_uint(s, "manifestDocuments");
        const char *metadata = member_string(s, "metadataDate");
        char size[SHOW_TEXT_SIZE], of_size[SHOW_TEXT_SIZE], limit[SHOW_TEXT_SIZE + 8] = "", disputed[64] = "";

        show_head(ctl, s, is_well(s));
        for (size_t i = 0; i < json_array_size(servers); i++)
                show_server(i == 0 ? "Peer" : NULL, json_array_get(servers, i), now);
        if (json_array_size(servers) == 0)
                show_line(stdout, "Peer", "no registration server is configured");
        show_strings("Listening", json_object_get(s, "listening"), member_bool(s, "inherited") ? " (socket unit)" : "");
        if (member_is_set(s, "storeLimitBytes"))
                (void) snprintf(limit, sizeof(limit), " of %s", show_size(member_uint(s, "storeLimitBytes"), of_size));
        show_line(stdout, "Store", "%" PRIu64 " RFC%s, %s%s in %s%s", n_stored, plural(n_stored),
                  show_size(member_uint(s, "storeBytes"), size), limit, path ? path : "-",
                  member_bool(s, "scanning") ? " (being scanned)" : "");
        if (n_disputed > 0)
                (void) snprintf(disputed, sizeof(disputed), ", %" PRIu64 " disputed", n_disputed);
        show_line(stdout, "Index", "%" PRIu64 " RFC%s, %" PRIu64 " record%s%s, own generation %" PRIu64 "%s%s", n_known,
                  plural(n_known), n_records, plural(n_records), disputed, member_uint(s, "generation"),
                  metadata ? ", metadata of " : "", metadata ? metadata : "");
        if (member_is_set(s, "manifestDocuments"))
                show_line(stdout, "Manifest", "names %" PRIu64 " RFC%s", n_manifest, plural(n_manifest));
        show_line(stdout, "Peers", "%" PRIu64 " known, %" PRIu64 " active", member_uint(s, "peersKnown"),
                  member_uint(s, "peersActive"));
        show_line(stdout, "Transfers",
                  "%" PRIu64 " up, %" PRIu64 " down (total %" PRIu64 " up, %" PRIu64 " down, %" PRIu64 " failed)",
                  member_uint(s, "uploadsActive"), member_uint(s, "downloadsActive"), member_uint(s, "uploadsTotal"),
                  member_uint(s, "downloadsTotal"), member_uint(s, "downloadsFailed"));
        show_common(s, now);
}

static void show_rs_status(const Ctl *ctl, const json_t *s, const Now *now) {
        char lease[SHOW_TEXT_SIZE];

        show_head(ctl, s, is_well(s));
        show_strings("Listening", json_object_get(s, "listening"), member_bool(s, "inherited") ? " (socket unit)" : "");
        show_line(stdout, "Peers", "%" PRIu64 " active, %" PRIu64 " known", member_uint(s, "active"),
                  member_uint(s, "known"));
        show_line(stdout, "Connections", "%" PRIu64, member_uint(s, "connections"));
        show_line(stdout, "Lease", "%s", show_timespan(member_uint(s, "ttlSec") * USEC_PER_SEC, lease));
        show_common(s, now);
}

/* ---- an INI that was changed since the daemon read it ---- */

static bool strings_contain(const json_t *strings, const char *s) {
        for (size_t i = 0; i < json_array_size(strings); i++) {
                const char *one = json_string_value(json_array_get(strings, i));

                if (one && strcmp(s, one) == 0)
                        return true;
        }
        return false;
}

static size_t listening_of(const json_t *status, Endpoint *ret, size_t max) {
        const json_t *listening = json_object_get(status, "listening");
        size_t n = 0;

        for (size_t i = 0; i < json_array_size(listening) && n < max; i++) {
                const char *one = json_string_value(json_array_get(listening, i));

                n += one && endpoint_from_text(slice_of(one), &ret[n]) == 0;
        }
        return n;
}

/*
 * The daemon warns of what it has read. Whoever has just changed a port wants to know before a reload as well. Only for
 * sockets of a socket unit: what a daemon bound itself may be of a file that it was given by --config=. A file that is
 * wrong is for check-config.
 */
static int add_drift(const Ctl *ctl, json_t *status) {
        const ConfListener who = { .daemon = ctl->daemon, .instance = ctl->instance, .inherited = true };
        _cleanup_(string_list_free_p) StringList sentences = NULL;
        _cleanup_(conf_issues_done) ConfIssues issues = { 0 };
        _cleanup_(conf_sockets_done) ConfSockets s = { 0 };
        json_t *warnings = json_object_get(status, "warnings");
        Endpoint at[LISTENING_MAX];
        int r;

        if (ctl->control || !warnings || !member_bool(status, "inherited"))
                return 0;
        r = conf_load_sockets(NULL, ctl->rs ? CONF_RS : CONF_PEER, ctl->instance, &s, &issues);
        if (r == 0)
                r = conf_listen_compare(s.common, at, listening_of(status, at, ELEMENTSOF(at)), &who, &sentences);
        for (StringList l = sentences; r == 0 && l && *l; l++)
                if (!strings_contain(warnings, *l))
                        r = json_array_append_new(warnings, json_string(*l)) < 0 ? -ENOMEM : 0;
        return MIN_OF(r, 0);
}

static int status_on_reply(json_t *parameters, _unused_ int fd, void *userdata) {
        const Ctl *ctl = userdata;
        Now now;
        int r;

        r = add_drift(ctl, parameters);
        if (r < 0)
                return r;
        if (ctl->json != SHOW_JSON_OFF)
                return ctl_show_json(ctl, parameters);
        now_read(&now);
        if (ctl->rs)
                show_rs_status(ctl, parameters, &now);
        else
                show_peer_status(ctl, parameters, &now);
        return 0;
}

int verb_status(Ctl *ctl, _unused_ int argc, _unused_ char **argv) {
        return ctl_call(ctl, ctl->rs ? "org.p2pdi.Registration.GetStatus" : "org.p2pdi.Peer.GetStatus", NULL,
                        status_on_reply, ctl);
}
