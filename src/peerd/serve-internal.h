/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * What the files of a download thread share: serve.c (thread and connections), serve-query.c (RFCQuery),
 * serve-document.c (GetRFC), serve-http.c (both and more, for others than peers), serve-cache.c (documents in memory).
 */

#include "peerd/serve.h"

#include <bsd/sys/queue.h>

#include "core/proto.h"
#include "io/conn.h"
#include "io/log.h"
#include "io/loop.h"
#include "peerd/serve-cache.h"

#define SERVER_NAME "p2pdi/" PACKAGE_VERSION

/* One connection of another peer, or of whoever speaks HTTP. */
typedef struct ServeClient {
        Message message;                /* brings it from the main loop and, where that is to know at once, back */
        struct ServeClient *next;       /* of those that are handed over, or were over, together */
        ServeThread *thread;
        int fd;                         /* until conn is made, which owns it then */
        Endpoint remote;
        Conn *conn;
        LIST_ENTRY(ServeClient) link;
        unsigned n_refused;
        bool told;                      /* that the last document did not go out whole */
        /* The document being sent. */
        bool sending;
        bool looks;                     /* the editor's index: whoever asks may only want to know which one it is */
        Verb verb;
        uint32_t rfc;                   /* 0: the editor's index */
        uint64_t transaction, size;
        Digest digest;
        usec_t began_at;
} ServeClient;

struct ServeThread {
        Message stop;                   /* there and back: the main loop may have ended before it came */
        ServeConf conf;
        LoopThread *loop;
        sd_event *event;
        Poller *poller;                 /* of its connections */
        ServeCache *cache;
        sd_event_source *idle_files;    /* timer: closes files of the cache */
        bool files_watched;             /* it is set */
        OwnDocument editor_index;       /* that was asked for last */
        ConnConf conn_conf;
        ServeClient *taken;             /* the main loop's: not handed over yet, the last one first */
        bool stopping;
        LIST_HEAD(, ServeClient) clients;
};

/* ---- serve.c ---- */

/* For the log, of a request that was read whole. */
LogFields serve_fields(const ServeClient *c, const Request *request, const char *result);
/* What becomes of the connection after a reply; close: it was asked to be closed. */
ConnAfter serve_after(const ServeClient *c, unsigned status, bool close);
/* Takes the body, whatever happens. The rest is as conn_reply() has it. */
void serve_reply(ServeClient *c, Verb verb, Reply *reply, const ConnBody *body);
void serve_refuse(ServeClient *c, Verb verb, const Request *request, unsigned status);
/* Of a reply that could not be written: releases what was to follow, and ends the connection. */
void serve_give_up(ServeClient *c, const ConnBody *body);
/* A request that follows no protocol: logged, counted, and charged to its source. why: a sentence, or "". */
void serve_count_refused(ServeClient *c, uint64_t transaction, unsigned status, const char *phrase, const char *why);

/* The cache has files open: sees to it that they are closed when nobody asks for them any more. */
void serve_watch_files(ServeThread *t, const Now *now);

/* ---- serve-query.c ---- */

void serve_query(ServeClient *c, const Request *request);

/* ---- serve-document.c ---- */

#define DOCUMENT_NAME_SIZE sizeof("RFC 2147483647")
/* "RFC 7230"; 0: "rfc-index.txt" */
const char *document_name(uint32_t rfc, char ret[DOCUMENT_NAME_SIZE]);
usec_t own_document_modified_at(const OwnDocument *document);   /* realtime; 0: not known */
/* Answers */
enum {
        SERVE_NOT_HELD = 1,
        SERVE_NOT_READY,                /* not known yet: the library is read for the first time */
};
/* What is asked for: 0; SERVE_NOT_HELD, SERVE_NOT_READY, -errno: logged. */
int serve_find_document(ServeClient *c, const Request *request, ServeDocument *ret) _must_check_;
/* `size` bytes of it are about to be sent: how that ends is logged and counted by serve_document_sent(). */
void serve_begin_document(ServeClient *c, const Request *request, const OwnDocument *document, uint64_t size);
void serve_document_sent(ServeClient *c, bool ok, uint64_t n_sent);
void serve_document(ServeClient *c, const Request *request);

/* ---- serve-http.c ---- */

void serve_http(ServeClient *c, const MsgHead *head);
/* What is no head, but named a version of HTTP. */
void serve_http_bad_request(ServeClient *c, unsigned status, Slice bytes);
