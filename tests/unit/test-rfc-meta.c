/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Titles: from an rfc-index.txt, from the text of a document, from JSON; and what else an rfc-index.txt tells. All texts here are made up, in the layouts
 * of the real ones.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <malloc.h>

#include "core/proto.h"
#include "core/rfc-meta.h"
#include "core/text.h"

/* ---- rfc-index.txt ---- */

static RfcMeta *read_index(Slice text, size_t piece, int result) {
        RfcMeta *m;
        assert_int_equal(rfc_meta_new(&m), 0);
        for (size_t i = 0; i < text.size; i += piece)
                assert_int_equal(rfc_meta_feed(m, (Slice){ text.data + i, MIN_OF(piece, text.size - i) }), 0);
        assert_int_equal(rfc_meta_end(m), result);
        return m;
}

static void assert_title(const RfcMeta *m, uint32_t number, const char *expected) {
        Slice title;
        bool there = rfc_meta_title(m, number, &title);
        if (there != (expected != NULL))
                fail_msg("%u: %s", number, there ? "is there" : "is not there");
        if (there && !slice_equal(title, slice_of(expected)))
                fail_msg("%u: '%.*s' is not '%s'", number, (int) title.size, title.data, expected);
}

static const char INDEX[] =
        "\n~~~~~~~~~~~~~~~~~~~~\n\n"
        "                     RFC INDEX\n\n"
        "For example:\n\n"
        "  9999 A Sample Entry in the Preamble. T. Mple, B. Volz. January 2026.\n"
        "       (Format: HTML) (Status: UNKNOWN)\n\n"
        "#### is the RFC number.\n\n"
        "1 Plain Title. A. Author. April 1969. (Format: TXT) (Status: UNKNOWN)\n"
        "     (DOI: 10.17487/RFC1)\n\n"
        "0002 With a Padded Number. A.B. Author. 1 April 1990. (Format: TXT)\n\n"
        "3 Not Issued.\n\n"
        "4 Several Lines of Title for a Protocol that Has a Very Long\n"
        "     Name (VLN). A. Author, Ed., B.-C. Author, D. de Author Jr., E. Author\n"
        "     3rd. May 1996. (Format: TXT) (Obsoletes RFC1) (Status: UNKNOWN)\n\n"
        "5 A Word that Was Cut at its Hy-\n"
        "     phen, in Pre- and\n"
        "     Post-\n"
        "     and Other - \n"
        "     Cases. A. Author. May 1996. (Format: TXT)\n\n"
        "6 U.S. Names with Stops, Inc. in them. And a Second Sentence. A.\n"
        "     Author. June 1995. (Format: TXT)\n\n"
        "7 Written by Nobody in Person. Working Group of the Nameless. July\n"
        "     1973. (Format: TXT)\n\n"
        "8 U.S. Domains. Council of Domains. July 1973. (Format: TXT)\n\n"
        "9 Of a Centre. Network Centre. Research Institute. July 1973. (Format: TXT)\n\n"
        "10 With an Organisation Among Them. M. St. Author, Ed., IAB. July 2003.\n"
        "     (Format: TXT)\n\n"
        "11 With Odd Initials. Y(J). Author, M-K. Author. July 2003. (Format: TXT)\n\n"
        "12 On Rec. H.263 and May 1996. Ou. Author. July 2003. (Format: TXT)\n\n"
        "13 Caf\xc3\xa9s. \xc3\x89. Author. July 2003. (Format: TXT)\n\n"
        "14 No date at all. A. Author. (Format: TXT)\n\n"
        "2147483647 The Last One. A. Author. July 2030. (Format: TXT)\n\n"
        "2147483648 One Too Many. A. Author. July 2030. (Format: TXT)\n\n"
        "15 Twice, First. A. Author. July 2003. (Format: TXT)\n\n"
        "15 Twice, Last. A. Author. July 2003. (Format: TXT)\n"
        "16 Without a Line Between. A. Author. July 2003. (Format: TXT)\n"
        "Some text at the margin\n"
        "17 At the End. A. Author. July 2003. (Format: TXT)";

static void check_index(const RfcMeta *m) {
        assert_title(m, 1, "Plain Title");
        assert_title(m, 2, "With a Padded Number");
        assert_title(m, 3, NULL);
        assert_title(m, 4, "Several Lines of Title for a Protocol that Has a Very Long Name (VLN)");
        assert_title(m, 5, "A Word that Was Cut at its Hy-phen, in Pre- and Post- and Other - Cases");
        assert_title(m, 6, "U.S. Names with Stops, Inc. in them. And a Second Sentence");
        assert_title(m, 7, "Written by Nobody in Person");
        assert_title(m, 8, "U.S. Domains");
        assert_title(m, 9, "Of a Centre");
        assert_title(m, 10, "With an Organisation Among Them");
        assert_title(m, 11, "With Odd Initials");
        assert_title(m, 12, "On Rec. H.263 and May 1996");
        assert_title(m, 13, "Caf\xc3\xa9s");
        assert_title(m, 14, NULL);
        assert_title(m, 15, "Twice, Last");
        assert_title(m, 16, "Without a Line Between");
        assert_title(m, 17, "At the End");
        assert_title(m, 2147483647, "The Last One");
        assert_title(m, 9999, NULL);
        assert_int_equal(rfc_meta_count(m), 16);
}

