# SPDX-License-Identifier: BSD-2-Clause
"""What is in the logs of a transaction: its id, how long it took, how it ended; and that each end has its line."""

import re
import socket
import struct

import pytest

from p2pdi.documents import document
from p2pdi.wire import request

TRANSACTION = "00000000000c0ffe"
DURATION = r"(\d+us|\d+ms|\d+\.\ds)"


def line(text, operation, result, transaction=TRANSACTION):
    """The end of a line: how a transaction went, how long it took, which one it was."""
    return rf"^p2pdi-\w+: {text} \({operation} {result}, (.*, )?{DURATION}\) \[{transaction}\]$"


def id_of(match):
    return re.search(r"\[([0-9a-f]{16})\]$", match.string).group(1)


# ---- the registration server ----

def test_each_request_to_the_registration_server(world):
    rs = world.rs()
    with rs.registrant() as r, rs.registrant() as other:
        other.register(78)
        r.register(77, Transaction="0000000000000001")
        rs.wait_log(line("Peer 2 registered at 127.0.0.1:77", "register", "ok", "0000000000000001"))
        r.register(77, Transaction="0000000000000002")
        rs.wait_log(line("Peer 2 came back at 127.0.0.1:77", "register", "ok", "0000000000000002"))
        for asked, operation, said in (("POST KeepAlive", "keepalive", "Peer 2 renewed its lease"),
                                       ("GET PQuery", "list-peers", "Peer 2 was told of 1 active peer"),
                                       ("POST Leave", "leave", "Peer 2 left"),
                                       ("POST Leave", "leave", "Peer 2 left, and was not active")):
            after = rs.mark()
            assert r.wire.ask(asked, {"Cookie": r.cookie, "Transaction": TRANSACTION}).status == 200
            rs.wait_log(line(said, operation, "ok"), after)


def test_each_refusal_of_the_registration_server(world):
    rs = world.rs({"Registration.MaxPeers": 2, "Registration.MaxPeersPerSource": 1})
    with rs.registrant() as first, rs.registrant("127.0.0.2") as second, rs.registrant("127.0.0.3") as w:
        first.register(77)
        for asked, operation in (("POST Register", "register"), ("POST KeepAlive", "keepalive"),
                                 ("GET PQuery", "list-peers"), ("POST Leave", "leave")):
            headers = {"Port": 5, "Cookie": 5, "Transaction": TRANSACTION}
            assert w.wire.ask(asked, headers).status == 401
            rs.wait_log(line(f"{operation} refused with 401: .*", operation, "refused"))
        assert first.wire.ask("POST Register", {"Port": 78, "Transaction": TRANSACTION}).status == 429
        rs.wait_log(line("register refused with 429: .*", "register", "refused"))
        second.register(77)
        assert w.wire.ask("POST Register", {"Port": 78, "Transaction": TRANSACTION}).status == 503
        rs.wait_log(line("register refused with 503: .*", "register", "refused"))


# ---- the peer ----

def test_both_ends_of_a_registration(world):
    """Register, KeepAlive and Leave of a peer, in its log and in the server's under the same id."""
    rs = world.rs({"Registration.KeepAliveSec": "1s"})
    a = world.peer("a", {}, rs)
    server = re.escape(rs.text)
    end = "([0-9a-f]{16})"
    both = [(line(f"Registered at {server} as peer 1, address 127.0.0.1", "register", "ok", end),
             "Peer 1 registered at .*", "register"),
            (line(f"Lease at {server} renewed", "keepalive", "ok", end), "Peer 1 renewed its lease", "keepalive"),
            (line(f"Left {server}", "leave", "ok", end), "Peer 1 left", "leave")]
    for here, there, operation in both:
        if operation == "leave":
            assert a.ctl("leave").code == 0
        rs.wait_log(line(there, operation, "ok", id_of(a.wait_log(here))))


