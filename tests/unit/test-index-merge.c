/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The merging rules of the protocol, section 3, each as a promise; then all of them at random, against a naive model.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "index-test.h"

#define A "192.0.2.1:1000"
#define B "192.0.2.2:1000"
#define C "[2001:db8::3]:1000"
#define SELF "192.0.2.99:1000"

#define D1 "1111111111111111111111111111111111111111111111111111111111111111"
#define D2 "2222222222222222222222222222222222222222222222222222222222222222"

/* "number ttl holder digest" as a line; R: holder "-", full TTL, the first digest. */
#define LINE(number, ttl, holder, digest) number "\t" ttl "\t" holder "\t100\t" digest "\tA title\n"
#define R(number) LINE(number, "7200", "-", D1)
#define H(number, ttl, holder) LINE(number, ttl, holder, D1)

static IndexMerge *make_merge(IndexMergeKind kind, const char *source, const RfcSet *set, uint64_t sent_at) {
        static Endpoint self;
        self = peer(SELF);
        IndexMerge *m;
        IndexMergeConf conf = {
                .kind = kind,
                .source = peer(source),
                .set = set,
                .self = &self,
                .n_self = 1,
                .sent_at = sent_at * SEC,
        };
        assert_int_equal(index_merge_new(&conf, &m), 0);
        return m;
}

static IndexMergeResult put(IndexMerge *m, RfcIndex *x, uint64_t sec) {
        IndexMergeResult result;
        Now now = at(sec);
        assert_int_equal(index_merge_step(m, x, SIZE_MAX, &now, &result), 0);
        return result;
}

static IndexMergeResult merge_at(RfcIndex *x, IndexMergeKind kind, const char *source, const char *body,
                                 uint64_t sent_at, uint64_t sec) {
        _cleanup_(index_merge_free_p) IndexMerge *m = make_merge(kind, source, NULL, sent_at);
        assert_int_equal(index_merge_feed(m, slice_of(body)), 0);
        assert_int_equal(index_merge_end(m), 0);
        return put(m, x, sec);
}

static IndexMergeResult merge(RfcIndex *x, IndexMergeKind kind, const char *source, const char *body,
                              uint64_t sent_at) {
        return merge_at(x, kind, source, body, sent_at, sent_at);
}

static IndexMergeResult merge_set(RfcIndex *x, const char *source, const char *set_text, const char *body,
                                  uint64_t sent_at) {
        _cleanup_rfc_set_ RfcSet set = { 0 };
        assert_int_equal(rfc_set_from_wire(slice_of(set_text), &set), 0);
        _cleanup_(index_merge_free_p) IndexMerge *m = make_merge(INDEX_MERGE_SET, source, &set, sent_at);
        assert_int_equal(index_merge_feed(m, slice_of(body)), 0);
        assert_int_equal(index_merge_end(m), 0);
        return put(m, x, sent_at);
}

/* Seconds at which the record ends, 0: there is no live one. *ret may be NULL. */
static uint64_t ends(const RfcIndex *x, uint32_t number, const char *holder, uint64_t sec, RfcRecord *ret) {
        Endpoint e = peer(holder);
        RfcRecord rec;
        Now now = at(sec);
        if (!rfc_index_get(x, number, &e, &now, &rec))
                return 0;
        if (ret)
                *ret = rec;
        return rec.expires_at / SEC;
}

static void assert_source(const RfcRecord *rec, const char *source) {
        Endpoint e = peer(source);
        assert_true(endpoint_equal(&rec->source, &e));
}

/* ---- rule 1: the time that a record lives ---- */

static void test_ttl_counts_from_when_the_request_was_sent(void **state) {
        (void) state;
        _cleanup_(rfc_index_free_p) RfcIndex *x = make_index(1000);
        merge_at(x, INDEX_MERGE_ALL, A, LINE("5", "100", "-", D1) H("6", "50", B), 1000, 1030);
        assert_int_equal(ends(x, 5, A, 1030, NULL), 1100);
        assert_int_equal(ends(x, 6, B, 1030, NULL), 1050);
}

static void test_stated_ttl_is_capped_by_the_own_one(void **state) {
        (void) state;
        _cleanup_(rfc_index_free_p) RfcIndex *x = make_index(1000);
        merge(x, INDEX_MERGE_ALL, A, LINE("5", "4294967295", "-", D1) H("6", "7201", B), 1000);
        assert_int_equal(ends(x, 5, A, 1000, NULL), 1000 + TTL);
        assert_int_equal(ends(x, 6, B, 1000, NULL), 1000 + TTL);
}

static void test_an_answer_that_took_longer_than_its_ttl_says_nothing(void **state) {
        (void) state;
        _cleanup_(rfc_index_free_p) RfcIndex *x = make_index(1000);
        IndexMergeResult r = merge_at(x, INDEX_MERGE_ALL, A, LINE("5", "10", "-", D1) H("6", "10", B), 1000, 1010);
        assert_int_equal(r.n_ignored, 2);
        assert_int_equal(rfc_index_count(x), 0);
}

static void test_304_renews_all_of_that_peer_and_nothing_else(void **state) {
        (void) state;
        _cleanup_(rfc_index_free_p) RfcIndex *x = make_index(1000);
        Endpoint a = peer(A);
        merge(x, INDEX_MERGE_ALL, A, R("5") LINE("6", "100", "-", D1) H("7", "50", B), 1000);
        merge(x, INDEX_MERGE_ALL, B, R("5") H("8", "50", A), 1000);
        rfc_index_confirm(x, &a, 1020 * SEC);
        assert_int_equal(ends(x, 5, A, 1020, NULL), 1020 + TTL);
        assert_int_equal(ends(x, 6, A, 1020, NULL), 1120);
        assert_int_equal(ends(x, 7, B, 1020, NULL), 1050);      /* hearsay by A */
        assert_int_equal(ends(x, 8, A, 1020, NULL), 1050);      /* hearsay about A */
        assert_int_equal(ends(x, 5, B, 1020, NULL), 1000 + TTL);
}

