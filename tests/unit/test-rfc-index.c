/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * RfcIndex: own documents, what is answered to whom, finding, expiring, forgetting. How answers are merged:
 * test-index-merge.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "core/index-table.h"
#include "index-test.h"

static int set_own(RfcIndex *x, uint32_t number, uint8_t byte, const char *title) {
        Digest d = digest(byte);
        return rfc_index_set_own(x, number, 100, &d, slice_of(title));
}

/* One line; holder "-" or an endpoint. Its digest is made of that byte. */
static void put_line(Buf *b, uint32_t number, unsigned ttl, const char *holder, uint8_t byte) {
        char text[DIGEST_TEXT_SIZE];
        Digest d = digest(byte);
        digest_to_text(&d, text);
        assert_int_equal(buf_printf(b, "%u\t%u\t%s\t100\t%s\tTitle %u\n", number, ttl, holder, text, byte), 0);
}

static void merge(RfcIndex *x, IndexMergeKind kind, const char *source, const Buf *body, uint64_t sent_at) {
        IndexMergeConf conf = { .kind = kind, .source = peer(source), .sent_at = sent_at * SEC };
        Now now = at(sent_at);
        (void) merge_body(x, &conf, buf_slice(body), &now);
}

/* The source holds numbers first..last. */
static void learn(RfcIndex *x, const char *source, uint32_t first, uint32_t last, uint64_t sent_at) {
        _cleanup_buf_ Buf body = BUF_INIT(1 << 20);
        for (uint32_t n = first; n <= last; n++)
                put_line(&body, n, TTL, "-", (uint8_t) n);
        merge(x, INDEX_MERGE_OWN, source, &body, sent_at);
}

static void learn_hearsay(RfcIndex *x, const char *source, uint32_t number, unsigned ttl, const char *holder,
                          uint64_t sent_at) {
        _cleanup_buf_ Buf body = BUF_INIT(1 << 20);
        put_line(&body, number, ttl, holder, (uint8_t) number);
        merge(x, INDEX_MERGE_ALL, source, &body, sent_at);
}

static void assert_body(const Buf *b, const Buf *expected) {
        assert_int_equal(b->size, expected->size);
        assert_true(slice_equal(buf_slice(b), buf_slice(expected)));
}

/* ---- own documents ---- */

static void test_generation_counts_changes_of_own_documents_only(void **state) {
        (void) state;
        _cleanup_(rfc_index_free_p) RfcIndex *x = make_index(1000);

        assert_int_equal(rfc_index_generation(x).epoch, 77);
        assert_int_equal(rfc_index_generation(x).number, 0);
        assert_int_equal(set_own(x, 7, 1, "Seven"), 0);
        assert_int_equal(rfc_index_generation(x).number, 1);
        assert_int_equal(set_own(x, 7, 1, "Seven"), RFC_INDEX_UNCHANGED);
        assert_int_equal(rfc_index_generation(x).number, 1);
        assert_int_equal(set_own(x, 7, 2, "Seven"), 0);
        assert_int_equal(set_own(x, 7, 2, "Sieben"), 0);
        assert_int_equal(rfc_index_generation(x).number, 3);
        learn(x, "192.0.2.1:1000", 1, 5, 0);
        assert_int_equal(rfc_index_generation(x).number, 3);
        assert_int_equal(rfc_index_remove_own(x, 7), 0);
        assert_int_equal(rfc_index_remove_own(x, 7), RFC_INDEX_UNCHANGED);
        assert_int_equal(rfc_index_generation(x).number, 4);
        assert_int_equal(rfc_index_count_own(x), 0);
}

static void test_own_documents_are_told_in_order(void **state) {
        (void) state;
        _cleanup_(rfc_index_free_p) RfcIndex *x = make_index(1000);
        static const uint32_t numbers[] = { 9110, 1, 2147483647, 768 }, sorted[] = { 1, 768, 9110, 2147483647 };
        RfcRecord rec;

        for (size_t i = 0; i < ELEMENTSOF(numbers); i++)
                assert_int_equal(set_own(x, numbers[i], (uint8_t) i, "T"), 0);
        uint32_t after = 0;
        for (size_t i = 0; i < ELEMENTSOF(sorted); i++, after = rec.number) {
                assert_true(rfc_index_next_own(x, after, &rec));
                assert_int_equal(rec.number, sorted[i]);
                assert_true(rec.own && rec.first_hand);
                assert_true(rec.expires_at == USEC_INFINITY);
        }
        assert_false(rfc_index_next_own(x, after, &rec));
        assert_true(rfc_index_get_own(x, 768, &rec));
        assert_int_equal(rec.size, 100);
        assert_int_equal(rec.digest.bytes[0], 3);
        assert_true(slice_equal(rec.title, SLICE_LITERAL("T")));
        assert_false(rfc_index_get_own(x, 769, &rec));
}

static void test_own_body_states_the_full_ttl_and_digest_covers_the_same(void **state) {
        (void) state;
        _cleanup_(rfc_index_free_p) RfcIndex *x = make_index(1000);
        _cleanup_buf_ Buf b = BUF_INIT(1 << 20), covered = BUF_INIT(1 << 20), expected = BUF_INIT(1 << 20);
        uint32_t after = 0;

        assert_int_equal(rfc_index_encode_own(x, &after, 10, &b, &covered), 0);
        assert_int_equal(b.size, 0);
        assert_int_equal(set_own(x, 9110, 2, "Title 2"), 0);
        assert_int_equal(set_own(x, 7, 1, "Title 1"), 0);
        learn(x, "192.0.2.1:1000", 1, 5, 0);
        put_line(&expected, 7, TTL, "-", 1);
        put_line(&expected, 9110, TTL, "-", 2);
        assert_int_equal(rfc_index_encode_own(x, &after, 10, &b, &covered), 0);
        assert_int_equal(after, 9110);
        assert_body(&b, &expected);

        buf_clear(&expected);
        Digest one = digest(1), two = digest(2);
        assert_int_equal(proto_write_digest_line(&expected, 7, 100, &one, slice_of("Title 1")), 0);
        assert_int_equal(proto_write_digest_line(&expected, 9110, 100, &two, slice_of("Title 2")), 0);
        assert_body(&covered, &expected);
}

