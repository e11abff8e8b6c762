/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * Trust: how far one may believe that a document with that digest is that RFC. A grade belongs to (number, digest), and
 * comes from who says so (protocol, section 3) and from the administrator's manifest:
 *
 *   verified   the manifest names this digest
 *   agreed     a quorum of the holders say so themselves, from different address prefixes, and more than say anything else
 *   single     nobody who holds it says anything else, but they are fewer than the quorum
 *   disputed   holders say different things and none is agreed, or something else is agreed or verified
 *
 * What counts is prefixes (address_source()), not peers: one host can be as many peers as it likes, but has few
 * prefixes. Hearsay is no vote, since anybody can invent it: neither for nor against; where holders speak for themselves, a
 * text known by hearsay only is disputed. Nor is the own copy a vote: it came from the others.
 */

#include "core/grade.h"
#include "core/manifest.h"
#include "core/rfc-index.h"

typedef struct TrustConf {
        unsigned quorum;                /* Integrity.Quorum=: 1..GRADE_QUORUM_MAX */
        const Manifest *manifest;       /* borrowed; NULL: none */
} TrustConf;

/* A text of an RFC, that is a digest, and who says that it is the one. Live records only. */
typedef struct TrustText {
        Digest digest;
        uint64_t size;                  /* as most of them state it */
        Grade grade;
        size_t n_holders;               /* that say so themselves, not counting this peer */
        size_t n_prefixes;              /* of these */
        size_t n_hearsay;               /* holders of which only others say so */
        bool own;                       /* the own copy is this text */
} TrustText;

/* As many texts as are worth showing. */
#define TRUST_TEXTS_MAX 16
/*
 * So many records of one number are looked at, dead ones too, what holders say themselves before hearsay: some 0.5 ms
 * at worst. More is no use: it would take as many peers that were asked.
 */
#define TRUST_RECORDS_MAX 4096

/*
 * The texts of that number, best first: by grade, prefixes, the own copy's first, holders, digest; up to n. Gives how many
 * there are. The own copy's is among them, also if nobody else has it. Needs 300 kB of stack.
 */
size_t trust_texts(const RfcIndex *x, const TrustConf *conf, uint32_t number, const Now *now, TrustText *ret, size_t n);

/* A number as a whole. */
typedef struct TrustNumber {
        size_t n_holders;               /* of any text, this peer and hearsay counted: of what is looked at */
        size_t n_texts;
        TrustText text;                 /* the one that counts here: the own copy's, else the best */
} TrustNumber;

/* false: nobody is known to hold it. Adds to *n_records how many records were looked at, one at least. */
bool trust_number(const RfcIndex *x, const TrustConf *conf, uint32_t number, const Now *now, TrustNumber *ret,
                  size_t *n_records);

/* What all numbers together tell; zeroed at first. */
typedef struct TrustSurvey {
        size_t n_at_risk;               /* numbers with exactly one holder, this peer counted */
        size_t n_disputed;              /* numbers whose text that counts here is disputed */
} TrustSurvey;

/*
 * Adds the numbers > *after, until some max_records were looked at; *after moves on. true: there is more. By slices,
 * between which the index may change.
 */
bool trust_survey(const RfcIndex *x, const TrustConf *conf, uint32_t *after, size_t max_records, const Now *now,
                  TrustSurvey *s);