def test_what_a_registration_server_refuses_a_peer(world):
    answers = {"Register": 503, "PQuery": 503}

    def refuses(fake, asked, headers):
        status = answers.get(asked.split()[1])
        return fake.head(status) if status else None

    server = world.server(on_request=refuses)
    a = world.peer("a", ini={"Registration.Server": server.text}, start=False).start()
    there = re.escape(server.text)
    m = a.wait_log(line(f"Registration server {there} refuses: 503 .*", "register", "refused", "([0-9a-f]{16})"))
    assert server.heads[0][1]["transaction"] == id_of(m)
    del answers["Register"]
    a.wait_registered()
    a.get(7, code=6)
    asked = [h["transaction"] for head, h in server.heads if "PQuery" in head]
    assert len(asked) == 1
    a.wait_log(line("The registration server did not list its peers: refused", "list-peers", "refused", asked[0]))
    # A cookie that it does not know any more: what follows is a Register, and no warning.
    answers["Leave"] = 401
    assert a.ctl("leave").code == 0
    server.wait_requests("Leave")
    leave = next(h["transaction"] for head, h in server.heads if "Leave" in head)
    a.wait_log(rf"\(leave .*{DURATION}\) \[{leave}\]$")


def test_list_of_peers(world):
    rs = world.rs()
    world.peer("b", {7: document(7)}, rs)
    a = world.peer("a", {}, rs)
    download, = a.json("get", "7")
    transaction = download["transaction"]
    a.wait_log(line("The registration server lists 1 active peer", "list-peers", "ok", transaction))
    rs.wait_log(line("Peer 2 was told of 1 active peer", "list-peers", "ok", transaction))


def test_document_that_is_in_the_library(world):
    a = world.peer("a", {7: document(7)})
    download, = a.json("get", "7")
    a.wait_log(line("RFC 7 is in the library", "get-rfc", "ok", download["transaction"]))


def test_what_a_peer_serves_and_does_not(world):
    a = world.peer("a", {7: document(7)})
    with a.connect() as w:
        reply = w.ask("GET RFC-Index", {"If-Generation": "0.0", "Transaction": "0000000000000001"})
        w.ask("GET RFC-Index", {"If-Generation": reply["Generation"], "Transaction": "0000000000000002"})
        w.ask("GET RFC 7", {"Transaction": "0000000000000003"})
        w.ask("GET RFC 8", {"Transaction": "0000000000000004"})
    a.wait_log(line("RFC index sent: 200, .*", "get-index", "ok", "0000000000000001"))
    a.wait_log(line("RFC index sent: 304, .*", "get-index", "unchanged", "0000000000000002"))
    a.wait_log(line("RFC 7 served", "get-rfc", "ok", "0000000000000003"))
    a.wait_log(line("RFC 8 was asked for: it is not held", "get-rfc", "not-held", "0000000000000004"))


# ---- connections ----

def reset(wire):
    wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    wire.close()


@pytest.mark.parametrize("how", ["closed", "reset"])
@pytest.mark.parametrize("daemon", ["rsd", "peerd"])
def test_connection_that_ends_in_the_middle_of_a_request(world, daemon, how):
    d = world.rs() if daemon == "rsd" else world.peer("peer")
    with d.connect() as w:
        here = w.socket.getsockname()
        assert w.ask("GET Nothing").status == 404       # it was taken
        w.send(b"GET RFC")
        if how == "reset":
            reset(w)
    d.wait_log(rf"A connection ended in the middle of a request or of its answer \(broken, {here[0]}:{here[1]}\)$")


@pytest.mark.parametrize("daemon", ["rsd", "peerd"])
def test_connection_that_just_ends_has_no_line(world, daemon):
    d = world.rs() if daemon == "rsd" else world.peer("peer")
    with d.connect() as w:
        assert w.ask("GET Nothing").status == 404
    with d.connect() as w:
        assert w.ask("GET Nothing", {"Transaction": TRANSACTION}).status == 404
    d.stop()
    assert d.count_log("A connection ended") == 0


def test_document_that_is_not_taken_whole(world):
    """One line, and not another one of the connection."""
    a = world.peer("a", {7: document(7, 30 << 20)})
    with a.connect() as w:
        here = w.socket.getsockname()
        w.send(request("GET RFC 7", {"Transaction": TRANSACTION}))
        w.receive()
        reset(w)
    a.wait_log(line("RFC 7 was not taken whole", "get-rfc", rf"broken, {here[0]}:{here[1]}, \d+ bytes"))
    a.stop()
    assert a.count_log("A connection ended") == 0
