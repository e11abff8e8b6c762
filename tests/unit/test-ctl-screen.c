/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ctl/screen.h"

#define OUT_MAX 65536

/* In pieces of so many bytes. */
static void assert_shown(Slice in, size_t piece, const char *expected) {
        _cleanup_buf_ Buf out = BUF_INIT(OUT_MAX);
        Screen s = {};

        for (size_t at = 0; at < in.size; at += piece)
                assert_int_equal(screen_filter(&s, (Slice){ in.data + at, MIN_OF(piece, in.size - at) }, &out), 0);
        assert_int_equal(screen_end(&s, &out), 0);
        assert_int_equal(buf_append_char(&out, '\0'), 0);
        assert_string_equal(out.data, expected);
}

static void assert_shown_anyhow(Slice in, const char *expected) {
        for (size_t piece = 1; piece <= in.size + 1; piece++)
                assert_shown(in, piece, expected);
}

typedef struct Case {
        const char *in, *shown;
} Case;

static void assert_cases(const Case *cases, size_t n) {
        for (size_t i = 0; i < n; i++)
                assert_shown_anyhow(slice_of(cases[i].in), cases[i].shown);
}

static void test_text_stays_as_it_is(_unused_ void **state) {
        static const Case cases[] = {
                { "", "" },
                { "a", "a" },
                { "a\n", "a\n" },
                { "\n\n\na\n\n\n\nb\n\n\n", "\n\n\na\n\n\n\nb\n\n\n" },
                { "  +--\\\t/--+\n", "  +--\\\t/--+\n" },
                { "caf\xc3\xa9 \xe2\x82\xac \xf0\x9d\x84\x9e\n", "caf\xc3\xa9 \xe2\x82\xac \xf0\x9d\x84\x9e\n" },
        };

        assert_cases(cases, ELEMENTSOF(cases));
}

static void test_page_breaks_are_hidden(_unused_ void **state) {
        static const Case cases[] = {
                { "[Page 1]\n\f\nRFC 1\n", "[Page 1]\n\nRFC 1\n" },
                { "[Page 1]\n\fRFC 1\n", "[Page 1]\nRFC 1\n" },
                { "[Page 1]\n\n\n\f\n\n\nRFC 1\n", "[Page 1]\n\nRFC 1\n" },
                { "[Page 1]\r\n\r\n\f\r\n\r\nRFC 1\r\n", "[Page 1]\n\nRFC 1\n" },
                { "[Page 1]\n\f\f\nRFC 1\n", "[Page 1]\n\nRFC 1\n" },
                { "a\fb\n", "a\nb\n" },
                { "\f\n\na\n", "a\n" },                 /* before the first page */
                { "a\n\n\f\n", "a\n" },                 /* behind the last */
                { "a\n\f", "a\n" },
                { "a\f", "a" "\n" },
                { "\f", "" },
                /* A blank that stands there is no blank line. */
                { "a\n \n\f\n \nb\n", "a\n \n\n \nb\n" },
        };

        assert_cases(cases, ELEMENTSOF(cases));
}

static void test_byte_order_mark_is_hidden_at_the_start_only(_unused_ void **state) {
        static const Case cases[] = {
                { "\xef\xbb\xbf", "" },
                { "\xef\xbb\xbf\n\na", "\n\na" },
                { "\xef\xbb\xbf\xef\xbb\xbf", "\\u{feff}" },
                { "a\xef\xbb\xbf", "a\\u{feff}" },
                { "\n\xef\xbb\xbf", "\n\\u{feff}" },
                { "\xef\xbb", "\\xef\\xbb" },
        };

        assert_cases(cases, ELEMENTSOF(cases));
}

