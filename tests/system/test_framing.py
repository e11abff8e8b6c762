# SPDX-License-Identifier: BSD-2-Clause
"""Section 1 of the protocol, on both daemons. What holds for every reply (Date, Server, line ends, Content-Length, and
Connection: close with the statuses that close) is looked at wherever one is read: see Wire.reply()."""

import select
import socket

import pytest

from p2pdi.documents import document
from p2pdi.wire import VERSION, Wire, request

DAEMONS = ["rsd", "peerd"]


class Face:
    """One of the daemons with a request that it answers well."""

    def __init__(self, daemon, line, headers, unknown):
        self.daemon, self.line, self.headers, self.unknown = daemon, line, headers, unknown

    def connect(self):
        return self.daemon.connect()

    def good(self, wire, **headers):
        reply = wire.ask(self.line, {**self.headers, **headers})
        assert reply.status in (200, 204), reply
        return reply

    def request(self, **headers):
        return request(self.line, {**self.headers, **headers})


def rs_face(world, ini=None, name="rs"):
    rs = world.rs(ini, name=name)
    with rs.registrant() as r:
        r.register(1234)
        return Face(rs, "GET PQuery", {"Cookie": r.cookie}, "GET RFC-Index")


def peer_face(world, ini=None, name="peer"):
    peer = world.peer(name, {7230: document(7230)}, ini=ini)
    return Face(peer, "GET RFC-Index", {"If-Generation": "0.0"}, "POST Register")


@pytest.fixture(scope="module")
def faces(shared):
    return {"rsd": rs_face(shared), "peerd": peer_face(shared)}


@pytest.fixture(params=DAEMONS)
def face(request, faces):
    return faces[request.param]


# ---- heads that are fine ----

def test_bare_line_feed_ends_a_line(face):
    with face.connect() as w:
        assert w.ask(face.line, face.headers, end="\n").status in (200, 204)
        mixed = face.request().replace(b"\r\n", b"\n", 1)
        w.send(mixed)
        assert w.reply().status in (200, 204)


def test_header_names_are_case_blind(face):
    with face.connect() as w:
        for change in (str.lower, str.upper, str.swapcase):
            assert w.ask(face.line, {change(n): v for n, v in face.headers.items()}).status in (200, 204)


def test_blanks_around_a_value_are_not_part_of_it(face):
    with face.connect() as w:
        for blanks in ("", "   ", "\t"):
            name, value = next(iter(face.headers.items()))
            w.send(f"{face.line} {VERSION}\r\n{name}:{blanks}{value}{blanks}\r\n\r\n".encode())
            assert w.reply().status in (200, 204)


def test_unknown_headers_are_ignored(face):
    with face.connect() as w:
        unknown = [("X-Nothing", "a"), ("X-Nothing", "b"), ("Dnt", "1"), ("Accept", "\xe9")]
        w.send(request(face.line, [*face.headers.items(), *unknown]))
        assert w.reply().status in (200, 204)


def test_head_that_comes_byte_by_byte(face):
    with face.connect() as w:
        w.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in face.request():
            w.send(bytes([byte]))
        assert w.reply().status in (200, 204)


def test_pipelined_requests_are_answered_in_order(face):
    with face.connect() as w:
        ids = [f"{n:016x}" for n in range(1, 101)]
        w.send(b"".join(face.request(Transaction=t) for t in ids))
        assert [w.reply()["Transaction"] for _ in ids] == ids


def test_transaction_is_echoed_also_with_an_error(face):
    with face.connect() as w:
        some = "123456789abcdef0"
        assert face.good(w, Transaction="00c0ffee00c0ffee")["Transaction"] == "00c0ffee00c0ffee"
        assert "Transaction" not in face.good(w)
        assert w.ask("GET Nothing", {"Transaction": some})["Transaction"] == some
        assert w.ask(face.line, {"Transaction": some, "Content-Length": 5})["Transaction"] == some


def test_transaction_is_logged(face):
    with face.connect() as w:
        face.good(w, Transaction="00000000deadbeef")
        face.daemon.wait_log(r"\[00000000deadbeef\]$")


# ---- limits ----

