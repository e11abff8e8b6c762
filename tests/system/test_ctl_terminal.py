# SPDX-License-Identifier: BSD-2-Clause
"""p2pdi-ctl on a terminal: colours, widths, the pager; and that nothing of it goes into a pipe."""

import json
import os
import re
import shutil
import sys

import pytest

from p2pdi.documents import document
from p2pdi.tool import Terminal, ctl
from test_ctl import FakeControl

ESCAPE = "\x1b"
LONG = "A Title That Is Longer Than What Is Left Of The Line On Any Terminal That Is Eighty Columns Wide"
TITLED = f"""

Test Working Group                                             A. Author
Category: Synthetic                                             May 2001

     {LONG[:LONG.index(' On')]}
     {LONG[LONG.index('On'):]}

Abstract
""".encode()


@pytest.fixture(scope="module")
def net(shared):
    rs = shared.rs()
    b = shared.peer("b", {7: document(7), 8: document(8), 9: TITLED}, rs)
    a = shared.peer("a", {}, rs)
    assert a.ctl("refresh").code == 0
    return rs, a, b


@pytest.fixture
def a(net):
    return net[1]


def on_terminal(daemon, *arguments, **options):
    """Exit code and text of a run on a terminal, without a pager if not told otherwise."""
    with Terminal(*arguments, control=daemon.control, **options) as t:
        return t.end(), t.text.replace("\r\n", "\n")


def without_colours(text):
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


# ---- colours ----

def test_table_on_a_terminal_is_coloured(a):
    code, text = on_terminal(a, "peers")
    assert code == 0
    first, row, *_ = text.split("\n")
    assert first.startswith(ESCAPE + "[0;4m") and first.endswith(ESCAPE + "[0m")
    assert ESCAPE + "[0;1;32mactive" + ESCAPE + "[0m" in row
    # Only what it looks like differs, and times, which are others by now.
    plain = a.ctl("peers").text
    without_times = lambda table: re.sub(r" +\d[\d.]*(us|ms|s ago)\b", "", table)
    assert without_times(without_colours(text)) == without_times(plain)


@pytest.mark.parametrize("environment, coloured", [
    ({}, True), ({"NO_COLOR": "1"}, False), ({"NO_COLOR": ""}, True), ({"TERM": "dumb"}, False), ({"TERM": None}, False),
    ({"SYSTEMD_COLORS": "0"}, False), ({"SYSTEMD_COLORS": "no"}, False),
    ({"SYSTEMD_COLORS": "1", "NO_COLOR": "1", "TERM": "dumb"}, True), ({"SYSTEMD_COLORS": "256", "NO_COLOR": "1"}, True),
    ({"SYSTEMD_COLORS": "nonsense", "NO_COLOR": "1"}, False), ({"SYSTEMD_COLORS": "nonsense"}, True),
])
def test_who_decides_about_colours(a, environment, coloured):
    for words in (["peers"], ["status"], ["--help"]):
        code, text = on_terminal(a, *words, environment=environment)
        assert code == 0 and (ESCAPE in text) == coloured, text


def test_pipe_has_no_escape_byte(net):
    rs, a, b = net
    verbs = [["status"], ["list"], ["list", "--all"], ["where", "7"], ["peers"], ["refresh"], ["get", "7"], ["--help"],
             ["-j", "status"], ["--json=pretty", "peers"], ["7", "--json=pretty"]]
    for d, words in [(a, words) for words in verbs] + [(rs, ["registrations"]), (rs, ["status", "--rs"])]:
        r = d.ctl(*words)
        assert r.code == 0 and b"\x1b" not in r.out and ESCAPE not in r.err, r
        forced = ctl(*words, control=d.control, env={**os.environ, "SYSTEMD_COLORS": "1"})
        assert (b"\x1b" in forced.out) == (words[0] not in ("get", "7") and not words[0].startswith(("-j", "--j"))), words


# ---- widths ----

def test_last_column_is_cut_on_a_narrow_terminal(net):
    *_, b = net
    for columns in (40, 60, 80):
        code, text = on_terminal(b, "list", columns=columns)
        row = next(line for line in without_colours(text).split("\n") if line.lstrip().startswith("9 "))
        assert code == 0 and len(row) == columns and row.endswith("…"), text
    code, text = on_terminal(b, "list", columns=60, environment={"COLUMNS": "50"})
    assert max(map(len, without_colours(text).split("\n"))) == 50
    assert LONG in on_terminal(b, "list", columns=200)[1]
    # Never in a pipe.
    assert LONG in ctl("list", control=b.control, env={**os.environ, "COLUMNS": "40"}).text


# ---- legend and notes ----