static void test_200_confirms_what_it_repeats(void **state) {
        (void) state;
        _cleanup_(rfc_index_free_p) RfcIndex *x = make_index(1000);
        IndexMergeResult r = merge(x, INDEX_MERGE_OWN, A, R("5") R("6"), 1000);
        assert_int_equal(r.n_added, 2);
        r = merge(x, INDEX_MERGE_OWN, A, R("5") LINE("6", "7200", "-", D2), 2000);
        assert_int_equal(r.n_confirmed, 1);
        assert_int_equal(r.n_added, 1);
        assert_int_equal(r.n_removed, 0);
        RfcRecord rec;
        assert_int_equal(ends(x, 5, A, 2000, NULL), 2000 + TTL);
        assert_int_equal(ends(x, 6, A, 2000, &rec), 2000 + TTL);
        assert_int_equal(rec.digest.bytes[0], 0x22);
}

/* ---- rule 2: replaced as a whole, or not at all ---- */

static void test_200_replaces_what_is_known_first_hand(void **state) {
        (void) state;
        static const IndexMergeKind kinds[] = { INDEX_MERGE_OWN, INDEX_MERGE_ALL };
        for (size_t i = 0; i < ELEMENTSOF(kinds); i++) {
                _cleanup_(rfc_index_free_p) RfcIndex *x = make_index(1000);
                merge(x, INDEX_MERGE_ALL, A, R("5") R("6") H("7", "7000", B), 1000);
                merge(x, INDEX_MERGE_ALL, C, R("5") H("9", "7000", A), 1000);
                IndexMergeResult r = merge(x, kinds[i], A, R("6") R("8"), 1001);
                assert_int_equal(r.n_removed, 1);
                assert_int_equal(ends(x, 5, A, 1001, NULL), 0);
                assert_int_equal(ends(x, 6, A, 1001, NULL), 1001 + TTL);
                assert_int_equal(ends(x, 8, A, 1001, NULL), 1001 + TTL);
                assert_int_equal(ends(x, 7, B, 1001, NULL), 8000);      /* A's hearsay lives its time */
                assert_int_equal(ends(x, 9, A, 1001, NULL), 8000);
                assert_int_equal(ends(x, 5, C, 1001, NULL), 1000 + TTL);
                r = merge(x, kinds[i], A, "", 1002);
                assert_int_equal(r.n_removed, 2);
                assert_int_equal(ends(x, 6, A, 1002, NULL), 0);
        }
}

static void test_answer_about_some_numbers_replaces_these_only(void **state) {
        (void) state;
        _cleanup_(rfc_index_free_p) RfcIndex *x = make_index(1000);
        merge(x, INDEX_MERGE_ALL, A, R("4") R("5") R("6") R("7") R("8"), 1000);
        merge(x, INDEX_MERGE_OWN, C, R("6"), 1000);
        merge(x, INDEX_MERGE_ALL, C, R("6") H("9", "100", B), 1000);
        IndexMergeResult r = merge_set(x, A, "5-6,8-2000000000", LINE("5", "7200", "-", D2) H("6", "100", B), 2000);
        assert_int_equal(r.n_removed, 2);
        assert_int_equal(r.n_added, 2);
        RfcRecord rec;
        assert_int_equal(ends(x, 4, A, 2000, NULL), 1000 + TTL);
        assert_int_equal(ends(x, 5, A, 2000, &rec), 2000 + TTL);
        assert_int_equal(rec.digest.bytes[0], 0x22);
        assert_int_equal(ends(x, 6, A, 2000, NULL), 0);
        assert_int_equal(ends(x, 6, B, 2000, NULL), 2100);
        assert_int_equal(ends(x, 6, C, 2000, NULL), 1000 + TTL);
        assert_int_equal(ends(x, 7, A, 2000, NULL), 1000 + TTL);
        assert_int_equal(ends(x, 8, A, 2000, NULL), 0);
}

/* Everything that must be refused. */
static const struct {
        IndexMergeKind kind;
        const char *what, *body;
} BAD[] = {
        { INDEX_MERGE_ALL, "descending numbers", R("6") R("5") },
        { INDEX_MERGE_ALL, "the same line twice", R("5") R("5") },
        { INDEX_MERGE_ALL, "two records of one holder", H("5", "10", B) H("5", "20", B) },
        { INDEX_MERGE_ALL, "own after others", H("5", "10", B) R("5") },
        { INDEX_MERGE_ALL, "holders out of order", H("5", "10", B) H("5", "10", A) },
        { INDEX_MERGE_ALL, "holders in the order of addresses", H("5", "10", "9.0.0.1:1") H("5", "10", "10.0.0.1:1") },
        { INDEX_MERGE_ALL, "no line end", R("5") "6\t7200\t-\t100\t" D1 "\tA title" },
        { INDEX_MERGE_ALL, "an empty line", R("5") "\n" },
        { INDEX_MERGE_ALL, "a ttl of 0", LINE("5", "0", "-", D1) },
        { INDEX_MERGE_ALL, "number 0", R("0") },
        { INDEX_MERGE_ALL, "a number that is too high", R("2147483648") },
        { INDEX_MERGE_ALL, "a column too few", "5\t7200\t-\t100\t" D1 "\n" },
        { INDEX_MERGE_ALL, "a control byte in a title", "5\t7200\t-\t100\t" D1 "\tA\x1btitle\n" },
        { INDEX_MERGE_ALL, "a title that is no UTF-8", "5\t7200\t-\t100\t" D1 "\tA\xfftitle\n" },
        { INDEX_MERGE_ALL, "a line of a delta", "+" R("5") },
        { INDEX_MERGE_OWN, "hearsay where own documents were asked for", R("5") H("5", "10", B) },
        { INDEX_MERGE_SET, "a number that was not asked for", R("5") R("8") },
};

static void check_nothing_changed(const RfcIndex *x) {
        assert_int_equal(rfc_index_count(x), 2);
        assert_int_equal(ends(x, 1, A, 1000, NULL), 1000 + TTL);
        assert_int_equal(ends(x, 2, A, 1000, NULL), 1000 + TTL);
}

