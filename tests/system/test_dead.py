# SPDX-License-Identifier: BSD-2-Clause
"""Peers that drop every packet: a lookup goes past them, finds the one holder, and ends where there is none."""

import contextlib
import errno
import socket
from collections import namedtuple

import pytest

from p2pdi.addresses import Place
from p2pdi.base import until
from p2pdi.documents import document

Peer = namedtuple("Peer", "address port")


class BlackHole:
    """A port on which all of 127.0.0.0/8 drops what comes: somebody listens there whose queue is full."""

    def __init__(self):
        self.place, self.listener = until(self.listen_everywhere, "a port that is free on all addresses")
        self.listener.listen(0)
        self.fillers = []
        for _ in range(8):
            s = socket.socket()
            s.settimeout(0.1)
            self.fillers.append(s)
            try:
                s.connect(("127.0.0.1", self.place.port))
            except TimeoutError:
                return
        pytest.skip("a full queue does not make this kernel drop packets")

    @staticmethod
    def listen_everywhere():
        """(Place, socket); None where the port is in use on another address, as by another test or a connection that has ended."""
        place, listener = Place("127.0.0.1"), socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        try:
            listener.bind(("0.0.0.0", place.port))
        except OSError as e:
            assert e.errno == errno.EADDRINUSE
            listener.close()
            place.close()
            return None
        return place, listener

    def peers(self, n):
        return [Peer(f"127.7.{i // 250}.{i % 250 + 1}", self.place.port) for i in range(n)]

    def close(self):
        for s in self.fillers + [self.listener]:
            with contextlib.suppress(OSError):
                s.close()
        self.place.close()


@pytest.fixture
def hole(world):
    return world.keep(BlackHole())


# Two rounds of the shipped 2 s are too long to wait for here.
INI = {"Peers.ConnectTimeoutSec": "200ms"}


def test_one_holder_among_999_that_drop_packets(world, hole):
    holder = world.holder({7: document(7), 8: document(8)})
    a = world.peer("a", {}, world.server(hole.peers(999) + [holder]), INI)
    a.get(7)
    assert a.content(7) == document(7)
    assert holder.count("GET RFC-Index") == 1 and holder.count("GET RFC 7 ") == 1
    # Who has answered is turned to first from now on, and those who have not come last.
    mark = a.mark()
    a.get(8)
    assert holder.count("GET RFC-Index") == 2 and a.count_log("Index not pulled: timeout", after=mark) < 100


def test_nobody_has_it_and_most_can_not_be_asked(world, hole):
    """The most that hang at once are a known number of descriptors, and all of them are counted."""
    there = world.holder({8: document(8)})
    a = world.peer("a", {}, world.server(hole.peers(200) + [there]), INI)
    r = a.get(7, code=3)
    assert r.err == "RFC 7 is not held by any peer that could be asked: 200 of 201 could not.\n"
    assert a.count_log("Index not pulled: timeout") == 200
    # Many at once share one connection to each.
    mark = a.mark()
    assert a.ctl("get", "9", "10", "11", "12").code == 3
    assert a.count_log("Index not pulled: timeout", after=mark) < 2 * 200
    there.wait_requests("GET RFC-Index", 2)
