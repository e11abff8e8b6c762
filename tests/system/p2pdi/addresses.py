# SPDX-License-Identifier: BSD-2-Clause
"""Addresses and ports: how they are written, and how a port stays ours."""

import socket

import pytest


def endpoint(address, port):
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def split_endpoint(text):
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


def family_of(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


class Place:
    """An address and port that stays ours, whether somebody listens there or not.

    A bound socket that does not listen keeps the port: what connects meanwhile is refused. SO_REUSEPORT is set after
    its bind, so that the kernel gives the port to nobody else.
    """

    def __init__(self, address="127.0.0.1"):
        self.address = address
        try:
            self.keeper = socket.socket(family_of(address), socket.SOCK_STREAM)
            self.keeper.bind((address, 0))
        except OSError as e:
            if ":" not in address:
                raise
            pytest.skip(f"this host has no IPv6: {e}")
        self.keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self.port = self.keeper.getsockname()[1]
        self.text = endpoint(address, self.port)

    def listen(self):
        s = socket.socket(family_of(self.address), socket.SOCK_STREAM)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        s.bind((self.address, self.port))
        s.listen(4096)
        return s

    def close(self):
        self.keeper.close()
