# SPDX-License-Identifier: BSD-2-Clause
"""A place for all of a test."""

import contextlib
import shutil
import tempfile

from p2pdi.addresses import Place
from p2pdi.base import SANITIZER
from p2pdi.daemons import Peerd, Rsd
from p2pdi.fakes import FakePeer, FakeServer


class World:
    """Everything that a test starts, and its end."""

    def __init__(self):
        base = tempfile.gettempdir()
        # A socket's path has at most 107 bytes.
        if len(base) > 40:
            base = "/tmp"
        self.dir = tempfile.mkdtemp(prefix="p2pdi-", dir=base)
        self.daemons = []
        self.closers = []
        self.servers = []               # FakeServers: peers leave them, so they end last

    def keep(self, what):
        """What is closed in the end."""
        self.closers.append(what)
        return what

    def place(self, address="127.0.0.1"):
        return self.keep(Place(address))

    def rs(self, ini=None, name="rs", address="127.0.0.1", start=True):
        defaults = {"Log.Level": "debug", "Log.TransactionsPerSec": 1000000, "Limits.RatePerSource": 0}
        rs = Rsd(self, name, {**defaults, **(ini or {})}, self.place(address), "rs")
        self.daemons.append(rs)
        return rs.start() if start else rs

    def peer(self, name, documents=None, rs=None, ini=None, listen="127.0.0.1:auto", place=None, start=True):
        """rs: one, several, or None. Without `place` the peer binds a free port itself."""
        servers = [rs] if isinstance(rs, (Rsd, FakeServer, str)) else list(rs or [])
        defaults = {
            "Log.Level": "debug",
            "Log.TransactionsPerSec": 1000000,
            "Limits.RatePerSource": 0,
            "Server.ListenStream": place.text if place else listen,
            "Registration.Server": [s if isinstance(s, str) else s.text for s in servers],
            # Nothing is asked but what the test asks for.
            "Index.PullIntervalSec": "infinity",
        }
        peer = Peerd(self, name, {**defaults, **(ini or {})}, place, "rfc")
        self.daemons.append(peer)
        for number, content in (documents or {}).items():
            peer.put(number, content)
        if not start:
            return peer
        peer.start()
        peer.wait_scanned(len(documents or {}))
        if servers:
            peer.wait_registered(len(servers))
        return peer

    def holder(self, documents=None, **options):
        return self.keep(FakePeer(documents, **options))

    def server(self, peers=(), **options):
        server = FakeServer(peers, **options)
        self.servers.append(server)
        return server

    def logs(self):
        return [(d.name, d.log()) for d in self.daemons]

    def close(self):
        """Peers first, then those that they leave; what still runs must end well."""
        problems = []
        for closer in reversed(self.closers):
            with contextlib.suppress(OSError):
                closer.close()
        for kind in (Peerd, Rsd):
            still = [d for d in self.daemons if isinstance(d, kind) and d.running]
            for d in still:
                d.terminate()
            for d in still:
                try:
                    if d.wait_end() != d.expect_status:
                        problems.append(f"{d.name} ended with {d.status}")
                except AssertionError as e:
                    problems.append(str(e))
                    d.kill()
        for server in self.servers:
            with contextlib.suppress(OSError):
                server.close()
        for d in self.daemons:
            if SANITIZER.search(d.log()):
                problems.append(f"a sanitizer complained in {d.name}")
        shutil.rmtree(self.dir, ignore_errors=True)
        assert not problems, problems
