/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <openssl/evp.h>
#include <stdio.h>

#include "core/page.h"

static const PageHead empty = { .kind = PAGE_TABLE, .host = SLICE_LITERAL("alpha") };

static bool contains(const Buf *b, const char *text) {
        return memmem(b->data, b->size, text, strlen(text));
}

static size_t count(const Buf *b, const char *text) {
        const char *at = b->data, *end = b->data + b->size;
        size_t n = 0;

        while ((at = memmem(at, (size_t) (end - at), text, strlen(text)))) {
                n++;
                at += strlen(text);
        }
        return n;
}

static void make(Buf *b, const PageHead *h, const PageRow *rows, size_t n) {
        assert_int_equal(page_begin(b, h), 0);
        for (size_t i = 0; i < n; i++)
                assert_int_equal(page_add(b, h, &rows[i]), 0);
        assert_int_equal(page_end(b, h, 0), 0);
}

static void test_titles_are_text_and_nothing_else(void **state) {
        static const struct {
                const char *title, *shown;
        } table[] = {
                { "plain", "<td>plain</td>" },
                { "<script>alert(1)</script>", "<td>&lt;script&gt;alert(1)&lt;/script&gt;</td>" },
                { "</td><td onclick=\"a\" b='c'>",
                  "<td>&lt;/td&gt;&lt;td onclick=&quot;a&quot; b=&#39;c&#39;&gt;</td>" },
                { "&lt;&amp;", "<td>&amp;lt;&amp;amp;</td>" },
                { "<!-- ]]> -->", "<td>&lt;!-- ]]&gt; --&gt;</td>" },
                { "back\\slash", "<td>back\\slash</td>" },
                { "\xc3\xa4\xe2\x80\x9c\xf0\x9f\x98\x80", "<td>\xc3\xa4\xe2\x80\x9c\xf0\x9f\x98\x80</td>" },
                /* turned, hidden, or no UTF-8 */
                { "a\xe2\x80\xae" "b", "<td>a\xef\xbf\xbd" "b</td>" },
                { "a\xc2\x9b" "b\xef\xbb\xbf", "<td>a\xef\xbf\xbd" "b\xef\xbf\xbd</td>" },
                { "a\xff\xc3", "<td>a\xef\xbf\xbd\xef\xbf\xbd</td>" },
                { "a\x1b[2J\x7f", "<td>a\xef\xbf\xbd[2J\xef\xbf\xbd</td>" },
                { "", "<td></td>" },
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                PageHead h = { .kind = PAGE_TABLE, .host = slice_of(table[i].title), .n = 1 };
                const PageRow row = { .number = 7230, .title = slice_of(table[i].title), .size = 1 };
                _cleanup_buf_ Buf b = BUF_INIT(PAGE_SIZE_MAX), list = BUF_INIT(PAGE_SIZE_MAX);
                char shown[200];

                make(&b, &h, &row, 1);
                assert_true(contains(&b, table[i].shown));
                /* So is the name of the host, and so are those of a list. */
                (void) snprintf(shown, sizeof(shown), "<h1>RFCs at %.*s</h1>", (int) strlen(table[i].shown) - 9,
                                table[i].shown + 4);
                assert_true(contains(&b, shown));
                h.kind = PAGE_LIST;
                make(&list, &h, &row, 1);
                (void) snprintf(shown, sizeof(shown), "<li><a href=\"rfc7230.txt\">rfc7230.txt</a> %.*s</li>",
                                (int) strlen(table[i].shown) - 9, table[i].shown + 4);
                assert_true(contains(&list, shown));
                assert_false(contains(&b, "<script") || contains(&list, "<script"));
        }
}

static void test_what_is_obsolete_says_what_to_read(void **state) {
        static const PageLink one[] = { { 9110, true } }, two[] = { { 9110, true }, { 9112, false } };
        const PageRow rows[] = {
                { .number = 1, .title = SLICE_LITERAL("a"), .standing = RFC_CURRENT },
                { .number = 2, .title = SLICE_LITERAL("b"), .standing = RFC_OBSOLETE, .by = one, .n_by = 1 },
                { .number = 3, .title = SLICE_LITERAL("c"), .standing = RFC_OBSOLETE, .by = two, .n_by = 2 },
                { .number = 4, .title = SLICE_LITERAL("d"), .standing = RFC_OBSOLETE },
                { .number = 5, .title = SLICE_LITERAL("e"), .standing = RFC_UNKNOWN },
                { .number = 6, .title = SLICE_LITERAL("f"), .standing = RFC_NEVER_ISSUED },
        };
        static const char *const shown[] = {
                "<tr><th scope=\"row\"><a href=\"/rfc/rfc1.txt\">1</a></th><td>a</td><td>0 B</td><td>no</td></tr>\n",
                "<tr class=\"o\"><th scope=\"row\"><a href=\"/rfc/rfc2.txt\">2</a></th><td>b</td><td>0 B</td><td>yes",
                "<td>b</td><td>0 B</td><td>yes, see <a href=\"/rfc/rfc9110.txt\">9110</a></td></tr>\n",
                "<td>yes, see <a href=\"/rfc/rfc9110.txt\">9110</a>, 9112</td></tr>\n",
                "<td>d</td><td>0 B</td><td>yes</td></tr>\n",
                "<td>e</td><td>0 B</td><td>unknown</td></tr>\n",
                "<td>f</td><td>0 B</td><td>unknown</td></tr>\n",
        };
        PageHead h = { .kind = PAGE_TABLE, .host = SLICE_LITERAL("alpha"), .n = ELEMENTSOF(rows), .has_index = true };
        _cleanup_buf_ Buf b = BUF_INIT(PAGE_SIZE_MAX), without = BUF_INIT(PAGE_SIZE_MAX);

        (void) state;
        make(&b, &h, rows, ELEMENTSOF(rows));
        for (size_t i = 0; i < ELEMENTSOF(shown); i++)
                assert_true(contains(&b, shown[i]));
        assert_true(contains(&b, ">Obsolete</th>") && contains(&b, "href=\"/rfc-index.txt\""));

        /* Nobody knows without the editor's index: then there is no such column. */
        h.has_index = false;
        make(&without, &h, rows, ELEMENTSOF(rows));
        assert_false(contains(&without, ">Obsolete</th>") || contains(&without, "yes") ||
                     contains(&without, "href=\"/rfc-index.txt\"") || contains(&without, "class="));
        assert_true(contains(&without, "holds no rfc-index.txt"));
        assert_int_equal(count(&without, "<td>"), 2 * ELEMENTSOF(rows));
}

