/* SPDX-License-Identifier: BSD-2-Clause */
#include "io/daemon.h"

#include <errno.h>
#include <getopt.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "core/text.h"
#include "io/conf-values.h"
#include "io/log.h"
#include "io/loop.h"

#ifndef STATE_DIR
#define STATE_DIR "/var/lib"
#endif
#ifndef RUNTIME_DIR
#define RUNTIME_DIR "/run"
#endif

static void print_help(const char *program, bool has_instances) {
        printf("%s [OPTION...]\n\n"
               "  -h --help              Show this help\n"
               "     --version           Show the version\n"
               "     --config=FILE       Read FILE alone instead of the usual configuration files\n"
               "%s"
               "     --check-config      Check the configuration and exit: 0 if it is good, 78 if not\n"
               "     --state-dir=DIR     Where to keep state, without $STATE_DIRECTORY\n"
               "     --runtime-dir=DIR   Where to put the control socket, without $RUNTIME_DIRECTORY\n\n"
               "See %s(8).\n",
               program, has_instances ? "     --instance=NAME     Be the instance NAME, of peer@NAME.ini\n" : "", program);
}

/* systemd gives a list with colons where a unit has several directories: the first is ours. */
static char *directory_of(const char *environment, const char *option, const char *fallback) {
        const char *e = getenv(environment), *from = e && *e ? e : option ? option : fallback;
        size_t n = e && *e ? strcspn(e, ":") : strlen(from);
        _cleanup_free_ char *here = NULL;
        char *path;

        if (from[0] == '/')
                return strndup(from, n);
        /* Paths are told to others, whose working directory is another. */
        here = getcwd(NULL, 0);
        return here && asprintf(&path, "%s/%.*s", here, (int) n, from) >= 0 ? path : NULL;
}

int daemon_parse_options(int argc, char *argv[], const char *program, const char *state, bool has_instances, DaemonOptions *ret,
                         int *ret_status) {
        enum { ARG_VERSION = 0x100, ARG_CONFIG, ARG_INSTANCE, ARG_CHECK, ARG_STATE_DIR, ARG_RUNTIME_DIR };
        static const struct option options[] = {
                { "help", no_argument, NULL, 'h' },
                { "version", no_argument, NULL, ARG_VERSION },
                { "config", required_argument, NULL, ARG_CONFIG },
                { "check-config", no_argument, NULL, ARG_CHECK },
                { "state-dir", required_argument, NULL, ARG_STATE_DIR },
                { "runtime-dir", required_argument, NULL, ARG_RUNTIME_DIR },
                { "instance", required_argument, NULL, ARG_INSTANCE },
                {}
        };
        const char *state_dir = NULL, *runtime_dir = NULL;
        DaemonOptions o = {};
        int c;

        while ((c = getopt_long(argc, argv, "h", options, NULL)) >= 0) {
                switch (c) {
                case 'h':
                        print_help(program, has_instances);
                        *ret_status = EXIT_SUCCESS;
                        return DAEMON_EXIT;
                case ARG_VERSION:
                        printf("%s %s\n", program, PACKAGE_VERSION);
                        *ret_status = EXIT_SUCCESS;
                        return DAEMON_EXIT;
                case ARG_CONFIG:
                        o.config = optarg;
                        break;
                case ARG_CHECK:
                        o.check_config = true;
                        break;
                case ARG_STATE_DIR:
                        state_dir = optarg;
                        break;
                case ARG_RUNTIME_DIR:
                        runtime_dir = optarg;
                        break;
                case ARG_INSTANCE:
                        if (has_instances && conf_is_instance(optarg)) {
                                o.instance = optarg;
                                break;
                        }
                        fprintf(stderr, "%s: --instance= takes a name of letters, digits and \":_.-\"%s.\n", program,
                                has_instances ? "" : ", and this program has no instances");
                        *ret_status = 2;
                        return DAEMON_EXIT;
                default:        /* getopt has said what is wrong */
                        *ret_status = 2;
                        return DAEMON_EXIT;
                }
        }
        if (optind < argc) {
                fprintf(stderr, "%s: takes no arguments, but got \"%s\".\n", program, argv[optind]);
                *ret_status = 2;
                return DAEMON_EXIT;
        }

        _cleanup_free_ char *built_in_state = NULL, *built_in_runtime = NULL;
        if (asprintf(&built_in_state, STATE_DIR "/%s%s%s", state, o.instance ? "@" : "", o.instance ? o.instance : "") < 0 ||
            asprintf(&built_in_runtime, RUNTIME_DIR "/p2pdi%s%s", o.instance ? "@" : "", o.instance ? o.instance : "") < 0)
                return -ENOMEM;
        o.state_dir = directory_of("STATE_DIRECTORY", state_dir, built_in_state);
        o.runtime_dir = directory_of("RUNTIME_DIRECTORY", runtime_dir, built_in_runtime);
        if (!o.state_dir || !o.runtime_dir) {
                daemon_options_done(&o);
                return -ENOMEM;
        }
        *ret = o;
        return 0;
}

void daemon_options_done(DaemonOptions *o) {
        free(o->state_dir);
        free(o->runtime_dir);
        *o = (DaemonOptions){};
}

