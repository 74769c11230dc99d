"""Names that are not the cluster's go to the name servers of the machine, byte for byte.

Answers are kept for as long as they may be, half a minute at most, and one question that many ask at once is asked once.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path

from motet.network.dns import wire

_log = logging.getLogger(__name__)

_SECONDS_EACH = 2.0
_LONGEST_KEPT = 30
_MOST_KEPT = 10_000


class Unanswered(Exception):
    """No upstream server answered."""


class ResolvConf:
    """The `nameserver` lines of a resolv.conf(5), without `besides`; read again when the file changes."""

    def __init__(self, path: Path, *, besides: Sequence[str] = ()) -> None:
        self._path = path
        self._besides = besides
        self._seen: tuple[int, int] = (0, 0)
        self._servers: tuple[str, ...] = ()

    def __call__(self) -> tuple[str, ...]:
        with contextlib.suppress(OSError):
            stat = self._path.stat()
            if (stat.st_mtime_ns, stat.st_ino) != self._seen:
                self._seen = stat.st_mtime_ns, stat.st_ino
                words = [line.split() for line in self._path.read_text().splitlines()]
                named = [word[1] for word in words if len(word) >= 2 and word[0] == "nameserver"]
                self._servers = tuple(server for server in named if server not in self._besides)
        return self._servers


class _Ask(asyncio.DatagramProtocol):
    """One question under way. Only an answer with its number and its words counts (RFC 5452)."""

    def __init__(self, question: bytes) -> None:
        self.answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._ident, self._words = question[:2], _words(question)

    def datagram_received(self, data: bytes, addr: object) -> None:
        if data[:2] == self._ident and _words(data) == self._words and not self.answer.done():
            self.answer.set_result(data)

    def error_received(self, exc: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(exc)


def _words(packet: bytes) -> bytes:
    """The question of a message, in lower case."""
    try:
        at = 12
        while length := packet[at]:
            at += 1 + length
    except IndexError:
        return b""
    return packet[12 : at + 5].lower()


class Forwarder:
    """Asks the upstream servers in turn, the one that answered last first. Every question has a port and a number of its own."""

    def __init__(
        self, servers: Callable[[], Sequence[str]], port: int = 53, *, patience: float = _SECONDS_EACH
    ) -> None:
        self._servers = servers
        self._port = port
        self._patience = patience
        self._good = ""
        self._kept: dict[tuple[bool, bytes], tuple[float, bytes]] = {}
        self._asking: dict[tuple[bool, bytes], asyncio.Task[bytes]] = {}

    async def ask(self, packet: bytes, *, stream: bool = False) -> bytes:
        """The first answer, with the question's own number put back. Raises Unanswered."""
        key = stream, packet[2:]
        now = asyncio.get_running_loop().time()
        if (kept := self._kept.get(key)) is not None and kept[0] > now:
            return packet[:2] + kept[1]
        asking = self._asking.get(key)
        if asking is None:
            asking = self._asking[key] = asyncio.create_task(self._ask(packet, stream))
            asking.add_done_callback(lambda _: self._asking.pop(key, None))
        answer = (await asyncio.shield(asking))[2:]
        return packet[:2] + answer

    @property
    def busy(self) -> bool:
        """Whether something is being asked."""
        return bool(self._asking)

    async def close(self) -> None:
        """Give up what is being asked."""
        asking = list(self._asking.values())
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)

    async def _ask(self, packet: bytes, stream: bool) -> bytes:
        unhelpful = b""
        for server in sorted(self._servers(), key=lambda server: server != self._good):
            try:
                async with asyncio.timeout(self._patience):
                    answer = await (self._by_stream if stream else self._by_datagram)(server, packet)
                found = wire.read_response(answer, _LONGEST_KEPT)
            except (OSError, TimeoutError, asyncio.IncompleteReadError, wire.Malformed) as error:
                _log.debug("name server %s: %s", server, error or type(error).__name__)
                continue
            if found.rcode in (wire.SERVFAIL, wire.REFUSED):
                unhelpful = unhelpful or answer
                continue
            self._good = server
            self._keep((stream, packet[2:]), answer, found.lifetime)
            return answer
        if unhelpful:
            return unhelpful
        raise Unanswered

    def _keep(self, key: tuple[bool, bytes], answer: bytes, seconds: int) -> None:
        if seconds <= 0:
            return
        if len(self._kept) >= _MOST_KEPT:
            self._kept.clear()
        self._kept[key] = asyncio.get_running_loop().time() + seconds, answer[2:]

    async def _by_datagram(self, server: str, packet: bytes) -> bytes:
        question = secrets.token_bytes(2) + packet[2:]
        transport, protocol = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: _Ask(question), remote_addr=(server, self._port)
        )
        try:
            transport.sendto(question)
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
