"""APIServices: those of this server are registered, and of every one it is said whether somebody answers.

Another server is asked for its resources over TLS, as the aggregator would ask it; before that, its Service and the
endpoints of that are looked at, so that the condition says what is missing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Iterable, Iterator
from datetime import datetime

from motet.api.aggregation import local
from motet.api.aggregation.services import Remote, Unreachable, remote_of
from motet.api.http.discovery import local_groups
from motet.api.webhooks.services import SERVICES, SLICES, NoBackend, targets
from motet.base.clock import Clock
from motet.base.errors import AlreadyExists, Conflict, NotFound
from motet.base.timestamps import format_time
from motet.client.interface import Client
from motet.controllers.loop import Controller
from motet.kinds import apiservice, endpointslice, service
from motet.kinds.catalogue import Catalogue
from motet.kinds.kind import Json
from motet.kinds.shape import mapping, objects, text
from motet.store.document import Document
from motet.store.table import Table

# Asks the server that an APIService names for a sign of life. Raises Unreachable.
Probe = Callable[[Document], Awaitable[None]]

_KIND = apiservice.KIND
_SERVICE_LABEL = "kubernetes.io/service-name"
# How often a server is looked at that answers, and one that does not.
_WELL_SECONDS, _ILL_SECONDS = 30.0, 5.0
# How often it is asked before it counts as one that does not.
_ATTEMPTS = 3

# Status, reason and message of the condition.
Told = tuple[str, str, str]
_LOCAL: Told = ("True", "Local", "Local APIServices are always available")
_PASSED: Told = ("True", "Passed", "all checks passed")


def missing(remote: Remote, error: NoBackend) -> Told:
    """The condition of one whose Service leads nowhere, in upstream's words."""
    where = f'service/{remote.service} in "{remote.namespace}"'
    said = {
        "ServiceNotFound": f"{where} is not present",
        "ServicePortError": f"{where} is not listening on port {remote.port}",
        "MissingEndpoints": f"endpoints for {where} have no addresses that are ready",
    }
    return "False", error.reason, said.get(error.reason, str(error))


def decide(found: Json, told: Told, now: datetime) -> Json:
    """The APIService with its condition as told; the time of transition changes only with the status."""
    status, reason, message = told
    before = objects(found, "status", "conditions")
    old = next((each for each in before if each.get("type") == apiservice.AVAILABLE), None)
    since = format_time(now)
    if old is not None and old.get("status") == status:
        since = text(old, "lastTransitionTime") or since
    wanted = {
        "type": apiservice.AVAILABLE,
        "status": status,
        "lastTransitionTime": since,
        "reason": reason,
        "message": message,
    }
    conditions = [wanted if each is old else each for each in before] if old is not None else [*before, wanted]
    return {**found, "status": {**mapping(found, "status"), "conditions": conditions}}


def registered(found: Json, wanted: Json | None) -> Json | None:
    """What an APIService that this server made has to become; None: it has to go. One that names a server is its maker's."""
    managed = text(found, "metadata", "labels", apiservice.AUTOMANAGED)
    remote = mapping(found, "spec").get("service") is not None
    if wanted is None:
        return None if managed and (managed == "true" or not remote) else found
    if managed == "true" and found.get("spec") != wanted["spec"]:
        return {**found, "spec": wanted["spec"]}
    return found


class ApiServices:
    """The loop over APIServices. Keys are their names, and the names there should be."""

    def __init__(self, client: Client, clock: Clock, catalogue: Catalogue, probe: Probe) -> None:
        self._client = client
        self._clock = clock
        self._catalogue = catalogue
        self._probe = probe
        self._table: Table
        self._lookup: Callable[[str], Table]
        self._wanted: dict[str, Json] = {}

    async def run(self) -> None:
        """Look after them until cancelled."""
        self._table = await self._client.table(_KIND)
        tables = {
            SERVICES: await self._client.table(service.KIND),
            SLICES: await self._client.table(endpointslice.KIND),
        }
        self._lookup = tables.__getitem__
        loop: Controller[str] = Controller("apiservices", self.reconcile, clock=self._clock)
        loop.watch(self._table, _own)
        loop.watch(tables[SERVICES], lambda old, new: self._behind(new or old, named=True))
        loop.watch(tables[SLICES], lambda old, new: self._behind(new or old, named=False))
        self._wanted = self._registrations()
        unlisten = self._catalogue.listen(lambda: self._follow(loop))
        try:
            for name in self._wanted:
                loop.enqueue(name)
            await loop.run()
        finally:
            unlisten()

    def _registrations(self) -> dict[str, Json]:
        return local.registrations(local_groups(self._catalogue), self._catalogue)

    def _follow(self, loop: Controller[str]) -> None:
        """Kinds came or went."""
        before, self._wanted = self._wanted, self._registrations()
        for name in before.keys() | self._wanted.keys():
            if before.get(name) != self._wanted.get(name):
                loop.enqueue(name)

    def _behind(self, document: Document | None, *, named: bool) -> Iterator[str]:
        """The APIServices that a Service, or a slice of its endpoints, answers for."""
        if document is None:
            return
        name = document.name if named else (document.meta.labels or {}).get(_SERVICE_LABEL, "")
        for each in self._table:
            remote = remote_of(each)
            if remote is not None and (remote.namespace, remote.service) == (document.namespace, name):
                yield each.name

    async def reconcile(self, name: str) -> float | None:
        """One look at one of them."""
        document, wanted = self._table.get(name), self._wanted.get(name)
        if document is None:
            if wanted is not None:
                with contextlib.suppress(AlreadyExists):
                    await self._client.create(_KIND, wanted)
            return None
        if document.meta.deletion_timestamp is not None:
            return None
        found = document.decode()
        better = registered(found, wanted)
        with contextlib.suppress(NotFound, Conflict):
            if better is None:
                await self._client.delete(_KIND, name, uid=document.meta.uid)
                return None
            if better is not found:
                await self._client.update(_KIND, better)
                return None
        told = await self._look(document)
        changed = decide(found, told, self._clock.now())
        if changed != found:
            with contextlib.suppress(NotFound):
                await self._client.update(_KIND, changed, subresource="status")
        if told == _LOCAL:
            return None
        return _WELL_SECONDS if told == _PASSED else _ILL_SECONDS

    async def _look(self, document: Document) -> Told:
        remote = remote_of(document)
        if remote is None:
            return _LOCAL
        said = ""
        for _ in range(_ATTEMPTS):
            try:
                targets(self._lookup, remote.namespace, remote.service, remote.port)
                await self._probe(document)
            except NoBackend as error:
                return missing(remote, error)
            except Unreachable as error:
                said = error.why
            else:
                return _PASSED
        return "False", "FailedDiscoveryCheck", said


def _own(old: Document | None, new: Document | None) -> Iterable[str]:
    document = new or old
    if document is not None:
        yield document.name
