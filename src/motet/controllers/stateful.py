"""What a StatefulSet does next, as a function of what there is.

Rules and order are those of Kubernetes' StatefulSet controller: pods have numbers from `ordinals.start` on; missing ones are made
from the lowest number up, surplus ones go from the highest down, and outdated ones are deleted from the highest down to the
partition. Under OrderedReady each step waits until everything before it is available; under Parallel only the update does. A pod
that never gets ready therefore halts an ordered rollout, also the one that would mend it, until somebody deletes that pod.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from math import floor
from typing import Any

import msgspec

from motet.controllers import podview, statefulclaims
from motet.controllers.podview import Condition, PodView
from motet.controllers.revisions import REVISION_LABEL
from motet.store.document import Meta, OwnerReference

NAME_LABEL = "statefulset.kubernetes.io/pod-name"
INDEX_LABEL = "apps.kubernetes.io/pod-index"


class RollingUpdate(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    partition: int = 0
    max_unavailable: int | str | None = None


class Strategy(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    type: str = "RollingUpdate"
    rolling_update: RollingUpdate | None = None


class Ordinals(msgspec.Struct, gc=False, frozen=True):
    start: int = 0


class StatefulSetSpec(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    replicas: int = 1
    selector: dict[str, Any] | None = None
    template: dict[str, Any] = {}
    service_name: str = ""
    pod_management_policy: str = "OrderedReady"
    update_strategy: Strategy = Strategy()
    min_ready_seconds: int = 0
    revision_history_limit: int = 10
    ordinals: Ordinals = Ordinals()
    volume_claim_templates: tuple[dict[str, Any], ...] = ()
    persistent_volume_claim_retention_policy: statefulclaims.Retention = statefulclaims.Retention()


class StatefulSetStatus(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    observed_generation: int = 0
    replicas: int = 0
    ready_replicas: int = 0
    current_replicas: int = 0
    updated_replicas: int = 0
    current_revision: str = ""
    update_revision: str = ""
    collision_count: int | None = None
    conditions: tuple[Condition, ...] = ()
    available_replicas: int = 0


class StatefulSetView(msgspec.Struct, gc=False, frozen=True):
    metadata: Meta
    spec: StatefulSetSpec = StatefulSetSpec()
    status: StatefulSetStatus = StatefulSetStatus()

    def ordinals(self) -> range:
        """The numbers its pods have."""
        start = self.spec.ordinals.start
        return range(start, start + self.spec.replicas)

    def ordinal(self, pod_name: str) -> int | None:
        """The number in the name of one of its pods; None for any other name."""
        base, dash, number = pod_name.rpartition("-")
        ours = dash and base == self.metadata.name and number.isascii() and number.isdigit()
        return int(number) if ours and str(int(number)) == number else None

    def partition(self) -> int:
        """Pods below this number are of the current revision, not of the update."""
        rolling = self.spec.update_strategy.rolling_update
        return rolling.partition if rolling else 0


@dataclass(frozen=True, slots=True)
class CreatePod:
    """Make the pod of a number, its missing claims first; of the update revision if `updated`, else of the current one."""

    ordinal: int
    updated: bool


@dataclass(frozen=True, slots=True)
class DeletePod:
    """`ended`: it failed or finished, and is to be made again."""

    pod: PodView
    ended: bool = False


@dataclass(frozen=True, slots=True)
class MakeClaims:
    """Make the claims that a pending pod lacks."""

    ordinal: int


@dataclass(frozen=True, slots=True)
class Relabel:
    """Give a pod the labels that say which one it is."""

    pod: PodView
    labels: dict[str, str]


@dataclass(frozen=True, slots=True)
class OwnClaim:
    """Let a claim be owned by these, so that it goes when they go."""

    claim: Meta
    references: tuple[OwnerReference, ...]


Write = CreatePod | DeletePod | MakeClaims | Relabel | OwnClaim


@dataclass(frozen=True, slots=True)
class Plan:
    """Writes in order. `look_again` is in seconds: when the next ready pod becomes available."""

    writes: tuple[Write, ...] = ()
    look_again: float | None = None


@dataclass(frozen=True, slots=True)
class Scene:
    """What there is. `current` and `update` are names of revisions, `claims` all claims that are named like the set's own."""

    set: StatefulSetView
    current: str
    update: str
    pods: Sequence[PodView]
    claims: Mapping[str, Meta]
    now: datetime

    def revision(self, pod: PodView) -> str:
        return (pod.metadata.labels or {}).get(REVISION_LABEL, "")

    def is_ready(self, pod: PodView) -> bool:
        return pod.status.phase == "Running" and podview.is_ready(pod)

    def is_available(self, pod: PodView) -> bool:
        wait = podview.available_in(pod, self.set.spec.min_ready_seconds, self.now)
        return self.is_ready(pod) and wait is not None and wait <= 0


