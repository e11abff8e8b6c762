# SPDX-License-Identifier: BSD-2-Clause
"""p2pdi-ctl: options, what wrong usage is told, --help."""

import json
import os
import re

import pytest

from p2pdi.documents import document
from p2pdi.tool import ctl

SEE_HELP = "; p2pdi-ctl --help lists them."
INSTANCE = ": write up to 64 letters, digits, or any of ':_.-', no dot first."
NUMBER = ": write 1 to 2147483647, as in 7230, rfc7230.txt or bcp14."
NUMBERS = ": write 1 to 2147483647, as in 7230, rfc7230.txt, bcp14, or a range 7230-7235."


@pytest.fixture(scope="module")
def b(shared):
    """A peer with a document, and with nobody to ask."""
    return shared.peer("b", {7230: document(7230, 5000)})


@pytest.mark.parametrize("arguments, says", [
    # options
    (["--bo\x1bgus", "status"], "Unknown option '--bo\\x1bgus'" + SEE_HELP),
    (["status", "--bogus=x\x1b"], "Unknown option '--bogus'" + SEE_HELP),
    (["--=", "status"], "Unknown option '--'" + SEE_HELP),
    (["--jsn=short", "status"], "Unknown option '--jsn', did you mean '--json'?"),
    (["--contorl", "x"], "Unknown option '--contorl', did you mean '--control'?"),
    (["--" + "x" * 5000], ("Unknown option '--" + "x" * 5000)[:4095]),      # however long, it is cut
    (["-x"], "Unknown option '-x'" + SEE_HELP),
    (["-\x1bx"], "Unknown option '-\\x1b'" + SEE_HELP),
    (["--control"], "Option --control= needs a value: PATH."),
    (["status", "--json"], "Option --json= needs a value: pretty|short|off."),
    (["--rs=\x1b", "status"], "Option --rs takes no value."),
    (["--help=x"], "Option --help takes no value."),
    (["--control=", "status"], "--control= takes the path of a socket."),
    (["--control=" + "x" * 200, "status"], "x" * 200 + " is too long for the path of a socket."),
    (["--instance=", "status"], "'' is no name of an instance" + INSTANCE),
    (["--instance=../x", "status"], "'../x' is no name of an instance" + INSTANCE),
    (["--instance=x", "--rs", "status"], "--instance= is for peers, and not together with --control=."),
    (["--instance=x", "--control=/x", "status"], "--instance= is for peers, and not together with --control=."),
    (["--json=xml", "status"], "--json= takes pretty, short or off, not 'xml'."),
    (["--timeout=0", "status"], "--timeout= takes a time such as 30s or 2min, not '0'."),
    (["--timeout=soon", "status"], "--timeout= takes a time such as 30s or 2min, not 'soon'."),
    (["--timeout=", "status"], "--timeout= takes a time such as 30s or 2min, not ''."),
    (["--all", "status"], "'status' takes no --all."),
    (["get", "7", "--all"], "'get' takes no --all."),
    (["--all"], "'status' takes no --all."),
    (["get", "7", "--raw"], "'get' takes no --raw."),
    (["status", "--config=/x"], "'status' takes no --config=."),
    (["list", "--local"], "'list' takes no --local."),
    (["--current", "show", "7"], "'show' takes no --current."),
    (["--raw", "--all", "list"], "'list' takes no --raw."),
    (["--rs", "get", "1"], "A registration server knows no 'get': leave out --rs."),
    (["--rs", "7230"], "A registration server knows no 'get': leave out --rs."),
    # verbs
    (["nonsense"], "Unknown verb 'nonsense'" + SEE_HELP),
    (["non\x1bsense"], "Unknown verb 'non\\x1bsense'" + SEE_HELP),
    ([""], "Unknown verb ''" + SEE_HELP),
    (["staus"], "Unknown verb 'staus', did you mean 'status'?"),
    (["pers", "x"], "Unknown verb 'pers', did you mean 'peers'?"),
    (["regis"], "Unknown verb 'regis', did you mean 'registrations'?"),
    (["--", "--help"], "Unknown verb '--help'" + SEE_HELP),
    # how many arguments
    (["get"], "Too few arguments: get RFC…."),
    (["cat"], "Too few arguments: cat RFC…."),
    (["where"], "Too few arguments: where RFC."),
    (["read"], "Too few arguments: read RFC."),
    (["read", "1", "2", "3"], "Too many arguments: read RFC."),
    (["where", "1", "2", "3"], "Too many arguments: where RFC."),
    (["search"], "Too few arguments: search WORD…."),
    (["show"], "Too few arguments: show RFC."),
    (["show", "1", "2", "3"], "Too many arguments: show RFC."),
    (["why"], "Too few arguments: why TRANSACTION|RFC."),
    (["monitor", "x"], "Too many arguments: monitor."),
    (["metrics", "x"], "Too many arguments: metrics."),
    (["log-level", "debug", "info"], "Too many arguments: log-level [LEVEL]."),
    (["cat-config", "peer", "rs"], "Too many arguments: cat-config [rs|peer]."),
    (["peers", "x"], "Too many arguments: peers."),
    (["status", "x"], "Too many arguments: status."),
    (["join", "x"], "Too many arguments: join."),
    (["leave", "x"], "Too many arguments: leave."),
    (["registrations", "x"], "Too many arguments: registrations."),
    # which
    (["get", "x"], "'x' is no RFC number" + NUMBERS),
    (["get", "7", "--", "--all"], "'--all' is no RFC number" + NUMBERS),
    (["cat", "7-6"], "'7-6' is no RFC number" + NUMBERS),
    (["get", "1-100001"], "One call may name at most 100000 RFCs."),
    (["list", "x"], "'x' is no RFC number" + NUMBERS),
    (["where", "1-2"], "This verb takes one RFC number."),
    (["where", "1", "2"], "This verb takes one RFC number."),
    (["read", "1", "2"], "This verb takes one RFC number."),
    (["read", "1-2"], "This verb takes one RFC number."),
    (["7230x"], "'7230x' is no RFC number" + NUMBERS),
    (["rfc"], "'rfc' is no RFC number" + NUMBERS),
    (["rfc7230.pdf"], "'rfc7230.pdf' is no RFC number" + NUMBERS),
    (["7230", "nonsense"], "'nonsense' is no RFC number" + NUMBERS),
    (["show", "x"], "'x' is no RFC number" + NUMBER),
    (["where", "0"], "'0' is no RFC number" + NUMBER),
    (["read", "7-6"], "'7-6' is no RFC number" + NUMBER),
    (["show", "1-2"], "This verb takes one RFC number."),
    (["log-level", "x"], "'x' is no log level: emerg, alert, crit, err, warning, notice, info, debug, or 0 to 7."),
    (["cat-config", "x"], "'x' is neither rs nor peer."),
    (["check-config", "x"], "'x' is neither rs nor peer."),
    (["cat-config", "--config="], "--config= takes the path of a file."),
    (["refresh", "x"], "'x' is no peer's address: write ADDRESS:PORT or [ADDRESS]:PORT."),
], ids=lambda value: ascii(value)[:60])
def test_what_wrong_usage_is_told(b, arguments, says):
    """One sentence, and the daemon hears nothing of it."""
    given = [a.split("=")[0] for a in arguments]
    control = None if {"--control", "--instance", "--rs"} & set(given) else b.control
    before = b.json("status")
    r = ctl(*arguments, control=control)
    assert (r.code, r.out, r.err) == (2, b"", says + "\n")
    assert b.json("status") == before


