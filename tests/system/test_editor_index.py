# SPDX-License-Identifier: BSD-2-Clause
"""The editor's rfc-index.txt on its way through a group of peers: who takes which from whom, and what nobody takes."""

import hashlib
import os
import time

import pytest

from p2pdi.documents import document
from p2pdi.fakes import FakePeer
from p2pdi.wire import request
from test_limits import memory

TAKEN = r"The rfc-index\.txt of (\S+) is taken from (\S+) \((\w+)\): it lists (\d+) RFCs"
REFUSED = r"The rfc-index\.txt of (\S+) is not taken: it (.*?) \(get-editor-index refused"


def index(day="08/05/2026", n=100, title="Title", created=True):
    text = f"(CREATED ON: {day}.)\n\n" if created else "\n"
    return (text + "".join(f"{i} {title} {i}. A. Author. May 1999. (Format: TXT)\n\n" for i in range(1, n + 1))).encode()


def day_from_now(days):
    return time.strftime("%m/%d/%Y", time.gmtime(time.time() + days * 86400))


def put_index(peer, text):
    beside = os.path.join(peer.dir, "new-index")
    os.makedirs(peer.library, exist_ok=True)
    with open(beside, "wb") as f:
        f.write(text)
    os.rename(beside, os.path.join(peer.library, "rfc-index.txt"))


def held(peer):
    """What it gives to others; None: nothing."""
    with peer.connect() as w:
        reply = w.ask("GET RFC-Editor-Index")
        return reply.body if reply.status == 200 else None


class IndexPeer(FakePeer):
    """Holds an rfc-index.txt. answer_index() may be replaced."""

    def __init__(self, text=None, **options):
        self.text_held = text
        self.answer_index = lambda headers: self.honest(headers)
        super().__init__(**options)

    def honest(self, headers):
        text = self.text_held
        if text is None:
            return self.head(404)
        digest = f"sha-256={hashlib.sha256(text).hexdigest()}"
        if headers.get("if-digest") == digest and "range" in headers:
            return self.head(206, 1, Digest=digest, Content_Range=f"bytes {len(text) - 1}-{len(text) - 1}/{len(text)}") + text[-1:]
        return self.head(200, len(text), Digest=digest) + text

    def answer(self, connection, line, headers):
        if line == "GET RFC-Editor-Index P2P-DI/1.0":
            return self.answer_index(headers)
        return super().answer(connection, line, headers)


def alone(world, *peers, name="a", **ini):
    """A peer that knows these and no registration server, and asks only when it is told to."""
    settings = {"Peers.Static": [p.text for p in peers], "Index.PullIntervalSec": "infinity"}
    return world.peer(name, ini={**settings, **{k.replace("_", "."): v for k, v in ini.items()}})


def ask(peer):
    """One round. (refresh tells of the indexes alone: what comes of the round is in the log.)"""
    mark = peer.mark()
    peer.ctl("refresh")
    return mark


def test_it_spreads_from_peer_to_peer(world):
    """b has a's, by the timer, c that of b; and it goes on to titles and names."""
    text = index().replace(b"(Format: TXT)\n\n2 ", b"(Format: TXT) (Also BCP14)\n\n2 ")
    a = world.peer("a", {3: document(3)})
    put_index(a, text)
    a.wait_log("rfc-index.txt is read")
    b = world.peer("b", {3: document(3)}, ini={"Peers.Static": a.text, "Index.PullIntervalSec": "200ms"})
    c = alone(world, b, name="c")
    for peer, source in ((b, a), (c, b)):
        if peer is c:
            ask(c)
        m = peer.wait_log(TAKEN)
        assert m.groups() == ("2026-08-05", source.text, "single", "100")
        peer.wait_log("rfc-index.txt is read")
        assert held(peer) == text
    assert c.get("bcp14", code=3).err.startswith("BCP 14: RFC 1\n")
    mark = b.mark()
    b.ctl("get", "3")
    assert b.ctl("show", "3").text.startswith("RFC 3: Title 3\n"), b.log(mark)
    # It is there at the next start, and nothing of it is fetched again: the last byte says that it is the same.
    mark = c.mark()
    c.restart()
    c.wait_log("rfc-index.txt is read", mark)
    assert held(c) == text
    mark = ask(c)
    c.wait_log(r"P2P-DI/1\.0 206 ", mark)
    assert c.count_log(TAKEN) == 1
    # Who looks which one it is has nothing served: that was held() and, as c had none, the first lines, with which so small
    # a one comes whole, and all of it.
    b.wait_log(r"rfc-index\.txt was looked at \(get-editor-index ok, \S+, 1 bytes")
    assert b.count_log(r"rfc-index\.txt served") == b.json("status")["uploadsTotal"] == 3


