# SPDX-License-Identifier: BSD-2-Clause
"""Completion: what p2pdi-ctl offers, and what bash and zsh make of it."""

import os
import shutil
import socket
import subprocess

import pytest

from p2pdi.base import PATIENCE, SOURCE, program
from p2pdi.documents import document
from p2pdi.tool import Terminal, ctl

COMPLETION = os.path.join(SOURCE, "src/ctl/completion")
DOCUMENTS = {5: document(5), 72: document(72), 7230: document(7230), 7231: document(7231), 72300: document(72300)}
TITLE = "RFC {}"


@pytest.fixture(scope="module")
def net(shared):
    """a holds one itself and knows of the others."""
    rs = shared.rs()
    b = shared.peer("b", DOCUMENTS, rs)
    a = shared.peer("a", {9: document(9)}, rs)
    assert a.ctl("refresh").code == 0
    return rs, a, b


@pytest.fixture
def a(net):
    return net[1]


def offered(*words, control=None):
    """Word and description of all candidates."""
    before = [f"--control={control}"] if control else []
    r = ctl("--complete", "--", *before, *words)
    assert r.code == 0 and r.err == "", r
    return [(word, what) for word, _, what in (line.partition("\t") for line in r.text.splitlines())]


def words_of(*words, control=None):
    return [word for word, _ in offered(*words, control=control)]


# ---- the program ----

def help_verbs():
    lines = ctl("--help").text.split("\n")
    return [line.split()[0] for line in lines[lines.index("Verbs:") + 1:lines.index("Options:") - 1]]


def test_verbs():
    assert words_of("") == help_verbs()
    assert words_of("--json=short", "--timeout", "5s", "st") == ["status"]
    assert ("get", "Have RFCs in the store, print their paths") in offered("g")
    assert words_of("nonsense") == [] and words_of("nonsense", "") == []
    assert words_of() == help_verbs()


def test_options():
    every = words_of("-")
    assert {"--json=", "-j", "--no-pager", "--quiet", "--all", "--control="} <= set(every)
    assert words_of("--no-") == ["--no-pager", "--no-legend"]
    # Those that the verb takes.
    for verb, option in (("get", "--follow"), ("search", "--current"), ("search", "--local"), ("list", "--at-risk"),
                         ("list", "--disputed"), ("verify", "--repair"), ("evict", "--force"), ("sync", "--dry-run")):
        assert words_of(verb, option[:-1]) == [option] and words_of("peers", option[:-1]) == []
    assert words_of("sync", "--max") == ["--max-rate="] and words_of("export", "--to") == ["--to="]
    assert words_of("import", "") == words_of("export", "--to", "") == words_of("export", "--to=") == [":FILE"]
    assert "--all" in words_of("list", "--a") and words_of("get", "--a") == []
    assert words_of("cat", "--r") == ["--rs", "--raw"] and words_of("--raw", "list", "--r") == ["--rs"]
    assert words_of("--", "--") == [] and words_of("get", "--", "-") == []


def test_values_of_options(a):
    assert offered("--json=p") == [("--json=pretty", "For people")]
    assert words_of("--json", "") == ["pretty", "short", "off"] and words_of("--json=x") == []
    assert words_of("--control=") == [":FILE"] and words_of("--control", "/r") == [":FILE"]
    assert words_of("--timeout=") == [] and words_of("--nonsense=") == [] and words_of("--all=") == []


def test_numbers_with_titles(a):
    def numbers(*words):
        return words_of(*words, control=a.control)

    assert numbers("get", "") == ["5", "9", "72", "7230", "7231", "72300"]
    assert offered("get", "7230", control=a.control) == [("7230", TITLE.format(7230)), ("72300", TITLE.format(72300))]
    assert numbers("get", "72") == ["72", "7230", "7231", "72300"]
    assert numbers("get", "5", "723") == ["7230", "7231", "72300"]
    assert numbers("get", "rfc723") == ["rfc7230", "rfc7231", "rfc72300"]
    assert numbers("get", "RFC", "9") == ["9"] and numbers("RFC", "9") == ["9"]
    assert numbers("list", "5-723") == ["5-7230", "5-7231", "5-72300"]
    assert numbers("where", "9") == ["9"] and numbers("where", "9", "") == [] and numbers("where", "rfc", "9") == ["9"]
    assert numbers("723") == ["7230", "7231", "72300"] and numbers("5", "9") == ["9"]
    for word in ("0", "8", "x", "99999999999", "7230x", "07230", "rfcx9"):
        assert numbers("get", word) == [], word
    assert numbers("sync", "72") == numbers("show", "72") == ["72", "7230", "7231", "72300"]
    # Of what only what is in the store is of use to.
    for verb in ("verify", "export", "pin", "unpin", "evict"):
        assert numbers(verb, "") == ["9"] and numbers(verb, "9", "5") == []
    assert numbers("status", "") == [] and numbers("join", "7") == []


