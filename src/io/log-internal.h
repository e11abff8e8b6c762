/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/* What log.c has for tests: where entries go, and what time it is. */

#include "core/base.h"

typedef struct LogTarget {
        const char *identifier;         /* a literal, or living as long */
        const char *journal_path;       /* NULL: readable lines on fd */
        int fd;
        void (*now)(Now *ret);
} LogTarget;

/* As log_open(); also forgets all counts. Where the journal's socket can't be made, lines go to fd. */
void log_open_target(const LogTarget *target);
