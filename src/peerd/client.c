/* SPDX-License-Identifier: BSD-2-Clause */
#include "peerd/client.h"

#include <errno.h>

#include "core/proto.h"
#include "io/daemon.h"
#include "io/log.h"
#include "io/loop.h"
#include "peerd/client-internal.h"

/* Answers to queries are small and come at once, or something is wrong. */
#define ANSWER_TIMEOUT_USEC (10 * USEC_PER_SEC)
#define IDLE_TIMEOUT_USEC (10 * USEC_PER_SEC)
/*
 * Who sends a line now and then is never slow, and would be listened to for hours: an index of 16 MiB has so long, and
 * what is answered about some numbers, which somebody waits for.
 */
#define INDEX_TIMEOUT_USEC (5 * USEC_PER_MINUTE)
#define ASK_TIMEOUT_USEC (20 * USEC_PER_SEC)
#define REFRESHED_USEC (10 * USEC_PER_MINUTE)

/* ---- settings ---- */

static int settings_from(const PeerConf *p, ClientSettings *ret) {
        ClientSettings s = {
                .call = {
                        .connect_timeout = p->connect_timeout,
                        .answer_timeout = ANSWER_TIMEOUT_USEC,
                        .idle_timeout = IDLE_TIMEOUT_USEC,
                        .min_rate = p->min_transfer_rate,
                        .total_timeout = INDEX_TIMEOUT_USEC,
                },
                .holders = { .quarantine_usec = p->quarantine, .quarantine_max_usec = 10 * USEC_PER_MINUTE },
                /* Without pulls in the background it is for how long a refresh is good. */
                .pull_interval = p->pull_interval == USEC_INFINITY ? REFRESHED_USEC : p->pull_interval,
                .background_interval = p->pull_interval,
                .reuse_connections = p->reuse_connections,
                .hedge_after = p->hedge_after,
                .max_file_size = p->max_file_size,
                .accept = p->accept,
                .max_store_size = p->max_size,
                .min_replicas = p->min_replicas,
                .n_servers = p->registration_enabled ? (unsigned) MIN_OF(p->n_servers, (size_t) SERVERS_MAX) : 0,
                .remember_max = p->remember_max,
                .n_static_peers = p->n_static_peers,
        };
        /* A concrete address that the administrator listens on is also the source of the peer's own connections. */
        if (!p->common.listen[0].any_address) {
                s.call.has_source = true;
                s.call.source = p->common.listen[0].endpoint.address;
        }
        s.ask = s.transfer = s.call;
        s.ask.total_timeout = ASK_TIMEOUT_USEC;
        s.transfer.total_timeout = USEC_INFINITY;
        s.bulk = s.transfer;
        s.bulk.n_pipelined = CALL_PIPELINE_MAX;
        if (p->n_static_peers > 0) {
                s.static_peers = reallocarray(NULL, p->n_static_peers, sizeof(Endpoint));
                if (!s.static_peers)
                        return -ENOMEM;
                memcpy(s.static_peers, p->static_peers, p->n_static_peers * sizeof(Endpoint));
        }
        *ret = s;
        return 0;
}

/* A Call without a pool makes a connection for itself. */
static void settings_use_pool(Client *c) {
        CallPool *pool = c->settings.reuse_connections ? c->pool : NULL;

        c->settings.call.pool = c->settings.ask.pool = c->settings.transfer.pool = c->settings.bulk.pool = pool;
}

/* Takes the settings. */
static void settings_apply(Client *c, const ClientSettings *s) {
        free(c->settings.static_peers);
        c->settings = *s;
        if (c->pool)
                call_pool_clear(c->pool);       /* their source may not be the own address any more */
        settings_use_pool(c);
        holders_set_limits(c->holders, &s->holders);
        holders_clear_static(c->holders);
        for (size_t i = 0; i < s->n_static_peers; i++)
                if (holders_add_static(c->holders, &s->static_peers[i]) != 0)
                        log_warning("A peer of Peers.Static= is left out: there are too many.");
}

