/* SPDX-License-Identifier: BSD-2-Clause */
/* The names of levels, apart from log.c, so that who only reads a configuration needs no log. */
#include "core/text.h"
#include "io/log.h"

static const char *const names[] = { "emerg", "alert", "crit", "err", "warning", "notice", "info", "debug" };

const char *log_level_name(LogLevel l) {
        assert((size_t) l < ELEMENTSOF(names));
        return names[l];
}

int log_level_from_text(const char *s, LogLevel *ret) {
        Slice text = slice_of(s);

        if (text.size == 1 && text.data[0] >= '0' && text.data[0] <= '7') {
                *ret = (LogLevel) (text.data[0] - '0');
                return 0;
        }
        if (slice_equal_nocase(text, SLICE_LITERAL("error"))) {
                *ret = LOG_LEVEL_ERR;
                return 0;
        }
        if (slice_equal_nocase(text, SLICE_LITERAL("warn"))) {
                *ret = LOG_LEVEL_WARNING;
                return 0;
        }
        for (size_t i = 0; i < ELEMENTSOF(names); i++)
                if (slice_equal_nocase(text, slice_of(names[i]))) {
                        *ret = (LogLevel) i;
                        return 0;
                }
        return 1;
}
