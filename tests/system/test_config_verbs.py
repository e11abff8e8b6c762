# SPDX-License-Identifier: BSD-2-Clause
"""p2pdi-ctl: log-level, cat-config, check-config."""

import json
import os
import shutil
import subprocess

import pytest

from p2pdi.addresses import endpoint
from p2pdi.base import program
from p2pdi.tool import Terminal, ctl, with_mounts

LEVELS = ["emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"]


def write(path, text):
    with open(path, "wb") as f:
        f.write(text.encode("utf-8", "surrogateescape"))
    return path


@pytest.fixture
def ini(world):
    """Writes a file; gives its path."""
    return lambda text, name="a.ini": write(os.path.join(world.dir, name), text)


def findings(*arguments, **options):
    """What check-config says as JSON."""
    r = ctl("--json=short", "check-config", *arguments, **options)
    assert r.text.count("\n") == 1 and r.err == "", r
    return r.code, json.loads(r.out)


# ---- log-level ----

@pytest.mark.parametrize("rs", [False, True])
def test_log_level(world, rs):
    d = world.rs() if rs else world.peer("a")
    r = d.ctl("log-level", rs=rs)
    assert (r.code, r.text, r.err) == (0, "debug\n", "")
    for value, name in [*[(n, n) for n in LEVELS], *[(str(i), n) for i, n in enumerate(LEVELS)], ("error", "err"),
                        ("warn", "warning"), ("INFO", "info")]:
        r = d.ctl("log-level", value, rs=rs)
        assert (r.code, r.out, r.err) == (0, b"", ""), r
        assert d.ctl("log-level", rs=rs).text == f"{name}\n"
    r = d.ctl("--json=short", "log-level", rs=rs)
    assert (r.code, r.text) == (0, '{"level":6}\n')


@pytest.mark.parametrize("value", ["loud", "8", "-1", "", "0x1", "info debug", "7 "])
def test_what_is_no_level(world, value):
    a = world.peer("a")
    r = a.ctl("log-level", "--", value)
    assert (r.code, r.out) == (2, b"")
    assert r.err == f"'{value}' is no log level: emerg, alert, crit, err, warning, notice, info, debug, or 0 to 7.\n"
    assert a.ctl("log-level").text == "debug\n"


def test_log_level_without_a_daemon(world):
    r = ctl("log-level", control=os.path.join(world.dir, "nobody"))
    assert r.code == 5 and r.out == b"" and r.err.count("\n") == 1
    assert ctl("log-level", "info", "debug").code == 2


def test_log_level_is_not_for_everybody(world):
    if os.getuid() != 0:
        pytest.skip("only root can be somebody else")
    a = world.peer("a")
    for path in (world.dir, a.dir, a.runtime_dir):
        os.chmod(path, 0o755)
    os.chmod(a.control, 0o666)
    nobody = {"user": 65534, "group": 65534, "extra_groups": []}
    # The programs may lie where nobody else gets to.
    tool = shutil.copy(program("p2pdi-ctl"), os.path.join(world.dir, "tool"))
    os.chmod(tool, 0o755)

    def as_nobody(*arguments):
        return subprocess.run([tool, f"--control={a.control}", *arguments], capture_output=True, text=True, check=False,
                              cwd="/", timeout=60, **nobody)
    r = as_nobody("log-level")
    assert (r.returncode, r.stdout) == (0, "debug\n"), r
    r = as_nobody("log-level", "err")
    assert r.returncode == 10 and r.stdout == "" and "use sudo" in r.stderr
    a.wait_log(r"User 65534 was denied io\.systemd\.service\.SetLogLevel")
    assert a.ctl("log-level").text == "debug\n"


# ---- cat-config ----

def test_cat_config_of_one_file(ini):
    path = ini("# all that is said\n[Server]\n\nListenStream=1\\2\t3")
    r = ctl("cat-config", f"--config={path}")
    assert (r.code, r.err) == (0, "") and r.text == f"# {path}\n# all that is said\n[Server]\n\nListenStream=1\\2\t3\n"
    assert ctl("cat-config", "rs", f"--config={path}").text == r.text == ctl("--rs", "cat-config", f"--config={path}").text
    r = ctl("cat-config", f"--config={path}", "--json=short")
    assert json.loads(r.out) == [{"path": path, "content": "# all that is said\n[Server]\n\nListenStream=1\\2\t3"}]
    assert ctl("cat-config", f"--config={ini('')}").text == f"# {path}\n"


