/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "core/text.h"

static void test_numbers_are_plain_decimals(void **state) {
        static const struct {
                const char *text;
                uint64_t max;
                int result;
                uint64_t value;
        } table[] = {
                { "0", 9, 0, 0 },
                { "7", 9, 0, 7 },
                { "9", 9, 0, 9 },
                { "10", 9, TEXT_BAD, 0 },
                { "65423", 65535, 0, 65423 },
                { "65536", 65535, TEXT_BAD, 0 },
                { "18446744073709551615", UINT64_MAX, 0, UINT64_MAX },
                { "18446744073709551616", UINT64_MAX, TEXT_BAD, 0 },
                { "18446744073709551620", UINT64_MAX, TEXT_BAD, 0 },
                { "99999999999999999999999999999", UINT64_MAX, TEXT_BAD, 0 },
                { "", 9, TEXT_BAD, 0 },
                { "00", 9, TEXT_BAD, 0 },
                { "01", 9, TEXT_BAD, 0 },
                { "+1", 9, TEXT_BAD, 0 },
                { "-1", 9, TEXT_BAD, 0 },
                { " 1", 9, TEXT_BAD, 0 },
                { "1 ", 9, TEXT_BAD, 0 },
                { "1a", 99, TEXT_BAD, 0 },
                { "0x1", 99, TEXT_BAD, 0 },
                { "/", 99, TEXT_BAD, 0 },
                { ":", 99, TEXT_BAD, 0 },
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                uint64_t value = 4711;
                uint32_t small = 4711;

                assert_int_equal(text_to_uint64(slice_of(table[i].text), table[i].max, &value), table[i].result);
                assert_int_equal(value, table[i].result == 0 ? table[i].value : 4711);
                if (table[i].max > UINT32_MAX)
                        continue;
                assert_int_equal(text_to_uint32(slice_of(table[i].text), (uint32_t) table[i].max, &small),
                                 table[i].result);
                assert_int_equal(small, table[i].result == 0 ? table[i].value : 4711);
        }
        assert_int_equal(text_to_uint64((Slice){ "1\0", 2 }, 99, &(uint64_t){ 0 }), TEXT_BAD);
        assert_int_equal(text_to_uint32(SLICE_LITERAL("4294967296"), UINT32_MAX, &(uint32_t){ 0 }), TEXT_BAD);
}

static void test_what_is_fit_to_be_shown(void **state) {
        static const char *const fit[] = { "", "/var/lib/p2pdi/rfc7.txt", "\\", "\xc3\xa4", "\xf0\x9f\x98\x80" };
        static const char *const unfit[] = { "a\n", "\t", "\x1b[2J", "\x7f", "\xc2\x9b", "\xe2\x80\xae", "\xff", "\xc3", "\xed\xa0\x80" };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(fit); i++)
                assert_true(text_is_fit(slice_of(fit[i])));
        for (size_t i = 0; i < ELEMENTSOF(unfit); i++)
                assert_false(text_is_fit(slice_of(unfit[i])));
}

static void test_hex_round_trip(void **state) {
        static const char *const bad[] = { "", "0", "00112233445566", "001122334455667g", "0011223344556677 ",
                                           "00112233445566778", "00112233 4556677" };
        const uint8_t bytes[8] = { 0x00, 0x1f, 0x80, 0xff, 0xa5, 0x5a, 0x09, 0x90 };
        uint8_t back[8] = { 0 };
        char text[17];

        (void) state;
        text_to_hex(bytes, 8, text);
        assert_string_equal(text, "001f80ffa55a0990");
        assert_int_equal(text_from_hex(slice_of(text), back, 8), 0);
        assert_memory_equal(back, bytes, 8);
        assert_int_equal(text_from_hex(SLICE_LITERAL("001F80FFA55A0990"), back, 8), 0);
        assert_memory_equal(back, bytes, 8);

        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                assert_int_equal(text_from_hex(slice_of(bad[i]), back, 8), TEXT_BAD);
        assert_memory_equal(back, bytes, 8);
}

static void test_digest_round_trip(void **state) {
        const char *text = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        char again[DIGEST_TEXT_SIZE];
        Digest d;

        (void) state;
        assert_int_equal(digest_from_text(slice_of(text), &d), 0);
        digest_to_text(&d, again);
        assert_string_equal(again, text);
        for (size_t n = 0; n < 64; n++)
                assert_int_equal(digest_from_text((Slice){ text, n }, &d), TEXT_BAD);
}

