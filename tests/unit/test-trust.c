/* SPDX-License-Identifier: BSD-2-Clause */
/* Trust: who says what, and the grades that come of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "core/trust.h"
#include "index-test.h"

#define NUMBER 7230

static const Now NOW = { .boottime = 100 * SEC };

static void put_line(Buf *b, const char *holder, size_t holder_size, char letter, unsigned size) {
        char text[DIGEST_TEXT_SIZE];
        Digest d = digest(letter);

        digest_to_text(&d, text);
        assert_int_equal(buf_printf(b, "%u\t%u\t%.*s\t%u\t%s\tTitle\n", NUMBER, TTL, (int) holder_size, holder, size, text), 0);
}

static void merge(RfcIndex *x, Slice source, Buf *body, usec_t sent_at) {
        IndexMergeConf conf = { .kind = INDEX_MERGE_ALL, .sent_at = sent_at };

        assert_int_equal(endpoint_from_text(source, &conf.source), 0);
        (void) merge_body(x, &conf, buf_slice(body), &(Now){ .boottime = sent_at });
}

/* "192.0.2.1:1 A": that peer says that it has text A; "192.0.2.1:1 192.0.2.2:1=A": that the other has. */
static void hear(RfcIndex *x, Slice said, usec_t sent_at) {
        _cleanup_buf_ Buf body = BUF_INIT(1 << 20);
        Slice word, source = {};

        while (slice_split(&said, ' ', &word)) {
                if (word.size == 0)
                        continue;
                if (!source.data)
                        source = word;
                else if (word.size == 1)
                        put_line(&body, "-", 1, word.data[0], 100);
                else
                        put_line(&body, word.data, word.size - 2, word.data[word.size - 1], 100);
        }
        merge(x, source, &body, sent_at);
}

static void hear_all(RfcIndex *x, const char *said, usec_t sent_at) {
        Slice rest = slice_of(said), one;

        while (rest.size > 0 && slice_split(&rest, ';', &one))
                hear(x, one, sent_at);
}

/* "A agreed 3/2+1 own; …": text, grade, holders / prefixes + hearsay. */
static void describe(const TrustText *texts, size_t n, char *ret, size_t size) {
        size_t at = 0;

        ret[0] = '\0';
        for (size_t i = 0; i < n; i++) {
                const TrustText *t = &texts[i];
                int k = snprintf(ret + at, size - at, "%s%c %s %zu/%zu+%zu%s", i > 0 ? "; " : "", t->digest.bytes[0],
                                 grade_name(t->grade), t->n_holders, t->n_prefixes, t->n_hearsay, t->own ? " own" : "");
                assert_true(k > 0 && (size_t) k < size - at);
                at += (size_t) k;
        }
}

static void expect(const RfcIndex *x, const TrustConf *conf, const Now *now, const char *expected) {
        TrustText texts[TRUST_TEXTS_MAX], fewer[TRUST_TEXTS_MAX];
        size_t n = trust_texts(x, conf, NUMBER, now, texts, TRUST_TEXTS_MAX);
        char text[1024];

        assert_true(n <= TRUST_TEXTS_MAX);
        describe(texts, n, text, sizeof(text));
        assert_string_equal(text, expected);
        /* Asked for fewer, it is the best of them. */
        for (size_t k = 0; k < n; k++) {
                assert_int_equal(trust_texts(x, conf, NUMBER, now, fewer, k), n);
                for (size_t i = 0; i < k; i++)
                        assert_true(digest_equal(&fewer[i].digest, &texts[i].digest));
        }
}

typedef struct Case {
        unsigned quorum;
        char manifest, own;             /* 0: none */
        const char *said;
        const char *texts;
} Case;

