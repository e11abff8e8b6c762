# SPDX-License-Identifier: BSD-2-Clause
"""p2pdi-rsd is killed while peers register, renew and leave: what it answered still counts, and what it did not may."""

import random
import threading

from killing import KILLS, KINDS_OF_WORK, SEED, Killer, Points, be_killed, killed_at_start
from p2pdi.wire import Closed, Registrant, Wire, parse_list

WORKERS = 4
# What each of them asks in a round; the kill falls somewhere in it.
REQUESTS = 25


class Peer:
    def __init__(self, port):
        self.port = port
        self.cookie = self.id = None
        self.active = False             # as it was answered; None: an answer to Leave or to Register was on its way


class Worker:
    """One address with some peers. What it knows of them is what it was answered."""

    def __init__(self, number):
        self.number = number
        self.source = f"127.0.1.{number + 1}"
        self.random = random.Random(f"{SEED}/worker {number}")
        self.peers = []
        self.lost = 0                   # registrations whose answer never came: their cookies are nobody's
        self.failure = None

    def ask(self, wire, peer, verb):
        headers = {"Cookie": peer.cookie}
        if verb == "POST Register":
            headers.update({"Port": peer.port, "Host": f"w{self.number}", "OS": "test"})
        if verb in ("POST Register", "POST Leave"):
            peer.active = None
        reply = wire.ask(verb, headers)
        if verb == "POST Register":
            assert reply.status == 200, reply
            assert peer.id in (None, int(reply["Peer-Id"])), "another id for the same cookie"
            peer.cookie, peer.id, peer.active = reply["Cookie"], int(reply["Peer-Id"]), True
        elif verb == "POST Leave":
            assert reply.status == 200, reply
            peer.active = False
        else:
            # Who has left may ask for a list, and is on none.
            assert reply.status in ((401,) if verb == "POST KeepAlive" and not peer.active else (200, 204)), reply

    def round(self, rs):
        try:
            with Wire(rs.endpoint, self.source) as wire:
                for _ in range(REQUESTS):
                    if not self.peers or self.random.random() < 0.3:
                        new = Peer(len(self.peers) + self.lost + 1)
                        try:
                            self.ask(wire, new, "POST Register")
                        except (OSError, Closed):
                            self.lost += 1
                            raise
                        self.peers.append(new)
                    else:
                        verbs = ("POST Register", "POST Leave", "POST KeepAlive", "GET PQuery")
                        self.ask(wire, self.random.choice(self.peers), self.random.choice(verbs))
        except (OSError, Closed):
            pass                        # killed
        except BaseException as e:
            self.failure = e

    def check(self, rs):
        """Each cookie is known, and so is whether it has left."""
        with Wire(rs.endpoint, self.source) as wire:
            for peer in self.peers:
                status = wire.ask("POST KeepAlive", {"Cookie": peer.cookie}).status
                if peer.active is None:
                    peer.active = status == 200
                assert status == (200 if peer.active else 401), \
                    f"peer {peer.id} was {'active' if peer.active else 'gone'}, and KeepAlive gets {status}"
            for peer in self.random.sample([p for p in self.peers if not p.active], min(3, sum(not p.active for p in self.peers))):
                self.ask(wire, peer, "POST Register")   # the same id, or it says so


def listed(checker):
    """All that are active, but the one who asks."""
    found, after = set(), 0
    while True:
        reply = checker.query(After=after)
        ids = [p[2] for p in parse_list(reply.body)]
        found.update(ids)
        if not ids:
            return found
        after = max(ids)


def rounds(workers, rs):
    threads = [threading.Thread(target=w.round, args=(rs,)) for w in workers]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    for w in workers:
        if w.failure:
            raise w.failure


def check(workers, rs):
    for w in workers:
        w.check(rs)
    peers = [p for w in workers for p in w.peers]
    assert len({p.id for p in peers}) == len(peers) and len({p.cookie for p in peers}) == len(peers)
    with Registrant(rs, "127.0.2.1") as checker:
        checker.register(1)
        assert checker.id > max(p.id for p in peers), "an id is given twice"
        ids = listed(checker)
        assert {p.id for p in peers if p.active} <= ids
        assert not {p.id for p in peers if not p.active} & ids
        checker.leave()
    assert rs.count_log("was damaged") == rs.count_log("make no sense") == 0


def test_no_answer_is_taken_back(world, capsys):
    """By as many kills as fall to this kind of work: at its calls, and at those of the start."""
    killer = Killer(world, "rs")
    rs = world.rs({"Registration.MaxPeersPerSource": 100000, "Log.Level": "info", "Log.TransactionsPerSec": 0}, start=False)
    rs.environment = killer.environment()
    workers = [Worker(i) for i in range(WORKERS)]
    work, start = Points("registry"), Points("start of the registry")
    rs.start()
    kills = max(KILLS // KINDS_OF_WORK, 1)
    kinds = {"registry": 0, "its start": 0}
    for i in range(kills + 2):
        if i < 2:                       # how many calls there are, and that all is well without a kill
            killer.arm(0)
            rounds(workers, rs)
            work.measured(killer.n_calls)
            rs.stop()
            killer.arm(0)
            rs.start()
            start.measured(killer.n_calls)
        else:
            killer.arm(*work.draw())
            rounds(workers, rs)
            kinds["registry"] += 1
            be_killed(rs)
            if i % 5 == 0:
                killer.arm(*start.draw())
                kinds["its start"] += killed_at_start(rs, lambda: "READY=1" in rs.notices)
            killer.arm(0)
            rs.start()
        check(workers, rs)
    n_peers = sum(len(w.peers) for w in workers)
    with capsys.disabled():
        print(f"\nseed {SEED}: p2pdi-rsd killed {kinds['registry']} times at one of {work.n_calls} calls, and {kinds['its start']} times "
              f"at one of the {start.n_calls} of its start: {n_peers} cookies, none lost; "
              f"{sum(w.lost for w in workers)} registrations were never answered")
