# SPDX-License-Identifier: BSD-2-Clause
"""Floods: tricklers, more connections than descriptors, malformed requests, guesses. Honest ones are served meanwhile."""

import contextlib
import json
import os
import random
import re
import resource
import select
import socket
import statistics
import struct
import subprocess
import threading
import time

import pytest

import hosts
from group import PORT, cpu_seconds, cpu_share, descriptors, memory, metric, timed
from hosts import address
from p2pdi.base import BUILD, PATIENCE, until
from p2pdi.documents import document
from p2pdi.wire import Closed, Registrant, Wire, request

RS, B, A, ATTACKER, QUIET_RS, QUIET_B, QUIET_A = range(7)
LOAD = os.path.join(BUILD, "tests", "bench", "load")
# Idle is: less of a CPU than this.
IDLE = 0.05


@pytest.fixture(params=["rsd", "peerd"])
def either(request, group):
    """(group, daemon on host 0): each of the two."""
    g = group(2)
    if request.param == "rsd":
        return g, lambda ini=None: g.rs_on(0, ini)
    return g, lambda ini=None: g.peer_on(0, {8: document(8)}, ini=ini)


# ---- slow ones ----

class Tricklers(threading.Thread):
    """So many connections from this host at all times, each with a byte of a request now and then; one that is cut comes again."""

    PAUSE_SEC = 0.5

    def __init__(self, host, to, n, reads=False):
        super().__init__(daemon=True)
        self.host, self.to, self.n = host, to, n
        self.sends = None if not reads else request("GET RFC 9")     # whole, and never read
        self.over = threading.Event()
        self.open, self.connects = {}, 0
        self.n_cut = 0                  # that were told that their request took too long

    def run(self):
        hosts.Hosts.enter(self.host)
        poll = select.epoll()
        while not self.over.wait(self.PAUSE_SEC):
            for fd, _ in poll.poll(0):          # it was answered, or cut
                with self.open.pop(fd) as s, contextlib.suppress(OSError):
                    self.n_cut += not self.sends and s.recv(14) == b"P2P-DI/1.0 408"
            while len(self.open) < self.n:
                s = socket.socket()
                s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
                s.connect(self.to)
                s.setblocking(False)
                self.connects += 1
                self.open[s.fileno()] = s
                poll.register(s, select.EPOLLRDHUP | select.EPOLLHUP if self.sends else select.EPOLLIN)
                if self.sends:
                    s.send(self.sends)
            for s in self.open.values() if not self.sends else ():
                with contextlib.suppress(OSError):
                    s.send(b"G")
        for s in self.open.values():
            s.close()

    def end(self):
        self.over.set()
        self.join()


def fetch_times(a, numbers):
    """Milliseconds that each took, by the word of the daemon that fetched it."""
    with a.varlink() as v:
        found = []
        for n in numbers:
            reply = v.call("org.p2pdi.Peer.Get", {"numbers": [n]})
            assert reply.get("parameters", {}).get("download", {}).get("result") == "ok", reply
            found.append(reply["parameters"]["download"]["durationUSec"] / 1000)
    return found


def told(times):
    tenth = statistics.quantiles(times, n=10)[-1]
    return f"{statistics.median(times):.1f} ms in the middle, a tenth over {tenth:.1f} ms, {max(times):.1f} ms at most, of {len(times)}"


# What an honest get takes at most, in the middle of many, if the machine is as quick as it can be.
GET_MSEC_MAX = 100
# MaxConnectionsPerSource= as shipped.
PER_SOURCE = 256