static void test_own_body_by_slices_is_the_same(void **state) {
        (void) state;
        _cleanup_(rfc_index_free_p) RfcIndex *x = make_index(1000);
        _cleanup_buf_ Buf whole = BUF_INIT(1 << 20), b = BUF_INIT(1 << 20), covered = BUF_INIT(1 << 20);
        uint32_t after = 0;
        int r;

        for (uint32_t n = 1; n <= 10; n++)
                assert_int_equal(set_own(x, n * n, 1, "T"), 0);
        assert_int_equal(rfc_index_encode_own(x, &after, 10, &whole, &covered), 0);
        after = 0;
        do {
                buf_clear(&covered);
                r = rfc_index_encode_own(x, &after, 3, &b, &covered);
        } while (r == RFC_INDEX_MORE);
        assert_int_equal(r, 0);
        assert_body(&b, &whole);
}

static void test_a_full_buffer_takes_whole_lines_only(void **state) {
        (void) state;
        _cleanup_(rfc_index_free_p) RfcIndex *x = make_index(1000);
        _cleanup_buf_ Buf b = BUF_INIT(140), covered = BUF_INIT(1 << 20), expected = BUF_INIT(1 << 20);
        uint32_t after = 0;

        assert_int_equal(set_own(x, 1, 1, "Title 1"), 0);
        assert_int_equal(set_own(x, 2, 1, "Title 1"), 0);
        assert_int_equal(rfc_index_encode_own(x, &after, 10, &b, &covered), RFC_INDEX_TOO_LARGE);
        put_line(&expected, 1, TTL, "-", 1);
        assert_body(&b, &expected);
}

/* ---- what is relayed ---- */

static void test_whole_index_is_sorted_by_number_then_holder_text(void **state) {
        (void) state;
        _cleanup_(rfc_index_free_p) RfcIndex *x = make_index(1000);
        _cleanup_buf_ Buf b = BUF_INIT(1 << 20), expected = BUF_INIT(1 << 20);
        Now now = at(0);

        /* As text "10.…" comes before "9.…" and "[…" last, other than as addresses. */
        learn(x, "9.0.0.1:1000", 5, 6, 0);
        learn(x, "[2001:db8::1]:1000", 5, 5, 0);
        learn(x, "10.0.0.1:999", 5, 5, 0);
        learn(x, "10.0.0.1:1000", 5, 5, 0);
        assert_int_equal(set_own(x, 5, 5, "Title 5"), 0);
        assert_int_equal(set_own(x, 1, 1, "Title 1"), 0);
        assert_int_equal(set_own(x, 9, 9, "Title 9"), 0);

        assert_int_equal(rfc_index_encode_all(x, &now, &b), 0);
        put_line(&expected, 1, TTL, "-", 1);
        put_line(&expected, 5, TTL, "-", 5);
        put_line(&expected, 5, TTL, "10.0.0.1:1000", 5);
        put_line(&expected, 5, TTL, "10.0.0.1:999", 5);
        put_line(&expected, 5, TTL, "9.0.0.1:1000", 5);
        put_line(&expected, 5, TTL, "[2001:db8::1]:1000", 5);
        put_line(&expected, 6, TTL, "9.0.0.1:1000", 6);
        put_line(&expected, 9, TTL, "-", 9);
        assert_body(&b, &expected);
}

static void test_relayed_ttl_is_what_is_left_rounded_down_and_never_0(void **state) {
        (void) state;
        _cleanup_(rfc_index_free_p) RfcIndex *x = make_index(1000);
        _cleanup_buf_ Buf b = BUF_INIT(1 << 20), expected = BUF_INIT(1 << 20);

        learn(x, "192.0.2.1:1000", 5, 5, 10);
        Now now = { .boottime = 100 * SEC + 1 };
        assert_int_equal(rfc_index_encode_all(x, &now, &b), 0);
        put_line(&expected, 5, TTL - 91, "192.0.2.1:1000", 5);
        assert_body(&b, &expected);

        buf_clear(&b);
        now.boottime = (10 + TTL - 1) * SEC;
        assert_int_equal(rfc_index_encode_all(x, &now, &b), 0);
        assert_true(slice_starts_with(buf_slice(&b), "5\t1\t"));
        buf_clear(&b);
        now.boottime++;
        assert_int_equal(rfc_index_encode_all(x, &now, &b), 0);
        assert_int_equal(b.size, 0);
}

static void test_hearsay_is_found_but_not_relayed(void **state) {
        (void) state;
        _cleanup_(rfc_index_free_p) RfcIndex *x = make_index(1000);
        _cleanup_buf_ Buf b = BUF_INIT(1 << 20);
        _cleanup_rfc_set_ RfcSet set = { 0 };
        Now now = at(1);
        RfcRecord rec;

        learn_hearsay(x, "192.0.2.1:1000", 5, 100, "192.0.2.9:1000", 0);
        assert_int_equal(rfc_index_find(x, 5, &now, &rec, 1), 1);
        assert_false(rec.first_hand);
        assert_int_equal(rfc_index_encode_all(x, &now, &b), 0);
        assert_int_equal(b.size, 0);
        assert_int_equal(rfc_set_add(&set, (RfcRange){ 5, 5 }), 0);
        assert_int_equal(rfc_index_encode_set(x, &set, &now, &b), 0);
        assert_int_equal(b.size, 0);
}