typedef struct Reconfigure {
        Message message;
        Client *client;
        ClientSettings settings;
} Reconfigure;

static void run_reconfigure(Message *m) {
        Reconfigure *r = MESSAGE_OF(m, Reconfigure, message);
        settings_apply(r->client, &r->settings);
        replicas_arm(r->client);
        pull_arm_expiry(r->client);     /* the limits of the index may be others, too */
        background_reconfigured(r->client->background);
        disputes_stir(r->client->disputes);
        editor_reconfigured(r->client->editor);
        free(r);
}

void client_reconfigure(Client *c, const PeerConf *settings) {
        Reconfigure *r = calloc(1, sizeof(*r));
        if (!r || settings_from(settings, &r->settings) < 0) {
                free(r);
                log_warning("No memory to tell the client of the new settings: it goes on with the old ones.");
                return;
        }
        r->message.run = run_reconfigure;
        r->client = c;
        loop_thread_post(c->loop, &r->message);
}

/* ---- what all parts use ---- */

bool client_servers_away(const Client *c) {
        return c->servers_away || c->settings.n_servers == 0;
}

void client_add_self(Client *c, const Address *address) {
        const Endpoint e = { *address, c->conf.own_port };
        for (size_t i = 0; i < c->n_self; i++)
                if (endpoint_equal(&c->self[i], &e))
                        return;
        if (c->n_self < SELF_MAX)
                c->self[c->n_self++] = e;
}

int client_dialable(const Client *c, const Now *now, Endpoint **ret, size_t *ret_n) {
        const bool away = client_servers_away(c);
        const size_t n = holders_dialable(c->holders, away, now, NULL, 0);
        Endpoint *peers = reallocarray(NULL, MAX_OF(n, (size_t) 1), sizeof(*peers));

        if (!peers)
                return -ENOMEM;
        *ret_n = holders_dialable(c->holders, away, now, peers, n);
        *ret = peers;
        return 0;
}

void client_fill_request(Request *r, Verb verb, uint64_t transaction) {
        *r = (Request){
                .verb = verb,
                .version = MSG_P2PDI_1_0,
                .transaction = transaction,
                .close = true,
                .host = slice_of(daemon_hostname()),
                .os = slice_of(daemon_os()),
        };
}

/* ---- registration servers ---- */

typedef struct SetServer {
        Message message;
        Client *client;
        unsigned server;
        bool forget;
        ServerInfo info;
        bool has_self;
        Endpoint self;
} SetServer;

/* Another server stands in its place now: its list and where it was are no longer good. */
static void forget_server(Client *c, unsigned server) {
        c->servers[server] = (ServerInfo){};
        holders_list_begin(c->holders, server);
        holders_list_end(c->holders, server, true);
        query_server_forgotten(c, server);
        replicas_self_changed(c);
}

static void run_set_server(Message *m) {
        SetServer *s = MESSAGE_OF(m, SetServer, message);
        ServerInfo *info = &s->client->servers[s->server];
        if (s->forget) {
                forget_server(s->client, s->server);
                free(s);
                return;
        }
        if (s->has_self) {
                s->info.has_self = true;
                s->info.self = s->self;
        } else {
                s->info.has_self = info->has_self;
                s->info.self = info->self;
        }
        /* Where it was is remembered while it is away. */
        if (!s->info.has_endpoint && info->has_endpoint) {
                s->info.has_endpoint = true;
                s->info.endpoint = info->endpoint;
        }
        *info = s->info;
        if (s->has_self)
                client_add_self(s->client, &s->self.address);
        replicas_self_changed(s->client);
        query_server_changed(s->client, s->server);
        if (info->standing == SERVER_READY)
                background_server_ready(s->client->background);
        free(s);
}