static void test_a_bad_body_changes_nothing(void **state) {
        (void) state;
        _cleanup_(rfc_index_free_p) RfcIndex *x = make_index(1000);
        _cleanup_rfc_set_ RfcSet set = { 0 };
        assert_int_equal(rfc_set_from_wire(slice_of("1-7"), &set), 0);
        merge(x, INDEX_MERGE_OWN, A, R("1") R("2"), 1000);

        for (size_t i = 0; i < ELEMENTSOF(BAD); i++) {
                const RfcSet *its_set = BAD[i].kind == INDEX_MERGE_SET ? &set : NULL;
                Slice body = slice_of(BAD[i].body);
                _cleanup_(index_merge_free_p) IndexMerge *whole = make_merge(BAD[i].kind, A, its_set, 1001);
                int r = index_merge_feed(whole, body);
                if (r == 0)
                        r = index_merge_end(whole);
                if (r != RFC_INDEX_BAD)
                        fail_msg("taken: %s", BAD[i].what);
                assert_int_equal(index_merge_feed(whole, slice_of("")), RFC_INDEX_BAD);
                assert_int_equal(index_merge_end(whole), RFC_INDEX_BAD);

                _cleanup_(index_merge_free_p) IndexMerge *bytes = make_merge(BAD[i].kind, A, its_set, 1001);
                r = 0;
                for (size_t at_byte = 0; r == 0 && at_byte < body.size; at_byte++)
                        r = index_merge_feed(bytes, (Slice){ body.data + at_byte, 1 });
                if (r == 0)
                        r = index_merge_end(bytes);
                if (r != RFC_INDEX_BAD)
                        fail_msg("taken byte by byte: %s", BAD[i].what);
                check_nothing_changed(x);
        }
}

static void test_an_endless_line_is_bad_before_it_takes_memory(void **state) {
        (void) state;
        char line[PROTO_INDEX_LINE_MAX + 10];
        memset(line, '1', sizeof(line));
        _cleanup_(index_merge_free_p) IndexMerge *m = make_merge(INDEX_MERGE_ALL, A, NULL, 0);
        size_t n = 0;
        while (n < sizeof(line) && index_merge_feed(m, (Slice){ line, 1 }) == 0)
                n++;
        assert_true(n <= PROTO_INDEX_LINE_MAX);
        _cleanup_(index_merge_free_p) IndexMerge *at_once = make_merge(INDEX_MERGE_ALL, A, NULL, 0);
        assert_int_equal(index_merge_feed(at_once, (Slice){ line, sizeof(line) }), RFC_INDEX_BAD);
}

static void test_more_than_65536_records_are_too_large(void **state) {
        (void) state;
        _cleanup_buf_ Buf b = BUF_INIT(PROTO_INDEX_BYTES_MAX);
        for (unsigned n = 1; n <= PROTO_INDEX_RECORDS_MAX + 1; n++)
                assert_int_equal(buf_printf(&b, "%u\t7200\t-\t100\t" D1 "\tT\n", n), 0);
        size_t last_line = b.size;
        while (b.data[last_line - 2] != '\n')
                last_line--;
        last_line--;

        _cleanup_(index_merge_free_p) IndexMerge *m = make_merge(INDEX_MERGE_ALL, A, NULL, 0);
        assert_int_equal(index_merge_feed(m, (Slice){ b.data, last_line }), 0);
        assert_int_equal(index_merge_feed(m, (Slice){ b.data + last_line, b.size - last_line }), RFC_INDEX_TOO_LARGE);
        assert_int_equal(index_merge_end(m), RFC_INDEX_BAD);

        _cleanup_(rfc_index_free_p) RfcIndex *x = make_index(1000000);
        _cleanup_(index_merge_free_p) IndexMerge *full = make_merge(INDEX_MERGE_ALL, A, NULL, 0);
        assert_int_equal(index_merge_feed(full, (Slice){ b.data, last_line }), 0);
        assert_int_equal(index_merge_end(full), 0);
        assert_int_equal(put(full, x, 0).n_added, PROTO_INDEX_RECORDS_MAX);
}

static void test_more_than_16_mib_are_too_large(void **state) {
        (void) state;
        char title[PROTO_TITLE_MAX + 1] = { 0 };
        memset(title, 'x', PROTO_TITLE_MAX);
        _cleanup_buf_ Buf b = BUF_INIT(PROTO_INDEX_LINE_MAX);
        _cleanup_(index_merge_free_p) IndexMerge *m = make_merge(INDEX_MERGE_ALL, A, NULL, 0);
        size_t n_bytes = 0;
        int r = 0;
        for (unsigned n = 1; r == 0; n++) {
                buf_clear(&b);
                assert_int_equal(buf_printf(&b, "%u\t7200\t-\t100\t" D1 "\t%s\n", n, title), 0);
                n_bytes += b.size;
                r = index_merge_feed(m, buf_slice(&b));
                assert_int_equal(r != 0, n_bytes > PROTO_INDEX_BYTES_MAX);
        }
        assert_int_equal(r, RFC_INDEX_TOO_LARGE);
}

static void test_a_good_body_counts_the_same_byte_by_byte(void **state) {
        (void) state;
        static const char body[] = R("5") H("5", "10", B) H("5", "10", C) H("6", "30", B) R("7");
        for (size_t piece = 1; piece < sizeof(body); piece++) {
                _cleanup_(rfc_index_free_p) RfcIndex *x = make_index(1000);
                _cleanup_(index_merge_free_p) IndexMerge *m = make_merge(INDEX_MERGE_ALL, A, NULL, 1000);
                for (size_t i = 0; i < sizeof(body) - 1; i += piece)
                        assert_int_equal(
                                index_merge_feed(m, (Slice){ body + i, MIN_OF(piece, sizeof(body) - 1 - i) }), 0);
                assert_int_equal(rfc_index_count(x), 0);
                assert_int_equal(index_merge_end(m), 0);
                assert_int_equal(rfc_index_count(x), 0);
                assert_int_equal(put(m, x, 1000).n_added, 5);
                RfcRecord rec;
                assert_int_equal(ends(x, 6, B, 1000, &rec), 1030);
                assert_true(slice_equal(rec.title, SLICE_LITERAL("A title")));
                assert_int_equal(rec.size, 100);
        }
}

