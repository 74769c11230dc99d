"""The pod of one slot of an App: the template with its marks, its placement and its placeholders. Pure but for its random name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from motet.base import names
from motet.controllers import appplacement
from motet.controllers.apps import NewTask
from motet.controllers.appview import AppView
from motet.controllers.nodes import NodeView
from motet.kinds import placeholders, podmarks, tasks
from motet.kinds.placeholders import Values
from motet.store.document import Document

Json = dict[str, Any]
# What the kernel's own $(NAME) expansion puts in place of what is not known before the pod has a node.
_LATE = {
    ".Node.Hostname": ("MOTET_NODE_NAME", "spec.nodeName"),
    ".Task.ID": ("MOTET_TASK_ID", "metadata.uid"),
}


def pod_of(
    app: Document,
    owner: Mapping[str, Any],
    new: NewTask,
    version: str,
    *,
    iteration: int = 0,
    node: NodeView | None = None,
) -> Json:
    """`owner` is the reference to the App; `node` the node of the slot, where slots are nodes."""
    view, spec = app.view(AppView), app.decode()["spec"]
    template = spec["template"]
    given = template.get("metadata") or {}
    labels = {**(given.get("labels") or {}), tasks.LABEL: app.name, tasks.TEMPLATE_LABEL: version}
    annotations = {**(given.get("annotations") or {}), **new.attempt.annotations()}
    pod: Json = template["spec"]
    placement = view.spec.placement
    appplacement.constrain(pod, placement)
    appplacement.spread(pod, placement, app.name)
    if mark := appplacement.fingerprint(placement):
        annotations[tasks.PLACEMENT] = mark
    if iteration:
        labels[tasks.ITERATION_LABEL] = str(iteration)
    if view.everywhere:
        annotations[tasks.NODE_ANNOTATION] = new.slot
        appplacement.tie(pod, new.slot)
        name = names.generate(f"{app.name}-")
    else:
        labels[tasks.SLOT_LABEL] = new.slot
        labels |= appplacement.share(pod, placement, app.name, new.slot)
        name = names.generate(f"{app.name}-{new.slot}-")
    if spec.get("expandTemplates"):
        known = _values(app, name, new.slot, node)
        _expand(pod, known)
        if hostname := placeholders.expand(spec.get("hostnameTemplate") or "", known):
            annotations[tasks.HOSTNAME] = hostname
    if podmarks.expanded(annotations):
        annotations[podmarks.VALUES] = podmarks.values_text(_values(app, name, new.slot, node))
    metadata: Json = {"name": name, "namespace": app.namespace, "labels": labels, "ownerReferences": [dict(owner)]}
    if annotations:
        metadata["annotations"] = annotations
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": pod}


def _values(app: Document, name: str, slot: str, node: NodeView | None) -> Values:
    plain = {
        ".Service.ID": app.meta.uid,
        ".Service.Name": app.name,
        ".Task.Name": name,
        ".Task.Slot": slot,
    }
    if node is not None:
        labels = node.metadata.labels or {}
        plain |= {
            ".Node.ID": node.metadata.uid,
            ".Node.Hostname": labels.get("kubernetes.io/hostname", node.metadata.name),
            ".Node.Platform.OS": labels.get("kubernetes.io/os", ""),
            ".Node.Platform.Architecture": labels.get("kubernetes.io/arch", ""),
        }
    return Values(plain, {**(app.meta.labels or {}), **placeholders.labels_of(app.meta.annotations)})


def _expand(pod: Json, known: Values) -> None:
    for key in ("initContainers", "containers"):
        for container in pod.get(key) or ():
            container["env"] = _environment(container.get("env") or [], known)
            if "volumeMounts" in container:
                container["volumeMounts"] = _deep(container["volumeMounts"], known)
    if "volumes" in pod:
        pod["volumes"] = _deep(pod["volumes"], known)


def _environment(variables: list[Json], known: Values) -> list[Json]:
    """The variables with what is known filled in; what is not comes from variables of ours, which stand before them."""
    needed: dict[str, str] = {}

    def late(whole: str) -> str:
        name, path = _LATE[whole[2:-2].strip()]
        needed[name] = path
        return f"$({name})"

    filled = [
        {**each, "value": placeholders.expand(each["value"], known, late)} if each.get("value") else each
        for each in variables
    ]
    ours = [{"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}} for name, path in needed.items()]
    return [*ours, *filled]


def _deep(found: Any, known: Values) -> Any:
    if isinstance(found, str):
        return placeholders.expand(found, known)
    if isinstance(found, dict):
        return {key: _deep(value, known) for key, value in found.items()}
    return [_deep(each, known) for each in found] if isinstance(found, list) else found
