/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Deltas: what changed since a generation, as the holder tells it and as a copy takes it. First each promise, then a
 * holder and its readers at random, against a naive model.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "index-test.h"

#define A "192.0.2.1:1000"
#define NUMBERS 64                      /* of the model */

#define D1 "1111111111111111111111111111111111111111111111111111111111111111"
#define D2 "2222222222222222222222222222222222222222222222222222222222222222"
#define R(number) number "\t7200\t-\t100\t" D1 "\tA title\n"
#define R2(number) number "\t7200\t-\t100\t" D2 "\tA title\n"

static void set_own(RfcIndex *x, uint32_t number, uint8_t byte) {
        Digest d = digest(byte);
        assert_int_equal(rfc_index_set_own(x, number, 100, &d, SLICE_LITERAL("A title")), 0);
}

static void remove_own(RfcIndex *x, uint32_t number) {
        assert_int_equal(rfc_index_remove_own(x, number), 0);
}

static void assert_same(const Buf *b, const Buf *expected) {
        assert_int_equal(b->size, expected->size);
        assert_true(slice_equal(buf_slice(b), buf_slice(expected)));
}

static void assert_text(const Buf *b, const char *expected) {
        assert_int_equal(b->size, strlen(expected));
        assert_true(slice_equal(buf_slice(b), slice_of(expected)));
}

/* ---- the holder ---- */

/* What a peer has ready to answer with. */
typedef struct Snapshot {
        Generation generation;
        Buf body, covered;
        IndexChanges *changes;
} Snapshot;

static void snapshot_done(Snapshot *s) {
        buf_done(&s->body);
        buf_done(&s->covered);
        index_changes_free(s->changes);
}
#define _cleanup_snapshot_ _cleanup_(snapshot_done)

static Snapshot take(const RfcIndex *x, size_t slice) {
        Snapshot s = { .generation = rfc_index_generation(x), .body = BUF_INIT(PROTO_INDEX_BYTES_MAX),
                       .covered = BUF_INIT(PROTO_INDEX_BYTES_MAX) };
        uint32_t after = 0;
        int r;
        do
                r = rfc_index_encode_own(x, &after, slice, &s.body, &s.covered);
        while (r == RFC_INDEX_MORE);
        assert_int_equal(r, 0);
        assert_int_equal(index_changes_new(&s.changes), 0);
        do
                r = index_changes_step(s.changes, x, slice);
        while (r == RFC_INDEX_MORE);
        assert_int_equal(r, 0);
        index_changes_end(s.changes, buf_slice(&s.body));
        return s;
}

static int delta(const Snapshot *s, uint64_t since, Buf *b) {
        return index_changes_encode(s->changes, buf_slice(&s->body), (Generation){ EPOCH, since }, b);
}

static void test_delta_tells_each_number_once_as_it_is_now(void **state) {
        (void) state;
        _cleanup_(rfc_index_free_p) RfcIndex *x = make_index(1000);
        _cleanup_buf_ Buf b = BUF_INIT(1 << 20);

        for (uint32_t n = 1; n <= 9; n++)
                set_own(x, n, 0x11);            /* 1 to 9 */
        set_own(x, 5, 0x22);                    /* 10 */
        remove_own(x, 7);                       /* 11 */
        set_own(x, 700, 0x22);                  /* 12 */
        remove_own(x, 700);                     /* 13 */
        set_own(x, 5, 0x11);                    /* 14 */
        _cleanup_snapshot_ Snapshot s = take(x, 2);

        assert_int_equal(delta(&s, 13, &b), 0);
        assert_text(&b, "+" R("5"));
        buf_clear(&b);
        assert_int_equal(delta(&s, 12, &b), 0);
        assert_text(&b, "+" R("5") "-700\t-\n");
        buf_clear(&b);
        assert_int_equal(delta(&s, 9, &b), 0);
        assert_text(&b, "+" R("5") "-7\t-\n-700\t-\n");
        buf_clear(&b);
        assert_int_equal(delta(&s, 8, &b), 0);
        assert_text(&b, "+" R("5") "-7\t-\n+" R("9") "-700\t-\n");
        assert_int_equal(delta(&s, 14, &b), RFC_INDEX_UNCHANGED);
}

