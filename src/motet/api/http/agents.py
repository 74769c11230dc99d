"""Connecting to the agent of a node, and reading an ordinary answer from it.

The cluster's root signs certificates for many; whoever answers must hold the one of this very node. Its address does not
matter: the node said it itself.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from motet.api.http.authorize import NODE_PREFIX
from motet.base.errors import Unavailable

CONNECT_SECONDS = 10.0
HEAD_SECONDS = 30.0
_MAX_REFUSAL = 1024 * 1024
_PIECE = 64 * 1024


@dataclass(frozen=True, slots=True)
class Agent:
    """Where a node's agent listens."""

    node: str
    host: str
    port: int

    def unreachable(self, error: BaseException) -> Unavailable:
        """503 that names the node, its address and what went wrong."""
        why = str(error) or type(error).__name__
        return Unavailable(f'the agent of node "{self.node}" ({self.host}:{self.port}) cannot be reached: {why}')

    def check(self, certificate: dict[str, Any] | None) -> None:
        """Raises Unavailable unless this verified peer certificate is the node's."""
        subject = (certificate or {}).get("subject", ())
        names = [value for part in subject for key, value in part if key == "commonName"]
        if names[-1:] != [NODE_PREFIX + self.node]:
            shown = names[-1] if names else "nobody"
            raise self.unreachable(ssl.SSLError(f'its certificate is that of "{shown}"'))


class Answer:
    """An answer being read. Raises ConnectionError, asyncio.IncompleteReadError, ValueError when it breaks off."""

    def __init__(self, status: int, headers: dict[str, str], reader: asyncio.StreamReader) -> None:
        self.status = status
        self.headers = headers
        self._reader = reader

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body as it comes."""
        reader = self._reader
        length = self.headers.get("content-length")
        if "chunked" in self.headers.get("transfer-encoding", "").lower():
            while size := int((await reader.readuntil(b"\n")).split(b";")[0], 16):
                async for piece in self._exactly(size):
                    yield piece
                await reader.readuntil(b"\n")
        elif length is not None:
            async for piece in self._exactly(int(length)):
                yield piece
        else:
            while piece := await reader.read(_PIECE):
                yield piece

    async def body(self) -> bytes:
        """All of a short body; what goes beyond a megabyte is left out."""
        parts, size = [], 0
        async for piece in self.pieces():
            parts.append(piece)
            size += len(piece)
            if size > _MAX_REFUSAL:
                break
        return b"".join(parts)[:_MAX_REFUSAL]

    async def _exactly(self, left: int) -> AsyncIterator[bytes]:
        while left:
            piece = await self._reader.read(min(left, _PIECE))
            if not piece:
                raise asyncio.IncompleteReadError(b"", left)
            left -= len(piece)
            yield piece


async def get(agent: Agent, path: str, tls: ssl.SSLContext) -> tuple[Answer, asyncio.StreamWriter]:
    """Ask for `path`; close the writer when done. Raises Unavailable."""
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            reader, writer = await asyncio.open_connection(agent.host, agent.port, ssl=tls)
    except (OSError, TimeoutError) as error:
        raise agent.unreachable(error) from error
    try:
        agent.check(writer.get_extra_info("peercert"))
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {agent.host}:{agent.port}\r\nConnection: close\r\n\r\n".encode())
        async with asyncio.timeout(HEAD_SECONDS):
            head = await reader.readuntil(b"\r\n\r\n")
        status, headers = parse_head(head)
    except (OSError, TimeoutError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
        writer.transport.abort()
        raise agent.unreachable(error) from error
    except BaseException:
        writer.transport.abort()
        raise
    return Answer(status, headers, reader), writer


def parse_head(head: bytes) -> tuple[int, dict[str, str]]:
    """Status and headers (names in lower case) of an answer's head. Raises ValueError."""
    lines = head.decode("latin-1").split("\r\n")
    version, _, rest = lines[0].partition(" ")
    if not version.startswith("HTTP/1."):
        raise ValueError(f"{lines[0][:80]!r} does not begin an answer of HTTP/1.1")
    pairs = (line.partition(":") for line in lines[1:] if line)
    return int(rest[:3]), {name.strip().lower(): value.strip() for name, _, value in pairs}
