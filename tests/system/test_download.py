# SPDX-License-Identifier: BSD-2-Clause
"""Section 4 of the protocol: how documents are fetched, and how a peer keeps its place at registration servers."""

import contextlib
import json
import os
import re
import shutil
import sqlite3
import threading

import pytest

from p2pdi.base import PATIENCE, SOURCE, until
from p2pdi.documents import document, flip, sha256
from p2pdi.tool import end_ctl, start_ctl
from p2pdi.varlink import Varlink
from p2pdi.wire import Record

SIXTY_SIZES = [118, 119, 1000, 4095, 4096, 4097, 65535, 65536, 65537, 1600000] + [2000 + 3571 * i for i in range(50)]


def listed(peer, number):
    """Where the peer knows the document to be: {holder: (state, firstHand)}."""
    return {h["holder"]: (h["state"], h["firstHand"]) for h in peer.json("where", str(number))}


# ---- the original text ----

def test_the_original_texts_own_scenario(world):
    """B has two RFCs, A none; both register; A asks and downloads one; B leaves; A asks again and is told that no peer
    is active."""
    rs = world.rs()
    b = world.peer("b", {1000: document(1000), 1001: document(1001)}, rs)
    a = world.peer("a", {}, rs)
    rs.wait_active(2)
    r = a.get(1000)
    assert r.text == a.path(1000) + "\n" and a.content(1000) == document(1000)
    assert f"fetched from peer 1 ({b.text})" in r.err
    assert b.ctl("leave").code == 0
    rs.wait_active(1)
    r = a.get(1001, code=6)
    assert r.err == "No peer is active.\n" and r.out == b""
    assert a.stored() == ["rfc1000.txt"]
    # And when B is back, so is its document.
    assert b.ctl("join").code == 0
    rs.wait_active(2)
    a.get(1001)
    assert a.content(1001) == document(1001)


def test_own_library_comes_first(world):
    """No packet leaves."""
    rs = world.rs()
    holder = world.holder({7: document(7)})
    holder.join(rs)
    a = world.peer("a", {7: document(7)}, rs)
    after = rs.mark()
    r = a.get(7)
    assert r.err == "RFC 7: in store\n" and r.text == a.path(7) + "\n"
    assert holder.connections == 0 and rs.count_log("received from", after) == 0


def test_a_document_that_was_fetched_is_served_in_turn(world):
    rs = world.rs()
    b = world.peer("b", {7: document(7)}, rs)
    a = world.peer("a", {}, rs)
    a.get(7)
    b.stop()
    c = world.peer("c", {}, rs)
    c.get(7)
    assert c.content(7) == document(7)


def test_nobody_has_it(world):
    rs = world.rs()
    world.peer("b", {7: document(7)}, rs)
    a = world.peer("a", {}, rs)
    r = a.get(8, code=3)
    assert "not held" in r.err and r.out == b""
    a.wait_log("No peer that can be reached holds RFC 8 ")
    assert a.stored() == []


# ---- the registration server is away ----

def test_get_goes_on_with_last_known_peers(world):
    rs = world.rs()
    b = world.peer("b", {7: document(7), 8: document(8), 9: document(9)}, rs)
    a = world.peer("a", {}, rs)
    r = a.get(7)
    assert "Note:" not in r.err
    rs.kill()
    r = a.get(8)
    assert "no registration server answered, so only last-known peers could be asked" in r.err and a.content(8) == document(8)
    # Also after a restart of the peer.
    a.kill()
    a.start()
    a.wait_scanned(2)
    r = a.get(9)
    assert "only last-known peers could be asked" in r.err and a.content(9) == document(9)
    b.kill()
    assert a.get(10, code=6).err.endswith("No peer is active.\n")
    a.kill()                                    # it would try to leave for a while


def test_no_server_and_nobody_known(world):
    nobody = world.place()
    a = world.peer("a", ini={"Registration.Server": nobody.text})
    a.wait_log("can't be reached")
    assert a.get(7, code=6).err.endswith("No peer is active.\n")


