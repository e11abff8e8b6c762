/* SPDX-License-Identifier: BSD-2-Clause */
/* RFCQuery: the index, as a whole, of some numbers, or what is new in it. */
#include "peerd/serve-internal.h"

static void log_query(ServeClient *c, const Request *request, unsigned status, size_t n_bytes) {
        const char *result = status == 304 ? "unchanged" : status == 503 ? "refused" : status == 500 ? "failed" : "ok";
        LogFields f = serve_fields(c, request, result);
        f.has_bytes = true;
        f.bytes = n_bytes;
        log_transaction(LOG_EVENT_NONE, &f,
                        status >= 500 ? "RFC index not sent: %u, %zu bytes." : "RFC index sent: %u, %zu bytes.", status,
                        n_bytes);
}

/* A body of its own, which the connection frees. */
static void reply_bytes(ServeClient *c, const Request *request, Reply *reply, Buf *b) {
        log_query(c, request, reply->status, b->size);
        reply->length = b->size;
        ConnBody body = { .memory = buf_slice(b), .fd = -1, .release = free, .owner = b->data };
        *b = BUF_INIT(0);
        serve_reply(c, VERB_RFC_INDEX, reply, &body);
}

/* All own records, as encoded already: the same for everybody. The snapshot goes with the body. */
static void reply_snapshot(ServeClient *c, const Request *request, Reply *reply, OwnIndex *own) {
        log_query(c, request, reply->status, own->body.size);
        reply->length = own->body.size;
        ConnBody body = { .memory = buf_slice(&own->body), .fd = -1, .release = own_index_unref, .owner = own };
        serve_reply(c, VERB_RFC_INDEX, reply, &body);
}

/*
 * Own records only: none, those that changed, or all. Made from the snapshot, not the index, which may be ahead of the
 * generation and the digest that are told here.
 */
static void reply_own_index(ServeClient *c, const Request *request) {
        OwnIndex *own = documents_own_index(c->thread->conf.documents);
        _cleanup_buf_ Buf b = BUF_INIT(PROTO_INDEX_BYTES_MAX);
        int k = index_changes_encode(own->changes, buf_slice(&own->body), request->if_generation, &b);
        Reply reply = {
                .status = k == 0 ? 226 : k == RFC_INDEX_UNCHANGED ? 304 : 200,
                .transaction = request->transaction,
                .close = request->close,
                .has_generation = true,
                .generation = own->generation,
                .has_index_digest = true,
                .index_digest = own->digest,
        };
        if (reply.status == 200) {      /* also where there was no memory for less */
                reply_snapshot(c, request, &reply, own);
                return;
        }
        own_index_unref(own);
        if (reply.status == 226)
                reply_bytes(c, request, &reply, &b);
        else {
                log_query(c, request, 304, 0);
                serve_reply(c, VERB_RFC_INDEX, &reply, &CONN_NO_BODY);
        }
}

/* Own records and hearsay: of some numbers, or all that fits. */
static void reply_merged_index(ServeClient *c, const Request *request) {
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
                serve_refuse(c, VERB_RFC_INDEX, request, 500);
                return;
        }
        reply_bytes(c, request, &reply, &b);
}

void serve_query(ServeClient *c, const Request *request) {
        if (!documents_scanned(c->thread->conf.documents)) {
                log_query(c, request, 503, 0);
                serve_refuse(c, VERB_RFC_INDEX, request, 503);
        } else if (request->has_if_generation)
                reply_own_index(c, request);
        else
                reply_merged_index(c, request);
}
