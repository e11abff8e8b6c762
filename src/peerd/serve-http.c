/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The HTTP face: what curl, wget, a browser or a caching proxy asks for (protocol, section 5). Documents are logged and
 * counted as those that peers ask for.
 */
#include "peerd/serve-internal.h"

#include <stdio.h>

#include "core/http.h"
#include "peerd/pages.h"

#define NOT_READY "The library is read for the first time: ask again in a moment."
#define SENTENCE_SIZE 256

/*
 * Documents are sent as they are stored. Nearly all are ASCII, newer ones may be UTF-8 and then start with a BOM, and a
 * few old ones are neither: no charset is right for all, and readers find the right one without.
 */
#define TYPE_TEXT "text/plain"
#define TYPE_SENTENCE "text/plain; charset=utf-8"
#define TYPE_PAGE "text/html; charset=utf-8"
/*
 * A document of one number changes only where it was a wrong one; pages are asked for anew each time, and a 304 is
 * quick.
 */
#define CACHE_DOCUMENT "max-age=86400"
#define CACHE_PAGE "no-cache"
#define CACHE_NOTHING "no-store"

/* A reply with all that each one has. */
static HttpReply reply_to(const HttpRequest *q, unsigned status) {
        return (HttpReply){
                .status = status,
                .transaction = q->transaction,
                .close = q->close,
                .keep_alive = q->keep_alive,
        };
}

/* What follows the head is `body`, or a sentence, which goes with the head. */
static void send_reply(ServeClient *c, const HttpRequest *q, HttpReply *reply, const char *sentence,
                       const ConnBody *body) {
        _cleanup_buf_ Buf b = BUF_INIT(MSG_HEAD_MAX);
        Now now;

        now_of_event(c->thread->event, &now);
        const ConnAfter after = serve_after(c, reply->status, reply->close);
        reply->close = after != CONN_STAYS;
        if (sentence) {
                reply->type = TYPE_SENTENCE;
                reply->cache = CACHE_NOTHING;
                reply->length = strlen(sentence) + 1;
        }
        int k = http_write_reply(&b, reply, SERVER_NAME, now.realtime);
        if (k == 0 && sentence && !q->head)
                k = buf_printf(&b, "%s\n", sentence);
        if (k == 0)
                conn_reply(c->conn, buf_slice(&b), body, after, NULL);
        else
                serve_give_up(c, body);
}

static void refuse(ServeClient *c, const HttpRequest *q, unsigned status, const char *sentence) {
        HttpReply reply = reply_to(q, status);

        if (status == 503)
                reply.retry_after_sec = 1;
        send_reply(c, q, &reply, sentence, &CONN_NO_BODY);
}

static LogFields page_fields(const ServeClient *c, const HttpRequest *q, const char *result) {
        const Request request = { .transaction = q->transaction };
        LogFields f = serve_fields(c, &request, result);

        f.operation = "http-page";
        return f;
}

/* ---- documents ---- */

/* No bytes of it are wanted, or none that there are. */
static void send_document_head(ServeClient *c, const HttpRequest *q, const Request *request, HttpReply *reply) {
        const unsigned status = reply->status;
        char name[DOCUMENT_NAME_SIZE], sentence[SENTENCE_SIZE];
        const LogFields f = serve_fields(c, request, status == 304 ? "unchanged" : status == 200 ? "ok" : "refused");

        (void) document_name(request->rfc, name);
        log_transaction(LOG_EVENT_NONE, &f, "%s was asked for: %s.", name,
                        status == 304 ? "it is unchanged" : status == 200 ? "its head is sent" :
                        status == 412 ? "it is another one" : "the range is behind its end");
        if (status == 200 || status == 304) {
                send_reply(c, q, reply, NULL, &CONN_NO_BODY);
                return;
        }
        if (status == 412)
                (void) snprintf(sentence, sizeof(sentence), "This %s is none of those that the request wants.", name);
        else
                (void) snprintf(sentence, sizeof(sentence), "The range is behind the end of %s, which has %llu bytes.",
                                name, (unsigned long long) reply->entity->size);
        send_reply(c, q, reply, sentence, &CONN_NO_BODY);
}

