#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""The soak: a registration server and five peers for minutes at the machine's limit, with all that they can be asked for. "make soak" runs it.

  soak.py [--minutes=N] [--dir=DIR] [--rfcs=DIR] [--documents=N]

Prints how long each kind of exchange took, and what became of memory, descriptors and threads; ends with 1 if anything was not as it
should be: a reply, a line of a log, a descriptor that is left, memory that grows, a leak that a sanitizer tells of at the end.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "bench"), os.path.join(HERE, "..", "system")]
sys.dont_write_bytecode = True
import actors  # noqa: E402
import figures  # noqa: E402
import group as groups  # noqa: E402
import loads  # noqa: E402
import programs  # noqa: E402
from p2pdi.base import PATIENCE, sanitizer  # noqa: E402
from p2pdi.daemons import Rsd  # noqa: E402
from rounds import Rounds, lost  # noqa: E402

# Seconds from one sample to the next; a short run has as many of them.
SAMPLE_SEC, SAMPLES = 5, 60
# A sanitizer keeps what was freed for a while: with the default of 256 MB memory grows for the better part of an hour before it is flat.
SANITIZER_OPTIONS = "quarantine_size_mb=8:thread_local_quarantine_size_kb=64"


class Client:
    """A process that asks. It ends by itself, and says how it went in a line of JSON."""

    def __init__(self, kind, command):
        self.kind = kind
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def end(self):
        """(what it said or None, what went wrong)"""
        try:
            out, err = self.process.communicate(timeout=PATIENCE * 3)
        except subprocess.TimeoutExpired:
            self.kill()
            return None, [f"{self.kind}: does not end"]
        problems = [f"{self.kind}: {line}" for line in err.splitlines()]
        if self.process.returncode != 0:
            return None, problems + [f"{self.kind}: ended with {self.process.returncode}"]
        said = json.loads(out)
        return said, problems + said.get("told", [])

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


class Soak:
    def __init__(self, bench, watch, seconds, n_documents):
        self.bench, self.watch, self.seconds = bench, watch, seconds
        self.group = groups.Group(bench, watch, n_documents)
        self.samples = {d.name: [] for d in self.group.daemons}
        self.rounds = Rounds(self.group, seconds)
        self.problems = []
        self.n_told = 0             # of what was logged
        self.clients = []
        self.kinds = {}
        self.busy = 0.0

    # -- who asks --

    def scene(self):
        """What actors are told."""
        g = self.group

        def told(d, address):
            return {"address": address, "control": d.control, "library": getattr(d, "library", None),
                    "restarts": g.restarts[d.name].path if d.name in g.restarts else None}
        path = os.path.join(self.bench.work, "scene.json")
        with open(path, "w", encoding="utf-8") as f:
            json.dump({"rs": told(g.rs, g.rs.endpoint), "peers": {name: told(p, p.address) for name, p in g.peers.items()},
                       "documents": {n: (os.path.getsize(g.corpus.path(n)), g.corpus.digests[programs.name_of(n)], g.corpus.path(n))
                                     for n in g.corpus.numbers},
                       "churned": g.churned, "of_bob": g.of_bob, "of_carol": g.of_carol, "of_eve": g.of_eve}, f)
        return path

    def begin_clients(self):
        g = self.group
        bob, carol = g.peers["bob"].address, g.peers["carol"].address
        registered = g.registered()
        chosen = loads.of_documents(g.corpus, bob, carol, g.of_bob[:loads.REQUESTS], g.of_carol[:loads.REQUESTS]) + \
            loads.of_the_index(bob, carol) + loads.of_the_server(g.rs.endpoint, registered)
        seconds = max(int(self.seconds), 1)
        for load, arguments in loads.write(chosen, self.bench.work, registered, g.restarts["rs"].path):
            self.clients.append(Client(load.kind, [self.bench.helper("load"), *arguments, f"--seconds={seconds}"]))
        scene = self.scene()
        for name in actors.ACTORS:
            self.clients.append(Client(name, [sys.executable, os.path.join(HERE, "actors.py"), scene, name, str(seconds)]))

    def end_clients(self):
        for c in self.clients:
            said, problems = c.end()
            self.problems += problems
            if said is None:
                continue
            kinds = said.get("kinds") or {c.kind: said}
            for name, of_kind in kinds.items():
                self.kinds.setdefault(name, figures.Kind(name)).add(of_kind["times"], of_kind["failed"], of_kind["cut"])
                if of_kind["failed"]:
                    self.problems.append(f"{name}: {of_kind['failed']} failed")

    # -- the time between --

    def sample(self, at):
        for d in self.group.daemons:
            self.samples[d.name].append((at, *groups.sample(d)))

    def run(self):
        g, rounds = self.group, self.rounds
        g.settle()
        ids = g.peer_ids()
        resting = {d.name: groups.at_rest(d.pid) for d in g.daemons}
        held = {name: groups.held(peer) for name, peer in g.peers.items()}
        cpu_before = cpu_of_machine()
        self.begin_clients()
        begin = time.monotonic()
        every, n_samples = min(SAMPLE_SEC, self.seconds / SAMPLES), 0
        while (now := time.monotonic() - begin) < self.seconds:
            if now >= rounds.next_at:
                rounds.go_on()
                self.tell(now)
            if now >= n_samples * every:
                n_samples = int(now / every) + 1
                self.sample(now)
            next_at = min(n_samples * every, rounds.next_at, self.seconds)
            time.sleep(max(next_at - (time.monotonic() - begin), 0))
        self.busy = busy(cpu_before, cpu_of_machine())
        self.end_clients()
        self.problems += rounds.problems + lost(g, ids)
        held = {name: (held[name], groups.held(peer)) for name, peer in g.peers.items()}
        g.quiet()
        end = time.monotonic() + groups.REST_SEC
        rested = {d.name: groups.rested(d.pid, resting[d.name], end) for d in g.daemons}
        judged = not sanitizer()
        dropped = {d.name: log_dropped(d) for d in g.daemons}
        self.problems += g.end() + self.watch.problems
        self.dropped = sum(dropped.values())
        self.processes = [figures.Process(n, s, judged, (resting[n], rested[n]), held.get(n)) for n, s in self.samples.items()]
        for p in self.processes:
            self.problems += p.problems

    def tell(self, now):
        memory = ", ".join(f"{name} {s[-1][1] / 1024:.1f}" for name, s in self.samples.items() if s)
        found = self.watch.problems
        for problem in found[self.n_told:]:
            print(problem, file=sys.stderr)
        self.n_told = len(found)
        print(f"{now / 60:.1f} min, MB: {memory}", file=sys.stderr, flush=True)

    def close(self):
        for c in self.clients:
            c.kill()

    # -- in the end --

    def report(self, directory):
        kinds = figures.kind_rows(sorted(self.kinds.values(), key=lambda k: k.name.lower()), self.seconds)
        processes = figures.process_rows(self.processes)
        figures.write_csv(os.path.join(directory, "exchanges.csv"), kinds)
        figures.write_csv(os.path.join(directory, "daemons.csv"), processes)
        figures.write_csv(os.path.join(directory, "samples.csv"), [("daemon", "seconds", "kb", "descriptors", "threads", "cpu_seconds")] +
                          [(name, *s) for name, samples in self.samples.items() for s in samples])
        keys = " ".join(f"{k}={v}" for k, v in {**groups.RS_KEYS, **groups.PEER_KEYS}.items())
        log = f"{self.bench.journal.n_entries:,} entries of the journal, {self.dropped:,} more that it did not take" \
            if self.bench.journal.wrapper else self.bench.journal.why
        text = [figures.aligned(kinds), "", figures.aligned(processes), "",
                f"{self.seconds / 60:.2f} minutes, {os.cpu_count()} CPUs, {self.busy:.0%} busy. Other keys than shipped: {keys}.",
                f"Ended meanwhile: {self.rounds}.",
                f"{log}; {self.watch.n_expected} expected warnings.",
                f"KB/MIN: a line through the second half, and its standard error. It grows if it is {figures.ERRORS_MIN} of them above 0, and more "
                f"than {figures.GROWTH_MAX >> 20} MB an hour and {figures.GROWTH_PART_MAX:.0%} of it in that time.",
                "-: not judged, since it did not run for long enough, or since a sanitizer keeps books of its own; that one tells of leaks at the end.",
                "HELD: documents before and after: who holds more needs more memory, which is no leak.",
                "AT-REST: descriptors before and after, no connections among them. CUT: those whose connection ended with the daemon; asked again."]
        text += ["", f"{len(self.problems)} problems" + (":" if self.problems else "."), *self.problems[:200]]
        text = "\n".join(text)
        print(text)
        with open(os.path.join(directory, "soak.txt"), "w", encoding="utf-8") as f:
            f.write(text + "\n")


