/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#include "core/holders.h"

static const HoldersLimits limits = { .quarantine_usec = 5 * USEC_PER_SEC, .quarantine_max_usec = 600 * USEC_PER_SEC };
static const uint64_t key[2] = { 1, 2 };

static Now at(uint64_t sec) {
        return (Now){ .boottime = sec * USEC_PER_SEC, .realtime = 0 };
}

/* Peer n is 192.0.2.n:65424. */
static Endpoint peer(unsigned n) {
        Endpoint e;
        char text[ENDPOINT_TEXT_SIZE];

        snprintf(text, sizeof(text), "192.0.2.%u:65424", n);
        assert_int_equal(endpoint_from_text(slice_of(text), &e), 0);
        return e;
}

static Holders *make(void) {
        Holders *h = NULL;
        assert_int_equal(holders_new(&limits, key, &h), 0);
        return h;
}

/* A list of server `server` with the peers of `ids` (ends with 0), whose id is server * 100 + n. */
static void list(Holders *h, unsigned server, const unsigned *ids, bool complete, uint64_t sec) {
        Now now = at(sec);

        holders_list_begin(h, server);
        for (; *ids; ids++) {
                Endpoint e = peer(*ids);
                assert_int_equal(holders_list_add(h, server, &e, server * 100 + *ids, SLICE_LITERAL("name"), &now), 0);
        }
        holders_list_end(h, server, complete);
}
#define LIST(h, server, complete, sec, ...)                                                                            \
        list(h, server, (const unsigned[]){ __VA_ARGS__ __VA_OPT__(, ) 0 }, complete, sec)

static bool may(const Holders *h, unsigned n, bool away, uint64_t sec) {
        Endpoint e = peer(n);
        Now now = at(sec);
        return holders_may_dial(h, &e, away, &now);
}

static HolderInfo get(const Holders *h, unsigned n) {
        Endpoint e = peer(n);
        HolderInfo info;
        assert_true(holders_get(h, &e, &info));
        return info;
}

static bool known(const Holders *h, unsigned n) {
        Endpoint e = peer(n);
        HolderInfo info;
        return holders_get(h, &e, &info);
}

static void answered(Holders *h, unsigned n, usec_t rtt, uint64_t sec) {
        Endpoint e = peer(n);
        Now now = at(sec);
        holders_answered(h, &e, rtt, &now);
}

static void failed(Holders *h, unsigned n) {
        Endpoint e = peer(n);
        holders_failed(h, &e);
}

static usec_t fault(Holders *h, unsigned n, uint64_t sec) {
        Endpoint e = peer(n);
        Now now = at(sec);
        return holders_fault(h, &e, &now);
}

static void test_only_named_peers_may_be_dialled(void **state) {
        _cleanup_(holders_free_p) Holders *h = make();
        Endpoint stat = peer(2), last = peer(3);
        (void) state;

        assert_int_equal(holders_add_static(h, &stat), 0);
        assert_int_equal(holders_add_last_known(h, &last), 0);
        LIST(h, 0, false, 10, 1);

        assert_true(may(h, 1, false, 10));
        assert_true(may(h, 2, false, 10));
        assert_false(may(h, 3, false, 10));
        assert_true(may(h, 3, true, 10));
        assert_false(may(h, 4, false, 10));
        assert_false(may(h, 4, true, 10));
        /* Another port of a listed address is another peer. */
        Endpoint other = peer(1);
        other.port = 80;
        Now now = at(10);
        assert_false(holders_may_dial(h, &other, true, &now));
}

static void test_complete_list_drops_who_is_not_on_it(void **state) {
        _cleanup_(holders_free_p) Holders *h = make();
        (void) state;

        LIST(h, 0, true, 10, 1, 2, 3);
        assert_int_equal(holders_count_listed(h), 3);
        LIST(h, 0, true, 20, 1, 3);
        assert_int_equal(holders_count_listed(h), 2);
        assert_false(may(h, 2, false, 20));
        /* A server has said otherwise: not even as last known. */
        assert_false(may(h, 2, true, 20));
        assert_false(known(h, 2));
        assert_int_equal(holders_count(h), 2);
}

