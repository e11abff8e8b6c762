# SPDX-License-Identifier: BSD-2-Clause
"""Names of RFCs that only the editor's index tells: aliases, and what is in force instead of what is obsolete."""

import json
import os

import pytest

from p2pdi.documents import document


def entry(number, title, more=""):
    return f"{number} {title}. A. Author. May 1999. (Format: TXT){more}\n     (Status: UNKNOWN)\n\n"


INDEX = ("(CREATED ON: 08/05/2026.)\n\n"
         + entry(7, "Old", " (Obsoleted by RFC8)") + entry(8, "Newer", " (Obsoleted by RFC11, RFC9)") + entry(9, "Newest")
         + "10 Not Issued.\n\n" + entry(11, "Newest Too", " (Also BCP14)") + entry(12, "Of a Series", " (Also BCP0014)")
         + entry(13, "One of a Loop", " (Obsoleted by RFC14)") + entry(14, "One of a Loop", " (Obsoleted by RFC13)")
         + entry(15, "Alone", " (Also STD3) (Also FYI36)")
         + entry(17, "No Text").replace("TXT", "PDF, HTML")
         + entry(16, "Fanned Out", " (Obsoleted by\n     " + ",\n     ".join(f"RFC{n}" for n in range(1000, 6000)) + ")"))
DOCUMENTS = {n: document(n) for n in (7, 9, 11, 12, 15)}


@pytest.fixture(scope="module")
def net(shared):
    """b holds the documents, a one of them and the index; c has neither."""
    rs = shared.rs()
    b = shared.peer("b", DOCUMENTS, rs)
    a = shared.peer("a", {9: DOCUMENTS[9]}, rs, start=False)
    with open(os.path.join(a.library, "rfc-index.txt"), "w", encoding="ascii") as f:
        f.write(INDEX)
    a.start()
    a.wait_scanned(1)
    a.wait_registered()
    return {"rs": rs, "a": a, "b": b}


def notes(result):
    return result.err.splitlines()


def test_get_has_all_rfcs_of_an_alias(net):
    a = net["a"]
    for words in (["bcp14"], ["BCP", "14"], ["bcp-0014.txt"]):
        r = a.get(*words)
        assert notes(r)[0] == "BCP 14: RFC 11, RFC 12"
        assert r.text.split() == [a.path(11), a.path(12)]
    # Beside numbers, in the order asked, each once; no verb is needed.
    r = a.ctl("12", "std3", "bcp14", "9")
    assert r.code == 0 and r.text.split() == [a.path(n) for n in (12, 15, 11, 9)]
    assert [d["number"] for d in a.json("get", "fyi36", "bcp14")] == [15, 11, 12]
    assert a.ctl("-q", "get", "std3").err == ""


def test_other_verbs_take_aliases(net):
    a = net["a"]
    a.get("bcp14")
    assert a.ctl("cat", "bcp14").out == DOCUMENTS[11] + DOCUMENTS[12]
    assert a.ctl("read", "--no-pager", "BCP", "14").out == DOCUMENTS[11] + DOCUMENTS[12]
    assert [d["number"] for d in a.json("list", "bcp14")] == [11, 12]
    assert [r["number"] for r in a.json("show", "bcp14")] == [11, 12]
    assert [r["number"] for r in a.json("show", "std3")] == [15]
    assert {h["number"] for h in a.json("where", "bcp14")} == {11, 12}
    shown = a.ctl("show", "bcp14").text
    assert shown.index("RFC 11: Newest Too") < shown.index("RFC 12: Of a Series")
    where = a.ctl("where", "bcp14").text.splitlines()
    assert "RFC 11:" in where and "RFC 12:" in where
    assert a.ctl("where", "9").text.startswith("HOLDER")


def test_verbs_of_the_store_take_aliases(net):
    a = net["a"]
    a.get("bcp14", "std3")
    assert [(k["number"], k["result"]) for k in a.json("pin", "bcp14", "9")] == [(11, "ok"), (12, "ok"), (9, "ok")]
    assert [d["number"] for d in a.json("list") if d["pinned"]] == [9, 11, 12]
    assert a.json("verify", "BCP", "14", "std3")["progress"]["documents"] == 3
    r = a.ctl("unpin", "bcp77", "bcp14", "9")
    assert r.code == 4 and not any(d["pinned"] for d in a.json("list")), "the rest is done all the same"
    assert a.ctl("verify", "bcp77", "9").code == 4
    assert [k["number"] for k in a.json("evict", "--force", "bcp14")] == [11, 12]
    assert {11, 12}.isdisjoint(d["number"] for d in a.json("list"))
    assert a.json("sync", "bcp14")["documents"] == 2


@pytest.mark.parametrize("verb", ["get", "cat", "read", "list", "show", "where", "pin", "unpin", "evict", "verify", "sync"])
def test_a_name_that_the_index_has_not(net, verb):
    r = net["a"].ctl(verb, "bcp77")
    assert (r.code, r.out, r.err) == (4, b"", "BCP 77 names no RFC, by the RFC Editor's index.\n")


def test_the_rest_is_had_all_the_same(net):
    a = net["a"]
    r = a.get("bcp77", "9", code=4)
    assert notes(r)[0].startswith("BCP 77 names no RFC") and r.text.split() == [a.path(9)]
    r = a.ctl("list", "bcp77", "9", "--json=short")
    assert r.code == 4 and [d["number"] for d in json.loads(r.out)] == [9]


