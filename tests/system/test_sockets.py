# SPDX-License-Identifier: BSD-2-Clause
"""Sockets of the service manager against what the INI says, and those that it keeps for ListenStream=auto."""

import json
import os
import re
import shutil
import socket
import subprocess

import pytest

from p2pdi.addresses import endpoint
from p2pdi.base import program
from p2pdi.tool import ctl, with_mounts
from p2pdi.varlink import Varlink
from p2pdi.wire import Wire

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


@pytest.mark.parametrize("daemon", ["rsd", "peerd"])
def test_changed_ini_is_told_before_the_daemon_reads_it(world, daemon):
    d = make(world, daemon)
    d.start()
    rs = daemon == "rsd"
    script = f"""mount -t tmpfs none /run && mkdir -p /run/p2pdi && cd /run/p2pdi && ln -s '{d.control}' . || exit 99
        status() {{ "$1" {"--rs" if rs else ""} status; echo --; }}
        status "$1"
        printf '[Server]\\nListenStream={d.text}\\n' >{"rs" if rs else "peer"}.ini; status "$1"
        printf '[Server]\\nListenStream=127.0.0.1:1\\n[Log]\\nLevel=loud\\n' >{"rs" if rs else "peer"}.ini; status "$1"
        "$1" {"--rs" if rs else ""} --json=short status; echo --
        printf '[Server]\\nListenStream=x\\n' >{"rs" if rs else "peer"}.ini; status "$1"
        """
    r = with_mounts(script)
    nothing, same, other, as_json, wrong, _ = r.stdout.split("--\n")
    assert r.stderr == "" and "Running" in nothing and not any("Warning" in s for s in (nothing, same, wrong)), r
    assert json.loads(as_json)["warnings"] == sentences(d, "127.0.0.1:1")
    assert all(s in other for s in sentences(d, "127.0.0.1:1"))


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
    assert d.statuses()[-1] == f"Could not listen on {where}: Address already in use"
    assert d.count_log(re.escape(f"Could not listen on {where}: Address already in use")) == 1


# ---- kept by the service manager ----

def own(world, start=True, **options):
    """A peer with a service manager that keeps sockets."""
    a = world.peer("a", start=False, **options)
    a.given = []
    return a.start() if start else a


def kept(peer):
    return [s.getsockname()[:2] for s in peer.given]


def asked(peer):
    """What it said to the service manager's store, one word for each."""
    words = {"FDSTORE=1": "store", "FDSTOREREMOVE=1": "forget"}
    return [words[n] for n in peer.notices if n in words]


def test_own_socket_is_kept(world):
    a = own(world)
    port = a.port
    assert kept(a) == [("127.0.0.1", port)] and asked(a) == ["store"]
    assert a.notices[a.notices.index("FDSTORE=1") + 1] == "FDNAME=rfc-own"

    # A crash; who comes in the meantime waits in the backlog.
    a.kill()
    waiting = Wire(("127.0.0.1", port))
    a.more_sockets = [("rfc-own", a.given[0])]
    a.start()
    assert a.port == port and status(a)["inherited"] is False and status(a)["warnings"] == []
    # The service manager has it still.
    assert len(a.given) == 1 and asked(a) == []
    assert waiting.ask("GET RFCQuery").status == 404
    waiting.close()


@pytest.mark.parametrize("listen, place, stored", [
    ("127.0.0.1:auto", True, 0),        # another one is inherited
    (None, True, 0),
    ("auto", False, 1),                 # at another address
])
def test_socket_that_is_of_no_use_any_more_is_given_back(world, listen, place, stored):
    a = own(world)
    before = a.port
    a.stop()
    old = a.given.pop()
    a.more_sockets = [("rfc-own", old)]
    if place:
        a.place = world.place()
    a.write_config({"Server.ListenStream": listen or a.text})
    a.start()
    old.close()
    assert asked(a) == ["forget"] + ["store"] * stored and len(a.given) == stored
    assert a.notices[a.notices.index("FDSTOREREMOVE=1") + 1] == "FDNAME=rfc-own"
    assert a.port != before and status(a)["inherited"] is place
    with pytest.raises(ConnectionRefusedError):
        Wire(("127.0.0.1", before))


def test_fixed_port_is_not_kept(world):
    with socket.create_server(("127.0.0.1", 0)) as s:
        where = s.getsockname()
    a = own(world, ini={"Server.ListenStream": endpoint(*where)}, start=False)
    old = world.keep(socket.create_server(("127.0.0.1", 0)))
    a.start()
    assert asked(a) == [] and a.given == []
    a.stop()
    a.more_sockets = [("rfc-own", old)]
    a.start()
    assert asked(a) == ["forget"] and a.given == [] and a.text == endpoint(*where)


def test_only_what_is_of_use_is_kept_of_several(world):
    a = own(world, ini={"Server.ListenStream": ["127.0.0.1:auto", "[::1]:auto"]}, start=False)
    try:
        world.keep(socket.create_server(("::1", 0), family=socket.AF_INET6))
    except OSError:
        pytest.skip("there is no IPv6 here")
    more = [world.keep(socket.create_server(("127.0.0.1", 0))) for _ in range(2)]
    a.more_sockets = [("rfc-own", s) for s in more]
    a.start()
    assert asked(a) == ["forget", "store", "store"]
    assert kept(a)[0] == more[0].getsockname() and kept(a)[1][0] == "::1"


def test_what_does_not_listen_is_not_taken_back(world):
    s = world.keep(socket.socket())
    s.bind(("127.0.0.1", 0))
    a = own(world, start=False)
    a.more_sockets = [("rfc-own", s)]
    a.start()
    assert asked(a) == ["forget", "store"] and a.endpoint != s.getsockname()


def test_inherited_sockets_are_not_kept(world):
    """A socket unit that is restarted would find its own port in use."""
    a = own(world, place=world.place())
    assert a.given == [] and asked(a) == []
    rs = world.rs()
    assert asked(rs) == []
