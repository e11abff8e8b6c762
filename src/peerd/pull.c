/* SPDX-License-Identifier: BSD-2-Clause */
#include "peerd/client-internal.h"

#include <errno.h>
#include <openssl/evp.h>

#include "io/log.h"
#include "io/loop.h"

/* Records put into the index per hold of the lock: some 150 µs, and up to 1 ms where for each of them another one goes. */
#define MERGE_SLICE 256
#define EXPIRE_SLICE 512
/* Numbers looked at per hold of the lock, each of them written out if the peer holds it. */
#define CHECK_SLICE 512
/* Numbers of one request: a head is at most 8 KiB, a range at most 22 bytes. */
#define NUMBERS_MAX 256

typedef enum PullKind {
        PULL_NUMBERS,                           /* RFC: of some numbers */
        PULL_INDEX,                             /* its own records if they have changed, or all that it has */
} PullKind;

struct Pull {
        TAILQ_ENTRY(Pull) link;
        Client *client;
        Endpoint peer;
        PullKind kind;
        uint64_t transaction;
        RfcSet set;                             /* PULL_NUMBERS */
        /* PULL_INDEX; {0, 0}: nothing of it is known, so hearsay is welcome, too, unless own_only */
        Generation asked;
        bool own_only;
        bool started;
        Message message;                        /* to begin, and to go on merging or checking */
        Call *call;
        IndexMerge *merge;
        EVP_MD_CTX *check;                      /* hashes the copy here, after a 304 */
        uint32_t checked;                       /* up to this number */
        Reply reply;                            /* without its slices */
        usec_t sent_at, began_at;
        uint64_t n_bytes;
        const char *refused;                    /* why the body was refused */
};

/* ---- the end of a pull ---- */

static void end_pull(Pull *p, LookupOutcome outcome, const char *result, const IndexMergeResult *merged) {
        Client *c = p->client;
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
                log_transaction(LOG_EVENT_INDEX_PULLED, &f, "Index pulled: %zu new, %zu gone, %zu confirmed.",
                                merged->n_added, merged->n_removed, merged->n_confirmed);
        else
                log_transaction(LOG_EVENT_INDEX_PULLED, &f, "Index not pulled: %s.", result);

        client_count_pull(c, p->kind == PULL_NUMBERS, result);

        /* Gone before anybody hears of the end: they may ask again at once. */
        const PullKind kind = p->kind;
        const Endpoint peer = p->peer;
        _cleanup_rfc_set_ RfcSet set = p->set;
        p->set = (RfcSet){};
        pull_free(p);
        pull_arm_expiry(c);
        if (kind == PULL_NUMBERS)
                operations_pull_done(c, &peer, &set, outcome, result);
        else
                refresh_pull_done(c, &peer, result, merged);
}

/* ---- merging ---- */

/* Does the body hash to what the head said? */
static bool index_digest_matches(const Pull *p) {
        _cleanup_buf_ Buf line = BUF_INIT(2 * PROTO_INDEX_LINE_MAX);
        EVP_MD_CTX *hash = EVP_MD_CTX_new();
        Digest digest;
        RfcRecord record;
        bool good = hash && EVP_DigestInit_ex(hash, EVP_sha256(), NULL);

        for (uint32_t after = 0; good && index_merge_next_own(p->merge, after, &record); after = record.number) {
                buf_clear(&line);
                good = proto_write_digest_line(&line, record.number, record.size, &record.digest, record.title) == 0 &&
                       EVP_DigestUpdate(hash, line.data, line.size);
        }
        good = good && EVP_DigestFinal_ex(hash, digest.bytes, NULL) && digest_equal(&digest, &p->reply.index_digest);
        EVP_MD_CTX_free(hash);
        return good;
}

static void run_merge(Message *m) {
        Pull *p = MESSAGE_OF(m, Pull, message);
        Client *c = p->client;
        IndexMergeResult merged = {};
        Now now;

        if (p->refused) {               /* the peer was caught lying meanwhile */
                end_pull(p, LOOKUP_GONE, "quarantined", NULL);
                return;
        }
        now_of_event(c->event, &now);
        RfcIndex *x = documents_lock(c->conf.documents);
        int k = index_merge_step(p->merge, x, MERGE_SLICE, &now, &merged);
        documents_unlock(c->conf.documents);
        if (k == RFC_INDEX_MORE) {
                loop_thread_post(c->loop, &p->message);
                return;
        }
        if (k < 0) {
                (void) log_errno(LOG_LEVEL_ERR, k, "Could not merge an index");
                end_pull(p, LOOKUP_GONE, "failed", NULL);
                return;
        }
        if (p->kind == PULL_INDEX)      /* without a generation the next pull is of the whole index again */
                holders_confirmed(c->holders, &p->peer, p->reply.has_generation ? p->reply.generation : (Generation){},
                                  p->sent_at);
        end_pull(p, LOOKUP_OK, "ok", &merged);
}

