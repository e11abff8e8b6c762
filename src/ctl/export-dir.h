/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * The directory that is exported to: rfcN.txt, rfc-index.txt, and SHA256SUMS, which names all of them and comes last.
 * Written with the rights of whoever calls the tool. What is in it already and right is left as it is, so a second call
 * goes on where the first was interrupted; nothing that an export would not write may be there.
 */

#include "core/base.h"

typedef struct ExportDir {
        const char *path;               /* borrowed */
        int fd;
        char *sums;                     /* owned: what SHA256SUMS is to hold */
        size_t sums_size;
        uint64_t n_files, n_bytes;      /* all that are named there */
        uint64_t n_present;             /* of these, already there */
} ExportDir;

/*
 * Makes it if it is not there. is_wanted: will a file of that name be written? 0, an exit code (told): it holds something
 * else, or can't be used; -ENOMEM.
 */
int export_dir_open(ExportDir *d, const char *path, bool (*is_wanted)(const char *name, const void *userdata),
                    const void *userdata) _must_check_;
/*
 * A file: copied from fd and compared with its digest before it has its name. 0, an exit code (told), -ENOMEM.
 */
int export_dir_put(ExportDir *d, const char *name, uint64_t size, const Digest *digest, int fd) _must_check_;
/* Brings all to disk, then SHA256SUMS. The same. */
int export_dir_finish(ExportDir *d) _must_check_;
void export_dir_done(ExportDir *d);
