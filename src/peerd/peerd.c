/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * p2pdi-peerd, the peer: main and wiring.
 */

#include "peerd/peerd.h"

#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <sysexits.h>
#include <unistd.h>

#include "core/text.h"
#include "io/libcrypto.h"
#include "io/log.h"

/* A block as large as that is a mapping of its own. */
#define LARGE_BLOCK (1 << 20)

static void apply_log_settings(const PeerConf *c) {
        log_set_level(c->common.log_level);
        log_set_transaction_rate(c->common.transactions_per_sec);
}

static void log_loaded(const Peerd *p) {
        LogFields f = { .operation = "configuration", .result = "ok", .config_file = p->options.config };
        log_entry(LOG_LEVEL_INFO, LOG_EVENT_CONF_LOADED, &f, "Configuration loaded.");
}

void peerd_update_status(Peerd *p) {
        _cleanup_buf_ Buf b = BUF_INIT(4096);
        RegistrationInfo info;
        unsigned n_active = 0, n_servers = 0;
        uint64_t n_bytes;
        size_t n;

        if (p->stopping || daemon_describe_listeners(server_listener(p->server), &b) != 0 ||
            buf_append_char(&b, 0) != 0)
                return;         /* only a line for people */
        for (; p->registration && registration_get(p->registration, n_servers, &info); n_servers++)
                n_active += info.state == MEMBERSHIP_ACTIVE;
        documents_count(p->documents, &n, &n_bytes);
        _cleanup_buf_ Buf warning = BUF_INIT(4096);
        if (daemon_describe_warnings(p->warnings, &warning) != 0 || buf_append_char(&warning, 0) != 0)
                return;
        char text[sizeof(p->status)];
        if (!documents_scanned(p->documents))
                snprintf(text, sizeof(text), "Listening on %s, reading the library, registered at %u of %u server%s.%s",
                         b.data, n_active, n_servers, plural(n_servers), warning.data);
        else
                snprintf(text, sizeof(text), "Listening on %s, %zu document%s, registered at %u of %u server%s.%s",
                         b.data, n, plural(n), n_active, n_servers, plural(n_servers), warning.data);
        if (strcmp(text, p->status) == 0)
                return;
        strcpy(p->status, text);
        notify_status("%s", text);
}

/*
 * A daemon-reload after a changed port takes the socket away from its unit, which goes on saying that it is active. An
 * instance whose INI names no port has no socket unit.
 */
static void compare_sockets(Peerd *p) {
        const ConfListener who = { .daemon = "p2pdi-peerd", .instance = p->options.instance,
                                   .inherited = server_inherited(p->server) };
        const ConfCommon *c = &p->conf->common;

        daemon_compare_sockets(server_listener(p->server), c, &who, !p->options.config, &p->warnings);
        if (p->socket_missing && !c->listen[0].is_auto && !(who.instance && c->listen_is_preset))
                daemon_warn_no_socket(&who, "rfc", &p->warnings);
}

static RfcIndexLimits index_limits(const PeerConf *c) {
        return (RfcIndexLimits){ .ttl_usec = c->index_ttl, .max_records = c->max_entries };
}

/* ---- signals ---- */

static void log_restart_keys(const PeerConf *old, const PeerConf *fresh) {
        const char *a = old->store_path, *b = fresh->store_path;

        if ((a && b) ? strcmp(a, b) != 0 : a != b)
                daemon_log_restart_key("Store.Path=");
        if (old->threads != fresh->threads)
                daemon_log_restart_key("Server.Threads=");
}

