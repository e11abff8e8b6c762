/* SPDX-License-Identifier: BSD-2-Clause */
#include "ctl/screen.h"

#include "core/text.h"

/* The longest escaped form of one character. */
#define ESCAPED_MAX 16
#define BOM "\xef\xbb\xbf"

/* Bytes that a character with this first byte has; 1 for one that can't be first. */
static size_t character_size(char first) {
        unsigned char c = (unsigned char) first;

        return c >= 0xf0 && c < 0xf8 ? 4 : c >= 0xe0 && c < 0xf0 ? 3 : c >= 0xc0 && c < 0xe0 ? 2 : 1;
}

static bool is_continuation(char c) {
        return ((unsigned char) c & 0xc0) == 0x80;
}

/* Line ends that waited: around a form feed at most one blank line, and at least the end of the line. */
static int flush_ends(Screen *s, Buf *out) {
        size_t n = s->n_ends;
        int r = 0;

        if (s->feed)
                n = s->shown ? MIN_OF(MAX_OF(n, (size_t) 1), (size_t) 2) : 0;
        for (; r == 0 && n > 0; n--)
                r = buf_append_char(out, '\n');
        s->n_ends = 0;
        s->feed = false;
        return r;
}

static int show(Screen *s, Slice c, Buf *out) {
        bool plain = c.size == 1 && (c.data[0] == '\t' || c.data[0] == '\\');
        int r;

        r = flush_ends(s, out);
        if (r != 0)
                return r;
        s->shown = true;
        return plain ? buf_append_slice(out, c) : text_escape(out, c, ESCAPED_MAX);
}

static int end_line(Screen *s, Buf *out) {
        int r = 0;

        /* So many are no page break. */
        if (!s->feed && s->n_ends >= SCREEN_BLANK_MAX) {
                r = flush_ends(s, out);
                s->shown = true;
        }
        s->n_ends++;
        return r;
}

/* A whole character, or a byte that is none. */
static int put_character(Screen *s, Slice c, Buf *out) {
        bool first = !s->begun;
        int r = 0;

        s->begun = true;
        if (s->cr) {
                s->cr = false;
                if (c.data[0] != '\n')
                        r = show(s, SLICE_LITERAL("\r"), out);
                if (r != 0)
                        return r;
        }
        switch (c.data[0]) {
        case '\n':
                return end_line(s, out);
        case '\r':
                s->cr = true;
                return 0;
        case '\f':
                s->feed = true;
                return 0;
        default:
                if (first && slice_equal(c, SLICE_LITERAL(BOM)))
                        return 0;
                return show(s, c, out);
        }
}

/* Characters out of what is held; at the end also what can't become one any more. */
static int put_held(Screen *s, bool end, Buf *out) {
        while (s->n_held > 0) {
                size_t size = character_size(s->held[0]), n = 1;
                int r;

                while (n < MIN_OF(size, s->n_held) && is_continuation(s->held[n]))
                        n++;
                if (n == s->n_held && n < size && !end)
                        return 0;
                if (n < size || !text_is_utf8((Slice){ s->held, size }))
                        n = 1;
                r = put_character(s, (Slice){ s->held, n }, out);
                if (r != 0)
                        return r;
                s->n_held -= n;
                memmove(s->held, s->held + n, s->n_held);
        }
        return 0;
}

int screen_filter(Screen *s, Slice in, Buf *out) {
        for (size_t i = 0; i < in.size; i++) {
                int r;

                assert(s->n_held < sizeof(s->held));
                s->held[s->n_held++] = in.data[i];
                r = put_held(s, false, out);
                if (r != 0)
                        return r;
        }
        return 0;
}

int screen_end(Screen *s, Buf *out) {
        int r;

        r = put_held(s, true, out);
        if (r == 0 && s->cr) {
                s->cr = false;
                r = show(s, SLICE_LITERAL("\r"), out);
        }
        /* Nothing comes behind a last form feed that would have to be kept off. */
        if (s->feed)
                s->n_ends = MIN_OF(s->n_ends, (size_t) 1);
        if (r == 0)
                r = flush_ends(s, out);
        *s = (Screen){};
        return r;
}