static void test_every_layout_of_the_index_is_read_in_any_pieces(void **state) {
        (void) state;
        static const size_t pieces[] = { 1, 2, 3, 7, 64, 1000, 1 << 20 };
        for (size_t i = 0; i < ELEMENTSOF(pieces); i++) {
                _cleanup_(rfc_meta_free_p) RfcMeta *m = read_index(SLICE_LITERAL(INDEX), pieces[i], 0);
                check_index(m);
        }
}

static void test_crlf_does_not_matter(void **state) {
        (void) state;
        _cleanup_buf_ Buf b = BUF_INIT(1 << 20);
        for (const char *p = INDEX; *p; p++) {
                if (*p == '\n')
                        assert_int_equal(buf_append_char(&b, '\r'), 0);
                assert_int_equal(buf_append_char(&b, *p), 0);
        }
        _cleanup_(rfc_meta_free_p) RfcMeta *m = read_index(buf_slice(&b), 100, 0);
        check_index(m);
}

static void test_what_is_no_index_has_no_titles(void **state) {
        (void) state;
        static const char *const texts[] = {
                "", "\n\n", "No index at all.\n", "1\n\n", "1 Not Issued.\n\n", "1 \n\n",
                "-1 Title. A. Author. May 2000.\n\n", "0 Title. A. Author. May 2000.\n\n",
                "1 Title. A. Author. May 20000.\n\n",
        };
        for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
                _cleanup_(rfc_meta_free_p) RfcMeta *m = read_index(slice_of(texts[i]), 5, RFC_META_NONE);
                assert_int_equal(rfc_meta_count(m), 0);
                assert_title(m, 1, NULL);
        }
}

static void test_endless_lines_and_entries_are_passed_over(void **state) {
        (void) state;
        static char junk[200000];
        memset(junk, 'x', sizeof(junk));
        _cleanup_buf_ Buf b = BUF_INIT(8 << 20);

        /* a line that doesn't end, also as part of an entry; an entry that doesn't end */
        assert_int_equal(buf_append(&b, junk, sizeof(junk)), 0);
        assert_int_equal(buf_append_string(&b, "\n1 One. A. Author. May 2000.\n\n2 Two "), 0);
        assert_int_equal(buf_append(&b, junk, sizeof(junk)), 0);
        assert_int_equal(buf_append_string(&b, "\n     tail. A. Author. May 2000.\n\n"), 0);
        assert_int_equal(buf_append_string(&b, "3 Three. A. Author. May 2000.\n\n4 Four"), 0);
        for (unsigned i = 0; i < 10000; i++)
                assert_int_equal(buf_append_string(&b, "\n   more and more"), 0);
        assert_int_equal(buf_append_string(&b, ". A. Author. May 2000.\n\n5 Five. A. Author. May 2000.\n\n"), 0);
        _cleanup_(rfc_meta_free_p) RfcMeta *m = read_index(buf_slice(&b), 4096, 0);
        assert_title(m, 1, "One");
        assert_title(m, 2, NULL);
        assert_title(m, 3, "Three");
        assert_title(m, 4, NULL);
        assert_title(m, 5, "Five");
}

/* ---- what the index tells beside the title ---- */

static const char RELATIONS[] =
        "1 Host Things. S. Author. April 1969. (Format: TXT, HTML) (Obsoleted by\n"
        "     RFC10, RFC0012, rfc 13) (Status: UNKNOWN) (DOI: 10.17487/RFC1)\n\n"
        "2 Not Issued.\n\n"
        "3 Words. A. Author, Ed., B.-C. Author. 1 April 1990. (Format: TXT)\n"
        "     (Obsoletes RFC1, IEN48, STD 7) (Updates RFC4, BCP9,RFC5,) (Updated by)\n"
        "     (Also BCP9) (Status: BEST CURRENT\n     PRACTICE) (DOI: 10.17487/RFC3)\n\n"
        "4 Of a Group. Group of the Nameless. July 1973. (Status: HISTORIC)\n"
        "     (Updated by RFC3, RFC2147483647, RFC2147483648, RFC0, RFC-7, RFC)\n\n"
        "5 Not Issued by Us. A. Author. May 1996. (Status: \x01) (Status\n\n"
        "6 (Status: NOWHERE) In the Title. A. Author. May 1996.\n\n"
        "7 First. A. Author. May 1996. (Obsoleted by RFC1)\n\n"
        "7 Not Issued.\n\n"
        "8 Not Issued.\n\n"
        "8 Issued After All. A. Author. May 1996. (Format: TXT)";

