/* SPDX-License-Identifier: BSD-2-Clause */
/* The body of an answer to RFCQuery, as it comes: bytes to lines that are in order and belong there. */
#include <errno.h>

#include "core/index-merge-internal.h"

int index_merge_new(const IndexMergeConf *conf, IndexMerge **ret) {
        assert((conf->kind == INDEX_MERGE_SET) == (conf->set != NULL));

        IndexMerge *m = calloc(1, sizeof(*m));
        if (!m)
                return -ENOMEM;
        m->conf = *conf;
        buf_init(&m->partial, PROTO_INDEX_LINE_MAX);
        buf_init(&m->titles, PROTO_INDEX_BYTES_MAX);
        *ret = m;
        return 0;
}

IndexMerge *index_merge_free(IndexMerge *m) {
        if (!m)
                return NULL;
        buf_done(&m->partial);
        buf_done(&m->titles);
        free(m->lines);
        free(m);
        return NULL;
}

/* ---- parsing ---- */

static int check_line(const IndexMerge *m, const IndexLine *l) {
        if (l->ttl_sec == 0 && !l->removed)
                return RFC_INDEX_BAD;
        if (m->conf.kind == INDEX_MERGE_OWN && !l->self)
                return RFC_INDEX_BAD;
        if (m->conf.kind == INDEX_MERGE_SET && !rfc_set_contains(m->conf.set, l->number))
                return RFC_INDEX_BAD;
        if (m->n_lines == 0)
                return 0;

        const MergeLine *last = &m->lines[m->n_lines - 1];
        if (last->number != l->number)
                return last->number < l->number ? 0 : RFC_INDEX_BAD;
        IndexLine before = { .number = last->number, .self = last->self, .holder = last->holder };
        return proto_compare_index_lines(&before, l) < 0 ? 0 : RFC_INDEX_BAD;
}

static int add_line(IndexMerge *m, const IndexLine *l) {
        int r = check_line(m, l);
        if (r != 0)
                return r;
        if (m->n_lines >= PROTO_INDEX_RECORDS_MAX)
                return RFC_INDEX_TOO_LARGE;
        if (m->n_lines == m->allocated) {
                size_t wanted = MAX_OF(m->allocated * 2, (size_t) 64);
                MergeLine *grown = reallocarray(m->lines, wanted, sizeof(*grown));
                if (!grown)
                        return -ENOMEM;
                m->lines = grown;
                m->allocated = wanted;
        }

        uint32_t title_at = (uint32_t) m->titles.size;
        r = buf_append_slice(&m->titles, l->title);
        if (r != 0)
                return r < 0 ? r : RFC_INDEX_TOO_LARGE;
        m->lines[m->n_lines++] = (MergeLine){
                .digest = l->digest,
                .size = l->size,
                .number = l->number,
                .ttl_sec = l->ttl_sec,
                .title_at = title_at,
                .title_size = (uint16_t) l->title.size,
                .self = l->self,
                .removed = l->removed,
                .holder = l->self ? m->conf.source : l->holder,
        };
        return 0;
}

/* Whole lines from the start of *bytes; what is left of it then has no line end. */
static int add_lines(IndexMerge *m, Slice *bytes) {
        while (bytes->size > 0) {
                IndexLine line;
                int r = proto_parse_index_line(bytes, m->conf.kind == INDEX_MERGE_DELTA, &line);
                if (r == PROTO_MORE)
                        return 0;
                if (r != 0)
                        return r < 0 ? r : RFC_INDEX_BAD;
                r = add_line(m, &line);
                if (r != 0)
                        return r;
        }
        return 0;
}

static int keep_partial(IndexMerge *m, Slice bytes) {
        int r = buf_append_slice(&m->partial, bytes);
        return r > 0 ? RFC_INDEX_BAD : r;
}

static int feed(IndexMerge *m, Slice bytes) {
        if (m->partial.size > 0 && bytes.size > 0) {
                const char *end = memchr(bytes.data, '\n', bytes.size);
                Slice first = { bytes.data, end ? (size_t) (end - bytes.data) + 1 : bytes.size };
                int r = keep_partial(m, first);
                if (r != 0)
                        return r;
                Slice line = buf_slice(&m->partial);
                r = add_lines(m, &line);
                if (r != 0 || !end)
                        return r;
                buf_clear(&m->partial);
                bytes = (Slice){ bytes.data + first.size, bytes.size - first.size };
        }

        int r = add_lines(m, &bytes);
        return r != 0 ? r : keep_partial(m, bytes);
}

int index_merge_feed(IndexMerge *m, Slice bytes) {
        if (m->phase == MERGE_SPENT)
                return RFC_INDEX_BAD;
        assert(m->phase == MERGE_FEEDING);

        int r;
        if (bytes.size > PROTO_INDEX_BYTES_MAX - m->n_bytes)
                r = RFC_INDEX_TOO_LARGE;
        else {
                m->n_bytes += bytes.size;
                r = feed(m, bytes);
        }
        if (r != 0)
                m->phase = MERGE_SPENT;
        return r;
}

int index_merge_end(IndexMerge *m) {
        if (m->phase == MERGE_SPENT)
                return RFC_INDEX_BAD;
        assert(m->phase == MERGE_FEEDING);

        if (m->partial.size > 0) {
                m->phase = MERGE_SPENT;
                return RFC_INDEX_BAD;
        }
        m->phase = MERGE_PUTTING;
        return 0;
}

Slice index_merge_title(const IndexMerge *m, const MergeLine *l) {
        return l->title_size == 0 ? (Slice){ NULL, 0 } : (Slice){ m->titles.data + l->title_at, l->title_size };
}

bool index_merge_next_own(const IndexMerge *m, uint32_t after, RfcRecord *ret) {
        assert(m->phase >= MERGE_PUTTING);

        size_t low = 0, high = m->n_lines;
        while (low < high) {
                size_t middle = low + (high - low) / 2;
                if (m->lines[middle].number <= after)
                        low = middle + 1;
                else
                        high = middle;
        }
        while (low < m->n_lines && !m->lines[low].self)
                low++;
        if (low == m->n_lines)
                return false;

        const MergeLine *l = &m->lines[low];
        *ret = (RfcRecord){
                .number = l->number,
                .size = l->size,
                .digest = l->digest,
                .title = index_merge_title(m, l),
                .first_hand = true,
                .holder = m->conf.source,
                .source = m->conf.source,
                .expires_at = usec_add(m->conf.sent_at, l->ttl_sec * USEC_PER_SEC),
        };
        return true;
}
