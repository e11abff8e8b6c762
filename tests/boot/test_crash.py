# SPDX-License-Identifier: BSD-2-Clause
"""Daemons that are killed, threads that hang, hosts that are rebooted or lose their power: nothing that was said is lost."""

import contextlib
import itertools
import os
import re
import signal
import threading

import pytest

from box import DAEMONS, PATIENCE, PORTS, RS_PORT, Load, wait
from p2pdi.documents import document
from p2pdi.threads import Held
from p2pdi.wire import Closed

KILLS = 3
PLENTY = "[Registration]\nMaxPeersPerSource=100000\n[Limits]\nRatePerSource=0\n"


def kill_and_wait(host, unit):
    n = int(host.show(unit, "NRestarts"))
    os.kill(host.pid(unit), signal.SIGKILL)
    wait("another process", lambda: int(host.show(unit, "NRestarts")) > n)
    host.wait_state(unit)


def test_killed_server_loses_nothing(host):
    """Every registration that was answered is known after it; who waits in the backlog is served."""
    ports = itertools.count(1)      # who comes from the place of another one takes it over

    def register(w, _):
        reply = w.ask("POST Register", {"Port": next(ports), "Host": "load", "OS": "test"})
        assert reply.status == 200
        return reply["Cookie"]

    host.write("/etc/p2pdi/rs.ini", PLENTY)
    host.start("p2pdi-rsd")
    with Load(host, RS_PORT, register) as load:
        for _ in range(KILLS):
            kill_and_wait(host, "p2pdi-rsd")
            load.wait_more(20)
    assert load.refused == []
    assert len(load.lost) <= KILLS * len(load.threads), "more than the killed processes had"
    cookies = load.answers
    assert len(set(cookies)) == len(cookies)
    with host.registrant() as r:
        for r.cookie in cookies:
            assert r.keepalive().status == 200
    assert host.show("p2pdi-rsd", "NRestarts") == str(KILLS)


class Fetcher(threading.Thread):
    """Has one document after the other fetched, each until it is there."""

    def __init__(self, host, numbers):
        super().__init__(daemon=True)
        self.host, self.numbers, self.got, self.failed, self.failures = host, numbers, [], 0, []

    def run(self):
        for n in self.numbers:
            while not self.get(n):
                self.failed += 1
                threading.Event().wait(0.01)
            self.got.append(n)

    def get(self, n):
        with contextlib.suppress(OSError, Closed), self.host.varlink() as v:
            *_, last = v.call_more("org.p2pdi.Peer.Get", {"numbers": [n]})
            if "error" not in last and last["parameters"]["download"]["state"] in ("done", "stored", "local"):
                return True
            self.failures.append(last)
        return False


def test_killed_peer_loses_nothing(host):
    """While it fetches and serves: what it said it has is there, whole; nothing half is left."""
    def fetch(w, n):
        reply = w.ask(f"GET RFC {1 + n}")
        assert reply.status == 503 or reply.status == 200 and reply.body == documents[1 + n]
        return reply.status

    documents = {n: document(n, 200000) for n in range(1, 61)}
    host.write("/etc/p2pdi/rs.ini", "[Limits]\nRatePerSource=0\n")
    host.configure_peer("[Registration]\nServer=localhost\n[Limits]\nRatePerSource=0\n")
    host.configure_peer("[Server]\nListenStream=auto\n[Registration]\nServer=localhost\n[Limits]\nRatePerSource=0\n", "bob")
    host.start("p2pdi-rsd", "p2pdi-peerd", "p2pdi-peerd@bob")
    for number, content in documents.items():
        host.put(number, content, "/var/lib/p2pdi@bob/rfc")
    for n in (1, 2, 3):
        host.put(n, documents[n])
    host.wait_held(60, "--instance=bob")
    host.wait_held(3)
    host.wait_registered()
    fetcher = Fetcher(host, range(4, 61))
    with Load(host, PORTS["p2pdi-peerd"], fetch) as load:
        fetcher.start()
        for i in range(1, KILLS + 1):
            wait("progress", lambda: len(fetcher.got) >= 10 * i or not fetcher.is_alive())
            kill_and_wait(host, "p2pdi-peerd")
            load.wait_more(10)
        fetcher.join(PATIENCE)
    assert fetcher.got == list(range(4, 61)), (fetcher.failed, fetcher.failures[-3:])
    assert load.refused == []
    assert len(load.lost) <= KILLS * len(load.threads)
    host.wait_held(60)
    # 503 is for the moment in which the library is read again, and over.
    assert load.answers.count(200) > load.answers.count(503)
    with host.wire(PORTS["p2pdi-peerd"]) as w:
        assert [w.ask(f"GET RFC {n}").status for n in documents] == [200] * 60
    names = sorted(os.listdir(host.path("/var/lib/p2pdi/rfc")))
    assert names == sorted(f"rfc{n}.txt" for n in documents)
    for number, content in documents.items():
        assert host.read(f"/var/lib/p2pdi/rfc/rfc{number}.txt", "rb") == content
    assert host.journal("MESSAGE_ID=de9b8cc84efb4fd5813d24ae3b8e2c3e") == []


