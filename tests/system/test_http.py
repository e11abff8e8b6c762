# SPDX-License-Identifier: BSD-2-Clause
"""The HTTP face of a peer: what curl, wget, a browser or a proxy asks for, and what somebody sends who means no good."""

import base64
import email.utils
import hashlib
import html.parser
import json
import os
import re
import shutil
import subprocess

import pytest

from p2pdi.base import PATIENCE, until
from p2pdi.documents import document, sha256
from p2pdi.wire import DATE, Closed, Wire, request

DOCUMENTS = {
    1: b"",
    2: b"x",
    5: b"latin-1 \xe9\xe8\xff\n",
    6: b"\xef\xbb\xbfwith a BOM\r\nand CRLF\r\n",
    2119: document(2119, 4777),
    2616: document(2616, 70000),
    9110: document(9110, 1600000),
    2147483647: b"the last number there is\n",
}
EDITORS_INDEX = """
2119 Key words, <b>bold</b> & "quoted". A. Author. March 1997. (Format: TXT) (Updated by RFC8174) (Status: BEST CURRENT
     PRACTICE) (DOI: 10.17487/RFC2119)

2616 A protocol of old. A. Author. June 1999. (Format: TXT) (Obsoleted by RFC7230, RFC9110) (Status: DRAFT STANDARD)
     (DOI: 10.17487/RFC2616)

9110 A protocol of today. A. Author, Ed. June 2022. (Format: TXT) (Obsoletes RFC2616) (Status: INTERNET STANDARD)
     (DOI: 10.17487/RFC9110)

""".lstrip()


def put_editors_index(peer, text=EDITORS_INDEX):
    os.makedirs(peer.library, exist_ok=True)
    beside = os.path.join(peer.dir, "new-index")
    with open(beside, "w", encoding="ascii") as f:
        f.write(text)
    os.rename(beside, os.path.join(peer.library, "rfc-index.txt"))


@pytest.fixture(scope="module")
def peer(shared):
    p = shared.peer("mirror", DOCUMENTS, ini={"Server.MaxConnectionsPerSource": 10000}, start=False)
    put_editors_index(p)
    os.utime(p.path(2119), (1000000000, 1000000000))
    p.start()
    p.wait_scanned(len(DOCUMENTS))
    return p


# ---- the wire, by hand ----

class HttpReply:
    def __init__(self, head):
        first, *lines = head.split("\r\n")
        m = re.fullmatch(r"HTTP/1\.1 (\d{3}) ([ -~]+)", first)
        assert m, first
        self.status, self.phrase = int(m[1]), m[2]
        self.headers = {}
        for line in lines:
            name, colon, value = line.partition(": ")
            assert colon and name.lower() not in self.headers, line
            self.headers[name.lower()] = value
        self.body = b""

    def __getitem__(self, name):
        return self.headers[name.lower()]

    def __contains__(self, name):
        return name.lower() in self.headers

    @property
    def closes(self):
        return self.headers.get("connection") == "close"

    def __repr__(self):
        return f"{self.status} {self.headers} {self.body[:200]!r}"


class Http(Wire):
    """A connection to the HTTP face. Each reply that is read is held to what all of them have."""

    def http_reply(self, method="GET"):
        while b"\r\n\r\n" not in self.buffer:
            assert len(self.buffer) < 65536
            self.receive()
        head, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
        reply = HttpReply(head.decode("ascii"))
        assert DATE.fullmatch(reply["Date"]) and re.match(r"p2pdi/\S+$", reply["Server"])
        assert reply["X-Content-Type-Options"] == "nosniff"
        assert reply.closes or reply.status not in (400, 408, 413, 431, 505)
        if reply.status == 304:
            assert "Content-Length" not in reply
        elif method != "HEAD":
            reply.body = self.read(int(reply["Content-Length"]))
        if reply.status >= 400:
            assert reply["Content-Type"] == "text/plain; charset=utf-8" and reply["Cache-Control"] == "no-store"
            if method != "HEAD":
                assert re.fullmatch(rb"[A-Z][^\n]*\.\n", reply.body), reply
        return reply

    def http(self, path, method="GET", version="HTTP/1.1", headers=None, **more):
        self.send(http_request(path, method, version, headers, **more))
        return self.http_reply(method)

    def expect_open(self):
        assert self.http("/rfc/rfc2.txt").body == DOCUMENTS[2]


