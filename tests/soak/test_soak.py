# SPDX-License-Identifier: BSD-2-Clause
"""The soak's own arithmetic, and that it sees what it is to see: what make check runs of it."""

import csv
import hashlib
import json
import os
import random
import socket
import subprocess
import sys
import types

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "bench"), os.path.join(HERE, "..", "system")]
sys.dont_write_bytecode = True

import actors  # noqa: E402
import figures  # noqa: E402
import group  # noqa: E402
import loads  # noqa: E402
import programs  # noqa: E402
import rounds  # noqa: E402
from actor import Wrong  # noqa: E402
from figures import Kind, Process  # noqa: E402
from p2pdi.base import program, until  # noqa: E402
from p2pdi.documents import document, flip  # noqa: E402
from p2pdi.fakes import FakePeer, FakeServer  # noqa: E402
from p2pdi.wire import Closed, Wire  # noqa: E402
from restarts import Restarts  # noqa: E402

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
    kind.add([[20, 1]], failed=3, cut=5)
    assert (kind.times, kind.n, kind.failed, kind.cut) == ({10: 1, 20: 3}, 4, 3, 5)
    rows = figures.kind_rows([kind, Kind("List", {1500000: 6}), Kind("none")], 2)
    assert rows[1] == ("Get", "4", "2.0", "0.02", "0.02", "0.02", "0.02", "5", "3")
    assert rows[2][:4] == ("List", "6", "3.0", "1,500") and rows[3][1:4] == ("0", "0.0", "-")
    assert rows[4] == ("all", "10", "5.0", "1,500", "1,500", "1,500", "1,500", "5", "3")


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
        return Process(name, [(2 * t, y, 40, 2, t / 10) for t, y in samples(per_minute, [0] * len(TIMES))], judged, rest,
                       None if name == "rs" else (280, 281))
    eve = process("eve", 600, judged=False)
    assert process("rs", 0).problems == [] == eve.problems and figures.process_row(eve)[4:6] == ("+300.00 ± 0.00", "-")
    assert "bob grows by 27.6 MB an hour" in process("bob", 900).problems[0]
    assert process("bob", 0, rest=(17, 18)).problems == ["bob had 17 descriptors at rest before, and has 18 after it"]
    rows = figures.process_rows([process("rs", 0), process("bob", 900)])
    assert rows[1][0:4] == ("rs", "19.5", "19.5", "19.5") and rows[1][5:] == ("yes", "-", "40", "17 17", "2", "5%")
    assert rows[2][5:7] == ("NO", "280 281") and len(figures.aligned(rows).split("\n")) == 3


def test_cpu_of_what_was_restarted_counts_on():
    p = Process("eve", [(0, 1, 1, 1, 5.0), (10, 1, 1, 1, 6.0), (20, 1, 1, 1, 0.5), (30, 1, 1, 1, 2.5)], True)
    assert figures.process_row(p)[-1] == "10%" and figures.process_row(p)[5] == "-"


@pytest.mark.parametrize("at,judged", [(0.2, True), (0.45, True), (0.6, True), (0.9, False)])
def test_memory_is_judged_since_the_last_restart(at, judged):
    """It leaks, and has all back at its restart, after that part of the time."""
    end = 2 * TIMES[-1]
    runs = [(2 * t, 2 * t - (at * end if 2 * t >= at * end else 0)) for t in TIMES]
    p = Process("rs", [(t, 2000 + 10 * since, 40, 2, since / 10) for t, since in runs], True)
    assert figures.since_start(p.samples) == [s for s in p.samples if s[0] >= at * end]
    assert (len(p.problems) == 1) == judged and (abs(p.trend.slope - 600) < 1 if judged else p.trend is None)


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
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()), open(os.devnull, "rb"):
        assert group.at_rest(pid) == resting + 2
        n = group.descriptors(pid)
        assert n >= resting + 3 and group.rested(pid, n, 0) == group.rested(pid, n - 1, 0) == n


