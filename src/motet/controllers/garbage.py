"""Garbage collection: what its owners leave behind goes with them, before them, or is set free.

The rules are those of Kubernetes' "Owners and dependents": an object all of whose owners are gone is deleted (background); an
owner with the finalizer `foregroundDeletion` waits for the dependents that block it; one with `orphan` sets
its dependents free first. An owner is gone when no object of that kind and name has that uid. An owner whose kind nobody
serves may still exist somewhere, so what it owns is kept.

Tables index their objects by owner uid, so nothing here keeps a graph of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import msgspec

from motet.base.clock import Clock
from motet.base.errors import NotFound
from motet.client.interface import Client
from motet.controllers.alltables import AllTables
from motet.controllers.loop import Controller
from motet.kinds.catalogue import Catalogue
from motet.kinds.kind import Kind
from motet.store.document import Document, Key, Meta, OwnerReference
from motet.store.table import Table

FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"
_PACE = 0.05
_PARALLELISM = 64

_log = logging.getLogger("motet.controllers.garbage")


class OwnerState(StrEnum):
    PRESENT = "present"
    WAITING = "waiting"  # in foreground deletion: it wants its dependents gone
    GONE = "gone"
    UNKNOWN = "unknown"  # of a kind that is not served, or not where an owner can be


@dataclass(frozen=True, slots=True)
class Drop:
    """Remove the references to these owners, the others suffice."""

    uids: frozenset[str]


@dataclass(frozen=True, slots=True)
class Unblock:
    """Stop blocking the owners: they wait for us and we for them."""


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete the object itself."""

    propagation: str


@dataclass(frozen=True, slots=True)
class DeleteDependents:
    """Look at the dependents, which will find their owner waiting."""


@dataclass(frozen=True, slots=True)
class FreeDependents:
    """Remove this owner from its dependents."""


@dataclass(frozen=True, slots=True)
class Finish:
    """Take our finalizer off; the deletion goes on."""

    finalizer: str


Step = Drop | Unblock | Delete | DeleteDependents | FreeDependents | Finish


def decide(item: Meta, owners: Sequence[tuple[OwnerReference, OwnerState]], dependents: Sequence[Meta]) -> list[Step]:
    """The steps for one object, given the state of each owner it names and the objects that name it."""
    if item.deletion_timestamp is not None:
        return _decide_leaving(item, dependents)
    if not owners:
        return []
    by_state: dict[OwnerState, set[str]] = {state: set() for state in OwnerState}
    for reference, state in owners:
        by_state[state].add(reference.uid)
    unwanted = by_state[OwnerState.GONE] | by_state[OwnerState.WAITING]
    if not unwanted:
        return []
    if by_state[OwnerState.PRESENT] or by_state[OwnerState.UNKNOWN]:
        return [Drop(frozenset(unwanted))]
    if by_state[OwnerState.WAITING] and dependents:
        circular = any(FOREGROUND in (each.finalizers or ()) and each.deletion_timestamp for each in dependents)
        return [*([Unblock()] if circular else []), Delete("Foreground")]
    finalizers = item.finalizers or ()
    if ORPHAN in finalizers:
        return [Delete("Orphan")]
    return [Delete("Foreground" if FOREGROUND in finalizers else "Background")]


def _decide_leaving(item: Meta, dependents: Sequence[Meta]) -> list[Step]:
    finalizers = item.finalizers or ()
    if ORPHAN in finalizers:
        return [FreeDependents(), Finish(ORPHAN)] if dependents else [Finish(ORPHAN)]
    if FOREGROUND in finalizers:
        blocked = any(_blocks(dependent, item.uid) for dependent in dependents)
        steps: list[Step] = [DeleteDependents()] if dependents else []
        return steps if blocked else [*steps, Finish(FOREGROUND)]
    return []


def _blocks(dependent: Meta, uid: str) -> bool:
    return any(each.uid == uid and each.block_owner_deletion for each in dependent.owner_references or ())


