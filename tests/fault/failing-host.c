/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * A host that fails, to be preloaded into one of our programs. $P2PDI_FAULT is a file that the driver, fault.py, and
 * this library both have mapped: the driver writes there which calls are to fail, and how; here each call of such a
 * kind is counted, written down with the place in the program that it came from, and failed when its turn has come.
 *
 * Calls are told apart by their path: the return addresses that lie in the program itself, innermost first, whatever
 * libraries are between. malloc() called by jansson for us is thereby at our call of jansson.
 */

#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/sendfile.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>
#include <unwind.h>

/* The bits of Control.kinds, in the order of fault.py's KINDS. */
enum {
        MEMORY,                 /* asked for by the program itself */
        LIBRARY_MEMORY,         /* by a library, for the program */
        MAP,
        OPEN,
        DESCRIPTOR,             /* all that gives one, but open() */
        FILE_READ,
        FILE_WRITE,
        SYNC,
        NAME,                   /* rename, link, unlink, mkdir, chmod */
        STAT,
        SOCKET_READ,
        SOCKET_WRITE,
        SENDFILE,
        EVENT_READ,             /* of an eventfd and its like */
        WAIT,
        WATCH,                  /* epoll_ctl(ADD), inotify_add_watch */
        THREAD,
        RANDOM,
        RESOLVE,
        SETUP,                  /* bind, listen, connect, setsockopt … */
};

enum { COUNT_CALLS, COUNT_PATHS };
enum { NOT_NOW, FAIL, SHORT };

#define N_SITES 8192
#define N_FRAMES 12
#define N_DEPTH 64              /* of a stack that is looked at */
#define WHAT_SHORT 0            /* Control.what: half of what was asked for */

/* A path of calls to one function. */
typedef struct Site {
        _Atomic uint64_t path;          /* 0: free */
        uint64_t frames[N_FRAMES];      /* offsets in the program, innermost first; 0: no more */
        char function[24];
        uint32_t kind;
        _Atomic uint32_t n_calls, n_failed;
        _Atomic uint32_t round;         /* that it was last seen in */
} Site;

typedef struct Control {
        _Atomic uint32_t armed, kinds;
        _Atomic uint32_t what;          /* an errno, or WHAT_SHORT */
        _Atomic uint32_t from, to;      /* the calls that fail, counted from 1 */
        _Atomic uint32_t by;            /* COUNT_CALLS, or COUNT_PATHS: calls of a path that was seen in this round do not count */
        _Atomic uint32_t round;
        _Atomic uint32_t n_counted, n_failed;
        _Atomic uint32_t last_failed;   /* a site */
        _Atomic uint32_t loaded;        /* how often a program has mapped this */
        uint32_t unused;
        Site sites[N_SITES];
} Control;

static Control *control;
static uintptr_t program_start, program_end, program_base;
/* While it is set a call is ours, or part of one that was counted already. */
static __thread int busy __attribute__((tls_model("initial-exec")));

