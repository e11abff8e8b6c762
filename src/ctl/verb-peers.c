/* SPDX-License-Identifier: BSD-2-Clause */
#include "ctl/verbs.h"

#include <errno.h>
#include <stdio.h>

#include "core/address.h"
#include "core/text.h"
#include "io/loop.h"

static void add_uint_or_none(Table *t, const json_t *o, const char *name) {
        if (member_is_set(o, name))
                table_add_uint(t, member_uint(o, name));
        else
                table_add(t, NULL);
}

/* "12s ago" of a point in time, microseconds since 1970. */
static void add_ago(Table *t, const json_t *o, const char *name, const Now *now) {
        char span[SHOW_TEXT_SIZE], text[SHOW_TEXT_SIZE + sizeof(" ago")];

        if (member_uint(o, name) == 0) {
                table_add(t, NULL);
                return;
        }
        (void) snprintf(text, sizeof(text), "%s ago",
                        show_timespan(usec_sub(now->realtime, member_uint(o, name)), span));
        table_add(t, text);
}

/* ---- peers ---- */

static int show_peers(const Ctl *ctl, const json_t *peers) {
        _cleanup_(table_free_p) Table *t = NULL;
        size_t n = json_array_size(peers), n_active = 0;
        char text[SHOW_TEXT_SIZE];
        Now now;
        int r;

        now_read(&now);
        r = table_new(">ID ADDRESS ~HOST STATE >GENERATION >RFCS >RTT SEEN", &t);
        if (r < 0)
                return r;
        for (size_t i = 0; i < n; i++) {
                const json_t *p = json_array_get(peers, i);
                const char *state = member_string(p, "state");

                add_uint_or_none(t, p, "peerId");
                table_add(t, member_string(p, "address"));
                table_add(t, member_string(p, "host"));
                table_add_state(t, state);
                add_uint_or_none(t, p, "generation");
                table_add_uint(t, member_uint(p, "documents"));
                table_add(t, member_is_set(p, "rttUSec") ? show_duration(member_uint(p, "rttUSec"), text) : NULL);
                add_ago(t, p, "seenUSec", &now);
                n_active += state && strcmp(state, "active") == 0;
        }
        return ctl_show_table(ctl, t, "%zu peer%s listed, %zu active.", n, plural(n), n_active);
}

int verb_peers(Ctl *ctl, _unused_ int argc, _unused_ char **argv) {
        json_t *peers;
        int r;

        r = ctl_call_list(ctl, "org.p2pdi.Peer.ListPeers", NULL, "peer", &peers);
        if (r != 0)
                return r;
        r = ctl->json != SHOW_JSON_OFF ? ctl_show_json(ctl, peers) : show_peers(ctl, peers);
        json_decref(peers);
        return r;
}

/* ---- refresh ---- */

typedef struct Refresh {
        json_t *answer;                 /* owned; the replies about peers */
        size_t n_well, n_silent;        /* of them */
        bool named;                     /* the user named the peers */
} Refresh;

static void refresh_done(Refresh *f) {
        json_decref(f->answer);
}

/* Did the peer not answer? What is not said here did, but with no index, or this host failed. */
static bool is_silence(const char *result) {
        static const char *const results[] = { "refused", "timeout", "broken" };

        for (size_t i = 0; i < ELEMENTSOF(results); i++)
                if (strcmp(result, results[i]) == 0)
                        return true;
        return false;
}

static int refresh_on_reply(json_t *parameters, _unused_ int fd, void *userdata) {
        const char *result = member_string(parameters, "result"), *peer = member_string(parameters, "peer");
        Refresh *f = userdata;
        bool well;

        if (!result)
                return 0;
        well = strcmp(result, "ok") == 0 || strcmp(result, "unchanged") == 0;
        if (!peer) {
                /* About the registration servers. That no peer is active shows in the end. */
                if (!well && strcmp(result, "no-peers") != 0)
                        ctl_note("The registration servers could not be asked: %s.", result);
                return 0;
        }
        if (json_array_append(f->answer, parameters) < 0)
                return -ENOMEM;
        f->n_well += well;
        f->n_silent += is_silence(result);
        if (f->named && !well)
                return ctl_fail(CTL_FAILURE, "The index of %s could not be pulled: %s.", peer, result);
        return 0;
}

static int show_refresh(const Ctl *ctl, const json_t *answer) {
        _cleanup_(table_free_p) Table *t = NULL;
        int r;

        r = table_new("PEER RESULT KIND >ADDED >REMOVED", &t);
        if (r < 0)
                return r;
        for (size_t i = 0; i < json_array_size(answer); i++) {
                const json_t *p = json_array_get(answer, i);

                table_add(t, member_string(p, "peer"));
                table_add_state(t, member_string(p, "result"));
                table_add(t, member_string(p, "kind"));
                add_uint_or_none(t, p, "added");
                add_uint_or_none(t, p, "removed");
        }
        return table_print(t, stdout, &ctl->style);
}

