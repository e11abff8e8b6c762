# SPDX-License-Identifier: BSD-2-Clause
"""The benchmarks' own arithmetic, parsing and client, without any goal: what make check runs of them."""

import csv
import json
import os
import shutil
import socket
import struct
import subprocess
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "system")]
sys.dont_write_bytecode = True

import bench  # noqa: E402
import harness  # noqa: E402
import programs  # noqa: E402
from harness import Figure, Line, Row, Scene, Skip  # noqa: E402
from p2pdi.base import PATIENCE, program  # noqa: E402
from p2pdi.documents import sha256  # noqa: E402
from p2pdi.fakes import FakePeer  # noqa: E402
from p2pdi.wire import request  # noqa: E402

AT_MOST = Figure("cpu", "CPU", "µs", 0.95)
AT_LEAST = Figure("rate", "rate", "1/s", 1.0, at_least=True)
ABSOLUTE = Figure("size", "size", "B", 100, of_ratio=False)
PLAIN = Figure("took", "took", "s")


def rounds(key, *values):
    return [{key: v} for v in values]


def test_ratio_is_the_median_of_pairs_not_of_medians():
    line = harness.judge("row", AT_MOST, rounds("cpu", 1, 10, 3), rounds("cpu", 2, 5, 4))
    assert (line.ours, line.theirs, line.ratio) == (3, 4, 0.75)
    # The pairs give 0.5, 2, 0.75; the medians would give 0.75 too, but not here:
    line = harness.judge("row", AT_MOST, rounds("cpu", 1, 10, 3), rounds("cpu", 1, 4, 6))
    assert (line.ours, line.theirs, line.ratio) == (3, 4, 1)


@pytest.mark.parametrize("figure,ours,theirs,verdict", [
    (AT_MOST, 95, 100, "yes"), (AT_MOST, 96, 100, "NO"), (AT_LEAST, 100, 100, "yes"), (AT_LEAST, 99, 100, "NO"),
    (ABSOLUTE, 100, None, "yes"), (ABSOLUTE, 101, None, "NO"), (PLAIN, 1, 2, "-"), (AT_MOST, 1, None, "-")])
def test_goals(figure, ours, theirs, verdict):
    other = rounds(figure.key, theirs) if theirs else []
    assert harness.judge("row", figure, rounds(figure.key, ours), other).verdict == verdict


def test_a_round_that_lacks_a_side_is_no_figure():
    with pytest.raises(AssertionError):
        harness.judge("row", AT_MOST, rounds("cpu", 1, 2), rounds("cpu", 1))


def test_numbers_have_three_digits_that_count():
    shown = [harness.number(v) for v in (None, 0, 0.000123, 0.5, 1.0, 12.34, 99.96, 123.4, 1234567, float("inf"))]
    assert shown == ["-", "0", "0.000123", "0.5", "1", "12.3", "100", "123", "1,234,567", "inf"]


def test_a_figure_may_lack_its_program():
    figure = Figure("cpu", "CPU", "µs", 0.95, needs=("no-such-program-of-ours",))
    line = harness.judge("row", figure, rounds("cpu", 1), [{}])
    assert line.verdict == "skipped" and "no-such-program-of-ours" in line.note


class World:
    """Counts what is begun and ended."""

    log = []


class Place(Scene):
    def __init__(self, b):
        super().__init__(b)
        World.log.append("scene")

    def close(self):
        World.log.append("end of scene")


class First(Row):
    name = "first"
    scene_type = Place
    figures = (AT_MOST,)
    raised = {"Limits.RatePerSource": 0}

    def ours(self):
        World.log.append("ours")
        return {"cpu": 1}

    def theirs(self):
        World.log.append("theirs")
        return {"cpu": 2}

    def teardown(self):
        World.log.append("teardown")


class Second(First):
    name = "second"

    def setup(self):
        raise Skip("not here")


class Lacking(First):
    name = "lacking"
    needs = ("no-such-program-of-ours",)


class Broken(Row):
    name = "broken"
    figures = (PLAIN,)

    def ours(self):
        raise ValueError("went wrong")


