"""Names of Services for aiohttp's connections: `NAME.NAMESPACE.svc` is found in the cache, not in the cluster's DNS."""

from __future__ import annotations

import socket

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

from motet.api.webhooks.services import Lookup, NoBackend, Target, targets

SERVICE_SUFFIX = ".svc"


class ServiceResolver(AbstractResolver):
    """Names of Services by the cache, all others as the machine resolves them."""

    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup
        self._machine = ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        name, _, rest = host.partition(".")
        namespace, _, last = rest.partition(".")
        if f".{last}" != SERVICE_SUFFIX:
            return await self._machine.resolve(host, port, family)
        try:
            found = targets(self._lookup, namespace, name, port)
        except NoBackend as error:
            raise OSError(None, str(error)) from error
        results: list[ResolveResult] = []
        for target in found:
            results += await self._address(host, target)
        return results

    async def _address(self, host: str, target: Target) -> list[ResolveResult]:
        try:
            family = socket.AF_INET6 if ":" in target.host else socket.AF_INET
            socket.inet_pton(family, target.host)
        except OSError:
            return await self._machine.resolve(target.host, target.port)
        return [
            ResolveResult(
                hostname=host, host=target.host, port=target.port, family=family, proto=0, flags=socket.AI_NUMERICHOST
            )
        ]

    async def close(self) -> None:
        await self._machine.close()
