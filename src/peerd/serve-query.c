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

/* All own records, as encoded already: what everybody who has an older generation gets. */
static void reply_own_index(ServeClient *c, const Request *request) {
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
                serve_reply(c, VERB_RFC_INDEX, &reply, &CONN_NO_BODY);
                return;
        }
        reply.length = own->body.size;
        ConnBody body = { .memory = buf_slice(&own->body), .fd = -1, .release = own_index_unref, .owner = own };
        serve_reply(c, VERB_RFC_INDEX, &reply, &body);
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
        log_query(c, request, 200, b.size);
        reply.length = b.size;
        ConnBody body = { .memory = buf_slice(&b), .fd = -1, .release = free, .owner = b.data };
        b = BUF_INIT(0);        /* the connection frees the bytes */
        serve_reply(c, VERB_RFC_INDEX, &reply, &body);
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
