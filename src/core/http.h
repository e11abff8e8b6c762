/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * The HTTP face of the RFC server (protocol, section 5): heads of HTTP/1.0 and 1.1 <-> typed requests and replies, and
 * what a condition or a range makes of an answer (RFC 9110, sections 13 and 14). Knows no path: which ones there are is
 * for the server to say. Text: p2pdi-protocol(7).
 */

#include "core/base.h"
#include "core/buf.h"
#include "core/msg.h"

/* A path that is longer than this is none that we know: ours have at most 23 bytes. */
#define HTTP_PATH_SIZE 64

typedef struct HttpRequest {
        const MsgHead *message;         /* borrowed: conditions and ranges are read when the answer is known */
        bool head;                      /* HEAD: the same answer without its body */
        bool close;                     /* after the answer: HTTP/1.0 without keep-alive, or Connection: close */
        bool keep_alive;                /* HTTP/1.0 that asked to stay: the answer says that it does */
        uint64_t transaction;           /* 0: none */
        /*
         * Without query, and with %XX decoded where it stands for a letter, digit, "-", ".", "_" or "~": only those
         * are the same either way (RFC 3986, 6.2.2.2). %2F or %00 stay as they are, so they are in no path that is
         * known. "": longer than HTTP_PATH_SIZE.
         */
        char path[HTTP_PATH_SIZE];
} HttpRequest;

/*
 * What every answer needs to know, from any head that parsed: all but `path`. A transaction that is none counts as
 * none. Never fails.
 */
void http_peek(const MsgHead *head, HttpRequest *ret);
/*
 * 0: *ret. > 0: the status to answer with (400, 405, 413, 505); *ret_why is then a sentence without its line end that
 * says what is wrong and what is right. A body is refused first, since nobody knows where the next request would
 * start.
 *
 *   413, 400  as in the rest of the protocol: no request has a body
 *   400       Host: missing (1.1), twice, or none; Transaction:, Content-Length:, Range:, If-Range:,
 *             If-Modified-Since: or If-Unmodified-Since: twice; a target that is neither a path nor "http://host/path",
 *             or has a bad %XX
 *   405       neither GET nor HEAD
 *   505       neither HTTP/1.0 nor HTTP/1.1
 */
int http_parse_request(const MsgHead *head, HttpRequest *ret, const char **ret_why) _must_check_;

/* What a path leads to, as it is now. */
typedef struct HttpEntity {
        uint64_t size;
        Digest digest;                  /* its ETag, strong, and its Repr-Digest */
        usec_t modified_at;             /* realtime; 0: not known */
} HttpEntity;

/* What is to be sent of it. */
typedef struct HttpAnswer {
        unsigned status;                /* 200, 206, 304, 412, 416 */
        uint64_t first, size;           /* 200 and 206: which bytes. Else 0. */
} HttpAnswer;

/*
 * RFC 9110, section 13.2.2, in that order: If-Match, and only without it If-Unmodified-Since (else 412); If-None-Match,
 * and only without it If-Modified-Since (304); then Range, if If-Range names the same ETag or is not there (a date
 * gives the whole: two versions may be of the same second). One range of bytes only: other units and several ranges
 * give the whole, as RFC 9110 allows. HEAD knows no range. A date that is none is ignored.
 */
HttpAnswer http_decide(const HttpRequest *q, const HttpEntity *e);

/*
 * A date in one of the three forms of RFC 9110, section 5.6.7, as realtime; 0 for one before 1970. Years of two digits
 * are 1970 to 2069. 0, TEXT_BAD.
 */
int http_date_from_text(Slice s, usec_t *ret) _must_check_;

/* A reply. What is zero or NULL is left out. */
typedef struct HttpReply {
        unsigned status;
        uint64_t transaction;
        bool close, keep_alive;
        const HttpEntity *entity;       /* ETag, Repr-Digest, Last-Modified, Accept-Ranges; 416: its size */
        uint64_t first, length;         /* of the body, which HEAD leaves out; 206: from `first` of the entity */
        const char *type;               /* Content-Type: */
        const char *cache;              /* Cache-Control: */
        const char *policy;             /* Content-Security-Policy: */
        const char *location;
        uint32_t retry_after_sec;
} HttpReply;

/*
 * The head of a reply: of HTTP/1.1, also to an HTTP/1.0 request (RFC 9110, 6.2). Content-Length but for 304, Allow:
 * for 405, Connection: close where proto_status_closes(), X-Content-Type-Options: nosniff. 0, BUF_FULL, -ENOMEM.
 */
int http_write_reply(Buf *b, const HttpReply *p, const char *server, usec_t realtime) _must_check_;

/* Those of RFC 9110 and 6585, for what this server sends; "Unknown" for others. */
const char *http_phrase(unsigned status);
