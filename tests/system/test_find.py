# SPDX-License-Identifier: BSD-2-Clause
"""Finding RFCs: Search and Describe, search and show, and what the editor's rfc-index.txt in the library says."""

import json
import os

import pytest

from p2pdi.documents import document, sha256
from p2pdi.fakes import FakePeer
from p2pdi.varlink import Varlink

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
                     "trust": "single", "local": False, "holders": 1, "holdersActive": 1, "status": "obsolete"}
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
        {"sha256": sha256(document(9, seed=seed)), "size": 4000, "trust": "disputed", "local": local, "holders": 1,
         "prefixes": 1, "hearsay": 0} for seed, local in ((0, True), (1, False))]
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


def test_describe_fits_into_a_message_whatever_others_say(world):
    """The most holders that one may tell of, each with a text of its own, and the most and longest titles of relations."""
    liar = world.keep(FakePeer({5: document(5)}))
    liar.statements = {5: [liar.record(5)] + [liar.record(5, b"%d" % port, holder=f"192.0.2.1:{port}")
                                              for port in range(10000, 11200)]}
    a = world.peer("a", {}, rs=None, ini={"Peers.Static": liar.text})
    related = "".join(f" ({what} {', '.join(f'RFC{n}' for n in range(6, 134))})"
                      for what in ("Obsoletes", "Obsoleted by", "Updates", "Updated by"))
    put_index(a, f"5 The Hub. A. Author. May 2001.{related.replace(', ', ',' + chr(10) + '   ')}\n\n" + "".join(
        f"{n} {chr(10).join('   ' + '?' * 60 for _ in range(16)).strip()}. A. Author. May 2001. (Format: TXT)\n\n"
        for n in range(6, 134)))
    # A peer that is asked for a number relays what it knows of it.
    assert a.ctl("get", "5").code == 0
    rfc = describe(a, 5)
    assert len(rfc["holders"]) == 2 + 128 and len(rfc["texts"]) == 1 + 128   # the copy here, its holder, and hearsay
    assert [len(rfc[k]) for k in ("obsoletes", "obsoletedBy", "updates", "updatedBy")] == [128] * 4
    assert 60 < sum("title" in r for r in rfc["obsoletes"]) < 128 and "title" not in rfc["updatedBy"][-1]


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


# ---- search ----

def rows(r):
    """The cells of a table, up to the empty line; the title, which comes last, is one."""
    head, *lines = r.text.split("\n\n")[0].split("\n")
    columns = head.split()
    return columns, [line.split(None, len(columns) - 1) for line in lines]


def test_search_as_a_table(net):
    r = net[0].ctl("search", "host")
    assert r.code == 0 and r.err == ""
    assert rows(r) == (["RFC", "STATUS", "HOLDERS", "LOCAL", "TITLE"], [
        ["7", "obsolete", "1/2", "no", "Host Software for Tests"],
        ["8", "current", "2/2", "no", "Updates to Host Software"],
        ["9", "current", "2/2", "yes", "Better Host Software"]])
    assert r.text.endswith("\n\n3 RFCs listed, 1 local.\n")
    assert rows(net[0].ctl("search", "rfc"))[1] == [["20", "-", "0/2", "yes", "RFC 20"]]


@pytest.mark.parametrize("arguments, found", [
    (["--current", "host"], [8, 9]), (["host", "--local"], [9]), (["--local", "--current", "HOST", "better"], [9]),
    (["host software"], [7, 8, 9]), (["--", "for", "tests"], [7]),
])
def test_search_options(net, arguments, found):
    r = net[0].ctl("search", *arguments)
    assert r.code == 0 and [row[0] for row in rows(r)[1]] == [str(n) for n in found]
    assert numbers(net[0].json("search", *arguments)) == found


def test_search_as_json(net):
    for how in ("short", "pretty"):
        r = net[0].ctl(f"--json={how}", "search", "better")
        assert r.code == 0 and r.err == "" and (r.text.count("\n") == 1) == (how == "short")
        assert json.loads(r.out) == search(net[0], "better")
    assert net[0].json("search", "nothing of the kind") == []


def test_search_that_finds_nothing(net):
    for words, says in ((["x y z"], "No title that is known has that in it.\n"),
                        (["host", "guest"], "No title that is known has all of these in it.\n")):
        r = net[0].ctl("search", *words)
        assert (r.code, r.out, r.err) == (0, b"", says)
        r = net[0].ctl("-q", "search", *words)
        assert (r.code, r.out, r.err) == (0, b"", "")


