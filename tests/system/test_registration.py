# SPDX-License-Identifier: BSD-2-Clause
"""Section 2 of the protocol: what the registration server does, by hand."""

import contextlib
import os
import socket
import sqlite3
import time

import pytest

from p2pdi.addresses import endpoint
from p2pdi.base import until
from p2pdi.wire import Registrant, Wire, parse_list, request

COOKIE_MAX = (1 << 53) - 1


def registrants(rs, n, first_port=1000, **options):
    """n peers, all active, on a connection each."""
    all_ = [Registrant(rs, **options) for _ in range(n)]
    for i, r in enumerate(all_):
        r.register(first_port + i)
    return all_


def ids(peers):
    return [p[2] for p in peers]


def ask_until(condition, registrant):
    """Asks again and again for what only time brings. Gives the list for which condition(list) holds."""
    peers = []

    def ask():
        peers[:] = registrant.peers()[1]
        return condition(peers)

    until(ask, "the list")
    return peers


def registrations(rs, *arguments):
    return {r["peerId"]: r for r in rs.json("registrations", *arguments)}


# ---- Register ----

def test_register_answers_with_all_that_a_peer_needs(world):
    rs = world.rs()
    with rs.registrant() as r:
        reply = r.register(65424)
    assert 1 <= int(reply["Cookie"]) <= COOKIE_MAX and reply["Cookie"] == str(int(reply["Cookie"]))
    assert reply["Peer-Id"] == "1" and reply["TTL"] == "7200" and reply["Address"] == "127.0.0.1"
    assert reply["Keep-Alive"] == "2400" and reply.body == b""


def test_lease_and_interval_are_as_configured(world):
    rs = world.rs({"Registration.TTLSec": "10min", "Registration.KeepAliveSec": "7s"})
    with rs.registrant() as r:
        reply = r.register(1)
        assert (reply["TTL"], reply["Keep-Alive"]) == ("600", "7")
        reply = r.keepalive()
        assert (reply["TTL"], reply["Keep-Alive"], reply["Address"]) == ("600", "7", "127.0.0.1")


def test_cookies_are_drawn_at_random(world):
    rs = world.rs()
    with rs.registrant() as r:
        cookies = []
        for port in range(1, 101):
            r.cookie = None
            r.register(port)
            cookies.append(int(r.cookie))
            assert r.id == port         # ids count, cookies do not
    assert len(set(cookies)) == 100 and cookies != sorted(cookies)
    # One in 2^100 would fail this by chance.
    assert max(cookies) > COOKIE_MAX // 2 > min(cookies) > 100


@pytest.mark.parametrize("port", ["0", "65536", "-1", "", "x", "80 80", "4294967377", None])
def test_port_that_is_none(shared_rs, port):
    with shared_rs.connect() as w:
        assert w.ask("POST Register", {"Port": port}).status == 400
        w.expect_closed()


@pytest.mark.parametrize("port", ["1", "65535"])
def test_all_ports_will_do(shared_rs, port):
    with shared_rs.registrant() as r:
        r.register(port)


def test_host_name_is_for_people(world):
    rs = world.rs()
    with rs.registrant() as a, rs.registrant() as b:
        for host in ("ä" * 126 + "x", "not a name at all", "127.9.9.9", "", None):
            a.register(7, Host=host)
            b.register(8)
            assert [p[4] for p in b.peers()[1]] == [host or ""]
        for bad in ("x" * 254, "a\tb", "a\x1fb", b"\xff\xfe".decode("utf-8", "surrogateescape")):
            with rs.connect() as w:
                assert w.ask("POST Register", {"Port": 9, "Host": bad}).status == 400


@pytest.mark.parametrize("cookie", ["0", str(COOKIE_MAX + 1), "-5", "1e5", "0x10", ""])
def test_cookie_that_is_none(shared_rs, cookie):
    for line in ("POST Register", "POST Leave", "POST KeepAlive", "GET PQuery"):
        with shared_rs.connect() as w:
            assert w.ask(line, {"Port": 5, "Cookie": cookie}).status == 400


@pytest.fixture(scope="module")
def shared_rs(shared):
    return shared.rs()


# ---- cookies ----

