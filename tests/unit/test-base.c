/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/base.h"

static void test_time_has_ends(void **state) {
        (void) state;
        assert_int_equal(usec_add(1, 2), 3);
        assert_true(usec_add(USEC_INFINITY, 1) == USEC_INFINITY);
        assert_true(usec_add(2, USEC_INFINITY - 1) == USEC_INFINITY);
        assert_int_equal(usec_sub(3, 2), 1);
        assert_int_equal(usec_sub(2, 3), 0);
}

static void test_doubling_has_an_end(void **state) {
        static const struct {
                usec_t base;
                unsigned n;
                usec_t max, expected;
        } cases[] = {
                { 5, 0, 600, 5 },
                { 5, 1, 600, 10 },
                { 5, 6, 600, 320 },
                { 5, 7, 600, 600 },
                { 5, UINT32_MAX, 600, 600 },
                { 5, UINT32_MAX, USEC_INFINITY, USEC_INFINITY },
                { 700, 3, 600, 700 },
                { 0, UINT32_MAX, 600, 0 },
        };
        (void) state;

        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                assert_true(usec_doubled(cases[i].base, cases[i].n, cases[i].max) == cases[i].expected);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_time_has_ends),
                cmocka_unit_test(test_doubling_has_an_end),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
