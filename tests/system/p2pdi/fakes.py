# SPDX-License-Identifier: BSD-2-Clause
"""The other end of a peer's own connections: who listens, a peer, and a registration server, that do as they are told."""

import contextlib
import random
import re
import socket
import threading

from p2pdi.addresses import Place
from p2pdi.base import PATIENCE
from p2pdi.documents import sha256
from p2pdi.wire import VERSION, Record, Registrant, index_digest


class Fake:
    """Listens, and answers one request on each connection; a thread for each. answer() is its children's."""

    def __init__(self, address="127.0.0.1", place=None):
        self.requests = []              # request lines, as they came
        self.heads = []                 # (line, headers)
        self.connections = 0
        self.changed = threading.Condition()
        self.place = place or Place(address)
        self.listener = self.place.listen()
        self.address, self.port = self.place.address, self.place.port
        self.text = self.place.text
        self.open = set()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with self.changed:
                self.connections += 1
                self.open.add(connection)
                self.changed.notify_all()
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        try:
            with connection:
                connection.settimeout(PATIENCE)
                data = b""
                while b"\r\n\r\n" not in data:
                    more = connection.recv(65536)
                    if not more:
                        return
                    data += more
                first, *lines = data.split(b"\r\n\r\n")[0].decode().split("\r\n")
                headers = {n.lower(): v.strip() for n, _, v in (line.partition(":") for line in lines)}
                with self.changed:
                    self.requests.append(first)
                    self.heads.append((first, headers))
                    self.changed.notify_all()
                answer = self.answer(connection, first, headers)
                if answer is not None:
                    connection.sendall(answer)
                    connection.shutdown(socket.SHUT_WR)
                    connection.recv(1)
        except OSError:
            pass
        finally:
            with self.changed:
                self.open.discard(connection)
                self.changed.notify_all()

    @staticmethod
    def head(status, length=0, **headers):
        lines = [f"{VERSION} {status} Test", "Server: p2pdi/test"]
        lines += [f"{n.replace('_', '-')}: {v}" for n, v in headers.items()]
        if status not in (204, 304):
            lines.append(f"Content-Length: {length}")
        return ("\r\n".join(lines) + "\r\n\r\n").encode()

    # -- for the test --

    def wait(self, condition, timeout=PATIENCE):
        with self.changed:
            assert self.changed.wait_for(condition, timeout), f"{self.text}: {self.requests}"

    def wait_requests(self, pattern, n=1):
        self.wait(lambda: sum(1 for r in self.requests if re.search(pattern, r)) >= n)

    def count(self, pattern):
        with self.changed:
            return sum(1 for r in self.requests if re.search(pattern, r))

    def vanish(self):
        """From now on connections are refused."""
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)    # wakes accept(), unlike close()
        self.thread.join()
        self.listener.close()

    def close(self):
        self.vanish()
        with self.changed:
            still = list(self.open)
        for connection in still:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self.place.close()


class FakePeer(Fake):
    """Answers as a peer would, unless a test tells it otherwise.

    on_get(fake, connection, number) and on_index(fake, connection, headers) replace an answer: they give the bytes to
    send, or None where they sent something themselves; then the connection is closed. `statements` replace what the
    index says of a number: a Record or a list of them. When it vanishes it does not leave: its lease runs on.
    """

    def __init__(self, documents=None, on_get=None, on_index=None, **options):
        self.documents = dict(documents or {})
        self.statements = {}
        self.on_get, self.on_index = on_get, on_index
        self.generation = 1
        self.epoch = random.getrandbits(40) + 1
        super().__init__(**options)

    def answer(self, connection, line, headers):
        m = re.fullmatch(r"GET RFC (\d+) P2P-DI/1\.0", line)
        if m and self.on_get:
            return self.on_get(self, connection, int(m[1]))
        if m:
            return self.document(int(m[1]))
        if line != "GET RFC-Index P2P-DI/1.0":
            return self.head(404)
        if self.on_index:
            return self.on_index(self, connection, headers)
        return self.index(headers)

    # -- what an honest one sends --

    def document(self, number):
        content = self.documents.get(number)
        if content is None:
            return self.head(404)
        return self.head(200, len(content), Content_Type="text/plain", Digest=f"sha-256={sha256(content)}",
                         Title=f"RFC {number}") + content

    def record(self, number, content=None, ttl=7200, holder="-", title=None):
        content = self.documents[number] if content is None else content
        return Record(number, ttl, holder, len(content), sha256(content), title or f"RFC {number}")

    def records(self):
        found = []
        for number in sorted(set(self.documents) | set(self.statements)):
            said = self.statements.get(number)
            if said is None:
                said = [self.record(number)]
            found += said if isinstance(said, list) else [said]
        return found

    def index(self, headers):
        records = self.records()
        generation = f"{self.epoch}.{self.generation}"
        if "rfc" in headers:
            wanted = set()
            for part in headers["rfc"].split(","):
                first, _, last = part.partition("-")
                wanted |= set(range(int(first), int(last or first) + 1))
            body = "".join(r.line for r in records if r.number in wanted).encode()
            return self.head(200, len(body)) + body
        own = [r for r in records if r.holder == "-"]
        if headers.get("if-generation") == generation:
            return self.head(304, Generation=generation, Index_Digest=index_digest(own))
        body = "".join(r.line for r in (own if "if-generation" in headers else records)).encode()
        return self.head(200, len(body), Generation=generation, Index_Digest=index_digest(own)) + body

    # -- for the test --

    def join(self, rs, source=None):
        """Registers at the server; gives who did."""
        registrant = Registrant(rs, source or self.address)
        registrant.register(self.port)
        self.registrant = registrant
        return registrant

    def close(self):
        super().close()
        if hasattr(self, "registrant"):
            self.registrant.close()


class FakeServer(Fake):
    """Answers as a registration server would that knows one peer, the asker, and lists the peers that it is given.

    on_request(fake, line, headers) replaces an answer where it does not give None. A list comes in pages of
    `page` peers.
    """

    def __init__(self, peers=(), on_request=None, page=1000, **options):
        self.peers = list(peers)        # Fakes, or whatever has an address and a port
        self.on_request = on_request
        self.page = page
        self.cookie = random.randint(1, (1 << 53) - 1)
        super().__init__(**options)

    def answer(self, connection, line, headers):
        answer = self.on_request(self, line, headers) if self.on_request else None
        if answer is not None:
            return answer
        lease = {"TTL": 7200, "Keep_Alive": 2400, "Address": connection.getpeername()[0]}
        verb = line.split()[1]
        if verb == "PQuery":
            return self.page_behind(int(headers.get("after", 0)))
        if verb == "Register":
            return self.head(200, Cookie=self.cookie, Peer_Id=1000, **lease)
        return self.head(200, **(lease if verb == "KeepAlive" else {}))

    def page_behind(self, after=0, active=None):
        """Those behind that id, which is a peer's place in the list from 1 on."""
        active = len(self.peers) if active is None else active
        if not self.peers:
            return self.head(204, Active=0)
        body = "".join(f"{p.address}\t{p.port}\t{i}\t7200\t\n" for i, p in enumerate(self.peers, 1)
                       if after < i <= after + self.page).encode()
        return self.head(200, len(body), Active=active) + body

    def said(self):
        """What it was asked, in order: (verb, cookie or None)."""
        with self.changed:
            return [(line.split()[1], headers.get("cookie")) for line, headers in self.heads]
