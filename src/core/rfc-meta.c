/* SPDX-License-Identifier: BSD-2-Clause */
/* rfc-index.txt: lines to entries, and what is kept of them. */
#include "core/rfc-meta-internal.h"

#include <ctype.h>
#include <errno.h>

#include "core/proto.h"
#include "core/text.h"

/* Longest line: those of the real file have 72 bytes. */
#define LINE_MAX_SIZE 1024
/* Longer dates and statuses are none; "INTERNET STANDARD" is long. */
#define SHORT_TEXT_MAX UINT8_MAX

/* 28 bytes. */
typedef struct MetaItem {
        uint32_t number;
        uint32_t serial;                /* of one number the last entry counts */
        uint32_t texts_at;              /* in RfcMeta.texts: title, authors, date, status, behind one another */
        uint32_t related_at;            /* in RfcMeta.related: its lists, likewise */
        uint16_t title_size, authors_size;
        uint8_t date_size, status_size;
        uint8_t n_related[_RFC_RELATION_MAX];
        bool issued, has_text;
} MetaItem;

/* One RFC of an alias. */
typedef struct MetaAlias {
        RfcAlias alias;
        uint32_t number, serial;        /* of the entry: what a later one does not repeat is no alias */
} MetaAlias;

struct RfcMeta {
        size_t n_bytes;                 /* fed so far, up to RFC_META_BYTES_MAX */
        TextLine line;
        Buf entry;                      /* joined to one line; empty: not in an entry */
        bool skip_entry;
        bool ended;
        Buf texts;
        uint32_t *related;              /* owned */
        size_t n_related, allocated_related;
        MetaItem *items;                /* owned; sorted by rfc_meta_end() */
        size_t n, allocated;
        MetaAlias *aliases;             /* owned; sorted by rfc_meta_end() */
        size_t n_aliases, allocated_aliases;
        size_t n_issued;                /* set by rfc_meta_end() */
        uint32_t created;               /* days; 0: not told */
};

int rfc_meta_new(RfcMeta **ret) {
        RfcMeta *m = calloc(1, sizeof(*m));
        if (!m)
                return -ENOMEM;
        m->line = TEXT_LINE_INIT(LINE_MAX_SIZE);
        buf_init(&m->entry, RFC_META_ENTRY_MAX);
        buf_init(&m->texts, RFC_META_TEXTS_MAX);
        *ret = m;
        return 0;
}

RfcMeta *rfc_meta_free(RfcMeta *m) {
        if (!m)
                return NULL;
        text_line_done(&m->line);
        buf_done(&m->entry);
        buf_done(&m->texts);
        free(m->related);
        free(m->aliases);
        free(m->items);
        free(m);
        return NULL;
}

/* ---- entries ---- */

/* A full array, grown. NULL: no memory, and array is as before. */
static void *array_grow(void *array, size_t *allocated, size_t item_size) {
        size_t wanted = MAX_OF(*allocated * 2, (size_t) 1024);
        void *grown = reallocarray(array, wanted, item_size);
        if (grown)
                *allocated = wanted;
        return grown;
}

/* Appends what is left of a text when it is made fit to be shown; longer ones than max are left out. */
static int add_text(RfcMeta *m, Slice raw, size_t max, size_t *ret_size) {
        _cleanup_buf_ Buf clean = BUF_INIT(PROTO_TITLE_MAX);
        int r = rfc_title_clean(raw, &clean);
        if (r < 0)
                return r;
        if (clean.size > max)
                buf_clear(&clean);
        r = buf_append_slice(&m->texts, buf_slice(&clean));
        *ret_size = r == 0 ? clean.size : 0;
        return r < 0 ? r : 0;
}

static int add_related(RfcMeta *m, Slice list, uint8_t *ret_n) {
        uint32_t number;
        uint8_t n = 0;

        while (n < RFC_META_RELATED_MAX && m->n_related < RFC_META_RELATIONS_MAX &&
               rfc_meta_next_related(&list, &number)) {
                if (m->n_related == m->allocated_related) {
                        uint32_t *grown = array_grow(m->related, &m->allocated_related, sizeof(*grown));
                        if (!grown)
                                return -ENOMEM;
                        m->related = grown;
                }
                m->related[m->n_related++] = number;
                n++;
        }
        *ret_n = n;
        return 0;
}

static int add_aliases(RfcMeta *m, const RfcMetaEntry *e, const MetaItem *item) {
        for (size_t i = 0; i < e->n_aliases; i++) {
                if (m->n_aliases == m->allocated_aliases) {
                        MetaAlias *grown = array_grow(m->aliases, &m->allocated_aliases, sizeof(*grown));
                        if (!grown)
                                return -ENOMEM;
                        m->aliases = grown;
                }
                m->aliases[m->n_aliases++] = (MetaAlias){ e->aliases[i], item->number, item->serial };
        }
        return 0;
}

