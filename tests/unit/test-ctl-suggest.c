/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ctl/suggest.h"

static const char *nearest(const char *word) {
        static const char *const names[] = { "get",     "read",  "cat",  "list",          "search", "status",
                                             "refresh", "peers", "join", "registrations", "log-level" };
        Suggest s;

        suggest_begin(&s, word);
        for (size_t i = 0; i < ELEMENTSOF(names); i++)
                suggest_consider(&s, names[i]);
        return s.best;
}

static void test_what_was_mistyped_is_found(_unused_ void **state) {
        static const struct {
                const char *word, *name;
        } table[] = {
                { "serach", "search" },         /* swapped */
                { "saerhc", "search" },         /* twice */
                { "staus", "status" },          /* left out */
                { "statuss", "status" },        /* put in */
                { "stetas", "status" },         /* replaced */
                { "gte", "get" },
                { "gett", "get" },
                { "gat", "get" },               /* also cat: the first stays */
                { "reg", "registrations" },     /* begun */
                { "re", "read" },
                { "registration", "registrations" },
                { "loglevel", "log-level" },
                { "peer", "peers" },
                { "lsit", "list" },
        };

        for (size_t i = 0; i < ELEMENTSOF(table); i++)
                assert_string_equal(nearest(table[i].word), table[i].name);
}

static void test_what_is_like_nothing_is_left_alone(_unused_ void **state) {
        static const char *const table[] = {
                "", "x", "g", "foo", "gxx", "zzzzzz", "sxaxux", "sear ch x", "LIST",
                "registrationsregistrationsregistrations", "\xff\xff\xff\xff\xff\xff",
        };

        for (size_t i = 0; i < ELEMENTSOF(table); i++)
                assert_null(nearest(table[i]));
}

/* The steps are counted both ways alike, also for the longest words. */
static void test_longest_words(_unused_ void **state) {
        static const char word[] = "abcdefghijklmnopqrstuvwx", near[] = "abcdefghijklmnopqrstuvxw";
        Suggest s;

        _Static_assert(sizeof(word) - 1 == SUGGEST_WORD_MAX, "the longest");
        suggest_begin(&s, word);
        suggest_consider(&s, near);
        assert_ptr_equal(s.best, near);
        assert_int_equal(s.distance, 1);
        suggest_begin(&s, near);
        suggest_consider(&s, word);
        assert_ptr_equal(s.best, word);
        assert_int_equal(s.distance, 1);
        suggest_begin(&s, "abcdefghijklmnopqrstuvwxy");
        suggest_consider(&s, word);
        assert_null(s.best);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_what_was_mistyped_is_found),
                cmocka_unit_test(test_what_is_like_nothing_is_left_alone),
                cmocka_unit_test(test_longest_words),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