static void test_what_is_not_known_is_said_so(void **state) {
        (void) state;
        _cleanup_(rfc_index_free_p) RfcIndex *x = make_index(1000);
        _cleanup_buf_ Buf b = BUF_INIT(1 << 20);

        for (uint32_t n = 1; n <= 9; n++)
                set_own(x, n, 0x11);
        _cleanup_snapshot_ Snapshot s = take(x, 100);
        set_own(x, 10, 0x11);   /* nothing of this is in what was taken */
        assert_int_equal(buf_append_string(&b, "before"), 0);
        assert_int_equal(delta(&s, 10, &b), RFC_INDEX_UNKNOWN);
        assert_int_equal(delta(&s, UINT64_MAX, &b), RFC_INDEX_UNKNOWN);
        assert_int_equal(index_changes_encode(s.changes, buf_slice(&s.body), (Generation){ EPOCH + 1, 8 }, &b),
                         RFC_INDEX_UNKNOWN);
        assert_int_equal(index_changes_encode(s.changes, buf_slice(&s.body), (Generation){ 0, 0 }, &b),
                         RFC_INDEX_UNKNOWN);
        assert_int_equal(delta(&s, 9, &b), RFC_INDEX_UNCHANGED);
        assert_int_equal(delta(&s, 0, &b), RFC_INDEX_TOO_LARGE);        /* each line is longer than in the body */
        assert_text(&b, "before");
}

static void test_last_10000_changes_are_known_and_memory_is_bounded(void **state) {
        (void) state;
        _cleanup_(rfc_index_free_p) RfcIndex *x = make_index(1000);
        _cleanup_buf_ Buf b = BUF_INIT(PROTO_INDEX_BYTES_MAX);
        const uint32_t n_gone = 25000;

        for (uint32_t n = 1; n <= 9000; n++)
                set_own(x, n, 0x11);
        for (uint32_t n = 0; n < n_gone; n++) {
                set_own(x, 1000000 + n, 0x11);
                remove_own(x, 1000000 + n);
        }
        const uint64_t now = rfc_index_generation(x).number;
        _cleanup_snapshot_ Snapshot s = take(x, 1000);
        /* The nearest, the farthest, and some between: each is as long as it is old. */
        for (uint64_t back = 1; back <= RFC_INDEX_CHANGES_MIN; back += back <= 100 || back > RFC_INDEX_CHANGES_MIN - 100 ? 1 : 33) {
                buf_clear(&b);
                assert_int_equal(delta(&s, now - back, &b), 0);
                assert_int_equal(b.size, (back + 1) / 2 * strlen("-1000000\t-\n"));
        }
        /* The tombstones, here every second change, and no more. */
        assert_int_equal(delta(&s, now - 2 * RFC_INDEX_CHANGES_MIN, &b), 0);
        assert_int_equal(delta(&s, now - 2 * RFC_INDEX_CHANGES_MIN - 1, &b), RFC_INDEX_UNKNOWN);
}

static void test_delta_has_no_more_lines_than_an_answer_may(void **state) {
        (void) state;
        _cleanup_(rfc_index_free_p) RfcIndex *x = make_index(1000);
        _cleanup_buf_ Buf b = BUF_INIT(PROTO_INDEX_BYTES_MAX);

        for (uint32_t n = 1; n <= PROTO_INDEX_RECORDS_MAX + RFC_INDEX_CHANGES_MIN; n++)
                set_own(x, n, 0x11);
        for (uint32_t n = 1; n <= RFC_INDEX_CHANGES_MIN; n++)
                remove_own(x, n);
        _cleanup_snapshot_ Snapshot s = take(x, 1000);
        /* All that went, and so many that came. */
        uint64_t since = PROTO_INDEX_RECORDS_MAX + RFC_INDEX_CHANGES_MIN -
                         (PROTO_INDEX_RECORDS_MAX - RFC_INDEX_CHANGES_MIN);
        assert_int_equal(delta(&s, since, &b), 0);
        assert_int_equal(delta(&s, since - 1, &b), RFC_INDEX_TOO_LARGE);
}