def padded(face, size):
    """The good request, of exactly that many bytes."""
    bare = face.request(X_Pad="")
    return face.request(X_Pad="x" * (size - len(bare)))


def test_head_of_8_KiB_is_the_longest(face):
    with face.connect() as w:
        w.send(padded(face, 8192))
        assert w.reply().status in (200, 204)
        w.send(padded(face, 8193))
        assert w.reply().status == 431
        w.expect_closed()


def test_64_headers_are_the_most(face):
    with face.connect() as w:
        more = [(f"X-{i}", "") for i in range(64 - len(face.headers))]
        w.send(request(face.line, [*face.headers.items(), *more]))
        assert w.reply().status in (200, 204)
        w.send(request(face.line, [*face.headers.items(), *more, ("X-65", "")]))
        assert w.reply().status == 431
        w.expect_closed()


def test_64_KiB_of_one_letter(face):
    with face.connect() as w:
        w.send(b"A" * 65536)
        assert w.reply().status == 431
        w.expect_closed()


@pytest.mark.parametrize("length", ["1", "5", "18446744073709551615", "99999999999999999999999"])
def test_no_request_has_a_body(face, length):
    with face.connect() as w:
        w.send(face.request(Content_Length=length))
        assert w.reply().status == 413
        w.expect_closed()


def test_content_length_0_is_no_body(face):
    with face.connect() as w:
        face.good(w, Content_Length="0")
        face.good(w)


@pytest.mark.parametrize("value", ["chunked", "identity"])
def test_transfer_encoding_is_refused(face, value):
    with face.connect() as w:
        assert w.ask(face.line, {**face.headers, "Transfer-Encoding": value}).status == 400
        w.expect_closed()


# ---- 400 ----

BAD = {
    "header-twice": "{line} {v}\r\nTransaction: 0000000000000001\r\nTransaction: 0000000000000001\r\n\r\n",
    "header-twice-in-another-case": "{line} {v}\r\nHost: a\r\nHOST: a\r\n\r\n",
    "folded-line": "{line} {v}\r\nHost: a\r\n b\r\n\r\n",
    "folded-line-with-tab": "{line} {v}\r\nHost: a\r\n\tb\r\n\r\n",
    "space-before-colon": "{line} {v}\r\nHost : a\r\n\r\n",
    "bare-cr-in-a-value": "{line} {v}\r\nHost: a\rCookie: 5\r\n\r\n",
    "bare-cr-in-the-first-line": "{line}\r {v}\r\n\r\n",
    "nul": "{line} {v}\r\nHost: a\0b\r\n\r\n",
    "control-byte": "{line} {v}\r\nHost: a\x01b\r\n\r\n",
    "escape": "{line} {v}\r\nX-Any: \x1b[2J\r\n\r\n",
    "del": "{line} {v}\r\nHost: a\x7fb\r\n\r\n",
    "control-byte-in-the-document": "GET RFC\x02Index {v}\r\n\r\n",
    "empty-name": "{line} {v}\r\n: a\r\n\r\n",
    "no-colon": "{line} {v}\r\nHost\r\n\r\n",
    "slash-in-the-document": "GET rfc/rfc1.txt {v}\r\n\r\n",
    "path": "GET /rfc/rfc1.txt {v}\r\n\r\n",
    "dots": "GET .. {v}\r\n\r\n",
    "dots-and-slash": "GET ../../etc/passwd {v}\r\n\r\n",
    "no-version": "GET\r\n\r\n",
    "one-word": "nonsense\r\n\r\n",
    "two-spaces": "GET  RFC-Index {v}\r\n\r\n",
    "no-document": "GET  {v}\r\n\r\n",
    "content-length-not-a-number": "{line} {v}\r\nContent-Length: x\r\n\r\n",
    "content-length-twice": "{line} {v}\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n",
    "content-length-negative": "{line} {v}\r\nContent-Length: -1\r\n\r\n",
    "host-too-long": "{line} {v}\r\nHost: " + "h" * 254 + "\r\n\r\n",
}


@pytest.mark.parametrize("case", BAD)
def test_bad_request(face, case):
    with face.connect() as w:
        w.send(BAD[case].format(line=face.line, v=VERSION).encode())
        assert w.reply().status == 400
        w.expect_closed()


