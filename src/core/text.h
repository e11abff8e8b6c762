/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * The few things that several parsers do with text: numbers, hex, lines, and the one function that makes a
 * string from outside fit to be shown.
 */

#include "core/base.h"
#include "core/buf.h"

/* Answers */
enum {
        TEXT_BAD = 1,           /* not of that form, or out of range; the output is untouched */
        TEXT_MORE = 2,          /* no line end yet */
};

/*
 * Decimal digits only (no sign, no blank, no leading zero but "0" itself), at most max.
 */
int text_to_uint64(Slice s, uint64_t max, uint64_t *ret) _must_check_;
int text_to_uint32(Slice s, uint32_t max, uint32_t *ret) _must_check_;

/*
 * Writers for what is written a thousand times a second, where printf() would cost more than all else. Each gives where
 * to go on; nothing is terminated. A number takes up to TEXT_DECIMAL_MAX bytes.
 */
#define TEXT_DECIMAL_MAX 20             /* 2^64 - 1 has twenty digits */
char *text_put_decimal(char *to, uint64_t value) _must_check_;
static inline char *text_put_slice(char *to, Slice s) {
        if (s.size > 0)
                memcpy(to, s.data, s.size);
        return to + s.size;
}

/* Exactly 2 * size hex digits, upper or lower case. */
int text_from_hex(Slice s, void *ret, size_t size) _must_check_;
/* Writes 2 * size lower-case hex digits and a NUL. */
void text_to_hex(const void *data, size_t size, char *ret);

#define DIGEST_TEXT_SIZE (2 * DIGEST_SIZE + 1)
int digest_from_text(Slice s, Digest *ret) _must_check_;
void digest_to_text(const Digest *d, char ret[DIGEST_TEXT_SIZE]);

/* ASCII case does not count. */
bool slice_equal_nocase(Slice a, Slice b);
bool slice_starts_with(Slice s, const char *prefix);
/* Without blanks and tabs at both ends. */
Slice slice_trim(Slice s);
/*
 * The part of *rest before the first `separator`, which *rest then starts behind; without one all of it, and
 * *rest becomes { NULL, 0 }. false when *rest was { NULL, 0 }.
 */
bool slice_split(Slice *rest, char separator, Slice *ret);

/* A line of a file that comes in pieces. */
typedef struct TextLine {
        Buf text;               /* without the line feed */
        bool too_long;          /* for the cap of text, and passed over up to its end: text is a part of it */
} TextLine;

#define TEXT_LINE_INIT(max_size) ((TextLine){ .text = BUF_INIT(max_size) })
void text_line_done(TextLine *l);
/*
 * Takes off *rest what belongs to the line. 0: it is whole, to be cleared before the next one; TEXT_MORE: *rest is empty;
 * -ENOMEM.
 */
int text_line_take(TextLine *l, Slice *rest) _must_check_;
void text_line_clear(TextLine *l);

/* For "%s" behind a word: nothing of one, "s" of any other number. */
static inline const char *plural(uint64_t n) {
        return n == 1 ? "" : "s";
}
/* Whole and shortest-form UTF-8, no surrogates, up to U+10FFFF. NUL counts as valid. */
bool text_is_utf8(Slice s);
/* No C0 (also no tab), no DEL. What a title, a host name or an OS name must be beside UTF-8. */
bool text_has_control(Slice s);

/*
 * The character at the start of s: gives its bytes, and which one it is; 0 where there is no whole one in its shortest
 * form.
 */
size_t text_next_character(Slice s, uint32_t *ret);
/* Characters that move the cursor, turn the direction of text, or can't be seen: those that text_escape() escapes. */
bool text_is_unfit(uint32_t character);
/* May it be shown as it is? UTF-8, and no unfit character in it. */
bool text_is_fit(Slice s);

/*
 * Appends s so that it can be shown on a terminal, in a journal message and in STATUS=: C0 (also tab and line
 * feed), DEL, C1 (U+0080..U+009F), bidirectional controls (U+061C, U+200E/F, U+202A..E, U+2066..9), U+2028/9,
 * U+FEFF, and bytes that are no UTF-8 become \xNN (bytes) or \u{NNNN} (characters); a backslash becomes "\\". At
 * most max_out bytes are added; what does not fit is cut at a whole character and "…" (3 bytes, within max_out) is
 * put there. Every string from outside goes through this once.
 */
int text_escape(Buf *b, Slice s, size_t max_out) _must_check_;
