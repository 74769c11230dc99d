"""Forgetting: revisions that nobody needs any more are compacted away, so that the store's size follows its content."""

from __future__ import annotations

import logging
from typing import NoReturn

from motet.base.clock import Clock
from motet.store.engine import Store
from motet.store.retention import Retention

_log = logging.getLogger(__name__)

_EVERY_SECONDS = 60.0


async def keep(store: Store, seconds: float, clock: Clock) -> NoReturn:
    """Compact to what was current `seconds` ago, once a minute; cancellation ends it."""
    retention = Retention(seconds)
    while True:
        revision = retention.note(clock.monotonic(), store.revision)
        if revision > store.compacted:
            await store.compact(revision)
            _log.debug("compacted to revision %d", revision)
        await clock.sleep(_EVERY_SECONDS)
