# SPDX-License-Identifier: BSD-2-Clause
"""Clients of the soak at the control sockets, and the tool."""

import os
import re
import socket
import time

from actor import Actor, expect
from p2pdi.tool import ctl
from p2pdi.varlink import Varlink, sealed


# ---- documents ----

class Circle(Actor):
    """dave gets one, and evicts it."""

    per_sec = 20

    def begin(self):
        self.varlink = Varlink(self.peers["dave"].control)
        self.numbers = sorted(set(self.documents) - self.churned)

    def end(self):
        self.varlink.close()

    def step(self):
        number = self.draw.choice(self.numbers)
        path = os.path.join(self.peers["dave"].library, f"rfc{number}.txt")
        if os.path.exists(path):                # what a step left that went wrong
            self.keep("Evict", [number], force=True)
        download = self.call("Get", self.varlink, "Peer.Get", numbers=[number])["download"]
        expect(download["result"] == "ok" and download["source"] == "peer", download)
        with open(path, "rb") as f:
            self.check(number, f.read(), "dave")
        kept, = self.keep("Evict", [number])
        expect(kept["result"] == "ok" and not os.path.exists(path), kept)


class Keeper(Actor):
    """dave is brought one that comes and goes elsewhere, is to keep it, need not any more, and evicts it."""

    per_sec = 4
    N = 3               # numbers; what a sync has seen here may have gone when it wants it

    def begin(self):
        self.varlink = Varlink(self.peers["dave"].control)
        self.numbers = sorted(self.churned)[:self.N]

    def end(self):
        self.varlink.close()

    def bring(self, number):
        size, digest, source = self.documents[number]
        with open(source, "rb") as f:
            fd = sealed(f.read())
        try:
            with self.timed("Import"):
                self.varlink.send("org.p2pdi.Peer.Import", {"files": [{"number": number, "size": size, "sha256": digest}]}, fd)
                reply = self.varlink.reply()
        finally:
            os.close(fd)
        # It is there where a step left it that went wrong.
        expect("error" not in reply and reply["parameters"]["imported"][0]["result"] in ("ok", "present"), reply)

    def step(self):
        number = self.draw.choice(self.numbers)
        path = os.path.join(self.peers["dave"].library, f"rfc{number}.txt")
        self.bring(number)
        with open(path, "rb") as f:
            self.check(number, f.read(), "dave, brought")
        results = [self.keep(verb, [number])[0]["result"] for verb in ("Pin", "Evict", "Unpin", "Evict")]
        if results[-1] == "last-copy":          # carol's went meanwhile
            results[-1] = self.keep("Evict", [number], force=True)[0]["result"]
        expect(results == ["ok", "pinned", "ok", "ok"] and not os.path.exists(path), f"RFC {number}: {results}")


class Sync(Actor):
    """alice has all that the group holds, and evicts it."""

    per_sec = 0.5
    LOOK = 30           # files of each that are read

    def begin(self):
        self.varlink = Varlink(self.peers["alice"].control)

    def end(self):
        self.varlink.close()

    def held(self):
        names = os.listdir(self.peers["alice"].library)
        return sorted(int(m[1]) for m in (re.fullmatch(r"rfc(\d+)\.txt", n) for n in names) if m)

    def step(self):
        begin = time.monotonic()
        replies = list(self.varlink.call_more("org.p2pdi.Peer.Sync"))
        if replies[-1].get("error") == "org.p2pdi.Peer.SyncRunning":    # that of the tool
            return
        self.took("Sync", begin)
        expect("error" not in replies[-1], replies[-1])
        done = replies[-1]["parameters"]["sync"]
        expect(done["state"] == "done", done)
        for failure in done["failed"]:
            # How many, depends on how long the sync took; not all of them are named.
            expect(set(failure["numbers"]) <= self.churned and failure["documents"] <= len(self.churned), done)
        held = self.held()
        missing = set(self.documents) - self.churned - set(held)
        expect(not missing, f"after a sync {len(missing)} are missing, as RFC {min(missing, default=0)}: {done}")
        for number in self.draw.sample(held, min(len(held), self.LOOK)):
            with open(os.path.join(self.peers["alice"].library, f"rfc{number}.txt"), "rb") as f:
                self.check(number, f.read(), "alice")
        self.evict_all(held)
        self.call_more("Refresh", self.varlink, "Peer.Refresh")

    def evict_all(self, held):
        kept = self.keep("Evict", held, kind="Evict of all")
        # What carol has no longer is the last copy.
        last = [k["number"] for k in kept if k["result"] == "last-copy" and k["number"] in self.churned]
        if last:
            kept += self.keep("Evict", last, force=True)
        bad = [k for k in kept if k["result"] != "ok" and k["number"] not in last]
        expect(not bad, bad[:5])
        left = self.held()
        expect(not left, f"{len(left)} are left of what was evicted: {left[:5]}")


# ---- all that only asks ----

