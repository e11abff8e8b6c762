# SPDX-License-Identifier: BSD-2-Clause
"""Sections 3 and 4 of the protocol, as a peer asks: which holders it finds, whom it dials, which indexes it takes."""

import contextlib
import threading

import pytest

from p2pdi.base import PATIENCE, until
from p2pdi.documents import document, sha256
from p2pdi.fakes import FakePeer
from p2pdi.varlink import Varlink
from p2pdi.wire import Record, index_digest


def listed(peer, number):
    """Where the peer knows the document to be: {holder: (state, firstHand)}."""
    return {h["holder"]: (h["state"], h["firstHand"]) for h in peer.json("where", str(number))}


# ---- finding ----

def test_holder_known_through_anothers_index_alone(world):
    """A asks B, who says that C has it; C is then asked for the document, though nobody asked it for its index."""
    rs = world.rs()
    c = world.holder({9110: document(9110)}, on_index=lambda f, s, h: f.head(503, Retry_After=1))
    b = world.holder({1: document(1)})
    b.statements[9110] = c.record(9110, holder=c.text, ttl=100)
    c.join(rs)
    b.join(rs)
    a = world.peer("a", {}, rs)
    r = a.get(9110)
    assert f"({c.text})" in r.err and a.content(9110) == document(9110)
    assert b.count("GET RFC 9110") == 0


def test_holder_known_through_a_real_peers_index(world):
    """The same with real peers: B learns what C has, and passes it on."""
    rs = world.rs()
    c = world.peer("c", {9110: document(9110)}, rs)
    b = world.peer("b", {}, rs)
    assert b.ctl("refresh").code == 0
    # What B tells of it: one step, and the shorter life.
    reply, records = b.index()
    assert [(r.number, r.holder, r.sha256) for r in records] == [(9110, c.text, sha256(document(9110)))]
    assert 0 < records[0].ttl <= 7200
    assert reply["Index-Digest"] == index_digest([])
    assert b.index(RFC="9110")[1][0].holder == c.text and b.index(**{"If-Generation": "0.0"})[1] == []
    a = world.peer("a", {}, rs)
    assert a.ctl("refresh", b.text).code == 0
    assert listed(a, 9110) == {c.text: ("active", False)}
    a.get(9110)
    assert a.content(9110) == document(9110)


def test_search_goes_on_with_whoever_has_it(world):
    """Many peers, the document with the last one that is asked."""
    rs = world.rs()
    holders = [world.holder({i: document(i)}) for i in range(1, 9)]
    for h in holders:
        h.join(rs)
    a = world.peer("a", {}, rs)
    for i in range(1, 9):
        a.get(i)
    assert all(h.count(f"GET RFC {i} ") == 1 for i, h in enumerate(holders, 1))
    assert sum(h.count(r"GET RFC \d") for h in holders) == 8


def test_two_peers_on_one_host(world):
    """A holder is an address and a port."""
    rs = world.rs()
    b = world.peer("b", {1: document(1), 3: document(3, seed=0)}, rs)
    c = world.peer("c", {2: document(2), 3: document(3, seed=1)}, rs)
    a = world.peer("a", {}, rs)
    a.get(1, 2)
    assert a.content(1) == document(1) and a.content(2) == document(2)
    a.get(3)
    assert a.content(3) in (document(3, seed=0), document(3, seed=1))
    assert a.ctl("refresh").code == 0
    assert {b.text, c.text} <= set(listed(a, 3))


def test_pages_of_the_peer_list_are_followed(world):
    """Five peers, two in a page: the document is with one of the last."""
    rs = world.rs({"Registration.PeersPerReply": 2})
    holders = [world.holder({i: document(i)}) for i in range(1, 6)]
    for h in holders:
        h.join(rs)
    a = world.peer("a", {}, rs)
    a.get(5)
    assert a.content(5) == document(5)
    assert len(a.json("peers")) == 5
    assert rs.count_log("received from .*GET PQuery.*After: ") >= 2