static void test_set_answer_has_these_numbers_only(void **state) {
        (void) state;
        _cleanup_(rfc_index_free_p) RfcIndex *x = make_index(1000);
        _cleanup_buf_ Buf b = BUF_INIT(1 << 20), expected = BUF_INIT(1 << 20);
        _cleanup_rfc_set_ RfcSet set = { 0 };
        Now now = at(0);

        learn(x, "192.0.2.1:1000", 1, 20, 0);
        assert_int_equal(set_own(x, 3, 3, "Title 3"), 0);
        assert_int_equal(set_own(x, 12, 12, "Title 12"), 0);
        assert_int_equal(set_own(x, 30, 30, "Title 30"), 0);
        assert_int_equal(rfc_set_from_wire(slice_of("3-4,20-29"), &set), 0);
        assert_int_equal(rfc_index_encode_set(x, &set, &now, &b), 0);
        put_line(&expected, 3, TTL, "-", 3);
        put_line(&expected, 3, TTL, "192.0.2.1:1000", 3);
        put_line(&expected, 4, TTL, "192.0.2.1:1000", 4);
        put_line(&expected, 20, TTL, "192.0.2.1:1000", 20);
        assert_body(&b, &expected);
}

static void test_when_the_answer_is_full_own_come_first_then_the_freshest(void **state) {
        (void) state;
        _cleanup_(rfc_index_free_p) RfcIndex *x = make_index(1000);
        Now now = at(300);

        learn(x, "192.0.2.1:1000", 1, 2, 100);
        learn(x, "192.0.2.2:1000", 1, 2, 300);
        learn(x, "192.0.2.3:1000", 1, 2, 200);
        assert_int_equal(set_own(x, 9, 9, "Title 9"), 0);

        /* Room for the own one and three others of some 130 bytes. */
        _cleanup_buf_ Buf b = BUF_INIT(4 * 130 + 20), expected = BUF_INIT(1 << 20);
        assert_int_equal(rfc_index_encode_all(x, &now, &b), 0);
        put_line(&expected, 1, TTL, "192.0.2.2:1000", 1);
        put_line(&expected, 1, TTL - 100, "192.0.2.3:1000", 1);
        put_line(&expected, 2, TTL, "192.0.2.2:1000", 2);
        put_line(&expected, 9, TTL, "-", 9);
        assert_body(&b, &expected);
}

static void test_whole_index_ends_at_65536_records(void **state) {
        (void) state;
        _cleanup_(rfc_index_free_p) RfcIndex *x = make_index(1000);
        rfc_index_set_limits(x, &(RfcIndexLimits){ .ttl_usec = TTL * SEC, .max_records = 100000 });
        _cleanup_buf_ Buf body = BUF_INIT(PROTO_INDEX_BYTES_MAX), b = BUF_INIT(SIZE_MAX);
        Now now = at(5);

        for (uint32_t n = 1; n <= 40000; n++)
                put_line(&body, n, TTL, "-", 1);
        merge(x, INDEX_MERGE_OWN, "192.0.2.1:1000", &body, 0);
        merge(x, INDEX_MERGE_OWN, "192.0.2.2:1000", &body, 4);
        for (uint32_t n = 1; n <= 536; n++)
                assert_int_equal(set_own(x, n, 1, "Title 1"), 0);

        assert_int_equal(rfc_index_encode_all(x, &now, &b), 0);
        size_t n_own = 0, n_fresh = 0, n_old = 0;
        IndexLine line;
        for (Slice s = buf_slice(&b); s.size > 0;) {
                assert_int_equal(proto_parse_index_line(&s, false, &line), 0);
                if (line.self)
                        n_own++;
                else if (line.ttl_sec == TTL - 1)
                        n_fresh++;
                else
                        n_old++;
        }
        assert_int_equal(n_own, 536);
        assert_int_equal(n_fresh, 40000);
        assert_int_equal(n_old, 65536 - 40536);
}

static void test_whole_index_by_slices_is_the_same(void **state) {
        (void) state;
        _cleanup_(rfc_index_free_p) RfcIndex *x = make_index(1000);
        Now now = at(100);
        RfcRange ranges[] = { { 3, 3 }, { 5, 12 }, { 200, RFC_NUMBER_MAX } };
        const RfcSet some = { ranges, ELEMENTSOF(ranges) };

        learn(x, "192.0.2.1:1000", 1, 10, 10);
        learn(x, "[2001:db8::1]:1000", 5, 20, 20);
        learn(x, "192.0.2.2:1000", 8, 9, 30);
        learn_hearsay(x, "192.0.2.3:1000", 7, 100, "192.0.2.9:1000", 40);
        for (uint32_t n = 4; n < 300; n += 50)
                assert_int_equal(set_own(x, n, 1, "Title 1"), 0);
        assert_int_equal(set_own(x, RFC_NUMBER_MAX, 1, "Title 1"), 0);

        for (size_t max = 300; max < 6000; max = max * 3 / 2)
                for (size_t slice = 1; slice < 40; slice += 1 + slice / 4)
                        for (const RfcSet *set = NULL;; set = &some) {
                                _cleanup_(index_encode_free_p) IndexEncode *e = NULL;
                                _cleanup_buf_ Buf b = BUF_INIT(max), expected = BUF_INIT(max);
                                int r;
                                r = set ? rfc_index_encode_set(x, set, &now, &expected) :
                                          rfc_index_encode_all(x, &now, &expected);
                                assert_int_equal(r, 0);
                                assert_int_equal(index_encode_new(x, set, &now, &b, &e), 0);
                                while ((r = index_encode_step(e, x, slice)) == RFC_INDEX_MORE)
                                        ;
                                assert_int_equal(r, 0);
                                assert_body(&b, &expected);
                                if (set)
                                        break;
                        }
}