@pytest.mark.parametrize("limit", ["as shipped", "all get in"])
def test_500_tricklers_from_one_address(group, limit):
    """At the server and at the holder; 50 more never read what they asked for.

    An honest get goes on meanwhile. Beside it, others do the same that nobody troubles: what the machine does else, they meet with, too.
    """
    g = group(7)
    ini = {} if limit == "as shipped" else {"Server.MaxConnectionsPerSource": 2000, "Server.RequestTimeoutSec": "2s"}
    documents = {n: document(n, 20000) for n in range(100, 140)}
    rs, quiet_rs = g.rs_on(RS, ini), g.rs_on(QUIET_RS, name="quiet-rs")
    b = g.peer_on(B, {**documents, 9: document(9, 5000000)}, rs, ini)
    g.peer_on(QUIET_B, documents, quiet_rs)
    a = g.peer_on(A, {}, rs, {"Peers.ReuseConnections": "no"})
    quiet_a = g.peer_on(QUIET_A, {}, quiet_rs, {"Peers.ReuseConnections": "no"})
    idle = {d: descriptors(d) for d in (rs, b)}
    tricklers = [Tricklers(ATTACKER, (address(RS), rs.port), 500), Tricklers(ATTACKER, (address(B), PORT), 500)]
    crowds = tricklers + [Tricklers(ATTACKER, (address(B), PORT), 50, reads=True)]
    for c in crowds:
        c.start()
    try:
        full = PER_SOURCE if limit == "as shipped" else 500
        for d in (rs, b):
            until(lambda: descriptors(d) > 0.9 * full, "the crowd")
        before = {d: cpu_seconds(d) for d in (rs, b)}
        begin = time.monotonic()
        times, quiet_times, most = [], [], {d: 0 for d in (rs, b)}
        for n in documents:
            times += fetch_times(a, [n])
            quiet_times += fetch_times(quiet_a, [n])
            most = {d: max(most[d], descriptors(d) - idle[d]) for d in most}
            select.select([], [], [], 0.1)      # spread over some of their deadlines
        took = time.monotonic() - begin
        use = {d.name: (cpu_seconds(d) - before[d]) / took for d in (rs, b)}
        if limit == "all get in":
            for c in tricklers:
                until(lambda: c.n_cut >= c.n, "the end of each, by its deadline", timeout=60)
    finally:
        for c in crowds:
            c.end()
    print(f"{limit}: an honest get: {told(times)}; untroubled: {told(quiet_times)}; CPU {', '.join(f'{n} {u:.0%}' for n, u in use.items())}; "
          f"{[c.connects for c in crowds]} connections, {[c.n_cut for c in tricklers]} cut; at most {list(most.values())} at once")
    # The rest is told, not judged: each may have met with something else that this machine does.
    assert statistics.median(times) < max(GET_MSEC_MAX, 4 * statistics.median(quiet_times)), (times, quiet_times)
    assert max(use.values()) < 0.3
    if limit == "as shipped":
        # Those of the honest and the files of those who do not read come on top.
        assert all(n < PER_SOURCE + 80 for n in most.values()) and all(c.connects > c.n for c in tricklers)
    for d in (rs, b):
        until(lambda: descriptors(d) <= idle[d] + 5, "their end")


# ---- more connections than descriptors ----

@pytest.mark.parametrize("when", ["from the start", "later", "not even one"])
def test_1000_connections_with_64_descriptors(either, when):
    """from the start: it knows, and takes fewer connections. later: accept() fails, and those who wait are refused.

    not even one: the one in reserve, to refuse with, is lost as well. Then they wait.
    """
    g, start = either
    d = start({"Server.MaxConnectionsPerSource": 2000, "Limits.RatePerSource": 0})
    if when == "from the start":
        d.stop()
        d.wrapper = ["/usr/bin/prlimit", "--nofile=64"]
        with g.on(0):
            d.start()
    before = descriptors(d)
    _, hard = resource.prlimit(d.pid, resource.RLIMIT_NOFILE)
    if when != "from the start":
        # Below any number that is free: not even what is closed can be opened again.
        resource.prlimit(d.pid, resource.RLIMIT_NOFILE, (64 if when == "later" else 3, hard))
    answers = {}
    with contextlib.ExitStack() as stack, g.on(1):
        crowd = []
        for _ in range(1000):
            s = stack.enter_context(contextlib.closing(socket.socket()))
            s.setblocking(False)
            s.connect_ex((address(0), d.port))
            crowd.append(s)
        if when == "not even one":
            until(lambda: descriptors(d) < before, "the loss of the reserve")
        else:
            until(lambda: sum(1 for s in crowd if answered(s, answers)) > 500, "refusals")
        share = cpu_share(d, 2)
        n = descriptors(d)
        print(f"{d.program}, {when}: {share:.1%} of a CPU, {n} descriptors, {len(answers)} refused")
        assert share < IDLE and n <= 64
        if when == "from the start":
            with d.varlink() as v:          # there is room for others still
                assert "parameters" in v.call("org.varlink.service.GetInfo")
        if when == "not even one":
            resource.prlimit(d.pid, resource.RLIMIT_NOFILE, (hard, hard))
    assert set(answers.values()) <= {b"P2P-DI/1.0 503", b""}, set(answers.values())

    def is_served():
        with contextlib.suppress(Closed, OSError), g.on(1), Wire((address(0), d.port), timeout=2) as w:
            return w.ask("GET Nothing").status == 404
    with timed("served again"):
        until(is_served, "room")
    with d.varlink() as v:
        assert "parameters" in v.call("org.varlink.service.GetInfo")


