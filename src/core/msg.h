/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * Bytes <-> head: start line, headers, length of the body (protocol, section 1). Knows no verb. Parsers take bytes
 * and return slices into them; nothing is copied. The same reader serves P2P-DI/1.0 and HTTP, which differ in the
 * version only.
 */

#include "core/base.h"
#include "core/buf.h"

#define MSG_HEAD_MAX 8192       /* bytes of a head, protocol section 1 */
#define MSG_HEADERS_MAX 64

typedef enum MsgVersion {
        MSG_P2PDI_1_0,
        MSG_HTTP_1_0,
        MSG_HTTP_1_1,
        MSG_HTTP_OTHER,         /* "HTTP/" and something else: 505, in the form of HTTP */
        MSG_VERSION_OTHER,      /* a well-formed head of a version unknown here: 505 */
} MsgVersion;

typedef struct MsgHeader {
        Slice name, value;      /* value without blanks around it */
} MsgHeader;

typedef struct MsgHead {
        MsgVersion version;
        /* request */
        Slice method, document;
        /* response */
        unsigned status;        /* 100..999 */
        /* both */
        size_t n_headers;
        MsgHeader headers[MSG_HEADERS_MAX];
        size_t size;            /* bytes of the head with its empty line */
} MsgHead;

/* Answers */
enum {
        MSG_PARTIAL = 1,        /* not yet whole (and under the limit): read on. (MSG_MORE is taken by <sys/socket.h>.) */
        MSG_BAD,                /* 400: does not follow the grammar */
        MSG_TOO_LARGE,          /* 431: over MSG_HEAD_MAX or MSG_HEADERS_MAX */
};

/*
 * The head at the start of the bytes. A bare LF is taken for a line end; one empty line before a request is skipped
 * (as HTTP does; it counts into size). The document may hold single spaces: the method ends at the first, the
 * version starts after the last space. MSG_BAD for: folded line, blank before the colon, bare CR or other control
 * byte (tab in a value is fine), empty name, bytes of 0x80 and above in names, method or version, empty method or
 * document. A response may lack the phrase and the space before it. Before a head is whole it is only MSG_PARTIAL or
 * MSG_TOO_LARGE, so the answer does not depend on how the bytes came in.
 */
int msg_parse_request(Slice bytes, MsgHead *ret) _must_check_;
int msg_parse_response(Slice bytes, MsgHead *ret) _must_check_;

/*
 * The version that the request line names, of bytes that may be no head at all: what to answer a bad request in.
 * MSG_VERSION_OTHER where there is no whole line, or no version at its end.
 */
MsgVersion msg_spoken_version(Slice bytes);

/* The value of a header, names are case-blind. false: not there. Of several the first. */
bool msg_header(const MsgHead *h, const char *name, Slice *ret);
/* Does one of the comma-separated words of that header equal `word`, case-blind? (Connection: close) */
bool msg_header_has_word(const MsgHead *h, const char *name, const char *word);

/* Writers: 0, BUF_FULL, -ENOMEM. */
int msg_begin_request(Buf *b, MsgVersion version, const char *method, Slice document) _must_check_;
int msg_begin_response(Buf *b, MsgVersion version, unsigned status) _must_check_;
/* Value must hold no control bytes (assert): whoever has it from outside has checked it. */
int msg_add_header(Buf *b, const char *name, const char *format, ...) _must_check_ _printf_(3, 4);
/* The same of a value that is there already. */
int msg_add_text(Buf *b, const char *name, Slice value) _must_check_;
/* In the form of RFC 9110, from realtime; without strftime (no locale). */
#define MSG_DATE_SIZE 40
void msg_date_to_text(usec_t realtime, char ret[MSG_DATE_SIZE]);
int msg_add_date(Buf *b, const char *name, usec_t realtime) _must_check_;
int msg_end(Buf *b) _must_check_;

/* "Unknown Cookie" for 401 and so on, "Unknown" for others. */
const char *msg_phrase(unsigned status);
/* Of the versions that are known here (assert). */
const char *msg_version_text(MsgVersion version);
