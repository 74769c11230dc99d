"""The agent's own HTTPS server: logs, exec, attach, port-forward and figures, for managers and administrators.

The paths are the kubelet's. Only a client certificate of a cluster administrator (which a manager's is) gets anything but
the health check.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
from aiohttp import web

from motet.agent import insides, machine, node_logs, stats, streams
from motet.agent.images.routes import ImageRoutes
from motet.agent.insides import Insides
from motet.agent.sampling import Look, Sampler
from motet.agent.streams import Dial, Wanted
from motet.agent.volumestats import VolumeStats
from motet.base.clock import Clock
from motet.base.errors import ApiError, BadRequest, Forbidden, NotFound, Unauthorized, Unavailable
from motet.base.timestamps import parse_time
from motet.pods import logs
from motet.pods.decide import restarts
from motet.pods.logs import LogQuery, LogsGone
from motet.pods.manager import Manager
from motet.pods.model import Observed
from motet.pods.spec import Pod
from motet.runtime.interface import Container, ContainerState, Runtime, RuntimeFailure

_log = logging.getLogger("motet.agent.server")
_ADMINISTRATORS = "system:masters"
# Rates over less than this many seconds jump about.
_SHORTEST_WINDOW = 5.0
_LONGEST_LINE = 128 * 1024


class AgentServer:
    """Serves one node's pods."""

    def __init__(
        self,
        manager: Manager,
        runtime: Runtime,
        clock: Clock,
        sampler: Sampler,
        node_name: str,
        dialer: Dial = streams.dial,
        *,
        insides: Insides,
        volumes: VolumeStats,
        address: str = "127.0.0.1",
        logs: Path = Path("/var/log"),
        settings: Mapping[str, Any] = {},
        images: ImageRoutes | None = None,
    ) -> None:
        self._manager = manager
        self._runtime = runtime
        self._clock = clock
        self._sampler = sampler
        self._node_name = node_name
        self._insides = insides
        self._volumes = volumes
        self._dial = dialer
        self._address = address
        self._node_logs = logs
        self._settings = settings
        self._images = images
        self.port = 0

    async def run(self, host: str, port: int, tls: ssl.SSLContext) -> None:
        """Listen until cancelled. Raises OSError when the port is taken. `self.port` is the port in use."""
        server = web.Server(
            self._handle,
            handler_cancellation=True,
            max_line_size=_LONGEST_LINE,
            max_field_size=_LONGEST_LINE,
            access_log=None,
        )
        listener = await asyncio.get_running_loop().create_server(server, host, port, ssl=tls)
        self.port = listener.sockets[0].getsockname()[1]
        try:
            await listener.serve_forever()
        finally:
            listener.close()
            await server.shutdown(1.0)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            return await self._route(request)
        except ApiError as error:
            return _refusal(error)
        except RuntimeFailure as failure:
            return _refusal(Unavailable(str(failure)))
        except LogsGone as gone:
            return _refusal(NotFound(str(gone)))

    async def _route(self, request: web.BaseRequest) -> web.StreamResponse:
        parts = [part for part in request.path.split("/") if part]
        if parts == ["healthz"]:
            return web.Response(text="ok")
        _authorize(request)
        match parts:
            case ["pods"]:
                raw = b",".join(document.raw for document in self._manager.documents())
                return _json(b'{"kind":"PodList","apiVersion":"v1","metadata":{},"items":[%b]}' % raw)
            case ["stats", "summary"]:
                return _json(msgspec.json.encode(await self._summary()))
            case ["configz"]:
                return _json(msgspec.json.encode({"kubeletconfig": self._settings}))
            case ["usage"]:
                return _json(msgspec.json.encode(stats.usage(*await self._looks())))
            case ["metrics", "resource"]:
                text = stats.resource_metrics(await self._sampler.look())
                return web.Response(text=text, headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})
            case ["containerLogs", namespace, name, container]:
                return await self._logs(request, self._pod(namespace, name), container)
            case ["exec" | "attach" as verb, namespace, name, container]:
                return await self._process(request, verb, self._pod(namespace, name), container)
            case [verb, namespace, name, container] if verb in insides.VERBS:
                return await self._insides.serve(request, verb, self._pod(namespace, name), container)
            case ["portForward", namespace, name]:
                return await self._forward(request, self._pod(namespace, name))
            case ["connect", namespace, name, port]:
                return await self._connect(request, self._pod(namespace, name), port)
            case ["connect", port]:
                return await self._tunnel(request, self._address, port)
            case ["images", *rest] if self._images is not None:
                return await self._images.answer(request, rest)
            case ["logs", *rest]:
                return await asyncio.to_thread(node_logs.answer, self._node_logs, rest, request.path)
        raise NotFound(f"the agent has nothing at {request.path}")

    def _pod(self, namespace: str, name: str) -> Pod:
        pod = self._manager.pod(namespace, name)
        if pod is None:
            raise NotFound(f'pod "{name}" in namespace "{namespace}" is not on node "{self._node_name}"')
        return pod

    async def _looks(self) -> tuple[Look, Look | None]:
        """A look at the node now, so that the youngest pods are in it, and one before it for rates."""
        now, last = await self._sampler.look(), self._sampler.last
        if last is not None and now.at - last.at < _SHORTEST_WINDOW:
            return now, self._sampler.before
        return now, last

    async def _summary(self) -> dict[str, Any]:
        now, before = await self._looks()
        disk = await asyncio.to_thread(machine.disk, self._manager.config.pods_directory)
        volumes = await self._volumes.of(self._manager.pods())
        return stats.summary(self._node_name, now, before, machine.load(), disk, volumes)

    # --- logs ---------------------------------------------------------------------------------------------------------

    async def _logs(self, request: web.BaseRequest, pod: Pod, name: str) -> web.StreamResponse:
        query = _log_query(request.query, self._clock)
        observed = await self._manager.observed(pod)
        container = pick_log(pod, observed, name, previous=_flag(request.query, "previous"))
        pieces = logs.read(container.log_path, query, self._clock, lambda: self._still_writes(pod, container))
        return await _stream(request, pieces)

    async def _still_writes(self, pod: Pod, container: Container) -> bool:
        try:
            now = await self._runtime.container(container.id)
        except RuntimeFailure:
            return False
        return now.state in (ContainerState.RUNNING, ContainerState.CREATED)

    # --- processes and ports ------------------------------------------------------------------------------------------

    async def _process(self, request: web.BaseRequest, verb: str, pod: Pod, name: str) -> web.StreamResponse:
        observed = await self._manager.observed(pod)
        container = next((made for made in observed.attempts(name) if made.state is ContainerState.RUNNING), None)
        if container is None:
            raise NotFound(f'unable to upgrade connection: container not found ("{name}")')
        query = request.query
        wanted = Wanted(
            stdin=_flag(query, "stdin", "input"),
            stdout=_flag(query, "stdout", "output"),
            stderr=_flag(query, "stderr", "error"),
            tty=_flag(query, "tty"),
        )
        if not (wanted.stdin or wanted.stdout or wanted.stderr):
            raise BadRequest("you must specify at least 1 of stdin, stdout, stderr")
        given = {
            "stdin": wanted.stdin,
            "stdout": wanted.stdout,
            "stderr": wanted.stderr and not wanted.tty,
            "tty": wanted.tty,
        }
        if verb == "exec":
            command = query.getall("command", [])
            if not command:
                raise BadRequest("you must specify at least one command")
            url = await self._runtime.exec_url(container.id, command, **given)
        else:
            url = await self._runtime.attach_url(container.id, **given)
        return await streams.serve(request, url, wanted=wanted, dialer=self._dial)

    async def _forward(self, request: web.BaseRequest, pod: Pod) -> web.StreamResponse:
        observed = await self._manager.observed(pod)
        sandbox = observed.sandbox
        if sandbox is None or not sandbox.ready:
            raise NotFound(f'pod "{pod.metadata.name}" does not run: it has no network to forward to')
        asked = ",".join(request.query.getall("ports", []) + request.query.getall("port", []))
        try:
            ports = [int(port) for port in asked.split(",") if port]
        except ValueError:
            raise BadRequest(f"{asked!r} is not a list of port numbers") from None
        url = await self._runtime.port_forward_url(sandbox.id, ports)
        return await streams.serve(request, url, dialer=self._dial)

    async def _connect(self, request: web.BaseRequest, pod: Pod, port: str) -> web.StreamResponse:
        """A connection to a port of a pod, for the API server's proxies."""
        ips = self._manager.addresses(pod, await self._manager.observed(pod))
        if not ips:
            raise Unavailable(f'pod "{pod.metadata.name}" has no address')
        return await self._tunnel(request, ips[0], port)

    async def _tunnel(self, request: web.BaseRequest, host: str, port: str) -> web.StreamResponse:
        if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
            raise BadRequest(f"{port!r} is not a number of a port")
        if request.headers.get("Upgrade", "").lower() != "tcp":
            raise BadRequest("Upgrade: tcp is needed")
        encrypted = request.query.get("scheme") == "https"
        return await streams.tunnel_to(request, host, int(port), encrypted=encrypted, dialer=self._dial)


