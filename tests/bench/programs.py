# SPDX-License-Identifier: BSD-2-Clause
"""What the rows start, and what it costs: our daemons with the INI that is shipped, the programs they are compared with, the
clients, and documents for all of them.

Figures are of whole processes: the CPU clock of each process of a server (all its threads, also those that have ended).
"""

import contextlib
import hashlib
import json
import os
import pwd
import random
import re
import resource
import shutil
import socket
import struct
import subprocess
import threading
import time

from harness import Skip
from p2pdi.addresses import endpoint
from p2pdi.base import BUILD, until
from p2pdi.world import World

# In the units: LimitNOFILE=.
DESCRIPTORS = 65536
# What World gives the daemons of tests; here they run with what is shipped, but where they listen.
SHIPPED = {"Log.Level": None, "Log.TransactionsPerSec": None, "Limits.RatePerSource": None, "Index.PullIntervalSec": None}


class Bench:
    """A run of the benchmarks: its directories, and the world that the daemons live in."""

    def __init__(self, directory, quick=False, rfcs=None, on_entry=None):
        self.directory, self.quick, self.rfcs = directory, quick, rfcs
        # World has the daemons' malloc() fill all memory that is taken and freed, for the tests: not here.
        os.environ["MALLOC_PERTURB_"] = "0"
        self.world = World()
        self.work = os.path.join(self.world.dir, "bench")
        self.journal = Journal(self.world.dir, on_entry)
        self.count = 0
        self.known_corpus = {}
        os.makedirs(self.work)

    def close(self):
        try:
            self.world.close()
        finally:
            self.journal.close()

    def seconds(self, n):
        """How long to make load."""
        return 1 if self.quick else n

    def fresh(self, name):
        """A directory that was not there before."""
        self.count += 1
        path = os.path.join(self.work, f"{name}-{self.count}")
        os.makedirs(path)
        return path

    def helper(self, name):
        """A C program of ours, of make bench."""
        path = os.path.join(BUILD, "tests/bench", name)
        if not os.access(path, os.X_OK):
            raise Skip(f"{path} is not built: make bench does")
        return path

    # -- our daemons --

    def rs(self, ini=None):
        self.count += 1
        rs = self.world.rs({**SHIPPED, **(ini or {})}, name=f"rs{self.count}", start=False)
        return self.start(rs)

    def peer(self, rs=None, library=None, ini=None, start=True):
        """library: a directory of documents; else one of its own, which is empty."""
        self.count += 1
        settings = {**SHIPPED, **(ini or {})}
        if library:
            settings["Store.Path"] = library
        peer = self.world.peer(f"peer{self.count}", rs=rs, ini=settings, start=False)
        return self.start(peer) if start else peer

    def start(self, daemon):
        daemon.wrapper = self.journal.wrapper
        allow_descriptors()
        return daemon.start()

    def drop(self, daemon):
        """It is not needed any more: what it keeps goes, too."""
        self.retire(daemon)
        shutil.rmtree(daemon.dir, ignore_errors=True)

    def retire(self, daemon):
        """It is not needed any more; what it keeps stays."""
        if daemon.running:
            daemon.stop()
        self.world.daemons.remove(daemon)

    # -- documents --

    def corpus(self, n):
        """n documents: of RFCS=DIR where that is given (fewer where it has fewer), else made up. Made once."""
        if n not in self.known_corpus:
            self.known_corpus[n] = Corpus.of_directory(self.rfcs, n, self.fresh("rfcs")) if self.rfcs else \
                Corpus.made_up(n, self.fresh("made-up"))
        return self.known_corpus[n]