def http_request(path, method="GET", version="HTTP/1.1", headers=None, **more):
    host = {"Host": "localhost"} if version == "HTTP/1.1" else {}
    return request(f"{method} {path}", {**host, **(headers or {}), **more}, version=version)


def connect(peer):
    return Http(peer.endpoint)


def fetch(peer, path, method="GET", headers=None, **more):
    with connect(peer) as w:
        return w.http(path, method, headers=headers, **more)


def etag(content):
    return f'"{sha256(content)}"'


# ---- curl and wget ----

def curl(*arguments, code=0, environment=None):
    r = subprocess.run(["curl", "-q", "--silent", "--show-error", "--max-time", str(PATIENCE), *arguments],
                       stdin=subprocess.DEVNULL, capture_output=True, check=False, env=environment)
    assert r.returncode == code, (arguments, r.returncode, r.stderr)
    return r.stdout


def url(peer, path):
    return f"http://{peer.text}{path}"


@pytest.mark.parametrize("number", sorted(DOCUMENTS))
def test_document_comes_byte_for_byte(peer, number):
    assert curl("--noproxy", "*", url(peer, f"/rfc/rfc{number}.txt")) == DOCUMENTS[number]


def test_what_a_document_says_of_itself(peer):
    for number, content in DOCUMENTS.items():
        reply = fetch(peer, f"/rfc/rfc{number}.txt")
        assert reply.status == 200 and reply.body == content
        # No charset: they are sent as they are stored.
        assert reply["Content-Type"] == "text/plain" and reply["ETag"] == etag(content)
        digest = base64.b64encode(hashlib.sha256(content).digest()).decode()
        assert reply["Repr-Digest"] == f"sha-256=:{digest}:" and reply["Accept-Ranges"] == "bytes"
        modified = email.utils.parsedate_to_datetime(reply["Last-Modified"]).timestamp()
        assert modified == int(os.stat(peer.path(number)).st_mtime)
        assert "Connection" not in reply and "Transaction" not in reply


@pytest.mark.parametrize("arguments, first, last", [
    (["-r", "10-19"], 10, 19), (["-r", "-5"], 69995, 69999), (["-r", "69990-"], 69990, 69999),
    (["-r", "0-99999999"], 0, 69999),
])
def test_curl_gets_a_range(peer, arguments, first, last):
    out = curl("--noproxy", "*", "-i", *arguments, url(peer, "/rfc/rfc2616.txt"))
    head, body = out.split(b"\r\n\r\n", 1)
    assert head.startswith(b"HTTP/1.1 206 ") and body == DOCUMENTS[2616][first:last + 1]
    assert f"Content-Range: bytes {first}-{last}/70000".encode() in head


def test_curl_goes_on_where_it_was(peer, tmp_path):
    part = tmp_path / "rfc9110.txt"
    part.write_bytes(DOCUMENTS[9110][:1000001])
    after = peer.mark()
    curl("--noproxy", "*", "-C", "-", "-o", str(part), url(peer, "/rfc/rfc9110.txt"))
    assert part.read_bytes() == DOCUMENTS[9110]
    peer.wait_log(r"RFC 9110 served \(get-rfc ok, .* 599999 bytes, ", after)


def test_curl_keeps_what_has_not_changed(peer, tmp_path):
    tag, out = str(tmp_path / "tag"), str(tmp_path / "out")
    code = ["--noproxy", "*", "-o", out, "-w", "%{http_code} %{size_download}"]
    assert curl(*code, "--etag-save", tag, url(peer, "/rfc/rfc2119.txt")) == b"200 4777"
    assert curl(*code, "--etag-compare", tag, url(peer, "/rfc/rfc2119.txt")) == b"304 0"
    assert curl(*code, "-R", url(peer, "/rfc/rfc2119.txt")) == b"200 4777"
    assert os.stat(out).st_mtime == 1000000000
    assert curl(*code, "-z", out, url(peer, "/rfc/rfc2119.txt")) == b"304 0"
    # Also by the time at which it was fetched.
    os.utime(out)
    assert curl(*code, "-z", out, url(peer, "/rfc/rfc2119.txt")) == b"304 0"
    os.utime(out, (999999999, 999999999))
    assert curl(*code, "-z", out, url(peer, "/rfc/rfc2119.txt")) == b"200 4777"


