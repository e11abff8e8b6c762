# SPDX-License-Identifier: BSD-2-Clause
"""What the system tests share: the real programs as processes, and both ends of the wire by hand.

Nothing here sleeps. A daemon is ready when it says so (sd_notify), a log line is there when its reader has it. Ports
are chosen by the kernel. Everything lives in a directory of its own, so that any number of tests run at once.
"""

import contextlib
import ctypes
import errno
import fcntl
import hashlib
import json
import os
import pty
import random
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import termios
import threading
import time

import pytest

SOURCE = os.environ.get("P2PDI_SRCDIR") or os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("P2PDI_BUILDDIR") or SOURCE
VERSION = "P2P-DI/1.0"
# How long anything may take that should happen at once: only a failing test ever waits so long.
PATIENCE = 60
# What a sanitizer says when it has found something.
SANITIZER = re.compile(r"ERROR: AddressSanitizer|ERROR: LeakSanitizer|runtime error:|WARNING: ThreadSanitizer")


def program(name):
    path = os.path.join(BUILD, name)
    assert os.access(path, os.X_OK), f"{path} is not there: build first, or set P2PDI_BUILDDIR"
    return path


def until(condition, what, timeout=PATIENCE):
    """Asks again until there is an answer, and gives it: for what nothing tells of. The longer it takes the less it asks: others want to work."""
    end = time.monotonic() + timeout
    pause = 0.002
    while not (found := condition()):
        assert time.monotonic() < end, f"{what} did not come"
        select.select([], [], [], pause)
        pause = min(1.5 * pause, 0.05)
    return found


# ---- addresses ----

def endpoint(address, port):
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def split_endpoint(text):
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


