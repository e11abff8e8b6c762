# SPDX-License-Identifier: BSD-2-Clause
"""Server.MaxUploadRate=: what all answers together are sent with. What is asserted holds however slow this machine is."""

import selectors
import socket
import struct
import time

import pytest

from p2pdi.base import PATIENCE, until
from p2pdi.documents import document
from p2pdi.wire import request
from test_limits import use_while_idle

SIZE = 8_000_000


class Download:
    """One connection that has asked for a document, and what has arrived of the answer."""

    def __init__(self, peer, number, source=None):
        self.wire = peer.connect(source)
        self.wire.send(request(f"GET RFC {number}"))
        self.data = b""

    def read(self):
        self.data += self.wire.socket.recv(1 << 20)

    def close(self):
        """With a reset: whoever waits for his turn is gone at once."""
        self.wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.wire.close()

    @property
    def body(self):
        return self.data.partition(b"\r\n\r\n")[2]


def read_all(downloads, enough, check=lambda: None):
    """Reads whatever comes until that is enough."""
    with selectors.DefaultSelector() as s:
        for d in downloads:
            s.register(d.wire.socket, selectors.EVENT_READ, d)
        while not enough():
            ready = s.select(PATIENCE)
            assert ready, "nothing more came"
            for key, _ in ready:
                key.data.read()
            check()


@pytest.mark.parametrize("threads", [1, 3])
def test_all_uploads_together_keep_to_the_rate_and_share_it(world, threads):
    rate, piece = 20 << 20, 256 * 1024
    content = document(7, SIZE)
    a = world.peer("a", {7: content}, ini={"Server.MaxUploadRate": "20M", "Server.Threads": threads})
    begin = time.monotonic()
    downloads = [Download(a, 7, f"127.0.0.{2 + i % 3}") for i in range(6)]

    def received():
        return sum(len(d.data) for d in downloads)

    def check():
        # What flows in 0.1 s may come at once, and a head beside each body.
        assert received() <= rate * (time.monotonic() - begin + 0.1) + piece + 500 * len(downloads)

    # What was saved up went to who came first; from then on it is in turn.
    read_all(downloads, lambda: all(d.body for d in downloads), check)
    before, base = received(), [len(d.body) for d in downloads]
    read_all(downloads, lambda: received() >= before + 24 * piece, check)
    # In turn each got four. How much of that was still on its way when we looked is the kernel's affair, so what is held is that none starves.
    grown = sorted(len(d.body) - n for d, n in zip(downloads, base))
    assert grown[0] >= piece, grown

    # A reload frees who waits.
    a.write_config({"Server.MaxUploadRate": None})
    a.reload()
    read_all(downloads, lambda: all(len(d.body) == SIZE for d in downloads))
    assert all(d.body == content for d in downloads)
    until(lambda: a.count_log(r"RFC 7 served") == len(downloads), "all sent")
    for d in downloads:
        d.close()


def test_only_what_has_a_body_waits_and_waiting_costs_nothing(world):
    a = world.peer("a", {7: document(7, SIZE)}, ini={"Server.MaxUploadRate": "1K"})
    generation = a.index(**{"If-Generation": "0.0"})[0]["generation"]
    downloads = [Download(a, 7) for _ in range(20)]
    read_all(downloads, lambda: any(d.body for d in downloads))
    assert use_while_idle(a) < 0.1
    with a.connect() as w:
        assert w.ask("GET RFC-Index", {"If-Generation": generation}).status == 304
        assert w.ask("GET RFC 8").status == 404
    assert sum(len(d.body) for d in downloads) < 20 * 1024
    for d in downloads:
        d.close()


def test_a_reload_brings_a_limit(world):
    a = world.peer("a", {7: document(7, SIZE), 8: document(8, 100)})
    first = Download(a, 7)
    read_all([first], lambda: len(first.body) == SIZE)
    a.write_config({"Server.MaxUploadRate": "1K"})
    a.reload()
    begin = time.monotonic()
    second = Download(a, 7)
    read_all([second], lambda: len(second.body) >= 1000)
    assert len(second.data) <= 1024 * (time.monotonic() - begin + 0.1) + 512 + 500
    first.close()
    second.close()
