# SPDX-License-Identifier: BSD-2-Clause
"""The soak's own arithmetic, and that it sees what it is to see: what make check runs of it."""

import csv
import hashlib
import json
import os
import random
import subprocess
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "bench"), os.path.join(HERE, "..", "system")]
sys.dont_write_bytecode = True

import actors  # noqa: E402
import figures  # noqa: E402
import group  # noqa: E402
import loads  # noqa: E402
import p2pdi  # noqa: E402
import programs  # noqa: E402
from actor import Wrong  # noqa: E402
from figures import Kind, Process  # noqa: E402

# As samples of the second half of a quarter of an hour.
TIMES = [5.0 * i for i in range(90)]


# ---- latencies ----

def test_percentiles_are_of_what_was_measured():
    times = {10: 50, 20: 49, 1000: 1}
    assert [figures.percentile(times, p) for p in (0.5, 0.51, 0.99, 0.999, 1)] == [10, 20, 20, 1000, 1000]
    assert figures.percentile({}, 0.5) is None


def test_kinds_add_up():
    kind = Kind("Get")
    kind.add([[10, 1], [20, 2]])
    kind.add([[20, 1]], failed=3)
    assert (kind.times, kind.n, kind.failed) == ({10: 1, 20: 3}, 4, 3)
    rows = figures.kind_rows([kind, Kind("List", {1500000: 6}), Kind("none")], 2)
    assert rows[1] == ("Get", "4", "2.0", "0.02", "0.02", "0.02", "0.02", "3")
    assert rows[2][:4] == ("List", "6", "3.0", "1,500") and rows[3][1:4] == ("0", "0.0", "-")
    assert rows[4] == ("all", "10", "5.0", "1,500", "1,500", "1,500", "1,500", "3")


# ---- memory ----

def noise(seed, size, keep=0.0):
    """Samples around 0. keep: how much of one is in the next."""
    draw, found = random.Random(seed), [0.0]
    for _ in TIMES[1:]:
        found.append(keep * found[-1] + draw.gauss(0, size))
    return found


def samples(per_minute, around):
    return [(t, 20000 + per_minute * t / 60 + e) for t, e in zip(TIMES, around)]


def test_a_line_is_found_exactly():
    t = figures.trend(samples(600, [0] * len(TIMES)))
    assert abs(t.slope - 600) < 1e-6 and t.error < 1e-6 and t.grows
    assert abs(t.per_hour - 600 * 60 * 1024) < 1 and abs(t.minutes - 89 / 12) < 1e-6


@pytest.mark.parametrize("seed", range(5))
def test_what_does_not_grow_is_flat(seed):
    for around in (noise(seed, 200), noise(seed, 100, keep=0.9), [0] * len(TIMES), [0 if t < 200 else 800 for t in TIMES]):
        assert not figures.trend(samples(0, around)).grows
    # Within the bounds, however sure: a tenth in this time, or a megabyte an hour.
    assert not figures.trend(samples(250, [0] * len(TIMES))).grows
    assert not figures.trend([(t, 10 + 16 * t / 60) for t in TIMES]).grows and figures.trend([(t, 10 + 18 * t / 60) for t in TIMES]).grows
    assert not figures.trend(samples(-500, noise(seed, 200))).grows


@pytest.mark.parametrize("seed", range(5))
def test_what_grows_is_seen(seed):
    # 32 bytes of each of 10,000 requests a second are 19 MB a minute; this is a fortieth of that.
    for around in (noise(seed, 100), noise(seed, 40, keep=0.8), [-(t / 60 * 450 % 132) for t in TIMES]):
        assert figures.trend(samples(450, around)).grows


def test_neighbours_that_agree_make_less_sure():
    sure, less = (figures.trend(samples(0, noise(1, size, keep))) for size, keep in ((100, 0), (100, 0.95)))
    assert less.error > 5 * sure.error


def test_too_little_is_no_trend():
    assert figures.trend(samples(10, noise(1, 1))[:11]) is None
    assert figures.trend([(t / 10, y) for t, y in samples(10, noise(1, 1))]) is None


def test_processes_tell_what_is_wrong():
    def process(name, per_minute, judged=True, rest=(17, 17)):
        return Process(name, [(2 * t, y, 40, 2, t / 10) for t, y in samples(per_minute, [0] * len(TIMES))], judged, rest)
    eve = process("eve", 600, judged=False)
    assert process("rs", 0).problems == [] == eve.problems and figures.process_row(eve)[4:6] == ("+300.00 ± 0.00", "-")
    assert "bob grows by 27.6 MB an hour" in process("bob", 900).problems[0]
    assert process("bob", 0, rest=(17, 18)).problems == ["bob had 17 descriptors at rest before, and has 18 after it"]
    rows = figures.process_rows([process("rs", 0), process("bob", 900)])
    assert rows[1][0:4] == ("rs", "19.5", "19.5", "19.5") and rows[1][5:] == ("yes", "40", "17 17", "2", "5%")
    assert rows[2][5] == "NO" and len(figures.aligned(rows).split("\n")) == 3


