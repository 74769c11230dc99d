"""Telling the API the status of pods: only what changed, many changes as one, again after a failure.

A merge patch carries the fields that differ, and the pod's uid as a precondition so that a namesake is never touched.
Conditions that belong to others are handed back as they are.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from motet.base import jitter
from motet.base.clock import Clock
from motet.base.errors import CallerError, Conflict, NotFound, ServerError, TooManyRequests
from motet.client.interface import Client, PatchType
from motet.kinds import pod as pod_kind
from motet.pods.status import OWN_CONDITIONS
from motet.store.document import Document

Json = dict[str, Any]

_log = logging.getLogger("motet.pods.status")
_WRITERS = 8
_RETRY_FIRST = 0.5
_RETRY_LONGEST = 30.0
# Somebody else's change of our fields is put right at most this often, in seconds.
_CORRECT_EVERY = 10.0
# How long a change that can wait is held back, so that it goes with another, in seconds.
_PATIENCE = 1.0
_GENERATION = "observedGeneration"
_OWN_FIELDS = (
    "phase", "reason", "message", "hostIP", "hostIPs", "podIP", "podIPs", "startTime", "qosClass", "conditions",
    "initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses",
    "observedGeneration",
)  # fmt: skip


class _StatusView(msgspec.Struct, gc=False, frozen=True):
    status: dict[str, Any] = {}


@dataclass(slots=True)
class _Entry:
    document: Document
    wanted: Json
    written: Json | None = None
    revision: int = 0
    written_at: float = float("-inf")
    delay: float = _RETRY_FIRST
    settled: asyncio.Event = field(default_factory=asyncio.Event)


class StatusWriter:
    """Writes statuses; `run` beside whatever calls `set`."""

    def __init__(self, client: Client, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._entries: dict[str, _Entry] = {}
        self._due: dict[str, None] = {}
        self._news = asyncio.Event()
        self._busy: set[str] = set()
        # What can wait, and until when.
        self._patient: dict[str, float] = {}
        self._patience = asyncio.Event()

    def set(self, document: Document, status: Json) -> None:
        """`status` is now the truth about the pod last seen as `document`."""
        uid = document.meta.uid
        entry = self._entries.get(uid)
        if entry is None:
            entry = self._entries[uid] = _Entry(document, status)
        entry.document, entry.wanted = document, status
        if self._differs(entry):
            entry.settled.clear()
            if _significant(self._known(entry), status):
                self._hurry(uid)
            else:
                self._patient.setdefault(uid, self._clock.monotonic() + _PATIENCE)
                self._patience.set()
        else:
            entry.settled.set()

    def _hurry(self, uid: str) -> None:
        self._patient.pop(uid, None)
        self._due[uid] = None
        self._news.set()

    def forget(self, uid: str) -> None:
        if (entry := self._entries.pop(uid, None)) is not None:
            entry.settled.set()
        self._due.pop(uid, None)
        self._patient.pop(uid, None)

    async def flush(self, uid: str) -> None:
        """Return when the last status set for `uid` has been written, or the pod turned out to be gone."""
        if (entry := self._entries.get(uid)) is not None:
            if uid in self._patient:
                self._hurry(uid)
            await entry.settled.wait()

    def _differs(self, entry: _Entry) -> bool:
        wanted = _bare(entry.wanted)
        if entry.written is not None and wanted != _bare(entry.written):
            return True
        known = self._known(entry)
        if wanted == {key: value for key, value in _bare(known).items() if key in _OWN_FIELDS}:
            return False
        return entry.written is None or self._clock.monotonic() - entry.written_at >= _CORRECT_EVERY

    @staticmethod
    def _known(entry: _Entry) -> Json:
        """What the API has: the newer of what was written and what was seen."""
        if entry.written is not None and entry.document.revision <= entry.revision:
            return entry.written
        seen = entry.document.view(_StatusView).status
        ours = _ours(entry.wanted)
        own = [item for item in seen.get("conditions") or () if item.get("type") in ours]
        return {**seen, "conditions": own}

    async def run(self) -> None:
        """Write until cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(_WRITERS):
                group.create_task(self._work())
            group.create_task(self._wait())

    async def _wait(self) -> None:
        """Write what could wait when it has waited long enough."""
        while True:
            if not self._patient:
                self._patience.clear()
                await self._patience.wait()
                continue
            uid, until = min(self._patient.items(), key=lambda item: item[1])
            if (left := until - self._clock.monotonic()) > 0:
                await self._clock.sleep(left)
            elif uid in self._patient:
                self._hurry(uid)

    async def _work(self) -> None:
        while True:
            uid = next((uid for uid in self._due if uid not in self._busy), None)
            if uid is None:
                self._news.clear()
                await self._news.wait()
                continue
            del self._due[uid]
            entry = self._entries[uid]
            self._busy.add(uid)
            try:
                await self._write(uid, entry)
            finally:
                self._busy.discard(uid)
                if self._due:
                    self._news.set()

    async def _write(self, uid: str, entry: _Entry) -> None:
        wanted = entry.wanted
        foreign = _foreign(entry.document, _ours(wanted))
        patch = {"metadata": {"uid": uid}, "status": difference(self._known(entry), wanted, foreign)}
        try:
            answer = await self._client.patch(
                pod_kind.KIND, entry.document.name, patch, entry.document.namespace,
                patch_type=PatchType.MERGE, subresource="status",
            )  # fmt: skip
        except NotFound:
            entry.settled.set()
            return
        except (Conflict, ServerError, TooManyRequests) as error:
            if isinstance(error, Conflict) and "uid" in error.message.lower():
                entry.settled.set()
                return
            _log.debug("status of %s not written, trying again: %s", entry.document.name, error)
            await self._clock.sleep(jitter.around(entry.delay))
            entry.delay = min(entry.delay * 2, _RETRY_LONGEST)
            self._due[uid] = None
            return
        except CallerError as error:
            _log.warning("the API refuses the status of %s: %s", entry.document.name, error)
            entry.settled.set()
            return
        entry.written, entry.revision, entry.delay = wanted, answer.revision, _RETRY_FIRST
        entry.written_at = self._clock.monotonic()
        if entry.wanted is wanted:
            entry.settled.set()
        elif uid in self._entries:
            self._due[uid] = None


