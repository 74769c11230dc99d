"""`docker run --rm`: containers that go when their run has ended. The cluster sees to it, whatever becomes of the client."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from datetime import datetime

from motet.base import timestamps
from motet.base.clock import Clock
from motet.base.errors import NotFound
from motet.client.interface import Client
from motet.controllers.loop import Controller, ObjectKey, own_key
from motet.dialects.docker.containers import known
from motet.dialects.docker.containers.attach import HELD
from motet.kinds import pod as pod_kind
from motet.kinds import podtemplate as template_kind
from motet.store.document import Document
from motet.store.table import Table


def due_in(template: Document, pods: Sequence[Document], now: datetime) -> float | None:
    """Seconds until a container may go: 0 for now, None for not as long as nothing changes.

    What counts of `pods` are the runs that it owns, and every one of them must have ended: the newest is told by its name.
    """
    annotations = template.meta.annotations or {}
    container = known.of_template(template, pods)
    if known.REMOVE not in annotations or template.meta.deletion_timestamp is not None:
        return None
    if container.pod is None or any(known.of_template(template, [each]).runs for each in pods):
        return None
    held = [timestamps.parse_time(value) for key, value in annotations.items() if key.startswith(HELD)]
    return max((0.0, *((each - now).total_seconds() for each in held)))


class Reaper:
    """The loop over containers."""

    def __init__(self, client: Client, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._templates: Table
        self._pods: Table

    async def run(self) -> None:
        """Remove until cancelled."""
        self._templates = await self._client.table(template_kind.KIND)
        self._pods = await self._client.table(pod_kind.KIND)
        loop: Controller[ObjectKey] = Controller("docker-containers", self.reconcile, clock=self._clock)
        loop.watch(self._templates, own_key)
        loop.watch(self._pods, _container_key)
        await loop.run()

    async def reconcile(self, key: ObjectKey) -> float | None:
        """One look at one container."""
        namespace, name = key
        template = self._templates.get(name, namespace)
        if template is None or known.REMOVE not in (template.meta.annotations or {}):
            return None
        pods = [each for each in self._pods if each.namespace == namespace and _of(each) == name]
        left = due_in(template, pods, self._clock.now())
        if left is None or left > 0:
            return left
        with contextlib.suppress(NotFound):
            await self._client.delete(template_kind.KIND, name, namespace, uid=template.meta.uid)
        return None


def _of(pod: Document) -> str:
    return (pod.meta.labels or {}).get(known.LABEL, "")


def _container_key(old: Document | None, new: Document | None) -> Iterable[ObjectKey]:
    pod = new or old
    return ((pod.namespace, _of(pod)),) if pod is not None and _of(pod) else ()
