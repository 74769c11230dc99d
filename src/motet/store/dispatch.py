"""Finding, for one change, the few selections it can concern among thousands.

Subscribers with the same selection share a channel, which works out each event once and hands all of them the same batch.
Channels are filed under one thing their selection insists on: a name, a field's value (`spec.nodeName=n1`), a label's, or
nothing; and under their namespace. A change looks only where its object's own values, before and after, point.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from motet.store.change import Change, Selection, WatchEvent
from motet.store.document import Document
from motet.store.subscription import Subscription
from motet.store.table import Fields

# ("", "") for no condition, ("name", ""), ("field", path) or ("label", key).
Dimension = tuple[str, str]
_ANY: Dimension = ("", "")


class Channel:
    """All subscribers of one selection."""

    def __init__(self, selection: Selection, dimension: Dimension, value: str) -> None:
        self.selection = selection
        self.dimension = dimension
        self.value = value
        self.subscribers: set[Subscription] = set()
        self.batch: list[WatchEvent] = []


class Dispatch:
    """The channels of one resource."""

    def __init__(self, fields: Fields) -> None:
        self._fields = fields
        self._channels: dict[Selection, Channel] = {}
        # dimension -> (namespace, value) -> channels
        self._filed: dict[Dimension, dict[tuple[str, str], list[Channel]]] = {}
        self._touched: list[Channel] = []

    def join(self, selection: Selection, subscription: Subscription) -> None:
        channel = self._channels.get(selection)
        if channel is None:
            dimension, value = _insists_on(selection)
            channel = self._channels[selection] = Channel(selection, dimension, value)
            self._filed.setdefault(dimension, {}).setdefault((selection.namespace, value), []).append(channel)
        channel.subscribers.add(subscription)

    def leave(self, selection: Selection, subscription: Subscription) -> None:
        channel = self._channels.get(selection)
        if channel is None:
            return
        channel.subscribers.discard(subscription)
        if not channel.subscribers:
            del self._channels[selection]
            filed = self._filed[channel.dimension]
            place = (selection.namespace, channel.value)
            filed[place].remove(channel)
            if not filed[place]:
                del filed[place]
                if not filed:
                    del self._filed[channel.dimension]

    def subscribers(self) -> Iterable[Subscription]:
        return [subscriber for channel in self._channels.values() for subscriber in channel.subscribers]

    def note(self, change: Change) -> None:
        """Work out who sees what of `change`; `flush` hands it over."""
        for channel in self._concerned(change):
            event = channel.selection.event(change, self._fields)
            if event is not None:
                if not channel.batch:
                    self._touched.append(channel)
                channel.batch.append(event)

    def flush(self) -> None:
        """Hand every subscriber what was noted since the last time, as one batch."""
        touched, self._touched = self._touched, []
        for channel in touched:
            batch, channel.batch = channel.batch, []
            for subscriber in tuple(channel.subscribers):
                subscriber.offer(batch)

    def _concerned(self, change: Change) -> Sequence[Channel]:
        found: list[Channel] = []
        for dimension, filed in self._filed.items():
            places: set[tuple[str, str]] = set()
            for document in (change.old, change.new):
                if document is not None:
                    value = self._value(document, dimension)
                    if value is not None:
                        places.add(("", value))
                        places.add((document.key.namespace, value))
            for place in places:
                found += filed.get(place, ())
        return found

    def _value(self, document: Document, dimension: Dimension) -> str | None:
        match dimension:
            case ("", _):
                return ""
            case ("name", _):
                return document.key.name
            case ("field", path):
                return self._fields(document).get(path, "")
            case (_, key):
                labels: Mapping[str, str] = document.meta.labels or {}
                return labels.get(key)


def _insists_on(selection: Selection) -> tuple[Dimension, str]:
    """The most telling equality of a selection."""
    equal = [term for term in selection.fields.terms if not term.negated]
    for term in equal:
        if term.path == "metadata.name":
            return ("name", ""), term.value
    for term in equal:
        if term.path != "metadata.namespace":
            return ("field", term.path), term.value
    for key, value in selection.labels.equalities():
        return ("label", key), value
    return _ANY, ""
