# SPDX-License-Identifier: BSD-2-Clause
"""p2pdi-peerd, or the tool, is killed while documents come and go: after the next start each file is whole, what was
answered is so, the catalogue agrees with the files, and nothing is left over.

Power that fails can't be tried by a kill, as the kernel goes on: that each answer comes after the flush of what it says is
test_flush.py's.
"""

import os
import random
import re
import signal
import subprocess
import threading

import pytest

from killing import KILLS, KINDS_OF_WORK, SEED, Killer, Points, be_killed, killed_at_start
from p2pdi.documents import document, flip, sha256
from p2pdi.tool import start_ctl
from p2pdi.varlink import sealed
from p2pdi.wire import Closed

NUMBERS = range(1, 161)
SIZES = (60, 4000, 70000, 300000)
DOCUMENTS = {n: document(n, SIZES[n % len(SIZES)]) for n in NUMBERS}
ROTTEN_AT = min(SIZES) // 2
# More than so many are evicted before the next round, so that there is always something to fetch.
HELD_MAX = 90
INDEX = "RFC INDEX\n---------\n\n" + "".join(
    f"{n} Title of {n}. A. Author. June 2014. (Format: TXT) (Status: INFORMATIONAL)\n\n" for n in NUMBERS)


class Library:
    """A peer that is killed, and what it must hold by what it answered."""

    def __init__(self, world, kind):
        self.world, self.kind = world, kind
        self.random = random.Random(f"{SEED}/{kind}")
        self.killer = Killer(world, "victim")
        self.rs = world.rs({"Log.Level": "info", "Log.TransactionsPerSec": 0})
        quiet = {"Log.Level": "info", "Log.TransactionsPerSec": 0}
        world.peer("holder", DOCUMENTS, self.rs, ini=quiet, listen="127.0.0.2:auto")
        self.peer = world.peer("victim", {}, self.rs, ini=quiet, listen="127.0.0.3:auto", start=False)
        self.peer.environment = self.killer.environment()
        os.makedirs(self.peer.library)
        with open(os.path.join(self.peer.library, "rfc-index.txt"), "w", encoding="utf-8") as f:
            f.write(INDEX)
        self.held, self.pinned = set(), set()   # as answered
        self.open_held, self.open_pinned = set(), set()         # either may be true: no answer came
        self.rotten = {}                # number: bytes that turned
        self.settled = set()            # answered as repaired
        self.peer_id = None
        self.source = os.path.join(world.dir, "source")
        os.makedirs(self.source)
        self.tool_status = None

    # -- what it is killed at --

    def absent(self, n):
        return self.random.sample(sorted(set(NUMBERS) - self.held), n)

    def some_held(self, n):
        return self.random.sample(sorted(self.held), min(n, len(self.held)))

    def replies(self, method, parameters, more=True):
        """Until it is dead."""
        try:
            with self.peer.varlink() as v:
                if more:
                    yield from v.call_more(f"org.p2pdi.Peer.{method}", parameters)
                else:
                    yield v.call(f"org.p2pdi.Peer.{method}", parameters)
        except (OSError, Closed):
            return

    def downloads(self, method, parameters):
        """Numbers that are answered as stored, as they come."""
        for reply in self.replies(method, parameters):
            assert "error" not in reply, reply
            d = reply["parameters"].get("download")
            if d and d["state"] == "done":
                assert d["result"] == "ok", d
                yield d["number"]

    def get(self):
        numbers = self.absent(4)
        self.open_held.update(numbers)
        for number in self.downloads("Get", {"numbers": numbers}):
            self.now_held(number)

    def sync(self):
        numbers = self.absent(12)
        self.open_held.update(numbers)
        for reply in self.replies("Sync", {"ranges": [str(n) for n in numbers]}):
            s = reply["parameters"]["sync"]
            if s["state"] == "done":
                assert s["documentsFetched"] == 12, s
                for number in numbers:
                    self.now_held(number)

    def import_(self):
        """Three calls after each other on one connection, of four documents each."""
        numbers = self.absent(12)
        self.open_held.update(numbers)
        try:
            with self.peer.varlink() as v:
                for i in range(0, 12, 4):
                    part = [(n, DOCUMENTS[n]) for n in numbers[i:i + 4]]
                    files = [{"number": n, "size": len(c), "sha256": sha256(c)} for n, c in part]
                    fd = sealed(b"".join(c for _, c in part))
                    v.send("org.p2pdi.Peer.Import", {"files": files}, fd)
                    os.close(fd)
                for _ in range(3):
                    for one in v.reply()["parameters"]["imported"]:
                        assert one["result"] == "ok", one
                        self.now_held(one["number"])
        except (OSError, Closed):
            return

    def keep(self):
        """Pinned, let go, evicted."""
        pin, unpin, evict = self.some_held(3), sorted(self.pinned)[:2], self.some_held(3)
        for method, numbers in (("Pin", pin), ("Unpin", unpin), ("Evict", evict)):
            if not numbers:
                continue
            self.open_pinned.update(numbers)
            if method == "Evict":
                self.open_held.update(numbers)
            for reply in self.replies(method, {"numbers": numbers, **({"force": True} if method == "Evict" else {})}):
                kept = reply["parameters"]["kept"]
                if method == "Evict":
                    # Not held: the same call was cut off before, or it goes by now.
                    assert kept["result"] == "ok", kept
                    self.now_held(kept["number"], False)
                self.now_pinned(kept["number"], method == "Pin")

    def repair(self):
        """Bits turn in some, and nothing tells of it but their digest."""
        for number in self.some_held(3):
            if number not in self.rotten:
                self.rotten[number] = flip(DOCUMENTS[number], ROTTEN_AT)
                self.peer.rot(number, ROTTEN_AT)
        for number in self.downloads("Repair", {"numbers": sorted(self.rotten)}):
            self.settled.add(number)

    def tool(self, *arguments):
        """The tool is the one that is killed."""
        environment = {**os.environ, **self.killer.environment()}
        process = start_ctl("-q", *arguments, control=self.peer.control, env=environment)
        out, err = process.communicate(timeout=60)
        assert process.returncode in (0, -signal.SIGKILL), err
        self.tool_status = process.returncode
        return process.returncode == 0

    def import_tool(self):
        numbers = self.absent(8)
        paths = []
        for n in numbers:
            paths.append(os.path.join(self.source, f"rfc{n}.txt"))
            with open(paths[-1], "wb") as f:
                f.write(DOCUMENTS[n])
        self.open_held.update(numbers)
        if self.tool("import", *paths):
            for n in numbers:
                self.now_held(n)

    def export_tool(self):
        target = os.path.join(self.world.dir, f"export-{len(os.listdir(self.world.dir))}")
        done = self.tool("export", f"--to={target}")
        names = os.listdir(target) if os.path.isdir(target) else []
        for name in names:
            if name.startswith("rfc") and name[3].isdigit():
                with open(os.path.join(target, name), "rb") as f:
                    assert f.read() == DOCUMENTS[int(name[3:-4])], f"{name} was exported in part"
        if not done:
            r = self.peer.ctl("export", f"--to={target}")
            assert r.code == 0, r
        names = os.listdir(target)
        assert {f"rfc{n}.txt" for n in self.held} <= set(names)
        assert not [n for n in names if n.startswith(".")], names
        subprocess.run(["sha256sum", "--quiet", "-c", "SHA256SUMS"], cwd=target, check=True)

    def work(self):
        getattr(self, self.kind)()

    # -- what was answered --

    def now_held(self, number, held=True):
        self.open_held.discard(number)
        (self.held.add if held else self.held.discard)(number)

    def now_pinned(self, number, pinned):
        self.open_pinned.discard(number)
        (self.pinned.add if pinned else self.pinned.discard)(number)

    # -- and what is --

    def started(self):
        statuses = self.peer.statuses()
        return statuses and re.search(r", \d+ documents?, registered at 1 of 1 server", statuses[-1])

    def start(self):
        self.peer.start()
        self.peer.wait("the end of its start", self.started)

    def check(self):
        peer = self.peer
        names = peer.stored()
        files = {int(name[3:-4]) for name in names if name != "rfc-index.txt"}
        assert names == sorted(["rfc-index.txt"] + [f"rfc{n}.txt" for n in files]), "something is left over"
        for n in files:
            content = peer.content(n)
            assert content == DOCUMENTS[n] or (content == self.rotten.get(n) and n not in self.settled), f"RFC {n} is not whole"
        self.mend()
        listed = {d["number"]: d for d in peer.json("list")}
        assert set(listed) == files, "the catalogue does not agree with the files"
        lost, back = self.held - self.open_held - files, files - self.held - self.open_held
        assert not lost and not back, f"stored, and lost: {lost}; gone, and back: {back}"
        pinned = {n for n, d in listed.items() if d["pinned"]}
        wrong = (pinned ^ self.pinned) - self.open_pinned
        assert not wrong, f"pinned {pinned & wrong}, answered as {self.pinned & wrong}"
        self.held, self.pinned, self.open_held, self.open_pinned = files, pinned, set(), set()
        r = peer.ctl("verify")
        assert r.code == 0, r
        assert peer.count_log("was damaged: it was moved aside") == 0
        self.check_registration()

    def mend(self):
        """What was not repaired when it was killed still can be."""
        if self.rotten:
            for number in self.downloads("Repair", {"numbers": sorted(self.rotten)}):
                self.settled.add(number)
            for n in self.rotten:
                assert self.peer.content(n) == DOCUMENTS[n], f"RFC {n} can't be repaired any more"
        self.rotten, self.settled = {}, set()

    def check_registration(self):
        """One peer at one address, however often it was killed: it comes back with its cookie."""
        ids = [r["peerId"] for r in self.rs.json("registrations", "--all") if r["address"].startswith("127.0.0.3:")]
        assert len(ids) == 1 and self.peer_id in (None, ids[0]), ids
        self.peer_id = ids[0]

    def make_room(self):
        surplus = self.some_held(len(self.held) - HELD_MAX // 2) if len(self.held) > HELD_MAX else []
        if surplus:
            assert self.peer.ctl("evict", "--force", *[str(n) for n in surplus]).code == 0
            self.held -= set(surplus)
            self.pinned -= set(surplus)


KINDS = ("get", "sync", "import_", "keep", "repair", "import_tool", "export_tool")


@pytest.mark.parametrize("kind", KINDS)
def test_all_is_whole_after_a_kill(world, capsys, kind):
    library = Library(world, kind)
    killer, peer = library.killer, library.peer
    work, start = Points(kind), Points(f"start after {kind}")
    of_tool = kind.endswith("_tool")
    library.start()
    if kind not in ("get", "sync", "import_", "import_tool"):
        library.kind = "import_"
        for _ in range(3):
            library.work()
        library.kind = kind
    if of_tool:                         # it alone
        peer.stop()
        peer.environment = {}
        library.start()
    killed = {"work": 0, "time": 0, "start": 0}
    for i in range(max(KILLS // KINDS_OF_WORK, 1) + 2):
        library.make_room()
        killer.arm(0)
        if i < 2:                       # how many calls there are, and that all is well without a kill
            library.work()
            work.measured(killer.n_calls)
            if not of_tool:
                peer.stop()
                killer.arm(0)
                library.start()
                start.measured(killer.n_calls)
            library.check()
            continue
        timer = None
        if i % 4 == 3 and not of_tool:  # at any time, as it happens
            timer = threading.Timer(library.random.random() * 0.1, peer.send_signal, (signal.SIGKILL,))
            timer.start()
            killed["time"] += 1
        else:
            killer.arm(*work.draw())
            killed["work"] += 1
        library.work()
        if timer:
            timer.join()
        if of_tool:
            killed["work"] -= library.tool_status == 0
            killer.arm(0)
            # The daemon goes on with what the tool sent before its end, and tells nobody: it is over when the daemon is.
            peer.stop()
            library.start()
        else:
            be_killed(peer)
            if i % 5 == 0:
                killer.arm(*start.draw())
                killed["start"] += killed_at_start(peer, library.started)
            killer.arm(0)
            library.start()
        library.check()
    with capsys.disabled():
        print(f"\nseed {SEED}: {kind.strip('_')}: killed {killed['work']} times at one of {work.n_calls} calls", end="")
        if not of_tool:
            print(f", {killed['time']} times at any time, {killed['start']} times at one of the {start.n_calls} calls of the start", end="")
        print(": nothing lost")