def test_peers(net):
    _, a, b = net
    assert offered("refresh", "", control=a.control) == [(b.text, "active")]
    assert offered("refresh", b.text, "1", control=a.control) == [(b.text, "active")]
    assert offered("refresh", "x", control=a.control) == []


def test_other_arguments():
    assert offered("log-level", "in") == [("info", "What happens")] and words_of("log-level", "info", "") == []
    assert words_of("cat-config", "") == ["rs", "peer"] and words_of("check-config", "--config=") == [":FILE"]
    assert words_of("cat-config", "--conf") == ["--config="] and words_of("status", "--conf") == []
    assert words_of("search", "") == []


def test_titles_control_nothing(world):
    rs = world.rs()
    b = world.holder({7: document(7)})
    b.statements[7] = b.record(7, title="Evil \u009b2J \u202e title")
    b.join(rs)
    a = world.peer("a", {}, rs)
    assert a.ctl("refresh").code == 0
    assert offered("get", "", control=a.control) == [("7", "Evil \\u{009b}2J \\u{202e} title")]


def test_silent_where_nobody_answers(world):
    assert offered("get", "7", control=os.path.join(world.dir, "nothing")) == []
    with socket.socket(socket.AF_UNIX) as s:
        path = os.path.join(world.dir, "silent")
        s.bind(path)
        s.listen()
        assert offered("get", "7", control=path) == []          # and does not wait for long
    assert words_of("--instance=../x", "--timeout=nonsense", "sta") == ["status"]


# ---- bash ----

BASH = r"""
compopt() { echo "compopt $*"; }
. "$1"
set -- "$2" "$3" "$4"
complete -p p2pdi-ctl
COMP_LINE=$2 COMP_POINT=${#2} COMP_TYPE=$3 COLUMNS=60
_p2pdi_ctl "$1"
printf '<%s>\n' "${COMPREPLY[@]}"
"""


def in_bash(line, kind=9):
    """What bash gets to choose from; compopt can only be called in a real completion, so it just says so."""
    r = subprocess.run(["bash", "--norc", "-u", "-c", BASH, "bash", os.path.join(COMPLETION, "bash/p2pdi-ctl"),
                        program("p2pdi-ctl"), line, str(kind)], stdin=subprocess.DEVNULL, capture_output=True,
                       text=True, timeout=PATIENCE, check=True)
    assert r.stderr == "", r.stderr
    first, *rest = r.stdout.splitlines()
    assert first == "complete -F _p2pdi_ctl p2pdi-ctl"
    return [line.strip("<>") for line in rest if line != "<>"]


def test_bash(net):
    _, a, b = net
    control = f"p2pdi-ctl --control={a.control} "
    assert in_bash("p2pdi-ctl sta") == ["status"]
    assert in_bash("p2pdi-ctl  list  --al") == ["--all"]
    assert in_bash(control + "get 723") == ["7230", "7231", "72300"]
    assert in_bash(control + "get ") == ["5", "9", "72", "7230", "7231", "72300"]
    assert in_bash("p2pdi-ctl nonsense ") == []
    # bash cuts words at '=' and ':'.
    assert in_bash("p2pdi-ctl --json=p") == ["pretty"] and in_bash("p2pdi-ctl --json p") == ["pretty"]
    assert in_bash("p2pdi-ctl --js") == ["compopt -o nospace", "--json="]
    assert in_bash(control + "refresh 127.") == [b.text]
    assert in_bash(control + "refresh 127.0.0.1:") == [b.text.split(":")[1]]


def test_bash_lists_with_titles(a):
    line = f"p2pdi-ctl --control={a.control} get 7231"
    assert in_bash(line, 63) == ["7231"]                # one is put in, not looked at
    assert in_bash(line[:-2], 63)[1] == f"{'7230':<15} (RFC 7230)"
    assert all(len(word) < 60 for word in in_bash("p2pdi-ctl ", 63))


