/* SPDX-License-Identifier: BSD-2-Clause */
#include "ctl/verbs.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "core/text.h"
#include "ctl/numbers.h"
#include "ctl/resolve.h"
#include "ctl/tally.h"

typedef struct Verify {
        bool repair;
        json_t *documents, *downloads;  /* owned: what is not as it should be, and what was had anew */
        json_t *progress;               /* owned: the last; NULL: none */
} Verify;

static void verify_done(Verify *v) {
        json_decref(v->documents);
        json_decref(v->downloads);
        json_decref(v->progress);
}

static int tell_document(const Verify *v, const json_t *d) {
        const char *result = member_string(d, "result"), *found = member_string(d, "sha256");
        char text[SHOW_TEXT_SIZE], expected[SHOW_TEXT_SIZE];
        uint64_t number = member_uint(d, "number");

        if (result && strcmp(result, "not-held") == 0)
                return ctl_fail(CTL_NOT_HELD, "RFC %" PRIu64 " is not in the store.", number);
        if (!result || strcmp(result, "damaged") != 0)
                return ctl_fail(CTL_FAILURE, "RFC %" PRIu64 " cannot be read: the log of p2pdi-peerd tells why.", number);
        (void) show_digest(member_string(d, "expected"), expected);
        /* What becomes of it is told when it is had anew. */
        if (v->repair) {
                ctl_note("RFC %" PRIu64 ": damaged, sha256 should be %s", number, expected);
                return 0;
        }
        if (!found)
                return ctl_fail(CTL_INTEGRITY, "RFC %" PRIu64 " is damaged: its file cannot be read.", number);
        return ctl_fail(CTL_INTEGRITY, "RFC %" PRIu64 " is damaged: its sha256 is %s, and should be %s.", number,
                        show_digest(found, text), expected);
}

static int tell_download(Verify *v, json_t *d) {
        const char *state = member_string(d, "state"), *result = member_string(d, "result");
        const char *holder = member_string(d, "holder");
        uint32_t number = (uint32_t) member_uint(d, "number");
        char digest[SHOW_TEXT_SIZE];

        if (!state || strcmp(state, "done") != 0)
                return 0;
        if (json_array_append(v->downloads, d) < 0)
                return -ENOMEM;
        if (!result || strcmp(result, "ok") != 0)
                return ctl_fail_document(result, number, member_string(d, "message"), true);
        ctl_note("RFC %u: repaired from %s, sha256 %s", number, holder ? holder : "-",
                 show_digest(member_string(d, "sha256"), digest));
        return 0;
}

static void show_progress(const json_t *p) {
        tally_show(&(Tally){
                .what = "Verified",
                .n = member_uint(p, "documents"),
                .n_total = member_uint(p, "documentsTotal"),
                .bytes = member_uint(p, "bytes"),
                .bytes_total = member_uint(p, "bytesTotal"),
                .elapsed = member_uint(p, "durationUSec"),
        });
}

static int on_reply(json_t *parameters, _unused_ int fd, void *userdata) {
        json_t *document = json_object_get(parameters, "document"), *download = json_object_get(parameters, "download");
        json_t *progress = json_object_get(parameters, "progress");
        Verify *v = userdata;

        if (json_is_object(progress)) {
                json_decref(v->progress);
                v->progress = json_incref(progress);
                show_progress(progress);
        }
        if (json_is_object(document)) {
                if (json_array_append(v->documents, document) < 0)
                        return -ENOMEM;
                return tell_document(v, document);
        }
        return json_is_object(download) ? tell_download(v, download) : 0;
}

static void tell_end(const Verify *v) {
        uint64_t n = member_uint(v->progress, "documents"), n_damaged = member_uint(v->progress, "damaged");
        char size[SHOW_TEXT_SIZE], duration[SHOW_TEXT_SIZE], damaged[32] = "none";

        if (n_damaged > 0)
                (void) snprintf(damaged, sizeof(damaged), "%" PRIu64, n_damaged);
        ctl_note("%" PRIu64 " RFC%s verified, %s in %s, %s damaged.", n, plural(n),
                 show_size(member_uint(v->progress, "bytes"), size),
                 show_duration(member_uint(v->progress, "durationUSec"), duration), damaged);
}

static int numbers_parameter(int argc, char **argv, json_t **ret) {
        _cleanup_(numbers_done) Numbers numbers = {};
        json_t *list = NULL;
        int r;

        if (argc > 0) {
                r = numbers_from_arguments(argc, argv, &numbers);
                if (r != 0)
                        return r;
                list = json_array();
                for (size_t i = 0; i < numbers.n; i++)
                        (void) json_array_append_new(list, json_integer((json_int_t) numbers.asked[i]));
        }
        *ret = json_pack("{s:o*}", "numbers", list);
        return *ret ? 0 : -ENOMEM;
}

int verb_verify(Ctl *ctl, int argc, char **argv) {
        _cleanup_(verify_done) Verify v = { .repair = ctl->repair, .documents = json_array(), .downloads = json_array() };
        _cleanup_(resolved_done) Resolved names = {};
        _cleanup_(json_decrefp) json_t *answer = NULL;
        json_t *parameters;
        int code, r;

        if (!v.documents || !v.downloads)
                return -ENOMEM;
        r = resolve_arguments(ctl, argc, argv, false, &names);
        if (r == 0)
                r = numbers_parameter(names.argc, names.argv, &parameters);
        if (r != 0)
                return r;
        tally_begin(!ctl->quiet && ctl->json == SHOW_JSON_OFF);
        code = ctl_call_more(ctl, v.repair ? "org.p2pdi.Peer.Repair" : "org.p2pdi.Peer.Verify", parameters, on_reply, &v);
        tally_hide();
        if (code < 0 || !v.progress)
                return code;
        code = MAX_OF(code, names.code);
        tell_end(&v);
        if (ctl->json == SHOW_JSON_OFF)
                return code;
        answer = json_pack("{s:O, s:O, s:O}", "progress", v.progress, "documents", v.documents, "downloads", v.downloads);
        if (!answer)
                return -ENOMEM;
        r = ctl_show_json(ctl, answer);
        return r < 0 ? r : code;
}
