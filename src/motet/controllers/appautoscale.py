"""Apps that grow and shrink by themselves: the loop that gives each with `spec.autoscale` a HorizontalPodAutoscaler of its own.

The autoscaler has the App's name and is owned by it, so it goes with it; what people change in it is put back. One of that name
that is somebody else's is left alone, and told of.
"""

from __future__ import annotations

import contextlib
from typing import Any

from motet.base.clock import Clock
from motet.base.errors import AlreadyExists, NotFound
from motet.client.events import WARNING, About, EventRecorder
from motet.client.interface import Client
from motet.controllers import ownership
from motet.controllers.appview import AppView
from motet.controllers.loop import Controller, ObjectKey, TryAgain, own_key, owner_key
from motet.kinds import app as app_kind
from motet.kinds import horizontalpodautoscaler
from motet.kinds.tasks import LABEL
from motet.store.document import Document
from motet.store.table import Table

Json = dict[str, Any]
_KIND = horizontalpodautoscaler.KIND


def wanted(app: Document) -> Json | None:
    """The autoscaler that an App asks for: pure."""
    view = app.view(AppView)
    autoscale = view.spec.autoscale
    if autoscale is None or view.spec.mode.replicated is None or app.meta.deletion_timestamp is not None:
        return None
    kind = app_kind.KIND
    goal = {"type": "Utilization", "averageUtilization": autoscale.cpu_percent}
    return {
        "apiVersion": _KIND.api_version,
        "kind": _KIND.kind,
        "metadata": {
            "name": app.name,
            "namespace": app.namespace,
            "labels": {LABEL: app.name},
            "ownerReferences": [dict(ownership.reference(app, kind))],
        },
        "spec": {
            "scaleTargetRef": {"apiVersion": kind.api_version, "kind": kind.kind, "name": app.name},
            "minReplicas": autoscale.min_replicas,
            "maxReplicas": autoscale.max_replicas,
            "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": goal}}],
        },
    }


class AppAutoscalers:
    """The loop over Apps and the autoscalers they own."""

    def __init__(self, client: Client, clock: Clock, events: EventRecorder) -> None:
        self._client = client
        self._clock = clock
        self._events = events
        self._apps: Table
        self._autoscalers: Table

    async def run(self) -> None:
        """Keep autoscalers as Apps ask for them, until cancelled."""
        self._apps = await self._client.table(app_kind.KIND)
        self._autoscalers = await self._client.table(_KIND)
        loop: Controller[ObjectKey] = Controller("app-autoscale", self.reconcile, clock=self._clock)
        loop.watch(self._apps, own_key)
        loop.watch(self._autoscalers, owner_key(app_kind.KIND.kind))
        await loop.run()

    async def reconcile(self, key: ObjectKey) -> float | None:
        """One look at one App."""
        namespace, name = key
        app = self._apps.get(name, namespace)
        if app is None:
            return None
        body, known = wanted(app), self._autoscalers.get(name, namespace)
        owner = known.meta.controller() if known is not None else None
        ours = owner is not None and owner.uid == app.meta.uid
        if body is None:
            if known is not None and ours:
                with contextlib.suppress(NotFound):
                    await self._client.delete(_KIND, name, namespace, uid=known.meta.uid)
            return None
        if known is None:
            with contextlib.suppress(AlreadyExists):
                await self._client.create(_KIND, body)
            return None
        if not ours:
            message = f"there is a HorizontalPodAutoscaler {name} already, which is not the App's: it is left alone"
            about = About.document(app, app_kind.KIND.api_version, app_kind.KIND.kind)
            self._events.event(about, WARNING, "FailedAutoscale", message)
            raise TryAgain(message)
        changed = known.decode()
        spec = {**changed["spec"], **body["spec"]}
        if spec != changed["spec"]:
            await self._client.update(_KIND, {**changed, "spec": spec})
        return None
