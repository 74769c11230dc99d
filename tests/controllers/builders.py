"""Pods, sets and deployments with good defaults, as documents and as views."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import msgspec

from motet.base import timestamps
from motet.store.document import Document, Key, encode, stamp

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
V = TypeVar("V", bound=msgspec.Struct)
_uids = itertools.count(1)


def uid() -> str:
    return f"uid-{next(_uids)}"


def ago(seconds: float) -> str:
    return timestamps.format_time(NOW - timedelta(seconds=seconds))


def document(resource: str, body: dict[str, Any], revision: int = 1) -> Document:
    meta = body["metadata"]
    return Document(Key(resource, meta.get("namespace", ""), meta["name"]), stamp(encode(body), revision), revision)


def view(of: type[V], body: dict[str, Any]) -> V:
    return msgspec.convert(body, of)


def owner(kind: str, name: str, uid: str, api_version: str = "apps/v1") -> dict[str, Any]:
    return {
        "apiVersion": api_version,
        "kind": kind,
        "name": name,
        "uid": uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }


def pod(
    name: str = "",
    *,
    labels: dict[str, str] | None = None,
    node: str = "n1",
    phase: str = "Running",
    ready: float | None = 60,
    age: float = 100,
    owned: dict[str, Any] | None = None,
    deleting: bool = False,
    restarts: int = 0,
    cost: int | None = None,
    namespace: str = "default",
) -> dict[str, Any]:
    """`ready` is for how many seconds it has been; None when it is not."""
    me = uid()
    metadata: dict[str, Any] = {
        "name": name or me,
        "namespace": namespace,
        "uid": me,
        "labels": {"app": "web"} if labels is None else labels,
        "creationTimestamp": ago(age),
    }
    if owned:
        metadata["ownerReferences"] = [owned]
    if deleting:
        metadata["deletionTimestamp"] = ago(1)
    if cost is not None:
        metadata["annotations"] = {"controller.kubernetes.io/pod-deletion-cost": str(cost)}
    condition = {"type": "Ready", "status": "False" if ready is None else "True", "lastTransitionTime": ago(ready or 0)}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": {"nodeName": node, "containers": [{"name": "c", "image": "i"}]},
        "status": {"phase": phase, "conditions": [condition], "containerStatuses": [{"restartCount": restarts}]},
    }


def replicaset(name: str = "web", replicas: int = 3, *, deleting: bool = False, **spec: Any) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": name, "namespace": "default", "uid": f"rs-{name}", "generation": 1}
    if deleting:
        metadata["deletionTimestamp"] = ago(1)
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": metadata,
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}},
            **spec,
        },
    }
