"""How a service is doing, judged from its App and its pods: pure.

A pod counts only if it is of the App's present template, so that an old version's troubles are not the new one's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec

from motet.base.timestamps import parse_time
from motet.controllers.appversion import version_of
from motet.kinds.tasks import STUCK, TEMPLATE_LABEL
from motet.store.document import Document, Meta

# Crashes are forgiven this often: a program may be waiting for another one in its own way.
FORGIVEN_RESTARTS = 2
# Without a health check, running for this long counts as working; after a crash it takes longer to be believed.
STEADY_SECONDS = 3.0
STEADY_AFTER_CRASH = 10.0
# A node may still be coming, or a volume be made.
UNSCHEDULABLE_GRACE = 20.0


class Phase(StrEnum):
    """From the point of view of somebody who waits."""

    WAITING = "waiting"
    STARTING = "starting"
    READY = "ready"
    COMPLETED = "completed"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Failure:
    """Why waiting any longer is pointless."""

    reason: str
    message: str
    pod: str = ""
    container: str = ""
    restarts: int = 0


@dataclass(frozen=True, slots=True)
class ServiceState:
    """One service."""

    name: str
    phase: Phase
    detail: str = ""
    ready: int = 0
    wanted: int = 0
    failure: Failure | None = None

    @property
    def settled(self) -> bool:
        """There is nothing left to wait for."""
        return self.phase in (Phase.READY, Phase.COMPLETED)


class _Struct(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    pass


class _Terminated(_Struct, frozen=True):
    exit_code: int = 0
    reason: str = ""
    message: str = ""


class _Running(_Struct, frozen=True):
    started_at: str | None = None


class _Waiting(_Struct, frozen=True):
    reason: str = ""
    message: str = ""


class _State(_Struct, frozen=True):
    waiting: _Waiting | None = None
    running: _Running | None = None
    terminated: _Terminated | None = None


class ContainerStatus(_Struct, frozen=True):
    name: str
    ready: bool = False
    restart_count: int = 0
    state: _State = _State()
    last_state: _State = _State()


class _Condition(_Struct, frozen=True):
    type: str
    status: str = "Unknown"
    reason: str = ""
    message: str = ""
    last_transition_time: str | None = None


class _PodSpec(_Struct, frozen=True):
    restart_policy: str = "Always"
    node_name: str = ""


class _PodStatus(_Struct, frozen=True):
    phase: str = "Pending"
    reason: str = ""
    message: str = ""
    pod_ip: str = msgspec.field(default="", name="podIP")
    conditions: tuple[_Condition, ...] | None = None
    init_container_statuses: tuple[ContainerStatus, ...] | None = None
    container_statuses: tuple[ContainerStatus, ...] | None = None


class PodView(_Struct, frozen=True):
    """What is read of a pod."""

    metadata: Meta
    spec: _PodSpec = _PodSpec()
    status: _PodStatus = _PodStatus()

    @property
    def ready(self) -> bool:
        return any(item.type == "Ready" and item.status == "True" for item in self.status.conditions or ())

    def steady(self, now: datetime, *, checked: bool) -> bool:
        """Ready, and not just for the moment between two crashes. `checked`: a health check says so."""
        if not self.ready:
            return False
        needed = 0.0 if checked else STEADY_AFTER_CRASH if self.restarts else STEADY_SECONDS
        begun = [item.state.running.started_at for item in self.status.container_statuses or () if item.state.running]
        return all(at is None or (now - parse_time(at)).total_seconds() >= needed for at in begun)

    @property
    def restarts(self) -> int:
        return max((item.restart_count for item in self.status.container_statuses or ()), default=0)

    @property
    def statuses(self) -> tuple[ContainerStatus, ...]:
        return (*(self.status.init_container_statuses or ()), *(self.status.container_statuses or ()))


class _Replicated(_Struct, frozen=True):
    replicas: int = 1


class _Job(_Struct, frozen=True):
    total_completions: int = 1


class _Mode(_Struct, frozen=True):
    replicated: _Replicated | None = None
    replicated_job: _Job | None = None
    global_job: dict[str, Any] | None = None


class _Restart(_Struct, frozen=True):
    condition: str = "any"
    max_attempts: int = 0


class _Schedule(_Struct, frozen=True):
    next_run_time: str = ""


class _AppSpec(_Struct, frozen=True):
    mode: _Mode = _Mode()
    schedule: dict[str, Any] | None = None
    restart: _Restart | None = None
    template: dict[str, Any] = {}


class _Update(_Struct, frozen=True):
    state: str = ""
    message: str = ""


class _AppStatus(_Struct, frozen=True):
    observed_generation: int = 0
    replicas: int = 0
    updated_replicas: int = 0
    ready_replicas: int = 0
    conditions: tuple[_Condition, ...] | None = None
    update: _Update | None = None
    schedule: _Schedule | None = None


class AppView(_Struct, frozen=True):
    """What is read of an App."""

    metadata: Meta
    spec: _AppSpec = _AppSpec()
    status: _AppStatus = _AppStatus()

    @property
    def everywhere(self) -> bool:
        return self.spec.mode.replicated is None and not self.is_job

    @property
    def is_job(self) -> bool:
        return self.spec.mode.replicated_job is not None or self.spec.mode.global_job is not None

    @property
    def wanted(self) -> int:
        if self.spec.mode.replicated is not None:
            return self.spec.mode.replicated.replicas
        job = self.spec.mode.replicated_job
        return self.status.replicas if job is None else job.total_completions

    def says(self, condition: str) -> _Condition | None:
        """A condition that holds of the App as it is now; None when it does not, or nobody has looked yet."""
        if self.status.observed_generation < self.metadata.generation:
            return None
        found = (item for item in self.status.conditions or () if item.type == condition and item.status == "True")
        return next(found, None)

    @property
    def given_up(self) -> Failure | None:
        """The controller does not go on by itself."""
        if self.is_job and (failed := self.says("Failed")) is not None:
            return Failure(failed.reason, failed.message)
        update = self.status.update
        if update is None or self.status.observed_generation < self.metadata.generation:
            return None
        if update.state in ("paused", "rollback_paused"):
            return Failure("UpdatePaused", update.message or "the update does not go on")
        return None

    @property
    def checked(self) -> bool:
        """A health check says when it works."""
        containers = (self.spec.template.get("spec") or {}).get("containers") or ()
        return any("readinessProbe" in container for container in containers)

    @property
    def updating(self) -> bool:
        """The controller has not yet brought everything to the present template."""
        if self.status.observed_generation < self.metadata.generation:
            return True
        return not any(item.type == "Progressing" and item.status == "False" for item in self.status.conditions or ())


def _held(view: AppView) -> str:
    """What the cluster waits for before it begins; empty when nothing holds it back."""
    unmet = (each for each in view.status.conditions or () if each.type == "DependenciesMet")
    return next((each.message for each in unmet if each.status == "False"), "")


def judge(app: Document, pods: Iterable[Document], now: datetime) -> ServiceState:
    """The state of the service whose App and pods (of any template) are given."""
    view = app.view(AppView)
    version = version_of(app.decode()["spec"])
    current = [
        pod.view(PodView)
        for pod in pods
        if (pod.meta.labels or {}).get(TEMPLATE_LABEL) == version and pod.meta.deletion_timestamp is None
    ]
    ready = sum(pod.ready for pod in current)
    ended = [pod for pod in current if pod.status.phase == "Succeeded"]
    wanted = max(view.wanted, 1) if view.everywhere else view.wanted
    completed = view.says("Complete") is not None if view.is_job else bool(ended) and len(ended) >= wanted
    failure = view.given_up or _failure(view, current, ready + len(ended) >= wanted, now)

    def state(phase: Phase, detail: str) -> ServiceState:
        return ServiceState(app.name, phase, detail, ready, wanted, failure)

    if view.spec.schedule is not None:
        # Nobody waits for the hour to come.
        if view.status.schedule is None or view.status.observed_generation < view.metadata.generation:
            return ServiceState(app.name, Phase.STARTING, "waits for its schedule to be read", ready, wanted)
        told = f"runs next at {view.status.schedule.next_run_time or 'no time'}"
        return ServiceState(app.name, Phase.READY, told, ready, wanted)
    if failure is not None:
        return state(Phase.FAILED, f"{failure.reason}: {failure.message}")
    if wanted and not current and (held := _held(view)):
        return state(Phase.WAITING, f"waits: {held}")
    if completed:
        return state(Phase.COMPLETED, "has done its work")
    if not view.is_job and ready + len(ended) >= wanted and not view.updating:
        checked = view.checked
        living = [pod for pod in current if pod.status.phase not in ("Succeeded", "Failed")]
        if all(pod.steady(now, checked=checked) for pod in living):
            return state(Phase.READY, f"{ready} of {wanted} ready")
        return state(Phase.STARTING, "running; watching it for a moment")
    return state(Phase.STARTING, _detail(view, current, ready, wanted))


def undone(state: ServiceState, app: Document) -> ServiceState:
    """The state where `app` is no longer what was asked for: its update has failed, and it went back."""
    update = app.view(AppView).status.update
    why = update.message if update is not None and update.message else "the App was changed meanwhile"
    failure = Failure("RolledBack", why)
    return replace(state, phase=Phase.FAILED, detail=f"{failure.reason}: {why}", failure=failure)


def _failure(app: AppView, pods: Sequence[PodView], enough: bool, now: datetime) -> Failure | None:
    """Why there is no use in waiting for these pods. A task that failed has a successor, as often as is forgiven."""
    policy = app.spec.restart
    if policy is None:
        return next((found for pod in pods if (found := failure_of(pod, now)) is not None), None)
    failed = [pod for pod in pods if pod.status.phase == "Failed"]
    forgiven = FORGIVEN_RESTARTS if policy.max_attempts == 0 else min(FORGIVEN_RESTARTS, policy.max_attempts)
    if policy.condition == "none":
        forgiven = 0
    # Those of a job are counted by its controller.
    judged = [pod for pod in pods if pod.status.phase != "Failed"]
    if not enough and not app.is_job and len(failed) > forgiven:
        judged = failed
    return next((found for pod in judged if (found := failure_of(pod, now)) is not None), None)


def failure_of(pod: PodView, now: datetime) -> Failure | None:
    """Why there is no use in waiting for this pod; None when there is."""
    name = pod.metadata.name
    for status in pod.statuses:
        waiting = status.state.waiting
        if waiting is not None and waiting.reason in STUCK:
            return Failure(waiting.reason, waiting.message or "no details", name, status.name)
        ended = status.last_state.terminated or status.state.terminated
        if waiting is not None and waiting.reason == "CrashLoopBackOff" and status.restart_count >= FORGIVEN_RESTARTS:
            code = ended.exit_code if ended else 1
            message = f"ended {status.restart_count + 1} times, the last time with {describe_code(code, ended)}"
            return Failure("CrashLoopBackOff", message, name, status.name, status.restart_count)
    if pod.status.phase == "Failed":
        return _failed(pod)
    for condition in pod.status.conditions or ():
        if condition.type == "PodScheduled" and condition.status == "False" and condition.last_transition_time:
            waited = (now - parse_time(condition.last_transition_time)).total_seconds()
            if waited > UNSCHEDULABLE_GRACE:
                return Failure("Unschedulable", condition.message or "no node takes the pod", name)
    return None


def _failed(pod: PodView) -> Failure | None:
    """A pod that will not run again. One that a node lost or evicted is replaced, so that is not the end."""
    for status in pod.statuses:
        ended = status.state.terminated
        if ended is not None and ended.exit_code != 0:
            message = f"ended with {describe_code(ended.exit_code, ended)}"
            return Failure(ended.reason or "Error", message, pod.metadata.name, status.name)
    if pod.spec.restart_policy == "Always":
        return None
    return Failure(pod.status.reason or "Failed", pod.status.message or "the pod failed", pod.metadata.name)


def describe_code(code: int, ended: _Terminated | None) -> str:
    if ended is not None and ended.reason == "OOMKilled":
        return "out of memory (OOMKilled)"
    return f"exit code {code}"


def pod_word(pod: PodView) -> str:
    """The state of a pod in a word: what `ps -a` shows."""
    if pod.metadata.deletion_timestamp is not None:
        return "ending"
    for status in pod.statuses:
        if status.state.waiting is not None and status.state.waiting.reason not in ("", "PodInitializing"):
            return "starting" if status.state.waiting.reason == "ContainerCreating" else status.state.waiting.reason
    words = {"Running": "running" if pod.ready else "not ready", "Succeeded": "completed", "Failed": "failed"}
    return pod.status.reason or words.get(pod.status.phase, "starting" if pod.spec.node_name else "waiting")


def _detail(app: AppView, pods: Sequence[PodView], ready: int, wanted: int) -> str:
    if not pods:
        return "its old pods make room" if app.status.replicas else "waiting for its pods"
    slowest = min(pods, key=lambda pod: (pod.ready, pod.status.phase == "Running", bool(pod.spec.node_name)))
    said = _pod_detail(slowest)
    return said if wanted == 1 else f"{ready} of {wanted} ready; {said}"


def _pod_detail(pod: PodView) -> str:
    for condition in pod.status.conditions or ():
        if condition.type == "PodScheduled" and condition.status == "False":
            return f"no node takes it yet: {condition.message}"
    if not pod.spec.node_name:
        return "waiting for a node"
    for status in pod.statuses:
        waiting, ended = status.state.waiting, status.last_state.terminated or status.state.terminated
        if waiting is not None and waiting.reason == "CrashLoopBackOff":
            return f"starts again after {describe_code(ended.exit_code if ended else 1, ended)}"
    if pod.status.phase == "Running":
        return "running; watching it for a moment" if pod.ready else "running, not ready yet"
    return "its container is being made"
