# SPDX-License-Identifier: BSD-2-Clause
"""p2pdi-socket-generator: INI files become drop-ins of socket units, and none of them holds up a boot."""

import os
import re
import resource
import shutil
import signal
import subprocess

import pytest

from p2pdi.base import program

UNITS = os.path.join(os.environ.get("P2PDI_SRCDIR", "."), "systemd")
SHIPPED = "stays as shipped."


class Tree:
    """A root with INI files, and the directory that systemd would give."""

    def __init__(self, path):
        self.root = str(path / "root")
        self.out = str(path / "out")
        self.kmsg = str(path / "kmsg")
        r = subprocess.run([program("p2pdi-socket-generator"), "--help"], capture_output=True, text=True, check=True)
        self.etc = re.search(r"from (/\S+)/\*\.ini", r.stdout).group(1)
        os.makedirs(self.path(""))
        os.makedirs(self.out)

    def path(self, name, directory=None):
        return self.root + (directory or self.etc) + "/" + name

    def write(self, name, content, directory=None):
        path = self.path(name, directory)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as f:
            f.write(content.encode("utf-8", "surrogateescape") if isinstance(content, str) else content)
        return path

    def run(self, **options):
        """Runs it; gives the lines that went to the kernel's log."""
        shutil.rmtree(self.out, ignore_errors=True)
        os.makedirs(self.out)
        if os.path.exists(self.kmsg):
            os.unlink(self.kmsg)
        r = subprocess.run([program("p2pdi-socket-generator"), f"--root={self.root}", f"--kmsg={self.kmsg}", self.out,
                            self.out + "/early", self.out + "/late"], capture_output=True, timeout=60, check=False, **options)
        assert (r.returncode, r.stdout, r.stderr) == (0, b"", b""), r
        assert not os.path.exists(self.out + "/early") and not os.path.exists(self.out + "/late")
        with open(self.kmsg, "rb") as f:
            lines = f.read().decode("utf-8").split("\n")
        assert lines.pop() == ""
        for line in lines:
            assert line.startswith("<3>p2pdi-socket-generator: ") and len(line.encode()) < 900 and line.isprintable(), line
        return [line.partition(": ")[2] for line in lines]

    def units(self):
        """{unit: text without the comment at its head}"""
        found = {}
        for directory in sorted(os.listdir(self.out)):
            assert os.listdir(f"{self.out}/{directory}") == ["50-p2pdi-ini.conf"]
            with open(f"{self.out}/{directory}/50-p2pdi-ini.conf", encoding="utf-8") as f:
                first, _, text = f.read().partition("\n")
            assert first.startswith("# made by p2pdi-socket-generator") and self.root not in first + text
            found[directory.removesuffix(".d")] = text
        return found

    def source(self, name):
        return f"[Unit]\nSourcePath={self.etc}/{name}\n"


@pytest.fixture
def tree(tmp_path):
    return Tree(tmp_path)


def test_nothing_there(tree):
    assert tree.run() == [] and tree.units() == {}


def test_a_port_and_who_may_come(tree):
    tree.write("peer.ini", "[Server]\nListenStream=65430\n[Access]\nAllow=192.0.2.0/24\n")
    tree.write("rs.ini", "[Server]\nListenStream=127.0.0.1:7\nListenStream=[::1]:7\n[Access]\nDeny=198.51.100.7\n")
    assert tree.run() == []
    assert tree.units() == {
        "p2pdi-peerd.socket": tree.source("peer.ini") + "[Socket]\nListenStream=\nListenStream=65430\nIPAddressDeny=any\n"
                                                        "IPAddressAllow=192.0.2.0/24\n",
        "p2pdi-rsd.socket": tree.source("rs.ini") + "[Socket]\nListenStream=\nListenStream=127.0.0.1:7\n"
                                                    "ListenStream=[::1]:7\nIPAddressDeny=198.51.100.7/32\n",
    }


