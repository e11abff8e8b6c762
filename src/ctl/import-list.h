/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * What is to be imported, from the arguments: files, and directories. A directory with SHA256SUMS, as export writes it,
 * is what that names and nothing else. Of another one all is taken that is called as an RFC or rfc-index.txt, also packed
 * by gzip, and also in its subdirectory "links", as Debian's doc-rfc packages have it.
 */

#include "ctl/import-file.h"

typedef struct ImportList {
        ImportFile *files;              /* owned; settled: by ascending number, each once */
        size_t n, allocated;
} ImportList;

/* 0, an exit code (told), -ENOMEM. */
int import_list_add(ImportList *l, const char *path) _must_check_;
/* Each number once: a plain file before a packed one, and one with a digest before all. */
void import_list_settle(ImportList *l);
/* Are they all what SHA256SUMS says? The first one that is not is told; max_size: of a document. 0, an exit code (told), -ENOMEM. */
int import_list_check(const ImportList *l, uint64_t max_size) _must_check_;
void import_list_done(ImportList *l);
