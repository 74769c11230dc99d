"""Slices made from Endpoints that somebody wrote by hand, for a Service without a selector. All of it pure (KEP-752).

Not mirrored: what says `skip-mirror`, what leaders were once elected with, what belongs to a Service with a selector or to none.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from motet.controllers import slicing
from motet.controllers.backends import ENDPOINTS_MANAGED_BY, HEADLESS, MANAGED_BY, SERVICE_NAME, ServiceView
from motet.controllers.slicing import Filling, Group, Plan
from motet.store.document import Meta

Json = dict[str, Any]

MANAGER = "endpointslicemirroring-controller.k8s.io"
SKIP = "endpointslice.kubernetes.io/skip-mirror"
LEADER = "control-plane.alpha.kubernetes.io/leader"
# What is about the Endpoints object itself.
_OWN_ANNOTATIONS = (
    "kubectl.kubernetes.io/last-applied-configuration",
    "endpoints.kubernetes.io/last-change-trigger-time",
    "endpoints.kubernetes.io/over-capacity",
)
_PER_SUBSET = 1000


class EndpointsView(msgspec.Struct, gc=False, frozen=True):
    metadata: Meta
    subsets: tuple[dict[str, Any], ...] | None = None


def mirrored(endpoints: EndpointsView, service: ServiceView) -> bool:
    """Whether there should be slices of these Endpoints."""
    if service.spec.selector:
        return False
    meta = endpoints.metadata
    if meta.deletion_timestamp is not None or (meta.labels or {}).get(SKIP) == "true":
        return False
    return LEADER not in (meta.annotations or {})


def slices(endpoints: EndpointsView, service: ServiceView, existing: Sequence[Json]) -> Plan:
    """What to do about the slices we made of `endpoints`. Of each subset the first thousand addresses count."""
    return slicing.plan(
        _wanted(endpoints),
        existing,
        per_slice=_PER_SUBSET,
        identity=lambda endpoint: str((endpoint.get("addresses") or [""])[0]),
        body=lambda group, each: _body(endpoints, service, group, each),
        keep_empty=False,
    )


def _wanted(endpoints: EndpointsView) -> dict[Group, dict[str, Json]]:
    groups: dict[Group, dict[str, Json]] = {}
    for subset in endpoints.subsets or ():
        ports = slicing.ports_key(subset.get("ports") or ())
        listed = [(each, True) for each in subset.get("addresses") or ()]
        listed += [(each, False) for each in subset.get("notReadyAddresses") or ()]
        for address, ready in listed[:_PER_SUBSET]:
            family = "IPv6" if ":" in address.get("ip", "") else "IPv4"
            # One that several subsets name is ready if any says so.
            group = groups.setdefault((family, ports), {})
            if address["ip"] not in group or ready:
                group[address["ip"]] = _endpoint(address, ready)
    return groups


def _endpoint(address: Json, ready: bool) -> Json:
    endpoint: Json = {
        "addresses": [address["ip"]],
        "conditions": {"ready": ready, "serving": ready, "terminating": False},
    }
    for key in ("hostname", "nodeName", "targetRef"):
        if address.get(key):
            endpoint[key] = address[key]
    return endpoint


def _body(endpoints: EndpointsView, service: ServiceView, group: Group, each: Filling) -> Json:
    meta = endpoints.metadata
    labels = {key: value for key, value in (meta.labels or {}).items() if key != ENDPOINTS_MANAGED_BY}
    labels |= {SERVICE_NAME: meta.name, MANAGED_BY: MANAGER}
    if service.spec.cluster_ip == "None":
        labels[HEADLESS] = ""
    annotations = {key: value for key, value in (meta.annotations or {}).items() if key not in _OWN_ANNOTATIONS}
    owner = {"apiVersion": "v1", "kind": "Endpoints", "name": meta.name, "uid": meta.uid}
    metadata = {
        **slicing.metadata(each, meta.name, meta.namespace),
        "labels": labels,
        "ownerReferences": [{**owner, "controller": True, "blockOwnerDeletion": True}],
    }
    metadata.pop("annotations", None)
    if annotations:
        metadata["annotations"] = annotations
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": metadata,
        "addressType": group[0],
        "endpoints": list(each.endpoints.values()),
        "ports": [slicing.port(entry) for entry in group[1]],
    }
