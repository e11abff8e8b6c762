# SPDX-License-Identifier: BSD-2-Clause
"""Peers.ReuseConnections=: how many connections a peer makes for its exchanges with another."""

import threading

from p2pdi.base import PATIENCE
from p2pdi.documents import document
from p2pdi.fakes import FakePeer

NUMBERS = (7, 8, 9)


class KeepingPeer(FakePeer):
    """Answers as many requests on a connection as it is sent, until one asks for the end."""

    closing = None                      # the connection that it closes behind the next answer

    def read(self, connection, data, _n_answered):
        """What was read, once there is a whole head; None: there is none to come."""
        while b"\r\n\r\n" not in data:
            more = connection.recv(65536)
            if not more:
                return None
            data += more
        return data

    def serve(self, connection):
        data, n_answered = b"", 0
        with connection:
            connection.settimeout(PATIENCE)
            try:
                while (data := self.read(connection, data, n_answered)) is not None:
                    head, data = data.split(b"\r\n\r\n", 1)
                    first, *lines = head.decode().split("\r\n")
                    headers = {n.lower(): v.strip() for n, _, v in (line.partition(":") for line in lines)}
                    with self.changed:
                        self.requests.append(first)
                        self.heads.append((first, headers))
                        self.changed.notify_all()
                    connection.sendall(self.answer(connection, first, headers))
                    n_answered += 1
                    if headers.get("connection") == "close" or connection is self.closing:
                        return
            except OSError:
                pass
            finally:
                with self.changed:
                    self.open.discard(connection)


def net(world, ini=None, **options):
    holder = world.keep(KeepingPeer({n: document(n) for n in NUMBERS}, **options))
    a = world.peer("a", {}, world.server([holder]), ini)
    return a, holder


def closing(holder):
    with holder.changed:
        return [headers.get("connection") for _, headers in holder.heads]


def test_one_connection_for_all(world):
    a, holder = net(world)
    for n in NUMBERS:
        a.get(n)
    assert holder.connections < len(holder.requests) > len(NUMBERS)
    assert set(closing(holder)) == {None}


def test_one_connection_for_each(world):
    a, holder = net(world, {"Peers.ReuseConnections": "no"})
    for n in NUMBERS:
        a.get(n)
    holder.wait(lambda: holder.connections == len(holder.requests) > len(NUMBERS))
    assert set(closing(holder)) == {"close"}


def test_changed_under_way(world):
    """What began as it was before ends well; the next exchange is as it is now."""
    held, reloaded = threading.Event(), threading.Event()

    def on_get(fake, connection, number):
        answer = fake.document(number)
        if held.is_set():
            return answer
        connection.sendall(answer[:-100])
        held.set()
        assert reloaded.wait(PATIENCE)
        return answer[-100:]

    a, holder = net(world, on_get=on_get)
    getting = threading.Thread(target=a.get, args=(7,))
    getting.start()
    assert held.wait(PATIENCE)
    a.write_config({"Peers.ReuseConnections": "no"})
    a.reload()
    # The client has taken it: this is asked for by its thread, after the settings.
    assert a.ctl("refresh").code == 0
    reloaded.set()
    getting.join()
    told, before = len(holder.requests), holder.connections
    a.get(8)
    a.get(9)
    assert [a.content(n) for n in NUMBERS] == [document(n) for n in NUMBERS]
    holder.wait(lambda: holder.connections - before == len(holder.requests) - told >= 2)
    assert set(closing(holder)[told:]) == {"close"}
    # And back.
    a.write_config({"Peers.ReuseConnections": "yes"})
    a.reload()
    told, before = len(holder.requests), holder.connections
    for _ in range(5):
        assert a.ctl("refresh").code == 0
    assert holder.connections - before < len(holder.requests) - told
    assert closing(holder)[-1] is None
