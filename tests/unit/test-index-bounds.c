/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the RFC index takes of those who flood it: of hearsay about one number, and of bytes in all. Each source is a
 * peer that answers with generated lines.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "index-test.h"

#define DIGEST "1111111111111111111111111111111111111111111111111111111111111111"

/* The honest are in 192.0.2.0/24; who is made up is in 203.0.113.0/24, by address and port. */
static Endpoint real(unsigned n) {
        char text[64];
        snprintf(text, sizeof(text), "192.0.2.%u:1000", n);
        return peer(text);
}

static Endpoint nobody(unsigned n) {
        char text[64];
        snprintf(text, sizeof(text), "203.0.%u.%u:%u", 113 + n / 10000, 1 + n / 1000 % 10, 1000 + n % 1000);
        return peer(text);
}

/* ---- answers ---- */

typedef struct Answer {
        IndexMerge *merge;
} Answer;

static Answer begin(IndexMergeKind kind, unsigned source, uint64_t sent_at) {
        Answer a;
        const IndexMergeConf conf = { .kind = kind, .source = real(source), .sent_at = sent_at * SEC };
        assert_int_equal(index_merge_new(&conf, &a.merge), 0);
        return a;
}

static void say(Answer a, const char *line) {
        assert_int_equal(index_merge_feed(a.merge, slice_of(line)), 0);
}

/* "number ttl holder" of the usual text; holder NULL: its own. */
static void state_line(Answer a, unsigned number, unsigned ttl, const Endpoint *holder) {
        char line[256], text[ENDPOINT_TEXT_SIZE] = "-";
        if (holder)
                endpoint_to_text(holder, text);
        snprintf(line, sizeof(line), "%u\t%u\t%s\t100\t" DIGEST "\tA title\n", number, ttl, text);
        say(a, line);
}

static IndexMergeResult end(Answer a, RfcIndex *x, uint64_t sec) {
        IndexMergeResult result;
        Now now = at(sec);
        assert_int_equal(index_merge_end(a.merge), 0);
        assert_int_equal(index_merge_step(a.merge, x, SIZE_MAX, &now, &result), 0);
        index_merge_free(a.merge);
        return result;
}

/* One made-up holder of that number each, from `first` on, by the word of source. */
static IndexMergeResult gossip(RfcIndex *x, unsigned source, unsigned number, unsigned first, unsigned n, unsigned ttl,
                               uint64_t sec) {
        Answer a = begin(INDEX_MERGE_ALL, source, sec);
        for (unsigned i = first; i < first + n; i++) {
                Endpoint holder = nobody(i);
                state_line(a, number, ttl, &holder);
        }
        return end(a, x, sec);
}

/* How many of that number's records are by the word of source. */
static size_t share(const RfcIndex *x, unsigned number, unsigned source, uint64_t sec) {
        static RfcRecord records[4096];
        const Endpoint e = real(source);
        Now now = at(sec);
        size_t n = rfc_index_find(x, number, &now, records, ELEMENTSOF(records)), n_found = 0;
        assert_true(n <= ELEMENTSOF(records));
        for (size_t i = 0; i < n; i++)
                n_found += endpoint_equal(&records[i].source, &e);
        return n_found;
}

static size_t count(const RfcIndex *x, unsigned number, uint64_t sec) {
        Now now = at(sec);
        return rfc_index_find(x, number, &now, NULL, 0);
}

/* All that is due by then goes. */
static void expire(RfcIndex *x, uint64_t sec) {
        Now now = at(sec);
        while (rfc_index_expire(x, &now, 100))
                ;
}

/* ---- hearsay of one number ---- */

static void test_hearsay_of_one_number_is_bounded(void **state) {
        (void) state;
        _cleanup_(rfc_index_free_p) RfcIndex *x = make_index(100000);
        IndexMergeResult r = gossip(x, 1, 5, 0, 3000, 7000, 100);
        assert_int_equal(r.n_added, RFC_INDEX_HEARSAY_MAX);
        assert_int_equal(r.n_ignored, 3000 - RFC_INDEX_HEARSAY_MAX);
        assert_int_equal(count(x, 5, 100), RFC_INDEX_HEARSAY_MAX);
        assert_int_equal(rfc_index_count(x), RFC_INDEX_HEARSAY_MAX);
        /* Another number has a bound of its own. */
        gossip(x, 1, 6, 0, 3000, 7000, 101);
        assert_int_equal(count(x, 6, 101), RFC_INDEX_HEARSAY_MAX);
        assert_int_equal(count(x, 5, 101), RFC_INDEX_HEARSAY_MAX);
}