static void test_own_records_of_an_answer_can_be_checked_first(void **state) {
        (void) state;
        _cleanup_(index_merge_free_p) IndexMerge *m = make_merge(INDEX_MERGE_ALL, A, NULL, 1000);
        static const char body[] = R("5") H("5", "10", B) H("6", "10", B) R("7") H("8", "1", B);
        assert_int_equal(index_merge_feed(m, slice_of(body)), 0);
        assert_int_equal(index_merge_end(m), 0);
        RfcRecord rec;
        assert_true(index_merge_next_own(m, 0, &rec));
        assert_int_equal(rec.number, 5);
        assert_source(&rec, A);
        assert_true(slice_equal(rec.title, SLICE_LITERAL("A title")));
        assert_true(index_merge_next_own(m, 5, &rec));
        assert_int_equal(rec.number, 7);
        assert_false(index_merge_next_own(m, 7, &rec));
}

/* ---- rule 3: hearsay ---- */

static void test_hearsay_changes_no_first_hand_record(void **state) {
        (void) state;
        _cleanup_(rfc_index_free_p) RfcIndex *x = make_index(1000);
        merge(x, INDEX_MERGE_OWN, B, LINE("5", "100", "-", D1), 1000);
        IndexMergeResult r = merge(x, INDEX_MERGE_ALL, A, LINE("5", "7200", B, D2), 1050);
        assert_int_equal(r.n_ignored, 1);
        RfcRecord rec;
        assert_int_equal(ends(x, 5, B, 1050, &rec), 1100);
        assert_true(rec.first_hand);
        assert_int_equal(rec.digest.bytes[0], 0x11);
        r = merge(x, INDEX_MERGE_ALL, A, H("5", "1", B), 1050);
        assert_int_equal(r.n_ignored, 1);
        assert_int_equal(ends(x, 5, B, 1050, NULL), 1100);
}

static void test_hearsay_counts_again_when_the_first_hand_record_is_dead(void **state) {
        (void) state;
        _cleanup_(rfc_index_free_p) RfcIndex *x = make_index(1000);
        merge(x, INDEX_MERGE_OWN, B, LINE("5", "100", "-", D1), 1000);
        merge(x, INDEX_MERGE_ALL, A, H("5", "60", B), 1100);
        RfcRecord rec;
        assert_int_equal(ends(x, 5, B, 1100, &rec), 1160);
        assert_false(rec.first_hand);
        assert_source(&rec, A);
}

static void test_among_hearsay_the_longer_life_stays(void **state) {
        (void) state;
        _cleanup_(rfc_index_free_p) RfcIndex *x = make_index(1000);
        RfcRecord rec;
        merge(x, INDEX_MERGE_ALL, A, H("5", "100", B), 1000);
        assert_int_equal(merge(x, INDEX_MERGE_ALL, C, H("5", "90", B), 1000).n_ignored, 1);
        assert_int_equal(merge(x, INDEX_MERGE_ALL, C, H("5", "90", B), 1010).n_ignored, 1);     /* the same end */
        assert_int_equal(ends(x, 5, B, 1010, &rec), 1100);
        assert_source(&rec, A);
        assert_int_equal(merge(x, INDEX_MERGE_ALL, C, H("5", "91", B), 1010).n_added, 1);
        assert_int_equal(ends(x, 5, B, 1010, &rec), 1101);
        assert_source(&rec, C);
        assert_int_equal(rfc_index_count(x), 1);
}

static void test_first_hand_takes_the_place_of_hearsay(void **state) {
        (void) state;
        _cleanup_(rfc_index_free_p) RfcIndex *x = make_index(1000);
        RfcRecord rec;
        merge(x, INDEX_MERGE_ALL, A, H("5", "7000", B), 1000);
        merge(x, INDEX_MERGE_OWN, B, LINE("5", "50", "-", D2), 1000);
        assert_int_equal(ends(x, 5, B, 1000, &rec), 1050);
        assert_true(rec.first_hand);
        assert_int_equal(rec.digest.bytes[0], 0x22);
        assert_int_equal(rfc_index_count(x), 1);
        Endpoint a = peer(A);
        assert_int_equal(rfc_index_forget_source(x, &a), 0);
}

static void test_gossip_about_a_dead_peer_dies_within_one_ttl(void **state) {
        (void) state;
        enum { N = 5 };
        static const char *const names[N] = { "10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:1", "10.0.0.4:1", "10.0.0.5:1" };
        RfcIndex *peers[N];
        for (size_t i = 0; i < N; i++)
                peers[i] = make_index(1000);
        /* B told them at different times, then died; they ask each other for ever. */
        for (size_t i = 0; i < N; i++)
                merge(peers[i], INDEX_MERGE_OWN, B, R("5"), 100 * i);
        for (uint64_t sec = 500; sec < 400 + TTL; sec += 60)
                for (size_t i = 0; i < N * N; i++) {
                        _cleanup_buf_ Buf body = BUF_INIT(PROTO_INDEX_BYTES_MAX);
                        Now now = at(sec);
                        assert_int_equal(rfc_index_encode_all(peers[i / N], &now, &body), 0);
                        assert_int_equal(buf_append_char(&body, '\0'), 0);
                        merge(peers[i % N], INDEX_MERGE_ALL, names[i / N], body.data, sec);
                        assert_true(ends(peers[i % N], 5, B, sec, NULL) <= 400 + TTL);
                }
        for (size_t i = 0; i < N; i++) {
                assert_int_equal(ends(peers[i], 5, B, 400 + TTL, NULL), 0);
                rfc_index_free(peers[i]);
        }
}

/* ---- rule 5: oneself ---- */

static void test_records_about_oneself_are_ignored(void **state) {
        (void) state;
        _cleanup_(rfc_index_free_p) RfcIndex *x = make_index(1000);
        IndexMergeResult r = merge(x, INDEX_MERGE_ALL, A, H("5", "100", SELF) H("6", "100", "192.0.2.99:1001"), 1000);
        assert_int_equal(r.n_ignored, 1);
        assert_int_equal(r.n_added, 1);
        assert_int_equal(ends(x, 5, SELF, 1000, NULL), 0);
        assert_int_equal(merge(x, INDEX_MERGE_OWN, SELF, R("5"), 1000).n_ignored, 1);
}

