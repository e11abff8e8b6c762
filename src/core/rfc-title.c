/* SPDX-License-Identifier: BSD-2-Clause */
/* Titles out of documents, and out of the RFC Editor's JSON. */
#include <ctype.h>
#include <errno.h>

#include "core/proto.h"
#include "core/rfc-meta.h"
#include "core/text.h"

/* ---- anything to a title ---- */

/* The size of the UTF-8 character at the start; 0: there is none. */
static size_t character_size(Slice s) {
        for (size_t n = 1; n <= 4 && n <= s.size; n++)
                if (text_is_utf8((Slice){ s.data, n }))
                        return n;
        return 0;
}

int rfc_title_clean(Slice raw, Buf *b) {
        size_t start = b->size;
        bool blank = false;

        while (raw.size > 0) {
                size_t n = character_size(raw);
                Slice c = { raw.data, MAX_OF(n, (size_t) 1) };
                raw = (Slice){ raw.data + c.size, raw.size - c.size };
                /* U+00A0, the no-break blank, is one too. */
                if (n == 0 || (unsigned char) c.data[0] <= 0x20 || c.data[0] == 0x7f ||
                    slice_equal(c, SLICE_LITERAL("\u00a0"))) {
                        blank = b->size > start;
                        continue;
                }
                if (b->size - start + blank + n > PROTO_TITLE_MAX)
                        break;
                int r = blank ? buf_append_char(b, ' ') : 0;
                if (r == 0)
                        r = buf_append_slice(b, c);
                if (r != 0) {
                        buf_truncate(b, start);
                        return r < 0 ? r : RFC_META_NONE;
                }
                blank = false;
        }
        return b->size > start ? 0 : RFC_META_NONE;
}

/* ---- the text of a document ---- */

/* Only so many paragraphs from the top can be header. */
#define PARAGRAPHS_MAX 12
#define TITLE_LINES_MAX 5
/* A header of two columns has at least this gap between them. */
#define GAP_MIN 3
/* What starts so far to the right is the rest of a header's right column. */
#define RIGHT_INDENT_MIN 40
/* … or half of that, where it reaches to the right margin. */
#define RIGHT_END_MIN 68

typedef struct Paragraph {
        Slice lines[TITLE_LINES_MAX];   /* the first ones, without line ends */
        size_t n_lines;                 /* in all */
} Paragraph;

static bool is_blank(Slice s) {
        for (size_t i = 0; i < s.size; i++)
                if ((unsigned char) s.data[i] > ' ')
                        return false;
        return true;
}

static bool next_paragraph(Slice *rest, Paragraph *ret) {
        Paragraph p = { 0 };
        Slice line;
        while (slice_split(rest, '\n', &line)) {
                if (is_blank(line)) {
                        if (p.n_lines > 0)
                                break;
                        continue;
                }
                if (p.n_lines < TITLE_LINES_MAX)
                        p.lines[p.n_lines] = line;
                p.n_lines++;
        }
        *ret = p;
        return p.n_lines > 0;
}

static size_t indent(Slice line) {
        size_t n = 0;
        while (n < line.size && (unsigned char) line.data[n] <= ' ')
                n++;
        return n;
}

static Slice trim(Slice line) {
        size_t n = indent(line);
        line = (Slice){ line.data + n, line.size - n };
        while (line.size > 0 && (unsigned char) line.data[line.size - 1] <= ' ')
                line.size--;
        return line;
}

static bool starts_with_any(Slice line, const char *const *words, size_t n) {
        for (size_t i = 0; i < n; i++) {
                Slice word = slice_of(words[i]);
                if (line.size >= word.size && slice_equal_nocase((Slice){ line.data, word.size }, word))
                        return true;
        }
        return false;
}

static bool has_gap(Slice line) {
        line = trim(line);
        for (size_t i = 0, n = 0; i < line.size; i++) {
                n = line.data[i] == ' ' ? n + 1 : line.data[i] == '\t' ? GAP_MIN : 0;
                if (n >= GAP_MIN)
                        return true;
        }
        return false;
}

/*
 * Lines of two columns, or what can stand in the left one. A title that begins with such a word is not at the margin.
 */
static bool is_header(const Paragraph *p) {
        static const char *const words[] = {
                "network working group", "request for comments", "rfc", "nwg/rfc", "category:", "obsoletes", "updates:",
                "updates rfc", "issn:",
                "std:", "bcp:", "fyi:", "internet engineering task force", "internet architecture board",
                "independent submission", "internet research task force", "replaces:", "references:", "related",
        };
        for (size_t i = 0; i < MIN_OF(p->n_lines, (size_t) TITLE_LINES_MAX); i++)
                if (has_gap(p->lines[i]) || starts_with_any(p->lines[i], words, ELEMENTSOF(words)))
                        return true;
        return false;
}