static void test_page_proves_nothing(void **state) {
        _cleanup_(holders_free_p) Holders *h = make();
        (void) state;

        LIST(h, 0, true, 10, 1, 2);
        LIST(h, 0, false, 20, 3);
        assert_int_equal(holders_count_listed(h), 3);
        assert_true(may(h, 1, false, 20));
        /* The marks of the page before are gone: 3 was on that one, not on this. */
        LIST(h, 0, true, 30, 1);
        assert_false(known(h, 3));
}

static void test_empty_complete_list_drops_all(void **state) {
        _cleanup_(holders_free_p) Holders *h = make();
        Endpoint last = peer(3), stat = peer(4);
        (void) state;

        LIST(h, 0, true, 10, 1, 2);
        assert_int_equal(holders_add_last_known(h, &last), 0);
        assert_int_equal(holders_add_static(h, &stat), 0);
        LIST(h, 0, true, 20);
        assert_int_equal(holders_count_listed(h), 0);
        assert_int_equal(holders_count(h), 1);
        assert_true(may(h, 4, false, 20));
}

static void test_each_server_has_its_own_say(void **state) {
        _cleanup_(holders_free_p) Holders *h = make();
        (void) state;

        LIST(h, 1, true, 10, 1, 2);
        assert_int_equal(get(h, 1).peer_id, 101);
        LIST(h, 0, true, 11, 1);
        /* The id is the first server's; the other's list does not change it back. */
        assert_int_equal(get(h, 1).peer_id, 1);
        LIST(h, 1, true, 12, 1, 2);
        assert_int_equal(get(h, 1).peer_id, 1);
        assert_int_equal(get(h, 2).peer_id, 102);

        LIST(h, 0, true, 20);
        assert_true(may(h, 1, false, 20));
        LIST(h, 1, true, 30, 2);
        assert_false(may(h, 1, true, 30));
        assert_true(may(h, 2, false, 30));
        assert_int_equal(holders_count_listed(h), 1);
}

static void test_listed_stay_last_known_when_servers_fall_silent(void **state) {
        _cleanup_(holders_free_p) Holders *h = make();
        (void) state;

        LIST(h, 0, true, 10, 1);
        HolderInfo info = get(h, 1);
        assert_true(info.listed);
        assert_true(info.last_known);
        assert_false(info.is_static);
        assert_string_equal(info.host, "name");
}

static void test_static_end_with_configuration(void **state) {
        _cleanup_(holders_free_p) Holders *h = make();
        Endpoint one = peer(1), two = peer(2);
        (void) state;

        assert_int_equal(holders_add_static(h, &one), 0);
        assert_int_equal(holders_add_static(h, &two), 0);
        LIST(h, 0, true, 10, 1);
        holders_clear_static(h);
        assert_true(may(h, 1, false, 10));
        assert_false(known(h, 2));
}

static void test_quarantine_doubles_and_ends(void **state) {
        static const struct {
                uint64_t at, length;
                unsigned n_faults;
        } faults[] = {
                { 100, 5, 1 },
                { 105, 10, 2 },         /* the quarantine ended this second */
                { 200, 20, 3 },
                { 300, 40, 4 },
                { 400, 80, 5 },
                { 500, 160, 6 },
                { 700, 320, 7 },
                { 1100, 600, 8 },       /* not 640 */
                { 1700, 600, 9 },
                { 2899, 600, 10 },      /* 599 s after the end at 2300 */
                { 4099, 5, 1 },         /* 600 s after the end at 3499: forgiven */
        };
        _cleanup_(holders_free_p) Holders *h = make();
        (void) state;

        LIST(h, 0, true, 10, 1);
        for (size_t i = 0; i < ELEMENTSOF(faults); i++) {
                assert_true(may(h, 1, false, faults[i].at));
                assert_int_equal(fault(h, 1, faults[i].at), faults[i].length * USEC_PER_SEC);
                assert_int_equal(get(h, 1).n_faults, faults[i].n_faults);
                assert_false(may(h, 1, false, faults[i].at));
                assert_false(may(h, 1, true, faults[i].at + faults[i].length - 1));
                assert_true(may(h, 1, false, faults[i].at + faults[i].length));
        }
}

static void test_fault_within_quarantine_counts_once(void **state) {
        _cleanup_(holders_free_p) Holders *h = make();
        (void) state;

        LIST(h, 0, true, 10, 1);
        assert_int_equal(fault(h, 1, 100), 5 * USEC_PER_SEC);
        assert_int_equal(fault(h, 1, 102), 3 * USEC_PER_SEC);
        assert_int_equal(get(h, 1).n_faults, 1);
        assert_true(may(h, 1, false, 105));
}

