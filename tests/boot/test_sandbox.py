# SPDX-License-Identifier: BSD-2-Clause
"""Each line of hardening in the units is in force: tried from inside, and looked at from outside."""

import json
import os
import re
import socket
import struct

import pytest

from box import DAEMONS, HERE, PORTS, RS_PORT, Hosts, installed
from p2pdi.wire import Wire
from takeover import MSG_FASTOPEN, Takeover, address

UNITS = ("p2pdi-rsd.service", "p2pdi-rsd.socket", "p2pdi-rsd-control.socket", "p2pdi-peerd.service", "p2pdi-peerd.socket",
         "p2pdi-peerd-control.socket", "p2pdi-peerd@x.service", "p2pdi-peerd@x.socket", "p2pdi-peerd-control@x.socket")
STATE = {"p2pdi-rsd": "/var/lib/p2pdi-rsd", "p2pdi-peerd": "/var/lib/p2pdi"}
# The daemon's unit as it is, but for what it runs.
PROBE = """[Service]
Type=oneshot
WatchdogSec=0
Restart=no
ExecStart=
ExecStart=/usr/bin/python3 -B /mnt/probe.py {state}
ExecStopPost=
StandardOutput=truncate:/run/probe.json
StandardError=journal
"""
# Where everybody may write, as far as modes go.
OPEN = ["/etc/open", "/usr/open", "/srv/open", "/var/open", "/var/lib/open", "/run/open", "/opt/open", "/run/lock",
        "/etc/p2pdi/open"]
NOWHERE = ["/", "/etc", "/etc/p2pdi", "/usr", "/boot", "/home", "/root", "/srv", "/opt", "/mnt", "/var", "/var/lib", "/var/log",
           "/run", "/run/p2pdi", "/dev", "/dev/shm", "/proc/sys/kernel", "/sys", "/sys/fs/cgroup"]


@pytest.fixture(scope="module")
def probed():
    """{daemon: what its probe found}"""
    hosts = Hosts()
    try:
        host = hosts.new("probe")
        with open(os.path.join(HERE, "probe.py"), encoding="utf-8") as f:
            host.write("/mnt/probe.py", f.read())
        host.sh("cp /usr/bin/id /mnt/setuid-id; chmod 4755 /mnt/setuid-id; chmod 755 /mnt")
        host.sh("mkdir -p " + " ".join(["/home/open", *OPEN]) + "; chmod 1777 " + " ".join(["/home/open", *OPEN]))
        assert host.run("/mnt/setuid-id", "-u", user="nobody").out == "0\n"
        found = {}
        for daemon in DAEMONS:
            host.start(f"{daemon}-control.socket")          # /run/p2pdi is there
            host.drop_in(f"{daemon}.service", PROBE.format(state=STATE[daemon]))
            host.start(daemon)
            found[daemon] = json.loads(host.read("/run/probe.json"))
        yield found
    finally:
        hosts.close()


both = pytest.mark.parametrize("daemon", DAEMONS)


@both
def test_writes_nothing_but_its_state(probed, daemon):
    found = probed[daemon]
    assert {d: found["write " + d] for d in NOWHERE if found["write " + d] not in ("EROFS", "EACCES", "ENOENT", "EPERM")} == {}
    assert found["write state"] == found["write /tmp"] == "ok"
    assert {d: found["write " + d] for d in OPEN if found["write " + d] != "EROFS"} == {}
    assert (found["write /dev/shm"], found["list /dev/shm"]) == ("EACCES", "EACCES")
    assert found["write /home/open"] == found["list /home"] == "EACCES"
    assert found["umask"] == "077"


@both
def test_sees_little_of_the_machine(probed, daemon):
    found = probed[daemon]
    assert found["see PID 1"] == found["read /proc/meminfo"] == "ENOENT"
    assert found["open /dev/null"] == "ok"
    for what in ("open /dev/mem", "read /proc/kmsg", "write /proc/sys/kernel/hostname"):
        assert found[what] in ("ENOENT", "EACCES", "EROFS"), what