def test_the_newest_is_taken_and_older_ones_are_not(world):
    old, new = index("08/05/2026"), index("08/06/2026", 101)
    p, q = world.keep(IndexPeer(old)), world.keep(IndexPeer(new, address="127.0.0.2"))
    a = alone(world, p, q)
    ask(a)
    assert a.wait_log(TAKEN).group(1) == "2026-08-06"
    assert held(a) == new
    q.text_held = index("08/04/2026")
    p.text_held = index("08/07/2026", 102)
    mark = ask(a)
    assert a.wait_log(TAKEN, mark).group(1) == "2026-08-07"
    assert held(a) == p.text_held


@pytest.mark.parametrize("text, why", [
    (index("01/01/2099"), "was made more than a day from now"),
    (index(day_from_now(3)), "was made more than a day from now"),
    (index(created=False), "does not say when it was made"),
    (index("08/06/2026", 94), "lacks more than 5 % of the entries that are known"),
    (b"(CREATED ON: 08/06/2026.)\n\nNothing of the kind.\n" * 40, "names no RFC"),
    (b"\x00\xff" * 50000, "does not say when it was made"),
], ids=["2099", "in three days", "undated", "6 % less", "empty", "rubbish"])
def test_what_is_of_no_use_is_refused_once(world, text, why):
    p = world.keep(IndexPeer(index()))
    a = alone(world, p)
    ask(a)
    a.wait_log(TAKEN)
    p.text_held = text
    mark = ask(a)
    assert a.wait_log(REFUSED, mark).groups() == (p.text, why)
    n = p.count("GET RFC-Editor-Index")
    ask(a)
    p.wait_requests("GET RFC-Editor-Index", n + 1)
    # The next one: what was begun before it is over.
    p.text_held = index("08/07/2026")
    ask(a)
    a.wait_log(TAKEN, mark)
    assert a.count_log(REFUSED) == 1 and held(a) == p.text_held
    assert a.count_log("quarantined for") == 0
    assert [f for f in os.listdir(a.state_dir) if "index" in f] == ["rfc-index.txt"]


def test_tomorrow_and_a_few_entries_less_are_taken(world):
    p = world.keep(IndexPeer(index()))
    a = alone(world, p)
    ask(a)
    a.wait_log(TAKEN)
    p.text_held = index(day_from_now(1), 95)
    mark = ask(a)
    assert a.wait_log(TAKEN, mark).group(4) == "95"


def lie_about_length(peer, size):
    digest = f"sha-256={hashlib.sha256(b'x').hexdigest()}"
    return lambda headers: peer.head(200, size, Digest=digest) + index()


def test_a_gigabyte_is_not_even_begun(world):
    p = world.keep(IndexPeer())
    p.answer_index = lie_about_length(p, 1 << 30)
    a = alone(world, p)
    mark = ask(a)
    assert a.wait_log(REFUSED, mark).group(2) == "is bigger than 64 MiB"
    assert held(a) is None and p.count("GET RFC-Editor-Index") == 1


@pytest.mark.parametrize("kind", ["other bytes", "short", "endless"])
def test_a_lie_is_a_fault_and_the_next_holder_is_asked(world, kind):
    text = index("08/06/2026")
    good = world.keep(IndexPeer(index("08/05/2026"), address="127.0.0.2"))
    bad = world.keep(IndexPeer(text))
    digest = f"sha-256={hashlib.sha256(text).hexdigest()}"
    sent = {"other bytes": text[:-1] + b"X", "short": text[:-9], "endless": text + b"X" * 100000}[kind]
    bad.answer_index = lambda headers: bad.head(200, len(text), Digest=digest) + sent
    a = alone(world, bad, good)
    mark = ask(a)
    a.wait_log(rf"{bad.text} is quarantined for", mark)
    assert a.wait_log(TAKEN, mark).groups() == ("2026-08-05", good.text, "single", "100")
    assert held(a) == good.text_held


