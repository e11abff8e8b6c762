/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#include "ctl/ctl.h"
#include "ctl/numbers.h"

/* main()'s argv is not const; nobody writes to it. */
#define ARGV(...) ((char **) (uintptr_t) (const char *const[]){ __VA_ARGS__ })

static char told[256];

/* Instead of answer.c's: what would have gone to stderr. */
void ctl_complain(const char *format, ...) {
        va_list ap;

        va_start(ap, format);
        (void) vsnprintf(told, sizeof(told), format, ap);
        va_end(ap);
}

/* "1 2 3" of what was asked for. */
static int ask(char *ret, size_t size, ...) {
        _cleanup_(numbers_done) Numbers n = {};
        const char *argv[16], *word;
        int argc = 0, r;
        va_list ap;

        va_start(ap, size);
        while ((word = va_arg(ap, const char *)))
                argv[argc++] = word;
        va_end(ap);
        r = numbers_from_arguments(argc, (char **) (uintptr_t) argv, &n);
        if (r != 0)
                return r;
        ret[0] = '\0';
        for (size_t i = 0, used = 0; i < n.n; i++) {
                size_t place;

                used += (size_t) snprintf(ret + used, size - used, "%s%u", i ? " " : "", n.asked[i]);
                assert_true(numbers_find(&n, n.asked[i], &place));
                assert_int_equal(place, i);
        }
        return 0;
}

static void test_every_spelling_and_two_words(_unused_ void **state) {
        char text[256];

        assert_int_equal(ask(text, sizeof(text), "7230", "rfc7231", "RFC 7232", "rfc07233", "rfc7234.txt", NULL), 0);
        assert_string_equal(text, "7230 7231 7232 7233 7234");
        assert_int_equal(ask(text, sizeof(text), "RFC", "7230", "9110", "rfc", "14-16", "10023", NULL), 0);
        assert_string_equal(text, "7230 9110 14 15 16 10023");
}

static void test_order_is_kept_and_repetition_dropped(_unused_ void **state) {
        char text[256];

        assert_int_equal(ask(text, sizeof(text), "9", "3-5", "4", "9", "1", "2-3", NULL), 0);
        assert_string_equal(text, "9 3 4 5 1 2");
}

static void test_what_is_no_number_is_refused(_unused_ void **state) {
        static const char *const bad[] = { "", "0", "x", "../../etc/passwd", "7-5", "rfc", "2147483648", "1,2" };
        char text[256];

        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                char expected[256];

                assert_int_equal(ask(text, sizeof(text), "7230", bad[i], NULL), CTL_USAGE);
                (void) snprintf(expected, sizeof(expected), "'%s' is no RFC number: write 1 to 2147483647, as in 7230, rfc7230.txt, bcp14, or a range 7230-7235.", bad[i]);
                assert_string_equal(told, expected);
        }
}

static void test_a_call_names_a_bounded_number(_unused_ void **state) {
        _cleanup_(numbers_done) Numbers n = {};

        assert_int_equal(numbers_from_arguments(1, ARGV("1-100000"), &n), 0);
        assert_int_equal(n.n, NUMBERS_MAX);
        numbers_done(&n);
        assert_int_equal(numbers_from_arguments(2, ARGV("1-99999", "5-6"), &n), CTL_USAGE);
        assert_int_equal(numbers_from_arguments(1, ARGV("1-2147483647"), &n), CTL_USAGE);
        assert_null(n.asked);
}

static void test_one_number(_unused_ void **state) {
        uint32_t number = 0;

        assert_int_equal(numbers_get_one(2, ARGV("RFC", "7230"), &number), 0);
        assert_int_equal(number, 7230);
        assert_int_equal(numbers_get_one(2, ARGV("1", "2"), &number), CTL_USAGE);
        assert_int_equal(numbers_get_one(1, ARGV("1-2"), &number), CTL_USAGE);
}

static void test_numbers_not_asked_for_are_not_found(_unused_ void **state) {
        _cleanup_(numbers_done) Numbers n = {};
        size_t place;

        assert_int_equal(numbers_from_arguments(2, ARGV("5-7", "9"), &n), 0);
        assert_false(numbers_find(&n, 4, &place));
        assert_false(numbers_find(&n, 8, &place));
        assert_false(numbers_find(&n, 10, &place));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_every_spelling_and_two_words),
                cmocka_unit_test(test_order_is_kept_and_repetition_dropped),
                cmocka_unit_test(test_what_is_no_number_is_refused),
                cmocka_unit_test(test_a_call_names_a_bounded_number),
                cmocka_unit_test(test_one_number),
                cmocka_unit_test(test_numbers_not_asked_for_are_not_found),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