def family_of(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


class Place:
    """An address and port that stays ours, whether somebody listens there or not.

    A bound socket that does not listen keeps the port: what connects meanwhile is refused. SO_REUSEPORT is set after
    its bind, so that the kernel gives the port to nobody else.
    """

    def __init__(self, address="127.0.0.1"):
        self.address = address
        try:
            self.keeper = socket.socket(family_of(address), socket.SOCK_STREAM)
            self.keeper.bind((address, 0))
        except OSError as e:
            if ":" not in address:
                raise
            pytest.skip(f"this host has no IPv6: {e}")
        self.keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self.port = self.keeper.getsockname()[1]
        self.text = endpoint(address, self.port)

    def listen(self):
        s = socket.socket(family_of(self.address), socket.SOCK_STREAM)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        s.bind((self.address, self.port))
        s.listen(4096)
        return s

    def close(self):
        self.keeper.close()


# ---- processes ----

class Daemon:
    """One daemon. Its stderr and its notifications are read by a thread, as they come."""

    program = None
    control_name = None

    def __init__(self, world, name, ini, place=None, socket_name=None):
        self.world = world
        self.name = name
        self.dir = os.path.join(world.dir, name)
        self.state_dir = os.path.join(self.dir, "state")
        self.runtime_dir = os.path.join(self.dir, "run")
        self.config = os.path.join(self.dir, "config.ini")
        self.control = os.path.join(self.runtime_dir, self.control_name)
        self.place = place
        self.socket_name = socket_name
        self.ini = dict(ini)
        self.environment = {}
        self.arguments = None
        self.wrapper = []               # a command that starts the daemon
        self.more_sockets = []          # (name, socket)
        self.given = None              # a list: the sockets that it gives to the service manager
        self.pid = None
        self.pidfd = None
        self.status = None              # once it has ended: exit status, or minus the signal
        self.reader = None
        self.pipe = None                # that its stderr comes through, while somebody reads it
        self.stopper = None
        self.changed = threading.Condition()
        self.lines = []
        self.notices = []
        self.expect_status = 0
        os.makedirs(self.dir)
        self.write_config()

    def write_config(self, ini=None, text=None):
        """ini: {"Section.Key": value, list of values, or None}; given values replace those of before."""
        self.ini.update(ini or {})
        sections = {}
        for key, value in self.ini.items():
            section, name = key.split(".", 1)
            for v in value if isinstance(value, (list, tuple)) else [] if value is None else [value]:
                sections.setdefault(section, []).append(f"{name}={v}\n")
        if text is None:
            text = "".join(f"[{s}]\n{''.join(lines)}" for s, lines in sections.items())
        with open(self.config, "w", encoding="utf-8") as f:
            f.write(text)

    # -- starting --

    def start(self, wait=True):
        assert self.pid is None, f"{self.name} runs already"
        arguments = self.arguments
        if arguments is None:
            arguments = [f"--config={self.config}", f"--state-dir={self.state_dir}",
                         f"--runtime-dir={self.runtime_dir}"]
        passed = list(self.more_sockets)
        own = None
        if self.place:
            own = self.place.listen()
            passed.append((self.socket_name, own))
        notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        notify.bind("")                 # an abstract name, which the kernel chooses
        pipe, stderr = os.pipe()
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, 1 << 20)  # a daemon drops lines rather than wait for us
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("LISTEN_", "WATCHDOG_"))}
        for k in ("STATE_DIRECTORY", "RUNTIME_DIRECTORY", "JOURNAL_STREAM"):
            environment.pop(k, None)
        environment["NOTIFY_SOCKET"] = "@" + notify.getsockname()[1:].decode()
        # What is freed is overwritten: whoever reads it afterwards is found out.
        environment.setdefault("MALLOC_PERTURB_", "165")
        environment.update(self.environment)
        try:
            self.spawn(arguments, environment, [(n, s.fileno()) for n, s in passed], stderr)
        finally:
            os.close(stderr)
            if own:
                own.close()
        with self.changed:
            self.status = None
            self.notices.clear()
        self.stopper = socket.socketpair()
        self.pipe = pipe
        self.reader = threading.Thread(target=self.attend, args=(pipe, notify), daemon=True)
        self.reader.start()
        if wait:
            self.wait_ready()
        return self

    def spawn(self, arguments, environment, sockets, stderr):
        """The sockets come in from descriptor 3 on. LISTEN_PID is known to the process alone, so a shell sets it."""
        command = self.wrapper + [program(self.program)] + arguments
        actions, high = [], []
        if sockets:
            command = ["/bin/sh", "-c", 'LISTEN_PID=$$ exec "$0" "$@"'] + command
            environment["LISTEN_FDS"] = str(len(sockets))
            environment["LISTEN_FDNAMES"] = ":".join(n for n, _ in sockets)
        try:
            # Out of the way of the numbers that they get.
            high = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 100) for _, fd in sockets]
            error = fcntl.fcntl(stderr, fcntl.F_DUPFD_CLOEXEC, 100)
            high.append(error)
            actions = [(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0), (os.POSIX_SPAWN_DUP2, error, 1),
                       (os.POSIX_SPAWN_DUP2, error, 2)]
            actions += [(os.POSIX_SPAWN_DUP2, fd, 3 + i) for i, fd in enumerate(high[:-1])]
            self.pid = os.posix_spawnp(command[0], command, environment, file_actions=actions)
        finally:
            for fd in high:
                os.close(fd)
        self.pidfd = os.pidfd_open(self.pid)

    def attend(self, pipe, notify):
        rest = b""
        ended = False
        log = open(os.path.join(self.dir, "log"), "ab")
        with log, notify, os.fdopen(pipe, "rb", buffering=0) as errors:
            poll = select.poll()
            for fd in (errors.fileno(), notify.fileno(), self.stopper[1].fileno()):
                poll.register(fd, select.POLLIN)
            while not ended:
                for fd, _ in poll.poll():
                    if fd == notify.fileno():
                        text, passed, _, _ = socket.recv_fds(notify, 65536, 8)
                        passed = [socket.socket(fileno=fd) for fd in passed]
                        for s in passed:
                            s.set_inheritable(False)
                            if self.given is None:
                                s.close()       # else nobody would be refused once it has stopped
                        with self.changed:
                            self.notices.extend(text.decode("utf-8", "replace").split("\n"))
                            if self.given is not None:
                                self.given += map(self.world.keep, passed)
                            self.changed.notify_all()
                    elif fd == errors.fileno():
                        with self.changed:      # see caught_up()
                            data = errors.read(1 << 20)
                            *lines, rest = (rest + data).split(b"\n")
                            self.lines.extend(line.decode("utf-8", "replace") for line in lines)
                            self.changed.notify_all()
                        if not data:
                            poll.unregister(fd)
                            ended = True
                        log.write(data)
                        log.flush()
                    else:
                        ended = True
            # The last words may lie there still.
            with contextlib.suppress(BlockingIOError), self.changed:
                notify.setblocking(False)
                while True:
                    self.notices.extend(notify.recv(65536).decode("utf-8", "replace").split("\n"))
            with self.changed:
                self.pipe = None
        with self.changed:
            if rest:
                self.lines.append(rest.decode("utf-8", "replace"))
            self.changed.notify_all()

    # -- waiting --

    def wait(self, what, condition, timeout=PATIENCE):
        """Until condition() gives something; it is looked at whenever the daemon has said something."""
        end = time.monotonic() + timeout
        with self.changed:
            while True:
                found = condition()
                if found:
                    return found
                left = end - time.monotonic()
                assert left > 0, f"{self.name}: {what} did not come within {timeout} s"
                if not self.reader.is_alive():
                    raise AssertionError(f"{self.name}: {what} did not come, and it ended with {self.wait_end()}")
                self.changed.wait(min(left, 0.5))

    def wait_ready(self, n=1):
        self.wait("READY=1", lambda: self.notices.count("READY=1") >= n)

    def wait_status(self, pattern, after=0):
        """The newest STATUS= matches; of those from number `after` on. Gives the match."""
        def look():
            statuses = self.statuses()
            return len(statuses) > after and re.search(pattern, statuses[-1])
        return self.wait(f"STATUS= like {pattern!r}", look)

    def statuses(self):
        return [n[7:] for n in self.notices if n.startswith("STATUS=")]

    @contextlib.contextmanager
    def caught_up(self):
        """All that it has written by now is in lines: what came before an answer is not taken for what comes after."""
        with self.changed:
            while self.pipe is not None and fcntl.ioctl(self.pipe, termios.FIONREAD, b"\0" * 4) != b"\0" * 4:
                self.changed.wait(0.5)
            yield

    def mark(self):
        """A place in the log, for wait_log()."""
        with self.caught_up():
            return len(self.lines)

    def wait_log(self, pattern, after=0, n=1, timeout=PATIENCE):
        """The n-th line from `after` on that matches. Gives the match."""
        def look():
            found = [m for m in (re.search(pattern, line) for line in self.lines[after:]) if m]
            return len(found) >= n and found[n - 1]
        return self.wait(f"a log line like {pattern!r}", look, timeout)

    def log(self, after=0):
        with self.caught_up():
            return "\n".join(self.lines[after:])

    def count_log(self, pattern, after=0):
        with self.caught_up():
            return sum(1 for line in self.lines[after:] if re.search(pattern, line))

    # -- ending --

    @property
    def running(self):
        return self.pid is not None

    def wait_end(self, timeout=PATIENCE):
        """Gives how it ended: exit status, or minus the signal."""
        if self.pid is None:
            return self.status
        poll = select.poll()
        poll.register(self.pidfd, select.POLLIN)
        assert poll.poll(timeout * 1000), f"{self.name} does not end"
        self.status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        os.close(self.pidfd)
        self.pid = self.pidfd = None
        # The pipe ends with the last process that has it: with this one, unless it left a child behind.
        self.reader.join(5)
        self.stopper[0].close()
        self.reader.join()
        self.stopper[1].close()
        return self.status

    def send_signal(self, number):
        signal.pidfd_send_signal(self.pidfd, number)

    def kill(self):
        self.send_signal(signal.SIGKILL)
        assert self.wait_end() == -signal.SIGKILL

    def terminate(self):
        self.send_signal(signal.SIGTERM)

    def stop(self):
        self.terminate()
        assert self.wait_end() == 0, f"{self.name} ended with {self.status}"

    @contextlib.contextmanager
    def held_up(self):
        """None of its threads does anything meanwhile; or it is killed by somebody else."""
        self.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PIDFD, self.pidfd, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        yield
        self.send_signal(signal.SIGCONT)

    def restart(self):
        if self.running:
            self.stop()
        return self.start()

    def reload(self):
        n = self.notices.count("READY=1")
        self.send_signal(signal.SIGHUP)
        self.wait_ready(n + 1)

    # -- using --

    @property
    def port(self):
        return self.endpoint[1]

    @property
    def endpoint(self):
        """Where it listens: (address, port)."""
        if self.place:
            return self.place.address, self.place.port
        return split_endpoint(self.wait_status(r"Listening on ([^,]+)").group(1))

    @property
    def text(self):
        return endpoint(*self.endpoint)

    def connect(self, source=None, timeout=PATIENCE):
        return Wire(self.endpoint, source, timeout)

    def ctl(self, *arguments, timeout=60, rs=False):
        return ctl(*arguments, control=self.control, rs=rs, timeout=timeout)

    def json(self, *arguments):
        """What a verb prints as JSON; it must go well."""
        r = self.ctl("--json=short", *arguments)
        assert r.code == 0, r
        return json.loads(r.out)

    def varlink(self, timeout=PATIENCE):
        return Varlink(self.control, timeout)


