"""One change of one object, and how it looks to those who watch.

An object that enters a watcher's selection looks added to it, one that leaves looks deleted, whatever really happened
(Kubernetes API conventions, "Efficient detection of changes"). Each look is made at most once and shared by all watchers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from motet.base.selectors import FieldSelector, Nothing, Selector
from motet.store.document import Document
from motet.store.table import ALL_FIELDS, Fields, selectable

EventType = Literal["ADDED", "MODIFIED", "DELETED"]


class WatchEvent:
    """What a watcher gets. A deletion carries the last state, with the deletion's revision as its resourceVersion."""

    __slots__ = ("_line", "document", "type")

    def __init__(self, type: EventType, document: Document) -> None:
        self.type = type
        self.document = document
        self._line: bytes | None = None

    @property
    def revision(self) -> int:
        return self.document.revision

    @property
    def line(self) -> bytes:
        """`{"type":...,"object":...}` and a newline: made for the first who asks, the same bytes for all."""
        if self._line is None:
            self._line = b'{"type":"%b","object":%b}\n' % (self.type.encode(), self.document.raw)
        return self._line

    def __repr__(self) -> str:
        return f"<{self.type} {self.document!r}>"


class Change:
    """`old` is None for a creation, `new` for a deletion; never both."""

    __slots__ = ("_added", "_deleted", "_modified", "new", "old", "revision")

    def __init__(self, old: Document | None, new: Document | None, revision: int) -> None:
        self.old = old
        self.new = new
        self.revision = revision
        self.forget()

    def forget(self) -> None:
        """Let go of the events made so far; whoever was given them keeps them."""
        self._added: WatchEvent | None = None
        self._modified: WatchEvent | None = None
        self._deleted: WatchEvent | None = None

    @property
    def size(self) -> int:
        """Bytes of both states."""
        return (len(self.old.raw) if self.old else 0) + (len(self.new.raw) if self.new else 0)

    def seen(self, before: bool, after: bool) -> WatchEvent | None:
        """The event for a watcher whose selection held the object `before` and holds it `after`; None for nothing."""
        if after:
            assert self.new is not None
            if before:
                if self._modified is None:
                    self._modified = WatchEvent("MODIFIED", self.new)
                return self._modified
            if self._added is None:
                self._added = WatchEvent("ADDED", self.new)
            return self._added
        if before:
            assert self.old is not None
            if self._deleted is None:
                self._deleted = WatchEvent("DELETED", self.old.at(self.revision))
            return self._deleted
        return None


@dataclass(frozen=True, slots=True)
class Selection:
    """Which objects of a resource a watcher wants."""

    namespace: str = ""
    labels: Selector = Selector()
    fields: FieldSelector = ALL_FIELDS

    def holds(self, document: Document | None, fields: Fields) -> bool:
        if document is None or (self.namespace and document.key.namespace != self.namespace):
            return False
        if self.labels and not self.labels.matches(document.meta.labels):
            return False
        return not self.fields or self.fields.matches(selectable(document, fields))

    def event(self, change: Change, fields: Fields) -> WatchEvent | None:
        """How `change` looks through this selection; None when it does not show."""
        return change.seen(self.holds(change.old, fields), self.holds(change.new, fields))

    @property
    def empty(self) -> bool:
        """Whether it can never hold anything."""
        return isinstance(self.labels, Nothing)
