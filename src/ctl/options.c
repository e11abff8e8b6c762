/* SPDX-License-Identifier: BSD-2-Clause */
#include "ctl/options.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <unistd.h>

#include "ctl/suggest.h"
#include "io/conf-values.h"

/* Less than that the daemon does not take: see the method Sync. */
#define MAX_RATE_MIN 4096

/* What getopt_long() gives for the first row, beyond all letters. */
#define OPTION_VALUE 0x100

static int set_instance(Ctl *ctl, const char *value) {
        if (!conf_is_instance(value))
                return ctl_fail(CTL_USAGE, "'%s' is no name of an instance: write up to %d letters, digits, or any of ':_.-', "
                                "no dot first.", value, CONF_INSTANCE_MAX);
        ctl->instance = value;
        return 0;
}

static int set_control(Ctl *ctl, const char *value) {
        if (value[0] == '\0')
                return ctl_fail(CTL_USAGE, "--control= takes the path of a socket.");
        ctl->control = value;
        return 0;
}

static int set_config(Ctl *ctl, const char *value) {
        if (value[0] == '\0')
                return ctl_fail(CTL_USAGE, "--config= takes the path of a file.");
        ctl->config = value;
        return 0;
}

static int set_to(Ctl *ctl, const char *value) {
        if (value[0] == '\0')
                return ctl_fail(CTL_USAGE, "--to= takes the path of a directory.");
        ctl->to = value;
        return 0;
}

static int set_timeout(Ctl *ctl, const char *value) {
        usec_t timeout;

        if (strcmp(value, "infinity") == 0)
                timeout = USEC_INFINITY;
        else if (conf_parse_time(slice_of(value), &timeout) != 0 || timeout == 0)
                return ctl_fail(CTL_USAGE, "--timeout= takes a time such as 30s or 2min, not '%s'.", value);
        ctl->timeout = timeout;
        return 0;
}

static int set_max_rate(Ctl *ctl, const char *value) {
        uint64_t rate;

        if (conf_parse_size(slice_of(value), &rate) != 0 || rate < MAX_RATE_MIN || rate > INT64_MAX)
                return ctl_fail(CTL_USAGE, "--max-rate= takes bytes per second such as 500K or 2M, at least 4K, not '%s'.",
                                value);
        ctl->max_rate = rate;
        return 0;
}

static int set_json(Ctl *ctl, const char *value) {
        if (strcmp(value, "pretty") == 0)
                ctl->json = SHOW_JSON_PRETTY;
        else if (strcmp(value, "short") == 0)
                ctl->json = SHOW_JSON_SHORT;
        else if (strcmp(value, "off") == 0)
                ctl->json = SHOW_JSON_OFF;
        else
                return ctl_fail(CTL_USAGE, "--json= takes pretty, short or off, not '%s'.", value);
        return 0;
}

/* -j: for whoever reads it. */
static int set_json_auto(Ctl *ctl, _unused_ const char *value) {
        ctl->json = isatty(STDOUT_FILENO) ? SHOW_JSON_PRETTY : SHOW_JSON_SHORT;
        return 0;
}

/* In the order of --help. */
const Option options[] = {
        { "help", 'h', NULL, "Show this help", 0, offsetof(Ctl, help), NULL, COMPLETES_NOTHING },
        { "version", '\0', NULL, "Show the version", 0, offsetof(Ctl, version), NULL, COMPLETES_NOTHING },
        { "rs", '\0', NULL, "Talk to the registration server of this host", 0, offsetof(Ctl, rs), NULL,
          COMPLETES_NOTHING },
        { "instance", '\0', "NAME", "Talk to the peer of that instance", 0, 0, set_instance, COMPLETES_NOTHING },
        { "control", '\0', "PATH", "Talk to whoever listens on that socket", 0, 0, set_control, COMPLETES_FILE },
        { "timeout", '\0', "TIME", "Wait so long for everything together (90s)", 0, 0, set_timeout,
          COMPLETES_NOTHING },
        { "json", '\0', "pretty|short|off", "Print JSON instead of tables and paths", 0, 0, set_json, COMPLETES_JSON },
        { "", 'j', NULL, "Same as --json=pretty on a terminal, else short", 0, 0, set_json_auto, COMPLETES_NOTHING },
        { "no-pager", '\0', NULL, "Do not pipe long output into a pager", 0, offsetof(Ctl, no_pager), NULL,
          COMPLETES_NOTHING },
        { "no-legend", '\0', NULL, "Print no headers and no footers", 0, offsetof(Ctl, no_legend), NULL,
          COMPLETES_NOTHING },
        { "quiet", 'q', NULL, "Tell nothing but errors beside the answer", 0, offsetof(Ctl, quiet), NULL,
          COMPLETES_NOTHING },
        { "all", '\0', NULL, "list, registrations: what is not here or absent, too", OPTION_ALL, offsetof(Ctl, all),
          NULL, COMPLETES_NOTHING },
        { "at-risk", '\0', NULL, "list: only what has one known holder", OPTION_AT_RISK, offsetof(Ctl, at_risk), NULL,
          COMPLETES_NOTHING },
        { "disputed", '\0', NULL, "list: only what peers disagree about", OPTION_DISPUTED, offsetof(Ctl, disputed), NULL,
          COMPLETES_NOTHING },
        { "local", '\0', NULL, "search: only what is in the store", OPTION_LOCAL, offsetof(Ctl, local), NULL,
          COMPLETES_NOTHING },
        { "current", '\0', NULL, "search: only what no other RFC makes obsolete", OPTION_CURRENT,
          offsetof(Ctl, current), NULL, COMPLETES_NOTHING },
        { "follow", '\0', NULL, "get: what is in force instead of what is obsolete", OPTION_FOLLOW,
          offsetof(Ctl, follow), NULL, COMPLETES_NOTHING },
        { "raw", '\0', NULL, "read, cat: hide nothing from the terminal", OPTION_RAW, offsetof(Ctl, raw), NULL,
          COMPLETES_NOTHING },
        { "repair", '\0', NULL, "verify: bring anew what is damaged", OPTION_REPAIR, offsetof(Ctl, repair), NULL,
          COMPLETES_NOTHING },
        { "force", '\0', NULL, "evict: also what is pinned, or the last copy", OPTION_FORCE, offsetof(Ctl, force), NULL,
          COMPLETES_NOTHING },
        { "to", '\0', "DIR", "export: where to", OPTION_TO, 0, set_to, COMPLETES_FILE },
        { "dry-run", '\0', NULL, "sync: only tell what would be fetched", OPTION_DRY_RUN, offsetof(Ctl, dry_run), NULL,
          COMPLETES_NOTHING },
        { "max-rate", '\0', "BYTES", "sync: fetch at most as much a second, e.g. 2M", OPTION_MAX_RATE, 0, set_max_rate,
          COMPLETES_NOTHING },
        { "config", '\0', "FILE", "cat-config, check-config: that file instead", OPTION_CONFIG, 0, set_config,
          COMPLETES_FILE },
};
const size_t n_options = ELEMENTSOF(options);