def decide(scene: Scene) -> Plan:
    """The next writes."""
    if scene.set.metadata.deletion_timestamp is not None:
        return Plan()
    step = _Step(scene)
    step.own_claims()
    if step.tend() and step.shrink() and scene.set.spec.update_strategy.type == "RollingUpdate":
        step.update()
    waits = [podview.available_in(pod, scene.set.spec.min_ready_seconds, scene.now) or 0 for pod in scene.pods]
    return Plan(tuple(step.writes), min((wait for wait in waits if wait > 0), default=None))


def _leaving(pod: PodView) -> bool:
    return pod.metadata.deletion_timestamp is not None


class _Step:
    """One decision being made. The parts tell whether the next one may follow."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._set = scene.set
        self._ordered = scene.set.spec.pod_management_policy != "Parallel"
        numbered = {self._set.ordinal(pod.metadata.name): pod for pod in scene.pods}
        wanted = self._set.ordinals()
        self._pods = {number: pod for number, pod in numbered.items() if number is not None and number in wanted}
        surplus = [(number, pod) for number, pod in numbered.items() if number is not None and number not in wanted]
        self._condemned = [pod for _, pod in sorted(surplus, key=lambda each: -each[0])]
        self.writes: list[Write] = []

    def own_claims(self) -> None:
        """The retention policy, as references on the claims of the pods there are."""
        kept = [(pod, True) for pod in self._pods.values()] + [(pod, False) for pod in self._condemned]
        for pod, wanted in kept:
            for name in statefulclaims.names(self._set.spec.volume_claim_templates, pod.metadata.name):
                claim = self._scene.claims.get(name)
                if claim is None or claim.deletion_timestamp is not None:
                    continue
                policy = self._set.spec.persistent_volume_claim_retention_policy
                references = statefulclaims.owners(claim, self._set.metadata, pod.metadata, policy, wanted=wanted)
                if references != (claim.owner_references or ()):
                    self.writes.append(OwnClaim(claim, references))

    def tend(self) -> bool:
        """Every wanted pod, from the lowest number up."""
        blocked = False
        for ordinal in self._set.ordinals():
            pod = self._pods.get(ordinal)
            if self._make(ordinal) if pod is None else self._keep(ordinal, pod):
                if self._ordered:
                    return False
                blocked = True
        return not blocked

    def _make(self, ordinal: int) -> bool:
        name = f"{self._set.metadata.name}-{ordinal}"
        claims = statefulclaims.names(self._set.spec.volume_claim_templates, name)
        if any(statefulclaims.is_going(self._scene.claims.get(claim), name, "") for claim in claims):
            return True
        rolling = self._set.spec.update_strategy.type == "RollingUpdate"
        below = self._set.spec.ordinals.start + self._set.partition()
        self.writes.append(CreatePod(ordinal, updated=not (rolling and ordinal < below)))
        return self._ordered

    def _keep(self, ordinal: int, pod: PodView) -> bool:
        """One pod that is there; whether what comes after it has to wait."""
        if podview.is_finished(pod):
            if not _leaving(pod):
                self.writes.append(DeletePod(pod, ended=True))
            return True
        if pod.status.phase == "Pending" and not _leaving(pod):
            names = statefulclaims.names(self._set.spec.volume_claim_templates, pod.metadata.name)
            if any(name not in self._scene.claims for name in names):
                self.writes.append(MakeClaims(ordinal))
        if self._ordered and (_leaving(pod) or not self._scene.is_available(pod)):
            return True
        labels = {NAME_LABEL: pod.metadata.name, INDEX_LABEL: str(ordinal)}
        if not _leaving(pod) and not labels.items() <= (pod.metadata.labels or {}).items():
            self.writes.append(Relabel(pod, labels))
        return False

    def shrink(self) -> bool:
        """Surplus pods, from the highest number down."""
        first = self._first_unhealthy()
        for pod in self._condemned:
            if _leaving(pod):
                if self._ordered:
                    return False
                continue
            # One that has ended will never be ready: to wait for that, as upstream does, is to wait for ever.
            waits = not podview.is_finished(pod) and not self._scene.is_available(pod)
            if self._ordered and waits and pod is not first:
                return False
            self.writes.append(DeletePod(pod))
            if self._ordered:
                return False
        return True

    def _first_unhealthy(self) -> PodView | None:
        """Of all pods, wanted ones first, the one with the lowest number that is not ready or is leaving."""
        everyone = [*(self._pods[number] for number in sorted(self._pods)), *reversed(self._condemned)]
        return next((pod for pod in everyone if _leaving(pod) or not self._scene.is_ready(pod)), None)

    def update(self) -> None:
        """Outdated pods, from the highest number down to the partition."""
        rolling = self._set.spec.update_strategy.rolling_update
        pods = [self._pods[number] for number in sorted(self._pods, reverse=True)]
        least = self._set.spec.ordinals.start + self._set.partition()
        candidates = [pod for pod in pods if (self._set.ordinal(pod.metadata.name) or 0) >= least]
        if rolling is not None and rolling.max_unavailable is not None:
            self._update_several(pods, candidates, rolling.max_unavailable)
            return
        for pod in candidates:
            if not _leaving(pod) and self._scene.revision(pod) != self._scene.update:
                self.writes.append(DeletePod(pod))
                return
            if _leaving(pod) or not self._scene.is_available(pod):
                return

    def _update_several(self, pods: Sequence[PodView], candidates: Sequence[PodView], limit: int | str) -> None:
        if isinstance(limit, str):
            limit = max(1, floor(Fraction(int(limit.rstrip("%") or 0) * self._set.spec.replicas, 100)))
        missing = self._set.spec.replicas - len(pods)
        unavailable = missing + sum(_leaving(pod) or not self._scene.is_available(pod) for pod in pods)
        outdated = [pod for pod in candidates if self._scene.revision(pod) != self._scene.update and not _leaving(pod)]
        self.writes += [DeletePod(pod) for pod in outdated[: max(0, limit - unavailable)]]


def status(scene: Scene, collisions: int | None = None) -> StatefulSetStatus:
    """What the set says of itself. When all pods are of the update, that becomes the current revision."""
    view = scene.set
    staying = [scene.revision(pod) for pod in scene.pods if not _leaving(pod)]
    found = StatefulSetStatus(
        observed_generation=view.metadata.generation,
        replicas=len(scene.pods),
        ready_replicas=sum(scene.is_ready(pod) for pod in scene.pods),
        available_replicas=sum(scene.is_available(pod) for pod in scene.pods),
        current_replicas=staying.count(scene.current),
        updated_replicas=staying.count(scene.update),
        current_revision=scene.current,
        update_revision=scene.update,
        collision_count=collisions or view.status.collision_count,
        conditions=view.status.conditions,
    )
    wanted = view.spec.replicas
    done = found.updated_replicas == found.replicas == found.ready_replicas == wanted
    if done and view.spec.update_strategy.type == "RollingUpdate":
        changed = {"current_revision": scene.update, "current_replicas": found.updated_replicas}
        return msgspec.structs.replace(found, **changed)
    return found
