"""How a Deployment moves from one template to the next: the policy, as a function of what there is.

`decide` looks at the deployment and its replica sets and gives the next few writes. Each write, and each prefix of them, keeps
the promise of the strategy; what follows is decided anew from what is then there. Rules and rounding are
those of Kubernetes' Deployment controller (RollingUpdate, Recreate, pause, proportional scaling, revisions, history), with
two sharpenings: a set that has not yet acted on its last scaling holds back the next one, and pods that a set still has to
remove count against the surge. So the limits hold at every instant and not only on paper.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from fractions import Fraction
from math import ceil, floor
from typing import Any

import msgspec

from motet.controllers import rollout_status, templates
from motet.controllers.replicaset import ReplicaSetView
from motet.controllers.rollout_status import DeploymentStatus, DeploymentView
from motet.controllers.templates import HASH_LABEL, template_hash

REVISION = "deployment.kubernetes.io/revision"
_REVISION_HISTORY = "deployment.kubernetes.io/revision-history"
_DESIRED = "deployment.kubernetes.io/desired-replicas"
_MAX = "deployment.kubernetes.io/max-replicas"
_NOT_COPIED = frozenset(
    {"kubectl.kubernetes.io/last-applied-configuration", REVISION, _REVISION_HISTORY, _DESIRED, _MAX}
)
_UNLIMITED = 2**31 - 1


@dataclass(frozen=True, slots=True)
class CreateSet:
    """Make the replica set of the current template. `collisions` is how many names were taken."""

    document: dict[str, Any]
    collisions: int = 0

    @property
    def name(self) -> str:
        return str(self.document["metadata"]["name"])

    @property
    def replicas(self) -> int:
        return int(self.document["spec"]["replicas"])


@dataclass(frozen=True, slots=True)
class ChangeSet:
    """Patch a replica set: its size, its annotations, its minReadySeconds. `before` and `after` are sizes."""

    name: str
    before: int
    after: int
    patch: dict[str, Any]


@dataclass(frozen=True, slots=True)
class DeleteSet:
    """Remove an empty replica set that history has no more room for."""

    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class Annotate:
    """Note the revision on the deployment itself."""

    annotations: dict[str, str]


Write = CreateSet | ChangeSet | DeleteSet | Annotate


@dataclass(frozen=True, slots=True)
class Plan:
    """Writes in order, then the status. `look_again` is in seconds."""

    writes: tuple[Write, ...]
    status: DeploymentStatus
    look_again: float | None = None


@dataclass(slots=True)
class _Set:
    """A replica set and what it shall become."""

    view: ReplicaSetView
    replicas: int
    annotations: dict[str, str | None] = field(default_factory=dict)
    min_ready_seconds: int | None = None

    @classmethod
    def of(cls, view: ReplicaSetView) -> _Set:
        return cls(view, view.spec.replicas)

    @property
    def available(self) -> int:
        """Available pods that stay, now that the set may have been told to shrink (it gives up the worst first)."""
        return min(self.replicas, self.view.spec.replicas, self.view.status.available_replicas)

    @property
    def pods(self) -> int:
        """Pods it has or will have."""
        return max(self.replicas, self.view.spec.replicas, self.view.status.replicas)

    def annotation(self, key: str) -> str:
        return (self.view.metadata.annotations or {}).get(key, "")

    def annotate(self, key: str, value: str) -> None:
        if self.annotation(key) != value:
            self.annotations[key] = value

    def resize(self, replicas: int, deployment: DeploymentView) -> None:
        self.replicas = replicas
        for key, value in _sizes(deployment).items():
            self.annotate(key, value)

    def change(self) -> ChangeSet | None:
        spec: dict[str, Any] = {}
        if self.replicas != self.view.spec.replicas:
            spec["replicas"] = self.replicas
        if self.min_ready_seconds is not None and self.min_ready_seconds != self.view.spec.min_ready_seconds:
            spec["minReadySeconds"] = self.min_ready_seconds
        if not spec and not self.annotations:
            return None
        meta = self.view.metadata
        patch: dict[str, Any] = {"metadata": {"resourceVersion": meta.resource_version}}
        if self.annotations:
            patch["metadata"]["annotations"] = dict(self.annotations)
        if spec:
            patch["spec"] = spec
        return ChangeSet(meta.name, self.view.spec.replicas, self.replicas, patch)


def limits(deployment: DeploymentView) -> tuple[int, int]:
    """(maxSurge, maxUnavailable) in pods: surge rounded up, unavailability down, and never both zero."""
    strategy = deployment.spec.strategy
    if strategy.type == "Recreate":
        return 0, 0
    rolling = strategy.rolling_update or rollout_status.RollingUpdate()
    surge = ceil(_share(rolling.max_surge, deployment.spec.replicas))
    unavailable = floor(_share(rolling.max_unavailable, deployment.spec.replicas))
    if surge == 0 and unavailable == 0:
        unavailable = 1
    return surge, min(unavailable, deployment.spec.replicas)


def _share(amount: int | str, of: int) -> Fraction:
    if isinstance(amount, str):
        return Fraction(int(amount.rstrip("%") or 0) * of, 100)
    return Fraction(amount)


def decide(
    deployment: DeploymentView,
    sets: Sequence[ReplicaSetView],
    now: datetime,
    *,
    taken: Callable[[str], bool] = lambda name: False,
    unfinished: Callable[[str], int] = lambda uid: 0,
) -> Plan:
    """The next writes for `deployment`, which owns `sets`.

    `taken(name)` tells whether some other replica set has that name; `unfinished(uid)` counts the pods of a set that have
    not ended yet, leaving ones included (Recreate waits for them).
    """
    everyone = [_Set.of(view) for view in sorted(sets, key=_seniority)]
    if deployment.metadata.deletion_timestamp is not None:
        return _plan(deployment, everyone, None, [], now)
    new = _current(deployment, everyone)
    old = [each for each in everyone if each is not new]
    if new is not None:
        _bring_up_to_date(deployment, new, old)
    recreate = deployment.spec.strategy.type == "Recreate"
    if deployment.spec.paused or (not recreate and _resized(deployment, everyone)):
        _scale(deployment, new, old)
        removed = _history(deployment, old) if deployment.spec.paused else []
        return _plan(deployment, everyone, new, removed, now)
    if recreate:
        created = _recreate(deployment, new, old, taken, unfinished)
    else:
        created = _roll(deployment, new, old, taken)
    untouched = created is None and all(each.replicas == each.view.spec.replicas for each in everyone)
    complete = untouched and rollout_status.complete(deployment, _status(deployment, everyone, new, now))
    removed = _history(deployment, old) if complete else []
    return _plan(deployment, everyone, new, removed, now, created)


def _seniority(view: ReplicaSetView) -> tuple[str, str]:
    return view.metadata.creation_timestamp or "", view.metadata.name


def _current(deployment: DeploymentView, sets: Iterable[_Set]) -> _Set | None:
    """The oldest set whose template is the deployment's."""
    template = templates.normal(deployment.spec.template)
    return next((each for each in sets if templates.normal(each.view.spec.template) == template), None)


