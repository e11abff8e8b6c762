/* SPDX-License-Identifier: BSD-2-Clause */
/* From what was made obsolete to what is in force, along a made-up index. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "core/follow.h"

static RfcMeta *meta_of(const char *text) {
        RfcMeta *m;
        assert_int_equal(rfc_meta_new(&m), 0);
        assert_int_equal(rfc_meta_feed(m, slice_of(text)), 0);
        assert_int_equal(rfc_meta_end(m), 0);
        return m;
}

/* An entry that those from first to last have obsoleted. */
static void add_entry(Buf *b, unsigned number, unsigned first, unsigned last) {
        assert_int_equal(buf_printf(b, "%u Title. A. Author. May 1999. (Format: TXT)", number), 0);
        for (unsigned n = first; n <= last; n++)
                assert_int_equal(buf_printf(b, "%s%sRFC%u", n == first ? " (Obsoleted by " : ", ",
                                            (n - first) % 8 == 7 ? "\n     " : "", n), 0);
        assert_int_equal(buf_append_string(b, first <= last ? ")\n\n" : "\n\n"), 0);
}

#define ENTRY(number, rest) #number " Title " #number ". A. Author. May 1999. (Format: TXT)" rest "\n\n"
#define BY(list) " (Obsoleted by " list ")"

static const char INDEX[] =
        ENTRY(1, BY("RFC2")) ENTRY(2, BY("RFC4, RFC3")) ENTRY(3, BY("RFC5")) ENTRY(4, "") ENTRY(5, "")
        /* two ways to the same */
        ENTRY(10, BY("RFC11, RFC12")) ENTRY(11, BY("RFC13")) ENTRY(12, BY("RFC13")) ENTRY(13, "")
        /* a loop, and one that leads into it with a way out; one that is obsoleted by itself */
        ENTRY(20, BY("RFC21")) ENTRY(21, BY("RFC20")) ENTRY(22, BY("RFC20, RFC4")) ENTRY(23, BY("RFC23"))
        /* what the index does not have */
        ENTRY(30, BY("RFC99"));

static void assert_follow(const RfcMeta *m, uint32_t number, size_t n, const uint32_t *expected) {
        Follow f;
        follow_current(m, number, &f);
        assert_false(f.cut);
        assert_int_equal(f.n, n);
        for (size_t i = 0; i < n; i++)
                assert_int_equal(f.current[i], expected[i]);
}

static void test_leads_to_what_is_in_force(void **state) {
        _cleanup_(rfc_meta_free_p) RfcMeta *m = meta_of(INDEX);
        (void) state;
        assert_follow(m, 1, 2, (const uint32_t[]){ 4, 5 });
        assert_follow(m, 4, 1, (const uint32_t[]){ 4 });
        assert_follow(m, 10, 1, (const uint32_t[]){ 13 });
        assert_follow(m, 30, 1, (const uint32_t[]){ 99 });
}

static void test_loops_end(void **state) {
        _cleanup_(rfc_meta_free_p) RfcMeta *m = meta_of(INDEX);
        (void) state;
        assert_follow(m, 20, 0, NULL);
        assert_follow(m, 22, 1, (const uint32_t[]){ 4 });
        assert_follow(m, 23, 0, NULL);
}

static void test_without_an_index_nothing_is_obsolete(void **state) {
        _cleanup_(rfc_meta_free_p) RfcMeta *m = meta_of(INDEX);
        (void) state;
        assert_follow(NULL, 1, 1, (const uint32_t[]){ 1 });
        assert_follow(m, 77, 1, (const uint32_t[]){ 77 });
}

static void test_fan_out_is_cut(void **state) {
        _cleanup_buf_ Buf b = BUF_INIT(1 << 20);
        Follow f;
        (void) state;

        add_entry(&b, 1, 2, 6001);
        /* longer than any entry may be: it is none */
        add_entry(&b, 10001, 2, 10001);
        for (unsigned n = 2; n < 100; n++)
                add_entry(&b, n, n * 100, n * 100 + 50);
        assert_int_equal(buf_append_char(&b, 0), 0);
        _cleanup_(rfc_meta_free_p) RfcMeta *m = meta_of(b.data);
        follow_current(m, 1, &f);
        assert_true(f.cut);
        assert_int_equal(f.n, 0);       /* none of the first 63 is in force, and there is no room to go on */
        follow_current(m, 99, &f);
        assert_false(f.cut);
        assert_int_equal(f.n, 51);
        assert_follow(m, 10001, 1, (const uint32_t[]){ 10001 });
}

static void test_a_long_way_is_cut(void **state) {
        _cleanup_buf_ Buf b = BUF_INIT(1 << 20);
        Follow f;
        (void) state;

        for (unsigned i = 1; i <= 1000; i++)
                add_entry(&b, i, i + 1, i + 1);
        assert_int_equal(buf_append_char(&b, 0), 0);
        _cleanup_(rfc_meta_free_p) RfcMeta *m = meta_of(b.data);
        /* the last that is looked at has a successor, so none is in force */
        follow_current(m, 1, &f);
        assert_true(f.cut);
        assert_int_equal(f.n, 0);
        assert_follow(m, 1001 - (FOLLOW_NODES_MAX - 1), 1, (const uint32_t[]){ 1001 });
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_leads_to_what_is_in_force),
                cmocka_unit_test(test_loops_end),
                cmocka_unit_test(test_without_an_index_nothing_is_obsolete),
                cmocka_unit_test(test_fan_out_is_cut),
                cmocka_unit_test(test_a_long_way_is_cut),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
