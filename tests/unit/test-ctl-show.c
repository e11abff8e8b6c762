/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/text.h"
#include "ctl/show.h"
#include "ctl/table.h"

static const ShowStyle plain = { .header = true };

/* What a function writes to a FILE. */
typedef struct Written {
        FILE *f;
        char *text;
        size_t size;
} Written;

static FILE *written_open(Written *w) {
        w->f = open_memstream(&w->text, &w->size);
        assert_non_null(w->f);
        return w->f;
}

static void assert_written(Written *w, const char *expected) {
        fclose(w->f);
        assert_string_equal(w->text, expected);
        free(w->text);
}

static void test_sizes_are_short(_unused_ void **state) {
        static const struct {
                uint64_t bytes;
                const char *text;
        } table[] = {
                { 0, "0B" },
                { 118, "118B" },
                { 1023, "1023B" },
                { 1024, "1.0K" },
                { 1536, "1.5K" },
                { 210841, "205.8K" },
                { 1048575, "1023.9K" },
                { 1048576, "1.0M" },
                { 1258292, "1.1M" },
                { 1300000, "1.2M" },
                { UINT64_C(2) << 30, "2.0G" },
                { UINT64_C(5) << 40, "5.0T" },
                { UINT64_C(1) << 50, "1.0P" },
                { UINT64_MAX, "15.9E" },
        };

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                char text[SHOW_TEXT_SIZE];

                assert_string_equal(show_size(table[i].bytes, text), table[i].text);
        }
}

static void test_durations_have_a_fitting_unit(_unused_ void **state) {
        static const struct {
                usec_t usec;
                const char *text;
        } table[] = {
                { 0, "0us" },
                { 99, "99us" },
                { 412, "0.4ms" },
                { 9999, "9.9ms" },
                { 10000, "10ms" },
                { 41999, "41ms" },
                { 999999, "999ms" },
                { 1250000, "1.2s" },
                { 59999999, "59.9s" },
                { 60000000, "1min" },
                { 123000000, "2min 3s" },
        };

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                char text[SHOW_TEXT_SIZE];

                assert_string_equal(show_duration(table[i].usec, text), table[i].text);
        }
}

static void test_timespans_have_two_units(_unused_ void **state) {
        static const struct {
                usec_t usec;
                const char *text;
        } table[] = {
                { 0, "0s" },
                { 999999, "0s" },
                { 12 * USEC_PER_SEC, "12s" },
                { 60 * USEC_PER_SEC, "1min" },
                { 123 * USEC_PER_SEC, "2min 3s" },
                { 2 * USEC_PER_HOUR, "2h" },
                { 2 * USEC_PER_HOUR + 59 * USEC_PER_SEC, "2h" },
                { 108 * USEC_PER_MINUTE, "1h 48min" },
                { 76 * USEC_PER_HOUR, "3d 4h" },
                { 1000 * USEC_PER_DAY, "1000d" },
                { USEC_INFINITY, "213503982d 8h" },
        };

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                char text[SHOW_TEXT_SIZE];

                assert_string_equal(show_timespan(table[i].usec, text), table[i].text);
        }
}

static void test_digests_are_cut_in_the_middle(_unused_ void **state) {
        char text[SHOW_TEXT_SIZE];

        assert_string_equal(show_digest("5f1c00000000000000000000000000000000000000000000000000000000" "9a02",
                                        text), "5f1c…9a02");
        assert_string_equal(show_digest("5f1c", text), "-");
        assert_string_equal(show_digest(NULL, text), "-");
}

static void test_table_is_aligned(_unused_ void **state) {
        _cleanup_(table_free_p) Table *t = NULL;
        Written w;

        assert_int_equal(table_new(">ID ADDRESS >RTT SEEN", &t), 0);
        table_add_uint(t, 3);
        table_add(t, "192.0.2.17:65424");
        table_add(t, "0.4ms");
        table_add(t, "12s ago");
        table_add_uint(t, 1234);
        table_add(t, "é");
        table_add(t, NULL);
        table_add(t, "");
        assert_int_equal(table_print(t, written_open(&w), &plain), 0);
        assert_written(&w, "  ID ADDRESS            RTT SEEN\n"
                           "   3 192.0.2.17:65424 0.4ms 12s ago\n"
                           "1234 é                    - -\n");
}

