# SPDX-License-Identifier: BSD-2-Clause
"""The threads of a daemon, and one of them held still."""

import ctypes
import os

import pytest


def threads(daemon):
    """{name: tid}, without the main one and those of a sanitizer."""
    found = {}
    for tid in os.listdir(f"/proc/{daemon.pid}/task"):
        with open(f"/proc/{daemon.pid}/task/{tid}/comm", encoding="utf-8") as f:
            name = f.read().rstrip("\n")
        if int(tid) != daemon.pid and not name.startswith(("p2pdi-", "asan", "tsan")):
            found[name] = int(tid)
    return found


class Held:
    """One thread of a process stands still, as it would in a system call that does not come back."""

    SEIZE, INTERRUPT, DETACH, WALL = 0x4206, 0x4207, 17, 0x40000000
    libc = ctypes.CDLL(None, use_errno=True)

    def __init__(self, tid):
        self.tid = tid

    def trace(self, what):
        if self.libc.ptrace(ctypes.c_long(what), ctypes.c_long(self.tid), None, None) < 0:
            raise OSError(ctypes.get_errno(), f"ptrace: {os.strerror(ctypes.get_errno())}")

    def __enter__(self):
        try:
            self.trace(self.SEIZE)
        except PermissionError as e:
            pytest.skip(f"threads can't be held here: {e}")
        self.trace(self.INTERRUPT)
        os.waitpid(self.tid, self.WALL)
        return self

    def __exit__(self, *_):
        self.trace(self.DETACH)
