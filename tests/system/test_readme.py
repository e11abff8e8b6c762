# SPDX-License-Identifier: BSD-2-Clause
"""The sessions that README shows: typed as they stand there, they say what they say there.

They use the ports that a newcomer would, so each runs in a network namespace of its own. What differs from run to run and
from machine to machine (times, rates, sizes, digests, names of hosts and directories) is made alike on both sides.
"""

import os
import re
import shlex
import socket
import subprocess

import pytest

from p2pdi.base import BUILD, PATIENCE, SOURCE
from p2pdi.documents import document

# Loopback is down in a new namespace.
ENTER = """
import fcntl, os, socket, struct, sys
with socket.socket() as s:
    fcntl.ioctl(s, 0x8914, struct.pack("16sh22x", b"lo", 0x41))     # SIOCSIFFLAGS: IFF_UP | IFF_RUNNING
os.execvp(sys.argv[1], sys.argv[1:])
"""


TITLES = {
    2119: "Key words for use in RFCs to Indicate Requirement Levels",
    2145: "Use and Interpretation of HTTP Version Numbers",
    2616: "Hypertext Transfer Protocol -- HTTP/1.1",
    3986: "Uniform Resource Identifier (URI): Generic Syntax",
    7230: "Hypertext Transfer Protocol (HTTP/1.1): Message Syntax and Routing",
    8187: "Indicating Character Encoding and Language for HTTP Header Field Parameters",
    9110: "HTTP Semantics",
    9112: "HTTP/1.1",
    10036: "Incremental Forwarding of HTTP Messages",
}
# What the RFC Editor's index tells of them, as far as README shows it.
TOLD = {
    2119: "(Also BCP0014) (Status: BEST CURRENT PRACTICE)",
    2616: "(Obsoleted by RFC7230, RFC7231, RFC7232, RFC7233, RFC7234, RFC7235) (Status: DRAFT STANDARD)",
    5661: "(Obsoleted by RFC8881) (Status: PROPOSED STANDARD)",
    7230: "(Obsoletes RFC2145, RFC2616) (Obsoleted by RFC9110, RFC9112) (Status: PROPOSED STANDARD)",
    8174: "(Also BCP0014) (Status: BEST CURRENT PRACTICE)",
    8881: "(Obsoletes RFC5661) (Status: PROPOSED STANDARD)",
}
# Sixty numbers; where the playground splits them, and which it shows, is as with those of README.
SIXTY = [1, 18, 20, *range(101, 124), 2119, 2166, 2299, 2324,
         2549, 2551, 2616, 3261, 3514, 3986, 4976, 4996, 5246, 5661,
         6312, 7230, 7796, 7946, 8034, 8187, 8446, 8650, 8676, 8881, 8949, 9110, 9225, 9432, 9438, 9518, 9908,
         9965, 10001, 10036]
SIZES = {2119: 4723, 7230: 205947}


def session(prompt="$ "):
    """[(command, what README says that it prints)] of its console blocks that begin with that prompt, in their order."""
    steps = []
    with open(os.path.join(SOURCE, "README.md"), encoding="utf-8") as f:
        blocks = re.findall(r"^```console\n(.*?)^```$", f.read(), re.M | re.S)
    blocks = [b for b in blocks if b.startswith(prompt)]
    assert blocks
    for line in "".join(blocks).splitlines():
        if line.startswith(prompt):
            steps.append((line[len(prompt):], []))
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
            (r"(unreachable), TIME", r"\1"),   # refused within the turn it was asked in, it took no time
            (r"\b\d+(\.\d+)?[BKM]\b|\b\d+ bytes\b", "SIZE"),
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
    # And alice, until she knows what bob has, and that he is active.
    ready = "2 records.*1 known, 1 active" if name == "alice" else ", registered at"
    return f"until p2pdi-ctl --control={name}/run/org.p2pdi.Peer 2>/dev/null | tr '\\n' ' ' | grep -q '{ready}'; do :; done"


def type_slowly(command):
    return f"{command}\n{settle(command)}"


def execute(home, steps, shell=("bash",), typed=type_slowly):
    """What each of them really prints, in one shell."""
    mark = "===== step"
    script = [f"PATH={shlex.quote(BUILD)}:$PATH", "exec 2>&1"]
    for number, (command, _) in enumerate(steps):
        script += [f"echo '{mark} {number}'", typed(command)]
    script.append("kill $(jobs -p) 2>/dev/null; wait")
    r = subprocess.run(["unshare", "--user", "--map-root-user", "--net", "/usr/bin/python3", "-c", ENTER, *shell],
                       cwd=home, env={**os.environ, "HOME": home, "LC_ALL": "C.UTF-8", "TERM": "dumb"},
                       input="\n".join(script), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                       timeout=3 * PATIENCE, check=False)
    parts = re.split(rf"^{mark} \d+\n", r.stdout, flags=re.M)
    assert len(parts) == len(steps) + 1, r.stdout
    return [p.splitlines() for p in parts[1:]]


