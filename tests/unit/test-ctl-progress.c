/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "ctl/progress.h"

#define OUT_MAX 65536
#define BEGUN (1000 * USEC_PER_SEC)
#define HOLDER "192.0.2.17:65424"
#define UP(n) "\r\x1b[" #n "A"
#define LINE(text) text "\x1b[K\n"

static const uint32_t numbers[] = { 7230, 9110, 5 };

static void assert_drawn(Progress *p, usec_t after, unsigned width, unsigned height, const char *expected) {
        _cleanup_buf_ Buf out = BUF_INIT(OUT_MAX);

        assert_int_equal(progress_draw(p, BEGUN + after, width, height, &out), 0);
        assert_int_equal(buf_append_char(&out, '\0'), 0);
        assert_string_equal(out.data, expected);
}

static void assert_erased(Progress *p, const char *expected) {
        _cleanup_buf_ Buf out = BUF_INIT(OUT_MAX);

        assert_int_equal(progress_erase(p, &out), 0);
        assert_int_equal(buf_append_char(&out, '\0'), 0);
        assert_string_equal(out.data, expected);
}

static void begin(Progress *p, size_t n) {
        assert_int_equal(progress_init(p, numbers, n, BEGUN), 0);
}

static void test_what_is_quick_shows_nothing(_unused_ void **state) {
        _cleanup_(progress_done) Progress p = {};

        begin(&p, 1);
        progress_update(&p, 0, PROGRESS_SEARCHING, 0, 0, NULL, BEGUN);
        assert_drawn(&p, 0, 80, 24, "");
        assert_drawn(&p, PROGRESS_DELAY - 1, 80, 24, "");
        assert_erased(&p, "");
        assert_drawn(&p, PROGRESS_DELAY, 80, 24, LINE("RFC 7230 being searched for"));
        assert_erased(&p, UP(1) "\x1b[J");
        assert_erased(&p, "");
}

static void test_one_document(_unused_ void **state) {
        _cleanup_(progress_done) Progress p = {};

        begin(&p, 1);
        progress_update(&p, 0, PROGRESS_FETCHING, 102400, 0, HOLDER, BEGUN);
        assert_drawn(&p, USEC_PER_SEC, 80, 24,
                     LINE("RFC 7230   0% [>           ] 0B/100.0K -/s                     " HOLDER));
        progress_update(&p, 0, PROGRESS_FETCHING, 102400, 51200, HOLDER, BEGUN + 2 * USEC_PER_SEC);
        /* 25 KiB a second. */
        assert_drawn(&p, 2 * USEC_PER_SEC, 80, 24,
                     UP(1) LINE("RFC 7230  50% [======>     ] 50.0K/100.0K 25.0K/s 3s left      " HOLDER));
        progress_update(&p, 0, PROGRESS_FETCHING, 102400, 102400, HOLDER, BEGUN + 4 * USEC_PER_SEC);
        assert_drawn(&p, 4 * USEC_PER_SEC, 80, 24,
                     UP(1) LINE("RFC 7230 100% [============] 100.0K/100.0K 25.0K/s 1s left     " HOLDER));
        progress_update(&p, 0, PROGRESS_DONE, 102400, 102400, HOLDER, BEGUN + 4 * USEC_PER_SEC);
        assert_drawn(&p, 4 * USEC_PER_SEC, 80, 24, UP(1) "\x1b[J");
        assert_drawn(&p, 4 * USEC_PER_SEC, 80, 24, "");
}

static void test_sum_of_many_is_one_line(_unused_ void **state) {
        _cleanup_(progress_done) Progress p = {};
        ProgressSum sum = { .doing = "asking peers what they hold", .left = USEC_INFINITY };

        begin(&p, 0);
        progress_set_sum(&p, &sum);
        assert_drawn(&p, PROGRESS_DELAY - 1, 80, 24, "");
        assert_drawn(&p, PROGRESS_DELAY, 80, 24, LINE("asking peers what they hold"));
        assert_drawn(&p, PROGRESS_DELAY, 13, 24, UP(1) LINE("asking peers"));

        sum = (ProgressSum){ .n_done = 3, .n = 2000, .received = 1 << 20, .size = 4 << 20, .left = USEC_INFINITY };
        progress_set_sum(&p, &sum);
        assert_drawn(&p, PROGRESS_DELAY, 80, 24,
                     UP(1) LINE("3 of 2000 RFCs [=======>                    ] 1.0M/4.0M -/s"));
        sum.rate = 1 << 20;
        sum.left = 3 * USEC_PER_SEC;
        progress_set_sum(&p, &sum);
        assert_drawn(&p, PROGRESS_DELAY, 80, 24,
                     UP(1) LINE("3 of 2000 RFCs [=======>                    ] 1.0M/4.0M 1.0M/s 4s left"));
        assert_drawn(&p, PROGRESS_DELAY, 40, 24, UP(1) LINE("3 of 2000 RFCs 1.0M/4.0M 1.0M/s 4s left"));
        sum.received = sum.size;
        progress_set_sum(&p, &sum);
        assert_drawn(&p, PROGRESS_DELAY, 30, 24, UP(1) LINE("3 of 2000 RFCs 4.0M/4.0M 1.0M"));
        assert_erased(&p, UP(1) "\x1b[J");
}

