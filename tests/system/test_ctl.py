# SPDX-License-Identifier: BSD-2-Clause
"""p2pdi-ctl: verbs, spellings, output, exit codes."""

import contextlib
import json
import os
import re
import socket
import subprocess
import threading

import pytest

from p2pdi.base import PATIENCE, program
from p2pdi.documents import document, sha256
from p2pdi.tool import ctl, end_ctl, start_ctl
from p2pdi.wire import Registrant

DOCUMENTS = {7230: document(7230, 5000), 7231: document(7231, 118), 7232: document(7232, 70000), 10000: document(10000),
             5: b"\0\xff no end"}


@pytest.fixture(scope="module")
def net(shared):
    """A registration server, b that has documents, and a that has none at first."""
    rs = shared.rs()
    b = shared.peer("b", DOCUMENTS, rs)
    a = shared.peer("a", {}, rs)
    return rs, a, b


@pytest.fixture
def a(net):
    return net[1]


@pytest.fixture
def b(net):
    return net[2]


@pytest.fixture
def rs(net):
    return net[0]


# ---- get and cat ----

@pytest.mark.parametrize("words", [
    ["7230"], ["rfc7230"], ["RFC7230"], ["Rfc7230"], ["RFC 7230"], ["rfc 7230"], ["RFC", "7230"], ["rfc07230"],
    ["rfc7230.txt"], ["RFC7230.TXT"], ["07230"], ["RFC-7230"], ["7230", "7230"], ["7230-7230"],
])
def test_every_spelling(a, words):
    r = a.ctl("get", *words)
    assert (r.code, r.text) == (0, a.path(7230) + "\n"), r


@pytest.mark.parametrize("words", [
    ["0"], ["x"], ["7230x"], ["2147483648"], ["7235-7230"], ["RFC"], [""], ["../7230"], ["rfc7230.pdf"], ["--", "-5"],
    ["7230", "nonsense"], ["rfc1/../../x"], ["1-100001"],
])
def test_what_is_no_number(a, words):
    r = a.ctl("get", *words)
    assert r.code == 2 and r.out == b"" and r.err.count("\n") == 1, r


def test_several_numbers_and_ranges(a):
    r = a.ctl("get", "7231-7232", "RFC", "5", "10000", "7231")
    assert r.code == 0 and r.text == "".join(a.path(n) + "\n" for n in (7231, 7232, 5, 10000))
    assert all(a.content(n) == DOCUMENTS[n] for n in (7231, 7232, 5, 10000))


def test_each_failure_on_its_own_line_and_the_highest_code(a):
    r = a.ctl("get", "7231", "8000-8001", "5")
    assert r.code == 3 and r.text == a.path(7231) + "\n" + a.path(5) + "\n"
    assert [line for line in r.err.split("\n") if "not held" in line] == [
        "RFC 8000 is not held by any reachable peer.", "RFC 8001 is not held by any reachable peer."]


def test_cat_gives_the_bytes_and_nothing_else(a):
    r = a.ctl("cat", "5")
    assert r.code == 0 and r.out == DOCUMENTS[5] and r.err == ""
    r = a.ctl("cat", "7232", "8000", "7231")
    assert r.code == 3 and r.out == DOCUMENTS[7232] + DOCUMENTS[7231] and r.err.count("\n") == 1


def test_get_as_json(a):
    for how, n_lines in (("short", 1), ("pretty", 10)):
        r = a.ctl(f"--json={how}", "get", "7230", "8000")
        assert r.code == 3 and r.text.count("\n") >= n_lines and (how != "short" or r.text.count("\n") == 1)
        had, missed = json.loads(r.out)
        assert (had["number"], had["state"], had["result"], had["path"]) == (7230, "done", "ok", a.path(7230))
        assert had["sha256"] == sha256(DOCUMENTS[7230]) and had["size"] == 5000
        assert (missed["number"], missed["result"]) == (8000, "not-held") and "path" not in missed
    assert a.ctl("--json=off", "get", "7230").text == a.path(7230) + "\n"


def test_how_a_document_was_had(world):
    rs = world.rs()
    b = world.peer("b", {7: document(7, 205 * 1024 + 950)}, rs)
    a = world.peer("a", {}, rs)
    r = a.ctl("get", "7")
    digest = sha256(b.content(7))
    assert re.fullmatch(rf"RFC 7: fetched from peer 1 \({re.escape(b.text)}\), 205\.9K in [\d.]+m?s, "
                        rf"sha256 {digest[:4]}…{digest[-4:]} \(single\)\n", r.err), r
    assert a.ctl("get", "7").err == "RFC 7: in store\n"


