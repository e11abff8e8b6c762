# SPDX-License-Identifier: BSD-2-Clause
"""p2pdi-ctl get: what it shows on a terminal while it waits, and what becomes of it."""

import os
import re
import signal
import subprocess
import threading

import pytest

from p2pdi.base import program
from p2pdi.documents import document
from p2pdi.tool import Terminal, end_ctl, start_ctl

SIZE = 40_000
HALF = r"RFC {} +[5-9]\d% \["
FAREWELL = "Interrupted; p2pdi-peerd goes on fetching.\n"


class Slow:
    """A holder that sends half of each document at once, and the rest by drops until it is told to go on."""

    def __init__(self, world, *numbers):
        self.go_on = threading.Event()
        self.documents = {n: document(n, SIZE) for n in numbers}
        self.holder = world.holder(self.documents, on_get=self.on_get)
        self.rs = world.server([self.holder])
        self.a = world.peer("a", {}, self.rs)

    def on_get(self, fake, connection, number):
        reply = fake.document(number)
        at = len(reply) - SIZE // 2
        connection.sendall(reply[:at])
        while not self.go_on.wait(0.05) and at < len(reply) - 100:
            connection.sendall(reply[at:at + 50])
            at += 50
        return reply[at:]


@pytest.fixture
def slow(world):
    s = Slow(world, 7, 8, 9)
    yield s
    s.go_on.set()


def final_screen(text):
    """What a terminal shows in the end: lines that were drawn over are gone. Knows just what we send."""
    lines, row = [""], 0
    for part in re.findall(r"\x1b\[\d*[A-Za-z]|\r\n|\n|\r|[^\x1b\r\n]+", text):
        if part.startswith("\x1b["):
            count, what = part[2:-1], part[-1]
            if what == "A":
                row -= int(count)
                assert row >= 0, "drew over what is not ours"
            elif what == "J":
                lines[row:] = [""]
            elif what == "K":
                pass                    # lines are written from their start
            else:
                raise AssertionError(part)
        elif part in ("\r\n", "\n"):
            row += 1
            if row == len(lines):
                lines.append("")
        elif part != "\r":
            lines[row] = part
    return lines


def test_one_line_while_it_takes_long(slow):
    a = slow.a
    with Terminal("get", "7", control=a.control) as t:
        t.wait_match(HALF.format(7))
        assert slow.holder.text in t.text
        t.wait_match(r"[\d.]+K/39\.0K [\d.]+[BK]/s [\dmin ]+s left")
        slow.go_on.set()
        assert t.end() == 0
        told, path, end = final_screen(t.text)
    assert re.fullmatch(rf"RFC 7: fetched from peer 1 \({slow.holder.text}\), 39\.0K in [\d.]+m?s, sha256 \S+ \(single\)", told) and end == ""
    assert path == a.path(7) and a.content(7) == slow.documents[7]


def test_a_line_for_each_and_one_for_all(slow):
    with Terminal("get", "7-9", "8000", control=slow.a.control, lines=30) as t:
        t.wait_match(r"1 of 4 done, (5[89]|[67]\d)\.\dK/117\.1K ")
        slow.go_on.set()
        assert t.end() == 3
        lines = final_screen(t.text)
    for n in (7, 8, 9):
        assert re.search(HALF.format(n), t.text)
    # In the order asked, as without a terminal.
    assert [line.split(":")[0] for line in lines[:6:2]] == ["RFC 7", "RFC 8", "RFC 9"]
    assert lines[1:6:2] == [slow.a.path(n) for n in (7, 8, 9)]
    assert lines[6:] == ["RFC 8000 is not held by any reachable peer.", ""]


def test_never_more_than_the_terminal_has(slow):
    with Terminal("get", "7-9", control=slow.a.control, lines=3) as t:
        t.wait_match(r"0 of 3 done, [\d.]+K/117\.1K ")
        t.wait_text("\x1b[2A")
        assert "\x1b[3A" not in t.text
        t.resize(30, 10)
        t.wait_match(r"RFC 9 +\d+%\x1b\[K")
        slow.go_on.set()
        assert t.end() == 0


def wait_longer_than_quick(slow):
    """Until one that began later shows something."""
    with Terminal("get", "8", control=slow.a.control) as t:
        t.wait_match(HALF.format(8))