def log_dropped(daemon):
    """Entries that the journal did not take."""
    interface = "Registration" if isinstance(daemon, Rsd) else "Peer"
    with daemon.varlink() as v:
        text = v.call(f"org.p2pdi.{interface}.GetMetrics")["parameters"]["text"]
    return sum(int(line.split()[1]) for line in text.splitlines() if "_log_dropped_total " in line and not line.startswith("#"))


def cpu_of_machine():
    """(busy, all) in ticks."""
    with open("/proc/stat", encoding="ascii") as f:
        ticks = [int(n) for n in f.readline().split()[1:9]]
    return sum(ticks) - ticks[3] - ticks[4], sum(ticks)


def busy(before, after):
    return (after[0] - before[0]) / max(after[1] - before[1], 1)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--minutes", type=float, default=15)
    p.add_argument("--dir", default=".", help="where the tables go")
    p.add_argument("--rfcs", help="a directory of real rfcN.txt, instead of made up ones")
    p.add_argument("--documents", type=int, default=400)
    arg = p.parse_args()

    # Whoever ends this wants to see no daemon left behind; a shell's "&" has SIGINT ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # On a disk: in memory a flush costs nothing.
    tempfile.tempdir = os.environ.get("TMPDIR", "/var/tmp")
    os.environ["ASAN_OPTIONS"] = ":".join(filter(None, (SANITIZER_OPTIONS, os.environ.get("ASAN_OPTIONS"))))
    os.makedirs(arg.dir, exist_ok=True)
    watch = groups.Watch()
    bench = programs.Bench(arg.dir, rfcs=arg.rfcs, on_entry=watch.on_entry)
    soak, problems = None, []
    try:
        soak = Soak(bench, watch, arg.minutes * 60, arg.documents)
        soak.run()
    finally:
        if soak:
            soak.close()
        try:
            bench.close()
        except AssertionError as e:     # that a sanitizer said something: what it said is known by now
            problems.append(str(e))
    soak.problems += problems
    soak.report(arg.dir)
    return 1 if soak.problems else 0


if __name__ == "__main__":
    sys.exit(main())
