# SPDX-License-Identifier: BSD-2-Clause
"""The journal: structured entries by the daemons themselves, and a catalog that explains them."""

import os
import re

import pytest

from box import wait
from p2pdi.base import SOURCE
from p2pdi.documents import document, flip
from p2pdi.fakes import FakePeer

INSTANCE = "[Server]\nListenStream=auto\n[Registration]\nServer=localhost\n"


@pytest.fixture
def busy(host):
    """A host where some things have happened, good and bad."""
    host.configure_peer("[Registration]\nServer=localhost\n")
    host.configure_peer(INSTANCE, "bob")
    host.start("p2pdi-rsd", "p2pdi-peerd", "p2pdi-peerd@bob")
    host.put(7230, document(7230, 30000), "/var/lib/p2pdi@bob/rfc")
    host.wait_held(1, "--instance=bob")
    for instance in ([], ["--instance=bob"]):
        host.wait_registered(*instance)
    host.ctl("refresh")                     # bob's index may have been pulled before
    host.ctl("get", "7230")
    host.ctl("get", "9999", code=3)
    with host.registrant() as r:
        r.register(4711)
        r.leave()
        r.cookie = 1
        r.keepalive()
    return host


def catalog(host):
    """{id: [subjects]}"""
    entries = {}
    for part in re.split(r"^-- ", host.run("journalctl", "--dump-catalog").out, flags=re.M)[1:]:
        number, _, text = part.partition("\n")
        entries.setdefault(number.strip(), []).append(re.search(r"^Subject: (.*)", text, re.M).group(1))
    return entries


def test_every_message_id_is_explained(busy):
    """Those that were seen here, and those that the daemons can say."""
    with open(os.path.join(SOURCE, "systemd/p2pdi.catalog"), encoding="utf-8") as f:
        ours = re.findall(r"^-- ([0-9a-f]{32})$", f.read(), re.M)
    entries = catalog(busy)
    assert all(len(entries.get(number, [])) == 1 for number in ours)
    seen = {e["MESSAGE_ID"] for e in busy.journal("-t", "p2pdi-rsd", "-t", "p2pdi-peerd") if "MESSAGE_ID" in e}
    assert len(seen) >= 9, seen
    assert seen <= set(ours)


def test_journalctl_x_explains(busy):
    out = busy.run("journalctl", "-x", "--no-pager", "-b", "-t", "p2pdi-peerd", "P2PDI_RFC=7230").out
    fetched = next(m for m in busy.messages("MESSAGE_ID=476f91dac0d14336b2d4d3b4eace5326") if "7230" in m)
    with open(os.path.join(SOURCE, "systemd/p2pdi.catalog"), encoding="utf-8") as f:
        text = re.search(r"^-- 476f91dac0d14336b2d4d3b4eace5326\n(.*?)(?=^-- )", f.read(), re.M | re.S).group(1)
    subject = re.search(r"^Subject: (.*)$", text, re.M).group(1)
    assert f"░░ Subject: {subject}" in out
    assert f"░░ {fetched}" in out                   # @MESSAGE@ was filled in
    assert "@MESSAGE@" not in out


def test_fields_of_a_download(busy):
    entry = busy.wait_message("RFC 7230 fetched")
    served = busy.wait_message("RFC 7230 served")
    assert entry["_TRANSPORT"] == served["_TRANSPORT"] == "journal"
    assert entry["SYSLOG_IDENTIFIER"] == served["SYSLOG_IDENTIFIER"] == "p2pdi-peerd"
    assert (entry["_SYSTEMD_UNIT"], served["_SYSTEMD_UNIT"]) == ("p2pdi-peerd.service", "p2pdi-peerd@bob.service")
    assert entry["P2PDI_TRANSACTION"] == served["P2PDI_TRANSACTION"]
    assert re.fullmatch("[0-9a-f]{16}", entry["P2PDI_TRANSACTION"])
    for e in (entry, served):
        assert {n: e[n] for n in ("P2PDI_RFC", "P2PDI_RESULT", "P2PDI_BYTES", "PRIORITY")} == \
            {"P2PDI_RFC": "7230", "P2PDI_RESULT": "ok", "P2PDI_BYTES": "30000", "PRIORITY": "6"}
        assert int(e["P2PDI_DURATION_USEC"]) > 0 and e["P2PDI_PEER_ADDRESS"] == "::1"
    # All that it touched tells of it. (Whether the holder was asked for its index depends on who pulled what before.)
    story = busy.journal(f"P2PDI_TRANSACTION={entry['P2PDI_TRANSACTION']}")
    assert len(story) >= 4 and set(e["_SYSTEMD_UNIT"] for e in story) == \
        {"p2pdi-rsd.service", "p2pdi-peerd.service", "p2pdi-peerd@bob.service"}
    assert set(e["_SYSTEMD_UNIT"] for e in busy.journal("P2PDI_RFC=7230")) == \
        {"p2pdi-peerd.service", "p2pdi-peerd@bob.service"}


def test_liar_among_five_is_told_of(host):
    """Its bytes are thrown away, the next holder is asked, and the journal tells whose fault it was."""
    content = document(7230, 30000)
    host.configure_peer("[Registration]\nServer=localhost\n")
    host.start("p2pdi-rsd", "p2pdi-peerd")
    host.wait_registered()
    with host.network():
        holders = [FakePeer({7230: content}) for _ in range(5)]
    liar = holders[2]
    liar.on_get = lambda f, c, n: f.document(n)[:-len(content)] + flip(content, 17)
    try:
        liar.join(host)
        host.ctl("refresh")             # it is the first that is known to hold it
        for honest in holders:
            if honest is not liar:
                honest.join(host)
        host.ctl("get", "7230")
        assert host.read("/var/lib/p2pdi/rfc/rfc7230.txt", "rb") == content
        for number in ("de9b8cc84efb4fd5813d24ae3b8e2c3e", "7fa2fac5e53643d5b5f967828336ea86"):
            assert host.wait_message("", f"MESSAGE_ID={number}")["P2PDI_PEER_PORT"] == str(liar.port)
            assert len(host.journal(f"MESSAGE_ID={number}")) == 1
    finally:
        for holder in holders:
            holder.close()


def test_no_cookie_in_the_journal(host):
    for name in ("rs", "peer"):
        host.write(f"/etc/p2pdi/{name}.ini", "[Registration]\n" + ("Server=localhost\n" if name == "peer" else "") +
                   "[Log]\nLevel=debug\n")
    host.start("p2pdi-rsd", "p2pdi-peerd")
    host.wait_registered()
    with host.registrant() as r:
        r.register(4711)
        r.keepalive()
        log = host.run("journalctl", "-o", "export", "--no-pager").out
        assert "POST KeepAlive" in log and "Cookie: ***" in log
        assert r.cookie not in log


def test_unit_shows_what_it_does(busy):
    for unit, words in (("p2pdi-peerd", r"Listening on \[::\]:65424, 1 documents?, registered at 1 of 1 server\."),
                        ("p2pdi-rsd", r"Listening on \[::\]:65423, \d+ .*")):
        wait(f"status of {unit}", lambda: re.fullmatch(words, busy.show(unit, "StatusText")))
