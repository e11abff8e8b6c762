# SPDX-License-Identifier: BSD-2-Clause
"""What fills, empties and checks the library, of a daemon in its unit: nothing of it needs what the sandbox forbids."""

import hashlib
import os

import pytest

from box import wait
from p2pdi.documents import document
from test_journal import INSTANCE

BOB = "/var/lib/p2pdi@bob/rfc"
NUMBERS = range(1, 9)
INDEX = "(CREATED ON: 08/05/2026.)\n\n" + "".join(
    f"{n} Title {n}. A. Author. May 1999. (Format: TXT)\n\n" for n in NUMBERS) + "14 Not Issued.\n\n"


def contents(n):
    return document(n, 3000)


@pytest.fixture
def two(host):
    """The peer, with nothing and a manifest, and bob, who has it all, and the editor's index."""
    files = {**{f"rfc{n}.txt": contents(n) for n in NUMBERS}, "rfc-index.txt": INDEX.encode()}
    host.write("/etc/p2pdi/SHA256SUMS", "".join(f"{hashlib.sha256(c).hexdigest()}  {name}\n" for name, c in files.items()))
    host.configure_peer("[Registration]\nServer=localhost\n[Integrity]\nManifest=/etc/p2pdi/SHA256SUMS\nAccept=verified\n"
                        "[Index]\nPullIntervalSec=infinity\n")
    host.configure_peer(INSTANCE, "bob")
    host.start("p2pdi-rsd", "p2pdi-peerd", "p2pdi-peerd@bob")
    for n in NUMBERS:
        host.put(n, contents(n), BOB)
    host.write("/tmp/rfc-index.txt", INDEX)
    host.sh(f"mv /tmp/rfc-index.txt {BOB}")
    host.wait_held(len(NUMBERS), "--instance=bob")
    wait("bob's rfc-index.txt", lambda: "metadataDate" in host.json("--instance=bob", "status"))
    for instance in ([], ["--instance=bob"]):
        host.wait_registered(*instance)
    return host


def held(host):
    return [d["number"] for d in host.json("list")]


def test_library(two):
    host = two
    host.ctl("get", "1")
    assert host.json("sync")["documentsFetched"] == 7 and held(host) == list(NUMBERS)
    wait("the editor's index", lambda: host.json("status").get("metadataDate") == "2026-08-05")
    host.ctl("get", "14", code=4)
    # A damaged file is found and replaced.
    with open(host.path("/var/lib/p2pdi/rfc/rfc3.txt"), "r+b") as f:
        f.seek(100)
        f.write(b"\0")
    host.ctl("verify", "--repair")
    assert host.read("/var/lib/p2pdi/rfc/rfc3.txt", "rb") == contents(3)
    host.ctl("pin", "4")
    host.ctl("evict", "4", code=1)
    host.ctl("unpin", "4")
    host.ctl("evict", "4", "5")
    assert held(host) == [1, 2, 3, 6, 7, 8]
    # Out of one and into the other, packed, too, from where the daemon does not see.
    host.ctl("--instance=bob", "export", "--to=/tmp/out")
    host.sh("cd /tmp/out && sha256sum -c --quiet --strict SHA256SUMS && gzip -k rfc5.txt && mv rfc5.txt.gz /tmp")
    host.ctl("import", "/tmp/rfc5.txt.gz")
    assert held(host) == [1, 2, 3, 5, 6, 7, 8]
    host.ctl("import", "/tmp/out")
    assert held(host) == list(NUMBERS) and all(
        host.read(f"/var/lib/p2pdi/rfc/rfc{n}.txt", "rb") == contents(n) for n in NUMBERS)
    assert not [m for m in host.messages("PRIORITY=3", "_COMM=p2pdi-peerd") if "damaged" not in m]
    assert oct(os.stat(host.path("/var/lib/p2pdi/rfc/rfc5.txt")).st_mode & 0o777) == "0o644"