static void try_case(const Case *c) {
        _cleanup_(rfc_index_free_p) RfcIndex *x = make_index(1000000);
        _cleanup_(manifest_free_p) Manifest *m = c->manifest ? make_manifest(NUMBER, c->manifest) : NULL;
        const TrustConf conf = { .quorum = c->quorum, .manifest = m };
        Digest own = digest(c->own);

        hear_all(x, c->said, NOW.boottime);
        if (c->own)
                assert_int_equal(rfc_index_set_own(x, NUMBER, 100, &own, slice_of("Title")), 0);
        expect(x, &conf, &NOW, c->texts);
}

static void try_cases(const Case *cases, size_t n) {
        for (size_t i = 0; i < n; i++)
                try_case(&cases[i]);
}

static void test_quorum_of_prefixes_agrees(void **state) {
        static const Case cases[] = {
                { 2, 0, 0, "", "" },
                { 2, 0, 0, "10.0.0.1:1 A", "A single 1/1+0" },
                { 1, 0, 0, "10.0.0.1:1 A", "A agreed 1/1+0" },
                { 2, 0, 0, "10.0.0.1:1 A; 10.0.0.2:1 A", "A agreed 2/2+0" },
                { 3, 0, 0, "10.0.0.1:1 A; 10.0.0.2:1 A", "A single 2/2+0" },
                { 3, 0, 0, "10.0.0.1:1 A; 10.0.0.2:1 A; 10.0.0.3:1 A", "A agreed 3/3+0" },
                { 2, 0, 0, "10.0.0.1:1 A; 10.0.0.2:1 A; 10.0.0.3:1 B", "A agreed 2/2+0; B disputed 1/1+0" },
                { 2, 0, 0, "10.0.0.1:1 A; 10.0.0.3:1 B", "A disputed 1/1+0; B disputed 1/1+0" },
                { 1, 0, 0, "10.0.0.1:1 A; 10.0.0.3:1 B", "A disputed 1/1+0; B disputed 1/1+0" },
                { 2, 0, 0, "10.0.0.1:1 A; 10.0.0.2:1 A; 10.0.0.3:1 B; 10.0.0.4:1 B",
                  "A disputed 2/2+0; B disputed 2/2+0" },
                { 2, 0, 0, "10.0.0.1:1 A; 10.0.0.2:1 A; 10.0.0.3:1 B; 10.0.0.4:1 B; 10.0.0.5:1 B",
                  "B agreed 3/3+0; A disputed 2/2+0" },
                { 4, 0, 0, "10.0.0.1:1 A; 10.0.0.2:1 A; 10.0.0.3:1 B; 10.0.0.4:1 B; 10.0.0.5:1 B",
                  "B disputed 3/3+0; A disputed 2/2+0" },
        };
        (void) state;
        try_cases(cases, ELEMENTSOF(cases));
}

static void test_one_prefix_is_one_vote(void **state) {
        static const Case cases[] = {
                /* IPv4: the address; an IPv4-mapped one is the same. */
                { 2, 0, 0, "10.0.0.1:1 A; 10.0.0.1:2 A; 10.0.0.1:3 A", "A single 3/1+0" },
                { 2, 0, 0, "10.0.0.1:1 A; [::ffff:10.0.0.1]:2 A", "A single 2/1+0" },
                { 2, 0, 0, "10.0.0.1:1 A; [::ffff:10.0.0.2]:2 A", "A agreed 2/2+0" },
                /* IPv6: the /64. */
                { 2, 0, 0, "[2001:db8::1]:1 A; [2001:db8::2]:1 A; [2001:db8::ffff:0:0:3]:1 A", "A single 3/1+0" },
                { 2, 0, 0, "[2001:db8::1]:1 A; [2001:db8:0:1::1]:1 A", "A agreed 2/2+0" },
                /* Many peers behind one address have nothing to say against two others, nor against one. */
                { 2, 0, 0, "10.0.0.9:1 B; 10.0.0.9:2 B; 10.0.0.9:3 B; 10.0.0.1:1 A; 10.0.0.2:1 A",
                  "A agreed 2/2+0; B disputed 3/1+0" },
                { 2, 0, 0, "10.0.0.9:1 B; 10.0.0.9:2 B; 10.0.0.9:3 B; 10.0.0.1:1 A",
                  "B disputed 3/1+0; A disputed 1/1+0" },
                /* With two minds in one prefix it counts for both. */
                { 2, 0, 0, "10.0.0.1:1 A; 10.0.0.1:2 B; 10.0.0.2:1 A", "A agreed 2/2+0; B disputed 1/1+0" },
        };
        (void) state;
        try_cases(cases, ELEMENTSOF(cases));
}

