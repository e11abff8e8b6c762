/* SPDX-License-Identifier: BSD-2-Clause */
/* Manifest: which lines of a SHA256SUMS file say something, and what. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/buf.h"
#include "core/manifest.h"
#include "core/text.h"

#define A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define B "BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB"

static Manifest *read_pieces(Slice text, size_t piece) {
        Manifest *m;

        assert_int_equal(manifest_new(&m), 0);
        for (size_t i = 0; i < text.size; i += piece)
                assert_int_equal(manifest_feed(m, (Slice){ text.data + i, MIN_OF(piece, text.size - i) }), 0);
        assert_int_equal(manifest_end(m), 0);
        return m;
}

static ManifestInfo info(const Manifest *m) {
        ManifestInfo i;
        manifest_get_info(m, &i);
        return i;
}

static void assert_digest(const Digest *d, uint8_t byte) {
        Digest expected;

        memset(&expected, byte, sizeof(expected));
        assert_non_null(d);
        assert_true(digest_equal(d, &expected));
}

static void test_files_in_another_directory(void **state) {
        static const struct {
                const char *line;
                bool elsewhere;
        } cases[] = {
                { A "  rfc1.txt", false },     { A "  ./rfc1.txt", false },       { A " *./rfc-index.txt", false },
                { A "  notes", false },        { A "  ../rfc1.txt", true },       { A "  /rfc1.txt", true },
                { A "  a/rfc1.txt", true },    { A " */etc/passwd", true },       { A "  ./../rfc1.txt", true },
                { A "  //rfc1.txt", true },    { A "  rfc1.txt/rfc1.txt", true }, { A "  ../rfc-index.txt", true },
                { "\\" A "  ..\\n/rfc1.txt", true },
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(manifest_free_p) Manifest *m = read_pieces(slice_of(cases[i].line), 7);

                assert_int_equal(info(m).n_bad, 0);
                assert_int_equal(info(m).n_elsewhere, cases[i].elsewhere);
                assert_int_equal(info(m).first_elsewhere, cases[i].elsewhere);
        }
}

static void test_lines_of_sha256sum(void **state) {
        (void) state;
        static const char text[] = A "  rfc7230.txt\n"          /* text */
                                   B " *rfc1.txt\n"             /* binary */
                                   A "  ./by/number/rfc2.txt\n"
                                   B "  /srv/../rfc3.txt\r\n"
                                   "\\" A "  odd\\nname/rfc4.txt\n"
                                   B "  rfc-index.txt\n"
                                   A "  rfc2147483647.txt";     /* no line end */

        for (size_t piece = 1; piece <= sizeof(text); piece++) {
                _cleanup_(manifest_free_p) Manifest *m = read_pieces(SLICE_LITERAL(text), piece);
                static const uint32_t numbers[] = { 1, 2, 3, 4, 7230, 2147483647 };
                uint32_t number = 0;

                assert_int_equal(info(m).n_named, 6);
                assert_int_equal(info(m).n_other, 0);
                assert_int_equal(info(m).n_bad, 0);
                assert_int_equal(info(m).n_torn, 0);
                assert_int_equal(info(m).n_elsewhere, 3);
                assert_int_equal(info(m).first_elsewhere, 3);
                assert_digest(manifest_get(m, 7230), 0xaa);
                assert_digest(manifest_get(m, 1), 0xbb);
                assert_digest(manifest_get(m, 2), 0xaa);
                assert_digest(manifest_get(m, 3), 0xbb);
                assert_digest(manifest_get(m, 4), 0xaa);
                assert_digest(manifest_get(m, 2147483647), 0xaa);
                assert_digest(manifest_editor_index(m), 0xbb);
                assert_null(manifest_get(m, 5));
                assert_null(manifest_get(m, 0));
                for (size_t i = 0; i < ELEMENTSOF(numbers); i++)
                        assert_int_equal(number = manifest_next(m, number), numbers[i]);
                assert_int_equal(manifest_next(m, number), 0);
        }
}

static void test_other_lines_are_passed_over(void **state) {
        (void) state;
        static const struct {
                const char *line;
                bool bad;
        } cases[] = {
                { "", false },
                { " \t", false },
                { "\r", false },
                { "# comment", false },
                { A "  README", false },
                { A "  rfc07.txt", false },             /* no name that the library has */
                { A "  RFC7.txt", false },
                { A "  rfc7.txt.gz", false },
                { A "  rfc7.pdf", false },
                { A "  rfc0.txt", false },
                { A "  rfc2147483648.txt", false },
                { A "  rfc7.txt/x", false },
                { A "  rfc7.txt/", false },
                { A "   rfc7.txt", false },             /* the name begins with a blank */
                { A "  xrfc7.txt", false },
                { A "  ", true },
                { A, true },
                { A " rfc7.txt", true },
                { A "\trfc7.txt", true },
                { A " +rfc7.txt", true },
                { "a" A "  rfc7.txt", true },
                { "g" A, true },
                { " " A "  rfc7.txt", true },
                { "\\", true },
                { "\\\\" A "  rfc7.txt", true },
                { "SHA256 (rfc7.txt) = " A, true },
                { "-----BEGIN PGP SIGNED MESSAGE-----", true },
                { "\xff\xfe", true },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_buf_ Buf b = BUF_INIT(1000);
                assert_int_equal(buf_printf(&b, A "  rfc1.txt\n%s\n" A "  rfc2.txt\n", cases[i].line), 0);
                _cleanup_(manifest_free_p) Manifest *m = read_pieces(buf_slice(&b), SIZE_MAX / 2);

                assert_int_equal(info(m).n_named, 2);
                assert_int_equal(info(m).n_other, cases[i].bad ? 0 : 1);
                assert_int_equal(info(m).n_bad, cases[i].bad ? 1 : 0);
                assert_int_equal(info(m).first_bad, cases[i].bad ? 2 : 0);
                assert_null(manifest_get(m, 7));
        }
}