class Rsd(Daemon):
    program = "p2pdi-rsd"
    control_name = "org.p2pdi.Registration"

    def wait_active(self, n):
        """So many peers are active. (STATUS= says it, too, but only once a second.)"""
        with self.varlink() as v:
            until(lambda: v.call("org.p2pdi.Registration.GetStatus")["parameters"]["active"] == n,
                  f"{self.name}: the number of {n} active peers")

    def json(self, *arguments):
        r = self.ctl("--json=short", *arguments, rs=True)
        assert r.code == 0, r
        return json.loads(r.out)

    def registrant(self, source=None):
        return Registrant(self, source)


class Peerd(Daemon):
    program = "p2pdi-peerd"
    control_name = "org.p2pdi.Peer"

    @property
    def library(self):
        return os.path.join(self.state_dir, "rfc")

    def path(self, number):
        return os.path.join(self.library, f"rfc{number}.txt")

    def put(self, number, content):
        """A document comes in the way people copy them: written beside, then renamed."""
        os.makedirs(self.library, exist_ok=True)
        beside = os.path.join(self.dir, f"new-{number}")
        with open(beside, "wb") as f:
            f.write(content)
        os.rename(beside, self.path(number))

    def content(self, number):
        with open(self.path(number), "rb") as f:
            return f.read()

    def stored(self):
        """Names in the library, whatever they are."""
        return sorted(os.listdir(self.library))

    def rot(self, number, position=100):
        """One bit turns, and the file's status tells nothing of it: the old content. The peer stands still meanwhile, lest it
        look while the file has another time, take it for a new one, and the bit for its own."""
        before = self.content(number)
        with self.held_up(), open(self.path(number), "r+b") as f:
            st = os.fstat(f.fileno())
            f.write(flip(before, position))
            f.flush()
            os.utime(f.fileno(), ns=(st.st_atime_ns, st.st_mtime_ns))
        return before

    def wait_scanned(self, n):
        self.wait_status(rf", {n} document{'' if n == 1 else 's'}, ")

    def wait_registered(self, n=1):
        self.wait_status(rf"registered at {n} of \d+ servers?")

    def get(self, *numbers, code=0):
        r = self.ctl("get", *[str(n) for n in numbers])
        assert r.code == code, f"{r}\n{self.log()}"
        return r

    def index(self, **headers):
        """All of its index: (reply, records)."""
        with self.connect() as w:
            reply = w.ask("GET RFC-Index", headers)
            return reply, parse_index(reply.body) if reply.status == 200 else []


