/* SPDX-License-Identifier: BSD-2-Clause */
/* A manifest, at once and byte by byte: the same numbers with the same digests, ascending, and each line counted. */
#include "core/manifest.h"

#undef NDEBUG
#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static Manifest *read_pieces(Slice text, size_t piece) {
        Manifest *m;

        assert(manifest_new(&m) == 0);
        for (size_t i = 0; i < text.size; i += piece)
                assert(manifest_feed(m, (Slice){ text.data + i, MIN_OF(piece, text.size - i) }) == 0);
        assert(manifest_end(m) == 0);
        return m;
}

static size_t count_lines(Slice text) {
        size_t n = 0;

        for (size_t i = 0; i < text.size; i++)
                n += text.data[i] == '\n' || i + 1 == text.size;
        return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        Slice text = { (const char *) data, size };
        _cleanup_(manifest_free_p) Manifest *whole = read_pieces(text, SIZE_MAX / 2), *bytes = read_pieces(text, 1);
        size_t n_lines = count_lines(text), n = 0;
        ManifestInfo a, b;

        manifest_get_info(whole, &a);
        manifest_get_info(bytes, &b);
        assert(a.n_named == b.n_named && a.n_other == b.n_other && a.n_bad == b.n_bad && a.n_torn == b.n_torn);
        assert(a.first_bad == b.first_bad && a.first_torn == b.first_torn);
        assert(a.n_named + a.n_other + a.n_bad + a.n_torn <= n_lines);
        assert((a.n_bad > 0) == (a.first_bad > 0) && a.first_bad <= n_lines);
        for (uint32_t number = 0; (number = manifest_next(whole, number)) != 0; n++) {
                assert(digest_equal(manifest_get(whole, number), manifest_get(bytes, number)));
                assert(number != a.first_torn);
        }
        assert(n == a.n_named);
        assert(!manifest_get(whole, a.first_torn));
        return 0;
}
