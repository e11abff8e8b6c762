# SPDX-License-Identifier: BSD-2-Clause
"""Metrics: what is asked of the daemons moves the right counters by the right amounts, and no other."""

import contextlib
import json
import os
import re
import resource
import socket
import struct
import subprocess
import threading
import time

import pytest

from p2pdi.addresses import Place
from p2pdi.base import PATIENCE, program, until
from p2pdi.documents import document, flip
from p2pdi.threads import Held, threads
from p2pdi.tool import ctl
from p2pdi.wire import request

PREFIX = {"p2pdi-rsd": "p2pdi_rs_", "p2pdi-peerd": "p2pdi_peer_"}
# What moves by itself, or by being looked at.
RESTLESS = re.compile(r"_bucket|_sum|memory_bytes|rs_expiry_seconds|\.GetMetrics|connections$|^(request|transfer)_duration")


def text(daemon):
    r = daemon.ctl("metrics", rs=daemon.program == "p2pdi-rsd")
    assert r.code == 0 and r.err == "", r
    return r.text


def values(daemon):
    """{"leaves_total": 3, 'refused_total{reason="malformed"}': 0}"""
    found = {}
    for line in text(daemon).splitlines():
        if line.startswith("#"):
            continue
        name, value = line.rsplit(" ", 1)
        assert name.startswith(PREFIX[daemon.program]) and name not in found
        found[name[len(PREFIX[daemon.program]):]] = float(value)
    return found


class Moved:
    """How the metrics of a daemon have moved since this was made."""

    def __init__(self, daemon, durations=False):
        self.daemon, self.durations = daemon, durations
        self.before = values(daemon)

    def look(self):
        after = values(self.daemon)
        assert after.keys() == self.before.keys()
        return {name: after[name] - self.before[name] for name in after if after[name] != self.before[name] and
                (not RESTLESS.search(name) or self.durations and "_duration_seconds_count" in name)}

    def expect(self, expected):
        """Counted by another thread, it may come a moment after the answer."""
        with contextlib.suppress(AssertionError):
            until(lambda: self.look() == expected, "it")
        assert self.look() == expected


def label(name, **labels):
    return name + "{" + ",".join(f'{k}="{v}"' for k, v in labels.items()) + "}"


def control(method, result="ok"):
    return label("control_requests_total", method=f"org.p2pdi.Peer.{method}", result=result)


def reset(wire):
    """Hangs up without a word."""
    wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    wire.close()


# ---- the text ----

@pytest.fixture
def busy(world):
    """A server and two peers with something in each of their metrics."""
    rs = world.rs()
    a = world.peer("a", {7: document(7)}, rs)
    b = world.peer("b", {}, rs)
    b.get(7)
    b.get(8, code=3)
    with rs.connect() as w:
        w.ask("GET PQuery", {"Cookie": 99})
    return {"p2pdi-rsd": rs, "p2pdi-peerd": b, "a": a}


@pytest.mark.parametrize("program", PREFIX)
def test_somebody_elses_parser_reads_it(busy, program):
    parser = pytest.importorskip("prometheus_client.openmetrics.parser",
                                 reason="python3-prometheus-client is not installed")
    families = {f.name: f for f in parser.text_string_to_metric_families(text(busy[program]))}
    assert len(families) == {"p2pdi-rsd": 10, "p2pdi-peerd": 24}[program]
    for name, family in families.items():
        assert name.startswith(PREFIX[program]) and family.documentation.endswith(".")
        assert family.unit == next((u for u in ("seconds", "bytes") if name.endswith("_" + u)), "")
        # _total is the counter's, so this is what the parser made of it.
        assert family.type in ("gauge", "counter", "histogram") and family.samples
    if program == "p2pdi-rsd":
        durations = families["p2pdi_rs_request_duration_seconds"]
        assert durations.type == "histogram"
        assert [s.value for s in durations.samples if s.name.endswith("_count")] == [busy[program].count_log(
            r"(Register|POST|GET) .* P2P-DI/1\.0 ")]
        refused = {s.labels["reason"]: s.value for s in families["p2pdi_rs_refused"].samples}
        assert refused["unknown-cookie"] == 1 and sum(refused.values()) == 1
    else:
        assert families["p2pdi_peer_downloads"].type == "counter"