# ---- the other verbs ----

def test_list(b):
    r = b.ctl("list")
    assert r.code == 0 and r.err == ""
    lines = r.text.split("\n")
    assert lines[0].split() == ["RFC", "SIZE", "TRUST", "PINNED", "TITLE"]
    assert [line.split()[0] for line in lines[1:6]] == ["5", "7230", "7231", "7232", "10000"]
    assert lines[-2].startswith("5 RFCs listed")
    assert [d["number"] for d in b.json("list", "7000-7231", "10000")] == [7230, 7231, 10000]
    assert b.json("list", "1-4") == []
    one, = b.json("list", "7231")
    assert one == {"number": 7231, "title": one["title"], "size": 118, "sha256": sha256(DOCUMENTS[7231]), "trust": "single",
                   "local": True, "path": b.path(7231), "holders": one["holders"], "pinned": False,
                   "readUSec": one["readUSec"]}


def test_list_of_all_that_is_known(world):
    rs = world.rs()
    b = world.peer("b", {7: document(7), 8: document(8)}, rs)
    c = world.peer("c", {8: document(8)}, rs)
    a = world.peer("a", {9: document(9)}, rs)
    assert a.ctl("refresh").code == 0
    known = [(d["number"], d["local"], d["holders"]) for d in a.json("list", "--all")]
    assert known == [(7, False, 1), (8, False, 2), (9, True, 0)]
    assert [d["number"] for d in a.json("list")] == [9]
    assert "3 RFCs listed, 1 local." in a.ctl("list", "--all").text
    assert {h["holder"] for h in a.json("where", "8")} == {b.text, c.text}
    text = a.ctl("where", "RFC", "8").text
    assert b.text in text and "itself" in text and "2 holders listed." in text
    peers = {p["address"]: p for p in a.json("peers")}
    assert {p["documents"] for p in peers.values()} == {1, 2}
    assert all(p["state"] == "active" and p["seenUSec"] > 0 for p in peers.values())
    text = a.ctl("peers").text
    assert "2 peers listed, 2 active." in text
    assert text.split("\n")[0].split() == ["ID", "ADDRESS", "HOST", "STATE", "GENERATION", "RFCS", "RTT", "SEEN"]


def test_where_nobody(a):
    r = a.ctl("where", "8000")
    assert r.code == 3 and r.out == b"" and r.err == "RFC 8000 is not known here.\n"


def test_status_of_the_peer(net):
    rs, _, b = net
    r = b.ctl("status")
    assert r.code == 0 and r.text.startswith("● p2pdi-peerd ")
    for part in (f"1, registered at {rs.text}", f"Listening: {b.text}", "Store: 5 RFCs", b.library):
        assert part in r.text, r
    s = b.json("status")
    assert s["storeDocuments"] == 5 and s["storeBytes"] == sum(map(len, DOCUMENTS.values()))
    assert s["listening"] == [b.text] and not s["inherited"] and not s["scanning"]
    assert s["servers"][0]["state"] == "registered" and s["servers"][0]["address"] == "127.0.0.1"


def test_status_of_the_registration_server(rs):
    r = rs.ctl("status", rs=True)
    assert r.code == 0 and r.text.startswith("● p2pdi-rsd ") and "2 active, 2 known" in r.text
    s = rs.json("status")
    assert (s["active"], s["known"], s["ttlSec"], s["listening"], s["inherited"]) == (2, 2, 7200, [rs.text], True)


def test_registrations(net):
    rs, a, b = net
    r = rs.ctl("registrations", rs=True)
    assert "2 peers listed, 2 active." in r.text and a.text in r.text and b.text in r.text
    one, two = rs.json("registrations")
    assert (one["peerId"], one["address"], one["active"], one["registrations30Days"]) == (1, b.text, True, 1)
    assert 0 < one["expiresInSec"] <= 7200 and two["peerId"] == 2
    # --rs goes without saying.
    assert ctl("registrations", control=rs.control).code == 0