/* Nothing in its head but the date depends on when it is sent: whoever asks within the same second gets the same one. */
static void send_with_kept_head(ServeClient *c, HttpReply *reply, ServeDocument *found) {
        ServeHead *h = found->head;
        Now now;

        now_of_event(c->thread->event, &now);
        const ConnAfter after = serve_after(c, reply->status, reply->close);
        reply->close = after != CONN_STAYS;
        const usec_t second = now.realtime / USEC_PER_SEC;
        if (h->size == 0 || h->second != second || h->close != reply->close || h->keep_alive != reply->keep_alive) {
                _cleanup_buf_ Buf b = BUF_INIT(SERVE_HEAD_MAX);

                h->size = 0;
                if (http_write_reply(&b, reply, SERVER_NAME, now.realtime) != 0) {
                        serve_give_up(c, &found->body);
                        return;
                }
                memcpy(h->end - b.size, b.data, b.size);
                h->size = b.size;
                h->second = second;
                h->close = reply->close;
                h->keep_alive = reply->keep_alive;
        }
        conn_reply(c->conn, (Slice){ h->end - h->size, h->size }, &found->body, after, NULL);
}

static void send_document(ServeClient *c, const HttpRequest *q, const Request *request, ServeDocument *found) {
        const OwnDocument *document = found->own;
        const HttpEntity entity = { document->size, document->digest, own_document_modified_at(document) };
        const HttpAnswer answer = http_decide(q, &entity);
        HttpReply reply = reply_to(q, answer.status);

        reply.entity = &entity;
        reply.first = answer.first;
        reply.length = answer.size;
        reply.type = answer.status == 304 ? NULL : TYPE_TEXT;
        reply.cache = request->verb == VERB_GET_RFC ? CACHE_DOCUMENT : CACHE_PAGE;
        if (q->head || (answer.status != 200 && answer.status != 206)) {
                serve_drop_body(&found->body);
                send_document_head(c, q, request, &reply);
                return;
        }
        serve_begin_document(c, request, document, answer.size);
        if (found->head && answer.status == 200 && q->transaction == 0) {
                send_with_kept_head(c, &reply, found);
                return;
        }
        serve_cut_body(&found->body, answer.first, answer.size);
        send_reply(c, q, &reply, NULL, &found->body);
}

static void answer_with_document(ServeClient *c, const HttpRequest *q, Verb verb, uint32_t rfc) {
        const Request request = { .verb = verb, .transaction = q->transaction, .close = q->close, .rfc = rfc };
        char name[DOCUMENT_NAME_SIZE], sentence[SENTENCE_SIZE];
        ServeDocument found;
        int k = serve_find_document(c, &request, &found);

        if (k == 0) {
                send_document(c, q, &request, &found);
                return;
        }
        if (k == SERVE_NOT_READY) {
                refuse(c, q, 503, NOT_READY);
                return;
        }
        (void) snprintf(sentence, sizeof(sentence), k < 0 ? "This peer can't open %s." : "This peer does not hold %s.",
                        document_name(rfc, name));
        refuse(c, q, k < 0 ? 500 : 404, sentence);
}

/* ---- pages ---- */

static void send_page(ServeClient *c, const HttpRequest *q, OwnIndex *own, const OwnPage *page) {
        const HttpEntity entity = { page->body.size, page->digest, 0 };
        const HttpAnswer answer = http_decide(q, &entity);
        HttpReply reply = reply_to(q, answer.status);
        const bool has_body = !q->head && (answer.status == 200 || answer.status == 206);
        LogFields f = page_fields(c, q, answer.status == 304 ? "unchanged" : answer.status < 300 ? "ok" : "refused");

        f.has_bytes = true;
        f.bytes = has_body ? answer.size : 0;
        log_transaction(LOG_EVENT_NONE, &f, "%s was asked for: %u.", q->path, answer.status);
        reply.entity = &entity;
        reply.first = answer.first;
        reply.length = answer.size;
        reply.cache = CACHE_PAGE;
        if (answer.status != 304) {
                reply.type = TYPE_PAGE;
                reply.policy = page_policy;
        }
        if (has_body) {
                const Slice part = { page->body.data + answer.first, answer.size };
                ConnBody body = { .memory = part, .fd = -1, .release = own_index_unref, .owner = own };
                send_reply(c, q, &reply, NULL, &body);
                return;
        }
        send_reply(c, q, &reply, answer.status == 412 ? "This page is none of those that the request wants." :
                   answer.status == 416 ? "The range is behind the end of the page." : NULL, &CONN_NO_BODY);
        own_index_unref(own);
}

