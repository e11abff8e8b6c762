# SPDX-License-Identifier: BSD-2-Clause
"""Hosts with a real systemd as PID 1, for the tests beside this file: systemd-box, and what is done with it.

A host is a copy-on-write view of this machine that is gone with the test. It is worked with from outside: commands run
in it, its files lie below Host.path(), sockets are made in its network, its processes are seen by their numbers here.
Nothing waits for a while: wait() looks at a state again and again until it is as wanted, and fails at the latest after
PATIENCE seconds.
"""

import contextlib
import ctypes
import glob
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "system"))
pytest.register_assert_rewrite("p2pdi")
from p2pdi.threads import threads  # noqa: E402
from p2pdi.varlink import Varlink  # noqa: E402
from p2pdi.wire import Closed, Registrant, Wire  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
SYSTEMD_BOX = os.path.join(HERE, "systemd-box")
PATIENCE = 30
RS_PORT, RFC_PORT = 65423, 65424
PEER_SOCKET, RS_SOCKET = "/run/p2pdi/org.p2pdi.Peer", "/run/p2pdi/org.p2pdi.Registration"
# Of each daemon: what a test that is the same for both needs to know.
PORTS = {"p2pdi-rsd": RS_PORT, "p2pdi-peerd": RFC_PORT}
CONTROLS = {"p2pdi-rsd": RS_SOCKET, "p2pdi-peerd": PEER_SOCKET}
PRODUCTS = {"p2pdi-rsd": "P2P-DI Registration Server", "p2pdi-peerd": "P2P-DI Peer"}
DAEMONS = sorted(PORTS)
# What a host is given: a directory with *.deb, or one that "make install DESTDIR=" has filled.
PACKAGES = os.environ.get("P2PDI_DEB")
DESTDIR = os.environ.get("P2PDI_DESTDIR")

libc = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET = 0x40000000

INSTALL_FILES = """
tar -C /mnt/p2pdi -c . | tar -C / -x --no-same-owner --no-overwrite-dir --keep-directory-symlink
systemd-sysusers
systemd-tmpfiles --create
systemctl daemon-reload
journalctl --update-catalog
"""
# The manual's index takes longer than all of the rest.
INSTALL_PACKAGES = """
rm -f /var/lib/man-db/auto-update
DEBIAN_FRONTEND=noninteractive dpkg -i /mnt/p2pdi/*.deb
"""


KEEP_SETTINGS = "mkdir -p /etc/p2pdi && cp -a /etc/p2pdi /mnt/settings"
# All as it was after the installation, but for what the journal has.
RESET = """
systemctl stop 'p2pdi*'
rm -rf /var/lib/p2pdi* /var/lib/private/p2pdi* /run/p2pdi* /etc/systemd/system/* /etc/p2pdi
cp -a /mnt/settings /etc/p2pdi
systemd-tmpfiles --create p2pdi.conf
systemctl daemon-reload
systemctl reset-failed
systemctl list-units --no-legend --plain 'p2pdi*'
"""


class Result:
    def __init__(self, command, code, out, err):
        self.command, self.code, self.out, self.err = command, code, out, err

    def __repr__(self):
        return f"{' '.join(self.command)}: {self.code}\nstdout: {self.out[-4000:]}\nstderr: {self.err[-4000:]}"

    def lines(self):
        return self.out.splitlines()


def wait(what, condition, timeout=PATIENCE):
    """Until condition() gives something, which is given back."""
    end = time.monotonic() + timeout
    while not (found := condition()):
        assert time.monotonic() < end, f"{what() if callable(what) else what} did not come within {timeout} s"
        threading.Event().wait(0.02)
    return found


def missing():
    """Why there can be no host here, or None."""
    r = subprocess.run([SYSTEMD_BOX, "check"], capture_output=True, text=True, check=False)
    return None if r.returncode == 0 else " ".join((r.stdout + r.stderr).split())


