# SPDX-License-Identifier: BSD-2-Clause
"""A registration server that is away: a peer finds out when it is asked for something, and is not held up by it."""

import time

from p2pdi.base import until
from p2pdi.documents import document


def test_get_that_finds_the_server_away_makes_it_known(world):
    rs = world.rs()
    holder = world.peer("holder", {7: document(7)}, rs)
    a = world.peer("a", {}, rs)
    a.ctl("refresh")
    assert a.json("status")["servers"][0]["reachable"]
    rs.kill()
    assert a.ctl("get", "7").code == 0          # from the last known peer
    a.wait_log(r"can't be reached \(refused\): going on with the peers known")
    assert not a.json("status")["servers"][0]["reachable"]
    a.ctl("get", "8")
    a.ctl("get", "9")
    assert a.count_log(r"can't be reached \(refused\): going on") == 1         # said once
    assert holder.content(7) == document(7)


def test_get_with_the_server_away_after_a_restart(world):
    """From what is on disk of the last list."""
    holder = world.holder({7: document(7), 8: document(8)})
    server = world.server([holder])
    a = world.peer("a", {}, server)
    a.get(7)
    server.vanish()
    a.restart()
    r = a.get(8)
    assert "no registration server answered" in r.err and a.content(8) == document(8)


def test_server_that_comes_back_is_registered_with_as_soon_as_it_is_heard(world):
    """Whatever the back-off says, which is minutes by then."""
    rs = world.rs({"Registration.TTLSec": 2, "Registration.KeepAliveSec": 1})
    a = world.peer("a", {}, rs)
    rs.kill()
    until(lambda: a.json("status")["servers"][0]["state"] != "registered", "the end of the lease")
    for _ in range(10):                         # each makes it try to register, in vain
        a.ctl("get", "7")
    rs.start()
    a.ctl("get", "7")                           # finds that nobody else is there, and so that the server is
    rs.wait_active(1)


def test_end_does_not_wait_for_a_server_that_is_away(world):
    def end(name):
        rs = world.rs(name=f"rs-{name}")
        a = world.peer(name, {}, rs)
        rs.kill()
        begin = time.monotonic()
        a.stop()
        duration = time.monotonic() - begin
        a.wait_log("it lists this peer until the lease ends")
        return duration

    # Else it gives up after 2 s, each time; a busy machine is not that slow three times.
    assert any(end(name) < 1.5 for name in ("a", "b", "c"))


def test_reload_tells_what_needs_a_restart(world):
    a = world.peer("a", {})
    a.write_config({"Server.Threads": 3, "Store.Path": world.dir + "/elsewhere"})
    a.reload()
    a.wait_log("Server.Threads= takes effect at a restart")
    a.wait_log("Store.Path= takes effect at a restart")
