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

from p2pdi.base import BUILD, program
from p2pdi.wire import Closed

ALL = os.environ.get("FAULTS") == "all"
OUT = os.path.join(BUILD, "tests/fault/out")
LIBRARY = os.path.join(BUILD, "tests/fault/failing-host.so")
# As the enum in failing-host.c.
KINDS = ["memory", "library-memory", "map", "open", "descriptor", "file-read", "file-write", "sync", "name", "stat",
         "socket-read", "socket-write", "sendfile", "event-read", "wait", "watch", "thread", "random", "resolve", "setup"]
# The functions of which a program's own calls are looked for, to tell which were never reached. (fcntl() is left out: it
# gives a descriptor only with some commands. Memory of libraries has no call sites in the program.)
CALLED = {
    "memory": ["malloc", "calloc", "realloc", "reallocarray", "strdup", "strndup", "asprintf"],
    "library-memory": [],
    "map": ["mmap"],
    "open": ["open", "openat", "opendir", "fdopendir"],
    "descriptor": ["socket", "accept4", "epoll_create1", "eventfd", "timerfd_create", "signalfd", "inotify_init1", "memfd_create",
                   "dup3"],
    "file-read": ["read", "pread"],
    "file-write": ["write", "pwrite", "fallocate", "ftruncate"],
    "sync": ["fsync", "fdatasync", "syncfs"],
    "name": ["rename", "renameat", "renameat2", "linkat", "unlink", "unlinkat", "mkdir", "chmod", "fchmod"],
    "stat": ["stat", "lstat", "fstat", "fstatat", "faccessat"],
    "socket-read": ["recv", "recvmsg"],
    "socket-write": ["send", "sendmsg", "sendto"],
    "sendfile": ["sendfile"],
    "event-read": ["eventfd_read"],
    "wait": ["epoll_wait", "sem_wait", "poll", "ppoll", "nanosleep"],
    "watch": ["epoll_ctl", "inotify_add_watch"],
    "thread": ["pthread_create"],
    "random": ["getrandom"],
    "resolve": ["getaddrinfo"],
    "setup": ["bind", "listen", "connect", "setsockopt", "getsockopt", "getsockname"],
}
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
    "random": [errno.EINTR],
    "resolve": [errno.ENOMEM],
    "setup": [errno.ENOBUFS],
}
# These are no failures: who is told so tries again, and nobody notices.
HARMLESS = (SHORT, errno.EINTR, errno.EAGAIN)
# Whoever was talked to has gone: that is told as it is, and is no failure of this host.
GONE = (errno.ECONNRESET, errno.EPIPE)
# How long a line in the log may come after the answer that it belongs to.
WORD_SEC = 10
# A daemon logs some hundred warnings without pause, and then one a second (log-rate.h).
HEARD_MAX = 80
# How long a daemon may take to do again what it did before.
RECOVERY_SEC = 20
# A fault may have had a connection made beside the one that is used else: it stays open for so long (CALL_POOL_IDLE_USEC).
IDLE_SEC = 15
# Longer than any deadline of the daemons under test.
HANG_SEC = 30


def some(ways):
    return ways[:1] + [w for w in ways[1:] if w == SHORT]


def plain(function):
    """__vasprintf_chk is asprintf, openat64 is openat."""
    m = re.fullmatch(r"__(\w+)_chk", function)
    return re.sub(r"64$", "", m[1] if m else function).replace("vasprintf", "asprintf")


def way_name(what):
    return "short" if what == SHORT else errno.errorcode[what]


