# SPDX-License-Identifier: BSD-2-Clause
"""export: the store as a directory that sha256sum -c proves."""

import json
import os
import subprocess

import pytest

from p2pdi.base import program
from p2pdi.documents import document, flip, sha256
from test_find import put_index

INDEX = "0007 A title. A. Author. May 2001. (Format: TXT) (Status: UNKNOWN)\n"


@pytest.fixture
def a(world):
    return world.peer("a", {n: document(n, 3000 + n) for n in (7, 8, 900, 10000)})


@pytest.fixture
def to(world):
    return os.path.join(world.dir, "exported")


def files(directory):
    found = {}
    for name in os.listdir(directory):
        with open(os.path.join(directory, name), "rb") as f:
            found[name] = f.read()
    return found


def proves(directory):
    r = subprocess.run(["sha256sum", "--strict", "-c", "SHA256SUMS"], cwd=directory, capture_output=True, text=True)
    assert r.returncode == 0, r
    return r.stdout.splitlines()


def test_everything(a, to):
    put_index(a, INDEX)
    r = a.ctl("export", f"--to={to}")
    assert r.code == 0 and r.out == b"" and r.err == "5 files exported, 22.4K, of which 0 were there already.\n"
    found = files(to)
    sums = found.pop("SHA256SUMS").decode()
    assert found == {**{f"rfc{n}.txt": document(n, 3000 + n) for n in (7, 8, 900, 10000)}, "rfc-index.txt": INDEX.encode()}
    assert proves(to) == [f"{n}: OK" for n in ("rfc7.txt", "rfc8.txt", "rfc900.txt", "rfc10000.txt", "rfc-index.txt")]
    assert sums.splitlines()[0] == f"{sha256(document(7, 3007))}  rfc7.txt"


def test_a_range_as_json(a, to):
    answer = a.json("export", f"--to={to}", "8-1000")
    assert answer == {"directory": to, "files": 2, "bytes": 3008 + 3900, "present": 0}
    assert sorted(files(to)) == ["SHA256SUMS", "rfc8.txt", "rfc900.txt"]
    proves(to)


def test_nothing_of_it_is_there(a, to, world):
    r = a.ctl("export", f"--to={to}", "1-6", "99")
    assert (r.code, r.err) == (3, "None of these RFCs is in the store: nothing was exported.\n") and not os.path.exists(to)
    # A store with nothing in it is whole, too.
    assert world.peer("empty", {}).ctl("export", f"--to={to}").code == 0
    assert files(to) == {"SHA256SUMS": b""}


def test_an_interrupted_one_goes_on(a, to):
    assert a.ctl("export", f"--to={to}").code == 0
    before = files(to)
    os.unlink(os.path.join(to, "SHA256SUMS"))
    os.unlink(os.path.join(to, "rfc8.txt"))
    with open(os.path.join(to, "rfc7.txt"), "wb") as f:
        f.write(flip(document(7, 3007), 5))     # as after a crash: the name was there, and the bytes were not
    with open(os.path.join(to, ".p2pdi-export"), "wb") as f:
        f.write(b"half")
    kept = os.stat(os.path.join(to, "rfc900.txt"))
    assert json.loads(a.ctl("-j", "export", f"--to={to}").out)["present"] == 2
    assert files(to) == before
    assert os.stat(os.path.join(to, "rfc900.txt")).st_ino == kept.st_ino, "what is right is not written again"


@pytest.mark.parametrize("name", ["notes", "rfc9.txt", "rfc07.txt", ".hidden", "rfc7.txt~"])
def test_a_directory_with_something_else_in_it(a, to, name):
    os.mkdir(to)
    with open(os.path.join(to, name), "wb") as f:
        f.write(b"mine")
    r = a.ctl("export", f"--to={to}")
    assert r.code == 1 and r.err.startswith(f"{to} holds {name}, which is not part of this export: ")
    assert files(to) == {name: b"mine"}


def test_links_are_not_followed(a, to, world):
    os.mkdir(to)
    victim = os.path.join(world.dir, "victim")
    with open(victim, "wb") as f:
        f.write(b"precious")
    for name in ("rfc7.txt", ".p2pdi-export", "SHA256SUMS"):
        os.symlink(victim, os.path.join(to, name))
    assert a.ctl("export", f"--to={to}").code == 0
    proves(to)
    with open(victim, "rb") as f:
        assert f.read() == b"precious"
    assert not any(os.path.islink(os.path.join(to, name)) for name in os.listdir(to))


@pytest.mark.parametrize("arguments, code, says", [
    ([], 2, "Name the directory to export to: export --to=DIR."),
    (["--to="], 2, "--to= takes the path of a directory."),
    (["--to=/dev/null/x"], 1, "/dev/null/x cannot be made: Not a directory."),
    (["--to=/dev/null"], 1, "/dev/null cannot be opened: Not a directory."),
    (["--to=/nowhere/to/be/found"], 1, "/nowhere/to/be/found cannot be made: No such file or directory."),
])
def test_where_it_cannot_go(a, arguments, code, says):
    r = a.ctl("export", *arguments)
    assert r.code == code and r.err == says + "\n" and r.out == b""


def test_a_full_disk(a, to):
    small = ["/usr/bin/env", "unshare", "--mount", "--map-root-user", "sh", "-c",
             f'mount -t tmpfs -o size=8k none "{to}" && exec "$@" && exit', "sh"]
    os.mkdir(to)
    r = subprocess.run([*small, program("p2pdi-ctl"), f"--control={a.control}", "export", f"--to={to}"], capture_output=True,
                       text=True)
    if "mount" in r.stderr or "unshare" in r.stderr:
        pytest.skip("no file system of one's own is to be had here")
    assert r.returncode == 9 and r.stderr.splitlines()[0].endswith("cannot be written: No space left on device."), r
