# SPDX-License-Identifier: BSD-2-Clause
"""The control sockets as systemd's own varlinkctl sees them: it reads the definitions, and holds what it sends to them."""

import functools
import json
import os
import re
import shutil
import subprocess

import pytest

from p2pdi.base import SANITIZER
from p2pdi.documents import document

VERSION_MIN = 257


@functools.lru_cache(None)
def varlinkctl():
    """The program, or why there is none."""
    for path in (shutil.which("varlinkctl"), os.environ.get("P2PDI_VARLINKCTL")):
        if path:
            r = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)
            m = re.match(r"systemd (\d+)", r.stdout)
            if m and int(m[1]) >= VERSION_MIN:
                return path
    pytest.skip(f"there is no varlinkctl of systemd {VERSION_MIN} (tests/system/fetch-varlinkctl gets one; "
                "$P2PDI_VARLINKCTL names it)")


def run(*arguments, input=None):
    r = subprocess.run([varlinkctl(), *arguments], input=input, capture_output=True, text=True, timeout=60, check=False)
    assert not SANITIZER.search(r.stderr), r.stderr
    return r


def well(*arguments, input=None):
    r = run(*arguments, input=input)
    assert r.returncode == 0 and r.stderr == "", r
    return r.stdout


def call(daemon, method, parameters, *options):
    """Each reply, decoded. Several are a JSON text sequence (RFC 7464): each behind a record separator."""
    said = well("--json=short", *options, "call", daemon.control, method, json.dumps(parameters))
    return [json.loads(text) for text in re.split("[\x1e\n]+", said) if text]


@pytest.fixture(scope="module")
def net(shared):
    varlinkctl()
    rs = shared.rs()
    b = shared.peer("b", {7: document(7), 9: document(9, 300000)}, rs)
    a = shared.peer("a", {8: document(8)}, rs)
    return {"rs": rs, "peer": a, "other": b}


NAMES = {"rs": "org.p2pdi.Registration", "peer": "org.p2pdi.Peer"}


def interfaces(daemon):
    return well("list-interfaces", daemon.control).split()


@pytest.mark.parametrize("which", NAMES)
def test_info(net, which):
    said = dict(re.findall(r"^ *(\w+): (.*)$", well("info", net[which].control), re.MULTILINE))
    assert said["Vendor"] == "P2P-DI" and said["Product"].startswith("P2P-DI ") and re.match(r"\d", said["Version"])
    assert said["URL"].startswith("man:p2pdi-")
    info = json.loads(well("--json=short", "info", net[which].control))
    assert sorted(info["interfaces"]) == sorted(interfaces(net[which]))
    assert {NAMES[which], "org.varlink.service"} <= set(info["interfaces"])


@pytest.mark.parametrize("which", NAMES)
def test_definitions_are_valid(net, which):
    """It parses what it shows, so all names and types in it are known."""
    for interface in interfaces(net[which]):
        shown = well("introspect", net[which].control, interface)
        assert f"interface {interface}\n" in shown
        with net[which].varlink() as v:
            text = v.call("org.varlink.service.GetInterfaceDescription", {"interface": interface})["parameters"]["description"]
        assert f"interface {interface}\n" in well("validate-idl", input=text)
        # Each method and error is told in words.
        for line in re.findall(r"(?:^|\n)(.*)\n(?:method|error|type|interface) ", text):
            assert line == "" or line.startswith("# "), line
    methods = well("list-methods", net[which].control).split()
    assert f"{NAMES[which]}.GetStatus" in methods and "org.varlink.service.GetInfo" in methods


def test_call(net):
    status, = call(net["peer"], "org.p2pdi.Peer.GetStatus", {})
    assert status["listening"] == [net["peer"].text] and status["storeDocuments"] >= 1
    status, = call(net["rs"], "org.p2pdi.Registration.GetStatus", {})
    assert status["active"] == 2 and status["inherited"] is True
    opened, = call(net["peer"], "org.p2pdi.Peer.Open", {"number": 8})
    assert opened["document"]["number"] == 8
    assert call(net["peer"], "org.p2pdi.Peer.Refresh", {}, "--oneway") == []


def test_call_more(net):
    told = [r["download"] for r in call(net["peer"], "org.p2pdi.Peer.Get", {"numbers": [7, 9]}, "--more")]
    assert {d["number"]: d["result"] for d in told if d["state"] == "done"} == {7: "ok", 9: "ok"}
    listed = [r["document"]["number"] for r in call(net["peer"], "org.p2pdi.Peer.List", {"all": True}, "--more")]
    assert listed == [7, 8, 9]
    collected, = call(net["peer"], "org.p2pdi.Peer.List", {"ranges": ["8"]}, "--collect")
    assert [r["document"]["number"] for r in collected] == [8]
    listed = [r["registration"]["address"] for r in call(net["rs"], "org.p2pdi.Registration.List", {}, "--more")]
    assert listed == [net["other"].text, net["peer"].text]


@pytest.mark.parametrize("which, method, parameters, error", [
    ("peer", "org.p2pdi.Peer.Get", {"numbers": [77]}, "org.p2pdi.Peer.NotHeld"),
    ("peer", "org.p2pdi.Peer.Open", {"number": 77}, "org.p2pdi.Peer.NotHeld"),
    ("peer", "org.p2pdi.Peer.Open", {"number": 0}, "Invalid"),
    ("peer", "org.p2pdi.Peer.Open", {}, "Invalid"),
    ("peer", "org.p2pdi.Peer.Open", {"number": 8, "colour": 1}, "Invalid"),
    ("peer", "org.p2pdi.Peer.List", {}, "ExpectedMore"),
    ("rs", "org.p2pdi.Registration.List", {}, "ExpectedMore"),
    ("rs", "org.p2pdi.Registration.Nothing", {}, "MethodNotFound"),
    ("rs", "org.p2pdi.Peer.GetStatus", {}, "InterfaceNotFound"),
])
def test_errors(net, which, method, parameters, error):
    r = run("--json=short", "call", net[which].control, method, json.dumps(parameters))
    assert r.returncode != 0 and error in r.stderr, r