static void test_case_of_ascii_does_not_count(void **state) {
        (void) state;
        assert_true(slice_equal_nocase(SLICE_LITERAL("Content-LENGTH"), SLICE_LITERAL("content-length")));
        assert_true(slice_equal_nocase(SLICE_LITERAL(""), (Slice){ NULL, 0 }));
        assert_false(slice_equal_nocase(SLICE_LITERAL("Host"), SLICE_LITERAL("Hos")));
        /* '@' and '`', '[' and '{' differ in the same bit as letters do */
        assert_false(slice_equal_nocase(SLICE_LITERAL("@["), SLICE_LITERAL("`{")));
        assert_false(slice_equal_nocase(SLICE_LITERAL("\xc4"), SLICE_LITERAL("\xe4")));
}

static void test_prefix_and_trim(void **state) {
        static const struct {
                const char *text, *trimmed;
        } table[] = {
                { "", "" }, { " ", "" }, { " \t \t", "" }, { "a", "a" }, { "\ta b ", "a b" }, { "\na\n", "\na\n" },
        };

        (void) state;
        assert_true(slice_starts_with(SLICE_LITERAL("RFC 1"), "RFC "));
        assert_true(slice_starts_with(SLICE_LITERAL("RFC"), ""));
        assert_true(slice_starts_with((Slice){ NULL, 0 }, ""));
        assert_false(slice_starts_with(SLICE_LITERAL("RFC"), "RFC "));
        assert_false(slice_starts_with(SLICE_LITERAL("rfc 1"), "RFC "));
        for (size_t i = 0; i < ELEMENTSOF(table); i++)
                assert_true(slice_equal(slice_trim(slice_of(table[i].text)), slice_of(table[i].trimmed)));
}

static void test_split_gives_every_part_once(void **state) {
        static const struct {
                const char *text, *parts[4];
        } table[] = {
                { "", { "" } },
                { "a", { "a" } },
                { ",", { "", "" } },
                { "a,", { "a", "" } },
                { ",a", { "", "a" } },
                { "a,bc,,", { "a", "bc", "", "" } },
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                Slice rest = slice_of(table[i].text), part;

                for (size_t k = 0; k < 4 && table[i].parts[k]; k++) {
                        assert_true(slice_split(&rest, ',', &part));
                        assert_true(slice_equal(part, slice_of(table[i].parts[k])));
                }
                assert_false(slice_split(&rest, ',', &part));
                assert_null(rest.data);
        }
}

static void test_lines_in_pieces(void **state) {
        static const char file[] = "one\n\n12345678\n123456789\nfive\n1234567890123";
        static const char *const lines[] = { "one", "", "12345678", NULL, "five" };        /* NULL: too long */
        (void) state;

        for (size_t piece = 1; piece <= sizeof(file); piece++) {
                TextLine l = TEXT_LINE_INIT(8);
                size_t n = 0;

                for (size_t i = 0; i < sizeof(file) - 1; i += piece) {
                        Slice rest = { file + i, MIN_OF(piece, sizeof(file) - 1 - i) };
                        int r;

                        while ((r = text_line_take(&l, &rest)) == 0) {
                                assert_true(n < ELEMENTSOF(lines));
                                assert_int_equal(l.too_long, lines[n] == NULL);
                                assert_true(l.too_long || slice_equal(buf_slice(&l.text), slice_of(lines[n])));
                                text_line_clear(&l);
                                n++;
                        }
                        assert_int_equal(r, TEXT_MORE);
                        assert_int_equal(rest.size, 0);
                }
                assert_int_equal(n, ELEMENTSOF(lines));
                assert_true(l.too_long);
                text_line_done(&l);
                assert_false(l.too_long);
                assert_int_equal(text_line_take(&l, &(Slice){ NULL, 0 }), TEXT_MORE);
        }
}