static void test_liars_share_what_hearsay_there_may_be(void **state) {
        (void) state;
        _cleanup_(rfc_index_free_p) RfcIndex *x = make_index(100000);
        gossip(x, 20, 5, 0, 1, 3600, 99);       /* an honest one: who knows one holder */
        for (unsigned liar = 1; liar <= 15; liar++)
                gossip(x, liar, 5, 1000 * liar, 1000, 7200, 100 + liar);
        assert_int_equal(count(x, 5, 120), RFC_INDEX_HEARSAY_MAX);
        assert_int_equal(share(x, 5, 20, 120), 1);
        for (unsigned liar = 1; liar <= 15; liar++)
                assert_in_range(share(x, 5, liar, 120), 7, 10);
        /* Who comes late still gets a word in, as long as somebody says more. */
        gossip(x, 30, 5, 20000, 1, 10, 120);
        assert_int_equal(share(x, 5, 30, 120), 1);
        assert_int_equal(count(x, 5, 120), RFC_INDEX_HEARSAY_MAX);
}

static void test_of_a_source_what_ends_first_goes_first(void **state) {
        (void) state;
        _cleanup_(rfc_index_free_p) RfcIndex *x = make_index(100000);
        Answer a = begin(INDEX_MERGE_ALL, 1, 100);
        for (unsigned i = 0; i < 2 * RFC_INDEX_HEARSAY_MAX; i++) {
                Endpoint holder = nobody(i);
                state_line(a, 5, 1000 + i * 7 % 256, &holder);
        }
        (void) end(a, x, 100);
        assert_int_equal(count(x, 5, 100), RFC_INDEX_HEARSAY_MAX);
        assert_int_equal(count(x, 5, 100 + 1000 + 127), RFC_INDEX_HEARSAY_MAX);
        /* And what ends sooner than all of it has no place. */
        IndexMergeResult r = gossip(x, 1, 5, 500, 1, 900, 101);
        assert_int_equal(r.n_ignored, 1);
        /* Of another source it has, at the cost of what ends first. */
        r = gossip(x, 2, 5, 500, 1, 900, 101);
        assert_int_equal(r.n_added, 1);
        assert_int_equal(share(x, 5, 1, 101), RFC_INDEX_HEARSAY_MAX - 1);
        assert_int_equal(share(x, 5, 1, 100 + 1000 + 128), RFC_INDEX_HEARSAY_MAX - 1);
}

static void test_what_is_dead_or_forgotten_makes_room(void **state) {
        (void) state;
        _cleanup_(rfc_index_free_p) RfcIndex *x = make_index(100000);
        const Endpoint liar = real(1);
        gossip(x, 1, 5, 0, 1000, 10, 100);
        assert_int_equal(gossip(x, 2, 5, 2000, 200, 5, 120).n_added, RFC_INDEX_HEARSAY_MAX);
        assert_int_equal(share(x, 5, 2, 120), RFC_INDEX_HEARSAY_MAX);

        gossip(x, 1, 6, 0, 1000, 7200, 130);
        rfc_index_forget_source(x, &liar);
        assert_int_equal(gossip(x, 2, 6, 2000, 200, 5, 131).n_added, RFC_INDEX_HEARSAY_MAX);
}

static void test_first_hand_records_are_not_bounded_and_never_go(void **state) {
        (void) state;
        _cleanup_(rfc_index_free_p) RfcIndex *x = make_index(100000);
        for (unsigned i = 1; i <= 250; i++) {
                Answer a = begin(INDEX_MERGE_ALL, i, 100);
                state_line(a, 5, 7200, NULL);
                (void) end(a, x, 100);
        }
        for (unsigned liar = 1; liar <= 15; liar++)
                gossip(x, liar, 5, 1000 * liar, 1000, 7200, 101);
        /* The liars have not stated their own again: that is what a whole answer without it says. */
        assert_int_equal(count(x, 5, 101), 250 - 15 + RFC_INDEX_HEARSAY_MAX);
        for (unsigned i = 16; i <= 250; i++) {
                const Endpoint e = real(i);
                assert_int_equal(share(x, 5, i, 101), 1);
                assert_true(rfc_index_is_whole(x, &e));
        }
        /* What there is no room for is nothing that its source would be missing of its own. */
        for (unsigned liar = 1; liar <= 15; liar++) {
                const Endpoint e = real(liar);
                assert_true(rfc_index_is_whole(x, &e));
        }
}

