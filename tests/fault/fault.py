# SPDX-License-Identifier: BSD-2-Clause
"""What the fault tests share: the other end of failing-host.c, and campaigns that let one call after the other fail.

A campaign does one thing with a daemon again and again: the first time the first call of a kind fails in it, then the
second, and so on until that many are not made. After each the same thing must succeed, with nothing failing. What is
counted are calls by paths through the program that were not taken before (failing-host.c tells how), or with FAULTS=all every
call.
"""

import collections
import contextlib
import errno
import mmap
import os
import re
import select
import struct
import subprocess
import tempfile
import time

import pytest

from p2pdi import BUILD, PATIENCE, SANITIZER, Closed, program

ALL = os.environ.get("FAULTS") == "all"
OUT = os.path.join(BUILD, "tests/fault/out")
LIBRARY = os.path.join(BUILD, "tests/fault/failing-host.so")
# As the enum in failing-host.c.
KINDS = ["memory", "library-memory", "map", "open", "descriptor", "file-read", "file-write", "sync", "name", "stat",
         "socket-read", "socket-write", "sendfile", "event-read", "wait", "watch", "thread", "random", "resolve", "setup"]
SHORT = 0
NEVER = 0xFFFFFFFF
# How each kind fails: what a kernel really says, once.
WAYS = {
    "memory": [errno.ENOMEM],
    "library-memory": [errno.ENOMEM],
    "map": [errno.ENOMEM],
    "open": [errno.EMFILE, errno.EACCES, errno.ENOSPC],
    "descriptor": [errno.EMFILE, errno.ENFILE],
    "file-read": [errno.EIO, errno.EINTR, SHORT],
    "file-write": [errno.ENOSPC, errno.EIO, errno.EINTR, SHORT],
    "sync": [errno.EIO, errno.ENOSPC],
    "name": [errno.EIO, errno.ENOSPC, errno.EROFS],
    "stat": [errno.EIO],
    "socket-read": [errno.ECONNRESET, errno.EINTR, errno.EAGAIN, SHORT],
    "socket-write": [errno.EPIPE, errno.EINTR, SHORT],
    "sendfile": [errno.EIO, errno.EPIPE, errno.EINTR, SHORT],
    "event-read": [errno.EINTR],
    "wait": [errno.EINTR],
    "watch": [errno.ENOSPC],
    "thread": [errno.EAGAIN],
    "random": [errno.EINTR, errno.ENOSYS],
    "resolve": [errno.ENOMEM],
    "setup": [errno.ENOBUFS],
}
# These are no failures: who is told so tries again, and nobody notices.
HARMLESS = (SHORT, errno.EINTR, errno.EAGAIN)
# How long a daemon may take to do again what it did before.
RECOVERY_SEC = 10
# A fault may have had a connection made beside the one that is used else: it stays open for so long (CALL_POOL_IDLE_USEC).
IDLE_SEC = 15
# Longer than any deadline of the daemons under test.
HANG_SEC = 15


def some(ways):
    return ways[:1] + [w for w in ways[1:] if w == SHORT]


def way_name(what):
    return "short" if what == SHORT else errno.errorcode[what]


class Refused(Exception):
    """The daemon answered that it could not."""


class Wrong(Exception):
    """It answered something that is not true."""


class Site:
    LAYOUT = struct.Struct("=Q12Q24sIIII")

    def __init__(self, data):
        self.path, *frames, function, kind, self.calls, self.failed, _ = self.LAYOUT.unpack(data)
        self.frames = [f for f in frames if f]
        self.function = function.rstrip(b"\0").decode()
        self.kind = KINDS[kind]


