/* SPDX-License-Identifier: BSD-2-Clause */
#include "ctl/show.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>

#include "core/text.h"

#define LINE_MAX_SIZE 4096
#define LABEL_WIDTH 13

const char *show_size(uint64_t bytes, char ret[SHOW_TEXT_SIZE]) {
        static const char units[] = "KMGTPE";

        if (bytes < 1024) {
                (void) snprintf(ret, SHOW_TEXT_SIZE, "%" PRIu64 "B", bytes);
                return ret;
        }
        for (unsigned i = 0;; i++) {
                unsigned shift = 10 * (i + 1);

                if (bytes >> shift < 1024 || units[i + 1] == '\0') {
                        uint64_t rest = (bytes >> (shift - 10)) & 1023;

                        (void) snprintf(ret, SHOW_TEXT_SIZE, "%" PRIu64 ".%" PRIu64 "%c", bytes >> shift,
                                        rest * 10 / 1024, units[i]);
                        return ret;
                }
        }
}

const char *show_duration(usec_t t, char ret[SHOW_TEXT_SIZE]) {
        if (t < USEC_PER_MSEC / 10)
                (void) snprintf(ret, SHOW_TEXT_SIZE, "%" PRIu64 "us", t);
        else if (t < 10 * USEC_PER_MSEC)
                (void) snprintf(ret, SHOW_TEXT_SIZE, "%" PRIu64 ".%" PRIu64 "ms", t / USEC_PER_MSEC,
                                t % USEC_PER_MSEC / 100);
        else if (t < USEC_PER_SEC)
                (void) snprintf(ret, SHOW_TEXT_SIZE, "%" PRIu64 "ms", t / USEC_PER_MSEC);
        else if (t < USEC_PER_MINUTE)
                (void) snprintf(ret, SHOW_TEXT_SIZE, "%" PRIu64 ".%" PRIu64 "s", t / USEC_PER_SEC,
                                t % USEC_PER_SEC / (USEC_PER_SEC / 10));
        else
                return show_timespan(t, ret);
        return ret;
}

const char *show_timespan(usec_t t, char ret[SHOW_TEXT_SIZE]) {
        static const struct {
                const char *name;
                usec_t usec;
        } units[] = {
                { "d", USEC_PER_DAY },
                { "h", USEC_PER_HOUR },
                { "min", USEC_PER_MINUTE },
                { "s", USEC_PER_SEC },
        };
        size_t i = 0;

        while (i + 1 < ELEMENTSOF(units) && t < units[i].usec)
                i++;
        if (i + 1 < ELEMENTSOF(units) && t % units[i].usec >= units[i + 1].usec)
                (void) snprintf(ret, SHOW_TEXT_SIZE, "%" PRIu64 "%s %" PRIu64 "%s", t / units[i].usec, units[i].name,
                                t % units[i].usec / units[i + 1].usec, units[i + 1].name);
        else
                (void) snprintf(ret, SHOW_TEXT_SIZE, "%" PRIu64 "%s", t / units[i].usec, units[i].name);
        return ret;
}

const char *show_digest(const char *hex, char ret[SHOW_TEXT_SIZE]) {
        Digest digest;

        if (!hex || digest_from_text(slice_of(hex), &digest) != 0)
                return strcpy(ret, "-");
        (void) snprintf(ret, SHOW_TEXT_SIZE, "%.4s…%s", hex, hex + 2 * DIGEST_SIZE - 4);
        return ret;
}

const char *show_colour(const ShowStyle *style, ShowColour colour) {
        static const char *const sequences[] = {
                [SHOW_PLAIN] = "\x1b[0m",
                [SHOW_BOLD] = "\x1b[0;1;39m",
                [SHOW_UNDERLINE] = "\x1b[0;4m",
                [SHOW_GREEN] = "\x1b[0;1;32m",
                [SHOW_YELLOW] = "\x1b[0;1;33m",
                [SHOW_RED] = "\x1b[0;1;31m",
                [SHOW_GREY] = "\x1b[0;38;5;245m",
                [SHOW_BLUE] = "\x1b[0;1;34m",
        };

        return style->colour ? sequences[colour] : "";
}

/* ---- lines and JSON ---- */

static bool is_part;

static void _printf_(2, 0) show_text_va(FILE *f, const char *format, va_list ap) {
        _cleanup_buf_ Buf b = BUF_INIT(LINE_MAX_SIZE);
        char text[LINE_MAX_SIZE];

        (void) vsnprintf(text, sizeof(text), format, ap);
        if (text_escape(&b, slice_of(text), LINE_MAX_SIZE) == 0)
                fprintf(f, "%.*s", (int) b.size, b.data);
        else
                is_part = true;
}

bool show_is_whole(void) {
        return !is_part;
}

void show_text(FILE *f, const char *format, ...) {
        va_list ap;

        va_start(ap, format);
        show_text_va(f, format, ap);
        va_end(ap);
}

void show_line(FILE *f, const char *label, const char *format, ...) {
        va_list ap;

        fprintf(f, "%*s%s ", LABEL_WIDTH, label ? label : "", label ? ":" : " ");
        va_start(ap, format);
        show_text_va(f, format, ap);
        va_end(ap);
        fputc('\n', f);
}

int show_json(FILE *f, const json_t *value, ShowJson how) {
        _cleanup_free_ char *text = NULL;

        text = json_dumps(value, JSON_ENSURE_ASCII | (how == SHOW_JSON_PRETTY ? JSON_INDENT(8) : JSON_COMPACT));
        if (!text)
                return -ENOMEM;
        /* jansson leaves DEL as it is. It can stand in strings only. */
        for (const char *p = text; *p; p++)
                if (*p == 0x7f)
                        fputs("\\u007F", f);
                else
                        fputc(*p, f);
        fputc('\n', f);
        return 0;
}
