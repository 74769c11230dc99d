"""The node's name server: answers from the zone, over UDP and TCP, and forwards the rest.

Answers are kept by the question's exact bytes, so a repeated question costs one look-up; any change of the zone
empties them.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator

from motet.network.dns import wire
from motet.network.dns.forward import Forwarder, Unanswered
from motet.network.dns.zone import Zone

_log = logging.getLogger(__name__)

_MOST_KEPT = 20_000
_MOST_FORWARDED = 1_000
_STREAM_IDLE_SECONDS = 10.0


class DnsServer:
    """One zone and one way out, on one address."""

    def __init__(self, zone: Zone, forwarder: Forwarder, address: str, port: int = 53) -> None:
        self._zone = zone
        self._forwarder = forwarder
        self._address = address
        self._port = port
        self._kept: dict[bytes, bytes] = {}
        self._asking: set[asyncio.Task[None]] = set()

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Answer for as long as the block lasts. Raises OSError when the address cannot be had."""
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(
            lambda: _Datagrams(self), local_addr=(self._address, self._port)
        )
        try:
            listener = await asyncio.start_server(self._stream, self._address, self._port)
        except OSError:
            transport.close()
            raise
        try:
            yield
        finally:
            transport.close()
            listener.close()
            for task in self._asking:
                task.cancel()
            await asyncio.gather(*self._asking, return_exceptions=True)

    def changed(self) -> None:
        """The zone is another now."""
        self._kept.clear()

    def datagram(self, transport: asyncio.DatagramTransport, packet: bytes, sender: tuple[str, int]) -> None:
        """Answer one UDP packet, at once if the answer is known here."""
        kept = self._kept.get(packet[2:])
        if kept is not None:
            transport.sendto(packet[:2] + kept, sender)
            return
        try:
            query = wire.parse(packet)
        except wire.Malformed:
            if len(packet) >= 12 and not packet[2] & 0x80:
                transport.sendto(packet[:2] + b"\x80\x01" + bytes(8), sender)
            return
        answer = self._zone.lookup(query.name, query.type)
        if not answer.outside and not answer.follow:
            response = wire.cut(wire.respond(query, answer.rcode, answer.records, answer.authority), query)
            if len(self._kept) >= _MOST_KEPT:
                self._kept.clear()
            self._kept[packet[2:]] = response[2:]
            transport.sendto(response, sender)
            return
        if len(self._asking) >= _MOST_FORWARDED:
            transport.sendto(wire.respond(query, wire.SERVFAIL, authoritative=False), sender)
            return
        task = asyncio.create_task(self._later(transport, packet, query, sender))
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)

    async def _later(
        self, transport: asyncio.DatagramTransport, packet: bytes, query: wire.Query, sender: tuple[str, int]
    ) -> None:
        response = await self._resolve(packet, query, stream=False)
        if not transport.is_closing():
            transport.sendto(response, sender)

    async def _resolve(self, packet: bytes, query: wire.Query, *, stream: bool) -> bytes:
        answer = self._zone.lookup(query.name, query.type)
        try:
            if answer.outside:
                return await self._forwarder.ask(packet, stream=stream)
            if answer.follow:
                return await self._alias(query, answer.records[0], answer.follow)
        except Unanswered:
            return wire.respond(query, wire.SERVFAIL, authoritative=False)
        return wire.respond(query, answer.rcode, answer.records, answer.authority)

    async def _alias(self, query: wire.Query, alias: wire.Record, target: str) -> bytes:
        """The alias, and what it leads to: in the zone, or as the upstream says."""
        inside = self._zone.lookup(target, query.type)
        if not inside.outside:
            return wire.respond(query, wire.NOERROR, (alias, *inside.records))
        question = wire.encode_name(target) + query.question[-4:]
        asked = query.id.to_bytes(2, "big") + b"\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00" + question
        found = await self._forwarder.ask(asked)
        return wire.respond(query, wire.NOERROR, (alias, *_answers(found, target, query.type)))

    async def _stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, TimeoutError, wire.Malformed):
            while True:
                async with asyncio.timeout(_STREAM_IDLE_SECONDS):
                    size = int.from_bytes(await reader.readexactly(2), "big")
                    packet = await reader.readexactly(size)
                    response = await self._resolve(packet, wire.parse(packet), stream=True)
                    writer.write(len(response).to_bytes(2, "big") + response)
                    await writer.drain()
        writer.close()


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, server: DnsServer) -> None:
        self._server = server
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if self._transport is not None and len(data) >= 12:
            self._server.datagram(self._transport, data, addr)

    def error_received(self, exc: Exception) -> None:
        _log.debug("name server socket: %s", exc)


def _answers(message: bytes, name: str, kind: int) -> list[wire.Record]:
    """Address records of an upstream's answer, whatever chain of aliases led to them, under `name`."""
    if kind not in (wire.A, wire.AAAA):
        return []
    count = int.from_bytes(message[6:8], "big")
    at = _skip_name(message, 12) + 4
    found = []
    for _ in range(count):
        at = _skip_name(message, at)
        record_type = int.from_bytes(message[at : at + 2], "big")
        size = int.from_bytes(message[at + 8 : at + 10], "big")
        data = message[at + 10 : at + 10 + size]
        at += 10 + size
        if record_type == kind:
            found.append(wire.Record(name, kind, data))
    return found


def _skip_name(message: bytes, at: int) -> int:
    while length := message[at]:
        if length >= 0xC0:
            return at + 2
        at += 1 + length
    return at + 1