def answered(s, answers):
    if s not in answers:
        with contextlib.suppress(BlockingIOError, ConnectionResetError):
            answers[s] = s.recv(14)
    return s in answers


# ---- malformed requests ----

MALFORMED = [b"nonsense\r\n\r\n", b"GET RFC 8 P2P-DI/9.9\r\n\r\n", b"GET ../../etc/passwd P2P-DI/1.0\r\n\r\n",
             b"GET RFC 8 P2P-DI/1.0\r\n\tfolded\r\n\r\n",
             b"\x1b[2J\x00 RFC-Index P2P-DI/1.0\r\n\r\n", b"GET RFC 8 P2P-DI/1.0\r\nContent-Length: 99999999999999999999\r\n\r\n",
             b"GET RFC 99999999999999999999 P2P-DI/1.0\r\n\r\n", b"POST Register P2P-DI/1.0\r\nPort: 0\r\n\r\n"]
# One request in so many is good: load gives up on who answers nothing well.
GOOD_EVERY = 50


def test_10000_malformed_requests_a_second(either, tmp_path):
    """From 250 addresses, so that no limit of one source is in the way. The log has a line a second of it, and a number."""
    _, start = either
    d = start({"Log.Level": "info"})
    with hosts.Hosts.on(0):
        if d.program == "p2pdi-rsd":
            good = request("POST Register", {"Port": 5})
        else:
            good = request("GET RFC 8", {"Connection": "close"})
        entries = []
        for i in range(2000):
            data = good if i % GOOD_EVERY == 0 else MALFORMED[i % len(MALFORMED)]
            entries.append(b"%s %d\n%s" % (f"127.0.{i % 250 + 1}.1".encode(), len(data), data))
        path = tmp_path / "requests"
        path.write_bytes(b"".join(entries))
        mark, seconds = d.mark(), 5
        before, begin = cpu_seconds(d), time.monotonic()
        r = subprocess.run([LOAD, f"--connect={address(0)}:{d.port}", f"--requests={path}", "--connections=16", f"--seconds={seconds}"],
                           capture_output=True, check=True, timeout=60)
        used, took = cpu_seconds(d) - before, time.monotonic() - begin
        sent = json.loads(r.stdout)
    until(lambda: told_in_log(d, mark) >= 0.99 * sent["failed"], "the number of them all in the log")
    lines, counted = d.log(after=mark).count("Request refused"), told_in_log(d, mark)
    if d.program == "p2pdi-rsd":
        counted = metric(d, 'p2pdi_rs_refused_total{reason="malformed"')
    print(f"{d.program}: {sent['failed'] / sent['seconds']:,.0f} malformed requests/s, {counted:,.0f} counted, {lines} lines in {took:.0f} s, "
          f"{used / sent['seconds']:.0%} of a CPU")
    most = 10 + took + 1                        # ten at once, then one a second
    assert lines <= most
    assert sent["failed"] > 20 * most, "that was no flood"
    assert 0.99 * sent["failed"] <= counted <= 1.01 * sent["failed"] + 16


def told_in_log(d, mark):
    """How many were refused, by a line each or by the number of those that had none."""
    log = d.log(after=mark)
    return log.count("Request refused") + sum(map(int, re.findall(r"(\d+) more like this (?:was|were) suppressed", log)))


# ---- guesses ----

