#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""The benchmarks: runs the rows of all rows_*.py beside this file, prints one table, and writes it as CSV and SVG. "make bench" runs it.

  bench.py [--dir=DIR] [--rfcs=DIR] [--rounds=N] [--quick] [--list] [ROW...]

ROW is a name, or a pattern like 'http-*'; without any all of them run. --quick is for work on the rows: one short round, whose figures
are worth nothing.
"""

import argparse
import fnmatch
import importlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
# What the rows import: what is beside this file, and what the system tests start daemons with.
sys.path[:0] = [HERE, os.path.join(HERE, "..", "system")]
sys.dont_write_bytecode = True
import harness  # noqa: E402

# One bar for each line with a ratio and a goal, as a part of the goal: left of the line at 1 it is reached.
PLOT = """
set terminal svg size 1000,{height} font "sans,11" background "white"
set output "{svg}"
set title "P2P-DI against what it is compared with: shorter is better, the line is the goal"
set logscale x 2
set xrange [0.03125:32]
set yrange [-0.7:{top}]
set ytics nomirror out ({tics})
set xtics nomirror ("1/16" 0.0625, "1/8" 0.125, "1/4" 0.25, "1/2" 0.5, "goal" 1, "2×" 2, "4×" 4, "8×" 8, "16×" 16)
set grid xtics
set arrow from 1,-0.7 to 1,{top} nohead lw 2 lc rgb "#444444" front
set style fill solid 0.9 noborder
unset key
plot "{data}" using (0.03125):1:(0.03125):2:($1-0.35):($1+0.35):3 with boxxyerrorbars lc rgb variable
"""


def rows_of(directory):
    """All rows: classes with a name in rows_*.py."""
    found = []
    for file in sorted(os.listdir(directory)):
        if file.startswith("rows_") and file.endswith(".py"):
            module = importlib.import_module(file[:-3])
            found += [c for c in module.ROWS if c.name]
    return sorted(found, key=lambda c: c.order)


def choose(rows, patterns):
    """Those that the patterns name; a pattern that names none is a mistake."""
    for p in patterns:
        if not any(fnmatch.fnmatch(r.name, p) for r in rows):
            raise SystemExit(f"bench.py: no row is called {p!r}; there are: {', '.join(r.name for r in rows)}")
    return [r for r in rows if not patterns or any(fnmatch.fnmatch(r.name, p) for p in patterns)]


def bars(lines):
    """(label, part of the goal, reached) of each line that has both."""
    found = []
    for line in lines:
        measured = line.ratio if line.figure.of_ratio else line.ours
        if line.figure.goal and measured:
            part = line.figure.goal / measured if line.figure.at_least else measured / line.figure.goal
            found.append((f"{line.row}: {line.figure.title}", part, line.verdict == "yes"))
    return found


def plot(lines, directory):
    """The SVG. Gives why not, or None."""
    shown = bars(lines)
    if not shutil.which("gnuplot"):
        return "there is no gnuplot (./bootstrap --bench installs it)"
    if not shown:
        return "no figure with a goal was measured"
    data = os.path.join(directory, "bench.dat")
    with open(data, "w", encoding="utf-8") as f:
        for i, (_, part, good) in enumerate(shown):
            f.write(f"{len(shown) - 1 - i} {min(max(part, 0.04), 31)} {0x3A7D44 if good else 0xB23A48}\n")
    tics = ", ".join(f'"{label}" {len(shown) - 1 - i}' for i, (label, _, _) in enumerate(shown))
    script = PLOT.format(height=80 + 22 * len(shown), svg=os.path.join(directory, "bench.svg"), top=len(shown) - 0.3, tics=tics, data=data)
    done = subprocess.run(["gnuplot", "-"], input=script, capture_output=True, text=True)
    return done.stderr.strip() if done.returncode else None


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("rows", nargs="*", metavar="ROW")
    p.add_argument("--dir", default=".", help="where the table goes")
    p.add_argument("--rfcs", help="a directory of real rfcN.txt, instead of made up ones")
    p.add_argument("--rounds", type=int, help=f"of each row, instead of {harness.ROUNDS} or what the row says")
    p.add_argument("--quick", action="store_true")
    p.add_argument("--list", action="store_true", help="names of rows")
    arg = p.parse_args()

    # Whoever ends this wants to see no server left behind; a shell's "&" has SIGINT ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # On a disk: in memory a flush costs nothing.
    tempfile.tempdir = os.environ.get("TMPDIR", "/var/tmp")
    chosen = choose(rows_of(HERE), arg.rows)
    if arg.list:
        print("\n".join(r.name for r in chosen))
        return 0
    os.makedirs(arg.dir, exist_ok=True)
    from programs import Bench
    bench = Bench(arg.dir, arg.quick, arg.rfcs)
    begin = time.monotonic()

    def told(lines, seconds):
        for line in lines:
            cells = harness.cells(line)
            print(f"{cells[0]}: {cells[1]} {cells[3]} : {cells[4]} {cells[2]}, ratio {cells[5]}, goal {cells[6]}: {cells[7]} ({seconds:.0f} s)",
                  file=sys.stderr, flush=True)

    try:
        lines = harness.run_rows(bench, chosen, 1 if arg.quick else arg.rounds, told)
    finally:
        bench.close()
    text = harness.table(lines)
    if bench.journal.why:
        text += f"\n{bench.journal.why}"
    text += f"\n{os.cpu_count()} CPUs, {time.monotonic() - begin:.0f} s, load {os.getloadavg()[0]:.1f} in the end."
    print(text)
    with open(os.path.join(arg.dir, "bench.txt"), "w", encoding="utf-8") as f:
        f.write(text + "\n")
    harness.write_csv(lines, os.path.join(arg.dir, "bench.csv"))
    why = plot(lines, arg.dir)
    if why:
        print(f"No SVG: {why}.", file=sys.stderr)
    # A goal that was missed is a result, a row that could not do its work is a mistake.
    return 1 if any(line.failed for line in lines) else 0


if __name__ == "__main__":
    sys.exit(main())
