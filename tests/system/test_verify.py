# SPDX-License-Identifier: BSD-2-Clause
"""verify: bytes that turned although their file did not, what is told of it, and how it is mended."""

import json
import os
import sqlite3

import pytest

from p2pdi.documents import document, flip, sha256
from test_ctl import NOBODY, as_nobody, opened  # noqa: F401


def held(peer):
    return [d["number"] for d in peer.json("list")]


@pytest.fixture
def three(world):
    return world.peer("a", {n: document(n) for n in (7, 8, 9)})


def test_a_sound_store(three):
    r = three.ctl("verify")
    assert r.code == 0 and r.out == b"" and r.err.startswith("3 RFCs verified, 11.7K in ") and r.err.endswith(", none damaged.\n")
    r = three.ctl("verify", "8", "rfc9.txt")
    assert r.code == 0 and r.err.startswith("2 RFCs verified, 7.8K in ")
    assert three.ctl("-q", "verify").err == ""
    answer = three.json("verify", "7")
    progress = answer.pop("progress")
    assert answer == {"documents": [], "downloads": []}
    assert progress.pop("durationUSec") > 0
    assert progress == {"documents": 1, "documentsTotal": 1, "bytes": 4000, "damaged": 0}
    assert held(three) == [7, 8, 9]


def test_what_is_not_held(three):
    r = three.ctl("verify", "7", "10")
    assert r.code == 3 and r.err.splitlines()[0] == "RFC 10 is not in the store." and "1 RFC verified" in r.err


def test_an_empty_store(world):
    r = world.peer("a").ctl("verify")
    assert r.code == 0 and r.err.startswith("0 RFCs verified, 0B in ")


@pytest.mark.parametrize("position", [0, 2000, 3999])
def test_a_damaged_one_goes_and_its_file_stays(three, position):
    good = three.rot(8, position)
    generation = three.json("status")["generation"]
    assert held(three) == [7, 8, 9], "nobody has looked yet"
    r = three.ctl("--json=short", "verify")
    bad = flip(good, position)
    assert r.code == 7 and json.loads(r.out)["documents"] == [
        {"number": 8, "result": "damaged", "size": 4000, "sha256": sha256(bad), "expected": sha256(good)}]
    assert r.err.startswith("RFC 8 is damaged: its sha256 is ") and "3 RFCs verified" in r.err and r.err.endswith(" 1 damaged.\n")
    assert held(three) == [7, 9] and three.json("status")["generation"] == generation + 1
    with three.connect() as w:
        assert w.ask("GET RFC 8").status == 404
    assert three.content(8) == bad
    three.wait_log("RFC 8 is damaged and taken out of the index")
    # Said again each time, also of it alone; and a get does not take its place.
    assert three.ctl("verify", "8").code == 7 and three.ctl("verify", "7").code == 0


def test_it_stays_out_over_restarts_until_there_is_another_file(three):
    good = three.rot(8)
    assert three.ctl("verify").code == 7
    three.stop()
    three.start()
    three.wait_scanned(2)
    assert held(three) == [7, 9] and three.count_log(r"rfc8\.txt is left out of the library: it is damaged") >= 1
    three.put(8, good)
    three.wait_scanned(3)
    assert three.ctl("verify").code == 0
    # What turned and turned back was not damaged but misread.
    three.rot(9)
    assert three.ctl("verify", "9").code == 7 and held(three) == [7, 8]
    three.rot(9)
    assert three.ctl("verify", "9").code == 0 and held(three) == [7, 8, 9]


def test_a_damaged_one_that_is_removed_is_gone(three):
    three.rot(8)
    assert three.ctl("verify").code == 7
    os.unlink(three.path(8))
    three.caught_up()
    r = three.ctl("verify", "8")
    assert r.code == 3, r


def test_get_does_not_take_the_place_of_a_damaged_file(world):
    a = world.peer("a", {8: document(8)}, world.server([world.holder({8: document(8)})]))
    bad = flip(a.rot(8), 100)
    assert a.ctl("verify").code == 7
    r = a.ctl("get", "8")
    assert r.code == 1 and r.err == "RFC 8 is damaged in the store: p2pdi-ctl verify --repair brings it anew.\n"
    assert a.content(8) == bad