def test_server_that_is_killed_and_restarted(world):
    """Peers stay registered, and what happened meanwhile is mended by itself; said once, not at each try."""
    rs = world.rs({"Registration.KeepAliveSec": "1s"})
    b = world.peer("b", {7: document(7), 8: document(8)}, rs)
    a = world.peer("a", {}, rs)
    assert a.ctl("refresh").code == 0
    rs.kill()
    for p in (a, b):
        p.wait_log("Registration server .* can't be reached")
    a.get(7)                                    # from b, which was known before
    after_a, after_b, after = a.mark(), b.mark(), rs.mark()
    rs.start()
    rs.wait_active(2)                           # they are known, without a word
    for p, mark in ((a, after_a), (b, after_b)):
        p.wait_log("can be reached again", mark)
    rs.wait_log("Peer 1 renewed its lease", after)
    rs.wait_log("Peer 2 renewed its lease", after)
    assert "Note:" not in a.get(8).err
    for p in (a, b):
        assert p.count_log("can't be reached") == 1


def test_server_that_lost_its_memory(world):
    """401: the cookie is dropped, and the peer registers anew."""
    rs = world.rs({"Registration.KeepAliveSec": "1s"})
    b = world.peer("b", {7: document(7)}, rs)
    a = world.peer("a", {}, rs)
    rs.kill()
    shutil.rmtree(rs.state_dir)
    rs.start()
    rs.wait_active(2)
    a.get(7)
    assert b.json("status")["servers"][0]["state"] == "registered"


def test_cookie_is_kept_over_restarts(world):
    """A peer comes back from another port with its cookie: the same id, and one record."""
    rs = world.rs()
    b = world.peer("b", {7: document(7), 8: document(8)}, rs)
    a = world.peer("a", {}, rs)
    a.get(7)
    port = b.port
    for end in (b.stop, b.kill):
        end()
        b.start()
        b.wait_registered()
    assert [r["peerId"] for r in rs.json("registrations", "--all")] == [1, 2]
    rs.wait_log("Peer 1 came back at", n=2)
    assert rs.count_log("Peer 1 came back at") == 2 and rs.count_log("Peer 1 left") == 1
    assert b.port != port
    assert a.get(8).code == 0 and a.content(8) == document(8)


def test_leave_on_sigterm_and_nothing_on_a_crash(world):
    rs = world.rs()
    a, b = world.peer("a", {}, rs), world.peer("b", {}, rs)
    a.stop()
    rs.wait_log("Peer 1 left")
    rs.wait_active(1)
    b.kill()
    assert rs.json("status")["active"] == 1


def test_several_registration_servers(world):
    """A peer registers at each; the first that answers is asked; Leave goes to all."""
    one, two = world.rs(name="rs-one"), world.rs(name="rs-two")
    with two.registrant() as other:             # so that ids differ
        other.register(1)
        other.leave()
    b = world.peer("b", {7: document(7), 8: document(8)}, [one, two])
    a = world.peer("a", {}, [one, two])
    one.wait_active(2)
    two.wait_active(2)
    assert [s["peerId"] for s in b.json("status")["servers"]] == [1, 2]
    a.get(7)
    one.kill()
    assert "Note:" not in a.get(8).err
    one.start()
    assert b.ctl("leave").code == 0
    two.wait_active(1)
    one.wait_active(1)


# ---- holders that fail ----

def test_holder_that_dies_in_the_middle(world):
    """The next holder is tried; the one that died is left alone for a while."""
    rs = world.rs()
    content = document(7, 300000)

    def die(fake, connection, number):
        connection.sendall(fake.document(number)[:100000])

    dying = world.holder({7: content}, on_get=die)
    honest = world.holder({7: content})
    dying.join(rs)
    a = world.peer("a", {}, rs)
    assert a.ctl("refresh").code == 0
    honest.join(rs)
    a.get(7)
    assert a.content(7) == content and a.stored() == ["rfc7.txt"]
    assert dying.count("GET RFC 7 ") == 1 and honest.count("GET RFC 7 ") == 1
    a.wait_log(f"{re.escape(dying.text)} is quarantined")