def pick_log(pod: Pod, observed: Observed, name: str, *, previous: bool) -> Container:
    """The container whose log is meant. Raises BadRequest in upstream's words when there is none (yet)."""
    shown = f'container "{name}" in pod "{pod.metadata.name}"'
    spec = pod.container(name)
    if spec is None:
        raise BadRequest(f"container {name} is not valid for pod {pod.metadata.name}")
    attempts = observed.attempts(name)
    if not attempts:
        raise BadRequest(f"{shown} is waiting to start: ContainerCreating")
    if not previous:
        begun = next((made for made in attempts if made.state is not ContainerState.CREATED), None)
        if begun is None:
            raise BadRequest(f"{shown} is waiting to start: ContainerCreating")
        return begun
    latest = attempts[0]
    being_replaced = latest.state is ContainerState.EXITED and restarts(pod, spec, latest.exit_code)
    ended = [made for made in attempts[0 if being_replaced else 1 :] if made.state is ContainerState.EXITED]
    if not ended:
        raise BadRequest(f'previous terminated container "{name}" in pod "{pod.metadata.name}" not found')
    return ended[0]


def _log_query(query: Mapping[str, str], clock: Clock) -> LogQuery:
    try:
        since = parse_time(query["sinceTime"]) if query.get("sinceTime") else None
        if query.get("sinceSeconds"):
            since = clock.now() - timedelta(seconds=int(query["sinceSeconds"]))
        tail = int(query["tailLines"]) if query.get("tailLines") else None
        limit = int(query["limitBytes"]) if query.get("limitBytes") else None
    except ValueError as error:
        raise BadRequest(f"a parameter of the log is not what it should be: {error}") from error
    stream = query.get("stream", "")
    return LogQuery(
        follow=_flag(query, "follow"),
        tail=tail if tail is None or tail >= 0 else None,
        since=since,
        timestamps=_flag(query, "timestamps"),
        limit_bytes=limit,
        stream={"Stdout": "stdout", "Stderr": "stderr"}.get(stream, ""),
        named=_flag(query, "named"),
    )


