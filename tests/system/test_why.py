# SPDX-License-Identifier: BSD-2-Clause
"""What is remembered of operations, and how `why` tells it."""

import os
import re
import subprocess
import threading

import pytest

from p2pdi.documents import document, flip
from p2pdi.fakes import FakePeer
from test_find import put_index

SMALL_DISK = ["/usr/bin/env", "unshare", "--mount", "--map-root-user", "sh", "-c",
              'mount -t tmpfs -o size=400k none "$0" && exec "$@"']


def steps(operation):
    """(what, result) of each."""
    return [(s["what"], s.get("result")) for s in operation["steps"]]


def explain(peer, **parameters):
    with peer.varlink() as v:
        return [r["parameters"]["operation"] for r in v.call_more("org.p2pdi.Peer.Explain", parameters)]


def test_a_download_is_told_step_by_step(world):
    rs = world.rs()
    b = world.peer("b", {7: document(7)}, rs)
    a = world.peer("a", {}, rs)
    rs.wait_active(2)
    a.get(7)
    r = a.ctl("why", "7")
    assert r.code == 0 and r.err == ""
    lines = r.text.splitlines()
    assert re.fullmatch(r"Transaction [0-9a-f]{16} \(get RFC 7\), [0-9.]+(us|ms|s)", lines[0])
    told = [line.split("  ", 1)[-1].strip() for line in (re.sub(r"^ *[0-9.]+(us|ms|s)", "", x) for x in lines[1:])]
    took = r"(, [0-9.]+(us|ms|s))?"
    patterns = [
        r"own library: not held",
        r"registration server: 1 peer active" + took,
        r"merged index: 0 peers hold it",
        rf"ask index of peer 1 \({re.escape(b.text)}\) … ok" + took,
        r"merged index: 1 peer holds it",
        rf"fetch from peer 1 \({re.escape(b.text)}\) … ok, [0-9.]+[BK]" + took,
        r"in store",
    ]
    assert len(told) == len(patterns), lines
    for line, pattern in zip(told, patterns):
        assert re.fullmatch(pattern, line), (line, pattern)
    # The same under the name of its transaction, in any case, and as JSON.
    transaction = lines[0].split()[1]
    assert a.ctl("why", transaction).text == r.text
    assert a.ctl("why", transaction.upper()).text == r.text
    operation, = a.json("why", "rfc7.txt")
    assert operation["transaction"] == transaction and operation["number"] == 7 and operation["result"] == "ok"
    assert operation["stepsLost"] == 0 and operation["durationUSec"] > 0
    fetch = operation["steps"][-1]
    assert fetch["what"] == "fetch" and fetch["count"] == len(document(7)) and fetch["peer"] == b.text
    assert fetch["peerId"] == 1 and 0 < fetch["tookUSec"] <= operation["durationUSec"]
    after = [s["afterUSec"] for s in operation["steps"]]
    assert after == sorted(after)
    # What is in the library already is an operation, too, and the last one is told.
    a.get(7)
    operation, = a.json("why", "7")
    assert steps(operation) == [("store", "ok")] and operation["transaction"] != transaction


def test_failures_name_their_reason(world):
    rs = world.rs()
    content = document(7)

    def lie(fake, *_):
        return fake.document(7)[:-len(content)] + flip(content, 0)

    liar = world.holder({7: content}, on_get=lie)
    liar.join(rs)
    a = world.peer("a", {}, rs)
    a.get(7, code=7)
    operation, = a.json("why", "7")
    assert operation["result"] == "integrity"
    told = steps(operation)
    assert ("fetch", "mismatch") in told
    quarantine, = [s for s in operation["steps"] if s["what"] == "quarantine"]
    assert quarantine["peer"] == liar.text and quarantine["count"] == 5_000_000
    text = a.ctl("why", "7").text
    assert f"({liar.text}) quarantined for 5s: the bytes are not what its digest says" in text
    assert text.splitlines()[-1].endswith("  what came did not match its digest, and was thrown away")
    # Nobody is asked any more: it is in quarantine.
    a.get(8, code=3)
    operation, = a.json("why", "8")
    assert operation["result"] == "not-held" and "fetch" not in dict(steps(operation))
    assert a.ctl("why", "8").text.endswith("  no peer that could be asked holds it\n")


def test_a_number_that_was_never_issued(world):
    """As get has it, and as the interface says."""
    a = world.peer("a", {}, world.server([world.holder({8: document(8)})]))
    put_index(a, "0007 Not Issued.\n\n0008 A title. A. Author. May 2001. (Format: TXT) (Status: UNKNOWN)\n")
    a.get(7, code=4)
    operation, = a.json("why", "7")
    assert operation["result"] == "never-issued"
    assert a.ctl("why", "7").text.endswith("  no peer holds it, and that number was never issued\n")


