/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An entry of rfc-index.txt, joined to one line, is
 *     NNNN Title. A. Author, B. Author, Ed. Month Year. (Format: …) (Obsoletes RFC…, RFC…) (…) (Status: …) (…)
 * with titles that may hold ". " themselves, and authors that may be organisations. So its sentences are read from the
 * right: first the date, then the authors, and what is left is the title. What is in parentheses stands behind the
 * date, in any order.
 */
#include "core/rfc-meta-internal.h"

#include <ctype.h>
#include <stdio.h>

#include "core/rfc-number.h"
#include "core/text.h"

/* ---- title and authors ---- */

static bool is_letter(char c) {
        return isalpha((unsigned char) c) || (unsigned char) c >= 0x80;
}

/* "J-P." and "Y(J)." are initials too. */
static bool is_initial(char c) {
        return is_letter(c) || c == '-' || c == '(' || c == ')';
}

/* A bound that keeps hostile entries cheap. */
#define INITIALS_MAX 8

/* The size of "A.", "A.B.", "J-P.", "Ch. " with what blanks or hyphens follow; 0: s doesn't start with initials. */
static size_t initials_size(Slice s) {
        size_t size = 0;
        for (unsigned n = 0; n < INITIALS_MAX && size < s.size; n++) {
                size_t i = size;
                while (i < s.size && i - size <= 4 && is_initial(s.data[i]))
                        i++;
                if (i == size || i - size > 4 || i == s.size || s.data[i] != '.' || !is_letter(s.data[size]))
                        break;
                for (i++; i < s.size && (s.data[i] == ' ' || s.data[i] == '-'); i++)
                        ;
                size = i;
        }
        return size;
}

static bool is_person(Slice s) {
        s = slice_trim(s);
        size_t size = initials_size(s);
        return size > 0 && size < s.size && is_letter(s.data[size]);
}

static bool is_suffix(Slice s) {
        static const char *const suffixes[] = { "Ed", "Eds", "Jr", "Sr", "II", "III", "IV" };
        s = slice_trim(s);
        if (s.size > 0 && s.data[s.size - 1] == '.')
                s.size--;
        for (size_t i = 0; i < ELEMENTSOF(suffixes); i++)
                if (slice_equal(s, slice_of(suffixes[i])))
                        return true;
        return false;
}

/* The first full stop within `item` that is followed by a person, as in "Title. With two stops. A. Author". */
static bool find_first_author(Slice item, const char **ret) {
        for (size_t i = 0; i + 2 < item.size; i++)
                if (item.data[i] == '.' && item.data[i + 1] == ' ' &&
                    is_person((Slice){ item.data + i + 2, item.size - i - 2 })) {
                        *ret = item.data + i;
                        return true;
                }
        return false;
}

/* Does s end with initials, as in "U.S" or "X"? Then a full stop after it ends no title. */
static bool ends_with_initials(Slice s) {
        size_t n = s.size;
        while (n > 0 && isupper((unsigned char) s.data[n - 1])) {
                n--;
                if (n == 0 || s.data[n - 1] == ' ')
                        return true;
                if (s.data[n - 1] != '.' && s.data[n - 1] != '-')
                        return false;
                n--;
        }
        return false;
}

/* Organisations look like anything: whatever stands after the first full stop that can end a sentence. */
static Slice cut_organisation(Slice s) {
        for (size_t i = 1; i + 2 < s.size; i++)
                if (s.data[i] == '.' && s.data[i + 1] == ' ' && !islower((unsigned char) s.data[i + 2]) &&
                    !ends_with_initials((Slice){ s.data, i }))
                        return (Slice){ s.data, i };
        return s;
}

/*
 * "Title, of any kind. A. Author, B. Author, Ed." to the title: the longest list of authors that reaches to the end.
 * So going from the right, item by item, up to the first that is neither person nor suffix: the title ends in that
 * one.
 */
static Slice cut_authors(Slice s) {
        size_t end = s.size;
        const char *stop;
        Slice title = s;
        for (;;) {
                size_t start = end;
                while (start > 0 && s.data[start - 1] != ',')
                        start--;
                Slice item = { s.data + start, end - start };
                if (find_first_author(item, &stop))
                        title = (Slice){ s.data, (size_t) (stop - s.data) };
                if (start == 0 || (!is_person(item) && !is_suffix(item)))
                        break;
                end = start - 1;
        }
        if (title.size == s.size && find_first_author(s, &stop))
                title = (Slice){ s.data, (size_t) (stop - s.data) };    /* with an organisation among the authors */
        return title.size < s.size ? title : cut_organisation(s);
}

/* ---- date ---- */

/* The size of ". Month Year." or ". Day Month Year." at the start of s; 0: none. */
static size_t date_size(Slice s) {
        static const char *const months[] = { "January", "February", "March",     "April",   "May",      "June",
                                              "July",    "August",   "September", "October", "November", "December" };
        if (!slice_starts_with(s, ". "))
                return 0;
        size_t i = 2;
        while (i < s.size && (isdigit((unsigned char) s.data[i]) || s.data[i] == ' '))
                i++;
        for (size_t m = 0; m < ELEMENTSOF(months); m++) {
                Slice rest = { s.data + i, s.size - i };
                size_t n = strlen(months[m]);
                if (!slice_starts_with(rest, months[m]) || rest.size < n + 6 || rest.data[n] != ' ' ||
                    rest.data[n + 5] != '.')
                        continue;
                for (size_t k = 1; k <= 4; k++)
                        if (!isdigit((unsigned char) rest.data[n + k]))
                                return 0;
                return i + n + 6;
        }
        return 0;
}

/* ---- what is in parentheses ---- */