@both
def test_has_no_privilege_and_gets_none(probed, daemon):
    found = probed[daemon]
    assert [int(found[n], 16) for n in ("CapEff", "CapPrm", "CapBnd", "CapAmb")] == [0] * 4
    assert (found["NoNewPrivs"], found["Seccomp"]) == ("1", "2")
    assert found["uid"] != 0
    assert found["setuid 0"] == "EPERM"
    assert found["su"]
    assert found["uid of a setuid program"] == str(found["uid"])
    assert (found["chmod u+s"], found["chmod +x"]) == ("EPERM", "ok")


@both
def test_system_calls_are_refused(probed, daemon):
    found = probed[daemon]
    if "mount" not in found:
        pytest.skip("numbers of system calls are known for x86_64 alone")
    refused = ["mount", "unshare user", "unshare net", "sethostname", "settimeofday", "init_module", "bpf", "chroot",
               "personality", "syslog", "reboot", "setpriority", "sched_setscheduler", "mmap writable and executable"]
    assert {n: found[n] for n in refused if found[n] not in ("EPERM", "EACCES")} == {}


def test_server_has_no_network(probed):
    found = probed["p2pdi-rsd"]
    assert found["AF_UNIX"] == "ok"
    assert {found[f] for f in ("AF_INET", "AF_INET6", "AF_NETLINK", "AF_PACKET", "AF_VSOCK", "connect 127.0.0.1")} == {"EAFNOSUPPORT"}
    assert found["interfaces"] == ["lo"]
    assert [line[0] for line in found["uid_map"]] == ["0", str(found["uid"])]


def test_peer_has_the_internet_alone(probed):
    found = probed["p2pdi-peerd"]
    assert {found[f] for f in ("AF_UNIX", "AF_INET", "AF_INET6")} == {"ok"}
    assert {found[f] for f in ("AF_NETLINK", "AF_PACKET", "AF_VSOCK")} == {"EAFNOSUPPORT"}
    assert found["connect 127.0.0.1"] == "ECONNREFUSED"
    # SO_PEERCRED tells everybody's true number only without a user namespace of its own.
    assert found["uid_map"] == [["0", "0", "4294967295"]]


# What another line covers as well, so that nothing that is tried from inside tells whether this one is there.
TAKEN = {name: "yes" for name in (
    "NoNewPrivileges", "PrivateTmp", "PrivateIPC", "PrivateMounts", "ProtectClock", "ProtectHostname", "ProtectKernelLogs",
    "ProtectKernelModules", "ProtectKernelTunables", "RemoveIPC", "RestrictRealtime", "RestrictSUIDSGID")}
TAKEN.update({"DevicePolicy": "closed", "KeyringMode": "private", "ProtectSystem": "strict", "SystemCallArchitectures": "native"})


@both
def test_lines_are_taken(calm, daemon):
    """As this systemd understands them: what it does not know, it leaves out."""
    wanted = {**TAKEN, **({"PrivateNetwork": "yes", "IPAddressDeny": "::/0 0.0.0.0/0"} if daemon == "p2pdi-rsd" else {})}
    shown = dict(line.split("=", 1) for line in calm.systemctl("show", daemon, "-p", ",".join(wanted)).lines())
    assert {n: " ".join(sorted(v.split())) for n, v in shown.items()} == {n: " ".join(sorted(v.split())) for n, v in wanted.items()}


# ---- the running daemons ----

@both
def test_running_daemon_is_in_the_sandbox(calm, daemon):
    """The probe had the same unit; this is the daemon itself."""
    pid = calm.pid(daemon)
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        status = dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)
    assert [int(status[n], 16) for n in ("CapEff", "CapPrm", "CapBnd", "CapAmb", "CapInh")] == [0] * 5
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")

    def own(namespace):
        return os.readlink(f"/proc/{pid}/ns/{namespace}") != os.readlink(f"/proc/{calm.init}/ns/{namespace}")
    assert {n: own(n) for n in ("mnt", "ipc", "uts", "net", "user")} == \
        {"mnt": True, "ipc": True, "uts": True, "net": daemon == "p2pdi-rsd", "user": daemon == "p2pdi-rsd"}
    with open(f"/proc/{pid}/mountinfo", encoding="utf-8") as f:
        mounts = {line.split()[4]: line.split()[5].split(",") for line in f}
    assert "ro" in mounts["/"] and "rw" in mounts[{"p2pdi-rsd": "/var/lib/private/p2pdi-rsd"}.get(daemon, STATE[daemon])]
    # What it holds open: sockets that it was given, its database, nothing that it made in the network.
    with open(f"/proc/{pid}/net/tcp6", encoding="ascii") as f:
        assert daemon == "p2pdi-peerd" or len(f.readlines()) == 1


