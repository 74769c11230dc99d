"""Documents of a project beside those in the cluster: pure."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from motet.kinds.catalogue import Catalogue
from motet.kinds.kind import Kind

Json = dict[str, Any]

OWN_PREFIX = "motet.dev/"
# What controllers and the API server keep in these, a file does not know; they are made once and stay.
MADE_ONCE = frozenset({"Namespace", "PersistentVolumeClaim"})
# Filled in by the API server when a Service is made.
_ALLOCATED = ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "healthCheckNodePort")

_catalogue = Catalogue()


def kind_of(document: Mapping[str, Any]) -> Kind:
    """The kind of a document that Motet itself made."""
    kind = _catalogue.by_kind(str(document["apiVersion"]), str(document["kind"]))
    if kind is None:
        raise ValueError(f"{document['apiVersion']} {document['kind']} is not a kind of this cluster")
    return kind


def namespace_of(document: Mapping[str, Any]) -> str:
    return str(document["metadata"].get("namespace", ""))


def titled(document: Mapping[str, Any]) -> str:
    """`Service web`, for sentences."""
    return f"{document['kind']} {document['metadata']['name']}"


def overlay(live: Mapping[str, Any], wanted: Mapping[str, Any]) -> Json:
    """What to replace `live` with: all that `wanted` says, and of the rest what others keep there.

    Labels and annotations of ours that are no longer wanted go; those of others stay, and so do finalizers, owners and the
    numbers a Service was given.
    """
    merged = deepcopy(dict(live))
    for key, value in wanted.items():
        if key not in ("metadata", "status"):
            merged[key] = deepcopy(value)
    for key in ("data", "binaryData", "stringData"):
        if key in merged and key not in wanted:
            del merged[key]
    for key in ("labels", "annotations"):
        kept = {
            name: value for name, value in (live["metadata"].get(key) or {}).items() if not name.startswith(OWN_PREFIX)
        }
        both = {**kept, **(wanted["metadata"].get(key) or {})}
        if both:
            merged["metadata"][key] = both
        else:
            merged["metadata"].pop(key, None)
    if wanted["kind"] == "App" and wanted["spec"].get("autoscale"):
        _keep_size(live["spec"], merged["spec"])
    if wanted["kind"] == "Service":
        _keep_numbers(live.get("spec") or {}, merged["spec"])
    return merged


def _keep_size(live: Mapping[str, Any], wanted: Json) -> None:
    """How many there are is the autoscaler's business where nobody says."""
    replicated = wanted["mode"].get("replicated")
    if replicated is not None and "replicas" not in replicated:
        replicated.update(live["mode"].get("replicated") or {})


def _keep_numbers(live: Mapping[str, Any], wanted: Json) -> None:
    headless = wanted.get("clusterIP") == "None"
    if headless != (live.get("clusterIP") == "None"):
        return
    for key in _ALLOCATED:
        if key in live:
            wanted.setdefault(key, live[key])
    given = {(port.get("protocol", "TCP"), port["port"]): port.get("nodePort") for port in live.get("ports") or ()}
    for port in wanted.get("ports") or ():
        number = given.get((port.get("protocol", "TCP"), port["port"]))
        if number and wanted.get("type") == live.get("type"):
            port.setdefault("nodePort", number)
