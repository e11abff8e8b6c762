/* SPDX-License-Identifier: BSD-2-Clause */
#include "peerd/registration.h"

#include <errno.h>

#include "io/log.h"
#include "io/loop.h"
#include "peerd/link.h"

#define STOP_USEC (2 * USEC_PER_SEC)

struct Registration {
        RegistrationConf conf;
        LinkConf link_conf;
        Worker *resolver;
        Link **links;                   /* the first n_servers as configured, then those that are being left for good */
        size_t n_links, n_servers;
        bool left;                      /* the user said so: until join or restart, a reload changes nothing */
        sd_event_source *sweep_timer, *stop_timer;
        void (*on_stopped)(void *userdata);
        void *stopped_userdata;
};

/* ---- what the links tell ---- */

/* A query waits while a Register that may yet work is under way. */
static ServerStanding standing_of(const Membership *m) {
        if (m->state == MEMBERSHIP_LEFT)        /* a cookie may be good for a list all the same */
                return m->reachable ? SERVER_READY : SERVER_AWAY;
        if (m->state == MEMBERSHIP_ACTIVE)
                return SERVER_READY;
        return m->n_failures > 0 ? SERVER_AWAY : SERVER_PENDING;
}

static void tell_client(Registration *r, unsigned server) {
        const Link *l = r->links[server];
        const Membership *m = link_membership(l);
        const Endpoint self = { m->address, r->conf.own_port };
        client_set_server(r->conf.client, server, standing_of(m), link_endpoint(l), m->cookie,
                          m->has_address ? &self : NULL);
}

static void end_stop(Registration *r) {
        void (*done)(void *userdata) = TAKE_PTR(r->on_stopped);
        if (done)
                done(r->stopped_userdata);
}

static void check_stopped(Registration *r) {
        for (size_t i = 0; r->on_stopped && i < r->n_links; i++)
                if (!link_is_idle(r->links[i]) && !link_could_not_leave(r->links[i]))
                        return;         /* a server that is away is not waited for */
        end_stop(r);
}

static void on_changed(Link *l, void *userdata) {
        Registration *r = userdata;
        for (size_t i = 0; i < r->n_links; i++) {
                if (r->links[i] != l)
                        continue;
                if (i < r->n_servers)
                        tell_client(r, (unsigned) i);
                else if (link_is_idle(l))
                        (void) loop_timer_set(r->sweep_timer, 0);       /* it can't be freed from within itself */
        }
        r->conf.on_changed(r->conf.userdata);
        check_stopped(r);
}

/* Servers that have been left for good. */
static int on_sweep(sd_event_source *s, uint64_t usec, void *userdata) {
        Registration *r = userdata;
        size_t n = r->n_servers;
        (void) s;
        (void) usec;
        for (size_t i = r->n_servers; i < r->n_links; i++)
                if (link_is_idle(r->links[i]))
                        link_free(r->links[i]);
                else
                        r->links[n++] = r->links[i];
        r->n_links = n;
        return 0;
}

/* ---- the set of servers ---- */

static void apply_settings(Registration *r, const PeerConf *s) {
        LinkConf *c = &r->link_conf;
        c->call = (CallConf){
                .connect_timeout = s->connect_timeout,
                .answer_timeout = 10 * USEC_PER_SEC,    /* a Register waits for the server's disk */
                .idle_timeout = 10 * USEC_PER_SEC,
                .total_timeout = 30 * USEC_PER_SEC,
        };
        if (!s->common.listen[0].any_address) {
                c->call.has_source = true;
                c->call.source = s->common.listen[0].endpoint.address;
        }
        c->has_advertise = s->has_advertise;
        c->advertise = s->advertise;
}

/* The link to that server, taken out of the old ones; NULL: there is none. */
static Link *take_link(Registration *r, const char *server) {
        for (size_t i = 0; i < r->n_links; i++)
                if (r->links[i] && strcmp(link_server(r->links[i]), server) == 0)
                        return TAKE_PTR(r->links[i]);
        return NULL;
}

/* Has the links for these servers: those that are there already go on, the others are made. */
static int make_links(Registration *r, const PeerConf *s) {
        size_t n = s->registration_enabled ? MIN_OF(s->n_servers, (size_t) SERVERS_MAX) : 0, n_made = 0;
        Link **fresh = calloc(n + r->n_links + 1, sizeof(*fresh));
        int k = fresh ? 0 : -ENOMEM;

        if (k < 0)
                return k;
        for (size_t i = 0; i < n; i++) {
                Link *l = take_link(r, s->servers[i].text);
                int made = l ? 0 : link_new(&r->link_conf, &s->servers[i], !r->left, &l);
                if (made == 0)
                        fresh[n_made++] = l;
                else
                        k = made;
        }
        r->n_servers = n_made;
        for (size_t i = 0; i < r->n_links; i++)
                if (r->links[i])
                        fresh[n_made++] = r->links[i];
        free(r->links);
        r->links = fresh;
        r->n_links = n_made;
        return k;
}