def test_holder_that_is_gone(world):
    rs = world.rs()
    gone, honest = world.holder({7: document(7)}), world.holder({7: document(7)})
    gone.join(rs)
    a = world.peer("a", {}, rs)
    assert a.ctl("refresh").code == 0
    gone.vanish()
    honest.join(rs)
    a.get(7)
    assert a.content(7) == document(7) and a.count_log("quarantined") == 0


def test_all_holders_are_gone(world):
    rs = world.rs()
    gone, other = world.holder({7: document(7)}), world.holder({1: document(1)})
    gone.join(rs)
    other.join(rs)
    a = world.peer("a", {}, rs)
    assert a.ctl("refresh").code == 0
    gone.vanish()
    r = a.get(7, code=3)
    assert "could not be reached" in r.err


def test_holder_that_has_it_no_more(world):
    """404 is no fault: the record is dropped, the next holder tried."""
    rs = world.rs()
    b, c = world.holder({7: document(7)}), world.holder({7: document(7)})
    b.join(rs)
    a = world.peer("a", {}, rs)
    assert a.ctl("refresh").code == 0
    b.documents.clear()
    c.join(rs)
    a.get(7)
    assert b.count("GET RFC 7 ") == 1 and c.count("GET RFC 7 ") == 1
    assert a.count_log("quarantined") == 0 and b.text not in listed(a, 7)


@pytest.mark.parametrize("position", ["first", "middle", "last"])
def test_wrong_byte_with_one_holder(world, position):
    """Exit 7, nothing stored, the holder quarantined."""
    rs = world.rs()
    content = document(7, 200001)
    wrong = flip(content, {"first": 0, "middle": 100000, "last": 200000}[position])
    liar = world.holder({7: content}, on_get=lambda f, c, n: f.document(n)[:-len(content)] + wrong)
    liar.join(rs)
    a = world.peer("a", {}, rs)
    r = a.get(7, code=7)
    assert "did not match" in r.err and r.out == b""
    assert a.stored() == []
    a.wait_log(f"RFC 7 from {re.escape(liar.text)} was thrown away")
    a.wait_log(f"{re.escape(liar.text)} is quarantined")
    assert [p["state"] for p in a.json("peers")] == ["quarantined"]


@pytest.mark.parametrize("position", [0, 100000, 200000])
def test_wrong_byte_with_another_holder(world, position):
    rs = world.rs()
    content = document(7, 200001)
    liar = world.holder({7: content}, on_get=lambda f, c, n: f.document(n)[:-len(content)] + flip(content, position))
    honest = world.holder({7: content})
    liar.join(rs)
    a = world.peer("a", {}, rs)
    assert a.ctl("refresh").code == 0
    honest.join(rs)
    a.get(7)
    assert a.content(7) == content and liar.count("GET RFC 7 ") == 1
    a.wait_log(f"{re.escape(liar.text)} is quarantined")


def test_what_a_quarantined_peer_stated_goes_with_it(world):
    rs = world.rs()
    content = document(7)
    liar = world.holder({7: content, 8: document(8)}, on_get=lambda f, c, n: f.document(n)[:-1] + b"?")
    liar.statements[9] = Record(9, 7000, "127.0.0.99:9", 5, "0" * 64, "Said by a liar")
    liar.join(rs)
    a = world.peer("a", {}, rs, ini={"Peers.QuarantineSec": "10min"})
    assert a.ctl("refresh").code == 0
    assert a.ctl("where", "8").code == 0
    a.get(7, code=7)
    assert a.ctl("where", "8").code == 3 and a.ctl("where", "9").code == 3
    n = liar.connections
    a.get(8, code=3)
    assert liar.connections == n