def test_a_million_guesses(group):
    """From a thousand addresses, as many as the rate of each lets them have at once. All are refused, and counted."""
    g = group(1)
    # The honest are silent meanwhile, on connections that stay.
    rs = g.rs_on(0, {"Log.Level": "warning", "Server.IdleTimeoutSec": "1h"})
    n_sources, n_each = 1000, 1000              # Limits.Burst= of them
    generator = random.Random(7)
    tried, refused, answered_well = 0, 0, 0
    with g.on(0):
        owners = [Registrant(rs) for _ in range(50)]
        for i, owner in enumerate(owners):
            owner.register(1 + i)
        mark, begin = rs.mark(), time.monotonic()
        for i in range(n_sources):
            guesses = b"".join(request(("POST KeepAlive", "POST Leave", "GET PQuery", "POST Register")[k & 3],
                                       {"Cookie": generator.randint(1, (1 << 53) - 1), "Port": 5}) for k in range(n_each))
            with Wire((address(0), rs.port), f"127.1.{i // 250}.{i % 250 + 1}") as w:
                w.socket.setblocking(False)
                answer = exchange(w.socket, guesses)
            tried += n_each
            refused += answer.count(b"P2P-DI/1.0 401 ")
            answered_well += answer.count(b"P2P-DI/1.0 200 ")
        took = time.monotonic() - begin
        counted = metric(rs, 'p2pdi_rs_refused_total{reason="unknown-cookie"')
        lines = rs.log(after=mark).count("\n")
        print(f"{tried:,} guesses in {took:.0f} s, {refused:,} refused, {counted:,.0f} counted, {lines} lines in the log")
        assert answered_well == 0 and refused >= 0.999 * tried and counted == refused
        assert lines <= 10 + 2 * took
        assert all(owner.keepalive().status == 200 for owner in owners)
        for owner in owners:
            owner.close()


def exchange(s, data):
    """All that comes back until the other end closes or has answered all; both ways at once."""
    answer, n_sent, n_wanted = bytearray(), 0, data.count(b"\r\n\r\n")
    n_seen, seen_to = 0, 0
    while n_seen < n_wanted:
        readable, writable, _ = select.select([s], [s] if n_sent < len(data) else [], [], 20)
        assert readable or writable, "nothing more comes"
        with contextlib.suppress(BlockingIOError, BrokenPipeError):
            if writable:
                n_sent += s.send(data[n_sent:n_sent + 65536])
        if readable:
            part = s.recv(1 << 18)
            if not part:
                break
            answer += part
            whole = answer.rfind(b"\r\n\r\n") + 4          # none of these answers has a body
            n_seen += answer.count(b"\r\n\r\n", seen_to, whole)
            seen_to = max(seen_to, whole)
    return answer


# ---- the control socket ----

def test_100000_hang_ups_at_the_control_socket(either):
    """After nothing, half a call, a call whose answer is not read, and one that never ends."""
    _, start = either
    d = start()
    peer = d.program == "p2pdi-peerd"
    status = f'{{"method":"org.p2pdi.{"Peer" if peer else "Registration"}.GetStatus"}}\0'.encode()
    monitor = b'{"method":"org.p2pdi.Peer.Monitor","more":true}\0' if peer else status
    says = [b"", b"", b"", status[:20], status, status * 3, monitor, b"\0"]

    def hang_up(i):
        with contextlib.closing(socket.socket(socket.AF_UNIX)) as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", PATIENCE, 0))
            s.connect(d.control)                # waits while as many do that nobody has accepted
            if says[i % len(says)]:
                with contextlib.suppress(OSError):
                    s.send(says[i % len(says)])
    with d.varlink() as v:
        assert "parameters" in v.call("org.varlink.service.GetInfo")
    until(lambda: share_of_idle(d) < IDLE, "rest")
    fds = descriptors(d)
    for i in range(1000):
        hang_up(i)
    until(lambda: descriptors(d) <= fds, "the end of the first connections")
    before = memory(d)
    with timed(f"{d.program}: 100,000 hang-ups", at_most=None):
        for i in range(100000):
            hang_up(i)
    until(lambda: descriptors(d) <= fds, "the end of the connections")
    share, grown = cpu_share(d, 2), memory(d) - before
    print(f"{d.program}: then {share:.1%} of a CPU, {grown / 1024:.0f} KiB more")
    assert share < IDLE and grown < 2 << 20
    with d.varlink() as v:
        assert "parameters" in v.call("org.varlink.service.GetInfo")


def share_of_idle(d):
    return cpu_share(d, 0.2)