def allow_descriptors():
    """Daemons get what the units give them."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < DESCRIPTORS:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, DESCRIPTORS))
            hard = DESCRIPTORS
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, DESCRIPTORS), hard))


class Journal:
    """Stands in for systemd-journald: takes the entries and throws them away, so that logging costs our daemons what it costs
    with a journal. They find it at its place, in a mount namespace of their own. Without the right to make one they log to
    stderr: `why` says so."""

    PLACE = "/run/systemd/journal"
    # Where there is no such place one is made, in the namespace. JOURNAL_STREAM names stderr, as the service manager would have set it.
    SHELL = (f'{{ [ -d {PLACE} ] || {{ mount -t tmpfs tmpfs /run && mkdir -p {PLACE}; }}; }} && mount --bind "$0" {PLACE} && '
             'JOURNAL_STREAM=$(stat -Lc %d:%i /dev/stderr) exec "$@"')

    def __init__(self, directory, on_entry=None):
        """on_entry(pid, bytes): hears of each, in a thread of its own."""
        self.directory = os.path.join(directory, "journal")
        os.makedirs(self.directory)
        self.socket = None
        self.n_entries = 0
        self.on_entry = on_entry or (lambda pid, entry: None)
        self.wrapper = [shutil.which("unshare") or "unshare", "--mount"] + ([] if os.geteuid() == 0 else ["--map-root-user"]) + \
            ["sh", "-c", self.SHELL, self.directory]
        self.why = None
        try:
            subprocess.run(self.wrapper + ["true"], capture_output=True, text=True, check=True)
        except (OSError, subprocess.CalledProcessError) as e:
            self.wrapper = []
            self.why = f"The daemons log to stderr, there can be no journal here: {getattr(e, 'stderr', None) or e}".rstrip()
            return
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(os.path.join(self.directory, "socket"))
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        os.chmod(os.path.join(self.directory, "socket"), 0o666)
        self.thread = threading.Thread(target=self.drain, daemon=True)
        self.thread.start()

    def drain(self):
        with contextlib.suppress(OSError):
            while True:
                entry, ancillary, _, _ = self.socket.recvmsg(65536, 64)
                if not entry:
                    return
                self.n_entries += 1
                self.on_entry(struct.unpack("iii", ancillary[0][2])[0], entry)

    def close(self):
        if self.socket:
            with contextlib.suppress(OSError):
                self.socket.shutdown(socket.SHUT_RDWR)
            self.thread.join()
            self.socket.close()


# ---- what it costs ----

def cpu_seconds(pids):
    """CPU time of these processes since their start, by their CPU clocks (clock_getcpuclockid(3))."""
    return sum(time.clock_gettime_ns((~pid << 3) | 2) for pid in pids) / 1e9


def peak(pid):
    """Bytes of memory that it had at most."""
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return int(re.search(r"^VmHWM:\s+(\d+) kB", f.read(), re.M)[1]) * 1024


def resident(pid):
    """Bytes of memory that are its own."""
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as f:
        text = f.read()
    return sum(int(n) for n in re.findall(r"^Private_(?:Clean|Dirty): +(\d+) kB", text, re.M)) * 1024


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as f:
        return [int(p) for p in f.read().split()]


def timed(command, **options):
    """Seconds from its start to its end; it must go well."""
    begin = time.monotonic()
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)
    seconds = time.monotonic() - begin
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)[:300]} ended with {done.returncode}: "
                           f"{done.stdout[-1000:].decode('utf-8', 'replace')}{done.stderr[-1000:].decode('utf-8', 'replace')}")
    return seconds


# ---- documents ----

# Sizes of the RFCs to January 2023, as (part of the documents, bytes up to which they go); between two of them it is a straight line
# of the logarithm.
SIZES = ((0, 118), (0.05, 4000), (0.25, 17500), (0.5, 35000), (0.75, 52000), (0.9, 86000), (0.99, 309000), (1, 1600000))


def size_at(part):
    """Bytes of the document that has so many of all below it."""
    for (p0, s0), (p1, s1) in zip(SIZES, SIZES[1:]):
        if part <= p1:
            return int(s0 * (s1 / s0) ** ((part - p0) / (p1 - p0)))
    return SIZES[-1][1]


def name_of(number):
    return f"rfc{number}.txt"


class Corpus:
    """Documents in one directory, and their digests."""

    def __init__(self, directory, numbers):
        self.directory, self.numbers = directory, numbers
        self.size = sum(os.path.getsize(self.path(n)) for n in numbers)
        self.digests = digests(directory)

    @classmethod
    def made_up(cls, n, directory):
        """Plain text, in sizes like those of the real ones, each with a line of its own at its head."""
        draw = random.Random(n)
        words = ["packet", "octet", "peer", "index", "header", "lease", "digest", "holder", "cookie", "server"]
        pool = "".join(" ".join(draw.choice(words) for _ in range(10)) + "\n" for _ in range(40000)).encode()
        sizes = [size_at((i + 0.5) / n) for i in range(n)]
        draw.shuffle(sizes)
        for number, size in enumerate(sizes, 1):
            begin = draw.randrange(len(pool) - size) if size < len(pool) else 0
            write(os.path.join(directory, name_of(number)), (f"Synthetic {number}\n\n".encode() + pool[begin:begin + size])[:size])
        return cls(directory, list(range(1, n + 1)))

    @classmethod
    def of_directory(cls, source, n, directory):
        found = sorted(int(m[1]) for m in (re.fullmatch(r"rfc([1-9]\d*)\.txt", f) for f in os.listdir(source)) if m)
        if not found:
            raise Skip(f"{source} holds no rfcN.txt")
        # From all over the set: the first ones are short.
        numbers = [found[i * len(found) // n] for i in range(n)] if len(found) > n else found
        for number in numbers:
            shutil.copyfile(os.path.join(source, name_of(number)), os.path.join(directory, name_of(number)))
        return cls(directory, numbers)

    def path(self, number):
        return os.path.join(self.directory, name_of(number))

    def compare(self, directory):
        """What is there are the same documents, all of them."""
        there = digests(directory)
        assert there == self.digests, (
            f"{directory}: {len(there)} of {len(self.digests)} documents; "
            f"others than they should be: {[n for n in there if there[n] != self.digests.get(n)][:5]}")


def write(path, content):
    with open(path, "wb") as f:
        f.write(content)


def digests(directory):
    """{name: SHA-256} of all rfcN.txt."""
    found = {}
    for name in os.listdir(directory):
        if re.fullmatch(r"rfc[1-9]\d*\.txt", name):
            with open(os.path.join(directory, name), "rb") as f:
                found[name] = hashlib.sha256(f.read()).hexdigest()
    return found


# ---- the programs that ours are compared with ----

class Other:
    """A server that is not ours, in the foreground; ended by SIGTERM, at the latest with the world of the bench.

    Where the bench is killed the kernel does it, but for opentracker, which has changed its user by then."""

    def __init__(self, bench, command, address, log):
        self.address = address
        with open(log, "wb") as f:
            self.process = subprocess.Popen(["setpriv", "--pdeathsig=TERM", *command], stdin=subprocess.DEVNULL, stdout=f, stderr=f)
        self.log, self.name = log, command[0]
        bench.world.keep(self)
        self.wait_listening()

    def wait_listening(self):
        def listens():
            if self.process.poll() is not None:
                with open(self.log, encoding="utf-8", errors="replace") as f:
                    raise RuntimeError(f"{self.name} ended with {self.process.returncode}: {f.read()[-1000:]}")
            with contextlib.suppress(OSError), socket.create_connection(self.address, 1):
                return True
            return False
        until(listens, f"{self.name} at {self.address}")

    @property
    def text(self):
        return endpoint(*self.address)

    def pids(self):
        return [self.process.pid] + children(self.process.pid)

    def close(self):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def free_port():
    """Nobody has it now; unlike a Place it is not kept, since other programs bind without SO_REUSEPORT."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


