/* SPDX-License-Identifier: BSD-2-Clause */
#include "peerd/registration.h"

#include <errno.h>
#include <netdb.h>
#include <sys/socket.h>

#include "core/text.h"
#include "io/call.h"
#include "io/daemon.h"
#include "io/log.h"
#include "io/loop.h"

#define ADDRESSES_MAX 8
#define STOP_USEC (2 * USEC_PER_SEC)

/* One server. Reached by its index from messages, so that a reload can't pull it away under them. */
typedef struct Link {
        Registration *registration;
        unsigned index;
        ConfServer server;                      /* copies, owned */
        Membership membership;
        MembershipDo doing;
        bool resolving, storing;                /* a worker is at it: the name, the cookie */
        Endpoint endpoints[ADDRESSES_MAX];
        size_t n_endpoints, next;
        Endpoint used;                          /* the last one that answered */
        bool has_used;
        Call *call;
        uint64_t transaction;                   /* of the last request */
        usec_t sent_at;
        Reply reply;                            /* of the call under way; without slices */
        bool replied;
        sd_event_source *timer;
} Link;

struct Registration {
        RegistrationConf conf;
        CallConf call_conf;
        bool has_advertise;
        Address advertise;
        Link *links;
        unsigned n_links;
        uint64_t generation;                    /* of the links: a message of an older one is dropped */
        Worker *resolver;
        sd_event_source *stop_timer;
        void (*on_stopped)(void *userdata);
        void *stopped_userdata;
};

static void step(Link *l);

static void changed(Link *l) {
        const Registration *r = l->registration;
        const Membership *m = &l->membership;
        Endpoint self = { m->address, r->conf.own_port };
        ServerStanding standing = m->state == MEMBERSHIP_ACTIVE || (m->state == MEMBERSHIP_LEFT && m->reachable) ? SERVER_READY :
                                  m->n_failures > 0                                                              ? SERVER_AWAY :
                                                                                                                   SERVER_PENDING;
        /* Left before it was ever registered: there is nothing to wait for. */
        if (m->state == MEMBERSHIP_LEFT && standing == SERVER_PENDING)
                standing = SERVER_AWAY;
        client_set_server(r->conf.client, l->index, standing, l->has_used ? &l->used : NULL, m->cookie, m->has_address ? &self : NULL);
        r->conf.on_changed(r->conf.userdata);
}

/* ---- telling ---- */

static void tell(Link *l, MembershipNews news, const char *why) {
        const Membership *m = &l->membership;
        LogFields f = {
                .transaction = l->transaction,
                .operation = l->doing == MEMBERSHIP_LEAVE ? "leave" : l->doing == MEMBERSHIP_KEEPALIVE ? "keepalive" : "register",
                .result = "ok",
                .peer_id = m->peer_id,
                .peer = l->has_used ? &l->used : NULL,
        };
        char address[ADDRESS_TEXT_SIZE] = "";
        if (m->has_address)
                address_to_text(&m->address, address);

        switch (news) {
        case MEMBERSHIP_NO_NEWS:
                if (l->replied && l->reply.status == 200)
                        log_transaction(LOG_EVENT_NONE, &f, "Lease at %s renewed.", l->server.text);
                break;
        case MEMBERSHIP_REGISTERED:
                log_entry(LOG_LEVEL_INFO, LOG_EVENT_REGISTERED, &f, "Registered at %s as peer %u, address %s.", l->server.text, m->peer_id,
                          address);
                if (m->has_address && address_is_loopback(&m->address) && l->has_used && !address_is_loopback(&l->used.address))
                        log_warning("%s lists this peer under a loopback address: no other host can reach it.", l->server.text);
                break;
        case MEMBERSHIP_UNREACHABLE:
                f.result = why;
                log_entry(LOG_LEVEL_WARNING, LOG_EVENT_RS_UNREACHABLE, &f,
                          "Registration server %s can't be reached (%s): going on with the peers known.", l->server.text, why);
                break;
        case MEMBERSHIP_REACHABLE:
                log_entry(LOG_LEVEL_NOTICE, LOG_EVENT_RS_REACHABLE, &f, "Registration server %s can be reached again.", l->server.text);
                break;
        case MEMBERSHIP_REFUSED:
                f.result = "refused";
                log_entry(LOG_LEVEL_WARNING, LOG_EVENT_NONE, &f, "Registration server %s refuses: %u %s.", l->server.text, l->reply.status,
                          msg_phrase(l->reply.status));
                break;
        case MEMBERSHIP_HAS_LEFT:
                log_entry(LOG_LEVEL_INFO, LOG_EVENT_NONE, &f, "Left %s.", l->server.text);
                break;
        }
}