def liar(world, answer):
    """One who sends wrong bytes and, once `caught` is set, right ones. From its second answer about all of its index on
    it waits for `go_on`, and gives answer(fake, headers) then."""
    caught, go_on = threading.Event(), threading.Event()

    def get(fake, connection, number):
        return fake.document(number) if caught.is_set() else fake.document(number)[:-1] + b"?"

    def index(fake, connection, headers):
        if "rfc" in headers or caught.is_set() or fake.count("GET RFC-Index") < 2:
            return fake.index(headers)
        go_on.wait(PATIENCE)
        return answer(fake, headers)

    holder = world.holder({7: document(7), 8: document(8)}, on_get=get, on_index=index)
    holder.caught, holder.go_on = caught, go_on
    return holder


def whole_again(fake, headers):
    fake.generation += 1
    return fake.index(headers)


def unchanged(fake, headers):
    return fake.index(headers)


@pytest.mark.parametrize("answer", [whole_again, unchanged])
def test_index_under_way_when_its_source_is_caught(world, answer):
    """What it states while it is quarantined is not taken, and counts for nothing later: it is asked anew."""
    rs = world.rs()
    holder = liar(world, answer)
    holder.join(rs)
    a = world.peer("a", {}, rs, ini={"Peers.QuarantineSec": "100ms"})
    assert a.ctl("refresh").code == 0
    with a.varlink() as v:
        v.send("org.p2pdi.Peer.Refresh", {"peers": [holder.text]}, more=True)
        holder.wait_requests("GET RFC-Index", 2)
        a.get(7, code=7)
        a.wait_log(f"{re.escape(holder.text)} is quarantined")
        holder.go_on.set()
        a.wait_log("Index refused: its source is quarantined")
        while True:
            reply = v.reply()
            if not reply.get("continues"):
                break
    assert reply["parameters"]["result"] not in ("ok", "unchanged")
    assert a.ctl("where", "8").code == 3
    holder.caught.set()
    until(lambda: a.ctl("get", "8").code == 0, "the end of the quarantine")
    assert a.json("where", "8")[0]["firstHand"]


def test_quarantine_ends(world):
    rs = world.rs()
    honest_now = threading.Event()

    def answer(fake, connection, number):
        return fake.document(number) if honest_now.is_set() else fake.document(number)[:-1] + b"?"

    holder = world.holder({7: document(7)}, on_get=answer)
    holder.join(rs)
    a = world.peer("a", {}, rs, ini={"Peers.QuarantineSec": "300ms"})
    a.get(7, code=7)
    honest_now.set()
    until(lambda: a.ctl("get", "7").code == 0, "the end of the quarantine")
    assert a.content(7) == document(7)


def short(fake, connection, number):
    return fake.document(number)[:-5]


def over_long(fake, connection, number):
    return fake.document(number) + b"and more"


def stuck_then_closed(fake, connection, number):
    return fake.document(number)[:len(fake.document(number)) - len(fake.documents[number])]


@pytest.mark.parametrize("how, code", [(short, 3), (over_long, 7), (stuck_then_closed, 3)])
def test_body_of_another_length(world, how, code):
    """Nothing is stored, and it is a fault; but only bytes that came and should not have are wrong ones."""
    rs = world.rs()
    holder = world.holder({7: document(7)}, on_get=how)
    holder.join(rs)
    a = world.peer("a", {}, rs)
    a.get(7, code=code)
    assert a.stored() == []
    a.wait_log(f"{re.escape(holder.text)} is quarantined")


def test_other_document_than_the_holder_states(world):
    """Digest and bytes agree, and are not what its index says, also when asked again: a fault."""
    rs = world.rs()
    holder = world.holder({7: document(7, seed=1)})
    holder.statements[7] = holder.record(7, document(7, seed=0))
    holder.join(rs)
    a = world.peer("a", {}, rs)
    a.get(7, code=7)
    assert a.stored() == [] and holder.count("GET RFC-Index") >= 2
    a.wait_log(f"{re.escape(holder.text)} is quarantined")