@pytest.mark.parametrize("running", (True, False))
def test_nobody_asks_when_it_is_to_be_quiet(running):
    done = []

    def peer(name, running=True):
        return types.SimpleNamespace(running=running, write_config=lambda keys: None, reload=lambda: done.append(name))
    group.Group.quiet(types.SimpleNamespace(peers={"bob": peer("bob")}, guest=peer("guest", running)))
    assert done == ["bob"] + ["guest"] * running


# ---- rounds ----

class Life:
    """What is done to a daemon, as a list."""

    def __init__(self, name, done, running=True):
        self.name, self.done, self.running, self.state_dir = name, done, running, "/nonexistent"

    def __getattr__(self, verb):
        def do(*_):
            self.running = {"kill": False, "stop": False}.get(verb, self.running)
            if verb in ("kill", "stop"):
                self.done.append((self.name, verb))
        return do


class Lives:
    """A group in which nothing runs."""

    def __init__(self, tmp_path):
        self.done = []
        self.rs, self.guest = Life("rs", self.done), Life("guest", self.done, running=False)
        self.peers = {"eve": Life("eve", self.done)}
        self.daemons = [self.rs, *self.peers.values()]
        self.restarts = {name: Restarts.create(str(tmp_path / name)) for name in group.RESTARTED}

    def begin(self, daemon):
        daemon.running = True

    def look_at_stderr(self):
        pass


def test_all_kinds_of_ends_come(tmp_path, monkeypatch):
    g = Lives(tmp_path)
    r = rounds.Rounds(g, 600)
    monkeypatch.setattr(r, "welcome", lambda: g.begin(g.guest))
    monkeypatch.setattr(rounds.shutil, "rmtree", lambda path: None)
    for _ in range(9):
        assert r.next_at == (r.n + 1) * 60
        r.go_on()
    assert [how for name, how in g.done if name == "eve"] == ["stop", "kill"] * 4 + ["stop"]
    # In the second half it runs on.
    assert [how for name, how in g.done if name == "rs"] == ["stop", "kill", "stop", "kill", "stop"]
    assert [how for name, how in g.done if name == "guest"] == ["kill", "stop", "kill", "stop"]
    assert g.restarts["eve"].count == 18 and g.restarts["rs"].count == 10
    assert not r.problems and str(r).startswith("eve 4 times by SIGKILL, eve 5 times by SIGTERM, guest 2")


def test_who_ends_badly_is_told_and_comes_back(tmp_path, monkeypatch):
    def stop():
        eve.running = False
        raise AssertionError("eve ended with 1")
    g = Lives(tmp_path)
    eve = g.peers["eve"]
    monkeypatch.setattr(eve, "stop", stop, raising=False)
    r = rounds.Rounds(g, 600)
    r.restart(eve, kill=False)
    assert r.problems == ["eve ended with 1"] and eve.running and g.restarts["eve"].count == 2


# ---- clients see what is wrong ----

def scene(holder, restarts=None, **more):
    peer = {"address": (holder.address, holder.port), "control": "", "library": "", "restarts": restarts and restarts.path}
    return {"rs": peer, "peers": {"carol": peer, "eve": peer, "bob": peer}, "churned": [], "of_eve": [7], "of_bob": [7], "of_carol": [7],
            "documents": {7: (4000, hashlib.sha256(document(7)).hexdigest(), "")}, **more}


class Holder(FakePeer):
    """With all that an answer has to have."""

    @staticmethod
    def head(status, length=0, **headers):
        return FakePeer.head(status, length, Date="Fri, 27 Nov 2026 06:00:00 GMT", **headers)


class Server(FakeServer):
    """With a peer whose cookie and id a test chooses."""

    cookie_and_id = "77", 7

    @staticmethod
    def head(status, length=0, **headers):
        return Holder.head(status, length, **headers)

    def answer(self, connection, line, headers):
        cookie, peer_id = self.cookie_and_id
        if headers.get("cookie", cookie) != cookie:
            return self.head(401)
        return self.head(200, Cookie=cookie, Peer_Id=peer_id, TTL=7200, Address=connection.getpeername()[0])


@pytest.fixture
def holder():
    fake = Holder({7: document(7)})
    yield fake
    fake.close()


