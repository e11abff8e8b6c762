/* SPDX-License-Identifier: BSD-2-Clause */
/* What came of an index goes into the one here; the copy is checked; what has expired goes. */
#include "peerd/pull-internal.h"

#include <errno.h>

#include "io/libcrypto.h"
#include "io/log.h"
#include "io/loop.h"

/* Records put into the index per hold of the lock: some 150 µs, and up to 1 ms where for each of them another one goes. */
#define MERGE_SLICE 256
#define EXPIRE_SLICE 512
/* Numbers looked at per hold of the lock, each of them written out if the peer holds it. */
#define CHECK_SLICE 512

/* ---- checking ---- */

static void confirmed(Pull *p) {
        Client *c = p->client;
        if (p->reply.status == 304) {
                rfc_index_confirm(documents_lock(c->conf.documents), &p->peer, p->sent_at);
                documents_unlock(c->conf.documents);
                holders_confirmed(c->holders, &p->peer, p->asked, p->sent_at);
                pull_end(p, LOOKUP_OK, "unchanged", &(IndexMergeResult){});
        } else {
                holders_confirmed(c->holders, &p->peer, p->reply.generation, p->sent_at);
                pull_end(p, LOOKUP_OK, "ok", &p->merged);
        }
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

/* The copy here hashes to what the answer said, or all of it is asked for. It is no fault of the peer's. */
static void run_check(Message *m) {
        Pull *p = MESSAGE_OF(m, Pull, message);
        Digest digest;

        if (p->refused) {               /* the peer was caught lying meanwhile */
                pull_end(p, LOOKUP_GONE, "quarantined", NULL);
                return;
        }
        int k = check_slice(p);
        if (k == RFC_INDEX_MORE) {
                loop_thread_post(p->client->loop, &p->message);
                return;
        }
        if (k != 0 || !EVP_DigestFinal_ex(p->check, digest.bytes, NULL)) {
                (void) log_errno(LOG_LEVEL_ERR, k < 0 ? k : -ENOMEM, "Could not check the copy of an index");
                pull_end(p, LOOKUP_GONE, "failed", NULL);
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
                pull_ask_again(p);
        }
}

void pull_check(Pull *p) {
        if (!p->reply.has_index_digest) {
                confirmed(p);
                return;
        }
        int k = libcrypto_sha256_new(&p->check);
        if (k < 0) {
                (void) log_errno(LOG_LEVEL_ERR, k, "Could not check the copy of an index");
                pull_end(p, LOOKUP_GONE, "failed", NULL);
                return;
        }
        p->message.run = run_check;
        loop_thread_post(p->client->loop, &p->message);
}

/* ---- merging ---- */

/* Does the body hash to what the head said? */
static bool index_digest_matches(const Pull *p) {
        _cleanup_buf_ Buf line = BUF_INIT(2 * PROTO_INDEX_LINE_MAX);
        EVP_MD_CTX *hash = NULL;
        Digest digest;
        RfcRecord record;
        bool good = libcrypto_sha256_new(&hash) == 0;

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
        Now now;

        if (p->refused) {               /* the peer was caught lying meanwhile */
                pull_end(p, LOOKUP_GONE, "quarantined", NULL);
                return;
        }
        now_of_event(c->event, &now);
        RfcIndex *x = documents_lock(c->conf.documents);
        int k = index_merge_step(p->merge, x, MERGE_SLICE, &now, &p->merged);
        documents_unlock(c->conf.documents);
        if (k == RFC_INDEX_MORE) {
                loop_thread_post(c->loop, &p->message);
                return;
        }
        if (k < 0) {
                (void) log_errno(LOG_LEVEL_ERR, k, "Could not merge an index");
                pull_end(p, LOOKUP_GONE, "failed", NULL);
                return;
        }
        if (p->reply.status == 226) {   /* only the whole copy has a digest */
                pull_check(p);
                return;
        }
        if (p->kind == PULL_INDEX)      /* without a generation the next pull is of the whole index again */
                holders_confirmed(c->holders, &p->peer, p->reply.has_generation ? p->reply.generation : (Generation){},
                                  p->sent_at);
        pull_end(p, LOOKUP_OK, "ok", &p->merged);
}

void pull_merge(Pull *p) {
        int k = index_merge_end(p->merge);
        if (k == 0 && p->reply.status == 200 && p->reply.has_index_digest && !index_digest_matches(p))
                p->refused = "it does not match its digest";
        else if (k > 0)
                p->refused = "it ends in the middle of a line";
        if (k != 0 || p->refused) {
                pull_end(p, LOOKUP_GONE, p->refused ? "malformed" : "failed", NULL);
                return;
        }
        p->message.run = run_merge;
        loop_thread_post(p->client->loop, &p->message);
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
