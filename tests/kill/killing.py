# SPDX-License-Identifier: BSD-2-Clause
"""SIGKILL at a call chosen beforehand: what kill.c and the tests share, and how many kills there are to be."""

import mmap
import os
import random
import select
import signal
import struct

import pytest

from p2pdi.base import BUILD, until

# Of a whole run, shared among the kinds of work: seven of the library, and the registry; and where the choice begins.
KILLS = int(os.environ.get("P2PDI_KILLS") or 200)
KINDS_OF_WORK = 8
SEED = int(os.environ.get("P2PDI_KILL_SEED") or random.SystemRandom().randrange(1 << 32))
BEFORE, HALF_WAY, AFTER = range(3)
PRELOAD = os.path.join(BUILD, "tests/kill/kill.so")


class Killer:
    """The page that a program under kill.so shares with its test."""

    def __init__(self, world, name):
        if not os.access(PRELOAD, os.R_OK):
            pytest.skip(f"{PRELOAD} is not there: make check-kill builds it")
        self.path = os.path.join(world.dir, f"{name}.kill")
        self.calls_path = os.path.join(world.dir, f"{name}.calls")
        with open(self.path, "wb+") as f:
            f.truncate(mmap.PAGESIZE)
            self.page = mmap.mmap(f.fileno(), mmap.PAGESIZE)

    def environment(self, answer=None):
        """answer: what is in each answer that the log of calls is to show; without there is no log."""
        environment = {
            "LD_PRELOAD": PRELOAD,
            "P2PDI_KILL": self.path,
            # A sanitizer wants to be the first library.
            "ASAN_OPTIONS": f"{os.environ.get('ASAN_OPTIONS', '')}:verify_asan_link_order=0".lstrip(":"),
        }
        if answer:
            with open(self.calls_path, "wb"):
                pass
            environment.update({"P2PDI_CALLS": self.calls_path, "P2PDI_ANSWER": answer})
        return environment

    @property
    def n_calls(self):
        return struct.unpack_from("=I", self.page)[0]

    def arm(self, n, where=BEFORE):
        """Counts anew, and kills at the n-th call from now on. 0: never."""
        struct.pack_into("=III", self.page, 0, 0, n, where)

    def calls(self):
        """[(name, target, bytes, result)] in the order in which they were done."""
        with open(self.calls_path, encoding="utf-8", errors="replace") as f:
            lines = [line.rstrip("\n").split(" ") for line in f]
        return [(name, " ".join(target), int(size), int(result)) for name, *target, size, result in lines]


class Points:
    """The points at which a kind of work is killed: spread over its calls, as many as a run without a kill took."""

    def __init__(self, kind):
        self.random = random.Random(f"{SEED}/{kind}")
        self.n_calls = 0

    def measured(self, n):
        self.n_calls = max(self.n_calls, n)

    def draw(self):
        """(n, where)"""
        return self.random.randint(1, max(self.n_calls, 1)), self.random.choice((BEFORE, HALF_WAY, AFTER))


def ended(daemon):
    poll = select.poll()
    poll.register(daemon.pidfd, select.POLLIN)
    return bool(poll.poll(0))


def be_killed(daemon):
    """It was, or is now: this time the work took fewer calls, so it ends after all of them."""
    if ended(daemon):
        assert daemon.wait_end() == -signal.SIGKILL, f"{daemon.name} ended by itself, with {daemon.status}"
    else:
        daemon.kill()


def killed_at_start(daemon, started):
    """Starts it, and it is dead then. started(): it is done with that. true: it had not."""
    daemon.start(wait=False)
    until(lambda: ended(daemon) or started(), f"{daemon.name}: its start, or its end")
    early = ended(daemon)
    be_killed(daemon)
    return early
