# SPDX-License-Identifier: BSD-2-Clause
"""Bytes made wrong, and ways to send them: what fuzz_daemon.py throws at a daemon. One seed gives one sequence."""

import random
import re
from typing import NamedTuple

MESSAGE_MAX = 1 << 16                   # of what is made: longer ones only take longer
NUMBERS = [b"0", b"1", b"-1", b"65535", b"65536", b"2147483647", b"2147483648", b"4294967295", b"4294967296", b"9007199254740991",
           b"9007199254740992", b"18446744073709551615", b"18446744073709551616", b"00", b"1e9", b""]

# How bytes are sent, and how the connection ends.
WAYS = ("whole", "bytewise", "pieces", "hang up", "half-closed", "reset", "unread")


def dictionary(text):
    """The words of a dictionary of libFuzzer and AFL++."""
    words = re.findall(r'^(?:\w+=)?"(.*)"$', text, re.M)
    return [re.sub(rb"\\x([0-9a-f]{2})", lambda m: bytes([int(m[1], 16)]), w.encode()) for w in words]


class Delivery(NamedTuple):
    way: str
    parts: list                         # of bytes, sent one after the other


class Mutator:
    def __init__(self, seed, seeds, words):
        assert seeds and words
        self.random = random.Random(seed)
        self.seeds, self.words = sorted(seeds), sorted(words)

    def place(self, data):
        return self.random.randint(0, len(data))

    def one(self, data):
        """One fault more."""
        r, at = self.random, self.place(data)
        end = min(len(data), at + r.choice((1, 1, 2, 8, 64)))
        kind = r.randrange(9)
        if kind == 0 and data:          # another bit
            at = r.randrange(len(data))
            return data[:at] + bytes([data[at] ^ 1 << r.randrange(8)]) + data[at + 1:]
        if kind == 1:                   # another byte
            return data[:at] + bytes([r.randrange(256)]) + data[at + 1:]
        if kind == 2:
            return data[:at] + data[end:]
        if kind == 3:                   # again, sometimes often
            return data[:end] + data[at:end] * r.choice((1, 1, 2, 100, 3000)) + data[end:]
        if kind == 4:
            return data[:at] + r.choice(self.words) + data[at:]
        if kind == 5:
            return data[:at] + r.choice(self.words) + data[end:]
        if kind == 6:                   # the end of another one
            other = r.choice(self.seeds)
            return data[:at] + other[self.place(other):]
        if kind == 7:
            found = list(re.finditer(rb"\d+", data))
            if not found:
                return data
            m = r.choice(found)
            return data[:m.start()] + r.choice(NUMBERS) + data[m.end():]
        lines = data.split(b"\n")       # lines in another order
        a, b = r.randrange(len(lines)), r.randrange(len(lines))
        lines[a], lines[b] = lines[b], lines[a]
        return b"\n".join(lines)

    def message(self):
        """One message: right in one case of eight, so that what comes behind it is reached."""
        data = self.random.choice(self.seeds)
        if self.random.randrange(8) > 0:
            for _ in range(self.random.choice((1, 1, 1, 2, 3, 8))):
                data = self.one(data)
        return data[:MESSAGE_MAX]

    def delivery(self):
        """Some messages of a connection, joined and cut anew."""
        r = self.random
        data = b"".join(self.message() for _ in range(r.choice((1, 1, 1, 2, 5))))
        way = r.choice(WAYS)
        if way == "hang up":            # in the middle
            data = data[:self.place(data)]
        if way == "bytewise":
            return Delivery(way, [data[i:i + 1] for i in range(min(len(data), 400))] + [data[400:]])
        if way == "pieces":
            cuts = sorted(self.place(data) for _ in range(r.randint(1, 6)))
            return Delivery(way, [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)])])
        return Delivery(way, [data])