static void check_stopped(Registration *r) {
        if (!r->on_stopped)
                return;
        for (unsigned i = 0; i < r->n_links; i++)
                if (r->links[i].membership.leaving || r->links[i].membership.busy)
                        return;
        void (*done)(void *userdata) = TAKE_PTR(r->on_stopped);
        done(r->stopped_userdata);
}

static void answered(Link *l) {
        Now now;
        now_of_event(l->registration->conf.event, &now);
        MembershipNews news = membership_answered(&l->membership, l->doing, &l->reply, l->sent_at, &now, random_u64());
        tell(l, news, "");
        changed(l);
        step(l);
        check_stopped(l->registration);
}

static void failed(Link *l, const char *why) {
        Now now;
        now_of_event(l->registration->conf.event, &now);
        l->replied = false;
        MembershipNews news = membership_failed(&l->membership, l->doing, &now, random_u64());
        tell(l, news, why);
        changed(l);
        step(l);
        check_stopped(l->registration);
}

/* ---- keeping a cookie ---- */

typedef struct Store {
        Message message;
        Registration *registration;
        State *state;
        uint64_t generation;
        unsigned index;
        uint64_t cookie;
        uint32_t peer_id;
        int result;
        char server[];
} Store;

static void run_stored(Message *m) {
        Store *s = MESSAGE_OF(m, Store, message);
        Registration *r = s->registration;
        if (s->result < 0)
                (void) log_errno(LOG_LEVEL_ERR, s->result, "Could not keep the cookie of %s on disk", s->server);
        if (s->generation == r->generation) {
                r->links[s->index].storing = false;
                answered(&r->links[s->index]);
        }
        free(s);
}

static void run_store(Message *m) {
        Store *s = MESSAGE_OF(m, Store, message);
        s->result = state_set_cookie(s->state, s->server, s->cookie, s->peer_id);
        m->run = run_stored;
        mailbox_post(s->registration->conf.main, m);
}

static void run_loaded(Message *m) {
        Store *s = MESSAGE_OF(m, Store, message);
        Registration *r = s->registration;
        if (s->result < 0)
                (void) log_errno(LOG_LEVEL_ERR, s->result, "Could not read the cookie of %s", s->server);
        if (s->generation == r->generation) {
                Link *l = &r->links[s->index];
                l->storing = false;
                membership_init(&l->membership, s->cookie, l->membership.state != MEMBERSHIP_LEFT);
                changed(l);
                step(l);
        }
        free(s);
}

static void run_load(Message *m) {
        Store *s = MESSAGE_OF(m, Store, message);
        s->result = state_get_cookie(s->state, s->server, &s->cookie, &s->peer_id);
        m->run = run_loaded;
        mailbox_post(s->registration->conf.main, m);
}

/* The disk worker keeps or reads the cookie; nothing is due until it has. */
static int use_cookie(Link *l, void (*run)(Message *m)) {
        Registration *r = l->registration;
        size_t size = strlen(l->server.text) + 1;
        Store *s = calloc(1, sizeof(*s) + size);
        if (!s)
                return -ENOMEM;
        *s = (Store){ .message = { .run = run }, .registration = r, .state = r->conf.state, .generation = r->generation, .index = l->index };
        memcpy(s->server, l->server.text, size);
        if (run == run_store) {
                s->cookie = l->reply.cookie;
                s->peer_id = l->reply.peer_id;
        }
        l->storing = true;
        worker_post(r->conf.disk, &s->message);
        return 0;
}

/* ---- one exchange ---- */

static int on_reply(Call *call, const Reply *reply, Slice bytes, void *userdata) {
        Link *l = userdata;
        log_head(call_remote(call), bytes);
        l->reply = *reply;
        l->reply.title = (Slice){};             /* points into bytes */
        l->replied = true;
        l->sent_at = call_sent_at(call);
        return 0;
}

static void try_next(Link *l, const char *why);

static void on_end(Call *call, CallEnd end, int error, void *userdata) {
        Link *l = userdata;
        (void) error;
        l->call = NULL;
        if (end != CALL_OK || !l->replied) {
                try_next(l, call_end_name(end));
                return;
        }
        l->used = *call_remote(call);
        l->has_used = true;
        if (l->doing != MEMBERSHIP_REGISTER || l->reply.status != 200)
                answered(l);
        else if (use_cookie(l, run_store) < 0)
                failed(l, "out of memory");
}

static const CallHandler handler = { .on_reply = on_reply, .on_end = on_end };

