/* SPDX-License-Identifier: BSD-2-Clause */
/* Asking for an index, and how that ends. */
#include "peerd/pull-internal.h"

#include <errno.h>

#include "io/log.h"
#include "io/loop.h"

/* Numbers of one request: a head is at most 8 KiB, a range at most 22 bytes. */
#define NUMBERS_MAX 256

/* ---- the end of a pull ---- */

/* By what came; where nothing did, all of it was asked for. */
static PeerdPullKind kind_of(const Pull *p) {
        return p->kind == PULL_NUMBERS    ? PEERD_PULL_NUMBERS :
               p->reply.status == 226     ? PEERD_PULL_DELTA :
               p->reply.status == 304     ? PEERD_PULL_UNCHANGED :
                                            PEERD_PULL_FULL;
}

static const char *kind_name(PeerdPullKind kind) {
        static const char *const names[] = {
#define NAME(id, name) name,
                PEERD_PULL_KINDS(NAME)
#undef NAME
        };
        return names[kind];
}

void pull_end(Pull *p, LookupOutcome outcome, const char *result, const IndexMergeResult *merged) {
        Client *c = p->client;
        const PeerdPullKind kind = kind_of(p);
        LogFields f = {
                .transaction = p->transaction,
                .operation = "get-index",
                .result = result,
                .peer = &p->peer,
                .has_bytes = true,
                .bytes = p->n_bytes,
                .has_entries = merged != NULL,
                .entries_added = merged ? merged->n_added : 0,
                .entries_removed = merged ? merged->n_removed : 0,
                .has_generation = p->reply.has_generation,
                .generation = p->reply.generation.number,
                .epoch = p->reply.generation.epoch,
        };
        Now now;

        now_of_event(c->event, &now);
        f.has_duration = true;
        f.duration_usec = usec_sub(now.boottime, p->began_at);
        if (p->refused)
                log_entry(LOG_LEVEL_WARNING, LOG_EVENT_INDEX_REFUSED, &f, "Index refused: %s.", p->refused);
        else if (merged)
                log_transaction(LOG_EVENT_INDEX_PULLED, &f, "Index pulled: %zu new, %zu gone, %zu confirmed (%s).",
                                merged->n_added, merged->n_removed, merged->n_confirmed, kind_name(kind));
        else
                log_transaction(LOG_EVENT_INDEX_PULLED, &f, "Index not pulled: %s.", result);

        client_count_pull(c, kind, result);
        if (merged && merged->n_added + merged->n_removed > 0)
                disputes_stir(c->disputes);

        /* Gone before anybody hears of the end: they may ask again at once. What is told may be part of it. */
        const IndexMergeResult copy = merged ? *merged : (IndexMergeResult){};
        const Endpoint peer = p->peer;
        _cleanup_rfc_set_ RfcSet set = p->set;
        p->set = (RfcSet){};
        pull_free(p);
        pull_arm_expiry(c);
        if (kind == PEERD_PULL_NUMBERS)
                operations_pull_done(c, &peer, &set, outcome, result);
        else {
                refresh_pull_done(c, &peer, result, merged ? kind_name(kind) : NULL, merged ? &copy : NULL);
                background_pull_done(c->background, &peer, outcome == LOOKUP_BUSY);
        }
}

/* ---- the answer ---- */

/* By If-Generation:, be it 0.0. */
static bool asks_for_own(const Pull *p) {
        return p->asked.epoch > 0 || p->own_only;
}

static const char TOO_LARGE[] = "it is over 65536 records or 16 MiB";

static int on_reply(Call *call, const Reply *reply, Slice bytes, void *userdata) {
        Pull *p = userdata;
        Client *c = p->client;
        Now now;

        log_head(call_remote(call), bytes);
        now_of_event(c->event, &now);
        holders_answered(c->holders, &p->peer, call_rtt(call), &now);
        p->reply = *reply;
        p->reply.title = (Slice){};             /* it points into bytes */
        p->sent_at = call_sent_at(call);
        /* What a delta leads to must be what its digest says: one without is of no use. */
        bool delta = reply->status == 226 && p->asked.epoch > 0 && reply->generation.epoch == p->asked.epoch &&
                     reply->has_index_digest;
        if (reply->status != 200 && !delta)
                return reply->length > 0 ? -ECANCELED : 0;
        if (reply->length > PROTO_INDEX_BYTES_MAX) {
                p->refused = TOO_LARGE;
                return -ECANCELED;
        }
        const IndexMergeConf conf = {
                .kind = delta                   ? INDEX_MERGE_DELTA :
                        p->kind == PULL_NUMBERS ? INDEX_MERGE_SET :
                        asks_for_own(p)         ? INDEX_MERGE_OWN :
                                                  INDEX_MERGE_ALL,
                .source = p->peer,
                .set = p->kind == PULL_NUMBERS ? &p->set : NULL,
                .self = c->self,
                .n_self = c->n_self,
                .sent_at = p->sent_at,
        };
        return index_merge_new(&conf, &p->merge);
}

