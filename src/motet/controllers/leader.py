"""Which manager's loops may act. One manager is always its own leader; several will hold an election behind this seam."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol


class Leadership(Protocol):
    """`lead(work)` runs `work` while this manager leads, and cancels it when it no longer does."""

    async def lead(self, work: Callable[[], Awaitable[None]]) -> None: ...


class Alone:
    """The leadership of the only manager there is."""

    async def lead(self, work: Callable[[], Awaitable[None]]) -> None:
        await work()
