/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/rfc-number.h"

#include <errno.h>
#include <stdio.h>

#include "core/text.h"

int rfc_number_from_wire(Slice s, uint32_t *ret) {
        uint32_t number;

        if (text_to_uint32(s, RFC_NUMBER_MAX, &number) != 0 || number == 0)
                return RFC_NUMBER_BAD;
        *ret = number;
        return 0;
}

static Slice slice_behind(Slice s, size_t n) {
        return (Slice){ s.data + n, s.size - n };
}

static const char *const series_words[_RFC_SERIES_MAX] = {
        [RFC_SERIES_BCP] = "BCP",
        [RFC_SERIES_FYI] = "FYI",
        [RFC_SERIES_STD] = "STD",
};

/* Takes word off s, what may stand between it and a number, and what may stand behind. false: s is as it was. */
static bool take_word(Slice *s, Slice word) {
        const Slice suffix = SLICE_LITERAL(".txt");
        Slice rest;

        if (s->size <= word.size || !slice_equal_nocase((Slice){ s->data, word.size }, word))
                return false;
        rest = slice_behind(*s, word.size);
        if (rest.data[0] != '\0' && strchr(" \t-_", rest.data[0]))
                rest = slice_behind(rest, 1);
        if (rest.size > suffix.size && slice_equal_nocase(slice_behind(rest, rest.size - suffix.size), suffix))
                rest.size -= suffix.size;
        *s = rest;
        return true;
}

static int padded_number(Slice s, uint32_t *ret) {
        while (s.size > 1 && s.data[0] == '0')
                s = slice_behind(s, 1);
        return rfc_number_from_wire(s, ret);
}

int rfc_number_from_text(Slice s, uint32_t *ret) {
        if (s.size > RFC_NUMBER_TEXT_MAX)
                return RFC_NUMBER_BAD;
        s = slice_trim(s);
        (void) take_word(&s, SLICE_LITERAL("RFC"));     /* or without */
        return padded_number(s, ret);
}

int rfc_alias_from_text(Slice s, RfcAlias *ret) {
        RfcAlias a = { .number = 0 };

        if (s.size > RFC_NUMBER_TEXT_MAX)
                return RFC_NUMBER_BAD;
        s = slice_trim(s);
        for (; a.series < _RFC_SERIES_MAX; a.series++)
                if (take_word(&s, slice_of(series_words[a.series])))
                        break;
        if (a.series == _RFC_SERIES_MAX || padded_number(s, &a.number) != 0)
                return RFC_NUMBER_BAD;
        *ret = a;
        return 0;
}

void rfc_alias_to_text(RfcAlias a, char ret[RFC_ALIAS_TEXT_SIZE]) {
        assert(a.series < _RFC_SERIES_MAX && a.number >= 1 && a.number <= RFC_NUMBER_MAX);
        (void) snprintf(ret, RFC_ALIAS_TEXT_SIZE, "%s %u", series_words[a.series], (unsigned) a.number);
}

bool rfc_number_is_word(Slice s) {
        if (slice_equal_nocase(s, SLICE_LITERAL("RFC")))
                return true;
        for (size_t i = 0; i < _RFC_SERIES_MAX; i++)
                if (slice_equal_nocase(s, slice_of(series_words[i])))
                        return true;
        return false;
}

int rfc_range_from_text(Slice s, RfcRange *ret) {
        RfcRange range;

        /* Each '-' costs as much as stands before it: a megabyte of zeros and '-' would take a minute. */
        if (s.size > 2 * RFC_NUMBER_TEXT_MAX + 1)
                return RFC_NUMBER_BAD;
        if (rfc_number_from_text(s, &range.first) == 0) {
                *ret = (RfcRange){ range.first, range.first };
                return 0;
        }

        /* "rfc-1-rfc-2": a '-' may also stand between word and number, so each one is tried; one at most fits. */
        for (size_t i = 1; i + 1 < s.size; i++)
                if (s.data[i] == '-' && rfc_number_from_text((Slice){ s.data, i }, &range.first) == 0) {
                        if (rfc_number_from_text(slice_behind(s, i + 1), &range.last) != 0 || range.first > range.last)
                                return RFC_NUMBER_BAD;
                        *ret = range;
                        return 0;
                }
        return RFC_NUMBER_BAD;
}

