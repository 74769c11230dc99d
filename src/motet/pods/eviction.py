"""Eviction under pressure, decided (Kubernetes "Node-pressure Eviction"; kubelet's eviction manager).

`assess` turns what the node has left into node conditions and, when a threshold has been passed for long enough, the resource
that is short. `rank` says who goes first. `over_limits` finds pods that use more of the node's disk than they may, which needs
no pressure at all.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from motet.base import quantity
from motet.pods import resources
from motet.pods.spec import ContainerSpec, Pod

# Signal -> (node condition, the resource as messages call it).
SIGNALS = {
    "memory.available": ("MemoryPressure", "memory"),
    "nodefs.available": ("DiskPressure", "ephemeral-storage"),
    "nodefs.inodesFree": ("DiskPressure", "inodes"),
    "imagefs.available": ("DiskPressure", "ephemeral-storage"),
    "imagefs.inodesFree": ("DiskPressure", "inodes"),
    "pid.available": ("PIDPressure", "pids"),
}
CONDITIONS = ("MemoryPressure", "DiskPressure", "PIDPressure")
# Pods of at least this priority are never evicted.
SYSTEM_CRITICAL = 2_000_000_000

_THRESHOLD = re.compile(r"\s*([\w.]+)\s*<\s*([^<\s]+)\s*")


@dataclass(frozen=True, slots=True)
class Amount:
    """What is left of something, and what there is of it: bytes or counts."""

    available: int
    capacity: int


@dataclass(frozen=True, slots=True)
class Threshold:
    """Passed when less than `limit` of the signal is available. `grace`: for how many seconds before anything is evicted."""

    signal: str
    # A quantity, or a share of the capacity (0 to 1).
    quantity: int = 0
    share: float = 0.0
    grace: float = 0.0

    def limit(self, capacity: int) -> int:
        return int(capacity * self.share) if self.share else self.quantity

    @property
    def condition(self) -> str:
        return SIGNALS[self.signal][0]

    @property
    def resource(self) -> str:
        return SIGNALS[self.signal][1]

    @property
    def hard(self) -> bool:
        return self.grace == 0


def parse(text: str, grace: float = 0.0) -> Threshold:
    """`memory.available<100Mi`, `nodefs.available<10%`. Raises ValueError naming what is wrong."""
    match = _THRESHOLD.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not an eviction threshold such as memory.available<100Mi")
    signal, value = match.groups()
    if signal not in SIGNALS:
        raise ValueError(f"{signal!r} is not an eviction signal; known are {', '.join(SIGNALS)}")
    if value.endswith("%"):
        share = float(value[:-1]) / 100
        if not 0 < share < 1:
            raise ValueError(f"{text!r}: the share must be between 0% and 100%")
        return Threshold(signal, share=share, grace=grace)
    return Threshold(signal, quantity.whole(value), grace=grace)


DEFAULTS = tuple(
    parse(text)
    for text in (
        "memory.available<100Mi",
        "nodefs.available<5%",
        "nodefs.inodesFree<5%",
        "imagefs.available<5%",
        "imagefs.inodesFree<5%",
        "pid.available<5%",
    )
)


@dataclass(frozen=True, slots=True)
class State:
    """What is remembered between two looks: since when each threshold has been passed; when each condition held last."""

    since: Mapping[Threshold, float] = field(default_factory=dict)
    held: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Assessment:
    state: State
    pressures: frozenset[str]
    # The threshold to act upon, and what is left there.
    short: Threshold | None = None
    left: Amount = Amount(0, 0)


def assess(
    thresholds: Iterable[Threshold], amounts: Mapping[str, Amount], state: State, now: float, transition: float = 300.0
) -> Assessment:
    """`transition`: how many seconds a condition outlasts what caused it."""
    passed = [
        threshold
        for threshold in thresholds
        if (amount := amounts.get(threshold.signal)) is not None and amount.available < threshold.limit(amount.capacity)
    ]
    since = {threshold: state.since.get(threshold, now) for threshold in passed}
    held = {**state.held, **{threshold.condition: now for threshold in passed}}
    held = {condition: at for condition, at in held.items() if now - at < transition or at == now}
    due = [threshold for threshold in passed if now - since[threshold] >= threshold.grace]
    # Memory first: a node without any dies soonest.
    due.sort(key=lambda threshold: (threshold.resource != "memory", not threshold.hard))
    short = due[0] if due else None
    left = amounts[short.signal] if short is not None else Amount(0, 0)
    return Assessment(State(since, held), frozenset(held), short, left)


# --- who goes ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Usage:
    """What one pod uses: bytes of memory (working set) and disk, processes; and bytes by container and by volume."""

    memory: int = 0
    disk: int = 0
    inodes: int = 0
    pids: int = 0
    containers: Mapping[str, int] = field(default_factory=dict)
    container_disk: Mapping[str, int] = field(default_factory=dict)
    volumes: Mapping[str, int] = field(default_factory=dict)


def evictable(pod: Pod) -> bool:
    """Never what the node runs of its own accord, nor what the cluster cannot do without."""
    return (pod.spec.priority or 0) < SYSTEM_CRITICAL and not pod.static


def rank(resource: str, pods: Sequence[tuple[Pod, Usage]]) -> list[tuple[Pod, Usage]]:
    """Those that may be evicted, the first to go first."""

    def key(item: tuple[Pod, Usage]) -> tuple[object, ...]:
        pod, usage = item
        priority = pod.spec.priority or 0
        match resource:
            case "memory":
                asked = resources.pod_request(pod, "memory")
                return (usage.memory <= asked, priority, asked - usage.memory)
            case "pids":
                return (priority, -usage.pids)
            case "inodes":
                return (priority, -usage.inodes)
            case _:
                asked = _disk(pod, "requests")
                return (usage.disk <= asked, priority, -usage.disk)

    return sorted((item for item in pods if evictable(item[0])), key=key)


def words(pod: Pod, usage: Usage, short: Threshold, left: Amount) -> str:
    """Why this pod is evicted, in upstream's words."""
    shown = _shown(short, left)
    message = f"The node was low on resource: {short.resource}. {shown}"
    if short.resource == "memory":
        for container in pod.spec.containers:
            used, asked = usage.containers.get(container.name, 0), resources.request(container.resources, "memory")
            if used > asked:
                message += (
                    f"Container {container.name} was using {used // 1024}Ki, request is {_size(asked)}, "
                    "has larger consumption of memory. "
                )
    if short.resource == "ephemeral-storage":
        for container in pod.spec.containers:
            used, asked = usage.container_disk.get(container.name, 0), _storage(container, "requests")
            if used > asked:
                message += (
                    f"Container {container.name} was using {used // 1024}Ki, request is {_size(asked)}, "
                    "has larger consumption of ephemeral-storage. "
                )
    return message