static void test_a_holder_that_speaks_for_itself_is_hearsay_no_more(void **state) {
        (void) state;
        _cleanup_(rfc_index_free_p) RfcIndex *x = make_index(100000);
        Answer a = begin(INDEX_MERGE_ALL, 1, 100);
        for (unsigned i = 100; i < 100 + RFC_INDEX_HEARSAY_MAX; i++) {
                Endpoint holder = real(i);
                state_line(a, 5, 7200, &holder);
        }
        (void) end(a, x, 100);
        assert_int_equal(gossip(x, 1, 5, 0, 1, 7200, 100).n_ignored, 1);
        for (unsigned i = 100; i < 120; i++) {
                Answer b = begin(INDEX_MERGE_ALL, i, 101);
                state_line(b, 5, 100, NULL);
                (void) end(b, x, 101);
        }
        assert_int_equal(gossip(x, 1, 5, 0, 50, 7000, 102).n_added, 20);
        assert_int_equal(count(x, 5, 102), RFC_INDEX_HEARSAY_MAX + 20);
        /* Their word has ended: as hearsay they find no room, or they take somebody's. */
        a = begin(INDEX_MERGE_ALL, 2, 300);
        for (unsigned i = 100; i < 120; i++) {
                Endpoint holder = real(i);
                state_line(a, 5, 7000, &holder);
        }
        assert_int_equal(end(a, x, 300).n_added, 20);
        assert_int_equal(share(x, 5, 2, 300), 20);
        assert_int_equal(count(x, 5, 300), RFC_INDEX_HEARSAY_MAX);
        expire(x, 300 + TTL);
        assert_int_equal(rfc_index_count(x), 0);
}

/* ---- bytes ---- */

/* Own records with titles of 1 KiB, and a little hearsay of such; from number `first` on. */
static void flood(RfcIndex *x, unsigned source, unsigned first, unsigned n, uint64_t sec) {
        static char line[PROTO_TITLE_MAX + 256];
        Answer a = begin(INDEX_MERGE_ALL, source, sec);
        for (unsigned i = first; i < first + n; i++) {
                char holder[ENDPOINT_TEXT_SIZE] = "-";
                Endpoint e = nobody(i % 10000);
                if (i % 2 == 0)
                        endpoint_to_text(&e, holder);
                int size = snprintf(line, sizeof(line), "%u\t7200\t%s\t100\t" DIGEST "\t", i, holder);
                memset(line + size, 'x', PROTO_TITLE_MAX);
                snprintf(line + size, 16, "%u-%u", source, i);
                line[strlen(line)] = '-';
                memcpy(line + size + PROTO_TITLE_MAX, "\n", 2);
                say(a, line);
        }
        (void) end(a, x, sec);
}

static void test_long_titles_are_bounded_in_bytes(void **state) {
        (void) state;
        _cleanup_(rfc_index_free_p) RfcIndex *x = make_index(200000);
        const Endpoint honest = real(200);
        Answer a = begin(INDEX_MERGE_OWN, 200, 100);
        for (unsigned i = 1; i <= 9000; i++)
                state_line(a, i, 7200, NULL);
        (void) end(a, x, 100);

        /* 130 MB of them, as records far from the limit. */
        for (unsigned liar = 1; liar <= 9; liar++) {
                flood(x, liar, 1 + 14000 * liar, 13500, 100 + liar);
                assert_true(rfc_index_size(x) <= RFC_INDEX_SIZE_MIN);
        }
        assert_true(rfc_index_size(x) > RFC_INDEX_SIZE_MIN / 10 * 9);
        assert_true(rfc_index_count(x) < 100000);

        /* Hearsay went first, then those who had most; who has little has all of it. */
        assert_int_equal(rfc_index_count_source(x, &honest), 9000);
        assert_true(rfc_index_is_whole(x, &honest));
        size_t n_all = 0;
        for (unsigned liar = 1; liar <= 9; liar++) {
                const Endpoint e = real(liar);
                assert_in_range(rfc_index_count_source(x, &e), 4000, 6750);
                n_all += rfc_index_count_source(x, &e);
        }
        assert_int_equal(n_all + 9000, rfc_index_count(x));
}

