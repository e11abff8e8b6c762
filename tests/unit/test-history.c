/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/history.h"

static Now at(usec_t t) {
        return (Now){ .boottime = t, .realtime = UINT64_C(1000000) + t };
}

static Endpoint endpoint(const char *text) {
        Endpoint e;

        assert_int_equal(endpoint_from_text(slice_of(text), &e), 0);
        return e;
}

static History *history(size_t max) {
        History *h;

        assert_int_equal(history_new(max, &h), 0);
        return h;
}

static uint64_t begin(History *h, uint64_t transaction, uint32_t number, usec_t t) {
        const Now now = at(t);
        return history_begin(h, transaction, number, &now);
}

static void ask(History *h, uint64_t id, HistoryWhat what, const char *peer, usec_t t) {
        const Endpoint e = peer ? endpoint(peer) : (Endpoint){};
        const Now now = at(t);
        history_ask(h, id, what, peer ? &e : NULL, 7, &now);
}

static void tell(History *h, uint64_t id, HistoryWhat what, const char *peer, const char *result, uint64_t count,
                 usec_t t) {
        const Endpoint e = peer ? endpoint(peer) : (Endpoint){};
        const Now now = at(t);
        history_tell(h, id, what, peer ? &e : NULL, 8, result, count, &now);
}

static void test_steps_are_told_in_order_with_their_answers(void **state) {
        _cleanup_(history_free_p) History *h = history(10);
        uint64_t id = begin(h, 0xabc, 7230, 100);
        HistoryInfo info;
        const Now end = at(190);
        (void) state;

        tell(h, id, HISTORY_STORE, NULL, "not-held", 0, 101);
        ask(h, id, HISTORY_INDEX, "192.0.2.1:1", 110);
        ask(h, id, HISTORY_INDEX, "192.0.2.2:1", 111);
        tell(h, id, HISTORY_INDEX, "192.0.2.1:1", "refused", 0, 120);
        assert_true(history_find_number(h, 7230, &info));
        assert_null(info.result);
        assert_true(info.ended_at == USEC_INFINITY);
        assert_int_equal(info.n_steps, 3);
        assert_string_equal(info.steps[1].result, "refused");
        assert_int_equal(info.steps[1].ended_at, 120);
        assert_null(info.steps[2].result);
        assert_true(info.steps[2].ended_at == USEC_INFINITY);

        tell(h, id, HISTORY_INDEX, "192.0.2.2:1", "ok", 5, 130);
        ask(h, id, HISTORY_FETCH, "192.0.2.2:1", 131);
        tell(h, id, HISTORY_FETCH, "192.0.2.2:1", "ok", 4711, 180);
        history_end(h, id, "ok", &end);

        assert_true(history_find_number(h, 7230, &info));
        assert_int_equal(info.id, id);
        assert_int_equal(info.transaction, 0xabc);
        assert_int_equal(info.began_at.boottime, 100);
        assert_int_equal(info.began_at.realtime, 1000100);
        assert_int_equal(info.ended_at, 190);
        assert_string_equal(info.result, "ok");
        assert_int_equal(info.n_steps, 4);
        assert_int_equal(info.n_lost, 0);
        assert_int_equal(info.steps[0].what, HISTORY_STORE);
        assert_false(info.steps[0].has_peer);
        assert_int_equal(info.steps[0].at, 101);
        assert_int_equal(info.steps[0].ended_at, 101);
        assert_int_equal(info.steps[2].at, 111);
        assert_int_equal(info.steps[2].ended_at, 130);
        assert_int_equal(info.steps[2].peer_id, 7);
        assert_int_equal(info.steps[3].what, HISTORY_FETCH);
        assert_int_equal(info.steps[3].count, 4711);
}

static void test_answer_goes_to_the_last_question_of_that_kind_and_peer(void **state) {
        _cleanup_(history_free_p) History *h = history(10);
        uint64_t id = begin(h, 1, 1, 0);
        HistoryInfo info;
        (void) state;

        ask(h, id, HISTORY_INDEX, "192.0.2.1:1", 1);
        ask(h, id, HISTORY_FETCH, "192.0.2.1:1", 2);
        tell(h, id, HISTORY_INDEX, "192.0.2.1:1", "ok", 0, 3);
        tell(h, id, HISTORY_INDEX, "192.0.2.1:1", "changed", 0, 4);     /* none is left open: a step of its own */
        assert_true(history_find_number(h, 1, &info));
        assert_int_equal(info.n_steps, 3);
        assert_string_equal(info.steps[0].result, "ok");
        assert_null(info.steps[1].result);
        assert_string_equal(info.steps[2].result, "changed");
        assert_int_equal(info.steps[2].peer_id, 8);
}

