/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * To be preloaded into a program: SIGKILL at its n-th call of those by which it changes a disk or tells somebody of it
 * (write, fsync, rename, link, unlink, send and their kin), and a log of these calls.
 *
 * $P2PDI_KILL is a file that the test has mapped, too: so it is armed and counted while the program runs. A kill falls
 * before the call, after it, or for what writes bytes half way through them. What goes to stderr does not count.
 *
 * $P2PDI_CALLS, if set: a file to which each call is added when it is done, as "name target bytes result", where the target
 * is what /proc tells of the descriptor, or of the directory and the name in it. A send of bytes that hold $P2PDI_ANSWER is
 * called "answer", and is there before it is sent.
 */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { BEFORE, HALF_WAY, AFTER };

static struct Shared {
        _Atomic uint32_t n_calls;
        _Atomic uint32_t kill_at;       /* 0: never */
        _Atomic uint32_t where;
} *shared;
static int calls_fd = -1;
static const char *answer;

__attribute__((constructor)) static void begin(void) {
        const char *path = getenv("P2PDI_KILL"), *calls = getenv("P2PDI_CALLS");
        int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
        void *p = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

        if (p != MAP_FAILED)
                shared = p;
        if (fd >= 0)
                (void) close(fd);
        answer = getenv("P2PDI_ANSWER");
        if (calls)
                calls_fd = open(calls, O_WRONLY | O_APPEND | O_CLOEXEC);
}

static void die(void) {
        (void) kill(getpid(), SIGKILL);
        for (;;)
                (void) pause();
}

/* Is it the one? Dies where that is to be before it. */
static int counted(void) {
        int mine = shared && atomic_fetch_add(&shared->n_calls, 1) + 1 == atomic_load(&shared->kill_at);

        if (mine && atomic_load(&shared->where) == BEFORE)
                die();
        return mine;
}

static void target_of(int fd, char *ret, size_t size) {
        char link[64];
        ssize_t n;

        (void) snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
        n = fd == AT_FDCWD ? -1 : readlink(link, ret, size - 1);
        ret[n < 0 ? 0 : n] = '\0';
}

static void note(const char *name, int fd, const char *path, size_t size, long result) {
        char target[PATH_MAX], line[2 * PATH_MAX];
        int error = errno, n;

        if (calls_fd < 0)
                return;
        target_of(fd, target, sizeof(target));
        n = snprintf(line, sizeof(line), "%s %s%s%s %zu %ld\n", name, target, path ? "/" : "", path ? path : "", size, result);
        (void) syscall(SYS_write, calls_fd, line, n < (int) sizeof(line) ? (size_t) n : sizeof(line) - 1);
        errno = error;
}

static void note_answer(int fd, const void *bytes, size_t size) {
        if (answer && memmem(bytes, size, answer, strlen(answer)))
                note("answer", fd, NULL, size, 0);
}

/* The next one of that name. Looked up each time: next to a disk it costs nothing. */
#define NEXT(function) ((__typeof__(&(function))) dlsym(RTLD_NEXT, #function))

#define RUN(call, fd, path, size)                       \
        ({                                              \
                int mine_ = counted();                  \
                __typeof__(call) result_ = call;        \
                if (mine_)                              \
                        die();                          \
                note(__func__, fd, path, size, result_);\
                result_;                                \
        })

/* Bytes of a call that is the one, and not to be whole. */
static size_t half(int mine, size_t size) {
        return mine && atomic_load(&shared->where) == HALF_WAY ? size / 2 : size;
}

#define RUN_BYTES(call, fd, size)                       \
        ({                                              \
                const size_t whole_ = size;             \
                int mine_ = counted();                  \
                size = half(mine_, size);               \
                __typeof__(call) result_ = call;        \
                if (mine_)                              \
                        die();                          \
                note(__func__, fd, NULL, whole_, result_);\
                result_;                                \
        })

ssize_t write(int fd, const void *from, size_t size) {
        if (fd <= STDERR_FILENO)
                return NEXT(write)(fd, from, size);
        return RUN_BYTES(NEXT(write)(fd, from, size), fd, size);
}

ssize_t pwrite(int fd, const void *from, size_t size, off_t offset) {
        return RUN_BYTES(NEXT(pwrite)(fd, from, size, offset), fd, size);
}

ssize_t pwrite64(int fd, const void *from, size_t size, off64_t offset) {
        return RUN_BYTES(NEXT(pwrite64)(fd, from, size, offset), fd, size);
}

ssize_t send(int fd, const void *from, size_t size, int flags) {
        note_answer(fd, from, size);
        return RUN_BYTES(NEXT(send)(fd, from, size, flags), fd, size);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
        for (size_t i = 0; i < message->msg_iovlen; i++)
                note_answer(fd, message->msg_iov[i].iov_base, message->msg_iov[i].iov_len);
        return RUN(NEXT(sendmsg)(fd, message, flags), fd, NULL, 0);
}

int fsync(int fd) {
        return RUN(NEXT(fsync)(fd), fd, NULL, 0);
}

int fdatasync(int fd) {
        return RUN(NEXT(fdatasync)(fd), fd, NULL, 0);
}

int syncfs(int fd) {
        return RUN(NEXT(syncfs)(fd), fd, NULL, 0);
}

int fchmod(int fd, mode_t mode) {
        return RUN(NEXT(fchmod)(fd, mode), fd, NULL, 0);
}

int ftruncate(int fd, off_t size) {
        return RUN(NEXT(ftruncate)(fd, size), fd, NULL, 0);
}

int ftruncate64(int fd, off64_t size) {
        return RUN(NEXT(ftruncate64)(fd, size), fd, NULL, 0);
}

int fallocate(int fd, int mode, off_t offset, off_t size) {
        return RUN(NEXT(fallocate)(fd, mode, offset, size), fd, NULL, 0);
}

int rename(const char *from, const char *to) {
        return RUN(NEXT(rename)(from, to), AT_FDCWD, to, 0);
}

int renameat(int from_fd, const char *from, int to_fd, const char *to) {
        return RUN(NEXT(renameat)(from_fd, from, to_fd, to), to_fd, to, 0);
}

int renameat2(int from_fd, const char *from, int to_fd, const char *to, unsigned flags) {
        return RUN(NEXT(renameat2)(from_fd, from, to_fd, to, flags), to_fd, to, 0);
}

int linkat(int from_fd, const char *from, int to_fd, const char *to, int flags) {
        return RUN(NEXT(linkat)(from_fd, from, to_fd, to, flags), to_fd, to, 0);
}

int unlink(const char *path) {
        return RUN(NEXT(unlink)(path), AT_FDCWD, path, 0);
}

int unlinkat(int fd, const char *path, int flags) {
        return RUN(NEXT(unlinkat)(fd, path, flags), fd, path, 0);
}