def test_cat_config_of_no_file(world, ini):
    path = os.path.join(world.dir, "none.ini")
    r = ctl("cat-config", f"--config={path}")
    assert (r.code, r.out, r.err) == (1, b"", f"{path}: The file can't be read: No such file or directory.\n")
    r = ctl("cat-config", "--instance=no-such-instance")
    assert (r.code, r.out, r.err) == (1, b"", "There is no peer@no-such-instance.ini.\n")
    path = ini("# \udcff\n")
    assert ctl("cat-config", f"--config={path}").out == f"# {path}\n".encode() + b"# \xff\n"
    r = ctl("cat-config", f"--config={path}", "-j")
    assert r.code == 1 and r.err == f"{path}: The file is not UTF-8, and can't be shown as JSON.\n"


def test_cat_config_on_a_terminal(ini):
    """The path in blue; of the file, nothing gets to the terminal that is not text."""
    path = ini("[Server]\n\n#\tA title: \x1b]0;x\x07 \u202e\n")
    with Terminal("cat-config", f"--config={path}", "--no-pager", environment={"SYSTEMD_COLORS": "yes"}) as t:
        assert t.end() == 0
        lines = t.text.split("\r\n")
    assert lines[0] == f"\x1b[0;1;34m# {path}\x1b[0m" and lines[1:3] == ["[Server]", ""]
    assert "\x1b" not in lines[3] and lines[3].split() == ["#", "A", "title:", "\\x1b]0;x\\x07", "\\u{202e}"]


def in_own_run(commands):
    """A shell with an empty /run of its own."""
    return with_mounts(f"mount -t tmpfs none /run && mkdir -p /run/p2pdi/peer.ini.d /run/p2pdi/peer@x.ini.d && cd /run/p2pdi || exit 99\n"
                       f"{commands}")


def test_cat_config_of_all_files_in_the_order_read():
    r = in_own_run("""
        echo '# main' >peer.ini
        echo '# second' >peer.ini.d/20-b.ini
        printf '# first' >peer.ini.d/10-a.ini
        echo '# no' >peer.ini.d/30-c.conf
        echo '# instance' >peer@x.ini
        echo '# its own' >peer@x.ini.d/1.ini
        "$1" cat-config && echo -- && "$1" cat-config peer --instance=x && echo -- && "$1" cat-config rs""")
    if "/etc/" in r.stdout or "/usr/lib/" in r.stdout:
        pytest.skip("this host has a configuration of its own")
    assert r.returncode == 0, r
    mine, instance, rs = r.stdout.split("--\n")
    assert mine == ("# /run/p2pdi/peer.ini\n# main\n\n# /run/p2pdi/peer.ini.d/10-a.ini\n# first\n\n"
                    "# /run/p2pdi/peer.ini.d/20-b.ini\n# second\n")
    assert instance == "# /run/p2pdi/peer@x.ini\n# instance\n\n# /run/p2pdi/peer@x.ini.d/1.ini\n# its own\n"
    assert rs == "" and r.stderr == "There is no configuration file: all settings have their defaults.\n"


def test_check_config_of_all_files():
    r = in_own_run("""
        printf '[Server]\\nMaxConnections=5\\n' >peer.ini
        printf '[Server]\\nMaxConnections=none\\nColour=1\\n' >peer.ini.d/20-b.ini
        "$1" check-config""")
    assert (r.returncode, r.stdout) == (1, "")
    path = "/run/p2pdi/peer.ini.d/20-b.ini"
    assert f'{path}:2: Server.MaxConnections=: "none" is not a whole number.\n' in r.stderr
    assert f"{path}:3: Unknown key Colour= in section [Server], ignored.\n" in r.stderr


# ---- check-config ----

