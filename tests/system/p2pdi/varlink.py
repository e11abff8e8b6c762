# SPDX-License-Identifier: BSD-2-Clause
"""The control socket, by hand."""

import fcntl
import json
import os
import socket
import struct

from p2pdi.base import PATIENCE, Closing
from p2pdi.wire import Closed


class Varlink(Closing):
    """Calls over one connection, as jansson-free as can be."""

    def __init__(self, path, timeout=PATIENCE):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        # While the backlog is full connect() waits as long as a send would; with settimeout() it would just fail.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", timeout, 0))
        self.socket.connect(path)
        self.socket.settimeout(timeout)
        self.buffer = b""

    def close(self):
        self.socket.close()

    def send(self, method, parameters=None, fd=None, **flags):
        message = json.dumps({"method": method, "parameters": parameters or {}, **flags}).encode() + b"\0"
        if fd is not None:
            message = message[socket.send_fds(self.socket, [message], [fd]):]
        self.socket.sendall(message)

    def reply(self):
        while b"\0" not in self.buffer:
            data = self.socket.recv(65536)
            if not data:
                raise Closed("the control socket was closed")
            self.buffer += data
        message, self.buffer = self.buffer.split(b"\0", 1)
        return json.loads(message)

    def call(self, method, parameters=None, **flags):
        self.send(method, parameters, **flags)
        return self.reply()

    def call_more(self, method, parameters=None):
        """All replies of a call with more, as they come."""
        self.send(method, parameters, more=True)
        continues = True
        while continues:
            reply = self.reply()
            continues = reply.get("continues", False)
            yield reply


def sealed(content, seals=fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SHRINK):
    """A descriptor of a file in memory that nobody can change any more."""
    fd = os.memfd_create("test", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.write(fd, content)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
    return fd