class Host:
    """name: what it is called by the other hosts, too; made unlike all others."""

    def __init__(self, name, *options, network=None, install=True):
        self.name = f"{name}-{os.getpid()}"
        net = [f"--net={network}-{os.getpid()}"] if network else []
        source = PACKAGES or DESTDIR
        self._box("start", self.name, f"--bind-ro={source}:/mnt/p2pdi", f"--owner={os.getpid()}", "--quiet", *net, *options)
        self.since = None
        self._look()
        if install:
            self.sh("rm -rf /etc/p2pdi /var/lib/p2pdi* /run/p2pdi*")
            self.install()
            self.sh(KEEP_SETTINGS)
            if PACKAGES:
                self.reset()            # the peer runs from the installation on: to the tests all starts with nothing

    # -- the machine --

    def _box(self, *arguments):
        r = subprocess.run([SYSTEMD_BOX, *arguments], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
        assert r.returncode == 0, f"systemd-box {' '.join(arguments)}: {r.returncode}\n{r.stdout}{r.stderr}"
        return r.stdout

    def _look(self):
        self.init = int(self._box("pid", self.name))

    def install(self):
        self.sh(INSTALL_PACKAGES if PACKAGES else INSTALL_FILES)

    def reset(self):
        """As if it had just been made. false: it is of no more use."""
        r = self.sh(RESET, code=None)
        # No cursor: journalctl skips the first entry that matches behind one that does not.
        self.since = time.time()
        return r.code == 0 and not r.out

    def reboot(self):
        self._box("reboot", self.name)
        self._look()

    def crash(self):
        """The power fails, and comes back."""
        self._box("crash", self.name)
        self._look()

    def remove(self):
        subprocess.run([SYSTEMD_BOX, "stop", "--force", self.name], capture_output=True, check=False)

    def path(self, path):
        """A file of the host."""
        return f"/proc/{self.init}/root{path}"

    def read(self, path, mode="r"):
        with open(self.path(path), mode) as f:
            return f.read()

    def write(self, path, content):
        os.makedirs(os.path.dirname(self.path(path)), exist_ok=True)
        with open(self.path(path), "wb" if isinstance(content, bytes) else "w") as f:
            f.write(content)

    def put(self, number, content, library="/var/lib/p2pdi/rfc"):
        """A document comes into the library, as an administrator would copy it."""
        self.write(f"{library}/.new", content)
        os.chmod(self.path(f"{library}/.new"), 0o644)
        os.rename(self.path(f"{library}/.new"), self.path(f"{library}/rfc{number}.txt"))

    @contextlib.contextmanager
    def network(self):
        """Sockets that this thread makes meanwhile are the host's."""
        with open("/proc/thread-self/ns/net", "rb") as here, open(f"/proc/{self.init}/ns/net", "rb") as there:
            assert libc.setns(there.fileno(), CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
            try:
                yield
            finally:
                assert libc.setns(here.fileno(), CLONE_NEWNET) == 0

    def wire(self, port, address="127.0.0.1", timeout=PATIENCE):
        """A connection to one of its ports, from itself."""
        with self.network():
            return Wire((address, port), None, timeout)

    def refuses(self, port):
        try:
            self.wire(port).close()
            return False
        except ConnectionRefusedError:
            return True

    def registrant(self):
        return Registrant(self)

    def connect(self, _source=None):
        """For a registrant: the registration server."""
        return self.wire(RS_PORT)

    def varlink(self, path=PEER_SOCKET):
        return Varlink(self.path(path))

    # -- commands --

    def run(self, *command, user=None, code=0, stdin=None):
        """code: how it has to end; None: as it likes."""
        box = [SYSTEMD_BOX, "exec", self.name, "-C", "/"] + (["-u", user] if user else []) + ["--", *command]
        r = subprocess.run(box, capture_output=True, input=stdin, check=False, timeout=120,
                           **({} if stdin is not None else {"stdin": subprocess.DEVNULL}))
        result = Result(command, r.returncode, r.stdout.decode("utf-8", "replace"), r.stderr.decode("utf-8", "replace"))
        assert code is None or result.code == code, result
        return result

    def sh(self, script, **options):
        return self.run("/bin/sh", "-ec", script, **options)

    def ctl(self, *arguments, **options):
        return self.run("p2pdi-ctl", *arguments, **options)

    def json(self, *arguments):
        return json.loads(self.ctl("--json=short", *arguments).out)

    def systemctl(self, *arguments, **options):
        return self.run("systemctl", *arguments, **options)

    def start(self, *units):
        self.systemctl("start", *units)

    def show(self, unit, name):
        return self.systemctl("show", "--value", "-p", name, unit).out.strip()

    def state(self, unit):
        return self.show(unit, "ActiveState")

    def wait_state(self, unit, state="active"):
        wait(lambda: f"{unit}: {state}\n{self.status(unit)}", lambda: self.state(unit) == state)

    def status(self, unit):
        return self.systemctl("status", "--no-pager", "--full", "--lines=40", unit, code=None).out

    def drop_in(self, unit, text, name="test"):
        self.write(f"/etc/systemd/system/{unit}.d/{name}.conf", text)
        self.systemctl("daemon-reload")

    def pid(self, unit):
        """The number here of the main process of a service."""
        inside = self.show(unit, "MainPID")
        assert inside != "0", self.status(unit)
        with open(f"/proc/{self.init}/task/{self.init}/children", encoding="ascii") as f:
            for pid in f.read().split():
                with contextlib.suppress(OSError), open(f"/proc/{pid}/status", encoding="ascii") as status:
                    if re.search(r"^NSpid:.*\b(\d+)$", status.read(), re.M).group(1) == inside:
                        return int(pid)
        raise AssertionError(f"{unit}: no process {inside}")

    def threads(self, unit):
        """{name: number here}, the main one as "main"."""
        process = type("Process", (), {"pid": self.pid(unit)})
        return {"main": process.pid, **threads(process)}

    # -- the journal --

    def journal(self, *matches):
        """Entries, as journalctl tells them."""
        since = [f"--since=@{self.since:.6f}"] if self.since else []
        out = self.run("journalctl", "-o", "json", "--all", "--no-pager", "-q", *since, *matches).out
        return [json.loads(line) for line in out.splitlines()]

    def messages(self, *matches):
        return [str(e.get("MESSAGE", "")) for e in self.journal(*matches)]

    def wait_message(self, pattern, *matches, n=1):
        """The n-th entry that matches."""
        def look():
            found = [e for e in self.journal(*matches) if re.search(pattern, str(e.get("MESSAGE", "")))]
            return found[n - 1] if len(found) >= n else None
        return wait(lambda: f"{n} of {pattern!r}; there is {self.messages(*matches)[-30:]}, what", look)

    # -- the two daemons --

    def configure_peer(self, text, instance=None):
        self.write(f"/etc/p2pdi/peer{'@' + instance if instance else ''}.ini", text)

    def wait_registered(self, *instance):
        wait(lambda: f"registration; {self.ctl(*instance, 'status', code=None)}",
             lambda: re.search(r"Peer: \d+, registered at", self.ctl(*instance, "status", code=None).out))

    def wait_held(self, n, *instance):
        """So many documents are in the library."""
        wait(lambda: f"{n} documents; {self.ctl(*instance, 'status', code=None)}",
             lambda: re.search(rf"Store: {n} RFCs?,", self.ctl(*instance, "status", code=None).out))


class Load:
    """Clients of a host's port, each with one exchange on each connection, again and again until the end.

    exchange(wire, n) is done on a new connection; n counts. What it gives is kept in `answers`. A connection that could
    not be made is in `refused`; one that was made and ended without its answer is in `lost`. Answers that exchange()
    finds wrong fail the test.
    """

    def __init__(self, host, port, exchange, clients=3):
        self.host, self.port, self.exchange = host, port, exchange
        self.answers, self.refused, self.lost, self.wrong = [], [], [], []
        self.changed = threading.Condition()
        self.ends = False
        self.threads = [threading.Thread(target=self._run, args=(n,), daemon=True) for n in range(clients)]

    def __enter__(self):
        for t in self.threads:
            t.start()
        self.wait_more(10)
        return self

    def __exit__(self, *_):
        self.ends = True
        for t in self.threads:
            t.join(PATIENCE)
        assert not self.wrong, self.wrong[0]

    def _run(self, n):
        while not self.ends:
            try:
                answer, where = None, None
                with self.host.wire(self.port) as w:
                    try:
                        answer = self.exchange(w, n)
                    except (OSError, Closed) as e:
                        where = e
            except AssertionError as e:
                self.wrong.append(e)
                return
            except OSError as e:
                with self.changed:
                    self.refused.append(repr(e))
                threading.Event().wait(0.01)
                continue
            with self.changed:
                if where is None:
                    self.answers.append(answer)
                else:
                    self.lost.append(repr(where))
                self.changed.notify_all()

    def wait_more(self, n):
        """n more answers came."""
        with self.changed:
            wanted = len(self.answers) + n
            assert self.changed.wait_for(lambda: len(self.answers) >= wanted, PATIENCE), \
                f"no answers: {len(self.answers)}, refused {self.refused[-3:]}, lost {self.lost[-3:]}"


class Hosts:
    """All hosts of a test, or of the tests of a file."""

    def __init__(self):
        self.all = []

    def new(self, name, *options, **more):
        host = Host(name, *options, **more)
        self.all.append(host)
        return host

    def again(self):
        """The one host of these, as good as new."""
        if not self.all or not self.all[-1].reset():
            self.close()
            self.new("host")
        return self.all[-1]

    def logs(self):
        for host in self.all:
            with contextlib.suppress(Exception):
                yield host.name, host.run("journalctl", "--no-pager", "-q", "-n", "80", code=None).out

    def close(self):
        while self.all:
            self.all.pop().remove()


def unpack_packages(to):
    for package in glob.glob(os.path.join(PACKAGES, "*.deb")):
        subprocess.run(["dpkg-deb", "-x", package, to], check=True)


@contextlib.contextmanager
def installed():
    """A directory that looks like the root of a host with the programs, and nothing else."""
    if not PACKAGES:
        yield DESTDIR
        return
    with tempfile.TemporaryDirectory() as d:
        unpack_packages(d)
        yield d
