# SPDX-License-Identifier: BSD-2-Clause
"""The arithmetic of the soak: latencies, whether memory is flat, and the tables of both."""

import csv
import dataclasses
import math

# By how much memory may grow: bytes an hour, or, in the time that is looked at, this part of what it is. The second is what the C library's
# heaps move by while no more is in use; the longer the run, the less it hides. In a quarter of an hour at 5,000 requests a second it is 32
# forgotten bytes in some fifty requests, in ten hours in two thousand.
GROWTH_MAX = 1 << 20
GROWTH_PART_MAX = 0.1
# A slope counts as one if it is so many standard errors away from none: where samples are independent, once in some 700 runs it is none.
ERRORS_MIN = 3
# Fewer samples tell no slope, nor does a shorter time: what is read there is how caches fill.
SAMPLES_MIN = 12
SECONDS_MIN = 140


def percentile(times, part):
    """times: {µs: how many}. The smallest time that at least this part of all took at most; None of none."""
    wanted, seen = part * sum(times.values()), 0
    for usec in sorted(times):
        seen += times[usec]
        if seen >= wanted:
            return usec
    return None


@dataclasses.dataclass
class Trend:
    """A straight line through samples: kB per minute, and the standard error of that."""

    slope: float
    error: float
    minutes: float              # that it was looked at
    mean: float                 # kB

    @property
    def per_hour(self):
        """Bytes."""
        return self.slope * 60 * 1024

    @property
    def grows(self):
        much = self.per_hour > GROWTH_MAX and self.slope * self.minutes > GROWTH_PART_MAX * self.mean
        return much and self.slope > ERRORS_MIN * self.error

    def __str__(self):
        return f"{self.slope:+.2f} ± {self.error:.2f}"


def trend(samples):
    """Of (seconds, kB) by least squares; None: too few, or too short.

    Memory moves in steps, so what a sample is off the line the next one is, too: as an independent one each counts for less. By how much
    is estimated from how much neighbours have in common: with the first-order autocorrelation r of what is left n (1 - r) / (1 + r) count
    (Santer et al. 2000).
    """
    n = len(samples)
    if n < SAMPLES_MIN or samples[-1][0] - samples[0][0] < SECONDS_MIN:
        return None
    minutes = [t / 60 for t, _ in samples]
    mean_x, mean_y = sum(minutes) / n, sum(y for _, y in samples) / n
    xx = sum((x - mean_x) ** 2 for x in minutes)
    slope = sum((x - mean_x) * (y - mean_y) for x, (_, y) in zip(minutes, samples)) / xx
    left = [y - mean_y - slope * (x - mean_x) for x, (_, y) in zip(minutes, samples)]
    square = sum(e * e for e in left)
    if square < 1e-9:
        return Trend(slope, 0.0, minutes[-1] - minutes[0], mean_y)
    common = sum(a * b for a, b in zip(left, left[1:])) / square
    common = min(max(common, 0.0), 0.99)
    counting = max(n * (1 - common) / (1 + common), 3)
    return Trend(slope, math.sqrt(square / (counting - 2) / xx), minutes[-1] - minutes[0], mean_y)


def second_half(samples):
    """By time: until then caches fill."""
    if not samples:
        return []
    middle = (samples[0][0] + samples[-1][0]) / 2
    return [s for s in samples if s[0] >= middle]


def since_start(samples):
    """Of the process that was seen last: one that was restarted has used less of the CPU than before."""
    first = max((i for i in range(1, len(samples)) if samples[i][4] < samples[i - 1][4]), default=0)
    return samples[first:]


@dataclasses.dataclass
class Kind:
    """All exchanges of one kind."""

    name: str
    times: dict = dataclasses.field(default_factory=dict)   # {µs: how many}
    failed: int = 0
    cut: int = 0                # by a restart, and made again

    def add(self, times, failed=0, cut=0):
        for usec, n in times:
            self.times[usec] = self.times.get(usec, 0) + n
        self.failed += failed
        self.cut += cut

    @property
    def n(self):
        return sum(self.times.values())


@dataclasses.dataclass
class Process:
    """What was seen of one daemon. samples: (seconds, kB resident, descriptors, threads, seconds of CPU)."""

    name: str
    samples: list
    judged: bool                # its memory tells something: there is no sanitizer
    at_rest: tuple = None       # descriptors at rest before and after, connections not counted
    held: tuple = None          # documents before and after

    @property
    def trend(self):
        late, of_this = second_half(self.samples), since_start(self.samples)
        return trend([(s[0], s[1]) for s in late[-len(of_this):]])

    @property
    def problems(self):
        found = []
        if self.judged and self.trend and self.trend.grows:
            found.append(f"{self.name} grows by {self.trend.per_hour / 1e6:.1f} MB an hour")
        if self.at_rest and self.at_rest[0] != self.at_rest[1]:
            found.append(f"{self.name} had {self.at_rest[0]} descriptors at rest before, and has {self.at_rest[1]} after it")
        return found


# ---- tables ----

def aligned(rows):
    """Text: the first column to the left, the others to the right."""
    widths = [max(len(r[i]) for r in rows) for i in range(len(rows[0]))]
    return "\n".join(" ".join(c.rjust(w) if i else c.ljust(w) for i, (c, w) in enumerate(zip(r, widths))).rstrip() for r in rows)


def msec(usec):
    return "-" if usec is None else f"{usec / 1000:.2f}" if usec < 100000 else f"{usec / 1000:,.0f}"


KIND_HEAD = ("EXCHANGE", "COUNT", "PER-SEC", "P50-MS", "P99-MS", "P99.9-MS", "MAX-MS", "CUT", "FAILED")


def kind_rows(kinds, seconds):
    whole = Kind("all")
    for k in kinds:
        whole.add(k.times.items(), k.failed, k.cut)
    return [KIND_HEAD] + [(k.name, f"{k.n:,}", f"{k.n / seconds:,.1f}", *(msec(percentile(k.times, p)) for p in (0.5, 0.99, 0.999, 1)),
                           f"{k.cut:,}", f"{k.failed:,}") for k in [*kinds, whole]]


PROCESS_HEAD = ("DAEMON", "MB-BEGIN", "MB-MIDDLE", "MB-END", "KB/MIN", "FLAT", "HELD", "FDS-MAX", "AT-REST", "THREADS", "CPU")


def before_and_after(pair):
    return "-" if pair is None else "{} {}".format(*pair)


def process_row(p):
    halfway = second_half(p.samples)[0]
    first, last = p.samples[0], p.samples[-1]
    flat = "-" if p.trend is None or not p.judged else "NO" if p.trend.grows else "yes"
    # One that was restarted begins at 0 again.
    cpu = sum(max(b[4] - a[4], 0) for a, b in zip(p.samples, p.samples[1:])) / max(last[0] - first[0], 1e-9)
    return (p.name, *(f"{s[1] / 1024:.1f}" for s in (first, halfway, last)), str(p.trend or "-"), flat, before_and_after(p.held),
            str(max(s[2] for s in p.samples)), before_and_after(p.at_rest), str(max(s[3] for s in p.samples)), f"{cpu:.0%}")


def process_rows(processes):
    return [PROCESS_HEAD] + [process_row(p) for p in processes if p.samples]


def write_csv(path, rows):
    with open(path, "w", encoding="utf-8", newline="") as f:
        csv.writer(f).writerows(rows)
