# SPDX-License-Identifier: BSD-2-Clause
"""A peer and its registration servers, which do as the tests tell them: what a reload changes, what is taken for a
list, how often one is asked, what does not keep the peer from ending."""

import contextlib
import os
import threading
import time

import pytest

from p2pdi.base import PATIENCE
from p2pdi.documents import document
from p2pdi.threads import Held, threads
from p2pdi.tool import end_ctl, start_ctl
from p2pdi.wire import VERSION

ADVERTISED = "192.0.2.7"


def change(peer, ini):
    peer.write_config(ini)
    peer.reload()


def states(peer):
    return [s["state"] for s in peer.json("status")["servers"]]


# ---- reload ----

def test_server_in_anothers_place_gets_nothing_of_it(world):
    """Neither the cookie nor the list of the one before counts for the new one; and the old one is left."""
    registered = threading.Event()

    def late(fake, line, headers):
        if "Register" in line:
            registered.wait(PATIENCE)

    holder = world.holder({7: document(7), 8: document(8)})
    old, new = world.server([holder]), world.server(on_request=late)
    a = world.peer("a", {}, old)
    a.get(8)
    change(a, {"Registration.Server": new.text})
    n = holder.connections
    process = start_ctl("get", "7", control=a.control)
    new.wait_requests("Register")
    old.wait_requests("Leave")
    a.json("peers")                             # the query waits for the Register meanwhile
    registered.set()
    r = end_ctl(process)
    assert (r.code, r.err) == (6, "No peer is active.\n")
    assert new.said() == [("Register", None), ("PQuery", str(new.cookie))]
    assert old.said() == [("Register", None), ("PQuery", str(old.cookie)), ("Leave", str(old.cookie))]
    assert holder.connections == n


def test_servers_that_stay_go_on_without_a_word(world):
    """In another order, and with another beside them: each is still known by its own cookie."""
    holder = world.holder({7: document(7), 8: document(8), 9: document(9)})
    one, two, three = world.server([holder]), world.server([holder]), world.server()
    a = world.peer("a", {}, [one, two])
    a.get(7)
    change(a, {"Registration.Server": [two.text, three.text, one.text]})
    a.wait_registered(3)
    a.get(8)
    change(a, {"Registration.Server": [two.text]})
    one.wait_requests("Leave")
    three.wait_requests("Leave")
    a.wait_status("registered at 1 of 1 server")
    a.get(9)
    assert one.said() == [("Register", None), ("PQuery", str(one.cookie)), ("Leave", str(one.cookie))]
    assert two.said() == [("Register", None), ("PQuery", str(two.cookie)), ("PQuery", str(two.cookie))]
    assert three.said() == [("Register", None), ("Leave", str(three.cookie))]


def test_server_that_is_named_again(world):
    """It has been left meanwhile, so there is a Register, with the cookie of before."""
    one, two = world.server(), world.server()
    a = world.peer("a", {}, [one, two])
    change(a, {"Registration.Server": two.text})
    one.wait_requests("Leave")
    change(a, {"Registration.Server": [one.text, two.text]})
    one.wait_requests("Register", 2)
    a.wait_registered(2)
    cookie = str(one.cookie)
    assert one.said() == [("Register", None), ("Leave", cookie), ("Register", cookie)]
    assert two.said() == [("Register", None)]


def test_who_has_left_stays_away_over_a_reload(world):
    """Of servers that are new, too, until it is told to join."""
    holder = world.holder({7: document(7)})
    one, two = world.server([holder]), world.server()
    a = world.peer("a", {}, one)
    assert a.ctl("leave").code == 0
    one.wait_requests("Leave")
    change(a, {"Registration.Server": [one.text, two.text], "Log.Level": "info"})
    assert states(a) == ["left", "left"]
    a.get(7)                                    # a cookie is good for a list all the same
    cookie = str(one.cookie)
    assert one.said() == [("Register", None), ("Leave", cookie), ("PQuery", cookie)] and two.said() == []
    assert a.ctl("join").code == 0
    a.wait_registered(2)
    assert one.said()[3:] == [("Register", cookie)] and two.said() == [("Register", None)]


def test_another_advertised_address_is_registered(world):
    server = world.server()
    a = world.peer("a", {}, server)
    change(a, {"Registration.Advertise": ADVERTISED})
    server.wait_requests("Register", 2)
    change(a, {"Log.Level": "info"})            # this changes nothing of it
    change(a, {"Registration.Advertise": None})
    server.wait_requests("Register", 3)
    a.stop()
    cookie = str(server.cookie)
    assert server.said() == [("Register", None), ("Register", cookie), ("Register", cookie), ("Leave", cookie)]
    assert [h.get("advertise") for _, h in server.heads] == [None, ADVERTISED, None, None]


def test_registration_that_is_switched_off(world):
    server = world.server()
    a = world.peer("a", {}, server)
    change(a, {"Registration.Enabled": "no"})
    server.wait_requests("Leave")
    a.wait_status("registered at 0 of 0 servers")
    change(a, {"Registration.Enabled": "yes"})
    server.wait_requests("Register", 2)


# ---- lists ----

def test_peers_that_leave_between_two_pages(world):
    """Those before them have been listed, so fewer are said to be active than there are lines: more pages follow."""
    holders = [world.holder({i: document(i)}) for i in range(1, 6)]

    def shrinks(fake, line, headers):
        after = int(headers.get("after", 0))
        return fake.page_behind(after, active=3) if "PQuery" in line and after > 0 else None

    server = world.server(holders, on_request=shrinks, page=2)
    a = world.peer("a", {}, server)
    a.get(5)
    assert a.content(5) == document(5)
    assert [h.get("after") for line, h in server.heads if "PQuery" in line] == [None, "2", "4"]