def _flag(query: Mapping[str, str], *names: str) -> bool:
    return any(query.get(name, "").lower() in ("1", "true") for name in names)


async def _stream(request: web.BaseRequest, pieces: AsyncIterator[bytes]) -> web.StreamResponse:
    """Answer with `pieces` as they come. The first is awaited before the head goes out, so its error is an answer too."""
    iterator = aiter(pieces)
    waiting = asyncio.ensure_future(anext(iterator, None))
    response = web.StreamResponse(headers={"Content-Type": "text/plain"})
    response.enable_chunked_encoding()
    try:
        done, _ = await asyncio.wait((waiting,), timeout=0.05)
        piece = waiting.result() if done else None
        await response.prepare(request)
        if not done:
            piece = await waiting
        while piece is not None:
            await response.write(piece)
            piece = await anext(iterator, None)
    finally:
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    await response.write_eof()
    return response


def _authorize(request: web.BaseRequest) -> None:
    """Raises Unauthorized or Forbidden unless the client's certificate is an administrator's."""
    transport = request.transport
    certificate = transport.get_extra_info("peercert") if transport is not None else None
    if not certificate:
        raise Unauthorized("a client certificate is needed")
    subject = {name: value for group in certificate.get("subject", ()) for name, value in group if name == "commonName"}
    groups = [value for part in certificate.get("subject", ()) for name, value in part if name == "organizationName"]
    if _ADMINISTRATORS not in groups:
        raise Forbidden(f'user "{subject.get("commonName", "")}" may not use the agent of this node')


def _json(body: bytes) -> web.Response:
    return web.Response(body=body, content_type="application/json")


def _refusal(error: ApiError) -> web.Response:
    return web.Response(status=error.code, body=msgspec.json.encode(error.status()), content_type="application/json")