NGINX = """
daemon off;
pid {work}/nginx.pid;
error_log {work}/error.log;
{user}
worker_processes {workers};
worker_rlimit_nofile 65536;
events {{ worker_connections 20000; }}
http {{
    types {{ text/plain txt; }}
    access_log off;
    sendfile on;
    tcp_nopush on;
    open_file_cache max=20000 inactive=1h;
    open_file_cache_valid 1h;
    keepalive_requests 1000000000;
    client_body_temp_path {work}/body; proxy_temp_path {work}/proxy; fastcgi_temp_path {work}/fastcgi;
    uwsgi_temp_path {work}/uwsgi; scgi_temp_path {work}/scgi;
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location /rfc/ {{ alias {root}/; }}
    }}
}}
"""


def nginx(bench, root, workers):
    """As fast as it goes: sendfile, tcp_nopush, open_file_cache, no access log, as many workers as we have threads."""
    work, port = bench.fresh("nginx"), free_port()
    user = "user root;" if os.geteuid() == 0 else ""
    with open(os.path.join(work, "nginx.conf"), "w", encoding="utf-8") as f:
        f.write(NGINX.format(work=work, port=port, root=root, workers=workers, user=user))
    program = shutil.which("nginx") or "/usr/sbin/nginx"
    return Other(bench, [program, "-e", os.path.join(work, "error.log"), "-c", os.path.join(work, "nginx.conf")], ("127.0.0.1", port),
                 os.path.join(work, "log"))


