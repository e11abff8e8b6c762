# SPDX-License-Identifier: BSD-2-Clause
"""A registration server that comes and goes, and a thousand peers who want to be registered with it."""

import contextlib
import json
import os
import select
import sqlite3
import subprocess
import time

import pytest

from p2pdi import BUILD, Registrant, World, request, until

N_PEERS = 1000
# How long the server comes and goes, a second each.
FLAPS = 10


class Flock:
    """tests/net/flock.c"""

    def __init__(self, rs, n, directory):
        self.process = subprocess.Popen([os.path.join(BUILD, "tests", "net", "flock"), rs.text, str(n),
                                         os.path.join(directory, "flock.db")], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def report(self):
        self.process.stdin.write(b"\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def close(self):
        self.process.stdin.close()
        assert self.process.wait(timeout=20) == 0


@pytest.fixture
def world():
    w = World()
    yield w
    w.close()


def pause(seconds):
    """What is a second in the name of the test is one here."""
    select.select([], [], [], seconds)


def check_cookies(rs, peers):
    """Each cookie that was told is known, as that of the id that was told with it."""
    assert len(set(map(tuple, peers))) == len(peers)
    rs.stop()
    with contextlib.closing(sqlite3.connect(os.path.join(rs.state_dir, "registry.db"))) as db:
        columns = [c[1] for c in db.execute("PRAGMA table_info(peers)")]
        known = {row[columns.index("cookie")]: row[columns.index("id")] for row in db.execute("SELECT * FROM peers")}
    assert {cookie: peer_id for cookie, peer_id in peers}.items() <= known.items()
    assert len(known) == len(peers), "somebody was registered twice"
    rs.start()
    with Registrant(rs) as r:
        r.wire.send(b"".join(request("POST KeepAlive", {"Cookie": cookie}) for cookie, _ in peers))
        assert {r.wire.reply().status for _ in peers} == {200}


def test_server_flaps(world):
    """Every second it is there or not, now stopped, now killed. Nobody loses its cookie or its id."""
    rs = world.rs({"Registration.TTLSec": 20, "Registration.KeepAliveSec": 2, "Log.Level": "warning"})
    flock = world.keep(Flock(rs, N_PEERS, world.dir))
    until(lambda: flock.report()["active"] == N_PEERS, "all of them", timeout=60)
    calm = flock.report()
    for i in range(FLAPS):
        if i % 2:
            rs.stop()
        else:
            rs.kill()
        pause(1)
        rs.start()
        pause(1)
    begin = time.monotonic()
    until(lambda: flock.report()["active"] == N_PEERS, "all of them again", timeout=90)
    took = time.monotonic() - begin
    now = flock.report()
    print(f"{N_PEERS} peers, server gone {FLAPS} times: {now['answered'] - calm['answered']} requests answered, {now['inVain']} in vain; "
          f"in the busiest second {now['mostAnswered']} answered (in calm at most {calm['mostAnswered']}), {now['mostTried']} tried; "
          f"all active {took:.1f} s after the last start; {now['lost']} cookies lost")
    assert now["lost"] == 0 and now["inVain"] > N_PEERS / 2
    flock.close()
    world.closers.remove(flock)
    check_cookies(rs, now["peers"])


def test_restart_after_an_outage_is_no_storm(world):
    """All have backed off for a while, and their leases have ended: they come back one after the other."""
    rs = world.rs({"Registration.TTLSec": 4, "Registration.KeepAliveSec": 2, "Log.Level": "warning"})
    flock = world.keep(Flock(rs, N_PEERS, world.dir))
    until(lambda: flock.report()["active"] == N_PEERS, "all of them", timeout=60)
    before = flock.report()
    rs.kill()
    until(lambda: flock.report()["inVain"] > 4 * N_PEERS, "a back-off of some seconds", timeout=60)
    rs.start()
    begin = time.monotonic()
    answered, peak = flock.report()["answered"], 0
    while flock.report()["active"] < N_PEERS:
        pause(1)
        now = flock.report()["answered"]
        answered, peak = now, max(peak, now - answered)
        assert time.monotonic() - begin < 90
    took = time.monotonic() - begin
    now = flock.report()
    print(f"{N_PEERS} peers after an outage: all active {took:.1f} s after the start; in the busiest second {peak} requests answered; "
          f"{now['lost']} cookies lost")
    assert now["lost"] == 0 and now["peers"] == before["peers"]
    assert peak < N_PEERS, "all came in one second"
    flock.close()
    world.closers.remove(flock)
    check_cookies(rs, now["peers"])
