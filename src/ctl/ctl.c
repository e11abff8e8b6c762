/* SPDX-License-Identifier: BSD-2-Clause */
/* p2pdi-ctl: options, and the table of the verbs that dispatch and --help are made from. */

#include "ctl/ctl.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "ctl/verbs.h"
#include "io/conf-values.h"
#include "io/interfaces.h"

#define RUN_DIRECTORY "/run/p2pdi"
#define TIMEOUT_DEFAULT (90 * USEC_PER_SEC)

static const Verb verbs[] = {
        { "get", "RFC…", "Have RFCs in the store, print their paths", 1, -1, VERB_PEER, verb_get },
        { "cat", "RFC…", "Have RFCs in the store, print their bytes", 1, -1, VERB_PEER, verb_cat },
        { "list", "[RANGE…]", "List the store, or with --all all that is known", 0, -1, VERB_PEER | VERB_ALL,
          verb_list },
        { "where", "RFC", "List who holds an RFC", 1, 2, VERB_PEER, verb_where },
        { "peers", "", "List known peers", 0, 0, VERB_PEER, verb_peers },
        { "status", "", "Show the state of the peer, or with --rs of the server", 0, 0, VERB_PEER | VERB_RS,
          verb_status },
        { "refresh", "[PEER…]", "Ask for active peers and pull their indexes now", 0, -1, VERB_PEER, verb_refresh },
        { "join", "", "Register now", 0, 0, VERB_PEER, verb_join },
        { "leave", "", "Unregister, and stay so until join or a restart", 0, 0, VERB_PEER, verb_leave },
        { "registrations", "", "List the peers of the registration server", 0, 0, VERB_RS | VERB_ALL,
          verb_registrations },
};

static struct {
        const char *control;            /* --control= */
        const char *instance;           /* --instance= */
        bool rs, all;
        usec_t timeout;
        ShowJson json;
} arg = { .timeout = TIMEOUT_DEFAULT };

static void help(void) {
        puts("p2pdi-ctl [OPTIONS…] VERB …\n"
             "\n"
             "Get RFCs from other peers, and see what p2pdi-peerd and p2pdi-rsd do.\n"
             "\n"
             "Verbs:");
        for (size_t i = 0; i < ELEMENTSOF(verbs); i++) {
                char left[64];

                (void) snprintf(left, sizeof(left), "%s %s", verbs[i].name, verbs[i].arguments);
                /* "…" is three bytes and one column. */
                printf("  %-*s %s\n", strstr(left, "…") ? 26 : 24, left, verbs[i].help);
        }
        puts("\n"
             "Options:\n"
             "  -h --help                Show this help\n"
             "     --version             Show the version\n"
             "     --rs                  Talk to the registration server of this host\n"
             "     --instance=NAME       Talk to the peer of that instance\n"
             "     --control=PATH        Talk to whoever listens on that socket\n"
             "     --timeout=TIME        Wait so long for everything together (90s)\n"
             "     --json=pretty|short|off\n"
             "                           Print JSON instead of tables and paths\n"
             "     --all                 list: what other peers hold, too; registrations: absent peers, too\n"
             "\n"
             "See p2pdi-ctl(1).");
}

static int parse_json(const char *value) {
        if (strcmp(value, "pretty") == 0)
                arg.json = SHOW_JSON_PRETTY;
        else if (strcmp(value, "short") == 0)
                arg.json = SHOW_JSON_SHORT;
        else if (strcmp(value, "off") == 0)
                arg.json = SHOW_JSON_OFF;
        else
                return ctl_fail(CTL_USAGE, "--json= takes pretty, short or off, not '%s'.", value);
        return 0;
}

static int parse_timeout(const char *value) {
        usec_t timeout;

        if (strcmp(value, "infinity") == 0)
                timeout = USEC_INFINITY;
        else if (conf_parse_time(slice_of(value), &timeout) != 0 || timeout == 0)
                return ctl_fail(CTL_USAGE, "--timeout= takes a time such as 30s or 2min, not '%s'.", value);
        arg.timeout = timeout;
        return 0;
}

enum {
        ARG_VERSION = 0x100,
        ARG_RS,
        ARG_INSTANCE,
        ARG_CONTROL,
        ARG_TIMEOUT,
        ARG_JSON,
        ARG_ALL,
};

static const struct option options[] = {
        { "help", no_argument, NULL, 'h' },
        { "version", no_argument, NULL, ARG_VERSION },
        { "rs", no_argument, NULL, ARG_RS },
        { "instance", required_argument, NULL, ARG_INSTANCE },
        { "control", required_argument, NULL, ARG_CONTROL },
        { "timeout", required_argument, NULL, ARG_TIMEOUT },
        { "json", required_argument, NULL, ARG_JSON },
        { "all", no_argument, NULL, ARG_ALL },
        {},
};

/* Behind one that getopt_long() did not take: c is what it gave, word the argument it stopped at. */
static int fail_option(int c, const char *word) {
        const struct option *o = options;

        while (o->name && o->val != optopt)
                o++;
        if (o->name && c == ':')
                return ctl_fail(CTL_USAGE, "Option --%s= needs a value; p2pdi-ctl --help lists them.", o->name);
        if (o->name)
                return ctl_fail(CTL_USAGE, "Option --%s takes no value; p2pdi-ctl --help lists them.", o->name);
        if (optopt != 0)
                return ctl_fail(CTL_USAGE, "Unknown option '-%c'; p2pdi-ctl --help lists them.", optopt);
        return ctl_fail(CTL_USAGE, "Unknown option '%.*s'; p2pdi-ctl --help lists them.", (int) strcspn(word, "="),
                        word);
}

