/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * The kernel's log: the one place that a generator can speak to. There is no journal yet, and its stderr is /dev/null.
 */

#include "core/base.h"

/* Lines of one run; after them nothing is said any more. */
#define KMSG_LINES_MAX 32

/* path: a file, made where it is not there; NULL: /dev/kmsg. Where it can't be opened the lines go to stderr. */
void kmsg_open(const char *path);
void kmsg_close(void);
/* One line, escaped as a whole and cut to what the kernel takes. */
void kmsg_error(const char *format, ...) _printf_(1, 2);
/* The same for a text that is known, from a signal handler. */
void kmsg_error_in_handler(const char *text);
