/* SPDX-License-Identifier: BSD-2-Clause */
#include "peerd/serve.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "peerd/serve-internal.h"

#define WAKE_EVERY 64

/* ---- requests ---- */

void serve_give_up(ServeClient *c, const ConnBody *body) {
        ConnBody unsent = *body;

        serve_drop_body(&unsent);
        conn_reply(c->conn, (Slice){}, NULL, CONN_SHUTS_DOWN, NULL);       /* an empty head ends the connection */
}

ConnAfter serve_after(const ServeClient *c, unsigned status, bool close) {
        /* Who is told so may still be sending. */
        if (proto_status_closes(status) || c->thread->stopping)
                return CONN_SHUTS_DOWN;
        return close ? CONN_ENDS : CONN_STAYS;
}

void serve_reply(ServeClient *c, Verb verb, Reply *reply, const ConnBody *body) {
        _cleanup_buf_ Buf head = BUF_INIT(MSG_HEAD_MAX);
        Now now;

        now_of_event(c->thread->event, &now);
        reply->has_length = true;
        const ConnAfter after = serve_after(c, reply->status, reply->close);
        reply->close = after != CONN_STAYS;
        if (proto_write_reply(&head, verb, reply, SERVER_NAME, now.realtime) == 0)
                conn_reply(c->conn, buf_slice(&head), body, after, NULL);
        else
                serve_give_up(c, body);
}

LogFields serve_fields(const ServeClient *c, const Request *request, const char *result) {
        Now now;
        now_read(&now);         /* the turn's time is that at which the request came */
        return (LogFields){
                .transaction = request->transaction,
                .operation = verb_operation(request->verb),
                .result = result,
                .peer = conn_remote(c->conn),
                .rfc = request->rfc,
                .has_duration = true,
                .duration_usec = usec_sub(now.boottime, conn_request_at(c->conn)),
        };
}

void serve_refuse(ServeClient *c, Verb verb, const Request *request, unsigned status) {
        Reply reply = {
                .status = status,
                .transaction = request->transaction,
                .close = request->close,
                .retry_after_sec = status == 503,
        };
        serve_reply(c, verb, &reply, &CONN_NO_BODY);
}

void serve_count_refused(ServeClient *c, uint64_t transaction, unsigned status, const char *phrase, const char *why) {
        LogFields f = { .transaction = transaction, .result = "refused", .peer = conn_remote(c->conn) };
        log_entry(LOG_LEVEL_WARNING, LOG_EVENT_MALFORMED, &f, "Request refused: %u %s.%s%s", status, phrase,
                  *why ? " " : "", why);
        c->n_refused++;
        atomic_fetch_add(&c->thread->conf.counters->n_malformed, 1);
}

static bool is_http(MsgVersion version) {
        return version == MSG_HTTP_1_0 || version == MSG_HTTP_1_1 || version == MSG_HTTP_OTHER;
}

static void on_request(Conn *conn, const MsgHead *head, Slice bytes, void *userdata) {
        ServeClient *c = userdata;
        _cleanup_request_ Request request = {};

        log_head(conn_remote(conn), bytes);
        if (is_http(head->version)) {
                serve_http(c, head);
                return;
        }
        int k = proto_parse_request(head, PROTO_PEER, &request);
        if (k == 0 && request.verb == VERB_RFC_INDEX)
                serve_query(c, &request);
        else if (k == 0)
                serve_document(c, &request);
        if (k == 0)
                return;

        Request unread = {};
        proto_peek(head, &unread.transaction, &unread.close);
        if (k > 0)
                serve_count_refused(c, unread.transaction, (unsigned) k, msg_phrase((unsigned) k), "");
        else
                (void) log_errno(LOG_LEVEL_ERR, k, "Could not read a request");
        serve_refuse(c, VERB_GET_RFC, &unread, k > 0 ? (unsigned) k : 500);
}

static void on_bad_request(Conn *conn, unsigned status, Slice bytes, void *userdata) {
        ServeClient *c = userdata;
        Request unread = { .close = true };

        log_head(conn_remote(conn), bytes);
        if (is_http(msg_spoken_version(bytes))) {
                serve_http_bad_request(c, status, bytes);
                return;
        }
        serve_count_refused(c, 0, status, msg_phrase(status), "");
        serve_refuse(c, VERB_GET_RFC, &unread, status);
}

