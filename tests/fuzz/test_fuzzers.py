# SPDX-License-Identifier: BSD-2-Clause
"""What runs the fuzzers: its parsing, when it stops, its judgement; and that each target has all that it needs."""

import os
import pathlib
import re
import sys

import pytest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
sys.dont_write_bytecode = True

import fuzzers  # noqa: E402
import mutate  # noqa: E402
from fuzzers import Progress, TARGETS  # noqa: E402

RUNNING = """INFO: Seed: 1
INFO: -max_len is not provided
#17\tINITED cov: 102 ft: 180 corp: 12/1Kb exec/s: 0 rss: 31Mb
#4096\tpulse  cov: 130 ft: 401 corp: 30/2Kb lim: 43 exec/s: 2048 rss: 34Mb
#5100\tREDUCE cov: 131 ft: 402 corp: 31/2Kb lim: 43 exec/s: 2000 rss: 34Mb L: 5/90 MS: 1 EraseBytes-
"""
STATS = """run_time          : 60
execs_done        : 496181
edges_found       : 167
saved_crashes     : 0
"""


def test_reads_what_libfuzzer_has_done_so_far_and_in_the_end():
    assert fuzzers.parse_libfuzzer("") == Progress(0, 0)
    assert fuzzers.parse_libfuzzer(RUNNING) == Progress(5100, 131)
    assert fuzzers.parse_libfuzzer(RUNNING + "stat::number_of_executed_units: 6001\n") == Progress(6001, 131)
    # What a target prints is no progress.
    assert fuzzers.parse_libfuzzer("a #99 cov: 7\n") == Progress(0, 0)


def test_reads_what_afl_has_done():
    assert fuzzers.parse_afl(STATS) == Progress(496181, 167)
    assert fuzzers.parse_afl("") == Progress(0, 0)


def test_cpu_time_is_of_the_process_and_of_its_children():
    # The name of a process may have blanks and brackets.
    line = "42 (a) b) R 7 42 42 0 -1 4194304 1 2 3 4 100 20 3 4 39 19 1 0 500 1000 10"
    assert fuzzers.parse_stat(line) == (42, 7, 127)
    assert fuzzers.tree_cpu_sec(os.getpid()) > 0


@pytest.mark.parametrize("executions, cpu_sec, over", [(99, 600, False), (100, 599, False), (100, 600, True), (10**9, 1, False)])
def test_a_target_is_done_with_its_time_and_its_executions(executions, cpu_sec, over):
    assert fuzzers.is_done(Progress(executions), cpu_sec, 100, 600) == over


def test_reads_the_lines_of_the_one_file():
    text = ("File '/usr/include/x.h'\nLines executed:50.00% of 2\nNo branches\n\n"
            "File '../src/core/msg.c'\nLines executed:98.77% of 162\nCreating 'msg.c.gcov'\n")
    assert fuzzers.parse_gcov(text, "src/core/msg.c") == (160, 162)
    assert fuzzers.parse_gcov(text, "src/core/proto.c") == (0, 0)


def test_slow_for_the_clock_is_judged_by_cpu_time():
    assert fuzzers.is_slow(pathlib.Path("x/timeout-da39a3ee")) and fuzzers.is_slow(pathlib.Path("x/slow-unit-da39a3ee"))
    assert fuzzers.is_slow(pathlib.Path("x/hangs/id:000000,src:000000"))
    assert not fuzzers.is_slow(pathlib.Path("x/crash-da39a3ee")) and not fuzzers.is_slow(pathlib.Path("x/crashes/id:000000,sig:06"))


def test_a_finding_is_told(tmp_path):
    """A target that fails at once, in the place of a real one."""
    program = tmp_path / "build/tests/fuzz/fuzz-address"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n# libFuzzer\necho '#7 NEW cov: 3 ft: 3'; touch crash-1; exit 77\n")
    program.chmod(0o755)
    assert fuzzers.main(["--build", str(tmp_path / "build"), "--out", str(tmp_path / "out"), "address"]) == 1
    # And so is one that ends and leaves nothing.
    program.write_text("#!/bin/sh\n# libFuzzer\nexit 1\n")
    assert fuzzers.main(["--build", str(tmp_path / "build"), "--out", str(tmp_path / "out2"), "address"]) == 1
    # One that does its work until it is told to stop.
    program.write_text("#!/bin/sh\n# libFuzzer\ntrap 'echo stat::number_of_executed_units: 9; exit 0' TERM\n"
                       "echo '#8 pulse cov: 3 ft: 3'; while :; do :; done\n")
    assert fuzzers.main(["--build", str(tmp_path / "build"), "--out", str(tmp_path / "out3"), "--runs=8", "--minutes=0", "address"]) == 0


def test_every_target_has_a_program_a_corpus_and_a_dictionary():
    assert sorted(TARGETS) == sorted(p.stem[5:] for p in HERE.glob("fuzz-*.c"))
    assert sorted(TARGETS) == sorted(p.name for p in (HERE / "corpus").iterdir())
    for name, target in TARGETS.items():
        assert (HERE / "dict" / f"{target.dictionary}.dict").exists(), name
        assert all((fuzzers.SOURCE / path).exists() for path in target.about.split()), name
    # 1 MiB of seeds is what a reader of the tree may be asked to take along.
    assert sum(p.stat().st_size for p in (HERE / "corpus").rglob("*") if p.is_file()) <= 1 << 20


@pytest.mark.parametrize("path", sorted((HERE / "dict").iterdir()), ids=lambda p: p.stem)
def test_a_dictionary_is_one(path):
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    assert lines and len(lines) == len(set(lines))
    for line in lines:
        assert re.fullmatch(r'"([ -!#-\[\]-~]|\\x[0-9a-f]{2})+"', line), line
    assert path.stem in {t.dictionary for t in TARGETS.values()}


# ---- what is thrown at a daemon ----

def make_mutator(seed):
    return mutate.Mutator(seed, [b"GET RFC 7 P2P-DI/1.0\r\nHost: a\r\n\r\n", b"nothing\n"], [b"word", b"\0"])


def test_one_seed_gives_one_sequence():
    a, b, other = make_mutator(1), make_mutator(1), make_mutator(2)
    first = [a.delivery() for _ in range(200)]
    assert first == [b.delivery() for _ in range(200)]
    assert first != [other.delivery() for _ in range(200)]
    assert {d.way for d in first} == set(mutate.WAYS)
    assert all(len(b"".join(d.parts)) <= 5 * mutate.MESSAGE_MAX for d in first)


def test_some_messages_are_right_and_most_are_not():
    m = make_mutator(3)
    n_right = sum(m.message() in m.seeds for _ in range(1000))
    assert 100 < n_right < 500


def test_cut_anew_it_is_the_same():
    for seed in range(50):
        d = make_mutator(seed).delivery()
        assert d.way != "bytewise" or all(len(part) == 1 for part in d.parts[:-1])
        assert d.way == "pieces" or d.way == "bytewise" or len(d.parts) == 1


def test_reads_a_dictionary():
    assert mutate.dictionary('# "no"\n"a\\x0a"\nname="b"\n') == [b"a\n", b"b"]
