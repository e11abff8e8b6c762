# SPDX-License-Identifier: BSD-2-Clause
"""Deltas: what a peer sends of its index to one that has an older generation of it, and what is made of that."""
import json
import os
import re

import pytest
from p2pdi.base import until
from p2pdi.documents import document
from p2pdi.wire import index_digest, parse_index

# As many as the RFC Editor's text documents.
N_DOCUMENTS = 9148


def ask(peer, generation):
    with peer.connect() as w:
        return w.ask("GET RFC-Index", {"If-Generation": generation})


def wait_generation(peer, other):
    """Its index is another one than that; gives which."""
    replies = []

    def changed():
        replies.append(ask(peer, "0.0"))
        return replies[-1]["Generation"] != other
    until(changed, "another generation")
    return replies[-1]


def numbers(peer):
    return [d["number"] for d in peer.json("list", "--all")]


def pulls(peer):
    """{(kind, result): n} of those that there were."""
    found = re.findall(r'^p2pdi_peer_index_pulls_total\{kind="([^"]+)",result="([^"]+)"\} (\d+)$',
                       peer.ctl("metrics").text, re.M)
    return {(kind, result): int(n) for kind, result, n in found if n != "0"}


def refresh(peer):
    """The results of it."""
    return [r["result"] for r in json.loads(peer.ctl("--json=short", "refresh").out)]


def last_pull(peer):
    """What the last entry about one says: (what, bytes)."""
    said = re.findall(r"Index pulled: [^(]*\((\w+)\) \(get-index \w+, \S+, (\d+) bytes", peer.log())
    return said[-1][0], int(said[-1][1])


def test_one_more_of_9148_is_one_line(world):
    holder = world.peer("holder", {n: b"%d\n" % n for n in range(1, N_DOCUMENTS + 1)})
    reader = world.peer("reader", {}, ini={"Peers.Static": holder.text})
    assert reader.json("refresh")[0]["kind"] == "full"
    before = ask(holder, "0.0")
    assert last_pull(reader) == ("full", len(before.body))

    holder.put(20000, document(20000))
    whole = wait_generation(holder, before["Generation"])
    delta = ask(holder, before["Generation"])
    assert delta.status == 226 and len(delta.body) < 300
    line, = [r.line for r in parse_index(whole.body) if r.number == 20000]
    assert delta.body.decode() == "+" + line
    assert delta["Generation"] == whole["Generation"] and delta["Index-Digest"] == whole["Index-Digest"]
    told = reader.ctl("refresh")
    assert told.code == 0 and told.text.splitlines() == ["PEER            RESULT KIND  ADDED REMOVED",
                                                         f"{holder.text} ok     delta     1       0"], told
    assert last_pull(reader) == ("delta", len(delta.body))
    assert pulls(reader) == {("full", "ok"): 1, ("delta", "ok"): 1}
    assert len(numbers(reader)) == N_DOCUMENTS + 1

    os.unlink(holder.path(4711))
    gone = wait_generation(holder, whole["Generation"])
    assert ask(holder, whole["Generation"]).body == b"-4711\t-\n"
    both = ask(holder, before["Generation"])
    assert both.status == 226 and both.body == b"-4711\t-\n" + delta.body
    assert reader.ctl("refresh").code == 0
    assert last_pull(reader) == ("delta", len(b"-4711\t-\n"))
    assert 4711 not in numbers(reader)
    # And the copy is what the holder says: so says a 304, too.
    assert reader.json("refresh") == [{"peer": holder.text, "result": "unchanged", "kind": "unchanged", "added": 0,
                                       "removed": 0}]
    assert ask(holder, gone["Generation"]).status == 304


def test_delta_that_is_longer_than_all_is_not_sent(world):
    holder = world.peer("holder", {7: document(7)})
    before = ask(holder, "0.0")
    holder.put(7, document(7, seed=1))
    whole = wait_generation(holder, before["Generation"])
    reply = ask(holder, before["Generation"])
    assert reply.status == 200 and reply.body == whole.body


def test_another_start_is_another_epoch(world):
    holder = world.peer("holder", {n: document(n) for n in (7, 8, 9)}, place=world.place())
    reader = world.peer("reader", {}, ini={"Peers.Static": holder.text})
    assert reader.ctl("refresh").code == 0
    before = ask(holder, "0.0")
    holder.stop()
    holder.put(10, document(10))
    holder.start()
    holder.wait_scanned(4)
    after = ask(holder, before["Generation"])
    assert after.status == 200 and after["Generation"].split(".")[0] != before["Generation"].split(".")[0]
    assert reader.ctl("refresh").code == 0
    assert last_pull(reader) == ("full", len(after.body))
    assert numbers(reader) == [7, 8, 9, 10]


