/* SPDX-License-Identifier: BSD-2-Clause */
/* Which rfc-index.txt is taken, of those that peers say they hold: tables of who says what, and what comes of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "core/editor-index.h"

#define TODAY 20670
static const Now now = { .boottime = 1000 * USEC_PER_SEC, .realtime = TODAY * USEC_PER_DAY + USEC_PER_HOUR };

static Digest digest_of(char c) {
        Digest d;
        memset(d.bytes, c, sizeof(d.bytes));
        return d;
}

/* "192.0.2.1 A 20670": that peer says that it holds text A of that day. */
static void say(EditorIndex *e, const char *peer, char text, uint32_t day) {
        EditorStatement s = { .digest = digest_of(text), .size = 1000, .created = day, .until = now.boottime + 1 };
        assert_int_equal(address_from_text(slice_of(peer), &s.peer.address), 0);
        s.peer.port = 65424;
        (void) editor_index_state(e, &s);
}

typedef struct Said {
        const char *peer;
        char text;
        uint32_t day;
} Said;

typedef struct Case {
        const char *what;
        Said said[6];
        char held;                      /* 0: nothing */
        uint32_t held_day;
        bool own;
        unsigned quorum;
        Grade accept;
        char manifest;
        char taken;                     /* 0: none */
        Grade grade;
} Case;

#define A1 "192.0.2.1"
#define A2 "192.0.2.2"
#define A3 "192.0.2.3"
#define V6 "2001:db8::1"
#define V6B "2001:db8::2"

static const Case cases[] = {
        { .what = "nobody says anything" },
        { .what = "one", .said = { { A1, 'A', TODAY } }, .taken = 'A', .grade = GRADE_SINGLE },
        { .what = "two agree", .said = { { A1, 'A', TODAY }, { A2, 'A', TODAY } }, .taken = 'A', .grade = GRADE_AGREED },
        { .what = "two of one /64", .said = { { V6, 'A', TODAY }, { V6B, 'A', TODAY } }, .taken = 'A', .grade = GRADE_SINGLE },
        { .what = "the newest", .said = { { A1, 'A', TODAY - 2 }, { A2, 'B', TODAY }, { A3, 'C', TODAY - 1 } },
          .taken = 'B', .grade = GRADE_SINGLE },
        { .what = "two of one day", .said = { { A1, 'A', TODAY }, { A2, 'B', TODAY } } },
        { .what = "two of one day, and an older one", .said = { { A1, 'A', TODAY }, { A2, 'B', TODAY }, { A3, 'C', TODAY - 1 } },
          .taken = 'C', .grade = GRADE_SINGLE },
        { .what = "two of one day, one agreed", .said = { { A1, 'A', TODAY }, { A2, 'B', TODAY }, { A3, 'B', TODAY } },
          .taken = 'B', .grade = GRADE_AGREED },
        { .what = "a tie of two quorums",
          .said = { { A1, 'A', TODAY }, { A2, 'A', TODAY }, { A3, 'B', TODAY }, { V6, 'B', TODAY } } },
        { .what = "a bigger quorum", .said = { { A1, 'A', TODAY }, { A2, 'A', TODAY } }, .quorum = 3, .taken = 'A',
          .grade = GRADE_SINGLE },
        { .what = "only agreed ones", .said = { { A1, 'A', TODAY } }, .accept = GRADE_AGREED },
        { .what = "only agreed ones, an older one is", .accept = GRADE_AGREED,
          .said = { { A1, 'A', TODAY }, { A2, 'B', TODAY - 9 }, { A3, 'B', TODAY - 9 } }, .taken = 'B', .grade = GRADE_AGREED },
        { .what = "never disputed ones", .accept = GRADE_DISPUTED, .said = { { A1, 'A', TODAY }, { A2, 'B', TODAY } } },
        { .what = "tomorrow", .said = { { A1, 'A', TODAY + 1 } }, .taken = 'A', .grade = GRADE_SINGLE },
        { .what = "the day after tomorrow", .said = { { A1, 'A', TODAY + 2 }, { A2, 'B', TODAY - 5 } }, .taken = 'B',
          .grade = GRADE_SINGLE },
        { .what = "without a day", .said = { { A1, 'A', 0 } } },
        { .what = "what is held", .said = { { A1, 'A', TODAY } }, .held = 'A', .held_day = TODAY },
        { .what = "an older one than is held", .said = { { A1, 'B', TODAY - 1 } }, .held = 'A', .held_day = TODAY },
        { .what = "a newer one than is held", .said = { { A1, 'B', TODAY } }, .held = 'A', .held_day = TODAY - 1, .taken = 'B',
          .grade = GRADE_SINGLE },
        { .what = "another one of the day", .said = { { A1, 'B', TODAY } }, .held = 'A', .held_day = TODAY },
        { .what = "an agreed one of the day", .said = { { A1, 'B', TODAY }, { A2, 'B', TODAY } }, .held = 'A',
          .held_day = TODAY, .taken = 'B', .grade = GRADE_AGREED },
        { .what = "the administrator's own", .said = { { A1, 'B', TODAY }, { A2, 'B', TODAY } }, .held = 'A',
          .held_day = TODAY - 100, .own = true },
        { .what = "the manifest's", .said = { { A1, 'A', TODAY }, { A2, 'A', TODAY }, { A3, 'B', TODAY - 50 } }, .manifest = 'B',
          .taken = 'B', .grade = GRADE_VERIFIED },
        { .what = "the manifest's, in place of a newer one", .said = { { A3, 'B', TODAY - 50 } }, .manifest = 'B', .held = 'A',
          .held_day = TODAY, .taken = 'B', .grade = GRADE_VERIFIED },
        { .what = "the manifest's is held by nobody", .said = { { A1, 'A', TODAY }, { A2, 'A', TODAY } }, .manifest = 'B' },
        { .what = "another day of the same text", .said = { { A1, 'A', TODAY + 400 }, { A2, 'A', TODAY } }, .taken = 'A',
          .grade = GRADE_SINGLE },
};

