# SPDX-License-Identifier: BSD-2-Clause
"""What happens to the daemons of the soak while they are asked: settings change, some end and come back, one comes and goes."""

import collections
import math
import shutil

import programs
from group import part
from p2pdi.documents import sha256
from p2pdi.wire import Registrant

# From one round to the next; a short run has so many parts.
ROUND_SEC, PARTS = 60, 5
# The registration server is restarted in the first half, so that the second tells of its memory, and not after the first of its peers'
# KeepAlives may have come (KeepAliveSec=): what one is told that a restart cuts is a warning.
RS_ROUNDS_MAX = 30
# What the guest holds: a part of bob's.
GUEST = (0, 0.1)


class Rounds:
    """Where one ends by SIGKILL now, it ends in order in the next round."""

    def __init__(self, group, seconds):
        self.group = group
        self.every = min(ROUND_SEC, seconds / PARTS)
        self.n_rs = min(math.ceil(seconds / self.every) // 2, RS_ROUNDS_MAX)
        self.n = 0
        self.ends = collections.Counter()       # (name, how)
        self.problems = []
        self.guest_id = None                    # it is to have this one again

    @property
    def next_at(self):
        return (self.n + 1) * self.every

    def go_on(self):
        g = self.group
        self.n += 1
        for d in g.daemons:                     # with a setting changed, so that there is something to do
            d.write_config({"Limits.Burst": 1000 + self.n % 2})
            d.reload()
        kill = self.n % 2 == 0
        self.restart(g.peers["eve"], kill)
        if self.n <= self.n_rs:
            self.restart(g.rs, kill)
        if g.guest.running:
            self.end(g.guest, self.n % 4 == 2)
        else:
            self.welcome()

    def end(self, daemon, kill):
        self.ends[daemon.name, "SIGKILL" if kill else "SIGTERM"] += 1
        try:
            if kill:
                daemon.kill()
            else:
                daemon.stop()
        except AssertionError as e:             # a sanitizer tells of leaks now
            self.problems.append(str(e))
            if daemon.running:
                daemon.kill()
        self.group.look_at_stderr()
        if daemon is self.group.guest and not kill:     # it left for good: the next is another
            shutil.rmtree(daemon.state_dir)
            self.guest_id = None

    def restart(self, daemon, kill):
        with self.group.restarts[daemon.name]:
            self.end(daemon, kill)
            self.group.begin(daemon)
        if daemon is not self.group.rs:
            daemon.wait_registered()

    def welcome(self):
        """It comes, and has what only others hold. After SIGKILL it was listed all the time, and is who it was."""
        g, guest = self.group, self.group.guest
        if self.guest_id is None:
            g.fill(guest, part(g.of_bob, GUEST))
        g.begin(guest)
        guest.wait_registered()
        with guest.varlink() as v:
            peer_id = g.peer_id(guest)
            if self.guest_id not in (None, peer_id):
                self.problems.append(f"{guest.name} was peer {self.guest_id}, and came back as peer {peer_id}")
            self.guest_id = peer_id
            number = g.of_bob[-1 - self.n % 10]
            reply = v.call("org.p2pdi.Peer.Get", {"numbers": [number]})
            if "error" in reply or reply["parameters"]["download"]["result"] != "ok":
                self.problems.append(f"{guest.name} did not get RFC {number}: {reply}")
            elif sha256(guest.content(number)) != g.corpus.digests[programs.name_of(number)]:
                self.problems.append(f"{guest.name} got other bytes as RFC {number}")

    def __str__(self):
        return ", ".join(f"{name} {n} times by {how}" for (name, how), n in sorted(self.ends.items())) or "nobody"


def lost(group, ids):
    """Who is not who it was, or is not known any more. ids: peer_ids() of before."""
    problems = []
    for name, now in group.peer_ids().items():
        if now != ids[name]:
            problems.append(f"{name} was peer {ids[name]}, and is {now}")
    for source, was in zip(group.sources, group.standing):
        with Registrant(group.rs, source) as r:
            r.cookie = was.cookie
            try:
                r.register(group.peers["bob"].address[1])
                good = (r.cookie, r.id) == (was.cookie, was.id)
            except AssertionError:
                good = False
            if not good:
                problems.append(f"the registration server does not know peer {was.id} any more")
    return problems
