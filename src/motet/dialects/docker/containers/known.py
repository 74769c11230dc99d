"""Which containers there are, and which one is meant.

What `docker run` makes is a PodTemplate (core/v1): it holds what a run is made of, and the request itself. Each run is a Pod that
it owns, `NAME-1`, `NAME-2` ... So a container that was created and not started is a PodTemplate without a Pod, and what a run
leaves behind goes with its Pod when the next one begins. Containers of all other pods are shown, too: tasks of services by their
names in Swarm (`web.2.ID`), others as `POD` or, where there are several in a pod, `POD.CONTAINER`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from motet.base import selectors
from motet.dialects.docker import nodes, objects, pods, tasks
from motet.dialects.docker.call import Call
from motet.dialects.docker.errors import DockerError
from motet.dialects.docker.pods import PodView
from motet.kinds import pod as pod_kind
from motet.kinds import podtemplate as template_kind
from motet.kinds.tasks import LABEL as APP_LABEL
from motet.store.document import Document

Json = dict[str, Any]

# On the PodTemplate and on its pods: the PodTemplate's name.
LABEL = "docker.motet.dev/container"
# On the PodTemplate: the request it was made of; the node it is for; whether it goes when its run ends.
REQUEST = "docker.motet.dev/request"
NODE = "docker.motet.dev/node"
REMOVE = "docker.motet.dev/auto-remove"
# The container's name in its pod.
PART = "main"

RUNNING, EXITED, CREATED, RESTARTING, REMOVING = "running", "exited", "created", "restarting", "removing"


@dataclass(frozen=True, slots=True)
class Container:
    """`id` is 64 hexadecimal digits, for good. `pod` is the newest run, None before the first; `part` its name in there."""

    id: str
    name: str
    image: str
    created: str
    labels: Mapping[str, str] = field(default_factory=dict)
    template: Document | None = None
    pod: Document | None = None
    part: str = PART

    @property
    def view(self) -> PodView | None:
        return self.pod.view(PodView) if self.pod is not None else None

    @property
    def spec(self) -> pods.Container | None:
        view = self.view
        return next((each for each in view.spec.containers if each.name == self.part), None) if view else None

    @property
    def status(self) -> pods.ContainerStatus | None:
        view = self.view
        found = view.status.container_statuses if view else None
        return next((each for each in found or () if each.name == self.part), None)

    @property
    def node(self) -> str:
        """The name of its node; empty as long as it has none."""
        if (view := self.view) is not None and view.spec.node_name:
            return view.spec.node_name
        return ((self.template.meta.annotations or {}) if self.template else {}).get(NODE, "")

    @property
    def state(self) -> str:
        """Docker's word for how it is."""
        view, status = self.view, self.status
        if view is None:
            return CREATED
        if status is None or (status.state.running is None and status.state.terminated is None):
            if view.status.phase in ("Succeeded", "Failed"):
                return EXITED
            ended_before = status is not None and status.last_state.terminated is not None
            return RESTARTING if ended_before else CREATED
        if status.state.running is None:
            return EXITED
        return REMOVING if view.metadata.deletion_timestamp is not None else RUNNING

    @property
    def runs(self) -> bool:
        """Whether there are processes, or will be without anybody's doing."""
        view = self.view
        return view is not None and view.status.phase not in ("Succeeded", "Failed")

    @property
    def ended(self) -> pods.Terminated | None:
        """How its last process ended, whether or not another has come since."""
        status = self.status
        return None if status is None else status.state.terminated or status.last_state.terminated

    @property
    def request(self) -> Json:
        """What it was created with; empty for what was not made by `docker run`."""
        text = ((self.template.meta.annotations or {}) if self.template else {}).get(REQUEST)
        return msgspec.json.decode(text, type=dict[str, Any]) if text else {}


def identifier(uid: str, part: str = "") -> str:
    """Of the PodTemplate, or the pod's container, with this uid: 64 digits, as clients demand."""
    return hashlib.sha256(f"{uid}/{part}".encode()).hexdigest()


def identity(pod: Document, part: str) -> str:
    """The identifier of a pod's container, which is that of the PodTemplate if it is a run of one."""
    if owner := owner_of_run(pod):
        return identifier(owner)
    return identifier(pod.meta.uid, part)


def run_number(pod: Document) -> int:
    """Which run of its container a pod is; they count from 1."""
    number = pod.name.rpartition("-")[2]
    return int(number) if number.isdecimal() else 0


