/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * What an entry looks like: the fields of the journal's native protocol, the readable line of stderr, and the message
 * of a received head with its cookie hidden. Bytes only; log.c sends them.
 */

#include "core/base.h"
#include "core/buf.h"
#include "io/log.h"

/* Of a message, as formatted and as escaped. */
#define LOG_MESSAGE_MAX ((size_t) 2048)
/* Of any other string, escaped. */
#define LOG_FIELD_MAX ((size_t) 256)
/* Of an entry for the journal: a message and all fields at their longest. */
#define LOG_ENTRY_MAX ((size_t) 8192)
/* Of a line: what a pipe takes in one piece (PIPE_BUF). */
#define LOG_LINE_MAX ((size_t) 4096)

typedef struct LogEntry {
        const char *identifier;
        LogLevel level;
        LogEvent event;
        const LogFields *fields;        /* or NULL */
        Slice message;                  /* not escaped */
} LogEntry;

/* All: 0, -ENOMEM, BUF_FULL (b's cap is for the caller to choose: LOG_ENTRY_MAX, LOG_LINE_MAX, LOG_MESSAGE_MAX). */

/* "MESSAGE=…\nPRIORITY=6\n…": no value has a line feed in it, so none needs the form with a length. */
int log_text_journal(Buf *b, const LogEntry *e) _must_check_;
/*
 * "p2pdi-rsd: peer 3 registered (register ok, 192.0.2.7:65424, 312us) [6f0c2c0e8d1b4c63]\n". What the message says
 * already is not said again.
 */
int log_text_line(Buf *b, const LogEntry *e) _must_check_;
/*
 * Lines of a head with " | " between them. From the word "cookie" or "authorization" on, in any case and anywhere
 * in a line, the line's rest and the lines that continue it become "***": what is malformed must not get a secret into
 * a log either.
 */
int log_text_head(Buf *b, Slice bytes) _must_check_;

/* 32 hex digits; NULL for LOG_EVENT_NONE. */
const char *log_event_id(LogEvent event);
/* What its entries are about, in words and many: "refused requests"; for LOG_EVENT_NONE "messages of other kinds". */
const char *log_event_kind(LogEvent event);