GOOD = {"peer": "[Server]\nListenStream=127.0.0.1:auto\n", "rs": "[Server]\nListenStream=127.0.0.1:65423\n"}


@pytest.mark.parametrize("which", GOOD)
def test_check_config_says_nothing_of_a_good_one(ini, which):
    path = ini(GOOD[which])
    arguments = [[which]] + ([["--rs"], ["--rs", "rs"]] if which == "rs" else [[]])
    for more in arguments:
        r = ctl("check-config", f"--config={path}", *more)
        assert (r.code, r.out, r.err) == (0, b"", ""), r
        assert findings(f"--config={path}", *more) == (0, [])


def test_check_config_knows_whose_it_is(ini):
    path = ini("[Registration]\nTTLSec=1h\n")
    assert ctl("check-config", "rs", f"--config={path}").err == ""
    r = ctl("check-config", f"--config={path}")
    assert (r.code, r.err) == (0, f"{path}:2: Unknown key TTLSec= in section [Registration], ignored.\n")
    assert ctl("check-config", f"--config={path}", "-q").err == ""
    assert findings(f"--config={path}") == (0, [{"isError": False, "file": path, "line": 2, "text":
                                                 "Unknown key TTLSec= in section [Registration], ignored."}])


def test_check_config_says_what_the_daemon_would(ini):
    path = ini("[Server]\nMaxConnections=0\nColour=\x1b[2J\n[Nowhere]\nRequestTimeoutSec=soon\n[Index]\nTTLSec=never\n")
    r = ctl("check-config", f"--config={path}")
    daemon = subprocess.run([program("p2pdi-peerd"), "--check-config", f"--config={path}"], capture_output=True, text=True,
                            check=False, timeout=60)
    assert daemon.returncode == 78 and r.code == 1 and r.out == b""
    assert sorted(r.err.splitlines()) == sorted(line.partition(": ")[2].partition(" (")[0] for line in daemon.stderr.splitlines())
    assert r.err.count("\n") == 4 and "\x1b" not in r.err
    assert ctl("check-config", f"--config={path}", "-q").err.count("\n") == 3
    code, found = findings(f"--config={path}")
    assert code == 1 and [(f["line"], f["isError"]) for f in found] == [(2, True), (3, True), (4, False), (7, True)]


def test_more_than_anybody_reads(ini):
    path = ini("[Server]\n" + "Colour=1\n" * 120)
    r = ctl("check-config", f"--config={path}")
    daemon = subprocess.run([program("p2pdi-peerd"), "--check-config", f"--config={path}"], capture_output=True, text=True,
                            check=False, timeout=60)
    more = "There are 21 more errors and warnings."
    assert r.err.count("\n") == 100 and r.err.endswith("\n" + more + "\n")
    assert f"p2pdi-peerd: {more.rstrip('.')}" in daemon.stderr
    assert findings(f"--config={path}")[1][-1] == {"isError": False, "text": more}


@pytest.mark.parametrize("arguments, code, text", [
    (["check-config", "peers"], 2, "'peers' is neither rs nor peer."),
    (["cat-config", "peers"], 2, "'peers' is neither rs nor peer."),
    (["--rs", "check-config", "peer"], 2, "With --rs it is rs, not 'peer'."),
    (["check-config", "rs", "peer"], 2, "Too many arguments: check-config [rs|peer]."),
    (["check-config", "--config="], 2, "--config= takes the path of a file."),
    (["check-config", "--config=/", "--instance=x"], 2, "--instance= and --config= each say which files: not both."),
    (["check-config", "rs", "--instance=x"], 2, "--instance= is for peers, and not together with --control=."),
    (["check-config", "--instance=a/b"], 2, "'a/b' is no name of an instance: write up to 64 letters, digits, or any of ':_.-', no dot first."),
    (["status", "--config=/"], 2, "'status' takes no --config=."),
    (["check-config", "--instance=no-such-instance"], 1,
     "peer@no-such-instance.ini: The instance has no configuration: there is no file of this name."),
    (["check-config", "--config=/nonexistent/a.ini"], 1, "/nonexistent/a.ini: The file can't be read: No such file or directory."),
])
def test_usage(arguments, code, text):
    r = ctl(*arguments)
    assert (r.code, r.out, r.err) == (code, b"", text + "\n"), r