static void test_quarantine_is_of_address_and_port(void **state) {
        _cleanup_(holders_free_p) Holders *h = make();
        Endpoint other = peer(1);
        Now now = at(100);
        (void) state;

        other.port = 65425;
        LIST(h, 0, false, 10, 1);
        assert_int_equal(holders_add_static(h, &other), 0);
        fault(h, 1, 100);
        assert_true(holders_may_dial(h, &other, false, &now));
}

static void test_leaving_and_coming_back_washes_nobody_clean(void **state) {
        _cleanup_(holders_free_p) Holders *h = make();
        (void) state;

        LIST(h, 0, true, 10, 1, 2);
        fault(h, 1, 100);
        LIST(h, 0, true, 101, 2);
        assert_false(may(h, 1, true, 200));
        assert_int_equal(holders_count(h), 2);
        assert_int_equal(holders_count_listed(h), 1);
        LIST(h, 0, true, 103, 1, 2);
        assert_false(may(h, 1, false, 104));
        assert_int_equal(fault(h, 1, 105), 10 * USEC_PER_SEC);

        /* Gone again; forgotten 600 s after its quarantine ended at 115. */
        LIST(h, 0, true, 106, 2);
        LIST(h, 0, true, 714, 2);
        assert_true(known(h, 1));
        LIST(h, 0, true, 715, 2);
        assert_false(known(h, 1));
}

static void test_fault_forgets_what_it_said_of_itself(void **state) {
        _cleanup_(holders_free_p) Holders *h = make();
        Endpoint e = peer(1);
        (void) state;

        LIST(h, 0, true, 10, 1);
        holders_confirmed(h, &e, (Generation){ 7, 3 }, 20 * USEC_PER_SEC);
        assert_int_equal(get(h, 1).confirmed_at, 20 * USEC_PER_SEC);
        assert_int_equal(get(h, 1).generation.number, 3);
        /* An answer that was asked for earlier comes later. */
        holders_confirmed(h, &e, (Generation){ 7, 2 }, 19 * USEC_PER_SEC);
        assert_int_equal(get(h, 1).generation.number, 3);

        fault(h, 1, 30);
        assert_int_equal(get(h, 1).confirmed_at, 0);
        assert_int_equal(get(h, 1).generation.epoch, 0);
        assert_int_equal(get(h, 1).generation.number, 0);
}

static void expect_order(const Holders *h, const unsigned *order, size_t n) {
        Endpoint all[16];
        Now now = at(1000);

        assert_int_equal(holders_dialable(h, false, &now, all, ELEMENTSOF(all)), n);
        for (size_t i = 0; i < n; i++) {
                Endpoint e = peer(order[i]);
                assert_true(endpoint_equal(&all[i], &e));
                for (size_t j = i + 1; j < n; j++) {
                        assert_true(holders_compare(h, &all[i], &all[j]) < 0);
                        assert_true(holders_compare(h, &all[j], &all[i]) > 0);
                }
        }
}
#define EXPECT_ORDER(h, ...)                                                                                           \
        expect_order(h, (const unsigned[]){ __VA_ARGS__ }, ELEMENTSOF(((const unsigned[]){ __VA_ARGS__ })))

static void test_best_come_first(void **state) {
        _cleanup_(holders_free_p) Holders *h = make();
        (void) state;

        LIST(h, 0, true, 10, 1, 2, 3, 4);
        answered(h, 1, 900, 11);
        answered(h, 2, 300, 11);
        answered(h, 3, 600, 11);
        EXPECT_ORDER(h, 2, 3, 1, 4);

        failed(h, 2);
        EXPECT_ORDER(h, 3, 1, 4, 2);
        failed(h, 3);
        failed(h, 3);
        EXPECT_ORDER(h, 1, 4, 2, 3);

        /* One answer makes up for the failures, and the measured time is smoothed: (7 * 600 + 1400) / 8. */
        answered(h, 3, 1400, 12);
        assert_int_equal(get(h, 3).rtt_usec, 700);
        assert_int_equal(get(h, 3).seen_at, 12 * USEC_PER_SEC);
        EXPECT_ORDER(h, 3, 1, 4, 2);

        fault(h, 3, 999);
        EXPECT_ORDER(h, 1, 4, 2);
        assert_true(holders_compare(h, &(Endpoint){ .port = 1 }, &(Endpoint){ .port = 2 }) < 0);
        Endpoint in_table = peer(2);
        assert_true(holders_compare(h, &(Endpoint){ .port = 1 }, &in_table) > 0);
}

