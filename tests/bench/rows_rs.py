# SPDX-License-Identifier: BSD-2-Clause
"""The registration server with a million peers: memory, lists, a restart from its database, pauses.

Each Register waits for a flush, so the database of a stopped server is filled by hand, in the schema that the server
made. What is measured then is the server as it is after a restart.
"""

import os
import random
import socket
import sqlite3
import subprocess
import sys
import time

import programs
from harness import ROUNDS, Figure, Row, Scene
from p2pdi.base import until
from p2pdi.wire import request

PEERS, FEW = 1000000, 1000
# With that many of one address MaxPeersPerSource= is far.
PEERS_PER_SOURCE = 25
ASKERS = 1000
LIMIT = 50
TTL_USEC = 7200 * 1000000
# Of each peer: what p2pdi-rsd tells them by default, a third of the TTL.
KEEPALIVE_SEC = 2400
# The longest time that a process which wants to run is left waiting by this machine, in µs.
STALLS = """
import sys, time
worst, end = 0, time.monotonic() + float(sys.argv[1])
while (begin := time.monotonic()) < end:
    time.sleep(0.001)
    worst = max(worst, time.monotonic() - begin - 0.001)
print(int(worst * 1e6))
"""


def source(i):
    """127.1.0.1 and on, 250 of each last byte but one."""
    i //= PEERS_PER_SOURCE
    return f"127.{1 + i // 62500}.{i // 250 % 250}.{1 + i % 250}"


def fill(rs, n):
    """n peers with names of 24 bytes into the database of a server that does not run. Gives their cookies."""
    draw = random.Random(n)
    cookies = [draw.randrange(1, 1 << 53) for _ in range(n)]
    boottime, realtime = time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000, time.time_ns() // 1000
    day, counts = realtime // 86400000000, (1).to_bytes(2, "little") + bytes(58)
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as f:
        boot_id = bytes.fromhex(f.read().strip().replace("-", ""))
    db = sqlite3.connect(os.path.join(rs.state_dir, "registry.db"), isolation_level=None)
    db.execute("PRAGMA synchronous = OFF")
    db.execute("BEGIN")
    db.executemany(
        "INSERT INTO peers (id, cookie, active, advertised, address, port, expires_at, registered_at, first_day, counts, host) "
        "VALUES (?, ?, 1, 0, ?, ?, ?, ?, ?, ?, ?)",
        ((i + 1, cookies[i], bytes(10) + b"\xff\xff" + socket.inet_aton(source(i)), 10000 + i % PEERS_PER_SOURCE,
          boottime + draw.randrange(TTL_USEC // 2, TTL_USEC), realtime, day, counts, f"peer-{i:07}.example.com.") for i in range(n)))
    db.execute("UPDATE meta SET last_id = ?, boot_id = ?, boottime = ?, realtime = ?", (n, boot_id, boottime, realtime))
    db.execute("COMMIT")
    db.close()
    return cookies


def start(rs):
    """Where others want the machine, too, a million records take longer than a test waits for anything."""
    rs.start(wait=False)
    until(lambda: rs.notices.count("READY=1"), f"{rs.name}: READY=1", timeout=120)


class MillionScene(Scene):
    """Two servers, with few and with many peers, and one that has just begun."""

    def __init__(self, bench):
        super().__init__(bench)
        self.n = PEERS // 50 if bench.quick else PEERS
        self.directory = bench.fresh("million")
        empty = bench.rs()
        self.base = programs.resident(empty.pid)
        bench.drop(empty)
        self.few, self.few_cookies = self.server(FEW)
        self.many, self.many_cookies = self.server(self.n)
        self.added = programs.resident(self.many.pid) - self.base
        self.askers = [self.write(f"askers-{len(c)}", c, "GET PQuery", {"Limit": LIMIT}) for c in (self.few_cookies, self.many_cookies)]

    def server(self, n):
        rs = self.bench.rs()
        rs.stop()
        cookies = fill(rs, n)
        start(rs)
        rs.wait_active(n)
        return rs, cookies

    def write(self, name, cookies, line, headers, n=ASKERS):
        """Requests of n peers, each from its own address."""
        path = os.path.join(self.directory, name)
        chosen = random.Random(1).sample(range(len(cookies)), min(n, len(cookies)))
        programs.write_requests(path, [(source(i), request(line, {**headers, "Cookie": cookies[i]})) for i in chosen])
        return path

    def close(self):
        self.bench.drop(self.few)
        self.bench.drop(self.many)


class MillionRow(Row):
    scene_type = MillionScene
    order = 31


class Memory(MillionRow):
    name = "rs-million-memory"
    has_theirs = False
    figures = (Figure("each", "resident memory of each of a million peers", "B", 256, of_ratio=False),)

    def ours(self):
        return {"each": self.scene.added / self.scene.n}


class PQuery(MillionRow):
    """The same thousand askers on either side: what they cost on disk is the same, too."""

    name = "rs-million-pquery"
    order = 32
    figures = (Figure("cpu", "CPU per PQuery among a million, among a thousand", "µs", 1.5),)

    def setup(self):
        self.ours()
        self.theirs()

    def measure(self, rs, requests):
        got = programs.load(self.bench, rs.text, [rs.pid], requests, 32, seconds=self.bench.seconds(2), keep=True)
        assert got["body_lines"] == LIMIT * got["requests"], "each answer has the peers asked for"
        return got

    def ours(self):
        return self.measure(self.scene.many, self.scene.askers[1])

    def theirs(self):
        return self.measure(self.scene.few, self.scene.askers[0])


class Pause(MillionRow):
    """Ours: the slowest answer to a KeepAlive when a million peers send theirs when they should. PAUSE_SECONDS=600 in the environment
    watches for that long, once."""

    name = "rs-million-pause"
    order = 33
    has_theirs = False
    asked = int(os.environ.get("PAUSE_SECONDS", 0))
    rounds = 1 if asked else ROUNDS
    figures = (Figure("max_msec", f"slowest of {asked or 6} s of KeepAlives, a million peers", "ms", 50, of_ratio=False),
               Figure("stall_msec", "longest wait for a CPU, of a process that only sleeps", "ms"))

    def setup(self):
        s = self.scene
        self.rate = max(s.n // KEEPALIVE_SEC, 1)
        self.seconds = self.asked or self.bench.seconds(6)
        self.requests = s.write("keepalives", s.many_cookies, "POST KeepAlive", {"Connection": "close"}, n=self.rate * self.seconds)

    def ours(self):
        s = self.scene
        with subprocess.Popen([sys.executable, "-c", STALLS, str(self.seconds)], stdout=subprocess.PIPE) as stalls:
            got = programs.load(self.bench, s.many.text, [s.many.pid], self.requests, 1, count=self.rate * self.seconds, rate=self.rate)
            stalled = int(stalls.stdout.read())
        return {"max_msec": got["max_usec"] / 1000, "stall_msec": stalled / 1000}


class Restart(MillionRow):
    name = "rs-million-restart"
    order = 34
    has_theirs = False
    figures = (Figure("ready", "from exec to READY=1, a million peers", "s", 5, of_ratio=False), Figure("cpu", "CPU of it", "s"))

    def ours(self):
        rs = self.scene.many
        rs.stop()
        begin = time.monotonic()
        start(rs)
        seconds = time.monotonic() - begin
        spent = programs.cpu_seconds([rs.pid])
        rs.wait_active(self.scene.n)
        return {"ready": seconds, "cpu": spent}


ROWS = [Memory, PQuery, Pause, Restart]
