# SPDX-License-Identifier: BSD-2-Clause
"""Connections that are reset, at each stage and from each side: nobody ends, hangs, or keeps anything of it."""

import contextlib
import json
import os
import socket
import struct

import pytest

from p2pdi.base import until
from p2pdi.documents import document
from p2pdi.fakes import FakeServer
from p2pdi.wire import Wire, request

BIG = document(7, 3000000)


def reset(s):
    """Its end is a reset, whatever was sent or not read."""
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.close()


def descriptors(daemon):
    return len(os.listdir(f"/proc/{daemon.pid}/fd"))


# ---- clients ----

def read_head(w):
    while b"\r\n\r\n" not in w.buffer:
        w.receive()
    return w.buffer.index(b"\r\n\r\n") + 4


def read_to(n_body):
    """So many bytes of the body of the first answer; < 0: all but as many."""
    def stage(w, whole):
        w.send(whole)
        head = read_head(w)
        length = int(w.buffer[:head].lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        w.read(head + (n_body if n_body >= 0 else length + n_body))
    return stage


STAGES = {
    "connected": lambda w, whole: None,
    "first byte": lambda w, whole: w.send(whole[:1]),
    "in the head": lambda w, whole: w.send(whole[:len(whole) // 2]),
    "all but the last byte": lambda w, whole: w.send(whole[:-1]),
    "asked": lambda w, whole: w.send(whole),
    "asked and half asked": lambda w, whole: w.send(whole + whole[:5]),
    "asked three times": lambda w, whole: w.send(whole * 3),
    "head of the answer": read_to(0),
    "first byte of the body": read_to(1),
    "in the body": read_to(1000000),
    "last byte of the body": read_to(-1),
    "between two answers": lambda w, whole: read_to(len(BIG))(w, whole * 2),
}


def test_clients_reset(world):
    rs = world.rs()
    peer = world.peer("peer", {7: BIG}, ini={"Server.MaxUploadRate": "1G"})
    whole = {rs: request("POST Register", {"Port": 5, "Host": "x" * 200}), peer: request("GET RFC 7")}
    for d in (rs, peer):
        with d.connect() as w:
            assert w.ask("GET Nothing").status == 404
    before = {d: descriptors(d) for d in (rs, peer)}
    for d in (rs, peer):
        for name, stage in STAGES.items():
            if d is rs and "body" in name or d is rs and "answers" in name:
                continue                        # its answer has none
            for _ in range(3):
                w = Wire(d.endpoint)
                stage(w, whole[d])
                reset(w.socket)
    for d in (rs, peer):
        until(lambda: descriptors(d) <= before[d], f"the end of all of them at {d.name}")
        with d.connect() as w:
            assert w.ask("GET Nothing").status == 404
    assert 'p2pdi_peer_transfers{direction="up"} 0\n' in peer.ctl("metrics").text
    # A Register that was read whole counts, whatever became of who sent it; and no other.
    assert {r["host"] for r in rs.json("registrations", "--all")} == {"x" * 200}


# ---- holders ----

# Of an answer: (bytes of the head, bytes of the body) that come before the reset; None: all there are.
CUTS = [(0, 0), (1, 0), (40, 0), (None, 0), (None, 1), (None, 20000), (None, -1), (None, None)]


def cut_answer(connection, answer, cut):
    head = answer.index(b"\r\n\r\n") + 4
    n_head, n_body = cut
    n = n_head if n_head is not None else head + (len(answer) - head if n_body is None else n_body % (len(answer) - head))
    connection.sendall(answer[:n])
    reset(connection)


def test_holder_resets(world):
    """Another one has them, too. Nothing of what came is kept."""
    documents = {n: document(n, 40000) for n in range(1, 1 + len(CUTS))}
    bad = world.holder(documents, address="127.0.0.2",
                       on_get=lambda f, c, n: cut_answer(c, f.document(n), CUTS[n - 1]))
    good = world.holder(documents, address="127.0.0.3")
    a = world.peer("a", {}, world.server([bad, good]), {"Peers.HedgeAfterSec": "infinity"})
    assert a.ctl("refresh").code == 0
    for n, content in documents.items():
        a.get(n)
        assert a.content(n) == content
    assert a.stored() == sorted(f"rfc{n}.txt" for n in documents)
    if bad.count("GET RFC ") == 0:
        pytest.skip("the other one answered faster each time, and was asked alone")


@pytest.mark.parametrize("cut", CUTS[:-1])
def test_only_holder_resets(world, cut):
    bad = world.holder({7: document(7, 40000)}, on_get=lambda f, c, n: cut_answer(c, f.document(n), cut))
    a = world.peer("a", {}, world.server([bad]), {"Peers.QuarantineSec": "100ms"})
    r = a.ctl("get", "7")
    assert r.code in (3, 6, 8), r
    assert a.stored() == []
    # A body that is short is a fault (protocol, section 4), however it ends; no answer is none.
    assert a.count_log("is quarantined") == (1 if cut[0] is None else 0)
    bad.on_get = None
    until(lambda: a.ctl("get", "7").code == 0, "the end of its quarantine")
    assert a.content(7) == document(7, 40000)


def test_index_is_reset(world):
    """All or nothing: of a part nothing is taken."""
    b = world.holder({n: document(n, 100) for n in range(1, 500)})
    a = world.peer("a", {}, world.server([b]), {"Peers.QuarantineSec": "100ms"})
    for cut in CUTS[:-1]:
        b.on_index = lambda f, c, headers, cut=cut: cut_answer(c, f.index(headers), cut)
        r = a.ctl("--json=short", "refresh")
        assert r.code == 3 and json.loads(r.out)[0]["result"] in ("refused", "broken"), (cut, r)
        assert a.json("status")["indexRecords"] == 0
    b.on_index = None
    a.ctl("refresh")
    assert a.json("status")["indexRecords"] == 499


# ---- the registration server ----

class ResettingServer(FakeServer):
    cuts = []

    def answer(self, connection, line, headers):
        answer = super().answer(connection, line, headers)
        with self.changed:
            cut = self.cuts.pop(0) if self.cuts else None
        if cut is None:
            return answer
        head = answer.index(b"\r\n\r\n") + 4
        connection.sendall(answer[:{"nothing": 0, "half": head // 2}[cut]])
        reset(connection)
        return None


@pytest.mark.parametrize("cut", ["nothing", "half"])
def test_registration_server_resets(world, cut):
    """Register, then PQuery; each is tried again, or done without."""
    b = world.holder({7: document(7)})
    server = ResettingServer([b])
    server.cuts = [cut]
    world.servers.append(server)
    a = world.peer("a", {}, server)             # registered at last, after a second or so
    assert server.count("Register") == 2
    server.cuts = [cut]
    with contextlib.suppress(AssertionError):
        a.get(7)
    a.get(7)
    assert a.content(7) == document(7)
