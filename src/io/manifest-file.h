/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/* Reads Integrity.Manifest= whole, wherever the administrator has put it. */

#include "core/manifest.h"

/* Answers */
enum {
        MANIFEST_FILE_TOO_LARGE = 1,    /* more than MANIFEST_BYTES_MAX */
        MANIFEST_FILE_NOT_REGULAR,      /* a directory, a device, a pipe */
};

/* A second for the longest one. 0, an answer, -ENOENT and what else reading gives, -ENOMEM. */
int manifest_file_read(const char *path, Manifest **ret) _must_check_;
