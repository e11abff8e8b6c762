# SPDX-License-Identifier: BSD-2-Clause
"""A running peer on a host that fails: whatever it does, and whichever call of it fails, it goes on, says so, and does it the next time."""

import datetime
import os
import socket

import pytest

from fault import HANG_SEC, WORD_SEC, Campaign, Fault, Refused, Wrong
from p2pdi.base import until
from p2pdi.documents import document, sha256
from p2pdi.varlink import Varlink, sealed
from p2pdi.wire import Wire, parse_index

PEER = "org.p2pdi.Peer."
OWN = {101: document(101, 4000), 102: document(102, 300000), 103: document(103, 20000)}
HELD = {1: document(1, 5000), 2: document(2, 150000), 3: document(3, 9000)}
IMPORTED = document(50, 30000)
# What can't be read is told, and looked at again when it changes, or after a while.
LEFT_OUT = r"rfc60\.txt is left out of the library: "
DROPPED = document(60, 3000)
# How a round ends that has anybody's rfc-index.txt to tell of.
ROUND_ENDS = r"rfc-index\.txt of \S+ is (not )?taken|rfc-index\.txt was not fetched|Could not \w+( for)? an rfc-index\.txt"
# Of what could not be removed: it goes with the next scan, and there are names for a hundred.
LEFT_MAX = 50
QUICK = {
    "Server.RequestTimeoutSec": "2s",
    "Server.Threads": 1,
    "Peers.ConnectTimeoutSec": "1s",
    "Peers.QuarantineSec": "1s",
}


