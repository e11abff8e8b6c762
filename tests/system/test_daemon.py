# SPDX-License-Identifier: BSD-2-Clause
"""What both daemons do beside their work: options, configuration, reloads, what they tell the service manager, inherited
sockets, damaged state, and all that can be in the way of a start."""

import contextlib
import errno
import itertools
import os
import random
import re
import shlex
import signal
import socket
import sqlite3
import subprocess
import time

import pytest

from p2pdi.addresses import endpoint
from p2pdi.base import PATIENCE, SANITIZER, program, until
from p2pdi.documents import document
from p2pdi.threads import Held, threads
from p2pdi.varlink import Varlink
from p2pdi.wire import Closed, Wire, request

DAEMONS = ["rsd", "peerd"]
INTERFACES = {"rsd": "org.p2pdi.Registration", "peerd": "org.p2pdi.Peer"}


def make(world, daemon, name=None, ini=None, **options):
    """One of them, not started. The registration server's socket is inherited, the peer binds its own."""
    if daemon == "rsd":
        return world.rs(ini, name=name or "rs", start=False, **options)
    return world.peer(name or "peer", ini=ini, start=False, **options)


def unused_port():
    """For a daemon that binds by itself and must be told a port: an address that nobody else comes upon."""
    return endpoint("127." + ".".join(str(random.randint(1, 254)) for _ in range(3)), random.randint(20000, 30000))


def make_bound(world, daemon, name=None, ini=None):
    """One that binds its socket by itself."""
    d = make(world, daemon, name, ini)
    if daemon == "rsd":
        d.place = None
        d.write_config({"Server.ListenStream": unused_port()})
    return d


def fails(daemon, status=1):
    """It does not start; gives what it said."""
    daemon.start(wait=False)
    assert daemon.wait_end() == status, daemon.log()
    assert "READY=1" not in daemon.notices
    return daemon.log()


def through_shell(daemon, commands):
    """Started by a shell that does something before it becomes the daemon."""
    path = os.path.join(daemon.dir, "start")
    with open(path, "w", encoding="utf-8") as f:
        f.write(f'#!/bin/sh\n{commands}\nexec {shlex.quote(program(daemon.program))} "$@"\n')
    os.chmod(path, 0o755)
    daemon.program = path