static void check(const Case *c) {
        const EditorConf conf = {
                .quorum = c->quorum ? c->quorum : 2,
                .accept = c->accept,
                .has_manifest = c->manifest,
                .manifest = digest_of(c->manifest),
        };
        const EditorHeld held = { .own = c->own, .has = c->held, .digest = digest_of(c->held), .created = c->held_day };
        _cleanup_(editor_index_free_p) EditorIndex *e = NULL;
        EditorChoice choice = { .n_holders = 0 };

        assert_int_equal(editor_index_new(&e), 0);
        for (size_t i = 0; i < ELEMENTSOF(c->said) && c->said[i].peer; i++)
                say(e, c->said[i].peer, c->said[i].text, c->said[i].day);
        EditorAnswer a = editor_index_choose(e, &conf, &held, &now, &choice);
        if (a != (c->taken ? EDITOR_TAKE : EDITOR_NONE))
                fail_msg("%s: %s", c->what, a == EDITOR_TAKE ? "one is taken" : "none is taken");
        if (a != EDITOR_TAKE)
                return;
        const Digest expected = digest_of(c->taken);
        if (!digest_equal(&choice.digest, &expected) || choice.grade != c->grade || choice.n_holders == 0)
                fail_msg("%s: %c, %s", c->what, choice.digest.bytes[0], grade_name(choice.grade));
}

static void test_who_says_what_decides(void **state) {
        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                check(&cases[i]);
}

static void test_what_is_refused_is_not_chosen_again(void **state) {
        const EditorConf conf = { .quorum = 2 };
        const EditorHeld held = { .has = false };
        const Digest a = digest_of('A'), b = digest_of('B');
        _cleanup_(editor_index_free_p) EditorIndex *e = NULL;
        EditorChoice choice;
        (void) state;

        assert_int_equal(editor_index_new(&e), 0);
        say(e, A1, 'A', TODAY);
        say(e, A2, 'B', TODAY - 1);
        editor_index_refuse(e, &a);
        assert_int_equal(editor_index_choose(e, &conf, &held, &now, &choice), EDITOR_TAKE);
        assert_true(digest_equal(&choice.digest, &b));
        editor_index_refuse(e, &b);
        assert_int_equal(editor_index_choose(e, &conf, &held, &now, &choice), EDITOR_NONE);
}

static void test_a_word_is_good_for_a_while(void **state) {
        const EditorConf conf = { .quorum = 2 };
        const EditorHeld held = { .has = false };
        const Now later = { .boottime = now.boottime + 1, .realtime = now.realtime };
        _cleanup_(editor_index_free_p) EditorIndex *e = NULL;
        EditorChoice choice;
        (void) state;

        assert_int_equal(editor_index_new(&e), 0);
        say(e, A1, 'A', TODAY);
        assert_int_equal(editor_index_choose(e, &conf, &held, &later, &choice), EDITOR_NONE);
}

