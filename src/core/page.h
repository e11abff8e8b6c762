/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * Page: what people see of a peer in a browser: a table of its documents in plain HTML, light or dark as the browser
 * likes it, without script; and the list of the same for mirrors. Titles and names come from outside: they are escaped
 * here, and nowhere else.
 */

#include "core/base.h"
#include "core/buf.h"
#include "core/rfc-meta.h"

typedef enum PageKind {
        PAGE_TABLE,                     /* "/" */
        PAGE_LIST,                      /* "/rfc/" */
        _PAGE_KIND_MAX,
} PageKind;

/*
 * Over this a page says how many documents it leaves out. 65,536 documents with titles as they are have 15 MiB.
 */
#define PAGE_SIZE_MAX (32u << 20)

/* Of all of it. */
typedef struct PageHead {
        PageKind kind;
        Slice host;                     /* name of this host */
        size_t n;                       /* documents */
        uint64_t bytes;                 /* of all of them */
        bool has_index;                 /* the editor's rfc-index.txt is held: it tells what is obsolete */
} PageHead;

/* One that makes another obsolete. */
typedef struct PageLink {
        uint32_t number;
        bool held;                      /* here, so there is something to link to */
} PageLink;

typedef struct PageRow {
        uint32_t number;
        Slice title;
        uint64_t size;
        RfcStanding standing;           /* counts where the head has_index */
        const PageLink *by;             /* RFC_OBSOLETE */
        size_t n_by;
} PageRow;

/* Content-Security-Policy: of it: nothing but its own style. */
extern const char page_policy[];

/* b has room for PAGE_SIZE_MAX. 0, BUF_FULL, -ENOMEM. */
int page_begin(Buf *b, const PageHead *h) _must_check_;
/* The next document, by ascending number. BUF_FULL: there is room for the end only. */
int page_add(Buf *b, const PageHead *h, const PageRow *row) _must_check_;
/* n_left_out: how many documents did not fit. */
int page_end(Buf *b, const PageHead *h, size_t n_left_out) _must_check_;
