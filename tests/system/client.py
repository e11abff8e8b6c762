#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""A client of p2pdi-peerd as anybody can write one from "varlinkctl introspect" and the manual pages; it needs nothing of ours.

usage: client.py SOCKET list      what any peer is known to hold
       client.py SOCKET get RFC   fetches it, checks it, prints it"""

import hashlib
import json
import os
import socket
import sys


class Error(Exception):
    """What a method says it could not do: a name, and an object."""


class Peer:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        self.buffer, self.fds = b"", []

    def call(self, method, more=False, **parameters):
        """Yields the parameters of each reply; without `more` there is one."""
        call = {"method": f"org.p2pdi.Peer.{method}", "parameters": parameters, "more": more}
        self.socket.sendall(json.dumps(call).encode() + b"\0")
        continues = True
        while continues:
            while b"\0" not in self.buffer:
                data, fds, _, _ = socket.recv_fds(self.socket, 65536, 1)
                if not data:
                    raise EOFError("the daemon hung up")
                self.buffer, self.fds = self.buffer + data, self.fds + fds
            message, _, self.buffer = self.buffer.partition(b"\0")
            reply = json.loads(message)
            if "error" in reply:
                raise Error(reply["error"].rpartition(".")[2], reply.get("parameters", {}))
            continues = reply.get("continues", False)
            yield reply["parameters"]


peer = Peer(sys.argv[1])
try:
    if sys.argv[2] == "list":
        for reply in peer.call("List", more=True, all=True):
            if document := reply.get("document"):  # the last one of an empty list has none
                print(document["number"], document["size"], document["holders"], document["title"], sep="\t")
    else:
        for reply in peer.call("Get", more=True, numbers=[int(sys.argv[3])]):
            print(reply["download"]["state"], reply["download"].get("received", 0), file=sys.stderr)
        (document,) = [reply["document"] for reply in peer.call("Open", number=int(sys.argv[3]))]
        with os.fdopen(peer.fds.pop(), "rb") as file:
            content = file.read()
        assert hashlib.sha256(content).hexdigest() == document["sha256"]
        sys.stdout.buffer.write(content)
except Error as error:
    sys.exit("%s %s" % error.args)
