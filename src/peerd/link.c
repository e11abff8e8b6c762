/* SPDX-License-Identifier: BSD-2-Clause */
#include "peerd/link.h"

#include <errno.h>
#include <netdb.h>
#include <sys/socket.h>

#include "core/text.h"
#include "io/daemon.h"
#include "io/log.h"
#include "io/loop.h"

#define LOADS_MAX 5                       /* of the cookie, before this peer goes on without */
#define LOAD_RETRY_USEC (1 * USEC_PER_SEC)
#define ADDRESSES_MAX 8

struct Link {
        const LinkConf *conf;
        ConfServer server;                      /* owned copies */
        Membership membership;
        sd_event_source *timer;
        /* the exchange under way */
        MembershipDo doing;
        uint64_t transaction;
        usec_t began_at, sent_at;
        Endpoint endpoints[ADDRESSES_MAX];
        size_t n_endpoints, next;
        Call *call;
        Reply reply;                            /* without slices */
        bool replied;
        Endpoint used;                          /* the last one that answered */
        bool has_used;
        /* A worker is at it: the name, the cookie. What it writes is its own until its message is back. */
        bool resolving, storing;
        bool could_not_leave;                   /* the last Leave was not answered */
        Message resolve, store;
        int resolve_result;                     /* of getaddrinfo() */
        int store_result;
        unsigned n_loads;                       /* that failed: of the cookie */
        bool load_due;                          /* again, when the timer ends */
        uint64_t cookie;                        /* as read from disk */
        uint32_t peer_id;
};

static void step(Link *l);

static void changed(Link *l) {
        l->conf->on_changed(l, l->conf->userdata);
}

/* ---- telling ---- */

static Verb verb_of(MembershipDo what) {
        return what == MEMBERSHIP_REGISTER ? VERB_REGISTER : what == MEMBERSHIP_KEEPALIVE ? VERB_KEEPALIVE : VERB_LEAVE;
}

static LogFields fields(const Link *l, const char *result) {
        Now now;
        now_read(&now);         /* the turn's time is that at which the answer came */
        return (LogFields){
                .transaction = l->transaction,
                .operation = verb_operation(verb_of(l->doing)),
                .result = result,
                .peer_id = l->membership.peer_id,
                .peer = l->has_used ? &l->used : NULL,
                .has_duration = true,
                .duration_usec = usec_sub(now.boottime, l->began_at),
        };
}

static void tell_registered(const Link *l) {
        const Membership *m = &l->membership;
        const LogFields f = fields(l, "ok");
        char address[ADDRESS_TEXT_SIZE] = "";
        if (m->has_address)
                address_to_text(&m->address, address);
        log_entry(LOG_LEVEL_INFO, LOG_EVENT_REGISTERED, &f, "Registered at %s as peer %u, address %s.", l->server.text,
                  m->peer_id, address);
        if (m->has_address && address_is_loopback(&m->address) && l->has_used && !address_is_loopback(&l->used.address))
                log_warning("%s lists this peer under a loopback address: no other host can reach it.", l->server.text);
}

/* An exchange of which nobody needs to hear twice. */
static void tell_no_news(const Link *l) {
        LogFields f = fields(l, "ok");
        if (!l->replied)
                return;         /* no answer, once more */
        if (l->reply.status == 200)
                log_transaction(LOG_EVENT_NONE, &f, "Lease at %s renewed.", l->server.text);
        else {
                f.result = "refused";
                log_transaction(LOG_EVENT_NONE, &f, "Registration server %s refuses: %u %s.", l->server.text,
                                l->reply.status, msg_phrase(l->reply.status));
        }
}

static void tell(const Link *l, MembershipNews news, const char *why) {
        LogFields f = fields(l, "ok");

        switch (news) {
        case MEMBERSHIP_NO_NEWS:
                tell_no_news(l);
                break;
        case MEMBERSHIP_REGISTERED:
                tell_registered(l);
                break;
        case MEMBERSHIP_UNREACHABLE:
                f.result = "unreachable";
                log_entry(LOG_LEVEL_WARNING, LOG_EVENT_RS_UNREACHABLE, &f,
                          l->doing == MEMBERSHIP_LEAVE ?
                                  "Registration server %s can't be reached (%s): it lists this peer until the lease ends." :
                                  "Registration server %s can't be reached (%s): going on with the peers known.",
                          l->server.text, why);
                break;
        case MEMBERSHIP_REACHABLE:
                log_entry(LOG_LEVEL_NOTICE, LOG_EVENT_RS_REACHABLE, &f, "Registration server %s can be reached again.",
                          l->server.text);
                break;
        case MEMBERSHIP_REFUSED:
                f.result = "refused";
                log_entry(LOG_LEVEL_WARNING, LOG_EVENT_NONE, &f, "Registration server %s refuses: %u %s.",
                          l->server.text, l->reply.status, msg_phrase(l->reply.status));
                break;
        case MEMBERSHIP_HAS_LEFT:
                log_entry(LOG_LEVEL_INFO, LOG_EVENT_NONE, &f, "Left %s.", l->server.text);
                break;
        }
}

