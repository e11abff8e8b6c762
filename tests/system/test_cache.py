# SPDX-License-Identifier: BSD-2-Clause
"""Server.CacheSize=: documents that download threads have in memory."""

import contextlib
import os
import re

import pytest

from p2pdi.base import sanitizer, until
from p2pdi.documents import document, sha256


def digest(content):
    return f"sha-256={sha256(content)}"


def resident(p):
    with open(f"/proc/{p.pid}/status", encoding="ascii") as f:
        return int(re.search(r"^RssAnon:\s+(\d+) kB", f.read(), re.M)[1]) * 1024


def http(w, path, close=False):
    w.send(f"GET {path} HTTP/1.1\r\nHost: x\r\n{'Connection: close' + chr(13) + chr(10) if close else ''}\r\n".encode())
    while b"\r\n\r\n" not in w.buffer:
        w.receive()
    head, _, w.buffer = w.buffer.partition(b"\r\n\r\n")
    size = int(re.search(rb"Content-Length: (\d+)", head)[1])
    while len(w.buffer) < size:
        w.receive()
    body, w.buffer = w.buffer[:size], w.buffer[size:]
    return head.decode(), body


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5, 6])
def test_the_same_again_and_again(world, number):
    content = document(number, [0, 1, 3000, 100000, 1 << 20, (1 << 20) + 1][number - 1])
    p = world.peer("again", {number: content}, ini={"Server.Threads": 1})
    with p.connect() as w, p.connect() as h:
        for _ in range(3):
            reply = w.ask(f"GET RFC {number}")
            assert reply.body == content and reply["Digest"] == digest(content)
            head, body = http(h, f"/rfc/rfc{number}.txt")
            assert head.startswith("HTTP/1.1 200 ") and body == content and "Connection:" not in head
        # Heads that are kept do not get mixed up.
        head, body = http(h, f"/rfc/rfc{number}.txt", close=True)
        assert "Connection: close" in head and body == content
        if len(content) > 10:
            assert w.ask(f"GET RFC {number}", {"Range": "bytes=10-", "If-Digest": digest(content)}).body == content[10:]
        assert w.ask(f"GET RFC {number}").body == content


def test_what_is_in_memory_is_right_whatever_becomes_of_the_file(world):
    """Another byte in the same place, and the times as they were: nothing tells of it."""
    content = document(7, 5000)
    p = world.peer("memory", {7: content}, ini={"Server.Threads": 1})
    with p.connect() as w:
        assert w.ask("GET RFC 7").body == content
        p.rot(7)
        for _ in range(10):
            reply = w.ask("GET RFC 7")
            assert reply.body == content and reply["Digest"] == digest(content)


def test_document_that_is_cut_short_is_not_served_for_long(world):
    """truncate() alone closes nothing, so the watch tells nothing."""
    p = world.peer("cut", {7: document(7, 5000)}, ini={"Server.Threads": 1})
    with p.connect() as w:
        assert w.ask("GET RFC 7").status == 200
        os.truncate(p.path(7), 1000)

        def new_one():
            reply = w.ask("GET RFC 7")
            assert reply.status == 404 or reply["Digest"] == digest(reply.body)
            return reply.status == 200 and len(reply.body) == 1000
        until(new_one, "the shorter one")


def test_document_that_goes_is_not_served(world):
    p = world.peer("gone", {7: document(7, 5000)}, ini={"Server.Threads": 1})
    with p.connect() as w:
        assert w.ask("GET RFC 7").status == 200
        p.ctl("evict", "--force", "7")
        assert w.ask("GET RFC 7").status == 404


def test_no_more_memory_than_allowed(world):
    """8 MB are asked for, again and again."""
    if sanitizer():
        pytest.skip("a sanitizer keeps what was freed for a while, or notes who read it")
    documents = {n: document(n, 16000) for n in range(1, 501)}
    p = world.peer("bounded", documents, ini={"Server.Threads": 2, "Server.CacheSize": "1M"})
    p.wait_scanned(len(documents))

    def read_all():
        with p.connect() as a, p.connect() as b:
            for _ in range(2):
                for n, content in documents.items():
                    for w in (a, b):        # in turn: one that waits for long is closed
                        assert sha256(w.ask(f"GET RFC {n}").body) == sha256(content)
        return resident(p)

    before = resident(p)
    assert read_all() < before + (4 << 20)
    p.write_config({"Server.CacheSize": "0"})
    p.reload()
    assert read_all() < before + (4 << 20)
    p.write_config({"Server.CacheSize": None})
    p.reload()
    assert read_all() > before + (12 << 20)


def test_big_ones_are_kept_open_for_a_moment(world):
    documents = {n: document(n, 20000) for n in range(1, 161)}
    p = world.peer("open", documents, ini={"Server.Threads": 1})
    p.wait_scanned(len(documents))

    def n_open():
        n = 0
        for fd in os.listdir(f"/proc/{p.pid}/fd"):
            with contextlib.suppress(FileNotFoundError):        # closed meanwhile
                n += os.readlink(f"/proc/{p.pid}/fd/{fd}").startswith(p.library + "/")
        return n

    with p.connect() as w:
        for _ in range(2):
            for n, content in documents.items():
                assert w.ask(f"GET RFC {n}").body == content
        # A file in another's place is another document, whatever is open.
        other = document(1, 20001)
        p.put(1, other)
        until(lambda: w.ask("GET RFC 1").body == other and n_open() > 0, "the other one, its file open")
        assert n_open() <= 128
        until(lambda: n_open() == 0, "the files closed that nobody asks for")
