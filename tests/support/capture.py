"""What passes a port of a switch, as somebody with a tap there would see it (packet(7))."""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Iterator

from network.lab import inside

_ALL = 3  # ETH_P_ALL
_BUFFER = 64 * 1024 * 1024
_SO_RCVBUFFORCE = 33


class Tap:
    """Frames since it was opened."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._frames: list[bytes] = []

    def frames(self) -> list[bytes]:
        with contextlib.suppress(BlockingIOError):
            while True:
                self._frames.append(self._sock.recv(1 << 17))
        return self._frames

    def shows(self, text: bytes) -> bool:
        return any(text in frame for frame in self.frames())

    def datagrams(self, port: int) -> list[bytes]:
        """What UDP datagrams to this port carry."""
        return [found for frame in self.frames() if (found := _datagram(frame, port))]


def _datagram(frame: bytes, port: int) -> bytes:
    if frame[12:14] != b"\x08\x00" or frame[23] != socket.IPPROTO_UDP:
        return b""
    start = 14 + (frame[14] & 0xF) * 4
    (to,) = struct.unpack_from("!H", frame, start + 2)
    return frame[start + 8 :] if to == port else b""


@contextlib.contextmanager
def tap(namespace: str, link: str) -> Iterator[Tap]:
    """Listen at a link of a network namespace."""
    with inside(namespace):
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ALL))
    with sock:
        sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER)
        sock.bind((link, _ALL))
        sock.setblocking(False)
        yield Tap(sock)