def _revision(each: _Set) -> int:
    try:
        return int(each.annotation(REVISION) or 0)
    except ValueError:
        return 0


def _next_revision(old: Iterable[_Set]) -> int:
    return max((_revision(each) for each in old), default=0) + 1


def _copied(deployment: DeploymentView) -> dict[str, str]:
    annotations = deployment.metadata.annotations or {}
    return {key: value for key, value in annotations.items() if key not in _NOT_COPIED}


def _bring_up_to_date(deployment: DeploymentView, new: _Set, old: Sequence[_Set]) -> None:
    """A set that is current again (after an undo) gets the newest revision; its earlier ones go into its history."""
    for key, value in _copied(deployment).items():
        new.annotate(key, value)
    revision, previous = _next_revision(old), _revision(new)
    if previous < revision:
        new.annotate(REVISION, str(revision))
        if previous:
            history = [*filter(None, new.annotation(_REVISION_HISTORY).split(",")), str(previous)]
            new.annotate(_REVISION_HISTORY, ",".join(history))
    new.min_ready_seconds = deployment.spec.min_ready_seconds


def _sizes(deployment: DeploymentView) -> dict[str, str]:
    surge, _ = limits(deployment)
    return {_DESIRED: str(deployment.spec.replicas), _MAX: str(deployment.spec.replicas + surge)}


def _resized(deployment: DeploymentView, sets: Iterable[_Set]) -> bool:
    """The deployment was scaled since its sets last were."""
    wanted = str(deployment.spec.replicas)
    return any(each.replicas > 0 and each.annotation(_DESIRED) not in ("", wanted) for each in sets)


