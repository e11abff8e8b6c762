/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rfc-index.txt. An entry, joined to one line, is
 *     NNNN Title. A. Author, B. Author, Ed. Month Year. (Format: …) (…)
 * with titles that may hold ". " themselves, and authors that may be organisations. So it is read from the right:
 * first the date, then the authors, and what is left is the title.
 */
#include "core/rfc-meta.h"

#include <ctype.h>
#include <errno.h>

#include "core/proto.h"
#include "core/rfc-number.h"
#include "core/text.h"

/* Longest line: those of the real file have 72 bytes. */
#define LINE_MAX_SIZE 1024

typedef struct MetaTitle {
        uint32_t number;
        uint32_t at;                    /* in RfcMeta.titles */
        uint32_t size;
} MetaTitle;

struct RfcMeta {
        size_t n_bytes;                 /* fed so far, up to RFC_META_BYTES_MAX */
        Buf line;
        bool skip_line;                 /* too long: passed over up to its end */
        Buf entry;                      /* joined to one line; empty: not in an entry */
        bool skip_entry;
        bool ended;
        Buf titles;
        MetaTitle *items;               /* owned; sorted by rfc_meta_end() */
        size_t n, allocated;
};

int rfc_meta_new(RfcMeta **ret) {
        RfcMeta *m = calloc(1, sizeof(*m));
        if (!m)
                return -ENOMEM;
        buf_init(&m->line, LINE_MAX_SIZE);
        buf_init(&m->entry, RFC_META_ENTRY_MAX);
        buf_init(&m->titles, RFC_META_BYTES_MAX);
        *ret = m;
        return 0;
}

RfcMeta *rfc_meta_free(RfcMeta *m) {
        if (!m)
                return NULL;
        buf_done(&m->line);
        buf_done(&m->entry);
        buf_done(&m->titles);
        free(m->items);
        free(m);
        return NULL;
}

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

/* Does s start with ". Month Year." or ". Day Month Year."? */
static bool is_date(Slice s) {
        static const char *const months[] = { "January", "February", "March",     "April",   "May",      "June",
                                              "July",    "August",   "September", "October", "November", "December" };
        if (!slice_starts_with(s, ". "))
                return false;
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
                                return false;
                return true;
        }
        return false;
}

/* "Title. Authors. Month Year. (Format: …" to "Title". Without a date it is no entry. */
static bool cut_title(Slice s, Slice *ret) {
        for (size_t i = s.size; i-- > 0;)
                if (s.data[i] == '.' && is_date((Slice){ s.data + i, s.size - i })) {
                        *ret = cut_authors((Slice){ s.data, i });
                        return true;
                }
        return false;
}

/* ---- entries ---- */

static int add_title(RfcMeta *m, uint32_t number, Slice title) {
        _cleanup_buf_ Buf clean = BUF_INIT(PROTO_TITLE_MAX);
        int r = rfc_title_clean(title, &clean);
        if (r != 0)
                return r < 0 ? r : 0;

        if (m->n == m->allocated) {
                size_t wanted = MAX_OF(m->allocated * 2, (size_t) 1024);
                MetaTitle *grown = reallocarray(m->items, wanted, sizeof(*grown));
                if (!grown)
                        return -ENOMEM;
                m->items = grown;
                m->allocated = wanted;
        }
        uint32_t at = (uint32_t) m->titles.size;
        r = buf_append_slice(&m->titles, buf_slice(&clean));
        if (r != 0)
                return r < 0 ? r : 0;
        m->items[m->n++] = (MetaTitle){ number, at, (uint32_t) clean.size };
        return 0;
}

static int end_entry(RfcMeta *m) {
        Slice rest = buf_slice(&m->entry), word, title;
        int r = 0;

        uint32_t number;
        if (!m->skip_entry && rest.size > 0 && slice_split(&rest, ' ', &word) &&
            rfc_number_from_text(word, &number) == 0 && cut_title(rest, &title))
                r = add_title(m, number, title);
        buf_clear(&m->entry);
        m->skip_entry = false;
        return r;
}