static void test_nul_ends_no_name(void **state) {
        (void) state;
        _cleanup_(manifest_free_p) Manifest *m = read_pieces(SLICE_LITERAL(A "  rfc7.txt\0\n" A "  rfc\0008.txt\n"), 3);

        assert_int_equal(info(m).n_named, 0);
        assert_int_equal(info(m).n_other, 2);
}

static void test_two_digests_are_none(void **state) {
        (void) state;
        _cleanup_(manifest_free_p) Manifest *m = read_pieces(
                        SLICE_LITERAL(A "  rfc9.txt\n" A "  rfc8.txt\n" B "  rfc9.txt\n" A "  x/rfc9.txt\n" A "  x/rfc8.txt\n"
                                      B "  rfc12.txt\n" A "  rfc12.txt\n" A "  rfc-index.txt\n" B "  rfc-index.txt\n"), 7);

        assert_int_equal(info(m).n_named, 1);
        assert_int_equal(info(m).n_torn, 3);
        assert_int_equal(info(m).first_torn, 9);
        assert_digest(manifest_get(m, 8), 0xaa);
        assert_null(manifest_get(m, 9));
        assert_null(manifest_get(m, 12));
        assert_null(manifest_editor_index(m));
        assert_int_equal(manifest_next(m, 0), 8);
        assert_int_equal(manifest_next(m, 8), 0);
}

static void test_nothing_says_nothing(void **state) {
        (void) state;
        _cleanup_(manifest_free_p) Manifest *m = read_pieces(SLICE_LITERAL(""), 1);

        assert_int_equal(info(m).n_named, 0);
        assert_null(manifest_get(m, 1));
        assert_null(manifest_editor_index(m));
        assert_int_equal(manifest_next(m, 0), 0);
        assert_int_equal(manifest_next(m, UINT32_MAX), 0);
}

static void test_long_line_is_a_bad_one(void **state) {
        (void) state;
        _cleanup_buf_ Buf b = BUF_INIT(1 << 20);

        assert_int_equal(buf_append_string(&b, A "  "), 0);
        while (b.size < MANIFEST_LINE_MAX - 9)
                assert_int_equal(buf_append_char(&b, 'x'), 0);
        assert_int_equal(buf_append_string(&b, "/rfc1.txt\n"), 0);
        assert_int_equal(buf_append_string(&b, A "  "), 0);
        for (size_t i = 0; i < MANIFEST_LINE_MAX; i++)
                assert_int_equal(buf_append_char(&b, 'x'), 0);
        assert_int_equal(buf_append_string(&b, "/rfc2.txt\n" A "  rfc3.txt"), 0);
        for (size_t piece = 1; piece < 10000; piece *= 7) {
                _cleanup_(manifest_free_p) Manifest *m = read_pieces(buf_slice(&b), piece);
                assert_int_equal(info(m).n_named, 2);
                assert_null(manifest_get(m, 2));
                assert_int_equal(info(m).n_bad, 1);
                assert_int_equal(info(m).first_bad, 2);
        }
}

static void test_size_is_bounded(void **state) {
        (void) state;
        _cleanup_(manifest_free_p) Manifest *m = NULL;
        _cleanup_free_ char *zeros = calloc(1, 1 << 20);        /* one line without an end */
        const Slice piece = { zeros, 1 << 20 };

        assert_int_equal(manifest_new(&m), 0);
        for (unsigned i = 0; i < MANIFEST_BYTES_MAX >> 20; i++)
                assert_int_equal(manifest_feed(m, piece), 0);
        assert_int_equal(manifest_feed(m, (Slice){ zeros, 1 }), MANIFEST_TOO_LARGE);
        assert_int_equal(manifest_feed(m, (Slice){ zeros, 0 }), 0);
        assert_int_equal(manifest_end(m), 0);
        assert_int_equal(info(m).n_bad, 1);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_lines_of_sha256sum),
                cmocka_unit_test(test_files_in_another_directory),
                cmocka_unit_test(test_other_lines_are_passed_over),
                cmocka_unit_test(test_nul_ends_no_name),
                cmocka_unit_test(test_two_digests_are_none),
                cmocka_unit_test(test_nothing_says_nothing),
                cmocka_unit_test(test_long_line_is_a_bad_one),
                cmocka_unit_test(test_size_is_bounded),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
