/* SPDX-License-Identifier: BSD-2-Clause */
#include "generator/kmsg.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "core/buf.h"
#include "core/text.h"

/* Above all of ours, and with the head below what devkmsg_write() takes (some 990 bytes). */
#define TEXT_MAX 800
/* 3 is the priority: an error. */
#define HEAD "<3>p2pdi-socket-generator: "

/* Signal handlers need it, and there is one process. */
static int kmsg_fd = -1;
static unsigned n_lines;

void kmsg_open(const char *path) {
        const int flags = O_WRONLY | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;

        kmsg_fd = path ? open(path, flags | O_CREAT, 0644) : open("/dev/kmsg", flags);
}

void kmsg_close(void) {
        if (kmsg_fd >= 0)
                (void) close(kmsg_fd);
        kmsg_fd = -1;
}

/* One write() is one line of the kernel's log. Where it fails there is nobody else to tell. */
static void write_line(const char *line, size_t size) {
        ssize_t n = write(kmsg_fd >= 0 ? kmsg_fd : STDERR_FILENO, line, size);

        (void) n;
}

void kmsg_error(const char *format, ...) {
        _cleanup_buf_ Buf b = BUF_INIT(TEXT_MAX + sizeof(HEAD) + 1);
        char text[4 * TEXT_MAX];
        va_list ap;
        int n;

        if (n_lines++ >= KMSG_LINES_MAX)
                return;
        va_start(ap, format);
        n = vsnprintf(text, sizeof(text), format, ap);
        va_end(ap);
        if (n < 0 || buf_append_string(&b, HEAD) != 0 || text_escape(&b, slice_of(text), TEXT_MAX) != 0 ||
            buf_append_char(&b, '\n') != 0)
                return;
        write_line(b.data, b.size);
}

void kmsg_error_in_handler(const char *text) {
        char line[256] = HEAD;
        size_t n = sizeof(HEAD) - 1;

        while (*text && n < sizeof(line) - 1)
                line[n++] = *text++;
        line[n++] = '\n';
        write_line(line, n);
}
