/* SPDX-License-Identifier: BSD-2-Clause */
/* An rfc-index.txt, at once and byte by byte: the same entries, all of them valid. */
#include "core/proto.h"
#include "core/rfc-meta.h"
#include "core/text.h"

#undef NDEBUG
#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static RfcMeta *read_pieces(Slice text, size_t piece) {
        RfcMeta *m;
        assert(rfc_meta_new(&m) == 0);
        for (size_t i = 0; i < text.size; i += piece)
                assert(rfc_meta_feed(m, (Slice){ text.data + i, MIN_OF(piece, text.size - i) }) == 0);
        int r = rfc_meta_end(m);
        assert(r == (rfc_meta_count(m) > 0 ? 0 : RFC_META_NONE));
        return m;
}

static void check_text(Slice a, Slice b, size_t max) {
        assert(slice_equal(a, b));
        assert(a.size <= max && text_is_utf8(a) && !text_has_control(a));
}

static void check_entry(const RfcMetaInfo *a, const RfcMetaInfo *b) {
        assert(a->issued == b->issued && a->issued == (a->title.size > 0));
        check_text(a->title, b->title, PROTO_TITLE_MAX);
        check_text(a->authors, b->authors, PROTO_TITLE_MAX);
        check_text(a->date, b->date, UINT8_MAX);
        check_text(a->status, b->status, UINT8_MAX);
        for (size_t i = 0; i < _RFC_RELATION_MAX; i++) {
                assert(a->n_related[i] == b->n_related[i] && a->n_related[i] <= RFC_META_RELATED_MAX);
                for (size_t k = 0; k < a->n_related[i]; k++) {
                        assert(a->related[i][k] == b->related[i][k]);
                        assert(a->related[i][k] >= 1 && a->related[i][k] <= INT32_MAX);
                }
        }
}

static void check_number(const RfcMeta *whole, const RfcMeta *bytes, uint32_t n) {
        RfcMetaInfo a, b;
        Slice title;
        bool there = rfc_meta_get(whole, n, &a);

        assert(there == rfc_meta_get(bytes, n, &b));
        assert((rfc_meta_standing(whole, n) != RFC_UNKNOWN) == there);
        if (!there)
                return;
        assert(n > 0);
        check_entry(&a, &b);
        assert(rfc_meta_title(whole, n, &title) == a.issued);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        Slice text = { (const char *) data, size }, line;
        _cleanup_(rfc_meta_free_p) RfcMeta *whole = read_pieces(text, SIZE_MAX / 2), *bytes = read_pieces(text, 1);

        assert(rfc_meta_count(whole) == rfc_meta_count(bytes));
        /* Entries begin with their number. To ask for all that there could be took 500 times as long as reading. */
        while (slice_split(&text, '\n', &line)) {
                uint32_t n = 0;

                for (size_t i = 0; i < line.size && line.data[i] >= '0' && line.data[i] <= '9' && n < UINT32_MAX / 10; i++)
                        n = n * 10 + (uint32_t) (line.data[i] - '0');
                check_number(whole, bytes, n);
        }
        check_number(whole, bytes, UINT32_MAX);
        return 0;
}
