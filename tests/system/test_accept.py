# SPDX-License-Identifier: BSD-2-Clause
"""What get takes: the best text at or above Integrity.Accept=, never a disputed one; and how it says so."""

import os
import re

import pytest

from p2pdi.documents import document, sha256
from p2pdi.varlink import Varlink

# Prefixes of their own; a real registration server lists loopback addresses to askers on loopback.
B, C, D = "127.0.0.2", "127.0.0.3", "127.0.0.4"


def net(world, texts, ini=None, refresh=True):
    """texts: {address: seed}. Gives the peer and the holders."""
    holders = [world.holder({7: document(7, seed=seed)}, address=address) for address, seed in texts]
    a = world.peer("a", {}, world.server(holders), ini)
    if refresh:
        assert a.ctl("refresh").code == 0
    return a, holders


def fetched(holders):
    return [h.count("GET RFC 7 ") for h in holders]


def test_single(world):
    a, _ = net(world, [(B, 0)])
    mark = a.mark()
    r = a.get(7)
    assert re.search(r"sha256 \w+…\w+ \(single\)$", r.err.strip()), r
    assert a.wait_log(r"RFC 7 fetched from", after=mark)


def test_agreed_by_the_most(world):
    """Two prefixes against one. Two peers of one address are one voice."""
    a, holders = net(world, [(B, 1), (C, 0), (D, 0), (B, 1)])
    [download] = a.json("get", "7")
    assert (download["trust"], download["agreeing"], download["sha256"]) == ("agreed", 2, sha256(document(7)))
    assert fetched(holders)[0] == fetched(holders)[3] == 0
    assert a.content(7) == document(7)
    a.wait_scanned(1)       # it may be told of later than it is there
    os.remove(a.path(7))
    a.wait_scanned(0)
    assert a.get(7).err.rstrip().endswith("(agreed by 2 peers)")


def test_disputed_is_not_taken(world):
    a, holders = net(world, [(B, 0), (C, 1)])
    mark = a.mark()
    r = a.get(7, code=7)
    assert r.out == b"" and r.err == ("RFC 7 is disputed: what its holders state is neither agreed nor verified; "
                                      "\"p2pdi-ctl where 7\" tells who says what.\n")
    a.wait_log(r"RFC 7 is disputed.*\(get-rfc disputed", after=mark)
    assert fetched(holders) == [0, 0] and not os.path.exists(a.path(7))
    with Varlink(a.control) as v:
        reply = v.call("org.p2pdi.Peer.Get", {"numbers": [7]})
        assert reply["error"] == "org.p2pdi.Peer.Integrity" and "is disputed" in reply["parameters"]["message"]
    assert 'p2pdi_peer_downloads_total{source="peer",result="disputed"} 2' in a.ctl("metrics").text


def test_peers_are_asked_until_they_agree(world):
    """With Accept=agreed the first holder is not enough: nobody is known yet, and who is asked first has it."""
    a, holders = net(world, [(B, 0), (C, 0), (D, 0)], {"Integrity.Accept": "agreed"}, refresh=False)
    [download] = a.json("get", "7")
    assert download["trust"] == "agreed" and download["agreeing"] >= 2
    assert sum(h.count("GET RFC-Index") for h in holders) >= 2


@pytest.mark.parametrize("accept, texts, says", [
    ("agreed", [(B, 0)], "it is known only by 1 peer, and the quorum is 2."),
    ("agreed", [(B, 0), (B, 0)], "it is known only by 1 peer, and the quorum is 2."),
    ("verified", [(B, 0), (C, 0)], "the manifest does not name it, and Integrity.Accept= is verified."),
])
def test_below_what_is_accepted(world, accept, texts, says):
    a, holders = net(world, texts, {"Integrity.Accept": accept})
    assert a.get(7, code=7).err == f"RFC 7 is not taken: {says}\n"
    assert sum(fetched(holders)) == 0
    a.write_config({"Integrity.Accept": "single"})
    a.reload()
    a.get(7)


def test_manifest_decides(world):
    manifest = os.path.join(world.dir, "SHA256SUMS")
    with open(manifest, "w", encoding="ascii") as f:
        f.write(f"{sha256(document(7, seed=3))}  rfc7.txt\n")
    a, holders = net(world, [(B, 0), (C, 0), (D, 3)], {"Integrity.Manifest": manifest, "Integrity.Accept": "verified"})
    r = a.get(7)
    assert r.err.rstrip().endswith("(verified)") and a.content(7) == document(7, seed=3)
    assert fetched(holders) == [0, 0, 1]


def test_rogue_network_can_not_pass_the_manifest(world):
    """The registration server and all holders are one gang: each states the same false text, or states the right one and sends another."""
    right, wrong = document(7), document(7, seed=1)
    manifest = os.path.join(world.dir, "SHA256SUMS")
    with open(manifest, "w", encoding="ascii") as f:
        f.write(f"{sha256(right)}  rfc7.txt\n")
    gang = [world.holder({7: wrong}, address=f"127.0.0.{i}") for i in (2, 3, 4)]
    gang += [world.holder({7: right}, address=f"127.0.0.{i}", on_get=lambda f, c, n: f.document(n)[:-len(right)] + wrong)
             for i in (5, 6)]
    # Nor does it help to say at the last moment that it is the right one.
    gang.append(world.holder({7: wrong}, address="127.0.0.7", on_get=lambda f, c, n: f.head(
        200, len(wrong), Content_Type="text/plain", Digest=f"sha-256={sha256(right)}") + wrong))
    server = world.server(gang)
    for accept in ("single", "agreed", "verified"):
        a = world.peer(accept, {}, server, {"Integrity.Manifest": manifest, "Integrity.Accept": accept})
        for _ in range(2):                      # also of what is known by then
            r = a.get(7, code=7)
            assert r.out == b"" and a.stored() == []
        assert a.ctl("sync").code in (0, 1, 6, 7) and a.stored() == []


def test_hearsay_is_enough_to_find_and_the_holders_word_counts(world):
    holder = world.holder({7: document(7)}, address=C)
    teller = world.holder({}, address=B)
    teller.statements = {7: [teller.record(7, document(7), holder=holder.text)]}
    a = world.peer("a", {}, world.server([teller, holder]))
    assert a.ctl("refresh", teller.text).code == 0
    [download] = a.json("get", "7")
    assert (download["trust"], download["agreeing"]) == ("single", 1)           # the holder, by what it sent
    assert holder.requests == ["GET RFC 7 P2P-DI/1.0"]
    [h] = [h for h in a.json("where", "7") if h["holder"] == holder.text]
    assert h["sha256"] == sha256(document(7))


def test_hearsay_is_graded_anew_by_what_the_holder_sends(world):
    """By hearsay it is one text, by the holder's own word another."""
    holder = world.holder({7: document(7, seed=1)}, address=C)
    teller = world.holder({}, address=B)
    teller.statements = {7: [teller.record(7, document(7), holder=holder.text)]}
    a = world.peer("a", {}, world.server([teller, holder]))
    assert a.ctl("refresh", teller.text).code == 0
    mark = a.mark()
    [download] = a.json("get", "7")
    # It was another text than was said: false hearsay, no blame; what it states itself is the only text.
    assert (download["sha256"], download["trust"]) == (sha256(document(7, seed=1)), "single")
    assert a.count_log("is quarantined for", after=mark) == 0
