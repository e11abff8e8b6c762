# SPDX-License-Identifier: BSD-2-Clause
"""What a row of the benchmarks is, how it is measured, and what becomes of its figures.

A Row runs ours and theirs in turn (ours, theirs, ours, theirs …), so that what else the machine does falls on both. Of each
figure the table shows the median of each side, and the median of the ratios of the pairs: that is what a goal is about. Where
there is no other side, the goal is about the figure itself.
"""

import csv
import dataclasses
import shutil
import statistics
import time
import traceback

# A median of fewer is no figure.
ROUNDS = 5


class Skip(Exception):
    """This row can't be measured here; says why."""


@dataclasses.dataclass
class Figure:
    """One line of the table. key: its name in what ours() and theirs() give."""

    key: str
    title: str
    unit: str
    goal: float = None          # None: reported, without a goal
    at_least: bool = False      # else: at most
    of_ratio: bool = True       # the goal is about ours/theirs; else about ours
    needs: tuple = ()           # programs that it needs beside those of its row

    @property
    def goal_text(self):
        if self.goal is None:
            return "-"
        return f"{'≥' if self.at_least else '≤'} {number(self.goal)}{'×' if self.of_ratio else ''}"


class Scene:
    """What several rows need, started for the first of them and ended after the last."""

    def __init__(self, bench):
        self.bench = bench

    def close(self):
        pass


class Row:
    """A comparison. Children set name, figures, and ours(); theirs() where there is another side."""

    name = None                 # what ROWS= chooses by
    figures = ()
    scene_type = None           # rows that follow each other with the same one share it
    needs = ()                  # programs
    rounds = ROUNDS
    raised = {}                 # keys of the INI that had to differ from what is shipped
    order = 50                  # place in the table: of the module's rows, then by name
    has_theirs = True
    note = ""                   # what setup() has to tell below the table

    def __init__(self, bench, scene):
        self.bench, self.scene = bench, scene

    def setup(self):
        """Once before all rounds; also the place to compare digests and to warm both sides up."""

    def ours(self):
        """{key: value}"""
        raise NotImplementedError

    def theirs(self):
        raise NotImplementedError

    def teardown(self):
        pass


@dataclasses.dataclass
class Line:
    """A line of the table."""

    row: str
    figure: Figure
    ours: float = None
    theirs: float = None
    ratio: float = None
    note: str = ""              # why it was skipped or failed, or what was raised
    failed: bool = False

    @property
    def verdict(self):
        if self.ours is None:
            return "FAILED" if self.failed else "skipped"
        measured = self.ratio if self.figure.of_ratio else self.ours
        if self.figure.goal is None or measured is None:
            return "-"
        good = measured >= self.figure.goal if self.figure.at_least else measured <= self.figure.goal
        return "yes" if good else "NO"


def judge(row_name, figure, ours, theirs, note=""):
    """ours, theirs: lists of {key: value}, one for each round; theirs is empty where there is no other side."""
    why = missing(figure.needs)
    if why:
        return Line(row_name, figure, note=why)
    mine = [o[figure.key] for o in ours]
    line = Line(row_name, figure, statistics.median(mine), note=note)
    others = [t[figure.key] for t in theirs if figure.key in t]
    if others:
        assert len(others) == len(mine), "each round has both sides"
        line.theirs = statistics.median(others)
        line.ratio = statistics.median(m / o if o else float("inf") for m, o in zip(mine, others))
    return line


def missing(needs):
    """Why a row can't run, or None."""
    gone = [n for n in needs if not shutil.which(n)]
    return f"there is no {', no '.join(gone)} (./bootstrap --bench installs it)" if gone else None


def measure(row, rounds):
    """(ours, theirs) of so many rounds."""
    ours, theirs = [], []
    for i in range(rounds):
        first, second = (row.ours, ours), (row.theirs, theirs)
        # Each second round begins with the other one: what warms up serves both alike.
        for run, into in ((first, second) if i % 2 == 0 else (second, first)) if row.has_theirs else (first,):
            into.append(run())
    return ours, theirs


