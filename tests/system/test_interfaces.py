# SPDX-License-Identifier: BSD-2-Clause
"""The interface definitions against the daemons that answer them: what is declared is there, what is there is declared, and every
reply is of the declared type. A client is written from the definitions alone, so they must not lie."""

import os
import re

import pytest

from idl import Interface
from p2pdi.base import SOURCE
from p2pdi.documents import document, sha256
from p2pdi.varlink import sealed

SERVICE = "org.varlink.service"
UNKNOWN = "noSuchParameter"


@pytest.fixture(scope="module")
def net(shared):
    rs = shared.rs()
    b = shared.peer("b", {7: document(7), 9: document(9)}, rs)
    a = shared.peer("a", {8: document(8)}, rs)
    return {"rs": rs, "peer": a, "other": b}


def definitions(daemon):
    with daemon.varlink() as v:
        for name in v.call(f"{SERVICE}.GetInfo")["parameters"]["interfaces"]:
            text = v.call(f"{SERVICE}.GetInterfaceDescription", {"interface": name})["parameters"]["description"]
            interface = Interface(text)
            assert interface.name == name
            yield interface


def invalid(varlink, method, parameters):
    """The parameter that is refused. With `more`, which no method minds: what comes first is an error anyway."""
    varlink.send(method, parameters, more=True)
    reply = varlink.reply()
    assert reply.get("error") == f"{SERVICE}.InvalidParameter", (method, parameters, reply)
    return reply["parameters"]["parameter"]


@pytest.mark.parametrize("which", ["rs", "peer"])
def test_methods_take_what_is_declared(net, which):
    """Each declared method is known, with these parameters of these types, and no others. None of them is run."""
    n = n_int = 0
    with net[which].varlink() as v:
        for interface in definitions(net[which]):
            for name, (takes, _) in interface.methods.items():
                method = f"{interface.name}.{name}"
                good = {p: interface.example(k)[0] for p, k in takes.items()}
                assert invalid(v, method, {**good, UNKNOWN: 1}) == UNKNOWN
                for p, kind in takes.items():
                    n += 1
                    others = {q: good[q] for q in good if q != p}
                    optional = isinstance(kind, tuple) and kind[0] == "?"
                    assert invalid(v, method, {**others, p: interface.example(kind)[1]}) == p
                    if kind in ("int", ("?", "int"), ("[]", "int"), ("?", ("[]", "int"))):
                        large = 2**63 if "int" in (kind, kind[1]) else [2**63]
                        assert invalid(v, method, {**good, p: large}) == p
                        n_int += 1
                    assert invalid(v, method, {**others, p: None, UNKNOWN: 1}) == (UNKNOWN if optional else p)
                    # What is required and lacks is told behind what is unknown: so nothing else is wrong here.
                    if not optional:
                        assert invalid(v, method, others) == p
    assert n > (5 if which == "peer" else 2) and n_int > 0


def sources():
    for directory, _, names in os.walk(os.path.join(SOURCE, "src")):
        for name in names:
            if name.endswith((".c", ".h")):
                with open(os.path.join(directory, name), encoding="utf-8") as f:
                    yield os.path.join(directory, name), f.read()


def test_code_names_what_is_declared(net):
    """Methods that are answered or called, and errors that are given or understood: each is written whole, and declared."""
    declared = {f"{i.name}.{n}" for which in ("rs", "peer") for i in definitions(net[which]) for n in [*i.methods, *i.errors]}
    named = {}
    for path, text in sources():
        for name in re.findall(r'"((?:org\.p2pdi|org\.varlink|io\.systemd)\.[A-Za-z.]*%?[A-Za-z.]*)"', text):
            named.setdefault(name, path)
    # Interfaces themselves, and the error that systemd gives for what failed in a system call.
    interfaces = {i.name for which in ("rs", "peer") for i in definitions(net[which])}
    unknown = {n: p for n, p in named.items() if n not in declared | interfaces | {"io.systemd.System"}}
    assert not unknown, "not declared"
    assert not declared - set(named), "declared, and nobody knows of it"


