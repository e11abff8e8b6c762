/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <malloc.h>

#include "core/rate.h"

static const uint64_t hash_key[2] = { 0x1234, 0x5678 };

static Address address(const char *text) {
        Address a;

        assert_int_equal(address_from_text(slice_of(text), &a), 0);
        return a;
}

/* How many tokens there are to be had at that time. */
static unsigned drain(RateTable *t, const char *source, usec_t at) {
        const Address a = address(source);
        const Now now = { .boottime = at };
        unsigned n = 0;

        while (n < 1000 && rate_table_take(t, &a, &now))
                n++;
        return n;
}

static void test_bucket_gives_its_burst_then_its_rate(void **state) {
        static const struct {
                usec_t at;
                unsigned tokens;
        } table[] = {
                { 5 * USEC_PER_SEC, 4 },
                { 5 * USEC_PER_SEC, 0 },
                { 5 * USEC_PER_SEC + 499 * USEC_PER_MSEC, 0 },
                { 5 * USEC_PER_SEC + 500 * USEC_PER_MSEC, 1 },
                { 6 * USEC_PER_SEC + 499 * USEC_PER_MSEC, 1 },
                { 6 * USEC_PER_SEC + 500 * USEC_PER_MSEC, 1 },
                { 3600 * USEC_PER_SEC, 4 },
        };
        Bucket b = { 0 };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                const Now now = { .boottime = table[i].at };
                unsigned n = 0;

                while (bucket_take(&b, 2, 4, &now))
                        n++;
                assert_int_equal(n, table[i].tokens);
        }
}

static void test_no_rate_is_no_limit(void **state) {
        _cleanup_(rate_table_free_p) RateTable *t = NULL;
        Bucket b = { 0 };

        (void) state;
        for (unsigned i = 0; i < 1000; i++)
                assert_true(bucket_take(&b, 0, 0, &(Now){ 0 }));
        assert_int_equal(rate_table_new(4, 0, 0, hash_key, &t), 0);
        assert_int_equal(drain(t, "192.0.2.1", 0), 1000);
        assert_int_equal(rate_table_count(t), 0);
}

static void test_each_source_has_its_own_bucket(void **state) {
        _cleanup_(rate_table_free_p) RateTable *t = NULL;

        (void) state;
        assert_int_equal(rate_table_new(RATE_TABLE_SIZE, 1, 3, hash_key, &t), 0);
        assert_int_equal(drain(t, "192.0.2.1", 0), 3);
        assert_int_equal(drain(t, "192.0.2.2", 0), 3);
        assert_int_equal(drain(t, "::ffff:192.0.2.1", 0), 0);
        assert_int_equal(drain(t, "192.0.2.1", USEC_PER_SEC), 1);
        assert_int_equal(rate_table_count(t), 2);
}

static void test_an_ipv6_64_is_one_source(void **state) {
        _cleanup_(rate_table_free_p) RateTable *t = NULL;

        (void) state;
        assert_int_equal(rate_table_new(16, 1, 3, hash_key, &t), 0);
        assert_int_equal(drain(t, "2001:db8:0:1::1", 0), 3);
        assert_int_equal(drain(t, "2001:db8:0:1:ffff::2", 0), 0);
        assert_int_equal(drain(t, "2001:db8:0:2::1", 0), 3);
        assert_int_equal(rate_table_count(t), 2);
}

static void test_a_full_table_forgets_who_was_silent_longest(void **state) {
        _cleanup_(rate_table_free_p) RateTable *t = NULL;

        (void) state;
        assert_int_equal(rate_table_new(3, 1, 2, hash_key, &t), 0);
        assert_int_equal(drain(t, "192.0.2.1", 0), 2);
        assert_int_equal(drain(t, "192.0.2.2", 0), 2);
        assert_int_equal(drain(t, "192.0.2.3", 0), 2);
        assert_int_equal(drain(t, "192.0.2.1", 0), 0);  /* now .2 is the one not heard of for longest */
        assert_int_equal(drain(t, "192.0.2.4", 0), 2);
        assert_int_equal(rate_table_count(t), 3);
        assert_int_equal(drain(t, "192.0.2.1", 0), 0);
        assert_int_equal(drain(t, "192.0.2.3", 0), 0);
        assert_int_equal(drain(t, "192.0.2.2", 0), 2);  /* forgotten: a full bucket, and .4 goes */
        assert_int_equal(drain(t, "192.0.2.1", 0), 0);
        assert_int_equal(drain(t, "192.0.2.4", 0), 2);
}

static void test_many_sources_cost_no_memory(void **state) {
        _cleanup_(rate_table_free_p) RateTable *t = NULL;

        (void) state;
        assert_int_equal(rate_table_new(100, 1, 2, hash_key, &t), 0);
        const size_t allocated = mallinfo2().uordblks;
        for (uint32_t i = 0; i < 1000000; i++) {
                Address a = address("10.0.0.0");

                a.bytes[13] = (uint8_t) (i >> 16);
                a.bytes[14] = (uint8_t) (i >> 8);
                a.bytes[15] = (uint8_t) i;
                assert_true(rate_table_take(t, &a, &(Now){ 0 }));
                assert_int_equal(rate_table_count(t), MIN_OF(i + 1, 100u));
        }
        assert_int_equal(mallinfo2().uordblks, allocated);
}