# ---- memory of a daemon ----

def sanitizer():
    """Of those that have memory of their own, the one that the daemons of this build have: "asan", "tsan", or None."""
    with open(program("p2pdi-peerd"), "rb") as f:
        found = re.search(rb"__([at]san)_init\b", f.read())
    return found and found.group(1).decode()


# ---- threads of a daemon ----

def threads(daemon):
    """{name: tid}, without the main one and those of a sanitizer."""
    found = {}
    for tid in os.listdir(f"/proc/{daemon.pid}/task"):
        with open(f"/proc/{daemon.pid}/task/{tid}/comm", encoding="utf-8") as f:
            name = f.read().rstrip("\n")
        if int(tid) != daemon.pid and not name.startswith(("p2pdi-", "asan", "tsan")):
            found[name] = int(tid)
    return found


class Held:
    """One thread of a process stands still, as it would in a system call that does not come back."""

    SEIZE, INTERRUPT, DETACH, WALL = 0x4206, 0x4207, 17, 0x40000000
    libc = ctypes.CDLL(None, use_errno=True)

    def __init__(self, tid):
        self.tid = tid

    def trace(self, what):
        if self.libc.ptrace(ctypes.c_long(what), ctypes.c_long(self.tid), None, None) < 0:
            raise OSError(ctypes.get_errno(), f"ptrace: {os.strerror(ctypes.get_errno())}")

    def __enter__(self):
        try:
            self.trace(self.SEIZE)
        except PermissionError as e:
            pytest.skip(f"threads can't be held here: {e}")
        self.trace(self.INTERRUPT)
        os.waitpid(self.tid, self.WALL)
        return self

    def __exit__(self, *_):
        self.trace(self.DETACH)


# ---- the tool ----

class Result:
    def __init__(self, arguments, code, out, err):
        self.arguments, self.code, self.out, self.err = arguments, code, out, err

    @property
    def text(self):
        return self.out.decode()

    def __repr__(self):
        return (f"p2pdi-ctl {' '.join(self.arguments)}: exit {self.code}\n"
                f"stdout: {self.out[:2000]!r}\nstderr: {self.err}")


def start_ctl(*arguments, control=None, rs=False, **options):
    command = [program("p2pdi-ctl")]
    if control:
        command.append(f"--control={control}")
    if rs:
        command.append("--rs")
    return subprocess.Popen(command + list(arguments), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, **options)


def end_ctl(process, arguments=(), timeout=60):
    try:
        out, err = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise AssertionError(f"p2pdi-ctl {' '.join(arguments)} does not end") from None
    result = Result(arguments, process.returncode, out, err.decode("utf-8", "replace"))
    assert not SANITIZER.search(result.err), result
    return result


def ctl(*arguments, control=None, rs=False, timeout=60, **options):
    return end_ctl(start_ctl(*arguments, control=control, rs=rs, **options), arguments, timeout)


def with_mounts(script, *arguments):
    """What a shell said that may mount what it likes; "$1" is p2pdi-ctl, then come the arguments. 99: it could not mount."""
    if not shutil.which("unshare"):
        pytest.skip("there is no unshare")
    r = subprocess.run(["unshare", "--mount", "--map-root-user", "sh", "-c", script, "sh", program("p2pdi-ctl"), *arguments],
                       capture_output=True, text=True, check=False, timeout=60)
    if r.returncode == 99 or r.stderr.startswith("unshare:"):
        pytest.skip(f"namespaces can't be had here: {r.stderr}")
    return r