def test_who_has_left_is_not_asked(world):
    rs = world.rs()
    b, c = world.holder({7: document(7)}), world.holder({7: document(7)})
    b.join(rs)
    c.join(rs)
    a = world.peer("a", {}, rs)
    assert a.ctl("refresh").code == 0
    b.registrant.leave()
    n = b.connections
    a.get(7)
    assert b.connections == n and c.count("GET RFC 7 ") == 1


def test_a_peer_does_not_ask_itself(world):
    """Hearsay about oneself is ignored."""
    rs = world.rs()
    place = world.place()
    b = world.holder()
    b.statements[7] = Record(7, 7000, place.text, 5, "0" * 64, "Not there")
    b.join(rs)
    a = world.peer("a", {}, rs, place=place)
    a.get(7, code=3)
    assert a.count_log(r"received from \S+: GET") == 0


# ---- whom to dial ----

def test_who_is_not_listed_is_never_dialled(world):
    """Nobody can be aimed at a stranger: what hearsay names is not dialled unless the registration server lists it."""
    rs = world.rs()
    victim = world.holder({7: document(7)})
    liar = world.holder({1: document(1)})
    liar.statements[7] = [Record(7, 7200, victim.text, 4000, sha256(document(7)), "Aimed")]
    liar.join(rs)
    a = world.peer("a", {}, rs)
    a.get(7, code=3)
    assert a.ctl("refresh", victim.text).code == 1
    a.get(1)
    assert victim.connections == 0
    # It is kept all the same, but hearsay is one step: it is not passed on.
    assert listed(a, 7)[victim.text] == ("unlisted", False)
    assert victim.text not in [r.holder for r in a.index(RFC="7")[1] + a.index()[1]]
    # And once it is listed, it is asked.
    victim.join(rs)
    a.get(7)
    assert victim.count("GET RFC 7 ") == 1


def test_ten_thousand_false_holders_are_not_dialled_either(world):
    rs = world.rs()
    victim = world.holder()
    honest, liar = world.holder({7: document(7)}), world.holder()
    digest = sha256(document(7))
    ports = sorted({*range(20000, 30000), victim.port})
    liar.statements[7] = [Record(7, 7200, f"{victim.address}:{p}", 4000, digest, "x") for p in ports]
    liar.join(rs)
    a = world.peer("a", {}, rs)
    a.get(7, code=3)
    honest.join(rs)
    a.get(7)
    assert victim.connections == 0 and a.content(7) == document(7)


def test_configured_peers_may_be_dialled_without_a_server(world):
    b = world.peer("b", {7: document(7)})
    a = world.peer("a", {}, ini={"Peers.Static": b.text})
    a.get(7)
    assert a.content(7) == document(7)
    a.get(8, code=3)


# ---- indexes that are not as they should be ----

def body_reply(body, **headers):
    return FakePeer.head(200, len(body), **headers) + body


BAD_INDEXES = {
    "double": b"1\t7200\t-\t5\t%s\tA\n1\t7200\t-\t5\t%s\tA\n" % (b"0" * 64, b"0" * 64),
    "misordered": b"2\t7200\t-\t5\t%s\tA\n1\t7200\t-\t5\t%s\tA\n" % (b"0" * 64, b"0" * 64),
    "half-a-line": b"1\t7200\t-\t5\t%s\tA" % (b"0" * 64),
    "no-number": b"x\t7200\t-\t5\t%s\tA\n" % (b"0" * 64),
    "leading-zero": b"01\t7200\t-\t5\t%s\tA\n" % (b"0" * 64),
    "short-digest": b"1\t7200\t-\t5\t%s\tA\n" % (b"0" * 63),
    "control-byte": b"1\t7200\t-\t5\t%s\tA\x1b[2J\n" % (b"0" * 64),
    "not-utf-8": b"1\t7200\t-\t5\t%s\t\xff\xfe\n" % (b"0" * 64),
    "long-title": b"1\t7200\t-\t5\t%s\t%s\n" % (b"0" * 64, b"x" * 1025),
    "nul": b"\0" * 100,
    "garbage": b"\x80\x81" * 5000,
}


