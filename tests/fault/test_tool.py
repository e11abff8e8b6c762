# SPDX-License-Identifier: BSD-2-Clause
"""The tool on a host that fails: it does what it was asked and says nothing else, or says what failed and ends with a status."""

import collections
import contextlib
import errno
import os
import re
import shutil
import time

import pytest

from fault import ALL, GONE, HARMLESS, KINDS, WAYS, Fault, Source, some, totals, way_name
from p2pdi.base import program
from p2pdi.documents import document, sha256
from p2pdi.tool import ctl

OWN = {101: document(101, 4000), 102: document(102, 300000)}
HELD = {1: document(1, 5000)}
IMPORTED = document(50, 30000)
TOGETHER = {51: document(51, 3000), 52: document(52, 200000)}
# In other words: what has gone is the daemon; a file that can't be had is said to be so.
WORDS = r"no memory|connection"


class Tool:
    """Both daemons, which nothing happens to, and a tool that it happens to each time that it is run."""

    def __init__(self, world):
        self.world = world
        self.fault = Fault(world.dir)
        self.rs = world.rs()
        world.peer("bob", HELD, self.rs)
        self.alice = world.peer("alice", OWN, self.rs)
        self.alice.wait_registered()
        assert self.alice.ctl("refresh").code == 0
        self.out = os.path.join(world.dir, "out")
        self.file = os.path.join(world.dir, "rfc50.txt")
        with open(self.file, "wb") as f:
            f.write(IMPORTED)
        self.directory = os.path.join(world.dir, "documents")
        os.mkdir(self.directory)
        for n, content in TOGETHER.items():
            with open(os.path.join(self.directory, f"rfc{n}.txt"), "wb") as f:
                f.write(content)
        with open(os.path.join(self.directory, "SHA256SUMS"), "w", encoding="ascii") as f:
            f.writelines(f"{sha256(content)}  rfc{n}.txt\n" for n, content in TOGETHER.items())
        self.source = Source(program("p2pdi-ctl"))
        self.problems = []
        self.injected = collections.Counter()

    def run(self, arguments):
        rs = arguments[0] == "registrations"
        return ctl(*arguments, control=(self.rs if rs else self.alice).control, rs=rs, env={**os.environ, **self.fault.environment})

    def fails(self, arguments, kind, what, n, judge):
        """Lets the n-th call fail. False: there is none any more."""
        self.fault.arm([kind], what, n, every=ALL)
        try:
            r = self.run(arguments)
        finally:
            counted, failed = self.fault.disarm()
        site = self.fault.last_failed()
        told = None
        if failed:
            self.injected[kind, what] += 1
        if not failed or r.code == 0 or what in HARMLESS:
            told = judge(r)
        elif r.code < 0:
            told = "is killed"
        elif not re.search(f"{re.escape(os.strerror(what))}|{WORDS}", r.err):
            told = "nobody says what failed"
        if told:
            self.source.resolve(site.frames)
            path = " < ".join(self.source.name(f) for f in site.frames[:5])
            self.problems.append(f"{' '.join(arguments)}: {way_name(what)} at call {n} ({kind}), {site.function} in {path}: {told}\n"
                                 f"status {r.code}\n{r.out[-1000:]}\n{r.err}")
        return failed or counted >= n


def same(text):
    """Whatever time passes is not the same."""
    return re.sub(r"([0-9.]+(us|ms|s|min|h) *)+", "- ", re.sub(r" +", " ", text))


def but_for_what_was_there(text):
    """A document is written anew where what is there could not be compared with it."""
    return re.sub(r"of which \d+ were there", "of which - were there", text)


VERBS = {
    "get": ["get", "101"],
    "cat": ["cat", "102"],
    "list": ["list"],
    "list-all": ["list", "--all", "--json=short"],
    "search": ["search", "synthetic"],
    "show": ["show", "101"],
    "where": ["where", "1"],
    "pin": ["pin", "101"],
    "verify": ["verify"],
    "import": ["import", "FILE"],
    "import-directory": ["import", "DIRECTORY"],
    "export": ["export", "--to=OUT"],
    "export-again": ["export", "--to=OUT", "101-102"],
    "log-level": ["log-level"],
    "cat-config": ["cat-config", "peer", "--config=CONFIG"],
    "check-config": ["check-config", "peer", "--config=CONFIG"],
    "status": ["status"],
    "peers": ["peers"],
    "sync": ["sync", "--dry-run"],
    "registrations": ["registrations"],
}


@pytest.fixture(scope="module")
def tool(shared):
    t = Tool(shared)
    yield t
    totals.add("p2pdi-ctl", t.injected, t.fault.sites())


@pytest.mark.parametrize("name", VERBS)
def test_says_what_failed(tool, name):
    arguments = [a.replace("FILE", tool.file).replace("DIRECTORY", tool.directory).replace("OUT", tool.out).replace("CONFIG", tool.alice.config)
                 for a in VERBS[name]]

    def begin():
        if name != "export-again":
            shutil.rmtree(tool.out, ignore_errors=True)

    def exported(number):
        with open(os.path.join(tool.out, f"rfc{number}.txt"), "rb") as f:
            return f.read()

    tool.problems.clear()
    shutil.rmtree(tool.out, ignore_errors=True)
    tool.run(arguments)
    begin()
    wanted = tool.run(arguments)
    assert wanted.code == 0

    def judge(r):
        if r.code != 0:
            return "this is no failure"
        if same(r.text) != same(wanted.text) or (name.startswith("export") and {n: exported(n) for n in OWN} != OWN):
            return "something else is told"
        said, expected = same(r.err), same(wanted.err)
        if name == "export-again":
            said, expected = but_for_what_was_there(said), but_for_what_was_there(expected)
        if said != expected and not re.search(WORDS, r.err):
            return "something else is noted"
        return None
    for kind in KINDS:
        for what in WAYS[kind] if ALL else some(WAYS[kind]):
            n = 1
            start = time.monotonic()
            begin()
            while tool.fails(arguments, kind, what, n, judge):
                n += 1
                begin()
            totals.seconds["p2pdi-ctl", kind] += time.monotonic() - start
    assert not tool.problems, "\n\n".join(tool.problems)
