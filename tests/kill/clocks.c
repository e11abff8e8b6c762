/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * Other clocks for one program, to be preloaded: CLOCK_REALTIME and CLOCK_BOOTTIME are ahead by what stands in the file
 * $P2PDI_CLOCKS, in nanoseconds, and may be changed while it runs. A step of BOOTTIME is what a suspend looks like: timers of
 * that clock whose time has passed fire, those of the other ones go on as they were.
 *
 * The kernel's timers follow its own clocks, so what is to be waited for is counted back; and armed anew at each change, which a
 * thread waits for.
 */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define FD_MAX 1024
#define SECOND INT64_C(1000000000)

static struct Shared {
        _Atomic int64_t realtime, boottime;
        _Atomic uint32_t n_changes;     /* a futex */
        _Atomic uint32_t n_seen;
} *shared;

/* The timers of CLOCK_BOOTTIME, and what they were set to. */
static struct {
        _Atomic int is_boottime;
        struct itimerspec wanted;
} timers[FD_MAX];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

#define NEXT(function) ((__typeof__(&(function))) dlsym(RTLD_NEXT, #function))

static void shift(struct timespec *t, int64_t by) {
        int64_t nsec = t->tv_sec * SECOND + t->tv_nsec + by;

        *t = (struct timespec){ .tv_sec = nsec / SECOND, .tv_nsec = nsec % SECOND };
}

int clock_gettime(clockid_t clock, struct timespec *ret) {
        int r = NEXT(clock_gettime)(clock, ret);

        if (r == 0 && shared && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
                shift(ret, atomic_load(&shared->realtime));
        if (r == 0 && shared && clock == CLOCK_BOOTTIME)
                shift(ret, atomic_load(&shared->boottime));
        return r;
}

int timerfd_create(int clock, int flags) {
        int fd = NEXT(timerfd_create)(clock, flags);

        if (fd >= 0 && fd < FD_MAX) {
                timers[fd].wanted = (struct itimerspec){ 0 };
                timers[fd].is_boottime = clock == CLOCK_BOOTTIME;
        }
        return fd;
}

/* Under the lock. The end of time is not moved; what has passed, is so at once. */
static int arm(int fd) {
        struct itimerspec t = timers[fd].wanted;

        if ((t.it_value.tv_sec != 0 || t.it_value.tv_nsec != 0) && t.it_value.tv_sec < INT64_MAX / SECOND) {
                shift(&t.it_value, -atomic_load(&shared->boottime));
                if (t.it_value.tv_sec < 0 || t.it_value.tv_nsec < 0 || (t.it_value.tv_sec == 0 && t.it_value.tv_nsec == 0))
                        t.it_value = (struct timespec){ .tv_nsec = 1 };
        }
        return NEXT(timerfd_settime)(fd, TFD_TIMER_ABSTIME, &t, NULL);
}

int timerfd_settime(int fd, int flags, const struct itimerspec *new, struct itimerspec *old) {
        int r;

        if (!shared || fd < 0 || fd >= FD_MAX || !timers[fd].is_boottime || !(flags & TFD_TIMER_ABSTIME))
                return NEXT(timerfd_settime)(fd, flags, new, old);
        pthread_mutex_lock(&lock);
        timers[fd].wanted = *new;
        r = arm(fd);
        pthread_mutex_unlock(&lock);
        return r;
}

int close(int fd) {
        if (fd >= 0 && fd < FD_MAX)
                timers[fd].is_boottime = 0;
        return NEXT(close)(fd);
}

static void *attend(void *unused) {
        uint32_t seen = 0;

        for (;;) {
                while (atomic_load(&shared->n_changes) == seen)
                        (void) syscall(SYS_futex, &shared->n_changes, FUTEX_WAIT, seen, NULL, NULL, 0);
                seen = atomic_load(&shared->n_changes);
                pthread_mutex_lock(&lock);
                for (int fd = 0; fd < FD_MAX; fd++)
                        if (timers[fd].is_boottime)
                                (void) arm(fd);
                pthread_mutex_unlock(&lock);
                atomic_store(&shared->n_seen, seen);
        }
        return unused;
}

__attribute__((constructor)) static void begin(void) {
        const char *path = getenv("P2PDI_CLOCKS");
        int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
        void *p = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        sigset_t all, before;
        pthread_t thread;

        if (fd >= 0)
                (void) close(fd);
        if (p == MAP_FAILED)
                return;
        shared = p;
        /* No signal is for this thread. */
        (void) sigfillset(&all);
        (void) pthread_sigmask(SIG_SETMASK, &all, &before);
        if (pthread_create(&thread, NULL, attend, NULL) != 0)
                abort();
        (void) pthread_sigmask(SIG_SETMASK, &before, NULL);
}
