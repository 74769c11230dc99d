"""What one object uses of a quota: plain functions over narrow views. All amounts are whole thousandths.

Kubernetes "Resource Quotas": pods count while they have not ended, objects (`count/...`) as long as they are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec

from motet.base import quantity
from motet.base.timestamps import parse_time
from motet.kinds.resourcequota import (
    BEST_EFFORT,
    COMPUTE,
    CROSS_NAMESPACE,
    NOT_BEST_EFFORT,
    NOT_TERMINATING,
    PRIORITY,
    TERMINATING,
)  # fmt: skip

Amount = str | int | float
Usage = Mapping[str, int]
ONE = 1000
PODS, SERVICES, CLAIMS = "core/pods", "core/services", "core/persistentvolumeclaims"
# Those that have a name in quotas from before `count/`.
_NAMED = (
    "pods",
    "services",
    "persistentvolumeclaims",
    "configmaps",
    "secrets",
    "replicationcontrollers",
    "resourcequotas",
)
_OF_CLASS = ".storageclass.storage.k8s.io/"
# These come as a request and as a limit.
_OWN = ("cpu", "memory", "ephemeral-storage")


class _Resources(msgspec.Struct, gc=False, frozen=True):
    requests: dict[str, Amount] | None = None
    limits: dict[str, Amount] | None = None


class _Container(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    name: str = ""
    resources: _Resources = _Resources()
    restart_policy: str | None = None


class _PodSpec(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    containers: tuple[_Container, ...] = ()
    init_containers: tuple[_Container, ...] | None = None
    resources: _Resources | None = None
    overhead: dict[str, Amount] | None = None
    active_deadline_seconds: int | None = None
    priority_class_name: str = ""
    affinity: dict[str, Any] | None = None


class _PodStatus(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    phase: str = ""
    qos_class: str = ""


class _Leaving(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    deletion_timestamp: str | None = None
    deletion_grace_period_seconds: int | None = None


class PodView(msgspec.Struct, gc=False, frozen=True):
    metadata: _Leaving = _Leaving()
    spec: _PodSpec = _PodSpec()
    status: _PodStatus = _PodStatus()


class _Port(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    node_port: int = 0


class _ServiceSpec(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    type: str = ""
    ports: tuple[_Port, ...] | None = None
    allocate_load_balancer_node_ports: bool | None = None


class ServiceView(msgspec.Struct, gc=False, frozen=True):
    spec: _ServiceSpec = _ServiceSpec()


class _ClaimSpec(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    storage_class_name: str | None = None
    resources: _Resources = _Resources()


class ClaimView(msgspec.Struct, gc=False, frozen=True):
    spec: _ClaimSpec = _ClaimSpec()


class _Nothing(msgspec.Struct, gc=False, frozen=True):
    pass


@dataclass(frozen=True, slots=True)
class Scope:
    """One condition a quota makes on the pods it counts."""

    name: str
    operator: str = "Exists"
    values: tuple[str, ...] = ()


def decoder(resource: str) -> msgspec.json.Decoder[Any]:
    """Of as much of an object as measuring it takes."""
    return _DECODERS.get(resource, _PLAIN)


def measure(resource: str, view: Any, now: datetime) -> Usage:
    """What an object uses."""
    group, _, plural = resource.partition("/")
    counted = f"count/{plural}" if group == "core" else f"count/{plural}.{group}"
    found = {counted: ONE}
    if group == "core" and plural in _NAMED and resource != PODS:
        found[plural] = ONE
    if resource == PODS and charged(view, now):
        found.update(_of_pod(view.spec))
    elif resource == SERVICES:
        found.update(_of_service(view.spec))
    elif resource == CLAIMS:
        found.update(_of_claim(view.spec))
    return found


def charged(pod: PodView, now: datetime) -> bool:
    """Whether a pod counts: it has not ended, and is not stuck on its way out."""
    if pod.status.phase in ("Succeeded", "Failed"):
        return False
    until = charged_until(pod)
    return until is None or now <= until


def charged_until(pod: PodView) -> datetime | None:
    """When a pod that is being deleted stops counting, gone or not; None for others."""
    meta = pod.metadata
    if meta.deletion_timestamp is None or meta.deletion_grace_period_seconds is None:
        return None
    return parse_time(meta.deletion_timestamp) + timedelta(seconds=meta.deletion_grace_period_seconds)


def matches(scopes: Iterable[Scope], resource: str, view: Any) -> bool:
    """Whether a quota with these scopes counts an object. Scopes are about pods only."""
    scopes = tuple(scopes)
    return not scopes or (resource == PODS and all(_IN_SCOPE[scope.name](view, scope) for scope in scopes))


def missing(names: Iterable[str], pod: PodView) -> str:
    """What containers fail to say though a quota counts it, in upstream's words; empty when they say it all."""
    wanted = sorted(set(names) & set(COMPUTE))
    lacking = []
    for name in wanted:
        silent = sorted(
            each.name
            for each in (*pod.spec.containers, *(pod.spec.init_containers or ()))
            if name not in _weighed(_thousandths(each.resources.requests), _thousandths(each.resources.limits))
        )
        if silent and not _whole_pod_says(pod.spec, name):
            lacking.append(f"{name} for: {','.join(silent)}")
    return f"must specify {'; '.join(lacking)}" if lacking else ""


def _whole_pod_says(spec: _PodSpec, name: str) -> bool:
    whole = spec.resources
    return whole is not None and name in _weighed(_thousandths(whole.requests), _thousandths(whole.limits))


def _of_pod(spec: _PodSpec) -> Usage:
    requests = _total(spec, lambda resources: resources.requests)
    limits = _total(spec, lambda resources: resources.limits)
    return {"pods": ONE, **_weighed(requests, limits)}


