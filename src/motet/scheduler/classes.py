"""Pods that are the same to the scheduler share a class: what they ask for is parsed once and placed in batches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction
from math import ceil, floor

from motet.base import quantity
from motet.scheduler import terms
from motet.scheduler.profiles import DEFAULT, USUAL, Profile, Profiles
from motet.scheduler.terms import NONE, Wishes
from motet.scheduler.views import (
    Affinity,
    Container,
    NodeAffinity,
    PodSpec,
    PodView,
    Resources,
    Toleration,
    affinity_decoder,
    spread_decoder,
    tolerations_decoder,
)
from motet.store.document import Document

# What a pod that asks for nothing counts for in scores (never in filters), as upstream has it.
DEFAULT_MILLICORES = 100
DEFAULT_BYTES = 200 * 2**20

# Amounts are cut here, so that sums of hundreds of them still fit 64 bits: 32 PiB.
_MOST = 2**55

HostPort = tuple[str, str, int]
# All of a pod that the filters and fixed scores read: node selector, affinity, tolerations and profile, to be compared only.
Rules = tuple[object, ...]


@dataclass(frozen=True, slots=True, eq=False)
class PodClass:
    """Everything the scheduler needs to know of a pod but its name.

    `requests` maps resource names to whole units: millicores for `cpu`, bytes or counts for the rest; `pods` is 1.
    `scored` is (millicores, bytes) with the defaults of a pod that asks for nothing. Two classes with equal `rules` are the
    same to every filter that looks at labels and taints.
    """

    owner: str
    namespace: str
    requests: Mapping[str, int]
    scored: tuple[int, int]
    rules: Rules
    node_selector: Mapping[str, str]
    node_affinity: NodeAffinity | None
    tolerations: tuple[Toleration, ...]
    host_ports: frozenset[HostPort]
    claims: tuple[str, ...]
    priority: int
    labels: Mapping[str, str]
    images: tuple[str, ...] = ()
    # Those of `claims` that are made for the pod alone, and whose they are: such a class has one pod.
    own_claims: frozenset[str] = frozenset()
    pod_name: str = ""
    pod_uid: str = ""
    # What it wants of the pods around it.
    wishes: Wishes = NONE
    # May others be evicted for it?
    preempts: bool = True
    # It is being deleted: it takes room as before, and is not one of those that others are spread among.
    leaving: bool = False
    # Names of the fields that the scheduler does not honour yet; such a pod is refused, not placed wrongly.
    unsupported: tuple[str, ...] = ()
    profile: Profile = DEFAULT


_MOST_KNOWN = 20_000


@dataclass(slots=True)
class Classes:
    """The classes met so far. A class is kept while something holds it; the index is cut when it has grown old.

    Pods of a scheduler that `profiles` does not name are only counted.
    """

    profiles: Profiles = field(default_factory=lambda: USUAL)
    _known: dict[tuple[object, ...], PodClass] = field(default_factory=dict)

    def of(self, pod: Document) -> PodClass:
        """The class of a pod."""
        spec = pod.view(PodView).spec
        controller = pod.meta.controller()
        # Pods that nobody controls are spread as if their namespace did.
        owner = controller.uid if controller else f"namespace/{pod.namespace}"
        profile = self.profiles.get(spec.scheduler_name, DEFAULT)
        rules = (
            bytes(spec.affinity),
            bytes(spec.tolerations),
            tuple(sorted(spec.node_selector.items())) if spec.node_selector else (),
            profile.name,
        )
        volumes, labels = spec.volumes or (), pod.meta.labels
        key = (
            owner,
            pod.namespace,
            rules,
            _resource_key(spec),
            tuple(volume for volume in volumes if volume.persistent_volume_claim or volume.ephemeral),
            spec.priority,
            spec.preemption_policy,
            tuple(sorted(labels.items())) if labels else (),
            pod.meta.deletion_timestamp is not None,
            bytes(spec.topology_spread_constraints),
            bytes(spec.resource_claims),
            pod.meta.uid if any(volume.ephemeral for volume in volumes) else "",
        )
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            found = self._known[key] = _parse(owner, pod, spec, rules, profile)
        return found


def _resource_key(spec: PodSpec) -> tuple[object, ...]:
    """Requests and host ports as something to compare, without parsing a quantity."""
    asked = tuple(
        (
            _items(container.resources),
            tuple(port for port in container.ports if port.host_port) if container.ports else (),
            container.restart_policy,
            container.image,
        )
        for container in (*spec.containers, *(spec.init_containers or ()))
    )
    return asked, len(spec.containers), tuple(sorted((spec.overhead or {}).items())), _items(spec.resources)


def normalized(image: str) -> str:
    """An image's name as nodes report it: with its tag, which is `latest` when none is given."""
    last = image.rsplit("/", 1)[-1]
    return image if ":" in last or "@" in last else f"{image}:latest"