/* Is TXT among "TXT, HTML"? The format is newer than the documents: who does not tell has a text. */
static bool formats_have_text(Slice formats) {
        Slice word;
        if (formats.size == 0)
                return true;
        while (slice_split(&formats, ',', &word)) {
                word = slice_trim(word);
                if (slice_equal_nocase(word, SLICE_LITERAL("TXT")) || slice_equal_nocase(word, SLICE_LITERAL("ASCII")))
                        return true;
        }
        return false;
}

static int add_issued(RfcMeta *m, const RfcMetaEntry *e, MetaItem *item) {
        size_t title, authors, date, status;
        int r = add_text(m, e->title, PROTO_TITLE_MAX, &title);

        /* Before anything is kept that would be taken for what the next entry has. */
        if (r == 0 && title == 0)
                return RFC_META_NONE;
        if (r == 0)
                r = add_text(m, e->authors, PROTO_TITLE_MAX, &authors);
        if (r == 0)
                r = add_text(m, e->date, SHORT_TEXT_MAX, &date);
        if (r == 0)
                r = add_text(m, e->status, SHORT_TEXT_MAX, &status);
        for (size_t i = 0; i < _RFC_RELATION_MAX && r == 0; i++)
                r = add_related(m, e->related[i], &item->n_related[i]);
        if (r == 0)
                r = add_aliases(m, e, item);
        if (r != 0)
                return r;
        item->title_size = (uint16_t) title;
        item->authors_size = (uint16_t) authors;
        item->date_size = (uint8_t) date;
        item->status_size = (uint8_t) status;
        item->issued = true;
        item->has_text = formats_have_text(e->formats);
        return 0;
}

static int add_entry(RfcMeta *m, const RfcMetaEntry *e) {
        if (m->n == m->allocated) {
                MetaItem *grown = array_grow(m->items, &m->allocated, sizeof(*grown));
                if (!grown)
                        return -ENOMEM;
                m->items = grown;
        }
        MetaItem item = {
                .number = e->number,
                .serial = (uint32_t) m->n,
                .texts_at = (uint32_t) m->texts.size,
                .related_at = (uint32_t) m->n_related,
        };
        int r = e->issued ? add_issued(m, e, &item) : 0;
        if (r == 0)
                m->items[m->n++] = item;
        return r < 0 ? r : 0;
}

static int end_entry(RfcMeta *m) {
        RfcMetaEntry entry;
        int r = 0;

        if (!m->skip_entry && m->n < RFC_META_ENTRIES_MAX && rfc_meta_read_entry(buf_slice(&m->entry), &entry) == 0)
                r = add_entry(m, &entry);
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
        Slice line = buf_slice(&m->line.text);
        int r = 0;

        while (line.size > 0 && isspace((unsigned char) line.data[line.size - 1]))
                line.size--;
        if (m->line.too_long)
                m->skip_entry = true;
        else if (line.size == 0)
                r = end_entry(m);
        else if (m->created == 0 && m->n == 0 && line.data[0] == '(')
                m->created = rfc_meta_read_created(line);
        else if (isdigit((unsigned char) line.data[0])) {
                r = end_entry(m);
                if (r == 0)
                        r = add_to_entry(m, line);
        } else if (line.data[0] != ' ' && line.data[0] != '\t')
                r = end_entry(m);
        else if (m->entry.size > 0)
                r = add_to_entry(m, slice_trim(line));
        text_line_clear(&m->line);
        return r;
}

int rfc_meta_feed(RfcMeta *m, Slice bytes) {
        assert(!m->ended);

        size_t n = MIN_OF(bytes.size, RFC_META_BYTES_MAX - m->n_bytes);
        m->n_bytes += n;
        Slice rest = { bytes.data, n };
        for (int r; (r = text_line_take(&m->line, &rest)) != TEXT_MORE;) {
                if (r == 0)
                        r = end_line(m);
                if (r != 0)
                        return r;
        }
        return 0;
}

static int compare_items(const void *a, const void *b) {
        const MetaItem *x = a, *y = b;
        if (x->number != y->number)
                return x->number < y->number ? -1 : 1;
        return x->serial < y->serial ? -1 : x->serial > y->serial;
}

static int compare_number(const void *key, const void *item) {
        uint32_t number = *(const uint32_t *) key, other = ((const MetaItem *) item)->number;
        return number < other ? -1 : number > other;
}

static const MetaItem *find_item(const RfcMeta *m, uint32_t number) {
        return m->n > 0 ? bsearch(&number, m->items, m->n, sizeof(*m->items), compare_number) : NULL;
}

