/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/page.h"

#include <inttypes.h>
#include <stdio.h>

#include "core/rfc-number.h"
#include "core/text.h"

/* What page_end() may take. */
#define END_MAX 512
#define SIZE_TEXT_SIZE 32
#define REPLACEMENT "\xef\xbf\xbd"

/* Small enough for a telephone: the columns beside the title are as narrow as they can be. */
#define STYLE                                                                                                          \
        ":root{color-scheme:light dark;--back:#fff;--text:#1c1c1e;--dim:#5c5f66;--line:#dcdee2;--link:#0a5296}\n"      \
        "@media(prefers-color-scheme:dark){"                                                                           \
        ":root{--back:#17181b;--text:#e4e5e8;--dim:#a3a7ae;--line:#34373d;--link:#8ebcf4}}\n"                          \
        "body{margin:0 auto;max-width:60rem;padding:1.5rem 1rem;background:var(--back);color:var(--text);"             \
        "font:1rem/1.5 system-ui,sans-serif}\n"                                                                        \
        "h1{margin:0;font-size:1.5rem;overflow-wrap:anywhere}\n"                                                       \
        "p{margin:.5rem 0}\n"                                                                                          \
        "a{color:var(--link)}\n"                                                                                       \
        "table{width:100%;margin-top:1.5rem;border-collapse:collapse}\n"                                               \
        "th,td{padding:.4rem .6rem;border-bottom:1px solid var(--line);font-weight:400;text-align:left;"               \
        "vertical-align:top}\n"                                                                                        \
        "thead th{color:var(--dim);font-size:.875rem}\n"                                                               \
        "tr>:first-child{padding-left:0;font-variant-numeric:tabular-nums}\n"                                          \
        "tr>:nth-child(2){width:100%;overflow-wrap:anywhere}\n"                                                        \
        "tr>:nth-child(3){text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}\n"                    \
        "tr>:nth-child(4){min-width:7.5rem}\n"                                                                         \
        "tr.o>td{color:var(--dim)}\n"                                                                                  \
        "@media(max-width:34rem){th,td{padding:.35rem .3rem;font-size:.875rem}tr>:nth-child(4){min-width:4.5rem}}\n"

/* The hash is that of what stands between <style> and </style>: a test sees to it. */
const char page_policy[] = "default-src 'none'; style-src 'sha256-LBFdBam/70U23ezKX5zM3d+E44bioRV1cB3CpPZF3LY='; "
                           "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/* For text and for what stands in quotes. Characters that would turn or hide what is beside them are not passed on. */
static int add_escaped(Buf *b, Slice s) {
        int r = 0;

        while (r == 0 && s.size > 0) {
                uint32_t c;
                size_t n = text_next_character(s, &c);

                if (n == 0 || text_is_unfit(c))
                        r = buf_append_string(b, REPLACEMENT);
                else if (c == '&')
                        r = buf_append_string(b, "&amp;");
                else if (c == '<')
                        r = buf_append_string(b, "&lt;");
                else if (c == '>')
                        r = buf_append_string(b, "&gt;");
                else if (c == '"')
                        r = buf_append_string(b, "&quot;");
                else if (c == '\'')
                        r = buf_append_string(b, "&#39;");
                else
                        r = buf_append(b, s.data, n);
                n = MAX_OF(n, (size_t) 1);
                s = (Slice){ s.data + n, s.size - n };
        }
        return r;
}

