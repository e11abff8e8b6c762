/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * p2pdi-rsd, the registration server: main and wiring.
 */

#include "rsd/rsd.h"

#include <errno.h>
#include <stdio.h>
#include <sysexits.h>

#include "io/huge-memory.h"
#include "io/log.h"

/*
 * Two for each connection would be too many here: a connection is one socket. The others: database, sockets, epoll,
 * timers.
 */
#define DESCRIPTORS_OTHERS 64
#define RESTART_SOCKET "\"systemctl daemon-reload && systemctl restart p2pdi-rsd.socket\""

static void apply_conf(Rsd *r) {
        const RsConf *c = r->conf;
        r->registrar = (RegistrarConf){
                .limits = {
                        .ttl_usec = c->ttl,
                        .max_peers = c->max_peers,
                        .max_per_source = c->max_peers_per_source,
                        .retention_usec = c->cookie_retention,
                },
                .keep_alive_usec = c->keep_alive,
                .peers_per_reply = c->peers_per_reply,
                .advertise_from = c->advertise_from,
                .n_advertise_from = c->n_advertise_from,
        };
        r->conn_conf = (ConnConf){
                .request_timeout = c->common.request_timeout,
                .idle_timeout = c->common.idle_timeout,
                .lifetime = c->connection_lifetime,
                .min_rate = 1024,       /* a list is at most some MB: nobody honest reads slower */
        };
        daemon_listener_conf(&c->common, daemon_limit_connections(c->common.max_connections, 1, DESCRIPTORS_OTHERS),
                             &r->listener_conf);
        log_set_level(c->common.log_level);
        log_set_transaction_rate(c->common.transactions_per_sec);
        if (r->list)
                peer_list_set_limits(r->list, &r->registrar.limits);
        if (r->listener)
                listener_reconfigure(r->listener);
}

static void compare_sockets(Rsd *r) {
        const ConfListener who = { .daemon = "p2pdi-rsd", .inherited = r->inherited };

        daemon_compare_sockets(r->listener, &r->conf->common, &who, !r->options.config, &r->warnings);
}

static void log_loaded(const Rsd *r) {
        LogFields f = { .operation = "configuration", .result = "ok", .config_file = r->options.config };
        log_entry(LOG_LEVEL_INFO, LOG_EVENT_CONF_LOADED, &f, "Configuration loaded.");
}

static void on_reload(void *userdata) {
        Rsd *r = userdata;
        _cleanup_(conf_issues_done) ConfIssues issues = {};
        RsConf *fresh = NULL;

        if (r->stopping)
                return;
        notify_reloading();
        int k = conf_load_rs(r->options.config, &fresh, &issues);
        daemon_log_issues(&issues);
        if (k == 0) {
                if (strcmp(fresh->database, r->conf->database) != 0)
                        daemon_log_restart_key("State.Database=");
                RsConf *old = r->conf;
                r->conf = fresh;
                apply_conf(r);
                rs_conf_free(old);
                log_loaded(r);
                compare_sockets(r);
                r->n_told = SIZE_MAX;   /* it may tell of an error still */
                rsd_update_status(r);
        } else
                daemon_log_not_reloaded(k);
        notify_ready();
}

static int on_stop_timeout(sd_event_source *s, uint64_t usec, void *userdata) {
        Rsd *r = userdata;
        (void) s;
        (void) usec;
        return sd_event_exit(r->event, 0);
}

static void on_stop(void *userdata) {
        Rsd *r = userdata;
        Client *c, *next;
        Now now;

        if (r->stopping) {
                (void) sd_event_exit(r->event, 0);
                return;
        }
        r->stopping = true;
        notify_stopping();
        listener_stop(r->listener);
        now_read(&now);
        (void) loop_timer_set(r->stop_timer, usec_add(now.boottime, DAEMON_STOP_USEC));
        TAILQ_FOREACH_SAFE(c, &r->clients, link, next)
                conn_stop(c->conn);
        if (TAILQ_EMPTY(&r->clients))
                (void) sd_event_exit(r->event, 0);
}

static int on_expiry(sd_event_source *s, uint64_t usec, void *userdata) {
        Now now;
        (void) s;
        (void) usec;
        now_read(&now);
        serve_expire(userdata, &now);
        return 0;
}

static int on_flush(sd_event_source *s, uint64_t usec, void *userdata) {
        Rsd *r = userdata;
        commit_flush(r);
        (void) loop_timer_set(s, usec_add(usec, RSD_FLUSH_USEC));
        return 0;
}

static int on_summary(sd_event_source *s, uint64_t usec, void *userdata) {
        Now now;
        (void) usec;
        now_read(&now);
        rsd_update_status(userdata);
        notify_again();
        (void) log_summarize(&now);
        (void) loop_timer_set(s, usec_add(now.boottime, USEC_PER_SEC));
        return 0;
}

static int make_timers(Rsd *r) {
        Now now;
        now_read(&now);
        int k = loop_timer_new(r->event, on_expiry, r, "expiry", &r->expiry_timer);
        if (k == 0)
                k = loop_timer_new(r->event, on_flush, r, "flush", &r->flush_timer);
        if (k == 0)
                k = loop_timer_new(r->event, on_summary, r, "summary", &r->summary_timer);
        if (k == 0)
                k = loop_timer_new(r->event, on_stop_timeout, r, "stop", &r->stop_timer);
        if (k == 0)
                k = loop_timer_set(r->flush_timer, usec_add(now.boottime, RSD_FLUSH_USEC));
        if (k == 0)
                k = loop_timer_set(r->summary_timer, usec_add(now.boottime, USEC_PER_SEC));
        if (k == 0)
                k = serve_arm_expiry(r);
        return k;
}

