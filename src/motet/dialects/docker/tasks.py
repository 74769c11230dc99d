"""Tasks: `docker service ps`, `docker stack ps`, `docker node ps`, and what progress bars count. They are the pods of Apps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aiohttp import web

from motet.base.selectors import Requirement, Selector
from motet.controllers.appversion import version_of
from motet.dialects.docker import ids, nodes, objects, servicespec, unplaced
from motet.dialects.docker.call import Call, answer
from motet.dialects.docker.filters import Filters
from motet.dialects.docker.router import Route
from motet.kinds import app as app_kind
from motet.kinds import pod as pod_kind
from motet.kinds import tasks as task_kind
from motet.kinds.tasks import Task
from motet.store.document import Document

Json = dict[str, Any]

_TASKS = Selector((Requirement(task_kind.LABEL, "exists"),))
# Of more services than that, tasks are not asked for by name.
_MOST_NAMED = 20
_MESSAGES = {
    "pending": "pending task scheduling",
    "preparing": "preparing",
    "starting": "starting",
    "running": "started",
    "complete": "finished",
    "failed": "started",
    "shutdown": "shutdown",
    "orphaned": "node is lost",
}


def translate(pod: Document, app: Document, node_ids: Mapping[str, str]) -> Json:
    """A pod of an App as Docker shows a task."""
    task = task_kind.task_of(pod)
    document = pod.decode()
    spec = app.decode()["spec"]
    # What the pod itself was made of, which an update may have changed since for the App.
    spec = {**spec, "template": {"metadata": document["metadata"], "spec": document["spec"]}}
    job = servicespec.is_job(spec)
    # Swarm counts the slots of jobs from 0, and progress bars with it.
    slot = task.slot - 1 if job else task.slot
    return {
        **objects.head(pod),
        "Labels": {},
        "Spec": servicespec.task_template(spec),
        "ServiceID": ids.of_document(app),
        **({"Slot": slot} if slot > 0 else {}),
        "NodeID": node_ids.get(task.node, ""),
        "Status": status(task),
        "DesiredState": task.desired,
        "NetworksAttachments": [],
        "UpdatedAt": objects.time(task.since),
        **({"JobIteration": {"Index": task.iteration}} if job else {}),
    }


def status(task: Task) -> Json:
    found: Json = {
        "Timestamp": objects.time(task.since),
        "State": task.state,
        "Message": _MESSAGES.get(task.state, task.state),
        "PortStatus": {},
    }
    if task.error:
        found["Err"] = unplaced.said(task.error) if task.state == "pending" else task.error
    identifier = task.container_id.rpartition("/")[2]
    if identifier or task.exit_code is not None:
        found["ContainerStatus"] = {"ContainerID": identifier, "PID": 0, "ExitCode": task.exit_code or 0}
    return found


async def pods(call: Call, selector: Selector = _TASKS) -> Sequence[Document]:
    """Every task there is, ended ones included."""
    return await call.client.list(pod_kind.KIND, call.engine.namespace, labels=selector)


async def everything(call: Call) -> list[tuple[Json, Document, Document]]:
    """(as Docker shows it, pod, App) of every task whose service is there, but for those of a job that is just being begun."""
    return await _of_services(call, nodes.names(await nodes.known(call)), Filters({}))


async def _of_services(
    call: Call, node_ids: Mapping[str, str], filters: Filters
) -> list[tuple[Json, Document, Document]]:
    """As `everything`, of services and with desired states that the filters let through; the other filters are not looked at.

    Progress bars ask several times a second for those of one service that are to run: only these are read and translated.
    """
    known = await call.client.list(app_kind.KIND, call.engine.namespace)
    apps = {
        each.name: each
        for each in known
        if filters.begins("service", ids.of_document(each), objects.name_of(each.meta))
    }
    if not apps:
        return []
    narrow = len(apps) < len(known) and len(apps) <= _MOST_NAMED
    found = await pods(call, Selector((Requirement(task_kind.LABEL, "in", tuple(apps)),)) if narrow else _TASKS)
    return [
        (translate(pod, apps[name], node_ids), pod, apps[name])
        for pod in found
        if (name := (pod.meta.labels or {})[task_kind.LABEL]) in apps
        and filters.matches("desired-state", task_kind.task_of(pod).desired)
        and not is_being_begun(pod, apps[name])
    ]


def is_being_begun(pod: Document, app: Document) -> bool:
    """Whether a task is of a global job's run that may not have all of its tasks yet.

    Progress bars count what they see at first and wait for no more than that; in Swarm the tasks of such a run come into being
    at once. An App's status speaks of a run when they all have been made.
    """
    document = app.decode()
    version = version_of(document["spec"])
    return (
        app_kind.mode(document) == app_kind.GLOBAL_JOB
        and (document.get("status") or {}).get("version") != version
        and (pod.meta.labels or {}).get(task_kind.TEMPLATE_LABEL) == version
    )


def task_name(task: Mapping[str, Any], service: str) -> str:
    """`web.2.4k3...`, as Swarm calls tasks and their containers."""
    return f"{service}.{task.get('Slot') or task['NodeID']}.{task['ID']}"


def selected(task: Json, pod: Document, app: Document, filters: Filters, node_names: Mapping[str, str]) -> bool:
    """Whether a list with these filters shows a task. `node_names` are names by identifiers."""
    service = objects.name_of(app.meta)
    labels = {**objects.labels_of(app.meta), **(task["Spec"].get("ContainerSpec", {}).get("Labels") or {})}
    current = filters.truth("_up-to-date")
    version = (pod.meta.labels or {}).get(task_kind.TEMPLATE_LABEL)
    return (
        filters.begins("id", task["ID"])
        and filters.begins("name", task_name(task, service))
        and filters.begins("service", task["ServiceID"], service)
        and filters.begins("node", task["NodeID"], node_names.get(task["NodeID"], ""))
        and filters.matches("desired-state", task["DesiredState"])
        and filters.labels(labels)
        and filters.matches("runtime", "container", "")
        and (not current or version == version_of(app.decode()["spec"]))
    )


async def ls(call: Call) -> web.Response:
    filters = call.filters("_up-to-date", "desired-state", "id", "label", "name", "node", "runtime", "service")
    node_ids = nodes.names(await nodes.known(call))
    found = await _of_services(call, node_ids, filters)
    names = {identifier: name for name, identifier in node_ids.items()}
    return answer([task for task, pod, app in found if selected(task, pod, app, filters, names)])


async def find(call: Call, asked: str) -> tuple[Json, Document, Document]:
    """Raises DockerError."""
    found = await everything(call)
    known = ((each[0]["ID"], task_name(each[0], objects.name_of(each[2].meta)), each) for each in found)
    return ids.pick("task", asked, known)


async def inspect(call: Call) -> web.Response:
    return answer((await find(call, call.path["id"]))[0])


ROUTES = (
    Route("GET", "/tasks", ls),
    Route("GET", "/tasks/{id}", inspect),
)
