"""Pods that are the same to the scheduler share a class: what they ask for is parsed once and placed in batches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction

from motet.base import quantity
from motet.scheduler.views import (
    Affinity,
    Container,
    NodeAffinity,
    PodSpec,
    PodView,
    Toleration,
    affinity_decoder,
    tolerations_decoder,
)
from motet.store.document import Document

# What a pod that asks for nothing counts for in scores (never in filters), as upstream has it.
DEFAULT_MILLICORES = 100
DEFAULT_BYTES = 200 * 2**20

HostPort = tuple[str, str, int]


@dataclass(frozen=True, slots=True, eq=False)
class PodClass:
    """Everything the scheduler needs to know of a pod but its name.

    `requests` maps resource names to whole units: millicores for `cpu`, bytes or counts for the rest; `pods` is 1.
    `scored` is (millicores, bytes) with the defaults of a pod that asks for nothing.
    """

    owner: str
    namespace: str
    requests: Mapping[str, int]
    scored: tuple[int, int]
    node_selector: Mapping[str, str]
    node_affinity: NodeAffinity | None
    tolerations: tuple[Toleration, ...]
    host_ports: frozenset[HostPort]
    claims: tuple[str, ...]
    priority: int
    # Names of fields that the scheduler does not honour yet; such a pod is refused, not placed wrongly.
    unsupported: tuple[str, ...] = ()


@dataclass(slots=True)
class Classes:
    """The classes met so far. A class is kept while something holds it; the index is cut when it has grown old."""

    _known: dict[tuple[object, ...], PodClass] = field(default_factory=dict)

    def of(self, pod: Document) -> PodClass:
        """The class of a pod."""
        spec = pod.view(PodView).spec
        controller = pod.meta.controller()
        owner = controller.uid if controller else pod.meta.uid
        key = (
            owner,
            pod.namespace,
            bytes(spec.affinity),
            bytes(spec.tolerations),
            tuple(sorted((spec.node_selector or {}).items())),
            _resource_key(spec),
            _claims(spec),
            spec.priority,
            bytes(spec.topology_spread_constraints),
        )
        found = self._known.get(key)
        if found is None:
            if len(self._known) > 20_000:
                self._known.clear()
            found = self._known[key] = _parse(owner, pod.namespace, spec)
        return found


def _resource_key(spec: PodSpec) -> tuple[object, ...]:
    """Requests and host ports as something to compare, without parsing a quantity."""
    asked = tuple(
        (
            tuple(sorted((container.resources.requests or {}).items())) if container.resources else (),
            tuple(port for port in container.ports or () if port.host_port),
            container.restart_policy,
        )
        for container in (*spec.containers, *(spec.init_containers or ()))
    )
    return asked, len(spec.containers), tuple(sorted((spec.overhead or {}).items()))


def _claims(spec: PodSpec) -> tuple[str, ...]:
    return tuple(
        volume.persistent_volume_claim.claim_name
        for volume in spec.volumes or ()
        if volume.persistent_volume_claim is not None
    )


def _parse(owner: str, namespace: str, spec: PodSpec) -> PodClass:
    affinity: Affinity = affinity_decoder.decode(spec.affinity) or Affinity()
    requests = total_requests(spec)
    unsupported = []
    if _asks(affinity.pod_affinity, b"requiredDuringScheduling"):
        unsupported.append("spec.affinity.podAffinity")
    if _asks(affinity.pod_anti_affinity, b"requiredDuringScheduling"):
        unsupported.append("spec.affinity.podAntiAffinity")
    if _asks(spec.topology_spread_constraints, b"DoNotSchedule"):
        unsupported.append("spec.topologySpreadConstraints")
    return PodClass(
        owner=owner,
        namespace=namespace,
        requests=requests,
        scored=(requests.get("cpu") or DEFAULT_MILLICORES, requests.get("memory") or DEFAULT_BYTES),
        node_selector=spec.node_selector or {},
        node_affinity=affinity.node_affinity,
        tolerations=tolerations_decoder.decode(spec.tolerations) or (),
        host_ports=frozenset(
            (port.protocol, port.host_ip, port.host_port)
            for container in spec.containers
            for port in container.ports or ()
            if port.host_port
        ),
        claims=_claims(spec),
        priority=spec.priority,
        unsupported=tuple(unsupported),
    )


def _asks(raw: object, word: bytes) -> bool:
    return word in bytes(raw)  # type: ignore[call-overload]


def total_requests(spec: PodSpec) -> dict[str, int]:
    """A pod's demand: containers and restartable init containers together, or the largest init step if that is more.

    Follows the resource section of the sidecar-containers enhancement (KEP-753): an init container runs beside the
    restartable ones that were started before it.
    """
    running = _sum(spec.containers)
    sidecars: dict[str, Fraction] = {}
    peak: dict[str, Fraction] = {}
    for container in spec.init_containers or ():
        asked = _of(container)
        if container.restart_policy == "Always":
            sidecars = _plus(sidecars, asked)
            peak = _maximum(peak, sidecars)
        else:
            peak = _maximum(peak, _plus(sidecars, asked))
    total = _maximum(_plus(running, sidecars), peak)
    total = _plus(total, {name: quantity.parse(value) for name, value in (spec.overhead or {}).items()})
    demand = {name: in_units(name, value) for name, value in total.items()}
    demand["pods"] = 1
    return demand


def in_units(resource: str, value: Fraction) -> int:
    """Millicores for `cpu`, whole units for anything else, rounded up."""
    scaled = value * 1000 if resource == "cpu" else value
    return -(-scaled.numerator // scaled.denominator)


def _of(container: Container) -> dict[str, Fraction]:
    asked = container.resources.requests if container.resources else None
    return {name: quantity.parse(value) for name, value in (asked or {}).items()}


def _sum(containers: tuple[Container, ...]) -> dict[str, Fraction]:
    total: dict[str, Fraction] = {}
    for container in containers:
        total = _plus(total, _of(container))
    return total


def _plus(left: dict[str, Fraction], right: dict[str, Fraction]) -> dict[str, Fraction]:
    return {name: left.get(name, Fraction(0)) + right.get(name, Fraction(0)) for name in {**left, **right}}


def _maximum(left: dict[str, Fraction], right: dict[str, Fraction]) -> dict[str, Fraction]:
    return {name: max(left.get(name, Fraction(0)), right.get(name, Fraction(0))) for name in {**left, **right}}