static int open_state(Rsd *r) {
        _cleanup_free_ char *path = NULL;
        int k = daemon_make_directory(r->options.state_dir);
        if (k < 0)
                return log_errno(LOG_LEVEL_ERR, k, "Could not make the state directory %s", r->options.state_dir);
        k = daemon_path(r->options.state_dir, r->conf->database, &path);
        return k < 0 ? k : commit_load(r, path);
}

/*
 * A daemon-reload after a changed port takes the socket away from its unit, which goes on saying that it is active. In
 * its sandbox this daemon can't listen by itself, and what nobody reaches must not look well.
 */
static int listen_for_peers(Rsd *r) {
        if (inherited_count(NULL) == 0 || inherited_count("rs") > 0) {
                int k = daemon_listen(r->listener, &r->conf->common, "rs", NULL, &r->inherited);
                if (k != -EAFNOSUPPORT)
                        return k;
        }
        log_error("The service manager passed no socket named \"rs\": run " RESTART_SOCKET ".");
        return -ENOTCONN;
}

static int start(Rsd *r) {
        const LoopSignals signals = { .on_stop = on_stop, .on_reload = on_reload, .userdata = r };
        const PeerListMemory memory = { .take = huge_memory_take, .give_back = huge_memory_give_back };
        const uint64_t key[2] = { random_u64(), random_u64() };
        Now now;

        now_read(&now);
        r->started_at = now.realtime;
        int k = sd_event_new(&r->event);
        if (k < 0)
                return log_errno(LOG_LEVEL_ERR, k, "Could not make the event loop");
        k = loop_add_signals(r->event, &signals);
        if (k < 0)
                return log_errno(LOG_LEVEL_ERR, k, "Could not take signals");
        k = peer_list_new(&r->registrar.limits, key, &r->list);
        if (k < 0)
                return log_errno(LOG_LEVEL_ERR, k, "Could not make the peer list");
        peer_list_set_memory(r->list, &memory);
        k = open_state(r);
        if (k < 0)
                return k;
        k = poller_new(r->event, &r->poller);
        if (k < 0)
                return log_errno(LOG_LEVEL_ERR, k, "Could not make a poller");
        k = listener_new(r->event, &r->listener_conf, &serve_listener_handler, r, &r->listener);
        if (k < 0)
                return log_errno(LOG_LEVEL_ERR, k, "Could not make the listener");
        k = listen_for_peers(r);
        if (k == 0)
                k = control_start(r);
        if (k < 0)
                return k;
        inherited_close_rest();
        k = daemon_confine(CONFINE_PROGRAMS_AND_CALLS); /* it dials nobody, and the control socket is bound */
        if (k < 0)
                return k;
        k = mailbox_new(&r->mailbox);
        if (k == 0)
                k = mailbox_attach(r->mailbox, r->event);
        if (k == 0)
                k = commit_start(r);
        if (k == 0)
                k = make_timers(r);
        if (k == 0)
                k = watchdog_new(r->event, commit_ping, r, &r->watchdog);
        if (k < 0)
                return log_errno(LOG_LEVEL_ERR, k, "Could not start");
        return 0;
}

static void finish(Rsd *r) {
        Client *c;
        commit_finish(r);
        while ((c = TAILQ_FIRST(&r->clients)))
                client_free(c);
        watchdog_free(r->watchdog);
        varlink_server_free(r->varlink);
        listener_free(r->listener);
        string_list_free(r->warnings);
        mailbox_free(r->mailbox);
        poller_free(r->poller);
        event_source_free(r->expiry_timer);
        event_source_free(r->flush_timer);
        event_source_free(r->summary_timer);
        event_source_free(r->stop_timer);
        peer_list_free(r->list);
        rs_conf_free(r->conf);
        daemon_options_done(&r->options);
        sd_event_unref(r->event);
}

static int run(Rsd *r) {
        _cleanup_(conf_issues_done) ConfIssues issues = {};

        int k = conf_load_rs(r->options.config, &r->conf, &issues);
        daemon_log_issues(&issues);
        if (k == CONF_INVALID)
                return EX_CONFIG;
        if (k < 0) {
                (void) log_errno(LOG_LEVEL_ERR, k, "Could not read the configuration");
                return EXIT_FAILURE;
        }
        if (r->options.check_config)
                return EXIT_SUCCESS;
        apply_conf(r);
        k = start(r);
        if (k < 0) {
                daemon_tell_not_started(k);
                return EXIT_FAILURE;
        }
        log_loaded(r);
        compare_sockets(r);
        rsd_update_status(r);
        notify_ready();
        k = loop_run(r->event);
        notify_stopping();
        if (k < 0)
                (void) log_errno(LOG_LEVEL_ERR, k, "The event loop failed");
        return k < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

int main(int argc, char *argv[]) {
        Rsd r = {
                .n_told = SIZE_MAX,
                .clients = TAILQ_HEAD_INITIALIZER(r.clients),
                .waiting = TAILQ_HEAD_INITIALIZER(r.waiting),
                .committing = TAILQ_HEAD_INITIALIZER(r.committing),
        };
        int status = EXIT_FAILURE;

        log_open("p2pdi-rsd");
        int k = daemon_parse_options(argc, argv, "p2pdi-rsd", "p2pdi-rsd", false, &r.options, &status);
        if (k == DAEMON_EXIT)
                return status;
        if (k < 0) {
                (void) log_errno(LOG_LEVEL_ERR, k, "Could not read the options");
                return EXIT_FAILURE;
        }
        status = run(&r);
        finish(&r);
        return status;
}
