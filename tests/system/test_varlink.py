# SPDX-License-Identifier: BSD-2-Clause
"""The Varlink engine: against an implementation that is not ours, and against callers that behave badly."""

import array
import contextlib
import os
import random
import shutil
import socket
import subprocess
import time

import pytest

from p2pdi.base import PATIENCE, SANITIZER, program, until
from p2pdi.documents import document, sha256
from p2pdi.varlink import Varlink
from p2pdi.wire import Closed

CERTIFICATION = "org.varlink.certification"
STEPS = ["Start", *[f"Test{n:02}" for n in range(1, 12)], "End"]


# ---- certification ----

@pytest.fixture
def go():
    path = shutil.which("varlink-go-certification")
    if not path:
        pytest.skip("there is no varlink-go-certification (Debian's varlink-go has it)")
    return path


@contextlib.contextmanager
def serving(world, command):
    """A server as process, given a listening socket as descriptor 3. Gives the socket's path; ends in its output."""
    path = os.path.join(world.dir, "certification")
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(path)
        s.listen()
        # Only the process itself knows its LISTEN_PID.
        shell = 'LISTEN_FDS=1 LISTEN_PID=$$ exec "$@" 3<&0 </dev/null'
        server = subprocess.Popen(["/bin/sh", "-c", shell, "sh", *command], text=True, stdin=s,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    output = []
    try:
        yield path, output
    finally:
        server.terminate()
        output.append(server.communicate(timeout=PATIENCE)[0])
    assert not SANITIZER.search(output[0]), output[0]


def run(command):
    r = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
    assert not SANITIZER.search(r.stderr), r.stderr
    return r


def ours():
    return program("tests/system/varlink-certification")


def all_ok(text, steps=STEPS):
    return text == "".join(f"{CERTIFICATION}.{step}: ok\n" for step in steps)


def test_our_server_and_an_independent_client(world, go):
    with serving(world, [ours(), "server", "3"]) as (path, output):
        r = run([go, "-client", "-varlink", f"unix:{path}"])
    # Its exit status is 0 whatever happens.
    assert "failed" not in r.stdout and r.stdout.endswith("Test11: ''\nEnd: 'true'\n"), r.stdout
    assert all_ok(output[0], STEPS[1:]), output


def test_our_client_and_an_independent_server(world, go):
    with serving(world, [go, "-varlink", f"unix:{world.dir}/unused"]) as (path, output):
        r = run([ours(), "client", path])
    assert r.returncode == 0 and all_ok(r.stdout), (r, output)


def test_our_client_and_our_server(world):
    with serving(world, [ours(), "server", "3"]) as (path, output):
        r = run([ours(), "client", path])
    assert r.returncode == 0 and all_ok(r.stdout), r
    assert all_ok(output[0], STEPS[1:]), output


def test_certification_notices_what_is_wrong(world):
    with serving(world, [ours(), "server", "3"]) as (path, output), Varlink(path) as v:
        client = v.call(f"{CERTIFICATION}.Start")["parameters"]["client_id"]
        right = {"client_id": client, "bool": True}
        assert v.call(f"{CERTIFICATION}.Test02", right)["parameters"] == {"int": 1}
        assert v.call(f"{CERTIFICATION}.Test02", {**right, "bool": False}) == {
            "error": f"{CERTIFICATION}.CertificationError", "parameters": {"wants": {"bool": True}, "got": {"bool": False}}}
        assert v.call(f"{CERTIFICATION}.Test02", {**right, "client_id": "x"})["error"] == f"{CERTIFICATION}.ClientIdError"
        assert v.call(f"{CERTIFICATION}.Test02", {**right, "bool": 1})["parameters"] == {"parameter": "bool"}
        assert v.call(f"{CERTIFICATION}.End", {"client_id": client})["parameters"] == {"all_ok": True}
        assert v.call(f"{CERTIFICATION}.Test02", right)["error"] == f"{CERTIFICATION}.ClientIdError"
    assert "Test02: not the expected call" in output[0]


# ---- callers that behave badly, at both daemons ----

STATUS = {"p2pdi-rsd": "org.p2pdi.Registration.GetStatus", "p2pdi-peerd": "org.p2pdi.Peer.GetStatus"}


@pytest.fixture(params=["rsd", "peerd"])
def daemon(world, request):
    return world.rs() if request.param == "rsd" else world.peer("a", {7: document(7)})


def status_call(daemon):
    return b'{"method":"%s"}\0' % STATUS[daemon.program].encode()


def is_well(daemon):
    with daemon.varlink() as v:
        return "listening" in v.call(STATUS[daemon.program])["parameters"]


def n_descriptors(daemon):
    return len(os.listdir(f"/proc/{daemon.pid}/fd"))


def wait_descriptors(daemon, n):
    """It has as many as before. Each look is a round trip through its loop: nothing that was to be done is left."""
    until(lambda: is_well(daemon) and n_descriptors(daemon) <= n, f"{n} descriptors, as before,")


def cpu_seconds(daemon):
    with open(f"/proc/{daemon.pid}/stat", encoding="ascii") as f:
        fields = f.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def is_idle(daemon):
    """While we use some CPU time, it uses hardly any: a loop that spins would have its share."""
    before, end = cpu_seconds(daemon), time.process_time() + 0.3
    while time.process_time() < end:
        pass
    return cpu_seconds(daemon) - before < 0.1


def connect(daemon):
    s = socket.socket(socket.AF_UNIX)
    s.connect(daemon.control)           # blocking: with a timeout a full backlog is an error
    s.settimeout(PATIENCE)
    return s


def read_all(s):
    data = b""
    while True:
        try:
            more = s.recv(1 << 16)
        except ConnectionResetError:
            return data, True
        if not more:
            return data, False
        data += more


def test_ten_thousand_hang_ups_cost_nothing_afterwards(daemon):
    assert is_well(daemon)
    before = n_descriptors(daemon)
    for i in range(10000):
        with connect(daemon) as s, contextlib.suppress(BrokenPipeError, ConnectionResetError):
            if i % 4 == 1:
                s.sendall(status_call(daemon))
            elif i % 4 == 2:
                s.sendall(status_call(daemon)[:-9])
            elif i % 4 == 3:
                s.shutdown(socket.SHUT_WR)
    wait_descriptors(daemon, before)
    assert is_idle(daemon)


def test_half_closed_caller_gets_its_answers_and_costs_nothing(daemon):
    before = n_descriptors(daemon)
    with connect(daemon) as s:
        s.sendall(status_call(daemon) * 3)
        s.shutdown(socket.SHUT_WR)
        data, _ = read_all(s)
        assert data.count(b"\0") == 3 and data.count(b'"listening"') == 3
    # One that has nothing to wait for, and one whose call stays open, are no reason to spin either.
    with connect(daemon) as s:
        s.sendall(status_call(daemon)[:-1])
        s.shutdown(socket.SHUT_WR)
        assert read_all(s)[0] == b""
        assert is_idle(daemon)
    wait_descriptors(daemon, before)


def test_byte_by_byte(daemon):
    with connect(daemon) as s:
        for byte in status_call(daemon):
            s.sendall(bytes([byte]))
        assert b'"listening"' in s.recv(1 << 16)


def test_sixteen_connections_of_one_user(daemon):
    before = n_descriptors(daemon)
    with contextlib.ExitStack() as stack:
        some = [stack.enter_context(daemon.varlink()) for _ in range(16)]
        for v in some:
            assert "parameters" in v.call(STATUS[daemon.program])
        with daemon.varlink() as v, pytest.raises((Closed, ConnectionError)):
            v.call(STATUS[daemon.program])
        for v in some:
            assert "parameters" in v.call(STATUS[daemon.program])
        some[0].close()

        def takes_another():
            with contextlib.suppress(Closed, ConnectionError):
                return is_well(daemon)

        until(takes_another, "room for one more")       # it has to notice
    wait_descriptors(daemon, before)


def test_descriptors_are_neither_taken_nor_kept(daemon):
    before = n_descriptors(daemon)
    for _ in range(50):
        reader, writer = os.pipe()
        with connect(daemon) as s:
            s.sendmsg([status_call(daemon)], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [writer] * 3))])
            os.close(writer)
            assert read_all(s)[0] == b""
            # Nobody has the other end any more.
            assert os.read(reader, 1) == b""
        os.close(reader)
    wait_descriptors(daemon, before)


