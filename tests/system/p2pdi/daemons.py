# SPDX-License-Identifier: BSD-2-Clause
"""The daemons as processes: started with their sockets, read as they speak, asked, signalled, ended."""

import contextlib
import fcntl
import json
import os
import re
import select
import signal
import socket
import termios
import threading
import time

from p2pdi.addresses import endpoint, split_endpoint
from p2pdi.base import PATIENCE, program, until
from p2pdi.documents import flip
from p2pdi.tool import ctl
from p2pdi.varlink import Varlink
from p2pdi.wire import Registrant, Wire, parse_index


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