@pytest.mark.parametrize("case", BAD_INDEXES)
def test_malformed_index_changes_nothing(world, case):
    """All or nothing; one line in the log; and the others are asked."""
    rs = world.rs()
    good = [True]

    def index(fake, connection, headers):
        if good[0]:
            return fake.index(headers)
        return body_reply(BAD_INDEXES[case], Generation="7.7", Index_Digest="sha-256=" + "1" * 64)

    bad, other = world.holder({50: document(50)}, on_index=index), world.holder({7: document(7)})
    bad.join(rs)
    a = world.peer("a", {}, rs)
    assert a.ctl("refresh").code == 0
    before = listed(a, 50)
    good[0] = False
    assert a.ctl("refresh", bad.text).code == 1
    a.wait_log("Index refused: ")
    assert listed(a, 50) == before
    other.join(rs)
    a.get(7)


def test_index_that_does_not_match_its_digest(world):
    rs = world.rs()
    bad = world.holder({7: document(7)})
    body = bad.record(7).line.encode()
    bad.on_index = lambda f, c, h: body_reply(body, Generation="7.7", Index_Digest="sha-256=" + "1" * 64)
    bad.join(rs)
    a = world.peer("a", {}, rs)
    assert a.ctl("refresh", bad.text).code == 1
    a.wait_log("Index refused: it does not match its digest")
    assert a.ctl("where", "7").code == 3


def test_endless_index_is_cut(world):
    """It never ends, or says that it is huge: refused, and the document comes from another."""
    rs = world.rs()

    def endless(fake, connection, headers):
        connection.sendall(fake.head(200, 1 << 40, Generation="7.7", Index_Digest="sha-256=" + "1" * 64))
        n = 1
        with contextlib.suppress(OSError):
            while n < 10000000:
                connection.sendall(b"".join(b"%d\t7200\t-\t5\t%s\tA\n" % (i, b"0" * 64) for i in range(n, n + 5000)))
                n += 5000
        fake.sent = n

    bad, other = world.holder({7: document(7)}, on_index=endless), world.holder({8: document(8)})
    bad.join(rs)
    a = world.peer("a", {}, rs)
    assert a.ctl("refresh", bad.text).code == 1
    a.wait_log("Index refused")
    other.join(rs)
    a.get(8)
    a.wait_log("Index refused")
    assert getattr(bad, "sent", 0) < 1000000


@pytest.mark.parametrize("answer", [
    b"", b"HTTP/1.0 200 OK\r\n\r\n", b"P2P-DI/1.0 200 OK\r\n\r\n", b"\0" * 20000, b"A" * 70000,
    b"P2P-DI/1.0 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
    b"P2P-DI/1.0 999 What\r\nContent-Length: 0\r\n\r\n", b"P2P-DI/1.0 304 Not Modified\r\n\r\n",
], ids=lambda answer: ascii(answer[:30]))
def test_answers_that_are_none(world, answer):
    """On either question. Whoever else has it is asked."""
    rs = world.rs()
    bad, good = world.holder({7: document(7)}), world.holder({7: document(7)})
    bad.on_index = lambda f, c, h: answer
    bad.join(rs)
    a = world.peer("a", {}, rs)
    assert a.ctl("get", "7").code in (3, 6, 7)
    bad.on_index, bad.on_get = None, lambda f, c, n: answer
    assert a.ctl("refresh").code == 0
    good.join(rs)
    a.get(7)
    assert a.content(7) == document(7)


def test_index_that_says_all_is_gone(world):
    """A 200 replaces all that is known first-hand."""
    rs = world.rs()
    b = world.holder({7: document(7), 8: document(8)})
    b.join(rs)
    a = world.peer("a", {}, rs)
    assert a.ctl("refresh").code == 0
    assert sorted(d["number"] for d in a.json("list", "--all")) == [7, 8]
    del b.documents[7]
    b.generation += 1
    assert a.ctl("refresh").code == 0
    assert [d["number"] for d in a.json("list", "--all")] == [8]
    # And who was asked lately, and has not got it, is not asked again.
    n = b.connections
    a.get(7, code=3)
    assert b.connections == n


