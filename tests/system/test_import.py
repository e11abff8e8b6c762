# SPDX-License-Identifier: BSD-2-Clause
"""import: files, directories with SHA256SUMS, and those of Debian's doc-rfc packages, into the store."""

import gzip
import json
import os
import socket

import pytest

from p2pdi.base import until
from p2pdi.documents import document, flip, sha256
from p2pdi.varlink import sealed
from test_ctl import NOBODY, as_nobody, opened  # noqa: F401
from test_export import INDEX, files, proves
from test_find import put_index

METHOD = "org.p2pdi.Peer.Import"


def write(directory, name, content):
    path = os.path.join(directory, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as f:
        f.write(content)
    return path


@pytest.fixture
def a(world):
    return world.peer("a", {})


@pytest.fixture(scope="module")
def still(shared):
    """One that nothing gets into."""
    return shared.peer("still", {})


@pytest.fixture
def source(world):
    path = os.path.join(world.dir, "source")
    os.mkdir(path)
    return path


def with_sums(source, documents, sums=None):
    for name, content in documents.items():
        write(source, name, content)
    lines = [f"{sha256(c)}  {n}\n" for n, c in documents.items()] if sums is None else sums
    write(source, "SHA256SUMS", "".join(lines).encode())
    return source


def held(peer):
    return [d["number"] for d in peer.json("list")]


def test_a_round_trip_is_identical(world, source):
    documents = {n: document(n, 500 + n) for n in range(1, 301)}
    a, b = world.peer("a", documents), world.peer("b", {})
    put_index(a, INDEX)
    first, second = os.path.join(source, "a"), os.path.join(source, "b")
    assert a.ctl("export", f"--to={first}").code == 0
    mark = b.mark()
    r = b.ctl("import", first)
    assert r.code == 0 and r.out == b"" and r.err == "301 files imported, 190.6K, and 0 were there already.\n"
    assert b.ctl("export", f"--to={second}").code == 0
    assert files(first) == files(second) and len(proves(second)) == 301
    # What is brought to disk together is told of together, with who wanted it.
    assert b.count_log(rf"User {os.getuid()} imported files, 64 new ones of \d+ bytes, 0 that were there already, 0 refused", mark) == 4
    until(lambda: b.json("list", "7")[0]["title"] == "A title", "the titles of the index that came count")
    assert b.ctl("import", first).err == "0 files imported, 0B, and 301 were there already.\n"


def test_an_interrupted_one_goes_on(world, source):
    a = world.peer("a", {})
    with_sums(source, {f"rfc{n}.txt": document(n) for n in range(1, 201)})
    assert a.ctl("import", *(os.path.join(source, f"rfc{n}.txt") for n in range(1, 90))).code == 0
    a.kill()
    a.start()
    a.wait_scanned(89)
    assert a.json("import", source)["imported"] == 111
    assert held(a) == list(range(1, 201)) and a.ctl("verify").code == 0
    assert not [n for n in os.listdir(a.library) if n.startswith(".")]


def test_files_as_json(a, source):
    paths = [write(source, "rfc7.txt", document(7)), write(source, "rfc8.txt.gz", gzip.compress(document(8))),
             write(source, "x/rfc7.txt.gz", gzip.compress(document(7, seed=1)))]
    assert a.json("import", *paths, paths[0]) == {
        "imported": 2, "bytes": 8000, "present": 0, "refused": 0,
        "files": [{"file": paths[0], "number": 7, "result": "ok"}, {"file": paths[1], "number": 8, "result": "ok"}]}
    assert a.content(7) == document(7) and a.content(8) == document(8)
    with a.connect() as w:
        assert w.ask("GET RFC 8").body == document(8)
    r = a.ctl("-q", "import", paths[0])
    assert r.code == 0 and r.err == "" and r.out == b""


def test_the_layout_of_debian(a, source):
    """Subdirectories by status, links to them in "links"; small files are not packed; not all packages are installed."""
    for n in (1, 20, 300):
        write(source, f"old/standard/rfc{n}.txt.gz", gzip.compress(document(n, 5000)))
        write(source, f"old/standard/rfc{n}.json", b"{}")
    write(source, "standard/rfc4.txt", document(4, 200))
    write(source, "rfc-index.txt.gz", gzip.compress(INDEX.encode()))
    os.mkdir(os.path.join(source, "links"))
    for n in (1, 20, 300):
        os.symlink(f"../old/standard/rfc{n}.txt.gz", os.path.join(source, "links", f"rfc{n}.txt.gz"))
        os.symlink(f"../old/standard/rfc{n}.json", os.path.join(source, "links", f"rfc{n}.json"))
    os.symlink("../standard/rfc4.txt", os.path.join(source, "links", "rfc4.txt"))
    r = a.ctl("import", os.path.join(source, "links"))
    assert r.code == 0 and r.err == "4 files imported, 14.8K, and 0 were there already.\n", r
    assert all(a.content(n) == document(n, 5000) for n in (1, 20, 300)) and a.content(4) == document(4, 200)
    answer = a.json("import", source)
    assert answer["imported"] == 1 and answer["present"] == 4 and answer["files"][0]["file"].endswith("/rfc-index.txt.gz")
    assert a.stored() and open(os.path.join(a.library, "rfc-index.txt"), "rb").read() == INDEX.encode()
    os.symlink("../not/installed/rfc5.txt.gz", os.path.join(source, "links", "rfc5.txt.gz"))
    r = a.ctl("import", source)
    assert r.code == 1 and r.err.splitlines()[0] == f"{source}/links/rfc5.txt.gz cannot be opened: No such file or directory."


def test_an_index_of_its_own_stays(a, source):
    put_index(a, INDEX)
    path = write(source, "rfc-index.txt", INDEX.replace("A title", "Another").encode())
    r = a.ctl("import", path)
    assert r.code == 0 and r.err.splitlines()[0] == f"Note: the store has an rfc-index.txt, which stays: {path} is not taken."
    assert open(os.path.join(a.library, "rfc-index.txt"), encoding="utf-8").read() == INDEX


def test_what_lists_no_rfc_is_no_index(a, source):
    path = write(source, "rfc-index.txt", b"nothing of the kind\n")
    r = a.ctl("import", path)
    assert r.code == 1 and r.err.splitlines()[0] == f"{path} lists no RFC: it is no rfc-index.txt."
    assert "rfc-index.txt" not in os.listdir(a.library)


# ---- refused whole ----

GOOD = {f"rfc{n}.txt": document(n) for n in (7, 8, 9)}
GOOD_SUMS = [f"{sha256(c)}  {n}\n" for n, c in GOOD.items()]


@pytest.mark.parametrize("what, code, says", [
    ("bad digest", 7, "{}/rfc8.txt is not what SHA256SUMS beside it says: nothing was imported."),
    ("missing", 1, "{}/rfc8.txt cannot be opened: No such file or directory."),
    ("empty", 1, "{}/rfc8.txt is empty."),
    ("link", 1, "{}/rfc8.txt is a link to "),
    ("pipe", 1, "{}/rfc8.txt is not a regular file."),
    ("directory", 1, "{}/rfc8.txt is not a regular file."),
    ("sums are a pipe", 1, "{}/SHA256SUMS is not a regular file."),
    ("sums are a dangling link", 1, "{}/SHA256SUMS cannot be opened: No such file or directory."),
    ("../rfc10.txt", 1, "{}/SHA256SUMS, line 4 names a file in another directory: nothing was imported."),
    ("/etc/passwd", 1, "{}/SHA256SUMS, line 4 names a file in another directory: nothing was imported."),
    ("sub/rfc10.txt", 1, "{}/SHA256SUMS, line 4 names a file in another directory: nothing was imported."),
    ("../rfc-index.txt", 1, "{}/SHA256SUMS, line 4 names a file in another directory: nothing was imported."),
    ("rubbish", 1, "{}/SHA256SUMS, line 4 is none of sha256sum's: nothing was imported."),
    ("twice", 1, "{}/SHA256SUMS names a file twice, with different digests: nothing was imported."),
])
def test_refused_whole(still, world, source, what, code, says):
    victim = os.path.join(source, "rfc8.txt")
    secret = write(world.dir, "secret", document(8))
    more = {"rubbish": "rubbish\n", "twice": f"{sha256(b'x')}  rfc7.txt\n"}
    with_sums(source, GOOD, GOOD_SUMS + ([more[what]] if what in more else [f"{sha256(b'x')}  {what}\n"] if "/" in what else []))
    if what in ("missing", "link", "pipe", "directory"):
        os.unlink(victim)
    if what.startswith("sums"):
        os.unlink(os.path.join(source, "SHA256SUMS"))
    {"bad digest": lambda: write(source, "rfc8.txt", flip(GOOD["rfc8.txt"], 100)), "empty": lambda: write(source, "rfc8.txt", b""),
     "link": lambda: os.symlink(secret, victim), "pipe": lambda: os.mkfifo(victim), "directory": lambda: os.mkdir(victim),
     "sums are a pipe": lambda: os.mkfifo(os.path.join(source, "SHA256SUMS")),
     "sums are a dangling link": lambda: os.symlink("none", os.path.join(source, "SHA256SUMS"))}.get(what, lambda: None)()
    r = still.ctl("import", source)
    assert r.code == code and r.err.startswith(says.format(source)) and len(r.err.splitlines()) == 1 and r.out == b"", r
    assert held(still) == [] and os.listdir(still.library) == []


def test_what_sums_do_not_name_is_passed_over(a, source):
    with_sums(source, GOOD, GOOD_SUMS[:2] + [f"{sha256(b'x')}  notes\n", "# a comment\n", "\n"])
    write(source, "rfc10.txt.gz", gzip.compress(document(10)))
    r = a.ctl("import", source)
    assert r.code == 0 and r.err.splitlines()[0] == f"{source}: 2 files that SHA256SUMS does not name passed over."
    assert held(a) == [7, 8]


def test_a_hostile_directory_gives_no_secret_away(a, world, source):
    """Who makes the directory must not have another's file published."""
    secret = write(world.dir, "secret", b"a private key\n")
    os.symlink(secret, os.path.join(source, "rfc1.txt"))
    os.symlink("rfc1.txt", os.path.join(source, "rfc2.txt"))
    os.mkdir(os.path.join(source, "links"))
    os.symlink("../rfc1.txt", os.path.join(source, "links", "rfc3.txt"))
    os.symlink("/dev/zero", os.path.join(source, "links", "rfc4.txt"))
    os.symlink("rfc5.txt", os.path.join(source, "links", "rfc5.txt"))
    write(source, "rfc6.txt", document(6))
    r = a.ctl("import", source)
    assert r.code == 1 and len(r.err.splitlines()) == 6 and "1 file imported" in r.err.splitlines()[-1], r
    assert held(a) == [6] and a.stored() == ["rfc6.txt"]


# ---- one by one ----

BAD = {
    "torn": ("rfc7.txt.gz", lambda: gzip.compress(document(7))[:-9], "is torn: its end is missing."),
    "damaged": ("rfc7.txt.gz", lambda: flip(gzip.compress(document(7)), 300), "is damaged, or not packed by gzip."),
    "plain": ("rfc7.txt.gz", lambda: document(7), "is damaged, or not packed by gzip."),
    "bomb": ("rfc7.txt.gz", lambda: gzip.compress(bytes(40 << 20), 9), "unpacked, is bigger than Store.MaxFileSize=1M."),
    "empty inside": ("rfc7.txt.gz", lambda: gzip.compress(b""), "is empty."),
    "big": ("rfc7.txt", lambda: bytes((1 << 20) + 1), "is bigger than Store.MaxFileSize=1M."),
}


def test_files_that_are_not_to_be_had(world, source):
    a = world.peer("a", {}, ini={"Store.MaxFileSize": "1M"})
    for n, (what, (name, content, says)) in enumerate(BAD.items(), 20):
        bad, good = write(source, name, content()), write(source, f"rfc{n}.txt", document(n))
        r = a.ctl("--json=short", "import", bad, good)
        assert r.code == 1 and r.err.startswith(bad) and r.err.endswith(says + "\n"), (what, r)
        answer = json.loads(r.out)
        assert [f["result"] for f in answer["files"]] == ["unread", "ok"] and answer["refused"] == 1, what
        assert a.content(n) == document(n), "what a bad one has left in between is not in the next"
    assert held(a) == list(range(20, 20 + len(BAD)))


@pytest.mark.parametrize("name", ["notes", "rfc07.txt", "rfc7.pdf", "RFC7.txt", "rfc7.txt.gz.gz", ".gz", "rfc0.txt"])
def test_names_that_are_no_rfc(still, source, name):
    path = write(source, name, document(7))
    r = still.ctl("import", path)
    assert r.code == 2 and r.err.startswith(f"{path} is not called as an RFC: ") and held(still) == []


@pytest.mark.parametrize("arguments, code, says", [
    ([], 2, "Too few arguments: import FILE…|DIR…."),
    ([""], 2, "The name of a file or directory is empty."),
    (["/nowhere/rfc1.txt"], 1, "/nowhere/rfc1.txt cannot be opened: No such file or directory."),
    (["/dev"], 1, "/dev holds no file that is called rfcN.txt or rfcN.txt.gz."),
])
def test_bad_arguments(still, arguments, code, says):
    r = still.ctl("import", *arguments)
    assert r.code == code and r.err == says + "\n" and r.out == b""


def test_nothing_is_replaced(world, source):
    a = world.peer("a", {7: document(7), 8: document(8)})
    paths = [write(source, "rfc7.txt", document(7, seed=1)), write(source, "rfc8.txt", document(8)),
             write(source, "rfc9.txt", document(9))]
    r = a.ctl("import", *paths)
    assert r.code == 7 and r.err.splitlines() == [f"{paths[0]} is refused: the store has other bytes of RFC 7, which stay.",
                                                  "1 file imported, 3.9K, and 1 were there already."]
    assert a.content(7) == document(7) and held(a) == [7, 8, 9]


def test_the_manifest_decides(world, source):
    manifest = write(world.dir, "manifest", f"{sha256(document(7))}  rfc7.txt\n{sha256(INDEX.encode())}  rfc-index.txt\n".encode())
    a = world.peer("a", {}, ini={"Integrity.Manifest": manifest})
    paths = [write(source, "rfc-index.txt", (INDEX + "\n0008 More. A. Author. May 2001.\n").encode()),
             write(source, "rfc7.txt", document(7, seed=1))]
    r = a.ctl("import", *paths)
    assert r.code == 7 and r.err.splitlines()[:2] == [
        f"{p} is refused: Integrity.Manifest= says that it is something else." for p in paths] and os.listdir(a.library) == []
    write(source, "rfc7.txt", document(7))
    assert a.ctl("import", paths[1]).code == 0 and held(a) == [7]


def test_a_full_store(world, source):
    a = world.peer("a", {1: document(1)}, ini={"Store.MaxSize": 12000})
    with_sums(source, {f"rfc{n}.txt": document(n) for n in range(1, 200)})
    r = a.ctl("import", source)
    assert r.code == 9 and r.err.splitlines() == [
        f"{source}/rfc4.txt does not fit: the disk or what Store.MaxSize= allows is full, and the import ends here.",
        "2 files imported, 7.8K, and 1 were there already."]
    assert held(a) == [1, 2, 3]


def test_a_damaged_file_is_not_replaced(world, source):
    a = world.peer("a", {7: document(7)})
    a.rot(7)
    assert a.ctl("verify").code == 7
    r = a.ctl("import", write(source, "rfc7.txt", document(7)))
    assert r.code == 7 and "the store has a damaged file of RFC 7, which verify --repair brings anew" in r.err


def test_who_may(opened):  # noqa: F811
    path = write(opened.dir, "rfc9.txt", document(9))
    r = as_nobody(opened, "import", path)
    assert r.code == 10 and "Not allowed" in r.err and r.out == b"" and len(r.err.splitlines()) == 1
    opened.wait_log(f"User {NOBODY} was denied {METHOD}")
    assert held(opened) == [7]
    # Who may is still bound to what he may read himself.
    opened.write_config({"Control.AllowUsers": str(NOBODY)})
    opened.reload()
    os.chmod(path, 0o600)
    r = as_nobody(opened, "import", path)
    assert r.code == 1 and f"{path} cannot be opened: Permission denied." in r.err and held(opened) == [7]
    os.chmod(path, 0o644)
    assert as_nobody(opened, "import", path).code == 0 and held(opened) == [7, 9]


# ---- the method itself ----

def described(*contents, number=1):
    return {"files": [{"number": number + i, "size": len(c), "sha256": sha256(c)} for i, c in enumerate(contents)]}


def test_what_comes_with_a_call_is_checked(a, source):
    one, two = document(1), document(2)
    good = described(one, two)
    pipe = os.pipe()
    plain = os.open(write(source, "plain", one + two), os.O_RDONLY)
    half, _ = socket.socketpair()
    bad = [
        (good, None, "files"),
        (good, pipe[0], "files"), (good, plain, "files"), (good, half.fileno(), "files"),
        (good, sealed(one + two, 0), "files"),                  # others could change it
        (good, sealed(one), "files"), (good, sealed(one + two + b"x"), "files"),
        ({"files": []}, sealed(b""), "files"),
        (described(*([b"x"] * 65)), sealed(b"x" * 65), "files"),
        ({"files": [{"number": 1, "size": 4000}]}, sealed(one), "files"),
        ({"files": [{**described(one)["files"][0], "name": "x"}]}, sealed(one), "files"),
        ({"files": [{**described(one)["files"][0], "number": 0}]}, sealed(one), "files"),
        ({"files": [{**described(one)["files"][0], "size": -1}]}, sealed(one), "files"),
        ({"files": [{**described(one)["files"][0], "size": 2**63 - 1}, described(one)["files"][0]]}, sealed(one), "files"),
        ({"files": [{**described(one)["files"][0], "size": 2**63}]}, sealed(one), "files"),
        ({"files": [{**described(one)["files"][0], "number": 2**64}]}, sealed(one), "files"),
        ({"files": [{**described(one)["files"][0], "sha256": "x"}]}, sealed(one), "files"),
    ]
    with a.varlink() as v:
        for parameters, fd, name in bad:
            v.send(METHOD, parameters, fd)
            reply = v.reply()
            assert reply.get("error", "").endswith("InvalidParameter") and reply["parameters"] == {"parameter": name}, parameters
        assert held(a) == []
        lie = described(one, two)
        lie["files"][0]["sha256"] = sha256(two)
        v.send(METHOD, lie, sealed(one + two))
        assert [i["result"] for i in v.reply()["parameters"]["imported"]] == ["mismatch", "ok"]
        # Pipelined, each with its own.
        v.send(METHOD, described(one), sealed(one))
        v.send(METHOD, described(document(3), number=3), sealed(document(3)))
        assert [v.reply()["parameters"]["imported"] for _ in range(2)] == [[{"number": n, "result": "ok"}] for n in (1, 3)]
    assert held(a) == [1, 2, 3] and a.ctl("verify").code == 0


def test_who_hangs_up_does_not_stop_it(a):
    contents = [document(n) for n in range(1, 41)]
    with a.varlink() as v:
        v.send(METHOD, described(*contents), sealed(b"".join(contents)))
        v.socket.shutdown(socket.SHUT_WR)       # nothing more comes, and the reply is waited for
        assert len(v.reply()["parameters"]["imported"]) == 40
    with a.varlink() as v:
        v.send(METHOD, described(document(50), number=50), sealed(document(50)))
    # Hung up before it was read, it was for nobody; else it is there whole.
    assert a.ctl("verify").code == 0 and held(a)[:40] == list(range(1, 41))
