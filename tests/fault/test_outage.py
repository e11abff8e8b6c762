# SPDX-License-Identifier: BSD-2-Clause
"""What a host lacks for a while: memory, descriptors, room on the disk. Meanwhile nothing hangs, spins or is lost, and
afterwards all goes on."""

import contextlib
import errno
import os
import select
import shutil
import signal
import subprocess
import time

import pytest

from fault import HANG_SEC, NEVER, RECOVERY_SEC, Refused, Wrong
from p2pdi.base import until
from p2pdi.wire import Closed, Wire
from test_peerd import DROPPED, HELD, LEFT_OUT, OWN
from test_peerd import Life as PeerLife
from test_rsd import Life as RsdLife

# (name, which kinds fail, how)
LACKS = [
    ("memory", ["memory", "library-memory", "map"], errno.ENOMEM),
    ("descriptors", ["open", "descriptor"], errno.EMFILE),
    ("disk", ["file-write", "sync", "name"], errno.ENOSPC),
    ("broken-disk", ["file-read", "file-write", "sync", "name"], errno.EIO),
]
# So long each thing may take to be refused, or to be left without an answer, while it lasts.
LACK_SEC = 1
# Of one CPU, while it lasts: who waits for better times does not spin.
BUSY_MAX = 0.5
# While it lasts; a warning a second and the first hundred (log-rate.h) are far below.
LINES_MAX = 500


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def attempt(act):
    """What came of it, as a word; that nothing came is no wonder now."""
    try:
        act()
    except (Refused, Wrong, Closed, OSError, AssertionError, KeyError, IndexError) as e:
        return repr(e)
    return None


def recovered(daemon, act):
    end = time.monotonic() + RECOVERY_SEC
    while (told := attempt(act)) is not None:
        assert time.monotonic() < end, f"{told}\n{daemon.log()[-3000:]}"
        select.select([], [], [], 0.05)


def outage(life, daemon, ops, kinds, what):
    """All of ops while it lasts, then each until it goes well."""
    for prepare, act in ops.values():
        prepare()
        act()
    before = len(os.listdir(f"/proc/{daemon.pid}/fd"))
    for prepare, _ in ops.values():
        prepare()
    mark = daemon.mark()
    life.patience = LACK_SEC
    life.fault.arm(kinds, what, last=NEVER, every=True)
    start, cpu = time.monotonic(), cpu_seconds(daemon.pid)
    told = {name: attempt(act) for name, (_, act) in ops.items()}
    daemon.send_signal(signal.SIGHUP)
    select.select([], [], [], LACK_SEC)
    _, failed = life.fault.disarm()
    life.patience = HANG_SEC
    seconds, busy = time.monotonic() - start, cpu_seconds(daemon.pid) - cpu
    assert daemon.running and not select.select([daemon.pidfd], [], [], 0)[0], f"ended with {daemon.wait_end()}\n{daemon.log(mark)[-5000:]}"
    assert failed > 0
    assert busy <= max(BUSY_MAX * seconds, 0.5), f"{busy} s of CPU in {seconds} s"
    lines = daemon.log(mark).split("\n")
    assert len(lines) < LINES_MAX, "\n".join(lines[-50:])
    words = os.strerror(what)
    assert any(words in line for line in lines) or any(words in (t or "") for t in told.values()), (told, lines)
    for prepare, act in ops.values():
        recovered(daemon, prepare)
        recovered(daemon, act)
    end = time.monotonic() + RECOVERY_SEC
    while (now := len(os.listdir(f"/proc/{daemon.pid}/fd"))) > before:
        assert time.monotonic() < end, f"{now} descriptors are open, {before} were"
        select.select([], [], [], 0.05)


@pytest.mark.parametrize(("name", "kinds", "what"), LACKS, ids=[x[0] for x in LACKS])
def test_rsd_lacks(world, name, kinds, what):
    life = RsdLife(world)
    ops = life.ops()
    outage(life, life.rs, {n: ops[n] for n in ("register", "return", "keepalive", "control")}, kinds, what)
    life.rs.restart()
    life.come_back()


@pytest.mark.parametrize(("name", "kinds", "what"), LACKS, ids=[x[0] for x in LACKS])
def test_peerd_lacks(world, name, kinds, what):
    life = PeerLife(world)
    ops = life.ops()
    outage(life, life.alice, {n: ops[n] for n in ("get", "import", "verify", "pin", "ask", "serve", "http", "refresh")}, kinds, what)
    life.verify()
    life.restart()
    for number, content in OWN.items():
        assert life.alice.content(number) == content
    life.verify()
    life.registered()


def test_what_a_broken_disk_held_back_is_read_later(world):
    """A document that was put there meanwhile: nothing tells that it can be read by now."""
    life = PeerLife(world)
    mark = life.alice.mark()
    life.fault.arm(["file-read"], errno.EIO, last=NEVER, every=True)
    life.alice.put(60, DROPPED)
    life.alice.wait_log(LEFT_OUT, mark)
    life.fault.disarm()
    until(lambda: 60 in life.held(), "RFC 60, after a scan")
    assert life.alice.count_log(LEFT_OUT, mark) == 1


# ---- file systems that are full, or can't be written ----

