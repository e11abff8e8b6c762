# SPDX-License-Identifier: BSD-2-Clause
"""Where the programs are, what a sanitizer says, and how long a test waits: what all of this package may use."""

import os
import re
import select
import time

SOURCE = os.environ.get("P2PDI_SRCDIR") or os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..", ".."))
BUILD = os.environ.get("P2PDI_BUILDDIR") or SOURCE
# How long anything may take that should happen at once: only a failing test ever waits so long.
PATIENCE = 60
# What a sanitizer says when it has found something.
SANITIZER = re.compile(r"ERROR: AddressSanitizer|ERROR: LeakSanitizer|runtime error:|WARNING: ThreadSanitizer")


class Closing:
    """What is closed when it is left."""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def program(name):
    path = os.path.join(BUILD, name)
    assert os.access(path, os.X_OK), f"{path} is not there: build first, or set P2PDI_BUILDDIR"
    return path


def sanitizer():
    """Of those that have memory of their own, the one that the daemons of this build have: "asan", "tsan", or None."""
    with open(program("p2pdi-peerd"), "rb") as f:
        found = re.search(rb"__([at]san)_init\b", f.read())
    return found and found.group(1).decode()


def until(condition, what, timeout=PATIENCE):
    """Asks again until there is an answer, and gives it: for what nothing tells of. The longer it takes the less it asks: others want to work."""
    end = time.monotonic() + timeout
    pause = 0.002
    while not (found := condition()):
        assert time.monotonic() < end, f"{what} did not come"
        select.select([], [], [], pause)
        pause = min(1.5 * pause, 0.05)
    return found
