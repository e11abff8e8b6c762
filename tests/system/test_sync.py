# SPDX-License-Identifier: BSD-2-Clause
"""Replication: Peer.Sync and the verb sync, what is taken and what is not, and Store.MinReplicas=."""

import json
import os

import pytest

from p2pdi.base import PATIENCE, sanitizer, until
from p2pdi.documents import document, sha256
from p2pdi.fakes import FakePeer
from p2pdi.tool import Terminal, end_ctl, start_ctl
from p2pdi.varlink import Varlink
from test_limits import memory
from test_reuse import KeepingPeer


def issued(*numbers):
    """An rfc-index.txt that has these."""
    entries = "".join(f"{n} Title of {n}. A. Author. June 2014. (Format: TXT) (Status: INFORMATIONAL)\n\n" for n in numbers)
    return f"RFC INDEX\n---------\n\n{entries}"


def put_index(peer, *numbers):
    beside = os.path.join(peer.dir, "new-index")
    with open(beside, "w", encoding="utf-8") as f:
        f.write(issued(*numbers))
    mark = peer.mark()
    os.rename(beside, os.path.join(peer.library, "rfc-index.txt"))
    peer.wait_log(r"rfc-index\.txt is read: it lists \d+ RFC", after=mark)


def held(peer):
    return sorted(int(name[3:-4]) for name in peer.stored() if name.startswith("rfc") and name[3].isdigit())


def assert_whole(peer, size=4000):
    for number in held(peer):
        assert peer.content(number) == document(number, size), number
    assert not [name for name in peer.stored() if name.startswith(".")]


def sync(peer, *arguments, code=0):
    """How it ended."""
    r = peer.ctl("sync", "--json=short", *arguments)
    assert r.code == code, f"{r}\n{peer.log()}"
    return json.loads(r.out)


def skipped(answer):
    return {s["reason"]: s["documents"] for s in answer["skipped"]}


def failed(answer):
    return {f["result"]: f["documents"] for f in answer["failed"]}


@pytest.fixture
def rs(world):
    return world.rs()


def test_uneven_libraries_become_even(world, rs):
    a = world.peer("a", {n: document(n) for n in range(1, 11)}, rs, listen="127.0.0.2:auto")
    b = world.peer("b", {n: document(n) for n in range(5, 31)}, rs, listen="127.0.0.3:auto")
    c = world.peer("c", {n: document(n) for n in range(25, 51)}, rs, listen="127.0.0.4:auto")
    for peer in (a, b, c):
        put_index(peer, *range(1, 51))
    rs.wait_active(3)

    answer = sync(a, "--dry-run")
    assert answer["state"] == "done" and answer["documents"] == 40 and answer["bytes"] == 40 * 4000
    assert answer["documentsFetched"] == 0 and held(a) == list(range(1, 11))

    mark = a.mark()
    answer = sync(a)
    assert (answer["documentsFetched"], answer["bytesFetched"], answer["documentsFailed"]) == (40, 40 * 4000, 0), answer
    assert answer["peers"] == 2 and answer["peersFailed"] == 0 and failed(answer) == {}
    assert held(a) == list(range(1, 51))
    assert_whole(a)
    a.wait_log(r"Sync finished: 40 documents fetched, 0 failed, 0 skipped \(sync ok, 160000 bytes", after=mark)
    a.wait_log(rf"User {os.getuid()} called org\.p2pdi\.Peer\.Sync \(org\.p2pdi\.Peer\.Sync ok\)", after=mark)
    # Many at once over connections that stay open, rarest first: what b and c both hold comes last.
    fetched = [int(line.split()[2]) for line in a.log(mark).split("\n") if " fetched from " in line]
    assert len(fetched) == 40 and not set(fetched[:8]) & set(range(25, 31))

    # Nothing has changed: nothing moves.
    mark = a.mark()
    answer = sync(a)
    assert answer["documents"] == answer["documentsFetched"] == 0 and skipped(answer) == {"held": 50}
    assert a.count_log("fetched from", mark) == 0

    # And the other way round; a part of it first.
    answer = sync(b, "1-2", "50")
    assert answer["documentsFetched"] == 3 and held(b) == [1, 2, *range(5, 31), 50]
    assert sync(b)["documentsFetched"] == 50 - 29 and held(b) == list(range(1, 51))
    # What has come meanwhile, and no more.
    c.put(77, document(77))
    put_index(b, *range(1, 51), 77)
    until(lambda: sync(b)["documentsFetched"] == 1, "the new document")
    assert_whole(b)


