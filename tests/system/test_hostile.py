# SPDX-License-Identifier: BSD-2-Clause
"""Peers whose index lies, a hundred of them at once: memory, log and time stay bounded, and the honest answer is found."""

import contextlib
import re
import threading

from p2pdi.addresses import Place
from p2pdi.documents import document, flip, sha256
from p2pdi.fakes import FakePeer
from test_limits import memory

MIB = 1 << 20


class Victim:
    """Somewhere that nobody registered: it must not hear from anybody."""

    def __init__(self, address="127.9.9.9"):
        self.place = Place(address)
        self.listener = self.place.listen()
        self.text = self.place.text

    def count(self):
        """How many connections have come."""
        n = 0
        self.listener.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                self.listener.accept()[0].close()
                n += 1
        return n

    def close(self):
        self.listener.close()
        self.place.close()


def line(number, holder="-", ttl=7200, digest="ab" * 32, title="Title"):
    return f"{number}\t{ttl}\t{holder}\t100\t{digest}\t{title}\n"


def whole(liar, body, **headers):
    return liar.head(200, len(body), **headers) + body.encode()


# ---- how they lie: what each sends for an index ----

def false_holders(liar, _connection, _headers):
    return whole(liar, "".join(line(n, liar.victim.text) for n in range(1, 3001)))


def crowd(liar, _connection, _headers):
    """Of one number there are holders without end."""
    return whole(liar, "".join(line(7, f"127.9.9.9:{port}", digest=f"{port:064x}") for port in range(10000, 20000)))


def long_titles(liar, _connection, _headers):
    return whole(liar, "".join(line(n, title=f"{liar.port} {n} {'x' * 1000}") for n in range(1001, 3001)))


def endless(liar, connection, _headers):
    """As fast as it goes, and no end is in sight. A reader that hangs up ends it."""
    connection.sendall(liar.head(200, 1 << 40))
    n = 1
    while True:
        connection.sendall("".join(line(i, title="y" * 900) for i in range(n, n + 100)).encode())
        n += 100


def endless_line(liar, connection, _headers):
    connection.sendall(liar.head(200, 1 << 24) + b"1\t")
    while True:
        connection.sendall(b"9" * 65536)


def dribbling(liar, connection, headers):
    """Line by line, each of them right, and always fast enough not to be called slow."""
    connection.sendall(liar.head(200, 1 << 24))
    for port in range(10000, 65536):
        said = line(int(headers["rfc"]), f"127.9.9.9:{port}") if "rfc" in headers else line(port)
        connection.sendall(said.encode())
        if liar.over.wait(0.02):
            break


def out_of_order(liar, _connection, _headers):
    return whole(liar, line(8) + line(7))


def double(liar, _connection, _headers):
    return whole(liar, line(7) + line(7, digest="cd" * 32))


def no_lines(liar, _connection, _headers):
    return whole(liar, "<html>not\tan\tindex</html>\n" * 100)


def escapes(liar, _connection, _headers):
    return whole(liar, line(7, title="\x1b[2J"))


def cut_off(liar, _connection, _headers):
    return liar.head(200, 100000) + line(7).encode()


def other_digest(liar, _connection, _headers):
    return whole(liar, line(7), Generation="5.1", Index_Digest="sha-256=" + "00" * 32)


def not_asked(liar, _connection, _headers):
    return liar.head(304, Generation="5.1", Index_Digest="sha-256=" + "00" * 32)


def about_the_reader(liar, _connection, _headers):
    return whole(liar, line(7, liar.reader) + line(9, liar.reader))


def false_text(liar, _connection, headers):
    """It says that it holds RFC 7, as another text, and RFC 5000 and so on for itself alone: see false_bytes()."""
    return liar.index(headers)


