/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/text.h"

#include <stdio.h>

#define ELLIPSIS "\xe2\x80\xa6"

/* Eight bytes at a time: names, values and titles are ASCII as a rule, and are looked at more than once. */
#define EACH_BYTE(x) (UINT64_MAX / 255 * (x))

static uint64_t load_word(const char *data) {
        uint64_t word;

        memcpy(&word, data, sizeof(word));
        return word;
}

static bool word_is_ascii(uint64_t word) {
        return (word & EACH_BYTE(0x80)) == 0;
}

/* Has it a byte below 0x20, or 0x7f? A byte of 0x80 and above is neither. */
static bool word_has_control(uint64_t word) {
        const uint64_t low = (word - EACH_BYTE(0x20)) & ~word;
        const uint64_t rest = word ^ EACH_BYTE(0x7f), del = (rest - EACH_BYTE(1)) & ~rest;

        return ((low | del) & EACH_BYTE(0x80)) != 0;
}

static const char decimal_pairs[] = "00010203040506070809" "10111213141516171819" "20212223242526272829"
                                    "30313233343536373839" "40414243444546474849" "50515253545556575859"
                                    "60616263646566676869" "70717273747576777879" "80818283848586878889"
                                    "90919293949596979899";

/* Of a number below 10,000: what has no digit is written over, which no guess about its size can get wrong. */
static char *put_small(char *to, uint32_t value) {
        const char *high = decimal_pairs + 2 * (value / 100), *low = decimal_pairs + 2 * (value % 100);

        *to = high[0];
        to += value >= 1000;
        *to = high[1];
        to += value >= 100;
        *to = low[0];
        to += value >= 10;
        *to = low[1];
        return to + 1;
}

/* Apart, so that small numbers, of which there are most, need no frame. Four levels at most. */
static __attribute__((noinline)) char *put_large(char *to, uint64_t value) {
        uint32_t low = (uint32_t) (value % 10000);

        value /= 10000;
        to = value < 10000 ? put_small(to, (uint32_t) value) : put_large(to, value);
        memcpy(to, decimal_pairs + 2 * (low / 100), 2);
        memcpy(to + 2, decimal_pairs + 2 * (low % 100), 2);
        return to + 4;
}

char *text_put_decimal(char *to, uint64_t value) {
        return value < 10000 ? put_small(to, (uint32_t) value) : put_large(to, value);
}

int text_to_uint64(Slice s, uint64_t max, uint64_t *ret) {
        uint64_t value = 0;

        if (s.size == 0 || (s.size > 1 && s.data[0] == '0'))
                return TEXT_BAD;

        for (size_t i = 0; i < s.size; i++) {
                uint64_t digit = (uint64_t) (unsigned char) s.data[i] - '0';

                if (digit > 9 || value > (UINT64_MAX - digit) / 10)
                        return TEXT_BAD;
                value = value * 10 + digit;
        }
        if (value > max)
                return TEXT_BAD;

        *ret = value;
        return 0;
}

int text_to_uint32(Slice s, uint32_t max, uint32_t *ret) {
        uint64_t value;
        int r;

        r = text_to_uint64(s, max, &value);
        if (r == 0)
                *ret = (uint32_t) value;
        return r;
}

/*
 * A table, as each of a million index lines has 64 of them, and no branch that is taken as often as not. What is no digit
 * has 0.
 */
#define HEX_DIGIT 0x10u

static const uint8_t hex_values[UINT8_MAX + 1] = {
        ['0'] = HEX_DIGIT | 0,  ['1'] = HEX_DIGIT | 1,  ['2'] = HEX_DIGIT | 2,  ['3'] = HEX_DIGIT | 3,
        ['4'] = HEX_DIGIT | 4,  ['5'] = HEX_DIGIT | 5,  ['6'] = HEX_DIGIT | 6,  ['7'] = HEX_DIGIT | 7,
        ['8'] = HEX_DIGIT | 8,  ['9'] = HEX_DIGIT | 9,  ['a'] = HEX_DIGIT | 10, ['b'] = HEX_DIGIT | 11,
        ['c'] = HEX_DIGIT | 12, ['d'] = HEX_DIGIT | 13, ['e'] = HEX_DIGIT | 14, ['f'] = HEX_DIGIT | 15,
        ['A'] = HEX_DIGIT | 10, ['B'] = HEX_DIGIT | 11, ['C'] = HEX_DIGIT | 12, ['D'] = HEX_DIGIT | 13,
        ['E'] = HEX_DIGIT | 14, ['F'] = HEX_DIGIT | 15,
};

