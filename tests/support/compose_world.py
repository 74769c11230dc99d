"""A cluster in memory whose Apps get pods as a script says: for tests of what waits for services.

`world.fate["web"]` is what becomes of the pods of App web: ready (the default), young (ready this instant), running (never
ready), done, crash, image, unschedulable, failed, none (no pods at all).
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from motet.base.clock import Clock, FakeClock
from motet.base.timestamps import format_time
from motet.cli.compose.model import Project
from motet.cli.compose.read import read
from motet.controllers.templates import template_hash
from motet.kinds import app as app_kind
from motet.kinds import namespace as namespace_kind
from motet.kinds import pod as pod_kind
from motet.kinds.kind import Kind
from motet.kinds.tasks import SLOT_LABEL, TEMPLATE_LABEL
from motet.store.document import Document
from support.fake_client import FakeClient

Json = dict[str, Any]


def compose(folder: Path, text: str, project: str = "shop", environment: Mapping[str, str] | None = None) -> Project:
    """The project that a file with this text describes."""
    file = folder / "compose.yaml"
    file.write_text(text)
    return read(file, environment or {}, project=project)


def pod_status(fate: str, now: str, restarts: int = 0) -> Json:
    """The status that a pod with this fate has."""
    scheduled = {"type": "PodScheduled", "status": "True"}
    ready = {"type": "Ready", "status": "False"}
    state: Json = {"running": {"startedAt": now}}
    phase, last = "Running", {}
    match fate:
        case "ready" | "young":
            ready["status"] = "True"
        case "done" | "failed":
            phase = "Succeeded" if fate == "done" else "Failed"
            state = {"terminated": {"exitCode": 0 if fate == "done" else 3, "reason": "Error"}}
        case "crash":
            last, restarts = {"terminated": {"exitCode": 3, "reason": "Error"}}, max(restarts, 2)
            state = {"waiting": {"reason": "CrashLoopBackOff"}}
        case "image":
            phase, state = "Pending", {"waiting": {"reason": "ErrImagePull", "message": "no such image"}}
        case "unschedulable":
            scheduled = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "no cpu left"}
            return {"phase": "Pending", "conditions": [{**scheduled, "lastTransitionTime": now}]}
    container = {
        "name": "c",
        "ready": fate in ("ready", "young"),
        "restartCount": restarts,
        "state": state,
        "lastState": last,
    }
    return {"phase": phase, "conditions": [scheduled, ready], "containerStatuses": [container]}


class World(FakeClient):
    """The client verbs, with the controller, the scheduler and the node in one."""

    def __init__(self, clock: Clock | None = None) -> None:
        self.clock = clock or FakeClock()
        super().__init__(self.clock)
        self.fate: dict[str, str] = {}
        self.order: list[str] = []

    async def create(self, kind: Kind, document: Mapping[str, Any], namespace: str = "") -> Document:
        made = await super().create(kind, document, namespace)
        return await self._reconciled(made) if kind.kind == "App" else made

    async def update(self, kind: Kind, document: Mapping[str, Any], *, subresource: str = "") -> Document:
        meta = document["metadata"]
        old = self._find(kind, meta["name"], meta.get("namespace", ""))
        without = copy.deepcopy(dict(document))
        without["metadata"]["resourceVersion"] = old.meta.resource_version
        if without == old.decode() and meta.get("resourceVersion") in (None, old.meta.resource_version):
            self._enter("update", kind, meta["name"])
            return old
        changed = await super().update(kind, document, subresource=subresource)
        return await self._reconciled(changed) if kind.kind == "App" else changed

    async def patch(self, kind: Kind, name: str, *arguments: Any, **options: Any) -> Document:
        changed = await super().patch(kind, name, *arguments, **options)
        return await self._reconciled(changed) if kind.kind == "App" else changed

    async def delete(self, kind: Kind, name: str, namespace: str = "", **options: Any) -> None:
        await super().delete(kind, name, namespace, **options)
        if kind.kind == "App":
            self._drop_pods(name, namespace)
        if kind.kind == "Namespace":
            for document in [item for item in self._documents.values() if item.namespace == name]:
                self._remove(_kind(document), document)

    def _drop_pods(self, app: str, namespace: str) -> None:
        for pod in [item for item in self._documents.values() if item.key.resource == "core/pods"]:
            if pod.namespace == namespace and (pod.meta.labels or {}).get(app_kind.LABEL) == app:
                self._remove(pod_kind.KIND, pod)

    async def _reconciled(self, app: Document) -> Document:
        """The controller, at once: pods of the present template, and the status."""
        body = app.decode()
        self.order.append(app.name)
        self._drop_pods(app.name, app.namespace)
        fate = self.fate.get(app.name, "ready")
        wanted = body["spec"]["mode"].get("replicated", {"replicas": 1})["replicas"] if fate != "none" else 0
        for slot in range(1, wanted + 1):
            self._put(pod_kind.KIND, *self._pod(app, body, slot, fate))
        body["metadata"]["generation"] = body["metadata"].get("generation", 0) + 1
        progressing = "False" if fate in ("ready", "young", "done") else "True"
        body["status"] = {
            "observedGeneration": body["metadata"]["generation"],
            "replicas": wanted,
            "conditions": [{"type": "Progressing", "status": progressing}],
        }
        return self._put(app_kind.KIND, app.key, body)

    def _pod(self, app: Document, body: Json, slot: int, fate: str) -> tuple[Any, Json]:
        name = f"{app.name}-{slot}"
        labels = dict(body["spec"]["template"]["metadata"].get("labels") or {})
        labels |= {
            app_kind.LABEL: app.name,
            SLOT_LABEL: str(slot),
            TEMPLATE_LABEL: template_hash(body["spec"]["template"]),
        }
        metadata = {
            "name": name,
            "namespace": app.namespace,
            "uid": f"{name}-{app.revision}",
            "labels": labels,
            "ownerReferences": [
                {"apiVersion": "motet.dev/v1", "kind": "App", "name": app.name, "uid": app.meta.uid, "controller": True}
            ],
        }
        status = pod_status(fate, format_time(self.clock.now() - timedelta(seconds=60 if fate == "ready" else 0)))
        spec = {"nodeName": "" if fate == "unschedulable" else "n1", **body["spec"]["template"]["spec"]}
        document = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec, "status": status}
        return app.key._replace(resource="core/pods", name=name), document

    def names(self, kind: Kind) -> list[str]:
        """What there is of one kind."""
        return sorted(item.name for item in self._documents.values() if item.key.resource == kind.resource)


def _kind(document: Document) -> Kind:
    from motet.kinds.catalogue import Catalogue

    found = Catalogue().by_resource(document.key.resource)
    assert found is not None
    return found


NAMESPACE = namespace_kind.KIND