static void test_too_fast_to_measure_is_measured(void **state) {
        _cleanup_(holders_free_p) Holders *h = make();
        (void) state;

        LIST(h, 0, true, 10, 1, 2);
        answered(h, 2, 0, 11);
        assert_int_equal(get(h, 2).rtt_usec, 1);
        EXPECT_ORDER(h, 2, 1);
}

/* It is there, and how far is as it was. */
static void test_answer_that_waited_measures_nothing(void **state) {
        _cleanup_(holders_free_p) Holders *h = make();
        (void) state;

        LIST(h, 0, true, 10, 1, 2, 3);
        answered(h, 1, 100, 11);
        answered(h, 3, 200, 11);
        failed(h, 1);
        failed(h, 2);
        EXPECT_ORDER(h, 3, 1, 2);
        answered(h, 1, USEC_INFINITY, 12);
        answered(h, 2, USEC_INFINITY, 12);
        EXPECT_ORDER(h, 1, 3, 2);
        assert_int_equal(get(h, 1).rtt_usec, 100);
        assert_int_equal(get(h, 2).rtt_usec, 0);
        assert_true(get(h, 1).seen_at == get(h, 2).seen_at && get(h, 1).seen_at > 0);
}

/* Else every new peer of a network would turn to the one with the lowest address. */
static void test_unmeasured_are_in_an_order_of_ones_own(void **state) {
        unsigned n_first[9] = { 0 };
        (void) state;

        for (uint64_t i = 0; i < 64; i++) {
                _cleanup_(holders_free_p) Holders *h = NULL;
                Endpoint first;
                Now now = at(10);

                assert_int_equal(holders_new(&limits, (const uint64_t[2]){ i, 99 }, &h), 0);
                LIST(h, 0, true, 10, 1, 2, 3, 4, 5, 6, 7, 8);
                assert_int_equal(holders_dialable(h, false, &now, &first, 1), 8);
                n_first[first.address.bytes[15]]++;
        }
        for (unsigned i = 1; i <= 8; i++)
                assert_true(n_first[i] > 0);
}

static void test_walk_is_ascending(void **state) {
        _cleanup_(holders_free_p) Holders *h = make();
        HolderInfo info;
        unsigned n = 0;
        (void) state;

        assert_false(holders_next(h, NULL, &info));
        LIST(h, 0, true, 10, 5, 1, 3);
        for (bool more = holders_next(h, NULL, &info); more; more = holders_next(h, &info.endpoint, &info))
                assert_int_equal(info.endpoint.address.bytes[15], 2 * n++ + 1);
        assert_int_equal(n, 3);

        /* From one that is not in the table. */
        Endpoint two = peer(2);
        assert_true(holders_next(h, &two, &info));
        assert_int_equal(info.endpoint.address.bytes[15], 3);
}

static void test_unknown_endpoints_are_ignored(void **state) {
        _cleanup_(holders_free_p) Holders *h = make();
        Endpoint e = peer(1);
        (void) state;

        answered(h, 1, 10, 10);
        failed(h, 1);
        assert_int_equal(fault(h, 1, 10), 0);
        holders_confirmed(h, &e, (Generation){ 1, 1 }, 10);
        assert_int_equal(holders_count(h), 0);
}

static void test_long_host_name_is_cut(void **state) {
        _cleanup_(holders_free_p) Holders *h = make();
        Endpoint e = peer(1);
        Now now = at(10);
        char name[300];
        (void) state;

        memset(name, 'a', sizeof(name));
        assert_int_equal(holders_list_add(h, 0, &e, 1, (Slice){ name, sizeof(name) }, &now), 0);
        assert_int_equal(strlen(get(h, 1).host), PROTO_HOST_MAX);
        assert_int_equal(holders_list_add(h, 0, &e, 1, (Slice){ NULL, 0 }, &now), 0);
        assert_string_equal(get(h, 1).host, "");
}