def test_curl_through_the_peer_as_its_proxy(peer):
    """It asks for a whole URL then, of whatever host: this is a mirror, not a way to others."""
    environment = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
    out = curl("--proxy", f"http://{peer.text}", "http://www.rfc-editor.example/rfc/rfc2119.txt", environment=environment)
    assert out == DOCUMENTS[2119]


def test_wget_mirrors_all(peer, tmp_path):
    wget = shutil.which("wget")
    if not wget:
        pytest.skip("there is no wget here (bootstrap --ci installs it)")
    for start in ("/", "/rfc/"):
        place = tmp_path / start.strip("/") / "mirror"
        r = subprocess.run([wget, "--no-config", "--no-proxy", "-q", "-r", "-l", "2", "-nH", "-P", str(place),
                            url(peer, start)], stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=60)
        # 8: robots.txt is not there.
        assert r.returncode in (0, 8), r
        found = {n: (place / "rfc" / n).read_bytes() for n in os.listdir(place / "rfc") if n != "index.html"}
        assert found == {f"rfc{n}.txt": content for n, content in DOCUMENTS.items()}
        assert (place / "rfc-index.txt").read_text() == EDITORS_INDEX


# ---- HEAD, conditions, ranges ----

@pytest.mark.parametrize("path", ["/", "/rfc/", "/rfc/rfc2616.txt", "/rfc/rfc1.txt", "/rfc-index.txt", "/rfc", "/nothing",
                                  "/rfc/rfc4711.txt"])
def test_head_has_the_same_headers_and_no_body(peer, path):
    with connect(peer) as w:
        whole, head = w.http(path), w.http(path, "HEAD")
        assert head.body == b"" and head.status == whole.status
        for reply in (whole, head):
            del reply.headers["date"]
        assert head.headers == whole.headers and int(head["Content-Length"]) == len(whole.body)
        w.expect_open()


def test_head_is_logged_as_no_download(peer):
    after = peer.mark()
    fetch(peer, "/rfc/rfc2119.txt", "HEAD", Transaction="00000000000000a1")
    peer.wait_log(r"RFC 2119 was asked for: its head is sent \(get-rfc ok, .*\) \[00000000000000a1\]$", after)
    fetch(peer, "/rfc/rfc2119.txt", Transaction="00000000000000a2")
    peer.wait_log(r"RFC 2119 served .*\[00000000000000a2\]$", after)
    assert peer.count_log(r"\[00000000000000a1\]$", after) == 1


@pytest.mark.parametrize("headers, status", [
    ({"If-None-Match": etag(DOCUMENTS[2119])}, 304), ({"If-None-Match": "W/" + etag(DOCUMENTS[2119])}, 304),
    ({"If-None-Match": f'"a", {etag(DOCUMENTS[2119])}'}, 304), ({"If-None-Match": "*"}, 304),
    ({"If-None-Match": '"a"'}, 200),
    ({"If-Modified-Since": "Sun, 09 Sep 2001 01:46:40 GMT"}, 304),
    ({"If-Modified-Since": "Sun, 09 Sep 2001 01:46:41 GMT"}, 304),
    ({"If-Modified-Since": "Sunday, 09-Sep-01 01:46:40 GMT"}, 304),
    ({"If-Modified-Since": "Sun, 09 Sep 2001 01:46:39 GMT"}, 200), ({"If-Modified-Since": "yesterday"}, 200),
    ({"If-Unmodified-Since": "Sun, 09 Sep 2001 01:46:40 GMT"}, 200),
    ({"If-Unmodified-Since": "Sun, 09 Sep 2001 01:46:39 GMT"}, 412),
    ({"If-None-Match": '"a"', "If-Modified-Since": "Sun, 09 Sep 2001 01:46:40 GMT"}, 200),
    ({"If-Match": etag(DOCUMENTS[2119])}, 200), ({"If-Match": '"a"'}, 412),
])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_conditions(peer, method, headers, status):
    with connect(peer) as w:
        reply = w.http("/rfc/rfc2119.txt", method, headers=headers)
        assert reply.status == status
        assert reply["ETag"] == etag(DOCUMENTS[2119])
        if status == 200 and method == "GET":
            assert reply.body == DOCUMENTS[2119]
        w.expect_open()


@pytest.mark.parametrize("condition, part", [
    (etag(DOCUMENTS[2616]), True), ("W/" + etag(DOCUMENTS[2616]), False), ('"a"', False),
    ("Sun, 09 Sep 2001 01:46:40 GMT", False),
])
def test_if_range(peer, condition, part):
    reply = fetch(peer, "/rfc/rfc2616.txt", headers={"Range": "bytes=69999-", "If-Range": condition})
    assert (reply.status, reply.body) == ((206, DOCUMENTS[2616][69999:]) if part else (200, DOCUMENTS[2616]))