static void test_the_oldest_goes_and_what_is_told_of_it_is_dropped(void **state) {
        _cleanup_(history_free_p) History *h = history(3);
        uint64_t first = begin(h, 9, 1, 0);
        const Now now = at(5);
        HistoryInfo info;
        (void) state;

        ask(h, first, HISTORY_SERVERS, NULL, 1);
        for (uint32_t n = 2; n <= 4; n++)
                (void) begin(h, 9, n, n);
        assert_false(history_find_number(h, 1, &info));
        tell(h, first, HISTORY_SERVERS, NULL, "ok", 3, 4);
        ask(h, first, HISTORY_FETCH, "192.0.2.1:1", 4);
        history_end(h, first, "ok", &now);
        tell(h, 0, HISTORY_SERVERS, NULL, "ok", 3, 4);
        tell(h, 1000, HISTORY_SERVERS, NULL, "ok", 3, 4);
        for (uint32_t n = 2; n <= 4; n++) {
                assert_true(history_find_number(h, n, &info));
                assert_int_equal(info.n_steps, 0);
                assert_null(info.result);
        }
}

static void test_a_number_gives_its_last_operation_a_transaction_all_in_order(void **state) {
        _cleanup_(history_free_p) History *h = history(4);
        HistoryInfo info;
        uint64_t after = 0;
        (void) state;

        (void) begin(h, 0xa, 1, 1);     /* will be gone */
        (void) begin(h, 0xa, 2, 2);
        (void) begin(h, 0xb, 3, 3);
        (void) begin(h, 0xa, 3, 4);
        (void) begin(h, 0xa, 2, 5);
        static const uint32_t numbers[] = { 2, 3, 2 };
        for (size_t i = 0; i < ELEMENTSOF(numbers); i++) {
                assert_true(history_find_transaction(h, 0xa, after, &info));
                assert_int_equal(info.number, numbers[i]);
                after = info.id;
        }
        assert_false(history_find_transaction(h, 0xa, after, &info));
        assert_false(history_find_transaction(h, 0xc, 0, &info));
        assert_true(history_find_number(h, 2, &info));
        assert_int_equal(info.began_at.boottime, 5);
        assert_true(history_find_number(h, 3, &info));
        assert_int_equal(info.transaction, 0xa);
}

static void test_of_too_many_steps_the_first_and_the_last_stay(void **state) {
        _cleanup_(history_free_p) History *h = history(2);
        uint64_t id = begin(h, 1, 1, 0);
        HistoryInfo info;
        (void) state;

        for (unsigned n = 0; n < 1000; n++)
                tell(h, id, HISTORY_HOLDERS, NULL, "ok", n, n);
        assert_true(history_find_number(h, 1, &info));
        assert_int_equal(info.n_steps, HISTORY_STEPS_MAX);
        assert_int_equal(info.n_lost, 1000 - HISTORY_STEPS_MAX);
        assert_int_equal(info.steps[0].count, 0);
        assert_int_equal(info.steps[HISTORY_STEPS_MAX / 2 - 2].count, HISTORY_STEPS_MAX / 2 - 2);
        assert_int_equal(info.steps[HISTORY_STEPS_MAX / 2].count, 1000 - HISTORY_STEPS_MAX / 2);
        assert_int_equal(info.steps[HISTORY_STEPS_MAX - 1].count, 999);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_steps_are_told_in_order_with_their_answers),
                cmocka_unit_test(test_answer_goes_to_the_last_question_of_that_kind_and_peer),
                cmocka_unit_test(test_the_oldest_goes_and_what_is_told_of_it_is_dropped),
                cmocka_unit_test(test_a_number_gives_its_last_operation_a_transaction_all_in_order),
                cmocka_unit_test(test_of_too_many_steps_the_first_and_the_last_stay),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