void client_set_server(Client *c, unsigned server, ServerStanding standing, const Endpoint *endpoint, uint64_t cookie,
                       const Endpoint *self) {
        SetServer *s = calloc(1, sizeof(*s));
        if (!s || server >= SERVERS_MAX) {
                free(s);
                return;         /* a query finds out by itself */
        }
        *s = (SetServer){
                .message = { .run = run_set_server },
                .client = c,
                .server = server,
                .info = { .standing = standing, .has_endpoint = endpoint != NULL, .cookie = cookie },
                .has_self = self != NULL,
        };
        if (endpoint)
                s->info.endpoint = *endpoint;
        if (self)
                s->self = *self;
        loop_thread_post(c->loop, &s->message);
}

void client_forget_server(Client *c, unsigned server) {
        SetServer *s = calloc(1, sizeof(*s));
        if (!s || server >= SERVERS_MAX) {
                free(s);
                return;         /* a query finds out by itself */
        }
        *s = (SetServer){ .message = { .run = run_set_server }, .client = c, .server = server, .forget = true };
        loop_thread_post(c->loop, &s->message);
}

typedef struct WantServer {
        Message message;
        const Client *client;
        unsigned server;
        void (*tell)(unsigned server, void *userdata);
} WantServer;

static void run_want(Message *m) {
        WantServer *w = MESSAGE_OF(m, WantServer, message);
        w->tell(w->server, w->client->conf.handler.userdata);
        free(w);
}

/* To the main loop, which has the registrations. */
static void tell_of_server(Client *c, unsigned server, void (*tell)(unsigned server, void *userdata)) {
        WantServer *w = calloc(1, sizeof(*w));
        if (!w)
                return;         /* the query has a deadline */
        *w = (WantServer){ .message = { .run = run_want }, .client = c, .server = server, .tell = tell };
        mailbox_post(c->conf.main, &w->message);
}

void client_want_registration(Client *c, unsigned server) {
        tell_of_server(c, server, c->conf.handler.on_register_wanted);
}

void client_server_heard(Client *c, unsigned server) {
        if (c->servers[server].standing == SERVER_AWAY)
                tell_of_server(c, server, c->conf.handler.on_server_heard);
}

/* ---- getting ---- */

typedef struct GetJob {
        Message message;
        Client *client;
        uint64_t transaction;
        struct WatcherList watchers;
} GetJob;

static GetJob *get_job_free(GetJob *j) {
        Watcher *w;
        if (!j)
                return NULL;
        while ((w = TAILQ_FIRST(&j->watchers))) {
                TAILQ_REMOVE(&j->watchers, w, link);
                free(w);
        }
        free(j);
        return NULL;
}
DEFINE_CLEANUP(GetJob *, get_job_free)

static void run_get(Message *m) {
        GetJob *j = MESSAGE_OF(m, GetJob, message);
        Watcher *w;
        while ((w = TAILQ_FIRST(&j->watchers))) {
                TAILQ_REMOVE(&j->watchers, w, link);
                int k = operation_add(j->client, j->transaction, w);
                if (k == 0)
                        continue;
                const DownloadEvent e = {
                        .number = w->end.number,
                        .state = DOWNLOAD_DONE,
                        .result = LOOKUP_FAILED,
                        .error = k,
                        .transaction = j->transaction,
                };
                (void) log_errno(LOG_LEVEL_ERR, k, "Could not start the download of RFC %u", e.number);
                client_count_download(j->client, PEERD_SOURCE_PEER, LOOKUP_FAILED, false);
                watcher_end(j->client, w, &e);
        }
        get_job_free(j);
}

int client_get(Client *c, uint64_t request, uint64_t transaction, const uint32_t *numbers, size_t n) {
        _cleanup_(get_job_free_p) GetJob *j = calloc(1, sizeof(*j));
        if (!j)
                return -ENOMEM;
        *j = (GetJob){ .message = { .run = run_get }, .client = c, .transaction = transaction };
        TAILQ_INIT(&j->watchers);
        for (size_t i = 0; i < n; i++) {
                Watcher *w = calloc(1, sizeof(*w));
                if (!w)
                        return -ENOMEM;
                w->end.request = request;
                w->end.number = numbers[i];
                TAILQ_INSERT_TAIL(&j->watchers, w, link);
        }
        loop_thread_post(c->loop, &TAKE_PTR(j)->message);
        return 0;
}

