/* SPDX-License-Identifier: BSD-2-Clause */
/* pin, unpin and evict: how long documents are to stay. */

#include "ctl/verbs.h"

#include <errno.h>
#include <inttypes.h>

#include "ctl/numbers.h"
#include "ctl/resolve.h"

/* Numbers in one call: far below what a message may hold. */
#define KEEP_BATCH 4096

typedef struct Keep {
        const char *done;               /* "pinned" */
        json_t *answer;                 /* owned */
} Keep;

static int on_kept(json_t *parameters, _unused_ int fd, void *userdata) {
        json_t *kept = json_object_get(parameters, "kept");
        const char *result = member_string(kept, "result"), *message = member_string(kept, "message");
        uint64_t number = member_uint(kept, "number");
        Keep *k = userdata;

        if (!json_is_object(kept))
                return 0;
        if (json_array_append(k->answer, kept) < 0)
                return -ENOMEM;
        if (!result)
                result = "failed";
        if (strcmp(result, "ok") == 0) {
                ctl_note("RFC %" PRIu64 ": %s", number, k->done);
                return 0;
        }
        if (strcmp(result, "not-held") == 0)
                return ctl_fail(CTL_NOT_HELD, "RFC %" PRIu64 " is not in the store.", number);
        if (strcmp(result, "pinned") == 0)
                return ctl_fail(CTL_FAILURE, "RFC %" PRIu64 " is pinned: unpin it before, or use --force.", number);
        if (strcmp(result, "last-copy") == 0)
                return ctl_fail(CTL_FAILURE,
                                "RFC %" PRIu64 " is the last copy that is known here: only --force removes it.", number);
        return ctl_fail(CTL_FAILURE, "RFC %" PRIu64 " could not be %s: %s", number, k->done,
                        message ? message : "no reason is given.");
}

static int keep_batch(Ctl *ctl, const char *method, const Numbers *numbers, size_t first, Keep *k) {
        json_t *list = json_array(), *parameters;

        for (size_t i = first; i < MIN_OF(first + KEEP_BATCH, numbers->n); i++)
                (void) json_array_append_new(list, json_integer((json_int_t) numbers->asked[i]));
        parameters = json_pack("{s:o}", "numbers", list);
        if (!parameters || (ctl->force && json_object_set_new(parameters, "force", json_true()) < 0)) {
                json_decref(parameters);
                return -ENOMEM;
        }
        return ctl_call_more(ctl, method, parameters, on_kept, k);
}

static int keep(Ctl *ctl, const char *method, const char *done, int argc, char **argv) {
        _cleanup_(json_decrefp) json_t *answer = json_array();
        _cleanup_(numbers_done) Numbers numbers = {};
        _cleanup_(resolved_done) Resolved names = {};
        Keep k = { .done = done, .answer = answer };
        int code, r;

        if (!answer)
                return -ENOMEM;
        r = resolve_arguments(ctl, argc, argv, false, &names);
        if (r == 0)
                r = numbers_from_arguments(names.argc, names.argv, &numbers);
        if (r != 0)
                return r;
        code = names.code;
        for (size_t first = 0; first < numbers.n; first += KEEP_BATCH) {
                r = keep_batch(ctl, method, &numbers, first, &k);
                if (r < 0)
                        return r;
                code = MAX_OF(code, r);
                /* Cut short: that was told, and no further batch will do better. */
                if (json_array_size(answer) < MIN_OF(first + KEEP_BATCH, numbers.n))
                        break;
        }
        if (ctl->json == SHOW_JSON_OFF || json_array_size(answer) == 0)
                return code;
        r = ctl_show_json(ctl, answer);
        return r < 0 ? r : code;
}

int verb_pin(Ctl *ctl, int argc, char **argv) {
        return keep(ctl, "org.p2pdi.Peer.Pin", "pinned", argc, argv);
}

int verb_unpin(Ctl *ctl, int argc, char **argv) {
        return keep(ctl, "org.p2pdi.Peer.Unpin", "no longer pinned", argc, argv);
}

int verb_evict(Ctl *ctl, int argc, char **argv) {
        return keep(ctl, "org.p2pdi.Peer.Evict", "evicted", argc, argv);
}