def test_file_that_sets_nothing_is_named_as_the_source(tree):
    tree.write("peer.ini", "[Log]\nLevel=debug\n")
    tree.write("rs.ini", "# nothing\n")
    assert tree.run() == []
    assert tree.units() == {"p2pdi-peerd.socket": tree.source("peer.ini"), "p2pdi-rsd.socket": tree.source("rs.ini")}


def test_strongest_tree_and_drop_ins(tree):
    tree.write("rs.ini", "[Server]\nListenStream=1\n", "/usr/lib/p2pdi")
    tree.write("rs.ini", "[Server]\nListenStream=2\n", "/run/p2pdi")
    tree.write("rs.ini.d/50.ini", "[Server]\nListenStream=\nListenStream=3\n", "/usr/lib/p2pdi")
    tree.run()
    assert tree.units() == {"p2pdi-rsd.socket": "[Unit]\nSourcePath=/run/p2pdi/rs.ini\n"
                                                "[Socket]\nListenStream=\nListenStream=3\n"}
    # A drop-in alone: then that is the source.
    os.unlink(tree.path("rs.ini", "/run/p2pdi"))
    os.unlink(tree.path("rs.ini", "/usr/lib/p2pdi"))
    tree.run()
    assert tree.units()["p2pdi-rsd.socket"].startswith("[Unit]\nSourcePath=/usr/lib/p2pdi/rs.ini.d/50.ini\n[Socket]")


def test_auto_leaves_the_socket_to_the_daemon(tree):
    tree.write("peer.ini", "[Server]\nListenStream=auto\n[Access]\nDeny=any\n")
    assert tree.run() == []
    never = "# ListenStream=auto: the daemon binds a port itself\nConditionPathExists=!"
    assert tree.units() == {"p2pdi-peerd.socket": tree.source("peer.ini") + f"{never}{tree.etc}/peer.ini\n"}
    tree.write("peer.ini", "")
    tree.write("peer.ini.d/a\nb.ini", "[Server]\nListenStream=127.0.0.1:auto\n")
    tree.run()
    assert tree.units() == {"p2pdi-peerd.socket": tree.source("peer.ini") + f"{never}/\n"}


def test_instances(tree):
    longest = "x" * 64
    for name in ("alpha", "b-2", "a:b_c.d", longest):
        tree.write(f"peer@{name}.ini", "[Server]\nListenStream=65431\n")
    tree.write("peer@run.ini", "[Server]\nListenStream=65432\n", "/run/p2pdi")
    tree.write("peer@noport.ini", "[Access]\nAllow=localhost\n")
    tree.write("peer@auto.ini", "[Server]\nListenStream=auto\n")
    tree.write("peer@wrong.ini", "[Server]\nListenStream=0\n")
    tree.write("peer@dropped.ini", "")
    tree.write("peer@dropped.ini.d/x.ini", "[Server]\nListenStream=65433\n")
    for name in ("a b", "b\\x2d2", "", ".hidden", longest + "x", "\udcff\n"):
        tree.write(f"peer@{name}.ini", "[Server]\nListenStream=65431\n")
    lines = tree.run()
    assert [u for u in tree.units() if "@" in u] == sorted(
        f"p2pdi-peerd@{n}.socket" for n in ("alpha", "b-2", "a:b_c.d", "dropped", longest, "run"))
    assert tree.units()["p2pdi-peerd@b-2.socket"] == tree.source("peer@b-2.ini") + "[Socket]\nListenStream=\nListenStream=65431\n"
    assert len(lines) == 7 and sum("is passed over: an instance's name is of" in line for line in lines) == 6
    assert [line for line in lines if "ListenStream" in line][0].endswith("p2pdi-peerd@wrong.socket stays closed.")


