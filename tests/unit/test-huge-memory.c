/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "io/huge-memory.h"

static void test_memory_is_aligned_zeroed_and_whole(void **state) {
        const size_t size = 3 * HUGE_MEMORY_PAGE;
        char *pieces[4];

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(pieces); i++) {
                pieces[i] = huge_memory_take(size);
                assert_non_null(pieces[i]);
                assert_int_equal((uintptr_t) pieces[i] % HUGE_MEMORY_PAGE, 0);
                assert_int_equal(pieces[i][0] | pieces[i][size / 2] | pieces[i][size - 1], 0);
                pieces[i][0] = pieces[i][size - 1] = (char) (i + 1);
        }
        /* What was cut off around one is not of another. */
        for (size_t i = 0; i < ELEMENTSOF(pieces); i++)
                assert_true(pieces[i][0] == (char) (i + 1) && pieces[i][size - 1] == (char) (i + 1));
        for (size_t i = 0; i < ELEMENTSOF(pieces); i++)
                huge_memory_give_back(pieces[i], size);
}

static void test_too_much_is_refused(void **state) {
        (void) state;
        assert_null(huge_memory_take(SIZE_MAX / HUGE_MEMORY_PAGE * HUGE_MEMORY_PAGE));
        assert_null(huge_memory_take(SIZE_MAX / HUGE_MEMORY_PAGE / 2 * HUGE_MEMORY_PAGE));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_memory_is_aligned_zeroed_and_whole),
                cmocka_unit_test(test_too_much_is_refused),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
