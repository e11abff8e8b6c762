# SPDX-License-Identifier: BSD-2-Clause
"""p2pdi-ctl: every exit code of its table, as it really comes about."""

import os
import re
import socket

import pytest

from p2pdi.base import SOURCE
from p2pdi.documents import document, flip
from p2pdi.tool import ctl
from test_ctl import FakeControl, download, error
from test_find import put_index


def done(world):
    return world.peer("a", {7: document(7)}).ctl("get", "7"), "RFC 7: in store"


def failure(world):
    a = world.peer("a")
    return a.ctl("leave"), "No registration server is configured."


def usage(world):
    return ctl("get", "seven"), "'seven' is no RFC number: write 1 to 2147483647, as in 7230, rfc7230.txt, bcp14, or a range 7230-7235."


def not_held(world):
    a = world.peer("a", {}, world.server([world.holder({8: document(8)})]))
    return a.ctl("get", "7"), "RFC 7 is not held by any reachable peer."


def never_issued(world):
    a = world.peer("a", {}, world.server([world.holder({8: document(8)})]))
    put_index(a, "0007 Not Issued.\n\n0008 A title. A. Author. May 2001. (Format: TXT) (Status: UNKNOWN)\n")
    return a.ctl("get", "7"), "RFC 7 was never issued."


def no_daemon(world):
    return ctl("status", control=os.path.join(world.dir, "nothing")), f"Nobody answers on {world.dir}/nothing: is p2pdi-peerd running?"


def no_peers(world):
    return world.peer("a").ctl("get", "7"), "No peer is active."


def integrity(world):
    b = world.holder({7: document(7)}, on_get=lambda fake, *_: fake.document(7)[:-1] + flip(document(7)[-1:], 0))
    a = world.peer("a", {}, world.server([b]))
    return a.ctl("get", "7"), "RFC 7 did not match the digest that its holder stated, and was thrown away."


def timeout(world):
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(os.path.join(world.dir, "silent"))
        s.listen()
        return ctl("status", "--timeout=50ms", control=s.getsockname()), "No answer within 50ms."


# A disk that is full, and a user who may not, are not to be had everywhere.
def no_space(world):
    fake = world.keep(FakeControl(world, download("no-space")))
    return ctl("get", "7", control=fake.path), "RFC 7 does not fit: there is no space left."


def denied(world):
    fake = world.keep(FakeControl(world, error("org.varlink.service.PermissionDenied")))
    return ctl("leave", control=fake.path), "Not allowed: use sudo, or be named by Control.AllowUsers= or AllowGroups="


HOW = {"OK": done, "FAILURE": failure, "USAGE": usage, "NOT-HELD": not_held, "NEVER-ISSUED": never_issued,
       "NO-DAEMON": no_daemon, "NO-PEERS": no_peers, "INTEGRITY": integrity, "TIMEOUT": timeout, "NO-SPACE": no_space,
       "DENIED": denied}


def table():
    with open(os.path.join(SOURCE, "src/ctl/exit-codes.h"), encoding="utf-8") as f:
        return {name: int(code) for code, name in re.findall(r'X\((\d+), \w+, "([^"]+)"', f.read())}


def test_this_is_about_all_of_them():
    assert set(table()) == set(HOW) and sorted(table().values()) == list(range(len(HOW)))


@pytest.mark.parametrize("name", HOW)
def test_exit_code(world, name):
    r, says = HOW[name](world)
    assert r.code == table()[name], r
    assert r.err.splitlines()[-1].rstrip(".") == says.rstrip("."), r
    assert bool(r.out) == (r.code == 0)