@pytest.mark.parametrize("header", ["Cookie: 0", "Cookie: 9007199254740992", "Cookie: -1", "Cookie: 1x", "Limit: 0",
                                    "After: 4294967296", "Limit: 99999999999999999999"])
def test_number_out_of_range_at_the_registration_server(faces, header):
    name, value = header.split(": ")
    with faces["rsd"].connect() as w:
        assert w.ask("GET PQuery", {**faces["rsd"].headers, name: value}).status == 400
        w.expect_closed()


@pytest.mark.parametrize("line, headers", [
    ("GET RFC 0", {}), ("GET RFC 2147483648", {}), ("GET RFC 01", {}), ("GET RFC 99999999999999999999", {}),
    ("GET RFC-Index", {"If-Generation": "x.1"}), ("GET RFC-Index", {"If-Generation": "5"}),
    ("GET RFC-Index", {"If-Generation": "99999999999999999999999.1"}), ("GET RFC-Index", {"RFC": "0"}),
    ("GET RFC-Index", {"RFC": "1-2147483648"}), ("GET RFC-Index", {"RFC": "7-5"}), ("GET RFC-Index", {"RFC": "x"}),
    ("GET RFC-Index", {"RFC": ""}), ("GET RFC 7230", {"If-Digest": "sha-256=12"}),
])
def test_number_out_of_range_at_the_peer(faces, line, headers):
    with faces["peerd"].connect() as w:
        assert w.ask(line, headers).status == 400
        w.expect_closed()


# ---- 505, 405, 404 ----

@pytest.mark.parametrize("version", ["P2P-DI/1.1", "P2P-DI/2.0", "p2p-di/1.0", "HTTP", "X"])
def test_unknown_version(face, version):
    with face.connect() as w:
        assert w.ask(face.line, face.headers, version=version).status == 505
        w.expect_closed()


@pytest.mark.parametrize("version", ["HTTP/1.0", "HTTP/1.1", "HTTP/3"])
def test_registration_server_speaks_no_http(faces, version):
    with faces["rsd"].connect() as w:
        assert w.ask("GET /", {"Host": "localhost"}, version=version).status == 505
        w.expect_closed()


@pytest.mark.parametrize("method", ["PUT", "DELETE", "HEAD", "get", "OPTIONS", "POST", "X" * 100])
def test_unknown_method(face, method):
    line = method + face.line[3:]
    with face.connect() as w:
        assert w.ask(line, face.headers).status == 405
        face.good(w)


@pytest.mark.parametrize("name", ["Nothing", "pquery", "rfc-index", "RFC", "RFC seven", "RFC 7230 ", "RFC-Index2", "?"])
def test_unknown_document(face, name):
    with face.connect() as w:
        reply = w.ask(f"GET {name}".rstrip() + (" x" if name.endswith(" ") else ""))
        assert reply.status == 404 and reply.body == b""
        face.good(w)


def test_each_daemon_knows_its_own_messages_only(face):
    with face.connect() as w:
        assert w.ask(face.unknown, {"Port": 1, "If-Generation": "0.0"}).status == 404
        face.good(w)


# ---- staying and closing ----

# What closes, and how to bring it about.
CLOSING = {
    400: lambda f: request("GET ../x"),
    413: lambda f: f.request(Content_Length="10"),
    431: lambda f: f.request(X_Pad="x" * 9000),
    505: lambda f: request(f.line, f.headers, version="P2P-DI/9.9"),
}


@pytest.mark.parametrize("status", CLOSING)
def test_what_follows_a_status_that_closes_never_runs(face, status):
    """What a browser was made to send as a body must not run as requests."""
    smuggled = f"{status:x}".rjust(16, "5")
    # Far more than fits into one read, so that part of it arrives after the reply.
    more = face.request(Transaction=smuggled) * 2000
    with face.connect() as w:
        after = face.daemon.mark()
        try:
            w.send(CLOSING[status](face) + more)
        except (BrokenPipeError, ConnectionResetError):
            pass
        assert w.reply().status == status
        w.expect_closed()
    with face.connect() as w:
        face.good(w, Transaction="6666666666666666")
        face.daemon.wait_log(r"\[6666666666666666\]$", after)
    assert face.daemon.count_log(rf"\[{smuggled}\]", after) == 0