def test_document_that_changed_on_the_holders_disk(world):
    """A knows of the old one; the holder states the new one when asked again: no fault, and the new one comes."""
    rs = world.rs()
    b = world.peer("b", {7: document(7, seed=0)}, rs)
    a = world.peer("a", {}, rs)
    assert a.ctl("refresh").code == 0
    assert a.json("where", "7")[0]["sha256"] == sha256(document(7, seed=0))
    after = b.mark()
    b.put(7, document(7, seed=1))
    until(lambda: b.index()[1][0].sha256 == sha256(document(7, seed=1)), "the new text")
    r = a.get(7)
    assert a.content(7) == document(7, seed=1)
    assert a.count_log("quarantined") == 0 and b.text in r.err
    assert b.count_log("GET RFC 7 ", after) == 2


def test_document_that_changes_while_it_is_sent(world):
    """A real holder never sends other bytes under the old digest; whatever happens, only whole documents become
    visible."""
    rs = world.rs()
    contents = [document(7, 500000, seed) for seed in range(10)]
    b = world.peer("b", {7: contents[0]}, rs)
    peers = [world.peer(f"a{i}", {}, rs, ini={"Log.Level": "info"}) for i in range(4)]
    running = [start_ctl("get", "7", control=p.control) for p in peers]
    for content in contents[1:]:
        b.put(7, content)
    for p, process in zip(peers, running):
        r = end_ctl(process)
        assert p.stored() == (["rfc7.txt"] if r.code == 0 else [])
        assert r.code != 0 or p.content(7) in contents
        assert p.count_log("quarantined") == 0


def test_answer_that_two_wait_for(world):
    """The lookup asked its index, has the document from there meanwhile, and it is not what was stated before: what it
    states now is the answer to both questions."""
    rs = world.rs()
    refreshed, told, ended = threading.Event(), threading.Event(), threading.Event()

    def asked(fake):
        return sum("rfc" in headers for _, headers in fake.heads)

    def slow(fake, connection, headers):
        """The first question is answered after the second has come, the second after all has ended."""
        if "rfc" not in headers:
            return fake.index(headers)
        (told if asked(fake) == 1 else ended).wait(PATIENCE)
        return fake.head(200, 0)

    def later(fake, connection, headers):
        if "rfc" in headers:
            refreshed.wait(PATIENCE)
        return fake.index(headers)

    holder, other = world.holder({7: document(7)}, on_index=slow), world.holder(on_index=later)
    holder.statements[7] = Record(7, 7000, "-", 5, "5" * 64, "Another one")
    holder.join(rs)
    other.join(rs)
    a = world.peer("a", {}, rs)
    process = start_ctl("get", "7", control=a.control)
    holder.wait(lambda: asked(holder) == 1)
    assert a.ctl("refresh", holder.text).code == 0
    refreshed.set()
    holder.wait_requests("GET RFC 7 ")
    holder.wait(lambda: asked(holder) == 2)
    told.set()
    r = end_ctl(process, timeout=8)             # sooner than the second question times out
    assert not ended.is_set() and r.code == 3
    ended.set()


def test_false_hearsay_is_dropped_without_blame(world):
    """B says that C has it; C has not. Neither is blamed."""
    rs = world.rs()
    c, b = world.holder({1: document(1)}), world.holder({2: document(2)})
    b.statements[7] = Record(7, 7000, c.text, 4000, sha256(document(7)), "Hearsay")
    b.join(rs)
    c.join(rs)
    a = world.peer("a", {}, rs)
    a.get(7, code=3)
    assert a.count_log("quarantined") == 0
    a.get(1, 2)


def test_hearsay_with_another_digest_is_no_fault_of_the_holder(world):
    rs = world.rs()
    c, b = world.holder({7: document(7)}), world.holder({2: document(2)})
    b.statements[7] = Record(7, 7000, c.text, 4000, "5" * 64, "Hearsay")
    b.join(rs)
    a = world.peer("a", {}, rs)
    assert a.ctl("refresh").code == 0
    c.join(rs)
    a.get(7)
    assert a.content(7) == document(7) and a.count_log("quarantined") == 0