# ---- taken over: what the daemons themselves are refused ----

ZEROS, HERE_FD = b"\0" * 256, -100
NAMESPACES = {"mnt": 0x20000, "cgroup": 0x2000000, "uts": 0x4000000, "ipc": 0x8000000, "user": 0x10000000, "pid": 0x20000000,
              "net": 0x40000000}
# (call, arguments), each with what is right as far as it matters for getting further than the filter.
REFUSED = [
    ("execve", b"/bin/true", ZEROS, ZEROS), ("execveat", HERE_FD, b"/bin/true", ZEROS, ZEROS, 0),
    *(("unshare", flag) for flag in NAMESPACES.values()), *(("clone", flag | 17, 0, 0, 0, 0) for flag in NAMESPACES.values()),
    ("setns", 0, 0), ("mount", b"none", b"/tmp", b"tmpfs", 0, 0), ("umount2", b"/tmp", 0), ("pivot_root", b"/", b"/"),
    ("chroot", b"/"), ("open_tree", HERE_FD, b"/", 1), ("move_mount", HERE_FD, b"/", HERE_FD, b"/tmp", 0), ("fsopen", b"tmpfs", 0),
    ("mount_setattr", HERE_FD, b"/", 0, ZEROS, 32), ("ptrace", 16, 1, 0, 0), ("process_vm_readv", 1, 0, 0, 0, 0, 0),
    ("process_vm_writev", 1, 0, 0, 0, 0, 0), ("pidfd_getfd", 0, 0, 0), ("perf_event_open", ZEROS, 0, -1, -1, 0),
    ("bpf", 0, ZEROS, 128), ("userfaultfd", 1), ("io_uring_setup", 1, ZEROS), ("fanotify_init", 0, 0),
    ("init_module", ZEROS, 0, b""), ("finit_module", 0, b"", 0), ("delete_module", b"x", 0), ("kexec_load", 0, 0, 0, 0),
    ("kexec_file_load", 0, 0, 0, b"", 0), ("reboot", 0, 0, 0, 0), ("swapon", b"/dev/null", 0), ("acct", 0),
    ("quotactl", 0, b"/", 0, 0), ("syslog", 3, 0, 0), ("settimeofday", ZEROS, 0), ("clock_settime", 0, ZEROS), ("adjtimex", ZEROS),
    ("clock_adjtime", 0, ZEROS), ("sethostname", b"x", 1), ("setdomainname", b"x", 1), ("iopl", 3), ("ioperm", 0, 1, 1),
    ("setuid", 0), ("setgid", 0), ("setgroups", 0, 0), ("setresuid", 0, 0, 0),
    ("capset", struct.pack("II", 0x20080522, 0), b"\xff" * 24), ("prctl", 47, 2, 12, 0, 0), ("prctl", 28, 0, 0, 0, 0),
    ("personality", 8), ("setpriority", 0, 0, -5), ("sched_setscheduler", 0, 2, struct.pack("I", 1)), ("keyctl", 0, -3, 0),
    ("add_key", b"user", b"x", b"x", 1, -3), ("request_key", b"user", b"x", 0, 0), ("open_by_handle_at", HERE_FD, ZEROS, 0),
    ("mmap", 0, 4096, 7, 0x22, -1, 0), ("mknod", b"/tmp/x", 0o60666, 0x800), ("kill", 1, 0),
]
READ_ONLY, MAKE = 0, 0o101


