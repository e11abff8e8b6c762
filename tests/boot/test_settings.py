# SPDX-License-Identifier: BSD-2-Clause
"""Settings: reload, and what happens with those that are wrong. One clear sentence each, where an administrator looks."""

import os

import pytest

from box import DAEMONS, RS_PORT, wait

INI = {"p2pdi-rsd": "/etc/p2pdi/rs.ini", "p2pdi-peerd": "/etc/p2pdi/peer.ini"}
WHOM = {"p2pdi-rsd": ["--rs"], "p2pdi-peerd": []}


def log_level(host, daemon):
    return host.ctl(*WHOM[daemon], "log-level").out.strip()


@pytest.mark.parametrize("daemon", DAEMONS)
def test_reload_is_synchronous(host, daemon):
    host.start(daemon)
    pid = host.show(daemon, "MainPID")
    for level in ("debug", "warning", "notice", "debug"):
        host.write(INI[daemon], f"[Log]\nLevel={level}\n")
        host.systemctl("reload", daemon)
        assert log_level(host, daemon) == level
    assert (host.state(daemon), host.show(daemon, "MainPID")) == ("active", pid)


def test_reload_reaches_the_wire(host):
    host.start("p2pdi-rsd")
    with host.registrant() as r:
        for ttl in (7200, 600, 1200):
            host.write(INI["p2pdi-rsd"], f"[Registration]\nTTLSec={ttl}\n")
            host.systemctl("reload", "p2pdi-rsd")
            assert r.register(1000)["TTL"] == str(ttl)


@pytest.mark.parametrize("daemon", DAEMONS)
def test_reload_with_a_wrong_value_changes_nothing(host, daemon):
    host.write(INI[daemon], "[Log]\nLevel=notice\n")
    host.start(daemon)
    before = host.show(daemon, "MainPID"), host.show(daemon, "StatusText")
    host.write(INI[daemon], "[Log]\nLevel=debug\n[Server]\nMaxConnections=many\n")
    host.systemctl("reload", daemon, code=1)
    words = f'{INI[daemon]}:4: Server.MaxConnections=: "many" is not a whole number.'
    entry = host.wait_message(words, "-u", daemon)
    assert (entry["PRIORITY"], entry["P2PDI_CONFIG_FILE"], entry["P2PDI_CONFIG_LINE"]) == ("3", INI[daemon], "4")
    assert entry["MESSAGE_ID"] == "d9ac40223dc84beba8197d58844204d4"
    assert log_level(host, daemon) == "notice"
    assert (host.show(daemon, "MainPID"), host.show(daemon, "StatusText")) == before
    assert host.state(daemon) == "active"
    # A signal by hand can tell nobody, and does no harm either.
    host.systemctl("kill", "--signal=HUP", daemon)
    host.wait_message(words, f"_PID={before[0]}")
    host.wait_message("old one stays", f"_PID={before[0]}")
    host.wait_state(daemon)
    assert log_level(host, daemon) == "notice"


@pytest.mark.parametrize("daemon", DAEMONS)
def test_unknown_key_is_a_warning(host, daemon):
    host.write(INI[daemon], "[Server]\nLisenStream=1\n[X-Mine]\nNote=1\n[Sever]\n")
    host.start(daemon)
    warnings = [e for e in host.journal("-u", daemon, "-p", "warning") if "P2PDI_CONFIG_LINE" in e]
    assert [(e["MESSAGE"], e["PRIORITY"]) for e in warnings] == [
        (f"{INI[daemon]}:2: Unknown key LisenStream= in section [Server], ignored.", "4"),
        (f"{INI[daemon]}:5: Unknown section [Sever], ignored.", "4")]


@pytest.mark.parametrize("daemon", DAEMONS)
def test_wrong_value_refuses_the_start(host, daemon):
    host.write(INI[daemon] + ".d/10-mine.ini", "# mine\n[Limits]\nBurst=-1\n")
    host.systemctl("start", daemon, code=1)
    words = host.show(daemon, "StatusText")
    assert words.startswith(f'{INI[daemon]}.d/10-mine.ini:3: Limits.Burst=: "-1" ')
    assert words in host.messages("-u", daemon)
    assert words in host.status(daemon)
    assert host.show(daemon, "ExecMainStatus") == "78"
    assert host.show(daemon, "NRestarts") == "0"
    # Mended, one command is enough.
    os.remove(host.path(INI[daemon] + ".d/10-mine.ini"))
    host.start(daemon)
    host.wait_state(daemon)


