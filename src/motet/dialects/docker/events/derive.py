"""From a document before and after a change to what Docker calls it. Times are added by whoever notes the events."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from motet.dialects.docker import ids, nodes, objects, pods, secrets
from motet.dialects.docker.containers import known
from motet.dialects.docker.events.log import LOCAL, SWARM, Event
from motet.dialects.docker.networks import identifier as network_id
from motet.kinds import app as app_kind
from motet.kinds import configmap as configmap_kind
from motet.kinds import network as network_kind
from motet.kinds import node as node_kind
from motet.kinds import persistentvolumeclaim as claim_kind
from motet.kinds import pod as pod_kind
from motet.kinds import podtemplate as template_kind
from motet.kinds import secret as secret_kind
from motet.kinds.kind import Kind
from motet.store.document import Document

Old = Document | None
Json = dict[str, Any]


def _there(document: Old) -> Document | None:
    """What is being removed is gone for Docker, though what protects it may keep it for a moment."""
    return None if document is None or document.meta.deletion_timestamp is not None else document


def _named(document: Document) -> dict[str, str]:
    return {"name": objects.name_of(document.meta)}


def _life(
    old: Old,
    new: Old,
    type: str,
    identify: Callable[[Document], str],
    attributes: Callable[[Document], dict[str, str]] = _named,
    *,
    scope: str = SWARM,
    removed: str = "remove",
) -> Iterator[Event]:
    """Creation and removal, alike for everything."""
    before, after = _there(old), _there(new)
    if before is None and after is not None:
        yield Event(type, "create", identify(after), attributes(after), scope)
    elif before is not None and after is None:
        yield Event(type, removed, identify(before), attributes(before), scope)


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, str]:
    """`KEY.old` and `KEY.new` of what differs."""
    found = {}
    for key, value in after.items():
        if before.get(key) != value:
            if before.get(key) not in (None, ""):
                found[f"{key}.old"] = str(before[key])
            found[f"{key}.new"] = str(value)
    return found


# --- Swarm's objects --------------------------------------------------------------------------------------------------


def service(old: Old, new: Old) -> Iterator[Event]:
    yield from _life(old, new, "service", ids.of_document)
    before, after = _there(old), _there(new)
    if before is None or after is None:
        return
    changed = _changes(_of_service(before), _of_service(after))
    if changed or before.meta.generation != after.meta.generation:
        yield Event("service", "update", ids.of_document(after), {**_named(after), **changed}, SWARM)


def _of_service(app: Document) -> Json:
    document = app.decode()
    spec = document["spec"]
    containers = ((spec.get("template") or {}).get("spec") or {}).get("containers") or [{}]
    mode = (spec.get("mode") or {}).get(app_kind.REPLICATED)
    update = ((document.get("status") or {}).get("update") or {}).get("state")
    found: Json = {"image": containers[0].get("image", "")}
    if isinstance(mode, dict):
        found["replicas"] = mode.get("replicas", 1)
    if update:
        found["updatestate"] = update
    return found


def node(old: Old, new: Old) -> Iterator[Event]:
    yield from _life(old, new, "node", ids.of_document)
    if old is None or new is None:
        return
    if changed := _changes(_of_node(old), _of_node(new)):
        yield Event("node", "update", ids.of_document(new), {**_named(new), **changed}, SWARM)


def _of_node(document: Document) -> Json:
    view = document.view(nodes.NodeView)
    return {"state": view.state[0], "availability": view.availability}


def _file(sort: secrets.Sort) -> Callable[[Old, Old], Iterator[Event]]:
    def derive(old: Old, new: Old) -> Iterator[Event]:
        ours = (new or old, sort)
        if ours[0] is None or not secrets.is_ours(sort, ours[0]):
            return
        yield from _life(old, new, sort.word, ids.of_document)
        before, after = _there(old), _there(new)
        if before is not None and after is not None and objects.labels_of(before.meta) != objects.labels_of(after.meta):
            yield Event(sort.word, "update", ids.of_document(after), _named(after), SWARM)

    return derive


def network(old: Old, new: Old) -> Iterator[Event]:
    yield from _life(old, new, "network", network_id)


def volume(old: Old, new: Old) -> Iterator[Event]:
    yield from _life(
        old,
        new,
        "volume",
        lambda claim: objects.name_of(claim.meta),
        lambda claim: {**_named(claim), "driver": "local"},
        scope=LOCAL,
        removed="destroy",
    )


# --- containers -------------------------------------------------------------------------------------------------------


def container(old: Old, new: Old) -> Iterator[Event]:
    """What happens to the containers of a pod. One of `docker run` outlives its pods: they only tell of its runs."""
    pod = new or old
    if pod is None:
        return
    before = _statuses(old)
    is_run = bool(known.owner_of_run(pod))
    for part in pod.view(pods.PodView).spec.containers:
        identifier = known.identity(pod, part.name)
        attributes = {"image": part.image, "name": _container_name(pod, part.name), **objects.labels_of(pod.meta)}
        was, now = before.get(part.name), _statuses(new).get(part.name)
        if old is None and not is_run:
            yield Event("container", "create", identifier, attributes)
        yield from _turns(identifier, attributes, was, now)
        if new is None and not is_run:
            yield Event("container", "destroy", identifier, attributes)


def made_by_run(old: Old, new: Old) -> Iterator[Event]:
    """Creation and removal of a container of `docker run`, which is a PodTemplate."""
    template = new or old
    if template is None or known.LABEL not in (template.meta.labels or {}):
        return
    yield from _life(
        old,
        new,
        "container",
        lambda document: known.identifier(document.meta.uid),
        lambda document: {**objects.labels_of(document.meta), "image": known.image_of(document), **_named(document)},
        scope=LOCAL,
        removed="destroy",
    )


def _turns(
    identifier: str, attributes: dict[str, str], was: pods.ContainerStatus | None, now: pods.ContainerStatus | None
) -> Iterator[Event]:
    """Starts and ends of one container between two looks."""
    ran = was.state.running if was is not None else None
    runs = now.state.running if now is not None else None
    ended = now.state.terminated if now is not None else None
    if ended is not None and (was is None or was.state.terminated != ended):
        if ran is None:
            yield Event("container", "start", identifier, attributes)
        if ended.reason == "OOMKilled":
            yield Event("container", "oom", identifier, attributes)
        yield Event("container", "die", identifier, {**attributes, "exitCode": str(ended.exit_code)})
    elif ran is not None and (runs is None or ran.started_at != runs.started_at):
        yield Event("container", "die", identifier, attributes)
    if runs is not None and (ran is None or ran.started_at != runs.started_at):
        yield Event("container", "start", identifier, attributes)


def _statuses(pod: Old) -> dict[str, pods.ContainerStatus]:
    if pod is None:
        return {}
    return {each.name: each for each in pod.view(pods.PodView).status.container_statuses or ()}


def _container_name(pod: Document, part: str) -> str:
    if known.owner_of_run(pod):
        return objects.name_of(pod.meta)
    several = len(pod.view(pods.PodView).spec.containers) > 1
    return f"{pod.name}.{part}" if several else pod.name


KINDS: Sequence[tuple[str, Kind, Callable[[Old, Old], Iterator[Event]]]] = (
    ("service", app_kind.KIND, service),
    ("node", node_kind.KIND, node),
    ("secret", secret_kind.KIND, _file(secrets.SECRET)),
    ("config", configmap_kind.KIND, _file(secrets.CONFIG)),
    ("network", network_kind.KIND, network),
    ("volume", claim_kind.KIND, volume),
    ("container", template_kind.KIND, made_by_run),
    ("container", pod_kind.KIND, container),
)
"""Types of events, and where they come from."""
