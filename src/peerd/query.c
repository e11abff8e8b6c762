/* SPDX-License-Identifier: BSD-2-Clause */
#include "peerd/client-internal.h"

#include <errno.h>

#include "core/text.h"
#include "io/log.h"
#include "io/loop.h"

/* A query waits for a Register under way at most so long. */
#define PENDING_USEC (8 * USEC_PER_SEC)
/* Pages of one list: 65,536 peers in pages of no less than 64. */
#define PAGES_MAX 1024
#define PAGE_BYTES_MAX (16u << 20)

/*
 * One PQuery, page by page, of the first registration server that answers; or of all behind the one that answered last,
 * since not every peer is registered with every server.
 */
struct Query {
        Client *client;
        uint64_t transaction;
        usec_t began_at;
        unsigned server;                        /* being asked */
        bool others;                            /* all, from there on */
        LookupOutcome outcome;                  /* the best so far; GONE: none answered */
        bool waits, registered;                 /* for its registration; that was tried once */
        Call *call;
        sd_event_source *timer;
        Message begin;
        /* the answer under way */
        unsigned status;
        uint32_t n_active, after;
        size_t n_lines, n_page_lines, n_pages;
        Buf rest;                               /* a line not yet whole */
        bool bad;
        bool other_kind_wanted;                 /* by somebody who came meanwhile */
};

static void ask(Query *q);

static void tell_end(Client *c, bool others, LookupOutcome outcome) {
        operations_query_done(c, others, outcome);
        if (others)
                return;
        refresh_query_done(c, outcome);
        background_query_done(c->background);
}

static void end_query(Query *q) {
        Client *c = q->client;
        const LookupOutcome outcome = q->outcome;
        const bool others = q->others, again = q->other_kind_wanted;
        const uint64_t transaction = q->transaction;

        c->queried[others] = (QueryPast){ .at = q->began_at, .outcome = outcome };
        if (!others) {
                c->servers_away = outcome == LOOKUP_GONE;
                c->answered_server = q->server;
        }
        c->query = NULL;
        query_free(q);
        bool begun = again && query_start(c, transaction, !others) == 0;
        tell_end(c, others, outcome);
        if (again && !begun)
                tell_end(c, !others, LOOKUP_GONE);
}

/* That server has said what it has to say. */
static void server_done(Query *q, LookupOutcome outcome);

static void restart(Query *q) {
        q->n_pages = q->n_lines = 0;
        q->n_active = q->after = 0;
}

static void next_server(Query *q) {
        q->server++;
        q->registered = false;
        restart(q);
        ask(q);
}

/* ---- what is kept on disk of the answer ---- */

typedef struct Remember {
        Message message;
        const ClientConf *conf;
        size_t n;
        Endpoint peers[];
} Remember;

static void run_remember(Message *m) {
        Remember *r = MESSAGE_OF(m, Remember, message);
        r->conf->remember(r->peers, r->n, r->conf->handler.userdata);
        free(r);
}

static int compare_endpoints(const void *a, const void *b) {
        return endpoint_compare(a, b);
}

/* Are these not the ones that are on disk, in whatever order? */
static bool remember_changes(Client *c, const Endpoint *peers, size_t n) {
        Endpoint *sorted = reallocarray(NULL, MAX_OF(n, (size_t) 1), sizeof(*sorted));
        if (!sorted)
                return true;
        memcpy(sorted, peers, n * sizeof(*sorted));
        qsort(sorted, n, sizeof(*sorted), compare_endpoints);
        bool same = c->remembered && c->n_remembered == n;
        for (size_t i = 0; same && i < n; i++)
                same = endpoint_equal(&sorted[i], &c->remembered[i]);
        free(c->remembered);
        c->remembered = sorted;
        c->n_remembered = n;
        return !same;
}

static void remember(Client *c) {
        size_t n = c->settings.remember_max;
        Now now;
        if (n == 0)
                return;
        now_of_event(c->event, &now);
        Remember *r = calloc(1, sizeof(*r) + n * sizeof(Endpoint));
        if (!r)
                return;         /* the list of before stays */
        r->message.run = run_remember;
        r->conf = &c->conf;
        r->n = MIN_OF(n, holders_dialable(c->holders, false, &now, r->peers, n));
        /* A query comes with each download, and the disk has better to do than to flush the same list again. */
        if (remember_changes(c, r->peers, r->n))
                worker_post(documents_disk(c->conf.documents), &r->message);
        else
                free(r);
}

