# SPDX-License-Identifier: BSD-2-Clause
"""One place for settings: ports and access lists of the INI files reach the socket units, and nothing in a file stops a boot."""

import re

import pytest

from box import DAEMONS, PORTS, RFC_PORT, RS_PORT, wait
from p2pdi.documents import document

INI = {"p2pdi-rsd": "/etc/p2pdi/rs.ini", "p2pdi-peerd": "/etc/p2pdi/peer.ini"}
WHOM = {"p2pdi-rsd": ["--rs"], "p2pdi-peerd": []}
NEW = 65430
MEND = "systemctl daemon-reload && systemctl restart {}.socket"


def answers(host, port):
    with host.wire(port) as w:
        return w.ask("GET Nothing").status == 404


@pytest.mark.parametrize("daemon", DAEMONS)
def test_new_port_by_one_command(host, daemon):
    host.write(INI[daemon], "[Server]\n")
    host.systemctl("daemon-reload")
    host.start(daemon)
    assert answers(host, PORTS[daemon])
    assert host.show(f"{daemon}.socket", "NeedDaemonReload") == "no"
    host.write(INI[daemon], f"[Server]\nListenStream={NEW}\n")
    assert host.show(f"{daemon}.socket", "NeedDaemonReload") == "yes"
    host.sh(MEND.format(daemon))
    host.wait_state(daemon)
    assert answers(host, NEW) and host.refuses(PORTS[daemon])
    assert "Warnings:" not in host.ctl(*WHOM[daemon], "status").out
    # And back, as a drop-in of the INI.
    host.write(INI[daemon] + ".d/90-mine.ini", f"[Server]\nListenStream=\nListenStream=127.0.0.1:{PORTS[daemon]}\n")
    host.sh(MEND.format(daemon))
    host.wait_state(daemon)
    assert answers(host, PORTS[daemon]) and host.refuses(NEW)


@pytest.mark.parametrize("daemon", DAEMONS)
def test_difference_is_told_with_what_mends_it(host, daemon):
    host.start(daemon)
    host.write(INI[daemon], f"[Server]\nListenStream={NEW}\n")
    host.systemctl("restart", daemon)
    words = MEND.format(daemon)
    warning = host.wait_message("", "MESSAGE_ID=a5ef0c6d702745e39ffd6919b657fd26", "-u", daemon)
    assert words in warning["MESSAGE"] and warning["PRIORITY"] == "4"
    assert re.search(rf"Warnings: .*\b{NEW}\b.*\b{PORTS[daemon]}\b.*{re.escape(words)}",
                     " ".join(host.ctl(*WHOM[daemon], "status").out.split()))
    assert answers(host, PORTS[daemon])
    host.sh(words)
    host.wait_state(daemon)
    assert answers(host, NEW)
    assert "Warnings:" not in host.ctl(*WHOM[daemon], "status").out


def test_reload_of_the_manager_alone_takes_the_socket(host):
    """Whoever does it, as apt does: the next start finds no socket, and says so with the command."""
    host.start("p2pdi-rsd")
    host.write(INI["p2pdi-rsd"], f"[Server]\nListenStream={NEW}\n")
    host.systemctl("daemon-reload")
    assert answers(host, RS_PORT)
    host.systemctl("restart", "p2pdi-rsd", code=None)
    host.wait_state("p2pdi-rsd", "failed")
    assert MEND.format("p2pdi-rsd") in host.show("p2pdi-rsd", "StatusText")
    host.systemctl("reset-failed")
    host.sh(MEND.format("p2pdi-rsd"))
    host.start("p2pdi-rsd")
    assert answers(host, NEW)


@pytest.mark.parametrize("daemon", DAEMONS)
def test_access_is_the_kernels_business(host, daemon):
    host.start(daemon)
    host.write(INI[daemon], "[Access]\nAllow=192.0.2.0/24\n")
    host.systemctl("daemon-reload")
    host.systemctl("reload", daemon)            # systemd 257 puts the filter in force no sooner
    with pytest.raises(OSError):
        host.wire(PORTS[daemon], timeout=1)
    host.write(INI[daemon], "[Access]\nAllow=192.0.2.0/24\nAllow=localhost\n")
    host.systemctl("daemon-reload")
    host.systemctl("reload", daemon)
    assert answers(host, PORTS[daemon])