static int on_body(Call *call, Slice bytes, void *userdata) {
        Pull *p = userdata;
        (void) call;
        p->n_bytes += bytes.size;
        atomic_fetch_add(&p->client->counters.n_index_bytes, bytes.size);
        int k = p->merge ? index_merge_feed(p->merge, bytes) : -ECANCELED;
        if (k == RFC_INDEX_TOO_LARGE)
                p->refused = TOO_LARGE;
        else if (k > 0)
                p->refused = "a line is malformed, double or out of order";
        return k > 0 ? -ECANCELED : k;
}

static void answered_otherwise(Pull *p) {
        switch (p->reply.status) {
        case 304:                       /* proves nothing where no generation was asked about */
                if (p->asked.epoch == 0)
                        break;
                pull_check(p);
                return;
        case 226:                       /* no usable one: asked for all of it instead */
                if (p->asked.epoch == 0)
                        break;
                pull_ask_again(p);
                return;
        case 404:
                pull_end(p, LOOKUP_EMPTY, "not-held", NULL);
                return;
        case 503:
                if (p->reply.retry_after_sec == 0 || p->reply.retry_after_sec > LOOKUP_BUSY_USEC / USEC_PER_SEC)
                        break;
                pull_end(p, LOOKUP_BUSY, "busy", NULL);
                return;
        }
        pull_end(p, LOOKUP_GONE, p->reply.status < 400 ? "malformed" : "refused", NULL);
}

static void on_end(Call *call, CallEnd end, int error, void *userdata) {
        Pull *p = userdata;
        Client *c = p->client;
        Endpoint own;

        if (call_local(call, &own))
                client_add_self(c, &own.address);
        p->call = NULL;
        ask_gate_leave(&c->gate, &p->pass);
        if (end == CALL_FAILED)
                (void) log_errno(LOG_LEVEL_ERR, error, "Could not ask for an index");
        if (end == CALL_BAD && !p->refused)
                p->refused = "the answer does not follow the protocol";
        if (p->refused && p->merge)     /* whatever came before the bad line is no part of a list */
                p->merge = index_merge_free(p->merge);
        if (end == CALL_OK && p->merge)
                pull_merge(p);
        else if (!p->refused && !p->merge && p->reply.status > 0 && p->reply.status != 200)
                answered_otherwise(p);
        else {
                if (end == CALL_REFUSED || end == CALL_TIMEOUT)
                        holders_failed(c->holders, &p->peer);
                pull_end(p, LOOKUP_GONE, p->refused ? "malformed" : call_end_name(end), NULL);
        }
}

/* ---- asking ---- */

static void fill_request(const Pull *p, Request *r) {
        client_fill_request(r, VERB_RFC_INDEX, p->transaction);
        r->has_if_generation = asks_for_own(p);
        r->if_generation = p->asked;
        r->rfcs = p->set;                       /* lent */
}

/* It may begin, or send its request. */
static void on_pass(AskPass *pass) {
        Pull *p = MESSAGE_OF(pass, Pull, pass);
        if (p->call)
                call_go(p->call);
        else
                loop_thread_post(p->client->loop, &p->message);
}

/* Whoever has joined while the connection was made asks with it. */
static int on_ready(Call *call, void *userdata) {
        Pull *p = userdata;
        Client *c = p->client;
        Request request;

        if (p->kind == PULL_NUMBERS && !p->sent) {
                fill_request(p, &request);
                int k = call_set_request(call, &request);
                if (k < 0)
                        return k;
                operations_pull_connected(c, &p->peer, &p->set);
        }
        p->sent = true;
        return ask_gate_ask(&c->gate, &p->pass) ? 0 : CALL_HOLD;
}

