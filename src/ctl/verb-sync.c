/* SPDX-License-Identifier: BSD-2-Clause */
#include "ctl/verbs.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "core/text.h"
#include "ctl/bar.h"
#include "ctl/resolve.h"

#define FAREWELL "Interrupted; the sync ends, what is in the store stays there.\n"

typedef struct Sync {
        Bar bar;
        json_t *last;                   /* owned; how it stands */
} Sync;

static void sync_done(Sync *s) {
        bar_end(&s->bar);
        json_decref(s->last);
}

static void show_progress(Sync *s) {
        const char *state = member_string(s->last, "state");
        const json_t *p = s->last;
        ProgressSum sum = {
                .n_done = member_uint(p, "documentsFetched") + member_uint(p, "documentsFailed") +
                          member_uint(p, "documentsElsewhere"),
                .n = member_uint(p, "documents"),
                .received = member_uint(p, "bytesFetched"),
                .size = member_uint(p, "bytes"),
                .rate = member_uint(p, "bytesPerSec"),
                .left = member_is_set(p, "leftUSec") ? member_uint(p, "leftUSec") : USEC_INFINITY,
        };

        if (!state || strcmp(state, "refreshing") == 0)
                sum.doing = "asking peers what they hold";
        else if (strcmp(state, "planning") == 0)
                sum.doing = "looking for what is missing here";
        bar_set_sum(&s->bar, &sum);
}

static int on_reply(json_t *parameters, _unused_ int fd, void *userdata) {
        json_t *sync = json_object_get(parameters, "sync");
        Sync *s = userdata;

        if (!json_is_object(sync))
                return 0;
        json_decref(s->last);
        s->last = json_incref(sync);
        show_progress(s);
        return 0;
}

static void on_tick(void *userdata) {
        bar_tick(userdata);
}

/* ---- the answer ---- */

static const struct Skip {
        const char *reason, *says;
} skips[] = {
        { "held", "in the store already" },
        { "unknown", "neither in the RFC index nor agreed by enough peers" },
        { "disputed", "disputed: its holders state different texts" },
        { "too-large", "larger than Store.MaxFileSize=" },
        { "no-holder", "no holder that may be asked" },
        { "no-room", "no room left in the store" },
};

static const char *skip_says(const char *reason) {
        for (size_t i = 0; i < ELEMENTSOF(skips); i++)
                if (reason && strcmp(reason, skips[i].reason) == 0)
                        return skips[i].says;
        return reason ? reason : "-";
}

static void add_row(Table *t, const char *what, uint64_t n, uint64_t bytes, bool has_bytes, const char *why) {
        char size[SHOW_TEXT_SIZE];

        table_add(t, what);
        table_add_uint(t, n);
        table_add(t, has_bytes ? show_size(bytes, size) : NULL);
        table_add(t, why);
}

static int show_answer(const Ctl *ctl, const json_t *p) {
        _cleanup_(table_free_p) Table *t = NULL;
        const json_t *list = json_object_get(p, "skipped"), *e;
        char time[SHOW_TEXT_SIZE];
        size_t i;
        int r;

        r = table_new("WHAT >RFCS >SIZE WHY", &t);
        if (r < 0)
                return r;
        if (ctl->dry_run)
                add_row(t, "to fetch", member_uint(p, "documents"), member_uint(p, "bytes"), true, NULL);
        else
                add_row(t, "fetched", member_uint(p, "documentsFetched"), member_uint(p, "bytesFetched"), true, NULL);
        if (member_uint(p, "documentsElsewhere") > 0)
                add_row(t, "fetched", member_uint(p, "documentsElsewhere"), 0, false, "meanwhile, by others");
        json_array_foreach(json_object_get(p, "failed"), i, e)
                add_row(t, "failed", member_uint(e, "documents"), 0, false, member_string(e, "result"));
        json_array_foreach(list, i, e)
                add_row(t, "skipped", member_uint(e, "documents"), member_uint(e, "bytes"), true,
                        skip_says(member_string(e, "reason")));
        if (ctl->dry_run)
                return ctl_show_table(ctl, t, "%" PRIu64 " peer%s asked, nothing fetched: this is a dry run.",
                                      member_uint(p, "peers"), plural(member_uint(p, "peers")));
        return ctl_show_table(ctl, t, "%" PRIu64 " peer%s asked, done in %s.", member_uint(p, "peers"),
                              plural(member_uint(p, "peers")), show_duration(member_uint(p, "durationUSec"), time));
}