def test_two_of_one_day_are_disputed_until_a_quorum_agrees(world):
    one, other = index(title="One"), index(title="Other")
    p, q = world.keep(IndexPeer(one)), world.keep(IndexPeer(other, address="127.0.0.2"))
    a = alone(world, p, q)
    ask(a)
    for peer in (p, q):
        peer.wait_requests("GET RFC-Editor-Index", 1)
    # Each answer was heard when the next round has begun.
    ask(a)
    for peer in (p, q):
        peer.wait_requests("GET RFC-Editor-Index", 2)
    assert held(a) is None and a.count_log(TAKEN) == 0
    # One more peer at the same address is no other word, one from elsewhere is.
    r = world.keep(IndexPeer(other, address="127.0.0.2"))
    a.write_config({"Peers.Static": [p.text, q.text, r.text]})
    a.reload()
    ask(a)
    r.wait_requests("GET RFC-Editor-Index", 1)
    assert held(a) is None
    s = world.keep(IndexPeer(other, address="127.0.0.3"))
    a.write_config({"Peers.Static": [p.text, q.text, r.text, s.text]})
    a.reload()
    mark = ask(a)
    assert a.wait_log(TAKEN, mark).group(3) == "agreed"
    assert held(a) == other


def test_nobody_can_make_anothers_look_like_of_the_future(world):
    """The digest of a good one, with other first lines: the good one is taken all the same."""
    text = index()
    good, bad = world.keep(IndexPeer(text)), world.keep(IndexPeer(address="127.0.0.2"))
    digest = f"sha-256={hashlib.sha256(text).hexdigest()}"
    bad.answer_index = lambda headers: bad.head(200, len(text), Digest=digest) + index("01/01/2099")
    a = alone(world, bad)
    mark = ask(a)
    a.wait_log(REFUSED, mark)
    a.write_config({"Peers.Static": [good.text, bad.text]})
    a.reload()
    ask(a)
    assert a.wait_log(TAKEN, mark).group(2) == good.text
    assert held(a) == text


def test_a_false_day_is_put_right(world):
    """Newer by its first lines than by all of it: it is what all of it says."""
    text = index("08/05/2026")
    p = world.keep(IndexPeer())
    digest = f"sha-256={hashlib.sha256(text).hexdigest()}"
    said = iter([index("08/09/2026")])
    p.answer_index = lambda headers: p.head(200, len(text), Digest=digest) + next(said, text)
    a = alone(world, p)
    ask(a)
    assert a.wait_log(TAKEN).group(1) == "2026-08-05"
    assert held(a) == text and p.count("GET RFC-Editor-Index") == 3


def test_accept_and_manifest_count_as_for_documents(world):
    old, new = index("08/05/2026"), index("08/06/2026")
    p, q = world.keep(IndexPeer(new)), world.keep(IndexPeer(old, address="127.0.0.2"))
    a = alone(world, p, q, Integrity_Accept="agreed")
    n = p.count("GET RFC-Editor-Index")
    for i in (1, 2):
        ask(a)
        p.wait_requests("GET RFC-Editor-Index", n + i)
    assert held(a) is None
    manifest = os.path.join(a.dir, "SHA256SUMS")
    with open(manifest, "w", encoding="ascii") as f:
        f.write(f"{hashlib.sha256(old).hexdigest()}  rfc-index.txt\n")
    a.write_config({"Integrity.Accept": "verified", "Integrity.Manifest": manifest})
    a.reload()
    a.wait_log(r"The manifest \S+ is read")        # by the disk worker, in its own time
    mark = ask(a)
    assert a.wait_log(TAKEN, mark).groups()[:3] == ("2026-08-05", q.text, "verified")
    assert held(a) == old


def test_why_none_can_be_verified_is_told_once(world):
    """The manifest names documents, and no rfc-index.txt: no peer's will ever do."""
    told = r"is not taken, nor is another: no manifest names one, and Integrity\.Accept= is verified"
    text = index()
    p, q = world.keep(IndexPeer(text)), world.keep(IndexPeer(index("08/06/2026"), address="127.0.0.2"))
    manifest = os.path.join(world.dir, "SHA256SUMS")
    with open(manifest, "w", encoding="ascii") as f:
        f.write(f"{hashlib.sha256(document(1)).hexdigest()}  rfc1.txt\n")
    a = alone(world, p, q, Integrity_Accept="verified", Integrity_Manifest=manifest)
    n = p.count("GET RFC-Editor-Index")
    for i in (1, 2):
        ask(a)
        p.wait_requests("GET RFC-Editor-Index", n + i)
    a.wait_log(told)
    # One is named, and taken; then none again.
    with open(manifest, "a", encoding="ascii") as f:
        f.write(f"{hashlib.sha256(text).hexdigest()}  rfc-index.txt\n")
    mark = a.mark()
    a.reload()
    a.wait_log(r"The manifest \S+ is read", mark)
    ask(a)
    a.wait_log(TAKEN, mark)
    assert a.count_log(told) == 1
    os.remove(manifest)
    mark = a.mark()
    a.reload()
    a.wait_log(r"The manifest \S+ does not exist", mark)
    ask(a)
    a.wait_log(told, mark)
    assert held(a) == text


