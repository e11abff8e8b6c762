# SPDX-License-Identifier: BSD-2-Clause
"""Store.MaxSize=: what goes to make room, and what never does; pin, unpin, evict."""

import os
import re

import pytest

from p2pdi.base import until
from p2pdi.documents import document
from test_ctl import NOBODY, as_nobody, opened  # noqa: F401


def held(peer):
    return [d["number"] for d in peer.json("list")]


@pytest.fixture
def others(world):
    """Others who hold 1 to 9, of 4000 bytes each, and a peer with 1, 2 and 3 that knows it. It has room for four of them."""
    holder = world.holder({n: document(n) for n in range(1, 10)})
    a = world.peer("a", {}, world.server([holder]), ini={"Store.MaxSize": 17000}, start=False)
    for n in (1, 2, 3):
        a.put(n, document(n))
        os.utime(a.path(n), (n, n))             # 1 was read the longest time ago
    a.start()
    a.wait_scanned(3)
    assert a.ctl("refresh").code == 0
    return a


def test_the_least_recently_read_makes_room(others):
    a = others
    a.get(4)
    assert held(a) == [1, 2, 3, 4]
    with a.connect() as w:
        assert w.ask("GET RFC 1").body == document(1)           # read: now it is 2's turn
    a.get(5)
    assert held(a) == [1, 3, 4, 5] and a.stored() == [f"rfc{n}.txt" for n in (1, 3, 4, 5)]
    assert a.ctl("cat", "3").out == document(3)
    a.get(6)
    assert held(a) == [3, 4, 5, 6] or held(a) == [1, 3, 5, 6], "4, or 1 if both were read within a step of the clock"
    a.wait_log(r"RFC 2 evicted, 4000 bytes")
    assert a.json("status")["storeLimitBytes"] == 17000
    assert re.search(r"Store: 4 RFCs, 15\.6K of 16\.6K in ", a.ctl("status").text)


def test_when_it_was_read_is_known_after_a_restart(others):
    a = others
    with a.connect() as w:
        w.ask("GET RFC 1")
    read = {d["number"]: d["readUSec"] for d in a.json("list")}
    assert read[2] == 2_000_000 and read[3] == 3_000_000 and read[1] > 1_500_000_000_000_000
    a.stop()
    a.start()
    a.wait_scanned(3)
    assert {d["number"]: d["readUSec"] for d in a.json("list")} == read


def test_what_is_pinned_stays(others):
    a = others
    r = a.ctl("pin", "1", "2", "77")
    assert r.code == 3 and r.err.splitlines() == ["RFC 1: pinned", "RFC 2: pinned", "RFC 77 is not in the store."]
    assert [(d["number"], d["pinned"]) for d in a.json("list")] == [(1, True), (2, True), (3, False)]
    assert [line.split()[3] for line in a.ctl("--no-legend", "list").text.splitlines()] == ["yes", "yes", "no"]
    assert re.search(r"In store: \S+/rfc1\.txt, 3\.9K, pinned\n", a.ctl("show", "1").text)
    a.restart()
    a.wait_scanned(3)
    assert a.ctl("refresh").code == 0
    a.get(4, 5)
    assert held(a) == [1, 2, 4, 5]
    r = a.ctl("evict", "1")
    assert r.code == 1 and r.err == "RFC 1 is pinned: unpin it before, or use --force.\n" and 1 in held(a)
    assert a.json("unpin", "1") == [{"number": 1, "result": "ok"}]
    a.get(6)
    assert held(a) == [2, 4, 5, 6]


def test_a_pin_outlives_its_file(others):
    a = others
    assert a.ctl("pin", "3").code == 0
    os.unlink(a.path(3))
    until(lambda: held(a) == [1, 2], "the watch sees it")
    a.get(3)
    assert a.json("list", "3")[0]["pinned"] is True
    assert a.ctl("evict", "--force", "3").code == 0
    a.get(3)
    assert a.json("list", "3")[0]["pinned"] is False, "who removes it does not want it kept"


def test_the_last_known_copy_stays(others):
    a = others
    mine = document(1, seed="mine")
    a.put(1, mine)                              # others hold another text of that number
    a.put(30, document(30))
    until(lambda: held(a) == [1, 2, 3, 30], "both are there")
    os.utime(a.path(30), (0, 0))
    r = a.ctl("evict", "1", "30", "2")
    assert r.code == 1 and r.err.splitlines() == [
        f"RFC {n} is the last copy that is known here: only --force removes it." for n in (1, 30)] + ["RFC 2: evicted"]
    for n in (4, 5, 6, 7):                      # together they would need the room of each other
        a.get(n)
    assert {1, 30} <= set(held(a)) and a.content(1) == mine
    assert a.ctl("evict", "--force", "30").code == 0 and not os.path.exists(a.path(30))


