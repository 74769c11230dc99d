"""Pods as far as several resources need them: tasks, containers, counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from motet.base.selectors import FieldSelector, FieldTerm
from motet.dialects.docker.call import Call
from motet.kinds import pod as pod_kind
from motet.store.document import Document, Meta


class Running(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    started_at: str = ""


class Waiting(msgspec.Struct, gc=False, frozen=True):
    reason: str = ""
    message: str = ""


class Terminated(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    exit_code: int = 0
    reason: str = ""
    message: str = ""
    started_at: str | None = None
    finished_at: str | None = None


class State(msgspec.Struct, gc=False, frozen=True):
    running: Running | None = None
    waiting: Waiting | None = None
    terminated: Terminated | None = None


class ContainerStatus(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    name: str = ""
    ready: bool = False
    restart_count: int = 0
    image: str = ""
    image_id: str = msgspec.field(default="", name="imageID")
    container_id: str = msgspec.field(default="", name="containerID")
    started: bool | None = None
    state: State = State()
    last_state: State = State()

    @property
    def id(self) -> str:
        """The runtime's 64 digits."""
        return self.container_id.rpartition("/")[2]


class Container(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    name: str = ""
    image: str = ""
    command: tuple[str, ...] | None = None
    args: tuple[str, ...] | None = None
    tty: bool = False
    stdin: bool = False
    readiness_probe: dict[str, Any] | None = None
    ports: tuple[dict[str, Any], ...] | None = None


class Spec(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    node_name: str = ""
    restart_policy: str = "Always"
    containers: tuple[Container, ...] = ()


class PodCondition(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    type: str = ""
    status: str = ""
    reason: str = ""
    message: str = ""
    last_transition_time: str | None = None


class Status(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    phase: str = ""
    reason: str = ""
    message: str = ""
    pod_ip: str = msgspec.field(default="", name="podIP")
    start_time: str | None = None
    conditions: tuple[PodCondition, ...] | None = None
    container_statuses: tuple[ContainerStatus, ...] | None = None


class PodView(msgspec.Struct, gc=False, frozen=True):
    metadata: Meta
    spec: Spec = Spec()
    status: Status = Status()

    @property
    def main(self) -> ContainerStatus | None:
        """The status of the first container, which is the only one that Docker makes."""
        first = self.spec.containers[0].name if self.spec.containers else ""
        return next((each for each in self.status.container_statuses or () if each.name == first), None)

    def condition(self, type: str) -> PodCondition | None:
        return next((each for each in self.status.conditions or () if each.type == type), None)


async def on(call: Call, node: str) -> Sequence[Document]:
    """The pods of Docker's namespace on a node."""
    selector = FieldSelector((FieldTerm("spec.nodeName", node),))
    return await call.client.list(pod_kind.KIND, call.engine.namespace, fields=selector)


async def everywhere_on(call: Call, node: str) -> Sequence[Document]:
    """The pods of every namespace on a node."""
    return await call.client.list(pod_kind.KIND, fields=FieldSelector((FieldTerm("spec.nodeName", node),)))


async def states(call: Call, node: str) -> Mapping[str, int]:
    """How many containers of a node are running, created or exited."""
    if not node:
        return {}
    return Counter(
        state_word(status)
        for each in await on(call, node)
        for status in each.view(PodView).status.container_statuses or ()
    )


def state_word(status: ContainerStatus) -> str:
    """Docker's word for how a container is."""
    if status.state.running is not None:
        return "running"
    return "exited" if status.state.terminated is not None else "created"