static void test_a_peer_that_speaks_of_itself_by_address_is_ignored(void **state) {
        (void) state;
        _cleanup_(rfc_index_free_p) RfcIndex *x = make_index(1000);
        IndexMergeResult r = merge(x, INDEX_MERGE_ALL, A, R("5") H("6", "100", A), 1000);
        assert_int_equal(r.n_ignored, 1);
        assert_int_equal(rfc_index_count(x), 1);
}

/* ---- rule 6: the limit ---- */

static void test_over_the_limit_hearsay_goes_first(void **state) {
        (void) state;
        _cleanup_(rfc_index_free_p) RfcIndex *x = make_index(4);
        merge(x, INDEX_MERGE_ALL, A, R("1") H("2", "100", B) H("3", "100", B), 1000);
        merge(x, INDEX_MERGE_OWN, C, R("1") R("2"), 1001);
        assert_int_equal(rfc_index_count(x), 4);
        assert_int_equal(ends(x, 1, A, 1001, NULL), 1000 + TTL);
        assert_int_equal(ends(x, 2, C, 1001, NULL), 1001 + TTL);
        merge(x, INDEX_MERGE_OWN, "192.0.2.7:1", R("1"), 1001);
        assert_int_equal(ends(x, 2, B, 1001, NULL) + ends(x, 3, B, 1001, NULL), 0);
        assert_int_equal(ends(x, 1, A, 1001, NULL), 1000 + TTL);
}

static void test_over_the_limit_the_source_that_has_most_gives(void **state) {
        (void) state;
        _cleanup_(rfc_index_free_p) RfcIndex *x = make_index(6);
        Endpoint a = peer(A), b = peer(B), c = peer(C);
        merge(x, INDEX_MERGE_OWN, A, R("1") R("2") R("3") R("4"), 1000);
        merge(x, INDEX_MERGE_OWN, B, R("1") R("2"), 1000);
        IndexMergeResult r = merge(x, INDEX_MERGE_OWN, C, R("1") R("2") R("3") R("4") R("5"), 1000);
        assert_int_equal(rfc_index_count(x), 6);
        assert_int_equal(r.n_added, 2);
        assert_int_equal(r.n_ignored, 3);
        assert_int_equal(rfc_index_count_source(x, &a), 2);
        assert_int_equal(rfc_index_count_source(x, &b), 2);
        assert_int_equal(rfc_index_count_source(x, &c), 2);
        assert_false(rfc_index_is_whole(x, &a));
        assert_true(rfc_index_is_whole(x, &b));
        assert_false(rfc_index_is_whole(x, &c));
}

static void test_a_source_at_the_limit_can_still_change_what_it_has(void **state) {
        (void) state;
        _cleanup_(rfc_index_free_p) RfcIndex *x = make_index(4);
        Endpoint a = peer(A);
        merge(x, INDEX_MERGE_OWN, A, R("1") R("2") R("3") R("4"), 1000);
        IndexMergeResult r = merge(x, INDEX_MERGE_OWN, A, R("3") R("4") R("5") R("6"), 1001);
        assert_int_equal(r.n_ignored, 0);
        assert_int_equal(rfc_index_count(x), 4);
        assert_int_equal(ends(x, 6, A, 1001, NULL), 1001 + TTL);
        assert_true(rfc_index_is_whole(x, &a));
}

static void test_at_the_limit_what_was_asked_for_last_is_kept(void **state) {
        (void) state;
        _cleanup_(rfc_index_free_p) RfcIndex *x = make_index(3);
        Endpoint a = peer(A);
        merge(x, INDEX_MERGE_OWN, A, R("1") R("2") R("3"), 1000);
        merge_set(x, A, "9", R("9"), 1001);
        assert_int_equal(ends(x, 9, A, 1001, NULL), 1001 + TTL);
        assert_int_equal(rfc_index_count(x), 3);
        assert_false(rfc_index_is_whole(x, &a));                /* so a 304 is not asked for */
}

static void test_own_documents_count_and_never_go(void **state) {
        (void) state;
        _cleanup_(rfc_index_free_p) RfcIndex *x = make_index(3);
        Digest d = { 0 };
        merge(x, INDEX_MERGE_OWN, A, R("1") R("2") R("3"), 1000);
        assert_int_equal(rfc_index_set_own(x, 7, 1, &d, slice_of("T")), 0);
        assert_int_equal(rfc_index_set_own(x, 8, 1, &d, slice_of("T")), 0);
        while (rfc_index_expire(x, &(Now){ .boottime = 1000 * SEC }, 10))
                ;
        assert_int_equal(rfc_index_count(x), 1);
        assert_int_equal(rfc_index_count_own(x), 2);
}

static void test_hearsay_pushes_out_hearsay_only(void **state) {
        (void) state;
        _cleanup_(rfc_index_free_p) RfcIndex *x = make_index(4);
        merge(x, INDEX_MERGE_OWN, A, R("1") R("2"), 1000);
        merge(x, INDEX_MERGE_ALL, A, R("1") R("2") H("3", "100", B) H("4", "100", B), 1000);
        IndexMergeResult r = merge(x, INDEX_MERGE_ALL, C, H("5", "100", B) H("6", "100", B), 1000);
        assert_int_equal(r.n_added, 1);                         /* then both have one */
        assert_int_equal(r.n_ignored, 1);
        assert_int_equal(ends(x, 1, A, 1000, NULL), 1000 + TTL);
        assert_int_equal(ends(x, 2, A, 1000, NULL), 1000 + TTL);
        assert_int_equal(rfc_index_count(x), 4);
}

static void test_what_has_expired_takes_no_room(void **state) {
        (void) state;
        _cleanup_(rfc_index_free_p) RfcIndex *x = make_index(2);
        merge(x, INDEX_MERGE_OWN, A, R("1") R("2"), 0);
        IndexMergeResult r = merge(x, INDEX_MERGE_OWN, B, R("1") R("2"), TTL);
        assert_int_equal(r.n_added, 2);
        assert_int_equal(rfc_index_count(x), 2);
}