/* The next one of that name. */
#define NEXT(name)                                                                                                      \
        ({                                                                                                              \
                static __typeof__(&(name)) _Atomic next;                                                                \
                __typeof__(&(name)) _found = next;                                                                      \
                if (!_found)                                                                                            \
                        next = _found = (__typeof__(&(name))) dlsym(RTLD_NEXT, #name);                                  \
                _found;                                                                                                 \
        })

static int find_program(struct dl_phdr_info *info, size_t size, void *userdata) {
        (void) size;
        (void) userdata;
        program_base = info->dlpi_addr;
        for (int i = 0; i < info->dlpi_phnum; i++) {
                const ElfW(Phdr) *p = info->dlpi_phdr + i;
                if (p->p_type == PT_LOAD && p->p_flags & PF_X) {
                        program_start = info->dlpi_addr + p->p_vaddr;
                        program_end = program_start + p->p_memsz;
                }
        }
        return 1;               /* the first is the program */
}

/* A shell that starts the program has this library as well, and is left alone. */
__attribute__((constructor)) static void fault_open(void) {
        const char *path = getenv("P2PDI_FAULT");
        if (!path || strncmp(program_invocation_short_name, "p2pdi-", 6) != 0)
                return;
        busy++;
        int fd = NEXT(open)(path, O_RDWR | O_CLOEXEC);
        void *at = fd < 0 ? MAP_FAILED : NEXT(mmap)(NULL, sizeof(Control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (at == MAP_FAILED) {
                perror(path);
                _exit(99);
        }
        close(fd);
        dl_iterate_phdr(find_program, NULL);
        atomic_fetch_add(&((Control *) at)->loaded, 1);
        control = at;
        busy--;
}

/* ---- where a call comes from ---- */

static bool is_program(uintptr_t address) {
        return address >= program_start && address < program_end;
}

typedef struct Trace {
        uint64_t frames[N_FRAMES];
        unsigned n, depth;
} Trace;

static _Unwind_Reason_Code on_frame(struct _Unwind_Context *context, void *userdata) {
        Trace *t = userdata;
        uintptr_t ip = _Unwind_GetIP(context);
        if (ip == 0 || t->n >= N_FRAMES || ++t->depth > N_DEPTH)
                return _URC_END_OF_STACK;
        if (is_program(ip))
                t->frames[t->n++] = ip - program_base;
        return _URC_NO_REASON;
}

/*
 * NULL: nobody in the program asked for it. A sanitizer, for one, wants memory as a thread begins, and ends everything
 * if there is none.
 */
static Site *find_site(unsigned kind, const char *function) {
        Trace t = {};
        _Unwind_Backtrace(on_frame, &t);
        if (t.n == 0)
                return NULL;
        uint64_t path = 0xcbf29ce484222325u;
        for (const char *p = function; *p; p++)
                path = (path ^ (unsigned char) *p) * 0x100000001b3u;
        path = (path ^ kind) * 0x100000001b3u;
        for (unsigned i = 0; i < t.n; i++)
                path = (path ^ t.frames[i]) * 0x9e3779b97f4a7c15u ^ path >> 29;
        path |= 1;
        for (size_t i = path % N_SITES, n = 0; n < N_SITES; i = (i + 1) % N_SITES, n++) {
                Site *s = control->sites + i;
                uint64_t there = 0;
                if (atomic_compare_exchange_strong(&s->path, &there, path)) {
                        memcpy(s->frames, t.frames, sizeof(s->frames));
                        strncpy(s->function, function, sizeof(s->function) - 1);
                        s->kind = kind;
                        return s;
                }
                if (there == path)
                        return s;
        }
        fprintf(stderr, "fault: more than %d sites\n", N_SITES);
        abort();
}

/* Counts a call; says whether it is to fail, with errno set. */
static int hit(unsigned kind, const char *function, bool can_be_short) {
        Control *c = control;
        if (!c || busy || !c->armed || !(c->kinds & 1u << kind))
                return NOT_NOW;
        if (c->what == WHAT_SHORT && !can_be_short)
                return NOT_NOW;
        int before = errno;
        busy++;
        Site *s = find_site(kind, function);
        busy--;
        errno = before;
        if (!s)
                return NOT_NOW;
        atomic_fetch_add(&s->n_calls, 1);
        if (atomic_exchange(&s->round, c->round) == c->round && c->by == COUNT_PATHS)
                return NOT_NOW;
        uint32_t n = atomic_fetch_add(&c->n_counted, 1) + 1;
        if (n < c->from || n > c->to)
                return NOT_NOW;
        atomic_fetch_add(&s->n_failed, 1);
        c->last_failed = (uint32_t) (s - c->sites);
        atomic_fetch_add(&c->n_failed, 1);
        if (c->what == WHAT_SHORT)
                return SHORT;
        errno = (int) c->what;
        return FAIL;
}

/* ---- memory ---- */

#define MEMORY_KIND (is_program((uintptr_t) __builtin_return_address(0)) ? MEMORY : LIBRARY_MEMORY)
/* What the C library does for the call is part of it. */
#define WITHOUT_COUNTING(type, call)                                                                                    \
        ({                                                                                                              \
                busy++;                                                                                                 \
                type result_ = (call);                                                                                  \
                busy--;                                                                                                 \
                result_;                                                                                                \
        })
#define FAIL_WITH(value, kind)                                                                                          \
        do {                                                                                                            \
                if (hit((kind), __func__, false) != NOT_NOW)                                                            \
                        return (value);                                                                                 \
        } while (0)

void *malloc(size_t size) {
        FAIL_WITH(NULL, MEMORY_KIND);
        return NEXT(malloc)(size);
}

void *calloc(size_t n, size_t size) {
        FAIL_WITH(NULL, MEMORY_KIND);
        return NEXT(calloc)(n, size);
}

void *realloc(void *p, size_t size) {
        FAIL_WITH(NULL, MEMORY_KIND);
        return NEXT(realloc)(p, size);
}

void *reallocarray(void *p, size_t n, size_t size) {
        FAIL_WITH(NULL, MEMORY_KIND);
        return WITHOUT_COUNTING(void *, NEXT(reallocarray)(p, n, size));
}

void *aligned_alloc(size_t alignment, size_t size) {
        FAIL_WITH(NULL, MEMORY_KIND);
        return NEXT(aligned_alloc)(alignment, size);
}

char *strdup(const char *s) {
        FAIL_WITH(NULL, MEMORY_KIND);
        return WITHOUT_COUNTING(char *, NEXT(strdup)(s));
}

char *strndup(const char *s, size_t size) {
        FAIL_WITH(NULL, MEMORY_KIND);
        return WITHOUT_COUNTING(char *, NEXT(strndup)(s, size));
}

/* vasprintf() is what both forms end in, with and without _FORTIFY_SOURCE. */
static int print(char **ret, unsigned kind, const char *function, const char *format, va_list ap) {
        if (hit(kind, function, false) != NOT_NOW)
                return -1;
        return WITHOUT_COUNTING(int, NEXT(vasprintf)(ret, format, ap));
}

int vasprintf(char **ret, const char *format, va_list ap) {
        return print(ret, MEMORY_KIND, "asprintf", format, ap);
}

int __vasprintf_chk(char **ret, int flag, const char *format, va_list ap);
int __vasprintf_chk(char **ret, int flag, const char *format, va_list ap) {
        (void) flag;
        return print(ret, MEMORY_KIND, "asprintf", format, ap);
}

int asprintf(char **ret, const char *format, ...) {
        va_list ap;
        va_start(ap, format);
        int n = print(ret, MEMORY_KIND, "asprintf", format, ap);
        va_end(ap);
        return n;
}

int __asprintf_chk(char **ret, int flag, const char *format, ...);
int __asprintf_chk(char **ret, int flag, const char *format, ...) {
        (void) flag;
        va_list ap;
        va_start(ap, format);
        int n = print(ret, MEMORY_KIND, "asprintf", format, ap);
        va_end(ap);
        return n;
}

void *mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset) {
        FAIL_WITH(MAP_FAILED, MAP);
        return NEXT(mmap)(at, size, protection, flags, fd, offset);
}

void *mmap64(void *at, size_t size, int protection, int flags, int fd, off64_t offset) {
        FAIL_WITH(MAP_FAILED, MAP);
        return NEXT(mmap64)(at, size, protection, flags, fd, offset);
}

/* ---- descriptors ---- */

/* One that fails with value, as they are declared: PASS(type, name, kind, value, (parameters), (arguments)). */
#define PASS(type, name, kind, value, parameters, arguments)                                                            \
        type name parameters {                                                                                          \
                FAIL_WITH(value, kind);                                                                                 \
                return NEXT(name) arguments;                                                                            \
        }

/* A full disk is in the way only of who makes a file. */
static bool is_open_failing(int flags) {
        return flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE || !control || control->what != ENOSPC;
}

/* The mode is there or is not: passed on it is harmless. */
#define PASS_OPEN(name)                                                                                                 \
        int name(const char *path, int flags, ...) {                                                                    \
                va_list ap;                                                                                             \
                va_start(ap, flags);                                                                                    \
                mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(ap, mode_t) : 0;                                   \
                va_end(ap);                                                                                             \
                if (is_open_failing(flags))                                                                             \
                        FAIL_WITH(-1, OPEN);                                                                            \
                return NEXT(name)(path, flags, mode);                                                                   \
        }
#define PASS_OPENAT(name)                                                                                               \
        int name(int fd, const char *path, int flags, ...) {                                                            \
                va_list ap;                                                                                             \
                va_start(ap, flags);                                                                                    \
                mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(ap, mode_t) : 0;                                   \
                va_end(ap);                                                                                             \
                if (is_open_failing(flags))                                                                             \
                        FAIL_WITH(-1, OPEN);                                                                            \
                return NEXT(name)(fd, path, flags, mode);                                                               \
        }
#define PASS_FCNTL(name)                                                                                                \
        int name(int fd, int command, ...) {                                                                            \
                va_list ap;                                                                                             \
                va_start(ap, command);                                                                                  \
                void *argument = va_arg(ap, void *);                                                                    \
                va_end(ap);                                                                                             \
                if (command == F_DUPFD || command == F_DUPFD_CLOEXEC)                                                   \
                        FAIL_WITH(-1, DESCRIPTOR);                                                                      \
                return NEXT(name)(fd, command, argument);                                                               \
        }

PASS_OPEN(open)
PASS_OPEN(open64)
PASS_OPENAT(openat)
PASS_OPENAT(openat64)
PASS_FCNTL(fcntl)
PASS_FCNTL(fcntl64)
PASS(DIR *, opendir, OPEN, NULL, (const char *path), (path))
PASS(DIR *, fdopendir, OPEN, NULL, (int fd), (fd))
PASS(int, socket, DESCRIPTOR, -1, (int domain, int type, int protocol), (domain, type, protocol))
PASS(int, accept4, DESCRIPTOR, -1, (int fd, struct sockaddr *address, socklen_t *size, int flags), (fd, address, size, flags))
PASS(int, epoll_create1, DESCRIPTOR, -1, (int flags), (flags))
PASS(int, eventfd, DESCRIPTOR, -1, (unsigned value, int flags), (value, flags))
PASS(int, timerfd_create, DESCRIPTOR, -1, (clockid_t clock, int flags), (clock, flags))
PASS(int, signalfd, DESCRIPTOR, -1, (int fd, const sigset_t *mask, int flags), (fd, mask, flags))
PASS(int, inotify_init1, DESCRIPTOR, -1, (int flags), (flags))
PASS(int, memfd_create, DESCRIPTOR, -1, (const char *name, unsigned flags), (name, flags))
PASS(int, dup3, DESCRIPTOR, -1, (int from, int to, int flags), (from, to, flags))

/* ---- reading and writing ---- */

typedef enum { REGULAR, STREAM, OTHER_SOCKET, EVENT } What;

/* stderr is where we are told of all this: it is left alone, as if it were a device. */
static What what_is(int fd) {
        int before = errno, type = 0;
        socklen_t size = sizeof(type);
        struct stat st;
        What w = EVENT;
        if (fd > STDERR_FILENO && NEXT(fstat)(fd, &st) == 0) {
                if (S_ISREG(st.st_mode))
                        w = REGULAR;
                else if (S_ISSOCK(st.st_mode))
                        w = NEXT(getsockopt)(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_STREAM ? STREAM : OTHER_SOCKET;
        }
        errno = before;
        return w;
}

static bool watching(void) {
        return control && !busy && control->armed;
}

/* What a transfer of so many bytes is to be: -1 fails, else that many. */
static ssize_t transfer(int fd, size_t size, unsigned regular, unsigned sock, int event, const char *function) {
        if (!watching())
                return (ssize_t) size;
        What w = what_is(fd);
        if (w == EVENT && (event < 0 || fd <= STDERR_FILENO))
                return (ssize_t) size;
        unsigned kind = w == REGULAR ? regular : w == EVENT ? (unsigned) event : sock;
        switch (hit(kind, function, size > 1 && (w == REGULAR || w == STREAM))) {
        case FAIL:
                /* A connection of which the kernel says that it is gone, is. */
                if (w == STREAM && (errno == EPIPE || errno == ECONNRESET)) {
                        int before = errno;
                        (void) shutdown(fd, SHUT_RDWR);
                        errno = before;
                }
                return -1;
        case SHORT:
                return (ssize_t) (size / 2);
        default:
                return (ssize_t) size;
        }
}

#define TRANSFER(fd, size, regular, sock, event)                                                                        \
        ssize_t allowed = transfer((fd), (size), (regular), (sock), (event), __func__);                                 \
        if (allowed < 0)                                                                                                \
                return -1

ssize_t read(int fd, void *to, size_t size) {
        TRANSFER(fd, size, FILE_READ, SOCKET_READ, EVENT_READ);
        return NEXT(read)(fd, to, (size_t) allowed);
}

ssize_t pread(int fd, void *to, size_t size, off_t offset) {
        TRANSFER(fd, size, FILE_READ, SOCKET_READ, -1);
        return NEXT(pread)(fd, to, (size_t) allowed, offset);
}

ssize_t pread64(int fd, void *to, size_t size, off64_t offset) {
        TRANSFER(fd, size, FILE_READ, SOCKET_READ, -1);
        return NEXT(pread64)(fd, to, (size_t) allowed, offset);
}

ssize_t recv(int fd, void *to, size_t size, int flags) {
        TRANSFER(fd, size, FILE_READ, SOCKET_READ, -1);
        return NEXT(recv)(fd, to, (size_t) allowed, flags);
}

ssize_t write(int fd, const void *from, size_t size) {
        TRANSFER(fd, size, FILE_WRITE, SOCKET_WRITE, -1);
        return NEXT(write)(fd, from, (size_t) allowed);
}

ssize_t pwrite(int fd, const void *from, size_t size, off_t offset) {
        TRANSFER(fd, size, FILE_WRITE, SOCKET_WRITE, -1);
        return NEXT(pwrite)(fd, from, (size_t) allowed, offset);
}

ssize_t pwrite64(int fd, const void *from, size_t size, off64_t offset) {
        TRANSFER(fd, size, FILE_WRITE, SOCKET_WRITE, -1);
        return NEXT(pwrite64)(fd, from, (size_t) allowed, offset);
}

ssize_t send(int fd, const void *from, size_t size, int flags) {
        TRANSFER(fd, size, FILE_WRITE, SOCKET_WRITE, -1);
        return NEXT(send)(fd, from, (size_t) allowed, flags);
}

ssize_t sendto(int fd, const void *from, size_t size, int flags, const struct sockaddr *to, socklen_t to_size) {
        TRANSFER(fd, size, FILE_WRITE, SOCKET_WRITE, -1);
        return NEXT(sendto)(fd, from, (size_t) allowed, flags, to, to_size);
}

/* The first vector is halved, and the rest left out. */
static struct msghdr shorter(const struct msghdr *m, struct iovec *half, size_t allowed) {
        struct msghdr n = *m;
        *half = m->msg_iov[0];
        half->iov_len = allowed;
        n.msg_iov = half;
        n.msg_iovlen = 1;
        return n;
}

ssize_t sendmsg(int fd, const struct msghdr *m, int flags) {
        size_t size = m->msg_iovlen > 0 ? m->msg_iov[0].iov_len : 0;
        TRANSFER(fd, size, FILE_WRITE, SOCKET_WRITE, -1);
        if ((size_t) allowed == size)
                return NEXT(sendmsg)(fd, m, flags);
        struct iovec half;
        struct msghdr n = shorter(m, &half, (size_t) allowed);
        return NEXT(sendmsg)(fd, &n, flags);
}

ssize_t recvmsg(int fd, struct msghdr *m, int flags) {
        size_t size = m->msg_iovlen > 0 ? m->msg_iov[0].iov_len : 0;
        TRANSFER(fd, size, FILE_READ, SOCKET_READ, -1);
        if ((size_t) allowed == size)
                return NEXT(recvmsg)(fd, m, flags);
        struct iovec half, *vectors = m->msg_iov;
        size_t n_vectors = m->msg_iovlen;
        *m = shorter(m, &half, (size_t) allowed);
        ssize_t n = NEXT(recvmsg)(fd, m, flags);
        m->msg_iov = vectors;
        m->msg_iovlen = n_vectors;
        return n;
}

ssize_t sendfile(int to, int from, off_t *offset, size_t size) {
        TRANSFER(to, size, SENDFILE, SENDFILE, -1);
        return NEXT(sendfile)(to, from, offset, (size_t) allowed);
}

ssize_t sendfile64(int to, int from, off64_t *offset, size_t size) {
        TRANSFER(to, size, SENDFILE, SENDFILE, -1);
        return NEXT(sendfile64)(to, from, offset, (size_t) allowed);
}

PASS(int, eventfd_read, EVENT_READ, -1, (int fd, eventfd_t *ret), (fd, ret))

/* Fewer random bytes than asked for are possible, too. */
ssize_t getrandom(void *to, size_t size, unsigned flags) {
        int k = hit(RANDOM, __func__, size > 1);
        return k == FAIL ? -1 : NEXT(getrandom)(to, k == SHORT ? size / 2 : size, flags);
}

/* ---- files ---- */

PASS(int, fsync, SYNC, -1, (int fd), (fd))
PASS(int, fdatasync, SYNC, -1, (int fd), (fd))
PASS(int, syncfs, SYNC, -1, (int fd), (fd))
PASS(int, ftruncate, FILE_WRITE, -1, (int fd, off_t size), (fd, size))
PASS(int, ftruncate64, FILE_WRITE, -1, (int fd, off64_t size), (fd, size))
PASS(int, fallocate, FILE_WRITE, -1, (int fd, int mode, off_t offset, off_t size), (fd, mode, offset, size))
PASS(int, fallocate64, FILE_WRITE, -1, (int fd, int mode, off64_t offset, off64_t size), (fd, mode, offset, size))
PASS(int, rename, NAME, -1, (const char *from, const char *to), (from, to))
PASS(int, renameat, NAME, -1, (int a, const char *from, int b, const char *to), (a, from, b, to))
PASS(int, renameat2, NAME, -1, (int a, const char *from, int b, const char *to, unsigned flags), (a, from, b, to, flags))
PASS(int, linkat, NAME, -1, (int a, const char *from, int b, const char *to, int flags), (a, from, b, to, flags))
PASS(int, unlink, NAME, -1, (const char *path), (path))
PASS(int, unlinkat, NAME, -1, (int fd, const char *path, int flags), (fd, path, flags))
PASS(int, mkdir, NAME, -1, (const char *path, mode_t mode), (path, mode))
PASS(int, chmod, NAME, -1, (const char *path, mode_t mode), (path, mode))
PASS(int, fchmod, NAME, -1, (int fd, mode_t mode), (fd, mode))
PASS(int, stat, STAT, -1, (const char *path, struct stat *ret), (path, ret))
PASS(int, stat64, STAT, -1, (const char *path, struct stat64 *ret), (path, ret))
PASS(int, lstat, STAT, -1, (const char *path, struct stat *ret), (path, ret))
PASS(int, lstat64, STAT, -1, (const char *path, struct stat64 *ret), (path, ret))
PASS(int, fstat, STAT, -1, (int fd, struct stat *ret), (fd, ret))
PASS(int, fstat64, STAT, -1, (int fd, struct stat64 *ret), (fd, ret))
PASS(int, fstatat, STAT, -1, (int fd, const char *path, struct stat *ret, int flags), (fd, path, ret, flags))
PASS(int, fstatat64, STAT, -1, (int fd, const char *path, struct stat64 *ret, int flags), (fd, path, ret, flags))
PASS(int, faccessat, STAT, -1, (int fd, const char *path, int mode, int flags), (fd, path, mode, flags))

/* ---- loops, threads, sockets ---- */

/* What takes one out never fails. */
int epoll_ctl(int fd, int operation, int of, struct epoll_event *event) {
        if (operation == EPOLL_CTL_ADD)
                FAIL_WITH(-1, WATCH);
        return NEXT(epoll_ctl)(fd, operation, of, event);
}

PASS(int, inotify_add_watch, WATCH, -1, (int fd, const char *path, uint32_t mask), (fd, path, mask))
PASS(int, epoll_wait, WAIT, -1, (int fd, struct epoll_event *events, int n, int timeout), (fd, events, n, timeout))
PASS(int, sem_wait, WAIT, -1, (sem_t *s), (s))
PASS(int, bind, SETUP, -1, (int fd, const struct sockaddr *address, socklen_t size), (fd, address, size))
PASS(int, listen, SETUP, -1, (int fd, int backlog), (fd, backlog))
PASS(int, connect, SETUP, -1, (int fd, const struct sockaddr *address, socklen_t size), (fd, address, size))
PASS(int, setsockopt, SETUP, -1, (int fd, int level, int name, const void *value, socklen_t size), (fd, level, name, value, size))
PASS(int, getsockopt, SETUP, -1, (int fd, int level, int name, void *value, socklen_t *size), (fd, level, name, value, size))
PASS(int, getsockname, SETUP, -1, (int fd, struct sockaddr *ret, socklen_t *size), (fd, ret, size))

/* One that does not wait is not interrupted. */
int poll(struct pollfd *fds, nfds_t n, int timeout) {
        if (timeout != 0)
                FAIL_WITH(-1, WAIT);
        return NEXT(poll)(fds, n, timeout);
}

PASS(int, ppoll, WAIT, -1, (struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask), (fds, n, timeout, mask))

/* All of it is left. */
int nanosleep(const struct timespec *t, struct timespec *left) {
        if (hit(WAIT, __func__, false) == NOT_NOW)
                return NEXT(nanosleep)(t, left);
        if (left)
                *left = *t;
        return -1;
}

/* These give what went wrong. */
int pthread_create(pthread_t *ret, const pthread_attr_t *attributes, void *(*function)(void *), void *userdata) {
        FAIL_WITH(errno, THREAD);
        return NEXT(pthread_create)(ret, attributes, function, userdata);
}

int getaddrinfo(const char *host, const char *service, const struct addrinfo *hints, struct addrinfo **ret) {
        FAIL_WITH(EAI_SYSTEM, RESOLVE);
        return NEXT(getaddrinfo)(host, service, hints, ret);
}
