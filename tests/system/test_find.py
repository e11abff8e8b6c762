# SPDX-License-Identifier: BSD-2-Clause
"""Finding RFCs: Search and Describe, search and show, and what the editor's rfc-index.txt in the library says."""

import json
import os

import pytest

from p2pdi import FakePeer, Varlink, document, sha256

INDEX = """\
                             RFC INDEX
                           -------------

7 Host Software for Tests. A. Author, B. Author, Ed.. April 1969. (Format:
     TXT) (Obsoleted by RFC9, RFC11) (Updated by RFC8) (Status: UNKNOWN)
     (DOI: 10.17487/RFC7)

8 Updates to Host Software. A. Author. 1 April 1970. (Format: TXT)
     (Updates RFC7) (Status: INFORMATIONAL) (DOI: 10.17487/RFC8)

9 Better Host Software. C. Author. June 2014. (Format: TXT) (Obsoletes
     RFC7) (Status: PROPOSED STANDARD) (DOI: 10.17487/RFC9)

14 Not Issued.

15 Held by Nobody. D. Author. June 2015. (Format: TXT) (Status: HISTORIC)
"""

ESCAPES = "Evil \u001b]0;x\u0007 \u009b2J \u202e txet \u2066 software"


def put_index(peer, text=INDEX):
    """As people copy it; gives what to wait for."""
    beside = os.path.join(peer.dir, "new-index")
    with open(beside, "w", encoding="utf-8") as f:
        f.write(text)
    mark = peer.mark()
    os.rename(beside, os.path.join(peer.library, "rfc-index.txt"))
    peer.wait_log(r"rfc-index\.txt is read: it lists \d+ RFCs", after=mark)


def search(peer, *words, **parameters):
    """All replies of a Search, or its error."""
    with Varlink(peer.control) as v:
        v.send("org.p2pdi.Peer.Search", {"words": list(words), **parameters}, more=True)
        found = []
        while True:
            reply = v.reply()
            if "error" in reply:
                return reply["error"], reply["parameters"]
            found += [reply["parameters"]["document"]] if "document" in reply["parameters"] else []
            if not reply.get("continues"):
                return found


def describe(peer, number):
    with Varlink(peer.control) as v:
        reply = v.call("org.p2pdi.Peer.Describe", {"number": number})
        return (reply["error"], reply["parameters"]) if "error" in reply else reply["parameters"]["rfc"]


def numbers(documents):
    return [d["number"] for d in documents]


@pytest.fixture(scope="module")
def net(shared):
    """b and c hold some, a holds little and has the editor's index."""
    rs = shared.rs()
    b = shared.peer("b", {7: document(7), 8: document(8), 9: document(9)}, rs)
    c = shared.peer("c", {8: document(8), 9: document(9, seed=1)}, rs)
    a = shared.peer("a", {9: document(9), 20: document(20)}, rs)
    put_index(a)
    assert a.ctl("refresh").code == 0
    return a, b, c


# ---- Search ----

@pytest.mark.parametrize("words, options, found", [
    (["host", "SOFTWARE"], {}, [7, 8, 9]),
    (["software host"], {}, []),
    (["Host Soft"], {}, [7, 8, 9]),
    (["oftwar", "etter"], {}, [9]),
    (["host"], {"local": True}, [9]),
    (["host"], {"local": False, "current": False}, [7, 8, 9]),
    (["host"], {"current": True}, [8, 9]),
    (["rfc"], {}, [20]),
    (["rfc"], {"current": True}, [20]),   # no RFC is known to obsolete it
    (["nobody"], {}, []),                       # known, and held by none
    (["nothing of the kind"], {}, []),
])
def test_search(net, words, options, found):
    assert numbers(search(net[0], *words, **options)) == found


def test_what_search_tells_of_a_document(net):
    a, b, _ = net
    seven, eight, nine = search(a, "host")
    assert seven == {"number": 7, "title": "Host Software for Tests", "size": 4000, "sha256": sha256(document(7)),
                     "local": False, "holders": 1, "holdersActive": 1, "status": "obsolete"}
    assert (eight["holders"], eight["holdersActive"], eight["status"]) == (2, 2, "current")
    assert (nine["local"], nine["path"], nine["holders"]) == (True, a.path(9), 2)
    # b has no editor's index: titles out of the texts, and no status.
    assert ["status" in d for d in search(b, "rfc")] == [False] * 3
    assert numbers(search(b, "host")) == []


@pytest.mark.parametrize("words", [[], [""], ["host", " "], ["x" * 65], ["x"] * 17])
def test_words_that_are_none(net, words):
    assert search(net[0], *words) == ("org.varlink.service.InvalidParameter", {"parameter": "words"})


def test_search_wants_more(net):
    with Varlink(net[0].control) as v:
        assert v.call("org.p2pdi.Peer.Search", {"words": ["x"]})["error"] == "org.varlink.service.ExpectedMore"


def test_search_over_many_slices(world):
    """More numbers than one batch, with matches in some of them; who is not registered at the server is not active."""
    holder = world.keep(FakePeer())
    known = {n: document(1, 100) for n in range(1, 3001)}
    holder.statements = {n: holder.record(n, known[n], title=f"Number {n}{' odd' if n % 2 else ''}") for n in known}
    a = world.peer("a", {}, rs=None, ini={"Peers.Static": holder.text})
    assert a.ctl("refresh").code == 0
    found = search(a, "odd", "number")
    assert numbers(found) == list(range(1, 3001, 2))
    assert {(d["holders"], d["holdersActive"]) for d in found} == {(1, 0)}
    assert numbers(search(a, "number 299")) == [299] + list(range(2990, 3000))