def _items(resources: Resources | None) -> tuple[object, ...]:
    return tuple(sorted(resources.requests.items())) if resources and resources.requests else ()


def _claims(spec: PodSpec) -> Iterator[str]:
    for volume in spec.volumes or ():
        if volume.persistent_volume_claim is not None:
            yield volume.persistent_volume_claim.claim_name


def _own_claims(pod: str, spec: PodSpec) -> Iterator[str]:
    """Of generic ephemeral volumes."""
    for volume in spec.volumes or ():
        if volume.ephemeral is not None:
            yield f"{pod}-{volume.name}"


def _parse(owner: str, pod: Document, spec: PodSpec, rules: Rules, profile: Profile) -> PodClass:
    affinity: Affinity = affinity_decoder.decode(spec.affinity) or Affinity()
    requests = total_requests(spec)
    constraints = spread_decoder.decode(spec.topology_spread_constraints) or ()
    labels = pod.meta.labels or {}
    own_claims = frozenset(_own_claims(pod.name, spec))
    sidecars = (container for container in spec.init_containers or () if container.restart_policy == "Always")
    return PodClass(
        owner=owner,
        namespace=pod.namespace,
        requests=requests,
        scored=(requests.get("cpu") or DEFAULT_MILLICORES, requests.get("memory") or DEFAULT_BYTES),
        rules=rules,
        node_selector=spec.node_selector or {},
        node_affinity=affinity.node_affinity,
        tolerations=tolerations_decoder.decode(spec.tolerations) or (),
        host_ports=frozenset(
            (port.protocol, port.host_ip, port.host_port)
            for container in (*spec.containers, *sidecars)
            for port in container.ports or ()
            if port.host_port
        ),
        claims=tuple(dict.fromkeys((*_claims(spec), *_own_claims(pod.name, spec)))),
        priority=spec.priority,
        labels=labels,
        images=tuple(normalized(container.image) for container in spec.containers),
        own_claims=own_claims,
        pod_name=pod.name if own_claims else "",
        pod_uid=pod.meta.uid if own_claims else "",
        wishes=terms.parse(affinity, constraints, pod.namespace, labels),
        preempts=spec.preemption_policy != "Never",
        leaving=pod.meta.deletion_timestamp is not None,
        unsupported=tuple(_unsupported(spec)),
        profile=profile,
    )


def _unsupported(spec: PodSpec) -> Iterator[str]:
    if bytes(spec.resource_claims) not in (b"null", b"[]"):
        yield "spec.resourceClaims"


def total_requests(spec: PodSpec) -> dict[str, int]:
    """A pod's demand: containers and restartable init containers together, or the largest init step if that is more,
    or what the pod as a whole asks for (`spec.resources`) where it does; and its overhead on top.

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
    total = {**total, **_amounts(spec.resources.requests if spec.resources else None)}
    total = _plus(total, _amounts(spec.overhead))
    demand = {name: min(ceil(_scaled(name, value)), _MOST) for name, value in total.items()}
    demand["pods"] = 1
    return demand


def offered(amounts: Mapping[str, str | int | float]) -> dict[str, int]:
    """What a node offers in the units of `PodClass.requests`, rounded down. What cannot be read is not offered."""
    found = {}
    for name, text in amounts.items():
        with suppress(ValueError):
            found[name] = max(0, min(floor(_scaled(name, quantity.parse(text))), _MOST))
    return found


def _scaled(resource: str, value: Fraction) -> Fraction:
    return value * 1000 if resource == "cpu" else value


def _amounts(amounts: Mapping[str, str | int | float] | None) -> dict[str, Fraction]:
    return {name: quantity.parse(value) for name, value in (amounts or {}).items()}


def _of(container: Container) -> dict[str, Fraction]:
    return _amounts(container.resources.requests if container.resources else None)


def _sum(containers: tuple[Container, ...]) -> dict[str, Fraction]:
    total: dict[str, Fraction] = {}
    for container in containers:
        total = _plus(total, _of(container))
    return total


def _plus(left: dict[str, Fraction], right: dict[str, Fraction]) -> dict[str, Fraction]:
    return {name: left.get(name, Fraction(0)) + right.get(name, Fraction(0)) for name in {**left, **right}}


def _maximum(left: dict[str, Fraction], right: dict[str, Fraction]) -> dict[str, Fraction]:
    return {name: max(left.get(name, Fraction(0)), right.get(name, Fraction(0))) for name in {**left, **right}}
