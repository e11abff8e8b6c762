/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/* Which files make up a configuration, what is in them, and the list of what is wrong with them. */

#include "core/base.h"
#include "core/buf.h"
#include "io/conf-internal.h"

#define CONF_DROP_INS_MAX ((size_t) 100)
#define CONF_ISSUES_MAX ((size_t) 100)

/* Collects issues; beyond CONF_ISSUES_MAX they are only counted, in the last one. */
typedef struct ConfReport {
        ConfIssues *issues;             /* borrowed */
        size_t n_more;
        bool failed;                    /* there was an error among them */
} ConfReport;

/* A whole sentence. line 0: the file as a whole. 0, -ENOMEM. */
int conf_report(ConfReport *r, bool is_error, const char *file, unsigned line, const char *format, ...)
        _must_check_ _printf_(5, 6);

/* Takes s, also when it fails; NULL: there was no memory for it. 0, -ENOMEM. */
int string_list_append(StringList *l, char *s) _must_check_;
size_t string_list_size(StringList l);

/* What is to be read, in order; problems go to the report. 0, -ENOMEM. */
int conf_find_files(const ConfRequest *request, ConfReport *report, StringList *ret) _must_check_;
/*
 * Appends a file's bytes; what hinders it goes to the report, and nothing is appended. regular: what is neither a
 * regular file nor /dev/null is not even opened, since that alone can do something (a tape, a watchdog). 0, -ENOMEM.
 */
int conf_read_file(const char *path, bool regular, ConfReport *report, Buf *bytes) _must_check_;