def _shown(short: Threshold, left: Amount) -> str:
    if short.resource in ("pids", "inodes"):
        return f"Threshold quantity: {short.limit(left.capacity)}, available: {left.available}. "
    return f"Threshold quantity: {_size(short.limit(left.capacity))}, available: {left.available // 1024}Ki. "


def _size(amount: int) -> str:
    return quantity.format_bytes(amount)


# --- limits on disk ---------------------------------------------------------------------------------------------------


def has_limits(pod: Pod) -> bool:
    """Whether a pod's use of the node's disk has to be looked at even without pressure."""
    sized = any(
        volume.empty_dir is not None and volume.empty_dir.size_limit is not None for volume in pod.spec.volumes or ()
    )
    return sized or any(_storage(container, "limits") for container in pod.everything)


def over_limits(pod: Pod, usage: Usage) -> str:
    """In upstream's words, which limit on local storage a pod breaks; or an empty string."""
    for volume in pod.spec.volumes or ():
        limit = volume.empty_dir.size_limit if volume.empty_dir is not None else None
        if limit is not None and usage.volumes.get(volume.name, 0) > quantity.whole(limit):
            return f'Usage of EmptyDir volume "{volume.name}" exceeds the limit "{quantity.canonical(limit)}". '
    whole = _disk(pod, "limits")
    if whole and usage.disk > whole:
        return f"Pod ephemeral local storage usage exceeds the total limit of containers {_size(whole)}. "
    for container in pod.everything:
        limit = _storage(container, "limits")
        if limit and usage.container_disk.get(container.name, 0) > limit:
            return f'Container {container.name} exceeded its local ephemeral storage limit "{_size(limit)}". '
    return ""


def _storage(container: ContainerSpec, side: str) -> int:
    amounts = container.resources.limits if side == "limits" else container.resources.requests
    value = (amounts or {}).get("ephemeral-storage")
    return 0 if value is None else quantity.whole(value)


def _disk(pod: Pod, side: str) -> int:
    return sum(_storage(container, side) for container in pod.spec.containers)
