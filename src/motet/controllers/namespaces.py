"""Namespaces: one that is being deleted is emptied, pods first, and then let go.

Its conditions say what is still there and what holds it (upstream's types, reasons and wording). Pods go before the
rest so that nothing they use, a NetworkPolicy for instance, is taken from them while they still run (KEP-5080).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from motet.base import timestamps
from motet.base.clock import Clock
from motet.base.errors import ApiError, Conflict, NotFound
from motet.client.interface import Client
from motet.controllers import elsewhere
from motet.controllers.alltables import AllTables
from motet.controllers.elsewhere import Nobody, Others
from motet.controllers.loop import Controller
from motet.controllers.podview import Condition
from motet.kinds import namespace as namespace_kind
from motet.kinds import pod as pod_kind
from motet.kinds.catalogue import Catalogue
from motet.kinds.kind import Kind
from motet.store.document import Document
from motet.store.table import Table

_FINALIZER = "kubernetes"
_PACE = 0.1
_BATCH = 256


class NamespaceSpec(msgspec.Struct, gc=False, frozen=True):
    finalizers: tuple[str, ...] | None = None


class NamespaceStatus(msgspec.Struct, gc=False, frozen=True):
    phase: str = "Active"
    conditions: tuple[Condition, ...] | None = None


class NamespaceView(msgspec.Struct, gc=False, frozen=True):
    spec: NamespaceSpec = NamespaceSpec()
    status: NamespaceStatus = NamespaceStatus()


@dataclass(frozen=True, slots=True)
class Remaining:
    """What is still in a namespace: objects by `plural.group`, and the finalizers that hold them."""

    objects: dict[str, int]
    finalizers: dict[str, int]


def conditions(
    before: Sequence[Condition], remaining: Remaining, failure: str, now: datetime, silent: str = ""
) -> tuple[Condition, ...]:
    """The five conditions of a namespace on its way out. `failure` is what went wrong when deleting, if anything; `silent`
    says who would not tell what there is."""
    objects = ", ".join(f"{name} has {count} resource instances" for name, count in sorted(remaining.objects.items()))
    held = ", ".join(f"{name} in {count} resource instances" for name, count in sorted(remaining.finalizers.items()))
    wanted = (
        (
            "NamespaceDeletionDiscoveryFailure",
            "DiscoveryFailed" if silent else "ResourcesDiscovered",
            silent or "All resources successfully discovered",
            silent,
        ),
        (
            "NamespaceDeletionGroupVersionParsingFailure",
            "ParsedGroupVersions",
            "All legacy kube types successfully parsed",
            "",
        ),
        (
            "NamespaceDeletionContentFailure",
            "ContentDeletionFailed" if failure else "ContentDeleted",
            failure or "All content successfully deleted, may be waiting on finalization",
            failure,
        ),
        (
            "NamespaceContentRemaining",
            "SomeResourcesRemain" if objects else "ContentRemoved",
            f"Some resources are remaining: {objects}" if objects else "All content successfully removed",
            objects,
        ),
        (
            "NamespaceFinalizersRemaining",
            "SomeFinalizersRemain" if held else "ContentHasNoFinalizers",
            f"Some content in the namespace has finalizers remaining: {held}"
            if held
            else "All content-preserving finalizers finished",
            held,
        ),
    )
    old = {each.type: each for each in before}
    result = [each for each in before if each.type not in {name for name, *_ in wanted}]
    for type_, reason, message, trouble in wanted:
        status = "True" if trouble else "False"
        known = old.get(type_)
        since = known.last_transition_time if known and known.status == status else timestamps.format_time(now)
        result.append(Condition(type_, status, reason, message, since))
    return tuple(result)


def _silent(servers: Mapping[str, str]) -> str:
    """That some would not tell what they have, in upstream's words."""
    if not servers:
        return ""
    each = ", ".join(f"{served}: {why}" for served, why in sorted(servers.items()))
    return (
        f"Discovery failed for some groups, {len(servers)} failing: unable to retrieve the complete list of server APIs: "
        f"{each}"
    )


def _is_content(kind: Kind) -> bool:
    return kind.namespaced and "delete" in kind.verbs