def test_a_store_that_is_full(world):
    """A real one: the library lies on a disk of 400 KiB that is the daemon's alone."""
    rs = world.server([world.holder({7: document(7, 1000), 8: document(8, 1_000_000)})])
    a = world.peer("a", {}, rs, start=False)
    os.makedirs(a.state_dir, exist_ok=True)
    a.wrapper = SMALL_DISK + [a.state_dir]
    r = subprocess.run(a.wrapper + ["true"], capture_output=True, text=True, check=False, timeout=60)
    if r.returncode != 0:
        pytest.skip(f"a disk of one's own can't be had here: {r.stderr.strip()}")
    a.start()
    a.wait_registered()
    r = a.ctl("get", "8")
    assert (r.code, r.out, r.err) == (9, b"", "RFC 8 does not fit: there is no space left.\n")
    operation, = a.json("why", "8")
    assert operation["result"] == "no-space"
    assert a.ctl("why", "8").text.endswith("  no space left to store it\n")
    # Nothing of it stays, and what fits is had.
    r = a.ctl("cat", "7")
    assert (r.code, r.out) == (0, document(7, 1000))
    assert [d["number"] for d in a.json("list")] == [7]


def test_a_holder_that_refuses_and_no_peer_at_all(world):
    rs = world.rs()
    holder = world.holder({7: document(7)})
    holder.join(rs)
    a = world.peer("a", {}, rs)
    assert a.ctl("refresh").code == 0
    holder.vanish()
    a.get(7, code=3)
    operation, = a.json("why", "7")
    assert ("fetch", "refused") in steps(operation) and operation["result"] == "unreachable"
    b = world.peer("b", {}, world.rs(name="rs2"))
    b.get(7, code=6)
    operation, = b.json("why", "7")
    assert steps(operation) == [("store", "not-held"), ("servers", "no-peers"), ("holders", "not-held")]
    assert operation["result"] == "no-peers"


def test_one_transaction_of_many(world):
    """All of its operations in the order in which they began, over more than one batch of replies."""
    a = world.peer("a", {n: document(n) for n in range(1, 101)}, world.rs())
    a.get("1-100")
    transaction = a.json("why", "1")[0]["transaction"]
    operations = a.json("why", transaction)
    assert [o["number"] for o in operations] == list(range(1, 101))
    text = a.ctl("why", transaction).text
    assert text.count("Transaction ") == 100 and text.count("\n\n") == 99


def test_the_last_thousand_are_remembered(world):
    a = world.peer("a", {1: document(1)}, world.rs())
    a.get(1)
    a.get("2001-2999", code=6)
    assert a.json("why", "1")[0]["result"] == "ok"
    a.get("3000", code=6)
    assert a.ctl("why", "1").code == 1
    assert a.json("why", "2001")[0]["result"] == "no-peers"


def test_what_is_under_way_is_told_as_such(world):
    """A holder that never answers: its step has no result yet."""
    rs = world.rs()
    hold = threading.Event()
    asked = world.keep(FakePeer(on_index=lambda *_: hold.wait(60) and None))
    a = world.peer("a", {}, rs, ini={"Peers.Static": asked.text})
    with a.varlink() as v:
        v.send("org.p2pdi.Peer.Get", {"numbers": [7]}, more=True)
        asked.wait_requests("RFC-Index")
        operation, = explain(a, number=7)
        assert "result" not in operation and "durationUSec" not in operation
        last = operation["steps"][-1]
        assert last["what"] == "index" and last["peer"] == asked.text
        assert "result" not in last and "tookUSec" not in last
        text = a.ctl("why", "7").text
        assert "under way" in text.splitlines()[0] and text.endswith("… no answer yet\n")


@pytest.mark.parametrize("arguments, sentence", [
    (["x"], "'x' is neither an RFC number nor a transaction (16 hexadecimal digits)."),
    (["7-9"], "This verb takes one RFC number, or one transaction."),
    (["7", "8"], "This verb takes one RFC number, or one transaction."),
    (["0123456789abcde"], "'0123456789abcde' is neither an RFC number nor a transaction (16 hexadecimal digits)."),
    (["0"], "'0' is neither an RFC number nor a transaction (16 hexadecimal digits)."),
])
def test_wrong_arguments(world, arguments, sentence):
    a = world.peer("a", {}, world.rs())
    r = a.ctl("why", *arguments)
    assert (r.code, r.err, r.out) == (2, sentence + "\n", b"")


def test_nothing_is_remembered(world):
    a = world.peer("a", {}, world.rs())
    r = a.ctl("why", "7")
    assert (r.code, r.out) == (1, b"") and r.err == "Nothing is remembered of RFC 7: nobody has asked for it lately.\n"
    r = a.ctl("why", "0123456789abcdef", "--json=short")
    assert (r.code, r.out) == (1, b"") and r.err == "Nothing is remembered of transaction 0123456789abcdef.\n"


@pytest.mark.parametrize("parameters, wrong", [
    ({}, "number"), ({"number": 0}, "number"), ({"number": 1 << 31}, "number"),
    ({"transaction": "x"}, "transaction"), ({"transaction": "0000000000000000"}, "transaction"),
    ({"transaction": "0123456789ABCDEF"}, "transaction"),
    ({"transaction": "0123456789abcdef", "number": 7}, "number"), ({"other": 1}, "other"),
])
def test_wrong_parameters(world, parameters, wrong):
    a = world.peer("a", {}, world.rs())
    with a.varlink() as v:
        r = v.call("org.p2pdi.Peer.Explain", parameters, more=True)
        assert r["error"] == "org.varlink.service.InvalidParameter" and r["parameters"] == {"parameter": wrong}