def test_search_where_nobody_is_active(world):
    holder = world.keep(FakePeer({5: document(5)}))
    a = world.peer("a", {}, rs=None, ini={"Peers.Static": holder.text})
    assert a.ctl("refresh").code == 0
    assert rows(a.ctl("search", "rfc"))[1] == [["5", "-", "1", "no", "RFC 5"]]


@pytest.mark.parametrize("arguments, says", [
    ([], "Too few arguments: search WORD…."),
    ([""], "A word to search for is empty."),
    (["host", " \t"], "A word to search for is empty."),
    (["y" * 65], f"A word to search for may have at most 64 bytes, not as many as '{'y' * 65}'."),
    (["x"] * 17, "At most 16 words can be searched for at once."),
    ([b"\xff"], "'\\xff' is no UTF-8, as all titles are."),
    (["--all", "x"], None), (["--rs", "x"], None), (["--local=yes", "x"], None),
])
def test_search_wrong_usage(net, arguments, says):
    r = net[0].ctl("search", *arguments)
    assert r.code == 2 and r.out == b"" and r.err.count("\n") == 1
    assert says is None or r.err == says + "\n"


# ---- show ----

def test_show(net):
    a, b, c = net
    r = a.ctl("show", "RFC", "9")
    assert r.code == 0 and r.err == ""
    upper, table, legend = r.text.split("\n\n")
    digests = [sha256(document(9)), sha256(document(9, seed=1))]
    assert upper.split("\n") == [
        "RFC 9: Better Host Software",
        "      Authors: C. Author",
        "    Published: June 2014",
        "       Status: PROPOSED STANDARD, current",
        "    Obsoletes: RFC 7: Host Software for Tests",
        f"     In store: {a.path(9)}, 3.9K",
        f"      SHA-256: {digests[0]}",
        "               3.9K, disputed, in the store, 1 other peer states it",
        f"               {digests[1]}",
        "               3.9K, disputed, 1 other peer states it"]
    assert legend == "3 holders listed.\n"
    assert [line.split()[0] for line in table.split("\n")] == ["HOLDER", "-"] + [
        h["holder"] for h in describe(a, 9)["holders"] if h["holder"] != "-"]
    text = a.ctl("show", "rfc7.txt").text
    assert " Obsoleted by: RFC 9: Better Host Software\n               RFC 11\n" in text
    assert "   Updated by: RFC 8: Updates to Host Software\n     In store: no\n" in text
    assert "      Updates: RFC 7: Host Software for Tests\n" in a.ctl("show", "8").text


def test_show_what_nobody_holds(net):
    r = net[0].ctl("show", "15", "--no-legend")
    assert r.code == 0 and r.err == ""
    assert r.text == ("RFC 15: Held by Nobody\n      Authors: D. Author\n    Published: June 2015\n"
                      "       Status: HISTORIC, current\n     In store: no\n      Holders: none that is known\n")


def test_show_without_the_editors_index(net):
    r = net[1].ctl("show", "7")
    assert r.code == 0 and r.text.startswith(f"RFC 7: RFC 7\n     In store: {net[1].path(7)}, 3.9K\n      SHA-256: ")


def test_show_as_json(net):
    for number, code in ((9, 0), (15, 0), (14, 4)):
        r = net[0].ctl("--json=short", "show", str(number))
        assert (r.code, json.loads(r.out)) == (code, describe(net[0], number))
    r = net[0].ctl("--json=short", "show", "16")
    assert (r.code, r.out) == (3, b"")


def test_show_what_is_not_there(net):
    for number, code, says in ((14, 4, "RFC 14 was never issued.\n"), (16, 3, "RFC 16 is not known here.\n")):
        r = net[0].ctl("show", str(number))
        assert (r.code, r.out, r.err) == (code, b"", says)


@pytest.mark.parametrize("arguments", [[], ["0"], ["x"], ["7", "8"], ["7-9"], ["--local", "7"], ["--rs", "7"]])
def test_show_wrong_usage(net, arguments):
    r = net[0].ctl("show", *arguments)
    assert r.code == 2 and r.out == b"" and r.err.count("\n") == 1