static void assert_related(const RfcMetaInfo *i, RfcRelation relation, const uint32_t *expected, size_t n) {
        assert_int_equal(i->n_related[relation], n);
        for (size_t k = 0; k < n; k++)
                assert_int_equal(i->related[relation][k], expected[k]);
}
#define assert_relation(i, relation, ...)                                                                              \
        assert_related(i, relation, (const uint32_t[]){ __VA_ARGS__ }, sizeof((uint32_t[]){ __VA_ARGS__ }) / 4)

static void assert_texts(const RfcMetaInfo *i, const char *authors, const char *date, const char *status) {
        assert_true(i->issued);
        assert_true(slice_equal(i->authors, slice_of(authors)));
        assert_true(slice_equal(i->date, slice_of(date)));
        assert_true(slice_equal(i->status, slice_of(status)));
}

static void check_relations(const RfcMeta *m) {
        RfcMetaInfo i;

        assert_true(rfc_meta_get(m, 1, &i));
        assert_true(slice_equal(i.title, SLICE_LITERAL("Host Things")));
        assert_texts(&i, "S. Author", "April 1969", "UNKNOWN");
        assert_relation(&i, RFC_OBSOLETED_BY, 10, 12, 13);
        assert_related(&i, RFC_OBSOLETES, NULL, 0);
        assert_null(i.related[RFC_OBSOLETES]);

        assert_true(rfc_meta_get(m, 2, &i));
        assert_false(i.issued);
        assert_int_equal(i.title.size + i.authors.size + i.date.size + i.status.size, 0);

        assert_true(rfc_meta_get(m, 3, &i));
        assert_texts(&i, "A. Author, Ed., B.-C. Author", "1 April 1990", "BEST CURRENT PRACTICE");
        assert_relation(&i, RFC_OBSOLETES, 1);
        assert_relation(&i, RFC_UPDATES, 4, 5);
        assert_related(&i, RFC_UPDATED_BY, NULL, 0);
        assert_related(&i, RFC_OBSOLETED_BY, NULL, 0);

        assert_true(rfc_meta_get(m, 4, &i));
        assert_texts(&i, "Group of the Nameless", "July 1973", "HISTORIC");
        assert_relation(&i, RFC_UPDATED_BY, 3, 2147483647, 7);

        assert_true(rfc_meta_get(m, 5, &i));
        assert_texts(&i, "A. Author", "May 1996", "");
        assert_true(rfc_meta_get(m, 6, &i));
        assert_texts(&i, "A. Author", "May 1996", "");
        assert_false(rfc_meta_get(m, 9, &i));
        assert_false(rfc_meta_get(m, 0, &i));
        assert_int_equal(rfc_meta_count(m), 6);
}

/* The RFC Editor has an index in XML, too: it is none here, and nothing in it is expanded. */
static void test_xml_is_no_index(void **state) {
        (void) state;
        static const char bomb[] =
                "<?xml version=\"1.0\"?>\n<!DOCTYPE lolz [\n <!ENTITY lol \"lol\">\n"
                " <!ENTITY lol1 \"&lol;&lol;&lol;&lol;&lol;&lol;&lol;&lol;&lol;&lol;\">\n"
                " <!ENTITY lol2 \"&lol1;&lol1;&lol1;&lol1;&lol1;&lol1;&lol1;&lol1;&lol1;&lol1;\">\n"
                " <!ENTITY lol3 \"&lol2;&lol2;&lol2;&lol2;&lol2;&lol2;&lol2;&lol2;&lol2;&lol2;\">\n"
                " <!ENTITY file SYSTEM \"file:///etc/passwd\">\n]>\n<rfc-index>\n<rfc-entry><doc-id>RFC0001</doc-id>\n"
                "<title>&lol3;&file;</title></rfc-entry>\n</rfc-index>\n";
        _cleanup_(rfc_meta_free_p) RfcMeta *m = read_index(SLICE_LITERAL(bomb), 100, RFC_META_NONE);
        assert_int_equal(rfc_meta_count(m), 0);
}

/* What a library takes ends at 64 MiB; how long a line is does not matter. */
static void test_a_line_of_16_mib_takes_no_memory(void **state) {
        (void) state;
        static char piece[65536];
        _cleanup_(rfc_meta_free_p) RfcMeta *m = NULL;
        memset(piece, '7', sizeof(piece));
        assert_int_equal(rfc_meta_new(&m), 0);
        assert_int_equal(rfc_meta_feed(m, SLICE_LITERAL("1 One. A. Author. May 2000.\n\n")), 0);
        const size_t allocated = mallinfo2().uordblks + mallinfo2().hblkhd;
        for (size_t i = 0; i < (16 << 20) / sizeof(piece); i++)
                assert_int_equal(rfc_meta_feed(m, (Slice){ piece, sizeof(piece) }), 0);
        assert_in_range(mallinfo2().uordblks + mallinfo2().hblkhd, 0, allocated + sizeof(piece));
        assert_int_equal(rfc_meta_feed(m, SLICE_LITERAL("\n\n2 Two. A. Author. May 2000.\n\n")), 0);
        assert_int_equal(rfc_meta_end(m), 0);
        assert_title(m, 1, "One");
        assert_title(m, 2, "Two");
}

