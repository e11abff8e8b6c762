# SPDX-License-Identifier: BSD-2-Clause
"""The plots of the experiments: scripts for gnuplot with the data in them, which become SVG files."""

import re
import subprocess

import experiment_plan as plans

COLOURS = ("#1b6ca8", "#c8553d", "#2a9d5c", "#8e5ea2", "#d99a1c", "#5b6770")
HEAD = """\
set terminal svg size {width},{height} font "sans-serif,12" background "white" noenhanced
set encoding utf8
set border 3
set tics nomirror out
set grid lc rgb "#dddddd" lt 1
set key left top Left reverse samplen 1.5
"""


def connections(reuse):
    return "connections stay open" if reuse else "a new connection per message"


def block(name, rows):
    """A data block; None as a row begins a new line of the plot."""
    lines = ["" if row is None else " ".join(f"{x:.6g}" for x in row) for row in rows]
    return f"${name} << END\n" + "\n".join(lines) + "\nEND\n"


def curves(run, unit):
    """For each peer that fetches: the cumulative time against the number of documents."""
    return [(f"P{i}", [(0, 0)] + [(k, total / unit) for k, total in enumerate(plans.cumulative(run.fetches[i]), 1)])
            for i in run.active]


def unit_of(runs):
    """Microseconds of what the axis counts, and its name."""
    return (1e6, "s") if max(map(plans.last_usec, runs)) > 2e6 else (1e3, "ms")


def cumulative_script(runs):
    """One panel for each run, in rows of three: runs of one experiment one below the other."""
    n_columns = len({run.experiment for run in runs})
    n_rows = -(-len(runs) // n_columns)
    unit, name = unit_of(runs)
    top = max(map(plans.last_usec, runs)) / unit
    parts = [HEAD.format(width=340 * n_columns, height=290 * n_rows),
             f"set multiplot layout {n_rows},{n_columns}\n",
             f'set xlabel "RFCs fetched"\nset ylabel "cumulative time, {name}"\n',
             f"set xrange [0:*]\nset yrange [0:{top * 1.02:.6g}]\n"]
    for i, run in enumerate(runs):
        lines = curves(run, unit)
        parts += [block(f"r{i}_{k}", rows) for k, (_, rows) in enumerate(lines)]
        parts.append(f'set title "{plans.EXPERIMENTS[run.experiment]}\\n{connections(run.reuse)}" font ",11"\n')
        parts.append("plot " + ", ".join(
            f'$r{i}_{k} with lines lw 1.6 lc rgb "{COLOURS[k % len(COLOURS)]}" title "{title}"'
            for k, (title, _) in enumerate(lines)) + "\n")
    parts.append("unset multiplot\n")
    return "".join(parts)


def scaling_script(panels):
    """panels: (title, middle runs). One panel each: the time of the last peer per document, by the number of peers."""
    parts = [HEAD.format(width=460 * len(panels), height=330),
             f"set multiplot layout 1,{len(panels)}\n",
             'set xlabel "peers"\nset ylabel "ms per RFC, of the last peer"\n',
             "set xrange [0:*]\nset yrange [0:*]\n"]
    for i, (title, runs) in enumerate(panels):
        lines = []
        for colour, experiment in zip(COLOURS, plans.EXPERIMENTS):
            for reuse in (False, True):
                points = sorted((r.n_peers, plans.last_usec(r) / 1e3 / max(map(len, r.fetches)))
                                for r in runs if (r.experiment, r.reuse) == (experiment, reuse))
                if points:
                    lines.append((experiment, reuse, colour, points))
        parts += [block(f"s{i}_{k}", line[3]) for k, line in enumerate(lines)]
        parts.append(f'set title "{title}"\n')
        parts.append("plot " + ", ".join(
            f'$s{i}_{k} with linespoints lw 1.6 pt 7 ps 0.4 dt {2 if reuse else 1} lc rgb "{colour}" '
            f'title "{experiment}, {"kept" if reuse else "new"}"'
            for k, (experiment, reuse, colour, _) in enumerate(lines)) + "\n")
    parts.append("unset multiplot\n")
    return "".join(parts)


def tidy(svg):
    """Without what draws nothing: empty groups, attributes that have their defaults, blanks: a quarter of the file."""
    svg = re.sub(r"<g [^>]*>\s*</g>\s*", "", svg)
    svg = re.sub(r' stroke-(linecap="butt"|linejoin="miter"|width="1\.00")', "", svg)
    return re.sub(r"\s*\n\s*", "\n", svg)


def draw(script, path):
    r = subprocess.run(["gnuplot", "-"], input=script.encode(), capture_output=True, timeout=60, check=False)
    if r.returncode != 0 or not r.stdout:
        raise RuntimeError(f"gnuplot failed: {r.stderr.decode(errors='replace')[:500]}")
    first, _, rest = tidy(r.stdout.decode()).partition("\n")
    with open(path, "w", encoding="utf-8") as f:
        f.write(f"{first}\n<!-- SPDX-License-Identifier: BSD-2-Clause -->\n" +
                "".join(line.rstrip() + "\n" for line in rest.splitlines()))