@pytest.mark.parametrize("path, size", [("/rfc/rfc2616.txt", 70000), ("/rfc/rfc1.txt", 0),
                                        ("/rfc-index.txt", len(EDITORS_INDEX))])
def test_range_behind_the_end(peer, path, size):
    with connect(peer) as w:
        reply = w.http(path, Range=f"bytes={size}-")
        assert reply.status == 416 and reply["Content-Range"] == f"bytes */{size}"
        w.expect_open()


@pytest.mark.parametrize("value", ["bytes=0-1,5-6", "lines=0-1", "bytes=5-4", "bytes=x-", "bytes", ""])
def test_other_ranges_give_the_whole(peer, value):
    reply = fetch(peer, "/rfc/rfc2119.txt", Range=value)
    assert reply.status == 200 and reply.body == DOCUMENTS[2119]


# ---- connections ----

def test_requests_are_answered_in_order(peer):
    numbers = [2119, 1, 9110, 2616, 2] * 10
    with connect(peer) as w:
        w.send(b"".join(http_request(f"/rfc/rfc{n}.txt", "HEAD" if n == 2616 else "GET") for n in numbers))
        for n in numbers:
            reply = w.http_reply("HEAD" if n == 2616 else "GET")
            assert reply["ETag"] == etag(DOCUMENTS[n]) and (n == 2616 or reply.body == DOCUMENTS[n])


def test_each_request_is_judged_by_its_own_version(peer):
    with connect(peer) as w:
        assert w.ask("GET RFC 2119").body == DOCUMENTS[2119]
        assert w.http("/rfc/rfc2119.txt").body == DOCUMENTS[2119]
        assert w.http("/rfc/rfc2119.txt", version="HTTP/1.0", Connection="keep-alive").body == DOCUMENTS[2119]
        # What is right in one is not in the other.
        assert w.http("/RFC").status == 404
        assert w.ask("HEAD RFC 2119").status == 405
        w.send(request("GET RFC-Index") + http_request("/rfc/rfc2.txt") + request("GET RFC 2") + http_request("/", "HEAD"))
        assert w.reply().status == 200
        assert w.http_reply().body == DOCUMENTS[2]
        assert w.reply().body == DOCUMENTS[2]
        assert w.http_reply("HEAD").status == 200
        assert w.ask("GET /rfc/rfc2.txt").status == 400         # a path is no document of P2P-DI/1.0
        w.expect_closed()


def test_http_1_0_closes_unless_asked_to_stay(peer):
    for path in ("/rfc/rfc2.txt", "/", "/nothing"):
        with connect(peer) as w:
            assert w.http(path, version="HTTP/1.0").closes
            w.expect_closed()
        with connect(peer) as w:
            for _ in range(2):
                reply = w.http(path, version="HTTP/1.0", Connection="Keep-Alive")
                assert reply["Connection"] == "keep-alive"
            w.expect_open()


def test_connection_close_is_honoured(peer):
    for path in ("/rfc/rfc2.txt", "/rfc/", "/nothing", "/rfc"):
        with connect(peer) as w:
            w.send(http_request(path, Connection="close") + http_request("/rfc/rfc2.txt"))
            assert w.http_reply().closes
            w.expect_closed()


def test_transaction_is_echoed_and_logged(peer):
    after = peer.mark()
    for i, (path, said) in enumerate({
            "/rfc/rfc2119.txt": r"RFC 2119 served \(get-rfc ok, 127\.0\.0\.1:\d+, 4777 bytes, .*\)",
            "/rfc-index.txt": rf"rfc-index.txt served \(get-editor-index ok, .*, {len(EDITORS_INDEX)} bytes, .*\)",
            "/": r"/ was asked for: 200 \(http-page ok, .*, \d+ bytes, .*\)",
            "/rfc/": r"/rfc/ was asked for: 200 \(http-page ok, .*\)",
            "/rfc": r"/rfc was asked for: 301 \(http-page ok, .*\)",
            "/no%1b[2J": r"/no%1b\[2J was asked for: there is no such path \(http-page not-held, .*\)",
            "/rfc/rfc4711.txt": r"RFC 4711 was asked for: it is not held \(get-rfc not-held, .*\)"}.items()):
        transaction = f"{i + 1:016x}"
        assert fetch(peer, path, Transaction=transaction)["Transaction"] == transaction
        peer.wait_log(rf"{said} \[{transaction}\]$", after)