def test_sides_take_turns_and_scenes_end(capsys):
    World.log = []
    told = []
    lines = harness.run_rows(None, [First, Second, Lacking, Broken], 2, lambda new, _: told.extend(new))
    assert World.log == ["scene", "ours", "theirs", "theirs", "ours", "teardown", "teardown", "end of scene"]
    assert told == lines
    assert [line.verdict for line in lines] == ["yes", "skipped", "skipped", "FAILED"]
    assert lines[0].note == "Limits.RatePerSource=0" and lines[1].note == "not here"
    assert "no-such-program-of-ours" in lines[2].note and "went wrong" in lines[3].note
    assert "went wrong" in capsys.readouterr().err


def some_lines():
    return [Line("a", AT_MOST, 1, 2, 0.5), Line("b", ABSOLUTE, 250, note="Server.Threads=1"), Line("c", AT_LEAST, note="no wrk")]


def test_table_and_csv_tell_all(tmp_path):
    text = harness.table(some_lines())
    rows = [line.split() for line in text.split("\n")[:4]]
    assert rows[0] == list(harness.HEAD)
    assert rows[1] == ["a", "CPU", "µs", "1", "2", "0.5", "≤", "0.95×", "yes"]
    assert rows[2] == ["b", "size", "B", "250", "-", "-", "≤", "100", "NO"]
    assert rows[3] == ["c", "rate", "1/s", "-", "-", "-", "≥", "1×", "skipped"]
    assert "b: Server.Threads=1" in text and "c: no wrk" in text
    assert "1 goals reached, 1 missed, 1 skipped, 0 failed, 0 figures without a goal" in text
    harness.write_csv(some_lines(), tmp_path / "t.csv")
    with open(tmp_path / "t.csv", encoding="utf-8", newline="") as f:
        found = list(csv.DictReader(f))
    assert [(r["row"], r["ours"], r["theirs"], r["ratio"], r["goal_is"], r["pass"]) for r in found] == [
        ("a", "1", "2", "0.5", "at most, of ratio", "yes"), ("b", "250", "", "", "at most, of ours", "NO"),
        ("c", "", "", "", "at least, of ratio", "skipped")]


def test_bars_are_parts_of_the_goal():
    lines = some_lines() + [Line("d", AT_LEAST, 1, 2, 0.5), Line("e", PLAIN, 3)]
    assert [(label, round(part, 3), good) for label, part, good in bench.bars(lines)] == [
        ("a: CPU", 0.526, True), ("b: size", 2.5, False), ("d: rate", 2.0, False)]


def test_svg(tmp_path):
    why = bench.plot(some_lines(), str(tmp_path))
    if not shutil.which("gnuplot"):
        assert "no gnuplot" in why
        pytest.skip(why)
    assert why is None
    svg = (tmp_path / "bench.svg").read_text(encoding="utf-8")
    assert "a: CPU" in svg and "b: size" in svg and "c: rate" not in svg


def test_every_row_is_found_and_well_formed():
    rows = bench.rows_of(HERE)
    names = [r.name for r in rows]
    assert len(set(names)) == len(names) and "http-close-3k" in names and "rs-pquery-keep" in names
    for r in rows:
        assert r.figures and r.rounds >= harness.ROUNDS
        assert r.has_theirs or not any(f.goal and f.of_ratio for f in r.figures), r.name
        assert len({f.key for f in r.figures}) == len(r.figures)
    assert [r.name for r in bench.choose(rows, ["http-close-*"])] == ["http-close-3k", "http-close-35k", "http-close-200k"]
    with pytest.raises(SystemExit, match="no row is called 'htp'"):
        bench.choose(rows, ["htp"])


WRK = """Running 2s test @ http://127.0.0.1:1/rfc/rfc3.txt
  1 threads and 32 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.04ms    1.05ms  15.29ms   88.79%
    Req/Sec    32.91k     2.18k   36.32k    80.95%
  69080 requests in 2.10s, 214.63MB read
"""


def test_wrk_is_understood():
    assert programs.parse_wrk(WRK) == (69080, 2.1, 0)
    assert programs.parse_wrk(WRK.replace("2.10s", "1.50m") + "  Non-2xx or 3xx responses: 7\n"
                              "  Socket errors: connect 0, read 1, write 2, timeout 3\n") == (69080, 90, 13)
    with pytest.raises(ValueError):
        programs.parse_wrk("unable to connect to 127.0.0.1:1 Connection refused\n")


