/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * p2pdi-socket-generator: makes drop-ins of the socket units from the INI files, so that a port is set in one place. PID 1 runs it at
 * boot and at each daemon-reload and waits for it: it must end soon, whatever is in the files, and must not need anything that
 * is not there yet: no network, no name service, no journal. What it can't use it tells the kernel's log, and leaves the
 * units as they were shipped.
 */

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "generator/drop-in.h"
#include "generator/kmsg.h"
#include "io/close.h"
#include "io/conf-sockets.h"
#include "io/write-all.h"

#define DROP_IN_NAME "50-p2pdi-ini.conf"
/* A disk that does not answer must not hold up the boot. */
#define SECONDS_MAX 10
#define UNIT_NAME_SIZE 128

typedef struct Generator {
        const char *root;               /* --root=, or NULL */
        int out_fd;                     /* the directory that systemd gave */
} Generator;

static void on_alarm(_unused_ int number) {
        kmsg_error_in_handler("The INI files could not be read within 10s: the socket units are left as they are.");
        _exit(EXIT_SUCCESS);
}

/* ---- writing ---- */

static int write_file(int dir_fd, Slice bytes) {
        _cleanup_(close_fd) int fd = -1;
        int r;

        if (unlinkat(dir_fd, DROP_IN_NAME, 0) < 0 && errno != ENOENT)
                return -errno;
        fd = openat(dir_fd, DROP_IN_NAME, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
        if (fd < 0)
                return -errno;
        r = write_all(fd, bytes);
        if (r < 0)
                (void) unlinkat(dir_fd, DROP_IN_NAME, 0);       /* half a drop-in is worse than none */
        return r;
}

/* UNIT.d/50-p2pdi-ini.conf: all of it, or nothing, also no directory: the template's condition asks for that alone. */
static void write_drop_in(const Generator *g, const char *unit, Slice bytes) {
        _cleanup_(close_fd) int dir_fd = -1;
        char dir[UNIT_NAME_SIZE + 8];
        int r = 0;

        (void) snprintf(dir, sizeof(dir), "%s.d", unit);
        if (mkdirat(g->out_fd, dir, 0755) < 0 && errno != EEXIST)
                r = -errno;
        if (r == 0) {
                dir_fd = openat(g->out_fd, dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
                r = dir_fd < 0 ? -errno : write_file(dir_fd, bytes);
        }
        if (r < 0) {
                (void) unlinkat(g->out_fd, dir, AT_REMOVEDIR);
                kmsg_error("The drop-in of %s can't be written: %s.", unit, strerror(-r));
        }
}

/* ---- one INI ---- */

static void unit_name(ConfProgram program, const char *instance, const char *type, char ret[UNIT_NAME_SIZE]) {
        (void) snprintf(ret, UNIT_NAME_SIZE, "p2pdi-%s%s%s.%s", program == CONF_RS ? "rsd" : "peerd",
                        instance ? "@" : "", instance ? instance : "", type);
}

/* What then is: an instance's socket unit has a condition on its drop-in. */
static const char *consequence(const char *instance) {
        return instance ? "stays closed" : "stays as shipped";
}

static void tell_issues(const ConfIssues *issues, const char *unit, const char *instance) {
        for (size_t i = 0; i < issues->n_issues; i++) {
                const ConfIssue *n = &issues->issues[i];
                char line[16] = "";

                if (!n->is_error)
                        continue;
                if (n->line > 0)
                        (void) snprintf(line, sizeof(line), "%u:", n->line);
                kmsg_error("%s:%s %s %s %s.", n->file, line, n->text, unit, consequence(instance));
                return;                 /* the daemon tells the others */
        }
}

/* A file that was cut to nothing is more likely an accident than a wish; a link to /dev/null is a wish. */
static void tell_empty(const char *file, const char *unit) {
        struct stat st;

        if (stat(file, &st) == 0 && S_ISREG(st.st_mode) && st.st_size == 0)
                kmsg_error("%s: The file is empty. %s stays as shipped.", file, unit);
}

/* A path as it is without the other root, or NULL: not one that a unit can name, or that is there. */
static const char *source_of(const Generator *g, const char *file) {
        struct stat st;

        /* systemd takes a source that is gone for one that has changed, for ever. */
        if (!file || stat(file, &st) < 0)
                return NULL;
        file += g->root ? strlen(g->root) : 0;
        return drop_in_can_name(file) ? file : NULL;
}

static void write_units(const Generator *g, const DropIn *d, const char *socket, const char *service) {
        _cleanup_buf_ Buf bytes = BUF_INIT(DROP_IN_MAX), more = BUF_INIT(DROP_IN_MAX);

        if (socket && drop_in_socket(d, &bytes) == 0)
                write_drop_in(g, socket, (Slice){ bytes.data, bytes.size });
        else if (socket)
                kmsg_error("There is no memory for the drop-in of %s.", socket);
        if (drop_in_service(d, &more) != 0)
                kmsg_error("There is no memory for the drop-in of %s.", service);
        else if (more.size > 0)
                write_drop_in(g, service, (Slice){ more.data, more.size });
}

static void generate(const Generator *g, ConfProgram program, const char *instance) {
        char socket[UNIT_NAME_SIZE], service[UNIT_NAME_SIZE], state_dir[UNIT_NAME_SIZE + 16], reason[CONF_FAULT_SIZE];
        _cleanup_(conf_issues_done) ConfIssues issues = { 0 };
        _cleanup_(conf_sockets_done) ConfSockets s = { 0 };
        int r;

        unit_name(program, instance, "socket", socket);
        unit_name(program, instance, "service", service);
        (void) snprintf(state_dir, sizeof(state_dir), "/var/lib/p2pdi%s%s", instance ? "@" : "",
                        instance ? instance : "");
        r = conf_load_sockets(g->root, program, instance, &s, &issues);
        if (r < 0) {
                kmsg_error("The configuration of %s can't be read: %s. It %s.", socket, strerror(-r),
                           consequence(instance));
                return;
        }
        if (r == CONF_INVALID)
                tell_issues(&issues, socket, instance);
        else if (s.listen_file && conf_listen_check(s.common->listen, s.common->n_listen, reason) != 0) {
                kmsg_error("%s: Server.ListenStream=: %s. %s %s.", s.listen_file, reason, socket,
                           consequence(instance));
                r = CONF_INVALID;
        } else if (s.file && !instance)
                tell_empty(s.file, socket);

        const DropIn d = {
                .source = source_of(g, s.file),
                .common = r == 0 ? s.common : NULL,
                .listen_file = s.listen_file ? s.listen_file + (g->root ? strlen(g->root) : 0) : NULL,
                .store_path = s.store_path,
                .state_dir = state_dir,
        };
        /* An instance has a socket only where its INI has a port; with the shipped one it would meet another peer. */
        bool wanted = instance ? d.common && d.listen_file && !d.common->listen[0].is_auto : d.source || d.common;
        write_units(g, &d, wanted && s.file ? socket : NULL, service);
}

static void generate_instances(const Generator *g) {
        _cleanup_(conf_issues_done) ConfIssues issues = { 0 };
        _cleanup_(string_list_free_p) StringList names = NULL;
        int r;

        r = conf_find_instances(g->root, &names, &issues);
        if (r < 0)
                kmsg_error("The instances of the peer can't be found: %s.", strerror(-r));
        for (size_t i = 0; i < issues.n_issues; i++)
                kmsg_error("%s: %s", issues.issues[i].file, issues.issues[i].text);
        for (StringList n = names; n && *n; n++)
                generate(g, CONF_PEER, *n);
}

/* ---- main ---- */

static void print_help(void) {
        printf("p2pdi-socket-generator [OPTION...] NORMAL-DIR [EARLY-DIR LATE-DIR]\n\n"
               "Makes drop-ins of the socket units from %s/*.ini. Run by systemd.\n\n"
               "  -h --help              Show this help\n"
               "     --version           Show the version\n"
               "     --root=DIR          Look for the INI files below DIR\n"
               "     --kmsg=FILE         Write what is wrong to FILE instead of /dev/kmsg\n\n"
               "See p2pdi-socket-generator(8).\n", PKGSYSCONFDIR);
}

/* A path that is put in front of others. */
static const char *root_of(const char *dir) {
        return strcmp(dir, "/") == 0 || dir[0] == '\0' ? NULL : dir;
}

int main(int argc, char *argv[]) {
        enum { ARG_VERSION = 0x100, ARG_ROOT, ARG_KMSG };
        static const struct option options[] = {
                { "help", no_argument, NULL, 'h' },
                { "version", no_argument, NULL, ARG_VERSION },
                { "root", required_argument, NULL, ARG_ROOT },
                { "kmsg", required_argument, NULL, ARG_KMSG },
                {}
        };
        const char *kmsg = NULL;
        Generator g = { .out_fd = -1 };
        int c;

        while ((c = getopt_long(argc, argv, "h", options, NULL)) >= 0)
                switch (c) {
                case 'h':
                        print_help();
                        return EXIT_SUCCESS;
                case ARG_VERSION:
                        printf("p2pdi-socket-generator %s\n", PACKAGE_VERSION);
                        return EXIT_SUCCESS;
                case ARG_ROOT:
                        g.root = root_of(optarg);
                        break;
                case ARG_KMSG:
                        kmsg = optarg;
                        break;
                default:        /* getopt has said what is wrong; it was no service manager */
                        return 2;
                }
        if (optind == argc) {
                fprintf(stderr, "p2pdi-socket-generator: systemd runs it with the directory to write to; see --help.\n");
                return 2;
        }

        (void) umask(0022);
        kmsg_open(kmsg);
        (void) signal(SIGALRM, on_alarm);
        (void) alarm(SECONDS_MAX);
        g.out_fd = open(argv[optind], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (g.out_fd < 0)
                kmsg_error("The directory %s can't be opened: %s.", argv[optind], strerror(errno));
        else {
                generate(&g, CONF_RS, NULL);
                generate(&g, CONF_PEER, NULL);
                generate_instances(&g);
        }
        close_fd(&g.out_fd);
        kmsg_close();
        return EXIT_SUCCESS;
}