def test_too_many_instances_are_told(tree):
    for i in range(300):
        tree.write(f"peer@{i}.ini", "[Server]\nListenStream=65431\n")
    assert tree.run() == [f"{tree.path('')[:-1]}: There are more than 256 instances of the peer."]
    assert len(tree.units()) == 256


def test_library_elsewhere_is_made_writable(tree):
    tree.write("peer.ini", "[Store]\nPath=/srv/rfc\n")
    tree.write("peer@a.ini", "[Store]\nPath=/var/lib/p2pdi/a\n")
    tree.write("peer@b.ini", "[Store]\nPath=/var/lib/p2pdi@b/rfc\n")
    tree.write("rs.ini", "[Store]\nPath=/srv/rfc\n")
    assert tree.run() == []
    service = '[Service]\nReadWritePaths="-%s"\n'
    assert tree.units() == {
        "p2pdi-peerd.socket": tree.source("peer.ini"),
        "p2pdi-peerd.service": tree.source("peer.ini") + service % "/srv/rfc",
        "p2pdi-peerd@a.service": tree.source("peer@a.ini") + service % "/var/lib/p2pdi/a",
        "p2pdi-rsd.socket": tree.source("rs.ini"),
    }


def test_what_concerns_no_socket_is_not_looked_at(tree):
    """No name service is asked, and the port does not go away with a wrong value of another key."""
    tree.write("peer.ini", "[Control]\nAllowUsers=nobody-of-that-name\n[Index]\nTTLSec=never\n[Server]\nListenStream=65430\n"
                           "Unknown=1\n[Unknown]\nx=y\n")
    assert tree.run() == []
    assert "ListenStream=65430\n" in tree.units()["p2pdi-peerd.socket"]


# ---- what can't be used ----

GIB = 1 << 30


def big(path):
    with open(path, "wb") as f:
        f.write(b"[Server]\nListenStream=65430\n")
        f.truncate(GIB)


def one_line(path):
    with open(path, "wb") as f:
        f.write(b"[Server]\nListenStream=" + b"7" * 500000 + b"\n")


def a_program(path):
    with open(program("p2pdi-socket-generator"), "rb") as f:
        content(f.read(65536))(path)


def link(target):
    def make(path):
        os.symlink(target, path)
    return make


def content(data):
    def make(path):
        with open(path, "wb") as f:
            f.write(data)
    return make


def drop_ins(path):
    os.makedirs(path + ".d")
    for i in range(101):
        content(b"[Server]\nListenStream=65430\n")(f"{path}.d/{i}.ini")
    content(b"")(path)


HOPELESS = {
    "empty": (content(b""), "The file is empty."),
    "binary": (content(bytes(range(256)) * 40), "The line has a NUL byte in it."),
    "program": (a_program, "The line "),
    "1 GiB": (big, "The file is larger than 1048576 bytes."),
    "one line": (one_line, "The line is too long."),
    "fifo": (os.mkfifo, "This is no regular file."),
    "directory": (os.mkdir, "This is no regular file."),
    "device": (link("/dev/zero"), "This is no regular file."),
    "terminal": (link("/dev/ptmx"), "This is no regular file."),
    "loop": (link("peer.ini"), "Too many levels of symbolic links."),
    "nowhere": (link("/nowhere"), "No such file or directory."),
    "process": (link("/proc/self/mem"), "The file can't be read: "),
    "directory of drop-ins": (drop_ins, "There are more than 100 drop-ins."),
    "port": (content(b"[Server]\nListenStream=65536\n"), ":2: Server.ListenStream=: \"65536\" is not of the form"),
    "port 0": (content(b"[Server]\nListenStream=[::]:0\n"), "\"[::]:0\" is not of the form"),
    "name": (content(b"[Server]\nListenStream=localhost:7\n"), "\"localhost:7\" is not of the form"),
    "injected": (content(b"[Server]\nListenStream=7\x1b[2J\n"), "The line has a control character in it."),
    "not a list": (content(b"[Access]\nAllow=everybody\n"), "Access.Allow=: \"everybody\" is not of the form"),
    "auto and more": (content(b"[Server]\nListenStream=auto\nListenStream=7\n"), "a socket unit can't have \"auto\" beside"),
    "covered": (content(b"[Server]\nListenStream=7\nListenStream=127.0.0.1:7\n"), "127.0.0.1:7 is a part of 7 already."),
    "path": (content(b"[Store]\nPath=rfc\n"), "\"rfc\" is not an absolute path."),
}


