"""One run of `up` against a cluster: write, wait until everything works, or take everything back.

All that it needs comes in: a client, documents, a clock and somewhere to show progress.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from motet.base.clock import Clock
from motet.base.errors import ApiError, MotetError
from motet.cli import waiting
from motet.cli.apply import order, states
from motet.cli.apply.journal import Change, Journal, Undone, Written
from motet.cli.apply.states import Failure, ServiceState
from motet.cli.compose.model import Project
from motet.cli.compose.translate import object_name
from motet.cli.progress import Line, Progress
from motet.client.interface import Client
from motet.controllers.appversion import version_of
from motet.kinds import app as app_kind
from motet.kinds import namespace as namespace_kind
from motet.kinds import persistentvolumeclaim as claim_kind
from motet.kinds import pod as pod_kind
from motet.store.document import Document
from motet.store.table import Table

_LOOK_EVERY = 1.0
# Pods have their grace period, and somebody must see that they are gone.
_UNDO_SECONDS = 60.0


class UpFailed(MotetError):
    """The project does not work as its file says; what was written is still there."""

    def __init__(self, message: str, service: str = "", failure: Failure | None = None) -> None:
        super().__init__(message)
        self.service = service
        self.failure = failure


@dataclass(slots=True)
class Outcome:
    """What a run did and what there is now."""

    written: dict[str, Written] = field(default_factory=dict)
    states: dict[str, ServiceState] = field(default_factory=dict)
    changed: bool = False


class Run:
    """One project being brought up. `documents` are in the order in which they are to be written, Apps last."""

    def __init__(
        self,
        client: Client,
        project: Project,
        documents: Sequence[Mapping[str, Any]],
        progress: Progress,
        clock: Clock,
        timeout: float,
    ) -> None:
        self._client = client
        self._project = project
        self._progress = progress
        self._clock = clock
        self._timeout = timeout
        self._apps = {doc["metadata"]["name"]: doc for doc in documents if doc["kind"] == app_kind.KIND.kind}
        self._others = [doc for doc in documents if doc["kind"] != app_kind.KIND.kind]
        self._written: dict[str, Written] = {}
        self.journal = Journal(client)

    async def up(self) -> Outcome:
        """Write everything and wait. Raises UpFailed, ApiError; nothing is taken back here."""
        try:
            for document in self._others:
                await self.journal.apply(document)
            for service in order.ordered(self._project.services):
                self._written[service.name] = await self.journal.apply(self._apps[object_name(service.name)])
            found = await self._until_settled()
        except ApiError as error:
            raise UpFailed(f"the cluster refuses it: {error.message}") from error
        return Outcome(dict(self._written), found, self.journal.changed)

    async def _until_settled(self) -> dict[str, ServiceState]:
        apps = await self._client.table(app_kind.KIND, self._project.name)
        pods = await self._client.table(pod_kind.KIND, self._project.name)
        news = asyncio.Event()
        stops = [table.listen(lambda old, new: news.set()) for table in (apps, pods)]
        deadline = self._clock.monotonic() + self._timeout
        try:
            while True:
                news.clear()
                found = self._judge(apps, pods)
                self._show(found)
                self._refuse_failures(found)
                if all(state.settled for state in found.values()):
                    return found
                if self._clock.monotonic() >= deadline:
                    raise self._late(found)
                await waiting.wait(news, self._clock, _LOOK_EVERY)
        finally:
            for stop in stops:
                stop()

    def _judge(self, apps: Table, pods: Table) -> dict[str, ServiceState]:
        now = self._clock.now()
        found = {}
        for name, written in self._written.items():
            known = apps.get(written.document.name, self._project.name)
            newest = known if known is not None and known.revision >= written.document.revision else written.document
            mine = [pod for pod in pods if (pod.meta.labels or {}).get(app_kind.LABEL) == newest.name]
            state = replace(states.judge(newest, mine, now), name=name)
            found[name] = states.undone(state, newest) if _differ(newest, written.document) else state
        return found

    def _refuse_failures(self, found: Mapping[str, ServiceState]) -> None:
        for name, state in found.items():
            if state.failure is not None:
                raise UpFailed(f"service {name} does not start: {state.detail}", name, state.failure)

    def _late(self, found: Mapping[str, ServiceState]) -> UpFailed:
        slow = [name for name, state in found.items() if not state.settled]
        # What others wait for is the cause.
        slow.sort(key=lambda name: found[name].phase is states.Phase.WAITING)
        return UpFailed(f"not ready after {self._timeout:.0f} s: {', '.join(slow)} ({found[slow[0]].detail})", slow[0])

    def _show(self, found: Mapping[str, ServiceState]) -> None:
        lines = []
        for service in self._project.services:
            state = found[service.name]
            change = self._written[service.name].change
            note = " (unchanged)" if state.settled and change is Change.UNCHANGED else ""
            lines.append(Line(service.name, state.phase.value, state.detail + note))
        self._progress.show(lines)

    async def undo(self) -> Undone:
        """Take back all that this run wrote, and wait until its pods are gone."""
        made = self.journal.created(app_kind.KIND)
        fresh = bool(self.journal.created(namespace_kind.KIND))
        claims = {document.name for document in self.journal.created(claim_kind.KIND)}
        undone = await self.journal.undo()
        deadline = self._clock.monotonic() + _UNDO_SECONDS
        while await self._left(made, claims, fresh):
            if self._clock.monotonic() > deadline:
                undone.failed.append("some pods are still ending; see: motet ps -a")
                break
            await self._clock.sleep(0.2)
        await self.journal.undo_networks(undone)
        return undone

    async def _left(self, apps: Sequence[Document], claims: set[str], fresh: bool) -> bool:
        name = self._project.name
        if fresh:
            return any(document.name == name for document in await self._client.list(namespace_kind.KIND))
        owners = {document.meta.uid for document in apps}
        pods = await self._client.list(pod_kind.KIND, name)
        if any(owner.uid in owners for pod in pods for owner in pod.meta.owner_references or ()):
            return True
        return any(document.name in claims for document in await self._client.list(claim_kind.KIND, name))


def _differ(one: Document, other: Document) -> bool:
    """Whether the pods of one App are others than those of the other."""
    return one.revision != other.revision and version_of(one.decode()["spec"]) != version_of(other.decode()["spec"])