def _significant(known: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether more differs than the generation that was looked at, which whoever changed the pod is not waiting for."""

    def plain(status: Mapping[str, Any]) -> Any:
        own = {name: status[name] for name in _OWN_FIELDS if name in status and name != _GENERATION}
        conditions = [
            {key: value for key, value in condition.items() if key != _GENERATION}
            for condition in own.get("conditions") or ()
        ]
        return _bare({**own, "conditions": conditions})

    return bool(plain(known) != plain(wanted))


def _ours(wanted: Mapping[str, Any]) -> set[str]:
    """The types of conditions that are ours to write: always, or because there is one of them to tell."""
    return {*OWN_CONDITIONS, *(condition["type"] for condition in wanted.get("conditions") or ())}


def _foreign(document: Document, ours: set[str]) -> list[Json]:
    conditions = document.view(_StatusView).status.get("conditions") or ()
    return [condition for condition in conditions if condition.get("type") not in ours]


def difference(known: Mapping[str, Any], wanted: Mapping[str, Any], foreign: list[Json]) -> Json:
    """The merge patch that turns our fields of `known` into `wanted`; conditions of others stay."""
    patch: Json = {}
    for name in _OWN_FIELDS:
        if name in wanted:
            if _bare(wanted[name]) != _bare(known.get(name)):
                patch[name] = [*foreign, *wanted[name]] if name == "conditions" else wanted[name]
        elif known.get(name) is not None:
            patch[name] = None
    return patch


def _bare(value: Any) -> Any:
    """Without nulls and empty parts, which a server may drop or add."""
    if isinstance(value, Mapping):
        inner = {key: _bare(item) for key, item in value.items()}
        return {key: item for key, item in inner.items() if item not in (None, {}, [], "")}
    if isinstance(value, list | tuple):
        return [_bare(item) for item in value]
    return value