static void test_entries_tell_authors_date_status_and_relations(void **state) {
        (void) state;
        static const size_t pieces[] = { 1, 7, 1 << 20 };
        for (size_t i = 0; i < ELEMENTSOF(pieces); i++) {
                _cleanup_(rfc_meta_free_p) RfcMeta *m = read_index(SLICE_LITERAL(RELATIONS), pieces[i], 0);
                check_relations(m);
        }
}

static void test_standing_is_what_the_last_entry_says(void **state) {
        (void) state;
        static const RfcStanding expected[] = { RFC_UNKNOWN, RFC_OBSOLETE, RFC_NEVER_ISSUED, RFC_CURRENT, RFC_CURRENT,
                                                RFC_CURRENT, RFC_CURRENT, RFC_NEVER_ISSUED, RFC_CURRENT, RFC_UNKNOWN };
        _cleanup_(rfc_meta_free_p) RfcMeta *m = read_index(SLICE_LITERAL(RELATIONS), 1000, 0);
        for (uint32_t n = 0; n < ELEMENTSOF(expected); n++)
                assert_int_equal(rfc_meta_standing(m, n), expected[n]);
        assert_int_equal(rfc_meta_standing(NULL, 1), RFC_UNKNOWN);
        assert_title(m, 7, NULL);
        assert_title(m, 8, "Issued After All");
}

static void test_an_index_of_numbers_never_issued_is_of_no_use(void **state) {
        (void) state;
        _cleanup_(rfc_meta_free_p) RfcMeta *m = read_index(SLICE_LITERAL("1 Not Issued.\n\n2 not issued.\n"), 3,
                                                           RFC_META_NONE);
        assert_int_equal(rfc_meta_count(m), 0);
}

static void feed_all(RfcMeta *m, const Buf *b) {
        assert_int_equal(rfc_meta_feed(m, buf_slice(b)), 0);
}

/* As many as the smallest entries that a file may have would be millions. */
static void test_no_more_is_kept_than_the_limits_say(void **state) {
        _cleanup_buf_ Buf b = BUF_INIT(8u << 20);
        _cleanup_(rfc_meta_free_p) RfcMeta *m = NULL;
        RfcMetaInfo info;

        (void) state;
        for (unsigned i = 1; i <= RFC_META_ENTRIES_MAX + 1; i++)
                assert_int_equal(buf_printf(&b, "%u T. A. Author. May 1996. (Format: TXT)\n\n", i), 0);
        assert_int_equal(rfc_meta_new(&m), 0);
        feed_all(m, &b);
        assert_int_equal(rfc_meta_end(m), 0);
        assert_int_equal(rfc_meta_count(m), RFC_META_ENTRIES_MAX);
        assert_title(m, RFC_META_ENTRIES_MAX, "T");
        assert_title(m, RFC_META_ENTRIES_MAX + 1, NULL);
        m = rfc_meta_free(m);

        /* Relations: of the last entry some have no room, and it is there all the same. */
        buf_clear(&b);
        assert_int_equal(rfc_meta_new(&m), 0);
        for (unsigned i = 1; i <= RFC_META_RELATIONS_MAX / RFC_META_RELATED_MAX + 1; i++) {
                assert_int_equal(buf_printf(&b, "%u T. A. Author. May 1996. (Format: TXT) (Updates RFC1", i), 0);
                for (unsigned k = 1; k < RFC_META_RELATED_MAX; k++)
                        assert_int_equal(buf_append_string(&b, ", RFC1"), 0);
                assert_int_equal(buf_append_string(&b, ")\n\n"), 0);
                feed_all(m, &b);
                buf_clear(&b);
        }
        assert_int_equal(rfc_meta_end(m), 0);
        assert_true(rfc_meta_get(m, RFC_META_RELATIONS_MAX / RFC_META_RELATED_MAX, &info));
        assert_int_equal(info.n_related[RFC_UPDATES], RFC_META_RELATED_MAX);
        assert_true(rfc_meta_get(m, RFC_META_RELATIONS_MAX / RFC_META_RELATED_MAX + 1, &info));
        assert_int_equal(info.n_related[RFC_UPDATES], RFC_META_RELATIONS_MAX % RFC_META_RELATED_MAX);
}

