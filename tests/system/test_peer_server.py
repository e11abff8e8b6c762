# SPDX-License-Identifier: BSD-2-Clause
"""Section 3 of the protocol, as a peer serves it: RFCQuery and GetRFC, and the library behind them."""

import contextlib
import email.utils
import json
import os

import pytest

from p2pdi.base import until
from p2pdi.documents import document, flip, sha256
from p2pdi.wire import Closed, Wire, index_digest, parse_index, request

# Documents as they are: with whatever bytes, of whatever size.
ODD = {
    1: b"",
    2: b"x",
    3: b"no newline at the end",
    4: b"\xef\xbb\xbfwith a BOM\r\nand CRLF\r\n",
    5: b"NULs \0\0\0 and \x1b[2J escapes\n",
    6: bytes(range(256)) * 5,
    7: b"latin-1 \xe9\xe8\xff\n",
    8: b"\n" * 5000,
    2147483647: b"the last number there is\n",
}
PLAIN = {7230: document(7230, 209000), 7231: document(7231, 118), 9110: document(9110, 1600000),
         9112: document(9112, 65536)}


def index_of(peer):
    return {r.number: r for r in peer.index()[1]}


@pytest.fixture(scope="module")
def peer(shared):
    documents = {**PLAIN, **ODD}
    p = shared.peer("served", documents, ini={"Server.MaxConnectionsPerSource": 10000}, start=False)
    os.utime(p.path(7231), (1000000000, 1000000000))
    p.start()
    p.wait_scanned(len(documents))
    return p


def get(peer, number, headers=None, **more):
    with peer.connect() as w:
        return w.ask(f"GET RFC {number}", {**(headers or {}), **more})


# ---- RFCQuery ----

def test_index_is_a_record_a_line(peer):
    reply, records = peer.index()
    assert reply.status == 200
    documents = {**PLAIN, **ODD}
    assert [r.number for r in records] == sorted(documents)
    for r in records:
        content = documents[r.number]
        assert (r.holder, r.ttl, r.size, r.sha256) == ("-", 7200, len(content), sha256(content))
        assert len(r.title.encode()) <= 1024


def test_index_digest_is_over_the_own_records(peer):
    for headers in ({}, {"If-Generation": "0.0"}):
        reply, records = peer.index(**headers)
        assert reply["Index-Digest"] == index_digest(records)
    same, _ = peer.index(**{"If-Generation": reply["Generation"]})
    assert same["Index-Digest"] == reply["Index-Digest"]


def test_generation_says_what_is_new(peer):
    reply, records = peer.index(**{"If-Generation": "0.0"})
    epoch, number = reply["Generation"].split(".")
    assert int(epoch) > 0 and int(number) > 0
    again, _ = peer.index(**{"If-Generation": reply["Generation"]})
    assert again.status == 304 and again.body == b"" and again["Generation"] == reply["Generation"]
    # Whenever it is not known: all.
    for other in (f"{epoch}.{int(number) + 1}", f"{epoch}.0", f"{int(epoch) + 1}.{number}",
                  "18446744073709551615.18446744073709551615"):
        other_reply, other_records = peer.index(**{"If-Generation": other})
        assert other_reply.status in (200, 226)
        if other_reply.status == 200:
            assert other_reply.body == reply.body


def test_own_body_is_the_same_for_everybody(peer):
    with peer.connect("127.0.0.1") as a, peer.connect("127.0.0.2") as b:
        bodies = {w.ask("GET RFC-Index", {"If-Generation": g}).body for w in (a, b) for g in ("0.0", "5.5")}
    assert len(bodies) == 1


@pytest.mark.parametrize("wanted, numbers", [
    ("7230", [7230]), ("7230,9110-9114", [7230, 9110, 9112]), ("1-10", [1, 2, 3, 4, 5, 6, 7, 8]),
    ("9110,7230", [7230, 9110]), ("7230,7230,7000-8000", [7230, 7231]), ("4711", []),
    ("1-2147483647", sorted({**PLAIN, **ODD})),
])
def test_query_for_some_numbers(peer, wanted, numbers):
    reply, records = peer.index(RFC=wanted)
    assert reply.status == 200 and [r.number for r in records] == numbers
    assert "Generation" not in reply and "Index-Digest" not in reply