def test_many_holders_at_once_on_connections_that_stay(world, rs):
    """Of 300 documents that three hold, each gives some, a few at a time, on as many connections."""
    documents = {n: document(n, 500) for n in range(1, 301)}
    holders = [world.keep(KeepingPeer(documents, address=f"127.0.0.{i}")) for i in (3, 4, 5)]
    for holder in holders:
        holder.join(rs)
    a = world.peer("a", {}, rs, listen="127.0.0.2:auto")
    put_index(a, *documents)
    rs.wait_active(4)
    assert sync(a)["documentsFetched"] == 300
    for holder in holders:
        n = holder.count(r"GET RFC \d+ ")
        assert n >= 30 and holder.connections < n / 2, (n, holder.connections)


def test_memory_of_a_sync_goes_back(world, rs):
    """What hundreds of documents on their way needed is not kept for the next one."""
    if sanitizer():
        pytest.skip("a sanitizer keeps what was freed, or notes who read it")
    b = world.peer("b", {n: document(n, 64000) for n in range(1, 301)}, rs)
    a = world.peer("a", {}, rs)
    put_index(a, *range(1, 301))
    b.wait_scanned(300)
    rs.wait_active(2)
    before = memory(a)
    assert sync(a)["documentsFetched"] == 300
    # Measured: 2 MB more than before; 14 MB where the C library keeps it.
    until(lambda: memory(a) - before < 8 << 20, "the memory")


def test_table_and_legend(world, rs):
    world.peer("b", {7: document(7), 8: document(8)}, rs)
    a = world.peer("a", {}, rs)
    rs.wait_active(2)
    put_index(a, 7)
    r = a.ctl("sync", "--dry-run")
    assert r.code == 0 and r.text == ("WHAT     RFCS SIZE WHY\n"
                                      "to fetch    1 3.9K -\n"
                                      "skipped     1 3.9K neither in the RFC index nor agreed by enough peers\n\n"
                                      "1 peer asked, nothing fetched: this is a dry run.\n"), r.text
    r = a.ctl("sync", "--no-legend")
    assert r.code == 0 and r.text.split("\n")[0].split() == ["fetched", "1", "3.9K", "-"]
    r = a.ctl("sync", "-q")
    assert (r.code, r.out, r.err) == (0, b"", "")


def test_what_a_liar_makes_up_is_not_fetched(world, rs):
    """60,000 documents of 64 MiB, and what peers do not agree on, and what is known by hearsay only."""
    liar = world.keep(FakePeer(address="127.0.0.3"))
    lines = "".join(f"{n}\t7200\t-\t{64 << 20}\t{n:064x}\tRFC {n}\n" for n in range(100001, 160001))
    covered = "".join(f"{n}\t{64 << 20}\t{n:064x}\tRFC {n}\n" for n in range(100001, 160001))

    def on_index(fake, _connection, headers):
        if "rfc" in headers:
            return fake.index(headers)
        own = "" if "if-generation" in headers else f"8\t7200\t192.0.2.1:9\t5\t{5:064x}\tRFC 8\n"
        body = (own + lines).encode()
        return fake.head(200, len(body), Generation="1.1", Index_Digest=f"sha-256={sha256(covered.encode())}") + body

    liar.on_index = on_index
    liar.join(rs)
    world.peer("b", {7: document(7), 9: document(9)}, rs, listen="127.0.0.4:auto")
    c = world.peer("c", {9: document(9, seed=1), 10: document(10)}, rs, listen="127.0.0.5:auto")
    a = world.peer("a", {}, rs, listen="127.0.0.6:auto")
    put_index(a, 7, 8, 9)
    rs.wait_active(4)
    answer = sync(a)
    assert held(a) == [7] and answer["documentsFetched"] == 1
    assert skipped(answer)["unknown"] == 60000 + 1 and skipped(answer)["disputed"] == 1, answer
    assert liar.count(r"GET RFC \d+") == 0
    assert c.count_log("get-rfc") == 0


