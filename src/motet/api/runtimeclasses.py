"""What a pod's runtime class adds to it (Kubernetes "RuntimeClass" admission): overhead, node selector and tolerations."""

from __future__ import annotations

import msgspec

from motet.api.admission import Lookup, Plugin, Request, refusal
from motet.kinds.kind import Json

CLASSES = "node.k8s.io/runtimeclasses"


class _Overhead(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    pod_fixed: dict[str, str | int | float] | None = None


class _Scheduling(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    node_selector: dict[str, str] | None = None
    tolerations: list[Json] | None = None


class ClassView(msgspec.Struct, gc=False, frozen=True):
    handler: str = ""
    overhead: _Overhead | None = None
    scheduling: _Scheduling | None = None


def runtime_class(request: Request) -> None:
    """Fill in what the class asks for. Raises Forbidden for a class that is not there or that the pod contradicts."""
    spec = (request.new or {}).get("spec")
    if not isinstance(spec, dict):
        return
    name = spec.get("runtimeClassName")
    if not name:
        if spec.get("overhead"):
            raise refusal(request, "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead")
        return
    found = request.lookup(CLASSES).get(str(name))
    if found is None:
        raise refusal(request, f'pod rejected: RuntimeClass "{name}" not found')
    view = found.view(ClassView)
    _overhead(request, spec, view.overhead)
    if view.scheduling is not None:
        _place(request, spec, view.scheduling)


def _overhead(request: Request, spec: Json, overhead: _Overhead | None) -> None:
    fixed = overhead.pod_fixed if overhead is not None else None
    if spec.get("overhead") and spec["overhead"] != (fixed or {}):
        raise refusal(request, "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead")
    if fixed:
        spec["overhead"] = dict(fixed)


def _place(request: Request, spec: Json, scheduling: _Scheduling) -> None:
    own = dict(spec.get("nodeSelector") or {})
    for key, value in (scheduling.node_selector or {}).items():
        if own.get(key, value) != value:
            why = (
                f"pod rejected: conflict: runtimeClass.scheduling.nodeSelector[{key}] = {value}; "
                f"pod.spec.nodeSelector[{key}] = {own[key]}"
            )
            raise refusal(request, why)
        own[key] = value
    if own:
        spec["nodeSelector"] = own
    given = spec.get("tolerations") or []
    more = [toleration for toleration in scheduling.tolerations or () if toleration not in given]
    if more:
        spec["tolerations"] = [*given, *more]


def _salt(pod: Json, namespace: str, lookup: Lookup) -> bytes | None:
    spec = pod.get("spec")
    named = isinstance(spec, dict) and (spec.get("runtimeClassName") or spec.get("overhead"))
    return None if named else b""


RUNTIME_CLASS = (
    Plugin("RuntimeClass", runtime_class, mutating=True, resources=("core/pods",), verbs=("CREATE",), salt=_salt),
)