# ---- drift ----

def check(daemon, *arguments, rs=False):
    return daemon.ctl("check-config", f"--config={daemon.config}", *arguments, rs=rs)


def test_no_drift_and_drift_of_a_peer(world):
    a = world.peer("a")                 # 127.0.0.1:auto
    assert (check(a).code, check(a).err) == (0, "")
    a.write_config({"Server.ListenStream": a.text})
    assert check(a).err == ""
    other = endpoint("127.0.0.1", 1 if a.port != 1 else 2)
    a.write_config({"Server.ListenStream": other})
    r = check(a)
    assert (r.code, r.out) == (0, b"") and r.err.splitlines() == [
        f"Server.ListenStream= says {other}, but p2pdi-peerd does not listen there: it will with \"systemctl daemon-reload && "
        "systemctl restart p2pdi-peerd.socket\".",
        f"p2pdi-peerd listens on {a.text}, which Server.ListenStream= does not say: it stops with \"systemctl daemon-reload && "
        "systemctl restart p2pdi-peerd.socket\"."]
    code, found = findings(f"--config={a.config}", control=a.control)
    assert code == 0 and [set(f) for f in found] == [{"isError", "text"}] * 2
    # A file that is nobody's, and a daemon that does not run.
    assert ctl("check-config", f"--config={a.config}").err == ""
    a.stop()
    assert (check(a).code, check(a).err) == (0, "")


def test_no_drift_and_drift_of_an_inherited_socket(world):
    rs = world.rs()
    rs.write_config({"Server.ListenStream": rs.text})
    assert (check(rs, rs=True).code, check(rs, rs=True).err) == (0, "")
    rs.write_config({"Server.ListenStream": [rs.text, "[2001:db8::1]:7", "65000"]})
    r = check(rs, "rs")
    assert r.code == 0 and [line.partition(", but")[0] for line in r.err.splitlines()] == [
        "Server.ListenStream= says [2001:db8::1]:7", "Server.ListenStream= says 65000"]
    assert r.err.count("systemctl restart p2pdi-rsd.socket") == 2


def test_port_alone_is_any_address(world):
    place = world.place("0.0.0.0")
    a = world.peer("a", place=place)
    a.write_config({"Server.ListenStream": str(place.port)})
    assert check(a).err == ""
    for other in (endpoint("127.0.0.1", place.port), str(place.port - 1)):
        a.write_config({"Server.ListenStream": other})
        assert check(a).err.count("\n") == 2


def test_the_running_daemon_is_asked_about_its_own_files_only(world):
    a = world.peer("a")
    r = in_own_run(f"""
        ln -s '{a.control}' org.p2pdi.Peer
        printf '[Server]\\nListenStream=127.0.0.1:{a.port}\\n' >peer.ini
        "$1" check-config && echo -- >&2
        printf '[Server]\\nListenStream=127.0.0.1:1\\n' >peer.ini
        "$1" check-config && echo -- >&2
        "$1" check-config --config=/run/p2pdi/peer.ini && echo -- >&2
        "$1" check-config --config=/run/p2pdi/peer.ini --control=/run/p2pdi/org.p2pdi.Peer""")
    assert (r.returncode, r.stdout) == (0, "")
    same, differs, other_file, named = r.stderr.split("--\n")
    assert same == "" and other_file == ""
    assert differs == named and differs.startswith("Server.ListenStream= says 127.0.0.1:1, but ") and differs.count("\n") == 2


def test_errors_come_without_drift(world):
    a = world.peer("a")
    a.write_config({"Server.ListenStream": "1", "Server.MaxConnections": "0"})
    r = check(a)
    assert r.code == 1 and r.err.count("\n") == 1 and "MaxConnections" in r.err


def test_who_may_not_ask_is_told(world):
    if os.getuid() == 0:
        pytest.skip("root may do everything")
    a = world.peer("a")
    os.chmod(a.control, 0)
    r = check(a)
    assert r.code == 0 and r.err == f"Access to {a.control} denied: where p2pdi-peerd listens was not looked at.\n"
