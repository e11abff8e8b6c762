#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""
The whole daemons, of a build with sanitizers, in a network of their own: faulty conversations on every socket that they listen on, and
faulty answers to all that they ask of others.

    fuzz_daemon.py [--seconds=60] [--seed=N] [--threads=N]

Two pairs are under fire. A registration server and a peer that get wrong requests (P2P-DI, HTTP, Varlink with and without descriptors);
and a peer whose registration server and whose peers answer wrongly. Meanwhile and afterwards honest requests must be answered; in the end the
sanitizers must have said nothing, descriptors and memory must be where they were after the first tenth, and SIGTERM must end each with 0.
Exit 1 if not: then the last inputs of each thread are in a file that is named, with the seed.
"""

import argparse
import collections
import contextlib
import json
import os
import pathlib
import random
import shutil
import socket
import struct
import sys
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "system")]
sys.dont_write_bytecode = True

import mutate  # noqa: E402
from p2pdi.base import SANITIZER, sanitizer, until  # noqa: E402
from p2pdi.documents import document, sha256  # noqa: E402
from p2pdi.fakes import Fake  # noqa: E402
from p2pdi.varlink import sealed  # noqa: E402
from p2pdi.wire import Closed, Record, index_digest  # noqa: E402
from p2pdi.world import World  # noqa: E402

SKIPPED = 77
INSIDE = "P2PDI_FUZZ_INSIDE"
N_FAKES = 24                            # peers that answer wrongly; who fails rests for a second
KNOWN = 4242424                         # the document that must be there in the end: no mutation hits on its number
MEMORY_GROWTH_MAX = 64 << 20            # of a build with sanitizers, whose quarantine is set to a few MiB


class Wrong(Exception):
    """A daemon did what it must not."""


def seeds(*names):
    return [p.read_bytes() for name in names for p in (HERE / "corpus" / name).iterdir()]


def words(*names):
    return [w for name in names for w in mutate.dictionary((HERE / "dict" / f"{name}.dict").read_text())]


def call(method, parameters=None, **flags):
    return json.dumps({"method": method, "parameters": parameters or {}, **flags}).encode() + b"\0"


def control_seeds():
    """A call of each method of both interfaces; but for what would take away the document that is asked for in the end."""
    peer = [("Get", {"numbers": [7, 9]}), ("Open", {"number": 7}), ("OpenEditorIndex", {}), ("List", {"ranges": ["1-100"], "all": True}),
            ("Search", {"words": ["synthetic"]}), ("Resolve", {"names": ["BCP 14", "7"], "follow": True}), ("Describe", {"number": 7}),
            ("ListHolders", {"number": 7}), ("ListPeers", {}), ("Explain", {"number": 7}), ("Explain", {"transaction": "6f0c2c0e8d1b4c63"}),
            ("Monitor", {}), ("GetStatus", {}), ("GetMetrics", {}), ("GetListeners", {}), ("Verify", {"numbers": [7]}),
            ("Repair", {"numbers": [7]}), ("Import", {"files": [{"number": 11, "size": 5}]}), ("Pin", {"numbers": [7]}),
            ("Unpin", {"numbers": [7]}), ("Evict", {"numbers": [7], "force": True}), ("Refresh", {}), ("Refresh", {"peers": ["127.0.0.1:9"]}),
            ("Sync", {"ranges": ["1-20"], "dryRun": True}), ("Sync", {"maxRate": 4096}), ("Join", {}), ("Leave", {})]
    calls = [call("org.p2pdi.Peer." + m, p, **flags) for m, p in peer for flags in ({}, {"more": True}, {"oneway": True})]
    calls += [call("org.p2pdi.Registration." + m, p, more=True) for m, p in (("List", {"all": True}), ("GetStatus", {}), ("GetMetrics", {}))]
    calls += [call("org.varlink.service.GetInfo"), call("org.varlink.service.GetInterfaceDescription", {"interface": "org.p2pdi.Peer"})]
    return calls + seeds("varlink")


# ---- sending ----

class Counts:
    """What was tried, and how often; and what each thread sent last."""

    def __init__(self):
        self.lock = threading.Lock()
        self.tried = collections.Counter()
        self.last = collections.defaultdict(lambda: collections.deque(maxlen=64))

    def add(self, what, delivery):
        with self.lock:
            self.tried[what] += 1
            self.last[threading.current_thread().name].append((what, delivery))

    def dump(self, path):
        with open(path, "w", encoding="ascii") as f, self.lock:
            for thread, inputs in self.last.items():
                for what, (way, parts) in inputs:
                    f.write(f"{thread}\t{what}\t{way}\t{parts!r}\n")


def reset(s):
    """close() sends RST."""
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def send_part(s, part, fds):
    if fds and part:
        sent = socket.send_fds(s, [part[:4096]], fds)
        part = part[sent:]
    s.sendall(part)


def deliver(s, delivery, fds=()):
    """Sends it as it says, and takes what comes back; that the other end may hang up at any time is its right."""
    with contextlib.suppress(OSError), s:
        s.settimeout(0.3)
        if s.family != socket.AF_UNIX:
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for i, part in enumerate(delivery.parts):
            send_part(s, part, fds if i == 0 else ())
        if delivery.way == "reset":
            reset(s)
            return
        if delivery.way == "half-closed":
            s.shutdown(socket.SHUT_WR)
        if delivery.way in ("hang up", "unread"):
            return
        s.settimeout(0.05)
        while s.recv(65536):
            pass


def connect(to):
    s = socket.socket(socket.AF_UNIX if isinstance(to, str) else socket.AF_INET)
    s.settimeout(2)
    s.connect(to)
    return s


class Sender(threading.Thread):
    """Wrong requests on one socket, until it is over."""

    def __init__(self, name, to, mutator, counts, over):
        super().__init__(name=name, daemon=True)
        self.to, self.mutator, self.counts, self.over = to, mutator, counts, over

    def run(self):
        while not self.over.is_set():
            delivery = self.mutator.delivery()
            self.counts.add(self.name.split("/")[0], delivery)
            fds = []
            try:
                if isinstance(self.to, str) and self.mutator.random.randrange(4) == 0:
                    fds = [self.descriptor() for _ in range(self.mutator.random.choice((1, 1, 2, 20)))]
                with contextlib.suppress(OSError):
                    deliver(connect(self.to), delivery, fds)
            finally:
                for fd in fds:
                    os.close(fd)

    def descriptor(self):
        """What Import is to get, and what it is not."""
        kind = self.mutator.random.randrange(4)
        if kind == 0:
            return os.open("/dev/null", os.O_RDWR)
        if kind == 1:
            r, w = os.pipe()
            os.close(w)
            return r
        return sealed(b"12345" if kind == 2 else self.mutator.message())


# ---- answering ----

class Liar(Fake):
    """Answers whatever it is asked with something of its kind made wrong."""

    def __init__(self, name, mutators, counts, **options):
        self.name, self.mutators, self.counts = name, mutators, counts
        self.lock = threading.Lock()
        super().__init__(**options)

    def answer(self, connection, line, headers):
        kind = next((k for k in self.mutators if k in line), None)
        with self.lock:
            delivery = self.mutators[kind or ""].delivery()
        self.counts.add(self.name, delivery)
        with self.changed:              # of hours nobody wants to know what was asked
            self.requests.clear()
            self.heads.clear()
        deliver(connection, delivery)


def answer_seeds(liars):
    """For each kind of question, what an honest one would say."""
    head = Fake.head
    listed = "".join(f"{liar.address}\t{liar.port}\t{i}\t7200\thost\n" for i, liar in enumerate(liars, 1)).encode()
    records = [Record(n, 7200, holder, 5, sha256(b"12345"), f"Title {n}") for n in range(1, 30)
               for holder in ["-", liars[n % len(liars)].text]]
    own = [r for r in records if r.holder == "-"]
    body = "".join(r.line for r in records).encode()
    delta = "".join("+" + r.line for r in own[:5]).encode() + b"-7\t-\n"
    digest = index_digest(own)
    document = head(200, 5, Content_Type="text/plain", Digest="sha-256=" + sha256(b"12345"), Title="Title") + b"12345"
    lease = {"TTL": 7200, "Keep_Alive": 2400, "Address": "127.0.0.1"}
    any_reply = seeds("reply")
    return {
        "Register": [head(200, Cookie=4711, Peer_Id=1000, **lease)] + any_reply,
        "PQuery": [head(200, len(listed), Active=len(liars)) + listed] * 3 + any_reply + [head(204, Active=0)],
        "RFC-Index": [head(200, len(body), Generation="5.1", Index_Digest=digest) + body, head(304, Generation="5.1", Index_Digest=digest),
                      head(226, len(delta), Generation="5.2", Index_Digest=digest) + delta] + any_reply,
        "RFC-Editor-Index": [head(200, len(s), Digest="sha-256=" + sha256(s)) + s for s in seeds("rfc-meta")],
        "RFC ": [document] * 3 + any_reply,
        "": any_reply,
    }


class Asker(threading.Thread):
    """Has a peer ask others, all the time."""

    def __init__(self, peer, seed, counts, over):
        super().__init__(name="asker", daemon=True)
        self.peer, self.random, self.counts, self.over = peer, random.Random(seed), counts, over

    def run(self):
        while not self.over.is_set():
            with contextlib.suppress(OSError, Closed), self.peer.varlink() as v:
                number = self.random.randint(1, 40)
                method, parameters = self.random.choice([
                    ("Get", {"numbers": list(range(number, number + 10))}), ("Refresh", {}), ("Sync", {}), ("Join", {}), ("Leave", {}),
                    ("Evict", {"numbers": list(range(1, 40)), "force": True}), ("Join", {}), ("Get", {"numbers": [number]})])
                end = time.monotonic() + 1
                v.socket.settimeout(1)
                v.send("org.p2pdi.Peer." + method, parameters, more=method in ("Get", "Refresh", "Sync"))
                while v.reply().get("continues") and time.monotonic() < end and not self.over.is_set():
                    pass


# ---- looking after them ----

def descriptors(daemon):
    return len(os.listdir(f"/proc/{daemon.pid}/fd"))


def memory(daemon):
    with open(f"/proc/{daemon.pid}/status", encoding="ascii") as f:
        return next(int(line.split()[1]) * 1024 for line in f if line.startswith("RssAnon:"))


def ask_honestly(rs, peer, liars_peer, content):
    """The honest requests; each must have its answer."""
    with rs.connect("127.0.0.2") as w:
        r = w.ask("POST Register", {"Port": 65424, "Host": "honest", "OS": "test"})
        if r.status != 200 or w.ask("POST Leave", {"Cookie": r["Cookie"]}).status != 200:
            raise Wrong(f"the registration server answers an honest peer with {r.status}")
    with peer.connect() as w:
        r = w.ask(f"GET RFC {KNOWN}")
        if r.status != 200 or r.body != content:
            raise Wrong(f"the peer answers an honest one with {r.status}")
    for d, interface in ((rs, "Registration"), (peer, "Peer"), (liars_peer, "Peer")):
        with d.varlink() as v:
            r = v.call(f"org.p2pdi.{interface}.GetStatus")
            if "error" in r:
                raise Wrong(f"{d.name}: GetStatus: {r}")


def look_into_log(daemon):
    """Takes the lines away: of hours nobody has the memory."""
    with daemon.changed:
        lines, daemon.lines[:] = daemon.lines[:], []
    for i, line in enumerate(lines):
        if SANITIZER.search(line):
            raise Wrong(f"{daemon.name}: " + "\n".join(lines[i:i + 40]))
    if daemon.running and not daemon.reader.is_alive():
        raise Wrong(f"{daemon.name} ended with {daemon.wait_end()}:\n" + "\n".join(lines[-40:]))


def reason(daemons, error):
    """Why it went wrong: what a daemon said as it died tells more than that it did not answer."""
    for d in daemons:
        d.reader.join(2)                # a report of a sanitizer takes a moment
        try:
            look_into_log(d)
        except Wrong as e:
            return e
    return error


def fire(world, args, counts, over):
    """Starts everything; gives the daemons, and a function that asks honestly."""
    content = document(KNOWN)
    ini = {"Server.RequestTimeoutSec": "1s", "Server.IdleTimeoutSec": "2s", "Log.Level": "info", "Log.TransactionsPerSec": 100}
    rs = world.rs({**ini, "Registration.MaxPeers": 2000, "Registration.MaxPeersPerSource": 500})
    peer = world.peer("peer", {KNOWN: content, 7: document(7)}, rs, {**ini, "Server.Threads": 2, "Store.MaxSize": "64M"})

    liars = [Liar("peer's answer", {}, counts) for _ in range(N_FAKES)]
    for liar in liars:
        world.keep(liar)
    server = world.keep(Liar("server's answer", {}, counts))
    for i, liar in enumerate([server, *liars]):
        liar.mutators = {kind: mutate.Mutator(f"{args.seed}/{i}/{kind}", found, words("wire", "lines"))
                         for kind, found in answer_seeds(liars).items()}
    asking = world.peer("asking", {KNOWN: content}, ini={
        **ini, "Registration.Server": server.text, "Peers.QuarantineSec": "1s", "Index.PullIntervalSec": "1s", "Store.MaxSize": "64M",
        "Peers.ConnectTimeoutSec": "1s"})

    control, wire = control_seeds(), seeds("request", "http")
    everything = words("wire", "lines", "varlink")
    for i in range(args.threads):
        for name, to, found, dictionary in (("wire of the server", rs.endpoint, wire, words("wire")),
                                            ("wire of the peer", peer.endpoint, wire, words("wire")),
                                            ("control of the server", rs.control, control, everything),
                                            ("control of the peer", peer.control, control, everything)):
            Sender(f"{name}/{i}", to, mutate.Mutator(f"{args.seed}/{name}/{i}", found, dictionary), counts, over).start()
    Asker(asking, f"{args.seed}/asker", counts, over).start()
    return [rs, peer, asking], lambda: ask_honestly(rs, peer, asking, content)


def watch(daemons, ask, args, over):
    start, before, n = time.monotonic(), None, 0
    while time.monotonic() < start + args.seconds:
        ask()
        n += 1
        for d in daemons:
            look_into_log(d)
        if before is None and time.monotonic() > start + args.seconds / 10:
            before = [(descriptors(d), memory(d)) for d in daemons]
        over.wait(0.2)
    before = before or [(descriptors(d), memory(d)) for d in daemons]
    over.set()
    for thread in [t for t in threading.enumerate() if isinstance(t, (Sender, Asker))]:
        thread.join()
    ask()
    rows = []
    for d, (n_before, bytes_before) in zip(daemons, before):
        # What was open under fire has ended by itself.
        until(lambda d=d, n_before=n_before: descriptors(d) <= n_before, f"{d.name}: the end of all but {n_before} of {descriptors(d)} descriptors")
        rows.append((d.name, n_before, descriptors(d), bytes_before >> 20, memory(d) >> 20))
        if memory(d) > bytes_before + MEMORY_GROWTH_MAX:
            raise Wrong(f"{d.name} grew from {bytes_before >> 20} to {memory(d) >> 20} MiB")
    for d in reversed(daemons):
        d.stop()
        look_into_log(d)
    return n + 1, rows


def main(args):
    if not sanitizer():
        print("this build has no sanitizer, which would be half of what is looked for: configure with --enable-sanitizers", file=sys.stderr)
        return SKIPPED
    os.environ.setdefault("ASAN_OPTIONS", "quarantine_size_mb=8")
    print(f"seed {args.seed}, {args.seconds:g} seconds", flush=True)
    world, counts, over = World(), Counts(), threading.Event()
    try:
        daemons, ask = fire(world, args, counts, over)
        n_honest, rows = watch(daemons, ask, args, over)
    except (Wrong, AssertionError, OSError, Closed) as e:
        over.set()
        e = reason([d for d in world.daemons if d.reader], e)
        kept = f"{world.dir}.inputs"
        counts.dump(kept)
        for d in world.daemons:
            if os.path.exists(os.path.join(d.dir, "log")):
                shutil.copy(os.path.join(d.dir, "log"), f"{world.dir}.{d.name}.log")
        print(f"seed {args.seed}: {type(e).__name__}: {e}\nthe last inputs: {kept}; the logs: {world.dir}.*.log", file=sys.stderr)
        return 1
    finally:
        over.set()
        with contextlib.suppress(AssertionError):
            world.close()
    for what, n in sorted(counts.tried.items()):
        print(f"{n:>9} {what}")
    print(f"{sum(counts.tried.values()):>9} wrong inputs, {n_honest} honest rounds answered, 0 findings")
    for name, *figures in rows:
        print("{:>9}: descriptors {} before, {} after; MiB {} before, {} after; SIGTERM: 0".format(name, *figures))
    return 0


def enter_network(arguments):
    """A network of their own, so that no address that a mutation makes up hears from anybody."""
    if os.environ.get(INSIDE):
        os.environ["PATH"] += ":/usr/sbin:/sbin"
        if os.system("ip link set lo up") != 0:
            print("skipped: no loopback in a network namespace", file=sys.stderr)
            sys.exit(SKIPPED)
        return
    if not shutil.which("unshare"):
        print("skipped: there is no unshare", file=sys.stderr)
        sys.exit(SKIPPED)
    if os.system("unshare --net --map-root-user true") != 0:
        print("skipped: network namespaces can't be had here", file=sys.stderr)
        sys.exit(SKIPPED)
    os.execvpe("unshare", ["unshare", "--net", "--map-root-user", sys.executable, __file__, *arguments], {**os.environ, INSIDE: "1"})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().getrandbits(32))
    parser.add_argument("--threads", type=int, default=2, help="per socket")
    enter_network(sys.argv[1:])
    sys.exit(main(parser.parse_args()))