int registration_new(const RegistrationConf *conf, const PeerConf *settings, Registration **ret) {
        _cleanup_(registration_free_p) Registration *r = calloc(1, sizeof(*r));
        if (!r)
                return -ENOMEM;
        r->conf = *conf;
        int k = worker_new("resolver", &r->resolver);
        if (k == 0)
                k = loop_timer_new(conf->event, on_sweep, r, "sweep", &r->sweep_timer);
        if (k < 0)
                return k;
        r->link_conf = (LinkConf){
                .event = conf->event,
                .main = conf->main,
                .disk = conf->disk,
                .state = conf->state,
                .resolver = r->resolver,
                .own_port = conf->own_port,
                .on_changed = on_changed,
                .userdata = r,
        };
        apply_settings(r, settings);
        /* A server less is no reason not to serve; and a link that waits for the disk can't be freed. */
        k = make_links(r, settings);
        if (k < 0)
                (void) log_errno(LOG_LEVEL_ERR, k, "Could not register with all servers");
        *ret = TAKE_PTR(r);
        return 0;
}

Registration *registration_free(Registration *r) {
        if (!r)
                return NULL;
        worker_free(r->resolver);
        for (size_t i = 0; i < r->n_links; i++)
                link_free(r->links[i]);
        free(r->links);
        event_source_free(r->sweep_timer);
        event_source_free(r->stop_timer);
        free(r);
        return NULL;
}

static bool same_servers(const Registration *r, const PeerConf *s) {
        if (r->n_servers != (s->registration_enabled ? s->n_servers : 0))
                return false;
        for (size_t i = 0; i < r->n_servers; i++)
                if (strcmp(link_server(r->links[i]), s->servers[i].text) != 0)
                        return false;
        return true;
}

static int change_servers(Registration *r, const PeerConf *settings) {
        const Link *before[SERVERS_MAX] = {};
        if (r->n_servers > 0)
                memcpy(before, r->links, r->n_servers * sizeof(*before));
        int k = make_links(r, settings);

        for (size_t i = r->n_servers; i < r->n_links; i++)
                link_leave(r->links[i]);
        for (size_t i = 0; i < SERVERS_MAX; i++)
                if (before[i] && (i >= r->n_servers || r->links[i] != before[i]))
                        client_forget_server(r->conf.client, (unsigned) i);
        for (size_t i = 0; i < r->n_servers; i++)
                if (r->left)
                        tell_client(r, (unsigned) i);
                else            /* it may have been on its way out since the reload before */
                        link_join(r->links[i]);
        return k;
}

int registration_reconfigure(Registration *r, const PeerConf *settings) {
        const bool had_advertise = r->link_conf.has_advertise;
        const Address before = r->link_conf.advertise;
        int k = 0;

        apply_settings(r, settings);
        if (!same_servers(r, settings))
                k = change_servers(r, settings);
        if (had_advertise != settings->has_advertise ||
            (had_advertise && !address_equal(&before, &settings->advertise)))
                for (size_t i = 0; i < r->n_servers; i++)
                        link_register_now(r->links[i]);
        return k;
}

/* ---- for the control socket, the client and the end ---- */

int registration_join(Registration *r) {
        r->left = false;
        for (size_t i = 0; i < r->n_servers; i++)
                link_join(r->links[i]);
        return r->n_servers == 0 ? REGISTRATION_NO_SERVERS : 0;
}

int registration_leave(Registration *r) {
        r->left = true;
        for (size_t i = 0; i < r->n_servers; i++)
                link_leave(r->links[i]);
        return r->n_servers == 0 ? REGISTRATION_NO_SERVERS : 0;
}

void registration_hurry(Registration *r, unsigned server) {
        if (server < r->n_servers)
                link_register_now(r->links[server]);
}

void registration_server_heard(Registration *r, unsigned server) {
        if (server < r->n_servers)
                link_server_heard(r->links[server]);
}

static int on_stop_timeout(sd_event_source *s, uint64_t usec, void *userdata) {
        (void) s;
        (void) usec;
        end_stop(userdata);
        return 0;
}

void registration_stop(Registration *r, void (*on_done)(void *userdata), void *userdata) {
        Now now;
        now_read(&now);
        r->on_stopped = on_done;
        r->stopped_userdata = userdata;
        if (loop_timer_new(r->conf.event, on_stop_timeout, r, "leave", &r->stop_timer) == 0)
                (void) loop_timer_set(r->stop_timer, usec_add(now.boottime, STOP_USEC));
        (void) registration_leave(r);           /* nothing to leave is fine */
        check_stopped(r);
}

bool registration_is_resolving(const Registration *r) {
        for (size_t i = 0; i < r->n_links; i++)
                if (link_is_resolving(r->links[i]))
                        return true;
        return false;
}

bool registration_get(const Registration *r, unsigned server, RegistrationInfo *ret) {
        if (server >= r->n_servers)
                return false;
        const Membership *m = link_membership(r->links[server]);
        *ret = (RegistrationInfo){
                .server = link_server(r->links[server]),
                .state = m->state,
                .reachable = m->reachable,
                .peer_id = m->peer_id,
                .has_address = m->has_address,
                .address = m->address,
                .renewed_at = m->renewed_at,
                .expires_at = m->expires_at,
        };
        return true;
}
