#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Hosts that are network namespaces around a bridge, each with an uplink of its own.

All of it lives in namespaces that end with the process that made them (unshare --kill-child): nothing is left on the
machine, however that process ends, and no packet leaves it.

  hosts.py COMMAND ARGUMENT...

runs a command where it can make such hosts. Status 77 (skipped) where there can be none.
"""

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import sys

# Documentation addresses (RFC 5737): they are nobody's.
HUB = "192.0.2.254"
N_HOSTS_MAX = 200
# What a modem queues before it drops: so much time of the uplink.
QUEUE = "latency 200ms"
SKIPPED = 77
# Set in the environment of what runs where prepare() may be called.
INSIDE = "P2PDI_INSIDE"
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
    missing = [name for name in ("unshare", "ip", "tc", "mount") if not shutil.which(name)]
    if missing:
        return f"{', '.join(missing)} missing"
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


def run(command, environment=None):
    """Runs it inside, in an environment with these additions, and gives its status."""
    with ended_by_signals(), subprocess.Popen(unshare() + command, stdin=subprocess.DEVNULL, preexec_fn=die_with_parent,
                                              env={**os.environ, INSIDE: "1", **(environment or {})}) as process:
        try:
            return process.wait()
        finally:
            process.kill()


def prepare():
    """Once, as the first thing inside: nothing of the machine's /run is seen, and what is made there is ours."""
    subprocess.run(["mount", "-t", "tmpfs", "none", "/run"], check=True)
    os.mkdir("/run/netns")
    ip("link set lo up\nlink add hub type bridge\nlink set hub up\n" f"address add {HUB}/24 dev hub\n")


def ip(commands):
    subprocess.run(["ip", "-batch", "-"], input=commands.encode(), check=True)


def join(f):
    """The calling thread, and what it starts, is in that network namespace from now on."""
    if libc.setns(f.fileno(), CLONE_NEWNET) < 0:
        raise OSError(ctypes.get_errno(), f"setns: {os.strerror(ctypes.get_errno())}")


# ---- hosts ----

class Hosts:
    """n of them, fresh: a host remembers what TCP was like with another one."""

    def __init__(self, uplinks):
        """uplinks: of each host, for tc, or None."""
        self.n, self.n_cut = len(uplinks), 0
        assert self.n <= N_HOSTS_MAX
        ip("".join(f"netns add h{i}\n"
                   f"link add v{i} type veth peer name eth0 netns h{i}\n"
                   f"link set v{i} master hub up\n" for i in range(self.n)))
        for i, uplink in enumerate(uplinks):
            subprocess.run(["ip", "-netns", f"h{i}", "-batch", "-"], check=True, input=(
                f"link set lo up\naddress add {address(i)}/24 dev eth0\nlink set eth0 up\n").encode())
            if uplink:
                self.limit(i, uplink)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        if self.n_cut:
            self.heal()
        ip("".join(f"link delete v{i}\nnetns delete h{i}\n" for i in range(self.n)))

    @staticmethod
    def enter(host):
        """The calling thread, and what it starts, is on that host from now on."""
        with open(f"/run/netns/h{host}", "rb") as f:
            join(f)

    @classmethod
    @contextlib.contextmanager
    def on(cls, host):
        """The same for a while."""
        with open("/proc/thread-self/ns/net", "rb") as back:
            cls.enter(host)
            try:
                yield
            finally:
                join(back)

    # -- the wire between them --

    @staticmethod
    def limit(host, uplink, burst="16kb"):
        """What it sends, for tc. burst: bytes that are sent as quickly as can be."""
        subprocess.run(["tc", "-netns", f"h{host}", "qdisc", "add", "dev", "eth0", "root", "tbf", "rate", uplink,
                        "burst", burst] + QUEUE.split(), check=True)

    def cut(self, *hosts):
        """They are alone with each other: what they send to the others is lost, and so is what is sent to them.

        Nobody is told. Links stay up, addresses stay, nothing is refused: as when a switch between them fails.
        """
        if not self.n_cut:
            ip("link add island type bridge\nlink set island up\n")
        self.n_cut += len(hosts)
        ip("".join(f"link set v{i} master island\n" for i in hosts))

    def heal(self):
        self.n_cut = 0
        ip("".join(f"link set v{i} master hub\n" for i in range(self.n)) + "link delete island\n")

    def know_each_other(self):
        """Hardware addresses are known for good: who is away is not even unreachable, as behind a router."""
        of = [[line.split()[1] for line in self.output(i, "link", "show", "eth0").splitlines() if "link/ether" in line][0]
              for i in range(self.n)]
        for i in range(self.n):
            commands = "".join(f"neighbour replace {address(k)} lladdr {of[k]} dev eth0 nud permanent\n"
                               for k in range(self.n) if k != i)
            subprocess.run(["ip", "-netns", f"h{i}", "-batch", "-"], input=commands.encode(), check=True)

    @staticmethod
    def output(host, *command):
        return subprocess.run(["ip", "-netns", f"h{host}", *command], capture_output=True, text=True, check=True).stdout


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


def main():
    if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
        print(__doc__, file=sys.stderr)
        return 2
    reason = unavailable()
    if reason:
        print(f"skipped: {reason}", file=sys.stderr)
        return SKIPPED
    return run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