static void test_utf8_whole_and_shortest(void **state) {
        static const struct {
                const char *text;
                bool valid;
        } table[] = {
                { "", true },
                { "plain", true },
                { "\x7f", true },
                { "\xc2\x80", true },
                { "\xdf\xbf", true },
                { "\xe0\xa0\x80", true },
                { "\xed\x9f\xbf", true },
                { "\xee\x80\x80", true },
                { "\xef\xbf\xbf", true },
                { "\xf0\x90\x80\x80", true },
                { "\xf4\x8f\xbf\xbf", true },
                { "\xe2\x82\xac uro", true },
                { "\x80", false },
                { "\xbf", false },
                { "\xc0\x80", false },
                { "\xc1\xbf", false },
                { "\xc2", false },
                { "\xc2 ", false },
                { "\xc2\xc2\x80", false },
                { "\xe0\x9f\xbf", false },
                { "\xe2\x82", false },
                { "\xe2\x82 ", false },
                { "\xed\xa0\x80", false },
                { "\xed\xbf\xbf", false },
                { "\xf0\x8f\xbf\xbf", false },
                { "\xf0\x90\x80", false },
                { "\xf4\x90\x80\x80", false },
                { "\xf5\x80\x80\x80", false },
                { "\xf8\x88\x80\x80\x80", false },
                { "\xfe", false },
                { "\xff", false },
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(table); i++)
                assert_int_equal(text_is_utf8(slice_of(table[i].text)), table[i].valid);
        assert_true(text_is_utf8((Slice){ "a\0b", 3 }));
}

static void test_control_bytes_are_found(void **state) {
        (void) state;
        for (unsigned c = 0; c < 256; c++) {
                const char text[3] = { 'a', (char) c, 'b' };

                assert_int_equal(text_has_control((Slice){ text, 3 }), c < 0x20 || c == 0x7f);
        }
        assert_false(text_has_control((Slice){ NULL, 0 }));
}

/* Both look at eight bytes at a time where there are as many: each byte at each place, beside each other byte. */
static void test_a_byte_counts_wherever_it_stands(void **state) {
        (void) state;
        for (unsigned size = 1; size <= 20; size++)
                for (unsigned at = 0; at < size; at++)
                        for (unsigned c = 0; c < 256; c++) {
                                const bool control = c < 0x20 || c == 0x7f;
                                char text[20];

                                memset(text, c % 2 == 0 ? ' ' : '~', sizeof(text));
                                text[at] = (char) c;
                                assert_int_equal(text_has_control((Slice){ text, size }), control);
                                assert_int_equal(text_is_utf8((Slice){ text, size }), c < 0x80);
                                if (at > 0)
                                        text[at - 1] = (char) 0xc3;
                                assert_int_equal(text_has_control((Slice){ text, size }), control);
                                assert_int_equal(text_is_utf8((Slice){ text, size }),
                                                 at > 0 ? c >= 0x80 && c < 0xc0 : c < 0x80);
                        }
}

static void test_decimals_are_written(void **state) {
        static const uint64_t values[] = { 0, 1, 9, 10, 99, 100, 65535, 4294967295, 10000000000, UINT64_MAX };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(values); i++) {
                char text[TEXT_DECIMAL_MAX + 2] = "", expected[TEXT_DECIMAL_MAX + 2], *end;

                end = text_put_decimal(text, values[i]);
                end = text_put_slice(end, SLICE_LITERAL("!"));
                end = text_put_slice(end, (Slice){ NULL, 0 });
                (void) snprintf(expected, sizeof(expected), "%llu!", (unsigned long long) values[i]);
                assert_int_equal(end - text, strlen(expected));
                assert_string_equal(text, expected);
        }
}

static void test_small_decimals_are_written_each(void **state) {
        (void) state;
        for (unsigned value = 0; value < 20100; value++) {
                char text[8], expected[8];
                size_t size = (size_t) snprintf(expected, sizeof(expected), "%u", value);

                memset(text, '#', sizeof(text));
                assert_ptr_equal(text_put_decimal(text, value), text + size);
                assert_memory_equal(text, expected, size);
                assert_int_equal(text[size], '#');      /* no byte more than it takes */
        }
}

static void assert_escaped(Slice text, size_t max, const char *expected) {
        _cleanup_buf_ Buf b = BUF_INIT(1000);

        assert_int_equal(buf_append_string(&b, "> "), 0);
        assert_int_equal(text_escape(&b, text, max), 0);
        assert_int_equal(b.size, 2 + strlen(expected));
        assert_memory_equal(b.data + 2, expected, strlen(expected));
}