static void test_index_may_change_while_it_is_written(void **state) {
        (void) state;
        for (unsigned before = 0; before < 30; before++) {
                _cleanup_(rfc_index_free_p) RfcIndex *x = make_index(1000);
                _cleanup_(index_encode_free_p) IndexEncode *e = NULL;
                _cleanup_(index_merge_free_p) IndexMerge *m = NULL;
                _cleanup_buf_ Buf b = BUF_INIT(12 * 130);
                Endpoint gone = peer("192.0.2.1:1000"), source = peer("192.0.2.7:1000");
                Now now = at(100);
                int r = RFC_INDEX_MORE;

                learn(x, "192.0.2.1:1000", 1, 20, 10);
                learn(x, "192.0.2.2:1000", 1, 20, 20);
                assert_int_equal(index_encode_new(x, NULL, &now, &b, &e), 0);
                for (unsigned i = 0; i < before && r == RFC_INDEX_MORE; i++)
                        r = index_encode_step(e, x, 3);
                /* One goes, one is confirmed, one comes, and own ones, which have more room than they were given. */
                (void) rfc_index_forget_source(x, &gone);
                while (rfc_index_expire(x, &now, 5))
                        ;
                Endpoint confirmed = peer("192.0.2.2:1000");
                rfc_index_confirm(x, &confirmed, 99 * SEC);
                learn(x, "192.0.2.3:1000", 1, 20, 99);
                for (uint32_t n = 1; n <= 30; n++)
                        assert_int_equal(set_own(x, n, 1, "Title 1"), 0);
                while (r == RFC_INDEX_MORE)
                        r = index_encode_step(e, x, 3);
                assert_int_equal(r, 0);

                /* It is a body that others take. */
                IndexMergeConf conf = { .kind = INDEX_MERGE_ALL, .source = source, .sent_at = 100 * SEC };
                assert_int_equal(index_merge_new(&conf, &m), 0);
                assert_int_equal(index_merge_feed(m, buf_slice(&b)), 0);
                assert_int_equal(index_merge_end(m), 0);
                assert_true(b.size > 0 && b.size <= 12 * 130);
        }
}

/* ---- asking ---- */

static void test_find_gives_first_hand_first_then_latest_expiry(void **state) {
        (void) state;
        _cleanup_(rfc_index_free_p) RfcIndex *x = make_index(1000);
        RfcRecord found[4];
        Now now = at(200);

        learn_hearsay(x, "192.0.2.1:1000", 5, 7000, "192.0.2.9:1000", 200);
        learn(x, "192.0.2.2:1000", 5, 5, 50);
        learn(x, "192.0.2.3:1000", 5, 5, 100);
        learn_hearsay(x, "192.0.2.4:1000", 5, 7100, "192.0.2.8:1000", 200);
        static const char *const order[] = { "192.0.2.3:1000", "192.0.2.2:1000", "192.0.2.8:1000", "192.0.2.9:1000" };

        assert_int_equal(rfc_index_find(x, 5, &now, NULL, 0), 4);
        for (size_t n = 1; n <= 4; n++) {
                assert_int_equal(rfc_index_find(x, 5, &now, found, n), 4);
                for (size_t i = 0; i < n; i++) {
                        Endpoint holder = peer(order[i]);
                        assert_true(endpoint_equal(&found[i].holder, &holder));
                        assert_int_equal(found[i].first_hand, i < 2);
                }
        }
        assert_int_equal(rfc_index_find(x, 6, &now, found, 4), 0);
        now = at(50 + TTL);
        assert_int_equal(rfc_index_find(x, 5, &now, found, 4), 2);
}

static void test_find_gives_the_best_of_many(void **state) {
        (void) state;
        _cleanup_(rfc_index_free_p) RfcIndex *x = make_index(1000);
        RfcRecord all[200], found[250];
        Now now = at(500);

        for (unsigned i = 0; i < ELEMENTSOF(all); i++) {
                char text[32];
                (void) snprintf(text, sizeof(text), "192.0.2.%u:1000", i);
                if (i % 5 == 0)
                        learn_hearsay(x, "192.0.2.250:1000", 5, TTL - i * 37 % 199, text, 200);
                else
                        learn(x, text, 5, 5, 100 + i * 77 % 191);       /* some of them at the same time */
        }
        assert_int_equal(rfc_index_find(x, 5, &now, all, ELEMENTSOF(all)), ELEMENTSOF(all));
        for (size_t i = 1; i < ELEMENTSOF(all); i++) {
                assert_true(all[i].first_hand <= all[i - 1].first_hand);
                assert_true(all[i].first_hand != all[i - 1].first_hand || all[i].expires_at <= all[i - 1].expires_at);
                assert_true(!endpoint_equal(&all[i].holder, &all[i - 1].holder));
        }
        for (size_t n = 1; n <= ELEMENTSOF(found); n += n < 8 ? 1 : 11) {
                assert_int_equal(rfc_index_find(x, 5, &now, found, n), ELEMENTSOF(all));
                for (size_t i = 0; i < MIN_OF(n, ELEMENTSOF(all)); i++) {
                        assert_int_equal(found[i].first_hand, all[i].first_hand);
                        assert_int_equal(found[i].expires_at, all[i].expires_at);
                }
        }
}

