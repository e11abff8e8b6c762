# SPDX-License-Identifier: BSD-2-Clause
"""Hosts that are network namespaces around a bridge, each with an uplink of its own.

All of it lives in namespaces that end with the process that made them (unshare --kill-child): nothing is left on the
machine, however that process ends, and no packet leaves it.
"""

import contextlib
import ctypes
import os
import signal
import subprocess

# Documentation addresses (RFC 5737): they are nobody's.
HUB = "192.0.2.254"
N_HOSTS_MAX = 200
# What a modem queues before it drops: so much time of the uplink.
QUEUE = "latency 200ms"
CLONE_NEWNET = 0x40000000
PR_SET_PDEATHSIG = 1

libc = ctypes.CDLL(None, use_errno=True)


def address(host):
    return f"192.0.2.{host + 1}"


# ---- a place for namespaces ----

def die_with_parent():
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def unshare():
    """The command that gives what follows it namespaces of its own, which end with it."""
    command = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child=SIGKILL", "--mount-proc"]
    return command if os.geteuid() == 0 else command + ["--user", "--map-root-user"]


def unavailable():
    """Why there can't be such hosts here; None: there can."""
    probe = "ip link add v0 type veth peer name v1 && ip link add b0 type bridge && mount -t tmpfs none /run && " \
            "tc qdisc add dev v0 root tbf rate 10mbit burst 16kb latency 200ms"
    try:
        r = subprocess.run(unshare() + ["sh", "-c", probe], stdin=subprocess.DEVNULL, capture_output=True, timeout=30,
                           check=False)
    except (OSError, subprocess.TimeoutExpired) as e:
        return f"no namespaces: {e}"
    if r.returncode != 0:
        said = r.stderr.decode(errors="replace").strip().replace("\n", "; ")
        return f"no network namespaces with veth, bridge and tbf ({said}); as root, and with iproute2, there should be"
    return None


def prepare():
    """Once, as the first thing inside: nothing of the machine's /run is seen, and what is made there is ours."""
    subprocess.run(["mount", "-t", "tmpfs", "none", "/run"], check=True)
    os.mkdir("/run/netns")
    ip("link set lo up\nlink add hub type bridge\nlink set hub up\n" f"address add {HUB}/24 dev hub\n")


def ip(commands):
    subprocess.run(["ip", "-batch", "-"], input=commands.encode(), check=True)


# ---- hosts ----

class Hosts:
    """n of them, fresh: a host remembers what TCP was like with another one."""

    def __init__(self, uplinks):
        """uplinks: of each host, for tc, or None."""
        self.n = len(uplinks)
        assert self.n <= N_HOSTS_MAX
        ip("".join(f"netns add h{i}\n"
                   f"link add v{i} type veth peer name eth0 netns h{i}\n"
                   f"link set v{i} master hub up\n" for i in range(self.n)))
        for i, uplink in enumerate(uplinks):
            subprocess.run(["ip", "-netns", f"h{i}", "-batch", "-"], check=True, input=(
                f"link set lo up\naddress add {address(i)}/24 dev eth0\nlink set eth0 up\n").encode())
            if uplink:
                subprocess.run(["tc", "-netns", f"h{i}", "qdisc", "add", "dev", "eth0", "root", "tbf", "rate", uplink,
                                "burst", "16kb"] + QUEUE.split(), check=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        ip("".join(f"link delete v{i}\nnetns delete h{i}\n" for i in range(self.n)))

    @staticmethod
    def enter(host):
        """The calling thread, and what it starts, is on that host from now on."""
        with open(f"/run/netns/h{host}", "rb") as f:
            if libc.setns(f.fileno(), CLONE_NEWNET) < 0:
                raise OSError(ctypes.get_errno(), f"setns: {os.strerror(ctypes.get_errno())}")


def tcp_counters():
    """Of the host that the calling thread is on."""
    with open("/proc/thread-self/net/snmp", encoding="ascii") as f:
        return parse_tcp_counters(f.read())


def parse_tcp_counters(text):
    names, values = (line.split()[1:] for line in text.splitlines() if line.startswith("Tcp:"))
    return {name: int(value) for name, value in zip(names, values)}


@contextlib.contextmanager
def ended_by_signals():
    """What ends a program is an exception here, so that there is an end to all that was begun."""
    def end(number, _):
        raise SystemExit(128 + number)
    before = {n: signal.signal(n, end) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for n, handler in before.items():
            signal.signal(n, handler)
