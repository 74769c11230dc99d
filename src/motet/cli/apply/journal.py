"""Writes of one run, remembered so that they can be taken back: what was made is deleted, what was changed is put back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from motet.base.errors import AlreadyExists, Conflict, MotetError, NotFound
from motet.cli.apply.objects import MADE_ONCE, kind_of, namespace_of, overlay, titled
from motet.client.interface import Client
from motet.kinds import network
from motet.kinds.kind import Kind
from motet.store.document import Document

_ATTEMPTS = 5


class Change(StrEnum):
    """What writing a document did."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"


@dataclass(frozen=True, slots=True)
class Written:
    """One document as it is now. `before` is what it was, None when it is new."""

    kind: Kind
    document: Document
    change: Change
    before: Document | None = None

    @property
    def title(self) -> str:
        return f"{self.kind.kind} {self.document.name}"


class Journal:
    """Creates or updates documents and remembers how to undo it."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.entries: list[Written] = []
        self._networks: list[Written] = []

    async def apply(self, wanted: Mapping[str, Any]) -> Written:
        """Make the cluster's document as `wanted` says. Raises ApiError."""
        kind = kind_of(wanted)
        namespace, name = namespace_of(wanted), wanted["metadata"]["name"]
        for _ in range(_ATTEMPTS):
            try:
                live = await self._client.get(kind, name, namespace)
            except NotFound:
                try:
                    made = await self._client.create(kind, wanted, namespace)
                except AlreadyExists:
                    continue
                return self._note(Written(kind, made, Change.CREATED))
            if live.meta.deletion_timestamp is not None:
                raise MotetError(f"{titled(wanted)} is just being deleted; try again in a moment")
            if kind.kind in MADE_ONCE:
                return self._note(Written(kind, live, Change.UNCHANGED, live))
            try:
                changed = await self._client.update(kind, overlay(live.decode(), wanted))
            except (Conflict, NotFound):
                continue
            # A replacement that changes nothing keeps the revision.
            change = Change.UNCHANGED if changed.revision == live.revision else Change.UPDATED
            return self._note(Written(kind, changed, change, live))
        raise MotetError(f"{titled(wanted)} is changed by somebody else all the time; try again")

    def _note(self, written: Written) -> Written:
        self.entries.append(written)
        return written

    @property
    def changed(self) -> bool:
        return any(entry.change is not Change.UNCHANGED for entry in self.entries)

    def created(self, kind: Kind) -> list[Document]:
        """What this run made of one kind."""
        return [
            entry.document for entry in self.entries if entry.change is Change.CREATED and entry.kind.kind == kind.kind
        ]

    async def undo(self) -> Undone:
        """Take back everything but Networks, newest first. What cannot be taken back is told and does not stop the rest."""
        done = Undone()
        for entry in reversed(self.entries):
            try:
                if entry.change is Change.CREATED and entry.kind.kind == network.KIND.kind:
                    self._networks.append(entry)
                elif entry.change is Change.CREATED:
                    await self._delete(entry)
                    done.deleted.append(entry)
                elif entry.change is Change.UPDATED:
                    await self._restore(entry)
                    done.restored.append(entry)
            except MotetError as error:
                done.failed.append(f"{entry.title}: {error}")
        self.entries.clear()
        return done

    async def undo_networks(self, done: Undone) -> None:
        """What `undo` left: Networks go when no pod is on them any more."""
        for entry in self._networks:
            try:
                await self._delete(entry)
                done.deleted.append(entry)
            except MotetError as error:
                done.failed.append(f"{entry.title}: {error}")
        self._networks.clear()

    async def _delete(self, entry: Written) -> None:
        try:
            await self._client.delete(
                entry.kind,
                entry.document.name,
                entry.document.namespace,
                uid=entry.document.meta.uid,
                propagation="Background",
            )
        except (NotFound, Conflict):  # somebody else was faster; Conflict: it is another object by now
            return

    async def _restore(self, entry: Written) -> None:
        assert entry.before is not None
        for _ in range(_ATTEMPTS):
            try:
                live = await self._client.get(entry.kind, entry.document.name, entry.document.namespace)
                before = entry.before.decode()
                before["metadata"]["resourceVersion"] = live.meta.resource_version
                await self._client.update(entry.kind, before)
            except NotFound:
                return
            except Conflict:
                continue
            return


@dataclass(slots=True)
class Undone:
    """What taking back did."""

    deleted: list[Written] = field(default_factory=list)
    restored: list[Written] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    def sentence(self) -> str:
        """One sentence for the end of a failed run."""
        parts = []
        if self.deleted:
            parts.append(f"{len(self.deleted)} new object{'s' * (len(self.deleted) != 1)} removed")
        if self.restored:
            names = ", ".join(entry.title for entry in reversed(self.restored))
            parts.append(f"{names} put back as before")
        return "undone: " + "; ".join(parts) if parts else "nothing had been changed"
