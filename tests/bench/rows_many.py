# SPDX-License-Identifier: BSD-2-Clause
"""Many at once at the RFC server: connections that stand idle, and readers that are slow."""

import os
import resource
import time

import programs
from harness import Figure, Row, Scene
from p2pdi.base import program, until
from p2pdi.documents import document
from p2pdi.wire import request

IDLE = 10000
SLOW = 2000
# Bytes per second of a slow reader: twice what MinTransferRate= asks for.
SLOW_RATE = 2048
SMALL, MIDDLE, LARGE = 1, 2, 3
# One for each time that the honest one gets something.
FIRST_HONEST = 100
HONEST = 50


# Few enough connections from each of them for MaxConnectionsPerSource=.
SOURCES = [f"127.2.{i}.1" for i in range(50)]


class ManyScene(Scene):
    def __init__(self, bench):
        super().__init__(bench)
        library = bench.fresh("many")
        sizes = {SMALL: 3000, MIDDLE: 35000, LARGE: 300000, **{FIRST_HONEST + i: 35000 for i in range(HONEST)}}
        for number, size in sizes.items():
            programs.write(os.path.join(library, programs.name_of(number)), document(number, size))
        self.rs = bench.rs()
        self.peer = bench.peer(self.rs, library)
        self.peer.wait_scanned(len(sizes))
        self.peer.wait_registered()
        self.honest = bench.peer(self.rs)
        self.honest.wait_registered()
        self.honest.json("refresh")
        self.next = FIRST_HONEST
        self.files = bench.fresh("requests")

    def requests(self, number, sources):
        path = os.path.join(self.files, f"{number}-{len(sources)}")
        programs.write_requests(path, [(s, request(f"GET RFC {number}")) for s in sources])
        return path

    def get(self):
        """ms of an honest get of one more document, from the start of p2pdi-ctl to its end."""
        number, self.next = self.next, self.next + 1
        seconds = programs.timed([program("p2pdi-ctl"), f"--control={self.honest.control}", "-q", "get", str(number)])
        assert self.honest.content(number) == document(number, 35000)
        return seconds * 1000

    def close(self):
        for daemon in (self.honest, self.peer, self.rs):
            self.bench.drop(daemon)


def affordable(n):
    """So many connections, or fewer where the limit of descriptors can't be as in the units: each may take two of the peer's."""
    return min(n, resource.getrlimit(resource.RLIMIT_NOFILE)[1] // 2 - 500)


class Idle(Row):
    """Each has asked for something before, and may ask for more."""

    name = "many-idle"
    scene_type = ManyScene
    order = 20
    has_theirs = False
    figures = (Figure("size", "memory of each of 10,000 idle connections", "kB", 3, of_ratio=False),
               Figure("get", "an honest get meanwhile", "ms", 10, of_ratio=False),
               Figure("without", "the same without them", "ms"))

    def setup(self):
        s = self.scene
        n = affordable(IDLE)
        if n < IDLE:
            self.note = f"{n:,} connections, more descriptors than {resource.getrlimit(resource.RLIMIT_NOFILE)[1]:,} are not to be had"
        s.get()
        self.without = sorted(s.get() for _ in range(self.rounds))[self.rounds // 2]
        before = programs.resident(s.peer.pid)
        self.held = programs.Held(self.bench, s.peer.text, s.requests(SMALL, SOURCES), n)
        self.size = (programs.resident(s.peer.pid) - before) / 1024 / n

    def ours(self):
        return {"size": self.size, "get": self.scene.get(), "without": self.without}

    def teardown(self):
        said = self.held.close()
        pid = self.scene.peer.pid
        until(lambda: len(os.listdir(f"/proc/{pid}/fd")) < 1000, "the end of the idle connections")
        assert said["failed"] == 0, said


class Slow(Row):
    """A reader that takes all it can get on one connection, while others read next to nothing; theirs: without these."""

    name = "many-slow"
    scene_type = ManyScene
    order = 21
    figures = (Figure("p50_usec", f"an answer to a fast reader beside {SLOW:,} slow ones; alone", "µs", 1.1),
               Figure("p99_usec", "the slowest hundredth of them", "µs"),
               Figure("rate", "such answers per second", "1/s"))

    def fast(self):
        s = self.scene
        return programs.load(self.bench, s.peer.text, [s.peer.pid], s.requests(MIDDLE, ["127.0.0.9"]), 1, self.bench.seconds(2), keep=True)

    def settle(self):
        """Until all have begun: what the kernel takes ahead of them it has taken. By the CPU time that the peer needs."""
        for _ in range(50):
            before = programs.cpu_seconds([self.scene.peer.pid])
            time.sleep(0.1)
            if programs.cpu_seconds([self.scene.peer.pid]) - before < 0.01:
                return

    def ours(self):
        s = self.scene
        held = programs.Held(self.bench, s.peer.text, s.requests(LARGE, SOURCES), SLOW, SLOW_RATE)
        try:
            self.settle()
            got = self.fast()
        finally:
            said = held.close()
            until(lambda: len(os.listdir(f"/proc/{s.peer.pid}/fd")) < 1000, "the end of the slow connections")
        # They were served all the while.
        assert said["failed"] == 0 and said["bytes"] > SLOW * 100, said
        return got

    def theirs(self):
        return self.fast()


ROWS = [Idle, Slow]
