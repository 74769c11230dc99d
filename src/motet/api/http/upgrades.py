"""Connections that stop being HTTP: begun with an upgrade at an agent, then bytes both ways until either side ends it."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterable
from typing import Any, Protocol

from aiohttp import web

from motet.api.http.agents import CONNECT_SECONDS, HEAD_SECONDS
from motet.api.http.pipes import AgentEnd, ClientEnd
from motet.base.errors import Unavailable


class Listener(Protocol):
    """Who is asked for an upgrade: an agent, or the server of an API."""

    @property
    def host(self) -> str: ...

    @property
    def port(self) -> int: ...

    def unreachable(self, error: BaseException) -> Unavailable:
        """503 that says who cannot be reached and why."""
        ...

    def check(self, certificate: dict[str, Any] | None) -> None:
        """Raises Unavailable for the verified certificate of somebody else."""
        ...


def asked(request: web.BaseRequest) -> bool:
    """Whether a client wants to go on in another protocol."""
    return "upgrade" in request.headers.get("Connection", "").lower()


async def begin(
    agent: Listener, method: str, path: str, headers: Iterable[tuple[str, str]], tls: ssl.SSLContext, name: str = ""
) -> tuple[AgentEnd, int, dict[str, str], bytes]:
    """Ask the agent for an upgrade: (its end, the status it answered, its headers, what came after them).

    `name` is what it is called, should that not be its address: its certificate has to be good for it.
    Whoever calls aborts the end when done. Raises Unavailable.
    """
    far = AgentEnd()
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            await asyncio.get_running_loop().create_connection(
                lambda: far, agent.host, agent.port, ssl=tls, server_hostname=name or None
            )
    except (OSError, TimeoutError) as error:
        raise agent.unreachable(error) from error
    try:
        agent.check(far.transport.get_extra_info("peercert") if far.transport else None)
        far.write(_head(name or agent.host, agent.port, method, path, headers))
        async with asyncio.timeout(HEAD_SECONDS):
            return far, *(await far.answer())
    except (TimeoutError, ConnectionError, ValueError) as error:
        far.abort()
        raise agent.unreachable(error) from error
    except BaseException:
        far.abort()
        raise


async def splice(request: web.BaseRequest, far: AgentEnd, first: bytes) -> web.StreamResponse:
    """Hand the client's connection to a pipe that begins with `first`, until either side ends it."""
    transport = request.transport
    if transport is None:
        raise ConnectionResetError("the client has left")
    protocol = request.protocol
    near = ClientEnd(transport, far)
    transport.set_protocol(near)
    near.forward(first)
    far.splice(near)
    try:
        await near.ended
    finally:
        near.finish()
        # aiohttp lost its transport when we took it; tell it so, or the connection stays on its books.
        protocol.connection_lost(None)
    return web.Response(status=101)


def _head(host: str, port: int, method: str, path: str, headers: Iterable[tuple[str, str]]) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}:{port}"]
    lines += [f"{name}: {value}" for name, value in headers]
    if method == "POST":
        lines.append("Content-Length: 0")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "surrogateescape")