@pytest.mark.parametrize("line", ["POST Leave", "POST KeepAlive", "GET PQuery"])
def test_message_that_needs_a_cookie(shared_rs, line):
    with shared_rs.connect() as w:
        assert w.ask(line).status == 400
        w.expect_closed()


@pytest.mark.parametrize("line", ["POST Register", "POST Leave", "POST KeepAlive", "GET PQuery"])
def test_unknown_cookie(shared_rs, line):
    with shared_rs.connect() as w:
        reply = w.ask(line, {"Port": 5, "Cookie": COOKIE_MAX})
        assert (reply.status, reply.phrase) == (401, "Unknown Cookie") and "Cookie" not in reply
        assert w.ask(line, {"Port": 5, "Cookie": COOKIE_MAX}).status == 401     # the connection stays
    with shared_rs.registrant() as r:
        r.register(5)                   # then anew, without


def test_cookie_of_a_peer_is_not_its_id(world):
    rs = world.rs()
    with rs.registrant() as a, rs.registrant() as b:
        a.register(1)
        b.register(2)
        for line in ("POST Leave", "POST KeepAlive"):
            assert b.wire.ask(line, {"Cookie": a.id}).status == 401
        assert b.peers()[0] == 1


def test_cookie_is_told_to_its_owner_alone(world):
    rs = world.rs()
    with rs.registrant() as a, rs.registrant() as b:
        a.register(1)
        b.register(2)
        a.keepalive()
        assert a.cookie.encode() not in b.query().body
        assert "Cookie" not in b.query() and "Cookie" not in a.keepalive()
        a.leave()
        a.register(3)
    for r in (a, b):
        assert r.cookie not in str(rs.json("registrations", "--all"))
        assert r.cookie not in rs.ctl("registrations", "--all", rs=True).text + rs.ctl("status", rs=True).text
    rs.stop()
    assert a.cookie not in rs.log() and b.cookie not in rs.log() and "Cookie: ***" in rs.log()


# ---- active, and when ----

def test_only_register_makes_active(world):
    rs = world.rs()
    with rs.registrant() as a, rs.registrant() as b:
        a.register(1)
        b.register(2)
        assert a.leave().status == 200
        assert a.leave().status == 200          # also if inactive already
        reply = a.keepalive()
        assert (reply.status, reply.phrase) == (401, "Unknown Cookie")
        active, peers = a.peers()               # is answered, and renews nothing
        assert (active, ids(peers)) == (1, [b.id])
        assert b.peers() == (0, [])
        cookie, peer_id = a.cookie, a.id
        a.register(1)
        assert (a.cookie, a.id) == (cookie, peer_id)
        assert ids(b.peers()[1]) == [a.id]
        assert registrations(rs)[a.id]["registrations30Days"] == 2


def test_register_keepalive_and_query_set_the_lease_back_to_full(world):
    rs = world.rs()
    watcher, by_register, by_keepalive, by_query, silent, gone = registrants(rs, 6)
    gone.leave()

    def ttls(peers):
        return {p[2]: p[3] for p in peers}

    with contextlib.ExitStack() as stack:
        for r in (watcher, by_register, by_keepalive, by_query, silent, gone):
            stack.enter_context(r)
        # Rounded down: two seconds less than full after more than one second.
        ask_until(lambda peers: all(p[3] <= 7198 for p in peers), watcher)
        by_register.register(2000)
        assert by_keepalive.keepalive().status == 200
        by_query.query()
        gone.query()
        left = ttls(watcher.peers()[1])
    assert all(left[r.id] >= 7199 for r in (by_register, by_keepalive, by_query))
    assert left[silent.id] <= 7198 and gone.id not in left


def test_lease_ends(world):
    rs = world.rs({"Registration.TTLSec": "1s"})
    with rs.registrant() as a, rs.registrant() as b:
        a.register(1)
        rs.wait_active(1)
        rs.wait_active(0)
        rs.wait_log("The lease of peer 1 at 127.0.0.1:1 has ended")
        assert a.keepalive().status == 401
        b.register(2)
        assert b.peers() == (0, [])
        cookie = a.cookie
        a.register(1)
        assert (a.cookie, a.id) == (cookie, 1)
        assert ids(b.peers()[1]) == [1]