static void test_find_holders_gives_all_that_live(void **state) {
        (void) state;
        _cleanup_(rfc_index_free_p) RfcIndex *x = make_index(1000);
        static const char *const holders[] = { "192.0.2.2:1000", "192.0.2.3:1000", "192.0.2.9:1000" };
        Endpoint found[4];
        Now now = at(200);

        assert_int_equal(set_own(x, 5, 1, "Title 1"), 0);
        learn(x, holders[0], 5, 5, 50);
        learn(x, holders[1], 5, 5, 100);
        learn_hearsay(x, "192.0.2.1:1000", 5, 7100, holders[2], 200);
        for (size_t n = 0; n <= 4; n++) {
                unsigned seen = 0;
                assert_int_equal(rfc_index_find_holders(x, 5, &now, found, n), 3);
                for (size_t i = 0; i < MIN_OF(n, (size_t) 3); i++)
                        for (size_t k = 0; k < ELEMENTSOF(holders); k++) {
                                Endpoint holder = peer(holders[k]);
                                seen += endpoint_equal(&found[i], &holder) ? 1u << 4 * k : 0;
                        }
                assert_int_equal(__builtin_popcount(seen), MIN_OF(n, (size_t) 3));      /* each one once */
        }
        assert_int_equal(rfc_index_find_holders(x, 6, &now, found, 4), 0);
        assert_int_equal(rfc_index_find_holders(x, 4, &now, found, 4), 0);
        now = at(50 + TTL);
        assert_int_equal(rfc_index_find_holders(x, 5, &now, found, 4), 2);
}

static void test_walk_over_numbers_sees_own_and_live_ones(void **state) {
        (void) state;
        _cleanup_(rfc_index_free_p) RfcIndex *x = make_index(1000);
        Now now = at(100);

        assert_int_equal(rfc_index_next_number(x, 0, &now), 0);
        learn(x, "192.0.2.1:1000", 5, 5, 0);
        learn(x, "192.0.2.2:1000", 8, 8, 100);
        assert_int_equal(set_own(x, 2147483647, 1, "T"), 0);
        assert_int_equal(set_own(x, 8, 1, "T"), 0);
        assert_int_equal(rfc_index_next_number(x, 0, &now), 5);
        assert_int_equal(rfc_index_next_number(x, 5, &now), 8);
        assert_int_equal(rfc_index_next_number(x, 8, &now), 2147483647);
        assert_int_equal(rfc_index_next_number(x, 2147483647, &now), 0);
        now = at(TTL);
        assert_int_equal(rfc_index_next_number(x, 0, &now), 8);
}

/* Where very many have just died, the walk takes a breath, so that its caller can give back the lock. */
static void test_walk_over_the_dead_goes_by_slices(void **state) {
        _cleanup_(rfc_index_free_p) RfcIndex *x = make_index(3 * RFC_INDEX_DEAD_MAX);
        RfcRecord rec;
        Now now = at(TTL);

        (void) state;
        learn(x, "192.0.2.1:1000", 1, 2 * RFC_INDEX_DEAD_MAX + 1, 0);
        learn(x, "192.0.2.2:1000", 2 * RFC_INDEX_DEAD_MAX + 2, 2 * RFC_INDEX_DEAD_MAX + 2, 100);
        assert_int_equal(rfc_index_next_number(x, 0, &now), RFC_INDEX_DEAD_MAX);
        assert_int_equal(rfc_index_find(x, RFC_INDEX_DEAD_MAX, &now, &rec, 1), 0);
        assert_int_equal(rfc_index_next_number(x, RFC_INDEX_DEAD_MAX, &now), 2 * RFC_INDEX_DEAD_MAX);
        assert_int_equal(rfc_index_next_number(x, 2 * RFC_INDEX_DEAD_MAX, &now), 2 * RFC_INDEX_DEAD_MAX + 2);
        assert_int_equal(set_own(x, 7, 1, "T"), 0);
        assert_int_equal(rfc_index_next_number(x, 0, &now), 7);
}

/* ---- expiry ---- */

static void test_a_record_is_dead_at_its_microsecond_and_gone_within_a_second(void **state) {
        (void) state;
        _cleanup_(rfc_index_free_p) RfcIndex *x = make_index(1000);
        Endpoint holder = peer("192.0.2.1:1000");
        RfcRecord rec;

        assert_true(rfc_index_next_expiry(x) == USEC_INFINITY);
        learn(x, "192.0.2.1:1000", 5, 5, 10);
        Now now = { .boottime = (10 + TTL) * SEC - 1 };
        assert_true(rfc_index_get(x, 5, &holder, &now, &rec));
        assert_true(rec.expires_at == (10 + TTL) * SEC);
        now.boottime++;
        assert_false(rfc_index_get(x, 5, &holder, &now, &rec));
        assert_int_equal(rfc_index_find(x, 5, &now, &rec, 1), 0);

        assert_int_equal(rfc_index_count(x), 1);
        assert_true(rfc_index_next_expiry(x) == (10 + TTL) * SEC);
        assert_false(rfc_index_expire(x, &now, 100));
        assert_int_equal(rfc_index_count(x), 0);
        assert_true(rfc_index_next_expiry(x) == USEC_INFINITY);
}

static void test_expiry_goes_by_slices(void **state) {
        (void) state;
        _cleanup_(rfc_index_free_p) RfcIndex *x = make_index(1000);
        Now now = at(TTL);

        learn(x, "192.0.2.1:1000", 1, 10, 0);
        assert_true(rfc_index_expire(x, &now, 4));
        assert_int_equal(rfc_index_count(x), 6);
        assert_true(rfc_index_expire(x, &now, 4));
        assert_false(rfc_index_expire(x, &now, 4));
        assert_int_equal(rfc_index_count(x), 0);
}