static bool is_right_aligned(const Paragraph *p) {
        for (size_t i = 0; i < MIN_OF(p->n_lines, (size_t) TITLE_LINES_MAX); i++) {
                size_t start = indent(p->lines[i]), end = start + trim(p->lines[i]).size;
                if (start < RIGHT_INDENT_MIN && (start < RIGHT_INDENT_MIN / 2 || end < RIGHT_END_MIN))
                        return false;
        }
        return true;
}

/* What stands after the title: where one of these comes first there is none. */
static bool is_section(Slice line) {
        static const char *const words[] = { "status of this memo", "table of contents", "1. ", "1 ", "copyright" };
        return starts_with_any(line, words, ELEMENTSOF(words)) ||
               slice_equal_nocase(trim(line), SLICE_LITERAL("abstract")) ||
               slice_equal_nocase(trim(line), SLICE_LITERAL("introduction")) ||
               slice_equal_nocase(trim(line), SLICE_LITERAL("status of this memo"));
}

/* Adds the paragraph to raw, as one line. Lines are joined with a blank, but for a word that was cut at its hyphen. */
static int join(const Paragraph *p, Buf *raw) {
        for (size_t i = 0; i < p->n_lines; i++) {
                Slice line = trim(p->lines[i]);
                if (i > 0 && is_section(p->lines[i]))
                        break;
                bool cut = raw->size >= 2 && raw->data[raw->size - 1] == '-' &&
                           isalnum((unsigned char) raw->data[raw->size - 2]);
                int r = raw->size == 0 || cut ? 0 : buf_append_char(raw, ' ');
                if (r == 0)
                        r = buf_append_slice(raw, line);
                if (r != 0)
                        return r < 0 ? r : RFC_META_NONE;
        }
        return 0;
}

/* Does it go on in the next paragraph? */
static bool is_half_title(Slice title, const Paragraph *next) {
        static const char *const words[] = { "rfc numbers" };
        if (next->n_lines > TITLE_LINES_MAX || indent(next->lines[0]) == 0 || is_section(next->lines[0]))
                return false;
        return title.data[title.size - 1] == ':' ||
               (title.size > 1 && memcmp(title.data + title.size - 2, "--", 2) == 0) ||
               starts_with_any(trim(next->lines[0]), words, ELEMENTSOF(words));
}

/* Whole sentences are text already. */
static bool is_sentence(const Paragraph *p, Slice title) {
        return p->n_lines > 1 && title.data[title.size - 1] == '.';
}

static int take_title(const Paragraph *p, Slice rest, Buf *b) {
        if (p->n_lines > TITLE_LINES_MAX || is_section(p->lines[0]))
                return RFC_META_NONE;

        _cleanup_buf_ Buf raw = BUF_INIT(RFC_META_TEXT_SIZE);
        int r = join(p, &raw);
        if (r != 0)
                return r;
        if (is_sentence(p, buf_slice(&raw)))
                return RFC_META_NONE;
        Paragraph next;
        if (next_paragraph(&rest, &next) && is_half_title(buf_slice(&raw), &next)) {
                r = join(&next, &raw);
                if (r != 0)
                        return r;
        }
        return rfc_title_clean(buf_slice(&raw), b);
}

int rfc_title_from_text(Slice text, Buf *b) {
        if (slice_starts_with(text, "\xef\xbb\xbf"))
                text = (Slice){ text.data + 3, text.size - 3 };
        text.size = MIN_OF(text.size, (size_t) RFC_META_TEXT_SIZE);

        bool header = false;
        Paragraph p;
        for (size_t n = 0; n < PARAGRAPHS_MAX && next_paragraph(&text, &p); n++) {
                if (is_header(&p)) {
                        header = true;
                        continue;
                }
                if (is_right_aligned(&p))
                        continue;
                return header ? take_title(&p, text, b) : RFC_META_NONE;
        }
        return RFC_META_NONE;
}

/* ---- JSON ---- */

#define JSON_DEPTH_MAX 32

typedef struct Json {
        const char *at, *end;
} Json;

static void skip_blanks(Json *j) {
        while (j->at < j->end && strchr(" \t\r\n", *j->at) && *j->at != '\0')
                j->at++;
}

static bool take(Json *j, char c) {
        skip_blanks(j);
        if (j->at == j->end || *j->at != c)
                return false;
        j->at++;
        return true;
}

static int append_utf8(Buf *b, uint32_t c) {
        char bytes[4];
        size_t n;
        if (c < 0x80) {
                bytes[0] = (char) c;
                n = 1;
        } else if (c < 0x800) {
                bytes[0] = (char) (0xc0 | c >> 6);
                n = 2;
        } else if (c < 0x10000) {
                bytes[0] = (char) (0xe0 | c >> 12);
                n = 3;
        } else {
                bytes[0] = (char) (0xf0 | c >> 18);
                n = 4;
        }
        for (size_t i = 1; i < n; i++)
                bytes[i] = (char) (0x80 | (c >> 6 * (n - 1 - i) & 0x3f));
        return buf_append(b, bytes, n);
}

