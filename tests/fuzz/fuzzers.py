#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""
Runs the fuzz targets of a tree that was built with them, each until it has had its CPU time and its executions, and prints a table:

    fuzzers.py [--minutes=10] [--runs=1000000] [TARGET...]  what finds something is named, and the exit is 1
    fuzzers.py --merge [TARGET...]      what was found in --out and reaches more than tests/fuzz/corpus does goes there
    fuzzers.py --coverage [TARGET...]   of a tree with --enable-coverage: how much of its parser a target's inputs reach

Whether a target is libFuzzer's or AFL++'s is seen from the program. CPU time, not time: on a machine that has other things to do, or
where the fuzzers were stopped for a while, ten minutes are no ten minutes.
"""
import argparse
import hashlib
import os
import pathlib
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from typing import NamedTuple

HERE = pathlib.Path(__file__).resolve().parent
SOURCE = HERE.parent.parent
HANG_CPU_SEC = 10                       # longer for one input is a finding
RSS_LIMIT_MB = 1024
TERM_WAIT_SEC = 30
POLL_SEC_MAX = 2                        # looking costs CPU time too
LOG_TAIL = 1 << 16


class Target(NamedTuple):
    dictionary: str                     # of tests/fuzz/dict
    max_size: int                       # of an input: a little more than the parser takes
    about: str                          # the source files that it is to reach


# Heads end at 8 KiB, and that they do is to be seen.
TARGETS = {
    "address": Target("lines", 256, "src/core/address.c"),
    "call": Target("wire", 9000, "src/io/call.c src/io/call-answer.c src/io/call-line.c src/io/call-turn.c src/io/call-pool.c src/io/wire.c "
                   "src/io/incoming.c src/io/outgoing.c src/io/deadline.c"),
    "ctl": Target("ctl", 4096, "src/ctl/call.c src/io/varlink-client.c src/ctl/get.c src/ctl/resolve.c src/ctl/verb-export.c src/ctl/verb-get.c "
                  "src/ctl/verb-import.c src/ctl/verb-keep.c src/ctl/verb-list.c src/ctl/verb-monitor.c src/ctl/verb-peers.c src/ctl/verb-search.c "
                  "src/ctl/verb-show.c src/ctl/verb-status.c src/ctl/verb-sync.c src/ctl/verb-verify.c src/ctl/verb-why.c"),
    "database": Target("lines", 1024, "src/io/registry-db.c src/io/state.c src/io/catalogue.c"),
    "drop-in": Target("ini", 4096, "src/generator/drop-in.c"),
    "http": Target("wire", 9000, "src/core/http.c src/core/http-reply.c src/core/http-date.c src/core/msg.c"),
    "index-body": Target("lines", 4096, "src/core/proto-lines.c"),
    "index-merge": Target("lines", 9000, "src/core/index-merge.c src/core/index-merge-lines.c src/core/index-table.c "
                          "src/core/index-source.c src/core/index-store.c src/core/index-encode.c"),
    "ini": Target("ini", 2048, "src/io/conf.c src/io/conf-ini.c src/io/conf-set.c src/io/conf-keys.c src/io/conf-values.c"),
    "manifest": Target("lines", 4096, "src/core/manifest.c"),
    "peer-list": Target("lines", 4096, "src/core/proto-lines.c"),
    "registrar": Target("wire", 9000, "src/core/registrar.c src/core/peer-list.c src/core/peer-table.c src/core/peer-set.c src/core/peer-sources.c "
                        "src/core/peer-terms.c src/core/peer-order.c src/core/peer-days.c src/core/peer-changes.c src/core/peer-sample.c"),
    "reply": Target("wire", 9000, "src/core/msg.c src/core/proto-reply.c src/core/proto-fields.c"),
    "request": Target("wire", 9000, "src/core/msg.c src/core/proto.c src/core/proto-fields.c"),
    "rfc-meta": Target("rfc-index", 8192, "src/core/rfc-meta.c src/core/rfc-meta-entry.c src/core/follow.c"),
    "rfc-number": Target("lines", 4096, "src/core/rfc-number.c"),
    "screen": Target("terminal", 4096, "src/ctl/screen.c"),
    "search": Target("lines", 2048, "src/core/search.c"),
    "text": Target("text", 1024, "src/core/text.c src/core/page.c src/io/log-text.c"),
    "title": Target("title", 8192, "src/core/rfc-title.c"),
    "unpack": Target("gzip", 1024, "src/ctl/unpack.c"),
    "varlink": Target("varlink", 4096, "src/io/varlink-message.c"),
}


class Progress(NamedTuple):
    executions: int = 0
    edges: int = 0


def is_done(progress, cpu_sec, want_runs, want_sec):
    """Both must be there: a slow target has its executions late, a fast one its time."""
    return progress.executions >= want_runs and cpu_sec >= want_sec


def parse_libfuzzer(log):
    """What the log of libFuzzer says last. While it runs that is a lower bound: it tells at powers of two, and of each new input."""
    lines = re.findall(r"^#(\d+)\s.*?\bcov: (\d+)", log, re.M)
    total = re.search(r"^stat::number_of_executed_units: (\d+)", log, re.M)
    executions = max([int(n) for n, _ in lines] + ([int(total[1])] if total else []), default=0)
    return Progress(executions, max((int(edges) for _, edges in lines), default=0))


def parse_afl(stats):
    """The file fuzzer_stats of AFL++."""
    fields = dict(re.findall(r"^(\w+)\s*: (.*)$", stats, re.M))
    return Progress(int(fields.get("execs_done", 0)), int(fields.get("edges_found", 0)))


def parse_stat(text):
    """pid, parent and clock ticks of a line of /proc/PID/stat; of its children those that have ended."""
    pid, rest = text.split(" ", 1)
    fields = rest[rest.rindex(")") + 2:].split()
    return int(pid), int(fields[1]), sum(int(ticks) for ticks in fields[11:15])


def tree_cpu_sec(root):
    """CPU seconds of a process and what it started."""
    table = {}
    for path in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            pid, parent, ticks = parse_stat(path.read_text(errors="replace"))
        except OSError:
            continue                    # gone meanwhile
        table[pid] = parent, ticks
    ticks, pids = 0, {root}
    while pids:
        ticks += sum(table[pid][1] for pid in pids if pid in table)
        pids = {pid for pid, (parent, _) in table.items() if parent in pids}
    return ticks / os.sysconf("SC_CLK_TCK")


class Fuzzer:
    """One target on its way: a process, its directory, and what it has done in this and in earlier processes."""

    def __init__(self, name, build, out):
        self.name, self.target = name, TARGETS[name]
        self.program = build / "tests/fuzz" / f"fuzz-{name}"
        self.dir = out / name
        self.findings, self.n_restarts = [], 0
        self.before, self.cpu_before, self.cpu_sec = Progress(), 0.0, 0.0
        self.tree = HERE / "corpus" / name
        # Files of fuzz-ctl and fuzz-database, which don't clear up: a fuzzer that is stopped ends at once.
        self.files = tempfile.TemporaryDirectory(prefix="p2pdi-fuzz-", dir="/dev/shm")
        self.dir.mkdir(parents=True, exist_ok=True)
        self.start()

    def start(self):
        self.set_up()
        with open(self.dir / "log", "wb") as log:
            self.process = subprocess.Popen(self.command(), stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=self.dir,
                                            env={**os.environ, **self.environment()})

    def set_up(self):
        pass

    def progress(self):
        """Of all its processes."""
        now = self.read()
        return Progress(self.before.executions + now.executions, max(self.before.edges, now.edges))

    def has_ended(self, options=os.WNOHANG):
        """Takes its CPU time, too: the last word, when it has ended."""
        if self.process.returncode is None:
            pid, status, usage = os.wait4(self.process.pid, options)
            if pid:
                self.process.returncode = os.waitstatus_to_exitcode(status)
                self.cpu_sec = max(self.cpu_sec, self.cpu_before + usage.ru_utime + usage.ru_stime)
            else:
                self.cpu_sec = self.cpu_before + tree_cpu_sec(self.process.pid)
        return self.process.returncode is not None

    def stop(self):
        self.process.terminate()
        end = time.monotonic() + TERM_WAIT_SEC
        while not self.has_ended() and time.monotonic() < end:
            time.sleep(0.05)
        if not self.has_ended():
            self.process.kill()
            self.has_ended(options=0)

    def judge(self, path):
        """A finding, unless it only took long because the machine was busy."""
        if is_slow(path) and not takes_too_long(self.program, path):
            path.unlink()
            return
        self.findings.append(path)

    def is_over(self, runs, seconds):
        """Looks after it: True when it has all it should have, or found something."""
        ended = self.has_ended()
        for path in self.artifacts():
            if path not in self.findings:
                self.judge(path)
        if self.findings or is_done(self.progress(), self.cpu_sec, runs, seconds):
            if not ended:
                self.stop()
            return True
        if ended:
            if not self.was_slow() or self.n_restarts >= 20:
                self.findings.append(self.dir / "log")      # it ended and left nothing: what it said tells why
                return True
            self.n_restarts += 1
            self.before, self.cpu_before = self.progress(), self.cpu_sec
            self.start()
        return False


def is_slow(path):
    """An input of which the fuzzer says that it took long; it looked at the clock."""
    return path.name.startswith(("timeout-", "slow-unit-")) or path.parent.name == "hangs"


def takes_too_long(program, path):
    def limit():
        resource.setrlimit(resource.RLIMIT_CPU, (HANG_CPU_SEC, HANG_CPU_SEC + 1))
    r = subprocess.run([program, path], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=limit)
    return r.returncode != 0


class LibFuzzer(Fuzzer):
    def command(self):
        (self.dir / "corpus").mkdir(exist_ok=True)
        return [self.program, f"-dict={HERE}/dict/{self.target.dictionary}.dict", f"-max_len={self.target.max_size}", "-timeout=60",
                f"-rss_limit_mb={RSS_LIMIT_MB}", "-print_final_stats=1", "-reload=0", "-report_slow_units=60", f"-artifact_prefix={self.dir}/",
                self.dir / "corpus", self.tree]

    def environment(self):
        return {"TMPDIR": self.files.name}

    def log(self):
        """Its end, which is where the figures are: it grows with each new input."""
        with open(self.dir / "log", "rb") as f:
            f.seek(max(0, f.seek(0, os.SEEK_END) - LOG_TAIL))
            return f.read().decode(errors="replace")

    def read(self):
        return parse_libfuzzer(self.log())

    def was_slow(self):
        return "ERROR: libFuzzer: timeout" in self.log()

    def artifacts(self):
        return [p for kind in ("crash", "leak", "oom", "timeout", "slow-unit") for p in self.dir.glob(kind + "-*")]

    def corpus(self):
        return self.dir / "corpus"


class Afl(Fuzzer):
    def set_up(self):
        shutil.rmtree(self.dir / "afl", ignore_errors=True)

    def command(self):
        return ["afl-fuzz", "-i", self.tree, "-o", self.dir / "afl", "-x", f"{HERE}/dict/{self.target.dictionary}.dict",
                "-G", str(self.target.max_size), "-m", "none", "-t", "20000", "--", self.program]

    def environment(self):
        return {"TMPDIR": self.files.name, "AFL_NO_UI": "1", "AFL_SKIP_CPUFREQ": "1", "AFL_NO_AFFINITY": "1",
                "AFL_I_DONT_CARE_ABOUT_MISSING_CRASHES": "1", "AFL_NO_COLOR": "1", "AFL_FUZZER_STATS_UPDATE_INTERVAL": "1"}

    def read(self):
        try:
            return parse_afl((self.dir / "afl/default/fuzzer_stats").read_text())
        except OSError:
            return Progress()           # not yet

    def was_slow(self):
        return False

    def artifacts(self):
        return [p for kind in ("crashes", "hangs") for p in self.dir.glob(f"afl/default/{kind}/id*")]

    def corpus(self):
        return self.dir / "afl/default/queue"


def engine(program):
    code = program.read_bytes()
    if b"##SIG_AFL_PERSISTENT##" in code:
        return Afl
    if b"libFuzzer" not in code:
        sys.exit(f"{program} only replays its corpus: configure with --enable-fuzzers and CC=clang (libFuzzer) or CC=afl-clang-fast (AFL++)")
    return LibFuzzer


ROW = "{:<14}{:>12}{:>9}{:>10}{:>8}{:>8}  {}"


def row(name, progress, cpu_sec, n_inputs, findings):
    per_sec = progress.executions / cpu_sec if cpu_sec > 0 else 0
    return ROW.format(name, progress.executions, f"{cpu_sec:.0f}", f"{per_sec:.0f}", progress.edges, n_inputs,
                      " ".join(map(str, findings)) or "-")


def run(names, args):
    # What a script starts with "&" ignores the one, and the other would leave the fuzzers behind.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    print(ROW.format("target", "executions", "CPU s", "per s", "edges", "inputs", "findings"), flush=True)
    waiting, running, n_findings, n_executions, cpu = list(names), [], 0, 0, 0.0
    try:
        while waiting or running:
            while waiting and len(running) < args.jobs:
                name = waiting.pop(0)
                running.append(engine(args.build / "tests/fuzz" / f"fuzz-{name}")(name, args.build, args.out))
            time.sleep(min(POLL_SEC_MAX, 3 * args.minutes + 0.1))
            for f in [f for f in running if f.is_over(args.runs, 60 * args.minutes)]:
                running.remove(f)
                n_findings += len(f.findings)
                n_executions += f.progress().executions
                cpu += f.cpu_sec
                n_inputs = len(list(f.corpus().glob("*")))
                print(row(f.name, f.progress(), f.cpu_sec, n_inputs, f.findings), flush=True)
    finally:
        for f in running:
            f.stop()
            print(row(f.name, f.progress(), f.cpu_sec, len(list(f.corpus().glob("*"))), ["stopped"]), flush=True)
    print(f"{len(names)} targets, {n_executions} executions, {cpu:.0f} CPU seconds, {n_findings} findings")
    return 1 if n_findings else 0


def merge(names, args):
    """Inputs that reach edges no other does. Large ones stay away: whoever reads the tree reads them."""
    for name in names:
        tree, small = HERE / "corpus" / name, args.out / name / "small"
        shutil.rmtree(small, ignore_errors=True)
        small.mkdir(parents=True)
        for path in [*(args.out / name / "corpus").glob("*"), *(args.out / name / "afl/default/queue").glob("id*")]:
            if path.stat().st_size <= args.max_size:
                shutil.copy(path, small / hashlib.sha1(path.read_bytes()).hexdigest())
        before = set(tree.iterdir())
        subprocess.run([args.build / "tests/fuzz" / f"fuzz-{name}", "-merge=1", "-use_counters=0", "-max_len=1000000", tree, small],
                       check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        new = sorted(set(tree.iterdir()) - before)
        for path in new:
            path.rename(tree / f"found-{path.name[:8]}")
        print(f"{name:<14}{len(new):>5} new of {len(list(small.iterdir())):>5}, now {len(list(tree.iterdir()))}")
        shutil.rmtree(small)
    return 0


def parse_gcov(text, about):
    """Lines that were run, and lines, of one source file: gcov tells of every file that took part in its object."""
    for name, percent, n in re.findall(r"^File '(.*)'\nLines executed:([\d.]+)% of (\d+)", text, re.M):
        if name == about or name.endswith("/" + about):
            return round(float(percent) * int(n) / 100), int(n)
    return 0, 0


def coverage(names, args):
    print(f'{"target":<14}{"inputs":>7}{"lines":>7}{"of":>7}{"":>8}')
    for name in names:
        for path in args.build.rglob("*.gcda"):
            path.unlink()
        inputs = [*(HERE / "corpus" / name).iterdir(), *(args.out / name / "corpus").glob("*")]
        for i in range(0, len(inputs), 500):
            subprocess.run([args.build / "tests/fuzz" / f"fuzz-{name}", *inputs[i:i + 500]], check=True, stdout=subprocess.DEVNULL)
        rows = []
        for about in TARGETS[name].about.split():
            text = subprocess.run([os.environ.get("GCOV", "gcov"), "-n", "-o", about.replace(".c", ".o"), about], cwd=args.build,
                                  stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
            rows.append((about, *parse_gcov(text, about)))
        if any(n == 0 for _, _, n in rows):
            print(f"{args.build}: not built with --enable-coverage and gcc", file=sys.stderr)
            return 1
        n_run, n = sum(r[1] for r in rows), sum(r[2] for r in rows)
        print(f"{name:<14}{len(inputs):>7}{n_run:>7}{n:>7}{100 * n_run / n:>7.1f}%", flush=True)
        if args.files:
            for about, n_run, n in rows:
                print(f'{"":<14}{"":>7}{n_run:>7}{n:>7}{100 * n_run / n:>7.1f}%  {about}')
    return 0


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10, help="CPU time of each target at least")
    parser.add_argument("--runs", type=int, default=1000000, help="executions of each target at least")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="targets at once")
    parser.add_argument("--build", type=lambda s: pathlib.Path(s).resolve(), default=".", help="the tree that was built")
    parser.add_argument("--out", type=lambda s: pathlib.Path(s).resolve(), default="tests/fuzz/out", help="corpora, logs and findings")
    parser.add_argument("--merge", action="store_true")
    parser.add_argument("--max-size", type=int, default=2048, help="of an input that --merge takes")
    parser.add_argument("--coverage", action="store_true")
    parser.add_argument("--files", action="store_true", help="--coverage: a line per file, too")
    parser.add_argument("targets", nargs="*", metavar="TARGET", choices=[[], *TARGETS])
    args = parser.parse_args(arguments)
    names = args.targets or list(TARGETS)
    if args.merge:
        return merge(names, args)
    return coverage(names, args) if args.coverage else run(names, args)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