static void answered(Link *l) {
        Now now;
        now_of_event(l->conf->event, &now);
        MembershipNews news = membership_answered(&l->membership, l->doing, &l->reply, l->sent_at, &now, random_u64());
        tell(l, news, "");
        step(l);
        changed(l);
}

static void failed(Link *l, const char *why) {
        Now now;
        now_of_event(l->conf->event, &now);
        l->replied = false;
        l->could_not_leave = l->doing == MEMBERSHIP_LEAVE;
        MembershipNews news = membership_failed(&l->membership, l->doing, &now, random_u64());
        tell(l, news, why);
        step(l);
        changed(l);
}

/* ---- the cookie, kept by the disk worker ---- */

static void run_stored(Message *m) {
        Link *l = MESSAGE_OF(m, Link, store);
        l->storing = false;
        if (l->store_result < 0)
                (void) log_errno(LOG_LEVEL_ERR, l->store_result, "Could not keep the cookie of %s on disk",
                                 l->server.text);
        answered(l);
}

static void run_store(Message *m) {
        Link *l = MESSAGE_OF(m, Link, store);
        l->store_result = state_set_cookie(l->conf->state, l->server.text, l->reply.cookie, l->reply.peer_id);
        m->run = run_stored;
        mailbox_post(l->conf->main, m);
}

static void run_loaded(Message *m) {
        Link *l = MESSAGE_OF(m, Link, store);
        bool join = l->membership.state != MEMBERSHIP_LEFT;
        Now now;

        l->storing = false;
        now_of_event(l->conf->event, &now);
        if (l->store_result < 0) {
                (void) log_errno(LOG_LEVEL_ERR, l->store_result, "Could not read the cookie of %s", l->server.text);
                /* Without it this peer would be another one, beside that which it was: not for a moment's trouble. */
                l->load_due = ++l->n_loads < LOADS_MAX;
                if (l->load_due && loop_timer_set(l->timer, usec_add(now.boottime, LOAD_RETRY_USEC)) >= 0)
                        return;
                l->load_due = false;
        }
        membership_init(&l->membership, l->cookie, true);
        if (!join)              /* the server may still have it as active */
                membership_leave(&l->membership, &now);
        step(l);
        changed(l);
}

static void run_load(Message *m) {
        Link *l = MESSAGE_OF(m, Link, store);
        l->store_result = state_get_cookie(l->conf->state, l->server.text, &l->cookie, &l->peer_id);
        m->run = run_loaded;
        mailbox_post(l->conf->main, m);
}

/* The disk worker keeps or reads the cookie; nothing is due until it has. */
static void use_cookie(Link *l, void (*run)(Message *m)) {
        l->storing = true;
        l->store.run = run;
        worker_post(l->conf->disk, &l->store);
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
        if (l->doing == MEMBERSHIP_REGISTER && l->reply.status == 200 && l->reply.cookie != 0)
                use_cookie(l, run_store);
        else
                answered(l);
}

static const CallHandler handler = { .on_reply = on_reply, .on_end = on_end };

static int start_call(Link *l, const Endpoint *to) {
        const LinkConf *c = l->conf;
        const Request request = {
                .version = MSG_P2PDI_1_0,
                .verb = verb_of(l->doing),
                .transaction = l->transaction,
                .close = true,
                .host = slice_of(daemon_hostname()),
                .os = slice_of(daemon_os()),
                .cookie = l->membership.cookie,
                .port = l->doing == MEMBERSHIP_REGISTER ? c->own_port : 0,
                .has_advertise = c->has_advertise && l->doing == MEMBERSHIP_REGISTER,
                .advertise = c->advertise,
        };
        l->replied = false;
        return call_new(c->event, to, &request, &c->call, &handler, l, &l->call);
}

/* The next address of the server, if there is one. why: what became of the last. */
static void try_next(Link *l, const char *why) {
        while (l->next < l->n_endpoints) {
                int k = start_call(l, &l->endpoints[l->next++]);
                if (k == 0)
                        return;
                (void) log_errno(LOG_LEVEL_ERR, k, "Could not call registration server %s", l->server.text);
                why = call_end_name(CALL_FAILED);
        }
        failed(l, why);
}

/* ---- names ---- */

