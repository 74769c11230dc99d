"""What a DaemonSet does next: which nodes get a pod and which pods go, as a function of what there is.

Rules and rounding are those of Kubernetes' DaemonSet controller. First every suitable node gets its one pod and everything else
goes; only when that is so does an update move on, on as many nodes as the strategy allows: either old pods are deleted and
their nodes are then short of one (`maxUnavailable`), or new ones are made beside the old (`maxSurge`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from fractions import Fraction
from math import ceil
from typing import Any

import msgspec

from motet.controllers import podview
from motet.controllers.nodematch import Placing, Toleration, untolerated
from motet.controllers.nodes import NodeView
from motet.controllers.podview import Condition, PodView
from motet.controllers.revisions import REVISION_LABEL
from motet.store.document import Meta


class RollingUpdate(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    max_unavailable: int | str = 1
    max_surge: int | str = 0


class Strategy(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    type: str = "RollingUpdate"
    rolling_update: RollingUpdate | None = None


class DaemonSetSpec(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    selector: dict[str, Any] | None = None
    template: dict[str, Any] = {}
    update_strategy: Strategy = Strategy()
    min_ready_seconds: int = 0
    revision_history_limit: int = 10


class DaemonSetStatus(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    current_number_scheduled: int = 0
    number_misscheduled: int = 0
    desired_number_scheduled: int = 0
    number_ready: int = 0
    observed_generation: int = 0
    updated_number_scheduled: int = 0
    number_available: int = 0
    number_unavailable: int = 0
    collision_count: int | None = None
    conditions: tuple[Condition, ...] = ()


class DaemonSetView(msgspec.Struct, gc=False, frozen=True):
    metadata: Meta
    spec: DaemonSetSpec = DaemonSetSpec()
    status: DaemonSetStatus = DaemonSetStatus()


class Fit(StrEnum):
    """What a node is to the set: it gets a pod, it keeps the one it has, or it must have none."""

    RUN = "run"
    KEEP = "keep"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Plan:
    """Nodes to make a pod for and pods to delete; `ended` are those among them that failed or finished by themselves.

    `look_again` is in seconds.
    """

    create: tuple[str, ...] = ()
    delete: tuple[PodView, ...] = ()
    ended: tuple[PodView, ...] = ()
    look_again: float | None = None


Pods = Mapping[str, Sequence[PodView]]  # by node


@dataclass(frozen=True, slots=True)
class Scene:
    """What there is: `fits` has every node, `hashes` those that pods of the current template carry."""

    ds: DaemonSetView
    fits: Mapping[str, Fit]
    pods: Pods
    hashes: Collection[str]
    now: datetime

    def wait(self, pod: PodView) -> float | None:
        return podview.available_in(pod, self.ds.spec.min_ready_seconds, self.now)

    def is_available(self, pod: PodView) -> bool:
        wait = self.wait(pod)
        return wait is not None and wait <= 0

    def is_updated(self, pod: PodView) -> bool:
        return (pod.metadata.labels or {}).get(REVISION_LABEL) in self.hashes

    def here(self, node: str) -> list[PodView]:
        """The pods of a node. What has ended and is only held by a finalizer is as good as gone."""
        return [pod for pod in self.pods.get(node, ()) if not (_leaving(pod) and podview.is_finished(pod))]

    def limits(self) -> tuple[int, int]:
        """(maxSurge, maxUnavailable) in nodes, shares rounded up, and never both zero."""
        desired = sum(each is Fit.RUN for each in self.fits.values())
        rolling = self.ds.spec.update_strategy.rolling_update or RollingUpdate()
        surge, unavailable = _share(rolling.max_surge, desired), _share(rolling.max_unavailable, desired)
        return surge, unavailable if surge or unavailable else 1


def placing_of(template: Mapping[str, Any], tolerations: Sequence[Mapping[str, Any]]) -> Placing:
    """Where pods of `template` may run, given the tolerations that daemons have beside the template's own."""
    placing = msgspec.convert(template.get("spec") or {}, Placing)
    own = tuple(msgspec.convert(each, Toleration) for each in tolerations)
    return msgspec.structs.replace(placing, tolerations=(*(placing.tolerations or ()), *own))


def fit(placing: Placing, node: NodeView) -> Fit:
    """What `node` is to a set whose pods are placed so."""
    meta = node.metadata
    if not placing.selects(meta.name, meta.labels or {}):
        return Fit.NONE
    taints, tolerations = node.spec.taints or (), placing.tolerations or ()
    if not untolerated(taints, tolerations, "NoSchedule", "NoExecute"):
        return Fit.RUN
    return Fit.NONE if untolerated(taints, tolerations, "NoExecute") else Fit.KEEP


def _share(amount: int | str, of: int) -> int:
    if isinstance(amount, str):
        return ceil(Fraction(int(amount.rstrip("%") or 0) * of, 100))
    return amount