def test_slow_reader_holds_up_nobody_and_little_memory(daemon):
    with connect(daemon) as s:
        s.settimeout(0)
        sent = refused = 0
        # It stops reading calls while their answers are not read: only the kernel's buffers fill. Each time that they
        # are full it gets time to read on, a round trip of somebody else.
        while refused < 5 and sent < 4 << 20:
            try:
                sent += s.send(status_call(daemon) * 100)
                refused = 0
            except BlockingIOError:
                refused += 1
                assert is_well(daemon)
        assert 0 < sent < 4 << 20
        assert is_idle(daemon)
    assert is_well(daemon)


BAD = [b"\0", b"x\0", b"[]\0", b"{}\0", b'{"method":7}\0', b'{"method":"%s","colour":1}\0', b'{"method":"%s","more":1}\0',
       b'{"method":"%s","more":true,"oneway":true}\0', b'{"method":"%s","parameters":[]}\0', b'{"method":"%s"}x\0',
       b'{"method":"%s\xff"}\0']


@pytest.mark.parametrize("message", BAD)
def test_what_is_no_call_ends_the_connection(daemon, message):
    method = STATUS[daemon.program].encode()
    with connect(daemon) as s:
        s.sendall(status_call(daemon) + (message % method if b"%s" in message else message) + status_call(daemon))
        data, _ = read_all(s)
    # What was asked before it is answered, what comes behind is not.
    assert data.count(b"\0") == 1 and b'"listening"' in data
    assert is_well(daemon)