def test_a_number_is_a_get(b):
    for words in (["7230"], ["RFC", "7230"], ["rfc7230.txt"], ["7230-7230"], ["--", "7230"]):
        r = b.ctl(*words)
        assert (r.code, r.text) == (0, b.path(7230) + "\n"), r


def test_without_a_verb_it_is_status(b):
    r = b.ctl()
    assert r.code == 0 and r.text.startswith("● p2pdi-peerd ")
    assert b.json()["listening"] == [b.text]


def test_options_stand_anywhere(b):
    for words in (["--json=short", "get", "7230"], ["get", "--json=short", "7230"], ["7230", "--json=short"],
                  ["--json=pretty", "get", "7230", "--json=short"], ["get", "7230", "-j"], ["--js=short", "7230"]):
        r = b.ctl(*words)
        assert r.code == 0 and r.text.count("\n") == 1 and json.loads(r.out)[0]["number"] == 7230, r


def test_timeout_may_be_infinite(b):
    assert b.ctl("--timeout=infinity", "status").code == 0
    assert b.ctl("--timeout=1min 30s", "status").code == 0


def test_instance_and_rs_name_the_socket():
    for words, path in ((["--instance=a.b"], "/run/p2pdi@a.b/org.p2pdi.Peer"), ([], "/run/p2pdi/org.p2pdi.Peer"),
                        (["--rs"], "/run/p2pdi/org.p2pdi.Registration")):
        if os.path.exists(path):
            pytest.skip("a daemon runs on this host")
        r = ctl(*words, "status")
        daemon = "p2pdi-rsd" if words == ["--rs"] else "p2pdi-peerd"
        assert (r.code, r.out, r.err) == (5, b"", f"Nobody answers on {path}: is {daemon} running?\n")


def test_help_shows_all_verbs():
    r = ctl("--help")
    assert r.code == 0 and r.err == ""
    lines = r.text.split("\n")
    assert max(map(len, lines)) <= 80
    first, end = lines.index("Verbs:"), lines.index("Options:")
    verbs = [line.split()[0] for line in lines[first + 1:end - 1]]
    assert {"get", "status", "registrations"} <= set(verbs) and len(verbs) == len(set(verbs))
    # What it tells of is there: each verb knows how many arguments it takes.
    for verb in verbs:
        assert not ctl(verb, *["x"] * 30, "--control=/nonexistent/x").err.startswith("Unknown verb")
    for words in (["-h"], ["get", "7", "--help"], ["nonsense", "--help"], ["--help", "--version"]):
        assert ctl(*words).text == r.text and ctl(*words).code == 0


def test_version():
    r = ctl("--version")
    assert r.code == 0 and r.err == "" and re.fullmatch(r"p2pdi-ctl \S+\n", r.text)