static const CallHandler handler = {
        .on_reply = on_reply,
        .on_body = on_body,
        .on_end = on_end,
        .on_ready = on_ready,
};

static void run_begin(Message *m) {
        Pull *p = MESSAGE_OF(m, Pull, message);
        Client *c = p->client;
        Request request;
        Now now;

        now_of_event(c->event, &now);
        if (p->refused) {
                pull_end(p, LOOKUP_GONE, "quarantined", NULL);
                return;
        }
        if (!ask_gate_dial(&c->gate, &p->pass))
                return;
        p->began_at = now.boottime;
        fill_request(p, &request);
        const CallConf *conf = p->kind == PULL_NUMBERS ? &c->settings.ask : &c->settings.call;
        int k = call_new(c->event, &p->peer, &request, conf, &handler, p, &p->call);
        if (k < 0) {
                (void) log_errno(LOG_LEVEL_ERR, k, "Could not ask for an index");
                pull_end(p, LOOKUP_GONE, "failed", NULL);
        }
}

void pull_ask_again(Pull *p) {
        p->asked = (Generation){};
        p->own_only = true;
        p->reply = (Reply){};
        p->merge = index_merge_free(p->merge);
        p->merged = (IndexMergeResult){};
        EVP_MD_CTX_free(p->check);
        p->check = NULL;
        p->checked = 0;
        p->message.run = run_begin;
        loop_thread_post(p->client->loop, &p->message);
}

static Pull *pull_new(Client *c, const Endpoint *peer, PullKind kind, uint64_t transaction) {
        Pull *p = calloc(1, sizeof(*p));
        Now now;
        if (!p)
                return NULL;
        p->client = c;
        p->peer = *peer;
        p->kind = kind;
        p->transaction = transaction;
        p->message.run = run_begin;
        p->pass.go = on_pass;
        now_of_event(c->event, &now);
        p->began_at = now.boottime;
        TAILQ_INSERT_TAIL(&c->pulls, p, link);
        loop_thread_post(c->loop, &p->message);
        return p;
}

int pull_number(Client *c, const Endpoint *peer, uint32_t number, uint64_t transaction) {
        const RfcRange range = { number, number };
        Pull *p;
        int k;

        TAILQ_FOREACH(p, &c->pulls, link)
                if (p->kind == PULL_NUMBERS && !p->sent && endpoint_equal(&p->peer, peer) &&
                    p->set.n_ranges < NUMBERS_MAX)
                        break;
        if (!p)
                p = pull_new(c, peer, PULL_NUMBERS, transaction);
        k = p ? rfc_set_add(&p->set, range) : -ENOMEM;
        return MIN_OF(k, 0);    /* "too many" can't be: see NUMBERS_MAX */
}

static int pull_whole(Client *c, const Endpoint *peer, uint64_t transaction, bool own_only) {
        HolderInfo info;
        Pull *p;

        TAILQ_FOREACH(p, &c->pulls, link)
                if (p->kind == PULL_INDEX && endpoint_equal(&p->peer, peer))
                        return 0;       /* its end is told to all who asked */
        p = pull_new(c, peer, PULL_INDEX, transaction);
        if (!p)
                return -ENOMEM;
        p->own_only = own_only;
        /* A 304 would not bring back what is lost of it here. */
        if (rfc_index_is_whole(documents_lock(c->conf.documents), peer) && holders_get(c->holders, peer, &info))
                p->asked = info.generation;
        documents_unlock(c->conf.documents);
        return 0;
}

int pull_index(Client *c, const Endpoint *peer, uint64_t transaction) {
        return pull_whole(c, peer, transaction, false);
}

int pull_own_index(Client *c, const Endpoint *peer, uint64_t transaction) {
        return pull_whole(c, peer, transaction, true);
}

void pulls_distrust(Client *c, const Endpoint *peer) {
        Pull *p;
        TAILQ_FOREACH(p, &c->pulls, link)
                if (endpoint_equal(&p->peer, peer))
                        p->refused = "its source is quarantined";
}

void pull_free(Pull *p) {
        TAILQ_REMOVE(&p->client->pulls, p, link);
        p->call = call_free(p->call);
        ask_gate_leave(&p->client->gate, &p->pass);
        index_merge_free(p->merge);
        EVP_MD_CTX_free(p->check);
        rfc_set_done(&p->set);
        free(p);
}
