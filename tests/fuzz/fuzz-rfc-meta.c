/* SPDX-License-Identifier: BSD-2-Clause */
/* An rfc-index.txt, at once and byte by byte: the same entries, all of them valid. */
#include "core/follow.h"
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
        assert(a->has_text == b->has_text && (a->issued || !a->has_text));
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

static void check_follow(const RfcMeta *m, uint32_t n) {
        Follow f;

        follow_current(m, n, &f);
        assert(f.n <= FOLLOW_NODES_MAX);
        for (size_t i = 0; i < f.n; i++) {
                assert(i == 0 || f.current[i - 1] < f.current[i]);
                assert(rfc_meta_standing(m, f.current[i]) != RFC_OBSOLETE);
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
        check_follow(whole, n);
}

/* The RFCs that an alias of a word like "BCP14" has: ascending, issued. */
static void check_aliases(const RfcMeta *whole, const RfcMeta *bytes, Slice text) {
        uint32_t a[16], b[16];
        RfcAlias alias;
        Slice word;

        for (unsigned i = 0; i < 64 && slice_split(&text, '(', &word) && slice_split(&text, ')', &word); i++) {
                if (!slice_starts_with(word, "Also ") ||
                    rfc_alias_from_text((Slice){ word.data + 5, word.size - 5 }, &alias) != 0)
                        continue;
                size_t n = rfc_meta_alias(whole, alias, a, ELEMENTSOF(a));
                assert(rfc_meta_alias(bytes, alias, b, ELEMENTSOF(b)) == n);
                for (size_t k = 0; k < MIN_OF(n, ELEMENTSOF(a)); k++) {
                        RfcStanding standing = rfc_meta_standing(whole, a[k]);
                        assert(a[k] == b[k] && (k == 0 || a[k - 1] < a[k]));
                        assert(standing == RFC_CURRENT || standing == RFC_OBSOLETE);
                }
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        Slice text = { (const char *) data, size }, line;
        _cleanup_(rfc_meta_free_p) RfcMeta *whole = read_pieces(text, SIZE_MAX / 2), *bytes = read_pieces(text, 1);

        assert(rfc_meta_count(whole) == rfc_meta_count(bytes));
        assert(rfc_meta_created(whole) == rfc_meta_created(bytes));
        check_aliases(whole, bytes, text);
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
