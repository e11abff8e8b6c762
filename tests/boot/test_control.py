# SPDX-License-Identifier: BSD-2-Clause
"""Who may do what through the control sockets."""

import pytest

CHANGING = ("log-level", "debug")
NOT_ALLOWED = {"": "Not allowed: use sudo, or be named by Control.AllowUsers= or AllowGroups=.\n",
               "--rs": "Not allowed: use sudo.\n"}


@pytest.fixture
def people(host):
    """bob may look, carol is somebody else, erin is of a group of her own as well. Both daemons run."""
    host.sh("id bob || { useradd -G p2pdi bob; useradd carol; groupadd editors; useradd -G p2pdi,editors erin; }")
    host.start("p2pdi-rsd", "p2pdi-peerd")
    return host


def do(host, whom, user, *verb, code=0):
    return host.ctl(*([whom] if whom else []), *verb, user=user, code=code)


@pytest.mark.parametrize("whom", ["", "--rs"])
def test_sockets_belong_to_the_group(people, whom):
    path = "/run/p2pdi/org.p2pdi." + ("Registration" if whom else "Peer")
    assert people.sh(f"stat -c %U:%G:%a {path}").out == "root:p2pdi:660\n"
    assert people.sh(f"readlink /run/varlink/registry/{path.rpartition('/')[2]}").out == path + "\n"


@pytest.mark.parametrize("whom", ["", "--rs"])
def test_stranger_is_told_what_to_do(people, whom):
    for verb in (("status",), CHANGING):
        r = do(people, whom, "carol", *verb, code=10)
        path = "/run/p2pdi/org.p2pdi." + ("Registration" if whom else "Peer")
        assert (r.out, r.err) == ("", f"Access to {path} denied: join group p2pdi or use sudo.\n")


@pytest.mark.parametrize("whom", ["", "--rs"])
def test_member_may_look_and_root_may_change(people, whom):
    assert do(people, whom, "bob", "status").out.startswith("● p2pdi-")
    r = do(people, whom, "bob", *CHANGING, code=10)
    assert (r.out, r.err) == ("", NOT_ALLOWED[whom])
    assert do(people, whom, "bob", "log-level").out == "info\n"
    denied = people.wait_message("denied io.systemd.service.SetLogLevel", "MESSAGE_ID=11d26eaffc7048d2b18d25d4a9d9bb48")
    # The server sees root and others, no more: its sandbox has users of its own.
    uid = people.sh("id -u bob").out.strip()
    assert denied["P2PDI_CONTROL_UID"] == ("65534" if whom else uid)
    do(people, whom, "root", *CHANGING)
    assert do(people, whom, "bob", "log-level").out == "debug\n"
    assert people.wait_message("", "MESSAGE_ID=a004692ea6294fd8bdfa12564b9f4e32")["P2PDI_CONTROL_UID"] == "0"


def test_member_gets_documents(people):
    """get is for whoever may connect; the files are for everybody, the databases for nobody."""
    people.put(7, b"seven\n")
    people.wait_held(1)
    assert do(people, "", "bob", "get", "7").out == "/var/lib/p2pdi/rfc/rfc7.txt\n"
    assert people.run("cat", "/var/lib/p2pdi/rfc/rfc7.txt", user="carol").out == "seven\n"
    for name in ("state.db", "library.db"):
        assert people.run("cat", f"/var/lib/p2pdi/{name}", user="bob", code=1).err.endswith("Permission denied\n")
    people.run("ls", "/var/lib/p2pdi-rsd/", user="bob", code=2)


@pytest.mark.parametrize("setting, user", [("AllowUsers=bob", "bob"), ("AllowGroups=editors", "erin")])
def test_who_is_named_may_change(people, setting, user):
    do(people, "", user, *CHANGING, code=10)
    people.configure_peer(f"[Control]\n{setting}\n")
    people.systemctl("reload", "p2pdi-peerd")
    do(people, "", user, *CHANGING)
    assert do(people, "", user, "log-level").out == "debug\n"
    do(people, "", {"bob": "erin", "erin": "bob"}[user], *CHANGING, code=10)
    # Being named opens no socket: that is the group's.
    people.configure_peer("[Control]\nAllowUsers=carol\n")
    people.systemctl("reload", "p2pdi-peerd")
    do(people, "", "carol", *CHANGING, code=10)
