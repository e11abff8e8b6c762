/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/buf.h"

static void assert_content(const Buf *b, const char *expected) {
        assert_int_equal(b->size, strlen(expected));
        assert_memory_equal(b->data, expected, b->size);
}

static void test_appends_in_order(void **state) {
        _cleanup_buf_ Buf b = BUF_INIT(1000);

        (void) state;
        assert_int_equal(buf_append(&b, "one", 3), 0);
        assert_int_equal(buf_append_char(&b, ' '), 0);
        assert_int_equal(buf_append_string(&b, "two"), 0);
        assert_int_equal(buf_append_slice(&b, SLICE_LITERAL(" three ")), 0);
        assert_int_equal(buf_append_decimal(&b, 0), 0);
        assert_int_equal(buf_append_decimal(&b, UINT64_MAX), 0);
        assert_int_equal(buf_printf(&b, " %d%s", -4, "!"), 0);
        assert_content(&b, "one two three 018446744073709551615 -4!");
        assert_true(slice_equal(buf_slice(&b), (Slice){ b.data, b.size }));
}

static void test_nothing_is_added_to_nothing(void **state) {
        _cleanup_buf_ Buf b = BUF_INIT(0);

        (void) state;
        assert_int_equal(buf_append(&b, NULL, 0), 0);
        assert_int_equal(buf_append_slice(&b, (Slice){ NULL, 0 }), 0);
        assert_int_equal(buf_append_string(&b, ""), 0);
        assert_int_equal(buf_printf(&b, "%s", ""), 0);
        buf_consume(&b, 0);
        assert_int_equal(b.size, 0);
        assert_int_equal(buf_append_char(&b, 'x'), BUF_FULL);
}

static void test_cap_is_met_exactly(void **state) {
        (void) state;
        for (size_t max = 1; max < 600; max++) {
                _cleanup_buf_ Buf a = BUF_INIT(max), p = BUF_INIT(max);

                for (size_t i = 0; i < max; i++)
                        assert_int_equal(buf_append_char(&a, 'a'), 0);
                assert_int_equal(buf_append_char(&a, 'a'), BUF_FULL);
                assert_int_equal(buf_printf(&a, "%c", 'a'), BUF_FULL);
                assert_int_equal(buf_reserve(&a, 1), BUF_FULL);
                assert_int_equal(buf_reserve(&a, SIZE_MAX), BUF_FULL);
                assert_int_equal(a.size, max);
                assert_true(a.allocated <= max);

                assert_int_equal(buf_printf(&p, "%*s", (int) max + 1, ""), BUF_FULL);
                assert_int_equal(p.size, 0);
                assert_int_equal(buf_printf(&p, "%*s", (int) max, ""), 0);
                assert_int_equal(p.size, max);
        }
}

static void test_full_adds_nothing(void **state) {
        _cleanup_buf_ Buf b = BUF_INIT(8);

        (void) state;
        assert_int_equal(buf_append_string(&b, "12345"), 0);
        assert_int_equal(buf_append_string(&b, "6789"), BUF_FULL);
        assert_int_equal(buf_append_decimal(&b, 6789), BUF_FULL);
        assert_int_equal(buf_printf(&b, "%d", 6789), BUF_FULL);
        assert_content(&b, "12345");
        assert_int_equal(buf_append_string(&b, "678"), 0);
        assert_content(&b, "12345678");
}

static void test_reserved_room_can_be_written(void **state) {
        _cleanup_buf_ Buf b = BUF_INIT(1 << 20);

        (void) state;
        assert_int_equal(buf_append_string(&b, "head"), 0);
        assert_int_equal(buf_reserve(&b, 100000), 0);
        memset(b.data + b.size, 'x', 100000);
        buf_commit(&b, 100000);
        assert_int_equal(b.size, 100004);
        assert_memory_equal(b.data, "headxxxx", 8);
}

static void test_consume_truncate_clear(void **state) {
        _cleanup_buf_ Buf b = BUF_INIT(100);
        char *data;

        (void) state;
        assert_int_equal(buf_append_string(&b, "GET RFC 1"), 0);
        buf_consume(&b, 4);
        assert_content(&b, "RFC 1");
        buf_truncate(&b, 3);
        assert_content(&b, "RFC");
        data = b.data;
        buf_clear(&b);
        assert_int_equal(b.size, 0);
        assert_ptr_equal(b.data, data);
        assert_int_equal(buf_append_string(&b, "x"), 0);
        buf_consume(&b, 1);
        assert_int_equal(b.size, 0);
}

static void test_done_can_be_used_again(void **state) {
        Buf b;

        (void) state;
        buf_init(&b, 5);
        assert_int_equal(buf_append_string(&b, "12345"), 0);
        buf_done(&b);
        assert_null(b.data);
        assert_int_equal(b.size, 0);
        assert_int_equal(b.max, 5);
        assert_int_equal(buf_append_string(&b, "54321"), 0);
        assert_content(&b, "54321");
        buf_done(&b);
        buf_done(&b);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_appends_in_order),
                cmocka_unit_test(test_nothing_is_added_to_nothing),
                cmocka_unit_test(test_cap_is_met_exactly),
                cmocka_unit_test(test_full_adds_nothing),
                cmocka_unit_test(test_reserved_room_can_be_written),
                cmocka_unit_test(test_consume_truncate_clear),
                cmocka_unit_test(test_done_can_be_used_again),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
