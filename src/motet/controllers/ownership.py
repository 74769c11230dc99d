"""Whose object is it? One controller per object, taken and given up by labels (Kubernetes "Owners and Dependents")."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import msgspec

from motet.base.selectors import Selector
from motet.client.interface import Client
from motet.kinds.kind import Kind
from motet.store.document import Document, Meta


class HasMeta(Protocol):
    @property
    def metadata(self) -> Meta: ...


T = TypeVar("T", bound=HasMeta)


@dataclass(frozen=True, slots=True)
class Claims(Generic[T]):
    """Objects sorted by whose they are: ours already, ours to take, ours to let go."""

    mine: tuple[T, ...]
    adopt: tuple[T, ...]
    release: tuple[T, ...]


def claim(owner: Meta, selector: Selector, objects: Iterable[T]) -> Claims[T]:
    """Sort `objects` for `owner`. One on its way out itself takes and releases nothing any more."""
    leaving = owner.deletion_timestamp is not None
    # Pods of one template share their labels, so few have to be matched.
    known: dict[int, bool] = {}

    def matches(labels: dict[str, str] | None) -> bool:
        found = known.get(id(labels))
        if found is None:
            found = known[id(labels)] = selector.matches(labels)
        return found

    # So that an id means the same labels throughout.
    objects = tuple(objects)
    mine: list[T] = []
    adopt: list[T] = []
    release: list[T] = []
    for each in objects:
        meta = each.metadata
        controller = meta.controller()
        if controller is not None:
            if controller.uid == owner.uid:
                (mine if leaving or matches(meta.labels) else release).append(each)
        elif not leaving and meta.deletion_timestamp is None and matches(meta.labels):
            adopt.append(each)
    return Claims(tuple(mine), tuple(adopt), tuple(release))


def reference(owner: Document, kind: Kind) -> dict[str, Any]:
    """What makes `owner` an object's controller and lets a foreground deletion of it wait for the object."""
    return {
        "apiVersion": kind.api_version,
        "kind": kind.kind,
        "name": owner.name,
        "uid": owner.meta.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }


async def settle(client: Client, kind: Kind, owner: Document, owner_kind: Kind, claims: Claims[T]) -> None:
    """Write the adoptions and releases among objects of `kind`. The uid in each patch guards against a namesake."""
    for each in claims.adopt:
        kept = [msgspec.to_builtins(old) for old in each.metadata.owner_references or ()]
        await _write(client, kind, each.metadata, [*kept, reference(owner, owner_kind)])
    for each in claims.release:
        references = each.metadata.owner_references or ()
        await _write(
            client, kind, each.metadata, [msgspec.to_builtins(old) for old in references if old.uid != owner.meta.uid]
        )


async def _write(client: Client, kind: Kind, meta: Meta, references: Sequence[dict[str, Any]]) -> None:
    patch = {"metadata": {"uid": meta.uid, "ownerReferences": list(references) or None}}
    await client.patch(kind, meta.name, patch, meta.namespace)