def test_agreed_texts_need_no_index(world, rs):
    world.peer("b", {7: document(7), 8: document(8)}, rs, listen="127.0.0.3:auto")
    world.peer("c", {7: document(7)}, rs, listen="127.0.0.4:auto")
    # The same address: no further voice.
    world.peer("d", {8: document(8)}, rs, listen="127.0.0.3:auto")
    a = world.peer("a", {}, rs)
    rs.wait_active(4)
    answer = sync(a)
    assert held(a) == [7] and skipped(answer) == {"unknown": 1}


def test_too_large_is_left_out(world, rs):
    world.peer("b", {7: document(7, 5000), 8: document(8)}, rs)
    a = world.peer("a", {}, rs, ini={"Store.MaxFileSize": 4096})
    rs.wait_active(2)
    put_index(a, 7, 8)
    answer = sync(a)
    assert held(a) == [8] and skipped(answer) == {"too-large": 1}


def test_it_fetches_what_has_room_and_removes_nothing(world, rs):
    world.peer("b", {n: document(n) for n in range(1, 10)}, rs)
    a = world.peer("a", {7: document(7)}, rs, ini={"Store.MaxSize": 13000})
    rs.wait_active(2)
    put_index(a, *range(1, 10))
    r = a.ctl("sync")
    assert r.code == 9 and r.err == "6 RFCs do not fit into the store.\n", r
    assert 7 in held(a) and len(held(a)) == 3
    answer = sync(a, code=9)
    assert answer["documents"] == 0 and skipped(answer) == {"held": 3, "no-room": 6}


def test_killed_in_the_middle_it_goes_on(world, rs):
    world.peer("b", {n: document(n) for n in range(1, 61)}, rs)
    a = world.peer("a", {}, rs)
    rs.wait_active(2)
    put_index(a, *range(1, 61))
    caller = start_ctl("sync", "--max-rate=40K", control=a.control)
    try:
        until(lambda: 5 <= len(held(a)) < 60, "some of the documents")
        a.kill()
    finally:
        r = end_ctl(caller)
    assert r.code == 1 and "closed the connection" in r.err
    before = held(a)
    assert 5 <= len(before) < 60
    assert_whole(a)
    a.start()
    a.wait_registered()
    a.wait_log(r"rfc-index\.txt is read")
    answer = sync(a)
    assert answer["documentsFetched"] == 60 - len(before) and skipped(answer)["held"] == len(before)
    assert held(a) == list(range(1, 61))
    assert_whole(a)


def test_it_ends_when_the_caller_goes_and_there_is_one_at_a_time(world, rs):
    world.peer("b", {n: document(n) for n in range(1, 61)}, rs)
    a = world.peer("a", {}, rs)
    rs.wait_active(2)
    put_index(a, *range(1, 61))
    with Varlink(a.control) as v:
        v.send("org.p2pdi.Peer.Sync", {"maxRate": 20000}, more=True)
        states, told = [], v.reply()["parameters"]["sync"]
        while told["state"] != "fetching" or told["documentsFetched"] == 0:
            states.append(told["state"])
            told = v.reply()["parameters"]["sync"]
        assert states[0] == "planning" and told["documents"] == 60 and told["bytes"] == 240000
        r = a.ctl("sync")
        assert r.code == 1 and r.err == "A sync is under way already: p2pdi-ctl monitor shows what it fetches.\n", r
        # Whoever gets something meanwhile does not wait for all of it.
        a.get(60)
    a.wait_log("The sync ends: nobody waits for it any more")
    assert len(held(a)) < 60
    # The next one may begin at once.
    assert sync(a)["documents"] < 60 and held(a) == list(range(1, 61))


