# SPDX-License-Identifier: BSD-2-Clause
"""What is answered was flushed before: a kill leaves all to the kernel, which loses nothing; a power cut does. So the
calls are looked at: between the last write to a file and the answer that speaks of it stands the flush of that file,
and between its new name and the answer the flush of the directory.
"""

import re

import pytest

from killing import Killer
from p2pdi.documents import document, sha256
from p2pdi.varlink import sealed

FLUSHES = ("fsync", "fdatasync", "syncfs")


def rounds(calls):
    """The calls before each answer, but after the one before."""
    found, last = [], 0
    for i, call in enumerate(calls):
        if call[0] == "answer":
            found.append(calls[last:i])
            last = i + 1
    return found


def position(calls, names, target, after=-1):
    """Of the first such call that went well; None: there is none."""
    return next((i for i, (name, t, _, result) in enumerate(calls)
                 if i > after and name in names and result >= 0 and re.search(target, t)), None)


def last_position(calls, names, target):
    found = [i for i, (name, t, _, _) in enumerate(calls) if name in names and re.search(target, t)]
    return found[-1] if found else None


def assert_written_and_flushed(calls, target):
    written = last_position(calls, ("write", "pwrite", "pwrite64"), target)
    assert written is not None, f"nothing is written to {target}: {calls}"
    flushed = position(calls, FLUSHES, target, written)
    assert flushed is not None, f"{target} is written and not flushed: {calls}"
    return flushed


def assert_stored(calls, peer, numbers):
    """Bytes, then the name, then the answer, with a flush between each two. One thread does all of that."""
    directory = re.escape(peer.library)
    for n in numbers:
        named = position(calls, ("linkat", "renameat2"), rf"{directory}/rfc{n}\.txt$")
        assert named is not None, f"RFC {n} gets no name before the answer: {calls}"
        written = last_position(calls[:named], ("write",), rf"{directory}/")
        assert position(calls[:named], FLUSHES, directory, written) is not None, f"RFC {n} is not flushed: {calls}"
        assert position(calls, ("fsync",), rf"{directory}$", named) is not None, f"the name of RFC {n} is not flushed: {calls}"


def test_register_and_leave(world):
    killer = Killer(world, "rs")
    rs = world.rs(start=False)
    rs.environment = killer.environment("P2P-DI/1.0 200")
    rs.start()
    with rs.registrant() as a, rs.registrant() as b:
        a.register(1)
        b.register(2)
        a.register(3)
        assert b.leave().status == 200
    rs.stop()
    found = rounds(killer.calls())
    assert len(found) == 4
    for calls in found:
        assert_written_and_flushed(calls, r"/registry\.db-wal$")


def test_a_cookie(world):
    """It is on disk before the peer calls itself registered."""
    killer = Killer(world, "a")
    peer = world.peer("a", {}, world.rs(), start=False)
    peer.environment = killer.environment("registered at 1 of 1")
    peer.start()
    peer.wait_registered()
    peer.stop()
    assert_written_and_flushed(rounds(killer.calls())[0], r"/state\.db-wal$")


@pytest.fixture
def watched(world):
    """(killer, peer) of one who holds nothing; another one holds ten."""
    rs = world.rs()
    world.peer("b", {n: document(n) for n in range(1, 11)}, rs)
    peer = world.peer("a", {}, rs, start=False)

    def start(answer):
        killer = Killer(world, "a")
        peer.environment = killer.environment(answer)
        peer.start()
        peer.wait_registered()
        return killer, peer
    return start


@pytest.mark.parametrize("numbers", [[7], [1, 2, 3, 4, 5]])
def test_a_download(watched, numbers):
    killer, peer = watched('"result":"ok"')
    with peer.varlink() as v:
        done = [r for r in v.call_more("org.p2pdi.Peer.Get", {"numbers": numbers}) if "result" in r["parameters"]["download"]]
    assert len(done) == len(numbers)
    peer.stop()
    # Those that come together are brought to disk together, and answered after that.
    calls = killer.calls()
    answers = [i for i, call in enumerate(calls) if call[0] == "answer"]
    assert_stored(calls[:answers[0] if len(numbers) == 1 else answers[-1]], peer, numbers)


def test_an_import(watched):
    killer, peer = watched('"imported"')
    documents = [document(n) for n in range(1, 9)]
    files = [{"number": n, "size": len(c), "sha256": sha256(c)} for n, c in enumerate(documents, 1)]
    with peer.varlink() as v:
        v.send("org.p2pdi.Peer.Import", {"files": files}, sealed(b"".join(documents)))
        assert all(i["result"] == "ok" for i in v.reply()["parameters"]["imported"])
    peer.stop()
    assert_stored(rounds(killer.calls())[0], peer, range(1, 9))


def test_a_repair(watched):
    killer, peer = watched('"result":"ok"')
    assert peer.ctl("get", "7").code == 0
    peer.rot(7)
    n = len(rounds(killer.calls()))
    with peer.varlink() as v:
        replies = list(v.call_more("org.p2pdi.Peer.Repair"))
    assert replies[-1]["parameters"]["download"]["result"] == "ok" and peer.content(7) == document(7)
    peer.stop()
    assert_stored(rounds(killer.calls())[n], peer, [7])
