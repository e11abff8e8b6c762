/* SPDX-License-Identifier: BSD-2-Clause */
/* p2pdi-ctl: options, a verb, a connection; all of it wiring. */

#include "ctl/ctl.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "ctl/complete.h"
#include "ctl/help.h"
#include "ctl/options.h"
#include "ctl/pager.h"
#include "ctl/terminal.h"
#include "io/interfaces.h"
#include "io/json-memory.h"

#define RUN_DIRECTORY "/run/p2pdi"
#define TIMEOUT_DEFAULT (90 * USEC_PER_SEC)

int ctl_choose_daemon(Ctl *ctl, bool rs) {
        int k;

        ctl->rs = rs;
        ctl->daemon = ctl->rs ? "p2pdi-rsd" : "p2pdi-peerd";
        free(ctl->path);
        ctl->path = NULL;
        if (ctl->instance && (ctl->rs || ctl->control))
                return ctl_fail(CTL_USAGE, "--instance= is for peers, and not together with --control=.");
        if (ctl->control)
                k = asprintf(&ctl->path, "%s", ctl->control);
        else if (ctl->rs)
                k = asprintf(&ctl->path, RUN_DIRECTORY "/" CONTROL_SOCKET_REGISTRATION);
        else if (ctl->instance)
                k = asprintf(&ctl->path, RUN_DIRECTORY "@%s/" CONTROL_SOCKET_PEER, ctl->instance);
        else
                k = asprintf(&ctl->path, RUN_DIRECTORY "/" CONTROL_SOCKET_PEER);
        if (k < 0) {
                ctl->path = NULL;
                return -ENOMEM;
        }
        return 0;
}

/* Which socket, and whether the verb is for whom it belongs to. */
static int ctl_init(Ctl *ctl, const Verb *verb) {
        if (ctl->timeout == 0)
                ctl->timeout = verb->flags & VERB_ENDLESS ? USEC_INFINITY : TIMEOUT_DEFAULT;
        if (ctl->rs && !(verb->flags & VERB_RS))
                return ctl_fail(CTL_USAGE, "A registration server knows no '%s': leave out --rs.", verb->name);
        return ctl_choose_daemon(ctl, ctl->rs || !(verb->flags & VERB_PEER));
}

static void style_init(Ctl *ctl) {
        terminal_get_style(&ctl->style);
        ctl->style.header = !ctl->no_legend;
        ctl->style.footer = !ctl->no_legend && !ctl->quiet;
        ctl_set_quiet(ctl->quiet);
}

static void ctl_done(Ctl *ctl) {
        varlink_client_free(ctl->client);
        free(ctl->path);
}

static int run(int argc, char **argv) {
        _cleanup_(ctl_done) Ctl ctl = {};
        const Verb *verb = NULL;
        unsigned given = 0;
        int skip = 0, r;

        if (argc >= 3 && strcmp(argv[1], "--complete") == 0 && strcmp(argv[2], "--") == 0)
                return complete_words(&ctl, argc - 3, argv + 3);
        r = options_parse(&ctl, argc, argv, &given);
        if (r != 0)
                return r;
        style_init(&ctl);
        if (ctl.help) {
                r = ctl_open_pager(&ctl);
                if (r == 0)
                        help_show(stdout, &ctl.style);
                return r;
        }
        if (ctl.version) {
                puts("p2pdi-ctl " PACKAGE_VERSION);
                return 0;
        }
        argc -= optind;
        argv += optind;
        r = verb_find(argc, argv, &verb, &skip);
        if (r == 0)
                r = options_check(given, verb);
        if (r == 0)
                r = ctl_init(&ctl, verb);
        return r != 0 ? r : verb->run(&ctl, argc - skip, argv + skip);
}

/*
 * A standard stream that was closed shall not become the connection to the daemon. What is written to one that
 * can't be written fails.
 */
static int hold_standard_streams(void) {
        for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
                if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd == STDOUT_FILENO ? O_RDONLY : O_RDWR) != fd)
                        return -EBADF;
        return 0;
}

int main(int argc, char **argv) {
        int r;

        json_memory_watch();
        r = hold_standard_streams();
        if (r == 0)
                r = run(argc, argv);
        /* Something may be missing in what was answered, or shown. */
        if (r == 0 && (json_memory_failures() > 0 || !show_is_whole()))
                r = -ENOMEM;
        if (r < 0)
                r = ctl_fail(CTL_FAILURE, "%s.", strerror(-r));
        /* An answer that did not get out whole is none; but whoever leaves the pager has seen enough. */
        if ((fflush(stdout) != 0 || ferror(stdout)) && !pager_is_open()) {
                ctl_note("Cannot write to standard output: %s.", strerror(errno));
                r = MAX_OF(r, (int) CTL_FAILURE);
        }
        pager_close();
        return r;
}
