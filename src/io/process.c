/* SPDX-License-Identifier: BSD-2-Clause */
#include "io/process.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "core/text.h"

int process_resident_size(uint64_t *ret) {
        char text[256];
        uint64_t n_pages;

        /* "size resident shared …", in pages */
        int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        ssize_t n = read(fd, text, sizeof(text));
        int error = n < 0 ? -errno : 0;
        close(fd);
        if (error < 0)
                return error;
        Slice rest = { text, (size_t) n }, field = {};
        if (!slice_split(&rest, ' ', &field) || !slice_split(&rest, ' ', &field) ||
            text_to_uint64(field, UINT64_MAX / (uint64_t) sysconf(_SC_PAGESIZE), &n_pages) != 0)
                return -EBADMSG;
        *ret = n_pages * (uint64_t) sysconf(_SC_PAGESIZE);
        return 0;
}