# ---- the watchdog ----

def stand_still(pid, tid):
    """Holds a thread until the process is killed."""
    if tid == pid:
        # What is sent to the process reaches the main thread, so nobody may trace that one: stopped, it is as deaf.
        os.kill(pid, signal.SIGSTOP)
        wait("end of it", lambda: not os.path.exists(f"/proc/{pid}"))
        return
    held = Held(tid).__enter__()
    # A traced thread must be buried by who traces it.
    with contextlib.suppress(ChildProcessError):
        wait("end of the thread", lambda: os.WIFSIGNALED(os.waitpid(held.tid, os.WNOHANG | Held.WALL)[1]))


@pytest.mark.parametrize("daemon, thread", [("p2pdi-rsd", "main"), ("p2pdi-rsd", "commit"), ("p2pdi-peerd", "main"),
                                            ("p2pdi-peerd", "client"), ("p2pdi-peerd", "disk"), ("p2pdi-peerd", "flush"),
                                            ("p2pdi-peerd", "download-0")])
def test_hung_thread_is_caught(host, daemon, thread):
    host.drop_in(f"{daemon}.service", "[Service]\nWatchdogSec=1s\n")
    host.start(daemon)
    found = host.threads(daemon)
    assert set(found) - {"resolver"} == {"p2pdi-rsd": {"main", "commit"},
                                         "p2pdi-peerd": {"main", "client", "disk", "flush"} |
                                         {f"download-{i}" for i in range(os.cpu_count())}}[daemon]
    before = host.show(daemon, "MainPID")
    stand_still(found["main"], found[thread])
    wait("another process", lambda: host.show(daemon, "MainPID") not in ("0", before))
    host.wait_message(r"Watchdog timeout \(limit 1s\)", f"UNIT={daemon}.service")
    host.wait_message("Failed with result 'watchdog'", f"UNIT={daemon}.service")
    host.wait_state(daemon)
    assert host.show(daemon, "NRestarts") == "1"
    with host.wire(PORTS[daemon]) as w:
        assert w.ask("GET Nothing").status == 404


# ---- the host ----

@pytest.mark.parametrize("how", ["reboot", "crash"])
def test_all_is_there_again(hosts, how):
    host = hosts.new("again")
    content = document(7230, 30000)
    host.configure_peer("[Registration]\nServer=localhost\n")
    host.configure_peer("[Server]\nListenStream=auto\n[Registration]\nServer=localhost\n", "bob")
    host.systemctl("enable", "p2pdi-rsd", "p2pdi-peerd", "p2pdi-peerd@bob")
    host.start("p2pdi-rsd", "p2pdi-peerd", "p2pdi-peerd@bob")
    host.put(7230, content, "/var/lib/p2pdi@bob/rfc")
    host.wait_held(1, "--instance=bob")
    for instance in ([], ["--instance=bob"]):
        host.wait_registered(*instance)
    with host.registrant() as by_hand:
        by_hand.register(4711)
    host.ctl("refresh")                     # bob's index may have been pulled before
    host.ctl("get", "7230")
    before = {p["peerId"]: p["host"] for p in host.json("--rs", "registrations")}
    assert len(before) == 3

    getattr(host, how)()

    for unit in ("p2pdi-rsd", "p2pdi-peerd", "p2pdi-peerd@bob"):
        host.wait_state(unit)
    host.wait_message("3 peers known from", "-b", "-u", "p2pdi-rsd")
    for instance in ([], ["--instance=bob"]):
        host.wait_registered(*instance)
    assert {p["peerId"]: p["host"] for p in host.json("--rs", "registrations")} == before
    assert len(host.messages("-b", "MESSAGE_ID=69371e00cb8a40e5984448601d9d2f27")) == 2     # both came with their cookies
    with host.registrant() as again:
        again.cookie = by_hand.cookie
        assert again.keepalive().status == 200
    host.wait_held(1)
    assert host.ctl("cat", "7230").out.encode() == content
    assert host.messages("MESSAGE_ID=35f0e68709a2480097350bab92272c8d") == []
    # Of those that it knew it asks whom it can, also where there is no server any more.
    host.systemctl("stop", "p2pdi-rsd")
    host.sh("rm /var/lib/p2pdi/rfc/rfc7230.txt")
    host.wait_held(0)
    getattr(host, how)()
    host.systemctl("disable", "--now", "p2pdi-rsd")
    host.wait_held(1, "--instance=bob")
    assert re.search(r"last-known", host.ctl("peers", "--no-legend").out) or host.ctl("get", "7230")
