"""Static pods: files in a directory of the node that it runs of its own accord (Kubernetes "Create static Pods").

A file holds one Pod or several. What the API server would fill in is filled in here; what it would refuse is refused here. The
pod's uid is made of the node, the file and its content, so a changed file is another pod.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from motet.base import names
from motet.base.errors import ApiError, FieldError
from motet.base.timestamps import format_time
from motet.kinds import pod as pod_kind
from motet.kinds import priorityclass
from motet.kinds.podspec.mirror import MIRROR
from motet.kinds.schema import validate
from motet.pods.spec import STATIC_HASH
from motet.store.document import Document, Key, encode

Json = dict[str, Any]

SOURCE = "kubernetes.io/config.source"
SEEN = "kubernetes.io/config.seen"
_SUFFIXES = (".yaml", ".yml", ".json")
# Pods that a node runs by itself stay whatever happens to the node.
_STAYS = {"operator": "Exists", "effect": "NoExecute"}


@dataclass(frozen=True, slots=True)
class Problem:
    """A file, or part of one, that is no pod this node can run."""

    file: str
    message: str


def read(directory: Path, node: str) -> tuple[list[Document], list[Problem]]:
    """Every pod the directory's files describe, by uid, and what is wrong with the others. Raises OSError."""
    found: dict[str, Document] = {}
    problems: list[Problem] = []
    for path in sorted(directory.iterdir()):
        if path.name.startswith(".") or path.suffix not in _SUFFIXES or not path.is_file():
            continue
        try:
            content, changed = path.read_bytes(), path.stat().st_mtime
            for number, document in enumerate(_documents(content)):
                made = pod(document, node, f"{path}#{number}", changed)
                found[made.meta.uid] = made
        except (ValueError, ApiError, yaml.YAMLError, OSError) as error:
            problems.append(Problem(str(path), " ".join(str(error).split())))
    return list(found.values()), problems


def _documents(content: bytes) -> Iterator[Json]:
    for document in yaml.safe_load_all(content):
        if document is None:
            continue
        if not isinstance(document, dict) or document.get("kind") != "Pod":
            raise ValueError("only documents of kind Pod can be run from a file")
        yield document


def pod(document: Json, node: str, source: str, changed: float) -> Document:
    """The Pod that `document`, found in `source`, is on this node. Raises ValueError naming a field."""
    digest = hashlib.sha256(f"{node}\0{source}\0".encode() + encode(document)).digest()
    uid = str(uuid.UUID(bytes=digest[:16]))
    metadata = document.setdefault("metadata", {})
    spec = document.setdefault("spec", {})
    if not isinstance(metadata, dict) or not isinstance(spec, dict):
        raise ValueError("metadata and spec must be objects")
    if problem := names.subdomain_error(str(metadata.get("name") or "")):
        raise ValueError(f"metadata.name: {problem}")
    for field in ("serviceAccountName", "serviceAccount", "ephemeralContainers"):
        if spec.get(field):
            raise ValueError(f"spec.{field}: a static pod cannot have it")
    for reference in _references(spec):
        raise ValueError(f"{reference}: a static pod cannot refer to what is in the API")
    namespace = str(metadata.get("namespace") or "default")
    annotations = dict(metadata.get("annotations") or {})
    if MIRROR in annotations:
        raise ValueError(f"metadata.annotations[{MIRROR}]: belongs to the reflection in the API")
    seen = format_time(datetime.fromtimestamp(changed, UTC))
    document.update(
        apiVersion="v1",
        metadata={
            "name": f"{metadata['name']}-{node}",
            "namespace": namespace,
            "uid": uid,
            "creationTimestamp": seen,
            "labels": metadata.get("labels") or {},
            "annotations": {**annotations, STATIC_HASH: uid, SOURCE: "file", SEEN: seen},
        },
        status={"phase": "Pending"},
    )
    spec["nodeName"] = node
    pod_kind.default(document)
    _give_priority(spec)
    spec["tolerations"] = [*(spec.get("tolerations") or ()), _STAYS]
    _check(document)
    return Document.stored(
        str(Key(pod_kind.KIND.resource, namespace, f"{metadata['name']}-{node}")), encode(document), 0
    )


def _give_priority(spec: Json) -> None:
    """Of the classes that every cluster has; the others are in the API. Without one they count as the cluster's dearest."""
    name = spec.pop("priorityClassName", None) or "system-node-critical"
    if name not in priorityclass.SYSTEM:
        known = ", ".join(sorted(priorityclass.SYSTEM))
        raise ValueError(f"spec.priorityClassName: a static pod can only have one of {known}")
    spec.update(priorityClassName=name, priority=priorityclass.SYSTEM[name], preemptionPolicy=priorityclass.PREEMPT)


def _references(spec: Json) -> Iterator[str]:
    """Fields that name something in the API."""
    for index, volume in enumerate(_objects(spec, "volumes")):
        for source in ("configMap", "secret", "persistentVolumeClaim", "projected", "ephemeral", "csi"):
            if volume.get(source):
                yield f"spec.volumes[{index}].{source}"
    if spec.get("imagePullSecrets"):
        yield "spec.imagePullSecrets"
    for kind in ("initContainers", "containers"):
        for index, container in enumerate(_objects(spec, kind)):
            for at, variable in enumerate(_objects(container, "env")):
                for source in ("configMapKeyRef", "secretKeyRef"):
                    if (variable.get("valueFrom") or {}).get(source):
                        yield f"spec.{kind}[{index}].env[{at}].valueFrom.{source}"
            if container.get("envFrom"):
                yield f"spec.{kind}[{index}].envFrom"


def _objects(parent: Json, key: str) -> list[Json]:
    found = parent.get(key)
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []


def _check(document: Json) -> None:
    """Raises ValueError with every complaint an API server would have."""
    unknown = validate.unknown_fields(pod_kind.KIND.schema, document)
    errors: list[FieldError] = []
    if not unknown:
        errors = [*validate.check(pod_kind.KIND.schema, document), *pod_kind.validate(document, None)]
    told = [f"{field}: unknown field" for field in unknown] + [error.message() for error in errors]
    if told:
        raise ValueError("; ".join(dict.fromkeys(told)))


def reflection(document: Document, node: str, node_uid: str) -> Json:
    """What the API shows of a static pod: the same, marked as nobody's to change, owned by the node."""
    shown = document.decode()
    metadata = shown["metadata"]
    metadata = {key: metadata[key] for key in ("name", "namespace", "labels", "annotations")}
    metadata["annotations"] = {**metadata["annotations"], MIRROR: document.meta.uid}
    owner = {"apiVersion": "v1", "kind": "Node", "name": node, "uid": node_uid, "controller": True}
    metadata["ownerReferences"] = [owner]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": shown["spec"]}