# Each method with arguments that go well; those that change something are not among the replies.
CALLS = {
    "peer": [
        (f"{SERVICE}.GetInfo", {}), (f"{SERVICE}.GetInterfaceDescription", {"interface": SERVICE}),
        ("io.systemd.service.Ping", {}), ("io.systemd.service.GetLogLevel", {}), ("io.systemd.service.SetLogLevel", {"level": 7}),
        ("org.p2pdi.Peer.Refresh", {}), ("org.p2pdi.Peer.Get", {"numbers": [7, 77]}), ("org.p2pdi.Peer.Get", {"numbers": [8]}),
        ("org.p2pdi.Peer.Open", {"number": 8}), ("org.p2pdi.Peer.OpenEditorIndex", {}), ("org.p2pdi.Peer.List", {}), ("org.p2pdi.Peer.List", {"all": True}),
        ("org.p2pdi.Peer.ListHolders", {"number": 7}), ("org.p2pdi.Peer.ListHolders", {"number": 77}),
        ("org.p2pdi.Peer.ListPeers", {}), ("org.p2pdi.Peer.GetStatus", {}), ("org.p2pdi.Peer.GetListeners", {}),
        ("org.p2pdi.Peer.Search", {"words": ["rfc"]}), ("org.p2pdi.Peer.Describe", {"number": 7}),
        ("org.p2pdi.Peer.Describe", {"number": 9}),
        ("org.p2pdi.Peer.Resolve", {"names": ["7", "bcp14"]}), ("org.p2pdi.Peer.Resolve", {"names": ["7"], "follow": True}),
        ("org.p2pdi.Peer.Sync", {"dryRun": True}), ("org.p2pdi.Peer.Sync", {}),
        ("org.p2pdi.Peer.GetMetrics", {}), ("org.p2pdi.Peer.Explain", {"number": 7}), ("org.p2pdi.Peer.Leave", {}), ("org.p2pdi.Peer.Join", {}),
        ("org.p2pdi.Peer.Verify", {}), ("org.p2pdi.Peer.Verify", {"numbers": [7, 77]}), ("org.p2pdi.Peer.Repair", {"numbers": [8]}),
        ("org.p2pdi.Peer.Pin", {"numbers": [8, 77]}), ("org.p2pdi.Peer.Unpin", {"numbers": [8]}),
        ("org.p2pdi.Peer.Evict", {"numbers": [77, 9], "force": True}),
        ("org.p2pdi.Peer.Import", {"files": [{"number": 78, "size": 4000, "sha256": sha256(document(78))}]}),
    ],
    "rs": [
        (f"{SERVICE}.GetInfo", {}), (f"{SERVICE}.GetInterfaceDescription", {"interface": SERVICE}),
        ("io.systemd.service.Ping", {}), ("io.systemd.service.GetLogLevel", {}), ("io.systemd.service.SetLogLevel", {"level": 7}),
        ("org.p2pdi.Registration.List", {"all": True}), ("org.p2pdi.Registration.GetStatus", {}),
        ("org.p2pdi.Registration.GetListeners", {}), ("org.p2pdi.Registration.GetMetrics", {}),
    ],
}
# What comes with a call.
BYTES = {"org.p2pdi.Peer.Import": document(78)}
# Does not end by itself.
MONITOR = "org.p2pdi.Peer.Monitor"


@pytest.mark.parametrize("which", ["rs", "peer"])
def test_replies_are_of_the_declared_types(net, which):
    known = {i.name: i for i in definitions(net[which])}
    with net[which].varlink() as v:
        for method, parameters in CALLS[which]:
            interface = known[method.rpartition(".")[0]]
            v.send(method, parameters, sealed(BYTES[method]) if method in BYTES else None, more=True)
            while True:
                reply = v.reply()
                assert "error" not in reply, (method, reply)
                interface.check(reply["parameters"], interface.methods[method.rpartition(".")[2]][1], method)
                if not reply.get("continues"):
                    break
    called = {m for m, _ in CALLS[which]} | {MONITOR}
    assert not {f"{i.name}.{m}" for i in known.values() for m in i.methods} - called, "a method that no reply is looked at of"