def run_row(bench, row_type, scene, rounds):
    """Lines of the table; a row that can't run, or goes wrong, gives lines that say why, and the others go on."""
    raised = " ".join(f"{k}={v}" for k, v in row_type.raised.items())
    try:
        why = missing(row_type.needs)
        if why:
            raise Skip(why)
        row = row_type(bench, scene() if scene else None)
        try:
            row.setup()
            ours, theirs = measure(row, rounds)
        finally:
            row.teardown()
    except Skip as e:
        return [Line(row_type.name, f, note=str(e)) for f in row_type.figures]
    except Exception as e:      # whatever a row stumbles over: it is shown, and the exit status tells
        traceback.print_exc()
        return [Line(row_type.name, f, note=f"failed: {e}", failed=True) for f in row_type.figures]
    note = "; ".join(n for n in (raised, row.note) if n)
    return [judge(row_type.name, f, ours, theirs, note) for f in row_type.figures]


def run_rows(bench, row_types, rounds, told):
    """Runs them in order; told(lines, seconds) is called after each. A scene lives while its rows follow each other."""
    lines, scene, scene_type = [], None, None

    def current():
        nonlocal scene
        if scene is None:
            scene = scene_type(bench)
        return scene

    def end():
        nonlocal scene
        if scene is not None:
            scene.close()
        scene = None

    try:
        for row_type in row_types:
            if row_type.scene_type is not scene_type:
                end()
                scene_type = row_type.scene_type
            begin = time.monotonic()
            new = run_row(bench, row_type, current if scene_type else None, rounds or row_type.rounds)
            lines += new
            told(new, time.monotonic() - begin)
    finally:
        end()
    return lines


# ---- the table ----

def number(value):
    """Three digits that count, without an exponent."""
    if value is None:
        return "-"
    if value == float("inf"):
        return "inf"
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    text = f"{value:.3g}"
    return text if "e" not in text else f"{value:.6f}".rstrip("0")


HEAD = ("ROW", "FIGURE", "UNIT", "OURS", "THEIRS", "RATIO", "GOAL", "PASS")


def cells(line):
    f = line.figure
    return (line.row, f.title, f.unit, number(line.ours), number(line.theirs), number(line.ratio), f.goal_text, line.verdict)


def table(lines):
    """Text: columns in line, numbers to the right; notes once each, below."""
    rows = [HEAD] + [cells(line) for line in lines]
    widths = [max(len(r[i]) for r in rows) for i in range(len(HEAD))]
    text = []
    for r in rows:
        parts = [c.rjust(w) if 3 <= i <= 5 else c.ljust(w) for i, (c, w) in enumerate(zip(r, widths))]
        text.append(" ".join(parts).rstrip())
    notes = dict.fromkeys((line.row, line.note) for line in lines if line.note)
    if notes:
        text.append("")
        text += [f"{row}: {note}" for row, note in notes]
    verdicts = [line.verdict for line in lines]
    text += ["", f"{verdicts.count('yes')} goals reached, {verdicts.count('NO')} missed, "
             f"{verdicts.count('skipped')} skipped, {verdicts.count('FAILED')} failed, {verdicts.count('-')} figures without a goal."]
    return "\n".join(text)


def write_csv(lines, path):
    with open(path, "w", encoding="utf-8", newline="") as f:
        out = csv.writer(f)
        out.writerow(["row", "figure", "unit", "ours", "theirs", "ratio", "goal", "goal_is", "pass", "note"])
        for line in lines:
            fig = line.figure
            kind = "" if fig.goal is None else f"{'at least' if fig.at_least else 'at most'}, of {'ratio' if fig.of_ratio else 'ours'}"
            out.writerow([line.row, fig.title, fig.unit, line.ours, line.theirs, line.ratio, fig.goal, kind, line.verdict, line.note])