# ---- storing ----

def test_document_becomes_visible_only_whole(world):
    """While it comes, there is nothing in the library; when it stops, nothing is left."""
    rs = world.rs()
    sent, go_on = threading.Event(), threading.Event()
    content = document(7, 3000000)

    def half(fake, connection, number):
        whole = fake.document(number)
        connection.sendall(whole[:2000000])
        sent.set()
        go_on.wait(PATIENCE)
        connection.sendall(whole[2000000:])

    b = world.holder({7: content}, on_get=half)
    b.join(rs)
    a = world.peer("a", {}, rs)
    with Varlink(a.control) as v:
        v.send("org.p2pdi.Peer.Get", {"numbers": [7]}, more=True)
        while v.reply()["parameters"]["download"]["state"] != "fetching":
            pass
        sent.wait(PATIENCE)
        assert [n for n in a.stored() if not n.startswith(".")] == []
        assert a.index(**{"If-Generation": "0.0"})[1] == []
        with a.connect() as w:
            assert w.ask("GET RFC 7").status == 404
        go_on.set()
        while True:
            download = v.reply()["parameters"]["download"]
            if download["state"] == "done":
                break
    assert download["result"] == "ok" and a.content(7) == content


def test_peer_that_is_killed_while_it_fetches(world):
    rs = world.rs()
    go_on = threading.Event()

    def half(fake, connection, number):
        connection.sendall(fake.document(number)[:500000])
        go_on.wait(PATIENCE)

    b = world.holder({7: document(7, 1000000)}, on_get=half)
    b.join(rs)
    a = world.peer("a", {}, rs)
    process = start_ctl("get", "7", control=a.control)
    b.wait_requests("GET RFC 7 ")
    a.kill()
    assert end_ctl(process).code == 1
    go_on.set()
    b.on_get = None
    a.start()
    a.wait_scanned(0)
    assert a.stored() == []
    a.wait_registered()
    a.get(7)


def test_peer_that_is_stopped_while_it_fetches(world):
    rs = world.rs()
    go_on = threading.Event()

    def half(fake, connection, number):
        connection.sendall(fake.document(number)[:500000])
        go_on.wait(PATIENCE)

    b = world.holder({7: document(7, 1000000)}, on_get=half)
    b.join(rs)
    a = world.peer("a", {}, rs)
    process = start_ctl("get", "7", control=a.control)
    b.wait_requests("GET RFC 7 ")
    a.stop()
    go_on.set()
    assert end_ctl(process).code == 1 and a.stored() == []


def test_document_bigger_than_is_taken(world):
    rs = world.rs()
    b = world.holder({7: document(7, 5000), 8: document(8, 5000)})
    b.join(rs)
    a = world.peer("a", {}, rs, ini={"Store.MaxFileSize": "4K"})
    assert a.ctl("get", "7").code == 3 and a.stored() == []
    assert a.count_log("quarantined") == 0
    # The limit is that of the last reload.
    a.write_config({"Store.MaxFileSize": 5000})
    a.reload()
    a.get(7)
    a.write_config({"Store.MaxFileSize": 4999})
    a.reload()
    a.get(8, code=3)
    assert a.stored() == ["rfc7.txt"]


