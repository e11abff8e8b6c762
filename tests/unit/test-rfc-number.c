/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/rfc-number.h"

static void test_every_spelling_of_people(void **state) {
        static const struct {
                const char *text;
                uint32_t number;        /* 0: refused */
        } table[] = {
                { "7230", 7230 },       { "rfc7230", 7230 },    { "RFC7230", 7230 },       { "Rfc 7230", 7230 },
                { "RFC-7230", 7230 },   { "rfc_7230", 7230 },   { "rfc07230", 7230 },      { "0007230", 7230 },
                { " 7230 ", 7230 },     { "\trfc 1\t", 1 },     { "rfc7230.txt", 7230 },   { "RFC 7230.TXT", 7230 },
                { "10000", 10000 },     { "rfc99999", 99999 },  { "2147483647", RFC_NUMBER_MAX },
                { "rfc0000000000002147483647", RFC_NUMBER_MAX },
                { "", 0 },              { " ", 0 },             { "rfc", 0 },              { "rfc ", 0 },
                { "rfc-", 0 },          { "0", 0 },             { "000", 0 },              { "rfc0", 0 },
                { "2147483648", 0 },    { "99999999999999999999", 0 },                     { "-1", 0 },
                { "+1", 0 },            { "1.5", 0 },           { "rfc--1", 0 },           { "rfc  1", 0 },
                { "rfc- 1", 0 },        { "rfc1.tx", 0 },       { "rfc.txt", 0 },          { "rfc1.txt.txt", 0 },
                { "rfc1.pdf", 0 },      { "rf1", 0 },           { "bcp14", 0 },            { "7230a", 0 },
                { "0x10", 0 },          { "1 2", 0 },           { "rfc1\n", 0 },           { "rfc/1", 0 },
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                uint32_t number = 4711;

                assert_int_equal(rfc_number_from_text(slice_of(table[i].text), &number),
                                 table[i].number > 0 ? 0 : RFC_NUMBER_BAD);
                assert_int_equal(number, table[i].number > 0 ? table[i].number : 4711);
        }
        assert_int_equal(rfc_number_from_text((Slice){ "rfc\0" "1", 5 }, &(uint32_t){ 0 }), RFC_NUMBER_BAD);
}

static void test_every_spelling_of_ranges(void **state) {
        static const struct {
                const char *text;
                uint32_t first, last;   /* 0: refused */
        } table[] = {
                { "7230", 7230, 7230 },
                { "rfc-7230", 7230, 7230 },
                { "7230-7235", 7230, 7235 },
                { "1-1", 1, 1 },
                { "rfc7230-rfc7235", 7230, 7235 },
                { "rfc7230-7235", 7230, 7235 },
                { "RFC 7230-7235", 7230, 7235 },
                { "RFC-7230-RFC-7235", 7230, 7235 },
                { " rfc 1 - rfc 2 ", 1, 2 },
                { "1-2147483647", 1, RFC_NUMBER_MAX },
                { "", 0, 0 },
                { "-", 0, 0 },
                { "1-", 0, 0 },
                { "-1", 0, 0 },
                { "2-1", 0, 0 },
                { "0-5", 0, 0 },
                { "1-2-3", 0, 0 },
                { "1--2", 0, 0 },
                { "1-2147483648", 0, 0 },
                { "1..2", 0, 0 },
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                RfcRange range = { 47, 11 };

                assert_int_equal(rfc_range_from_text(slice_of(table[i].text), &range),
                                 table[i].first > 0 ? 0 : RFC_NUMBER_BAD);
                assert_int_equal(range.first, table[i].first > 0 ? table[i].first : 47);
                assert_int_equal(range.last, table[i].first > 0 ? table[i].last : 11);
        }
}

