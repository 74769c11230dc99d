"""FlowSchemas say whether their level is there (condition `Dangling`): one whose level is not matches nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

from motet.base import timestamps
from motet.base.clock import Clock
from motet.base.errors import NotFound
from motet.client.interface import Client
from motet.controllers.loop import Controller
from motet.kinds import flowschema, prioritylevelconfiguration
from motet.kinds.flowcontrol import DANGLING
from motet.kinds.kind import Json
from motet.kinds.shape import mapping, objects, text
from motet.store.document import Document
from motet.store.table import Table


def conditions(schema: Json, *, exists: bool, now: str) -> list[Json]:
    """The conditions a FlowSchema should have; its own where nothing has changed."""
    had = objects(schema, "status", "conditions")
    level = text(schema, "spec", "priorityLevelConfiguration", "name")
    wanted = {
        "type": DANGLING,
        "status": "False" if exists else "True",
        "reason": "Found" if exists else "NotFound",
        "message": f'This FlowSchema references the PriorityLevelConfiguration object named "{level}" '
        + ("and it exists" if exists else "but there is no such object"),
    }
    old = next((each for each in had if text(each, "type") == DANGLING), {})
    since = old.get("lastTransitionTime") if old.get("status") == wanted["status"] else now
    return [*(each for each in had if text(each, "type") != DANGLING), {**wanted, "lastTransitionTime": since}]


class FlowSchemas:
    """The loop over FlowSchemas. Keys are their names."""

    def __init__(self, client: Client, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._schemas: Table
        self._levels: Table

    async def run(self) -> None:
        """Keep conditions until cancelled."""
        self._schemas = await self._client.table(flowschema.KIND)
        self._levels = await self._client.table(prioritylevelconfiguration.KIND)
        loop: Controller[str] = Controller("flowschemas", self.reconcile, clock=self._clock, parallelism=1)
        loop.watch(self._schemas, _itself)
        loop.watch(self._levels, self._those_of)
        await loop.run()

    async def reconcile(self, name: str) -> float | None:
        """Write one condition, if it is not what it should be."""
        document = self._schemas.get(name)
        if document is None:
            return None
        schema = document.decode()
        level = text(schema, "spec", "priorityLevelConfiguration", "name")
        now = timestamps.format_time(self._clock.now())
        wanted = conditions(schema, exists=self._levels.get(level) is not None, now=now)
        if wanted != objects(schema, "status", "conditions"):
            status = {**mapping(schema, "status"), "conditions": wanted}
            with contextlib.suppress(NotFound):
                await self._client.update(flowschema.KIND, {**schema, "status": status}, subresource="status")
        return None

    def _those_of(self, old: Document | None, new: Document | None) -> Iterable[str]:
        if old is None or new is None:
            yield from (each.name for each in self._schemas)


def _itself(old: Document | None, new: Document | None) -> Iterable[str]:
    if new is not None:
        yield new.name
