"""Names that are not the cluster's go to the name servers of the machine, byte for byte."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Sequence
from pathlib import Path

_log = logging.getLogger(__name__)

_SECONDS_EACH = 2.0


class Unanswered(Exception):
    """No upstream server answered."""


def from_resolv_conf(path: Path, *, besides: Sequence[str] = ()) -> tuple[str, ...]:
    """The `nameserver` lines of a resolv.conf(5), without `besides`."""
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return ()
    words = [line.split() for line in lines]
    return tuple(word[1] for word in words if len(word) >= 2 and word[0] == "nameserver" and word[1] not in besides)


class _Ask(asyncio.DatagramProtocol):
    def __init__(self, ident: bytes) -> None:
        self.answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._ident = ident

    def datagram_received(self, data: bytes, addr: object) -> None:
        if data[:2] == self._ident and not self.answer.done():
            self.answer.set_result(data)

    def error_received(self, exc: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(exc)


class Forwarder:
    """Asks the upstream servers in order. Every question has a port and a number of its own (RFC 5452)."""

    def __init__(self, servers: Sequence[str], port: int = 53) -> None:
        self._servers = tuple(servers)
        self._port = port

    async def ask(self, packet: bytes, *, stream: bool = False) -> bytes:
        """The first answer, with the question's own number put back. Raises Unanswered."""
        for server in self._servers:
            try:
                ask = self._by_stream(server, packet) if stream else self._by_datagram(server, packet)
                answer = await asyncio.wait_for(ask, _SECONDS_EACH)
            except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
                _log.debug("name server %s: %s", server, error or type(error).__name__)
                continue
            return packet[:2] + answer[2:]
        raise Unanswered

    async def _by_datagram(self, server: str, packet: bytes) -> bytes:
        ident = secrets.token_bytes(2)
        transport, protocol = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: _Ask(ident), remote_addr=(server, self._port)
        )
        try:
            transport.sendto(ident + packet[2:])
            return await protocol.answer
        finally:
            transport.close()

    async def _by_stream(self, server: str, packet: bytes) -> bytes:
        reader, writer = await asyncio.open_connection(server, self._port)
        try:
            writer.write(len(packet).to_bytes(2, "big") + packet)
            return await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))
        finally:
            writer.close()
