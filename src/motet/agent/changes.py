"""What the pods here use has changed: the manager says so at once (`api/http/usedobjects`), and their files follow.

Whoever hears nothing looks every half minute all the same, so it does no harm to miss something.
"""

from __future__ import annotations

import logging
import random
from collections.abc import AsyncIterator, Callable
from typing import Protocol

import msgspec

from motet.base.clock import Clock
from motet.base.errors import ApiError, NotFound

_log = logging.getLogger("motet.agent.changes")

_PATH = "/motet/v1/changes"
# The manager speaks at least every half minute.
_SILENCE = 90.0
# Before the next try, in seconds: all nodes lose their manager at the same time.
_PAUSE = (1.0, 5.0)
_OLDER_MANAGER = 300.0

# Resource, namespace, name.
Object = tuple[str, str, str]


class _Line(msgspec.Struct, gc=False, frozen=True):
    changed: tuple[Object, ...] = ()


class Streamer(Protocol):
    """What this needs of the client."""

    def stream(self, path: str, *, silence: float | None = None) -> AsyncIterator[bytes]: ...


class UsedChanges:
    """Of one node. `changed` is called with everything that has."""

    def __init__(self, client: Streamer, clock: Clock, changed: Callable[[Object], None]) -> None:
        self._client = client
        self._clock = clock
        self._changed = changed

    async def run(self) -> None:
        """Listen until cancelled."""
        while True:
            pause = random.uniform(*_PAUSE)  # noqa: S311
            try:
                await self._listen()
            except NotFound:
                pause = _OLDER_MANAGER
            except (ApiError, msgspec.DecodeError) as error:
                _log.debug("no word of changes: %s", error)
            await self._clock.sleep(pause)

    async def _listen(self) -> None:
        """Raises ApiError, msgspec.DecodeError."""
        buffer = b""
        async for piece in self._client.stream(_PATH, silence=_SILENCE):
            *lines, buffer = (buffer + piece).split(b"\n")
            for line in lines:
                for each in msgspec.json.decode(line, type=_Line).changed:
                    self._changed(each)