static void begin_merge(Pull *p) {
        int k = index_merge_end(p->merge);
        if (k == 0 && p->reply.has_index_digest && !index_digest_matches(p))
                p->refused = "it does not match its digest";
        else if (k > 0)
                p->refused = "it ends in the middle of a line";
        if (k != 0 || p->refused) {
                end_pull(p, LOOKUP_GONE, p->refused ? "malformed" : "failed", NULL);
                return;
        }
        p->message.run = run_merge;
        loop_thread_post(p->client->loop, &p->message);
}

/* ---- the answer ---- */

/* By If-Generation:, be it 0.0. */
static bool asks_for_own(const Pull *p) {
        return p->asked.epoch > 0 || p->own_only;
}

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
        if (reply->status != 200)
                return reply->length > 0 ? -ECANCELED : 0;
        const IndexMergeConf conf = {
                .kind = p->kind == PULL_NUMBERS ? INDEX_MERGE_SET :
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
                p->refused = "it is over 65536 records or 16 MiB";
        else if (k > 0)
                p->refused = "a line is malformed, double or out of order";
        return k > 0 ? -ECANCELED : k;
}

static void run_begin(Message *m);

/* Once: what is asked about no generation is answered by all of it, or not at all. */
static void ask_again(Pull *p) {
        p->asked = (Generation){};
        p->reply = (Reply){};
        p->message.run = run_begin;
        loop_thread_post(p->client->loop, &p->message);
}

static void confirmed(Pull *p) {
        Client *c = p->client;
        rfc_index_confirm(documents_lock(c->conf.documents), &p->peer, p->sent_at);
        documents_unlock(c->conf.documents);
        holders_confirmed(c->holders, &p->peer, p->asked, p->sent_at);
        end_pull(p, LOOKUP_OK, "unchanged", &(IndexMergeResult){});
}

static int check_slice(Pull *p) {
        Documents *d = p->client->conf.documents;
        _cleanup_buf_ Buf covered = BUF_INIT(CHECK_SLICE * PROTO_INDEX_LINE_MAX);

        int k = rfc_index_cover_source(documents_lock(d), &p->peer, &p->checked, CHECK_SLICE, &covered);
        documents_unlock(d);
        if (k >= 0 && !EVP_DigestUpdate(p->check, covered.data, covered.size))
                return -ENOMEM;
        return k;
}

/* The copy here hashes to what the 304 said, or all of it is asked for. It is no fault of the peer's. */
static void run_check(Message *m) {
        Pull *p = MESSAGE_OF(m, Pull, message);
        Digest digest;

        if (p->refused) {               /* the peer was caught lying meanwhile */
                end_pull(p, LOOKUP_GONE, "quarantined", NULL);
                return;
        }
        int k = check_slice(p);
        if (k == RFC_INDEX_MORE) {
                loop_thread_post(p->client->loop, &p->message);
                return;
        }
        if (k != 0 || !EVP_DigestFinal_ex(p->check, digest.bytes, NULL)) {
                (void) log_errno(LOG_LEVEL_ERR, k < 0 ? k : -ENOMEM, "Could not check the copy of an index");
                end_pull(p, LOOKUP_GONE, "failed", NULL);
        } else if (digest_equal(&digest, &p->reply.index_digest))
                confirmed(p);
        else {
                const LogFields f = {
                        .transaction = p->transaction,
                        .operation = "get-index",
                        .result = "mismatch",
                        .peer = &p->peer,
                        .sha256 = &digest,
                        .sha256_expected = &p->reply.index_digest,
                };
                log_entry(LOG_LEVEL_NOTICE, LOG_EVENT_NONE, &f,
                          "The copy of an index does not match its digest: asking for all of it.");
                p->own_only = true;
                ask_again(p);
        }
}

static void begin_check(Pull *p) {
        p->check = EVP_MD_CTX_new();
        if (!p->check || !EVP_DigestInit_ex(p->check, EVP_sha256(), NULL)) {
                (void) log_errno(LOG_LEVEL_ERR, -ENOMEM, "Could not check the copy of an index");
                end_pull(p, LOOKUP_GONE, "failed", NULL);
                return;
        }
        p->message.run = run_check;
        loop_thread_post(p->client->loop, &p->message);
}

static void answered_otherwise(Pull *p) {
        switch (p->reply.status) {
        case 304:                       /* proves nothing where no generation was asked about */
                if (p->asked.epoch == 0)
                        break;
                if (p->reply.has_index_digest)
                        begin_check(p);
                else
                        confirmed(p);
                return;
        case 226:                       /* a delta: asked for all of it instead */
                if (p->asked.epoch == 0)
                        break;
                ask_again(p);
                return;
        case 404:
                end_pull(p, LOOKUP_EMPTY, "not-held", NULL);
                return;
        case 503:
                if (p->reply.retry_after_sec == 0 || p->reply.retry_after_sec > LOOKUP_BUSY_USEC / USEC_PER_SEC)
                        break;
                end_pull(p, LOOKUP_BUSY, "busy", NULL);
                return;
        }
        end_pull(p, LOOKUP_GONE, p->reply.status < 400 ? "malformed" : "refused", NULL);
}