int text_from_hex(Slice s, void *ret, size_t size) {
        const uint8_t *digits = (const uint8_t *) s.data;
        uint8_t *bytes = ret, all = HEX_DIGIT;

        if (s.size / 2 != size || s.size % 2 != 0)
                return TEXT_BAD;
        for (size_t i = 0; i < s.size; i++)
                all &= hex_values[digits[i]];
        if (!(all & HEX_DIGIT))
                return TEXT_BAD;

        /* The mark of the first goes over the edge, that of the second away. */
        for (size_t i = 0; i < size; i++)
                bytes[i] = (uint8_t) (hex_values[digits[2 * i]] << 4 | (hex_values[digits[2 * i + 1]] & 15));
        return 0;
}

void text_to_hex(const void *data, size_t size, char *ret) {
        static const char digits[] = "0123456789abcdef";
        const uint8_t *bytes = data;

        for (size_t i = 0; i < size; i++) {
                ret[2 * i] = digits[bytes[i] >> 4];
                ret[2 * i + 1] = digits[bytes[i] & 15];
        }
        ret[2 * size] = '\0';
}

int digest_from_text(Slice s, Digest *ret) {
        return text_from_hex(s, ret->bytes, sizeof(ret->bytes));
}

void digest_to_text(const Digest *d, char ret[DIGEST_TEXT_SIZE]) {
        text_to_hex(d->bytes, sizeof(d->bytes), ret);
}

/* Not tolower(): what is equal on the wire must not hang on somebody's locale. */
static char lower(char c) {
        return c >= 'A' && c <= 'Z' ? (char) (c + ('a' - 'A')) : c;
}

bool slice_equal_nocase(Slice a, Slice b) {
        if (a.size != b.size)
                return false;
        for (size_t i = 0; i < a.size; i++)
                if (lower(a.data[i]) != lower(b.data[i]))
                        return false;
        return true;
}

bool slice_starts_with(Slice s, const char *prefix) {
        size_t n = strlen(prefix);

        return s.size >= n && (n == 0 || memcmp(s.data, prefix, n) == 0);
}

static bool is_blank(char c) {
        return c == ' ' || c == '\t';
}

Slice slice_trim(Slice s) {
        while (s.size > 0 && is_blank(s.data[s.size - 1]))
                s.size--;
        while (s.size > 0 && is_blank(s.data[0])) {
                s.data++;
                s.size--;
        }
        return s;
}

bool slice_split(Slice *rest, char separator, Slice *ret) {
        const char *end;

        if (!rest->data)
                return false;

        end = rest->size > 0 ? memchr(rest->data, separator, rest->size) : NULL;
        if (!end) {
                *ret = *rest;
                *rest = (Slice){ NULL, 0 };
                return true;
        }
        *ret = (Slice){ rest->data, (size_t) (end - rest->data) };
        *rest = (Slice){ end + 1, rest->size - ret->size - 1 };
        return true;
}

void text_line_done(TextLine *l) {
        buf_done(&l->text);
        l->too_long = false;
}

int text_line_take(TextLine *l, Slice *rest) {
        if (rest->size == 0)
                return TEXT_MORE;
        const char *end = memchr(rest->data, '\n', rest->size);
        size_t size = end ? (size_t) (end - rest->data) : rest->size, taken = end ? size + 1 : size;
        int r = l->too_long ? 0 : buf_append_slice(&l->text, (Slice){ rest->data, size });
        if (r < 0)
                return r;
        if (r > 0)
                l->too_long = true;
        *rest = (Slice){ rest->data + taken, rest->size - taken };
        return end ? 0 : TEXT_MORE;
}