/* ---- slices ---- */

static void test_slices_give_the_same_as_one_step(void **state) {
        (void) state;
        for (size_t slice = 1; slice < 12; slice++) {
                _cleanup_(rfc_index_free_p) RfcIndex *x = make_index(1000);
                _cleanup_(index_merge_free_p) IndexMerge *m = make_merge(INDEX_MERGE_ALL, A, NULL, 2000);
                merge(x, INDEX_MERGE_OWN, A, R("1") R("2") R("5") R("8"), 1000);
                assert_int_equal(index_merge_feed(m, slice_of(R("2") R("4") H("4", "100", B) R("8"))), 0);
                assert_int_equal(index_merge_end(m), 0);

                Now now = at(2000);
                IndexMergeResult r = { .n_added = 99 };
                unsigned n = 1;
                while (index_merge_step(m, x, slice, &now, &r) == RFC_INDEX_MORE) {
                        assert_int_equal(r.n_added, 99);
                        n++;
                }
                assert_int_equal(n, (6 + slice - 1) / slice);   /* four lines, two that go */
                assert_int_equal(r.n_added, 2);
                assert_int_equal(r.n_confirmed, 2);
                assert_int_equal(r.n_removed, 2);
                assert_int_equal(rfc_index_count(x), 4);
        }
}

static void test_the_answer_to_the_later_request_counts(void **state) {
        (void) state;
        _cleanup_(rfc_index_free_p) RfcIndex *x = make_index(1000);
        merge(x, INDEX_MERGE_OWN, A, R("1") R("2"), 2000);
        IndexMergeResult r = merge(x, INDEX_MERGE_OWN, A, LINE("2", "7200", "-", D2) R("3"), 1000);
        assert_int_equal(r.n_ignored, 2);
        RfcRecord rec;
        assert_int_equal(ends(x, 1, A, 2000, NULL), 2000 + TTL);
        assert_int_equal(ends(x, 2, A, 2000, &rec), 2000 + TTL);
        assert_int_equal(rec.digest.bytes[0], 0x11);
        assert_int_equal(ends(x, 3, A, 2000, NULL), 0);
        Endpoint a = peer(A);
        assert_true(rfc_index_is_whole(x, &a));

        /* The same where the later one goes in between two slices of the earlier. */
        _cleanup_(index_merge_free_p) IndexMerge *early = make_merge(INDEX_MERGE_OWN, A, NULL, 3000);
        assert_int_equal(index_merge_feed(early, slice_of(R("1") R("2") R("3"))), 0);
        assert_int_equal(index_merge_end(early), 0);
        Now now = at(3001);
        assert_int_equal(index_merge_step(early, x, 1, &now, &r), RFC_INDEX_MORE);
        merge(x, INDEX_MERGE_OWN, A, R("2"), 3001);
        r = put(early, x, 3001);
        assert_int_equal(rfc_index_count(x), 1);
        assert_int_equal(ends(x, 2, A, 3001, NULL), 3001 + TTL);
}

static void test_an_answer_about_one_number_lives_through_an_older_whole_one(void **state) {
        (void) state;
        _cleanup_(rfc_index_free_p) RfcIndex *x = make_index(1000);
        _cleanup_(index_merge_free_p) IndexMerge *m = make_merge(INDEX_MERGE_OWN, A, NULL, 1000);
        assert_int_equal(index_merge_feed(m, slice_of(R("1") LINE("9", "7200", "-", D2))), 0);
        assert_int_equal(index_merge_end(m), 0);
        Now now = at(1001);
        IndexMergeResult r;
        assert_int_equal(index_merge_step(m, x, 1, &now, &r), RFC_INDEX_MORE);
        merge_set(x, A, "5,9", R("5") R("9"), 1001);
        r = put(m, x, 1001);
        RfcRecord rec;
        assert_int_equal(ends(x, 5, A, 1001, NULL), 1001 + TTL);
        assert_int_equal(ends(x, 9, A, 1001, &rec), 1001 + TTL);
        assert_int_equal(rec.digest.bytes[0], 0x11);
}

static void test_a_peer_forgotten_between_slices_does_no_harm(void **state) {
        (void) state;
        _cleanup_(rfc_index_free_p) RfcIndex *x = make_index(1000);
        _cleanup_(index_merge_free_p) IndexMerge *m = make_merge(INDEX_MERGE_ALL, A, NULL, 1000);
        Endpoint a = peer(A);
        assert_int_equal(index_merge_feed(m, slice_of(R("1") R("2") H("3", "100", B))), 0);
        assert_int_equal(index_merge_end(m), 0);
        Now now = at(1000);
        IndexMergeResult r;
        assert_int_equal(index_merge_step(m, x, 1, &now, &r), RFC_INDEX_MORE);
        assert_int_equal(rfc_index_forget_source(x, &a), 1);
        r = put(m, x, 1000);
        assert_int_equal(r.n_ignored, 2);
        assert_int_equal(rfc_index_count(x), 0);
        assert_false(rfc_index_is_whole(x, &a));
}

