/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * Every spelling of an RFC number, or of a number in one of the series that name RFCs once more, in one parser. Numbers
 * are 1..2147483647 (protocol, section 3); those of RFCs have had five digits since 2026.
 */

#include "core/base.h"
#include "core/buf.h"

#define RFC_NUMBER_MAX UINT32_C(2147483647)

/* Longest text that may be a number: with all that may stand around it, and some blanks and zeros. */
#define RFC_NUMBER_TEXT_MAX 64

typedef struct RfcRange {
        uint32_t first, last;           /* both included, first <= last */
} RfcRange;

/* Numbers, as ascending ranges that neither touch nor overlap. The ranges are owned. */
typedef struct RfcSet {
        RfcRange *ranges;
        size_t n_ranges;
} RfcSet;

/* Longest list that is taken from the wire: a head is at most 8 KiB, so it can't hold more than 4096. */
#define RFC_SET_RANGES_MAX 4096

/* Series within the RFCs: best current practice, for your information, standard. */
typedef enum RfcSeries {
        RFC_SERIES_BCP,
        RFC_SERIES_FYI,
        RFC_SERIES_STD,
        _RFC_SERIES_MAX,
} RfcSeries;

/* "BCP 14": another name of one RFC or several, which ones rfc-index.txt tells (core/rfc-meta). */
typedef struct RfcAlias {
        RfcSeries series;
        uint32_t number;                /* 1..RFC_NUMBER_MAX */
} RfcAlias;

/* Answers */
enum {
        RFC_NUMBER_BAD = 1,     /* no RFC number, or out of range; the output is untouched */
};

/*
 * As people write it: "7230", "rfc7230", "RFC 7230", "RFC-7230", "rfc07230", "rfc7230.txt", any case, one blank,
 * '-' or '_' between word and number, leading zeros, blanks around it. Over RFC_NUMBER_TEXT_MAX bytes it is none.
 */
int rfc_number_from_text(Slice s, uint32_t *ret) _must_check_;
/*
 * The same for "7230-7235", "rfc7230-rfc7235", "RFC 7230-7235", of twice that length and the '-'; a single number is a
 * range of one. first > last is BAD.
 */
int rfc_range_from_text(Slice s, RfcRange *ret) _must_check_;
/* An alias in the same spellings: "bcp14", "BCP 14", "std0003", "FYI-36", "bcp14.txt". */
int rfc_alias_from_text(Slice s, RfcAlias *ret) _must_check_;
#define RFC_ALIAS_TEXT_SIZE sizeof("BCP 2147483647")
/* "BCP 14" */
void rfc_alias_to_text(RfcAlias a, char ret[RFC_ALIAS_TEXT_SIZE]);
/* Is it "rfc", "bcp", "fyi" or "std" in any case, and no more: a word of two? */
bool rfc_number_is_word(Slice s);
/* As the wire writes it: decimal digits, no leading zero, 1..RFC_NUMBER_MAX. */
int rfc_number_from_wire(Slice s, uint32_t *ret) _must_check_;
/* Exactly "rfcN.txt", lower case, N as on the wire: the name that library and HTTP face use. */
int rfc_number_from_file_name(Slice s, uint32_t *ret) _must_check_;

#define RFC_FILE_NAME_SIZE sizeof("rfc2147483647.txt")
void rfc_number_to_file_name(uint32_t number, char ret[RFC_FILE_NAME_SIZE]);

/*
 * "7230,9110-9114" as in the header RFC: (numbers as on the wire, any order, overlaps allowed; result is
 * normalized). 0, RFC_NUMBER_BAD, -ENOMEM.
 */
int rfc_set_from_wire(Slice s, RfcSet *ret) _must_check_;
int rfc_set_to_wire(const RfcSet *s, Buf *b) _must_check_;
/* Adds a range, keeping the order. 0, RFC_NUMBER_BAD when there are more than RFC_SET_RANGES_MAX, -ENOMEM. */
int rfc_set_add(RfcSet *s, RfcRange range) _must_check_;
bool rfc_set_contains(const RfcSet *s, uint32_t number);
void rfc_set_done(RfcSet *s);
#define _cleanup_rfc_set_ _cleanup_(rfc_set_done)