class Control(Actor):
    """All that only asks, at all peers."""

    per_sec = 40

    def begin(self):
        self.varlinks = {name: Varlink(self.peers[name].control) for name in ("alice", "bob", "carol", "dave")}
        self.stable = sorted(set(self.documents) - self.churned)

    def end(self):
        for v in self.varlinks.values():
            v.close()

    def step(self):
        name = self.draw.choice(sorted(self.varlinks))
        self.draw.choice((self.status, self.list, self.search, self.describe, self.metrics, self.open, self.explain))(
            name, self.varlinks[name])

    def status(self, name, v):
        status = self.call("GetStatus", v, "Peer.GetStatus")
        servers = status["servers"]
        expect(len(servers) == 1 and servers[0]["state"] == "registered" and servers[0]["reachable"] and status["peersActive"] >= 3, status)

    def list(self, name, v):
        replies = self.call_more("List", v, "Peer.List", all=True)
        numbers = [r["document"]["number"] for r in replies]
        expect(numbers == sorted(set(numbers)) and set(numbers) <= set(self.documents), f"{name} lists {len(numbers)}")
        expect(set(self.stable) <= set(numbers), f"{name} does not list {sorted(set(self.stable) - set(numbers))[:5]}")

    def search(self, name, v):
        replies = self.call_more("Search", v, "Peer.Search", words=["title", str(self.draw.randrange(10))])
        expect(all("title" in r["document"]["title"].lower() for r in replies if "document" in r), f"{name}: search")

    def describe(self, name, v):
        number = self.draw.choice(self.stable)
        document = self.call("Describe", v, "Peer.Describe", number=number)["rfc"]["document"]
        expect(document["sha256"] == self.documents[number][1] and document["trust"] in ("single", "agreed", "verified"), document)
        self.call_more("ListHolders", v, "Peer.ListHolders", number=number)
        self.call_more("ListPeers", v, "Peer.ListPeers")

    def metrics(self, name, v):
        text = self.call("GetMetrics", v, "Peer.GetMetrics")["text"]
        expect(text.endswith("# EOF\n") and "p2pdi_peer_uploads_total" in text, f"{name}: metrics end with {text[-100:]!r}")

    def explain(self, name, v):
        for reply in self.call_more("Explain", v, "Peer.Explain", number=self.draw.choice(self.stable)):
            expect("operation" not in reply or reply["operation"].get("result", "ok") == "ok", reply)

    def open(self, name, v):
        number = self.draw.choice(self.scene["of_bob"])
        v = self.varlinks["bob"]
        with self.timed("Open"):
            v.send("org.p2pdi.Peer.Open", {"number": number})
            data, fds, _, _ = socket.recv_fds(v.socket, 1 << 20, 1)
        try:
            expect(data.endswith(b"\0") and b"error" not in data and len(fds) == 1, data)
            with os.fdopen(fds.pop(), "rb") as f:
                self.check(number, f.read(), "bob, opened")
        finally:
            for fd in fds:
                os.close(fd)


class Registry(Actor):
    """The same at the registration server."""

    per_sec = 5

    def step(self):
        self.again(self.rs, self.look)

    def look(self):
        with Varlink(self.rs.control) as v:
            status = self.call("GetStatus of the server", v, "Registration.GetStatus")
            expect(status["active"] >= 5, status)
            replies = self.call_more("List of the server", v, "Registration.List")
            ids = [r["registration"]["peerId"] for r in replies]
            expect(ids == sorted(set(ids)) and len(ids) >= 5, ids)
            text = self.call("GetMetrics of the server", v, "Registration.GetMetrics")["text"]
            expect(text.endswith("# EOF\n"), "the server's metrics have no end")


class Monitor(Actor):
    """Comes, looks on for a moment, goes."""

    per_sec = 4
    EVENTS = 20

    def step(self):
        with Varlink(self.peers[self.draw.choice(["alice", "bob", "carol", "dave"])].control) as v:
            with self.timed("Monitor, until it is ready"):
                v.send("org.p2pdi.Peer.Monitor", more=True)
                while "ready" not in (reply := v.reply())["parameters"]:
                    expect("download" in reply["parameters"], reply)
            for _ in range(self.EVENTS):
                reply = v.reply()
                expect(reply.get("continues") and "event" in reply["parameters"], reply)


class Verify(Actor):
    """carol reads all that she has again."""

    per_sec = 0.2

    def step(self):
        with Varlink(self.peers["carol"].control, 60) as v:
            replies = self.call_more("Verify", v, "Peer.Verify")
        for r in replies:
            expect("document" not in r or r["document"]["number"] not in self.of_carol and r["document"]["result"] != "damaged", r)
        expect(replies[-1]["progress"]["damaged"] == 0, replies[-1])


class Tool(Actor):
    """What people type."""

    per_sec = 3
    VERBS = (("alice", "status"), ("bob", "list"), ("carol", "list", "--all"), ("alice", "peers"), ("dave", "search", "title"),
             ("dave", "metrics"), ("alice", "sync", "--dry-run"), ("bob", "show", "{}"), ("alice", "where", "{}"),
             ("bob", "cat", "{}"), ("dave", "why", "{}"), ("carol", "get", "{}"), ("bob", "pin", "{}"), ("bob", "unpin", "{}"),
             ("bob", "import", "{path}"))

    def ctl(self, name, *verb):
        with self.timed("p2pdi-ctl"):
            return ctl(*verb, control=self.peers[name].control)

    def step(self):
        number = self.draw.choice(self.scene["of_bob"])
        name, *verb = self.draw.choice(self.VERBS)
        r = self.ctl(name, *(v.format(number, path=self.documents[number][2]) for v in verb))
        if verb[0] == "why" and r.code == 1:    # it was not asked for yet
            return
        if verb[0] == "sync" and "under way already" in r.err:
            return
        expect(r.code == 0, r)
        if verb[0] == "get" and number not in self.of_carol:    # else she holds more and more, and needs memory for it
            r = self.ctl(name, "evict", str(number))
            expect(r.code == 0, r)
        if verb[0] == "cat":
            self.check(number, r.out, "p2pdi-ctl cat")