class Fault:
    """The file that a program has mapped. Nothing fails until arm()."""

    HEAD = struct.Struct("=12I")
    N_SITES = 8192
    SIZE = HEAD.size + N_SITES * Site.LAYOUT.size

    def __init__(self, directory):
        if not os.access(LIBRARY, os.R_OK):
            pytest.skip(f"{LIBRARY} is not there: make check-faults builds it")
        fd, self.path = tempfile.mkstemp(prefix="fault-", dir=directory)
        os.ftruncate(fd, self.SIZE)
        self.map = mmap.mmap(fd, self.SIZE)
        os.close(fd)
        self.round = 0
        options = os.environ.get("ASAN_OPTIONS", "")
        self.environment = {
            "LD_PRELOAD": LIBRARY,
            "P2PDI_FAULT": self.path,
            # A sanitizer wants to be the first library.
            "ASAN_OPTIONS": f"{options}:verify_asan_link_order=0".lstrip(":"),
        }

    def arm(self, kinds, what, first=1, last=None, every=False):
        """The first-th call to the last-th are to fail so, counted from now on; every: also of a path taken before."""
        self.round += 1
        bits = sum(1 << KINDS.index(k) for k in kinds)
        self.HEAD.pack_into(self.map, 0, 0, bits, what, first, first if last is None else last, 0 if every else 1, self.round, 0,
                            0, 0, self.loaded, 0)
        self.map[0:4] = struct.pack("=I", 1)

    def disarm(self):
        """Gives (calls counted, calls failed)."""
        self.map[0:4] = struct.pack("=I", 0)
        head = self.HEAD.unpack_from(self.map, 0)
        return head[7], head[8]

    @property
    def loaded(self):
        return self.HEAD.unpack_from(self.map, 0)[10]

    def last_failed(self):
        index = self.HEAD.unpack_from(self.map, 0)[9]
        return self._site(index)

    def _site(self, i):
        start = self.HEAD.size + i * Site.LAYOUT.size
        return Site(self.map[start:start + Site.LAYOUT.size])

    def sites(self):
        return [s for s in map(self._site, range(self.N_SITES)) if s.path]

    def close(self):
        self.map.close()


# ---- where in the source ----

class Source:
    """Offsets in a program as functions and lines, as far as its debug information goes."""

    def __init__(self, path):
        self.path = path
        self.known = {}

    def resolve(self, offsets):
        missing = sorted({o for o in offsets if o not in self.known})
        if not missing:
            return
        # What is given are return addresses: the call is before.
        r = subprocess.run(["addr2line", "-fse", self.path] + [hex(o - 1) for o in missing], capture_output=True, text=True, check=True)
        lines = r.stdout.split("\n")
        for i, o in enumerate(missing):
            self.known[o] = (lines[2 * i], lines[2 * i + 1].split(" ")[0])

    def name(self, offset):
        self.resolve([offset])
        function, line = self.known[offset]
        return f"{line} {function}()"

    def calls(self, functions):
        """All places that call one of those: {return address: function}."""
        r = subprocess.run(["objdump", "-d", "--no-show-raw-insn", self.path], capture_output=True, text=True, check=True)
        found, pending = {}, None
        for line in r.stdout.split("\n"):
            m = re.match(r"\s*([0-9a-f]+):\s+(.*)", line)
            if not m:
                continue
            if pending:
                found[int(m[1], 16)] = pending
                pending = None
            c = re.search(r"\bcall\w*\s.*<([\w]+)(@[\w.]+)?@plt>|\bcall\w*\s.*<([\w]+)@plt", m[2])
            if c and (c[1] or c[3]) in functions:
                pending = c[1] or c[3]
        return found


# ---- campaigns ----