/* A title for which there is no room any more is no title, and its entry is left out. */
static void test_texts_have_a_limit(void **state) {
        _cleanup_(rfc_meta_free_p) RfcMeta *m = NULL;
        _cleanup_buf_ Buf b = BUF_INIT(1024);
        char title[PROTO_TITLE_MAX / 2 + 1];

        (void) state;
        memset(title, 't', sizeof(title) - 1);
        title[sizeof(title) - 1] = '\0';
        assert_int_equal(rfc_meta_new(&m), 0);
        for (unsigned i = 1; i <= 2 * (RFC_META_TEXTS_MAX / sizeof(title)); i++) {
                assert_int_equal(buf_printf(&b, "%u %s. A. Author. May 1996. (Format: TXT)\n\n", i, title), 0);
                feed_all(m, &b);
                buf_clear(&b);
        }
        assert_int_equal(rfc_meta_end(m), 0);
        assert_in_range(rfc_meta_count(m), RFC_META_TEXTS_MAX / sizeof(title) / 2, RFC_META_TEXTS_MAX / sizeof(title));
        assert_title(m, 1, title);
}

static void test_lists_are_cut_at_their_limit(void **state) {
        (void) state;
        _cleanup_buf_ Buf b = BUF_INIT(1 << 20);
        assert_int_equal(buf_append_string(&b, "1 Hub. A. Author. May 1996. (Updates RFC1"), 0);
        for (unsigned i = 2; i < 2000; i++)
                assert_int_equal(buf_printf(&b, ",\n   RFC%u", i), 0);
        assert_int_equal(buf_append_string(&b, ")\n     (Obsoleted by RFC77) (Status: HISTORIC)\n"), 0);
        _cleanup_(rfc_meta_free_p) RfcMeta *m = read_index(buf_slice(&b), 4096, 0);
        RfcMetaInfo i;
        assert_true(rfc_meta_get(m, 1, &i));
        assert_int_equal(i.n_related[RFC_UPDATES], RFC_META_RELATED_MAX);
        assert_int_equal(i.related[RFC_UPDATES][RFC_META_RELATED_MAX - 1], RFC_META_RELATED_MAX);
        assert_relation(&i, RFC_OBSOLETED_BY, 77);
        assert_texts(&i, "A. Author", "May 1996", "HISTORIC");
}

/* ---- the text of a document ---- */

static const struct {
        const char *what, *text, *title;
} TEXTS[] = {
        { "two columns, centred title",
          "\n\n\nNetwork Working Group                                          A. Author\n"
          "Request for Comments: 9999                                 Some University\n"
          "Category: Informational                                       January 1999\n\n\n"
          "                      A Title in the Middle\n\n"
          "Status of this Memo\n\n   This memo is made up.\n",
          "A Title in the Middle" },
        { "byte order mark, title of three lines, cut word",
          "\xef\xbb\xbf\n\n\nInternet Engineering Task Force (IETF)                         A. Author\n"
          "Request for Comments: 9999                                          Company\n"
          "ISSN: 2070-1721\n\n\n"
          "   A Long Title that Takes Several Lines and Has a Word that Is Self-\n"
          "       Explaining and then\n"
          "                                Ends\n\n"
          "Abstract\n",
          "A Long Title that Takes Several Lines and Has a Word that Is Self-Explaining and then Ends" },
        { "right-aligned rest of the header",
          "Network Working Group                                          A. Author\n"
          "Request for Comments: 9999                                       Company\n\n"
          "                                                               B. Author\n"
          "                                                            January 1999\n\n"
          "                                         University of a Very Long Name\n\n"
          "                                 A Title\n\n",
          "A Title" },
        { "a right column that begins in the middle",
          "Network Working Group                                          A. Author\n"
          "Request for Comments: 9999                                       Company\n\n"
          "                           University of Such and Such, Somewhere, State\n\n"
          "                                 A Title\n\n",
          "A Title" },
        { "form feeds, carriage returns, tabs",
          "\fNetwork Working Group\t\t\t\tA. Author\r\nRequest for Comments: 9999\t\t\tJanuary 1999\r\n\r\n\f\r\n"
          "\t\t\tA Title\r\n\r\nAbstract\r\n",
          "A Title" },
        { "header in one column",
          "NWG/RFC# 9999\n\n            A Title\n\n   The text follows here.\n",
          "A Title" },
        { "a title that begins like a header",
          "Internet Engineering Task Force (IETF)                         A. Author\n"
          "Updates: 1                                                  January 2010\n\n"
          "             Updates to RFC 1: Introduction to It\n\nAbstract\n",
          "Updates to RFC 1: Introduction to It" },
        { "the same at the margin",
          "Internet Engineering Task Force (IETF)                         A. Author\n"
          "Updates: 1                                                  January 2010\n\n"
          "Updates to the Things that Are so Long that They Start at the Margin and\n"
          "                        Go On\n\nAbstract\n",
          "Updates to the Things that Are so Long that They Start at the Margin and Go On" },
        { "a title in two paragraphs",
          "Network Working Group                                          A. Author\n\n"
          "                          The Protocol (TP) --\n\n"
          "                          Version 1\n\nStatus of this Memo\n",
          "The Protocol (TP) -- Version 1" },
        { "no blank line behind the title",
          "Network Working Group                                          A. Author\n\n"
          "                               A Title\nStatus of this Memo\n   Made up.\n",
          "A Title" },
        { "no title between header and text",
          "Network Working Group                                          A. Author\n\nAbstract\n\n   Text.\n", NULL },
        { "text instead of a title",
          "Network Working Group                                          A. Author\n\n"
          "   We have seen that something is\n   so and not otherwise.\n", NULL },
        { "too many lines",
          "Network Working Group                                          A. Author\n\n"
          " a\n b\n c\n d\n e\n f\n\n", NULL },
        { "no header", "A text of any kind\n\nthat is no RFC.\n", NULL },
        { "nothing", "", NULL },
        { "blank lines only", "\n\n\f\n   \n", NULL },
        { "header only", "Network Working Group                         A. Author", NULL },
};

