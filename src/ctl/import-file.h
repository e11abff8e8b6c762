/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * Files that are imported, read with the rights of whoever calls the tool. What they are called comes from outside, as may
 * what they are: only regular files are opened, and a symbolic link is followed only to a file of its own name. So a
 * directory that somebody else made can't have a private file given away as rfc1.txt.
 */

#include "core/base.h"

typedef struct ImportFile {
        char *path;                     /* owned */
        uint32_t number;                /* 0: rfc-index.txt */
        bool packed;                    /* by gzip */
        bool has_digest;                /* is what SHA256SUMS says */
        Digest digest;
} ImportFile;

/* By the name behind the last '/': rfcN.txt, rfc-index.txt, each perhaps with .gz. false: none of them. */
bool import_file_name(const char *path, uint32_t *ret_number, bool *ret_packed);
/* 0, an exit code (told). */
int import_file_open(const char *path, int *ret_fd) _must_check_;
/*
 * Reads it, unpacked, and writes it to `to` (-1: nowhere). Documents over max_size bytes are refused, and
 * empty ones are. What was
 * written stays, also on failure. 0, an exit code (told), -ENOMEM.
 */
int import_file_read(const ImportFile *f, uint64_t max_size, int to, uint64_t *ret_size, Digest *ret_digest) _must_check_;