# ---- paths ----

@pytest.mark.parametrize("path, status", [
    ("/rfc/rfc2119.txt?x=y", 200), ("/%72fc/rfc2119%2Etxt", 200), ("http://elsewhere/rfc/rfc2119.txt", 200),
    ("/rfc/rfc02119.txt", 404), ("/rfc/RFC2119.txt", 404), ("/rfc/rfc2119", 404), ("/rfc/rfc2119.txt/", 404),
    ("/rfc/rfc2119.txt%00", 404), ("/rfc%2Frfc2119.txt", 404), ("//rfc/rfc2119.txt", 404), ("/rfc//rfc2119.txt", 404),
    ("/rfc/../rfc/rfc2119.txt", 404), ("/rfc/%2e%2e/%2e%2e/etc/passwd", 404), ("/rfc/./rfc2119.txt", 404),
    ("/../../etc/passwd", 404), ("/etc/passwd", 404), ("/rfc/rfc0.txt", 404), ("/rfc/rfc2147483648.txt", 404),
    ("/rfc/rfc-1.txt", 404), ("/rfc/rfc.txt", 404), ("/rfc/rfc-index.txt", 404), ("/favicon.ico", 404), ("/rfc/.", 404),
    ("/" + "a" * 4000, 404), ("/rfc/rfc" + "0" * 60 + "1.txt", 404), ("/index.html", 404),
])
def test_paths(peer, path, status):
    transaction = hashlib.sha256(path.encode()).hexdigest()[:16]
    with connect(peer) as w:
        reply = w.http(path, Transaction=transaction)
        assert reply.status == status
        if status == 200:
            assert reply.body == DOCUMENTS[2119]
        w.expect_open()
    # What is not there is no fault of who asks.
    assert "refused" not in peer.wait_log(rf"\[{transaction}\]$").string


def test_directory_without_its_slash(peer):
    reply = fetch(peer, "/rfc")
    assert reply.status == 301 and reply["Location"] == "/rfc/"


# ---- requests that are none ----

