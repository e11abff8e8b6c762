/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * A slow disk, to be preloaded into a daemon: whatever waits for the disk takes $P2PDI_SLOW_MSEC milliseconds (300)
 * longer. These are the calls that SQLite, the library and the download threads make; who calls them in a loop that has
 * to answer others is seen by test_slow_disk.py.
 */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/sendfile.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#define DEFAULT_MSEC 300

static void delay(void) {
        const char *text = getenv("P2PDI_SLOW_MSEC");
        long msec = text && *text ? strtol(text, NULL, 10) : DEFAULT_MSEC;
        struct timespec left = { .tv_sec = msec / 1000, .tv_nsec = msec % 1000 * 1000000 };

        while (nanosleep(&left, &left) < 0 && errno == EINTR)
                ;
}

/* The next one of that name. Looked up each time: next to the delay it costs nothing. */
#define NEXT(function, name) ((__typeof__(&(function))) dlsym(RTLD_NEXT, name))

int fsync(int fd) {
        delay();
        return NEXT(fsync, "fsync")(fd);
}

int fdatasync(int fd) {
        delay();
        return NEXT(fdatasync, "fdatasync")(fd);
}

ssize_t pread(int fd, void *to, size_t size, off_t offset) {
        delay();
        return NEXT(pread, "pread")(fd, to, size, offset);
}

ssize_t pread64(int fd, void *to, size_t size, off64_t offset) {
        delay();
        return NEXT(pread64, "pread64")(fd, to, size, offset);
}

ssize_t sendfile(int to, int from, off_t *offset, size_t size) {
        delay();
        return NEXT(sendfile, "sendfile")(to, from, offset, size);
}

ssize_t sendfile64(int to, int from, off64_t *offset, size_t size) {
        delay();
        return NEXT(sendfile64, "sendfile64")(to, from, offset, size);
}
