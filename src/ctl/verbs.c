/* SPDX-License-Identifier: BSD-2-Clause */
#include "ctl/verbs.h"

#include <strings.h>

#include "core/rfc-number.h"
#include "ctl/options.h"
#include "ctl/suggest.h"

/* In the order of --help. */
const Verb verbs[] = {
        { "get", "RFC…", "Have RFCs in the store, print their paths", 1, -1, VERB_PEER, OPTION_FOLLOW,
          COMPLETES_RFC, verb_get },
        { "read", "RFC", "Have an RFC in the store, open it in the pager", 1, 2, VERB_PEER, OPTION_RAW, COMPLETES_RFC,
          verb_read },
        { "cat", "RFC…", "Have RFCs in the store, print their bytes", 1, -1, VERB_PEER, OPTION_RAW, COMPLETES_RFC,
          verb_cat },
        { "list", "[RANGE…]", "List the store, or with --all all that is known", 0, -1, VERB_PEER,
          OPTION_ALL | OPTION_AT_RISK | OPTION_DISPUTED, COMPLETES_RFC, verb_list },
        { "search", "WORD…", "List what has all the words in its title", 1, -1, VERB_PEER,
          OPTION_LOCAL | OPTION_CURRENT, COMPLETES_NOTHING, verb_search },
        { "show", "RFC", "Show all that is known of an RFC", 1, 2, VERB_PEER, 0, COMPLETES_RFC, verb_show },
        { "where", "RFC", "List who holds an RFC", 1, 2, VERB_PEER, 0, COMPLETES_RFC, verb_where },
        { "why", "TRANSACTION|RFC", "Show what was decided at the last attempt", 1, 2, VERB_PEER, 0, COMPLETES_RFC,
          verb_why },
        { "verify", "[RFC…]", "Read the store anew and compare it with its digests", 0, -1, VERB_PEER | VERB_ENDLESS,
          OPTION_REPAIR, COMPLETES_STORED, verb_verify },
        { "export", "[RANGE…]", "Write the store into the directory of --to=", 0, -1, VERB_PEER | VERB_ENDLESS, OPTION_TO,
          COMPLETES_STORED, verb_export },
        { "import", "FILE…|DIR…", "Take files into the store", 1, -1, VERB_PEER | VERB_ENDLESS, 0, COMPLETES_FILE,
          verb_import },
        { "pin", "RFC…", "Keep RFCs from being evicted to make room", 1, -1, VERB_PEER, 0, COMPLETES_STORED, verb_pin },
        { "unpin", "RFC…", "Let them be evicted again", 1, -1, VERB_PEER, 0, COMPLETES_STORED, verb_unpin },
        { "evict", "RFC…", "Remove RFCs from the store", 1, -1, VERB_PEER, OPTION_FORCE, COMPLETES_STORED, verb_evict },
        { "peers", "", "List known peers", 0, 0, VERB_PEER, 0, COMPLETES_NOTHING, verb_peers },
        { "status", "", "Show the state of the peer, or with --rs of the server", 0, 0, VERB_PEER | VERB_RS, 0,
          COMPLETES_NOTHING, verb_status },
        { "refresh", "[PEER…]", "Ask for active peers and pull their indexes now", 0, -1, VERB_PEER, 0,
          COMPLETES_PEER, verb_refresh },
        { "sync", "[RANGE…]", "Have all in the store that other peers hold", 0, -1, VERB_PEER | VERB_ENDLESS,
          OPTION_DRY_RUN | OPTION_MAX_RATE, COMPLETES_RFC, verb_sync },
        { "join", "", "Register now", 0, 0, VERB_PEER, 0, COMPLETES_NOTHING, verb_join },
        { "leave", "", "Unregister, and stay so until join or a restart", 0, 0, VERB_PEER, 0, COMPLETES_NOTHING,
          verb_leave },
        { "monitor", "", "Show what happens, as it happens", 0, 0, VERB_PEER | VERB_ENDLESS, 0, COMPLETES_NOTHING,
          verb_monitor },
        { "metrics", "", "Print metrics of the peer, or with --rs of the server", 0, 0, VERB_PEER | VERB_RS, 0,
          COMPLETES_NOTHING, verb_metrics },
        { "log-level", "[LEVEL]", "Show or set how much the daemon logs", 0, 1, VERB_PEER | VERB_RS, 0,
          COMPLETES_LEVEL, verb_log_level },
        { "cat-config", "[rs|peer]", "Show the configuration files", 0, 1, VERB_PEER | VERB_RS, OPTION_CONFIG,
          COMPLETES_DAEMON, verb_cat_config },
        { "check-config", "[rs|peer]", "Check the configuration files", 0, 1, VERB_PEER | VERB_RS, OPTION_CONFIG,
          COMPLETES_DAEMON, verb_check_config },
        { "registrations", "", "List the peers of the registration server", 0, 0, VERB_RS, OPTION_ALL,
          COMPLETES_NOTHING, verb_registrations },
};
const size_t n_verbs = ELEMENTSOF(verbs);

const Verb *verb_by_name(const char *name) {
        for (size_t i = 0; i < n_verbs; i++)
                if (strcmp(verbs[i].name, name) == 0)
                        return &verbs[i];
        return NULL;
}

bool verb_is_number(const char *word) {
        RfcAlias a;
        return (word[0] >= '0' && word[0] <= '9') || strncasecmp(word, "rfc", 3) == 0 ||
               rfc_number_is_word(slice_of(word)) || rfc_alias_from_text(slice_of(word), &a) == 0;
}

static int fail_unknown(const char *word) {
        Suggest nearest;

        suggest_begin(&nearest, word);
        for (size_t i = 0; i < n_verbs; i++)
                suggest_consider(&nearest, verbs[i].name);
        if (nearest.best)
                return ctl_fail(CTL_USAGE, "Unknown verb '%s', did you mean '%s'?", word, nearest.best);
        return ctl_fail(CTL_USAGE, "Unknown verb '%s'" OPTIONS_SEE_HELP, word);
}

int verb_find(int argc, char **argv, const Verb **ret, int *ret_skip) {
        const Verb *v;
        int skip = 0;

        if (argc == 0)
                v = verb_by_name("status");
        else if ((v = verb_by_name(argv[0])))
                skip = 1;
        else if (verb_is_number(argv[0]))
                v = verb_by_name("get");
        else
                return fail_unknown(argv[0]);
        assert(v);      /* the table has "status" and "get" */
        if (argc - skip < v->min_arguments)
                return ctl_fail(CTL_USAGE, "Too few arguments: %s %s.", v->name, v->arguments);
        if (v->max_arguments >= 0 && argc - skip > v->max_arguments)
                return ctl_fail(CTL_USAGE, "Too many arguments: %s%s%s.", v->name, v->arguments[0] ? " " : "",
                                v->arguments);
        *ret = v;
        *ret_skip = skip;
        return 0;
}