def make_home(world):
    home = os.path.join(world.dir, "home")
    os.makedirs(home)
    for number in (7230, 9110):
        with open(os.path.join(home, f"rfc{number}.txt"), "wb") as f:
            # The title as the RFC Editor's documents have it, in front of synthetic text.
            f.write(b"\n\n" + b"Group".ljust(60) + b"A. Author\n" + b"Number: 1".ljust(60) + b"May 2014\n\n\n"
                    + TITLES[number].center(72).rstrip().encode() + b"\n\n" + document(number, size=20000))
    return home


def can_unshare():
    with open(os.devnull, "w", encoding="ascii") as null:
        try:
            return subprocess.call(["unshare", "--user", "--map-root-user", "--net", "true"], stdout=null,
                                   stderr=null) == 0
        except OSError:
            return False


def make_sixty(world):
    directory = os.path.join(world.dir, "sixty")
    os.makedirs(directory)
    with open(os.path.join(directory, "rfc-index.txt"), "w", encoding="ascii") as f:
        f.write("(CREATED ON: 08/21/2026.)\n\n14 Not Issued.\n\n")
        for number in sorted({*SIXTY, *TITLES, *TOLD, *range(7231, 7236)}):
            title = TITLES.get(number, f"Synthetic Document {number}")
            author = "R. Fielding, Ed., J. Reschke, Ed." if number == 7230 else "A. Author"
            f.write(f"{number} {title}.\n     {author}. June 2014. (Format: TXT)\n     {TOLD.get(number, '')}\n\n")
    for number in SIXTY:
        with open(os.path.join(directory, f"rfc{number}.txt"), "wb") as f:
            f.write(b"The URI.\n" + document(number, size=SIZES.get(number, 2500) - 9))
    return directory


def type_beside_daemons(command):
    """What a person does by typing slowly: waits until what was changed beside the daemons is seen by them."""
    if "MinReplicas" in command:
        done = "[ $(bob list --no-legend | wc -l)$(carol list --no-legend | wc -l) = 6060 ]"
    elif "MaxSize" in command:
        done = "[ $(alice list --no-legend | wc -l) = 2 ]"
    elif changed := re.search(r"(?:^sed -i .* |^cp .* |of=)(alice|bob)/rfc/", command):
        generation = f"{changed[1]} status | grep -o 'generation [0-9]*'"
        return f"seen=$({generation})\n{command}\nuntil [ \"$({generation})\" != \"$seen\" ]; do :; done"
    else:
        return command
    return f"{command}\nuntil {done}; do :; done"


def compare(steps, results):
    for (command, said), real in zip(steps, results):
        # Who answers sooner is sooner in a table.
        both = [[alike(line) for line in lines] for lines in (said, real)]
        peers = [sorted(line for line in lines if line.startswith("127.")) for lines in both]
        others = [[line for line in lines if not line.startswith("127.")] for lines in both]
        assert (others[1], peers[1]) == (others[0], peers[0]), f"$ {command}"


@pytest.fixture(autouse=True)
def namespaces():
    if not can_unshare():
        pytest.skip("no network namespace can be made here (unshare --user --net)")


def test_the_session_of_the_readme(world):
    steps = session()
    compare(steps, execute(make_home(world), steps))


def test_three_peers_of_the_readme(world):
    steps = session("playground$ ")
    shell = [os.path.join(SOURCE, "tests", "playground.sh"), BUILD, make_sixty(world)]
    compare(steps, execute(world.dir, steps, shell, type_beside_daemons))


@pytest.mark.parametrize("rfcs, why", (
    ("", "playground: say which directory has rfcN.txt: make playground RFCS=DIR\n"),
    ("nowhere", "playground: there is no directory nowhere.\n"),
    (".", "playground: . holds fewer than three files rfcN.txt.\n")))
def test_a_playground_needs_documents(world, rfcs, why):
    r = subprocess.run([os.path.join(SOURCE, "tests", "playground.sh"), BUILD, rfcs], cwd=world.dir,
                       stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert (r.returncode, r.stdout, r.stderr) == (1, "", why)