static int refresh_parameters(int argc, char **argv, json_t **ret) {
        json_t *peers;

        if (argc == 0) {
                *ret = NULL;
                return 0;
        }
        peers = json_array();
        if (!peers)
                return -ENOMEM;
        for (int i = 0; i < argc; i++) {
                char text[ENDPOINT_TEXT_SIZE];
                Endpoint endpoint;

                if (endpoint_from_text(slice_of(argv[i]), &endpoint) != 0) {
                        json_decref(peers);
                        return ctl_fail(CTL_USAGE, "'%s' is no peer's address: write ADDRESS:PORT or [ADDRESS]:PORT.",
                                        argv[i]);
                }
                endpoint_to_text(&endpoint, text);
                if (json_array_append_new(peers, json_string(text)) < 0) {
                        json_decref(peers);
                        return -ENOMEM;
                }
        }
        *ret = json_pack("{s:o}", "peers", peers);
        return *ret ? 0 : -ENOMEM;
}

/* Nobody gave an index. */
static int fail_refresh(const Refresh *f) {
        size_t n = json_array_size(f->answer);
        bool silent = f->n_silent == n;
        int code = silent ? CTL_NOT_HELD : CTL_FAILURE;

        if (n == 0)
                return ctl_fail(CTL_NO_PEERS, "No peer is active.");
        if (n == 1)
                return ctl_fail(code, "The only peer did not %s.", silent ? "answer" : "give its index");
        return ctl_fail(code, "None of the %zu peers %s.", n, silent ? "answered" : "gave its index");
}

int verb_refresh(Ctl *ctl, int argc, char **argv) {
        _cleanup_(refresh_done) Refresh f = { .answer = json_array(), .named = argc > 0 };
        json_t *parameters = NULL;
        int code, r = 0;

        if (!f.answer)
                return -ENOMEM;
        r = refresh_parameters(argc, argv, &parameters);
        if (r != 0)
                return r;
        code = ctl_call_more(ctl, "org.p2pdi.Peer.Refresh", parameters, refresh_on_reply, &f);
        if (code < 0)
                return code;
        if (ctl->json != SHOW_JSON_OFF)
                r = ctl_show_json(ctl, f.answer);
        else if (json_array_size(f.answer) > 0)
                r = show_refresh(ctl, f.answer);
        if (r < 0)
                return r;
        return code == 0 && !f.named && f.n_well == 0 ? fail_refresh(&f) : code;
}

/* ---- join, leave ---- */

int verb_join(Ctl *ctl, _unused_ int argc, _unused_ char **argv) {
        return ctl_call(ctl, "org.p2pdi.Peer.Join", NULL, NULL, NULL);
}

int verb_leave(Ctl *ctl, _unused_ int argc, _unused_ char **argv) {
        return ctl_call(ctl, "org.p2pdi.Peer.Leave", NULL, NULL, NULL);
}

/* ---- registrations ---- */

static int show_registrations(const Ctl *ctl, const json_t *registrations) {
        _cleanup_(table_free_p) Table *t = NULL;
        size_t n = json_array_size(registrations), n_active = 0;
        char text[SHOW_TEXT_SIZE];
        Now now;
        int r;

        now_read(&now);
        r = table_new(">ID ADDRESS ~HOST STATE EXPIRES REGISTERED >30-DAYS", &t);
        if (r < 0)
                return r;
        for (size_t i = 0; i < n; i++) {
                const json_t *p = json_array_get(registrations, i);
                bool active = member_bool(p, "active");

                add_uint_or_none(t, p, "peerId");
                table_add(t, member_string(p, "address"));
                table_add(t, member_string(p, "host"));
                table_add_state(t, active ? "active" : "absent");
                table_add(t, member_is_set(p, "expiresInSec")
                                     ? show_timespan(member_uint(p, "expiresInSec") * USEC_PER_SEC, text)
                                     : NULL);
                add_ago(t, p, "registeredUSec", &now);
                add_uint_or_none(t, p, "registrations30Days");
                n_active += active;
        }
        return ctl_show_table(ctl, t, "%zu peer%s listed, %zu active.", n, plural(n), n_active);
}

int verb_registrations(Ctl *ctl, _unused_ int argc, _unused_ char **argv) {
        json_t *parameters, *registrations;
        int r;

        parameters = json_pack("{s:b}", "all", ctl->all);
        if (!parameters)
                return -ENOMEM;
        r = ctl_call_list(ctl, "org.p2pdi.Registration.List", parameters, "registration", &registrations);
        if (r != 0)
                return r;
        r = ctl->json != SHOW_JSON_OFF ? ctl_show_json(ctl, registrations)
                                       : show_registrations(ctl, registrations);
        json_decref(registrations);
        return r;
}
