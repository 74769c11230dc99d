"""Services: `docker service create|ls|inspect|update|rollback|scale|rm`, and so `docker stack deploy`.

A service is an App, with the Services by which it is reached, which it owns.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from datetime import datetime
from typing import Any

import msgspec
from aiohttp import web

from motet.base import timestamps
from motet.base.errors import AlreadyExists, ApiError, Conflict
from motet.controllers.approllout import PAUSED, ROLLBACK_PAUSED
from motet.controllers.appversion import kept_of, put_back, version_of
from motet.dialects.docker import (
    endpoints,
    entrances,
    ids,
    objects,
    registry,
    seals,
    servicerequest,
    servicespec,
    tasks,
)
from motet.dialects.docker.call import Call, answer, empty
from motet.dialects.docker.errors import DockerError, bad
from motet.dialects.docker.fields import Fields
from motet.dialects.docker.router import Route
from motet.kinds import app as app_kind
from motet.kinds import tasks as task_kind
from motet.store.document import Document

Json = dict[str, Any]

# What an App can have that Docker has no words for.
_KEPT = ("taskHistoryLimit", "revisionHistoryLimit", "paused")
_OUT_OF_SEQUENCE = "rpc error: code = Unknown desc = update out of sequence"
# Asked for by a rollback, and of no other update's business.
_ONCE = (app_kind.ROLLBACK, app_kind.ROLLBACK_REASON, app_kind.RESUMED)


# --- as Docker shows it -----------------------------------------------------------------------------------------------


def translate(app: Document, services: Sequence[Document]) -> Json:
    """An App as Docker shows a service. `services` are those it owns."""
    document = app.decode()
    status = document.get("status") or {}
    spec = servicespec.service_spec(app)
    ports = endpoints.ports_of(Fields(spec["EndpointSpec"], "EndpointSpec"))
    found: Json = {
        **objects.head(app, app.meta.generation),
        "Spec": spec,
        "Endpoint": {
            "Spec": spec["EndpointSpec"],
            "Ports": endpoints.shown_ports(ports, _assigned(services)),
            "VirtualIPs": endpoints.virtual_addresses(spec["TaskTemplate"], [each.decode() for each in services]),
        },
    }
    update = update_status(document["spec"], status)
    if update is not None:
        found["UpdateStatus"] = update
    previous = servicespec.previous_of(app)
    if previous is not None and not str((update or {}).get("State", "")).startswith("rollback"):
        found["PreviousSpec"] = previous
    if servicespec.is_job(document["spec"]):
        job = status.get("job") or {}
        found["JobStatus"] = {
            "JobIteration": {"Index": job_iteration(document["spec"], status)},
            "LastExecution": objects.time(job.get("startedAt")),
        }
    return found


def job_iteration(spec: Mapping[str, Any], status: Mapping[str, Any]) -> int:
    """Which run of a job the present spec asks for: the next one as long as the status speaks of an earlier version.

    The command line asks once and counts the tasks of that run from then on.
    """
    known = int((status.get("job") or {}).get("iteration") or 0)
    return known if known and status.get("version") == version_of(spec) else known + 1


def update_status(spec: Mapping[str, Any], status: Mapping[str, Any]) -> Json | None:
    """How the last update went; None before the first, and as long as the present one has not begun."""
    update = status.get("update")
    if not update or update.get("version") != version_of(spec):
        return None
    found = {"State": update.get("state", ""), "Message": update.get("message") or _words(update.get("state", ""))}
    for name, key in (("StartedAt", "startedAt"), ("CompletedAt", "completedAt")):
        if update.get(key):
            found[name] = update[key]
    return found


def _words(state: str) -> str:
    return {
        "updating": "update in progress",
        "completed": "update completed",
        "rollback_started": "rollback in progress",
        "rollback_completed": "rollback completed",
    }.get(state, state)


def _assigned(services: Iterable[Document]) -> dict[tuple[str, int], int]:
    """Ports that the cluster chose, by (protocol, target)."""
    found = {}
    for service in services:
        spec = service.decode().get("spec") or {}
        if spec.get("type") == "NodePort":
            for port in spec.get("ports") or ():
                found[port.get("protocol", "TCP").lower(), int(port.get("targetPort") or port["port"])] = int(
                    port.get("nodePort") or 0
                )
    return found


async def known(call: Call) -> Sequence[Document]:
    found = await call.client.list(app_kind.KIND, call.engine.namespace)
    return [each for each in found if each.meta.deletion_timestamp is None]


async def find(call: Call, asked: str) -> Document:
    """By identifier, name, or the beginning of an identifier. Raises DockerError."""
    found = await known(call)
    return ids.pick("service", asked, ((ids.of_document(each), objects.name_of(each.meta), each) for each in found))


async def ls(call: Call) -> web.Response:
    filters = call.filters("id", "label", "mode", "name", "runtime")
    owned = await entrances.owned(call)
    found = []
    for app in await known(call):
        shown = translate(app, owned.get(app.name, ()))
        mode = next(iter(shown["Spec"]["Mode"]))
        words = {
            "Replicated": "replicated",
            "Global": "global",
            "ReplicatedJob": "replicated-job",
            "GlobalJob": "global-job",
        }
        if (
            filters.begins("id", shown["ID"])
            and filters.begins("name", shown["Spec"]["Name"])
            and filters.labels(shown["Spec"]["Labels"])
            and filters.matches("mode", words[mode])
            and filters.matches("runtime", "container")
        ):
            found.append((app, shown))
    if call.flag("status"):
        counts = await _counts(call)
        for app, shown in found:
            shown["ServiceStatus"] = service_status(app, counts.get(app.name, Counter()))
    return answer([shown for _, shown in found])


async def _counts(call: Call) -> dict[str, Counter[str]]:
    """Tasks of each App by what they are: `running` those that shall, and `complete`."""
    found: dict[str, Counter[str]] = {}
    for pod in await tasks.pods(call):
        task = task_kind.task_of(pod)
        counts = found.setdefault(task.app, Counter())
        if task.state == "running" and task.desired in (task_kind.RUNNING, task_kind.COMPLETE):
            counts["running"] += 1
        elif task.state == "complete":
            counts["complete"] += 1
    return found


def service_status(app: Document, counts: Mapping[str, int]) -> Json:
    """The numbers of `docker service ls`."""
    document = app.decode()
    mode = document["spec"].get("mode") or {}
    status = document.get("status") or {}
    job = mode.get(app_kind.REPLICATED_JOB)
    if isinstance(mode.get(app_kind.REPLICATED), dict):
        desired = mode[app_kind.REPLICATED].get("replicas", 1)
    elif isinstance(job, dict):
        total, done = job.get("totalCompletions", 1), counts.get("complete", 0)
        desired = max(0, min(job.get("maxConcurrent", 1), total - done))
    else:
        desired = status.get("desiredReplicas", 0)
    completed = (status.get("job") or {}).get("completed", counts.get("complete", 0))
    return {
        "RunningTasks": counts.get("running", 0),
        "DesiredTasks": desired,
        "CompletedTasks": completed if servicespec.is_job(document["spec"]) else 0,
    }


async def inspect(call: Call) -> web.Response:
    app = await find(call, call.path["id"])
    shown = translate(app, (await entrances.owned(call)).get(app.name, ()))
    if call.flag("insertDefaults"):
        defaults = {
            "Parallelism": 1,
            "FailureAction": "pause",
            "Monitor": 5_000_000_000,
            "MaxFailureRatio": 0,
            "Order": "stop-first",
        }
        for member in ("UpdateConfig", "RollbackConfig"):
            shown["Spec"].setdefault(member, dict(defaults))
    return answer(shown)


async def create(call: Call) -> web.Response:
    app, ports, around, task = await servicerequest.read(call, await call.json())
    name = app["metadata"]["name"]
    await servicerequest.check_ports(call, name, ports)
    credentials = registry.of_services(registry.credentials(call.request.headers.get(registry.HEADER, "")))
    registry.use(app["spec"]["template"]["spec"], name, credentials)
    await servicerequest.make_volumes(call, around)
    try:
        made = await call.client.create(app_kind.KIND, app)
    except AlreadyExists as error:
        raise DockerError(
            409,
            "rpc error: code = AlreadyExists desc = name conflicts with an existing object: service "
            f"{app['metadata']['annotations'].get(objects.NAME, name)} already exists",
        ) from error
    try:
        await registry.keep(call, made, credentials)
        await entrances.settle(call, made, endpoints.services(app, task, ports, around))
    except (ApiError, DockerError):
        # All of a service or nothing of it.
        await call.client.delete(app_kind.KIND, made.name, made.namespace, uid=made.meta.uid)
        raise
    return answer({"ID": ids.of_document(made)}, 201)


async def update(call: Call) -> web.Response:
    current = await find(call, call.path["id"])
    objects.check_version(call.query, current.meta.generation)
    back = call.query.get("rollback", "")
    if back not in ("", "previous"):
        raise bad(f"unrecognized rollback option {back}")
    body = await call.json()
    if back:
        body = servicespec.previous_of(current)
        if body is None:
            raise DockerError(400, "rpc error: code = FailedPrecondition desc = service does not have a previous spec")
    if not servicespec.is_ours(current):
        changed = _narrow_change(current, body)
        await _write(call, changed)
        return answer({"Warnings": None})
    app, ports, around, task = await servicerequest.read(call, body)
    _check_change(current, app)
    await servicerequest.check_ports(call, current.name, ports)
    credentials = registry.of_services(registry.credentials(call.request.headers.get(registry.HEADER, "")))
    if credentials is None and call.query.get("registryAuthFrom", "spec") in ("spec", "previous-spec", ""):
        registry.take_over(app["spec"]["template"]["spec"], current.decode()["spec"]["template"]["spec"])
    registry.use(app["spec"]["template"]["spec"], current.name, credentials)
    await servicerequest.make_volumes(call, around)
    changed = changed_app(current, app, back=bool(back))
    if not back:
        resume(changed, call.engine.clock.now())
    if not back and await seals.may_be_put_back(call, current.namespace):
        annotations = changed["metadata"]["annotations"]
        annotations[seals.SEAL] = seals.of(call.engine.seal_key(), current.meta.uid, annotations[servicespec.PREVIOUS])
    written = await _write(call, changed)
    await registry.keep(call, written, credentials)
    await entrances.settle(call, written, endpoints.services(app, task, ports, around))
    return answer({"Warnings": None})


def _check_change(current: Document, app: Json) -> None:
    if app["metadata"]["name"] != current.name:
        raise bad("rpc error: code = Unimplemented desc = renaming services is not supported")
    if app_kind.mode(current.decode()) != app_kind.mode(app):
        raise bad("rpc error: code = Unimplemented desc = service mode change is not allowed")


def changed_app(current: Document, app: Json, *, back: bool) -> Json:
    """The App as an update has it: its place in history kept, and what Docker has no words for. `back`: it is a rollback."""
    changed = current.decode()
    meta = changed["metadata"]
    before = {
        key: value for key, value in (meta.get("annotations") or {}).items() if not key.startswith("docker.motet.dev/")
    }
    for key in _ONCE:
        before.pop(key, None)
    meta["annotations"] = {**before, **app["metadata"]["annotations"]}
    labels = {key: value for key, value in (meta.get("labels") or {}).items() if key != objects.STACK_LABEL}
    meta["labels"] = {**labels, **app["metadata"].get("labels", {})}
    kept = {key: changed["spec"][key] for key in _KEPT if key in changed["spec"]}
    replicated = app["spec"]["mode"].get(app_kind.REPLICATED)
    if replicated is not None and "replicas" not in replicated and "autoscale" in app["spec"]:
        replicated |= changed["spec"]["mode"][app_kind.REPLICATED]
    changed["spec"] = {**kept, **app["spec"]}
    if back:
        whole = deepcopy(changed)
        app_kind.default(whole)
        meta["annotations"][app_kind.ROLLBACK] = version_of(whole["spec"])
        meta["annotations"][app_kind.ROLLBACK_REASON] = "manually requested rollback"
    else:
        meta["annotations"][servicespec.PREVIOUS] = msgspec.json.encode(servicespec.service_spec(current)).decode()
    return changed


def resume(app: Json, now: datetime) -> None:
    """Have an update that its failures paused go on: that is what any update does in Swarm, also one that changes nothing."""
    state = ((app.get("status") or {}).get("update") or {}).get("state")
    if state in (PAUSED, ROLLBACK_PAUSED):
        app["metadata"]["annotations"][app_kind.RESUMED] = timestamps.format_time(now)


def gone_back(current: Document, app: Json) -> Json:
    """The App as a rollback of its controller's has it: what that has put back as it is, all else as it was before.

    `app` is made of the ServiceSpec before the update. What is asked of pods stays to the letter what the earlier revision says.
    """
    changed = changed_app(current, app, back=False)
    meta, before = changed["metadata"], current.meta.annotations or {}
    del meta["annotations"][servicespec.PREVIOUS]
    meta["annotations"] |= {key: before[key] for key in _ONCE if key in before}
    spec = current.decode()["spec"]
    changed["spec"] = put_back(changed["spec"], kept_of(spec))
    if "autoscale" in changed["spec"]:
        # How many there are is the autoscaler's business.
        changed["spec"]["mode"] = spec["mode"]
    return changed


def _narrow_change(current: Document, body: Any) -> Json:
    """Of an App that another voice made, only what can be said without losing anything of it. Raises DockerError."""
    wanted = deepcopy(dict(body or {}))
    shown = servicespec.service_spec(current)
    changed = current.decode()
    mode = wanted.get("Mode") or {}
    replicas = (mode.get("Replicated") or {}).get("Replicas")
    if replicas is not None and "Replicated" in shown["Mode"]:
        changed["spec"]["mode"][app_kind.REPLICATED]["replicas"] = replicas
        shown["Mode"]["Replicated"]["Replicas"] = replicas
    task = wanted.get("TaskTemplate") or {}
    image = (task.get("ContainerSpec") or {}).get("Image")
    if image:
        changed["spec"]["template"]["spec"]["containers"][0]["image"] = image
        shown["TaskTemplate"]["ContainerSpec"]["Image"] = image
    if force := task.get("ForceUpdate"):
        changed["spec"]["forceUpdate"] = shown["TaskTemplate"]["ForceUpdate"] = force
    if servicespec.without_zeros(wanted) != servicespec.without_zeros(shown):
        raise DockerError(
            400,
            f"service {shown['Name']} was not made with docker: here only its replicas and its image can be changed",
        )
    return changed


async def _write(call: Call, changed: Json) -> Document:
    # The status moves on by itself; that nobody changed the spec is known by the generation.
    for _ in range(5):
        try:
            return await call.client.update(app_kind.KIND, changed)
        except Conflict as error:
            now = await call.client.get(app_kind.KIND, changed["metadata"]["name"], changed["metadata"]["namespace"])
            if now.meta.generation != changed["metadata"]["generation"] or now.meta.uid != changed["metadata"]["uid"]:
                raise DockerError(500, _OUT_OF_SEQUENCE) from error
            changed["metadata"]["resourceVersion"] = now.meta.resource_version
            changed["status"] = now.decode().get("status")
    raise DockerError(500, _OUT_OF_SEQUENCE)


async def remove(call: Call) -> web.Response:
    app = await find(call, call.path["id"])
    await entrances.remove(call, app.name)
    await call.client.delete(app_kind.KIND, app.name, app.namespace, uid=app.meta.uid, propagation="Background")
    return empty()


ROUTES = (
    Route("GET", "/services", ls),
    Route("POST", "/services/create", create),
    Route("GET", "/services/{id}", inspect),
    Route("DELETE", "/services/{id}", remove),
    Route("POST", "/services/{id}/update", update),
)