static void test_hearsay_is_no_vote(void **state) {
        static const Case cases[] = {
                { 1, 0, 0, "10.0.0.1:1 10.0.0.7:1=A 10.0.0.8:1=A", "A single 0/0+2" },
                { 1, 0, 0, "10.0.0.1:1 10.0.0.7:1=A 10.0.0.8:1=B", "A single 0/0+1; B single 0/0+1" },
                { 2, 0, 0, "10.0.0.1:1 A 10.0.0.7:1=A", "A single 1/1+1" },
                { 2, 0, 0, "10.0.0.1:1 A 10.0.0.7:1=B 10.0.0.8:1=B", "A single 1/1+0; B disputed 0/0+2" },
                { 2, 0, 0, "10.0.0.1:1 A; 10.0.0.2:1 A; 10.0.0.3:1 10.0.0.7:1=B 10.0.0.8:1=B 10.0.0.9:1=B",
                  "A agreed 2/2+0; B disputed 0/0+3" },
                /* What a peer says itself takes the place of what was heard of it, and not the other way round. */
                { 2, 0, 0, "10.0.0.1:1 A 10.0.0.7:1=B; 10.0.0.7:1 A", "A agreed 2/2+0" },
                { 2, 0, 0, "10.0.0.7:1 A; 10.0.0.1:1 A 10.0.0.7:1=B", "A agreed 2/2+0" },
        };
        (void) state;
        try_cases(cases, ELEMENTSOF(cases));
}

static void test_own_copy_is_no_vote(void **state) {
        static const Case cases[] = {
                { 1, 0, 'A', "", "A single 0/0+0 own" },
                { 2, 0, 'A', "10.0.0.1:1 A", "A single 1/1+0 own" },
                { 2, 0, 'A', "10.0.0.1:1 B", "B single 1/1+0; A disputed 0/0+0 own" },
                { 2, 0, 'A', "10.0.0.1:1 10.0.0.7:1=B", "A single 0/0+0 own; B single 0/0+1" },
                { 2, 0, 'A', "10.0.0.1:1 A; 10.0.0.2:1 B", "A disputed 1/1+0 own; B disputed 1/1+0" },
                { 2, 0, 'A', "10.0.0.1:1 B; 10.0.0.2:1 B", "B agreed 2/2+0; A disputed 0/0+0 own" },
        };
        (void) state;
        try_cases(cases, ELEMENTSOF(cases));
}

static void test_manifest_beats_all(void **state) {
        static const Case cases[] = {
                { 2, 'A', 0, "10.0.0.1:1 A", "A verified 1/1+0" },
                { 2, 'A', 0, "10.0.0.1:1 A; 10.0.0.2:1 B; 10.0.0.3:1 B", "A verified 1/1+0; B disputed 2/2+0" },
                { 2, 'C', 0, "10.0.0.1:1 A; 10.0.0.2:1 A", "A disputed 2/2+0" },
                { 2, 'C', 'B', "10.0.0.1:1 A", "A disputed 1/1+0; B disputed 0/0+0 own" },
                { 2, 'B', 'B', "10.0.0.1:1 A", "B verified 0/0+0 own; A disputed 1/1+0" },
                { 2, 'A', 0, "10.0.0.1:1 10.0.0.7:1=A 10.0.0.8:1=B", "A verified 0/0+1; B disputed 0/0+1" },
        };
        (void) state;
        try_cases(cases, ELEMENTSOF(cases));
}