static int start_call(Link *l, const Endpoint *to) {
        const Registration *r = l->registration;
        l->transaction = random_u64() | 1;      /* never 0 */
        Request request = {
                .version = MSG_P2PDI_1_0,
                .verb = l->doing == MEMBERSHIP_REGISTER    ? VERB_REGISTER :
                        l->doing == MEMBERSHIP_KEEPALIVE   ? VERB_KEEPALIVE :
                                                             VERB_LEAVE,
                .transaction = l->transaction,
                .close = true,
                .host = slice_of(daemon_hostname()),
                .os = slice_of(daemon_os()),
                .cookie = l->membership.cookie,
                .port = l->doing == MEMBERSHIP_REGISTER ? r->conf.own_port : 0,
                .has_advertise = r->has_advertise && l->doing == MEMBERSHIP_REGISTER,
                .advertise = r->advertise,
        };
        l->replied = false;
        return call_new(r->conf.event, to, &request, &r->call_conf, &handler, l, &l->call);
}

/* The next address of the server, if there is one. */
static void try_next(Link *l, const char *why) {
        while (l->next < l->n_endpoints)
                if (start_call(l, &l->endpoints[l->next++]) == 0)
                        return;
        failed(l, why);
}

/* ---- names ---- */

typedef struct Resolve {
        Message message;
        Registration *registration;
        uint64_t generation;
        unsigned index;
        uint16_t port;
        int result;                             /* of getaddrinfo() */
        Endpoint endpoints[ADDRESSES_MAX];
        size_t n;
        char host[];
} Resolve;

static void run_resolved(Message *m) {
        Resolve *s = MESSAGE_OF(m, Resolve, message);
        Registration *r = s->registration;
        if (s->generation == r->generation) {
                Link *l = &r->links[s->index];
                l->resolving = false;
                memcpy(l->endpoints, s->endpoints, s->n * sizeof(Endpoint));
                l->n_endpoints = s->n;
                l->next = 0;
                try_next(l, s->result == 0 ? "no usable address" : gai_strerror(s->result));
        }
        free(s);
}

static void run_resolve(Message *m) {
        Resolve *s = MESSAGE_OF(m, Resolve, message);
        const struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG };
        struct addrinfo *list = NULL;

        s->result = getaddrinfo(s->host, NULL, &hints, &list);
        for (struct addrinfo *a = s->result == 0 ? list : NULL; a && s->n < ADDRESSES_MAX; a = a->ai_next)
                if (endpoint_from_sockaddr(a->ai_addr, &s->endpoints[s->n]) == 0)
                        s->endpoints[s->n++].port = s->port;
        if (s->result == 0)
                freeaddrinfo(list);
        m->run = run_resolved;
        mailbox_post(s->registration->conf.main, m);
}

/* An address needs no lookup; a name is looked up each time, since it may move. */
static void resolve(Link *l) {
        Registration *r = l->registration;
        Address address;
        size_t size = strlen(l->server.host) + 1;

        l->n_endpoints = l->next = 0;
        if (address_from_text(slice_of(l->server.host), &address) == 0) {
                l->endpoints[0] = (Endpoint){ address, l->server.port };
                l->n_endpoints = 1;
                try_next(l, "no usable address");
                return;
        }
        Resolve *s = calloc(1, sizeof(*s) + size);
        if (!s) {
                failed(l, "out of memory");
                return;
        }
        *s = (Resolve){ .message = { .run = run_resolve }, .registration = r, .generation = r->generation, .index = l->index,
                        .port = l->server.port };
        memcpy(s->host, l->server.host, size);
        l->resolving = true;
        worker_post(r->resolver, &s->message);
}

/* ---- what is due ---- */

static void step(Link *l) {
        Now now;
        usec_t at = USEC_INFINITY;

        now_of_event(l->registration->conf.event, &now);
        if (l->call || l->resolving || l->storing)
                return;
        MembershipDo what = membership_next(&l->membership, &now, &at);
        if (what == MEMBERSHIP_WAIT) {
                (void) loop_timer_set(l->timer, at);
                return;
        }
        l->doing = what;
        (void) loop_timer_set(l->timer, USEC_INFINITY);
        resolve(l);
}

static int on_timer(sd_event_source *s, uint64_t usec, void *userdata) {
        (void) s;
        (void) usec;
        step(userdata);
        return 0;
}

/* ---- the set of servers ---- */

static void link_done(Link *l) {
        call_free(l->call);
        event_source_free(l->timer);
        free(l->server.text);
        free(l->server.host);
}

static void links_free(Registration *r) {
        for (unsigned i = 0; i < r->n_links; i++)
                link_done(&r->links[i]);
        free(r->links);
        r->links = NULL;
        r->n_links = 0;
        r->generation++;
}

static int link_init(Registration *r, unsigned i, const ConfServer *server) {
        Link *l = &r->links[i];
        l->registration = r;
        l->index = i;
        l->server.text = strdup(server->text);
        l->server.host = strdup(server->host);
        l->server.port = server->port;
        if (!l->server.text || !l->server.host)
                return -ENOMEM;
        membership_init(&l->membership, 0, true);
        int k = use_cookie(l, run_load);
        if (k < 0)
                return k;
        return loop_timer_new(r->conf.event, on_timer, l, "registration", &l->timer);
}