@pytest.mark.parametrize("program", PREFIX)
def test_form_of_the_text(busy, program):
    """What a parser may take, and the format does not."""
    lines = text(busy[program]).split("\n")
    assert lines[-2:] == ["# EOF", ""] and lines.count("# EOF") == 1
    family = kind = None
    for line in lines[:-2]:
        m = re.fullmatch(r"# TYPE (\S+) (gauge|counter|histogram)", line)
        if m:
            family, kind = m.groups()
        elif line.startswith("# "):
            assert re.fullmatch(rf"# (UNIT {family} (seconds|bytes)|HELP {family} \S.*\.)", line)
        else:
            suffix = {"gauge": "", "counter": "_total", "histogram": "(_bucket|_count|_sum)"}[kind]
            assert re.fullmatch(rf'{family}{suffix}(\{{([a-z]+="[^"\\]+",?)+\}})? [0-9]+(\.[0-9]{{6}})?', line), line


def test_verb(busy):
    b = busy["p2pdi-peerd"]
    r = b.ctl("metrics", "--json=short")
    assert list(json.loads(r.out)) == ["text"] and json.loads(r.out)["text"].endswith("# EOF\n")
    r = b.ctl("metrics", "all")
    assert r.code == 2 and r.out == b"" and "Too many arguments" in r.err
    r = b.ctl("metrics", "--all")
    assert r.code == 2 and r.out == b""
    r = b.ctl("metrics", rs=True)               # a peer's socket
    assert r.code == 1 and r.out == b"" and "GetMetrics" in r.err


@pytest.mark.parametrize("answer", [{}, {"text": 7}, {"text": "a\x1b[2Jb\n"}, {"text": "a\rb\n"}])
def test_what_is_no_text_of_metrics(world, answer):
    path = f"{world.dir}/control"
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as listener:
        listener.bind(path)
        listener.listen()

        def serve():
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(json.dumps({"parameters": answer}).encode() + b"\0")
                connection.recv(1)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        r = ctl("metrics", control=path)
        thread.join()
    assert r.code == 1 and r.out == b"" and "is no text of metrics" in r.err


# ---- the registration server ----

def test_register_renew_list_and_leave(world):
    rs = world.rs()
    moved = Moved(rs, durations=True)
    with rs.registrant() as a, rs.registrant() as b:
        a.register(1)
        moved.expect({'registrations_total{result="new"}': 1, 'peers{state="active"}': 1,
                      "request_duration_seconds_count": 1})
        a.register(2)
        b.register(3)
        assert a.keepalive().status == 200 and b.keepalive().status == 200 and b.keepalive().status == 200
        assert a.query().status == 200
        moved.expect({'registrations_total{result="new"}': 2, 'registrations_total{result="returned"}': 1,
                      'peers{state="active"}': 2, 'keepalives_total{result="ok"}': 3, "list_requests_total": 1,
                      "request_duration_seconds_count": 7})
        assert a.leave().status == 200
        assert b.query().status == 204          # nobody else
        moved.expect({'registrations_total{result="new"}': 2, 'registrations_total{result="returned"}': 1,
                      'peers{state="active"}': 1, 'peers{state="expired"}': 1, 'keepalives_total{result="ok"}': 3,
                      "list_requests_total": 2, "leaves_total": 1, "request_duration_seconds_count": 9})
        moved = Moved(rs)
        assert a.leave().status == 200          # has left already
        moved.expect({})
        assert values(rs)["connections"] == 2


def test_lease_that_ends(world):
    rs = world.rs({"Registration.TTLSec": "1s"})
    moved = Moved(rs)
    with rs.registrant() as a:
        a.register(1)
        rs.wait_log("The lease of peer 1 at 127.0.0.1:1 has ended")
        assert a.keepalive().status == 401
        moved.expect({'registrations_total{result="new"}': 1, 'peers{state="expired"}': 1, "expired_total": 1,
                      'keepalives_total{result="refused"}': 1, 'refused_total{reason="inactive"}': 1})


def test_refusals_of_the_server(world):
    rs = world.rs({"Registration.MaxPeersPerSource": 1})
    moved = Moved(rs)
    with rs.registrant() as a:
        a.register(1)
        unknown = int(a.cookie) % 1000 + 1
        for verb in ("POST KeepAlive", "POST Leave", "GET PQuery", "POST Register"):
            assert a.wire.ask(verb, {"Cookie": unknown, "Port": 2 if "Register" in verb else None}).status == 401
        assert a.wire.ask("POST Register", {"Port": 2}).status == 429
        assert a.wire.ask("GET RFC 7").status == 404
        a.wire.send(b"nonsense\r\n\r\n")
        assert a.wire.reply().status == 400
    moved.expect({'registrations_total{result="new"}': 1, 'peers{state="active"}': 1,
                  'keepalives_total{result="refused"}': 1, 'registrations_total{result="refused"}': 2,
                  'refused_total{reason="unknown-cookie"}': 4, 'refused_total{reason="MaxPeersPerSource"}': 1,
                  'refused_total{reason="malformed"}': 2})