/* ---- the copy ---- */

static int read_delta(const char *source, Slice body, size_t piece, usec_t sent_at, IndexMerge **ret) {
        const IndexMergeConf conf = { .kind = INDEX_MERGE_DELTA, .source = peer(source), .sent_at = sent_at };
        assert_int_equal(index_merge_new(&conf, ret), 0);
        int r = 0;
        for (size_t i = 0; r == 0 && i < body.size; i += piece)
                r = index_merge_feed(*ret, (Slice){ body.data + i, MIN_OF(piece, body.size - i) });
        return r == 0 ? index_merge_end(*ret) : r;
}

static IndexMergeResult merge_delta(RfcIndex *x, const char *source, Slice body, size_t piece, size_t slice,
                                    uint64_t sec) {
        _cleanup_(index_merge_free_p) IndexMerge *m = NULL;
        IndexMergeResult result;
        Now now = at(sec);
        int r;
        assert_int_equal(read_delta(source, body, piece, sec * SEC, &m), 0);
        do
                r = index_merge_step(m, x, slice, &now, &result);
        while (r == RFC_INDEX_MORE);
        assert_int_equal(r, 0);
        return result;
}

static void merge_full(RfcIndex *x, const char *source, Slice body, uint64_t sec) {
        const IndexMergeConf conf = { .kind = INDEX_MERGE_OWN, .source = peer(source), .sent_at = sec * SEC };
        Now now = at(sec);
        (void) merge_body(x, &conf, body, &now);
}

static void assert_copy(const RfcIndex *x, const char *source, const Buf *covered) {
        _cleanup_buf_ Buf b = BUF_INIT(PROTO_INDEX_BYTES_MAX);
        Endpoint e = peer(source);
        uint32_t after = 0;
        int r;
        do
                r = rfc_index_cover_source(x, &e, &after, 50, &b);
        while (r == RFC_INDEX_MORE);
        assert_int_equal(r, 0);
        assert_same(&b, covered);
}

static bool is_whole(const RfcIndex *x, const char *source) {
        Endpoint e = peer(source);
        return rfc_index_is_whole(x, &e);
}

static uint64_t ends(const RfcIndex *x, uint32_t number, uint64_t sec) {
        Endpoint e = peer(A);
        RfcRecord rec;
        Now now = at(sec);
        return rfc_index_get(x, number, &e, &now, &rec) ? rec.expires_at / SEC : 0;
}

static void test_delta_edits_and_confirms_the_rest(void **state) {
        (void) state;
        _cleanup_(rfc_index_free_p) RfcIndex *x = make_index(1000);

        merge_full(x, A, SLICE_LITERAL(R("1") R("2") R("3") R("4")), 0);
        IndexMergeResult m = merge_delta(x, A, SLICE_LITERAL("-2\t-\n+" R2("3") "+" R("9") "-700\t-\n"), 1, 1, 100);
        assert_int_equal(m.n_added, 2);         /* another text, and a new one */
        assert_int_equal(m.n_removed, 1);
        assert_int_equal(m.n_ignored, 1);       /* it came and went between two pulls */
        assert_int_equal(m.n_confirmed, 2);
        assert_int_equal(ends(x, 1, 100), TTL + 100);
        assert_int_equal(ends(x, 2, 100), 0);
        assert_int_equal(ends(x, 3, 100), TTL + 100);
        assert_int_equal(ends(x, 9, 100), TTL + 100);
        assert_true(is_whole(x, A));

        /* Nothing to tell: as a 304. */
        m = merge_delta(x, A, SLICE_LITERAL(""), 1, 1, 200);
        assert_int_equal(m.n_confirmed, 4);
        assert_int_equal(ends(x, 1, 200), TTL + 200);
}

