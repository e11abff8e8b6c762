/* SPDX-License-Identifier: BSD-2-Clause */
#include "ctl/terminal.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include "core/text.h"
#include "io/conf-values.h"

#define SIZE_MAX_BELIEVED 10000

bool terminal_is_smart(int fd) {
        const char *term = getenv("TERM");

        return isatty(fd) && term && term[0] && strcmp(term, "dumb") != 0;
}

static unsigned from_environment(const char *name) {
        uint32_t value;

        if (text_to_uint32(slice_of(getenv(name)), SIZE_MAX_BELIEVED, &value) != 0)
                return 0;
        return value;
}

unsigned terminal_width(int fd) {
        unsigned width = from_environment("COLUMNS");
        struct winsize size;

        if (width == 0 && ioctl(fd, TIOCGWINSZ, &size) == 0)
                width = size.ws_col;
        return width > 0 ? width : 80;
}

unsigned terminal_height(int fd) {
        unsigned height = from_environment("LINES");
        struct winsize size;

        if (height == 0 && ioctl(fd, TIOCGWINSZ, &size) == 0)
                height = size.ws_row;
        return height > 0 ? height : 24;
}

static bool may_be_coloured(void) {
        const char *wish = getenv("SYSTEMD_COLORS"), *no = getenv("NO_COLOR");
        bool value;

        if (wish && conf_parse_bool(slice_of(wish), &value) == 0)
                return value;
        /* How many colours is systemd's question: these few are everywhere. */
        if (wish && (strcmp(wish, "16") == 0 || strcmp(wish, "256") == 0 || strcmp(wish, "24bit") == 0))
                return true;
        if (no && no[0])
                return false;
        return terminal_is_smart(STDOUT_FILENO);
}

void terminal_get_style(ShowStyle *ret) {
        *ret = (ShowStyle){
                .colour = may_be_coloured(),
                .header = true,
                .footer = true,
                .width = isatty(STDOUT_FILENO) ? terminal_width(STDOUT_FILENO) : 0,
        };
}