/* A document is out, or will never be. */
static void on_replied(Conn *conn, void *tag, bool ok, uint64_t n_sent, void *userdata) {
        ServeClient *c = userdata;
        (void) conn;
        (void) tag;

        if (c->sending)
                serve_document_sent(c, ok, n_sent);
}

/* ---- connections ---- */

static void count_released(const ServeConf *conf, ServeClient *c) {
        conf->on_released(&c->remote, c->n_refused, conf->userdata);
        free(c);
}

void serve_collect(const ServeConf *conf) {
        ServeClient *c = atomic_exchange(&conf->released->last, NULL), *next;

        for (; c; c = next) {
                next = c->next;
                count_released(conf, c);
        }
}

static void run_release(Message *m) {
        ServeClient *c = MESSAGE_OF(m, ServeClient, message);
        const ServeConf *conf = &c->thread->conf;

        count_released(conf, c);
        serve_collect(conf);
}

/* Each WAKE_EVERYth wakes the main loop, so that not much memory waits for it; and each one where it waits for the last. */
static void release(ServeClient *c) {
        ServeReleased *r = c->thread->conf.released;

        if (c->thread->stopping || (atomic_fetch_add(&r->n, 1) + 1) % WAKE_EVERY == 0) {
                c->message.run = run_release;
                mailbox_post(c->thread->conf.main, &c->message);
                return;
        }
        c->next = atomic_load(&r->last);
        while (!atomic_compare_exchange_weak(&r->last, &c->next, c))
                ;
}

static void on_end(Conn *conn, ConnEnd why, void *userdata) {
        ServeClient *c = userdata;
        if ((why == CONN_BROKEN || why == CONN_TOO_SLOW) && !c->told) {
                const LogFields f = { .result = why == CONN_BROKEN ? "broken" : "too-slow", .peer = conn_remote(conn) };
                log_transaction(LOG_EVENT_NONE, &f, "A connection ended in the middle of a request or of its answer.");
        }
        if (why == CONN_FAILED) {
                log_warning("A connection ended because this host could not go on with it.");
                /* Was the file cut short while it was sent? truncate() alone wakes no watch. */
                if (c->rfc > 0)
                        documents_recheck(c->thread->conf.documents, c->rfc, NULL, NULL);
        }
        LIST_REMOVE(c, link);
        release(c);
}

static const ConnHandler conn_handler = {
        .on_request = on_request,
        .on_bad_request = on_bad_request,
        .on_replied = on_replied,
        .on_end = on_end,
};

static void begin(ServeClient *c) {
        int k = conn_new(c->thread->poller, c->fd, &c->remote, &c->thread->conn_conf, &conn_handler, c, &c->conn);
        if (k < 0) {
                (void) log_errno(LOG_LEVEL_ERR, k, "Could not take a connection");
                release(c);
                return;
        }
        LIST_INSERT_HEAD(&c->thread->clients, c, link);
        if (c->thread->stopping)
                conn_stop(c->conn);
        conn_start(c->conn);    /* c may be gone */
}

static void run_take(Message *m) {
        ServeClient *c = MESSAGE_OF(m, ServeClient, message), *next;

        for (; c; c = next) {
                next = c->next;
                begin(c);
        }
}

int serve_thread_take(ServeThread *t, int fd, const Endpoint *remote) {
        ServeClient *c = calloc(1, sizeof(*c));
        if (!c)
                return -ENOMEM;
        *c = (ServeClient){ .message = { .run = run_take }, .thread = t, .fd = fd, .remote = *remote, .next = t->taken };
        t->taken = c;
        return 0;
}

void serve_thread_hand_over(ServeThread *t) {
        if (t->taken)
                loop_thread_post(t->loop, &t->taken->message);
        t->taken = NULL;
}

/* ---- the thread ---- */

static ConnConf conn_conf_of(const PeerConf *settings, Pace *pace) {
        return (ConnConf){
                .request_timeout = settings->common.request_timeout,
                .idle_timeout = settings->common.idle_timeout,
                .lifetime = USEC_INFINITY,
                .min_rate = settings->min_transfer_rate,
                .pace = pace,
        };
}

static int on_idle_files(sd_event_source *source, uint64_t usec, void *userdata) {
        ServeThread *t = userdata;
        Now now;
        (void) source;
        (void) usec;

        now_of_event(t->event, &now);
        t->files_watched = false;
        if (serve_cache_close_idle(t->cache, &now))
                serve_watch_files(t, &now);
        return 0;
}

