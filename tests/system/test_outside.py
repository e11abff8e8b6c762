# SPDX-License-Identifier: BSD-2-Clause
"""Nothing outside of the library is opened, by whatever name it is asked for: inotify tells of each open(), whoever does it."""

import ctypes
import itertools
import os

import pytest

from p2pdi.base import until
from p2pdi.documents import document, sha256
from p2pdi.wire import Closed

IN_OPEN = 0x20
libc = ctypes.CDLL(None, use_errno=True)
SECRET = b"a private key\n"


class Watched:
    """A directory with a secret, beside the library, and how often something in it was opened."""

    def __init__(self, path):
        self.path = path
        os.mkdir(path)
        self.secret = os.path.join(path, "rfc7.txt")
        for name in ("rfc7.txt", "secret"):
            with open(os.path.join(path, name), "wb") as f:
                f.write(SECRET)
        self.fd = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        assert self.fd >= 0 and libc.inotify_add_watch(self.fd, path.encode(), IN_OPEN) >= 0

    def opened(self):
        try:
            return len(os.read(self.fd, 65536)) > 0
        except BlockingIOError:
            return False

    def close(self):
        os.close(self.fd)


@pytest.fixture
def watched(world):
    return world.keep(Watched(os.path.join(world.dir, "outside")))


@pytest.fixture
def peer(world, watched):
    p = world.peer("p", {1: document(1)})
    assert os.path.dirname(os.path.dirname(p.state_dir)) == world.dir       # so that ../../../outside is it
    return p


NAMES = ["../../../outside/rfc7.txt", "rfc1/../../../../outside/rfc7.txt", "rfc1.txt/../../../../outside/secret", "{watched}/secret",
         "rfc1.txt\0/../../../../outside/secret", "..%2f..%2f..%2foutside%2fsecret", "%2e%2e/%2e%2e/%2e%2e/outside/secret",
         "....//....//....//outside/secret", "..\\..\\..\\outside\\secret", "%c0%ae%c0%ae/%c0%ae%c0%ae/%c0%ae%c0%ae/outside/secret",
         "rfc1.txt%00../../../outside/secret", "//{watched}/secret", "file://{watched}/secret"]


def test_it_is_seen(watched):
    with open(watched.secret, "rb"):
        pass
    assert watched.opened() and not watched.opened()


LINES = ["GET RFC {} P2P-DI/1.0", "GET {} P2P-DI/1.0", "GET /rfc/{} HTTP/1.0", "GET /{} HTTP/1.0", "GET {} HTTP/1.0"]


def test_names_on_the_wire(peer, watched):
    for line, name in itertools.product(LINES, NAMES):
        with peer.connect() as w:
            w.send(line.format(name.format(watched=watched.path)).encode() + b"\r\n\r\n")
            said = b""
            while more := w.socket.recv(65536):
                said += more
                if b"\r\n\r\n" in said and said.split(b" ")[1] in (b"404", b"405"):     # the connection stays
                    break
            assert said.split(b" ")[1] in (b"400", b"404", b"405") and SECRET not in said, (line, name, said)
    assert not watched.opened()


def test_names_for_the_tool(peer, watched):
    names = [name.format(watched=watched.path) for name in NAMES if "\0" not in name]
    for verb in ("get", "cat", "evict", "pin"):
        r = peer.ctl(verb, *names)
        assert r.code == 2 and r.out == b"", r
    with peer.varlink() as v:
        for name in names:
            assert v.call("org.p2pdi.Peer.Get", {"numbers": [name]})["error"] == "org.varlink.service.InvalidParameter"
        with pytest.raises(Closed):             # no JSON of ours has a NUL in it
            v.call("org.p2pdi.Peer.Get", {"numbers": ["1\0/../../../outside/secret"]})
    assert not watched.opened()


def test_links_in_the_library(peer, watched):
    """To a file, to a directory, and in the place of one that was served a moment ago."""
    os.symlink(watched.secret, peer.path(7))
    os.symlink(watched.path, os.path.join(peer.library, "rfc8.txt"))
    os.unlink(peer.path(1))
    os.symlink(watched.secret, peer.path(1))
    peer.put(9, document(9))
    peer.wait_log(r"rfc7\.txt is left out of the library: it is a symbolic link")
    until(lambda: [r.number for r in peer.index()[1]] == [9], "the index without links")
    with peer.connect() as w:
        for number in (1, 7, 8):
            assert w.ask(f"GET RFC {number}").status == 404
    assert peer.ctl("get", "1", "7", "8").code != 0 and peer.ctl("verify").code == 0
    assert not watched.opened()


def test_names_of_others(world, watched):
    """A holder that answers with a path where titles, digests and places belong."""
    content = document(7)
    evil = "../../../outside/secret"
    b = world.holder({7: content})
    b.statements = {7: b.record(7, title=evil)}
    b.on_get = lambda f, c, n: f.head(200, len(content), Content_Type="text/plain", Digest=f"sha-256={sha256(content)}",
                                      Title=evil, Content_Location=evil, Location=evil,
                                      Content_Disposition=f'attachment; filename="{evil}"') + content
    a = world.peer("a", {}, world.server([b]))
    a.get(7)
    assert a.stored() == ["rfc7.txt"] and a.content(7) == content
    assert not watched.opened() and sorted(os.listdir(watched.path)) == ["rfc7.txt", "secret"]
