# SPDX-License-Identifier: BSD-2-Clause
"""The network falls apart and heals: what is known goes on working meanwhile, and afterwards nobody needs a restart."""

import json

import pytest

from group import timed
from p2pdi.base import until
from p2pdi.documents import document

# Leases and pulls of seconds, so that both come and go during a test.
LEASE = {"Registration.TTLSec": 4, "Registration.KeepAliveSec": 1}
PULL = {"Index.PullIntervalSec": "1s", "Peers.QuarantineSec": "500ms"}
RS, A, B, C = range(4)


@pytest.fixture(params=["silence", "unreachable"])
def four(request, group):
    """A registration server and three peers. silence: who is away is not noticed by ARP either, as behind a router."""
    g = group(4)
    if request.param == "silence":
        g.hosts.know_each_other()
    return g


def standing(peer):
    """(id, state) of its one registration."""
    [r] = peer.json("status")["servers"]
    return r["peerId"], r["state"]


def wait_known(peer, number, holders):
    """It knows that just these hold it."""
    def look():
        r = peer.ctl("--json=short", "where", str(number))
        return r.code == 0 and {h["holder"] for h in json.loads(r.out)} == {h.text for h in holders}
    until(look, f"that {len(holders)} are known to hold RFC {number}")


def listed(rs):
    return {r["peerId"]: r["active"] for r in rs.json("registrations", "--all")}


def test_server_is_cut_off(four):
    """Peers go on with each other, and are as before when it comes back: same ids, by their old cookies."""
    rs = four.rs_on(RS, LEASE)
    b = four.peer_on(B, {1: document(1), 2: document(2)}, rs, PULL)
    a = four.peer_on(A, {}, rs, PULL)
    c = four.peer_on(C, {}, rs, {"Index.PullIntervalSec": "infinity"})
    before = {p.name: standing(p) for p in (a, b, c)}
    a.get(1)
    mark = a.mark()
    wait_known(a, 2, [b])
    c.get(4711, code=3)                 # so the server has told it of the others, once

    four.hosts.cut(RS)
    a.wait_log(r"can't be reached.*going on with the peers known", after=mark)
    # The server is asked in vain on the connection that was open, then on a new one: twice Peers.ConnectTimeoutSec=.
    with timed("a document, without the registration server"):
        a.get(2)
    assert a.content(2) == document(2)
    with timed("the same for who pulls no index"):
        c.get(1)
    rs.wait_active(0)                   # their leases end there
    b.put(3, document(3))               # and what is new gets about all the same
    wait_known(a, 3, [b])

    mark = {p.name: p.mark() for p in (a, b, c)}
    four.hosts.heal()
    with timed("all are registered again after the heal"):
        # Who asks hears the server, and waits no longer to register. The others do so by themselves: they pull.
        until(lambda: c.ctl("get", "4711").code and standing(c) == before[c.name], "the return of who pulls no index")
        rs.wait_active(3)
    for p in (a, b, c):
        p.wait_log(r"Registered at|can be reached again", after=mark[p.name])
    assert {p.name: standing(p) for p in (a, b, c)} == before
    assert list(listed(rs).values()) == [True] * 3
    assert rs.count_log("unknown cookie|Unknown Cookie") == 0
    a.get(3)


def test_peers_are_cut_off_from_each_other(four):
    """Both see the server, which lists both: nothing is known to be wrong but that nobody answers."""
    rs = four.rs_on(RS, LEASE)
    many = {n: document(n) for n in range(1, 6)}
    b = four.peer_on(B, {**many, 9: document(9)}, rs, PULL)
    c = four.peer_on(C, many, rs, PULL)
    a = four.peer_on(A, {}, rs, PULL)
    wait_known(a, 5, [b, c])
    wait_known(a, 9, [b])

    # b is on the other side of the wire that breaks, the server and c are on this one: it loses its lease, too.
    four.hosts.cut(B)
    with timed("five documents of two holders, one of which is cut off"):
        a.get("1-5")
    assert [a.content(n) == document(n) for n in many] == [True] * 5
    with timed("one that only he has"):
        assert a.ctl("get", "9").code in (3, 6, 8)
    assert not any(s == "rfc9.txt" for s in a.stored())
    rs.wait_active(2)
    b.put(10, document(10))

    four.hosts.heal()
    with timed("he is registered again after the heal"):
        rs.wait_active(3)
    # The index is pulled by itself, and he is asked again.
    with timed("what he got meanwhile is known after the heal"):
        wait_known(a, 10, [b])
    a.get(9, 10)
    assert a.content(9) == document(9) and a.content(10) == document(10)