static void test_bytes_are_free_when_all_is_gone(void **state) {
        (void) state;
        _cleanup_(rfc_index_free_p) RfcIndex *x = make_index(200000);
        Digest digest = { { 7 } };
        assert_int_equal(rfc_index_set_own(x, 77, 100, &digest, SLICE_LITERAL("An own one")), 0);
        const size_t before = rfc_index_size(x);
        flood(x, 1, 1, 5000, 100);
        flood(x, 2, 2501, 5000, 100);
        gossip(x, 3, 9999, 0, 500, 7200, 100);
        flood(x, 1, 1001, 5000, 200);
        const Endpoint liar = real(1);
        rfc_index_forget_source(x, &liar);
        flood(x, 1, 1, 100, 300);
        assert_true(rfc_index_size(x) > 5000 * PROTO_TITLE_MAX);
        expire(x, 300 + TTL);
        assert_int_equal(rfc_index_count(x), 0);
        assert_int_equal(rfc_index_size(x), before);
}

static void test_a_source_at_the_limit_of_bytes_gives_of_its_own(void **state) {
        (void) state;
        _cleanup_(rfc_index_free_p) RfcIndex *x = make_index(200000);
        for (unsigned liar = 1; liar <= 9; liar++)
                flood(x, liar, 1 + 14000 * liar, 13500, 100 + liar);
        /* A small one gets in whole, and hearsay of it as far as others have more hearsay: there is none left. */
        Answer a = begin(INDEX_MERGE_ALL, 100, 200);
        for (unsigned i = 1; i <= 1000; i++)
                state_line(a, i, 7200, NULL);
        Endpoint holder = nobody(1);
        state_line(a, 1001, 7200, &holder);
        IndexMergeResult r = end(a, x, 200);
        assert_true(rfc_index_size(x) <= RFC_INDEX_SIZE_MIN);
        const Endpoint small = real(100);
        assert_int_equal(rfc_index_count_source(x, &small), 1000);
        assert_true(r.n_added >= 1000);
}

static void test_a_lower_limit_counts_for_bytes(void **state) {
        (void) state;
        _cleanup_(rfc_index_free_p) RfcIndex *x = make_index(1000000);
        RfcIndexLimits lower = { .ttl_usec = TTL * SEC, .max_records = 200000 };
        for (unsigned liar = 1; liar <= 9; liar++)
                flood(x, liar, 1 + 14000 * liar, 13500, 100 + liar);
        assert_true(rfc_index_size(x) > RFC_INDEX_SIZE_MIN);
        assert_true(rfc_index_next_expiry(x) > 200 * SEC);
        rfc_index_set_limits(x, &lower);
        assert_int_equal(rfc_index_next_expiry(x), 0);
        expire(x, 200);
        assert_true(rfc_index_size(x) <= RFC_INDEX_SIZE_MIN);
        assert_true(rfc_index_next_expiry(x) > 200 * SEC);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_hearsay_of_one_number_is_bounded),
                cmocka_unit_test(test_liars_share_what_hearsay_there_may_be),
                cmocka_unit_test(test_of_a_source_what_ends_first_goes_first),
                cmocka_unit_test(test_what_is_dead_or_forgotten_makes_room),
                cmocka_unit_test(test_first_hand_records_are_not_bounded_and_never_go),
                cmocka_unit_test(test_a_holder_that_speaks_for_itself_is_hearsay_no_more),
                cmocka_unit_test(test_long_titles_are_bounded_in_bytes),
                cmocka_unit_test(test_bytes_are_free_when_all_is_gone),
                cmocka_unit_test(test_a_source_at_the_limit_of_bytes_gives_of_its_own),
                cmocka_unit_test(test_a_lower_limit_counts_for_bytes),
        };
        return cmocka_run_group_tests_name("index-bounds", tests, NULL, NULL);
}
