# SPDX-License-Identifier: BSD-2-Clause
"""The RFC server against nginx: the same files over HTTP, the same client."""

import os
import urllib.request

import programs
from harness import Figure, Row, Scene
from p2pdi.documents import document, sha256

# As many workers as our server has threads by default.
WORKERS = os.cpu_count()
# (name, RFC number, bytes)
FILES = (("3k", 3, 3000), ("35k", 35, 35000), ("200k", 200, 200000))
# At most of nginx's CPU time per request.
GOALS = {"close": {"3k": 0.95, "35k": 0.95, "200k": 1.0}, "keep": {"3k": 0.7, "35k": 0.7, "200k": 1.0}}


class HttpScene(Scene):
    def __init__(self, bench):
        super().__init__(bench)
        root = bench.fresh("http")
        for _, number, size in FILES:
            programs.write(os.path.join(root, programs.name_of(number)), document(number, size))
        self.peer = bench.peer(library=root, ini=HttpRow.raised)
        self.peer.wait_scanned(len(FILES))
        self.nginx = programs.nginx(bench, root, WORKERS)

    def close(self):
        self.nginx.close()
        self.bench.drop(self.peer)


class HttpRow(Row):
    scene_type = HttpScene
    needs = ("nginx", "wrk")
    order = 10
    # wrk has one address: what protects a server from a single source would be all that is measured.
    raised = {"Limits.RatePerSource": 0}
    number = close = None

    def setup(self):
        contents = set()
        for text in (self.scene.peer.text, self.scene.nginx.text):
            with urllib.request.urlopen(self.url(text)) as f:
                contents.add(sha256(f.read()))
        assert len(contents) == 1, "both serve the same bytes"
        self.measure(self.scene.peer.text, [self.scene.peer.pid])
        self.measure(self.scene.nginx.text, self.scene.nginx.pids())

    def url(self, text):
        return f"http://{text}/rfc/{programs.name_of(self.number)}"

    def measure(self, text, pids):
        return programs.wrk(self.url(text), pids, self.bench.seconds(2), 32, self.close)

    def ours(self):
        return self.measure(self.scene.peer.text, [self.scene.peer.pid])

    def theirs(self):
        return self.measure(self.scene.nginx.text, self.scene.nginx.pids())


ROWS = [type(f"Http{how}{size}", (HttpRow,), {
    "name": f"http-{how}-{size}", "number": number, "close": how == "close",
    "figures": (Figure("cpu", "CPU per request, nginx", "µs", GOALS[how][size]),
                Figure("rate", "requests per second, nginx", "1/s", 1.0, at_least=True)),
}) for how in ("close", "keep") for size, number, _ in FILES]