class Campaign:
    """What may happen to one daemon. ops: {name: (prepare, act)}; both are called without arguments.

    prepare() makes it possible to act() once more, with nothing failing. act() gives nothing if all went well, and
    raises Refused, Closed or an OSError if it was told that it did not. restart() brings the daemon back when it has ended.
    """

    def __init__(self, daemon, fault, restart):
        self.daemon, self.fault, self.restart = daemon, fault, restart
        self.problems = []
        self.injected = collections.Counter()
        self.borne = collections.Counter()
        self.silent = collections.OrderedDict()
        self.slowest = (0, "")
        self.source = Source(program(daemon.program))
        os.makedirs(OUT, exist_ok=True)
        self.report = open(os.path.join(OUT, f"{daemon.program}-{daemon.name}.log"), "a", encoding="utf-8")

    # -- what is looked at afterwards --

    def problem(self, where, text):
        self.problems.append(f"{where}: {text}")
        self.report.write(f"PROBLEM {where}: {text}\n")
        self.report.flush()

    def alive(self, where):
        poll = select.poll()
        poll.register(self.daemon.pidfd, select.POLLIN)
        if not poll.poll(0):
            return True
        status = self.daemon.wait_end()
        self.problem(where, f"ended with {status}:\n" + "\n".join(self.daemon.lines[-60:]))
        self.restart()
        return False

    def descriptors(self):
        found = []
        for fd in os.listdir(f"/proc/{self.daemon.pid}/fd"):
            with contextlib.suppress(FileNotFoundError):        # just closed
                found.append(os.readlink(f"/proc/{self.daemon.pid}/fd/{fd}"))
        return found

    def one(self, act):
        """What came of it: None if it went well, else what was told."""
        try:
            act()
        except (Refused, Closed, ConnectionError) as e:
            return f"{type(e).__name__}: {e}"
        return None

    def prepared(self, prepare):
        """What happened before may have to settle."""
        end = time.monotonic() + RECOVERY_SEC
        while (told := self.one(prepare)) is not None:
            assert time.monotonic() < end, told
            select.select([], [], [], 0.02)

    def one_fault(self, name, prepare, act, kind, what, n, last=None, every=False):
        """Lets the n-th call fail. False: there is none any more."""
        self.prepared(prepare)
        mark = self.daemon.mark()
        self.fault.arm([kind], what, n, last, every)
        start = time.monotonic()
        told = None
        wrong = None
        try:
            told = self.one(act)
        except (TimeoutError, AssertionError) as e:
            wrong = f"hangs: {e!r}"
        except (Wrong, KeyError, IndexError, ValueError) as e:
            wrong = f"is wrong: {e!r}"
        finally:
            counted, failed = self.fault.disarm()
        if not failed and not wrong:
            if told and counted >= n:
                wrong = f"failed without a fault: {told}"
            elif told:
                self.problem(f"{name} {kind}", f"failed with nothing failing: {told}")
            if not wrong:
                return counted >= n
        site = self.fault.last_failed()
        self.source.resolve(site.frames)
        path = " < ".join(self.source.name(f) for f in site.frames[:5])
        where = f"{name}: {way_name(what)}{' from then on' if last else ''} at call {n} ({kind}), {site.function} in {path}"
        self.injected[kind, what] += 1
        if wrong:
            self.problem(where, wrong + "\n" + self.daemon.log(mark)[-3000:])
        if not self.alive(where):
            return True
        said = [line for line in self.daemon.lines[mark:]]
        self.report.write(f"{where}: {time.monotonic() - start:.3f} s, {told or 'went well'}\n" + "".join(f"    {line}\n" for line in said))
        if told is None:
            self.borne[kind, what] += 1
        elif what in HARMLESS:
            self.problem(where, f"this is no failure, but: {told}")
        self.recover(where, prepare, act)
        return True

    def recover(self, where, prepare, act):
        start = time.monotonic()
        told = None
        while time.monotonic() - start < RECOVERY_SEC:
            try:
                prepare()
                told = self.one(act)
            except (TimeoutError, AssertionError, Wrong, KeyError, IndexError, ValueError) as e:
                told = repr(e)
            if told is None:
                self.slowest = max(self.slowest, (time.monotonic() - start, where))
                return
            if not self.alive(where):
                return
            select.select([], [], [], 0.02)
        self.problem(where, f"did not recover: {told}\n" + self.daemon.log()[-3000:])
        self.daemon.kill()
        self.restart()

    def run(self, name, prepare, act, kinds=None, ways=None, lasting=False):
        """All n of all kinds. lasting: all calls from the n-th on fail, until it is over."""
        for kind in kinds or KINDS:
            for what in ways or (WAYS[kind] if ALL else some(WAYS[kind])):
                self.recover(name, prepare, act)        # so that nothing is new
                before = self.descriptors()
                n = 1
                while self.one_fault(name, prepare, act, kind, what, n, NEVER if lasting else None, ALL):
                    n += 1
                self.compare_descriptors(f"{name} {kind} {way_name(what)}", before)

    def compare_descriptors(self, where, before):
        """What was open is open still, and no more; what is being closed may take a moment."""
        end = time.monotonic() + IDLE_SEC + RECOVERY_SEC
        while len(now := self.descriptors()) > len(before):
            if time.monotonic() > end:
                more = collections.Counter(map(kind_of, now)) - collections.Counter(map(kind_of, before))
                self.problem(where, f"descriptors were left open: {dict(more)}")
                return
            select.select([], [], [], 0.02)

    def finish(self):
        for (kind, what), n in sorted(self.injected.items()):
            self.report.write(f"injected: {kind} {way_name(what)}: {n}, of which {self.borne[kind, what]} were not noticed outside\n")
        self.report.write(f"slowest recovery: {self.slowest[0]:.3f} s, {self.slowest[1]}\n")
        self.report.close()


def kind_of(descriptor):
    return re.sub(r"\d+", "N", descriptor)
