"""Keep this node's HTTP proxy true to the Ingresses.

Nothing runs until there is an Ingress of a class that Motet serves. What cannot be served (a Service that is not there, a
certificate that does not fit) is told as an event and does not keep the rest from being served. Whether the node serves is written
on its Node, so that only nodes that do are shown as addresses.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from typing import Any

from motet.base import processes
from motet.base.clock import Clock
from motet.base.errors import ApiError, NotFound
from motet.client.events import WARNING, About, EventRecorder
from motet.client.interface import Client
from motet.kinds import ingress as ingress_kind
from motet.kinds import ingressclass as class_kind
from motet.kinds import node as node_kind
from motet.kinds import secret as secret_kind
from motet.kinds import service as service_kind
from motet.network.ingress import caddy, certificates, routes, views
from motet.network.ingress.caddy import Certificate
from motet.network.ingress.config import IngressConfig
from motet.network.ingress.engine import Caddy, EngineFailure
from motet.network.ingress.routes import Plan, Secret
from motet.network.ingress.views import IngressView, ServiceView
from motet.store.document import Document
from motet.store.table import Table

_log = logging.getLogger(__name__)

# A burst of changes is one configuration.
_GATHER_SECONDS = 0.05
# Certificates are read again this often, and a proxy that does not start is tried again.
_RESYNC_SECONDS = 10.0
_LONGEST_TROUBLE = 200

Key = tuple[str, str]


class Ingresses:
    """Of one node."""

    def __init__(
        self, client: Client, node_name: str, config: IngressConfig, clock: Clock, events: EventRecorder
    ) -> None:
        self._client = client
        self._node_name = node_name
        self._config = config
        self._events = events
        self._caddy = Caddy(config, clock)
        self._wake = asyncio.Event()
        self._loaded: dict[str, Any] | None = None
        self._told: set[tuple[Key, str]] = set()
        self._published: str | None = None

    async def run(self) -> None:
        """Serve until cancelled; what is served then stays so."""
        ingresses = await self._client.table(ingress_kind.KIND)
        classes = await self._client.table(class_kind.KIND)
        services = await self._client.table(service_kind.KIND)
        ends = [ingresses.listen(self._changed), classes.listen(self._changed), services.listen(self._service_changed)]
        try:
            while True:
                self._wake.clear()
                await self._step(ingresses, classes, services)
                async with self._death() as died:
                    await _first_of(self._wake, died, _RESYNC_SECONDS if self._published else None)
                await asyncio.sleep(_GATHER_SECONDS)
        finally:
            for end in ends:
                end()

    def _changed(self, old: Document | None, new: Document | None) -> None:
        self._wake.set()

    def _service_changed(self, old: Document | None, new: Document | None) -> None:
        if self._published:
            self._wake.set()

    @contextlib.asynccontextmanager
    async def _death(self) -> AsyncIterator[asyncio.Event]:
        pid = await self._caddy.pid() if self._published else 0
        if not pid:
            yield asyncio.Event()
            return
        async with processes.death_of(pid) as died:
            yield died

    async def _step(self, ingresses: Table, classes: Table, services: Table) -> None:
        mine = {
            (document.namespace, document.name): document
            for document in ingresses
            if document.meta.deletion_timestamp is None and views.ours(document.view(IngressView), classes)
        }
        if not mine:
            await self._rest()
            return

        def service(namespace: str, name: str) -> ServiceView | None:
            found = services.get(name, namespace)
            return found.view(ServiceView) if found is not None else None

        plan = routes.plan((document.view(IngressView) for document in mine.values()), service)
        loaded, unusable = await self._certificates(plan)
        self._tell(mine, plan, unusable)
        configuration = caddy.configuration(self._config.socket, plan.routes, loaded, self._config.ports)
        trouble = ""
        if configuration != self._loaded or not await self._caddy.pid():
            try:
                await self._caddy.load(configuration)
                self._loaded = configuration
                _log.info("serving %d routes of %d Ingresses", len(plan.routes), len(mine))
            except EngineFailure as error:
                self._loaded = None
                trouble = str(error)[:_LONGEST_TROUBLE]
                _log.error("Ingresses are not served here: %s", error)
                for document in mine.values():
                    about = About.document(document, ingress_kind.KIND.api_version, ingress_kind.KIND.kind)
                    self._events.event(about, WARNING, "NotServed", f"node {self._node_name}: {trouble}")
        await self._publish(trouble or node_kind.INGRESS_READY)

    async def _rest(self) -> None:
        """Nothing to serve (any more)."""
        if await self._caddy.pid():
            await self._caddy.end()
            _log.info("there are no Ingresses any more; the proxy has ended")
        self._loaded = None
        self._told.clear()
        await self._publish("")

    async def _certificates(self, plan: Plan) -> tuple[list[Certificate], dict[Secret, str]]:
        found: list[Certificate] = []
        unusable: dict[Secret, str] = {}
        for secret in plan.secrets:
            try:
                found.append(certificates.read(await self._client.get(secret_kind.KIND, secret.name, secret.namespace)))
            except NotFound:
                unusable[secret] = "it is not there"
            except certificates.Unusable as error:
                unusable[secret] = str(error)
            except ApiError as error:
                unusable[secret] = error.message
        return found, unusable

    def _tell(self, mine: dict[Key, Document], plan: Plan, unusable: dict[Secret, str]) -> None:
        """What cannot be served, once each."""
        complaints = set(plan.complaints)
        for key, document in mine.items():
            for tls in document.view(IngressView).spec.tls or ():
                if why := unusable.get(Secret(key[0], tls.secret_name)):
                    complaints.add((key, f'secret "{tls.secret_name}" cannot be used: {why}'))
        for key, why in complaints - self._told:
            about = About.document(mine[key], ingress_kind.KIND.api_version, ingress_kind.KIND.kind)
            self._events.event(about, WARNING, "NotServed", why)
        self._told = complaints

    async def _publish(self, state: str) -> None:
        """Write on the Node whether it serves: `ready`, or why not; nothing where there is nothing to serve."""
        if state == (self._published or "") and self._published is not None:
            return
        note = {"metadata": {"annotations": {node_kind.INGRESS: state or None}}}
        try:
            await self._client.patch(node_kind.KIND, self._node_name, note)
            self._published = state
        except ApiError as error:
            _log.warning("whether Ingresses are served here is not published yet: %s", error)


async def _first_of(wake: asyncio.Event, died: asyncio.Event, longest: float | None) -> None:
    """Return when either is set, or after `longest` seconds."""
    waiting = [asyncio.create_task(event.wait()) for event in (wake, died)]
    try:
        await asyncio.wait(waiting, timeout=longest, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()