static void run_resolved(Message *m) {
        Link *l = MESSAGE_OF(m, Link, resolve);
        l->resolving = false;
        try_next(l, l->resolve_result == 0 ? "no usable address" : gai_strerror(l->resolve_result));
}

static void run_resolve(Message *m) {
        Link *l = MESSAGE_OF(m, Link, resolve);
        const struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG };
        struct addrinfo *list = NULL;

        l->resolve_result = getaddrinfo(l->server.host, NULL, &hints, &list);
        if (l->resolve_result != 0)
                list = NULL;
        for (const struct addrinfo *a = list; a && l->n_endpoints < ADDRESSES_MAX; a = a->ai_next)
                if (endpoint_from_sockaddr(a->ai_addr, &l->endpoints[l->n_endpoints]) == 0)
                        l->endpoints[l->n_endpoints++].port = l->server.port;
        if (list)
                freeaddrinfo(list);
        m->run = run_resolved;
        mailbox_post(l->conf->main, m);
}

/* An address needs no lookup; a name is looked up each time, since it may move. */
static void resolve(Link *l) {
        Address address;

        l->n_endpoints = l->next = 0;
        if (address_from_text(slice_of(l->server.host), &address) == 0) {
                l->endpoints[l->n_endpoints++] = (Endpoint){ address, l->server.port };
                try_next(l, "no usable address");
                return;
        }
        l->resolving = true;
        l->resolve.run = run_resolve;
        worker_post(l->conf->resolver, &l->resolve);
}

/* ---- what is due ---- */

static void step(Link *l) {
        Now now;
        usec_t at = USEC_INFINITY;

        if (l->call || l->resolving || l->storing || l->load_due)
                return;
        now_of_event(l->conf->event, &now);
        MembershipDo what = membership_next(&l->membership, &now, &at);
        if (what == MEMBERSHIP_WAIT) {
                (void) loop_timer_set(l->timer, at);
                return;
        }
        (void) loop_timer_set(l->timer, USEC_INFINITY);
        l->doing = what;
        l->transaction = random_u64() | 1;      /* never 0 */
        l->began_at = now.boottime;
        resolve(l);
}

/* Something is due, or the lease has ended. */
static int on_timer(sd_event_source *s, uint64_t usec, void *userdata) {
        Link *l = userdata;
        (void) s;
        (void) usec;
        if (l->load_due) {
                l->load_due = false;
                use_cookie(l, run_load);
                return 0;
        }
        step(l);
        if (!l->membership.busy)
                changed(l);
        return 0;
}

int link_new(const LinkConf *conf, const ConfServer *server, bool join, Link **ret) {
        _cleanup_(link_free_p) Link *l = calloc(1, sizeof(*l));
        if (!l)
                return -ENOMEM;
        l->conf = conf;
        l->server = (ConfServer){ .text = strdup(server->text), .host = strdup(server->host), .port = server->port };
        if (!l->server.text || !l->server.host)
                return -ENOMEM;
        int k = loop_timer_new(conf->event, on_timer, l, "registration", &l->timer);
        if (k < 0)
                return k;
        membership_init(&l->membership, 0, join);
        use_cookie(l, run_load);
        *ret = TAKE_PTR(l);
        return 0;
}

Link *link_free(Link *l) {
        if (!l)
                return NULL;
        call_free(l->call);
        event_source_free(l->timer);
        free(l->server.text);
        free(l->server.host);
        free(l);
        return NULL;
}

void link_join(Link *l) {
        Now now;
        now_of_event(l->conf->event, &now);
        membership_join(&l->membership, &now);
        step(l);
        changed(l);
}

void link_leave(Link *l) {
        Now now;
        l->could_not_leave = false;
        now_of_event(l->conf->event, &now);
        membership_leave(&l->membership, &now);
        step(l);
        changed(l);
}

void link_register_now(Link *l) {
        Now now;
        now_of_event(l->conf->event, &now);
        membership_register_now(&l->membership, &now);
        step(l);
        if (!l->membership.busy)
                changed(l);     /* it has left, and will not register: whoever waits need not */
}

void link_server_heard(Link *l) {
        Now now;
        now_of_event(l->conf->event, &now);
        membership_heard(&l->membership, &now);
        step(l);
}

bool link_is_idle(const Link *l) {
        return !l->membership.busy && !l->membership.leaving && !l->storing;
}

bool link_could_not_leave(const Link *l) {
        return l->could_not_leave;
}

bool link_is_resolving(const Link *l) {
        return l->resolving;
}

const char *link_server(const Link *l) {
        return l->server.text;
}

const Membership *link_membership(const Link *l) {
        return &l->membership;
}

const Endpoint *link_endpoint(const Link *l) {
        return l->has_used ? &l->used : NULL;
}
