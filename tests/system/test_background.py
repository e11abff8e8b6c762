# SPDX-License-Identifier: BSD-2-Clause
"""Pulls in the background: what others hold is known here without anybody asking for it."""
from p2pdi.base import until
from p2pdi.documents import document

def background(**ini):
    return {"Index.PullIntervalSec": "200ms", **{k.replace("_", "."): v for k, v in ini.items()}}


def numbers(peer):
    return [d["number"] for d in peer.json("list", "--all")]


def wait_numbers(peer, *expected):
    until(lambda: numbers(peer) == list(expected), f"{expected} in the index")


def pulls(fake):
    return [h.get("if-generation") for line, h in fake.heads if "RFC-Index" in line]


def test_search_answers_with_no_refresh(world):
    """Of a fresh peer, with the interval that is the default."""
    rs = world.rs()
    for number, name in ((7, "a"), (8, "b")):
        f = world.holder({number: document(number)})
        f.statements[number] = f.record(number, title=f"A Synthetic Title, number {name}")
        f.join(rs)
    c = world.peer("c", {}, rs, ini={"Index.PullIntervalSec": "10min"})
    wait_numbers(c, 7, 8)
    assert [d["number"] for d in c.json("search", "synthetic", "title")] == [7, 8]
    assert c.stored() == []
    # And who told lately all that it has is not asked for its index again.
    assert c.count_log("Index pulled: 1 new") == 2
    c.get(7)
    assert c.count_log("Index (not )?pulled") == 2


def test_each_is_pulled_again_and_again_by_generation(world):
    rs = world.rs()
    fakes = [world.holder({n: document(n)}) for n in (7, 8)]
    for f in fakes:
        f.join(rs)
    a = world.peer("a", {}, rs, ini=background())
    for f in fakes:
        f.wait_requests("RFC-Index", 3)
        # Hearsay is not asked for: whom it would tell of is asked himself.
        assert pulls(f)[:3] == ["0.0", f"{f.epoch}.1", f"{f.epoch}.1"]
    fakes[0].documents[9] = document(9)
    fakes[0].generation += 1
    wait_numbers(a, 7, 8, 9)


def test_newcomer_is_found_and_who_left_is_not_asked(world):
    rs = world.rs()
    a = world.peer("a", {}, rs, ini=background())
    b = world.holder({7: document(7)})
    joined = b.join(rs)
    wait_numbers(a, 7)
    joined.leave()
    # What had begun before the list that it is not on any more has ended by the one after the next.
    a.wait_log("The registration server lists 0 active peers", after=a.mark(), n=2)
    n = len(pulls(b))
    a.wait_log("The registration server lists 0 active peers", after=a.mark(), n=3)
    assert len(pulls(b)) == n


def test_static_peers_without_a_server(world):
    b = world.holder({7: document(7)})
    a = world.peer("a", {}, ini=background(Peers_Static=b.text))
    wait_numbers(a, 7)


def test_last_known_peers_while_no_server_answers(world):
    rs = world.rs()
    b = world.holder({7: document(7)})
    b.join(rs)
    a = world.peer("a", {}, rs, ini=background())
    wait_numbers(a, 7)
    rs.stop()
    a.wait_log("did not list its peers")
    b.wait_requests("RFC-Index", len(pulls(b)) + 2)


def test_who_is_in_quarantine_is_left_alone(world):
    rs = world.rs()
    liar = world.holder({7: document(7)}, on_get=lambda f, c, n: f.document(n)[:-1] + b"!")
    liar.join(rs)
    a = world.peer("a", {}, rs, ini=background(Peers_QuarantineSec="10min"))
    wait_numbers(a, 7)
    assert a.ctl("get", "7").code != 0
    assert [p["state"] for p in a.json("peers")] == ["quarantined"]
    n = len(pulls(liar))
    a.wait_log("The registration server lists 1 active peer", after=a.mark(), n=2)
    assert len(pulls(liar)) == n


def test_reload_changes_the_interval(world):
    rs = world.rs()
    b = world.holder({7: document(7)})
    b.join(rs)
    a = world.peer("a", {}, rs)
    assert a.ctl("refresh").code == 0
    assert len(pulls(b)) == 1
    a.write_config(background())
    a.reload()
    b.wait_requests("RFC-Index", 3)
    a.write_config({"Index.PullIntervalSec": "infinity"})
    a.reload()
    # Another thread hears of the reload later, and what it was asking then comes to its end: both before this does.
    assert a.ctl("refresh").code == 0
    n = a.count_log("The registration server lists")
    m = len(pulls(b))
    # The clock: another peer with that interval pulls three times meanwhile.
    c = world.peer("c", {}, ini=background(Peers_Static=b.text), listen="127.0.0.2:auto")
    c.wait_log("Index pulled", n=4)
    assert a.count_log("The registration server lists") == n
    assert len(pulls(b)) - m <= c.count_log("Index pulled") + 1


def test_busy_peer_is_asked_again(world):
    rs = world.rs()
    busy = world.holder({7: document(7)}, on_index=lambda f, c, h: f.head(503, Retry_After=1))
    busy.join(rs)
    a = world.peer("a", {}, rs, ini=background())
    busy.wait_requests("RFC-Index")
    busy.on_index = None
    wait_numbers(a, 7)
