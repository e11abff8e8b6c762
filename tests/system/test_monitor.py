# SPDX-License-Identifier: BSD-2-Clause
"""Monitor: what is under way, then what happens, as it happens."""

import json
import os
import re
import signal
import socket
import subprocess
import threading

import pytest

from p2pdi.base import program
from p2pdi.documents import document
from p2pdi.tool import end_ctl, start_ctl
from p2pdi.wire import request

METHOD = "org.p2pdi.Peer.Monitor"


class Reader:
    """One Monitor call. What was there at its start is in downloads."""

    def __init__(self, peer):
        self.varlink = peer.varlink()
        self.varlink.send(METHOD, more=True)
        self.downloads = []
        while True:
            r = self.varlink.reply()
            assert r.get("continues")
            if "ready" in r["parameters"]:
                assert r["parameters"] == {"ready": True}
                return
            self.downloads.append(r["parameters"]["download"])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.varlink.close()

    def until(self, condition):
        """The first event for which it is true; those before are dropped."""
        while True:
            parameters = self.varlink.reply()["parameters"]
            if condition(parameters["event"]):
                return parameters["event"]


def test_a_served_document_is_an_event(world):
    b = world.peer("b", {7: document(7)})
    with Reader(b) as m, b.connect() as w:
        assert m.downloads == []
        assert w.ask("GET RFC 7", {"Transaction": "00000000000c0ffe"}).status == 200
        e = m.until(lambda e: e.get("number") == 7)
        assert e["message"] == "RFC 7 served." and e["operation"] == "get-rfc" and e["result"] == "ok"
        assert e["transaction"] == "00000000000c0ffe" and e["level"] == 6
        assert e["bytes"] == e["size"] == len(document(7)) and e["peer"].startswith("127.0.0.1:")
        assert e["messageId"] == "49fcaa677dc44a8692c0d373b0af1257"
        assert e["realtimeUSec"] > 1_600_000_000_000_000 and e["durationUSec"] >= 0


def test_events_do_not_depend_on_the_log(world):
    """Neither on its level nor on its rates: who listens wants to see."""
    b = world.peer("b", {7: document(7)}, ini={"Log.Level": "err", "Log.TransactionsPerSec": 0})
    with Reader(b) as m, b.connect() as w:
        for _ in range(200):
            w.send(request("GET RFC 7"))
        for _ in range(200):
            assert w.reply().status == 200
        for _ in range(200):
            assert m.until(lambda e: e.get("number") == 7)["message"] == "RFC 7 served."
        for _ in range(30):
            with b.connect() as bad:
                assert bad.ask("BREW tea").status == 405
        for _ in range(30):
            e = m.until(lambda e: e["level"] == 4)
            assert e["message"] == "Request refused: 405 Method Not Allowed." and e["result"] == "refused"
    assert "RFC 7 served" not in b.log()


def test_state_first_then_changes(world):
    """A download under way is told at the start, and its end is an event."""
    hold = threading.Event()
    holder = world.holder({7: document(7)}, on_get=lambda f, c, n: (hold.wait(), f.document(n))[1])
    rs = world.rs()
    holder.join(rs)
    a = world.peer("a", {}, rs)
    with a.varlink() as v:
        v.send("org.p2pdi.Peer.Get", {"numbers": [7], "transaction": "0123456789abcdef"}, more=True)
        holder.wait_requests("GET RFC 7")
        with Reader(a) as m:
            download, = m.downloads
            assert download["number"] == 7 and download["state"] != "done"
            assert download["transaction"] == "0123456789abcdef"
            hold.set()
            e = m.until(lambda e: e.get("number") == 7)
            assert e["message"].startswith(f"RFC 7 fetched from {holder.text}") and e["source"] == "peer"
            assert e["transaction"] == "0123456789abcdef"


