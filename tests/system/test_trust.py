# SPDX-License-Identifier: BSD-2-Clause
"""Who says what, and what comes of it: grades, the manifest, list --disputed and --at-risk, show, where, status, the log."""

import os
import re

import pytest

from p2pdi.base import until
from p2pdi.documents import document, sha256

A, B, C = document(7), document(7, seed=1), document(7, seed=2)


def holders(world, *texts):
    """One for each text of RFC 7, each at an address of its own."""
    return [world.holder({7: text}, address=f"127.0.0.{i}") for i, text in enumerate(texts, start=2)]


def reader(world, peers, ini=None, documents=None):
    a = world.peer("a", documents or {}, ini={"Peers.Static": [p.text for p in peers], **(ini or {})})
    assert a.ctl("refresh").code == 0
    return a


def texts(peer, number=7):
    """{digest: (grade, holders, prefixes, hearsay, local)}, the best first."""
    return {t["sha256"]: (t["trust"], t["holders"], t["prefixes"], t["hearsay"], t["local"])
            for t in peer.json("show", str(number))["texts"]}


def disputed(peer):
    return [d["number"] for d in peer.json("list", "--disputed")]


def write_manifest(path, *lines):
    with open(path, "w", encoding="utf-8") as f:
        f.write("".join(f"{line}\n" for line in lines))
    return path


def test_two_addresses_against_one_agree(world):
    peers = holders(world, A, A, B)
    a = reader(world, peers)
    assert texts(a) == {sha256(A): ("agreed", 2, 2, 0, False), sha256(B): ("disputed", 1, 1, 0, False)}
    assert list(texts(a)) == [sha256(A), sha256(B)]
    assert {h["holder"]: h["trust"] for h in a.json("where", "7")} == {
        peers[0].text: "agreed", peers[1].text: "agreed", peers[2].text: "disputed"}
    [one] = a.json("list", "--all")
    assert (one["trust"], one["sha256"], one["holders"]) == ("agreed", sha256(A), 3)
    assert disputed(a) == [] and a.json("status")["indexDisputed"] == 0
    shown = a.ctl("show", "7").text
    assert f"SHA-256: {sha256(A)}\n               3.9K, agreed, 2 other peers state it\n" in shown
    assert f"               {sha256(B)}\n               3.9K, disputed, 1 other peer states it\n" in shown
    table = a.ctl("where", "7", "--no-legend").text.split("\n")
    assert sorted(line.split()[-4] for line in table if line) == ["agreed", "agreed", "disputed"]


def test_one_against_one_is_a_dispute(world):
    peers = holders(world, A, B)
    peers[0].documents[8] = document(8)
    a = reader(world, peers)
    assert texts(a) == dict.fromkeys((sha256(A), sha256(B)), ("disputed", 1, 1, 0, False))
    assert [d["trust"] for d in a.json("list", "--all")] == ["disputed", "single"]
    assert disputed(a) == [7] and a.json("status")["indexDisputed"] == 1
    assert "Index: 2 RFCs, 3 records, 1 disputed, own " in a.ctl("status").text
    assert a.ctl("list", "--disputed", "--no-legend").text.split()[:5] == ["7", "2", "no", "3.9K", "disputed"]
    assert a.json("list", "--disputed", "8-9") == [] and [d["number"] for d in a.json("list", "--disputed", "1-7")] == [7]
    assert [d["number"] for d in a.json("list", "--disputed", "--at-risk")] == []


def test_dispute_is_logged_once_while_it_lasts(world):
    b, c = holders(world, A, B)
    a = reader(world, [b, c])
    line = r"RFC 7 is disputed: 2 texts are known, and peers agree on none\."
    a.wait_log(line)
    # The next look finds another one, and has nothing to say of this one.
    b.documents[8], c.documents[8] = document(8), document(8, seed=1)
    b.generation = c.generation = 2
    a.ctl("refresh")
    a.wait_log(r"RFC 8 is disputed: ")
    assert a.count_log(line) == 1
    # It ends, and comes back.
    c.documents[7] = A
    b.documents[9], c.documents[9] = document(9), document(9, seed=1)
    b.generation = c.generation = 3
    a.ctl("refresh")
    a.wait_log(r"RFC 9 is disputed: ")
    assert disputed(a) == [8, 9]
    c.documents[7] = B
    c.generation = 4
    a.ctl("refresh")
    a.wait_log(line, n=2)
    assert a.count_log("RFC 8 is disputed") == a.count_log("RFC 9 is disputed") == 1


