#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""The two experiments of the text that P2P-DI comes from, with the real programs ("make experiments" runs this).

One registration server, and peers on hosts of their own: network namespaces with an uplink each. All register and ask
for the list of peers; then, from a common start, each fetches its RFCs one after another. What is told are the peers'
own records of their downloads. Every document is compared with what it was made from.

Task 1: P0 holds 60 RFCs, all others ask for its index and fetch 50.
Task 2: each holds a part of the 60, asks all others for their indexes, and fetches 50 (or all) that it lacks. Best
        case: peer i begins with those of peer i+1. Worst case: all fetch in the same order.
"""

import argparse
import os
import shutil
import sys
import tempfile
import threading

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE] + [os.path.join(os.path.dirname(HERE), name) for name in ("net", "system")]
sys.dont_write_bytecode = True

import experiment_plan as plans  # noqa: E402
import experiment_plots as plots  # noqa: E402
import hosts as net  # noqa: E402
from p2pdi.documents import document, sha256  # noqa: E402
from p2pdi.world import World  # noqa: E402

N_PEERS = 6
SCALES = (2, 4, 12, 24)
FETCH_SECONDS_MAX = 300
# All that is not as it is shipped. Each is there because the experiment says so.
KEYS = {"Index.PullIntervalSec": "infinity", "Peers.HedgeAfterSec": "infinity"}
# What the system tests set, and the experiments do not.
UNSET = dict.fromkeys(("Log.Level", "Log.TransactionsPerSec", "Limits.RatePerSource", "Server.ListenStream"))
PORT = 65424


class Wrong(Exception):
    """An experiment did not go as it should: its figures are worth nothing."""


# ---- documents ----

def read_documents(directory):
    """{number: bytes} of the most recent ones, by ascending number."""
    if directory is None:
        sizes = plans.synthetic_sizes()
        return {90001 + i: document(90001 + i, size) for i, size in enumerate(sizes)}
    names = {plans.document_number(name): name for name in os.listdir(directory)}
    names.pop(None, None)
    if len(names) < plans.N_DOCUMENTS:
        raise Wrong(f"{directory} has {len(names)} files rfcN.txt, {plans.N_DOCUMENTS} are needed")
    documents = {}
    for number in sorted(names)[-plans.N_DOCUMENTS:]:
        with open(os.path.join(directory, names[number]), "rb") as f:
            documents[number] = f.read()
    return documents


# ---- one run ----

class Peer(threading.Thread):
    """One host: its daemon, and who tells that what to do. All phases begin together on all of them."""

    def __init__(self, experiment, index):
        super().__init__(daemon=True)
        self.experiment, self.index = experiment, index
        self.fetches = []
        self.counters = {}
        self.error = None

    def run(self):
        try:
            net.Hosts.enter(self.index)
            self.work()
        except threading.BrokenBarrierError:
            pass                        # somebody else has an error
        except BaseException as e:      # pylint: disable=broad-except
            self.error = e
            self.experiment.barrier.abort()

    def work(self):
        e = self.experiment
        held = {n: e.documents[n] for n in e.held[self.index]}
        daemon = e.world.peer(f"p{self.index}", held, f"{net.HUB}:{e.rs.port}", e.ini)
        e.barrier.wait()
        with daemon.varlink(FETCH_SECONDS_MAX) as v:
            self.refresh(v)
            e.barrier.wait()
            before = net.tcp_counters()
            e.barrier.wait()            # the common start
            for number, holder in e.orders[self.index]:
                self.fetches.append(self.fetch(v, number, holder))
            e.barrier.wait()
            after = net.tcp_counters()
            self.counters = {name: after[name] - before[name] for name in after}
            self.look_up(v)
        for number, content in {**held, **{f.number: e.documents[f.number] for f in self.fetches}}.items():
            if daemon.content(number) != content:
                raise Wrong(f"P{self.index}: RFC {number} is not what it was made from")

    def refresh(self, v):
        """The list of peers, and the index of each from which anything will be fetched."""
        asked = sorted({holder for _, holder in self.experiment.orders[self.index]})
        if not asked:
            return
        told = list(v.call_more("org.p2pdi.Peer.Refresh", {"peers": [endpoint(i) for i in asked]}))
        bad = [t for t in told if t.get("parameters", {}).get("result") != "ok"]
        if bad or len(told) != len(asked) + 1:
            raise Wrong(f"P{self.index}: indexes were not pulled: {bad or told}")

    def fetch(self, v, number, holder):
        reply = v.call("org.p2pdi.Peer.Get", {"numbers": [number]})
        got = reply.get("parameters", {}).get("download", {})
        if got.get("result") != "ok" or got.get("holder") != endpoint(holder):
            raise Wrong(f"P{self.index}: RFC {number} should have come from {endpoint(holder)}: {reply}")
        if got["sha256"] != sha256(self.experiment.documents[number]):
            raise Wrong(f"P{self.index}: RFC {number} has the digest {got['sha256']}")
        return plans.Fetch(self.index, number, holder, got["size"], 0, got["durationUSec"], 0, 0)

    def look_up(self, v):
        """What the peer remembers of each fetch, by the end: when it began, and what it was spent on."""
        for f in self.fetches:
            [reply] = v.call_more("org.p2pdi.Peer.Explain", {"number": f.number})
            told = reply["parameters"]["operation"]
            if told["durationUSec"] != f.duration_usec:
                raise Wrong(f"P{self.index}: two records of RFC {f.number} differ: {told}, {f}")
            f.began_usec = told["startedUSec"]
            f.tries = sum(s["what"] == "fetch" for s in told["steps"])
            f.servers_usec = sum(s.get("tookUSec", 0) for s in told["steps"] if s["what"] == "servers")


def endpoint(peer):
    return f"{net.address(peer)}:{PORT}"


class Experiment:
    def __init__(self, name, n_peers, uplinks, reuse, documents):
        self.name, self.n_peers, self.uplinks, self.reuse, self.documents = name, n_peers, uplinks, reuse, documents
        numbers = sorted(documents)
        self.held = plans.holdings(name, n_peers, numbers)
        self.orders = plans.plan(name, n_peers, numbers)
        self.ini = {**UNSET, **KEYS, "Peers.ReuseConnections": "yes" if reuse else "no"}
        self.barrier = threading.Barrier(n_peers, timeout=FETCH_SECONDS_MAX)
        self.world = self.rs = None

    def run(self):
        rates = [plans.uplink_of(self.uplinks, i) for i in range(self.n_peers)]
        with net.Hosts([None if r == "unlimited" else r for r in rates]):
            self.world = World()
            try:
                self.rs = self.world.rs({**UNSET}, address=net.HUB)
                peers = [Peer(self, i) for i in range(self.n_peers)]
                for p in peers:
                    p.start()
                for p in peers:
                    p.join()
                errors = [p.error for p in peers if p.error]
                if errors:
                    raise errors[0]
            finally:
                self.world.close()
        run = plans.Run(self.name, self.uplinks, self.reuse, self.n_peers, [p.fetches for p in peers],
                        sum(p.counters["PassiveOpens"] for p in peers), sum(p.counters["RetransSegs"] for p in peers))
        n = sum(map(len, run.fetches))
        # That there is a connection for each message is not believed but counted. "At least": now and then there is one
        # more than there were fetches and than the peers know of.
        if (run.connections >= n) == self.reuse:
            raise Wrong(f"{n} documents came over {run.connections} connections")
        return run


# ---- all runs ----

def rounds(uplink_sets, scales, repeat, repeat_scaling):
    """(name, n_peers, uplinks, reuse), in the order in which they run: what is compared takes turns."""
    for uplinks in uplink_sets:
        for _ in range(repeat):
            for name in plans.EXPERIMENTS:
                for reuse in (False, True):
                    yield name, N_PEERS, uplinks, reuse
        for _ in range(repeat_scaling):
            for n_peers in scales:
                for name in plans.EXPERIMENTS:
                    for reuse in (False, True):
                        if n_peers != N_PEERS:
                            yield name, n_peers, uplinks, reuse


def inside(args, documents):
    net.prepare()
    runs = []
    todo = list(rounds(args.uplinks, args.scales, args.repeat, args.repeat_scaling))
    for i, (name, n_peers, uplinks, reuse) in enumerate(todo, 1):
        run = Experiment(name, n_peers, uplinks, reuse, documents).run()
        runs.append(run)
        kind = f"{n_peers} peers, {','.join(uplinks)}, connections {'kept' if reuse else 'new'}"
        print(f"[{i}/{len(todo)}] {name}, {kind}: last peer after {plans.last_usec(run) / 1e6:.3f} s", flush=True)
    report(args, documents, runs)


# ---- what comes of them ----

def slug(uplinks):
    return "-".join(uplinks).replace(".", "_")


def report(args, documents, runs):
    os.makedirs(args.out, exist_ok=True)
    groups = plans.grouped(runs)
    rows = [plans.summary(group) for group in groups]
    plans.write_csv(os.path.join(args.out, "experiments.csv"), rows[0].keys(), (r.values() for r in rows))
    plans.write_csv(os.path.join(args.out, "experiments-fetches.csv"), plans.FETCH_COLUMNS,
                    (row for group in groups for k, run in enumerate(group, 1) for row in plans.fetch_rows(run, k)))
    if shutil.which("gnuplot"):
        draw(args, [plans.median_run(group) for group in groups])
    else:
        print("no plots: gnuplot is missing (./bootstrap --bench installs it)")
    total = sum(map(len, documents.values()))
    print(f"\n{len(documents)} RFCs, {total / 1e6:.2f} MB, {args.rfcs or 'synthetic'}. Keys that are not as shipped: "
          + ", ".join(f"{k}={v}" for k, v in KEYS.items()) + '; for "new" Peers.ReuseConnections=no.\n')
    widths = [max(len(str(row[k])) for row in [{c: c for c in rows[0]}] + rows) for k in rows[0]]
    for row in [dict.fromkeys(rows[0])] + rows:
        cells = [str(row[k] if row[k] is not None else k) for k in row]
        print("  ".join(c.ljust(w) if i < 3 else c.rjust(w) for i, (c, w) in enumerate(zip(cells, widths))).rstrip())
    print(f"\nall digests compared; written to {args.out}")


def draw(args, middles):
    panels = []
    for uplinks in args.uplinks:
        of_uplink = [run for run in middles if run.uplinks == uplinks]
        six = sorted((run for run in of_uplink if run.n_peers == N_PEERS),
                     key=lambda run: (run.reuse, list(plans.EXPERIMENTS).index(run.experiment)))
        plots.draw(plots.cumulative_script(six), os.path.join(args.out, f"experiments-{slug(uplinks)}.svg"))
        panels.append((f"uplink {', '.join(uplinks)}", of_uplink))
    if args.scales:
        plots.draw(plots.scaling_script(panels), os.path.join(args.out, "experiments-scaling.svg"))


# ---- outside ----

def uplinks_argument(text):
    try:
        return plans.parse_uplinks(text)
    except ValueError as e:
        raise argparse.ArgumentTypeError(str(e)) from e


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--rfcs", metavar="DIR", help="real RFCs, 60 files rfcN.txt; else documents are made up")
    p.add_argument("--out", metavar="DIR", default="experiments", help="where CSV and SVG go (default: %(default)s)")
    p.add_argument("--uplink", metavar="RATE[,RATE…]", action="append", dest="uplinks", type=uplinks_argument,
                   help="of all peers, or of P0, P1, …, the last one of all further ones: 10mbit, unlimited; may be "
                   "repeated (default: 10mbit and unlimited, one after the other)")
    p.add_argument("--repeat", metavar="N", type=int, default=5, help="runs of each; the median is shown (default: 5)")
    p.add_argument("--repeat-scaling", metavar="N", type=int, default=1,
                   help="the same for other numbers of peers, which take minutes (default: 1)")
    p.add_argument("--scales", metavar="N,N…", type=lambda s: [int(n) for n in s.split(",") if n], default=SCALES,
                   help='numbers of peers for the scaling curve; "": none (default: 2 to 24)')
    p.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    args = p.parse_args()
    args.uplinks = args.uplinks or [["10mbit"], ["unlimited"]]
    if args.repeat < 1 or args.repeat_scaling < 1 or not all(2 <= n <= net.N_HOSTS_MAX for n in args.scales):
        p.error(f"at least 1 run, and 2 to {net.N_HOSTS_MAX} peers")
    args.out = os.path.abspath(args.out)
    return args


def main():
    args = arguments()
    try:
        documents = read_documents(args.rfcs)
        if args.inside:
            inside(args, documents)
            return 0
    except (Wrong, OSError) as e:
        print(f"experiments: {e}", file=sys.stderr)
        return 1
    reason = net.unavailable()
    if reason:
        print(f"experiments: skipped: {reason}", file=sys.stderr)
        return net.SKIPPED
    with net.ended_by_signals():
        directory = tempfile.mkdtemp(prefix="p2pdi-x")
        try:
            return net.run([sys.executable, os.path.abspath(__file__), "--inside"] + sys.argv[1:], {"TMPDIR": directory})
        finally:
            shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
