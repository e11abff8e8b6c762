# SPDX-License-Identifier: BSD-2-Clause
"""What arrives on any socket costs bounded memory, descriptors, time and log lines; nothing that was told is lost."""

import contextlib
import os
import re
import resource
import socket
import subprocess
import time

import pytest

from p2pdi.addresses import split_endpoint
from p2pdi.base import SOURCE, program, sanitizer, until
from p2pdi.documents import document, sha256
from p2pdi.wire import Closed, Wire, request

PROGRAMS = ["p2pdi-rsd", "p2pdi-peerd"]


@pytest.fixture(params=PROGRAMS)
def either(request):
    return request.param


def start_of(world, program, ini=None, start=True):
    if program == "p2pdi-rsd":
        return world.rs(ini, start=start)
    return world.peer("peer", {7: document(7)}, ini=ini, start=start)


# ---- descriptors, time, memory ----

def descriptors(daemon):
    return len(os.listdir(f"/proc/{daemon.pid}/fd"))


def cpu(daemon):
    """Seconds of CPU that it has used."""
    with open(f"/proc/{daemon.pid}/stat", encoding="ascii") as f:
        fields = f.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory(daemon):
    """Bytes of memory that is its own."""
    with open(f"/proc/{daemon.pid}/status", encoding="ascii") as f:
        return int(re.search(r"RssAnon:\s+(\d+) kB", f.read()).group(1)) * 1024


def use_while_idle(daemon, seconds=0.3):
    """CPU that it uses while nobody asks anything."""
    end, before = time.monotonic() + seconds, cpu(daemon)
    while time.monotonic() < end:
        os.sched_yield()
    return cpu(daemon) - before


def test_no_descriptor_is_lost(world, either):
    d = start_of(world, either)

    def use():
        for data in (request("GET RFC 7"), request("GET RFC-Index", {"If-Generation": "0.0"}), b"nonsense\r\n\r\n", b"",
                     b"GET", request("POST Register", {"Port": 5})):
            with d.connect() as w:
                w.send(data)
                if data.endswith(b"\r\n\r\n"):
                    w.reply()
        d.ctl("status", rs=either == "p2pdi-rsd")
        with d.varlink() as v:
            v.socket.sendall(b"nonsense\0")

    use()
    until(lambda: descriptors(d) <= 40, "an end of the connections")
    n = descriptors(d)
    for _ in range(20):
        use()
    until(lambda: descriptors(d) <= n, "an end of the connections")


def test_no_descriptor_is_lost_by_fetching(world):
    """Downloads that go well and that do not, refreshes, and callers who do not wait for the end."""
    rs = world.rs()
    whole = {n: document(n, 3000) for n in range(1, 101)}
    good = world.holder({**whole, 900: document(900)})
    bad = world.holder({901: document(901), 902: document(902)},
                       on_get=lambda f, c, n: f.document(n)[:-100] if n == 901 else f.document(n)[:-1] + b"?")
    good.join(rs)
    bad.join(rs)
    a = world.peer("a", {}, rs, ini={"Peers.QuarantineSec": "100ms"})

    def use(numbers):
        a.get(numbers)
        assert a.ctl("get", "901-903").code != 0
        assert a.ctl("refresh", good.text).code == 0
        for n in range(10):
            with a.varlink() as v:
                if n % 2:
                    v.send("org.p2pdi.Peer.Get", {"numbers": [901 + n]}, more=True)
                else:
                    v.send("org.p2pdi.Peer.Refresh", {"peers": [good.text]}, more=True)

    def idle():
        with a.varlink() as v:
            return v.call("org.p2pdi.Peer.GetStatus")["parameters"]["downloadsActive"] == 0

    use("1-50")
    until(idle, "an end of the downloads")
    until(lambda: descriptors(a) <= 40, "an end of the connections")
    n = descriptors(a)
    use("51-100")
    until(idle, "an end of the downloads")
    until(lambda: descriptors(a) <= n, "an end of the connections")
    assert sum(a.content(n) == content for n, content in whole.items()) == 100


def test_descriptors_run_out(world, either):
    """New connections are closed, the daemon neither spins nor ends, and it recovers."""
    d = start_of(world, either, {"Server.MaxConnectionsPerSource": 100000, "Server.MaxConnections": 10000})
    limit = descriptors(d) + 20
    resource.prlimit(d.pid, resource.RLIMIT_NOFILE, (limit, limit))
    with contextlib.ExitStack() as stack:
        for _ in range(100):
            stack.enter_context(contextlib.closing(Wire(d.endpoint)))
        d.wait_log("LimitNOFILE")
        assert use_while_idle(d) < 0.15

    def is_served():
        with contextlib.suppress(Closed, ConnectionError), d.connect() as w:
            return w.ask("GET Nothing").status == 404

    until(is_served, "room")