@both
def test_taken_over_daemon_is_refused(calm, daemon):
    """What it asks for itself, right where it runs: other programs, namespaces, mounts, others' memory, modules, clocks, ids, …"""
    with Takeover(calm.pid(daemon)) as inside:
        assert inside.attempt("uname", b"\0" * 400) == "ok"
        assert [(c[0], e) for c in REFUSED if (e := inside.attempt(*c)) != "EPERM"] == []
        for path in (b"/etc/shadow", b"/root", b"/home", b"/dev/shm"):
            assert inside.attempt("open", path, READ_ONLY) == "EACCES", path
        for path in (b"/proc/1/environ", b"/proc/sys/kernel/core_pattern", b"/dev/mem", b"/proc/kcore"):
            assert inside.attempt("open", path, READ_ONLY) in ("ENOENT", "EACCES"), path
        for path in (b"/etc/p2pdi/x", b"/run/x", b"/usr/x", b"/var/x", b"/etc/cron.d/x"):
            assert inside.attempt("open", path, MAKE, 0o600) in ("EROFS", "EACCES"), path
        there = os.path.join(STATE[daemon], "x").encode()
        fd = inside.call("open", there, MAKE, 0o600)
        assert fd >= 0 and inside.attempt("fchmod", fd, 0o4755) == "EPERM"
        inside.call("close", fd)
        assert inside.attempt("unlink", there) == "ok"


def test_taken_over_daemons_may_dial_or_not(host):
    """The socket that it was given is of the host's network, and no line of the unit holds against it; the daemon itself does."""
    host.start("p2pdi-rsd", "p2pdi-peerd")
    with host.network():
        victim = socket.create_server(("127.0.0.1", 0))
    victim.setblocking(False)
    where = address("127.0.0.1", victim.getsockname()[1])
    mapped = address("::ffff:127.0.0.1", victim.getsockname()[1])
    with victim:
        with Takeover(host.pid("p2pdi-rsd")) as inside:
            assert {inside.attempt("socket", family, kind, 0) for family in (2, 10) for kind in (1, 2)} == {"EAFNOSUPPORT"}
            given = [fd for fd in range(3, 100) if inside.call("getsockname", fd, ZEROS, struct.pack("I", 128)) == 0
                     and inside.attempt("shutdown", fd, 2) == "ok"]
            assert given
            for fd in given:
                assert inside.attempt("connect", fd, mapped, len(mapped)) == "EPERM"
                assert inside.attempt("sendto", fd, b"x", 1, MSG_FASTOPEN, mapped, len(mapped)) == "EPERM"
        with pytest.raises(BlockingIOError):
            victim.accept()
        with Takeover(host.pid("p2pdi-peerd")) as inside:
            fd = inside.call("socket", 2, 1, 0)
            assert inside.attempt("connect", fd, where, len(where)) == "ok"
        victim.accept()[0].close()


def test_one_instance_and_another(host):
    """They are one user to the kernel; the units keep them apart as far as units can."""
    host.configure_peer("[Server]\nListenStream=auto\n", "bob")
    host.start("p2pdi-peerd", "p2pdi-peerd@bob")
    inside_number = int(host.show("p2pdi-peerd@bob", "MainPID"))
    with Takeover(host.pid("p2pdi-peerd")) as inside:
        database = b"/var/lib/p2pdi@bob/state.db"
        assert inside.attempt("open", database, 2) == inside.attempt("open", b"/var/lib/p2pdi@bob/x", MAKE, 0o600) == "EROFS"
        assert inside.attempt("process_vm_readv", inside_number, 0, 0, 0, 0, 0) == "EPERM"
        assert inside.attempt("ptrace", 16, inside_number, 0, 0) == "EPERM"
        assert inside.attempt("open", database, READ_ONLY) == inside.attempt("kill", inside_number, 0) == "ok"


