# SPDX-License-Identifier: BSD-2-Clause
"""How long a peer needs to begin, with documents that it knows and with such that it does not."""

import os
import subprocess
import time

from harness import Figure, Row
from rows_download import FULL


class Known(Row):
    name = "start-known"
    order = 50
    has_theirs = False
    figures = (Figure("ready", f"from exec to READY=1, {FULL:,} documents", "s", 0.3, of_ratio=False),
               Figure("announced", "from exec to all of them announced", "s"))

    def setup(self):
        corpus = self.bench.corpus(FULL)
        self.n = len(corpus.numbers)
        self.peer = self.bench.peer(library=corpus.directory)
        self.peer.wait_scanned(self.n)
        self.peer.stop()

    def ours(self):
        begin = time.monotonic()
        self.peer.start()
        ready = time.monotonic()
        self.peer.wait_scanned(self.n)
        announced = time.monotonic()
        self.peer.stop()
        return {"ready": ready - begin, "announced": announced - begin}

    def teardown(self):
        self.bench.drop(self.peer)


class Unknown(Row):
    """From exec until all of them are hashed, kept and announced. All are in the page cache, for everybody."""

    name = "start-unknown"
    order = 51
    figures = (Figure("sha256sum", "documents hashed and announced, xargs -P sha256sum", "s", 1.0),
               Figure("openssl", "the same, xargs -P openssl dgst", "s", needs=("openssl",)),
               Figure("rate", "documents per second of it", "MB/s"))

    def setup(self):
        self.corpus = self.bench.corpus(FULL)
        self.theirs()

    def ours(self):
        peer = self.bench.peer(library=self.corpus.directory, start=False)
        try:
            begin = time.monotonic()
            peer.start()
            peer.wait_scanned(len(self.corpus.numbers))
            seconds = time.monotonic() - begin
            with peer.varlink() as v:
                assert v.call("org.p2pdi.Peer.GetStatus")["parameters"]["storeDocuments"] == len(self.corpus.numbers)
        finally:
            self.bench.drop(peer)
        return {"sha256sum": seconds, "openssl": seconds, "rate": self.corpus.size / 1e6 / seconds}

    def hash(self, *command):
        found = "".join(self.corpus.path(n) + "\n" for n in self.corpus.numbers).encode()
        begin = time.monotonic()
        done = subprocess.run(["xargs", "-n", "100", f"-P{os.cpu_count()}", *command], input=found, stdout=subprocess.PIPE, check=True)
        seconds = time.monotonic() - begin
        assert done.stdout.count(b"\n") == len(self.corpus.numbers)
        return seconds

    def theirs(self):
        return {"sha256sum": self.hash("sha256sum"), "openssl": self.hash("openssl", "dgst", "-sha256", "-r")}


ROWS = [Known, Unknown]