static void test_a_confirmed_peer_lives_on_and_expires_later(void **state) {
        (void) state;
        _cleanup_(rfc_index_free_p) RfcIndex *x = make_index(1000);
        Endpoint source = peer("192.0.2.1:1000");
        RfcRecord rec;

        learn(x, "192.0.2.1:1000", 1, 10, 0);
        rfc_index_confirm(x, &source, 100 * SEC);
        Now now = at(TTL + 50);
        assert_false(rfc_index_expire(x, &now, 100));
        assert_int_equal(rfc_index_count(x), 10);
        assert_true(rfc_index_get(x, 3, &source, &now, &rec));
        assert_true(rec.expires_at == (TTL + 100) * SEC);
        assert_true(rfc_index_next_expiry(x) == (TTL + 100) * SEC);
        /* An older answer that comes late takes nothing back. */
        rfc_index_confirm(x, &source, 50 * SEC);
        assert_true(rfc_index_get(x, 3, &source, &now, &rec));
        assert_true(rec.expires_at == (TTL + 100) * SEC);
        now = at(TTL + 100);
        assert_false(rfc_index_expire(x, &now, 100));
        assert_int_equal(rfc_index_count(x), 0);
}

static void test_lives_longer_than_the_wheel_and_long_gaps(void **state) {
        (void) state;
        static const uint64_t ttl = 1000000;
        _cleanup_(rfc_index_free_p) RfcIndex *x = make_index(1000);
        rfc_index_set_limits(x, &(RfcIndexLimits){ .ttl_usec = ttl * SEC, .max_records = 1000 });
        _cleanup_buf_ Buf body = BUF_INIT(1 << 20);

        put_line(&body, 1, (unsigned) ttl, "-", 1);
        put_line(&body, 2, 5000, "-", 1);
        merge(x, INDEX_MERGE_OWN, "192.0.2.1:1000", &body, 123456);
        assert_true(rfc_index_next_expiry(x) == (123456 + 5000) * SEC);
        Now now = at(123456 + 300000);
        assert_false(rfc_index_expire(x, &now, 100));
        assert_int_equal(rfc_index_count(x), 1);
        for (unsigned i = 0; i < 200 && rfc_index_count(x) > 0; i++) {
                now.boottime = rfc_index_next_expiry(x);
                assert_false(rfc_index_expire(x, &now, 100));
        }
        assert_int_equal(rfc_index_count(x), 0);
        assert_true(now.boottime == (123456 + ttl) * SEC);
}

static void test_own_documents_never_expire(void **state) {
        (void) state;
        _cleanup_(rfc_index_free_p) RfcIndex *x = make_index(1000);
        Now now = at(100 * TTL);
        assert_int_equal(set_own(x, 1, 1, "T"), 0);
        assert_false(rfc_index_expire(x, &now, 100));
        assert_int_equal(rfc_index_count_own(x), 1);
        assert_int_equal(rfc_index_next_number(x, 0, &now), 1);
}

/* ---- forgetting ---- */

static void test_what_a_liar_stated_goes_with_it(void **state) {
        (void) state;
        _cleanup_(rfc_index_free_p) RfcIndex *x = make_index(1000);
        Endpoint liar = peer("192.0.2.1:1000"), other = peer("192.0.2.2:1000"), third = peer("192.0.2.9:1000");
        Now now = at(1);
        RfcRecord rec;

        learn_hearsay(x, "192.0.2.2:1000", 7, 100, "192.0.2.1:1000", 0);        /* said about the liar, not by it */
        learn_hearsay(x, "192.0.2.1:1000", 5, 100, "192.0.2.9:1000", 0);
        learn_hearsay(x, "192.0.2.2:1000", 6, 100, "192.0.2.9:1000", 0);
        learn(x, "192.0.2.1:1000", 1, 3, 0);
        learn(x, "192.0.2.2:1000", 1, 3, 0);
        assert_int_equal(rfc_index_count_source(x, &liar), 3);
        assert_int_equal(rfc_index_forget_source(x, &liar), 4);
        assert_int_equal(rfc_index_forget_source(x, &liar), 0);
        assert_int_equal(rfc_index_count_source(x, &liar), 0);
        assert_int_equal(rfc_index_count_source(x, &other), 3);
        assert_false(rfc_index_get(x, 5, &third, &now, &rec));
        assert_true(rfc_index_get(x, 6, &third, &now, &rec));
        assert_true(rfc_index_get(x, 7, &liar, &now, &rec));
        assert_int_equal(rfc_index_count(x), 5);
}