static void test_title_is_the_paragraph_after_the_header(void **state) {
        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(TEXTS); i++) {
                _cleanup_buf_ Buf b = BUF_INIT(PROTO_TITLE_MAX);
                int r = rfc_title_from_text(slice_of(TEXTS[i].text), &b);
                if (r != (TEXTS[i].title ? 0 : RFC_META_NONE))
                        fail_msg("%s: %d", TEXTS[i].what, r);
                if (!slice_equal(buf_slice(&b), slice_of(TEXTS[i].title)))
                        fail_msg("%s: '%.*s'", TEXTS[i].what, (int) b.size, b.data);
        }
}

static void test_any_beginning_of_a_text_is_read_safely(void **state) {
        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(TEXTS); i++)
                for (size_t size = 0; size <= strlen(TEXTS[i].text); size++) {
                        /* Exactly that many bytes, so that a sanitizer sees one too many. */
                        _cleanup_free_ char *copy = malloc(size + (size == 0));
                        assert_non_null(copy);
                        memcpy(copy, TEXTS[i].text, size);
                        _cleanup_buf_ Buf b = BUF_INIT(PROTO_TITLE_MAX);
                        int r = rfc_title_from_text((Slice){ copy, size }, &b);
                        assert_true(r == 0 || r == RFC_META_NONE);
                        assert_int_equal(r == 0, b.size > 0);
                }
}

/* ---- JSON ---- */

static const struct {
        const char *json, *title;
} JSON[] = {
        { "{\"title\":\"A Title\"}", "A Title" },
        { " {\r\n\t\"draft\" : \"x\\\"}\", \"n\": [1, -2.5e+3, {\"title\":\"Inner\"}, true, null],"
          " \"title\" : \"A\\/B \\\"C\\\" \" , ", "A/B \"C\"" },
        { "{\"title\":\"\\u00c9t\\u00e9 \\ud83d\\ude00 \\u2014\"}", "\xc3\x89t\xc3\xa9 \xf0\x9f\x98\x80 \xe2\x80\x94" },
        { "{\"title\":\"\\tA\\n\\u0000\\u001bB\\u007f  C\\\\\"}", "A B C\\" },
        { "{\"doc_id\":\"RFC1\",\"titles\":\"no\",\"Title\":\"no\",\"title\":\"yes\"}", "yes" },
        { "{\"ti\\u0074le\":\"A\"}", "A" },
        { "{\"title\":\"\"}", NULL },
        { "{\"title\":\"  \"}", NULL },
        { "{\"title\":null}", NULL },
        { "{\"title\":[\"A\"]}", NULL },
        { "{\"title\":\"A", NULL },
        { "{\"title\":\"A\\", NULL },
        { "{\"title\":\"\\u12\"}", NULL },
        { "{\"title\":\"\\ud83d\"}", NULL },
        { "{\"title\":\"\\ud83d\\u0041\"}", NULL },
        { "{\"title\":\"\\ude00\"}", NULL },
        { "{\"title\":\"\\x41\"}", NULL },
        { "{\"title\":\"a\nb\"}", NULL },
        { "{\"title\" \"A\"}", NULL },
        { "{\"a\":1 \"title\":\"A\"}", NULL },
        { "{\"a\":[},\"title\":\"A\"}", NULL },
        { "{\"a\":,\"title\":\"A\"}", NULL },
        { "{\"a\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]],\"title\":\"A\"}", NULL },
        { "[{\"title\":\"A\"}]", NULL },
        { "\"title\"", NULL },
        { "{}", NULL },
        { "", NULL },
};

static void test_title_member_is_taken_from_json(void **state) {
        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(JSON); i++) {
                _cleanup_buf_ Buf b = BUF_INIT(PROTO_TITLE_MAX);
                int r = rfc_title_from_json(slice_of(JSON[i].json), &b);
                if (r != (JSON[i].title ? 0 : RFC_META_NONE) || !slice_equal(buf_slice(&b), slice_of(JSON[i].title)))
                        fail_msg("%s: %d '%.*s'", JSON[i].json, r, (int) b.size, b.data);
        }
}

