"""Waiting for something to happen, but never for longer than some seconds: what is judged by the time is looked at anew."""

from __future__ import annotations

import asyncio

from motet.base.clock import Clock


async def wait(news: asyncio.Event, clock: Clock, seconds: float) -> None:
    """Return once there is news, or after `seconds`."""
    both = [asyncio.ensure_future(news.wait()), asyncio.ensure_future(clock.sleep(seconds))]
    try:
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in both:
            task.cancel()