def test_many_peers_behind_one_address_never_agree(world):
    liars = [world.holder({7: B}, address="127.0.0.9") for _ in range(20)]
    a = reader(world, liars)
    assert texts(a) == {sha256(B): ("single", 20, 1, 0, False)}
    assert "3.9K, single, 20 other peers from 1 address state it\n" in a.ctl("show", "7").text
    [honest] = holders(world, A)
    a.write_config({"Peers.Static": [p.text for p in liars + [honest]]})
    a.reload()
    a.ctl("refresh")
    assert texts(a) == {sha256(B): ("disputed", 20, 1, 0, False), sha256(A): ("disputed", 1, 1, 0, False)}
    second = world.holder({7: A}, address="127.0.0.3")
    a.write_config({"Peers.Static": [p.text for p in liars + [honest, second]]})
    a.reload()
    a.ctl("refresh")
    assert texts(a) == {sha256(A): ("agreed", 2, 2, 0, False), sha256(B): ("disputed", 20, 1, 0, False)}


def test_hearsay_is_no_vote(world):
    b, c, liar = holders(world, A, A, A)
    liar.documents = {}
    liar.statements[7] = [liar.record(7, B, holder=f"127.0.0.{n}:9") for n in range(100, 120)]
    a = reader(world, [b, c, liar])
    assert texts(a) == {sha256(A): ("agreed", 2, 2, 0, False), sha256(B): ("disputed", 0, 0, 20, False)}
    assert "3.9K, disputed, 0 other peers state it, and by hearsay 20 more\n" in a.ctl("show", "7").text


@pytest.mark.parametrize("quorum, trust", [(1, "agreed"), (3, "agreed"), (4, "single")])
def test_quorum_is_configured_and_reloaded(world, quorum, trust):
    a = reader(world, holders(world, A, A, A), ini={"Integrity.Quorum": 64})
    assert texts(a)[sha256(A)][0] == "single"
    a.write_config({"Integrity.Quorum": quorum})
    a.reload()
    assert texts(a)[sha256(A)][0] == trust


def test_own_copy_is_no_vote(world):
    a = reader(world, holders(world, A, B, B), documents={7: A, 8: document(8)})
    assert texts(a) == {sha256(B): ("agreed", 2, 2, 0, False), sha256(A): ("disputed", 1, 1, 0, True)}
    assert [(d["trust"], d["sha256"]) for d in a.json("list")] == [("disputed", sha256(A)), ("single", sha256(document(8)))]
    assert disputed(a) == [7]
    assert [line.split()[2] for line in a.ctl("list", "--no-legend").text.splitlines()] == ["disputed", "single"]
    a.wait_log(r"RFC 7 is disputed: the copy in the library is not what 2 other peers state\.")
    assert [h["trust"] for h in a.json("where", "7") if h["holder"] == "-"] == ["disputed"]


def test_at_risk_is_what_one_alone_is_known_to_hold(world):
    b, c = holders(world, A, A)
    b.documents[8] = document(8)
    b.statements[9] = b.record(9, document(9), holder="127.0.0.99:9")
    c.documents.update({10: document(10), 11: document(11)})
    a = reader(world, [b, c], documents={10: document(10), 12: document(12)})
    assert [d["number"] for d in a.json("list", "--at-risk")] == [8, 9, 11, 12]
    assert [d["number"] for d in a.json("list", "--at-risk", "9-11")] == [9, 11]
    r = a.ctl("list", "--at-risk")
    assert r.text.splitlines()[0].split() == ["RFC", "HOLDERS", "LOCAL", "SIZE", "TRUST", "TITLE"]
    assert r.text.endswith("\n\n4 RFCs listed, 1 local.\n")
    assert a.ctl("list", "--at-risk", "7", "-q", "--no-legend").out == b""


