"""`docker start`, `stop`, `restart`, `kill`, `rm`, `rename`, `update`, `container prune`."""

from __future__ import annotations

import contextlib
from typing import Any

import msgspec
from aiohttp import web

from motet.base.errors import NotFound
from motet.client.interface import PatchType
from motet.dialects.docker import images, objects
from motet.dialects.docker.call import Call, answer, empty
from motet.dialects.docker.containers import creating, known, request, shown, starting, stopping
from motet.dialects.docker.containers.known import Container
from motet.dialects.docker.errors import DockerError, bad
from motet.dialects.docker.fields import Fields
from motet.dialects.docker.router import Route
from motet.kinds import pod as pod_kind
from motet.kinds import podtemplate as template_kind

Json = dict[str, Any]


def _own(container: Container) -> None:
    """Raises DockerError for a container that others look after."""
    if container.template is None:
        who = container.labels.get("com.docker.swarm.service.name", "")
        owner = f"service {who}" if who else f"pod {container.pod.name}" if container.pod else "another"
        raise DockerError(409, f"container {container.name} belongs to {owner}, which decides about it")


def _alive(container: Container) -> None:
    """Raises DockerError for a container without a process."""
    if not container.runs:
        raise DockerError(409, f"container {container.id} is not running")


async def start(call: Call) -> web.Response:
    container = await known.found_in(call)
    if call.query.get("checkpoint"):
        raise bad("checkpoint is not supported by Motet")
    if container.runs:
        return empty(304)
    _own(container)
    await starting.start(call, container)
    return empty(204)


def _seconds(call: Call) -> float | None:
    text = call.query.get("t", "")
    if not text:
        return None
    try:
        return float(int(text))
    except ValueError as error:
        raise bad(f"t: {text!r} is no number of seconds") from error


async def stop(call: Call) -> web.Response:
    container = await known.found_in(call)
    seconds = _seconds(call)
    if not container.runs:
        return empty(304)
    await stopping.stop(call, container, seconds, call.query.get("signal", ""))
    return empty(204)


async def restart(call: Call) -> web.Response:
    container = await known.found_in(call)
    _own(container)
    seconds = _seconds(call)
    if container.runs:
        await stopping.stop(call, container, seconds, call.query.get("signal", ""))
    await starting.start(call, await known.find(call, container.id))
    return empty(204)


async def kill(call: Call) -> web.Response:
    container = await known.found_in(call)
    _alive(container)
    await stopping.kill(call, container, call.query.get("signal", "").upper())
    return empty(204)


# --- removing ---------------------------------------------------------------------------------------------------------


async def remove(call: Call) -> web.Response:
    """Its volumes without a name are a run's own and go with it in any case."""
    container = await known.found_in(call)
    if call.flag("link"):
        raise bad("link is not supported by Motet: there are no links")
    _own(container)
    if container.runs and not call.flag("force"):
        raise DockerError(
            409,
            f'cannot remove container "/{container.name}": container is {container.state}: stop the container before removing or '
            "force remove",
        )
    await _removed(call, container)
    return empty(204)


async def _removed(call: Call, container: Container) -> None:
    template, pod = container.template, container.pod
    assert template is not None
    # The pod first: what has no owner any more is collected only after a while.
    if pod is not None:
        await starting.remove_run(call, pod)
    with contextlib.suppress(NotFound):
        await call.client.delete(template_kind.KIND, template.name, template.namespace, uid=template.meta.uid)
    if pod is not None:
        await starting.gone(call, pod)


async def prune(call: Call) -> web.Response:
    filters = call.filters("label", "until")
    now = call.engine.clock.now().timestamp()
    until = [images.moment(each, now) for each in filters.values("until")]
    here = await known.home(call)
    deleted = []
    for container in await known.everything(call):
        if (
            container.template is not None
            and not container.runs
            and container.node in (here, "")
            and filters.labels(container.labels)
            and all(objects.seconds(container.created) < each for each in until)
        ):
            await _removed(call, container)
            deleted.append(container.id)
    return answer({"ContainersDeleted": deleted or None, "SpaceReclaimed": 0})


# --- changing ---------------------------------------------------------------------------------------------------------


async def rename(call: Call) -> web.Response:
    container = await known.found_in(call)
    _own(container)
    name = call.query.get("name", "").removeprefix("/")
    if not name:
        raise bad("New container name cannot be empty")
    objects.object_name(name, "container")
    creating.check_free(name, await known.everything(call))
    template = container.template
    assert template is not None
    change = {"metadata": {"annotations": {objects.NAME: name}}}
    await call.client.patch(template_kind.KIND, template.name, change, template.namespace)
    return empty(204)


async def update(call: Call) -> web.Response:
    """Limits change at once, the restart policy with the next start."""
    container = await known.found_in(call)
    _own(container)
    template, pod = container.template, container.pod
    assert template is not None
    fields = await call.fields()
    policy = request.restart(
        fields.fields("RestartPolicy"), auto_remove=known.REMOVE in (template.meta.annotations or {})
    )
    asked = container.request
    host = {**(asked.get("HostConfig") or {}), **{key: value for key, value in fields.items.items() if value}}
    resources = request.resources_of(Fields(host, "HostConfig"))
    request.resources_of(fields)
    fields.finish()
    warnings = []
    has = shown.part_of(shown.document(container), container.part).get("resources")
    if pod is not None and container.runs and resources != has:
        change = {"spec": {"containers": [{"name": known.PART, "resources": resources}]}}
        await call.client.patch(
            pod_kind.KIND, pod.name, change, pod.namespace, patch_type=PatchType.STRATEGIC, subresource="resize"
        )
    document = template.decode()
    part = document["template"]["spec"]["containers"][0]
    part["resources"] = resources
    if fields.fields("RestartPolicy").text("Name"):
        document["template"]["spec"]["restartPolicy"] = policy
        if container.runs:
            warnings.append("the restart policy holds from the next start on")
    document["metadata"]["annotations"][known.REQUEST] = msgspec.json.encode({**asked, "HostConfig": host}).decode()
    await call.client.update(template_kind.KIND, document)
    return answer({"Warnings": warnings or None})


ROUTES = (
    Route("POST", "/containers/prune", prune),
    Route("POST", "/containers/{id}/start", start),
    Route("POST", "/containers/{id}/stop", stop),
    Route("POST", "/containers/{id}/restart", restart),
    Route("POST", "/containers/{id}/kill", kill),
    Route("POST", "/containers/{id}/rename", rename),
    Route("POST", "/containers/{id}/update", update),
    Route("DELETE", "/containers/{id}", remove),
)