static void test_table_is_bounded(void **state) {
        _cleanup_(holders_free_p) Holders *h = make();
        Endpoint e = peer(1), bad = peer(250);
        Now now = at(10);
        (void) state;

        /* One that is kept for its faults only makes room. */
        assert_int_equal(holders_list_add(h, 0, &bad, 1, SLICE_LITERAL(""), &now), 0);
        fault(h, 250, 10);
        holders_list_begin(h, 0);
        holders_list_end(h, 0, true);
        assert_true(known(h, 250));

        holders_list_begin(h, 0);
        for (uint32_t i = 1; i <= HOLDERS_MAX; i++) {
                e.address.bytes[13] = (uint8_t) (i >> 16);
                e.port = (uint16_t) i;
                assert_int_equal(holders_list_add(h, 0, &e, i, SLICE_LITERAL(""), &now), 0);
        }
        assert_false(known(h, 250));
        assert_int_equal(holders_count(h), HOLDERS_MAX);
        assert_int_equal(holders_list_add(h, 0, &bad, 1, SLICE_LITERAL(""), &now), HOLDERS_FULL);
        assert_int_equal(holders_add_static(h, &bad), HOLDERS_FULL);
        /* Who is in it already is no newcomer. */
        assert_int_equal(holders_list_add(h, 0, &e, 1, SLICE_LITERAL(""), &now), 0);
        holders_list_end(h, 0, true);
        assert_int_equal(holders_count_listed(h), HOLDERS_MAX);
}

/* Many transfers at once spread over all who have it, whatever their round trip. */
static void test_fewest_transfers_first_where_load_counts(void **state) {
        _cleanup_(holders_free_p) Holders *h = make();
        Endpoint one = peer(1), two = peer(2), stranger = peer(9);
        (void) state;

        LIST(h, 0, true, 10, 1, 2);
        answered(h, 1, 100, 10);
        answered(h, 2, 200, 10);
        assert_true(holders_compare_load(h, &one, &two) < 0);
        holders_begin_transfer(h, &one);
        assert_true(holders_compare_load(h, &one, &two) > 0);
        assert_true(holders_compare(h, &one, &two) < 0);
        holders_begin_transfer(h, &two);
        assert_true(holders_compare_load(h, &one, &two) < 0);
        holders_end_transfer(h, &one);
        holders_end_transfer(h, &one);
        assert_true(holders_compare_load(h, &one, &two) < 0);
        /* Who came back meanwhile owes nothing, and who is not in the table comes last. */
        LIST(h, 0, true, 20, 1);
        LIST(h, 0, true, 30, 1, 2);
        holders_end_transfer(h, &two);
        holders_begin_transfer(h, &stranger);
        holders_begin_transfer(h, &one);
        assert_true(holders_compare_load(h, &one, &two) > 0);
        assert_true(holders_compare_load(h, &one, &stranger) < 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_only_named_peers_may_be_dialled),
                cmocka_unit_test(test_complete_list_drops_who_is_not_on_it),
                cmocka_unit_test(test_page_proves_nothing),
                cmocka_unit_test(test_empty_complete_list_drops_all),
                cmocka_unit_test(test_each_server_has_its_own_say),
                cmocka_unit_test(test_listed_stay_last_known_when_servers_fall_silent),
                cmocka_unit_test(test_static_end_with_configuration),
                cmocka_unit_test(test_quarantine_doubles_and_ends),
                cmocka_unit_test(test_fault_within_quarantine_counts_once),
                cmocka_unit_test(test_quarantine_is_of_address_and_port),
                cmocka_unit_test(test_leaving_and_coming_back_washes_nobody_clean),
                cmocka_unit_test(test_fault_forgets_what_it_said_of_itself),
                cmocka_unit_test(test_best_come_first),
                cmocka_unit_test(test_too_fast_to_measure_is_measured),
                cmocka_unit_test(test_answer_that_waited_measures_nothing),
                cmocka_unit_test(test_unmeasured_are_in_an_order_of_ones_own),
                cmocka_unit_test(test_walk_is_ascending),
                cmocka_unit_test(test_unknown_endpoints_are_ignored),
                cmocka_unit_test(test_long_host_name_is_cut),
                cmocka_unit_test(test_table_is_bounded),
                cmocka_unit_test(test_fewest_transfers_first_where_load_counts),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