@pytest.fixture
def server():
    fake = Server()
    yield fake
    fake.close()


@pytest.fixture
def restarts(tmp_path):
    return Restarts.create(str(tmp_path / "restarts"))


def test_other_bytes_are_seen(holder, restarts):
    actor = actors.ACTORS["restarted"](scene(holder, restarts))
    actor.step()
    holder.documents[7] = flip(document(7), 100)
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
    holder.statements[7] = holder.record(7, document(7, seed=1))
    follower.begin()
    with pytest.raises(Wrong):
        follower.step()
    follower.end()


def test_a_restart_went_over_what_was_begun_before_its_end(restarts):
    assert not restarts.over(0)
    with restarts:
        assert restarts.over(0) and restarts.over(1)
    assert restarts.over(0) and restarts.over(1) and not restarts.over(2)
    assert Restarts(restarts.path).count == 2


def test_only_a_restart_may_cut(holder, restarts):
    def restart(fake, connection, number):
        fake.on_get = None
        with restarts:
            return None                 # which ends the connection
    actor = actors.ACTORS["restarted"](scene(holder, restarts))
    holder.on_get = restart
    actor.step()
    assert actor.said()["kinds"]["GetRFC of a peer that restarts"]["cut"] == 1 and holder.connections == 2
    holder.on_get = lambda fake, connection, number: None
    with pytest.raises(Closed):
        actor.step()


def test_who_is_taken_for_another_one_is_seen(server):
    registrar = actors.ACTORS["registrar"](scene(server))
    had, well = registrar.Known("77", 7, 0), (Closed, ConnectionError)      # a fake answers once
    for before, after, error in ((registrar.Known(), ("77", 7), well), (had, ("77", 7), well), (had, ("77", 8), Wrong),
                                 (had, ("78", 7), AssertionError)):
        server.cookie_and_id = after
        with pytest.raises(error):
            registrar.come_and_go(0, before)


def test_who_is_lost_is_told(server):
    def group_of(ids):
        standing = types.SimpleNamespace(cookie="77", id=7)
        rs = types.SimpleNamespace(connect=lambda source: Wire((server.address, server.port), source))
        return types.SimpleNamespace(peer_ids=lambda: ids, sources=["127.3.0.1"], standing=[standing], rs=rs, peers={"bob": holder_at})
    holder_at = types.SimpleNamespace(address=("127.0.0.1", 1))
    assert rounds.lost(group_of({"bob": 1}), {"bob": 1}) == []
    assert rounds.lost(group_of({"bob": 2}), {"bob": 1}) == ["bob was peer 1, and is 2"]
    for server.cookie_and_id in (("77", 8), ("78", 7)):
        assert rounds.lost(group_of({"bob": 1}), {"bob": 1}) == ["the registration server does not know peer 7 any more"]


def test_who_reads_slowly_reads_to_the_end(holder, monkeypatch):
    content = document(7, 300000)
    holder.documents[7] = content
    slow = actors.ACTORS["slow"](scene(holder, documents={7: (len(content), hashlib.sha256(content).hexdigest(), "")}))
    monkeypatch.setattr(slow, "N", 2)
    monkeypatch.setattr(slow, "RATE", 1 << 24)

    def step():
        slow.step()
        return holder.connections > 4
    slow.begin()
    until(step, "the next documents, once the first were whole")
    holder.documents[7] = flip(content, 200000)
    with pytest.raises(Wrong, match="RFC 7 has other bytes"):
        until(lambda: slow.step(), "a document that is another one")
    slow.end()


def test_a_client_counts_tells_and_goes_on(holder, restarts):
    actor = actors.ACTORS["restarted"](scene(holder, restarts, of_eve=[8], documents={8: (1, "", "")}))
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
    (load, arguments), = loads.write(chosen, str(tmp_path), [], "none")
    command = [program("tests/bench/load"), *arguments, "--count=16"]
    said = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    assert (load.keep, said["requests"], said["failed"]) == (False, 16, 0)
    holder.documents[3] = flip(holder.documents[3], 0)
    assert json.loads(subprocess.run(command, capture_output=True, check=True).stdout)["failed"] == 2
