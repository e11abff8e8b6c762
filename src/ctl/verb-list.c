/* SPDX-License-Identifier: BSD-2-Clause */
#include "ctl/verbs.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "core/text.h"
#include "ctl/numbers.h"
#include "ctl/resolve.h"

/* So many ranges fit well into a message. */
#define RANGES_MAX 4096

int ctl_ranges(int argc, char **argv, json_t **ret) {
        json_t *ranges;

        if (argc == 0) {
                *ret = NULL;
                return 0;
        }
        ranges = json_array();
        if (!ranges)
                return -ENOMEM;
        for (int i = 0; i < argc;) {
                RfcRange range;
                int r;

                r = numbers_next_range(argc, argv, &i, &range);
                if (r == 0 && json_array_size(ranges) >= RANGES_MAX)
                        r = ctl_fail(CTL_USAGE, "One call may name at most %d ranges.", RANGES_MAX);
                if (r == 0 && json_array_append_new(ranges, range.first == range.last
                                                                    ? json_sprintf("%" PRIu32, range.first)
                                                                    : json_sprintf("%" PRIu32 "-%" PRIu32, range.first,
                                                                                   range.last)) < 0)
                        r = -ENOMEM;
                if (r != 0) {
                        json_decref(ranges);
                        return r;
                }
        }
        *ret = ranges;
        return 0;
}

static int show_documents(const Ctl *ctl, const json_t *documents) {
        bool all = ctl->all || ctl->at_risk || ctl->disputed;
        _cleanup_(table_free_p) Table *t = NULL;
        size_t n = json_array_size(documents), n_local = 0;
        char size[SHOW_TEXT_SIZE];
        uint64_t bytes = 0;
        int r;

        r = table_new(all ? ">RFC >HOLDERS LOCAL >SIZE TRUST TITLE" : ">RFC >SIZE TRUST PINNED TITLE", &t);
        if (r < 0)
                return r;
        for (size_t i = 0; i < n; i++) {
                const json_t *d = json_array_get(documents, i);
                bool local = member_bool(d, "local");

                table_add_uint(t, member_uint(d, "number"));
                if (all) {
                        table_add_uint(t, member_uint(d, "holders"));
                        table_add(t, local ? "yes" : "no");
                }
                table_add(t, show_size(member_uint(d, "size"), size));
                table_add_state(t, member_string(d, "trust"));
                if (!all)
                        table_add(t, member_bool(d, "pinned") ? "yes" : "no");
                table_add(t, member_string(d, "title"));
                n_local += local;
                bytes += local ? member_uint(d, "size") : 0;
        }
        if (all)
                return ctl_show_table(ctl, t, "%zu RFC%s listed, %zu local.", n, plural(n), n_local);
        return ctl_show_table(ctl, t, "%zu RFC%s listed, %s.", n, plural(n), show_size(bytes, size));
}

int ctl_list_documents(Ctl *ctl, int argc, char **argv, int *ret_code, json_t **ret) {
        _cleanup_(resolved_done) Resolved names = {};
        json_t *ranges = NULL, *parameters;
        int r;

        r = resolve_arguments(ctl, argc, argv, false, &names);
        if (r == 0)
                r = ctl_ranges(names.argc, names.argv, &ranges);
        if (r != 0)
                return r;
        parameters = json_pack("{s:o*, s:b, s:b, s:b}", "ranges", ranges, "all", ctl->all, "atRisk", ctl->at_risk,
                               "disputed", ctl->disputed);
        if (!parameters)
                return -ENOMEM;
        *ret_code = names.code;
        return ctl_call_list(ctl, "org.p2pdi.Peer.List", parameters, "document", ret);
}

int verb_list(Ctl *ctl, int argc, char **argv) {
        json_t *documents;
        int code, r;

        r = ctl_list_documents(ctl, argc, argv, &code, &documents);
        if (r != 0)
                return r;
        r = ctl->json != SHOW_JSON_OFF ? ctl_show_json(ctl, documents) : show_documents(ctl, documents);
        json_decref(documents);
        return r != 0 ? r : code;
}