static void on_reload(void *userdata) {
        Peerd *p = userdata;
        _cleanup_(conf_issues_done) ConfIssues issues = {};
        PeerConf *fresh = NULL;

        if (p->stopping)
                return;
        notify_reloading();
        int k = conf_load_peer(p->options.config, p->options.instance, &fresh, &issues);
        daemon_log_issues(&issues);
        if (k == 0) {
                PeerConf *old = p->conf;
                log_restart_keys(old, fresh);
                p->conf = fresh;
                apply_log_settings(fresh);
                const RfcIndexLimits limits = index_limits(fresh);
                documents_reconfigure(p->documents, &limits, fresh->max_file_size, fresh->max_size,
                                      fresh->metadata_file);
                documents_reload_trust(p->documents, fresh->quorum, fresh->manifest);
                server_reconfigure(p->server, fresh);
                client_reconfigure(p->client, fresh);
                k = registration_reconfigure(p->registration, fresh);
                if (k < 0)
                        (void) log_errno(LOG_LEVEL_ERR, k, "Could not use the new registration servers");
                peer_conf_free(old);
                log_loaded(p);
                compare_sockets(p);
                p->status[0] = 0;               /* it may tell of an error still */
                peerd_update_status(p);
        } else
                daemon_log_not_reloaded(k);
        notify_ready();
}

static void exit_loop(void *userdata) {
        Peerd *p = userdata;
        (void) sd_event_exit(p->event, 0);
}

static int on_stop_timeout(sd_event_source *s, uint64_t usec, void *userdata) {
        (void) s;
        (void) usec;
        exit_loop(userdata);
        return 0;
}

static void on_left(void *userdata) {
        Peerd *p = userdata;
        server_stop(p->server, exit_loop, p);
}

/* Leave first, so that nobody is told of this peer any more; then what is being sent may end. */
static void on_stop(void *userdata) {
        Peerd *p = userdata;
        Now now;

        if (p->stopping) {
                exit_loop(p);
                return;
        }
        p->stopping = true;
        notify_stopping();
        now_read(&now);
        (void) loop_timer_set(p->stop_timer, usec_add(now.boottime, DAEMON_STOP_USEC));
        registration_stop(p->registration, on_left, p);
}

/* ---- what the parts tell ---- */

static void on_scanned(void *userdata) {
        Peerd *p = userdata;
        uint64_t n_bytes;
        size_t n;
        documents_count(p->documents, &n, &n_bytes);
        log_info("%zu document%s, %llu bytes, in %s.", n, plural(n), (unsigned long long) n_bytes, p->store_path);
        peerd_update_status(p);
}

static void on_registration_changed(void *userdata) {
        peerd_update_status(userdata);
}

static void on_register_wanted(unsigned server, void *userdata) {
        Peerd *p = userdata;
        if (p->registration)
                registration_hurry(p->registration, server);
}

static void on_server_heard(unsigned server, void *userdata) {
        Peerd *p = userdata;
        if (p->registration)
                registration_server_heard(p->registration, server);
}

/* In the disk worker. */
static void on_remember(const Endpoint *peers, size_t n, void *userdata) {
        Peerd *p = userdata;
        int k = state_set_peers(p->state, peers, n);
        if (k < 0)
                (void) log_errno(LOG_LEVEL_WARNING, k, "Could not keep the known peers on disk");
}

static int on_summary(sd_event_source *s, uint64_t usec, void *userdata) {
        Now now;
        (void) usec;
        now_read(&now);
        peerd_update_status(userdata);
        notify_again();
        (void) log_summarize(&now);
        (void) loop_timer_set(s, usec_add(now.boottime, USEC_PER_SEC));
        return 0;
}

/* ---- start and end ---- */

static int open_state(Peerd *p) {
        _cleanup_free_ char *path = NULL;
        int k = daemon_make_directory(p->options.state_dir);
        if (k < 0)
                return log_errno(LOG_LEVEL_ERR, k, "Could not make the state directory %s", p->options.state_dir);
        k = daemon_path(p->options.state_dir, "state.db", &path);
        if (k < 0)
                return k;
        k = state_open(path, &p->state);
        if (k == STATE_DAMAGED)
                log_warning("%s was damaged: it was moved aside, and this peer registers anew.", path);
        if (k == -EBUSY)
                log_error("%s is in use by another process.", path);
        else if (k < 0)
                (void) log_errno(LOG_LEVEL_ERR, k, "Could not open %s", path);
        return MIN_OF(k, 0);
}