static void test_a_false_day_is_corrected(void **state) {
        const EditorConf conf = { .quorum = 2 };
        const EditorHeld held = { .has = false };
        const Digest a = digest_of('A');
        _cleanup_(editor_index_free_p) EditorIndex *e = NULL;
        EditorChoice choice;
        uint32_t day;
        (void) state;

        assert_int_equal(editor_index_new(&e), 0);
        say(e, A1, 'A', TODAY);
        say(e, A2, 'A', TODAY - 5);
        assert_int_equal(editor_index_choose(e, &conf, &held, &now, &choice), EDITOR_TAKE);
        assert_int_equal(choice.created, TODAY);
        editor_index_correct(e, &a, TODAY - 5);
        assert_int_equal(editor_index_choose(e, &conf, &held, &now, &choice), EDITOR_TAKE);
        assert_int_equal(choice.created, TODAY - 5);
        assert_int_equal(choice.n_holders, 2);
        assert_true(editor_index_said(e, &choice.holders[0], &a, &day));
        assert_int_equal(day, TODAY - 5);
}

static void test_entries_and_size_are_judged(void **state) {
        static const struct {
                size_t held, n;
                uint64_t size;
                Grade grade;
                EditorAnswer answer;
        } table[] = {
                { 1000, 1000, 1, GRADE_SINGLE, EDITOR_TAKE },   { 1000, 950, 1, GRADE_AGREED, EDITOR_TAKE },
                { 1000, 949, 1, GRADE_AGREED, EDITOR_LOSES },   { 1000, 949, 1, GRADE_VERIFIED, EDITOR_TAKE },
                { 1000, 0, 1, GRADE_SINGLE, EDITOR_TAKE },      { 10, 9, 1, GRADE_SINGLE, EDITOR_LOSES },
                { 10, 10, RFC_META_BYTES_MAX, GRADE_SINGLE, EDITOR_TAKE },
                { 10, 10, RFC_META_BYTES_MAX + UINT64_C(1), GRADE_VERIFIED, EDITOR_TOO_BIG },
                { 10, 10, UINT64_MAX, GRADE_SINGLE, EDITOR_TOO_BIG },
        };
        const EditorConf conf = { .quorum = 2 };
        const Digest d = digest_of('B');
        (void) state;

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                const EditorHeld held = { .has = true, .digest = digest_of('A'), .created = 1, .n_entries = table[i].held };
                EditorAnswer a = editor_index_judge(&conf, &held, &d, table[i].size, TODAY, table[i].n, table[i].grade, &now);
                if (a != table[i].answer)
                        fail_msg("%zu: %s", i, editor_answer_text(a));
        }
        for (EditorAnswer a = 0; a < _EDITOR_ANSWER_MAX; a++)
                assert_non_null(editor_answer_text(a));
}

static void test_memory_is_bounded_and_the_newest_word_stays(void **state) {
        const EditorConf conf = { .quorum = 2 };
        const EditorHeld held = { .has = false };
        _cleanup_(editor_index_free_p) EditorIndex *e = NULL;
        EditorStatement s = { .size = 1, .created = TODAY, .until = USEC_INFINITY };
        EditorChoice choice;
        uint32_t day;
        (void) state;

        assert_int_equal(editor_index_new(&e), 0);
        s.digest = digest_of('A');
        for (uint32_t i = 1; i <= 2 * EDITOR_STATEMENTS_MAX; i++) {
                char text[32];
                (void) snprintf(text, sizeof(text), "10.0.%u.%u", i / 256, i % 256);
                assert_int_equal(address_from_text(slice_of(text), &s.peer.address), 0);
                assert_true(editor_index_state(e, &s));
                assert_false(editor_index_state(e, &s));
        }
        assert_true(editor_index_said(e, &s.peer, &s.digest, &day));
        assert_int_equal(address_from_text(SLICE_LITERAL("10.0.0.1"), &s.peer.address), 0);
        assert_false(editor_index_said(e, &s.peer, &s.digest, &day));
        for (char c = 'a'; c < 'z'; c++)
                for (unsigned i = 0; i < 9; i++) {
                        Digest d = digest_of(c);
                        d.bytes[0] = (uint8_t) i;
                        editor_index_refuse(e, &d);
                }
        assert_int_equal(editor_index_choose(e, &conf, &held, &now, &choice), EDITOR_TAKE);
        assert_int_equal(choice.n_holders, EDITOR_HOLDERS_MAX);
        assert_int_equal(choice.grade, GRADE_AGREED);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_who_says_what_decides),
                cmocka_unit_test(test_what_is_refused_is_not_chosen_again),
                cmocka_unit_test(test_a_word_is_good_for_a_while),
                cmocka_unit_test(test_a_false_day_is_corrected),
                cmocka_unit_test(test_entries_and_size_are_judged),
                cmocka_unit_test(test_memory_is_bounded_and_the_newest_word_stays),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
