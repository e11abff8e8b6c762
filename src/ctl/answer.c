/* SPDX-License-Identifier: BSD-2-Clause */
/* What verbs say: answers on standard output, all else on standard error. */

#include "ctl/ctl.h"

#include <stdarg.h>
#include <stdio.h>

#include "core/text.h"
#include "ctl/bar.h"
#include "ctl/pager.h"
#include "ctl/tally.h"

#define SENTENCE_MAX 4096

/* Notes come from where no Ctl is at hand. */
static bool arg_quiet, arg_silent;

static _printf_(1, 0) void tell(const char *format, va_list ap) {
        _cleanup_buf_ Buf b = BUF_INIT(SENTENCE_MAX);
        char text[SENTENCE_MAX];

        (void) vsnprintf(text, sizeof(text), format, ap);
        bar_hide();
        tally_hide();
        if (text_escape(&b, slice_of(text), SENTENCE_MAX) == 0)
                fprintf(stderr, "%.*s\n", (int) b.size, b.data);
        else
                fputs("Something is to be said, but there is no memory for it.\n", stderr);
}

void ctl_complain(const char *format, ...) {
        va_list ap;

        if (arg_silent)
                return;
        va_start(ap, format);
        tell(format, ap);
        va_end(ap);
}

void ctl_note(const char *format, ...) {
        va_list ap;

        if (arg_quiet)
                return;
        va_start(ap, format);
        tell(format, ap);
        va_end(ap);
}

void ctl_set_quiet(bool quiet) {
        arg_quiet = quiet;
}

void ctl_set_silent(bool silent) {
        arg_quiet = arg_silent = silent;
}

int ctl_open_pager(const Ctl *ctl) {
        return ctl->no_pager ? 0 : pager_open();
}

int ctl_show_table(const Ctl *ctl, const Table *t, const char *footer, ...) {
        va_list ap;
        int r;

        r = ctl_open_pager(ctl);
        if (r == 0)
                r = table_print(t, stdout, &ctl->style);
        if (r < 0 || !ctl->style.footer)
                return r;
        putchar('\n');
        va_start(ap, footer);
        vprintf(footer, ap);
        va_end(ap);
        putchar('\n');
        return 0;
}

int ctl_show_json(const Ctl *ctl, const json_t *value) {
        int r = 0;

        /* What is on one line is for programs. */
        if (ctl->json == SHOW_JSON_PRETTY)
                r = ctl_open_pager(ctl);
        return r < 0 ? r : show_json(stdout, value, ctl->json);
}