def _new_set(deployment: DeploymentView, old: Sequence[_Set], replicas: int, taken: Callable[[str], bool]) -> CreateSet:
    collisions = deployment.status.collision_count or 0
    meta = deployment.metadata
    while taken(f"{meta.name}-{template_hash(deployment.spec.template, collisions)}"):
        collisions += 1
    suffix = template_hash(deployment.spec.template, collisions)
    template = dict(deployment.spec.template)
    template["metadata"] = dict(template.get("metadata") or {})
    labels = {**(template["metadata"].get("labels") or {}), HASH_LABEL: suffix}
    template["metadata"]["labels"] = labels
    selector = dict(deployment.spec.selector or {})
    selector["matchLabels"] = {**(selector.get("matchLabels") or {}), HASH_LABEL: suffix}
    spec: dict[str, Any] = {"replicas": replicas, "selector": selector, "template": template}
    if deployment.spec.min_ready_seconds:
        spec["minReadySeconds"] = deployment.spec.min_ready_seconds
    document = {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": f"{meta.name}-{suffix}",
            "namespace": meta.namespace,
            "labels": labels,
            "annotations": {**_copied(deployment), REVISION: str(_next_revision(old)), **_sizes(deployment)},
            "ownerReferences": [
                {
                    "apiVersion": "apps/v1",
                    "kind": "Deployment",
                    "name": meta.name,
                    "uid": meta.uid,
                    "controller": True,
                    "blockOwnerDeletion": True,
                }
            ],
        },
        "spec": spec,
    }
    return CreateSet(document, collisions)


def _observed(sets: Iterable[_Set]) -> bool:
    """Every set has acted on what it was last told."""
    return all(each.view.status.observed_generation >= each.view.metadata.generation for each in sets)


def _room(deployment: DeploymentView, others: Sequence[_Set]) -> int:
    """How many pods a set may have beside what the others have or still have to remove."""
    surge, _ = limits(deployment)
    if not _observed(others):
        return 0
    return max(0, deployment.spec.replicas + surge - sum(each.pods for each in others))


def _roll(
    deployment: DeploymentView, new: _Set | None, old: Sequence[_Set], taken: Callable[[str], bool]
) -> CreateSet | None:
    wanted = deployment.spec.replicas
    room = _room(deployment, old)
    if new is None:
        return _new_set(deployment, old, min(wanted, room), taken)
    if new.replicas > wanted:
        new.resize(wanted, deployment)
    elif new.replicas < min(wanted, room):
        new.resize(min(wanted, room), deployment)
    if new.replicas == new.view.spec.replicas:
        _shrink_old(deployment, new, old)
    return None


def _shrink_old(deployment: DeploymentView, new: _Set, old: Sequence[_Set]) -> None:
    """Give up old pods as far as availability allows: first those that do not work, then the oldest set's."""
    _, unavailable = limits(deployment)
    least = deployment.spec.replicas - unavailable
    total = new.replicas + sum(each.replicas for each in old)
    budget = total - least - (new.replicas - new.available)
    for each in old:
        broken = min(each.replicas - each.available, budget)
        if broken > 0:
            each.resize(each.replicas - broken, deployment)
            budget -= broken
    spare = min(budget, new.available + sum(each.available for each in old) - least)
    for each in old:
        given_up = min(each.replicas, spare)
        if given_up > 0:
            each.resize(each.replicas - given_up, deployment)
            spare -= given_up


def _recreate(
    deployment: DeploymentView,
    new: _Set | None,
    old: Sequence[_Set],
    taken: Callable[[str], bool],
    unfinished: Callable[[str], int],
) -> CreateSet | None:
    for each in old:
        if each.replicas:
            each.resize(0, deployment)
    shrinking = any(each.view.spec.replicas or each.view.status.replicas for each in old)
    if shrinking or any(unfinished(each.view.metadata.uid) for each in old):
        return None
    if new is None:
        return _new_set(deployment, old, deployment.spec.replicas, taken)
    if new.replicas != deployment.spec.replicas:
        new.resize(deployment.spec.replicas, deployment)
    return None


