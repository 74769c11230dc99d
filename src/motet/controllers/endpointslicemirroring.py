"""Endpoints written by hand, mirrored as slices, which is what proxies and name servers read."""

from __future__ import annotations

import asyncio
import contextlib

from motet.base.clock import Clock
from motet.base.errors import NotFound
from motet.base.selectors import Requirement, Selector
from motet.client.interface import Client
from motet.controllers import mirroring
from motet.controllers.backends import MANAGED_BY, SERVICE_NAME, ServiceView
from motet.controllers.endpointslices import service_named
from motet.controllers.loop import Controller, ObjectKey, own_key
from motet.controllers.mirroring import EndpointsView
from motet.controllers.slicing import Plan
from motet.kinds import endpoints as endpoints_kind
from motet.kinds import endpointslice as endpointslice_kind
from motet.kinds import service as service_kind
from motet.store.document import Document
from motet.store.table import Table

_PACE = 0.2


class EndpointSliceMirroring:
    """The loop over Endpoints whose Service has no selector."""

    def __init__(self, client: Client, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._services: Table
        self._slices: Table
        self._endpoints: Table

    async def run(self) -> None:
        """Keep the mirrored slices until cancelled."""
        client = self._client
        self._services = await client.table(service_kind.KIND)
        self._slices = await client.table(endpointslice_kind.KIND)
        self._endpoints = await client.table(endpoints_kind.KIND)
        loop: Controller[ObjectKey] = Controller(
            "endpointslice-mirroring", self.reconcile, clock=self._clock, parallelism=4, pace=_PACE
        )
        loop.watch(self._services, own_key)
        loop.watch(self._endpoints, own_key)
        loop.watch(self._slices, service_named)
        await loop.run()

    async def reconcile(self, key: ObjectKey) -> None:
        """Bring the mirrored slices of one Endpoints object up to date."""
        namespace, name = key
        endpoints, service = self._endpoints.get(name, namespace), self._services.get(name, namespace)
        existing = self._mirrored(namespace, name)
        seen = endpoints.view(EndpointsView) if endpoints else None
        of = service.view(ServiceView) if service else None
        if seen is not None and of is not None and mirroring.mirrored(seen, of):
            plan = mirroring.slices(seen, of, [each.decode() for each in existing])
        else:
            plan = Plan(delete=tuple((each.name, each.meta.uid) for each in existing))
        client, kind = self._client, endpointslice_kind.KIND
        await asyncio.gather(
            *(client.create(kind, each, namespace) for each in plan.create),
            *(client.update(kind, each) for each in plan.update),
            *(self._delete(namespace, gone, uid) for gone, uid in plan.delete),
        )

    def _mirrored(self, namespace: str, name: str) -> list[Document]:
        ours = Requirement(MANAGED_BY, "=", (mirroring.MANAGER,))
        return self._slices.select(namespace, Selector((Requirement(SERVICE_NAME, "=", (name,)), ours)))

    async def _delete(self, namespace: str, name: str, uid: str) -> None:
        with contextlib.suppress(NotFound):
            await self._client.delete(endpointslice_kind.KIND, name, namespace, uid=uid)