@pytest.mark.parametrize("single", [False, True])
def test_no_room_can_be_made(others, single):
    a = others
    assert a.ctl("pin", "1", "2", "3").code == 0
    a.get(4)
    assert a.ctl("pin", "4").code == 0
    if single:
        with a.varlink() as v:
            reply = v.call("org.p2pdi.Peer.Get", {"numbers": [5]})
        assert reply["error"] == "org.p2pdi.Peer.NoSpace" and reply["parameters"]["number"] == 5
        assert "Store.MaxSize=" in reply["parameters"]["message"]
    else:
        r = a.get(5, code=9)
        assert r.err == "RFC 5 does not fit: Store.MaxSize= is 17000, and not enough may be evicted.\n"
    assert held(a) == [1, 2, 3, 4] and a.stored() == [f"rfc{n}.txt" for n in (1, 2, 3, 4)]
    a.wait_log("RFC 5, 4000 bytes, does not fit into the library: Store.MaxSize=17000")
    a.wait_log(r"RFC 5 is not taken: there is no room for it \(get-rfc no-space, ")
    assert a.count_log("failed") == 0, "this host did not"


def test_nothing_goes_for_what_would_not_fit_anyway(world):
    holder = world.holder({1: document(1), 2: document(2, 40000)})
    a = world.peer("a", {1: document(1)}, world.server([holder]), ini={"Store.MaxSize": 30000})
    assert a.ctl("refresh").code == 0
    a.get(2, code=9)
    assert held(a) == [1]


def test_a_lower_limit_evicts_at_reload(others):
    a = others
    a.get(4)
    with open(a.path(1), "rb") as reader:
        a.write_config({"Store.MaxSize": 8000})
        a.reload()
        until(lambda: held(a) == [3, 4], "what was read last stays")
        assert reader.read() == document(1)
    # And where it may not: it stays, and that is said once.
    assert a.ctl("pin", "3", "4").code == 0
    mark = a.mark()
    a.write_config({"Store.MaxSize": 100})
    a.reload()
    a.wait_log("The library has 8000 bytes, more than Store.MaxSize=100, and nothing more of it may be evicted", mark)
    assert held(a) == [3, 4]
    a.write_config({"Store.MaxSize": "infinity"})
    a.reload()
    a.get(5, 6, 7, 8)
    assert len(held(a)) == 6 and "storeLimitBytes" not in a.json("status")
    assert not re.search(r"store_limit_bytes \d", a.ctl("metrics").text)


def test_what_is_put_there_by_hand_counts(others):
    a = others
    for n in (4, 5, 6):
        a.put(n, document(n))
    until(lambda: 6 in held(a) and len(held(a)) == 4, "two have gone")
    assert held(a) == [3, 4, 5, 6]


def test_start_with_more_than_there_may_be(world):
    """Nobody is known yet, so all of it is the last known copy."""
    a = world.peer("a", {n: document(n) for n in (1, 2, 3)}, ini={"Store.MaxSize": "4K"})
    a.wait_log("The library has 12000 bytes, more than Store.MaxSize=4K")
    assert held(a) == [1, 2, 3]
    assert "p2pdi_peer_store_limit_bytes 4096\n" in a.ctl("metrics").text


@pytest.mark.parametrize("value, why", [
    ("many", '"many" is neither infinity nor a size such as 4096, 64M or 1.5G.'),
    ("-1", '"-1" is neither infinity nor a size such as 4096, 64M or 1.5G.'),
])
def test_a_bad_limit(world, value, why):
    a = world.peer("a", start=False)
    a.write_config({"Store.MaxSize": value})
    r = a.ctl("check-config", f"--config={a.config}")
    assert r.code == 1 and why in r.err


def test_who_may(opened):
    for verb in (["pin", "7"], ["unpin", "7"], ["evict", "7"], ["evict", "--force", "7"]):
        r = as_nobody(opened, *verb)
        assert r.code == 10 and "Not allowed" in r.err, verb
        opened.wait_log(f"User {NOBODY} was denied org.p2pdi.Peer.{verb[0].capitalize()}")
    assert held(opened) == [7]


def test_who_did_it_is_told(others):
    a = others
    for verb in ("pin", "unpin", "evict"):
        mark = a.mark()
        assert a.ctl(verb, "2").code == 0
        a.wait_log(rf"User {os.getuid()} called org\.p2pdi\.Peer\.{verb.capitalize()} ", after=mark)
    a.wait_log(r"RFC 2 evicted, 4000 bytes \(evict ok\)")
