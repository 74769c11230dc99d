"""What an App waits for: other Apps that have to be started, healthy or completed before its tasks begin. Pure.

The conditions are Compose's. They hold back a version (of a job, a run) until they are met once, and no longer: what has begun goes
on, and is replaced when it is lost, whatever becomes of the others meanwhile. A rollback waits for nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from motet.controllers import approllout, podview
from motet.controllers.apptasks import ended_well, is_active, iteration_of, slot_of, version_of
from motet.controllers.appview import AppView, Dependency, TaskPod
from motet.kinds import appstarts

# An App of the namespace and its pods, by name; None when it is not there.
Other = Callable[[str], tuple[AppView, Sequence[TaskPod]] | None]


@dataclass(frozen=True, slots=True)
class Standing:
    """How far an App is, by slots of its present version: which have a pod that runs, is ready, has ended well."""

    wanted: int
    running: frozenset[str]
    ready: frozenset[str]
    completed: frozenset[str]

    def meets(self, condition: str) -> bool:
        enough = {
            appstarts.STARTED: self.running | self.completed,
            appstarts.HEALTHY: self.ready,
            appstarts.COMPLETED: self.completed,
        }[condition]
        return len(enough) >= self.wanted


def standing(app: AppView, pods: Sequence[TaskPod]) -> Standing | None:
    """None as long as the status is about an earlier specification."""
    if app.status.observed_generation < app.metadata.generation:
        return None
    run = str(app.status.job.iteration) if app.status.job is not None else ""
    mine = [pod for pod in pods if version_of(pod) == app.status.version and iteration_of(pod) == run]
    active = [pod for pod in mine if is_active(pod)]
    # A node that is still to come has no slot yet.
    wanted = max(1, app.status.desired_replicas) if app.everywhere or app.is_job else app.status.desired_replicas
    return Standing(
        wanted,
        frozenset(slot_of(pod) for pod in active if pod.status.phase == "Running"),
        frozenset(slot_of(pod) for pod in active if podview.is_ready(pod)),
        frozenset(slot_of(pod) for pod in mine if ended_well(pod)),
    )


@dataclass(frozen=True, slots=True)
class Gate:
    """`met_for` is the version (of a job, with its run) whose dependencies have been met; `waits` for what it waits if not."""

    met_for: str = ""
    waits: tuple[str, ...] = ()

    @property
    def open(self) -> bool:
        return not self.waits


def decide(app: AppView, version: str, iteration: int, other: Other) -> Gate:
    """Whether tasks of this version, or run, may begin."""
    subject = f"{version}/{iteration}" if iteration else version
    known = app.status.dependencies_met_for
    if not app.spec.depends_on:
        return Gate()
    if known == subject or approllout.is_rollback(app, version):
        return Gate(subject)
    waits = tuple(word for each in app.spec.depends_on if (word := _lacks(each, other)))
    if waits and (circle := _circle(app, other)):
        waits = (*waits, f"they wait for each other: {' -> '.join(circle)}")
    return Gate(known if waits else subject, waits)


def _lacks(dependency: Dependency, other: Other) -> str:
    """What is missing, in words; empty when nothing is."""
    found = other(dependency.name)
    if found is None:
        return f"there is no App {dependency.name} yet"
    reached = standing(*found)
    if reached is not None and reached.meets(dependency.condition):
        return ""
    return f"{dependency.name} is not {dependency.condition} yet"


def _circle(app: AppView, other: Other) -> list[str]:
    """The way from an App over those that it waits for back to itself; empty when there is none."""
    start, seen = app.metadata.name, set[str]()
    ways = [[start, each.name] for each in app.spec.depends_on or ()]
    while ways:
        way = ways.pop()
        if way[-1] == start:
            return way
        found = None if way[-1] in seen else other(way[-1])
        seen.add(way[-1])
        if found is not None:
            ways += [[*way, each.name] for each in found[0].spec.depends_on or ()]
    return []


class Dependants:
    """Who waits for whom, so that one App's change is looked up and not searched for."""

    def __init__(self) -> None:
        self._names: dict[tuple[str, str], frozenset[str]] = {}
        self._dependants: dict[tuple[str, str], set[str]] = {}

    def set(self, namespace: str, name: str, depends_on: Sequence[str]) -> None:
        """Let an App wait for these, and no others; for none when it has gone."""
        before, after = self._names.pop((namespace, name), frozenset()), frozenset(depends_on)
        for each in before - after:
            left = self._dependants[namespace, each]
            left.discard(name)
            if not left:
                del self._dependants[namespace, each]
        for each in after - before:
            self._dependants.setdefault((namespace, each), set()).add(name)
        if after:
            self._names[namespace, name] = after

    def of(self, namespace: str, name: str) -> list[str]:
        return sorted(self._dependants.get((namespace, name), ()))
