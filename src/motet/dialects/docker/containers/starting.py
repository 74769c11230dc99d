"""`docker start`: a new run of a container, which is a Pod made of its PodTemplate."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from motet.base.errors import AlreadyExists, ApiError, NotFound
from motet.dialects.docker import objects, pods
from motet.dialects.docker.call import Call
from motet.dialects.docker.containers import known, ports, watching
from motet.dialects.docker.containers.known import Container
from motet.dialects.docker.errors import DockerError
from motet.dialects.docker.fields import Fields
from motet.dialects.docker.pods import PodView
from motet.kinds import pod as pod_kind
from motet.kinds import podtemplate as template_kind
from motet.kinds import tasks as task_kind
from motet.store.document import Document

Json = dict[str, Any]

# A start that has not succeeded after so many seconds has failed.
_PATIENCE = 120.0
# Ports that are given out where none was named (the system's own ephemeral ones are 32768 to 60999).
_EPHEMERAL = range(49153, 65535)
# The runtime's word for a process that could not be made.
_NOT_STARTED = "StartError"
_NO_COMMAND = ("executable file not found", "no such file or directory", "permission denied")


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of a start: `error` is empty for success."""

    pod: Document
    error: str = ""


def outcome(pod: Document) -> Outcome | None:
    """What has become of a start; None as long as it is not known."""
    view = pod.view(PodView)
    status = view.main
    ended = status.state.terminated if status is not None else None
    if ended is not None and ended.reason == _NOT_STARTED:
        return Outcome(pod, ended.message or ended.reason)
    if status is not None and (status.state.running is not None or ended is not None):
        return Outcome(pod)
    waiting = status.state.waiting if status is not None else None
    if waiting is not None and waiting.reason in task_kind.STUCK:
        return Outcome(pod, waiting.message or waiting.reason)
    if view.status.phase == "Failed" or view.status.reason == "UnsupportedField":
        return Outcome(pod, view.status.message or view.status.reason or "the node did not take it")
    scheduled = view.condition("PodScheduled")
    if scheduled is not None and scheduled.status == "False" and scheduled.reason == "Unschedulable":
        return Outcome(pod, scheduled.message)
    return None


def new_run(container: Container, taken: frozenset[int]) -> Json:
    """The Pod of its next run. `taken` are ports of the machine that others have."""
    assert container.template is not None
    template: Json = container.template.decode()["template"]
    meta, spec = template.get("metadata") or {}, template["spec"]
    own = container.template.meta.annotations or {}
    # By these the pod is the container to whoever sees it alone, as events do.
    told = {key: own[key] for key in (objects.NAME, objects.LABELS) if key in own}
    number = known.run_number(container.pod) + 1 if container.pod is not None else 1
    spec.setdefault("hostname", container.id[:12])
    part = spec["containers"][0]
    if chosen := list(_free_ports(container.request, taken)):
        part["ports"] = [*(part.get("ports") or ()), *chosen]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"{container.template.name}-{number}",
            "namespace": container.template.namespace,
            "labels": {**(meta.get("labels") or {}), known.LABEL: container.template.name},
            "annotations": {objects.NAME: container.name, **told, **(meta.get("annotations") or {})},
            "ownerReferences": [objects.owner(template_kind.KIND, container.template)],
        },
        "spec": spec,
    }


def _free_ports(asked: Json, taken: frozenset[int]) -> list[Json]:
    """Ports of the machine for what is published without a number."""
    host = Fields(asked.get("HostConfig"), "HostConfig")
    found: list[Json] = []
    wanted = [(port, address) for port, address, published in ports.published(host) if not published]
    bound = {port for port, _, _ in ports.published(host)}
    if host.truth("PublishAllPorts"):
        exposed = (text.partition("/") for text in asked.get("ExposedPorts") or ())
        documented = [(int(number), protocol or "tcp") for number, _, protocol in exposed]
        wanted += [(port, "") for port in documented if port not in bound]
    free = [number for number in _EPHEMERAL if number not in taken]
    for ((number, protocol), address), published in zip(wanted, random.sample(free, len(wanted)), strict=True):
        port: Json = {"containerPort": number, "hostPort": published, "protocol": protocol.upper()}
        found.append({**port, **({"hostIP": address} if address not in ("", "0.0.0.0") else {})})
    return found