/* "RFC 7, 8, 9 and 12 more" */
static void name_numbers(const json_t *failure, char ret[256]) {
        uint64_t n = member_uint(failure, "documents");
        const json_t *numbers = json_object_get(failure, "numbers"), *number;
        size_t i, used = 0;

        (void) snprintf(ret, 256, "RFC ");
        used = strlen(ret);
        json_array_foreach(numbers, i, number) {
                if (i == 10)
                        break;
                used += (size_t) snprintf(ret + used, 256 - used, "%s%" PRIu32, i > 0 ? ", " : "",
                                          (uint32_t) json_integer_value(number));
        }
        if (n > json_array_size(numbers))
                (void) snprintf(ret + used, 256 - used, " and %" PRIu64 " more", n - json_array_size(numbers));
}

/* Each kind of failure in a sentence; the highest code. */
static int tell_failures(const json_t *p) {
        const json_t *e;
        char numbers[256];
        int code = 0;
        size_t i;

        json_array_foreach(json_object_get(p, "failed"), i, e) {
                name_numbers(e, numbers);
                int r = ctl_fail_documents(member_string(e, "result"), numbers);
                code = MAX_OF(code, r);
        }
        json_array_foreach(json_object_get(p, "skipped"), i, e) {
                const char *reason = member_string(e, "reason");
                uint64_t n = member_uint(e, "documents");

                if (!reason || strcmp(reason, "no-room") != 0)
                        continue;
                int r = ctl_fail(CTL_NO_SPACE, "%" PRIu64 " RFC%s not fit into the store.", n, n == 1 ? " does" : "s do");
                code = MAX_OF(code, r);
        }
        return code;
}

static int answer(Ctl *ctl, const json_t *p) {
        uint64_t n_peers = member_uint(p, "peers"), n_failed = member_uint(p, "peersFailed");
        int r, code;

        if (member_bool(p, "serversAway"))
                ctl_note("Note: no registration server answered, so only last-known peers could be asked.");
        if (n_failed > 0 && n_failed < n_peers)
                ctl_note("Note: %" PRIu64 " of %" PRIu64 " peers did not give their index.", n_failed, n_peers);
        if (ctl->json != SHOW_JSON_OFF)
                r = ctl_show_json(ctl, p);
        else
                r = ctl->quiet || n_peers == 0 ? 0 : show_answer(ctl, p);
        if (r < 0)
                return r;
        code = tell_failures(p);
        if (n_peers == 0)
                r = ctl_fail(CTL_NO_PEERS, "No peer is active.");
        else if (n_failed == n_peers)
                r = ctl_fail(CTL_NOT_HELD, "None of the peers gave its index.");
        return MAX_OF(code, r);
}

int verb_sync(Ctl *ctl, int argc, char **argv) {
        _cleanup_(resolved_done) Resolved names = {};
        _cleanup_(sync_done) Sync s = {};
        json_t *ranges = NULL, *parameters;
        bool wanted = !ctl->quiet && ctl->json == SHOW_JSON_OFF;
        int r;

        r = resolve_arguments(ctl, argc, argv, false, &names);
        if (r == 0)
                r = ctl_ranges(names.argc, names.argv, &ranges);
        if (r != 0)
                return r;
        parameters = json_pack("{s:o*, s:b, s:o*}", "ranges", ranges, "dryRun", ctl->dry_run, "maxRate",
                               ctl->max_rate > 0 ? json_integer((json_int_t) ctl->max_rate) : NULL);
        if (!parameters)
                return -ENOMEM;
        r = ctl_connect(ctl);
        if (r == 0)
                r = bar_begin(&s.bar, wanted, ctl->quiet ? NULL : FAREWELL, NULL, 0);
        if (r != 0) {
                json_decref(parameters);
                return r;
        }
        varlink_client_set_tick(ctl->client, BAR_INTERVAL, on_tick, &s.bar);
        r = ctl_call_more(ctl, "org.p2pdi.Peer.Sync", parameters, on_reply, &s);
        varlink_client_set_tick(ctl->client, 0, NULL, NULL);
        bar_end(&s.bar);
        if (r != 0 || !s.last)
                return r;
        r = answer(ctl, s.last);
        return r < 0 ? r : MAX_OF(r, names.code);
}