def delta_of(fake, lines, records=None, **headers):
    """As an honest peer would send it, unless a test gives other records to make the digest of, or other headers."""
    body = "".join(lines).encode()
    said = {"Generation": f"{fake.epoch}.{fake.generation}",
            "Index_Digest": index_digest(fake.records() if records is None else records), **headers}
    return fake.head(226, len(body), **{n: v for n, v in said.items() if v is not None}) + body


def generations(fake):
    return [h.get("if-generation") for line, h in fake.heads if "RFC-Index" in line]


def test_copy_that_is_wrong_is_healed(world):
    """One record here is another than at the holder, and the delta says nothing of it: the digest does."""
    holder = world.holder({7: document(7), 8: document(8)})
    reader = world.peer("reader", {}, ini={"Peers.Static": holder.text})
    holder.statements[7] = holder.record(7, b"what it does not hold")
    assert reader.ctl("refresh").code == 0
    holder.statements.clear()

    holder.documents[9] = document(9)
    holder.generation += 1
    honest = holder.on_index
    holder.on_index = lambda f, c, h: (f.index(h) if h.get("if-generation") == "0.0" else
                                       delta_of(f, ["+" + f.record(9).line]))
    assert refresh(reader) == ["ok"]
    assert generations(holder)[1:] == [f"{holder.epoch}.1", "0.0"]
    assert reader.count_log("does not match its digest: asking for all of it") == 1
    assert last_pull(reader)[0] == "full"
    assert reader.json("where", "7")[0]["sha256"] == holder.record(7).sha256
    holder.on_index = honest
    assert refresh(reader) == ["unchanged"]


@pytest.mark.parametrize("lines, result", [
    (["+{9}", "+{8}"], "malformed"), (["+{9}", "+{9}"], "malformed"), (["-7\t-\n", "+{7}"], "malformed"),
    (["{9}"], "malformed"), (["-7\n"], "malformed"), (["+{9}", "-10\t-"], "malformed"),
    (["+9\t7200\t127.0.0.9:1\t5\t" + "1" * 64 + "\tHearsay\n"], "malformed"),
], ids=["misordered", "twice", "both", "no-sign", "short-line", "cut-off", "hearsay"])
def test_bad_deltas_change_nothing(world, lines, result):
    holder = world.holder({7: document(7), 8: document(8)})
    reader = world.peer("reader", {}, ini={"Peers.Static": holder.text})
    assert reader.ctl("refresh").code == 0
    known = reader.json("list", "--all")
    holder.documents[9] = document(9)
    holder.generation += 1
    said = [re.sub(r"\{(\d+)\}", lambda m: holder.record(int(m[1])).line, line) for line in lines]
    holder.on_index = lambda f, c, h: delta_of(f, said)
    assert refresh(reader) == [result]
    reader.wait_log("Index refused: ")
    assert reader.json("list", "--all") == known


def test_delta_that_breaks_off_changes_nothing(world):
    holder = world.holder({7: document(7)})
    reader = world.peer("reader", {}, ini={"Peers.Static": holder.text})
    assert reader.ctl("refresh").code == 0
    holder.on_index = lambda f, c, h: delta_of(f, ["-7\t-\n", "-8\t-\n"])[:-1]
    answer, = json.loads(reader.ctl("-j", "refresh").out)
    assert answer["result"] == "broken" and "kind" not in answer
    assert numbers(reader) == [7]


@pytest.mark.parametrize("headers", [{"Index_Digest": None}, {"Generation": "12345.2"}], ids=["digest", "epoch"])
def test_delta_of_no_use_is_asked_for_as_a_whole(world, headers):
    """Nobody can tell whether the copy would be right."""
    holder = world.holder({7: document(7), 8: document(8)})
    reader = world.peer("reader", {}, ini={"Peers.Static": holder.text})
    assert reader.ctl("refresh").code == 0
    del holder.documents[8]
    holder.generation += 1
    holder.on_index = lambda f, c, h: (f.index(h) if h.get("if-generation") == "0.0" else
                                       delta_of(f, ["-7\t-\n"], **headers))
    assert refresh(reader) == ["ok"]
    assert generations(holder)[1:] == [f"{holder.epoch}.1", "0.0"]
    assert numbers(reader) == [7]


def test_removal_of_what_is_not_known_is_passed_over(world):
    """It came and went between two pulls."""
    holder = world.holder({7: document(7)})
    reader = world.peer("reader", {}, ini={"Peers.Static": holder.text})
    assert reader.ctl("refresh").code == 0
    holder.generation += 2
    holder.on_index = lambda f, c, h: delta_of(f, ["-9\t-\n"])
    assert refresh(reader) == ["ok"]
    assert last_pull(reader) == ("delta", len("-9\t-\n"))
    assert numbers(reader) == [7]