def test_made_up_documents_are_like_real_ones(tmp_path):
    sizes = sorted(programs.size_at((i + 0.5) / 9148) for i in range(9148))
    assert 118 <= sizes[0] < 200 and 34000 < sizes[4574] < 36000 and 1500000 < sizes[-1] <= 1600000
    assert 290000 < sizes[int(0.99 * 9148)] < 320000
    assert 470e6 < sum(sizes) < 490e6
    corpus = programs.Corpus.made_up(20, str(tmp_path))
    assert len(corpus.digests) == len(set(corpus.digests.values())) == 20
    assert corpus.size == sum(os.path.getsize(tmp_path / f) for f in os.listdir(tmp_path))
    corpus.compare(str(tmp_path))
    with open(corpus.path(3), "r+b") as f:
        f.write(b"s")
    with pytest.raises(AssertionError, match="rfc3.txt"):
        corpus.compare(str(tmp_path))


def test_cpu_clock_counts_work():
    before = programs.cpu_seconds([os.getpid()])
    while programs.cpu_seconds([os.getpid()]) - before < 0.02:
        pass
    # This thread's own clock is part of it.
    assert programs.cpu_seconds([os.getpid()]) > 0.02


# ---- the C programs ----

def load(*arguments):
    done = subprocess.run([program("tests/bench/load"), *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    return done.returncode, json.loads(done.stdout) if done.stdout else None


@pytest.fixture
def holder():
    fake = FakePeer({1: b"a\n" * 40000, 2: b"b\n" * 10}, address="127.0.0.2")
    yield fake
    fake.close()


def requests(tmp_path, *pairs):
    programs.write_requests(tmp_path / "requests", [(source, request(line)) for source, line in pairs])
    return f"--requests={tmp_path / 'requests'}"


def test_load_reads_whole_answers_in_turn(holder, tmp_path):
    given = requests(tmp_path, ("127.0.0.1", "GET RFC 1"), ("127.0.0.3", "GET RFC 2"))
    code, said = load(f"--connect={holder.text}", given, "--count=20", "--connections=3")
    assert code == 0 and (said["requests"], said["failed"]) == (20, 0)
    assert said["body_lines"] == 10 * 40000 + 10 * 10
    assert said["bytes"] > 2 * said["body_lines"] and 0 < said["p50_usec"] <= said["p99_usec"] <= said["max_usec"]
    assert holder.connections == 20 and holder.count("GET RFC 1 ") == holder.count("GET RFC 2 ") == 10


def test_load_counts_what_fails(holder, tmp_path):
    given = requests(tmp_path, ("127.0.0.1", "GET RFC 1"), ("127.0.0.1", "GET RFC 9"))
    code, said = load(f"--connect={holder.text}", given, "--count=10")
    assert code == 0 and (said["requests"], said["failed"]) == (5, 5)
    # A connection that its other end closes after each answer can't be kept.
    code, said = load(f"--connect={holder.text}", requests(tmp_path, ("127.0.0.1", "GET RFC 2")), "--count=10", "--keep")
    assert code == 0 and (said["requests"], said["failed"]) == (5, 5)


@pytest.mark.parametrize("line,expected,failed,why", [
    ("GET RFC 2", (200, sha256(b"b\n" * 10)), 0, ""), ("GET RFC 9", (404,), 0, ""), ("GET RFC 2", (304,), 3, "its status is another one"),
    ("GET RFC 2", (200, sha256(b"c\n" * 10)), 3, "its body is another one")])
def test_load_holds_answers_to_status_and_digest(holder, tmp_path, line, expected, failed, why):
    programs.write_requests(tmp_path / "requests", [("127.0.0.1", request(line), *expected)])
    done = subprocess.run([program("tests/bench/load"), f"--connect={holder.text}", f"--requests={tmp_path / 'requests'}", "--count=3", "--times"],
                          capture_output=True, text=True, check=True)
    said = json.loads(done.stdout)
    assert (said["requests"], said["failed"]) == (3 - failed, failed)
    assert done.stderr.count(why) == failed if why else done.stderr == ""
    # All times, and none twice.
    assert sum(n for _, n in said["times"]) == said["requests"] and len(dict(said["times"])) == len(said["times"])
    assert max((usec for usec, _ in said["times"]), default=0) == said["max_usec"]


@pytest.mark.parametrize("expected", ["127.0.0.1 5 200 abc\nbytes", "127.0.0.1 5 200 " + "g" * 64 + "\nbytes", "127.0.0.1 6\nbytes", "::1 5\nbytes", "5\nbytes"])
def test_load_refuses_a_file_that_makes_no_sense(tmp_path, expected):
    (tmp_path / "requests").write_text(expected)
    done = subprocess.run([program("tests/bench/load"), "--connect=127.0.0.1:1", f"--requests={tmp_path / 'requests'}"], capture_output=True, text=True)
    assert done.returncode == 1 and "Bad message" in done.stderr


def test_load_follows_a_last_answer_with_a_new_connection(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        given = requests(tmp_path, ("127.0.0.4", "GET RFC 1"))
        process = subprocess.Popen([program("tests/bench/load"), f"--connect=127.0.0.1:{listener.getsockname()[1]}", given,
                                    "--count=2", "--keep"], stdout=subprocess.PIPE)
        for _ in range(2):
            connection, _ = listener.accept()
            with connection:
                assert connection.recv(1000).endswith(b"\r\n\r\n")
                connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
        said = json.loads(process.communicate(timeout=PATIENCE)[0])
    assert (said["requests"], said["failed"]) == (2, 0)


def test_load_keeps_connections(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        given = requests(tmp_path, ("127.0.0.4", "GET RFC 1"))
        process = subprocess.Popen([program("tests/bench/load"), f"--connect=127.0.0.1:{listener.getsockname()[1]}", given,
                                    "--count=3", "--keep"], stdout=subprocess.PIPE)
        connection, address = listener.accept()
        with connection:
            assert address[0] == "127.0.0.4"
            for _ in range(3):
                assert connection.recv(1000).endswith(b"\r\n\r\n")
                # Head and body as they may come: in pieces.
                for piece in (b"HTTP/1.1 200 OK\r\nContent-Le", b"ngth: 4\r\n\r", b"\n1\n", b"2\n"):
                    connection.sendall(piece)
            said = json.loads(process.communicate(timeout=PATIENCE)[0])
    assert (said["requests"], said["failed"], said["body_lines"]) == (3, 0, 6)


@pytest.mark.parametrize("before,after,cut", [(0, 2, True), (1, 1, True), (1, 2, True), (0, 0, False), (2, 2, False)])
def test_load_counts_apart_what_a_restart_cuts(tmp_path, before, after, cut):
    """The restarts that there were as the connection was made, and as it broke."""
    counter = tmp_path / "restarts"
    counter.write_bytes(struct.pack("=I", before))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        process = subprocess.Popen([program("tests/bench/load"), f"--connect=127.0.0.1:{listener.getsockname()[1]}",
                                    requests(tmp_path, ("127.0.0.4", "GET RFC 1")), "--count=2", "--keep", f"--restarts={counter}"],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        connection, _ = listener.accept()
        with connection:
            assert connection.recv(1000).endswith(b"\r\n\r\n")
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
            with open(counter, "r+b") as f:
                f.write(struct.pack("=I", after))
        connection, _ = listener.accept()
        with connection:            # another answer is wrong, whatever is restarted
            assert connection.recv(1000).endswith(b"\r\n\r\n")
            connection.sendall(b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n")
        out, err = process.communicate(timeout=PATIENCE)
    said = json.loads(out)
    assert (said["requests"], said["failed"], said["cut"]) == (0, 1 + (not cut), cut)
    assert (b"closed" in err) != cut and b"its status is another one" in err


def test_index_is_measured_whole():
    done = subprocess.run([program("tests/bench/bench-index"), "--numbers=50", "--holders=3"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    # A sanitizer's malloc() does not tell how much is in use.
    assert said["records"] == 150 and all(v > 0 for k, v in said.items() if k != "bytes"), said
