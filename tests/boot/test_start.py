# SPDX-License-Identifier: BSD-2-Clause
"""Starting, stopping and restarting, as an administrator does it."""

import pytest

from box import CONTROLS, DAEMONS, PORTS, PRODUCTS, RFC_PORT, RS_PORT, Load, wait
from p2pdi.documents import document


def sockets(daemon):
    return [f"{daemon}.socket", f"{daemon}-control.socket"]


@pytest.fixture
def unlimited(host):
    """All clients of a test come from one source."""
    for name in ("rs", "peer"):
        host.write(f"/etc/p2pdi/{name}.ini", "[Limits]\nRatePerSource=0\n")
    return host


def ask(w, _=0):
    """Any exchange that both daemons answer."""
    return w.ask("GET Nothing").status


def test_the_first_five_commands(hosts):
    """Install, edit peer.ini, start the registration server, get, journalctl."""
    bob = hosts.new("bob", network="five")
    alice = hosts.new("alice", network="five")
    content = document(7230, 20000)
    bob.put(7230, content)
    for h in (alice, bob):
        h.configure_peer(f"[Registration]\nServer={alice.name}\n")
    alice.start("p2pdi-rsd")
    for h in (alice, bob):
        h.start("p2pdi-peerd")      # done at installation where packages are installed: then it changes nothing
        h.systemctl("restart", "p2pdi-peerd")
    bob.wait_registered()
    bob.wait_held(1)
    assert alice.ctl("get", "7230").out == "/var/lib/p2pdi/rfc/rfc7230.txt\n"
    assert alice.read("/var/lib/p2pdi/rfc/rfc7230.txt", "rb") == content
    log = alice.run("journalctl", "--no-pager", "-u", "p2pdi-peerd").out
    assert "RFC 7230 fetched from " in log and "Started p2pdi-peerd.service - P2P-DI Peer." in log


@pytest.mark.parametrize("daemon", DAEMONS)
def test_service_brings_its_sockets(host, daemon):
    host.start(daemon)
    assert host.systemctl("is-active", *sockets(daemon)).lines() == ["active", "active"]
    with host.wire(PORTS[daemon]) as w:
        assert ask(w) == 404
    with host.varlink(CONTROLS[daemon]) as v:
        assert v.call("org.varlink.service.GetInfo")["parameters"]["product"] == PRODUCTS[daemon]
    assert host.show(daemon, "StatusText")


@pytest.mark.parametrize("way", ["packet", "control"])
@pytest.mark.parametrize("daemon", DAEMONS)
def test_sockets_start_the_service(host, daemon, way):
    host.start(*sockets(daemon))
    assert host.state(daemon) == "inactive"
    if way == "packet":
        with host.wire(PORTS[daemon]) as w:
            assert ask(w) == 404
    else:
        with host.varlink(CONTROLS[daemon]) as v:
            assert v.call("org.varlink.service.GetInfo")["parameters"]["product"] == PRODUCTS[daemon]
    host.wait_state(daemon)


@pytest.mark.parametrize("enabled", [False, True], ids=["plain", "sockets-enabled"])
@pytest.mark.parametrize("daemon", DAEMONS)
def test_stop_stops(host, daemon, enabled):
    if enabled:
        host.systemctl("enable", "--now", *sockets(daemon))
    host.start(daemon)
    for _ in range(3):
        with Load(host, PORTS[daemon], ask):
            host.systemctl("stop", daemon)
            # The sockets follow by a job of their own.
            for unit in sockets(daemon):
                host.wait_state(unit, "inactive")
            host.wait_state(daemon, "inactive")
            assert host.refuses(PORTS[daemon])
            assert host.show(daemon, "Result") == "success"
        host.start(daemon)
        assert host.systemctl("is-active", daemon, *sockets(daemon)).lines() == ["active"] * 3


@pytest.mark.parametrize("daemon, other", [DAEMONS, DAEMONS[::-1]])
def test_stop_leaves_the_other_alone(host, daemon, other):
    host.start(daemon, other)
    for unit in (daemon, *sockets(daemon)):
        host.systemctl("stop", unit)
    for unit in sockets(daemon):
        host.wait_state(unit, "inactive")
    assert host.systemctl("is-active", other, *sockets(other)).lines() == ["active"] * 3
    with host.wire(PORTS[other]) as w, host.varlink(CONTROLS[other]) as v:
        assert ask(w) == 404
        assert v.call("org.varlink.service.GetInfo")["parameters"]["product"] == PRODUCTS[other]
    assert host.sh("ls /run/p2pdi").lines() == [CONTROLS[other].rpartition("/")[2]]
    assert host.sh("stat -c %U:%G:%a /run/p2pdi").out == "root:root:755\n"


@pytest.mark.parametrize("daemon", DAEMONS)
def test_restart_loses_no_connection(unlimited, daemon):
    host = unlimited
    host.start(daemon)
    with Load(host, PORTS[daemon], ask) as load:
        for _ in range(3):
            before = host.show(daemon, "MainPID")
            host.systemctl("restart", daemon)
            assert host.show(daemon, "MainPID") != before
            load.wait_more(20)
    assert (load.refused, load.lost) == ([], [])
    assert set(load.answers) == {404}


def test_both_start_at_boot(host):
    host.systemctl("enable", "p2pdi-rsd", "p2pdi-peerd")
    host.reboot()
    for daemon in DAEMONS:
        host.wait_state(daemon)
        assert host.systemctl("is-active", *sockets(daemon)).lines() == ["active", "active"]
    assert not host.refuses(RS_PORT) and not host.refuses(RFC_PORT)


def test_idle_host_has_no_failed_unit(host):
    host.start(*DAEMONS)
    host.systemctl("stop", *DAEMONS)
    for daemon in DAEMONS:
        for unit in sockets(daemon):
            host.wait_state(unit, "inactive")
    wait("a calm system", lambda: host.systemctl("is-system-running", code=None).out == "running\n")
