"""The scale subresource: autoscaling/v1 Scale documents made from, and written back to, whatever a kind calls replicas."""

from __future__ import annotations

from typing import Any

import msgspec

from motet.base.errors import NotFound, invalid, invalid_object
from motet.kinds.kind import Json, Kind, Scale
from motet.store.document import Document

API_VERSION = "autoscaling/v1"


def of(kind: Kind) -> Scale:
    """Raises NotFound when the kind cannot be scaled."""
    if kind.scale is None:
        raise NotFound(f"the server could not find the requested resource: {kind.plural} have no scale")
    return kind.scale


def show(kind: Kind, document: Json) -> Json:
    """The Scale of a document."""
    scale = of(kind)
    metadata = document["metadata"]
    shown = {
        field: metadata[field]
        for field in ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
        if field in metadata
    }
    status: Json = {"replicas": int(_at(document, scale.status_replicas) or 0)}
    if selector := scale.selector(document):
        status["selector"] = selector
    wanted = _at(document, scale.spec_replicas)
    return {
        "kind": "Scale",
        "apiVersion": API_VERSION,
        "metadata": shown,
        "spec": {"replicas": int(wanted)} if wanted is not None else {},
        "status": status,
    }


def written(kind: Kind, document: Json, scale_document: Json) -> Json:
    """`document` (changed in place) with the replicas of `scale_document`. Raises Invalid."""
    scale = of(kind)
    spec = scale_document.get("spec")
    replicas = (spec if isinstance(spec, dict) else {}).get("replicas", 0)
    if not isinstance(replicas, int) or isinstance(replicas, bool) or replicas < 0:
        problem = invalid("spec.replicas", replicas, "must be greater than or equal to 0")
        raise invalid_object("autoscaling", "Scale", document["metadata"]["name"], [problem])
    *parents, last = scale.spec_replicas.split(".")
    place = document
    for step in parents:
        place = place.setdefault(step, {})
    place[last] = replicas
    return document


def as_document(kind: Kind, document: Document) -> Document:
    """The Scale of a stored document, as bytes ready to be served."""
    return Document(document.key, msgspec.json.encode(show(kind, document.decode())), document.revision)


def _at(document: Json, path: str) -> Any:
    found: Any = document
    for step in path.split("."):
        if not isinstance(found, dict):
            return None
        found = found.get(step)
    return found