def test_port_in_use(host):
    """systemd tells which port; the daemon that gets no socket for it does not pretend to serve."""
    script = "import socket, signal; s = socket.create_server(('::', 65423), family=socket.AF_INET6, " \
             "dualstack_ipv6=True); signal.pause()"
    host.run("systemd-run", "--unit=squatter", "/usr/bin/python3", "-c", script)
    wait("squatter", lambda: not host.refuses(RS_PORT))
    host.systemctl("start", "p2pdi-rsd", code=1)
    host.wait_message(r"Failed to create listening socket \(\[::\]:65423\): Address already in use", "-u", "p2pdi-rsd.socket")
    host.wait_state("p2pdi-rsd", "failed")      # it was tried again, a few times
    words = 'The service manager passed no socket named "rs": run "systemctl daemon-reload && systemctl restart p2pdi-rsd.socket".'
    assert words in host.status("p2pdi-rsd")
    assert words in host.messages("-u", "p2pdi-rsd")
    # And the command that it names is right.
    host.systemctl("stop", "squatter")
    host.sh("systemctl reset-failed; systemctl restart p2pdi-rsd.socket; systemctl start p2pdi-rsd")
    with host.wire(RS_PORT) as w:
        assert w.ask("GET Nothing").status == 404


@pytest.mark.parametrize("daemon, directory", [("p2pdi-rsd", "/var/lib/private/p2pdi-rsd"), ("p2pdi-peerd", "/var/lib/p2pdi")])
def test_state_that_is_read_only(host, daemon, directory):
    host.start(daemon)
    host.systemctl("stop", daemon)
    host.drop_in(f"{daemon}.service", f"[Service]\nReadOnlyPaths={directory}\nRestart=no\n")
    host.systemctl("start", daemon, code=1)
    words = host.show(daemon, "StatusText")
    assert directory.rpartition("/")[2] in words and "Read-only file system" in words, host.status(daemon)
    assert host.wait_message("Read-only file system", "-u", daemon, "-p", "err")
    assert host.show(daemon, "ExecMainStatus") == "1"


def test_full_disk(hosts):
    """Documents that find no room: exit 9 and words; what is there is served, and what is removed makes room."""
    host = hosts.new("full", "--size=64M")
    host.configure_peer("[Registration]\nServer=localhost\n")
    host.configure_peer("[Server]\nListenStream=auto\n[Registration]\nServer=localhost\n[Store]\nPath=/srv/rfc\n", "bob")
    host.sh("mkdir -p /srv/rfc; mount -t tmpfs -o mode=1777 tmpfs /srv/rfc")
    host.drop_in("p2pdi-peerd@bob.service", "[Service]\nReadWritePaths=/srv/rfc\n")
    host.write("/srv/rfc/rfc1.txt", b"x" * 8000 + b"\n")
    host.write("/srv/rfc/rfc2.txt", b"y" * 3000000 + b"\n")
    for name in ("rfc1.txt", "rfc2.txt"):
        os.chmod(host.path(f"/srv/rfc/{name}"), 0o644)
    host.start("p2pdi-rsd", "p2pdi-peerd", "p2pdi-peerd@bob")
    host.wait_registered()
    host.wait_registered("--instance=bob")
    host.wait_held(2, "--instance=bob")
    host.sh("fallocate -l $(( $(df --output=avail -B1 / | tail -n 1) - 500000 )) /var/filler || "
            "dd if=/dev/zero of=/var/filler bs=1M || true")
    r = host.ctl("get", "2", code=9)
    assert (r.err, r.out) == ("RFC 2 does not fit: there is no space left.\n", "")
    assert os.listdir(host.path("/var/lib/p2pdi/rfc")) == []
    assert host.state("p2pdi-peerd") == "active"
    host.sh("rm /var/filler")
    host.ctl("get", "1", "2")
    host.wait_held(2)
