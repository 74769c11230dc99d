"""The one place that keeps a loop alive whatever it raises."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import NoReturn

from motet.base import jitter
from motet.base.clock import Clock, SystemClock

_FIRST_DELAY = 0.2
_LONGEST_DELAY = 30.0
_HEALTHY_AFTER = 60.0


async def forever(
    name: str, run: Callable[[], Awaitable[None]], *, log: logging.Logger, clock: Clock | None = None
) -> NoReturn:
    """Run `run` again whenever it returns or raises, backing off with jitter up to 30 s; cancellation ends it.

    A run that lasted a minute counts as healthy and starts the back-off afresh.
    """
    clock = clock or SystemClock()
    delay = _FIRST_DELAY
    while True:
        started = clock.monotonic()
        try:
            await run()
        except Exception:
            log.exception("%s failed; starting it again", name)
        if clock.monotonic() - started >= _HEALTHY_AFTER:
            delay = _FIRST_DELAY
        await clock.sleep(jitter.around(delay, 0.2))
        delay = min(delay * 2, _LONGEST_DELAY)
