# SPDX-License-Identifier: BSD-2-Clause
"""What a first get costs: requests, as those count them who answer."""

import pytest

from p2pdi.documents import document


def costs(world, holders):
    """All that was asked for the first get of a fresh peer, beside Register."""
    server = world.server(holders)
    a = world.peer("a", {}, server)
    before = len(server.said()), [len(h.requests) for h in holders]
    a.get(7)
    assert a.content(7) == document(7)
    return [verb for verb, _ in server.said()[before[0]:]] + [
        r.rsplit(" ", 1)[0] for h, k in zip(holders, before[1]) for r in h.requests[k:]]


def test_three_exchanges(world):
    holder = world.holder({7: document(7)})
    assert costs(world, [holder]) == ["PQuery", "GET RFC-Index", "GET RFC 7"]
    assert [h["rfc"] for line, h in holder.heads if "RFC-Index" in line] == ["7"]


@pytest.mark.parametrize("n", [2, 5])
def test_three_exchanges_where_everybody_knows_the_holder(world, n):
    """Whoever is asked first tells of the holder: by hearsay, which is enough to turn to it."""
    holder = world.holder({7: document(7)})
    others = [world.holder() for _ in range(n)]
    for other in others:
        other.statements = {7: [holder.record(7, holder=holder.text)]}
    assert sorted(costs(world, [holder] + others)) == ["GET RFC 7", "GET RFC-Index", "PQuery"]
