# SPDX-License-Identifier: BSD-2-Clause
"""Several peers: on hosts of their own, and several on one host."""

import re

from box import RFC_PORT, wait
from p2pdi.documents import document

INSTANCE = "[Server]\nListenStream=auto\n[Registration]\nServer=localhost\n"


def test_three_hosts_by_name(hosts):
    """A registration server and two peers on a bridge, known by their names; one transaction on all three."""
    rs, alice, bob = (hosts.new(name, network="three") for name in ("rs", "alice", "bob"))
    content = document(7230, 30000)
    rs.start("p2pdi-rsd")
    bob.put(7230, content)
    for peer in (alice, bob):
        peer.configure_peer(f"[Registration]\nServer={rs.name}\n")
        peer.systemctl("restart", "p2pdi-peerd")
        peer.wait_registered()
    bob.wait_held(1)
    alice.ctl("get", "7230")
    assert alice.read("/var/lib/p2pdi/rfc/rfc7230.txt", "rb") == content
    assert {p["host"] for p in rs.json("--rs", "registrations")} == {alice.name, bob.name}

    fetched = alice.wait_message("RFC 7230 fetched", "MESSAGE_ID=476f91dac0d14336b2d4d3b4eace5326")
    here = f"P2PDI_TRANSACTION={fetched['P2PDI_TRANSACTION']}"
    alice.wait_message("lists 1 active peer", here)
    served = bob.wait_message("RFC 7230 served", here)
    assert rs.wait_message("was told of 1 active peer", here)["P2PDI_OPERATION"] == "list-peers"
    assert served["P2PDI_PEER_ADDRESS"] != fetched["P2PDI_PEER_ADDRESS"]
    # The same by the document, which the registration server has never heard of.
    assert [e["P2PDI_TRANSACTION"] for h in (alice, bob) for e in h.journal("P2PDI_RFC=7230")
            if e["P2PDI_RESULT"] == "ok"] == [fetched["P2PDI_TRANSACTION"]] * 2
    assert rs.journal("P2PDI_RFC=7230") == []


def test_two_instances(host):
    content = document(9110, 30000)
    host.start("p2pdi-rsd")
    for name in ("a", "b"):
        host.configure_peer(INSTANCE, name)
        host.start(f"p2pdi-peerd@{name}")
        host.wait_registered(f"--instance={name}")
    host.put(9110, content, "/var/lib/p2pdi@b/rfc")
    host.wait_held(1, "--instance=b")
    host.ctl("--instance=a", "refresh")     # it may have pulled b's index before
    assert host.ctl("--instance=a", "get", "9110").out == "/var/lib/p2pdi@a/rfc/rfc9110.txt\n"
    assert host.read("/var/lib/p2pdi@a/rfc/rfc9110.txt", "rb") == content
    # The one without a name is another one, and none of these.
    assert host.refuses(RFC_PORT)
    host.ctl("status", code=5)

    host.systemctl("stop", "p2pdi-peerd@a")
    host.wait_state("p2pdi-peerd-control@a.socket", "inactive")
    assert host.ctl("--instance=b", "list").out
    host.ctl("--instance=a", "status", code=5)
    host.wait_message("Peer 1 left", "-u", "p2pdi-rsd")

    # Both kinds of the same name do not get in each other's way.
    host.configure_peer("[Registration]\nServer=localhost\n")
    host.start("p2pdi-peerd", "p2pdi-peerd@a")
    host.wait_registered()
    host.wait_registered("--instance=a")
    assert host.sh("stat -c %U:%a /var/lib/p2pdi /var/lib/p2pdi@a /run/p2pdi /run/p2pdi@a").lines() == \
        ["p2pdi:755"] * 2 + ["root:755"] * 2


def test_instance_comes_back_after_a_crash(host):
    host.configure_peer(INSTANCE, "a")
    host.start("p2pdi-rsd", "p2pdi-peerd@a")
    host.wait_registered("--instance=a")
    host.systemctl("kill", "--signal=KILL", "p2pdi-peerd@a")
    wait("another process", lambda: host.show("p2pdi-peerd@a", "NRestarts") == "1")
    host.wait_state("p2pdi-peerd@a")
    host.wait_registered("--instance=a")
    (peer,) = host.json("--rs", "registrations")
    port = int(re.search(r"Listening on \S+:(\d+),", host.show("p2pdi-peerd@a", "StatusText")).group(1))
    assert (peer["peerId"], peer["address"]) == (1, f"[::1]:{port}")
    host.wire(port).close()


def test_instance_without_settings_is_refused(host):
    host.systemctl("start", "p2pdi-peerd@none", code=1)
    assert host.show("p2pdi-peerd@none", "ExecMainStatus") == "78"
    assert host.show("p2pdi-peerd@none", "NRestarts") == "0"
    words = "peer@none.ini: The instance has no configuration: there is no file of this name."
    assert words in host.messages("-u", "p2pdi-peerd@none")
    assert words in host.status("p2pdi-peerd@none")