@pytest.mark.parametrize("ini, reason", [
    ({"Registration.MaxPeers": 1}, "MaxPeers"), ({"Server.MaxConnections": 1}, "MaxConnections"),
    ({"Server.MaxConnectionsPerSource": 1}, "MaxConnectionsPerSource"),
    ({"Limits.RatePerSource": 1, "Limits.Burst": 1}, "RatePerSource"), ({"Access.Deny": "127.0.0.2"}, "Access"),
])
def test_limits_of_the_server(world, ini, reason):
    rs = world.rs(ini)
    moved = Moved(rs)
    expected = {label("refused_total", reason=reason): 1, 'registrations_total{result="new"}': 1,
                'peers{state="active"}': 1}
    with rs.registrant() as a:
        a.register(1)
        with rs.connect("127.0.0.2" if reason == "Access" else None) as w:
            if reason == "Access":
                w.expect_closed()
            else:
                w.send(request("POST Register", {"Port": 2}))
                assert w.reply().status in (429, 503)
        if reason == "MaxPeers":
            expected['registrations_total{result="refused"}'] = 1
        moved.expect(expected)


def test_who_hangs_up_while_its_registration_is_written(world):
    rs = world.rs()
    moved = Moved(rs)
    with Held(threads(rs)["commit"]):
        w = rs.connect()
        w.send(request("POST Register", {"Port": 7}))
        rs.wait_active(1)
        moved.expect({'peers{state="active"}': 1})
        reset(w)
        moved.expect({'peers{state="active"}': 1, 'registrations_total{result="new"}': 1})
    with rs.registrant() as a:
        a.register(8)
    moved.expect({'peers{state="active"}': 2, 'registrations_total{result="new"}': 2})


def test_memory_of_the_server(world):
    rs = world.rs()
    with open(f"/proc/{rs.pid}/statm", encoding="ascii") as f:
        size = int(f.read().split()[1]) * os.sysconf("SC_PAGESIZE")
    assert size / 4 < values(rs)["memory_bytes"] < size * 4


# ---- documents of a peer ----

def test_document_that_is_fetched(world):
    rs = world.rs()
    content = document(7, 5000)
    a = world.peer("a", {7: content}, rs)
    b = world.peer("b", {}, rs)
    up, down, server = Moved(a, durations=True), Moved(b, durations=True), Moved(rs)
    b.get(7)
    up.expect({'uploads_total{result="ok"}': 1, "upload_bytes_total": 5000,
               'transfer_duration_seconds_count{direction="up"}': 1})
    index = len(a.index(RFC=7)[0].body)
    expected = {
        control("Get"): 1, label("downloads_total", source="peer", result="ok"): 1, "download_bytes_total": 5000,
        label("index_pulls_total", kind="numbers", result="ok"): 1, "index_bytes_total": index,
        'transfer_duration_seconds_count{direction="down"}': 1, 'store_files{format="text"}': 1, "store_bytes": 5000,
        'index_entries{origin="local"}': 1, 'index_entries{origin="remote"}': 1, "index_generation": 1,
        'peers{state="active"}': 1,
    }
    down.expect(expected)
    b.get(7)
    expected.update({control("Get"): 2, label("downloads_total", source="local", result="ok"): 1})
    down.expect(expected)
    server.expect({"list_requests_total": 1})


def test_uploads_that_fail(world):
    a = world.peer("a", {7: document(7), 8: document(8, 30000000)})
    moved = Moved(a, durations=True)
    with a.connect() as w:
        assert w.ask("GET RFC 9").status == 404
        assert w.ask("GET RFC 7").status == 200
    moved.expect({'uploads_total{result="ok"}': 1, 'uploads_total{result="not-held"}': 1,
                  "upload_bytes_total": len(document(7)), 'transfer_duration_seconds_count{direction="up"}': 1})
    moved = Moved(a)
    w = a.connect()
    w.send(request("GET RFC 8"))
    w.receive()
    moved.expect({'transfers{direction="up"}': 1})
    reset(w)
    until(lambda: moved.look().get('uploads_total{result="broken"}'), "a broken upload")
    found = moved.look()
    assert 0 < found.pop("upload_bytes_total") < 30000000
    assert found == {'uploads_total{result="broken"}': 1}