def test_refresh_join_and_leave(world):
    rs = world.rs()
    b = world.peer("b", {7: document(7)}, rs)
    a = world.peer("a", {}, rs)
    r = a.ctl("refresh")
    assert r.code == 0 and b.text in r.text
    assert a.json("refresh", b.text)[0]["peer"] == b.text
    assert a.ctl("refresh", "127.0.0.1:1").code == 1 and a.ctl("refresh", "nonsense").code == 2
    r = b.ctl("leave")
    assert (r.code, r.out, r.err) == (0, b"", "")
    rs.wait_active(1)
    r = a.ctl("refresh")
    assert r.code == 6 and r.out == b""
    assert b.json("status")["servers"][0]["state"] == "left"
    assert b.ctl("list").code == 0              # it still serves and gets
    with b.connect() as w:
        assert w.ask("GET RFC 7").status == 200
    assert b.ctl("get", "7").code == 0
    assert b.ctl("join").code == 0
    rs.wait_active(2)
    assert a.ctl("refresh").code == 0
    for text in ("org.p2pdi.Peer.Leave", "org.p2pdi.Peer.Join"):
        b.wait_log(f"User {os.geteuid()} called {text}")


@pytest.mark.parametrize("n, says", [
    (0, "No peer is active.\n"), (1, "The only peer did not answer.\n"), (3, "None of the 3 peers answered.\n"),
])
def test_refresh_where_nobody_answers(world, n, says):
    """Peers that refuse are not the same as no peers; and it says so each time."""
    rs = world.server([world.place() for _ in range(n)])
    a = world.peer("a", {}, rs)
    for _ in range(2):
        r = a.ctl("refresh")
        assert (r.code, r.err) == (3 if n > 0 else 6, says), r
        assert r.text.count(" refused ") == n


@pytest.mark.parametrize("n, says", [
    (1, "The only peer did not give its index.\n"), (2, "None of the 2 peers gave its index.\n"),
])
def test_refresh_where_somebody_answers_with_no_index(world, n, says):
    odd = world.holder(on_index=lambda *_: b"nonsense\r\n\r\n")
    rs = world.server([odd] + [world.place() for _ in range(n - 1)])
    a = world.peer("a", {}, rs)
    r = a.ctl("refresh")
    assert (r.code, r.err) == (1, says) and " malformed " in r.text, r


def test_refresh_without_a_server(world):
    r = world.peer("a").ctl("refresh")
    assert r.code == 6 and r.out == b"" and r.err.endswith("No peer is active.\n"), r


def test_refresh_where_one_of_several_answers(world):
    rs = world.server([world.place(), world.holder({7: document(7)}), world.place()])
    a = world.peer("a", {}, rs)
    r = a.ctl("refresh")
    assert (r.code, r.err, r.text.count(" refused ")) == (0, "", 2), r


def test_long_host_names_are_cut_in_tables(world):
    """JSON has them whole."""
    long = ".".join(["h" * 63] * 3 + ["e" * 61])
    shown = "h" * 39 + "…"
    assert len(long) == 253
    rs = world.rs()
    holder = world.holder({7: document(7)})
    r = world.keep(Registrant(rs, "127.0.0.1"))
    r.register(holder.port, Host=long)
    a = world.peer("a", {}, rs)
    assert a.ctl("refresh").code == 0
    for d, words in ((a, ["peers"]), (a, ["where", "7"]), (rs, ["registrations"])):
        r = d.ctl(*words)
        assert r.code == 0 and f" {shown} " in r.text and max(map(len, r.text.split("\n"))) < 160, r
        assert [p["host"] for p in d.json(*words)][0] == long


def test_one_is_no_plural(world):
    rs = world.rs()
    b = world.peer("b", {7: document(7)}, rs)
    a = world.peer("a", {}, rs)
    assert a.ctl("get", "7").code == 0 and a.ctl("refresh").code == 0
    text = a.ctl("status").text
    assert "Store: 1 RFC, " in text and "Index: 1 RFC, 1 record, " in text, text
    text = b.ctl("status").text
    assert "Index: 0 RFCs, 0 records, " in text, text
    for words, end in ((["list"], "1 RFC listed, "), (["list", "--all"], "1 RFC listed, 1 local."),
                       (["peers"], "1 peer listed, 1 active.")):
        assert f"\n{end}" in a.ctl(*words).text, words


def test_join_without_a_server(world):
    a = world.peer("a")
    for verb in ("join", "leave"):
        r = a.ctl(verb)
        assert r.code == 1 and r.err == "No registration server is configured.\n"


# ---- no daemon, or one that is odd ----