def test_numbers_and_a_generation_do_not_go_together(peer):
    with peer.connect() as w:
        assert w.ask("GET RFC-Index", {"RFC": "7230", "If-Generation": "0.0"}).status == 400
        w.expect_closed()


def test_first_scan_takes_a_moment(world):
    """A document so big that hashing it takes long enough to ask meanwhile. It is a hole: no disk is filled."""
    p = world.peer("busy", ini={"Store.MaxFileSize": "8G"}, start=False)
    os.makedirs(p.library)
    with open(p.path(5), "wb") as f:
        f.truncate(256 << 20)
    p.start()
    with p.connect() as w:
        reply = w.ask("GET RFC-Index")
        assert reply.status == 503 and reply["Retry-After"] == "1"
        reply = w.ask("GET RFC 5")                      # announced only once it has been hashed
        assert reply.status == 503 and reply["Retry-After"] == "1"
        with p.connect() as http:
            http.send(b"GET /rfc/rfc5.txt HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            http.receive()
            assert http.buffer.startswith(b"HTTP/1.1 503 ")
        until(lambda: w.ask("GET RFC-Index").status == 200, "the end of the scan")
        assert parse_index(w.ask("GET RFC-Index").body)[0].size == 256 << 20


# ---- GetRFC ----

@pytest.mark.parametrize("number", sorted({**PLAIN, **ODD}))
def test_document_comes_byte_for_byte(peer, number):
    content = {**PLAIN, **ODD}[number]
    reply = get(peer, number)
    assert reply.status == 200 and reply.body == content
    assert reply["Content-Type"] == "text/plain" and reply["Digest"] == f"sha-256={sha256(content)}"
    assert reply["Title"] == index_of(peer)[number].title
    modified = email.utils.parsedate_to_datetime(reply["Last-Modified"]).timestamp()
    assert modified == int(os.stat(peer.path(number)).st_mtime)


def test_document_that_is_not_held(peer):
    with peer.connect() as w:
        assert w.ask("GET RFC 4711").status == 404
        assert w.ask("GET RFC 7231").body == PLAIN[7231]        # the connection stays


def test_documents_one_after_the_other_on_a_connection(peer):
    with peer.connect() as w:
        w.send(b"".join(request(f"GET RFC {n}") for n in (7230, 1, 9110, 4711, 7231)))
        assert [len(w.reply().body) for _ in range(5)] == [209000, 0, 1600000, 0, 118]


# ---- ranges ----

def digest(content):
    return f"sha-256={sha256(content)}"


@pytest.mark.parametrize("first", [0, 1, 100000, 208999])
def test_range(peer, first):
    content = PLAIN[7230]
    reply = get(peer, 7230, {"Range": f"bytes={first}-", "If-Digest": digest(content)})
    assert reply.status == 206 and reply.body == content[first:]
    assert reply["Content-Range"] == f"bytes {first}-208999/209000"
    assert reply["Digest"] == digest(content)           # of the whole document


@pytest.mark.parametrize("first", [209000, 209001, 18446744073709551615])
def test_range_behind_the_end(peer, first):
    with peer.connect() as w:
        headers = {"Range": f"bytes={first}-", "If-Digest": digest(PLAIN[7230])}
        assert w.ask("GET RFC 7230", headers).status == 416
        assert w.ask("GET RFC 7231").status == 200


def test_range_of_an_empty_document(peer):
    assert get(peer, 1, {"Range": "bytes=0-", "If-Digest": digest(b"")}).status == 416


def test_range_of_another_document(peer):
    reply = get(peer, 7230, {"Range": "bytes=5-", "If-Digest": digest(b"another")})
    assert reply.status == 200 and reply.body == PLAIN[7230] and "Content-Range" not in reply


def test_range_without_digest(peer):
    assert get(peer, 7230, Range="bytes=5-").status == 200


@pytest.mark.parametrize("value", ["bytes=5-10", "bytes=-5", "lines=5-", "bytes=1-,5-"])
def test_other_ranges_give_the_whole(peer, value):
    assert get(peer, 7231, {"Range": value, "If-Digest": digest(PLAIN[7231])}).status == 200


# ---- the editor's index ----

def test_editors_index_that_is_not_held(peer):
    with peer.connect() as w:
        assert w.ask("GET RFC-Editor-Index").status == 404


EDITORS_INDEX = """
0005 Fifth of its kind. A. Author, B. Author. June 1969. (Format: TXT) (Status: UNKNOWN) (DOI: 10.17487/RFC0005)

0006 A title that goes
     on in the next line. A. Author. June 1969. (Format: TXT) (Status:
     UNKNOWN) (DOI: 10.17487/RFC0006)

""".lstrip()


def test_editors_index_that_is_held(world):
    p = world.peer("editor", start=False)
    os.makedirs(p.library)
    with open(os.path.join(p.library, "rfc-index.txt"), "w", encoding="ascii") as f:
        f.write(EDITORS_INDEX)
    p.start()
    p.wait_scanned(0)
    with p.connect() as w:
        reply = w.ask("GET RFC-Editor-Index")
        assert reply.status == 200 and reply.body == EDITORS_INDEX.encode()
        assert reply["Digest"] == digest(EDITORS_INDEX.encode()) and reply["Content-Type"] == "text/plain"


# ---- titles ----

def test_where_titles_come_from(world):
    """rfc-index.txt, else rfcN.json, else the text, else the number."""
    header = ("Test Working Group                                          A. Author\n"
              "Category: Informational                                 November 2026\n\n\n"
              "                  The Title in the Text\n\nAbstract\n\n   Nothing.\n")
    p = world.peer("titled", {n: header.encode() + b"%d" % n for n in (5, 6, 7, 8)} | {9: b"\0\0"}, start=False)
    with open(os.path.join(p.library, "rfc-index.txt"), "w", encoding="ascii") as f:
        f.write(EDITORS_INDEX)
    for number, title in ((5, "not this one"), (7, "From \u201cJSON\u201d \x1b]0;x\x07\u009b2J\n\ttab")):
        with open(os.path.join(p.library, f"rfc{number}.json"), "w", encoding="ascii") as f:
            json.dump({"doc_id": f"RFC{number}", "title": title, "pages": 5}, f)
    p.start()
    p.wait_scanned(5)
    titles = {n: r.title for n, r in index_of(p).items()}
    assert titles[5] == "Fifth of its kind" and titles[6] == "A title that goes on in the next line"
    assert titles[7].startswith("From \u201cJSON\u201d")
    assert titles[8] == "The Title in the Text" and titles[9] == "RFC 9"
    assert not any(ord(c) < 32 or ord(c) == 127 for t in titles.values() for c in t)
    # And a json that comes later is seen.
    with open(os.path.join(p.library, "rfc8.json"), "w", encoding="ascii") as f:
        json.dump({"title": "Told later"}, f)
    until(lambda: index_of(p)[8].title == "Told later", "the new title")


# ---- what happens in the directory ----

@pytest.fixture
def own(world):
    return world.peer("own", {10: document(10), 11: document(11)})


def generation(peer):
    return tuple(int(x) for x in peer.index(**{"If-Generation": "0.0"})[0]["Generation"].split("."))


def test_library_is_made_if_it_is_not_there(world):
    p = world.peer("new")
    assert p.stored() == [] and os.stat(p.library).st_mode & 0o777 == 0o755
    assert p.index()[1] == []


def test_document_that_is_dropped_in(own):
    before = generation(own)
    own.put(12, document(12))
    until(lambda: 12 in index_of(own), "the document")
    assert get(own, 12).body == document(12)
    epoch, number = generation(own)
    assert epoch == before[0] and number > before[1]
    reply, records = own.index()
    assert reply["Index-Digest"] == index_digest(records)


def test_document_that_is_written_in_place_is_announced_once_it_is_closed(own):
    with open(own.path(12), "wb") as f:
        f.write(document(12)[:1000])
        f.flush()
        # Neither looks at it: what came behind it is there, so whoever was asked to look has done so.
        assert get(own, 12).status == 404
        own.put(13, document(13))
        until(lambda: 13 in index_of(own), "the other document")
        assert own.ctl("get", "12").code != 0
        own.put(14, document(14))
        until(lambda: 14 in index_of(own), "the third document")
        assert 12 not in index_of(own) and get(own, 12).status == 404
        f.write(document(12)[1000:])
    until(lambda: 12 in index_of(own), "the document")
    assert index_of(own)[12].sha256 == sha256(document(12))


def test_document_that_is_removed(own):
    before = generation(own)
    os.unlink(own.path(10))
    until(lambda: 10 not in index_of(own), "its end")
    assert get(own, 10).status == 404 and get(own, 11).status == 200
    assert generation(own)[1] > before[1]


def test_document_that_changes(own):
    before = index_of(own)[10].sha256
    own.put(10, document(10, seed=1))
    until(lambda: index_of(own)[10].sha256 != before, "the other document")
    reply = get(own, 10)
    assert reply.body == document(10, seed=1) and reply["Digest"] == digest(reply.body)


def test_what_is_sent_is_always_what_its_digest_says(own):
    """A document is swapped again and again, before the watch can have told: 404 for a moment, never wrong bytes."""
    contents = [document(10, 5000, seed) for seed in range(30)]
    with own.connect() as w:
        for content in contents:
            own.put(10, content)
            reply = w.ask("GET RFC 10")
            assert reply.status == 404 or reply["Digest"] == digest(reply.body)
        until(lambda: w.ask("GET RFC 10").body == contents[-1], "the last one")


def test_document_that_is_cut_short_while_it_is_sent(own):
    """More than fits between the two ends. It is a hole: no disk is filled."""
    with open(own.path(13), "wb") as f:
        f.truncate(60000000)
    until(lambda: 13 in index_of(own), "the document")
    with Wire(own.endpoint) as w:
        w.send(request("GET RFC 13"))
        while b"\r\n\r\n" not in w.buffer:
            w.receive()
        os.truncate(own.path(13), 1000)
        with pytest.raises((Closed, ConnectionResetError)):
            w.reply()
    with own.connect() as w:
        assert w.ask("GET RFC 11").status == 200
    until(lambda: index_of(own)[13].size == 1000, "the shorter one")


def test_what_is_no_document_is_not_one(own):
    os.makedirs(own.path(20))
    os.symlink("/etc/passwd", own.path(21))
    os.symlink(own.path(10), own.path(22))
    os.mkfifo(own.path(23))
    for name in ("rfc024.txt", "RFC25.txt", "rfc26.txt~", "rfc27", "rfc2147483648.txt", "rfc0.txt", "rfc-28.txt",
                 ".rfc29.txt", "rfc 30.txt"):
        with open(os.path.join(own.library, name), "wb") as f:
            f.write(document(1))
    own.put(31, document(31))
    until(lambda: 31 in index_of(own), "the document")
    for name in ("rfc21.txt", "rfc22.txt"):
        own.wait_log(f"{name} is left out of the library: it is a symbolic link")
    own.wait_log("rfc23.txt is left out of the library: it is not a regular file")
    assert sorted(index_of(own)) == [10, 11, 31]
    for number in (20, 21, 22, 23):
        assert get(own, number).status == 404
    own.restart()
    own.wait_scanned(3)
    assert sorted(index_of(own)) == [10, 11, 31]


def test_document_that_becomes_a_symlink(own):
    os.unlink(own.path(10))
    os.symlink("/etc/passwd", own.path(10))
    assert get(own, 10).status == 404
    until(lambda: 10 not in index_of(own), "its end")


def test_document_over_the_limit(world):
    p = world.peer("small", {1: b"x" * 1024, 2: b"x" * 1025}, ini={"Store.MaxFileSize": "1K"}, start=False)
    p.start()
    p.wait_scanned(1)
    assert sorted(index_of(p)) == [1]
    p.wait_log("rfc2.txt is left out of the library: it is bigger than Store.MaxFileSize=")


def test_second_start_knows_all_and_has_another_epoch(own):
    reply, records = own.index()
    own.restart()
    own.wait_scanned(2)
    again, same = own.index()
    assert [r.line for r in same] == [r.line for r in records] and again["Index-Digest"] == reply["Index-Digest"]
    assert again["Generation"].split(".")[0] != reply["Generation"].split(".")[0]


def test_what_changed_while_it_was_down_is_seen(own):
    own.stop()
    os.unlink(own.path(10))
    own.put(11, document(11, seed=5))
    own.put(12, document(12))
    own.start()
    own.wait_scanned(2)
    found = {n: r.sha256 for n, r in index_of(own).items()}
    assert found == {11: sha256(document(11, seed=5)), 12: sha256(document(12))}


def test_files_that_a_crash_left_are_removed(own):
    own.kill()
    with open(os.path.join(own.library, ".p2pdi-7230-x"), "wb") as f:
        f.write(b"half a document")
    own.start()
    own.wait_scanned(2)
    assert own.stored() == ["rfc10.txt", "rfc11.txt"]


# ---- many at once ----

def test_200_downloads_at_once(peer):
    with contextlib.ExitStack() as stack:
        wires = [stack.enter_context(peer.connect()) for _ in range(200)]
        for i, w in enumerate(wires):
            w.send(request(f"GET RFC {(7230, 9112, 7231)[i % 3]}"))
        for i, w in enumerate(wires):
            assert w.reply().body == PLAIN[(7230, 9112, 7231)[i % 3]]


def test_who_does_not_read_holds_up_nobody(peer):
    with contextlib.ExitStack() as stack:
        for _ in range(50):
            w = stack.enter_context(Wire(peer.endpoint))
            w.send(request("GET RFC 9110") * 20)
        for _ in range(20):
            assert get(peer, 7230).body == PLAIN[7230]


def test_served_documents_are_logged(peer):
    after = peer.mark()
    get(peer, 7231, Transaction="0123456789abcdef")
    peer.wait_log(r"RFC 7231 served \(get-rfc ok, 127\.0\.0\.1:\d+, 118 bytes, .*\) \[0123456789abcdef\]$", after)


def test_document_that_changes_in_place_and_keeps_its_size(own):
    stat = os.stat(own.path(10))
    with open(own.path(10), "r+b") as f:
        f.write(flip(document(10), 0)[:1])
    os.utime(own.path(10), ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    until(lambda: index_of(own)[10].sha256 == sha256(flip(document(10), 0)), "the other document")


def test_library_that_goes_and_comes_back(own):
    """As with a disk that is unmounted and mounted again."""
    before, after = {n: r.line for n, r in index_of(own).items()}, own.mark()
    assert 10 in before
    epoch, number = generation(own)
    away = own.library + ".away"
    os.rename(own.library, away)
    until(lambda: not index_of(own), "the end of all")
    own.wait_log(f"The library {own.library} is gone: No such file or directory", after)
    assert get(own, 10).status == 404
    assert generation(own)[0] == epoch and generation(own)[1] > number
    assert own.json("list") == []
    assert not os.path.exists(own.library)

    os.mkdir(own.library)
    own.put(40, document(40))
    until(lambda: sorted(index_of(own)) == [40], "the document in another directory")
    own.wait_log(f"The library {own.library} is there again", after)
    assert get(own, 40).body == document(40)

    os.unlink(own.path(40))
    os.rmdir(own.library)
    own.wait_log("is gone", after, n=2)
    os.rename(away, own.library)
    until(lambda: {n: r.line for n, r in index_of(own).items()} == before, "all as it was")
    assert get(own, 10).body == own.content(10)