def test_idle_after_hang_ups(world, either):
    d = start_of(world, either)
    for _ in range(300):
        with contextlib.closing(socket.socket(socket.AF_UNIX)) as s:
            s.connect(d.control)
        with contextlib.closing(Wire(d.endpoint)):
            pass
    with d.varlink() as v, d.connect() as w:
        v.call("org.varlink.service.GetInfo")
        v.socket.shutdown(socket.SHUT_WR)
        w.socket.shutdown(socket.SHUT_WR)
        assert use_while_idle(d) < 0.15


def test_half_heads_cost_bounded_memory(world, either):
    """A thousand connections with nearly 8 KiB each that wait for more."""
    d = start_of(world, either, {"Server.MaxConnectionsPerSource": 2000, "Server.RequestTimeoutSec": "1min"})
    with contextlib.ExitStack() as stack:
        for _ in range(1000):
            w = stack.enter_context(d.connect())
            w.send(b"GET " + b"x" * 8000)
        with d.connect() as w:
            assert w.ask("GET Nothing").status == 404
        # ThreadSanitizer notes who has read what.
        assert memory(d) < (192 if sanitizer() == "tsan" else 64) << 20


def test_pipeline_that_nobody_reads_costs_bounded_memory(world):
    """The index asked for ten thousand times on each of some connections, and never read."""
    p = world.peer("p", {n: b"%d" % n for n in range(1, 1000)})
    with contextlib.ExitStack() as stack:
        for _ in range(20):
            w = stack.enter_context(p.connect())
            w.socket.settimeout(0.2)
            with contextlib.suppress(TimeoutError):
                w.send(request("GET RFC-Index", {"RFC": "1-2147483647"}) * 10000)
        with p.connect() as w:
            assert w.ask("GET RFC 7").status == 200
        assert memory(p) < 128 << 20


# ---- the end ----

def test_who_reads_slowly_hears_how_each_ended(world):
    """Thousands of downloads fail while nothing is read of them: each end is told, once."""
    n = 5000
    b = world.holder({1: document(1)})
    a = world.peer("a", ini={"Log.Level": "warning", "Peers.Static": b.text}, start=False).start()
    with a.varlink() as slow, a.varlink() as v:
        slow.send("org.p2pdi.Peer.Get", {"numbers": list(range(1001, 1001 + n))}, more=True)
        ended = f'p2pdi_peer_downloads_total{{source="peer",result="not-held"}} {n}\n'
        until(lambda: ended in v.call("org.p2pdi.Peer.GetMetrics")["parameters"]["text"], "the end of all")
        assert v.call("org.p2pdi.Peer.GetStatus")["parameters"]["downloadsFailed"] == 0
        ended = []
        while len(ended) < n:
            reply = slow.reply()
            download = reply["parameters"]["download"]
            if download["state"] == "done":
                assert download["result"] == "not-held"
                ended.append(download["number"])
            assert reply.get("continues", False) == (len(ended) < n)
        assert sorted(ended) == list(range(1001, 1001 + n))
        assert "error" not in slow.call("org.p2pdi.Peer.GetStatus")


def test_what_is_being_sent_may_end(world):
    p = world.peer("p", {7: document(7, 20000000)})
    with p.connect() as w:
        w.send(request("GET RFC 7"))
        while len(w.buffer) < 100000:
            w.receive()
        p.terminate()
        p.wait("STOPPING=1", lambda: "STOPPING=1" in p.notices)
        assert sha256(w.reply().body) == sha256(document(7, 20000000))
    assert p.wait_end() == 0


def test_registrations_that_were_told_are_kept_when_it_ends(world):
    rs = world.rs()
    with rs.connect() as w:
        w.send(b"".join(request("POST Register", {"Port": 1 + i}) for i in range(100)))
        told = [w.reply()["Cookie"]]
        rs.terminate()
        with contextlib.suppress(Closed, ConnectionResetError):
            while True:
                reply = w.reply()
                if reply.status == 200:
                    told.append(reply["Cookie"])
    assert rs.wait_end() == 0
    rs.start()
    with rs.connect() as w:
        assert all(w.ask("POST KeepAlive", {"Cookie": c}).status == 200 for c in told)


# ---- the control socket ----

