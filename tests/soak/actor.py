# SPDX-License-Identifier: BSD-2-Clause
"""A client of the soak that looks closely: what all of them share."""

import contextlib
import hashlib
import random
import select
import sys
import time

from p2pdi.wire import Closed, Wire
from restarts import Restarts

# Of what went wrong so many are told, the others counted.
TOLD_MAX = 20


class Wrong(Exception):
    """A reply that is not as it should be."""


def expect(condition, what):
    if not condition:
        raise Wrong(what if isinstance(what, str) else repr(what))


class Peer:
    """One of the group, as a client sees it."""

    def __init__(self, said):
        self.address = tuple(said["address"])
        self.control, self.library = said["control"], said["library"]
        self.restarts = Restarts(said["restarts"]) if said["restarts"] else None

    def connect(self, source=None, **options):
        return Wire(self.address, source, **options)

    @property
    def port(self):
        return self.address[1]


class Actor:
    """Children set per_sec, and say what a step is. Where a step goes wrong its connections are made anew."""

    per_sec = 10                # steps; a client that checks in Python is not to be what the CPUs are busy with

    def __init__(self, scene):
        self.scene = scene
        self.rs = Peer(scene["rs"])
        self.peers = {name: Peer(said) for name, said in scene["peers"].items()}
        self.documents = {int(n): tuple(d) for n, d in scene["documents"].items()}
        self.churned, self.of_carol = set(scene["churned"]), set(scene["of_carol"])
        self.draw = random.Random(type(self).__name__)
        self.kinds, self.cut, self.told = {}, {}, []
        self.steps = 0
        self.doing = None           # the kind of exchange that was begun last

    # -- what children use --

    @contextlib.contextmanager
    def timed(self, kind):
        self.doing, begin = kind, time.monotonic()
        yield
        self.took(kind, begin)

    def took(self, kind, begin):
        usec = int((time.monotonic() - begin) * 1e6)
        times = self.kinds.setdefault(kind, [{}, 0])[0]
        times[usec] = times.get(usec, 0) + 1

    def again(self, daemon, exchange):
        """At a daemon that is restarted: what a restart cut is counted apart, and asked again. exchange() makes connections of its own."""
        while True:
            since = daemon.restarts.count
            try:
                return exchange()
            except (Closed, ConnectionError):
                if not daemon.restarts.over(since):
                    raise
                self.cut[self.doing] = self.cut.get(self.doing, 0) + 1

    def call(self, kind, varlink, method, **parameters):
        """One reply, which must be no error."""
        with self.timed(kind):
            reply = varlink.call(f"org.p2pdi.{method}", parameters)
        expect("error" not in reply, f"{method} {parameters}: {reply}")
        return reply["parameters"]

    def call_more(self, kind, varlink, method, **parameters):
        with self.timed(kind):
            replies = list(varlink.call_more(f"org.p2pdi.{method}", parameters))
        expect(not any("error" in r for r in replies), f"{method} {parameters}: {replies[-1]}")
        return [r["parameters"] for r in replies]

    def keep(self, verb, numbers, kind=None, **more):
        """Pin, Unpin, Evict: what became of each."""
        return [r["kept"] for r in self.call_more(kind or verb, self.varlink, f"Peer.{verb}", numbers=numbers, **more)]

    def check(self, number, content, what):
        size, digest, _ = self.documents[number]
        good = len(content) == size and hashlib.sha256(content).hexdigest() == digest
        expect(good, f"{what}: RFC {number} has other bytes: {len(content)} of {size}")

    # -- its life --

    def begin(self):
        """Makes its connections."""

    def step(self):
        raise NotImplementedError

    def end(self):
        """Closes them."""

    def fail(self, error):
        kind = type(self).__name__.lower()
        self.kinds.setdefault(kind, [{}, 0])[1] += 1
        if len(self.told) < TOLD_MAX:
            self.told.append(f"{time.strftime('%H:%M:%S')} {kind}: {type(error).__name__}: {str(error)[:600]}")

    def run(self, seconds):
        first = time.monotonic()
        begun = False
        while (now := time.monotonic()) < first + seconds:
            turn = first + self.steps / self.per_sec
            if select.select([sys.stdin], [], [], max(min(turn, first + seconds) - now, 0))[0]:
                break
            if time.monotonic() >= first + seconds:
                break
            # What could not be done in its turn is not made up for.
            self.steps = max(self.steps + 1, int((time.monotonic() - first) * self.per_sec))
            try:
                if not begun:
                    self.begin()
                    begun = True
                self.step()
            except (Wrong, AssertionError, OSError, Closed, ValueError, KeyError) as e:
                self.fail(e)
                begun = False
                with contextlib.suppress(Exception):
                    self.end()
        with contextlib.suppress(OSError):
            self.end()

    def said(self):
        kinds = {k: {"times": sorted(times.items()), "failed": failed, "cut": 0} for k, (times, failed) in self.kinds.items()}
        for kind, n in self.cut.items():
            kinds.setdefault(kind, {"times": [], "failed": 0})["cut"] = n
        return {"kinds": kinds, "told": self.told}
