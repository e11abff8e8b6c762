/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * Heads <-> typed requests and replies; the formats of peer-list and index lines. The only file beside core/msg
 * that knows the wire. Text: p2pdi-protocol(7).
 */

#include "core/address.h"
#include "core/base.h"
#include "core/buf.h"
#include "core/msg.h"
#include "core/rfc-number.h"

/* RFC server: in 65400..65500 of the text that defined P2P-DI, above Linux's ephemeral ports */
#define PROTO_RFC_PORT 65424
#define PROTO_TTL_SEC 7200              /* a lease, and a record of an own document */
#define PROTO_HOST_MAX 253              /* bytes of a host name, RFC 1035 */
#define PROTO_OS_MAX 253
#define PROTO_TITLE_MAX 1024
#define PROTO_COOKIE_MAX ((UINT64_C(1) << 53) - 1)
#define PROTO_INDEX_RECORDS_MAX 65536   /* of one answer */
#define PROTO_INDEX_BYTES_MAX (16u << 20)
#define PROTO_DOCUMENT_BYTES_MAX (UINT64_C(1) << 40)    /* sanity; Store.MaxFileSize= is the real limit */
#define PROTO_INDEX_LINE_MAX (PROTO_TITLE_MAX + 256)
#define PROTO_PEER_LINE_MAX 512

/* Which kind of server is spoken to: each knows its own documents only. */
typedef enum ProtoFace {
        PROTO_REGISTRATION,
        PROTO_PEER,
} ProtoFace;

typedef enum Verb {
        VERB_REGISTER,          /* registration server */
        VERB_LEAVE,
        VERB_KEEPALIVE,
        VERB_PQUERY,
        VERB_RFC_INDEX,         /* peer: RFCQuery */
        VERB_GET_RFC,
        VERB_GET_EDITOR_INDEX,
        _VERB_MAX,
} Verb;

/*
 * "register", "leave", "keepalive", "list-peers", "get-index", "get-rfc", "get-editor-index": P2PDI_OPERATION of
 * the journal.
 */
const char *verb_operation(Verb v);
/* Asks only: may be sent again when a connection broke before an answer (section 1). */
bool verb_is_get(Verb v);

/* Epoch and count of changes of a peer's own documents. {0, 0}: "I have nothing of yours". */
typedef struct Generation {
        uint64_t epoch;
        uint64_t number;
} Generation;
#define GENERATION_TEXT_SIZE 42
int generation_from_text(Slice s, Generation *ret) _must_check_;        /* "E.N"; 0 or TEXT_BAD */
void generation_to_text(Generation g, char ret[GENERATION_TEXT_SIZE]);

/* A request, either way. Slices point into the head it was parsed from. */
typedef struct Request {
        Verb verb;
        MsgVersion version;
        uint64_t transaction;           /* 0: none */
        bool close;                     /* Connection: close */
        Slice host, os;                 /* for people only; valid UTF-8 without control bytes, or empty */
        /* registration server */
        uint64_t cookie;                /* 0: none */
        uint16_t port;                  /* Register */
        bool has_advertise;
        Address advertise;
        uint32_t limit;                 /* PQuery: 0: none given */
        uint32_t after;                 /* PQuery */
        bool has_after;
        /* peer */
        uint32_t rfc;                   /* GetRFC */
        bool has_if_generation;
        Generation if_generation;
        RfcSet rfcs;                    /* RFC: header; owned, see request_done(); n_ranges 0: none */
        bool has_range;                 /* Range: bytes=N- (P2P-DI face) */
        uint64_t range_first;
        bool has_if_digest;
        Digest if_digest;
} Request;

/* A reply. Which fields count depends on what was asked; has_… or a zero tells what was there. */
typedef struct Reply {
        unsigned status;
        uint64_t transaction;
        bool close;
        bool has_length;
        uint64_t length;                /* Content-Length of the body that follows */
        uint32_t retry_after_sec;       /* 0: none */
        /* registration server */
        uint64_t cookie;
        uint32_t peer_id;
        uint32_t ttl_sec;
        uint32_t keep_alive_sec;
        bool has_address;
        Address address;
        bool has_active;
        uint32_t active;
        /* peer */
        bool has_generation;
        Generation generation;
        bool has_index_digest;
        Digest index_digest;
        bool has_digest;
        Digest digest;
        Slice title;
        usec_t last_modified;           /* realtime; 0: none (readers ignore it) */
        bool has_content_range;
        uint64_t range_first, range_last, range_size;
} Reply;

