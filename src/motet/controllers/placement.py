"""What an App does next: which pods to start and to stop, as a function of what there is.

An App is a set of *slots*, each of which wants one pod: numbers 1 to n when replicated, node names when global. A
slot whose pods are all of an older template is renewed: `stop-first` ends the old pod and starts the new one when it is gone,
`start-first` the other way round. At most `parallelism` slots (0: all) are between old and new at a time, and `delay_seconds` pass
after a renewed slot became ready before the next begins. A slot that lost its pod gets a new one at once; one whose pod ended for
good, as its restart policy has it, is done until the template changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from motet.controllers import podview
from motet.controllers.podview import PodView
from motet.kinds.tasks import NODE_ANNOTATION, SLOT_LABEL, TEMPLATE_LABEL

# What node health writes as the reason why a pod is not ready.
NODE_NOT_READY = "NodeNotReady"


class Want(StrEnum):
    """What a slot is allowed: `keep` lets a pod that is there stay but starts none (a cordoned node)."""

    RUN = "run"
    KEEP = "keep"


@dataclass(frozen=True, slots=True)
class Update:
    """How to move to a new template."""

    parallelism: int = 1
    delay_seconds: float = 0.0
    start_first: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """Slots to start a pod in, pods to stop, and seconds until it is worth looking again."""

    create: tuple[str, ...] = ()
    delete: tuple[PodView, ...] = ()
    look_again: float | None = None


@dataclass(slots=True)
class _Slot:
    """The pods of one slot. `going` are those of an older template that were told to stop; `done`: the work has been done."""

    new: list[PodView] = field(default_factory=list)
    old: list[PodView] = field(default_factory=list)
    going: list[PodView] = field(default_factory=list)
    done: bool = False

    def ready(self) -> bool:
        return any(podview.is_ready(pod) for pod in self.new)

    def under_way(self) -> bool:
        """Without a working pod of the current template, and not untouched either."""
        return not self.ready() and not self.done and bool(self.new or not self.old)


def slot_of(pod: PodView) -> str:
    """The slot a pod fills; empty when it says none."""
    meta = pod.metadata
    return (meta.annotations or {}).get(NODE_ANNOTATION) or (meta.labels or {}).get(SLOT_LABEL, "")


def decide(slots: Mapping[str, Want], pods: Iterable[PodView], template: str, update: Update, now: datetime) -> Plan:
    """The next step towards one pod of `template` (a hash) in each of `slots`, given the App's `pods`."""
    filled = {slot: _Slot() for slot in slots}
    delete: list[PodView] = []
    for pod in pods:
        slot = filled.get(slot_of(pod))
        current = (pod.metadata.labels or {}).get(TEMPLATE_LABEL) == template
        if podview.is_active(pod):
            if slot is None:
                delete.append(pod)
            else:
                (slot.new if current else slot.old).append(pod)
        elif slot is not None and current and podview.has_done_its_work(pod):
            slot.done = True
        elif slot is not None and not current and not podview.is_finished(pod) and not _abandoned(pod):
            slot.going.append(pod)
    create: list[str] = []
    outdated: list[str] = []
    for name, slot in filled.items():
        delete += _surplus(slot.new) + _surplus(slot.old)
        if slot.new:
            if slot.ready():
                delete += slot.old[:1] and _best(slot.old)
        elif slot.done:
            delete += _best(slot.old)
        elif slot.old:
            outdated.append(name)
        elif slots[name] is Want.RUN and not slot.going:
            create.append(name)
    wait = _pause(filled.values(), update, now)
    if wait is None:
        started, stopped = _renew(filled, outdated, slots, update)
        create += started
        delete += stopped
    return Plan(tuple(create), tuple(delete), wait if outdated else None)


def _abandoned(pod: PodView) -> bool:
    """Its node is silent, so nobody can say when it ends: waiting for that could take for ever."""
    condition = podview.ready_condition(pod)
    return condition is not None and condition.reason == NODE_NOT_READY


def _best(pods: Sequence[PodView]) -> list[PodView]:
    """The one to keep of several: ready before not, old before young."""
    return sorted(
        pods, key=lambda pod: (not podview.is_ready(pod), pod.metadata.creation_timestamp or "", pod.metadata.uid)
    )[:1]


def _surplus(pods: Sequence[PodView]) -> list[PodView]:
    kept = _best(pods)
    return [pod for pod in pods if pod not in kept]


def _pause(slots: Iterable[_Slot], update: Update, now: datetime) -> float | None:
    """Seconds to wait after the slot that became ready last; None when the time has passed."""
    if not update.delay_seconds:
        return None
    latest = max((since for slot in slots for pod in slot.new if (since := podview.ready_since(pod))), default=None)
    if latest is None:
        return None
    left = update.delay_seconds - (now - latest).total_seconds()
    return left if left > 0 else None


def _renew(
    filled: Mapping[str, _Slot], outdated: Sequence[str], slots: Mapping[str, Want], update: Update
) -> tuple[list[str], list[PodView]]:
    """Begin with as many outdated slots as the limit allows, those that do not work first."""
    under_way = sum(slots[name] is Want.RUN and slot.under_way() for name, slot in filled.items())
    room = len(outdated) if update.parallelism == 0 else max(0, update.parallelism - under_way)
    broken_first = sorted(outdated, key=lambda name: any(podview.is_ready(pod) for pod in filled[name].old))
    create: list[str] = []
    delete: list[PodView] = []
    for name in broken_first:
        if room <= 0:
            break
        if slots[name] is not Want.RUN:
            continue  # nothing new may start there, so the old one stays
        room -= 1
        if update.start_first:
            create.append(name)
        else:
            delete += _best(filled[name].old)
    return create, delete
