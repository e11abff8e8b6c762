/* SPDX-License-Identifier: BSD-2-Clause */
/* GetRFC: a document, or the end of one. */
#include "peerd/serve-internal.h"

#include <stdio.h>

const char *document_name(uint32_t rfc, char ret[DOCUMENT_NAME_SIZE]) {
        if (rfc == 0)
                return strcpy(ret, "rfc-index.txt");
        snprintf(ret, DOCUMENT_NAME_SIZE, "RFC %u", rfc);
        return ret;
}

usec_t own_document_modified_at(const OwnDocument *document) {
        return document->stamp.mtime_nsec > 0 ? (usec_t) document->stamp.mtime_nsec / 1000 : 0;
}

void serve_begin_document(ServeClient *c, const Request *request, const OwnDocument *document, uint64_t size) {
        c->sending = true;
        c->looks = false;
        c->verb = request->verb;
        c->rfc = request->rfc;
        c->transaction = request->transaction;
        c->size = size;
        c->digest = document->digest;
        c->began_at = conn_request_at(c->conn);
        atomic_fetch_add(&c->thread->conf.counters->n_active, 1);
}

/*
 * A peer that wants to know which rfc-index.txt is held takes its last byte, or its first lines and hangs up: nothing was
 * served then, and nothing failed.
 */
static bool was_looked_at(const ServeClient *c, bool ok) {
        return c->looks && (!ok || c->size == 1);
}

void serve_document_sent(ServeClient *c, bool ok, uint64_t n_sent) {
        ServeCounters *n = c->thread->conf.counters;
        char name[DOCUMENT_NAME_SIZE];

        LogFields f = {
                .transaction = c->transaction,
                .operation = verb_operation(c->verb),
                .result = ok ? "ok" : "broken",
                .peer = conn_remote(c->conn),
                .rfc = c->rfc,
                .sha256 = &c->digest,
                .has_size = true,
                .size = c->size,
                .has_bytes = true,
                .bytes = n_sent,
                .has_duration = true,
                .duration_usec = usec_sub(boottime_read(), c->began_at),
        };
        atomic_fetch_sub(&n->n_active, 1);
        atomic_fetch_add(&n->n_upload_bytes, n_sent);
        c->sending = false;
        if (was_looked_at(c, ok)) {
                f.result = "ok";
                log_transaction(LOG_EVENT_NONE, &f, "rfc-index.txt was looked at.");
                return;
        }
        atomic_fetch_add(ok ? &n->n_uploads : &n->n_failed, 1);
        if (ok)
                histogram_observe(&n->durations, f.duration_usec);
        log_transaction(LOG_EVENT_RFC_SERVED, &f, ok ? "%s served." : "%s was not taken whole.",
                        document_name(c->rfc, name));
        c->told = !ok;
}

static int find_editor_index(ServeThread *t, ServeDocument *ret) {
        Documents *d = t->conf.documents;
        OwnDocument *own = &t->editor_index;

        if (!documents_get_editor_index(d, own))
                return LIBRARY_NONE;
        *ret = (ServeDocument){ .own = own, .body = { .size = own->size } };
        return library_open_editor_index(documents_library(d), own->origin, &own->stamp, &ret->body.fd);
}

static int find_document(ServeThread *t, const Request *request, ServeDocument *ret) {
        Now now;

        if (request->verb == VERB_GET_EDITOR_INDEX)
                return find_editor_index(t, ret);
        now_of_event(t->event, &now);
        int k = serve_cache_get(t->cache, request->rfc, &now, ret);
        if (k == 0 && ret->head && ret->body.fd >= 0)
                serve_watch_files(t, &now);
        return k;
}

int serve_find_document(ServeClient *c, const Request *request, ServeDocument *ret) {
        char name[DOCUMENT_NAME_SIZE];
        /* Asked before, as the scan may end meanwhile. */
        const bool scanned = documents_scanned(c->thread->conf.documents);
        int k = find_document(c->thread, request, ret);

        if (k == 0)
                return 0;
        if (k > 0 && !scanned) {
                const LogFields f = serve_fields(c, request, "refused");
                log_transaction(LOG_EVENT_NONE, &f, "%s was asked for: the library is not read yet.",
                                document_name(request->rfc, name));
                return SERVE_NOT_READY;
        }
        const LogFields f = serve_fields(c, request, k < 0 ? "failed" : "not-held");
        ServeCounters *n = c->thread->conf.counters;
        atomic_fetch_add(k < 0 ? &n->n_unreadable : &n->n_not_held, 1);
        if (k < 0)
                (void) log_errno(LOG_LEVEL_ERR, k, "Could not open %s", document_name(request->rfc, name));
        log_transaction(LOG_EVENT_NONE, &f, "%s was asked for: %s.", document_name(request->rfc, name),
                        k < 0 ? "it can't be opened" : "it is not held");
        return k < 0 ? k : SERVE_NOT_HELD;
}

static void send_document(ServeClient *c, const Request *request, ServeDocument *found) {
        const OwnDocument *document = found->own;
        bool part = request->has_range && request->has_if_digest &&
                    digest_equal(&request->if_digest, &document->digest);
        Reply reply = {
                .status = part ? 206 : 200,
                .transaction = request->transaction,
                .close = request->close,
                .has_digest = true,
                .digest = document->digest,
                .title = slice_of(document->title),
                .last_modified = own_document_modified_at(document),
        };
        reply.length = document->size;
        if (part && request->range_first >= document->size) {
                serve_drop_body(&found->body);
                reply.length = 0;
                reply.status = 416;
                serve_reply(c, request->verb, &reply, &CONN_NO_BODY);
                return;
        }
        if (part) {
                reply.length = document->size - request->range_first;
                serve_cut_body(&found->body, request->range_first, reply.length);
                reply.has_content_range = true;
                reply.range_first = request->range_first;
                reply.range_last = document->size - 1;
                reply.range_size = document->size;
        }
        serve_begin_document(c, request, document, reply.length);
        c->looks = request->verb == VERB_GET_EDITOR_INDEX;
        serve_reply(c, request->verb, &reply, &found->body);
}

void serve_document(ServeClient *c, const Request *request) {
        ServeDocument found;
        int k = serve_find_document(c, request, &found);

        if (k == 0)
                send_document(c, request, &found);
        else
                serve_refuse(c, request->verb, request, k < 0 ? 500 : k == SERVE_NOT_READY ? 503 : 404);
}
