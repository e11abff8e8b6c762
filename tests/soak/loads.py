# SPDX-License-Identifier: BSD-2-Clause
"""What keeps the daemons at their limit: tests/bench/load, one of it for each kind of exchange, with as many connections as are said here.

Each answer has the status and, where the daemon's state can't change it, the very bytes that it had before all began.
"""

import collections
import os

import programs
from p2pdi.addresses import endpoint
from p2pdi.documents import sha256
from p2pdi.wire import Wire, request

# keep: connections stay open. requests: (bytes, status[, SHA-256])
Load = collections.namedtuple("Load", "kind to connections keep requests")

WHO = {"Host": "soak", "OS": "test"}
# Requests of each kind, at most: more tell nothing new.
REQUESTS = 100


def whole(address, asked):
    """(bytes, status, SHA-256) as it is now; HTTP and P2P-DI have the same frame."""
    with Wire(address) as w:
        w.send(asked)
        while b"\r\n\r\n" not in w.buffer:
            w.receive()
        head, w.buffer = w.buffer.split(b"\r\n\r\n", 1)
        headers = {n.lower(): v.strip() for n, _, v in (line.partition(":") for line in head.decode().split("\r\n")[1:])}
        return asked, int(head.split()[1]), sha256(w.read(int(headers.get("content-length", 0)))), headers


def http(path, **headers):
    return request(f"GET {path}", {"Host": "soak", **headers}, version="HTTP/1.1")


def documents(corpus, numbers, ask):
    """GETs of these, each with the digest that it must have. ask(number): bytes."""
    return [(ask(n), 200, corpus.digests[programs.name_of(n)]) for n in numbers]


def ranges(corpus, numbers, ask):
    """The second half of each. ask(number, first, digest): bytes."""
    found = []
    for n in numbers:
        with open(corpus.path(n), "rb") as f:
            content = f.read()
        first = len(content) // 2
        found.append((ask(n, first, sha256(content)), 206, sha256(content[first:])))
    return found


def of_documents(corpus, bob, carol, numbers, of_carol):
    def p2p(n):
        return request(f"GET RFC {n}", WHO)

    def p2p_from(n, first, digest):
        return request(f"GET RFC {n}", {**WHO, "Range": f"bytes={first}-", "If-Digest": f"sha-256={digest}"})

    def web(n, **headers):
        return http(f"/rfc/rfc{n}.txt", **headers)

    def web_from(n, first, _):
        return web(n, Range=f"bytes={first}-")

    def web_unchanged(n):
        return web(n, If_None_Match=f'"{corpus.digests[programs.name_of(n)]}"'), 304
    return [
        Load("GetRFC", bob, 8, True, documents(corpus, numbers, p2p)),
        Load("GetRFC, a connection each", bob, 4, False, documents(corpus, numbers, p2p)),
        Load("GetRFC, from the middle on", bob, 2, True, ranges(corpus, numbers, p2p_from)),
        Load("GetRFC of what is not held", bob, 1, True, [(p2p(2147483647), 404)]),
        Load("GetRFC of a library that changes", carol, 4, True, documents(corpus, of_carol, p2p)),
        Load("HTTP", bob, 4, True, documents(corpus, numbers, web)),
        Load("HTTP, a connection each", bob, 4, False, documents(corpus, numbers, web)),
        Load("HTTP, a range", bob, 2, True, ranges(corpus, numbers, web_from)),
        Load("HTTP, unchanged", bob, 2, True, [web_unchanged(n) for n in numbers]),
    ]


def of_the_index(bob, carol):
    *everything, headers = whole(bob, request("GET RFC-Index", {**WHO, "If-Generation": "0.0"}))
    return [
        Load("RFCQuery, all own", bob, 2, True, [everything]),
        Load("RFCQuery, unchanged", bob, 2, True, [(request("GET RFC-Index", {**WHO, "If-Generation": headers["generation"]}), 304)]),
        # What others hold is told with what is left of its time: other bytes each second.
        Load("RFCQuery, some and hearsay", bob, 2, True, [(request("GET RFC-Index", {**WHO, "RFC": "1-40"}), 200)]),
        Load("RFCQuery, some, a connection each", carol, 2, False, [(request("GET RFC-Index", {**WHO, "RFC": "1-40"}), 200)]),
        Load("RFC Editor's index", bob, 1, True, [whole(bob, request("GET RFC-Editor-Index", WHO))[:3]]),
        Load("HTTP, the page", bob, 1, True, [whole(bob, http("/"))[:3]]),
        Load("HTTP, a page that changes", carol, 1, False, [(http("/"), 200)]),
    ]


def of_the_server(rs, registered):
    """registered: (source, cookie) of peers that stay. Who is listed to them changes all the time."""
    def ask(line, **headers):
        return [(request(line, {"Cookie": cookie, **headers}), 200) for _, cookie in registered]
    return [
        Load("KeepAlive", rs, 4, True, ask("POST KeepAlive")),
        Load("KeepAlive, a connection each", rs, 2, False, ask("POST KeepAlive")),
        Load("PQuery", rs, 4, True, ask("GET PQuery")),
        Load("PQuery, some of them", rs, 2, True, ask("GET PQuery", Limit=5)),
    ]


def write(loads, directory, registered, restarts):
    """The files of requests: from the addresses that are registered at the server, from many elsewhere. Gives load's arguments of each.

    restarts: of the server, a file.
    """
    found = []
    for i, load in enumerate(loads):
        of_server = b"Cookie: " in load.requests[0][0]
        requests = load.requests if of_server else load.requests[:REQUESTS]
        sources = [source for source, _ in registered] if of_server else [f"127.2.{i}.{1 + j}" for j in range(len(requests))]
        path = os.path.join(directory, f"requests-{i}")
        programs.write_requests(path, [(source, *r) for source, r in zip(sources, requests)])
        arguments = [f"--connect={endpoint(*load.to)}", f"--requests={path}", f"--connections={load.connections}", "--times"]
        found.append((load, arguments + (["--keep"] if load.keep else []) + ([f"--restarts={restarts}"] if of_server else [])))
    return found
