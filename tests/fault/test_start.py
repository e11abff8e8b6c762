# SPDX-License-Identifier: BSD-2-Clause
"""Daemons that start on a host that fails: each start goes well or ends with a status and a line that says what failed, and
the next one is well, with all that was kept before."""

import contextlib
import errno
import glob
import os
import select
import socket
import threading

import pytest

from fault import ALL, GONE, HARMLESS, KINDS, WAYS, Campaign, Refused, Wrong, some
from test_outage import Mounts
from test_peerd import Life as PeerLife
from test_peerd import OWN
from p2pdi.base import until
from p2pdi.wire import Closed
from test_rsd import Life as RsdLife

EX_CONFIG = 78
# What only a start as a service reaches, or one with damage, is of these.
SERVICE_KINDS = ["memory", "open", "descriptor", "file-read", "name", "stat", "socket-write"]
NO_SERVER = "Could not register with all servers: "


class Start:
    """One daemon that is started again and again. kept() raises if it lost something; before() comes before each start, and
    heard() when it has ended, so that all that it said is in its log."""

    def __init__(self, daemon, fault, campaign, kept, before=lambda: None, heard=lambda: None):
        self.daemon, self.fault, self.campaign, self.kept = daemon, fault, campaign, kept
        self.before, self.heard = before, heard

    def one(self, kind, what, n):
        """Lets the n-th call of a start fail. False: there is none any more."""
        self.before()
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
            if self.daemon.running:
                raise
            self.heard()
            return self.daemon.status
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


def has_library(life):
    until(lambda: sorted(n for n in life.held() if n in OWN) == sorted(OWN), "the library")


@pytest.mark.parametrize("kind", KINDS)
def test_peerd_starts(world, kind):
    life = PeerLife(world)

    def kept():
        has_library(life)
        # Who could not reach a server at all said so, and waits for a reload.
        if not life.alice.count_log(NO_SERVER, life.alice.started):
            life.registered()
    all_starts(Start(life.alice, life.fault, life.campaign, kept), kind)


# ---- as a service, with damaged databases ----

class Service:
    """A daemon that is started as the service manager would: a file and a drop-in below /run are its configuration, and the
    journal, which is here, is its log."""

    def __init__(self, daemon, name):
        self.daemon = daemon
        self.lock = threading.Lock()
        self.closed = False
        self.mounts = Mounts()
        path = os.path.join(daemon.dir, "journal")
        self.journal = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.journal.bind(path)
        self.reader = threading.Thread(target=self.attend, daemon=True)
        self.reader.start()
        for command in (f"mount -t tmpfs none /run && mkdir -p /run/p2pdi/{name}.d /run/systemd/journal",
                        f"cp {daemon.config} /run/p2pdi/{name} && echo '[Log]' >/run/p2pdi/{name}.d/50-log.ini",
                        # What it says must fit into the queue, which may have room for ten.
                        f"echo 'Level=warning' >>/run/p2pdi/{name}.d/50-log.ini",
                        f"touch /run/systemd/journal/socket && mount --bind {path} /run/systemd/journal/socket"):
            self.mounts.run("sh", "-c", command)
        daemon.arguments = [f"--state-dir={daemon.state_dir}", f"--runtime-dir={daemon.runtime_dir}"]
        daemon.wrapper = [*self.mounts.wrapper, "/bin/sh", "-c", 'JOURNAL_STREAM=$(stat -Lc %d:%i /dev/fd/2) exec "$0" "$@"']

    def hear(self):
        """What came becomes lines of its log."""
        with self.lock, contextlib.suppress(BlockingIOError):
            while entry := self.journal.recv(1 << 20, socket.MSG_DONTWAIT):
                with self.daemon.changed:
                    self.daemon.lines += [line[8:] for line in entry.decode("utf-8", "replace").split("\n") if line.startswith("MESSAGE=")]
                    self.daemon.changed.notify_all()

    def attend(self):
        while not self.closed:
            select.select([self.journal], [], [])
            self.hear()

    def damage(self):
        """Nothing of its databases can be read, and there is room beside them."""
        for path in glob.glob(os.path.join(self.daemon.state_dir, "*.db-*")) + glob.glob(os.path.join(self.daemon.state_dir, "*.damaged-*")):
            os.unlink(path)
        for path in glob.glob(os.path.join(self.daemon.state_dir, "*.db")):
            with open(path, "wb") as f:
                f.write(b"This is no database." * 1000)

    def close(self):
        self.closed = True
        self.journal.shutdown(socket.SHUT_RD)
        self.reader.join()
        self.journal.close()
        self.mounts.close()


@pytest.mark.parametrize("kind", SERVICE_KINDS)
def test_rsd_starts_as_a_service(world, kind):
    life = RsdLife(world)
    service = world.keep(Service(life.rs, "rs.ini"))
    all_starts(Start(life.rs, life.fault, life.campaign, lambda: life.registered(9), service.damage, service.hear), kind)


@pytest.mark.parametrize("kind", SERVICE_KINDS)
def test_peerd_starts_as_a_service(world, kind):
    life = PeerLife(world)
    service = world.keep(Service(life.alice, "peer.ini"))

    def kept():
        has_library(life)
        service.hear()
        # The number that it had is lost with its database.
        if not life.alice.count_log(NO_SERVER, life.alice.started):
            until(life.own_id, "the registration")
    all_starts(Start(life.alice, life.fault, life.campaign, kept, service.damage, service.hear), kind)
