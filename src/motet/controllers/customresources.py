"""Custom resource definitions: their names are accepted, they are established, and they take their instances with them.

The API serves what is accepted by itself; here it is decided and written down. A definition that is being deleted waits,
by its finalizer, until every instance is gone.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from datetime import datetime

from motet.base.clock import Clock
from motet.base.errors import ApiError, Conflict, NotFound
from motet.client.interface import Client
from motet.controllers.loop import Controller
from motet.kinds.catalogue import KINDS, Catalogue
from motet.kinds.custom import approval, definition, names
from motet.kinds.custom.definition import ESTABLISHED, FALSE, FINALIZER, TERMINATING, TRUE, Condition
from motet.kinds.kind import Json, Kind
from motet.kinds.shape import mapping, strings, text
from motet.store.document import Document
from motet.store.table import Table

_KIND = definition.KIND
_CONFORMANT = "KubernetesAPIApprovalPolicyConformant"
_DELETING = Condition(TERMINATING, TRUE, "InstanceDeletionInProgress", "CustomResource deletion is in progress")
# How soon to look again whether the last instance is gone.
_AGAIN_SECONDS = 0.5


def decide(found: Json, others: Iterable[Json], now: datetime) -> Json:
    """The status of a definition that is not being deleted, as it should be."""
    wanted = {**found, "status": dict(mapping(found, "status"))}
    outcome = names.decide(found, names.taken(text(found, "spec", "group"), others, KINDS))
    wanted["status"]["acceptedNames"] = outcome.names
    definition.set_condition(wanted, outcome.accepted, now)
    definition.set_condition(wanted, outcome.established, now)
    if approval.is_protected(text(found, "spec", "group")):
        told = approval.state(text(found, "metadata", "annotations", approval.ANNOTATION))
        status = TRUE if told.conformant else FALSE
        definition.set_condition(wanted, Condition(_CONFORMANT, status, told.reason, told.message), now)
    return wanted


class CustomResources:
    """The loop over definitions. Keys are their names."""

    def __init__(self, client: Client, clock: Clock, catalogue: Catalogue) -> None:
        self._client = client
        self._clock = clock
        self._catalogue = catalogue
        self._definitions: Table
        self._loop: Controller[str]

    async def run(self) -> None:
        """Look after definitions until cancelled."""
        self._definitions = await self._client.table(_KIND)
        # One at a time, or two of them could be given the same name.
        self._loop = Controller("customresources", self.reconcile, clock=self._clock, parallelism=1)
        self._loop.watch(self._definitions, self._concerned)
        await self._loop.run()

    def _concerned(self, old: Document | None, new: Document | None) -> Iterable[str]:
        """The definition itself; and when one lets go of names, those that may have waited for them."""
        if new is not None:
            yield new.name
        if old is not None and (new is None or new.meta.generation != old.meta.generation):
            group = old.name.partition(".")[2]
            yield from (each.name for each in self._definitions if each.name.partition(".")[2] == group)

    async def reconcile(self, name: str) -> float | None:
        """One look at one definition."""
        document = self._definitions.get(name)
        if document is None:
            return None
        found = document.decode()
        if document.meta.deletion_timestamp is not None:
            return await self._terminate(found) if FINALIZER in (document.meta.finalizers or ()) else None
        others = [each.decode() for each in self._definitions if each.name != name]
        await self._write(found, decide(found, others, self._clock.now()))
        return None

    async def _terminate(self, found: Json) -> float | None:
        """Delete the instances; when there are none, let go."""
        if definition.condition(found, ESTABLISHED) != TRUE:
            await self._finish(found, "NeverEstablished", "resource was never established")
            return None
        kind = _instances(found)
        if any(not each.closed for each in self._catalogue if each.resource == kind.resource):
            # The API has not heard of the deletion yet: something new may still come.
            await self._say(found, _DELETING)
            return _AGAIN_SECONDS
        try:
            left = await self._client.table(kind)
        except NotFound:
            left = Table(kind.resource)
        if not len(left):
            await self._finish(found, "InstanceDeletionCompleted", "removed all instances")
            return None
        failure = await self._delete_all(kind, left)
        failed = Condition(TERMINATING, TRUE, "InstanceDeletionFailed", f"could not issue all deletes: {failure}")
        await self._say(found, failed if failure else _DELETING)
        return _AGAIN_SECONDS

    async def _delete_all(self, kind: Kind, left: Table) -> str:
        """Ask for the deletion of every instance; what went wrong, if anything did."""
        failures = []
        for document in left:
            if document.meta.deletion_timestamp is None:
                try:
                    await self._client.delete(kind, document.name, document.namespace, uid=document.meta.uid)
                except (NotFound, Conflict):
                    continue
                except ApiError as error:
                    failures.append(error.message)
        return "; ".join(failures[:3])

    async def _finish(self, found: Json, reason: str, message: str) -> None:
        await self._say(found, Condition(TERMINATING, FALSE, reason, message))
        left = [each for each in strings(found, "metadata", "finalizers") if each != FINALIZER]
        with contextlib.suppress(NotFound):
            await self._client.patch(_KIND, text(found, "metadata", "name"), {"metadata": {"finalizers": left or None}})

    async def _say(self, found: Json, told: Condition) -> None:
        wanted = {**found, "status": dict(mapping(found, "status"))}
        definition.set_condition(wanted, told, self._clock.now())
        await self._write(found, wanted)

    async def _write(self, found: Json, wanted: Json) -> None:
        if wanted != found:
            with contextlib.suppress(NotFound):
                await self._client.update(_KIND, wanted, subresource="status")


def _instances(found: Json) -> Kind:
    """The kind of a definition's objects, as they are stored: enough to find and to delete them, served or not."""
    spec = mapping(found, "spec")
    return Kind(
        group=text(spec, "group"),
        version=definition.storage_version(found),
        kind=text(spec, "names", "kind"),
        plural=text(spec, "names", "plural"),
        namespaced=text(spec, "scope") == "Namespaced",
    )
