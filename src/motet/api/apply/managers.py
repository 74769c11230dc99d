"""The books of `metadata.managedFields`: apply a configuration, or track what a plain write changed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from motet.api.apply import fields, merging
from motet.api.apply.fields import Fields, Json, Place
from motet.base.errors import Conflict
from motet.kinds.schema.model import Schema

# Places nobody owns: who an object is, and what the server writes into its metadata.
_UNOWNED_METADATA = (
    "name", "namespace", "generateName", "creationTimestamp", "selfLink", "uid", "generation", "managedFields",
    "resourceVersion", "deletionTimestamp", "deletionGracePeriodSeconds",
)  # fmt: skip
_IDENTITY = ("apiVersion", "kind", "metadata")
_NOTHING: Mapping[str, Any] = {}
_UNOWNED: Fields = frozenset(
    {("f:apiVersion",), ("f:kind",), ("f:metadata",), *(("f:metadata", f"f:{name}") for name in _UNOWNED_METADATA)}
)


@dataclass(frozen=True, slots=True)
class Manager:
    """Whose entry it is. Two with the same four values are one manager."""

    name: str
    operation: str
    api_version: str
    subresource: str = ""


class _Entry:
    """What one manager owns. Kept as it was read, FieldsV1 and all, and taken apart only when it matters."""

    def __init__(self, tree: Json, time: str = "") -> None:
        self.tree = tree
        self.time = time

    @classmethod
    def owning(cls, places: Fields, time: str) -> _Entry:
        """An entry for these places."""
        return cls(fields.encode(places), time)

    @cached_property
    def owned(self) -> Fields:
        return fields.decode(self.tree)

    def among(self, places: Iterable[Place]) -> Fields:
        """Those of the places that are owned. Cheap for few places, however many are owned."""
        return frozenset(place for place in places if fields.holds(self.tree, place))

    def without(self, places: Fields) -> _Entry:
        return _Entry.owning(self.owned - places, self.time)


_Books = dict[Manager, _Entry]


def apply(
    schema: Schema,
    live: Json,
    applied: Json,
    *,
    manager: str,
    time: str,
    force: bool = False,
    subresource: str = "",
) -> Json:
    """The live document (empty for a new object) after `applied` was applied by `manager`, books included.

    Fields the manager applied before and leaves out now are removed, unless somebody else owns them. A field that
    another manager owns and this would change is a Conflict naming every such field; with `force` it changes hands.
    `time` is `metav1.Time` text for entries that change.
    """
    who = Manager(manager, "Apply", str(applied.get("apiVersion", "")), subresource)
    books = read(live)
    applied = _without_books(applied)
    wanted = fields.of(schema, applied) - _UNOWNED
    merged: Json = merging.merge(schema, _without_books(live), applied)
    touched = fields.changes(schema, _without_books(live), merged).all
    disputed = {
        other: owned
        for other, entry in books.items()
        if not _same_applier(other, who) and (owned := entry.among(touched))
    }
    if disputed and not force:
        raise conflict(disputed)
    for other, owned in disputed.items():
        books[other] = books[other].without(owned)
    before = [entry.owned for other, entry in books.items() if _same_applier(other, who)]
    for other in [other for other in books if _same_applier(other, who) and other != who]:
        del books[other]  # The same applier in an earlier version: this entry takes its place.
    others = _union(entry.owned for other, entry in books.items() if other != who)
    merged = _prune(schema, merged, _union(before) - wanted, wanted | others)
    gone = fields.changes(schema, _without_books(live), merged).removed
    for other, entry in books.items():
        if other != who and (lost := entry.among(gone)):
            books[other] = entry.without(lost)
    old = books.get(who)
    books[who] = old if old is not None and old.owned == wanted else _Entry.owning(wanted, time)
    return write(merged, books)


def track(schema: Schema, live: Json, new: Json, *, manager: str, time: str, subresource: str = "") -> Json:
    """`new` with the books of `live` carried on: what this write set is the manager's now, what it removed is nobody's.

    For create (with an empty `live`), update and the patches that are not apply.
    """
    who = Manager(manager, "Update", str(new.get("apiVersion", "")), subresource)
    books = read(live)
    bare = _without_books(new)
    found = fields.changes(schema, _without_books(live), bare)
    written, removed = found.written - _UNOWNED, found.removed
    for other, entry in books.items():
        lost = entry.among(removed if other == who else removed | found.modified)
        if lost:
            books[other] = entry.without(lost)
    old = books.get(who)
    if old is None and written:
        books[who] = _Entry.owning(frozenset(written), time)
    elif old is not None and len(old.among(written)) < len(written):
        books[who] = _Entry.owning(old.owned | written, time)
    return write(bare, books)


def created(schema: Schema, new: Json, *, manager: str, time: str, known: Mapping[str, Any] = _NOTHING) -> list[Json]:
    """The books of a new object: `track` from an empty `live`, many times faster.

    `known` has parts of the FieldsV1 form that need no looking at, such as `f:spec`; `new` may then be without them.
    """
    metadata = new.get("metadata")
    rest = {name: value for name, value in new.items() if name not in _IDENTITY}
    tree = fields.tree(schema, rest)
    if isinstance(metadata, dict):
        owned = {name: value for name, value in metadata.items() if name not in _UNOWNED_METADATA}
        inner = fields.tree(fields.below(schema, "metadata"), owned)
        tree = {"f:metadata": inner, **tree} if inner else tree
    entry = _Entry({**tree, **known}, time)
    return [_rendered(Manager(manager, "Update", str(new.get("apiVersion", ""))), entry)] if entry.tree else []


def conflict(disputed: Mapping[Manager, Fields]) -> Conflict:
    """The refusal of an apply, in upstream's words, with one cause for each field."""
    causes, parts, count = [], [], 0
    for manager, places in sorted(disputed.items(), key=lambda pair: pair[0].name):
        shown = sorted(map(fields.show, places))
        count += len(shown)
        by = f'"{manager.name}"' + (f' with subresource "{manager.subresource}"' if manager.subresource else "")
        by += f" using {manager.api_version}"
        causes += [{"reason": "FieldManagerConflict", "message": f"conflict with {by}", "field": at} for at in shown]
        listed = f": {shown[0]}" if len(shown) == 1 else ":\n" + "\n".join(f"- {at}" for at in shown)
        parts.append(f"conflict{'s' if len(shown) > 1 else ''} with {by}{listed}")
    plural = "s" if count > 1 else ""
    joined = parts[0] if len(parts) == 1 else "\n".join(parts)
    return Conflict(f"Apply failed with {count} conflict{plural}: {joined}", details={"causes": causes})


