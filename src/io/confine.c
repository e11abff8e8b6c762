/* SPDX-License-Identifier: BSD-2-Clause */

#include "io/confine.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

/* Those whose numbering is one and whose words have the low half first: the filter reads that alone. */
#if defined(__x86_64__)
#define MACHINE AUDIT_ARCH_X86_64
#elif defined(__aarch64__) && defined(__AARCH64EL__)
#define MACHINE AUDIT_ARCH_AARCH64
#elif defined(__riscv) && __riscv_xlen == 64
#define MACHINE AUDIT_ARCH_RISCV64
#endif

#ifdef MACHINE

/* From here on numbers of x86_64 are those of x32: the same calls once more. */
#define X32_FIRST 0x40000000

#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define ALLOW BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
#define REFUSE BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM)
/* Each of these is whole: what it does not refuse goes on behind it, with the number of the call loaded as before. */
#define REFUSE_UNLESS_MACHINE LOAD(arch), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, MACHINE, 1, 0), REFUSE, LOAD(nr)
#define REFUSE_FROM(number) BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, number, 0, 1), REFUSE
#define REFUSE_CALL(name) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_##name, 0, 1), REFUSE
#define REFUSE_FLAG(name, argument, flag)                                                                                \
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_##name, 0, 4), LOAD(args[argument]),                                    \
                BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, flag, 0, 1), REFUSE, ALLOW

#define NO_PROGRAMS REFUSE_UNLESS_MACHINE, REFUSE_FROM(X32_FIRST), REFUSE_CALL(execve), REFUSE_CALL(execveat)

static int install(const struct sock_filter *filter, size_t n) {
        const struct sock_fprog program = { .len = (unsigned short) n, .filter = (struct sock_filter *) filter };

        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
                return -errno;
        /* Not by seccomp(), which would reach threads that are there already: that call is not in @system-service. */
        if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) < 0)
                return errno == EINVAL ? CONFINE_NOT_HERE : -errno;
        return 0;
}

int confine(Confinement what) {
        static const struct sock_filter no_programs[] = { NO_PROGRAMS, ALLOW };
        /* What is asked of io_uring passes no filter, so that there must be none. */
        static const struct sock_filter no_programs_and_calls[] = {
                NO_PROGRAMS, REFUSE_CALL(connect), REFUSE_CALL(io_uring_setup), REFUSE_FLAG(sendto, 3, MSG_FASTOPEN),
                REFUSE_FLAG(sendmsg, 2, MSG_FASTOPEN), REFUSE_FLAG(sendmmsg, 3, MSG_FASTOPEN), ALLOW,
        };

        return what == CONFINE_PROGRAMS ? install(no_programs, ELEMENTSOF(no_programs)) :
                                          install(no_programs_and_calls, ELEMENTSOF(no_programs_and_calls));
}

#else

int confine(Confinement what) {
        (void) what;
        return CONFINE_NOT_HERE;
}

#endif