def test_keepalive_keeps_active(world):
    rs = world.rs({"Registration.TTLSec": "1s"})
    with rs.registrant() as a, rs.registrant() as b:
        def kept():
            """For longer than a lease. False: we were away for as long as one, and so it may have ended."""
            before = time.monotonic()
            end = before + 1.2
            a.register(1)
            mark = rs.mark()
            while before < end:
                now = time.monotonic()
                status = a.keepalive().status
                if time.monotonic() - before >= 1:
                    return False
                assert status == 200
                before = now
            assert rs.count_log(f"The lease of peer {a.id} ", mark) == 0
            return True

        b.register(2)
        until(kept, "a lease that is renewed in time")
        rs.wait_log(f"The lease of peer {b.id} ")


def test_ghost_makes_room_for_who_registers_its_address_and_port(world):
    rs = world.rs()
    with rs.registrant() as a, rs.registrant() as b, rs.registrant() as c:
        a.register(77)
        c.register(78)
        b.register(77)
        assert b.id != a.id
        assert ids(c.peers()[1]) == [b.id]
        assert a.keepalive().status == 401
        a.register(77)                          # and the other way round
        assert ids(c.peers()[1]) == [a.id] and b.keepalive().status == 401


def test_register_with_its_cookie_from_another_port(world):
    rs = world.rs()
    with rs.registrant() as a, rs.registrant() as b:
        a.register(77)
        b.register(5)
        cookie = a.cookie
        a.register(78)
        assert (a.cookie, a.id) == (cookie, 1)
        assert [p[:3] for p in b.peers()[1]] == [("127.0.0.1", 78, 1)]
        with rs.registrant() as other:
            other.register(77)                  # the old one is free
            assert sorted(ids(b.peers()[1])) == [1, other.id]


# ---- addresses ----

def test_address_is_that_of_register_and_keepalive(world):
    rs = world.rs()
    with rs.registrant("127.0.0.1") as a, rs.registrant() as b, rs.connect("127.0.0.2") as elsewhere:
        a.register(77)
        b.register(5)

        def listed():
            return [p[:3] for p in b.peers()[1]]

        with rs.connect("127.0.0.3") as w:      # these two don't change it
            w.ask("GET PQuery", {"Cookie": a.cookie})
            assert listed() == [("127.0.0.1", 77, a.id)]
        reply = elsewhere.ask("POST KeepAlive", {"Cookie": a.cookie})
        assert reply["Address"] == "127.0.0.2" and listed() == [("127.0.0.2", 77, a.id)]
        rs.wait_log(r"The cookie of peer 1 came from another address than before, 127\.0\.0\.2:77")
        reply = a.register(77)
        assert reply["Address"] == "127.0.0.1" and listed() == [("127.0.0.1", 77, a.id)]
        with rs.connect("127.0.0.3") as w:
            assert w.ask("POST Leave", {"Cookie": a.cookie}).status == 200
        assert listed() == []


def test_a_cookie_from_another_address_is_logged(world):
    rs = world.rs()
    with rs.registrant() as a, rs.connect("127.0.0.9") as w:
        a.register(77)
        w.ask("GET PQuery", {"Cookie": a.cookie})
        rs.wait_log("The cookie of peer 1 came from another address")


def test_advertise_counts_only_from_listed_sources(world):
    rs = world.rs({"Registration.AdvertiseFrom": ["127.0.0.2", "127.0.0.16/28"]})
    for source, listed in (("127.0.0.1", "127.0.0.1"), ("127.0.0.2", "192.0.2.7"), ("127.0.0.17", "192.0.2.7"),
                           ("127.0.0.32", "127.0.0.32")):
        with rs.registrant(source) as r:
            assert r.register(7, Advertise="192.0.2.7")["Address"] == listed
            assert r.keepalive()["Address"] == listed
    with rs.registrant("127.0.0.2") as r:
        assert r.register(8, Advertise="2001:DB8::0:1")["Address"] == "2001:db8::1"
        assert r.register(8, Advertise="::ffff:192.0.2.9")["Address"] == "192.0.2.9"
        assert r.register(8)["Address"] == "127.0.0.2"
    with rs.connect() as w:
        assert w.ask("POST Register", {"Port": 7, "Advertise": "somewhere"}).status == 400