def _scale(deployment: DeploymentView, new: _Set | None, old: Sequence[_Set]) -> None:
    """Spread a change of size over the sets, without moving the rollout on."""
    wanted = deployment.spec.replicas
    everyone = [*old, *([new] if new else [])]
    active = [each for each in everyone if each.replicas > 0]
    if len(active) <= 1:
        only = active[0] if active else new or (old[-1] if old else None)
        if only is not None and (only.replicas != wanted or only.annotation(_DESIRED) not in ("", str(wanted))):
            room = _room(deployment, [each for each in everyone if each is not only])
            only.resize(min(wanted, max(only.replicas, room)), deployment)
        return
    if new is not None and _saturated(deployment, new):
        for each in old:
            if each.replicas:
                each.resize(0, deployment)
        return
    if deployment.spec.strategy.type != "Recreate":
        _scale_in_proportion(deployment, active)


def _saturated(deployment: DeploymentView, new: _Set) -> bool:
    wanted = deployment.spec.replicas
    return new.replicas == wanted and new.available == wanted and new.annotation(_DESIRED) == str(wanted)


def _scale_in_proportion(deployment: DeploymentView, active: list[_Set]) -> None:
    """Larger sets get or lose more; what rounding leaves goes to the largest (growing: newest first among equals)."""
    surge, _ = limits(deployment)
    allowed = deployment.spec.replicas + surge if deployment.spec.replicas else 0
    difference = allowed - sum(each.replicas for each in active)
    if difference > 0 and not _observed(active):
        return
    newest_first = list(reversed(active)) if difference > 0 else list(active)
    ordered = sorted(newest_first, key=lambda each: -each.replicas)
    sizes = []
    used = 0
    for each in ordered:
        share = _proportion(deployment, each, allowed)
        rest = difference - used
        share = min(share, rest) if difference > 0 else max(share, rest)
        sizes.append(max(0, each.replicas + (share if difference else 0)))
        used += share if difference else 0
    sizes[0] = max(0, sizes[0] + difference - used)
    for each, size in zip(ordered, sizes, strict=True):
        each.resize(size, deployment)


def _proportion(deployment: DeploymentView, each: _Set, allowed: int) -> int:
    if not deployment.spec.replicas:
        return -each.replicas
    before = int(each.annotation(_MAX) or 0) or deployment.status.replicas or allowed
    return floor(Fraction(each.replicas * allowed, before) + Fraction(1, 2)) - each.replicas


def _history(deployment: DeploymentView, old: Sequence[_Set]) -> list[DeleteSet]:
    """Empty old sets beyond the limit, lowest revision first."""
    limit = deployment.spec.revision_history_limit
    if limit is None or limit >= _UNLIMITED:
        return []
    alive = sorted((each for each in old if each.view.metadata.deletion_timestamp is None), key=_revision)
    surplus = alive[: max(0, len(alive) - limit)]
    return [
        DeleteSet(each.view.metadata.name, each.view.metadata.uid)
        for each in surplus
        if not each.pods and _observed([each])
    ]


def _status(
    deployment: DeploymentView, sets: Sequence[_Set], new: _Set | None, now: datetime, created: CreateSet | None = None
) -> DeploymentStatus:
    _, unavailable = limits(deployment)
    return rollout_status.decide(
        deployment,
        [each.view for each in sets],
        new.view if new else None,
        now,
        least_available=deployment.spec.replicas - unavailable,
        created=created.name if created else "",
    )


def _plan(
    deployment: DeploymentView,
    sets: Sequence[_Set],
    new: _Set | None,
    removed: Sequence[DeleteSet],
    now: datetime,
    created: CreateSet | None = None,
) -> Plan:
    writes: list[Write] = [created] if created else []
    changes = [change for each in sets if (change := each.change()) is not None]
    # Sets that shrink go first: whoever stops in between has fewer pods than allowed, not more.
    changes.sort(key=lambda change: change.after - change.before)
    writes += changes
    revision = ""
    if created is not None:
        revision = created.document["metadata"]["annotations"][REVISION]
    elif new is not None:
        revision = new.annotations.get(REVISION) or new.annotation(REVISION)
    if revision and (deployment.metadata.annotations or {}).get(REVISION) != revision:
        writes.append(Annotate({REVISION: revision}))
    writes += removed
    status = _status(deployment, sets, new, now, created)
    if created is not None and created.collisions:
        status = msgspec.structs.replace(status, collision_count=created.collisions)
    return Plan(tuple(writes), status, rollout_status.next_look(deployment, status, now))