static void test_manifest_about_other_numbers_says_nothing(void **state) {
        (void) state;
        _cleanup_(rfc_index_free_p) RfcIndex *x = make_index(1000000);
        _cleanup_(manifest_free_p) Manifest *m = make_manifest(NUMBER + 1, 'C');

        hear_all(x, "10.0.0.1:1 A", NOW.boottime);
        expect(x, &(TrustConf){ .quorum = 2, .manifest = m }, &NOW, "A single 1/1+0");
}

static void test_only_the_living_are_heard(void **state) {
        (void) state;
        _cleanup_(rfc_index_free_p) RfcIndex *x = make_index(1000000);
        const TrustConf conf = { .quorum = 2 };
        const Now later = { .boottime = NOW.boottime + 50 * SEC }, end = { .boottime = NOW.boottime + TTL * SEC };
        const Now last = { .boottime = end.boottime - 1 };
        Endpoint liar;

        hear_all(x, "10.0.0.1:1 A; 10.0.0.2:1 A", NOW.boottime);
        hear_all(x, "10.0.0.3:1 B", later.boottime);
        expect(x, &conf, &later, "A agreed 2/2+0; B disputed 1/1+0");
        expect(x, &conf, &last, "A agreed 2/2+0; B disputed 1/1+0");
        expect(x, &conf, &end, "B single 1/1+0");               /* also before anybody has taken them out */
        assert_int_equal(endpoint_from_text(slice_of("10.0.0.3:1"), &liar), 0);
        assert_int_equal(rfc_index_forget_source(x, &liar), 1);
        expect(x, &conf, &last, "A agreed 2/2+0");
        expect(x, &conf, &end, "");
        hear_all(x, "10.0.0.3:1 A", end.boottime);
        expect(x, &conf, &last, "A agreed 3/3+0");
        expect(x, &conf, &end, "A single 1/1+0");
}

static void test_quorum_of_64(void **state) {
        (void) state;
        _cleanup_(rfc_index_free_p) RfcIndex *x = make_index(1000000);
        const TrustConf conf = { .quorum = GRADE_QUORUM_MAX };
        char said[40];
        TrustText a;

        for (unsigned i = 1; i <= 64; i++) {
                (void) snprintf(said, sizeof(said), "10.0.1.%u:1 A", i);
                hear_all(x, said, NOW.boottime);
                assert_int_equal(trust_texts(x, &conf, NUMBER, &NOW, &a, 1), 1);
                assert_int_equal(a.grade, i < 64 ? GRADE_SINGLE : GRADE_AGREED);
        }
}

/* Twenty that work together, whatever they say, are no two. */
static void test_peers_behind_one_address_never_agree(void **state) {
        (void) state;
        _cleanup_(rfc_index_free_p) RfcIndex *x = make_index(1000000);
        char said[40];

        for (unsigned i = 1; i <= 20; i++) {
                (void) snprintf(said, sizeof(said), "10.0.0.9:%u B", i);
                hear_all(x, said, NOW.boottime);
        }
        expect(x, &(TrustConf){ .quorum = 2 }, &NOW, "B single 20/1+0");
        hear_all(x, "10.0.0.1:1 A; 10.0.0.2:1 A", NOW.boottime);
        expect(x, &(TrustConf){ .quorum = 2 }, &NOW, "A agreed 2/2+0; B disputed 20/1+0");
}

static void test_size_is_what_most_state(void **state) {
        (void) state;
        _cleanup_(rfc_index_free_p) RfcIndex *x = make_index(1000000);
        static const unsigned sizes[] = { 9, 100, 5, 100, 100 };
        TrustText t;

        for (unsigned i = 0; i < ELEMENTSOF(sizes); i++) {
                _cleanup_buf_ Buf body = BUF_INIT(1000);
                char source[40];
                (void) snprintf(source, sizeof(source), "10.0.0.%u:1", i + 1);
                put_line(&body, "-", 1, 'A', sizes[i]);
                merge(x, slice_of(source), &body, NOW.boottime);
        }
        assert_int_equal(trust_texts(x, &(TrustConf){ .quorum = 2 }, NUMBER, &NOW, &t, 1), 1);
        assert_int_equal(t.size, 100);
        assert_int_equal(t.n_prefixes, 5);
}