def test_no_daemon(world):
    missing = os.path.join(world.dir, "nothing")
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as s:
        dead = os.path.join(world.dir, "dead")
        s.bind(dead)
        for path in (missing, dead, os.path.join(missing, "x")):
            for verb in (["status"], ["get", "7"], ["--rs", "status"]):
                r = ctl(*verb, control=path)
                assert r.code == 5 and r.out == b"" and path in r.err and r.err.count("\n") == 1, r


def test_daemon_that_does_not_know_the_method(net):
    rs, a, _ = net
    r = ctl("registrations", control=a.control)
    assert r.code == 1 and "does not know" in r.err
    assert ctl("status", control=rs.control).code == 1


class FakeControl:
    """A control socket that gives the same bytes to whatever comes; None: nothing at all."""

    def __init__(self, world, answer):
        self.path = os.path.join(world.dir, f"control-{id(self):x}")
        self.answer = answer
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen()
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                with connection, contextlib.suppress(OSError):
                    connection.settimeout(10)
                    connection.recv(65536)
                    if self.answer is None:
                        self.over.wait(10)
                    else:
                        connection.sendall(self.answer)

    def close(self):
        self.over.set()
        self.listener.shutdown(socket.SHUT_RDWR)
        self.thread.join()
        self.listener.close()


def error(name, **parameters):
    return json.dumps({"error": name, "parameters": parameters}).encode() + b"\0"


def download(result, **more):
    one = {"number": 7, "state": "done", "result": result, **more}
    return json.dumps({"parameters": {"download": one}}).encode() + b"\0"


@pytest.mark.parametrize("answer, code", [
    (download("ok", path="/x", source="local"), 0), (download("not-held"), 3), (download("unreachable"), 3),
    (download("no-peers"), 6), (download("integrity"), 7), (download("no-space"), 9),
    (download("failed", message="x"), 1), (download("something new"), 1),
    (error("org.varlink.service.PermissionDenied"), 10), (error("org.p2pdi.Peer.Integrity", number=7), 7),
    (error("org.p2pdi.Peer.NoSpace", number=7), 9), (error("org.p2pdi.Peer.NoPeers", number=7), 6),
    (error("org.p2pdi.Peer.NotHeld", number=7), 3),
    (error("org.varlink.service.InvalidParameter", parameter="numbers"), 1), (error("com.example.New"), 1),
    (b"", 1), (b"not json\0", 1), (b"{}\0", 1), (b'{"parameters":{}}\0', 1), (b"\xff" * 5000 + b"\0", 1),
    (b'{"parameters":5}\0', 1),
], ids=lambda value: ascii(value[-60:]) if isinstance(value, bytes) else value)
def test_exit_code_for_each_answer(world, answer, code):
    fake = world.keep(FakeControl(world, answer))
    r = ctl("get", "7", control=fake.path)
    assert r.code == code, r
    assert (r.out == b"/x\n") if code == 0 else (r.out == b"" and r.err)


@pytest.mark.parametrize("verb", ["get", "list", "verify", "show", "pin"])
def test_alias_that_stands_for_nothing(world, verb):
    """Which no daemon of ours says; and it is not taken for everything."""
    fake = world.keep(FakeControl(world, b'{"parameters":{"meaning":{"result":"ok","alias":"BCP 14","numbers":[]}}}\0'))
    r = ctl("-q", verb, "bcp14", control=fake.path)
    assert (r.code, r.out, r.err) == (1, b"", "The daemon does not say what a name stands for.\n")


def test_timeout(world):
    fake = world.keep(FakeControl(world, None))
    r = ctl("--timeout=200ms", "status", control=fake.path)
    assert r.code == 8 and r.err == "No answer within 200ms.\n" and r.out == b""


def test_timeout_of_a_get(world):
    """The download goes on without whoever asked for it."""
    rs = world.rs()
    go_on = threading.Event()

    def when_told(fake, connection, number):
        go_on.wait(PATIENCE)
        return fake.document(number)

    b = world.holder({7: document(7), 8: document(8)}, on_get=when_told)
    b.join(rs)
    a = world.peer("a", {}, rs)
    r = a.ctl("--timeout=300ms", "get", "7")
    assert r.code == 8 and r.out == b""
    process = start_ctl("get", "8", control=a.control)
    b.wait_requests("GET RFC 8 ")
    process.kill()
    end_ctl(process)
    go_on.set()
    a.wait_log("RFC 7 fetched")
    a.wait_log("RFC 8 fetched")
    assert a.content(7) == document(7) and a.content(8) == document(8)