def false_bytes(liar, _connection, number):
    content = liar.documents[number]
    return liar.head(200, len(content), Content_Type="text/plain", Digest=f"sha-256={sha256(content)}") + \
        flip(content, len(content) // 2)


# What a refresh says of each.
RESULTS = {
    false_holders: "ok",
    crowd: "ok",
    long_titles: "ok",
    about_the_reader: "ok",
    false_text: "ok",
    endless: "malformed",
    endless_line: "malformed",
    out_of_order: "malformed",
    double: "malformed",
    no_lines: "malformed",
    escapes: "malformed",
    other_digest: "malformed",
    not_asked: "malformed",
    cut_off: "broken",
}
# A line in the log, and no more than that.
REFUSED = [endless, endless_line, out_of_order, double, no_lines, escapes, other_digest]


def gather(world, rs, kinds, n):
    """So many liars, one of each kind in turn, each at an address of its own and registered at rs; by kind."""
    victim = world.keep(Victim())
    liars = {}
    for i in range(n):
        kind = kinds[i % len(kinds)]
        liar = world.keep(FakePeer(on_index=kind, address=f"127.7.{i}.1"))
        liar.victim, liar.reader, liar.over = victim, "127.0.0.1:1", threading.Event()
        if kind is false_text:
            liar.documents = {7: document(7, seed=100 + i), 5000 + i: document(5000 + i)}
            liar.on_get = false_bytes
        liar.join(rs)
        liars.setdefault(kind, []).append(liar)
    return liars, victim


def honest(world, rs):
    """RFC 7 is held by two, each with a prefix of its own, so that it is agreed."""
    for i in (2, 3):
        world.keep(FakePeer({7: document(7)}, address=f"127.0.0.{i}")).join(rs)


def refused(peer):
    """Whose index the log says was refused, line by line."""
    return re.findall(r"Index refused: .*?, ([0-9.]+:\d+)[,)]", peer.log())


def test_a_hundred_liars_at_once(world):
    rs = world.rs()
    honest(world, rs)
    liars, victim = gather(world, rs, list(RESULTS), 100)
    a = world.peer("a", {}, rs, ini={"Index.PullIntervalSec": "infinity"})
    for liar in liars[about_the_reader]:
        liar.reader = a.text
    before = memory(a)
    results = {r["peer"]: r["result"] for r in a.json("refresh") if "peer" in r}
    for kind, of_kind in liars.items():
        assert {results[liar.text] for liar in of_kind} == {RESULTS[kind]}, (kind, results)

    # Who is refused has one line; beyond ten they are counted.
    named = refused(a)
    assert len(named) == len(set(named)) >= 10
    assert set(named) <= {liar.text for kind in REFUSED for liar in liars[kind]}

    # The honest answer is still found, and in the end nobody is called of whom only liars tell.
    a.get(7)
    assert a.content(7) == document(7)
    assert a.ctl("get", "50").code == 3
    assert victim.count() == 0
    grown = memory(a) - before
    print(f"{grown / MIB:.1f} MiB for 100 liars")
    assert grown < 128 * MIB

    # Other bytes than their digest says are a fault; whose they are is left alone.
    still = {p["address"] for p in a.json("peers") if p["state"] == "active"}
    liar = next(liar for liar in liars[false_text] if liar.text in still)
    number = max(liar.documents)
    assert a.ctl("get", str(number)).code == 7
    a.wait_log(rf"{re.escape(liar.text)} is quarantined for ")
    assert [p["state"] for p in a.json("peers") if p["address"] == liar.text] == ["quarantined"]
    assert a.stored() == ["rfc7.txt"]


def test_who_answers_without_end_holds_nobody_up(world):
    rs = world.rs()
    honest(world, rs)
    liars, _ = gather(world, rs, [dribbling, endless], 40)
    a = world.peer("a", {}, rs, ini={"Index.PullIntervalSec": "infinity"})
    a.get(7)
    assert a.content(7) == document(7)
    for of_kind in liars.values():
        for liar in of_kind:
            liar.over.set()


def test_nobody_is_sent_to_a_stranger(world):
    """By an index that names 10,000 holders, all at an address that is registered nowhere."""
    rs = world.rs()
    victim = world.keep(Victim())
    liar = world.keep(FakePeer(address="127.7.0.1"))
    liar.join(rs)
    said = "".join(line(n, victim.text) for n in range(1, 10001))
    liar.on_index = lambda fake, _connection, headers: whole(
        fake, line(int(headers["rfc"]), victim.text) if "rfc" in headers else said)
    a = world.peer("a", {}, rs)
    assert [r["added"] for r in a.json("refresh") if "added" in r] == [10000]
    assert a.ctl("get", *(str(n) for n in range(1, 101))).code == 3
    # It knows of him, and tells so; but it has never called.
    assert [h["holder"] for h in a.json("where", "5")] == [victim.text]
    assert victim.count() == 0
