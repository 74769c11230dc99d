"""The node's name server: answers from what the asker may know, over UDP and TCP, and forwards the rest.

Who asks is known by the address; pods on the same Networks have one view. Answers are kept in it by the question's exact
bytes, so a repeated question costs two look-ups; any change of its records empties them. Several addresses are told in
another order each time, since many clients take the first.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

from motet.network.dns import wire
from motet.network.dns.forward import Forwarder, Unanswered
from motet.network.dns.view import View
from motet.network.dns.zone import Answer

_log = logging.getLogger(__name__)

_MOST_KEPT = 20_000
_MOST_FORWARDED = 1_000
_MOST_STREAMS = 200
_STREAM_IDLE_SECONDS = 10.0
_MOST_ORDERS = 8
# Datagrams taken from the socket before others get their turn in the loop.
_DRAIN = 64
_LARGEST_DATAGRAM = 4096
# A burst of this many bytes of questions may wait while the process does something else.
_BUFFER = 1 << 20

Sender = Any


class DnsServer:
    """Views of the names and ways out, on one address. `askers` have views of their own; others have the common one.

    `forwarders` are for askers that want other servers asked than `forwarder` does; whoever puts them here closes them.
    """

    def __init__(self, common: View, forwarder: Forwarder, address: str, port: int = 53) -> None:
        self.askers: dict[str, View] = {}
        self.forwarders: dict[str, Forwarder] = {}
        self.common = common
        self._forwarder = forwarder
        self._address = address
        self._port = port
        self._turn = itertools.count()
        self._asking: set[asyncio.Task[None]] = set()
        self._streams: set[asyncio.Task[None]] = set()
        self._socket: socket.socket

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[int]:
        """Answer for as long as the block lasts; gives the port. Raises OSError when the address cannot be had."""
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as self._socket:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
            self._socket.setblocking(False)
            self._socket.bind((self._address, self._port))
            port = self._socket.getsockname()[1]
            listener = await asyncio.start_server(self._accepted, self._address, port)
            loop.add_reader(self._socket, self._drain)
            try:
                yield port
            finally:
                loop.remove_reader(self._socket)
                listener.close()
                ending = [*self._asking, *self._streams]
                for task in ending:
                    task.cancel()
                await asyncio.gather(*ending, return_exceptions=True)
                await self._forwarder.close()

    def _drain(self) -> None:
        for _ in range(_DRAIN):
            try:
                packet, sender = self._socket.recvfrom(_LARGEST_DATAGRAM)
            except BlockingIOError:
                return
            except OSError as error:
                _log.debug("name server socket: %s", error)
                continue
            if response := self.respond(packet, sender):
                self._send(response, sender)

    def _send(self, response: bytes, sender: Sender) -> None:
        try:
            self._socket.sendto(response, sender)
        except OSError as error:  # full, or nobody can be reached there: the sender will ask again
            _log.debug("name server socket: %s", error)

    def respond(self, packet: bytes, sender: Sender) -> bytes:
        """The answer to one datagram, if it is known here; otherwise nothing, and it follows later."""
        view = self.askers.get(sender[0], self.common)
        kept = view.kept.get(packet[2:])
        if kept is not None:
            return packet[:2] + (kept[0] if len(kept) == 1 else kept[next(self._turn) % len(kept)])
        try:
            query = wire.parse(packet)
        except wire.Malformed as error:
            return wire.complaint(packet, error.rcode)
        answer = view.lookup(query.name, query.type)
        if query.edns:
            return wire.respond(query, wire.BADVERS, authoritative=False)
        if not answer.outside and not answer.follow:
            orders = [wire.cut(response, query) for response in _orders(query, answer)]
            _keep(view, packet[2:], [response[2:] for response in orders])
            return orders[0]
        if len(self._asking) >= _MOST_FORWARDED:
            return wire.respond(query, wire.SERVFAIL, authoritative=False)
        task = asyncio.create_task(self._later(view, packet, query, sender))
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)
        return b""

    async def _later(self, view: View, packet: bytes, query: wire.Query, sender: Sender) -> None:
        self._send(await self._resolve(view, self._way_out(sender[0]), packet, query), sender)

    def _way_out(self, asker: str) -> Forwarder:
        return self.forwarders.get(asker, self._forwarder)

    async def _resolve(
        self, view: View, out: Forwarder, packet: bytes, query: wire.Query, *, stream: bool = False
    ) -> bytes:
        if query.edns:
            return wire.respond(query, wire.BADVERS, authoritative=False)
        answer = view.lookup(query.name, query.type)
        try:
            if answer.outside:
                return await out.ask(packet, stream=stream)
            if answer.follow:
                return wire.cut(await _alias(out, query, answer), query, stream=stream)
        except Unanswered:
            return wire.respond(query, wire.SERVFAIL, authoritative=False)
        return wire.cut(next(_orders(query, answer)), query, stream=stream)

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._streams.add(task)
        try:
            if len(self._streams) <= _MOST_STREAMS:
                await self._stream(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, TimeoutError, wire.Malformed, asyncio.CancelledError):
            pass  # the other side is gone, slow, or not speaking DNS; or we are ending
        finally:
            self._streams.discard(task)
            writer.close()

    async def _stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asker = writer.get_extra_info("peername")[0]
        while True:
            async with asyncio.timeout(_STREAM_IDLE_SECONDS):
                size = int.from_bytes(await reader.readexactly(2), "big")
                packet = await reader.readexactly(size)
                view = self.askers.get(asker, self.common)
                out = self._way_out(asker)
                response = await self._resolve(view, out, packet, wire.parse(packet), stream=True)
                writer.write(len(response).to_bytes(2, "big") + response)
                await writer.drain()


async def _alias(out: Forwarder, query: wire.Query, answer: Answer) -> bytes:
    """The alias, and what it leads to as the upstream says. Raises Unanswered."""
    target = answer.follow
    question = wire.encode_name(target) + query.question[-4:]
    asked = query.id.to_bytes(2, "big") + b"\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00" + question
    found = wire.read_response(await out.ask(asked), 0)
    # Whatever chain of aliases led to them, the addresses are told under the first name.
    wanted = query.type if query.type in (wire.A, wire.AAAA) else -1
    addresses = [wire.Record(target, kind, data) for kind, data in found.answers if kind == wanted]
    return wire.respond(query, found.rcode, (*answer.records, *addresses))


def _keep(view: View, key: bytes, responses: Sequence[bytes]) -> None:
    if len(view.kept) >= _MOST_KEPT:
        view.kept.clear()
    view.kept[key] = responses


def _orders(query: wire.Query, answer: Answer) -> Iterator[bytes]:
    """The answer, beginning with each of its addresses in turn."""
    records = list(answer.records)
    aliases = [record for record in records if record.type == wire.CNAME]
    rest = records[len(aliases) :]
    for start in range(min(len(rest), _MOST_ORDERS) or 1):
        turned = [*aliases, *rest[start:], *rest[:start]]
        yield wire.respond(query, answer.rcode, turned, answer.authority, answer.additional)
