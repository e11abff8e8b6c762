# SPDX-License-Identifier: BSD-2-Clause
"""A slow disk delays what waits for it, and nothing else: run by "make check-slow-disk", as it is about time.

Both daemons get slow-disk.so preloaded, which makes each call that waits for a disk take SLOW_MSEC longer, and a steady
load that makes them wait for it all the time: that is made by a process of its own, this file as a program, so that
this one measures the daemons and not itself.
"""

import contextlib
import json
import os
import subprocess
import sys
import threading
import time

import pytest

from p2pdi.base import BUILD
from p2pdi.documents import document
from p2pdi.varlink import Varlink
from p2pdi.wire import Registrant, Wire, parse_index

SLOW_MSEC = 300
# What 99 of 100 requests may take.
MSEC_MAX = {"GetStatus of p2pdi-rsd": 10, "GetStatus of p2pdi-peerd": 10, "KeepAlive": 50}
# Requests of each kind in a round, and the pause between them: a round takes longer than several commits.
REQUESTS = 500
PAUSE_SEC = 0.008
# A machine that is busy with something else may spoil a round. What waits for the disk spoils each one.
ROUNDS = 5
OWN = range(1, 21)
FETCHED = range(1001, 1401)
DOCUMENT_SIZE = 100000


# ---- the load ----

class Load:
    """Threads, each of which does one thing over and over on a connection of its own; and how long that took."""

    def __init__(self, conf):
        self.rs, self.peer, self.control = tuple(conf["rs"]), tuple(conf["peer"]), conf["control"]
        self.stop = threading.Event()
        self.lock = threading.Lock()
        self.ports = iter(range(1, 65536))
        self.wanted = iter(FETCHED)
        self.documents = {n: document(n, DOCUMENT_SIZE) for n in OWN}
        self.seconds = {}
        self.failed = False

    # What Registrant needs of a daemon.
    def connect(self, source=None):
        return Wire(self.rs, source)

    def next(self, numbers):
        with self.lock:
            return next(numbers)

    def timed(self, what, function, *arguments):
        start = time.monotonic()
        function(*arguments)
        with self.lock:
            self.seconds.setdefault(what, []).append(time.monotonic() - start)

    def register(self):
        with Registrant(self) as r:
            while not self.stop.is_set():
                r.cookie = None
                self.timed("register", r.register, self.next(self.ports))

    def keepalive(self):
        with Registrant(self) as r:
            r.register(self.next(self.ports))
            while not self.stop.wait(0.01):
                self.timed("keepalive", r.keepalive)
                self.timed("list", r.query)

    def download(self):
        with Wire(self.peer) as w:
            while not self.stop.is_set():
                for number in OWN:
                    self.timed("download", self.get, w, number)
                    if self.stop.is_set():
                        break

    def get(self, wire, number):
        assert wire.ask(f"GET RFC {number}").body == self.documents[number]

    def index(self):
        with Wire(self.peer) as w:
            while not self.stop.wait(0.01):
                self.timed("index", self.pull, w)

    @staticmethod
    def pull(wire):
        assert len(parse_index(wire.ask("GET RFC-Index").body)) >= len(OWN)

    def fetch(self):
        with Varlink(self.control) as v:
            while not self.stop.is_set():
                self.timed("fetch", self.fetch_one, v, self.next(self.wanted))

    @staticmethod
    def fetch_one(varlink, number):
        reply = varlink.call("org.p2pdi.Peer.Get", {"numbers": [number]})
        assert "error" not in reply, reply

    def guard(self, function):
        try:
            function()
        except BaseException:
            # A load that is not there must not pass for a daemon that bears it.
            self.failed = True
            self.stop.set()
            raise

    def run(self):
        kinds = [self.register] * 4 + [self.keepalive] * 3 + [self.download] * 4 + [self.index] * 2 + [self.fetch] * 2
        threads = [threading.Thread(target=self.guard, args=(k,)) for k in kinds]
        for t in threads:
            t.start()
        sys.stdin.read()
        self.stop.set()
        for t in threads:
            t.join()
        json.dump({k: [len(s), min(s), max(s)] for k, s in self.seconds.items()}, sys.stdout)
        return 1 if self.failed else 0


