"""Pods and nodes with good defaults, as documents, and a snapshot made of them."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

from motet.scheduler.classes import Classes, PodClass
from motet.scheduler.snapshot import Snapshot
from motet.store.document import Document, Key, encode, stamp

Json = dict[str, Any]
_uids = itertools.count(1)


def document(resource: str, body: Json, revision: int = 1) -> Document:
    meta = body["metadata"]
    return Document(Key(resource, meta.get("namespace", ""), meta["name"]), stamp(encode(body), revision), revision)


def node(
    name: str = "n1",
    *,
    cpu: str = "4",
    memory: str = "8Gi",
    pods: str = "10",
    labels: dict[str, str] | None = None,
    taints: Iterable[Json] = (),
    unschedulable: bool = False,
    **more: str,
) -> Json:
    offered = {"cpu": cpu, "memory": memory, "pods": pods, **more}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, **(labels or {})}},
        "spec": {"taints": list(taints), "unschedulable": unschedulable},
        "status": {"capacity": offered, "allocatable": offered},
    }


def container(*, host_port: int = 0, host_ip: str = "", restart: str = "", **requests: str) -> Json:
    body: Json = {"name": "c", "image": "i", "resources": {"requests": requests}}
    if host_port:
        body["ports"] = [{"containerPort": host_port, "hostPort": host_port, "hostIP": host_ip, "protocol": "TCP"}]
    if restart:
        body["restartPolicy"] = restart
    return body


def pod(
    name: str = "",
    *,
    owner: str = "",
    containers: Iterable[Json] = (),
    requests: Json | None = None,
    labels: dict[str, str] | None = None,
    namespace: str = "default",
    **spec: Any,
) -> Json:
    uid = f"uid-{next(_uids)}"
    metadata: Json = {"name": name or uid, "namespace": namespace, "uid": uid}
    if labels:
        metadata["labels"] = labels
    if owner:
        reference = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": owner, "uid": owner, "controller": True}
        metadata["ownerReferences"] = [reference]
    body = {"containers": list(containers) or [container(**(requests or {}))], **spec}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": body, "status": {"phase": "Pending"}}


def classified(body: Json | None = None, **spec: Any) -> PodClass:
    return Classes().of(document("core/pods", body or pod(**spec)))


def snapshot(*nodes: Json) -> Snapshot:
    found = Snapshot()
    for body in nodes:
        found.set_node(document("core/nodes", body))
    return found
