/* SPDX-License-Identifier: BSD-2-Clause */
#include "peerd/serve.h"

#include <bsd/sys/queue.h>
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "core/proto.h"
#include "io/conn.h"
#include "io/log.h"
#include "io/loop.h"

#define SERVER_NAME "p2pdi/" PACKAGE_VERSION

/* One connection of another peer. */
typedef struct Client {
        Message message;                /* brings it from the main loop and, when it is over, back */
        ServeThread *thread;
        int fd;                         /* until conn is made, which owns it then */
        Endpoint remote;
        Conn *conn;
        LIST_ENTRY(Client) link;
        unsigned n_refused;
        bool told;                      /* that the last document did not go out whole */
        /* The document being sent. */
        bool sending;
        Verb verb;
        uint32_t rfc;                   /* 0: the editor's index */
        uint64_t transaction, size;
        Digest digest;
        usec_t began_at;
} Client;

struct ServeThread {
        ServeConf conf;
        LoopThread *loop;
        sd_event *event;
        ConnConf conn_conf;
        bool stopping;
        LIST_HEAD(, Client) clients;
};

static void reply_with(Client *c, Verb verb, Reply *reply, const ConnBody *body) {
        _cleanup_buf_ Buf head = BUF_INIT(MSG_HEAD_MAX);
        Now now;

        now_of_event(c->thread->event, &now);
        reply->has_length = true;
        reply->close = reply->close || proto_status_closes(reply->status) || c->thread->stopping;
        if (proto_write_reply(&head, verb, reply, SERVER_NAME, now.realtime) == 0) {
                conn_reply(c->conn, buf_slice(&head), body, reply->close, NULL);
                return;
        }
        if (body->release)
                body->release(body->owner);
        if (body->fd >= 0)
                close(body->fd);
        conn_reply(c->conn, (Slice){}, NULL, true, NULL);       /* an empty head ends the connection */
}