@pytest.mark.parametrize("what", HOPELESS)
def test_shipped_socket_stands(tree, what):
    make, why = HOPELESS[what]
    path = tree.path("peer.ini")
    make(path)
    tree.write("rs.ini", "[Server]\nListenStream=65433\n")

    def limit():
        resource.setrlimit(resource.RLIMIT_CPU, (20, 20))
    lines = tree.run(preexec_fn=limit)
    # In KiB, of the largest child of this test: far from what lies there, also with a sanitizer.
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss < 256 << 10
    assert len(lines) == 1 and lines[0].startswith(path) and why in lines[0] and lines[0].endswith(f"p2pdi-peerd.socket {SHIPPED}")
    units = tree.units()
    assert units.pop("p2pdi-rsd.socket").endswith("ListenStream=65433\n")
    # It names the file, so that systemctl sees when it is mended; a file that is not there would be a change for ever.
    assert units == ({} if what in ("loop", "nowhere") else {"p2pdi-peerd.socket": tree.source("peer.ini")})


def test_unreadable(tree):
    if os.getuid() == 0:
        pytest.skip("root may read everything")
    os.chmod(tree.write("peer.ini", "[Server]\nListenStream=7\n"), 0)
    assert tree.run() == [f"{tree.path('peer.ini')}: The file can't be read: Permission denied. p2pdi-peerd.socket {SHIPPED}"]
    os.chmod(tree.path(""), 0)
    lines = tree.run()
    os.chmod(tree.path(""), 0o755)
    assert len(lines) == 3 and all("Permission denied" in line for line in lines) and tree.units() == {}


def test_mask_is_no_mistake(tree):
    tree.write("peer.ini", "[Server]\nListenStream=7\n", "/usr/lib/p2pdi")
    os.symlink("/dev/null", tree.path("peer.ini"))
    assert tree.run() == []
    assert tree.units() == {"p2pdi-peerd.socket": tree.source("peer.ini")}


def test_what_it_says_is_bounded(tree):
    for i in range(100):
        tree.write(f"peer@{i}.ini", "[Server]\nListenStream=" + "\x1f\u202e" * 4000 + "\n")
    assert len(tree.run()) == 32
    assert tree.units() == {}


# ---- where it writes ----

def test_writes_only_below_its_directory(tree, tmp_path):
    tree.write("peer.ini", "[Server]\nListenStream=7\n")
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "50-p2pdi-ini.conf").write_text("theirs")
    args = [program("p2pdi-socket-generator"), f"--root={tree.root}", f"--kmsg={tree.kmsg}", tree.out]
    os.symlink(victim, f"{tree.out}/p2pdi-peerd.socket.d")
    assert subprocess.run(args, check=False).returncode == 0
    os.unlink(f"{tree.out}/p2pdi-peerd.socket.d")
    os.mkdir(f"{tree.out}/p2pdi-peerd.socket.d")
    os.symlink(victim / "50-p2pdi-ini.conf", f"{tree.out}/p2pdi-peerd.socket.d/50-p2pdi-ini.conf")
    assert subprocess.run(args, check=False).returncode == 0
    assert (victim / "50-p2pdi-ini.conf").read_text() == "theirs"
    assert tree.units()["p2pdi-peerd.socket"].endswith("ListenStream=7\n")
    with open(tree.kmsg, encoding="utf-8") as f:
        assert re.fullmatch(r"<3>p2pdi-socket-generator: The drop-in of p2pdi-peerd\.socket can't be written: .*\.\n", f.read())