/* *ret_done: help or version was asked for and given. */
static int parse_options(int argc, char **argv, bool *ret_done) {
        for (;;) {
                /* The colon keeps getopt_long() from writing itself: it escapes nothing. */
                int c = getopt_long(argc, argv, ":h", options, NULL), r = 0;

                switch (c) {
                case -1:
                        *ret_done = false;
                        return 0;
                case 'h':
                        help();
                        *ret_done = true;
                        return 0;
                case ARG_VERSION:
                        puts("p2pdi-ctl " PACKAGE_VERSION);
                        *ret_done = true;
                        return 0;
                case ARG_RS:
                        arg.rs = true;
                        break;
                case ARG_INSTANCE:
                        arg.instance = optarg;
                        if (!conf_is_instance(optarg))
                                return ctl_fail(CTL_USAGE, "'%s' is no name of an instance.", optarg);
                        break;
                case ARG_CONTROL:
                        arg.control = optarg;
                        if (optarg[0] == '\0')
                                return ctl_fail(CTL_USAGE, "--control= takes the path of a socket.");
                        break;
                case ARG_TIMEOUT:
                        r = parse_timeout(optarg);
                        break;
                case ARG_JSON:
                        r = parse_json(optarg);
                        break;
                case ARG_ALL:
                        arg.all = true;
                        break;
                default:
                        return fail_option(c, argv[optind - 1]);
                }
                if (r != 0)
                        return r;
        }
}

static int find_verb(int argc, char **argv, const Verb **ret) {
        if (argc == 0)
                return ctl_fail(CTL_USAGE, "No verb given; p2pdi-ctl --help lists them.");
        for (size_t i = 0; i < ELEMENTSOF(verbs); i++) {
                const Verb *v = &verbs[i];

                if (strcmp(argv[0], v->name) != 0)
                        continue;
                if (argc - 1 < v->min_arguments)
                        return ctl_fail(CTL_USAGE, "Too few arguments: %s %s.", v->name, v->arguments);
                if (v->max_arguments >= 0 && argc - 1 > v->max_arguments)
                        return ctl_fail(CTL_USAGE, "Too many arguments: %s%s%s.", v->name,
                                        v->arguments[0] ? " " : "", v->arguments);
                *ret = v;
                return 0;
        }
        return ctl_fail(CTL_USAGE, "Unknown verb '%s'; p2pdi-ctl --help lists them.", argv[0]);
}

/* Which socket, and whether the verb is for whom it belongs to. */
static int ctl_init(Ctl *ctl, const Verb *verb) {
        int k;

        ctl->rs = arg.rs || !(verb->flags & VERB_PEER);
        ctl->all = arg.all;
        ctl->timeout = arg.timeout;
        ctl->json = arg.json;
        ctl->daemon = ctl->rs ? "p2pdi-rsd" : "p2pdi-peerd";

        if (ctl->rs && !(verb->flags & VERB_RS))
                return ctl_fail(CTL_USAGE, "A registration server knows no '%s': leave out --rs.", verb->name);
        if (ctl->all && !(verb->flags & VERB_ALL))
                return ctl_fail(CTL_USAGE, "'%s' takes no --all.", verb->name);
        if (arg.instance && (ctl->rs || arg.control))
                return ctl_fail(CTL_USAGE, "--instance= is for peers, and not together with --control=.");
        if (arg.control)
                k = asprintf(&ctl->path, "%s", arg.control);
        else if (ctl->rs)
                k = asprintf(&ctl->path, RUN_DIRECTORY "/" CONTROL_SOCKET_REGISTRATION);
        else if (arg.instance)
                k = asprintf(&ctl->path, RUN_DIRECTORY "@%s/" CONTROL_SOCKET_PEER, arg.instance);
        else
                k = asprintf(&ctl->path, RUN_DIRECTORY "/" CONTROL_SOCKET_PEER);
        if (k < 0) {
                ctl->path = NULL;
                return -ENOMEM;
        }
        return 0;
}

static void ctl_done(Ctl *ctl) {
        varlink_client_free(ctl->client);
        free(ctl->path);
}

static int run(int argc, char **argv) {
        _cleanup_(ctl_done) Ctl ctl = {};
        const Verb *verb = NULL;
        bool done = false;
        int r;

        r = parse_options(argc, argv, &done);
        if (r != 0 || done)
                return r;
        argc -= optind;
        argv += optind;
        r = find_verb(argc, argv, &verb);
        if (r != 0)
                return r;
        r = ctl_init(&ctl, verb);
        if (r != 0)
                return r;
        return verb->run(&ctl, argc - 1, argv + 1);
}

int main(int argc, char **argv) {
        int r;

        r = run(argc, argv);
        if (r < 0)
                r = ctl_fail(CTL_FAILURE, "%s.", strerror(-r));
        /* An answer that did not get out whole is none. */
        if (fflush(stdout) != 0 || ferror(stdout)) {
                ctl_note("Cannot write to standard output: %s.", strerror(errno));
                r = MAX_OF(r, (int) CTL_FAILURE);
        }
        return r;
}