class Life:
    """One peer that faults happen to, a registration server and a holder that they do not happen to, and what they do. Without an
    rfc-index.txt of its own it takes the holder's."""

    def __init__(self, world, own_index=True):
        self.world = world
        self.fault = Fault(world.dir)
        self.patience = HANG_SEC
        self.day = datetime.date(1990, 1, 1)
        self.rs = world.rs()
        self.bob = world.peer("bob", HELD, self.rs, ini=QUICK)
        index = os.path.join(world.dir, "index.txt")
        with open(index, "w", encoding="ascii") as f:
            for n in list(HELD) + list(OWN):
                f.write(f"{n:04} Synthetic document {n}. A. Author. March 1997. (Format: TXT) (Status: INFORMATIONAL)\n\n")
        manifest = os.path.join(world.dir, "SHA256SUMS")
        with open(manifest, "w", encoding="ascii") as f:
            f.writelines(f"{sha256(content)}  rfc{n}.txt\n" for n, content in {**HELD, **OWN}.items())
        ini = {**QUICK, "Integrity.Manifest": manifest, **({"Index.MetadataFile": index} if own_index else {})}
        # By its name, so that it is looked up.
        self.alice = world.peer("alice", OWN, f"localhost:{self.rs.port}", ini=ini, place=world.place(), start=False)
        self.alice.environment = dict(self.fault.environment)
        self.start()
        assert self.fault.loaded > 0
        self.campaign = Campaign(self.alice, self.fault, self.restart)
        self.id = self.own_id()

    def start(self):
        self.fault.disarm()
        self.alice.start()
        self.alice.wait_status(r"Listening on \S+, \d+ documents?, ")
        self.alice.wait_registered()
        self.refresh()

    def restart(self):
        if self.alice.running:
            self.alice.stop()             # a leak is told at the end
        self.start()

    def own_id(self):
        with self.rs.varlink() as v:
            listed = [r["parameters"].get("registration", {}) for r in v.call_more("org.p2pdi.Registration.List")]
        return [p["peerId"] for p in listed if p.get("address") == self.alice.text]

    # -- asking --

    def call(self, method, parameters=None):
        with Varlink(self.alice.control, self.patience) as v:
            return self.good(v.call(PEER + method, parameters))

    def stream(self, method, parameters=None):
        with Varlink(self.alice.control, self.patience) as v:
            return [self.good(r) for r in v.call_more(PEER + method, parameters)]

    @staticmethod
    def good(reply):
        if "error" in reply:
            raise Refused(reply)
        return reply.get("parameters", {})

    def kept(self, method, *numbers, **parameters):
        for r in self.stream(method, {"numbers": numbers, **parameters}):
            if r["kept"]["result"] != "ok":
                raise Refused(r)

    # -- what is done --

    def get(self):
        d = self.call("Get", {"numbers": [2]})["download"]
        if d.get("result") != "ok":
            raise Refused(d)
        if self.alice.content(2) != HELD[2]:
            raise Wrong("another text")

    def held(self):
        return [r["document"]["number"] for r in self.stream("List") if "document" in r]

    def without(self, *numbers):
        def prepare():
            there = [n for n in self.held() if n in numbers]
            if there:
                self.kept("Evict", *there, force=True)
        return prepare

    def with_2(self):
        if 2 not in self.held():
            self.get()

    def evict(self):
        self.kept("Evict", 2, force=True)
        if 2 in self.held() or os.path.exists(self.alice.path(2)):
            raise Wrong("is there still")

    def refresh(self):
        for r in self.stream("Refresh"):
            if r.get("result") not in ("ok", "unchanged"):
                raise Refused(r)

    def sync(self):
        last = self.stream("Sync")[-1]["sync"]
        if last.get("failed") or sorted(n for n in self.held() if n in HELD) != sorted(HELD):
            raise Refused(last)
        for n, content in HELD.items():
            if self.alice.content(n) != content:
                raise Wrong("another text")

    def take(self):
        """import"""
        fd = sealed(IMPORTED)
        try:
            with Varlink(self.alice.control, self.patience) as v:
                v.send(PEER + "Import", {"files": [{"number": 50, "size": len(IMPORTED), "sha256": sha256(IMPORTED)}]}, fd=fd)
                r = self.good(v.reply())["imported"][0]
        finally:
            os.close(fd)
        if r["result"] not in ("ok", "present"):
            raise Refused(r)
        if self.alice.content(50) != IMPORTED:
            raise Wrong("another text")

    def verify(self):
        for r in self.stream("Verify"):
            if "document" in r:
                raise Refused(r)

    def verified(self, number):
        """What is wrong with it."""
        return [r["document"]["result"] for r in self.stream("Verify", {"numbers": [number]}) if "document" in r]

    def damaged(self):
        """RFC 2 is there, and one bit of it turned although its file did not."""
        left = [name for name in self.alice.stored() if name.startswith(".p2pdi-")]
        if len(left) > LEFT_MAX:
            for name in left:
                os.unlink(os.path.join(self.alice.library, name))
        if os.path.exists(self.alice.path(2)) and 2 not in self.held() and self.verified(2) != ["damaged"]:
            os.unlink(self.alice.path(2))               # it could not be looked at
        if not os.path.exists(self.alice.path(2)):
            until(lambda: self.verified(2) == ["not-held"], "the end of RFC 2")
            self.get()
        if self.alice.content(2) == HELD[2]:
            self.alice.rot(2)

    def repair(self):
        said = self.stream("Repair", {"numbers": [2]})
        for r in said:
            if r.get("download", {}).get("result", "ok") != "ok" or r.get("document", {}).get("result", "damaged") != "damaged":
                raise Refused(r)
        if self.alice.content(2) != HELD[2]:
            raise Refused(f"it is as it was: {said}")
        if 2 not in self.held():
            raise Wrong("it is not held")

    def pin(self):
        self.kept("Pin", 101)
        self.kept("Unpin", 101)

    def ask(self):
        if sorted(n for n in self.held() if n in OWN) != sorted(OWN):
            raise Wrong("some are missing")
        for method, parameters in (("List", {"all": True}), ("Search", {"words": ["synthetic"]}), ("Resolve", {"names": ["1"], "follow": True}),
                                   ("ListHolders", {"number": 1}), ("ListPeers", None), ("Explain", {"number": 2})):
            self.stream(method, parameters)
        self.call("Describe", {"number": 1})
        for method in ("GetStatus", "GetMetrics", "GetListeners"):
            self.call(method)

    def open(self):
        with Varlink(self.alice.control, self.patience) as v:
            v.send(PEER + "Open", {"number": 102})
            data, fds, _, _ = socket.recv_fds(v.socket, 65536, 1)
            v.buffer = data
            try:
                self.good(v.reply())
                if len(fds) != 1 or os.pread(fds[0], 1 << 20, 0) != OWN[102]:
                    raise Wrong("another text")
            finally:
                for fd in fds:
                    os.close(fd)

    def monitor(self):
        with Varlink(self.alice.control, self.patience) as v:
            v.send(PEER + "Monitor", more=True)
            if not self.good(v.reply()).get("ready"):
                raise Wrong("not ready")
            self.pin()
            # That an event was lost is told with the next one.
            if not (event := self.good(v.reply())).get("event") and not event.get("lost"):
                raise Wrong(event)

    def serve(self):
        with Wire(self.alice.endpoint, timeout=self.patience) as w:
            for number, content in OWN.items():
                r = w.ask(f"GET RFC {number}")
                if r.status != 200:
                    raise Refused(r.head)
                if r.body != content:
                    raise Wrong("another text")
            r = w.ask("GET RFC-Index")
            if r.status != 200:
                raise Refused(r.head)
            if not set(OWN) <= {record.number for record in parse_index(r.body)}:
                raise Wrong("some are missing")
            if w.ask("GET RFC 9999").status != 404:
                raise Refused("another status")

    def http(self):
        for path, content in (("/rfc/rfc102.txt", OWN[102]), ("/", None)):
            with Wire(self.alice.endpoint, timeout=self.patience) as w:
                w.send(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
                data = b""
                while more := w.socket.recv(1 << 20):
                    data += more
                head, _, body = data.partition(b"\r\n\r\n")
                size = [int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
                if not head.startswith(b"HTTP/1.1 200 ") or not size or size[0] != len(body):
                    raise Refused(head[:300])
                if content is not None and body != content:
                    raise Wrong("another text")

    def reload(self):
        mark = self.alice.mark()
        self.alice.reload()
        if not self.alice.count_log("Configuration loaded", mark):
            raise Refused(self.alice.log(mark))
        self.registered()

    def registered(self):
        """At the server, with the same identity."""
        until(lambda: self.own_id() == self.id, "the registration")

    def rejoin(self):
        self.call("Leave")
        until(lambda: self.own_id() == [], "the end of the registration")
        self.call("Join")
        self.registered()

    def dropped_out(self):
        if os.path.exists(self.alice.path(60)):
            os.unlink(self.alice.path(60))
        until(lambda: 60 not in self.held(), "the end of RFC 60")

    def drop_in(self):
        mark = self.alice.mark()
        self.alice.put(60, DROPPED)
        until(lambda: 60 in self.held() or self.alice.count_log(LEFT_OUT, mark), "RFC 60, or why it is not there")
        if 60 not in self.held():
            raise Refused(self.alice.log(mark))

    def newer_index(self):
        """The holder has an rfc-index.txt of a later day, and longer than what is read to learn of the day."""
        self.day += datetime.timedelta(days=1)
        mark = self.bob.mark()
        beside = os.path.join(self.bob.dir, "new-index")
        with open(beside, "w", encoding="ascii") as f:
            f.write(f"(CREATED ON: {self.day:%m/%d/%Y}.)\n\n")
            f.writelines(f"{n} Synthetic document {n}. A. Author. May 1999. (Format: TXT)\n\n" for n in range(1, 500))
        os.rename(beside, os.path.join(self.bob.library, "rfc-index.txt"))
        self.bob.wait_log("rfc-index.txt is read", mark)

    def take_index(self):
        mark = self.alice.mark()
        self.refresh()
        try:
            said = self.alice.wait_log(ROUND_ENDS, mark, timeout=WORD_SEC).string
        except AssertionError:
            raise Refused("the round ended without a word") from None
        if f"rfc-index.txt of {self.day} is taken" not in said:
            raise Refused(said)
        with Wire(self.alice.endpoint, timeout=self.patience) as w:
            until(lambda: f"CREATED ON: {self.day:%m/%d/%Y}".encode() in w.ask("GET RFC-Editor-Index").body, "that it is held")

    def ops(self):
        return {
            "get": (self.without(2), self.get),
            "evict": (self.with_2, self.evict),
            "refresh": (lambda: None, self.refresh),
            "sync": (self.without(1, 2, 3), self.sync),
            "import": (self.without(50), self.take),
            "verify": (lambda: None, self.verify),
            "repair": (self.damaged, self.repair),
            "pin": (lambda: None, self.pin),
            "ask": (lambda: None, self.ask),
            "open": (lambda: None, self.open),
            "monitor": (lambda: None, self.monitor),
            "serve": (lambda: None, self.serve),
            "http": (lambda: None, self.http),
            "reload": (lambda: None, self.reload),
            "rejoin": (lambda: None, self.rejoin),
            "drop-in": (self.dropped_out, self.drop_in),
            "take-index": (self.newer_index, self.take_index),
        }


OPS = ["get", "evict", "refresh", "sync", "import", "verify", "repair", "pin", "ask", "open", "monitor", "serve", "http", "reload",
       "rejoin", "drop-in", "take-index"]


@pytest.mark.parametrize("name", OPS)
def test_goes_on(world, name):
    life = Life(world, own_index=name != "take-index")
    prepare, act = life.ops()[name]
    try:
        life.campaign.run(name, prepare, act)
        life.verify()
        assert life.own_id() == life.id
    finally:
        life.campaign.finish()
    assert not life.campaign.problems, "\n\n".join(life.campaign.problems)