class Terminal:
    """p2pdi-ctl on a terminal of its own. environment: what differs from ours, None: unset."""

    def __init__(self, *arguments, control=None, columns=80, lines=50, environment=None, stdout=None, stderr=None,
                 command=None):
        command = command or [program("p2pdi-ctl")]
        command = command + ([f"--control={control}"] if control else []) + list(arguments)
        env = {name: value for name, value in os.environ.items()
               if not re.match(r"(SYSTEMD_|LESS|PAGER|NO_COLOR|COLUMNS|LINES|SUDO_UID|TERM)", name)}
        env.update({"TERM": "xterm", "SYSTEMD_PAGER": ""})
        for name, value in (environment or {}).items():
            env.pop(name, None)
            if value is not None:
                env[name] = value
        self.master, slave = pty.openpty()
        self.resize(columns, lines)
        try:
            self.process = subprocess.Popen(
                command, stdin=slave, stdout=slave if stdout is None else stdout, stderr=slave if stderr is None else stderr,
                env=env, start_new_session=True, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        finally:
            os.close(slave)
        self.data = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.master)

    @property
    def text(self):
        return self.data.decode("utf-8", "replace")

    def resize(self, columns, lines):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def type(self, text):
        os.write(self.master, text.encode())

    def _read(self, end):
        """Some more output. false: no more comes."""
        left = end - time.monotonic()
        assert left > 0, f"nothing more comes after {self.text[-2000:]!r}"
        if not select.select([self.master], [], [], left)[0]:
            return True
        try:
            data = os.read(self.master, 65536)
        except OSError as e:
            if e.errno != errno.EIO:            # nobody has the other end open any more
                raise
            return False
        self.data += data
        return bool(data)

    def wait_text(self, text, times=1):
        end = time.monotonic() + PATIENCE
        while self.text.count(text) < times:
            assert self._read(end), f"ended without {text!r}: {self.text[-2000:]!r}"

    def wait_match(self, pattern, from_here=0):
        """from_here: how much of the text was there already."""
        end = time.monotonic() + PATIENCE
        while not re.search(pattern, self.data[from_here:].decode("utf-8", "replace")):
            assert self._read(end), f"ended without {pattern!r}: {self.text[-2000:]!r}"

    def drain(self):
        """All that it wrote up to now."""
        while select.select([self.master], [], [], 0)[0] and self._read(time.monotonic() + PATIENCE):
            pass

    def end(self):
        """Waits until it ends; everything it wrote is in text. Its exit code, negative: the signal."""
        end = time.monotonic() + PATIENCE
        while self._read(end):
            pass
        assert not SANITIZER.search(self.text), self.text
        return self.process.wait(timeout=PATIENCE)


# ---- a place for all of a test ----

class World:
    """Everything that a test starts, and its end."""

    def __init__(self):
        base = tempfile.gettempdir()
        # A socket's path has at most 107 bytes.
        if len(base) > 40:
            base = "/tmp"
        self.dir = tempfile.mkdtemp(prefix="p2pdi-", dir=base)
        self.daemons = []
        self.closers = []
        self.servers = []               # FakeServers: peers leave them, so they end last

    def keep(self, what):
        """What is closed in the end."""
        self.closers.append(what)
        return what

    def place(self, address="127.0.0.1"):
        return self.keep(Place(address))

    def rs(self, ini=None, name="rs", address="127.0.0.1", start=True):
        defaults = {"Log.Level": "debug", "Log.TransactionsPerSec": 1000000, "Limits.RatePerSource": 0}
        rs = Rsd(self, name, {**defaults, **(ini or {})}, self.place(address), "rs")
        self.daemons.append(rs)
        return rs.start() if start else rs

    def peer(self, name, documents=None, rs=None, ini=None, listen="127.0.0.1:auto", place=None, start=True):
        """rs: one, several, or None. Without `place` the peer binds a free port itself."""
        servers = [rs] if isinstance(rs, (Rsd, FakeServer, str)) else list(rs or [])
        defaults = {
            "Log.Level": "debug",
            "Log.TransactionsPerSec": 1000000,
            "Limits.RatePerSource": 0,
            "Server.ListenStream": place.text if place else listen,
            "Registration.Server": [s if isinstance(s, str) else s.text for s in servers],
            # Nothing is asked but what the test asks for.
            "Index.PullIntervalSec": "infinity",
        }
        peer = Peerd(self, name, {**defaults, **(ini or {})}, place, "rfc")
        self.daemons.append(peer)
        for number, content in (documents or {}).items():
            peer.put(number, content)
        if not start:
            return peer
        peer.start()
        peer.wait_scanned(len(documents or {}))
        if servers:
            peer.wait_registered(len(servers))
        return peer

    def holder(self, documents=None, **options):
        return self.keep(FakePeer(documents, **options))

    def server(self, peers=(), **options):
        server = FakeServer(peers, **options)
        self.servers.append(server)
        return server

    def logs(self):
        return [(d.name, d.log()) for d in self.daemons]

    def close(self):
        """Peers first, then those that they leave; what still runs must end well."""
        problems = []
        for closer in reversed(self.closers):
            with contextlib.suppress(OSError):
                closer.close()
        for kind in (Peerd, Rsd):
            still = [d for d in self.daemons if isinstance(d, kind) and d.running]
            for d in still:
                d.terminate()
            for d in still:
                try:
                    if d.wait_end() != d.expect_status:
                        problems.append(f"{d.name} ended with {d.status}")
                except AssertionError as e:
                    problems.append(str(e))
                    d.kill()
        for server in self.servers:
            with contextlib.suppress(OSError):
                server.close()
        for d in self.daemons:
            if SANITIZER.search(d.log()):
                problems.append(f"a sanitizer complained in {d.name}")
        shutil.rmtree(self.dir, ignore_errors=True)
        assert not problems, problems


# ---- the wire, by hand ----

class Reply:
    def __init__(self, head, body):
        self.head = head
        first, *lines = head.split("\r\n")
        m = re.fullmatch(r"P2P-DI/1\.0 (\d{3}) ([ -~]+)", first)
        assert m, first
        self.status, self.phrase = int(m.group(1)), m.group(2)
        self.headers = {}
        for line in lines:
            name, colon, value = line.partition(":")
            assert colon and re.fullmatch(r"[!-9;-~]+", name) and value.startswith(" "), line
            assert name.lower() not in self.headers, f"{name} comes twice"
            self.headers[name.lower()] = value.strip()
        self.body = body

    def __getitem__(self, name):
        return self.headers[name.lower()]

    def get(self, name, default=None):
        return self.headers.get(name.lower(), default)

    def __contains__(self, name):
        return name.lower() in self.headers

    @property
    def closes(self):
        return self.get("Connection", "").lower() == "close"

    def __repr__(self):
        return f"{self.head}\n{len(self.body)} bytes: {self.body[:200]!r}"