def test_no_header_makes_one_registered_elsewhere(world):
    """A victim's address in every field that there is, and in those that others trust: the list shows where the connection came from."""
    rs = world.rs()
    victim = "192.0.2.7"
    names = ["Host", "OS", "Advertise", "Address", "IP", "Ip-Address", "X-Forwarded-For", "X-Real-IP", "Forwarded", "Client-IP", "Via",
             "From", "Peer-Id", "Remote-Addr", "True-Client-IP", "Location"]
    with rs.registrant("127.0.0.9") as r, rs.registrant("127.0.0.9") as other:
        assert r.register(7, **{name: victim for name in names})["Address"] == "127.0.0.9"
        assert r.keepalive()["Address"] == "127.0.0.9"
        for name in names:
            assert r.wire.ask("POST KeepAlive", {"Cookie": r.cookie, name: f"for={victim}" if name == "Forwarded" else victim})[
                "Address"] == "127.0.0.9"
        other.register(8)
        assert [(p[0], p[1]) for p in other.peers()[1]] == [("127.0.0.9", 7)]
    assert {p["address"] for p in rs.json("registrations")} == {"127.0.0.9:7", "127.0.0.9:8"}


@pytest.mark.parametrize("address", ["169.254.1.1", "fe80::1", "0.0.0.0", "::", "224.0.0.1", "ff02::1",
                                     "255.255.255.255"])
def test_address_that_leads_nowhere_is_not_listed(world, address):
    rs = world.rs({"Registration.AdvertiseFrom": "localhost"})
    with rs.connect() as w:
        assert w.ask("POST Register", {"Port": 7, "Advertise": address}).status == 403


def link_local():
    """An IPv6 link-local address of this host and its interface, or None."""
    with contextlib.suppress(OSError), open("/proc/net/if_inet6", encoding="ascii") as f:
        for line in f:
            digits, index, _, scope, flags, _ = line.split()
            if scope == "20" and not int(flags, 16) & 0x40:     # not tentative
                return socket.inet_ntop(socket.AF_INET6, bytes.fromhex(digits)), int(index, 16)
    return None


def test_link_local_source_is_refused(world):
    found = link_local()
    if not found:
        pytest.skip("this host has no link-local address")
    rs = world.rs(address="::")
    with contextlib.closing(socket.socket(socket.AF_INET6, socket.SOCK_STREAM)) as s:
        s.settimeout(10)
        try:
            s.connect((found[0], rs.place.port, 0, found[1]))
        except OSError as e:
            pytest.skip(f"this host can't reach its own link-local address: {e}")
        s.sendall(request("POST Register", {"Port": 7, "Connection": "close"}))
        assert s.recv(100).startswith(b"P2P-DI/1.0 403 Forbidden\r\n")


def other_address():
    """An address of this host that is not loopback, or None. Nothing is sent."""
    for family, somewhere in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
        with contextlib.suppress(OSError), contextlib.closing(socket.socket(family, socket.SOCK_DGRAM)) as s:
            s.connect((somewhere, 9))
            address = s.getsockname()[0]
            if not address.startswith(("127.", "fe80:")) and address not in ("::1", "0.0.0.0"):
                return address
    return None


def test_loopback_address_is_listed_to_askers_on_loopback_only(world):
    address = other_address()
    if not address:
        pytest.skip("this host has no address but loopback")
    rs = world.rs(address="::")
    here = "::1" if ":" in address else "127.0.0.1"
    near, near2, far, far2 = (Registrant(rs, host=host) for host in (here, here, address, address))
    for i, r in enumerate((near, near2, far, far2)):
        r.register(100 + i)
    assert near.peers()[0] == 3 and ids(near.peers()[1]) == [near2.id, far.id, far2.id]
    assert far.peers()[0] == 1 and ids(far.peers()[1]) == [far2.id]


def test_ipv6(world):
    rs = world.rs(address="::1")
    with rs.registrant() as a, rs.registrant() as b:
        assert a.register(77)["Address"] == "::1"
        b.register(78)
        assert [p[:3] for p in b.peers()[1]] == [("::1", 77, a.id)]
    assert registrations(rs)[1]["address"] == "[::1]:77"


def test_ipv4_mapped_address_is_the_ipv4_address(world):
    rs = world.rs(address="::")
    with Wire(("127.0.0.1", rs.place.port)) as w:
        assert w.ask("POST Register", {"Port": 77})["Address"] == "127.0.0.1"
    assert registrations(rs)[1]["address"] == endpoint("127.0.0.1", 77)