MALFORMED = [b"nonsense\0", b"{}\0", b"[]\0", b"\0", b'{"method":5}\0', b'{"method":"a.b.C","more":1}\0',
             b'{"method":"a.b.C","method":"a.b.D"}\0', b'{"method":"a.b.C","strange":1}\0',
             b'{"method":"a.b.C","more":true,"oneway":true}\0', b'{"method":"\xff"}\0', b"[" * 100000, b"x" * (2 << 20)]


@pytest.fixture(scope="module")
def plain(shared):
    return shared.peer("plain")


@pytest.mark.parametrize("data", MALFORMED, ids=lambda data: ascii(data[:40]))
def test_malformed_call_ends_the_connection(plain, data):
    with plain.varlink() as v, plain.varlink() as again:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            v.socket.sendall(data)
            v.socket.shutdown(socket.SHUT_WR)
        with pytest.raises((Closed, ConnectionResetError)):
            v.reply()
        assert "parameters" in again.call("org.varlink.service.GetInfo")


SERVICE = "org.varlink.service."
INVALID = SERVICE + "InvalidParameter"


@pytest.mark.parametrize("method, parameters, error", [
    ("Nothing", {}, SERVICE + "MethodNotFound"), ("Get", {}, INVALID), ("Get", {"numbers": []}, INVALID),
    ("Get", {"numbers": [0]}, INVALID), ("Get", {"numbers": [2147483648]}, INVALID),
    ("Get", {"numbers": ["../../etc/passwd"]}, INVALID), ("Get", {"numbers": [1], "strange": 1}, INVALID),
    ("Get", {"numbers": [1], "transaction": "XYZ"}, INVALID), ("Get", {"numbers": [1, 2]}, SERVICE),
    ("Open", {"number": 7}, "org.p2pdi.Peer.NotHeld"), ("Open", {"number": -1}, INVALID),
    ("List", {}, SERVICE + "ExpectedMore"), ("ListPeers", {}, SERVICE + "ExpectedMore"),
    ("Refresh", {"peers": ["x"]}, SERVICE),
    ("Join", {}, "org.p2pdi.Peer.NoServers"), ("Leave", {}, "org.p2pdi.Peer.NoServers"),
])
def test_call_that_is_refused(plain, method, parameters, error):
    with plain.varlink() as v:
        reply = v.call("org.p2pdi.Peer." + method, parameters)
        assert reply["error"].startswith(error), reply
        assert "parameters" in v.call("org.varlink.service.GetInfo")


def test_interface_that_is_unknown(plain):
    with plain.varlink() as v:
        assert v.call("com.example.None.Get")["error"] == SERVICE + "InterfaceNotFound"


def test_calls_in_pieces_and_in_a_row(plain):
    with plain.varlink() as v:
        call = b'{"method":"org.p2pdi.Peer.GetStatus","parameters":{}}\0'
        for byte in call:
            v.socket.sendall(bytes([byte]))
        assert v.reply()["parameters"]["storeDocuments"] == 0
        v.socket.sendall(call * 50 + b'{"method":"org.p2pdi.Peer.GetStatus","oneway":true}\0' + call)
        assert all("parameters" in v.reply() for _ in range(51))


def test_interfaces_describe_themselves(world):
    rs = world.rs()
    p = world.peer("p")
    for d, name in ((rs, "org.p2pdi.Registration"), (p, "org.p2pdi.Peer")):
        with d.varlink() as v:
            info = v.call("org.varlink.service.GetInfo")["parameters"]
            assert name in info["interfaces"]
            reply = v.call("org.varlink.service.GetInterfaceDescription", {"interface": name})
            assert f"interface {name}\n" in reply["parameters"]["description"]


# ---- the log ----

def test_transactions_over_the_rate_are_counted(world):
    rs = world.rs({"Log.TransactionsPerSec": 5, "Log.Level": "info"})
    with rs.registrant() as r:
        r.register(1)
        r.wire.send(request("POST KeepAlive", {"Cookie": r.cookie}) * 100)
        for _ in range(100):
            assert r.wire.reply().status == 200

    def counted():
        found = re.findall(r"\d+ more transactions, only counted: .*keepalive ok (\d+)", rs.log())
        return sum(int(n) for n in found)

    until(lambda: counted() + rs.count_log("renewed its lease") >= 100, "a word on each")
    assert counted() > 5 and counted() + rs.count_log("renewed its lease") == 100


def test_flood_of_malformed_requests_is_not_one_in_the_log(world, either):
    d = start_of(world, either, {"Log.Level": "info"})
    for _ in range(300):
        with d.connect() as w:
            w.send(b"nonsense\r\n\r\n")
            w.reply()
    assert d.count_log("Request refused") < 50
    d.wait_log(r"\d+ more like this were suppressed")


