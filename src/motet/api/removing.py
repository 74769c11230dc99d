"""DELETE: what `deletion` decides, carried out on the stored document, and the answer to whoever asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from motet.api import deletion, meta, shortcuts
from motet.api.deletion import GONE, Fate
from motet.api.options import DeleteOptions
from motet.api.pipeline import Pipeline, namespace_of
from motet.api.projecting import shown, stored_kind
from motet.api.users import User
from motet.api.writing import Writer
from motet.base.clock import Clock
from motet.kinds.kind import Json, Kind
from motet.store.document import Document

# Kinds whose DELETE answers with the object rather than a Status (upstream: ReturnDeletedObject).
_RETURNED: Final = frozenset(
    {
        "core/pods",
        "core/services",
        "core/persistentvolumes",
        "core/persistentvolumeclaims",
        "core/serviceaccounts",
        "storage.k8s.io/storageclasses",
        "storage.k8s.io/csidrivers",
        "storage.k8s.io/csinodes",
        "storage.k8s.io/volumeattachments",
    }
)
PODS: Final = "core/pods"


@dataclass(frozen=True, slots=True)
class Deleted:
    """What a delete answers: the object (`document`) when it is still there or its kind returns it, else the
    `metav1.Status` of success. `gone` says whether it has left the store."""

    gone: bool
    document: Document | None = None
    status: Json | None = None


class Remover:
    """One per registry."""

    def __init__(self, pipeline: Pipeline, writer: Writer, clock: Clock) -> None:
        self._pipeline = pipeline
        self._writer = writer
        self._clock = clock

    async def delete(
        self, kind: Kind, namespace: str, name: str, user: User, options: DeleteOptions = DeleteOptions()
    ) -> Deleted:
        """Raises BadRequest, Conflict (a precondition), Forbidden, NotFound."""
        seen, kind = kind, stored_kind(kind)
        namespace = namespace_of(kind, namespace)
        deletion.check(options)

        async def decide(current: Document) -> Json | bytes | Fate:
            meta.check_preconditions(kind, current, options.uid, options.resource_version)
            seen_now = current if kind.versions is None else await shown(kind, current)
            await self._pipeline.leaving(kind, seen_now, user, options)
            if deletion.at_once(kind, current, options):
                return GONE
            if kind.resource != PODS:
                return deletion.decide(kind, current.decode(), options, self._clock.now())
            parts, pod = shortcuts.leaving_pod(current)
            outcome = deletion.decide(kind, pod, options, self._clock.now())
            return outcome if isinstance(outcome, Fate) else shortcuts.with_metadata(parts, outcome["metadata"])

        document, gone = await self._writer.modify(kind, namespace, name, decide, dry_run=options.dry_run)
        if gone and kind.resource not in _RETURNED:
            return Deleted(True, None, _success(seen, document))
        return Deleted(gone, await shown(seen, document))


def _success(kind: Kind, document: Document) -> Json:
    details = {"name": document.name, "kind": kind.plural, "uid": document.meta.uid}
    if kind.group:
        details["group"] = kind.group
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}