static void test_bad_deltas_change_nothing(void **state) {
        (void) state;
        static const char *const bad[] = {
                R("5"),                                 /* no sign */
                "+" R("5") "+" R("4"),                  /* misordered */
                "+" R("5") "+" R2("5"),                 /* twice */
                "-5\t-\n+" R("5"),
                "-5\t-\n-5\t-\n",
                "+" R("5") "-6\t-",                     /* short */
                "+5\t7200\t192.0.2.9:1000\t100\t" D1 "\tHearsay\n",
                "-5\t192.0.2.9:1000\n",
                "+5\t0\t-\t100\t" D1 "\tDead\n",
                "-0\t-\n",
                "-5\n",
                "+" R("5") "\n",
                "*" R("5"),
        };
        _cleanup_(rfc_index_free_p) RfcIndex *x = make_index(1000);
        merge_full(x, A, SLICE_LITERAL(R("1")), 0);
        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                for (size_t piece = 1; piece < 1000; piece *= 10) {
                        _cleanup_(index_merge_free_p) IndexMerge *m = NULL;
                        assert_int_equal(read_delta(A, slice_of(bad[i]), piece, 10 * SEC, &m), RFC_INDEX_BAD);
                }
        assert_int_equal(rfc_index_count(x), 1);
        assert_int_equal(ends(x, 1, 0), TTL);
}

static void test_delta_over_the_bounds_is_too_large(void **state) {
        (void) state;
        _cleanup_buf_ Buf b = BUF_INIT(64 << 20);
        _cleanup_(index_merge_free_p) IndexMerge *m = NULL;

        for (uint32_t n = 1; n <= PROTO_INDEX_RECORDS_MAX + 1; n++)
                assert_int_equal(buf_printf(&b, "-%u\t-\n", n), 0);
        assert_int_equal(read_delta(A, buf_slice(&b), 1000000, 0, &m), RFC_INDEX_TOO_LARGE);
        m = index_merge_free(m);

        buf_clear(&b);
        char title[PROTO_TITLE_MAX + 1];
        memset(title, 'x', PROTO_TITLE_MAX);
        title[PROTO_TITLE_MAX] = 0;
        for (uint32_t n = 1; b.size <= PROTO_INDEX_BYTES_MAX; n++)
                assert_int_equal(buf_printf(&b, "+%u\t7200\t-\t1\t" D1 "\t%s\n", n, title), 0);
        assert_int_equal(read_delta(A, buf_slice(&b), 1000000, 0, &m), RFC_INDEX_TOO_LARGE);
}

static void test_delta_makes_nothing_whole_that_was_not(void **state) {
        (void) state;
        _cleanup_(rfc_index_free_p) RfcIndex *x = make_index(1000);
        Endpoint e = peer(A);

        (void) merge_delta(x, A, SLICE_LITERAL("+" R("1")), 1, 1, 0);
        assert_int_equal(ends(x, 1, 0), TTL);
        assert_false(is_whole(x, A));
        merge_full(x, A, SLICE_LITERAL(R("1") R("2")), 10);
        assert_true(is_whole(x, A));
        rfc_index_forget_record(x, 2, &e);
        (void) merge_delta(x, A, SLICE_LITERAL("+" R("3")), 1, 1, 20);
        assert_false(is_whole(x, A));
}

