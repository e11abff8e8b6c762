# SPDX-License-Identifier: BSD-2-Clause
"""The wall clock jumps by years, and nobody's lease ends; the machine was suspended for longer than a lease, and all do, and
everybody is back at once."""

import ctypes
import mmap
import os
import struct

import pytest

from p2pdi.base import BUILD, until
from p2pdi.documents import document
from p2pdi.wire import parse_list

PRELOAD = os.path.join(BUILD, "tests/kill/clocks.so")
YEAR = 365 * 86400
# syscall(SYS_futex, address, FUTEX_WAKE, n)
FUTEX = {"x86_64": 202, "aarch64": 98}.get(os.uname().machine)


class Clocks:
    """Those of one daemon."""

    libc = ctypes.CDLL(None, use_errno=True)

    def __init__(self, daemon):
        if not os.access(PRELOAD, os.R_OK):
            pytest.skip(f"{PRELOAD} is not there: make check-kill builds it")
        if not FUTEX:
            pytest.skip("what number futex has on this machine is not known here")
        self.daemon = daemon
        path = os.path.join(daemon.dir, "clocks")
        with open(path, "wb+") as f:
            f.truncate(mmap.PAGESIZE)
            self.page = mmap.mmap(f.fileno(), mmap.PAGESIZE)
        self.address = ctypes.addressof(ctypes.c_char.from_buffer(self.page))
        daemon.environment = {
            "LD_PRELOAD": PRELOAD, "P2PDI_CLOCKS": path,
            "ASAN_OPTIONS": f"{os.environ.get('ASAN_OPTIONS', '')}:verify_asan_link_order=0".lstrip(":"),
        }
        self.realtime = self.boottime = 0

    def set(self, realtime=None, boottime=None):
        """Seconds ahead of the true ones; returns once timers are armed by it, if the daemon runs."""
        self.realtime = self.realtime if realtime is None else realtime
        self.boottime = self.boottime if boottime is None else boottime
        n = struct.unpack_from("=I", self.page, 16)[0] + 1
        struct.pack_into("=qqI", self.page, 0, self.realtime * 10**9, self.boottime * 10**9, n)
        self.libc.syscall(FUTEX, ctypes.c_void_p(self.address + 16), 1, 1)
        if self.daemon.running:
            until(lambda: struct.unpack_from("=I", self.page, 20)[0] == n, "the new clock")


@pytest.fixture
def rs(world):
    rs = world.rs(start=False)
    rs.clocks = Clocks(rs)
    return rs


@pytest.fixture
def peer(world, rs):
    peer = world.peer("a", {7: document(7)}, rs, start=False)
    peer.clocks = Clocks(peer)
    return peer


def left(registrant):
    """What the others have left, as they are listed."""
    return {p[2]: p[3] for p in parse_list(registrant.query().body)}


@pytest.mark.parametrize("years", [10, -10, 40])
def test_no_lease_ends_as_the_wall_clock_jumps(rs, years):
    rs.start()
    with rs.registrant() as a, rs.registrant() as b:
        a.register(1)
        b.register(2)
        rs.clocks.set(realtime=years * YEAR)
        assert 7100 < left(b)[a.id] <= 7200
        assert a.keepalive().status == 200 and b.keepalive().status == 200
        rs.kill()                       # and by what was written before and after
        rs.start()
    with rs.connect() as w:
        assert w.ask("POST KeepAlive", {"Cookie": a.cookie}).status == 200
        assert w.ask("POST KeepAlive", {"Cookie": b.cookie}).status == 200
        rs.clocks.set(realtime=0)
        assert w.ask("POST KeepAlive", {"Cookie": a.cookie}).status == 200
    assert rs.count_log("has ended") == 0
    assert rs.json("registrations", "--all")[0]["registrations30Days"] == 1


def ask(rs, line, registrant, **headers):
    """On a connection of its own: one that stood still is closed after a suspend."""
    with rs.connect() as w:
        return w.ask(line, {"Cookie": registrant.cookie, **headers})


def test_leases_end_in_a_suspend(rs):
    """By the timer alone: nobody asks."""
    rs.start()
    with rs.registrant() as a, rs.registrant() as b:
        a.register(1)
        b.register(2)
    rs.clocks.set(boottime=3600)
    peers = parse_list(ask(rs, "GET PQuery", b).body)
    assert [p[2] for p in peers] == [a.id] and 3500 < peers[0][3] <= 3600
    rs.clocks.set(boottime=7201)
    rs.wait_log(f"The lease of peer {a.id} at .* has ended")
    assert ask(rs, "POST KeepAlive", a).status == 401 and ask(rs, "POST KeepAlive", b).status == 200
    assert ask(rs, "POST Register", a, Port=1)["Peer-Id"] == str(a.id)
    rs.clocks.set(boottime=YEAR // 12)
    rs.wait_log(f"The lease of peer {a.id} at .* has ended", n=2)
    rs.wait_log(f"The lease of peer {b.id} at .* has ended")


def test_a_clock_of_boots_that_goes_back(rs):
    """As in a container that is moved: the same boot id, and less on the clock. Each lease goes on with what was left."""
    rs.clocks.set(boottime=YEAR)
    rs.start()
    with rs.registrant() as a, rs.registrant() as b:
        a.register(1)
        b.register(2)
    rs.kill()
    rs.clocks.set(boottime=0)
    rs.start()
    with rs.connect() as w:
        peers = parse_list(w.ask("GET PQuery", {"Cookie": b.cookie}).body)
        assert [p[2] for p in peers] == [a.id] and 7100 < peers[0][3] <= 7200


@pytest.mark.parametrize("years", [10, -10])
def test_a_peer_stays_as_the_wall_clock_jumps(rs, peer, years):
    rs.start()
    peer.start()
    peer.wait_registered()
    peer.wait_scanned(1)
    mark, rs_mark = peer.mark(), rs.mark()
    peer.clocks.set(realtime=years * YEAR)
    with peer.connect() as w:
        assert w.ask("GET RFC 7").body == document(7)
    assert peer.json("status")["servers"][0]["state"] == "registered"
    peer.put(8, document(8))
    peer.wait_scanned(2)
    peer.clocks.set(realtime=0)
    assert peer.ctl("verify").code == 0
    peer.wait_registered()
    assert rs.count_log("register", rs_mark) == 0, rs.log(rs_mark)
    assert peer.count_log("refused|failed|expired", mark) == 0


def test_a_peer_that_was_suspended_is_back_at_once(rs, peer):
    """Both clocks go on by three hours, the server's first: it has let the peer go when that one wakes up."""
    rs.start()
    peer.start()
    peer.wait_registered()
    before = rs.json("registrations")[0]["peerId"]
    rs.clocks.set(boottime=3 * 3600)
    rs.wait_log(f"The lease of peer {before} at .* has ended")
    assert rs.json("registrations") == []
    peer.clocks.set(boottime=3 * 3600)
    rs.wait_active(1)
    assert [r["peerId"] for r in rs.json("registrations", "--all")] == [before]
    peer.wait_log(r"Registered at .* as peer", n=2)   # the answer is not on the way any more
    # It sleeps on: after the next night the same.
    rs.clocks.set(boottime=11 * 3600)
    rs.wait_log(f"The lease of peer {before} at .* has ended", n=2)
    peer.clocks.set(boottime=11 * 3600)
    rs.wait_active(1)
    assert [r["peerId"] for r in rs.json("registrations", "--all")] == [before]