def test_without_the_editors_index(net):
    b = net["b"]
    assert notes(b.get("bcp14", code=1)) == ["BCP 14 is not known: this peer has no rfc-index.txt yet."]
    r = b.ctl("get", "--follow", "7")
    assert (r.code, r.out) == (1, b"")
    assert r.err == "What obsoletes RFC 7 is not known: this peer has no rfc-index.txt yet.\n"
    # Who names numbers needs none.
    assert b.get(7).text.split() == [b.path(7)]


def test_follow_has_what_is_in_force(net):
    a = net["a"]
    r = a.ctl("get", "--follow", "7")
    assert r.code == 0 and r.text.split() == [a.path(9), a.path(11)]
    assert notes(r)[:2] == ["RFC 7 → RFC 9, RFC 11", "RFC 9: in store"] and notes(r)[2].startswith("RFC 11: ")
    assert "obsolete" not in r.err
    # What is in force is itself; two ways to one; a range.
    r = a.ctl("get", "--follow", "7-9", "rfc15")
    assert r.code == 0 and r.text.split() == [a.path(n) for n in (9, 11, 15)]
    assert notes(r)[:2] == ["RFC 7 → RFC 9, RFC 11", "RFC 8 → RFC 9, RFC 11"]
    found = a.json("get", "--follow", "7", "8", "15")
    assert [(d["number"], d.get("insteadOf")) for d in found] == [(9, [7, 8]), (11, [7, 8]), (15, None)]
    assert notes(a.ctl("get", "--follow", "bcp14"))[0] == "BCP 14: RFC 11, RFC 12"


def test_loops_and_fans_end(net):
    a = net["a"]
    r = a.ctl("get", "--follow", "13")
    assert (r.code, r.out) == (1, b"")
    assert r.err == "RFC 13 is obsolete, and nothing that is in force instead was found.\n"
    with a.varlink() as v:
        meaning, = [x["parameters"]["meaning"] for x in
                    v.call_more("org.p2pdi.Peer.Resolve", {"names": ["rfc16", ], "follow": True})]
    succession, = meaning["successions"]
    assert succession["cut"] and succession["number"] == 16 and succession["current"] == list(range(1000, 1063))


def test_never_issued(net):
    for arguments in (["get", "10"], ["get", "--follow", "10"]):
        r = net["a"].ctl(*arguments)
        assert (r.code, r.out, r.err) == (4, b"", "RFC 10 was never issued.\n")


def test_where_of_what_nobody_holds(net):
    a = net["a"]
    for number, code, says in (("10", 4, "RFC 10 was never issued."), ("15", 0, ""),
                               ("16", 3, "RFC 16 is not known to be held by any peer."),
                               ("99", 3, "RFC 99 is not known here.")):
        r = a.ctl("where", number)
        assert r.code == code and r.err == (says + "\n" if says else ""), r
    r = a.ctl("--json=short", "where", "10")
    assert (r.code, json.loads(r.out)) == (4, [])


def test_a_missing_text(net):
    a = net["a"]
    r = a.ctl("get", "17")
    assert (r.code, r.out) == (3, b"")
    assert r.err == "RFC 17 is not held by any reachable peer: the RFC Editor has no text of it, only other formats.\n"
    r = a.ctl("--json=short", "get", "17", "16")
    assert [d.get("noText") for d in json.loads(r.out)] == [True, None]
    assert a.json("show", "17")["hasText"] is False and a.json("show", "9")["hasText"] is True
    assert "Formats: no text, only others\n" in a.ctl("show", "17").text
    assert "Formats" not in a.ctl("show", "9").text


def test_an_obsolete_one_is_noted_wherever_it_comes_from(net):
    a = net["a"]
    for _ in ("fetched", "in the store"):
        r = a.get(7)
        assert notes(r)[-1] == "Note: RFC 7 is obsolete, see RFC 8."
    assert a.json("get", "7")[0]["obsoletedBy"] == [8]


@pytest.mark.parametrize("names", [[], ["x"], ["7-9"], [""], ["bcp"], ["7"] * 20001])
def test_what_is_no_name_is_refused(net, names):
    with net["a"].varlink() as v:
        v.send("org.p2pdi.Peer.Resolve", {"names": names}, more=True)
        assert v.reply()["parameters"] == {"parameter": "names"}


def test_many_names_at_once(net):
    with net["a"].varlink() as v:
        found = [x["parameters"]["meaning"] for x in
                 v.call_more("org.p2pdi.Peer.Resolve", {"names": ["7", "bcp14"] * 2000, "follow": True})]
    assert len(found) == 4000 and found[-1]["numbers"] == [11, 12]
    assert found[0]["successions"] == [{"number": 7, "current": [9, 11], "cut": False}]


def test_usage(net):
    a = net["a"]
    for arguments, error in [(["read", "bcp14", "7"], "This verb takes one RFC number, or one name like bcp14."),
                             (["get", "bcp0"], "'bcp0' is no RFC number"),
                             (["get", "--follow", "1-200000"], "One call may name at most 100000 RFCs."),
                             (["cat", "--follow", "7"], "'cat' takes no --follow.")]:
        r = a.ctl(*arguments)
        assert r.code == 2 and r.err.startswith(error), r
