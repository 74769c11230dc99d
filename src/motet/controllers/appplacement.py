"""An App's placement in the words of a pod specification: pure.

A most per node is kept with shares: the pods are dealt out into that many groups by their slots, and pods of one group keep away
from one another. So a node has at most one pod of each group, and the scheduler has one rule less.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from motet.controllers.appview import Placement
from motet.controllers.nodematch import Placing
from motet.controllers.templates import template_hash
from motet.kinds import constraints
from motet.kinds.tasks import LABEL, SHARE_LABEL

Json = dict[str, Any]
_HOSTNAME = "kubernetes.io/hostname"
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


def fingerprint(placement: Placement) -> str:
    """What pods are marked with, so that those that wait for a node they must not have any more are known."""
    return template_hash(msgspec.to_builtins(placement)) if placement != Placement() else ""


def required(placement: Placement) -> Placing:
    """What the constraints alone ask of a node."""
    spec: Json = {}
    constrain(spec, placement)
    return msgspec.convert(spec, Placing)


def constrain(spec: Json, placement: Placement) -> None:
    """Put the constraints into a pod specification. Each of its own terms, which are alternatives, is narrowed."""
    found = [constraints.parse(text) for text in placement.constraints or ()]
    _narrow(
        spec,
        [each.expression for each in found if not each.field],
        [each.expression for each in found if each.field],
    )


def tie(spec: Json, node: str) -> None:
    """Let a pod run on one node only, by way of the scheduler, so that its resources are counted."""
    _narrow(spec, [], [{"key": "metadata.name", "operator": "In", "values": [node]}])


def _narrow(spec: Json, labels: list[Json], fields: list[Json]) -> None:
    if not labels and not fields:
        return
    needed = _into(_into(_into(spec, "affinity"), "nodeAffinity"), _REQUIRED)
    terms = []
    for term in needed.get("nodeSelectorTerms") or [{}]:
        narrowed = dict(term)
        if labels:
            narrowed["matchExpressions"] = [*(term.get("matchExpressions") or ()), *labels]
        if fields:
            narrowed["matchFields"] = [*(term.get("matchFields") or ()), *fields]
        terms.append(narrowed)
    needed["nodeSelectorTerms"] = terms


def spread(spec: Json, placement: Placement, app: str) -> None:
    """Put the preferences into a pod specification."""
    for preference in placement.preferences or ():
        rule = {
            "maxSkew": 1,
            "topologyKey": constraints.spread_label(preference.spread),
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": {LABEL: app}},
        }
        rules = [
            each for each in spec.get("topologySpreadConstraints") or () if each["topologyKey"] != rule["topologyKey"]
        ]
        spec["topologySpreadConstraints"] = [*rules, rule]


def share(spec: Json, placement: Placement, app: str, slot: str) -> Mapping[str, str]:
    """Keep the pod of a slot away from those of its share; the label that says which that is."""
    if not placement.max_replicas_per_node:
        return {}
    labels = {SHARE_LABEL: str(int(slot) % placement.max_replicas_per_node)}
    away = _into(_into(spec, "affinity"), "podAntiAffinity")
    term = {"topologyKey": _HOSTNAME, "labelSelector": {"matchLabels": {LABEL: app, **labels}}}
    away[_REQUIRED] = [*(away.get(_REQUIRED) or ()), term]
    return labels


def _into(parent: Json, key: str) -> Json:
    found = parent.get(key)
    if not isinstance(found, dict):
        found = parent[key] = {}
    return found
