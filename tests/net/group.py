# SPDX-License-Identifier: BSD-2-Clause
"""What these tests share: daemons on hosts of their own, what leaves a host, and what a daemon uses."""

import contextlib
import os
import socket
import time

import hosts
from hosts import address
from p2pdi.base import PATIENCE
from p2pdi.daemons import Rsd
from p2pdi.world import World

RS_PORT, PORT = 65423, 65424
# Of TCP's flags.
SYN, ACK = 0x02, 0x10


# Of all daemons here: the rates are as shipped, and the log is short enough to be read.
INI = {"Limits.RatePerSource": None, "Log.Level": "info"}


class Group(World):
    """A world with so many hosts. Daemon i is on host i; host n is the machine that the bridge is on."""

    def __init__(self, n):
        self.hosts = hosts.Hosts([None] * n)
        super().__init__()

    def on(self, host):
        return self.hosts.on(host)

    def rs_on(self, host, ini=None, name="rs"):
        with self.on(host):
            return self.rs({**INI, **(ini or {})}, name=name, address=address(host))

    def peer_on(self, host, documents=None, rs=None, ini=None, name=None):
        with self.on(host):
            return self.peer(name or f"p{host}", documents, rs, ini={**INI, **(ini or {})},
                             listen=f"{address(host)}:{PORT}")

    def close(self):
        try:
            super().close()
        finally:
            self.hosts.close()


class Packets:
    """What leaves a host for others, packet by packet; made on that host."""

    ROOM = 64 << 20

    def __init__(self):
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))         # ETH_P_ALL
        self.socket.setsockopt(socket.SOL_SOCKET, 33, self.ROOM)                                # SO_RCVBUFFORCE
        self.socket.bind(("eth0", 3))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def seen(self):
        """Of those sent since it was asked last: [(protocol, to, own port, other's port, flags of TCP)]."""
        found = []
        while True:
            try:
                data, (_, _, kind, _, _) = self.socket.recvfrom(128, socket.MSG_DONTWAIT)
            except BlockingIOError:
                break
            if kind != socket.PACKET_OUTGOING or data[12:14] != b"\x08\x00":        # IPv6 is the kernel's own business
                continue
            ip = data[14:]
            rest = ip[(ip[0] & 15) * 4:]
            if int.from_bytes(ip[6:8], "big") & 0x1fff or len(rest) < 8:
                rest = bytes(20)                # the rest of a datagram that came in pieces has no ports
            found.append((ip[9], socket.inet_ntoa(ip[16:20]), int.from_bytes(rest[:2], "big"),
                          int.from_bytes(rest[2:4], "big"), rest[13] if ip[9] == socket.IPPROTO_TCP else 0))
        assert self.dropped() == 0, "not all packets were seen"
        return found

    def dropped(self):
        return int.from_bytes(self.socket.getsockopt(263, 6, 8)[4:], "little")                  # PACKET_STATISTICS


# ---- what a daemon uses ----

def cpu_seconds(daemon):
    with open(f"/proc/{daemon.pid}/stat", encoding="ascii") as f:
        fields = f.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def cpu_share(daemon, seconds):
    """Of one CPU, over so many seconds from now on."""
    begin, before = time.monotonic(), cpu_seconds(daemon)
    time.sleep(seconds)                 # nothing is waited for: this is a measurement
    return (cpu_seconds(daemon) - before) / (time.monotonic() - begin)


def descriptors(daemon):
    return len(os.listdir(f"/proc/{daemon.pid}/fd"))


def metric(daemon, name):
    """The sum over its labels that begin as said: 'p2pdi_rs_refused_total{reason="malformed"'."""
    rs = isinstance(daemon, Rsd)
    r = daemon.ctl("metrics", rs=rs)
    assert r.code == 0 and name.split("{")[0] in r.text, r
    return sum(float(line.rpartition(" ")[2]) for line in r.text.splitlines() if line.startswith(name))


def memory(daemon):
    """Bytes of memory that is its own."""
    with open(f"/proc/{daemon.pid}/status", encoding="ascii") as f:
        return next(int(line.split()[1]) * 1024 for line in f if line.startswith("RssAnon:"))


@contextlib.contextmanager
def timed(what, at_most=PATIENCE):
    """Prints how long it took; more than so many seconds is a failure, None: nothing is. (A kernel gives up after minutes.)"""
    begin = time.monotonic()
    yield
    took = time.monotonic() - begin
    print(f"{what}: {took:.3f} s")
    assert at_most is None or took < at_most, f"{what} took {took:.3f} s"
