/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/* For _cleanup_(): what was opened to be read. What was written has a close() of its own, which may tell that it failed. */

#include <dirent.h>
#include <unistd.h>

static inline void close_fd(int *fd) {
        if (*fd >= 0)
                (void) close(*fd);
}

static inline void close_dir(DIR **dir) {
        if (*dir)
                (void) closedir(*dir);
}
