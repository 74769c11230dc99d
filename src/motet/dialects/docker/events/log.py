"""The last events, and whoever waits for the next ones. A daemon keeps 256 of them, and so do we."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]

KEPT = 256
# A listener who is so far behind has gone; what is beyond is lost to them.
_WAITING = 4096

LOCAL, SWARM = "local", "swarm"


@dataclass(frozen=True, slots=True)
class Event:
    """`at` is seconds since 1970. `attributes` always have the actor's `name`."""

    type: str
    action: str
    id: str
    attributes: Mapping[str, str] = field(default_factory=dict)
    scope: str = LOCAL
    at: float = 0.0

    def json(self) -> Json:
        """As the Engine API has it ("Monitor events")."""
        nanoseconds = int(self.at * 1_000_000) * 1000
        found: Json = {
            "Type": self.type,
            "Action": self.action,
            "Actor": {"ID": self.id, "Attributes": dict(self.attributes)},
            "scope": self.scope,
            "time": nanoseconds // 1_000_000_000,
            "timeNano": nanoseconds,
        }
        # What clients read before there were actors.
        if self.type in ("container", "image"):
            found |= {"status": self.action, "id": self.id}
        if self.type == "container":
            found["from"] = self.attributes.get("image", "")
        return found


class EventLog:
    """Events in the order they were noted."""

    def __init__(self) -> None:
        self._past: deque[Event] = deque(maxlen=KEPT)
        self._listeners: set[asyncio.Queue[Event]] = set()

    def note(self, event: Event) -> None:
        self._past.append(event)
        for queue in self._listeners:
            if not queue.full():
                queue.put_nowait(event)

    @contextmanager
    def listening(self) -> Iterator[tuple[list[Event], asyncio.Queue[Event]]]:
        """(what was, a queue of what comes), with nothing between."""
        queue: asyncio.Queue[Event] = asyncio.Queue(_WAITING)
        self._listeners.add(queue)
        try:
            yield list(self._past), queue
        finally:
            self._listeners.discard(queue)