class Totals:
    """What all campaigns of a session did together, told at its end."""

    def __init__(self):
        self.injected = collections.Counter()
        self.reached = collections.defaultdict(set)     # program: (function, return address)
        self.paths = collections.Counter()
        self.seconds = collections.Counter()

    def add(self, program_name, injected, sites):
        for (kind, _), n in injected.items():
            self.injected[program_name, kind] += n
        for s in sites:
            self.paths[program_name, s.kind] += 1
            if s.frames:
                self.reached[program_name].add((plain(s.function), s.frames[0]))

    def lines(self):
        if not self.reached:
            return
        os.makedirs(OUT, exist_ok=True)
        with open(os.path.join(OUT, "never-reached"), "w", encoding="utf-8") as f:
            for name in sorted(self.reached):
                yield from self.program_lines(name, f)
        yield f"What was never reached: {f.name}"

    def program_lines(self, name, f):
        source = Source(program(name))
        functions = {function for kinds in CALLED.values() for function in kinds}
        calls = source.calls(functions)
        yield f"{name}: kind, faults, seconds, paths; call sites reached, of how many, never:"
        for kind in KINDS:
            here = {(o, c) for o, c in calls.items() if c in CALLED[kind]}
            missed = {(o, c) for o, c in here if not source.is_reached(o, c, self.reached[name])}
            source.resolve([o for o, _ in missed])
            for o, c in sorted(missed, key=lambda x: source.name(x[0])):
                f.write(f"{name} {kind}: {c} in {source.name(o)}\n")
            yield (f"  {kind:15} {self.injected[name, kind]:6} {self.seconds[name, kind]:7.1f} {self.paths[name, kind]:6}   "
                   f"{len(here) - len(missed):4} {len(here):4} {len(missed):4}")