void serve_watch_files(ServeThread *t, const Now *now) {
        if (!t->files_watched)
                (void) loop_timer_set(t->idle_files, usec_add(now->boottime, SERVE_CACHE_FILE_USEC));
        t->files_watched = true;
}

static int setup(sd_event *e, void *userdata) {
        ServeThread *t = userdata;
        t->event = e;
        int k = loop_timer_new(e, on_idle_files, t, "idle-files", &t->idle_files);
        return k < 0 ? k : poller_new(e, &t->poller);
}

int serve_thread_new(const ServeConf *conf, const PeerConf *settings, unsigned number, ServeThread **ret) {
        char name[16];
        ServeThread *t = calloc(1, sizeof(*t));
        if (!t)
                return -ENOMEM;
        t->conf = *conf;
        t->conn_conf = conn_conf_of(settings, conf->pace);
        LIST_INIT(&t->clients);
        snprintf(name, sizeof(name), "download-%u", number % 1000);
        int k = serve_cache_new(conf->documents, settings->cache_size / conf->n_threads,
                                SERVE_CACHE_FILES_MAX / conf->n_threads, &t->cache);
        if (k == 0)
                k = loop_thread_new(name, setup, t, &t->loop);
        if (k < 0) {
                poller_free(t->poller);
                event_source_free(t->idle_files);
                serve_cache_free(t->cache);
                free(t);
                return k;
        }
        *ret = t;
        return 0;
}

void serve_thread_halt(ServeThread *t) {
        loop_thread_stop(t->loop);
}

ServeThread *serve_thread_free(ServeThread *t) {
        ServeClient *c;
        if (!t)
                return NULL;
        sd_event *e = sd_event_ref(t->event);   /* connections outlive the thread, not their loop */
        loop_thread_free(t->loop);
        while ((c = LIST_FIRST(&t->clients))) {
                LIST_REMOVE(c, link);
                conn_free(c->conn);
                free(c);
        }
        poller_free(t->poller);
        event_source_free(t->idle_files);
        serve_cache_free(t->cache);
        sd_event_unref(e);
        free(t);
        return NULL;
}

typedef struct Reconfigure {
        Message message;
        ServeThread *thread;
        ConnConf conf;
        uint64_t cache_max;
} Reconfigure;

static void run_reconfigure(Message *m) {
        Reconfigure *r = MESSAGE_OF(m, Reconfigure, message);
        ServeClient *c;
        r->thread->conn_conf = r->conf;
        serve_cache_set_max(r->thread->cache, r->cache_max);
        LIST_FOREACH(c, &r->thread->clients, link)
                conn_pace_changed(c->conn);
        free(r);
}

void serve_thread_reconfigure(ServeThread *t, const PeerConf *settings) {
        Reconfigure *r = calloc(1, sizeof(*r));
        if (!r) {
                log_warning("No memory to tell a download thread of the new settings: it goes on with the old ones.");
                return;
        }
        *r = (Reconfigure){
                .message = { .run = run_reconfigure },
                .thread = t,
                .conf = conn_conf_of(settings, t->conf.pace),
                .cache_max = settings->cache_size / t->conf.n_threads,
        };
        loop_thread_post(t->loop, &r->message);
}

/* In the main loop: what was over before the thread stopped has woken nobody. */
static void run_stopping(Message *m) {
        ServeThread *t = MESSAGE_OF(m, ServeThread, stop);

        serve_collect(&t->conf);
}

static void run_stop(Message *m) {
        ServeThread *t = MESSAGE_OF(m, ServeThread, stop);
        ServeClient *c, *next;
        t->stopping = true;
        LIST_FOREACH_SAFE(c, &t->clients, link, next)
                conn_stop(c->conn);
        m->run = run_stopping;
        mailbox_post(t->conf.main, m);
}

void serve_thread_stop(ServeThread *t) {
        t->stop.run = run_stop;
        loop_thread_post(t->loop, &t->stop);
}

void serve_thread_ping(ServeThread *t, Message *m) {
        loop_thread_post(t->loop, m);
}

int serve_write_refusal(Buf *b, unsigned status) {
        Reply reply = { .status = status, .close = true, .retry_after_sec = 5, .has_length = true };
        Now now;
        now_read(&now);
        return proto_write_reply(b, VERB_GET_RFC, &reply, SERVER_NAME, now.realtime);
}