/* Of a request that was read whole. */
static LogFields fields(const Client *c, const Request *request, const char *result) {
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

static void refuse(Client *c, Verb verb, const Request *request, unsigned status) {
        Reply reply = { .status = status, .transaction = request->transaction, .close = request->close };
        reply_with(c, verb, &reply, &CONN_NO_BODY);
}

/* ---- RFCQuery ---- */

static void log_query(Client *c, const Request *request, unsigned status, size_t n_bytes) {
        LogFields f = fields(c, request,
                             status == 304 ? "unchanged" : status == 503 ? "refused" : status == 500 ? "failed" : "ok");
        f.has_bytes = true;
        f.bytes = n_bytes;
        log_transaction(LOG_EVENT_NONE, &f,
                        status >= 500 ? "RFC index not sent: %u, %zu bytes." : "RFC index sent: %u, %zu bytes.", status,
                        n_bytes);
}

/* All own records, as encoded already: what everybody who has an older generation gets. */
static void reply_own_index(Client *c, const Request *request) {
        OwnIndex *own = documents_own_index(c->thread->conf.documents);
        bool same = request->if_generation.epoch == own->generation.epoch &&
                    request->if_generation.number == own->generation.number;
        Reply reply = {
                .status = same ? 304 : 200,
                .transaction = request->transaction,
                .close = request->close,
                .has_generation = true,
                .generation = own->generation,
                .has_index_digest = true,
                .index_digest = own->digest,
        };
        log_query(c, request, reply.status, same ? 0 : own->body.size);
        if (same) {
                own_index_unref(own);
                reply_with(c, VERB_RFC_INDEX, &reply, &CONN_NO_BODY);
                return;
        }
        reply.length = own->body.size;
        ConnBody body = { .memory = buf_slice(&own->body), .fd = -1, .release = own_index_unref, .owner = own };
        reply_with(c, VERB_RFC_INDEX, &reply, &body);
}

/* Own records and hearsay: of some numbers, or all that fits. */
static void reply_merged_index(Client *c, const Request *request) {
        Documents *d = c->thread->conf.documents;
        _cleanup_buf_ Buf b = BUF_INIT(PROTO_INDEX_BYTES_MAX);
        Reply reply = { .status = 200, .transaction = request->transaction, .close = request->close };
        Now now;

        now_of_event(c->thread->event, &now);
        OwnIndex *own = documents_own_index(d);
        if (request->rfcs.n_ranges == 0) {
                reply.has_generation = reply.has_index_digest = true;
                reply.generation = own->generation;
                reply.index_digest = own->digest;
        }
        int k = documents_encode(d, &request->rfcs, &now, &b);
        /* The digest is of the snapshot: own records that changed since are told by the next answer. */
        if (rfc_index_generation(documents_lock(d)).number != own->generation.number)
                reply.has_generation = reply.has_index_digest = false;
        documents_unlock(d);
        own_index_unref(own);
        if (k < 0) {
                (void) log_errno(LOG_LEVEL_ERR, k, "Could not encode the index");
                log_query(c, request, 500, 0);
                refuse(c, VERB_RFC_INDEX, request, 500);
                return;
        }
        log_query(c, request, 200, b.size);
        reply.length = b.size;
        ConnBody body = { .memory = buf_slice(&b), .fd = -1, .release = free, .owner = b.data };
        b = BUF_INIT(0);        /* the connection frees the bytes */
        reply_with(c, VERB_RFC_INDEX, &reply, &body);
}

static void answer_query(Client *c, const Request *request) {
        if (!documents_scanned(c->thread->conf.documents)) {
                Reply reply = {
                        .status = 503,
                        .transaction = request->transaction,
                        .close = request->close,
                        .retry_after_sec = 1,
                };
                log_query(c, request, 503, 0);
                reply_with(c, VERB_RFC_INDEX, &reply, &CONN_NO_BODY);
        } else if (request->has_if_generation)
                reply_own_index(c, request);
        else
                reply_merged_index(c, request);
}

/* ---- GetRFC ---- */

#define DOCUMENT_NAME_SIZE sizeof("RFC 2147483647")
static const char *document_name(uint32_t rfc, char ret[DOCUMENT_NAME_SIZE]) {
        if (rfc == 0)
                return strcpy(ret, "rfc-index.txt");
        snprintf(ret, DOCUMENT_NAME_SIZE, "RFC %u", rfc);
        return ret;
}

static void send_document(Client *c, const Request *request, const OwnDocument *document, int fd) {
        bool part = request->has_range && request->has_if_digest &&
                    digest_equal(&request->if_digest, &document->digest);
        Reply reply = {
                .status = part ? 206 : 200,
                .transaction = request->transaction,
                .close = request->close,
                .has_digest = true,
                .digest = document->digest,
                .title = slice_of(document->title),
                .last_modified = document->stamp.mtime_nsec > 0 ? (usec_t) document->stamp.mtime_nsec / 1000 : 0,
        };
        ConnBody body = { .fd = fd, .size = document->size };
        if (part && request->range_first >= document->size) {
                close(fd);
                reply.status = 416;
                reply_with(c, request->verb, &reply, &CONN_NO_BODY);
                return;
        }
        if (part) {
                body.offset = request->range_first;
                body.size = document->size - request->range_first;
                reply.has_content_range = true;
                reply.range_first = request->range_first;
                reply.range_last = document->size - 1;
                reply.range_size = document->size;
        }
        reply.length = body.size;
        c->sending = true;
        c->verb = request->verb;
        c->rfc = request->rfc;
        c->transaction = request->transaction;
        c->size = body.size;
        c->digest = document->digest;
        c->began_at = conn_request_at(c->conn);
        atomic_fetch_add(&c->thread->conf.counters->n_active, 1);
        reply_with(c, request->verb, &reply, &body);
}

/* 0, LIBRARY_NONE, -errno. */
static int open_document(Documents *d, const Request *request, OwnDocument *ret, int *ret_fd) {
        if (request->verb == VERB_GET_EDITOR_INDEX)
                return !documents_get_editor_index(d, ret) ? LIBRARY_NONE :
                       library_open_editor_index(documents_library(d), &ret->stamp, ret_fd);
        if (!documents_get(d, request->rfc, ret))
                return LIBRARY_NONE;
        int k = library_open(documents_library(d), request->rfc, &ret->stamp, ret_fd);
        if (k == LIBRARY_NONE)  /* changed or gone since it was hashed, and the watch has not told yet */
                documents_recheck(d, request->rfc, NULL, NULL);
        return k;
}

static void answer_get(Client *c, const Request *request) {
        char name[DOCUMENT_NAME_SIZE];
        OwnDocument document;
        int fd, k = open_document(c->thread->conf.documents, request, &document, &fd);

        if (k == 0) {
                send_document(c, request, &document, fd);
                return;
        }
        const LogFields f = fields(c, request, k < 0 ? "failed" : "not-held");
        ServeCounters *n = c->thread->conf.counters;
        atomic_fetch_add(k < 0 ? &n->n_unreadable : &n->n_not_held, 1);
        if (k < 0)
                (void) log_errno(LOG_LEVEL_ERR, k, "Could not open %s", document_name(request->rfc, name));
        log_transaction(LOG_EVENT_NONE, &f, "%s was asked for: %s.", document_name(request->rfc, name),
                        k < 0 ? "it can't be opened" : "it is not held");
        refuse(c, request->verb, request, k < 0 ? 500 : 404);
}

/* A document is out, or will never be. */
static void on_replied(Conn *conn, void *tag, bool ok, uint64_t n_sent, void *userdata) {
        Client *c = userdata;
        ServeCounters *n = c->thread->conf.counters;
        char name[DOCUMENT_NAME_SIZE];
        Now now;
        (void) tag;

        if (!c->sending)
                return;
        now_read(&now);
        LogFields f = {
                .transaction = c->transaction,
                .operation = verb_operation(c->verb),
                .result = ok ? "ok" : "broken",
                .peer = conn_remote(conn),
                .rfc = c->rfc,
                .sha256 = &c->digest,
                .has_size = true,
                .size = c->size,
                .has_bytes = true,
                .bytes = n_sent,
                .has_duration = true,
                .duration_usec = usec_sub(now.boottime, c->began_at),
        };
        atomic_fetch_sub(&n->n_active, 1);
        atomic_fetch_add(&n->n_upload_bytes, n_sent);
        atomic_fetch_add(ok ? &n->n_uploads : &n->n_failed, 1);
        if (ok)
                histogram_observe(&n->durations, f.duration_usec);
        log_transaction(LOG_EVENT_RFC_SERVED, &f, ok ? "%s served." : "%s was not taken whole.",
                        document_name(c->rfc, name));
        c->sending = false;
        c->told = !ok;
}

/* ---- requests ---- */

static void on_request(Conn *conn, const MsgHead *head, Slice bytes, void *userdata) {
        Client *c = userdata;
        _cleanup_request_ Request request = {};
        int k = 505;

        log_head(conn_remote(conn), bytes);
        if (head->version == MSG_P2PDI_1_0)     /* the HTTP face is not served */
                k = proto_parse_request(head, PROTO_PEER, &request);
        if (k == 0 && request.verb == VERB_RFC_INDEX)
                answer_query(c, &request);
        else if (k == 0)
                answer_get(c, &request);
        if (k == 0)
                return;

        Request unread = {};
        proto_peek(head, &unread.transaction, &unread.close);
        if (k > 0) {
                LogFields f = { .transaction = unread.transaction, .result = "refused", .peer = conn_remote(conn) };
                log_entry(LOG_LEVEL_WARNING, LOG_EVENT_MALFORMED, &f, "Request refused: %d %s.", k,
                          msg_phrase((unsigned) k));
                c->n_refused++;
                atomic_fetch_add(&c->thread->conf.counters->n_refused, 1);
        } else
                (void) log_errno(LOG_LEVEL_ERR, k, "Could not read a request");
        refuse(c, VERB_GET_RFC, &unread, k > 0 ? (unsigned) k : 500);
}

static void on_bad_request(Conn *conn, unsigned status, Slice bytes, void *userdata) {
        Client *c = userdata;
        Request unread = { .close = true };
        LogFields f = { .result = "refused", .peer = conn_remote(conn) };

        log_head(conn_remote(conn), bytes);
        log_entry(LOG_LEVEL_WARNING, LOG_EVENT_MALFORMED, &f, "Request refused: %u %s.", status, msg_phrase(status));
        c->n_refused++;
        atomic_fetch_add(&c->thread->conf.counters->n_refused, 1);
        refuse(c, VERB_GET_RFC, &unread, status);
}

/* ---- connections ---- */

/* In the main loop, which counts connections per source. */
static void run_release(Message *m) {
        Client *c = MESSAGE_OF(m, Client, message);
        const ServeConf *conf = &c->thread->conf;
        conf->on_released(&c->remote, c->n_refused, conf->userdata);
        free(c);
}

static void release(Client *c) {
        c->message.run = run_release;
        mailbox_post(c->thread->conf.main, &c->message);
}

static void on_end(Conn *conn, ConnEnd why, void *userdata) {
        Client *c = userdata;
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

static void run_take(Message *m) {
        Client *c = MESSAGE_OF(m, Client, message);
        int k = conn_new(c->thread->event, c->fd, &c->remote, &c->thread->conn_conf, &conn_handler, c, &c->conn);
        if (k < 0) {
                (void) log_errno(LOG_LEVEL_ERR, k, "Could not take a connection");
                release(c);
                return;
        }
        LIST_INSERT_HEAD(&c->thread->clients, c, link);
        if (c->thread->stopping)
                conn_stop(c->conn);
}

int serve_thread_take(ServeThread *t, int fd, const Endpoint *remote) {
        Client *c = calloc(1, sizeof(*c));
        if (!c)
                return -ENOMEM;
        *c = (Client){ .message = { .run = run_take }, .thread = t, .fd = fd, .remote = *remote };
        loop_thread_post(t->loop, &c->message);
        return 0;
}

/* ---- the thread ---- */

static ConnConf conn_conf_of(const PeerConf *settings) {
        return (ConnConf){
                .request_timeout = settings->common.request_timeout,
                .idle_timeout = settings->common.idle_timeout,
                .lifetime = USEC_INFINITY,
                .min_rate = settings->min_transfer_rate,
        };
}

static int setup(sd_event *e, void *userdata) {
        ServeThread *t = userdata;
        t->event = e;
        return 0;
}

int serve_thread_new(const ServeConf *conf, const PeerConf *settings, unsigned number, ServeThread **ret) {
        char name[16];
        ServeThread *t = calloc(1, sizeof(*t));
        if (!t)
                return -ENOMEM;
        t->conf = *conf;
        t->conn_conf = conn_conf_of(settings);
        LIST_INIT(&t->clients);
        snprintf(name, sizeof(name), "download-%u", number % 1000);
        int k = loop_thread_new(name, setup, t, &t->loop);
        if (k < 0) {
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
        Client *c;
        if (!t)
                return NULL;
        sd_event *e = sd_event_ref(t->event);   /* connections outlive the thread, not their loop */
        loop_thread_free(t->loop);
        while ((c = LIST_FIRST(&t->clients))) {
                LIST_REMOVE(c, link);
                conn_free(c->conn);
                free(c);
        }
        sd_event_unref(e);
        free(t);
        return NULL;
}

typedef struct Reconfigure {
        Message message;
        ServeThread *thread;
        ConnConf conf;
} Reconfigure;

static void run_reconfigure(Message *m) {
        Reconfigure *r = MESSAGE_OF(m, Reconfigure, message);
        r->thread->conn_conf = r->conf;
        free(r);
}

void serve_thread_reconfigure(ServeThread *t, const PeerConf *settings) {
        Reconfigure *r = calloc(1, sizeof(*r));
        if (!r) {
                log_warning("No memory to tell a download thread of the new settings: it goes on with the old ones.");
                return;
        }
        *r = (Reconfigure){ .message = { .run = run_reconfigure }, .thread = t, .conf = conn_conf_of(settings) };
        loop_thread_post(t->loop, &r->message);
}

typedef struct Stop {
        Message message;
        ServeThread *thread;
} Stop;

static void run_stop(Message *m) {
        Stop *s = MESSAGE_OF(m, Stop, message);
        Client *c, *next;
        s->thread->stopping = true;
        LIST_FOREACH_SAFE(c, &s->thread->clients, link, next)
                conn_stop(c->conn);
        free(s);
}

void serve_thread_stop(ServeThread *t) {
        Stop *s = calloc(1, sizeof(*s));
        if (!s)
                return;         /* the main loop has a deadline for all of this */
        *s = (Stop){ .message = { .run = run_stop }, .thread = t };
        loop_thread_post(t->loop, &s->message);
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