static void test_any_beginning_of_json_is_read_safely(void **state) {
        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(JSON); i++)
                for (size_t size = 0; size < strlen(JSON[i].json); size++) {
                        _cleanup_free_ char *copy = malloc(size + (size == 0));
                        assert_non_null(copy);
                        memcpy(copy, JSON[i].json, size);
                        _cleanup_buf_ Buf b = BUF_INIT(PROTO_TITLE_MAX);
                        int r = rfc_title_from_json((Slice){ copy, size }, &b);
                        assert_true(r == 0 || r == RFC_META_NONE);
                }
}

/* ---- aliases, formats, the day it was made ---- */

static const char ALIASES[] =
        "(CREATED ON: 08/05/2026.)\n\n"
        "  9 In the Preamble. A. Author. May 1999. (Format: TXT) (Also BCP14)\n\n"
        "20 Later. A. Author. May 1999. (Format: TXT, HTML) (Also BCP0014) (Status: X)\n\n"
        "10 Earlier. A. Author. May 1999. (Format: PDF, TXT) (Status: X) (Also\n"
        "     BCP14)\n\n"
        "11 Two Names. A. Author. May 1999. (Format: PDF) (Also STD3, FYI 36)\n\n"
        "12 Replaced. A. Author. May 1999. (Format: TXT) (Also BCP 14)\n\n"
        "12 Replaces. A. Author. May 1999. (Format: TXT)\n\n"
        "13 Twice. A. Author. May 1999. (Also BCP15) (Also BCP15, RFC7, BCP, what)\n\n"
        "14 Not Issued.\n\n"
        "(CREATED ON: 08/06/2026.)\n\n";

static void assert_alias(const RfcMeta *m, const char *name, size_t n, const uint32_t *expected) {
        uint32_t numbers[8];
        RfcAlias a;
        assert_int_equal(rfc_alias_from_text(slice_of(name), &a), 0);
        if (rfc_meta_alias(m, a, numbers, ELEMENTSOF(numbers)) != n)
                fail_msg("%s", name);
        for (size_t i = 0; i < n; i++)
                assert_int_equal(numbers[i], expected[i]);
        assert_int_equal(rfc_meta_alias(m, a, NULL, 0), n);
}

static void test_aliases_lead_to_their_rfcs_in_any_pieces(void **state) {
        (void) state;
        for (size_t piece = 1; piece < sizeof(ALIASES); piece += 13) {
                _cleanup_(rfc_meta_free_p) RfcMeta *m = read_index(SLICE_LITERAL(ALIASES), piece, 0);
                assert_alias(m, "bcp14", 2, (const uint32_t[]){ 10, 20 });
                assert_alias(m, "std3", 1, (const uint32_t[]){ 11 });
                assert_alias(m, "fyi36", 1, (const uint32_t[]){ 11 });
                assert_alias(m, "bcp15", 1, (const uint32_t[]){ 13 });
                assert_alias(m, "bcp3", 0, NULL);
                assert_alias(m, "std14", 0, NULL);
        }
        assert_alias(NULL, "bcp14", 0, NULL);
}

static void test_missing_texts_are_known(void **state) {
        _cleanup_(rfc_meta_free_p) RfcMeta *m = read_index(SLICE_LITERAL(ALIASES), 4096, 0);
        RfcMetaInfo info;
        (void) state;
        assert_true(rfc_meta_get(m, 10, &info) && info.has_text);
        assert_true(rfc_meta_get(m, 11, &info) && !info.has_text);
        assert_true(rfc_meta_get(m, 13, &info) && info.has_text);       /* no word of formats */
        assert_true(rfc_meta_get(m, 14, &info) && !info.has_text);
}

static void test_the_day_it_was_made(void **state) {
        static const struct {
                const char *line;
                uint32_t day;
        } cases[] = {
                { "(CREATED ON: 01/02/1970.)", 1 },     { "(CREATED ON: 12/31/9999.)", 2932896 },
                { "(created on:8/5/2026.)", 20670 },    { "(CREATED ON: 02/29/2024.)", 19782 },
                { "(CREATED ON: 02/29/2026.)", 0 },     { "(CREATED ON: 13/01/2026.)", 0 },
                { "(CREATED ON: 00/01/2026.)", 0 },     { "(CREATED ON: 01/00/2026.)", 0 },
                { "(CREATED ON: 01/32/2026.)", 0 },     { "(CREATED ON: 01/01/1969.)", 0 },
                { "(CREATED ON: 01/01/10000.)", 0 },    { "(CREATED ON: 01/01.)", 0 },
                { "(CREATED ON:)", 0 },                 { "CREATED ON: 01/01/2026.", 0 },
                { "(CREATED ON: 2026-08-05.)", 0 },
        };
        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_buf_ Buf b = BUF_INIT(1024);
                assert_int_equal(buf_printf(&b, "%s\n\n1 Title. A. Author. May 1999.\n", cases[i].line), 0);
                _cleanup_(rfc_meta_free_p) RfcMeta *m = read_index(buf_slice(&b), 7, 0);
                if (rfc_meta_created(m) != cases[i].day)
                        fail_msg("%s: %u", cases[i].line, rfc_meta_created(m));
        }
}

