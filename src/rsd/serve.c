/* SPDX-License-Identifier: BSD-2-Clause */
#include "rsd/rsd.h"

#include <errno.h>
#include <unistd.h>

#include "core/proto.h"
#include "core/text.h"
#include "io/log.h"

static const ConnHandler conn_handler;

#define SERVER_NAME "p2pdi/" PACKAGE_VERSION
#define EXPIRED_AT_ONCE 128

/*
 * A refused request counts. Who is over the rate must come again, which counts, too: else cookies could be guessed on a
 * connection that stays, as fast as they are read.
 */
static void charge(Client *c) {
        c->over_rate = !listener_charge(c->rsd->listener, conn_remote(c->conn));
}

/* A status that closes is given to who may still be sending, and so is an end that nobody asked for. */
static ConnAfter after_reply(const Client *c, const Reply *r) {
        if (proto_status_closes(r->status) || c->over_rate)
                return CONN_SHUTS_DOWN;
        return r->close ? CONN_ENDS : CONN_STAYS;
}

/* A head and what follows it, as one reply; nothing of it stays with the caller. */
static void send_reply(Client *c, Verb verb, const Reply *reply, Buf *body) {
        _cleanup_buf_ Buf head = BUF_INIT(MSG_HEAD_MAX);
        Now now;

        now_of_event(conn_event(c->conn), &now);
        Reply r = *reply;
        if (body && body->size > 0)
                r.length = body->size;
        r.has_length = true;
        r.close = r.close || c->over_rate;
        ConnBody follows = CONN_NO_BODY;
        char *owned = NULL;
        if (body && body->size > 0) {
                owned = body->data;
                follows = (ConnBody){ .memory = { owned, body->size }, .fd = -1, .release = free, .owner = owned };
                *body = BUF_INIT(body->max);    /* the connection frees the bytes */
        }
        if (proto_write_reply(&head, verb, &r, SERVER_NAME, now.realtime) != 0) {
                free(owned);
                conn_reply(c->conn, (Slice){}, NULL, CONN_SHUTS_DOWN, NULL);       /* an empty head ends the connection */
                return;
        }
        conn_reply(c->conn, buf_slice(&head), &follows, after_reply(c, &r), NULL);
}

/* How long the request that is being answered took. The turn's time is that at which it came. */
static usec_t duration_of(const Client *c) {
        return usec_sub(boottime_read(), conn_request_at(c->conn));
}

/* Of the request that is being answered. verb: NULL where it could not be read. */
static LogFields fields(const Client *c, const Verb *verb, uint64_t transaction, const char *result) {
        return (LogFields){
                .transaction = transaction,
                .operation = verb ? verb_operation(*verb) : NULL,
                .result = result,
                .peer = conn_remote(c->conn),
                .has_duration = true,
                .duration_usec = duration_of(c),
        };
}

static void log_refusal(Client *c, const Request *request, const RegistrarOutcome *outcome, const Reply *reply) {
        LogFields f = fields(c, &request->verb, request->transaction, "refused");
        f.peer_id = outcome->peer_id;
        LogEvent event = reply->status == 401 ? LOG_EVENT_RS_UNKNOWN_COOKIE :
                         reply->status == 503 ? LOG_EVENT_RS_FULL :
                         reply->status == 429 ? LOG_EVENT_SOURCE_LIMITED :
                                                LOG_EVENT_NONE;
        if (reply->status == 429)
                f.limit = "MaxPeersPerSource";
        if (reply->status == 503)
                f.limit = "MaxPeers";
        log_entry(LOG_LEVEL_WARNING, event, &f, "%s refused with %u: %s.", verb_operation(request->verb), reply->status,
                  registrar_refusal_text(outcome->refused));
}

/* Where the peer can be reached from now on, as listed; what it came from where that is not known. */
static Endpoint endpoint_of(const Rsd *r, const Client *c, const RegistrarOutcome *o) {
        PeerInfo info;
        if (o->peer_id > 0 && peer_list_get(r->list, o->peer_id, &info))
                return info.endpoint;
        return *conn_remote(c->conn);
}

static void log_done(Client *c, Verb verb, uint64_t transaction, const RegistrarOutcome *o) {
        const Endpoint peer = endpoint_of(c->rsd, c, o);
        char text[ENDPOINT_TEXT_SIZE] = "";
        LogFields f = fields(c, &verb, transaction, "ok");
        f.peer_id = o->peer_id;
        f.peer = &peer;
        if (verb == VERB_REGISTER || o->moved)
                endpoint_to_text(&peer, text);

        switch (verb) {
        case VERB_REGISTER:
                if (o->is_new)
                        log_transaction(LOG_EVENT_RS_REGISTERED, &f, "Peer %u registered at %s.", o->peer_id, text);
                else
                        log_transaction(LOG_EVENT_RS_RETURNED, &f, "Peer %u came back at %s.", o->peer_id, text);
                break;
        case VERB_LEAVE:
                log_transaction(LOG_EVENT_RS_LEFT, &f,
                                o->was_active ? "Peer %u left." : "Peer %u left, and was not active.", o->peer_id);
                break;
        case VERB_KEEPALIVE:
                log_transaction(LOG_EVENT_NONE, &f, "Peer %u renewed its lease.", o->peer_id);
                break;
        default:
                f.has_entries = true;
                f.entries_added = o->n_listed;
                log_transaction(LOG_EVENT_RS_LISTED, &f, "Peer %u was told of %u active peer%s.", o->peer_id,
                                o->n_listed, plural(o->n_listed));
        }
        if (o->moved)
                log_entry(LOG_LEVEL_WARNING, LOG_EVENT_RS_MOVED, &f,
                          "The cookie of peer %u came from another address than before, %s.",
                          o->peer_id, text);
}

