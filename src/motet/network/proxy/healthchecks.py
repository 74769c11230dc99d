"""`healthCheckNodePort`: whether a balancer outside should send a Service's connections to this node.

With `externalTrafficPolicy: Local` a node serves outsiders from its own pods alone. It says how many of them are ready: 200 if
any is, otherwise 503, and both in a small document (kube-proxy's answer, field by field).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import msgspec
from aiohttp import web

from motet.base.ip import IPV4
from motet.network.proxy.desired import is_ready
from motet.network.proxy.views import ServiceView, SliceView
from motet.store.document import Key

_RETRY_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Check:
    """What is answered at `port` about one Service."""

    port: int
    namespace: str
    name: str
    endpoints: int


def of_service(key: Key, service: ServiceView, slices: Iterable[SliceView], node_name: str) -> Check | None:
    """The check that a Service asks of this node, if any. An endpoint that leaves does not count."""
    spec = service.spec
    if spec.type != "LoadBalancer" or spec.external_traffic_policy != "Local" or not spec.health_check_node_port:
        return None
    # Whoever is reached by both families is in two slices.
    family = (spec.ip_families or (IPV4,))[0]
    ready = {
        endpoint.addresses[0]
        for part in slices
        if part.address_type == family
        for endpoint in part.endpoints or ()
        if endpoint.addresses and endpoint.node_name == node_name and is_ready(endpoint)
    }
    return Check(spec.health_check_node_port, key.namespace, key.name, len(ready))


def answer(check: Check) -> tuple[int, Mapping[str, str], bytes]:
    """Status, headers and body. A proxy that cannot write its rules ends and answers nothing, so one that answers is healthy."""
    body = {
        "service": {"namespace": check.namespace, "name": check.name},
        "localEndpoints": check.endpoints,
        "serviceProxyHealthy": True,
    }
    headers = {
        "Content-Type": "application/json",
        "X-Content-Type-Options": "nosniff",
        "X-Load-Balancing-Endpoint-Weight": str(check.endpoints),
    }
    return 200 if check.endpoints else 503, headers, msgspec.json.encode(body)


class HealthChecks:
    """Serves the checks that are wanted, over IPv6 too if `both`. `warn(key, message)` tells whose port somebody else has."""

    def __init__(
        self, warn: Callable[[Key, str], None], *, both: bool = False, retry_seconds: float = _RETRY_SECONDS
    ) -> None:
        # A socket of `::` would be of IPv6 alone, as asyncio makes it; None is one of each.
        self._address = None if both else "0.0.0.0"
        self._retry_seconds = retry_seconds
        self._warn = warn
        self._wanted: dict[Key, Check] = {}
        self._open: dict[int, web.TCPSite] = {}
        self._told: set[tuple[Key, int]] = set()
        self._changed = asyncio.Event()

    def want(self, key: Key, check: Check | None) -> None:
        """From now on answer so about the Service `key`, or not at all."""
        if self._wanted.get(key) == check:
            return
        if check is None:
            del self._wanted[key]
        else:
            self._wanted[key] = check
        self._changed.set()

    async def run(self) -> None:
        """Serve until cancelled."""
        runner = web.ServerRunner(web.Server(self._handle, access_log=None), handle_signals=False)
        await runner.setup()
        try:
            while True:
                self._changed.clear()
                missing = await self._follow(runner)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._retry_seconds if missing else None):
                        await self._changed.wait()
        finally:
            self._open.clear()
            await runner.cleanup()

    async def _follow(self, runner: web.ServerRunner) -> bool:
        """Open and close ports; answers whether one could not be opened."""
        wanted = {check.port: key for key, check in self._wanted.items()}
        for port in self._open.keys() - wanted.keys():
            await self._open.pop(port).stop()
        self._told &= {(key, port) for port, key in wanted.items()}
        for port in wanted.keys() - self._open.keys():
            site = web.TCPSite(runner, self._address, port, reuse_address=True)
            try:
                await site.start()
            except OSError as error:
                if (wanted[port], port) not in self._told:
                    self._told.add((wanted[port], port))
                    self._warn(
                        wanted[port], f"Health check port {port} cannot be opened: {os.strerror(error.errno or 0)}"
                    )
                continue
            self._open[port] = site
        return bool(wanted.keys() - self._open.keys())

    async def _handle(self, request: web.BaseRequest) -> web.Response:
        port = request.transport.get_extra_info("sockname")[1] if request.transport else 0
        check = next((each for each in self._wanted.values() if each.port == port), None)
        if check is None:
            return web.Response(status=404)
        status, headers, body = answer(check)
        return web.Response(status=status, headers=headers, body=body)