def read(document: Json) -> _Books:
    """The books in a document; entries that cannot be read are left out."""
    books: _Books = {}
    metadata = document.get("metadata")
    entries = metadata.get("managedFields") if isinstance(metadata, dict) else None
    for entry in entries if isinstance(entries, list) else []:
        if isinstance(entry, dict) and entry.get("manager") is not None:
            who = Manager(
                str(entry["manager"]),
                str(entry.get("operation", "Update")),
                str(entry.get("apiVersion", "")),
                str(entry.get("subresource", "")),
            )
            tree = entry.get("fieldsV1")
            books[who] = _Entry(tree if isinstance(tree, dict) else {}, str(entry.get("time", "")))
    return books


def write(document: Json, books: _Books) -> Json:
    """The document with these books; managers that own nothing any more have no entry."""
    entries = [_rendered(who, entry) for who, entry in books.items() if entry.tree]
    metadata = dict(document.get("metadata") or {})
    metadata.pop("managedFields", None)
    if entries:
        metadata["managedFields"] = entries
    return {**document, "metadata": metadata}


def _rendered(who: Manager, entry: _Entry) -> Json:
    rendered: Json = {"manager": who.name, "operation": who.operation, "apiVersion": who.api_version}
    if entry.time:
        rendered["time"] = entry.time
    rendered["fieldsType"] = "FieldsV1"
    rendered["fieldsV1"] = entry.tree
    if who.subresource:
        rendered["subresource"] = who.subresource
    return rendered


def _same_applier(one: Manager, other: Manager) -> bool:
    """The same manager applying, whatever version it spoke."""
    return (one.name, one.operation, one.subresource) == (other.name, other.operation, other.subresource)


def _union(sets: Iterable[Fields]) -> Fields:
    return frozenset().union(*sets)


def _without_books(document: Json) -> Json:
    metadata = document.get("metadata")
    if not isinstance(metadata, dict) or "managedFields" not in metadata:
        return document
    return {**document, "metadata": {name: value for name, value in metadata.items() if name != "managedFields"}}


def _prune(schema: Schema, document: Json, given_up: Fields, kept: Fields) -> Json:
    """Without the places the manager gave up, shallow ones first: a whole item goes when nothing in it is owned."""
    done: list[Place] = []
    for place in sorted(given_up, key=len):
        if any(place[: len(gone)] == gone for gone in done):
            continue
        if not any(owned[: len(place)] == place for owned in kept):
            document = merging.remove(schema, document, place, kept)
            done.append(place)
    return document
