# SPDX-License-Identifier: BSD-2-Clause
"""Links with the smallest packets that IPv4 allows: some 36 bytes in a segment."""

import hosts
from group import timed
from p2pdi.documents import document

RS, B, A = range(3)


def test_smallest_segments(group):
    g = group(3)
    for i in range(3):
        g.hosts.output(i, "link", "set", "eth0", "mtu", "68")
        # One after the other, and no two at once: else what is many segments is there in one piece as a rule.
        g.hosts.limit(i, "2mbit", burst="100")
    rs = g.rs_on(RS)
    documents = {n: document(n, 30000) for n in range(1, 6)}
    b = g.peer_on(B, documents, rs)
    a = g.peer_on(A, {}, rs)
    with g.on(B):
        before = hosts.tcp_counters()
    assert [r["result"] for r in a.json("refresh") if "peer" in r] == ["ok"]
    with timed("150 kB in the smallest segments"):
        a.get("1-5")
    with g.on(B):
        n = hosts.tcp_counters()["OutSegs"] - before["OutSegs"]
    assert all(a.content(n) == content for n, content in documents.items())
    assert b.json("status")["storeDocuments"] == 5
    print(f"{n} segments")
    assert n > 150000 / 40
