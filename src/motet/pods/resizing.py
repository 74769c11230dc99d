"""Resizing pods in place (Kubernetes "Resize CPU and Memory Resources assigned to Containers"; kubelet's allocation manager).

Three things may differ: what the spec asks for, what the node has *granted*, and what the containers *have*. Everything else
in this room works with the granted pod. A new wish is granted when the node has room for it; then containers are brought to
it one by one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import msgspec

from motet.pods import resources
from motet.pods.model import Observed, Pending
from motet.pods.spec import ContainerSpec, Pod, ResourceList
from motet.runtime.cgroups import Limits
from motet.runtime.interface import ContainerState, Resources

Granted = Mapping[str, ResourceList]
"""Container name -> what the node has granted it."""

_RESTART = "RestartContainer"


@dataclass(frozen=True, slots=True)
class Room:
    """What the node can give to pods at all, and what of that the other pods have. CPU in millicores, memory in bytes."""

    cpu: int
    memory: int
    cpu_used: int = 0
    memory_used: int = 0


@dataclass(frozen=True, slots=True)
class Change:
    """A running container that has something else than it should."""

    container: str
    container_id: str
    has: Resources
    wanted: Resources
    restart: bool


def resizable(pod: Pod) -> Iterator[ContainerSpec]:
    """The containers whose resources may change while they run."""
    yield from (init for init in pod.inits if init.sidecar)
    yield from pod.spec.containers


def asked(pod: Pod) -> Granted:
    """What the spec asks for."""
    return {container.name: container.resources for container in resizable(pod)}


def reported(pod: Pod) -> Granted:
    """What the API last heard that the containers have; what the spec asks for where it has heard nothing."""
    found = {}
    for container in resizable(pod):
        told = pod.reported(container.name)
        has = told.resources if told is not None else None
        found[container.name] = container.resources if has is None else has
    return found


def with_granted(pod: Pod, granted: Granted) -> Pod:
    """The pod with what the node has granted it in place of what its spec asks for."""
    if all(container.resources == granted.get(container.name, container.resources) for container in resizable(pod)):
        return pod

    def change(container: ContainerSpec) -> ContainerSpec:
        return msgspec.structs.replace(container, resources=granted.get(container.name, container.resources))

    inits = tuple(change(init) if init.sidecar else init for init in pod.inits)
    spec = msgspec.structs.replace(
        pod.spec,
        containers=tuple(change(container) for container in pod.spec.containers),
        init_containers=inits if pod.spec.init_containers is not None else None,
    )
    return msgspec.structs.replace(pod, spec=spec)


def judge(pod: Pod, granted: Pod, room: Room) -> Pending | None:
    """Whether the node can give `pod` what it asks for rather than what it was `granted`."""
    for name, capacity, used in (("cpu", room.cpu, room.cpu_used), ("memory", room.memory, room.memory_used)):
        wanted = resources.pod_request(pod, name)
        if wanted <= resources.pod_request(granted, name):
            continue
        if wanted > capacity:
            message = f"Node didn't have enough capacity: {name}, requested: {wanted}, capacity: {capacity}"
            return Pending("Infeasible", message)
        if wanted > capacity - used:
            message = (
                f"Node didn't have enough resource: {name}, requested: {wanted}, used: {used}, capacity: {capacity}"
            )
            return Pending("Deferred", message)
    return None


def changes(pod: Pod, observed: Observed, has: Mapping[str, Resources]) -> Iterator[Change]:
    """Running containers of the granted `pod` that have something else; `has` is by container id."""
    for container in resizable(pod):
        latest = observed.latest(container.name)
        now = has.get(latest.id) if latest is not None and latest.state is ContainerState.RUNNING else None
        if latest is None or now is None:
            continue
        wanted = replace(resources.of_container(pod, container, 1), oom_score_adj=now.oom_score_adj)
        cpu = (now.cpu_shares, now.cpu_quota) != (wanted.cpu_shares, wanted.cpu_quota)
        memory = now.memory_limit != wanted.memory_limit
        if cpu or memory:
            yield Change(container.name, latest.id, now, wanted, _restarts(container, cpu=cpu, memory=memory))


def _restarts(container: ContainerSpec, *, cpu: bool, memory: bool) -> bool:
    policies = {policy.resource_name: policy.restart_policy for policy in container.resize_policy or ()}
    return (cpu and policies.get("cpu") == _RESTART) or (memory and policies.get("memory") == _RESTART)


def meanwhile(pod: Pod, observed: Observed, has: Mapping[str, Resources]) -> Limits:
    """Limits of the pod's own group that no container breaks, neither with what it has nor with what it will have."""
    whole = resources.of_pod(pod)
    quota, memory = whole.cpu_quota, whole.memory_limit
    for change in changes(pod, observed, has):
        if quota:
            quota += max(0, change.has.cpu_quota - change.wanted.cpu_quota)
        if memory:
            memory += max(0, change.has.memory_limit - change.wanted.memory_limit)
    return Limits(cpu_shares=whole.cpu_shares, cpu_quota=quota, memory=memory)
