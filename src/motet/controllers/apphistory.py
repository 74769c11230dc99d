"""The revisions of an App: which is the present one, and which a rollback goes to. Pure; `revisionstore` writes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from motet.controllers.appversion import kept_of, same, version_of
from motet.controllers.revisions import History, RevisionView
from motet.controllers.templates import template_hash
from motet.kinds import controllerrevision
from motet.kinds.tasks import LABEL, TEMPLATE_LABEL
from motet.store.document import Meta


@dataclass(frozen=True, slots=True)
class AppHistory:
    """`previous` is what a rollback goes to: the latest revision of another version, else the latest one."""

    history: History
    previous: RevisionView | None

    @property
    def other_version(self) -> bool:
        """There was another version before, and it is still known."""
        return self.previous is not None and version_in(self.previous) != self.history.hash


def kept_in(revision: RevisionView) -> dict[str, Any]:
    """What a revision puts back."""
    return dict((revision.data or {}).get("spec") or {})


def version_in(revision: RevisionView) -> str:
    """The version that its pods have."""
    return (revision.metadata.labels or {}).get(TEMPLATE_LABEL) or version_of(kept_in(revision))


def decide(
    app: Meta,
    reference: Mapping[str, Any],
    spec: Mapping[str, Any],
    revisions: Sequence[RevisionView],
    *,
    taken: Callable[[str], bool] = lambda name: False,
) -> AppHistory:
    """Find `spec` among the App's `revisions`, or say how to make it. `taken`: somebody else's revision has that name."""
    kept, version = kept_of(spec), version_of(spec)
    alike = tuple(each for each in revisions if same(kept_in(each), kept))
    older = tuple(sorted((each for each in revisions if each not in alike), key=_number))
    number = max((each.revision for each in older), default=0) + 1
    current = max(alike, key=_number, default=None)
    others = [each for each in older if version_in(each) != version]
    previous = others[-1] if others else older[-1] if older else None
    if current is not None:
        renumber = number if current.revision < number else None
        name, number = current.metadata.name, max(number, current.revision)
        return AppHistory(History(name, number, version, current, None, renumber, older, 0, alike), previous)
    collisions = 0
    while taken(name := f"{app.name}-{template_hash(kept, collisions)}"):
        collisions += 1
    metadata: dict[str, Any] = {
        "name": name,
        "namespace": app.namespace,
        "labels": {LABEL: app.name, TEMPLATE_LABEL: version},
        "ownerReferences": [dict(reference)],
    }
    if cause := (app.annotations or {}).get(controllerrevision.CHANGE_CAUSE):
        metadata["annotations"] = {controllerrevision.CHANGE_CAUSE: cause}
    document = {
        "apiVersion": controllerrevision.KIND.api_version,
        "kind": controllerrevision.KIND.kind,
        "metadata": metadata,
        "data": {"spec": kept},
        "revision": number,
    }
    return AppHistory(History(name, number, version, None, document, None, older, collisions, ()), previous)


def _number(revision: RevisionView) -> tuple[int, str, str]:
    meta = revision.metadata
    return revision.revision, meta.creation_timestamp or "", meta.name