/* An answer as long as may be, all about one number, each line another text: what the holders say is still seen. */
static void test_flood_of_hearsay_hides_nobody(void **state) {
        (void) state;
        _cleanup_(rfc_index_free_p) RfcIndex *x = make_index(1000000);
        _cleanup_buf_ Buf body = BUF_INIT(PROTO_INDEX_BYTES_MAX);
        const TrustConf conf = { .quorum = 2 };
        TrustText texts[3];
        Digest d = digest('B');

        hear_all(x, "10.0.0.1:1 A", NOW.boottime);
        for (unsigned i = 0; i < PROTO_INDEX_RECORDS_MAX; i++) {
                char text[DIGEST_TEXT_SIZE];
                memcpy(d.bytes, &i, sizeof(i));
                digest_to_text(&d, text);
                /* In the order of their bytes. */
                assert_int_equal(buf_printf(&body, "%u\t%u\t[2001:db8::%x:%x]:1\t100\t%s\tTitle\n", NUMBER, TTL,
                                            0x1000 + (i >> 12), 0x1000 + (i & 0xfff), text), 0);
        }
        merge(x, slice_of("10.0.0.9:1"), &body, NOW.boottime);
        hear_all(x, "10.0.0.2:1 A; 10.0.0.3:1 C", NOW.boottime);
        /* What was hearsay first and came first-hand later is seen as well. */
        hear_all(x, "[2001:db8::1000:1005]:1 A", NOW.boottime);
        assert_int_equal(rfc_index_count(x), 4 - 1 + RFC_INDEX_HEARSAY_MAX);

        assert_int_equal(trust_texts(x, &conf, NUMBER, &NOW, texts, 3), 2 + RFC_INDEX_HEARSAY_MAX - 1);
        char text[300];
        describe(texts, 3, text, sizeof(text));
        assert_memory_equal(text, "A agreed 3/3+0; C disputed 1/1+0; ", 34);
        assert_int_equal(texts[2].grade, GRADE_DISPUTED);
        assert_int_equal(texts[2].n_hearsay, 1);
}

static void test_grades_have_names(void **state) {
        (void) state;
        Grade g = GRADE_SINGLE;

        for (unsigned i = 0; i < _GRADE_MAX; i++) {
                assert_int_equal(grade_from_name(slice_of(grade_name(i)), &g), 0);
                assert_int_equal(g, i);
        }
        assert_int_equal(grade_from_name(SLICE_LITERAL("Single"), &g), GRADE_BAD);
        assert_int_equal(grade_from_name(SLICE_LITERAL("singl"), &g), GRADE_BAD);
        assert_int_equal(grade_from_name(SLICE_LITERAL(""), &g), GRADE_BAD);
        assert_int_equal(g, GRADE_VERIFIED);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_quorum_of_prefixes_agrees),
                cmocka_unit_test(test_one_prefix_is_one_vote),
                cmocka_unit_test(test_hearsay_is_no_vote),
                cmocka_unit_test(test_own_copy_is_no_vote),
                cmocka_unit_test(test_manifest_beats_all),
                cmocka_unit_test(test_manifest_about_other_numbers_says_nothing),
                cmocka_unit_test(test_only_the_living_are_heard),
                cmocka_unit_test(test_quorum_of_64),
                cmocka_unit_test(test_peers_behind_one_address_never_agree),
                cmocka_unit_test(test_size_is_what_most_state),
                cmocka_unit_test(test_flood_of_hearsay_hides_nobody),
                cmocka_unit_test(test_grades_have_names),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