static int compare_aliases(const void *a, const void *b) {
        const MetaAlias *x = a, *y = b;
        if (x->alias.series != y->alias.series)
                return x->alias.series < y->alias.series ? -1 : 1;
        if (x->alias.number != y->alias.number)
                return x->alias.number < y->alias.number ? -1 : 1;
        return x->number < y->number ? -1 : x->number > y->number;
}

/* Sorts them; those of entries that a later one of that number has replaced go, and what is there twice. */
static void end_aliases(RfcMeta *m) {
        size_t n = 0;

        if (m->n_aliases == 0)
                return;
        qsort(m->aliases, m->n_aliases, sizeof(*m->aliases), compare_aliases);
        for (size_t i = 0; i < m->n_aliases; i++) {
                const MetaItem *item = find_item(m, m->aliases[i].number);
                if (!item || item->serial != m->aliases[i].serial ||
                    (n > 0 && compare_aliases(&m->aliases[n - 1], &m->aliases[i]) == 0))
                        continue;
                m->aliases[n++] = m->aliases[i];
        }
        m->n_aliases = n;
}

int rfc_meta_end(RfcMeta *m) {
        assert(!m->ended);

        int r = end_line(m);
        if (r == 0)
                r = end_entry(m);
        if (r < 0)
                return r;
        m->ended = true;
        text_line_done(&m->line);
        buf_done(&m->entry);
        if (m->n == 0)
                return RFC_META_NONE;

        qsort(m->items, m->n, sizeof(*m->items), compare_items);
        size_t n = 0;
        for (size_t i = 0; i < m->n; i++) {
                if (i + 1 < m->n && m->items[i].number == m->items[i + 1].number)
                        continue;
                m->items[n++] = m->items[i];
                m->n_issued += m->items[i].issued;
        }
        m->n = n;
        end_aliases(m);
        return m->n_issued > 0 ? 0 : RFC_META_NONE;
}

/* ---- looking up ---- */

static Slice next_text(const char **p, size_t size) {
        Slice s = { *p, size };
        *p += size;
        return s;
}

bool rfc_meta_get(const RfcMeta *m, uint32_t number, RfcMetaInfo *ret) {
        assert(m->ended);

        const MetaItem *item = find_item(m, number);
        if (!item)
                return false;
        *ret = (RfcMetaInfo){ .issued = item->issued, .has_text = item->has_text };
        if (!item->issued)
                return true;
        const char *p = m->texts.data + item->texts_at;
        ret->title = next_text(&p, item->title_size);
        ret->authors = next_text(&p, item->authors_size);
        ret->date = next_text(&p, item->date_size);
        ret->status = next_text(&p, item->status_size);
        size_t at = item->related_at;
        for (size_t i = 0; i < _RFC_RELATION_MAX; i++) {
                ret->n_related[i] = item->n_related[i];
                ret->related[i] = ret->n_related[i] > 0 ? m->related + at : NULL;
                at += ret->n_related[i];
        }
        return true;
}

bool rfc_meta_title(const RfcMeta *m, uint32_t number, Slice *ret) {
        assert(m->ended);

        const MetaItem *item = find_item(m, number);
        if (!item || !item->issued)
                return false;
        *ret = (Slice){ m->texts.data + item->texts_at, item->title_size };
        return true;
}

RfcStanding rfc_meta_standing(const RfcMeta *m, uint32_t number) {
        const MetaItem *item = m ? find_item(m, number) : NULL;
        if (!item)
                return RFC_UNKNOWN;
        return !item->issued                        ? RFC_NEVER_ISSUED :
               item->n_related[RFC_OBSOLETED_BY] > 0 ? RFC_OBSOLETE :
                                                       RFC_CURRENT;
}

size_t rfc_meta_count(const RfcMeta *m) {
        return m->n_issued;
}

size_t rfc_meta_alias(const RfcMeta *m, RfcAlias alias, uint32_t *ret, size_t n) {
        const MetaAlias first = { .alias = alias };
        size_t low = 0, high = m ? m->n_aliases : 0, found = 0;

        while (low < high) {
                size_t middle = low + (high - low) / 2;

                if (compare_aliases(&m->aliases[middle], &first) < 0)
                        low = middle + 1;
                else
                        high = middle;
        }
        for (; m && low < m->n_aliases && m->aliases[low].alias.series == alias.series &&
               m->aliases[low].alias.number == alias.number; low++, found++)
                if (found < n)
                        ret[found] = m->aliases[low].number;
        return found;
}

uint32_t rfc_meta_created(const RfcMeta *m) {
        return m->created;
}
