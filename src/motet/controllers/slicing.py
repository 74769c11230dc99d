"""Endpoints put into slices: each in exactly one, staying where it is, new ones where there is room. Pure (KEP-752).

Whose endpoints they are is the caller's business: pods behind a Service, or a copy of an older Endpoints object.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]

# Address family and ports, which all endpoints of a slice share.
Group = tuple[str, tuple[Any, ...]]
# Endpoints by what tells them apart.
Wanted = Mapping[Group, Mapping[str, Json]]


@dataclass(frozen=True, slots=True)
class Plan:
    """Slices to create, to replace (with their resourceVersion) and to delete (name, uid)."""

    create: tuple[Json, ...] = ()
    update: tuple[Json, ...] = ()
    delete: tuple[tuple[str, str], ...] = ()


@dataclass(slots=True)
class Filling:
    """A slice being filled. `document` is what exists, if anything does."""

    document: Json | None
    endpoints: dict[str, Json] = field(default_factory=dict)
    changed: bool = False


Identity = Callable[[Json], str]
Body = Callable[[Group, Filling], Json]


def plan(
    wanted: Wanted, existing: Sequence[Json], *, per_slice: int, identity: Identity, body: Body, keep_empty: bool
) -> Plan:
    """What to do about `existing` so that `wanted` is what they hold. `body` gives the document of a slice.

    An endpoint stays in the slice it is in; new ones go first to slices that change anyway, then to any with room. With
    `keep_empty` a group without endpoints keeps one slice that says so.
    """
    by_group: dict[Group, list[Filling]] = {group: [] for group in wanted}
    surplus: list[Json] = []
    for document in existing:
        group = (document.get("addressType", ""), ports_key(document.get("ports") or ()))
        if group in by_group:
            by_group[group].append(Filling(document))
        else:
            surplus.append(document)
    create: list[Json] = []
    update: list[Json] = []
    for group, filled in by_group.items():
        for each in _fill(wanted[group], filled, per_slice, identity, keep_empty):
            made = body(group, each)
            if each.document is None:
                create.append(made)
            elif not each.endpoints and not (keep_empty and not wanted[group] and each is filled[0]):
                surplus.append(each.document)
            elif differs(made, each.document):
                update.append(made)
    gone = tuple((document["metadata"]["name"], document["metadata"].get("uid", "")) for document in surplus)
    return Plan(tuple(create), tuple(update), gone)


def _fill(
    wanted: Mapping[str, Json], filled: list[Filling], per_slice: int, identity: Identity, keep_empty: bool
) -> list[Filling]:
    left = dict(wanted)
    for each in filled:
        for endpoint in (each.document or {}).get("endpoints") or ():
            name = identity(endpoint)
            current = left.pop(name, None)
            if current is not None and len(each.endpoints) < per_slice:
                each.endpoints[name] = current
                each.changed |= current != endpoint
            else:
                each.changed = True
                if current is not None:
                    left[name] = current
    for each in sorted(filled, key=lambda candidate: (not candidate.changed, -len(candidate.endpoints))):
        while left and len(each.endpoints) < per_slice:
            name = next(iter(left))
            each.endpoints[name] = left.pop(name)
            each.changed = True
    result = list(filled)
    while left or (keep_empty and not result):
        taken = {name: left.pop(name) for name in list(left)[:per_slice]}
        result.append(Filling(None, taken, changed=True))
    return result


def ports_key(ports: Iterable[Mapping[str, Any]]) -> tuple[Any, ...]:
    """The ports of a slice or subset as something that can be compared, in whatever order they are."""
    entries = ((p.get("name") or "", p.get("port"), p.get("protocol", "TCP"), p.get("appProtocol")) for p in ports)
    return tuple(sorted(entries, key=repr))


def port(entry: tuple[Any, ...]) -> Json:
    """One of a key's ports as a slice says it."""
    name, number, protocol, app_protocol = entry
    document: Json = {"name": name, "port": number, "protocol": protocol}
    return {**document, "appProtocol": app_protocol} if app_protocol else document


def metadata(each: Filling, name: str, namespace: str) -> Json:
    """What stays of a slice's metadata, or how a new one gets its name."""
    old = (each.document or {}).get("metadata") or {}
    kept = {key: old[key] for key in ("name", "uid", "resourceVersion", "annotations") if old.get(key)}
    return {**(kept or {"generateName": f"{name}-"}), "namespace": namespace}


def differs(body: Json, document: Json) -> bool:
    """Whether there is anything to write, the order of its endpoints aside."""
    old, new = document["metadata"], body["metadata"]
    return bool(
        body["endpoints"] != (document.get("endpoints") or [])
        or any(new.get(key) != old.get(key) for key in ("labels", "annotations", "ownerReferences"))
    )