/* Nothing fills the last column, at any width; the numbers give way last. */
static void test_any_width(_unused_ void **state) {
        static const struct {
                unsigned width;
                const char *line;
        } table[] = {
                { 1, LINE("R") },
                { 2, LINE("R") },
                { 14, LINE("RFC 7230  50%") },
                { 48, LINE("RFC 7230  50% 50.0K/100.0K 25.0K/s 3s left") },
                { 60, LINE("RFC 7230  50% [===>   ] 50.0K/100.0K 25.0K/s 3s left") },
                { 72, LINE("RFC 7230  50% [===>   ] 50.0K/100.0K 25.0K/s 3s left      192.0.2.17:65") },
                { 120, LINE("RFC 7230  50% [====================>                   ] 50.0K/100.0K 25.0K/s 3s left      "
                            HOLDER) },
                { 1000000, LINE("RFC 7230  50% [====================>                   ] 50.0K/100.0K 25.0K/s 3s left"
                                "      " HOLDER) },
        };

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                _cleanup_(progress_done) Progress p = {};

                begin(&p, 1);
                progress_update(&p, 0, PROGRESS_FETCHING, 102400, 0, HOLDER, BEGUN);
                progress_update(&p, 0, PROGRESS_FETCHING, 102400, 51200, HOLDER, BEGUN + 2 * USEC_PER_SEC);
                assert_drawn(&p, 2 * USEC_PER_SEC, table[i].width, 24, table[i].line);
        }
        for (unsigned width = 0; width < 300; width++) {
                _cleanup_(progress_done) Progress p = {};
                _cleanup_buf_ Buf out = BUF_INIT(OUT_MAX);

                begin(&p, 3);
                for (size_t i = 0; i < 3; i++) {
                        progress_update(&p, i, PROGRESS_FETCHING, UINT64_MAX / 4, i, "[2001:db8:1111:2222:3333:4444:5555:6666]:65424",
                                        BEGUN);
                        progress_update(&p, i, PROGRESS_FETCHING, UINT64_MAX / 4, UINT64_MAX / 5,
                                        "[2001:db8:1111:2222:3333:4444:5555:6666]:65424", BEGUN + USEC_PER_SEC);
                }
                assert_int_equal(progress_draw(&p, BEGUN + USEC_PER_SEC, width, 24, &out), 0);
                for (Slice rest = buf_slice(&out); rest.size > 0;) {
                        const char *end = memmem(rest.data, rest.size, "\x1b[K\n", 4);

                        assert_non_null(end);
                        assert_true((size_t) (end - rest.data) <= MAX_OF(width, 2u) - 1);
                        rest.size -= (size_t) (end + 4 - rest.data);
                        rest.data = end + 4;
                }
        }
}

static void test_several_documents_and_their_sum(_unused_ void **state) {
        _cleanup_(progress_done) Progress p = {};

        begin(&p, 3);
        for (size_t i = 0; i < 3; i++)
                progress_update(&p, i, PROGRESS_SEARCHING, 0, 0, NULL, BEGUN);
        assert_drawn(&p, USEC_PER_SEC, 60, 24,
                     LINE("RFC 7230 being searched for") LINE("RFC 9110 being searched for")
                     LINE("RFC 5 being searched for") LINE("0 of 3 done, 0B -/s"));
        progress_update(&p, 1, PROGRESS_FETCHING, 10240, 1024, HOLDER, BEGUN + USEC_PER_SEC);
        progress_update(&p, 2, PROGRESS_DONE, 0, 0, NULL, BEGUN + USEC_PER_SEC);
        /* What moves stands first; how long all takes nobody knows yet. */
        assert_drawn(&p, 2 * USEC_PER_SEC, 60, 24,
                     UP(4) LINE("RFC 9110  10% [>      ] 1.0K/10.0K -/s")
                     LINE("RFC 7230 being searched for") LINE("1 of 3 done, 1.0K 1.0K/s") "\x1b[J");
        progress_update(&p, 0, PROGRESS_FETCHING, 1024, 0, HOLDER, BEGUN + 3 * USEC_PER_SEC);
        assert_drawn(&p, 3 * USEC_PER_SEC, 60, 24,
                     UP(3) LINE("RFC 7230   0% [>      ] 0B/1.0K -/s")
                     LINE("RFC 9110  10% [>      ] 1.0K/10.0K -/s")
                     LINE("1 of 3 done, 1.0K/11.0K -/s"));
        progress_update(&p, 0, PROGRESS_DONE, 1024, 1024, HOLDER, BEGUN + 3 * USEC_PER_SEC);
        progress_update(&p, 1, PROGRESS_DONE, 10240, 10240, HOLDER, BEGUN + 3 * USEC_PER_SEC);
        assert_drawn(&p, 3 * USEC_PER_SEC, 60, 24, UP(3) "\x1b[J");
}

