# SPDX-License-Identifier: BSD-2-Clause
"""The Debian package: what an installation starts, an upgrade keeps, a removal stops and a purge leaves."""

import os

import pytest

from box import DAEMONS, INSTALL_PACKAGES, PACKAGES, PORTS, RFC_PORT, Load, wait
from p2pdi.documents import document
from test_crash import Fetcher

pytestmark = pytest.mark.skipif(not PACKAGES, reason="P2PDI_DEB names no directory with the packages")

SOCKETS = [unit for daemon in DAEMONS for unit in (f"{daemon}.socket", f"{daemon}-control.socket")]
# What has the name in it and is there before, or is everybody's.
TRACES = r"""find / -xdev \( -path /proc -o -path /sys -o -path /mnt -o -path /var/log/journal \) -prune -o -iname '*p2pdi*' -print
find /run /var/lib/systemd /etc/systemd -iname '*p2pdi*'"""


def ask(w, _=0):
    return w.ask("GET Nothing").status


def traces(host):
    return sorted(set(host.sh(TRACES).lines()))


def test_installation_starts_the_peer_alone(hosts):
    host = hosts.new("new", install=False)
    host.sh("rm -rf /etc/p2pdi /var/lib/p2pdi*")
    before = traces(host)
    r = host.sh(INSTALL_PACKAGES)
    assert "warning" not in r.err.lower(), r
    assert host.systemctl("is-enabled", "p2pdi-peerd", "p2pdi-rsd", code=None).lines() == ["enabled", "disabled"]
    assert host.state("p2pdi-peerd") == "active" and host.state("p2pdi-rsd") == "inactive"
    assert host.ctl("status").out.startswith("● p2pdi-peerd")
    with host.wire(RFC_PORT) as w:
        assert ask(w) == 404
    assert host.sh("getent passwd p2pdi").out.startswith("p2pdi:")
    for page in ("man8/p2pdi-peerd.8", "man1/p2pdi-ctl.1", "man5/peer.ini.5"):
        assert host.sh(f"ls /usr/share/man/{page}.gz").out
    # Every file of the shipped settings is one of the administrator's from now on.
    assert host.sh("dpkg-query -W -f '${Conffiles}\\n' p2pdi | awk '{print $1}' | sort").lines() == \
        ["/etc/p2pdi/peer.ini", "/etc/p2pdi/rs.ini"]
    assert host.sh("dpkg -V p2pdi").out == ""

    host.start("p2pdi-rsd")
    host.configure_peer("[Server]\nListenStream=auto\n", "a")
    host.start("p2pdi-peerd@a")
    host.sh("dpkg -r p2pdi")
    for unit in [*DAEMONS, *SOCKETS, "p2pdi-peerd@a", "p2pdi-peerd-control@a.socket"]:
        assert host.state(unit) in ("inactive", "failed"), unit
    assert host.sh("pgrep p2pdi || true").out == ""
    assert all(host.refuses(port) for port in PORTS.values())
    assert os.path.exists(host.path("/etc/p2pdi/peer.ini")) and os.path.exists(host.path("/var/lib/p2pdi/state.db"))
    host.sh("dpkg -P p2pdi")
    assert set(traces(host)) - set(before) == set()
    assert host.systemctl("is-system-running", code=None).out == "running\n"
    # And as new once more.
    host.sh(INSTALL_PACKAGES)
    host.wait_state("p2pdi-peerd")


def test_upgrade_under_load(hosts):
    """Three daemons that are asked without a pause, and fetch: nothing is lost, and all of them are new ones."""
    host = hosts.new("old")
    documents = {n: document(n, 300000) for n in range(1, 61)}
    host.write("/etc/p2pdi/rs.ini.d/test.ini", "[Limits]\nRatePerSource=0\n")
    host.write("/etc/p2pdi/peer.ini.d/test.ini", "[Limits]\nRatePerSource=0\n[Registration]\nServer=localhost\n")
    host.configure_peer("[Server]\nListenStream=65430\n[Registration]\nServer=localhost\n[Limits]\nRatePerSource=0\n", "b")
    host.systemctl("daemon-reload")
    units = ["p2pdi-rsd", "p2pdi-peerd", "p2pdi-peerd@b"]
    host.systemctl("enable", "p2pdi-peerd")
    host.start(*units)
    for n, content in documents.items():
        host.put(n, content, "/var/lib/p2pdi@b/rfc")
    host.wait_held(60, "--instance=b")
    host.wait_registered()
    before = {unit: host.show(unit, "MainPID") for unit in units}
    sockets = {unit: host.show(unit, "ActiveEnterTimestampMonotonic") for unit in SOCKETS}
    fetcher = Fetcher(host, documents)
    loads = [Load(host, port, ask, clients=1) for port in (*PORTS.values(), 65430)]
    with loads[0], loads[1], loads[2]:
        fetcher.start()
        wait("progress", lambda: len(fetcher.got) >= 5)
        host.install()
        for load in loads:
            load.wait_more(10)
        fetcher.join(60)
    assert fetcher.got == list(documents), fetcher.failures[-3:]
    assert [(load.refused, load.lost, set(load.answers)) for load in loads] == [([], [], {404})] * 3
    for unit in units:
        assert host.state(unit) == "active" and host.show(unit, "MainPID") not in ("0", before[unit]), unit
    assert {unit: host.show(unit, "ActiveEnterTimestampMonotonic") for unit in SOCKETS} == sockets
    for n, content in documents.items():
        assert host.read(f"/var/lib/p2pdi/rfc/rfc{n}.txt", "rb") == content
    assert host.read("/etc/p2pdi/rs.ini.d/test.ini") == "[Limits]\nRatePerSource=0\n"
