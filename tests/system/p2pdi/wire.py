# SPDX-License-Identifier: BSD-2-Clause
"""The wire, by hand: requests and replies, peer lists and index bodies, and one who speaks with the registration server."""

import re
import socket

from p2pdi.addresses import family_of
from p2pdi.base import PATIENCE, Closing
from p2pdi.documents import sha256

VERSION = "P2P-DI/1.0"
DATE = re.compile(r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d (Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) \d{4} "
                  r"\d\d:\d\d:\d\d GMT")


class Reply:
    def __init__(self, head, body):
        self.head = head
        first, *lines = head.split("\r\n")
        m = re.fullmatch(r"P2P-DI/1\.0 (\d{3}) ([ -~]+)", first)
        assert m, first
        self.status, self.phrase = int(m.group(1)), m.group(2)
        self.headers = {}
        for line in lines:
            name, colon, value = line.partition(":")
            assert colon and re.fullmatch(r"[!-9;-~]+", name) and value.startswith(" "), line
            assert name.lower() not in self.headers, f"{name} comes twice"
            self.headers[name.lower()] = value.strip()
        self.body = body

    def __getitem__(self, name):
        return self.headers[name.lower()]

    def get(self, name, default=None):
        return self.headers.get(name.lower(), default)

    def __contains__(self, name):
        return name.lower() in self.headers

    @property
    def closes(self):
        return self.get("Connection", "").lower() == "close"

    def __repr__(self):
        return f"{self.head}\n{len(self.body)} bytes: {self.body[:200]!r}"


def request(line, headers=None, version=VERSION, end="\r\n"):
    """Bytes of a request. headers: a dict (values that are None are left out) or a list of pairs."""
    pairs = headers.items() if isinstance(headers, dict) else headers or []
    head = [f"{line} {version}"] + [f"{name.replace('_', '-')}: {value}" for name, value in pairs if value is not None]
    return (end.join(head) + end + end).encode("utf-8", "surrogateescape")


class Closed(Exception):
    """The other end closed the connection."""


class Wire(Closing):
    """A connection as client. Each reply that is read is held to section 1 of the protocol."""

    def __init__(self, to, source=None, timeout=PATIENCE, window=None):
        """window: about how many bytes may come before they are read."""
        self.socket = socket.socket(family_of(to[0]), socket.SOCK_STREAM)
        self.socket.settimeout(timeout)
        if window:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
        if source:
            self.socket.bind((source, 0))
        self.socket.connect(to)
        self.buffer = b""

    def close(self):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def receive(self):
        try:
            data = self.socket.recv(1 << 18)
        except ConnectionResetError:
            data = b""
        if not data:
            raise Closed(f"closed after {self.buffer[:200]!r}")
        self.buffer += data

    def read(self, n):
        parts, have = [self.buffer], len(self.buffer)
        while have < n:
            data = self.socket.recv(1 << 18)
            if not data:
                raise Closed(f"closed after {have} of {n} bytes")
            parts.append(data)
            have += len(data)
        whole = b"".join(parts)
        self.buffer = whole[n:]
        return whole[:n]

    def reply(self):
        while b"\r\n\r\n" not in self.buffer:
            assert len(self.buffer) < 65536
            self.receive()
        head, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
        text = head.decode("utf-8")
        assert not re.search(r"[\x00-\x09\x0b\x0c\x0e-\x1f\x7f]", text) and text.count("\n") == text.count("\r\n")
        reply = Reply(text, b"")
        assert DATE.fullmatch(reply["Date"]) and re.match(r"p2pdi/\S+$", reply["Server"])
        if reply.status in (204, 304):
            assert "Content-Length" not in reply
        else:
            reply.body = self.read(int(reply["Content-Length"]))
        if reply.status in (400, 408, 413, 431, 505):
            assert reply.closes, reply
        return reply

    def ask(self, line, headers=None, **options):
        self.send(request(line, headers, **options))
        return self.reply()

    def expect_closed(self):
        """Nothing more comes, and the other end closes."""
        try:
            self.receive()
        except Closed:
            pass
        assert self.buffer == b"", self.buffer


def parse_list(body):
    """A peer list: [(address, port, id, ttl, host)]."""
    peers = []
    assert body.endswith(b"\n") or not body
    for line in body.decode("utf-8").split("\n")[:-1]:
        address, port, peer_id, ttl, host = line.split("\t")
        peers.append((address, int(port), int(peer_id), int(ttl), host))
    return peers


class Record:
    def __init__(self, number, ttl, holder, size, sha256, title):
        self.number, self.ttl, self.holder = number, ttl, holder
        self.size, self.sha256, self.title = size, sha256, title

    @property
    def line(self):
        return f"{self.number}\t{self.ttl}\t{self.holder}\t{self.size}\t{self.sha256}\t{self.title}\n"

    def __repr__(self):
        return repr(self.line)


def parse_index(body):
    """An index body, each line as the protocol writes it."""
    records = []
    assert body.endswith(b"\n") or not body
    for line in body.decode("utf-8").split("\n")[:-1]:
        m = re.fullmatch(r"([1-9]\d*)\t([1-9]\d*)\t(-|\S+:\d+)\t(0|[1-9]\d*)\t([0-9a-f]{64})\t([^\x00-\x1f\x7f]*)",
                         line)
        assert m, line
        records.append(Record(int(m[1]), int(m[2]), m[3], int(m[4]), m[5], m[6]))
    return records


def index_digest(records):
    """Index-Digest, by the book."""
    own = sorted((r for r in records if r.holder == "-"), key=lambda r: r.number)
    lines = "".join(f"{r.number}\t{r.size}\t{r.sha256}\t{r.title}\n" for r in own)
    return "sha-256=" + sha256(lines.encode())


class Registrant(Closing):
    """One who speaks with the registration server by hand."""

    def __init__(self, rs, source=None, host=None):
        """host: the address by which the server is reached, where it listens on several."""
        self.rs = rs
        self.wire = Wire((host, rs.port), source) if host else rs.connect(source)
        self.cookie = self.id = None

    def close(self):
        self.wire.close()

    def register(self, port, **headers):
        """Must go well; keeps cookie and id, and gives the reply."""
        reply = self.wire.ask("POST Register", {"Port": port, "Host": "by-hand", "OS": "test", "Cookie": self.cookie,
                                                **headers})
        assert reply.status == 200, reply
        self.cookie, self.id = reply["Cookie"], int(reply["Peer-Id"])
        return reply

    def leave(self):
        return self.wire.ask("POST Leave", {"Cookie": self.cookie})

    def keepalive(self):
        return self.wire.ask("POST KeepAlive", {"Cookie": self.cookie})

    def query(self, **headers):
        return self.wire.ask("GET PQuery", {"Cookie": self.cookie, **headers})

    def peers(self, **headers):
        """(Active:, list)"""
        reply = self.query(**headers)
        assert reply.status in (200, 204), reply
        assert (reply.status == 204) == (reply["Active"] == "0")
        return int(reply["Active"]), parse_list(reply.body)
