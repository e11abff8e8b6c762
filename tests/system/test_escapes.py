# SPDX-License-Identifier: BSD-2-Clause
"""Titles, host names, file names and words that are an attack on a terminal: what each verb prints, and what is logged of them."""

import json
import os
import signal

import pytest

from p2pdi.documents import document
from p2pdi.tool import end_ctl, start_ctl
from test_ctl_json import VERBS
from test_find import put_index

# The title of the window, the screen, the same as one character (C1), text from right to left.
ESCAPES = ["\x1b]0;x\x07", "\x1b[2J", "\x9b2J", "\u202e", "\u2066", "\x7f"]
# The wire takes no control bytes in a title, and one that is in a file is no title.
ON_THE_WIRE = "Evil " + " ".join(e for e in ESCAPES if e[0] not in "\x1b\x7f") + " software"
IN_THE_INDEX = "Evil " + " ".join(ESCAPES) + " software"
IN_AN_ARGUMENT = "evil" + "".join(ESCAPES)


def acts(text):
    """What of it a terminal would act upon, or what turns text around."""
    return [c for c in text if c != "\n" and (ord(c) < 0x20 or 0x7f <= ord(c) <= 0x9f or c in "\u061c\u200e\u200f\ufeff"
                                              or "\u2028" <= c <= "\u202e" or "\u2066" <= c <= "\u2069")]


@pytest.fixture(scope="module")
def net(shared):
    rs = shared.rs()
    b = shared.holder({7: document(7), 8: document(8)})
    b.statements = {7: b.record(7, title=ON_THE_WIRE), 8: b.record(8, title=ON_THE_WIRE)}
    b.join(rs).register(b.port, Host="host" + ON_THE_WIRE.replace(" ", ""), OS="Evil")
    a = shared.peer("a", {9: document(9)}, rs)
    put_index(a, "".join(f"{n} {IN_THE_INDEX}. A. \x1b[31mAuthor. May 2001. ({word} RFC{other}) (Status: \x1b[31mRED\u202e)\n\n"
                         for n, word, other in ((7, "Obsoletes", 9), (8, "Obsoletes", 9), (9, "Obsoleted by", 7))))
    assert a.ctl("refresh").code == 0
    monitor = start_ctl("monitor", control=a.control)
    a.get(7, 8)
    yield rs, a, monitor
    assert monitor.poll() is not None


def arguments_of(a, verb):
    if verb == "export":
        return [f"--to={a.dir}/exported"]
    if verb == "import":
        return [os.path.join(a.dir, "strange")]
    if verb == "search":
        return ["evil"]
    if verb.endswith("-config"):
        return [f"--config={a.dir}/evil.ini"]
    return VERBS[verb][0]


# Order matters to none: those that change something are asked for what is there.
@pytest.mark.parametrize("verb", [v for v in VERBS if v != "monitor"])
def test_no_verb_prints_them(net, verb):
    rs, a, _ = net
    os.makedirs(os.path.join(a.dir, "strange"), exist_ok=True)
    for name in ("rfc7.txt", f"rfc8{IN_AN_ARGUMENT}.txt", f"{IN_AN_ARGUMENT}.txt"):
        with open(os.path.join(a.dir, "strange", name), "wb") as f:
            f.write(document(7))
    with open(os.path.join(a.dir, "evil.ini"), "w", encoding="utf-8") as f:
        f.write(f"[Server]\nListenStream={IN_AN_ARGUMENT}\n[{IN_AN_ARGUMENT}]\n{IN_AN_ARGUMENT}=1\n")
    if verb in ("read", "cat", "pin", "unpin", "evict", "where"):
        a.get(7, 8)
    to = rs if verb == "registrations" else a
    shown = ""
    for options in ([], ["--json=short"]):
        r = to.ctl(verb, *arguments_of(a, verb), *options)
        # The configuration is shown as it is to whoever may read it, as by cat(1), where that is not a terminal.
        if verb != "cat-config" or options:
            assert acts(r.text) == [] and acts(r.err) == [], (options, r)
        shown += r.text + r.err
    if verb in ("list", "search", "show", "peers", "registrations"):
        assert "\\u{202e}" in shown, shown
    # What it does not take is told escaped, too.
    r = to.ctl(verb, IN_AN_ARGUMENT, f"--{IN_AN_ARGUMENT}={IN_AN_ARGUMENT}")
    assert r.code != 0 and acts(r.text + r.err) == [], r


def test_log_and_monitor_print_them_neither(net):
    rs, a, monitor = net
    assert a.ctl("evict", "8").code == 0
    a.get(8)
    monitor.send_signal(signal.SIGINT)
    r = end_ctl(monitor)
    assert "RFC 8" in r.text and acts(r.text) == [], r
    for d in (rs, a):
        assert acts(d.log()) == [] and acts("".join(d.statuses())) == []


def test_json_gives_them_back_whole(net):
    """For programs it is only escaped, as JSON does it. Control bytes are in no title at all."""
    _, a, _ = net
    r = a.ctl("--json=short", "show", "9")
    assert r.text.isascii() and "\x9b2J \u202e \u2066" in json.loads(r.out)["title"]
