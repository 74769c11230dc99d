"""What an App does next: which pods to start, to stop and to forget, as a function of what there is.

An App is a set of *slots*, each of which wants one pod: numbers 1 to n where it has replicas, node names where it is on every node.
A slot that lost its pod gets a new one at once; one whose pod ended gets one as the restart policy has it (`apprestarts`). A
slot whose pod is of another version, or on a node that no longer fits, is *renewed*: `stop-first` ends the old pod and starts
the new one when it is gone, `start-first` the other way round, within the limits of the update's rules and for as long as the
update moves (`approllout`). Jobs have no updates: a new run stops what is left of the one before.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from motet.controllers import apprestarts, approllout, podview
from motet.controllers.appdepends import Gate
from motet.controllers.apprestarts import Attempt, Next, Verdict
from motet.controllers.approllout import Findings
from motet.controllers.apptasks import (
    best,
    created_at,
    ended_well,
    failed_at,
    is_abandoned,
    is_active,
    is_marked,
    is_over,
    is_stuck,
    iteration_of,
    newest_first,
    slot_of,
    version_of,
)
from motet.controllers.appview import AppView, ScheduleRecord, TaskPod, Update, UpdateRecord
from motet.controllers.podview import instant
from motet.kinds import app as app_kind


class Want(StrEnum):
    """What a slot is allowed: `keep` lets a pod that is there stay but starts none (a cordoned node)."""

    RUN = "run"
    KEEP = "keep"


def nowhere_wrong(pod: TaskPod) -> bool:
    """The answer where no placement is asked for."""
    return False


@dataclass(frozen=True, slots=True)
class Scene:
    """All that a decision is about. `iteration` is the run of a job, 0 for others. `previous`: there is an earlier
    version to go back to; `changed`: there was one. `misplaced` tells of a pod that its node, or the placement it was
    made with, is not what is asked for."""

    app: AppView
    version: str
    slots: Mapping[str, Want]
    tasks: Sequence[TaskPod]
    now: datetime
    iteration: int = 0
    previous: bool = False
    changed: bool = False
    misplaced: Callable[[TaskPod], bool] = nowhere_wrong
    # What it waits for before tasks of this version, or run, begin.
    gate: Gate = Gate()
    # How its schedule goes, where it has one.
    schedule: ScheduleRecord | None = None

    def is_current(self, pod: TaskPod) -> bool:
        """Of the present version, and of a job, of the present run; what a schedule began is not touched by another version."""
        run = str(self.iteration) if self.iteration else ""
        return iteration_of(pod) == run and (self.schedule is not None or version_of(pod) == self.version)

    @property
    def may_begin(self) -> bool:
        """New tasks may be started at all."""
        if not self.gate.open:
            return False
        return self.schedule is None or (self.iteration > 0 and self.schedule.version == self.version)


@dataclass(frozen=True, slots=True)
class NewTask:
    """A pod to start in a slot."""

    slot: str
    attempt: Attempt = Attempt()


@dataclass(frozen=True, slots=True)
class Plan:
    """Pods to start; pods to stop that history may keep; pods to delete; ended pods to forget; how the update goes now;
    whether the App is to become what it was before; and seconds until it is worth looking again."""

    create: tuple[NewTask, ...] = ()
    stop: tuple[TaskPod, ...] = ()
    delete: tuple[TaskPod, ...] = ()
    forget: tuple[TaskPod, ...] = ()
    record: UpdateRecord | None = None
    roll_back: bool = False
    look_again: float | None = None

    def acts(self) -> bool:
        return bool(self.create or self.stop or self.delete or self.forget or self.roll_back)


@dataclass(slots=True)
class Slot:
    """The pods of one slot. `going` are those that were told to stop and are waited for; `ended` the newest first."""

    want: Want
    new: list[TaskPod] = field(default_factory=list)
    old: list[TaskPod] = field(default_factory=list)
    going: list[TaskPod] = field(default_factory=list)
    lost: list[TaskPod] = field(default_factory=list)
    ended: list[TaskPod] = field(default_factory=list)
    verdict: Verdict = Verdict(Next.START)
    failed: bool = False

    def ready(self) -> bool:
        return any(podview.is_ready(pod) for pod in self.new)

    def over(self) -> bool:
        """Nothing more is to come in it."""
        return not self.new and self.verdict.next in (Next.DONE, Next.FAILED)

    def settled(self) -> bool:
        """An update need not wait for it any longer."""
        return self.ready() or self.over() or self.failed

    def under_way(self) -> bool:
        """Between an old and a new pod."""
        return not self.settled() and bool(self.new or not self.old)

    def outdated(self) -> bool:
        return bool(self.old) and not self.new and not self.over()


def fill(scene: Scene) -> tuple[dict[str, Slot], list[TaskPod]]:
    """The slots with their pods, and the pods that belong in none."""
    slots = {name: Slot(want) for name, want in scene.slots.items()}
    strays = []
    for pod in scene.tasks:
        slot = slots.get(slot_of(pod))
        if slot is None:
            strays.append(pod)
            continue
        current = scene.is_current(pod)
        if is_over(pod):
            slot.ended.append(pod)
        elif is_active(pod):
            (slot.new if current and not scene.misplaced(pod) else slot.old).append(pod)
        elif not is_abandoned(pod) and (not current or is_marked(pod)):
            slot.going.append(pod)
        else:
            slot.lost.append(pod)
    for slot in slots.values():
        slot.ended = newest_first(slot.ended, scene.now)
        gone = newest_first([*slot.ended, *slot.going, *slot.lost], scene.now)
        mine = [pod for pod in gone if scene.is_current(pod)]
        slot.verdict = apprestarts.decide(scene.app.spec.restart, mine, scene.now, job=scene.app.is_job)
    return slots, strays


def decide(scene: Scene) -> Plan:
    """The next step towards one pod of the present version in each slot."""
    return _Step(scene).plan()


class _Step:
    """One decision being made."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._slots, strays = fill(scene)
        self._create: list[NewTask] = []
        self._stop: list[TaskPod] = []
        self._delete = [pod for pod in strays if is_active(pod) or (is_marked(pod) and not is_over(pod))]
        self._forget = [pod for pod in strays if is_over(pod)]
        self._waits: list[float] = []
        self._rules = approllout.policy(scene.app, scene.version)

    def plan(self) -> Plan:
        scene = self._scene
        changed = scene.changed or any(
            version_of(pod) != scene.version for slot in self._slots.values() for pod in slot.old
        )
        record = None if scene.app.is_job else approllout.begun(scene.app, scene.version, scene.now, changed=changed)
        self._judge(record)
        outcome = approllout.decide(scene.app, record, self._findings(record), scene.now, previous=scene.previous)
        if outcome.wait is not None:
            self._waits.append(outcome.wait)
        self._tend()
        self._fill()
        if outcome.moving and scene.may_begin and not scene.app.is_job:
            self._renew()
        self._prune(outcome.record)
        return Plan(
            tuple(self._create),
            tuple(self._stop),
            tuple(self._delete),
            tuple(self._forget),
            outcome.record,
            outcome.roll_back,
            min(self._waits, default=None),
        )

    def _judge(self, record: UpdateRecord | None) -> None:
        """Find the slots in which a pod of the version failed while it was watched."""
        if record is None or record.completed_at is not None:
            return
        for slot in self._slots.values():
            slot.failed = any(self._is_evidence(pod, record) for pod in (*slot.new, *slot.ended))
            for pod in slot.new:
                if not slot.failed and is_stuck(pod):
                    since = created_at(pod) or self._scene.now
                    left = self._rules.monitor_seconds - (self._scene.now - since).total_seconds()
                    self._waits.append(max(left, 0.0))

    def _is_evidence(self, pod: TaskPod, record: UpdateRecord | None) -> bool:
        if record is None or record.completed_at is not None or version_of(pod) != record.version:
            return False
        restart = self._scene.app.spec.restart
        again = restart is None or restart.condition == "any"
        failed = failed_at(pod, self._rules.monitor_seconds, self._scene.now, ends_are_failures=again)
        if failed is None or (created_at(pod) or failed) < instant(record.started_at):
            return False
        resumed = approllout.resumed_at(self._scene.app, record)
        return resumed is None or (failed > resumed and (created_at(pod) or failed) >= resumed.replace(microsecond=0))

    def _findings(self, record: UpdateRecord | None) -> Findings:
        slots = [slot for slot in self._slots.values() if slot.want is Want.RUN]
        if record is None:
            return Findings(len(slots))
        settled = all(slot.settled() and not slot.outdated() for slot in slots)
        since = [since for slot in slots for pod in slot.new if (since := podview.ready_since(pod)) is not None]
        begun = instant(record.started_at)
        latest = max([each for each in since if each >= begun], default=None)
        watched = (
            timedelta(0)
            if latest is None
            else latest + timedelta(seconds=self._rules.monitor_seconds) - self._scene.now
        )
        failed = sum(slot.failed for slot in slots)
        return Findings(len(slots), failed, settled, watched.total_seconds())

    def _tend(self) -> None:
        """End what is one too many, and what is over and done with."""
        for slot in self._slots.values():
            self._delete += _surplus(slot.new) + _surplus(slot.old)
            finishing = slot.ready() or (not slot.new and slot.verdict.next is Next.DONE) or self._scene.app.is_job
            if finishing:
                self._stop += best(slot.old)
            # Whoever crashed between the mark and the deletion.
            self._stop += [pod for pod in slot.going if pod.metadata.deletion_timestamp is None]

    def _fill(self) -> None:
        """Start a pod in each slot that has none."""
        if not self._scene.may_begin:
            return
        job = self._scene.app.spec.mode.replicated_job
        busy = sum(bool(slot.new or slot.old or slot.going) for slot in self._slots.values())
        room = None if job is None else max(0, job.max_concurrent - busy)
        for name, slot in self._slots.items():
            if slot.new or slot.old or slot.going or slot.want is not Want.RUN:
                continue
            if slot.verdict.next is Next.WAIT:
                self._waits.append(slot.verdict.wait)
            elif slot.verdict.next is Next.START and (room is None or room > 0) and self._has_room():
                self._create.append(NewTask(name, slot.verdict.attempt))
                room = None if room is None else room - 1

    def _active(self) -> int:
        gone = {pod.metadata.uid for pod in (*self._delete, *self._stop)}
        here = sum(pod.metadata.uid not in gone for slot in self._slots.values() for pod in (*slot.new, *slot.old))
        return here + len(self._create)

    def _has_room(self) -> bool:
        _, most = limits(self._wanted(), self._rules)
        return most is None or self._active() < most

    def _wanted(self) -> int:
        return sum(slot.want is Want.RUN or bool(slot.new or slot.old) for slot in self._slots.values())

    def _renew(self) -> None:
        """Begin with as many outdated slots as the limits allow, those that do not work first."""
        outdated = [name for name, slot in self._slots.items() if slot.outdated() and slot.want is Want.RUN]
        if not outdated:
            return
        wait = self._pause()
        if wait is not None:
            self._waits.append(wait)
            return
        under_way = sum(slot.want is Want.RUN and slot.under_way() for slot in self._slots.values())
        parallel, first = self._rules.parallelism, self._rules.start_first
        room = len(outdated) if parallel == 0 else max(0, parallel - under_way)
        least, most = limits(self._wanted(), self._rules)
        healthy = sum(any(map(podview.is_ready, (*slot.new, *slot.old))) for slot in self._slots.values())
        for name in sorted(outdated, key=lambda name: any(map(podview.is_ready, self._slots[name].old))):
            if room <= 0:
                break
            slot = self._slots[name]
            old = best(slot.old)
            working = any(map(podview.is_ready, old))
            may_stop = (not first or most is not None) and (not working or healthy > least)
            may_start = (first or most is not None) and (most is None or self._active() < most)
            if may_stop and not (first and may_start):
                self._stop += old
                healthy -= working
                room -= 1
            elif may_start and slot.verdict.next is Next.START:
                self._create.append(NewTask(name, slot.verdict.attempt))
                room -= 1
            elif may_start:
                self._waits.append(slot.verdict.wait)

    def _pause(self) -> float | None:
        """Seconds to wait after the slot that became ready last; None when the time has passed."""
        delay = self._rules.delay_seconds
        ready = [since for slot in self._slots.values() for pod in slot.new if (since := podview.ready_since(pod))]
        if not delay or not ready:
            return None
        left = delay - (self._scene.now - max(ready)).total_seconds()
        return left if left > 0 else None

    def _prune(self, record: UpdateRecord | None) -> None:
        """Forget the oldest of what ended, but for what something still follows from."""
        limit = self._scene.app.spec.task_history_limit
        limit = app_kind.HISTORY if limit is None else limit
        for slot in self._slots.values():
            kept = {pod.metadata.uid for pod in slot.ended[:limit]}
            kept |= {pod.metadata.uid for pod in self._telling(slot, record)}
            self._forget += [pod for pod in slot.ended if pod.metadata.uid not in kept]

    def _telling(self, slot: Slot, record: UpdateRecord | None) -> Iterable[TaskPod]:
        """Of one slot's ended pods, those that say whether there is a next one, and that the update fails."""
        scene = self._scene
        mine = [pod for pod in slot.ended if scene.is_current(pod)]
        if not slot.new:
            yield from mine[:1]
        if scene.app.is_job or scene.app.spec.restart is None:
            yield from [pod for pod in mine if ended_well(pod)][:1]
        yield from [pod for pod in mine if self._is_evidence(pod, record)][:1]


def limits(wanted: int, rules: Update) -> tuple[int, int | None]:
    """How many pods are ready at the least and how many there are at the most, of so many wanted.

    Where rounding would leave no room at all, one may be missing (as upstream's Deployments have it).
    """
    least = math.ceil(wanted * rules.minimum_healthy_percent / 100)
    if rules.maximum_percent is None:
        return least if rules.start_first else max(0, min(least, wanted - 1)), None
    most = math.floor(wanted * rules.maximum_percent / 100)
    if wanted and least >= wanted and most <= wanted:
        least = wanted - 1
    return least, most


def _surplus(pods: Sequence[TaskPod]) -> list[TaskPod]:
    kept = best(pods)
    return [pod for pod in pods if pod not in kept]
