"""Which zone each endpoint serves, by the processors of the zones (KEP-2433; `service.kubernetes.io/topology-mode: Auto`).

A zone gets its share of the endpoints, so that none has to do more than a fifth above what it would in an even spread. Endpoints
serve their own zone as far as that allows, and one that was given away stays given.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction

import msgspec

from motet.base import quantity
from motet.controllers.podview import Condition
from motet.store.document import Document, Meta

MODE = "service.kubernetes.io/topology-mode"
# What it was called before.
OLD_MODE = "service.kubernetes.io/topology-aware-hints"
ZONE = "topology.kubernetes.io/zone"
_AUTO = frozenset(("Auto", "auto"))
_CONTROL_PLANE = ("node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master")
_OVERLOAD = Fraction(1, 5)


class _NodeStatus(msgspec.Struct, gc=False, frozen=True):
    allocatable: dict[str, str | int | float] | None = None
    conditions: tuple[Condition, ...] | None = None


class _NodeView(msgspec.Struct, gc=False, frozen=True):
    status: _NodeStatus = _NodeStatus()


@dataclass(frozen=True, slots=True)
class Room:
    """What counts of a node: its zone and its processors; `counts` is false of one that takes no part."""

    counts: bool = False
    zone: str = ""
    cpu: Fraction = Fraction(0)


def room(node: Document | None) -> Room:
    """Of a node that is ready and no control plane."""
    if node is None or any(label in (node.meta.labels or {}) for label in _CONTROL_PLANE):
        return Room()
    status = node.view(_NodeView).status
    if not any(each.type == "Ready" and each.status == "True" for each in status.conditions or ()):
        return Room()
    cpu = quantity.parse((status.allocatable or {}).get("cpu", 0))
    return Room(True, (node.meta.labels or {}).get(ZONE, ""), cpu)


def shares(nodes: Iterable[Document]) -> Mapping[str, Fraction]:
    """The processors of each zone; none at all when a node does not tell its zone or its processors."""
    found: dict[str, Fraction] = {}
    for each in map(room, nodes):
        if not each.counts:
            continue
        if not each.zone or not each.cpu:
            return {}
        found[each.zone] = found.get(each.zone, Fraction(0)) + each.cpu
    return found


def asked(service: Meta) -> bool | None:
    """Whether a Service asks for this; None when it says nothing."""
    annotations = service.annotations or {}
    said = annotations.get(MODE, annotations.get(OLD_MODE))
    return None if said is None else said in _AUTO


def allot(zones: Mapping[str, str], shares: Mapping[str, Fraction], had: Mapping[str, str]) -> Mapping[str, str]:
    """The zone that each endpoint (by uid, with the zone it is in) is for. Empty where it cannot be done evenly enough.

    `had` is whom they were for before.
    """
    total = sum(shares.values())
    if len(shares) < 2 or len(zones) < len(shares) or not all(zones.values()) or not total:
        return {}
    least = {zone: math.ceil(share / total * len(zones) / (1 + _OVERLOAD)) for zone, share in shares.items()}
    if sum(least.values()) > len(zones):
        return {}
    made = {uid: had[uid] if had.get(uid) in shares else zone for uid, zone in sorted(zones.items())}
    counts = Counter(made.values())
    for zone in sorted(shares):
        while counts[zone] < least[zone]:
            uid = _to_spare(made, zones, zone, counts, least)
            counts[made[uid]] -= 1
            counts[zone] += 1
            made[uid] = zone
    # One in a zone without nodes that count serves some other.
    for uid, zone in made.items():
        if zone not in shares:
            made[uid] = max(sorted(shares), key=lambda each: (shares[each] / total) / (counts[each] or 1))
            counts[made[uid]] += 1
    return made


def _to_spare(
    made: Mapping[str, str], zones: Mapping[str, str], wanted: str, counts: Counter[str], least: Mapping[str, int]
) -> str:
    """An endpoint of the zone that can best do without: first one that is there, then any that is not at home."""
    rich = max(
        (zone for zone in counts if zone != wanted and counts[zone] > least.get(zone, 0)),
        key=lambda zone: (counts[zone] - least.get(zone, 0), zone),
    )
    there = [uid for uid, zone in made.items() if zone == rich]
    return min(there, key=lambda uid: (zones[uid] != wanted, zones[uid] == rich, uid))