static void apply_settings(Registration *r, const PeerConf *s) {
        r->call_conf = (CallConf){
                .connect_timeout = s->connect_timeout,
                .answer_timeout = 10 * USEC_PER_SEC,    /* a Register waits for the server's disk */
                .idle_timeout = 10 * USEC_PER_SEC,
                .total_timeout = 30 * USEC_PER_SEC,
        };
        if (!s->common.listen[0].any_address) {
                r->call_conf.has_source = true;
                r->call_conf.source = s->common.listen[0].endpoint.address;
        }
        r->has_advertise = s->has_advertise;
        r->advertise = s->advertise;
}

static int make_links(Registration *r, const PeerConf *s) {
        unsigned n = s->registration_enabled ? (unsigned) s->n_servers : 0;
        r->links = calloc(MAX_OF(n, 1u), sizeof(Link));
        if (!r->links)
                return -ENOMEM;
        for (; r->n_links < n; r->n_links++) {
                int k = link_init(r, r->n_links, &s->servers[r->n_links]);
                if (k < 0)
                        return k;
        }
        return 0;
}

static bool same_servers(const Registration *r, const PeerConf *s) {
        unsigned n = s->registration_enabled ? (unsigned) s->n_servers : 0;
        if (n != r->n_links)
                return false;
        for (unsigned i = 0; i < n; i++)
                if (strcmp(r->links[i].server.text, s->servers[i].text) != 0)
                        return false;
        return true;
}

int registration_new(const RegistrationConf *conf, const PeerConf *settings, Registration **ret) {
        Registration *r = calloc(1, sizeof(*r));
        if (!r)
                return -ENOMEM;
        r->conf = *conf;
        apply_settings(r, settings);
        int k = worker_new("resolver", &r->resolver);
        if (k == 0)
                k = make_links(r, settings);
        if (k < 0) {
                registration_free(r);
                return k;
        }
        *ret = r;
        return 0;
}

Registration *registration_free(Registration *r) {
        if (!r)
                return NULL;
        links_free(r);
        worker_free(r->resolver);
        event_source_free(r->stop_timer);
        free(r);
        return NULL;
}

int registration_reconfigure(Registration *r, const PeerConf *settings) {
        apply_settings(r, settings);
        if (same_servers(r, settings))
                return 0;
        /* Servers that are no longer named keep this peer until its lease ends there: leaving could take as long as they don't answer. */
        links_free(r);
        return make_links(r, settings);
}

int registration_join(Registration *r) {
        Now now;
        if (r->n_links == 0)
                return REGISTRATION_NO_SERVERS;
        now_of_event(r->conf.event, &now);
        for (unsigned i = 0; i < r->n_links; i++) {
                membership_join(&r->links[i].membership, &now);
                step(&r->links[i]);
                changed(&r->links[i]);
        }
        return 0;
}

int registration_leave(Registration *r) {
        Now now;
        if (r->n_links == 0)
                return REGISTRATION_NO_SERVERS;
        now_of_event(r->conf.event, &now);
        for (unsigned i = 0; i < r->n_links; i++) {
                membership_leave(&r->links[i].membership, &now);
                step(&r->links[i]);
        }
        return 0;
}

void registration_hurry(Registration *r, unsigned server) {
        Now now;
        if (server >= r->n_links)
                return;
        Link *l = &r->links[server];
        now_of_event(r->conf.event, &now);
        membership_register_now(&l->membership, &now);
        step(l);
        if (!l->membership.busy)
                changed(l);     /* it has left, and will not register: the client need not wait */
}

static int on_stop_timeout(sd_event_source *s, uint64_t usec, void *userdata) {
        Registration *r = userdata;
        (void) s;
        (void) usec;
        if (r->on_stopped) {
                void (*done)(void *userdata) = TAKE_PTR(r->on_stopped);
                done(r->stopped_userdata);
        }
        return 0;
}

void registration_stop(Registration *r, void (*on_done)(void *userdata), void *userdata) {
        Now now;
        now_read(&now);
        r->on_stopped = on_done;
        r->stopped_userdata = userdata;
        if (loop_timer_new(r->conf.event, on_stop_timeout, r, "leave", &r->stop_timer) == 0)
                (void) loop_timer_set(r->stop_timer, usec_add(now.boottime, STOP_USEC));
        (void) registration_leave(r);
        check_stopped(r);
}

bool registration_get(const Registration *r, unsigned server, RegistrationInfo *ret) {
        if (server >= r->n_links)
                return false;
        const Link *l = &r->links[server];
        const Membership *m = &l->membership;
        *ret = (RegistrationInfo){
                .server = l->server.text,
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