static void test_delta_without_room_is_not_whole(void **state) {
        (void) state;
        _cleanup_(rfc_index_free_p) RfcIndex *x = make_index(3);

        merge_full(x, A, SLICE_LITERAL(R("1") R("2") R("3")), 0);
        assert_true(is_whole(x, A));
        IndexMergeResult m = merge_delta(x, A, SLICE_LITERAL("+" R("9")), 1, 1, 10);
        assert_int_equal(m.n_ignored, 1);
        assert_false(is_whole(x, A));
        /* What the delta does not tell of made no room. */
        for (uint32_t n = 1; n <= 3; n++)
                assert_int_equal(ends(x, n, 10), TTL + 10);
}

static void test_later_word_stands(void **state) {
        (void) state;
        _cleanup_(rfc_index_free_p) RfcIndex *x = make_index(1000);
        _cleanup_(index_merge_free_p) IndexMerge *late = NULL;
        IndexMergeResult result;
        Now now = at(50);

        merge_full(x, A, SLICE_LITERAL(R("1") R("2")), 0);
        assert_int_equal(read_delta(A, SLICE_LITERAL("-1\t-\n+" R2("2") "+" R("3")), 100, 10 * SEC, &late), 0);
        merge_full(x, A, SLICE_LITERAL(R("1") R("2")), 20);
        assert_int_equal(index_merge_step(late, x, SIZE_MAX, &now, &result), 0);
        assert_int_equal(result.n_ignored, 3);
        assert_int_equal(ends(x, 1, 50), TTL + 20);
        assert_int_equal(ends(x, 3, 50), 0);
        assert_true(is_whole(x, A));
}

static void test_wrong_copy_shows_and_a_full_answer_heals_it(void **state) {
        (void) state;
        _cleanup_(rfc_index_free_p) RfcIndex *holder = make_index(1000), *x = make_index(1000);
        _cleanup_buf_ Buf b = BUF_INIT(1 << 20), copy = BUF_INIT(1 << 20);
        Endpoint e = peer(A);
        uint32_t after = 0;

        for (uint32_t n = 1; n <= 50; n++)
                set_own(holder, n, 0x11);
        _cleanup_snapshot_ Snapshot first = take(holder, 7);
        merge_full(x, A, buf_slice(&first.body), 0);
        (void) merge_delta(x, A, SLICE_LITERAL("+" R2("20")), 1, 1, 1);        /* this it never said */

        set_own(holder, 51, 0x11);
        _cleanup_snapshot_ Snapshot second = take(holder, 7);
        assert_int_equal(delta(&second, first.generation.number, &b), 0);
        (void) merge_delta(x, A, buf_slice(&b), 100, 3, 2);
        assert_true(is_whole(x, A));
        assert_int_equal(rfc_index_cover_source(x, &e, &after, SIZE_MAX, &copy), 0);
        assert_int_equal(copy.size, second.covered.size);
        assert_false(slice_equal(buf_slice(&copy), buf_slice(&second.covered)));

        merge_full(x, A, buf_slice(&second.body), 3);
        assert_copy(x, A, &second.covered);
}

/* ---- at random ---- */

static uint64_t seed;

static uint32_t draw(uint32_t n) {
        seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        return (uint32_t) (seed >> 33) % n;
}

/* Per number: the document's byte (0: none), and the generation that it last changed with. */
typedef struct Model {
        uint8_t byte[NUMBERS + 1];
        uint64_t changed[NUMBERS + 1];
} Model;

static void change(RfcIndex *holder, Model *m) {
        uint32_t n = 1 + draw(NUMBERS);
        uint8_t byte = draw(3) == 0 ? 0 : (uint8_t) (1 + draw(200));
        if (byte == m->byte[n])
                return;
        if (byte != 0)
                set_own(holder, n, byte);
        else
                remove_own(holder, n);
        m->byte[n] = byte;
        m->changed[n] = rfc_index_generation(holder).number;
}

