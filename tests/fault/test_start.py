# SPDX-License-Identifier: BSD-2-Clause
"""Daemons that start on a host that fails: each start goes well or ends with a status and a line that says what failed, and
the next one is well, with all that was kept before."""

import errno

import pytest

from fault import ALL, GONE, HARMLESS, KINDS, WAYS, Campaign, Refused, Wrong, some
from test_peerd import Life as PeerLife
from test_peerd import OWN
from p2pdi.base import until
from p2pdi.wire import Closed
from test_rsd import Life as RsdLife

EX_CONFIG = 78
NO_SERVER = "Could not register with all servers: "


class Start:
    """One daemon that is started again and again. kept() raises if it lost something."""

    def __init__(self, daemon, fault, campaign, kept):
        self.daemon, self.fault, self.campaign, self.kept = daemon, fault, campaign, kept

    def one(self, kind, what, n):
        """Lets the n-th call of a start fail. False: there is none any more."""
        self.fault.arm([kind], what, n, every=ALL)
        mark = self.daemon.started = self.daemon.mark()
        self.daemon.start(wait=False)
        ended = self.ended_or_ready()
        counted, failed = self.fault.disarm()
        if failed:
            site = self.fault.last_failed()
            where = self.campaign.describe("start", kind, what, n, site)
            self.campaign.injected[kind, what] += 1
            self.judge(where, kind, what, site, ended, mark)
            self.campaign.report.write(f"{where}: {'ended with ' + str(ended) if ended is not None else 'started'}\n{self.daemon.log(mark)}\n")
        if self.daemon.running:
            self.stop()
        return failed or counted >= n

    def ended_or_ready(self):
        """How it ended, or None: it is ready."""
        try:
            self.daemon.wait_ready()
        except AssertionError:
            if not self.daemon.running:
                return self.daemon.status
            raise
        return None

    def judge(self, where, kind, what, site, ended, mark):
        if ended is None:
            self.campaign.borne[kind, what] += 1
            self.keeps(where)
            return
        log = self.daemon.log(mark)
        if ended <= 0 or (ended == EX_CONFIG and what not in (errno.EIO, errno.EACCES)):     # a file that can not be read is wrong
            self.campaign.problem(where, f"ended with {ended}:\n{log}")
        elif what in HARMLESS and kind != "thread":
            self.campaign.problem(where, f"this is no failure, but it did not start:\n{log}")
        elif what not in GONE and not self.campaign.named(what, site, "", mark):
            self.campaign.problem(where, f"nobody says what failed:\n{log}")
        self.daemon.started = self.daemon.mark()
        self.daemon.start()
        self.keeps(where)

    def keeps(self, where):
        told = None
        try:
            self.kept()
        except (AssertionError, Refused, Wrong, Closed, OSError) as e:
            told = repr(e)
        if told:
            self.campaign.problem(where, f"lost something: {told}\n{self.daemon.log()[-3000:]}")

    def stop(self):
        self.daemon.terminate()
        if self.daemon.wait_end() != 0:
            self.campaign.problem("stop", f"ended with {self.daemon.status}:\n{self.daemon.log()[-3000:]}")


def all_starts(start, kind):
    start.stop()
    try:
        for what in WAYS[kind] if ALL else some(WAYS[kind]):
            with start.campaign.timed(kind):
                n = 1
                while start.one(kind, what, n):
                    n += 1
        start.daemon.started = start.daemon.mark()
        start.daemon.start()
        start.kept()
    finally:
        start.campaign.finish()
    assert not start.campaign.problems, "\n\n".join(start.campaign.problems)


@pytest.mark.parametrize("kind", KINDS)
def test_rsd_starts(world, kind):
    life = RsdLife(world)
    all_starts(Start(life.rs, life.fault, life.campaign, life.come_back), kind)


@pytest.mark.parametrize("kind", KINDS)
def test_peerd_starts(world, kind):
    life = PeerLife(world)

    def kept():
        until(lambda: sorted(n for n in life.held() if n in OWN) == sorted(OWN), "the library")
        # Who could not reach a server at all said so, and waits for a reload.
        if not life.alice.count_log(NO_SERVER, life.alice.started):
            life.registered()
    all_starts(Start(life.alice, life.fault, life.campaign, kept), kind)