static int open_documents(Peerd *p) {
        _cleanup_free_ char *catalogue = NULL, *fetched_index = NULL;
        int k = daemon_path(p->options.state_dir, "library.db", &catalogue);
        if (k == 0)
                k = daemon_path(p->options.state_dir, "rfc-index.txt", &fetched_index);
        if (k < 0)
                return k;
        if (p->conf->store_path)
                p->store_path = strdup(p->conf->store_path);
        else if (daemon_path(p->options.state_dir, "rfc", &p->store_path) < 0)
                p->store_path = NULL;
        if (!p->store_path)
                return -ENOMEM;
        const DocumentsConf conf = {
                .library = {
                        .path = p->store_path,
                        .catalogue = catalogue,
                        .max_file_size = p->conf->max_file_size,
                        .own_index = p->conf->metadata_file,
                        .fetched_index = fetched_index,
                },
                .limits = index_limits(p->conf),
                .max_size = p->conf->max_size,
                .event = p->event,
                .disk = p->disk,
                .main = p->mailbox,
                .on_scanned = on_scanned,
                .userdata = p,
        };
        k = documents_new(&conf, &p->documents);
        if (k == 0)
                documents_init_trust(p->documents, p->conf->quorum, p->conf->manifest);
        return k;
}

static int open_client(Peerd *p) {
        _cleanup_free_ Endpoint *known = NULL;
        size_t n = p->conf->remember_max, n_known = 0;

        known = reallocarray(NULL, MAX_OF(n, (size_t) 1), sizeof(*known));
        if (!known)
                return -ENOMEM;
        int k = state_get_peers(p->state, known, n, &n_known);
        if (k < 0)
                (void) log_errno(LOG_LEVEL_WARNING, k, "Could not read the known peers");
        const ClientConf conf = {
                .main = p->mailbox,
                .documents = p->documents,
                .handler = {
                        .on_download = control_client_handler.on_download,
                        .on_refresh = control_client_handler.on_refresh,
                        .on_sync = control_client_handler.on_sync,
                        .on_register_wanted = on_register_wanted,
                        .on_server_heard = on_server_heard,
                        .userdata = p,
                },
                .last_known = known,
                .n_last_known = n_known,
                .own_port = server_port(p->server),
                .remember = on_remember,
        };
        return client_new(&conf, p->conf, &p->client);
}

static int open_server(Peerd *p) {
        const ServerConf conf = {
                .event = p->event,
                .main = p->mailbox,
                .documents = p->documents,
        };
        p->socket_missing = inherited_count(NULL) > inherited_count(SERVER_STORED) && inherited_count("rfc") == 0;
        return server_new(&conf, p->conf, &p->server);
}

static int open_registration(Peerd *p) {
        const RegistrationConf conf = {
                .event = p->event,
                .main = p->mailbox,
                .disk = p->disk,
                .state = p->state,
                .client = p->client,
                .own_port = server_port(p->server),
                .on_changed = on_registration_changed,
                .userdata = p,
        };
        return registration_new(&conf, p->conf, &p->registration);
}

static int make_timers(Peerd *p) {
        Now now;
        now_read(&now);
        int k = loop_timer_new(p->event, on_summary, p, "summary", &p->summary_timer);
        if (k == 0)
                k = loop_timer_new(p->event, on_stop_timeout, p, "stop", &p->stop_timer);
        if (k == 0)
                k = loop_timer_set(p->summary_timer, usec_add(now.boottime, USEC_PER_SEC));
        if (k == 0)
                k = watchdog_new(p->event, peerd_self_check, p, &p->watchdog);
        return k;
}

static int start_loop(Peerd *p) {
        const LoopSignals signals = { .on_stop = on_stop, .on_reload = on_reload, .userdata = p };
        Now now;

        now_read(&now);
        p->started_at = now.realtime;
        int k = sd_event_new(&p->event);
        if (k >= 0)
                k = loop_add_signals(p->event, &signals);
        if (k >= 0)
                k = mailbox_new(&p->mailbox);
        if (k >= 0)
                k = mailbox_attach(p->mailbox, p->event);
        if (k >= 0)
                k = worker_new("disk", &p->disk);
        return k;
}