def test_what_monitor_tells_is_of_the_declared_type(net):
    peer = next(i for i in definitions(net["peer"]) if i.name == "org.p2pdi.Peer")
    with net["peer"].varlink() as v, net["peer"].varlink() as other:
        v.send(MONITOR, more=True)
        told = [v.reply()]
        while "ready" not in told[-1]["parameters"]:
            told.append(v.reply())
        other.call("org.p2pdi.Peer.Get", {"numbers": [9]})
        other.call("org.p2pdi.Peer.Get", {"numbers": [78]})
        told += [v.reply(), v.reply()]
    for reply in told:
        assert reply["continues"] is True
        peer.check(reply["parameters"], peer.methods["Monitor"][1], MONITOR)


@pytest.mark.parametrize("method, parameters, error", [
    ("Get", {"numbers": [77]}, "NotHeld"), ("Open", {"number": 77}, "NotHeld"),
    ("Describe", {"number": 77}, "NotKnown"),
    ("Refresh", {"peers": ["192.0.2.1:1"]}, "UnknownPeer"),
])
def test_errors_are_of_the_declared_types(net, method, parameters, error):
    peer = next(i for i in definitions(net["peer"]) if i.name == "org.p2pdi.Peer")
    with net["peer"].varlink() as v:
        v.send(f"org.p2pdi.Peer.{method}", parameters, more=method == "Refresh")
        reply = v.reply()
    assert reply["error"] == f"org.p2pdi.Peer.{error}", reply
    peer.check(reply["parameters"], peer.errors[error], error)


# ---- GetListeners ----

def test_listeners(world):
    rs = world.rs()
    a = world.peer("a", {}, rs)
    b = world.peer("b", {}, rs, place=world.place())
    for daemon, name, inherited in ((rs, "Registration", True), (a, "Peer", False), (b, "Peer", True)):
        with daemon.varlink() as v:
            assert v.call(f"org.p2pdi.{name}.GetListeners")["parameters"] == {
                "listeners": [{"address": daemon.text, "inherited": inherited}]}


def test_listeners_are_what_is_listened_on_and_not_what_is_configured(world):
    a = world.peer("a", {})
    before = a.text
    a.write_config({"Server.ListenStream": "127.0.0.1:1"})
    a.reload()
    with a.varlink() as v:
        listener, = v.call("org.p2pdi.Peer.GetListeners")["parameters"]["listeners"]
        assert listener == {"address": before, "inherited": False}


# ---- io.systemd.service ----

def level(varlink):
    return varlink.call("io.systemd.service.GetLogLevel")["parameters"]["level"]


def set_level(varlink, value):
    return varlink.call("io.systemd.service.SetLogLevel", {"level": value})


@pytest.mark.parametrize("which", ["rs", "peer"])
def test_log_level(world, which):
    d = world.rs() if which == "rs" else world.peer("a")
    with d.varlink() as v:
        assert v.call("io.systemd.service.Ping") == {"parameters": {}}
        assert level(v) == 7
        mark = d.mark()
        assert set_level(v, 4) == {"parameters": {}} and level(v) == 4
        # Who did it is told once, also where the new level would keep that back.
        d.wait_log(rf"User {os.getuid()} called io\.systemd\.service\.SetLogLevel", mark)
        for wrong in (-1, 8, 1 << 40, -(1 << 40)):
            assert set_level(v, wrong)["parameters"] == {"parameter": "level"} and level(v) == 4
        # It is really the level of the log.
        with d.connect() as w:
            w.ask("GET Nothing", {"Transaction": "00000000deadbeef"})
        assert set_level(v, 7) == {"parameters": {}}
        with d.connect() as w:
            w.ask("GET Nothing", {"Transaction": "00000000beefdead"})
        d.wait_log("received from .*00000000beefdead")
        assert d.count_log("received from .*00000000deadbeef") == 0
        # A reload sets what the configuration says.
        set_level(v, 0)
        d.write_config({"Log.Level": "notice"})
        d.reload()
        assert level(v) == 5