def test_garbage_is_survived(daemon):
    """Calls with some of their bytes changed, from a seed: whatever comes back, the daemon is well and keeps nothing."""
    before = n_descriptors(daemon)
    generator = random.Random(7)
    calls = [status_call(daemon), b'{"method":"org.varlink.service.GetInterfaceDescription","parameters":{"interface":"a.b"}}\0',
             b'{"method":"org.p2pdi.Peer.List","more":true,"parameters":{"all":true,"ranges":["1-9",null]}}\0',
             b'{"method":"org.p2pdi.Peer.Describe","parameters":{"number":1e3}}\0']
    for _ in range(500):
        data = bytearray(b"".join(generator.choices(calls, k=3)))
        for _ in range(generator.randint(1, 4)):
            data[generator.randrange(len(data))] = generator.choice(b'\0{}[]":,\\ue0-9\xff\xc3\x1b')
        with connect(daemon) as s, contextlib.suppress(BrokenPipeError, ConnectionResetError):
            s.sendall(data)
            s.shutdown(socket.SHUT_WR)
            read_all(s)
    wait_descriptors(daemon, before)


def test_upgrade_is_not_implemented(daemon):
    with daemon.varlink() as v:
        v.send(STATUS[daemon.program], upgrade=True)
        assert v.reply() == {"error": "org.varlink.service.MethodNotImplemented",
                             "parameters": {"method": STATUS[daemon.program]}}
        assert "parameters" in v.call(STATUS[daemon.program])


def test_download_outlives_its_caller(world):
    rs = world.rs()
    content = document(7, 300000)
    world.peer("b", {7: content}, rs)
    a = world.peer("a", {}, rs)
    with connect(a) as s:
        s.sendall(b'{"method":"org.p2pdi.Peer.Get","parameters":{"numbers":[7]},"oneway":true}\0')
    a.wait_status(r", 1 document, ")
    assert sha256(a.content(7)) == sha256(content)