int ctl_show_holders(const Ctl *ctl, const json_t *holders) {
        _cleanup_(table_free_p) Table *t = NULL;
        size_t n = json_array_size(holders);
        char text[SHOW_TEXT_SIZE];
        int r;

        r = table_new("HOLDER >ID ~HOST STATE STATED-BY >SIZE SHA256 TRUST >RTT EXPIRES", &t);
        if (r < 0)
                return r;
        for (size_t i = 0; i < n; i++) {
                const json_t *h = json_array_get(holders, i);

                table_add(t, member_string(h, "holder"));
                if (member_is_set(h, "peerId"))
                        table_add_uint(t, member_uint(h, "peerId"));
                else
                        table_add(t, NULL);
                table_add(t, member_string(h, "host"));
                table_add_state(t, member_string(h, "state"));
                table_add(t, member_bool(h, "firstHand") ? "itself" : member_string(h, "statedBy"));
                table_add(t, show_size(member_uint(h, "size"), text));
                table_add(t, show_digest(member_string(h, "sha256"), text));
                table_add_state(t, member_string(h, "trust"));
                table_add(t, member_is_set(h, "rttUSec") ? show_duration(member_uint(h, "rttUSec"), text) : NULL);
                table_add(t, member_is_set(h, "expiresInSec")
                                     ? show_timespan(member_uint(h, "expiresInSec") * USEC_PER_SEC, text)
                                     : NULL);
        }
        return ctl_show_table(ctl, t, "%zu holder%s listed.", n, plural(n));
}

/* Adds the holders of one number. 0, CTL_NOT_HELD (told), or what else the call gives. */
static int list_holders(Ctl *ctl, uint32_t number, json_t *all, json_t **ret) {
        json_t *parameters = json_pack("{s:I}", "number", (json_int_t) number), *holders;
        int r;

        if (!parameters)
                return -ENOMEM;
        r = ctl_call_list(ctl, "org.p2pdi.Peer.ListHolders", parameters, "holder", &holders);
        if (r != 0)
                return r;
        *ret = holders;
        return json_array_extend(all, holders) < 0 ? -ENOMEM : 0;
}

static int on_description(json_t *parameters, _unused_ int fd, void *userdata) {
        const json_t *rfc = json_object_get(parameters, "rfc");
        bool *ret_never = userdata;

        *ret_never = json_is_object(rfc) && member_is_set(rfc, "issued") && !member_bool(rfc, "issued");
        return 0;
}

/* Nobody is known to hold it: is there such an RFC? */
static int tell_none(Ctl *ctl, uint32_t number) {
        json_t *parameters = json_pack("{s:I}", "number", (json_int_t) number);
        bool never = false;
        int r;

        if (!parameters)
                return -ENOMEM;
        r = ctl_call(ctl, "org.p2pdi.Peer.Describe", parameters, on_description, &never);
        if (r != 0)
                return r;
        return never ? ctl_fail(CTL_NEVER_ISSUED, "RFC %" PRIu32 " was never issued.", number) :
                       ctl_fail(CTL_NOT_HELD, "RFC %" PRIu32 " is not known to be held by any peer.", number);
}

/* One table for each RFC of an alias, below its name. */
static int where_one(Ctl *ctl, uint32_t number, bool several, json_t *all) {
        json_t *holders = NULL;
        int r = list_holders(ctl, number, all, &holders);

        if (r == 0 && json_array_size(holders) == 0)
                r = tell_none(ctl, number);
        else if (r == 0 && ctl->json == SHOW_JSON_OFF) {
                if (several && !ctl->no_legend)
                        printf("RFC %" PRIu32 ":\n", number);
                r = ctl_show_holders(ctl, holders);
        }
        json_decref(holders);
        return r;
}

int verb_where(Ctl *ctl, int argc, char **argv) {
        _cleanup_(resolved_done) Resolved names = {};
        json_t *all;
        int code, r;

        r = resolve_one(ctl, argc, argv, &names);
        if (r != 0)
                return r;
        all = json_array();
        if (!all)
                return -ENOMEM;
        code = names.code;
        for (int i = 0; r >= 0 && i < names.argc; i++) {
                uint32_t number;

                r = numbers_get_one(1, names.argv + i, &number);
                if (r == 0)
                        r = where_one(ctl, number, names.argc > 1, all);
                code = MAX_OF(code, r);
        }
        if (r >= 0 && ctl->json != SHOW_JSON_OFF && (code == 0 || code == CTL_NOT_HELD || code == CTL_NEVER_ISSUED))
                r = ctl_show_json(ctl, all);
        json_decref(all);
        return r < 0 ? r : code;
}
