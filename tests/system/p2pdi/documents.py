# SPDX-License-Identifier: BSD-2-Clause
"""Documents that nobody wrote, and their digests."""

import hashlib
import random


def document(number, size=4000, seed=0):
    """Plain synthetic text of exactly that size, another one for each number and seed."""
    generator = random.Random(f"{number}/{seed}")
    words = ["packet", "octet", "peer", "index", "header", "lease", "digest", "holder", "cookie", "server"]
    parts = [f"Synthetic document {number}, of seed {seed}\n\n"]
    length = len(parts[0])
    # Not all of a big one needs to be drawn: a block that repeats, with its place in it, is as good.
    drawn = generator.choices(words, k=540)
    block = "".join(" ".join(drawn[i:i + 9]) + "\n" for i in range(0, 540, 9))
    while length < size:
        parts.append(f"[{length}]\n" + block)
        length += len(parts[-1])
    return "".join(parts).encode()[:size]


def flip(content, position):
    """The same with one bit turned."""
    changed = bytearray(content)
    changed[position] ^= 1
    return bytes(changed)


def sha256(data):
    return hashlib.sha256(data).hexdigest()