static int start(Peerd *p) {
        int k = daemon_confine(CONFINE_PROGRAMS);
        if (k < 0)
                return k;
        k = start_loop(p);
        if (k < 0)
                return log_errno(LOG_LEVEL_ERR, k, "Could not make the event loop");
        k = libcrypto_init();
        if (k < 0)
                return log_errno(LOG_LEVEL_ERR, k, "Could not set up libcrypto");
        k = open_state(p);
        if (k == 0)
                k = open_documents(p);
        if (k == 0)
                k = open_server(p);
        if (k == 0)
                k = open_client(p);
        if (k == 0)
                k = control_new(p, &p->control);
        if (k < 0)
                return k;
        inherited_close_rest();
        k = documents_start(p->documents);
        if (k == 0)
                k = open_registration(p);
        if (k == 0)
                k = make_timers(p);
        if (k < 0)
                return log_errno(LOG_LEVEL_ERR, k, "Could not start");
        return 0;
}

/* Threads end before what they use goes; the disk worker after all that give it work. */
static void finish(Peerd *p, int status) {
        if (p->client)
                client_stop(p->client);
        if (p->server)
                server_halt(p->server);
        worker_free(p->disk);
        control_free(p->control);       /* its requests were answered from all threads */
        client_free(p->client);
        server_free(p->server);
        documents_free(p->documents);
        state_free(p->state);
        /*
         * A name server that does not answer must not hold up the end for a minute, and getaddrinfo() can't be
         * cancelled.
         */
        if (p->registration && registration_is_resolving(p->registration))
                _exit(status);
        registration_free(p->registration);
        watchdog_free(p->watchdog);
        event_source_free(p->summary_timer);
        event_source_free(p->stop_timer);
        mailbox_free(p->mailbox);
        peer_conf_free(p->conf);
        free(p->store_path);
        string_list_free(p->warnings);
        daemon_options_done(&p->options);
        sd_event_unref(p->event);
}

static int run(Peerd *p) {
        _cleanup_(conf_issues_done) ConfIssues issues = {};

        int k = conf_load_peer(p->options.config, p->options.instance, &p->conf, &issues);
        daemon_log_issues(&issues);
        if (k == CONF_INVALID)
                return EX_CONFIG;
        if (k < 0) {
                (void) log_errno(LOG_LEVEL_ERR, k, "Could not read the configuration");
                return EXIT_FAILURE;
        }
        if (p->options.check_config)
                return EXIT_SUCCESS;
        apply_log_settings(p->conf);
        k = start(p);
        if (k < 0) {
                daemon_tell_not_started(k);
                return EXIT_FAILURE;
        }
        log_loaded(p);
        compare_sockets(p);
        peerd_update_status(p);
        notify_ready();
        k = loop_run(p->event);
        notify_stopping();
        if (k < 0)
                (void) log_errno(LOG_LEVEL_ERR, k, "The event loop failed");
        return k < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

int main(int argc, char *argv[]) {
        Peerd p = {};
        int status = EXIT_FAILURE;

        log_open("p2pdi-peerd");
        /*
         * Indexes come and go, up to 16 MiB each: they are to go back to the system then, and not to lie among records
         * that stay, as they do once the C library has raised its limit by itself.
         */
        (void) mallopt(M_MMAP_THRESHOLD, LARGE_BLOCK);
        int k = daemon_parse_options(argc, argv, "p2pdi-peerd", "p2pdi", true, &p.options, &status);
        if (k == DAEMON_EXIT)
                return status;
        if (k < 0) {
                (void) log_errno(LOG_LEVEL_ERR, k, "Could not read the options");
                return EXIT_FAILURE;
        }
        status = run(&p);
        finish(&p, status);
        return status;
}
