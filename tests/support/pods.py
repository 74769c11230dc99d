"""Pods and what the runtime has of them, built with good defaults; and a world in which steps take effect."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from motet.pods import model
from motet.pods.model import (
    BACKOFF,
    IMAGE,
    NANOSECONDS,
    Cleanup,
    CreateContainer,
    CreateSandbox,
    EnsureImage,
    FinishDeletion,
    Observed,
    Prepare,
    Records,
    RemoveContainer,
    RemoveSandbox,
    StartContainer,
    Step,
    StopContainers,
    StopSandbox,
)
from motet.pods.spec import Pod
from motet.runtime.interface import Container, ContainerState, Sandbox

UID = "0b9f7a52-0000-4000-8000-000000000001"
START = 1_767_225_600.0  # 2026-01-01T00:00:00Z


def body(
    *containers: dict[str, Any], name: str = "web", uid: str = UID, meta: dict[str, Any] | None = None, **spec: Any
) -> dict[str, Any]:
    """A Pod document on node n1; one container `app` unless given."""
    made = list(containers) or [{"name": "app", "image": "web:1"}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "uid": uid, **(meta or {})},
        "spec": {"nodeName": "n1", "containers": made, **spec},
    }


def pod(*containers: dict[str, Any], status: dict[str, Any] | None = None, **spec: Any) -> Pod:
    document = body(*containers, **spec)
    if status:
        document["status"] = status
    return msgspec.convert(document, Pod)


def app(name: str = "app", **fields: Any) -> dict[str, Any]:
    return {"name": name, "image": "web:1", **fields}


def sandbox(attempt: int = 0, *, ready: bool = True, ips: tuple[str, ...] = ("10.42.0.5",)) -> Sandbox:
    return Sandbox(
        f"box{attempt}", "web", "default", UID, attempt, ready, int(START * NANOSECONDS), ips if ready else ()
    )


def container(
    name: str = "app",
    state: ContainerState = ContainerState.RUNNING,
    *,
    attempt: int = 0,
    code: int = 0,
    started: float = START,
    ended: float = START + 1,
    box: str = "box0",
    backoff: int = 0,
    made_of: str = "web:1",
    **fields: Any,
) -> Container:
    exited = state is ContainerState.EXITED
    reason = fields.pop("reason", ("Completed" if code == 0 else "Error") if exited else "")
    return Container(
        id=f"{name}-{attempt}",
        sandbox_id=box,
        name=name,
        attempt=attempt,
        state=state,
        created_at=int(started * NANOSECONDS),
        started_at=0 if state is ContainerState.CREATED else int(started * NANOSECONDS),
        finished_at=int(ended * NANOSECONDS) if exited else 0,
        exit_code=code,
        reason=reason,
        image="web:1",
        image_ref="sha256:abc",
        annotations={BACKOFF: str(backoff), IMAGE: made_of},
        **fields,
    )


def exited(name: str = "app", code: int = 0, **fields: Any) -> Container:
    return container(name, ContainerState.EXITED, code=code, **fields)


@dataclass
class World:
    """A runtime and an agent's memory in which each step does what it says."""

    now: float = START
    observed: Observed = Observed()
    records: Records = Records()
    deleted: bool = False
    disk: bool = False
    steps: list[Step] = field(default_factory=list)

    def forget(self) -> None:
        """The agent dies and another takes over."""
        self.records = Records()

    def apply(self, step: Step) -> None:
        self.steps.append(step)
        match step:
            case Prepare():
                self.disk = True
                self.records = replace(self.records, prepared=True, cleaned=False, removed=False)
            case CreateSandbox(attempt=attempt):
                assert all(box.attempt != attempt for box in self.observed.sandboxes)
                self._set(sandboxes=(*self.observed.sandboxes, sandbox(attempt)))
            case EnsureImage(container=name, attempt=attempt):
                self.records = replace(self.records, images={**self.records.images, name: (attempt, "web:1")})
            case CreateContainer():
                made = container(
                    step.container,
                    ContainerState.CREATED,
                    attempt=step.attempt,
                    started=self.now,
                    box=step.sandbox_id,
                    backoff=step.backoff,
                )
                assert all(other.id != made.id for other in self.observed.containers), "one attempt is made once"
                self._set(containers=(*self.observed.containers, made))
            case StartContainer(container_id=key):
                self._change(key, state=ContainerState.RUNNING, started_at=int(self.now * NANOSECONDS))
            case StopContainers(kills=kills):
                # As containerd does: stopping what was never started changes nothing.
                running = {one.id for one in self.observed.running}
                assert running & {kill.container_id for kill in kills}
                for kill in kills:
                    if kill.container_id in running:
                        self.end(kill.container_id, 137)
            case RemoveContainer(container_id=key):
                self._set(containers=tuple(one for one in self.observed.containers if one.id != key))
            case StopSandbox(sandbox_id=key):
                for one in self.observed.running:
                    if one.sandbox_id == key:
                        self.end(one.id, 137)
                boxes = tuple(
                    replace(box, ready=False, ips=()) if box.id == key else box for box in self.observed.sandboxes
                )
                self._set(sandboxes=boxes)
                self.records = replace(self.records, stopped=self.records.stopped | {key})
            case RemoveSandbox(sandbox_id=key):
                self._set(
                    sandboxes=tuple(box for box in self.observed.sandboxes if box.id != key),
                    containers=tuple(one for one in self.observed.containers if one.sandbox_id != key),
                )
            case Cleanup(everything=everything):
                self.disk = self.disk and not everything
                self.records = replace(self.records, cleaned=True, prepared=False, removed=everything)
            case FinishDeletion():
                self.deleted = True
            case _:
                raise AssertionError(step)

    def end(self, container_id: str, code: int) -> None:
        reason = "Completed" if code == 0 else "Error"
        self._change(
            container_id,
            state=ContainerState.EXITED,
            exit_code=code,
            reason=reason,
            finished_at=int(self.now * NANOSECONDS),
        )

    def lose_sandbox(self) -> None:
        """The sandbox and all in it die."""
        for one in self.observed.running:
            self.end(one.id, 255)
        self._set(sandboxes=tuple(replace(box, ready=False, ips=()) for box in self.observed.sandboxes))

    def _set(self, **parts: Any) -> None:
        self.observed = replace(self.observed, **parts)

    def _change(self, container_id: str, **fields: Any) -> None:
        changed = tuple(replace(one, **fields) if one.id == container_id else one for one in self.observed.containers)
        self._set(containers=changed)


__all__ = ["START", "UID", "World", "app", "body", "container", "exited", "model", "pod", "sandbox"]