def opentracker(bench, infohash):
    """The one torrent that it serves is that of the infohash, 40 hexadecimal digits."""
    work, port = bench.fresh("opentracker"), free_port()
    with open(os.path.join(work, "white"), "w", encoding="ascii") as f:
        f.write(infohash + "\n")
    os.chmod(work, 0o755)
    # It insists on not being root, and looks for the list in what it has made its root directory by then.
    user = "nobody" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
    return Other(bench, ["opentracker", "-i", "127.0.0.1", "-p", str(port), "-P", str(port), "-d", work, "-u", user, "-w", "white"],
                 ("127.0.0.1", port), os.path.join(work, "log"))


def rsync_daemon(bench, root):
    work, port = bench.fresh("rsync"), free_port()
    config = os.path.join(work, "rsyncd.conf")
    with open(config, "w", encoding="utf-8") as f:
        f.write(f"use chroot = no\naddress = 127.0.0.1\nport = {port}\n" + (f"uid = root\ngid = root\n" if os.geteuid() == 0 else "") +
                f"[rfc]\npath = {root}\nread only = yes\n")
    return Other(bench, ["rsync", "--daemon", "--no-detach", f"--config={config}"], ("127.0.0.1", port), os.path.join(work, "log"))


# ---- clients ----

def parse_wrk(text):
    """What wrk prints: requests, seconds, requests that failed."""
    m = re.search(r"(\d+) requests in ([\d.]+)(us|ms|s|m),", text)
    if not m:
        raise ValueError(f"wrk said: {text}")
    seconds = float(m[2]) * {"us": 1e-6, "ms": 1e-3, "s": 1, "m": 60}[m[3]]
    failed = sum(int(n) for n in re.findall(r"Non-2xx or 3xx responses: (\d+)", text))
    for line in re.findall(r"Socket errors: (.*)", text):
        failed += sum(int(n) for n in re.findall(r"\d+", line))
    return int(m[1]), seconds, failed


def wrk(url, pids, seconds, connections, close):
    """{"cpu": µs of the servers per request, "rate": requests a second}"""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s"] + (["-H", "Connection: close"] if close else []) + [url]
    before = cpu_seconds(pids)
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    spent = cpu_seconds(pids) - before
    n, took, failed = parse_wrk(done.stdout)
    assert failed == 0 and n > 0, done.stdout
    return {"cpu": spent * 1e6 / n, "rate": n / took}


def write_requests(path, requests):
    """requests: (source address, bytes), for load; behind them may be the status that the answer must have, and the SHA-256 of its body."""
    with open(path, "wb") as f:
        for source, content, *expected in requests:
            f.write(" ".join(map(str, (source, len(content), *expected))).encode() + b"\n" + content)


def load(bench, to, pids, requests, connections=64, seconds=1, count=None, keep=False, rate=None):
    """{"cpu": µs of the servers per request, "rate": …} and what load says. requests: a file of write_requests()."""
    command = [bench.helper("load"), f"--connect={to}", f"--requests={requests}", f"--connections={connections}",
               f"--count={count}" if count else f"--seconds={seconds}"] + \
        (["--keep"] if keep else []) + ([f"--rate={rate}"] if rate else [])
    before = cpu_seconds(pids)
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    spent = cpu_seconds(pids) - before
    if done.returncode != 0:
        raise RuntimeError(f"load ended with {done.returncode}: {done.stderr}")
    said = json.loads(done.stdout)
    assert said["failed"] == 0 and said["requests"] > 0, said
    return {"cpu": spent * 1e6 / said["requests"], "rate": said["requests"] / said["seconds"], **said}


class Held:
    """Connections that stand, by load --hold."""

    def __init__(self, bench, to, requests, connections, slow=None):
        command = [bench.helper("load"), f"--connect={to}", f"--requests={requests}", f"--connections={connections}", "--hold"]
        self.process = subprocess.Popen(command + ([f"--slow={slow}"] if slow else []), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.process.stdout.readline() == b"ready\n", "the connections could not be made"

    def close(self):
        """What load says in the end."""
        out, _ = self.process.communicate(timeout=60)
        return json.loads(out)