@pytest.mark.parametrize("arguments, options", [
    (["-q"], {}), (["--json=short"], {}), (["--json=pretty", "--no-pager"], {}), ([], {"environment": {"TERM": "dumb"}}),
    ([], {"stderr": subprocess.DEVNULL}),
], ids=str)
def test_who_does_not_want_it(slow, arguments, options):
    with Terminal("get", "7", *arguments, control=slow.a.control, **options) as t:
        slow.holder.wait_requests("GET RFC 7 ")
        wait_longer_than_quick(slow)
        slow.go_on.set()
        assert t.end() == 0
    assert "\x1b" not in t.text and "%" not in t.text


def test_pipe_sees_nothing_of_it(slow):
    process = start_ctl("get", "7", control=slow.a.control)
    slow.holder.wait_requests("GET RFC 7 ")
    wait_longer_than_quick(slow)
    slow.go_on.set()
    r = end_ctl(process)
    assert r.code == 0 and r.err.count("\n") == 1 and "\x1b" not in r.err and r.text == slow.a.path(7) + "\n"


def test_in_the_background_it_keeps_off_the_screen(slow):
    script = f"{program('p2pdi-ctl')} --control={slow.a.control} get 7 & wait"
    with Terminal("-m", "-c", script, command=["bash"]) as t:
        slow.holder.wait_requests("GET RFC 7 ")
        wait_longer_than_quick(slow)
        slow.go_on.set()
        assert t.end() == 0
    assert "\x1b" not in t.text and "%" not in t.text and slow.a.path(7) in t.text


@pytest.mark.parametrize("verb", ["cat", "read"])
def test_document_comes_behind_it(slow, verb):
    """On standard error it shows even if standard output is no terminal."""
    out, into = os.pipe()
    with Terminal(verb, "7", control=slow.a.control, stdout=into) as t, open(out, "rb") as f:
        os.close(into)
        t.wait_match(HALF.format(7))
        slow.go_on.set()
        assert f.read() == slow.documents[7]
        assert t.end() == 0
        assert final_screen(t.text) == [""]


def test_timeout_takes_it_off(slow):
    with Terminal("get", "7", "--timeout=1s", control=slow.a.control) as t:
        assert t.end() == 8
    assert re.search(HALF.format(7), t.text) and final_screen(t.text) == ["No answer within 1s.", ""]


# ---- Ctrl-C ----

def assert_goes_on(slow, number):
    slow.go_on.set()
    slow.a.wait_log(f"RFC {number} fetched")
    assert slow.a.content(number) == slow.documents[number]


def test_interrupt_ends_the_tool_and_not_the_download(slow):
    with Terminal("get", "7", control=slow.a.control) as t:
        t.wait_match(HALF.format(7))
        t.type("\x03")
        assert t.end() == -signal.SIGINT        # 130, for a shell
    assert [line.replace("^C", "") for line in final_screen(t.text)] == [FAREWELL.rstrip(), ""]
    assert_goes_on(slow, 7)


@pytest.mark.parametrize("number, options, says", [
    (signal.SIGINT, [], FAREWELL), (signal.SIGTERM, [], FAREWELL), (signal.SIGINT, ["-q"], ""),
])
def test_interrupt_without_a_terminal(slow, number, options, says):
    process = start_ctl("get", "7", *options, control=slow.a.control)
    slow.holder.wait_requests("GET RFC 7 ")
    process.send_signal(number)
    r = end_ctl(process)
    assert (r.code, r.out, r.err) == (-number, b"", says)
    assert_goes_on(slow, 7)


def test_ignored_interrupt_stays_ignored(slow):
    """As of `p2pdi-ctl get … &` in a script."""
    process = start_ctl("get", "7", control=slow.a.control, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN))
    slow.holder.wait_requests("GET RFC 7 ")
    process.send_signal(signal.SIGINT)
    slow.go_on.set()
    r = end_ctl(process)
    assert r.code == 0 and r.text == slow.a.path(7) + "\n"


def test_stop_and_continue_does_not_draw_over_the_shell(slow):
    with Terminal("get", "7", control=slow.a.control) as t:
        t.wait_match(HALF.format(7))
        t.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, t.process.pid, os.WSTOPPED)
        t.drain()
        before = len(t.data)
        t.process.send_signal(signal.SIGCONT)
        t.wait_match(HALF.format(7), from_here=before)
        first = t.data[before:].split(b"\r\n")[0]
        assert first.startswith(b"RFC 7"), first
        slow.go_on.set()
        assert t.end() == 0
