# SPDX-License-Identifier: BSD-2-Clause
"""A client that a stranger could have written: 60 lines, nothing of ours, all it needs from the definitions and the manual."""

import ast
import os
import subprocess
import sys

import pytest

from p2pdi.documents import document

CLIENT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "client.py")
LINES_MAX = 60


@pytest.fixture(scope="module")
def net(shared):
    rs = shared.rs()
    b = shared.peer("b", {7: document(7, 900000), 9: document(9)}, rs)
    a = shared.peer("a", {8: document(8)}, rs)
    return a, b


def client(daemon, *arguments):
    # Isolated: neither this directory nor anything that is set here is of use to it.
    return subprocess.run([sys.executable, "-I", CLIENT, daemon.control, *arguments], stdin=subprocess.DEVNULL,
                          capture_output=True, timeout=60, check=False)


def test_it_is_short_and_on_its_own():
    with open(CLIENT, encoding="utf-8") as f:
        text = f.read()
    assert text.count("\n") <= LINES_MAX
    imported = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            imported |= {getattr(node, "module", None) or name.name for name in node.names}
    assert imported <= set(sys.stdlib_module_names) and not imported & {"subprocess", "ctypes"}


def test_it_gets_what_another_peer_has(net):
    a, b = net
    r = client(a, "get", "7")
    assert r.returncode == 0 and r.stdout == b.content(7), r.stderr
    states = [line.split()[0] for line in r.stderr.decode().splitlines()]
    assert states[-1] == "done" and "fetching" in states
    assert r.stderr.decode().splitlines()[-1] == "done 900000"


def test_it_lists_what_is_known(net):
    a, _ = net
    assert a.ctl("refresh").code == 0
    r = client(a, "list")
    assert (r.returncode, r.stderr) == (0, b"")
    rows = [line.split("\t") for line in r.stdout.decode().splitlines()]
    assert [(row[0], row[1], row[2]) for row in rows] == [("7", "900000", "1"), ("8", "4000", "0"), ("9", "4000", "1")]


def test_it_handles_an_error(net):
    a, _ = net
    r = client(a, "get", "77")
    assert (r.returncode, r.stdout) == (1, b"") and r.stderr.endswith(b"NotHeld {'number': 77}\n"), r.stderr
    r = client(a, "get", "0")
    assert r.returncode == 1 and r.stderr == b"InvalidParameter {'parameter': 'numbers'}\n"
