/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * What is known of an RFC beside its text: what the RFC Editor's rfc-index.txt tells of it, and its title from there,
 * from the editor's rfcN.json, or from the text of a document.
 */

#include "core/base.h"
#include "core/buf.h"
#include "core/rfc-number.h"

typedef struct RfcMeta RfcMeta;

/* Longest rfc-index.txt that is read: the real one has 2 MB. */
#define RFC_META_BYTES_MAX (64u << 20)
/*
 * What of it is kept, which a file of that size could make a quarter of a GiB: the real one has 10,000 entries, 2 MB of
 * texts and some 10,000 relations. What is beyond is left out.
 */
#define RFC_META_ENTRIES_MAX 100000
#define RFC_META_TEXTS_MAX (16u << 20)
#define RFC_META_RELATIONS_MAX 1000000
/* Longest entry: the longest real one has 2 kB. */
#define RFC_META_ENTRY_MAX (64u << 10)

/* Longest of the four lists of an entry: the longest real one has 84 (what RFC 8996 updates). */
#define RFC_META_RELATED_MAX 128

/* How an RFC stands to others: the lists of its entry. */
typedef enum RfcRelation {
        RFC_OBSOLETES,
        RFC_OBSOLETED_BY,
        RFC_UPDATES,
        RFC_UPDATED_BY,
        _RFC_RELATION_MAX,
} RfcRelation;

/* Longest list of an entry's aliases that is kept: real ones have one. */
#define RFC_META_ALIASES_MAX 8

/* An entry. Texts are valid UTF-8 without control bytes, and empty where the entry has none, but for the title. */
typedef struct RfcMetaInfo {
        bool issued;                    /* false: "Not Issued.", and all that follows is empty */
        bool has_text;                  /* its formats (TXT, PDF …) have TXT, or it names none */
        Slice title;                    /* never empty if issued */
        Slice authors;                  /* as written: "J. Klensin, P. Hoffman, Ed." */
        Slice date;                     /* as written: "June 2014", "1 April 1990" */
        Slice status;                   /* as written: "PROPOSED STANDARD" */
        /* RFC numbers in the order of the entry; what is no RFC is left out. NULL: none. */
        const uint32_t *related[_RFC_RELATION_MAX];
        size_t n_related[_RFC_RELATION_MAX];    /* up to RFC_META_RELATED_MAX, the rest is cut off */
} RfcMetaInfo;

/* In short. */
typedef enum RfcStanding {
        RFC_UNKNOWN,                    /* the index has no such number */
        RFC_NEVER_ISSUED,
        RFC_CURRENT,
        RFC_OBSOLETE,                   /* at least one other has obsoleted it */
} RfcStanding;

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
/* The end: 0, RFC_META_NONE (no issued RFC at all), -ENOMEM. */
int rfc_meta_end(RfcMeta *m) _must_check_;
/* false: no such entry. What *ret points to is valid as long as m. Of one number the last entry counts. */
bool rfc_meta_get(const RfcMeta *m, uint32_t number, RfcMetaInfo *ret);
/* The title alone. false: not there or "Not Issued". */
bool rfc_meta_title(const RfcMeta *m, uint32_t number, Slice *ret);
/* m NULL: there is no index, and nothing is known. */
RfcStanding rfc_meta_standing(const RfcMeta *m, uint32_t number);
/* Issued ones. */
size_t rfc_meta_count(const RfcMeta *m);
/*
 * The RFCs of an alias, ascending, up to n of them ("Also BCP14", of issued ones); gives how many there are. 0: none, or
 * m is NULL.
 */
size_t rfc_meta_alias(const RfcMeta *m, RfcAlias alias, uint32_t *ret, size_t n);
/*
 * The day it was made, as its preamble has it ("CREATED ON: 08/21/2026", month first), in days since 1970-01-01; 0: it
 * does not say, or says what is no day from 1970 to 9999. May be asked before the end, too: it is known from that line on.
 */
uint32_t rfc_meta_created(const RfcMeta *m);
#define RFC_META_DAY_TEXT_SIZE sizeof("9999-12-31")
/* "2026-08-21"; 0: "". */
void rfc_meta_day_to_text(uint32_t day, char ret[RFC_META_DAY_TEXT_SIZE]);

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