static void answer_with_page(ServeClient *c, const HttpRequest *q, PageKind kind) {
        const ServeConf *conf = &c->thread->conf;
        const OwnPage *page;

        if (!documents_scanned(conf->documents)) {
                const LogFields f = page_fields(c, q, "refused");
                log_transaction(LOG_EVENT_NONE, &f, "%s was asked for: the library is not read yet.", q->path);
                refuse(c, q, 503, NOT_READY);
                return;
        }
        OwnIndex *own = documents_own_index(conf->documents);
        int k = pages_get(conf->documents, own, kind, conf->host, &page);
        if (k == 0) {
                send_page(c, q, own, page);
                return;
        }
        own_index_unref(own);
        (void) log_errno(LOG_LEVEL_ERR, k, "Could not make the page %s", q->path);
        refuse(c, q, 500, "The page could not be made.");
}

/* ---- paths ---- */

static void answer_table(ServeClient *c, const HttpRequest *q, _unused_ const char *name) {
        answer_with_page(c, q, PAGE_TABLE);
}

static void answer_list(ServeClient *c, const HttpRequest *q, _unused_ const char *name) {
        answer_with_page(c, q, PAGE_LIST);
}

static void answer_moved(ServeClient *c, const HttpRequest *q, _unused_ const char *name) {
        const LogFields f = page_fields(c, q, "ok");
        HttpReply reply = reply_to(q, 301);

        log_transaction(LOG_EVENT_NONE, &f, "%s was asked for: 301.", q->path);
        reply.location = "/rfc/";
        send_reply(c, q, &reply, "The list is at /rfc/.", &CONN_NO_BODY);
}

static void answer_editor_index(ServeClient *c, const HttpRequest *q, _unused_ const char *name) {
        answer_with_document(c, q, VERB_GET_EDITOR_INDEX, 0);
}

static void answer_nothing(ServeClient *c, const HttpRequest *q, _unused_ const char *name) {
        const LogFields f = page_fields(c, q, "not-held");

        log_transaction(LOG_EVENT_NONE, &f, "%s was asked for: there is no such path.",
                        *q->path ? q->path : "Something long");
        refuse(c, q, 404,
               "There is nothing here: documents are at /rfc/rfc1234.txt and the like, lists at / and /rfc/.");
}

static void answer_document(ServeClient *c, const HttpRequest *q, const char *name) {
        uint32_t rfc;

        if (rfc_number_from_file_name(slice_of(name), &rfc) == 0)
                answer_with_document(c, q, VERB_GET_RFC, rfc);
        else
                answer_nothing(c, q, name);
}

/* The first that fits is taken; `name` is what stands behind it. */
static const struct {
        const char *path;
        bool is_prefix;
        void (*answer)(ServeClient *c, const HttpRequest *q, const char *name);
} paths[] = {
        { "/", false, answer_table },
        { "/rfc", false, answer_moved },
        { "/rfc/", false, answer_list },
        { "/rfc-index.txt", false, answer_editor_index },
        { "/rfc/", true, answer_document },
        { "", true, answer_nothing },
};

void serve_http(ServeClient *c, const MsgHead *head) {
        HttpRequest q;
        const char *why;
        int k = http_parse_request(head, &q, &why);

        if (k > 0) {
                http_peek(head, &q);
                serve_count_refused(c, q.transaction, (unsigned) k, http_phrase((unsigned) k), why);
                refuse(c, &q, (unsigned) k, why);
                return;
        }
        for (size_t i = 0; i < ELEMENTSOF(paths); i++) {
                const size_t n = strlen(paths[i].path);
                if (strncmp(q.path, paths[i].path, n) == 0 && (paths[i].is_prefix || q.path[n] == '\0')) {
                        paths[i].answer(c, &q, q.path + n);
                        return;
                }
        }
}

void serve_http_bad_request(ServeClient *c, unsigned status, Slice bytes) {
        const char *why = status == 431 ? "A head has at most 8 KiB and 64 headers." :
                          status == 408 ? "The request was not whole in time." :
                                          "This is no request as RFC 9112 has it.";
        /* Nothing more can be known of it; that HEAD has no body is. */
        const HttpRequest q = { .head = memmem(bytes.data, MIN_OF(bytes.size, (size_t) 7), "HEAD ", 5), .close = true };

        serve_count_refused(c, 0, status, http_phrase(status), why);
        refuse(c, &q, status, why);
}