# ---- Describe ----

def test_describe(net):
    a, b, c = net
    rfc = describe(a, 9)
    assert (rfc["number"], rfc["issued"], rfc["title"], rfc["authors"], rfc["date"]) == \
        (9, True, "Better Host Software", "C. Author", "June 2014")
    assert (rfc["publicationStatus"], rfc["status"]) == ("PROPOSED STANDARD", "current")
    assert rfc["obsoletes"] == [{"number": 7, "title": "Host Software for Tests"}]
    assert rfc["obsoletedBy"] == rfc["updates"] == rfc["updatedBy"] == []
    assert (rfc["document"]["local"], rfc["document"]["path"], rfc["document"]["holders"]) == (True, a.path(9), 2)
    assert rfc["texts"] == [
        {"sha256": sha256(document(9)), "size": 4000, "local": True, "holders": 1, "hearsay": 0},
        {"sha256": sha256(document(9, seed=1)), "size": 4000, "local": False, "holders": 1, "hearsay": 0}]
    assert {h["holder"]: h["sha256"] for h in rfc["holders"]} == {
        "-": sha256(document(9)), b.text: sha256(document(9)), c.text: sha256(document(9, seed=1))}
    seven = describe(a, 7)
    assert seven["status"] == "obsolete" and seven["authors"] == "A. Author, B. Author, Ed."
    # The title of what the index does not tell of is left out.
    assert seven["obsoletedBy"] == [{"number": 9, "title": "Better Host Software"}, {"number": 11}]
    assert seven["updatedBy"] == [{"number": 8, "title": "Updates to Host Software"}]


def test_describe_what_is_known_from_one_side_only(net):
    a, b, _ = net
    rfc = describe(a, 14)
    assert rfc == {"number": 14, "issued": False, "obsoletes": [], "obsoletedBy": [], "updates": [], "updatedBy": [],
                   "texts": [], "holders": []}
    rfc = describe(a, 15)
    assert (rfc["title"], rfc["publicationStatus"], rfc["holders"]) == ("Held by Nobody", "HISTORIC", [])
    assert "document" not in rfc
    rfc = describe(a, 20)
    assert rfc["title"] == rfc["document"]["title"] and "issued" not in rfc and "status" not in rfc
    assert describe(b, 7)["document"]["local"] is True
    assert describe(a, 16) == ("org.p2pdi.Peer.NotKnown", {"number": 16})
    for number in (0, -1, 1 << 31):
        assert describe(a, number) == ("org.varlink.service.InvalidParameter", {"parameter": "number"})


def test_hearsay_is_told_apart(world):
    rs = world.rs()
    liar = world.keep(FakePeer({5: document(5)}))
    liar.statements = {5: [liar.record(5), liar.record(5, document(5, seed=1), holder="192.0.2.1:1000"),
                           liar.record(5, document(5, seed=1), holder="192.0.2.2:1000")]}
    a = world.peer("a", {}, rs)
    liar.join(rs)
    liar.statements[6] = [liar.record(6, document(6), holder="192.0.2.1:1000")]
    assert a.ctl("get", "6").code == 3         # asks for it by its number: hearsay comes in
    assert a.ctl("get", "5").code == 0
    assert [(t["holders"], t["hearsay"]) for t in describe(a, 6)["texts"]] == [(0, 1)]


# ---- the editor's index comes and goes ----

def test_index_that_comes_later_counts_at_once(world):
    a = world.peer("a", {7: document(7)})
    assert "status" not in search(a, "rfc")[0]
    put_index(a)
    assert [d["status"] for d in search(a, "host software")] == ["obsolete"]
    assert [d["status"] for d in a.json("list")] == ["obsolete"]
    put_index(a, INDEX.replace("(Obsoleted by RFC9, RFC11) ", "").replace("for Tests", "for All"))
    assert [(d["status"], d["title"]) for d in search(a, "host software")] == [("current", "Host Software for All")]
    assert describe(a, 7)["obsoletedBy"] == []
    with Varlink(a.control) as v:
        opened = v.call("org.p2pdi.Peer.Open", {"number": 7})["parameters"]["document"]
    assert (opened["status"], opened["holders"]) == ("current", 0)
    mark = a.mark()
    os.remove(os.path.join(a.library, "rfc-index.txt"))
    a.wait_log(r"rfc-index\.txt is gone", after=mark)
    assert "issued" not in describe(a, 7)
    assert "status" not in a.json("list")[0]


def test_index_goes_with_the_library(world):
    a = world.peer("a", {7: document(7)})
    put_index(a)
    mark = a.mark()
    os.rename(a.library, a.library + "-away")
    a.wait_log(r"The library .* is gone", after=mark)
    assert describe(a, 7) == ("org.p2pdi.Peer.NotKnown", {"number": 7})
    mark = a.mark()
    os.rename(a.library + "-away", a.library)
    a.wait_log(r"rfc-index\.txt is read", after=mark)
    assert describe(a, 7)["issued"] is True