int rfc_number_from_file_name(Slice s, uint32_t *ret) {
        const size_t before = sizeof("rfc") - 1, behind = sizeof(".txt") - 1;

        if (s.size <= before + behind || memcmp(s.data, "rfc", before) != 0 ||
            memcmp(s.data + s.size - behind, ".txt", behind) != 0)
                return RFC_NUMBER_BAD;
        return rfc_number_from_wire((Slice){ s.data + before, s.size - before - behind }, ret);
}

void rfc_number_to_file_name(uint32_t number, char ret[RFC_FILE_NAME_SIZE]) {
        assert(number >= 1 && number <= RFC_NUMBER_MAX);
        (void) snprintf(ret, RFC_FILE_NAME_SIZE, "rfc%u.txt", (unsigned) number);
}

/* How many ranges end so early that `number` neither lies in them nor touches their end. */
static size_t ranges_before(const RfcSet *s, uint32_t number) {
        size_t low = 0, high = s->n_ranges;

        while (low < high) {
                size_t middle = low + (high - low) / 2;

                if (s->ranges[middle].last + 1 < number)
                        low = middle + 1;
                else
                        high = middle;
        }
        return low;
}

int rfc_set_add(RfcSet *s, RfcRange range) {
        size_t at, end;

        assert(range.first >= 1 && range.first <= range.last && range.last <= RFC_NUMBER_MAX);

        at = ranges_before(s, range.first);
        for (end = at; end < s->n_ranges && s->ranges[end].first <= range.last + 1; end++) {
                range.first = MIN_OF(range.first, s->ranges[end].first);
                range.last = MAX_OF(range.last, s->ranges[end].last);
        }

        if (end == at) {
                RfcRange *ranges;

                if (s->n_ranges >= RFC_SET_RANGES_MAX)
                        return RFC_NUMBER_BAD;
                ranges = reallocarray(s->ranges, s->n_ranges + 1, sizeof(*ranges));
                if (!ranges)
                        return -ENOMEM;
                s->ranges = ranges;
        }
        memmove(s->ranges + at + 1, s->ranges + end, (s->n_ranges - end) * sizeof(*s->ranges));
        s->n_ranges = s->n_ranges - (end - at) + 1;
        s->ranges[at] = range;
        return 0;
}

static int range_from_wire(Slice s, RfcRange *ret) {
        Slice first, last = s;
        RfcRange range;

        if (!slice_split(&last, '-', &first) || rfc_number_from_wire(first, &range.first) != 0)
                return RFC_NUMBER_BAD;
        range.last = range.first;
        if (last.data && (rfc_number_from_wire(last, &range.last) != 0 || range.first > range.last))
                return RFC_NUMBER_BAD;
        *ret = range;
        return 0;
}

int rfc_set_from_wire(Slice s, RfcSet *ret) {
        _cleanup_rfc_set_ RfcSet set = { 0 };
        Slice item;
        RfcRange range;
        int r;

        if (s.size == 0)
                return RFC_NUMBER_BAD;
        while (slice_split(&s, ',', &item)) {
                if (range_from_wire(item, &range) != 0)
                        return RFC_NUMBER_BAD;
                r = rfc_set_add(&set, range);
                if (r != 0)
                        return r;
        }
        *ret = set;
        set = (RfcSet){ 0 };
        return 0;
}

int rfc_set_to_wire(const RfcSet *s, Buf *b) {
        const size_t start = b->size;

        for (size_t i = 0; i < s->n_ranges; i++) {
                const RfcRange *range = &s->ranges[i];
                int r = i > 0 ? buf_append_char(b, ',') : 0;

                if (r == 0)
                        r = buf_append_decimal(b, range->first);
                if (r == 0 && range->last > range->first)
                        r = buf_printf(b, "-%u", (unsigned) range->last);
                if (r != 0) {
                        buf_truncate(b, start);
                        return r;
                }
        }
        return 0;
}

bool rfc_set_contains(const RfcSet *s, uint32_t number) {
        size_t low = 0, high = s->n_ranges;

        while (low < high) {
                size_t middle = low + (high - low) / 2;

                if (number < s->ranges[middle].first)
                        high = middle;
                else if (number > s->ranges[middle].last)
                        low = middle + 1;
                else
                        return true;
        }
        return false;
}

void rfc_set_done(RfcSet *s) {
        free(s->ranges);
        *s = (RfcSet){ 0 };
}
