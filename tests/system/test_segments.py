# SPDX-License-Identifier: BSD-2-Clause
"""Everything arrives byte by byte, both ways: requests, heads, lists, indexes, documents."""

import contextlib
import socket
import threading

from p2pdi.addresses import Place, split_endpoint
from p2pdi.documents import document


class Drip:
    """Passes on what comes, one byte in a segment, to somebody else and back."""

    def __init__(self, to):
        self.place = Place()
        self.text = self.place.text
        self.to = to
        self.listener = self.place.listen()
        self.n_bytes = 0
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        with contextlib.suppress(OSError):
            while True:
                near, _ = self.listener.accept()
                far = socket.create_connection(split_endpoint(self.to))
                for a, b in ((near, far), (far, near)):
                    b.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    threading.Thread(target=self.drip, args=(a, b), daemon=True).start()

    def drip(self, a, b):
        with contextlib.suppress(OSError):
            while data := a.recv(4096):
                for i in range(len(data)):
                    b.send(data[i:i + 1])
                self.n_bytes += len(data)
            b.shutdown(socket.SHUT_WR)

    def close(self):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.place.close()


def test_all_byte_by_byte(world):
    rs = world.rs()
    b = world.peer("b", {n: document(n, 700 + n) for n in range(1, 11)})
    c = world.peer("c", {}, rs)
    to_rs, to_b = world.keep(Drip(rs.text)), world.keep(Drip(b.text))
    # b is known to nobody but by the way that drips.
    a = world.peer("a", {}, to_rs.text, {"Peers.Static": to_b.text})
    told = {r["peer"]: r["result"] for r in a.json("refresh") if "peer" in r}
    assert told == {to_b.text: "ok", c.text: "ok"}
    a.get("1-10")
    assert all(a.content(n) == document(n, 700 + n) for n in range(1, 11))
    assert {r["active"] for r in rs.json("registrations")} == {True} and len(rs.json("registrations")) == 2
    assert to_b.n_bytes > 10000 and to_rs.n_bytes > 300
    a.stop()                                    # Leave, byte by byte
    rs.wait_active(1)
