/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * One INI file: bytes to assignments, by inih behind a reader of our own that knows line numbers and refuses what inih
 * would take for something else (indented lines, cut lines, "key: value").
 */

#include "core/base.h"

/* Limits of what is read: an INI file is written by hand. */
#define CONF_INI_FILE_MAX ((size_t) 1 << 20)
#define CONF_INI_LINE_MAX ((size_t) 64 << 10)

/* What is found, in the order of the file. Each gives 0 or a negative errno, which ends the reading. */
typedef struct ConfIniHandler {
        /* [section]: once per header. */
        int (*on_section)(unsigned line, Slice section, void *userdata);
        /* section is "" before the first header. value is trimmed and may be empty. */
        int (*on_assignment)(unsigned line, const char *section, const char *name, const char *value, void *userdata);
        /* A line that can't be taken: a whole sentence, free of bytes from the file. The line is passed over. */
        int (*on_bad_line)(unsigned line, const char *why, void *userdata);
} ConfIniHandler;

/* 0, -ENOMEM, or what a handler gave. Not by two threads at once: inih's settings are variables of the process. */
int conf_ini_parse(Slice bytes, const ConfIniHandler *handler, void *userdata) _must_check_;
