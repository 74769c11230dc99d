"""The ways of asking or telling a container something: over HTTP, TCP, gRPC, or by a command inside it.

Probes and lifecycle hooks share them. Each returns an `Answer` and never raises for what the container does wrong.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import aiohttp
import grpc
from yarl import URL

from motet.pods.spec import ContainerSpec, HttpGet, IntOrString, TcpSocket
from motet.runtime.interface import Runtime, RuntimeFailure

_AGENT = "kube-probe/1.37"
_MOST_OUTPUT = 10 * 1024
_SERVING = 1
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MOST_REDIRECTS = 10
# The whole of a probe has its limit.
_NO_LIMIT = aiohttp.ClientTimeout(total=None)


@dataclass(frozen=True, slots=True)
class Answer:
    """`unknown`: it could not be asked, which says nothing about the container."""

    ok: bool
    output: str = ""
    unknown: bool = False
    # Well, but with something to be said about it.
    warning: str = ""


def port_number(container: ContainerSpec, port: IntOrString) -> int | None:
    """The number of a port given by number or by the name of one of the container's ports."""
    if isinstance(port, int):
        return port
    if port.isdigit():
        return int(port)
    return next((known.container_port for known in container.ports or () if known.name == port), None)


class Actions:
    """One per node: owns the HTTP client."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def command(self, container_id: str, command: Sequence[str], timeout: float) -> Answer:
        """Run a command in the container; exit code 0 is well."""
        try:
            result = await self._runtime.exec_sync(container_id, command, timeout)
        except TimeoutError:
            return Answer(False, f"command {' '.join(command)!r} timed out after {timeout:g}s")
        except RuntimeFailure as failure:
            return Answer(False, str(failure), unknown=True)
        output = (result.stdout + result.stderr)[:_MOST_OUTPUT].decode(errors="replace")
        return Answer(result.exit_code == 0, output)

    async def http(self, container: ContainerSpec, action: HttpGet, pod_ip: str, timeout: float) -> Answer:
        """GET; any status from 200 to 399 is well. Certificates are not looked at."""
        port = port_number(container, action.port)
        if port is None:
            return Answer(False, f"container {container.name} has no port named {action.port!r}")
        host = action.host or pod_ip
        shown = f"[{host}]" if ":" in host else host
        path = action.path or "/"
        url = f"{(action.scheme or 'HTTP').lower()}://{shown}:{port}{path if path.startswith('/') else '/' + path}"
        headers: dict[str, str] = {"User-Agent": _AGENT, "Accept": "*/*"}
        headers.update((header.name, header.value) for header in action.http_headers or ())
        return await self._get(url, headers, timeout)

    async def _get(self, url: str, headers: Mapping[str, str], timeout: float) -> Answer:
        if self._session is None:
            connector = aiohttp.TCPConnector(limit=0, force_close=True)
            self._session = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())
        try:
            async with asyncio.timeout(timeout):
                return await self._follow(URL(url), headers)
        except TimeoutError:
            return Answer(False, f'Get "{url}": context deadline exceeded (no answer within {timeout:g}s)')
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return Answer(False, f'Get "{url}": {error}')

    async def _follow(self, url: URL, headers: Mapping[str, str]) -> Answer:
        """GET, redirects on the same host included; one that leads elsewhere is well, but told (as upstream)."""
        assert self._session is not None
        for _ in range(_MOST_REDIRECTS + 1):
            async with self._session.get(
                url, headers=headers, timeout=_NO_LIMIT, ssl=False, allow_redirects=False
            ) as answer:
                body = (await answer.content.read(_MOST_OUTPUT)).decode(errors="replace")
                location = answer.headers.get("Location", "") if answer.status in _REDIRECTS else ""
                if not location:
                    if 200 <= answer.status < 400:
                        return Answer(True, body)
                    return Answer(False, f"HTTP probe failed with statuscode: {answer.status}")
            there = url.join(URL(location))
            if there.host != url.host:
                return Answer(True, body, warning=f"Probe terminated redirects, Response body: {body}")
            url = there
        return Answer(False, f"stopped after {_MOST_REDIRECTS} redirects")

    async def tcp(self, container: ContainerSpec, action: TcpSocket, pod_ip: str, timeout: float) -> Answer:
        """Connect; being let in is well."""
        port = port_number(container, action.port)
        if port is None:
            return Answer(False, f"container {container.name} has no port named {action.port!r}")
        host = action.host or pod_ip
        try:
            _, writer = await asyncio.wait_for(asyncio.open_connection(host, port), timeout)
        except TimeoutError:
            return Answer(False, f"dial tcp {host}:{port}: i/o timeout")
        except OSError as error:
            why = f"connect: {os.strerror(error.errno).lower()}" if error.errno else str(error)
            return Answer(False, f"dial tcp {host}:{port}: {why}")
        writer.close()
        return Answer(True)

    async def health_service(self, port: int, service: str, pod_ip: str, timeout: float) -> Answer:
        """grpc.health.v1.Health/Check; SERVING is well."""
        name = service.encode()
        request = b"\x0a" + bytes([len(name)]) + name if name else b""
        async with grpc.aio.insecure_channel(f"{pod_ip}:{port}") as channel:
            check = channel.unary_unary("/grpc.health.v1.Health/Check")
            try:
                answer: bytes = await check(request, timeout=timeout)
            except grpc.aio.AioRpcError as error:
                return Answer(False, f"service unhealthy: {error.code().name.lower()}: {error.details()}")
        status = answer[1] if len(answer) >= 2 and answer[0] == 0x08 else 0
        return Answer(
            status == _SERVING, "" if status == _SERVING else f"service unhealthy (responded with status {status})"
        )
