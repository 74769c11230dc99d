"""Requests and limits turned into cgroup numbers, and the quality-of-service class (Kubernetes "Pod QoS", kubelet's cm package)."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping

from motet.base import quantity
from motet.kinds import podmarks
from motet.pods.spec import ContainerSpec, Pod, Quantity, ResourceList
from motet.runtime.interface import Resources

_COUNTED = ("cpu", "memory")
_PERIOD = 100_000
_LEAST_SHARES = 2
_MOST_SHARES = 262_144
_LEAST_QUOTA = 1000


def qos_class(pod: Pod) -> str:
    """Guaranteed, Burstable or BestEffort."""
    requests, limits, full = _totals(pod)
    if pod.spec.resources is not None and (pod.spec.resources.requests or pod.spec.resources.limits):
        requests, limits, full = _of(pod.spec.resources)
    if not requests and not limits:
        return "BestEffort"
    return "Guaranteed" if full and requests == limits else "Burstable"


def _totals(pod: Pod) -> tuple[dict[str, int], dict[str, int], bool]:
    """(requests, limits, every container has both limits), zeros left out, CPU in millicores and memory in bytes."""
    requests: dict[str, int] = {}
    limits: dict[str, int] = {}
    full = True
    for container in pod.everything:
        for of, totals in ((request, requests), (limit, limits)):
            for name in _COUNTED:
                if amount := of(container.resources, name):
                    totals[name] = totals.get(name, 0) + amount
        full = full and all(_amount(container.resources.limits, name) for name in _COUNTED)
    return requests, limits, full


def _of(whole: ResourceList) -> tuple[dict[str, int], dict[str, int], bool]:
    """The same as `_totals` of resources that are given for the pod as a whole."""
    requests = {name: amount for name in _COUNTED if (amount := request(whole, name))}
    limits = {name: amount for name in _COUNTED if (amount := limit(whole, name))}
    return requests, limits, len(limits) == len(_COUNTED)


def _amount(given: Mapping[str, Quantity] | None, name: str) -> int:
    value = (given or {}).get(name)
    if value is None:
        return 0
    return quantity.millis(value) if name == "cpu" else quantity.whole(value)


def request(resources: ResourceList, name: str) -> int:
    """Millicores or bytes; a missing request is the limit, as the API server defaults it."""
    return _amount(resources.requests, name) if name in (resources.requests or {}) else _amount(resources.limits, name)


def limit(resources: ResourceList, name: str) -> int:
    """Millicores or bytes, 0 for none."""
    return _amount(resources.limits, name)


def shares(millicores: int) -> int:
    """cpu.shares: 1024 to a core."""
    return max(_LEAST_SHARES, min(_MOST_SHARES, millicores * 1024 // 1000))


def quota(millicores: int) -> int:
    """Microseconds of CPU in every 100 ms; 0 for no limit."""
    return max(_LEAST_QUOTA, millicores * _PERIOD // 1000) if millicores else 0


def of_container(pod: Pod, container: ContainerSpec, node_memory: int) -> Resources:
    """What the runtime enforces on one container. `node_memory` in bytes, for the OOM score of Burstable pods."""
    return Resources(
        cpu_shares=shares(request(container.resources, "cpu")),
        cpu_quota=quota(limit(container.resources, "cpu")),
        cpu_period=_PERIOD,
        memory_limit=limit(container.resources, "memory"),
        oom_score_adj=oom_score(pod, container, node_memory),
    )


def oom_score(pod: Pod, container: ContainerSpec, node_memory: int) -> int:
    """oom_score_adj: -997 Guaranteed, 1000 BestEffort, between them by the share of memory asked for; or what the pod says.

    To be killed later than that is for containers whose memory is limited: another one would have the kernel kill everybody
    else for what it takes itself.
    """
    own = _own_score(pod, container, node_memory)
    with contextlib.suppress(ValueError):
        asked = podmarks.oom_score(pod.metadata.annotations)
        limited = limit(container.resources, "memory") or _pod_limit(pod, "memory")
        if asked is not None and (asked >= own or limited):
            return asked
    return own


def _own_score(pod: Pod, container: ContainerSpec, node_memory: int) -> int:
    match qos_class(pod):
        case "Guaranteed":
            return -997
        case "BestEffort":
            return 1000
        case _:
            asked = request(container.resources, "memory")
            return min(999, max(3, 1000 - 1000 * asked // max(1, node_memory)))


def of_pod(pod: Pod) -> Resources:
    """Limits on the whole pod: only what every container is limited in can be (init containers run one at a time)."""
    return Resources(
        cpu_shares=shares(pod_request(pod, "cpu")),
        cpu_quota=quota(_pod_limit(pod, "cpu")),
        cpu_period=_PERIOD,
        memory_limit=_pod_limit(pod, "memory"),
    )


def pod_request(pod: Pod, name: str) -> int:
    """What the whole pod asks for, as the scheduler counts it: millicores or bytes."""
    if pod.spec.resources is not None and name in (pod.spec.resources.requests or {}):
        return _amount(pod.spec.resources.requests, name) + _amount(pod.spec.overhead, name)
    return _pod_total(pod, name, request)


def _pod_limit(pod: Pod, name: str) -> int:
    if pod.spec.resources is not None and limit(pod.spec.resources, name):
        return limit(pod.spec.resources, name)
    if not all(limit(container.resources, name) for container in pod.everything):
        return 0
    return _pod_total(pod, name, limit)


def _pod_total(pod: Pod, name: str, amount: Callable[[ResourceList, str], int]) -> int:
    beside = sum(amount(init.resources, name) for init in pod.inits if init.sidecar)
    steady = sum(amount(container.resources, name) for container in pod.spec.containers) + beside
    before = max((amount(init.resources, name) for init in pod.inits if not init.sidecar), default=0) + beside
    overhead = _amount(pod.spec.overhead, name)
    return max(steady, before) + overhead