def test_who_asked_hangs_up_in_the_middle(world):
    """The document comes all the same; and who asks for it meanwhile is told."""
    rs = world.rs()
    go_on = threading.Event()

    def half(fake, connection, number):
        whole = fake.document(number)
        connection.sendall(whole[:500000])
        go_on.wait(PATIENCE)
        connection.sendall(whole[500000:])

    b = world.holder({7: document(7, 1000000), 8: document(8)}, on_get=half)
    b.join(rs)
    a = world.peer("a", {}, rs)
    with a.varlink() as v:
        v.send("org.p2pdi.Peer.Get", {"numbers": [7]}, more=True)
        while v.reply()["parameters"]["download"]["state"] != "fetching":
            pass
    with a.varlink() as v:
        v.send("org.p2pdi.Peer.Get", {"numbers": [7]}, more=True)
        while v.reply()["parameters"]["download"]["state"] != "fetching":
            pass
        go_on.set()
        while True:
            reply = v.reply()
            if not reply.get("continues"):
                break
    assert reply["parameters"]["download"]["result"] == "ok" and a.content(7) == document(7, 1000000)
    b.on_get = None
    a.get(8)
    assert b.count("GET RFC 7 ") == 1


# ---- many ----

def test_sixty_documents_move(world):
    rs = world.rs()
    documents = {100 + i: document(100 + i, size) for i, size in enumerate(SIXTY_SIZES)}
    documents[150] = b"\xef\xbb\xbf" + b"\0\r\n" * 1000 + b"\xe9 no end of line"
    b = world.peer("b", documents, rs)
    a = world.peer("a", {}, rs)
    r = a.get("100-159")
    assert r.text == "".join(a.path(n) + "\n" for n in sorted(documents))
    assert {n: sha256(a.content(n)) for n in documents} == {n: sha256(c) for n, c in documents.items()}
    assert a.stored() == b.stored()
    # Those that are looked up at the same time are asked for together, the others one by one as their turn comes: how many
    # requests that makes is a matter of time. No number is asked for twice.
    ranges = re.findall(r"received from \S+: GET RFC-Index .*\| RFC: (\S+)", b.log())
    bounds = [[int(n) for n in r.split("-")] for part in ranges for r in part.split(",")]
    assert sorted(n for r in bounds for n in range(r[0], r[-1] + 1)) == sorted(documents)
    assert len(ranges) < len(documents)


def test_real_documents_move(world):
    """Those of P2PDI_RFCS, or of the directory where they lie beside the source."""
    directory = os.environ.get("P2PDI_RFCS") or os.path.join(SOURCE, "..", "shared", "data", "rfc60")
    if not os.path.isdir(directory):
        pytest.skip("P2PDI_RFCS names no directory of real documents")
    numbers = sorted(int(m[1]) for m in (re.fullmatch(r"rfc([1-9]\d*)\.txt", n) for n in os.listdir(directory)) if m)
    rs = world.rs()
    b = world.peer("b", ini={"Store.Path": os.path.abspath(directory)}, rs=rs, start=False)
    b.start()
    b.wait_scanned(len(numbers))
    b.wait_registered()
    a = world.peer("a", {}, rs)
    a.get(*numbers)
    for n in numbers:
        with open(os.path.join(directory, f"rfc{n}.txt"), "rb") as f:
            assert sha256(a.content(n)) == sha256(f.read())
    assert len(numbers) > 0


# ---- IPv6 ----

def test_ipv6(world):
    rs = world.rs(address="::1")
    b = world.peer("b", {7: document(7)}, rs, listen="[::1]:auto")
    a = world.peer("a", {}, rs, listen="[::1]:auto")
    assert b.text.startswith("[::1]:")
    r = a.get(7)
    assert f"({b.text})" in r.err and a.content(7) == document(7)


def test_both_families_on_one_port(world):
    """auto alone is all addresses of both families."""
    rs = world.rs(address="::")
    b = world.peer("b", {7: document(7)}, f"127.0.0.1:{rs.place.port}", listen="auto")
    a = world.peer("a", {}, f"[::1]:{rs.place.port}", listen="auto")
    assert {r["address"].rpartition(":")[0] for r in rs.json("registrations")} == {"127.0.0.1", "[::1]"}
    a.get(7)
    assert b.count_log("RFC 7 served") == 1