def test_the_administrators_own_wins_always(world):
    old, new = index("08/01/2026", 50), index("08/05/2026")
    p = world.keep(IndexPeer(new))
    a = alone(world, p)
    ask(a)
    a.wait_log(TAKEN)
    put_index(a, old)
    a.wait_log("rfc-index.txt is read: it lists 50 RFCs")
    assert held(a) == old
    n = p.count("GET RFC-Editor-Index")
    a.json("refresh")
    assert p.count("GET RFC-Editor-Index") == n, "nothing is asked for"
    # One that is named goes before it, and is read anew at a reload.
    named = os.path.join(a.dir, "my-index")
    with open(named, "wb") as f:
        f.write(index("08/02/2026", 60))
    a.write_config({"Index.MetadataFile": named})
    a.reload()
    a.wait_log("rfc-index.txt is read: it lists 60 RFCs")
    assert a.json("status")["metadataDate"] == "2026-08-02"
    with open(named, "wb") as f:
        f.write(index("08/03/2026", 61))
    a.reload()
    a.wait_log("rfc-index.txt is read: it lists 61 RFCs")
    # Without both the one that was fetched is there still.
    a.write_config({"Index.MetadataFile": None})
    a.reload()
    a.wait_log("rfc-index.txt is read: it lists 50 RFCs", n=2)
    mark = a.mark()
    os.remove(os.path.join(a.library, "rfc-index.txt"))
    a.wait_log("rfc-index.txt is read: it lists 100 RFCs", mark)
    assert held(a) == new


def test_status_tells_its_day(world):
    a = world.peer("a")
    assert "metadataDate" not in a.json("status") and "metadata of" not in a.ctl("status").text
    put_index(a, index())
    a.wait_log("rfc-index.txt is read")
    status = a.json("status")
    assert (status["metadataDate"], status["metadataEntries"], status["metadataSource"]) == ("2026-08-05", 100, "local")
    assert ", metadata of 2026-08-05" in a.ctl("status").text


def test_whoever_hangs_up_after_the_first_lines_was_not_failed(world):
    """Peers do so, to know of which day it is. (More than any socket buffer, so that it is never on its way whole.)"""
    a = world.peer("a")
    put_index(a, index() + (b" " * 70 + b"\n") * 120000)
    a.wait_log("rfc-index.txt is read")
    with a.connect() as w:
        w.send(request("GET RFC-Editor-Index"))
        assert w.socket.recv(12) == b"P2P-DI/1.0 2"
    a.wait_log(r"rfc-index\.txt was looked at \(get-editor-index ok, ")
    assert " 0 failed)" in a.ctl("status").text


@pytest.mark.parametrize("named", [False, True], ids=["in the library", "named"])
def test_a_gigabyte_of_ones_own_is_not_read(world, named):
    """One line says so, and what was fetched from others serves, as if there were none."""
    p = world.keep(IndexPeer(index()))
    a = alone(world, p)
    ask(a)
    a.wait_log(TAKEN)
    before = memory(a)
    big = os.path.join(a.dir, "big")
    with open(big, "wb") as f:
        f.write(index(n=50))
        f.truncate(1 << 30)
    mark = a.mark()
    if named:
        a.write_config({"Index.MetadataFile": big})
        a.reload()
    else:
        os.rename(big, os.path.join(a.library, "rfc-index.txt"))
    a.wait_log(rf"{big if named else 'rfc-index.txt'} is left out of the library: it is bigger than 64 MiB\.", mark)
    assert held(a) == p.text_held and a.json("status")["metadataEntries"] == 100
    assert memory(a) < before + (32 << 20)
    a.reload()
    assert a.json("status")["metadataEntries"] == 100 and a.count_log("is left out", mark) == 1


def test_one_of_ones_own_may_be_of_any_day(world):
    """The administrator knows best, be it of 2099; from others nobody takes it."""
    a = world.peer("a")
    put_index(a, index("01/01/2099"))
    a.wait_log("rfc-index.txt is read")
    assert a.json("status")["metadataDate"] == "2099-01-01"
    b = alone(world, a, name="b")
    mark = ask(b)
    assert b.wait_log(REFUSED, mark).group(2) == "was made more than a day from now"