typedef struct ForgetJob {
        Message message;
        Client *client;
        uint64_t request;
} ForgetJob;

static void run_forget(Message *m) {
        ForgetJob *j = MESSAGE_OF(m, ForgetJob, message);
        operations_forget_request(j->client, j->request);
        sync_forget_request(j->client, j->request);
        free(j);
}

void client_forget_request(Client *c, uint64_t request) {
        ForgetJob *j = calloc(1, sizeof(*j));
        if (!j)
                return;         /* events for nobody are dropped where they arrive */
        *j = (ForgetJob){ .message = { .run = run_forget }, .client = c, .request = request };
        loop_thread_post(c->loop, &j->message);
}

/* ---- events ---- */

/* Progress is told only while the main loop keeps up with it. */
#define EVENTS_MAX 4096

static void event_free(ClientEvent *e) {
        LIST_REMOVE(e, link);
        e->client->n_events--;
        free(e);                        /* the first member of what was allocated */
}

static void run_event_back(Message *m) {
        event_free(MESSAGE_OF(m, ClientEvent, message));
}

void client_event_post(Client *c, ClientEvent *e, void (*read)(Message *m)) {
        *e = (ClientEvent){ .message = { .run = read }, .client = c };
        LIST_INSERT_HEAD(&c->events, e, link);
        c->n_events++;
        mailbox_post(c->conf.main, &e->message);
}

void client_event_read(ClientEvent *e) {
        e->message.run = run_event_back;
        loop_thread_post(e->client->loop, &e->message);
}

static void run_download_event(Message *m) {
        DownloadEvent *e = MESSAGE_OF(m, DownloadEvent, event.message);
        const Client *c = e->event.client;
        c->conf.handler.on_download(e, c->conf.handler.userdata);
        client_event_read(&e->event);
}

void download_event_post(Client *c, const DownloadEvent *e) {
        if (c->n_events >= EVENTS_MAX)
                return;
        DownloadEvent *copy = malloc(sizeof(*copy));
        if (!copy) {
                log_error("No memory to tell how a download goes on.");
                return;
        }
        *copy = *e;
        client_event_post(c, &copy->event, run_download_event);
}

void watcher_end(Client *c, Watcher *w, const DownloadEvent *e) {
        const uint64_t request = w->end.request;
        w->end = *e;
        w->end.request = request;
        client_event_post(c, &w->end.event, run_download_event);
}

/* ---- visits ---- */

static void run_visit(Message *m) {
        ClientVisit *v = MESSAGE_OF(m, ClientVisit, message);
        Client *c = v->client;
        Now now;
        now_of_event(c->event, &now);
        v->run(v, c, c->holders, client_servers_away(c), &now);
}

void client_visit(Client *c, ClientVisit *v) {
        v->message.run = run_visit;
        v->client = c;
        loop_thread_post(c->loop, &v->message);
}

void client_ping(Client *c, Message *answer) {
        loop_thread_post(c->loop, answer);
}

void client_ping_flusher(Client *c, Message *answer) {
        worker_post(c->flusher, answer);
}

const ClientCounters *client_counters(const Client *c) {
        return &c->counters;
}

Documents *client_documents(const Client *c) {
        return c->conf.documents;
}

size_t client_downloads(const Client *c, DownloadEvent *ret, size_t n) {
        const Operation *o;
        size_t k = 0;
        TAILQ_FOREACH(o, &c->operations, link)
                if (k < n)
                        ret[k++] = o->told;
        return k;
}

const History *client_history(const Client *c) {
        return c->history;
}

/* ---- the thread ---- */