void text_line_clear(TextLine *l) {
        buf_clear(&l->text);
        l->too_long = false;
}

size_t text_next_character(Slice s, uint32_t *ret) {
        static const uint32_t smallest[] = { 0, 0, 0x80, 0x800, 0x10000 };
        const unsigned char *p = (const unsigned char *) s.data;
        uint32_t c;
        size_t n;

        if (s.size == 0)
                return 0;
        if (p[0] < 0x80) {
                *ret = p[0];
                return 1;
        }
        n = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
        if (p[0] < 0xc2 || p[0] > 0xf4 || s.size < n)
                return 0;

        c = p[0] & (0x7fu >> n);
        for (size_t i = 1; i < n; i++) {
                if ((p[i] & 0xc0) != 0x80)
                        return 0;
                c = c << 6 | (p[i] & 0x3f);
        }
        if (c < smallest[n] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
                return 0;
        *ret = c;
        return n;
}

bool text_is_utf8(Slice s) {
        while (s.size > 0) {
                uint32_t c;
                size_t n;

                if (s.size >= sizeof(uint64_t) && word_is_ascii(load_word(s.data)))
                        n = sizeof(uint64_t);
                else
                        n = (unsigned char) s.data[0] < 0x80 ? 1 : text_next_character(s, &c);
                if (n == 0)
                        return false;
                s.data += n;
                s.size -= n;
        }
        return true;
}

bool text_has_control(Slice s) {
        size_t i;

        for (i = 0; i + sizeof(uint64_t) <= s.size; i += sizeof(uint64_t))
                if (word_has_control(load_word(s.data + i)))
                        return true;
        for (; i < s.size; i++)
                if ((unsigned char) s.data[i] < 0x20 || s.data[i] == 0x7f)
                        return true;
        return false;
}

bool text_is_unfit(uint32_t c) {
        return c < 0x20 || (c >= 0x7f && c <= 0x9f) || c == 0x61c || c == 0x200e || c == 0x200f ||
                (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069) || c == 0xfeff;
}

bool text_is_fit(Slice s) {
        while (s.size > 0) {
                uint32_t c;
                size_t n = text_next_character(s, &c);

                if (n == 0 || text_is_unfit(c))
                        return false;
                s = (Slice){ s.data + n, s.size - n };
        }
        return true;
}

/* What the first character of s looks like; gives the bytes that it takes up in s. */
static size_t escape_next(Slice s, char text[16], Slice *ret) {
        uint32_t c;
        size_t n = text_next_character(s, &c);
        int size;

        if (n == 0) {
                n = 1;
                size = snprintf(text, 16, "\\x%02x", (unsigned) (unsigned char) s.data[0]);
        } else if (c == '\\')
                size = snprintf(text, 16, "\\\\");
        else if (text_is_unfit(c))
                size = snprintf(text, 16, n == 1 ? "\\x%02x" : "\\u{%04x}", (unsigned) c);
        else {
                *ret = (Slice){ s.data, n };
                return n;
        }
        *ret = (Slice){ text, (size_t) size };
        return n;
}

int text_escape(Buf *b, Slice s, size_t max_out) {
        const size_t start = b->size, ellipsis = sizeof(ELLIPSIS) - 1;
        size_t cut = start;             /* behind the last character that leaves room for an ellipsis */
        int r;

        while (s.size > 0) {
                char text[16];
                Slice shown;
                size_t n = escape_next(s, text, &shown);

                if (shown.size > max_out - (b->size - start)) {
                        buf_truncate(b, cut);
                        r = max_out >= ellipsis ? buf_append_string(b, ELLIPSIS) : 0;
                        if (r != 0)
                                buf_truncate(b, start);
                        return r;
                }
                r = buf_append_slice(b, shown);
                if (r != 0) {
                        buf_truncate(b, start);
                        return r;
                }
                if (max_out >= ellipsis && b->size - start <= max_out - ellipsis)
                        cut = b->size;
                s.data += n;
                s.size -= n;
        }
        return 0;
}
