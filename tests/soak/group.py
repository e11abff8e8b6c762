# SPDX-License-Identifier: BSD-2-Clause
"""The daemons of the soak, and all that is to be seen of them from outside: what they log, memory, descriptors, threads, how they end."""

import contextlib
import os
import re
import shutil
import socket
import threading
import time

import programs
from p2pdi.addresses import endpoint
from p2pdi.base import until
from p2pdi.wire import Registrant
from restarts import Restarts
from test_editor_index import index as editors_index

# What differs from what is shipped, and why.
KEYS = {
    "Limits.RatePerSource": 0,                  # one host asks for all of them
    "Log.TransactionsPerSec": 50,               # what is logged beside them shall not be what the journal has no room for
}
RS_KEYS = {
    **KEYS,
    "Registration.CookieRetentionSec": "1min",  # the table of those that came once is full after a minute, not after 30 days
}
PEER_KEYS = {
    **KEYS,
    "Index.PullIntervalSec": "10s",             # as much as that of a group of some hundreds
    "Server.CacheSize": "8M",                   # full within a minute
    "Index.TTLSec": "2min",                     # what those said that have gone is forgotten after two
}
# Warnings that there have to be.
EXPECTED = [re.compile(p) for p in (
    r"lists this peer under a loopback address",    # bob listens on all addresses of this host, and all of them are loopback
    r"Server\.MaxConnections=\d+ needs more descriptors than LimitNOFILE=",    # where more are not to be had
)]
# What each holds in the beginning: parts of the corpus.
BOB, CAROL, CHURNED, EVE = (0, 0.7), (0.4, 0.9), (0.9, 1), (0, 0.15)
# Whose clients ask again.
RESTARTED = ("rs", "eve")
# Peers that are registered all the time, each at an address of its own, where bob answers.
N_STANDING = 20
WARNING = 4
LOOKS = 5
# Until all connections have ended that nobody uses: IdleTimeoutSec=, and some.
REST_SEC = 90


class Watch:
    """What the daemons log at warning or above, unless it is expected; from the journal, or else from stderr."""

    def __init__(self):
        self.lock = threading.Lock()
        self.names = {}         # pid: name
        self.found = []         # (time, pid or name, message)
        self.n_entries = self.n_expected = 0

    def on_entry(self, pid, entry):
        fields = dict(line.split("=", 1) for line in entry.decode("utf-8", "replace").split("\n") if "=" in line)
        if int(fields.get("PRIORITY", 0)) <= WARNING:
            self.judge(pid, fields.get("MESSAGE", str(fields)))

    @property
    def problems(self):
        return [f"{at} {self.names.get(who, who)} logged: {message}" for at, who, message in self.found]

    def judge(self, who, message):
        with self.lock:
            if any(p.search(message) for p in EXPECTED):
                self.n_expected += 1
            else:
                self.found.append((time.strftime("%H:%M:%S"), who, message))


def part(numbers, bounds):
    return numbers[int(len(numbers) * bounds[0]):int(len(numbers) * bounds[1])]


