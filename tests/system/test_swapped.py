# SPDX-License-Identifier: BSD-2-Clause
"""A file of the library that becomes another one while it is sent: who fetches it takes nothing that was not announced."""

import os

import pytest

from p2pdi.base import until
from p2pdi.documents import document, sha256
from p2pdi.tool import end_ctl, start_ctl

SIZE = 8_000_000


def cut(path):
    os.truncate(path, SIZE // 2)


def overwrite(path):
    """In place: the same file, the same size, other bytes at its end."""
    with open(path, "r+b") as f:
        f.seek(-5, os.SEEK_END)
        f.write(b"wrong")


def swap(path):
    with open(path + "~", "wb") as f:
        f.write(document(7, SIZE, seed=1))
    os.rename(path + "~", path)


@pytest.mark.parametrize("change", [cut, overwrite, swap])
def test_it_changes_while_it_is_sent(world, change):
    content = document(7, SIZE)
    # The first part goes at once, for the rest there is time.
    b = world.peer("b", {7: content}, ini={"Server.MaxUploadRate": "1M"})
    a = world.peer("a", {}, ini={"Peers.Static": b.text})
    assert a.ctl("refresh").code == 0
    process = start_ctl("get", "7", control=a.control)
    a.wait_log(f"200 OK .*Digest: sha-256={sha256(content)}")
    change(b.path(7))
    b.write_config({"Server.MaxUploadRate": "infinity"})
    b.reload()
    r = end_ctl(process)
    # Sent to its end is what was opened; so whole and right, or not at all.
    if change is swap:
        assert r.code == 0 and a.content(7) == content
    else:
        assert r.code != 0 and a.stored() == [], r
    until(lambda: sha256(content) not in [x.sha256 for x in b.index()[1]], "the end of what is no more")
    assert b.ctl("verify").code == 0
