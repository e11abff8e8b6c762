/* SPDX-License-Identifier: BSD-2-Clause */
/* Every reader of RFC numbers, ranges and sets. */
#include "core/rfc-number.h"

#undef NDEBUG
#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_set(Slice s) {
        _cleanup_rfc_set_ RfcSet first = { 0 }, second = { 0 };
        _cleanup_buf_ Buf b = BUF_INIT(1 << 20);

        if (rfc_set_from_wire(s, &first) != 0)
                return;
        assert(first.n_ranges > 0 && first.n_ranges <= RFC_SET_RANGES_MAX);
        for (size_t i = 0; i < first.n_ranges; i++) {
                const RfcRange *range = &first.ranges[i];

                assert(range->first >= 1 && range->first <= range->last && range->last <= RFC_NUMBER_MAX);
                assert(i == 0 || first.ranges[i - 1].last + 1 < range->first);
                assert(rfc_set_contains(&first, range->first) && rfc_set_contains(&first, range->last));
                assert(!rfc_set_contains(&first, range->last + 1) && !rfc_set_contains(&first, range->first - 1));
        }
        assert(rfc_set_to_wire(&first, &b) == 0 && b.size <= s.size);
        assert(rfc_set_from_wire(buf_slice(&b), &second) == 0 && first.n_ranges == second.n_ranges);
        assert(memcmp(first.ranges, second.ranges, first.n_ranges * sizeof(RfcRange)) == 0);
}

static void check_alias(Slice s) {
        char text[RFC_ALIAS_TEXT_SIZE];
        RfcAlias alias, again;
        uint32_t number;

        if (rfc_alias_from_text(s, &alias) != 0)
                return;
        assert((size_t) alias.series < _RFC_SERIES_MAX && alias.number >= 1 && alias.number <= RFC_NUMBER_MAX);
        rfc_alias_to_text(alias, text);
        assert(rfc_alias_from_text(slice_of(text), &again) == 0 && alias.series == again.series && alias.number == again.number);
        assert(rfc_number_from_text(s, &number) != 0 && !rfc_number_is_word(s));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        const Slice s = { (const char *) data, size };
        char name[RFC_FILE_NAME_SIZE];
        uint32_t number, again;
        RfcRange range;

        if (rfc_number_from_wire(s, &number) == 0)
                assert(rfc_number_from_text(s, &again) == 0 && number == again);
        if (rfc_number_from_text(s, &number) == 0) {
                assert(rfc_range_from_text(s, &range) == 0 && range.first == number && range.last == number);
                rfc_number_to_file_name(number, name);
                assert(rfc_number_from_file_name(slice_of(name), &again) == 0 && number == again);
        }
        if (rfc_number_from_file_name(s, &number) == 0) {
                rfc_number_to_file_name(number, name);
                assert(slice_equal(s, slice_of(name)));
                assert(rfc_number_from_text(s, &again) == 0 && number == again);
        }
        if (rfc_range_from_text(s, &range) == 0)
                assert(range.first >= 1 && range.first <= range.last && range.last <= RFC_NUMBER_MAX);
        check_alias(s);
        check_set(s);
        return 0;
}