DATE = re.compile(r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d (Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) \d{4} "
                  r"\d\d:\d\d:\d\d GMT")


def request(line, headers=None, version=VERSION, end="\r\n"):
    """Bytes of a request. headers: a dict (values that are None are left out) or a list of pairs."""
    pairs = headers.items() if isinstance(headers, dict) else headers or []
    head = [f"{line} {version}"] + [f"{name.replace('_', '-')}: {value}" for name, value in pairs if value is not None]
    return (end.join(head) + end + end).encode("utf-8", "surrogateescape")


class Closed(Exception):
    """The other end closed the connection."""


class Wire:
    """A connection as client. Each reply that is read is held to section 1 of the protocol."""

    def __init__(self, to, source=None, timeout=PATIENCE, window=None):
        """window: about how many bytes may come before they are read."""
        self.socket = socket.socket(family_of(to[0]), socket.SOCK_STREAM)
        self.socket.settimeout(timeout)
        if window:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
        if source:
            self.socket.bind((source, 0))
        self.socket.connect(to)
        self.buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def receive(self):
        try:
            data = self.socket.recv(1 << 18)
        except ConnectionResetError:
            data = b""
        if not data:
            raise Closed(f"closed after {self.buffer[:200]!r}")
        self.buffer += data

    def read(self, n):
        parts, have = [self.buffer], len(self.buffer)
        while have < n:
            data = self.socket.recv(1 << 18)
            if not data:
                raise Closed(f"closed after {have} of {n} bytes")
            parts.append(data)
            have += len(data)
        whole = b"".join(parts)
        self.buffer = whole[n:]
        return whole[:n]

    def reply(self):
        while b"\r\n\r\n" not in self.buffer:
            assert len(self.buffer) < 65536
            self.receive()
        head, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
        text = head.decode("utf-8")
        assert not re.search(r"[\x00-\x09\x0b\x0c\x0e-\x1f\x7f]", text) and text.count("\n") == text.count("\r\n")
        reply = Reply(text, b"")
        assert DATE.fullmatch(reply["Date"]) and re.match(r"p2pdi/\S+$", reply["Server"])
        if reply.status in (204, 304):
            assert "Content-Length" not in reply
        else:
            reply.body = self.read(int(reply["Content-Length"]))
        if reply.status in (400, 408, 413, 431, 505):
            assert reply.closes, reply
        return reply

    def ask(self, line, headers=None, **options):
        self.send(request(line, headers, **options))
        return self.reply()

    def expect_closed(self):
        """Nothing more comes, and the other end closes."""
        try:
            self.receive()
        except Closed:
            pass
        assert self.buffer == b"", self.buffer


def parse_list(body):
    """A peer list: [(address, port, id, ttl, host)]."""
    peers = []
    assert body.endswith(b"\n") or not body
    for line in body.decode("utf-8").split("\n")[:-1]:
        address, port, peer_id, ttl, host = line.split("\t")
        peers.append((address, int(port), int(peer_id), int(ttl), host))
    return peers


class Record:
    def __init__(self, number, ttl, holder, size, sha256, title):
        self.number, self.ttl, self.holder = number, ttl, holder
        self.size, self.sha256, self.title = size, sha256, title

    @property
    def line(self):
        return f"{self.number}\t{self.ttl}\t{self.holder}\t{self.size}\t{self.sha256}\t{self.title}\n"

    def __repr__(self):
        return repr(self.line)


def parse_index(body):
    """An index body, each line as the protocol writes it."""
    records = []
    assert body.endswith(b"\n") or not body
    for line in body.decode("utf-8").split("\n")[:-1]:
        m = re.fullmatch(r"([1-9]\d*)\t([1-9]\d*)\t(-|\S+:\d+)\t(0|[1-9]\d*)\t([0-9a-f]{64})\t([^\x00-\x1f\x7f]*)",
                         line)
        assert m, line
        records.append(Record(int(m[1]), int(m[2]), m[3], int(m[4]), m[5], m[6]))
    return records


def index_digest(records):
    """Index-Digest, by the book."""
    own = sorted((r for r in records if r.holder == "-"), key=lambda r: r.number)
    lines = "".join(f"{r.number}\t{r.size}\t{r.sha256}\t{r.title}\n" for r in own)
    return "sha-256=" + sha256(lines.encode())


def sha256(data):
    return hashlib.sha256(data).hexdigest()


