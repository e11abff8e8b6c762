# SPDX-License-Identifier: BSD-2-Clause
"""A daemon that was taken over: system calls made by the running process itself, as code in it would make them.

With ptrace its main thread is stopped, made to do one call after the other, and sent back to where it was. x86_64 alone.
"""

import ctypes
import errno
import os
import signal
import socket
import struct

import pytest

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.restype = ctypes.c_long
ATTACH, DETACH, SINGLESTEP, GETREGS, SETREGS, WALL = 16, 17, 9, 12, 13, 0x40000000
# As the kernel has them in struct user_regs_struct.
NAMES = ("r15 r14 r13 r12 rbp rbx r11 r10 r9 r8 rax rcx rdx rsi rdi orig_rax rip cs eflags rsp ss fs_base gs_base ds es fs "
         "gs").split()
ARGUMENTS = ("rdi", "rsi", "rdx", "r10", "r8", "r9")
CALLS = {
    "write": 1, "open": 2, "mmap": 9, "mprotect": 10, "rt_sigprocmask": 14, "pipe": 22, "socket": 41, "connect": 42,
    "sendto": 44, "sendmsg": 46, "shutdown": 48, "bind": 49, "listen": 50, "getsockname": 51, "clone": 56, "fork": 57, "execve": 59, "kill": 62,
    "uname": 63, "close": 3, "unlink": 87, "chmod": 90, "fchmod": 91, "ptrace": 101, "syslog": 103, "setuid": 105, "setgid": 106,
    "setgroups": 116, "setresuid": 117, "capset": 126, "mknod": 133, "personality": 135, "setpriority": 141,
    "sched_setscheduler": 144, "mlockall": 151, "pivot_root": 155, "prctl": 157, "adjtimex": 159, "chroot": 161, "acct": 163,
    "settimeofday": 164, "mount": 165, "umount2": 166, "swapon": 167, "reboot": 169, "sethostname": 170, "setdomainname": 171,
    "iopl": 172, "ioperm": 173, "init_module": 175, "delete_module": 176, "quotactl": 179, "clock_settime": 227,
    "kexec_load": 246, "add_key": 248, "request_key": 249, "keyctl": 250, "unshare": 272, "perf_event_open": 298,
    "fanotify_init": 300, "open_by_handle_at": 304, "clock_adjtime": 305, "sendmmsg": 307, "setns": 308, "process_vm_readv": 310,
    "process_vm_writev": 311, "finit_module": 313, "memfd_create": 319, "kexec_file_load": 320, "bpf": 321, "execveat": 322,
    "userfaultfd": 323, "io_uring_setup": 425, "open_tree": 428, "move_mount": 429, "fsopen": 430, "pidfd_getfd": 438,
    "mount_setattr": 442, "openat2": 437,
}
MSG_FASTOPEN = 0x20000000


def address(host, port):
    """struct sockaddr_in or sockaddr_in6"""
    if ":" in host:
        return struct.pack("=HHI16sI", socket.AF_INET6, socket.htons(port), 0, socket.inet_pton(socket.AF_INET6, host), 0)
    return struct.pack("=HH4s8x", socket.AF_INET, socket.htons(port), socket.inet_pton(socket.AF_INET, host))


class Takeover:
    """Of a process that waits in a system call, as the main loop of a daemon mostly does."""

    def __init__(self, pid):
        if os.uname().machine != "x86_64":
            pytest.skip("registers and numbers of system calls are known for x86_64 alone")
        self.pid = pid

    def trace(self, what, data=None):
        if libc.ptrace(ctypes.c_long(what), ctypes.c_long(self.pid), None, data) < 0:
            number = ctypes.get_errno()
            raise OSError(number, f"ptrace: {os.strerror(number)}")

    def registers(self):
        found = (ctypes.c_ulonglong * len(NAMES))()
        self.trace(GETREGS, found)
        return dict(zip(NAMES, found))

    def set_registers(self, values):
        self.trace(SETREGS, (ctypes.c_ulonglong * len(NAMES))(*(values[n] for n in NAMES)))

    def wait(self):
        _, status = os.waitpid(self.pid, WALL)
        assert os.WIFSTOPPED(status), f"it ended: {status:#x}"
        return os.WSTOPSIG(status)

    def __enter__(self):
        try:
            self.trace(ATTACH)
        except PermissionError as e:
            pytest.skip(f"a process can't be traced here: {e}")
        assert self.wait() == signal.SIGSTOP
        self.home = self.registers()
        self.memory = open(f"/proc/{self.pid}/mem", "r+b", buffering=0)
        if self.read(self.home["rip"] - 2, 2) != b"\x0f\x05":           # syscall
            self.leave(self.home)
            pytest.skip("it is not in a system call that could be used again")
        return self

    def __exit__(self, *_):
        # Its own call is made once more: the kernel begins one again only if it was not stepped on since.
        self.leave({**self.home, "rip": self.home["rip"] - 2, "rax": self.home["orig_rax"]})

    def leave(self, registers):
        self.memory.close()
        self.set_registers(registers)
        self.trace(DETACH)

    def read(self, at, n):
        self.memory.seek(at)
        return self.memory.read(n)

    def call(self, name, *arguments):
        """What the kernel gave back. name: or a number; bytes among the arguments are passed by address."""
        values, at = [], self.home["rsp"] - 65536
        for a in arguments:
            if isinstance(a, bytes):
                self.memory.seek(at)
                self.memory.write(a + b"\0")
                a, at = at, at + (len(a) + 16) // 16 * 16
            values.append(a & (2 ** 64 - 1))
        self.set_registers({**self.home, **dict(zip(ARGUMENTS, values)), "rip": self.home["rip"] - 2, "rax": CALLS.get(name, name),
                            "orig_rax": 2 ** 64 - 1})
        self.trace(SINGLESTEP)
        got = self.wait()
        assert got == signal.SIGTRAP, f"{name}: signal {got}"
        return ctypes.c_longlong(self.registers()["rax"]).value

    def attempt(self, name, *arguments):
        """"ok", or the name of the error."""
        result = self.call(name, *arguments)
        return errno.errorcode[-result] if result < 0 else "ok"