def _weighed(requests: Usage, limits: Usage) -> dict[str, int]:
    found = {}
    for name, amount in requests.items():
        if name in _OWN or name.startswith("hugepages-"):
            found[name] = amount
        found[f"requests.{name}"] = amount
    for name, amount in limits.items():
        if name in _OWN:
            found[f"limits.{name}"] = amount
    return found


def _total(spec: _PodSpec, pick: Callable[[_Resources], Mapping[str, Amount] | None]) -> dict[str, int]:
    """Of the containers together with the sidecars, or of the largest init container beside the sidecars before it."""
    running: dict[str, int] = {}
    for container in spec.containers:
        _add(running, _thousandths(pick(container.resources)))
    starting: dict[str, int] = {}
    sidecars: dict[str, int] = {}
    for container in spec.init_containers or ():
        amounts = _thousandths(pick(container.resources))
        if container.restart_policy == "Always":
            _add(running, amounts)
            _add(sidecars, amounts)
        _raise(starting, amounts, sidecars if container.restart_policy != "Always" else {})
    _raise(running, starting, {})
    if spec.resources is not None:
        running.update(_thousandths(pick(spec.resources)))
    overhead = _thousandths(spec.overhead)
    for name, amount in overhead.items():
        if name in running:
            running[name] += amount
    return running


def _add(total: dict[str, int], amounts: Usage) -> None:
    for name, amount in amounts.items():
        total[name] = total.get(name, 0) + amount


def _raise(most: dict[str, int], amounts: Usage, beside: Usage) -> None:
    for name, amount in amounts.items():
        most[name] = max(most.get(name, 0), amount + beside.get(name, 0))


def _thousandths(amounts: Mapping[str, Amount] | None) -> dict[str, int]:
    return {name: quantity.millis(amount) for name, amount in (amounts or {}).items()}


def _of_service(spec: _ServiceSpec) -> Usage:
    ports = len(spec.ports or ())
    given = sum(port.node_port > 0 for port in spec.ports or ())
    if spec.type == "NodePort":
        return {"services.nodeports": ports * ONE, "services.loadbalancers": 0}
    if spec.type == "LoadBalancer":
        opened = given if spec.allocate_load_balancer_node_ports is False else ports
        return {"services.nodeports": opened * ONE, "services.loadbalancers": ONE}
    return {"services.nodeports": 0, "services.loadbalancers": 0}


def _of_claim(spec: _ClaimSpec) -> Usage:
    size = quantity.millis((spec.resources.requests or {}).get("storage", 0))
    found = {"requests.storage": size}
    if spec.storage_class_name:
        found[f"{spec.storage_class_name}{_OF_CLASS}requests.storage"] = size
        found[f"{spec.storage_class_name}{_OF_CLASS}persistentvolumeclaims"] = ONE
    return found


def _of_priority(pod: PodView, scope: Scope) -> bool:
    name = pod.spec.priority_class_name
    match scope.operator:
        case "Exists":
            return bool(name)
        case "DoesNotExist":
            return not name
        case "In":
            return name in scope.values
        case _:
            return name not in scope.values


def _crosses(pod: PodView, scope: Scope) -> bool:
    affinity = pod.spec.affinity or {}
    for part in ("podAffinity", "podAntiAffinity"):
        given = affinity.get(part) or {}
        terms = [*(given.get("requiredDuringSchedulingIgnoredDuringExecution") or ())]
        preferred = given.get("preferredDuringSchedulingIgnoredDuringExecution") or ()
        terms += [each.get("podAffinityTerm") or {} for each in preferred]
        if any(term.get("namespaces") or term.get("namespaceSelector") is not None for term in terms):
            return True
    return False


def _has_deadline(pod: PodView) -> bool:
    return pod.spec.active_deadline_seconds is not None and pod.spec.active_deadline_seconds >= 0


_IN_SCOPE: Mapping[str, Callable[[PodView, Scope], bool]] = {
    TERMINATING: lambda pod, scope: _has_deadline(pod),
    NOT_TERMINATING: lambda pod, scope: not _has_deadline(pod),
    BEST_EFFORT: lambda pod, scope: pod.status.qos_class == "BestEffort",
    NOT_BEST_EFFORT: lambda pod, scope: pod.status.qos_class != "BestEffort",
    PRIORITY: _of_priority,
    CROSS_NAMESPACE: _crosses,
}
_PLAIN: msgspec.json.Decoder[Any] = msgspec.json.Decoder(_Nothing)
_DECODERS: Mapping[str, msgspec.json.Decoder[Any]] = {
    PODS: msgspec.json.Decoder(PodView),
    SERVICES: msgspec.json.Decoder(ServiceView),
    CLAIMS: msgspec.json.Decoder(ClaimView),
}


def resource_of(name: str) -> str:
    """Of which objects a name in a quota speaks: `count/deployments.apps` of apps/deployments, `limits.cpu` of pods."""
    if name.startswith("count/"):
        plural, _, group = name.removeprefix("count/").partition(".")
        return f"{group or 'core'}/{plural}"
    if name.startswith("services"):
        return SERVICES
    if _OF_CLASS in name or name in ("requests.storage", "persistentvolumeclaims"):
        return CLAIMS
    return f"core/{name}" if name in _NAMED else PODS


def shown(name: str, amount: int) -> str:
    """An amount as a quantity: bytes in powers of two where that is exact, all else in thousandths at the finest."""
    if ("memory" in name or name.endswith("storage")) and amount % (1024 * ONE) == 0 and amount:
        return quantity.format_bytes(amount // ONE)
    return quantity.canonical(quantity.format_millis(amount))