class Registrant:
    """One who speaks with the registration server by hand."""

    def __init__(self, rs, source=None, host=None):
        """host: the address by which the server is reached, where it listens on several."""
        self.rs = rs
        self.wire = Wire((host, rs.port), source) if host else rs.connect(source)
        self.cookie = self.id = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.wire.close()

    def register(self, port, **headers):
        """Must go well; keeps cookie and id, and gives the reply."""
        reply = self.wire.ask("POST Register", {"Port": port, "Host": "by-hand", "OS": "test", "Cookie": self.cookie,
                                                **headers})
        assert reply.status == 200, reply
        self.cookie, self.id = reply["Cookie"], int(reply["Peer-Id"])
        return reply

    def leave(self):
        return self.wire.ask("POST Leave", {"Cookie": self.cookie})

    def keepalive(self):
        return self.wire.ask("POST KeepAlive", {"Cookie": self.cookie})

    def query(self, **headers):
        return self.wire.ask("GET PQuery", {"Cookie": self.cookie, **headers})

    def peers(self, **headers):
        """(Active:, list)"""
        reply = self.query(**headers)
        assert reply.status in (200, 204), reply
        assert (reply.status == 204) == (reply["Active"] == "0")
        return int(reply["Active"]), parse_list(reply.body)


# ---- the other end of a peer's own connections ----

class Fake:
    """Listens, and answers one request on each connection; a thread for each. answer() is its children's."""

    def __init__(self, address="127.0.0.1", place=None):
        self.requests = []              # request lines, as they came
        self.heads = []                 # (line, headers)
        self.connections = 0
        self.changed = threading.Condition()
        self.place = place or Place(address)
        self.listener = self.place.listen()
        self.address, self.port = self.place.address, self.place.port
        self.text = self.place.text
        self.open = set()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with self.changed:
                self.connections += 1
                self.open.add(connection)
                self.changed.notify_all()
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        try:
            with connection:
                connection.settimeout(PATIENCE)
                data = b""
                while b"\r\n\r\n" not in data:
                    more = connection.recv(65536)
                    if not more:
                        return
                    data += more
                first, *lines = data.split(b"\r\n\r\n")[0].decode().split("\r\n")
                headers = {n.lower(): v.strip() for n, _, v in (line.partition(":") for line in lines)}
                with self.changed:
                    self.requests.append(first)
                    self.heads.append((first, headers))
                    self.changed.notify_all()
                answer = self.answer(connection, first, headers)
                if answer is not None:
                    connection.sendall(answer)
                    connection.shutdown(socket.SHUT_WR)
                    connection.recv(1)
        except OSError:
            pass
        finally:
            with self.changed:
                self.open.discard(connection)
                self.changed.notify_all()

    @staticmethod
    def head(status, length=0, **headers):
        lines = [f"{VERSION} {status} Test", "Server: p2pdi/test"]
        lines += [f"{n.replace('_', '-')}: {v}" for n, v in headers.items()]
        if status not in (204, 304):
            lines.append(f"Content-Length: {length}")
        return ("\r\n".join(lines) + "\r\n\r\n").encode()

    # -- for the test --

    def wait(self, condition, timeout=PATIENCE):
        with self.changed:
            assert self.changed.wait_for(condition, timeout), f"{self.text}: {self.requests}"

    def wait_requests(self, pattern, n=1):
        self.wait(lambda: sum(1 for r in self.requests if re.search(pattern, r)) >= n)

    def count(self, pattern):
        with self.changed:
            return sum(1 for r in self.requests if re.search(pattern, r))

    def vanish(self):
        """From now on connections are refused."""
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)    # wakes accept(), unlike close()
        self.thread.join()
        self.listener.close()

    def close(self):
        self.vanish()
        with self.changed:
            still = list(self.open)
        for connection in still:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self.place.close()


# ---- a peer that does as it is told ----

class FakePeer(Fake):
    """Answers as a peer would, unless a test tells it otherwise.

    on_get(fake, connection, number) and on_index(fake, connection, headers) replace an answer: they give the bytes to
    send, or None where they sent something themselves; then the connection is closed. `statements` replace what the
    index says of a number: a Record or a list of them. When it vanishes it does not leave: its lease runs on.
    """

    def __init__(self, documents=None, on_get=None, on_index=None, **options):
        self.documents = dict(documents or {})
        self.statements = {}
        self.on_get, self.on_index = on_get, on_index
        self.generation = 1
        self.epoch = random.getrandbits(40) + 1
        super().__init__(**options)

    def answer(self, connection, line, headers):
        m = re.fullmatch(r"GET RFC (\d+) P2P-DI/1\.0", line)
        if m and self.on_get:
            return self.on_get(self, connection, int(m[1]))
        if m:
            return self.document(int(m[1]))
        if line != "GET RFC-Index P2P-DI/1.0":
            return self.head(404)
        if self.on_index:
            return self.on_index(self, connection, headers)
        return self.index(headers)

    # -- what an honest one sends --

    def document(self, number):
        content = self.documents.get(number)
        if content is None:
            return self.head(404)
        return self.head(200, len(content), Content_Type="text/plain", Digest=f"sha-256={sha256(content)}",
                         Title=f"RFC {number}") + content

    def record(self, number, content=None, ttl=7200, holder="-", title=None):
        content = self.documents[number] if content is None else content
        return Record(number, ttl, holder, len(content), sha256(content), title or f"RFC {number}")

    def records(self):
        found = []
        for number in sorted(set(self.documents) | set(self.statements)):
            said = self.statements.get(number)
            if said is None:
                said = [self.record(number)]
            found += said if isinstance(said, list) else [said]
        return found

    def index(self, headers):
        records = self.records()
        generation = f"{self.epoch}.{self.generation}"
        if "rfc" in headers:
            wanted = set()
            for part in headers["rfc"].split(","):
                first, _, last = part.partition("-")
                wanted |= set(range(int(first), int(last or first) + 1))
            body = "".join(r.line for r in records if r.number in wanted).encode()
            return self.head(200, len(body)) + body
        own = [r for r in records if r.holder == "-"]
        if headers.get("if-generation") == generation:
            return self.head(304, Generation=generation, Index_Digest=index_digest(own))
        body = "".join(r.line for r in (own if "if-generation" in headers else records)).encode()
        return self.head(200, len(body), Generation=generation, Index_Digest=index_digest(own)) + body

    # -- for the test --

    def join(self, rs, source=None):
        """Registers at the server; gives who did."""
        registrant = Registrant(rs, source or self.address)
        registrant.register(self.port)
        self.registrant = registrant
        return registrant

    def close(self):
        super().close()
        if hasattr(self, "registrant"):
            self.registrant.close()