def test_unchanged_index_is_confirmed_with_304(world):
    rs = world.rs()
    b = world.holder({7: document(7)})
    b.join(rs)
    a = world.peer("a", {}, rs)
    assert a.json("refresh")[0]["result"] == "ok"
    assert a.json("refresh")[0]["result"] == "unchanged"
    asked = [h.get("if-generation") for line, h in b.heads if "RFC-Index" in line]
    assert len(asked) == 2 and asked[0] in (None, "0.0") and asked[1] == f"{b.epoch}.1"


def refresh(varlink, *peers):
    varlink.send("org.p2pdi.Peer.Refresh", {"peers": list(peers)} if peers else {}, more=True)


def refreshed(varlink):
    """What a refresh says to its end: [(peer, result, added)]."""
    said = []
    while True:
        reply = varlink.reply()
        assert "error" not in reply, reply
        if "peer" in reply["parameters"]:
            said.append((reply["parameters"]["peer"], reply["parameters"]["result"], reply["parameters"]["added"]))
        if not reply.get("continues"):
            return said


def refresh_results(peer, *peers):
    with peer.varlink() as v:
        refresh(v, *peers)
        return [result for _, result, _ in refreshed(v)]


def index_queries(holder):
    """What it was asked of its index, in order: (If-Generation, RFC)."""
    return [(h.get("if-generation"), h.get("rfc")) for line, h in holder.heads if "RFC-Index" in line]


def test_delta_that_is_none(world):
    """Without a digest nobody knows where it leads: the whole index is asked for instead, once, and then it is given up."""
    rs = world.rs()
    b = world.holder({7: document(7), 8: document(8)})
    b.join(rs)
    a = world.peer("a", {}, rs)
    assert a.ctl("refresh").code == 0
    known = [d["number"] for d in a.json("list", "--all")]
    b.on_index = lambda f, c, h: f.head(226, 0, Generation=f"{f.epoch}.2", IM="diffe")
    assert refresh_results(a) == ["malformed"]
    assert index_queries(b)[1:] == [(f"{b.epoch}.1", None), ("0.0", None)]
    assert [d["number"] for d in a.json("list", "--all")] == known
    # Of the whole, it is no answer at all.
    c = world.holder({9: document(9)}, on_index=b.on_index)
    c.join(rs)
    assert refresh_results(a, c.text) == ["malformed"]
    assert index_queries(c) in ([(None, None)], [("0.0", None)])


def test_304_to_who_did_not_ask_for_news(world):
    """It proves nothing: neither that the peer was asked for all that it has, nor that what is known still holds."""
    rs = world.rs()
    b = world.holder({7: document(7)})
    honest, b.on_index = b.on_index, lambda f, c, h: f.head(304, Generation=f"{f.epoch}.1")
    b.join(rs)
    a = world.peer("a", {}, rs)
    assert refresh_results(a) == ["malformed"]
    assert a.ctl("get", "7").code != 0
    b.on_index = honest
    a.get(7)                                    # so it is asked again
    assert a.json("refresh")[0]["result"] == "ok"
    assert not any(generation not in (None, "0.0") for generation, _ in index_queries(b))


# ---- refreshes at the same time ----

def held_back(go_on):
    def index(fake, connection, headers):
        go_on.wait(PATIENCE)
        return fake.index(headers)
    return index