static int setup(sd_event *e, void *userdata) {
        Client *c = userdata;
        int k = loop_timer_new(e, pull_on_expiry, c, "index-expiry", &c->expiry_timer);
        if (k >= 0)
                k = editor_new(c, e, &c->editor);
        if (k >= 0)
                k = loop_timer_new(e, replicas_on_timer, c, "replicas", &c->replicas_timer);
        if (k >= 0)
                k = call_pool_new(e, &c->pool);
        if (k >= 0)
                k = commits_new(c, e);
        if (k >= 0)
                k = disputes_new(c, e, &c->disputes);
        if (k >= 0)
                k = background_new(c, e, &c->background);
        if (k < 0) {
                c->editor = editor_free(c->editor);
                c->expiry_timer = event_source_free(c->expiry_timer);
                c->pool = call_pool_free(c->pool);
                commits_free(c);
                c->disputes = disputes_free(c->disputes);
                c->replicas_timer = event_source_free(c->replicas_timer);
                return k;
        }
        settings_use_pool(c);
        c->event = e;
        background_reconfigured(c->background);
        editor_reconfigured(c->editor);
        replicas_arm(c);
        return 0;
}

int client_new(const ClientConf *conf, const PeerConf *settings, Client **ret) {
        const uint64_t key[2] = { random_u64(), random_u64() };
        ClientSettings s = {};
        Client *c = calloc(1, sizeof(*c));

        if (!c)
                return -ENOMEM;
        c->conf = *conf;
        TAILQ_INIT(&c->operations);
        TAILQ_INIT(&c->line);
        TAILQ_INIT(&c->pulls);
        ask_gate_init(&c->gate);
        LIST_INIT(&c->transfers);
        TAILQ_INIT(&c->refreshes);
        LIST_INIT(&c->events);
        STAILQ_INIT(&c->commits);
        RB_INIT(&c->by_number);
        int k = settings_from(settings, &s);
        if (k == 0) {
                c->settings.static_peers = s.static_peers;      /* owned by c from here on */
                k = holders_new(&s.holders, key, &c->holders);
        }
        if (k == 0)
                k = history_new(HISTORY_OPERATIONS_MAX, &c->history);
        if (k == 0) {
                c->settings.static_peers = NULL;
                settings_apply(c, &s);
                for (size_t i = 0; i < conf->n_last_known && k >= 0; i++)
                        k = holders_add_last_known(c->holders, &conf->last_known[i]);
                k = MIN_OF(k, 0);       /* a full table is good enough */
        }
        if (k == 0)
                k = loop_thread_new("client", setup, c, &c->loop);
        if (k < 0) {
                client_free(c);
                return log_errno(LOG_LEVEL_ERR, k, "Could not start the client");
        }
        *ret = c;
        return 0;
}

void client_stop(Client *c) {
        loop_thread_stop(c->loop);
        commits_stop(c);
}

Client *client_free(Client *c) {
        Operation *o;
        Transfer *t;
        Pull *p;
        Refresh *f;
        ClientEvent *event;
        if (!c)
                return NULL;
        sd_event *e = sd_event_ref(c->event);   /* what is freed here belongs to it */
        if (c->loop)
                loop_thread_stop(c->loop);
        sync_free(c->sync);
        while ((t = LIST_FIRST(&c->transfers)))
                transfer_free(t);
        while ((o = TAILQ_FIRST(&c->operations)) || (o = TAILQ_FIRST(&c->line)))
                operation_free(o);
        while ((p = TAILQ_FIRST(&c->pulls)))
                pull_free(p);
        while ((f = TAILQ_FIRST(&c->refreshes)))
                refresh_free(c, f);
        while ((event = LIST_FIRST(&c->events)))
                event_free(event);
        query_free(c->query);
        background_free(c->background);
        editor_free(c->editor);
        free(c->remembered);
        event_source_free(c->expiry_timer);
        commits_free(c);
        disputes_free(c->disputes);
        event_source_free(c->replicas_timer);
        free(c->lacking);
        call_pool_free(c->pool);
        loop_thread_free(c->loop);
        sd_event_unref(e);
        holders_free(c->holders);
        history_free(c->history);
        free(c->settings.static_peers);
        free(c);
        return NULL;
}