static void test_what_is_forgotten_is_out_of_use_at_once_and_goes_by_slices(void **state) {
        (void) state;
        _cleanup_(rfc_index_free_p) RfcIndex *x = make_index(1000);
        Endpoint liar = peer("192.0.2.1:1000");
        Now now = at(1);
        RfcRecord rec;

        learn(x, "192.0.2.1:1000", 1, 300, 0);
        learn(x, "192.0.2.2:1000", 300, 300, 0);
        learn_hearsay(x, "192.0.2.1:1000", 301, 100, "192.0.2.9:1000", 1);
        assert_true(rfc_index_next_expiry(x) > 1 * SEC);
        /* The hearsay came with an answer about all that it has: of its own there is nothing left. */
        learn(x, "192.0.2.1:1000", 1, 300, 2);
        assert_int_equal(rfc_index_forget_source(x, &liar), 301);

        for (bool swept = false;; swept = true) {
                _cleanup_buf_ Buf all = BUF_INIT(1 << 20), some = BUF_INIT(1 << 20), expected = BUF_INIT(1 << 20);
                RfcRange range = { 1, 400 };
                assert_int_equal(rfc_index_count(x), 1);
                assert_int_equal(rfc_index_count_source(x, &liar), 0);
                assert_false(rfc_index_is_whole(x, &liar));
                assert_int_equal(rfc_index_find(x, 299, &now, &rec, 1), 0);
                assert_int_equal(rfc_index_find(x, 300, &now, &rec, 1), 1);
                assert_false(rfc_index_get(x, 300, &liar, &now, &rec));
                assert_int_equal(rfc_index_next_number(x, 0, &now), 300);
                assert_int_equal(rfc_index_next_number(x, 300, &now), 0);
                assert_int_equal(rfc_index_encode_all(x, &now, &all), 0);
                assert_int_equal(rfc_index_encode_set(x, &(RfcSet){ &range, 1 }, &now, &some), 0);
                put_line(&expected, 300, TTL - 1, "192.0.2.2:1000", (uint8_t) 300);
                assert_body(&all, &expected);
                assert_body(&some, &expected);
                if (swept)
                        break;
                assert_true(rfc_index_next_expiry(x) == 0);
                assert_true(rfc_index_expire(x, &now, 200));
                assert_true(rfc_index_next_expiry(x) == 0);
                assert_false(rfc_index_expire(x, &now, 102));
        }
        assert_true(rfc_index_next_expiry(x) > 1 * SEC);
        assert_int_equal(rfc_index_count_numbers(x), 1);
}

/* ---- the copy ---- */

static void cover(const RfcIndex *x, const char *source, size_t slice, Buf *b) {
        Endpoint e = peer(source);
        uint32_t after = 0;
        int r;
        do
                r = rfc_index_cover_source(x, &e, &after, slice, b);
        while (r == RFC_INDEX_MORE);
        assert_int_equal(r, 0);
}

static void test_copy_covers_what_its_holder_covers(void **state) {
        (void) state;
        static const size_t slices[] = { 1, 2, 7, SIZE_MAX };
        _cleanup_(rfc_index_free_p) RfcIndex *holder = make_index(1000);
        _cleanup_buf_ Buf body = BUF_INIT(1 << 20), covered = BUF_INIT(1 << 20);
        uint32_t after = 0;

        for (uint32_t n = 10; n <= 200; n += 10)
                assert_int_equal(set_own(holder, n, (uint8_t) n, n % 20 ? "Some Title" : ""), 0);
        assert_int_equal(set_own(holder, RFC_NUMBER_MAX, 1, "The Last"), 0);
        assert_int_equal(rfc_index_encode_own(holder, &after, SIZE_MAX, &body, &covered), 0);

        for (size_t i = 0; i < ELEMENTSOF(slices); i++) {
                _cleanup_(rfc_index_free_p) RfcIndex *x = make_index(1000);
                _cleanup_buf_ Buf copy = BUF_INIT(1 << 20), other = BUF_INIT(1 << 20), none = BUF_INIT(1 << 20);
                Endpoint a = peer("192.0.2.1:1000");

                /* What others hold, or say of it, is no part of it. */
                learn(x, "192.0.2.2:1000", 1, 30, 0);
                learn_hearsay(x, "192.0.2.3:1000", 15, 100, "192.0.2.1:1000", 0);
                learn_hearsay(x, "192.0.2.1:1000", 16, 100, "192.0.2.3:1000", 0);
                merge(x, INDEX_MERGE_OWN, "192.0.2.1:1000", &body, 1);
                cover(x, "192.0.2.1:1000", slices[i], &copy);
                assert_body(&copy, &covered);

                /* One record is another, or gone: it shows, until all is told again. */
                static RfcRange range = { 50, 50 };
                RfcSet set = { &range, 1 };
                _cleanup_buf_ Buf line = BUF_INIT(1 << 20);
                IndexMergeConf conf = { .kind = INDEX_MERGE_SET, .source = a, .set = &set, .sent_at = 2 * SEC };
                Now now = at(2);
                put_line(&line, 50, TTL, "-", 99);
                (void) merge_body(x, &conf, buf_slice(&line), &now);
                assert_true(rfc_index_is_whole(x, &a));
                cover(x, "192.0.2.1:1000", slices[i], &other);
                assert_false(slice_equal(buf_slice(&other), buf_slice(&covered)));
                merge(x, INDEX_MERGE_OWN, "192.0.2.1:1000", &body, 3);
                buf_clear(&copy);
                cover(x, "192.0.2.1:1000", slices[i], &copy);
                assert_body(&copy, &covered);

                (void) rfc_index_forget_source(x, &a);
                cover(x, "192.0.2.1:1000", slices[i], &none);
                cover(x, "192.0.2.99:1000", slices[i], &none);
                assert_int_equal(none.size, 0);
        }
}

static void test_copy_takes_no_more_than_the_buffer(void **state) {
        (void) state;
        _cleanup_(rfc_index_free_p) RfcIndex *x = make_index(1000);
        _cleanup_buf_ Buf b = BUF_INIT(100);
        Endpoint a = peer("192.0.2.1:1000");
        uint32_t after = 0;

        learn(x, "192.0.2.1:1000", 1, 3, 0);
        assert_int_equal(rfc_index_cover_source(x, &a, &after, SIZE_MAX, &b), RFC_INDEX_TOO_LARGE);
        assert_int_equal(after, 1);
}

static void test_one_record_can_go(void **state) {
        (void) state;
        _cleanup_(rfc_index_free_p) RfcIndex *x = make_index(1000);
        Endpoint holder = peer("192.0.2.1:1000"), other = peer("192.0.2.2:1000");

        learn(x, "192.0.2.1:1000", 1, 3, 0);
        rfc_index_forget_record(x, 2, &other);
        rfc_index_forget_record(x, 4, &holder);
        assert_int_equal(rfc_index_count(x), 3);
        rfc_index_forget_record(x, 2, &holder);
        assert_int_equal(rfc_index_count(x), 2);
}

