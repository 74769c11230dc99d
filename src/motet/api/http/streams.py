"""Logs, exec, attach and port-forward: byte pipes from the client to the agent of the pod's node.

A log is an ordinary answer, passed on as it comes. The others begin with an upgrade (WebSocket or SPDY): its head goes
to the agent with another path and the same query, and from the agent's 101 on bytes are copied both ways without a
look at them; the agent does the protocols. An agent that refuses the upgrade has its answer passed on instead.
"""

from __future__ import annotations

import asyncio
import ssl
from urllib.parse import quote

import msgspec
from aiohttp import web

from motet.api.http import agents, answers
from motet.api.http.agents import CONNECT_SECONDS, HEAD_SECONDS, Agent
from motet.api.http.calls import ResourceCall
from motet.api.http.pipes import AgentEnd, ClientEnd
from motet.api.registry import Registry
from motet.api.users import CONTROLLERS
from motet.base.errors import BadRequest, InternalError, NotFound, Unavailable
from motet.kinds import node as node_kind
from motet.store.document import Document

STREAMS = frozenset({"log", "exec", "attach", "portforward"})
_AGENT_PATHS = {"log": "containerLogs", "exec": "exec", "attach": "attach", "portforward": "portForward"}
_DEFAULT_CONTAINER = "kubectl.kubernetes.io/default-container"
# Headers about the connection to us, which must not travel on, or which would let a client pose as us.
_HOP = frozenset({"host", "authorization", "content-length", "transfer-encoding", "accept-encoding", "expect"})


class _Named(msgspec.Struct, gc=False, frozen=True):
    name: str


class _PodSpec(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    node_name: str = ""
    containers: tuple[_Named, ...] = ()
    init_containers: tuple[_Named, ...] | None = None
    ephemeral_containers: tuple[_Named, ...] | None = None


class PodView(msgspec.Struct, gc=False, frozen=True):
    spec: _PodSpec = _PodSpec()


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


def container_of(pod: Document, asked: str) -> str:
    """The container meant: the one asked for, the annotated default, or the only one. Raises BadRequest."""
    spec = pod.view(PodView).spec
    names = [container.name for container in spec.containers]
    if asked:
        extra = [item.name for item in (*(spec.init_containers or ()), *(spec.ephemeral_containers or ()))]
        if asked not in names and asked not in extra:
            raise BadRequest(f"container {asked} is not valid for pod {pod.name}")
        return asked
    annotated = (pod.meta.annotations or {}).get(_DEFAULT_CONTAINER)
    if annotated in names:
        return annotated
    if len(names) == 1:
        return names[0]
    raise BadRequest(f"a container name must be specified for pod {pod.name}, choose one of: [{' '.join(names)}]")


class Streams:
    """Handlers of the streaming subresources of pods. `tls` proves to agents that we are a manager."""

    def __init__(self, registry: Registry, tls: ssl.SSLContext | None) -> None:
        self._registry = registry
        self._tls = tls

    async def serve(self, call: ResourceCall) -> web.StreamResponse:
        """Raises ApiError until the agent has answered."""
        target = call.target
        pod = await self._registry.get(call.kind, call.namespace, target.name, call.user)
        container = ""
        if target.subresource != "portforward":
            container = container_of(pod, call.query.get("container", ""))
        agent = await self._agent(pod, container)
        if self._tls is None:
            raise InternalError("this manager has no certificate to show to agents")
        parts = [_AGENT_PATHS[target.subresource], call.namespace, target.name, container]
        path = "/" + "/".join(quote(part, safe="") for part in parts if part)
        if call.request.rel_url.raw_query_string:
            path += f"?{call.request.rel_url.raw_query_string}"
        if target.subresource == "log":
            return await self._log(call, agent, path, self._tls)
        return await self._pipe(call, agent, path, self._tls)

    async def _agent(self, pod: Document, container: str) -> Agent:
        name = pod.view(PodView).spec.node_name
        if not name:
            what = f'container "{container}" in pod "{pod.name}"' if container else f'pod "{pod.name}"'
            raise BadRequest(f"{what} does not have a host assigned")
        try:
            node = await self._registry.get(node_kind.KIND, "", name, CONTROLLERS)
        except NotFound:
            raise Unavailable(f'node "{name}" of pod "{pod.name}" is not part of the cluster') from None
        status = node.view(NodeView).status
        host = next((item.address for item in status.addresses or () if item.type == "InternalIP"), "")
        port = status.daemon_endpoints.kubelet_endpoint.port
        if not host or not port:
            raise Unavailable(f'node "{name}" has not told its address yet')
        return Agent(name, host, port)

    async def _log(self, call: ResourceCall, agent: Agent, path: str, tls: ssl.SSLContext) -> web.StreamResponse:
        answer, writer = await agents.get(agent, path, tls)
        try:
            content_type = answer.headers.get("content-type", "text/plain")
            if answer.status != 200:
                return answers.body(await answer.body(), status=answer.status, content_type=content_type)
            response = web.StreamResponse(headers={"Content-Type": content_type})
            response.enable_chunked_encoding()
            await response.prepare(call.request)
            try:
                async for piece in answer.pieces():
                    await response.write(piece)
            except (asyncio.IncompleteReadError, ValueError):
                # The head is gone already: only breaking off tells the client that this is not the whole log.
                if call.request.transport is not None:
                    call.request.transport.abort()
                return response
            await response.write_eof()
            return response
        finally:
            writer.transport.abort()

    async def _pipe(self, call: ResourceCall, agent: Agent, path: str, tls: ssl.SSLContext) -> web.StreamResponse:
        request = call.request
        if "upgrade" not in request.headers.get("Connection", "").lower():
            raise BadRequest("Upgrade request required")
        loop = asyncio.get_running_loop()
        far = AgentEnd()
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await loop.create_connection(lambda: far, agent.host, agent.port, ssl=tls)
        except (OSError, TimeoutError) as error:
            raise agent.unreachable(error) from error
        try:
            agent.check(far.transport.get_extra_info("peercert") if far.transport else None)
            far.write(_head(request, agent, path))
            try:
                async with asyncio.timeout(HEAD_SECONDS):
                    status, head, rest = await far.answer()
            except (TimeoutError, ConnectionError, ValueError) as error:
                raise agent.unreachable(error) from error
            if status != 101:
                body = await far.body(head, rest)
                return answers.body(body, status=status, content_type=head.get("content-type", "text/plain"))
            return await _spliced(request, far, rest)
        finally:
            far.abort()


async def _spliced(request: web.BaseRequest, far: AgentEnd, rest: bytes) -> web.StreamResponse:
    """Hand the client's connection to a pipe until either side ends it."""
    transport = request.transport
    if transport is None:
        raise ConnectionResetError("the client has left")
    protocol = request.protocol
    near = ClientEnd(transport, far)
    transport.set_protocol(near)
    near.forward(far.raw_head + rest)
    far.splice(near)
    try:
        await near.ended
    finally:
        near.finish()
        # aiohttp lost its transport when we took it; tell it so, or the connection stays on its books.
        protocol.connection_lost(None)
    return web.Response(status=101)


def _head(request: web.BaseRequest, agent: Agent, path: str) -> bytes:
    lines = [f"{request.method} {path} HTTP/1.1", f"Host: {agent.host}:{agent.port}"]
    for name, value in request.headers.items():
        if name.lower() not in _HOP and not name.lower().startswith("impersonate-"):
            lines.append(f"{name}: {value}")
    if request.method == "POST":
        lines.append("Content-Length: 0")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "surrogateescape")