def test_output_that_can_not_be_written(a):
    with open("/dev/full", "wb") as full:
        for verb in (["get", "7230"], ["cat", "7230"], ["list"], ["--json=short", "status"]):
            p = subprocess.run([program("p2pdi-ctl"), f"--control={a.control}", *verb], stdin=subprocess.DEVNULL,
                               stdout=full, stderr=subprocess.PIPE, timeout=60, check=False)
            assert p.returncode == 1, verb
            assert p.stderr.endswith(b"Cannot write to standard output: No space left on device.\n"), verb


def test_a_closed_stream_does_not_become_the_connection(a):
    """The first descriptor that is free is the socket's."""
    command = [program("p2pdi-ctl"), f"--control={a.control}"]
    for verb in (["get", "7230"], ["cat", "7230"], ["read", "7230"], ["list"], ["status"]):
        p = subprocess.run(command + verb, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=60, check=False,
                           preexec_fn=lambda: os.close(1))
        assert p.returncode == 1, verb
        assert p.stderr.endswith(b"Cannot write to standard output: Bad file descriptor.\n"), verb
        p = subprocess.run(command + verb, stdout=subprocess.PIPE, timeout=60, check=False,
                           preexec_fn=lambda: (os.close(0), os.close(2)))
        assert p.returncode == 0 and p.stdout, verb
    # Told on standard error.
    p = subprocess.run(command + ["refresh", "192.0.2.1:1"], timeout=60, check=False, preexec_fn=lambda: os.closerange(0, 3))
    assert p.returncode == 1


# ---- who may ----

def test_socket_is_for_owner_and_group(world):
    """0660, whatever the umask."""
    for umask, mode in ((0o022, 0o660), (0o077, 0o660), (0, 0o660)):
        before = os.umask(umask)
        try:
            a = world.peer(f"a-{umask:o}")
        finally:
            os.umask(before)
        assert os.stat(a.control).st_mode & 0o777 == mode


NOBODY = 65534


@pytest.fixture
def opened(world):
    """A peer whose socket everybody can connect to; the programs must be in reach of nobody."""
    if os.geteuid() != 0:
        pytest.skip("only root can be somebody else")
    rs = world.rs()
    a = world.peer("a", {7: document(7)}, rs)
    for d in (world.dir, a.dir, a.runtime_dir):
        os.chmod(d, 0o755)
    os.chmod(a.control, 0o666)
    try:
        subprocess.run([program("p2pdi-ctl"), "--version"], user=NOBODY, group=NOBODY, extra_groups=[], capture_output=True,
                       check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("the programs are out of reach for anybody but root")
    return a


def as_nobody(peer, *verb, groups=()):
    return ctl(*verb, control=peer.control, user=NOBODY, group=NOBODY, extra_groups=list(groups))


def test_readers_may_read_and_get_and_no_more(opened):
    a = opened
    for verb in (["status"], ["list"], ["peers"], ["get", "7"], ["refresh"]):
        assert as_nobody(a, *verb).code in (0, 6), verb
    r = as_nobody(a, "cat", "7")
    assert r.code == 0 and r.out == document(7)
    for verb in ("leave", "join", "sync"):
        r = as_nobody(a, verb)
        assert r.code == 10 and "Not allowed" in r.err
        a.wait_log(f"User {NOBODY} was denied org.p2pdi.Peer.{verb.capitalize()}")
    a.write_config({"Control.AllowUsers": str(NOBODY)})
    a.reload()
    assert as_nobody(a, "leave").code == 0
    a.write_config({"Control.AllowUsers": None})
    a.reload()
    assert as_nobody(a, "join").code == 10
    a.write_config({"Control.AllowGroups": str(NOBODY)})
    a.reload()
    assert as_nobody(a, "join").code == 0


def test_all_groups_of_a_caller_count(opened):
    """Also of one who is in more than the daemon has room for at first."""
    groups = range(70000, 70200)
    opened.write_config({"Control.AllowGroups": str(groups[-1])})
    opened.reload()
    assert as_nobody(opened, "leave", groups=groups[:-1]).code == 10
    assert as_nobody(opened, "leave", groups=groups).code == 0


def test_who_may_not_connect(opened):
    os.chmod(opened.control, 0o660)
    r = as_nobody(opened, "status")
    assert r.code == 10 and "join group p2pdi or use sudo" in r.err and r.out == b""