BAD = {
    "no Host": (b"GET / HTTP/1.1\r\n\r\n", 400),
    "two Hosts": (b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
    "a Host that is a path": (b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
    "a user": (b"GET http://a@b/ HTTP/1.1\r\nHost: b\r\n\r\n", 400),
    "no path": (b"GET rfc/rfc2.txt HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "https": (b"GET https://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "a space": (b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "a byte over 127": (b"GET /\xe4 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "a fragment": (b"GET /#a HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "half a %": (b"GET /%2 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "a bad transaction": (b"GET / HTTP/1.1\r\nHost: a\r\nTransaction: 1\r\n\r\n", 400),
    "two ranges' headers": (b"GET / HTTP/1.1\r\nHost: a\r\nRange: bytes=0-1\r\nRange: bytes=1-2\r\n\r\n", 400),
    "another method": (b"POST / HTTP/1.1\r\nHost: a\r\n\r\n", 405),
    "OPTIONS": (b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 405),
    "CONNECT": (b"CONNECT a:22 HTTP/1.1\r\nHost: a:22\r\n\r\n", 405),
    "HTTP/1.2": (b"GET / HTTP/1.2\r\nHost: a\r\n\r\n", 505),
    "HTTP/2.0": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    "HTTP/3": (b"GET / HTTP/3\r\nHost: a\r\n\r\n", 505),
    # What is read in two ways by two readers.
    "a body": (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 60\r\n\r\n", 413),
    "a body of GET": (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 60\r\n\r\n", 413),
    "a huge body": (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551616\r\n\r\n", 413),
    "two lengths": (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 60\r\n\r\n", 400),
    "the same length twice": (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n", 400),
    "a list of lengths": (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0, 60\r\n\r\n", 400),
    "a signed length": (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: +60\r\n\r\n", 400),
    "chunks": (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "CL.TE": (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 60\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "TE.CL": (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n", 400),
    "TE.TE": (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
    "TE in 1.0": (b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "TE and a blank": (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 400),
    "TE folded": (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n", 400),
    "a folded line": (b"GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n", 400),
    "a first line folded": (b"GET / HTTP/1.1\r\n X: a\r\nHost: a\r\n\r\n", 400),
    "a bare CR": (b"GET / HTTP/1.1\r\nHost: a\r\nX: a\rContent-Length: 60\r\n\r\n", 400),
    "a NUL": (b"GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n", 400),
    "no colon": (b"GET / HTTP/1.1\r\nHost: a\r\nnothing\r\n\r\n", 400),
    "too many headers": (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 64 + b"\r\n", 431),
    "too long a head": (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 9000 + b"\r\n\r\n", 431),
    "HEAD without Host": (b"HEAD / HTTP/1.1\r\n\r\n", 400),
    "HEAD that is none": (b"HEAD / HTTP/1.1\r\nnothing\r\n\r\n", 400),
}
PHRASES = {400: "Bad Request", 405: "Method Not Allowed", 413: "Content Too Large", 431: "Request Header Fields Too Large",
           505: "HTTP Version Not Supported"}


@pytest.mark.parametrize("what", BAD)
def test_bad_request_is_refused_and_changes_nothing(peer, what):
    """What comes behind it never runs, unless the connection stays: then it is a request like any other."""
    data, status = BAD[what]
    smuggled = hashlib.sha256(what.encode()).hexdigest()[:16]
    before, stored, after = peer.index()[0]["Generation"], peer.stored(), peer.mark()
    behind = http_request("/rfc/rfc2.txt", Transaction=smuggled)
    method = data.split()[0].decode()
    with connect(peer) as w:
        w.send(data + behind)
        reply = w.http_reply(method)
        assert (reply.status, reply.phrase) == (status, PHRASES[status])
        assert reply.closes == (status != 405)
        if status == 405:
            assert reply["Allow"] == "GET, HEAD"
            assert w.http_reply().body == DOCUMENTS[2]
            peer.wait_log(rf"RFC 2 served .*\[{smuggled}\]$", after)     # in another thread than the one below
        else:
            w.expect_closed()
    with connect(peer) as w:
        w.http("/rfc/rfc2.txt", Transaction="00000000000000e0")
    peer.wait_log(r"RFC 2 served .*\[00000000000000e0\]$", after)
    assert peer.count_log(rf"\[{smuggled}\]$", after) == (status == 405)
    assert peer.index()[0]["Generation"] == before and peer.stored() == stored


def test_each_bad_request_has_a_line_that_says_why(world):
    p = world.peer("strict", {2: b"x"})
    for data, said in ((b"GET / HTTP/1.1\r\nTransaction: 00000000000000b1\r\n\r\n",
                        r"400 Bad Request\. HTTP/1\.1 has one Host header, .* \(refused, 127\.0\.0\.1:\d+\) "
                        r"\[00000000000000b1\]$"),
                       (b"DELETE / HTTP/1.0\r\n\r\n", r"405 Method Not Allowed\. GET and HEAD are .* \(refused, .*\)$"),
                       (b"GET / HTTP/1.0\r\nX\r\n\r\n", r"400 Bad Request\. This is no request .* \(refused, .*\)$")):
        with connect(p) as w:
            w.send(data)
            reply = w.http_reply()
        p.wait_log("Request refused: " + said)
        # Who asked reads the same.
        assert reply.body.decode().rstrip(".\n") in p.log()
    assert p.count_log("Request refused") == 3


@pytest.mark.parametrize("data", [b"GET /rfc/rfc2.txt\r\n\r\n", b"\x16\x03\x01\x02\n\n", b"GET / HTTP/1.1 \r\n\r\n",
                                  b"GET / http/1.1\r\n\r\n", b"GET / HTPP/1.1\r\n\r\n"])
def test_what_names_no_version_is_refused_as_p2pdi(peer, data):
    with connect(peer) as w:
        w.send(data)
        assert w.reply().status in (400, 505)
        w.expect_closed()


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\nHost: a\r\n", b"HEAD / HTTP/1.0\r\nX"])
def test_request_that_is_not_whole_in_time(world, data):
    p = world.peer("hurried", {2: b"x"}, ini={"Server.RequestTimeoutSec": "200ms"})
    with connect(p) as w:
        w.send(data)
        reply = w.http_reply(data.split()[0].decode())
        assert reply.status == 408 and reply.phrase == "Request Timeout"
        w.expect_closed()


def test_refused_requests_use_up_what_a_source_may_do(world):
    """Unknown paths don't: a browser asks for /favicon.ico on its own."""
    p = world.peer("strict", {2: b"x"}, ini={"Limits.RatePerSource": 1, "Limits.Burst": 20})
    with connect(p) as w:
        for _ in range(100):
            assert w.http("/favicon.ico").status == 404
    for _ in range(3):
        with connect(p) as w:
            assert w.http("/").status == 200
    with connect(p) as w:
        w.send(http_request("/", "DELETE") * 30)
        for _ in range(30):
            assert w.http_reply().status == 405

    def is_refused():
        with connect(p) as w:
            try:
                w.send(http_request("/"))
                w.receive()
            except (Closed, ConnectionError):
                return False
            return w.buffer.startswith(b"P2P-DI/1.0 429 ")

    until(is_refused, "the refusal")


def test_no_secret_of_a_browser_is_logged(peer):
    after = peer.mark()
    fetch(peer, "/rfc/rfc2.txt", headers={"Cookie": "session=4711471147114711", "Authorization": "Basic NDcxMTQ3MTE0NzEx"})
    peer.wait_log(r"received from .*Cookie: \*\*\* \| Authorization: \*\*\*", after)
    assert "4711471147114711" not in peer.log(after) and "NDcxMTQ3MTE0NzEx" not in peer.log(after)


# ---- the pages ----

class Reader(html.parser.HTMLParser):
    """The rows of the table, the links, and the words of a page; each element is closed where it should be."""

    VOID = ("meta", "br")

    def __init__(self, text):
        super().__init__()
        self.open, self.rows, self.links, self.elements, self.text = [], [], [], set(), ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.add(tag)
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if tag == "a":
            self.links.append(dict(attrs)["href"])

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.text += data
        if self.open[-1:] and set(self.open) & {"td", "th"}:
            self.rows[-1][-1] += data


def page(peer, path="/"):
    reply = fetch(peer, path)
    assert reply.status == 200 and reply["Content-Type"] == "text/html; charset=utf-8", reply
    assert reply["Content-Security-Policy"].startswith("default-src 'none'; ") and reply["Cache-Control"] == "no-cache"
    assert reply["ETag"] == etag(reply.body)
    return Reader(reply.body.decode("utf-8"))


def test_page_shows_what_is_held(peer):
    p = page(peer)
    assert p.rows[0] == ["RFC", "Title", "Size", "Obsolete"]
    assert [int(row[0]) for row in p.rows[1:]] == sorted(DOCUMENTS)
    rows = {int(row[0]): row[1:] for row in p.rows[1:]}
    assert rows[2119] == ['Key words, <b>bold</b> & "quoted"', "5 KiB", "no"]
    assert rows[2616] == ["A protocol of old", "68 KiB", "yes, see 7230, 9110"]
    assert rows[9110] == ["A protocol of today", "1.5 MiB", "no"]
    assert rows[2][1:] == ["1 B", "unknown"]
    total = sum(map(len, DOCUMENTS.values()))
    assert f"{len(DOCUMENTS)} RFCs, {total >> 20}.{(total & 1048575) * 10 >> 20} MiB in all" in p.text
    assert os.uname().nodename in p.text
    assert not p.elements & {"script", "img", "link", "b", "iframe"}
    # What is held is linked to, what is not isn't.
    assert "/rfc/rfc9110.txt" in p.links and "/rfc/rfc7230.txt" not in p.links


@pytest.mark.parametrize("path", ["/", "/rfc/"])
def test_every_link_leads_somewhere(peer, path):
    links = set(page(peer, path).links)
    assert {link.rsplit("/", 1)[-1] for link in links} >= {f"rfc{n}.txt" for n in DOCUMENTS}
    with connect(peer) as w:
        for link in links:
            assert w.http(link if link.startswith("/") else path + link, "HEAD").status == 200, link


def test_page_in_parts_and_only_if_it_changed(peer):
    whole = fetch(peer, "/")
    assert fetch(peer, "/", headers={"If-None-Match": whole["ETag"]}).status == 304
    assert fetch(peer, "/", headers={"If-None-Match": '"a"'}).body == whole.body
    assert fetch(peer, "/", Range="bytes=100-199").body == whole.body[100:200]
    assert fetch(peer, "/", Range="bytes=-7").body == whole.body[-7:]
    assert fetch(peer, "/", Range=f"bytes={len(whole.body)}-").status == 416
    assert fetch(peer, "/", headers={"If-Match": '"a"'}).status == 412


def test_page_of_a_peer_that_holds_nothing(world):
    p = world.peer("empty")
    shown = page(p)
    assert "0 RFCs, 0 B in all" in shown.text and shown.rows == []
    assert page(p, "/rfc/").links == ["/"]
    reply = fetch(p, "/rfc-index.txt")
    assert reply.status == 404 and reply.body == b"This peer does not hold rfc-index.txt.\n"
    reply = fetch(p, "/rfc/rfc1.txt")
    assert reply.status == 404 and reply.body == b"This peer does not hold RFC 1.\n"


def test_page_changes_with_the_library(world):
    p = world.peer("changing", {10: document(10), 2616: document(2616)})
    first = fetch(p, "/")
    shown = Reader(first.body.decode())
    assert shown.rows[0] == ["RFC", "Title", "Size"] and "holds no rfc-index.txt" in shown.text
    p.put(11, document(11))
    until(lambda: "11" in [row[0] for row in page(p).rows], "the document")
    assert fetch(p, "/", headers={"If-None-Match": first["ETag"]}).status == 200
    # Another index of the editor's: the same documents, other things to say of them.
    put_editors_index(p)
    until(lambda: ["2616", "A protocol of old", "4 KiB", "yes, see 7230, 9110"] in page(p).rows, "what is obsolete")
    assert fetch(p, "/rfc-index.txt").body == EDITORS_INDEX.encode()
    put_editors_index(p, EDITORS_INDEX.replace(" (Obsoleted by RFC7230, RFC9110)", ""))
    until(lambda: ["2616", "A protocol of old", "4 KiB", "no"] in page(p).rows, "what is obsolete no more")
    os.unlink(os.path.join(p.library, "rfc-index.txt"))
    until(lambda: page(p).rows[0] == ["RFC", "Title", "Size"], "the end of what is known")
    os.unlink(p.path(11))
    until(lambda: "11" not in [row[0] for row in page(p).rows], "the end of the document")
    with connect(p) as w:
        assert w.http("/rfc/rfc11.txt").status == 404


def test_titles_that_would_be_more_than_text(world):
    titles = {5: "<script>alert(1)</script>", 6: "</td></table><h1 onclick='x'>", 7: '"\'&amp;<!--', 8: "a\u202eb\u009bc"}
    p = world.peer("hostile", {n: document(n) for n in titles}, start=False)
    for number, title in titles.items():
        with open(os.path.join(p.library, f"rfc{number}.json"), "w", encoding="ascii") as f:
            json.dump({"title": title}, f)
    p.start()
    p.wait_scanned(len(titles))
    shown = page(p)
    assert [row[1] for row in shown.rows[1:]] == [titles[5], titles[6], titles[7], "a\ufffdb\ufffdc"]
    assert not shown.elements & {"script"} and "<script" in page(p, "/rfc/").text


def test_page_while_the_library_is_read_for_the_first_time(world):
    """A document so big that hashing it takes long enough to ask meanwhile. It is a hole: no disk is filled."""
    p = world.peer("busy", ini={"Store.MaxFileSize": "8G"}, start=False)
    os.makedirs(p.library)
    with open(p.path(5), "wb") as f:
        f.truncate(256 << 20)
    p.start()
    with connect(p) as w:
        reply = w.http("/")
        assert reply.status == 503 and reply["Retry-After"] == "1"
        assert w.http("/rfc/").status == 503
        assert w.http("/rfc/rfc5.txt").status == 503    # announced only once it has been hashed
        until(lambda: w.http("/", "HEAD").status == 200, "the end of the scan")
        assert "256.0 MiB in all" in page(p).text


def test_document_that_changes_is_another_one(world):
    p = world.peer("corrected", {10: document(10, 5000)})
    old = fetch(p, "/rfc/rfc10.txt")
    p.put(10, document(10, 5000, seed=1))
    with connect(p) as w:
        new = until(lambda: [r for r in [w.http("/rfc/rfc10.txt", headers={"If-None-Match": old["ETag"]})]
                             if r.status == 200], "the other one")[0]
        assert new.body == document(10, 5000, seed=1) and new["ETag"] == etag(new.body)
        # Who goes on with the old one gets the new one, whole.
        reply = w.http("/rfc/rfc10.txt", headers={"Range": "bytes=1000-", "If-Range": old["ETag"]})
        assert reply.status == 200 and reply.body == new.body
