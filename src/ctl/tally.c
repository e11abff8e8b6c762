/* SPDX-License-Identifier: BSD-2-Clause */
#include "ctl/tally.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "ctl/show.h"
#include "ctl/terminal.h"

/* Each row of what it says at most, and 20 digits a number. */
#define LINE_MAX_SIZE 256

static bool wanted_here, drawn;

void tally_begin(bool wanted) {
        wanted_here = wanted && terminal_is_smart(STDERR_FILENO);
}

static void put(const char *text, size_t size) {
        if (write(STDERR_FILENO, text, size) < 0) {
                /* A terminal that is gone: the answer does not depend on it. */
        }
}

void tally_show(const Tally *t) {
        char size[SHOW_TEXT_SIZE], total[SHOW_TEXT_SIZE], rate[SHOW_TEXT_SIZE], line[LINE_MAX_SIZE];
        char of_all[48] = "", of_bytes[48] = "", a_second[48] = "", text[LINE_MAX_SIZE + 16];
        int width, n;

        if (!wanted_here || tcgetpgrp(STDERR_FILENO) != getpgrp())
                return;
        if (t->n_total > 0)
                (void) snprintf(of_all, sizeof(of_all), " of %" PRIu64, t->n_total);
        if (t->bytes_total > 0)
                (void) snprintf(of_bytes, sizeof(of_bytes), " of %s", show_size(t->bytes_total, total));
        if (t->elapsed >= USEC_PER_SEC / 10)
                (void) snprintf(a_second, sizeof(a_second), ", %s/s",
                                show_size((uint64_t) ((double) t->bytes * USEC_PER_SEC / (double) t->elapsed), rate));
        (void) snprintf(line, sizeof(line), "%s: %" PRIu64 "%s RFCs, %s%s%s", t->what, t->n, of_all,
                        show_size(t->bytes, size), of_bytes, a_second);
        /* Not into the last column: some terminals go to the next line there. */
        width = (int) MAX_OF(terminal_width(STDERR_FILENO), 2u) - 1;
        n = snprintf(text, sizeof(text), "\r%.*s\x1b[K", width, line);
        drawn = true;
        put(text, (size_t) n);
}

void tally_hide(void) {
        static const char erase[] = "\r\x1b[K";

        if (drawn)
                put(erase, sizeof(erase) - 1);
        drawn = false;
}
