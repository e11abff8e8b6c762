# SPDX-License-Identifier: BSD-2-Clause
"""A second holder beside one of which nothing comes, and what becomes of the one that was too late."""

import signal
import threading

from p2pdi.base import until
from p2pdi.documents import document, sha256
from p2pdi.fakes import Fake
from p2pdi.tool import end_ctl, start_ctl


class Hanging:
    """Of several holders the one that is asked first sends so many bytes of its answer, then nothing until released."""

    def __init__(self, n_bytes=0):
        self.n_bytes = n_bytes
        self.lock = threading.Lock()
        self.first = None
        self.released = threading.Event()

    def __call__(self, fake, connection, number):
        with self.lock:
            hangs = self.first is None
            if hangs:
                self.first = fake
        answer = fake.document(number)
        if not hangs:
            return answer
        connection.sendall(answer[:self.n_bytes])
        self.released.wait(60)
        return answer[self.n_bytes:]


def states(a):
    return {p["address"]: p["state"] for p in a.json("peers")}


def net(world, on_get, ini=None, n=2):
    holders = [world.holder({7: document(7, 300000)}, on_get=on_get) for _ in range(n)]
    a = world.peer("a", {}, world.server(holders), ini)
    # All are known as holders before anything is fetched.
    assert a.ctl("refresh").code == 0
    return a, holders


def check_second_one_wins(world, n_bytes):
    hanging = Hanging(n_bytes)
    a, holders = net(world, hanging)
    a.get(7)
    assert not hanging.released.is_set()        # nobody waited for it
    assert a.content(7) == document(7, 300000)
    assert sorted(h.count("GET RFC 7 ") for h in holders) == [1, 1]
    # It is left alone, not blamed, and nothing of it is kept.
    assert set(states(a).values()) == {"active"}
    assert a.stored() == ["rfc7.txt"]
    [operation] = a.json("why", "7")
    assert sorted(s["result"] for s in operation["steps"] if s["what"] == "fetch") == ["not needed", "ok"], operation
    until(lambda: a.json("status")["downloadsActive"] == 0, "the end of both")
    assert "p2pdi_peer_transfers{direction=\"down\"} 0" in a.ctl("metrics").text
    hanging.released.set()


def test_no_answer(world):
    check_second_one_wins(world, 0)


def test_no_more_of_the_body(world):
    check_second_one_wins(world, 100000)


def test_both_come_and_one_is_kept(world):
    """What the one that was quiet sends after all may be the first that is whole."""
    second = threading.Event()
    hanging = Hanging(1000)

    def on_get(fake, connection, number):
        if hanging.first is None:
            return hanging(fake, connection, number)
        hanging.released.set()
        second.wait(60)
        return fake.document(number)

    a, holders = net(world, on_get)
    a.get(7)
    second.set()
    assert a.content(7) == document(7, 300000)
    assert a.stored() == ["rfc7.txt"] and sorted(h.count("GET RFC 7 ") for h in holders) == [1, 1]


def test_failed_second_makes_place_for_a_third(world):
    hanging = Hanging()
    lock, order = threading.Lock(), []

    def on_get(fake, connection, number):
        with lock:
            order.append(fake)
            n = len(order)
        if n == 1:
            return hanging(fake, connection, number)
        return Fake.head(503) if n == 2 else fake.document(number)

    a, holders = net(world, on_get, n=3)
    a.get(7)
    assert not hanging.released.is_set() and len(order) == 3 and set(order) == set(holders)
    hanging.released.set()


def test_lying_second_does_not_end_it(world):
    """The first comes late and true, the second early and false."""
    hanging = Hanging()

    def on_get(fake, connection, number):
        if hanging.first is None:
            return hanging(fake, connection, number)
        content = fake.documents[number]
        return Fake.head(200, len(content), Digest=f"sha-256={sha256(content)}") + b"?" + content[1:]

    a, holders = net(world, on_get)
    process = start_ctl("get", "7", control=a.control)
    a.wait_log("is quarantined for")
    hanging.released.set()
    assert end_ctl(process).code == 0
    assert a.content(7) == document(7, 300000)
    assert sorted(states(a).values()) == ["active", "quarantined"]


def test_hedging_is_configured(world):
    """At 0 two are asked at once; at infinity one after the other. It is taken over at a reload."""
    hanging = Hanging()
    a, holders = net(world, hanging, {"Peers.HedgeAfterSec": "infinity"})
    process = start_ctl("get", "7", control=a.control)
    until(lambda: hanging.first, "the first request")
    hanging.released.set()
    assert end_ctl(process).code == 0
    assert sum(h.count("GET RFC 7 ") for h in holders) == 1
    for h in holders:
        h.documents[8] = document(8)
        h.generation += 1
    assert a.ctl("refresh").code == 0
    a.write_config({"Peers.HedgeAfterSec": 0})
    a.reload()
    hanging.first = None
    hanging.released.clear()
    a.get(8)
    assert [h.count("GET RFC 8 ") for h in holders] == [1, 1]
    hanging.released.set()


def test_stopped_peer_does_not_delay(world):
    """Its kernel still makes the connections."""
    rs = world.rs()
    b = world.peer("b", {n: document(n) for n in (7, 8)}, rs)
    world.peer("c", {n: document(n) for n in (7, 8)}, rs)
    a = world.peer("a", {}, rs)
    assert a.ctl("refresh").code == 0
    b.send_signal(signal.SIGSTOP)
    try:
        # The answer of one that is stopped is waited for 10 s, and a get without another would end in exit 3.
        assert a.ctl("--timeout=5s", "get", "7", "8").code == 0
        assert a.stored() == ["rfc7.txt", "rfc8.txt"]
    finally:
        b.send_signal(signal.SIGCONT)
