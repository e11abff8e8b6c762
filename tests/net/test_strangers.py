# SPDX-License-Identifier: BSD-2-Clause
"""Nobody hears from us who did not ask for it: each packet that leaves a host is looked at."""

import random
import socket

from group import ACK, PORT, RS_PORT, SYN, Packets
from hosts import address
from p2pdi.addresses import Place
from p2pdi.fakes import FakePeer
from p2pdi.wire import Registrant, Wire

RS, A, LIAR, VICTIM = range(4)


class FixedPlace(Place):
    """A place with a port that one knows."""

    def __init__(self, host_address, port):
        super().__init__(host_address)
        self.keeper.close()
        self.keeper = socket.socket()
        self.keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.keeper.bind((host_address, port))
        self.keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self.port = port
        self.text = f"{host_address}:{port}"


def registers_for_others(rs, victim):
    """All fields that hold an address or could, and leases that end, and lists, and rubbish."""
    for i in range(50):
        with Registrant(rs, address(LIAR)) as r:
            reply = r.wire.ask("POST Register", {"Port": 1000 + i, "Host": victim, "OS": f"{victim}:{PORT}", "Advertise": victim})
            assert reply.status == 200
            r.cookie = reply["Cookie"]
            for verb in ("POST KeepAlive", "GET PQuery"):
                reply = r.wire.ask(verb, {"Cookie": r.cookie, "Advertise": victim, "Address": victim, "Host": victim})
                assert reply.status in (200, 204, 401)          # 401: this took longer than its lease
            if i % 3 == 0:
                assert r.leave().status == 200
    generator = random.Random(1)
    for _ in range(200):
        with Wire((address(RS), rs.port), address(LIAR)) as w:
            w.send(generator.randbytes(generator.randint(1, 200)) + b"\r\n\r\n")
            w.receive()


def test_server_sends_to_nobody_who_did_not_connect(group):
    """Though it believes who says that he is the victim: AdvertiseFrom= names everybody."""
    g = group(4)
    with g.on(RS), Packets() as packets:
        rs = g.rs_on(RS, {"Registration.AdvertiseFrom": "0.0.0.0/0", "Registration.TTLSec": 1, "Limits.RatePerSource": 0,
                          "Registration.KeepAliveSec": 1})
        with g.on(LIAR):
            registers_for_others(rs, address(VICTIM))
        believed = [r["address"] for r in rs.json("registrations", "--all")]
        assert len(believed) == 50 and all(text.startswith(address(VICTIM) + ":") for text in believed)
        rs.wait_active(0)                       # a lease ends, and nobody is asked whether he is still there
        g.peer_on(A, {}, rs).ctl("refresh")
        seen = packets.seen()
    by_host = {}
    for protocol, to, port, _, flags in seen:
        assert protocol == socket.IPPROTO_TCP, (protocol, to)
        assert port == rs.port and flags & (SYN | ACK) != SYN, "it opened a connection"
        by_host[to] = by_host.get(to, 0) + 1
    print(f"packets of the server: {by_host}")
    assert set(by_host) == {address(LIAR), address(A)} and by_host[address(LIAR)] > 500


def test_peer_opens_no_connection_to_whom_only_an_index_names(group):
    """10,000 records of a holder whom no server lists; and hundreds of others, at hosts that are not even there."""
    g = group(4)
    rs = g.rs_on(RS)
    with g.on(LIAR):
        liar = g.keep(FakePeer(place=g.keep(FixedPlace(address(LIAR), PORT))))
        liar.join(rs)
    victim = f"{address(VICTIM)}:{PORT}"

    def line(number, holder):
        return f"{number}\t7200\t{holder}\t100\t{'ab' * 32}\tTitle\n"
    said = "".join(line(n, victim) + line(n, f"203.0.113.{n % 250 + 1}:80") for n in range(1, 10001))

    def answer(fake, _connection, headers):
        if "if-generation" in headers:          # what he holds himself
            return fake.head(200, 0)
        if "rfc" not in headers:
            return fake.head(200, len(said)) + said.encode()
        body = line(int(headers["rfc"]), victim)
        return fake.head(200, len(body)) + body.encode()
    liar.on_index = answer
    a = g.peer_on(A, {}, rs, {"Store.MinReplicas": 3})
    with g.on(A), Packets() as packets:
        assert [r["added"] for r in a.json("refresh") if "added" in r] == [20000]
        a.write_config({"Index.PullIntervalSec": "1s"})         # not before: such a pull may be under way, and brings what is his own alone
        a.reload()
        assert [h["holder"] for h in a.json("where", "5")][:1] == [victim]
        assert a.ctl("get", *map(str, range(1, 101))).code == 3
        a.ctl("refresh", victim)
        a.ctl("sync", "--dry-run", "1-50")
        liar.wait_requests("RFC-Index", liar.count("RFC-Index") + 2)    # what is done by itself, too
        seen = packets.seen()
    syns = {}
    for protocol, to, _, port, flags in seen:
        if protocol != socket.IPPROTO_TCP or flags & (SYN | ACK) == SYN:
            syns[(protocol, to, port)] = syns.get((protocol, to, port), 0) + 1
    print(f"what it opened: {syns}")
    asked = (socket.IPPROTO_TCP, address(LIAR), PORT)
    assert asked in syns
    assert set(syns) <= {(socket.IPPROTO_TCP, address(RS), rs.port), asked}     # the one to the server may be open from before


def test_fixed_ports_are_what_others_see(group):
    """The test of this file's own eyes: a connection that is opened to the victim is seen."""
    g = group(2)
    with g.on(0), Packets() as packets:
        with socket.socket() as s:
            s.setblocking(False)
            s.connect_ex((address(1), RS_PORT))
        seen = packets.seen()
    assert [(to, port) for _, to, _, port, flags in seen if flags & (SYN | ACK) == SYN] == [(address(1), RS_PORT)]