static void test_what_a_forgotten_peer_states_anew_counts(void **state) {
        (void) state;
        for (unsigned n_swept = 0; n_swept < 5; n_swept++) {
                _cleanup_(rfc_index_free_p) RfcIndex *x = make_index(1000);
                Endpoint a = peer(A);
                Now now = at(1001);
                RfcRecord rec;

                merge(x, INDEX_MERGE_ALL, A, R("1") R("2") H("3", "100", B) R("4"), 1000);
                assert_int_equal(rfc_index_forget_source(x, &a), 4);
                (void) rfc_index_expire(x, &now, n_swept);

                /* Somebody else's word of the same is news now, and nothing that was forgotten can be confirmed. */
                IndexMergeResult r = merge(x, INDEX_MERGE_ALL, C, H("3", "50", B) H("4", "60", A), 1001);
                assert_int_equal(r.n_added, 2);
                rfc_index_confirm(x, &a, 1001 * SEC);
                assert_int_equal(ends(x, 1, A, 1001, NULL), 0);
                assert_int_equal(rfc_index_count(x), 2);

                r = merge_set(x, A, "1", R("1"), 1002);
                assert_int_equal(r.n_added, 1);
                assert_false(rfc_index_is_whole(x, &a));
                r = merge(x, INDEX_MERGE_OWN, A, R("1") R("2"), 1003);
                assert_int_equal(r.n_added, 1);
                assert_int_equal(r.n_confirmed, 1);
                assert_int_equal(r.n_removed, 0);
                assert_true(rfc_index_is_whole(x, &a));
                assert_int_equal(rfc_index_count_source(x, &a), 2);
                assert_int_equal(rfc_index_count(x), 4);

                /* What is still to be swept takes none of it along. */
                while (rfc_index_expire(x, &now, 1))
                        ;
                assert_true(rfc_index_is_whole(x, &a));
                assert_int_equal(rfc_index_count(x), 4);
                assert_int_equal(ends(x, 2, A, 1003, &rec), 1003 + TTL);
                assert_source(&rec, A);
                assert_int_equal(ends(x, 4, A, 1003, &rec), 1061);
                assert_source(&rec, C);
                assert_int_equal(rfc_index_forget_source(x, &a), 2);
                assert_int_equal(rfc_index_count(x), 2);
        }
}

static void test_what_is_forgotten_takes_no_room(void **state) {
        (void) state;
        _cleanup_(rfc_index_free_p) RfcIndex *x = make_index(4);
        Endpoint a = peer(A);

        merge(x, INDEX_MERGE_OWN, B, R("1") R("2"), 1000);
        merge(x, INDEX_MERGE_OWN, A, R("1") R("2"), 1000);
        assert_int_equal(rfc_index_forget_source(x, &a), 2);
        IndexMergeResult r = merge(x, INDEX_MERGE_ALL, C, R("7") H("8", "100", A), 1001);
        assert_int_equal(r.n_added, 2);
        assert_int_equal(rfc_index_count(x), 4);
        assert_true(ends(x, 2, B, 1001, NULL) > 0 && ends(x, 8, A, 1001, NULL) > 0);
}

/* ---- everything at random, against the rules written down naively ---- */

enum { N_PEERS = 5, N_NUMBERS = 8 };

typedef struct Known {
        bool there, first_hand;
        unsigned source;
        uint8_t digest;
        uint64_t stated_at, ttl;
} Known;

typedef struct Model {
        Known known[N_PEERS][N_NUMBERS + 1];
        uint64_t confirmed_at[N_PEERS];
} Model;

/* In the order of their texts. */
static const char *const NAMES[N_PEERS] = {
        "10.0.0.1:1", "10.0.0.2:1", "9.0.0.1:1", "[2001:db8::1]:1", "[2001:db8::2]:1",
};

static uint32_t draw(uint32_t *seed, uint32_t n) {
        *seed = *seed * 1664525 + 1013904223;
        return (*seed >> 8) % n;
}

static uint64_t model_end(const Model *m, unsigned holder, unsigned number) {
        const Known *k = &m->known[holder][number];
        if (!k->there)
                return 0;
        return (k->first_hand ? MAX_OF(k->stated_at, m->confirmed_at[holder]) : k->stated_at) + k->ttl;
}

static void model_put(Model *m, unsigned source, unsigned holder, unsigned number, const Known *said, uint64_t sec) {
        Known *k = &m->known[holder][number];
        uint64_t end = model_end(m, holder, number);
        bool alive = end > sec;
        if (source != holder && alive && (k->first_hand || end >= said->stated_at + said->ttl))
                return;
        *k = *said;
        k->first_hand = source == holder;
        k->source = source;
        k->there = true;
}

static void compare_with_model(const RfcIndex *x, const Model *m, uint64_t sec) {
        Now now = at(sec);
        for (unsigned number = 1; number <= N_NUMBERS; number++) {
                size_t n = 0;
                for (unsigned holder = 0; holder < N_PEERS; holder++) {
                        uint64_t end = model_end(m, holder, number);
                        RfcRecord rec;
                        if (end <= sec)
                                end = 0;
                        else
                                n++;
                        assert_int_equal(ends(x, number, NAMES[holder], sec, &rec), end);
                        if (end == 0)
                                continue;
                        assert_int_equal(rec.first_hand, m->known[holder][number].first_hand);
                        assert_int_equal(rec.digest.bytes[0], m->known[holder][number].digest);
                        assert_source(&rec, NAMES[m->known[holder][number].source]);
                }
                assert_int_equal(rfc_index_find(x, number, &now, NULL, 0), n);
        }
}

/* A random answer of the source goes into both. */
static void random_answer(RfcIndex *x, Model *model, unsigned source, uint64_t sec, uint32_t *seed) {
        IndexMergeKind kind = (IndexMergeKind) draw(seed, 3);
        _cleanup_rfc_set_ RfcSet set = { 0 };
        uint32_t first = 1 + draw(seed, N_NUMBERS), last = first + draw(seed, 3);
        RfcRange range = { first, MIN_OF(last, (uint32_t) N_NUMBERS) };
        if (kind != INDEX_MERGE_SET)
                range = (RfcRange){ 1, N_NUMBERS };
        assert_int_equal(rfc_set_add(&set, range), 0);
        _cleanup_(index_merge_free_p) IndexMerge *m =
                make_merge(kind, NAMES[source], kind == INDEX_MERGE_SET ? &set : NULL, sec);

        _cleanup_buf_ Buf b = BUF_INIT(1 << 20);
        for (uint32_t number = range.first; number <= range.last; number++) {
                bool own = draw(seed, 2);
                for (unsigned i = 0; i < N_PEERS + 1; i++) {
                        /* "-", then the others in the order of their texts, which NAMES has */
                        unsigned holder = i == 0 ? source : i - 1;
                        if (i == 0 ? !own : (kind == INDEX_MERGE_OWN || holder == source || draw(seed, 3) != 0))
                                continue;
                        Known said = { .digest = (uint8_t) draw(seed, 3), .stated_at = sec };
                        said.ttl = 1 + draw(seed, 9000);
                        char text[DIGEST_TEXT_SIZE];
                        Digest d;
                        memset(&d, said.digest, sizeof(d));
                        digest_to_text(&d, text);
                        assert_int_equal(buf_printf(&b, "%u\t%u\t%s\t1\t%s\tT\n", number, (unsigned) said.ttl,
                                                    i == 0 ? "-" : NAMES[holder], text), 0);
                        said.ttl = MIN_OF(said.ttl, (uint64_t) TTL);
                        model_put(model, source, holder, number, &said, sec);
                }
                Known *k = &model->known[source][number];
                if (!own && k->there && k->first_hand)
                        k->there = false;
        }
        if (kind != INDEX_MERGE_SET)
                model->confirmed_at[source] = sec;

        assert_int_equal(index_merge_feed(m, buf_slice(&b)), 0);
        assert_int_equal(index_merge_end(m), 0);
        Now now = at(sec);
        IndexMergeResult result;
        size_t slice = 1 + draw(seed, 10);
        while (index_merge_step(m, x, slice, &now, &result) == RFC_INDEX_MORE)
                ;
}

