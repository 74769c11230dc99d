"""The versions of a workload that are kept, by their numbers: ControllerRevisions, and ReplicaSets for a Deployment.

What a revision holds is shown as the pod template it stands for; what changed is found by comparing it with the one before.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from motet.cli.rollout.targets import APP, DEPLOYMENT, Target
from motet.client.interface import Client
from motet.controllers import apphistory
from motet.controllers.revisions import RevisionView
from motet.controllers.rollout import REVISION
from motet.kinds import controllerrevision, replicaset
from motet.kinds.controllerrevision import CHANGE_CAUSE
from motet.store.document import Document

Json = dict[str, Any]
_POD_HASH = "pod-template-hash"
_MOST_WORDS = 3


class Revision(msgspec.Struct, frozen=True):
    """`spec` is what the revision puts back, in its own kind's words; `name` that of the object that keeps it."""

    number: int
    name: str
    created: str
    cause: str
    images: list[str]
    changes: list[str]
    current: bool
    spec: Json


async def of(client: Client, target: Target, owner: Document) -> list[Revision]:
    """The revisions of a workload, the oldest first."""
    kind = replicaset.KIND if target.kind is DEPLOYMENT else controllerrevision.KIND
    found = [
        (number, document, spec)
        for document in await client.list(kind, owner.namespace)
        if (made := document.meta.controller()) is not None and made.uid == owner.meta.uid
        if (number := _number(target, document))
        for spec in [_spec(target, document)]
    ]
    found.sort(key=lambda each: each[0])
    return list(_told(found))


def _number(target: Target, document: Document) -> int:
    if target.kind is not DEPLOYMENT:
        return document.view(RevisionView).revision
    said = (document.meta.annotations or {}).get(REVISION, "")
    return int(said) if said.isdecimal() else 0


def _spec(target: Target, document: Document) -> Json:
    if target.kind is APP:
        return apphistory.kept_in(document.view(RevisionView))
    if target.kind is not DEPLOYMENT:
        return {"template": document.view(RevisionView).template()}
    template: Json = document.decode()["spec"]["template"]
    (template.get("metadata") or {}).get("labels", {}).pop(_POD_HASH, None)
    return {"template": template}


def _told(found: Sequence[tuple[int, Document, Json]]) -> Iterator[Revision]:
    before: Json | None = None
    for number, document, spec in found:
        yield Revision(
            number=number,
            name=document.name,
            created=document.meta.creation_timestamp or "",
            cause=(document.meta.annotations or {}).get(CHANGE_CAUSE, ""),
            images=[each.get("image", "") for each in _containers(spec)],
            changes=[] if before is None else changes(before, spec),
            current=number == found[-1][0],
            spec=spec,
        )
        before = spec


def _containers(spec: Mapping[str, Any]) -> list[Json]:
    return list(((spec.get("template") or {}).get("spec") or {}).get("containers") or ())


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """What is another from one kept specification to the next: `image a -> b`, `+env.NAME`, `-volumes.NAME`."""
    old, new = dict(_leaves(before, "")), dict(_leaves(after, ""))
    found = []
    for path in sorted(old.keys() | new.keys()):
        if path not in old:
            found.append(f"+{path}={_short(new[path])}")
        elif path not in new:
            found.append(f"-{path}")
        elif old[path] != new[path]:
            found.append(f"{path} {_short(old[path])} -> {_short(new[path])}")
    return found


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Every value with where it is; members of lists by their names where they have some. What a template is within is left out."""
    if isinstance(value, Mapping):
        for key, each in value.items():
            if key == "annotations" and path in ("", "metadata"):
                # Marks of voices, such as the whole of a docker service.
                each = {name: text for name, text in each.items() if "motet.dev/" not in name}
            yield from _leaves(each, path if not path and key in ("template", "spec") else f"{path}.{key}".lstrip("."))
    elif isinstance(value, list):
        for index, each in enumerate(value):
            name = each.get("name", index) if isinstance(each, Mapping) else index
            if isinstance(each, Mapping) and path == "containers" and len(value) == 1:
                yield from _leaves({key: inner for key, inner in each.items() if key != "name"}, "")
            elif isinstance(each, Mapping) and set(each) == {"name", "value"}:
                yield f"{path}.{name}", each["value"]
            else:
                yield from _leaves(each, f"{path}.{name}")
    else:
        yield path, value


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def summary(revision: Revision) -> str:
    """Its change cause, else the first of its changes."""
    if revision.cause:
        return revision.cause
    more = len(revision.changes) - _MOST_WORDS
    return ", ".join(revision.changes[:_MOST_WORDS]) + (f" and {more} more" if more > 0 else "")