/* Lines are joined with a blank, but for a word that was cut at its hyphen. */
static bool is_cut_word(Slice s, Slice next) {
        return s.size >= 2 && s.data[s.size - 1] == '-' && isalnum((unsigned char) s.data[s.size - 2]) &&
               !slice_starts_with(next, "and ") && !slice_starts_with(next, "or ");
}

static int add_to_entry(RfcMeta *m, Slice line) {
        int r = 0;
        if (m->entry.size > 0 && !is_cut_word(buf_slice(&m->entry), line))
                r = buf_append_char(&m->entry, ' ');
        if (r == 0)
                r = buf_append_slice(&m->entry, line);
        if (r > 0)
                m->skip_entry = true;
        return r < 0 ? r : 0;
}

static int end_line(RfcMeta *m) {
        Slice line = buf_slice(&m->line);
        int r = 0;

        while (line.size > 0 && isspace((unsigned char) line.data[line.size - 1]))
                line.size--;
        if (m->skip_line)
                m->skip_entry = true;
        else if (line.size == 0)
                r = end_entry(m);
        else if (isdigit((unsigned char) line.data[0])) {
                r = end_entry(m);
                if (r == 0)
                        r = add_to_entry(m, line);
        } else if (line.data[0] != ' ' && line.data[0] != '\t')
                r = end_entry(m);
        else if (m->entry.size > 0)
                r = add_to_entry(m, slice_trim(line));
        buf_clear(&m->line);
        m->skip_line = false;
        return r;
}

int rfc_meta_feed(RfcMeta *m, Slice bytes) {
        assert(!m->ended);

        size_t n = MIN_OF(bytes.size, RFC_META_BYTES_MAX - m->n_bytes);
        m->n_bytes += n;
        for (Slice rest = { bytes.data, n }; rest.size > 0;) {
                const char *end = memchr(rest.data, '\n', rest.size);
                Slice piece = { rest.data, end ? (size_t) (end - rest.data) : rest.size };
                int r = m->skip_line ? 0 : buf_append_slice(&m->line, piece);
                if (r < 0)
                        return r;
                if (r > 0)
                        m->skip_line = true;
                if (end) {
                        r = end_line(m);
                        if (r < 0)
                                return r;
                        piece.size++;
                }
                rest = (Slice){ rest.data + piece.size, rest.size - piece.size };
        }
        return 0;
}

static int compare_items(const void *a, const void *b) {
        const MetaTitle *x = a, *y = b;
        if (x->number != y->number)
                return x->number < y->number ? -1 : 1;
        return x->at < y->at ? -1 : x->at > y->at;
}

int rfc_meta_end(RfcMeta *m) {
        assert(!m->ended);

        int r = end_line(m);
        if (r == 0)
                r = end_entry(m);
        if (r < 0)
                return r;
        m->ended = true;
        buf_done(&m->line);
        buf_done(&m->entry);
        if (m->n == 0)
                return RFC_META_NONE;

        /* Of one number the last entry counts. */
        qsort(m->items, m->n, sizeof(*m->items), compare_items);
        size_t n = 0;
        for (size_t i = 0; i < m->n; i++)
                if (i + 1 == m->n || m->items[i].number != m->items[i + 1].number)
                        m->items[n++] = m->items[i];
        m->n = n;
        return 0;
}

static int compare_number(const void *key, const void *item) {
        uint32_t number = *(const uint32_t *) key, other = ((const MetaTitle *) item)->number;
        return number < other ? -1 : number > other;
}

bool rfc_meta_title(const RfcMeta *m, uint32_t number, Slice *ret) {
        assert(m->ended);

        if (m->n == 0)
                return false;
        const MetaTitle *t = bsearch(&number, m->items, m->n, sizeof(*m->items), compare_number);
        if (!t)
                return false;
        *ret = (Slice){ m->titles.data + t->at, t->size };
        return true;
}

size_t rfc_meta_count(const RfcMeta *m) {
        return m->n;
}