@contextlib.contextmanager
def load_on(rs, peer):
    conf = {"rs": rs.endpoint, "peer": peer.endpoint, "control": peer.control}
    process = subprocess.Popen([sys.executable, os.path.abspath(__file__), json.dumps(conf)], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    done = {}
    try:
        yield done
    finally:
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    done.update(json.loads(out))


# ---- the measurement ----

def slow(daemon, library):
    options = os.environ.get("ASAN_OPTIONS", "")
    daemon.environment = {
        "LD_PRELOAD": library,
        "P2PDI_SLOW_MSEC": str(SLOW_MSEC),
        # A sanitizer wants to be the first library.
        "ASAN_OPTIONS": f"{options}:verify_asan_link_order=0".lstrip(":"),
    }
    return daemon


def milliseconds(function, *arguments):
    start = time.perf_counter()
    function(*arguments)
    return (time.perf_counter() - start) * 1000


def percentile(values, percent):
    return sorted(values)[(len(values) * percent + 99) // 100 - 1]


def status(varlink, interface):
    assert "error" not in varlink.call(f"{interface}.GetStatus")


def keepalive(registrant):
    assert registrant.keepalive().status == 200


def measure(rs, peer):
    """{what: milliseconds of each request}; ends early where it can't become good any more."""
    taken = {what: [] for what in MSEC_MAX}
    with Varlink(rs.control) as of_rs, Varlink(peer.control) as of_peer, rs.registrant() as r:
        r.register(65000)
        for _ in range(REQUESTS):
            taken["GetStatus of p2pdi-rsd"].append(milliseconds(status, of_rs, "org.p2pdi.Registration"))
            taken["GetStatus of p2pdi-peerd"].append(milliseconds(status, of_peer, "org.p2pdi.Peer"))
            taken["KeepAlive"].append(milliseconds(keepalive, r))
            if any(sum(1 for v in values if v > MSEC_MAX[what]) * 100 > REQUESTS for what, values in taken.items()):
                break
            time.sleep(PAUSE_SEC)
    return taken


def good_enough(taken):
    return all(percentile(values, 99) <= MSEC_MAX[what] for what, values in taken.items())


def show(taken):
    for what, v in taken.items():
        print(f"{what:24} {len(v)} requests: median {percentile(v, 50):.2f} ms, p99 {percentile(v, 99):.2f} ms, "
              f"slowest {max(v):.2f} ms")


def test_slow_disk_delays_neither_control_nor_keepalives(world, capsys):
    library = os.path.join(BUILD, "tests/system/slow-disk.so")
    if not os.access(library, os.R_OK):
        pytest.skip(f"{library} is not there: make check-slow-disk builds it")
    quiet = {"Log.Level": "notice", "Log.TransactionsPerSec": 0}
    holder = world.peer("holder", {n: document(n) for n in FETCHED}, ini=quiet)
    rs = slow(world.rs({**quiet, "Registration.MaxPeersPerSource": 1000000}, start=False), library)
    peer = world.peer("peer", {n: document(n, DOCUMENT_SIZE) for n in OWN}, rs, start=False,
                      ini={**quiet, "Server.Threads": 2, "Server.CacheSize": 0, "Peers.Static": holder.text})
    slow(peer, library)
    rs.start()
    peer.start()
    peer.wait_scanned(len(OWN))
    peer.ctl("refresh")
    with load_on(rs, peer) as load:
        for _ in range(ROUNDS):
            taken = measure(rs, peer)
            with capsys.disabled():
                print()
                show(taken)
            if good_enough(taken):
                break
    with capsys.disabled():
        print("meanwhile: " + ", ".join(f"{n} {what} ({fastest * 1000:.1f}..{slowest * 1000:.1f} ms)"
                                        for what, (n, fastest, slowest) in sorted(load.items())))
    assert good_enough(taken)
    # The disk was slow indeed, for those who needed it.
    for what in ("register", "download", "fetch"):
        n, fastest, _ = load[what]
        assert n >= 3 and fastest >= SLOW_MSEC / 1000, (what, load[what])


if __name__ == "__main__":
    sys.exit(Load(json.loads(sys.argv[1])).run())