def test_upload_that_this_host_can_not_read(world):
    a = world.peer("a", {7: document(7)})
    moved = Moved(a)
    with a.connect() as w:
        assert w.ask("GET RFC 8").status == 404
        before = resource.prlimit(a.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(a.pid, resource.RLIMIT_NOFILE, (3, before[1]))     # what is open stays so
        assert w.ask("GET RFC 7").status == 500
        resource.prlimit(a.pid, resource.RLIMIT_NOFILE, before)
    moved.expect({'uploads_total{result="not-held"}': 1, 'uploads_total{result="failed"}': 1})


def test_refusals_of_a_peer(world):
    """What follows no protocol, in whichever; a document that is not held is no refusal."""
    a = world.peer("a", {})
    moved = Moved(a)
    with a.connect() as w:
        assert w.ask("GET RFC 7").status == 404
        assert w.ask("POST Register", {"Port": 2}).status == 404        # no word of a peer
        w.send(b"nonsense\r\n\r\n")
        assert w.reply().status == 400
    with a.connect() as w:
        w.send(b"DELETE /rfc/rfc7.txt HTTP/1.1\r\nHost: x\r\n\r\n")
        w.receive()
        assert w.buffer.startswith(b"HTTP/1.1 405 ")
    moved.expect({'uploads_total{result="not-held"}': 1, 'refused_total{reason="malformed"}': 3})


@pytest.mark.parametrize("ini, reason", [
    ({"Server.MaxConnections": 1}, "MaxConnections"), ({"Server.MaxConnectionsPerSource": 1}, "MaxConnectionsPerSource"),
    ({"Limits.RatePerSource": 1, "Limits.Burst": 1}, "RatePerSource"), ({"Access.Deny": "127.0.0.2"}, "Access"),
])
def test_limits_of_a_peer(world, ini, reason):
    a = world.peer("a", {7: document(7)}, ini=ini)
    moved = Moved(a)
    with a.connect() as one:
        assert one.ask("GET RFC 7").status == 200
        with a.connect("127.0.0.2" if reason == "Access" else None) as w:
            if reason == "Access":
                w.expect_closed()
            else:
                w.send(request("GET RFC 7"))
                assert w.reply().status in (429, 503)
        moved.expect({label("refused_total", reason=reason): 1, 'uploads_total{result="ok"}': 1,
                      "upload_bytes_total": len(document(7))})


def test_document_on_its_way(world):
    rs = world.rs()
    go_on = threading.Event()

    def half(fake, connection, number):
        whole = fake.document(number)
        connection.sendall(whole[:500000])
        go_on.wait(PATIENCE)
        connection.sendall(whole[500000:])

    world.holder({7: document(7, 1000000)}, on_get=half).join(rs)
    a = world.peer("a", {}, rs)
    with a.varlink() as v:
        v.send("org.p2pdi.Peer.Get", {"numbers": [7]}, more=True)
        while v.reply()["parameters"]["download"]["state"] != "fetching":
            pass
        found = values(a)
        assert found['transfers{direction="down"}'] == 1 and found[control("Get")] == 0
        assert found['transfer_duration_seconds_count{direction="down"}'] == 0
        go_on.set()
        while v.reply().get("continues"):
            pass
    found = values(a)
    assert found['transfers{direction="down"}'] == 0 and found['transfer_duration_seconds_count{direction="down"}'] == 1
    assert found["download_bytes_total"] == 1000000


def test_liar(world):
    rs = world.rs()
    liar = world.holder({7: document(7)}, on_get=lambda f, c, n: f.document(n)[:-4000] + flip(document(7), 17))
    liar.join(rs)
    a = world.peer("a", {}, rs)
    moved = Moved(a, durations=True)
    a.get(7, code=7)
    moved.expect({control("Get"): 1,
                  label("downloads_total", source="peer", result="integrity"): 1, "download_bytes_total": 4000,
                  label("index_pulls_total", kind="numbers", result="ok"): 1,
                  "index_bytes_total": len(liar.record(7).line), "digest_mismatches_total": 1,
                  'peers{state="quarantined"}': 1})


def test_downloads_that_fail(world):
    rs = world.rs()
    a = world.peer("a", {}, rs)
    moved = Moved(a)
    a.get(7, code=6)
    expected = {control("Get"): 1, label("downloads_total", source="peer", result="no-peers"): 1}
    moved.expect(expected)

    b = world.holder({7: document(7)}, on_get=lambda f, c, n: f.head(500))
    b.join(rs)
    a.get(8, code=3)
    expected.update({control("Get"): 2, label("downloads_total", source="peer", result="not-held"): 1,
                     'peers{state="active"}': 1, label("index_pulls_total", kind="numbers", result="ok"): 1})
    moved.expect(expected)
    a.get(7, code=3)
    expected.update({control("Get"): 3, label("downloads_total", source="peer", result="unreachable"): 1,
                     label("index_pulls_total", kind="numbers", result="ok"): 2, "at_risk_rfcs": 1,
                     "index_bytes_total": len(b.record(7).line), 'index_entries{origin="remote"}': 1})
    moved.expect(expected)


# ---- indexes ----

def malformed(fake, connection, headers):
    return fake.head(200, 9) + b"nonsense\n"


def busy_peer(fake, connection, headers):
    return fake.head(503, Retry_After=1)


@pytest.mark.parametrize("how, result, n_bytes", [
    (malformed, "malformed", 9), (busy_peer, "busy", 0), (lambda f, c, h: f.head(404), "not-held", 0),
    (lambda f, c, h: f.head(403), "refused", 0), (lambda f, c, h: f.head(200, 9) + b"1234", "broken", 4),
])
def test_pulls_that_fail(world, how, result, n_bytes):
    b = world.holder({7: document(7)}, on_index=how)
    a = world.peer("a", {}, ini={"Peers.Static": b.text})
    moved = Moved(a)
    a.ctl("refresh")
    expected = {control("Refresh"): 1, label("index_pulls_total", kind="full", result=result): 1,
                "index_bytes_total": n_bytes}
    moved.expect({name: value for name, value in expected.items() if value})


def test_pulls_that_go_well(world):
    b = world.holder({7: document(7), 8: document(8)})
    a = world.peer("a", {}, ini={"Peers.Static": b.text})
    n = sum(len(b.record(n).line) for n in (7, 8))
    moved = Moved(a)
    a.ctl("refresh")
    expected = {control("Refresh"): 1, label("index_pulls_total", kind="full", result="ok"): 1, "index_bytes_total": n,
                'index_entries{origin="remote"}': 2, "at_risk_rfcs": 2}
    moved.expect(expected)
    a.ctl("refresh")
    expected.update({control("Refresh"): 2, label("index_pulls_total", kind="unchanged", result="ok"): 1})
    moved.expect(expected)
    b.vanish()
    a.ctl("refresh")
    expected.update({control("Refresh"): 3, label("index_pulls_total", kind="full", result="refused"): 1})
    moved.expect(expected)


def test_what_is_at_risk_and_disputed(world):
    """More of it than is looked at in one go."""
    same = {n: b"%d" % n for n in range(1, 3001)}
    b = world.holder({**same, 4000: b"b"})
    c = world.holder({**{n: same[n] for n in range(1, 2001)}, 2500: b"another", 4001: b"c", 4002: b"another"})
    c.statements[4003] = c.record(4003, b"x", holder="127.0.0.99:9")
    c.statements[3000] = c.record(3000, b"hearsay with another digest is no dispute", holder="127.0.0.99:9")
    a = world.peer("a", {4002: document(4002), 5000: document(5000)}, ini={"Peers.Static": [b.text, c.text]})
    assert values(a)["at_risk_rfcs"] == 2
    moved = Moved(a)
    a.ctl("refresh")
    found = moved.look()
    # 2001..2999 but 2500; 4000; 4001; 4003 by hearsay; 5000. 3000 and 4002 are at two.
    assert values(a)["at_risk_rfcs"] == 998 + 1 + 1 + 1 + 1
    assert found["index_disputed"] == 2         # 2500, 4002
    assert found['index_entries{origin="remote"}'] == 3001 + 2000 + 1 + 2 + 2
    a.put(2500, b"another")
    a.wait_status(", 3 documents, ")
    assert values(a)["at_risk_rfcs"] == 1002 and values(a)["index_disputed"] == 2


# ---- who is there ----

def test_peers_and_servers(world):
    rs = world.rs()
    lone = world.peer("lone", {})
    assert values(lone)["rs_reachable"] == 0 and values(lone)["rs_expiry_seconds"] == 0
    b = world.holder({}, address="127.0.0.2")
    b.join(rs)
    static = Place()
    a = world.peer("a", {}, rs, ini={"Peers.Static": static.text})
    assert 7000 < values(a)["rs_expiry_seconds"] <= 7200 and values(a)["rs_reachable"] == 1
    assert values(a)['peers{state="static"}'] == 1 and values(a)['peers{state="active"}'] == 0
    a.ctl("refresh")
    assert values(a)['peers{state="static"}'] == 1 and values(a)['peers{state="active"}'] == 1
    a.restart()
    a.wait_registered()
    assert values(a)['peers{state="last-known"}'] == 1
    rs.kill()
    a.ctl("leave")
    a.wait_log("can't be reached")
    assert values(a)["rs_reachable"] == 0 and values(a)["rs_expiry_seconds"] == 0
    static.close()


def test_control_requests(world):
    a = world.peer("a", {7: document(7)})
    moved = Moved(a)

    def other(result):
        return label("control_requests_total", method="other", result=result)

    with a.varlink() as v:
        v.call("org.p2pdi.Peer.GetStatus")
        v.call("org.p2pdi.Peer.Get", {"numbers": []})
        v.call("org.p2pdi.Peer.Open", {"number": 8})
        v.call("org.p2pdi.Peer.List")           # without more
        v.call("org.p2pdi.Peer.Join")
        v.call("org.varlink.service.GetInfo")
        v.call("org.p2pdi.Peer.Nonsense")
        v.call("org.example.Nonsense")
    assert a.ctl("list").code == 0
    found = moved.look()
    for name in (other("ok"), other("error")):
        found.setdefault(name, 0)
    # Whether the engine's own interface is one of the tables is the engine's affair.
    assert found.pop(other("ok")) + found.pop(other("error")) == 3
    assert found == {control("GetStatus"): 1, control("Get", "error"): 1, control("Open", "error"): 1,
                     control("List", "error"): 1, control("List"): 1, control("Join", "error"): 1}
    moved = Moved(a)
    values(a)
    after = values(a)
    assert after[control("GetMetrics")] - moved.before[control("GetMetrics")] == 2


def test_caller_that_hangs_up(world):
    rs = world.rs()
    stop = threading.Event()
    world.holder({7: document(7)}, on_get=lambda f, c, n: stop.wait(PATIENCE) and f.document(n)).join(rs)
    a = world.peer("a", {}, rs)
    moved = Moved(a)
    with a.varlink() as v:
        v.send("org.p2pdi.Peer.Get", {"numbers": [7]}, more=True)
        while v.reply()["parameters"]["download"]["state"] == "done":
            pass
    until(lambda: moved.look().get(control("Get", "gone")) == 1, "a caller that is gone")
    stop.set()
    until(lambda: moved.look().get(label("downloads_total", source="peer", result="ok")) == 1, "the document")
    assert control("Get") not in moved.look()


def test_log_that_nobody_reads(world):
    a = world.peer("a", {})
    assert values(a)["log_dropped_total"] == 0
    with a.connect() as w, a.changed:           # who reads its log waits for that
        end = time.monotonic() + PATIENCE
        while values(a)["log_dropped_total"] == 0:
            assert time.monotonic() < end
            for _ in range(200):
                w.ask("GET RFC 9", {"Padding": "x" * 1900})


NOBODY = 65534


def test_caller_that_may_not(world):
    if os.geteuid() != 0:
        pytest.skip("only root can be somebody else")
    a = world.peer("a", {})
    for d in (world.dir, a.dir, a.runtime_dir):
        os.chmod(d, 0o755)
    os.chmod(a.control, 0o666)
    try:
        subprocess.run([program("p2pdi-ctl"), "--version"], user=NOBODY, capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("the programs are out of reach for anybody but root")
    moved = Moved(a)
    assert ctl("join", control=a.control, user=NOBODY, group=NOBODY, extra_groups=[]).code == 10
    moved.expect({control("Join", "denied"): 1})
    # Reading is for whoever may connect.
    r = ctl("metrics", control=a.control, user=NOBODY, group=NOBODY, extra_groups=[])
    assert r.code == 0 and r.text.endswith("# EOF\n")
