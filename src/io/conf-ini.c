/* SPDX-License-Identifier: BSD-2-Clause */
#include "io/conf-ini.h"

#include <errno.h>
#include <ini.h>

#include "core/text.h"

/*
 * As a distribution may have built it, inih cuts lines at INI_MAX_LINE and takes " ;" for a comment, and only variables
 * that some builds export can change that. Without them such lines are refused here: better an error than half a value.
 */
#ifdef HAVE_INI_MAX_LINE
#  define LINE_MAX_SIZE CONF_INI_LINE_MAX
#else
#  define LINE_MAX_SIZE ((size_t) INI_MAX_LINE - 3)
#endif
/* inih's MAX_SECTION less the NUL: it cuts longer ones without a word. */
#define SECTION_MAX ((size_t) 49)

typedef struct Reader {
        Slice rest;                     /* what was not looked at yet */
        Slice current;                  /* what inih has not taken of the line */
        bool line_feed_due;             /* behind current */
        unsigned line;                  /* number of the line that inih has, from 1 */
        const ConfIniHandler *handler;
        void *userdata;
        int error;                      /* of a handler */
} Reader;

static void configure_inih(void) {
#ifdef HAVE_INI_MAX_LINE
        ini_allow_multiline = false;
        ini_allow_inline_comments = false;
        ini_allow_bom = false;
        ini_start_comment_prefixes = (char *) "#;";
        ini_use_stack = false;
        ini_allow_realloc = true;
        ini_initial_alloc = ini_max_line = (int) CONF_INI_LINE_MAX + 3;
        ini_stop_on_first_error = false;
        ini_allow_no_value = false;
#endif
}

/* "[Server]": without blanks at the ends, no bracket inside. */
static bool section_of(Slice line, Slice *ret) {
        Slice name;

        if (line.size < 3 || line.data[line.size - 1] != ']')
                return false;
        name = (Slice){ line.data + 1, line.size - 2 };
        if (memchr(name.data, ']', name.size) || memchr(name.data, '[', name.size))
                return false;
        *ret = name;
        return true;
}

/* Before the first "=": something, and no ":", which inih would take for one. */
static bool is_assignment(Slice line) {
        const char *equals = memchr(line.data, '=', line.size);

        return equals && equals > line.data && !memchr(line.data, ':', (size_t) (equals - line.data));
}

static bool has_control(Slice line) {
        for (size_t i = 0; i < line.size; i++)
                if (((unsigned char) line.data[i] < 0x20 && line.data[i] != '\t') || line.data[i] == 0x7f)
                        return true;
        return false;
}

#ifndef HAVE_INI_MAX_LINE
static bool has_inline_comment(Slice line) {
        for (size_t i = 1; i < line.size; i++)
                if (line.data[i] == ';' && (line.data[i - 1] == ' ' || line.data[i - 1] == '\t'))
                        return true;
        return false;
}
#endif

/* Why a line that is neither empty nor a comment can't be taken; NULL: it can. */
static const char *line_fault(Slice line) {
        Slice section;

        if (line.data[0] == ' ' || line.data[0] == '\t')
                return "The line is indented; a value can't go on in a second line.";
        line = slice_trim(line);
        if (line.data[line.size - 1] == '\\')
                return "The line ends in a backslash; a value can't go on in a second line.";
        if (line.data[0] == '[') {
                if (!section_of(line, &section))
                        return "The line begins with [ but is not of the form [Section].";
                if (section.size > SECTION_MAX && !slice_starts_with(section, "X-"))
                        return "The name of the section is too long.";
                return NULL;
        }
        if (!is_assignment(line))
                return "The line is neither [Section] nor Key=value nor a comment.";
#ifndef HAVE_INI_MAX_LINE
        if (has_inline_comment(line))
                return "A value with a semicolon behind a blank can't be read by this build.";
#endif
        return NULL;
}

static bool is_comment_or_empty(Slice line) {
        Slice trimmed = slice_trim(line);

        return trimmed.size == 0 || trimmed.data[0] == '#' || trimmed.data[0] == ';';
}

static const char *raw_line_fault(Slice line) {
        if (line.size > 0 && memchr(line.data, '\0', line.size))
                return "The line has a NUL byte in it.";
        if (!text_is_utf8(line))
                return "The line is not UTF-8.";
        if (has_control(line))
                return "The line has a control character in it.";
        if (is_comment_or_empty(line))
                return NULL;
        if (line.size > LINE_MAX_SIZE)
                return "The line is too long.";
        return line_fault(line);
}

/* Makes the next line of the file the current one, empty where inih shall not see it. */
static void next_line(Reader *r) {
        static const Slice bom = SLICE_LITERAL("\xef\xbb\xbf");
        Slice line, section;
        const char *why;

        r->current = SLICE_LITERAL("");
        r->line_feed_due = true;
        if (!slice_split(&r->rest, '\n', &line))
                return;
        if (r->line++ == 0 && slice_starts_with(line, bom.data)) {
                line.data += bom.size;
                line.size -= bom.size;
        }
        if (line.size > 0 && line.data[line.size - 1] == '\r')
                line.size--;

        why = raw_line_fault(line);
        if (why) {
                r->error = r->handler->on_bad_line(r->line, why, r->userdata);
                return;
        }
        if (is_comment_or_empty(line))
                return;
        r->current = slice_trim(line);
        if (section_of(r->current, &section))
                r->error = r->handler->on_section(r->line, section, r->userdata);
}

/* As fgets(): at most size - 1 bytes up to a line feed. A longer line comes in parts. */
static char *read_line(char *to, int size, void *stream) {
        Reader *r = stream;
        size_t room, n;

        assert(size >= 2);
        if (!r->line_feed_due) {
                if (!r->rest.data || r->error < 0)
                        return NULL;
                next_line(r);
                if (r->error < 0)
                        return NULL;
        }

        room = (size_t) size - 1;
        n = MIN_OF(r->current.size, room);
        if (n > 0)
                memcpy(to, r->current.data, n);
        r->current.data += n;
        r->current.size -= n;
        if (r->current.size == 0 && n < room) {
                to[n++] = '\n';
                r->line_feed_due = false;
        }
        to[n] = '\0';
        return to;
}

static int on_pair(void *userdata, const char *section, const char *name, const char *value) {
        Reader *r = userdata;

        if (r->error == 0)
                r->error = r->handler->on_assignment(r->line, section, name, value, r->userdata);
        return 1;
}

int conf_ini_parse(Slice bytes, const ConfIniHandler *handler, void *userdata) {
        Reader reader = {
                .rest = bytes.size > 0 ? bytes : (Slice){ NULL, 0 },
                .handler = handler,
                .userdata = userdata,
        };
        int r;

        configure_inih();
        r = ini_parse_stream(read_line, &reader, on_pair, &reader);
        if (reader.error < 0)
                return reader.error;
        if (r < 0)
                return -ENOMEM;
        /* Lines that inih could not take were told already, one by one: it gets none of them. */
        if (r > 0)
                return handler->on_bad_line((unsigned) r, "The line can't be read.", userdata);
        return 0;
}