static void test_nothing_controls_the_terminal(_unused_ void **state) {
        static const Case cases[] = {
                { "\x1b]0;title\x07", "\\x1b]0;title\\x07" },
                { "\x1b[2J\x9b" "2J\xc2\x9b" "2J", "\\x1b[2J\\x9b2J\\u{009b}2J" },
                { "_\bA\x7f\x0b\x0e", "_\\x08A\\x7f\\x0b\\x0e" },
                { "over\rwritten\n", "over\\x0dwritten\n" },
                { "a\r\r\nb\r", "a\\x0d\nb\\x0d" },
                { "\xe2\x80\xae\xe2\x81\xa6", "\\u{202e}\\u{2066}" },
                /* No UTF-8: cut short, overlong, alone, a surrogate, beyond the last. */
                { "\xe2\x82", "\\xe2\\x82" },
                { "\xe2\x82\x1b[m", "\\xe2\\x82\\x1b[m" },
                { "\xc0\x9b", "\\xc0\\x9b" },
                { "\xc1\x9b\xe0\x82\x9b\xf0\x80\x82\x9b", "\\xc1\\x9b\\xe0\\x82\\x9b\\xf0\\x80\\x82\\x9b" },
                { "\x80\xbf\xff\xfe", "\\x80\\xbf\\xff\\xfe" },
                { "\xed\xa0\x80\xf4\x90\x80\x80", "\\xed\\xa0\\x80\\xf4\\x90\\x80\\x80" },
                { "\xf0\x9d\x84\xf0\x9d\x84\x9e", "\\xf0\\x9d\\x84\xf0\x9d\x84\x9e" },
                { "caf\xe9\n", "caf\\xe9\n" },
        };

        assert_cases(cases, ELEMENTSOF(cases));
        assert_shown_anyhow((Slice){ "a\0b", 3 }, "a\\x00b");
}

static void test_however_many_blank_lines_wait(_unused_ void **state) {
        for (size_t n = SCREEN_BLANK_MAX - 1; n <= SCREEN_BLANK_MAX + 2; n++) {
                char in[SCREEN_BLANK_MAX + 8] = "", expected[SCREEN_BLANK_MAX + 8] = "";

                memset(in, '\n', n);
                memcpy(expected, in, n);
                in[n] = expected[n] = 'a';
                assert_shown(slice_of(in), 1, expected);
                assert_shown(slice_of(in), sizeof(in), expected);
        }
}

/* Whatever comes, no byte comes out that a terminal could obey, and never more than was promised. */
static void test_any_bytes(_unused_ void **state) {
        uint32_t seed = 1;

        for (unsigned round = 0; round < 2000; round++) {
                _cleanup_buf_ Buf whole = BUF_INIT(OUT_MAX), bytes = BUF_INIT(OUT_MAX);
                Screen a = {}, b = {};
                char in[64];

                for (size_t i = 0; i < sizeof(in); i++) {
                        static const char likely[] = "\n\n\f\r\xef\xbb\xbf\xc2\x9b\xe2\x80\xae\x1b";

                        seed = seed * 1664525 + 1013904223;
                        in[i] = seed >> 31 ? likely[(seed >> 8) % (sizeof(likely) - 1)] : (char) (seed >> 16);
                }
                assert_int_equal(screen_filter(&a, (Slice){ in, sizeof(in) }, &whole), 0);
                assert_int_equal(screen_end(&a, &whole), 0);
                for (size_t i = 0; i < sizeof(in); i++) {
                        size_t before = bytes.size;

                        assert_int_equal(screen_filter(&b, (Slice){ in + i, 1 }, &bytes), 0);
                        assert_true(bytes.size - before <= SCREEN_GROWTH);
                }
                assert_int_equal(screen_end(&b, &bytes), 0);
                assert_true(slice_equal(buf_slice(&whole), buf_slice(&bytes)));
                for (size_t i = 0; i < whole.size; i++) {
                        unsigned char c = (unsigned char) whole.data[i];

                        assert_true(c >= 0x20 || c == '\n' || c == '\t');
                        assert_true(c != 0x7f && !(c == 0xc2 && (unsigned char) whole.data[i + 1] < 0xa0));
                }
        }
}

static void test_room_that_is_not_there(_unused_ void **state) {
        _cleanup_buf_ Buf out = BUF_INIT(4);
        Screen s = {};

        assert_int_equal(screen_filter(&s, SLICE_LITERAL("abcde"), &out), BUF_FULL);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_text_stays_as_it_is),
                cmocka_unit_test(test_page_breaks_are_hidden),
                cmocka_unit_test(test_byte_order_mark_is_hidden_at_the_start_only),
                cmocka_unit_test(test_nothing_controls_the_terminal),
                cmocka_unit_test(test_however_many_blank_lines_wait),
                cmocka_unit_test(test_any_bytes),
                cmocka_unit_test(test_room_that_is_not_there),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