def test_without_legend(net):
    rs, a, b = net
    for d, words in ((b, ["list"]), (a, ["list", "--all"]), (a, ["where", "7"]), (a, ["peers"]), (rs, ["registrations"])):
        whole, bare, quiet = (d.ctl(*words, *more).text.split("\n") for more in ([], ["--no-legend"], ["-q"]))
        assert "listed" in whole[-2] and whole[-3] == "", whole
        assert [line.split()[0] for line in bare[:-1]] == [line.split()[0] for line in whole[1:-3]]
        assert quiet[:-1] == whole[:-3] or "ago" in whole[1]
        assert not any("listed" in line for line in bare + quiet) and len(quiet) == len(bare) + 1
    assert [line.split()[0] for line in a.ctl("refresh", "--no-legend").text.split("\n")[:-1]] == [b.text]


def test_quiet_says_errors_only(a):
    r = a.ctl("-q", "get", "7", "8000")
    assert r.code == 3 and r.text == a.path(7) + "\n" and r.err == "RFC 8000 is not held by any reachable peer.\n"
    assert a.ctl("--quiet", "7").err == "" and a.ctl("7").err == "RFC 7: in store\n"


# ---- JSON ----

def test_j_is_pretty_on_a_terminal_and_short_elsewhere(a):
    code, text = on_terminal(a, "-j", "status")
    assert code == 0 and text.startswith("{\n        \"") and json.loads(text)["storePath"] == a.library
    assert a.ctl("-j", "status").text.count("\n") == 1


# ---- the pager ----

@pytest.fixture
def pager(world):
    """A pager that tells how it was called and what came: in a file, since it can not be trusted with the terminal."""
    class Pager:
        path, log = os.path.join(world.dir, "pager"), os.path.join(world.dir, "paged")

        def told(self):
            if not os.path.exists(self.log):
                return None
            with open(self.log, encoding="utf-8") as f:
                environment, text = f.read().split("--\n", 1)
            os.unlink(self.log)
            return dict(line.split("=", 1) for line in environment.splitlines()), text

    with open(Pager.path, "w", encoding="utf-8") as f:
        f.write(f"#!/bin/sh\n(echo ARGS=$*; env | grep ^LESS; echo --; cat) >{Pager.log}.new\nmv {Pager.log}.new {Pager.log}\n")
    os.chmod(Pager.path, 0o755)
    return Pager()


def test_long_output_goes_to_the_pager(net, pager):
    rs, a, b = net
    for d, words in ((b, ["list"]), (a, ["where", "7"]), (a, ["peers"]), (rs, ["registrations"]), (a, ["--help"]),
                     (a, ["--json=pretty", "status"])):
        code, text = on_terminal(d, *words, environment={"SYSTEMD_PAGER": pager.path, "PAGER": "false"})
        environment, paged = pager.told()
        assert code == 0 and text == "" and paged.count("\n") > 2, words
        assert (ESCAPE in paged) == (words[0] != "--json=pretty")
        assert environment["LESS"] == "FRSXMK"
    for words in (["status"], ["--json=short", "peers"], ["get", "7"], ["peers", "--no-pager"], ["--help", "--no-pager"]):
        code, text = on_terminal(a, *words, environment={"SYSTEMD_PAGER": pager.path})
        assert code == 0 and text and not pager.told(), words
    assert a.ctl("peers").text and not pager.told()         # no terminal


@pytest.mark.parametrize("environment, paged", [
    ({"PAGER": "P"}, True), ({"SYSTEMD_PAGER": "P", "PAGER": "cat"}, True), ({"SYSTEMD_PAGER": "P a  b"}, True),
    ({"SYSTEMD_PAGER": "", "PAGER": "P"}, False), ({"SYSTEMD_PAGER": "cat", "PAGER": "P"}, False), ({"PAGER": ""}, False),
    ({"SYSTEMD_PAGER": "P", "TERM": "dumb"}, False),
])
def test_which_pager(a, pager, environment, paged):
    environment = {k: re.sub(r"^P\b", pager.path, v) for k, v in environment.items()}
    code, text = on_terminal(a, "peers", environment={"SYSTEMD_PAGER": None, **environment})
    told = pager.told()
    assert code == 0 and bool(told) == paged == (text == "")
    if "a  b" in environment.get("SYSTEMD_PAGER", ""):
        assert told[0]["ARGS"] == "a b"


