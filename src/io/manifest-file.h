/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/* Reads a file that is like SHA256SUMS whole. */

#include "core/manifest.h"

/* Answers */
enum {
        MANIFEST_FILE_TOO_LARGE = 1,    /* more than MANIFEST_BYTES_MAX */
        MANIFEST_FILE_NOT_REGULAR,      /* a directory, a device, a pipe */
};

/*
 * Integrity.Manifest=, wherever the administrator has put it. A second for the longest one. 0, an answer, -ENOENT and what
 * else reading gives, -ENOMEM.
 */
int manifest_file_read(const char *path, Manifest **ret) _must_check_;
/* One that is open, and stays so. 0, MANIFEST_FILE_TOO_LARGE, -errno of reading, -ENOMEM. */
int manifest_file_read_fd(int fd, Manifest **ret) _must_check_;