static bool take_hex4(Json *j, uint32_t *ret) {
        uint8_t bytes[2];
        if (j->end - j->at < 4 || text_from_hex((Slice){ j->at, 4 }, bytes, 2) != 0)
                return false;
        j->at += 4;
        *ret = (uint32_t) bytes[0] << 8 | bytes[1];
        return true;
}

/* What follows "\u". Half a surrogate pair is no character. */
static int take_unicode(Json *j, Buf *b) {
        uint32_t c, low;
        if (!take_hex4(j, &c))
                return RFC_META_NONE;
        if (c >= 0xdc00 && c <= 0xdfff)
                return RFC_META_NONE;
        if (c >= 0xd800 && c <= 0xdbff) {
                if (j->end - j->at < 2 || j->at[0] != '\\' || j->at[1] != 'u')
                        return RFC_META_NONE;
                j->at += 2;
                if (!take_hex4(j, &low) || low < 0xdc00 || low > 0xdfff)
                        return RFC_META_NONE;
                c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
        }
        return append_utf8(b, c);
}

static int take_escape(Json *j, Buf *b) {
        static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
        if (j->at == j->end)
                return RFC_META_NONE;
        char c = *j->at++;
        if (c == 'u')
                return take_unicode(j, b);
        const char *found = memchr(from, c, sizeof(from) - 1);
        return found ? buf_append_char(b, to[found - from]) : RFC_META_NONE;
}

/* A string, decoded into b, as far as that has room: 0, RFC_META_NONE, -ENOMEM. */
static int take_string(Json *j, Buf *b) {
        if (!take(j, '"'))
                return RFC_META_NONE;
        while (j->at < j->end && *j->at != '"') {
                int r;
                if ((unsigned char) *j->at < 0x20)
                        return RFC_META_NONE;
                if (*j->at == '\\') {
                        j->at++;
                        r = take_escape(j, b);
                } else
                        r = buf_append_char(b, *j->at++);
                if (r != 0)
                        return r < 0 ? r : RFC_META_NONE;
        }
        return take(j, '"') ? 0 : RFC_META_NONE;
}

/* The end of the string whose opening quote was taken. */
static bool skip_string(Json *j) {
        for (; j->at < j->end && *j->at != '"'; j->at++) {
                if ((unsigned char) *j->at < 0x20)
                        return false;
                if (*j->at == '\\' && ++j->at == j->end)
                        return false;
        }
        return take(j, '"');
}

/*
 * Any value that isn't looked at: brackets must match and strings end; what else numbers and words look like doesn't
 * matter here.
 */
static bool skip_value(Json *j) {
        char open[JSON_DEPTH_MAX];
        size_t depth = 0;
        do {
                skip_blanks(j);
                if (j->at == j->end)
                        return false;
                char c = *j->at++;
                if (c == '"') {
                        if (!skip_string(j))
                                return false;
                } else if (c == '{' || c == '[') {
                        if (depth == JSON_DEPTH_MAX)
                                return false;
                        open[depth++] = c;
                } else if (c == '}' || c == ']') {
                        if (depth == 0 || open[--depth] != (c == '}' ? '{' : '['))
                                return false;
                } else if (c == ',' || c == ':') {
                        if (depth == 0)
                                return false;
                } else if (!isalnum((unsigned char) c) && c != '-')
                        return false;
                else
                        while (j->at < j->end && (isalnum((unsigned char) *j->at) || memchr("+-.", *j->at, 3)))
                                j->at++;
        } while (depth > 0);
        return true;
}

int rfc_title_from_json(Slice json, Buf *b) {
        Json j = { json.data, json.data + json.size };
        if (json.size == 0 || !take(&j, '{'))
                return RFC_META_NONE;

        /* Cut while it is still escaped, blanks may have to go: so more than a title may have. */
        _cleanup_buf_ Buf key = BUF_INIT(256), title = BUF_INIT(8 * PROTO_TITLE_MAX);
        do {
                buf_clear(&key);
                int r = take_string(&j, &key);
                if (r != 0)
                        return r;
                if (!take(&j, ':'))
                        return RFC_META_NONE;
                if (!slice_equal(buf_slice(&key), SLICE_LITERAL("title"))) {
                        if (!skip_value(&j))
                                return RFC_META_NONE;
                        continue;
                }
                r = take_string(&j, &title);
                return r != 0 ? r : rfc_title_clean(buf_slice(&title), b);
        } while (take(&j, ','));
        return RFC_META_NONE;
}