async def start(call: Call, container: Container) -> None:
    """Return when it runs, or has run. Raises DockerError when it cannot; then it is as it was before."""
    assert container.template is not None
    try:
        pod = await _make(call, container)
        async with asyncio.timeout(_PATIENCE):
            ended = await _settled(call, pod)
    except TimeoutError:
        ended = Outcome(pod, "it has not started within two minutes; kubectl describe pod says how far it came")
    except BaseException:
        call.engine.sessions.failed(container.id)
        raise
    if ended.error:
        call.engine.sessions.failed(container.id)
        await _undo(call, container, pod)
        code = 400 if any(words in ended.error for words in _NO_COMMAND) else 500
        raise DockerError(code, f"failed to start container {container.name}: {ended.error}")
    if container.pod is not None:
        await remove_run(call, container.pod)


async def _make(call: Call, container: Container) -> Document:
    """The Pod, as soon as no other one of its name is in the way."""
    taken = await _taken_ports(call, container.node)
    document = new_run(container, taken)
    while True:
        try:
            return await call.client.create(pod_kind.KIND, document)
        except AlreadyExists:
            name = document["metadata"]["name"]
            with contextlib.suppress(NotFound):
                other = await call.client.get(pod_kind.KIND, name, call.engine.namespace)
                owner = other.meta.controller()
                ours = owner is not None and container.template is not None and owner.uid == container.template.meta.uid
                if other.meta.deletion_timestamp is None:
                    if ours:
                        return other
                    raise DockerError(409, f"there is a pod {name} that is not this container's") from None
                await gone(call, other)


async def _taken_ports(call: Call, node: str) -> frozenset[int]:
    if not node:
        return frozenset()
    return frozenset(
        int(port["hostPort"])
        for pod in await pods.everywhere_on(call, node)
        for part in pod.view(PodView).spec.containers
        for port in part.ports or ()
        if port.get("hostPort")
    )


async def _settled(call: Call, pod: Document) -> Outcome:
    def look(documents: Sequence[Document]) -> Outcome | None:
        found = next((each for each in documents if each.meta.uid == pod.meta.uid), None)
        return Outcome(pod, "its pod has been removed") if found is None else outcome(found)

    return await watching.until(call, pod_kind.KIND, {"fieldSelector": f"metadata.name={pod.name}"}, look)


async def _undo(call: Call, container: Container, pod: Document) -> None:
    await remove_run(call, pod)
    template = container.template
    if template is not None and known.REMOVE in (template.meta.annotations or {}):
        with contextlib.suppress(NotFound):
            await call.client.delete(template_kind.KIND, template.name, template.namespace, uid=template.meta.uid)


async def remove_run(call: Call, pod: Document, grace_seconds: int | None = 1) -> None:
    """Have a pod go. Nothing happens when it has gone already."""
    with contextlib.suppress(NotFound):
        try:
            await call.client.delete(
                pod_kind.KIND, pod.name, pod.namespace, uid=pod.meta.uid, grace_seconds=grace_seconds
            )
        except ApiError as error:
            # Another pod has taken the name: ours has gone.
            if error.code != 409:
                raise


async def gone(call: Call, pod: Document) -> None:
    """Return when a pod is there no more."""

    def look(documents: Sequence[Document]) -> bool | None:
        return None if any(each.meta.uid == pod.meta.uid for each in documents) else True

    await watching.until(call, pod_kind.KIND, {"fieldSelector": f"metadata.name={pod.name}"}, look)
