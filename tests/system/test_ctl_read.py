# SPDX-License-Identifier: BSD-2-Clause
"""p2pdi-ctl read and cat: documents on a terminal, in a pager, in a pipe."""

import os

import pytest

from p2pdi.documents import document
from p2pdi.tool import Terminal

PAGES = (b"\xef\xbb\xbf\n\nTest Working Group\n\n   a \\ b\tcaf\xc3\xa9\n\n\n\nAuthor          [Page 1]\n\f\nRFC 6    Title\n\n\n   end\n\f")
SHOWN = "\n\nTest Working Group\n\n   a \\ b\tcaf\u00e9\n\n\n\nAuthor          [Page 1]\n\nRFC 6    Title\n\n\n   end\n"
EVIL = b"\x1b]0;x\x07 \x1b[2J \x9b2J \xc2\x9b2J over\rwritten _\bA \x7f \xe2\x80\xae \0 caf\xe9\n"
HARMLESS = ("\\x1b]0;x\\x07 \\x1b[2J \\x9b2J \\u{009b}2J over\\x0dwritten _\\x08A \\x7f \\u{202e} \\x00 caf\\xe9\n")
LARGE = document(8, 3_000_000)


@pytest.fixture(scope="module")
def a(shared):
    """Has nothing itself."""
    rs = shared.rs()
    shared.peer("b", {5: EVIL, 6: PAGES, 7: document(7), 8: LARGE}, rs)
    return shared.peer("a", {}, rs)


@pytest.fixture
def pager(world):
    """Keeps what it is given in a file."""
    path, log = os.path.join(world.dir, "pager"), os.path.join(world.dir, "paged")
    with open(path, "w", encoding="utf-8") as f:
        f.write(f"#!/bin/sh\ncat >{log}\n")
    os.chmod(path, 0o755)
    return path, log


def on_terminal(a, *arguments, pager=""):
    """Exit code and bytes, with the line ends of a file."""
    with Terminal(*arguments, control=a.control, environment={"SYSTEMD_PAGER": pager, "SYSTEMD_PAGERSECURE": "0"}) as t:
        return t.end(), t.data.replace(b"\r\n", b"\n")


@pytest.mark.parametrize("verb", ["read", "cat"])
def test_pipe_gets_the_bytes(a, verb):
    for number, content in ((5, EVIL), (6, PAGES), (8, LARGE)):
        for more in ([], ["--raw"]):
            r = a.ctl(verb, str(number), *more)
            assert (r.code, r.err) == (0, "") and r.out == content, (verb, number)


@pytest.mark.parametrize("verb", ["read", "cat"])
def test_terminal_gets_text(a, verb):
    assert on_terminal(a, verb, "6") == (0, SHOWN.encode())
    assert on_terminal(a, verb, "5") == (0, HARMLESS.encode())
    assert on_terminal(a, verb, "--raw", "6") == (0, PAGES)
    assert on_terminal(a, verb, "--raw", "5") == (0, EVIL)
    code, data = on_terminal(a, verb, "8")
    assert code == 0 and data == LARGE


def test_cat_of_several_on_a_terminal(a):
    """A byte order mark is one at the start of each."""
    assert on_terminal(a, "cat", "6", "5", "6") == (0, (SHOWN + HARMLESS).encode())


def test_read_opens_the_pager_and_cat_does_not(a, pager):
    path, log = pager
    assert on_terminal(a, "read", "RFC", "6", pager=path) == (0, b"")
    with open(log, "rb") as f:
        assert f.read() == SHOWN.encode()
    assert on_terminal(a, "read", "6", "--raw", pager=path) == (0, b"")
    with open(log, "rb") as f:
        assert f.read() == PAGES
    os.unlink(log)
    for words in (["cat", "6"], ["read", "6", "--no-pager"]):
        assert on_terminal(a, *words, pager=path) == (0, SHOWN.encode())
    assert not os.path.exists(log)


def test_what_is_not_held_opens_no_pager(a, pager):
    path, log = pager
    assert on_terminal(a, "read", "8000", pager=path) == (3, b"RFC 8000 is not held by any reachable peer.\n")
    assert not os.path.exists(log)


def test_pager_that_is_left_early(a, world):
    quitter = os.path.join(world.dir, "quitter")
    with open(quitter, "w", encoding="utf-8") as f:
        f.write("#!/bin/sh\nhead -c 10\n")
    os.chmod(quitter, 0o755)
    assert on_terminal(a, "read", "8", pager=quitter) == (0, LARGE[:10])