static void sweep(RfcIndex *x, uint64_t sec) {
        Now now = at(sec);
        while (rfc_index_expire(x, &now, 3))
                ;
        assert_true(rfc_index_next_expiry(x) > sec * SEC);
}

static void random_event(RfcIndex *x, Model *model, uint64_t sec, uint32_t *seed) {
        unsigned who = draw(seed, N_PEERS);
        Endpoint e = peer(NAMES[who]);
        uint32_t number = 1 + draw(seed, N_NUMBERS);

        switch (draw(seed, 8)) {
        case 0:
                /* What is dead and gone doesn't come back: so the model forgets it too. */
                for (unsigned i = 1; i <= N_NUMBERS; i++)
                        if (model_end(model, who, i) <= sec)
                                model->known[who][i].there = false;
                model->confirmed_at[who] = sec;
                sweep(x, sec);
                rfc_index_confirm(x, &e, sec * SEC);
                break;
        case 1:
                for (unsigned i = 0; i < N_PEERS * (N_NUMBERS + 1); i++) {
                        Known *k = &model->known[i / (N_NUMBERS + 1)][i % (N_NUMBERS + 1)];
                        if (k->there && k->source == who)
                                k->there = false;
                }
                rfc_index_forget_source(x, &e);
                break;
        case 2:
                model->known[who][number].there = false;
                rfc_index_forget_record(x, number, &e);
                break;
        default:
                random_answer(x, model, who, sec, seed);
        }
}

static void test_any_course_of_events_gives_what_the_rules_say(void **state) {
        (void) state;
        for (uint32_t round = 0; round < 40; round++) {
                _cleanup_(rfc_index_free_p) RfcIndex *x = make_index(1000);
                Model model = { 0 };
                uint32_t seed = round;
                uint64_t sec = 1;
                for (unsigned i = 0; i < 200; i++) {
                        sec += 1 + draw(&seed, 10) * draw(&seed, 300);
                        Now now = at(sec);
                        if (draw(&seed, 3) != 0)
                                sweep(x, sec);
                        else
                                (void) rfc_index_expire(x, &now, draw(&seed, 6));
                        compare_with_model(x, &model, sec);
                        random_event(x, &model, sec, &seed);
                        compare_with_model(x, &model, sec);
                }
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_ttl_counts_from_when_the_request_was_sent),
                cmocka_unit_test(test_stated_ttl_is_capped_by_the_own_one),
                cmocka_unit_test(test_an_answer_that_took_longer_than_its_ttl_says_nothing),
                cmocka_unit_test(test_304_renews_all_of_that_peer_and_nothing_else),
                cmocka_unit_test(test_200_confirms_what_it_repeats),
                cmocka_unit_test(test_200_replaces_what_is_known_first_hand),
                cmocka_unit_test(test_answer_about_some_numbers_replaces_these_only),
                cmocka_unit_test(test_a_bad_body_changes_nothing),
                cmocka_unit_test(test_an_endless_line_is_bad_before_it_takes_memory),
                cmocka_unit_test(test_more_than_65536_records_are_too_large),
                cmocka_unit_test(test_more_than_16_mib_are_too_large),
                cmocka_unit_test(test_a_good_body_counts_the_same_byte_by_byte),
                cmocka_unit_test(test_own_records_of_an_answer_can_be_checked_first),
                cmocka_unit_test(test_hearsay_changes_no_first_hand_record),
                cmocka_unit_test(test_hearsay_counts_again_when_the_first_hand_record_is_dead),
                cmocka_unit_test(test_among_hearsay_the_longer_life_stays),
                cmocka_unit_test(test_first_hand_takes_the_place_of_hearsay),
                cmocka_unit_test(test_gossip_about_a_dead_peer_dies_within_one_ttl),
                cmocka_unit_test(test_records_about_oneself_are_ignored),
                cmocka_unit_test(test_a_peer_that_speaks_of_itself_by_address_is_ignored),
                cmocka_unit_test(test_over_the_limit_hearsay_goes_first),
                cmocka_unit_test(test_over_the_limit_the_source_that_has_most_gives),
                cmocka_unit_test(test_a_source_at_the_limit_can_still_change_what_it_has),
                cmocka_unit_test(test_at_the_limit_what_was_asked_for_last_is_kept),
                cmocka_unit_test(test_own_documents_count_and_never_go),
                cmocka_unit_test(test_hearsay_pushes_out_hearsay_only),
                cmocka_unit_test(test_what_has_expired_takes_no_room),
                cmocka_unit_test(test_slices_give_the_same_as_one_step),
                cmocka_unit_test(test_the_answer_to_the_later_request_counts),
                cmocka_unit_test(test_an_answer_about_one_number_lives_through_an_older_whole_one),
                cmocka_unit_test(test_a_peer_forgotten_between_slices_does_no_harm),
                cmocka_unit_test(test_what_a_forgotten_peer_states_anew_counts),
                cmocka_unit_test(test_what_is_forgotten_takes_no_room),
                cmocka_unit_test(test_any_course_of_events_gives_what_the_rules_say),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
