# SPDX-License-Identifier: BSD-2-Clause
"""The two experiments without the programs: who holds and fetches what, in which order, and what the records come to.

Everything here is arithmetic. Times are in microseconds, sizes in bytes, peers are numbered from 0.
"""

import csv
import dataclasses
import random
import re
import statistics

# How many documents there are in all, and how many each peer fetches (or all that it lacks, if these are fewer).
N_DOCUMENTS = 60
N_FETCHES = 50

EXPERIMENTS = {
    "task1": "Task 1: P0 holds all",
    "task2-best": "Task 2, best case: each begins at its neighbour",
    "task2-worst": "Task 2, worst case: all in the same order",
}


# ---- who has what, and who fetches it from whom ----

def holdings(experiment, n_peers, numbers):
    """What each peer holds at the beginning. In Task 2 they are dealt like cards: each has as many, or one less."""
    if experiment == "task1":
        return [list(numbers)] + [[] for _ in range(n_peers - 1)]
    return [list(numbers[i::n_peers]) for i in range(n_peers)]


def plan(experiment, n_peers, numbers, limit=N_FETCHES):
    """For each peer what it fetches, in order: [(number, holder)]."""
    held = holdings(experiment, n_peers, numbers)
    orders = []
    for i in range(n_peers):
        first = i + 1 if experiment == "task2-best" else 0
        others = [(first + k) % n_peers for k in range(n_peers)]
        lacked = [(number, holder) for holder in others if holder != i for number in held[holder]]
        orders.append(lacked[:limit])
    return orders


# ---- documents ----

def synthetic_sizes(n=N_DOCUMENTS):
    """Like those of recent RFCs: half of them below 36 kB, a quarter above 70 kB, some of several hundred."""
    shape = statistics.NormalDist()
    sizes = [round(36000 * 2.718281828 ** shape.inv_cdf((i + 0.5) / n)) for i in range(n)]
    random.Random("sizes").shuffle(sizes)
    return sizes


def document_number(name):
    """Of a file name as the library has them; None for any other."""
    m = re.fullmatch(r"rfc([1-9]\d{0,9})\.txt", name)
    return int(m[1]) if m else None


# ---- uplinks ----

def parse_rate(text):
    """"10mbit" in bits per second, as tc has its units; "unlimited": None."""
    if text == "unlimited":
        return None
    m = re.fullmatch(r"(\d+(?:\.\d+)?)(k|m|g)?bit", text)
    rate = round(float(m[1]) * {None: 1, "k": 1e3, "m": 1e6, "g": 1e9}[m[2]]) if m else 0
    if rate < 8000:
        raise ValueError(f'"{text}" is no uplink: unlimited, or at least 8kbit, as in 512kbit, 10mbit, 1gbit')
    return rate


def parse_uplinks(text):
    """"10mbit", or one for each peer, "2mbit,10mbit": the last one is that of all further ones. As written."""
    uplinks = text.split(",")
    for uplink in uplinks:
        parse_rate(uplink)
    return uplinks


def uplink_of(uplinks, peer):
    return uplinks[min(peer, len(uplinks) - 1)]


# ---- what was recorded ----

@dataclasses.dataclass
class Fetch:
    """One document, as the peer's own record of it says."""
    peer: int
    number: int
    holder: int
    size: int
    began_usec: int             # since the epoch
    duration_usec: int
    servers_usec: int           # of that, for the list of peers
    tries: int                  # how often it was asked for


@dataclasses.dataclass
class Run:
    experiment: str
    uplinks: list               # as written
    reuse: bool
    n_peers: int
    fetches: list               # of each peer: its Fetches, in order
    connections: int            # that all peers together took from others between the common start and the end
    resent: int                 # TCP segments that all hosts together sent again meanwhile

    @property
    def key(self):
        return self.experiment, ",".join(self.uplinks), self.reuse, self.n_peers

    @property
    def began_usec(self):
        """The common start: when the first fetch of all began."""
        return min(f.began_usec for fetches in self.fetches for f in fetches)

    @property
    def active(self):
        """Peers that fetch anything."""
        return [i for i, fetches in enumerate(self.fetches) if fetches]


def cumulative(fetches):
    """How long the first, the first two, … took, one after another."""
    total, sums = 0, []
    for f in fetches:
        total += f.duration_usec
        sums.append(total)
    return sums


def totals(run):
    """For each peer that fetches: how long all of its documents took."""
    return [cumulative(run.fetches[i])[-1] for i in run.active]


def last_usec(run):
    return max(totals(run))


def median_run(runs):
    """The one whose last peer was in the middle; of an even number the slower one of the two."""
    return sorted(runs, key=last_usec)[len(runs) // 2]


def uplink_use(run):
    """
    The share of the time until the last peer was done in which the busiest uplink had documents to send: their bytes,
    without any head, by its rate. None where no uplink that is used has a rate.
    """
    sent = {}
    for fetches in run.fetches:
        for f in fetches:
            sent[f.holder] = sent.get(f.holder, 0) + f.size
    rates = {peer: parse_rate(uplink_of(run.uplinks, peer)) for peer in sent}
    busy = [sent[peer] * 8e6 / rate for peer, rate in rates.items() if rate]
    return max(busy) / last_usec(run) if busy else None


def summary(runs):
    """One row of the table for runs that differ in nothing but their outcome."""
    middle = median_run(runs)
    fetches = [f for of_peer in middle.fetches for f in of_peer]
    n_each = max(len(of_peer) for of_peer in middle.fetches)
    use = uplink_use(middle)
    return {
        "experiment": middle.experiment,
        "uplink": ",".join(middle.uplinks),
        "connections": "kept" if middle.reuse else "new",
        "peers": middle.n_peers,
        "rfcs": n_each,
        "runs": len(runs),
        "first_s": f"{min(totals(middle)) / 1e6:.3f}",
        "last_s": f"{last_usec(middle) / 1e6:.3f}",
        "last_min_s": f"{min(map(last_usec, runs)) / 1e6:.3f}",
        "last_max_s": f"{max(map(last_usec, runs)) / 1e6:.3f}",
        "ms_per_rfc": f"{last_usec(middle) / 1e3 / n_each:.2f}",
        "uplink_use": "-" if use is None else f"{use:.2f}",
        "servers_share": f"{sum(f.servers_usec for f in fetches) / sum(f.duration_usec for f in fetches):.3f}",
        "tried_again": sum(f.tries - 1 for f in fetches),
        "taken": middle.connections,
        "resent": middle.resent,
    }


# ---- as files ----

FETCH_COLUMNS = ("experiment", "uplink", "connections", "peers", "run", "peer", "rfcs", "number", "holder", "bytes",
                 "began_usec", "tries", "servers_usec", "duration_usec", "cumulative_usec")


def fetch_rows(run, index):
    """began_usec is told since the common start."""
    for i in run.active:
        for k, (f, total) in enumerate(zip(run.fetches[i], cumulative(run.fetches[i])), 1):
            yield (run.experiment, ",".join(run.uplinks), "kept" if run.reuse else "new", run.n_peers, index, f"P{i}",
                   k, f.number, f"P{f.holder}", f.size, f.began_usec - run.began_usec, f.tries, f.servers_usec,
                   f.duration_usec, total)


def grouped(runs):
    """Those that differ in nothing but their outcome together, in the order of the first of each."""
    groups = {}
    for run in runs:
        groups.setdefault(run.key, []).append(run)
    return list(groups.values())


def write_csv(path, columns, rows):
    with open(path, "w", encoding="utf-8", newline="") as f:
        f.write("# SPDX-License-Identifier: BSD-2-Clause\n")
        writer = csv.writer(f, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
