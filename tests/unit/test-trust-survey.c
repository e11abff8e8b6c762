/* SPDX-License-Identifier: BSD-2-Clause */
/* trust_survey(): what all records together tell. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/trust.h"
#include "index-test.h"

#define A "192.0.2.1:1000"
#define B "192.0.2.2:1000"
#define C "192.0.2.3:1000"
#define C2 "192.0.2.3:1001"

static const Now NOW = { .boottime = 100 * SEC };

static void own(RfcIndex *x, uint32_t number, uint8_t byte) {
        Digest d = digest(byte);
        assert_int_equal(rfc_index_set_own(x, number, 100, &d, slice_of("Title")), 0);
}

/* The source says of one number that the holder ("-": itself) has a document whose digest is made of that byte. */
static void learn(RfcIndex *x, const char *source, uint32_t number, const char *holder, uint8_t byte) {
        _cleanup_(rfc_set_done) RfcSet set = {};
        _cleanup_buf_ Buf body = BUF_INIT(4096);
        const IndexMergeConf conf = {
                .kind = INDEX_MERGE_SET,
                .source = peer(source),
                .set = &set,
                .sent_at = NOW.boottime,
        };
        char text[DIGEST_TEXT_SIZE];
        Digest d = digest(byte);

        digest_to_text(&d, text);
        assert_int_equal(rfc_set_add(&set, (RfcRange){ number, number }), 0);
        assert_int_equal(buf_printf(&body, "%u\t%u\t%s\t100\t%s\tTitle %u\n", number, TTL, holder, text, byte), 0);
        assert_int_equal(merge_body(x, &conf, buf_slice(&body), &NOW).n_added, 1);
}

/* By slices of each length: the answer is the same. */
static void expect_with(const RfcIndex *x, const Manifest *manifest, const Now *now, size_t n_at_risk, size_t n_disputed) {
        const TrustConf conf = { .quorum = 2, .manifest = manifest };

        for (size_t slice = 1; slice < 12; slice++) {
                TrustSurvey s = {};
                uint32_t after = 0;

                while (trust_survey(x, &conf, &after, slice, now, &s))
                        ;
                assert_int_equal(s.n_at_risk, n_at_risk);
                assert_int_equal(s.n_disputed, n_disputed);
        }
}

static void expect(const RfcIndex *x, const Now *now, size_t n_at_risk, size_t n_disputed) {
        expect_with(x, NULL, now, n_at_risk, n_disputed);
}

static void test_empty_index_tells_nothing(void **state) {
        (void) state;
        _cleanup_(rfc_index_free_p) RfcIndex *x = make_index(1000);

        expect(x, &NOW, 0, 0);
}

static void test_one_holder_is_a_risk_two_are_none(void **state) {
        (void) state;
        _cleanup_(rfc_index_free_p) RfcIndex *x = make_index(1000);

        own(x, 1, 1);                           /* here alone */
        learn(x, A, 2, "-", 2);                 /* there alone */
        learn(x, A, 3, B, 3);                   /* there alone, by hearsay */
        own(x, 4, 4);                           /* here and there */
        learn(x, A, 4, "-", 4);
        learn(x, A, 5, "-", 5);                 /* at two others */
        learn(x, A, 5, C, 5);
        own(x, 2147483647, 6);                  /* the last number that there is */
        expect(x, &NOW, 4, 0);
}

static void test_statement_and_hearsay_about_one_holder_are_one(void **state) {
        (void) state;
        _cleanup_(rfc_index_free_p) RfcIndex *x = make_index(1000);

        learn(x, A, 1, B, 1);
        learn(x, B, 1, "-", 1);
        expect(x, &NOW, 1, 0);
}

static void test_different_digests_are_a_dispute_unless_some_agree(void **state) {
        (void) state;
        _cleanup_(rfc_index_free_p) RfcIndex *x = make_index(1000);

        own(x, 1, 1);                           /* this peer and another */
        learn(x, A, 1, "-", 99);
        learn(x, A, 2, "-", 2);                 /* two others */
        learn(x, B, 2, "-", 98);
        learn(x, A, 3, "-", 3);                 /* hearsay counts for nothing */
        learn(x, A, 3, C, 97);
        own(x, 4, 4);
        learn(x, B, 4, C, 96);
        own(x, 5, 5);                           /* the own copy is no vote: one to one */
        learn(x, A, 5, "-", 5);
        learn(x, B, 5, "-", 95);
        expect(x, &NOW, 0, 3);
        learn(x, A, 6, "-", 6);                 /* two to one: agreed */
        learn(x, B, 6, "-", 6);
        learn(x, C, 6, "-", 94);
        own(x, 7, 93);                          /* the same, but the own copy is of another mind */
        learn(x, A, 7, "-", 7);
        learn(x, B, 7, "-", 7);
        learn(x, A, 8, "-", 8);                 /* two from one address are not two */
        learn(x, C, 8, "-", 92);
        learn(x, C2, 8, "-", 92);
        expect(x, &NOW, 0, 5);
}

static void test_manifest_ends_a_dispute_or_makes_one(void **state) {
        (void) state;
        _cleanup_(rfc_index_free_p) RfcIndex *x = make_index(1000);
        _cleanup_(manifest_free_p) Manifest *right = make_manifest(1, 2), *other = make_manifest(1, 3);

        learn(x, A, 1, "-", 1);
        learn(x, B, 1, "-", 2);
        own(x, 1, 2);
        expect_with(x, NULL, &NOW, 0, 1);
        expect_with(x, right, &NOW, 0, 0);
        expect_with(x, other, &NOW, 0, 1);
}

static void test_what_has_expired_is_forgotten_or_gone_does_not_count(void **state) {
        (void) state;
        _cleanup_(rfc_index_free_p) RfcIndex *x = make_index(1000);
        const Endpoint b = peer(B);

        own(x, 1, 1);
        learn(x, A, 1, "-", 99);
        learn(x, A, 2, "-", 2);
        learn(x, B, 2, "-", 98);
        expect(x, &NOW, 0, 2);
        assert_int_equal(rfc_index_forget_source(x, &b), 1);
        expect(x, &NOW, 1, 1);
        expect(x, &(Now){ .boottime = (100 + TTL) * SEC }, 1, 0);       /* not yet taken out */
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_empty_index_tells_nothing),
                cmocka_unit_test(test_one_holder_is_a_risk_two_are_none),
                cmocka_unit_test(test_statement_and_hearsay_about_one_holder_are_one),
                cmocka_unit_test(test_different_digests_are_a_dispute_unless_some_agree),
                cmocka_unit_test(test_manifest_ends_a_dispute_or_makes_one),
                cmocka_unit_test(test_what_has_expired_is_forgotten_or_gone_does_not_count),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
