/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * What an RFC is called: titles from the RFC Editor's rfc-index.txt, from the editor's rfcN.json, or from the text of
 * a document.
 */

#include "core/base.h"
#include "core/buf.h"

typedef struct RfcMeta RfcMeta;

/* Longest rfc-index.txt that is read: the real one has 2 MB. */
#define RFC_META_BYTES_MAX (64u << 20)
/* Longest entry: the longest real one has 2 kB. */
#define RFC_META_ENTRY_MAX (64u << 10)

/* Answers */
enum {
        RFC_META_NONE = 1,              /* nothing of use in it */
};

/*
 * Reads rfc-index.txt, in pieces as they come: entries start with a number (zero-padded or not) at column 0, go on in
 * indented lines, and end with an empty line. The sample entry of the preamble is skipped; lines and entries over the
 * limit, and whatever else can't be read, are passed over.
 */
int rfc_meta_new(RfcMeta **ret) _must_check_;
RfcMeta *rfc_meta_free(RfcMeta *m);
DEFINE_CLEANUP(RfcMeta *, rfc_meta_free)
int rfc_meta_feed(RfcMeta *m, Slice bytes) _must_check_;        /* 0, -ENOMEM */
/* The end: 0, RFC_META_NONE (no entry at all), -ENOMEM. */
int rfc_meta_end(RfcMeta *m) _must_check_;
/* false: not there or "Not Issued". The title is valid as long as m. */
bool rfc_meta_title(const RfcMeta *m, uint32_t number, Slice *ret);
size_t rfc_meta_count(const RfcMeta *m);

/*
 * The title out of the document itself, appended to b as valid UTF-8 without control bytes, blanks folded, at most
 * PROTO_TITLE_MAX bytes: the paragraph after the two-column header, 1 to 5 lines, skipping right-aligned paragraphs.
 * `text` is the beginning of the document (the first RFC_META_TEXT_SIZE bytes or all). 0, RFC_META_NONE, -ENOMEM.
 * Measured against the index, blanks, case and signs aside: 99.4 % are the same from RFC 2000 on (most others differ
 * between index and document), 90 % from 1000, 70 % below, where 77 % are but for an article at the start.
 */
#define RFC_META_TEXT_SIZE 16384
int rfc_title_from_text(Slice text, Buf *b) _must_check_;
/*
 * The "title" member of an rfcN.json (the editor's format), decoded: \uXXXX and the like; other members and nesting
 * are skipped. 0, RFC_META_NONE (no JSON object with a string title at its top), -ENOMEM.
 */
int rfc_title_from_json(Slice json, Buf *b) _must_check_;
/*
 * Makes anything a title: control bytes and bytes that are no UTF-8 become blanks, runs of blanks one, cut at
 * PROTO_TITLE_MAX. 0, RFC_META_NONE (nothing left), -ENOMEM.
 */
int rfc_title_clean(Slice raw, Buf *b) _must_check_;
