/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/search.h"

static const struct {
        const char *text;
        const char *words[4];           /* up to the first NULL */
        bool matches;
} CASES[] = {
        { "HTTP Semantics", { "http" }, true },
        { "HTTP Semantics", { "HTTP" }, true },
        { "HTTP Semantics", { "sEMANTICs" }, true },
        { "HTTP Semantics", { "semantics", "http" }, true },
        { "HTTP Semantics", { "http", "caching" }, false },
        { "HTTP Semantics", { "http", "http", "p s" }, true },
        { "HTTP Semantics", { "http semantics" }, true },
        { "HTTP Semantics", { "semantics http" }, false },
        { "HTTP Semantics", { "HTTP Semantics" }, true },
        { "HTTP Semantics", { "HTTP Semantics " }, false },
        { "HTTP Semantics", { "manti" }, true },
        { "HTTP Semantics", {}, true },
        { "aab", { "ab" }, true },
        { "aaab", { "aab" }, true },
        { "ab", { "abc" }, false },
        { "[tcp] `x`", { "{tcp}" }, false },
        { "[TCP] @x", { "[tcp] @X" }, true },
        { "Caf\xc3\xa9s", { "caf\xc3\xa9" }, true },
        { "CAF\xc3\x89S", { "caf\xc3\xa9" }, false },
        { "A\xff", { "\xff" }, true },
        { "", { "a" }, false },
        { "", {}, true },
};

static void test_all_words_are_looked_for(void **state) {
        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(CASES); i++) {
                Search s;
                search_init(&s);
                for (size_t k = 0; k < ELEMENTSOF(CASES[i].words) && CASES[i].words[k]; k++)
                        assert_int_equal(search_add(&s, slice_of(CASES[i].words[k])), 0);
                /* Exactly that many bytes, so that a sanitizer sees one too many. */
                size_t size = strlen(CASES[i].text);
                _cleanup_free_ char *copy = malloc(size + (size == 0));
                assert_non_null(copy);
                memcpy(copy, CASES[i].text, size);
                if (search_matches(&s, (Slice){ copy, size }) != CASES[i].matches)
                        fail_msg("case %zu: '%s' in '%s'", i, CASES[i].words[0], CASES[i].text);
        }
}

static void test_words_are_bounded(void **state) {
        (void) state;
        char text[SEARCH_WORD_SIZE_MAX + 1];
        Search s;

        memset(text, 'X', sizeof(text));
        search_init(&s);
        assert_int_equal(search_add(&s, SLICE_LITERAL("")), SEARCH_BAD_WORD);
        assert_int_equal(search_add(&s, SLICE_LITERAL(" \t ")), SEARCH_BAD_WORD);
        assert_int_equal(search_add(&s, (Slice){ text, sizeof(text) }), SEARCH_BAD_WORD);
        assert_int_equal(s.n_words, 0);
        assert_int_equal(search_add(&s, (Slice){ text, sizeof(text) - 1 }), 0);
        assert_true(search_matches(&s, (Slice){ text, sizeof(text) }));
        assert_false(search_matches(&s, (Slice){ text, sizeof(text) - 2 }));
        for (size_t i = 1; i < SEARCH_WORDS_MAX; i++)
                assert_int_equal(search_add(&s, SLICE_LITERAL("x")), 0);
        assert_int_equal(search_add(&s, SLICE_LITERAL("x")), SEARCH_TOO_MANY);
        assert_true(search_matches(&s, (Slice){ text, sizeof(text) }));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_all_words_are_looked_for),
                cmocka_unit_test(test_words_are_bounded),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