def test_half_a_drop_in_is_none(tree):
    """Above all no directory for an instance: its socket unit has that alone as its condition."""
    tree.write("peer@a.ini", "[Server]\nListenStream=" + " ".join(str(7 + i) for i in range(60)) + "\n")

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (700, 700))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    assert tree.run(preexec_fn=limit) == ["The drop-in of p2pdi-peerd@a.socket can't be written: File too large."]
    assert os.listdir(tree.out) == []


@pytest.mark.parametrize("directory", ["/nowhere", "/dev/null", ""])
def test_no_directory_to_write_to(tree, directory):
    r = subprocess.run([program("p2pdi-socket-generator"), f"--root={tree.root}", f"--kmsg={tree.kmsg}", directory],
                       capture_output=True, check=False)
    assert (r.returncode, r.stdout, r.stderr) == (0, b"", b"")
    with open(tree.kmsg, encoding="utf-8") as f:
        assert f.read().startswith(f"<3>p2pdi-socket-generator: The directory {directory} can't be opened: ")


@pytest.mark.parametrize("arguments", [[], ["--unknown", "/tmp"]])
def test_usage(arguments):
    r = subprocess.run([program("p2pdi-socket-generator"), *arguments], capture_output=True, text=True, check=False)
    assert r.returncode == 2 and r.stdout == "" and r.stderr.count("\n") == 1


# ---- what systemd makes of it ----

def verify(tree, *units):
    if not shutil.which("systemd-analyze"):
        pytest.skip("there is no systemd-analyze here")
    for name in os.listdir(UNITS):
        if name.endswith(".socket"):
            shutil.copy(os.path.join(UNITS, name), tree.out)
    for name in ("p2pdi-rsd", "p2pdi-peerd", "p2pdi-peerd@"):
        with open(f"{tree.out}/{name}.service", "w", encoding="ascii") as f:
            f.write("[Service]\nExecStart=/bin/true\n")
    environment = dict(os.environ, SYSTEMD_UNIT_PATH=tree.out + ":")
    r = subprocess.run(["systemd-analyze", "verify", "--man=no", *(f"{tree.out}/{u}" for u in units)], capture_output=True,
                       text=True, env=environment, check=False)
    if "Failed to initialize manager" in r.stderr:
        pytest.skip(f"systemd-analyze can't work here: {r.stderr}")
    return r.returncode, r.stdout + r.stderr


def test_systemd_takes_all_of_it(tree):
    tree.write("peer.ini", "[Server]\nListenStream=[::]:7 192.0.2.1:7 8 [2001:db8::1]:9\n[Access]\nAllow=localhost any "
                           "192.0.2.0/24 2001:db8::/32\nDeny=link-local\n[Store]\nPath=/srv/100% \"of\" it\n")
    tree.write("rs.ini", "[Server]\nListenStream=65433\n[Access]\nAllow=0.0.0.0/0\n")
    tree.write("peer@b-2.ini", "[Server]\nListenStream=65434\n")
    assert tree.run() == [] and len(tree.units()) == 4
    assert verify(tree, "p2pdi-peerd.socket", "p2pdi-rsd.socket", "p2pdi-peerd@b-2.socket") == (0, "")


def test_systemd_takes_what_is_left_of_the_hopeless(tree):
    tree.write("peer.ini", b"\0" * 100)
    assert len(tree.run()) == 1
    assert verify(tree, "p2pdi-peerd.socket") == (0, "")
    # And it is no check that finds nothing.
    with open(f"{tree.out}/p2pdi-peerd.socket.d/50-p2pdi-ini.conf", "a", encoding="ascii") as f:
        f.write("[Socket]\nListenStream=[::]:0\n")
    assert "Failed to parse address value" in verify(tree, "p2pdi-peerd.socket")[1]