/* ---- the answer ---- */

static LogFields fields(const Query *q, const char *result) {
        const ServerInfo *s = &q->client->servers[q->server];
        Now now;
        now_of_event(q->client->event, &now);
        return (LogFields){
                .transaction = q->transaction,
                .operation = "list-peers",
                .result = result,
                .peer = s->has_endpoint ? &s->endpoint : NULL,
                .has_duration = true,
                .duration_usec = usec_sub(now.boottime, q->began_at),
        };
}

static void page_done(Query *q) {
        Client *c = q->client;
        bool complete = q->n_lines >= q->n_active || q->n_page_lines == 0;

        if (!complete && q->n_pages < PAGES_MAX) {
                ask(q);
                return;
        }
        holders_list_end(c->holders, q->server, complete);
        LogFields f = fields(q, "ok");
        f.has_entries = true;
        f.entries_added = q->n_lines;
        log_transaction(LOG_EVENT_NONE, &f, "The registration server lists %zu active peer%s.", q->n_lines, plural(q->n_lines));
        if (complete)
                remember(c);
        server_done(q, q->n_lines > 0 ? LOOKUP_OK : LOOKUP_EMPTY);
}

static int on_reply(Call *call, const Reply *reply, Slice bytes, void *userdata) {
        Query *q = userdata;
        log_head(call_remote(call), bytes);
        q->status = reply->status;
        if (reply->status != 200 && reply->status != 204)
                return -ECANCELED;
        /* The most that was said: who leaves between two pages must not let the rest of the list seem to be there. */
        q->n_active = MAX_OF(q->n_active, reply->has_active ? reply->active : 0);
        q->n_page_lines = 0;
        if (q->n_pages++ == 0)
                holders_list_begin(q->client->holders, q->server);
        return reply->length > PAGE_BYTES_MAX ? -ECANCELED : 0;
}

/* Whole lines are taken as they come. */
static int take_lines(Query *q, Slice *bytes) {
        Client *c = q->client;
        PeerLine line;
        Now now;
        int k;

        now_of_event(c->event, &now);
        while ((k = proto_parse_peer_line(bytes, &line)) == 0) {
                if (q->n_lines > 0 && line.id <= q->after)
                        return PROTO_BAD;       /* not ascending: a page would come again and again */
                k = holders_list_add(c->holders, q->server, &line.endpoint, line.id, line.host, &now);
                if (k < 0)
                        return k;
                q->after = line.id;
                q->n_lines++;
                q->n_page_lines++;
        }
        return k == PROTO_MORE ? 0 : k;
}

static int on_body(Call *call, Slice bytes, void *userdata) {
        Query *q = userdata;
        (void) call;
        int k = buf_append_slice(&q->rest, bytes);
        if (k == 0) {
                Slice rest = buf_slice(&q->rest);
                k = take_lines(q, &rest);
                buf_consume(&q->rest, q->rest.size - rest.size);
                if (k == 0 && q->rest.size > PROTO_PEER_LINE_MAX)
                        k = PROTO_BAD;
        }
        if (k < 0)      /* this host, and not the server */
                (void) log_errno(LOG_LEVEL_ERR, k, "Could not take the list of a registration server");
        q->bad = k > 0;
        return k == 0 ? 0 : -ECANCELED;
}

static void log_failed(const Query *q, const char *why) {
        LogFields f = fields(q, why);
        log_transaction(LOG_EVENT_NONE, &f, "The registration server did not list its peers: %s.", why);
}

static void wait_for_registration(Query *q) {
        Client *c = q->client;
        Now now;
        now_of_event(c->event, &now);
        q->waits = true;
        (void) loop_timer_set(q->timer, usec_add(now.boottime, PENDING_USEC));
}

/* Has the main loop register, once, and waits for how that ends. */
static void want_registration(Query *q) {
        q->registered = true;
        q->client->servers[q->server].standing = SERVER_PENDING;
        client_want_registration(q->client, q->server);
        wait_for_registration(q);
}

