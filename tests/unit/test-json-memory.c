/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>

#include "core/buf.h"
#include "io/json-memory.h"

/* Linked with --wrap=malloc: what json-memory.c calls is this. Calls from that one on fail, n_failing of them. */
static size_t n_calls, failing_from, n_failing;

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_malloc(size_t size) {
        n_calls++;
        return n_calls >= failing_from && n_calls - failing_from < n_failing ? NULL : __real_malloc(size);
}

/* The same piece again and again, between these. */
static void repeat(Buf *b, const char *before, const char *piece, size_t n, const char *after) {
        assert_int_equal(buf_append_string(b, before), 0);
        for (size_t i = 0; i < n; i++)
                assert_int_equal(buf_append_string(b, piece), 0);
        assert_int_equal(buf_append_string(b, after), 0);
}

/* Each call for memory fails once, alone and with all that follow; then none does. */
static void fails_at_each(Slice text) {
        const unsigned before = json_memory_failures();
        json_t *json = NULL;
        int r;

        for (size_t n = 1;; n++) {
                n_calls = 0;
                failing_from = n;
                n_failing = 1;
                r = json_memory_parse(text, &json);
                if (n_calls < n)
                        break;
                assert_int_equal(r, -ENOMEM);
                n_calls = 0;
                n_failing = SIZE_MAX;
                assert_int_equal(json_memory_parse(text, &json), -ENOMEM);
                assert_null(json);
        }
        assert_int_equal(r, 0);
        assert_non_null(json);
        assert_true(json_memory_failures() > before);
        json_decref(json);
}

static void test_no_memory_is_told_wherever_it_was_lacking(void **state) {
        static const struct {
                const char *before, *piece;
                size_t n;
                const char *after;
        } table[] = {
                { "{\"method\":\"", "x", 100, "\",\"parameters\":{\"number\":1,\"ratio\":1.5}}" },
                { "[\"", "\\u20ac", 70, "\"]" },
                { "{\"", "k", 300, "\":null}" },
                { "[", "{},", 50, "0]" },
                { "[", "[],", 50, "0]" },
                { "[", "0,", 50, "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"]" },
                { "", "[", 30, "0]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]" },
                { "{\"a\":{},\"b\":{},\"c\":{},\"d\":{},\"e\":{},\"f\":{},\"g\":{},\"h\":{}", ",\"z\":0", 1, "}" },
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                _cleanup_buf_ Buf b = BUF_INIT(4096);

                repeat(&b, table[i].before, table[i].piece, table[i].n, table[i].after);
                fails_at_each(buf_slice(&b));
        }
}

/* All but the reserve fails. */
static void lasts(const char *before, const char *piece, const char *after) {
        _cleanup_buf_ Buf b = BUF_INIT(1 << 20);
        json_t *json;

        repeat(&b, before, piece, 20000, after);
        n_calls = 0;
        failing_from = 2;
        n_failing = SIZE_MAX;
        assert_int_equal(json_memory_parse(buf_slice(&b), &json), -ENOMEM);
}

/* What is set aside is enough for whatever a message may be. */
static void test_the_reserve_lasts(void **state) {
        static const char *const elements[] = {
                "{},", "[],", "0,", "1.5,", "true,", "\"\",", "\"aaaaaaaaaaaaaaa\",", "\"\\u0001\",", "[[[[]]]],", "{\"\":{}},",
                "{\"a\":[]},", "{\"a\":1,\"b\":2,\"c\":3},",
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(elements); i++)
                lasts("[", elements[i], "0]");
        lasts("\"", "text of a string ", "\"");
        lasts("[\"", "\\u20ac", "\"]");
        lasts("{\"", "key", "\":0}");
}

static void test_what_is_no_json(void **state) {
        static const char *const table[] = { "", "{", "{\"a\":1,\"a\":2}", "\"", "[1,]", "{\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"" };
        json_t *json;

        (void) state;
        failing_from = SIZE_MAX;
        for (size_t i = 0; i < ELEMENTSOF(table); i++)
                assert_int_equal(json_memory_parse((Slice){ table[i], strlen(table[i]) }, &json), JSON_MEMORY_BAD);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_no_memory_is_told_wherever_it_was_lacking),
                cmocka_unit_test(test_the_reserve_lasts),
                cmocka_unit_test(test_what_is_no_json),
        };

        json_memory_watch();
        return cmocka_run_group_tests(tests, NULL, NULL);
}