def packets(watcher):
    """What a packet socket has seen go out: [(destination, port that it comes from, flags of TCP)]; all else is None, None."""
    seen = []
    while True:
        try:
            data, (_, _, kind, _, _) = watcher.recvfrom(65536, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return seen
        if kind != socket.PACKET_OUTGOING:
            continue
        ip = data[14:]
        if data[12:14] == b"\x08\x00":
            to, protocol, rest = socket.inet_ntop(socket.AF_INET, ip[16:20]), ip[9], ip[(ip[0] & 15) * 4:]
        elif data[12:14] == b"\x86\xdd":
            to, protocol, rest = socket.inet_ntop(socket.AF_INET6, ip[24:40]), ip[6], ip[40:]
            if protocol in (0, socket.IPPROTO_ICMPV6):
                continue                # the kernel looks for its neighbours
        else:
            continue                    # and with ARP
        tcp = protocol == socket.IPPROTO_TCP
        seen.append((to, int.from_bytes(rest[:2], "big") if tcp else None, rest[13] if tcp else None))


def test_server_sends_only_answers(hosts):
    """What leaves the server's host goes to who connected, from the port that he connected to, and opens no connection."""
    rs, peer, liar = (hosts.new(name, network="quiet") for name in ("rs", "peer", "liar"))
    rs.write("/etc/p2pdi/rs.ini", "[Registration]\nAdvertiseFrom=any\n")
    rs.start("p2pdi-rsd")
    with rs.network():
        watcher = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))         # ETH_P_ALL
    with watcher:
        watcher.bind(("eth0", 3))
        peer.configure_peer(f"[Registration]\nServer={rs.name}\n")
        peer.systemctl("restart", "p2pdi-peerd")
        peer.wait_registered()
        # Who names another's address as his is believed here, and still nobody is dialled.
        address = peer.sh("ip -4 -o addr show dev eth0").out.split()[3].split("/")[0]
        with liar.network():
            w = Wire((rs.sh("ip -4 -o addr show dev eth0").out.split()[3].split("/")[0], RS_PORT))
        with w:
            assert w.ask("POST Register", {"Port": 9, "Host": "liar", "OS": "test", "Advertise": address}).status == 200
        peer.ctl("refresh", code=3)         # the peer does: nobody is there
        seen = packets(watcher)
    whom = set()
    for h in (peer, liar):
        whom.update(line.split()[3].split("/")[0] for line in h.sh("ip -o addr show dev eth0").lines())
    assert len(seen) > 5
    assert {to for to, _, _ in seen} <= whom
    assert {port for _, port, _ in seen} == {RS_PORT}
    assert [flags for _, _, flags in seen if flags & 0x12 == 0x02] == []         # SYN without ACK


# ---- the figures ----

@pytest.fixture(scope="module")
def root():
    with installed() as d:
        yield d


def unit_file(root, name):
    name = re.sub("@x", "@", name)
    for d in ("lib/systemd/system", "usr/lib/systemd/system", "usr/local/lib/systemd/system"):
        if os.path.exists(os.path.join(root, d, name)):
            return os.path.join("/", d, name)
    raise AssertionError(f"{name} is not installed")


@pytest.mark.parametrize("unit, threshold", [("p2pdi-rsd.service", 3), ("p2pdi-peerd.service", 13), ("p2pdi-peerd@x.service", 13)])
def test_exposure(calm, root, unit, threshold):
    path = unit_file(root, unit)
    if "@" in unit:
        calm.sh(f"mkdir -p /tmp/units; cp {path} /tmp/units/{unit}")
        path = f"/tmp/units/{unit}"
    calm.run("systemd-analyze", "security", "--no-pager", "--offline=true", f"--threshold={threshold}", path)


def test_verify_is_silent(calm):
    r = calm.run("systemd-analyze", "verify", "--man=no", *UNITS)
    assert (r.out, r.err) == ("", "")


def test_verify_finds_the_manual(calm):
    """Each page that Documentation= names is installed."""
    for unit in UNITS:
        for page in calm.show(unit, "Documentation").replace('"', "").split():
            name, section = re.fullmatch(r"man:([^(]+)\((\d)\)", page).groups()
            assert calm.sh(f"ls /usr/share/man/man{section}/{name}.* /usr/local/share/man/man{section}/{name}.* 2>/dev/null || true").out, page


@both
def test_serves_in_the_sandbox(calm, daemon):
    with calm.wire(PORTS[daemon]) as w:
        assert w.ask("GET Nothing").status == 404
