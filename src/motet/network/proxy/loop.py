"""Keep the kernel's rules true to services, slices and host ports.

Changes mark one service or pod as dirty; what is dirty a moment later is recomputed and applied as one transaction. A
transaction that fails is followed by a full rewrite, so an error cannot leave the node half-programmed for long.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable

from motet.base.selectors import FieldSelector, FieldTerm, from_map
from motet.client.interface import Client
from motet.kinds import endpointslice, pod, service
from motet.network.config import NetworkConfig
from motet.network.proxy import conntrack, desired
from motet.network.proxy.desired import Backends, Frontend, Routes
from motet.network.proxy.nft import Nft, NftError
from motet.network.proxy.ruleset import Ruleset, base
from motet.network.proxy.views import PodView, ServiceView, SliceView
from motet.store.document import Document, Key
from motet.store.table import Table

_log = logging.getLogger(__name__)

SERVICE_LABEL = "kubernetes.io/service-name"
# Long enough to gather the slices of one rollout step, short beside a second.
_GATHER_SECONDS = 0.01
_RESYNC_SECONDS = 30.0


class Proxy:
    """The service proxy of one node."""

    def __init__(self, client: Client, config: NetworkConfig, nft: Nft) -> None:
        self._client = client
        self._config = config
        self._nft = nft
        self._ruleset = Ruleset(config)
        # Who asks for which routes; the first to ask keeps a frontend that two want.
        self._wanted: dict[Key, Routes] = {}
        self._holders: dict[Frontend, list[Key]] = {}
        self._dirty: set[Key] = set()
        self._wake = asyncio.Event()

    async def run(self) -> None:
        """Program the node until cancelled; the rules stay when this ends."""
        services = await self._client.table(service.KIND)
        slices = await self._client.table(endpointslice.KIND)
        pods = await self._client.table(
            pod.KIND, fields=FieldSelector((FieldTerm("spec.nodeName", self._config.node_name),))
        )
        ends = [services.listen(self._changed), slices.listen(self._slice_changed), pods.listen(self._changed)]
        try:
            self._dirty.update(document.key for table in (services, pods) for document in table)
            await self._apply(services, slices, pods, fresh=True)
            while True:
                try:
                    await asyncio.wait_for(self._wake.wait(), _RESYNC_SECONDS)
                except TimeoutError:
                    await self._repair(services, slices, pods)
                    continue
                await asyncio.sleep(_GATHER_SECONDS)
                self._wake.clear()
                await self._apply(services, slices, pods)
        finally:
            for end in ends:
                end()

    def _changed(self, old: Document | None, new: Document | None) -> None:
        document = new or old
        assert document is not None
        self._dirty.add(document.key)
        self._wake.set()

    def _slice_changed(self, old: Document | None, new: Document | None) -> None:
        for document in (old, new):
            name = (document.meta.labels or {}).get(SERVICE_LABEL) if document else None
            if document and name:
                self._dirty.add(Key(service.KIND.resource, document.namespace, name))
                self._wake.set()

    async def _apply(self, services: Table, slices: Table, pods: Table, *, fresh: bool = False) -> None:
        dirty, self._dirty = self._dirty, set()
        touched: set[Frontend] = set()
        for key in dirty:
            routes = self._routes(key, services, slices, pods)
            touched.update(self._claim(key, routes))
        before = self._ruleset.endpoints() if touched else set()
        added = {frontend: backends for frontend in touched if (backends := self._answer(frontend)) is not None}
        commands = self._ruleset.change(touched - added.keys(), added)
        if fresh:
            commands = base(self._config) + commands
        if not commands:
            return
        try:
            self._nft.run(commands)
        except NftError as error:
            _log.error("%s; rewriting all rules", error)
            self._rewrite()
        await conntrack.forget(before - self._ruleset.endpoints())
        self._purge_sticky(before - self._ruleset.endpoints())

    def _rewrite(self) -> None:
        """All rules from nothing. Raises NftError when even that fails."""
        self._ruleset = Ruleset(self._config)
        every = {f: backends for f in self._holders if (backends := self._answer(f)) is not None}
        self._nft.run(base(self._config) + self._ruleset.change((), every))

    async def _repair(self, services: Table, slices: Table, pods: Table) -> None:
        """Somebody may have flushed the rules: write them again if the table is not there."""
        try:
            self._nft.run(f"list chain ip {self._config.table} services")
        except NftError:
            _log.warning("table ip %s is gone; writing it again", self._config.table)
            self._rewrite()

    def _routes(self, key: Key, services: Table, slices: Table, pods: Table) -> Routes:
        if key.resource == pod.KIND.resource:
            found = pods.get(key.name, key.namespace)
            return desired.of_pod(found.view(PodView)) if found else {}
        found = services.get(key.name, key.namespace)
        if found is None:
            return {}
        parts = [part.view(SliceView) for part in slices_of(slices, key.namespace, key.name)]
        return desired.of_service(found.view(ServiceView), parts, self._config.node_name)

    def _claim(self, key: Key, routes: Routes) -> Iterable[Frontend]:
        """Note what `key` wants now; gives every frontend whose answer may be another."""
        old = self._wanted.pop(key, {})
        if routes:
            self._wanted[key] = routes
        for frontend in old.keys() - routes.keys():
            holders = self._holders[frontend]
            holders.remove(key)
            if not holders:
                del self._holders[frontend]
        for frontend in routes.keys() - old.keys():
            self._holders.setdefault(frontend, []).append(key)
        return {f for f in old.keys() | routes.keys() if old.get(f) != routes.get(f)}

    def _answer(self, frontend: Frontend) -> Backends | None:
        holders = self._holders.get(frontend)
        return self._wanted[holders[0]][frontend] if holders else None

    def _purge_sticky(self, gone: set[tuple[str, int, str]]) -> None:
        """Clients must not be sent back to an endpoint that is no more."""
        if not gone:
            return
        stale = conntrack.sticky_keys(self._nft.run(f"list map ip {self._config.table} sticky"), gone)
        if stale:
            self._nft.run(f"delete element ip {self._config.table} sticky {{ {', '.join(stale)} }}")


def slices_of(slices: Table, namespace: str, name: str) -> list[Document]:
    """The endpoint slices of one service."""
    return slices.select(namespace, from_map({SERVICE_LABEL: name}))