def owner_of_run(pod: Document) -> str:
    """The uid of the PodTemplate that a pod is a run of; empty when it is none."""
    owner = pod.meta.controller()
    if owner is None or owner.kind != template_kind.KIND.kind or LABEL not in (pod.meta.labels or {}):
        return ""
    return owner.uid


def of_template(template: Document, pods_seen: Sequence[Document]) -> Container:
    """A container of `docker run`; its runs are those of `pods_seen` that it owns, whatever others' labels say."""
    runs = [each for each in pods_seen if owner_of_run(each) == template.meta.uid]
    return Container(
        id=identifier(template.meta.uid),
        name=objects.name_of(template.meta),
        image=image_of(template),
        created=objects.time(template.meta.creation_timestamp),
        labels=objects.labels_of(template.meta),
        template=template,
        pod=max(runs, key=run_number, default=None),
    )


class _Template(msgspec.Struct, gc=False, frozen=True):
    spec: pods.Spec = pods.Spec()


class _TemplateView(msgspec.Struct, gc=False, frozen=True):
    template: _Template = _Template()


def image_of(template: Document) -> str:
    containers = template.view(_TemplateView).template.spec.containers
    return containers[0].image if containers else ""


def of_pod(pod: Document, names: Mapping[str, str], labels: Mapping[str, str]) -> Iterator[Container]:
    """The containers of any other pod; `names` and `labels` of a task's by Swarm's rules."""
    parts = pod.view(PodView).spec.containers
    for part in parts:
        plain = pod.name if len(parts) == 1 else f"{pod.name}.{part.name}"
        yield Container(
            id=identifier(pod.meta.uid, part.name),
            name=names.get(part.name, plain),
            image=part.image,
            created=objects.time(pod.meta.creation_timestamp),
            labels=labels,
            pod=pod,
            part=part.name,
        )


async def everything(call: Call) -> list[Container]:
    """Every container of Docker's namespace, on whatever node."""
    namespace = call.engine.namespace
    templates = await call.client.list(template_kind.KIND, namespace, labels=selectors.parse(LABEL))
    runs: dict[str, list[Document]] = {each.meta.uid: [] for each in templates}
    found: list[Container] = []
    of_tasks = {pod.name: (shown, app) for shown, pod, app in await tasks.everything(call)}
    for pod in await call.client.list(pod_kind.KIND, namespace):
        labels = pod.meta.labels or {}
        if (owner := owner_of_run(pod)) in runs:
            runs[owner].append(pod)
        elif pod.name in of_tasks:
            shown, app = of_tasks[pod.name]
            found += of_pod(pod, _task_names(pod, shown, app), _task_labels(shown, app))
        elif APP_LABEL not in labels:
            found += of_pod(pod, {}, {})
    return [*(of_template(each, runs[each.meta.uid]) for each in templates), *found]


def _task_names(pod: Document, shown: Json, app: Document) -> dict[str, str]:
    first = pod.view(PodView).spec.containers[0].name
    return {first: tasks.task_name(shown, objects.name_of(app.meta))}


def _task_labels(shown: Json, app: Document) -> dict[str, str]:
    service = objects.name_of(app.meta)
    return {
        **(shown["Spec"].get("ContainerSpec", {}).get("Labels") or {}),
        "com.docker.swarm.node.id": shown["NodeID"],
        "com.docker.swarm.service.id": shown["ServiceID"],
        "com.docker.swarm.service.name": service,
        "com.docker.swarm.task": "",
        "com.docker.swarm.task.id": shown["ID"],
        "com.docker.swarm.task.name": tasks.task_name(shown, service),
    }


async def find(call: Call, asked: str) -> Container:
    """By identifier, name, or the beginning of an identifier; the runtime's own identifiers count, too.

    Raises DockerError: 404 when there is none, 400 when there are several.
    """
    known = await everything(call)
    name = asked.removeprefix("/")
    for exact in (
        [each for each in known if each.id == asked],
        [each for each in known if each.name == name],
        [each for each in known if asked and each.id.startswith(asked)],
        [each for each in known if asked and (status := each.status) is not None and status.id.startswith(asked)],
    ):
        if len(exact) > 1:
            raise DockerError(400, f"multiple IDs found with provided prefix: {asked}")
        if exact:
            return exact[0]
    raise DockerError(404, f"No such container: {asked}")


async def found_in(call: Call) -> Container:
    """The one that the path names."""
    return await find(call, call.path["id"])


async def home(call: Call) -> str:
    """The node whose containers are meant when nobody says otherwise: the manager's own; empty when its machine is none."""
    here = nodes.local(await nodes.known(call), call.engine.address)
    return here.name if here is not None else ""
