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

from group import metric
from p2pdi.base import BUILD
from p2pdi.wire import Registrant, request
from p2pdi.world import World

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

    def wait(self, name, n, what, timeout=120):
        """Until that number of the report is so great. To tell of a thousand costs it time, so it is not asked too often."""
        end = time.monotonic() + timeout
        while self.report()[name] < n:
            assert time.monotonic() < end, f"{what} did not come"
            pause(0.1)

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
    with Registrant(rs) as r:           # who is known may ask, also when its lease has ended meanwhile
        r.wire.send(b"".join(request("GET PQuery", {"Cookie": cookie, "Limit": 1}) for cookie, _ in peers))
        assert {r.wire.reply().status for _ in peers} <= {200, 204}


def test_server_flaps(world):
    """Every second it is there or not, now stopped, now killed. Nobody loses its cookie or its id."""
    rs = world.rs({"Registration.TTLSec": 20, "Registration.KeepAliveSec": 2, "Log.Level": "warning"})
    flock = world.keep(Flock(rs, N_PEERS, world.dir))
    flock.wait("known", N_PEERS / 4, "a quarter of them")
    rs.kill()                           # in the middle of new ones, of which each is told of a cookie
    rs.start()
    flock.wait("known", N_PEERS, "all of them")
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
    flock.wait("active", N_PEERS, "all of them again")
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
    rs = world.rs({"Registration.TTLSec": 8, "Registration.KeepAliveSec": 3, "Log.Level": "warning"})
    flock = world.keep(Flock(rs, N_PEERS, world.dir))
    flock.wait("known", N_PEERS, "all of them")
    before = flock.report()
    rs.kill()
    flock.wait("inVain", 5 * N_PEERS, "a back-off of 8 to 16 seconds")
    begin = time.monotonic()
    rs.start()                          # who comes before it is ready waits for it
    then, n_came, peak = begin, 0, 0
    while n_came < N_PEERS:
        pause(1)
        # By the server's word: until a peer knows that it is active it has to write its cookie, and all of these to one disk.
        n_before, n_came = n_came, metric(rs, "p2pdi_rs_registrations_total")
        peak = max(peak, (n_came - n_before) / (time.monotonic() - then))
        then = time.monotonic()
        assert then - begin < 120
    took = time.monotonic() - begin
    now = flock.report()
    print(f"{N_PEERS} peers after an outage: all back {took:.1f} s after the start, {peak:.0f} came in the busiest second; "
          f"{now['lost']} cookies lost")
    assert now["lost"] == 0 and now["peers"] == before["peers"]
    assert peak < N_PEERS / 3, "they all come at once"
    flock.close()
    world.closers.remove(flock)
    check_cookies(rs, now["peers"])