static void test_reload_keeps_fill_levels(void **state) {
        static const struct {
                unsigned taken;
                uint32_t per_sec, burst;
                unsigned left, a_second_later;
        } table[] = {
                { 4, 10, 10, 6, 10 },
                { 4, 5, 10, 6, 5 },
                { 4, 5, 3, 3, 3 },
                { 4, 20, 50, 6, 20 },
                { 10, 20, 50, 0, 20 },
                { 10, 1, 2, 0, 1 },
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                _cleanup_(rate_table_free_p) RateTable *t = NULL;
                const Address a = address("192.0.2.1");
                const usec_t at = 100 * USEC_PER_SEC;

                assert_int_equal(rate_table_new(16, 10, 10, hash_key, &t), 0);
                for (unsigned n = 0; n < table[i].taken; n++)
                        assert_true(rate_table_take(t, &a, &(Now){ .boottime = at }));
                rate_table_set(t, table[i].per_sec, table[i].burst);
                assert_int_equal(drain(t, "192.0.2.1", at), table[i].left);
                assert_int_equal(drain(t, "192.0.2.1", at + USEC_PER_SEC), table[i].a_second_later);
                assert_int_equal(drain(t, "192.0.2.2", at), table[i].burst);
        }
}

static void test_reload_can_lift_the_limit_and_bring_it_back(void **state) {
        _cleanup_(rate_table_free_p) RateTable *t = NULL;

        (void) state;
        assert_int_equal(rate_table_new(16, 1, 2, hash_key, &t), 0);
        assert_int_equal(drain(t, "192.0.2.1", 0), 2);
        rate_table_set(t, 0, 0);
        assert_int_equal(drain(t, "192.0.2.1", 0), 1000);
        rate_table_set(t, 1, 2);
        assert_int_equal(drain(t, "192.0.2.1", 0), 2);
}

/* ---- a flow ---- */

static void test_a_flow_gives_its_rate_and_everybody_the_same(void **state) {
        enum { TAKERS = 7, SECONDS = 60 };
        const usec_t begin = 1000 * USEC_PER_SEC;
        Flow f = { .per_sec = 100000 };
        const size_t piece = flow_piece(&f);
        usec_t at[TAKERS];
        size_t n_sent[TAKERS] = {}, n_all = 0;

        (void) state;
        assert_int_equal(piece, 5000);
        for (unsigned i = 0; i < TAKERS; i++)
                at[i] = flow_take(&f, piece, &(Now){ .boottime = begin });
        for (;;) {
                unsigned next = 0;
                for (unsigned i = 1; i < TAKERS; i++)
                        if (at[i] < at[next])
                                next = i;
                if (at[next] >= begin + SECONDS * USEC_PER_SEC)
                        break;
                n_sent[next] += piece;
                n_all += piece;
                /* What flowed, what could have gone before, and what may be out a piece early. */
                assert_true(n_all <= (at[next] - begin + FLOW_BURST_USEC) / 10 + piece);
                at[next] = flow_take(&f, piece, &(Now){ .boottime = at[next] });
        }
        assert_in_range(n_all, SECONDS * 100000, SECONDS * 100000 + 2 * piece + 10000);
        for (unsigned i = 1; i < TAKERS; i++)
                assert_in_range(n_sent[i] + piece, n_sent[0], n_sent[0] + 2 * piece);
}

static void test_a_flow_makes_up_for_a_short_pause(void **state) {
        static const struct {
                usec_t pause;
                size_t at_once;         /* pieces of 500 bytes, at 10,000 a second */
        } table[] = {
                { 0, 0 }, { 50 * USEC_PER_MSEC, 1 }, { 100 * USEC_PER_MSEC, 2 }, { 150 * USEC_PER_MSEC, 3 },
                { USEC_PER_MINUTE, 3 }, { 100 * USEC_PER_DAY, 3 },
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                Flow f = { .per_sec = 10000 };
                Now now = { .boottime = 1000 * USEC_PER_SEC };
                while (flow_take(&f, 500, &now) == now.boottime)
                        ;
                now.boottime = f.free_at + table[i].pause;
                size_t n = 0;
                while (flow_take(&f, 500, &now) == now.boottime)
                        n++;
                /* The one whose turn it is goes beside. */
                assert_int_equal(n, table[i].at_once + 1 - (table[i].at_once == 3));
        }
}

static void test_a_piece_is_neither_tiny_nor_huge(void **state) {
        (void) state;
        assert_int_equal(flow_piece(&(Flow){ .per_sec = 1 }), FLOW_PIECE_MIN);
        assert_int_equal(flow_piece(&(Flow){ .per_sec = 1 << 20 }), (1 << 20) / 20);
        assert_int_equal(flow_piece(&(Flow){ .per_sec = UINT64_C(1) << 40 }), FLOW_PIECE_MAX);
}

static void test_an_unlimited_flow_keeps_nobody_waiting(void **state) {
        Flow f = { .per_sec = FLOW_UNLIMITED };
        const Now now = { .boottime = 5 };

        (void) state;
        for (unsigned i = 0; i < 1000; i++)
                assert_int_equal(flow_take(&f, FLOW_PIECE_MAX, &now), 5);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_bucket_gives_its_burst_then_its_rate),
                cmocka_unit_test(test_no_rate_is_no_limit),
                cmocka_unit_test(test_each_source_has_its_own_bucket),
                cmocka_unit_test(test_an_ipv6_64_is_one_source),
                cmocka_unit_test(test_a_full_table_forgets_who_was_silent_longest),
                cmocka_unit_test(test_many_sources_cost_no_memory),
                cmocka_unit_test(test_reload_keeps_fill_levels),
                cmocka_unit_test(test_reload_can_lift_the_limit_and_bring_it_back),
                cmocka_unit_test(test_a_flow_gives_its_rate_and_everybody_the_same),
                cmocka_unit_test(test_a_flow_makes_up_for_a_short_pause),
                cmocka_unit_test(test_a_piece_is_neither_tiny_nor_huge),
                cmocka_unit_test(test_an_unlimited_flow_keeps_nobody_waiting),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