static const char *size_to_text(uint64_t size, char ret[SIZE_TEXT_SIZE]) {
        static const char units[][4] = { "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
        unsigned i = 0;

        if (size < 1024) {
                (void) snprintf(ret, SIZE_TEXT_SIZE, "%" PRIu64 " B", size);
                return ret;
        }
        while (size >> 10 * (i + 1) >= 1024)
                i++;
        const uint64_t whole = size >> 10 * (i + 1), tenths = (size >> 10 * i & 1023) * 10 / 1024;
        if (i == 0)     /* a tenth of a KiB is of no use to anybody */
                (void) snprintf(ret, SIZE_TEXT_SIZE, "%" PRIu64 " KiB", whole + (tenths >= 5));
        else
                (void) snprintf(ret, SIZE_TEXT_SIZE, "%" PRIu64 ".%" PRIu64 " %s", whole, tenths, units[i]);
        return ret;
}

/* ---- the beginning ---- */

static int begin_document(Buf *b, const PageHead *h, const char *style) {
        int r;

        r = buf_append_string(b, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                                 "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
                                 "<meta name=\"color-scheme\" content=\"light dark\">\n<title>RFCs at ");
        if (r == 0)
                r = add_escaped(b, h->host);
        if (r == 0)
                r = buf_printf(b, "</title>\n%s</head>\n<body>\n<main>\n<h1>RFCs at ", style);
        if (r == 0)
                r = add_escaped(b, h->host);
        return r == 0 ? buf_append_string(b, "</h1>\n") : r;
}

static int begin_table(Buf *b, const PageHead *h) {
        char size[SIZE_TEXT_SIZE];
        int r;

        r = buf_printf(b, "<p>This P2P-DI peer holds %zu RFC%s, %s in all. For mirrors there is "
                          "<a href=\"/rfc/\">a plain list</a>", h->n, plural(h->n),
                       size_to_text(h->bytes, size));
        if (r == 0 && h->has_index)
                r = buf_append_string(b, ", and <a href=\"/rfc-index.txt\">the RFC Editor\xe2\x80\x99s index</a>");
        if (r == 0)
                r = buf_append_string(b, ".</p>\n");
        if (r == 0 && h->n > 0 && !h->has_index)
                r = buf_append_string(b, "<p>Which of them are obsolete can\xe2\x80\x99t be told, "
                                         "as it holds no rfc-index.txt.</p>\n");
        if (r == 0 && h->n > 0)
                r = buf_printf(b, "<table>\n<thead><tr><th scope=\"col\">RFC</th><th scope=\"col\">Title</th>"
                                  "<th scope=\"col\">Size</th>%s</tr></thead>\n<tbody>\n",
                               h->has_index ? "<th scope=\"col\">Obsolete</th>" : "");
        return r;
}

int page_begin(Buf *b, const PageHead *h) {
        int r;

        r = begin_document(b, h, h->kind == PAGE_TABLE ? "<style>" STYLE "</style>\n" : "");
        if (r != 0)
                return r;
        if (h->kind == PAGE_TABLE)
                return begin_table(b, h);
        return buf_append_string(b, "<p><a href=\"/\">The same with sizes</a></p>\n<ul>\n");
}

/* ---- a document ---- */

static int add_state(Buf *b, const PageRow *row) {
        int r;

        if (row->standing != RFC_OBSOLETE)
                return buf_append_string(b, row->standing == RFC_CURRENT ? "<td>no</td>" : "<td>unknown</td>");
        r = buf_append_string(b, row->n_by > 0 ? "<td>yes, see " : "<td>yes");
        for (size_t i = 0; r == 0 && i < row->n_by; i++) {
                const uint32_t number = row->by[i].number;

                r = buf_append_string(b, i > 0 ? ", " : "");
                if (r == 0 && row->by[i].held)
                        r = buf_printf(b, "<a href=\"/rfc/rfc%" PRIu32 ".txt\">%" PRIu32 "</a>", number, number);
                else if (r == 0)
                        r = buf_append_decimal(b, number);
        }
        return r == 0 ? buf_append_string(b, "</td>") : r;
}

static int add_table_row(Buf *b, const PageHead *h, const PageRow *row) {
        char size[SIZE_TEXT_SIZE];
        int r;

        r = buf_printf(b, "<tr%s><th scope=\"row\"><a href=\"/rfc/rfc%" PRIu32 ".txt\">%" PRIu32 "</a></th><td>",
                       h->has_index && row->standing == RFC_OBSOLETE ? " class=\"o\"" : "", row->number, row->number);
        if (r == 0)
                r = add_escaped(b, row->title);
        if (r == 0)
                r = buf_printf(b, "</td><td>%s</td>", size_to_text(row->size, size));
        if (r == 0 && h->has_index)
                r = add_state(b, row);
        return r == 0 ? buf_append_string(b, "</tr>\n") : r;
}

static int add_list_item(Buf *b, const PageRow *row) {
        char name[RFC_FILE_NAME_SIZE];
        int r;

        rfc_number_to_file_name(row->number, name);
        r = buf_printf(b, "<li><a href=\"%s\">%s</a> ", name, name);
        if (r == 0)
                r = add_escaped(b, row->title);
        return r == 0 ? buf_append_string(b, "</li>\n") : r;
}

int page_add(Buf *b, const PageHead *h, const PageRow *row) {
        const size_t start = b->size;
        int r;

        r = h->kind == PAGE_TABLE ? add_table_row(b, h, row) : add_list_item(b, row);
        if (r == 0 && b->max - b->size < END_MAX)
                r = BUF_FULL;
        if (r != 0)
                buf_truncate(b, start);
        return r;
}

int page_end(Buf *b, const PageHead *h, size_t n_left_out) {
        int r;

        r = buf_append_string(b, h->kind == PAGE_LIST ? "</ul>\n" : h->n > 0 ? "</tbody>\n</table>\n" : "");
        if (r == 0 && n_left_out > 0)
                r = buf_printf(b, "<p>%zu more are left out, as the page is as long as it may be.</p>\n", n_left_out);
        return r == 0 ? buf_append_string(b, "</main>\n</body>\n</html>\n") : r;
}