class GarbageCollector:
    """The loop over every kind there is. Keys are objects, or the uid of an owner that went."""

    def __init__(self, client: Client, clock: Clock, catalogue: Catalogue) -> None:
        self._client = client
        self._clock = clock
        self._catalogue = catalogue
        self._tables: dict[str, tuple[Kind, Table]] = {}
        self._loop: Controller[Key | str]

    async def run(self) -> None:
        """Collect until cancelled."""
        self._tables = {}
        self._loop = Controller("garbage", self.reconcile, clock=self._clock, parallelism=_PARALLELISM, pace=_PACE)
        async with AllTables(self._client, self._catalogue, self._tables, self._watch):
            await self._loop.run()

    def _watch(self, kind: Kind, table: Table) -> Callable[[], None]:
        return self._loop.watch(table, self._concerned)

    def _concerned(self, old: Document | None, new: Document | None) -> Iterable[Key | str]:
        """What a change may have turned into garbage, or may have been waited for. Most changes concern nobody."""
        if new is None:
            if old is not None:
                # Nearly nothing that goes has left anything behind; what names it later is seen when it comes.
                if any(table.owned_by(old.meta.uid) for _, table in self._tables.values()):
                    yield old.meta.uid
                yield from self._waiting_owners(old)
            return
        meta = new.meta
        if meta.deletion_timestamp is not None and not {FOREGROUND, ORPHAN}.isdisjoint(meta.finalizers or ()):
            yield new.key
        changed = meta.owner_references != (old.meta.owner_references if old else None)
        if changed and any(state is not OwnerState.PRESENT for _, state in self._owners(new)):
            yield new.key
        if changed and old is not None:
            yield from self._waiting_owners(old)

    def _waiting_owners(self, document: Document) -> Iterable[Key]:
        for reference in document.meta.owner_references or ():
            owner = self._owner(document, reference)
            if isinstance(owner, Document) and _is_waiting(owner):
                yield owner.key

    def _owner(self, dependent: Document, reference: OwnerReference) -> Document | OwnerState:
        kind = self._kind(reference)
        if kind is None or kind.resource not in self._tables or (kind.namespaced and not dependent.namespace):
            return OwnerState.UNKNOWN
        found = self._tables[kind.resource][1].get(reference.name, dependent.namespace if kind.namespaced else "")
        return OwnerState.GONE if found is None or found.meta.uid != reference.uid else found

    def _kind(self, reference: OwnerReference) -> Kind | None:
        exact = self._catalogue.by_kind(reference.api_version, reference.kind)
        if exact is not None:
            return exact
        group = reference.api_version.rpartition("/")[0]
        return next((kind for kind in self._catalogue if (kind.group, kind.kind) == (group, reference.kind)), None)

    def _owners(self, document: Document) -> list[tuple[OwnerReference, OwnerState]]:
        owners = []
        for reference in document.meta.owner_references or ():
            found = self._owner(document, reference)
            if isinstance(found, Document):
                found = OwnerState.WAITING if _is_waiting(found) else OwnerState.PRESENT
            owners.append((reference, found))
        return owners

    def _dependents(self, uid: str) -> list[Document]:
        return [document for _, table in self._tables.values() for document in table.owned_by(uid)]

    async def reconcile(self, key: Key | str) -> float | None:
        """One look at one object, or at what an owner that went has left."""
        if isinstance(key, str):
            for dependent in self._dependents(key):
                self._loop.enqueue(dependent.key)
            return None
        if key.resource not in self._tables:  # a custom resource that is not served any more
            return None
        kind, table = self._tables[key.resource]
        document = table.get(key.name, key.namespace)
        if document is None:
            return None
        dependents = self._dependents(document.meta.uid)
        for step in decide(document.meta, self._owners(document), [each.meta for each in dependents]):
            await self._apply(kind, document, dependents, step)
        return None

    async def _apply(self, kind: Kind, document: Document, dependents: Sequence[Document], step: Step) -> None:
        meta = document.meta
        with contextlib.suppress(NotFound):
            match step:
                case Delete():
                    _log.debug("deleting %s: its owners are gone or going", document.key)
                    await self._client.delete(
                        kind, meta.name, meta.namespace, uid=meta.uid, propagation=step.propagation
                    )
                case Drop():
                    kept = [each for each in meta.owner_references or () if each.uid not in step.uids]
                    await self._write_references(kind, meta, kept)
                case Unblock():
                    unblocked = [
                        msgspec.structs.replace(each, block_owner_deletion=False)
                        for each in meta.owner_references or ()
                    ]
                    await self._write_references(kind, meta, unblocked, keep_version=False)
                case DeleteDependents():
                    for dependent in dependents:
                        self._loop.enqueue(dependent.key)
                case FreeDependents():
                    await asyncio.gather(*(self._free(dependent, meta.uid) for dependent in dependents))
                case Finish():
                    left = [each for each in meta.finalizers or () if each != step.finalizer]
                    patch = {"metadata": {"resourceVersion": meta.resource_version, "finalizers": left or None}}
                    await self._client.patch(kind, meta.name, patch, meta.namespace)

    async def _free(self, dependent: Document, uid: str) -> None:
        if dependent.key.resource not in self._tables:
            return
        kind = self._tables[dependent.key.resource][0]
        kept = [each for each in dependent.meta.owner_references or () if each.uid != uid]
        with contextlib.suppress(NotFound):
            await self._write_references(kind, dependent.meta, kept)

    async def _write_references(
        self, kind: Kind, meta: Meta, references: Sequence[OwnerReference], *, keep_version: bool = True
    ) -> None:
        """Replace the references of exactly the object that was looked at. Raises Conflict when it has changed since."""
        metadata: dict[str, Any] = {
            "uid": meta.uid,
            "ownerReferences": [msgspec.to_builtins(each) for each in references] or None,
        }
        if keep_version:
            metadata["resourceVersion"] = meta.resource_version
        await self._client.patch(kind, meta.name, {"metadata": metadata}, meta.namespace)


def _is_waiting(owner: Document) -> bool:
    return owner.meta.deletion_timestamp is not None and FOREGROUND in (owner.meta.finalizers or ())