static void on_end(Call *call, CallEnd end, int error, void *userdata) {
        Pull *p = userdata;
        Client *c = p->client;
        Endpoint own;

        if (call_local(call, &own))
                client_add_self(c, &own.address);
        p->call = NULL;
        if (end == CALL_FAILED)
                (void) log_errno(LOG_LEVEL_ERR, error, "Could not ask for an index");
        if (end == CALL_BAD && !p->refused)
                p->refused = "the answer does not follow the protocol";
        if (p->refused && p->merge)     /* whatever came before the bad line is no part of a list */
                p->merge = index_merge_free(p->merge);
        if (end == CALL_OK && p->merge)
                begin_merge(p);
        else if (!p->refused && p->reply.status > 0 && p->reply.status != 200)
                answered_otherwise(p);
        else {
                if (end == CALL_REFUSED || end == CALL_TIMEOUT)
                        holders_failed(c->holders, &p->peer);
                end_pull(p, LOOKUP_GONE, p->refused ? "malformed" : call_end_name(end), NULL);
        }
}

/* ---- asking ---- */

static const CallHandler handler = { .on_reply = on_reply, .on_body = on_body, .on_end = on_end };

static void run_begin(Message *m) {
        Pull *p = MESSAGE_OF(m, Pull, message);
        Client *c = p->client;
        Request request;
        Now now;

        now_of_event(c->event, &now);
        p->started = true;
        p->began_at = now.boottime;
        if (p->refused) {
                end_pull(p, LOOKUP_GONE, "quarantined", NULL);
                return;
        }
        client_fill_request(&request, VERB_RFC_INDEX, p->transaction);
        request.has_if_generation = asks_for_own(p);
        request.if_generation = p->asked;
        request.rfcs = p->set;                  /* lent */
        int k = call_new(c->event, &p->peer, &request, &c->settings.call, &handler, p, &p->call);
        if (k < 0) {
                (void) log_errno(LOG_LEVEL_ERR, k, "Could not ask for an index");
                end_pull(p, LOOKUP_GONE, "failed", NULL);
        }
}

static Pull *pull_new(Client *c, const Endpoint *peer, PullKind kind, uint64_t transaction) {
        Pull *p = calloc(1, sizeof(*p));
        if (!p)
                return NULL;
        p->client = c;
        p->peer = *peer;
        p->kind = kind;
        p->transaction = transaction;
        p->message.run = run_begin;
        TAILQ_INSERT_TAIL(&c->pulls, p, link);
        loop_thread_post(c->loop, &p->message);
        return p;
}

int pull_number(Client *c, const Endpoint *peer, uint32_t number, uint64_t transaction) {
        const RfcRange range = { number, number };
        Pull *p;
        int k;

        TAILQ_FOREACH(p, &c->pulls, link)
                if (p->kind == PULL_NUMBERS && !p->started && endpoint_equal(&p->peer, peer) &&
                    p->set.n_ranges < NUMBERS_MAX)
                        break;
        if (!p)
                p = pull_new(c, peer, PULL_NUMBERS, transaction);
        k = p ? rfc_set_add(&p->set, range) : -ENOMEM;
        return MIN_OF(k, 0);    /* "too many" can't be: see NUMBERS_MAX */
}

int pull_index(Client *c, const Endpoint *peer, uint64_t transaction) {
        HolderInfo info;
        Pull *p;

        TAILQ_FOREACH(p, &c->pulls, link)
                if (p->kind == PULL_INDEX && endpoint_equal(&p->peer, peer))
                        return 0;       /* its end is told to all who asked */
        p = pull_new(c, peer, PULL_INDEX, transaction);
        if (!p)
                return -ENOMEM;
        /* A 304 would not bring back what is lost of it here. */
        if (rfc_index_is_whole(documents_lock(c->conf.documents), peer) && holders_get(c->holders, peer, &info))
                p->asked = info.generation;
        documents_unlock(c->conf.documents);
        return 0;
}

void pulls_distrust(Client *c, const Endpoint *peer) {
        Pull *p;
        TAILQ_FOREACH(p, &c->pulls, link)
                if (endpoint_equal(&p->peer, peer))
                        p->refused = "its source is quarantined";
}

void pull_free(Pull *p) {
        TAILQ_REMOVE(&p->client->pulls, p, link);
        call_free(p->call);
        index_merge_free(p->merge);
        EVP_MD_CTX_free(p->check);
        rfc_set_done(&p->set);
        free(p);
}

/* ---- expiry ---- */

void pull_arm_expiry(Client *c) {
        usec_t at = rfc_index_next_expiry(documents_lock(c->conf.documents));
        documents_unlock(c->conf.documents);
        (void) loop_timer_set(c->expiry_timer, at);
}

int pull_on_expiry(sd_event_source *s, uint64_t usec, void *userdata) {
        Client *c = userdata;
        Now now;
        (void) usec;

        now_of_event(c->event, &now);
        bool more = rfc_index_expire(documents_lock(c->conf.documents), &now, EXPIRE_SLICE);
        documents_unlock(c->conf.documents);
        if (more)
                (void) loop_timer_set(s, now.boottime);
        else
                pull_arm_expiry(c);
        return 0;
}
