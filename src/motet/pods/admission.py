"""Whether this node takes a pod that has been given to it (kubelet's admission handlers).

The scheduler has looked before, but whoever sets `spec.nodeName` asks nobody; and what other pods on this node were given
since is known best here. A pod that is not taken fails, as upstream's does, so that whoever made it makes another.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from motet.pods import eviction, resources
from motet.pods.model import Final
from motet.pods.resizing import Room
from motet.pods.spec import Pod

# Sysctls that are the pod's own business (Kubernetes "Safe and Unsafe Sysctls").
SAFE_SYSCTLS = frozenset(
    {
        "kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.ip_local_reserved_ports",
        "net.ipv4.ip_unprivileged_port_start", "net.ipv4.ping_group_range", "net.ipv4.tcp_fin_timeout",
        "net.ipv4.tcp_keepalive_intvl", "net.ipv4.tcp_keepalive_probes", "net.ipv4.tcp_keepalive_time",
        "net.ipv4.tcp_rmem", "net.ipv4.tcp_syncookies", "net.ipv4.tcp_wmem",
    }
)  # fmt: skip

HostPort = tuple[str, str, int]
"""(protocol, address or nothing for all, port)."""


@dataclass(frozen=True, slots=True)
class Neighbours:
    """What the other pods of this node have taken. `most` is how many pods the node may run in all."""

    room: Room
    pods: int = 0
    most: int = 110
    ports: Collection[HostPort] = ()
    # Node conditions that hold (MemoryPressure, ...).
    pressures: Collection[str] = ()


def refusal(pod: Pod, neighbours: Neighbours, unsafe_sysctls: Collection[str]) -> Final | None:
    """Why a pod that has not begun will not run here, or None. `unsafe_sysctls` are allowed too; `x.*` stands for all of x."""
    for sysctl in pod.spec.security_context.sysctls or ():
        name = sysctl.name.replace("/", ".")
        if name not in SAFE_SYSCTLS and not _listed(name, unsafe_sysctls):
            return _rejected("SysctlForbidden", f'forbidden sysctl: "{sysctl.name}" not allowlisted')
    if _unwelcome(pod, neighbours.pressures):
        listed = " ".join(sorted(neighbours.pressures))
        return Final("Failed", "Evicted", f"The node had condition: [{listed}]. ")
    if neighbours.pods >= neighbours.most:
        return _lacking("pods", 1, neighbours.pods, neighbours.most)
    room = neighbours.room
    for name, capacity, used in (("cpu", room.cpu, room.cpu_used), ("memory", room.memory, room.memory_used)):
        wanted = resources.pod_request(pod, name)
        if wanted > max(0, capacity - used):
            return _lacking(name, wanted, used, capacity)
    if any(_clash(port, taken) for port in host_ports(pod) for taken in neighbours.ports):
        why = "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports"
        return _rejected("NodePorts", why)
    return None


def host_ports(pod: Pod) -> Iterator[HostPort]:
    """The ports of the node that a pod takes."""
    for container in pod.everything:
        for port in container.ports or ():
            if port.host_port:
                address = "" if port.host_ip in ("0.0.0.0", "::") else port.host_ip
                yield port.protocol, address, port.host_port


def _unwelcome(pod: Pod, pressures: Collection[str]) -> bool:
    """Whether a pod would make a shortage worse: under memory pressure only one that asks for nothing."""
    if not pressures or not eviction.evictable(pod):
        return False
    if set(pressures) != {"MemoryPressure"} or resources.qos_class(pod) != "BestEffort":
        return set(pressures) != {"MemoryPressure"}
    return not any(
        toleration.key in ("", "node.kubernetes.io/memory-pressure") and toleration.effect in ("", "NoSchedule")
        for toleration in pod.spec.tolerations or ()
    )


def _clash(one: HostPort, other: HostPort) -> bool:
    same = (one[0], one[2]) == (other[0], other[2])
    return same and (one[1] == other[1] or not one[1] or not other[1])


def _listed(name: str, patterns: Collection[str]) -> bool:
    return any(name == each or (each.endswith("*") and name.startswith(each[:-1])) for each in patterns)


def _lacking(name: str, wanted: int, used: int, capacity: int) -> Final:
    message = f"Node didn't have enough resource: {name}, requested: {wanted}, used: {used}, capacity: {capacity}"
    return _rejected(f"OutOf{name}", message)


def _rejected(reason: str, message: str) -> Final:
    return Final("Failed", reason, f"Pod was rejected: {message}")
