/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Anything, as a number, hex digits, and lines; and on its way to where people see it: a terminal or a log, which obey nothing of it; a log of
 * heads, which keeps their secrets; a page, of which it can't become a part.
 */
#include <stdio.h>

#include "core/page.h"
#include "core/text.h"
#include "io/log-text.h"

#undef NDEBUG
#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* "\\x00" for each byte. */
#define ESCAPED_GROWTH 4
#define PAGE_MAX ((size_t) 64 << 10)

/* Whole characters, none of which does anything but be seen. */
static void check_shown(Slice s) {
        uint32_t c;
        size_t n;

        for (; s.size > 0; s = (Slice){ s.data + n, s.size - n }) {
                n = text_next_character(s, &c);
                assert(n > 0 && !text_is_unfit(c));
        }
}

/* Takes off the line feed that ends each line of a log. */
static Slice take_end(Slice s) {
        assert(s.size > 0 && s.data[s.size - 1] == '\n');
        return (Slice){ s.data, s.size - 1 };
}

static bool is_hex(char c) {
        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* What text_escape() wrote says what it was written from; where it is not cut. */
static void check_escape(Slice s) {
        _cleanup_buf_ Buf all = BUF_INIT(ESCAPED_GROWTH * s.size), cut = BUF_INIT(UINT8_MAX);
        size_t at = 0;

        assert(buf_reserve(&all, ESCAPED_GROWTH * s.size) == 0 && text_escape(&all, s, SIZE_MAX) == 0);
        check_shown(buf_slice(&all));
        for (size_t i = 0; i < all.size; i++, at++) {
                uint32_t c;

                assert(at < s.size);
                if (all.data[i] != '\\') {
                        assert(all.data[i] == s.data[at]);
                        continue;
                }
                i++;
                assert(i < all.size && strchr("\\xu", all.data[i]));
                if (all.data[i] == '\\')
                        assert(s.data[at] == '\\');
                else if (all.data[i] == 'x') {
                        assert(i + 2 < all.size && is_hex(all.data[i + 1]) && is_hex(all.data[i + 2]));
                        assert(strtoul((char[]){ all.data[i + 1], all.data[i + 2], '\0' }, NULL, 16) == (uint8_t) s.data[at]);
                        i += 2;
                } else {
                        const size_t n = text_next_character((Slice){ s.data + at, s.size - at }, &c);
                        char *end;

                        assert(n > 0 && text_is_unfit(c) && i + 1 < all.size && all.data[i + 1] == '{');
                        /* There is a brace at its end, so it ends before the buffer does. */
                        assert(memchr(all.data + i, '}', all.size - i) && strtoul(all.data + i + 2, &end, 16) == c && *end == '}');
                        i = (size_t) (end - all.data);
                        at += n - 1;
                }
        }
        assert(at == s.size);

        const size_t max = s.size > 0 ? (uint8_t) s.data[0] : 0;

        assert(text_escape(&cut, s, max) == 0 && cut.size <= max);
        check_shown(buf_slice(&cut));
        assert(all.size > max || slice_equal(buf_slice(&all), buf_slice(&cut)));
}

/* What is read as a number or as hex digits is written as it was. */
static void check_numbers(Slice s) {
        char decimal[TEXT_DECIMAL_MAX], hex[2 * UINT8_MAX + 1];
        uint8_t bytes[UINT8_MAX];
        uint64_t number;

        if (text_to_uint64(s, UINT64_MAX, &number) == 0)
                assert(slice_equal(s, (Slice){ decimal, (size_t) (text_put_decimal(decimal, number) - decimal) }));
        if (s.size / 2 <= sizeof(bytes) && text_from_hex(s, bytes, s.size / 2) == 0) {
                text_to_hex(bytes, s.size / 2, hex);
                assert(slice_equal_nocase(s, slice_of(hex)));
        }
}

/* Lines, taken byte by byte into a small buffer, are those that the whole text has. */
static void check_lines(Slice s) {
        _cleanup_(text_line_done) TextLine line = TEXT_LINE_INIT(8);
        Slice rest = s, whole;

        for (size_t i = 0; i < s.size; i++) {
                Slice byte = { s.data + i, 1 };
                const int r = text_line_take(&line, &byte);

                assert(byte.size == 0 && r == (s.data[i] == '\n' ? 0 : TEXT_MORE));
                if (r == TEXT_MORE)
                        continue;
                assert(slice_split(&rest, '\n', &whole) && line.too_long == (whole.size > 8));
                assert(line.too_long || slice_equal(buf_slice(&line.text), whole));
                text_line_clear(&line);
        }
}

/* A NUL ends what comes as a string, so the fields have what is before the first. */
static void check_log(Slice s) {
        _cleanup_buf_ Buf journal = BUF_INIT(LOG_ENTRY_MAX), line = BUF_INIT(LOG_LINE_MAX);
        char field[LOG_FIELD_MAX];
        const LogFields fields = { .operation = field, .result = field, .limit = field, .config_file = field, .peer_id = 3, .rfc = 7 };
        LogEntry e = { .identifier = "fuzz", .level = LOG_LEVEL_INFO, .event = LOG_EVENT_MALFORMED, .fields = &fields, .message = s };
        Slice rest, one;

        (void) snprintf(field, sizeof(field), "%.*s", (int) MIN_OF(s.size, sizeof(field)), s.data);
        assert(log_text_journal(&journal, &e) == 0 && log_text_line(&line, &e) == 0);
        check_shown(take_end(buf_slice(&line)));
        rest = take_end(buf_slice(&journal));
        while (slice_split(&rest, '\n', &one)) {
                const char *equals = memchr(one.data, '=', one.size);

                assert(equals && equals > one.data);
                for (const char *p = one.data; p < equals; p++)
                        assert((*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9') || *p == '_');
                check_shown(one);
        }
}

/* A secret between two pieces of the input; a line feed would end it. */
static void check_secret(Slice s) {
        static const char *const words[] = { "Cookie: ", "cOOKIE", "Authorization:", "x-authorization = " };
        const size_t half = s.size / 2;
        _cleanup_buf_ Buf head = BUF_INIT(SIZE_MAX), log = BUF_INIT(SIZE_MAX);

        if (memmem(s.data, s.size, "SECRET", 6))
                return;
        assert(buf_append(&head, s.data, half) == 0 && buf_append_string(&head, words[s.size % ELEMENTSOF(words)]) == 0);
        assert(buf_append_string(&head, "SECRET\n SECRET\n\tSECRET\n") == 0 && buf_append(&head, s.data + half, s.size - half) == 0);
        assert(log_text_head(&log, buf_slice(&head)) == 0);
        assert(!memmem(log.data, log.size, "SECRET", 6) && !memchr(log.data, '\n', log.size));
}

/* What a page with these texts has of the characters that it is made of. */
static void count_marks(PageKind kind, Slice text, size_t ret[256]) {
        _cleanup_buf_ Buf b = BUF_INIT(PAGE_MAX);
        const PageHead head = { .kind = kind, .host = text, .n = 1, .bytes = 1, .has_index = true };
        const PageRow row = { .number = 7, .title = text, .size = 1, .standing = RFC_CURRENT };

        assert(buf_reserve(&b, PAGE_MAX) == 0);
        assert(page_begin(&b, &head) == 0 && page_add(&b, &head, &row) == 0 && page_end(&b, &head, 0) == 0);
        assert(text_is_utf8(buf_slice(&b)));
        memset(ret, 0, 256 * sizeof(*ret));
        for (size_t i = 0; i < b.size; i++)
                ret[(uint8_t) b.data[i]]++;
}

static void check_page(Slice s) {
        static size_t plain[_PAGE_KIND_MAX][256];
        size_t found[256];

        for (PageKind kind = 0; kind < _PAGE_KIND_MAX; kind++) {
                if (plain[kind]['<'] == 0)
                        count_marks(kind, slice_of("x"), plain[kind]);
                count_marks(kind, s, found);
                for (const char *c = "<>\"'"; *c; c++)
                        assert(found[(uint8_t) *c] == plain[kind][(uint8_t) *c]);
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        const Slice s = { (const char *) data, size };

        check_numbers(s);
        check_lines(s);
        check_escape(s);
        check_log(s);
        check_secret(s);
        check_page(s);
        return 0;
}
