# SPDX-License-Identifier: BSD-2-Clause
"""Sockets of the service manager against what the INI says."""

import os
import re
import shutil
import socket
import subprocess

import pytest

from p2pdi import Varlink, ctl, endpoint, program

MEND = {"rsd": "systemctl daemon-reload && systemctl restart p2pdi-rsd.socket",
        "peerd": "systemctl daemon-reload && systemctl restart p2pdi-peerd.socket"}


def make(world, daemon, ini=None):
    """Not started; its socket is inherited."""
    d = world.rs(ini=ini, start=False) if daemon == "rsd" else world.peer("a", ini=ini, place=world.place(), start=False)
    return d


def status(daemon):
    interface = "Registration" if daemon.program == "p2pdi-rsd" else "Peer"
    with Varlink(daemon.control) as v:
        return v.call(f"org.p2pdi.{interface}.GetStatus")["parameters"]


def drift(daemon):
    return ctl("metrics", control=daemon.control).text.count("p2pdi_peer_config_drift 1\n")


def sentences(daemon, said):
    name = daemon.program
    return [f'Server.ListenStream= says {said}, but {name} does not listen there: it will with "{MEND[name[6:]]}".',
            f'{name} listens on {daemon.text}, which Server.ListenStream= does not say: it stops with "{MEND[name[6:]]}".']


# ---- drift ----

@pytest.mark.parametrize("daemon", ["rsd", "peerd"])
def test_drift_is_told_at_start_and_at_reloads(world, daemon):
    d = make(world, daemon, {"Server.ListenStream": "127.0.0.1:1"})
    d.start()
    wanted = sentences(d, "127.0.0.1:1")
    assert status(d)["warnings"] == wanted
    assert [d.count_log(re.escape(s)) for s in wanted] == [1, 1]
    d.wait_status(r"^Listening on .* Warning: " + re.escape(wanted[0]))
    r = d.ctl("status", rs=daemon == "rsd")
    assert re.search(r"^ *Warnings: " + re.escape(wanted[0]) + r"\n *" + re.escape(wanted[1]) + "\n", r.text, re.M), r
    if daemon == "peerd":
        assert drift(d) == 1

    # The INI goes back to what there is.
    after = d.mark()
    d.write_config({"Server.ListenStream": d.text})
    d.reload()
    assert status(d)["warnings"] == [] and d.count_log("ListenStream", after) == 0
    assert "Warning" not in d.statuses()[-1] and drift(d) == 0

    d.write_config({"Server.ListenStream": ["127.0.0.1:2", d.text]})
    d.reload()
    assert status(d)["warnings"] == sentences(d, "127.0.0.1:2")[:1]
    assert d.count_log(re.escape(sentences(d, "127.0.0.1:2")[0]), after) == 1


@pytest.mark.parametrize("daemon", ["rsd", "peerd"])
def test_no_drift(world, daemon):
    """The same; and none in the file: whatever the socket unit has, it may be an administrator's."""
    d = make(world, daemon)
    for said in (d.text, None):
        d.write_config({"Server.ListenStream": said})
        d.start()
        assert status(d)["warnings"] == [] and d.count_log("ListenStream=") == 0
        d.stop()


def test_auto_waits_for_the_socket_unit_to_end(world):
    a = make(world, "peerd", {"Server.ListenStream": "auto"})
    a.start()
    assert status(a)["warnings"] == sentences(a, "auto")


def test_drift_of_what_the_peer_bound_itself(world):
    a = world.peer("a")
    assert status(a)["warnings"] == []
    a.write_config({"Server.ListenStream": "127.0.0.1:1"})
    a.reload()
    assert status(a)["warnings"] == sentences(a, "127.0.0.1:1")


def in_own_run(ini, name, *arguments):
    """The daemon with an inherited socket and INI files in the usual trees: what it logs until it is ready."""
    if not shutil.which("unshare"):
        pytest.skip("there is no unshare")
    script = '''mount -t tmpfs none /run && mkdir -p /run/p2pdi && printf '%s' "$1" >"/run/p2pdi/$2" || exit 99
        export LISTEN_PID=$$; shift 2; exec "$@" 3<&0 0</dev/null'''
    with socket.create_server(("127.0.0.1", 0)) as s:
        environment = dict(os.environ, LISTEN_FDS="1", LISTEN_FDNAMES="rs" if name == "rs.ini" else "rfc")
        p = subprocess.Popen(["unshare", "--mount", "--map-root-user", "sh", "-c", script, "sh", ini, name, *arguments],
                             stdin=s, stderr=subprocess.PIPE, text=True, env=environment)
    lines = []
    with p:
        for line in p.stderr:
            lines.append(line.strip())
            # The last of the start: the wording of the comparison.
            if "ListenStream" in line or "Could not" in line:
                p.terminate()
                break
    if p.returncode == 99 or lines and lines[0].startswith("unshare:"):
        pytest.skip(f"namespaces can't be had here: {lines}")
    return lines


@pytest.mark.parametrize("instance", [None, "b"])
@pytest.mark.parametrize("said, why", [
    ("auto 65430", "a socket unit can't have \"auto\" beside other addresses"),
    ("65430 127.0.0.1:65430", "127.0.0.1:65430 is a part of 65430 already")])
def test_what_the_generator_refused_is_told_again(tmp_path, instance, said, why):
    name = f"@{instance}" if instance else ""
    lines = in_own_run(f"[Server]\nListenStream={said}\n", f"peer{name}.ini", program("p2pdi-peerd"),
                       *([f"--instance={instance}"] if instance else []), f"--state-dir={tmp_path}/s", f"--runtime-dir={tmp_path}/r")
    assert lines[-1].endswith(f"Server.ListenStream=: {why}, so p2pdi-peerd{name}.socket stays as shipped."), lines


def test_refused_addresses_of_the_registration_server(tmp_path):
    lines = in_own_run("[Server]\nListenStream=7 127.0.0.1:7\n", "rs.ini", program("p2pdi-rsd"), f"--state-dir={tmp_path}/s",
                       f"--runtime-dir={tmp_path}/r")
    assert lines[-1].endswith("127.0.0.1:7 is a part of 7 already, so p2pdi-rsd.socket stays as shipped."), lines


@pytest.mark.parametrize("daemon", ["rsd", "peerd"])
def test_port_in_use_is_told_in_the_status(world, daemon):
    taken = world.keep(socket.create_server(("127.0.0.1", 0)))
    where = endpoint(*taken.getsockname())
    d = make(world, daemon, {"Server.ListenStream": where})
    d.place = None
    d.expect_status = 1
    d.start(wait=False)
    assert d.wait_end() == 1
    assert d.statuses()[-1] == f"Could not listen on {where}: Address already in use."
    assert d.count_log(re.escape(f"Could not listen on {where}: Address already in use")) == 1