class Namespaces:
    """The loop over namespaces being deleted."""

    def __init__(self, client: Client, clock: Clock, catalogue: Catalogue, others: Others = Nobody()) -> None:
        self._client = client
        self._clock = clock
        self._catalogue = catalogue
        self._others = others
        self._namespaces: Table
        self._contents: dict[str, tuple[Kind, Table]] = {}

    async def run(self) -> None:
        """Empty and finish every deleted namespace until cancelled."""
        self._namespaces = await self._client.table(namespace_kind.KIND)
        self._contents = {}
        loop: Controller[str] = Controller("namespace", self.reconcile, clock=self._clock, pace=_PACE)
        loop.watch(self._namespaces, lambda old, new: (new.name,) if new else ())

        def join(kind: Kind, table: Table) -> Callable[[], None]:
            return loop.watch(table, self._terminating)

        async with AllTables(self._client, self._catalogue, self._contents, join, _is_content):
            await loop.run()

    def _terminating(self, old: Document | None, new: Document | None) -> Iterable[str]:
        document = new or old
        if document is None:
            return
        namespace = self._namespaces.get(document.namespace)
        if namespace is not None and namespace.meta.deletion_timestamp is not None:
            yield document.namespace

    async def reconcile(self, name: str) -> float | None:
        """Delete what is in the namespace, say what is left, and finish when nothing is."""
        document = self._namespaces.get(name)
        if document is None or document.meta.deletion_timestamp is None:
            return None
        failures = await self._empty(name)
        remaining, silent = self._remaining(name), ""
        if not self._contents[pod_kind.KIND.resource][1].select(name):
            left = await elsewhere.empty(self._others, name)
            failures += left.failures
            remaining = Remaining(
                {**remaining.objects, **left.objects}, dict(Counter(remaining.finalizers) + left.finalizers)
            )
            silent = _silent(left.silent)
        failure = "Failed to delete all resource types, " + "; ".join(failures[:3]) if failures else ""
        await self._write_conditions(name, remaining, failure, silent)
        if remaining.objects or silent or failure:
            return 5.0  # somebody's finalizer or grace period, or a server that is away; changes wake us sooner
        await self._finish(name)
        return None

    async def _empty(self, name: str) -> list[str]:
        """Ask for the deletion of everything, of pods alone while there are any; what went wrong."""
        pods = self._contents[pod_kind.KIND.resource]
        groups = [pods] if pods[1].select(name) else list(self._contents.values())
        failures: list[str] = []
        for kind, table in groups:
            todo = [each for each in table.select(name) if each.meta.deletion_timestamp is None]
            for start in range(0, len(todo), _BATCH):
                answers = await asyncio.gather(
                    *(self._delete(kind, each) for each in todo[start : start + _BATCH]), return_exceptions=True
                )
                for answer in answers:
                    if isinstance(answer, ApiError):
                        failures.append(answer.message)
                    elif isinstance(answer, BaseException):
                        raise answer
        return failures

    async def _delete(self, kind: Kind, document: Document) -> None:
        with contextlib.suppress(NotFound, Conflict):
            await self._client.delete(
                kind, document.name, document.namespace, uid=document.meta.uid, propagation="Background"
            )

    def _remaining(self, name: str) -> Remaining:
        objects: Counter[str] = Counter()
        finalizers: Counter[str] = Counter()
        for kind, table in self._contents.values():
            for document in table.select(name):
                objects[f"{kind.plural}.{kind.group}"] += 1
                finalizers.update(document.meta.finalizers or ())
        return Remaining(dict(objects), dict(finalizers))

    async def _write_conditions(self, name: str, remaining: Remaining, failure: str, silent: str) -> None:
        document = self._namespaces.get(name)
        if document is None:
            return
        before = document.view(NamespaceView).status.conditions or ()
        after = conditions(before, remaining, failure, self._clock.now(), silent)
        if after == before:
            return
        changed = document.decode()
        changed["status"] = {
            **(changed.get("status") or {}),
            "phase": "Terminating",
            "conditions": [msgspec.to_builtins(each) for each in after],
        }
        await self._client.update(namespace_kind.KIND, changed, subresource="status")

    async def _finish(self, name: str) -> None:
        document = self._namespaces.get(name)
        if document is None:
            return
        changed: dict[str, Any] = document.decode()
        finalizers = (changed.get("spec") or {}).get("finalizers") or ()
        changed["spec"] = {"finalizers": [each for each in finalizers if each != _FINALIZER]}
        with contextlib.suppress(NotFound):
            await self._client.update(namespace_kind.KIND, changed, subresource="finalize")