def test_a_reader_that_stops_reading_costs_no_memory_and_is_told_what_it_lost(world):
    b = world.peer("b", {7: document(7, size=10)}, ini={"Log.Level": "err", "Server.Threads": 1})
    with Reader(b) as m, Reader(b) as other, b.connect() as w:
        n = 6000
        for _ in range(n // 100):
            for _ in range(100):
                w.send(request("GET RFC 7"))
            for _ in range(100):
                assert w.reply().status == 200
            # This one reads, so that each hundred is known to have been told.
            got = lost = 0
            while got + lost < 100:
                p = other.varlink.reply()["parameters"]
                lost += p.get("lost", 0)
                got += p["event"].get("number") == 7
            assert got + lost == 100
        # The other one reads only now: what waits for it is bounded, and the next event tells how many went by.
        seen = lost = 0
        b.put(8, document(8))
        while True:
            with b.connect() as late:
                late.ask("GET RFC 9")
            p = m.varlink.reply()["parameters"]
            lost += p.get("lost", 0)
            if p["event"].get("number") == 9:
                break
            seen += p["event"].get("number") == 7
        assert seen < n and lost > 0 and seen + lost >= n
        assert b.ctl("status").code == 0


def test_hanging_up_ends_it(world):
    b = world.peer("b", {7: document(7)})
    for _ in range(50):
        with Reader(b):
            pass
    with b.varlink() as v:
        v.send(METHOD, more=True)
    with Reader(b) as m, b.connect() as w:
        assert w.ask("GET RFC 7").status == 200
        assert m.until(lambda e: e.get("number") == 7)
    b.stop()


def test_without_more(world):
    b = world.peer("b", {})
    with b.varlink() as v:
        assert v.call(METHOD)["error"] == "org.varlink.service.ExpectedMore"


# ---- the verb ----

def start_monitor(peer, *arguments):
    process = subprocess.Popen([program("p2pdi-ctl"), f"--control={peer.control}", "monitor", *arguments],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    return process


def test_the_verb_tells_a_line_for_each_event(world):
    b = world.peer("b", {7: document(7)})
    process = start_monitor(b)
    with process, b.connect() as w:
        assert process.stderr.readline() == "Waiting for events.\n"
        assert w.ask("GET RFC 7", {"Transaction": "00000000000c0ffe"}).status == 200
        line = process.stdout.readline()
        assert re.fullmatch(r"\d\d:\d\d:\d\d\.\d\d\d RFC 7 served \(get-rfc ok, 127\.0\.0\.1:\d+, 3\.9K, [0-9.]+(us|ms|s)\) "
                            r"\[00000000000c0ffe\]\n", line), line
        process.send_signal(signal.SIGINT)
        assert process.wait() == -signal.SIGINT


def test_the_verb_says_nothing_twice(world):
    """As the log does it: what the sentence has is not in the brackets."""
    holder = world.holder({7: document(7, 5000)})
    a = world.peer("a", {}, world.server([holder]))
    process = start_monitor(a)
    with process:
        assert process.stderr.readline() == "Waiting for events.\n"
        a.get(7)
        line = next(line for line in process.stdout if "fetched" in line)
        assert re.fullmatch(rf"\S+ RFC 7 fetched from {re.escape(holder.text)}, 5000 bytes \(get-rfc ok, [0-9.]+(us|ms|s)\) "
                            r"\[[0-9a-f]{16}\]\n", line), line
        process.kill()
        process.wait()


def test_the_verb_as_json(world):
    """One object a line, for other programs."""
    b = world.peer("b", {7: document(7)})
    process = start_monitor(b, "--json=short")
    with process, b.connect() as w:
        assert json.loads(process.stdout.readline()) == {"ready": True}
        assert w.ask("GET RFC 7").status == 200
        assert json.loads(process.stdout.readline())["event"]["number"] == 7
        process.kill()
        process.wait()


def test_hostile_strings_reach_no_terminal(world):
    """Whatever a daemon sends: the tool trusts none of it."""
    evil = "\x1b]0;x\x07\u202e\u009b2J\n"
    event = {"realtimeUSec": 1, "level": 6, "message": evil, "operation": evil, "result": evil, "peer": evil,
             "transaction": evil}
    download = {"number": 7, "state": evil, "holder": evil}
    path = os.path.join(world.dir, "control")
    listener = world.keep(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
    listener.bind(path)
    listener.listen()
    process = start_ctl("monitor", control=path)
    connection, _ = listener.accept()
    with connection:
        connection.recv(65536)
        for parameters in ({"download": download}, {"event": event}, {"download": {"state": evil}}):
            connection.sendall(json.dumps({"parameters": parameters, "continues": True}).encode() + b"\0")
        connection.sendall(b'{"parameters": {}}\0')
    r = end_ctl(process)
    lines = r.text.splitlines()
    assert r.code == 0 and len(lines) == 3
    assert all(line.isprintable() and line.isascii() for line in lines), lines


def test_the_daemon_ends_and_so_does_the_verb(world):
    b = world.peer("b", {})
    process = start_monitor(b)
    with process:
        assert process.stderr.readline() == "Waiting for events.\n"
        b.stop()
        assert process.wait() == 1 and process.stderr.read() == "p2pdi-peerd closed the connection.\n"


@pytest.mark.parametrize("arguments, code", [(["--timeout=100ms"], 8), (["x"], 2)])
def test_ends_with_a_code(world, arguments, code):
    b = world.peer("b", {})
    process = start_monitor(b, *arguments)
    with process:
        assert process.wait() == code
