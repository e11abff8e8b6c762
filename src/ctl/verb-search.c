/* SPDX-License-Identifier: BSD-2-Clause */
#include "ctl/verbs.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "core/search.h"
#include "core/text.h"

/* What the daemon would refuse is told here, in better words. 0, CTL_USAGE (told), -ENOMEM. */
static int words_from_arguments(int argc, char **argv, json_t **ret) {
        _cleanup_(json_decrefp) json_t *words = json_array();
        Search search;

        if (!words)
                return -ENOMEM;
        search_init(&search);
        for (int i = 0; i < argc; i++) {
                Slice word = slice_of(argv[i]);

                if (slice_trim(word).size == 0)
                        return ctl_fail(CTL_USAGE, "A word to search for is empty.");
                if (!text_is_utf8(word))
                        return ctl_fail(CTL_USAGE, "'%s' is no UTF-8, as all titles are.", argv[i]);
                switch (search_add(&search, word)) {
                case 0:
                        break;
                case SEARCH_TOO_MANY:
                        return ctl_fail(CTL_USAGE, "At most %d words can be searched for at once.", SEARCH_WORDS_MAX);
                default:
                        return ctl_fail(CTL_USAGE, "A word to search for may have at most %d bytes, not as many as '%s'.",
                                        SEARCH_WORD_SIZE_MAX, argv[i]);
                }
                if (json_array_append_new(words, json_string(argv[i])) < 0)
                        return -ENOMEM;
        }
        *ret = TAKE_PTR(words);
        return 0;
}

static int take_active(json_t *parameters, _unused_ int fd, void *userdata) {
        *(uint64_t *) userdata = member_uint(parameters, "peersActive");
        return 0;
}

static int show_found(const Ctl *ctl, const json_t *documents, uint64_t n_active) {
        _cleanup_(table_free_p) Table *t = NULL;
        size_t n = json_array_size(documents), n_local = 0;
        int r;

        r = table_new(">RFC STATUS >HOLDERS LOCAL TITLE", &t);
        if (r < 0)
                return r;
        for (size_t i = 0; i < n; i++) {
                const json_t *d = json_array_get(documents, i);
                bool local = member_bool(d, "local");
                char holders[2 * SHOW_TEXT_SIZE];

                /* Nobody is active without a registration server. Who left since the search makes no 4/3. */
                if (n_active == 0)
                        (void) snprintf(holders, sizeof(holders), "%" PRIu64, member_uint(d, "holders"));
                else
                        (void) snprintf(holders, sizeof(holders), "%" PRIu64 "/%" PRIu64,
                                        MIN_OF(member_uint(d, "holdersActive"), n_active), n_active);
                table_add_uint(t, member_uint(d, "number"));
                table_add_state(t, member_string(d, "status"));
                table_add(t, holders);
                table_add(t, local ? "yes" : "no");
                table_add(t, member_string(d, "title"));
                n_local += local;
        }
        return ctl_show_table(ctl, t, "%zu RFC%s listed, %zu local.", n, plural(n), n_local);
}

int verb_search(Ctl *ctl, int argc, char **argv) {
        _cleanup_(json_decrefp) json_t *documents = NULL;
        json_t *words, *parameters;
        uint64_t n_active = 0;
        int r;

        r = words_from_arguments(argc, argv, &words);
        if (r != 0)
                return r;
        parameters = json_pack("{s:o, s:b, s:b}", "words", words, "local", ctl->local, "current", ctl->current);
        if (!parameters)
                return -ENOMEM;
        r = ctl_call_list(ctl, "org.p2pdi.Peer.Search", parameters, "document", &documents);
        if (r != 0)
                return r;
        if (ctl->json != SHOW_JSON_OFF)
                return ctl_show_json(ctl, documents);
        if (json_array_size(documents) == 0) {
                ctl_note("No title that is known has %s in it.", argc == 1 ? "that" : "all of these");
                return 0;
        }
        r = ctl_call(ctl, "org.p2pdi.Peer.GetStatus", NULL, take_active, &n_active);
        return r != 0 ? r : show_found(ctl, documents, n_active);
}