static void test_head_says_whose_page_it_is_and_how_much_there_is(void **state) {
        static const struct {
                size_t n;
                uint64_t bytes;
                const char *shown;
        } table[] = {
                { 0, 0, "holds 0 RFCs, 0 B in all." },
                { 1, 1023, "holds 1 RFC, 1023 B in all." },
                { 2, 1024, "holds 2 RFCs, 1 KiB in all." },
                { 2, 1024 + 512, "holds 2 RFCs, 2 KiB in all." },
                { 2, 514000, "holds 2 RFCs, 502 KiB in all." },
                { 2, 1 << 20, "holds 2 RFCs, 1.0 MiB in all." },
                { 9830, 555555555, "holds 9830 RFCs, 529.8 MiB in all." },
                { 2, UINT64_MAX, "holds 2 RFCs, 15.9 EiB in all." },
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                const PageHead h = { PAGE_TABLE, SLICE_LITERAL("alpha"), table[i].n, table[i].bytes, false };
                _cleanup_buf_ Buf b = BUF_INIT(PAGE_SIZE_MAX);

                make(&b, &h, NULL, 0);
                assert_true(contains(&b, table[i].shown));
                assert_true(contains(&b, "<title>RFCs at alpha</title>") && contains(&b, "<html lang=\"en\">"));
                /* A table of nothing is none. */
                assert_int_equal(contains(&b, "<table>"), table[i].n > 0);
                assert_int_equal(count(&b, "</table>"), count(&b, "<table>"));
        }
}

/* The policy lets the browser use that style and no other. */
static void test_policy_allows_the_style_of_the_page(void **state) {
        _cleanup_buf_ Buf b = BUF_INIT(PAGE_SIZE_MAX), list = BUF_INIT(PAGE_SIZE_MAX);
        unsigned char hash[32], base64[45];
        const char *begin, *end;
        char expected[80];
        PageHead h = empty;

        (void) state;
        make(&b, &h, NULL, 0);
        begin = memmem(b.data, b.size, "<style>", 7);
        end = memmem(b.data, b.size, "</style>", 8);
        assert_true(begin && end);
        assert_int_equal(EVP_Digest(begin + 7, (size_t) (end - begin - 7), hash, NULL, EVP_sha256(), NULL), 1);
        assert_int_equal(EVP_EncodeBlock(base64, hash, sizeof(hash)), 44);
        (void) snprintf(expected, sizeof(expected), "; style-src 'sha256-%s';", base64);
        assert_non_null(strstr(page_policy, expected));
        assert_int_equal(strncmp(page_policy, "default-src 'none'; ", 20), 0);
        /* Nothing else needs an allowance. */
        h.kind = PAGE_LIST;
        make(&list, &h, NULL, 0);
        assert_false(contains(&b, "style=") || contains(&b, "<script") || contains(&b, "<img") ||
                     contains(&b, "<link") || contains(&list, "style"));
}

static void test_page_has_an_end_and_says_what_is_missing(void **state) {
        static char title[1024];
        const PageHead h = { PAGE_TABLE, SLICE_LITERAL("alpha"), 1000, 1, false };
        const PageRow row = { .number = 5, .title = { title, sizeof(title) } };

        (void) state;
        memset(title, '&', sizeof(title));
        for (size_t max = 0; max < 40000; max += 997) {
                _cleanup_buf_ Buf b = BUF_INIT(max);
                size_t n = 0;
                int r;

                r = page_begin(&b, &h);
                if (r != 0) {
                        assert_int_equal(r, BUF_FULL);
                        continue;
                }
                while ((r = page_add(&b, &h, &row)) == 0)
                        n++;
                assert_int_equal(r, BUF_FULL);
                assert_int_equal(count(&b, "<tr>"), n + 1);
                if (n == 0)
                        continue;
                assert_int_equal(page_end(&b, &h, 1000 - n), 0);
                assert_true(contains(&b, " more are left out") && b.size <= max);
                assert_memory_equal(b.data + b.size - 8, "</html>\n", 8);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_titles_are_text_and_nothing_else),
                cmocka_unit_test(test_what_is_obsolete_says_what_to_read),
                cmocka_unit_test(test_head_says_whose_page_it_is_and_how_much_there_is),
                cmocka_unit_test(test_policy_allows_the_style_of_the_page),
                cmocka_unit_test(test_page_has_an_end_and_says_what_is_missing),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