/* Each '-' of a range may be the one in its middle: the text is bounded, or a long one would keep its reader for minutes. */
static void test_long_texts_are_no_numbers(void **state) {
        static char text[1 << 20];
        RfcRange range = { 47, 11 };
        uint32_t number = 4711;

        (void) state;
        memset(text, '0', sizeof(text));
        text[RFC_NUMBER_TEXT_MAX - 1] = text[RFC_NUMBER_TEXT_MAX] = '7';
        assert_int_equal(rfc_number_from_text((Slice){ text, RFC_NUMBER_TEXT_MAX + 1 }, &number), RFC_NUMBER_BAD);
        assert_int_equal(number, 4711);
        assert_int_equal(rfc_number_from_text((Slice){ text, RFC_NUMBER_TEXT_MAX }, &number), 0);
        assert_int_equal(number, 7);

        text[RFC_NUMBER_TEXT_MAX] = '-';
        text[2 * RFC_NUMBER_TEXT_MAX] = '8';
        assert_int_equal(rfc_range_from_text((Slice){ text, 2 * RFC_NUMBER_TEXT_MAX + 2 }, &range), RFC_NUMBER_BAD);
        assert_int_equal(range.first, 47);
        assert_int_equal(rfc_range_from_text((Slice){ text, 2 * RFC_NUMBER_TEXT_MAX + 1 }, &range), 0);
        assert_true(range.first == 7 && range.last == 8);

        memset(text, '0', sizeof(text) / 2);
        memset(text + sizeof(text) / 2, '-', sizeof(text) / 2);
        assert_int_equal(rfc_range_from_text((Slice){ text, sizeof(text) }, &range), RFC_NUMBER_BAD);
}

static void test_the_wire_has_one_spelling(void **state) {
        static const char *const bad[] = { "", "0", "07230", "rfc7230", " 1", "1 ", "+1", "2147483648", "1-2",
                                           "4294967297" };
        uint32_t number = 4711;

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                assert_int_equal(rfc_number_from_wire(slice_of(bad[i]), &number), RFC_NUMBER_BAD);
        assert_int_equal(number, 4711);
        assert_int_equal(rfc_number_from_wire(SLICE_LITERAL("1"), &number), 0);
        assert_int_equal(number, 1);
        assert_int_equal(rfc_number_from_wire(SLICE_LITERAL("2147483647"), &number), 0);
        assert_int_equal(number, RFC_NUMBER_MAX);
}

static void test_file_names_round_trip(void **state) {
        static const char *const bad[] = {
                "", "rfc.txt", "rfc0.txt", "rfc01.txt", "RFC1.txt", "rfc1.TXT", "rfc1", "rfc1.txt~", ".rfc1.txt",
                "rfc-1.txt", "rfc1.txt.txt", "../rfc1.txt", "rfc2147483648.txt",
        };
        static const uint32_t good[] = { 1, 10, 7230, 10000, RFC_NUMBER_MAX };
        char name[RFC_FILE_NAME_SIZE];
        uint32_t number = 4711;

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                assert_int_equal(rfc_number_from_file_name(slice_of(bad[i]), &number), RFC_NUMBER_BAD);
        assert_int_equal(number, 4711);
        for (size_t i = 0; i < ELEMENTSOF(good); i++) {
                rfc_number_to_file_name(good[i], name);
                assert_int_equal(rfc_number_from_file_name(slice_of(name), &number), 0);
                assert_int_equal(number, good[i]);
        }
        assert_string_equal(name, "rfc2147483647.txt");
}

static void test_sets_are_normalized(void **state) {
        static const struct {
                const char *wire, *normal;      /* NULL: refused */
        } table[] = {
                { "7230", "7230" },
                { "7230,9110-9114", "7230,9110-9114" },
                { "9110-9114,7230", "7230,9110-9114" },
                { "3,1,2", "1-3" },
                { "1,3,5", "1,3,5" },
                { "1,3,5,2-4", "1-5" },
                { "1-10,2-3", "1-10" },
                { "2-3,1-10", "1-10" },
                { "5-9,1-3,4", "1-9" },
                { "5-9,1-3,20", "1-3,5-9,20" },
                { "5-9,8-12", "5-12" },
                { "8-12,5-9", "5-12" },
                { "7,7,7", "7" },
                { "1-2147483647", "1-2147483647" },
                { "2147483647,2147483646", "2147483646-2147483647" },
                { "", NULL },
                { ",", NULL },
                { "1,", NULL },
                { ",1", NULL },
                { "1,,2", NULL },
                { "1, 2", NULL },
                { "0", NULL },
                { "2-1", NULL },
                { "1-", NULL },
                { "-1", NULL },
                { "1-2-3", NULL },
                { "01", NULL },
                { "1-2147483648", NULL },
                { "*", NULL },
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                _cleanup_rfc_set_ RfcSet set = { 0 };
                _cleanup_buf_ Buf b = BUF_INIT(1000);

                assert_int_equal(rfc_set_from_wire(slice_of(table[i].wire), &set),
                                 table[i].normal ? 0 : RFC_NUMBER_BAD);
                assert_int_equal(rfc_set_to_wire(&set, &b), 0);
                assert_true(slice_equal(buf_slice(&b), slice_of(table[i].normal ? table[i].normal : "")));
        }
}