static void on_end(Call *call, CallEnd end, int error, void *userdata) {
        Query *q = userdata;
        Endpoint own;

        if (end == CALL_FAILED)
                (void) log_errno(LOG_LEVEL_ERR, error, "Could not ask a registration server");
        if (call_local(call, &own))
                client_add_self(q->client, &own.address);
        q->call = NULL;
        if (q->status != 0)
                client_server_heard(q->client, q->server);
        if (end == CALL_OK && q->rest.size == 0) {
                page_done(q);
                return;
        }
        if (q->n_pages > 0)     /* part of a list proves nothing, and is worth having */
                holders_list_end(q->client->holders, q->server, false);
        if (q->status == 401 && !q->registered) {
                want_registration(q);
                return;
        }
        log_failed(q, q->bad || end == CALL_OK ? "malformed" : q->status >= 400 ? "refused" : call_end_name(end));
        /* It may have been away for long: the main loop finds out, and says so, before the next KeepAlive would. */
        if (q->status == 0)
                client_want_registration(q->client, q->server);
        next_server(q);
}

static const CallHandler handler = { .on_reply = on_reply, .on_body = on_body, .on_end = on_end };

/* ---- asking ---- */

static int start_call(Query *q) {
        Client *c = q->client;
        const ServerInfo *s = &c->servers[q->server];
        Request request;

        client_fill_request(&request, VERB_PQUERY, q->transaction);
        request.cookie = s->cookie;
        request.has_after = q->n_pages > 0;
        request.after = q->after;
        q->status = 0;
        q->bad = false;
        buf_clear(&q->rest);
        return call_new(c->event, &s->endpoint, &request, &c->settings.call, &handler, q, &q->call);
}

/* Goes on with the server at hand, or the next. */
static void ask(Query *q) {
        Client *c = q->client;

        for (; q->server < c->settings.n_servers; q->server++, q->registered = false) {
                const ServerInfo *s = &c->servers[q->server];
                if (s->standing == SERVER_PENDING) {
                        wait_for_registration(q);
                        return;
                }
                if (s->cookie == 0 || !s->has_endpoint) {
                        /* Others are worth no wait for one that is known to be away. */
                        if (q->registered || (q->others && s->standing == SERVER_AWAY))
                                continue;
                        want_registration(q);
                        return;
                }
                int k = start_call(q);
                if (k == 0)
                        return;
                (void) log_errno(LOG_LEVEL_ERR, k, "Could not ask a registration server");
        }
        end_query(q);
}

static void server_done(Query *q, LookupOutcome outcome) {
        if (q->outcome != LOOKUP_OK)
                q->outcome = outcome;
        if (q->others)
                next_server(q);
        else
                end_query(q);
}

static int on_timer(sd_event_source *s, uint64_t usec, void *userdata) {
        Query *q = userdata;
        (void) s;
        (void) usec;
        if (q->waits) {
                q->waits = false;
                log_failed(q, "unreachable");
                next_server(q);
        }
        return 0;
}

void query_server_changed(Client *c, unsigned server) {
        Query *q = c->query;
        if (!q || !q->waits || q->server != server || c->servers[server].standing == SERVER_PENDING)
                return;
        q->waits = false;
        (void) loop_timer_set(q->timer, USEC_INFINITY);
        q->registered = true;
        if (c->servers[server].standing == SERVER_READY) {
                restart(q);
                ask(q);
        } else {
                log_failed(q, "unreachable");
                next_server(q);
        }
}

void query_server_forgotten(Client *c, unsigned server) {
        Query *q = c->query;
        if (!q || q->server != server || !q->call)
                return;
        q->call = call_free(q->call);
        q->registered = false;
        restart(q);
        ask(q);
}

static void run_begin(Message *m) {
        Query *q = MESSAGE_OF(m, Query, begin);
        ask(q);
}

int query_start(Client *c, uint64_t transaction, bool others) {
        Now now;
        if (c->query) {
                c->query->other_kind_wanted = c->query->other_kind_wanted || others != c->query->others;
                return 0;
        }
        Query *q = calloc(1, sizeof(*q));
        if (!q)
                return -ENOMEM;
        int k = loop_timer_new(c->event, on_timer, q, "query", &q->timer);
        if (k < 0) {
                free(q);
                return k;
        }
        now_of_event(c->event, &now);
        q->client = c;
        q->transaction = transaction;
        q->others = others;
        q->server = others ? c->answered_server + 1 : 0;
        q->outcome = LOOKUP_GONE;
        q->began_at = now.boottime;
        q->rest = BUF_INIT(PAGE_BYTES_MAX);
        c->query = q;
        q->begin.run = run_begin;
        loop_thread_post(c->loop, &q->begin);
        return 0;
}

void query_free(Query *q) {
        if (!q)
                return;
        call_free(q->call);
        event_source_free(q->timer);
        buf_done(&q->rest);
        free(q);
}
