# SPDX-License-Identifier: BSD-2-Clause
"""The session that README shows: typed as it stands there, it says what it says there.

It uses the ports that a newcomer would, so it runs in a network namespace of its own. What differs from run to run and
from machine to machine (times, rates, sizes, digests, names of hosts and directories) is made alike on both sides.
"""

import os
import re
import socket
import subprocess

import pytest

from p2pdi import BUILD, PATIENCE, SOURCE, document

# Loopback is down in a new namespace.
ENTER = """
import fcntl, os, socket, struct, sys
with socket.socket() as s:
    fcntl.ioctl(s, 0x8914, struct.pack("16sh22x", b"lo", 0x41))     # SIOCSIFFLAGS: IFF_UP | IFF_RUNNING
os.execvp(sys.argv[1], sys.argv[1:])
"""


def session():
    """[(command, what README says that it prints)] of its console blocks, in their order."""
    steps = []
    with open(os.path.join(SOURCE, "README.md"), encoding="utf-8") as f:
        blocks = re.findall(r"^```console\n(.*?)^```$", f.read(), re.M | re.S)
    assert blocks
    for line in "".join(blocks).splitlines():
        if line.startswith("$ "):
            steps.append((line[2:], []))
        elif line.startswith("> "):
            steps[-1] = (steps[-1][0] + "\n" + line[2:], [])
        else:
            steps[-1][1].append(line)
    return steps


def alike(line):
    host = re.escape(socket.gethostname())
    for pattern, word in (
            (rf"\b({host}|vm)\b", "HOST"),
            (r"/\S*/(?=alice/|bob/|carol/)", "DIRECTORY/"),
            (r"\b[0-9a-f]{4}…[0-9a-f]{4}\b|\b[0-9a-f]{64}\b|\b[0-9a-f]{16}\b", "HEX"),
            (r"\b\d\d:\d\d:\d\d\.\d{3}\b", "CLOCK"),
            (r"\b\d+(\.\d+)?(us|ms|s|min|h|d)\b( \d+(s|min|h)\b)?", "TIME"),
            (r"\b\d+(\.\d+)?[BKM]\b", "SIZE"),
            (r"^\[\d+\] \d+$", "[JOB]"),
            (r" +", " ")):
        line = re.sub(pattern, word, line)
    return line.strip()


def settle(command):
    """What a person does by typing slowly: waits until a daemon is there."""
    if not command.endswith("&"):
        return ":"
    if command.startswith("p2pdi-rsd"):
        return "until test -S rs/run/org.p2pdi.Registration; do :; done"
    name = re.search(r"--state-dir=(\w+)", command)[1]
    # And alice, until she knows what bob has.
    ready = "2 records" if name == "alice" else ", registered at"
    return f"until p2pdi-ctl --control={name}/run/org.p2pdi.Peer 2>/dev/null | grep -q '{ready}'; do :; done"


def execute(home, steps):
    """What each of them really prints, in one shell."""
    mark = "===== step"
    script = ["PATH=$1:$PATH", "exec 2>&1"]
    for number, (command, _) in enumerate(steps):
        script += [f"echo '{mark} {number}'", command, settle(command)]
    script.append("kill $(jobs -p); wait")
    r = subprocess.run(["unshare", "--user", "--map-root-user", "--net", "/usr/bin/python3", "-c", ENTER,
                        "bash", "-c", "\n".join(script), "session", BUILD],
                       cwd=home, env={**os.environ, "HOME": home, "LC_ALL": "C.UTF-8", "TERM": "dumb"},
                       stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                       timeout=3 * PATIENCE, check=False)
    parts = re.split(rf"^{mark} \d+\n", r.stdout, flags=re.M)
    assert len(parts) == len(steps) + 1, r.stdout
    return [p.splitlines() for p in parts[1:]]


def make_home(world):
    home = os.path.join(world.dir, "home")
    os.makedirs(home)
    titles = {7230: "Hypertext Transfer Protocol (HTTP/1.1): Message Syntax and Routing", 9110: "HTTP Semantics"}
    for number, title in titles.items():
        with open(os.path.join(home, f"rfc{number}.txt"), "wb") as f:
            # The title as the RFC Editor's documents have it, in front of synthetic text.
            f.write(b"\n\n" + b"Group".ljust(60) + b"A. Author\n" + b"Number: 1".ljust(60) + b"May 2014\n\n\n"
                    + title.center(72).rstrip().encode() + b"\n\n" + document(number, size=20000))
    return home


def can_unshare():
    with open(os.devnull, "w", encoding="ascii") as null:
        try:
            return subprocess.call(["unshare", "--user", "--map-root-user", "--net", "true"], stdout=null,
                                   stderr=null) == 0
        except OSError:
            return False


def test_the_session_of_the_readme(world):
    if not can_unshare():
        pytest.skip("no network namespace can be made here (unshare --user --net)")
    steps = session()
    said = [[alike(line) for line in lines] for _, lines in steps]
    done = [[alike(line) for line in lines] for lines in execute(make_home(world), steps)]
    for (command, _), readme, real in zip(steps, said, done):
        assert real == readme, f"$ {command}"