def test_bash_takes_its_own_files(world):
    path = os.path.join(world.dir, "some")
    for name in ("socket", "sofa"):
        open(path + name, "w", encoding="utf-8").close()
    expected = ["compopt -o filenames", path + "socket", path + "sofa"]
    for line in (f"p2pdi-ctl --control={path}", f"p2pdi-ctl --control {path}"):
        first, *rest = in_bash(line)
        assert [first] + sorted(rest) == expected


# ---- zsh ----

@pytest.mark.skipif(not shutil.which("zsh"), reason="zsh is not installed")
@pytest.mark.parametrize("typed, becomes", [
    ("sta\t", "p2pdi-ctl status "), ("list --al\t", "p2pdi-ctl list --all "), ("--json=p\t", "p2pdi-ctl --json=pretty "),
    ("get 7231\t", "p2pdi-ctl get 7231 "), ("refresh 1\t", "p2pdi-ctl refresh 127"), ("--cont\t", "p2pdi-ctl --control="),
], ids=str)
def test_zsh(a, world, typed, becomes):
    """In a real one, that types."""
    os.symlink(program("p2pdi-ctl"), os.path.join(world.dir, "real"))
    with open(os.path.join(world.dir, "p2pdi-ctl"), "w", encoding="utf-8") as f:
        # The control socket is not part of what is typed here.
        f.write(f'#!/bin/sh\nshift 2\nexec {world.dir}/real --complete -- --control={a.control} "$@"\n')
    os.chmod(f.name, 0o755)
    with open(os.path.join(world.dir, ".zshrc"), "w", encoding="utf-8") as f:
        f.write(f"PS1='READY> ' path=({world.dir} $path) fpath=({COMPLETION}/zsh $fpath)\n"
                "autoload -Uz compinit\ncompinit -u -D\nbindkey -e\n")
    with Terminal("-d", "-i", command=["zsh"], columns=200, environment={"TERM": "dumb", "ZDOTDIR": world.dir}) as t:
        t.wait_match("READY> ")
        t.type("p2pdi-ctl " + typed)
        t.wait_match(becomes.replace(" ", r"\s"))
        t.type("\x15exit\n")


# ---- both ----

@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_titles_are_no_commands(world, shell):
    """A peer calls its documents what it likes: listed and taken in a real shell, that runs nothing."""
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not installed")
    proof = os.path.join(world.dir, "proof")
    titles = [f"$(touch {proof})", f"`touch {proof}`", f"x; touch {proof} &", f"\\$(touch {proof})",
              f"' $(touch {proof}) '", f"\" $(touch {proof}) \"", f"${{(e):-$(touch {proof})}} :x: #*!! %{{ %F"]
    rs = world.rs()
    b = world.holder({n: document(n) for n in range(7001, 7001 + len(titles))})
    b.statements = {n: b.record(n, title=titles[n - 7001]) for n in b.documents}
    b.join(rs)
    a = world.peer("a", {}, rs)
    assert a.ctl("refresh").code == 0
    with open(os.path.join(world.dir, "p2pdi-ctl"), "w", encoding="utf-8") as f:
        f.write(f'#!/bin/sh\n[ "$1" = --complete ] || exit 0\nshift 2\n'
                f'exec {program("p2pdi-ctl")} --complete -- --control={a.control} "$@"\n')
    os.chmod(f.name, 0o755)
    start = {"bash": f"PATH={world.dir}:$PATH; . {COMPLETION}/bash/p2pdi-ctl\n",
             "zsh": f"path=({world.dir} $path) fpath=({COMPLETION}/zsh $fpath)\nautoload -Uz compinit\ncompinit -u -D\nbindkey -e\n"}
    with open(os.path.join(world.dir, ".zshrc"), "w", encoding="utf-8") as f:
        f.write("PS1='READY> '\n" + start[shell])
    arguments = {"bash": ["--noprofile", "--rcfile", f.name, "-i"], "zsh": ["-d", "-i"]}
    with Terminal(*arguments[shell], command=[shell], columns=400,
                  environment={"TERM": "dumb", "ZDOTDIR": world.dir, "HISTFILE": None}) as t:
        t.wait_match("READY> ")
        t.type("p2pdi-ctl get 70\t\t\t")
        t.wait_text("touch")
        t.type("2\t\necho DO''NE\n")
        t.wait_match("DONE")
    assert not os.path.exists(proof)
