"""Logs, exec, attach and port-forward: byte pipes from the client to the agent of the pod's node.

A log is an ordinary answer, passed on as it comes. The others begin with an upgrade (WebSocket or SPDY): its head goes
to the agent with another path and the same query, and from the agent's 101 on bytes are copied both ways without a
look at them; the agent does the protocols. An agent that refuses the upgrade has its answer passed on instead.
"""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import Mapping
from urllib.parse import quote

import msgspec
from aiohttp import WSCloseCode, web

from motet.api.http import agents, answers, upgrades
from motet.api.http.agents import Agent, Answer
from motet.api.http.calls import ResourceCall
from motet.api.registry import Registry
from motet.base.errors import BadRequest, FieldError, InternalError, forbidden, invalid, invalid_object, unsupported
from motet.store.document import Document

STREAMS = frozenset({"log", "exec", "attach", "portforward"})
_AGENT_PATHS = {"log": "containerLogs", "exec": "exec", "attach": "attach", "portforward": "portForward"}
# Sub-protocols of a log over WebSocket.
_BINARY, _BASE64 = "binary.k8s.io", "base64.binary.k8s.io"
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
        if target.subresource == "log" and (wrong := check_log(call.query)):
            raise invalid_object("", "PodLogOptions", target.name, wrong)
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
        return await agents.locate(self._registry, name, pod.name)

    async def _log(self, call: ResourceCall, agent: Agent, path: str, tls: ssl.SSLContext) -> web.StreamResponse:
        answer, writer = await agents.get(agent, path, tls)
        try:
            content_type = answer.headers.get("content-type", "text/plain")
            if answer.status != 200:
                return answers.body(await answer.body(), status=answer.status, content_type=content_type)
            if upgrades.asked(call.request):
                return await _over_websocket(call.request, answer)
            response = web.StreamResponse(headers={"Content-Type": content_type, **call.headers})
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
        if not upgrades.asked(request):
            raise BadRequest("Upgrade request required")
        headers = [
            (name, value)
            for name, value in request.headers.items()
            if name.lower() not in _HOP and not name.lower().startswith("impersonate-")
        ]
        far, status, head, rest = await upgrades.begin(agent, request.method, path, headers, tls)
        try:
            if status != 101:
                body = await far.body(head, rest)
                return answers.body(body, status=status, content_type=head.get("content-type", "text/plain"))
            return await upgrades.splice(request, far, far.raw_head + rest)
        finally:
            far.abort()


async def _over_websocket(request: web.BaseRequest, answer: Answer) -> web.StreamResponse:
    """A log as messages of a WebSocket: the bytes as they are, or as base64 if the client offers only that."""
    socket = web.WebSocketResponse(protocols=(_BINARY, _BASE64))
    if not socket.can_prepare(request):
        raise BadRequest("only a WebSocket can carry a log")
    await socket.prepare(request)
    try:
        async for piece in answer.pieces():
            if socket.ws_protocol == _BASE64:
                await socket.send_str(base64.b64encode(piece).decode())
            else:
                await socket.send_bytes(piece)
    except (asyncio.IncompleteReadError, ValueError):
        await socket.close(code=WSCloseCode.INTERNAL_ERROR)
    except ConnectionError:
        return socket
    await socket.close()
    return socket


def check_log(query: Mapping[str, str]) -> list[FieldError]:
    """Complaints about the options of a log (core/v1 PodLogOptions)."""
    errors = []
    numbers = {}
    for name, least in (("tailLines", 0), ("limitBytes", 1), ("sinceSeconds", 1)):
        if not (given := query.get(name)):
            continue
        try:
            numbers[name] = int(given)
        except ValueError:
            errors.append(invalid(name, given, "must be a number"))
            continue
        if numbers[name] < least:
            errors.append(
                invalid(
                    name,
                    numbers[name],
                    f"must be greater than or equal to {least}" if not least else "must be greater than 0",
                )
            )
    if query.get("sinceSeconds") and query.get("sinceTime"):
        errors.append(forbidden("", "at most one of `sinceTime` or `sinceSeconds` may be specified"))
    stream = query.get("stream", "")
    if stream not in ("", "All", "Stdout", "Stderr"):
        errors.append(unsupported("stream", stream, ("All", "Stdout", "Stderr")))
    elif stream in ("Stdout", "Stderr") and query.get("tailLines"):
        errors.append(forbidden("", "`tailLines` and specific `stream` are mutually exclusive for now"))
    return errors