def test_concrete_address_is_the_source_of_ones_own_connections(world):
    rs = world.rs()
    b = world.peer("b", {7: document(7)}, rs, listen="127.0.0.3:auto")
    a = world.peer("a", {}, rs, listen="127.0.0.2:auto")
    assert sorted(r["address"] for r in rs.json("registrations")) == [a.text, b.text]
    a.get(7)
    b.wait_log(r"RFC 7 served \(get-rfc ok, 127\.0\.0\.2:")


# ---- what is logged ----

def test_one_transaction_in_all_logs(world):
    """Tool, peer, registration server, the peer that is asked, the peer that serves."""
    rs = world.rs()
    c = world.peer("c", {9: document(9)}, rs)
    b = world.peer("b", {1: document(1)}, rs)
    a = world.peer("a", {}, rs)
    download, = a.json("get", "9")
    transaction = download["transaction"]
    assert re.fullmatch(r"[0-9a-f]{16}", transaction)
    end = rf"\[{transaction}\]$"
    a.wait_log(r"RFC 9 fetched from .*" + end)
    rs.wait_log(r"was told of 2 active peers.*" + end)
    c.wait_log(r"RFC 9 served.*" + end)
    assert b.count_log(end) + c.count_log("RFC index sent.*" + end) >= 1
    # The tool may say which.
    with a.varlink() as v:
        reply = v.call("org.p2pdi.Peer.Get", {"numbers": [1], "transaction": "00000000000c0ffe"})
    assert reply["parameters"]["download"]["transaction"] == "00000000000c0ffe"
    b.wait_log(r"RFC 1 served.*\[00000000000c0ffe\]$")
    rs.wait_log(r"\[00000000000c0ffe\]$")
    # Register has one, too.
    m = rs.wait_log(r"Peer 1 registered .*(\[[0-9a-f]{16}\])$")
    c.wait_log(r"Registered at .*" + re.escape(m.group(1)) + "$")


def test_no_cookie_in_any_log(world):
    """Not at debug either, in which all heads are shown."""
    rs = world.rs({"Registration.KeepAliveSec": "1s"})
    b = world.peer("b", {7: document(7)}, rs)
    a = world.peer("a", {}, rs)
    a.get(7)
    rs.wait_log("renewed its lease", n=2)
    a.ctl("leave")
    a.ctl("join")
    rs.wait_log("came back")
    for d in (a, b):
        d.stop()
    rs.stop()
    with contextlib.closing(sqlite3.connect(os.path.join(rs.state_dir, "registry.db"))) as db:
        cookies = [str(c) for c, in db.execute("SELECT cookie FROM peers")]
    assert len(cookies) == 2
    for d in (rs, a, b):
        assert not any(c in d.log() for c in cookies)
        assert "Cookie: ***" in d.log()


def test_strings_from_outside_are_escaped(world):
    """A title that is an attack on a terminal, in all that a person may look at."""
    rs = world.rs()
    evil = "Evil \u009b2J\u202e \u2066 title"
    b = world.holder({7: document(7)})
    b.statements[7] = b.record(7, title=evil)
    registrant = b.join(rs)
    registrant.register(b.port, Host="host\u009b2J\u202e")
    a = world.peer("a", {}, rs)
    outputs = [a.ctl("refresh"), a.ctl("list", "--all"), a.ctl("where", "7"), a.ctl("peers"), a.ctl("get", "7"),
               a.ctl("list"), a.ctl("status"), a.ctl("--json=pretty", "list"), rs.ctl("registrations", rs=True),
               rs.ctl("--json=short", "registrations", rs=True)]
    for r in outputs:
        assert r.code == 0, r
        text = r.text + r.err
        assert not any(ord(c) in (0x9b, 0x1b, 0x202e, 0x2066, 0x7f) or (ord(c) < 32 and c != "\n") for c in text), r
    a.stop()
    for d in (a, rs):
        assert not any(c in d.log() for c in "\u009b\u202e\u2066\x1b")
        assert not any(c in "".join(d.notices) for c in "\u009b\u202e\u2066\x1b")
    assert json.loads(outputs[7].out)[0]["title"] == evil