int daemon_make_directory(const char *path) {
        _cleanup_free_ char *p = strdup(path);
        if (!p)
                return -ENOMEM;
        for (char *slash = strchr(p + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
                *slash = 0;
                if (mkdir(p, 0755) < 0 && errno != EEXIST)
                        return -errno;
                *slash = '/';
        }
        if (mkdir(p, 0755) < 0 && errno != EEXIST)
                return -errno;
        return 0;
}

int daemon_path(const char *directory, const char *name, char **ret) {
        char *p;
        if (asprintf(&p, "%s/%s", directory, name) < 0)
                return -ENOMEM;
        *ret = p;
        return 0;
}

int daemon_confine(Confinement what) {
        int k = confine(what);
        if (k < 0)
                return log_errno(LOG_LEVEL_ERR, k, "Could not give up running other programs");
        if (k == CONFINE_NOT_HERE)
                log_notice("This system can not keep a daemon from running other programs: the unit's sandbox has to do.");
        return 0;
}

void daemon_tell_not_started(int error) {
        if (!*log_last_error()) /* no memory, as a rule, where nobody had more to say */
                (void) log_errno(LOG_LEVEL_ERR, error, "Could not start");
        notify_status("%s", log_last_error());
        notify_error(error);
}

void daemon_log_issues(const ConfIssues *issues) {
        bool said = false;
        for (size_t i = 0; i < issues->n_issues; i++) {
                const ConfIssue *n = &issues->issues[i];
                LogFields f = { .config_file = n->file, .config_line = n->line };
                const char *file = n->file ? n->file : "";
                char line[16] = "";
                if (n->file && n->line)
                        snprintf(line, sizeof(line), ":%u: ", n->line);
                else if (n->file)
                        strcpy(line, ": ");
                log_entry(n->is_error ? LOG_LEVEL_ERR : LOG_LEVEL_WARNING, n->is_error ? LOG_EVENT_CONF_INVALID : LOG_EVENT_NONE, &f,
                          "%s%s%s", file, line, n->text);
                if (n->is_error && !said) {
                        notify_status("%s%s%s", file, line, n->text);
                        said = true;
                }
        }
}

uint32_t daemon_limit_connections(uint32_t wanted, unsigned per_connection, unsigned others) {
        struct rlimit limit;
        if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
                return wanted;
        if (limit.rlim_cur < limit.rlim_max) {
                limit.rlim_cur = limit.rlim_max;
                (void) setrlimit(RLIMIT_NOFILE, &limit);        /* the old limit holds then, and is what is read next */
                (void) getrlimit(RLIMIT_NOFILE, &limit);
        }
        rlim_t room = limit.rlim_cur > others ? (limit.rlim_cur - others) / per_connection : 0;
        uint32_t allowed = (uint32_t) MIN_OF(MAX_OF(room, (rlim_t) 1), (rlim_t) UINT32_MAX);
        if (allowed >= wanted)
                return wanted;
        log_warning("Server.MaxConnections=%u needs more descriptors than LimitNOFILE= allows (%llu): going on with %u.", wanted,
                    (unsigned long long) limit.rlim_cur, allowed);
        return allowed;
}

void daemon_listener_conf(const ConfCommon *c, uint32_t max_connections, ListenerConf *ret) {
        *ret = (ListenerConf){
                .max_connections = max_connections,
                .max_per_source = c->max_connections_per_source,
                .rate_per_source = c->rate_per_source,
                .burst = c->burst,
                .access = { .allow = c->allow, .n_allow = c->n_allow, .deny = c->deny, .n_deny = c->n_deny },
        };
}

void daemon_log_not_reloaded(int result) {
        log_entry(LOG_LEVEL_ERR, LOG_EVENT_CONF_INVALID, NULL, "The new configuration is not used, the old one stays%s%s.",
                  result < 0 ? ": " : "", result < 0 ? error_text(result) : "");
}

void daemon_log_refused(const Endpoint *remote, ListenerRefusal why) {
        const LogFields f = { .result = "refused", .peer = remote, .limit = listener_refusal_name(why) };
        log_entry(LOG_LEVEL_WARNING, LOG_EVENT_SOURCE_LIMITED, &f, "%s", listener_refusal_text(why));
}

void daemon_log_restart_key(const char *key) {
        log_warning("%s takes effect at a restart.", key);
}

static struct {
        pthread_once_t once;
        char host[65], os[200];
} names = { .once = PTHREAD_ONCE_INIT };

static void find_names(void) {
        struct utsname u;

        /* For people only: what can't be shown is left out. */
        if (gethostname(names.host, sizeof(names.host) - 1) < 0 || !text_is_utf8(slice_of(names.host)) ||
            text_has_control(slice_of(names.host)))
                strcpy(names.host, "localhost");
        if (uname(&u) >= 0)
                snprintf(names.os, sizeof(names.os), "%s %s", u.sysname, u.release);
}

const char *daemon_hostname(void) {
        (void) pthread_once(&names.once, find_names);   /* always 0 */
        return names.host;
}

const char *daemon_os(void) {
        (void) pthread_once(&names.once, find_names);
        return names.os;
}
