# SPDX-License-Identifier: BSD-2-Clause
"""Stands in for a daemon, in its unit: tries what the unit's lines are to prevent, and prints what came of it as JSON.

{name of what was tried: "ok" or the name of the error}
"""

import ctypes
import errno
import json
import os
import socket
import subprocess
import sys

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
libc.mmap.restype = ctypes.c_void_p
state = sys.argv[1]
found = {}


def error(number):
    return errno.errorcode.get(number, str(number))


def attempt(name, action, *arguments):
    try:
        action(*arguments)
        found[name] = "ok"
    except OSError as e:
        found[name] = error(e.errno)


def call(function, *arguments):
    """Of C: fails with -1."""
    if function(*arguments) in (-1, ctypes.c_void_p(-1).value):
        raise OSError(ctypes.get_errno(), "")


def system_call(number, *arguments):
    call(libc.syscall, ctypes.c_long(number), *(ctypes.c_long(a) for a in arguments))


def write(directory):
    path = os.path.join(directory, "p2pdi-probe")
    with open(path, "w", encoding="ascii"):
        pass
    os.unlink(path)


def make_socket(family, kind=socket.SOCK_STREAM):
    socket.socket(family, kind).close()


def connect(address):
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as s:
        s.settimeout(3)
        s.connect((address, 9))


# ---- writing ----
places = ["/", "/etc", "/etc/p2pdi", "/usr", "/boot", "/home", "/root", "/srv", "/opt", "/mnt", "/var", "/var/lib", "/var/log", "/run",
          "/run/p2pdi", "/dev", "/dev/shm", "/proc/sys/kernel", "/sys", "/sys/fs/cgroup", "/etc/open",
          "/usr/open", "/srv/open", "/var/open", "/var/lib/open", "/run/open", "/opt/open", "/home/open",
          "/run/lock", "/etc/p2pdi/open"]
for d in places:
    attempt("write " + d, write, d)
attempt("write state", write, state)
attempt("write /tmp", write, "/tmp")
attempt("list /home", os.listdir, "/home")
attempt("list /dev/shm", os.listdir, "/dev/shm")
attempt("write /proc/sys/kernel/hostname", open, "/proc/sys/kernel/hostname", "w")
attempt("read /proc/kmsg", os.open, "/proc/kmsg", os.O_RDONLY)
attempt("read /proc/meminfo", os.open, "/proc/meminfo", os.O_RDONLY)
attempt("see PID 1", os.stat, "/proc/1")
attempt("open /dev/mem", os.open, "/dev/mem", os.O_RDONLY)
attempt("open /dev/null", os.open, "/dev/null", os.O_WRONLY)

# ---- the network ----
for family in ("AF_UNIX", "AF_INET", "AF_INET6", "AF_NETLINK", "AF_PACKET", "AF_VSOCK"):
    attempt(family, make_socket, getattr(socket, family), socket.SOCK_RAW if family in ("AF_NETLINK", "AF_PACKET") else socket.SOCK_STREAM)
found["interfaces"] = sorted(line.split(":")[0].strip() for line in open("/proc/self/net/dev", encoding="ascii") if ":" in line)
attempt("connect 127.0.0.1", connect, "127.0.0.1")

# ---- privilege ----
status = dict(line.rstrip("\n").split(":\t", 1) for line in open("/proc/self/status", encoding="ascii") if ":\t" in line)
for name in ("CapEff", "CapPrm", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp"):
    found[name] = status[name]
found["uid"] = os.getuid()
found["uid_map"] = [line.split() for line in open("/proc/self/uid_map", encoding="ascii")]
found["umask"] = f"{os.umask(0o77):03o}"
path = os.path.join(state, "p2pdi-probe-file")
with open(path, "w", encoding="ascii"):
    pass
attempt("chmod u+s", os.chmod, path, 0o4755)
attempt("chmod +x", os.chmod, path, 0o755)
os.unlink(path)
attempt("setuid 0", os.setuid, 0)
# A program with the bit for root runs, but not as root.
found["su"] = subprocess.run(["/usr/bin/su", "-c", "id"], capture_output=True, stdin=subprocess.DEVNULL, check=False).returncode != 0
found["uid of a setuid program"] = subprocess.run(["/mnt/setuid-id", "-u"], capture_output=True, text=True, check=False).stdout.strip()

# ---- system calls (numbers of x86_64) ----
if os.uname().machine == "x86_64":
    attempt("mount", lambda: call(libc.mount, b"tmpfs", b"/tmp", b"tmpfs", 0, None))
    attempt("unshare user", lambda: call(libc.unshare, 0x10000000))
    attempt("unshare net", lambda: call(libc.unshare, 0x40000000))
    attempt("sethostname", lambda: call(libc.sethostname, b"probe", 5))
    attempt("settimeofday", system_call, 164, 0, 0)
    attempt("init_module", system_call, 175, 0, 0, 0)
    attempt("bpf", system_call, 321, 0, 0, 0)
    attempt("ptrace", system_call, 101, 0, 0, 0, 0)
    attempt("keyctl", system_call, 250, 0, -3, 0)
    attempt("chroot", lambda: call(libc.chroot, b"/"))
    attempt("personality", system_call, 135, 0x0008)
    attempt("syslog", system_call, 103, 3, 0, 0)
    attempt("reboot", system_call, 169, 0, 0, 0, 0)
    attempt("setpriority", system_call, 141, 0, 0, 5)
    attempt("sched_setscheduler", lambda: os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1)))
    attempt("mmap writable and executable", lambda: call(libc.mmap, None, ctypes.c_size_t(4096), 7, 0x22, -1, ctypes.c_long(0)))

print(json.dumps(found))