static void test_escape_leaves_nothing_that_acts(void **state) {
        static const struct {
                const char *text, *shown;
        } table[] = {
                { "", "" },
                { "plain text, \xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80",
                  "plain text, \xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80" },
                { "a\tb\nc\rd\x1b[31m", "a\\x09b\\x0ac\\x0dd\\x1b[31m" },
                { "\x7f", "\\x7f" },
                { "back\\slash", "back\\\\slash" },
                { "\xc2\x80\xc2\x9b\xc2\x9f\xc2\xa0", "\\u{0080}\\u{009b}\\u{009f}\xc2\xa0" },
                { "\xd8\x9c", "\\u{061c}" },
                { "\xe2\x80\x8e\xe2\x80\x8f", "\\u{200e}\\u{200f}" },
                { "\xe2\x80\x8d\xe2\x80\x90", "\xe2\x80\x8d\xe2\x80\x90" },
                { "\xe2\x80\xa8\xe2\x80\xa9\xe2\x80\xaa\xe2\x80\xae", "\\u{2028}\\u{2029}\\u{202a}\\u{202e}" },
                { "\xe2\x81\xa5\xe2\x81\xa6\xe2\x81\xa9\xe2\x81\xaa", "\xe2\x81\xa5\\u{2066}\\u{2069}\xe2\x81\xaa" },
                { "\xef\xbb\xbf", "\\u{feff}" },
                { "\xff\xc3 \xe2\x82", "\\xff\\xc3 \\xe2\\x82" },
                { "\xed\xa0\x80", "\\xed\\xa0\\x80" },
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(table); i++)
                assert_escaped(slice_of(table[i].text), 500, table[i].shown);
        assert_escaped((Slice){ "a\0b", 3 }, 500, "a\\x00b");
}

static void test_escape_cuts_at_whole_characters(void **state) {
        (void) state;
        assert_escaped(SLICE_LITERAL("abcdef"), 6, "abcdef");
        assert_escaped(SLICE_LITERAL("abcdefg"), 6, "abc\xe2\x80\xa6");
        assert_escaped(SLICE_LITERAL("abcd\n"), 8, "abcd\\x0a");
        assert_escaped(SLICE_LITERAL("abcd\n"), 7, "abcd\xe2\x80\xa6");
        assert_escaped(SLICE_LITERAL("ab\nd"), 7, "ab\\x0ad");
        assert_escaped(SLICE_LITERAL("ab\nde"), 7, "ab\xe2\x80\xa6");
        assert_escaped(SLICE_LITERAL("a\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac"), 8, "a\xe2\x82\xac\xe2\x80\xa6");
        assert_escaped(SLICE_LITERAL("abcd"), 3, "\xe2\x80\xa6");
        assert_escaped(SLICE_LITERAL("ab"), 2, "ab");
        assert_escaped(SLICE_LITERAL("abc"), 2, "");
        assert_escaped(SLICE_LITERAL("abc"), 0, "");
}

static void test_escape_is_all_or_nothing(void **state) {
        _cleanup_buf_ Buf b = BUF_INIT(10);

        (void) state;
        assert_int_equal(buf_append_string(&b, "12345"), 0);
        assert_int_equal(text_escape(&b, SLICE_LITERAL("abc\n"), 100), BUF_FULL);
        assert_int_equal(b.size, 5);
        assert_int_equal(text_escape(&b, SLICE_LITERAL("abc\n"), 5), 0);
        assert_int_equal(b.size, 10);
        assert_memory_equal(b.data, "12345ab\xe2\x80\xa6", 10);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_numbers_are_plain_decimals),
                cmocka_unit_test(test_what_is_fit_to_be_shown),
                cmocka_unit_test(test_hex_round_trip),
                cmocka_unit_test(test_digest_round_trip),
                cmocka_unit_test(test_case_of_ascii_does_not_count),
                cmocka_unit_test(test_prefix_and_trim),
                cmocka_unit_test(test_split_gives_every_part_once),
                cmocka_unit_test(test_lines_in_pieces),
                cmocka_unit_test(test_utf8_whole_and_shortest),
                cmocka_unit_test(test_control_bytes_are_found),
                cmocka_unit_test(test_a_byte_counts_wherever_it_stands),
                cmocka_unit_test(test_decimals_are_written),
                cmocka_unit_test(test_small_decimals_are_written_each),
                cmocka_unit_test(test_escape_leaves_nothing_that_acts),
                cmocka_unit_test(test_escape_cuts_at_whole_characters),
                cmocka_unit_test(test_escape_is_all_or_nothing),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
