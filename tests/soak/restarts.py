# SPDX-License-Identifier: BSD-2-Clause
"""What the clients of the soak know of restarts: when a connection that ended before its answer was whole is no fault."""

import mmap
import struct


class Restarts:
    """Of one daemon, in a file that all of them look into, also tests/bench/load: begins and ends of restarts, so it is odd meanwhile."""

    SIZE = 4

    def __init__(self, path):
        self.path = path
        with open(path, "r+b") as f:
            self.page = mmap.mmap(f.fileno(), self.SIZE)

    @classmethod
    def create(cls, path):
        with open(path, "wb") as f:
            f.write(bytes(cls.SIZE))
        return cls(path)

    @property
    def count(self):
        return struct.unpack_from("=I", self.page)[0]

    def __enter__(self):
        """Before the daemon is told to end."""
        struct.pack_into("=I", self.page, 0, self.count + 1)
        return self

    def __exit__(self, *_):
        """Once it is ready again."""
        struct.pack_into("=I", self.page, 0, self.count + 1)

    def over(self, since):
        """Did one go over what was begun when there were so many? Also if one was under way: the daemon that took it may have been the old."""
        return since % 2 == 1 or self.count != since