static void reply_error(Client *c, unsigned status, uint64_t transaction, bool close) {
        Reply reply = { .status = status, .transaction = transaction, .close = close || proto_status_closes(status) };
        send_reply(c, VERB_PQUERY, &reply, NULL);
}

static void log_failure(Client *c, Verb verb, uint64_t transaction, int error) {
        const LogFields f = fields(c, &verb, transaction, "failed");
        log_entry(LOG_LEVEL_ERR, LOG_EVENT_NONE, &f, "%s failed on this host: %s.", verb_operation(verb), error_text(error));
}

/* A request that was read is being answered now: that is how long it took. */
static void count_answer(Client *c, Verb verb, const RegistrarOutcome *outcome, int error) {
        histogram_observe(&c->rsd->counters.request_duration, duration_of(c));
        rsd_count_request(c->rsd, verb, outcome, error);
}

/* Each number is a system call: no more than the verb may use. */
static void draw_random(Verb verb, RegistrarRandom *ret) {
        *ret = (RegistrarRandom){ .seed = verb == VERB_PQUERY ? random_u64() : 0 };
        if (verb == VERB_REGISTER)
                for (size_t i = 0; i < ELEMENTSOF(ret->cookies); i++)
                        ret->cookies[i] = random_range(PROTO_COOKIE_MAX);
}

static void answer(Client *c, const Request *request, const Now *now) {
        Rsd *r = c->rsd;
        _cleanup_buf_ Buf body = BUF_INIT(REGISTRAR_BODY_MAX);
        RegistrarOutcome outcome = {};
        RegistrarRandom random;
        Reply reply;

        /* Nobody is told of a peer whose lease has ended in this moment; else a bounded number will do. */
        while (peer_list_next_expiry(r->list) <= now->boottime) {
                serve_expire(r, now);
                if (request->verb != VERB_PQUERY)
                        break;
        }
        draw_random(request->verb, &random);
        int k = registrar_handle(r->list, &r->registrar, request, &conn_remote(c->conn)->address, now, &random, &reply,
                                 &body, &outcome);
        if (k < 0) {
                count_answer(c, request->verb, &outcome, k);
                log_failure(c, request->verb, request->transaction, k);
                reply_error(c, 500, request->transaction, true);
                return;
        }
        (void) serve_arm_expiry(r);

        if (outcome.refused) {
                log_refusal(c, request, &outcome, &reply);
                charge(c);
        }
        if (outcome.durable) {
                c->verb = request->verb;
                c->reply = reply;
                c->outcome = outcome;
                commit_wait(r, c);
                return;
        }
        count_answer(c, request->verb, &outcome, 0);
        if (!outcome.refused)
                log_done(c, request->verb, request->transaction, &outcome);
        send_reply(c, request->verb, &reply, &body);
}

void serve_release(Client *c, int error) {
        c->state = CLIENT_IDLE;
        count_answer(c, c->verb, &c->outcome, error);
        if (error < 0) {
                log_failure(c, c->verb, c->reply.transaction, error);
                reply_error(c, 500, c->reply.transaction, true);
        } else {
                log_done(c, c->verb, c->reply.transaction, &c->outcome);
                send_reply(c, c->verb, &c->reply, NULL);
        }
}

static void on_request(Conn *conn, const MsgHead *head, Slice bytes, void *userdata) {
        Client *c = userdata;
        _cleanup_request_ Request request = {};
        Now now;

        log_head(conn_remote(conn), bytes);
        now_of_event(c->rsd->event, &now);
        int k = proto_parse_request(head, PROTO_REGISTRATION, &request);
        if (k == 0) {
                answer(c, &request, &now);
                return;
        }
        uint64_t transaction = 0;
        bool close = false;
        proto_peek(head, &transaction, &close);
        if (k > 0) {
                const LogFields f = fields(c, NULL, transaction, "refused");
                log_entry(LOG_LEVEL_WARNING, LOG_EVENT_MALFORMED, &f, "Request refused: %d %s.", k,
                          msg_phrase((unsigned) k));
                c->rsd->counters.refused[RSD_REFUSAL_MALFORMED]++;
                charge(c);
        } else
                (void) log_errno(LOG_LEVEL_ERR, k, "Could not read a request");
        reply_error(c, k > 0 ? (unsigned) k : 500, transaction, close || k < 0);
}

