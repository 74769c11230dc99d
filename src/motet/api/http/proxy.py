"""`proxy` subresources of pods, services and nodes: a request passed on through the agent of the node that it is for.

A manager need not be part of the pods' network. It asks the agent of a pod's node to connect to the pod, and speaks
HTTP over that connection; for a node it asks the agent itself. An endpoint that is no pod's is connected to directly.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import ssl
import zlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from urllib.parse import quote

import msgspec
from aiohttp import web
from multidict import CIMultiDict

from motet.api.http import agents, proxying, upgrades
from motet.api.http.agents import CONNECT_SECONDS, HEAD_SECONDS, Agent, Answer
from motet.api.http.calls import ResourceCall
from motet.api.http.proxying import Backend, ServiceView, SliceView, Wanted
from motet.api.options import ListOptions
from motet.api.registry import Registry
from motet.api.users import CONTROLLERS
from motet.base.errors import BadRequest, InternalError, NotFound, Unavailable
from motet.base.selectors import from_map
from motet.kinds import endpointslice, pod, service
from motet.store.document import Document

_SERVICE_LABEL = "kubernetes.io/service-name"
_PIECE = 64 * 1024
# A page longer than this is passed on with its links as they are.
_LONGEST_PAGE = 4 * 1024 * 1024

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class _Port(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    container_port: int = 0


class _Container(msgspec.Struct, gc=False, frozen=True):
    ports: tuple[_Port, ...] | None = None


class _PodSpec(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    node_name: str = ""
    containers: tuple[_Container, ...] = ()


class PodView(msgspec.Struct, gc=False, frozen=True):
    spec: _PodSpec = _PodSpec()


@dataclass(frozen=True, slots=True)
class _Way:
    """How to get there: through the `agent` of a node with the path `connect`, to the agent itself, or to an address."""

    host: str
    agent: Agent | None = None
    connect: str = ""
    address: tuple[str, int] = ("", 0)
    tls: ssl.SSLContext | None = None


class Proxies:
    """Handlers of the proxy subresources. `tls` proves to agents that we are a manager."""

    def __init__(self, registry: Registry, tls: ssl.SSLContext | None) -> None:
        self._registry = registry
        self._tls = tls

    async def serve(self, call: ResourceCall) -> web.StreamResponse:
        """Pass the request on, and the answer back. Raises ApiError until the other end has answered."""
        request, target = call.request, call.target
        if not target.beyond and request.method in ("GET", "HEAD"):
            # Links on a page are relative to a directory.
            query = request.rel_url.raw_query_string
            where = f"{request.rel_url.raw_path}/" + (f"?{query}" if query else "")
            return web.Response(status=301, headers={"Location": where})
        way = await self._way(call)
        if upgrades.asked(request):
            return await self._upgrade(call, way)
        try:
            reader, writer = await self._connect(way)
        except (OSError, TimeoutError) as error:
            raise _unreachable(error) from error
        try:
            return await self._exchange(call, way, reader, writer)
        finally:
            writer.transport.abort()

    # --- whom it is for -----------------------------------------------------------------------------------------------

    async def _way(self, call: ResourceCall) -> _Way:
        plural = call.kind.plural
        asked = proxying.wanted(plural.removesuffix("s"), call.target.name)
        if plural == "nodes":
            return await self._to_node(asked)
        if plural == "services":
            return await self._to_service(call, asked)
        return await self._to_pod(call.namespace, asked)

    async def _to_node(self, asked: Wanted) -> _Way:
        agent = await agents.locate(self._registry, asked.name)
        port = proxying.port_number(asked.port, agent.port)
        if port != agent.port:
            return _Way(f"{agent.host}:{port}", agent, f"/connect/{port}?scheme={asked.scheme}")
        return _Way(f"{agent.host}:{port}", agent)

    async def _to_service(self, call: ResourceCall, asked: Wanted) -> _Way:
        found = await self._registry.get(service.KIND, call.namespace, asked.name, call.user)
        which = ListOptions(labels=from_map({_SERVICE_LABEL: asked.name}))
        page = await self._registry.list(endpointslice.KIND, call.namespace, CONTROLLERS, which)
        slices = [document.view(SliceView) for document in page.documents]
        choice = proxying.backends(found.view(ServiceView), slices, asked)
        picked: Backend = random.choice(choice)  # noqa: S311
        if picked.pod:
            with contextlib.suppress(NotFound):
                there = Wanted(asked.scheme, picked.pod, str(picked.port))
                return await self._to_pod(call.namespace, there)
        if not proxying.proxyable(picked.address):
            raise BadRequest("address not allowed")
        tls = _trusting() if asked.scheme == "https" else None
        host = f"[{picked.address}]" if ":" in picked.address else picked.address
        return _Way(f"{host}:{picked.port}", address=(picked.address, picked.port), tls=tls)

    async def _to_pod(self, namespace: str, asked: Wanted) -> _Way:
        found: Document = await self._registry.get(pod.KIND, namespace, asked.name, CONTROLLERS)
        spec = found.view(PodView).spec
        if not spec.node_name:
            raise BadRequest(f'pod "{asked.name}" does not have a host assigned')
        first = next((container.ports[0].container_port for container in spec.containers if container.ports), 0)
        port = proxying.port_number(asked.port, first or (443 if asked.scheme == "https" else 80))
        agent = await agents.locate(self._registry, spec.node_name, asked.name)
        parts = "/".join(quote(part, safe="") for part in (namespace, asked.name, str(port)))
        return _Way(f"{asked.name}:{port}", agent, f"/connect/{parts}?scheme={asked.scheme}")

    # --- getting there ------------------------------------------------------------------------------------------------

    def _shown(self) -> ssl.SSLContext:
        if self._tls is None:
            raise InternalError("this manager has no certificate to show to agents")
        return self._tls

    async def _connect(self, way: _Way) -> Connection:
        """Raises OSError, TimeoutError, Unavailable."""
        if way.agent is None:
            async with asyncio.timeout(CONNECT_SECONDS):
                return await asyncio.open_connection(*way.address, ssl=way.tls)
        reader, writer = await agents.dial(way.agent, self._shown())
        if not way.connect:
            return reader, writer
        try:
            writer.write(_connecting(way.agent, way.connect))
            async with asyncio.timeout(HEAD_SECONDS):
                answer = await agents.read_answer(reader)
                if answer.status != 101:
                    raise _unreachable(_reason(await answer.body()))
        except (OSError, TimeoutError, ValueError, asyncio.IncompleteReadError) as error:
            writer.transport.abort()
            raise way.agent.unreachable(error) from error
        except BaseException:
            writer.transport.abort()
            raise
        return reader, writer

    async def _upgrade(self, call: ResourceCall, way: _Way) -> web.StreamResponse:
        """What the client wants to speak is between it and the other end; we pass on bytes."""
        if way.agent is None or not way.connect:
            raise BadRequest("only pods can be asked to speak another protocol")
        headers = (("Connection", "Upgrade"), ("Upgrade", "tcp"))
        far, status, head, rest = await upgrades.begin(way.agent, "GET", way.connect, headers, self._shown())
        try:
            if status != 101:
                raise _unreachable(_reason(await far.body(head, rest)))
            far.write(_head(call, way, upgrade=True))
            return await upgrades.splice(call.request, far, rest)
        finally:
            far.abort()

    # --- request and answer -------------------------------------------------------------------------------------------

    async def _exchange(
        self, call: ResourceCall, way: _Way, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> web.StreamResponse:
        writer.write(_head(call, way))
        sending = asyncio.create_task(_send_body(call.request, writer))
        try:
            try:
                answer = await agents.read_answer(reader)
            except (OSError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
                raise _unreachable(error) from error
            return await _pass_back(call, way, answer)
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)


def _connecting(agent: Agent, path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: {agent.host}:{agent.port}\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n".encode()


def _head(call: ResourceCall, way: _Way, *, upgrade: bool = False) -> bytes:
    request = call.request
    query = request.rel_url.raw_query_string
    path = (call.target.beyond or "/") + (f"?{query}" if query else "")
    length = request.headers.get("Content-Length", "")
    body = "chunked" if "chunked" in request.headers.get("Transfer-Encoding", "").lower() else length
    fields = proxying.request_fields(
        ((name, value) for name, value in request.headers.items() if name.lower() != "host"),
        client=request.remote or "",
        path=request.rel_url.raw_path,
        host=request.headers.get("Host", ""),
        body=body,
    )
    if upgrade:
        fields = [pair for pair in fields if pair[0] != "Connection"]
        fields += [("Connection", "Upgrade"), ("Upgrade", request.headers.get("Upgrade", ""))]
    lines = [f"{request.method} {path} HTTP/1.1", f"Host: {request.headers.get('Host') or way.host}"]
    lines += [f"{name}: {value}" for name, value in fields]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "surrogateescape")


async def _send_body(request: web.BaseRequest, writer: asyncio.StreamWriter) -> None:
    chunked = "chunked" in request.headers.get("Transfer-Encoding", "").lower()
    with contextlib.suppress(ConnectionError):
        async for piece in request.content.iter_any():
            writer.write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
            await writer.drain()
        if chunked:
            writer.write(b"0\r\n\r\n")
            await writer.drain()


async def _pass_back(call: ResourceCall, way: _Way, answer: Answer) -> web.StreamResponse:
    prefix = call.request.rel_url.raw_path.removesuffix(call.target.beyond)
    fields: CIMultiDict[str] = CIMultiDict(proxying.answer_fields(answer))
    if location := fields.get("Location"):
        fields["Location"] = proxying.mended(location, prefix, way.host)
    if call.request.method == "HEAD" or answer.status in (204, 304):
        return web.Response(status=answer.status, headers=fields)
    page = fields.get("Content-Type", "").partition(";")[0].strip().lower() == "text/html"
    pieces = answer.pieces()
    if page:
        pieces = _mended(answer, fields.get("Content-Encoding", ""), prefix, way.host)
        for name in ("Content-Length", "Content-Encoding"):
            fields.popall(name, None)
    response = web.StreamResponse(status=answer.status, headers=fields)
    if "Content-Length" not in fields:
        response.enable_chunked_encoding()
    await response.prepare(call.request)
    try:
        async for piece in pieces:
            await response.write(piece)
    except (asyncio.IncompleteReadError, ConnectionError, ValueError):
        # The head is gone already: only breaking off tells the client that this is not all.
        if call.request.transport is not None:
            call.request.transport.abort()
        return response
    await response.write_eof()
    return response


async def _mended(answer: Answer, coding: str, prefix: str, host: str) -> AsyncIterator[bytes]:
    """An HTML page with its links mended, uncompressed. Raises what reading raises, ValueError for a bad compression."""
    unpack = zlib.decompressobj(47) if coding.lower() in ("gzip", "deflate") else None
    kept = bytearray()
    mending = True
    async for piece in answer.pieces():
        try:
            plain = unpack.decompress(piece) if unpack is not None else piece
        except zlib.error as error:
            raise ValueError(str(error)) from error
        if not mending:
            yield plain
            continue
        kept += plain
        if len(kept) > _LONGEST_PAGE:
            mending = False
            yield bytes(kept)
    if mending and kept:
        # Latin-1 keeps every byte of whatever the page is encoded in.
        yield proxying.mended_page(kept.decode("latin-1"), prefix, host).encode("latin-1")


def _reason(body: bytes) -> str:
    """The message of a Status in the body of a refusal."""
    try:
        return str(msgspec.json.decode(body)["message"])
    except (msgspec.DecodeError, KeyError, TypeError):
        return body.decode(errors="replace")[:200]


def _unreachable(why: BaseException | str) -> Unavailable:
    said = why if isinstance(why, str) else str(why) or type(why).__name__
    return Unavailable(f"error trying to reach service: {said}")


def _trusting() -> ssl.SSLContext:
    """Whatever certificate is shown: a service's is none of the cluster's (upstream does the same)."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
