# SPDX-License-Identifier: BSD-2-Clause
"""The RFC index: by itself at a million records, and what a peer makes of its own."""

import json
import os
import subprocess

import programs
from harness import Figure, Row
from p2pdi.wire import request

DOCUMENTS = 9148
# A hundredth of the RFCs and records. What scanned would take a hundred times as long for all of them; what does not, a few times, because
# less of it is in the CPU's caches.
WHOLE, PART = 10000, 100
NO_SCAN = 20


class Index(Row):
    """Ours: a million records, 10,000 RFCs of 100 holders each. Theirs: the same of 100 RFCs."""

    name = "index"
    order = 40
    figures = (Figure("bytes", "memory per record, of 1,000,000", "B", 100, of_ratio=False),
               Figure("merge", "records merged per second", "1/s", 2e6, at_least=True, of_ratio=False),
               Figure("merge_again", "records confirmed per second", "1/s"),
               Figure("find", "find the 100 holders of one, of 10,000 records", "ns", NO_SCAN),
               Figure("get", "get a record, of 10,000 records", "ns", NO_SCAN),
               Figure("search", "search, per title, of 10,000 records", "ns", NO_SCAN),
               Figure("expire", "expire, per record, of 10,000 records", "ns", NO_SCAN),
               Figure("expire_longest", "the longest slice of that", "s"))
    # Their place in the table is about the smaller index, which is nobody to be measured against.
    compared = ("find", "get", "search", "expire")

    def run(self, numbers):
        done = subprocess.run([self.bench.helper("bench-index"), f"--numbers={numbers}"], capture_output=True, text=True, check=True)
        return json.loads(done.stdout)

    def ours(self):
        return self.run(WHOLE)

    def theirs(self):
        said = self.run(PART)
        return {key: said[key] for key in self.compared}


class Served(Row):
    """All own records to whoever asks: ours is what an answer costs the peer, theirs what encoding alone would. An index that were encoded for
    each request could not be below."""

    name = "index-served"
    order = 41
    figures = (Figure("cpu", f"CPU per answer of {DOCUMENTS:,} records, encoding them", "µs", 0.5),
               Figure("rate", "answers per second", "1/s"))

    def setup(self):
        corpus = self.bench.corpus(DOCUMENTS)
        self.documents = len(corpus.numbers)
        self.peer = self.bench.peer(library=corpus.directory)
        self.peer.wait_scanned(self.documents)
        self.requests = os.path.join(self.bench.fresh("requests"), "index")
        programs.write_requests(self.requests, [("127.0.0.1", request("GET RFC-Index", {"If-Generation": "0.0"}))])
        self.ours()

    def ours(self):
        got = programs.load(self.bench, self.peer.text, [self.peer.pid], self.requests, connections=4, seconds=self.bench.seconds(2), keep=True)
        assert got["body_lines"] >= self.documents * got["requests"], "each answer has all records"
        return got

    def theirs(self):
        done = subprocess.run([self.bench.helper("bench-index"), f"--numbers={self.documents}", "--holders=1"], capture_output=True, text=True,
                              check=True)
        return {"cpu": json.loads(done.stdout)["encode"] * 1e6}

    def teardown(self):
        self.bench.drop(self.peer)


ROWS = [Index, Served]