static void test_a_peer_is_whole_until_something_of_it_is_lost(void **state) {
        (void) state;
        _cleanup_(rfc_index_free_p) RfcIndex *x = make_index(1000);
        Endpoint source = peer("192.0.2.1:1000");

        assert_false(rfc_index_is_whole(x, &source));
        learn(x, "192.0.2.1:1000", 1, 3, 0);
        assert_true(rfc_index_is_whole(x, &source));
        learn(x, "192.0.2.1:1000", 2, 3, 1);
        assert_true(rfc_index_is_whole(x, &source));
        rfc_index_forget_record(x, 2, &source);
        assert_false(rfc_index_is_whole(x, &source));
        learn(x, "192.0.2.1:1000", 1, 3, 2);
        assert_true(rfc_index_is_whole(x, &source));
        learn_hearsay(x, "192.0.2.2:1000", 9, 100, "192.0.2.1:1000", 2);
        assert_true(rfc_index_is_whole(x, &source));
        rfc_index_set_limits(x, &(RfcIndexLimits){ .ttl_usec = TTL * SEC, .max_records = 2 });
        assert_true(rfc_index_next_expiry(x) == 0);
        Now now = at(3);
        assert_true(rfc_index_expire(x, &now, 1));
        assert_true(rfc_index_is_whole(x, &source));            /* hearsay went first */
        assert_false(rfc_index_expire(x, &now, 10));
        assert_int_equal(rfc_index_count(x), 2);
        assert_false(rfc_index_is_whole(x, &source));
}

/* ---- the table below ---- */

typedef struct Item {
        IndexNode node;
        uint64_t value;
} Item;

static void test_table_finds_all_while_it_grows_and_shrinks(void **state) {
        (void) state;
        enum { N = 20000 };
        IndexTable t;
        static uint32_t ids[N];

        index_table_init(&t, sizeof(Item));
        assert_int_equal(index_table_first(&t, 1), 0);
        for (unsigned round = 0; round < 3; round++) {
                for (uint32_t i = round == 0 ? 0 : 1; i < N; i += round == 0 ? 1 : 2) {
                        assert_int_equal(index_table_reserve(&t), 0);
                        ids[i] = index_table_add(&t, i * UINT32_C(2654435761) >> 3);
                        ((Item *) index_table_item(&t, ids[i]))->value = i;
                }
                for (uint32_t i = 0; i < N; i++) {
                        uint32_t id = index_table_first(&t, i * UINT32_C(2654435761) >> 3);
                        while (id != 0 && ((Item *) index_table_item(&t, id))->value != i)
                                id = ((Item *) index_table_item(&t, id))->node.next;
                        assert_int_equal(id, ids[i]);
                }
                for (uint32_t i = 1; i < N; i += 2)
                        index_table_remove(&t, ids[i]);
                assert_int_equal(t.n_items, N / 2);
                assert_int_equal(t.n_ids, N + 1);               /* freed ones are used again */
        }
        index_table_done(&t);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_generation_counts_changes_of_own_documents_only),
                cmocka_unit_test(test_own_documents_are_told_in_order),
                cmocka_unit_test(test_own_body_states_the_full_ttl_and_digest_covers_the_same),
                cmocka_unit_test(test_own_body_by_slices_is_the_same),
                cmocka_unit_test(test_a_full_buffer_takes_whole_lines_only),
                cmocka_unit_test(test_whole_index_is_sorted_by_number_then_holder_text),
                cmocka_unit_test(test_relayed_ttl_is_what_is_left_rounded_down_and_never_0),
                cmocka_unit_test(test_hearsay_is_found_but_not_relayed),
                cmocka_unit_test(test_set_answer_has_these_numbers_only),
                cmocka_unit_test(test_when_the_answer_is_full_own_come_first_then_the_freshest),
                cmocka_unit_test(test_whole_index_ends_at_65536_records),
                cmocka_unit_test(test_whole_index_by_slices_is_the_same),
                cmocka_unit_test(test_index_may_change_while_it_is_written),
                cmocka_unit_test(test_find_gives_first_hand_first_then_latest_expiry),
                cmocka_unit_test(test_find_gives_the_best_of_many),
                cmocka_unit_test(test_find_holders_gives_all_that_live),
                cmocka_unit_test(test_walk_over_numbers_sees_own_and_live_ones),
                cmocka_unit_test(test_walk_over_the_dead_goes_by_slices),
                cmocka_unit_test(test_a_record_is_dead_at_its_microsecond_and_gone_within_a_second),
                cmocka_unit_test(test_expiry_goes_by_slices),
                cmocka_unit_test(test_a_confirmed_peer_lives_on_and_expires_later),
                cmocka_unit_test(test_lives_longer_than_the_wheel_and_long_gaps),
                cmocka_unit_test(test_own_documents_never_expire),
                cmocka_unit_test(test_what_a_liar_stated_goes_with_it),
                cmocka_unit_test(test_what_is_forgotten_is_out_of_use_at_once_and_goes_by_slices),
                cmocka_unit_test(test_copy_covers_what_its_holder_covers),
                cmocka_unit_test(test_copy_takes_no_more_than_the_buffer),
                cmocka_unit_test(test_one_record_can_go),
                cmocka_unit_test(test_a_peer_is_whole_until_something_of_it_is_lost),
                cmocka_unit_test(test_table_finds_all_while_it_grows_and_shrinks),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
