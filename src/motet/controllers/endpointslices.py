"""Endpoint slices: keeping the list of pods behind every Service that has a selector, in both forms there are.

A pod's change reaches only the Services that select it (an index over one pair of each selector) and only when something an
endpoint is made of changed. One Service is looked at once, then at most five times a second.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable

from motet.base import selectors
from motet.base.clock import Clock
from motet.base.errors import NotFound
from motet.base.selectors import Requirement, Selector
from motet.client.interface import Client
from motet.controllers import backends, topology
from motet.controllers.backends import BackendView, ServiceView
from motet.controllers.loop import Controller, ObjectKey, own_key
from motet.kinds import endpoints as endpoints_kind
from motet.kinds import endpointslice as endpointslice_kind
from motet.kinds import node as node_kind
from motet.kinds import pod as pod_kind
from motet.kinds import service as service_kind
from motet.store.document import Document
from motet.store.table import Table

_PACE = 0.2


class SelectorIndex:
    """Which Services select a pod with these labels. Follows the Services' table."""

    def __init__(self) -> None:
        self._by_pair: dict[tuple[str, str, str], dict[ObjectKey, dict[str, str]]] = {}

    def changed(self, old: Document | None, new: Document | None) -> None:
        """A Service came, changed or went."""
        for document in (old, new):
            if document is None:
                continue
            selector = document.view(ServiceView).spec.selector
            if not selector:
                continue
            pair = (document.namespace, *min(selector.items()))
            members = self._by_pair.setdefault(pair, {})
            if document is old:
                members.pop((document.namespace, document.name), None)
            else:
                members[document.namespace, document.name] = selector
            if not members:
                del self._by_pair[pair]

    def select(self, namespace: str, labels: dict[str, str] | None) -> Iterable[ObjectKey]:
        """The Services whose whole selector these labels carry."""
        for pair in (labels or {}).items():
            for key, selector in self._by_pair.get((namespace, *pair), {}).items():
                if selector.items() <= (labels or {}).items():
                    yield key


class EndpointSlices:
    """The loop over Services with selectors."""

    def __init__(self, client: Client, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._index = SelectorIndex()
        self._services: Table
        self._pods: Table
        self._nodes: Table
        self._slices: Table
        self._endpoints: Table

    async def run(self) -> None:
        """Keep every Service's endpoints until cancelled."""
        client = self._client
        self._services = await client.table(service_kind.KIND)
        self._pods = await client.table(pod_kind.KIND)
        self._nodes = await client.table(node_kind.KIND)
        self._slices = await client.table(endpointslice_kind.KIND)
        self._endpoints = await client.table(endpoints_kind.KIND)
        self._index = SelectorIndex()
        for service in self._services:
            self._index.changed(None, service)
        stop = self._services.listen(self._index.changed)
        loop: Controller[ObjectKey] = Controller(
            "endpointslice", self.reconcile, clock=self._clock, parallelism=8, pace=_PACE
        )
        loop.watch(self._services, own_key)
        loop.watch(self._pods, self._services_of)
        loop.watch(self._nodes, self._services_on)
        loop.watch(self._slices, service_named)
        loop.watch(self._endpoints, own_key)
        try:
            await loop.run()
        finally:
            stop()

    def _services_of(self, old: Document | None, new: Document | None) -> Iterable[ObjectKey]:
        keys: set[ObjectKey] = set()
        for document in (old, new):
            if document is not None:
                keys.update(self._index.select(document.namespace, document.meta.labels))
        if not keys:
            return ()
        before = old.view(BackendView).exposed() if old else ()
        after = new.view(BackendView).exposed() if new else ()
        return () if before == after else keys

    def _services_on(self, old: Document | None, new: Document | None) -> Iterable[ObjectKey]:
        """All that have pods on a node whose zone is another now, and those that go by the processors of all zones."""
        document = new or old
        assert document is not None
        evened: set[ObjectKey] = set()
        if topology.room(old) != topology.room(new):
            found = (each for each in self._services if topology.asked(each.meta))
            evened = {(each.namespace, each.name) for each in found}
        if _zone(old) == _zone(new):
            return evened
        here = (pod for pod in self._pods if pod.view(BackendView).spec.node_name == document.name)
        return evened | {key for pod in here for key in self._index.select(pod.namespace, pod.meta.labels)}

    def _zone_of(self, node: str) -> str:
        return _zone(self._nodes.get(node))

    async def reconcile(self, key: ObjectKey) -> None:
        """Bring the slices and the Endpoints of one Service up to date."""
        namespace, name = key
        document = self._services.get(name, namespace)
        if document is None:
            await self._forget(namespace, name)
            return
        service = document.view(ServiceView)
        if not service.spec.selector or service.spec.type == "ExternalName":
            return  # somebody else's to fill
        if document.meta.deletion_timestamp is not None:
            return
        selector = selectors.from_map(service.spec.selector)
        pods = [pod.view(BackendView) for pod in self._pods.select(namespace, selector)]
        existing = [each.decode() for each in self._managed(namespace, name)]
        shares = topology.shares(self._nodes) if topology.asked(service.metadata) else None
        plan = backends.slices(service, pods, existing, self._zone_of, shares)
        client, kind = self._client, endpointslice_kind.KIND
        await asyncio.gather(
            *(client.create(kind, each, namespace) for each in plan.create),
            *(client.update(kind, each) for each in plan.update),
            *(self._delete_slice(namespace, gone, uid) for gone, uid in plan.delete),
            self._write_endpoints(service, pods),
        )

    def _managed(self, namespace: str, name: str) -> list[Document]:
        ours = Requirement(backends.MANAGED_BY, "=", (backends.MANAGER,))
        of_service = Requirement(backends.SERVICE_NAME, "=", (name,))
        return self._slices.select(namespace, Selector((of_service, ours)))

    async def _delete_slice(self, namespace: str, name: str, uid: str) -> None:
        with contextlib.suppress(NotFound):
            await self._client.delete(endpointslice_kind.KIND, name, namespace, uid=uid)

    async def _write_endpoints(self, service: ServiceView, pods: list[BackendView]) -> None:
        meta = service.metadata
        existing = self._endpoints.get(meta.name, meta.namespace)
        body = backends.endpoints(service, pods, existing.decode() if existing else None)
        if body is None:
            return
        if existing is None:
            await self._client.create(endpoints_kind.KIND, body, meta.namespace)
        else:
            await self._client.update(endpoints_kind.KIND, body)

    async def _forget(self, namespace: str, name: str) -> None:
        """The Service is gone: its slices go by their owner reference, the Endpoints object has none."""
        found = self._endpoints.get(name, namespace)
        if found is None or (found.meta.labels or {}).get(backends.ENDPOINTS_MANAGED_BY) != backends.ENDPOINTS_MANAGER:
            return
        with contextlib.suppress(NotFound):
            await self._client.delete(endpoints_kind.KIND, name, namespace, uid=found.meta.uid)


def _zone(node: Document | None) -> str:
    return (node.meta.labels or {}).get(topology.ZONE, "") if node is not None else ""


def service_named(old: Document | None, new: Document | None) -> Iterable[ObjectKey]:
    """The Service that a slice belongs to."""
    document = new or old
    name = (document.meta.labels or {}).get(backends.SERVICE_NAME) if document else None
    return ((document.namespace, name),) if document and name else ()
