# SPDX-License-Identifier: BSD-2-Clause
"""The other host vanishes, and nothing says so: no end of the connection, no reset. Whoever is left notices in time."""

import contextlib

import pytest

from group import PORT, cpu_share, descriptors, metric, timed
from hosts import address
from p2pdi.base import until
from p2pdi.documents import document
from p2pdi.tool import end_ctl, start_ctl
from p2pdi.wire import Wire, request

RS, B, C, A = range(4)
BIG = document(7, 4000000)
# A document takes longer than any test waits, and flows all the time.
SLOW = {"Server.MaxUploadRate": "100K"}


@pytest.fixture
def four(group):
    g = group(4)
    g.hosts.know_each_other()
    return g


def uploads(peer):
    return metric(peer, 'p2pdi_peer_transfers{direction="up"')


def start_get(a, *numbers):
    return start_ctl("get", *map(str, numbers), control=a.control)


# ---- who asks loses whom it asked ----

def test_holder_vanishes_and_another_takes_over(four):
    rs = four.rs_on(RS)
    holders = [four.peer_on(h, {7: BIG}, rs, SLOW) for h in (B, C)]
    a = four.peer_on(A, {}, rs)
    assert a.ctl("refresh").code == 0
    get = start_get(a, 7)
    until(lambda: sum(map(uploads, holders)) > 0, "the download")
    first = [h for h, p in zip((B, C), holders) if uploads(p)][0]
    for p in holders:
        p.write_config({"Server.MaxUploadRate": None})
    holders[1 if first == B else 0].reload()
    four.hosts.cut(first)
    # He who is silent is given up after ten seconds. The other one is asked long before.
    with timed("a document, with its holder gone in the middle", at_most=9):
        assert end_ctl(get).code == 0
    assert a.content(7) == BIG
    four.hosts.heal()


def test_only_holder_vanishes(four):
    """It fails, says so, and works once he is back."""
    rs = four.rs_on(RS)
    b = four.peer_on(B, {7: BIG}, rs, SLOW)
    a = four.peer_on(A, {}, rs, {"Peers.QuarantineSec": "100ms"})
    get = start_get(a, 7)
    until(lambda: uploads(b) > 0, "the download")
    four.hosts.cut(B)
    with timed("the end of a get whose only holder is gone in the middle"):
        r = end_ctl(get)
    assert r.code in (3, 6, 8), r
    assert a.stored() == [] and a.json("status")["downloadsActive"] == 0
    four.hosts.heal()
    b.write_config({"Server.MaxUploadRate": None})
    b.reload()
    a.get(7)
    assert a.content(7) == BIG


def test_host_loses_its_power_and_comes_back(four):
    """Connections that were kept open are unknown there. Nobody has to be told."""
    rs = four.rs_on(RS, {"Registration.TTLSec": 60, "Registration.KeepAliveSec": 1})
    b = four.peer_on(B, {n: document(n) for n in (1, 2, 3)}, rs)
    a = four.peer_on(A, {}, rs)
    a.get(1)
    before = [a.json("status")["servers"][0]["peerId"], b.json("status")["servers"][0]["peerId"]]

    four.hosts.cut(RS, B)
    rs.kill()
    b.kill()                # what their kernels send at that is lost
    for daemon, host in ((rs, RS), (b, B)):
        with four.on(host):
            daemon.start()
    four.hosts.heal()
    b.wait_registered()
    with timed("a document over connections of which the others know nothing"):
        a.get(2)
    a.get(3)
    assert [a.json("status")["servers"][0]["peerId"], b.json("status")["servers"][0]["peerId"]] == before
    # The same ids might be by chance: nobody had to register anew.
    assert metric(rs, 'p2pdi_rs_refused_total{reason="unknown-cookie"') == 0


# ---- who is asked loses who asked ----

def open_all(stack, rs):
    """A connection in each stage that there is."""
    def wire(to, *sent):
        w = stack.enter_context(Wire(to))
        for data in sent:
            w.send(data)
        return w
    to_peer = (address(B), PORT)
    for to in (rs.endpoint, to_peer):
        wire(to, b"G")                                                  # the first byte
        wire(to, b"GET RFC 8 P2P-DI/1.0\r\nHost: x")
        assert wire(to, request("GET Nothing")).reply().status == 404   # and then silence
    assert wire(to_peer, request("GET RFC 8")).reply().status == 200
    wire(to_peer, request("GET RFC 7")).read(100000)
    wire(to_peer, request("GET RFC 7") * 3).read(1)


def test_clients_vanish_at_every_stage(four):
    """Silent, in the middle of a request, before and in the middle of a document: each ends by the limit that is meant for it."""
    hasty = {"Server.IdleTimeoutSec": "2s", "Server.RequestTimeoutSec": "2s"}
    rs = four.rs_on(RS, {**hasty, "Server.ConnectionLifetimeSec": "1h"})
    b = four.peer_on(B, {7: document(7, 20000000), 8: document(8)}, rs, hasty)
    before = {d: descriptors(d) for d in (rs, b)}
    with contextlib.ExitStack() as stack:
        with four.on(A):
            for _ in range(5):
                open_all(stack, rs)
        until(lambda: uploads(b) == 10, "all uploads")
        four.hosts.cut(A)
        with timed("the end of silent connections, limits of 2 s"):
            until(lambda: descriptors(rs) <= before[rs], "their end")
        assert uploads(b) == 10
        share = cpu_share(b, 1)
        print(f"{share:.1%} of a CPU with ten uploads to nobody")
        assert share < 0.05
        with timed("the end of uploads to nobody, Server.MinTransferRate= over one or two times 30 s", at_most=None):
            until(lambda: uploads(b) == 0, "their end", timeout=90)
        until(lambda: descriptors(b) <= before[b], "the end of all connections")
    four.hosts.heal()
    with four.on(A), Wire((address(B), PORT)) as w:
        assert w.ask("GET RFC 8").status == 200