class Group:
    """bob and carol hold documents, carol's library changes; dave gets and evicts; alice syncs and evicts; eve is restarted; a guest comes and
    goes."""

    def __init__(self, bench, watch, n_documents):
        self.bench, self.watch = bench, watch
        self.corpus = bench.corpus(n_documents)
        numbers = self.corpus.numbers
        self.of_bob, self.of_carol, self.churned, self.of_eve = (part(numbers, b) for b in (BOB, CAROL, CHURNED, EVE))
        self.n_seen = {}        # lines of stderr that were looked at
        self.restarts = {name: Restarts.create(os.path.join(bench.work, f"restarts-{name}")) for name in RESTARTED}
        self.rs = self.server()
        self.peers = {}
        for name, address, held in (("bob", "0.0.0.0", self.of_bob), ("carol", "127.0.0.2", self.of_carol), ("dave", "127.0.0.3", []),
                                    ("alice", "127.0.0.4", []), ("eve", "127.0.0.5", self.of_eve)):
            self.peers[name] = self.peer(name, address, held)
        self.guest = bench.world.peer("guest", rs=self.rs, ini=self.peer_ini(), listen="127.0.0.6:auto", start=False)
        self.sources = [f"127.3.0.{1 + i}" for i in range(N_STANDING)]
        self.standing = []

    def log_level(self):
        return {} if self.bench.journal.wrapper else {"Log.Level": "warning"}

    def begin(self, daemon):
        self.bench.start(daemon)
        self.watch.names[daemon.pid] = daemon.name
        return daemon

    def server(self):
        """Its sockets are ours, as they are the service manager's, so that nobody is refused while it is restarted."""
        rs = self.bench.world.rs({**programs.SHIPPED, **self.log_level(), **RS_KEYS}, start=False)
        place, rs.place = rs.place, None
        os.makedirs(rs.runtime_dir)
        control = self.bench.world.keep(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        control.bind(rs.control)
        control.listen(4096)
        rs.more_sockets = [("rs", self.bench.world.keep(place.listen())), ("varlink", control)]
        return self.begin(rs)

    def peer_ini(self):
        return {**programs.SHIPPED, **self.log_level(), **PEER_KEYS}

    def fill(self, peer, numbers):
        os.makedirs(peer.library, exist_ok=True)
        for n in numbers:
            shutil.copyfile(self.corpus.path(n), peer.path(n))

    def peer(self, name, address, held):
        # As with the server.
        listener = self.bench.world.keep(socket.create_server((address, 0), backlog=4096))
        text = endpoint(*listener.getsockname())
        peer = self.bench.world.peer(name, rs=self.rs, ini=self.peer_ini(), listen=text, start=False)
        peer.more_sockets = [("rfc", listener)]
        peer.address = ("127.0.0.1" if address == "0.0.0.0" else address, listener.getsockname()[1])
        self.fill(peer, held)
        if name == "bob":
            with open(os.path.join(peer.library, "rfc-index.txt"), "wb") as f:
                f.write(editors_index(n=max(self.corpus.numbers)))
        return self.begin(peer)

    @property
    def daemons(self):
        return [self.rs, *self.peers.values()]

    # -- before and after --

    def settle(self):
        """All know each other, and what the others hold."""
        for peer in self.peers.values():
            with peer.varlink() as v:
                def ready():
                    status = v.call("org.p2pdi.Peer.GetStatus")["parameters"]
                    return not status["scanning"] and status["servers"][0]["state"] == "registered"
                until(ready, f"{peer.name}: the library, and the registration", 60)
        for source in self.sources:
            r = Registrant(self.rs, source)
            r.register(self.peers["bob"].address[1])
            self.standing.append(r)
        for peer in self.peers.values():
            peer.json("refresh")
            with peer.varlink() as v:
                until(lambda: "metadataEntries" in v.call("org.p2pdi.Peer.GetStatus")["parameters"],
                      f"{peer.name}: the RFC Editor's index", 60)

    def registered(self):
        """(source, cookie) of those that stay."""
        for r in self.standing:
            r.close()
        return [(source, r.cookie) for source, r in zip(self.sources, self.standing)]

    @staticmethod
    def peer_id(peer):
        """That the registration server gave it."""
        with peer.varlink() as v:
            return v.call("org.p2pdi.Peer.GetStatus")["parameters"]["servers"][0]["peerId"]

    def peer_ids(self):
        return {name: self.peer_id(peer) for name, peer in self.peers.items()}

    def quiet(self):
        """Nothing is asked any more that nobody asks for; nor by the guest, if it is there."""
        for peer in [*self.peers.values(), self.guest]:
            if peer.running:
                peer.write_config({"Index.PullIntervalSec": "infinity"})
                peer.reload()

    # -- meanwhile --

    def look_at_stderr(self):
        """With a journal nothing is written there but by sanitizers and the like."""
        for d in [*self.daemons, self.guest]:
            lines = d.lines[self.n_seen.get(d.name, 0):]
            self.n_seen[d.name] = self.n_seen.get(d.name, 0) + len(lines)
            for line in lines:
                self.watch.judge(d.name, line)

    def end(self):
        """Peers first: they leave. What a sanitizer has to say of leaks it says now."""
        problems = []
        for d in [*self.peers.values(), self.guest, self.rs]:
            try:
                if d.running:
                    d.stop()
            except AssertionError as e:
                problems.append(str(e))
        self.look_at_stderr()
        return problems


# ---- processes from outside ----

def connections():
    """Inodes of all TCP sockets of this network namespace that do not listen."""
    found = set()
    for path in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(FileNotFoundError), open(path, encoding="ascii") as f:
            found |= {line.split()[9] for line in f if line.split()[3] != "0A"}
    return found


def held(peer):
    """Documents in its library."""
    return sum(bool(re.fullmatch(r"rfc\d+\.txt", name)) for name in os.listdir(peer.library))


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def at_rest(pid):
    """Descriptors that are no connections, the fewest of some looks: files are read and written in between. (The kernel's list of
    connections is long while there is load: not to be asked for then.)"""
    looks = []
    for _ in range(LOOKS):
        looks.append(without_connections(pid))
        time.sleep(0.05)
    return min(looks)


def without_connections(pid):
    n, of_connections = 0, connections()
    for fd in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            m = re.fullmatch(r"socket:\[(\d+)\]", os.readlink(f"/proc/{pid}/fd/{fd}"))
            n += not m or m[1] not in of_connections
    return n


def rested(pid, like, end):
    """All descriptors, once they are so many as before, at `end` at the latest: idle connections end one after the other."""
    while (n := descriptors(pid)) != like and time.monotonic() < end:
        time.sleep(0.2)
    return n


def sample(daemon):
    """(kB resident, descriptors, threads, seconds of CPU)"""
    return (programs.resident(daemon.pid) // 1024, descriptors(daemon.pid), len(os.listdir(f"/proc/{daemon.pid}/task")),
            programs.cpu_seconds([daemon.pid]))