# ---- lists ----

def test_nobody_else_is_active(world):
    rs = world.rs()
    with rs.registrant() as r:
        r.register(1)
        reply = r.query()
        assert (reply.status, reply.phrase, reply["Active"], reply.body) == (204, "No Active Peers", "0", b"")


def test_list_has_all_but_the_asker_by_id(world):
    rs = world.rs()
    all_ = registrants(rs, 5)
    for r in reversed(all_):
        r.keepalive()
    for r in all_:
        active, peers = r.peers()
        assert active == 4 and ids(peers) == [o.id for o in all_ if o is not r]
        for address, port, i, ttl, host in peers:
            assert (address, port, host) == ("127.0.0.1", 999 + i, "by-hand") and 0 < ttl <= 7200
        r.close()


def test_pages(world):
    """Five peers, two in a page."""
    rs = world.rs({"Registration.PeersPerReply": 2})
    all_ = registrants(rs, 5)
    asker = all_[2]
    pages, after = [], None
    while True:
        active, peers = asker.peers(After=after)
        assert active == 4
        if not peers:
            break
        pages.append(ids(peers))
        after = peers[-1][2]
    assert pages == [[1, 2], [4, 5]]
    assert asker.query(After=5).status == 200 and asker.query(After=4294967295).status == 200
    # A larger Limit makes no longer page, a smaller one a shorter.
    assert ids(asker.peers(After=0, Limit=1000)[1]) == [1, 2]
    assert ids(asker.peers(After=1, Limit=1)[1]) == [2]
    # Who leaves in between is not there, and nobody else is missed.
    all_[3].leave()
    active, peers = asker.peers(After=2)
    assert active == 3 and ids(peers) == [5]
    for r in all_:
        r.close()


def test_limit_gives_a_uniform_sample(world):
    rs = world.rs()
    all_ = registrants(rs, 11)
    asker = all_[0]
    n_asked, counts, first = 300, {}, []
    for _ in range(n_asked):
        active, peers = asker.peers(Limit=3)
        assert active == 10 and len(set(ids(peers))) == 3 and asker.id not in ids(peers)
        first.append(ids(peers))
        for i in ids(peers):
            counts[i] = counts.get(i, 0) + 1
    # Each is drawn 90 times, give or take 8: ten times that is chance no more.
    assert len(counts) == 10 and all(20 < c < 160 for c in counts.values()), counts
    assert len({tuple(f) for f in first}) > 10
    # No sample where all fit.
    assert ids(asker.peers(Limit=10)[1]) == ids(asker.peers(Limit=11)[1]) == [r.id for r in all_[1:]]
    for r in all_:
        r.close()


# ---- limits ----

def test_full_table(world):
    rs = world.rs({"Registration.MaxPeers": 2})
    a, b, c = (Registrant(rs) for _ in range(3))
    a.register(1)
    b.register(2)
    reply = c.wire.ask("POST Register", {"Port": 3})
    assert reply.status == 503 and int(reply["Retry-After"]) > 0
    b.register(2)                               # who is in stays in
    a.leave()                                   # an absent one makes room
    c.register(3)
    assert c.id == 3 and ids(c.peers()[1]) == [b.id]
    assert a.wire.ask("POST Register", {"Port": 1, "Cookie": a.cookie}).status == 401


def test_one_source_cannot_fill_the_table(world):
    rs = world.rs({"Registration.MaxPeersPerSource": 2})
    a, b, c = (Registrant(rs, "127.0.0.1") for _ in range(3))
    a.register(1)
    b.register(2)
    reply = c.wire.ask("POST Register", {"Port": 3})
    assert reply.status == 429 and int(reply["Retry-After"]) > 0
    with rs.registrant("127.0.0.2") as other:
        other.register(3)
    a.leave()
    c.register(3)


def test_new_connections_of_one_source_have_a_rate(world):
    rs = world.rs({"Limits.RatePerSource": 1, "Limits.Burst": 5})
    statuses = []
    for _ in range(8):
        with Wire(rs.endpoint) as w:
            with contextlib.suppress(ConnectionError):
                w.send(request("GET PQuery", {"Cookie": 5}))
            reply = w.reply()
            statuses.append(reply.status)
            assert reply.status == 401 or int(reply["Retry-After"]) > 0
    assert set(statuses[:2]) == {401} and statuses[-1] == 429
    with Wire(rs.endpoint, "127.0.0.2") as w:
        assert w.ask("GET PQuery", {"Cookie": 5}).status == 401
    rs.wait_log("RatePerSource")