def test_holders_that_fail_are_passed_over(world, rs):
    """One refuses everything, one vanishes after it gave its index; what another one has comes from there."""
    refuses = world.keep(FakePeer({n: document(n) for n in range(1, 21)}, address="127.0.0.3"))
    refuses.on_get = lambda fake, connection, number: fake.head(503)
    refuses.join(rs)
    world.peer("b", {n: document(n) for n in range(1, 11)}, rs, listen="127.0.0.4:auto")
    a = world.peer("a", {}, rs, listen="127.0.0.5:auto")
    put_index(a, *range(1, 21))
    rs.wait_active(3)
    answer = sync(a, code=3)
    assert held(a) == list(range(1, 11)), answer
    assert answer["documentsFetched"] == 10 and failed(answer) == {"unreachable": 10}
    assert sorted(answer["failed"][0]["numbers"]) == list(range(11, 21))
    r = a.ctl("sync", "11-12")
    assert r.code == 3 and "could not be had: unreachable." in r.err and "RFC 1" in r.err, r


def test_wrong_bytes_are_exit_7(world, rs):
    liar = world.keep(FakePeer({7: document(7)}))
    liar.on_get = lambda fake, connection, number: fake.head(200, 4000, Digest=f"sha-256={sha256(document(7))}") + document(8)
    liar.join(rs)
    a = world.peer("a", {}, rs)
    put_index(a, 7)
    rs.wait_active(2)
    answer = sync(a, code=7)
    assert failed(answer) == {"integrity": 1} and held(a) == []


class PipedPeer(KeepingPeer):
    """Once, a GetRFC on a connection that it has kept open has to wait until a second one is there as well."""

    n_waited = None                     # that were there then
    closes = False                      # behind the answer to the first of them

    def read(self, connection, data, n_answered):
        data = super().read(connection, data, n_answered)
        if not data or n_answered == 0 or not data.startswith(b"GET RFC "):
            return data
        with self.changed:
            if self.n_waited is not None:
                return data
            self.n_waited = 0
        while data.count(b"\r\n\r\n") < 2:
            data += connection.recv(65536)
        with self.changed:
            self.n_waited = data.count(b"\r\n\r\n")
        if self.closes:
            self.closing = connection
        return data


@pytest.mark.parametrize("closes", [False, True])
def test_documents_are_asked_for_one_behind_the_other(world, rs, closes):
    """And what was not answered when a connection closes is asked for again: no word about it, and nobody's fault."""
    holder = world.keep(PipedPeer({n: document(n) for n in range(1, 81)}))
    holder.closes = closes
    holder.join(rs)
    a = world.peer("a", {}, rs)
    put_index(a, *range(1, 81))
    rs.wait_active(2)
    mark = a.mark()
    answer = sync(a)
    assert (answer["documentsFetched"], answer["documentsFailed"]) == (80, 0), answer
    assert held(a) == list(range(1, 81))
    assert_whole(a)
    assert 2 <= holder.n_waited <= 4
    asked = [line for line in holder.requests if line.startswith("GET RFC ")]
    assert len(asked) == len(set(asked)) == 80      # those that were answered
    log = a.log(mark)
    assert "was not fetched" not in log and "quarantine" not in log and " ended after " not in log


def test_nobody_to_ask(world, rs):
    a = world.peer("a", {}, rs)
    r = a.ctl("sync")
    assert r.code == 6 and r.err == "No peer is active.\n"
    assert sync(a, "--dry-run", code=6)["peers"] == 0


@pytest.mark.parametrize("words, says", [
    (["--max-rate=0"], "--max-rate= takes bytes per second such as 500K or 2M, at least 4K, not '0'."),
    (["--max-rate=4095"], "--max-rate= takes bytes per second such as 500K or 2M, at least 4K, not '4095'."),
    (["--max-rate=fast"], "--max-rate= takes bytes per second such as 500K or 2M, at least 4K, not 'fast'."),
])
def test_bad_options(shared, words, says):
    r = shared.peer("options").ctl("sync", *words) if not shared.daemons else shared.daemons[0].ctl("sync", *words)
    assert r.code == 2 and says in r.err