def test_instances_with_ports_of_their_own(host):
    content = document(9110, 9000)
    host.configure_peer("[Server]\nListenStream=65431\n[Registration]\nServer=localhost\n", "a")
    host.configure_peer("[Server]\nListenStream=65432\n[Registration]\nServer=localhost\n", "b-2")
    host.systemctl("daemon-reload")
    host.start("p2pdi-rsd")
    # The sockets alone are enough.
    host.start("p2pdi-peerd@a.socket", "p2pdi-peerd-control@a.socket", "p2pdi-peerd@b-2")
    assert host.systemctl("is-active", "p2pdi-peerd@b-2.socket").out == "active\n"
    assert answers(host, 65431) and answers(host, 65432)
    host.wait_registered("--instance=a")
    host.wait_registered("--instance=b-2")
    host.put(9110, content, "/var/lib/p2pdi@b-2/rfc")
    host.wait_held(1, "--instance=b-2")
    host.ctl("--instance=a", "refresh")     # it may have pulled b-2's index before
    host.ctl("--instance=a", "get", "9110")
    assert host.read("/var/lib/p2pdi@a/rfc/rfc9110.txt", "rb") == content


def port_of(host, unit):
    return int(wait("port", lambda: re.search(r"Listening on \S+:(\d+),", host.show(unit, "StatusText"))).group(1))


def test_auto_keeps_its_port(host):
    """The peer binds it itself; systemd keeps it over restart and crash, a full stop gives it back."""
    host.configure_peer("[Server]\nListenStream=auto\n")
    host.systemctl("daemon-reload")
    host.start("p2pdi-peerd")
    assert host.state("p2pdi-peerd.socket") == "inactive"
    port = port_of(host, "p2pdi-peerd")
    assert port != RFC_PORT and answers(host, port)
    host.systemctl("restart", "p2pdi-peerd")
    assert port_of(host, "p2pdi-peerd") == port and answers(host, port)
    host.systemctl("kill", "--signal=KILL", "p2pdi-peerd")
    wait("another process", lambda: host.show("p2pdi-peerd", "NRestarts") == "1")
    host.wait_state("p2pdi-peerd")
    assert port_of(host, "p2pdi-peerd") == port and answers(host, port)
    # To a port of its own and back, by the one command.
    host.configure_peer(f"[Server]\nListenStream={NEW}\n")
    host.sh(MEND.format("p2pdi-peerd"))
    host.wait_state("p2pdi-peerd")
    host.wait_state("p2pdi-peerd.socket")
    assert answers(host, NEW) and host.refuses(port)


BAD = {"empty": ": >{}", "binary": "head -c 100000 /dev/urandom >{}", "endless": "truncate -s 8G {}", "device": "ln -s /dev/zero {}",
       "fifo": "mkfifo {}", "directory": "mkdir {}", "loop": "ln -s {} {}", "wrong": "printf '[Server]\\nListenStream=abc\\n' >{}",
       "no colon": "printf '[Server]\\nListenStream=1.2.3.4.5:1\\nListenStream=65430\\n' >{}"}


@pytest.mark.parametrize("how", BAD)
def test_bad_file_leaves_the_shipped_ports(host, how):
    for path in INI.values():
        host.sh("rm -rf {0} {0}.d; ".format(path) + BAD[how].replace("{}", path))
    host.systemctl("daemon-reload")
    for daemon in DAEMONS:
        host.start(f"{daemon}.socket")
        assert f":{PORTS[daemon]} " in host.show(f"{daemon}.socket", "Listen") + " "
        assert host.sh(f"systemd-analyze verify --man=no {daemon}.socket 2>&1").out == ""


def test_bad_files_do_not_stop_a_boot(hosts):
    host = hosts.new("bad")
    host.sh("rm -rf /etc/p2pdi/*.ini; mkfifo /etc/p2pdi/peer.ini; ln -s /dev/zero /etc/p2pdi/rs.ini; truncate -s 8G /etc/p2pdi/peer@a.ini")
    host.systemctl("enable", "p2pdi-rsd.socket", "p2pdi-peerd.socket")
    host.reboot()
    for daemon in DAEMONS:
        host.wait_state(f"{daemon}.socket")
        assert not host.refuses(PORTS[daemon])