def test_requests_answered_on_an_open_connection_have_none(world):
    rs = world.rs({"Limits.RatePerSource": 1, "Limits.Burst": 2})
    with rs.registrant() as r:
        r.register(1)
        assert all(r.keepalive().status == 200 for _ in range(100))


def test_guesses_on_an_open_connection_have_one(world):
    """Else whoever has a connection could try cookies as fast as the server reads."""
    rs = world.rs({"Limits.RatePerSource": 1, "Limits.Burst": 20})
    with Wire(rs.endpoint) as w:
        w.send(b"".join(request("POST KeepAlive", {"Cookie": 1 + n}) for n in range(1000)))
        replies = []
        while not replies or not replies[-1].closes:
            replies.append(w.reply())
        w.expect_closed()
    assert {r.status for r in replies} == {401} and 15 <= len(replies) <= 40
    with Wire(rs.endpoint, "127.0.0.2") as w:
        assert w.ask("POST KeepAlive", {"Cookie": 5}).status == 401


def test_connections_in_all_and_per_source(world):
    rs = world.rs({"Server.MaxConnections": 3, "Server.MaxConnectionsPerSource": 2})
    a, b = Registrant(rs, "127.0.0.1"), Registrant(rs, "127.0.0.1")
    a.register(1)
    b.register(2)
    with rs.connect("127.0.0.1") as w:
        assert w.reply().status == 429
        w.expect_closed()
    c = Registrant(rs, "127.0.0.2")
    c.register(3)
    with rs.connect("127.0.0.3") as w:
        reply = w.reply()
        assert reply.status == 503 and "Retry-After" in reply
        w.expect_closed()
    # Who was in is served on, and room is given back.
    assert a.keepalive().status == 200
    b.wire.send(request("POST KeepAlive", {"Cookie": b.cookie, "Connection": "close"}))
    b.wire.reply()
    b.wire.expect_closed()
    b.close()
    end = time.monotonic() + 20
    while True:                                 # it may not have seen yet that b is gone
        with rs.connect("127.0.0.1") as w, contextlib.suppress(ConnectionError):
            w.send(request("POST KeepAlive", {"Cookie": b.cookie}))
            if w.reply().status == 200:
                break
        assert time.monotonic() < end


# ---- over restarts ----

def test_every_cookie_that_was_told_is_known_after_a_crash(world):
    """SIGKILL right after the last 200: each Register was on disk before it."""
    rs = world.rs({"Server.MaxConnectionsPerSource": 1000})
    wires = [rs.connect() for _ in range(10)]
    for i, w in enumerate(wires):
        ports = range(1000 + 20 * i, 1020 + 20 * i)
        w.send(b"".join(request("POST Register", {"Port": port, "Host": f"host-{port}"}) for port in ports))
    told = {}
    for w in wires:
        for _ in range(20):
            reply = w.reply()
            assert reply.status == 200
            told[reply["Cookie"]] = int(reply["Peer-Id"])
    rs.kill()
    assert len(told) == 200
    rs.start()
    rs.wait_active(200)
    with rs.connect() as w:
        for cookie, peer_id in told.items():
            assert w.ask("POST KeepAlive", {"Cookie": cookie}).status == 200
        body = w.ask("GET PQuery", {"Cookie": next(iter(told))}).body
        assert ids(parse_list(body)) == sorted(set(told.values()) - {next(iter(told.values()))})


def test_a_departure_that_was_told_is_one_after_a_crash(world):
    """Else others would be sent to a peer that has left, until its lease ends."""
    rs = world.rs()
    a, b, c = registrants(rs, 3)
    for one in (a, b):
        assert one.leave().status == 200
    assert a.leave().status == 200              # has left already: nothing to write
    rs.kill()
    rs.start()
    with rs.connect() as w:
        assert [w.ask("POST KeepAlive", {"Cookie": one.cookie}).status for one in (a, b, c)] == [401, 401, 200]