def test_the_connection_stays_after_all_other_statuses(face):
    with face.connect() as w:
        face.good(w)
        assert w.ask("GET Nothing").status == 404
        assert w.ask("PUT " + face.line.split()[1], face.headers).status == 405
        face.good(w)


def test_connection_close_is_served_the_same(face):
    for value in ("close", "Close", "keep-alive, close", "TE,close"):
        with face.connect() as w:
            reply = w.ask(face.line, {**face.headers, "Connection": value})
            assert reply.status in (200, 204) and reply.closes
            w.expect_closed()


def test_nothing_is_read_behind_connection_close(face):
    with face.connect() as w:
        w.send(face.request(Connection="close") + face.request())
        w.reply()
        w.expect_closed()


def test_connection_close_counts_with_an_error_too(face):
    with face.connect() as w:
        assert w.ask("GET Nothing", {"Connection": "close"}).status == 404
        w.expect_closed()


def test_who_closes_its_half_after_a_request_is_served(face):
    with face.connect() as w:
        w.send(face.request())
        w.socket.shutdown(socket.SHUT_WR)
        assert w.reply().status in (200, 204)
        w.expect_closed()


def test_who_just_goes_does_no_harm(face):
    for part in (b"", b"GET", face.request()[:-1], face.request() * 3):
        with face.connect() as w:
            w.send(part)
    with face.connect() as w:
        face.good(w)


# ---- time ----

@pytest.fixture(scope="module")
def hasty(shared):
    ini = {"Server.RequestTimeoutSec": "300ms", "Server.IdleTimeoutSec": "400ms"}
    return {"rsd": rs_face(shared, ini, "hasty-rs"), "peerd": peer_face(shared, ini, "hasty-peer")}


@pytest.mark.parametrize("daemon", DAEMONS)
def test_slow_request(hasty, daemon):
    with hasty[daemon].connect() as w:
        w.send(b"GET RFC")
        reply = w.reply()
        assert reply.status == 408 and reply.body == b""
        w.expect_closed()


@pytest.mark.parametrize("daemon", DAEMONS)
def test_time_for_a_request_is_for_the_whole_of_it(hasty, daemon):
    """A byte now and then buys no time."""
    with hasty[daemon].connect() as w:
        w.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        n = 0
        w.send(b"GET RFC-Index P2P-DI/1.0\r\nX-Slow: ")
        while not select.select([w.socket], [], [], 0.02)[0]:
            w.send(b"x")
            n += 1
            assert n < 500
        assert w.reply().status == 408
        w.expect_closed()


@pytest.mark.parametrize("daemon", DAEMONS)
def test_idle_connection_is_closed_without_a_word(hasty, daemon):
    with hasty[daemon].connect() as fresh, hasty[daemon].connect() as used:
        hasty[daemon].good(used)
        fresh.expect_closed()
        used.expect_closed()


# ---- what is logged of it ----

def test_debug_log_shows_heads_escaped_and_no_cookie(face):
    after = face.daemon.mark()
    with face.connect() as w:
        w.send(b"GET x\x1b[2J " + VERSION.encode() + b"\r\nCookie: 4242424242\r\nHost: a\x9b\xe2\x80\xaeb\r\n\r\n")
        assert w.reply().status == 400
    face.daemon.wait_log(r"received from .*Cookie: \*\*\*", after)
    with face.connect() as w:
        face.good(w)
    log = face.daemon.log(after)
    assert "4242424242" not in log
    assert not any(c in log for c in ("\x1b", "\x9b", "\u202e", "\x7f"))


def test_each_malformed_request_has_one_line(world):
    rs = world.rs({"Log.Level": "info"})
    with Wire(rs.endpoint) as w:
        w.send(b"nonsense\r\n\r\n")
        w.reply()
    rs.wait_log("Request refused: 400 Bad Request")
    with Wire(rs.endpoint) as w:
        w.send(request("GET PQuery", {"Transaction": "00000000deadbeef"}))
        assert w.reply().status == 400
    rs.wait_log(r"\[00000000deadbeef\]")
    assert rs.count_log("Request refused") == 2
    assert rs.count_log("received from") == 0
