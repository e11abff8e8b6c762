/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * Manifest: what the administrator says that documents are. Read from a file as sha256sum writes it: 64 hex digits, a
 * blank, a blank or '*', a name. Of the name only what stands behind the last '/' counts: "rfcN.txt", as the library
 * names it, or "rfc-index.txt".
 *
 * The file may be about other things too, and comes from people: what is no such line is counted and passed over, and
 * a number that has two digests has none.
 */

#include "core/base.h"

typedef struct Manifest Manifest;

/* Longest file: the 9,900 RFCs of 2026 make 0.8 MB. It names at most 894,784 RFCs, of which 36 bytes each are kept. */
#define MANIFEST_BYTES_MAX (64u << 20)
/* Longest line: a digest and the longest path that Linux knows. */
#define MANIFEST_LINE_MAX 4200

/* Answers */
enum {
        MANIFEST_TOO_LARGE = 1,         /* longer than MANIFEST_BYTES_MAX */
};

int manifest_new(Manifest **ret) _must_check_;
Manifest *manifest_free(Manifest *m);
DEFINE_CLEANUP(Manifest *, manifest_free)
/* Bytes of the file as they come. 0, TOO_LARGE, -ENOMEM. */
int manifest_feed(Manifest *m, Slice bytes) _must_check_;
/* The end; what follows may be asked after it only. 0, -ENOMEM. */
int manifest_end(Manifest *m) _must_check_;

/* The digest of that RFC; NULL: it says nothing of it. Valid as long as m. */
const Digest *manifest_get(const Manifest *m, uint32_t number);
/* The same for the editor's rfc-index.txt. */
const Digest *manifest_editor_index(const Manifest *m);
/* The lowest number > after that it names; 0: none. */
uint32_t manifest_next(const Manifest *m, uint32_t after);

typedef struct ManifestInfo {
        size_t n_named;                 /* RFCs that it gives the digest of */
        size_t n_other;                 /* lines about other files, empty ones, comments ('#') */
        size_t n_bad;                   /* lines that are nothing of the kind */
        uint64_t first_bad;             /* line of the first one, counted from 1; 0: none */
        size_t n_elsewhere;             /* lines about a file in another directory: its name has a '/' */
        uint64_t first_elsewhere;       /* as first_bad */
        size_t n_torn;                  /* named twice, with different digests: these count for nothing */
        uint32_t first_torn;            /* the lowest such number; 0: none, or it is rfc-index.txt alone */
} ManifestInfo;

void manifest_get_info(const Manifest *m, ManifestInfo *ret);