static void test_wide_cells_of_a_cut_column_end_in_an_ellipsis(_unused_ void **state) {
        static const struct {
                unsigned n;
                const char *character, *shown;
        } table[] = {
                { 40, "a", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" },
                { 41, "a", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa…" },
                { 253, "a", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa…" },
                { 40, "é", "éééééééééééééééééééééééééééééééééééééééé" },
                { 41, "é", "ééééééééééééééééééééééééééééééééééééééé…" },
        };

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                _cleanup_(table_free_p) Table *t = NULL;
                char host[1024] = "", expected[2048];
                Written w;

                for (unsigned k = 0; k < table[i].n; k++)
                        strcat(host, table[i].character);
                assert_int_equal(table_new("~HOST STATE", &t), 0);
                table_add(t, host);
                table_add(t, host);
                assert_int_equal(table_print(t, written_open(&w), &plain), 0);
                (void) snprintf(expected, sizeof(expected), "HOST%*s STATE\n%s %s\n", TABLE_CUT_WIDTH - 4, "",
                                table[i].shown, host);
                assert_written(&w, expected);
        }
}

static Table *table_of_peers(void) {
        Table *t;

        assert_int_equal(table_new(">ID STATE TITLE", &t), 0);
        table_add_uint(t, 3);
        table_add_state(t, "active");
        table_add(t, "éééééééééééé");
        table_add_uint(t, 12);
        table_add_state(t, "quarantined");
        table_add(t, "x");
        table_add_uint(t, 13);
        table_add_state(t, "new");
        table_add_state(t, NULL);
        assert_int_equal(table_rows(t), 3);
        return t;
}

static void test_states_have_colours_where_there_are_any(_unused_ void **state) {
        static const ShowStyle coloured = { .colour = true, .header = true };
        _cleanup_(table_free_p) Table *t = table_of_peers();
        Written w;

        assert_int_equal(table_print(t, written_open(&w), &coloured), 0);
        assert_written(&w, "\x1b[0;4mID STATE       TITLE\x1b[0m\n"
                           " 3 \x1b[0;1;32mactive\x1b[0m      éééééééééééé\n"
                           "12 \x1b[0;1;31mquarantined\x1b[0m x\n"
                           "13 new         -\n");
        assert_int_equal(table_print(t, written_open(&w), &plain), 0);
        assert_written(&w, "ID STATE       TITLE\n"
                           " 3 active      éééééééééééé\n"
                           "12 quarantined x\n"
                           "13 new         -\n");
}

/* Titles that are not shown need no room. */
static void test_table_without_header(_unused_ void **state) {
        static const ShowStyle bare = {};
        _cleanup_(table_free_p) Table *t = NULL;
        Written w;

        assert_int_equal(table_new(">HOLDERS LOCAL TITLE", &t), 0);
        table_add_uint(t, 3);
        table_add(t, "no");
        table_add(t, "x");
        table_add_uint(t, 12);
        table_add(t, "yes");
        table_add(t, "y");
        assert_int_equal(table_print(t, written_open(&w), &bare), 0);
        assert_written(&w, " 3 no  x\n"
                           "12 yes y\n");
}

static void test_last_column_gives_way_on_a_narrow_terminal(_unused_ void **state) {
        static const struct {
                unsigned width;
                const char *title;
        } table[] = {
                { 0, "éééééééééééé" },          /* no terminal */
                { 27, "éééééééééééé" },         /* fits to the last column */
                { 26, "éééééééééé…" },
                { 25, "ééééééééé…" },
                { 24, "ééééééééé…" },           /* not narrower than that */
                { 1, "ééééééééé…" },
        };

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                const ShowStyle narrow = { .header = true, .width = table[i].width };
                _cleanup_(table_free_p) Table *t = table_of_peers();
                char expected[256];
                Written w;

                assert_int_equal(table_print(t, written_open(&w), &narrow), 0);
                (void) snprintf(expected, sizeof(expected), "ID STATE       TITLE\n 3 active      %s\n"
                                "12 quarantined x\n13 new         -\n", table[i].title);
                assert_written(&w, expected);
        }
}

static void test_one_is_no_plural(_unused_ void **state) {
        assert_string_equal(plural(0), "s");
        assert_string_equal(plural(1), "");
        assert_string_equal(plural(2), "s");
}

static void test_table_without_rows_is_its_legend(_unused_ void **state) {
        _cleanup_(table_free_p) Table *t = NULL;
        Written w;

        assert_int_equal(table_new(">RFC TITLE", &t), 0);
        assert_int_equal(table_print(t, written_open(&w), &plain), 0);
        assert_written(&w, "RFC TITLE\n");
}

static void test_large_table_keeps_its_rows(_unused_ void **state) {
        _cleanup_(table_free_p) Table *t = NULL;
        Written w;
        size_t n = 0;

        assert_int_equal(table_new(">RFC TITLE", &t), 0);
        for (unsigned i = 0; i < 10000; i++) {
                table_add_uint(t, i);
                table_add(t, "x");
        }
        assert_int_equal(table_print(t, written_open(&w), &plain), 0);
        fclose(w.f);
        for (const char *p = w.text; (p = strchr(p, '\n')); p++)
                n++;
        assert_int_equal(n, 10001);
        free(w.text);
}

/* Nothing that moves a cursor or sets a title comes out, whatever a peer called itself. */
static void test_nothing_controls_the_terminal(_unused_ void **state) {
        static const char evil[] = "a\x1b]0;x\x07\xc2\x9b" "2J\xe2\x80\xae\x7f\xff\n";
        _cleanup_(table_free_p) Table *t = NULL;
        json_t *value;
        Written w;

        assert_int_equal(table_new("A", &t), 0);
        table_add(t, evil);
        assert_int_equal(table_print(t, written_open(&w), &plain), 0);
        assert_written(&w, "A\na\\x1b]0;x\\x07\\u{009b}2J\\u{202e}\\x7f\\xff\\x0a\n");

        show_line(written_open(&w), "Store", "%s", evil);
        assert_written(&w, "        Store: a\\x1b]0;x\\x07\\u{009b}2J\\u{202e}\\x7f\\xff\\x0a\n");

        value = json_pack("{s:s}", "a", "\x1b\x7f\xc2\x9b\xe2\x80\xae");
        assert_int_equal(show_json(written_open(&w), value, SHOW_JSON_SHORT), 0);
        assert_written(&w, "{\"a\":\"\\u001B\\u007F\\u009B\\u202E\"}\n");
        json_decref(value);
}

static void test_labels_stand_in_a_column(_unused_ void **state) {
        Written w;

        written_open(&w);
        show_line(w.f, "Peer", "%d", 7);
        show_line(w.f, NULL, "more");
        show_line(w.f, "Listening", "x");
        assert_written(&w, "         Peer: 7\n"
                           "               more\n"
                           "    Listening: x\n");
}

static void test_json_is_short_or_pretty(_unused_ void **state) {
        json_t *value = json_pack("[{s:i, s:n}]", "number", 7230, "path");
        Written w;

        assert_int_equal(show_json(written_open(&w), value, SHOW_JSON_SHORT), 0);
        assert_written(&w, "[{\"number\":7230,\"path\":null}]\n");
        assert_int_equal(show_json(written_open(&w), value, SHOW_JSON_PRETTY), 0);
        assert_written(&w, "[\n        {\n                \"number\": 7230,\n                \"path\":"
                           " null\n        }\n]\n");
        json_decref(value);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_sizes_are_short),
                cmocka_unit_test(test_durations_have_a_fitting_unit),
                cmocka_unit_test(test_timespans_have_two_units),
                cmocka_unit_test(test_digests_are_cut_in_the_middle),
                cmocka_unit_test(test_table_is_aligned),
                cmocka_unit_test(test_wide_cells_of_a_cut_column_end_in_an_ellipsis),
                cmocka_unit_test(test_states_have_colours_where_there_are_any),
                cmocka_unit_test(test_table_without_header),
                cmocka_unit_test(test_last_column_gives_way_on_a_narrow_terminal),
                cmocka_unit_test(test_one_is_no_plural),
                cmocka_unit_test(test_table_without_rows_is_its_legend),
                cmocka_unit_test(test_large_table_keeps_its_rows),
                cmocka_unit_test(test_nothing_controls_the_terminal),
                cmocka_unit_test(test_labels_stand_in_a_column),
                cmocka_unit_test(test_json_is_short_or_pretty),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