bool option_exists(const Option *o) {
        if (o->bit == 0)
                return true;
        for (size_t i = 0; i < n_verbs; i++)
                if (verbs[i].options & o->bit)
                        return true;
        return false;
}

/* The row of what getopt_long() gave, or put into optopt; NULL: none. */
static const Option *by_value(int value) {
        if (value >= OPTION_VALUE && (size_t) (value - OPTION_VALUE) < n_options)
                return &options[value - OPTION_VALUE];
        for (size_t i = 0; i < n_options; i++)
                if (value != 0 && options[i].letter == value)
                        return &options[i];
        return NULL;
}

static int fail_unknown(const char *word) {
        int size = (int) strcspn(word, "=");
        char name[SUGGEST_WORD_MAX + 2];
        Suggest nearest;

        /* Without the dashes, which all have in common. What does not fit is not near to any. */
        (void) snprintf(name, sizeof(name), "%.*s", MAX_OF(size - 2, 0), word + 2);
        suggest_begin(&nearest, name);
        for (size_t i = 0; i < n_options; i++)
                if (options[i].name[0] && option_exists(&options[i]))
                        suggest_consider(&nearest, options[i].name);
        if (nearest.best)
                return ctl_fail(CTL_USAGE, "Unknown option '%.*s', did you mean '--%s'?", size, word, nearest.best);
        return ctl_fail(CTL_USAGE, "Unknown option '%.*s'" OPTIONS_SEE_HELP, size, word);
}

/* Behind one that getopt_long() did not take: c is what it gave, word the argument it stopped at. */
static int fail_option(int c, const char *word) {
        const Option *o = by_value(optopt);

        if (o && c == ':')
                return ctl_fail(CTL_USAGE, "Option --%s= needs a value: %s.", o->name, o->argument);
        if (o)
                return ctl_fail(CTL_USAGE, "Option --%s takes no value.", o->name);
        if (optopt != 0)
                return ctl_fail(CTL_USAGE, "Unknown option '-%c'" OPTIONS_SEE_HELP, optopt);
        return fail_unknown(word);
}

/* For getopt_long(). The colon keeps it from writing itself: it escapes nothing. */
static void prepare(struct option longs[ELEMENTSOF(options) + 1], char letters[ELEMENTSOF(options) + 2]) {
        size_t n = 0;

        *letters++ = ':';
        for (size_t i = 0; i < n_options; i++) {
                const Option *o = &options[i];

                if (!option_exists(o))
                        continue;
                if (o->name[0])
                        longs[n++] = (struct option){ .name = o->name,
                                                      .has_arg = o->argument ? required_argument : no_argument,
                                                      .val = OPTION_VALUE + (int) i };
                if (o->letter)
                        *letters++ = o->letter;
        }
        longs[n] = (struct option){};
        *letters = '\0';
}

int options_parse(Ctl *ctl, int argc, char **argv, unsigned *ret_given) {
        struct option longs[ELEMENTSOF(options) + 1];
        char letters[ELEMENTSOF(options) + 2];
        unsigned given = 0;

        prepare(longs, letters);
        for (;;) {
                int c = getopt_long(argc, argv, letters, longs, NULL), r;
                const Option *o;

                if (c == -1)
                        break;
                o = c == ':' || c == '?' ? NULL : by_value(c);
                if (!o)
                        return fail_option(c, argv[optind - 1]);
                given |= o->bit;
                if (!o->set) {
                        *(bool *) ((char *) ctl + o->flag) = true;
                        continue;
                }
                r = o->set(ctl, optarg);
                if (r != 0)
                        return r;
        }
        *ret_given = given;
        return 0;
}

int options_check(unsigned given, const Verb *verb) {
        for (size_t i = 0; i < n_options; i++)
                if (options[i].bit & given & ~verb->options)
                        return ctl_fail(CTL_USAGE, "'%s' takes no --%s%s.", verb->name, options[i].name,
                                        options[i].argument ? "=" : "");
        return 0;
}