# ---- a registration server that does as it is told ----

class FakeServer(Fake):
    """Answers as a registration server would that knows one peer, the asker, and lists the peers that it is given.

    on_request(fake, line, headers) replaces an answer where it does not give None. A list comes in pages of
    `page` peers.
    """

    def __init__(self, peers=(), on_request=None, page=1000, **options):
        self.peers = list(peers)        # Fakes, or whatever has an address and a port
        self.on_request = on_request
        self.page = page
        self.cookie = random.randint(1, (1 << 53) - 1)
        super().__init__(**options)

    def answer(self, connection, line, headers):
        answer = self.on_request(self, line, headers) if self.on_request else None
        if answer is not None:
            return answer
        lease = {"TTL": 7200, "Keep_Alive": 2400, "Address": connection.getpeername()[0]}
        verb = line.split()[1]
        if verb == "PQuery":
            return self.page_behind(int(headers.get("after", 0)))
        if verb == "Register":
            return self.head(200, Cookie=self.cookie, Peer_Id=1000, **lease)
        return self.head(200, **(lease if verb == "KeepAlive" else {}))

    def page_behind(self, after=0, active=None):
        """Those behind that id, which is a peer's place in the list from 1 on."""
        active = len(self.peers) if active is None else active
        if not self.peers:
            return self.head(204, Active=0)
        body = "".join(f"{p.address}\t{p.port}\t{i}\t7200\t\n" for i, p in enumerate(self.peers, 1)
                       if after < i <= after + self.page).encode()
        return self.head(200, len(body), Active=active) + body

    def said(self):
        """What it was asked, in order: (verb, cookie or None)."""
        with self.changed:
            return [(line.split()[1], headers.get("cookie")) for line, headers in self.heads]


# ---- the control socket, by hand ----

class Varlink:
    """Calls over one connection, as jansson-free as can be."""

    def __init__(self, path, timeout=PATIENCE):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        # While the backlog is full connect() waits as long as a send would; with settimeout() it would just fail.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", timeout, 0))
        self.socket.connect(path)
        self.socket.settimeout(timeout)
        self.buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def send(self, method, parameters=None, fd=None, **flags):
        message = json.dumps({"method": method, "parameters": parameters or {}, **flags}).encode() + b"\0"
        if fd is not None:
            message = message[socket.send_fds(self.socket, [message], [fd]):]
        self.socket.sendall(message)

    def reply(self):
        while b"\0" not in self.buffer:
            data = self.socket.recv(65536)
            if not data:
                raise Closed("the control socket was closed")
            self.buffer += data
        message, self.buffer = self.buffer.split(b"\0", 1)
        return json.loads(message)

    def call(self, method, parameters=None, **flags):
        self.send(method, parameters, **flags)
        return self.reply()

    def call_more(self, method, parameters=None):
        """All replies of a call with more, as they come."""
        self.send(method, parameters, more=True)
        continues = True
        while continues:
            reply = self.reply()
            continues = reply.get("continues", False)
            yield reply


def sealed(content, seals=fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SHRINK):
    """A descriptor of a file in memory that nobody can change any more."""
    fd = os.memfd_create("test", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.write(fd, content)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
    return fd


# ---- documents ----

def document(number, size=4000, seed=0):
    """Plain synthetic text of exactly that size, another one for each number and seed."""
    generator = random.Random(f"{number}/{seed}")
    words = ["packet", "octet", "peer", "index", "header", "lease", "digest", "holder", "cookie", "server"]
    parts = [f"Synthetic document {number}, of seed {seed}\n\n"]
    length = len(parts[0])
    # Not all of a big one needs to be drawn: a block that repeats, with its place in it, is as good.
    drawn = generator.choices(words, k=540)
    block = "".join(" ".join(drawn[i:i + 9]) + "\n" for i in range(0, 540, 9))
    while length < size:
        parts.append(f"[{length}]\n" + block)
        length += len(parts[-1])
    return "".join(parts).encode()[:size]


def flip(content, position):
    """The same with one bit turned."""
    changed = bytearray(content)
    changed[position] ^= 1
    return bytes(changed)