static void expected_delta(const Model *m, uint64_t since, Buf *b) {
        for (uint32_t n = 1; n <= NUMBERS; n++) {
                char text[DIGEST_TEXT_SIZE];
                Digest d;
                if (m->changed[n] <= since)
                        continue;
                memset(&d, m->byte[n], sizeof(d));
                digest_to_text(&d, text);
                assert_int_equal(m->byte[n] == 0 ?
                                         buf_printf(b, "-%u\t-\n", n) :
                                         buf_printf(b, "+%u\t7200\t-\t100\t%s\tA title\n", n, text), 0);
        }
}

typedef struct Reader {
        RfcIndex *index;
        uint64_t generation;
} Reader;

static void pull(Reader *r, const Snapshot *s, const Model *m, bool current, uint64_t sec, size_t *n_deltas) {
        _cleanup_buf_ Buf b = BUF_INIT(1 << 20), expected = BUF_INIT(1 << 20);
        /* As the peer daemon asks: a copy of nothing is not kept, and so not whole. */
        bool asks = is_whole(r->index, A);
        int k = asks ? delta(s, r->generation, &b) : RFC_INDEX_UNKNOWN;

        assert_true(k == 0 || k == RFC_INDEX_UNCHANGED || k == RFC_INDEX_TOO_LARGE || !asks);
        if (k == 0) {
                if (current) {
                        expected_delta(m, r->generation, &expected);
                        assert_same(&b, &expected);
                }
                (void) merge_delta(r->index, A, buf_slice(&b), 1 + draw(300), 1 + draw(10), sec);
                (*n_deltas)++;
        } else if (k != RFC_INDEX_UNCHANGED)
                merge_full(r->index, A, buf_slice(&s->body), sec);
        r->generation = s->generation.number;
        assert_true(is_whole(r->index, A) == (s->body.size > 0));
        assert_copy(r->index, A, &s->covered);
}

static void walk(uint64_t from) {
        Model m = {};
        Reader readers[3] = {};
        _cleanup_(rfc_index_free_p) RfcIndex *holder = make_index(1000);
        size_t n_deltas = 0;

        seed = from;
        for (size_t i = 0; i < ELEMENTSOF(readers); i++)
                readers[i].index = make_index(1000);
        for (uint64_t sec = 1; sec <= 60; sec++) {
                for (uint32_t n = draw(12); n > 0; n--)
                        change(holder, &m);
                _cleanup_snapshot_ Snapshot s = take(holder, 1 + draw(20));
                /* The index may be ahead of what is answered from. */
                bool current = draw(2) == 0;
                if (!current)
                        change(holder, &m);
                for (size_t i = 0; i < ELEMENTSOF(readers); i++)
                        if (draw((uint32_t) i * 3 + 1) == 0)
                                pull(&readers[i], &s, &m, current, sec, &n_deltas);
        }
        assert_true(n_deltas > 20);
        for (size_t i = 0; i < ELEMENTSOF(readers); i++)
                rfc_index_free(readers[i].index);
}

static void test_readers_of_deltas_never_diverge(void **state) {
        (void) state;
        for (uint64_t n = 1; n <= 50; n++)
                walk(n);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_delta_tells_each_number_once_as_it_is_now),
                cmocka_unit_test(test_what_is_not_known_is_said_so),
                cmocka_unit_test(test_last_10000_changes_are_known_and_memory_is_bounded),
                cmocka_unit_test(test_delta_has_no_more_lines_than_an_answer_may),
                cmocka_unit_test(test_delta_edits_and_confirms_the_rest),
                cmocka_unit_test(test_bad_deltas_change_nothing),
                cmocka_unit_test(test_delta_over_the_bounds_is_too_large),
                cmocka_unit_test(test_delta_makes_nothing_whole_that_was_not),
                cmocka_unit_test(test_delta_without_room_is_not_whole),
                cmocka_unit_test(test_later_word_stands),
                cmocka_unit_test(test_wrong_copy_shows_and_a_full_answer_heals_it),
                cmocka_unit_test(test_readers_of_deltas_never_diverge),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