def test_a_crash_in_the_middle_loses_none_that_was_told(world):
    """SIGKILL while requests are under way: what was answered is there."""
    rs = world.rs()
    w = rs.connect()
    w.send(b"".join(request("POST Register", {"Port": 1000 + i}) for i in range(500)))
    told = [w.reply()["Cookie"] for _ in range(50)]
    rs.kill()
    rs.start()
    with rs.connect() as again:
        assert all(again.ask("POST KeepAlive", {"Cookie": c}).status == 200 for c in told)


def test_all_is_kept_over_a_restart(world):
    rs = world.rs()
    a, b, c = registrants(rs, 3)
    a.register(10, Host="näme")
    a.register(10, Host="näme")
    b.leave()
    before = registrations(rs, "--all")
    rs.stop()
    rs.start()
    after = registrations(rs, "--all")
    for peer_id, one in before.items():
        one.pop("expiresInSec", None)
        assert one == {k: v for k, v in after[peer_id].items() if k != "expiresInSec"}
    assert after[a.id]["host"] == "näme" and after[a.id]["registrations30Days"] == 3 and not after[b.id]["active"]
    with rs.registrant() as d:
        d.register(50)
        assert d.id == 4                        # an id is never given twice
        assert ids(d.peers()[1]) == [a.id, c.id]
        assert d.wire.ask("POST KeepAlive", {"Cookie": a.cookie}).status == 200
        assert d.wire.ask("POST KeepAlive", {"Cookie": b.cookie}).status == 401
        assert d.wire.ask("POST Register", {"Cookie": b.cookie, "Port": 9})["Peer-Id"] == str(b.id)


def test_lease_runs_on_while_the_server_is_away(world):
    """On the same boot the point in time counts, not what was left."""
    rs = world.rs()
    with rs.registrant() as a, rs.registrant() as b:
        a.register(1)
        b.register(2)
        before = ask_until(lambda peers: peers[0][3] <= 7198, b)[0][3]
    rs.restart()
    with rs.connect() as w:
        assert parse_list(w.ask("GET PQuery", {"Cookie": b.cookie}).body)[0][3] <= before


def test_lease_that_ended_while_the_server_was_away(world):
    rs = world.rs({"Registration.TTLSec": "1s"})
    with rs.registrant() as a:
        a.register(1)
        rs.kill()
        boottime = time.clock_gettime(time.CLOCK_BOOTTIME)
        while time.clock_gettime(time.CLOCK_BOOTTIME) < boottime + 1.1:
            time.sleep(0.05)            # nothing tells that time has passed
    rs.start()
    with rs.connect() as w:
        assert w.ask("POST KeepAlive", {"Cookie": a.cookie}).status == 401
        assert w.ask("POST Register", {"Cookie": a.cookie, "Port": 1})["Peer-Id"] == "1"


def test_departure_is_kept_over_a_restart(world):
    rs = world.rs()
    a, b = registrants(rs, 2)
    a.leave()
    rs.restart()
    with rs.connect() as w:
        assert w.ask("GET PQuery", {"Cookie": b.cookie}).status == 204


def test_lease_goes_on_after_a_reboot_with_what_was_left(world):
    """Time switched off is not charged. The boot is made another one in the database."""
    rs = world.rs()
    a, b = registrants(rs, 2)
    rs.stop()
    with contextlib.closing(sqlite3.connect(os.path.join(rs.state_dir, "registry.db"))) as db, db:
        boottime, = db.execute("SELECT boottime FROM meta").fetchone()
        # That boot was up for a year, and a's lease had half an hour left when the power went.
        year = 365 * 86400 * 1000000
        db.execute("UPDATE meta SET boot_id = ?, boottime = ?", (os.urandom(16), boottime + year))
        db.execute("UPDATE peers SET expires_at = ? WHERE id = ?", (boottime + year + 1800 * 1000000, a.id))
        db.execute("UPDATE peers SET expires_at = ? WHERE id = ?", (boottime + year + 3600 * 1000000, b.id))
    rs.start()
    with rs.connect() as w:
        peers = parse_list(w.ask("GET PQuery", {"Cookie": b.cookie}).body)
        assert ids(peers) == [a.id] and 1700 < peers[0][3] <= 1800
        assert w.ask("POST KeepAlive", {"Cookie": a.cookie}).status == 200