def test_cpu_of_what_was_restarted_counts_on():
    p = Process("eve", [(0, 1, 1, 1, 5.0), (10, 1, 1, 1, 6.0), (20, 1, 1, 1, 0.5), (30, 1, 1, 1, 2.5)], False)
    assert figures.process_row(p)[-1] == "10%" and figures.process_row(p)[5] == "-"


def test_tables_are_written(tmp_path):
    figures.write_csv(tmp_path / "t.csv", figures.kind_rows([Kind("Get, all", {5: 1})], 1))
    with open(tmp_path / "t.csv", encoding="utf-8", newline="") as f:
        assert [row["EXCHANGE"] for row in csv.DictReader(f)] == ["Get, all", "all"]


# ---- what is seen of the daemons ----

def test_warnings_are_problems_unless_they_are_expected():
    w = group.Watch()
    w.on_entry(7, b"MESSAGE=A connection ended because this host could not go on with it.\nPRIORITY=4\n")
    w.on_entry(7, b"MESSAGE=RFC 7 served.\nPRIORITY=6\n")
    w.on_entry(7, b"MESSAGE=127.0.0.1:1 lists this peer under a loopback address: no other host can reach it.\nPRIORITY=4\n")
    w.on_entry(8, b"MESSAGE=Could not take a connection: no.\nPRIORITY=3\n")
    w.names[7] = "bob"          # known a moment after the first that it says
    assert [p.split(" ", 1)[1] for p in w.problems] == [
        "bob logged: A connection ended because this host could not go on with it.", "8 logged: Could not take a connection: no."]
    assert w.n_expected == 1


def test_descriptors_that_are_connections_are_told_apart():
    pid = os.getpid()
    resting = group.at_rest(pid)
    with p2pdi.socket.create_server(("127.0.0.1", 0)) as listener, p2pdi.socket.create_connection(listener.getsockname()), open(os.devnull, "rb"):
        assert group.at_rest(pid) == resting + 2
        n = group.descriptors(pid)
        assert n >= resting + 3 and group.rested(pid, n, 0) == group.rested(pid, n - 1, 0) == n


# ---- clients see what is wrong ----

def scene(holder, **more):
    peer = {"address": (holder.address, holder.port), "control": "", "library": ""}
    return {"rs": peer, "peers": {"carol": peer, "eve": peer, "bob": peer}, "churned": [], "of_eve": [7], "of_bob": [7],
            "documents": {7: (4000, hashlib.sha256(p2pdi.document(7)).hexdigest(), "")}, **more}


class Holder(p2pdi.FakePeer):
    """With all that an answer has to have."""

    @staticmethod
    def head(status, length=0, **headers):
        return p2pdi.FakePeer.head(status, length, Date="Fri, 27 Nov 2026 06:00:00 GMT", **headers)


@pytest.fixture
def holder():
    fake = Holder({7: p2pdi.document(7)})
    yield fake
    fake.close()


def test_other_bytes_are_seen(holder):
    actor = actors.ACTORS["restarted"](scene(holder))
    actor.step()
    holder.documents[7] = p2pdi.flip(p2pdi.document(7), 100)
    with pytest.raises(Wrong, match="RFC 7 has other bytes"):
        actor.step()
    holder.documents = {}
    with pytest.raises(Wrong, match="404"):
        actor.step()
    assert sum(n for _, n in actor.said()["kinds"]["GetRFC of a peer that restarts"]["times"]) == 3


def test_an_index_that_is_not_what_it_says_is_seen(holder):
    follower = actors.ACTORS["follower"](scene(holder))
    follower.begin()
    follower.step()
    assert list(follower.copy) == [7]
    follower.end()
    holder.statements[7] = holder.record(7, p2pdi.document(7, seed=1))
    follower.begin()
    with pytest.raises(Wrong):
        follower.step()
    follower.end()


def test_a_client_counts_tells_and_goes_on(holder):
    actor = actors.ACTORS["restarted"](scene(holder, of_eve=[8], documents={8: (1, "", "")}))
    for _ in range(30):
        try:
            actor.step()
        except Wrong as e:
            actor.fail(e)
    said = json.loads(json.dumps(actor.said()))
    assert said["kinds"]["restarted"]["failed"] == 30 and len(said["told"]) == 20


def test_load_is_given_what_must_be_answered(holder, tmp_path):
    corpus = programs.Corpus.made_up(8, str(tmp_path))
    bob = (holder.address, holder.port)
    for n in corpus.numbers:
        with open(corpus.path(n), "rb") as f:
            holder.documents[n] = f.read()
    chosen = [kind for kind in loads.of_documents(corpus, bob, bob, corpus.numbers, corpus.numbers) if kind.kind == "GetRFC, a connection each"]
    (load, arguments), = loads.write(chosen, str(tmp_path), [])
    command = [p2pdi.program("tests/bench/load"), *arguments, "--count=16"]
    said = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    assert (load.keep, said["requests"], said["failed"]) == (False, 16, 0)
    holder.documents[3] = p2pdi.flip(holder.documents[3], 0)
    assert json.loads(subprocess.run(command, capture_output=True, check=True).stdout)["failed"] == 2
