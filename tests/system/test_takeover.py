# SPDX-License-Identifier: BSD-2-Clause
"""What a daemon has given up by itself, with no unit around it: seen from inside of the running process."""

import os
import struct

import pytest

from p2pdi.addresses import Place
from p2pdi.base import until
from p2pdi.documents import document
from p2pdi.threads import threads
from takeover import MSG_FASTOPEN, Takeover, address

X32 = 0x40000000


@pytest.fixture(params=["rs", "peer"])
def daemon(request, world):
    return world.rs() if request.param == "rs" else world.peer("p", {7: document(7)})


def test_runs_no_other_program(daemon):
    with Takeover(daemon.pid) as inside:
        arguments = struct.pack("Q", 0)
        assert inside.attempt("execve", b"/bin/true", arguments, arguments) == "EPERM"
        fd = inside.call("memfd_create", b"x", 0)
        assert fd >= 0                          # nor one that is in no file
        assert inside.attempt("execveat", fd, b"", arguments, arguments, 0x1000) == "EPERM"
        inside.call("close", fd)
        # The numbers of x32 are no way around.
        assert inside.attempt(X32 + 520, b"/bin/true", arguments, arguments) == "EPERM"
        assert inside.attempt("uname", b"\0" * 400) == "ok"
    with daemon.connect() as w:
        assert w.ask("GET Nothing").status == 404


def test_every_thread_has_given_it_up(daemon):
    for tid in [daemon.pid, *threads(daemon).values()]:
        with open(f"/proc/{daemon.pid}/task/{tid}/status", encoding="ascii") as f:
            status = dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)
        assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2"), status["Name"]


def tries(inside, fd, to):
    """Each way to connect that socket."""
    where = address(*to)
    message = struct.pack("QIxxxxQQQQI", 0, 0, 0, 0, 0, 0, 0)
    return {
        "connect": inside.attempt("connect", fd, where, len(where)),
        "sendto": inside.attempt("sendto", fd, b"x", 1, MSG_FASTOPEN, where, len(where)),
        "sendmsg": inside.attempt("sendmsg", fd, message, MSG_FASTOPEN),
        "sendmmsg": inside.attempt("sendmmsg", fd, message + b"\0" * 8, 1, MSG_FASTOPEN),
        "io_uring": inside.attempt("io_uring_setup", 1, b"\0" * 120),
    }


def listeners(daemon):
    """Its descriptors that listen in the network."""
    with open(f"/proc/{daemon.pid}/net/tcp", encoding="ascii") as f:
        listening = {line.split()[9] for line in f.readlines()[1:] if line.split()[3] == "0A"}
    fds = f"/proc/{daemon.pid}/fd"
    return [int(fd) for fd in os.listdir(fds) if os.readlink(f"{fds}/{fd}").strip("socket:[]") in listening]


def test_registration_server_opens_no_connection(world):
    """Neither with a new socket nor with the one it was given, which is of the host's network."""
    rs = world.rs()
    victim = world.keep(Place())
    with victim.listen() as s, Takeover(rs.pid) as inside:
        s.setblocking(False)
        fresh = inside.call("socket", 2, 1, 0)
        assert fresh >= 0                       # the unit refuses this one
        given, = listeners(rs)
        assert inside.attempt("shutdown", given, 2) == "ok"
        for fd in (fresh, given):
            assert set(tries(inside, fd, (victim.address, victim.port)).values()) == {"EPERM"}
        with pytest.raises(BlockingIOError):
            s.accept()
        inside.call("close", fresh)


def test_peer_opens_connections(world):
    """It has to: and so the test above is one that could fail."""
    p = world.peer("p", {7: document(7)})
    victim = world.keep(Place())
    with victim.listen() as s:
        with Takeover(p.pid) as inside:
            fd = inside.call("socket", 2 | 0, 1, 0)
            assert inside.attempt("connect", fd, address(victim.address, victim.port), 16) == "ok"
        connection, _ = s.accept()
        connection.close()
    with p.connect() as w:
        assert w.ask("GET RFC 7").status == 200
    until(lambda: p.ctl("status").code == 0, "its answer")
