"""Forgetting: revisions that nobody needs any more are compacted away, so that the store's size follows its content."""

from __future__ import annotations

import logging
from collections import deque
from typing import NoReturn

from motet.base.clock import Clock
from motet.store.engine import Store

_log = logging.getLogger(__name__)

_STEPS = 10


async def keep(store: Store, seconds: float, clock: Clock) -> NoReturn:
    """Compact to what was current `seconds` ago, in steps of a tenth of that time; cancellation ends it."""
    marks: deque[int] = deque(maxlen=_STEPS)
    while True:
        await clock.sleep(seconds / _STEPS)
        if len(marks) == _STEPS and marks[0] > store.compacted:
            await store.compact(marks[0])
            _log.debug("compacted to revision %d", marks[0])
        marks.append(store.revision)
