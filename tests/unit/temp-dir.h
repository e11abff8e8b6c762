/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/* A directory of a test's own, below TMPDIR. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>

/* Owned by the caller: for temp_dir_remove(). */
static inline char *temp_dir_make(const char *test) {
        const char *tmp = getenv("TMPDIR");
        char *path;

        assert_true(asprintf(&path, "%s/p2pdi-%s-XXXXXX", tmp ? tmp : "/tmp", test) > 0);
        assert_non_null(mkdtemp(path));
        return path;
}

static inline int temp_dir_remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw) {
        (void) st;
        (void) type;
        (void) ftw;
        return remove(path);
}

/* With all that is in it. */
static inline void temp_dir_remove(char *path) {
        assert_int_equal(nftw(path, temp_dir_remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
        free(path);
}