def test_manifest_beats_all(world):
    path = write_manifest(os.path.join(world.dir, "SHA256SUMS"), f"{sha256(A)} *docs/rfc7.txt", f"{sha256(B)}  rfc8.txt")
    peers = holders(world, A, B, B)
    a = reader(world, peers, ini={"Integrity.Manifest": path}, documents={8: A})
    a.wait_log(r"The manifest \S+ is read: it names 2 RFCs\.")
    assert texts(a) == {sha256(A): ("verified", 1, 1, 0, False), sha256(B): ("disputed", 2, 2, 0, False)}
    assert disputed(a) == [8]
    a.wait_log(r"RFC 8 is disputed: the copy in the library is not what the manifest names\.")
    assert a.json("status")["manifestDocuments"] == 2 and "Manifest: names 2 RFCs\n" in a.ctl("status").text
    # A changed one is taken at a reload, and one that is configured no more is in force no more.
    write_manifest(path, f"{sha256(B)}  rfc7.txt")
    assert texts(a)[sha256(A)][0] == "verified"
    a.reload()
    a.wait_log(r"The manifest \S+ is read: it names 1 RFC\.")
    assert texts(a) == {sha256(B): ("verified", 2, 2, 0, False), sha256(A): ("disputed", 1, 1, 0, False)}
    a.write_config({"Integrity.Manifest": None})
    a.reload()
    until(lambda: "manifestDocuments" not in a.json("status"), "the end of the manifest")
    assert texts(a) == {sha256(B): ("agreed", 2, 2, 0, False), sha256(A): ("disputed", 1, 1, 0, False)}


def test_manifest_with_rubbish(world):
    lines = [f"{sha256(A)}  rfc7.txt", "-----BEGIN", f"{sha256(A)}  README", "\x1b[31m", f"{sha256(A)}  rfc8.txt",
             f"{sha256(B)}  x/rfc8.txt", f"{sha256(A)[:-1]}  rfc9.txt", f"{sha256(A)}  ../../rfc10.txt"]
    path = write_manifest(os.path.join(world.dir, "SHA256SUMS"), *lines)
    a = reader(world, holders(world, A), ini={"Integrity.Manifest": path})
    a.wait_log(r"SHA256SUMS is read: it names 2 RFCs\.")
    a.wait_log(r"/SHA256SUMS:2: not 64 hex digits, a blank, a blank or \*, and a name: 3 such lines are passed over\.")
    a.wait_log(r"/SHA256SUMS gives 1 document different digests, first rfc8\.txt: it says nothing of it\.")
    assert texts(a)[sha256(A)][0] == "verified"


@pytest.mark.parametrize("spoil, says, stays", [
    (os.unlink, "does not exist: no document counts as verified", False),
    (lambda path: (os.unlink(path), os.mkdir(path)), "is not used, it is not a regular file: what was read before stays in force",
     True),
    (lambda path: os.truncate(path, (64 << 20) + 1), "is not used, it has more than 64 MiB: what was read before stays in force",
     True),
    (lambda path: (os.unlink(path), os.symlink(path, path)), r"can not be read \(.+\): what was read before stays in force",
     True),
])
def test_manifest_that_can_not_be_had(world, spoil, says, stays):
    path = write_manifest(os.path.join(world.dir, "SHA256SUMS"), f"{sha256(A)}  rfc7.txt")
    a = reader(world, holders(world, A), ini={"Integrity.Manifest": path})
    assert texts(a)[sha256(A)][0] == "verified"
    spoil(path)
    a.reload()
    a.wait_log(rf"The manifest \S+/SHA256SUMS {says}\.")
    assert texts(a)[sha256(A)][0] == ("verified" if stays else "single")
    # Nor does it hinder a start.
    a.restart()
    a.ctl("refresh")
    assert texts(a)[sha256(A)][0] == "single" and "manifestDocuments" not in a.json("status")


def test_wrong_usage(world):
    a = world.peer("a")
    r = a.ctl("search", "--disputed", "x")
    assert (r.code, r.out, r.err) == (2, b"", "'search' takes no --disputed.\n")
    r = a.ctl("--at-risk", "show", "7")
    assert (r.code, r.out, r.err) == (2, b"", "'show' takes no --at-risk.\n")


def test_quarantine_doubles_and_is_of_one_port(world):
    liar = world.holder({7: A}, address="127.0.0.2", on_get=lambda f, c, n: f.document(n)[:-1] + b"?")
    honest = world.holder({8: document(8)}, address="127.0.0.2")
    a = reader(world, [liar, honest], ini={"Peers.QuarantineSec": "100ms"})
    spans = []
    while len(spans) < 3:
        until(lambda: a.ctl("get", "7").code == 7, "the end of the quarantine")
        [operation] = a.json("why", "7")
        spans += [s["count"] for s in operation["steps"] if s["what"] == "quarantine"]
        if len(spans) == 1:
            a.get(8)
    assert spans == [100000, 200000, 400000]
    # In words, too: not "for 0 s".
    assert f"{liar.text} quarantined for 400ms: " in a.ctl("why", "7").text
    a.wait_log(rf"{re.escape(liar.text)} is quarantined for 200ms: ")
    assert {p["address"]: p["state"] for p in a.json("peers")}[honest.text] == "static"