def refused_page(fake, line, headers):
    return fake.head(503, Retry_After=1) if "after" in headers else None


def broken_page(fake, line, headers):
    return f"{VERSION} 200 OK\r\nContent-Length: 500\r\nActive: 5\r\n\r\n".encode() if "after" in headers else None


def endless_page(fake, line, headers):
    return fake.page_behind(0) if "after" in headers else None


@pytest.mark.parametrize("rest", [refused_page, broken_page, endless_page])
def test_part_of_a_list_proves_nothing_of_those_that_are_not_in_it(world, rest):
    holders = [world.holder({i: document(i)}) for i in range(1, 6)]
    server = world.server(holders)
    a = world.peer("a", {}, server)
    a.get(1)
    server.page, server.on_request = 2, rest
    a.get(5)
    assert a.content(5) == document(5) and len(a.json("peers")) == 5
    a.wait_log("The registration server did not list its peers")
    # A whole list does.
    server.on_request, server.peers = None, holders[:1]
    a.get(4, code=3)


def test_one_query_is_for_all_that_are_asked_for_at_once(world):
    documents = {n: document(n, 500) for n in range(1, 101)}
    holder = world.holder(documents)
    server = world.server([holder])
    a = world.peer("a", {}, server)
    a.get("1-99")
    assert server.count("PQuery") == 1
    assert all(a.content(n) == documents[n] for n in range(1, 100))
    a.get(100)                                  # asked for later: the list is asked for anew
    assert server.count("PQuery") == 2


def test_cookie_that_the_server_does_not_know_when_asked_for_a_list(world):
    """The peer registers anew and asks again, once."""
    holder = world.holder({7: document(7), 8: document(8)})
    forgetful = threading.Event()

    def forgets(fake, line, headers):
        if "PQuery" not in line or forgetful.is_set() or fake.count("Register") > 1:
            return None
        return fake.head(401)

    server = world.server([holder], on_request=forgets)
    a = world.peer("a", {}, server)
    a.get(7)
    cookie = str(server.cookie)
    assert server.said() == [("Register", None), ("PQuery", cookie), ("Register", cookie), ("PQuery", cookie)]
    # Who never knows it is asked twice, and then there is none that could be.
    server.on_request = lambda fake, line, headers: fake.head(401) if "PQuery" in line else None
    n = server.count("PQuery")
    assert "only last-known peers could be asked" in a.get(8).err
    assert server.count("PQuery") == n + 2


# ---- names ----

def test_end_while_a_name_is_looked_up(world):
    """A name server that does not answer can't keep it from ending. The thread that asks it is held instead."""
    peer = world.peer("peer", {}, f"localhost:{world.server().port}")
    resolver = threads(peer)["resolver"]
    with contextlib.ExitStack() as stack:
        held = stack.enter_context(Held(resolver))
        peer.terminate()
        peer.wait("STOPPING=1", lambda: "STOPPING=1" in peer.notices)
        # A thread that is traced has ended once its tracer knows it.
        end = time.monotonic() + 10
        while os.waitpid(resolver, held.WALL | os.WNOHANG)[0] == 0:
            assert time.monotonic() < end, "it waits for the name server"
            with peer.changed:
                peer.changed.wait(0.05)
        stack.pop_all()                         # nobody is left to be let go
    assert peer.wait_end() == 0


# ---- several servers ----

def test_other_servers_are_asked_before_giving_up(world):
    """The first that answers decides where to begin, and not who there is: lists merge."""
    here, there = world.holder({7: document(7)}), world.holder({8: document(8)})
    one, two, three = world.server([here]), world.server([]), world.server([there, here])
    a = world.peer("a", {}, [one, two, three])
    a.get(7)
    assert [s.count("PQuery") for s in (one, two, three)] == [1, 0, 0]
    a.get(8)
    assert [s.count("PQuery") for s in (one, two, three)] == [2, 1, 1]
    assert len(a.json("peers")) == 2
    # Many that end at once share what was asked.
    assert a.ctl("get", "9", "10", "11").code == 3
    assert [s.count("PQuery") for s in (one, two, three)] == [3, 2, 2]


def test_server_without_peers_does_not_decide(world):
    there = world.holder({8: document(8)})
    one, two = world.server(), world.server([there])
    a = world.peer("a", {}, [one, two])
    a.get(8)
    two.peers.clear()
    assert a.ctl("get", "9").code == 3          # who is known is asked before the other server is
    r = a.ctl("get", "10")
    assert (r.code, r.err) == (6, "No peer is active.\n")
    two.vanish()
    assert a.ctl("get", "11").code == 6


def test_refresh_and_get_beside_each_other(world):
    """One wants the first server, the other those behind it: both get what they wait for."""
    asked, go_on = threading.Event(), threading.Event()

    def slow(fake, line, headers):
        if "PQuery" in line:
            asked.set()
            go_on.wait(PATIENCE)

    one, two = world.server([world.holder()]), world.server(on_request=slow)
    a = world.peer("a", {}, [one, two])
    getting = start_ctl("get", "9", control=a.control)
    assert asked.wait(PATIENCE)
    refreshing = start_ctl("refresh", control=a.control)
    go_on.set()
    assert end_ctl(getting).code == 3 and end_ctl(refreshing).code == 0
    assert one.count("PQuery") == 2
