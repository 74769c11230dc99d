"""Binding a pod to a node: the scheduler's write, done on the bytes because it is done for every pod there is."""

from __future__ import annotations

from datetime import datetime

import msgspec

from motet.api import meta
from motet.base.errors import BadRequest, Conflict, conflict
from motet.base.timestamps import format_time
from motet.kinds.kind import Json
from motet.store.document import Document

# A pod taken apart only as far as a binding changes it; what is in between stays as the bytes it was.
_Parts = dict[str, msgspec.Raw]
_parts = msgspec.json.Decoder(_Parts)
_encode = msgspec.json.encode


class _Condition(msgspec.Struct, gc=False):
    type: str = ""


class _Target(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    node_name: str = ""


class PodTarget(msgspec.Struct, gc=False, frozen=True):
    """Where a pod is to run."""

    spec: _Target = _Target()


def document(namespace: str, name: str, uid: str, node: str) -> Json:
    """The Binding of a pod, as a scheduler of one's own would POST it."""
    metadata = {"name": name, "namespace": namespace, **({"uid": uid} if uid else {})}
    target = {"kind": "Node", "name": node}
    return {"kind": "Binding", "apiVersion": "v1", "metadata": metadata, "target": target}


def bound(pod: Document, uid: str, node: str, now: datetime) -> bytes:
    """The value of `pod` with its node and the PodScheduled condition set. Raises Conflict when it cannot be bound."""
    if uid and uid != pod.meta.uid:
        raise _refuse(pod, f"Precondition failed: UID in precondition: {uid}, UID in object meta: {pod.meta.uid}")
    if pod.meta.deletion_timestamp is not None:
        raise _refuse(pod, f"pod {pod.name} is being deleted, cannot be assigned to a host")
    if taken := pod.view(PodTarget).spec.node_name:
        raise _refuse(pod, f'pod {pod.name} is already assigned to node "{taken}"')
    parts = _parts.decode(meta.unstamped(pod))
    spec = _parts.decode(parts["spec"])
    spec["nodeName"] = msgspec.Raw(_encode(node))
    parts["spec"] = msgspec.Raw(_encode(spec))
    parts["status"] = _scheduled(parts.get("status"), format_time(now))
    return _encode(parts)


def _scheduled(status: msgspec.Raw | None, now: str) -> msgspec.Raw:
    fields = _parts.decode(status) if status else {}
    conditions = msgspec.json.decode(fields["conditions"], type=list[msgspec.Raw]) if "conditions" in fields else []
    kept = [item for item in conditions if msgspec.json.decode(item, type=_Condition).type != "PodScheduled"]
    condition = {"type": "PodScheduled", "status": "True", "lastTransitionTime": now}
    fields["conditions"] = msgspec.Raw(_encode([*kept, msgspec.Raw(_encode(condition))]))
    return msgspec.Raw(_encode(fields))


def _refuse(pod: Document, why: str) -> Conflict:
    return conflict("", "pods/binding", pod.name, why)


def read(body: Json) -> tuple[str, str]:
    """(pod uid or empty, node) of a Binding document. Raises BadRequest."""
    target = body.get("target")
    node = target.get("name") if isinstance(target, dict) else None
    if not isinstance(node, str) or not node:
        raise BadRequest('Binding "" is invalid: target.name: Required value')
    if isinstance(target, dict) and target.get("kind") not in (None, "", "Node"):
        raise BadRequest(
            f'Binding "" is invalid: target.kind: Unsupported value: "{target["kind"]}": supported values: "Node", "<empty>"'
        )
    return str((body.get("metadata") or {}).get("uid") or ""), node