@pytest.mark.parametrize("environment, secure", [
    ({}, None), ({"SYSTEMD_PAGERSECURE": "1"}, "1"), ({"SYSTEMD_PAGERSECURE": "0"}, None),
    ({"SYSTEMD_PAGERSECURE": "0", "SUDO_UID": "1000"}, None),
])
def test_settings_of_less(a, pager, environment, secure):
    on_terminal(a, "peers", environment={"SYSTEMD_PAGER": pager.path, "SYSTEMD_LESS": "RX", "SYSTEMD_LESSCHARSET": "utf-8",
                                         "LESS": "other", "LESSSECURE": "1", **environment})
    told = pager.told()
    if told is None:
        pytest.skip("this session acts for somebody else: no pager is trusted here")
    assert (told[0]["LESS"], told[0]["LESSCHARSET"], told[0].get("LESSSECURE")) == ("RX", "utf-8", secure)


def test_borrowed_power_gets_no_pager_but_less(a, pager, world):
    """Under sudo, $PAGER is what anybody wrote there."""
    if os.geteuid() != 0:
        pytest.skip("only root can be somebody's root")
    bin_dir = os.path.join(world.dir, "bin")
    os.mkdir(bin_dir)
    less = os.path.join(bin_dir, "less")
    shutil.copy(pager.path, less)
    environment = {"SYSTEMD_PAGER": "false", "PAGER": "false", "SUDO_UID": "1000", "PATH": bin_dir + ":" + os.environ["PATH"]}
    for more in ({}, {"SYSTEMD_PAGERSECURE": "nonsense"}):
        code, _ = on_terminal(a, "peers", environment={**environment, **more})
        told = pager.told()
        assert code == 0 and told[0]["LESSSECURE"] == "1" and "ADDRESS" in told[1]
    # Without it there is still an answer.
    os.unlink(less)
    for name in ("sh", "cat"):
        os.symlink(shutil.which(name), os.path.join(bin_dir, name))
    code, text = on_terminal(a, "peers", environment={**environment, "PATH": bin_dir})
    assert code == 0 and "ADDRESS" in text


def test_pager_that_is_not_there(a):
    code, text = on_terminal(a, "peers", environment={"SYSTEMD_PAGER": "/nonexistent/pager", "SYSTEMD_LESS": "FRSX"})
    assert code == 0 and "ADDRESS" in without_colours(text)


def test_more_does_not_wait_at_the_end(a, world):
    """A small machine has no less."""
    more = shutil.which("more")
    if not more:
        pytest.skip("there is no more(1) here")
    bin_dir = os.path.join(world.dir, "small")
    os.mkdir(bin_dir)
    os.symlink(more, os.path.join(bin_dir, "more"))
    code, text = on_terminal(a, "peers", environment={"SYSTEMD_PAGER": None, "SYSTEMD_PAGERSECURE": "0", "MORE": None,
                                                      "PATH": bin_dir})
    assert code == 0 and "ADDRESS" in without_colours(text)


def test_pager_that_is_left_early_ends_quietly(world):
    """The exit status stays the verb's."""
    quitter = os.path.join(world.dir, "quitter")
    with open(quitter, "w", encoding="utf-8") as f:
        f.write("#!/bin/sh\nhead -n 1\n")
    os.chmod(quitter, 0o755)
    # More than a pipe holds.
    documents = [{"number": n, "title": "x" * 1000, "size": 1, "sha256": "", "local": True, "holders": 0} for n in range(1, 1000)]
    answer = b"".join(json.dumps({"parameters": {"document": d}, "continues": d["number"] < 999}).encode() + b"\0"
                      for d in documents)
    fake = world.keep(FakeControl(world, answer))
    for words in (["list"], ["list", "--json=pretty"]):
        with Terminal(*words, control=fake.path, environment={"SYSTEMD_PAGER": quitter, "SYSTEMD_PAGERSECURE": "0"}) as t:
            assert t.end() == 0
        assert t.text.count("\n") == 1 and len(t.text) < 200


def test_interrupt_is_for_the_pager(a, world):
    stays = os.path.join(world.dir, "stays")
    with open(stays, "w", encoding="utf-8") as f:
        f.write(f"""#!{sys.executable}
import os, signal, sys
signal.signal(signal.SIGINT, lambda *_: os.write(1, b"INTERRUPTED\\n"))      # print() can not interrupt itself
sys.stdin.read()
os.write(1, b"READY\\n")
with open("/dev/tty") as tty:
    print("READ", tty.readline())
""")
    os.chmod(stays, 0o755)
    with Terminal("peers", control=a.control, environment={"SYSTEMD_PAGER": stays, "SYSTEMD_PAGERSECURE": "0"}) as t:
        t.wait_text("READY")
        t.type("\x03")
        t.wait_text("INTERRUPTED")
        t.type("x\n")
        t.wait_text("READ x")
        assert t.end() == 0