def test_show_of_what_was_never_issued_but_somebody_holds(world):
    a = world.peer("a", {14: document(14)})
    put_index(a)
    r = a.ctl("show", "14")
    assert (r.code, r.err) == (4, "RFC 14 was never issued.\n")
    assert r.text.startswith(f"RFC 14: RFC 14\n     In store: {a.path(14)}, 3.9K\n")


# ---- hostile text ----

def bare(text):
    """Nothing that a terminal would act upon, or that turns text around."""
    return all(c == "\n" or (ord(c) >= 0x20 and not 0x7f <= ord(c) <= 0x9f and c not in "\u202e\u2066") for c in text)


def test_hostile_text_is_escaped(world):
    """The wire takes no control bytes in a title; C1 and bidi come through it, and the index may hold anything."""
    rs = world.rs()
    liar = world.keep(FakePeer({5: document(5), 7: document(7)}))
    liar.statements = {5: liar.record(5, title="Evil \u009b2J \u202e txet \u2066 software")}
    liar.join(rs)
    a = world.peer("a", {9: document(9)}, rs)
    hostile = "Evil \u001b]0;x\u0007 \u009b2J \u202e txet \u2066 software"
    put_index(a, f"7 {hostile}. A. \u202eAuthor, B. \u009bAuthor. May 2001. (Obsoletes\n     RFC9) "
                 f"(Status: \u001b[31mRED\u202e)\n\n9 {hostile}. A. Author. May 2001. (Obsoleted by RFC7)\n")
    assert a.ctl("refresh").code == 0
    for arguments, says in ((["search", "evil"], "Evil"), (["show", "5"], "RFC 5: Evil"), (["list", "--all"], "Evil"),
                            (["show", "7"], "Obsoletes: RFC 9: Evil"), (["show", "9"], "Obsoleted by: RFC 7: Evil"),
                            (["search", "\u009b2j"], "Evil"), (["search", "\u001b]"], None), (["search", "\u202e"], "Evil")):
        r = a.ctl(*arguments)
        assert r.code == 0 and bare(r.text) and bare(r.err), r
        if says:
            assert says in r.text and "\\u{202e}" in r.text
    text = a.ctl("show", "7").text
    assert "Author" in text and "RED" in text
    assert a.ctl("--json=short", "search", "evil").out.isascii()


# ---- what get makes of it ----

@pytest.fixture
def getter(world):
    """A peer that has the editor's index and no document, beside one that has some."""
    rs = world.rs()
    world.peer("b", {7: document(7), 9: document(9)}, rs)
    a = world.peer("a", {}, rs)
    put_index(a)
    return a


def test_get_tells_what_is_obsolete(getter):
    a = getter
    r = a.ctl("get", "7", "9")
    assert r.code == 0 and r.text == a.path(7) + "\n" + a.path(9) + "\n"
    assert [line for line in r.err.split("\n") if "Note" in line] == ["Note: RFC 7 is obsolete, see RFC 9, RFC 11."]
    seven, nine = a.json("get", "7", "9")
    assert seven["obsoletedBy"] == [9, 11] and "obsoletedBy" not in nine


def test_get_of_what_was_never_issued(getter):
    a = getter
    for verb in ("get", "cat"):
        r = a.ctl(verb, "14")
        assert (r.code, r.out, r.err) == (4, b"", "RFC 14 was never issued.\n")
    r = a.ctl("get", "16", "14", "9")
    assert r.code == 4 and r.text == a.path(9) + "\n"
    assert "RFC 16 is not held by any reachable peer.\n" in r.err and "RFC 14 was never issued.\n" in r.err
    with Varlink(a.control) as v:
        reply = v.call("org.p2pdi.Peer.Get", {"numbers": [14]})
        assert (reply["error"], reply["parameters"]) == ("org.p2pdi.Peer.NeverIssued", {"number": 14})


def test_get_where_somebody_holds_what_was_never_issued(world):
    """Nobody is asked for it; but if somebody is known to have it, it is fetched."""
    holder = world.holder({14: document(14)})
    server = world.server([holder])
    a = world.peer("a", {}, server)
    put_index(a)
    mark = a.mark()
    assert a.ctl("get", "14").code == 4
    a.wait_log(r"RFC 14 was never issued \(get-rfc never-issued", after=mark)
    assert server.count("PQuery") == 0 and holder.connections == 0
    assert a.ctl("refresh").code == 0
    assert a.ctl("get", "14").code == 0 and a.content(14) == document(14)