def run(daemon, *arguments):
    name = daemon if isinstance(daemon, str) else daemon.program
    r = subprocess.run([program(name), *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
                       check=False)
    assert not SANITIZER.search(r.stderr), r.stderr
    return r


def get_status(daemon, control=None):
    with Varlink(control or daemon.control) as v:
        return v.call(INTERFACES["rsd" if daemon.control_name.endswith("Registration") else "peerd"] + ".GetStatus")["parameters"]


def serves(daemon, to=None):
    with Wire(to or daemon.endpoint) as w:
        return w.ask("GET Nothing").status == 404


def line_of(daemon, text):
    with open(daemon.config, encoding="utf-8") as f:
        return next(n for n, line in enumerate(f, 1) if line.startswith(text))


# ---- options ----

@pytest.mark.parametrize("name", ["p2pdi-rsd", "p2pdi-peerd"])
def test_version_and_help(name):
    r = run(name, "--version")
    assert (r.returncode, r.stderr) == (0, "") and re.fullmatch(rf"{name} \d\S*\n", r.stdout)
    for option in ("--help", "-h"):
        r = run(name, option)
        assert (r.returncode, r.stderr) == (0, "")
        for word in ("--version", "--config=FILE", "--check-config", "--state-dir=DIR", "--runtime-dir=DIR", f"{name}(8)"):
            assert word in r.stdout
        assert ("--instance=" in r.stdout) == (name == "p2pdi-peerd")


@pytest.mark.parametrize("name, arguments", [
    *itertools.product(["p2pdi-rsd", "p2pdi-peerd"],
                       [["--no-such-option"], ["-x"], ["argument"], ["--", "argument"], ["--config"], ["--version=1"]]),
    ("p2pdi-rsd", ["--instance=a"]), ("p2pdi-peerd", ["--instance="]), ("p2pdi-peerd", ["--instance=../a"]),
    ("p2pdi-peerd", ["--instance=a b"]), ("p2pdi-peerd", ["--instance=.a"]),
])
def test_usage_error(name, arguments):
    r = run(name, *arguments)
    assert (r.returncode, r.stdout) == (2, "")
    assert re.match(rf"(\S*/)?{name}: .", r.stderr) and r.stderr.count("\n") == 1


# ---- configuration ----

@pytest.mark.parametrize("daemon", DAEMONS)
def test_check_config_says_nothing_of_a_good_one(world, daemon):
    d = make(world, daemon)
    r = run(d, "--check-config", f"--config={d.config}", f"--state-dir={d.state_dir}", f"--runtime-dir={d.runtime_dir}")
    assert (r.returncode, r.stdout, r.stderr) == (0, "", "")
    assert not os.path.exists(d.runtime_dir) and not os.path.exists(os.path.join(d.state_dir, "library.db"))


# Key, value, and what is said of it: the value, and what is allowed.
WRONG = {
    "both": [
        ("Server.MaxConnections", "0", "0 is not in 1..1000000."),
        ("Server.MaxConnections", "many", '"many" is not a whole number.'),
        ("Server.MaxConnections", "99999999999999999999", '"99999999999999999999" is not a whole number.'),
        ("Server.RequestTimeoutSec", "10ms", "10ms is not in 100ms..1h."),
        ("Server.RequestTimeoutSec", "soon", '"soon" is not a time such as 5s, 1min 30s or 30d.'),
        ("Server.ListenStream", "70000", '"70000" is not of the form PORT, ADDRESS:PORT or [IPV6]:PORT with a port from 1 to 65535'),
        ("Server.ListenStream", "127.0.0.1", '"127.0.0.1" is not of the form PORT, ADDRESS:PORT or [IPV6]:PORT'),
        ("Access.Allow", "10.0.0.0/33", '"10.0.0.0/33" is not of the form ADDRESS, ADDRESS/BITS, localhost, link-local or any.'),
        ("Log.Level", "loud", '"loud" is not a log level: emerg, alert, crit, err, warning, notice, info, debug.'),
    ],
    "rsd": [
        ("Server.ListenStream", "auto", '"auto" is not of the form PORT,'),
        ("Registration.KeepAliveSec", "3h", "3h is neither 0 nor in 1s..2h, which is TTLSec=."),
        ("State.Database", "sqlite:../x.db", '"sqlite:../x.db" is not of the form sqlite:NAME, where NAME is a file name without /.'),
    ],
    "peerd": [
        ("Registration.Server", "65423", '"65423" is not of the form HOST or HOST:PORT with a port from 1 to 65535.'),
        ("Registration.Advertise", "0.0.0.0", '"0.0.0.0" is not an address that a peer can be reached at.'),
        ("Registration.Enabled", "perhaps", '"perhaps" is neither yes nor no.'),
        ("Peers.Static", "localhost:65424", '"localhost:65424" is not of the form ADDRESS:PORT or [IPV6]:PORT of a peer.'),
        ("Store.Path", "rfc", '"rfc" is not an absolute path.'),
        ("Store.MaxFileSize", "5X", '"5X" is not a size such as 4096, 64M or 1.5G.'),
        ("Integrity.Quorum", "0", "0 is not in 1..64."),
        ("Integrity.Accept", "any", '"any" is not a grade: single, agreed, verified.'),
        ("Integrity.Manifest", "SHA256SUMS", '"SHA256SUMS" is not an absolute path.'),
        ("Server.MinTransferRate", "2G", "2G is not in 0..1G."),
        ("Server.MaxUploadRate", "512", "512 is not in 1K..1T."),
        ("Server.MaxUploadRate", "fast", '"fast" is neither infinity nor a size such as 4096, 64M or 1.5G.'),
        ("Control.AllowUsers", "no/body", '"no/body" is not a user of this system.'),
        ("Control.AllowGroups", "no/body", '"no/body" is not a group of this system.'),
    ],
}


@pytest.mark.parametrize("daemon", DAEMONS)
def test_wrong_values_are_told_with_file_line_and_what_is_allowed(world, daemon):
    d = make(world, daemon)
    wrong = WRONG["both"] + WRONG[daemon]
    lines = ["# a comment", ""]
    for key, value, _ in wrong:
        section, name = key.split(".")
        lines += [f"[{section}]", f"{name}={value}"]
    d.write_config(text="\n".join(lines) + "\n")
    r = run(d, "--check-config", f"--config={d.config}")
    assert (r.returncode, r.stdout) == (78, "")
    said = r.stderr.splitlines()
    for i, (key, _, why) in enumerate(wrong):
        found = [s for s in said if f"{d.config}:{4 + 2 * i}: {key}=: " in s]
        assert len(found) == 1 and why in found[0], (key, why, said)
    assert len(said) == len(wrong)


@pytest.mark.parametrize("daemon", DAEMONS)
@pytest.mark.parametrize("line, why", [
    ("MaxConnections", "neither [Section] nor Key=value nor a comment"),
    (" MaxConnections=5", "indented"),
    ("MaxConnections=5\\", "backslash"),
    ("[Server", "not of the form [Section]"),
    ("MaxConnections=\x1b[2J", "control character"),
    ("MaxConnections=\udcff", "not UTF-8"),
])
def test_lines_that_cannot_be_read(world, daemon, line, why):
    d = make(world, daemon)
    with open(d.config, "wb") as f:
        f.write(f"[Server]\n{line}\n".encode("utf-8", "surrogateescape"))
    r = run(d, "--check-config", f"--config={d.config}")
    assert r.returncode == 78 and f"{d.config}:2: " in r.stderr and why in r.stderr
    assert "\x1b" not in r.stderr


@pytest.mark.parametrize("daemon", DAEMONS)
def test_wrong_value_keeps_it_from_starting(world, daemon):
    d = make(world, daemon, ini={"Server.MaxConnections": "0"})
    log = fails(d, 78)
    where = f"{d.config}:{line_of(d, 'MaxConnections')}: Server.MaxConnections=: 0 is not in 1..1000000."
    assert where in log
    assert d.statuses() == [where]
    assert not os.path.exists(d.state_dir) or not os.listdir(d.state_dir)


@pytest.mark.parametrize("daemon", DAEMONS)
def test_file_that_is_named_must_be_there(world, daemon):
    d = make(world, daemon)
    os.unlink(d.config)
    r = run(d, "--check-config", f"--config={d.config}")
    assert r.returncode == 78 and d.config in r.stderr and "No such file" in r.stderr


@pytest.mark.parametrize("daemon", DAEMONS)
def test_unknown_keys_and_sections_are_warnings(world, daemon):
    d = make(world, daemon, ini={"Server.NoSuchKey": "5", "Nowhere.Key": "5", "X-Mine.Key": "5"})
    r = run(d, "--check-config", f"--config={d.config}")
    assert r.returncode == 0
    key, section = line_of(d, "NoSuchKey="), line_of(d, "[Nowhere]")
    d.start()
    for said in (r.stderr, d.log()):
        assert f"{d.config}:{key}: Unknown key NoSuchKey= in section [Server], ignored." in said
        assert f"{d.config}:{section}: Unknown section [Nowhere], ignored." in said
        assert "X-Mine" not in said
    assert serves(d)


# ---- reload ----

def reload_notices(daemon):
    """Reloads; gives what it told the service manager meanwhile."""
    before = len(daemon.notices)
    daemon.reload()
    notices = [n for n in daemon.notices[before:] if not n.startswith("STATUS=")]
    return notices[:notices.index("READY=1") + 1]


def check_reload(daemon):
    start = time.monotonic_ns() // 1000
    notices = reload_notices(daemon)
    end = time.monotonic_ns() // 1000
    assert notices[0] == "RELOADING=1" and notices[-1] == "READY=1"
    assert notices[1].startswith("MONOTONIC_USEC=") and start <= int(notices[1][15:]) <= end


@pytest.mark.parametrize("daemon", DAEMONS)
def test_reload_takes_the_new_log_level(world, daemon):
    d = make(world, daemon).start()
    assert serves(d)
    d.wait_log("received from")
    d.write_config({"Log.Level": "warning"})
    check_reload(d)
    after = d.mark()
    assert serves(d)
    d.write_config({"Log.Level": "debug"})
    check_reload(d)
    with d.connect() as w:
        w.ask("GET Nothing", {"Transaction": "00000000deadbeef"})
    d.wait_log(r"\[00000000deadbeef\]", after)
    assert d.count_log("received from", after) == 1


def test_reload_of_the_registration_server(world):
    rs = world.rs()
    with rs.registrant() as r:
        assert r.register(1000)["TTL"] == "7200"
        rs.write_config({"Registration.TTLSec": "10min", "Registration.KeepAliveSec": "7s", "Registration.PeersPerReply": 1})
        check_reload(rs)
        rs.wait_log("Configuration loaded", n=2)
        reply = r.register(1000)
        assert (reply["TTL"], reply["Keep-Alive"]) == ("600", "7")
        with rs.registrant() as second, rs.registrant() as third:
            second.register(1001)
            third.register(1002)
        active, peers = r.peers()
        assert active == 2 and len(peers) == 1
    assert get_status(rs)["ttlSec"] == 600


def test_reload_of_the_database_waits_for_a_restart(world):
    rs = world.rs()
    rs.write_config({"State.Database": "sqlite:other.db"})
    check_reload(rs)
    rs.wait_log("State.Database= takes effect at a restart")
    rs.restart()
    assert os.path.exists(os.path.join(rs.state_dir, "other.db"))


def test_reload_of_the_peer(world):
    first, second = world.rs(name="first"), world.rs(name="second")
    peer = world.peer("peer", {7: document(7)}, first)
    assert [r.ttl for r in peer.index()[1]] == [7200]
    peer.write_config({"Registration.Server": [first.text, second.text], "Index.TTLSec": "100s"})
    check_reload(peer)
    peer.wait_registered(2)
    second.wait_log("Peer 1 registered at")
    peer.write_config({"Registration.Server": second.text})
    check_reload(peer)
    first.wait_log("Peer 1 left")
    peer.wait_status("registered at 1 of 1 server")
    assert second.count_log("Peer 1 left") == 0


def test_reload_of_what_a_peer_states_of_its_documents(world):
    peer = world.peer("peer", {7: document(7)})
    peer.write_config({"Index.TTLSec": "100s"})
    check_reload(peer)
    # They travel to another thread: soon.
    until(lambda: [r.ttl for r in peer.index()[1]] == [100], "the new lifetime")


def test_reload_of_the_largest_document(world):
    peer = world.peer("peer", {7: document(7, 1000)})
    peer.write_config({"Store.MaxFileSize": 999})
    check_reload(peer)
    peer.put(8, document(8, 1000))
    peer.wait_log(r"rfc8.txt is left out of the library: it is bigger than Store.MaxFileSize=")


@pytest.mark.parametrize("daemon", DAEMONS)
def test_reload_takes_limits_and_access(world, daemon):
    d = make(world, daemon).start()
    d.write_config({"Server.MaxConnections": 1, "Server.IdleTimeoutSec": "300ms"})
    check_reload(d)
    with d.connect() as one, d.connect() as two:
        assert one.ask("GET Nothing").status == 404
        assert two.ask("GET Nothing").status == 503
        one.expect_closed()
    d.write_config({"Access.Deny": "localhost"})
    check_reload(d)
    with d.connect() as w, pytest.raises((Closed, ConnectionError)):
        w.ask("GET Nothing")


@pytest.mark.parametrize("daemon", DAEMONS)
def test_bad_reload_keeps_the_old(world, daemon):
    d = make(world, daemon).start()
    if daemon == "peerd":
        d.wait_status(", 0 documents, ")        # that of the first scan must not come last
    to = d.endpoint
    with d.connect() as w:
        w.ask("GET Nothing")
        # A good change beside the bad one is not taken either.
        d.write_config({"Server.MaxConnections": "1", "Server.RequestTimeoutSec": "x"})
        after = d.mark()
        check_reload(d)
        where = re.escape(f"{d.config}:{line_of(d, 'RequestTimeoutSec')}: Server.RequestTimeoutSec=: \"x\" is not a time")
        d.wait_log(where, after)
        d.wait_log("The new configuration is not used, the old one stays", after)
        assert d.count_log("Configuration loaded", after) == 0
        w.ask("GET Nothing")
        assert serves(d, to)
    assert re.search(where, d.statuses()[-1])
    d.write_config({"Server.RequestTimeoutSec": "5s"})
    check_reload(d)
    d.wait_status("^Listening on ")


@pytest.mark.parametrize("daemon", DAEMONS)
def test_many_reloads_at_once(world, daemon):
    d = make(world, daemon).start()
    for _ in range(50):
        d.send_signal(signal.SIGHUP)
    d.wait_ready(2)
    assert serves(d)
    d.stop()
    assert d.notices.count("READY=1") == d.notices.count("RELOADING=1") + 1


# ---- the service manager ----

@pytest.mark.parametrize("daemon", DAEMONS)
def test_ready_means_that_it_serves(world, daemon):
    d = make_bound(world, daemon)
    for _ in range(5):
        d.start()
        assert d.notices.count("READY=1") == 1
        assert d.notices.index("READY=1") > d.notices.index("STATUS=" + d.statuses()[0])
        assert serves(d)
        assert get_status(d)["listening"] == [d.text]
        d.stop()
        assert d.notices.count("READY=1") == 1 and "STOPPING=1" in d.notices


def test_status_of_the_registration_server(world):
    rs = world.rs()
    assert rs.statuses() == [f"Listening on {rs.text}, 0 peers active."]
    with rs.registrant() as r:
        r.register(1000)
        rs.wait_status(f"^Listening on {re.escape(rs.text)}, 1 peer active.$")


def test_status_of_the_peer(world):
    rs = world.rs()
    peer = world.peer("peer", {1: document(1), 2: document(2)}, rs)
    peer.wait_status(rf"^Listening on {re.escape(peer.text)}, 2 documents, registered at 1 of 1 servers?.$")


WATCHDOG_USEC = 120000


def pings(daemon):
    return daemon.notices.count("WATCHDOG=1")


def wait_pings(daemon, n):
    wanted = pings(daemon) + n
    daemon.wait("pings", lambda: pings(daemon) >= wanted)


def watched(world, daemon):
    d = make(world, daemon, ini={"Server.Threads": 2 if daemon == "peerd" else None})
    d.environment["WATCHDOG_USEC"] = str(WATCHDOG_USEC)
    return d


@pytest.mark.parametrize("daemon", DAEMONS)
def test_watchdog_is_fed(world, daemon):
    for_us, for_another, none = watched(world, daemon), make(world, daemon, "another"), make(world, daemon, "none")
    through_shell(for_us, "export WATCHDOG_PID=$$")
    for_another.environment = {"WATCHDOG_USEC": str(WATCHDOG_USEC), "WATCHDOG_PID": str(os.getpid())}
    for_another.start()
    none.start()
    for_us.start()
    wait_pings(for_us, 5)
    assert pings(for_another) == pings(none) == 0


@pytest.mark.parametrize("daemon, names", [("rsd", {"commit"}), ("peerd", {"client", "disk", "flush", "download-0", "download-1"})])
def test_watchdog_is_not_fed_while_a_thread_hangs(world, daemon, names):
    d = watched(world, daemon).start()
    wait_pings(d, 1)
    found = threads(d)
    found.pop("resolver", None)         # waits for name servers, and nobody waits for it
    assert set(found) == names
    for tid in found.values():
        with Held(tid):
            # What was on its way may still come, and no more.
            before = pings(d)
            with d.changed:
                assert not d.changed.wait_for(lambda: pings(d) > before + 1, 1.5 * WATCHDOG_USEC / 1e6)
            # The main loop goes on.
            with d.varlink() as v:
                assert "vendor" in v.call("org.varlink.service.GetInfo")["parameters"]
        wait_pings(d, 2)


def test_hanging_disk_holds_up_registrations_only(world):
    rs = world.rs()
    with rs.registrant() as known, rs.registrant() as fresh:
        known.register(1000)
        with Held(threads(rs)["commit"]):
            fresh.wire.send(request("POST Register", {"Port": 1001, "Host": "fresh", "OS": "test"}))
            for _ in range(3):
                assert known.keepalive().status == 200
                known.peers()
            assert get_status(rs)["known"] == 2
            fresh.wire.socket.settimeout(0.1)
            with pytest.raises(TimeoutError):
                fresh.wire.reply()
            fresh.wire.socket.settimeout(PATIENCE)
        assert fresh.wire.reply().status == 200


@pytest.mark.parametrize("daemon", DAEMONS)
def test_stop_by_either_signal(world, daemon):
    d = make(world, daemon)
    for number in (signal.SIGTERM, signal.SIGINT):
        d.start()
        with d.connect() as w:
            w.ask("GET Nothing")
            d.send_signal(number)
            w.expect_closed()
        assert d.wait_end() == 0
        assert d.notices[-1] == "STOPPING=1"
        assert not os.path.exists(d.control)


def never_reading(daemon, world):
    """A client that has asked for more than it takes: what a stop waits for."""
    w = daemon.connect()
    w.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    if daemon.control_name.endswith("Peer"):
        w.send(request("GET RFC 7"))
    else:
        cookies = []
        with daemon.registrant() as r:
            for port in range(1, 41):
                r.cookie = None
                r.register(port, Host="h" * 250)
                cookies.append(r.cookie)
        w.socket.settimeout(0.2)
        with contextlib.suppress(TimeoutError):
            w.send(request("GET PQuery", {"Cookie": cookies[0]}) * 2000)
        w.socket.settimeout(PATIENCE)
    assert w.socket.recv(1)
    return world.keep(w)


@pytest.mark.parametrize("daemon", DAEMONS)
def test_second_signal_ends_it_at_once(world, daemon):
    d = make(world, daemon)
    if daemon == "peerd":
        d.put(7, document(7, 30 << 20))
    d.start()
    if daemon == "peerd":
        d.wait_scanned(1)
    never_reading(d, world)
    started = time.monotonic()
    d.terminate()
    d.wait("STOPPING=1", lambda: "STOPPING=1" in d.notices)
    # It waits for that reply, and takes nobody new.
    if daemon == "peerd":
        d.wait("refusal", lambda: refuses(d))
    assert d.running
    d.terminate()
    assert d.wait_end() == 0
    assert time.monotonic() - started < 4


@contextlib.contextmanager
def stopping(daemon, world):
    """While it is told to stop, and can't yet."""
    with contextlib.ExitStack() as stack:
        if daemon == "rsd":                     # it waits for its disk
            d = world.rs()
            w = stack.enter_context(d.connect())
            held = stack.enter_context(Held(threads(d)["commit"]))
            w.send(request("POST Register", {"Port": 1000}))
            d.wait_log("received from .*POST Register")
        else:                                   # for a reader
            d, held = world.peer("peer", {7: document(7, 30 << 20)}), None
            never_reading(d, world)
        d.terminate()
        d.wait("STOPPING=1", lambda: "STOPPING=1" in d.notices)
        yield d
        if not held:
            d.terminate()
    assert d.wait_end() == 0


@pytest.mark.parametrize("daemon", DAEMONS)
def test_reload_while_it_stops_is_not_for_it(world, daemon):
    with stopping(daemon, world) as d:
        d.send_signal(signal.SIGHUP)
        for _ in range(2):                      # it has seen the signal by then
            get_status(d)
    assert "RELOADING=1" not in d.notices and d.count_log("Configuration loaded") == 1


def refuses(daemon):
    try:
        daemon.connect().close()
    except ConnectionRefusedError:
        return True
    return False


# ---- inherited sockets ----

def listening(world, path=None):
    s = world.keep(socket.socket(socket.AF_UNIX if path else socket.AF_INET, socket.SOCK_STREAM))
    s.bind(path or ("127.0.0.1", 0))
    s.listen(100)
    return s


@pytest.mark.parametrize("daemon, name", [("rsd", "rs"), ("peerd", "rfc")])
def test_inherited_sockets_in_any_order(world, daemon, name):
    control = os.path.join(world.dir, "control")
    sockets = [(name, listening(world)), (name, listening(world)), ("varlink", listening(world, control))]
    d = make(world, daemon)
    d.place = None
    for order in ([0, 1, 2], [2, 1, 0], [1, 2, 0]):
        d.more_sockets = [sockets[i] for i in order]
        d.start()
        for _, s in sockets[:2]:
            assert serves(d, s.getsockname())
        status = get_status(d, control)
        assert status["inherited"] is True
        assert status["listening"] == [endpoint(*sockets[i][1].getsockname()) for i in order if i < 2]
        assert not os.path.exists(d.control)
        d.stop()
        # They belong to the service manager.
        assert os.path.exists(control)


@pytest.mark.parametrize("daemon", DAEMONS)
def test_socket_by_an_unknown_name_is_closed(world, daemon):
    d = make(world, daemon)
    s = listening(world)
    place = s.getsockname()
    d.more_sockets = [("other", s)]
    d.start()
    s.close()
    with pytest.raises(ConnectionRefusedError):
        Wire(place)
    assert serves(d)


def test_registration_server_without_its_socket_does_not_start(world):
    """The service manager passed others: this one would look well, and nobody would reach it."""
    rs = make_bound(world, "rsd")
    rs.more_sockets = [("varlink", listening(world, os.path.join(world.dir, "control")))]
    assert 'The service manager passed no socket named "rs": run "systemctl daemon-reload' in fails(rs)
    assert re.search(r'^The service manager passed no socket named "rs": run "systemctl ', rs.statuses()[-1])


def test_peer_without_its_socket_listens_by_itself(world):
    control = os.path.join(world.dir, "control")
    peer = make_bound(world, "peerd")
    peer.more_sockets = [("varlink", listening(world, control))]
    for where, warns in (("127.0.0.1:auto", False), (unused_port(), True)):
        peer.write_config({"Server.ListenStream": where})
        after = peer.mark()
        peer.start()
        assert peer.count_log('passed no socket named "rfc", so p2pdi-peerd listens by itself', after) == warns
        assert serves(peer)
        status = get_status(peer, control)
        assert status["inherited"] is False and status["listening"] == [peer.text]
        peer.stop()


@pytest.mark.parametrize("daemon", DAEMONS)
def test_sockets_for_another_process_are_not_taken(world, daemon):
    d = make_bound(world, daemon)
    d.environment = {"LISTEN_FDS": "1", "LISTEN_FDNAMES": "rs", "LISTEN_PID": "1"}
    d.start()
    assert serves(d)
    assert get_status(d)["inherited"] is False


@pytest.mark.parametrize("daemon, name", [("rsd", "rs"), ("peerd", "rfc")])
def test_socket_that_does_not_listen_is_an_error(world, daemon, name):
    s = world.keep(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    s.bind(("127.0.0.1", 0))
    d = make(world, daemon)
    d.place = None
    d.more_sockets = [(name, s)]
    assert f'The socket that the service manager passed as "{name}" can\'t be used' in fails(d)


@pytest.mark.parametrize("daemon", DAEMONS)
def test_control_socket_that_can_not_be_used_is_refused(world, daemon):
    """Nobody could speak to it: of another family or type, or not listening."""
    d = make(world, daemon)
    for s in (socket.socket(socket.AF_INET, socket.SOCK_DGRAM), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM),
              socket.create_server(("127.0.0.1", 0))):
        with s:
            d.more_sockets = [("varlink", s)]
            after = d.mark()
            fails(d)
        assert d.count_log('The socket that the service manager passed as "varlink" can\'t be used', after) == 1


# ---- state ----

DATABASES = [("rsd", "registry.db"), ("peerd", "state.db"), ("peerd", "library.db")]


def tampered(good, path):
    """The same with something in it that undoes what is written."""
    with open(path, "wb") as f:
        f.write(good)
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        table, = db.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name DESC").fetchone()
        db.execute(f"CREATE TRIGGER undo AFTER INSERT ON {table} BEGIN DELETE FROM {table}; END")
    with open(path, "rb") as f:
        return f.read()


@pytest.mark.parametrize("damage", ["garbage", "truncated", "garbled", "tampered"])
@pytest.mark.parametrize("daemon, name", DATABASES)
def test_damaged_database_is_moved_aside(world, daemon, name, damage):
    d = make(world, daemon)
    if daemon == "peerd":
        d.put(7, document(7))
    d.start()
    if daemon == "peerd":
        d.wait_scanned(1)
    d.stop()
    path = os.path.join(d.state_dir, name)
    with open(path, "rb") as f:
        good = f.read()
    assert good.startswith(b"SQLite format 3\0")
    bad = {
        "garbage": random.Random(name).randbytes(5000),
        "truncated": good[:5000],
        "garbled": good[:4096] + b"\xff" * (len(good) - 4096),
        "tampered": tampered(good, os.path.join(d.dir, "tampered")),
    }[damage]
    for n in (1, 2):
        with open(path, "wb") as f:
            f.write(bad)
        after = d.mark()
        d.start()
        d.wait_log(re.escape(path) + " was damaged: it was moved aside", after)
        assert os.stat(path).st_mode & 0o777 == 0o600
        with open(f"{path}.damaged-{n}", "rb") as f:
            assert f.read() == bad
        assert serves(d)
        if daemon == "rsd":
            with d.registrant() as r:
                r.register(1000)
        else:
            d.wait_scanned(1)
            assert [r.number for r in d.index()[1]] == [7]
        d.stop()
    after = d.mark()
    d.start()
    assert d.count_log("damaged", after) == 0


@pytest.mark.parametrize("what, why", [("directory", "Is a directory"), ("link", "Too many levels of symbolic links")])
@pytest.mark.parametrize("daemon, name", DATABASES)
def test_what_is_no_file_in_the_place_of_a_database(world, daemon, name, what, why):
    """Nothing of ours was damaged: whoever put that there has to look at it."""
    d = make(world, daemon)
    os.makedirs(d.state_dir, exist_ok=True)
    path = os.path.join(d.state_dir, name)
    if what == "directory":
        os.mkdir(path)
    else:
        os.symlink(os.path.join(d.dir, "elsewhere"), path)
    assert re.search(rf"{re.escape(name)}: {why}", fails(d))
    assert not os.path.exists(os.path.join(d.dir, "elsewhere")) and not [n for n in os.listdir(d.state_dir) if "damaged" in n]


@pytest.mark.parametrize("daemon", DAEMONS)
def test_state_directory_that_cannot_be_used(world, daemon):
    d = make(world, daemon)
    with open(d.state_dir, "w", encoding="utf-8"):
        pass
    log = fails(d)
    assert d.state_dir in log and "Not a directory" in log
    assert any(n.startswith("ERRNO=") for n in d.notices)


def as_modes_say():
    """A command that starts a program which may do with files what their modes say, also if root runs it."""
    if os.geteuid() != 0:
        return []
    command = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
    r = subprocess.run(command + ["true"], capture_output=True, text=True, check=False)
    if r.returncode != 0:
        pytest.skip(f"this root can't give up rights: {r.stderr.strip()}")
    return command


@pytest.mark.parametrize("daemon", DAEMONS)
def test_state_directory_without_the_right_to_write(world, daemon):
    d = make(world, daemon)
    d.wrapper = as_modes_say()
    os.makedirs(d.state_dir, exist_ok=True)
    os.chmod(d.state_dir, 0o555)
    log = fails(d)
    os.chmod(d.state_dir, 0o755)
    assert d.state_dir in log and "Permission denied" in log


@pytest.mark.parametrize("what, mode", [("", 0), ("-wal", 0o400)])
@pytest.mark.parametrize("daemon, name", DATABASES)
def test_database_without_the_right_to_use_it(world, daemon, name, what, mode):
    """Its log matters as much. Nothing is damaged, so nothing is moved."""
    d = make(world, daemon)
    d.wrapper = as_modes_say()
    d.start().kill()            # so that the log stays
    path = os.path.join(d.state_dir, name)
    os.chmod(path + what, mode)
    assert f"{path}: Permission denied" in fails(d)
    assert not [n for n in os.listdir(d.state_dir) if "damaged" in n]
    os.chmod(path + what, 0o600)
    assert serves(d.start())


@pytest.mark.parametrize("daemon, name", DATABASES[:2])
def test_state_belongs_to_one_process(world, daemon, name):
    first, second = make(world, daemon).start(), make(world, daemon, "second")
    second.state_dir = first.state_dir
    log = fails(second)
    assert f"{os.path.join(first.state_dir, name)} is in use by another process" in log
    assert os.listdir(first.state_dir).count(name + ".damaged-1") == 0
    assert serves(first)


# ---- what is in the way ----

@pytest.mark.parametrize("daemon", DAEMONS)
def test_port_in_use(world, daemon):
    d = make_bound(world, daemon)
    s = listening(world)
    text = endpoint(*s.getsockname())
    d.write_config({"Server.ListenStream": text})
    assert f"Could not listen on {text}: Address already in use" in fails(d)
    assert f"ERRNO={errno.EADDRINUSE}" in d.notices


@pytest.mark.parametrize("daemon", DAEMONS)
def test_control_socket_of_a_dead_process_is_replaced(world, daemon):
    d = make(world, daemon).start()
    d.kill()
    assert os.path.exists(d.control)
    d.start()
    assert get_status(d)["listening"] == [d.text]


@pytest.mark.parametrize("daemon", DAEMONS)
def test_control_socket_of_a_living_process_is_not_replaced(world, daemon):
    first, second = make(world, daemon).start(), make(world, daemon, "second")
    second.runtime_dir = first.runtime_dir
    log = fails(second)
    assert f"Could not make the control socket in {first.runtime_dir}: Address already in use" in log
    assert get_status(first)["listening"] == [first.text]


@pytest.mark.parametrize("daemon", DAEMONS)
def test_control_socket_replaces_nothing_else(world, daemon):
    d = make(world, daemon)
    os.makedirs(d.runtime_dir)
    with open(d.control, "w", encoding="utf-8") as f:
        f.write("mine")
    assert "Could not make the control socket" in fails(d)
    with open(d.control, encoding="utf-8") as f:
        assert f.read() == "mine"


@pytest.mark.parametrize("daemon, limit, fit", [("rsd", 100, 36), ("peerd", 450, 33)])
def test_more_connections_than_descriptors(world, daemon, limit, fit):
    """Some descriptors are for other things; for how many connections the others do is said, and kept."""
    d = make(world, daemon, ini={"Server.MaxConnections": 1000})
    through_shell(d, f"ulimit -n {limit}")
    d.start()
    d.wait_log(rf"Server.MaxConnections=1000 needs more descriptors than LimitNOFILE= allows \({limit}\): going on with {fit}\.")
    with contextlib.ExitStack() as stack:
        wires = [stack.enter_context(d.connect()) for _ in range(fit)]
        for w in wires:
            assert w.ask("GET Nothing").status == 404
        with d.connect() as w:
            assert w.ask("GET Nothing").status == 503
            w.expect_closed()
