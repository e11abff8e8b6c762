/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/* The inside of RfcMeta, for rfc-meta.c and rfc-meta-entry.c only: what stands in rfc-index.txt, as it is written. */

#include "core/rfc-meta.h"

/* Slices of the entry that was read; NULL where it has no such thing. */
typedef struct RfcMetaEntry {
        uint32_t number;
        bool issued;                    /* false: "Not Issued.", and nothing else is told */
        Slice title, authors, date, status;
        Slice formats;
        Slice related[_RFC_RELATION_MAX];       /* lists, for rfc_meta_next_related() */
        RfcAlias aliases[RFC_META_ALIASES_MAX];
        size_t n_aliases;
} RfcMetaEntry;

/* An entry joined to one line. 0; RFC_META_NONE: it is none, and *ret is untouched. */
int rfc_meta_read_entry(Slice s, RfcMetaEntry *ret) _must_check_;
/* Takes the next RFC number off a list; other words ("BCP9") are passed over. false: that was all. */
bool rfc_meta_next_related(Slice *rest, uint32_t *ret);
/* "(CREATED ON: 08/21/2026.)" to days since 1970-01-01; 0: the line is something else. */
uint32_t rfc_meta_read_created(Slice line);
