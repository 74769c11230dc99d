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

import msgspec

from motet.api.registry import Registry
from motet.api.users import CONTROLLERS, NODE_PREFIX
from motet.base.errors import NotFound, Unavailable
from motet.kinds import node as node_kind
from motet.store.document import Document

CONNECT_SECONDS = 10.0
HEAD_SECONDS = 30.0
_MAX_REFUSAL = 1024 * 1024
_PIECE = 64 * 1024


class _Address(msgspec.Struct, gc=False, frozen=True):
    type: str = ""
    address: str = ""


class _Endpoint(msgspec.Struct, gc=False, frozen=True, rename="pascal"):
    port: int = 0


class _Endpoints(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    kubelet_endpoint: _Endpoint = _Endpoint()


class _NodeStatus(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    addresses: tuple[_Address, ...] | None = None
    daemon_endpoints: _Endpoints = _Endpoints()


class NodeView(msgspec.Struct, gc=False, frozen=True):
    status: _NodeStatus = _NodeStatus()


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


async def locate(registry: Registry, name: str, pod: str = "") -> Agent:
    """The agent of the node `name`, where `pod` runs. Raises Unavailable when there is no such node or it has no address yet."""
    try:
        node = await registry.get(node_kind.KIND, "", name, CONTROLLERS)
    except NotFound:
        of = f' of pod "{pod}"' if pod else ""
        raise Unavailable(f'node "{name}"{of} is not part of the cluster') from None
    return agent_of(node)


def agent_of(node: Document) -> Agent:
    """Raises Unavailable."""
    status = node.view(NodeView).status
    host = next((item.address for item in status.addresses or () if item.type == "InternalIP"), "")
    port = status.daemon_endpoints.kubelet_endpoint.port
    if not host or not port:
        raise Unavailable(f'node "{node.name}" has not told its address yet')
    return Agent(node.name, host, port)


class Answer:
    """An answer being read. Raises ConnectionError, asyncio.IncompleteReadError, ValueError when it breaks off."""

    def __init__(self, status: int, headers: dict[str, str], reader: asyncio.StreamReader, head: bytes = b"") -> None:
        self.status = status
        self.headers = headers
        self.head = head
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

    async def everything(self) -> bytes:
        """All of the body."""
        return b"".join([piece async for piece in self.pieces()])

    async def _exactly(self, left: int) -> AsyncIterator[bytes]:
        while left:
            piece = await self._reader.read(min(left, _PIECE))
            if not piece:
                raise asyncio.IncompleteReadError(b"", left)
            left -= len(piece)
            yield piece


async def get(agent: Agent, path: str, tls: ssl.SSLContext) -> tuple[Answer, asyncio.StreamWriter]:
    """Ask for `path`; close the writer when done. Raises Unavailable."""
    reader, writer = await dial(agent, tls)
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {agent.host}:{agent.port}\r\nConnection: close\r\n\r\n".encode())
        async with asyncio.timeout(HEAD_SECONDS):
            return await read_answer(reader), writer
    except (OSError, TimeoutError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
        writer.transport.abort()
        raise agent.unreachable(error) from error
    except BaseException:
        writer.transport.abort()
        raise


async def dial(agent: Agent, tls: ssl.SSLContext) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection to the agent, which has proven who it is. Raises Unavailable."""
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            reader, writer = await asyncio.open_connection(agent.host, agent.port, ssl=tls)
    except (OSError, TimeoutError) as error:
        raise agent.unreachable(error) from error
    try:
        agent.check(writer.get_extra_info("peercert"))
    except BaseException:
        writer.transport.abort()
        raise
    return reader, writer


async def read_answer(reader: asyncio.StreamReader) -> Answer:
    """The head of an answer; interim ones are passed over. Raises ValueError and what reading raises."""
    while True:
        head = await reader.readuntil(b"\r\n\r\n")
        status, headers = parse_head(head)
        if status >= 200 or status == 101:
            return Answer(status, headers, reader, head)


def parse_head(head: bytes) -> tuple[int, dict[str, str]]:
    """Status and headers (names in lower case) of an answer's head. Raises ValueError."""
    lines = head.decode("latin-1").split("\r\n")
    version, _, rest = lines[0].partition(" ")
    if not version.startswith("HTTP/1."):
        raise ValueError(f"{lines[0][:80]!r} does not begin an answer of HTTP/1.1")
    pairs = (line.partition(":") for line in lines[1:] if line)
    return int(rest[:3]), {name.strip().lower(): value.strip() for name, _, value in pairs}