static void test_never_more_lines_than_the_terminal_has(_unused_ void **state) {
        for (unsigned height = 0; height < 8; height++) {
                _cleanup_(progress_done) Progress p = {};
                _cleanup_buf_ Buf out = BUF_INIT(OUT_MAX);

                begin(&p, 3);
                for (size_t i = 0; i < 3; i++)
                        progress_update(&p, i, i == 1 ? PROGRESS_FETCHING : PROGRESS_SEARCHING, 100, 1, HOLDER, BEGUN);
                assert_int_equal(progress_draw(&p, BEGUN + USEC_PER_SEC, 80, height, &out), 0);
                assert_int_equal(p.n_drawn, height <= 2 ? 1 : MIN_OF(height - 1, 4u));
                /* Of those that fit the one that moves. */
                assert_memory_equal(out.data, "RFC 9110", 8);
        }
}

/* What stands still shows that within two seconds. */
static void test_rate_is_that_of_now(_unused_ void **state) {
        _cleanup_(progress_done) Progress p = {};

        begin(&p, 1);
        progress_update(&p, 0, PROGRESS_FETCHING, 10240, 0, NULL, BEGUN);
        for (unsigned i = 1; i <= 50; i++)
                progress_update(&p, 0, PROGRESS_FETCHING, 10240, i * 102, NULL, BEGUN + i * USEC_PER_SEC / 10);
        assert_drawn(&p, 5 * USEC_PER_SEC, 60, 24,
                     LINE("RFC 7230  49% [====>    ] 4.9K/10.0K 1020B/s 6s left"));
        for (unsigned i = 51; i <= 90; i++)
                progress_update(&p, 0, PROGRESS_FETCHING, 10240, 5100, NULL, BEGUN + i * USEC_PER_SEC / 10);
        assert_drawn(&p, 9 * USEC_PER_SEC, 60, 24, UP(1) LINE("RFC 7230  49% [====>    ] 4.9K/10.0K -/s"));
        /* The next holder begins anew. */
        progress_update(&p, 0, PROGRESS_FETCHING, 10240, 0, NULL, BEGUN + 9 * USEC_PER_SEC);
        progress_update(&p, 0, PROGRESS_FETCHING, 10240, 1024, NULL, BEGUN + 10 * USEC_PER_SEC);
        assert_drawn(&p, 10 * USEC_PER_SEC, 60, 24,
                     UP(1) LINE("RFC 7230  10% [>        ] 1.0K/10.0K 1.0K/s 10s left"));
}

static void test_odd_news(_unused_ void **state) {
        _cleanup_(progress_done) Progress p = {};

        begin(&p, 1);
        /* More than all of it, of nothing, and from somebody who is none. */
        progress_update(&p, 0, PROGRESS_FETCHING, 100, 1000, "\x1b[2J", BEGUN);
        assert_drawn(&p, USEC_PER_SEC, 60, 24, LINE("RFC 7230 100% [=========] 100B/100B -/s"));
        progress_update(&p, 0, PROGRESS_FETCHING, 0, UINT64_MAX, "", BEGUN);
        assert_drawn(&p, USEC_PER_SEC, 60, 24, UP(1) LINE("RFC 7230   0% [>        ] 0B/0B -/s"));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_what_is_quick_shows_nothing),
                cmocka_unit_test(test_one_document),
                cmocka_unit_test(test_sum_of_many_is_one_line),
                cmocka_unit_test(test_any_width),
                cmocka_unit_test(test_several_documents_and_their_sum),
                cmocka_unit_test(test_never_more_lines_than_the_terminal_has),
                cmocka_unit_test(test_rate_is_that_of_now),
                cmocka_unit_test(test_odd_news),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
