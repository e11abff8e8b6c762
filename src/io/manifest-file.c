/* SPDX-License-Identifier: BSD-2-Clause */
#include "io/manifest-file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/close.h"

#define PIECE_SIZE 65536

static int feed(int fd, Manifest *m) {
        char piece[PIECE_SIZE];

        for (;;) {
                ssize_t n = read(fd, piece, sizeof(piece));
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                if (n == 0)
                        return 0;
                int k = manifest_feed(m, (Slice){ piece, (size_t) n });
                if (k != 0)
                        return k < 0 ? k : MANIFEST_FILE_TOO_LARGE;
        }
}

int manifest_file_read_fd(int fd, Manifest **ret) {
        _cleanup_(manifest_free_p) Manifest *m = NULL;
        int k;

        k = manifest_new(&m);
        if (k == 0)
                k = feed(fd, m);
        if (k == 0)
                k = manifest_end(m);
        if (k == 0)
                *ret = TAKE_PTR(m);
        return k;
}

int manifest_file_read(const char *path, Manifest **ret) {
        struct stat st;

        /* Opening alone can do something: a tape winds back. */
        if (stat(path, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode))
                return MANIFEST_FILE_NOT_REGULAR;
        _cleanup_(close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        if (fd < 0 || fstat(fd, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode))
                return MANIFEST_FILE_NOT_REGULAR;
        return manifest_file_read_fd(fd, ret);
}