def test_refreshes_at_the_same_time(world):
    """They share what is asked; each is told of its own peers, once, and ends once."""
    listed, go_on = threading.Event(), threading.Event()

    def late(fake, line, headers):
        if "PQuery" in line and fake.count("PQuery") > 1:
            listed.wait(PATIENCE)

    b, c = (world.holder({n: document(n), n + 1: document(n + 1)}, on_index=held_back(go_on)) for n in (10, 20))
    server = world.server([b, c], on_request=late)
    a = world.peer("a", {}, server)
    with contextlib.ExitStack() as stack:
        all_, first, second, both, status = (stack.enter_context(Varlink(a.control)) for _ in range(5))
        refresh(all_)
        b.wait_requests("RFC-Index")
        c.wait_requests("RFC-Index")
        # The others are all there before there is a list for them, and they have it before an index comes.
        refresh(first, b.text)
        refresh(second, b.text)
        refresh(both, c.text, b.text)
        for _ in range(2):
            status.call("org.p2pdi.Peer.GetStatus")
        listed.set()
        a.wait_log("The registration server lists 2 active peers", n=2)
        go_on.set()
        want_b, want_c = (b.text, "ok", 2), (c.text, "ok", 2)
        assert refreshed(first) == refreshed(second) == [want_b]
        assert sorted(refreshed(both)) == sorted(refreshed(all_)) == sorted([want_b, want_c])
        # The connections are free for other calls: nothing comes behind the end.
        for v in (all_, first, second, both):
            assert "peersActive" in v.call("org.p2pdi.Peer.GetStatus")["parameters"]
    assert b.count("RFC-Index") == c.count("RFC-Index") == 1


def test_peer_that_is_named_twice_in_a_refresh(world):
    rs = world.rs()
    go_on = threading.Event()
    b = world.holder({7: document(7)}, on_index=held_back(go_on))
    c = world.holder({8: document(8)}, on_index=held_back(go_on))
    b.join(rs)
    c.join(rs)
    a = world.peer("a", {}, rs)
    with a.varlink() as v:
        refresh(v, b.text, c.text, b.text)
        b.wait_requests("RFC-Index")
        c.wait_requests("RFC-Index")
        go_on.set()
        assert sorted(refreshed(v)) == sorted([(b.text, "ok", 1), (c.text, "ok", 1)])
        assert "peersActive" in v.call("org.p2pdi.Peer.GetStatus")["parameters"]
    assert b.count("RFC-Index") == 1


def test_refresh_of_more_peers_than_are_asked_at_once(world):
    """What others ask meanwhile is none of its own: a peer whose turn has not come, and one whose turn is over."""
    go_on = threading.Event()
    holders = [world.holder({n: document(n, 200)}, on_index=held_back(go_on)) for n in range(1, 41)]
    a = world.peer("a", {}, world.server(holders))

    def unasked():
        return [h for h in holders if h.count("RFC-Index") == 0]

    with a.varlink() as all_, a.varlink() as one:
        refresh(all_)
        until(lambda: len(unasked()) <= len(holders) - 16, "the first questions")
        later = unasked()[0]
        later.on_index = None
        refresh(one, later.text)
        assert refreshed(one) == [(later.text, "ok", 1)]
        go_on.set()
        over = all_.reply()["parameters"]       # about the list
        over = all_.reply()["parameters"]["peer"]
        refresh(one, over)
        assert [peer for peer, _, _ in refreshed(one)] == [over]
        said = refreshed(all_)
    assert sorted(peer for peer, _, _ in said) == sorted(h.text for h in holders if h.text != over)
    assert all(added == (peer != later.text) for peer, _, added in said)
    assert all(h.count("RFC-Index") == 1 + (h is later) + (h.text == over) for h in holders)


def test_who_asked_for_a_refresh_hangs_up(world):
    rs = world.rs()
    go_on = threading.Event()
    b = world.holder({7: document(7)}, on_index=held_back(go_on))
    b.join(rs)
    a = world.peer("a", {}, rs)
    with a.varlink() as v:
        refresh(v, b.text)
        b.wait_requests("RFC-Index")
    go_on.set()
    a.wait_log("Index pulled: 1 new, ")
    assert refresh_results(a) == ["unchanged"]


# ---- time and bounds ----

def test_copy_that_is_not_what_its_holder_covers(world):
    """A 304 whose digest the copy does not have: all of it is asked for, once, and then the copy is right."""
    rs = world.rs()
    b = world.holder({7: document(7), 8: document(8)})
    b.join(rs)
    a = world.peer("a", {}, rs)
    assert a.json("refresh")[0]["result"] == "ok"
    b.documents[8] = document(8, seed=1)        # and no new generation
    assert a.json("refresh")[0]["result"] == "ok"
    assert index_queries(b) == [(None, None), (f"{b.epoch}.1", None), ("0.0", None)]
    assert a.count_log("does not match its digest: asking for all of it") == 1
    assert a.json("where", "8")[0]["sha256"] == sha256(document(8, seed=1))
    assert a.json("refresh")[0]["result"] == "unchanged"
    a.get(8)
    assert a.content(8) == document(8, seed=1) and a.count_log("quarantined") == 0


