"""A port that is free for both of DNS's ways, outside of those that the kernel gives to anybody's connections."""

from __future__ import annotations

import random
import socket

_LOW, _HIGH = 20_000, 32_000


def free_port(address: str = "127.0.0.1") -> int:
    while True:
        port = random.randrange(_LOW, _HIGH)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams, socket.socket() as streams:
            try:
                datagrams.bind((address, port))
                streams.bind((address, port))
            except OSError:
                continue
            return port