@pytest.mark.parametrize("parameters, bad", [
    ({"maxRate": 1}, "maxRate"), ({"maxRate": -1}, "maxRate"), ({"ranges": ["x"]}, "ranges"), ({"ranges": ["9-7"]}, "ranges"),
])
def test_bad_parameters(shared, parameters, bad):
    a = shared.daemons[0] if shared.daemons else shared.peer("options")
    with Varlink(a.control) as v:
        v.send("org.p2pdi.Peer.Sync", parameters, more=True)
        assert v.reply() == {"error": "org.varlink.service.InvalidParameter", "parameters": {"parameter": bad}}


def test_the_rate_is_kept(world, rs):
    """Bytes in time, whatever the machine: more than the rate allows can't have come."""
    world.peer("b", {n: document(n, 20000) for n in range(1, 6)}, rs)
    a = world.peer("a", {}, rs)
    rs.wait_active(2)
    put_index(a, *range(1, 6))
    answer = sync(a, "--max-rate=200K")
    assert answer["documentsFetched"] == 5
    # What the last piece costs is not waited for, and a tenth of a second is saved up before.
    assert answer["durationUSec"] >= (100000 - 20000) / (200 * 1024) * 1e6 - 150e3


def test_progress_on_a_terminal(world, rs):
    world.peer("b", {n: document(n, 20000) for n in range(1, 21)}, rs)
    a = world.peer("a", {}, rs)
    rs.wait_active(2)
    put_index(a, *range(1, 21))
    with Terminal("sync", "--max-rate=200K", control=a.control) as t:
        t.wait_match(r"\d+ of 20 RFCs \[=*> *\] [0-9.]+K/390\.6K [0-9.]+K/s \d+s left")
        t.type("\x03")
        t.wait_text("Interrupted; the sync ends, what is in the store stays there.")
    a.wait_log("The sync ends: nobody waits for it any more")


# ---- Store.MinReplicas= ----

def test_copies_of_a_dead_holder_are_made_up_for(world, rs):
    ini = {"Store.MinReplicas": 2, "Index.PullIntervalSec": "1s", "Index.TTLSec": "1s"}
    names = {"a": "127.0.0.2", "b": "127.0.0.3", "c": "127.0.0.4"}
    documents = {n: document(n) for n in range(1, 7)}
    peers = {name: world.peer(name, documents if name in "ab" else {}, rs, ini=ini, listen=f"{address}:auto")
             for name, address in names.items()}
    rs.wait_active(3)
    c = peers["c"]
    put_index(c, *documents)
    # Two have each: nothing is to be done.
    mark = c.mark()
    c.wait_log("Index pulled", after=mark, n=3)
    assert held(c) == []
    peers["b"].kill()
    c.wait_log(r"Copies of what too few hold: \d+ documents? fetched, 0 failed, 0 skipped \(replicate ok", timeout=PATIENCE)
    until(lambda: held(c) == list(documents), "all copies")
    assert_whole(c)
    # A file can be seen before the one who had it fetched is told.
    until(lambda: "\np2pdi_peer_replicas_total 6\n" in c.json("metrics")["text"], "all of them counted")


@pytest.mark.parametrize("replicas, code", [(1, 0), (2, 9)])
def test_copies_that_are_counted_on_make_no_room(world, rs, replicas, code):
    """Two hold each. Where one copy is enough, whose weight is lower gives his; where two are wanted, nobody does."""
    documents = {n: document(n) for n in range(1, 21)}
    world.peer("b", {**documents, 21: document(21)}, rs, listen="127.0.0.3:auto")
    a = world.peer("a", documents, rs, listen="127.0.0.2:auto",
                   ini={"Store.MaxSize": 81000, "Store.MinReplicas": replicas, "Index.PullIntervalSec": "1d"})
    rs.wait_active(2)
    assert a.ctl("refresh").code == 0
    a.get(21, code=code)
    assert len(held(a)) == 20 and (21 in held(a)) == (code == 0)