def test_repair(world):
    holder = world.holder({8: document(8), 9: document(9)})
    a = world.peer("a", {n: document(n) for n in (7, 8, 9)}, world.server([holder]))
    good = a.rot(8)
    a.rot(9)
    with open(a.path(8), "rb") as open_before:
        r = a.ctl("verify", "--repair")
        assert r.code == 0, r
        assert open_before.read() == flip(good, 100), "who reads it goes on reading what it was"
    assert f"RFC 8: repaired from {holder.text}, sha256 " in r.err and f"RFC 9: repaired from {holder.text}" in r.err
    assert a.content(8) == document(8) and a.content(9) == document(9) and held(a) == [7, 8, 9]
    assert a.stored() == ["rfc7.txt", "rfc8.txt", "rfc9.txt"], "nothing is left beside them"
    assert holder.count("GET RFC 7 ") == 0
    assert a.ctl("verify").code == 0
    a.wait_log("User .* called org.p2pdi.Peer.Repair")
    # One that lies brings nothing, and what is there stays.
    holder.documents[8] = document(8, seed=1)
    bad = flip(a.rot(8), 100)
    holder.on_get = lambda fake, *_: fake.document(8)[:-1] + b"?"
    r = a.ctl("--json=short", "verify", "--repair", "8")
    assert r.code in (3, 7) and a.content(8) == bad and held(a) == [7, 9]
    answer = json.loads(r.out)
    assert [d["number"] for d in answer["downloads"]] == [8] and answer["downloads"][0]["result"] != "ok"


def test_repair_where_nobody_has_it(three):
    bad = flip(three.rot(8), 100)
    r = three.ctl("verify", "--repair")
    assert r.code == 6 and "RFC 8: damaged, sha256 should be " in r.err and "RFC 8: No peer is active." in r.err
    assert three.content(8) == bad


def test_an_older_catalogue_is_used_on(three):
    """One without the table of what is kept beside the files: nothing is read anew."""
    three.stop()
    with sqlite3.connect(os.path.join(three.state_dir, "library.db")) as db:
        db.execute("DROP TABLE care")
        db.execute("UPDATE document SET text_title = 'Kept' WHERE number = 8")
    db.close()
    three.start()
    three.wait_scanned(3)
    assert [d["title"] for d in three.json("list")][1] == "Kept"
    three.rot(7)
    assert three.ctl("verify").code == 7


def test_the_manifest_says_what_is_right(world):
    holder = world.holder({7: document(7), 8: document(8)})
    manifest = os.path.join(world.dir, "SHA256SUMS")
    with open(manifest, "w", encoding="ascii") as f:
        f.write("".join(f"{sha256(document(n))}  rfc{n}.txt\n" for n in (7, 8)))
    mine = document(8, seed="mine")
    a = world.peer("a", {7: document(7), 8: mine, 9: document(9)}, world.server([holder]), ini={"Integrity.Manifest": manifest})
    r = a.ctl("verify")
    assert r.code == 7 and "3 RFCs verified" in r.err and held(a) == [7, 9] and a.content(8) == mine
    assert a.ctl("verify", "--repair").code == 0
    assert a.content(8) == document(8) and held(a) == [7, 8, 9]


def test_readers_verify_and_do_not_repair(opened):
    assert as_nobody(opened, "verify").code == 0
    r = as_nobody(opened, "verify", "--repair")
    assert r.code == 10 and "Not allowed" in r.err
    opened.wait_log(f"User {NOBODY} was denied org.p2pdi.Peer.Repair")


def test_a_bad_list_of_numbers(three):
    with three.varlink() as v:
        for numbers in ([], [0], [1 << 31], [7] * 20001):
            v.send("org.p2pdi.Peer.Verify", {"numbers": numbers}, more=True)
            reply = v.reply()
            assert reply["error"] == "org.varlink.service.InvalidParameter" and reply["parameters"] == {"parameter": "numbers"}
        # Twice the same is once.
        v.send("org.p2pdi.Peer.Verify", {"numbers": [8, 7, 8]}, more=True)
        assert v.reply()["parameters"]["progress"]["documents"] == 2


def test_who_hangs_up_stops_it(world):
    a = world.peer("a", {n: document(n, 2000) for n in range(1, 200)})
    for _ in range(5):
        with a.varlink() as v:
            v.send("org.p2pdi.Peer.Verify", more=True)
    assert a.ctl("verify").code == 0