def test_digest_that_no_copy_has(world):
    """Each 304 has another one: it costs one question more, and no round about."""
    rs = world.rs()
    b = world.holder({7: document(7)})
    b.join(rs)
    a = world.peer("a", {}, rs)
    assert a.ctl("refresh").code == 0
    b.on_index = lambda f, c, h: f.head(304, Generation=f"{f.epoch}.1", Index_Digest="sha-256=" + "1" * 64)
    assert a.ctl("refresh", b.text).code == 1
    assert index_queries(b) == [(None, None), (f"{b.epoch}.1", None), ("0.0", None)]
    # What it stated itself stays what it is.
    assert listed(a, 7) == {b.text: ("active", True)}


def test_who_still_scans_is_asked_once_more(world):
    """503 with Retry-After: 1 is no answer yet; but a second one is."""
    rs = world.rs()
    busy = world.holder({7: document(7)})
    n_busy = [1]

    def scanning(fake, connection, headers):
        n_busy[0] -= 1
        return fake.index(headers) if n_busy[0] < 0 else fake.head(503, Retry_After=1)

    busy.on_index = scanning
    busy.join(rs)
    a = world.peer("a", {}, rs)
    a.get(7)
    assert a.content(7) == document(7) and busy.count("RFC-Index") == 2
    n_busy[0] = 1000
    a.get(8, code=3)
    assert busy.count("RFC-Index") == 4


def test_record_dies_with_its_ttl(world):
    rs = world.rs()
    b = world.holder({7: document(7)})
    b.statements[7] = b.record(7, ttl=1)
    b.join(rs)
    a = world.peer("a", {}, rs)
    assert a.ctl("refresh").code == 0
    until(lambda: a.ctl("where", "7").code == 3, "the end of the record")


def test_own_ttl_caps_what_others_state(world):
    rs = world.rs()
    b = world.holder({7: document(7)})
    b.join(rs)
    a = world.peer("a", {}, rs, ini={"Index.TTLSec": "100"})
    assert a.ctl("refresh").code == 0
    assert a.json("where", "7")[0]["expiresInSec"] <= 100
    a.put(8, document(8))
    assert until(lambda: a.index(RFC="8")[1], "the new document")[0].ttl == 100


def test_hearsay_never_changes_what_a_holder_said_itself(world):
    """Neither its digest nor its life, in whatever order they come."""
    rs = world.rs()
    honest, gossip = world.holder({7: document(7)}), world.holder({1: document(1)})
    gossip.statements[7] = Record(7, 5, honest.text, 5, "5" * 64, "Hearsay")
    honest.join(rs)
    gossip.join(rs)
    a = world.peer("a", {}, rs)
    for order in ((honest, gossip), (gossip, honest), (gossip,)):
        for peer in order:
            peer.generation += 1                # so that it is told again
            assert a.ctl("refresh", peer.text).code == 0
        one, = a.json("where", "7")
        assert one["firstHand"] and one["sha256"] == sha256(document(7)) and one["expiresInSec"] > 7000
    a.get(7)


@pytest.fixture
def crowded(world):
    """A peer whose index is full of what one other peer holds."""
    rs = world.rs()
    b = world.holder({n: b"%d" % n for n in range(1, 301)})
    b.join(rs)
    a = world.peer("a", {9000: document(9000)}, rs, ini={"Index.MaxEntries": 50})
    a.ctl("refresh")
    return a


def test_more_records_than_are_kept(crowded):
    known = crowded.json("list", "--all")
    assert sum(not d["local"] for d in known) <= 50 and known[-1]["number"] == 9000
    crowded.get(7)


def test_nothing_is_out_of_reach_for_a_full_index(crowded):
    crowded.get(150, 300)
    assert crowded.content(300) == b"300"
