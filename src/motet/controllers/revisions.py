"""The history of a template, as ControllerRevisions: which of them is the current one, and which have no more room.

Each revision holds a strategic merge patch that puts its template back, which is what `kubectl rollout undo` sends. A template that
returns gets its old revision under a new number, so pods made from it then are still right. Policy only: the loops write.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from motet.controllers.templates import normal, template_hash
from motet.kinds import controllerrevision
from motet.store.document import Meta

# On pods: which revision they are of.
REVISION_LABEL = "controller-revision-hash"
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


class RevisionView(msgspec.Struct, gc=False, frozen=True):
    metadata: Meta
    revision: int = 0
    data: dict[str, Any] | None = None

    def template(self) -> dict[str, Any]:
        """The pod template this revision puts back."""
        found: Any = ((self.data or {}).get("spec") or {}).get("template") or {}
        return {key: value for key, value in found.items() if key != "$patch"}


@dataclass(frozen=True, slots=True)
class History:
    """The revision of the template there is now, and the older ones.

    `current` is None when it has to be made: `create` is the document then. `renumber` is the number it must get to be the newest.
    """

    name: str
    number: int
    hash: str
    current: RevisionView | None
    create: dict[str, Any] | None
    renumber: int | None
    older: tuple[RevisionView, ...]
    collisions: int
    same: tuple[RevisionView, ...]  # all revisions with this very template, should there be several


def decide(
    owner: Meta,
    owner_reference: Mapping[str, Any],
    template: Mapping[str, Any],
    revisions: Sequence[RevisionView],
    *,
    hash_label: str,
    collisions: int = 0,
    taken: Callable[[str], bool] = lambda name: False,
) -> History:
    """Find `template` among `revisions`, all of them `owner`'s, or say how to make it.

    `hash_label` is where a revision carries its hash; `taken(name)` tells whether somebody else's revision has that name.
    """
    wanted = normal(template)
    same = [each for each in revisions if normal(each.template()) == wanted]
    older = tuple(sorted((each for each in revisions if each not in same), key=_number))
    number = max((each.revision for each in older), default=0) + 1
    if same:
        current = max(same, key=_number)
        digest = (current.metadata.labels or {}).get(hash_label) or current.metadata.name
        renumber = number if current.revision < number else None
        name = current.metadata.name
        return History(
            name, max(number, current.revision), digest, current, None, renumber, older, collisions, tuple(same)
        )
    while taken(f"{owner.name}-{template_hash(template, collisions)}"):
        collisions += 1
    digest = template_hash(template, collisions)
    name = f"{owner.name}-{digest}"
    document = _document(owner, owner_reference, template, name, {hash_label: digest}, number)
    return History(name, number, digest, None, document, None, older, collisions, ())


def surplus(
    older: Sequence[RevisionView], limit: int, live: Collection[str], hash_of: Callable[[RevisionView], str]
) -> list[RevisionView]:
    """The lowest of `older` beyond `limit`. Those that pods are still of (`live`, in the words of `hash_of`) stay."""
    unused = [each for each in sorted(older, key=_number) if hash_of(each) not in live]
    return unused[: max(0, len(older) - limit)]


def _number(revision: RevisionView) -> tuple[int, str, str]:
    meta = revision.metadata
    return revision.revision, meta.creation_timestamp or "", meta.name


def _document(
    owner: Meta,
    owner_reference: Mapping[str, Any],
    template: Mapping[str, Any],
    name: str,
    labels: Mapping[str, str],
    number: int,
) -> dict[str, Any]:
    annotations = {key: value for key, value in (owner.annotations or {}).items() if key != _LAST_APPLIED}
    kind = controllerrevision.KIND
    metadata: dict[str, Any] = {
        "name": name,
        "namespace": owner.namespace,
        "labels": {**((template.get("metadata") or {}).get("labels") or {}), **labels},
        "ownerReferences": [dict(owner_reference)],
    }
    if annotations:
        metadata["annotations"] = annotations
    return {
        "apiVersion": kind.api_version,
        "kind": kind.kind,
        "metadata": metadata,
        "data": {"spec": {"template": _ordered({**_as_go_prints(template), "$patch": "replace"})}},
        "revision": number,
    }


def _as_go_prints(template: Mapping[str, Any]) -> dict[str, Any]:
    """The template with the members that Go's types always print, so that clients who compare bytes find them equal."""
    metadata = {"creationTimestamp": None, **(template.get("metadata") or {})}
    return {**template, "metadata": metadata}


def _ordered(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _ordered(value[key]) for key in sorted(value)}
    return [_ordered(each) for each in value] if isinstance(value, list) else value
