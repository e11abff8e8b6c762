/* SPDX-License-Identifier: BSD-2-Clause */
#include "ctl/verbs.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/text.h"
#include "ctl/numbers.h"
#include "ctl/resolve.h"

/* ---- what the editor's index tells ---- */

static void show_head(const Ctl *ctl, const json_t *rfc) {
        const char *title = member_string(rfc, "title");

        printf("%sRFC %" PRIu64, show_colour(&ctl->style, SHOW_BOLD), member_uint(rfc, "number"));
        if (title)
                show_text(stdout, ": %s", title);
        printf("%s\n", show_colour(&ctl->style, SHOW_PLAIN));
}

static void show_string(const char *label, const json_t *rfc, const char *name) {
        const char *s = member_string(rfc, name);

        if (s)
                show_line(stdout, label, "%s", s);
}

/* "PROPOSED STANDARD, obsolete" */
static void show_status(const json_t *rfc) {
        const char *published = member_string(rfc, "publicationStatus"), *status = member_string(rfc, "status");

        if (published && status)
                show_line(stdout, "Status", "%s, %s", published, status);
        else if (published || status)
                show_line(stdout, "Status", "%s", published ? published : status);
}

static void show_related(const char *label, const json_t *rfc, const char *name) {
        const json_t *list = json_object_get(rfc, name);

        for (size_t i = 0; i < json_array_size(list); i++) {
                const json_t *other = json_array_get(list, i);
                const char *title = member_string(other, "title");

                show_line(stdout, i == 0 ? label : NULL, "RFC %" PRIu64 "%s%s", member_uint(other, "number"),
                          title ? ": " : "", title ? title : "");
        }
}

/* ---- what this peer has, and others say ---- */

static void show_store(const json_t *rfc) {
        const json_t *document = json_object_get(rfc, "document");
        const char *path = member_string(document, "path");
        char size[SHOW_TEXT_SIZE];

        if (member_bool(document, "local"))
                show_line(stdout, "In store", "%s, %s%s", path ? path : "-", show_size(member_uint(document, "size"), size),
                          member_bool(document, "pinned") ? ", pinned" : "");
        else
                show_line(stdout, "In store", "no");
}

/* Two lines each: a digest fills one of them. */
static void show_texts(const json_t *rfc) {
        const json_t *texts = json_object_get(rfc, "texts");

        for (size_t i = 0; i < json_array_size(texts); i++) {
                const json_t *t = json_array_get(texts, i);
                uint64_t n = member_uint(t, "holders"), n_hearsay = member_uint(t, "hearsay");
                uint64_t n_prefixes = member_uint(t, "prefixes");
                const char *digest = member_string(t, "sha256"), *trust = member_string(t, "trust");
                char size[SHOW_TEXT_SIZE], prefixes[64] = "", hearsay[64] = "";

                if (n_prefixes < n)
                        (void) snprintf(prefixes, sizeof(prefixes), " from %" PRIu64 " address%s", n_prefixes,
                                        n_prefixes == 1 ? "" : "es");
                if (n_hearsay > 0)
                        (void) snprintf(hearsay, sizeof(hearsay), ", and by hearsay %" PRIu64 " more", n_hearsay);
                show_line(stdout, i == 0 ? "SHA-256" : NULL, "%s", digest ? digest : "-");
                show_line(stdout, NULL, "%s, %s%s, %" PRIu64 " other peer%s%s state%s it%s",
                          show_size(member_uint(t, "size"), size), trust ? trust : "-",
                          member_bool(t, "local") ? ", in the store" : "", n, plural(n), prefixes, n == 1 ? "s" : "",
                          hearsay);
        }
}

static int show_rfc(const Ctl *ctl, const json_t *rfc, bool below_another) {
        const json_t *holders = json_object_get(rfc, "holders");

        int r = ctl_open_pager(ctl);
        if (r < 0)
                return r;
        if (below_another)
                putchar('\n');
        show_head(ctl, rfc);
        show_string("Authors", rfc, "authors");
        show_string("Published", rfc, "date");
        show_status(rfc);
        if (member_is_set(rfc, "hasText") && !member_bool(rfc, "hasText"))
                show_line(stdout, "Formats", "%s", "no text, only others");
        show_related("Obsoletes", rfc, "obsoletes");
        show_related("Obsoleted by", rfc, "obsoletedBy");
        show_related("Updates", rfc, "updates");
        show_related("Updated by", rfc, "updatedBy");
        show_store(rfc);
        show_texts(rfc);
        if (json_array_size(holders) == 0) {
                show_line(stdout, "Holders", "none that is known");
                return 0;
        }
        putchar('\n');
        return ctl_show_holders(ctl, holders);
}

/* What is shown, one RFC after the other. */
typedef struct Show {
        const Ctl *ctl;
        json_t *all;                    /* owned: with --json=, of an alias */
        size_t n_shown;
} Show;

static int show_one(Show *s, json_t *rfc) {
        if (s->all)
                return json_array_append(s->all, rfc) < 0 ? -ENOMEM : 0;
        if (s->ctl->json != SHOW_JSON_OFF)
                return ctl_show_json(s->ctl, rfc);
        return show_rfc(s->ctl, rfc, s->n_shown++ > 0);
}

static int show_on_reply(json_t *parameters, _unused_ int fd, void *userdata) {
        json_t *rfc = json_object_get(parameters, "rfc");
        bool never = member_is_set(rfc, "issued") && !member_bool(rfc, "issued");
        Show *s = userdata;
        int r = 0;

        if (!json_is_object(rfc))
                return ctl_fail(CTL_FAILURE, "The daemon's answer tells of no RFC.");
        if (s->ctl->json != SHOW_JSON_OFF || !never || member_is_set(rfc, "document"))
                r = show_one(s, rfc);
        if (r < 0 || !never)
                return r;
        return ctl_fail(CTL_NEVER_ISSUED, "RFC %" PRIu64 " was never issued.", member_uint(rfc, "number"));
}

static int show_number(Ctl *ctl, Show *s, char *name) {
        json_t *parameters;
        uint32_t number;
        int r;

        r = numbers_get_one(1, &name, &number);
        if (r != 0)
                return r;
        parameters = json_pack("{s:I}", "number", (json_int_t) number);
        if (!parameters)
                return -ENOMEM;
        return ctl_call(ctl, "org.p2pdi.Peer.Describe", parameters, show_on_reply, s);
}

/* An alias is an array with --json=, whatever it has: its RFCs may become more. */
int verb_show(Ctl *ctl, int argc, char **argv) {
        _cleanup_(resolved_done) Resolved names = {};
        Show s = { .ctl = ctl };
        int code, r;

        r = resolve_one(ctl, argc, argv, &names);
        if (r != 0)
                return r;
        if (names.aliases && ctl->json != SHOW_JSON_OFF) {
                s.all = json_array();
                if (!s.all)
                        return -ENOMEM;
        }
        code = names.code;
        for (int i = 0; r >= 0 && i < names.argc; i++) {
                r = show_number(ctl, &s, names.argv[i]);
                code = MAX_OF(code, r);
        }
        if (r >= 0 && s.all)
                r = ctl_show_json(ctl, s.all);
        json_decref(s.all);
        return r < 0 ? r : code;
}