totals = Totals()


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
        self.called = {}        # return address: the function called there
        self.last_acts = {}     # address of a jump: the function that it is in

    def resolve(self, offsets):
        missing = sorted({o for o in offsets if o not in self.known})
        if not missing:
            return
        # What is given are return addresses: the call is before.
        r = subprocess.run(["addr2line", "-afise", self.path] + [hex(o - 1) for o in missing], capture_output=True, text=True, check=True)
        for o, found in zip(missing, re.split(r"^0x[0-9a-f]+\n", r.stdout, flags=re.MULTILINE)[1:]):
            lines = found.split("\n")
            inlined = [(f, at.split(" ")[0]) for f, at in zip(lines[::2], lines[1::2])]
            # The innermost that is ours: the C library's headers have functions of their own.
            self.known[o] = next((x for x in inlined if ".c:" in x[1]), inlined[0])

    def name(self, offset):
        self.resolve([offset])
        function, line = self.known[offset]
        return f"{line} {function}()"

    def calls(self, functions):
        """All places that call one of those: {return address: function}. One that is called as the last act has none: its own address."""
        r = subprocess.run(["objdump", "-d", "--no-show-raw-insn", self.path], capture_output=True, text=True, check=True)
        found, pending, inside = {}, None, None
        for line in r.stdout.split("\n"):
            if m := re.match(r"[0-9a-f]+ <([^>]+)>:", line):
                inside = m[1]
            m = re.match(r"\s*([0-9a-f]+):\s+(call|jmp)?\w*\s*(?:[0-9a-f]+ <([^>@+]+)(?:@[\w.]+)?>)?", line)
            if not m:
                continue
            at = int(m[1], 16)
            if pending:
                self.called[at] = pending
                if plain(pending) in functions:
                    found[at] = plain(pending)
            pending = m[3] if m[2] == "call" else None
            if m[2] == "jmp" and m[3] and plain(m[3]) in functions and inside != m[3]:
                self.last_acts[at] = inside
                found[at] = plain(m[3])
        return found

    def is_reached(self, at, function, reached):
        """reached: {(function, return address)}. Whoever was called as the last act returns to the caller of who called it."""
        if at not in self.last_acts:
            return (function, at) in reached
        return any(f == function and self.called.get(a) == self.last_acts[at] for f, a in reached)


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
        self.n_heard = 0        # since the daemon was started: see HEARD_MAX
        self.source = Source(program(daemon.program))
        os.makedirs(OUT, exist_ok=True)
        self.report = open(os.path.join(OUT, f"{daemon.program}-{daemon.name}.log"), "a", encoding="utf-8")

    # -- what is looked at afterwards --

    def problem(self, where, text):
        self.problems.append(f"{where}: {text}")
        self.report.write(f"PROBLEM {where}: {text}\n")
        self.report.flush()

    def describe(self, name, kind, what, n, site):
        self.source.resolve(site.frames)
        path = " < ".join(self.source.name(f) for f in site.frames[:5])
        return f"{name}: {way_name(what)} at call {n} ({kind}), {site.function} in {path}"

    @contextlib.contextmanager
    def timed(self, kind):
        start = time.monotonic()
        yield
        totals.seconds[self.daemon.program, kind] += time.monotonic() - start

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

    def one_fault(self, name, prepare, act, kind, what, n):
        """Lets the n-th call fail. False: there is none any more."""
        if self.n_heard > HEARD_MAX:
            self.n_heard = 0
            self.restart()
            self.recover(name, prepare, act)
        self.prepared(prepare)
        mark = self.daemon.mark()
        self.fault.arm([kind], what, n, every=ALL)
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
        where = self.describe(name, kind, what, n, site)
        self.injected[kind, what] += 1
        if wrong:
            self.problem(where, wrong + "\n" + self.daemon.log(mark)[-3000:])
        if not self.alive(where):
            return True
        self.n_heard += told is not None
        if told is not None and what not in HARMLESS + GONE and not self.named(what, site, told, mark):
            self.problem(where, f"nobody says what failed: {told}\n" + self.daemon.log(mark)[-3000:])
        said = self.daemon.log(mark).split("\n")
        self.report.write(f"{where}: {time.monotonic() - start:.3f} s, {told or 'went well'}\n" + "".join(f"    {line}\n" for line in said))
        if told is None:
            self.borne[kind, what] += 1
        elif what in HARMLESS:
            self.problem(where, f"this is no failure, but: {told}")
        if any(int(m[1]) >= 8 for line in said if (m := re.search(r"is quarantined for (\d+)s", line))):
            self.restart()              # it is longer from time to time, and is meant to be
        self.recover(where, prepare, act)
        return True

    # In other words: which limit was in the way; whose fault it was that another's connection ended; which socket is of no use
    # (whatever the kernel says of it); a thread that could not be made, for which the C library has one word; a document that
    # could not be read, which is damage; the limit of inotify's watches, which the kernel calls a lack of space.
    WORDS = (r"over LimitNOFILE|no memory to take it|this host could not go on with it|socket named \"rs\"|passed as .* can't be used"
             r"|: Resource temporarily unavailable|is damaged|Could not open the library .*: Too many open files")
    # The same in answers. (What was passed with a call and can't be looked at is not what the call needs. What can't be read is
    # looked at again, and told of only if it still can't.)
    ANSWERS = r"no-space|NoSpace|out of memory|InvalidParameter|unreadable"
    # The log has a rate: who once said what failed at a place need not say it each time.
    heard = set()

    def named(self, what, site, told, mark):
        """Does the answer or the log say, in the kernel's words, what failed?"""
        name, words = errno.errorcode[what], os.strerror(what)
        place = (self.daemon.program, what, site.function, *site.frames[:3])
        if name in told or words in told or place in self.heard or re.search(self.ANSWERS, told):
            return True
        if what == errno.EACCES and "NotHeld" in told:      # a document that may not be read is not held
            return True
        try:
            self.daemon.wait_log(f"{re.escape(words)}|{self.WORDS}", mark, timeout=WORD_SEC)
        except AssertionError:
            return False
        self.heard.add(place)
        return True

    def recover(self, where, prepare, act):
        start = time.monotonic()
        told = None
        while time.monotonic() - start < RECOVERY_SEC:
            try:
                told = self.one(prepare)
                if told is None:
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

    def run(self, name, prepare, act, kinds=None, ways=None):
        """All n of all kinds."""
        for kind in kinds or KINDS:
            for what in ways or (WAYS[kind] if ALL else some(WAYS[kind])):
                self.recover(name, prepare, act)        # so that nothing is new
                before = self.descriptors()
                with self.timed(kind):
                    n = 1
                    while self.one_fault(name, prepare, act, kind, what, n):
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
        totals.add(self.daemon.program, self.injected, self.fault.sites())
        for (kind, what), n in sorted(self.injected.items()):
            self.report.write(f"injected: {kind} {way_name(what)}: {n}, of which {self.borne[kind, what]} were not noticed outside\n")
        self.report.write(f"slowest recovery: {self.slowest[0]:.3f} s, {self.slowest[1]}\n")
        self.report.close()


def kind_of(descriptor):
    return re.sub(r"\d+", "N", descriptor)