def decide(scene: Scene, held: Callable[[str], float] = lambda node: 0.0) -> Plan:
    """The next writes. `held(node)` is for how many seconds an ended pod there stays before it is replaced."""
    ds = scene.ds
    if ds.metadata.deletion_timestamp is not None:
        return Plan()
    rolling = ds.spec.update_strategy.type == "RollingUpdate"
    step = _Step(scene, held, surging=rolling and scene.limits()[0] > 0)
    for node in sorted({*scene.fits, *scene.pods}):
        step.settle(node)
    if rolling and not (step.create or step.delete):
        step.roll()
    waits = [*step.waits, *(wait for pods in scene.pods.values() for pod in pods if (wait := scene.wait(pod) or 0) > 0)]
    return Plan(tuple(step.create), tuple(step.delete), tuple(step.ended), min(waits, default=None))


def _leaving(pod: PodView) -> bool:
    return pod.metadata.deletion_timestamp is not None


def _seniority(pod: PodView) -> tuple[bool, str, str]:
    meta = pod.metadata
    return not pod.spec.node_name, meta.creation_timestamp or "", meta.name


class _Step:
    """One decision being made."""

    def __init__(self, scene: Scene, held: Callable[[str], float], *, surging: bool) -> None:
        self._scene = scene
        self._held = held
        self._surging = surging
        self.create: list[str] = []
        self.delete: list[PodView] = []
        self.ended: list[PodView] = []
        self.waits: list[float] = []

    def settle(self, node: str) -> None:
        """One node gets its one pod, or loses what it should not have."""
        here = self._scene.here(node)
        live = [pod for pod in here if not _leaving(pod)]
        match self._scene.fits.get(node):
            case None:  # no such node; what was bound to it is the pod collector's
                self.delete += [pod for pod in live if not pod.spec.node_name]
            case Fit.NONE:
                self.delete += live
            case Fit.RUN if not here:
                self.create.append(node)
            case _:
                self._end(node, [pod for pod in live if podview.is_finished(pod)])
                running = sorted((pod for pod in live if not podview.is_finished(pod)), key=_seniority)
                self.delete += self._doubles(running) if self._surging else running[1:]

    def _end(self, node: str, ended: Sequence[PodView]) -> None:
        wait = self._held(node) if ended else 0.0
        if wait > 0:
            self.waits.append(wait)
        else:
            self.ended += ended
            self.delete += ended

    def _doubles(self, running: Sequence[PodView]) -> list[PodView]:
        """While surging, a node may have an old and a new pod: until the new one serves, or the old one does not."""
        scene = self._scene
        new = [pod for pod in running if scene.is_updated(pod)]
        old = [pod for pod in running if not scene.is_updated(pod)]
        surplus = [*new[1:], *old[1:]]
        if new and old and (not podview.is_ready(old[0]) or scene.is_available(new[0])):
            surplus.append(old[0])
        return surplus

    def roll(self) -> None:
        """Move an update on. Every node is settled, so each has at most one old and one new pod that stay."""
        scene = self._scene
        surge, unavailable = scene.limits()
        busy = 0
        candidates: list[tuple[str, PodView]] = []
        for node in sorted(node for node, fit in scene.fits.items() if fit is not Fit.NONE and scene.pods.get(node)):
            live = [pod for pod in scene.pods[node] if not _leaving(pod)]
            new = [pod for pod in live if scene.is_updated(pod)]
            old = [pod for pod in live if not scene.is_updated(pod)]
            if old and not new:
                if scene.is_available(old[0]):
                    candidates.append((node, old[0]))
                    continue
                # It does not serve anyway, so replacing it costs nothing.
                self._renew(node, old[0])
            if not self._surging:
                busy += bool(old) or not new or not scene.is_available(new[0])
            else:
                busy += bool(old and new)
        allowed = surge if self._surging else unavailable
        for node, pod in candidates[: max(0, allowed - busy)]:
            self._renew(node, pod)

    def _renew(self, node: str, old: PodView) -> None:
        if not self._surging:
            self.delete.append(old)
        elif not podview.is_finished(old):  # that one is replaced in any case
            self.create.append(node)


def status(scene: Scene, collisions: int | None = None) -> DaemonSetStatus:
    """What the set says of itself. Of several pods on a node the oldest counts."""
    desired = current = misplaced = ready = available = updated = 0
    for node, each in scene.fits.items():
        here = scene.here(node)
        if each is not Fit.RUN:
            misplaced += bool(here)
            continue
        desired += 1
        if not here:
            continue
        current += 1
        pod = min(here, key=_seniority)
        ready += podview.is_ready(pod)
        available += scene.is_available(pod)
        updated += scene.is_updated(pod)
    return DaemonSetStatus(
        current_number_scheduled=current,
        number_misscheduled=misplaced,
        desired_number_scheduled=desired,
        number_ready=ready,
        observed_generation=scene.ds.metadata.generation,
        updated_number_scheduled=updated,
        number_available=available,
        number_unavailable=desired - available,
        collision_count=collisions or scene.ds.status.collision_count,
        conditions=scene.ds.status.conditions,
    )
