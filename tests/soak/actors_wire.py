# SPDX-License-Identifier: BSD-2-Clause
"""Clients of the soak that speak P2P-DI: at the registration server, and at peers whose state changes meanwhile."""

import collections
import os
import socket
import time

from actor import Actor, expect
from p2pdi.base import until
from p2pdi.wire import Registrant, index_digest, parse_index, request


# ---- the registration server ----

class Registrar(Actor):
    """Peers that come and go, each from an address of its own. Who asks for one of them reaches bob, so they are listed rightly."""

    per_sec = 60
    N = 50
    FRESH = 8           # each such registration is of a peer that was never there
    Known = collections.namedtuple("Known", "cookie id used_at", defaults=(None, None, 0))
    KNOWN_SEC = 30      # a cookie is surely known for so long: half of CookieRetentionSec=

    def __init__(self, scene):
        super().__init__(scene)
        self.known = [self.Known()] * self.N

    def known_of(self, i):
        known = self.known[i]
        return known if time.monotonic() < known.used_at + self.KNOWN_SEC and self.draw.randrange(self.FRESH) > 0 else self.Known()

    def step(self):
        i = self.draw.randrange(self.N)
        # What was answered before a restart holds after it: who asks again does so with the cookie that it was told.
        self.again(self.rs, lambda: self.come_and_go(i, self.known_of(i)))

    def come_and_go(self, i, had):
        asker = Registrant(self.rs, f"127.4.0.{1 + i}")
        try:
            asker.cookie = had.cookie
            with self.timed("Register"):
                reply = asker.register(self.peers["bob"].port)
            expect(reply["Address"] == f"127.4.0.{1 + i}" and int(reply["TTL"]) > 0, reply)
            expect(had.cookie in (None, asker.cookie) and had.id in (None, asker.id), f"peer {had.id} came back as peer {asker.id}")
            self.known[i] = self.Known(asker.cookie, asker.id, time.monotonic())
            with self.timed("PQuery, a connection each"):
                active, listed = asker.peers()
            endpoints = {(address, port) for address, port, *_ in listed}
            expect(active == len(listed) == len(endpoints), f"{active} are active, {len(listed)} listed")
            expect((f"127.4.0.{1 + i}", self.peers["bob"].port) not in endpoints, "the asker is listed")
            for name in ("bob", "carol"):
                expect(self.peers[name].address in endpoints, f"{name} is not listed")
            with self.timed("KeepAlive, a connection each"):
                reply = asker.keepalive()
            expect(reply.status == 200 and int(reply["TTL"]) > 0, reply)
            with self.timed("Leave"):
                reply = asker.leave()
            expect(reply.status == 200, reply)
        finally:
            asker.close()


# ---- the index ----

class Follower(Actor):
    """Keeps a copy of carol's own documents, whose library changes all the time, as the protocol says."""

    per_sec = 40

    def begin(self):
        self.wire = self.peers["carol"].connect("127.5.0.1")
        self.generation, self.copy = "0.0", {}

    def end(self):
        self.wire.close()

    def step(self):
        with self.timed("RFCQuery, changes"):
            reply = self.wire.ask("GET RFC-Index", {"If-Generation": self.generation, "Host": "soak", "OS": "test"})
        expect(reply.status in (200, 226, 304), reply)
        if reply.status == 200:
            self.copy = {r.number: r for r in parse_index(reply.body)}
        for line in reply.body.decode().split("\n")[:-1] if reply.status == 226 else []:
            if line[0] == "-":
                self.copy.pop(int(line[1:].split("\t")[0]), None)      # None: it came and went
            else:
                record, = parse_index((line[1:] + "\n").encode())
                self.copy[record.number] = record
        self.generation = reply["Generation"]
        if reply.status != 304:
            expect(index_digest(self.copy.values()) == reply["Index-Digest"], f"the copy has another digest after a {reply.status}")
            for r in self.copy.values():
                expect((r.size, r.sha256) == self.documents[r.number][:2] and r.holder == "-", r)


class Churn(Actor):
    """Documents come to carol's library and go from it, as people copy and delete them."""

    per_sec = 10

    def begin(self):
        self.wire = self.peers["carol"].connect("127.5.0.2")
        self.library = self.peers["carol"].library

    def end(self):
        self.wire.close()

    def step(self):
        number = self.draw.choice(sorted(self.churned))
        path = os.path.join(self.library, f"rfc{number}.txt")
        there = os.path.exists(path)
        if there:
            os.unlink(path)
        else:
            with open(self.documents[number][2], "rb") as f:
                content = f.read()
            beside = os.path.join(self.library, "..", "churn")
            with open(beside, "wb") as f:
                f.write(content)
            os.rename(beside, path)

        def told():
            reply = self.wire.ask("GET RFC-Index", {"RFC": number})
            expect(reply.status == 200, reply)
            return any(r.holder == "-" for r in parse_index(reply.body)) != there
        with self.timed("on disk, in the index" if not there else "off the disk, out of the index"):
            until(told, f"RFC {number} {'out of' if there else 'in'} the index")


# ---- documents ----

class Restarted(Actor):
    """Documents of eve, who is restarted again and again while her socket stays open. What was asked when she went is asked again."""

    per_sec = 30

    def step(self):
        number = self.draw.choice(self.scene["of_eve"])

        def get():
            with self.timed("GetRFC of a peer that restarts"), self.peers["eve"].connect("127.5.0.3") as w:
                return w.ask(f"GET RFC {number}", {"Host": "soak", "OS": "test", "Connection": "close"})
        reply = self.again(self.peers["eve"], get)
        # Until she has looked at her library.
        expect(reply.status in (200, 503), reply)
        if reply.status == 200:
            self.check(number, reply.body, "eve")


class Slow(Actor):
    """Many at once who read documents slowly, to their ends: nobody else waits for them, and they are not cut."""

    per_sec = 4
    N = 40
    SIZE_MIN = 60000    # so that it takes some seconds
    RATE = 8000         # bytes a second of each; one that is slower than MinTransferRate= would be cut
    WINDOW = 16384

    def begin(self):
        self.numbers = [n for n in self.scene["of_bob"] if self.documents[n][0] >= self.SIZE_MIN] or self.scene["of_bob"]
        self.readers = []           # (number, its connection)
        self.looked_at = time.monotonic()

    def end(self):
        for _, wire in self.readers:
            wire.close()

    def ask(self):
        number = self.draw.choice(self.numbers)
        wire = self.peers["bob"].connect("127.5.0.4", window=self.WINDOW)
        self.readers.append((number, wire))
        with self.timed("GetRFC, read slowly, the first of it"):
            wire.send(request(f"GET RFC {number}", {"Host": "soak", "OS": "test", "Connection": "close"}))
            wire.receive()
        wire.socket.setblocking(False)

    @staticmethod
    def ended(wire, size):
        """Takes so many bytes, if they are there."""
        try:
            data = wire.socket.recv(size)
        except BlockingIOError:
            return False
        wire.buffer += data
        return not data

    def step(self):
        now = time.monotonic()
        size = min(max(int((now - self.looked_at) * self.RATE), 1), self.WINDOW)
        self.looked_at = now
        for number, wire in [r for r in self.readers if self.ended(r[1], size)]:
            self.readers.remove((number, wire))
            with wire:
                reply = wire.reply()
            expect(reply.status == 200, reply)
            self.check(number, reply.body, "read slowly")
        while len(self.readers) < self.N:
            self.ask()