static void test_days_are_written_as_people_sort_them(void **state) {
        char text[RFC_META_DAY_TEXT_SIZE];
        (void) state;
        rfc_meta_day_to_text(20670, text);
        assert_string_equal(text, "2026-08-05");
        rfc_meta_day_to_text(19782, text);
        assert_string_equal(text, "2024-02-29");
        rfc_meta_day_to_text(2932896, text);
        assert_string_equal(text, "9999-12-31");
        rfc_meta_day_to_text(0, text);
        assert_string_equal(text, "");
}

static void test_the_first_day_counts_and_is_known_at_once(void **state) {
        const Slice first = SLICE_LITERAL("\n(CREATED ON: 08/05/2026.)\n");
        RfcMeta *m;
        (void) state;
        assert_int_equal(rfc_meta_new(&m), 0);
        assert_int_equal(rfc_meta_feed(m, first), 0);
        assert_int_equal(rfc_meta_created(m), 20670);
        assert_int_equal(rfc_meta_feed(m, SLICE_LITERAL(ALIASES)), 0);
        assert_int_equal(rfc_meta_end(m), 0);
        assert_int_equal(rfc_meta_created(m), 20670);
        (void) rfc_meta_free(m);
}

/* ---- anything ---- */

static void test_a_title_is_valid_whatever_it_was_made_of(void **state) {
        (void) state;
        static const struct {
                const char *raw, *title;
        } cases[] = {
                { "  A \t\n Title\r\n", "A Title" },
                { "A\x1b[31mB\x7f", "A [31mB" },
                { "A\xff\xfe" "B\xc3", "A B" },
                { "A\xc2\xa0" "B", "A B" },
                { "\xc3\xa9", "\xc3\xa9" },
                { " \x01 ", NULL },
                { "", NULL },
        };
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_buf_ Buf b = BUF_INIT(PROTO_TITLE_MAX + 10);
                assert_int_equal(buf_append_string(&b, "before:"), 0);
                assert_int_equal(rfc_title_clean(slice_of(cases[i].raw), &b), cases[i].title ? 0 : RFC_META_NONE);
                Slice added = { b.data + 7, b.size - 7 };
                assert_true(slice_equal(added, slice_of(cases[i].title)));
        }
}

static void test_a_long_title_is_cut_at_a_whole_character(void **state) {
        (void) state;
        char raw[2 * PROTO_TITLE_MAX];
        for (size_t i = 0; i < sizeof(raw); i += 2)
                memcpy(raw + i, "\xc3\xa9", 2);
        for (size_t first = 0; first < 2; first++) {
                raw[0] = 'x';
                _cleanup_buf_ Buf b = BUF_INIT(SIZE_MAX);
                assert_int_equal(rfc_title_clean((Slice){ raw + first, sizeof(raw) - first }, &b), 0);
                assert_true(b.size <= PROTO_TITLE_MAX && b.size >= PROTO_TITLE_MAX - 1);
                assert_true(text_is_utf8(buf_slice(&b)));
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_every_layout_of_the_index_is_read_in_any_pieces),
                cmocka_unit_test(test_crlf_does_not_matter),
                cmocka_unit_test(test_what_is_no_index_has_no_titles),
                cmocka_unit_test(test_endless_lines_and_entries_are_passed_over),
                cmocka_unit_test(test_xml_is_no_index),
                cmocka_unit_test(test_a_line_of_16_mib_takes_no_memory),
                cmocka_unit_test(test_entries_tell_authors_date_status_and_relations),
                cmocka_unit_test(test_standing_is_what_the_last_entry_says),
                cmocka_unit_test(test_an_index_of_numbers_never_issued_is_of_no_use),
                cmocka_unit_test(test_no_more_is_kept_than_the_limits_say),
                cmocka_unit_test(test_texts_have_a_limit),
                cmocka_unit_test(test_lists_are_cut_at_their_limit),
                cmocka_unit_test(test_aliases_lead_to_their_rfcs_in_any_pieces),
                cmocka_unit_test(test_missing_texts_are_known),
                cmocka_unit_test(test_the_day_it_was_made),
                cmocka_unit_test(test_days_are_written_as_people_sort_them),
                cmocka_unit_test(test_the_first_day_counts_and_is_known_at_once),
                cmocka_unit_test(test_title_is_the_paragraph_after_the_header),
                cmocka_unit_test(test_any_beginning_of_a_text_is_read_safely),
                cmocka_unit_test(test_title_member_is_taken_from_json),
                cmocka_unit_test(test_any_beginning_of_json_is_read_safely),
                cmocka_unit_test(test_a_title_is_valid_whatever_it_was_made_of),
                cmocka_unit_test(test_a_long_title_is_cut_at_a_whole_character),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
