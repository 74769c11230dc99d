"""Seats: how many requests of each level are worked on at a time, and who waits for how long.

A level has a share of all seats. Some of it may be lent to levels that need more while it does not; the rest is always its own.
Waiting requests stand in the queues of their level, and the queues take turns.

Most requests never wait for anything, so a crowd of them would be worked off in one go of the event loop, and everybody else would
wait for all of it. Hence shares are of time, too: only so much work of a level is begun in one round of the loop (what a request
costs is learned), and what is left waits until the loop has looked who else has come. An exempt level waits for nothing else,
but for wide requests (long lists), of which only so many are held in memory at a time.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import OrderedDict, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from motet.base.clock import Clock

_MOST_A_ROUND = 64
_LOOK_EVERY = 1.0
# What a request is thought to cost before anything is known, in seconds; and how fast that is corrected.
_FIRST_COST = 0.0001
_LEARNING = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """A PriorityLevelConfiguration as it is used. Lending and borrowing are per cent of its own seats, None is any number.

    `queues` 0: whoever finds no seat is refused. `length`: requests that may wait in one queue.
    """

    name: str
    uid: str = ""
    exempt: bool = False
    shares: int = 0
    lendable: int = 0
    borrowing: int | None = None
    queues: int = 0
    hand: int = 1
    length: int = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Of the whole server: seats (upstream's default), those of an exempt level that wide requests share, seconds in one round of
    the loop, seconds in a queue."""

    seats: int = 600
    exempt_wide: int = 60
    round: float = 0.008
    exempt_round: float = 0.004
    waiting: float = 15.0


@dataclass(slots=True, eq=False)
class _Waiter:
    width: int
    until: float
    seated: asyncio.Future[bool]


class Line:
    """The seats of one level, and the queues of those that wait for them."""

    def __init__(self, room: Room, level: Level) -> None:
        self._room_of_all = room
        self.level = level
        self.taken = 0
        # By requests that take more than one.
        self._wide = 0
        # Seats of its own; of them those that are never lent; the most it may take, what it borrows included.
        self.nominal, self.kept, self.most = 0, 0, 0
        # Queues that are not empty, in the order of their turns.
        self._queues: OrderedDict[int, deque[_Waiter]] = OrderedDict()
        self._looking: asyncio.Task[None] | None = None
        # Seconds of work a round, what one request costs, how many have begun in this round, and how many may.
        self.budget, self.cost = 0.0, _FIRST_COST
        self.begun, self._batch = 0, 1

    @property
    def waiting(self) -> int:
        return sum(map(len, self._queues.values()))

    def resize(self, level: Level, nominal: int, budget: float) -> None:
        """Go on as `level`, with so many seats of its own and so many seconds a round."""
        self.level, self.nominal, self.budget = level, nominal, budget
        self.kept = nominal - round(nominal * level.lendable / 100)
        self.most = nominal + round(nominal * level.borrowing / 100) if level.borrowing is not None else -1
        self.next_round()

    async def sit(self, hand: Sequence[int], width: int) -> int:
        """Take seats, in one of these queues if need be. How many were taken; 0 when the queues are too long or too slow."""
        width = min(width, self._room_of_all.limits.exempt_wide if self.level.exempt else max(1, self.nominal))
        if (not self._queues or (self.level.exempt and width == 1)) and self._room(width):
            self._begin(width)
            self._room_of_all.watch_round()
            return width
        if (number := self._shortest(hand, width)) is None:
            return 0
        seated: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        waiter = _Waiter(width, self._room_of_all.clock.monotonic() + self._room_of_all.limits.waiting, seated)
        self._queues.setdefault(number, deque()).append(waiter)
        self._room_of_all.waiting.add(self)
        if self._looking is None and not self.level.exempt:
            self._looking = asyncio.ensure_future(self._look())
        try:
            return width if await seated else 0
        except asyncio.CancelledError:
            if seated.done() and not seated.cancelled() and seated.result():
                self.stand_up(width)
            else:
                self._leave(number, waiter)
            raise

    def stand_up(self, width: int) -> None:
        """Give seats back, and let those sit whose turn it is."""
        self.taken -= width
        if width > 1:
            self._wide -= width
        if self._room_of_all.waiting:
            self._room_of_all.go_on()

    def next_round(self) -> None:
        self._batch = max(1, min(_MOST_A_ROUND, int(self.budget / self.cost)))
        self.begun = 0

    def go_on(self) -> None:
        """Let those sit for whom there is room."""
        passed = 0
        while passed < len(self._queues):
            number, queue = next(iter(self._queues.items()))
            waiter = queue[0]
            if not self._room(waiter.width):
                if not self.level.exempt:
                    break  # the next ones would take its seats again and again
                self._queues.move_to_end(number)
                passed += 1
                continue
            queue.popleft()
            if queue:
                self._queues.move_to_end(number)
            else:
                self._drop(number)
            if not waiter.seated.done():
                self._begin(waiter.width)
                waiter.seated.set_result(True)

    def _shortest(self, hand: Sequence[int], width: int) -> int | None:
        """The queue of a hand with the fewest before one; None when all are full."""
        if self.level.exempt:
            return hand[0] if width == 1 else ~hand[0]  # nobody waits behind what is wide
        queues = self._queues
        lengths = [(len(queues[number]) if number in queues else 0, number) for number in hand]
        length, number = min(lengths, default=(self.level.length, 0))
        return number if length < self.level.length else None

    def _room(self, width: int) -> bool:
        if self.begun >= self._batch:
            return False
        if self.level.exempt:
            return width == 1 or self._wide + width <= self._room_of_all.limits.exempt_wide
        taken = self.taken + width
        return taken <= self.kept or self._room_of_all.lends(self, taken)

    def _begin(self, width: int) -> None:
        self.taken += width
        if width > 1:
            self._wide += width
        self.begun += 1
        self._room_of_all.begun.add(self)

    def _drop(self, number: int) -> None:
        del self._queues[number]
        if not self._queues:
            self._room_of_all.waiting.discard(self)

    def _leave(self, number: int, waiter: _Waiter) -> None:
        queue = self._queues.get(number)
        if queue is not None and waiter in queue:
            queue.remove(waiter)
            if not queue:
                self._drop(number)
        # It may have been wider than the seats that are free, and those behind it are not.
        self._room_of_all.go_on()

    async def _look(self) -> None:
        """Send away who has waited too long, while anybody waits."""
        clock = self._room_of_all.clock
        while self._queues:
            await clock.sleep(_LOOK_EVERY)
            now = clock.monotonic()
            for number, queue in list(self._queues.items()):
                for waiter in [each for each in queue if each.until <= now]:
                    if not waiter.seated.done():
                        waiter.seated.set_result(False)
                    self._leave(number, waiter)
        self._looking = None