/* Answers of the readers, beside the statuses that proto_parse_request() gives. */
enum {
        PROTO_BAD = 1,                  /* a reply or a line that does not follow the protocol */
        PROTO_MORE = 2,                 /* no whole line yet */
};

/*
 * 0: *ret holds the request; free it with request_done(). > 0: the status to answer with (400, 404, 405, 413, 505),
 * as of protocol sections 1 to 3. -ENOMEM. HTTP versions: PROTO_REGISTRATION answers 505, on PROTO_PEER they are
 * not for this function (the caller looks at head->version first).
 */
int proto_parse_request(const MsgHead *head, ProtoFace face, Request *ret) _must_check_;
void request_done(Request *r);
#define _cleanup_request_ _cleanup_(request_done)
/*
 * 0, BUF_FULL (also for a head over MSG_HEAD_MAX, which nobody would take: too long a list in `rfcs`), -ENOMEM. Always
 * P2P-DI/1.0. host and os must hold no control bytes (assert).
 */
int proto_write_request(Buf *b, const Request *q) _must_check_;

/*
 * 0, PROTO_BAD. A reply without Content-Length is PROTO_BAD, but for 204 and 304. So is one without what its reader
 * can't do without: Cookie and TTL in a 200 to Register, Generation in a 226, Digest in a 200 or 206 with a
 * document, Content-Range in a 206 (to the document's end, and as long as Content-Length says).
 */
int proto_parse_reply(const MsgHead *head, Verb verb, Reply *ret) _must_check_;
/*
 * The head of a reply. Adds Date: and Server: (name and version of the program, e.g. "p2pdi/0.1.0"), Content-Length
 * unless 204 or 304, Connection: close where proto_status_closes(), and every field that is set. 0, BUF_FULL,
 * -ENOMEM.
 */
int proto_write_reply(Buf *b, Verb verb, const Reply *p, const char *server, usec_t realtime) _must_check_;

/*
 * The transaction and the wish to close, from any head that parsed, so that an error reply can echo them. Never fails.
 */
void proto_peek(const MsgHead *head, uint64_t *ret_transaction, bool *ret_close);

/* After these statuses a server reads no further request of the connection: 400 408 413 431 505. */
bool proto_status_closes(unsigned status);

#define TRANSACTION_TEXT_SIZE 17
void transaction_to_text(uint64_t transaction, char ret[TRANSACTION_TEXT_SIZE]);
int transaction_from_text(Slice s, uint64_t *ret) _must_check_;         /* 16 lower-case hex, not 0; 0 or TEXT_BAD */

/*
 * Lines. Readers: 0 and *bytes starts behind the line; PROTO_BAD, also for a line over the limit; PROTO_MORE: no
 * line feed yet (at the end of a body: a short one). Writers: 0, BUF_FULL, -ENOMEM; titles and host names must be
 * UTF-8 without control bytes and within their limits (assert): whoever has them from outside has checked them.
 */

/* One line of a peer list. host points into the bytes parsed; it may be empty. */
typedef struct PeerLine {
        Endpoint endpoint;
        uint32_t id;
        uint32_t ttl_sec;
        Slice host;
} PeerLine;
int proto_write_peer_line(Buf *b, const PeerLine *l) _must_check_;
/* The line at the start of *bytes, which then starts behind it. Empty bytes: PROTO_MORE. */
int proto_parse_peer_line(Slice *bytes, PeerLine *ret) _must_check_;

/* One line of an index body. title points into the bytes parsed. */
typedef struct IndexLine {
        bool removed;                   /* 226: "-"; number and self count, the rest is zero */
        bool added;                     /* 226: "+" */
        uint32_t number;
        uint32_t ttl_sec;
        bool self;                      /* holder "-": the answering peer */
        Endpoint holder;
        uint64_t size;
        Digest digest;
        Slice title;
} IndexLine;
/*
 * delta: with the leading '+' or '-' of a 226; such lines tell of own documents only, others are PROTO_BAD. A ttl
 * is never 0.
 */
int proto_write_index_line(Buf *b, const IndexLine *l, bool delta) _must_check_;
int proto_parse_index_line(Slice *bytes, bool delta, IndexLine *ret) _must_check_;
/* The order of lines: by number, then by the holder's text as bytes ("-" first). < 0, 0, > 0. */
int proto_compare_index_lines(const IndexLine *a, const IndexLine *b);

/* What Index-Digest covers of one own record: number TAB size TAB sha256 TAB title LF. */
int proto_write_digest_line(Buf *b, uint32_t number, uint64_t size, const Digest *digest, Slice title) _must_check_;
