"""The Services by which an App is reached, which it owns: kept as its EndpointSpec and its networks want them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from copy import deepcopy
from typing import Any

from motet.base.errors import AlreadyExists, NotFound
from motet.dialects.docker import endpoints, objects
from motet.dialects.docker.call import Voice
from motet.dialects.docker.errors import DockerError
from motet.kinds import app as app_kind
from motet.kinds import service as service_kind
from motet.kinds import tasks as task_kind
from motet.store.document import Document

Json = dict[str, Any]


async def owned(call: Voice) -> dict[str, list[Document]]:
    """Services by the App they are of."""
    found: dict[str, list[Document]] = {}
    for each in await call.client.list(service_kind.KIND, call.engine.namespace):
        name = (each.meta.labels or {}).get(task_kind.LABEL)
        if name:
            found.setdefault(name, []).append(each)
    return found


async def settle(call: Voice, app: Document, wanted: Sequence[Json]) -> None:
    """Have the App's Services as wanted, and no others of it. Raises ApiError, DockerError."""
    for service in wanted:
        service["metadata"]["ownerReferences"] = [objects.owner(app_kind.KIND, app)]
    names = {service["metadata"]["name"] for service in wanted}
    await asyncio.gather(*(_ensure(call, app, service) for service in wanted))
    for name in endpoints.names(app.name):
        if name not in names:
            await _remove_service(call, app.name, name)


async def remove(call: Voice, app: str) -> None:
    """Take all Services of an App away."""
    for name in endpoints.names(app):
        await _remove_service(call, app, name)


async def _ensure(call: Voice, app: Document, wanted: Json) -> None:
    try:
        await call.client.create(service_kind.KIND, wanted)
        return
    except AlreadyExists:
        pass
    name = wanted["metadata"]["name"]
    current = (await call.client.get(service_kind.KIND, name, call.engine.namespace)).decode()
    changed = service_changed(current, wanted)
    if changed is None:
        raise DockerError(
            409, f"rpc error: code = AlreadyExists desc = there is a Service {name} that is not of {app.name}"
        )
    if _is_headless(current) != _is_headless(wanted):
        # An address is neither given up nor taken on (Kubernetes: spec.clusterIP is immutable).
        await call.client.delete(service_kind.KIND, name, call.engine.namespace, uid=current["metadata"]["uid"])
        await call.client.create(service_kind.KIND, wanted)
    elif changed != current:
        await call.client.update(service_kind.KIND, changed)


def _is_headless(service: Json) -> bool:
    return bool(service["spec"].get("clusterIP") == service_kind.HEADLESS)


def service_changed(current: Json, wanted: Json) -> Json | None:
    """A Service as it shall be, with the numbers it was given; None when it is somebody else's."""
    meta = wanted["metadata"]
    if (current["metadata"].get("labels") or {}).get(task_kind.LABEL) != meta["labels"][task_kind.LABEL]:
        return None
    changed = deepcopy(current)
    changed["metadata"]["ownerReferences"] = meta["ownerReferences"]
    changed["metadata"]["annotations"] = {
        **{
            key: value
            for key, value in (current["metadata"].get("annotations") or {}).items()
            if "motet.dev/networks" not in key
        },
        **meta.get("annotations", {}),
    }
    given = {port["name"]: port for port in current["spec"].get("ports") or () if port.get("name")}
    ports = [{**given.get(port["name"], {}), **port} for port in wanted["spec"].get("ports") or ()]
    changed["spec"] = {**changed["spec"], **wanted["spec"], "ports": ports}
    if not ports:
        del changed["spec"]["ports"]
    return changed


async def _remove_service(call: Voice, app: str, name: str) -> None:
    with contextlib.suppress(NotFound):
        found = await call.client.get(service_kind.KIND, name, call.engine.namespace)
        if (found.meta.labels or {}).get(task_kind.LABEL) == app:
            await call.client.delete(service_kind.KIND, name, call.engine.namespace, uid=found.meta.uid)
