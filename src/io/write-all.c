/* SPDX-License-Identifier: BSD-2-Clause */
#include "io/write-all.h"

#include <errno.h>
#include <unistd.h>

int write_all(int fd, Slice bytes) {
        while (bytes.size > 0) {
                ssize_t n = write(fd, bytes.data, bytes.size);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                bytes = (Slice){ bytes.data + n, bytes.size - (size_t) n };
        }
        return 0;
}
