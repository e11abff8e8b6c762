# SPDX-License-Identifier: BSD-2-Clause
"""p2pdi-ctl --json: what each verb prints, as its manual has it; and the sockets that it finds by itself."""

import json
import os
import re

import pytest

from p2pdi.base import SOURCE
from p2pdi.documents import document
from p2pdi.tool import ctl, with_mounts

ARRAY, OBJECT, NONE, STREAM = list, dict, None, "stream"
# Of each verb: arguments that it answers with success, and the kind of its JSON.
VERBS = {
    "get": (["7", "8"], ARRAY), "read": (["7"], NONE), "cat": (["7"], NONE), "list": ([], ARRAY),
    "search": (["rfc"], ARRAY), "show": (["7"], OBJECT), "verify": ([], OBJECT), "export": ([], OBJECT),
    "import": ([], OBJECT), "pin": (["7"], ARRAY),
    "unpin": (["7"], ARRAY), "evict": (["8"], ARRAY), "where": (["7"], ARRAY), "why": (["7"], ARRAY),
    "peers": ([], ARRAY), "status": ([], OBJECT), "refresh": ([], ARRAY), "sync": ([], OBJECT),
    "join": ([], NONE), "leave": ([], NONE),
    "monitor": ([], STREAM), "metrics": ([], OBJECT), "log-level": ([], OBJECT), "cat-config": ([], ARRAY),
    "check-config": ([], ARRAY), "registrations": ([], ARRAY),
}


@pytest.fixture(scope="module")
def net(shared):
    rs = shared.rs()
    shared.peer("b", {7: document(7), 8: document(8)}, rs)
    a = shared.peer("a", {}, rs)
    rs.wait_active(2)
    a.get("7", "8")
    return rs, a


def ask(net, verb, *options):
    rs, a = net
    arguments = VERBS[verb][0]
    if verb == "export":
        arguments = [f"--to={a.dir}/exported"]
    if verb == "import":
        arguments = [a.path(7)]
    if verb == "evict":
        a.get(*arguments)
    if verb.endswith("-config"):
        arguments = arguments + [f"--config={a.config}"]
    return (rs if verb == "registrations" else a).ctl(verb, *arguments, *options)


def manual(beginning):
    """The verbs that a sentence of --json names, from its beginning on."""
    with open(os.path.join(SOURCE, "man", "p2pdi-ctl.1"), encoding="utf-8") as f:
        text = f.read()
    text = text[text.index(".It Fl -json Ns = Ns Ar how"):text.index(".It Fl j\n")]
    end = text.index(beginning)
    start = max(text.rfind(mark, 0, end) for mark in ("default.\n", ";\n"))
    return set(re.findall(r"^\.Cm (\S+)", text[start:end], re.MULTILINE))


def test_these_are_all_verbs_and_what_the_manual_says_of_them():
    assert {line.split("\t")[0] for line in ctl("--complete", "--", "").text.splitlines()} == set(VERBS)
    for beginning, kind in (("print one array", ARRAY), ("print one object", OBJECT), ("one for each", STREAM),
                            ("print no JSON", NONE)):
        assert manual(beginning) == {verb for verb, (_, k) in VERBS.items() if k == kind}, beginning


@pytest.mark.parametrize("verb", [verb for verb, (_, kind) in VERBS.items() if kind in (ARRAY, OBJECT)])
def test_json(net, verb):
    kind = VERBS[verb][1]
    for options, lines in ((["--json=short"], 1), (["-j"], 1), (["--json=pretty"], None)):
        r = ask(net, verb, *options)
        assert r.code == 0 and r.text.endswith("\n") and (lines is None or r.text.count("\n") == lines), r
        answer = json.loads(r.text)
        assert type(answer) is kind
        assert kind is dict or all(type(element) is dict for element in answer)
        assert len(answer) > 0 or verb == "check-config"
        if lines is None and answer:
            assert re.match(r"[\[{]\n {8}[{\"]", r.text), r
    plain = ask(net, verb)
    assert plain.code == 0 and ask(net, verb, "--json=pretty", "--json=off").code == 0
    with pytest.raises(json.JSONDecodeError):
        json.loads(plain.text)


@pytest.mark.parametrize("verb", [verb for verb, (_, kind) in VERBS.items() if kind is NONE])
def test_no_json(net, verb):
    plain = ask(net, verb)
    for options in (["--json=short"], ["--json=pretty"], ["-j"]):
        r = ask(net, verb, *options)
        assert (r.code, r.out) == (0, plain.out)


# ---- which socket ----

def test_sockets_are_found(net):
    """In /run, which the test has to itself: of the peer, of an instance, of the registration server."""
    rs, a = net
    script = """mount -t tmpfs none /run && mkdir /run/p2pdi /run/p2pdi@x.y || exit 99
        ln -s "$2" /run/p2pdi/org.p2pdi.Registration
        "$1" --rs status --json=short && "$1" registrations --all -q --no-legend
        "$1" status; echo $?
        ln -s "$3" /run/p2pdi/org.p2pdi.Peer
        "$1" status --json=short; echo $?
        rm /run/p2pdi/org.p2pdi.Peer
        ln -s "$3" /run/p2pdi@x.y/org.p2pdi.Peer
        "$1" --instance=x.y status --json=short
        "$1" --instance=x status; echo $?"""
    r = with_mounts(script, rs.control, a.control)
    lines = r.stdout.splitlines()
    assert json.loads(lines[0])["listening"] == [rs.text] and len(lines) == 8, r
    assert json.loads(lines[4])["listening"] == json.loads(lines[6])["listening"] == [a.text]
    assert [lines[3], lines[5], lines[7]] == ["5", "0", "5"]
    assert r.stderr.splitlines() == [f"Nobody answers on {path}/org.p2pdi.Peer: is p2pdi-peerd running?"
                                     for path in ("/run/p2pdi", "/run/p2pdi@x")]