static void test_sets_hold_what_was_added(void **state) {
        enum { N = 64 };
        bool expected[N + 2] = { false };
        _cleanup_rfc_set_ RfcSet set = { 0 };
        uint32_t seed = 1;

        (void) state;
        assert_false(rfc_set_contains(&set, 1));
        for (unsigned i = 0; i < 40; i++) {
                uint32_t first, last;

                seed = seed * 1103515245 + 12345;
                first = 1 + (seed >> 16) % N;
                last = MIN_OF(first + (seed >> 24) % 3, (uint32_t) N);
                assert_int_equal(rfc_set_add(&set, (RfcRange){ first, last }), 0);
                for (uint32_t n = first; n <= last; n++)
                        expected[n] = true;
                for (uint32_t n = 0; n < N + 2; n++)
                        assert_int_equal(rfc_set_contains(&set, n), expected[n]);
                for (size_t k = 1; k < set.n_ranges; k++)
                        assert_true(set.ranges[k - 1].last + 1 < set.ranges[k].first);
        }
}

static void test_sets_have_a_limit(void **state) {
        _cleanup_rfc_set_ RfcSet set = { 0 };
        _cleanup_buf_ Buf b = BUF_INIT(8);

        (void) state;
        for (uint32_t i = 0; i < RFC_SET_RANGES_MAX; i++)
                assert_int_equal(rfc_set_add(&set, (RfcRange){ 10 + 2 * i, 10 + 2 * i }), 0);
        assert_int_equal(rfc_set_add(&set, (RfcRange){ 1, 1 }), RFC_NUMBER_BAD);
        assert_int_equal(set.n_ranges, RFC_SET_RANGES_MAX);
        /* What only widens a range is no further one. */
        assert_int_equal(rfc_set_add(&set, (RfcRange){ 11, 11 }), 0);
        assert_int_equal(set.n_ranges, RFC_SET_RANGES_MAX - 1);
        assert_int_equal(rfc_set_to_wire(&set, &b), BUF_FULL);
        assert_int_equal(b.size, 0);
}

static void test_every_spelling_of_aliases(void **state) {
        static const struct {
                const char *text, *name;        /* NULL: none */
        } cases[] = {
                { "bcp14", "BCP 14" },       { "BCP 14", "BCP 14" },       { "Std0003", "STD 3" },
                { "FYI-36", "FYI 36" },      { " bcp_0014 ", "BCP 14" },   { "bcp14.txt", "BCP 14" },
                { "bcp", NULL },             { "bcp0", NULL },             { "bcp 1 4", NULL },
                { "rfc14", NULL },           { "14", NULL },               { "bcpx14", NULL },
                { "abcp14", NULL },          { "bcp  14", NULL },          { "bcp2147483648", NULL },
                { "std2147483647", "STD 2147483647" },                     { "bcp14-15", NULL },
                { "", NULL },
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                char text[RFC_ALIAS_TEXT_SIZE];
                RfcAlias a;
                int r = rfc_alias_from_text(slice_of(cases[i].text), &a);

                if (r != (cases[i].name ? 0 : RFC_NUMBER_BAD))
                        fail_msg("'%s': %d", cases[i].text, r);
                if (r != 0)
                        continue;
                rfc_alias_to_text(a, text);
                assert_string_equal(text, cases[i].name);
        }
}

static void test_words_of_two_are_told(void **state) {
        (void) state;
        assert_true(rfc_number_is_word(SLICE_LITERAL("rfc")));
        assert_true(rfc_number_is_word(SLICE_LITERAL("BCP")));
        assert_true(rfc_number_is_word(SLICE_LITERAL("Std")));
        assert_false(rfc_number_is_word(SLICE_LITERAL("bcp1")));
        assert_false(rfc_number_is_word(SLICE_LITERAL("bc")));
        assert_false(rfc_number_is_word(SLICE_LITERAL("")));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_every_spelling_of_people),
                cmocka_unit_test(test_every_spelling_of_ranges),
                cmocka_unit_test(test_every_spelling_of_aliases),
                cmocka_unit_test(test_words_of_two_are_told),
                cmocka_unit_test(test_long_texts_are_no_numbers),
                cmocka_unit_test(test_the_wire_has_one_spelling),
                cmocka_unit_test(test_file_names_round_trip),
                cmocka_unit_test(test_sets_are_normalized),
                cmocka_unit_test(test_sets_hold_what_was_added),
                cmocka_unit_test(test_sets_have_a_limit),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