class Room:
    """All seats, shared out between the lines of the levels, and the rounds in which work is begun."""

    def __init__(self, clock: Clock, limits: Limits = Limits()) -> None:
        self.clock = clock
        self.limits = limits
        self.lines: dict[str, Line] = {}
        # Lines in which somebody waits, and those that have begun something in this round.
        self.waiting: set[Line] = set()
        self.begun: set[Line] = set()
        self._seats = 0
        self._round_began: float | None = None

    def share_out(self, levels: Iterable[Level]) -> None:
        """Go on with these levels. Whoever waits in one that is no more is still let in."""
        levels = tuple(levels)
        shares = sum(level.shares for level in levels) or 1
        self.lines = {level.name: self.lines.get(level.name) or Line(self, level) for level in levels}
        for level in levels:
            part = level.shares / shares
            budget = self.limits.exempt_round if level.exempt else self.limits.round * part
            self.lines[level.name].resize(level, math.ceil(self.limits.seats * part), budget)
        self._seats = sum(line.nominal for line in self.lines.values())
        self.go_on()

    def lends(self, borrower: Line, wanted: int) -> bool:
        """Whether one line may have so many seats in all: what others have, or keep for themselves, stays theirs."""
        if 0 <= borrower.most < wanted:
            return False
        others = 0
        for line in self.lines.values():
            if line is not borrower:
                others += line.kept if line.level.exempt else max(line.taken, line.kept)
        return wanted <= self._seats - others

    def go_on(self) -> None:
        """Let those sit for whom there is room, in whatever line."""
        for line in tuple(self.waiting):
            line.go_on()
        # Behind those that were just let in, so that their work is over when the round ends.
        self.watch_round()

    def watch_round(self) -> None:
        if self._round_began is None and self.begun:
            self._round_began = time.perf_counter()
            asyncio.get_running_loop().call_soon(self._end_round)

    def _end_round(self) -> None:
        """The loop has come round: what requests cost is known better, and the next may begin."""
        assert self._round_began is not None
        thought = sum(line.begun * line.cost for line in self.begun)
        factor = (time.perf_counter() - self._round_began) / max(thought, 1e-9)
        self._round_began = None
        for line in self.begun:
            line.cost = max(1e-6, line.cost * (1 + _LEARNING * (min(factor, 5.0) - 1)))
            line.next_round()
        self.begun = set()
        self.go_on()