static void on_bad_request(Conn *conn, unsigned status, Slice bytes, void *userdata) {
        Client *c = userdata;
        LogFields f = { .result = "refused", .peer = conn_remote(conn) };

        log_head(conn_remote(conn), bytes);
        log_entry(LOG_LEVEL_WARNING, LOG_EVENT_MALFORMED, &f, "Request refused: %u %s.", status, msg_phrase(status));
        c->rsd->counters.refused[RSD_REFUSAL_MALFORMED]++;
        charge(c);
        reply_error(c, status, 0, true);
}

static void on_replied(Conn *conn, void *tag, bool ok, uint64_t n_sent, void *userdata) {
        (void) conn;
        (void) tag;
        (void) ok;
        (void) n_sent;
        (void) userdata;
}

static void on_end(Conn *conn, ConnEnd why, void *userdata) {
        Client *c = userdata;
        if (why == CONN_BROKEN || why == CONN_TOO_SLOW) {
                const LogFields f = { .result = why == CONN_BROKEN ? "broken" : "too-slow", .peer = conn_remote(conn) };
                log_transaction(LOG_EVENT_NONE, &f, "A connection ended in the middle of a request or of its answer.");
        }
        if (why == CONN_FAILED)
                log_warning("A connection ended because this host could not go on with it.");
        listener_released(c->rsd->listener, conn_remote(conn));
        c->conn = NULL;         /* freed by whoever called */
        client_free(c);
}

static const ConnHandler conn_handler = {
        .on_request = on_request,
        .on_bad_request = on_bad_request,
        .on_replied = on_replied,
        .on_end = on_end,
};

void client_free(Client *c) {
        Rsd *r = c->rsd;
        if (c->conn) {
                listener_released(r->listener, conn_remote(c->conn));
                conn_free(c->conn);
        }
        if (c->state != CLIENT_IDLE)    /* nobody waits for the answer any more, but it is registered */
                rsd_count_request(r, VERB_REGISTER, &c->outcome, 0);
        if (c->state == CLIENT_WAITING)
                TAILQ_REMOVE(&r->waiting, c, wait_link);
        else if (c->state == CLIENT_COMMITTING)
                TAILQ_REMOVE(&r->committing, c, wait_link);
        TAILQ_REMOVE(&r->clients, c, link);
        free(c);
        if (r->stopping && TAILQ_EMPTY(&r->clients))
                (void) sd_event_exit(r->event, 0);
}

static void on_connection(int fd, const Endpoint *remote, void *userdata) {
        Rsd *r = userdata;
        Client *c = calloc(1, sizeof(*c));
        if (!c) {
                (void) log_errno(LOG_LEVEL_ERR, -ENOMEM, "Could not take a connection");
                close(fd);
                listener_released(r->listener, remote);
                return;
        }
        c->rsd = r;
        int k = conn_new(r->poller, fd, remote, &r->conn_conf, &conn_handler, c, &c->conn);
        if (k < 0) {
                (void) log_errno(LOG_LEVEL_ERR, k, "Could not take a connection");
                listener_released(r->listener, remote);
                free(c);
                return;
        }
        TAILQ_INSERT_TAIL(&r->clients, c, link);
        conn_start(c->conn);    /* c may be gone */
}

static void on_refused(int fd, const Endpoint *remote, ListenerRefusal why, void *userdata) {
        rsd_count_refused_connection(userdata, why);
        daemon_log_refused(remote, why);
        if (fd < 0)
                return;
        _cleanup_buf_ Buf head = BUF_INIT(MSG_HEAD_MAX);
        Now now;
        now_read(&now);
        Reply reply = {
                .status = listener_refusal_is_full(why) ? 503 : 429,
                .close = true,
                .retry_after_sec = 5,
                .has_length = true,
        };
        if (proto_write_reply(&head, VERB_PQUERY, &reply, SERVER_NAME, now.realtime) == 0)
                conn_send_refusal(fd, buf_slice(&head));
}

const ListenerHandler serve_listener_handler = {
        .on_connection = on_connection,
        .on_refused = on_refused,
};

int serve_arm_expiry(Rsd *r) {
        return loop_timer_set(r->expiry_timer, peer_list_next_expiry(r->list));
}

void serve_expire(Rsd *r, const Now *now) {
        uint32_t id;
        bool forgotten;

        /* A bounded number a turn: after a long suspend everybody expires at once, and each costs a log entry. */
        for (unsigned n = 0; n < EXPIRED_AT_ONCE && peer_list_expire(r->list, now, &id, &forgotten); n++) {
                PeerInfo info;
                if (forgotten || !peer_list_get(r->list, id, &info))
                        continue;
                r->counters.expired++;
                LogFields f = { .operation = "expire", .result = "ok", .peer_id = id, .peer = &info.endpoint };
                char text[ENDPOINT_TEXT_SIZE];
                endpoint_to_text(&info.endpoint, text);
                log_entry(LOG_LEVEL_NOTICE, LOG_EVENT_RS_EXPIRED, &f, "The lease of peer %u at %s has ended.", id,
                          text);
        }
        (void) serve_arm_expiry(r);
}
