/* SPDX-License-Identifier: BSD-2-Clause */
#include "peerd/pages.h"

#include <errno.h>
#include <openssl/evp.h>

#include "core/proto.h"

/* Rows made per hold of the lock: some 200 µs. */
#define ROWS_SLICE 256

/* Under the lock: what the editor's index says of it. */
static int add_row(Documents *d, RfcIndex *index, const PageHead *head, const IndexLine *line, Buf *b) {
        const RfcMeta *meta = documents_meta(d);
        PageLink by[RFC_META_RELATED_MAX];
        RfcMetaInfo info;
        RfcRecord record;
        PageRow row = {
                .number = line->number,
                .title = line->title,
                .size = line->size,
                .standing = rfc_meta_standing(meta, line->number),
                .by = by,
        };

        if (row.standing == RFC_OBSOLETE && rfc_meta_get(meta, line->number, &info))
                for (size_t i = 0; i < info.n_related[RFC_OBSOLETED_BY]; i++) {
                        const uint32_t number = info.related[RFC_OBSOLETED_BY][i];
                        by[row.n_by++] = (PageLink){ number, rfc_index_get_own(index, number, &record) };
                }
        return page_add(b, head, &row);
}

/* Up to ROWS_SLICE more rows. 0: there may be more; BUF_FULL, -ENOMEM. */
static int add_rows(Documents *d, const PageHead *head, Slice *lines, size_t *n_left, Buf *b) {
        RfcIndex *index = documents_lock(d);
        IndexLine line;
        int k = 0;

        for (unsigned i = 0; k == 0 && i < ROWS_SLICE && *n_left > 0; i++) {
                if (proto_parse_index_line(lines, false, &line) != 0)
                        break;
                k = add_row(d, index, head, &line, b);
                if (k == 0)
                        --*n_left;
        }
        documents_unlock(d);
        return k;
}

static void count_lines(Slice lines, PageHead *head) {
        IndexLine line;

        while (proto_parse_index_line(&lines, false, &line) == 0) {
                head->n++;
                head->bytes += line.size;
        }
}

static int make_page(Documents *d, const OwnIndex *own, PageKind kind, const char *host, OwnPage *page) {
        PageHead head = { .kind = kind, .host = slice_of(host) };
        Slice lines = buf_slice(&own->body);

        count_lines(lines, &head);      /* our own lines: they parse */
        size_t n_left = head.n;
        (void) documents_lock(d);
        head.has_index = documents_meta(d);
        documents_unlock(d);

        int k = page_begin(&page->body, &head);
        while (k == 0 && n_left > 0)
                k = add_rows(d, &head, &lines, &n_left, &page->body);
        if (k >= 0)
                k = page_end(&page->body, &head, n_left);
        if (k != 0)
                return k < 0 ? k : -EMSGSIZE;
        return EVP_Digest(page->body.data, page->body.size, page->digest.bytes, NULL, EVP_sha256(), NULL) ? 0 : -ENOMEM;
}

int pages_get(Documents *d, OwnIndex *own, PageKind kind, const char *host, const OwnPage **ret) {
        OwnPage *found = atomic_load_explicit(&own->pages[kind], memory_order_acquire);
        _cleanup_(own_page_free_p) OwnPage *page = NULL;

        if (!found) {
                page = calloc(1, sizeof(*page));
                if (!page)
                        return -ENOMEM;
                page->body = BUF_INIT(PAGE_SIZE_MAX);
                int k = make_page(d, own, kind, host, page);
                if (k < 0)
                        return k;
                if (atomic_compare_exchange_strong_explicit(&own->pages[kind], &found, page, memory_order_acq_rel,
                                                            memory_order_acquire))
                        found = TAKE_PTR(page);
        }
        *ret = found;
        return 0;
}
