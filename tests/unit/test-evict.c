/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/evict.h"

/* The numbers in their order after the plan, as one decimal number. */
static uint64_t order(const EvictCandidate *c, size_t n) {
        uint64_t all = 0;

        for (size_t i = 0; i < n; i++)
                all = 10 * all + c[i].number;
        return all;
}

static void test_least_recently_read_goes_first(void **state) {
        EvictCandidate c[] = { { 1, 10, 300 }, { 2, 10, 100 }, { 3, 10, 0 }, { 4, 10, 200 } };
        size_t n = 77;
        (void) state;

        assert_int_equal(evict_plan(c, 4, 15, &n), 0);
        assert_int_equal(n, 2);
        assert_int_equal(order(c, 4), 3241);
}

static void test_of_those_read_together_the_biggest_goes_first(void **state) {
        EvictCandidate c[] = { { 1, 10, 5 }, { 2, 30, 5 }, { 3, 20, 5 }, { 4, 20, 5 } };
        size_t n = 77;
        (void) state;

        assert_int_equal(evict_plan(c, 4, 30, &n), 0);
        assert_int_equal(n, 1);
        assert_int_equal(order(c, 4), 2341);
}

static void test_no_more_go_than_it_takes(void **state) {
        (void) state;
        for (uint64_t need = 0; need <= 60; need++) {
                EvictCandidate c[] = { { 1, 10, 1 }, { 2, 20, 2 }, { 3, 30, 3 } };
                size_t n = 77;

                assert_int_equal(evict_plan(c, 3, need, &n), 0);
                assert_int_equal(n, need == 0 ? 0 : need <= 10 ? 1 : need <= 30 ? 2 : 3);
        }
}

static void test_not_enough_is_told_and_sorted_all_the_same(void **state) {
        EvictCandidate c[] = { { 1, 10, 2 }, { 2, 20, 1 } };
        size_t n = 77;
        (void) state;

        assert_int_equal(evict_plan(c, 2, 31, &n), EVICT_NOT_ENOUGH);
        assert_int_equal(n, 77);
        assert_int_equal(order(c, 2), 21);
        assert_int_equal(evict_plan(NULL, 0, 1, &n), EVICT_NOT_ENOUGH);
        assert_int_equal(evict_plan(NULL, 0, 0, &n), 0);
        assert_int_equal(n, 0);
}

/* Whatever sizes are claimed: the sum does not wrap. */
static void test_sizes_do_not_overflow(void **state) {
        EvictCandidate c[] = { { 1, UINT64_MAX - 1, 1 }, { 2, UINT64_MAX - 1, 2 } };
        size_t n = 77;
        (void) state;

        assert_int_equal(evict_plan(c, 2, UINT64_MAX, &n), 0);
        assert_int_equal(n, 2);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_least_recently_read_goes_first),
                cmocka_unit_test(test_of_those_read_together_the_biggest_goes_first),
                cmocka_unit_test(test_no_more_go_than_it_takes),
                cmocka_unit_test(test_not_enough_is_told_and_sorted_all_the_same),
                cmocka_unit_test(test_sizes_do_not_overflow),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