class Mounts:
    """A mount namespace for daemons: what is mounted there ends with it."""

    def __init__(self):
        for tool in ("unshare", "nsenter", "mount"):
            if not shutil.which(tool):
                pytest.skip(f"there is no {tool}")
        more = [] if os.geteuid() == 0 else ["--map-root-user"]
        self.keeper = subprocess.Popen(["unshare", "--mount", *more, "sh", "-c", "echo here; read nothing"], stdin=subprocess.PIPE,
                                       stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if self.keeper.stdout.readline() != "here\n":
            why = self.keeper.communicate()[1]
            pytest.skip(f"namespaces can't be had here: {why}")
        self.wrapper = ["nsenter", "-t", str(self.keeper.pid), "--mount", *(["--user", "--preserve-credentials"] if more else [])]

    def run(self, *command):
        r = subprocess.run(self.wrapper + list(command), capture_output=True, text=True, check=False)
        if r.returncode != 0:
            pytest.skip(f"{' '.join(command)}: {r.stderr.strip()}")

    def path(self, path):
        """As this process sees it."""
        return f"/proc/{self.keeper.pid}/root{path}"

    def close(self):
        self.keeper.communicate()


@contextlib.contextmanager
def mounts_for(daemon, size):
    """Its state lies on a small file system of its own."""
    m = Mounts()
    try:
        os.makedirs(daemon.state_dir, exist_ok=True)
        m.run("mount", "-t", "tmpfs", "-o", f"size={size}", "none", daemon.state_dir)
        daemon.wrapper = m.wrapper
        yield m
    finally:
        if daemon.running:
            daemon.stop()
        m.close()


def fill(path):
    """All of the file system."""
    with open(path, "wb", buffering=0) as f, contextlib.suppress(OSError):
        for size in (1 << 16, 1 << 12, 1):
            with contextlib.suppress(OSError):
                while f.write(b"x" * size) == size:
                    pass


def ask_rs(rs, line, **headers):
    with Wire(rs.endpoint, timeout=HANG_SEC) as w:
        return w.ask(line, headers)


def test_rsd_on_a_full_file_system(world):
    """No cookie is given that would be forgotten; who is known is served all the time."""
    rs = world.rs(start=False)
    with mounts_for(rs, "1m") as m:
        rs.start()
        known = ask_rs(rs, "POST Register", Port=9, Host="x", OS="x")["Cookie"]
        filling = m.path(os.path.join(rs.state_dir, "filling"))
        fill(filling)
        mark = rs.mark()
        given = []              # until what SQLite has of room in its log is used up
        for port in range(1000, 1400):
            reply = ask_rs(rs, "POST Register", Port=port, Host="x" * 60, OS="x")
            if reply.status != 200:
                break
            given.append((port, reply["Cookie"]))
        assert reply.status in (500, 503), reply
        rs.wait_log("No space left on device|database or disk is full", mark)
        assert ask_rs(rs, "POST KeepAlive", Cookie=known).status == 200
        assert ask_rs(rs, "GET PQuery", Cookie=known).status == 200
        os.unlink(filling)
        deadline = time.monotonic() + RECOVERY_SEC
        while ask_rs(rs, "POST Register", Port=2000, Host="x", OS="x").status != 200:
            assert time.monotonic() < deadline
        rs.restart()
        for port, cookie in [(9, known)] + given:
            assert ask_rs(rs, "POST KeepAlive", Cookie=cookie).status == 200, port


@contextlib.contextmanager
def alice_on_a_mount(world):
    """alice has RFC 1, from bob who holds more; (alice, the mounts)."""
    world.peer("bob", HELD, (rs := world.rs()))
    alice = world.peer("alice", None, rs, place=world.place(), start=False)
    with mounts_for(alice, "2m") as m:
        alice.start()
        alice.wait_registered()
        alice.get(1)
        yield alice, m


def test_peerd_on_a_full_file_system(world):
    """A download is refused with what is the matter, the library stays as it is, and goes on when there is room."""
    with alice_on_a_mount(world) as (alice, m):
        filling = m.path(os.path.join(alice.state_dir, "filling"))
        fill(filling)
        r = alice.ctl("get", "2")
        assert r.code == 9 and "no space left" in r.err, r
        assert alice.count_log("No space left on device") > 0
        assert alice.ctl("verify").code == 0
        assert alice.ctl("cat", "1").code == 0
        assert sorted(os.listdir(m.path(alice.library))) == ["rfc1.txt"]
        os.unlink(filling)
        alice.get(2)
        alice.restart()
        alice.wait_scanned(2)
        assert alice.ctl("verify").code == 0


def test_rsd_on_a_read_only_file_system(world):
    rs = world.rs(start=False)
    with mounts_for(rs, "1m") as m:
        rs.start()
        known = ask_rs(rs, "POST Register", Port=9, Host="x", OS="x")["Cookie"]
        rs.stop()
        m.run("mount", "-o", "remount,ro", rs.state_dir)
        mark = rs.mark()
        rs.start(wait=False)
        assert rs.wait_end() == 1
        assert rs.count_log("ead-only", mark) > 0, rs.log(mark)
        m.run("mount", "-o", "remount,rw", rs.state_dir)
        rs.start()
        assert ask_rs(rs, "POST KeepAlive", Cookie=known).status == 200


def test_peerd_on_a_read_only_file_system(world):
    with alice_on_a_mount(world) as (alice, m):
        alice.stop()
        m.run("mount", "-o", "remount,ro", alice.state_dir)
        mark = alice.mark()
        alice.start(wait=False)
        status = alice.wait_end()
        assert status == 1, alice.log(mark)
        assert alice.count_log("ead-only", mark) > 0, alice.log(mark)
        m.run("mount", "-o", "remount,rw", alice.state_dir)
        alice.start()
        alice.wait_scanned(1)
        alice.get(2)