def test_loopback_at_a_server_that_is_not_is_warned_of(world):
    """The server is reached by another address of this host, from a loopback source."""
    address = None
    with contextlib.suppress(OSError), contextlib.closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as s:
        s.connect(("192.0.2.1", 9))             # sends nothing
        address = s.getsockname()[0]
    if not address or address.startswith("127."):
        pytest.skip("this host has no IPv4 address but loopback")
    rs = world.rs(address="0.0.0.0")
    p = world.peer("p", {}, f"{address}:{rs.place.port}", listen="127.0.0.1:auto")
    p.wait_log("lists this peer under a loopback address: no other host can reach it")


# ---- files ----

def test_databases_are_private(world):
    rs = world.rs()
    p = world.peer("p", {7: document(7)}, rs)
    for d, name in ((rs, "registry.db"), (p, "state.db"), (p, "library.db")):
        assert os.stat(os.path.join(d.state_dir, name)).st_mode & 0o777 == 0o600, name


def test_fetched_documents_are_for_everybody(world):
    b = world.peer("b", {7: document(7)})
    a = world.peer("a", ini={"Peers.Static": b.text})
    a.get(7)
    assert os.stat(a.path(7)).st_mode & 0o777 == 0o644


def test_directories_of_the_environment_come_first(world, either):
    d = start_of(world, either, start=False)
    d.environment["STATE_DIRECTORY"] = os.path.join(d.dir, "s") + ":/nonexistent"
    d.environment["RUNTIME_DIRECTORY"] = os.path.join(d.dir, "r")
    d.start()
    assert os.path.exists(os.path.join(d.dir, "s", "registry.db" if either == "p2pdi-rsd" else "state.db"))
    assert os.listdir(os.path.join(d.dir, "r")) == [d.control_name]
    d.stop()
    assert os.listdir(os.path.join(d.dir, "r")) == []


def test_several_addresses(world):
    p = world.peer("p", {7: document(7)}, ini={"Server.ListenStream": ["127.0.0.2:auto", "127.0.0.3:auto"]})
    found = p.json("status")["listening"]
    assert len(found) == 2
    for text in found:
        with Wire(split_endpoint(text)) as w:
            assert w.ask("GET RFC 7").status == 200


def test_access_lists(world, either):
    """Whoever may not is closed without a word."""
    d = start_of(world, either, {"Access.Deny": ["127.0.0.2", "127.0.1.0/24"]})
    for source, allowed in (("127.0.0.1", True), ("127.0.0.2", False), ("127.0.1.9", False), ("127.0.2.1", True)):
        with Wire(d.endpoint, source) as w:
            if allowed:
                assert w.ask("GET Nothing").status == 404
            else:
                w.send(request("GET Nothing"))
                w.expect_closed()


def test_refusal_reaches_who_had_asked(world):
    """Closing with the request unread would reset the connection, and might take the reply along."""
    p = world.peer("p", {}, ini={"Server.MaxConnectionsPerSource": 1})
    with Wire(p.endpoint) as first, Wire(p.endpoint) as second:
        assert first.ask("GET Nothing").status == 404
        second.send(request("GET Nothing"))
        text = b""
        while data := second.socket.recv(4096):     # raises where it is reset
            text += data
        assert text.startswith(b"P2P-DI/1.0 429 ")


@pytest.mark.parametrize("comment", ["nothing", "#"])
def test_shipped_files_are_good(world, either, comment):
    """As they are, and with each default set."""
    name = "rs.ini" if either == "p2pdi-rsd" else "peer.ini"
    with open(os.path.join(SOURCE, "etc", name), encoding="utf-8") as f:
        text = re.sub(rf"(?m)^{comment}(\w+=.*)$", r"\1", f.read())
    path = os.path.join(world.dir, "shipped.ini")
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    p = subprocess.run([program(either), f"--config={path}", "--check-config"], capture_output=True, text=True,
                       timeout=60, check=False)
    assert (p.returncode, p.stdout, p.stderr) == (0, "", "")


def test_many_documents_of_one_peer_are_one_connection_or_few(world):
    """More than Limits.Burst= of them: what is asked on an open connection is not counted against its source."""
    rs = world.rs()
    b = world.peer("b", {n: document(n, 100) for n in range(1, 61)}, rs,
                   ini={"Limits.RatePerSource": 1, "Limits.Burst": 40})
    a = world.peer("a", {}, rs)
    assert a.ctl("get", "1-60").code == 0
    assert a.json("status")["storeDocuments"] == 60
    assert b.count_log("RatePerSource") == 0