static const char *const relation_words[_RFC_RELATION_MAX] = {
        [RFC_OBSOLETES] = "Obsoletes ",
        [RFC_OBSOLETED_BY] = "Obsoleted by ",
        [RFC_UPDATES] = "Updates ",
        [RFC_UPDATED_BY] = "Updated by ",
};

/* "BCP14", or "BCP14, STD3": the words that are aliases. */
static void read_aliases(Slice list, RfcMetaEntry *e) {
        Slice word;
        RfcAlias a;

        while (e->n_aliases < RFC_META_ALIASES_MAX && slice_split(&list, ',', &word))
                if (rfc_alias_from_text(word, &a) == 0)
                        e->aliases[e->n_aliases++] = a;
}

static void read_parentheses(Slice s, RfcMetaEntry *e) {
        const Slice status = SLICE_LITERAL("Status:"), formats = SLICE_LITERAL("Format:"), also = SLICE_LITERAL("Also ");
        Slice part;

        while (slice_split(&s, '(', &part) && slice_split(&s, ')', &part)) {
                if (slice_starts_with(part, status.data))
                        e->status = slice_trim((Slice){ part.data + status.size, part.size - status.size });
                if (slice_starts_with(part, formats.data))
                        e->formats = slice_trim((Slice){ part.data + formats.size, part.size - formats.size });
                if (slice_starts_with(part, also.data))
                        read_aliases((Slice){ part.data + also.size, part.size - also.size }, e);
                for (size_t i = 0; i < _RFC_RELATION_MAX; i++) {
                        size_t n = strlen(relation_words[i]);
                        if (slice_starts_with(part, relation_words[i]))
                                e->related[i] = (Slice){ part.data + n, part.size - n };
                }
        }
}

bool rfc_meta_next_related(Slice *rest, uint32_t *ret) {
        Slice word;

        while (slice_split(rest, ',', &word)) {
                word = slice_trim(word);
                if (word.size > 3 && slice_equal_nocase((Slice){ word.data, 3 }, SLICE_LITERAL("RFC")) &&
                    rfc_number_from_text(word, ret) == 0)
                        return true;
        }
        return false;
}

/* ---- the preamble ---- */

/* The number before the next `end`, padded or not. */
static bool next_decimal(Slice *s, char end, uint32_t max, uint32_t *ret) {
        Slice word;

        if (!slice_split(s, end, &word))
                return false;
        word = slice_trim(word);
        while (word.size > 1 && word.data[0] == '0')
                word = (Slice){ word.data + 1, word.size - 1 };
        return text_to_uint32(word, max, ret) == 0;
}

static uint32_t days_of_year(uint32_t year) {
        return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0 ? 366 : 365;
}

static uint32_t days_of_month(uint32_t year, uint32_t month) {
        static const uint8_t lengths[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
        return lengths[month - 1] + (uint32_t) (month == 2 && days_of_year(year) == 366);
}

/* Days since 1970-01-01; 0: there is no such day. */
static uint32_t day_from_date(uint32_t year, uint32_t month, uint32_t day) {
        uint32_t days = day - 1;

        if (year < 1970 || month < 1 || month > 12 || day < 1 || day > days_of_month(year, month))
                return 0;
        for (uint32_t m = 1; m < month; m++)
                days += days_of_month(year, m);
        for (uint32_t y = 1970; y < year; y++)
                days += days_of_year(y);
        return days;
}

void rfc_meta_day_to_text(uint32_t day, char ret[RFC_META_DAY_TEXT_SIZE]) {
        uint32_t year = 1970, month = 1;

        ret[0] = '\0';
        if (day == 0)
                return;
        for (; day >= days_of_year(year); year++)
                day -= days_of_year(year);
        for (; day >= days_of_month(year, month); month++)
                day -= days_of_month(year, month);
        (void) snprintf(ret, RFC_META_DAY_TEXT_SIZE, "%04u-%02u-%02u", year % 10000, month % 100, (day + 1) % 100);
}

uint32_t rfc_meta_read_created(Slice line) {
        const Slice before = SLICE_LITERAL("(CREATED ON:");
        uint32_t month, day, year;

        line = slice_trim(line);
        if (line.size <= before.size || !slice_equal_nocase((Slice){ line.data, before.size }, before))
                return 0;
        line = (Slice){ line.data + before.size, line.size - before.size };
        if (!next_decimal(&line, '/', 12, &month) || !next_decimal(&line, '/', 31, &day) ||
            !next_decimal(&line, '.', 9999, &year))
                return 0;
        return day_from_date(year, month, day);
}

/* ---- all of it ---- */

int rfc_meta_read_entry(Slice s, RfcMetaEntry *ret) {
        RfcMetaEntry e = { .number = 0 };
        Slice word;

        if (s.size == 0 || !slice_split(&s, ' ', &word) || rfc_number_from_text(word, &e.number) != 0)
                return RFC_META_NONE;
        if (slice_equal_nocase(slice_trim(s), SLICE_LITERAL("Not Issued."))) {
                *ret = e;
                return 0;
        }
        for (size_t i = s.size; i-- > 0;) {
                size_t n = s.data[i] == '.' ? date_size((Slice){ s.data + i, s.size - i }) : 0;
                if (n == 0)
                        continue;
                const Slice before = { s.data, i };
                e.issued = true;
                e.title = cut_authors(before);
                if (e.title.size + 2 < before.size)
                        e.authors = (Slice){ s.data + e.title.size + 2, before.size - e.title.size - 2 };
                e.date = slice_trim((Slice){ s.data + i + 2, n - 3 });
                read_parentheses((Slice){ s.data + i + n, s.size - i - n }, &e);
                *ret = e;
                return 0;
        }
        return RFC_META_NONE;
}
