# SPDX-License-Identifier: BSD-2-Clause
"""The registration server against opentracker: who is there, and fifty of them, please. The same client, the same number of peers.

An announce renews the peer's place and brings a list, all in one: it is what both KeepAlive and PQuery are measured against. opentracker closes
after each answer, so on kept-open connections there is only one side that does.
"""

import os
import urllib.parse

import programs
from harness import Figure, Row, Scene
from p2pdi.wire import Registrant, request

PEERS = 1000
LIMIT = 50
INFOHASH = "0123456789abcdef0123456789abcdef01234567"
CONNECTIONS = 64


def source(i):
    """Each peer has an address of its own, as in a group: what bounds a single source is no subject here."""
    return f"127.1.{i // 250}.{i % 250 + 1}"


class TrackerScene(Scene):
    """Both know the same peers."""

    def __init__(self, bench):
        super().__init__(bench)
        self.rs = bench.rs()
        self.directory = bench.fresh("requests")
        self.cookies = [self.register(i) for i in range(PEERS)]
        self.files = {}
        for name, line, headers in (("keepalive", "POST KeepAlive", {}), ("pquery", "GET PQuery", {"Limit": LIMIT}),
                                    ("register", "POST Register", {"Port": 6881, "Host": "peer-of-the-benchmark-24", "OS": "Linux"})):
            for how, more in (("keep", {}), ("close", {"Connection": "close"})):
                self.files[name, how] = self.write(f"{name}-{how}", [
                    request(line, {**headers, "Cookie": cookie, **more}) for cookie in self.cookies])
        self.files["announce"] = self.write("announce", [self.announce(i) for i in range(PEERS)])
        self.tracker = None

    def other(self):
        """opentracker, which has heard of all peers."""
        if self.tracker is None:
            self.tracker = programs.opentracker(self.bench, INFOHASH)
            programs.load(self.bench, self.tracker.text, self.tracker.pids(), self.files["announce"], CONNECTIONS, count=PEERS)
        return self.tracker

    def write(self, name, requests):
        path = os.path.join(self.directory, name)
        programs.write_requests(path, [(source(i), r) for i, r in enumerate(requests)])
        return path

    def register(self, i):
        with Registrant(self.rs, source(i)) as r:
            r.register(6881, Host="peer-of-the-benchmark-24")
            return r.cookie

    @staticmethod
    def announce(i):
        query = urllib.parse.urlencode({"peer_id": f"-XX0001-{i:012d}", "port": 6881, "uploaded": 0, "downloaded": 0, "left": 0,
                                        "compact": 1, "numwant": LIMIT})
        infohash = urllib.parse.quote(bytes.fromhex(INFOHASH), safe="")
        return (f"GET /announce?info_hash={infohash}&{query} HTTP/1.1\r\nHost: tracker\r\nConnection: close\r\n\r\n").encode()

    def close(self):
        if self.tracker:
            self.tracker.close()
        self.bench.drop(self.rs)


class TrackerRow(Row):
    scene_type = TrackerScene
    needs = ("opentracker",)
    order = 30
    what = how = None

    def setup(self):
        self.measure_ours(count=PEERS)

    def measure_ours(self, **amount):
        s = self.scene
        got = programs.load(self.bench, s.rs.text, [s.rs.pid], s.files[self.what, self.how], CONNECTIONS, keep=self.how == "keep", **amount)
        if self.what == "pquery":
            assert got["body_lines"] == LIMIT * got["requests"], "each answer has the peers asked for"
        return got

    def ours(self):
        return self.measure_ours(seconds=self.bench.seconds(2))

    def theirs(self):
        tracker = self.scene.other()
        got = programs.load(self.bench, tracker.text, tracker.pids(), self.scene.files["announce"], CONNECTIONS,
                            seconds=self.bench.seconds(2))
        # An IPv4 address and a port are six bytes. It may know fewer than it should by chance, not half of them.
        assert got["bytes"] >= 6 * LIMIT * got["requests"], "each answer has the peers asked for"
        return got


class Register(TrackerRow):
    """It is on disk before it is answered, and so is a figure of its own."""

    name = "rs-register"
    needs = ()
    has_theirs = False
    what, how = "register", "keep"
    figures = (Figure("cpu", "CPU per Register, on disk", "µs"), Figure("rate", "Registers per second, 64 at once", "1/s"),
               Figure("p99_usec", "the slowest hundredth took", "µs"))


ROWS = [type(f"Tracker{what}{how}", (TrackerRow,), {
    "name": f"rs-{what}-{how}", "what": what, "how": how,
    "figures": (Figure("cpu", f"CPU per {title}, opentracker's announce", "µs", 1.0 if how == "close" else 0.35),
                Figure("rate", f"{title} per second, announces", "1/s")),
}) for what, title in (("keepalive", "KeepAlive"), ("pquery", "PQuery of 50")) for how in ("close", "keep")] + [Register]
